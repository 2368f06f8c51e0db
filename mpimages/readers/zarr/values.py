"""The values of a Zarr array: which files and chunks hold a part of it, and their decoding."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence

import numpy as np

from ...core.cleanup import quietly
from ...core.timers import phase
from ...dims import covering_chunks
from ...errors import FormatError
from ...formats.zarr.array import ZarrArray
from ..base import Scratch, check_claim
from ..byte_ranges import byteswap, read_into
from ..chunked_array import ChunkedArray
from .shards import Chunk, Shard, open_if_there, open_shard, place_text

# Neighbouring chunks of a shard are read by one call up to this many bytes.
READ_BYTES = 1 << 22
# No codec adds more than this to what it cannot compress.
MOST_GROWTH, MOST_ADDED = 2, 1 << 16


class ZarrValues(ChunkedArray):
    """An array of Zarr; of its files at most one is open.

    Parameters
    ----------
    directory : str
        Of the array.
    array : ZarrArray
    scratch : Scratch, optional
        Where to take temporary memory from.
    whole : bool
        Whether all chunks were written: one that is not there was lost.
    """

    def __init__(
        self, directory: str, array: ZarrArray, scratch: Scratch | None = None, whole: bool = False
    ) -> None:
        self.array = array
        self._whole = whole
        self.shape = array.shape
        self.chunks = read_together(array)
        self._directory = directory
        self._native = array.dtype.newbyteorder("=")
        # One for what is stored, and one for what it is decoded into.
        self._stored, self._decoded = (scratch or Scratch()).two_more()
        self._shard: Shard | None = None

    def close(self) -> None:
        shard, self._shard = self._shard, None
        if shard is not None:
            shard.close()

    def read(self, first: Sequence[int], out: np.ndarray) -> None:
        """As `ChunkedArray.read`; `out` may have any strides."""
        array = self.array
        last = [a + n for a, n in zip(first, out.shape, strict=True)]
        out = out.view(self._native)
        for number in covering_chunks(first, out.shape, array.shard):
            low = [max(a, i * s) for a, i, s in zip(first, number, array.shard, strict=True)]
            high = [min(b, (i + 1) * s) for b, i, s in zip(last, number, array.shard, strict=True)]
            part = _part(out, first, low, high)
            if array.index is None:
                self._read_chunk(number, low, part)
            else:
                self._read_shard(number, low, high, part)

    def missing(self, first: Sequence[int], last: Sequence[int]) -> int:
        """How many chunks that begin in a box of the array were never written."""
        array, found = self.array, 0
        begin = [-(-a // c) for a, c in zip(first, array.chunk, strict=True)]
        end = [-(-b // c) for b, c in zip(last, array.chunk, strict=True)]
        if array.index is None:
            for chunk in itertools.product(*map(range, begin, end)):
                found += not os.path.lexists(self._path(chunk))
            return found
        for number in covering_chunks(
            begin, [b - a for a, b in zip(begin, end, strict=True)], array.inner
        ):
            inside = [
                range(max(a, i * k), min(b, (i + 1) * k))
                for a, b, i, k in zip(begin, end, number, array.inner, strict=True)
            ]
            count = math.prod(map(len, inside))
            shard = self._open_shard(number)
            if shard is not None:
                places = (self._place_in(chunk) for chunk in itertools.product(*inside))
                count = sum(shard.is_missing(place) for place in places)
            found += count
        return found

    def _path(self, number: Chunk) -> str:
        return os.path.join(self._directory, self.array.file(number))

    def _place_in(self, chunk: Chunk) -> int:
        """The number of a chunk within its shard."""
        place = 0
        for c, k in zip(chunk, self.array.inner, strict=True):
            place = place * k + c % k
        return place

    def _fill(self, number: Chunk, part: np.ndarray) -> None:
        """Fill in for a chunk, or for all of a file, that is not there."""
        if self._whole:
            raise FormatError(
                f"{self._directory}: {self.array.file(number)} is not there, or lacks a chunk, but "
                "mpimages wrote all of them: it was lost, or removed by another program; the "
                f"array by itself, loadImages({self._directory!r}), reads as "
                f"{self.array.fill_value} there"
            )
        part[...] = self.array.fill_value

    # -- a file for each chunk -------------------------------------------------------------

    def _read_chunk(self, number: Chunk, low: Sequence[int], part: np.ndarray) -> None:
        path = self._path(number)
        opened = open_if_there(path, self._directory)
        if opened is None:
            self._fill(number, part)
            return
        fd, size = opened[0], opened[1].st_size
        try:
            if self.array.codecs.plain:
                nbytes = self.array.codecs.nbytes
                if size != nbytes:
                    raise FormatError(
                        f"{path}: has {size} bytes, but a chunk takes {nbytes}: it is damaged or "
                        "truncated"
                    )
                self._read_plain(fd, path, 0, number, low, part)
                return
            self._check_length(path, size)
            stored = self._stored.take((size,), np.dtype(np.uint8))
            read_into(fd, 0, stored, path)
        finally:
            quietly(os.close, fd)
        self._decode(path, stored, number, low, part)

    def _read_plain(
        self, fd: int, path: str, offset: int, chunk: Chunk, low: Sequence[int], part: np.ndarray
    ) -> None:
        """Read a part of a chunk that is stored as it is: as little as is one run of bytes."""
        shape = self.array.chunk
        inside = [a - c * n for a, c, n in zip(low, chunk, shape, strict=True)]
        # The first axis along which more than one value is wanted.
        axis = next((i for i, n in enumerate(part.shape) if n > 1), part.ndim - 1)
        whole = shape[axis + 1 :]
        run = math.prod(whole)
        item = 0
        for start, n in zip(inside[: axis + 1], shape[: axis + 1], strict=True):
            item = item * n + start
        offset += item * run * self._native.itemsize
        if part.shape[axis + 1 :] == whole and part.flags.c_contiguous:
            read_into(fd, offset, part, path)
            byteswap(part, self.array.dtype)
            return
        rest = zip(inside[axis + 1 :], part.shape[axis + 1 :], strict=True)
        chosen = tuple(slice(a, a + n) for a, n in rest)
        rows = part[(0,) * axis]
        row = run * self._native.itemsize
        step = max(1, READ_BYTES // row)
        for a in range(0, len(rows), step):
            piece = rows[a : a + step]
            values = self._decoded.take((len(piece), *whole), self._native)
            read_into(fd, offset + a * row, values, path)
            byteswap(values, self.array.dtype)
            piece[...] = values[:, *chosen]

    def _check_length(self, path: str, length: int) -> None:
        nbytes = self.array.codecs.nbytes
        check_claim(path, nbytes, length, "a chunk")
        if length > MOST_GROWTH * nbytes + MOST_ADDED:
            raise FormatError(f"{path}: has {length} bytes for a chunk of {nbytes}: it is damaged")

    def _decode(
        self, path: str, stored: np.ndarray, chunk: Chunk, low: Sequence[int], part: np.ndarray
    ) -> None:
        """Put those values of a chunk where they belong that lie in `part`, from `low` on."""
        array, codecs = self.array, self.array.codecs
        # Into the memory where the values are wanted, if they are wanted as they lie.
        direct = part.shape == array.chunk and part.flags.c_contiguous and codecs.order is None
        if direct:
            memory = part.reshape(-1).view(np.uint8)
        else:
            memory = self._decoded.take((codecs.nbytes,), np.dtype(np.uint8))
        with phase("decode", codecs.nbytes):
            try:
                values = codecs.decode(stored, memory)
            except FormatError as error:
                raise FormatError(
                    f"{path}: the chunk {place_text(chunk)} {error}: the file is damaged or "
                    "truncated"
                ) from None
            if direct and np.may_share_memory(values, part):
                byteswap(part, array.dtype)
                return
            inside = (
                slice(a - c * n, a - c * n + m)
                for a, c, n, m in zip(low, chunk, array.chunk, part.shape, strict=True)
            )
            part[...] = values[tuple(inside)]

    # -- shards ----------------------------------------------------------------------------

    def _open_shard(self, number: Chunk) -> Shard | None:
        """The shard with this number, which is kept open; None where it was never written."""
        if self._shard is None or self._shard.number != number:
            self.close()
            self._shard = open_shard(self._directory, self.array, number)
        return self._shard

    def _read_shard(
        self, number: Chunk, low: Sequence[int], high: Sequence[int], out: np.ndarray
    ) -> None:
        array = self.array
        shard = self._open_shard(number)
        if shard is None:
            self._fill(number, out)
            return
        wanted: list[tuple[int, int, Chunk]] = []
        for chunk in covering_chunks(low, out.shape, array.chunk):
            offset, length = shard.place(self._place_in(chunk), chunk)
            if length < 0:
                self._fill(number, self._of_chunk(chunk, low, high, out)[1])
            else:
                wanted.append((offset, length, chunk))
        wanted.sort()
        for group in _neighbours(wanted, 0 if array.codecs.plain else READ_BYTES):
            self._read_group(shard, group, low, high, out)

    def _read_group(
        self,
        shard: Shard,
        group: list[tuple[int, int, Chunk]],
        low: Sequence[int],
        high: Sequence[int],
        out: np.ndarray,
    ) -> None:
        """Read chunks that lie one after the other in a shard."""
        codecs, path = self.array.codecs, shard.path
        begin = group[0][0]
        if codecs.plain:
            offset, length, chunk = group[0]
            if length != codecs.nbytes:
                raise FormatError(
                    f"{path}: its index gives {length} bytes for the chunk {place_text(chunk)}, "
                    f"which takes {codecs.nbytes}: it is damaged"
                )
            start, part = self._of_chunk(chunk, low, high, out)
            self._read_plain(shard.fd, path, offset, chunk, start, part)
            return
        for _, length, _ in group:
            self._check_length(path, length)
        nbytes = group[-1][0] + group[-1][1] - begin
        stored = self._stored.take((nbytes,), np.dtype(np.uint8))
        read_into(shard.fd, begin, stored, path)
        for offset, length, chunk in group:
            start, part = self._of_chunk(chunk, low, high, out)
            self._decode(path, stored[offset - begin :][:length], chunk, start, part)

    def _of_chunk(
        self, chunk: Chunk, low: Sequence[int], high: Sequence[int], out: np.ndarray
    ) -> tuple[list[int], np.ndarray]:
        """Where the part of a chunk begins that lies in the box [low, high), and its memory."""
        shape = self.array.chunk
        start = [max(a, c * n) for a, c, n in zip(low, chunk, shape, strict=True)]
        stop = [min(b, (c + 1) * n) for b, c, n in zip(high, chunk, shape, strict=True)]
        return start, _part(out, low, start, stop)


def read_together(array: ZarrArray) -> tuple[int, ...]:
    """The shape of what must be read together: a chunk, or a part of one that is stored as it
    is."""
    if not array.codecs.plain:
        return array.chunk
    axis = next((i for i, n in enumerate(array.chunk) if n > 1), 0)
    return (*array.chunk[:axis], 1, *array.chunk[axis + 1 :]) if array.chunk else ()


class ArrayFiles(Sequence[str]):
    """The paths of all files that an array may have, in C order of their grid."""

    def __init__(self, directory: str, array: ZarrArray) -> None:
        self._directory, self._array = directory, array
        self._count = math.prod(array.grid)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> str:  # type: ignore[override]
        return os.path.join(self._directory, self._array.file(self._array.place(number)))


def _part(
    out: np.ndarray, first: Sequence[int], low: Sequence[int], high: Sequence[int]
) -> np.ndarray:
    """The part [low, high) of `out`, which begins at `first`."""
    found: np.ndarray = out[
        tuple(slice(a - f, b - f) for f, a, b in zip(first, low, high, strict=True))
    ]
    return found


def _neighbours(
    wanted: list[tuple[int, int, Chunk]], most: int
) -> Iterator[list[tuple[int, int, Chunk]]]:
    """Chunks in the order of a file, in groups that lie together, of `most` bytes or one chunk."""
    group: list[tuple[int, int, Chunk]] = []
    for one in wanted:
        if group:
            end = group[-1][0] + group[-1][1]
            if one[0] != end or one[0] + one[1] - group[0][0] > most:
                yield group
                group = []
        group.append(one)
    if group:
        yield group
