"""A settled chain: its records, their owners, and the shape and dtype of a record.

`Selection` knows the records. `Settled` also knows their shape and dtype; most actions run on
it. A Selection that is not Settled exists only after `apply` with a function whose result was
not declared: an action on it learns shape and dtype from the first records.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ..core.partition import Partition
from .chain import Chain, Positions, Shape, Source, Step, WritingStep

__all__ = ["Selection", "Settled", "places_of", "select"]


@dataclass(frozen=True)
class Selection:
    """The records of a settled chain.

    Attributes
    ----------
    source : Source
    positions : ascending ints
        Positions of the records in the source.
    keys : ascending ints
        Keys of the records, as the chain numbers them.
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
        """Return the positions of a rank's records."""
        start, stop = self.partition.bounds(rank)
        return self.positions[start:stop]

    def chain(self) -> Chain:
        """Return the chain that settles to this selection without further work."""
        return Chain(self.source, self.positions, self.keys, self.steps)

    def take(self, kept: np.ndarray) -> Self:
        """Return a selection of the records at the places `kept`, ascending ints."""
        positions = pick(self.positions, kept)
        partition = partition_of(self.source, positions, self.partition.parts)
        return replace(self, positions=positions, keys=pick(self.keys, kept), partition=partition)

    def describe(self) -> Selection:
        """Return a `Settled` copy if shape and dtype are known, else self."""
        dims, dtype = self.source.dims, self.source.dtype
        for step in self.steps:
            dims, dtype = step.dims(dims), step.dtype(dtype)
        if dims is None or dtype is None:
            return self
        return Settled(
            self.source, self.positions, self.keys, self.steps, self.partition, dims, dtype
        )

    def signature(self) -> tuple[object, ...]:
        """Return what must be the same on all ranks: the recording and `question`."""
        return (self.source.number, *self.question())

    def question(self) -> tuple[object, ...]:
        """Return the records of the recording, and the steps with their parameters."""
        steps = tuple(
            (
                step.name,
                *(
                    _summary(v) if isinstance(v, np.ndarray) else v
                    for v in vars(step).values()
                    if isinstance(v, PLAIN)
                ),
            )
            for step in self.steps
        )
        return (*self.source.parameters, _summary(self.positions), _summary(self.keys), steps)

    def run(self, first: int, batch: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Run the steps on source records that begin at place `first` of the selection.

        Return `out` if the last step could write its results there.
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
    """A selection with known shape and dtype of a record.

    Attributes
    ----------
    dims : tuple of int
        Shape of a record after the steps.
    dtype : numpy.dtype
        dtype of a record after the steps.
    """

    dims: Shape
    dtype: np.dtype

    @property
    def record_bytes(self) -> int:
        """The bytes of a record after the steps."""
        return math.prod(self.dims) * self.dtype.itemsize

    def then(self, step: Step) -> Selection:
        """Return the selection with one more step."""
        return select(
            self.source, self.positions, self.keys, (*self.steps, step), self.partition.parts
        )


def select(
    source: Source, positions: Positions, keys: Positions, steps: tuple[Step, ...], ranks: int
) -> Selection:
    """Settle a chain whose records are known. Return a `Settled` if shape and dtype are known."""
    partition = partition_of(source, positions, ranks)
    return Selection(source, positions, keys, steps, partition).describe()


def partition_of(source: Source, positions: Positions, ranks: int) -> Partition:
    """Balance the records over the ranks, unless the source dictates the partition."""
    if source.partition is None:
        return Partition.balanced(len(positions), ranks)
    return source.partition.restricted(positions)


# Types of parameters that ranks can compare by their repr; functions are not among them.
PLAIN = (int, float, str, tuple, slice, np.dtype, np.ndarray)


def _summary(positions: Positions) -> object:
    if isinstance(positions, range):
        return positions
    return len(positions), zlib.crc32(np.ascontiguousarray(positions).data)


def places_of(keys: Positions, wanted: np.ndarray) -> np.ndarray:
    """Where in the ascending `keys` the wanted ones stand; -1 for those that do not."""
    if isinstance(keys, range):
        places = wanted - keys.start
        return np.where((places >= 0) & (places < len(keys)), places, -1)
    places = np.searchsorted(keys, wanted)
    inside = places < len(keys)
    found = np.append(keys, 0)[places]
    return np.where(inside & (found == wanted), places, -1)


def pick(positions: Positions, kept: np.ndarray) -> Positions:
    """Return positions[kept], as a range if it is one (a range takes no memory)."""
    if isinstance(positions, range):
        start, step = positions.start, positions.step
        if len(kept) == len(positions):
            return positions
        places: np.ndarray = start + step * np.asarray(kept, dtype=np.int64)
        return places
    picked: np.ndarray = positions[kept]
    return picked
