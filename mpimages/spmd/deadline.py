"""How long a process that has failed waits for the others at its end.

MPI's end is a collective call: a rank that fails where nobody can be told of it, before its first
context or after its last one, would wait there for others that wait for it elsewhere. Python is
gone by then, so only the system can end the process; its launcher then ends the job.
"""

from __future__ import annotations

import atexit
import signal
import sys

__all__ = ["GRACE", "end_within", "guard"]

# Seconds that the others have to end by themselves, after a failure here.
GRACE = 5.0
# What a program's first frame is called: that of a script, and that of ``python -m``.
FIRST = ("<module>", "_run_module_as_main")


def guard() -> None:
    """From now on an exception that ends this process does not leave it in MPI's end. Local."""
    atexit.register(_limit)  # the first to be registered is the last to run


def end_within(seconds: float) -> None:
    """Let the system end this process if it is still there by then. Local."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit() -> None:
    # An interrupted import may have started MPI, and have left no module of that name.
    if "mpi4py" in sys.modules and _uncaught():
        end_within(GRACE)


def _uncaught() -> bool:
    """Whether an exception ends this process. Local.

    Python keeps the last one that was printed, and so do shells and test runners with those
    that they catch: but only one that nobody caught began in the program's own first frame.
    """
    trace = getattr(sys, "last_traceback", None)
    return trace is not None and not hasattr(sys, "ps1") and \
        trace.tb_frame.f_code.co_name in FIRST
