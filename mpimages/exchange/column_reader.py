"""Some columns of all records of a collection, of which each rank has rows: what an exchange moves.

The columns of images are pixels, and those of series are times. If a rank's share fits into the
budget it is held, whole. Otherwise each round reads or computes anew the columns that it moves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Protocol

import numpy as np

from ..core.partition import Partition
from ..core.ranges import consecutive
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..engine.sources import MemorySource
from .bands import FileBands, survey
from .redistribution import Columns

__all__ = [
    "PlainRows",
    "Reader",
    "Rows",
    "find_out",
    "held",
    "in_memory",
    "load_rows",
    "pieces",
    "read_anew",
]

# Pixels that lie less than so many bytes apart in an image are read at once.
GAP_BYTES = 1 << 15
# Divisor of the budget for rows that are kept because a pass was needed anyway.
KEPT_PART = 2
# Divisor of the budget for columns that are read at once.
PIECE_PART = 16
# Columns whose numbers are looked up at once: they stay in the cache.
PIECE = 1 << 16


class Rows(Protocol):
    """How the records of a collection become rows. Local."""

    def partition(self, records: Selection) -> Partition:
        """Return how many rows each rank has."""

    def put(
        self, records: Selection, first: int, batch: np.ndarray, columns: Columns, out: np.ndarray
    ) -> None:
        """Write some columns of the rows of a batch to their places in this rank's rows.

        `first` is the place of batch[0] among all records; out has the columns alone.
        """


class PlainRows:
    """Each record is a row."""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def partition(self, records: Selection) -> Partition:
        return records.partition

    def put(
        self, records: Selection, first: int, batch: np.ndarray, columns: Columns, out: np.ndarray
    ) -> None:
        first -= records.partition.bounds(self._rank)[0]
        rows = batch.reshape(len(batch), -1)
        for a, b, some in pieces(columns):
            out[first : first + len(rows), a:b] = rows[:, some]


def pieces(columns: Columns, most: int = PIECE) -> Iterator[tuple[int, int, slice | np.ndarray]]:
    """Yield columns in pieces: from which place to which, and their numbers as an index."""
    for first in range(0, len(columns), most):
        some = columns[first : first + most]
        run = isinstance(some, range) and some.step == 1
        index = slice(some[0], some[-1] + 1) if run else np.asarray(some)
        yield first, first + len(some), index


class Reader(Protocol):
    """The columns of this rank's rows.

    Attributes
    ----------
    partial : bool
        True if no more is read than what is asked for.
    passes : bool
        True if each call is a pass over all records.
    """

    partial: ClassVar[bool]
    passes: ClassVar[bool]

    def load(self, columns: Columns) -> tuple[np.ndarray, Columns]:
        """Return an array of this rank's rows, and where in it the columns are. Collective."""

    def close(self) -> None:
        """Close what is open."""


class _Held:
    """Rows in memory, with all of their columns."""

    partial: ClassVar[bool] = False
    passes: ClassVar[bool] = False

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def load(self, columns: Columns) -> tuple[np.ndarray, Columns]:
        return self._rows, columns

    def close(self) -> None:
        pass


class _Streamed:
    """Records that are streamed through their steps for each round."""

    partial: ClassVar[bool] = False
    passes: ClassVar[bool] = True

    def __init__(self, action: Action, records: Settled, rows: Rows) -> None:
        self._action = action
        self._records = records
        self._rows = rows

    def load(self, columns: Columns) -> tuple[np.ndarray, Columns]:
        action, records = self._action, self._records
        out = np.empty(0)
        with action.together():
            own = self._rows.partition(records).counts[action.comm.rank]
            out = action.session.workspace.empty((own, len(columns)), records.dtype)
        action.stream(
            records, lambda first, batch: self._rows.put(records, first, batch, columns, out)
        )
        return out, range(len(columns))

    def close(self) -> None:
        pass


class _Read:
    """Images in files that can be read in part: only the pixels that a round moves are read."""

    partial: ClassVar[bool] = True
    passes: ClassVar[bool] = False

    def __init__(self, action: Action, files: FileBands) -> None:
        self._action = action
        self._files = files

    def load(self, columns: Columns) -> tuple[np.ndarray, Columns]:
        action, files = self._action, self._files
        out = np.empty((0, len(columns)), files.dtype)
        with action.together():
            if files.count:
                out = action.session.workspace.empty((files.count, len(columns)), files.dtype)
                most = max(1, action.memory // PIECE_PART // (files.count * files.dtype.itemsize))
                for a, _, some in pieces(columns, most):
                    action.session.stopping.check()
                    self._read(some, out[:, a:], most)
        return out, range(len(columns))

    def _read(self, some: slice | np.ndarray, out: np.ndarray, most: int) -> None:
        """Read pixels into the first columns of out, at most about `most` at a time."""
        files, grain, done = self._files, self._files.grain, 0
        numbers = np.arange(some.start, some.stop) if isinstance(some, slice) else some
        gap = max(1, GAP_BYTES // files.dtype.itemsize)
        for a, b in _spans(numbers, gap, most):
            first, last = (
                int(numbers[a]) // grain * grain,
                -(-int(numbers[b - 1] + 1) // grain) * grain,
            )
            read = self._action.session.workspace.empty((files.count, last - first), files.dtype)
            files.begin(first, last, read).finish()
            if b - a == numbers[b - 1] + 1 - numbers[a]:
                out[:, done : done + b - a] = read[
                    :, numbers[a] - first : numbers[b - 1] + 1 - first
                ]
            else:
                out[:, done : done + b - a] = np.take(read, numbers[a:b] - first, axis=1)
            done += b - a

    def close(self) -> None:
        self._files.close()


def _spans(numbers: np.ndarray, gap: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield the places [a, b) of numbers that are read at once: ascending, without wide gaps."""
    begin = end = 0
    for a, b in consecutive(numbers):
        near = a and 0 < numbers[a] - numbers[a - 1] <= gap
        if a and not (near and numbers[b - 1] - numbers[begin] < most):
            yield begin, end
            begin = a
        end = b
    if end > begin:
        yield begin, end


def held(rows: np.ndarray) -> Reader:
    """Return rows that are in memory already. Local."""
    return _Held(rows)


def load_rows(action: Action, records: Settled) -> np.ndarray:
    """Return the records of this rank, each a row: those that are known to fit. Collective."""
    block, _ = action.load(records)
    with action.together():
        return np.ascontiguousarray(block).reshape(len(block), math.prod(records.dims))


def find_out(action: Action, records: Selection, rows: Rows) -> np.ndarray | None:
    """Run steps of which the results are not known, and keep the rows if they fit. Collective.

    Returns
    -------
    ndarray or None
        The rows of this rank; None on all ranks if a rank's would not fit into half of the budget.
    """
    own, made = rows.partition(records), None
    widest = max(1, action.memory // KEPT_PART // max(1, *own.counts))

    def keep(first: int, batch: np.ndarray) -> None:
        nonlocal made
        columns = math.prod(batch.shape[1:]) if isinstance(rows, PlainRows) else batch.shape[1]
        if columns * batch.dtype.itemsize > widest:
            return
        if made is None:
            shape = own.counts[action.comm.rank], columns
            made = action.session.workspace.empty(shape, batch.dtype)
        rows.put(records, first, batch, range(columns), made)

    known = action.stream(records, keep)
    columns = math.prod(known.dims) if isinstance(rows, PlainRows) else known.dims[0]
    if columns * known.dtype.itemsize > widest:
        return None
    return np.empty((0, columns), known.dtype) if made is None else made


def read_anew(action: Action, records: Settled, rows: Rows, in_part: bool = True) -> Reader:
    """Return what reads or computes the columns of each round, in bounded memory. Collective."""
    files = survey(action, records) if in_part else None
    return _Streamed(action, records, rows) if files is None else _Read(action, files)


def in_memory(records: Selection) -> bool:
    """Return True if records lie in memory as they are. Local."""
    return isinstance(records.source, MemorySource) and not records.steps
