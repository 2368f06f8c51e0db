"""The source of blocks of images, each with all times on one rank, by exchange between the ranks.

In a round each rank gets one block, or a few small ones. What it gets are pixels with all times,
as in `source`; the pixels of a halo go to several ranks. If the images do not fit into the budget,
each round reads the pixels that it moves from files that can be read in part, or else computes all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import closing

import numpy as np

from ..core.grid import BlockPixels, Cut, Grid
from ..core.partition import Partition
from ..core.sizes import size_text
from ..core.timers import phase
from ..core.workspace import Workspace
from ..engine.block_steps import block_of
from ..engine.chain import Positions, Shape
from ..engine.runner import Action, Records
from ..engine.selection import Selection, Settled
from ..engine.sources import MemorySource, copy_batches
from ..kernels.transpose import transpose
from ..spmd import memory_limit
from .column_reader import PlainRows, Reader, find_out, held, in_memory, load_rows, read_anew
from .redistribution import Redistribution
from .source import ExchangedSource

__all__ = ["BlockSource"]

# What a rank holds of the blocks of a round: as they come, as records, a function's copy and what
# it returns.
HELD_BLOCKS = 4
# Divisor of the budget for the blocks of a round, of which there are as many.
BLOCKS_PART = 4 * HELD_BLOCKS
# The same where each round is a pass over all images.
PASS_PART = 8

logger = logging.getLogger("mpimages")


class BlockSource(ExchangedSource):
    """The records of Blocks. Record i is block number i of the grid; see `engine.block_steps`.

    Parameters
    ----------
    images : Records
        Shared with the Images: results of settling are visible to both.
    cut : Cut
    """

    name = "toBlocks"

    def __init__(self, images: Records, cut: Cut) -> None:
        super().__init__(images)
        self.cut = cut
        self._share: np.ndarray | None = None
        self._grid: tuple[object, Grid] | None = None
        self._told = False

    @property
    def parameters(self) -> tuple[object, ...]:
        """How the images are cut."""
        return ("blocks", self.cut.size, self.cut.units, self.cut.padding)

    @property
    def grid(self) -> Grid | None:
        """The blocks; None while only an action can tell."""
        images = self.records
        dims, dtype, count = images.dims, images.dtype, images.count
        if dims is None or dtype is None or not count:
            return None
        known = (dims, count * dtype.itemsize)
        if self._grid is None or self._grid[0] != known:
            self._grid = known, self.cut.grid(*known)
        return self._grid[1]

    def known_grid(self) -> Grid:
        """Return the blocks of images that an action has settled. Local."""
        if self.grid is None:
            raise RuntimeError("internal error: the dims of Blocks are not known yet")
        return self.grid

    @property
    def count(self) -> int | None:
        """The number of blocks, or None while only an action can tell."""
        return None if self.grid is None else self.grid.count

    @property
    def dims(self) -> Shape | None:
        """(times, pixels of the largest block), or None while only an action can tell."""
        count = self.records.count
        return None if self.grid is None or count is None else (count, self.grid.largest)

    def prepare(self) -> None:
        """Find out the number of blocks and of times. Collective.

        If only running the images' steps can tell, their results are kept for the exchange
        that follows, if they fit.
        """
        action = self._action()
        selection = self.records.settle(action)
        if selection.count == 0:
            raise ValueError("toBlocks: the collection has no images")
        if not isinstance(selection, Settled):
            self._share = find_out(action, selection, self._rows())
            self.records.settle(action)
        self.known_grid()

    def _rows(self) -> PlainRows:
        return PlainRows(self.records.session.rank)

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
        action, images = self._action(), self.settle()
        grid, comm = self.known_grid(), action.comm
        times, dtype = images.count, images.dtype
        block = times * grid.largest * dtype.itemsize
        self._check(action, grid, times, block)
        many = max(1, min(limit, action.memory // BLOCKS_PART) // block)
        few = 2 * len(positions) < grid.count
        with closing(self._reader(action, images, many * block, few)) as reader:
            if reader.passes:  # as few as can be
                many = max(1, action.memory // PASS_PART // block)
                self._tell(action, max(partition.counts), many)
            many = min(many, max(1, *partition.counts))
            with action.together():
                received = workspace.empty((many * grid.largest, times), dtype)
                batch = workspace.empty((many, times, grid.largest), dtype)
            for first in range(0, max(partition.counts), many):
                each = [
                    [int(i) for i in positions[start + first : min(stop, start + first + many)]]
                    for start, stop in map(partition.bounds, range(partition.parts))
                ]
                pixels = BlockPixels(grid, [number for numbers in each for number in numbers])
                counts = _counts(pixels, each)
                values, columns = reader.load(pixels)
                plan = Redistribution(
                    images.partition, counts, dtype, limit, action.session.segments
                )
                target = received[: counts.counts[rank]]
                for _ in plan.execute(comm, values, columns, workspace, target, "toBlocks"):
                    pass
                del values
                if each[rank]:
                    done = 0
                    for place, number in enumerate(each[rank]):
                        done += _put(received[done:], grid, number, batch[place])
                    yield batch[: len(each[rank])]

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
        """Write all of this rank's blocks into out, (n, times, pixels). Collective."""
        copy_batches(self.batches(positions, partition, rank, limit, workspace), out, tick)

    def _tell(self, action: Action, blocks: int, many: int) -> None:
        """Log on rank 0, once, if blocks take several passes over the images. Local."""
        passes = -(-blocks // many)
        if passes > 1 and action.comm.rank == 0 and not self._told:
            logger.warning(
                "toBlocks: the images exceed the budget of %s and cannot be read in part: they are "
                "read or computed %d times for all blocks; give the context more with memory=, or "
                "save them first, uncompressed",
                size_text(action.memory),
                passes,
            )
        self._told = True

    def _check(self, action: Action, grid: Grid, times: int, block: int) -> None:
        """Raise MemoryError if a block does not fit; the same on all ranks. Local."""
        shape = ", ".join(map(str, (times, *grid.block_shape)))
        memory_limit.check_fits(
            HELD_BLOCKS * block,
            action.memory,
            f"toBlocks: a block of shape ({shape}) has {size_text(block)} with its halo, and it",
            "give a smaller size=, or the context more with memory=",
        )

    def _reader(self, action: Action, images: Settled, blocks: int, few: bool) -> Reader:
        """Return what gets the pixels of a round. Collective.

        `blocks` is the bytes of a rank's blocks in a round; `few` says that not half of all blocks
        are wanted, of which the pixels are then read alone if they can be.
        """
        share, self._share = self._share, None
        if share is not None:
            return held(share)
        rows = self._rows()
        own = max(images.partition.counts) * images.record_bytes
        fits = in_memory(images) or own + HELD_BLOCKS * blocks <= action.memory
        if fits and few and _in_files(images):
            reader = read_anew(action, images, rows)
            if reader.partial:
                return reader
            reader.close()
        return held(load_rows(action, images)) if fits else read_anew(action, images, rows)


def _counts(pixels: BlockPixels, each: list[list[int]]) -> Partition:
    """Return the pixels that each rank gets of its blocks."""
    ends, counts = 0, []
    for numbers in each:
        begin = pixels.ends[ends]
        ends += len(numbers)
        counts.append(pixels.ends[ends] - begin)
    return Partition.fromCounts(counts)


def _put(rows: np.ndarray, grid: Grid, number: int, record: np.ndarray) -> int:
    """Write a block, of which the pixels are the first rows, as a record. Return their number."""
    block = block_of(record, grid.outer(number)[1]).reshape(len(record), -1)
    with phase("exchange", block.nbytes):
        transpose(rows[: block.shape[1]], block)
    return block.shape[1]


def _in_files(images: Selection) -> bool:
    return not images.steps and not isinstance(images.source, MemorySource)
