"""The products of the values of all series with each other, X^T X, for a matrix of records.

Products of integers of at most 16 bits are below 2^32. They are added in float64 only as long as
the sum stays below 2^53: a matrix product of the BLAS library is then exact, whatever its order.
The totals are integers of 64 bits.

Of all others the products of 1024 records are added by a matrix product of tiles of a fixed shape,
and these sums along the tree of `accumulator`, in the order of the records. The shape of an
operation thus depends on no rank, batch or budget. Records of one such block that lie on several
ranks are sent to the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..core.arguments import is_small_integer
from ..core.partition import Partition
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..spmd import memory_limit
from ..spmd.collectives import Transfer
from .accumulator import Extrema, FloatTree, one_label
from .merge import Arrays, Label, MergeInput, Results, finish_by_bands
from .passes import MERGE_SHARE, statistics, sum_in_passes

__all__ = ["covariance", "gramian"]

# The shape of the matrix products of floats: records, and columns of a tile.
BLOCK, TILE = 1024, 128
# Sums of products of integers are exact in float64 below this.
EXACT = 1 << 53
# Bytes of records that are converted at once.
PIECE_BYTES = 8 << 20
ADVICE = "select fewer times, or give the context more with memory="


def gramian(
    action: Action, series: Selection, centre: np.ndarray | None = None
) -> tuple[np.ndarray, Settled]:
    """Compute the sum over records of the products of each two values. Collective.

    Parameters
    ----------
    centre : (T,) ndarray, optional
        Subtracted from each record: whole numbers within the dtype's range where
        `is_small_integer`.

    Returns
    -------
    (T, T) ndarray
        int64 where `is_small_integer`, else float64; symmetric.
    Settled

    Raises
    ------
    MemoryError
        If the result exceeds the budget; see `sum_in_passes`, too.
    """
    session, partition, rank = action.session, series.partition, action.comm.rank

    def need(dims: Shape, dtype: np.dtype) -> int:
        (length,) = dims
        memory_limit.check_fits(
            4 * 8 * length**2, action.memory, f"{action.name}: the result", ADVICE
        )
        if is_small_integer(dtype):
            return 4 * 8 * length
        blocks = _blocks(partition)
        levels = max(
            count.bit_length() * (2 if first else 1)
            for first, count in zip(blocks.offsets, blocks.counts, strict=False)
        )
        return 8 * _padded(length) * (2 * levels + 2)

    def make(dims: Shape, dtype: np.dtype, band: tuple[int, int]) -> _Products:
        kind = _ExactProducts if is_small_integer(dtype) else _FloatProducts
        return kind(dims[0], dtype, band, centre, partition, rank)

    def merge(sums: _Products) -> np.ndarray:
        sums.complete(action)
        found = finish_by_bands(
            session.nodes,
            [sums.merge_input()],
            {"sums": np.dtype(sums.result)},
            sums.width,
            sums.finish,
            session.workspace.empty,
            action.memory // MERGE_SHARE,
            session.segments,
        )
        with action.together():
            return sums.rows(found["sums"])

    found, known = sum_in_passes(action, series, "the sums of products", need, make, merge)
    with action.together():
        whole = np.concatenate(found)
        # What lies below the diagonal is the same as above it, or was not computed.
        below = np.tril_indices(len(whole), -1)
        whole[below] = whole.T[below]
    return whole, known


def covariance(action: Action, series: Selection) -> np.ndarray:
    """Compute the sample covariance of each two values over the records, (T, T). Collective."""
    found = statistics(action, series, ["mean", "sum"])
    mean, count = found.array("mean"), found.count
    settled = series if isinstance(series, Settled) else series.describe()
    assert isinstance(settled, Settled)
    exact = is_small_integer(settled.dtype)
    centre = np.rint(mean) if exact else mean
    products, _ = gramian(action, settled, centre)
    with action.together():
        if exact:
            rest = (found.array("sum").astype(np.int64) - count * centre.astype(np.int64)) / count
            products = products - count * np.outer(rest, rest)
        covariances: np.ndarray = products / (count - 1)
    return covariances


def _padded(length: int) -> int:
    return -(-length // TILE) * TILE


def _blocks(partition: Partition) -> Partition:
    """Return which blocks of records belong to which rank: a block has its first record's owner."""
    return Partition(tuple(-(-offset // BLOCK) for offset in partition.offsets))


class _Products:
    """One rank's sums of products, for a band of the rows of the result. Local."""

    result: type[np.generic]
    width: int

    def __init__(
        self,
        length: int,
        dtype: np.dtype,
        band: tuple[int, int],
        centre: np.ndarray | None,
        partition: Partition,
        rank: int,
    ) -> None:
        self.length, self.dtype, self.band = length, dtype, band
        self.centre = None if centre is None else centre.astype(np.float64)
        self.partition, self.rank = partition, rank

    def add(self, first: int, batch: np.ndarray) -> None:
        """Add the records from number `first` on, which follow the last ones."""
        raise NotImplementedError

    def complete(self, action: Action) -> None:
        """Add what other ranks have of this rank's blocks. Collective."""

    def merge_input(self) -> MergeInput:
        """Return the operand of this rank for the merge."""
        raise NotImplementedError

    def finish(self, joined: Arrays, out: Results) -> None:
        """Write the sums over all ranks."""
        raise NotImplementedError

    def rows(self, merged: np.ndarray) -> np.ndarray:
        """Return the rows of the band, (rows, length)."""
        raise NotImplementedError

    def convert(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Write records as float64, without their centre."""
        out[...] = rows
        if self.centre is not None:
            with np.errstate(invalid="ignore"):
                out -= self.centre


class _ExactProducts(_Products):
    """Exact sums: float64 as long as they fit, then int64."""

    result = np.int64

    def __init__(
        self,
        length: int,
        dtype: np.dtype,
        band: tuple[int, int],
        centre: np.ndarray | None,
        partition: Partition,
        rank: int,
    ) -> None:
        super().__init__(length, dtype, band, centre, partition, rank)
        if partition.count >= 1 << 31:
            raise OverflowError(
                f"exact sums of products hold 2**31 records, and there are {partition.count}; take "
                "fewer records"
            )
        shape = (band[1] - band[0], length)
        self.width = shape[0] * length
        self.recent, self.sums = np.zeros(shape), np.zeros(shape, np.int64)
        # So many records have sums of products that float64 holds.
        self.most = EXACT >> (16 * dtype.itemsize)
        self.held = 0
        self.step = max(1, min(PIECE_BYTES // (8 * length), self.most))
        self.piece = np.empty((min(self.step, max(partition.counts)), length))

    def add(self, first: int, batch: np.ndarray) -> None:
        for i in range(0, len(batch), self.step):
            rows = batch[i : i + self.step]
            piece = self.piece[: len(rows)]
            self.convert(rows, piece)
            if self.held + len(rows) > self.most:
                self._settle()
            self.held += len(rows)
            whole = self.recent.shape[0] == self.length
            some = piece if whole else piece[:, slice(*self.band)]
            self.recent += some.T @ piece

    def _settle(self) -> None:
        self.sums += self.recent.astype(np.int64)
        self.recent[...] = 0
        self.held = 0

    def merge_input(self) -> MergeInput:
        def own() -> list[np.ndarray]:
            self._settle()
            return [self.sums.reshape(1, -1)]

        def join(labels: list[Label], arrays: list[np.ndarray]) -> list[np.ndarray]:
            for array in arrays[1:]:
                arrays[0] += array
            return arrays[:1]

        return MergeInput(own, 1, np.dtype(np.int64), one_label, join)

    def finish(self, joined: Arrays, out: Results) -> None:
        out["sums"][...] = joined[0][0][0]

    def rows(self, merged: np.ndarray) -> np.ndarray:
        return merged.reshape(-1, self.length)


class _FloatProducts(_Products):
    """Products of blocks of records, by tiles; summed along the tree over the blocks."""

    result = np.float64

    def __init__(
        self,
        length: int,
        dtype: np.dtype,
        band: tuple[int, int],
        centre: np.ndarray | None,
        partition: Partition,
        rank: int,
    ) -> None:
        super().__init__(length, dtype, band, centre, partition, rank)
        self.columns = _padded(length)
        # The rows of the result that whole tiles have.
        self.low, self.high = band[0] // TILE * TILE, _padded(band[1])
        self.width = (self.high - self.low) * self.columns
        self.start, self.stop = partition.bounds(rank)
        first, stop = _blocks(partition).bounds(rank)
        self.tree = FloatTree(self.width, np.dtype(np.float64), False, first, stop, np.empty)
        self.none = Extrema(self.width, np.dtype(np.float64), set())
        # The records of this rank that belong to a block of a rank before.
        self.head = np.empty((min(first * BLOCK, self.stop) - self.start, length), dtype)
        self.block = np.zeros((BLOCK, self.columns))
        self.product = np.zeros((self.high - self.low, self.columns))

    def add(self, first: int, batch: np.ndarray) -> None:
        kept = min(len(batch), max(0, self.start + len(self.head) - first))
        if kept:
            self.head[first - self.start : first - self.start + kept] = batch[:kept]
        place = kept
        while place < len(batch):
            number, at = divmod(first + place, BLOCK)
            taken = batch[place : place + BLOCK - at]
            self.convert(taken, self.block[at : at + len(taken), : self.length])
            place += len(taken)
            if at + len(taken) == BLOCK:
                self._push(number)

    def _push(self, number: int) -> None:
        """Add the products of a block that is full."""
        with np.errstate(over="ignore", invalid="ignore"):
            for row in range(self.low, self.high, TILE):
                left = self.block[:, row : row + TILE].T
                for column in range(row, self.columns, TILE):
                    right = self.block[:, column : column + TILE]
                    place = slice(row - self.low, row - self.low + TILE)
                    self.product[place, column : column + TILE] = left @ right
        self.tree.add(number, self.product.reshape(1, -1), self.none)

    def complete(self, action: Action) -> None:
        last = _blocks(self.partition).bounds(self.rank)[1] - 1
        sent: list[tuple[int, np.ndarray]] = []
        received: list[tuple[int, np.ndarray]] = []
        with action.together():
            if len(self.head):
                sent.append((self._owner(self.start), np.ascontiguousarray(self.head)))
            received = [
                (rank, np.empty((stop - start, self.length), self.dtype))
                for rank, start, stop in self._missing()
            ]
        Transfer(action.comm, sent, received).finish()
        with action.together():
            unfinished = self.tree.range[1] > self.tree.range[0] and (
                self.stop % BLOCK or bool(received)
            )
            if unfinished:
                at = self.stop - last * BLOCK
                for _, rows in received:
                    self.convert(rows, self.block[at : at + len(rows), : self.length])
                    at += len(rows)
                self.block[at:] = 0
                self._push(last)

    def _owner(self, number: int) -> int:
        """Return the rank that has the first record of a record's block."""
        first = number // BLOCK * BLOCK
        return int(np.searchsorted(self.partition.offsets, first, side="right")) - 1

    def _missing(self) -> Iterator[tuple[int, int, int]]:
        """Yield the ranks that have records of this rank's last block, and which records."""
        first, stop = self.tree.range
        if first == stop:
            return
        end = min(stop * BLOCK, self.partition.count)
        for rank in range(self.rank + 1, self.partition.parts):
            begin, beyond = self.partition.bounds(rank)
            if begin >= end:
                return
            if beyond > begin:
                yield rank, begin, min(beyond, end)

    def merge_input(self) -> MergeInput:
        (given,) = self.tree.merge_input(_blocks(self.partition))
        return given

    def finish(self, joined: Arrays, out: Results) -> None:
        total = {"sum": out["sums"], "mean": None, "variance": None}
        self.tree.finish([joined[0]], _blocks(self.partition), total)

    def rows(self, merged: np.ndarray) -> np.ndarray:
        rows = merged.reshape(-1, self.columns)
        return rows[self.band[0] - self.low : self.band[1] - self.low, : self.length]
