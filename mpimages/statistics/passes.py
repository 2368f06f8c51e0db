"""Statistics over a chain's records: in one pass, or by bands of pixels where memory is short."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..core.partition import Partition
from ..core.sizes import size_text
from ..core.timers import phase
from ..engine.chain import Chain, Shape
from ..engine.runner import Streamed
from ..spmd.agreement import Together
from .accumulator import COPY_BYTES, Accumulator, Statistics, joined, need_per_pixel

__all__ = ["Summarized"]

# Of the budget: what the sums may hold, and what a merge may send and receive at a time. The
# rest is for the records and the results.
SUMS_SHARE = 2
MERGE_SHARE = 8
# Reading everything more often than this is hardly what anybody wants.
MOST_PASSES = 256


class Summarized(Streamed):
    """A chain whose records can be summed up."""

    def _statistics(self, action: str, wanted: Iterable[str]) -> tuple[Statistics, Shape]:
        """Statistics over the records, and the shape of one. Collective.

        Where what the sums hold for every pixel does not fit half of the budget, the chain runs
        several times, each time for another band of pixels: the results have the same bits,
        but each record is read, and each function applied, once in each pass.

        Raises
        ------
        MemoryError
            Where that would take more than MOST_PASSES passes.
        """
        comm = self._session.comm
        chain = self._records(action)
        names = set(wanted)
        partition = chain.partition(comm.size)
        found: list[Statistics] = []
        passes = 1
        while len(found) < passes:
            accumulator = self._accumulate(chain, action, names, len(found))
            with phase("compute"):
                found.append(accumulator.merge(comm, partition, self._session.segments))
            assert chain.dims is not None
            assert chain.dtype is not None
            passes = self._bands(chain.dims, chain.dtype, names, partition).parts
        if passes == 1:
            statistics = found[0]
        else:
            with Together(comm, self._name(action)):
                statistics = joined(found)
        dims = chain.dims
        assert dims is not None
        return statistics, dims

    def _bands(
        self, dims: Shape, dtype: np.dtype, wanted: set[str], partition: Partition
    ) -> Partition:
        """Which pixels each pass takes; all ranks find the same. Local."""
        width = math.prod(dims)
        need = width * need_per_pixel(dtype, wanted, partition)
        passes = max(1, -(-need // max(1, self._session.memory // SUMS_SHARE)))
        if passes > min(MOST_PASSES, max(1, width)):
            raise MemoryError(
                f"the sums over records of shape {dims} and dtype {dtype} take "
                f"{size_text(need)} on a rank, and half of the budget of "
                f"{size_text(self._session.memory)} would hold them in {passes} passes only; "
                f"take fewer pixels, or give the context more with memory="
            )
        return Partition.balanced(width, passes)

    def _accumulate(
        self, chain: Chain, action: str, wanted: set[str], number: int
    ) -> Accumulator:
        """This rank's part of the statistics over the pixels of one pass. Collective."""
        comm = self._session.comm
        partition = chain.partition(comm.size)
        accumulator: Accumulator | None = None
        pixels: slice | None = None

        def begin(dims: Shape, dtype: np.dtype) -> Accumulator:
            nonlocal pixels
            bands = self._bands(dims, dtype, wanted, partition)
            start, stop = bands.bounds(number)
            pixels = slice(start, stop) if bands.parts > 1 else None
            return Accumulator(
                stop - start, dtype, wanted, *partition.bounds(comm.rank),
                self._session.workspace.empty, self._session.memory // MERGE_SHARE,
            )

        def add(first: int, batch: np.ndarray) -> None:
            nonlocal accumulator
            if accumulator is None:  # not before: a function's results are not known earlier
                accumulator = begin(batch.shape[1:], batch.dtype)
            if pixels is None:
                accumulator.add(first, batch)
                return
            step = max(1, COPY_BYTES * len(batch) // max(1, batch.nbytes))
            for i in range(0, len(batch), step):  # it may have to be copied
                rows = batch[i : i + step]
                accumulator.add(first + i, rows.reshape(len(rows), -1)[:, pixels])

        self._stream(chain, action, add, number)
        if min(partition.counts) == 0:  # a rank has no record: all wait for it to begin
            with Together(comm, self._name(action)):
                if accumulator is None:
                    assert chain.dims is not None
                    assert chain.dtype is not None
                    accumulator = begin(chain.dims, chain.dtype)
        assert accumulator is not None
        return accumulator
