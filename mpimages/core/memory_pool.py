"""Large arrays whose memory is used again.

The first touch of fresh memory costs ten times as much as writing to memory that is in use
(the kernel must find and clear each page), and a conversion asks for the same few sizes again
and again. A pool hands out arrays, and takes their memory back when nothing refers to them
any more. Local.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

# Below this the interpreter's own allocator is as good.
SMALL = 1 << 20
# Regions are multiples of what the kernel maps at once where it can.
GRAIN = 1 << 21


class Pool:
    """Memory for large arrays, kept for the next one.

    Parameters
    ----------
    limit : int
        At most so many idle bytes are kept; beyond, the largest idle region is given up.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._idle: list[mmap.mmap] = []
        # A finalizer may run in the middle of `empty`, in the same thread.
        self._lock = threading.RLock()

    @property
    def idle_bytes(self) -> int:
        """How much is kept without being in use."""
        return sum(len(region) for region in self._idle)

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """A C-contiguous array with arbitrary content, for as long as something refers to it.

        Raises
        ------
        MemoryError
            Where the system has no more.
        """
        size = dtype.itemsize
        for n in shape:
            size *= int(n)
        if size < SMALL:
            return np.empty(tuple(shape), dtype=dtype)
        region = self._take(-(-size // GRAIN) * GRAIN)
        owner = np.frombuffer(region, dtype=np.uint8)
        weakref.finalize(owner, self._give_back, region).atexit = False
        return owner[:size].view(dtype).reshape(tuple(shape))

    def trim(self) -> None:
        """Give up what is idle."""
        with self._lock:
            self._idle.clear()

    def clear(self) -> None:
        """Give up what is idle, and keep nothing that comes back later."""
        with self._lock:
            self.limit = 0
            self._idle.clear()

    def _take(self, size: int) -> mmap.mmap:
        with self._lock:
            # Not one that is much larger: it would be missed by whoever needs it whole.
            fitting = [r for r in self._idle if size <= len(r) <= size + size // 4 + GRAIN]
            if fitting:
                best = min(fitting, key=len)
                self._idle.remove(best)
                return best
        try:
            # Private: few systems give huge pages to memory that could be shared.
            region = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"no memory for an array of {size} bytes: {error}") from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without them
                region.madvise(mmap.MADV_HUGEPAGE)
        return region

    def _give_back(self, region: mmap.mmap) -> None:
        with self._lock:
            self._idle.append(region)
            while self._idle and self.idle_bytes > self.limit:
                self._idle.remove(max(self._idle, key=len))
