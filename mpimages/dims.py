"""The extent of an image, or of a Series' key space: the tutorial's ``dims``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "Box",
    "Dims",
    "box_shape",
    "boxes",
    "chunk_boxes",
    "covering_chunks",
    "pixel_boxes",
    "pixel_grain",
]

Box = tuple[tuple[int, ...], tuple[int, ...]]  # start and extent along each axis


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


def pixel_boxes(dims: Sequence[int], first: int, stop: int) -> Iterator[Box]:
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


def pixel_grain(dims: Sequence[int], chunk: Sequence[int]) -> int:
    """Ranges of pixels that are cut at multiples of this hold whole chunks.

    Parameters
    ----------
    dims, chunk : sequence of int
        Of the images and of a chunk, along the pixels' axes alone.

    Examples
    --------
    >>> pixel_grain((10, 12), (2, 5)), pixel_grain((10, 12), (1, 4)), pixel_grain((10, 12), (1, 5))
    (24, 4, 12)
    """
    axis = next((i for i, n in enumerate(chunk) if n > 1), len(dims) - 1)
    inner = math.prod(dims[axis + 1 :])
    # The last chunk of a row may be cut short, and so ranges must end with the row; but not
    # along the first axis, whose end is the end of all.
    divides = axis == 0 or dims[axis] % chunk[axis] == 0
    return (chunk[axis] if divides else dims[axis]) * inner


def box_shape(
    shape: Sequence[int], chunk: Sequence[int], itemsize: int, limit: int
) -> tuple[int, ...]:
    """The largest box of whole chunks within `limit` bytes that has the longest runs.

    One chunk at least, as far as it lies within `shape`.
    """
    extent = [min(c, n) for c, n in zip(chunk, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        room = limit // (itemsize * math.prod(extent))
        extent[axis] = min(shape[axis], extent[axis] * max(1, room))
        if extent[axis] < shape[axis]:
            break
    return tuple(extent)


def chunk_boxes(
    start: Sequence[int], extent: Sequence[int], chunk: Sequence[int], itemsize: int, limit: int
) -> Iterator[Box]:
    """The box at `start` in boxes of about `limit` bytes, cut where chunks end."""
    low = [a // c * c for a, c in zip(start, chunk, strict=True)]
    high = [a + n for a, n in zip(start, extent, strict=True)]
    whole = [b - a for a, b in zip(low, high, strict=True)]
    for corner, size in boxes(low, whole, box_shape(whole, chunk, itemsize, limit)):
        first = tuple(map(max, corner, start))
        yield first, tuple(a + n - b for a, n, b in zip(corner, size, first, strict=True))


def covering_chunks(
    start: Sequence[int], extent: Sequence[int], chunk: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """The chunks that have a part of the box at `start`: the number of each along the axes.

    In C order.

    Examples
    --------
    >>> list(covering_chunks((0, 9), (3, 2), (4, 5)))
    [(0, 1), (0, 2)]
    """
    axes = zip(start, extent, chunk, strict=True)
    return itertools.product(*(range(a // c, -(-(a + n) // c)) for a, n, c in axes))


def boxes(start: Sequence[int], extent: Sequence[int], step: Sequence[int]) -> Iterator[Box]:
    """The box at `start` in boxes of the shape `step`; those at its end may be smaller."""
    counts = [-(-n // s) for n, s in zip(extent, step, strict=True)]
    for number in itertools.product(*map(range, counts)):
        low = [i * s for i, s in zip(number, step, strict=True)]
        yield (
            tuple(a + o for a, o in zip(start, low, strict=True)),
            tuple(min(s, n - o) for s, n, o in zip(step, extent, low, strict=True)),
        )
