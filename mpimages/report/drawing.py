"""Plots as SVG that belongs to a page: its fonts, its colours, light and dark. Local.

What is drawn follows from the numbers alone. A plot over time carries its numbers along, so that
the page's script can show a part of it in more detail; without the script it is whole all the same.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, replace
from html import escape

import numpy as np

from ..core.ranges import runs_of
from .trends import envelope

__all__ = [
    "ACCENT",
    "HUGE",
    "INK",
    "MUTED",
    "SECOND",
    "WARN",
    "Frames",
    "Plot",
    "Scale",
    "clipped",
    "fit_picture",
    "ticks",
]

# Names of the page's colours.
INK, MUTED, ACCENT, SECOND, WARN = "ink", "muted", "accent", "second", "warn"
# Of a line so many pieces are drawn, each by its least and greatest value.
POINTS = 500
# Of more values than this a line carries so many pieces along.
MOST_KEPT, KEPT = 10_000, 5_000
# A line is marked at each of fewer values.
FEW = 30
# The 16-bit number that a line carries for what is not there, and the greatest other.
NOTHING, FULL = 65_535, 65_534
# What can still be scaled.
HUGE = 1e307
# The longer side of a picture; larger ones are reduced.
SIDE = 800
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
# Longer recordings have an axis in minutes.
MINUTES = 300.0


def clipped(values: np.ndarray) -> np.ndarray:
    """As float64, within what can be scaled; infinities become NaN."""
    wide = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(wide), np.clip(wide, -HUGE, HUGE), np.nan)


# -- scales --------------------------------------------------------------------------------


def ticks(low: float, high: float, most: int, whole: bool = False) -> tuple[np.ndarray, float]:
    """At most `most` round numbers in low…high, and their step: 1, 2 or 5 times a power of ten."""
    span = high - low
    step = 10.0 ** math.floor(math.log10(max(span / most, 1e-290)))
    if whole:
        step = max(1.0, step)
    for factor in (1, 2, 5, 10, 20, 50):
        first, last = math.ceil(low / (factor * step)), math.floor(high / (factor * step) + 1e-9)
        if last - first + 1 <= most:
            break
    return np.arange(first, last + 1) * (factor * step), factor * step


@dataclass(frozen=True)
class Scale:
    """The numbers along an axis; those that would be long are short, and `about` says how.

    Attributes
    ----------
    low, high : float
    whole : bool
        Whether only whole numbers mean something.
    """

    low: float
    high: float
    whole: bool = False

    @classmethod
    def of(cls, *values: np.ndarray, least: float = 0.0, whole: bool = False) -> Scale:
        """With some room around all finite values, and around ±`least`."""
        finite = np.concatenate([v[np.isfinite(v)] for v in map(clipped, values)])
        if least:
            finite = np.concatenate([finite, (-least, least)])
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        room = 0.05 * (high - low)
        if not room > 1e-13 * max(abs(low), abs(high), 1e-280):
            room = max(0.5, 0.01 * abs(low))
        return cls(low - room, high + room, whole)

    def labels(self, most: int) -> tuple[np.ndarray, list[str], str]:
        """Where ticks are, what is written there, and what must be said about it."""
        places, step = ticks(self.low, self.high, most, self.whole)
        greatest = max(abs(self.low), abs(self.high))
        base = 0.0
        if step < 1e-5 * greatest:  # all begin alike
            unit = 10.0 ** math.ceil(math.log10(self.high - self.low) + 1)
            base = math.floor(self.low / unit) * unit
            greatest = self.high - base
        power = 0
        if not 1e-3 <= greatest < 1e6:
            power = 3 * math.floor(math.log10(max(greatest, 1e-290)) / 3)
        digits = max(0, -math.floor(math.log10(step / 10.0**power) + 1e-9))
        texts = [f"{(place - base) / 10.0**power:,.{digits}f}" for place in places]
        texts = [text.replace("-", "−") if float(text.replace(",", "")) else "0" for text in texts]
        about = (f" ×1e{power}" if power else "") + (f" {-base:+.12g}" if base else "")
        return places, texts, about.replace("-", "−")


# -- time ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frames:
    """The axis of time: frames, and seconds or minutes where the interval is known.

    Attributes
    ----------
    keys : (n,) int64 ndarray
    interval : float or None
        Seconds.
    """

    keys: np.ndarray
    interval: float | None

    @property
    def ends(self) -> tuple[float, float]:
        """The first and the last key, some room apart."""
        first, last = float(self.keys[0]), float(self.keys[-1])
        room = 0.5 if last - first < FEW else 0.0
        return first - room, last + room

    @property
    def unit(self) -> tuple[str, float]:
        """``'s'`` or ``'min'``, and how many of it a frame takes."""
        assert self.interval is not None
        is_long = self.interval * max(abs(end) for end in self.ends) >= MINUTES
        return ("min", self.interval / 60) if is_long else ("s", self.interval)

    def kept(self) -> np.ndarray:
        """Where along the axis the values are that lines carry along."""
        if len(self.keys) <= MOST_KEPT:
            return self.keys.astype(np.float64)
        places = envelope(np.zeros(len(self.keys)), KEPT)[0]
        found: np.ndarray = np.interp(places, np.arange(len(self.keys)), self.keys)
        return found

    def fields(self) -> dict[str, object]:
        """For the page's script."""
        kept = self.kept()
        steps = np.diff(self.keys)
        even = len(self.keys) <= MOST_KEPT and len(set(steps.tolist())) == 1
        where: dict[str, object] = (
            {"first": float(kept[0]), "step": float(steps[0]), "count": len(kept)}
            if even
            else {"places": [round(float(place), 1) for place in kept]}
        )
        unit, each = ("frame", 1.0) if self.interval is None else self.unit
        return {**where, "ends": self.ends, "unit": unit, "each": each}


# -- plots ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """Of a plot, in its own units: the whole, and what is left around the axes."""

    width: float
    height: float
    left: float
    bottom: float
    top: float
    right: float = 14.0


LARGE = Size(480, 220, 70, 42, 33)
LOW = 12  # without an axis above
SMALL = Size(300, 132, 50, 34, 8)


class Plot:
    """One pair of axes.

    Parameters
    ----------
    x : Frames or Scale
    y : Scale
    xlabel, ylabel : str
        The first is not used with frames.
    small : bool
    logarithmic : bool
        Whether y is a power of ten.
    """

    def __init__(
        self,
        x: Frames | Scale,
        y: Scale,
        ylabel: str = "",
        xlabel: str = "",
        small: bool = False,
        logarithmic: bool = False,
    ) -> None:
        self.frames = x if isinstance(x, Frames) else None
        two = self.frames is not None and self.frames.interval is not None
        self.size = SMALL if small else LARGE if two else replace(LARGE, top=LOW)
        self.small = small
        self.x = x if isinstance(x, Scale) else Scale(*x.ends, whole=True)
        self.y = y
        self.parts: list[str] = []
        self._draw_y(ylabel, logarithmic)
        if self.frames is None:
            self._draw_x(self.x, 1.0, xlabel)
        elif self.frames.interval is None:
            self._draw_x(self.x, 1.0, "frame")
        else:
            unit, each = self.frames.unit
            self._draw_x(Scale(self.x.low * each, self.x.high * each), each, f"time ({unit})")
            if not small:
                self._draw_frames_above()

    # Places.

    def _across(self, x: np.ndarray) -> np.ndarray:
        s = self.size
        part = (x - self.x.low) / (self.x.high - self.x.low)
        found: np.ndarray = s.left + part * (s.width - s.left - s.right)
        return found

    def _up(self, y: np.ndarray) -> np.ndarray:
        s = self.size
        part = (np.clip(y, self.y.low, self.y.high) - self.y.low) / (self.y.high - self.y.low)
        found: np.ndarray = s.height - s.bottom - part * (s.height - s.bottom - s.top)
        return found

    # Axes.

    def _draw_y(self, label: str, logarithmic: bool) -> None:
        s = self.size
        most = 3 if self.small else 5
        scale = self.y
        if logarithmic:
            places, texts, about = _powers(scale, most)
        else:
            places, texts, about = scale.labels(most)
        for y, text in zip(self._up(places), texts, strict=True):
            self.parts.append(f'<path class="grid" d="M{s.left} {y:.1f}H{s.width - s.right:g}"/>')
            self._text(text, s.left - 6, float(y) + 4, "end")
        middle = (s.height - s.bottom + s.top) / 2
        if label or about:
            self.parts.append(
                f'<text class="label" text-anchor="middle" transform="translate(12 {middle:.1f}) '
                f'rotate(-90)">{escape(label + about)}</text>'
            )

    def _draw_x(self, scale: Scale, each: float, label: str) -> None:
        s = self.size
        places, texts, about = scale.labels(4 if self.small else 6)
        y = s.height - s.bottom
        self.parts.append(f'<path class="axis" d="M{s.left} {y:g}H{s.width - s.right:g}"/>')
        self.parts.append('<g class="along">')
        for x, text in zip(self._across(places / each), texts, strict=True):
            self.parts.append(f'<path class="axis" d="M{x:.1f} {y:g}v4"/>')
            self._text(text, float(x), y + 17, "middle")
        self.parts.append("</g>")
        middle = (s.left + s.width - s.right) / 2
        self._text(label + about, middle, s.height - 4, "middle", "label")

    def _draw_frames_above(self) -> None:
        s = self.size
        places, texts, _ = self.x.labels(5)
        self.parts.append('<g class="above">')
        for x, text in zip(self._across(places), texts, strict=True):
            self.parts.append(f'<path class="axis" d="M{x:.1f} {s.top - 4:g}v4"/>')
            self._text(text, float(x), s.top - 10, "middle", "soft")
        self.parts.append("</g>")
        self._text("frame", s.left - 14, s.top - 10, "end", "soft")

    def _text(self, text: str, x: float, y: float, anchor: str, kind: str = "") -> None:
        of_kind = f' class="{kind}"' if kind else ""
        self.parts.append(
            f'<text{of_kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    # What is drawn.

    def curve(self, values: np.ndarray, colour: str) -> None:
        """Draw a line over the frames; one of many values as the band of its extremes."""
        assert self.frames is not None
        values = clipped(values)
        keys = self.frames.keys.astype(np.float64)
        carried = self._carried(values)
        if len(values) > 2 * POINTS:
            places, low, high = envelope(values, POINTS)
            x = self._across(np.interp(places, np.arange(len(keys)), keys))
            path, kind = _band(x, self._up(low), self._up(high)), "band"
        else:
            path, kind = _polyline(self._across(keys), self._up(values)), "line"
        self.parts.append(f'<path class="curve {kind} {colour}"{carried} d="{path}"/>')
        if len(values) < FEW:
            self._dots(keys, values, colour)

    def points(self, x: np.ndarray, values: np.ndarray, colour: str) -> None:
        """Draw a few points, and the line through them."""
        path = _polyline(self._across(x), self._up(values))
        self.parts.append(f'<path class="line {colour}" d="{path}"/>')
        self._dots(x, values, colour)

    def _dots(self, x: np.ndarray, values: np.ndarray, colour: str) -> None:
        there = np.isfinite(values)
        dots = zip(self._across(x[there]), self._up(values[there]), strict=True)
        path = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in dots)
        self.parts.append(f'<path class="line dots {colour}" d="{path}"/>')

    def _carried(self, values: np.ndarray) -> str:
        """The numbers of a line for the page's script: 16 bits each, along the axis."""
        if len(values) < FEW:
            return ""
        if len(values) <= MOST_KEPT:
            return f' data-y="{self._sixteen_bits(values)}"'
        _, low, high = envelope(values, KEPT)
        return f' data-y="{self._sixteen_bits(low)}" data-z="{self._sixteen_bits(high)}"'

    def _sixteen_bits(self, values: np.ndarray) -> str:
        part = (values - self.y.low) / (self.y.high - self.y.low)
        there = np.isfinite(part)
        numbers = np.full(len(values), NOTHING, "<u2")
        numbers[there] = np.clip(np.rint(part[there] * FULL), 0, FULL)
        return base64.b64encode(numbers.tobytes()).decode()

    def bars(self, counts: np.ndarray, edges: np.ndarray) -> None:
        """Draw filled steps; counts in the units of y."""
        x, y = self._across(edges), self._up(counts)
        base = float(self._up(np.array([self.y.low]))[0])
        steps = "".join(
            f"H{a:.1f}V{h:.1f}H{b:.1f}" for a, b, h in zip(x[:-1], x[1:], y, strict=True)
        )
        self.parts.append(
            f'<path class="bars accent" d="M{x[0]:.1f} {base:.1f}{steps}V{base:.1f}Z"/>'
        )

    def shade(self, first: float, last: float) -> None:
        """Shade the frames first…last."""
        s = self.size
        a, b = self._across(np.clip(np.array([first - 0.5, last + 0.5]), self.x.low, self.x.high))
        width, height = max(1.0, b - a), s.height - s.bottom - s.top
        self.parts.append(
            f'<rect class="shade" data-a="{first:g}" data-b="{last:g}" x="{a:.1f}" '
            f'y="{s.top:g}" width="{width:.1f}" height="{height:g}"/>'
        )

    def straight(self, x: tuple[float, float], y: tuple[float, float], kind: str) -> None:
        """Draw a straight line, ``'dashed'`` or ``'zero'``, between two points of the axes."""
        a, b = self._across(np.array(x, dtype=np.float64))
        c, d = self._up(np.array(y, dtype=np.float64))
        ends = f' data-x="{x[0]:g} {x[1]:g}"' if self.frames is not None else ""
        self.parts.append(f'<path class="{kind}"{ends} d="M{a:.1f} {c:.1f}L{b:.1f} {d:.1f}"/>')

    def note(self, text: str, x: float) -> None:
        """Write beside the place x, at the top, on the side where there is room."""
        at = float(self._across(np.array([x]))[0])
        left = at > self.size.width / 2
        self._text(
            text, at - 5 if left else at + 5, self.size.top + 10, "end" if left else "start", WARN
        )

    def key(self, names: list[tuple[str, str]]) -> None:
        """Name the lines, (text, colour), in the upper right corner."""
        s = self.size
        for row, (text, colour) in enumerate(names):
            y = s.top + 12 + 15 * row
            x = s.width - s.right
            self.parts.append(f'<path class="line {colour}" d="M{x - 14:g} {y - 4:g}H{x:g}"/>')
            self._text(text, x - 19, y, "end", "key")

    def svg(self, label: str) -> str:
        """The whole, with a label for who cannot see it."""
        s = self.size
        over_time = ' data-frames=""' if self.frames is not None else ""
        box = f"{s.left:g} {s.width - s.right:g} {s.top:g} {s.height - s.bottom:g}"
        return (
            f'<svg class="plot{" small" if self.small else ""}" role="img" '
            f'aria-label="{escape(label)}" viewBox="0 0 {s.width:g} {s.height:g}" '
            f'data-box="{box}"{over_time}>{"".join(self.parts)}</svg>'
        )


def _powers(scale: Scale, most: int) -> tuple[np.ndarray, list[str], str]:
    """Ticks at whole powers of ten."""
    places, _ = ticks(scale.low, scale.high, most, whole=True)
    small = places[-1] < 4
    texts = [f"{10 ** int(p):,}" if small else f"10{str(int(p)).translate(RAISED)}" for p in places]
    return places, texts, ""


def _segments(*lines: np.ndarray) -> list[tuple[int, int]]:
    """Where all lines are there: runs of places."""
    there = np.logical_and.reduce([np.isfinite(line) for line in lines])
    return runs_of(np.flatnonzero(there))


def _polyline(x: np.ndarray, y: np.ndarray) -> str:
    return "".join(
        "M"
        + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x[i:j], y[i:j], strict=True))
        + ("h0" if j - i == 1 else "")
        for i, j in _segments(y)
    )


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    def points(x: np.ndarray, y: np.ndarray) -> str:
        return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))

    return "".join(
        f"M{points(x[i:j], high[i:j])}L{points(x[i:j][::-1], low[i:j][::-1])}Z"
        for i, j in _segments(low, high)
    )


def fit_picture(picture: np.ndarray, kind: str) -> np.ndarray:
    """A picture of at most 800 pixels a side: means of blocks, or their greatest values."""
    factor = -(-max(picture.shape) // SIDE)
    if factor == 1:
        return picture
    rows, columns = (-(-n // factor) * factor for n in picture.shape)
    padded = np.full((rows, columns), np.nan)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    blocks = padded.reshape(rows // factor, factor, columns // factor, factor)
    there = np.isfinite(blocks)
    number = there.sum(axis=(1, 3))
    if kind == "max":
        found = np.where(there, blocks, -np.inf).max(axis=(1, 3))
    else:
        total = np.where(there, blocks, 0).sum(axis=(1, 3))
        found = total / np.maximum(number, 1)
    return np.where(number > 0, found, np.nan)
