"""What is conspicuous about a recording, in plain words. Local.

Each finding has a threshold of its own, written here; the page shows the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.json_types import JsonObject
from ..core.ranges import runs_of
from .counts import Counts
from .gathering import Recording
from .shifts import CLAIMED
from .trends import Trend, outliers, repeats, trend
from .words import frames_text, number_text, percent_text

__all__ = ["Finding", "Judged", "ceiling_of", "judge"]

# As parts of one.
SATURATED, AT_FLOOR, NOT_FINITE, UNCHANGED = 1e-5, 0.05, 0.0, 1e-3
CHANGE, STEP = 0.03, 0.05
# Which part of the images must tell their shift.
TOLD = 0.5
# A value that is met so many times as often as the ones below it is where values were cut off.
PILE, BELOW, NEAREST = 5, 8, 4
# With fewer different values than this nothing can be said of piles.
LEAST_VALUES = 24
# By chance alone, so many equal images may be expected among those of a recording.
BY_CHANCE = 0.01
# Fewer images are no recording whose pixels ought to change.
FEW = 10
WARNING, NOTE = "warning", "note"


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes
    ----------
    topic : str
    level : {'warning', 'note'}
    text : str
    """

    topic: str
    level: str
    text: str


@dataclass(frozen=True)
class Judged:
    """What a recording's numbers say.

    Attributes
    ----------
    findings : list of Finding
        Warnings first; empty where nothing is conspicuous.
    figures : dict
        The numbers behind them: plain values.
    blank : (n,) bool ndarray
    bleaching : Trend or None
    ceiling : int or float or None
        The value at which values are cut off.
    """

    findings: list[Finding]
    figures: JsonObject
    blank: np.ndarray
    bleaching: Trend | None
    ceiling: float | None


def judge(
    recording: Recording, gaps: list[JsonObject], unwritten: Mapping[str, int] | None = None
) -> Judged:
    """Look at everything that was gathered. `gaps` are missing files, from `described`, and
    `unwritten` what `never_written` has found."""
    blank = recording.blank
    changing = not blank.all()
    bleaching = trend(recording.column("mean"), ~blank) if changing else None
    figures: JsonObject = {}
    told_apart = WARNING if _are_duplicates_significant(recording) else NOTE
    found = [
        *_saturation(recording, figures),
        *_floor(recording, figures),
        *_not_finite(recording, figures),
        *_blank(recording, blank, told_apart, figures),
        *_repeats(recording, blank, told_apart, figures),
        *_gaps(gaps, figures),
        *_unwritten(unwritten or {}, figures),
        *_bleaching(recording, bleaching, figures),
        *_steps(recording, blank, figures),
        *_motion(recording, blank, figures),
        *_unchanged(recording, figures),
    ]
    found.sort(key=lambda finding: finding.level != WARNING)
    ceiling = ceiling_of(recording.counts, recording.pixels.max)
    return Judged(found, figures, blank, bleaching, ceiling)


def ceiling_of(counts: Counts, brightest: np.ndarray) -> int | None:
    """The value at which an exact histogram says that values were cut off, or None.

    The dtype's greatest, if it is met more than twice as often as the one below it, and by more
    than three standard deviations of such a count (its root, as for all counts of what is rare):
    the cut-off end of a distribution holds what would lie beyond. Or the greatest there is, where
    it is met five times as often as any of the four values below it that are met at all: what
    cameras of 10, 12 or 14 bits do. A few pixels that hardly change do so, too: there must be
    more than five whose greatest value (`brightest`) this is.
    """
    if not counts.exact:
        return None
    there = np.flatnonzero(counts.counts)
    top, least = int(there[-1]), int(np.iinfo(counts.dtype).min)
    often = int(counts.counts[top])
    if top == len(counts.counts) - 1:
        below = int(counts.counts[top - 1])
        return top + least if often > 2 * below + 3 * below**0.5 else None
    if len(there) < LEAST_VALUES or np.count_nonzero(brightest == top + least) <= PILE:
        return None
    below = int(counts.counts[there[-1 - NEAREST : -1]].max())
    return top + least if often > PILE * below else None


def _saturation(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    ceiling = ceiling_of(recording.counts, recording.pixels.max)
    figures["saturation"] = None
    if ceiling is None:
        return
    counts = recording.counts.counts
    values = int(counts[ceiling - np.iinfo(recording.dtype).min]) / int(counts.sum())
    pixels = float(np.mean(recording.pixels.max >= ceiling))
    figures["saturation"] = {"at": ceiling, "values": values, "pixels": pixels}
    if values >= SATURATED:
        yield Finding(
            "saturation",
            WARNING,
            f"{percent_text(pixels)} of the pixels are saturated "
            f"at some time: {percent_text(values)} of all values are {ceiling}.",
        )


def _floor(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    figures["at_floor"] = None
    if not recording.counts.exact or recording.dtype.kind != "u":
        return
    counts = recording.counts.counts
    part = int(counts[0]) / int(counts.sum())
    figures["at_floor"] = part
    low = counts[1 : 1 + BELOW]
    # Where most of the others are nearly 0, these are few photons.
    apart = counts[0] > PILE * low.max() and 2 * low.sum() < counts[1:].sum()
    if AT_FLOOR <= part < 1 and apart:
        yield Finding(
            "floor",
            NOTE,
            f"{percent_text(part)} of all values are 0: dark values may "
            "have been cut off, or masked.",
        )


def _not_finite(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    part = 1 - float(recording.column("finite").mean())
    figures["not_finite"] = part
    if part > NOT_FINITE:
        yield Finding("finite", WARNING, f"{percent_text(part)} of all values are NaN or infinite.")


def _are_duplicates_significant(recording: Recording) -> bool:
    """Whether equal images are no chance: images of few pixels, or few photons, may well be.

    Two values of a normal distribution of standard deviation s (in steps of its integers) are
    equal with a probability of 1 / (2 sqrt(pi) s), two of a rare event's of 1 - 2 s^2; both are
    less than 1 / sqrt(1 + 4 s^2). Of n images, whose pixels are independent, n^2 / 2 times the
    product over the pixels are equal (as birthdays are).
    """
    if recording.dtype.kind == "f" or not recording.pixels.stdev.any():
        return True
    information = 0.5 * np.log1p(4 * recording.pixels.stdev**2).sum()
    return bool(recording.count**2 / 2 * np.exp(-information) < BY_CHANCE)


def _blank(
    recording: Recording, blank: np.ndarray, level: str, figures: JsonObject
) -> Iterator[Finding]:
    runs = _labelled(recording, runs_of(np.flatnonzero(blank)))
    figures["blank"] = runs
    if runs:
        if blank.all():
            what = "Every frame is blank" if recording.count > 1 else "The image is blank"
        else:
            what = f"{frames_text(runs)} {'is' if blank.sum() == 1 else 'are'} blank"
        yield Finding("blank", level, f"{what}: no pixel differs from another.")


def _repeats(
    recording: Recording, blank: np.ndarray, level: str, figures: JsonObject
) -> Iterator[Finding]:
    marks = np.stack([recording.column(name) for name in ("checksum", "mean", "min", "max")], 1)
    marks[blank] = np.nan
    standing, again = repeats(marks)
    runs = _labelled(recording, standing)
    pairs = [[int(recording.keys[a]), int(recording.keys[b])] for a, b in again]
    figures["identical"], figures["repeated"] = runs, pairs
    for first, last in runs[:3]:
        yield Finding("identical", level, f"Frames {first}–{last} are identical.")
    if len(runs) > 3:
        frames = sum(b - a - 1 for a, b in standing[3:])
        yield Finding(
            "identical",
            level,
            f"{frames:,} more frames in {len(runs) - 3:,} other "
            "places are identical to the frame before.",
        )
    if pairs:
        more = f" and {len(pairs) - 1:,} more repeat others" if len(pairs) > 1 else ""
        yield Finding("repeated", level, f"Frame {pairs[0][0]} repeats frame {pairs[0][1]}{more}.")


def _gaps(gaps: list[JsonObject], figures: JsonObject) -> Iterator[Finding]:
    figures["missing_files"] = gaps
    if gaps:
        missing = sum(gap["missing"] for gap in gaps)
        one = gaps[0]
        more = f", and in {len(gaps) - 1:,} other places" if len(gaps) > 1 else ""
        files = "files seem" if missing > 1 else "file seems"
        yield Finding(
            "dropped",
            WARNING,
            f"{missing:,} {files} to be missing: between {one['after']} and {one['before']}{more}.",
        )


def _unwritten(unwritten: Mapping[str, int], figures: JsonObject) -> Iterator[Finding]:
    figures["never_written"] = dict(unwritten)
    if unwritten:
        parts = ", ".join(
            f"{number:,} {name if number > 1 else name[:-1]}" for name, number in unwritten.items()
        )
        yield Finding(
            "unwritten", WARNING, f"Never written, and therefore zeros: {parts} of the files."
        )


def _bleaching(
    recording: Recording, bleaching: Trend | None, figures: JsonObject
) -> Iterator[Finding]:
    figures["bleaching"] = None
    if bleaching is None:
        return
    change = bleaching.change
    figures["bleaching"] = {
        "start": bleaching.start,
        "slope": bleaching.slope,
        "change": change if np.isfinite(change) else None,
    }
    if bleaching.is_clear and abs(change) >= CHANGE:
        verb = "falls" if change < 0 else "rises"
        yield Finding(
            "bleaching",
            WARNING if change < 0 else NOTE,
            f"Intensity {verb} by {percent_text(abs(change))} over the recording.",
        )


def _steps(recording: Recording, blank: np.ndarray, figures: JsonObject) -> Iterator[Finding]:
    mean = recording.column("mean")
    floor = 0.0
    if recording.dtype.kind != "f" and not blank.all():  # n photons scatter by sqrt(n)
        size = recording.pixels.mean.size
        floor = np.sqrt(max(1.0, size * abs(float(np.median(mean[~blank]))))) / size
    found = outliers(mean, ~blank, STEP, floor)
    runs = _labelled(recording, runs_of(np.flatnonzero(found)))
    figures["unlike_neighbours"] = runs
    if runs:
        verb = "differs" if found.sum() == 1 else "differ"
        yield Finding(
            "steps",
            NOTE,
            f"The mean of {frames_text(runs, lower=True)} {verb} "
            "much from that of the frames around.",
        )


def _motion(recording: Recording, blank: np.ndarray, figures: JsonObject) -> Iterator[Finding]:
    figures["shift"] = None
    if recording.region is None or blank.all():
        return
    size = np.hypot(recording.column("down"), recording.column("right"))
    told = np.isfinite(size)
    part = float(told.sum() / (~blank).sum())
    figures["shift"] = {"told": part, "largest": None, "frame": None, "above_one_pixel": 0}
    if part < TOLD:
        yield Finding(
            "shift",
            NOTE,
            "Whether it moves cannot be told for "
            f"{percent_text(1 - part)} of the frames: they show too little, or are too "
            "unlike its middle.",
        )
    if not told.any():
        return
    place = int(np.nanargmax(size))
    largest, moved = float(size[place]), int((size > CLAIMED).sum())
    figures["shift"] |= {
        "largest": round(largest, 3),
        "frame": int(recording.keys[place]),
        "above_one_pixel": moved,
    }
    if moved:
        often = f"; {moved:,} frames are shifted by more than a pixel" if moved > 1 else ""
        yield Finding(
            "shift",
            WARNING,
            f"Shift of {number_text(largest, 2)} pixels at frame "
            f"{int(recording.keys[place])}{often}.",
        )


def _unchanged(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    stdev = recording.pixels.stdev
    part = float(np.mean(stdev == 0)) if recording.count > 1 else 0.0
    figures["unchanged"] = part
    # By 1, at one time or two: where as many do, the others might have as well.
    hardly = (stdev > 0) & (recording.count * stdev**2 < 2) & (recording.dtype.kind != "f")
    if UNCHANGED <= part < 1 and recording.count >= FEW and np.mean(hardly) < part:
        yield Finding("unchanged", NOTE, f"{percent_text(part)} of the pixels never change.")


def _labelled(recording: Recording, runs: list[tuple[int, int]]) -> list[list[int]]:
    """Runs of places, half-open, as runs of keys, both ends included."""
    return [[int(recording.keys[a]), int(recording.keys[b - 1])] for a, b in runs]
