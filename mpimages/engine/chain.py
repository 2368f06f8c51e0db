"""A lazy collection: a source of records, the selected positions, and the steps for each record.

Everything here is local and lazy. A chain is a value: a method of a collection returns a new
collection with a longer chain, and nothing is read until an action settles the chain (see
`selection`) and runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from ..core.partition import Partition
from ..core.workspace import Workspace

__all__ = [
    "Chain",
    "Filter",
    "FilterKeys",
    "Keyed",
    "KeyedStep",
    "Positions",
    "Relabel",
    "Renumber",
    "Selector",
    "Shape",
    "Source",
    "Step",
    "WritingStep",
    "counted_anew",
]

Shape = tuple[int, ...]
Positions = range | np.ndarray  # ascending int64, or a range if nothing was left out


class Source(Protocol):
    """A source of records.

    Attributes
    ----------
    count : int or None
        The number of records; None while only an action can tell.
    dims, dtype : shape and numpy.dtype of one record, or None while only an action can tell.
    partition : Partition or None
        The owner of each record, if the source dictates it (memory). None if any rank can
        read any record (files).
    collective : bool
        True if `batches` communicates: then every rank must take all of its batches.
    number : int
        The number of the recording in its context: the same on all ranks that are in step.
    inputs : sequence of str
        The files that it reads.
    parameters : tuple
        What distinguishes its records from those of other sources of the recording. Local, as
        soon as it is prepared.
    """

    collective: ClassVar[bool]
    number: int

    @property
    def parameters(self) -> tuple[object, ...]: ...

    @property
    def inputs(self) -> Sequence[str]: ...

    @property
    def count(self) -> int | None: ...
    @property
    def dims(self) -> Shape | None: ...
    @property
    def dtype(self) -> np.dtype | None: ...
    @property
    def partition(self) -> Partition | None: ...

    def prepare(self) -> None:
        """Find out what only an action can tell about the source. Collective if the source is."""

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """Yield this rank's share of the selected records, in order, a batch at a time.

        Parameters
        ----------
        positions : the records that are selected, the same on all ranks
        partition : Partition
            The partition of the selection: this rank's share is ``positions[start:stop]``.
        limit : int
            Target size in bytes of a batch; a batch has at least one record.
        workspace : Workspace
            The provider of large arrays and threads.
        room : int
            Bytes that reading may take in all, if records that are stored together are read
            together although they exceed a batch.

        Yields
        ------
        (k,) + dims ndarray
            Valid until the next one is requested; must not be written to.
        """

    def load(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        out: np.ndarray,
        limit: int,
        workspace: Workspace,
        tick: Callable[[int], None],
    ) -> None:
        """Write this rank's share of the selected records into out, (n,) + dims.

        ``tick(number)`` is called after each `number` of records.
        """


class Step(Protocol):
    """A lazy transformation of each record, which also maps shapes and dtypes.

    Its attributes that are numbers, texts or arrays are its parameters: all ranks have them alike,
    and compare them before a pass.
    """

    name: str

    def dims(self, dims: Shape | None) -> Shape | None:
        """Return the shape of the result for records of this shape; None if not known yet."""

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        """Return the result's dtype for records of this dtype; None if not known yet."""

    def run(self, keys: Sequence[Any] | np.ndarray, batch: np.ndarray) -> np.ndarray:
        """Transform the records batch[i], whose keys are keys[i]. Local."""


class WritingStep:
    """A step that writes its results into a given array, without much memory of its own.

    It can therefore get all records in memory at once.
    """

    name: str

    def dims(self, dims: Shape | None) -> Shape | None:
        raise NotImplementedError

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        raise NotImplementedError

    def run_into(
        self, keys: Sequence[object] | np.ndarray, batch: np.ndarray, out: np.ndarray
    ) -> None:
        """Like `run`, into out: C-contiguous, with the results' shape and dtype."""
        raise NotImplementedError

    def run(self, keys: Sequence[Any] | np.ndarray, batch: np.ndarray) -> np.ndarray:
        dims = self.dims(batch.shape[1:]) or ()
        out = np.empty((len(batch), *dims), dtype=self.dtype(batch.dtype))
        self.run_into(keys, batch, out)
        return out


class Keyed:
    """What a step is whose result depends on a record's key."""

    def renumbered(self, old: Positions, new: Positions) -> Self:
        """Return the same step for records whose keys were `old` and are `new`."""
        raise NotImplementedError


class KeyedStep(Keyed, WritingStep):
    """A `WritingStep` whose result depends on a record's key."""


def counted_anew(steps: Sequence[Any], old: Positions, new: Positions) -> tuple[Any, ...]:
    """Return steps before records with keys `old` get the keys `new`, so that they do the same."""
    if not any(isinstance(step, Keyed) for step in steps) or np.array_equal(old, new):
        return tuple(steps)
    return tuple(step.renumbered(old, new) if isinstance(step, Keyed) else step for step in steps)


@dataclass(frozen=True)
class Filter:
    """Selector of the records for which func(key, value) is true: only an action can tell which.

    `label` maps the chain's key to the one that users know.
    """

    func: Callable[[object, np.ndarray], bool]
    label: Callable[[int], object]


@dataclass(frozen=True)
class FilterKeys:
    """Selector of the records for which func(key) is true, among those that a filter kept."""

    func: Callable[[object], bool]
    label: Callable[[int], object]


@dataclass(frozen=True)
class Renumber:
    """Renumbering of the remaining records from 0."""


@dataclass(frozen=True)
class Relabel:
    """Ascending keys of the records, which follow from their number: only an action can tell it.

    The first thing in a chain: no step has seen other keys.
    """

    keys: Callable[[int], Positions]


Selector = Filter | FilterKeys | Renumber | Relabel


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
        """Return the chain of all records of a source; the keys count from 0."""
        every = None if source.count is None else range(source.count)
        return cls(source, every, every)

    def then(self, step: Step | Selector) -> Chain:
        """Return this chain with one more step."""
        return replace(self, steps=(*self.steps, step))

    @property
    def count(self) -> int | None:
        """The number of records, or None while only an action can tell."""
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
