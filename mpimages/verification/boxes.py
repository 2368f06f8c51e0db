"""An array that is stored in chunks, against the CRC-32 of the pieces of its values.

It is read in boxes of whole chunks, so that each chunk is decompressed once. The bytes of a
box are runs that lie apart among the array's values; a piece's CRC is put together from those of
the runs, whose order does not matter.
"""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from ..core.crc32 import parts_of_pieces
from ..core.timers import phase
from ..dims import Box, box_shape, boxes
from .findings import Findings
from .pieces import WRONG, Feed, merge_neighbours, on_threads

BOX_BYTES = 64 << 20


class Chunked(Protocol):
    """An array: its shape, its dtype, little-endian, and the part of a chunk that is in it."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype: ...
    @property
    def unit(self) -> tuple[int, ...] | None:
        """What can be read by itself; None: not less than any box that is asked for."""

    def read(self, box: Box, values: np.ndarray) -> int:
        """Read a box: how many bytes of the file that took.

        Raises
        ------
        OSError, RuntimeError, ValueError, KeyError
            Where something is damaged.
        """


def find_damaged_boxes(
    array: Chunked, piece: int, crcs: np.ndarray, findings: Findings, threads: int = 1
) -> list[tuple[int, int, str]]:
    """What is wrong: bytes [first, stop) of the values in C order, and why."""
    check = _Check(array, piece, crcs)
    unit = array.unit or (1,) * len(array.shape)
    item = array.dtype.itemsize
    threads = max(1, min(threads, BOX_BYTES // (math.prod(unit) * item)))
    shape = box_shape(array.shape, unit, item, BOX_BYTES // threads)
    whole = boxes((0,) * len(array.shape), array.shape, shape)
    on_threads(whole, check.run, threads, findings)
    return merge_neighbours(check.wrong(), piece, check.size)


class _Check:
    """The CRCs of an array's pieces, as far as they are read. Threads share it."""

    def __init__(self, array: Chunked, piece: int, crcs: np.ndarray) -> None:
        self.array = array
        self.piece = piece
        self.expected = crcs
        self.size = math.prod(array.shape) * array.dtype.itemsize
        self._lock = threading.Lock()
        self._found = np.zeros(len(crcs), dtype=np.uint32)
        self._unread: dict[int, str] = {}

    def run(self, feed: Feed[Box]) -> int:
        """Read boxes until there are no more: how many bytes of values were read."""
        memory = np.empty(0, dtype=np.uint8)
        total = 0
        for box in feed:
            nbytes = math.prod(box[1]) * self.array.dtype.itemsize
            if nbytes > memory.nbytes:
                memory = np.empty(nbytes, dtype=np.uint8)
            total += self._read(box, memory, feed)
        return total

    def _read(self, box: Box, memory: np.ndarray, feed: Feed[Box]) -> int:
        """Read a box; where that fails, chunk by chunk, to tell which it is."""
        dtype = self.array.dtype
        nbytes = math.prod(box[1]) * dtype.itemsize
        values: np.ndarray = memory[:nbytes].view(dtype).reshape(box[1])
        try:
            with phase("decode", nbytes):
                feed.add(self.array.read(box, values))
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            unit = self.array.unit
            parts = [box] if unit is None else list(boxes(*box, unit))
            if len(parts) > 1:
                return sum(self._read(part, memory, feed) for part in parts)
            self._note_unread(box, " ".join(str(error).split()))
            return 0
        with phase("compute", nbytes):
            self._add(box, values)
        return nbytes

    def _runs(self, box: Box) -> tuple[Iterator[int], int]:
        """Where the runs of a box begin among the dataset's bytes, and how long they are."""
        start, extent = box
        shape, item = self.array.shape, self.array.dtype.itemsize
        axis = len(shape) - 1
        while axis > 0 and extent[axis] == shape[axis]:
            axis -= 1
        strides = [item * math.prod(shape[i + 1 :]) for i in range(len(shape))]
        first = sum(a * stride for a, stride in zip(start, strides, strict=True))
        places = (
            first + sum(i * stride for i, stride in zip(place, strides, strict=False))
            for place in np.ndindex(*extent[:axis])
        )
        return places, item * math.prod(extent[axis:])

    def _add(self, box: Box, values: np.ndarray) -> None:
        data = values.reshape(-1).view(np.uint8).data
        rows: list[tuple[int, int]] = []  # where a part of a run ends, and its CRC
        places, length = self._runs(box)
        for number, place in enumerate(places):
            run = data[number * length : (number + 1) * length]
            while run:
                part = run[: self.piece - place % self.piece]
                place += len(part)
                rows.append((place, zlib.crc32(part)))
                run = run[len(part) :]
        ends, crcs = np.array(rows, dtype=np.int64).T
        sizes = np.full(len(ends), self.size, dtype=np.int64)
        parts = parts_of_pieces(crcs, ends, sizes, self.piece)
        with self._lock:
            np.bitwise_xor.at(self._found, (ends - 1) // self.piece, parts)

    def _note_unread(self, box: Box, why: str) -> None:
        places, length = self._runs(box)
        for place in places:
            for number in range(place // self.piece, (place + length - 1) // self.piece + 1):
                self._unread[number] = f"cannot be read ({why})"

    def wrong(self) -> dict[int, str]:
        """The numbers of the pieces that are damaged, and why."""
        differing = np.flatnonzero(self._found != self.expected).tolist()
        return dict.fromkeys(differing, WRONG) | self._unread
