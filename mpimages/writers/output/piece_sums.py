"""Checksums of a dataset's pieces, added up from runs in any order, by any ranks, in any jobs.

The dataset's values, little-endian in C order, are cut into pieces; the CRC-32 of each is
stored. CRCs are linear over GF(2): a run inside a piece adds its own CRC, multiplied by
x^(8 n) for the n bytes between its end and the piece's, and what is added is xor. So a rank
keeps one number for each piece, however many runs it writes.
"""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from ...core.crc32 import crc32, parts_of_pieces
from ...core.json_types import JsonObject
from ...spmd.agreement import Together, allreduce
from .boxes import little_pieces

__all__ = ["PieceSums", "piece_bytes"]

LEAST_PIECE = 4 << 20
MOST_PIECES = 4096  # 16 KiB: an attribute that any HDF5 file can hold
MOST_PENDING = 1 << 16


def piece_bytes(size: int) -> int:
    """The length of a piece of `size` bytes: 4 MiB, or so many times that as make 4096 pieces."""
    piece = LEAST_PIECE
    while -(-size // piece) > MOST_PIECES:
        piece *= 2
    return piece


class PieceSums:
    """The checksums of `size` bytes as far as this rank knows them. Local but for `total`.

    Parameters
    ----------
    size : int
        The dataset's bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.piece = piece_bytes(size)
        count = -(-size // self.piece)
        self._sums = np.zeros(count, dtype=np.uint32)
        self._bytes = np.zeros(count, dtype=np.int64)
        self._pending: list[tuple[int, int, int]] = []
        self._untaken: list[np.ndarray] = []

    def attributes(self) -> JsonObject:
        """The attributes that hold the checksums, not yet known, and the length of a piece."""
        return {
            "checksum": np.zeros(len(self._sums), dtype="<u4"),
            "checksum_piece": np.int64(self.piece),
        }

    def add(self, offset: int, values: np.ndarray) -> None:
        """Take note of `values`, whose bytes begin at byte `offset` of the dataset."""
        for part in little_pieces(values):
            data = part.view(np.uint8).data
            while data:
                run = data[: self.piece - offset % self.piece]
                self._pending.append((offset, len(run), crc32(run)))
                offset += len(run)
                data = data[len(run) :]
        if len(self._pending) >= MOST_PENDING:
            self._fold()

    def take(self) -> np.ndarray:
        """What was added since the last call: (n, 4) int64, to be handed to `give` by a later job.

        A row is 0, the number of a piece, how many bytes of it were added, and their sum.
        """
        self._fold()
        rows = np.concatenate([np.empty((0, 4), np.int64), *self._untaken])
        self._untaken.clear()
        return _by_piece(rows[:, 1], rows[:, 2], rows[:, 3].astype(np.uint32))

    def give(self, rows: np.ndarray) -> None:
        """Add what an earlier job took."""
        rows = np.asarray(rows, dtype=np.int64).reshape(-1, 4)
        if rows.size and (rows[:, 1].min() < 0 or rows[:, 1].max() >= len(self._sums)):
            raise ValueError("checksums of a dataset of another size")
        np.bitwise_xor.at(self._sums, rows[:, 1], rows[:, 3].astype(np.uint32))
        np.add.at(self._bytes, rows[:, 1], rows[:, 2])

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
            starts = np.arange(len(counts)) * self.piece
            wanted = np.minimum(self.piece, self.size - starts)
            wrong = np.flatnonzero(counts != wanted)
            if len(wrong):
                first = int(wrong[0])
                raise RuntimeError(
                    f"internal error: {counts[first]} bytes instead of {wanted[first]} were "
                    f"written at byte {starts[first]} of the dataset"
                )
        return sums

    def _fold(self) -> None:
        """Add the pending runs to the sums."""
        if not self._pending:
            return
        offset, length, crc = np.array(self._pending, dtype=np.int64).T
        self._pending.clear()
        ends = offset + length
        sums = parts_of_pieces(crc, ends, np.full(len(crc), self.size), self.piece)
        rows = _by_piece(offset // self.piece, length, sums)
        self._untaken.append(rows)
        self.give(rows)


def _by_piece(number: np.ndarray, length: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """One row for each piece: 0, its number, the bytes and the sum of its runs."""
    order = np.argsort(number, kind="stable")
    pieces, first = np.unique(number[order], return_index=True)
    rows = np.zeros((len(pieces), 4), dtype=np.int64)
    if len(pieces):
        rows[:, 1] = pieces
        rows[:, 2] = np.add.reduceat(length[order], first)
        rows[:, 3] = np.bitwise_xor.reduceat(sums[order], first)
    return rows
