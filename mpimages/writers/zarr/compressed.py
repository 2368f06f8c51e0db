"""Compressed Zarr: chunks wait in files of the rank that made them. See `writer`."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...dims import pixel_grain
from ...spmd.agreement import MOST, Together
from ...spmd.collectives import gather, scatter
from ..output.chunk_log import ChunkCutter, ChunkLog, as_index, next_generation
from ..output.files import naming_file, write_all
from .base import ZarrWriter, file_numbers, make_directory, sync_directories
from .layout import Placed

__all__ = ["CompressedZarrWriter"]


class CompressedZarrWriter(ZarrWriter):
    """Writes encoded chunks, each made by one rank. See `ZarrWriter`.

    Notes
    -----
    A chunk's number is that among the chunks of its file that are there; its note is the file's.
    """

    _found = (MOST,)

    def _prepare(self) -> None:
        form, chunk = self._form, self._form.arrays[0].array.chunk
        if self.layout == "series":
            self.grain = pixel_grain(self.dims, chunk[:-1])
        else:
            self.image_grain = chunk[0]
        self._executor: ThreadPoolExecutor | None = None
        if self.threads > 1 and self._ahead > 1:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="mpimages")
        self._cutters = {
            placed.name: ChunkCutter(
                placed.array.shape,
                placed.array.chunk,
                placed.array.codecs.encode,
                self._executor,
                self._ahead,
            )
            for placed in form.arrays
        }
        if self.comm.rank == 0:
            self._found = (next_generation(self.path),)

    def _begin(self, found: Sequence[int]) -> None:
        self._generation = found[0]
        self._log = ChunkLog(self.path, self.comm.rank, found[0], by_note=True)

    def _put_box(self, placed: Placed, start: Sequence[int], values: np.ndarray) -> None:
        for number, _, content in self._cutters[placed.name].encoded(start, values):
            file, inner = placed.locate(number)
            self._log.append(inner, np.frombuffer(content, np.uint8).data, file)

    def _levels(
        self, parts: Iterator[tuple[int, int, np.ndarray]]
    ) -> Iterator[tuple[int, int, list[np.ndarray]]]:
        if self._executor is None or len(self._form.arrays) == 1:
            yield from super()._levels(parts)
            return
        # The next part is shrunk while this one is encoded.
        waiting: deque[tuple[int, int, Future[list[np.ndarray]]]] = deque()
        for time, page, part in parts:
            waiting.append((time, page, self._executor.submit(self._shrunk, part)))
            if len(waiting) > 1:
                first, where, future = waiting.popleft()
                yield first, where, future.result()
        for first, where, future in waiting:
            yield first, where, future.result()

    def take_index(self) -> np.ndarray:
        """(n, 7) int64: where the chunks are that this rank wrote since the last call. Local."""
        return self._log.take()

    def add_index(self, rows: np.ndarray) -> None:
        """Add what an earlier job took from `take_index`; each once, on any rank. Local."""
        self._log.give(rows)

    def holds(self, entry: JsonObject) -> bool:
        """Whether what an earlier job's journal says was written is on the disk. Local."""
        return self._log.holds(entry["index"], self._file)

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        self._log.sync()

    def finish(self) -> None:
        """Bring everything to the disk, and make the output whole. Collective."""
        super().finish()
        with Together(self.comm, f"{self._action}.finish"):
            if self.comm.rank == 0:  # not before: a job that resumes reads them again
                self._log.remove()
        self.close()

    def _complete_files(self) -> None:
        parts = gather(self.comm, self._log.index())
        shares: list[np.ndarray] | None = None
        with Together(self.comm, f"{self._action}.finish"):
            if parts is not None:
                shares = self._share(np.concatenate(parts))
        rows = scatter(self.comm, shares)
        with Together(self.comm, f"{self._action}.finish"):
            made: set[str] = set()
            for placed, file, own in self._files_of(rows):
                self._assemble(placed, file, own, made)
            sync_directories(made, self.path)

    def _share(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows of the files of each rank, in order: each chunk once. Local."""
        rows = rows[np.lexsort((rows[:, 0], rows[:, 5]))]
        form, size, first = self._form, self.comm.size, 0
        shares: list[list[np.ndarray]] = [[] for _ in range(size)]
        bounds = np.searchsorted(rows[:, 5], np.arange(sum(p.count for p in form.arrays) + 1))
        for placed in form.arrays:
            for file in file_numbers(placed):
                first, stop = int(bounds[file]), int(bounds[file + 1])
                count = math.prod(placed.present(file))
                if not np.array_equal(rows[first:stop, 0], np.arange(count)):
                    raise RuntimeError(
                        f"internal error: {stop - first} chunks of {self._file(file)} were "
                        f"written instead of each of {count} once"
                    )
                shares[form.owner(placed, file, size)].append(rows[first:stop])
        return [np.concatenate([as_index([]), *share]) for share in shares]

    def _files_of(self, rows: np.ndarray) -> Iterator[tuple[Placed, int, np.ndarray]]:
        """Each of this rank's files, with the rows of its chunks."""
        for placed, file in self._form.files(self.comm.rank, self.comm.size):
            first, stop = np.searchsorted(rows[:, 5], (file, file + 1))
            yield placed, file, rows[first:stop]

    def _assemble(self, placed: Placed, file: int, rows: np.ndarray, made: set[str]) -> None:
        """Put a file together, and give it its name. Local."""
        path = self._file(file)
        lengths = rows[:, 4]
        ends = np.cumsum(lengths)
        # The chunks that lie where they belong, at the beginning of one of the files of chunks.
        right = (rows[:, 1:3] == rows[0, 1:3]).all(axis=1) & (rows[:, 3] == ends - lengths)
        kept = len(rows) if right.all() else int(np.argmin(right))
        if (rows[kept:, 1:3] == rows[0, 1:3]).all(axis=1).any():
            kept = 0  # others of that file would be overwritten before they are read
        if kept:
            base = self._log.path(int(rows[0, 1]), int(rows[0, 2]), file)
            if not os.path.lexists(base):  # an earlier job has come as far as this
                base = path
            new = 0
        else:
            base = self._log.path(self._generation, self.comm.size, file)
            new = os.O_CREAT | os.O_EXCL
        make_directory(os.path.dirname(path), made)
        descriptor = os.open(base, os.O_WRONLY | os.O_NOFOLLOW | new, 0o666)
        try:
            with naming_file(base):
                end = int(ends[kept - 1]) if kept else 0
                for content in self._log.contents(rows[kept:], self._file):
                    write_all(descriptor, content, end)
                    end += len(content)
                index = placed.index_bytes(file, lengths)
                write_all(descriptor, index, end)
                os.ftruncate(descriptor, end + len(index))
                os.fsync(descriptor)
        finally:
            quietly(os.close, descriptor)
        if base != path:
            os.replace(base, path)

    def close(self) -> None:
        """Let go of the files without finishing: after an error. Local; may be called twice."""
        self._log.close()
        if self._executor is not None:
            quietly(self._executor.shutdown)
