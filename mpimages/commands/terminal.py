"""Images and series as text for a terminal. Local; numpy alone."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass

import numpy as np

__all__ = ["Screen", "draw_image", "draw_series"]

SHADES = {True: " ░▒▓█", False: " .:-=+*#%@"}  # by whether there is Unicode
# The dots of a Braille cell: bit for (row, column).
DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
HIGHEST_PLOT = 16
RESET = "\x1b[0m"


@dataclass(frozen=True)
class Screen:
    """What can be shown, and how much of it.

    Attributes
    ----------
    columns, lines : int
    colours : {0, 256, 1 << 24}
        0: no escape codes at all.
    unicode : bool
    """

    columns: int = 80
    lines: int = 24
    colours: int = 0
    unicode: bool = True

    @property
    def pixels(self) -> tuple[int, int]:
        """Rows and columns of square pixels that an image may have, with room beneath."""
        # A character is about twice as high as wide.
        return 2 * max(1, self.lines - 4), self.columns - 1

    @classmethod
    def found(cls, colour: bool | None = None) -> Screen:
        """This process' standard output; `colour` is what the user wants, if he has said it."""
        size = shutil.get_terminal_size((80, 24))
        environment = os.environ
        if colour is None:
            colour = sys.stdout.isatty() and not environment.get("NO_COLOR") \
                and environment.get("TERM") != "dumb"
        deep = environment.get("COLORTERM", "").lower() in ("truecolor", "24bit")
        colours = 0 if not colour else 1 << 24 if deep else 256
        try:
            "█⣿▀┤".encode(getattr(sys.stdout, "encoding", None) or "ascii")
        except (UnicodeEncodeError, LookupError):
            return cls(max(10, size.columns), max(6, size.lines), 0, False)
        return cls(max(10, size.columns), max(6, size.lines), colours, True)


def draw_image(grey: np.ndarray, screen: Screen) -> str:
    """An image as lines of text that fit on the screen, with room for a few lines beneath.

    Parameters
    ----------
    grey : (rows, columns) float ndarray
        0 (black) … 1 (white).
    """
    small = _fitted(grey, *screen.pixels)
    rows = small.shape[0] // 2 * 2
    upper, lower = small[0:rows:2], small[1:rows:2]
    if screen.colours:
        lines = [_coloured(a, b, screen.colours) for a, b in zip(upper, lower, strict=True)]
        if rows < len(small):
            lines.append(_coloured(small[-1], None, screen.colours))
        return "\n".join(lines)
    means = list((upper + lower) / 2) + list(small[rows:])
    shades = SHADES[screen.unicode]
    places = np.clip((np.array(means) * len(shades)).astype(int), 0, len(shades) - 1)
    return "\n".join("".join(shades[i] for i in line).rstrip() for line in places)


def _fitted(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Means over pixels where it is too large; each pixel several times where it is small."""
    scale = min(rows / grey.shape[0], columns / grey.shape[1])
    if scale >= 1:
        return np.kron(grey, np.ones((int(scale), int(scale))))
    for axis in (0, 1):
        wanted = max(1, round(grey.shape[axis] * scale))
        edges = np.linspace(0, grey.shape[axis], wanted, endpoint=False).astype(int)
        widths = np.diff([*edges, grey.shape[axis]])
        sums = np.add.reduceat(grey, edges, axis=axis)
        grey = sums / (widths[:, np.newaxis] if axis == 0 else widths)
    return grey


def _coloured(upper: np.ndarray, lower: np.ndarray | None, colours: int) -> str:
    """A line of half blocks: the upper row is their colour, the lower one what lies behind."""
    text, last = "", ""
    for column, value in enumerate(upper):
        code = f"38;{_grey(value, colours)};"
        code += "49" if lower is None else f"48;{_grey(lower[column], colours)}"
        text += ("▀" if code == last else f"\x1b[{code}m▀")
        last = code
    return text + RESET


def _grey(value: float, colours: int) -> str:
    if colours > 256:
        level = round(float(value) * 255)
        return f"2;{level};{level};{level}"
    # Of the 256 colours black, 24 greys and white.
    level = round(float(value) * 25)
    return f"5;{16 if level == 0 else 231 if level == 25 else 231 + level}"


# -- series --------------------------------------------------------------------------------


def draw_series(values: np.ndarray, index: np.ndarray, screen: Screen) -> str:
    """A series as a curve with the least and the greatest value, and the first and last index.

    Where there are more values than dots, a column of dots spans what falls into it. NaN and
    infinities are gaps.
    """
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
    labels = [f"{high:.6g}", f"{low:.6g}"]
    margin = max(map(len, labels))
    width = max(2, screen.columns - margin - 3)
    height = max(2, min(HIGHEST_PLOT, screen.lines - 6))
    per_row, per_column = (4, 2) if screen.unicode else (1, 1)
    dots = _curve(values.astype(np.float64), float(low), float(high), height * per_row,
                  width * per_column)
    rows = _braille(dots) if screen.unicode else \
        ["".join("*" if dot else " " for dot in row) for row in dots]
    mark, line, corner, dash = "┤│└─" if screen.unicode else "+|+-"
    lines = []
    for number, row in enumerate(rows):
        label = {0: labels[0], height - 1: labels[1]}.get(number, "")
        lines.append(f"{label:>{margin}} {mark if label else line}{row}".rstrip())
    lines.append(f"{'':>{margin}} {corner}{dash * width}")
    first, last = f"{index[0]:g}", f"{index[-1]:g}"
    lines.append(f"{'':>{margin}}  {first}{last if len(values) > 1 else '':>{width - len(first)}}")
    return "\n".join(lines)


def _curve(
    values: np.ndarray, low: float, high: float, rows: int, columns: int
) -> np.ndarray:
    """(rows, columns) bool: a line through the values from the left to the right edge."""
    # Between neighbouring columns lies a piece of the line, with all values that fall into it.
    places = np.linspace(0, len(values) - 1, columns) if len(values) > 1 else np.zeros(columns)
    steps = np.arange(len(values))
    at = np.interp(places, steps, values)  # NaN spreads to what lies between
    span = high - low
    dots = np.zeros((rows, columns), dtype=bool)
    for column in range(columns if len(values) > 1 else 1):
        ends = [at[column], at[min(column + 1, columns - 1)]]
        inside = values[int(np.ceil(places[column])) : int(places[min(column + 1, columns - 1)])
                        + 1]
        met = np.array([*ends, *inside])
        met = met[np.isfinite(met)]
        if met.size == 0:
            continue
        part = (np.array([met.min(), met.max()]) - low) / span if span > 0 else np.full(2, 0.5)
        bottom, top = np.rint(part * (rows - 1)).astype(int)
        dots[rows - 1 - top : rows - bottom, column] = True
    return dots


def _braille(dots: np.ndarray) -> list[str]:
    rows, columns = dots.shape
    cells = dots.reshape(rows // 4, 4, columns // 2, 2).transpose(0, 2, 1, 3)
    codes = (cells * DOTS).sum(axis=(2, 3)) + 0x2800
    return ["".join(chr(code) if code > 0x2800 else " " for code in row) for row in codes]
