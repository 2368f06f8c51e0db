"""Large arrays with reused memory.

The first write to new memory costs ten times as much as later ones (the kernel must find and clear
each page), and a conversion needs the same few sizes repeatedly. A pool returns arrays, and takes
their memory back when nothing refers to them any more. Local.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

# Below this size the interpreter's own allocator is as fast.
SMALL = 1 << 20
# Regions are multiples of the size of a huge page.
GRAIN = 1 << 21


class Pool:
    """A pool of memory for large arrays.

    Parameters
    ----------
    limit : int
        Maximum idle bytes; if they exceed it, the largest idle regions are freed.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._idle: list[mmap.mmap] = []
        # A finalizer may run in the middle of `empty`, in the same thread.
        self._lock = threading.RLock()

    @property
    def idle_bytes(self) -> int:
        """The bytes that are kept but not in use."""
        return sum(len(region) for region in self._idle)

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """Return an uninitialized C-contiguous array; its memory is reused when it is collected.

        Raises
        ------
        MemoryError
            If the system has no more memory.
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
        """Free the idle memory."""
        with self._lock:
            self._idle.clear()

    def clear(self) -> None:
        """Free the idle memory, and memory in use as soon as it is returned."""
        with self._lock:
            self.limit = 0
            self._idle.clear()

    def _take(self, size: int) -> mmap.mmap:
        with self._lock:
            # Not a much larger one: it is kept for a large array.
            fitting = [r for r in self._idle if size <= len(r) <= size + size // 4 + GRAIN]
            if fitting:
                best = min(fitting, key=len)
                self._idle.remove(best)
                return best
        try:
            # Private: few systems use huge pages for shared memory.
            region = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            raise MemoryError(f"no memory for an array of {size} bytes: {error}") from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without huge pages
                region.madvise(mmap.MADV_HUGEPAGE)
        return region

    def _give_back(self, region: mmap.mmap) -> None:
        with self._lock:
            self._idle.append(region)
            while self._idle and self.idle_bytes > self.limit:
                self._idle.remove(max(self._idle, key=len))
