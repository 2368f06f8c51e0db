"""A dataset that must be read through the HDF5 library, against the CRC-32 of its pieces.

It is read in boxes of whole chunks, so that each chunk is decompressed once. The bytes of a
box are runs that lie apart in the dataset; a piece's CRC is put together from those of the
runs, whose order does not matter.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..core.crc32 import parts_of_pieces
from ..core.timers import phase
from ..dims import Box, box_shape, boxes
from .findings import Findings
from .pieces import WRONG, merge_neighbours

if TYPE_CHECKING:
    import h5py

BOX_BYTES = 64 << 20


def find_damaged_boxes(
    dataset: h5py.Dataset, piece: int, crcs: np.ndarray, findings: Findings
) -> list[tuple[int, int, str]]:
    """What is wrong: bytes [first, stop) of the values in C order, and why."""
    check = _Check(dataset, piece, crcs)
    packed = dataset.id.get_storage_size() / check.size
    unit = _unit(dataset) or (1,) * dataset.ndim
    shape = box_shape(dataset.shape, unit, dataset.dtype.itemsize, BOX_BYTES)
    for box in boxes((0,) * dataset.ndim, dataset.shape, shape):
        before = check.bytes
        check.read(box)
        findings.tick(int((check.bytes - before) * packed))
    findings.bytes += check.bytes
    return merge_neighbours(check.wrong(), piece, check.size)


def _unit(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """The shape of a chunk inside the dataset; None where it is not chunked."""
    if dataset.chunks is None:
        return None
    return tuple(min(c, n) for c, n in zip(dataset.chunks, dataset.shape, strict=True))


class _Check:
    """The CRCs of a dataset's pieces, as far as they are read."""

    def __init__(self, dataset: h5py.Dataset, piece: int, crcs: np.ndarray) -> None:
        self.dataset = dataset
        self.piece = piece
        self.expected = crcs
        self.stored = dataset.dtype.newbyteorder("<")
        self.size = math.prod(dataset.shape) * self.stored.itemsize
        self.bytes = 0
        self._found = np.zeros(len(crcs), dtype=np.uint32)
        self._unread: dict[int, str] = {}
        self._memory = np.empty(0, dtype=np.uint8)

    def read(self, box: Box) -> None:
        """Read a box; where that fails, chunk by chunk, to tell which it is."""
        try:
            values = self._values(box)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            unit = _unit(self.dataset)
            parts = [box] if unit is None else list(boxes(*box, unit))
            if len(parts) > 1:
                for part in parts:
                    self.read(part)
            else:
                self._note_unread(box, " ".join(str(error).split()))
            return
        with phase("compute", values.nbytes):
            self._add(box, values)

    def _values(self, box: Box) -> np.ndarray:
        start, extent = box
        nbytes = math.prod(extent) * self.stored.itemsize
        if nbytes > self._memory.nbytes:
            self._memory = np.empty(nbytes, dtype=np.uint8)
        values: np.ndarray = self._memory[:nbytes].view(self.stored).reshape(extent)
        where = tuple(slice(a, a + n) for a, n in zip(start, extent, strict=True))
        with phase("decode", nbytes):
            self.dataset.read_direct(values, where)
        return values

    def _runs(self, box: Box) -> tuple[Iterator[int], int]:
        """Where the runs of a box begin among the dataset's bytes, and how long they are."""
        start, extent = box
        shape = self.dataset.shape
        axis = len(shape) - 1
        while axis > 0 and extent[axis] == shape[axis]:
            axis -= 1
        strides = [self.stored.itemsize * math.prod(shape[i + 1 :]) for i in range(len(shape))]
        first = sum(a * stride for a, stride in zip(start, strides, strict=True))
        places = (
            first + sum(i * stride for i, stride in zip(place, strides, strict=False))
            for place in np.ndindex(*extent[:axis])
        )
        return places, self.stored.itemsize * math.prod(extent[axis:])

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
        np.bitwise_xor.at(self._found, (ends - 1) // self.piece, parts)
        self.bytes += len(data)

    def _note_unread(self, box: Box, why: str) -> None:
        places, length = self._runs(box)
        for place in places:
            for number in range(place // self.piece, (place + length - 1) // self.piece + 1):
                self._unread[number] = f"cannot be read ({why})"

    def wrong(self) -> dict[int, str]:
        """The numbers of the pieces that are damaged, and why."""
        differing = np.flatnonzero(self._found != self.expected).tolist()
        return dict.fromkeys(differing, WRONG) | self._unread
