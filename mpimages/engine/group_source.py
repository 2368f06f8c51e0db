"""Groups within series: a source that cuts each series of another collection into several."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..core.partition import Partition
from ..core.timers import phase
from ..core.workspace import Workspace
from ..spmd.watch import calling
from .chain import Chain, Positions, Shape
from .derived_source import DerivedSource, known_records, part_of, read_need
from .selection import Selection, Settled

if TYPE_CHECKING:
    from .runner import Records

__all__ = ["GroupSource", "group_source"]


class GroupSource(DerivedSource):
    """The groups of each series; record i is group i % groups of series i // groups.

    Parameters
    ----------
    series : Records
        Of this source alone. Their dims, dtype and number are known. Each has the values of all
        groups, one group after the other.
    groups : int
    name : str
        The method that made them.
    """

    def __init__(self, series: Records, groups: int, name: str) -> None:
        self.series = series
        self.groups = groups
        self.name = name
        self.number = series.chain.source.number

    @property
    def inner(self) -> Settled:
        """The series; local, as there is nothing that only an action can tell."""
        return known_records(self.series, self.name)

    def inner_selections(self) -> tuple[Settled, ...]:
        """See `DerivedSource`."""
        return (self.inner,)

    @property
    def inputs(self) -> Sequence[str]:
        """The files of the series."""
        return self.series.chain.source.inputs

    @property
    def count(self) -> int:
        """The number of groups of all series."""
        return self.inner.count * self.groups

    @property
    def dims(self) -> Shape:
        """The number of values of a group."""
        return (self.inner.dims[0] // self.groups,)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the series."""
        return self.inner.dtype

    @property
    def partition(self) -> Partition:
        """A group has the owner of its series."""
        return Partition(tuple(offset * self.groups for offset in self.inner.partition.offsets))

    @property
    def parameters(self) -> tuple[object, ...]:
        """What tells these groups from others of the recording."""
        return (self.name, self.groups, self.inner.question())

    def prepare(self) -> None:
        """Nothing: all is known."""

    def resolved(self, resolve: Callable[[Chain], Chain]) -> GroupSource:
        """See `DerivedSource`."""
        chain = resolve(self.series.chain)
        if chain is self.series.chain:
            return self
        return group_source(self.series.on(chain), self.groups, self.name)

    def members(self, positions: Positions) -> Settled:
        inner, places = self.inner, self._series_of(positions)
        if places is None:
            return inner
        return replace(part_of(inner, places), partition=inner.partition.restricted(places))

    def _series_of(self, positions: Positions) -> np.ndarray | None:
        """Return the places of the series that have these groups; None for all groups. Local."""
        if isinstance(positions, range) and len(positions) == self.count:
            return None
        places: np.ndarray = np.unique(np.asarray(positions, dtype=np.int64) // self.groups)
        return places

    def cut_from(self) -> Settled:
        """See `DerivedSource`."""
        return self.inner

    def record_bytes(self) -> int:
        return read_need(self.inner.source) + self.inner.record_bytes

    def make_ready(self, records: Selection, limit: int) -> None:
        """See `DerivedSource`. Collective if the series' source is."""
        source = self.inner.source
        if isinstance(source, DerivedSource):
            source.make_ready(self.members(records.positions), limit)

    # -- the series ---------------------------------------------------------------------------

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """See `Source`."""
        members, cut = self._cutting(positions, partition, rank)
        read = members.source.batches(
            members.positions, members.partition, rank, limit, workspace, room
        )
        with closing(read):
            for batch in read:
                yield cut(batch)

    def _cutting(
        self, positions: Positions, partition: Partition, rank: int
    ) -> tuple[Settled, Callable[[np.ndarray], np.ndarray]]:
        """Return the series that are read, and what makes groups of each batch in turn. Local."""
        members, places = self.members(positions), self._series_of(positions)
        start, stop = partition.bounds(rank)
        own = positions[start:stop]
        first = members.partition.bounds(rank)[0]
        glance = self.series.session.glance

        def cut(batch: np.ndarray) -> np.ndarray:
            nonlocal first
            begin, first = first, first + len(batch)
            with calling(glance), phase("compute", batch.nbytes):
                result = members.run(begin, batch)
                groups = result.reshape(len(result) * self.groups, *self.dims)
                if places is None:
                    return groups
                numbers = places[begin:first, None] * self.groups + np.arange(self.groups)
                return groups[np.isin(numbers.reshape(-1), np.asarray(own, dtype=np.int64))]

        return members, cut


class ExchangedGroups(GroupSource):
    """Groups of series that come by an exchange, which all ranks take part in to its end."""

    collective: ClassVar[bool] = True

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """See `Source`. Collective."""
        action = self.series.make_action(self.name)
        together = action.together()
        members, cut = self._cutting(positions, partition, rank)
        for batch in members.source.batches(
            members.positions, members.partition, rank, limit, workspace, room
        ):
            groups = batch[:0]
            with together.attempt():
                if not together.failed:
                    groups = cut(batch)
            if len(groups):
                yield groups
        together.agree()


def group_source(series: Records, groups: int, name: str) -> GroupSource:
    """Return the groups of series, of the kind that their source needs."""
    kind = ExchangedGroups if series.chain.source.collective else GroupSource
    return kind(series, groups, name)
