"""Waiting for other ranks by polling, so that signals and notices are served meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from mpi4py import MPI

from ..core.timers import phase

__all__ = ["PAUSE", "abandon", "clear_lookout", "complete", "poll", "set_lookout", "spin"]

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


class Pending(Protocol):
    """A request of MPI, or several of which all are to be complete."""

    def Test(self) -> bool:
        """Let MPI go on; return True once it is complete."""


# By the communicator's handle: the function that a waiting rank calls regularly.
_lookouts: dict[int, Callable[[float], None]] = {}
# Abandoned requests, with the memory that they may still write to.
_given_up: list[tuple[Pending, Buffer]] = []


def set_lookout(comm: MPI.Intracomm, look: Callable[[float], None]) -> None:
    """Call `look` with the seconds for which a rank has waited in `complete`. Local.

    It raises if waiting is useless.
    """
    _lookouts[comm.handle] = look


def clear_lookout(comm: MPI.Intracomm) -> None:
    """Undo `set_lookout`, before the communicator is freed. Local."""
    _lookouts.pop(comm.handle, None)


def spin(request: Pending) -> bool:
    """Poll for the usual delay between ranks; return True if the request is complete. Local."""
    began = time.perf_counter()
    while not request.Test():
        spun = time.perf_counter() - began
        if spun > YIELDING:
            return False
        if spun > SPIN:
            os.sched_yield()
    return True


def poll(request: Pending, look: Callable[[float], None] | None = None, bulk: bool = False) -> None:
    """Wait until a request is complete, which has been spun for in vain; see `complete`. Local.

    `look` is called between two polls with the seconds that have passed; what it raises ends the
    wait.
    """
    began = looked = time.monotonic()
    while not request.Test():
        now = time.monotonic()
        waited = now - began
        time.sleep(BULK_PAUSE if bulk else min(PAUSE if waited < LONG else LONG_PAUSE, waited / 4))
        if look is not None and now - looked >= PAUSE:
            looked = now
            look(waited)


def complete(comm: MPI.Intracomm, request: Pending, buffer: Buffer, bulk: bool = False) -> None:
    """Wait for an operation of MPI that uses the memory of `buffer`.

    `comm` is the one whose look-out is called meanwhile; the request may be of another
    communicator of the same ranks, or of some of them. With `bulk` much data may be on its way.
    """
    with phase("wait (ranks)"):
        if spin(request):
            return
        try:
            poll(request, _lookouts.get(comm.handle), bulk)
        except BaseException:
            abandon(request, buffer)
            raise


def abandon(request: Pending, buffer: Buffer) -> None:
    """Keep a request that nobody waits for, and the memory that MPI may still write to. Local."""
    _given_up.append((request, buffer))
