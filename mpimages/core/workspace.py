"""The resources of a rank: reused memory, and threads that read ahead. Local."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np

from .cleanup import quietly
from .memory_pool import Pool
from .timers import carry_timings, phase


class Workspace:
    """Memory and threads that a context lends to its actions.

    Parameters
    ----------
    limit : int
        Maximum idle bytes.
    threads : int
        The number of threads that read and decode. They never call MPI.
    """

    def __init__(self, limit: int, threads: int) -> None:
        self.threads = threads
        self._pool = Pool(limit)
        self._executor: ThreadPoolExecutor | None = None

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """Return an uninitialized C-contiguous array; raise MemoryError if memory is short."""
        return self._pool.empty(shape, dtype)

    def trim(self) -> None:
        """Free the idle memory."""
        self._pool.trim()

    def submit(self, calls: Iterable[tuple[Callable[..., None], Any]]) -> Work:
        """Start function(*arguments) for each of `calls`, on the threads."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="mpimages")
        return Work(
            [self._executor.submit(carry_timings(function), *given) for function, given in calls]
        )

    def close(self) -> None:
        """Free the memory and end the threads; may be called twice."""
        self._pool.clear()
        executor, self._executor = self._executor, None
        if executor is not None:
            quietly(executor.shutdown)


class Work:
    """Calls that run on threads. Finish or give them up before their memory is used."""

    def __init__(self, futures: list[Future[object]]) -> None:
        self._futures = futures

    def finish(self) -> None:
        """Wait for all calls, then raise the exception of the first one that failed."""
        with phase("wait (files)"):
            wait(self._futures)
        for future in self._futures:
            future.result()

    def in_turn(self) -> Iterator[int]:
        """Yield the number of each call in order, once it is done; raise its exception."""
        for number, future in enumerate(self._futures):
            with phase("wait (files)"):
                future.result()
            yield number

    def give_up(self) -> None:
        """Cancel the calls that have not begun, and wait for the others."""
        for future in self._futures:
            future.cancel()
        wait(self._futures)
