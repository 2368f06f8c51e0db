"""A private duplicate of the user's communicator, made once and shared by its contexts."""

from __future__ import annotations

from functools import cache
from typing import Any

from mpi4py import MPI

from .shown import shown

__all__ = ["Shared", "acquire", "release"]


class Shared:
    """A communicator's duplicate, and how many contexts use it."""

    def __init__(self, origin: MPI.Intracomm) -> None:
        self.origin = origin
        self.comm = origin.Dup()
        self.users = 0


@cache
def _keyval() -> int:
    """The attribute key under which a communicator carries its duplicate."""
    return MPI.Comm.Create_keyval()


def acquire(comm: Any) -> Shared:
    """The duplicate that belongs to `comm`. Collective.

    Messages of the library and of the user's program can then never be taken for each other.

    Raises
    ------
    TypeError
        Where it is no intracommunicator.
    """
    if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
        raise TypeError(f"comm is an mpi4py intracommunicator, not {shown(comm)}")
    shared: Any = comm.Get_attr(_keyval())
    if shared is None:
        shared = Shared(comm)
        comm.Set_attr(_keyval(), shared)
    shared.users += 1
    return shared


def release(shared: Shared) -> None:
    """Give back what `acquire` gave; the last one frees it. Collective."""
    shared.users -= 1
    if shared.users == 0:
        if shared.origin != MPI.COMM_NULL:  # the user may have freed it meanwhile
            shared.origin.Delete_attr(_keyval())
        shared.comm.Free()
