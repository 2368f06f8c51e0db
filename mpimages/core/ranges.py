"""Sets of records as ascending half-open ranges that do not touch. Local."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

Range = tuple[int, int]


def consecutive(numbers: np.ndarray, step: int = 1) -> Iterator[Range]:
    """Yield the places [start, stop) of numbers that follow each other by `step`."""
    if len(numbers) < 2:  # one image a file is common: no arithmetic for each of them
        if len(numbers):
            yield 0, 1
        return
    breaks = np.flatnonzero(np.diff(numbers) != step) + 1
    yield from itertools.pairwise([0, *breaks.tolist(), len(numbers)])


def runs_of(numbers: np.ndarray) -> list[Range]:
    """Return ascending numbers as half-open ranges: ``[(0, 20)]`` for 0…19."""
    return [(int(numbers[a]), int(numbers[b - 1]) + 1) for a, b in consecutive(numbers)]


class Ranges:
    """A set of integers, stored as ranges.

    Parameters
    ----------
    ranges : iterable of (int, int)
        Half-open, in any order. They may overlap; empty ones are ignored.

    Examples
    --------
    >>> Ranges([(4, 8), (0, 2), (2, 4)])
    Ranges([(0, 8)])
    """

    def __init__(self, ranges: Iterable[Iterable[int]] = ()) -> None:
        self._ranges: list[Range] = []
        for start, stop in sorted((int(a), int(b)) for a, b in ranges):
            if stop <= start:
                continue
            if self._ranges and start <= self._ranges[-1][1]:
                last = self._ranges[-1]
                self._ranges[-1] = (last[0], max(last[1], stop))
            else:
                self._ranges.append((start, stop))

    @property
    def count(self) -> int:
        """The number of integers in the set."""
        return sum(stop - start for start, stop in self._ranges)

    def missing(self, count: int) -> Ranges:
        """Return the integers of 0 … count - 1 that are not in the set."""
        edges = [0, *(edge for span in self._ranges for edge in span), count]
        return Ranges(zip(edges[::2], edges[1::2], strict=True))

    def pieces(self, width: int, grain: int = 1) -> Iterator[Range]:
        """Yield the set as ranges of at most `width` integers, cut only at multiples of `grain`.

        `width` is a multiple of `grain`.
        """
        for start, stop in self._ranges:
            while start < stop:
                end = min(stop, start - start % grain + width)
                yield start, end
                start = end

    def __iter__(self) -> Iterator[Range]:
        return iter(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._ranges == other._ranges

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ranges({self._ranges})"
