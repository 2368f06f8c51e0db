"""Binary series: the C-order array dims + (T,) in headerless files, and ``conf.json``."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from ..core.arguments import check_record_dtype
from ..core.json_types import JsonObject
from ..formats.output_names import SERIES_FORMAT, SERIES_VERSION, SUCCESS, series_file
from .flat import FlatLayout, FlatWriter, check_records
from .output.plain import plain_index, plain_metadata, sync_directory, write_small
from .output.stripes import stripe_grain

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

MAX_FILES = 100_000  # their numbers have five digits, and no file system likes more

# A row, a column and a page of pixels, and time.
MOST_AXES = 4


class BinarySeriesWriter(FlatWriter):
    """Writes a Series as binary files below an existing directory. See `FlatWriter`.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    directory : str
        What `staging.staged` yields; empty but for its mark.
    shape : sequence of int
        dims + (T,); no axis of length 0.
    dtype : dtype
        Of the values; stored little-endian whatever its byte order.
    index : (T,) or (T, levels) ints
        The Series' index.
    metadata : mapping or None
        Plain values; NaN and infinities become null.
    block_bytes : int
        How large a file may be: it holds as many whole pixels as fit, one at least.
    resume : bool
        Files of an earlier job with the same arguments are taken up; `holds` tells what of it
        is in them.
    stripe : int
        Bytes of a stripe of the file system; 0: none are known.

    Attributes
    ----------
    grain : int
        Blocks may begin and end at multiples of it: at any pixel (1); with a `stripe` where stripes
        of the files begin, or else where files begin.

    Raises
    ------
    ValueError
        For an empty Series, an index of another length, or too many files.
    TypeError
        For a dtype that is not a number, or metadata that JSON cannot hold.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        directory: str,
        shape: Sequence[int],
        dtype: DTypeLike | None,
        index: Iterable[object],
        metadata: Mapping[str, object] | None,
        block_bytes: int,
        resume: bool = False,
        stripe: int = 0,
    ) -> None:
        self.shape, kind = check_series(shape, dtype)
        self.index = plain_index(index, self.shape[-1])
        self.metadata = plain_metadata(dict(metadata or {}))
        layout = _divide(self.shape, kind, int(block_bytes))
        self.grain = stripe_grain(stripe, layout.part_bytes, layout.count, layout.per_file)
        super().__init__(comm, directory, layout, resume)

    def _mark(self, pieces: dict[str, list[int]]) -> None:
        super()._mark(pieces)
        write_small(os.path.join(self.directory, SUCCESS), b"")
        sync_directory(self.directory)

    def _conf(self, pieces: dict[str, list[int]]) -> JsonObject:
        layout = self.layout
        firsts = range(0, layout.count, layout.per_file)
        files = zip(layout.names, firsts, layout.counts(), strict=True)
        return {
            "format": SERIES_FORMAT,
            "version": SERIES_VERSION,
            "shape": list(self.shape),
            "dtype": layout.dtype.name,
            "index": self.index.tolist(),
            "metadata": self.metadata,
            "files": [{"name": n, "first": first, "count": c} for n, first, c in files],
        }


def _divide(shape: tuple[int, ...], dtype: np.dtype, block_bytes: int) -> FlatLayout:
    """Cut the pixels of a Series into files."""
    pixels, pixel_bytes = math.prod(shape[:-1]), shape[-1] * dtype.itemsize
    per_file = min(pixels, pixels_per_file(pixel_bytes, block_bytes))
    count = -(-pixels // per_file)
    if count > MAX_FILES:
        least = -(-pixels // MAX_FILES) * pixel_bytes
        raise ValueError(
            f"a block size of {block_bytes} bytes would make {count} files, more than "
            f"{MAX_FILES}; give one of {least} bytes or more"
        )
    names = [series_file(number) for number in range(count)]
    return FlatLayout(names, pixels, (shape[-1],), dtype, per_file)


def pixels_per_file(pixel_bytes: int, block_bytes: int) -> int:
    """How many pixels a file holds, one at least. Local."""
    return max(1, block_bytes // pixel_bytes)


def check_series(shape: Sequence[int], dtype: DTypeLike | None) -> tuple[tuple[int, ...], np.dtype]:
    """The shape dims + (T,) as ints and the dtype in native byte order, if they can be stored."""
    shape = tuple(int(n) for n in shape)
    kind = np.dtype(dtype).newbyteorder("=")
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"a Series of shape {shape} has nothing to store")
    if len(shape) > MOST_AXES:
        raise ValueError(
            f"a Series of shape {shape} could not be loaded again: a file has one to "
            f"{MOST_AXES - 1} axes of pixels, and time"
        )
    check_record_dtype(kind, "dtype")
    return shape, kind


def check_block(block: np.ndarray, first: int, count: int, length: int, dtype: np.dtype) -> None:
    """Refuse a block that is not (k, length) of `dtype`, or leaves the `count` records."""
    check_records(block, first, count, (length,), dtype)
