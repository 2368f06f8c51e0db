"""Shared memory of the ranks of one node, for exchanges without messages.

Only the owner of a segment writes to it; the other ranks of the node read it. All segments are
parts of one piece of anonymous memory. It has no name in a file system, so that nothing remains
after a crash, and the size of /dev/shm does not matter. The ranks open it through the process that
has created it. If that is not permitted, or there is not enough memory, all ranks use messages.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

import numpy as np
from mpi4py import MPI

from ..core.cleanup import quietly
from .collectives import allreduce, broadcast
from .nodes import Nodes
from .waiting import complete

__all__ = ["HEAD", "Segments"]

# Bytes at the start of a segment: one cache line, for the token that identifies the memory.
HEAD = 64
GRAIN = 1 << 21
# Maximum bytes of all segments of a node together.
NODE_BYTES = 128 << 20
NOTHING = np.empty(0)


class Segments:
    """One segment per rank, with two halves that are filled alternately. Local constructor.

    Parameters
    ----------
    nodes : Nodes

    Attributes
    ----------
    usable : bool
        True if shared memory can be used; the same on all ranks.
    """

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self._comm, self._node = nodes.comm, nodes.node
        self.usable = nodes.shared
        self._size = 0
        self._maps: dict[int, np.ndarray] = {}
        self._turn = 0

    def are_wanted(self) -> bool:
        """Return True if this rank wants to use the segments; messages if one does not. Local.

        ``MPIMAGES_SHARED_MEMORY=0`` in the environment of any rank selects messages. Messages are
        also used if ranks share a core, because they would wait for each other in every turn; 1
        selects segments even then.
        """
        given = os.environ.get("MPIMAGES_SHARED_MEMORY", "")
        return {"0": False, "1": True}.get(given, not self.nodes.crowded)

    @property
    def most(self) -> int:
        """The maximum bytes of a half; the same on all ranks."""
        largest = max(map(len, self.nodes.members))
        return (NODE_BYTES // largest - HEAD) // 2 // HEAD * HEAD

    def _all(self, condition: bool) -> bool:
        return bool(allreduce(self._comm, np.array([condition], dtype=np.int64), MPI.MIN)[0])

    def reserve(self, size: int) -> bool:
        """Make halves of at least `size` bytes; return True on success on all ranks. Collective.

        Earlier content is lost. After a failure it is not tried again.
        """
        size = -(-size // HEAD) * HEAD  # as halves are
        if not self.usable or size <= self._half:
            return self.usable
        self.trim()
        node = self._node
        each = -(-(HEAD + 2 * size) // GRAIN) * GRAIN
        token, made = b"", -1
        with suppress(Exception):  # on any error messages are used instead
            token = os.urandom(HEAD // 2)
            made = _made(each * node.size, token) if node.rank == 0 else -1
        process, descriptor, token = broadcast(node, (os.getpid(), made, token))
        memory: np.ndarray | None = None
        with suppress(Exception):
            memory = _opened(process, descriptor, each, token, node.rank)
        self.usable = self._all(memory is not None)
        if made >= 0:
            quietly(os.close, made)
        if self.usable and memory is not None:
            self._size = each
            self._maps = dict(zip(self.nodes.near, memory.reshape(node.size, each), strict=True))
        return self.usable

    @property
    def _half(self) -> int:
        return max(0, self._size - HEAD) // 2 // HEAD * HEAD

    def half(self, rank: int) -> np.ndarray:
        """Return the half that `rank` of this node fills in this turn. Local."""
        begin = HEAD + self._turn * self._half
        return self._maps[rank][begin : begin + self._half]

    def meet(self) -> None:
        """Wait until the ranks of the node have filled their halves. Collective.

        These halves may be read until the next call, while the other halves are filled.
        """
        # Polled: a blocking call would occupy the core that reading and writing threads need.
        complete(self._comm, self._node.Ibarrier(), NOTHING)

    def turn(self) -> None:
        """Switch to the other halves. Local; must be called on all ranks."""
        self._turn = 1 - self._turn

    def trim(self) -> None:
        """Free the memory. Local; must be called on all ranks."""
        self._maps, self._size = {}, 0


def _made(size: int, token: bytes) -> int:
    """Return a descriptor of new anonymous memory that begins with the token."""
    descriptor = os.memfd_create("mpimages", os.MFD_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        os.pwrite(descriptor, token, 0)
    except BaseException:
        quietly(os.close, descriptor)
        raise
    return descriptor


def _opened(process: int, descriptor: int, size: int, token: bytes, part: int) -> np.ndarray:
    """Map the memory of a process of this node; this process will write to one part."""
    # If ranks run in separate containers, this may be the file of another process.
    way = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
    opened = os.open(f"/proc/{process}/fd/{descriptor}", way)
    try:
        if not token or os.pread(opened, len(token), 0) != token:
            raise OSError("another file than the one that was meant")
        # Allocated now: a lack of memory at the first write would kill the process.
        # Touched first by the rank that writes it, so that it lies in that rank's NUMA node.
        os.posix_fallocate(opened, part * size, size)
        return np.frombuffer(mmap.mmap(opened, 0), dtype=np.uint8)
    finally:
        quietly(os.close, opened)
