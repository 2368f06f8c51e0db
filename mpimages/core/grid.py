"""How an image is cut into blocks: arithmetic alone, without MPI.

A block is a box of pixels, and the halo around it. Blocks are numbered in C order of their places
along the axes, as pixels are.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .arguments import check_int, check_ints
from .sizes import parse_size
from .text import quote

__all__ = ["BlockKey", "BlockPixels", "Cut", "Grid"]

Shape = tuple[int, ...]
UNITS = ("pixels", "splits")


class BlockKey(tuple[int, ...]):
    """The key of a block: the first pixel along each axis, without the halo. A tuple.

    Attributes
    ----------
    shape : tuple of int
        Pixels along each axis, without the halo.
    padding : (tuple of int, tuple of int)
        Pixels of the halo along each axis, before and after the block.
    """

    _grid: Grid
    _number: int

    def __new__(cls, grid: Grid, number: int) -> BlockKey:
        key = super().__new__(cls, grid.start(number))
        key._grid, key._number = grid, number
        return key

    def __reduce__(self) -> tuple[Any, ...]:
        return BlockKey, (self._grid, self._number)

    @property
    def shape(self) -> Shape:
        return self._grid.shape(self._number)

    @property
    def padding(self) -> tuple[Shape, Shape]:
        low, extent = self._grid.outer(self._number)
        before = tuple(a - b for a, b in zip(self, low, strict=True))
        inside = zip(extent, before, self.shape, strict=True)
        return before, tuple(n - b - s for n, b, s in inside)

    def neighbors(self) -> list[BlockKey]:
        """Return the keys of the blocks that touch this one, at a corner too, in C order."""
        return [BlockKey(self._grid, number) for number in self._grid.neighbors(self._number)]


@dataclass(frozen=True)
class Grid:
    """Blocks of an image.

    Parameters
    ----------
    dims : tuple of int
        Shape of the image.
    cuts : tuple of tuple of int
        Along each axis where the blocks begin, and the end of the axis.
    padding : tuple of int
        Pixels of the halo along each axis, on either side; it ends at the borders of the image.
    """

    dims: Shape
    cuts: tuple[Shape, ...]
    padding: Shape

    @cached_property
    def places(self) -> Shape:
        """The number of blocks along each axis."""
        return tuple(len(cuts) - 1 for cuts in self.cuts)

    @property
    def count(self) -> int:
        """The number of blocks."""
        return math.prod(self.places)

    @cached_property
    def largest(self) -> int:
        """The pixels of the largest block with its halo."""
        return math.prod(
            max(self._reach(axis, i)[1] for i in range(n)) for axis, n in enumerate(self.places)
        )

    @cached_property
    def block_shape(self) -> Shape:
        """The shape of the largest block, without the halo."""
        return tuple(max(b - a for a, b in itertools.pairwise(cuts)) for cuts in self.cuts)

    @cached_property
    def uniform(self) -> Shape | None:
        """The shape that all blocks have with their halos, or None if they differ."""
        extents = [
            {self._reach(axis, i)[1] for i in range(n)} for axis, n in enumerate(self.places)
        ]
        return tuple(min(e) for e in extents) if all(len(e) == 1 for e in extents) else None

    @property
    def in_order(self) -> bool:
        """True if the pixels of all blocks, one after the other, are in C order of the image."""
        last = max((axis for axis, n in enumerate(self.places) if n > 1), default=0)
        return self.places[:last] == self.dims[:last]

    def _place(self, number: int) -> Shape:
        return tuple(int(i) for i in np.unravel_index(number, self.places))

    def _reach(self, axis: int, place: int) -> tuple[int, int]:
        """Return where a block begins along an axis with its halo, and how long it is."""
        low, high = self.cuts[axis][place : place + 2]
        first = max(0, low - self.padding[axis])
        return first, min(self.dims[axis], high + self.padding[axis]) - first

    def start(self, number: int) -> Shape:
        """Return the first pixel of a block along each axis, without the halo."""
        return tuple(cuts[i] for cuts, i in zip(self.cuts, self._place(number), strict=True))

    def shape(self, number: int) -> Shape:
        """Return the shape of a block without the halo."""
        return tuple(
            cuts[i + 1] - cuts[i] for cuts, i in zip(self.cuts, self._place(number), strict=True)
        )

    def outer(self, number: int) -> tuple[Shape, Shape]:
        """Return the start and the shape of a block with its halo."""
        reach = [self._reach(axis, i) for axis, i in enumerate(self._place(number))]
        return tuple(low for low, _ in reach), tuple(extent for _, extent in reach)

    def inside(self, number: int) -> tuple[slice, ...]:
        """Return the part of a block with its halo that is the block without it."""
        low, _ = self.outer(number)
        begin = [a - b for a, b in zip(self.start(number), low, strict=True)]
        return tuple(slice(b, b + n) for b, n in zip(begin, self.shape(number), strict=True))

    def number(self, start: Sequence[int]) -> int:
        """Return the number of the block that begins there, or -1 if none does."""
        if len(start) != len(self.dims):
            return -1
        places = []
        for cuts, first in zip(self.cuts, start, strict=True):
            i = bisect.bisect_left(cuts, first)
            if i >= len(cuts) - 1 or cuts[i] != first:
                return -1
            places.append(i)
        return int(np.ravel_multi_index(places, self.places))

    def neighbors(self, number: int) -> list[int]:
        """Return the numbers of the blocks that touch a block, ascending."""
        around = (
            range(max(0, i - 1), min(n, i + 2))
            for i, n in zip(self._place(number), self.places, strict=True)
        )
        found = (int(np.ravel_multi_index(p, self.places)) for p in itertools.product(*around))
        return [other for other in found if other != number]

    def pixels(self, number: int, halo: bool = True) -> range | np.ndarray:
        """Return the pixels of a block in C order: their numbers in C order of the image."""
        start, extent = self.outer(number) if halo else (self.start(number), self.shape(number))
        return self.pixels_of_box(start, extent, 0, math.prod(extent))

    def pixels_of_box(
        self, start: Shape, extent: Shape, first: int, last: int
    ) -> range | np.ndarray:
        """Return the pixels number `first` to `last` of a box; a range if they are one."""
        if _is_run(self.dims, extent):
            origin = int(np.ravel_multi_index(start, self.dims))
            return range(origin + first, origin + last)
        number, stride = np.arange(first, last), 1
        found = np.zeros_like(number)
        for n, low, long in zip(*map(reversed, (self.dims, start, extent)), strict=True):
            number, along = np.divmod(number, long)
            found += (along + low) * stride
            stride *= n
        return found


def _is_run(dims: Shape, extent: Shape) -> bool:
    """Return True if the pixels of a box of this shape follow each other."""
    axis = next((i for i, n in enumerate(extent) if n > 1), len(extent))
    return extent[axis + 1 :] == dims[axis + 1 :]


class BlockPixels:
    """The pixels of some blocks with their halos, one block after the other.

    A sequence that knows no more than the numbers of the blocks: with many ranks the pixels of all
    of their blocks would be many.

    Attributes
    ----------
    ends : list of int
        The number of pixels before each block, and of all.
    """

    def __init__(self, grid: Grid, numbers: Sequence[int]) -> None:
        self._grid = grid
        self._boxes = [grid.outer(number) for number in numbers]
        sizes = (math.prod(extent) for _, extent in self._boxes)
        self.ends = [0, *itertools.accumulate(sizes)]

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, part: slice) -> range | np.ndarray:
        """Return the numbers of pixels in C order of the image; a range if they are one."""
        first, last, _ = part.indices(len(self))
        found: list[range | np.ndarray] = []
        place = bisect.bisect_right(self.ends, first) - 1
        while first < last:
            begin = self.ends[place]
            stop = min(last, self.ends[place + 1])
            found.append(self._grid.pixels_of_box(*self._boxes[place], first - begin, stop - begin))
            first, place = stop, place + 1
        if len(found) == 1:
            return found[0]
        return np.concatenate([np.empty(0, np.int64), *map(_numbers, found)])


def _numbers(pixels: range | np.ndarray) -> np.ndarray:
    """Return an array; np.asarray is slow for ranges."""
    return np.arange(pixels.start, pixels.stop) if isinstance(pixels, range) else pixels


@dataclass(frozen=True)
class Cut:
    """How images are to be cut, before their dims are known.

    Parameters
    ----------
    size : int or tuple of int
        Bytes of a block with all times; or a number for each axis.
    units : {'pixels', 'splits'}
        What the numbers are: pixels of a block, or blocks.
    padding : int or tuple of int
        Pixels of the halo on each side, for all axes or for each.
    """

    size: int | Shape
    units: str
    padding: int | Shape

    @classmethod
    def checked(cls, size: object, units: object, padding: object) -> Cut:
        """Return a cut from what users give."""
        kind = _units(units)
        halo = check_ints(padding, "padding", 0) if _is_list(padding) else padding
        if not isinstance(halo, tuple):
            halo = check_int(padding, "padding", 0)
        if _is_list(size):
            numbers = check_ints(size, "size", 1)
            if not numbers:
                raise ValueError("size must have a number for each axis, got none")
            return cls(numbers, kind, halo)
        if kind != "pixels":
            raise ValueError(
                f"units={quote(units)} is for a number for each axis, but size is {quote(size)}"
            )
        try:
            return cls(parse_size(size), kind, halo)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise type(error)(f"size: {error}") from None

    def grid(self, dims: Shape, pixel_bytes: int) -> Grid:
        """Return the blocks of images; `pixel_bytes` is of one pixel with all times.

        Raises
        ------
        ValueError
            If the numbers do not fit the dims.
        """
        padding = _each("padding", self.padding, dims)
        if isinstance(self.size, int):
            splits = splits_of_size(dims, self.size, pixel_bytes)
            return Grid(dims, tuple(map(_split, dims, splits)), padding)
        numbers = _each("size", self.size, dims)
        if self.units == "pixels":
            cuts = ((*range(0, n, each), n) for n, each in zip(dims, numbers, strict=True))
            return Grid(dims, tuple(cuts), padding)
        for axis, (n, parts) in enumerate(zip(dims, numbers, strict=True)):
            if parts > n:
                raise ValueError(f"size: cannot split axis {axis} of dims {dims} into {parts}")
        return Grid(dims, tuple(map(_split, dims, numbers)), padding)


def splits_of_size(dims: Shape, size: int, pixel_bytes: int) -> Shape:
    """Return into how many blocks to split each axis for blocks of about `size` bytes.

    The first axis is split as far as it takes, then the next: so blocks are long runs of pixels,
    and one axis at most is split in part. Of such splits it is the finest with an average block
    of at least `size`. (Thunder does so from the last axis on, as its pixels lie the other way.)
    """
    most = max(1, math.prod(dims) * pixel_bytes // size)
    splits = []
    for n in dims:
        splits.append(max(1, min(n, most)))
        most = most // n if splits[-1] == n else 1
    return tuple(splits)


def _split(length: int, parts: int) -> Shape:
    """Return the cuts of an axis into parts, of which the first ones are longer by a pixel."""
    each, more = divmod(length, parts)
    return tuple(i * each + min(i, more) for i in range(parts + 1))


def _each(name: str, given: int | Shape, dims: Shape) -> Shape:
    if isinstance(given, int):
        return (given,) * len(dims)
    if len(given) != len(dims):
        raise ValueError(f"{name}: {len(given)} numbers for images of dims {dims}")
    return given


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _units(value: object) -> str:
    """Return the units of which `value` is the name, or the beginning of it."""
    if not isinstance(value, str):
        raise TypeError(f"units must be 'pixels' or 'splits', got {quote(value)}")
    found = [name for name in UNITS if value and name.startswith(value)]
    if len(found) != 1:
        raise ValueError(f"units must be 'pixels' or 'splits', got {quote(value)}")
    return found[0]
