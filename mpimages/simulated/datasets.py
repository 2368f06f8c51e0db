"""Small sets with a known structure, to try analyses on: groups, factors, sources.

As in scenes.py nothing is used but hashes, integer arithmetic and IEEE-exact operations on
float64, in a fixed order, so that each rank makes the records that it owns, and the bytes are the
same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.arguments import check_dims, check_int, check_number
from ..core.text import quote
from .scenes import BELL, bell, chance, smooth

__all__ = ["MAKERS", "Made", "iris", "mouse_stimuli"]

FLOAT64 = np.dtype(np.float64)
# Of a size, as hashes take 32 bits; and of values that each rank has in memory.
LARGEST, LARGEST_HELD = 1 << 31, 1 << 24


@dataclass(frozen=True)
class Made:
    """A simulated set, of which any record can be made alone.

    Attributes
    ----------
    name, description : str
    kind : {'series', 'images'}
    dims : tuple of int
        Of the pixels of a Series, or of an image.
    count : int
        The length of a series, or the number of images.
    make : callable
        The records [first, stop).
    truth : callable
        Returns what the records were made of, a tuple of ndarrays.
    """

    name: str
    description: str
    kind: str
    dims: tuple[int, ...]
    count: int
    make: Callable[[int, int], np.ndarray] = field(repr=False)
    truth: Callable[[], tuple[np.ndarray, ...]] = field(default=tuple, repr=False)
    dtype: np.dtype = FLOAT64

    def block(self, first: int, stop: int) -> np.ndarray:
        """The series [first, stop). Local."""
        return self.make(first, stop)

    def image(self, i: int) -> np.ndarray:
        """Image i. Local."""
        image: np.ndarray = self.make(i, i + 1)[0]
        return image


def normal(seed: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Nearly normal values of mean 0 and standard deviation 1: (rows, columns)."""
    values: np.ndarray = bell(seed, rows[:, None], columns) / float(BELL)
    return values


def _product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """A matrix product whose sums have one order, whatever the library and the rows."""
    out = np.zeros((len(left), right.shape[1]))
    for k in range(len(right)):
        out += left[:, k, None] * right[k]
    return out


# -- the sets of loadExample ---------------------------------------------------------------


def iris() -> Made:
    """Three groups of 50 records of four values, of which two groups overlap."""
    centers = np.array([[5.0, 3.4, 1.5, 0.25], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.5, 2.0]])
    spread = np.array([0.4, 0.3, 0.35, 0.18])

    def make(first: int, stop: int) -> np.ndarray:
        rows = np.arange(first, stop)
        # What a record has in common moves all of its values: large flowers are large.
        size = normal(81, rows, np.zeros(1, dtype=np.int64))
        values = centers[rows // 50] + spread * (0.6 * size + 0.8 * normal(82, rows, np.arange(4)))
        tenths: np.ndarray = np.maximum(np.floor(values * 10 + 0.5), 1.0) / 10
        return tenths

    told = "Simulated, not measured: three groups of 50 flowers, four lengths each, in cm"
    return Made("iris", told, "series", (150,), 4, make)


def mouse_stimuli() -> dict[str, np.ndarray]:
    """When each of the four stimuli of 'mouse-images' is shown: 1 in its first image, else 0."""
    time = np.arange(500) + 32  # that of `scenes.transients`, which begins before the first image
    shown = {}
    for number in range(4):
        begins = (time % 25 == 0) & (time // 25 % 4 == number)
        shown[f"stimulus{number}"] = begins.astype(np.float64)
    return shown


# -- the sets of makeExample ---------------------------------------------------------------


def _sizes(held: Sequence[str], **given: object) -> list[int]:
    """Sizes from 1, of which the product of those `held` is what each rank has in memory."""
    sizes = {name: check_int(value, name, 1) for name, value in given.items()}
    for name, size in sizes.items():
        if size > LARGEST:
            raise ValueError(f"{name} must be at most {LARGEST}, got {size}")
    if math.prod(sizes[name] for name in held) > LARGEST_HELD:
        raise ValueError(
            f"{' times '.join(held)} must be at most {LARGEST_HELD}: each rank has as many values"
        )
    return list(sizes.values())


def kmeans(seed: int, k: int = 5, ndims: int = 5, nrecords: int = 100, noise: float = 0.1) -> Made:
    """Records around k centers; the truth is the centers."""
    k, ndims, nrecords = _sizes(("k", "ndims"), k=k, ndims=ndims, nrecords=nrecords)
    noise = _finite(noise, "noise")
    centers = normal(seed, np.arange(k), np.arange(ndims))

    def make(first: int, stop: int) -> np.ndarray:
        rows = np.arange(first, stop)
        chosen = np.floor(chance(seed + 1, rows) * k).astype(np.int64)
        around: np.ndarray = noise * chance(seed + 2, rows[:, None], np.arange(ndims))
        around += centers[chosen]
        return around

    told = "Simulated: groups"
    return Made("kmeans", told, "series", (nrecords,), ndims, make, lambda: (centers,))


def pca(seed: int, k: int = 3, nrows: int = 100, ncols: int = 10) -> Made:
    """A product of rank k with noise of standard deviation 1; the truth is its two factors."""
    k, nrows, ncols = _sizes(("k", "ncols"), k=k, nrows=nrows, ncols=ncols)
    right = normal(seed + 1, np.arange(k), np.arange(ncols))

    def left(first: int, stop: int) -> np.ndarray:
        return normal(seed, np.arange(first, stop), np.arange(k))

    def make(first: int, stop: int) -> np.ndarray:
        values = _product(left(first, stop), right)
        values += normal(seed + 2, np.arange(first, stop), np.arange(ncols))
        return values

    told = "Simulated: components"
    return Made("pca", told, "series", (nrows,), ncols, make, lambda: (left(0, nrows), right))


def factor(
    seed: int, q: int = 1, p: int = 3, nrows: int = 50, sigmas: Sequence[float] | None = None
) -> Made:
    """p values that follow from q factors, with noise of its own scale (`sigmas`) for each."""
    q, p, nrows = _sizes(("q", "p"), q=q, p=p, nrows=nrows)
    right = normal(seed + 1, np.arange(q), np.arange(p))
    scales = normal(seed + 3, np.zeros(1, dtype=np.int64), np.arange(p))[0]
    if sigmas is not None:
        if not isinstance(sigmas, (Sequence, np.ndarray)) or len(sigmas) != p:
            raise ValueError(f"sigmas must be {p} numbers, one for each value, got {quote(sigmas)}")
        scales = np.array([_finite(sigma, "sigmas") for sigma in sigmas])

    def left(first: int, stop: int) -> np.ndarray:
        return normal(seed, np.arange(first, stop), np.arange(q))

    def noise(first: int, stop: int) -> np.ndarray:
        values = normal(seed + 2, np.arange(first, stop), np.arange(p))
        values *= scales
        return values

    def make(first: int, stop: int) -> np.ndarray:
        values = _product(left(first, stop), right)
        values += noise(first, stop)
        return values

    def truth() -> tuple[np.ndarray, ...]:
        return left(0, nrows), right, noise(0, nrows)

    return Made("factor", "Simulated: factors", "series", (nrows,), p, make, truth)


def rand(seed: int, nrows: int = 50, ncols: int = 50) -> Made:
    """Nearly normal values, independent of each other."""
    nrows, ncols = _sizes((), nrows=nrows, ncols=ncols)

    def make(first: int, stop: int) -> np.ndarray:
        return normal(seed, np.arange(first, stop), np.arange(ncols))

    return Made("rand", "Simulated: chance", "series", (nrows,), ncols, make)


def ica(seed: int, nrows: int = 100) -> Made:
    """Two mixtures of a smooth and a square wave; the truth is the waves and the mixing matrix."""
    (nrows,) = _sizes((), nrows=nrows)
    mixing = np.array([[1.0, 1.0], [0.5, 2.0]])

    def waves(first: int, stop: int) -> np.ndarray:
        rows = np.arange(first, stop)
        phase = rows / nrows
        square = np.where(_wave(4.8 * phase) < 0, -1.0, 1.0)
        values: np.ndarray = np.stack([_wave(3.2 * phase) * 1.4, square], axis=1)
        values += 0.2 * normal(seed, rows, np.arange(2))
        return values

    def make(first: int, stop: int) -> np.ndarray:
        return _product(waves(first, stop), np.ascontiguousarray(mixing.T))

    told = "Simulated: mixtures"
    return Made("ica", told, "series", (nrows,), 2, make, lambda: (waves(0, nrows), mixing))


def _wave(cycles: np.ndarray) -> np.ndarray:
    """Much like the sine of so many cycles, made of parabolas."""
    part = 2 * (cycles - np.floor(cycles))
    half = part - np.floor(part)
    height: np.ndarray = np.where(part < 1, 1.0, -1.0) * 4 * half * (1 - half)
    return height


def sources(
    seed: int,
    dims: Sequence[int] = (100, 200),
    centers: int | Sequence[Sequence[float]] = 5,
    t: int = 100,
    margin: int = 35,
    sd: float = 3,
    noise: float = 0.1,
) -> Made:
    """Images of round sources that flicker; the truth is their centers and their traces."""
    shape = check_dims(dims)
    if len(shape) != 2:
        raise ValueError(f"dims must be those of 2-D images, got {shape}")
    margin = check_int(margin, "margin", 0)
    sd, noise = _finite(sd, "sd"), _finite(noise, "noise")
    if sd <= 0:
        raise ValueError(f"sd must be above 0, got {sd}")
    count = centers if isinstance(centers, (int, np.integer)) else len(_given(centers))
    _, t, _, _ = _sizes(("centers", "t"), centers=count, t=t, rows=shape[0], columns=shape[1])
    _sizes(("rows", "columns"), rows=shape[0], columns=shape[1])
    places = _places(seed, shape, centers, margin)
    traces = _traces(seed + 1, len(places), t)
    pixel = np.arange(shape[0] * shape[1])

    def make(first: int, stop: int) -> np.ndarray:
        images = np.zeros((stop - first, *shape))
        for time in range(first, stop):
            for place, trace in zip(places, traces[:, time], strict=True):
                images[time - first] += _spot(shape, place, sd) * trace
            grain = bell(seed + 2, pixel, np.array([time])).reshape(shape) * (noise / BELL)
            images[time - first] += np.maximum(grain, 0.0)
        return images

    return Made("sources", "Simulated: sources", "images", shape, t, make, lambda: (places, traces))


def _places(seed: int, shape: tuple[int, ...], centers: object, margin: int) -> np.ndarray:
    """The centers, (n, 2): given, or so many by chance."""
    if not isinstance(centers, (int, np.integer)):
        return _given(centers)
    if min(shape) <= margin:
        raise ValueError(f"margin={margin} leaves nothing of images of {shape}")
    inside = np.array(shape, dtype=np.float64) - margin
    drawn = chance(seed, np.arange(int(centers))[:, None], np.arange(2))
    places: np.ndarray = inside * drawn + margin / 2
    return places


def _given(centers: object) -> np.ndarray:
    try:
        places = np.array(centers, dtype=np.float64)
    except Exception:  # of any type: it is the argument that is asked for its items
        places = np.empty(0)
    if places.ndim != 2 or places.shape[1] != 2 or not np.isfinite(places).all():
        raise ValueError(
            f"centers must be a number, or a list of (row, column), got {quote(centers)}"
        )
    return places


def _finite(value: object, name: str) -> float:
    number = check_number(value, name)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def _traces(seed: int, count: int, t: int) -> np.ndarray:
    """Smooth traces of 0 to 2, (count, t)."""
    time = np.arange(t + 80)
    traces = bell(seed, np.arange(count)[:, None], time) / float(BELL)
    for _ in range(40):  # of a binomial kernel, so that a bell of about 5 is left
        middle = traces[:, 1:-1] * 0.5
        traces = middle + (traces[:, :-2] + traces[:, 2:]) * 0.25
    traces = np.maximum(traces, 0.0)
    highest = traces.max(axis=1, keepdims=True)
    scaled: np.ndarray = 2 * traces / np.where(highest > 0, highest, 1.0)
    return scaled


def _spot(shape: tuple[int, ...], place: np.ndarray, sd: float) -> np.ndarray:
    """1 at a place, and falling off around it much like a Gaussian."""
    row = (np.arange(shape[0]) - place[0])[:, None] / (3 * sd)
    column = (np.arange(shape[1]) - place[1]) / (3 * sd)
    near = smooth(1 - (row * row + column * column))
    spot: np.ndarray = near * near
    return spot


MAKERS: dict[str, Callable[..., Made]] = {
    "factor": factor,
    "ica": ica,
    "kmeans": kmeans,
    "pca": pca,
    "rand": rand,
    "sources": sources,
}
