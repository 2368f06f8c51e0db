"""CRC-32 of fixed pieces of files, computed apart by ranks and rounds and then put together.

The CRC is the one of zlib, PNG and gzip, so that anybody can verify it. Pieces begin at
multiples of `PIECE` and are `PIECE` long but for a file's last one.
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
# Below this many bytes, what a call costs counts for more than how fast it is.
_FEW_BYTES = 1 << 13
# Exponents are taken apart into digits of so many bits, each with a table of its powers.
_DIGIT_BITS = 11
# Runs that are multiplied at a time: what they need then fits into a core's cache.
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


def _append_zeros(crcs: np.ndarray, lengths: np.ndarray) -> np.ndarray:
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
        parts[batch] = _append_zeros(crcs[batch], after[batch])
    return parts
