"""Timings of a job: seconds and bytes of each phase, measured on request. Local.

A phase belongs to one thread. The time of an inner phase is subtracted from the outer one, so that
no second of a thread counts twice. Reading ahead and writing in the background are measured in
their own threads while the rank computes: phases overlap.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

PHASES = (
    "list",
    "read",
    "decode",
    "compute",
    "exchange",
    "write",
    "wait (files)",
    "wait (ranks)",
    "total",
)


class Timings:
    """Seconds and bytes of each phase on one rank. Used by all of its threads."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.bytes = dict.fromkeys(PHASES, 0)
        self._lock = threading.Lock()

    def add(self, name: str, seconds: float, nbytes: int) -> None:
        """Add seconds and bytes to a phase."""
        with self._lock:
            self.seconds[name] += seconds
            self.bytes[name] += nbytes


class _Here(threading.local):
    """State of this thread."""

    timings: Timings | None = None
    inner = 0.0  # seconds of the inner phases of the open one


_here = _Here()
_nothing = nullcontext()


@contextmanager
def measuring(timings: Timings | None) -> Iterator[None]:
    """Measure the phases of this thread in the block, and the total time. Local."""
    if timings is None:
        yield
        return
    before, _here.timings = _here.timings, timings
    began = time.perf_counter()
    try:
        yield
    finally:
        _here.timings = before
        timings.add("total", time.perf_counter() - began, 0)


def phase(name: str, nbytes: int = 0) -> AbstractContextManager[object]:
    """Return a context that measures a phase with `nbytes` bytes, if requested. Local."""
    timings = _here.timings
    return _nothing if timings is None else _Phase(timings, name, nbytes)


def count_phase(name: str, nbytes: int) -> None:
    """Add bytes to a phase whose time is measured elsewhere. Local."""
    if _here.timings is not None:
        _here.timings.add(name, 0.0, nbytes)


def carry_timings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function for another thread, in which it adds to this thread's timings. Local."""
    timings = _here.timings
    if timings is None:
        return function

    @functools.wraps(function)
    def counting(*args: object) -> object:
        before, _here.timings = _here.timings, timings
        try:
            return function(*args)
        finally:
            _here.timings = before

    return counting


class _Phase:
    __slots__ = ("_began", "_name", "_nbytes", "_outer", "_timings")

    def __init__(self, timings: Timings, name: str, nbytes: int) -> None:
        self._timings, self._name, self._nbytes = timings, name, nbytes
        self._outer = self._began = 0.0

    def __enter__(self) -> None:
        self._outer, _here.inner = _here.inner, 0.0
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        took = time.perf_counter() - self._began
        self._timings.add(self._name, took - _here.inner, self._nbytes)
        _here.inner = self._outer + took
