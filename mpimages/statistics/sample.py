"""A random sample of records that does not depend on their distribution over the ranks."""

from __future__ import annotations

import numpy as np

__all__ = ["Sample", "priorities"]


def priorities(seed: int, numbers: np.ndarray) -> np.ndarray:
    """Return a pseudo-random uint64 for each record number, distinct for distinct numbers.

    The finaliser of SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, "Fast splittable
    pseudorandom number generators", OOPSLA 2014), a bijection of 64-bit words, applied to the
    seed's word plus the number times the generator's odd step.
    """
    x = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + _mixed(
        np.array([seed], dtype=np.uint64)
    )
    return _mixed(x)


def _mixed(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


class Sample:
    """The `size` records with the smallest hashes among all that were offered.

    The records of the n smallest hashes are a uniform sample without replacement. Samples can be
    merged: the n smallest of two samples are a sample of both.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.numbers = np.empty(0, dtype=np.int64)
        self.rows: np.ndarray | None = None

    def offer(self, numbers: np.ndarray, rows: np.ndarray) -> None:
        """Offer records: their numbers (k,) and values (k, T). Those that are kept are copied."""
        if self.rows is not None:
            numbers = np.concatenate([self.numbers, numbers])
            rows = np.concatenate([self.rows, rows])
        order = np.argsort(priorities(self.seed, numbers), kind="stable")[: self.size]
        order = order[np.argsort(numbers[order], kind="stable")]  # rows stay in record order
        self.numbers, self.rows = numbers[order], rows[order]
