"""The extent of an image, or of a Series' key space: the tutorial's ``dims``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Dims", "pixel_boxes"]


@dataclass(frozen=True)
class Dims:
    """A shape, seen as the first and last coordinate and the count along each axis.

    Parameters
    ----------
    count : iterable of int
        The number of pixels along (row, column[, page]); kept as a tuple.

    Examples
    --------
    >>> dims = Dims((76, 87, 2))
    >>> dims.count
    (76, 87, 2)
    >>> dims.max
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


def pixel_boxes(
    dims: Sequence[int], first: int, stop: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The pixels [first, stop), in C order of `dims`, as few boxes: (start, extent) of each.

    In ascending order: the boxes' pixels, one after the other, are the range's. At most
    ``2 * len(dims) - 1`` boxes.
    """
    if not 0 <= first <= stop <= math.prod(dims):
        raise ValueError(f"pixels [{first}, {stop}) of {tuple(dims)}")
    while first < stop:
        # The largest trailing block of axes that begins at `first` and ends by `stop`.
        axis, inner = len(dims) - 1, 1
        while axis > 0 and first % (inner * dims[axis]) == 0 and first + inner * dims[axis] <= stop:
            inner *= dims[axis]
            axis -= 1
        along = first // inner % dims[axis]
        extent = min(dims[axis] - along, (stop - first) // inner)
        start = tuple(first // math.prod(dims[i + 1 :]) % n for i, n in enumerate(dims))
        yield start, ((1,) * axis + (extent, *dims[axis + 1 :]))
        first += extent * inner
