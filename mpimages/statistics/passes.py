"""Statistics over records: in one pass, or by bands of pixels if memory is short."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import numpy as np

from ..core.partition import Partition
from ..core.sizes import size_text
from ..core.timers import phase
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from .accumulator import COPY_BYTES, Accumulator, Statistics, join, need_per_pixel

__all__ = ["MERGE_SHARE", "statistics", "sum_in_passes"]

# Divisors of the budget for the sums, and for what a merge sends and receives at once. The rest is
# for the records and the results.
SUMS_SHARE = 2
MERGE_SHARE = 8
# Limit the number of passes, because each pass reads all files.
MOST_PASSES = 256


class Sums(Protocol):
    """One rank's sums over some pixels of the records. Local."""

    def add(self, first: int, batch: np.ndarray) -> None:
        """Add the records from number `first` on, which follow the last ones."""


SumsType = TypeVar("SumsType", bound=Sums)
Merged = TypeVar("Merged")


def statistics(action: Action, selection: Selection, names: Iterable[str]) -> Statistics:
    """Compute statistics over the records; each array has the shape of a record. Collective.

    Parameters
    ----------
    names : {'mean', 'variance', 'stdev', 'sum', 'max', 'min'}, several

    Raises
    ------
    MemoryError
        See `sum_in_passes`.
    """
    session, wanted, partition = action.session, set(names), selection.partition

    def make(dims: Shape, dtype: np.dtype, band: tuple[int, int]) -> _BandSums:
        accumulator = Accumulator(
            band[1] - band[0],
            dtype,
            wanted,
            *partition.bounds(action.comm.rank),
            session.workspace.empty,
            action.memory // MERGE_SHARE,
        )
        return _BandSums(accumulator, band, whole=band == (0, math.prod(dims)))

    def merge(sums: _BandSums) -> Statistics:
        return sums.accumulator.merge(session.nodes, partition, session.segments)

    found, known = sum_in_passes(
        action,
        selection,
        "the sums over records",
        lambda dims, dtype: need_per_pixel(dtype, wanted, partition),
        make,
        merge,
    )
    if len(found) == 1:
        return found[0].reshaped(known.dims)
    with action.together():
        return join(found).reshaped(known.dims)


class _BandSums:
    """An accumulator for a band of pixels of each record."""

    def __init__(self, accumulator: Accumulator, band: tuple[int, int], whole: bool) -> None:
        self.accumulator = accumulator
        self._pixels = None if whole else slice(*band)

    def add(self, first: int, batch: np.ndarray) -> None:
        if self._pixels is None:
            self.accumulator.add(first, batch)
            return
        step = max(1, COPY_BYTES * len(batch) // max(1, batch.nbytes))
        for i in range(0, len(batch), step):  # in pieces, because reshape may copy
            rows = batch[i : i + step]
            self.accumulator.add(first + i, rows.reshape(len(rows), -1)[:, self._pixels])


def sum_in_passes(
    action: Action,
    selection: Selection,
    what: str,
    need: Callable[[Shape, np.dtype], int],
    make: Callable[[Shape, np.dtype, tuple[int, int]], SumsType],
    merge: Callable[[SumsType], Merged],
) -> tuple[list[Merged], Settled]:
    """Sum the records in as many passes as the budget requires. Collective.

    If the sums of all pixels do not fit half of the budget, the chain runs several times, each time
    for another band of pixels. The results have the same bits, but each record is read, and each
    function applied, once in each pass.

    Parameters
    ----------
    what : str
        Name of the sums in messages: ``"the sums over records"``.
    need : callable
        need(dims, dtype) returns the bytes that the sums take per pixel of a record, on the rank
        that needs most: the same on all ranks. Local.
    make : callable
        make(dims, dtype, band) returns this rank's empty sums for the pixels [a, b) of a
        record. Local.
    merge : callable
        merge(sums) merges them over all ranks. Collective.

    Returns
    -------
    list, Settled
        The results of `merge` for each band of pixels; the settled selection.

    Raises
    ------
    MemoryError
        If more than MOST_PASSES passes were needed.
    """
    begun: list[SumsType] = []
    merged: list[Merged] = []
    known: Selection = selection

    def cut(dims: Shape, dtype: np.dtype) -> Partition:
        return _cut(dims, dtype, what, math.prod(dims) * need(dims, dtype), action.memory)

    def begin(dims: Shape, dtype: np.dtype) -> None:
        begun.append(make(dims, dtype, cut(dims, dtype).bounds(len(merged))))

    def add(first: int, batch: np.ndarray) -> None:
        if not begun:  # not earlier: the result of a function is not known before
            begin(batch.shape[1:], batch.dtype)
        begun[0].add(first, batch)

    while True:
        begun.clear()
        known = action.stream(known, add, (what, len(merged)))
        if min(known.partition.counts) == 0:  # a rank without records begins its sums here
            with action.together():
                if not begun:
                    begin(known.dims, known.dtype)
        with phase("compute"):
            merged.append(merge(begun.pop()))
        if len(merged) == cut(known.dims, known.dtype).parts:
            return merged, known


def _cut(dims: Shape, dtype: np.dtype, what: str, need: int, memory: int) -> Partition:
    """Partition the pixels into passes; the same on all ranks. Local."""
    width = math.prod(dims)
    passes = max(1, -(-need // max(1, memory // SUMS_SHARE)))
    if passes > min(MOST_PASSES, max(1, width)):
        raise MemoryError(
            f"{what} of shape {dims} and dtype {dtype} take {size_text(need)} on a rank, and half "
            f"of the budget of {size_text(memory)} would hold them in {passes} passes only; take "
            "fewer pixels, or give the context more with memory="
        )
    return Partition.balanced(width, passes)
