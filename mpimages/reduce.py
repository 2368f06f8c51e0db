"""Statistics over records, with the same bits for any number of ranks and any batch size.

Integers are summed exactly, in as many 64-bit limbs as it takes, so that order cannot matter.
Floats are summed along a binary tree whose shape depends on the number of records alone:
a node (level L, index j) stands for the records [j 2^L, (j + 1) 2^L) and holds their sum S,
what rounding has taken from it, C, and the sum M2 of the squared deviations from their mean; two
neighbours of n records each merge as

    S = Sa + Sb,    C = Ca + Cb + (what that sum loses),
    M2 = (M2a + M2b) + ((Sb - Sa) + (Cb - Ca))^2 / (2 n)


(T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
computing sample variances", 1979). A rank computes the nodes that lie inside its range of
records; the few that are left over are exchanged, each rank getting a band of pixels, and the
tree is completed there in the order of the records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpi4py import MPI

from .collective import PIECE_BYTES, Together, allgather_rows, allreduce
from .kernels import moments
from .partition import Partition

__all__ = ["Accumulator", "Statistics"]

# What is copied at a time of records that the kernels cannot take as they are.
COPY_BYTES = 32 << 20

HALF = np.uint64(32)
LOW = np.uint64(0xFFFFFFFF)


@dataclass
class Statistics:
    """What was found over all records; what was not asked for is None.

    Attributes
    ----------
    count : int
    sum : int64, uint64 or float64 ndarray
        Or the OverflowError to raise: who asked for the mean alone must not hear of it.
    mean, variance, stdev : float64 ndarray (population variance)
    max, min : ndarray of the records' dtype
    """

    count: int
    sum: np.ndarray | OverflowError | None = None
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None
    max: np.ndarray | None = None
    min: np.ndarray | None = None

    @property
    def stdev(self) -> np.ndarray | None:
        return None if self.variance is None else np.sqrt(self.variance)


class Accumulator:
    """One rank's part of the statistics over records of `width` elements.

    Parameters
    ----------
    width : int
        Elements of a record.
    dtype : numpy.dtype
        Of the records: integers, bool, or floats.
    wanted : set of {'sum', 'mean', 'variance', 'max', 'min'}
    first, stop : int
        This rank's range among all records.
    empty : callable, optional
        Where large arrays come from: empty(shape, dtype).
    """

    def __init__(
        self, width: int, dtype: np.dtype, wanted: set[str], first: int, stop: int,
        empty: Callable[..., np.ndarray] = np.empty,
    ) -> None:
        self.width = width
        self.dtype = dtype
        self.computed = _computed(dtype)
        self.wanted = wanted
        self.first = first
        self.extrema = Extrema(width, self.computed, wanted)
        self.squares = "variance" in wanted
        moments_wanted = bool(wanted & {"sum", "mean", "variance"})
        self.sums: IntegerSums | FloatTree | None = None
        if moments_wanted:
            kind = FloatTree if self.computed.kind == "f" else IntegerSums
            self.sums = kind(width, self.computed, self.squares, first, stop, empty)

    def add(self, start: int, batch: np.ndarray) -> None:
        """Take in the records start … start + len(batch), which follow the last ones. Local."""
        as_it_is = batch.dtype == self.computed and batch.flags.c_contiguous
        size = max(1, self.width * self.computed.itemsize)
        step = len(batch) if as_it_is else max(1, COPY_BYTES // size)
        for i in range(0, len(batch), max(1, step)):
            rows = np.ascontiguousarray(batch[i : i + step], dtype=self.computed)
            self._add(start + i, rows.reshape(len(rows), self.width))

    def _add(self, start: int, rows: np.ndarray) -> None:
        if self.sums is not None:
            self.sums.add(start, rows, self.extrema)
        elif self.extrema.wanted:
            moments.accumulate_extrema(rows, **self.extrema.arrays)

    def merge(self, comm: MPI.Intracomm, partition: Partition) -> Statistics:
        """The statistics over all ranks' records, on every rank. Collective."""
        result = Statistics(partition.count)
        if self.sums is not None:
            total, mean, variance = self.sums.merge(comm, partition)
            result.sum = total if "sum" in self.wanted else None
            result.mean = mean if "mean" in self.wanted else None
            result.variance = variance
        for name, array in self.extrema.merge(comm).items():
            setattr(result, name, array.astype(self.dtype, copy=False))
        return result


def _computed(dtype: np.dtype) -> np.dtype:
    """The dtype that the kernels see; nothing is lost by it."""
    if dtype == np.float16:
        return np.dtype(np.float32)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise TypeError(f"statistics need integers or floats of at most 64 bits, not {dtype}")
    return dtype


class Extrema:
    """Running maxima and minima. NaN wins, as in NumPy, and +0 counts as above -0."""

    def __init__(self, width: int, dtype: np.dtype, wanted: set[str]) -> None:
        self.dtype = dtype
        self.wanted: list[str] = [name for name in ("max", "min") if name in wanted]
        limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        lowest, highest = (-np.inf, np.inf) if dtype.kind == "f" else (limits.min, limits.max)
        self.arrays: dict[str, np.ndarray] = {}
        if "max" in self.wanted:
            self.arrays["maxima"] = np.full(width, lowest, dtype=dtype)
        if "min" in self.wanted:
            self.arrays["minima"] = np.full(width, highest, dtype=dtype)

    def merge(self, comm: MPI.Intracomm) -> dict[str, np.ndarray]:
        """Over all ranks. Collective."""
        merged: dict[str, np.ndarray] = {}
        for name in self.wanted:
            array = self.arrays["maxima" if name == "max" else "minima"]
            op = MPI.MAX if name == "max" else MPI.MIN
            if comm.size > 1 and self.dtype.kind == "f":
                keys = allreduce(comm, _float_keys(array, name), op)
                array = _from_keys(keys, self.dtype, name)
            else:
                array = allreduce(comm, array, op)
            merged[name] = array
        return merged


def _float_keys(array: np.ndarray, name: str) -> np.ndarray:
    """Integers in the order of the floats, -0 below +0, NaN beyond all on the side that wins.

    An MPI library may compare floats as it likes where NaN or signed zeros are among them;
    integers leave it no choice. (IEEE 754-2019, section 5.10, totalOrder.)
    """
    integer = np.dtype(f"i{array.itemsize}")
    bits = array.view(integer)
    keys = np.where(bits < 0, bits ^ np.iinfo(integer).max, bits)
    keys[np.isnan(array)] = np.iinfo(integer).max if name == "max" else np.iinfo(integer).min
    return keys


def _from_keys(keys: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    limit = np.iinfo(keys.dtype).max if name == "max" else np.iinfo(keys.dtype).min
    nan = keys == limit
    bits = np.where(keys < 0, keys ^ np.iinfo(keys.dtype).max, keys)
    array = bits.view(dtype)
    array[nan] = np.nan
    return array


class IntegerSums:
    """Exact sums and sums of squares, as little-endian limbs of 64 bits for each pixel."""

    def __init__(
        self, width: int, dtype: np.dtype, squares: bool, first: int, stop: int,
        empty: Callable[..., np.ndarray],
    ) -> None:
        self.signed = dtype.kind == "i"
        nsum, nsquare = moments.integer_limbs(dtype)
        self.sums = np.zeros((nsum, width), dtype=np.uint64)
        self.squares = np.zeros((nsquare, width), dtype=np.uint64) if squares else None

    def add(self, start: int, rows: np.ndarray, extrema: Extrema) -> None:
        moments.accumulate(rows, self.sums, self.squares, **extrema.arrays)

    def merge(
        self, comm: MPI.Intracomm, partition: Partition
    ) -> tuple[np.ndarray | OverflowError, np.ndarray, np.ndarray | None]:
        sums = add_limbs(comm, self.sums)
        squares = None if self.squares is None else add_limbs(comm, self.squares)
        with Together(comm, "finishing sums"):
            mean, variance = moments.finish_integers(sums, squares, partition.count, self.signed)
            total = self._as_integers(sums)
        return total, mean, variance

    def _as_integers(self, sums: np.ndarray) -> np.ndarray | OverflowError:
        low = sums[0]
        if len(sums) == 2:
            sign = (low >> np.uint64(63)) * np.uint64(0xFFFFFFFFFFFFFFFF) if self.signed else 0
            if not np.array_equal(sums[1], np.broadcast_to(sign, sums[1].shape)):
                return OverflowError(
                    "a sum does not fit 64 bits; mean() is exact, or sum fewer records"
                )
        return low.view(np.int64) if self.signed else low


def add_limbs(comm: MPI.Intracomm, limbs: np.ndarray) -> np.ndarray:
    """Sum wide integers over the ranks: (limbs, width) uint64, modulo 2^(64 limbs)."""
    if len(limbs) == 1 or comm.size == 1:
        return allreduce(comm, limbs)  # one limb wraps modulo 2^64 by itself
    with Together(comm, "adding sums"):
        halves = np.empty((2 * len(limbs), limbs.shape[1]), dtype=np.uint64)
        halves[0::2], halves[1::2] = limbs & LOW, limbs >> HALF
    allreduce(comm, halves)  # fewer than 2^32 ranks: no half overflows
    for i in range(len(halves) - 1):
        halves[i + 1] += halves[i] >> HALF
    return (halves[0::2] & LOW) | (halves[1::2] << HALF)


class FloatTree:
    """The nodes of the reduction tree that a rank's records leave over."""

    def __init__(
        self, width: int, dtype: np.dtype, squares: bool, first: int, stop: int,
        empty: Callable[..., np.ndarray],
    ) -> None:
        self.width = width
        self.first = first
        self.values = 3 if squares else 2
        self.exact = moments.exact_levels(dtype)
        shape = (max(1, int(stop).bit_length()), self.values, width)
        # Not zeroed: only the nodes that are occupied are ever touched.
        self.left = empty(shape, np.dtype(np.float64))
        self.right = empty(shape, np.dtype(np.float64))

    def add(self, start: int, rows: np.ndarray, extrema: Extrema) -> None:
        moments.push_floats(rows, start, self.first, self.left, self.right, **extrema.arrays)

    def merge(
        self, comm: MPI.Intracomm, partition: Partition
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        bands = Partition.balanced(self.width, comm.size)
        nodes = [_nodes(*partition.bounds(rank)) for rank in range(comm.size)]
        own = [
            (self.left if side == "left" else self.right)[level]
            for side, level, _ in nodes[comm.rank]
        ]
        order = [(level, index) for rank_nodes in nodes for _, level, index in rank_nodes]
        pieces = self._rounds(bands, nodes)
        with Together(comm, "merging sums"):
            mine = np.empty((bands.counts[comm.rank], self.values), dtype=np.float64)
        for piece in range(pieces):
            cuts = [_piece(bands.bounds(rank), piece, pieces) for rank in range(comm.size)]
            received = _exchange_nodes(comm, own, cuts, [len(n) for n in nodes], self.values)
            start, stop = (cut - bands.offsets[comm.rank] for cut in cuts[comm.rank])
            with Together(comm, "merging sums"):
                total = complete(order, received, self.exact)
                found = moments.finish_floats(total, partition.count)
                for i, values in enumerate(found[: self.values]):
                    mine[start:stop, i] = values
        merged = allgather_rows(comm, mine, bands)
        total, mean = merged[:, 0].copy(), merged[:, 1].copy()
        return total, mean, merged[:, 2].copy() if self.values == 3 else None

    def _rounds(self, bands: Partition, nodes: list[list[tuple[str, int, int]]]) -> int:
        """How many pieces the exchange of nodes takes, the same on all ranks."""
        widest = max(bands.counts)
        received = sum(len(n) for n in nodes) * widest * self.values * 8
        sent = max(len(n) for n in nodes) * self.width * self.values * 8
        return max(1, -(-max(received, sent) // PIECE_BYTES))


def _nodes(first: int, stop: int) -> list[tuple[str, int, int]]:
    """The nodes that the records [first, stop) leave over: (side, level, index), in order."""
    left, right = moments.occupied(first, stop)
    nodes, begin = [], first
    for side, level in [*(("left", n) for n in left), *(("right", n) for n in reversed(right))]:
        nodes.append((side, level, begin >> level))
        begin += 1 << level
    assert begin == stop
    return nodes


def _piece(bounds: tuple[int, int], piece: int, pieces: int) -> tuple[int, int]:
    start, stop = bounds
    return (start + (stop - start) * piece // pieces,
            start + (stop - start) * (piece + 1) // pieces)


def _exchange_nodes(
    comm: MPI.Intracomm, own: list[np.ndarray], cuts: list[tuple[int, int]],
    counts: list[int], values: int,
) -> np.ndarray:
    """Give each rank its cut of every rank's nodes: (nodes, values, pixels of the cut)."""
    widths = [stop - start for start, stop in cuts]
    width = widths[comm.rank]
    with Together(comm, "merging sums"):
        receive = np.empty((sum(counts), values, width))
        if comm.size == 1:
            start, stop = cuts[0]
            for node, taken in zip(own, receive, strict=True):
                taken[:] = node[:, start:stop]
            return receive
        sent = [node[:, start:stop].ravel() for start, stop in cuts for node in own]
        send = np.concatenate(sent) if sent else np.empty(0)
    comm.Alltoallv(
        [send, [len(own) * values * w for w in widths], MPI.DOUBLE],
        [receive, [count * values * width for count in counts], MPI.DOUBLE],
    )
    return receive


def complete(order: list[tuple[int, int]], nodes: np.ndarray, exact: int) -> np.ndarray:
    """Merge a whole recording's nodes, given in the order of the records, into one.

    Parameters
    ----------
    order : list of (level, index)
    nodes : (len(order), values, width) float64 ndarray; its memory is used up.
    exact : int
        `kernels.moments.exact_levels` of the records' dtype.
    """
    stack: list[tuple[int, int, np.ndarray]] = []
    for (level, index), node in zip(order, nodes, strict=True):
        stack.append((level, index, node))
        while len(stack) > 1 and stack[-2][0] == stack[-1][0] and stack[-1][1] % 2 == 1:
            (level, index, b), (_, _, a) = stack.pop(), stack.pop()
            moments.merge_nodes(a, b, level, a, exact)
            stack.append((level + 1, index // 2, a))
    level, _, total = stack.pop()
    count = 1 << level
    while stack:  # the right edge of the tree: neighbours of unequal size, smallest first
        level, _, node = stack.pop()
        moments.fold(node, 1 << level, total, count, node)
        total, count = node, count + (1 << level)
    return total
