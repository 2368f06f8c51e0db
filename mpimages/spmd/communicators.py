"""A private duplicate of the user's communicator, made once and shared by its contexts."""

from __future__ import annotations

import logging
import threading
import time
from functools import cache
from typing import cast

from mpi4py import MPI

from ..core.cleanup import quietly
from ..core.text import quote
from ..errors import CollectiveMismatchError
from . import waiting
from .exit import attend, dismiss, end_alone
from .nodes import Nodes
from .shared_memory import Segments
from .watch import WARN, Watch

__all__ = ["Shared", "acquire", "release"]


_log = logging.getLogger("mpimages")
# Only one thread of a process at a time may look up or make the duplicate of a communicator.
_claiming = threading.Lock()


class Shared:
    """The shared part of the contexts of one communicator: its duplicates and its watch.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
        All ranks.
    nodes : Nodes
    watch : Watch
    segments : Segments
    users : int
        The number of contexts that use it.
    made : int
        The number of contexts that were made. It numbers them, the same on all ranks in step.
    """

    comm: MPI.Intracomm
    nodes: Nodes
    watch: Watch
    segments: Segments

    def __init__(self, origin: MPI.Intracomm) -> None:
        self.origin = origin
        self.users = self.made = 0
        self._thread = threading.current_thread()

    def make(self, limit: float | None) -> None:
        """Duplicate the communicator. Collective."""
        try:
            self.comm, watched = _duplicates(self.origin, limit)
            self.watch = Watch(watched)
            self.nodes = Nodes.find(self.comm)
        except MPI.Exception as error:
            raise RuntimeError(
                f"MPI makes no more communicators: {error}. Close the contexts that are no longer "
                "needed (tsc.close(), or with ThunderContext(...) as tsc), and free communicators; "
                "contexts of one communicator share what they need"
            ) from error
        self.watch.nodes = self.nodes
        self.segments = Segments(self.nodes)
        waiting.set_lookout(self.comm, self.watch.look_about)

    @property
    def in_step(self) -> bool:
        """True if the ranks are not known to be out of step, and while it is being made. Local."""
        return not (hasattr(self, "watch") and self.watch.broken)

    def check_thread(self) -> None:
        """Raise RuntimeError in another thread than the one that made it. Local.

        Collective calls of two threads would have another order on each rank.
        """
        if threading.current_thread() is not self._thread:
            raise RuntimeError(
                "the contexts of a communicator are used by one thread, that of the first of them "
                f"({self._thread.name}), and not by {threading.current_thread().name}: give each "
                "thread a communicator, comm.Dup(), of which it makes a ThunderContext itself"
            )

    def free(self) -> None:
        """Free the communicators, segments and watch. Collective."""
        self.watch.close()
        waiting.clear_lookout(self.comm)
        self.nodes.node.Free()
        self.comm.Free()


def _duplicates(origin: MPI.Intracomm, limit: float | None) -> tuple[MPI.Intracomm, MPI.Intracomm]:
    """Duplicate the communicator twice without blocking. Collective.

    Signals and the timeout are served while it waits: there is no watch yet.
    """
    (first, one), (second, other) = origin.Idup(), origin.Idup()
    began = warned = time.monotonic()

    def look(_: float) -> None:
        nonlocal warned
        now = time.monotonic()
        told = (
            f"rank {origin.rank} has waited {now - began:.0f} s in ThunderContext for the "
            "other ranks of its communicator: every one of them is to make the context"
        )
        if limit is not None and now - began > limit:
            end_alone()
            raise CollectiveMismatchError(
                f"{told}. ThunderContext(timeout=) or MPIMAGES_TIMEOUT is the limit"
            )
        if now - warned > WARN:
            warned = now
            _log.warning("%s", told)

    for request in (one, other):
        if not waiting.spin(request):
            waiting.poll(request, look)
    return first, second


@cache
def _keyval() -> int:
    """Return the MPI attribute key under which a communicator stores its duplicate."""
    return MPI.Comm.Create_keyval()


def acquire(comm: object, limit: float | None = None) -> Shared:
    """Return the duplicate that belongs to `comm`. Collective.

    With it, messages of the library and of the user's program can never be confused.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    limit : float, optional
        Seconds to wait for the other ranks at the first context of the communicator.

    Raises
    ------
    TypeError
        If it is not an intracommunicator.
    RuntimeError
        If another thread uses it, or MPI cannot make more communicators.
    CollectiveMismatchError
        If one of its ranks is known to have ended, or does not arrive within the limit.
    """
    if not isinstance(comm, MPI.Intracomm) or comm == MPI.COMM_NULL:
        raise TypeError(f"comm must be an mpi4py intracommunicator, got {quote(comm)}")
    with _claiming:
        shared = cast(Shared, comm.Get_attr(_keyval()))
        if shared is not None and hasattr(shared, "watch"):
            shared.watch.look_behind()
        new = shared is None or not shared.in_step
        if not new:
            shared.check_thread()
        elif shared is not None and shared.watch.left:
            raise CollectiveMismatchError("another rank has ended: the others cannot work together")
        else:
            shared = Shared(comm)
            comm.Set_attr(_keyval(), shared)
    if new:
        try:
            shared.make(limit)
        except BaseException:
            quietly(comm.Delete_attr, _keyval())
            raise
        attend(shared.watch)
    shared.users += 1
    shared.made += 1
    return shared


def release(shared: Shared) -> None:
    """Release what `acquire` returned; the last release frees it. Collective.

    If the ranks are out of step, nothing is freed and the call is local.
    """
    shared.users -= 1
    if shared.users == 0:
        dismiss(shared.watch)
        if shared.watch.broken:
            return
        if shared.origin != MPI.COMM_NULL:  # the user may have freed it meanwhile
            quietly(shared.origin.Delete_attr, _keyval())
        shared.free()
