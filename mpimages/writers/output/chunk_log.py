"""Encoded chunks on their way into an output: each is made by one rank, and kept in its files.

A rank appends the bytes of its chunks to files of its own beside the output,
``chunks-GENERATION-RANK``, where the generation counts the jobs that worked on the output. At the
end the chunks are put into the output in their order. So it depends neither on the ranks nor on
when a chunk was encoded.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

import numpy as np

from ...core.cleanup import quietly
from ...core.crc32 import crc32
from ...dims import covering_chunks
from ...errors import FormatError
from ...formats.output_names import CHUNK_FILE, chunk_file
from .files import MOST_OPEN, naming_file, open_again, read_run, write_all
from .plain import sync_directory

__all__ = ["INDEX_COLUMNS", "ChunkCutter", "ChunkLog", "as_index", "next_generation"]

Number = tuple[int, ...]
Box = tuple[slice, ...]
Encoded = TypeVar("Encoded")

# Of a row of the index: see `ChunkLog`.
INDEX_COLUMNS = 7


class ChunkCutter(Generic[Encoded]):
    """The chunks of an array that a box covers, encoded one after the other. Local.

    Parameters
    ----------
    shape, chunk : tuple of int
        Of the array and of a chunk.
    encode : callable
        Encodes the values of one chunk, of just that shape.
    executor : Executor or None
        Whose threads encode; None: this one.
    ahead : int
        How many chunks may be under way.
    """

    def __init__(
        self,
        shape: Sequence[int],
        chunk: Sequence[int],
        encode: Callable[[np.ndarray], Encoded],
        executor: Executor | None,
        ahead: int,
    ) -> None:
        self.shape, self.chunk = tuple(shape), tuple(chunk)
        self._encode = encode
        self._executor = executor
        self._ahead = ahead

    def encoded(
        self, start: Sequence[int], array: np.ndarray
    ) -> Iterator[tuple[Number, Box, Encoded]]:
        """Yield the chunks of a box that holds them whole, in C order.

        Of each its number along the axes, what of `array` is in it, and what `encode` returns.
        """
        numbers = covering_chunks(start, array.shape, self.chunk)
        places = ((number, self._box(number, start)) for number in numbers)
        if self._executor is None:
            for number, box in places:
                yield number, box, self._encode_part(array[box])
            return
        waiting: deque[tuple[Number, Box, Future[Encoded]]] = deque()
        for number, box in places:
            if len(waiting) >= self._ahead:
                first, where, future = waiting.popleft()
                yield first, where, future.result()
            waiting.append((number, box, self._executor.submit(self._encode_part, array[box])))
        while waiting:
            first, where, future = waiting.popleft()
            yield first, where, future.result()

    def _box(self, number: Number, start: Sequence[int]) -> Box:
        """What of an array that begins at `start` belongs to the chunk."""
        return tuple(
            slice(i * c - a, min((i + 1) * c, n) - a)
            for i, c, n, a in zip(number, self.chunk, self.shape, start, strict=True)
        )

    def _encode_part(self, part: np.ndarray) -> Encoded:
        if part.shape == self.chunk:
            return self._encode(part)
        padded = np.zeros(self.chunk, dtype=part.dtype)
        padded[tuple(slice(n) for n in part.shape)] = part
        return self._encode(padded)


class ChunkLog:
    """Where the chunks are that ranks have encoded. Local.

    Parameters
    ----------
    directory : str
        In which the files are.
    rank, generation : int
        Whose files `append` writes.
    by_note : bool
        Chunks with the same note have a file of their own.

    Notes
    -----
    A row of the index is a chunk's number, the generation and the rank of its file, its offset and
    length there, its note, and the CRC-32 of its bytes. The writer gives number and note: of HDF5
    the filter mask, of Zarr the number of the file that it goes into.
    """

    def __init__(self, directory: str, rank: int, generation: int, by_note: bool = False) -> None:
        self._directory = directory
        self._rank = rank
        self._generation = generation
        self._by_note = by_note
        self._open: dict[int | None, int] = {}  # the files that are open, by their part
        self._ends: dict[int | None, int] = {}
        self._created = False
        self._rows: list[tuple[int, ...]] = []
        self._taken = 0
        self._earlier: list[np.ndarray] = []

    def path(self, generation: int, rank: int, part: int | None = None) -> str:
        """The path of a file of chunks."""
        return os.path.join(self._directory, chunk_file(generation, rank, part))

    def append(self, number: int, content: bytes | memoryview, note: int = 0) -> None:
        """Append a chunk's bytes."""
        part = note if self._by_note else None
        path = self.path(self._generation, self._rank, part)
        descriptor = self._descriptor(part, path)
        with naming_file(path):
            write_all(descriptor, content)
        end = self._ends.get(part, 0)
        self._rows.append(
            (number, self._generation, self._rank, end, len(content), note, crc32(content))
        )
        self._ends[part] = end + len(content)

    def _descriptor(self, part: int | None, path: str) -> int:
        if part not in self._open:
            if len(self._open) >= MOST_OPEN:
                self.sync()
            new = os.O_CREAT | os.O_EXCL if part not in self._ends else os.O_APPEND
            self._open[part] = os.open(path, os.O_WRONLY | new, 0o666)
            self._created |= part not in self._ends
        return self._open[part]

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        for part, descriptor in list(self._open.items()):
            with naming_file(self.path(self._generation, self._rank, part)):
                os.fsync(descriptor)
            if self._by_note:  # there may be very many
                del self._open[part]
                quietly(os.close, descriptor)
        if self._created:
            sync_directory(self._directory)
            self._created = False

    # -- the index ---------------------------------------------------------------------------

    def take(self) -> np.ndarray:
        """(n, 7) int64: the rows since the last call."""
        taken, self._taken = self._taken, len(self._rows)
        return as_index(self._rows[taken:])

    def give(self, rows: np.ndarray) -> None:
        """Add rows that an earlier job took; each once, on any rank."""
        self._earlier.append(as_index(rows))

    def index(self) -> np.ndarray:
        """(n, 7) int64: all rows that this rank knows of."""
        return np.concatenate([as_index(self._rows), *self._earlier])

    # -- the bytes ---------------------------------------------------------------------------

    def contents(
        self, rows: np.ndarray, instead: Callable[[int], str] | None = None
    ) -> Iterator[memoryview]:
        """Yield the bytes of each row's chunk. One file is open at a time: there may be thousands.

        Parameters
        ----------
        rows : (n, 7) ndarray
        instead : callable, optional
            The path of the part of the output with a note: it may have been a file of chunks.

        Raises
        ------
        FormatError
            Where they are not what was appended.
        """
        current: tuple[int, int, int | None] | None = None
        path, descriptor = "", -1
        try:
            for _, generation, rank, offset, length, note, crc in rows.tolist():
                part = note if self._by_note else None
                if current != (generation, rank, part):
                    if descriptor >= 0:
                        quietly(os.close, descriptor)
                        descriptor = -1
                    path = self.path(generation, rank, part)
                    if instead is not None and part is not None and not os.path.lexists(path):
                        path = instead(part)
                    descriptor = open_again(path)
                    current = (generation, rank, part)
                content = np.empty(length, np.uint8).data
                with naming_file(path):
                    there = read_run(descriptor, content, offset)
                if not there or crc32(content) != crc:
                    raise FormatError(
                        f"{path}: bytes [{offset}, {offset + length}) are not what "
                        "was written: it has been damaged"
                    )
                yield content
        finally:
            if descriptor >= 0:
                quietly(os.close, descriptor)

    def holds(self, rows: object, instead: Callable[[int], str] | None = None) -> bool:
        """Whether the chunks of an earlier job's rows are on the disk."""
        try:
            for _ in self.contents(as_index(rows), instead):
                pass
        except FormatError:
            return False
        return True

    def remove(self) -> None:
        """Remove all files of chunks, of all ranks and jobs."""
        for name in os.listdir(self._directory):
            if CHUNK_FILE.fullmatch(name):
                os.unlink(os.path.join(self._directory, name))

    def close(self) -> None:
        """Close without flushing; may be called twice."""
        while self._open:
            quietly(os.close, self._open.popitem()[1])


def as_index(rows: object) -> np.ndarray:
    """Rows of the index as (n, 7) int64."""
    return np.array(rows, dtype=np.int64).reshape(-1, INDEX_COLUMNS)


def next_generation(directory: str) -> int:
    """The number of this job among those that left chunks in a directory. Local: rank 0."""
    names = map(CHUNK_FILE.fullmatch, os.listdir(directory))
    return max((int(name[1]) for name in names if name), default=-1) + 1
