"""Lazy changes of images' shape: axes in another order, borders, bins of pixels. Local."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from .chain import Shape, WritingStep
from .image_steps import Keys, PixelSize
from .repairs import real_dtype

__all__ = [
    "PADDINGS",
    "Bin",
    "ColumnsFirst",
    "Pad",
    "Rearrange",
    "Reshape",
    "one_per_axis",
    "pieces",
]

Value = TypeVar("Value")

# NumPy's names of what a border is filled with.
PADDINGS = ("constant", "edge", "reflect", "symmetric")
# Bytes of images that are binned or padded at once: they stay in the cache.
PIECE_BYTES = 1 << 20
# So many integers of 16 bits have a sum of 32 bits, and so many of 32 bits one that float64 holds.
FEW, MANY = 1 << 16, 1 << 21


class Rearrange:
    """Each image with its axes in another order, and some of them reversed: a view.

    Parameters
    ----------
    name : str
    axes : tuple of int, optional
        The axis that each axis of the result is; axes that are not named follow as they are. None:
        in reverse order.
    flipped : tuple of int
        The result's axes that are reversed.
    """

    def __init__(
        self, name: str, axes: tuple[int, ...] | None = (), flipped: tuple[int, ...] = ()
    ) -> None:
        self.name = name
        self.axes = "reversed" if axes is None else axes
        self.flipped = flipped

    def _order(self, number: int) -> tuple[int, ...]:
        """Return the axes of an image of `number` axes in their new order."""
        if isinstance(self.axes, str):
            return tuple(reversed(range(number)))
        order = tuple(axis + number if axis < 0 else axis for axis in self.axes)
        order += tuple(range(len(order), number))
        short = self.name == "transpose" and len(self.axes) != number
        if short or sorted(order) != list(range(number)):
            raise ValueError(
                f"{self.name} needs "
                + ("each axis once, got" if self.name == "transpose" else "the axes")
                + f" {self.axes}, but the images have {number} axes"
            )
        return order

    def _reverse(self, number: int) -> tuple[slice, ...]:
        if any(not -number <= axis < number for axis in self.flipped):
            raise ValueError(
                f"{self.name}: axis {self.flipped[0]} is out of range: the images have {number} "
                "axes"
            )
        reverse = {axis % number for axis in self.flipped}
        if len(reverse) < len(self.flipped):
            raise ValueError(f"{self.name}: axes {self.flipped} name one of {number} axes twice")
        return tuple(slice(None, None, -1 if axis in reverse else None) for axis in range(number))

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        self._reverse(len(dims))
        return tuple(dims[axis] for axis in self._order(len(dims)))

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size; `size` is that of the images along each axis."""
        return tuple(size[axis] for axis in self._order(len(size)))

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        number = batch.ndim - 1
        moved = batch.transpose(0, *(axis + 1 for axis in self._order(number)))
        view: np.ndarray = moved[(slice(None), *self._reverse(number))]
        return view


class ColumnsFirst(WritingStep):
    """Each image with its columns before its rows, in C order: to be written as it is.

    Parameters
    ----------
    name : str
        Of the method that writes it.
    pages_first : bool
        Whether the pages come before both: all axes are in reverse order.
    """

    def __init__(self, name: str, pages_first: bool = False) -> None:
        self.name = name
        self.pages_first = pages_first

    def _turned(self, axes: tuple[Value, ...]) -> tuple[Value, ...]:
        return axes[::-1] if self.pages_first else (axes[1], axes[0], *axes[2:])

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        if len(dims) < 2:
            raise ValueError(f"{self.name} needs images of rows and columns, not of dims {dims}")
        return self._turned(dims)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size; `size` is that of the images along each axis."""
        return self._turned(size)

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        from ..kernels.transpose import transpose_each

        if batch.ndim == 3 and batch.flags.c_contiguous:  # a third of the time of NumPy's copy
            transpose_each(batch, out)
        else:
            np.copyto(out, batch.transpose(0, *self._turned(tuple(range(1, batch.ndim)))))


class Reshape:
    """The pixels of each image, in C order, in other dims; a view where that is possible.

    `shape` may have one -1, for as many as there are. None: without the axes of length 1.
    """

    def __init__(self, name: str, shape: Shape | None) -> None:
        self.name = name
        self.shape = "squeezed" if shape is None else shape

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        if isinstance(self.shape, str):
            kept = tuple(n for n in dims if n != 1)
            if not kept:
                raise ValueError(f"{self.name}: an image keeps one axis, but its dims are {dims}")
            return kept
        pixels, known = math.prod(dims), math.prod(n for n in self.shape if n != -1)
        if (pixels % known if -1 in self.shape else pixels != known) != 0:
            raise ValueError(
                f"{self.name}: images of dims {dims} have {pixels} pixels, which dims "
                f"{self.shape} cannot hold"
            )
        return tuple(pixels // known if n == -1 else n for n in self.shape)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: unknown, as an axis may be part of another one."""
        return (None,) * (len(size) if isinstance(self.shape, str) else len(self.shape))

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        return batch.reshape(len(batch), *(self.dims(batch.shape[1:]) or ()))


class Pad(WritingStep):
    """A border around each image.

    Parameters
    ----------
    width : int, or tuple of (before, after)
        For all sides, or for each axis.
    mode : one of `PADDINGS`
    value : int or float
        What the border is filled with in mode 'constant'.
    """

    name = "pad"

    def __init__(self, width: int | tuple[tuple[int, int], ...], mode: str, value: float) -> None:
        self.width = width
        self.mode = mode
        self.value = value

    def _each(self, number: int) -> tuple[tuple[int, int], ...]:
        width = self.width
        if isinstance(width, int):
            return ((width, width),) * number
        return one_per_axis(width, number, "pad: width")

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        each = self._each(len(dims))
        return tuple(n + before + after for n, (before, after) in zip(dims, each, strict=True))

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if dtype is not None and self.mode == "constant":
            self._check_value(dtype)
        return dtype

    def _check_value(self, dtype: np.dtype) -> None:
        """Raise ValueError unless `dtype` can hold the value."""
        value = self.value
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                fits = not math.isfinite(value) or bool(np.isfinite(dtype.type(value)))
        else:
            limits = np.iinfo(dtype)
            fits = value == value // 1 and limits.min <= value <= limits.max
        if not fits:
            raise ValueError(f"pad: images of {dtype} cannot hold the value {value}")

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays."""
        return size

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        each = self._each(batch.ndim - 1)
        middle = tuple(
            slice(before, before + n) for n, (before, _) in zip(batch.shape[1:], each, strict=True)
        )
        for piece in pieces(out):
            padded = out[piece]
            padded[(slice(None), *middle)] = batch[piece]
            for axis, (before, after) in enumerate(each):
                # Along the axes before this one the border is there already.
                filled = padded[(slice(None),) * (axis + 2) + middle[axis + 1 :]]
                n = batch.shape[axis + 1]
                self._fill(np.moveaxis(filled, axis + 1, 0), n, before, after)

    def _fill(self, padded: np.ndarray, n: int, before: int, after: int) -> None:
        """Fill what lies before and behind the n middle ones along the first axis."""
        sides = (
            (slice(0, before), range(-before, 0)),
            (slice(before + n, None), range(n, n + after)),
        )
        for side, places in sides:
            if not places:
                continue
            if self.mode == "constant":
                padded[side] = self.value
            else:
                padded[side] = padded[before + reflected(self.mode, places, n)]


def reflected(mode: str, places: Sequence[int], n: int) -> np.ndarray:
    """Return which of the n pixels of an axis stand for places beyond its ends."""
    wanted = np.asarray(places, dtype=np.int64)
    if mode == "edge" or n == 1:
        return np.clip(wanted, 0, n - 1)
    # 'reflect' does not repeat the first and the last pixel, 'symmetric' does.
    once = mode == "reflect"
    period = 2 * (n - 1) if once else 2 * n
    wanted %= period
    return np.minimum(wanted, period - wanted - (0 if once else 1))


class Bin(WritingStep):
    """Bins of successive pixels of each image: their mean, or their sum.

    Parameters
    ----------
    factor : int, or tuple of int
        The length of a bin, along all axes or along each.
    how : {'mean', 'sum'}
    drop : bool
        Leave out pixels at the ends that do not fill a bin; otherwise they are refused.
    """

    name = "bin"

    def __init__(self, factor: int | tuple[int, ...], how: str, drop: bool) -> None:
        self.factor = factor
        self.how = how
        self.drop = drop

    def _each(self, number: int) -> tuple[int, ...]:
        if isinstance(self.factor, int):
            return (self.factor,) * number
        return one_per_axis(self.factor, number, "bin: factor")

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is None:
            return None
        each = self._each(len(dims))
        for axis, (n, factor) in enumerate(zip(dims, each, strict=True)):
            if factor > n:
                raise ValueError(f"bin: axis {axis} of dims {dims} does not fill a bin of {factor}")
            if n % factor and not self.drop:
                raise ValueError(
                    f"bin: the {n} pixels of axis {axis} fill {n // factor} bins of {factor}, and "
                    f"{n % factor} more are left over; remainder='drop' leaves them out"
                )
        return tuple(n // factor for n, factor in zip(dims, each, strict=True))

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if dtype is None:
            return None
        return real_dtype(dtype) if self.how == "mean" else np.dtype(f"{dtype.kind}8")

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: as many times larger as a bin has pixels."""
        return tuple(
            None if length is None else length * factor
            for length, factor in zip(size, self._each(len(size)), strict=True)
        )

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        each = self._each(batch.ndim - 1)
        whole = tuple(slice(0, n * f) for n, f in zip(out.shape[1:], each, strict=True))
        count, size = math.prod(each), batch.dtype.itemsize
        # Sums that 64 bits, or a quotient's 53, may not hold are left to the kernel.
        large = batch.dtype.kind != "f" and (size == 8 or (size == 4 and count > MANY))
        for piece in pieces(batch):
            images = batch[piece][(slice(None), *whole)]
            if large:
                self._project(images, each, out[piece])
                continue
            narrow = batch.dtype.kind != "f" and size <= 2 and count <= FEW
            total = _sums(images, each, np.dtype(f"{batch.dtype.kind}{4 if narrow else 8}"))
            with np.errstate(over="ignore", invalid="ignore"):
                if self.how == "mean":
                    # The quotient of float64 is rounded once more for float32. Of sums of integers
                    # below 2**53, and so few pixels, none lies so near to the middle of two numbers
                    # of 24 bits that this is another number than the nearest one.
                    np.divide(total, count, out=out[piece], dtype=np.float64, casting="same_kind")
                else:
                    np.copyto(out[piece], total)

    def _project(self, images: np.ndarray, each: tuple[int, ...], out: np.ndarray) -> None:
        """Reduce the bins by the kernel, which has more than 64 bits."""
        from ..kernels import projection

        axes = len(each)
        split = itertools.chain(*zip(out.shape[1:], each, strict=True))
        bins = images.reshape(len(images), *split)
        order = (0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2))
        rows = np.ascontiguousarray(bins.transpose(order)).reshape(out.size, math.prod(each), 1)
        try:
            projection.project(self.how, rows, out.reshape(out.size, 1))
        except OverflowError:
            raise OverflowError(f"bin: {out.dtype} cannot hold a sum; how='mean' can") from None


def _sums(images: np.ndarray, each: Sequence[int], kind: np.dtype) -> np.ndarray:
    """Return the sums of bins in the dtype `kind`: axis by axis, one pixel after the other."""
    total = images
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, factor in enumerate(each, 1):
            if factor == 1:
                continue
            before = (slice(None),) * axis
            parts = [total[(*before, slice(i, None, factor))] for i in range(factor)]
            total = parts[0].astype(kind)
            for part in parts[1:]:
                np.add(total, part, out=total, casting="same_kind")
    return total


def one_per_axis(values: tuple[Value, ...], number: int, name: str) -> tuple[Value, ...]:
    """Return the values; raise ValueError unless there is one for each axis of the images."""
    if len(values) != number:
        raise ValueError(f"{name} has {len(values)} values, but the images have {number} axes")
    return values


def pieces(batch: np.ndarray) -> list[slice]:
    """Return slices of some records of a batch, at most `PIECE_BYTES` each, or one record."""
    step = max(1, PIECE_BYTES * len(batch) // max(1, batch.nbytes))
    return [slice(first, first + step) for first in range(0, len(batch), step)]
