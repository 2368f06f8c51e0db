"""Redistribution of images, each whole on one rank, into blocks of pixels with all times.

Every rank owns a range of the images and shall own a range of the pixels. The global array,
(images, pixels), is partitioned along the first axis before, and along the second afterwards:

    images[own images, :]  ──►  series[own pixels, all images]

Ranks that share memory are a *group*: those of one node; without shared memory each rank is a
group of its own. A *turn* moves the next few pixels of each rank's range:

1. Each rank transposes its images into one *parcel* for each group: (pixels of the ranks of the
   group, own images). Each parcel goes in one message to one rank of the group, its *holder*. The
   parcel for the own group is not sent: the rank itself is its holder.
2. Each rank copies from every parcel that its group holds the rows that are its own pixels, into
   the columns of the sender's images. Parcels lie in shared memory. What a rank keeps it
   transposes directly into its place.

So R ranks on H nodes send R·(H − 1) messages in a turn, and every pixel crosses a link once.

Two turns are on their way at a time: while one is copied, the parcels of the next are sent. MPI
moves messages only while it is called, so that ranks call it now and then while they work. A turn
is so small that what is written is still in a cache when it is read.

A round of a conversion is one redistribution, of a band of pixels. Turns of several rounds may
follow each other in one `move`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from mpi4py import MPI

from ..core.cleanup import quietly
from ..core.partition import Partition
from ..core.timers import phase
from ..core.workspace import Workspace
from ..engine.chain import Positions
from ..kernels.transpose import transpose
from ..spmd.agreement import Together
from ..spmd.collectives import Transfer
from ..spmd.shared_memory import HEAD, Segments

__all__ = ["Buffers", "Columns", "Redistribution", "Turn", "move"]

# Bytes that a rank writes into its shared memory in a turn. If it were less, ranks with short
# delays would wait for each other in every turn; if it were more, it would not stay in a cache.
TURN_BYTES = 4 << 20
# Maximum bytes that a rank sends, and that it receives, in a turn.
MESSAGE_BYTES = 1 << 20
# Minimum bytes of each image that a turn reads, if the image has as many: whole memory pages.
RUN_BYTES = 1 << 10
# Bytes that a rank transposes or copies between two calls of MPI.
POLL_BYTES = 512 << 10


class Columns(Protocol):
    """Which columns of an array are moved: numbers that are known when they are asked for.

    A range or an ndarray is one.
    """

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice, /) -> Positions: ...


# Some images of each rank: from which number in its range to which.
Part = tuple[int, int]
# The send and the receive buffers of a rank, of two turns each: (2, bytes).
Buffers = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Images:
    """The flattened images of one rank, and the pixels of them that are moved.

    Attributes
    ----------
    values : (n, p) ndarray
    positions : Columns
        Number i of the redistribution is pixel positions[i].
    """

    values: np.ndarray
    positions: Columns

    def transpose(self, start: int, stop: int, out: np.ndarray) -> None:
        """Set out[i, t] = values[t, positions[start + i]] for the pixels [start, stop)."""
        if not out.size:
            return
        part = self.positions[start:stop]
        if isinstance(part, range) and part.step == 1:
            columns = self.values[:, part.start : part.stop]
        else:
            columns = np.take(self.values, np.asarray(part), axis=1)
        transpose(columns, out)


class _Groups:
    """The groups of ranks that share memory, and the holders of the parcels.

    Attributes
    ----------
    members : tuple of tuple of int
        The ranks of each group, ascending.
    """

    def __init__(self, members: tuple[tuple[int, ...], ...]) -> None:
        self.members = members
        self._held: dict[int, list[int]] = {}
        self._places = {  # in the order of the ranks
            rank: (number, place)
            for rank, number, place in sorted(
                (rank, number, place)
                for number, group in enumerate(members)
                for place, rank in enumerate(group)
            )
        }

    def of(self, rank: int) -> int:
        """Return the group of a rank."""
        return self._places[rank][0]

    def holder(self, sender: int, group: int) -> int:
        """Return the rank that holds the sender's parcel for a group.

        The senders of a group have different holders, if there are as many.
        """
        own, place = self._places[sender]
        members = self.members[group]
        return sender if own == group else members[(own + place) % len(members)]

    def held(self, rank: int) -> list[int]:
        """Return the other groups' ranks of which `rank` holds the parcels, ascending."""
        if rank not in self._held:
            group = self.of(rank)
            self._held[rank] = [
                other
                for other, (own, _) in self._places.items()
                if own != group and self.holder(other, group) == rank
            ]
        return self._held[rank]

    def received(self, counts: tuple[int, ...]) -> list[int]:
        """Return how many images of other groups each rank holds."""
        loads = {len(group): [0] * len(group) for group in self.members}
        for rank, (own, place) in self._places.items():
            for size, load in loads.items():
                load[(own + place) % size] += counts[rank]
        found = []
        for own, place in self._places.values():
            group = self.members[own]
            same = group[(place - own) % len(group)]  # of the own group, which is not sent
            found.append(loads[len(group)][place] - counts[same])
        return found

    def others(self, rank: int) -> list[int]:
        """Return the other groups, from the next one on: not all ranks begin with the same."""
        own, count = self.of(rank), len(self.members)
        return [(own + distance) % count for distance in range(1, count)]


class Redistribution:
    """The redistribution of n images × p pixels from an image to a pixel partition.

    Parameters
    ----------
    images, pixels : Partition
        The owner of each image, and the receiver of each pixel.
    dtype : numpy.dtype
    limit : int
        Approximate maximum of the bytes of a block, of what a rank sends in two turns, and of
        what it receives in two.
    segments : Segments, optional
        Shared memory of the ranks of a node; without it only messages are used.
    tall : bool
        The images are many, so that turns move some pixels of a few images of each rank; otherwise
        they move a few pixels of all images.

    Attributes
    ----------
    width : int
        Pixels of a block, of each rank.
    chunk : int
        Images of a turn, of each rank.
    groups : _Groups
    turn : int
        Pixels of a turn, of each rank.
    segments : Segments or None
        None if they are not used.
    """

    def __init__(
        self,
        images: Partition,
        pixels: Partition,
        dtype: np.dtype,
        limit: int,
        segments: Segments | None = None,
        tall: bool = False,
    ) -> None:
        self.images = images
        self.pixels = pixels
        self.dtype = dtype
        # A rank receives the width of all images, and sends the width of its own to every rank.
        most = max(images.count, pixels.parts * max(images.counts), 1)
        self.width = max(1, limit // (most * dtype.itemsize))
        self._limit = limit
        self._tall = tall
        self.chunk = max(1, *images.counts)
        if tall:
            run = min(self.width, max(1, *pixels.counts), max(1, RUN_BYTES // dtype.itemsize))
            shared = segments if segments is not None and segments.usable else None
            self.turn = run
            members = tuple((rank,) for rank in range(pixels.parts))
            self._lay_out(shared, members if shared is None else shared.nodes.members, run)
            return
        turn = 0 if segments is None or not segments.usable else self._shared_turn(segments)
        if segments is not None and turn > 0:
            self._lay_out(segments, segments.nodes.members, turn)
        else:
            self._lay_out(None, tuple((rank,) for rank in range(pixels.parts)), self.width)

    def _shared_turn(self, segments: Segments) -> int:
        """Return the pixels of a turn through shared memory; 0 if too many ranks share it."""
        size, nodes = self.dtype.itemsize, segments.nodes
        counts = zip(self.images.counts, nodes.of, strict=True)
        # Bytes that the busiest rank writes for one pixel of each of the others of its node.
        each = size * max(1, *(n * (len(nodes.members[node]) - 1) for n, node in counts))
        run = min(self.width, RUN_BYTES // size)
        turn = min(self.width, max(TURN_BYTES // each, run), segments.most // each)
        return turn if turn >= run else 0

    def _lay_out(
        self, segments: Segments | None, members: tuple[tuple[int, ...], ...], turn: int
    ) -> None:
        """Choose the groups, and at most `turn` pixels for a turn."""
        self.segments = segments
        self.groups = _Groups(members)
        if self._tall:
            self._cut_rows()
            return
        self._received = self.groups.received(self.images.counts)
        most = max(max(self._bytes(rank, 1)[1:]) for rank in range(self.pixels.parts))
        turn = max(1, min(turn, min(MESSAGE_BYTES, self._limit // 2) // max(1, most)))
        self.turn = turn - turn % HEAD if turn > HEAD else turn  # turns begin at cache lines

    def _cut_rows(self) -> None:
        """Choose how many images of each rank a turn moves."""
        self.chunk = 1
        self._received = self.groups.received(self._counts)
        each = [self._bytes(rank, self.turn) for rank in range(self.pixels.parts)]
        near = max(near for near, _, _ in each)
        sent = max(max(far, received) for _, far, received in each)
        # Longer messages than in other turns: large pieces are long runs of each image.
        chunk = min(
            TURN_BYTES // max(near, self.turn * self.dtype.itemsize),
            min(TURN_BYTES, self._limit // 2) // max(1, sent),
        )
        if self.segments is not None:
            held = max(near + received for near, _, received in each)
            chunk = min(chunk, self.segments.most // max(1, held))
        chunk -= chunk % HEAD if chunk > HEAD else 0  # parts begin at cache lines
        self.chunk = max(1, min(chunk, max(self.images.counts)))
        self._received = self.groups.received(self._counts)

    @property
    def _counts(self) -> tuple[int, ...]:
        """The images of a turn, of each rank."""
        return tuple(min(count, self.chunk) for count in self.images.counts)

    def _bytes(self, rank: int, turn: int) -> tuple[int, int, int]:
        """Return the bytes of a rank's parcels, in a turn of at most `turn` pixels of each rank.

        That of the one for its own group, of those that it sends, and of those that it receives.
        """
        near = len(self.groups.members[self.groups.of(rank)])
        own = min(self.images.counts[rank], self.chunk) * turn * self.dtype.itemsize
        received = self._received[rank] * near * turn * self.dtype.itemsize
        return own * (near - 1), own * (self.pixels.parts - near), received

    def pixels_of(self, rank: int, begin: int, end: int) -> tuple[int, int]:
        """Return the pixels of `rank` from its number `begin` to `end`; empty once it has all."""
        start, stop = self.pixels.bounds(rank)
        return min(stop, start + begin), min(stop, start + end)

    def images_of(self, rank: int, part: Part) -> slice:
        """Return which of all images a turn moves of a rank: its own from part[0] to part[1]."""
        start, stop = self.images.bounds(rank)
        return slice(min(stop, start + part[0]), min(stop, start + part[1]))

    def rows(self, sender: int, group: int, begin: int, end: int) -> dict[int, slice]:
        """Return which rows of a parcel are for which rank: a sender keeps its own."""
        found, filled = {}, 0
        for rank in self.groups.members[group]:
            if rank != sender:
                start, stop = self.pixels_of(rank, begin, end)
                found[rank] = slice(filled, filled + stop - start)
                filled += stop - start
        return found

    def parcels(
        self,
        memory: np.ndarray,
        parcels: Iterable[tuple[int, int]],
        begin: int,
        end: int,
        part: Part,
    ) -> Iterator[tuple[int, dict[int, slice], np.ndarray]]:
        """Divide memory of bytes into the parcels of (sender, group), which follow each other.

        Yields
        ------
        sender : int
        rows : dict of int to slice
            See `rows`.
        parcel : (pixels, images) ndarray
        """
        filled = 0
        for sender, group in parcels:
            rows = self.rows(sender, group, begin, end)
            images = self.images_of(sender, part)
            shape = (
                max((row.stop for row in rows.values()), default=0),
                images.stop - images.start,
            )
            size = shape[0] * shape[1] * self.dtype.itemsize
            yield sender, rows, memory[filled : filled + size].view(self.dtype).reshape(shape)
            filled += size

    @property
    def messages(self) -> bool:
        """True if there are several groups; the same on all ranks. Local."""
        return len(self.groups.members) > 1

    # -- memory --------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Make the shared memory large enough; use messages if that fails. Collective."""
        if self.segments is None:
            return
        sizes = (self._bytes(rank, self.turn) for rank in range(self.pixels.parts))
        if not self.segments.reserve(max(near + received for near, _, received in sizes)):
            self._lay_out(None, tuple((rank,) for rank in range(self.pixels.parts)), self.width)

    def buffers(self, rank: int, most: int, workspace: Workspace) -> Buffers:
        """Return the buffers of a rank if no rank gets more than `most` pixels.

        Local; call `reserve` first. What comes into shared memory needs no other buffer.
        """
        _, sent, received = self._bytes(rank, min(self.turn, most))
        private = received if self.segments is None else 0
        byte = np.dtype(np.uint8)
        return workspace.empty((2, sent), byte), workspace.empty((2, private), byte)

    # -- moving --------------------------------------------------------------------------------

    def execute(
        self,
        comm: MPI.Intracomm,
        images: np.ndarray,
        positions: Columns,
        workspace: Workspace,
        out: np.ndarray | None = None,
        name: str = "toSeries",
    ) -> Iterator[np.ndarray]:
        """Move the pixels, one block at a time. Collective: all ranks take all of their blocks.

        An error on one rank is raised on all of them, at the end.

        Parameters
        ----------
        images : (n, p) ndarray
            This rank's images, flattened.
        positions : Columns
            The pixels that are moved: number i of the redistribution is pixel positions[i].
        workspace : Workspace
            The provider of large arrays.
        out : (own pixels, images) ndarray, optional
            The array for the result; without it all blocks share one buffer.
        name : str
            What the ranks are doing, for messages.

        Yields
        ------
        (k, images) ndarray
            The next k of this rank's pixels, valid until the next block.
        """
        own, most = self.pixels.counts[comm.rank], max(self.pixels.counts)
        self.reserve()
        with Together(comm, name):
            shape = min(self.width, own), self.images.count
            block = workspace.empty(shape, self.dtype) if out is None else out
            buffers = self.buffers(comm.rank, most, workspace)

        def turns() -> Iterator[Turn]:
            for begin in range(0, most, self.width):
                start, stop = self.pixels_of(comm.rank, begin, begin + self.width)
                first = 0 if out is None else start - self.pixels.offsets[comm.rank]
                target = block[first : first + stop - start]
                yield from self.turns(images, positions, begin, begin + self.width, target)

        together = Together(comm, name)
        for turn in move(together, turns(), buffers):
            if turn.last:
                yield turn.block
        together.agree()

    def turns(
        self, images: np.ndarray, positions: Columns, begin: int, end: int, block: np.ndarray
    ) -> Iterator[Turn]:
        """Yield the turns that move each rank's pixels number `begin` to `end`. Local.

        Parameters
        ----------
        images, positions
            As in `execute`; on a rank that has failed already, images may be any array.
        block : (own pixels, images) ndarray
            The memory for those of this rank.
        """
        end = min(end, max(self.pixels.counts))
        for first in range(begin, end, self.turn):
            last = min(end, first + self.turn)
            target = block[first - begin : last - begin]
            for part in self._parts():
                own = _Images(images[part[0] : part[1]], positions)
                ended = last == end and part[1] >= max(self.images.counts)
                yield Turn(self, own, first, last, target, block, ended, part)

    def _parts(self) -> Iterator[Part]:
        """Yield the numbers, in each rank's range, of the images of successive turns."""
        for first in range(0, max(1, *self.images.counts), self.chunk):
            yield first, first + self.chunk


@dataclass
class Turn:
    """A few pixels of each rank on their way.

    Attributes
    ----------
    plan : Redistribution
    images : _Images
    begin, end : int
        The numbers of the pixels in the range of each rank.
    target : (own pixels, images) ndarray
        The place of this rank's pixels.
    block : ndarray
        The larger array of which `target` is a part.
    last : bool
        True if the block is complete with this turn.
    part : (int, int)
        The numbers of the images in the range of each rank.
    """

    plan: Redistribution
    images: _Images
    begin: int
    end: int
    target: np.ndarray
    block: np.ndarray
    last: bool
    part: Part
    transfer: Transfer | None = field(default=None, init=False)
    # By holder, for the ranks of the group: the memory in which their parcels lie.
    memory: dict[int, np.ndarray] = field(default_factory=dict, init=False)


def move(
    together: Together, turns: Iterable[Turn], buffers: Buffers
) -> Generator[Turn, None, None]:
    """Move the pixels of turns; yield each turn once its pixels are in place. Collective.

    All ranks give turns of the same redistributions, which have the same groups, and take them all
    unless all of them stop at the same one. `together` holds an error of a rank: what has been
    moved is valid only after its ranks have agreed.
    """
    mover = _Mover(together, buffers)
    try:
        for turn in turns:
            mover.begin(turn)
            if len(mover.begun) > turn.plan.messages:  # the next one is on its way
                yield mover.finish()
        while mover.begun:
            yield mover.finish()
    except GeneratorExit:  # all ranks leave here, with the same messages on their way
        quietly(mover.wait)
        raise
    finally:
        mover.give_up()


class _Mover:
    """The turns that have begun, and the buffers that they use in turn."""

    def __init__(self, together: Together, buffers: Buffers) -> None:
        self.begun: deque[Turn] = deque()
        self._together = together
        self._rank = together.comm.rank
        self._send, self._receive = buffers
        self._number = self._worked = 0

    def begin(self, turn: Turn) -> None:
        """Send the parcels for the other groups. Collective."""
        plan, own, half = turn.plan, self._rank, self._number % 2
        self._number += 1
        if plan.segments is None:
            turn.memory = {own: self._receive[half]}
        else:
            turn.memory = {rank: plan.segments.half(rank) for rank in plan.segments.nodes.near}
            plan.segments.turn()
        others = plan.groups.others(own)
        to = [(own, group) for group in others]
        sent = list(plan.parcels(self._send[half], to, turn.begin, turn.end, turn.part))
        with phase("exchange"):
            with self._together.attempt():
                for _, rows, parcel in sent:
                    self._pack(turn, rows, parcel)
            holders = (plan.groups.holder(own, group) for group in others)
            _, *received = self._held(turn, own)
            turn.transfer = Transfer(
                self._together.comm,
                ((rank, parcel) for rank, (_, _, parcel) in zip(holders, sent, strict=True)),
                ((rank, parcel) for rank, _, parcel in received),
            )
        self.begun.append(turn)

    def finish(self) -> Turn:
        """Put the pixels of the oldest turn into their place, and return it. Collective."""
        turn, own, together = self.begun[0], self._rank, self._together
        plan = turn.plan
        with phase("exchange", turn.target.nbytes):
            with together.attempt():
                columns = turn.target[:, plan.images_of(own, turn.part)]
                turn.images.transpose(*plan.pixels_of(own, turn.begin, turn.end), columns)
                self._poll(columns.nbytes)
                _, rows, parcel = next(self._held(turn, own))
                self._pack(turn, rows, parcel)
            if turn.transfer is not None:
                turn.transfer.finish()
            if plan.segments is not None:
                plan.segments.meet()
            with together.attempt():
                for holder in turn.memory:
                    for sender, rows, parcel in self._held(turn, holder):
                        if sender != own:
                            columns = turn.target[:, plan.images_of(sender, turn.part)]
                            columns[:] = parcel[rows[own]]
                            self._poll(columns.nbytes)
            if plan.segments is not None and plan.messages:
                plan.segments.meet()  # the next message comes into this memory at any time
        return self.begun.popleft()

    def wait(self) -> None:
        """Wait for the messages on their way, without putting the pixels into their place."""
        for turn in self.begun:
            if turn.transfer is not None:
                turn.transfer.finish()

    def give_up(self) -> None:
        """Leave messages that are still on their way to MPI. Local."""
        for turn in self.begun:
            if turn.transfer is not None:
                turn.transfer.give_up()

    def _held(self, turn: Turn, holder: int) -> Iterator[tuple[int, dict[int, slice], np.ndarray]]:
        """Yield the parcels of a holder in the group, first its own. See `parcels`."""
        groups = turn.plan.groups
        group = groups.of(holder)
        senders = [holder, *groups.held(holder)]
        parcels = [(sender, group) for sender in senders]
        return turn.plan.parcels(turn.memory[holder], parcels, turn.begin, turn.end, turn.part)

    def _pack(self, turn: Turn, rows: dict[int, slice], parcel: np.ndarray) -> None:
        """Transpose this rank's images into a parcel. Local."""
        for rank, part in rows.items():
            start, stop = turn.plan.pixels_of(rank, turn.begin, turn.end)
            turn.images.transpose(start, stop, parcel[part])
            self._poll(parcel[part].nbytes)

    def _poll(self, worked: int) -> None:
        """Let MPI move the messages if this rank has worked for a while on so many bytes. Local."""
        self._worked += worked
        if self._worked >= POLL_BYTES:
            self._worked = 0
            for turn in self.begun:
                if turn.transfer is not None:
                    turn.transfer.Test()
