"""The transposition: images, each whole on one rank, become blocks of pixels with all times.

Every rank owns a range of the images and is to own a range of the pixels. In each round every
rank gets the next few pixels of its range from all others: the sender transposes its images'
part of them (pixel-major, so that what it sends to one rank is one contiguous run), one
Alltoallv moves the bytes, and the receiver lays each sender's columns side by side. What a rank
has and keeps is turned straight into its place.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any, ClassVar, Protocol

import numpy as np
from mpi4py import MPI

from .chain import Positions, Shape
from .collective import Together
from .kernels.transpose import transpose
from .partition import Partition
from .phases import phase
from .workspace import Workspace

__all__ = ["ExchangePlan", "ExchangeSource", "ImageCollection"]


class ExchangePlan:
    """The redistribution of n images × p pixels from an image to a pixel partition.

    Parameters
    ----------
    images, pixels : Partition
        Which rank has which images, and which rank gets which pixels.
    dtype : numpy.dtype
    limit : int
        About how many bytes of pixels a rank sends or receives in one round, at most.
    """

    def __init__(
        self, images: Partition, pixels: Partition, dtype: np.dtype, limit: int
    ) -> None:
        self.images = images
        self.pixels = pixels
        self.dtype = dtype
        # A rank receives the width of all images, and sends the width of its own to every rank.
        most = max(images.count, pixels.parts * max(images.counts), 1)
        self.width = max(1, limit // (most * dtype.itemsize))
        self.rounds = -(-max(pixels.counts) // self.width)

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
        with Together(comm, "toSeries"):
            block = workspace.empty((rows, self.images.count), self.dtype) if out is None else out
            buffers = self.buffers(comm.rank, max(self.pixels.counts), workspace)
        together = Together(comm, "toSeries")
        for turn in range(self.rounds):
            start, stop = self.band(comm.rank, turn)
            begin = 0 if out is None else start - self.pixels.offsets[comm.rank]
            target = block[begin : begin + stop - start]
            self._turn(together, images, positions, turn, buffers, target)
            yield target
        together.agree()

    def buffers(self, rank: int, most: int, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """What a rank sends from, and receives into, where no rank gets more than `most` pixels.

        Local.
        """
        rows, own = min(self.width, most), self.images.counts[rank]
        send = workspace.empty((rows * (self.pixels.parts - 1) * own,), self.dtype)
        return send, workspace.empty((rows * (self.images.count - own),), self.dtype)

    def execute_within(
        self, together: Together, images: np.ndarray, buffers: tuple[np.ndarray, np.ndarray],
        out: np.ndarray,
    ) -> None:
        """Move all pixels into out, (own pixels, images). Collective.

        What fails on a rank is left to `together`: out is worth nothing until its ranks have
        agreed. `images` is as `execute` has it, or anything on a rank that has failed already.
        """
        first = self.pixels.offsets[together.comm.rank]
        for turn in range(self.rounds):
            start, stop = self.band(together.comm.rank, turn)
            target = out[start - first : stop - first]
            self._turn(together, images, range(self.pixels.count), turn, buffers, target)

    def _turn(
        self, together: Together, images: np.ndarray, positions: Positions, turn: int,
        buffers: tuple[np.ndarray, np.ndarray], target: np.ndarray,
    ) -> None:
        """One round, of which `target` is this rank's. Collective."""
        with phase("exchange", target.nbytes):
            self._move(together, images, positions, turn, buffers, target)

    def _move(
        self, together: Together, images: np.ndarray, positions: Positions, turn: int,
        buffers: tuple[np.ndarray, np.ndarray], target: np.ndarray,
    ) -> None:
        comm, (send, receive) = together.comm, buffers
        start, stop = self.band(comm.rank, turn)
        if comm.size > 1:
            with together.attempt():
                self._pack(comm.rank, images, positions, turn, send)
            self._transfer(comm, turn, send, receive)
        with together.attempt():
            own = slice(*self.images.bounds(comm.rank))
            _transpose_columns(images, positions, start, stop, target[:, own])
            self._unpack(comm.rank, receive, target)

    def _pack(
        self, own: int, images: np.ndarray, positions: Positions, turn: int, send: np.ndarray
    ) -> None:
        n, filled = len(images), 0
        for rank in range(self.pixels.parts):
            if rank == own:
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
        sent[comm.rank] = received[comm.rank] = 0  # turned straight into its place
        comm.Alltoallv([send.view(np.uint8), sent, MPI.BYTE],
                       [receive.view(np.uint8), received, MPI.BYTE])

    def _unpack(self, own: int, receive: np.ndarray, target: np.ndarray) -> None:
        filled = 0
        for rank in range(self.images.parts):
            if rank == own:
                continue
            first, last = self.images.bounds(rank)
            part = receive[filled : filled + len(target) * (last - first)]
            target[:, first:last] = part.reshape(len(target), last - first)
            filled += part.size


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


class ImageCollection(Protocol):
    """What the exchange asks of the images that it transposes."""

    @property
    def count(self) -> int | None: ...
    @property
    def keys(self) -> Positions | None: ...
    @property
    def shape(self) -> Shape | None: ...
    @property
    def kind(self) -> np.dtype | None: ...

    @property
    def collection(self) -> Any:
        """The collection itself."""

    def settle(self) -> None:
        """Find out which images there are. Collective."""

    def share(self) -> tuple[np.ndarray, Partition]:
        """This rank's images, (n,) + dims, and who has which. Collective."""


class ExchangeSource:
    """A Series' records, taken out of a collection of images by exchange."""

    collective: ClassVar[bool] = True

    def __init__(self, comm: MPI.Intracomm, images: ImageCollection) -> None:
        self.comm = comm
        self.images = images
        self._share: tuple[np.ndarray, Partition] | None = None

    @property
    def count(self) -> int | None:
        shape = self.images.shape
        if shape is None or self.images.kind is None or not self.images.count:
            return None  # without images there is nothing to transpose: `prepare` says so
        return int(np.prod(shape, dtype=np.int64))

    @property
    def dims(self) -> Shape | None:
        return None if self.images.count is None else (self.images.count,)

    @property
    def dtype(self) -> np.dtype | None:
        return self.images.kind

    @property
    def partition(self) -> Partition | None:
        return None

    def prepare(self) -> None:
        """Find out how many pixels and images there are. Collective.

        Where only running the images' steps can tell, what they gave is kept for the
        exchange that follows, so that nothing is computed twice.
        """
        self.images.settle()
        if self.images.count == 0:
            raise ValueError("toSeries: the collection has no images")
        if self.images.shape is None or self.images.kind is None:
            self._share = self.images.share()

    def batches(
        self, positions: Positions, partition: Partition, rank: int, limit: int,
        workspace: Workspace,
    ) -> Generator[np.ndarray]:
        block, plan = self._plan(partition, limit)
        yield from plan.execute(self.comm, block, positions, workspace)

    def load(
        self, positions: Positions, partition: Partition, rank: int, out: np.ndarray, limit: int,
        workspace: Workspace, tick: Callable[[int], None],
    ) -> None:
        """The whole of this rank's pixels into out, (n, times). Collective."""
        block, plan = self._plan(partition, limit)
        for moved in plan.execute(self.comm, block, positions, workspace, out):
            tick(len(moved))

    def take_share(self) -> tuple[np.ndarray, Partition] | None:
        """What `prepare` had to compute of the images, once. Local."""
        share, self._share = self._share, None
        return share

    def _plan(self, partition: Partition, limit: int) -> tuple[np.ndarray, ExchangePlan]:
        block, images = self.take_share() or self.images.share()
        flat = np.empty((0, 0))
        with Together(self.comm, "toSeries"):
            flat = np.ascontiguousarray(block).reshape(len(block), self.count or 0)
        return flat, ExchangePlan(images, partition, block.dtype, limit)
