"""Numbers and frames in words. Local."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["clock_text", "frames_text", "number_text", "percent_text", "time_text"]

# Of many runs of frames so many are named.
NAMED = 3


def percent_text(part: float) -> str:
    """A part of one: ``'12 %'``, ``'0.03 %'``, ``'less than 0.001 %'``."""
    per_cent = 100 * part
    if part == 0:
        return "0 %"
    if 0 < abs(per_cent) < 0.001:
        return "less than 0.001 %"
    if 99.5 <= abs(per_cent) < 100:
        return f"{math.floor(per_cent * 100) / 100:g} %"
    return f"{number_text(per_cent, 2)} %"


def number_text(value: float, digits: int = 4) -> str:
    """So many significant digits, but every digit of the integer part."""
    if not math.isfinite(value):
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 1}e}"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    if whole >= digits:
        return f"{value:,.0f}"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:.{digits}f}"


def frames_text(runs: Sequence[Sequence[int]], lower: bool = False) -> str:
    """``'Frames 3, 120–124 and 9 more'`` for runs (first, last)."""
    total = sum(last - first + 1 for first, last in runs)
    named = [str(a) if a == b else f"{a}–{b}" for a, b in runs[:NAMED]]
    rest = sum(last - first + 1 for first, last in runs[NAMED:])
    if rest:
        listed = f"{', '.join(named)} and {rest:,} more"
    else:
        listed = " and ".join([", ".join(named[:-1]), named[-1]]) if len(named) > 1 else named[0]
    word = "frame" if total == 1 else "frames"
    return f"{word if lower else word.capitalize()} {listed}"


def time_text(seconds: float) -> str:
    """A duration: ``'33.3 ms'``, ``'12.5 s'``, ``'10 min 20 s'``, ``'2 h 5 min'``."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def clock_text(seconds: float) -> str:
    """A time since the beginning: ``'0.033 s'``, ``'12.5 s'``, ``'3:05.2 min'``."""
    if seconds < 60:
        return f"{number_text(seconds, 3 if seconds < 10 else 4)} s"
    whole = round(seconds * 10)
    hours, minutes, rest = whole // 36000, whole // 600 % 60, whole % 600 / 10
    if hours:
        return f"{hours:,}:{minutes:02d}:{rest:04.1f} h"
    return f"{minutes}:{rest:04.1f} min"
