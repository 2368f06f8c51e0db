"""How long a process that has failed waits for the others at its end.

MPI's end is a collective call: a rank that fails where nobody can be told of it, before its first
context or after its last one, would wait there for others that wait for it elsewhere. Python is
gone by then, so only the system can end the process; its launcher then ends the job.
"""

from __future__ import annotations

import atexit
import signal
import sys
from types import TracebackType

__all__ = ["GRACE", "end_within", "guard"]

# Seconds that the others have to end by themselves, after a failure here.
GRACE = 5.0


def guard() -> None:
    """From now on an exception that ends this process does not leave it in MPI's end. Local."""
    before, uncaught = sys.excepthook, []

    def note(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        uncaught.append(kind)
        before(kind, error, trace)

    def limit() -> None:
        # An interrupted import may have started MPI, and have left no module of that name.
        if uncaught and "mpi4py" in sys.modules:
            end_within(GRACE)

    sys.excepthook = note
    atexit.register(limit)  # the first to be registered is the last to run


def end_within(seconds: float) -> None:
    """Let the system end this process if it is still there by then. Local."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)

