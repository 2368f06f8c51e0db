"""Images to series on disk, in rounds within a budget.

A round is a *band*: the pixels [a, b) of all images. Each rank reads the band of its own
images, the exchange gives each rank its part of the band with all times, and a thread writes
that block while the next band is read. Where the images come from is one of four ways:

memory  they are in memory already: a band is a view;
share   each rank's share fits and is not huge: it is read once, whole, and then as above;
bands   the files can be read in part: a band is read from each of them;
frames  they must be decoded or computed whole, and are not held: they pass once through a
        scratch file beside the output, frame after frame, and its bands are read.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from mpi4py import MPI

from ..core.cleanup import quietly
from ..core.partition import Partition
from ..core.timers import phase
from ..engine.chain import Chain, Shape
from ..engine.runner import Streamed
from ..engine.sources import FileSource, MemorySource
from ..exchange.redistribution import ExchangePlan
from ..exchange.source import ExchangeSource
from ..progress.meter import Tick
from ..spmd.agreement import Together, allreduce, from_rank
from .bands import Bands, FileBands, MemoryBands
from .planning import HELD_BYTES, HELD_PART, ROUND_BYTES, Layout, Plan, lay_out
from .resume import Progress, Recorder
from .round_buffers import Behind, Buffers
from .scratch_file import frame_bands, write_frames

__all__ = ["check_counts", "convert", "plan_conversion", "survey"]


def convert(
    images: Streamed, series: Chain, writer: Any, progress: Progress, memory: int, action: str
) -> None:
    """Write the series of all pixels. Collective.

    Parameters
    ----------
    images : Streamed
        The collection that is transposed.
    series : Chain
        On an `ExchangeSource` of it: its steps are run on each block.
    writer : a writer of the output
    progress : Progress
        What is done already is not done again; what this does is recorded.
    memory : int
        Bytes that each rank may take.
    """
    conversion = _Conversion(images, series, writer, progress, memory, action)
    conversion.workspace.trim()
    if progress.done.count == conversion.pixels:
        return
    bands, layout = conversion.open_bands()
    conversion.run(bands, layout)


def survey(images: Streamed, chain: Chain, action: str) -> FileBands | None:
    """Where this rank's images of a settled chain lie in their files. Collective.

    Returns
    -------
    FileBands or None
        None on all ranks where some images cannot be read in part.
    """
    comm, found = images._session.comm, None
    with Together(comm, action):
        if isinstance(chain.source, FileSource) and chain.steps == ():
            start, stop = chain.partition(comm.size).bounds(comm.rank)
            assert chain.positions is not None
            own = chain.positions[start:stop]
            found = FileBands.survey(chain.source, own, images._session.workspace)
    everywhere = np.array([found is not None], dtype=np.int64)
    return found if allreduce(comm, everywhere, MPI.MIN)[0] else None


def check_counts(images: Streamed, chain: Chain, action: str) -> None:
    """Refuse files of several images where the first, as it has one, was taken for all.

    Collective; of a settled chain. Without it, they are refused when they are read.
    """
    comm, source = images._session.comm, chain.source
    if not isinstance(source, FileSource) or source.ends is not None or not source.reader.several:
        return
    assert chain.positions is not None
    with Together(comm, images._name(action)):
        start, stop = Partition.balanced(chain.count or 0, comm.size).bounds(comm.rank)
        for position in chain.positions[start:stop]:
            source.check_count(int(position))


def plan_conversion(
    images: Streamed, series: Chain, ranks: int, memory: int, grain: int
) -> Plan:
    """What `convert` would take on so many ranks. Collective.

    Headers are read alone: of the first file, and of those that may hold several images.

    Raises
    ------
    ValueError
        Where only an action can tell what the images are like.
    MemoryError
        Where not even the narrowest band fits.
    """
    chain, comm = images._settle("plan"), images._session.comm
    assert chain.dims is not None
    assert series.dims is not None
    assert series.dtype is not None
    counts = chain.partition(ranks).counts if chain.source.partition is None else \
        Partition.balanced(chain.count or 0, ranks).counts

    def ask() -> tuple[str, int]:
        if not isinstance(chain.source, FileSource):
            return "frames", 0
        in_parts = chain.steps == () and chain.source.reads_parts()
        return "bands" if in_parts else "frames", chain.source.stored_bytes()

    check_counts(images, chain, "plan")
    way, stored = from_rank(comm, 0, images._name("plan"), ask)
    way = _held(chain, counts, memory) or way
    if way == "frames":
        images._check_record(chain, "plan", memory)
    layout = _layout(way, chain, series, counts, grain, memory, images._name("plan"))
    pixels = math.prod(chain.dims)
    written = pixels * series.dims[0] * series.dtype.itemsize
    return Plan(way, ranks, layout.rounds, layout.memory, memory, stored, written, layout.scratch)


def _held(chain: Chain, counts: tuple[int, ...], memory: int) -> str | None:
    """How the images are held in memory as a whole, where they are. Local."""
    assert chain.dims is not None
    assert chain.dtype is not None
    if isinstance(chain.source, MemorySource) and chain.steps == ():
        return "memory"
    share = max(counts) * math.prod(chain.dims) * chain.dtype.itemsize
    return "share" if share <= min(HELD_PART * memory, HELD_BYTES) else None


def _layout(
    way: str, chain: Chain, series: Chain, counts: tuple[int, ...], grain: int, memory: int,
    action: str,
) -> Layout:
    """See `lay_out`. Local."""
    assert chain.dims is not None
    assert chain.dtype is not None
    record = sum(counts) * chain.dtype.itemsize
    if series.steps:
        assert series.dims is not None
        assert series.dtype is not None
        record += 2 * series.dims[0] * series.dtype.itemsize
    # Of volumes whose pages lie one after the other, a part of the pages' pixels is read.
    planes = chain.dims[2] if len(chain.dims) == 3 else 1
    return lay_out(way, counts, math.prod(chain.dims), chain.dtype.itemsize, record,
                   math.lcm(planes, grain), memory, action)


class _Conversion:
    def __init__(
        self, images: Streamed, series: Chain, writer: Any, progress: Progress, memory: int,
        action: str,
    ) -> None:
        self.images = images
        self.comm = images._session.comm
        self.workspace = images._session.workspace
        self.chain = images._settle(action)
        self.series = series
        self.writer = writer
        self.progress = progress
        self.memory = memory
        self.action = action
        self.partition = self.chain.partition(self.comm.size)
        assert self.chain.dims is not None
        assert self.chain.dtype is not None
        self.dims: Shape = self.chain.dims
        self.dtype: np.dtype = self.chain.dtype
        self.pixels = math.prod(self.dims)

    # -- where the images come from ---------------------------------------------------------

    def open_bands(self) -> tuple[Bands, Layout]:
        """The images, so that bands of them can be read, and how to cut them. Collective."""
        source = self.series.source
        computed = source.take_share() if isinstance(source, ExchangeSource) else None
        if computed is not None:
            return self._in_memory(computed[0]), self.lay_out("memory")
        begun = self.progress.frames.count > 0  # an earlier job has decoded some already
        held = None if begun else _held(self.chain, self.partition.counts, self.memory)
        if held is not None:
            layout = self.lay_out(held)  # refuses before anything is read
            return self._hold(), layout
        files = None if begun else survey(self.images, self.chain, self.action)
        if files is not None:
            return files, self.lay_out("bands")
        layout = self.lay_out("frames")
        path = write_frames(self.images, self.chain, self.progress, self.memory, self.action)
        with Together(self.comm, self.action):
            own = range(*self.partition.bounds(self.comm.rank))
            bands = frame_bands(path, self.chain, own, self.workspace)
        return bands, layout

    def lay_out(self, way: str) -> Layout:
        """How the work is cut into rounds. Local."""
        return _layout(way, self.chain, self.series, self.partition.counts, self.writer.grain,
                       self.memory, self.images._name(self.action))

    def _hold(self) -> MemoryBands:
        """This rank's share of the images, in memory. Collective."""
        return self._in_memory(self.images._load(self.chain, self.action)[0])

    def _in_memory(self, block: np.ndarray) -> MemoryBands:
        rows = np.empty((0, self.pixels), self.dtype)
        with Together(self.comm, self.action):
            rows = np.ascontiguousarray(block).reshape(len(block), self.pixels)
        return MemoryBands(rows, self.workspace)

    # -- rounds -----------------------------------------------------------------------------

    def run(self, bands: Bands, layout: Layout) -> None:
        """Take round after round over the pixels that are not done yet. Collective."""
        missing = self.progress.done.missing(self.pixels)
        pieces = list(missing.pieces(layout.width, layout.grain))
        if not pieces:
            return
        width = max(b - a for a, b in pieces)
        part = -(-width // (layout.grain * self.comm.size)) * layout.grain
        buffers = Buffers(bands, self.workspace)
        exchange = self._exchange(0, width, layout)
        exchange.reserve()
        with Together(self.comm, self.action):
            size = (part * self.partition.count,)
            buffers.blocks = [
                self.workspace.empty(size, self.dtype) for _ in pieces[: layout.blocks]
            ]
            buffers.exchange = exchange.buffers(self.comm.rank, part, self.workspace)
            buffers.make(width)
        recorder = self.progress.recorder("done", self.writer.flush)
        executor = ThreadPoolExecutor(1, thread_name_prefix="mpimages-writer")
        with self._piece(missing.count) as tick:
            behind = Behind(executor if self.writer.threaded else None)
            try:
                self._rounds(pieces, buffers, layout, behind, recorder, tick)
            finally:
                buffers.give_up()
                bands.close()
                behind.give_up()
                recorder.give_up()
                quietly(executor.shutdown)

    def _piece(self, pixels: int) -> AbstractContextManager[Tick]:
        """The bytes of so many pixels, to be shown. Local."""
        total = pixels * self.partition.count * self.dtype.itemsize
        return self.images._session.meter.piece(self.action, total, "bytes")

    def _exchange(self, start: int, stop: int, layout: Layout) -> ExchangePlan:
        """How a band is exchanged. Local."""
        parts = Partition.balanced(stop - start, self.comm.size, layout.grain)
        return ExchangePlan(self.partition, parts, self.dtype, layout.exchange or ROUND_BYTES,
                            self.images._session.segments)

    def _rounds(
        self, pieces: list[tuple[int, int]], buffers: Buffers, layout: Layout, behind: Behind,
        recorder: Recorder, tick: Tick,
    ) -> None:
        def write(first: int, values: np.ndarray) -> None:
            with recorder.writing(first, first + len(values)), phase("write", values.nbytes):
                self.writer.write(first, values)

        together = Together(self.comm, self.action)
        series_bytes = self.partition.count * self.dtype.itemsize
        with together.attempt():
            buffers.begin(*pieces[0])
        for number, (start, stop) in enumerate(pieces):
            columns = np.empty((0, stop - start), self.dtype)
            with together.attempt():
                self.images._session.stopping.check(ask=False)  # agreed in this round
                columns = buffers.finish()
            if layout.blocks == 1:  # its block is the one that is filled next
                with together.attempt():
                    behind.finish()
            exchange = self._exchange(start, stop, layout)
            a, b = exchange.pixels.bounds(self.comm.rank)
            block = buffers.block(number, b - a, self.partition.count)
            exchange.execute_within(together, columns, buffers.exchange, block)
            together.agree()  # what a rank could not read reaches no file
            tick((b - a) * series_bytes)
            with together.attempt():
                behind.finish()
                if number + 1 < len(pieces):
                    buffers.begin(*pieces[number + 1])
                if b > a:
                    with phase("compute"):
                        values = np.ascontiguousarray(self.series.run(start + a, block))
                    behind.begin(write, start + a, values)
        with together.attempt():
            behind.finish()
            recorder.flush()
        together.agree()
