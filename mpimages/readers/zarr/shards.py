"""The files of a Zarr array that are open: a chunk each, or a shard with its index. Local."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from contextlib import suppress

import numpy as np

from ...core.cleanup import quietly
from ...errors import FormatError
from ...formats.zarr.array import ZarrArray
from ...formats.zarr.shard import MISSING
from ..byte_ranges import open_status, read_into

__all__ = ["Chunk", "Shard", "open_if_there", "open_shard", "place_text"]

# The indexes of shards that are kept, all together.
KEPT_BYTES = 1 << 24

Chunk = tuple[int, ...]  # the place of a chunk among all chunks of the array, along each axis


class Shard:
    """An open shard.

    Attributes
    ----------
    path : str
    number : tuple of int
        Its place in the grid.
    fd : int
    """

    def __init__(
        self, path: str, number: Chunk, fd: int, size: int, places: np.ndarray, array: ZarrArray
    ) -> None:
        self.path, self.number, self.fd = path, number, fd
        self._size, self._places = size, places
        self._array = array

    def is_missing(self, place: int) -> bool:
        """Whether the chunk with this number was never written."""
        return bool((self._places[place] == MISSING).all())

    def place(self, place: int, chunk: Chunk) -> tuple[int, int]:
        """Offset and length of a chunk; (0, -1) where it was never written."""
        if self.is_missing(place):
            return 0, -1
        offset, length = (int(n) for n in self._places[place])
        if offset + length > self._size:
            raise FormatError(
                f"{self.path}: truncated, or its index is damaged: the chunk "
                f"{place_text(chunk)} takes {length} bytes from byte {offset} on, but the file "
                f"has {self._size}"
            )
        return offset, length

    def close(self) -> None:
        descriptor, self.fd = self.fd, -1
        if descriptor >= 0:
            quietly(os.close, descriptor)


class _Indexes:
    """The indexes of shards that were read last, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()
        self._nbytes = 0

    def get(self, key: tuple[object, ...]) -> np.ndarray | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: tuple[object, ...], places: np.ndarray) -> None:
        if places.nbytes > KEPT_BYTES // 4:
            return
        with self._lock:
            if key not in self._kept:
                self._nbytes += places.nbytes
            self._kept[key] = places
            while self._nbytes > KEPT_BYTES:
                self._nbytes -= self._kept.popitem(last=False)[1].nbytes


_indexes = _Indexes()


def open_shard(directory: str, array: ZarrArray, number: Chunk) -> Shard | None:
    """Open a shard with its index, which is read once; None where there is no such file."""
    if array.index is None:
        raise AssertionError("an array without shards")
    path = os.path.join(directory, array.file(number))
    opened = open_if_there(path, directory)
    if opened is None:
        return None
    fd, status = opened
    try:
        size, nbytes = status.st_size, array.index.nbytes
        key = (path, status.st_ino, size, status.st_mtime_ns, array.index)
        places = _indexes.get(key)
        if places is None:
            if size < nbytes:
                raise FormatError(
                    f"{path}: has {size} bytes, but the index of a shard alone takes {nbytes}: "
                    "it is damaged or truncated"
                )
            stored = np.empty(nbytes, np.uint8)
            read_into(fd, size - nbytes if array.index.at_end else 0, stored, path)
            try:
                places = array.index.decode(stored)
            except FormatError as error:
                raise FormatError(f"{path}: {error}: it is damaged or truncated") from None
            _indexes.put(key, places)
        return Shard(path, number, fd, size, places, array)
    except BaseException:
        quietly(os.close, fd)
        raise


def open_if_there(path: str, directory: str) -> tuple[int, os.stat_result] | None:
    """As `open_status`; None where there is no such file in the `directory` of an array.

    A network file system remembers for some seconds that a name was not there. It asks its server
    again when the directory is opened.

    Raises
    ------
    FormatError
        If it is a link to nothing: that is no chunk that was never written.
    FileNotFoundError
        If the array is not there.
    """
    with suppress(FileNotFoundError):
        return open_status(path)
    above = os.path.dirname(path)
    while True:
        try:
            quietly(os.close, os.open(above, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            break
        except FileNotFoundError:
            if len(above) <= len(directory):
                raise  # what is gone altogether had chunks
            above = os.path.dirname(above)
    with suppress(FileNotFoundError):
        return open_status(path)
    if os.path.lexists(path):
        raise FormatError(f"{path}: is a link to a file that is not there")
    return None


def place_text(chunk: Chunk) -> str:
    """The place of a chunk, as messages have it."""
    return f"({', '.join(map(str, chunk))})"
