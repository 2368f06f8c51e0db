"""Merge sums over the ranks, by bands of pixels.

This is a reduce-scatter and an allgather, with the mean and the variance computed between them.
Rank r receives the r-th band of every rank's sums and finishes it; the finished bands are gathered
on all ranks. With an allreduce of whole records every rank would finish every pixel, so that more
ranks would not help (R. Thakur, R. Rabenseifner, W. Gropp, "Optimization of collective
communication operations in MPICH", 2005). A user-defined MPI operation is not possible: the trees
of float sums need all nodes of a pixel at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from ..core.partition import Partition
from ..core.timers import phase
from ..spmd.agreement import Together
from ..spmd.collectives import PIECE_BYTES, allgather_in_place
from ..spmd.shared_memory import Segments
from ..spmd.waiting import complete

__all__ = ["MergeInput", "Results", "finish_by_bands"]

# Arrays begin at multiples of the size of a cache line.
LINE = 64

Cuts = Sequence[tuple[int, int]]
Empty = Callable[..., np.ndarray]
Results = dict[str, np.ndarray]


@dataclass(frozen=True)
class MergeInput:
    """The operands of a merge: each rank has several arrays of shape (values, width).

    Attributes
    ----------
    own : list of (values, width) ndarray
        The arrays of this rank.
    counts : list of int
        The number of arrays of each rank.
    values : int
    dtype : numpy.dtype
        Wire dtype; wider values are truncated to it. A rank's own arrays are not converted.
    """

    own: list[np.ndarray]
    counts: list[int]
    values: int
    dtype: np.dtype

    def busiest(self, width: int, band: int) -> int:
        """Return the maximum bytes that a rank sends or receives, for records of `width` pixels."""
        pixels = max(max(self.counts) * width, sum(self.counts) * band)
        return pixels * self.values * self.dtype.itemsize


def finish_by_bands(
    comm: MPI.Intracomm,
    given: list[MergeInput],
    results: dict[str, np.dtype],
    width: int,
    finish: Callable[[list[Sequence[np.ndarray]], Results], None],
    empty: Empty,
    limit: int = PIECE_BYTES,
    segments: Segments | None = None,
) -> Results:
    """Finish each band of pixels on one rank, and gather the bands on all. Collective.

    Parameters
    ----------
    given : list of MergeInput
    results : dict of dtype
        Names and dtypes of the results, arrays of shape (width,).
    finish : callable
        finish(received, out) fills a slice of each result. `received` has for each of `given`
        the arrays of every rank in rank order, cut to the same pixels; it may be overwritten.
        Local.
    empty : callable
        Allocator of large arrays: empty(shape, dtype).
    limit : int
        Approximate maximum of the bytes that are sent or received at once.
    segments : Segments, optional
        Shared memory for the exchange, if all ranks are on one node and their data fit.

    Notes
    -----
    The ranks agree before each exchange, after each has allocated its buffers, and once after the
    allgather. A rank that could not finish its band still takes part in the allgather; its error is
    raised afterwards.
    """
    bands = Partition.balanced(width, comm.size)
    busiest = max(what.busiest(width, max(bands.counts)) for what in given)
    pieces = max(1, -(-busiest // max(1, min(limit, PIECE_BYTES))))
    together = Together(comm, "merging sums")
    arrays: Results = {}
    with together.attempt():
        arrays = {name: empty((width,), dtype) for name, dtype in results.items()}
    all_cuts = [
        [_piece(bands.bounds(rank), piece, pieces) for rank in range(comm.size)]
        for piece in range(pieces)
    ]
    used = _reserved(segments, given, list(results.values()), all_cuts, bands)
    for cuts in all_cuts:
        received = (
            _exchange(together, given, cuts, empty)
            if used is None
            else _exchange_within(together, given, cuts, used)
        )
        start, stop = cuts[comm.rank]
        with together.attempt():
            finish(received, {name: array[start:stop] for name, array in arrays.items()})
        if used is not None:
            used.turn()
    if used is None:
        for array in arrays.values():
            allgather_in_place(comm, array, bands)
    else:
        _gather_within(together, list(arrays.values()), bands, used)
    together.agree()
    return arrays


def _piece(bounds: tuple[int, int], piece: int, pieces: int) -> tuple[int, int]:
    start, stop = bounds
    return (
        start + (stop - start) * piece // pieces,
        start + (stop - start) * (piece + 1) // pieces,
    )


def _exchange(
    together: Together, given: list[MergeInput], cuts: Cuts, empty: Empty
) -> list[Sequence[np.ndarray]]:
    """Give each rank its cut of every rank's arrays; that of its own arrays is a view.

    Collective: an earlier error of a rank is raised here on all.
    """
    comm = together.comm
    start, stop = cuts[comm.rank]
    sent: list[np.ndarray] = []
    arrived: list[np.ndarray] = []
    with together.attempt():
        pixels = sum(b - a for a, b in cuts) - (stop - start)
        shapes = [(len(what.own), what.values, pixels) for what in given]
        shapes += [(sum(what.counts) - len(what.own), what.values, stop - start) for what in given]
        arrays = _arrays(shapes, [what.dtype for what in given] * 2, empty)
        sent, arrived = arrays[: len(given)], arrays[len(given) :]
        for what, send in zip(given, sent, strict=True):
            _pack(what, cuts, comm.rank, send.reshape(-1))
    together.agree()
    received: list[Sequence[np.ndarray]] = []
    for what, send, receive in zip(given, sent, arrived, strict=True):
        if comm.size > 1:
            items = [len(what.own) * what.values * (b - a) for a, b in cuts]
            awaited = [count * what.values * (stop - start) for count in what.counts]
            items[comm.rank] = awaited[comm.rank] = 0
            with phase("exchange", receive.nbytes):
                posted = comm.Ialltoallv([send, items], [receive, awaited])
                complete(comm, posted, (send, receive), bulk=True)
        before = sum(what.counts[: comm.rank])
        own = [array[:, start:stop] for array in what.own]
        received.append([*receive[:before], *own, *receive[before:]])
    return received


# -- through shared memory -----------------------------------------------------------------


def _reserved(
    segments: Segments | None,
    given: list[MergeInput],
    results: list[np.dtype],
    all_cuts: list[list[tuple[int, int]]],
    bands: Partition,
) -> Segments | None:
    """Return the segments if the data of every rank fit into them, else None. Collective."""
    if segments is None or not segments.usable or segments.nodes.several:
        return None
    ranks = range(bands.parts)
    sent = [_places(given, cuts, rank)[1] for cuts in all_cuts for rank in ranks]
    gathered = sum(-(-max(bands.counts) * dtype.itemsize // LINE) * LINE for dtype in results)
    size = max(gathered, *sent)
    return segments if size <= segments.most and segments.reserve(size) else None


def _places(given: list[MergeInput], cuts: Cuts, sender: int) -> tuple[list[list[int]], int]:
    """Return the offsets of the data for each rank in a sender's memory, and the end.

    There is one row of offsets for each of `given`.
    """
    places, end = [], 0
    for what in given:
        row = []
        for rank, (start, stop) in enumerate(cuts):
            row.append(end)
            if rank != sender:
                size = what.counts[sender] * what.values * (stop - start) * what.dtype.itemsize
                end += -(-size // LINE) * LINE
        places.append(row)
    return places, end


def _exchange_within(
    together: Together, given: list[MergeInput], cuts: Cuts, segments: Segments
) -> list[Sequence[np.ndarray]]:
    """Like `_exchange`; the received data stay in the segments until their next turn but one."""
    comm = together.comm
    start, stop = cuts[comm.rank]

    def parts(what: MergeInput, sender: int, place: int, width: int) -> np.ndarray:
        count = what.counts[sender]
        size = count * what.values * width * what.dtype.itemsize
        memory = segments.half(sender)[place : place + size]
        return memory.view(what.dtype).reshape(count, what.values, width)

    places = [_places(given, cuts, rank)[0] for rank in range(comm.size)]
    with together.attempt():
        for what, row in zip(given, places[comm.rank], strict=True):
            for rank, (a, b) in enumerate(cuts):
                if rank == comm.rank:
                    continue
                target = parts(what, comm.rank, row[rank], b - a)
                for array, there in zip(what.own, target, strict=True):
                    # the low bits of a wider integer
                    np.copyto(there, array[:, a:b], casting="unsafe")
    together.agree()
    with phase("exchange"):
        segments.meet()
    received: list[Sequence[np.ndarray]] = []
    for number, what in enumerate(given):
        arrays: list[np.ndarray] = []
        for rank in range(comm.size):
            if rank == comm.rank:
                arrays += [array[:, start:stop] for array in what.own]
            else:
                place = places[rank][number][comm.rank]
                arrays += list(parts(what, rank, place, stop - start))
        received.append(arrays)
    return received


def _gather_within(
    together: Together, arrays: list[np.ndarray], bands: Partition, segments: Segments
) -> None:
    """Send each rank's band of the arrays to all others. Collective."""
    own = together.comm.rank

    def copy(rank: int) -> None:
        start, stop = bands.bounds(rank)
        place, memory = 0, segments.half(rank)
        for array in arrays:
            band = array[start:stop]
            there = memory[place : place + band.nbytes].view(array.dtype)
            if rank == own:
                there[...] = band
            else:
                band[...] = there
            place += -(-band.nbytes // LINE) * LINE

    with phase("exchange", sum(array.nbytes for array in arrays)):
        with together.attempt():
            copy(own)
        segments.meet()
        with together.attempt():
            for rank in range(bands.parts):
                if rank != own:
                    copy(rank)
        segments.turn()


def _arrays(
    shapes: Sequence[Sequence[int]], dtypes: Sequence[np.dtype], empty: Empty
) -> list[np.ndarray]:
    """Allocate arrays in one piece of memory, which is then large enough to be reused."""
    sizes = [
        int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    places = [0, *np.cumsum([-(-size // LINE) * LINE for size in sizes]).tolist()]
    memory = empty((places[-1],), np.dtype(np.uint8))
    return [
        memory[place : place + size].view(dtype).reshape(tuple(shape))
        for place, size, shape, dtype in zip(places, sizes, shapes, dtypes, strict=False)
    ]


def _pack(what: MergeInput, cuts: Cuts, rank: int, send: np.ndarray) -> None:
    """Pack this rank's arrays, cut by cut for the others."""
    place = 0
    for other, (start, stop) in enumerate(cuts):
        for array in what.own if other != rank else []:
            part = array[:, start:stop]
            target = send[place : place + part.size].reshape(part.shape)
            np.copyto(target, part, casting="unsafe")  # the low bits of a wider integer
            place += part.size
