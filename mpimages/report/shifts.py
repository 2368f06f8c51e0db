"""By how much an image has moved against another: phase correlation on a small picture of each.

The normalised cross-power spectrum of two pictures, one of which is the other moved by d, is
exp(-2 pi i f d), and its inverse transform a peak at d (Kuglin and Hines, Proc. IEEE Conf. on
Cybernetics and Society, 1975). Here it is weighted by a Gaussian, so that the peak is one of known
width, whose place between the pixels three points tell: with p the logarithms of the greatest
value and its two neighbours, (p[-1] - p[1]) / (2 (p[-1] - 2 p[0] + p[1])).

That there is a peak does not say where: noise moves about one that is faint and broad. So a shift
is claimed only if squares all over the picture say that it is like the moved reference rather than
the reference itself. With a and b the squared errors of the unmoved and of the moved one in a
square, and g the root of abs(a - b) / (a + b) with the sign of a - b, the sum of all g must exceed
`CLEAR` times the root of the sum of g^2. Where nothing has moved a g is negative at least as often
as positive, and x is exceeded with a probability of less than exp(-x^2 / 2), whatever the sizes of
g (B. Efron, J. Am. Stat. Assoc. 64, 1969). That holds of g that do not depend on each other. So
there are no more than 64 squares, few of which share a cell that fires: cells that fire in turn
look like one that has moved, and of small squares a few cells would fill enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.arguments import is_small_integer
from ..engine.chain import Shape
from .neighbours import zero_not_finite

__all__ = ["CLAIMED", "LEAST", "RELIABLE", "Reduced", "Region", "ShiftFinder", "clearness"]

# Pixels of the small picture along an axis, at most: of long recordings fewer, or their shifts
# would take longer than all the rest. What exceeds so many of the image's is cut off.
SIDE, SIDE_OF_LONG = 128, 64
LONG = 1000
WIDEST = 512
# Pictures that are transformed at a time: they shall stay in the cache.
PIECE_BYTES = 1 << 20
# An image that is smaller shows too little.
LEAST = 16
# Standard deviation of the peak, in (binned) pixels.
WIDTH = 1.0
# Of the reference's values, in per cent: what is brighter, such as a cell that fires, is cut off,
# or it would be taken for another that fired in the reference.
CLIP = (1.0, 98.0)
# Part of the picture: nothing is thought to move farther.
FARTHEST = 0.25
# So many standard deviations of the surface of unrelated pictures a peak must reach.
RELIABLE = 9.0
# In pixels of the image: what is shifted by more is said to move, and must be clear.
CLAIMED = 1.0
CLEAR = 4.5
# Along an axis: of the whole picture.
SQUARES = 8
# Spectral values below this part of the greatest, and below the second in any case, count less.
NOTHING = 1e-9
TINY = 1e-30


@dataclass(frozen=True)
class Region:
    """The part of an image that is compared, and into what bins it is put.

    Attributes
    ----------
    start, size, bins : (row, column)
        The first pixel, the bins along each axis, and a bin's pixels.
    """

    start: tuple[int, int]
    size: tuple[int, int]
    bins: tuple[int, int]

    @classmethod
    def of(cls, dims: Shape, count: int) -> Region:
        """For so many images of these dims."""
        side = SIDE if count <= LONG else SIDE_OF_LONG
        bins = [min(WIDEST // side, max(1, n // side)) for n in dims[:2]]
        size = [min(side, n // width) for n, width in zip(dims, bins, strict=False)]
        start = [(n - s * b) // 2 for n, s, b in zip(dims, size, bins, strict=False)]
        return cls((start[0], start[1]), (size[0], size[1]), (bins[0], bins[1]))

    @property
    def is_enough(self) -> bool:
        """Whether there are pixels enough to tell a shift."""
        return min(self.size) >= LEAST

    def reduce(self, batch: np.ndarray) -> np.ndarray:
        """The small pictures of some images: sums over planes and bins. (k,) + size, local."""
        (r, c), (rows, columns), (br, bc) = self.start, self.size, self.bins
        part = zero_not_finite(batch[:, r : r + rows * br, c : c + columns * bc])
        # Sums of so few small integers are exact in either.
        kind = np.float32 if is_small_integer(batch.dtype) else np.float64
        planes = [part] if part.ndim == 3 else [part[..., p] for p in range(part.shape[3])]
        by_rows = np.zeros((len(batch), rows, columns * bc), kind)
        with np.errstate(over="ignore", invalid="ignore"):
            for plane in planes:
                for i in range(br):
                    by_rows += plane[:, i::br]
        if bc == 1:
            return zero_not_finite(by_rows.astype(np.float64, copy=False))
        out = np.zeros((len(batch), rows, columns))
        with np.errstate(over="ignore", invalid="ignore"):
            for j in range(bc):
                out += by_rows[:, :, j::bc]
        return zero_not_finite(out)


class Reduced:
    """As a step of a chain: the small picture of each image."""

    name = "reduced"

    def __init__(self, region: Region) -> None:
        self.region = region

    def dims(self, dims: Shape | None) -> Shape | None:
        return self.region.size

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return np.dtype(np.float64)

    def run(self, keys: object, batch: np.ndarray) -> np.ndarray:
        return self.region.reduce(batch)


class ShiftFinder:
    """Finds where small pictures lie against a reference. Local.

    Parameters
    ----------
    reference : (rows, columns) float64 ndarray
    bins : (row, column)
        Pixels of the image for each of the reference.
    """

    def __init__(self, reference: np.ndarray, bins: tuple[int, int]) -> None:
        self.shape = reference.shape
        self.bins = bins
        self.range = np.percentile(_standard(reference[None]), CLIP)
        rows, columns = self.shape
        self.window = np.outer(_hann(rows), _hann(columns))
        down = np.fft.fftfreq(rows)[:, None]
        across = np.fft.fftfreq(columns)[None, :]
        weights = np.exp(-2 * (np.pi * WIDTH) ** 2 * (down**2 + across**2))
        self.down, self.across = down, across[:, : columns // 2 + 1]
        self.noise = float(np.sqrt(np.sum(weights**2))) / weights.size
        self.weights = weights[:, : columns // 2 + 1]
        near = np.abs(down) <= FARTHEST
        self.near = near & (np.abs(across) <= FARTHEST)
        values = self._clipped(reference[None])
        self.unmoved = values[0]
        self.reference = np.conj(self._spectra(values)[0])

    def _clipped(self, pictures: np.ndarray) -> np.ndarray:
        """In a range that they have in common, with mean 0."""
        values = _standard(pictures)
        if self.range[0] < self.range[1]:
            np.clip(values, *self.range, out=values)
        values -= values.mean(axis=(1, 2), keepdims=True)
        return values

    def _spectra(self, values: np.ndarray) -> np.ndarray:
        return np.fft.rfft2(values * self.window)

    def find(self, pictures: np.ndarray) -> np.ndarray:
        """The shifts of (k, rows, columns) pictures: (k, 3) float64.

        Returns
        -------
        rows of (down, right, strength)
            In the image's pixels, positive where what is seen has moved to higher rows and
            columns; NaN where the strength, in standard deviations of what unrelated
            pictures give, does not reach `RELIABLE`, or a shift is not clear.
        """
        step = max(1, PIECE_BYTES * len(pictures) // max(1, pictures.nbytes))
        found = [
            one for i in range(0, len(pictures), step) for one in self._find(pictures[i : i + step])
        ]
        return np.array(found).reshape(-1, 3)

    def _find(self, pictures: np.ndarray) -> Iterator[tuple[float, float, float]]:
        values = self._clipped(pictures)
        for picture, surface in zip(values, self._surfaces(values), strict=True):
            down, right, strength = self._peak(surface)
            size = np.hypot(down * self.bins[0], right * self.bins[1])
            if size > CLAIMED and not self._is_clear(picture, down, right):
                down = right = np.nan
            yield down * self.bins[0], right * self.bins[1], strength

    def _is_clear(self, picture: np.ndarray, down: float, right: float) -> bool:
        """Whether squares all over a picture say that it has moved so far."""
        turns = np.exp(-2j * np.pi * (self.down * down + self.across * right))
        moved = np.fft.irfft2(np.fft.rfft2(self.unmoved) * turns, s=self.shape)
        # Not what came in from the other side.
        whole = tuple(
            slice(math.ceil(abs(by)), n - math.ceil(abs(by)))
            for by, n in zip((down, right), self.shape, strict=True)
        )
        seen, moved, unmoved = picture[whole], moved[whole], self.unmoved[whole]
        weights = self.window[whole]
        # Both as bright as what lies between them fits best, so that neither is favoured.
        between = moved + unmoved
        part = between * weights
        bright = 2 * np.vdot(part, seen) / max(np.vdot(part, between), TINY)
        a = (seen - bright * unmoved) ** 2 * weights
        b = (seen - bright * moved) ** 2 * weights
        return clearness(a, b, self.shape) > CLEAR

    def _surfaces(self, values: np.ndarray) -> np.ndarray:
        cross = self._spectra(values) * self.reference
        size = np.sqrt(cross.real**2 + cross.imag**2)
        # What is next to nothing is a rounding error; so is all of an even picture.
        least = np.maximum(size.max(axis=(1, 2), keepdims=True) * NOTHING, TINY)
        cross *= self.weights / np.maximum(size, least)
        return np.fft.irfft2(cross, s=self.shape)

    def _peak(self, surface: np.ndarray) -> tuple[float, float, float]:
        allowed = np.where(self.near, surface, -np.inf)
        row, column = divmod(int(allowed.argmax()), self.shape[1])
        highest = float(surface[row, column])
        strength = highest / self.noise
        if not strength >= RELIABLE:
            return np.nan, np.nan, strength
        return _between(surface[:, column], row), _between(surface[row], column), strength


def clearness(a: np.ndarray, b: np.ndarray, shape: Shape) -> float:
    """By how many standard deviations squares all over a picture prefer errors b to errors a.

    Parameters
    ----------
    a, b : (rows, columns) float64 ndarray
        Squared errors of each pixel.
    shape : (rows, columns)
        Of the picture of which these may be a part: it is cut into 8 × 8 squares.
    """
    a, b = (_in_squares(errors, shape) for errors in (a, b))
    gains = np.sign(a - b) * np.sqrt(np.abs(a - b) / np.maximum(a + b, TINY))
    return float(gains.sum() / max(np.sqrt((gains**2).sum()), TINY))


def _in_squares(values: np.ndarray, shape: Shape) -> np.ndarray:
    for axis, n in enumerate(shape):
        starts = np.arange(0, values.shape[axis], -(-n // SQUARES))
        values = np.add.reduceat(values, starts, axis=axis)
    return values


def _standard(pictures: np.ndarray) -> np.ndarray:
    """Each picture with mean 0 and standard deviation 1; 0 where it is even."""
    values: np.ndarray = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    squares = np.einsum("kij,kij->k", values, values)
    if not np.isfinite(squares).all():  # an overflow
        return _standard(pictures / np.abs(pictures).max())
    scale = np.sqrt(squares / values[0].size)[:, None, None]
    values /= np.where(scale > 0, scale, 1.0)
    return values


def _hann(n: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)


def _between(line: np.ndarray, place: int) -> float:
    """The place of a peak with a fraction, as a shift of either sign."""
    n = len(line)
    near = line[[place - 1, place, (place + 1) % n]]
    low, top, high = np.log(np.maximum(near, near[1] * 1e-6))
    bend = low - 2 * top + high
    fraction = 0.5 * (low - high) / bend if bend < 0 else 0.0
    shift = place if place <= n // 2 else place - n
    return shift + float(np.clip(fraction, -0.5, 0.5))
