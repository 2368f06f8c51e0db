"""Waiting for other ranks by polling, so that signals and notices are served meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from ..core.timers import phase

__all__ = ["PAUSE", "clear_lookout", "complete", "pause", "set_lookout", "spin"]

# Seconds of polling without a pause; then seconds of polling that yields the core to others until
# the first sleep; then maximum seconds between two polls: while the data of other ranks arrive,
# which MPI takes up at polls only; else; and after a second.
SPIN = 100e-6
YIELDING = 2e-3
BULK_PAUSE = 200e-6
PAUSE = 1e-3
LONG_PAUSE = 10e-3
LONG = 1.0

# The memory of a call.
Buffer = np.ndarray | tuple[np.ndarray, ...]

# By the communicator's handle: the function that a waiting rank calls regularly.
_lookouts: dict[int, Callable[[float], None]] = {}
# Abandoned requests, with the memory that they may still write to.
_given_up: list[tuple[MPI.Request, Buffer]] = []


def set_lookout(comm: MPI.Intracomm, look: Callable[[float], None]) -> None:
    """Call `look` with the seconds for which a rank has waited in `complete`. Local.

    It raises if waiting is useless.
    """
    _lookouts[comm.handle] = look


def clear_lookout(comm: MPI.Intracomm) -> None:
    """Undo `set_lookout`, before the communicator is freed. Local."""
    _lookouts.pop(comm.handle, None)


def spin(request: MPI.Request) -> bool:
    """Poll for the usual delay between ranks; return True if the request is complete. Local."""
    began = time.perf_counter()
    while not request.Test():
        spun = time.perf_counter() - began
        if spun > YIELDING:
            return False
        if spun > SPIN:
            os.sched_yield()
    return True


def pause(waited: float) -> None:
    """Sleep between two polls of a rank that has waited for so many seconds. Local."""
    time.sleep(min(PAUSE if waited < LONG else LONG_PAUSE, waited / 4))


def complete(comm: MPI.Intracomm, request: MPI.Request, buffer: Buffer, bulk: bool = False) -> None:
    """Wait for an operation of MPI that uses the memory of `buffer`.

    `comm` is the one whose look-out is called meanwhile; the request may be of another
    communicator of the same ranks, or of some of them. With `bulk` much data may be on its way.
    """
    with phase("wait (ranks)"):
        _complete(comm, request, buffer, bulk)


def _complete(comm: MPI.Intracomm, request: MPI.Request, buffer: Buffer, bulk: bool) -> None:
    if spin(request):
        return
    look = _lookouts.get(comm.handle)
    began = time.monotonic()
    looked = began
    try:
        while not request.Test():
            now = time.monotonic()
            if bulk:
                time.sleep(BULK_PAUSE)
            else:
                pause(now - began)
            if look is not None and now - looked >= PAUSE:
                looked = now
                look(now - began)
    except BaseException:
        _given_up.append((request, buffer))
        raise
