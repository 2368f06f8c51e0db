"""Products of matrices with the same bits whatever the order of their sums. Local, but for merging.

A product of integers is exact in float64 while no sum exceeds 2^53: whatever order, block or
processor a matrix product takes, it gives the same bits, at the speed of an ordinary one. So both
factors are made whole numbers. Integers of at most 16 bits are so already. Other data are rounded
to 44 bits below the largest of them, as two *limbs* of 22 bits; weights have 22 bits, or two limbs.
(K. Ozaki, T. Ogita, S. Oishi, S. M. Rump, "Error-free transformations of matrix multiplication",
Numer. Algorithms 59, 2012.) Results are added up in 64-bit integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from ..core.arguments import is_small_integer
from ..spmd.collectives import allreduce
from ..statistics.sample import priorities

__all__ = [
    "DATA",
    "LIMB",
    "ExactSum",
    "Weights",
    "data_bits",
    "exponents",
    "gram_into",
    "in_order",
    "least_bits",
    "partial_products",
    "record_units",
    "signs",
    "split",
    "times",
    "unit_of",
]

# Bits of a limb, and those that float64 adds exactly.
LIMB, EXACT = 22, 53
# Bits of data that are no small integers.
DATA = 2 * LIMB
# Exponents of units stay where powers of two and their inverses are normal numbers.
LOWEST, HIGHEST = -1000, 980
# Bits of a word of a sum, and its words.
WORD, WORDS = 32, 4
MASK = (1 << WORD) - 1
# Bytes of data that are made float64 at once: they stay in the cache.
PIECE_BYTES = 1 << 20


def data_bits(dtype: np.dtype) -> int:
    """The bits of a limb of data."""
    return 16 if is_small_integer(dtype) else LIMB


def exponents(largest: np.ndarray) -> np.ndarray:
    """The least e of which |value| <= 2^e, for each of `largest`; 0 where that is 0."""
    found = np.frexp(largest)[1].astype(np.int64)
    return np.where(largest == 0, 0, found)


def unit_of(largest: float) -> int:
    """The exponent of the last bit of data, the largest of which is given."""
    return int(np.clip(exponents(np.array(largest)) - DATA, LOWEST, HIGHEST))


def record_units(block: np.ndarray) -> np.ndarray:
    """The exponent of the last bit of each row, by its own largest value: (n, 1)."""
    if is_small_integer(block.dtype) or block.shape[1] == 0:
        return np.zeros((len(block), 1), np.int64)
    # The absolute value of the least integer may not be in its dtype.
    largest = np.maximum(block.max(1).astype(np.float64), -block.min(1).astype(np.float64))
    units: np.ndarray = np.clip(exponents(largest) - DATA, LOWEST, HIGHEST)
    return units[:, None]


def split(block: np.ndarray, unit: int | np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Return limbs: whole numbers as float64, and by which power of two, in units, each counts.

    Values above the largest that the unit is for are an error of the caller.
    """
    if is_small_integer(block.dtype):
        return [(block.astype(np.float64), 0)]
    low = block.astype(np.float64)
    low *= np.ldexp(1.0, -np.asarray(unit))
    high = np.rint(low * 2.0**-LIMB)
    low -= high * 2.0**LIMB
    return [(np.rint(low, out=low), 0), (high, LIMB)]


def partial_products(a: np.ndarray, b: np.ndarray, bits: int) -> Iterator[np.ndarray]:
    """Yield exact products whose sum is a @ b, for factors of so many bits together."""
    step = 1 << (EXACT - bits)
    for start in range(0, a.shape[1], step):
        yield a[:, start : start + step] @ b[start : start + step]


def signs(seed: int, first: int, stop: int, columns: int) -> np.ndarray:
    """Rows [first, stop) of a random matrix of +1 and -1, which a hash of (seed, row) makes."""
    words, bits = [], np.arange(min(columns, 64), dtype=np.uint64)
    for word in range(-(-columns // 64)):
        hashed = priorities((seed + word * 0x9E3779B97F4A7C15) % 2**64, np.arange(first, stop))
        words.append((hashed[:, None] >> bits) & np.uint64(1))
    found: np.ndarray = np.concatenate(words, 1)[:, :columns]
    return 1.0 - 2.0 * found


@dataclass(frozen=True)
class Weights:
    """A matrix of whole numbers, each column of which counts by a power of two.

    Attributes
    ----------
    whole : (n, k) float64 ndarray
        At most 2^bits.
    scale : (k,) int64 ndarray
        Exponents: the matrix is ``whole * 2**scale``.
    bits : int
    """

    whole: np.ndarray
    scale: np.ndarray
    bits: int = LIMB

    @classmethod
    def of(
        cls,
        matrix: np.ndarray,
        bits: int = LIMB,
        largest: np.ndarray | None = None,
        in_place: bool = False,
    ) -> Weights:
        """Round a matrix; `largest` is that of each column, where this is a part of its rows."""
        if largest is None:
            largest = np.abs(matrix).max(0, initial=0.0)
        scale = np.clip(exponents(largest) - bits, LOWEST, HIGHEST)
        whole = np.multiply(matrix, np.ldexp(1.0, -scale), out=matrix if in_place else None)
        return cls(np.rint(whole, out=whole), scale, bits)

    @property
    def matrix(self) -> np.ndarray:
        """The matrix that these whole numbers are."""
        found: np.ndarray = np.ldexp(self.whole, self.scale)
        return found

    def limbs(self) -> list[tuple[np.ndarray, int]]:
        """Return limbs of at most 22 bits, as `split`."""
        if self.bits <= LIMB:
            return [(self.whole, 0)]
        high = np.rint(self.whole * 2.0**-LIMB)
        return [(self.whole - high * 2.0**LIMB, 0), (high, LIMB)]


def times(block: np.ndarray, weights: Weights) -> np.ndarray:
    """block @ weights.matrix: each row has the same bits whatever the other rows are."""
    out = np.zeros((len(block), weights.whole.shape[1]))
    pieces = max(1, PIECE_BYTES // max(1, 8 * block.shape[1]))
    limbs = weights.limbs()
    for start in range(0, len(block), pieces):
        rows = block[start : start + pieces]
        units = record_units(rows)
        into = out[start : start + pieces]
        for limb, shift in split(rows, units):
            for weight, more in limbs:
                for part in partial_products(limb, weight, data_bits(block.dtype) + LIMB):
                    part *= 2.0 ** (shift + more)
                    into += part
        np.ldexp(into, units + weights.scale, out=into)
    return out


def in_order(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows @ matrix by additions in the order of the columns, with the same bits everywhere."""
    out = np.zeros((len(rows), matrix.shape[1]))
    for column in range(matrix.shape[1]):
        for i in range(rows.shape[1]):
            out[:, column] += rows[:, i] * matrix[i, column]
    return out


def gram_into(
    total: ExactSum, a: list[tuple[np.ndarray, int]], b: list[tuple[np.ndarray, int]], bits: int
) -> None:
    """Add the products aᵀ b of rows in limbs to a sum."""
    for left, shift in a:
        for right, more in b:
            for part in partial_products(left.T, right, bits):
                total.add(part, shift + more)


class ExactSum:
    """An exact sum of arrays of integers below 2^53, each times a power of two.

    It has words of 32 bits in int64, so that 2^30 summands fit.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.words = np.zeros((WORDS, *shape), np.int64)

    def add(self, values: np.ndarray, shift: int = 0, where: object = ...) -> None:
        """Add values * 2**shift to the elements `where`; shift is at most 44."""
        whole = values.astype(np.int64)
        first, bits = divmod(shift, WORD)
        low, high = (whole & MASK) << bits, (whole >> WORD) << bits
        self.words[first][where] += low & MASK
        self.words[first + 1][where] += (low >> WORD) + (high & MASK)
        self.words[first + 2][where] += high >> WORD

    def merge(self, comm: MPI.Intracomm) -> ExactSum:
        """Add the sums of all ranks, on every rank. Collective."""
        self._carry()
        allreduce(comm, self.words)
        self._carry()
        return self

    def _carry(self) -> None:
        for i in range(WORDS - 1):
            self.words[i + 1] += self.words[i] >> WORD
            self.words[i] &= MASK

    def values(self) -> np.ndarray:
        """The sums as float64."""
        self._carry()
        found: np.ndarray = self.words[-1].astype(np.float64)
        for i in range(WORDS - 2, -1, -1):
            found *= 2.0**WORD
            found += self.words[i]
        return found

    def integers(self, row: int) -> list[int]:
        """One row of the sums, as Python's integers."""
        self._carry()
        words = [self.words[i, row].reshape(-1).tolist() for i in range(WORDS)]
        return [
            sum(word << (WORD * i) for i, word in enumerate(each))
            for each in zip(*words, strict=True)
        ]


def least_bits(dtype: np.dtype, count: int) -> int:
    """Bits of weights with which int64 holds the sum of `count` products."""
    return min(LIMB, 62 - data_bits(dtype) - max(1, math.ceil(math.log2(max(2, count)))))
