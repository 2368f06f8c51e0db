"""The distribution of records over ranks: contiguous ranges by an offsets table. Without MPI."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Partition:
    """The rule "part r owns the items [offsets[r], offsets[r + 1])".

    Parameters
    ----------
    offsets : tuple of int
        Non-decreasing, the first 0; one more than there are parts.
    """

    offsets: tuple[int, ...]

    def __post_init__(self) -> None:
        o = self.offsets
        if len(o) < 2 or o[0] != 0 or any(a > b for a, b in itertools.pairwise(o)):
            raise ValueError(f"offsets must begin at 0 and not decrease, got {o}")

    @classmethod
    def balanced(cls, count: int, parts: int, grain: int = 1) -> Partition:
        """Cut `count` items into `parts` ranges whose sizes differ by one grain at most.

        Every boundary except the last is a multiple of `grain`.
        """
        if count < 0 or parts < 1 or grain < 1:
            raise ValueError(f"cannot cut {count} items into {parts} parts of grain {grain}")
        grains = -(-count // grain)
        cuts = (min(count, grain * (grains * part // parts)) for part in range(parts + 1))
        return cls(tuple(cuts))

    @classmethod
    def fromCounts(cls, counts: Iterable[int]) -> Partition:
        """Return the partition whose part r has counts[r] items."""
        offsets = [0]
        for count in counts:
            offsets.append(offsets[-1] + int(count))
        return cls(tuple(offsets))

    @property
    def count(self) -> int:
        """The total number of items."""
        return self.offsets[-1]

    @property
    def parts(self) -> int:
        """The number of parts."""
        return len(self.offsets) - 1

    @cached_property  # loops over thousands of parts ask for the count of each
    def counts(self) -> tuple[int, ...]:
        """The number of items of each part."""
        return tuple(b - a for a, b in zip(self.offsets, self.offsets[1:], strict=False))

    def bounds(self, part: int) -> tuple[int, int]:
        """Return the half-open range [start, stop) that `part` owns."""
        if not 0 <= part < self.parts:
            raise IndexError(f"part {part} of {self.parts}")
        return self.offsets[part], self.offsets[part + 1]

    def restricted(self, positions: Sequence[int] | np.ndarray) -> Partition:
        """Return the partition of a selection, in which each item keeps its owner.

        Parameters
        ----------
        positions : ascending ints
            The selected items; the result numbers them from 0.
        """
        # Bisection does not expand a range, which is the most common case, to an array.
        cuts = (bisect.bisect_left(positions, offset) for offset in self.offsets[1:])
        return Partition((0, *cuts))
