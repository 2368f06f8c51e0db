"""What is conspicuous about a recording, in plain words. Local.

Each finding has a threshold of its own, written here; the page shows the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..core.json_types import JsonObject
from ..core.ranges import runs_of
from .activity import Active, active_of
from .counts import Counts
from .gathering import Recording
from .lines import STILL, LineNoise, displaced_rows, line_noise
from .noted import Noted, noted_frames
from .shifts import CLAIMED
from .trends import Trend, outliers, repeats, trend
from .words import frames_text, number_text, percent_text

__all__ = ["NOTE", "WARNING", "Finding", "Judged", "ceiling_of", "judge", "labelled"]

# As parts of one.
SATURATED, AT_FLOOR, NOT_FINITE, UNCHANGED = 1e-5, 0.05, 0.0, 1e-3
CHANGE, STEP = 0.03, 0.05
# Which part of the images must tell their shift.
TOLD = 0.5
# A value that is met so many times as often as the ones below it is where values were cut off.
PILE, BELOW, NEAREST = 5, 8, 4
# With fewer different values than this nothing can be said of piles.
LEAST_VALUES = 24
# Of fewer images nothing is said over time.
LEAST_IMAGES = 3
# By chance alone, so many equal images may be expected among those of a recording.
BY_CHANCE = 0.01
# Line noise of less than this part of a pixel's noise is not worth a word; of more than that part
# it is a warning.
FAINT, STRONG = 0.1, 0.5
# A pixel's signal lasts where it differs from independent values by so many standard deviations.
LASTING = 4.0
# Fewer images are no recording whose pixels ought to change.
FEW = 10
WARNING, NOTE = "warning", "note"
SHIFT = ("down", "right")


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
    snr : ndarray or None
        Of each pixel, see `signal_to_noise`.
    active : list of Active
    frames : list of Noted
        Those that findings speak of.
    """

    findings: list[Finding]
    figures: JsonObject
    blank: np.ndarray
    bleaching: Trend | None
    ceiling: float | None
    snr: np.ndarray | None
    active: list[Active]
    frames: list[Noted]


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
    standing, again = _repeated(recording, blank)
    unlike = _unlike(recording, blank)
    snr = signal_to_noise(recording)
    _noise(recording, snr, figures)
    active = active_of(recording)
    figures["active"] = [one.fields() for one in active]
    found = [
        *_few(recording),
        *_saturation(recording, figures),
        *_floor(recording, figures),
        *_not_finite(recording, figures),
        *_blank(recording, blank, told_apart, figures),
        *_repeats(recording, standing, again, told_apart, figures),
        *_gaps(gaps, figures),
        *_unwritten(unwritten or {}, figures),
        *_bleaching(recording, bleaching, figures),
        *_steps(recording, unlike, figures),
        *_motion(recording, blank, figures),
        *_lines(recording, figures),
        *_displaced(recording, figures),
        *_unchanged(recording, figures),
    ]
    found.sort(key=lambda finding: finding.level != WARNING)
    ceiling = ceiling_of(recording.counts, recording.pixels.max)
    frames = noted_frames(recording, unlike, standing, again)
    return Judged(found, figures, blank, bleaching, ceiling, snr, active, frames)


def _few(recording: Recording) -> list[Finding]:
    """What cannot be said at all of so few images."""
    if recording.count >= LEAST_IMAGES:
        return []
    pages = recording.dims[2] if len(recording.dims) == 3 else 0
    movie = f" If its {pages} pages are a movie, read them with nplanes=1." if pages > 1 else ""
    alone = recording.count == 1
    which = "One image does" if alone else f"{recording.count} images do"
    text = f"{which} not tell of changes over time: bleaching, motion, noise, repeats."
    return [Finding("few_images", NOTE, f"{text}{movie if alone else ''}")]


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
    runs = labelled(recording, runs_of(np.flatnonzero(blank)))
    figures["blank"] = runs
    if runs:
        if blank.all():
            what = "Every frame is blank" if recording.count > 1 else "The image is blank"
        else:
            what = f"{frames_text(runs)} {'is' if blank.sum() == 1 else 'are'} blank"
        yield Finding("blank", level, f"{what}: no pixel differs from another.")


def _repeated(
    recording: Recording, blank: np.ndarray
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """As `trends.repeats`; blank frames are not looked at."""
    marks = np.stack([recording.column(name) for name in ("checksum", "mean", "min", "max")], 1)
    marks[blank] = np.nan
    return repeats(marks)


def _repeats(
    recording: Recording,
    standing: list[tuple[int, int]],
    again: list[tuple[int, int]],
    level: str,
    figures: JsonObject,
) -> Iterator[Finding]:
    runs = labelled(recording, standing)
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
        # Of formats with chunks a file says what stands for them.
        instead = "the fill value" if "chunks" in unwritten else "zeros"
        yield Finding(
            "unwritten", WARNING, f"Never written, and therefore {instead}: {parts} of the files."
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


def _unlike(recording: Recording, blank: np.ndarray) -> np.ndarray:
    """Whose mean is much unlike that of the frames around. (n,) bool."""
    mean = recording.column("mean")
    floor = 0.0
    if recording.dtype.kind != "f" and not blank.all():  # n photons scatter by sqrt(n)
        size = recording.pixels.mean.size
        floor = np.sqrt(max(1.0, size * abs(float(np.median(mean[~blank]))))) / size
    return outliers(mean, ~blank, STEP, floor)


def _steps(recording: Recording, found: np.ndarray, figures: JsonObject) -> Iterator[Finding]:
    runs = labelled(recording, runs_of(np.flatnonzero(found)))
    figures["unlike_neighbours"] = runs
    if runs:
        mean, differs, that = (
            ("mean", "differs", "that") if found.sum() == 1 else ("means", "differ", "those")
        )
        yield Finding(
            "steps",
            NOTE,
            f"The {mean} of {frames_text(runs, lower=True)} {differs} much from {that} of the "
            "frames around.",
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


def signal_to_noise(recording: Recording) -> np.ndarray | None:
    """Of each pixel, the standard deviation of what lasts from frame to frame over its noise.

    The variance of a pixel is that of its signal and its noise; the latter is known from the
    differences between frames. 0 where there is no more than noise; NaN where there is none.
    None for fewer than three frames, which tell the one or the other.
    """
    if recording.count < 3:
        return None
    with np.errstate(all="ignore"):
        variance = recording.pixels.stdev**2 * (recording.count / (recording.count - 1))
        noise = recording.pixels.noise**2
        ratio: np.ndarray = np.sqrt(np.maximum(variance / noise - 1, 0))
    ratio[~np.isfinite(ratio)] = np.nan
    return ratio


def _noise(recording: Recording, snr: np.ndarray | None, figures: JsonObject) -> None:
    """Numbers over the pixels that change."""
    figures["noise"] = figures["snr"] = None
    noise = recording.pixels.noise
    there = np.isfinite(noise) & (noise > 0)
    if not there.any():
        return
    middle = float(np.median(noise[there]))
    mean = float(np.median(recording.pixels.mean[there]))
    figures["noise"] = {"median": middle, "of_mean": middle / mean if mean > 0 else None}
    known = np.array([]) if snr is None else snr[there & np.isfinite(snr)]
    if not len(known):
        return
    lasting = None
    if recording.count >= FEW:
        # What is left of the variance scatters by so much where frames are independent.
        n = recording.count
        limit = LASTING * np.sqrt((n - 2) / (n * n - 1))
        lasting = float(np.mean(known**2 / (1 + known**2) > limit)) if limit < 1 else None
    low, high = (float(value) for value in np.percentile(known, (50, 99)))
    figures["snr"] = {"median": low, "percentile_99": high, "lasting": lasting}


def _lines(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    """What whole rows, or columns, have in common at one time."""
    figures["line_noise"] = None
    first, second = recording.sampled[0::2], recording.sampled[1::2]
    use = ~(recording.blank[first] | recording.blank[second])
    if recording.region is not None:  # unknown shifts are those of images that show too little
        moved = [recording.column(name)[second] - recording.column(name)[first] for name in SHIFT]
        use &= ~(np.hypot(*moved) > STILL)
    differences = recording.lines[1::2][use] - recording.lines[0::2][use]
    if not np.isfinite(differences).all():
        return
    known: dict[str, LineNoise] = {}
    for name, (a, b) in recording.profiles.parts(differences).items():
        found = line_noise(a, b)
        if found is not None:
            known[name] = found
    figures["line_noise"] = {
        name: {
            "stdev": one.stdev,
            "significance": round(one.significance, 2),
            "is_clear": one.is_clear,
        }
        for name, one in known.items()
    } or None
    noise = (figures["noise"] or {}).get("median")
    for name, one in known.items():
        if not one.is_clear or noise is None or one.stdev < FAINT * noise:
            continue
        yield Finding(
            "lines",
            WARNING if one.stdev >= STRONG * noise else NOTE,
            f"Whole {name} flicker: line noise of stdev {number_text(one.stdev, 2)}, "
            f"{number_text(one.stdev / noise, 2)} times the noise of a pixel.",
        )


def _displaced(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    """Whether every other row lies beside the others, as a scan in both directions may leave it."""
    figures["displaced_rows"] = None
    mean = recording.pixels.mean
    flat = mean if mean.ndim == 2 else mean.mean(axis=2)
    if not np.isfinite(flat).all():
        return
    rows, columns = displaced_rows(flat), displaced_rows(flat.T)
    # Where both are, it is the pattern of a colour camera's filters.
    if (rows is None) == (columns is None):
        return
    shift = rows if rows is not None else columns
    name, side = ("rows", "right") if rows is not None else ("columns", "bottom")
    assert shift is not None
    other = {"right": "left", "bottom": "top"}[side]
    figures["displaced_rows"] = {"axis": name, "pixels": round(shift, 3)}
    yield Finding(
        "scan",
        WARNING,
        f"Odd {name} lie {number_text(abs(shift), 2)} pixels to the {side if shift > 0 else other} "
        "of even ones: the phase of a scan in both directions may be off.",
    )


def _unchanged(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    stdev = recording.pixels.stdev
    part = float(np.mean(stdev == 0)) if recording.count > 1 else 0.0
    figures["unchanged"] = part
    # By 1, at one time or two: where as many do, the others might have as well.
    hardly = (stdev > 0) & (recording.count * stdev**2 < 2) & (recording.dtype.kind != "f")
    if UNCHANGED <= part < 1 and recording.count >= FEW and np.mean(hardly) < part:
        yield Finding("unchanged", NOTE, f"{percent_text(part)} of the pixels never change.")


def labelled(recording: Recording, runs: list[tuple[int, int]]) -> list[list[int]]:
    """Runs of places, half-open, as runs of keys, both ends included."""
    return [[int(recording.keys[a]), int(recording.keys[b - 1])] for a, b in runs]
