"""CRC-32 of fixed pieces of files, computed apart by ranks and rounds and then put together.

The CRC is the one of zlib, PNG and gzip, so that anybody can verify it. Pieces begin at
multiples of `PIECE` and are `PIECE` long but for a file's last one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache

import numpy as np

__all__ = [
    "PIECE", "Fragments", "combine", "crc32", "fragment_rows", "merge_fragments",
    "parts_of_pieces",
]

PIECE = 4 << 20

# The CRC's polynomial without x^32, bit-reversed: bit 31 stands for x^0, bit 0 for x^31.
_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
# Below this many bytes, what a call costs counts for more than how fast it is.
_FEW_BYTES = 1 << 13
# Exponents are taken apart into digits of so many bits, each with a table of its powers.
_DIGIT_BITS = 11
# Fragments that are multiplied at a time: what they need then fits into a core's cache.
_BATCH = 1 << 15


@cache
def _fast_crc32() -> Callable[..., int]:
    """zlib-ng's, several times as fast, where the codec library has it."""
    try:
        from imagecodecs import zlibng_crc32

        zlibng_crc32(b"")  # the name is there even where the codec was not built
    except Exception:
        return zlib.crc32
    return zlibng_crc32


def crc32(data: bytes | memoryview, value: int = 0) -> int:
    """The CRC-32 of `data`, or of what `value` is of with `data` after it. Local.

    The interpreter is free meanwhile, so that threads compute side by side.
    """
    if len(data) < _FEW_BYTES:
        return zlib.crc32(data, value)
    return int(_fast_crc32()(data, value))


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


def _multiply_arrays(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`_multiply` of (n,) uint32 by (n,) uint32, element by element."""
    product = np.zeros(len(a), dtype=np.uint32)
    for bit in range(31, -1, -1):
        product ^= b & -(a >> np.uint32(bit) & np.uint32(1))
        b = b >> np.uint32(1) ^ np.uint32(_POLYNOMIAL) & -(b & np.uint32(1))
    return product


@lru_cache(maxsize=8)
def _powers(digit: int) -> np.ndarray:
    """x^(8 j 2^(bits digit)) for j below 2^bits, bits = `_DIGIT_BITS`: a digit's table."""
    powers = np.array([_ONE], dtype=np.uint32)
    while len(powers) < 1 << _DIGIT_BITS:
        step = np.full(len(powers), _shift(len(powers) << _DIGIT_BITS * digit), dtype=np.uint32)
        powers = np.concatenate([powers, _multiply_arrays(powers, step)])
    return powers


def _shifted(crcs: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """What (n,) `crcs` become when so many zero bytes follow, (n,) int64: uint32."""
    result = crcs.astype(np.uint32)
    rest, digit = lengths, 0
    while rest.any():
        result = _multiply_arrays(result, _powers(digit)[rest & ((1 << _DIGIT_BITS) - 1)])
        rest, digit = rest >> _DIGIT_BITS, digit + 1
    return result


def parts_of_pieces(
    crcs: np.ndarray, ends: np.ndarray, sizes: np.ndarray, piece: int
) -> np.ndarray:
    """What fragments contribute to the CRCs of their pieces: a piece's is the XOR of all.

    Parameters
    ----------
    crcs : (n,) int64 ndarray
        Of the fragments, each of which lies within one piece.
    ends : (n,) int64 ndarray
        The byte of its file before which each fragment ends.
    sizes : (n,) int64 ndarray
        The length of its file.
    piece : int
        The length of the pieces.

    Returns
    -------
    (n,) uint32 ndarray
    """
    after = np.minimum(-(-ends // piece) * piece, sizes) - ends
    parts = np.empty(len(crcs), dtype=np.uint32)
    for start in range(0, len(crcs), _BATCH):
        batch = slice(start, start + _BATCH)
        parts[batch] = _shifted(crcs[batch], after[batch])
    return parts


class Fragments:
    """What one rank knows of the checksums of an output: those of the runs it wrote.

    A run is cut at the pieces' borders; runs that follow each other become one fragment.
    One thread adds and takes; another may do so later.

    Parameters
    ----------
    piece : int, optional
        The length of the pieces; None: `PIECE`.
    """

    def __init__(self, piece: int | None = None) -> None:
        self.piece = PIECE if piece is None else piece
        # (file, offset, length, crc) of each closed fragment, and the one that may still grow.
        self._closed: list[tuple[int, int, int, int]] = []
        self._open: tuple[int, int, int, int] | None = None

    def add(self, file: int, offset: int, data: memoryview) -> None:
        """Take note of `data`, bytes that were written at `offset` of file number `file`."""
        while data:
            part = data[: self.piece - offset % self.piece]
            self._add_part(file, offset, part)
            offset += len(part)
            data = data[len(part) :]

    def _add_part(self, file: int, offset: int, part: memoryview) -> None:
        if self._open is not None:
            last_file, start, length, crc = self._open
            if last_file == file and start + length == offset and offset % self.piece:
                self._open = (file, start, length + len(part), crc32(part, crc))
                return
            self._closed.append(self._open)
        self._open = (file, offset, len(part), crc32(part))

    def rows(self) -> np.ndarray:
        """(n, 4) int64: file, offset, length and CRC of each fragment."""
        return fragment_rows(self._closed + ([self._open] if self._open is not None else []))

    def take(self) -> np.ndarray:
        """The `rows` since the last call, which are then forgotten."""
        rows = self.rows()
        self._closed, self._open = [], None
        return rows


def fragment_rows(listed: Sequence[Sequence[int]]) -> np.ndarray:
    """Fragments as lists, as (n, 4) int64."""
    return np.array(listed, dtype=np.int64).reshape(-1, 4)


def merge_fragments(
    parts: Iterable[np.ndarray], sizes: Sequence[int], piece: int | None = None
) -> list[list[int]]:
    """The CRC-32 of every piece of every file, from all ranks' fragments.

    Parameters
    ----------
    parts : iterable of (n, 4) int64 ndarray
        `Fragments.rows` of each rank, in any order.
    sizes : sequence of int
        The files' lengths in bytes.
    piece : int, optional
        The length of the pieces; None: `PIECE`.

    Raises
    ------
    RuntimeError
        When a byte was written twice or never: an error of mpimages, not of the caller.
    """
    piece = PIECE if piece is None else piece
    rows = np.concatenate([np.empty((0, 4), np.int64), *parts])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    lengths = np.array(sizes, dtype=np.int64)
    _check_complete(rows, lengths)
    files, offsets = rows[:, 0], rows[:, 1]
    ends = offsets + rows[:, 2]
    if (offsets // piece != (ends - 1) // piece).any():
        raise RuntimeError("internal error: a fragment reaches over a piece's border")
    crcs = parts_of_pieces(rows[:, 3], ends, lengths[files], piece)
    firsts = np.flatnonzero(offsets % piece == 0)
    merged = np.bitwise_xor.reduceat(crcs, firsts).tolist() if len(firsts) else []
    borders = np.concatenate([[0], np.cumsum(-(-lengths // piece))]).tolist()
    return [merged[borders[k] : borders[k + 1]] for k in range(len(sizes))]


def _check_complete(rows: np.ndarray, sizes: np.ndarray) -> None:
    """Raise unless the fragments, sorted, cover each file once and wholly."""
    files, offsets = rows[:, 0], rows[:, 1]
    ends = offsets + rows[:, 2]
    expected = np.zeros(len(rows), dtype=np.int64)
    same = files[1:] == files[:-1]
    expected[1:][same] = ends[:-1][same]
    wrong = np.flatnonzero(offsets != expected)
    if wrong.size:
        file, offset, end = (int(a[wrong[0]]) for a in (files, offsets, expected))
        what = "twice" if offset < end else "never"
        raise RuntimeError(
            f"internal error: bytes of output file {file} were written {what}, "
            f"between {min(offset, end)} and {max(offset, end)}"
        )
    known = (files >= 0) & (files < len(sizes)) & (rows[:, 2] > 0)
    if not known.all():
        raise RuntimeError("internal error: a fragment of no bytes, or of no output file")
    written = np.zeros(len(sizes), dtype=np.int64)
    lasts = np.flatnonzero(np.append(~same, True)) if len(rows) else files
    written[files[lasts]] = ends[lasts]
    wrong = np.flatnonzero(written != sizes)
    if wrong.size:
        file = int(wrong[0])
        raise RuntimeError(
            f"internal error: {written[file]} of the {sizes[file]} bytes of output file {file} "
            "were written"
        )
