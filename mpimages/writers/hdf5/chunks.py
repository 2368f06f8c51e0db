"""Compressed HDF5: every chunk is owned and compressed by one rank, and one rank stores them.

The chunks wait in a `ChunkLog`. At the end rank 0 creates the dataset and stores them, as they
are, in their order. So the file exists only whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...errors import FormatError
from ...spmd.agreement import MOST, Together
from ...spmd.collectives import gather
from ...verification.findings import Findings
from ...verification.hdf5 import verify_hdf5
from ..output.chunk_log import ChunkCutter, ChunkLog, next_generation
from .base import DatasetWriter
from .file import check_same, create_dataset, fill_checksums
from .file_object import open_file
from .filters import chunk_encoder


class CompressedWriter(DatasetWriter):
    """Writes a dataset of compressed chunks. See `DatasetWriter`.

    Notes
    -----
    A chunk's number is that in C order; its filter mask is in its row of the index.
    """

    _found = (MOST, MOST)

    def _prepare(self) -> None:
        filters, chunk = self._plan.filters, self._plan.chunk
        if filters is None or chunk is None:
            raise ValueError("CompressedWriter only compresses: use hdf5_writer")
        encode, parallel = chunk_encoder(filters, chunk, self.dtype)
        self._exact = filters.exact
        self._executor: ThreadPoolExecutor | None = None
        if parallel and self.threads > 1:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="mpimages")
        ahead = 2 * self.threads + 1
        self._cutter = ChunkCutter(self.shape, chunk, encode, self._executor, ahead)
        self._directory = os.path.dirname(self.path) or "."
        if self.comm.rank == 0:
            self._found = self._look_around()

    def _begin(self, found: Sequence[int]) -> None:
        self._whole = bool(found[1])
        self._log = ChunkLog(self._directory, self.comm.rank, found[0])

    def _look_around(self) -> tuple[int, bool]:
        """The number of this job among those that worked here, and whether all is done."""
        whole = self.resume and os.path.lexists(self.path) and _is_sound(self.path)
        if whole:
            with open_file(self.path, "r") as file:
                check_same(self.path, file, self._plan)
        elif self.resume and os.path.lexists(self.path):
            os.unlink(self.path)
        elif os.path.lexists(self.path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.path)
        return next_generation(self._directory), whole

    # -- compressing -------------------------------------------------------------------------

    def _put(self, start: Sequence[int], array: np.ndarray) -> np.ndarray | None:
        stored = None if self._exact else np.empty_like(array)
        for number, box, (mask, content, values) in self._cutter.encoded(start, array):
            self._log.append(int(np.ravel_multi_index(number, self._plan.grid)), content, mask)
            if stored is not None and values is not None:
                part = stored[box]
                part[...] = values[tuple(slice(n) for n in part.shape)]
        return stored

    # -- the index ---------------------------------------------------------------------------

    def take_index(self) -> np.ndarray:
        """(n, 7) int64: where the chunks are that this rank wrote since the last call. Local."""
        return self._log.take()

    def add_index(self, rows: np.ndarray) -> None:
        """Add what an earlier job took from `take_index`; each once, on any rank. Local."""
        self._log.give(rows)

    def holds(self, entry: JsonObject) -> bool:
        """Whether what an earlier job's journal says was written is on the disk. Local."""
        # Where the file is whole it has been looked at; those of the chunks may be gone.
        return self._whole or self._log.holds(entry["index"])

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        self._log.sync()

    # -- the end -----------------------------------------------------------------------------

    def finish(self) -> None:
        """Bring everything to the disk, and make the file whole. Collective."""
        if not self._whole:  # else an earlier job came as far as this
            super().finish()
        with Together(self.comm, "CompressedWriter.finish"):
            if self.comm.rank == 0:
                self._log.remove()
        self.close()

    def _complete(self, checksums: np.ndarray) -> None:
        parts = gather(self.comm, self._log.index())
        with Together(self.comm, "CompressedWriter.finish"):
            if parts is not None:
                self._assemble(parts, checksums)

    def _assemble(self, parts: list[np.ndarray], checksums: np.ndarray) -> None:
        """Store all chunks in the file. Local, on one rank."""
        rows = np.concatenate(parts)
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        if not np.array_equal(rows[:, 0], np.arange(np.prod(self._plan.grid))):
            raise RuntimeError(
                f"internal error: {len(rows)} chunks of {self.path} were written instead of each "
                "of them once"
            )
        with self._new_file() as file:
            raw = create_dataset(file, self._plan)
            fill_checksums(raw, checksums)
            for row, content in zip(rows.tolist(), self._log.contents(rows), strict=True):
                place, mask = row[0], row[5]
                number = np.unravel_index(place, self._plan.grid)
                corner = tuple(int(i) * c for i, c in zip(number, self._cutter.chunk, strict=True))
                raw.write_direct_chunk(corner, bytes(content), mask)
        self._seal()

    def close(self) -> None:
        """Let go of the files without finishing: after an error. Local; may be called twice."""
        self._log.close()
        if self._executor is not None:
            quietly(self._executor.shutdown)


def _is_sound(path: str) -> bool:
    """Whether a file of ours is whole, and each value as it was. Local."""
    findings = Findings()
    with suppress(FormatError):
        verify_hdf5(path, findings)
        return not findings.problems()
    return False
