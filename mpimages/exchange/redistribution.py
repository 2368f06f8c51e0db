"""Redistribution of images, each whole on one rank, into blocks of pixels with all times.

Every rank owns a range of the images and shall own a range of the pixels. The global array,
(images, pixels), is partitioned along the first axis before, and along the second afterwards:

    images[own images, :]  ──►  series[own pixels, all images]

Every step moves the next few pixels of each rank's range. The sender transposes its part of
them: the data for one rank are then one contiguous run, (pixels, own images). The receiver copies
each sender's part into its columns. A rank transposes what it keeps directly into its place.

There are two transports. Ranks of one node use shared memory, in turns so small that what one
rank has written is still in a cache when another reads it: each byte crosses the memory bus
twice instead of five times. Other ranks use one Alltoallv per step.

A round of a conversion is one redistribution, of a band of pixels.

Libraries such as mpi4py-fft lack three things that this one needs: steps that bound the memory
and keep every MPI count below 2**31, ranks that may fail in between, and shared memory.
"""

from __future__ import annotations

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

# Bytes that a rank writes into its shared memory in a turn. If it were less, ranks with short
# delays would wait for each other in every turn; if it were more, it would not stay in a cache.
TURN_BYTES = 4 << 20
# Minimum bytes of each image that a turn reads, if the image has as many: whole memory pages.
RUN_BYTES = 1 << 10
# The send and the receive buffer of a rank.
Buffers = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Images:
    """The flattened images of one rank, and the pixels of them that are moved.

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
        """Set out[i, t] = values[t, positions[start + i]] for the pixels [start, stop)."""
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
        The owner of each image, and the receiver of each pixel.
    dtype : numpy.dtype
    limit : int
        Approximate maximum of the bytes that a rank sends or receives in one step.
    segments : Segments, optional
        Shared memory of the ranks of a node; without it only messages are used.

    Attributes
    ----------
    width : int
        Pixels that a rank receives in one step.
    steps : int
    """

    def __init__(
        self,
        images: Partition,
        pixels: Partition,
        dtype: np.dtype,
        limit: int,
        segments: Segments | None = None,
    ) -> None:
        self.images = images
        self.pixels = pixels
        self.dtype = dtype
        # A rank receives the width of all images, and sends the width of its own to every rank.
        most = max(images.count, pixels.parts * max(images.counts), 1)
        self.width = max(1, limit // (most * dtype.itemsize))
        self.steps = -(-max(pixels.counts) // self.width)
        self._shared = _SharedMemory.fitting(self, segments)

    def pixels_of(self, rank: int, step: int) -> tuple[int, int]:
        """Return the range of pixels that `rank` receives in a step; empty once it has all."""
        start, stop = self.pixels.bounds(rank)
        begin = min(stop, start + step * self.width)
        return begin, min(stop, begin + self.width)

    def execute(
        self,
        comm: MPI.Intracomm,
        images: np.ndarray,
        positions: Positions,
        workspace: Workspace,
        out: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Move the pixels, one step at a time. Collective: every rank takes part in every step.

        An error on one rank is raised on all of them, at the end.

        Parameters
        ----------
        images : (n, p) ndarray
            This rank's images, flattened.
        positions : ascending ints
            The pixels that are moved: number i of the redistribution is pixel positions[i].
        workspace : Workspace
            The provider of large arrays.
        out : (own pixels, images) ndarray, optional
            The array for the result; without it the blocks of all steps share one buffer.

        Yields
        ------
        (k, images) ndarray
            The next k of this rank's pixels, valid until the next step.
        """
        rows = min(self.width, self.pixels.counts[comm.rank])
        self.reserve()
        with Together(comm, "toSeries"):
            block = workspace.empty((rows, self.images.count), self.dtype) if out is None else out
            buffers = self.buffers(comm.rank, max(self.pixels.counts), workspace)
        together = Together(comm, "toSeries")
        own = _Images(images, positions)
        for step in range(self.steps):
            start, stop = self.pixels_of(comm.rank, step)
            begin = 0 if out is None else start - self.pixels.offsets[comm.rank]
            target = block[begin : begin + stop - start]
            self._move(together, own, step, buffers, target)
            yield target
        together.agree()

    def reserve(self) -> None:
        """Make the shared memory large enough; use messages if that fails. Collective."""
        if self._shared is not None and not self._shared.reserve():
            self._shared = None

    def buffers(self, rank: int, most: int, workspace: Workspace) -> Buffers:
        """Return the (send, receive) buffers of a rank if no rank gets more than `most` pixels.

        Local; call `reserve` first.
        """
        near = self._near(rank)
        rows, own = min(self.width, most), self.images.counts[rank]
        far = self.images.count - sum(self.images.counts[other] for other in near)
        send = workspace.empty((rows * (self.pixels.parts - len(near)) * own,), self.dtype)
        return send, workspace.empty((rows * far,), self.dtype)

    def execute_within(
        self, together: Together, images: np.ndarray, buffers: Buffers, out: np.ndarray
    ) -> None:
        """Move all pixels into out, (own pixels, images). Collective.

        `together` holds an error of a rank: out is valid only after its ranks have agreed.
        `images` is as in `execute`; on a rank that has failed already it may be any array.
        """
        own, first = (
            _Images(images, range(self.pixels.count)),
            self.pixels.offsets[together.comm.rank],
        )
        for step in range(self.steps):
            start, stop = self.pixels_of(together.comm.rank, step)
            self._move(together, own, step, buffers, out[start - first : stop - first])

    def _near(self, rank: int) -> tuple[int, ...]:
        """Return the ranks with which `rank` exchanges without messages, including itself."""
        return (rank,) if self._shared is None else self._shared.segments.nodes.near

    def _move(
        self, together: Together, images: _Images, step: int, buffers: Buffers, target: np.ndarray
    ) -> None:
        """Run one step; this rank's pixels go into `target`. Collective."""
        comm, shared = together.comm, self._shared
        messages = _Messages(self, step, self._near(comm.rank))
        with phase("exchange", target.nbytes):
            if comm.size > 1 and (shared is None or shared.segments.nodes.several):
                with together.attempt():
                    messages.pack(comm.rank, images, buffers[0])
                messages.exchange(comm, *buffers)
            with together.attempt():
                own = slice(*self.images.bounds(comm.rank))
                images.transpose(*self.pixels_of(comm.rank, step), target[:, own])
                messages.unpack(buffers[1], target)
            if shared is not None:
                shared.exchange(together, images, step, target)


class _Messages:
    """One step between ranks of different nodes, by Alltoallv."""

    def __init__(self, plan: Redistribution, step: int, near: tuple[int, ...]) -> None:
        self._plan = plan
        self._step = step
        self._near = near
        self._far = [rank for rank in range(plan.pixels.parts) if rank not in near]

    def pack(self, own: int, images: _Images, send: np.ndarray) -> None:
        """Transpose the data for each rank into the send buffer, in rank order. Local."""
        n, filled = len(images), 0
        for rank in self._far:
            start, stop = self._plan.pixels_of(rank, self._step)
            part = send[filled : filled + (stop - start) * n].reshape(stop - start, n)
            images.transpose(start, stop, part)
            filled += part.size

    def exchange(self, comm: MPI.Intracomm, send: np.ndarray, receive: np.ndarray) -> None:
        """Send and receive. Collective."""
        plan, size = self._plan, self._plan.dtype.itemsize
        n = plan.images.counts[comm.rank] * size
        ranges = [plan.pixels_of(rank, self._step) for rank in range(comm.size)]
        sent = [(stop - start) * n for start, stop in ranges]
        start, stop = ranges[comm.rank]
        received = [(stop - start) * count * size for count in plan.images.counts]
        for rank in self._near:
            sent[rank] = received[rank] = 0
        there = receive.view(np.uint8)
        complete(
            comm,
            comm.Ialltoallv([send.view(np.uint8), sent, MPI.BYTE], [there, received, MPI.BYTE]),
            there,
            bulk=True,
        )

    def unpack(self, receive: np.ndarray, target: np.ndarray) -> None:
        """Copy the data from each rank into the columns of its images. Local."""
        filled = 0
        for rank in self._far:
            first, last = self._plan.images.bounds(rank)
            part = receive[filled : filled + len(target) * (last - first)]
            target[:, first:last] = part.reshape(len(target), last - first)
            filled += part.size


class _SharedMemory:
    """The steps among the ranks of a node, in turns through shared memory.

    Each segment has two halves. A rank fills one while the others may still read the other, so
    that one barrier per turn is enough.
    """

    def __init__(self, plan: Redistribution, segments: Segments, turn: int, each: int) -> None:
        self._plan = plan
        self.segments = segments
        self._turn_pixels = turn  # of each rank
        self._bytes = turn * each

    @classmethod
    def fitting(cls, plan: Redistribution, segments: Segments | None) -> _SharedMemory | None:
        """Return None without segments, or if too many ranks share them for a useful size."""
        if segments is None or not segments.usable:
            return None
        size, members = plan.dtype.itemsize, segments.nodes.members
        counts = zip(plan.images.counts, segments.nodes.of, strict=True)
        # Bytes that the busiest rank writes for one pixel of each of the others.
        each = size * max(1, *(n * (len(members[node]) - 1) for n, node in counts))
        run = min(plan.width, RUN_BYTES // size)
        turn = min(plan.width, max(TURN_BYTES // each, run), segments.most // each)
        if turn < run:
            return None
        if turn > HEAD:
            turn -= turn % HEAD  # turns begin at cache lines
        return cls(plan, segments, turn, each)

    def reserve(self) -> bool:
        """Make the segments large enough; return True on success. Collective."""
        return self.segments.reserve(self._bytes)

    def exchange(self, together: Together, images: _Images, step: int, target: np.ndarray) -> None:
        """Run one step. Collective."""
        plan, segments, own = self._plan, self.segments, together.comm.rank
        ranges = {rank: plan.pixels_of(rank, step) for rank in segments.nodes.near}
        widest = max(stop - start for start, stop in ranges.values())
        for begin in range(0, widest, self._turn_pixels):
            pieces = {
                rank: (min(stop, start + begin), min(stop, start + begin + self._turn_pixels))
                for rank, (start, stop) in ranges.items()
            }
            with together.attempt():
                half, n = segments.half(own), len(images)
                for rank, place in self._places(own, n, pieces).items():
                    start, stop = pieces[rank]
                    images.transpose(start, stop, self._rows(half, place, stop - start, n))
            segments.meet()
            with together.attempt():
                start, stop = pieces[own]
                for rank in segments.nodes.near:
                    if rank == own:
                        continue
                    first, last = plan.images.bounds(rank)
                    place = self._places(rank, last - first, pieces)[own]
                    part = self._rows(segments.half(rank), place, stop - start, last - first)
                    target[begin : begin + stop - start, first:last] = part
            segments.turn()

    def _places(self, sender: int, n: int, pieces: dict[int, tuple[int, int]]) -> dict[int, int]:
        """Return the offsets in bytes of the others' pieces in the half of a sender of n images."""
        places, filled = {}, 0
        for rank, (start, stop) in pieces.items():
            if rank != sender:
                places[rank] = filled
                filled += (stop - start) * n * self._plan.dtype.itemsize
        return places

    def _rows(self, memory: np.ndarray, place: int, rows: int, columns: int) -> np.ndarray:
        """Return a (rows, columns) view of the values at the offset `place` of a half."""
        dtype = self._plan.dtype
        size = rows * columns * dtype.itemsize
        return memory[place : place + size].view(dtype).reshape(rows, columns)
