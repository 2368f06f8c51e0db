"""A collection as a matrix of pixels × times, in blocks. Collective.

Each rank has some of the pixels, and everything of the size of the times. A Series comes in blocks
of pixels with all times. Images come in rounds: each rank loads a few of its own, and the exchange
gives it its pixels of all of them. So sums over pixels are merged once, in the size of the times,
and sums over times need no merging; nothing of the size of the pixels is there on two ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from mpi4py import MPI

from ..core.arguments import is_small_integer
from ..core.partition import Partition
from ..engine.runner import Action
from ..engine.selection import Settled
from ..spmd import memory_limit
from ..spmd.agreement import allgather_rows
from ..spmd.collectives import allreduce
from ..statistics.passes import statistics
from .products import (
    DATA,
    LIMB,
    ExactSum,
    Weights,
    data_bits,
    least_bits,
    partial_products,
    record_units,
    signs,
    split,
    unit_of,
)

__all__ = ["PixelMatrix", "mean_series"]

# A rank's images of a round: at most so many bytes, and this part of the budget.
ROUND_BYTES, ROUND_PART = 32 << 20, 16
# Values that are made float64 at once: they stay in the cache.
PIECE = 1 << 17
# Values of a record that are looked at in one go, and records.
RUN, ROWS = 1 << 12, 1 << 12
# Times of a piece of a block whose series lie in memory one after the other, and of images.
TIMES, IMAGES = 1 << 10, 1 << 7
# Products below 2^53 that int64 adds up.
HELD = 1 << 10

Consume = Callable[[slice, np.ndarray, np.ndarray], None]


class PixelMatrix:
    """The records of an action as a matrix of pixels × times.

    Parameters
    ----------
    action : Action
    records : Settled
        Images, or series of the same length.
    images : bool
        Which of them they are.

    Attributes
    ----------
    shape : (int, int)
        Pixels and times.
    pixels : Partition
        Which rank has which pixels.
    unit : int
        The exponent of the last bit of the data, once a pass has seen them all.
    """

    def __init__(self, action: Action, records: Settled, images: bool) -> None:
        self.action = action
        self.records = records
        self.images = images
        self.comm = action.comm
        values, count = math.prod(records.dims), records.count
        self.shape = (values, count) if images else (count, values)
        self.pixels = Partition.balanced(values, self.comm.size) if images else records.partition
        self.small = is_small_integer(records.dtype)
        self.unit = 0

    @property
    def own(self) -> int:
        """The number of this rank's pixels."""
        return self.pixels.counts[self.comm.rank]

    @property
    def largest_exponent(self) -> int:
        """An e for which no value exceeds 2^e."""
        return 16 if self.small else self.unit + DATA

    def pieces(self, batch: np.ndarray) -> Iterator[np.ndarray]:
        """Cut series, so that what is computed of a piece stays in the cache. Local."""
        step = max(1, PIECE // max(1, batch.shape[1]))
        for a in range(0, len(batch), step):
            yield batch[a : a + step]

    # -- passes --------------------------------------------------------------------------------

    def sketch(self, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Multiply each record by random signs: a pass that moves nothing. Collective.

        It also finds the largest value.

        Returns
        -------
        (own pixels, columns) ndarray of a Series, (times, columns) of images
            Products of the records with a matrix of +1 and -1.
        (times,) ndarray
            The sum of each image; empty of a Series.

        Raises
        ------
        ValueError
            For NaN and infinities.
        """
        start, stop = self.records.partition.bounds(self.comm.rank)
        width = math.prod(self.records.dims)
        out, largest = np.empty((0, 0)), np.zeros(1)
        with self.action.together():
            out = np.empty((stop - start, columns + self.images))

        def multiply(first: int, batch: np.ndarray) -> None:
            flat = batch.reshape(len(batch), width)
            for a in range(0, len(flat), ROWS):
                rows = flat[a : a + ROWS]
                self._see(rows, largest)
                begin = first - start + a
                self._signed(rows, out[begin : begin + len(rows)], columns, seed)

        self.action.stream(self.records, multiply, (columns, seed))
        self._know(largest)
        if not self.images:
            return out, np.empty(0)
        everything = allgather_rows(self.comm, out, self.records.partition)
        return np.ascontiguousarray(everything[:, :-1]), everything[:, -1].copy()

    def _signed(self, rows: np.ndarray, out: np.ndarray, columns: int, seed: int) -> None:
        """Multiply records by random signs, and images by ones, too. Local."""
        units, width = record_units(rows), rows.shape[1]
        low, high = np.zeros_like(out), np.zeros_like(out)
        for a in range(0, width, RUN):
            wanted = signs(seed, a, min(a + RUN, width), columns)
            if self.images:
                wanted = np.concatenate([wanted, np.ones((len(wanted), 1))], 1)
            step = PIECE // len(wanted)
            for i in range(0, len(rows), step):
                piece = slice(i, i + step)
                for part, shift in split(rows[piece, a : a + RUN], units[piece]):
                    (high if shift else low)[piece] += part @ wanted
        np.ldexp(high * 2.0**LIMB + low, units, out=out)

    def measure(self) -> None:
        """Find the largest value, where the data are no small integers. Collective.

        Raise ValueError for NaN and infinities.
        """
        if self.small:
            return
        largest = np.zeros(1)
        self.action.stream(self.records, lambda _, batch: self._see(batch, largest))
        self._know(largest)

    def _see(self, batch: np.ndarray, largest: np.ndarray) -> None:
        if self.small or not batch.size:
            return
        found = max(float(batch.max()), -float(batch.min()))
        if not math.isfinite(found):  # NaN wins in both
            raise ValueError(
                f"{self.action.name}: the data have NaN or infinite values; replace them first, as "
                "by apply(np.nan_to_num)"
            )
        largest[0] = max(largest[0], found)

    def _know(self, largest: np.ndarray) -> None:
        if not self.small:
            self.unit = unit_of(float(allreduce(self.comm, largest, MPI.MAX)[0]))

    def to_times(self, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        """The product of the transposed matrix with weights of the own pixels. Collective.

        Returns
        -------
        (times, columns) and (times,) ndarray
            On every rank; the second are the sums over the pixels.
        """
        shape = self.shape[1], weights.whole.shape[1] + 1
        total, bits = ExactSum(shape), data_bits(self.records.dtype) + weights.bits
        held = {shift: np.zeros(shape, np.int64) for shift in self._shifts}
        number = 0

        def flush() -> None:
            nonlocal number
            number = 0
            for shift, sums in held.items():
                total.add(sums, shift)
                sums[...] = 0

        def add(rows: slice, at: np.ndarray, block: np.ndarray) -> None:
            nonlocal number
            wanted = np.concatenate([weights.whole[rows], np.ones((len(block), 1))], 1)
            for limb, shift in split(block, self.unit):
                for part in partial_products(limb.T, wanted, bits):
                    held[shift][at] += part.astype(np.int64)
                    number += 1
            if number >= HELD // 2:
                flush()

        self._blocks(add, (weights.scale, "times"))
        flush()
        found = total.merge(self.comm).values()
        scale = np.append(weights.scale, 0) + self.unit
        found = np.ldexp(found, scale)
        return np.ascontiguousarray(found[:, :-1]), found[:, -1].copy()

    def to_pixels(self, matrix: np.ndarray) -> tuple[np.ndarray, Weights]:
        """The product of the matrix with weights of the times, of the own pixels. Collective.

        Returns
        -------
        (own pixels, columns) float64 ndarray
        Weights
            What the matrix was rounded to.
        """
        weights = Weights.of(matrix, least_bits(self.records.dtype, self.shape[1]))
        shape = self.own, matrix.shape[1]
        bits = data_bits(self.records.dtype) + weights.bits
        sums: dict[int, np.ndarray] = {}
        with self.action.together():
            sums.update((shift, np.zeros(shape, np.int64)) for shift in self._shifts)

        def add(rows: slice, at: np.ndarray, block: np.ndarray) -> None:
            wanted = weights.whole[at]
            for limb, shift in split(block, self.unit):
                for part in partial_products(limb, wanted, bits):
                    sums[shift][rows] += part.astype(np.int64)

        self._blocks(add, (weights.scale, "pixels"))
        # The sums become floats where they are, so that no more memory is needed.
        low = sums[0]
        found = low.view(np.float64)
        scale = weights.scale + self.unit
        step = max(1, PIECE // max(1, shape[1]))
        for a in range(0, len(low), step):
            piece = low[a : a + step].astype(np.float64)
            if LIMB in sums:
                piece += sums[LIMB][a : a + step] * 2.0**LIMB
            found[a : a + step] = np.ldexp(piece, scale)
        return found, weights

    # -- blocks --------------------------------------------------------------------------------

    @property
    def _shifts(self) -> tuple[int, ...]:
        """By how many bits the limbs of the data are shifted."""
        return (0,) if self.small else (0, LIMB)

    def _blocks(self, consume: Consume, given: object) -> None:
        """Call consume(own pixels, times, block) for pieces of pixels × times. Collective."""
        every = np.arange(self.shape[1])

        def series(first: int, batch: np.ndarray) -> None:
            begin = first - self.records.partition.bounds(self.comm.rank)[0]
            self._cut(begin, every, batch, consume, TIMES)

        def images(first: int, batch: np.ndarray) -> None:
            flat = batch.reshape(len(batch), self.shape[0])
            self._cut(0, every[first : first + len(flat)], flat.T, consume, IMAGES)

        if not self.images:
            self.action.stream(self.records, series, given)
        elif self.comm.size == 1:
            self.action.stream(self.records, images, given)
        else:
            self._exchange(consume)

    def _cut(
        self, first: int, at: np.ndarray, block: np.ndarray, consume: Consume, width: int
    ) -> None:
        """Hand a block on in pieces that stay in the cache. Local."""
        for j in range(0, block.shape[1], width):
            times = at[j : j + width]
            step = PIECE // len(times)
            for i in range(0, len(block), step):
                piece = block[i : i + step, j : j + width]
                consume(slice(first + i, first + i + len(piece)), times, piece)

    def _exchange(self, consume: Consume) -> None:
        """The own pixels of all images, in rounds of a few images of each rank. Collective."""
        from ..exchange.redistribution import Redistribution

        action, session = self.action, self.action.session
        limit = max(1, min(ROUND_BYTES, action.memory // ROUND_PART))
        number = max(1, limit // max(1, self.records.record_bytes))
        shares = self.records.partition
        for begin in range(0, max(shares.counts), number):
            at = np.concatenate(
                [
                    np.arange(min(a + begin, b), min(a + begin + number, b))
                    for a, b in map(shares.bounds, range(shares.parts))
                ]
            )
            block, some = action.load(self.records.take(at))
            flat = np.empty((0, 0))
            with action.together():
                flat = np.ascontiguousarray(block).reshape(len(block), self.shape[0])
            plan = Redistribution(some.partition, self.pixels, some.dtype, limit, session.segments)
            together, first = action.together(), 0
            for moved in plan.execute(self.comm, flat, range(self.shape[0]), session.workspace):
                with together.attempt():
                    if not together.failed:
                        self._cut(first, at, moved, consume, TIMES)
                first += len(moved)
            together.agree()

    def check_fits(self, columns: int) -> None:
        """Raise MemoryError unless a rank can hold what so many columns take. Local."""
        pixels, lengths = max(self.pixels.counts), self.shape[1]
        need = 8 * (2 * pixels * columns + 8 * lengths * (columns + 1))
        memory_limit.check_fits(
            need,
            self.action.memory,
            f"{self.action.name} with {columns} columns",
            "take a smaller k, more ranks, or give the context more with memory=",
        )


def mean_series(action: Action, records: Settled, images: bool) -> np.ndarray:
    """The mean of the series of all pixels, (times,). Collective; one pass."""
    if images:
        matrix = PixelMatrix(action, records, images)
        mean: np.ndarray = matrix.sketch(1, 0)[1] / matrix.shape[0]
        return mean
    return statistics(action, records, ["mean"]).array("mean")
