"""The mark of a multi-page TIFF that mpimages wrote: between the file's head and its first table.

It says how long the file is and where its pixels lie, and has their checksums. No tag refers to
it, for other programs warn of tags that they do not know. In files of before it is the value of
a private tag of the first page: these are known, too. Local.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

from . import tif_tags
from .output_names import TIF_MARK

MARK_PLACE = 16  # behind the head of a BigTIFF; a classic one's is shorter
UNDEFINED = 7  # the type of the private tag of older files
# Bytes of the file, where the pixels begin, their bytes, the length of a piece; the CRC-32 of
# what is not pixels, computed with zeros in its place. The CRC-32 of each piece follows.
FIELDS = struct.Struct("<16sQQQQI")
STRUCTURE_PLACE = FIELDS.size - 4  # among the mark's bytes
MOST_TAGS = 4096
MOST_PIECES = 1 << 16
MOST_HEAD = 1 << 24


@dataclass(frozen=True)
class Mark:
    """What the mark holds, and `place`: where its bytes lie in the file."""

    place: int
    file_bytes: int
    first: int
    pixel_bytes: int
    piece: int
    structure: int
    crcs: tuple[int, ...]


def pack_mark(
    file_bytes: int, first: int, pixel_bytes: int, piece: int, structure: int, crcs: Sequence[int]
) -> bytes:
    """The mark's bytes."""
    fields = FIELDS.pack(TIF_MARK, file_bytes, first, pixel_bytes, piece, structure)
    return fields + struct.pack(f"<{len(crcs)}I", *crcs)


def read_mark(file: BinaryIO) -> Mark | None:
    """The mark of an open TIFF; None where it has none, or is no TIFF.

    Raises
    ------
    OSError
        Where the file cannot be read.
    """
    try:
        return _read(file)
    except (struct.error, ValueError):
        return None


def _read(file: BinaryIO) -> Mark | None:
    size = os.fstat(file.fileno()).st_size
    head = file.read(16)
    if head[:4] == b"II*\0":
        (place,) = struct.unpack_from("<I", head, 4)
        count_of, entry = struct.Struct("<H"), struct.Struct("<HHII")
    elif head[:8] == b"II+\0\x08\0\0\0":
        (place,) = struct.unpack_from("<Q", head, 8)
        count_of, entry = struct.Struct("<Q"), struct.Struct("<HHQQ")
    else:
        return None
    if place > size:
        return None
    file.seek(MARK_PLACE)
    content = file.read(max(0, min(place - MARK_PLACE, FIELDS.size + 4 * MOST_PIECES)))
    if content.startswith(TIF_MARK):
        return _parse(MARK_PLACE, content)
    file.seek(place)
    (count,) = count_of.unpack(file.read(count_of.size))
    table = file.read(min(count, MOST_TAGS) * entry.size)
    for tag, kind, length, where in entry.iter_unpack(table):
        if tag == tif_tags.MARK and kind == UNDEFINED:
            if where > size or not FIELDS.size <= length <= FIELDS.size + 4 * MOST_PIECES:
                return None
            file.seek(where)
            return _parse(where, file.read(length))
    return None


def _parse(place: int, content: bytes) -> Mark | None:
    magic, file_bytes, first, pixel_bytes, piece, structure = FIELDS.unpack_from(content)
    if magic != TIF_MARK or piece == 0:
        return None
    crcs = content[FIELDS.size :][: 4 * -(-pixel_bytes // piece)]
    if len(crcs) != 4 * -(-pixel_bytes // piece):
        return None
    # What damage says of sizes must not be believed: it would be asked of memory.
    end = place + FIELDS.size + len(crcs)
    if not end <= first <= MOST_HEAD or first + pixel_bytes > file_bytes:
        return None
    values = struct.unpack(f"<{len(crcs) // 4}I", crcs)
    return Mark(place, file_bytes, first, pixel_bytes, piece, structure, values)
