"""Waiting for other ranks by polling, so that signals and notices are served meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from ..core.timers import phase

__all__ = ["PAUSE", "clear_lookout", "complete", "set_lookout", "spin"]

# Seconds of polling without a pause; then seconds of polling that yields the core to others until
# the first sleep; then maximum seconds between two polls.
SPIN = 100e-6
YIELDING = 2e-3
PAUSE = 1e-3

# By the communicator's handle: the function that a waiting rank calls regularly.
_lookouts: dict[int, Callable[[], None]] = {}
# Abandoned requests, with the memory that they may still write to.
_given_up: list[tuple[MPI.Request, np.ndarray]] = []


def set_lookout(comm: MPI.Intracomm, look: Callable[[], None]) -> None:
    """Call `look` while a rank waits in `complete`; it raises if waiting is useless. Local."""
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


def complete(comm: MPI.Intracomm, request: MPI.Request, buffer: np.ndarray) -> None:
    """Wait for a collective operation, which writes to `buffer`.

    `comm` is the one whose look-out is called meanwhile; the request may be of another
    communicator of the same ranks, or of some of them.
    """
    with phase("wait (ranks)"):
        _complete(comm, request, buffer)


def _complete(comm: MPI.Intracomm, request: MPI.Request, buffer: np.ndarray) -> None:
    if spin(request):
        return
    look = _lookouts.get(comm.handle)
    began = time.monotonic()
    try:
        while not request.Test():
            time.sleep(min(PAUSE, (time.monotonic() - began) / 4))
            if look is not None:
                look()
    except BaseException:
        _given_up.append((request, buffer))
        raise
