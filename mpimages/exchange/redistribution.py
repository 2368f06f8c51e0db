"""The transposition: images, each whole on one rank, become blocks of pixels with all times.

Every rank owns a range of the images and is to own a range of the pixels. In each round every
rank gets the next few pixels of its range from all others: the sender transposes its images'
part of them (pixel-major, so that what goes to one rank is one contiguous run), and the
receiver lays each sender's columns side by side. What a rank has and keeps is turned straight
into its place. What is sent goes by one of two ways: within a node through memory that its
ranks share, in turns so small that it stays in the cache (`segments`); between nodes, and where
no memory can be shared, by one Alltoallv a round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

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

__all__ = ["Buffers", "ExchangePlan"]

# About what a rank writes into its segment in a turn: others read it out of a cache, and ranks
# that are held up now and then do not wait for each other all the time.
TURN_BYTES = 4 << 20
# So many bytes of each image are read at once, where it has them.
RUN_BYTES = 1 << 10
# What a rank sends messages from, and what it receives them into.
Buffers = tuple[np.ndarray, np.ndarray]


class ExchangePlan:
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
        self._segments: Segments | None = None
        self._step = self._shared_bytes = 0
        if segments is not None and segments.usable:
            self._plan_turns(segments)

    def _plan_turns(self, segments: Segments) -> None:
        """Use the segments, unless so many ranks share them that each has too little. Local."""
        size, there = self.dtype.itemsize, Counter(segments.nodes)
        counts = zip(self.images.counts, segments.nodes, strict=True)
        each = size * max(1, *(n * (there[node] - 1) for n, node in counts))
        run = min(self.width, RUN_BYTES // size)
        step = min(self.width, max(TURN_BYTES // each, run), segments.most // each)
        if step < run:
            return
        if step > HEAD:
            step -= step % HEAD  # turns begin where lines of the cache do
        self._segments, self._step, self._shared_bytes = segments, step, step * each

    def band(self, rank: int, turn: int) -> tuple[int, int]:
        """The pixels that `rank` receives in round `turn`; empty once it has all of its own."""
        start, stop = self.pixels.bounds(rank)
        begin = min(stop, start + turn * self.width)
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
            The pixels that are moved: number i of the plan is pixel positions[i].
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
        for turn in range(self.rounds):
            start, stop = self.band(comm.rank, turn)
            begin = 0 if out is None else start - self.pixels.offsets[comm.rank]
            target = block[begin : begin + stop - start]
            self._round(together, images, positions, turn, buffers, target)
            yield target
        together.agree()

    def reserve(self) -> None:
        """Make the segments large enough; or do without, where that fails. Collective."""
        if self._segments is not None and not self._segments.reserve(self._shared_bytes):
            self._segments = None

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
        first = self.pixels.offsets[together.comm.rank]
        for turn in range(self.rounds):
            start, stop = self.band(together.comm.rank, turn)
            target = out[start - first : stop - first]
            self._round(together, images, range(self.pixels.count), turn, buffers, target)

    def _near(self, rank: int) -> tuple[int, ...]:
        """The ranks with which `rank` exchanges without messages, itself among them."""
        return (rank,) if self._segments is None else self._segments.near

    def _round(
        self, together: Together, images: np.ndarray, positions: Positions, turn: int,
        buffers: Buffers, target: np.ndarray,
    ) -> None:
        """One round, of which `target` is this rank's. Collective."""
        with phase("exchange", target.nbytes):
            self._move(together, images, positions, turn, buffers, target)

    def _move(
        self, together: Together, images: np.ndarray, positions: Positions, turn: int,
        buffers: Buffers, target: np.ndarray,
    ) -> None:
        comm, (send, receive) = together.comm, buffers
        start, stop = self.band(comm.rank, turn)
        messages = comm.size > 1 and (self._segments is None or self._segments.far)
        if messages:
            with together.attempt():
                self._pack(comm.rank, images, positions, turn, send)
            self._transfer(comm, turn, send, receive)
        with together.attempt():
            own = slice(*self.images.bounds(comm.rank))
            _transpose_columns(images, positions, start, stop, target[:, own])
            self._unpack(comm.rank, receive, target)
        if self._segments is not None:
            self._share(together, images, positions, turn, self._segments, target)

    # -- by messages ------------------------------------------------------------------------

    def _pack(
        self, own: int, images: np.ndarray, positions: Positions, turn: int, send: np.ndarray
    ) -> None:
        n, filled, near = len(images), 0, self._near(own)
        for rank in range(self.pixels.parts):
            if rank in near:
                continue
            start, stop = self.band(rank, turn)
            part = send[filled : filled + (stop - start) * n].reshape(stop - start, n)
            _transpose_columns(images, positions, start, stop, part)
            filled += part.size

    def _transfer(
        self, comm: MPI.Intracomm, turn: int, send: np.ndarray, receive: np.ndarray
    ) -> None:
        size = self.dtype.itemsize
        n = self.images.counts[comm.rank] * size
        bands = [self.band(rank, turn) for rank in range(comm.size)]
        sent = [(stop - start) * n for start, stop in bands]
        start, stop = bands[comm.rank]
        received = [(stop - start) * count * size for count in self.images.counts]
        for rank in self._near(comm.rank):
            sent[rank] = received[rank] = 0
        there = receive.view(np.uint8)
        complete(comm, comm.Ialltoallv([send.view(np.uint8), sent, MPI.BYTE],
                                       [there, received, MPI.BYTE]), there)

    def _unpack(self, own: int, receive: np.ndarray, target: np.ndarray) -> None:
        filled, near = 0, self._near(own)
        for rank in range(self.images.parts):
            if rank in near:
                continue
            first, last = self.images.bounds(rank)
            part = receive[filled : filled + len(target) * (last - first)]
            target[:, first:last] = part.reshape(len(target), last - first)
            filled += part.size

    # -- through segments -------------------------------------------------------------------

    def _share(
        self, together: Together, images: np.ndarray, positions: Positions, turn: int,
        segments: Segments, target: np.ndarray,
    ) -> None:
        """One round among the ranks of a node, in turns. Collective."""
        own = together.comm.rank
        bands = {rank: self.band(rank, turn) for rank in segments.near}
        widest = max(stop - start for start, stop in bands.values())
        for begin in range(0, widest, self._step):
            pieces = {rank: (min(stop, start + begin), min(stop, start + begin + self._step))
                      for rank, (start, stop) in bands.items()}
            with together.attempt():
                half, n = segments.half(own), len(images)
                for rank, place in self._places(own, n, pieces).items():
                    start, stop = pieces[rank]
                    part = _rows(half, place, stop - start, n, self.dtype)
                    _transpose_columns(images, positions, start, stop, part)
            segments.meet()
            with together.attempt():
                start, stop = pieces[own]
                for rank in segments.near:
                    if rank == own:
                        continue
                    first, last = self.images.bounds(rank)
                    place = self._places(rank, last - first, pieces)[own]
                    part = _rows(segments.half(rank), place, stop - start, last - first, self.dtype)
                    target[begin : begin + stop - start, first:last] = part
            segments.turn()

    def _places(self, sender: int, n: int, pieces: dict[int, tuple[int, int]]) -> dict[int, int]:
        """Where in the half of a sender with n images the pieces of the others begin, in bytes."""
        places, filled = {}, 0
        for rank, (start, stop) in pieces.items():
            if rank != sender:
                places[rank] = filled
                filled += (stop - start) * n * self.dtype.itemsize
        return places


def _rows(memory: np.ndarray, place: int, rows: int, columns: int, dtype: np.dtype) -> np.ndarray:
    size = rows * columns * dtype.itemsize
    return memory[place : place + size].view(dtype).reshape(rows, columns)


def _transpose_columns(
    images: np.ndarray, positions: Positions, start: int, stop: int, out: np.ndarray
) -> None:
    """out[i, t] = images[t, positions[start + i]]."""
    if isinstance(positions, range) and positions.step == 1:
        columns = images[:, positions.start + start : positions.start + stop]
    else:
        columns = np.take(images, np.asarray(positions[start:stop]), axis=1)
    if out.size:
        transpose(columns, out)
