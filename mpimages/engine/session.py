"""The session of a context: communicator, memory budget and workspace of its collections."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress

from mpi4py import MPI

from ..core.arguments import check_flag, check_number
from ..core.timers import Timings, measuring
from ..core.workspace import Workspace
from ..progress.meter import Meter, choose_progress
from ..spmd import communicators
from ..spmd.agreement import MOST, Together, is_agreed, moment
from ..spmd.cores import threads_per_rank
from ..spmd.exit import end_of_interrupt
from ..spmd.memory_limit import find_budget
from ..spmd.nodes import Nodes
from ..spmd.shared_memory import Segments
from ..spmd.signals import Stopping
from ..spmd.versions import Versions, check_versions, number, versions

__all__ = ["Session"]

# Parts of a second in an integer that the ranks agree on.
MICRO = 10**6


class Session:
    """A private communicator, and the memory budget per rank. Collective constructor.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The user's communicator. A duplicate of it is used, and freed by `close`.
    memory : int, str or None
        The budget per rank; None to determine it.
    timeout : float, optional
        Seconds that a rank waits for silent others at the entry of an action.
    progress : bool, float or None
        See `meter.choose_progress`; the value of rank 0 holds for all.
    timings : bool
        True to measure the time of each phase; the same on all ranks.
    prepare : callable, optional
        Called when the ranks are together; local work that may fail on one of them.

    Attributes
    ----------
    meter : Meter
        Counter of the ranks' progress in long actions.
    timings : Timings or None
        The timings of this rank, if they are measured.
    loaded : int
        The number of recordings that were loaded.
    rank, size : int
        Known after `close`, too: error handlers may print them.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        memory: int | str | None,
        timeout: float | None = None,
        progress: bool | float | None = None,
        timings: bool = False,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.workspace = Workspace(0, 1)
        self.loaded = 0
        self._process = os.getpid()
        first = _first_limit(timeout)
        self._shared: communicators.Shared | None = communicators.acquire(comm, first)
        self._number = self._shared.made
        self.rank, self.size = comm.rank, comm.size
        self.stopping = Stopping(self._shared.watch)
        self.segments: Segments | None = None
        self._limit: float | None = None
        self.timings: Timings | None = None
        try:
            self._shared.watch.enter("ThunderContext")
            segments, nodes = self._shared.segments, self._shared.nodes
            together, budget, threads = Together(self.comm, "ThunderContext", timings), 0, 1
            shown = interval = MOST  # the least is rank 0's
            software: Versions = ()
            with together.attempt():
                self.timings = Timings() if check_flag(timings, "timings") else None
                self._limit = _seconds(timeout)
                budget = find_budget(nodes.node.size, memory)
                threads = threads_per_rank(nodes.sharing)
                if self.rank == 0:
                    on, seconds = choose_progress(progress)
                    shown, interval = int(on), min(MOST, int((seconds or 0) * MICRO))
                software = versions() if self.size > 1 else ()
                prepare()
            stamp = number(software)
            wanted = int(segments.are_wanted())
            self.memory, wanted, shown, interval, least, most = together.agree(
                budget, wanted, shown, interval, stamp, -stamp
            )
            if least != -most:
                check_versions(nodes, software)
            self.segments = segments if wanted else None
        except BaseException:
            self.close()
            raise
        self.meter = Meter(self._shared.watch, bool(shown), interval / MICRO)
        # Half of the budget: idle memory must leave room for arrays of other sizes.
        self.workspace = Workspace(self.memory // 2, threads)

    @property
    def is_open(self) -> bool:
        """True if `close` has not been called and the ranks are in step. Local."""
        return self._shared is not None and not self._shared.watch.broken

    @property
    def comm(self) -> MPI.Intracomm:
        """The communicator. Local; raises RuntimeError after `close`."""
        return self._open().comm

    @property
    def nodes(self) -> Nodes:
        """The ranks by their hosts. Local; raises RuntimeError after `close`."""
        return self._open().nodes

    def glance(self) -> None:
        """Answer ranks that wait for this one, which works. Local; never raises."""
        if self._shared is not None:
            self._shared.watch.glance()

    @property
    def in_action(self) -> bool:
        """True while an action runs. Local; raises RuntimeError after `close`."""
        return self._open().watch.depth > 0

    def _open(self) -> communicators.Shared:
        """Return the shared part of contexts; raise RuntimeError if this one is unusable. Local."""
        if self._shared is None:
            raise RuntimeError("the ThunderContext is closed; make a new one")
        if self._process != os.getpid():
            raise RuntimeError(
                "this process was forked from the one that has the ThunderContext: "
                "MPI and its threads are not here; give it arrays instead"
            )
        if self._shared.watch.broken:
            raise RuntimeError("the ThunderContext is closed, because its ranks were out of step")
        return self._shared

    @contextmanager
    def action(self, name: str) -> Iterator[None]:
        """Run an action on all ranks. Collective; a nested action needs no further handshake.

        Raises
        ------
        CollectiveMismatchError
            If other ranks are in other actions, or in those of another context, or have left.
        RuntimeError
            If called in another thread than the one that made the communicator's first context.
        """
        shared = self._open()
        shared.check_thread()
        watch = shared.watch
        with nullcontext() if watch.depth else measuring(self.timings):
            watch.enter(self._told(name), self._limit)
            watch.depth += 1
            began = moment()
            try:
                yield
            except BaseException as error:
                # An exception that the ranks agreed on leaves them in step, and so may one that all
                # of them raise.
                if watch.depth == 1 and not is_agreed(error, since=began):
                    watch.leave()
                    # The other ranks may be anywhere in the action: no further action may follow.
                    if issubclass(type(error), KeyboardInterrupt) and not watch.alone:
                        watch.broken = True
                        end_of_interrupt()
                raise
            finally:
                watch.depth -= 1

    def _told(self, name: str) -> str:
        """Return an action's name, with the number of the context unless it is the first. Local.

        The ranks compare it: collections of two contexts may be equal in everything else.
        """
        return name if self._number == 1 else f"{name} of context {self._number}"

    def close(self) -> None:
        """Release communicator, memory and threads. Collective; may be called twice."""
        if self._shared is None:
            return
        self._shared.check_thread()
        shared, self._shared = self._shared, None
        self.workspace.close()
        if not shared.watch.broken:
            shared.watch.enter(self._told("ThunderContext.close"), self._limit)
            shared.segments.trim()
        communicators.release(shared)


def _first_limit(timeout: float | None) -> float | None:
    """Return the limit to use before the ranks can agree on an invalid one. Local."""
    with suppress(TypeError, ValueError):
        return _seconds(timeout)
    return None


def _seconds(timeout: float | None) -> float | None:
    """Return the given limit, or that of the environment. Local."""
    if timeout is not None:
        name, seconds = "timeout", check_number(timeout, "timeout")
    else:
        name, given = "MPIMAGES_TIMEOUT", os.environ.get("MPIMAGES_TIMEOUT")
        if not given:
            return None
        try:
            seconds = float(given)
        except ValueError:
            seconds = 0.0
    if not seconds > 0:
        raise ValueError(f"{name} must be a positive number of seconds, got {seconds:g}")
    return seconds
