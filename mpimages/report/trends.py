"""Numbers about a line of numbers, one for each image. Local."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..core.ranges import runs_of

__all__ = ["MAD_TO_SD", "Trend", "envelope", "outliers", "repeats", "trend"]

# The slope is that of so many blocks' medians at most: every pair of them counts.
BLOCKS = 300
# Whether there is one, the medians of so many blocks tell, of which no more pairs may be in the
# other order.
PARTS, AGAINST = 8, 2
# Values around an image with which it is compared, and how many standard deviations are much.
WINDOW = 21
MUCH = 8.0
# Standard deviation of normally distributed values over their median absolute deviation.
MAD_TO_SD = 1.4826


@dataclass(frozen=True)
class Trend:
    """A straight line, ``start + slope * place``.

    Attributes
    ----------
    start, slope : float
        At the first image, and an image.
    change : float
        From the first image to the last, as a part of `start`; NaN where that is not positive.
    is_clear : bool
        Whether the values go up, or down, nearly all the way: not by chance.
    """

    start: float
    slope: float
    change: float
    is_clear: bool


def trend(values: np.ndarray, use: np.ndarray) -> Trend | None:
    """The slope by Theil and Sen: the median of the slopes of all pairs.

    It takes no notice of outliers (P. K. Sen, J. Am. Stat. Assoc. 63, 1968). The pairs are those
    of the medians of at most 300 blocks.

    It is clear where the medians of eight blocks are in order, but for two of their 28 pairs at
    most: Kendall's S of 24 or more (M. G. Kendall, Biometrika 30, 1938). 35 of the 8! orders have
    no more than two such pairs, so that without a trend either direction is met with a
    probability of 2 * 35 / 8! = 0.002, however the values are distributed, as long as those of
    different blocks do not depend on each other. What goes up and comes down, and what lasts for
    a while, such as cells that fire, makes no trend; and fewer than eight values never do.

    Parameters
    ----------
    values : (n,) float64 ndarray
    use : (n,) bool ndarray
        Which of them count.

    Returns
    -------
    Trend or None
        None for fewer than three values.
    """
    places = np.flatnonzero(use & np.isfinite(values))
    if len(places) < 3:
        return None
    cuts = np.linspace(0, len(places), min(BLOCKS, len(places)) + 1).astype(np.int64)
    blocks = [places[a:b] for a, b in pairwise(cuts)]
    x = np.array([block.mean() for block in blocks])
    y = np.array([np.median(values[block]) for block in blocks])
    first, second = np.triu_indices(len(x), 1)
    slope = float(np.median((y[second] - y[first]) / (x[second] - x[first])))
    start = float(np.median(y - slope * x))
    whole = slope * (len(values) - 1)
    clear = _is_ordered(np.array_split(values[places], PARTS)) if len(places) >= PARTS else False
    return Trend(start, slope, whole / start if start > 0 else np.nan, clear)


def _is_ordered(parts: Iterable[np.ndarray]) -> bool:
    medians = np.array([np.median(part) for part in parts])
    first, second = np.triu_indices(len(medians), 1)
    signs = np.sign(medians[second] - medians[first])
    return bool(min((signs >= 0).sum(), (signs <= 0).sum()) <= AGAINST)


def outliers(values: np.ndarray, use: np.ndarray, least: float, floor: float = 0.0) -> np.ndarray:
    """Which values lie far from the running median of their neighbours. (n,) bool.

    Far is more than eight standard deviations (by the median absolute deviation, but at least
    `floor`) and more than the part `least` of the median of all.
    """
    places = np.flatnonzero(use & np.isfinite(values))
    found = np.zeros(len(values), bool)
    if len(places) < WINDOW:
        return found
    known = values[places]
    half = WINDOW // 2
    padded = np.concatenate([known[half:0:-1], known, known[-2 : -half - 2 : -1]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)
    rest = np.abs(known - np.median(windows, axis=1))
    much = MUCH * max(floor, MAD_TO_SD * float(np.median(rest)))
    found[places] = (rest > much) & (rest > least * abs(float(np.median(known))))
    return found


def repeats(marks: np.ndarray) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Which images are the same as others.

    Parameters
    ----------
    marks : (n, m) float64 ndarray
        Rows that are equal for images that are; rows with NaN equal none.

    Returns
    -------
    standing : list of (first, stop)
        Images one after the other that are all the same.
    again : list of (image, earlier)
        Images that are the same as an earlier one, but not as the one before.
    """
    known = np.flatnonzero(np.isfinite(marks).all(axis=1))
    if len(known) == 0:
        return [], []
    _, first, kind = np.unique(marks[known], axis=0, return_index=True, return_inverse=True)
    earlier = known[first[kind.reshape(-1)]]
    same = np.zeros(len(marks), bool)
    same[1:] = (marks[1:] == marks[:-1]).all(axis=1)
    standing = [(a - 1, b) for a, b in runs_of(np.flatnonzero(same))]
    again = [
        (int(image), int(before))
        for image, before in zip(known, earlier, strict=True)
        if image != before and not same[image]
    ]
    return standing, again


def envelope(values: np.ndarray, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least and greatest of each of at most `points` blocks, with the blocks' middles.

    Returns
    -------
    places, low, high : float64 ndarrays
        NaN where a block has no finite value.
    """
    cuts = np.linspace(0, len(values), min(points, len(values)) + 1).astype(np.int64)
    blocks = [values[a:b] for a, b in pairwise(cuts)]
    finite = [block[np.isfinite(block)] for block in blocks]
    low = np.array([block.min() if len(block) else np.nan for block in finite])
    high = np.array([block.max() if len(block) else np.nan for block in finite])
    return (cuts[:-1] + cuts[1:] - 1) / 2, low, high
