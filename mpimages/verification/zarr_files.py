"""The files of an array of a Zarr: all of their bytes, and the values that are in them."""

from __future__ import annotations

import math
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..core.timers import phase
from ..dims import Box, covering_chunks
from ..errors import FormatError
from ..formats.zarr.array import ZarrArray
from ..formats.zarr.nodes import read_node
from ..formats.zarr.shard import MISSING

MOST_FILES = 1 << 20
# What any codec adds to values that it cannot make smaller.
SPARE = 1 << 16
INDEX_BYTES = 16 << 20  # of the indices of shards that are kept while chunks are read
OUTSIDE = "holds values behind the end of the array"


@dataclass
class StoredArray:
    """An array and its files, as `boxes` reads it. Threads share it.

    Attributes
    ----------
    damaged : dict
        What is wrong, by the number of a file and that of a chunk in it; -1: with all of it.
    """

    directory: str
    name: str
    array: ZarrArray
    piece: int
    crcs: np.ndarray
    damaged: dict[tuple[tuple[int, ...], int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shape = self.array.shape
        self.dtype: np.dtype = self.array.dtype.newbyteorder("<")
        self.unit: tuple[int, ...] | None = tuple(
            min(c, n) for c, n in zip(self.array.chunk, self.shape, strict=True)
        )
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()

    @classmethod
    def from_document(cls, directory: str, name: str, piece: int, crcs: np.ndarray) -> StoredArray:
        """Read what an array's document says; FormatError where that cannot be."""
        array = read_node(os.path.join(directory, name))
        if not isinstance(array, ZarrArray):
            raise FormatError("is no array")
        if array.dtype.kind not in "iuf" or not array.shape or array.separator != "/":
            raise FormatError(f"holds {array.dtype} of {array.shape}: mpimages writes none")
        nbytes = array.dtype.itemsize
        for n in array.shape:
            nbytes *= n
        if nbytes < 1 or len(crcs) != -(-nbytes // piece):
            raise FormatError(f"has not one checksum for each piece of its {nbytes} bytes")
        if math.prod(array.grid) > MOST_FILES:
            raise FormatError(f"claims to have {math.prod(array.grid)} files")
        return cls(directory, name, array, piece, crcs)

    def path(self, number: tuple[int, ...]) -> str:
        """A file, relative to the output."""
        return f"{self.name}/{self.array.file(number)}"

    def open(self, number: tuple[int, ...]) -> int:
        """A descriptor of a file; what keeps it from being read is an OSError."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(os.path.join(self.directory, self.path(number)), flags)

    # -- a file as a whole --------------------------------------------------------------------

    def check_file(self, number: tuple[int, ...]) -> int:
        """Look at what of a file is no values: its size on the disk.

        What is wrong goes into `damaged`.
        """
        try:
            descriptor = self.open(number)
        except FileNotFoundError:
            self.damaged[number, -1] = "is missing"
            return 0
        except OSError as error:
            link = os.path.islink(os.path.join(self.directory, self.path(number)))
            why = "is a link, not a file" if link else f"cannot be read: {error.strerror}"
            self.damaged[number, -1] = why
            return 0
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self.damaged[number, -1] = "is a directory or a device, not a file"
                return 0
            self._places(descriptor, number, status.st_size)
            return status.st_size
        except (OSError, FormatError) as error:
            self.damaged[number, -1] = reason(error)
            return 0
        finally:
            os.close(descriptor)

    def _places(self, descriptor: int, number: tuple[int, ...], size: int) -> np.ndarray:
        """Where the chunks of a file lie: (n, 2) of offset and length; FormatError if they do not.

        Those that begin in the array lie one after the other; there are no others, and the file has
        nothing else.
        """
        array, index = self.array, self.array.index
        counts = array.present(number)
        ends = 0 if index is None else index.nbytes
        plain = array.codecs.nbytes if array.codecs.plain else None
        if plain is not None and size != math.prod(counts) * plain + ends:
            raise FormatError(f"has {size} bytes, not {math.prod(counts) * plain + ends}")
        most = 2 * array.codecs.nbytes + SPARE  # damage must not ask for all memory
        if index is None:
            if size > most:
                raise FormatError(f"has {size} bytes, which no chunk has")
            return np.array([[0, size]], np.int64)
        if size < ends:
            raise FormatError(f"has {size} bytes, less than the {ends} of its index")
        first, stop = (0, size - ends) if index.at_end else (ends, size)
        at = stop if index.at_end else 0
        places = index.decode(_read(descriptor, at, ends)).reshape(*array.inner, 2)
        within = tuple(slice(n) for n in counts)
        there = places[within].reshape(-1, 2)
        begins = np.cumsum(there[:, 1]) - there[:, 1] + np.uint64(first)
        others = places.copy()
        others[within] = MISSING
        if (
            (others != MISSING).any()
            or (there[:, 1] > min(size, most)).any()
            or (there[:, 0] != begins).any()
            or int(there[-1].sum()) != stop
            or (plain is not None and (there[:, 1] != plain).any())
        ):
            raise FormatError("its index does not speak of chunks that lie one after the other")
        return places.astype(np.int64).reshape(-1, 2)

    # -- chunks -------------------------------------------------------------------------------

    def read(self, box: Box, values: np.ndarray) -> int:
        """Fill `values` with a box of whole chunks: how many bytes of files that took.

        ValueError where one of them is damaged, which `damaged` then tells.
        """
        start, extent = box
        total, opened, number = 0, -1, None
        try:
            for chunk in covering_chunks(start, extent, self.array.chunk):
                file = tuple(n // i for n, i in zip(chunk, self.array.inner, strict=True))
                if file != number:
                    if opened >= 0:
                        os.close(opened)
                        opened = -1
                    opened, number = self._open_again(file), file
                total += self._read_chunk(opened, file, chunk, start, values)
        finally:
            if opened >= 0:
                os.close(opened)
        return total

    def _open_again(self, file: tuple[int, ...]) -> int:
        """A descriptor of a file that was sound as a whole."""
        if (file, -1) not in self.damaged:
            try:
                return self.open(file)
            except OSError as error:
                self.damaged[file, -1] = reason(error)
        raise ValueError(self.damaged[file, -1])

    def _read_chunk(
        self,
        descriptor: int,
        file: tuple[int, ...],
        chunk: Sequence[int],
        start: Sequence[int],
        values: np.ndarray,
    ) -> int:
        """Read a chunk, of which the part within the array goes into `values`: its bytes stored."""
        array = self.array
        inner = tuple(n % i for n, i in zip(chunk, array.inner, strict=True))
        place = int(np.ravel_multi_index(inner, array.inner))
        low = [n * c for n, c in zip(chunk, array.chunk, strict=True)]
        kept = [min(c, n - a) for c, n, a in zip(array.chunk, array.shape, low, strict=True)]
        offset, length = 0, -1
        try:
            offset, length = self._place(descriptor, file, place)
            whole = array.codecs.decode(_read(descriptor, offset, length))
            for axis, n in enumerate(kept):
                if whole[(slice(None),) * axis + (slice(n, None),)].any():
                    raise FormatError(OUTSIDE)
        except (OSError, FormatError) as error:
            self.damaged[file, place] = f"{_where(offset, length)} {reason(error)}"
            raise ValueError(str(error)) from None
        begin = [a - s for a, s in zip(low, start, strict=True)]
        values[tuple(slice(b, b + n) for b, n in zip(begin, kept, strict=True))] = whole[
            tuple(slice(n) for n in kept)
        ]
        return length

    def _place(self, descriptor: int, file: tuple[int, ...], place: int) -> tuple[int, int]:
        """Offset and length of a chunk; the indices of a few files are kept."""
        with self._lock:
            places = self._kept.get(file)
        if places is None:
            places = self._places(descriptor, file, os.fstat(descriptor).st_size)
            with self._lock:
                self._kept[file] = places
                while len(self._kept) > 1 and len(self._kept) * places.nbytes > INDEX_BYTES:
                    self._kept.popitem(last=False)
        offset, length = places[place].tolist()
        return offset, length


def _where(offset: int, length: int) -> str:
    return f"its chunk at bytes [{offset}, {offset + length})" if length >= 0 else "a chunk"


def reason(error: OSError | FormatError) -> str:
    """What an error says, without the file."""
    text = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error)
    return " ".join(text.split())


def _read(descriptor: int, offset: int, length: int) -> np.ndarray:
    """Bytes of a file, all of them; else an OSError."""
    data = np.empty(length, np.uint8)
    left = data.data
    with phase("read", length):
        while left:
            got = os.preadv(descriptor, [left], offset)
            if got == 0:
                raise OSError(0, "the file ends before")
            left, offset = left[got:], offset + got
    return data
