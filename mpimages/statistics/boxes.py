"""The correlation of each pixel with the mean of a box around it, in one pass.

Of integers of 8 and 16 bits the sums of x, x^2, b, x b and b^2 are exact, with x a pixel and b the
sum over its box; so are the three differences of which the correlation is made. Other dtypes are
float64 on the way: with y the mean of the box, cov(x, y) = (var(x + y) - var(x) - var(y)) / 2, by
variances of the fixed tree. Both give the same bits for every number of ranks.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ..core.partition import Partition
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection
from ..kernels import boxes
from .accumulator import COPY_BYTES, NARROW, Accumulator, add_limbs, need_per_pixel
from .merge import Arrays, Label, MergeInput, Results, finish_by_bands
from .neighbours import VARIANCE, in_pieces, rows_of_pieces
from .passes import MERGE_SHARE, sum_in_passes

__all__ = ["box_means", "correlation_with_boxes"]


def correlation_with_boxes(
    action: Action, images: Selection, reach: tuple[int, ...], volumes: bool
) -> np.ndarray:
    """Correlation of each pixel with the mean of its box. Collective.

    Parameters
    ----------
    reach : tuple of int
        How many pixels a box goes beyond its centre: along each axis, or (one) along rows and
        columns.
    volumes : bool
        Whether `reach` is one for each axis.
    """
    partition = images.partition

    def along(dims: Shape) -> tuple[int, ...]:
        if len(dims) not in (2, 3) or (volumes and len(reach) != len(dims)):
            raise ValueError(
                f"localCorr: neighborhood has {len(reach)} values, and the images have dims {dims}"
                if volumes
                else f"localCorr: it is of images or volumes, not of records of dims {dims}"
            )
        return reach if volumes else (reach * 2 + (0,))[: len(dims)]

    def need(dims: Shape, dtype: np.dtype) -> int:
        limbs = boxes.limbs(dtype, dims, along(dims), partition.count)
        if limbs:
            return 8 * (3 + 2 * limbs)
        return 3 * need_per_pixel(np.dtype(np.float64), VARIANCE, partition)

    def make(dims: Shape, dtype: np.dtype, band: tuple[int, int]) -> _ExactSums | _FloatSums:
        exact = boxes.limbs(dtype, dims, along(dims), partition.count)
        kind = _ExactSums if exact else _FloatSums
        return kind(action, partition, dims, dtype, along(dims), band)

    # The ranks compare this name, and so what each was given.
    around = reach if volumes else reach[0]
    what = f"the sums over boxes of neighborhood={around}"
    found, known = sum_in_passes(action, images, what, need, make, lambda sums: sums.merge())
    with action.together():
        return np.concatenate(found).reshape(known.dims)


class _ExactSums:
    """One rank's exact sums, of the rows that a band of pixels touches."""

    def __init__(
        self,
        action: Action,
        partition: Partition,
        dims: Shape,
        dtype: np.dtype,
        reach: tuple[int, ...],
        band: tuple[int, int],
    ) -> None:
        self.action, self.partition = action, partition
        self.dims, self.reach, self.dtype = dims, reach, dtype
        row = math.prod(dims[1:])
        self.first, stop = band[0] // row, -(-band[1] // row)
        self.band = slice(band[0] - self.first * row, band[1] - self.first * row)
        limbs = boxes.limbs(dtype, dims, reach, partition.count)
        shape = (3 + 2 * limbs, (stop - self.first) * row)
        self.sums = action.session.workspace.empty(shape, np.dtype(np.uint64))
        self.sums[:] = 0

    def add(self, first: int, batch: np.ndarray) -> None:
        step = len(batch)
        if not batch.flags.c_contiguous or batch.dtype != self.dtype:
            step = max(1, COPY_BYTES * len(batch) // max(1, batch.nbytes))
        for i in range(0, len(batch), max(1, step)):
            rows = np.ascontiguousarray(batch[i : i + step], dtype=self.dtype)
            boxes.add(rows.reshape(len(rows), -1), self.dims, self.reach, self.first, self.sums)

    def merge(self) -> np.ndarray:
        """Return the correlation over all ranks. Collective."""
        session = self.action.session
        sums = self.sums[:, self.band]
        # Lower and upper limbs of a sum travel together.
        rows = [[0], [1], [2], [3], [4]] if len(sums) == 5 else [[0], [1], [2], [3, 5], [4, 6]]
        largest = 2 ** (8 * self.dtype.itemsize)
        over = largest * math.prod(2 * r + 1 for r in self.reach)
        bounds = (largest, largest**2, over, largest * over, over**2)

        def own(which: list[int]) -> list[np.ndarray]:
            return [sums[which] if len(which) > 1 else sums[which[0]][np.newaxis]]

        given = [
            MergeInput(
                partial(own, which),
                len(which),
                np.dtype(np.uint32 if bound * self.partition.count < NARROW else np.uint64),
                _one,
                _add,
            )
            for which, bound in zip(rows, bounds, strict=True)
        ]

        def finish(joined: Arrays, out: Results) -> None:
            limbs = [array for (array,) in joined]
            upper = [array[1:] for array in limbs if len(array) > 1]
            joined_sums = np.concatenate([*(array[:1] for array in limbs), *upper])
            boxes.correlation(joined_sums, self.partition.count, out["correlation"])

        found = finish_by_bands(
            session.nodes,
            given,
            {"correlation": np.dtype(np.float64)},
            sums.shape[1],
            finish,
            session.workspace.empty,
            self.action.memory // MERGE_SHARE,
            session.segments,
        )
        return found["correlation"]


def _one(ranks: tuple[int, ...]) -> list[Label]:
    """Return the label of the one array that remains of any ranks. Local."""
    return [(0, 0)]


def _add(labels: list[Label], arrays: list[np.ndarray]) -> list[np.ndarray]:
    return [add_limbs(arrays)]


class _FloatSums:
    """One rank's trees of pixels, of the means of their boxes, and of the sums of both."""

    def __init__(
        self,
        action: Action,
        partition: Partition,
        dims: Shape,
        dtype: np.dtype,
        reach: tuple[int, ...],
        band: tuple[int, int],
    ) -> None:
        self.action, self.partition = action, partition
        self.dims, self.reach, self.band = dims, reach, slice(*band)
        own = partition.bounds(action.comm.rank)
        limit, real = action.memory // MERGE_SHARE, np.dtype(np.float64)
        self.rows = rows_of_pieces(math.prod(dims) * real.itemsize, limit)
        self.trees = [
            Accumulator(
                band[1] - band[0], real, VARIANCE, *own, action.session.workspace.empty, limit
            )
            for _ in range(3)
        ]

    def add(self, first: int, batch: np.ndarray) -> None:
        for number, flat in in_pieces(first, batch, self.rows):
            values = flat.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                means = box_means(values.reshape(-1, *self.dims), self.reach).reshape(flat.shape)
                both = values[:, self.band] + means[:, self.band]
            for tree, part in zip(
                self.trees, (values[:, self.band], means[:, self.band], both), strict=True
            ):
                tree.add(number, part)

    def merge(self) -> np.ndarray:
        """Return the correlation over all ranks. Collective."""
        session = self.action.session
        x, y, both = (
            tree.merge(session.nodes, self.partition, session.segments).array("variance")
            for tree in self.trees
        )
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            covariance, scale = (both - x - y) / 2, np.sqrt(x) * np.sqrt(y)
            found = np.clip(covariance / scale, -1, 1)
        # Beside a constant, rounding may leave a covariance other than 0.
        return np.where(scale > 0, found, np.nan)


def box_means(images: np.ndarray, reach: tuple[int, ...]) -> np.ndarray:
    """Means over a box around each pixel of each image, reflected beyond its borders. Local.

    Parameters
    ----------
    images : (k,) + dims float64 ndarray
    reach : tuple of int
        How many pixels the box goes beyond its centre along each axis of an image.
    """
    sums = images
    for axis, step in enumerate(reach, 1):
        if step:
            sums = _window_sums(sums, axis, step)
    # Divided and not multiplied: the mean of equal values is that value where their sum is exact.
    return sums / float(math.prod(2 * step + 1 for step in reach))


def _window_sums(images: np.ndarray, axis: int, reach: int) -> np.ndarray:
    """Sums of 2 * reach + 1 pixels along an axis, by doubling: each by the same additions."""
    n = images.shape[axis]
    place = np.arange(-reach, n + reach) % (2 * n)
    window = images.take(np.where(place < n, place, 2 * n - 1 - place), axis)

    def part(array: np.ndarray, start: int, length: int) -> np.ndarray:
        return array[(slice(None),) * axis + (slice(start, start + length),)]

    total, at, size = part(window, 0, n), 1, 1
    left = (2 * reach + 1) // 2
    while left:
        length = window.shape[axis] - size
        window = part(window, 0, length) + part(window, size, length)
        size *= 2
        if left & 1:
            total = total + part(window, at, n)
            at += size
        left //= 2
    return total
