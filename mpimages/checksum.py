"""CRC-32 of fixed pieces of files, computed apart by ranks and rounds and then put together.

The CRC is the one of zlib, PNG and gzip, so that anybody can verify it. Pieces begin at
multiples of `PIECE` and are `PIECE` long but for a file's last one.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

__all__ = ["PIECE", "Fragments", "combine", "merge_fragments"]

PIECE = 4 << 20

# The CRC's polynomial without x^32, bit-reversed: bit 31 stands for x^0, bit 0 for x^31.
_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


def _multiply(a: int, b: int) -> int:
    """The product of two polynomials over GF(2), modulo the CRC's."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product


@lru_cache(maxsize=4096)
def _shift(length: int) -> int:
    """x^(8 * length) modulo the CRC's polynomial: what appending `length` bytes multiplies by."""
    result, power = _ONE, _ONE >> 8  # power = x^(8 * 2^k), k = 0, 1, …
    while length:
        if length & 1:
            result = _multiply(result, power)
        power = _multiply(power, power)
        length >>= 1
    return result


def combine(crc_a: int, crc_b: int, length_b: int) -> int:
    """The CRC-32 of two byte strings one after the other, from theirs alone.

    Parameters
    ----------
    crc_a, crc_b : int
        Of the first and of the second string.
    length_b : int
        Of the second, in bytes.

    Notes
    -----
    The register is linear over GF(2), and `length_b` further bytes multiply it by
    x^(8 length_b); the pre- and post-conditioning of the two CRCs cancel.
    """
    if length_b < 0:
        raise ValueError(f"a length of {length_b} bytes")
    return _multiply(_shift(length_b), crc_a) ^ crc_b


class Fragments:
    """What one rank knows of the checksums of an output: those of the runs it wrote.

    A run is cut at the pieces' borders; runs that follow each other become one fragment.
    """

    def __init__(self) -> None:
        # (file, offset, length, crc) of each closed fragment, and the one that may still grow.
        self._closed: list[tuple[int, int, int, int]] = []
        self._open: tuple[int, int, int, int] | None = None

    def add(self, file: int, offset: int, data: memoryview) -> None:
        """Take note of `data`, bytes that were written at `offset` of file number `file`."""
        while data:
            part = data[: PIECE - offset % PIECE]
            self._add_part(file, offset, part)
            offset += len(part)
            data = data[len(part) :]

    def _add_part(self, file: int, offset: int, part: memoryview) -> None:
        if self._open is not None:
            last_file, start, length, crc = self._open
            if last_file == file and start + length == offset and offset % PIECE:
                self._open = (file, start, length + len(part), zlib.crc32(part, crc))
                return
            self._closed.append(self._open)
        self._open = (file, offset, len(part), zlib.crc32(part))

    def rows(self) -> np.ndarray:
        """(n, 4) int64: file, offset, length and CRC of each fragment."""
        rows = self._closed + ([self._open] if self._open is not None else [])
        return np.array(rows, dtype=np.int64).reshape(-1, 4)


def merge_fragments(parts: Iterable[np.ndarray], sizes: Sequence[int]) -> list[list[int]]:
    """The CRC-32 of every piece of every file, from all ranks' fragments.

    Parameters
    ----------
    parts : iterable of (n, 4) int64 ndarray
        `Fragments.rows` of each rank, in any order.
    sizes : sequence of int
        The files' lengths in bytes.

    Raises
    ------
    RuntimeError
        When a byte was written twice or never: an error of mpimages, not of the caller.
    """
    rows = np.concatenate([np.empty((0, 4), np.int64), *parts])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    pieces: list[list[int]] = [[] for _ in sizes]
    ends = [0] * len(sizes)
    for file, offset, length, crc in rows.tolist():
        if offset != ends[file]:
            what = "twice" if offset < ends[file] else "never"
            raise RuntimeError(
                f"internal error: bytes of output file {file} were written {what}, "
                f"between {min(offset, ends[file])} and {max(offset, ends[file])}"
            )
        if offset % PIECE == 0:
            pieces[file].append(crc)
        else:
            pieces[file][-1] = combine(pieces[file][-1], crc, length)
        ends[file] += length
    for file, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        if end != size:
            raise RuntimeError(
                f"internal error: {end} of the {size} bytes of output file {file} were written"
            )
    return pieces
