"""Detection of a live display: a terminal, possibly behind a launcher, or a notebook. Local."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

__all__ = ["is_live", "width_of"]

WIDTH = 80
# Launchers that forward the output of rank 0 at once, by the names of their processes, which Linux
# cuts at 15 characters. srun is not among them: it runs on another node.
LAUNCHERS = {
    "mpiexec",
    "mpirun",
    "mpiexec.hydra",
    "mpiexec.openmpi",
    "mpiexec.mpich",
    "mpirun.openmpi",
    "mpirun.mpich",
    "hydra_pmi_proxy",
    "hydra_bstrap_pr",
    "orterun",
    "prterun",
    "prte",
}
GENERATIONS = 5


def is_live(stream: object) -> bool:
    """Return True if a line that was written to `stream` can be overwritten."""
    if stream is None:
        return False
    if _is_notebook(stream):
        return True
    return os.environ.get("TERM") != "dumb" and (_is_terminal(stream) or _behind() is not None)


def width_of(stream: Any) -> int | None:
    """Return the characters in a line of the terminal, 80 if unknown; None for a notebook."""
    if _is_notebook(stream):
        return None
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    with suppress(Exception):
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    with suppress(Exception):
        terminal = _behind()
        if terminal is not None:
            descriptor = os.open(terminal, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                return os.get_terminal_size(descriptor).columns or WIDTH
            finally:
                os.close(descriptor)
    return WIDTH


def _is_notebook(stream: object) -> bool:
    return type(stream).__module__.startswith("ipykernel")


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except Exception:  # it was closed, or is not a file
        return False


def _behind() -> str | None:
    """Return the terminal to which the launcher forwards the standard error of this process."""
    if not _is_pipe():
        return None
    process = os.getppid()
    with suppress(OSError, ValueError):
        for _ in range(GENERATIONS):
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
                head, _, rest = file.read().rpartition(")")
            if head.partition("(")[2] not in LAUNCHERS:
                return None
            terminal = os.readlink(f"/proc/{process}/fd/2")
            if terminal.startswith(("/dev/pts/", "/dev/tty")):
                return terminal
            process = int(rest.split()[1])
    return None


def _is_pipe() -> bool:
    """Return True if standard error goes to the launcher, and not to a user's file."""
    with suppress(OSError):
        return os.readlink("/proc/self/fd/2").startswith(("pipe:", "socket:"))
    return False
