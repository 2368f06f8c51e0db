"""The memory of a conversion's rounds, and the thread that writes behind them. Local."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ..core.timers import carry_timings, phase
from ..core.workspace import Work, Workspace
from .bands import Bands, MemoryBands

__all__ = ["Behind", "Buffers"]


class Buffers:
    """The band that is read while another is written, and the blocks that are written. Local."""

    def __init__(self, bands: Bands, workspace: Workspace) -> None:
        self.blocks: list[np.ndarray] = []
        self.exchange = (np.empty(0, np.uint8), np.empty(0, np.uint8))
        self._bands = bands
        self._workspace = workspace
        self._memory = np.empty(0, np.uint8)
        self._columns = np.empty((0, 0), np.uint8)
        self._work: Work | None = None

    def make(self, width: int) -> None:
        """Memory for bands of up to `width` pixels, where they are not in memory."""
        if not isinstance(self._bands, MemoryBands):
            self._memory = self._workspace.empty((self._bands.count * width,), self._bands.dtype)

    def block(self, number: int, pixels: int, times: int) -> np.ndarray:
        """(pixels, times): the memory of a round's block."""
        return self.blocks[number % len(self.blocks)][: pixels * times].reshape(pixels, times)

    def begin(self, start: int, stop: int) -> None:
        """Begin to read a band."""
        if isinstance(self._bands, MemoryBands):
            self._columns = self._bands.view(start, stop)
            return
        count = self._bands.count
        self._columns = self._memory[: count * (stop - start)].reshape(count, stop - start)
        self._work = self._bands.begin(start, stop, self._columns)

    def finish(self) -> np.ndarray:
        """The band, (images, pixels), once it is there."""
        if self._work is not None:
            work, self._work = self._work, None
            work.finish()
        return self._columns

    def give_up(self) -> None:
        """Wait until nobody writes into the memory any more."""
        if self._work is not None:
            self._work.give_up()


class Behind:
    """One call at a time that runs on a thread behind the caller. Local."""

    def __init__(self, executor: ThreadPoolExecutor | None) -> None:
        self._executor = executor  # None: calls are made at once
        self._future: Future[None] | None = None

    def begin(self, function: Callable[..., None], *given: Any) -> None:
        """Begin function(*given); the one before is finished."""
        if self._executor is None:
            function(*given)
        else:
            self._future = self._executor.submit(carry_timings(function), *given)

    def finish(self) -> None:
        """Wait for it, and raise what it raised."""
        if self._future is not None:
            future, self._future = self._future, None
            with phase("wait (files)"):
                future.result()

    def give_up(self) -> None:
        """Wait for it, whatever it raises: what failed before is what counts."""
        if self._future is not None:
            self._future.exception()
