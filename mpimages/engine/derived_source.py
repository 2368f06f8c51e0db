"""Sources whose records are made of those of other collections: what they share."""

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
from .chain import Chain, Positions, Shape, Source
from .selection import Selection, Settled, partition_of, pick
from .sources import LocalSource, copy_batches

if TYPE_CHECKING:
    from .runner import Records

__all__ = [
    "DerivedSource",
    "check_local",
    "known_records",
    "part_of",
    "read_need",
    "record_need",
    "run_part",
]


class DerivedSource:
    """A source whose records are made of those of other collections, its *members*."""

    collective: ClassVar[bool] = False
    name: str
    number: int

    @property
    def inputs(self) -> Sequence[str]:
        """The files of the members."""
        raise NotImplementedError

    @property
    def count(self) -> int | None:
        """The number of records, or None while only an action can tell."""
        raise NotImplementedError

    @property
    def keys(self) -> Positions | None:
        """The records' keys; None where they count from 0."""
        return None

    @property
    def dims(self) -> Shape | None:
        """The shape of a record, or None while only an action can tell."""
        raise NotImplementedError

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the records, or None while only an action can tell."""
        raise NotImplementedError

    @property
    def partition(self) -> Partition | None:
        """The owner of each record, if those of the members are dictated."""
        raise NotImplementedError

    @property
    def parameters(self) -> tuple[object, ...]:
        """What tells these records from others of the recording."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Find out what only an action can tell. Collective."""
        raise NotImplementedError

    def resolved(self, resolve: Callable[[Chain], Chain]) -> DerivedSource:
        """Return the same source, with the members' chains resolved. Local."""
        raise NotImplementedError

    def inner_selections(self) -> tuple[Settled, ...]:
        """Return all records of each collection that the members are of. Local."""
        raise NotImplementedError

    def members(self, positions: Positions) -> Selection:
        """Return the members of records in the first collection. Local."""
        raise NotImplementedError

    def cut_from(self) -> Settled | None:
        """Return the records whose batches are cut into these; None if each is made by itself."""
        return None

    def record_bytes(self) -> int:
        """Return the bytes that one record takes, and those that making it takes."""
        raise NotImplementedError

    def advice(self) -> str:
        """Return the advice for a record that does not fit."""
        source = self.inner_selections()[0].source
        if isinstance(source, LocalSource | DerivedSource):
            return source.advice()
        return "give the context more with memory="

    def make_ready(self, records: Selection, limit: int) -> None:
        """Exchange what a pass over `records` needs of other ranks. Collective."""
        raise NotImplementedError

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """See `Source`. `make_ready` comes first."""
        raise NotImplementedError

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
        """See `Source`. `make_ready` comes first."""
        copy_batches(
            self.batches(positions, partition, rank, limit, workspace, 2 * limit), out, tick
        )


def check_local(source: Source, name: str) -> None:
    """Raise ValueError for records that no rank can make by itself. Local."""
    if source.collective:
        raise ValueError(
            f"{name}: all ranks together make these records, by toSeries, toBlocks or toImages; "
            "call cache() on them first"
        )


def known_records(records: Records, name: str) -> Settled:
    """Return records of which `prepare` has found out what only an action can tell. Local."""
    selection = records.settle(records.make_action(name))
    if not isinstance(selection, Settled):
        raise RuntimeError(f"internal error: {name} of records that are not known")
    return selection


def part_of(whole: Settled, places: Positions) -> Settled:
    """Return some of the records. Local."""
    if isinstance(places, range) and places.step == 1:
        positions, keys = (
            numbers[places.start : places.stop] for numbers in (whole.positions, whole.keys)
        )
    else:
        kept = np.asarray(places, dtype=np.int64)
        positions, keys = pick(whole.positions, kept), pick(whole.keys, kept)
    partition = partition_of(whole.source, positions, whole.partition.parts)
    return replace(whole, positions=positions, keys=keys, partition=partition)


def record_need(records: Settled) -> int:
    """Return the bytes that one record takes while it is read and its steps run. Local."""
    return read_need(records.source) + (records.record_bytes if records.steps else 0)


def read_need(source: Source) -> int:
    """Return the bytes that one record of a source takes while it is read or made. Local."""
    return source.record_bytes() if isinstance(source, LocalSource | DerivedSource) else 0


def run_part(
    records: Records, part: Selection, rank: int, limit: int, workspace: Workspace, room: int
) -> Generator[np.ndarray]:
    """Yield some records, all for this rank, after their steps, a batch at a time."""
    session, first = records.session, 0
    own = Partition.fromCounts(
        len(part.positions) * (other == rank) for other in range(part.partition.parts)
    )
    read = part.source.batches(part.positions, own, rank, limit, workspace, room)
    with closing(read):
        for batch in read:
            session.stopping.check()  # a record of many members takes long
            session.glance()
            with (
                calling(session.glance),
                phase("compute", batch.nbytes),
                session.stopping.at_once(),
            ):
                result = part.run(first, batch)
            first += len(batch)
            yield result
