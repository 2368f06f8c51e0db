"""The end of an HDF5 file that follows another standard, such as NWB: behind all that HDF5 reads.

Such a file holds more than datasets of mpimages: groups, links, text and attributes. The trailer
says which of the file's bytes are no values of our dataset, and has their CRC-32. By this the file
is verified, whatever damage does to HDF5's own structures, and recognised as one to which nothing
was added: whoever changes it by the HDF5 library cuts the trailer off or overwrites it. Local.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from .output_names import HDF5_TRAILER

# The mark, the bytes of the file before the trailer, the number of spans, and the CRC-32 of the
# spans' bytes, of the table of spans and of these fields. The table stands before them.
FIELDS = struct.Struct("<16sQQI")
SPAN = struct.Struct("<QQ")
READ_BYTES = 1 << 20

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Trailer:
    """A trailer as it stands in a file: what is before it, its spans, their checksum."""

    file_bytes: int
    spans: Spans
    crc: int

    @property
    def nbytes(self) -> int:
        """How many bytes of the file the checksum is of."""
        return sum(stop - start for start, stop in self.spans)


def pack_trailer(file: BinaryIO, spans: Spans) -> bytes:
    """The trailer of an open file that has none; `spans` are [start, stop), ascending."""
    size = os.fstat(file.fileno()).st_size
    crc = spans_checksum(file, size, spans)
    return _table(spans) + FIELDS.pack(HDF5_TRAILER, size, len(spans), crc)


def read_trailer(file: BinaryIO) -> Trailer | None:
    """The trailer of an open file; None where it has none, or one that cannot be true.

    Raises
    ------
    OSError
        Where the file cannot be read.
    """
    size = os.fstat(file.fileno()).st_size
    if size < FIELDS.size:
        return None
    file.seek(size - FIELDS.size)
    mark, file_bytes, count, crc = FIELDS.unpack(file.read(FIELDS.size))
    if mark != HDF5_TRAILER or file_bytes + count * SPAN.size + FIELDS.size != size:
        return None
    file.seek(file_bytes)
    spans = list(SPAN.iter_unpack(file.read(count * SPAN.size)))
    place = 0
    for start, stop in spans:
        if not place <= start <= stop <= file_bytes:
            return None
        place = stop
    return Trailer(file_bytes, spans, crc)


def spans_checksum(
    file: BinaryIO, file_bytes: int, spans: Spans, tick: Callable[[int], None] = lambda nbytes: None
) -> int:
    """The CRC-32 that a trailer has of these spans; `tick` is told how much was read."""
    crc = 0
    for start, stop in spans:
        file.seek(start)
        while start < stop and (piece := file.read(min(READ_BYTES, stop - start))):
            crc = zlib.crc32(piece, crc)
            start += len(piece)
            tick(len(piece))
    return zlib.crc32(_table(spans) + FIELDS.pack(HDF5_TRAILER, file_bytes, len(spans), 0), crc)


def is_as_written(file: BinaryIO, trailer: Trailer) -> bool:
    """Whether all but the values of our dataset is as it was."""
    return spans_checksum(file, trailer.file_bytes, trailer.spans) == trailer.crc


def _table(spans: Spans) -> bytes:
    return b"".join(SPAN.pack(*span) for span in spans)
