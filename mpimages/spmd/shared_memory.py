"""Memory that the ranks of one node share, through which they exchange without messages.

Each rank has a segment that it alone writes to, and reads those of the other ranks of its node.
All are parts of one piece of anonymous memory: no name in any file system stands for it, so that
nothing is left behind by whatever end a job takes, and the size of /dev/shm does not matter. The
ranks open it by the process that has made it; where that is not allowed, or no memory is to
be had, all go on with messages.
"""

from __future__ import annotations

import mmap
import os
from collections import Counter
from contextlib import suppress

import numpy as np
from mpi4py import MPI

from ..core.cleanup import quietly
from .waiting import complete

__all__ = ["HEAD", "Segments"]

# A segment begins with what tells it from another, in a line of the cache of its own.
HEAD = 64
GRAIN = 1 << 21
# What the segments of a node may take together.
NODE_BYTES = 128 << 20
NOTHING = np.empty(0)


class Segments:
    """A segment for each rank, in two halves that are filled in turn. Collective constructor.

    Parameters
    ----------
    comm, node : mpi4py.MPI.Intracomm
        Of all ranks, and of those of this rank's node.

    Attributes
    ----------
    near : tuple of int
        The ranks of this rank's node, ascending, itself among them.
    nodes : tuple of int
        For each rank the number of its node.
    far : bool
        Whether there are ranks on several nodes; the same on all ranks.
    usable : bool
        Whether this is a way at all; the same on all ranks.
    """

    def __init__(self, comm: MPI.Intracomm, node: MPI.Comm) -> None:
        self._comm = comm
        self._node = node
        own = os.sched_getaffinity(0)
        there = self._node.allgather((comm.rank, own))
        self.near = tuple(rank for rank, _ in there)
        self.nodes = tuple(comm.allgather(self.near[0]))
        self._crowded = sum(1 for _, cores in there if own & cores) > len(own)
        self.far = len(set(self.nodes)) > 1
        self.usable = len(set(self.nodes)) < comm.size  # else no rank has another beside it
        self._size = 0
        self._maps: dict[int, np.ndarray] = {}
        self._turn = 0

    def are_wanted(self) -> bool:
        """Whether a new context is to exchange through them; the same on all ranks. Collective.

        With ``MPIMAGES_SHARED_MEMORY=0`` in the environment of any rank there are only messages.
        So there are where ranks share a core, as they would wait for each other in every turn; 1
        asks for segments even then.
        """
        given = os.environ.get("MPIMAGES_SHARED_MEMORY", "")
        return self._all({"0": False, "1": True}.get(given, not self._crowded))

    @property
    def most(self) -> int:
        """The bytes that a half may have; the same on all ranks."""
        largest = max(Counter(self.nodes).values())
        return (NODE_BYTES // largest - HEAD) // 2 // HEAD * HEAD

    def _all(self, condition: bool) -> bool:
        lowest = np.array([condition], dtype=np.int64)
        complete(self._comm, self._comm.Iallreduce(MPI.IN_PLACE, lowest, op=MPI.MIN), lowest)
        return bool(lowest[0])

    def reserve(self, size: int) -> bool:
        """Make halves of at least `size` bytes; whether that went well on all ranks. Collective.

        What was written before is gone. Where it did not go well, it is not tried again.
        """
        size = -(-size // HEAD) * HEAD  # as halves are
        if not self.usable or size <= self._half:
            return self.usable
        self.trim()
        node = self._node
        each = -(-(HEAD + 2 * size) // GRAIN) * GRAIN
        token, made = b"", -1
        with suppress(Exception):  # whatever it is: there are messages
            token = os.urandom(HEAD // 2)
            made = _made(each * node.size, token) if node.rank == 0 else -1
        process, descriptor, token = node.bcast((os.getpid(), made, token))
        memory: np.ndarray | None = None
        with suppress(Exception):
            memory = _opened(process, descriptor, each, token, node.rank)
        self.usable = self._all(memory is not None)
        if made >= 0:
            quietly(os.close, made)
        if self.usable and memory is not None:
            self._size = each
            self._maps = dict(zip(self.near, memory.reshape(node.size, each), strict=True))
        return self.usable

    @property
    def _half(self) -> int:
        return max(0, self._size - HEAD) // 2 // HEAD * HEAD

    def half(self, rank: int) -> np.ndarray:
        """The bytes that `rank` of this node fills in this turn. Local."""
        begin = HEAD + self._turn * self._half
        return self._maps[rank][begin : begin + self._half]

    def meet(self) -> None:
        """Wait until the ranks of the node have filled their halves. Collective.

        They may be read until the next call, while the other halves are filled.
        """
        # Polled: a blocking call would take the core from threads that read and write.
        complete(self._comm, self._node.Ibarrier(), NOTHING)

    def turn(self) -> None:
        """Go on to the other halves. Local; all ranks do it alike."""
        self._turn = 1 - self._turn

    def trim(self) -> None:
        """Give up the memory. Local; all ranks do it alike."""
        self._maps, self._size = {}, 0


def _made(size: int, token: bytes) -> int:
    """A descriptor of new anonymous memory that begins with the token."""
    descriptor = os.memfd_create("mpimages", os.MFD_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        os.pwrite(descriptor, token, 0)
    except BaseException:
        quietly(os.close, descriptor)
        raise
    return descriptor


def _opened(process: int, descriptor: int, size: int, token: bytes, part: int) -> np.ndarray:
    """The memory of a process of this node, of which this one will write to a part."""
    # Where ranks run in containers of their own, this may be quite another process' file.
    way = os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK
    opened = os.open(f"/proc/{process}/fd/{descriptor}", way)
    try:
        if not token or os.pread(opened, len(token), 0) != token:
            raise OSError("another file than the one that was meant")
        # Now, and not when it is written to: there a lack of memory would end the process.
        # And by the one that will write: it gets the memory that is near to it.
        os.posix_fallocate(opened, part * size, size)
        return np.frombuffer(mmap.mmap(opened, 0), dtype=np.uint8)
    finally:
        quietly(os.close, opened)
