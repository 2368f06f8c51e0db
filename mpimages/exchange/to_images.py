"""The source of images that are made of series, or of blocks, by exchange between the ranks.

It is the exchange of `source` the other way: each rank has some pixels with all times, and gets
some times with all pixels. If a rank's share fits into a part of the budget, the records are
computed once. Otherwise they are computed in several passes, each for a window of the times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from ..core.grid import Grid
from ..core.partition import Partition
from ..core.workspace import Workspace
from ..engine.block_steps import block_of
from ..engine.chain import Chain, Positions, Relabel, Shape
from ..engine.runner import Action, Records
from ..engine.selection import Selection, Settled
from ..kernels.transpose import transpose
from ..spmd import memory_limit
from .column_reader import (
    PlainRows,
    Reader,
    Rows,
    find_out,
    held,
    in_memory,
    load_rows,
    pieces,
    read_anew,
)
from .redistribution import Columns, Redistribution
from .source import ExchangedSource
from .to_blocks import BlockSource

__all__ = ["FrameSource", "chain_of"]

# Divisors of the budget for a rank's rows, of series and of blocks; computing them needs the rest.
ROWS_PART, BLOCK_ROWS_PART = 3, 4
# Divisor of the budget for a batch of images.
BATCH_PART = 16
# Images that a rank must be able to hold: the rows of a window, as they come, and in their order.
HELD_IMAGES = 3


class BlockRows:
    """The pixels of blocks, without their halos, as rows: one block after the other.

    Parameters
    ----------
    rank : int
    grid : Grid

    Attributes
    ----------
    in_order : bool
        True if the rows are in C order of the image's pixels.
    """

    def __init__(self, rank: int, grid: Grid) -> None:
        self._rank = rank
        self._grid = grid
        self.in_order = grid.in_order
        shapes = (math.prod(grid.shape(number)) for number in range(grid.count))
        self._ends = np.concatenate([[0], np.cumsum(list(shapes), dtype=np.int64)])

    def partition(self, records: Selection) -> Partition:
        return Partition(tuple(int(self._ends[place]) for place in records.partition.offsets))

    def put(
        self, records: Selection, first: int, batch: np.ndarray, columns: Columns, out: np.ndarray
    ) -> None:
        begin = self._ends[records.partition.bounds(self._rank)[0]]
        for number, record in enumerate(batch, first):
            block = block_of(record, self._grid.outer(number)[1])
            inner = block[(slice(None), *self._grid.inside(number))]
            rows = out[self._ends[number] - begin : self._ends[number + 1] - begin]
            for a, b, some in pieces(columns):
                part = np.ascontiguousarray(inner[some]).reshape(b - a, len(rows))
                transpose(part, rows[:, a:b])

    def arrange(self, batch: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Write flat images, of which the pixels come block by block, in C order; return out."""
        grid, count = self._grid, len(batch)
        images = out.reshape(count, *grid.dims)
        for number in range(grid.count):
            start, shape = grid.start(number), grid.shape(number)
            box = tuple(slice(low, low + n) for low, n in zip(start, shape, strict=True))
            block = batch[:, self._ends[number] : self._ends[number + 1]]
            images[(slice(None), *box)] = block.reshape(count, *shape)
        return out


class FrameSource(ExchangedSource):
    """The records of Images, obtained from series or blocks by exchange. Record t is time t.

    Parameters
    ----------
    parts : Records
        Of a Series or of Blocks, and shared with them.
    extent : callable
        Returns the dims of an image, or None while only an action can tell.
    blocks : BlockSource, optional
        Of the blocks; without it the records are series.
    """

    name = "toImages"

    def __init__(
        self, parts: Records, extent: Callable[[], Shape | None], blocks: BlockSource | None = None
    ) -> None:
        super().__init__(parts)
        self._extent = extent
        self._blocks = blocks
        self._share: np.ndarray | None = None

    @property
    def parameters(self) -> tuple[object, ...]:
        """That the images are not those of the recording."""
        return ("frames", self.records.kind)

    @property
    def count(self) -> int | None:
        """The number of times, or None while only an action can tell."""
        dims = self.records.dims
        if dims is None or self.records.dtype is None or self._extent() is None:
            return None
        if self.records.count is None:  # a filter: `prepare` looks what it has left
            return None
        return dims[0]

    @property
    def dims(self) -> Shape | None:
        """The shape of an image, or None while only an action can tell."""
        return self._extent()

    def prepare(self) -> None:
        """Find out the number of times. Collective.

        If only running the steps can tell, their results are kept for the exchange that follows,
        if they fit.
        """
        action = self._action()
        selection = self.records.settle(action)
        self.check_count(selection.count)
        if not isinstance(selection, Settled):
            self._share = find_out(action, selection, self._rows())
            self.records.settle(action)

    def check_count(self, count: int) -> None:
        """Raise ValueError unless so many series or blocks are all of them. Local."""
        extent, blocks = self._extent(), self._blocks
        if extent is None:
            return
        whole, what = math.prod(extent), "pixels"
        if blocks is not None:
            whole, what = blocks.known_grid().count, "blocks"
        if count != whole:
            raise ValueError(
                f"toImages needs a record for each of {whole} {what}, but a filter has left "
                f"{count}; use values().collect(), or leave the filter out"
            )

    def _rows(self) -> Rows:
        rank = self.records.session.rank
        return (
            PlainRows(rank) if self._blocks is None else BlockRows(rank, self._blocks.known_grid())
        )

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """See `Source`. Collective."""
        for batch in self._moved(positions, partition, rank, limit, workspace):
            if len(batch):
                yield batch.reshape(len(batch), *(self._extent() or ()))

    def load(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        out: np.ndarray,
        limit: int,
        workspace: Workspace,
        tick: Callable[[int], None],
    ) -> None:
        """Write all of this rank's images into out, (n,) + dims. Collective."""
        flat = out.reshape(len(out), math.prod(out.shape[1:]))
        for batch in self._moved(positions, partition, rank, limit, workspace, flat):
            tick(len(batch))

    def _moved(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        out: np.ndarray | None = None,
    ) -> Generator[np.ndarray]:
        """Yield this rank's images, flat, a batch at a time; they are in `out` if there is one."""
        action, records = self._action(), self.settle()
        rows = self._rows()
        owners = rows.partition(records)
        self._check(action, owners, records.dtype)
        limit = min(limit, max(1, action.memory // BATCH_PART))
        reader, width = self._reader(action, records, rows, owners, partition)
        arranged = np.empty(0)
        mixed = isinstance(rows, BlockRows) and not rows.in_order
        with closing(reader):
            if mixed and out is None:
                with action.together():
                    plan = Redistribution(owners, partition, records.dtype, limit)
                    number = min(plan.width, max(partition.counts))
                    arranged = workspace.empty((number, owners.count), records.dtype)
            done = 0
            for first in range(0, max(partition.counts), width):
                wanted, counts = _window(positions, partition, first, width)
                values, columns = reader.load(wanted)
                plan = Redistribution(
                    owners, counts, records.dtype, limit, action.session.segments, tall=True
                )
                own = None if out is None else out[done : done + counts.counts[rank]]
                target = None if mixed else own
                moved = plan.execute(action.comm, values, columns, workspace, target, "toImages")
                for batch in moved:
                    if isinstance(rows, BlockRows) and mixed:
                        place = arranged if out is None else out[done:]
                        batch = rows.arrange(batch, place[: len(batch)])
                    done += len(batch)
                    yield batch
                del values

    def _check(self, action: Action, owners: Partition, dtype: np.dtype) -> None:
        """Raise MemoryError if an image does not fit; the same on all ranks. Local."""
        most = max(owners.count, owners.parts * max(owners.counts)) * dtype.itemsize
        memory_limit.check_fits(
            HELD_IMAGES * most,
            action.memory,
            f"toImages: one image of shape {self._extent()} and dtype {dtype}",
            "give the context more with memory=",
        )

    def _reader(
        self, action: Action, records: Settled, rows: Rows, owners: Partition, partition: Partition
    ) -> tuple[Reader, int]:
        """Return what gets the rows, and how many times of a rank it gets at once. Collective."""
        share, self._share = self._share, None
        whole = max(1, *partition.counts)
        if share is not None:
            return held(share), whole
        if isinstance(rows, PlainRows) and in_memory(records):
            return held(load_rows(action, records)), whole
        most = max(owners.counts) * records.dtype.itemsize
        part = ROWS_PART if self._blocks is None else BLOCK_ROWS_PART
        width = max(1, action.memory // part // max(1, most * partition.parts))
        return read_anew(action, records, rows, in_part=False), min(width, whole)


def _window(
    positions: Positions, partition: Partition, first: int, width: int
) -> tuple[Positions, Partition]:
    """Return the times number `first` to `first + width` of each rank, and how many each has."""
    parts, counts = [], []
    for start, stop in map(partition.bounds, range(partition.parts)):
        a, b = min(stop, start + first), min(stop, start + first + width)
        parts.append(positions[a:b])
        counts.append(b - a)
    if sum(counts) == len(positions):
        return positions, Partition.fromCounts(counts)
    numbers = [np.arange(p.start, p.stop, p.step) if isinstance(p, range) else p for p in parts]
    return np.concatenate(numbers), Partition.fromCounts(counts)


def chain_of(source: FrameSource, labels: Callable[[int], Positions]) -> Chain:
    """Return the chain of all images of a source. Local.

    `labels` returns the keys of so many images; it is called when the number is known.

    Raises
    ------
    ValueError
        If it is known already that series or blocks are missing.
    """
    if source.records.count is not None:
        source.check_count(source.records.count)
    count = source.count
    if count is None:
        return Chain(source, None, None, (Relabel(labels),))
    return Chain(source, range(count), labels(count))
