"""Merge sums over the ranks: within each node first, then between the nodes.

The pixels are cut into lanes, and each lane into a band for each node. The i-th rank of each node
is the one of lane i. A merge takes four steps:

1. Each rank gives the lanes of its node its sums of their pixels, and each lane joins them.
2. The ranks of a lane exchange the joined sums: the one on node h receives its h-th band from all
   others, joins them and finishes the band.
3. They send each other the finished bands.
4. Each lane gives its finished pixels to all ranks of its node.

Steps 1 and 4 use shared memory if possible, and messages otherwise. Steps 2 and 3 are a
reduce-scatter and an allgather (R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective
communication operations in MPICH", 2005) between nodes: what passes a node's link does not depend
on how many ranks the node has. There are as many lanes as the smallest node has ranks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.partition import Partition
from ..core.timers import phase
from ..spmd.agreement import Together
from ..spmd.collectives import PIECE_BYTES, Transfer
from ..spmd.nodes import Nodes
from ..spmd.shared_memory import Segments

__all__ = ["Arrays", "Finish", "Label", "MergeInput", "Results", "finish_by_bands"]

# Arrays begin at multiples of the size of a cache line.
LINE = 64

# What an array stands for.
Label = tuple[int, int]
Ranks = tuple[int, ...]
Empty = Callable[..., np.ndarray]
Results = dict[str, np.ndarray]
# For each operand its arrays.
Arrays = Sequence[Sequence[np.ndarray]]
Finish = Callable[[Arrays, Results], None]
# By the other rank: what it is given, or what it has given.
Memory = dict[int, np.ndarray]


@dataclass(frozen=True)
class MergeInput:
    """One operand of a merge: each rank has arrays of shape (values, width) of it.

    Attributes
    ----------
    own : callable
        own() returns the arrays of this rank, which may be overwritten. Local.
    values : int
    dtype : numpy.dtype
        Wire dtype; wider values are truncated to it. A rank's own arrays are not converted.
    labels : callable
        labels(ranks) returns one label for each array that remains once those of some ranks, in
        ascending order, are joined. Local.
    join : callable
        join(labels, arrays) joins arrays as far as possible. It returns those that remain, in the
        order of `labels(ranks)`, and may overwrite the given ones. Local.
    """

    own: Callable[[], list[np.ndarray]]
    values: int
    dtype: np.dtype
    labels: Callable[[Ranks], list[Label]]
    join: Callable[[list[Label], list[np.ndarray]], list[np.ndarray]]

    def weight(self, ranks: Ranks) -> int:
        """Return the bytes a pixel of the joined arrays of some ranks on their way. Local."""
        return len(self.labels(ranks)) * self.values * self.dtype.itemsize


def finish_by_bands(
    nodes: Nodes,
    given: list[MergeInput],
    results: dict[str, np.dtype],
    width: int,
    finish: Finish,
    empty: Empty,
    limit: int = PIECE_BYTES,
    segments: Segments | None = None,
) -> Results:
    """Finish each band of pixels on one rank, and share the bands with all. Collective.

    Parameters
    ----------
    nodes : Nodes
    given : list of MergeInput
    results : dict of dtype
        Names and dtypes of the results, arrays of shape (width,).
    finish : callable
        finish(joined, out) fills a slice of each result. `joined` has for each of `given` the
        arrays that remain of all ranks, cut to the same pixels; they may be overwritten. Local.
    empty : callable
        Allocator of large arrays: empty(shape, dtype).
    limit : int
        Approximate maximum of the bytes that are sent or received at once.
    segments : Segments, optional
        Shared memory of the ranks of each node.

    Notes
    -----
    The ranks agree before each exchange, after each has allocated its buffers, and once at the end.
    A rank that could not finish its band still takes part in what follows; its error is raised
    afterwards.
    """
    merge = _Merge(nodes, given, empty, Together(nodes.comm, "merging sums"))
    arrays: Results = {}
    own: Arrays = []
    with merge.together.attempt():
        own = [what.own() for what in given]
        arrays = {name: empty((width,), dtype) for name, dtype in results.items()}
    finished = sum(dtype.itemsize for dtype in results.values())
    pieces = merge.reserve(segments, width, finished, min(limit, PIECE_BYTES))
    for piece in range(pieces.parts):
        start, stop = pieces.bounds(piece)
        merge.run(
            Partition.balanced(stop - start, merge.lanes * len(nodes.members)),
            _cut(own, slice(start, stop)),
            finish,
            {name: array[start:stop] for name, array in arrays.items()},
        )
    merge.together.agree()
    return arrays


class _Merge:
    """The steps of a merge, which are taken for some pixels at a time.

    Attributes
    ----------
    lanes : int
    """

    def __init__(
        self, nodes: Nodes, given: list[MergeInput], empty: Empty, together: Together
    ) -> None:
        self.nodes, self.given, self.empty, self.together = nodes, given, empty, together
        self.rank = nodes.comm.rank
        self.lanes = min(map(len, nodes.members))
        self.segments: Segments | None = None

    def reserve(
        self, segments: Segments | None, width: int, finished: int, limit: int
    ) -> Partition:
        """Use shared memory if possible; return the pixels that are merged at once. Collective.

        Parameters
        ----------
        finished : int
            Bytes a pixel of the results.
        limit : int
            Maximum bytes that a rank sends or receives at once.
        """
        members, lanes = self.nodes.members, self.lanes
        single = [[self._weight((rank,)) for rank in node] for node in members]
        joined = [self._weight(node) for node in members]
        sent = max(map(max, single))
        gathered = max(*map(sum, single), *joined, sum(joined) // len(members))
        step = max(1, limit // max(1, sent, gathered // lanes))
        if segments is not None and segments.usable:
            # The places of `_place`, or the finished pixels of a lane.
            pixel = max(1, sent, finished)
            margin = (pixel + LINE * (len(self.given) + 8)) * (lanes + 1)
            fitting = min(step, width, (segments.most - margin) // pixel)
            if fitting > 0 and segments.reserve(pixel * fitting + margin):
                self.segments, step = segments, fitting
        return Partition.balanced(width, max(1, -(-width // step)))

    def run(self, bands: Partition, own: Arrays, finish: Finish, out: Results) -> None:
        """Merge some pixels. Collective: an earlier error of a rank is raised here on all.

        Parameters
        ----------
        bands : Partition
            A band of pixels for each lane and node, lane by lane.
        own : list of lists of (values, width) ndarray
            This rank's arrays.
        finish : callable
        out : dict of (width,) ndarray
        """
        near, together = self.nodes.near, self.together
        pixels = _Pixels.of(self.nodes, bands)
        lane, band = pixels.lane, pixels.band
        joined: Arrays = []
        with together.attempt():
            given, taken = self._within(pixels)
            sent, received = self._between(pixels)
            for rank, memory in given.items():
                part = pixels.lanes[rank]
                self._pack((self.rank,), _cut(own, part), part, memory)
        together.agree()
        if self.segments is None:
            self._transfer(given.items(), taken.items())
        else:
            self._meet(self.segments)
        with together.attempt():
            singles: dict[Ranks, np.ndarray] = {(rank,): taken[rank] for rank in taken}
            joined = self._join(singles, lane, (self.rank,), _cut(own, lane))
            for rank, memory in sent.items():
                part = pixels.bands[rank]
                self._pack(near, _cut(joined, part, lane.start), part, memory)
        self._transfer(sent.items(), received.items())
        with together.attempt():
            # A rank without a lane receives nothing to finish.
            if band.stop > band.start and not together.failed:
                groups = {self._node(rank): memory for rank, memory in received.items()}
                total = self._join(groups, band, near, _cut(joined, band, lane.start))
                finish(total, {name: array[band] for name, array in out.items()})
        self._share(pixels, list(out.values()))

    def _share(self, pixels: _Pixels, results: list[np.ndarray]) -> None:
        """Give the own band of finished pixels to all ranks. Collective."""
        self._send_slices(results, pixels.band, pixels.bands)
        lanes = {rank: lane for rank, lane in pixels.lanes.items() if rank != self.rank}
        if self.segments is None:
            self._send_slices(results, pixels.lane, lanes)
            return
        halves = {rank: self.segments.half(rank) for rank in pixels.lanes}

        def pairs(rank: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
            parts = [array[pixels.lanes[rank]] for array in results]
            shapes = [(part.shape, part.dtype) for part in parts]
            return zip(parts, _arrays(halves[rank], shapes), strict=True)

        with self.together.attempt():
            for part, there in pairs(self.rank):
                there[...] = part
        self._meet(self.segments)
        with self.together.attempt():
            for rank in lanes:
                for part, there in pairs(rank):
                    part[...] = there

    def _send_slices(self, results: list[np.ndarray], own: slice, theirs: dict[int, slice]) -> None:
        """Send a slice of each result to some ranks; receive theirs, each in its place."""
        self._transfer(
            [(rank, array[own]) for rank in theirs for array in results],
            [(rank, array[part]) for rank, part in theirs.items() for array in results],
        )

    def _transfer(
        self, sent: Iterable[tuple[int, np.ndarray]], received: Iterable[tuple[int, np.ndarray]]
    ) -> None:
        arrived = list(received)
        with phase("exchange", sum(array.nbytes for _, array in arrived)):
            Transfer(self.nodes.comm, sent, arrived).finish()

    def _meet(self, segments: Segments) -> None:
        """Wait until the halves are filled. They may be read until the next call. Collective."""
        with phase("exchange"):
            segments.meet()
        segments.turn()

    # -- what the ranks give each other, in one piece of memory for each -------------------

    def _within(self, pixels: _Pixels) -> list[Memory]:
        """Return memory for what this rank gives each of its node, and is given. Local."""
        others = [rank for rank in pixels.lanes if rank != self.rank]
        given = {rank: self._size((self.rank,), pixels.lanes[rank]) for rank in others}
        taken = {rank: self._size((rank,), pixels.lane) for rank in others}
        if (segments := self.segments) is None:
            return self._allocate(given, taken)

        def shared(sender: int, receiver: int, size: int) -> np.ndarray:
            place = self._place(pixels, sender, receiver)
            return segments.half(sender)[place : place + size]

        return [
            {rank: shared(self.rank, rank, size) for rank, size in given.items()},
            {rank: shared(rank, self.rank, size) for rank, size in taken.items()},
        ]

    def _place(self, pixels: _Pixels, sender: int, receiver: int) -> int:
        """Return the offset in a rank's half of what it gives another. Local."""
        own, begin = pixels.lanes[sender], pixels.lanes[receiver].start
        if own.stop <= begin:
            begin -= own.stop - own.start
        number = self.nodes.near.index(receiver)
        return _aligned(self._weight((sender,)) * begin) + number * LINE * (len(self.given) + 1)

    def _between(self, pixels: _Pixels) -> list[Memory]:
        """Return memory for what this rank sends each other node, and receives. Local."""
        near = self.nodes.near
        return self._allocate(
            {rank: self._size(near, band) for rank, band in pixels.bands.items()},
            {rank: self._size(self._node(rank), pixels.band) for rank in pixels.bands},
        )

    def _allocate(self, *wanted: dict[int, int]) -> list[Memory]:
        """Allocate memory of some sizes at once: it is then large enough to be reused. Local."""
        memory = self.empty((sum(sum(sizes.values()) for sizes in wanted),), np.dtype(np.uint8))
        found: list[Memory] = []
        place = 0
        for sizes in wanted:
            found.append({})
            for rank, size in sizes.items():
                found[-1][rank] = memory[place : place + size]
                place += size
        return found

    # -- the arrays of some ranks ----------------------------------------------------------

    def _node(self, rank: int) -> Ranks:
        """Return the ranks of a rank's node. Local."""
        return self.nodes.members[self.nodes.of[rank]]

    def _weight(self, ranks: Ranks) -> int:
        """Return the bytes a pixel of the joined arrays of some ranks. Local."""
        return sum(what.weight(ranks) for what in self.given)

    def _size(self, ranks: Ranks, pixels: slice) -> int:
        """Return the bytes of the joined arrays of some ranks, cut to some pixels. Local."""
        width = pixels.stop - pixels.start
        return sum(_aligned(what.weight(ranks) * width) for what in self.given)

    def _views(self, ranks: Ranks, memory: np.ndarray, pixels: slice) -> Arrays:
        """Return the joined arrays of some ranks, cut to some pixels, in memory. Local."""
        width = pixels.stop - pixels.start
        shapes = [
            ((len(what.labels(ranks)), what.values, width), what.dtype) for what in self.given
        ]
        return [list(arrays) for arrays in _arrays(memory, shapes)]

    def _pack(self, ranks: Ranks, arrays: Arrays, pixels: slice, memory: np.ndarray) -> None:
        """Write the joined arrays of some ranks, cut to some pixels, to memory. Local."""
        for some, views in zip(arrays, self._views(ranks, memory, pixels), strict=True):
            for array, view in zip(some, views, strict=True):
                np.copyto(view, array, casting="unsafe")  # the low bits of a wider integer

    def _join(
        self, memory: dict[Ranks, np.ndarray], pixels: slice, whose: Ranks, own: Arrays
    ) -> Arrays:
        """Join what lies in memory, by the ranks that it is of, with `own`. Local."""
        parts = {ranks: self._views(ranks, there, pixels) for ranks, there in memory.items()}
        parts[whose] = own
        groups = sorted(parts)
        return [
            what.join(
                [label for ranks in groups for label in what.labels(ranks)],
                [array for ranks in groups for array in parts[ranks][number]],
            )
            for number, what in enumerate(self.given)
        ]


@dataclass(frozen=True)
class _Pixels:
    """Which pixels the ranks of a node and of a lane take.

    Attributes
    ----------
    lanes : dict of slice
        The lane of each rank of the node; a rank that has none has one of no pixels.
    bands : dict of slice
        The band of each rank of the lane on another node.
    lane, band : slice
        This rank's own.
    """

    lanes: dict[int, slice]
    bands: dict[int, slice]
    lane: slice
    band: slice

    @classmethod
    def of(cls, nodes: Nodes, bands: Partition) -> _Pixels:
        """Cut pixels to a band for each lane and node, lane by lane. Local."""
        rank, count = nodes.comm.rank, len(nodes.members)
        many = bands.parts // count
        end = slice(bands.count, bands.count)
        cuts = [slice(*cut) for cut in itertools.pairwise(bands.offsets[::count])]
        cuts += [end] * (len(nodes.near) - many)
        lanes = dict(zip(nodes.near, cuts, strict=True))
        lane = nodes.near.index(rank)
        found = {
            node[lane]: slice(*bands.bounds(lane * count + number))
            for number, node in enumerate(nodes.members)
            if lane < many
        }
        band = found.pop(rank, end)
        return cls(lanes, found, lanes[rank], band)


def _cut(arrays: Arrays, pixels: slice, origin: int = 0) -> Arrays:
    """Return views of some pixels of arrays that begin at pixel `origin`. Local."""
    part = slice(pixels.start - origin, pixels.stop - origin)
    return [[array[:, part] for array in some] for some in arrays]


def _aligned(size: int) -> int:
    return -(-size // LINE) * LINE


def _arrays(
    memory: np.ndarray, shapes: Sequence[tuple[tuple[int, ...], np.dtype]]
) -> list[np.ndarray]:
    """Return arrays of some shapes and dtypes that lie in memory one after the other. Local."""
    arrays, place = [], 0
    for shape, dtype in shapes:
        size = math.prod(shape) * dtype.itemsize
        arrays.append(memory[place : place + size].view(dtype).reshape(shape))
        place += _aligned(size)
    return arrays
