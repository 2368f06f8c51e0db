"""Records that must be written in whole slabs, assembled across batches and ranks.

One rank compresses a chunk, and needs all of its records. Batches end anywhere, and the partition
of records in memory is given. So parts of a slab that lie on several ranks are sent to the rank
that has the first record of the slab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from mpi4py import MPI

from ..core.partition import Partition
from ..engine.chain import Positions
from ..spmd.agreement import Together
from ..spmd.collectives import Transfer

__all__ = ["Slabs"]

Emit = Callable[[int, np.ndarray], None]


class Slabs:
    """Emitter of records in whole slabs, each from a multiple of `grain` to the next. Local.

    Parameters
    ----------
    grain, count : int
        The number of records in a slab, and in total; the last slab may be shorter.
    places : ascending ints
        The records that all ranks together stream; of each slab all or none.
    partition : Partition
        The partition of `places`.
    emit : callable
        emit(first, records) takes the records of one or more whole slabs; `first` is the number
        of the first record.
    """

    def __init__(
        self, grain: int, count: int, places: Positions, partition: Partition, emit: Emit
    ) -> None:
        self._grain = grain
        self._count = count
        self._places = places
        self._partition = partition
        self._emit = emit
        # The current slab: the number of its first record, and its records so far.
        self._begin = 0
        self._held: list[np.ndarray] = []
        self._edges: list[tuple[int, np.ndarray]] = []

    def add(self, place: int, records: np.ndarray) -> None:
        """Add the records from number `place` on; those that are kept are copied."""
        while len(records):
            if not self._held:
                self._begin = place
            end = min(self._count, (place // self._grain + 1) * self._grain)
            if not self._held and place % self._grain == 0:
                whole = len(records) // self._grain * self._grain
                if place + len(records) == self._count:
                    whole = len(records)
                if whole:
                    self._emit(place, records[:whole])
                    place, records = place + whole, records[whole:]
                    continue
            taken = records[: end - place]
            self._held.append(taken.copy())
            place, records = place + len(taken), records[len(taken) :]
            if place == end:
                self._close()

    def _close(self) -> None:
        """Close the current slab: this rank has no more of its records."""
        held = np.concatenate(self._held)
        self._held = []
        end = min(self._count, (self._begin // self._grain + 1) * self._grain)
        if self._begin % self._grain == 0 and self._begin + len(held) == end:
            self._emit(self._begin, held)
        else:
            self._edges.append((self._begin, held))

    def finish(self, comm: MPI.Intracomm, action: str) -> None:
        """Assemble the slabs of which several ranks have parts. Collective."""
        sent: list[tuple[int, np.ndarray]] = []
        parts: list[tuple[int, int, np.ndarray]] = []  # of slabs that begin here
        with Together(comm, action):
            if self._held:
                self._close()
            for place, records in self._edges:
                owner = self._owner(place)
                if owner == comm.rank:
                    parts += [(comm.rank, place, records), *self._others(comm.rank, place, records)]
                else:
                    sent.append((owner, records))
            self._edges = []
        received = [(rank, records) for rank, _, records in parts if rank != comm.rank]
        Transfer(comm, sent, received).finish()
        with Together(comm, action):
            for _, place, records in parts:
                self.add(place, records)

    def _owner(self, place: int) -> int:
        """Return the rank that has the first record of the slab of the record `place`."""
        index = self._index(place // self._grain * self._grain)
        return int(np.searchsorted(self._partition.offsets, index, side="right")) - 1

    def _others(
        self, rank: int, place: int, own: np.ndarray
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield what later ranks have of the slab in which `rank` has the records `own` at `place`.

        A part is a rank, the number of its first record, and memory for it.
        """
        offsets = self._partition.offsets
        end = self._index(min(self._count, (place // self._grain + 1) * self._grain))
        for other in range(rank + 1, self._partition.parts):
            first, last = offsets[other], min(end, offsets[other + 1])
            if first >= end:
                return
            if first < last:
                memory = np.empty((last - first, *own.shape[1:]), own.dtype)
                yield other, int(self._places[first]), memory

    def _index(self, place: int) -> int:
        """Return the number of the streamed records before the record `place`."""
        places = self._places
        whole = isinstance(places, range)  # a range: no record was left out
        return place if whole else int(np.searchsorted(places, place))
