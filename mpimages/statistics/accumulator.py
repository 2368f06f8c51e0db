"""Statistics over records, with the same bits for any number of ranks and any batch size.

Integers are summed exactly, in as many 64-bit limbs as needed, so that their order does not
matter. Floats are summed along a binary tree whose shape depends only on the number of records.
A node (level L, index j) covers the records [j 2^L, (j + 1) 2^L). It holds their sum S, the
rounding error C of S, and the sum M2 of the squared deviations from their mean. Two neighbours of
n records each merge as

    S = Sa + Sb,    C = Ca + Cb + (rounding error of Sa + Sb),
    M2 = (M2a + M2b) + ((Sb - Sa) + (Cb - Ca))^2 / (2 n)

(T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for
computing sample variances", 1979). A rank computes the nodes that lie inside its range of
records. The few that remain are exchanged: each rank receives them for a band of pixels, and
completes the tree there in the order of the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from mpi4py import MPI

from ..core.arguments import check_record_dtype
from ..core.json_types import JsonObject
from ..core.partition import Partition
from ..kernels import moments
from ..spmd.collectives import PIECE_BYTES, allreduce
from ..spmd.nodes import Nodes
from ..spmd.shared_memory import Segments
from .merge import Arrays, Label, MergeInput, Results, finish_by_bands

__all__ = ["Accumulator", "Statistics", "join", "need_per_pixel"]

# Bytes that are copied at once of records that the kernels cannot process in place.
COPY_BYTES = 32 << 20

# Sums below this bound are sent as 32-bit integers.
NARROW = 1 << 32

# Statistics that are computed from sums, and those that also need sums of squares.
MOMENTS = ("sum", "mean", "variance", "stdev")
SQUARED = {"variance", "stdev"}
ARRAYS = (*MOMENTS, "max", "min")


@dataclass
class Statistics:
    """The statistics of all records; those that were not requested are None.

    Attributes
    ----------
    count : int
    sum : int64, uint64 or float64 ndarray
        Or an OverflowError. Stored, not raised: only `sum` raises it, not `mean`.
    mean, variance, stdev : float64 ndarray (population variance)
    max, min : ndarray of the records' dtype
    """

    count: int
    sum: np.ndarray | OverflowError | None = None
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None
    stdev: np.ndarray | None = None
    max: np.ndarray | None = None
    min: np.ndarray | None = None

    def reshaped(self, dims: tuple[int, ...]) -> Statistics:
        """Return a copy in which each array has shape dims. Local."""
        result = Statistics(self.count)
        for name in ARRAYS:
            array = getattr(self, name)
            setattr(result, name, array.reshape(dims) if isinstance(array, np.ndarray) else array)
        return result

    def array(self, name: str) -> np.ndarray:
        """Return one statistic. Local; raise OverflowError for a sum that 64 bits cannot hold."""
        found = getattr(self, name)
        if isinstance(found, OverflowError):
            raise found
        return np.asarray(found)

    def fields(self, names: Iterable[str]) -> JsonObject:
        """Return the count and the named statistics. Local; raises as `array` does."""
        return {"count": self.count, **{name: self.array(name) for name in names}}


def join(bands: list[Statistics]) -> Statistics:
    """Join the statistics of bands of pixels to those of all pixels. Local."""
    result = Statistics(bands[0].count)
    for name in ARRAYS:
        parts = [getattr(band, name) for band in bands]
        errors = [part for part in parts if isinstance(part, OverflowError)]
        if errors:
            setattr(result, name, errors[0])
        elif parts[0] is not None:
            setattr(result, name, np.concatenate(parts))
    return result


class Accumulator:
    """One rank's part of the statistics over records of `width` elements.

    Parameters
    ----------
    width : int
        Elements of a record.
    dtype : numpy.dtype
        dtype of the records: integers, bool, or floats.
    wanted : set of {'sum', 'mean', 'variance', 'stdev', 'max', 'min'}
    first, stop : int
        This rank's range among all records.
    empty : callable, optional
        Allocator of large arrays: empty(shape, dtype).
    limit : int, optional
        Approximate maximum of the bytes that a merge sends or receives at once.
    """

    def __init__(
        self,
        width: int,
        dtype: np.dtype,
        wanted: set[str],
        first: int,
        stop: int,
        empty: Callable[..., np.ndarray] = np.empty,
        limit: int = PIECE_BYTES,
    ) -> None:
        self.width = width
        self.dtype = dtype
        self.kernel_dtype = _kernel_dtype(dtype)
        self.wanted = wanted
        self.first = first
        self.extrema = Extrema(width, self.kernel_dtype, wanted)
        self.limit = limit
        self.empty = empty
        self.squares = bool(wanted & SQUARED)
        self.sums: IntegerSums | FloatTree | None = None
        if wanted & set(MOMENTS):
            kind = FloatTree if self.kernel_dtype.kind == "f" else IntegerSums
            self.sums = kind(width, self.kernel_dtype, self.squares, first, stop, empty)

    def add(self, start: int, batch: np.ndarray) -> None:
        """Add the records [start, start + len(batch)), which follow the last ones. Local."""
        rows_lie = batch.ndim == 2 and batch.strides[1] == batch.itemsize
        as_it_is = batch.dtype == self.kernel_dtype and (rows_lie or batch.flags.c_contiguous)
        size = max(1, self.width * self.kernel_dtype.itemsize)
        step = len(batch) if as_it_is else max(1, COPY_BYTES // size)
        for i in range(0, len(batch), max(1, step)):
            rows = batch[i : i + step]
            if not as_it_is:
                rows = np.ascontiguousarray(rows, dtype=self.kernel_dtype)
            self._add(start + i, rows.reshape(len(rows), self.width))

    def _add(self, start: int, rows: np.ndarray) -> None:
        if self.sums is not None:
            self.sums.add(start, rows, self.extrema)
        elif self.extrema.wanted:
            moments.accumulate_extrema(rows, **self.extrema.arrays)

    def merge(
        self, nodes: Nodes, partition: Partition, segments: Segments | None = None
    ) -> Statistics:
        """Return the statistics over all ranks' records, on every rank. Collective."""
        sums, extrema = self.sums, self.extrema
        given = [*(sums.merge_input(partition) if sums else ()), *extrema.merge_input()]
        moments_given = len(given) - len(extrema.wanted)
        wanted = {name: sums.result_dtype(name) for name in MOMENTS if name in self.wanted if sums}
        wanted |= dict.fromkeys(extrema.wanted, self.dtype)

        def finish(joined: Arrays, out: Results) -> None:
            if sums is not None:
                squared = "variance" if "variance" in out else "stdev"
                sums.finish(
                    joined[:moments_given],
                    partition,
                    {"sum": out.get("sum"), "mean": out.get("mean"), "variance": out.get(squared)},
                )
                if "stdev" in out:
                    with np.errstate(invalid="ignore"):  # a rank that has failed sends anything
                        np.sqrt(out[squared], out=out["stdev"])
            extrema.finish(joined[moments_given:], out)

        found = finish_by_bands(
            nodes, given, wanted, self.width, finish, self.empty, self.limit, segments
        )
        result = Statistics(partition.count)
        for name, array in found.items():
            setattr(result, name, array)
        if sums is not None and "sum" in wanted:
            result.sum = sums.agree_on_overflow(nodes.comm) or result.sum
        return result


def _kernel_dtype(dtype: np.dtype) -> np.dtype:
    """Return the dtype that the kernels compute with; it holds all values of `dtype`."""
    if dtype == np.float16:
        return np.dtype(np.float32)
    check_record_dtype(dtype, "records")
    return dtype


def need_per_pixel(dtype: np.dtype, wanted: set[str], partition: Partition) -> int:
    """Return the maximum bytes that an Accumulator holds per pixel, on the rank that needs most.

    The same on all ranks. Slots of the tree that no node occupies are not counted: their memory is
    never touched.

    Raises
    ------
    OverflowError
        If the limbs cannot hold the exact sums of `partition.count` integers.
    """
    computed = _kernel_dtype(dtype)
    need = computed.itemsize * len(wanted & {"max", "min"})
    squares = bool(wanted & SQUARED)
    if not wanted & set(MOMENTS):
        return need
    if computed.kind != "f":
        nsum, nsquare = moments.integer_limbs(computed)
        _check_capacity(computed, nsum, nsquare if squares else None, partition.count)
        return need + 8 * (nsum + squares * nsquare)
    levels = max(
        count.bit_length() * (2 if first else 1)
        for first, count in zip(partition.offsets, partition.counts, strict=False)
    )
    return need + 8 * (2 + squares) * levels


def _check_capacity(dtype: np.dtype, nsum: int, nsquare: int | None, count: int) -> None:
    """Raise OverflowError if limbs cannot hold the sums of `count` records, or their squares."""
    bits = 8 * dtype.itemsize
    held = 64 * nsum - bits
    if nsquare is not None:
        held = min(held, 64 * nsquare - 2 * bits)
    if count > 1 << held:
        raise OverflowError(
            f"exact sums of {dtype} hold 2**{held} records, and there are {count}; "
            "take fewer records"
        )


class Extrema:
    """Running maxima and minima. NaN propagates, as in NumPy, and +0 is greater than -0."""

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

    def merge_input(self) -> list[MergeInput]:
        """Return the operands of this rank for the merge. Local."""
        given = []
        wire = np.dtype(f"i{self.dtype.itemsize}") if self.dtype.kind == "f" else self.dtype
        for name in self.wanted:
            join = partial(extremes, np.maximum if name == "max" else np.minimum)
            given.append(MergeInput(partial(self._keys, name), 1, wire, one_label, join))
        return given

    def _keys(self, name: str) -> list[np.ndarray]:
        array = self.arrays["maxima" if name == "max" else "minima"]
        keys = float_keys(array, name) if self.dtype.kind == "f" else array
        return [keys[np.newaxis]]

    def finish(self, joined: Arrays, out: Results) -> None:
        """Fill `out` with the extrema of some pixels over all ranks. Local."""
        for name, ((keys,),) in zip(self.wanted, joined, strict=True):
            out[name][...] = from_keys(keys, self.dtype, name) if self.dtype.kind == "f" else keys


def one_label(ranks: tuple[int, ...]) -> list[Label]:
    """Return the label of the one array that remains of any ranks. Local."""
    return [(0, 0)]


def extremes(of: np.ufunc, labels: list[Label], arrays: list[np.ndarray]) -> list[np.ndarray]:
    for array in arrays[1:]:
        of(arrays[0], array, out=arrays[0])
    return arrays[:1]


def float_keys(array: np.ndarray, name: str) -> np.ndarray:
    """Return integers in the order of the floats: -0 below +0, NaN as the extreme value.

    MPI libraries differ in how they compare NaN and signed zeros; integers have one order.
    (IEEE 754-2019, section 5.10, totalOrder.)
    """
    integer = np.dtype(f"i{array.itemsize}")
    bits = array.view(integer)
    keys = np.where(bits < 0, bits ^ np.iinfo(integer).max, bits)
    keys[np.isnan(array)] = np.iinfo(integer).max if name == "max" else np.iinfo(integer).min
    return keys


def from_keys(keys: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    limit = np.iinfo(keys.dtype).max if name == "max" else np.iinfo(keys.dtype).min
    nan = keys == limit
    bits = np.where(keys < 0, keys ^ np.iinfo(keys.dtype).max, keys)
    array = bits.view(dtype)
    array[nan] = np.nan
    return array


class IntegerSums:
    """Exact sums and sums of squares, as little-endian 64-bit limbs for each pixel."""

    def __init__(
        self,
        width: int,
        dtype: np.dtype,
        squares: bool,
        first: int,
        stop: int,
        empty: Callable[..., np.ndarray],
    ) -> None:
        self.signed = dtype.kind == "i"
        self.largest = 1 << (8 * dtype.itemsize - self.signed)
        self.overflows = False
        nsum, nsquare = moments.integer_limbs(dtype)
        # Reused memory instead of numpy.zeros: page faults cost more than clearing.
        self.sums = empty((nsum, width), np.dtype(np.uint64))
        self.sums[:] = 0
        self.squares = empty((nsquare, width), np.dtype(np.uint64)) if squares else None
        if self.squares is not None:
            self.squares[:] = 0

    def add(self, start: int, rows: np.ndarray, extrema: Extrema) -> None:
        moments.accumulate(rows, self.sums, self.squares, **extrema.arrays)

    def result_dtype(self, name: str) -> np.dtype:
        """Return the dtype of a statistic."""
        return np.dtype(np.float64 if name != "sum" else np.int64 if self.signed else np.uint64)

    def merge_input(self, partition: Partition) -> list[MergeInput]:
        """Return the operands of this rank for the merge. Local."""
        sum_bound = partition.count * self.largest
        operands = [(self.sums, self._wire(sum_bound, self.signed))]
        if self.squares is not None:
            operands.append((self.squares, self._wire(sum_bound * self.largest, False)))

        def join(labels: list[Label], arrays: list[np.ndarray]) -> list[np.ndarray]:
            return [add_limbs(arrays)]

        return [
            MergeInput(partial(list, [sums]), len(sums), wire, one_label, join)
            for sums, wire in operands
        ]

    def _wire(self, bound: int, signed: bool) -> np.dtype:
        """Return the wire dtype of sums of at most `bound`; wider values are truncated to it."""
        if bound << signed >= NARROW:
            return np.dtype(np.uint64)
        return np.dtype(np.int32 if signed else np.uint32)

    def finish(
        self, joined: Arrays, partition: Partition, out: dict[str, np.ndarray | None]
    ) -> None:
        """Fill `out` with the statistics of some pixels over all ranks, skipping None. Local."""
        sums = joined[0][0]
        squares = joined[1][0] if len(joined) > 1 else None
        if out["mean"] is not None or out["variance"] is not None:
            moments.finish_integers(
                sums, squares, partition.count, self.signed, out["mean"], out["variance"]
            )
        if (total := out["sum"]) is not None:
            total[:] = sums[0].view(total.dtype)
            self.overflows |= len(sums) == 2 and bool(np.any(sums[1] != self._beyond(sums[0])))

    def _beyond(self, low: np.ndarray) -> np.ndarray | np.uint64:
        """Return the upper limb of a sum that fits the lower one: its sign extension."""
        if not self.signed:
            return np.uint64(0)
        return (low.view(np.int64) >> 63).view(np.uint64)

    def agree_on_overflow(self, comm: MPI.Intracomm) -> OverflowError | None:
        """Return the error to raise if any sum did not fit, else None. Collective."""
        if len(self.sums) == 1 or not allreduce(comm, np.array([int(self.overflows)]))[0]:
            return None
        return OverflowError("a sum does not fit 64 bits; mean() is exact, or sum fewer records")


def add_limbs(terms: Sequence[np.ndarray]) -> np.ndarray:
    """Sum wide integers, each of shape (limbs, width), modulo 2^(64 limbs).

    Parameters
    ----------
    terms : sequence of (limbs, width) ndarray
        uint64; with one limb also int32 or uint32. The first uint64 term is overwritten with the
        sum.
    """
    total = next(term for term in terms if term.dtype == np.uint64)
    for term in terms:
        if term is total:
            continue
        if len(total) == 1:
            # The sign of a narrow term extends to 64 bits.
            same_kind = total.view(np.int64) if term.dtype.kind == "i" else total
            same_kind += term
        else:
            _add_with_carry(total, term)
    return total


def _add_with_carry(total: np.ndarray, term: np.ndarray) -> None:
    carry = np.zeros(total.shape[1], dtype=bool)
    for limb, addend in zip(total, term, strict=True):
        limb += addend
        over = limb < addend
        limb += carry
        carry = over | (limb < carry)


class FloatTree:
    """The nodes of the reduction tree that remain of a rank's records."""

    def __init__(
        self,
        width: int,
        dtype: np.dtype,
        squares: bool,
        first: int,
        stop: int,
        empty: Callable[..., np.ndarray],
    ) -> None:
        self.range = (first, stop)
        self.first = first
        self.values = 3 if squares else 2
        self.exact = moments.exact_levels(dtype)
        shape = (max(1, int(stop).bit_length()), self.values, width)
        # Not zeroed: only occupied nodes are read.
        self.left = empty(shape, np.dtype(np.float64))
        self.right = empty(shape, np.dtype(np.float64))

    def add(self, start: int, rows: np.ndarray, extrema: Extrema) -> None:
        moments.push_floats(rows, start, self.first, self.left, self.right, **extrema.arrays)

    def result_dtype(self, name: str) -> np.dtype:
        """Return the dtype of a statistic."""
        return np.dtype(np.float64)

    def remaining(self) -> list[np.ndarray]:
        """Return the nodes that remain of this rank's records, in their order. Local."""
        return [
            (self.left if side == "left" else self.right)[level]
            for side, level, _ in nodes_of(*self.range)
        ]

    def merge_input(self, partition: Partition) -> list[MergeInput]:
        """Return the operands of this rank for the merge. Local."""

        @cache
        def labels(ranks: tuple[int, ...]) -> list[Label]:
            runs = _runs(partition.bounds(rank) for rank in ranks)
            return [(level, index) for run in runs for _, level, index in nodes_of(*run)]

        join = partial(join_nodes, self.exact)
        return [MergeInput(self.remaining, self.values, np.dtype(np.float64), labels, join)]

    def finish(
        self, joined: Arrays, partition: Partition, out: dict[str, np.ndarray | None]
    ) -> None:
        """Complete the tree for some pixels, and fill `out`, skipping None. Local."""
        levels = [level for _, level, _ in nodes_of(0, partition.count)]
        total = complete(levels, joined[0])
        moments.finish_floats(total, partition.count, out["sum"], out["mean"], out["variance"])

    def agree_on_overflow(self, comm: MPI.Intracomm) -> None:
        """Return None: floats overflow to infinity. Local."""


def nodes_of(first: int, stop: int) -> list[tuple[str, int, int]]:
    """Return the nodes that remain of the records [first, stop): (side, level, index), in order."""
    left, right = moments.occupied(first, stop)
    nodes, begin = [], first
    for side, level in [*(("left", n) for n in left), *(("right", n) for n in reversed(right))]:
        nodes.append((side, level, begin >> level))
        begin += 1 << level
    assert begin == stop
    return nodes


def _runs(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ascending ranges of records that follow each other. Local."""
    runs: list[tuple[int, int]] = []
    for first, stop in ranges:
        if runs and runs[-1][1] == first:
            first, _ = runs.pop()
        runs.append((first, stop))
    return runs


def join_nodes(exact: int, labels: list[Label], nodes: list[np.ndarray]) -> list[np.ndarray]:
    """Merge nodes of the tree as far as possible; return those that remain, in record order.

    Parameters
    ----------
    exact : int
        `kernels.moments.exact_levels` of the records' dtype.
    labels : list of (level, index)
    nodes : as many (values, width) float64 ndarrays, which are overwritten
    """
    found = zip(labels, nodes, strict=True)
    stack: list[tuple[int, int, np.ndarray]] = []
    for (level, index), node in sorted(found, key=lambda pair: pair[0][1] << pair[0][0]):
        stack.append((level, index, node))
        while len(stack) > 1 and stack[-1][1] % 2 == 1 and stack[-2][:2] == (level, index - 1):
            (_, _, b), (_, _, a) = stack.pop(), stack.pop()
            moments.merge_nodes(a, b, level, a, exact)
            level, index = level + 1, index // 2
            stack.append((level, index, a))
    return [node for _, _, node in stack]


def complete(levels: Sequence[int], nodes: Sequence[np.ndarray]) -> np.ndarray:
    """Merge what remains of a whole recording: neighbours of unequal size, smallest first.

    Parameters
    ----------
    levels : sequence of int
        Descending.
    nodes : as many (values, width) float64 ndarrays, which are overwritten
    """
    total, count = nodes[-1], 1 << levels[-1]
    for level, node in zip(levels[-2::-1], nodes[-2::-1], strict=True):
        moments.fold(node, 1 << level, total, count, node)
        total, count = node, count + (1 << level)
    return total
