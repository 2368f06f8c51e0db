"""Lazy spatial filters of images. Local; each image by itself.

Gaussian and uniform filters go axis by axis: each line is computed in float64 and stored in the
result's dtype, as SciPy does it. Lines do not depend on each other, so that many images go through
one call and get the bits that each would get alone. The kernel gives SciPy's bits for the same
weights, some five times as fast; long windows are SciPy's running sums.

A median is a choice among the values of a window, without arithmetic. A small window is a network
of minima and maxima of the shifted image, which NumPy computes with vectors; a large one is
partitioned pixel by pixel. Both give exactly what SciPy's selection does, 3 (float64) to 200 times
(uint8) as fast.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from decimal import Decimal

import numpy as np

from ..spmd.watch import between_calls
from .chain import Shape, WritingStep
from .geometry import one_per_axis, pieces
from .image_steps import Keys, PixelSize
from .repairs import real_dtype

__all__ = ["MOST", "MOST_AMONG", "TRUNCATE", "Gaussian", "Median", "Uniform"]

# Standard deviations at which SciPy cuts a Gaussian off.
TRUNCATE = 4.0
# Windows that are summed value by value; above, a running sum is faster.
SUMMED = 48
# Pixels that a window may have along an axis, and those that a median is found among: memory and
# time grow with them.
MOST, MOST_AMONG = 10_000, 10_000
# Windows of which the median is found by a network, by the bytes of an item; above, a partition of
# each is faster.
NETWORK = {1: 121, 2: 64, 4: 36, 8: 25}
# Bytes of pixels that go through a network at once, and of windows that are partitioned at once.
STRIP_BYTES, WINDOWS_BYTES = 1 << 16, 1 << 20


class _Filter(WritingStep):
    """A step that keeps the images' dims and pixels. Along each axis it has one number."""

    def _each(self, parameter: str, number: int, none: float) -> list[float]:
        """Return a parameter for each axis: a single one is for rows and columns alone."""
        values = getattr(self, parameter)
        if not isinstance(values, tuple):
            return [values] * min(2, number) + [none] * (number - 2)
        return [*one_per_axis(values, number, f"{self.name}: {parameter}")]

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is not None:
            self.check_axes(len(dims))
        return dims

    def check_axes(self, number: int) -> None:
        """Raise ValueError unless the filter is for images of so many axes."""
        raise NotImplementedError

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return None if dtype is None else real_dtype(dtype)

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays."""
        return size

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        for piece in pieces(out):
            between_calls()
            self.filter(batch[piece], out[piece])

    def filter(self, images: np.ndarray, out: np.ndarray) -> None:
        """Filter some images, each by itself."""
        raise NotImplementedError


class Gaussian(_Filter):
    """A Gaussian filter, or derivatives of it.

    Parameters
    ----------
    sigma : float, or tuple of float
        For rows and columns, or for each axis; 0 leaves an axis as it is.
    order : int, or tuple of int
        Of the derivative along the axes, 0 to 3.
    """

    name = "gaussianFilter"

    def __init__(self, sigma: float | tuple[float, ...], order: int | tuple[int, ...]) -> None:
        self.sigma = sigma
        self.order = order
        self._weights: dict[tuple[float, int], np.ndarray] = {}

    def _axes(self, number: int) -> list[tuple[float, int]]:
        sigmas = self._each("sigma", number, 0)
        orders = self._each("order", number, 0)
        if not isinstance(self.order, tuple):
            orders = [self.order if sigma else 0 for sigma in sigmas]
        return [(sigma, int(order)) for sigma, order in zip(sigmas, orders, strict=True)]

    def check_axes(self, number: int) -> None:
        for axis, (sigma, order) in enumerate(self._axes(number)):
            if order and not sigma:
                raise ValueError(
                    f"gaussianFilter: order {order} has no effect along axis {axis}, where sigma "
                    "is 0"
                )

    def filter(self, images: np.ndarray, out: np.ndarray) -> None:
        source = images
        for axis, (sigma, order) in enumerate(self._axes(images.ndim - 1), 1):
            if not sigma:
                continue
            weights = self._weights.get((sigma, order))
            if weights is None:
                weights = self._weights[sigma, order] = gaussian_weights(sigma, order)
            _correlate(source, weights, axis, out)
            source = out
        if source is not out:
            np.copyto(out, source, casting="same_kind")


def _correlate(
    source: np.ndarray, weights: np.ndarray, axis: int, out: np.ndarray, divisor: float = 1
) -> None:
    """Correlate images with weights along an axis; `out` may be the images themselves."""
    from ..kernels.correlate import correlate

    if source.dtype == np.float16:
        source = source.astype(np.float32)
    shape = (math.prod(out.shape[:axis]), out.shape[axis], math.prod(out.shape[axis + 1 :]))
    correlate(np.ascontiguousarray(source).reshape(shape), weights, out.reshape(shape), divisor)


def gaussian_weights(sigma: float, order: int) -> np.ndarray:
    """Return the weights by which pixels are multiplied, from the one furthest before.

    They are SciPy's, whose `numpy.exp` may have other last bits on other processors: here the
    exponential is that of `decimal`, which is correctly rounded everywhere.
    """
    radius = int(TRUNCATE * sigma + 0.5)
    variance = sigma * sigma
    half = [float(Decimal(-0.5 * x * x / variance).exp()) for x in range(radius + 1)]
    total = math.fsum([*half, *half[1:]])
    weights = []
    for x in range(-radius, radius + 1):
        # The derivatives of exp(-x² / 2σ²), divided by it. A pixel before the centre meets the
        # filter's value behind it, which only odd orders tell apart.
        at = -x
        factor = (
            1.0,
            -at / variance,
            at * at / variance**2 - 1 / variance,
            3 * at / variance**2 - at**3 / variance**3,
        )[order]
        weights.append(factor * (half[abs(x)] / total))
    return np.array(weights)


class Uniform(_Filter):
    """The mean over a window around each pixel.

    `size` is for rows and columns, or a tuple for each axis; 1 leaves an axis as it is.
    """

    name = "uniformFilter"

    def __init__(self, size: int | tuple[int, ...]) -> None:
        self.size = size

    def check_axes(self, number: int) -> None:
        self._each("size", number, 1)

    def filter(self, images: np.ndarray, out: np.ndarray) -> None:
        sizes = [int(size) for size in self._each("size", images.ndim - 1, 1)]
        if images.dtype.kind != "f" or max(sizes) <= SUMMED:
            _mean(images, sizes, SUMMED, out)
            return
        for i in range(len(images)):  # each by itself: it alone says whether it is finite
            part = slice(i, i + 1)
            # A running sum would carry a NaN to the end of the line.
            most = SUMMED if np.isfinite(images[part]).all() else MOST
            _mean(images[part], sizes, most, out[part])


def _mean(images: np.ndarray, sizes: Sequence[int], summed: int, out: np.ndarray) -> None:
    """Filter axis by axis; windows of up to `summed` pixels are summed value by value."""
    source = images
    for axis, size in enumerate(sizes, 1):
        if size == 1:
            continue
        if size <= summed:
            _correlate(source, np.ones(size), axis, out, size)
        else:
            from scipy.ndimage import uniform_filter1d

            wide = source.astype(np.float32) if source.dtype == np.float16 else source
            uniform_filter1d(wide, size, axis, output=out)
        source = out
    if source is not out:
        np.copyto(out, source, casting="same_kind")


class Median(_Filter):
    """The median over a window around each pixel.

    `size` is for rows and columns, or a tuple for each axis; 1 leaves an axis as it is.
    """

    name = "medianFilter"

    def __init__(self, size: int | tuple[int, ...]) -> None:
        self.size = size

    def check_axes(self, number: int) -> None:
        self._each("size", number, 1)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def filter(self, images: np.ndarray, out: np.ndarray) -> None:
        sizes = [int(size) for size in self._each("size", images.ndim - 1, 1)]
        border = [(size // 2, size - 1 - size // 2) for size in sizes]
        padded = np.pad(images, [(0, 0), *border], "symmetric")
        if images.dtype.kind != "f":
            _medians(padded, sizes, out)
            return
        numbers = np.empty(out.shape, f"i{out.dtype.itemsize}")
        _medians(_ordered(padded), sizes, numbers)
        out[...] = _flip_negative(numbers).view(out.dtype)
        np.copyto(out, np.nan, where=np.isnan(out))


def _ordered(values: np.ndarray) -> np.ndarray:
    """Return floats as integers in the same order; -0.0 comes before 0.0, NaN last."""
    numbers = _flip_negative(values.view(f"i{values.dtype.itemsize}"))
    numbers[np.isnan(values)] = np.iinfo(numbers.dtype).max
    return numbers


def _flip_negative(numbers: np.ndarray) -> np.ndarray:
    """Return the bits of floats as integers that are ordered as the floats, and the reverse."""
    last = 8 * numbers.dtype.itemsize - 1
    flipped: np.ndarray = numbers ^ ((numbers >> last) & np.iinfo(numbers.dtype).max)
    return flipped


def _medians(padded: np.ndarray, sizes: Sequence[int], out: np.ndarray) -> None:
    """Write the median of each window of integers, of an even number the upper one."""
    count = math.prod(sizes)
    if count > NETWORK[out.itemsize]:
        if out.itemsize == 1:  # NumPy has no vectors for a partition of these
            padded = padded.astype(f"{out.dtype.kind}2")
        windows = np.lib.stride_tricks.sliding_window_view(
            padded, sizes, axis=tuple(range(1, padded.ndim))
        )
        for strip in _strips(out, WINDOWS_BYTES // count):
            rows = windows[strip].reshape(-1, count)
            if not rows.flags.writeable:  # the view of a single window, or of windows of one row
                rows = rows.copy()
            rows.partition(count // 2, axis=-1)
            out[strip] = rows[:, count // 2].reshape(out[strip].shape)
        return
    for strip in _strips(out, STRIP_BYTES):
        shape = out[strip].shape
        starts = [part.start or 0 for part in strip[1:]]
        starts += [0] * (len(sizes) - len(starts))
        values = [
            padded[
                (
                    strip[0],
                    *(
                        slice(start + i, start + i + n)
                        for start, i, n in zip(starts, shift, shape[1:], strict=True)
                    ),
                )
            ]
            for shift in itertools.product(*map(range, sizes))
        ]
        out[strip] = select(values, count // 2)


def _strips(out: np.ndarray, limit: int) -> Iterator[tuple[slice, ...]]:
    """Yield parts of images of at most `limit` bytes: some rows, or parts of long ones."""
    lengths = out.shape[:3]
    row = out.itemsize * math.prod(out.shape[2:])
    pixel = out.itemsize * math.prod(out.shape[3:])
    image = out.itemsize * math.prod(out.shape[1:])
    steps = [max(1, limit // max(1, size)) for size in (image, row, pixel)]
    for starts in itertools.product(
        *(range(0, n, step) for n, step in zip(lengths, steps, strict=False))
    ):
        yield tuple(
            slice(start, min(n, start + step))
            for start, n, step in zip(starts, lengths, steps, strict=False)
        )


def select(values: Sequence[np.ndarray], rank: int) -> np.ndarray:
    """Return, pixel by pixel, the value with `rank` smaller ones among the arrays.

    `rank` is len(values) // 2. Of rank + 2 values neither the smallest nor the largest is the one
    that is looked for: both are dropped, and one more value is taken in their place, until one or
    two are left (the "forgetful selection").
    """
    if len(values) == 1:
        return values[0]
    held, waiting = _Network(values[: rank + 2]), list(values[rank + 2 :])
    left = len(values)
    while left > 2:
        held.drop_extremes()
        if waiting:
            held.take(waiting.pop())
        left -= 2
    return held.largest()


class _Network:
    """Arrays that are compared pixel by pixel; memory of those that are dropped is used again."""

    def __init__(self, values: Sequence[np.ndarray]) -> None:
        self.values: list[tuple[np.ndarray, bool]] = [(value, False) for value in values]
        self.free: list[np.ndarray] = []

    def take(self, value: np.ndarray) -> None:
        """Add an array, which is not written to."""
        self.values.append((value, False))

    def _exchange(self, i: int, j: int) -> None:
        """Put the smaller values in place i, the larger ones in place j."""
        (a, _), (b, _) = first, second = self.values[i], self.values[j]
        low, high = (self.free.pop() if self.free else np.empty(a.shape, a.dtype) for _ in range(2))
        np.minimum(a, b, out=low)
        np.maximum(a, b, out=high)
        self.values[i], self.values[j] = (low, True), (high, True)
        self._release(first)
        self._release(second)

    def _release(self, value: tuple[np.ndarray, bool]) -> None:
        if value[1]:
            self.free.append(value[0])

    def drop_extremes(self) -> None:
        """Drop the smallest and the largest value of each pixel."""
        last = len(self.values) - 1
        for i in range((last + 1) // 2):
            self._exchange(i, last - i)
        for i in range(1, last // 2 + 1):
            self._exchange(0, i)
        for i in range((last + 1) // 2, last):
            self._exchange(i, last)
        self._release(self.values.pop())
        self._release(self.values.pop(0))

    def largest(self) -> np.ndarray:
        """Return the last value, or the larger one of the last two."""
        if len(self.values) == 2:
            self._exchange(0, 1)
        return self.values[-1][0]
