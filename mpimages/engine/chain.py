"""A collection as it is wished for: a source of records, which of them, and the steps of each.

All of it is local and lazy. A chain is a value: a method of a collection returns a new
collection with a longer chain, and nothing is read until an action settles the chain (see
`selection`) and runs it.
"""

from __future__ import annotations

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

    def prepare(self) -> None:
        """Find out what only an action can tell of the source. Collective where the source is."""

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

    name: str

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
        dims = self.dims(batch.shape[1:]) or ()
        out = np.empty((len(batch), *dims), dtype=self.dtype(batch.dtype))
        self.run_into(keys, batch, out)
        return out


@dataclass(frozen=True)
class Filter:
    """Keep the records for which func(key, value): only an action can tell which.

    `label` makes the key that users know of the chain's.
    """

    func: Callable[[Any, np.ndarray], bool]
    label: Callable[[int], Any]


@dataclass(frozen=True)
class FilterKeys:
    """Keep the records for which func(key), among those that a filter before it left."""

    func: Callable[[Any], bool]
    label: Callable[[int], Any]


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
    def whole(cls, source: Source) -> Chain:
        """All records of a source; the keys count from 0."""
        every = None if source.count is None else range(source.count)
        return cls(source, every, every)

    def then(self, step: Step | Selector) -> Chain:
        """This chain with one more step."""
        return replace(self, steps=(*self.steps, step))

    @property
    def count(self) -> int | None:
        """How many records there are, or None while only an action can tell."""
        if self.positions is None or any(isinstance(step, Selector) for step in self.steps):
            return None
        return len(self.positions)

    @property
    def dims(self) -> Shape | None:
        """Shape of one record after the steps, or None while only an action can tell."""
        dims = self.source.dims
        for step in self.steps:
            if not isinstance(step, Selector):
                dims = step.dims(dims)
        return dims

    @property
    def dtype(self) -> np.dtype | None:
        """dtype of the records after the steps, or None while only an action can tell."""
        dtype = self.source.dtype
        for step in self.steps:
            if not isinstance(step, Selector):
                dtype = step.dtype(dtype)
        return dtype
