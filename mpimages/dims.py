"""The extent of an image, or of a Series' key space: the tutorial's ``dims``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Dims"]


@dataclass(frozen=True)
class Dims:
    """A shape, seen as the first and last coordinate and the count along each axis.

    Parameters
    ----------
    count : tuple of int
        The number of pixels along (row, column[, page]).

    Examples
    --------
    >>> Dims((76, 87, 2)).max
    (75, 86, 1)
    """

    count: tuple[int, ...]

    def __init__(self, count: Iterable[int]) -> None:
        object.__setattr__(self, "count", tuple(int(n) for n in count))

    @property
    def min(self) -> tuple[int, ...]:
        """The first coordinate along each axis: zeros."""
        return (0,) * len(self.count)

    @property
    def max(self) -> tuple[int, ...]:
        """The last coordinate along each axis."""
        return tuple(n - 1 for n in self.count)

    def __iter__(self) -> Iterator[int]:
        return iter(self.count)

    def __len__(self) -> int:
        return len(self.count)

    def __repr__(self) -> str:
        return f"min={self.min}, max={self.max}, count={self.count}"
