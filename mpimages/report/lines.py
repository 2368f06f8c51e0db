"""Line noise, and rows that a scan has displaced. Local.

*Line noise* is what a whole row (or column) of the detector has in common at one time, and the row
beside it has not. Of pairs of successive images the mean difference of each row is taken, for the
left part of the image and for the right part, which lie apart. Four rows side by side give one
number, r0 - 3 r1 + 3 r2 - r3, which is blind for all that changes smoothly from row to row. Where
rows have nothing in common, the number of the left part has the sign of that of the right part as
often as not. The sum of n such signs exceeds x sqrt(n) with a probability of less than
exp(-x^2 / 2) (W. Hoeffding, J. Am. Stat. Assoc. 58, 1963).

A scene can look like that: fibres along the rows that move, or brighten. It does so with the same
rows again and again. Therefore pairs of images between which something has moved are left out, and
the patterns over the rows that explain most of the differences are taken out of them.

*A displaced scan* is one whose odd rows lie to the right or left of the even ones: so looks a scan
in both directions whose phase is not right. In the mean image each odd row is compared with the
mean of the two rows around it, unmoved and moved, in squares all over the image, as `shifts` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..engine.chain import Shape
from .neighbours import zero_not_finite
from .shifts import clearness

__all__ = ["LineNoise", "Profiles", "displaced_rows", "line_noise", "sampled_images"]

# So many pairs of images are looked at.
PAIRS = 64
# The parts of a row that are compared, at its two ends.
PART = 0.4
# Rows, or columns, that give one number, by these weights.
WEIGHTS = np.array([1.0, -3.0, 3.0, -1.0])
# So many numbers and pairs of images are needed, and so many patterns are taken out.
LEAST, PATTERNS = 16, 3
# It is clear where the sum of signs reaches so many standard deviations, signs agree by so much
# more often than not, and do so in so large a part of the image.
CLEAR, AGREEING, EVERYWHERE = 6.0, 0.1, 0.7
# In pixels: pairs of images between which there is more motion are left out.
STILL = 0.25

# Of displaced rows: how far they are looked for, what is too little, and how clear it must be.
FARTHEST, CLAIMED, CLEAR_ROWS = 8, 0.5, 6.0
# How long an axis must be.
SHORTEST = 32
TINY = 1e-30


def sampled_images(count: int) -> np.ndarray:
    """The numbers of the images that are looked at, two by two side by side. (2 m,) int64."""
    pairs = min(PAIRS, count // 2)
    starts = 2 * (np.arange(pairs) * (count // 2) // max(1, pairs))
    return (starts[:, None] + np.arange(2)).reshape(-1)


class Profiles:
    """Means along parts of the rows and columns of an image's middle plane.

    Attributes
    ----------
    width : int
        How many numbers there are of an image: left and right of each row, then above and
        below of each column.
    """

    def __init__(self, dims: Shape) -> None:
        self.rows, self.columns = dims[:2]
        self.plane = dims[2] // 2 if len(dims) == 3 else None
        self.width = 2 * (self.rows + self.columns)

    def of(self, image: np.ndarray) -> np.ndarray:
        """(width,) float64 of an image."""
        part = zero_not_finite(image if self.plane is None else image[..., self.plane])
        down, across = (max(1, int(PART * n)) for n in (self.rows, self.columns))
        found: np.ndarray = np.concatenate(
            [
                part[:, :across].mean(axis=1, dtype=np.float64),
                part[:, -across:].mean(axis=1, dtype=np.float64),
                part[:down].mean(axis=0, dtype=np.float64),
                part[-down:].mean(axis=0, dtype=np.float64),
            ]
        )
        return found

    def parts(self, profiles: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """The two parts of rows and of columns, of (m, width) profiles."""
        cuts = np.cumsum([self.rows, self.rows, self.columns])
        left, right, above, below = np.split(profiles, cuts, axis=1)
        return {"rows": (left, right), "columns": (above, below)}


@dataclass(frozen=True)
class LineNoise:
    """What rows, or columns, have in common.

    Attributes
    ----------
    stdev : float
        Of what a whole row has in common in one image, in the image's values.
    agreement : float
        -1…1: by how much more often than not the two parts agree.
    significance : float
        The sum of signs in standard deviations.
    is_clear : bool
    """

    stdev: float
    agreement: float
    significance: float
    is_clear: bool


def line_noise(a: np.ndarray, b: np.ndarray) -> LineNoise | None:
    """What the rows of two parts have in common; None where there is too little to tell.

    Parameters
    ----------
    a, b : (m, rows) float64 ndarray
        Differences of pairs of images, of one part and of the other.
    """
    scale = max(float(np.abs(part).max(initial=0.0)) for part in (a, b))
    if not TINY < scale < np.inf:
        return None
    first, second = _numbers(a / scale), _numbers(b / scale)
    pairs, groups = first.shape
    if min(pairs, groups) < LEAST:
        return None
    usual = np.linalg.svd(first + second, full_matrices=False)[2][:PATTERNS]
    first, second = (part - part @ usual.T @ usual for part in (first, second))
    signs = np.sign(first * second)
    number = np.count_nonzero(signs)
    if number < signs.size / 2:
        return None
    agreement = float(signs.sum() / number)
    significance = float(signs.sum() / np.sqrt(number))
    everywhere = float(np.mean(signs.sum(axis=0) > 0))
    kept = (1 - PATTERNS / pairs) * (1 - PATTERNS / groups)
    # A difference of two images has twice the variance, and the weights add theirs.
    shared = float((first * second).mean()) / (2 * float(WEIGHTS @ WEIGHTS) * kept)
    clear = significance > CLEAR and agreement >= AGREEING and everywhere >= EVERYWHERE
    return LineNoise(scale * max(0.0, shared) ** 0.5, agreement, significance, clear)


def _numbers(differences: np.ndarray) -> np.ndarray:
    """One number of each four rows: (m, rows // 4)."""
    four = len(WEIGHTS)
    groups = differences.shape[1] // four
    whole = differences[:, : groups * four]
    found: np.ndarray = whole.reshape(len(whole), groups, four) @ WEIGHTS
    return found


def displaced_rows(mean: np.ndarray) -> float | None:
    """By how many pixels odd rows lie to the right of even ones; None where that is not clear.

    Parameters
    ----------
    mean : (rows, columns) float64 ndarray
    """
    if min(mean.shape) < SHORTEST:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        scale = float(np.abs(mean).max())
        if not np.isfinite(scale) or scale < TINY:
            return None
        mean = mean / scale
    odd = mean[1:-1:2]
    around = (mean[0:-2:2] + mean[2::2]) / 2
    odd, around = (part - part.mean(axis=1, keepdims=True) for part in (odd, around))
    shift = _displacement(around, odd)
    if not CLAIMED <= abs(shift) < FARTHEST:
        return None
    columns = mean.shape[1]
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(columns) * shift)
    moved = np.fft.irfft(np.fft.rfft(around, axis=1) * turns, columns, axis=1)
    seen, unmoved, moved = (part[:, FARTHEST:-FARTHEST] for part in (odd, around, moved))
    clear = clearness((seen - unmoved) ** 2, (seen - moved) ** 2, seen.shape)
    return shift if clear > CLEAR_ROWS else None


def _displacement(around: np.ndarray, odd: np.ndarray) -> float:
    """Where rows are most like others that are moved to the right, between -8 and 8 pixels."""
    columns = odd.shape[1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(columns) + 0.5) / columns)
    spectrum = np.fft.rfft(around * window, axis=1)
    likeness = np.fft.irfft((np.conj(spectrum) * np.fft.rfft(odd * window, axis=1)).sum(0), columns)
    near = np.arange(-FARTHEST, FARTHEST + 1)
    place = int(near[likeness[near].argmax()])
    low, top, high = (float(likeness[place + i]) for i in (-1, 0, 1))
    bend = low - 2 * top + high
    return place + (0.5 * (low - high) / bend if bend < 0 else 0.0)
