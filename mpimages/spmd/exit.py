"""The end of a rank: the others are notified, and its traceback is printed once.

While contexts of several ranks are open, an uncaught exception on one rank ends the job. The
others are notified, and those that wait for this rank raise CollectiveMismatchError. If they have
not ended after a while, the job is aborted. A rank that ends normally notifies the others, too.

Before the first context and after the last one no rank can be notified. MPI_Finalize is
collective: a rank that has failed would wait in it for others that wait elsewhere. The interpreter
has ended by then, so only the system can end the process (`end_within`); its launcher then ends
the job.

The module can be imported before MPI starts, and does not start it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import signal
import stat
import sys
import termios
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ..core.cleanup import ask

if TYPE_CHECKING:
    from mpi4py import MPI

    from .watch import Watch

__all__ = ["abort", "attend", "dismiss", "end_alone", "end_of_interrupt", "end_within", "guard"]

# Seconds that the others have to end by themselves after a failure here; seconds between two polls.
GRACE = 5.0
PAUSE = 1e-3
# Maximum seconds for a launcher to read the output of a rank before the job is aborted; seconds
# for it to forward the output.
HEARD = 2.0
PASSED_ON = 0.1


# The function name of a program's first frame: that of a script, and that of ``python -m``.
FIRST = ("<module>", "_run_module_as_main")


# -- without a context ---------------------------------------------------------------------


@cache
def guard() -> None:
    """Keep a process that an exception ends from hanging in MPI_Finalize. Local."""
    atexit.register(_limit)  # registered before `_leave`, so that it runs after it


def end_within(seconds: float) -> None:
    """Let the system end this process if it still runs after `seconds`. Local."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit() -> None:
    # An interrupted import may have started MPI without leaving a module of that name.
    if "mpi4py" in sys.modules and _is_uncaught():
        end_within(GRACE)


def _is_uncaught() -> bool:
    """Return True if an exception ends this process. Local.

    Python keeps the last exception that was printed; shells and test runners store those that they
    catch there, too. Only the traceback of an uncaught one begins in the program's first frame.
    """
    trace = getattr(sys, "last_traceback", None)
    return trace is not None and not hasattr(sys, "ps1") and trace.tb_frame.f_code.co_name in FIRST


# -- while contexts are open ---------------------------------------------------------------


class _Attended:
    """The open watches of this process, and the exception that ended it."""

    def __init__(self) -> None:
        self.watches: list[Watch] = []
        self.before: Callable[..., Any] | None = None
        self.failure: str | None = None
        self.alone = False  # True if no other rank is known to have failed in the same way
        self.lost = False  # True if a collective call of this process will never complete
        self.untold: Callable[[], None] | None = None  # prints what another rank is to print
        self.teller = 0  # that rank


_attended = _Attended()


def attend(watch: Watch) -> None:
    """Notify the other ranks of the watch when this process ends. Local."""
    guard()
    if watch.alone:
        return
    _attended.watches.append(watch)
    if _attended.before is None:
        _attended.before, sys.excepthook = sys.excepthook, _hook
        _leave_at_exit()


def end_alone() -> None:
    """Abort the job when this process ends: the other ranks did not answer in time. Local.

    MPI_Finalize would wait for them forever.
    """
    _attended.lost = True
    _leave_at_exit()


def end_of_interrupt() -> None:
    """Limit the wait for other ranks after KeyboardInterrupt. Local.

    The script may have caught it, while the others wait in a call that cannot be notified.
    """
    _attended.failure = _attended.failure or "KeyboardInterrupt"


def _leave_at_exit() -> None:
    atexit.unregister(_leave)
    atexit.register(_leave)


def dismiss(watch: Watch) -> None:
    """Forget a closed watch; with the last one remove the hook for exceptions. Local.

    A broken watch still has pending messages: the end of the process waits for them.
    """
    if watch in _attended.watches and not watch.broken:
        _attended.watches.remove(watch)
    if all(other.broken for other in _attended.watches):
        _take_back()


def _take_back() -> None:
    # A hook that was installed over this one stays; it may still call this one.
    if _attended.before is not None and sys.excepthook is _hook:
        sys.excepthook, _attended.before = _attended.before, None


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an exception that no rank has printed, and remember that it ends this rank."""
    from mpi4py import MPI

    from .agreement import teller_of

    comm, teller = teller_of(error)
    show = _attended.before or sys.__excepthook__

    def tell() -> None:
        show(kind, error, trace)

    if comm is None or comm == MPI.COMM_NULL or comm.rank == teller:
        tell()
    else:
        _attended.untold, _attended.teller = tell, teller
    _flush()
    said = ask(lambda: f"{kind.__name__}: {(str(error).splitlines() or [''])[0][:200]}")
    _attended.failure = said or "an exception"
    _attended.alone = comm is None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def _leave() -> None:
    """End together with the other ranks, at the interpreter's exit and before MPI_Finalize."""
    from mpi4py import MPI

    if MPI.Is_finalized():
        return
    if _attended.lost:
        _abort()
    watches, _attended.watches = _attended.watches, []
    end = time.monotonic() + GRACE
    for watch in watches:
        watch.begin_to_leave(_attended.failure, _attended.alone)
    while watches:
        watches = [watch for watch in watches if not watch.has_left()]
        if watches and _attended.failure is not None and time.monotonic() > end:
            teller = _attended.teller
            if _attended.untold is not None and not any(w.has_failed(teller) for w in watches):
                _attended.untold()  # that rank has caught it
            _abort()
        time.sleep(PAUSE)


def _abort() -> NoReturn:
    from mpi4py import MPI

    abort(MPI.COMM_WORLD, 1)


def abort(comm: MPI.Intracomm, code: int) -> NoReturn:
    """Abort the whole job after the output of this process was read. Local."""
    _flush()
    # A launcher that ends the job drops the rest of its pipes, which may contain the error.
    _drain(time.monotonic() + HEARD)
    comm.Abort(code)
    os._exit(code)  # Abort may return while the job is being ended


def _drain(end: float) -> None:
    """Wait until the output pipes of this process are empty and the output is forwarded."""
    for stream in (1, 2):
        with suppress(OSError):  # closed
            while stat.S_ISFIFO(os.fstat(stream).st_mode) and time.monotonic() < end:
                unread = fcntl.ioctl(stream, termios.FIONREAD, bytes(4))
                if not any(unread):
                    break
                time.sleep(PAUSE)
    time.sleep(PASSED_ON)
