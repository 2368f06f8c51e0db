"""The lines of a recording: histogram, intensity, differences, shifts, active pixels. Local."""

from __future__ import annotations

from typing import Any

import numpy as np

from .drawing import ACCENT, INK, MUTED, SECOND, WARN, line, svg_of
from .gathering import Recording
from .judgement import Judged
from .pictures import HUGE, Picture
from .shifts import RELIABLE
from .trends import Trend
from .words import number_text, percent_text

__all__ = ["active_series", "difference", "histogram", "intensity", "shifts"]

SIZE, SMALL = (5.2, 2.3), (2.5, 1.05)
# Of an exact histogram so many bars are drawn at most.
BARS = 400


def _axes(xlabel: str, ylabel: str, above: float = 0.12) -> tuple[Any, Any]:
    """A figure and its axes; `above` are inches."""
    from matplotlib.figure import Figure

    width, height = SIZE
    figure = Figure(figsize=SIZE)
    axes = figure.add_axes(
        (0.66 / width, 0.42 / height, 1 - 0.76 / width, 1 - (0.42 + above) / height)
    )
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if xlabel == "frame":
        axes.locator_params(axis="x", integer=True)
    return figure, axes


def histogram(recording: Recording, judged: Judged) -> Picture:
    """How often each value occurs, on a logarithmic scale, and where values are cut off."""
    counts, edges = _bars(recording)
    figure, axes = _axes("value", "count")
    title = "Histogram of all values"
    if len(counts) == 0:
        return Picture(title, "There are no finite values, or they are too large to be drawn.", "")
    axes.set_yscale("log")
    axes.stairs(counts, edges, baseline=0.5, fill=True, color=ACCENT, linewidth=0)
    axes.set_ylim(0.7, 2 * max(2, int(counts.max())))
    kind = (
        "Every value is counted"
        if recording.counts.exact
        else "In 512 bins from the least to the greatest value"
    )
    caption = f"{kind}; the scale of counts is logarithmic."
    saturation = judged.figures["saturation"]
    if judged.ceiling is not None and saturation["values"] > 0:
        axes.axvline(judged.ceiling, color=WARN, linewidth=1.2, linestyle="--")
        axes.annotate(
            f"saturation at {judged.ceiling}",
            (judged.ceiling, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-4, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            color=WARN,
        )
        caption += (
            f" {percent_text(saturation['values'])} of all values are "
            f"{judged.ceiling}, where they are cut off."
        )
    return Picture(title, caption, svg_of(figure, title))


def _bars(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """The counts between the least and the greatest value, in no more bars than can be seen."""
    counts, edges = recording.counts.counts, recording.counts.edges
    there = np.flatnonzero(counts)
    if len(there) == 0 or np.abs(edges).max() > HUGE:
        return counts[:0], edges[:0]
    first, stop = int(there[0]), int(there[-1]) + 1
    width = -(-(stop - first) // BARS)
    starts = np.arange(first, stop, width)
    return (
        np.add.reduceat(counts[:stop], starts),
        edges[np.append(starts, min(starts[-1] + width, len(edges) - 1))],
    )


def intensity(recording: Recording, judged: Judged, interval: float | None) -> Picture:
    """The mean of each image, and the line of bleaching."""
    figure, axes = _axes("frame", "mean value", 0.12 if interval is None else 0.3)
    hidden = judged.blank & (not judged.blank.all())
    line(axes, np.where(hidden, np.nan, recording.column("mean")), ACCENT, recording.keys)
    for first, last in judged.figures["blank"][:200]:
        axes.axvspan(first - 0.5, last + 0.5, color=WARN, alpha=0.25, linewidth=0)
    caption = "Mean over the pixels of each frame."
    if judged.figures["blank"]:
        caption += " Blank frames are shaded, and left out."
    if judged.bleaching is not None:
        ends = np.array([0, recording.count - 1])
        axes.plot(
            recording.keys[ends],
            judged.bleaching.start + judged.bleaching.slope * ends,
            color=WARN,
            linewidth=1.2,
            linestyle="--",
        )
        caption += " " + _slope_text(judged.bleaching, interval)
    _seconds(axes, interval)
    title = "Mean intensity"
    return Picture(title, caption, svg_of(figure, title))


def _slope_text(bleaching: Trend, interval: float | None) -> str:
    text = f"Dashed: the slope by Theil and Sen, {number_text(bleaching.slope, 3)} a frame".replace(
        "-", "−"
    )
    if np.isfinite(bleaching.change):
        text += (
            f", {'+' if bleaching.change > 0 else '−' if bleaching.change < 0 else ''}"
            f"{percent_text(abs(bleaching.change))} over the recording"
        )
    if interval is not None and bleaching.start > 0:
        minute = 60 / interval * bleaching.slope / bleaching.start
        text += f" ({number_text(100 * minute, 2)} % a minute)".replace("-", "−")
    return text + ("." if bleaching.is_clear else "; that may be chance.")


def difference(recording: Recording, judged: Judged) -> Picture:
    """The mean absolute difference of each image to the one before."""
    figure, axes = _axes("frame", "mean |difference|")
    beside = (judged.blank[1:] | judged.blank[:-1]) & (not judged.blank.all())
    shown = np.where(beside, np.nan, recording.column("difference")[1:])
    line(axes, shown, ACCENT, recording.keys[1:])
    axes.set_ylim(bottom=0)
    title = "Difference from frame to frame"
    caption = "Mean absolute difference to the frame before; 0 where a frame is repeated."
    if beside.any():
        caption += " Before and after blank frames it is left out."
    return Picture(title, caption, svg_of(figure, title))


def shifts(recording: Recording) -> Picture | None:
    """How far each image has moved; None where it was not looked for."""
    if recording.region is None:
        return None
    title = "Shift"
    down, right = recording.column("down"), recording.column("right")
    told = np.isfinite(down)
    if not told.any():
        return Picture(title, "It cannot be told: the frames are too unlike each other.", "")
    figure, axes = _axes("frame", "pixels", 0.22)
    line(axes, down, ACCENT, recording.keys)
    line(axes, right, SECOND, recording.keys)
    for text, colour, place in (("rows", ACCENT, 0.0), ("columns", SECOND, 0.09)):
        axes.text(place, 1.01, text, color=colour, transform=axes.transAxes, va="bottom")
    extent = max(0.5, 1.1 * float(np.nanmax(np.abs([down, right]))))
    axes.set_ylim(-extent, extent)
    axes.axhline(0, color=MUTED, linewidth=0.5)
    rows, columns = (
        n * b for n, b in zip(recording.region.size, recording.region.bins, strict=True)
    )
    caption = (
        f"Against the median of the middle frames, by phase correlation of the central "
        f"{rows} × {columns} pixels"
        + (
            f" in bins of {recording.region.bins[0]} × {recording.region.bins[1]}"
            if max(recording.region.bins) > 1
            else ""
        )
        + "."
    )
    if not told.all():
        left = int((~told).sum())
        caption += (
            f" {left:,} {'frame is' if left == 1 else 'frames are'} left out, blank or "
            f"with a peak below {RELIABLE:g} standard deviations."
        )
    return Picture(title, caption, svg_of(figure, title))


def active_series(recording: Recording) -> list[Picture]:
    """The series of the most active pixels, a small figure each."""
    from matplotlib.figure import Figure

    found = []
    for number, (flat, values) in enumerate(
        zip(recording.active, recording.series.T, strict=True), 1
    ):
        place = tuple(int(i) for i in np.unravel_index(flat, recording.dims))
        figure = Figure(figsize=SMALL)
        axes = figure.add_axes((0.17, 0.2, 0.8, 0.74))
        axes.tick_params(labelsize=7)
        axes.locator_params(nbins=3, axis="y")
        axes.locator_params(nbins=4, axis="x", integer=True)
        line(axes, values, INK if recording.count <= 2000 else ACCENT, recording.keys)
        with np.errstate(invalid="ignore"):
            correlation = recording.pixels.correlation[place]
        text = f"stdev {number_text(float(recording.pixels.stdev[place]), 3)}"
        if np.isfinite(correlation):
            text += f", corr {correlation:.2f}"
        title = f"{number} · pixel {', '.join(map(str, place))}"
        found.append(Picture(title, text, svg_of(figure, title)))
    return found


def _seconds(axes: Any, interval: float | None) -> None:
    """A second scale above, of time."""
    if interval is None:
        return
    unit, per = ("s", 1.0) if interval * axes.get_xlim()[1] < 600 else ("min", 60.0)
    scale = interval / per
    above = axes.secondary_xaxis("top", functions=(lambda x: x * scale, lambda t: t / scale))
    above.tick_params(length=2, labelsize=8)
    above.spines["top"].set_visible(False)
    axes.text(-0.02, 1.03, unit, transform=axes.transAxes, fontsize=8, va="bottom", ha="right")
