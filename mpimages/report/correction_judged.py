"""What is conspicuous about a registration, in plain words. Local."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..core.json_types import JsonObject
from ..core.ranges import runs_of
from ..registration.model import is_lost, lengths
from .correction import EIGHTHS, Correction, sharpness
from .gathering import Recording
from .judgement import NOTE, WARNING, Finding, Judged, labelled
from .noted import Noted, runs_noted
from .words import frames_text, number_text, percent_text

__all__ = ["borders_text", "judge_correction"]

# In pixels: what is left of the motion, of the whole image or of its parts.
LEFT = 0.5
# An image has become less like the reference by so much, and by so many standard deviations of the
# correlation of independent pixels.
WORSE, CLEAR = 0.05, 6.0
# All images together have, in the median.
ALL_WORSE = 0.01
# Part of a side of the image.
MUCH_LOST = 0.1
# Part of the images that are registered once more and cannot be placed.
NOT_AGAIN = 0.05
# Eighths of a recording that are so far apart are less alike than neighbours by so much.
APART, DRIFT = 6, 0.1


def judge_correction(judged: Judged, recording: Recording, correction: Correction) -> Judged:
    """Add what the registration does to what is known of the recording.

    That images are shifted is no warning any more, and they are not listed.
    """
    worse = _worse(correction)
    figures = _figures(recording, correction, worse)
    found = [
        *(_before(finding) for finding in judged.findings),
        *_lost(recording, correction, figures),
        *_residual(correction, figures),
        *_correlation(correction, figures),
        *_borders(recording, figures),
        *_depth(figures),
    ]
    found.sort(key=lambda finding: finding.level != WARNING)
    frames = [noted for noted in judged.frames if noted.topic != "shift"]
    frames += runs_noted(correction.lost, "lost", "could not be placed: not moved")
    frames += _noted_worse(correction, worse)
    frames.sort(key=lambda noted: (noted.first, noted.last, noted.topic))
    return replace(
        judged, findings=found, figures={**judged.figures, "registration": figures}, frames=frames
    )


def _before(finding: Finding) -> Finding:
    if finding.topic != "shift":
        return finding
    text = finding.text[0].lower() + finding.text[1:]
    return Finding("shift", NOTE, f"Before the correction: {text}")


def _worse(correction: Correction) -> np.ndarray:
    """Which images are clearly less like the reference after the correction. (n,) bool."""
    least = max(WORSE, CLEAR / np.sqrt(correction.pixels))
    worse: np.ndarray = correction.after < correction.before - least
    return worse


def _noted_worse(correction: Correction, worse: np.ndarray) -> Iterator[Noted]:
    for a, b in runs_of(np.flatnonzero(worse)):
        at = a + int(np.argmin((correction.after - correction.before)[a:b]))
        upto = "" if b - a == 1 else ", the worst"
        yield Noted(
            a,
            b - 1,
            "worse",
            f"less like the reference when moved back{upto}: correlation "
            f"{correction.after[at]:.2f}, before {correction.before[at]:.2f}".replace("-", "−"),
        )


# -- figures -------------------------------------------------------------------------------


def _figures(recording: Recording, correction: Correction, worse: np.ndarray) -> JsonObject:
    """Plain values; None where there is nothing to tell."""
    keys, lost = recording.keys, correction.lost
    before, after = (sharpness(one[correction.inner]) for one in (correction.raw, correction.moved))
    return {
        "method": correction.method,
        "placed": int((~lost).sum()),
        "lost": labelled(recording, runs_of(np.flatnonzero(lost))),
        "shift": _sizes(correction.shifts, keys),
        "residual": _sizes(correction.residual, keys[correction.again]),
        "sharpness": {
            "before": before,
            "after": after,
            "ratio": after / before if before > 0 else None,
        },
        "correlation": {
            "before": _median(correction.before),
            "after": _median(correction.after),
            "worse": labelled(recording, runs_of(np.flatnonzero(worse))),
        },
        "borders": correction.borders,
        "depth": _likeness(correction.likeness),
    }


def _sizes(shifts: np.ndarray, keys: np.ndarray) -> JsonObject | None:
    """Of (n, blocks, axes) shifts: along rows and columns as a whole, of blocks against the whole,
    and along the planes of a volume. In pixels, and in planes."""
    there = ~is_lost(shifts)
    if not there.any():
        return None
    known = shifts[there]
    whole = known.mean(axis=1)
    size = lengths(known)
    at = int(size.argmax())
    blocks = None
    if shifts.shape[1] > 1:
        apart = ((known - whole[:, None]) ** 2).sum(axis=2)
        blocks = round(float(np.sqrt(apart.mean())), 4)
    return {
        "images": len(shifts),
        "placed": int(there.sum()),
        "rms": _rms(size),
        "largest": round(float(size[at]), 4),
        "frame": int(keys[there][at]),
        "blocks": blocks,
        "planes": _rms(whole[:, 2]) if whole.shape[1] == 3 else None,
    }


def _rms(values: np.ndarray) -> float:
    return round(float(np.sqrt((values**2).mean())), 4)


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _likeness(table: np.ndarray) -> JsonObject | None:
    """How alike eighths of the recording are that are neighbours, and that are far apart."""
    if not np.isfinite(table).all():
        return None
    first, second = np.triu_indices(EIGHTHS, 1)
    near, far = (
        float(table[first, second][mask].mean())
        for mask in (second - first == 1, second - first >= APART)
    )
    return {
        "to_first": [1.0, *(float(one) for one in table[0, 1:])],
        "near": near,
        "far": far,
        "drifts": bool(near - far >= DRIFT),
    }


# -- findings ------------------------------------------------------------------------------


def _lost(recording: Recording, correction: Correction, figures: JsonObject) -> Iterator[Finding]:
    number = int(correction.lost.sum())
    if number == 0:
        return
    if number == recording.count:
        yield Finding("lost", WARNING, "No frame could be placed: nothing is corrected.")
        return
    part = f", {percent_text(number / recording.count)} of all" if number > 1 else ""
    stay = "it stays where it was" if number == 1 else "they stay where they were"
    yield Finding(
        "lost", WARNING, f"{frames_text(figures['lost'])} could not be placed{part}: {stay}."
    )


def _residual(correction: Correction, figures: JsonObject) -> Iterator[Finding]:
    left = figures["residual"]
    if left is None:
        return
    if left["rms"] >= LEFT:
        yield Finding(
            "residual",
            WARNING,
            f"After the correction frames still lie {number_text(left['rms'], 2)} pixels off (root "
            f"mean square of {left['placed']:,}); the largest is {number_text(left['largest'], 2)} "
            f"pixels at frame {left['frame']}.",
        )
    if left["blocks"] is not None and left["blocks"] >= LEFT:
        more = "" if correction.method == "piecewise" else ": method 'piecewise' may correct that"
        yield Finding(
            "parts",
            NOTE,
            "After the correction parts of the image still lie "
            f"{number_text(left['blocks'], 2)} pixels off against the whole{more}.",
        )
    missing = left["images"] - left["placed"]
    if missing > NOT_AGAIN * left["images"]:
        yield Finding(
            "residual",
            NOTE,
            f"Of {left['images']:,} corrected frames {missing:,} could not be placed against the "
            "mean of the others: what is left of their motion is not known.",
        )


def _correlation(correction: Correction, figures: JsonObject) -> Iterator[Finding]:
    runs = figures["correlation"]["worse"]
    if runs:
        one = sum(last - first + 1 for first, last in runs) == 1
        yield Finding(
            "worse",
            WARNING,
            f"{frames_text(runs)} {'is' if one else 'are'} less like the reference when moved "
            f"back: {'its shift is' if one else 'their shifts are'} probably wrong.",
        )
    change = _median(correction.after - correction.before)
    if change is not None and change < -ALL_WORSE:
        yield Finding(
            "correlation",
            WARNING,
            "The correction makes frames less like the reference: the median correlation goes "
            f"from {figures['correlation']['before']:.3f} to "
            f"{figures['correlation']['after']:.3f}.".replace("-", "−"),
        )


def _borders(recording: Recording, figures: JsonObject) -> Iterator[Finding]:
    borders, (rows, columns) = figures["borders"], recording.dims[:2]
    sides = {"top": rows, "bottom": rows, "left": columns, "right": columns}
    if any(borders[name] > MUCH_LOST * n for name, n in sides.items()):
        yield Finding("borders", NOTE, f"{borders_text(borders)} are not covered by every frame.")


def borders_text(borders: JsonObject) -> str:
    """``'6 rows at the top and 4 at the bottom, 3 columns at the left and 0 at the right'``."""
    return (
        f"{borders['top']:,} rows at the top and {borders['bottom']:,} at the bottom, "
        f"{borders['left']:,} columns at the left and {borders['right']:,} at the right"
    )


def _depth(figures: JsonObject) -> Iterator[Finding]:
    depth = figures["depth"]
    left = figures["residual"]
    moves = left is not None and max(left["rms"], left["blocks"] or 0.0) >= LEFT
    if depth is not None and depth["drifts"]:
        yield Finding(
            "depth",
            WARNING,
            "The recording may drift to another depth: its beginning and its end are alike by "
            f"{depth['far']:.2f}, neighbouring eighths by {depth['near']:.2f} (1: the same but for "
            f"noise){'; or the motion that is left makes them so' if moves else ''}.",
        )
