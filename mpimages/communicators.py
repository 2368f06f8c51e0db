"""A private duplicate of the user's communicator, made once and shared by its contexts."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any

from mpi4py import MPI

from . import waiting
from .ending import attend, dismiss, end_alone
from .errors import CollectiveMismatchError
from .shown import shown
from .watch import WARN, Watch

__all__ = ["Shared", "acquire", "release"]


_log = logging.getLogger("mpimages")


class Shared:
    """A communicator's duplicate, the watch over its ranks, and how many contexts use them."""

    def __init__(self, origin: MPI.Intracomm, limit: float | None) -> None:
        self.origin = origin
        self.comm = _duplicate(origin, limit)
        self.watch = Watch(self.comm)
        waiting.attend(self.comm, self.watch.look_about)
        self.users = 0


def _duplicate(origin: MPI.Intracomm, limit: float | None) -> MPI.Intracomm:
    """As Dup, but not deaf: before the first context there is no watch yet. Collective."""
    comm, request = origin.Idup()
    if not waiting.spin(request):
        began = warned = time.monotonic()
        while not request.Test():
            now = time.monotonic()
            time.sleep(min(waiting.PAUSE, (now - began) / 4))
            told = (f"rank {origin.rank} has waited {now - began:.0f} s in ThunderContext for the "
                    "other ranks of its communicator: every one of them is to make the context")
            if limit is not None and now - began > limit:
                end_alone()
                raise CollectiveMismatchError(
                    f"{told}. ThunderContext(timeout=) or MPIMAGES_TIMEOUT is the limit"
                )
            if now - warned > WARN:
                warned = now
                _log.warning("%s", told)
    return comm


@cache
def _keyval() -> int:
    """The attribute key under which a communicator carries its duplicate."""
    return MPI.Comm.Create_keyval()


def acquire(comm: Any, limit: float | None = None) -> Shared:
    """The duplicate that belongs to `comm`. Collective.

    Messages of the library and of the user's program can then never be taken for each other.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    limit : float, optional
        Seconds to wait for the other ranks, where they make their first context of it.

    Raises
    ------
    TypeError
        Where it is no intracommunicator.
    CollectiveMismatchError
        Where one of its ranks is known to have ended, or does not come within the limit.
    """
    if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
        raise TypeError(f"comm is an mpi4py intracommunicator, not {shown(comm)}")
    shared: Any = comm.Get_attr(_keyval())
    if shared is not None and shared.watch.left:
        raise CollectiveMismatchError("another rank has ended: the others cannot work together")
    if shared is None or shared.watch.broken:
        shared = Shared(comm, limit)
        comm.Set_attr(_keyval(), shared)
        attend(shared.watch)
    shared.users += 1
    return shared


def release(shared: Shared) -> None:
    """Give back what `acquire` gave; the last one frees it. Collective.

    Where the ranks are out of step nothing is freed, and it is local.
    """
    shared.users -= 1
    if shared.users == 0:
        dismiss(shared.watch)
        if shared.watch.broken:
            return
        shared.watch.close()
        if shared.origin != MPI.COMM_NULL:  # the user may have freed it meanwhile
            shared.origin.Delete_attr(_keyval())
        waiting.dismiss(shared.comm)
        shared.comm.Free()
