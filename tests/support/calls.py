"""A communicator that counts the collective calls of its ranks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from mpi4py import MPI

# Those that the package makes: waiting is for those that do not block.
CALLS = (
    "Iallgather",
    "Iallgatherv",
    "Iallreduce",
    "Ialltoall",
    "Ialltoallv",
    "Ibarrier",
    "Ibcast",
    "Igather",
    "Igatherv",
    "Ireduce",
    "Iscatter",
    "Iscatterv",
)


class Counted(MPI.Intracomm):
    """The same communicator; the name of each collective call is added to `made`."""

    made: list[str]

    def __new__(cls, comm: MPI.Intracomm, made: list[str]) -> Counted:
        new = super().__new__(cls, comm)
        new.made = made
        return new


def _counted(name: str) -> Any:
    call = getattr(MPI.Intracomm, name)

    def made(self: Counted, *args: Any, **options: Any) -> Any:
        self.made.append(name)
        return call(self, *args, **options)

    return made


for _name in CALLS:
    setattr(Counted, _name, _counted(_name))


@contextmanager
def counting_calls(tsc: Any) -> Iterator[list[str]]:
    """Yield the names of the collective calls of a context in the block, as they are made.

    Those of the entry of an action and of the ranks of a node count as well.
    """
    made: list[str] = []
    shared = tsc.session._shared
    segments, kept = shared.segments, (shared.comm, shared.watch.comm, shared.nodes)
    shared.comm, shared.watch.comm = (Counted(comm, made) for comm in kept[:2])
    shared.nodes = replace(shared.nodes, comm=shared.comm, node=Counted(kept[2].node, made))
    segments.nodes, segments._comm, segments._node = shared.nodes, shared.comm, shared.nodes.node
    try:
        yield made
    finally:
        shared.comm, shared.watch.comm, shared.nodes = kept
        segments.nodes, segments._comm, segments._node = kept[2], kept[0], kept[2].node
