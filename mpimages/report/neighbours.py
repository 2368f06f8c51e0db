"""The first pass: statistics of every pixel, and how it goes along with its neighbours.

The local correlation of a pixel is the mean Pearson correlation of its series with those of its
four neighbours in the plane (Smith and Häusser, Nature Neuroscience 13, 2010, used it to find
cells). It follows from variances alone, var(x + y) = var(x) + var(y) + 2 cov(x, y), so that the
sums of `accumulator.Accumulator` serve for it: exact for integers of up to 16 bits, along a
fixed tree otherwise, and the same bits for every number of ranks.

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
from ..statistics.passes import MERGE_SHARE, sum_in_passes
from .handing import handed

__all__ = [
    "PixelStatistics",
    "absolute_difference",
    "is_blank",
    "local_correlation",
    "pixel_statistics",
    "zero_not_finite",
]

PIXEL = {"mean", "variance", "max", "min"}
SUM = {"variance"}
DIFFERENCE = {"mean", "variance"}
# Records that are kept for their differences: this rank's first and last, and the next one's first.
HELD = 3
# What is widened and added at a time: it shall stay in the cache; but of larger images a group of
# eight, as the tree takes them, as long as that is not too large either.
PIECE_BYTES = 1 << 20
GROUP_BYTES = 64 << 20
GROUP = 8


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
            + 2 * need_per_pixel(_wide(dtype), SUM, partition)
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
        right, down = whole.pop("right"), whole.pop("down")
        square = whole.pop("square")
        statistics = PixelStatistics(
            **whole,
            stdev=np.sqrt(variance),
            correlation=local_correlation(variance, right, down),
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
        self.wide = _wide(dtype)
        # In C order a neighbour is so many places further on. At the end of a row that is
        # another row's pixel: such sums are not used.
        self.lags = {"right": math.prod(dims[2:]), "down": math.prod(dims[1:])}
        limit = action.memory // MERGE_SHARE
        self.rows = _rows(math.prod(dims) * self.wide.itemsize, min(limit, GROUP_BYTES))
        self.sums: np.ndarray | None = None
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
        self.neighbours = {name: accumulator(self.wide, SUM, partition) for name in self.lags}
        self.differences = accumulator(_of_differences(dtype), DIFFERENCE, self.pairs)

    def add(self, first: int, batch: np.ndarray) -> None:
        """Take in the records first … first + len(batch). Local."""
        # So that pieces begin where the tree's groups do.
        step = self.rows - (first % GROUP if self.rows >= GROUP else 0)
        start = 0
        while start < len(batch):
            piece = batch[start : start + step]
            flat = zero_not_finite(np.ascontiguousarray(piece).reshape(len(piece), -1))
            self.pixel.add(first + start, flat[:, self.band])
            self._add_sums(first + start, flat)
            self._add_differences(first + start, flat[:, self.band])
            start, step = start + step, self.rows
        if self.blank is not None:
            self.blank.extend(first + i for i, record in enumerate(batch) if is_blank(record))

    def _add_sums(self, first: int, flat: np.ndarray) -> None:
        if self.sums is None:
            self.sums = np.zeros((self.rows, flat.shape[1]), self.wide)
        out = self.sums[: len(flat)]
        for name, lag in self.lags.items():
            if lag < flat.shape[1]:
                with np.errstate(over="ignore"):
                    np.add(flat[:, :-lag], flat[:, lag:], out=out[:, :-lag], dtype=self.wide)
            self.neighbours[name].add(first, out[:, self.band])

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
        for name, accumulator in self.neighbours.items():
            found[name] = merge(accumulator, self.partition).array("variance")
        if self.pairs.count == 0:
            found["square"] = np.full(self.differences.width, np.nan)
            return found
        differences = merge(self.differences, self.pairs)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = differences.array("mean")
            found["square"] = differences.array("variance") + mean * mean
        return found


def _rows(record: int, limit: int) -> int:
    """How many records of so many bytes are worked on at a time."""
    many = PIECE_BYTES // max(1, record) // GROUP * GROUP
    return many or max(1, min(GROUP, limit // max(1, record)))


def _wide(dtype: np.dtype) -> np.dtype:
    """In which the sum of two values neither wraps nor loses what matters."""
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")
    return np.dtype(np.float64)


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


def local_correlation(variance: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Mean correlation of each pixel with its neighbours in the plane. Local.

    Parameters
    ----------
    variance : (rows, columns[, pages]) float64 ndarray
        Of each pixel.
    right, down : ndarray of that shape
        Variance of the sum of each pixel and the next along the columns, or rows.

    Returns
    -------
    ndarray of that shape
        -1…1; NaN where there is no neighbour to compare with.
    """
    total, number = np.zeros(variance.shape), np.zeros(variance.shape)
    for axis, sums in ((1, right), (0, down)):
        near, far = (
            (slice(None),) * axis + (slice(None, -1),),
            (slice(None),) * axis + (slice(1, None),),
        )
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            covariance = (sums[near] - variance[near] - variance[far]) / 2
            scale = np.sqrt(variance[near]) * np.sqrt(variance[far])
            found = np.clip(covariance / scale, -1, 1)
        there = np.isfinite(found)
        for part in (near, far):
            total[part] += np.where(there, found, 0)
            number[part] += there
    mean: np.ndarray = np.divide(
        total, number, out=np.full(variance.shape, np.nan), where=number > 0
    )
    return mean
