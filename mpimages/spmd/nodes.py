"""Which ranks share a host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import cast

from mpi4py import MPI

from .collectives import allgather

__all__ = ["Nodes"]


@dataclass(frozen=True, eq=False)
class Nodes:
    """The ranks of a communicator by the host that they run on. The same on all ranks but `node`.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
        All ranks.
    node : mpi4py.MPI.Intracomm
        The ranks of this rank's node.
    members : tuple of tuple of int
        The ranks of each node, ascending. Nodes are in the order of their first ranks.
    of : tuple of int
        The node of each rank.
    hosts : tuple of str
        The host name of each node.
    crowded : bool
        True if this rank shares its cores with more ranks than there are cores.
    sharing : int
        How many ranks, this one included, share a core with this one.
    """

    comm: MPI.Intracomm
    node: MPI.Intracomm
    members: tuple[tuple[int, ...], ...]
    of: tuple[int, ...]
    hosts: tuple[str, ...]
    crowded: bool
    sharing: int

    @classmethod
    def find(cls, comm: MPI.Intracomm) -> Nodes:
        """Split a communicator by nodes. Collective."""
        node = cast(MPI.Intracomm, comm.Split_type(MPI.COMM_TYPE_SHARED))
        first = MPI.Group.Translate_ranks(node.Get_group(), [0], comm.Get_group())[0]
        cores = os.sched_getaffinity(0)
        own = sum(1 << core for core in cores)
        found = allgather(comm, (first, os.uname().nodename, own))
        firsts = sorted({there for there, _, _ in found})
        of = tuple(firsts.index(there) for there, _, _ in found)
        members = tuple(
            tuple(rank for rank, place in enumerate(of) if place == number)
            for number in range(len(firsts))
        )
        sharing = sum(1 for there, _, other in found if there == first and other & own)
        hosts = tuple(found[there][1] for there in firsts)
        return cls(comm, node, members, of, hosts, sharing > len(cores), sharing)

    @property
    def near(self) -> tuple[int, ...]:
        """The ranks of this rank's node, ascending, including itself. Local."""
        return self.members[self.of[self.comm.rank]]

    @property
    def leads(self) -> bool:
        """True on the first rank of each node. Local."""
        return self.node.rank == 0

    @property
    def several(self) -> bool:
        """True if there are several nodes; the same on all ranks. Local."""
        return len(self.members) > 1

    @property
    def shared(self) -> bool:
        """True if some node has several ranks; the same on all ranks. Local."""
        return len(self.members) < len(self.of)

    def host(self, rank: int) -> str:
        """Return the host name of a rank. Local."""
        return self.hosts[self.of[rank]]
