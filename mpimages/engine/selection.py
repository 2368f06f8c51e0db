"""A settled chain: which records there are, who owns them, and what one of them is like.

`Selection` knows the records. `Settled` knows their shape and dtype, too, and is what most
actions run on. Only after `apply` with a function whose result was not declared is there a
Selection that is not Settled: an action on it learns shape and dtype from the first records.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ..core.partition import Partition
from .chain import Chain, Positions, Shape, Source, Step, WritingStep

__all__ = ["Selection", "Settled", "select"]


@dataclass(frozen=True)
class Selection:
    """The records of a settled chain.

    Attributes
    ----------
    source : Source
    positions : ascending ints
        Of the records in the source.
    keys : ascending ints
        Of the records, as the chain counts them.
    steps : tuple of Step
    partition : Partition
        Which rank owns which record.
    """

    source: Source
    positions: Positions
    keys: Positions
    steps: tuple[Step, ...]
    partition: Partition

    @property
    def count(self) -> int:
        """The number of records."""
        return len(self.positions)

    def own(self, rank: int) -> Positions:
        """The positions of a rank's records."""
        start, stop = self.partition.bounds(rank)
        return self.positions[start:stop]

    def chain(self) -> Chain:
        """The chain that settles to this at once."""
        return Chain(self.source, self.positions, self.keys, self.steps)

    def take(self, kept: np.ndarray) -> Self:
        """Only the records at these places, ascending ints."""
        positions = pick(self.positions, kept)
        partition = partition_of(self.source, positions, self.partition.parts)
        return replace(
            self, positions=positions, keys=pick(self.keys, kept), partition=partition)

    def describe(self) -> Selection:
        """The same, Settled if it is known by now what a record is like."""
        dims, dtype = self.source.dims, self.source.dtype
        for step in self.steps:
            dims, dtype = step.dims(dims), step.dtype(dtype)
        if dims is None or dtype is None:
            return self
        return Settled(self.source, self.positions, self.keys, self.steps, self.partition, dims,
                       dtype)

    def signature(self) -> tuple[object, ...]:
        """What must be the same on all ranks: which recording, and what `question` says."""
        return (self.source.number, *self.question())

    def question(self) -> tuple[object, ...]:
        """Which records of a recording, and which steps with what."""
        steps = tuple(
            (step.name, *(_summary(v) if isinstance(v, np.ndarray) else v
                          for v in vars(step).values() if isinstance(v, PLAIN)))
            for step in self.steps
        )
        return (_summary(self.positions), _summary(self.keys), steps)

    def run(self, first: int, batch: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """The steps, on source records that begin at place `first` of the selection.

        Returns `out` where the last step could write its results there.
        """
        keys = self.keys[first : first + len(batch)]
        last = self.steps[-1] if self.steps else None
        writes = out is not None and isinstance(last, WritingStep)
        for step in self.steps[:-1] if writes else self.steps:
            batch = step.run(keys, batch)
        if out is not None and isinstance(last, WritingStep):
            last.run_into(keys, batch, out)
            return out
        return batch


@dataclass(frozen=True)
class Settled(Selection):
    """A selection of which it is known what a record is like.

    Attributes
    ----------
    dims : tuple of int
        Shape of a record after the steps.
    dtype : numpy.dtype
        Of a record after the steps.
    """

    dims: Shape
    dtype: np.dtype

    @property
    def record_bytes(self) -> int:
        """What a record takes."""
        return math.prod(self.dims) * self.dtype.itemsize

    def then(self, step: Step) -> Selection:
        """With one more step."""
        return select(self.source, self.positions, self.keys, (*self.steps, step),
                      self.partition.parts)


def select(
    source: Source, positions: Positions, keys: Positions, steps: tuple[Step, ...], ranks: int
) -> Selection:
    """Settle a chain whose records are known; Settled where it is known what they are like."""
    partition = partition_of(source, positions, ranks)
    return Selection(source, positions, keys, steps, partition).describe()


def partition_of(source: Source, positions: Positions, ranks: int) -> Partition:
    """Balance the records over the ranks, unless the source has them on certain ranks."""
    if source.partition is None:
        return Partition.balanced(len(positions), ranks)
    return source.partition.restricted(positions)


# What of a step's parameters can be compared between ranks by its repr; functions cannot.
PLAIN = (int, float, str, tuple, slice, np.dtype, np.ndarray)


def _summary(positions: Positions) -> object:
    if isinstance(positions, range):
        return positions
    return len(positions), zlib.crc32(np.ascontiguousarray(positions).data)


def pick(positions: Positions, kept: np.ndarray) -> Positions:
    """positions[kept], kept as a range where it is one (a range costs no memory)."""
    if isinstance(positions, range):
        start, step = positions.start, positions.step
        if len(kept) == len(positions):
            return positions
        places: np.ndarray = start + step * np.asarray(kept, dtype=np.int64)
        return places
    picked: np.ndarray = positions[kept]
    return picked
