"""The memory of a conversion's rounds, and the thread that writes in the background. Local."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..core.timers import carry_timings, phase
from ..core.workspace import Work, Workspace
from ..exchange.bands import Bands, MemoryBands

__all__ = ["Behind", "Buffers"]


class Buffers:
    """Buffers of the bands that are read and of the blocks that are written. Local.

    As many bands as blocks: those of rounds that follow each other have different memory.
    """

    def __init__(self, bands: Bands, workspace: Workspace) -> None:
        self.blocks: list[np.ndarray] = []
        self.exchange = (np.empty(0, np.uint8), np.empty(0, np.uint8))
        self._bands = bands
        self._workspace = workspace
        self._memory: list[np.ndarray] = []
        # By round: the band, and the work of reading it.
        self._begun: dict[int, tuple[np.ndarray, Work | None]] = {}

    def make(self, width: int, count: int) -> None:
        """Allocate memory for `count` bands of up to `width` pixels, unless they are in memory."""
        if not isinstance(self._bands, MemoryBands):
            size = (self._bands.count * width,)
            self._memory = [self._workspace.empty(size, self._bands.dtype) for _ in range(count)]

    def block(self, number: int, pixels: int, times: int) -> np.ndarray:
        """Return the memory of a round's block, (pixels, times)."""
        return self.blocks[number % len(self.blocks)][: pixels * times].reshape(pixels, times)

    def begin(self, number: int, start: int, stop: int) -> None:
        """Begin to read the band of a round."""
        if isinstance(self._bands, MemoryBands):
            self._begun[number] = self._bands.view(start, stop), None
            return
        count, memory = self._bands.count, self._memory[number % len(self._memory)]
        columns = memory[: count * (stop - start)].reshape(count, stop - start)
        self._begun[number] = columns, self._bands.begin(start, stop, columns)

    def finish(self, number: int) -> np.ndarray:
        """Wait for the band of a round, and return it, (images, pixels)."""
        columns, work = self._begun.pop(number)
        if work is not None:
            work.finish()
        return columns

    def give_up(self) -> None:
        """Wait until no thread writes into the memory any more."""
        for _, work in self._begun.values():
            if work is not None:
                work.give_up()


class Behind:
    """A background thread that runs one call at a time. Local."""

    def __init__(self, executor: ThreadPoolExecutor | None) -> None:
        self._executor = executor  # None: calls run in the caller's thread
        self._future: Future[None] | None = None

    def begin(self, function: Callable[..., None], *given: Any) -> None:
        """Finish the call before, and begin function(*given)."""
        if self._executor is None:
            function(*given)
        else:
            self._future = self._executor.submit(carry_timings(function), *given)

    def finish(self) -> None:
        """Wait for the call, and raise its exception."""
        if self._future is not None:
            future, self._future = self._future, None
            with phase("wait (files)"):
                future.result()

    def give_up(self) -> None:
        """Wait for the call and ignore its exception: an earlier failure is being raised."""
        if self._future is not None:
            self._future.exception()
