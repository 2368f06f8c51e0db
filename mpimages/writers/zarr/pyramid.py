"""The levels of a pyramid: means of squares of pixels, from exact sums. Local.

A pixel of level k is the mean of the 2^k x 2^k pixels of level 0 that it stands for, of those that
are there at the ends of rows and columns. Sums of integers are exact, and means are rounded to the
nearest integer, ties to even. Sums of floats are float64, in an order that the place alone decides.
"""

from __future__ import annotations

import numpy as np

__all__ = ["MOST_LEVELS", "level_shape", "shrink"]

# Sums of 64-bit integers are those of their halves, of so many levels that nothing overflows.
MOST_LEVELS = 15
# Rows that are summed at once stay in the cache.
BAND_BYTES = 1 << 19
HALF = 32


def level_shape(shape: tuple[int, ...], level: int) -> tuple[int, ...]:
    """The shape of a level; the two last axes become shorter.

    Examples
    --------
    >>> level_shape((7, 100, 65), 2)
    (7, 25, 17)
    """
    return (*shape[:-2], *(-(-n >> level) for n in shape[-2:]))


def shrink(planes: np.ndarray, levels: int) -> list[np.ndarray]:
    """The levels 1 … `levels` of planes, (..., row, column), in their dtype.

    Parameters
    ----------
    planes : ndarray
        Integers or floats in native byte order.
    levels : int
        At most `MOST_LEVELS`.
    """
    made = [np.empty(level_shape(planes.shape, k), planes.dtype) for k in range(1, levels + 1)]
    if not levels or not planes.size:
        return made
    rows, columns = planes.shape[-2:]
    stack = planes.reshape(-1, rows, columns)
    flat = [one.reshape(-1, *one.shape[-2:]) for one in made]
    unit = 1 << levels
    row_bytes = columns * planes.itemsize
    band = min(-(-rows // unit), max(1, BAND_BYTES // (row_bytes * unit))) * unit
    several = max(1, BAND_BYTES // (min(band, rows) * row_bytes))
    for first in range(0, len(stack), several):
        for row in range(0, rows, band):
            part = stack[first : first + several, row : row + band]
            outs = [
                one[first : first + several, row >> k : -(-min(rows, row + band) >> k)]
                for k, one in enumerate(flat, 1)
            ]
            # The mean of both infinities is NaN, as in NumPy, and nothing to warn of.
            with np.errstate(invalid="ignore", over="ignore"):
                _shrink_part(part, outs)
    return made


def _shrink_part(part: np.ndarray, outs: list[np.ndarray]) -> None:
    """Fill each level's part, from rows that begin where a pixel of the last level begins."""
    dtype, shape = part.dtype, part.shape
    bits = 8 * dtype.itemsize + 2 * len(outs)
    if dtype.kind == "f":
        sums = [part]
        kind = np.dtype(np.float64)
    elif bits <= 64:
        sums = [part]
        kind = np.dtype(f"{dtype.kind}{4 if bits <= 32 else 8}")
    else:
        kind = dtype
        low = np.asarray((1 << HALF) - 1, dtype)
        sums = [part >> np.asarray(HALF, dtype), part & low]
    for level, out in enumerate(outs, 1):
        sums = [_quarter(one, kind) for one in sums]
        counts = np.multiply.outer(_counts(shape[-2], level), _counts(shape[-1], level))
        if dtype.kind == "f":
            out[...] = sums[0] / counts
        elif len(sums) == 1:
            _divide(sums[0], counts.astype(kind), level, out)
        else:
            _divide_halves(sums[0], sums[1], counts.astype(kind), out)


def _quarter(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Sums of 2 x 2 values, of fewer at the ends."""
    rows, columns = values.shape[-2:]
    half = np.empty((len(values), -(-rows // 2), columns), kind)
    np.add(values[:, 0 : rows - 1 : 2], values[:, 1::2], out=half[:, : rows // 2], dtype=kind)
    if rows % 2:
        half[:, -1] = values[:, -1]
    quarter = np.empty((len(values), half.shape[1], -(-columns // 2)), kind)
    np.add(half[..., 0 : columns - 1 : 2], half[..., 1::2], out=quarter[..., : columns // 2])
    if columns % 2:
        quarter[..., -1] = half[..., -1]
    return quarter


def _counts(length: int, level: int) -> np.ndarray:
    """How many pixels each place of a level stands for along an axis of so many."""
    starts = np.arange(0, length, 1 << level)
    return np.minimum(1 << level, length - starts)


def _divide(sums: np.ndarray, counts: np.ndarray, level: int, out: np.ndarray) -> None:
    """Means rounded to the nearest integer, ties to even."""
    kind = sums.dtype.type
    shift, below = kind(2 * level), kind((1 << (2 * level - 1)) - 1)
    rows = sums.shape[-2] - int(counts[-1, 0] < counts[0, 0])
    columns = sums.shape[-1] - int(counts[0, -1] < counts[0, 0])
    if int(counts[0, 0]) == 1 << 2 * level and rows and columns:
        whole = sums[:, :rows, :columns]
        # One less than a half, and one more where that makes an odd number even.
        odd = (whole >> shift) & kind(1)
        odd += below
        odd += whole
        np.right_shift(odd, shift, out=out[:, :rows, :columns], casting="unsafe")
    else:
        rows = columns = 0
    for edge in (np.s_[:, rows:], np.s_[:, :rows, columns:]):
        part = sums[edge]
        if part.size:
            of = np.broadcast_to(counts, sums.shape)[edge]
            quotient = part // of
            out[edge] = _rounded(quotient, part - quotient * of, of)


def _divide_halves(high: np.ndarray, low: np.ndarray, counts: np.ndarray, out: np.ndarray) -> None:
    """The same of sums high 2^32 + low of 64-bit integers: what is left fits into 64 bits."""
    base = np.asarray(1 << HALF, high.dtype)
    quotient = high // counts
    rest = (high - quotient * counts) * base + low
    more = rest // counts
    out[...] = _rounded(quotient * base + more, rest - more * counts, counts)


def _rounded(quotient: np.ndarray, rest: np.ndarray, counts: np.ndarray) -> np.ndarray:
    two, one = quotient.dtype.type(2), quotient.dtype.type(1)
    up = (rest * two > counts) | ((rest * two == counts) & (quotient & one).astype(bool))
    rounded: np.ndarray = quotient + up.astype(quotient.dtype)
    return rounded
