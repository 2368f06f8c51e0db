"""Compressed HDF5: every chunk is owned and compressed by one rank, and one rank stores them.

A rank appends the bytes of its chunks to a file of its own beside the output,
``chunks-GENERATION-RANK``, where the generation counts the jobs that worked on the output.
At the end rank 0 creates the dataset and stores the chunks, as they are, in their order. So the
file depends neither on the ranks nor on when a chunk was compressed; and it exists only whole.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from ...core.cleanup import quietly
from ...core.crc32 import crc32
from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.output_names import CHUNK_FILE, chunk_file
from ...spmd.agreement import MOST, Together
from ...spmd.collectives import gather
from ...verification.findings import Findings
from ...verification.hdf5 import verify_hdf5
from ..output.files import naming_file, open_again, read_run, write_all
from ..output.plain import sync_directory
from .base import INDEX_COLUMNS, DatasetWriter
from .enclosure import seal
from .file import check_same, create_dataset, fill_checksums
from .file_object import new_file, open_file
from .filters import Encoded, chunk_encoder

Number = tuple[int, ...]


class CompressedWriter(DatasetWriter):
    """Writes a dataset of compressed chunks. See `DatasetWriter`.

    Notes
    -----
    A row of the index is a chunk's number in C order, the generation and the rank of its file,
    its offset and length there, its filter mask, and the CRC-32 of its bytes.
    """

    _found = (MOST, MOST)

    def _prepare(self) -> None:
        filters, chunk = self._plan.filters, self._plan.chunk
        if filters is None or chunk is None:
            raise ValueError("CompressedWriter only compresses: use hdf5_writer")
        self._chunk = chunk
        self._encode, parallel = chunk_encoder(filters, chunk, self.dtype)
        self._exact = filters.exact
        self._executor: ThreadPoolExecutor | None = None
        if parallel and self.threads > 1:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="mpimages")
        self._directory = os.path.dirname(self.path) or "."
        self._descriptor = -1
        self._end = self._flushed = 0
        self._rows: list[tuple[int, ...]] = []
        self._taken = 0
        self._earlier: list[np.ndarray] = []
        if self.comm.rank == 0:
            self._found = self._look_around()

    def _begin(self, found: Sequence[int]) -> None:
        self._generation, self._whole = found[0], bool(found[1])

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
        names = map(CHUNK_FILE.fullmatch, os.listdir(self._directory))
        return max((int(name[1]) for name in names if name), default=-1) + 1, whole

    # -- compressing -------------------------------------------------------------------------

    def _put(self, start: Sequence[int], array: np.ndarray) -> np.ndarray | None:
        stored = None if self._exact else np.empty_like(array)
        touched = [
            range(a // c, -(-(a + n) // c))
            for a, n, c in zip(start, array.shape, self._chunk, strict=True)
        ]
        numbers = list(itertools.product(*touched))
        boxes = [self._box(number, start) for number in numbers]
        encoded = self._encoded(array, boxes)
        for number, box, (mask, content, values) in zip(numbers, boxes, encoded, strict=True):
            self._append(number, mask, content)
            if stored is not None and values is not None:
                part = stored[box]
                part[...] = values[tuple(slice(n) for n in part.shape)]
        return stored

    def _box(self, number: Number, start: Sequence[int]) -> tuple[slice, ...]:
        """What of an array that begins at `start` belongs to the chunk."""
        return tuple(
            slice(i * c - a, min((i + 1) * c, n) - a)
            for i, c, n, a in zip(number, self._chunk, self.shape, start, strict=True)
        )

    def _encoded(self, array: np.ndarray, boxes: list[tuple[slice, ...]]) -> Iterator[Encoded]:
        """The chunks' bytes in order; no more chunks are under way than threads can use."""
        if self._executor is None:
            for box in boxes:
                yield self._encode_part(array[box])
            return
        waiting: deque[Future[Encoded]] = deque()
        for box in boxes:
            waiting.append(self._executor.submit(self._encode_part, array[box]))
            if len(waiting) > 2 * self.threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _encode_part(self, part: np.ndarray) -> Encoded:
        if part.shape == self._chunk:
            return self._encode(part)
        padded = np.zeros(self._chunk, dtype=part.dtype)
        padded[tuple(slice(n) for n in part.shape)] = part
        return self._encode(padded)

    def _append(self, number: Number, mask: int, content: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(
                self._file(self._generation, self.comm.rank),
                os.O_WRONLY | os.O_CREAT | os.O_EXCL,
                0o666,
            )
            sync_directory(self._directory)
        with naming_file(self._file(self._generation, self.comm.rank)):
            write_all(self._descriptor, content)
        place = int(np.ravel_multi_index(number, self._plan.grid))
        self._rows.append(
            (place, self._generation, self.comm.rank, self._end, len(content), mask, crc32(content))
        )
        self._end += len(content)

    def _file(self, generation: int, rank: int) -> str:
        return os.path.join(self._directory, chunk_file(generation, rank))

    # -- the index ---------------------------------------------------------------------------

    def take_index(self) -> np.ndarray:
        """(n, 7) int64: where the chunks are that this rank wrote since the last call. Local."""
        taken, self._taken = self._taken, len(self._rows)
        return _index(self._rows[taken:])

    def add_index(self, rows: np.ndarray) -> None:
        """Add what an earlier job took from `take_index`; each once, on any rank. Local."""
        self._earlier.append(_index(rows))

    def holds(self, entry: JsonObject) -> bool:
        """Whether what an earlier job's journal says was written is on the disk. Local."""
        if self._whole:
            return True  # the file has been looked at; those of the chunks may be gone
        try:
            for _ in self._contents(_index(entry["index"])):
                pass
        except FormatError:
            return False
        return True

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        if self._end > self._flushed:
            with naming_file(self._file(self._generation, self.comm.rank)):
                os.fsync(self._descriptor)
            self._flushed = self._end

    # -- the end -----------------------------------------------------------------------------

    def finish(self) -> None:
        """Bring everything to the disk, and make the file whole. Collective."""
        if not self._whole:  # else an earlier job came as far as this
            super().finish()
        with Together(self.comm, "CompressedWriter.finish"):
            if self.comm.rank == 0:
                self._remove_chunk_files()
        self.close()

    def _complete(self, checksums: np.ndarray) -> None:
        parts = gather(self.comm, np.concatenate([_index(self._rows), *self._earlier]))
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
        with new_file(self.path) as file:
            raw = create_dataset(file, self._plan)
            fill_checksums(raw, checksums)
            for row, content in zip(rows.tolist(), self._contents(rows), strict=True):
                place, mask = row[0], row[5]
                number = np.unravel_index(place, self._plan.grid)
                corner = tuple(int(i) * c for i, c in zip(number, self._chunk, strict=True))
                raw.write_direct_chunk(corner, content, mask)
        if self._plan.enclosure is not None:
            seal(self.path, self._plan.name)

    def _contents(self, rows: np.ndarray) -> Iterator[bytes]:
        """The bytes of each row's chunk. One file is open at a time: there may be thousands."""
        current, descriptor = (-1, -1), -1
        try:
            for _, generation, rank, offset, length, _, crc in rows.tolist():
                path = self._file(generation, rank)
                if current != (generation, rank):
                    if descriptor >= 0:
                        quietly(os.close, descriptor)
                    descriptor = open_again(path)
                    current = (generation, rank)
                content = memoryview(bytearray(length))
                with naming_file(path):
                    there = read_run(descriptor, content, offset)
                if not there or crc32(content) != crc:
                    raise FormatError(
                        f"{path}: bytes [{offset}, {offset + length}) are not what "
                        "was written: it has been damaged"
                    )
                yield bytes(content)
        finally:
            if descriptor >= 0:
                quietly(os.close, descriptor)

    def _remove_chunk_files(self) -> None:
        for name in os.listdir(self._directory):
            if CHUNK_FILE.fullmatch(name):
                os.unlink(os.path.join(self._directory, name))

    def close(self) -> None:
        """Let go of the files without finishing: after an error. Local; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            quietly(os.close, descriptor)
        if self._executor is not None:
            quietly(self._executor.shutdown)


def _index(rows: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    return np.array(rows, dtype=np.int64).reshape(-1, INDEX_COLUMNS)


def _is_sound(path: str) -> bool:
    """Whether a file of ours is whole, and each value as it was. Local."""
    findings = Findings()
    with suppress(FormatError):
        verify_hdf5(path, findings)
        return not findings.problems()
    return False
