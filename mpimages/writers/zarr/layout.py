"""How an output of Zarr is cut into arrays, files and chunks: the defaults, and what may be asked.

All of it is arithmetic, from the shape and the arguments alone. Local.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...core.arguments import check_choice, check_int
from ...core.sizes import parse_size
from ...formats.zarr.array import ZarrArray
from ...formats.zarr.codecs import CRC32C, Codec, Codecs, parse_compression
from ...formats.zarr.shard import MISSING, ShardIndex
from ..binaryseries import MAX_FILES, check_series
from ..output.array import LAYOUTS
from ..output.chunk_shape import (
    TARGET_BYTES,
    as_chunks,
    check_chunk,
    check_chunk_count,
    default_chunk,
)
from .pyramid import MOST_LEVELS, level_shape

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Placed", "ZarrForm", "pixel_names"]

SERIES = "series"
VERSIONS = (2, 3)
# Bytes of the values in a file, unless others are asked for.
SHARD_BYTES = 10**9
# Planes of more bytes are cut into several chunks.
PLANE_BYTES = 1 << 24
# Some codecs count bytes in 31 bits.
MOST_CHUNK_BYTES = (1 << 31) - (1 << 20)


@dataclass(frozen=True)
class Placed:
    """An array of an output, and where its values lie.

    Attributes
    ----------
    name : str
        Of its directory in the output's.
    array : ZarrArray
    first : int
        The number of its first file, counted over all arrays of the output.
    """

    name: str
    array: ZarrArray
    first: int = 0

    @property
    def count(self) -> int:
        """How many files it has."""
        return math.prod(self.array.grid)

    @property
    def chunks(self) -> tuple[int, ...]:
        """How many chunks it has along each axis."""
        return tuple(-(-n // c) for n, c in zip(self.array.shape, self.array.chunk, strict=True))

    @property
    def nbytes(self) -> int:
        """The bytes of its values."""
        return math.prod(self.array.shape) * self.array.dtype.itemsize

    def path(self, file: int) -> str:
        """The path of a file, by its number, in the output's directory."""
        return f"{self.name}/{self.array.file(self._place(file))}"

    def present(self, file: int) -> tuple[int, ...]:
        """How many chunks of a file there are along each axis: no others begin in the array."""
        return self.array.present(self._place(file))

    def extents(self, file: int) -> Iterator[tuple[int, ...]]:
        """Yield how much of each chunk of a file lies in the array, in their order."""
        inner, chunk, shape = self.array.inner, self.array.chunk, self.array.shape
        first = [at * i for at, i in zip(self._place(file), inner, strict=True)]
        for number in itertools.product(*map(range, self.present(file))):
            yield tuple(
                min(c, n - (a + i) * c)
                for a, i, c, n in zip(first, number, chunk, shape, strict=True)
            )

    def locate(self, number: Sequence[int]) -> tuple[int, int]:
        """The file in which a chunk lies, and the chunk's number among those of the file."""
        place = [n // i for n, i in zip(number, self.array.inner, strict=True)]
        file = self.first + int(np.ravel_multi_index(place, self.array.grid))
        within = [n % i for n, i in zip(number, self.array.inner, strict=True)]
        return file, int(np.ravel_multi_index(within, self.present(file)))

    def plain_size(self, file: int) -> int:
        """The bytes of a file whose chunks are their values alone."""
        index = self.array.index
        values = math.prod(self.present(file)) * self.array.codecs.nbytes
        return values + (0 if index is None else index.nbytes)

    def index_bytes(self, file: int, lengths: np.ndarray) -> bytes:
        """The index of a file whose chunks have these lengths, without gaps; empty where none."""
        index = self.array.index
        if index is None:
            return b""
        places = np.full((*self.array.inner, 2), MISSING, np.uint64)
        there = np.stack([np.cumsum(lengths) - lengths, lengths], axis=-1).astype(np.uint64)
        present = self.present(file)
        places[tuple(slice(n) for n in present)] = there.reshape(*present, 2)
        return index.encode(places.reshape(-1, 2))

    def _place(self, file: int) -> tuple[int, ...]:
        return self.array.place(file - self.first)


@dataclass(frozen=True)
class ZarrForm:
    """An output: its arrays, in their order, and what they were made of.

    Attributes
    ----------
    layout : {'series', 'images'}
    version : {2, 3}
    dims : tuple of int
        Of the images or of the key space.
    arrays : tuple of Placed
    """

    layout: str
    version: int
    dims: tuple[int, ...]
    arrays: tuple[Placed, ...]

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        dtype: DTypeLike,
        layout: str,
        chunks: object = None,
        shards: object = None,
        compression: object = None,
        levels: object = 0,
        version: object = 3,
    ) -> ZarrForm:
        """Work out the form of an output.

        Parameters
        ----------
        shape : sequence of int
            dims + (T,), whatever the layout.
        chunks, shards, compression, levels, version
            As `Images.saveAsZarr` takes them.

        Raises
        ------
        ValueError, TypeError
            Where one of them is not as it must be, or they do not go together.
        """
        number, further = check_form(layout, shards, levels, version)
        if layout == "images" and len(shape) not in (3, 4):
            raise ValueError(f"images of shape {tuple(shape[:-1])} are neither 2-D nor 3-D")
        (*listed, times), kind = check_series(shape, dtype)
        dims = tuple(listed)
        if layout == "series":
            axes: tuple[int, ...] = (*dims, times)
            names = (*pixel_names(len(dims), layout), "t")
        else:
            axes = (times, *dims[2:], *dims[:2])
            names = ("t", *pixel_names(len(dims), layout))
        if further > MOST_LEVELS or (further and 1 << (further - 1) >= max(axes[-2:])):
            raise ValueError(
                f"levels={further}: images of {dims[0]} x {dims[1]} pixels have at most "
                f"{min(MOST_LEVELS, (max(axes[-2:]) - 1).bit_length())} further levels"
            )
        steps = parse_compression(compression, kind)
        sharded = number == 3 and shards is not False
        limit = (SHARD_BYTES if shards is None else parse_size(shards)) if sharded else 0  # type: ignore[arg-type]
        chunk = _chunk(chunks, axes, kind.itemsize, layout, sharded, further)
        arrays: list[Placed] = []
        first = 0
        for level in range(further + 1):
            whole = level_shape(axes, level) if level else axes
            cell = tuple(min(c, n) for c, n in zip(chunk, whole, strict=True))
            array = _array(number, whole, kind, cell, limit, steps, names)
            arrays.append(Placed(SERIES if layout == "series" else str(level), array, first))
            first += arrays[-1].count
        _check_counts(arrays, sharded)
        return cls(layout, number, dims, tuple(arrays))

    @property
    def compressed(self) -> bool:
        """Whether chunks are encoded, so that only whole ones can be written."""
        return not self.arrays[0].array.codecs.plain

    @property
    def slab_bytes(self) -> int:
        """The bytes of the images that share a chunk."""
        array = self.arrays[0].array
        return array.chunk[0] * math.prod(array.shape[1:]) * array.dtype.itemsize

    @property
    def count(self) -> int:
        """How many files of values there are."""
        return sum(placed.count for placed in self.arrays)

    def files(self, part: int, parts: int) -> Iterator[tuple[Placed, int]]:
        """Yield the files of one of so many parts, as large as the others, of each array."""
        for placed in self.arrays:
            first, stop = (-(-placed.count * at // parts) for at in (part, part + 1))
            for file in range(first, stop):
                yield placed, placed.first + file

    def owner(self, placed: Placed, file: int, parts: int) -> int:
        """The part, of so many, in which a file is. See `files`."""
        return (file - placed.first) * parts // placed.count

    def path(self, file: int) -> str:
        """The path of a file, by its number, in the output's directory."""
        return next(p for p in reversed(self.arrays) if p.first <= file).path(file)


def pixel_names(count: int, layout: str) -> tuple[str, ...]:
    """The names of the pixels' axes in the order in which a layout stores them."""
    return ("y", "x", "z")[:count] if layout == "series" else ("z", "y", "x")[3 - count :]


def check_form(layout: object, shards: object, levels: object, version: object) -> tuple[int, int]:
    """The version and the number of levels, if these arguments go together."""
    check_choice(layout, "layout", LAYOUTS)
    number, further = check_int(version, "version"), check_int(levels, "levels", 0)
    if number not in VERSIONS:
        raise ValueError(f"version={number}: give 2 or 3, the versions of Zarr")
    if further and layout == "series":
        raise ValueError("levels: series have none; give layout='images'")
    if number == 2 and not (shards is None or shards is False):
        raise ValueError("shards: version 2 of Zarr has none; leave it out, or give version=3")
    if shards is True:
        raise TypeError("shards must be None, False or a size, got True")
    if not (shards is None or shards is False):
        parse_size(shards)  # type: ignore[arg-type]
    return number, further


def _chunk(
    chunks: object, axes: tuple[int, ...], itemsize: int, layout: str, sharded: bool, levels: int
) -> tuple[int, ...]:
    """The shape of a chunk in the array's axes."""
    if chunks is None or as_chunks(chunks) is True:
        return _default(axes, itemsize, layout, 1 if sharded else MAX_FILES // (levels + 1))
    wanted = check_chunk(chunks, axes)
    if math.prod(wanted) * itemsize > MOST_CHUNK_BYTES:
        raise ValueError(f"chunks={wanted} of {itemsize}-byte values exceed 2 GB")
    return wanted


def _default(axes: tuple[int, ...], itemsize: int, layout: str, most: int) -> tuple[int, ...]:
    """The chunk without a wish; where each has a file of its own, no more than `most` of them."""
    target = TARGET_BYTES
    while True:
        chunk = (
            default_chunk(axes, itemsize, layout, target)
            if layout == "series"
            else _planes(axes, itemsize, target)
        )
        count = math.prod(-(-n // c) for n, c in zip(axes, chunk, strict=True))
        if most == 1 or count <= most or target >= MOST_CHUNK_BYTES // 4:
            return chunk
        target *= 2


def _planes(axes: tuple[int, ...], itemsize: int, target: int) -> tuple[int, ...]:
    """Whole planes where they are not too large, as many as `target` bytes hold."""
    rows, columns = axes[-2:]
    while rows * columns * itemsize > max(PLANE_BYTES, target):
        if rows >= columns:
            rows = -(-rows // 2)
        else:
            columns = -(-columns // 2)
    several = max(1, target // (rows * columns * itemsize))
    # Of volumes a chunk is a part of one: each is then written by itself.
    along = min(axes[-3], several)
    return (1,) * (len(axes) - 3) + (along, rows, columns)


def _array(
    version: int,
    shape: tuple[int, ...],
    dtype: np.dtype,
    chunk: tuple[int, ...],
    limit: int,
    steps: tuple[Codec, ...],
    names: tuple[str, ...],
) -> ZarrArray:
    """One array; `limit` is the most bytes of a shard, 0 where there are none."""
    stored = dtype.newbyteorder("<")
    shard, index = chunk, None
    if limit:
        shard = _shard(shape, chunk, dtype.itemsize, limit)
        index = ShardIndex(math.prod(s // c for s, c in zip(shard, chunk, strict=True)))
    if version == 3 and steps:  # of values alone every rank writes parts
        steps = (*steps, Codec(CRC32C, {}))
    return ZarrArray(
        version,
        shape,
        chunk,
        shard,
        Codecs(stored, chunk, None, steps),
        index,
        # None in version 2: xarray takes a number there for what marks missing values.
        None if version == 2 else 0.0 if dtype.kind == "f" else 0,
        names if version == 3 else None,
        {} if version == 3 else {"_ARRAY_DIMENSIONS": list(names)},
        "/",
        "c" if version == 3 else "",
    )


def _shard(
    shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int, limit: int
) -> tuple[int, ...]:
    """As many chunks as fit, along the last axis first, so that they are long runs of values."""
    shard, left = list(chunk), limit // (math.prod(chunk) * itemsize)
    for axis in reversed(range(len(shape))):
        whole = -(-shape[axis] // chunk[axis])
        count = max(1, min(whole, left))
        shard[axis] *= count
        left //= count
        if count < whole:
            break
    return tuple(shard)


def _check_counts(arrays: Sequence[Placed], sharded: bool) -> None:
    files = sum(placed.count for placed in arrays)
    if files > MAX_FILES:
        wish = "larger shards" if sharded else "larger chunks, or shards (version=3)"
        raise ValueError(f"there would be {files} files, more than {MAX_FILES}: ask for {wish}")
    chunks = sum(math.prod(placed.chunks) for placed in arrays)
    check_chunk_count(arrays[0].array.chunk, chunks)
