"""CRC-32 of fixed pieces of files, computed in parts by ranks and rounds and then combined.

The CRC is the one of zlib, PNG and gzip, so that anybody can verify it. Pieces begin at
multiples of `PIECE`. Each is `PIECE` bytes long, except the last one of a file.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache, lru_cache

import numpy as np

PIECE = 4 << 20

# The CRC's polynomial without x^32, bit-reversed: bit 31 stands for x^0, bit 0 for x^31.
_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
# Below this many bytes, zlib is used: the overhead of a call dominates.
_FEW_BYTES = 1 << 13
# Exponents are split into digits of this many bits, each with a table of its powers.
_DIGIT_BITS = 11
# Fragments that are multiplied at a time: their arrays then fit into a core's cache.
_BATCH = 1 << 15


@cache
def _fast_crc32() -> Callable[..., int]:
    """Return the CRC-32 of zlib-ng, several times as fast, or that of zlib without it."""
    try:
        from imagecodecs import zlibng_crc32

        zlibng_crc32(b"")  # the name exists even if the codec was not built
    except Exception:
        return zlib.crc32
    return zlibng_crc32


def crc32(data: bytes | memoryview, value: int = 0) -> int:
    """Return the CRC-32 of `data`. `value` is the CRC of the preceding bytes. Local.

    The GIL is released, so that threads compute in parallel.
    """
    if len(data) < _FEW_BYTES:
        return zlib.crc32(data, value)
    return int(_fast_crc32()(data, value))


def _multiply(a: int, b: int) -> int:
    """Return the product of two polynomials over GF(2), modulo that of the CRC."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product


@lru_cache(maxsize=4096)
def _shift(length: int) -> int:
    """Return x^(8 * length) modulo the CRC's polynomial: the factor of `length` appended bytes."""
    result, power = _ONE, _ONE >> 8  # power = x^(8 * 2^k), k = 0, 1, …
    while length:
        if length & 1:
            result = _multiply(result, power)
        power = _multiply(power, power)
        length >>= 1
    return result


def combine(crc_a: int, crc_b: int, length_b: int) -> int:
    """Return the CRC-32 of two concatenated byte strings, given the CRC-32 of each.

    Parameters
    ----------
    crc_a, crc_b : int
        The CRC-32 of the first and of the second string.
    length_b : int
        The length of the second string, in bytes.

    Notes
    -----
    The register is linear over GF(2), and `length_b` further bytes multiply it by
    x^(8 length_b); the pre- and post-conditioning of the two CRCs cancel.
    """
    if length_b < 0:
        raise ValueError(f"a length of {length_b} bytes")
    return _multiply(_shift(length_b), crc_a) ^ crc_b


def _multiply_arrays(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return `_multiply` of two (n,) uint32 arrays, element by element."""
    product = np.zeros(len(a), dtype=np.uint32)
    for bit in range(31, -1, -1):
        product ^= b & -(a >> np.uint32(bit) & np.uint32(1))
        b = b >> np.uint32(1) ^ np.uint32(_POLYNOMIAL) & -(b & np.uint32(1))
    return product


@lru_cache(maxsize=8)
def _powers(digit: int) -> np.ndarray:
    """Return a digit's table: x^(8 j 2^(bits digit)) for j < 2^bits, bits = `_DIGIT_BITS`."""
    powers = np.array([_ONE], dtype=np.uint32)
    while len(powers) < 1 << _DIGIT_BITS:
        step = np.full(len(powers), _shift(len(powers) << _DIGIT_BITS * digit), dtype=np.uint32)
        powers = np.concatenate([powers, _multiply_arrays(powers, step)])
    return powers


def _append_zeros(crcs: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return (n,) `crcs` as uint32 after appending `lengths` zero bytes, (n,) int64."""
    result = crcs.astype(np.uint32)
    rest, digit = lengths, 0
    while rest.any():
        result = _multiply_arrays(result, _powers(digit)[rest & ((1 << _DIGIT_BITS) - 1)])
        rest, digit = rest >> _DIGIT_BITS, digit + 1
    return result


def parts_of_pieces(
    crcs: np.ndarray, ends: np.ndarray, sizes: np.ndarray, piece: int
) -> np.ndarray:
    """Return what fragments contribute to the CRCs of their pieces.

    The CRC of a piece is the XOR of the contributions of its fragments.

    Parameters
    ----------
    crcs : (n,) int64 ndarray
        The CRCs of the fragments, each of which lies within one piece.
    ends : (n,) int64 ndarray
        The offset in its file at which each fragment ends.
    sizes : (n,) int64 ndarray
        The length of each fragment's file.
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
        parts[batch] = _append_zeros(crcs[batch], after[batch])
    return parts
