"""The pictures of a recording: mean, maximum, stdev, local correlation. Local."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .drawing import fit_picture, svg_of
from .gathering import Recording
from .words import number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar

__all__ = ["HUGE", "Picture", "montage", "pictures"]

# The display range, in per cent of the values.
RANGE = (1.0, 99.5)
INCHES = 4.6
# Of the montage's shorter side, between two planes.
GAP = 0.01
WIDE = 1.5
# What matplotlib can still scale.
HUGE = 1e100
# Of the marks on a picture, whose colours are the same on any page.
MARK, HALO = "#d3222b", "#ffffff"
NAMES = {
    "mean": ("Mean", "mean", "gray"),
    "max": ("Maximum", "max", "gray"),
    "stdev": ("Standard deviation", "stdev", "magma"),
    "correlation": ("Local correlation", "corr", "viridis"),
}


@dataclass(frozen=True)
class Picture:
    """One figure.

    Attributes
    ----------
    title, caption, svg : str
    """

    title: str
    caption: str
    svg: str


def pictures(recording: Recording) -> list[Picture]:
    """Within `drawing.drawing`."""
    found = []
    for name, (title, _, colours) in NAMES.items():
        if recording.count == 1 and name in ("stdev", "correlation"):
            continue
        image = getattr(recording.pixels, name)
        found.append(_picture(recording, name, title, image, colours))
    return found


def _picture(
    recording: Recording, name: str, title: str, image: np.ndarray, colours: str
) -> Picture:
    finite = np.clip(image[np.isfinite(image)].astype(np.float64), -HUGE, HUGE)
    if not len(finite):
        return Picture(title, "There is none: no pixel changes.", "")
    low, high = (float(end) for end in np.percentile(finite, RANGE))
    caption = f"Shown from {number_text(low)} to {number_text(high)}, percentiles 1 to 99.5."
    if not high > low:
        low, high = float(finite.min()), float(finite.max())
        caption = f"Shown from {number_text(low)} to {number_text(high)}: nearly all alike."
    if not high > low:
        low, high = low - 0.5, low + 0.5
        caption = f"All pixels are {number_text(float(finite[0]))}."
    flat, places = montage(image)
    shown = fit_picture(np.clip(flat.astype(np.float64), -HUGE, HUGE), name)
    marks = _marks(recording, places) if name == "correlation" else []
    svg = _drawn(shown, flat.shape, (low, high), colours, title, marks)
    return Picture(title, caption, svg)


def montage(image: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """The planes of a volume side by side in rows, somewhat wider than high.

    Returns
    -------
    (rows, columns) ndarray
        NaN between the planes; a 2-D image as it is.
    places : list of (row, column)
        Where each plane begins.
    """
    if image.ndim == 2:
        return image, [(0, 0)]
    rows, columns, planes = image.shape
    across = max(1, min(planes, round((WIDE * planes * rows / columns) ** 0.5)))
    down = -(-planes // across)
    gap = max(1, round(GAP * max(down * rows, across * columns))) if planes > 1 else 0
    flat = np.full((down * (rows + gap) - gap, across * (columns + gap) - gap), np.nan)
    places = []
    for plane in range(planes):
        r, c = plane // across * (rows + gap), plane % across * (columns + gap)
        flat[r : r + rows, c : c + columns] = image[..., plane]
        places.append((r, c))
    return flat, places


def _marks(recording: Recording, places: list[tuple[int, int]]) -> list[tuple[float, float]]:
    """Where the active pixels are in the montage, (row, column)."""
    found: list[tuple[float, float]] = []
    for flat in recording.active:
        place = [int(i) for i in np.unravel_index(flat, recording.dims)]
        r, c = places[place[2] if len(place) == 3 else 0]
        found.append((place[0] + r, place[1] + c))
    return found


def _drawn(
    shown: np.ndarray,
    extent: tuple[int, ...],
    limits: tuple[float, float],
    colours: str,
    title: str,
    marks: list[tuple[float, float]],
) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    rows, columns = extent
    tall = min(1.6, max(0.12, rows / columns))
    height = INCHES * 0.84 * tall
    figure = Figure(figsize=(INCHES, height + 0.1))
    bottom, part = 0.05 / (height + 0.1), height / (height + 0.1)
    axes = figure.add_axes((0.0, bottom, 0.84, part))
    colour_map = matplotlib.colormaps[colours].with_extremes(bad=(0, 0, 0, 0))
    drawn = axes.imshow(
        shown,
        cmap=colour_map,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="none",
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
        aspect="equal",
    )
    axes.set_axis_off()
    bar_axes = figure.add_axes((0.86, bottom, 0.025, part))
    bar = figure.colorbar(drawn, cax=bar_axes)
    _tidy(bar, height)
    for number, (row, column) in enumerate(marks, 1):
        _mark(axes, row, column, number, extent)
    return svg_of(figure, title)


def _tidy(bar: Colorbar, height: float) -> None:
    from matplotlib.ticker import MaxNLocator

    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(nbins=max(1, min(6, int(height / 0.4))))
    bar.update_ticks()
    bar.ax.tick_params(length=2, labelsize=8)


def _mark(axes: Axes, row: float, column: float, number: int, extent: tuple[int, ...]) -> None:
    """A numbered circle; the number on that side where there is room."""
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    rows, columns = extent
    halo = [withStroke(linewidth=2.0, foreground=HALO)]
    axes.add_patch(
        Circle(
            (column, row),
            max(1.0, columns / 80),
            fill=False,
            edgecolor=MARK,
            linewidth=1.0,
            path_effects=halo,
        )
    )
    left, low = column > 0.9 * columns, row < 0.06 * rows
    axes.annotate(
        str(number),
        (column, row),
        xytext=(-4 if left else 4, -9 if low else 3),
        textcoords="offset points",
        color=MARK,
        fontsize=7.5,
        fontweight="bold",
        path_effects=halo,
        ha="right" if left else "left",
        annotation_clip=True,
    )
