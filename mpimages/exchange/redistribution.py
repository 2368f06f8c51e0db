"""The redistribution: images, each whole on one rank, become blocks of pixels with all times.

Every rank owns a range of the images and is to own a range of the pixels. The array is global,
(images, pixels); before, it is partitioned along the first axis, afterwards along the second:

    images[own images, :]  ──►  series[own pixels, all images]

Every round moves the next few pixels of each rank's range. The sender transposes its part of
them: what goes to one rank is then one contiguous run, (pixels, own images). The receiver copies
each sender's part into its columns. What a rank keeps is transposed straight into its place.

Two transports move what ranks send each other. Ranks of one node use memory that they share, in
turns so small that what one has written is still in a cache when another reads it: each byte
passes the memory twice instead of five times. Other ranks use one Alltoallv a round.

This is our own, beside mpi4py-fft and the like, for three things: rounds that bound the memory
and keep every MPI count below 2**31, ranks that fail in between, and the shared memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from ..core.partition import Partition
from ..core.timers import phase
from ..core.workspace import Workspace
from ..engine.chain import Positions
from ..kernels.transpose import transpose
from ..spmd.agreement import Together
from ..spmd.shared_memory import HEAD, Segments
from ..spmd.waiting import complete

__all__ = ["Buffers", "Redistribution"]

# Bytes that a rank writes into its shared memory in a turn. Less, and ranks that are held up now
# and then wait for each other in every turn; more, and others no longer read it out of a cache.
TURN_BYTES = 4 << 20
# Bytes of each image that a turn reads at least, where the image has them: whole pages of it.
RUN_BYTES = 1 << 10
# What a rank sends messages from, and what it receives them into.
Buffers = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Images:
    """One rank's images, flattened, of which some pixels are moved.

    Attributes
    ----------
    values : (n, p) ndarray
    positions : ascending ints
        Number i of the redistribution is pixel positions[i].
    """

    values: np.ndarray
    positions: Positions

    def __len__(self) -> int:
        return len(self.values)

    def transpose(self, start: int, stop: int, out: np.ndarray) -> None:
        """out[i, t] = values[t, positions[start + i]], for pixels start … stop."""
        positions = self.positions
        if isinstance(positions, range) and positions.step == 1:
            columns = self.values[:, positions.start + start : positions.start + stop]
        else:
            columns = np.take(self.values, np.asarray(positions[start:stop]), axis=1)
        if out.size:
            transpose(columns, out)


class Redistribution:
    """The redistribution of n images × p pixels from an image to a pixel partition.

    Parameters
    ----------
    images, pixels : Partition
        Which rank has which images, and which rank gets which pixels.
    dtype : numpy.dtype
    limit : int
        About how many bytes of pixels a rank sends or receives in one round, at most.
    segments : Segments, optional
        The memory that the ranks of a node share; without it there are only messages.

    Attributes
    ----------
    width : int
        The pixels that a rank receives in one round.
    rounds : int
    """

    def __init__(
        self, images: Partition, pixels: Partition, dtype: np.dtype, limit: int,
        segments: Segments | None = None,
    ) -> None:
        self.images = images
        self.pixels = pixels
        self.dtype = dtype
        # A rank receives the width of all images, and sends the width of its own to every rank.
        most = max(images.count, pixels.parts * max(images.counts), 1)
        self.width = max(1, limit // (most * dtype.itemsize))
        self.rounds = -(-max(pixels.counts) // self.width)
        self._shared = _SharedMemory.fitting(self, segments)

    def band(self, rank: int, number: int) -> tuple[int, int]:
        """The pixels that `rank` receives in a round; empty once it has all of its own."""
        start, stop = self.pixels.bounds(rank)
        begin = min(stop, start + number * self.width)
        return begin, min(stop, begin + self.width)

    def execute(
        self, comm: MPI.Intracomm, images: np.ndarray, positions: Positions, workspace: Workspace,
        out: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Move the pixels, a round at a time. Collective: every rank takes every round.

        What fails on a rank is raised on all of them, at the end.

        Parameters
        ----------
        images : (n, p) ndarray
            This rank's images, flattened.
        positions : ascending ints
            The pixels that are moved: number i of the redistribution is pixel positions[i].
        workspace : Workspace
            Where large arrays come from.
        out : (own pixels, images) ndarray, optional
            Where to put the result; without it each round's block lives in one buffer.

        Yields
        ------
        (k, images) ndarray
            The next k of this rank's pixels, valid until the next round.
        """
        rows = min(self.width, self.pixels.counts[comm.rank])
        self.reserve()
        with Together(comm, "toSeries"):
            block = workspace.empty((rows, self.images.count), self.dtype) if out is None else out
            buffers = self.buffers(comm.rank, max(self.pixels.counts), workspace)
        together = Together(comm, "toSeries")
        own = _Images(images, positions)
        for number in range(self.rounds):
            start, stop = self.band(comm.rank, number)
            begin = 0 if out is None else start - self.pixels.offsets[comm.rank]
            target = block[begin : begin + stop - start]
            self._move(together, own, number, buffers, target)
            yield target
        together.agree()

    def reserve(self) -> None:
        """Make the shared memory large enough; do without, where that fails. Collective."""
        if self._shared is not None and not self._shared.reserve():
            self._shared = None

    def buffers(self, rank: int, most: int, workspace: Workspace) -> Buffers:
        """What a rank sends messages from, and receives them into, where no rank gets more than
        `most` pixels: a (send, receive) pair. After `reserve`. Local."""
        near = self._near(rank)
        rows, own = min(self.width, most), self.images.counts[rank]
        far = self.images.count - sum(self.images.counts[other] for other in near)
        send = workspace.empty((rows * (self.pixels.parts - len(near)) * own,), self.dtype)
        return send, workspace.empty((rows * far,), self.dtype)

    def execute_within(
        self, together: Together, images: np.ndarray, buffers: Buffers, out: np.ndarray
    ) -> None:
        """Move all pixels into out, (own pixels, images). Collective.

        What fails on a rank is left to `together`: out is worth nothing until its ranks have
        agreed. `images` is as `execute` has it, or anything on a rank that has failed already.
        """
        own, first = _Images(images, range(self.pixels.count)), \
            self.pixels.offsets[together.comm.rank]
        for number in range(self.rounds):
            start, stop = self.band(together.comm.rank, number)
            self._move(together, own, number, buffers, out[start - first : stop - first])

    def _near(self, rank: int) -> tuple[int, ...]:
        """The ranks with which `rank` exchanges without messages, itself among them."""
        return (rank,) if self._shared is None else self._shared.segments.near

    def _move(
        self, together: Together, images: _Images, number: int, buffers: Buffers,
        target: np.ndarray,
    ) -> None:
        """One round, of which `target` is this rank's. Collective."""
        comm, shared = together.comm, self._shared
        messages = _Messages(self, number, self._near(comm.rank))
        with phase("exchange", target.nbytes):
            if comm.size > 1 and (shared is None or shared.segments.far):
                with together.attempt():
                    messages.pack(comm.rank, images, buffers[0])
                messages.exchange(comm, *buffers)
            with together.attempt():
                own = slice(*self.images.bounds(comm.rank))
                images.transpose(*self.band(comm.rank, number), target[:, own])
                messages.unpack(buffers[1], target)
            if shared is not None:
                shared.exchange(together, images, number, target)


class _Messages:
    """One round between the ranks that are not near each other, by Alltoallv."""

    def __init__(self, plan: Redistribution, number: int, near: tuple[int, ...]) -> None:
        self._plan = plan
        self._number = number
        self._near = near
        self._far = [rank for rank in range(plan.pixels.parts) if rank not in near]

    def pack(self, own: int, images: _Images, send: np.ndarray) -> None:
        """Transpose what goes to each rank, one after the other. Local."""
        n, filled = len(images), 0
        for rank in self._far:
            start, stop = self._plan.band(rank, self._number)
            part = send[filled : filled + (stop - start) * n].reshape(stop - start, n)
            images.transpose(start, stop, part)
            filled += part.size

    def exchange(self, comm: MPI.Intracomm, send: np.ndarray, receive: np.ndarray) -> None:
        """Send and receive. Collective."""
        plan, size = self._plan, self._plan.dtype.itemsize
        n = plan.images.counts[comm.rank] * size
        bands = [plan.band(rank, self._number) for rank in range(comm.size)]
        sent = [(stop - start) * n for start, stop in bands]
        start, stop = bands[comm.rank]
        received = [(stop - start) * count * size for count in plan.images.counts]
        for rank in self._near:
            sent[rank] = received[rank] = 0
        there = receive.view(np.uint8)
        complete(comm, comm.Ialltoallv([send.view(np.uint8), sent, MPI.BYTE],
                                       [there, received, MPI.BYTE]), there)

    def unpack(self, receive: np.ndarray, target: np.ndarray) -> None:
        """Copy what each rank has sent into the columns of its images. Local."""
        filled = 0
        for rank in self._far:
            first, last = self._plan.images.bounds(rank)
            part = receive[filled : filled + len(target) * (last - first)]
            target[:, first:last] = part.reshape(len(target), last - first)
            filled += part.size


class _SharedMemory:
    """The rounds among the ranks of a node, in turns through memory that they share.

    Each segment has two halves: a rank fills one while the others may still read the other, so
    that one barrier a turn is enough.
    """

    def __init__(self, plan: Redistribution, segments: Segments, step: int, each: int) -> None:
        self._plan = plan
        self.segments = segments
        self._step = step  # pixels of each rank in a turn
        self._bytes = step * each

    @classmethod
    def fitting(cls, plan: Redistribution, segments: Segments | None) -> _SharedMemory | None:
        """None without segments, and where so many ranks share them that each has too little."""
        if segments is None or not segments.usable:
            return None
        size, there = plan.dtype.itemsize, Counter(segments.nodes)
        counts = zip(plan.images.counts, segments.nodes, strict=True)
        # What the busiest rank writes for one pixel of each of the others.
        each = size * max(1, *(n * (there[node] - 1) for n, node in counts))
        run = min(plan.width, RUN_BYTES // size)
        step = min(plan.width, max(TURN_BYTES // each, run), segments.most // each)
        if step < run:
            return None
        if step > HEAD:
            step -= step % HEAD  # turns begin where lines of the cache do
        return cls(plan, segments, step, each)

    def reserve(self) -> bool:
        """Make the segments large enough; whether that went well. Collective."""
        return self.segments.reserve(self._bytes)

    def exchange(
        self, together: Together, images: _Images, number: int, target: np.ndarray
    ) -> None:
        """One round. Collective."""
        plan, segments, own = self._plan, self.segments, together.comm.rank
        bands = {rank: plan.band(rank, number) for rank in segments.near}
        widest = max(stop - start for start, stop in bands.values())
        for begin in range(0, widest, self._step):
            pieces = {rank: (min(stop, start + begin), min(stop, start + begin + self._step))
                      for rank, (start, stop) in bands.items()}
            with together.attempt():
                half, n = segments.half(own), len(images)
                for rank, place in self._places(own, n, pieces).items():
                    start, stop = pieces[rank]
                    images.transpose(start, stop, self._rows(half, place, stop - start, n))
            segments.meet()
            with together.attempt():
                start, stop = pieces[own]
                for rank in segments.near:
                    if rank == own:
                        continue
                    first, last = plan.images.bounds(rank)
                    place = self._places(rank, last - first, pieces)[own]
                    part = self._rows(segments.half(rank), place, stop - start, last - first)
                    target[begin : begin + stop - start, first:last] = part
            segments.turn()

    def _places(self, sender: int, n: int, pieces: dict[int, tuple[int, int]]) -> dict[int, int]:
        """Where in the half of a sender with n images the pieces of the others begin, in bytes."""
        places, filled = {}, 0
        for rank, (start, stop) in pieces.items():
            if rank != sender:
                places[rank] = filled
                filled += (stop - start) * n * self._plan.dtype.itemsize
        return places

    def _rows(self, memory: np.ndarray, place: int, rows: int, columns: int) -> np.ndarray:
        """(rows, columns) of the values that begin at a place in a half."""
        dtype = self._plan.dtype
        size = rows * columns * dtype.itemsize
        return memory[place : place + size].view(dtype).reshape(rows, columns)
