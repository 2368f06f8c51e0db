"""Lazy arithmetic of records with numbers: sums, products, bounds, other dtypes. By batches.

Integers stay integers, in a dtype that follows from the operands' dtypes and signs alone, and do
not wrap. What 64 bits cannot hold is an OverflowError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .chain import Shape, WritingStep
from .functions import Apply
from .image_steps import Keys, PixelSize
from .repairs import PIECE_BYTES, PixelwiseStep, over_planes, real_dtype

__all__ = ["Arithmetic", "Cast", "Clip", "ElementWise", "combine", "holding_dtype", "small_float"]

UFUNCS = {"plus": np.add, "minus": np.subtract, "dottimes": np.multiply, "dotdivide": np.divide}
RESULTS = {"plus": "sum", "minus": "difference", "dottimes": "product"}
# From this distance between the float64 result and the wrapped integer one, it has wrapped: that
# differs by a multiple of 2^64 from the true one, and float64 by much less, or the true one is so
# large that float64 need not be near.
WRAPPED = 2.0**63


def holding_dtype(op: str, dtype: np.dtype, itemsize: int, signed: bool) -> np.dtype:
    """Return the integer dtype for integers of two kinds: twice as many bits, at most 64.

    Parameters
    ----------
    op : {'plus', 'minus', 'dottimes'}
    dtype : numpy.dtype
        Of the first operand.
    itemsize : int
        The larger one of the operands'.
    signed : bool
        True if the second operand has negative numbers, or may have.
    """
    kind = "i" if signed or dtype.kind == "i" or op == "minus" else "u"
    return np.dtype(f"{kind}{min(8, 2 * itemsize)}")


class Arithmetic(PixelwiseStep):
    """Combine each record with a number, or with an array of the records' dims.

    Parameters
    ----------
    op : {'plus', 'minus', 'dottimes', 'dotdivide'}
    val : ndarray
        int64, uint64 or float64: one number, (1,), or an array.
    single : bool
        True if `val` is one number for all.
    name, argument : str
        The method's name, and that of its parameter, as messages have them.
    records : {'images', 'series'}
    """

    def __init__(
        self,
        op: str,
        val: np.ndarray,
        single: bool,
        name: str,
        argument: str = "other",
        records: str = "images",
    ) -> None:
        super().__init__()
        self.name = name
        self.op = op
        self.val = val
        self.shape = val.shape
        self.single = single
        self.argument = argument
        self.records = records
        self.whole = val.dtype.kind in "iu" and op != "dotdivide"

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is not None and not self.single:
            self._check_dims(self.val, self.argument, dims)
        return dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if dtype is None:
            return None
        if not self.whole or dtype.kind == "f":
            kind = real_dtype(dtype)
            self._convert(self.val, self.argument, kind)
            return kind
        wide = holding_dtype(self.op, dtype, dtype.itemsize, bool((self.val < 0).any()))
        if dtype.itemsize < 8:
            self._check_range(np.iinfo(dtype), np.iinfo(wide))
        return wide

    def _check_range(self, images: np.iinfo, result: np.iinfo) -> None:
        """Raise ValueError unless every result of records of this dtype fits."""
        least, most = _range_of(self.op, images, result)
        low, high = int(self.val.min()), int(self.val.max())
        if low < least or high > most:
            given = "a val" if self.argument == "val" else self.argument
            raise ValueError(
                f"{self.name}: from {images.dtype} {self.argument} must lie in {least} … {most}, "
                f"so that {result.dtype} holds the {RESULTS[self.op]}, got "
                f"{low if low < least else high}; {given} of floats gives floats"
            )

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        if out.dtype.kind in "iu" and batch.dtype.itemsize == 8:
            val = over_planes(self.val, batch.shape[1:])
            _combine_exactly(self.op, batch, val, out, self.name, self.argument)
            return
        val = over_planes(self._convert(self.val, self.argument, out.dtype), batch.shape[1:])
        combine(self.op, batch, val, out)


def combine(op: str, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write op(a, b) to out, in its dtype, which holds all results."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        UFUNCS[op](a, b, out=out, dtype=out.dtype, casting="same_kind")


def _range_of(op: str, images: np.iinfo, result: np.iinfo) -> tuple[int, int]:
    """Return the least and the greatest number that gives results within a dtype."""
    low, high, least, most = images.min, images.max, result.min, result.max
    if op == "plus":
        return max(least - low, least), min(most - high, most)
    if op == "minus":
        return max(high - most, least), min(low - least, most)
    if low == 0:
        return -(-least // high), most // high
    return max(-(-least // high), -(most // -low)), min(most // high, -least // -low)


def _combine_exactly(
    op: str, batch: np.ndarray, val: np.ndarray, out: np.ndarray, name: str, argument: str
) -> None:
    """Combine integers of 64 bits; raise OverflowError where 64 bits cannot hold a result."""
    val = np.broadcast_to(val, batch.shape[1:])
    for image, result in zip(batch, out, strict=True):
        for part in _pieces(image):
            a, b, c = image[part], val[part], result[part]
            combine_words(op, a, b, c, name, argument)


def combine_words(
    op: str, a: np.ndarray, b: np.ndarray, out: np.ndarray, name: str, argument: str
) -> None:
    """Combine arrays of integers, of which one has 64 bits, into 64 bits; see WRAPPED."""
    UFUNCS[op](_words(a), _words(b), out=out.view(np.uint64))
    difference = a.astype(np.float64)
    UFUNCS[op](difference, b, out=difference, dtype=np.float64)
    difference -= out
    if (np.abs(difference) >= WRAPPED).any():
        raise OverflowError(
            f"{name}: {out.dtype} cannot hold a {RESULTS[op]}; give {argument} as floats"
        )


def _words(integers: np.ndarray) -> np.ndarray:
    """Return the two's complements of integers in 64 bits."""
    wide = np.int64 if integers.dtype.kind == "i" else np.uint64
    return integers.astype(wide, copy=False).view(np.uint64)


def _pieces(image: np.ndarray) -> Iterator[slice]:
    """Yield slices of the first axis, so that what is computed on the way stays in the cache."""
    rows = max(1, PIECE_BYTES * len(image) // max(1, image.nbytes))
    for start in range(0, len(image), rows):
        yield slice(start, start + rows)


class ElementWise(Apply):
    """A function of the user's of each record and the same operand, a number or an array.

    `dims` are those of the records, if they are known; see `Arithmetic` and `Function`.
    """

    name = "elementWise"

    def __init__(
        self,
        op: Callable[..., Any],
        val: np.ndarray,
        single: bool,
        dims: Shape | None,
        dtype: np.dtype | None,
        label: Callable[[Any], Any],
        records: str,
    ) -> None:
        super().__init__(op, dims, dtype, label=label)
        self.val = val
        self._single = single
        self._compared = Arithmetic("plus", val, single, self.name, records=records)
        val.flags.writeable = False

    def dims(self, dims: Shape | None) -> Shape | None:
        self._compared.dims(dims)
        return super().dims(dims)

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays."""
        return size

    def _call(self, key: int, value: np.ndarray) -> object:
        self._compared.dims(value.shape)
        dims = value.shape
        found = self.func(value, self.val[0] if self._single else over_planes(self.val, dims))
        if np.shape(found) != dims:
            raise ValueError(
                f"elementWise: op returned shape {np.shape(found)} for the record of dims {dims} "
                f"with key {self.label(key)}"
            )
        return found


class _Pointwise(WritingStep):
    """A step that keeps dims, and works on one value after the other."""

    def dims(self, dims: Shape | None) -> Shape | None:
        return dims

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size: it stays."""
        return size

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        step = max(1, PIECE_BYTES * len(batch) // max(1, batch.nbytes))
        for i in range(0, len(batch), step):
            self._compute(batch[i : i + step], out[i : i + step])

    def _compute(self, batch: np.ndarray, out: np.ndarray) -> None:
        raise NotImplementedError


class Clip(_Pointwise):
    """Bound each value; None leaves a side open."""

    name = "clip"

    def __init__(self, low: float | None, high: float | None) -> None:
        # As texts, because None is not among what ranks compare.
        self.bounds = (repr(low), repr(high))
        self._low, self._high = low, high

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if dtype is not None:
            self._bounds(dtype)
        return dtype

    def _bounds(self, dtype: np.dtype) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the bounds in a dtype: of integers the nearest ones within."""
        low, high = self._low, self._high
        if dtype.kind == "f":
            with np.errstate(over="ignore"):
                least, most = (
                    None if x is None else np.array(x).astype(dtype) for x in (low, high)
                )
            return least, most
        info = np.iinfo(dtype)
        first = info.min if low is None or low <= info.min else _whole(low, up=True)
        last = info.max if high is None or high >= info.max else _whole(high, up=False)
        if first > last or first > info.max or last < info.min:
            raise ValueError(
                f"clip: {dtype} has no value from {'-inf' if low is None else low} to "
                f"{'inf' if high is None else high}"
            )
        return np.array(first, dtype), np.array(last, dtype)

    def _compute(self, batch: np.ndarray, out: np.ndarray) -> None:
        np.clip(batch, *self._bounds(batch.dtype), out=out)


def _whole(bound: float, up: bool) -> int:
    """Return the nearest integer, not below the bound or not above. It may be beyond any dtype."""
    if isinstance(bound, float) and bound in (float("inf"), float("-inf")):
        return 2**70 if bound > 0 else -(2**70)
    return -int(-bound // 1) if up else int(bound // 1)


class Cast(_Pointwise):
    """Convert each value to another dtype; what it cannot hold is an error, and does not wrap.

    `kind` is a dtype, or ``'smallfloat'``.
    """

    name = "astype"

    def __init__(self, kind: np.dtype | str, casting: str) -> None:
        self.kind = kind
        self.casting = casting

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if dtype is None:
            return None if isinstance(self.kind, str) else self.kind
        kind = small_float(dtype) if isinstance(self.kind, str) else self.kind
        if not np.can_cast(dtype, kind, self.casting):  # type: ignore[arg-type]
            raise TypeError(
                f"astype: casting='{self.casting}' does not allow {dtype} to become {kind}, "
                "which does not hold all of its values; 'same_kind' or 'unsafe' may"
            )
        return kind

    def _compute(self, batch: np.ndarray, out: np.ndarray) -> None:
        if out.dtype.kind in "iu" and not np.can_cast(batch.dtype, out.dtype):
            batch = self._held(batch, out.dtype)
        with np.errstate(over="ignore"):
            np.copyto(out, batch, casting="unsafe")

    def _held(self, batch: np.ndarray, kind: np.dtype) -> np.ndarray:
        """Return values without fractions; raise OverflowError unless the dtype holds them."""
        info = np.iinfo(kind)
        if batch.dtype.kind == "f":
            batch = np.trunc(batch.astype(np.float32) if batch.dtype == np.float16 else batch)
            # Both are powers of two, or 0, which floats have exactly.
            held = (batch >= float(info.min)) & (batch < float(info.max + 1))
        else:
            held = (batch >= info.min) & (batch <= info.max)
        if not held.all():
            wrong = batch[~held].flat[0]
            raise OverflowError(
                f"astype: {kind} cannot hold {wrong}; clip(min, max) bounds the values first"
            )
        return batch


def small_float(dtype: np.dtype) -> np.dtype:
    """Return the smallest float that holds all values of a dtype; of 64-bit integers float64."""
    if dtype.kind == "f":
        return dtype
    return np.dtype(f"f{min(8, 2 * dtype.itemsize)}")
