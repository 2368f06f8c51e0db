"""Conversion of images to series on disk, in rounds within a budget.

A round is a *band*: the pixels [a, b) of all images. Each rank reads the band of its own
images, the exchange gives each rank its part of the band with all times, and a thread writes
that block. Where the budget has room for two bands and two blocks, threads read the next band and
write the block before while one band is exchanged, and the exchange passes on from band to band
without a pause. There are four ways to get the images:

memory  they are in memory already: a band is a view;
share   each rank's share fits and is not huge: it is read once, whole, and then as above;
bands   the files can be read in part: a band is read from each of them;
frames  they must be decoded or computed whole, and do not fit: they are written once, one by
        one, to a scratch file beside the output, and its bands are read.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing

import numpy as np

from ..core.cleanup import quietly
from ..core.partition import Partition
from ..core.timers import phase
from ..engine.bin_source import every_step, origin
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..engine.sources import FileSource, MemorySource
from ..exchange.bands import Bands, MemoryBands, survey
from ..exchange.redistribution import Redistribution, Turn, move
from ..exchange.to_series import ExchangeSource
from ..progress.meter import Tick
from ..spmd.agreement import Together, from_rank
from ..spmd.watch import calling
from .planning import HELD_BYTES, HELD_PART, ROUND_BYTES, Layout, Plan, lay_out
from .resume import Progress, Recorder, Writer
from .round_buffers import Behind, Buffers
from .scratch_file import frame_bands, write_frames

__all__ = ["check_counts", "convert", "plan_conversion"]


def convert(
    action: Action, series: Settled, source: ExchangeSource, writer: Writer, progress: Progress
) -> None:
    """Write the series of all pixels. Collective.

    Parameters
    ----------
    series : Settled
        Its steps are run on each block.
    source : ExchangeSource
        The source of the series: the images that are transposed.
    writer : a writer of the output
    progress : Progress
        The finished records, which are skipped, and the journal for new ones.
    """
    # From here on messages and the bar name the Images' method: it is images that are read.
    action = source.records.make_action(action.method, action.memory)
    conversion = _Conversion(action, source.settle(), series, writer, progress)
    action.session.workspace.trim()
    if progress.done.count == conversion.pixels:
        return
    share = source.take_share()
    bands, layout = conversion.open_bands(None if share is None else share[0])
    try:
        conversion.run(bands, layout)
    finally:
        bands.close()


def check_counts(action: Action, images: Selection) -> None:
    """Refuse files of several images if the first file has one.

    Collective. Without this check they are refused when they are read.
    """
    images = origin(images)
    comm, source = action.comm, images.source
    if not isinstance(source, FileSource) or source.ends is not None or not source.reader.several:
        return
    with action.together():
        start, stop = Partition.balanced(images.count, comm.size).bounds(comm.rank)
        for file in source.files_of(images.positions[start:stop]).tolist():
            source.check_count(file)


def plan_conversion(action: Action, images: Settled, ranks: int, grain: int) -> Plan:
    """Return the costs of `convert` on `ranks` ranks. Collective.

    Only headers are read: that of the first file, and those of files with several images.

    Raises
    ------
    MemoryError
        If not even the narrowest band fits.
    """
    source = origin(images).source
    counts = Partition.balanced(images.count, ranks).counts

    def ask() -> tuple[str, int]:
        if not isinstance(source, FileSource):
            return "frames", 0
        in_parts = every_step(images) == () and source.reads_parts()
        return "bands" if in_parts else "frames", source.stored_bytes()

    check_counts(action, images)
    way, stored = from_rank(action.comm, 0, action.name, ask, given=(ranks, action.memory, grain))
    way = _held(images, counts, action.memory) or way
    if way == "frames":
        action.check_record(images)
    layout = _layout(way, images, 0, counts, grain, action)
    written = math.prod(images.dims) * images.count * images.dtype.itemsize
    return Plan(
        way, ranks, layout.rounds, layout.memory, action.memory, stored, written, layout.scratch
    )


def _held(images: Settled, counts: tuple[int, ...], memory: int) -> str | None:
    """Return the way that holds the images whole in memory, or None. Local."""
    if isinstance(images.source, MemorySource) and images.steps == ():
        return "memory"
    share = max(counts) * images.record_bytes
    return "share" if share <= min(HELD_PART * memory, HELD_BYTES) else None


def _layout(
    way: str, images: Settled, made: int, counts: tuple[int, ...], grain: int, action: Action
) -> Layout:
    """Lay out a conversion; `made` is the bytes of the steps' result for one series. Local."""
    # For volumes stored page after page, a band is a part of each page's pixels.
    planes = images.dims[2] if len(images.dims) == 3 else 1
    itemsize, pixels = images.dtype.itemsize, math.prod(images.dims)
    return lay_out(
        way,
        counts,
        pixels,
        itemsize,
        sum(counts) * itemsize + 2 * made,
        min(pixels, math.lcm(planes, grain)),
        action.memory,
        action.name,
    )


class _Conversion:
    """The state that all rounds of one conversion share."""

    def __init__(
        self, action: Action, images: Settled, series: Settled, writer: Writer, progress: Progress
    ) -> None:
        self.action = action
        self.comm = action.comm
        self.workspace = action.session.workspace
        self.images = images
        self.series = series
        self.writer = writer
        self.progress = progress
        self.partition = images.partition
        self.dtype = images.dtype
        self.pixels = math.prod(images.dims)
        self.beginning = action.together()  # until the first round

    # -- where the images come from ---------------------------------------------------------

    def open_bands(self, computed: np.ndarray | None) -> tuple[Bands, Layout]:
        """Return the images' bands and the layout of the rounds. Collective.

        `computed` is this rank's share if it was computed already, else None.
        """
        if computed is not None:
            return self._in_memory(computed), self.lay_out("memory")
        begun = self.progress.frames.count > 0  # an earlier job has decoded some
        counts, memory = self.partition.counts, self.action.memory
        held = None if begun else _held(self.images, counts, memory)
        if held is not None:
            layout = self.lay_out(held)  # raises before anything is read
            return self._in_memory(self.action.load(self.images)[0]), layout
        files = None if begun else survey(self.action, self.images)
        if files is not None:
            return files, self.lay_out("bands")
        layout = self.lay_out("frames")
        path = write_frames(self.action, self.images, self.progress)
        self.workspace.trim()  # rounds need memory of other sizes
        with self.action.together():
            own = range(*self.partition.bounds(self.comm.rank))
            bands = frame_bands(path, self.images, own, self.workspace)
        return bands, layout

    def lay_out(self, way: str) -> Layout:
        """Return the layout of the rounds. Local."""
        made = self.series.record_bytes if self.series.steps else 0
        return _layout(
            way, self.images, made, self.partition.counts, self.writer.grain, self.action
        )

    def _in_memory(self, block: np.ndarray) -> MemoryBands:
        rows = np.empty((0, self.pixels), self.dtype)
        with self.beginning.attempt():
            rows = np.ascontiguousarray(block).reshape(len(block), self.pixels)
        return MemoryBands(rows, self.workspace)

    # -- rounds -----------------------------------------------------------------------------

    def run(self, bands: Bands, layout: Layout) -> None:
        """Run the rounds over the pixels that are not done yet. Collective."""
        missing = self.progress.done.missing(self.pixels)
        pieces = list(missing.pieces(layout.width, layout.grain))
        if not pieces:
            return
        width = max(b - a for a, b in pieces)
        part = -(-width // (layout.grain * self.comm.size)) * layout.grain
        buffers = Buffers(bands, self.workspace)
        exchange = self._exchange(width, layout)
        # Once for all rounds: what a turn takes depends on the images, the ranks and the limit, not
        # on the band.
        exchange.reserve()
        with self.beginning.attempt():
            size = (part * self.partition.count,)
            buffers.blocks = [
                self.workspace.empty(size, self.dtype) for _ in pieces[: layout.blocks]
            ]
            buffers.exchange = exchange.buffers(self.comm.rank, part, self.workspace)
            buffers.make(width, len(buffers.blocks))
        self.beginning.agree()
        recorder = self.progress.recorder("done", self.writer.flush)
        executor = ThreadPoolExecutor(1, thread_name_prefix="mpimages-writer")
        with self._piece(missing.count) as tick:
            behind = Behind(executor if self.writer.threaded else None)
            try:
                self._rounds(pieces, buffers, layout, behind, recorder, tick)
            finally:
                buffers.give_up()
                # The writer's thread first: the recorder asks for what it has written.
                behind.give_up()
                recorder.salvage()
                quietly(executor.shutdown)

    def _piece(self, pixels: int) -> AbstractContextManager[Tick]:
        """Return a progress counter for the bytes of `pixels` pixels. Local."""
        total = pixels * self.partition.count * self.dtype.itemsize
        return self.action.session.meter.piece(self.action.method, total, "bytes")

    def _parts(self, width: int, layout: Layout) -> Partition:
        """Return each rank's part of a band. Local."""
        return Partition.balanced(width, self.comm.size, layout.grain)

    def _exchange(self, width: int, layout: Layout) -> Redistribution:
        """Return the redistribution of a band. Local."""
        return Redistribution(
            self.partition,
            self._parts(width, layout),
            self.dtype,
            layout.exchange or ROUND_BYTES,
            self.action.session.segments,
        )

    def _rounds(
        self,
        pieces: list[tuple[int, int]],
        buffers: Buffers,
        layout: Layout,
        behind: Behind,
        recorder: Recorder,
        tick: Tick,
    ) -> None:
        def write(first: int, values: np.ndarray) -> None:
            with recorder.writing(first, first + len(values)), phase("write", values.nbytes):
                self.writer.write(first, values)

        together = self.action.together()
        series_bytes = self.partition.count * self.dtype.itemsize
        firsts = [
            start + self._parts(stop - start, layout).offsets[self.comm.rank]
            for start, stop in pieces
        ]
        with together.attempt():
            for number, piece in enumerate(pieces[: layout.blocks]):
                buffers.begin(number, *piece)
        with closing(self._exchanged(together, pieces, buffers, layout, behind)) as blocks:
            for number, block in enumerate(blocks):
                together.agree()  # a failed read must not reach a file
                tick(len(block) * series_bytes)
                with together.attempt():
                    behind.finish()
                    later = number + layout.blocks
                    if later < len(pieces):
                        buffers.begin(later, *pieces[later])
                    if len(block):
                        start = firsts[number]
                        with calling(self.action.session.glance), phase("compute"):
                            values = np.ascontiguousarray(self.series.run(start, block))
                        behind.begin(write, start, values)
        with together.attempt():
            behind.finish()
            recorder.flush()
        together.agree()

    def _exchanged(
        self,
        together: Together,
        pieces: list[tuple[int, int]],
        buffers: Buffers,
        layout: Layout,
        behind: Behind,
    ) -> Generator[np.ndarray, None, None]:
        """Yield this rank's block of each round, once it is complete. Collective.

        If there are two blocks, a round begins before the one before has ended.
        """

        def turns(numbers: range) -> Iterator[Turn]:
            for number in numbers:
                start, stop = pieces[number]
                columns = np.empty((0, stop - start), self.dtype)
                with together.attempt():
                    self.action.session.stopping.check(ask=False)  # agreed in this round
                    columns = buffers.finish(number)
                if layout.blocks == 1:
                    # It writes the block that this round fills: by a rank that has failed, too.
                    with together.attempt():
                        behind.finish()
                exchange = self._exchange(stop - start, layout)
                own = exchange.pixels.counts[self.comm.rank]
                block = buffers.block(number, own, self.partition.count)
                yield from exchange.turns(columns, range(stop - start), 0, stop - start, block)

        at_once = len(pieces) if layout.blocks > 1 else 1
        for first in range(0, len(pieces), at_once):
            numbers = range(first, first + at_once)
            with closing(move(together, turns(numbers), buffers.exchange)) as moved:
                yield from (turn.block for turn in moved if turn.last)
