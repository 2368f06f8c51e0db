"""What a collection is: a source of records, which of them, and the steps each goes through.

All of it is local and lazy. A chain is a value: a method of a collection returns a new
collection with a longer chain, and nothing is read until an action runs it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from ..core.partition import Partition
from ..core.workspace import Workspace

__all__ = [
    "Chain",
    "Filter",
    "FilterKeys",
    "Positions",
    "Renumber",
    "Selector",
    "Shape",
    "Source",
    "Step",
    "WritingStep",
]

Shape = tuple[int, ...]
Positions = range | np.ndarray  # ascending int64, or a range where nothing was left out


class Source(Protocol):
    """Where records come from.

    Attributes
    ----------
    count : int or None
        How many records it holds; None while only an action can tell.
    dims, dtype : shape and numpy.dtype of one record, or None while only an action can tell.
    partition : Partition or None
        Which rank owns which record, where the source dictates it (memory); None where any
        rank can read any record (files).
    collective : bool
        Whether `batches` communicates, so that every rank must take all of them.
    number : int
        Which of its context's recordings it is: the same on all ranks that are in step.
    """

    collective: ClassVar[bool]
    number: int

    @property
    def count(self) -> int | None: ...
    @property
    def dims(self) -> Shape | None: ...
    @property
    def dtype(self) -> np.dtype | None: ...
    @property
    def partition(self) -> Partition | None: ...

    def batches(
        self, positions: Positions, partition: Partition, rank: int, limit: int,
        workspace: Workspace, room: int = 0,
    ) -> Generator[np.ndarray]:
        """Yield this rank's share of the selected records, in order, a batch at a time.

        Parameters
        ----------
        positions : the records that are selected, the same on all ranks
        partition : Partition
            Of the selection: this rank's share is ``positions[start:stop]``.
        limit : int
            About how many bytes a batch may take; a batch has one record at least.
        workspace : Workspace
            Where large arrays and threads come from.
        room : int
            How many bytes reading may take, in all, where records that are stored together are
            to be read together although they take more than a batch.

        Yields
        ------
        (k,) + dims ndarray
            Valid until the next one is asked for, not to be written to.
        """

    def load(
        self, positions: Positions, partition: Partition, rank: int, out: np.ndarray, limit: int,
        workspace: Workspace, tick: Callable[[int], None],
    ) -> None:
        """Write this rank's share of the selected records into out, (n,) + dims.

        ``tick(number)`` is called for each so many that are there.
        """


class Step(Protocol):
    """One lazy transformation of each record, which also knows what it makes of a shape."""

    name: str

    def dims(self, dims: Shape | None) -> Shape | None:
        """Shape of the result for records of this shape; None where not known yet."""

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        """The result's dtype for records of this dtype; None where not known yet."""

    def run(self, keys: Sequence[Any] | np.ndarray, batch: np.ndarray) -> np.ndarray:
        """Transform the records batch[i], whose keys are keys[i]. Local."""


class WritingStep:
    """A step that writes its results where they are wanted, without much memory of its own.

    Of records in memory it can therefore be given all at once.
    """

    def dims(self, dims: Shape | None) -> Shape | None:
        raise NotImplementedError

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        raise NotImplementedError

    def run_into(
        self, keys: Sequence[Any] | np.ndarray, batch: np.ndarray, out: np.ndarray
    ) -> None:
        """As `run`, into out: C-contiguous, with the results' shape and dtype."""
        raise NotImplementedError

    def run(self, keys: Sequence[Any] | np.ndarray, batch: np.ndarray) -> np.ndarray:
        dims = self.dims(batch.shape[1:])
        assert dims is not None
        out = np.empty((len(batch), *dims), dtype=self.dtype(batch.dtype))
        self.run_into(keys, batch, out)
        return out


@dataclass(frozen=True)
class Filter:
    """Keep the records for which func(key, value): only an action can tell which."""

    func: Callable[[Any, np.ndarray], bool]


@dataclass(frozen=True)
class FilterKeys:
    """Keep the records for which func(key), among those that a filter before it left."""

    func: Callable[[Any], bool]


@dataclass(frozen=True)
class Renumber:
    """Count the records that are left from 0."""


Selector = Filter | FilterKeys | Renumber


@dataclass(frozen=True)
class Chain:
    """A source, the selected positions in it with their keys, and the steps.

    `positions` and `keys` are None while the source cannot tell how many records it has.
    """

    source: Source
    positions: Positions | None
    keys: Positions | None
    steps: tuple[Step | Selector, ...] = ()

    @classmethod
    def whole(cls, source: Source, keys: Positions | None = None) -> Chain:
        """All records of a source; the keys count from 0 unless given."""
        if source.count is None:
            return cls(source, None, None)
        return cls(source, range(source.count), range(source.count) if keys is None else keys)

    def then(self, step: Step | Selector) -> Chain:
        """This chain with one more step."""
        return replace(self, steps=(*self.steps, step))

    def select(self, kept: np.ndarray) -> Chain:
        """Only the records at these places (ascending ints) of the present selection."""
        assert self.positions is not None
        assert self.keys is not None
        return replace(self, positions=pick(self.positions, kept), keys=pick(self.keys, kept))

    @property
    def selector(self) -> int | None:
        """The place of the first step that selects by what an action must compute, or None."""
        for place, step in enumerate(self.steps):
            if isinstance(step, Selector):
                return place
        return None

    @property
    def settled(self) -> bool:
        """Whether it is known which records there are."""
        return self.positions is not None and self.selector is None

    @property
    def count(self) -> int | None:
        """How many records there are, or None where only an action can tell."""
        return len(self.positions) if self.settled and self.positions is not None else None

    @property
    def dims(self) -> Shape | None:
        """Shape of one record after the steps, or None where only an action can tell."""
        dims = self.source.dims
        for step in self.steps:
            if not isinstance(step, Selector):
                dims = step.dims(dims)
        return dims

    @property
    def dtype(self) -> np.dtype | None:
        """dtype of the records after the steps, or None where only an action can tell."""
        dtype = self.source.dtype
        for step in self.steps:
            if not isinstance(step, Selector):
                dtype = step.dtype(dtype)
        return dtype

    def signature(self) -> tuple[object, ...]:
        """What must be the same on all ranks: which recording, and what `asked` says."""
        return (self.source.number, *self.asked())

    def asked(self) -> tuple[object, ...]:
        """Which records of a recording, and which steps with what."""
        steps = tuple(
            (step.name, *(_summary(v) if isinstance(v, np.ndarray) else v
                          for v in vars(step).values() if isinstance(v, PLAIN)))
            for step in self.steps if not isinstance(step, Selector)
        )
        return (_summary(self.positions), _summary(self.keys), steps)

    def partition(self, parts: int) -> Partition:
        """Who owns which record of a settled chain."""
        assert self.positions is not None
        dictated = self.source.partition
        if dictated is None:
            return Partition.balanced(len(self.positions), parts)
        return dictated.restricted(self.positions)

    def run(
        self, first: int, batch: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        """The steps, on source records that begin at place `first` of the selection.

        Returns `out` where the last step could write its results there.
        """
        assert self.keys is not None
        keys = self.keys[first : first + len(batch)]
        last = self.steps[-1] if self.steps else None
        if out is None or not isinstance(last, WritingStep):
            last = None
        for step in self.steps if last is None else self.steps[:-1]:
            batch = step.run(keys, batch)  # type: ignore[union-attr]
        if last is None or out is None:
            return batch
        last.run_into(keys, batch, out)
        return out


# What of a step's parameters can be compared between ranks by its repr; functions cannot.
PLAIN = (int, float, str, tuple, slice, np.dtype, np.ndarray)


def _summary(positions: Positions | None) -> object:
    if positions is None or isinstance(positions, range):
        return positions
    return len(positions), zlib.crc32(np.ascontiguousarray(positions).data)


def pick(positions: Positions, kept: np.ndarray) -> Positions:
    """positions[kept], kept as a range where it is one (a range costs no memory)."""
    if isinstance(positions, range):
        start, step = positions.start, positions.step
        if len(kept) == len(positions):
            return positions
        return start + step * np.asarray(kept, dtype=np.int64)
    return positions[kept]
