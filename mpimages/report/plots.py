"""The lines of a recording: histogram, intensity, differences, shifts, active pixels. Local."""

from __future__ import annotations

import numpy as np

from .activity import PERCENTILE, Active
from .drawing import ACCENT, HUGE, INK, SECOND, Frames, Plot, Scale
from .gathering import Recording
from .judgement import Judged
from .pictures import Picture
from .shifts import RELIABLE
from .trends import Trend
from .words import number_text, percent_text

__all__ = ["active_series", "difference", "histogram", "intensity", "shifts"]

# Of an exact histogram so many bars are drawn at most.
BARS = 400
# So many runs of blank frames are shaded.
SHADED = 200
# Of the logarithmic axis: below a count of 1, and above the greatest.
LEAST_COUNT, ROOM = 0.7, 2

# Of a mean near 0 a change has no sense in per cent.
MOST_CHANGE = 10.0


def histogram(recording: Recording, judged: Judged) -> Picture:
    """How often each value occurs, on a logarithmic scale, and where values are cut off."""
    counts, edges = _bars(recording)
    title = "Histogram of all values"
    if len(counts) == 0:
        return Picture(title, "There are no finite values, or they are too large to be drawn.", "")
    top = float(np.log10(ROOM * max(2, int(counts.max()))))
    scale = Scale.of(edges, whole=recording.counts.exact)
    plot = Plot(scale, Scale(float(np.log10(LEAST_COUNT)), top), "count", "value", logarithmic=True)
    plot.bars(np.log10(np.maximum(counts, LEAST_COUNT)), edges)
    kind = (
        "Every value is counted"
        if recording.counts.exact
        else "In 512 bins from the least to the greatest value"
    )
    caption = f"{kind}; the scale of counts is logarithmic."
    saturation = judged.figures["saturation"]
    if judged.ceiling is not None and saturation["values"] > 0:
        at = judged.ceiling
        plot.straight((at, at), (plot.y.low, plot.y.high), "dashed")
        plot.note(f"saturation at {at}", at)
        caption += (
            f" {percent_text(saturation['values'])} of all values are {at}, where they are cut off."
        )
    return Picture(title, caption, plot.svg(title))


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


def intensity(recording: Recording, judged: Judged, frames: Frames) -> Picture:
    """The mean of each image, and the line of bleaching."""
    hidden = judged.blank & (not judged.blank.all())
    values = np.where(hidden, np.nan, recording.column("mean"))
    ends = np.array([0, recording.count - 1])
    bleaching = judged.bleaching
    line = np.array([]) if bleaching is None else bleaching.start + bleaching.slope * ends
    plot = Plot(frames, Scale.of(values, line), "mean value")
    for first, last in judged.figures["blank"][:SHADED]:
        plot.shade(first, last)
    plot.curve(values, ACCENT)
    caption = "Mean over the pixels of each frame."
    if judged.figures["blank"]:
        caption += " Blank frames are shaded, and left out."
    if bleaching is not None:
        if np.abs(line).max() < HUGE:
            first, last = (float(recording.keys[end]) for end in ends)
            plot.straight((first, last), (float(line[0]), float(line[1])), "dashed")
        caption += " " + _slope_text(bleaching, frames.interval)
    title = "Mean intensity"
    return Picture(title, caption, plot.svg(title))


def _slope_text(bleaching: Trend, interval: float | None) -> str:
    text = f"Dashed: the slope by Theil and Sen, {number_text(bleaching.slope, 3)} a frame".replace(
        "-", "−"
    )
    told = np.isfinite(bleaching.change) and abs(bleaching.change) <= MOST_CHANGE
    if told:
        change = percent_text(abs(bleaching.change))
        sign = "+" if bleaching.change > 0 else "−"
        has_sign = bleaching.change != 0 and change[0].isdigit()
        text += f", {sign if has_sign else ''}{change} over the recording"
    if told and interval is not None and bleaching.start > 0:
        minute = 60 / interval * bleaching.slope / bleaching.start
        text += f" ({number_text(100 * minute, 2)} % a minute)".replace("-", "−")
    return text + ("." if bleaching.is_clear else "; that may be chance.")


def difference(recording: Recording, judged: Judged, frames: Frames) -> Picture:
    """The mean absolute difference of each image to the one before."""
    beside = (judged.blank[1:] | judged.blank[:-1]) & (not judged.blank.all())
    shown = recording.column("difference").copy()
    shown[1:][beside] = np.nan
    scale = Scale.of(shown, np.zeros(1))
    plot = Plot(frames, Scale(0.0, scale.high), "mean |difference|")
    plot.curve(shown, ACCENT)
    title = "Difference from frame to frame"
    caption = "Mean absolute difference to the frame before; 0 where a frame is repeated."
    if beside.any():
        caption += " Before and after blank frames it is left out."
    return Picture(title, caption, plot.svg(title))


def shifts(recording: Recording, frames: Frames) -> Picture | None:
    """How far each image has moved; None where it was not looked for."""
    if recording.region is None:
        return None
    title = "Shift"
    down, right = recording.column("down"), recording.column("right")
    told = np.isfinite(down)
    if not told.any():
        return Picture(title, "It cannot be told: the frames are too unlike each other.", "")
    extent = max(1.0, 1.2 * float(np.nanmax(np.abs([down, right]))))
    plot = Plot(frames, Scale(-extent, extent), "pixels")
    plot.straight(frames.ends, (0.0, 0.0), "zero")
    plot.curve(down, ACCENT)
    plot.curve(right, SECOND)
    plot.key([("rows", ACCENT), ("columns", SECOND)])
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
        + ". Positive: to higher rows, or columns."
    )
    if not told.all():
        left = int((~told).sum())
        caption += (
            f" {left:,} {'frame is' if left == 1 else 'frames are'} left out, blank or "
            f"with a peak below {RELIABLE:g} standard deviations."
        )
    return Picture(title, caption, plot.svg(title))


def active_series(active: list[Active], frames: Frames, whole: bool) -> list[Picture]:
    """The series of the most active pixels, a small figure each; `whole` are the values."""
    found = []
    for one in active:
        shown = one.shown
        scale = Scale.of(shown, whole=whole and not one.has_ratio)
        plot = Plot(frames, scale, "ΔF/F" if one.has_ratio else "value", small=True)
        plot.curve(shown, INK)
        parts = [f"stdev {number_text(one.stdev, 3)}", f"noise {number_text(one.noise, 3)}"]
        if np.isfinite(one.correlation):
            parts.append(f"corr {one.correlation:.2f}")
        if one.peak is not None:
            parts.append(f"peak ΔF/F {number_text(one.peak, 2)}")
            parts.append(f"F0 {number_text(one.baseline, 3)}")
        if not one.is_clear:
            parts.append("may be chance")
        title = f"{one.number} · pixel {', '.join(map(str, one.pixel))}"
        found.append(Picture(title, ", ".join(parts).replace("-", "−"), plot.svg(title)))
    return found


def about_active(active: list[Active]) -> str:
    """What the series are of, and whether they are more than chance."""
    text = (
        "The pixels that fluctuate most together with their neighbours: the highest products of "
        "stdev and local correlation, some distance apart. Their numbers are those in the picture "
        "of the local correlation."
    )
    ratios = sum(one.has_ratio for one in active)
    if ratios:
        text += (
            f" ΔF/F is (F − F0) / F0, F0 being the {PERCENTILE}th percentile of the pixel's "
            "series; an offset of the camera is not taken off, and makes it smaller."
        )
    if ratios < len(active):
        text += " Where F0 is not clearly above 0 the values themselves are shown."
    if not any(one.is_clear for one in active):
        text += (
            " None of them fluctuates with its neighbours more than chance would make some pixels "
            "do: these may be noise alone."
        )
    return text
