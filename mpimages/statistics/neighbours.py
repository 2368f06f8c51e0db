"""How each pixel goes along with its neighbours in the plane, by variances alone.

The local correlation of a pixel is the mean Pearson correlation of its series with those of its
neighbours (Smith and Häusser, Nature Neuroscience 13, 2010, used it to find cells). It follows
from var(x + y) = var(x) + var(y) + 2 cov(x, y), so that the sums of `accumulator.Accumulator` serve
for it: exact for integers of up to 16 bits, along a fixed tree otherwise, and the same bits for
every number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ..core.arguments import is_small_integer
from ..core.partition import Partition
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection
from .accumulator import Accumulator, need_per_pixel
from .passes import MERGE_SHARE, sum_in_passes

__all__ = [
    "FOUR",
    "VARIANCE",
    "NeighbourSums",
    "correlation_with_neighbours",
    "in_pieces",
    "local_correlation",
    "neighbours_need",
    "rows_of_pieces",
]

Offset = tuple[int, int]

# A neighbour on the right, one below; those on the other sides are the same pairs. And diagonally.
FOUR: tuple[Offset, ...] = ((0, 1), (1, 0))
EIGHT: tuple[Offset, ...] = (*FOUR, (1, 1), (1, -1))

VARIANCE = {"variance"}
# What is widened and added at a time: it shall stay in the cache; but of larger images a group of
# eight, as the tree takes them, as long as that is not too large either.
PIECE_BYTES = 1 << 20
GROUP_BYTES = 64 << 20
GROUP = 8


def rows_of_pieces(record: int, limit: int) -> int:
    """How many records of so many bytes are worked on at a time. Local."""
    many = PIECE_BYTES // max(1, record) // GROUP * GROUP
    return many or max(1, min(GROUP, min(limit, GROUP_BYTES) // max(1, record)))


def in_pieces(first: int, batch: np.ndarray, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut records into pieces of so many, contiguous and flat, with their first numbers. Local."""
    # So that pieces begin where the tree's groups do.
    step = rows - (first % GROUP if rows >= GROUP else 0)
    start = 0
    while start < len(batch):
        piece = batch[start : start + step]
        yield first + start, np.ascontiguousarray(piece).reshape(len(piece), -1)
        start, step = start + step, rows


def wide_dtype(dtype: np.dtype) -> np.dtype:
    """In which the sum of two values neither wraps nor loses what matters. Local."""
    if is_small_integer(dtype):
        return np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")
    return np.dtype(np.float64)


def neighbours_need(dtype: np.dtype, offsets: Sequence[Offset], partition: Partition) -> int:
    """Bytes a pixel that `NeighbourSums` take. Local."""
    return len(offsets) * need_per_pixel(wide_dtype(dtype), VARIANCE, partition)


class NeighbourSums:
    """Sums over records of the sum of each pixel and a neighbour.

    Parameters
    ----------
    dims, dtype
        Of a record.
    offsets : sequence of (row, column)
        Where the neighbours lie.
    accumulator : callable
        accumulator(dtype, wanted) makes an Accumulator of a band of pixels.
    """

    def __init__(
        self,
        dims: Shape,
        dtype: np.dtype,
        offsets: Sequence[Offset],
        accumulator: Callable[[np.dtype, set[str]], Accumulator],
    ) -> None:
        # In C order a neighbour is so many places further on. At the end of a row that is
        # another row's pixel: such sums are not used.
        if len(dims) not in (2, 3):
            raise ValueError(f"neighbours are pixels of images or volumes, not of dims {dims}")
        row, column = math.prod(dims[1:]), math.prod(dims[2:])
        self.lags = {offset: offset[0] * row + offset[1] * column for offset in offsets}
        self.wide = wide_dtype(dtype)
        self.memory = np.zeros(0, self.wide)
        self.accumulators = {offset: accumulator(self.wide, VARIANCE) for offset in offsets}

    def add(self, first: int, flat: np.ndarray, band: slice) -> None:
        """Take in records from number `first` on, all pixels of each. Local."""
        if self.memory.size < flat.size:
            self.memory = np.zeros(flat.size, self.wide)
        out = self.memory[: flat.size].reshape(flat.shape)
        for offset, lag in self.lags.items():
            if 0 < lag < flat.shape[1]:
                with np.errstate(over="ignore", invalid="ignore"):
                    np.add(flat[:, :-lag], flat[:, lag:], out=out[:, :-lag], dtype=self.wide)
            self.accumulators[offset].add(first, out[:, band])


def local_correlation(variance: np.ndarray, sums: Mapping[Offset, np.ndarray]) -> np.ndarray:
    """Mean correlation of each pixel with its neighbours in the plane. Local.

    Parameters
    ----------
    variance : (rows, columns[, pages]) float64 ndarray
        Of each pixel.
    sums : mapping of (row, column) to ndarray of that shape
        Variance of the sum of each pixel and its neighbour there.

    Returns
    -------
    ndarray of that shape
        -1…1; NaN where there is no neighbour to compare with.
    """
    total, number = np.zeros(variance.shape), np.zeros(variance.shape)
    for (down, right), of_sum in sums.items():
        near = _parts(-down, -right)
        far = _parts(down, right)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            covariance = (of_sum[near] - variance[near] - variance[far]) / 2
            scale = np.sqrt(variance[near]) * np.sqrt(variance[far])
            found = np.clip(covariance / scale, -1, 1)
        # Beside a constant, rounding may leave a covariance other than 0.
        there = np.isfinite(found) & (scale > 0)
        for part in (near, far):
            total[part] += np.where(there, found, 0)
            number[part] += there
    mean: np.ndarray = np.divide(
        total, number, out=np.full(variance.shape, np.nan), where=number > 0
    )
    return mean


def _parts(*steps: int) -> tuple[slice, ...]:
    """All but the first n pixels along an axis, or of negative n all but the last."""
    return tuple(slice(step, None) if step >= 0 else slice(None, step) for step in steps)


def correlation_with_neighbours(action: Action, images: Selection, count: int) -> np.ndarray:
    """Mean correlation of each pixel with its 4 or 8 neighbours in the plane. Collective."""
    offsets = FOUR if count == 4 else EIGHT
    partition, limit = images.partition, action.memory // MERGE_SHARE

    def need(dims: Shape, dtype: np.dtype) -> int:
        return need_per_pixel(dtype, VARIANCE, partition) + neighbours_need(
            dtype, offsets, partition
        )

    def make(dims: Shape, dtype: np.dtype, band: tuple[int, int]) -> _Sums:
        def accumulator(kind: np.dtype, wanted: set[str]) -> Accumulator:
            own = partition.bounds(action.comm.rank)
            empty = action.session.workspace.empty
            return Accumulator(band[1] - band[0], kind, wanted, *own, empty, limit)

        return _Sums(dims, dtype, slice(*band), offsets, accumulator, limit)

    def merge(sums: _Sums) -> dict[Offset, np.ndarray]:
        session = action.session
        return {
            offset: one.merge(session.nodes, partition, session.segments).array("variance")
            for offset, one in sums.accumulators().items()
        }

    found, known = sum_in_passes(
        action, images, f"the sums of {count} neighbours", need, make, merge
    )
    with action.together():
        whole = {
            offset: np.concatenate([band[offset] for band in found]).reshape(known.dims)
            for offset in found[0]
        }
        return local_correlation(whole.pop((0, 0)), whole)


class _Sums:
    """One rank's sums of pixels and of their sums with neighbours."""

    def __init__(
        self,
        dims: Shape,
        dtype: np.dtype,
        band: slice,
        offsets: Sequence[Offset],
        accumulator: Callable[[np.dtype, set[str]], Accumulator],
        limit: int,
    ) -> None:
        self.band = band
        self.pixel = accumulator(dtype, VARIANCE)
        self.sums = NeighbourSums(dims, dtype, offsets, accumulator)
        self.rows = rows_of_pieces(math.prod(dims) * self.sums.wide.itemsize, limit)

    def add(self, first: int, batch: np.ndarray) -> None:
        for number, flat in in_pieces(first, batch, self.rows):
            self.pixel.add(number, flat[:, self.band])
            self.sums.add(number, flat, self.band)

    def accumulators(self) -> dict[Offset, Accumulator]:
        return {(0, 0): self.pixel, **self.sums.accumulators}
