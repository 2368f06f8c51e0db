"""Checksums of the pieces of files, added up from runs in any order, by any ranks, in any jobs.

The bytes, values little-endian in C order, are cut into pieces; the CRC-32 of each is stored. CRCs
are linear over GF(2): a run inside a piece adds its own CRC, multiplied by x^(8 n) for the n bytes
between its end and the piece's, and what is added is xor. So a rank keeps one number for each
piece, however many runs it writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from mpi4py import MPI

from ...core.cleanup import quietly
from ...core.crc32 import crc32, parts_of_pieces
from ...core.json_types import JsonObject
from ...spmd.agreement import Together
from ...spmd.collectives import allreduce
from .boxes import little_pieces
from .files import open_again, read_run

LEAST_PIECE = 4 << 20
MOST_PIECES = 4096  # 16 KiB: an attribute that any HDF5 file can hold
MOST_PENDING = 1 << 16
READ_BYTES = 1 << 22


def piece_bytes(size: int) -> int:
    """The length of a piece of `size` bytes: 4 MiB, or so many times that as make 4096 pieces."""
    piece = LEAST_PIECE
    while -(-size // piece) > MOST_PIECES:
        piece *= 2
    return piece


class PieceSums:
    """The checksums of one or more files' bytes as far as this rank knows them.

    Local but for `total`.

    Parameters
    ----------
    sizes : int or sequence of int
        The bytes of each file.
    piece : int, optional
        The length of a piece; default: `piece_bytes`.
    """

    def __init__(self, sizes: int | Sequence[int], piece: int | None = None) -> None:
        self.sizes = np.atleast_1d(np.array(sizes, dtype=np.int64))
        self.piece = piece_bytes(int(self.sizes.max())) if piece is None else piece
        # The number of each file's first piece, and of all pieces.
        self._firsts = np.concatenate([[0], np.cumsum(-(-self.sizes // self.piece))])
        self._sums = np.zeros(self._firsts[-1], dtype=np.uint32)
        self._bytes = np.zeros(self._firsts[-1], dtype=np.int64)
        self._pending: list[tuple[int, int, int, int]] = []
        self._untaken: list[np.ndarray] = []

    def attributes(self) -> JsonObject:
        """The attributes that hold the checksums, not yet known, and the length of a piece."""
        return {
            "checksum": np.zeros(len(self._sums), dtype="<u4"),
            "checksum_piece": np.int64(self.piece),
        }

    def add(self, offset: int, values: np.ndarray, file: int = 0) -> None:
        """Take note of `values`, whose bytes begin at byte `offset` of a file."""
        for part in little_pieces(values):
            data = part.view(np.uint8).data
            while data:
                run = data[: self.piece - offset % self.piece]
                self._pending.append((file, offset, len(run), crc32(run)))
                offset += len(run)
                data = data[len(run) :]
        if len(self._pending) >= MOST_PENDING:
            self._fold()

    def add_stored(
        self, offset: int, length: int, path: str, file: int = 0, start: int = 0
    ) -> bool:
        """Take note of bytes that are on the disk; False where the file ends before.

        They are those from `start + offset` on of the file at `path`.
        """
        buffer = np.empty(min(length, READ_BYTES), dtype=np.uint8)
        descriptor = open_again(path)
        try:
            for place in range(offset, offset + length, READ_BYTES):
                part = buffer[: min(READ_BYTES, offset + length - place)]
                if not read_run(descriptor, part.data, start + place):
                    return False
                self.add(place, part, file)
        finally:
            quietly(os.close, descriptor)
        return True

    def take(self) -> np.ndarray:
        """What was added since the last call: (n, 4) int64, to be handed to `give` by a later job.

        A row is the number of a file and of a piece in it, how many bytes of it were added, and
        their sum.
        """
        self._fold()
        rows = np.concatenate([np.empty((0, 4), np.int64), *self._untaken])
        self._untaken.clear()
        return _by_piece(rows)

    def give(self, rows: Sequence[Sequence[int]] | np.ndarray) -> None:
        """Add what an earlier job took."""
        rows = _rows(rows)
        file, piece = rows[:, 0], rows[:, 1]
        known = (file >= 0) & (file < len(self.sizes)) & (piece >= 0)
        if not known.all() or (self._firsts[file] + piece >= self._firsts[file + 1]).any():
            raise ValueError("checksums of an output of another size")
        np.bitwise_xor.at(self._sums, self._firsts[file] + piece, rows[:, 3].astype(np.uint32))
        np.add.at(self._bytes, self._firsts[file] + piece, rows[:, 2])

    def took(self, rows: Sequence[Sequence[int]]) -> bool:
        """Whether what was added since the last `take` is what gave these rows."""
        return np.array_equal(self.take(), _by_piece(_rows(rows)))

    def total(self, comm: MPI.Intracomm) -> np.ndarray:
        """The CRC-32 of every piece, uint32, from what all ranks have added. Collective.

        Raises
        ------
        RuntimeError
            When bytes were added twice or never: an error of mpimages, not of the caller.
        """
        with Together(comm, "checksums"):
            self._fold()
        sums = allreduce(comm, self._sums.copy(), MPI.BXOR)
        counts = allreduce(comm, self._bytes.copy())
        with Together(comm, "checksums"):
            file = np.repeat(np.arange(len(self.sizes)), np.diff(self._firsts))
            starts = (np.arange(len(counts)) - self._firsts[file]) * self.piece
            wanted = np.minimum(self.piece, self.sizes[file] - starts)
            wrong = np.flatnonzero(counts != wanted)
            if len(wrong):
                first = int(wrong[0])
                raise RuntimeError(
                    f"internal error: {counts[first]} bytes instead of {wanted[first]} were "
                    f"written at byte {starts[first]} of output file {file[first]}"
                )
        return sums

    def by_file(self, sums: np.ndarray) -> list[list[int]]:
        """What `total` gave, file by file."""
        return [part.tolist() for part in np.split(sums, self._firsts[1:-1])]

    def _fold(self) -> None:
        """Add the pending runs to the sums."""
        if not self._pending:
            return
        file, offset, length, crc = np.array(self._pending, dtype=np.int64).T
        self._pending.clear()
        sums = parts_of_pieces(crc, offset + length, self.sizes[file], self.piece)
        rows = _by_piece(np.column_stack([file, offset // self.piece, length, sums]))
        self._untaken.append(rows)
        self.give(rows)


def _rows(listed: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    return np.asarray(listed, dtype=np.int64).reshape(-1, 4)


def _by_piece(rows: np.ndarray) -> np.ndarray:
    """One row for each piece: its file, its number, the bytes and the sum of its runs."""
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    if not len(rows):
        return rows
    first = np.flatnonzero(np.diff(rows[:, :2], axis=0, prepend=-1).any(axis=1))
    return np.column_stack(
        [
            rows[first, :2],
            np.add.reduceat(rows[:, 2], first),
            np.bitwise_xor.reduceat(rows[:, 3], first),
        ]
    )
