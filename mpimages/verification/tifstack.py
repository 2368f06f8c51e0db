"""One multi-page TIFF of mpimages, by its mark."""

from __future__ import annotations

import os
import zlib
from typing import BinaryIO

from ..formats.tif_checksums import STRUCTURE_PLACE, Mark, read_mark
from .findings import Findings
from .pieces import Stored, find_damaged

READ_BYTES = 1 << 20


def verify_tifstack(path: str, findings: Findings) -> bool:
    """Add to `findings` what is wrong with a TIFF; False where it has no mark of mpimages.

    The pixels and all the rest have checksums, and the mark says how long the file is.
    """
    with open(path, "rb") as file:
        mark = read_mark(file)
        if mark is None:
            return False
        findings.files += 1
        size = os.fstat(file.fileno()).st_size
        if size != mark.file_bytes:
            findings.problem(f"has {size} bytes, not {mark.file_bytes}")
        elif _structure(file, mark, findings) != mark.structure:
            findings.problem("its header or the tables of its pages do not have their checksum")
    run = Stored(
        path, mark.first, mark.pixel_bytes, mark.piece, mark.crcs, max(0, size - mark.first)
    )
    for _, first, stop, why in find_damaged([run], findings):
        findings.problem(f"bytes [{first}, {stop}) of the pixels, from {mark.first}, {why}")
    return True


def _structure(file: BinaryIO, mark: Mark, findings: Findings) -> int:
    """The CRC-32 of all but the pixels, with zeros where it is stored itself."""
    file.seek(0)
    head = bytearray(file.read(mark.first))
    findings.bytes += len(head)
    at = mark.place + STRUCTURE_PLACE
    head[at : at + 4] = bytes(4)
    crc = zlib.crc32(head)
    file.seek(mark.first + mark.pixel_bytes)
    while piece := file.read(READ_BYTES):
        findings.bytes += len(piece)
        crc = zlib.crc32(piece, crc)
    return crc
