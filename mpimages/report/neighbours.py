"""The first pass: statistics of every pixel, and how it goes along with its neighbours.

The local correlation of a pixel with its four neighbours is that of `statistics.neighbours`.

The noise of a pixel is the root of half the mean square of the differences between successive
images (J. von Neumann, R. H. Kent, H. R. Bellinson and B. I. Hart, Ann. Math. Stat. 12, 1941). For
values that are independent from image to image it is their standard deviation, however they are
distributed; what changes slowly, such as bleaching or a cell's signal, hardly adds to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..core.partition import Partition
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..spmd.agreement import allgather_rows
from ..spmd.collectives import allgather
from ..statistics.accumulator import Accumulator, Statistics, need_per_pixel
from ..statistics.neighbours import (
    FOUR,
    NeighbourSums,
    in_pieces,
    local_correlation,
    neighbours_need,
    rows_of_pieces,
)
from ..statistics.passes import MERGE_SHARE, sum_in_passes
from .handing import handed

__all__ = [
    "PixelStatistics",
    "absolute_difference",
    "is_blank",
    "pixel_statistics",
    "zero_not_finite",
]

PIXEL = {"mean", "variance", "max", "min"}
DIFFERENCE = {"mean", "variance"}
# Records that are kept for their differences: this rank's first and last, and the next one's first.
HELD = 3


@dataclass
class PixelStatistics:
    """Over all images, each of an image's shape.

    Attributes
    ----------
    mean, stdev : float64 ndarray (population standard deviation)
    max, min : ndarray of the images' dtype
    correlation : float64 ndarray
        The local correlation; NaN for pixels that are constant, or without neighbours.
    noise : float64 ndarray
        The root of half the mean square difference to the image before; NaN for one image.
    """

    mean: np.ndarray
    stdev: np.ndarray
    max: np.ndarray
    min: np.ndarray
    correlation: np.ndarray
    noise: np.ndarray


def pixel_statistics(
    action: Action, images: Selection
) -> tuple[PixelStatistics, np.ndarray, Settled]:
    """One pass over the records, or several by bands of pixels where memory is short. Collective.

    Values that are not finite count as 0.

    Returns
    -------
    PixelStatistics
    (m,) int64 ndarray
        Which records are blank, ascending; they count, too.
    Settled
        The images, as they are known then.

    Raises
    ------
    MemoryError
        Where it would take more than 256 passes.
    ValueError
        Where the records are neither images nor volumes.
    """
    comm, partition = action.comm, images.partition
    blank: list[int] = []
    if isinstance(images, Settled):
        _check_dims(images.dims)

    def need(dims: Shape, dtype: np.dtype) -> int:
        return (
            need_per_pixel(dtype, PIXEL, partition)
            + neighbours_need(dtype, FOUR, partition)
            + need_per_pixel(_of_differences(dtype), DIFFERENCE, partition)
            + HELD * dtype.itemsize
        )

    def make(dims: Shape, dtype: np.dtype, band: tuple[int, int]) -> _Sums:
        _check_dims(dims)
        return _Sums(dims, dtype, band, action, partition, blank if band[0] == 0 else None)

    found, known = sum_in_passes(
        action, images, "the sums for a report of images", need, make, lambda sums: sums.merge()
    )
    with action.together():
        whole = {
            name: np.concatenate([band[name] for band in found]).reshape(known.dims)
            for name in found[0]
        }
        variance = whole.pop("variance")
        sums = {offset: whole.pop(str(offset)) for offset in FOUR}
        square = whole.pop("square")
        statistics = PixelStatistics(
            **whole,
            stdev=np.sqrt(variance),
            correlation=local_correlation(variance, sums),
            noise=np.sqrt(square / 2),
        )
    counts = Partition.fromCounts(allgather(comm, len(blank)))
    return statistics, allgather_rows(comm, np.array(blank, dtype=np.int64), counts), known


def _check_dims(dims: Shape) -> None:
    if len(dims) not in (2, 3):
        raise ValueError(f"report: it is of images or volumes, not of records of dims {dims}")


class _Sums:
    """One rank's sums: of the pixels [a, b), of their sums with two neighbours, of differences."""

    def __init__(
        self,
        dims: Shape,
        dtype: np.dtype,
        band: tuple[int, int],
        action: Action,
        partition: Partition,
        blank: list[int] | None,
    ) -> None:
        self.action, self.partition = action, partition
        self.blank = blank  # takes the numbers of blank records
        self.band = slice(*band)
        limit = action.memory // MERGE_SHARE
        # Difference number i is that of the records i and i + 1: the last record has none.
        last = partition.count - 1
        self.pairs = Partition(tuple(min(offset, last) for offset in partition.offsets))
        self.first: np.ndarray | None = None
        self.last: np.ndarray | None = None

        def accumulator(kind: np.dtype, wanted: set[str], whose: Partition) -> Accumulator:
            own = whose.bounds(action.comm.rank)
            empty = action.session.workspace.empty
            return Accumulator(band[1] - band[0], kind, wanted, *own, empty, limit)

        self.pixel = accumulator(dtype, PIXEL, partition)
        self.neighbours = NeighbourSums(
            dims, dtype, FOUR, lambda kind, wanted: accumulator(kind, wanted, partition)
        )
        self.rows = rows_of_pieces(math.prod(dims) * self.neighbours.wide.itemsize, limit)
        self.differences = accumulator(_of_differences(dtype), DIFFERENCE, self.pairs)

    def add(self, first: int, batch: np.ndarray) -> None:
        """Take in the records first … first + len(batch). Local."""
        for number, piece in in_pieces(first, batch, self.rows):
            flat = zero_not_finite(piece)
            self.pixel.add(number, flat[:, self.band])
            self.neighbours.add(number, flat, self.band)
            self._add_differences(number, flat[:, self.band])
        if self.blank is not None:
            self.blank.extend(first + i for i, record in enumerate(batch) if is_blank(record))

    def _add_differences(self, first: int, flat: np.ndarray) -> None:
        """Add those of the records from number `first` on, and of the one before them."""
        if self.last is None:
            self.first, self.last = flat[0].copy(), flat[0].copy()
            first, flat = first + 1, flat[1:]
        if len(flat) == 0:
            return
        found = np.empty(flat.shape, self.differences.dtype)
        absolute_difference(self.last[None], flat[:1], found[:1])
        absolute_difference(flat[:-1], flat[1:], found[1:])
        self.differences.add(first - 1, found)
        self.last[:] = flat[-1]

    def _add_last_difference(self) -> None:
        """Add that of this rank's last record and the next rank's first. Collective."""
        after = handed(self.action, self.partition, self.first, -1)
        with self.action.together():
            if after is not None:
                stop = self.partition.bounds(self.action.comm.rank)[1]
                self._add_differences(stop, after[None])

    def merge(self) -> dict[str, np.ndarray]:
        """Over all ranks. Collective."""
        self._add_last_difference()

        def merge(accumulator: Accumulator, whose: Partition) -> Statistics:
            session = self.action.session
            return accumulator.merge(session.nodes, whose, session.segments)

        whole = merge(self.pixel, self.partition)
        found = {name: whole.array(name) for name in ("mean", "variance", "max", "min")}
        for offset, accumulator in self.neighbours.accumulators.items():
            found[str(offset)] = merge(accumulator, self.partition).array("variance")
        if self.pairs.count == 0:
            found["square"] = np.full(self.differences.width, np.nan)
            return found
        differences = merge(self.differences, self.pairs)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = differences.array("mean")
            found["square"] = differences.array("variance") + mean * mean
        return found


def _of_differences(dtype: np.dtype) -> np.dtype:
    """In which the absolute difference of two values neither wraps nor loses what matters."""
    if dtype.kind in "iub":
        return np.dtype(f"u{dtype.itemsize}")
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def absolute_difference(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write abs(a - b) into `out`, of unsigned integers where a and b are integers. Local."""
    if out.dtype.kind == "u":
        np.maximum(a, b, out=out.view(a.dtype))
        out -= np.minimum(a, b).view(out.dtype)  # in which the difference never wraps
        return
    with np.errstate(invalid="ignore", over="ignore"):
        np.subtract(a, b, out=out, dtype=out.dtype)
    np.abs(out, out=out)


def is_blank(record: np.ndarray) -> bool:
    """Whether no value differs from another, of those that are finite. Local."""
    values = record[np.isfinite(record)] if record.dtype.kind == "f" else record
    return values.size == 0 or (record.size > 1 and bool(values.min() == values.max()))


def zero_not_finite(values: np.ndarray) -> np.ndarray:
    """The values with 0 for those that are not finite; themselves where all are. Local."""
    if values.dtype.kind != "f":
        return values
    finite = np.isfinite(values)
    return values if finite.all() else np.where(finite, values, values.dtype.type(0))
