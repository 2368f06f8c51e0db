"""The section of the page about a registration. Local."""

from __future__ import annotations

import numpy as np

from ..core.json_types import JsonObject
from ..registration.finders import RELIABLE
from .correction import Correction
from .correction_judged import borders_text
from .drawing import ACCENT, INK, SECOND, Frames, Plot, Scale
from .gathering import Recording
from .judgement import Judged
from .page import section, table
from .pictures import Picture, alike
from .words import frames_text, number_text

__all__ = ["correction_section"]

# Of fewer planes those at the ends, which were filled, decide what seems to be left along them.
FEW_PLANES = 32
# Part of an axis that is left above the curves, for their names.
KEY = 0.3
METHODS = {
    "rigid": "one shift for each image",
    "planar": "one shift for each plane",
    "piecewise": "a smooth field of shifts in each plane",
}


def correction_section(
    recording: Recording, judged: Judged, correction: Correction, interval: float | None
) -> str:
    """As HTML: numbers, the means before and after, and what there is over time."""
    frames = Frames(recording.keys, interval)
    figures = judged.figures["registration"]
    means = alike({"Mean before": correction.raw, "Mean after": correction.moved}, "grey", "mean")
    lines = [
        *([_correlation(correction, frames)] if recording.count > 1 else []),
        *([_shifts(correction, frames)] if recording.count > 1 else []),
        *([_quality(correction, frames)] if recording.count > 1 else []),
        *([] if figures["depth"] is None else [_depth(figures["depth"])]),
    ]
    shown = [
        section("Motion correction", "pictures", means, _about(correction, figures)),
        table(_rows(recording, correction, figures)),
        section("Motion over time", "lines", lines) if lines else "",
    ]
    return "\n".join(part for part in shown if part)


def _about(correction: Correction, figures: JsonObject) -> str:
    """The most important in two sentences."""
    moved, left = figures["shift"], figures["residual"]
    if moved is None:
        return "No frame could be placed, so that nothing is corrected."
    text = (
        f"Found as {METHODS[correction.method]}. Frames lie off by "
        f"{number_text(moved['rms'], 2)} pixels before"
    )
    if left is not None:
        text += f", and by {number_text(left['rms'], 2)} pixels after the correction"
    return (
        text + " (root mean square). They are moved as by "
        "applyRegistration. All other sections are of the recording before."
    )


def _rows(
    recording: Recording, correction: Correction, figures: JsonObject
) -> list[tuple[str, str]]:
    moved, left = figures["shift"], figures["residual"]
    sharp, like, depth = figures["sharpness"], figures["correlation"], figures["depth"]
    lost = frames_text(figures["lost"]) if figures["lost"] else "none"
    rows = [("frames placed", f"{figures['placed']:,} of {recording.count:,}"), ("lost", lost)]
    if moved is not None:
        rows.append(("shift", _size_text(moved)))
    rows.append(
        ("left of it", "it cannot be told" if left is None else _left_text(recording, left))
    )
    ratio = "" if sharp["ratio"] is None else f" ({sharp['ratio']:.2f} times)"
    rows.append(
        (
            "sharpness",
            f"{number_text(sharp['before'], 3)} before, {number_text(sharp['after'], 3)} after"
            f"{ratio}: crispness of the mean, its gradient's root mean square "
            "(Pnevmatikakis and Giovannucci, 2017)",
        )
    )
    if like["before"] is not None and like["after"] is not None:
        rows.append(
            (
                "correlation",
                f"{like['before']:.3f} before, {like['after']:.3f} after: median over the "
                "frames, with the reference",
            )
        )
    rows.append(("borders lost", borders_text(figures["borders"])))
    rows.append(
        (
            "depth",
            "whether it drifts cannot be told: there are too few frames, or they show too little"
            if depth is None
            else f"beginning and end are alike by {depth['far']:.2f}, neighbouring eighths by "
            f"{depth['near']:.2f}",
        )
    )
    return [(name, text.replace("-", "−")) for name, text in rows]


def _size_text(one: JsonObject) -> str:
    text = f"{number_text(one['rms'], 2)} pixels root mean square, at most "
    text += f"{number_text(one['largest'], 2)} at frame {one['frame']}"
    if one["blocks"] is not None:
        text += f"; parts against the whole {number_text(one['blocks'], 2)}"
    if one["planes"] is not None:
        text += f"; along the planes {number_text(one['planes'], 2)} planes"
    return text


def _left_text(recording: Recording, left: JsonObject) -> str:
    text = _size_text(left)
    if left["planes"] is not None and recording.dims[2] < FEW_PLANES:
        text += ", which is overstated where there are few of them"
    return f"{text}; {left['placed']:,} frames against the mean of all others"


# -- over time -----------------------------------------------------------------------------


def _correlation(correction: Correction, frames: Frames) -> Picture:
    tight = Scale.of(correction.before, correction.after)
    room = KEY * (tight.high - tight.low)
    plot = Plot(frames, Scale(tight.low, tight.high + room), "correlation")
    plot.curve(correction.before, SECOND)
    plot.curve(correction.after, ACCENT)
    plot.key([("before", SECOND), ("after", ACCENT)])
    caption = (
        "Of each frame with the reference, where all frames overlap. Noise makes it small in "
        "faint frames."
    )
    return Picture("Correlation with the reference", caption, plot.svg("Correlation"))


def _shifts(correction: Correction, frames: Frames) -> Picture:
    whole = correction.shifts.mean(axis=1)
    known = whole[np.isfinite(whole)]
    extent = max(1.0, 1.2 * float(np.abs(known).max())) if len(known) else 1.0
    plot = Plot(frames, Scale(-extent, extent), "pixels")
    plot.straight(frames.ends, (0.0, 0.0), "zero")
    names = [("rows", ACCENT), ("columns", SECOND), ("planes", INK)][: whole.shape[1]]
    for axis, (_, colour) in enumerate(names):
        plot.curve(whole[:, axis], colour)
    plot.key(names)
    caption = "By how much each frame is moved back. Positive: to higher rows, or columns, before."
    if correction.shifts.shape[1] > 1:
        caption += " The mean over its parts."
    if correction.lost.any():
        caption += " Lost frames are left out."
    return Picture("Shift that is corrected", caption, plot.svg("Shift that is corrected"))


def _quality(correction: Correction, frames: Frames) -> Picture:
    plot = Plot(frames, Scale.of(correction.quality, np.zeros(1)), "standard deviations")
    plot.curve(correction.quality, ACCENT)
    caption = (
        "By how much the peak of each frame's correlation stands out; with less than "
        f"{RELIABLE:g} the frame is lost."
    )
    return Picture("Quality of the fit", caption, plot.svg("Quality of the fit"))


def _depth(depth: JsonObject) -> Picture:
    values = np.array(depth["to_first"])
    plot = Plot(
        Scale(0.5, len(values) + 0.5, whole=True),
        Scale.of(values, np.array([0.0, 1.0])),
        "likeness",
        "eighth of the recording",
    )
    plot.points(np.arange(1.0, len(values) + 1), values, ACCENT)
    caption = (
        "Of the mean of each eighth to that of the first, without what noise takes from it: near 1 "
        "as long as the same is seen. A slow fall may be a drift to another depth."
    )
    return Picture("Depth", caption, plot.svg("Depth"))
