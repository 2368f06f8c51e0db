"""Binary series: the C-order array dims + (T,) in headerless files, and ``conf.json``."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from ..core.arguments import check_record_dtype
from ..core.crc32 import PIECE
from ..core.json_types import JsonObject
from ..formats.output_names import (
    CONF,
    SERIES_FORMAT,
    SERIES_VERSION,
    SUCCESS,
    series_file,
    with_own_checksum,
)
from ..spmd.agreement import Together
from .output.boxes import little_pieces, write_run
from .output.files import OutputFiles, create_file, naming_file, prepare_file
from .output.piece_sums import PieceSums
from .output.plain import plain_index, plain_metadata, sync_directory, to_json, write_small
from .output.stripes import stripe_grain

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

MAX_FILES = 100_000  # their numbers have five digits, and no file system likes more

# A row, a column and a page of pixels, and time.
MOST_AXES = 4


class BinarySeriesWriter:
    """Writes a Series as binary files below an existing directory.

    The constructor is local, but every rank makes one: rank 0's creates the files, so that the
    ranks have to agree (`Together`) before another is used.

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
    threaded : bool
        Whether `write` may run in another thread than MPI's calls: it may.

    Raises
    ------
    ValueError
        For an empty Series, an index of another length, or too many files.
    TypeError
        For a dtype that is not a number, or metadata that JSON cannot hold.

    Notes
    -----
    The files and their bytes depend on the arguments alone: never on the ranks, nor on how
    the pixels were cut into blocks, nor on the blocks' order.
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
        self.comm = comm
        self.directory = directory
        self.shape, self.dtype = check_series(shape, dtype)
        self.index = plain_index(index, self.shape[-1])
        self.metadata = plain_metadata(dict(metadata or {}))
        self._divide(int(block_bytes))
        self.grain = stripe_grain(stripe, self.pixel_bytes, self.pixels, self.per_file)
        paths = [os.path.join(directory, name) for name in self.names]
        if comm.rank == 0:
            prepare = prepare_file if resume else create_file
            for path, size in zip(paths, self._sizes(), strict=True):
                prepare(path, size)
        self._files = OutputFiles(paths)
        self._sums = PieceSums(self._sizes(), PIECE)

    threaded = True

    def _divide(self, block_bytes: int) -> None:
        self.pixels = math.prod(self.shape[:-1])
        self.pixel_bytes = self.shape[-1] * self.dtype.itemsize
        self.per_file = min(self.pixels, pixels_per_file(self.pixel_bytes, block_bytes))
        count = -(-self.pixels // self.per_file)
        if count > MAX_FILES:
            least = -(-self.pixels // MAX_FILES) * self.pixel_bytes
            raise ValueError(
                f"a block size of {block_bytes} bytes would make {count} files, more than "
                f"{MAX_FILES}; give one of {least} bytes or more"
            )
        self.names = [series_file(number) for number in range(count)]

    def _counts(self) -> list[int]:
        """The number of pixels in each file."""
        firsts = range(0, self.pixels, self.per_file)
        return [min(self.per_file, self.pixels - first) for first in firsts]

    def _sizes(self) -> list[int]:
        return [count * self.pixel_bytes for count in self._counts()]

    def write(self, first_pixel: int, block: np.ndarray) -> None:
        """Write pixels [first_pixel, first_pixel + k) from a (k, T) block. Local.

        Raises
        ------
        ValueError
            When the block is of another shape or dtype, or leaves the Series.
        OSError
            As the system reports it, naming the file.
        """
        check_block(block, first_pixel, self.pixels, self.shape[-1], self.dtype)
        done = 0
        while done < len(block):
            number, within = divmod(first_pixel + done, self.per_file)
            count = min(self.per_file - within, len(block) - done)
            descriptor, position = self._files.descriptor(number), within * self.pixel_bytes
            with naming_file(self._files.paths[number]):
                for piece in little_pieces(block[done : done + count]):
                    write_run(descriptor, position, piece)
                    self._sums.add(position, piece, number)
                    position += piece.nbytes
            done += count

    def flush(self) -> JsonObject:
        """Bring what was written since the last call to the disk; the journal's entry of it.

        Local; from any thread, while none writes.
        """
        self._files.sync()
        return {"fragments": self._sums.take().tolist()}

    def holds(self, entry: JsonObject) -> bool:
        """Whether what an earlier job's journal says was written is on the disk. Local."""
        sums = PieceSums(self._sizes(), PIECE)
        for first, stop in entry["done"]:
            while first < stop:
                number, within = divmod(first, self.per_file)
                count = min(self.per_file - within, stop - first)
                if not sums.add_stored(
                    within * self.pixel_bytes,
                    count * self.pixel_bytes,
                    self._files.paths[number],
                    number,
                ):
                    return False
                first += count
        return sums.took(entry["fragments"])

    def restore(self, entry: JsonObject) -> None:
        """Take over what an earlier job's journal says was written. Local; on one rank."""
        self._sums.give(entry["fragments"])

    def finish(self) -> None:
        """Flush, gather the checksums, write ``conf.json`` and last ``SUCCESS``. Collective."""
        action = "BinarySeriesWriter.finish"
        with Together(self.comm, action):
            self._files.sync()
        pieces = self._sums.by_file(self._sums.total(self.comm))
        with Together(self.comm, action):
            if self.comm.rank == 0:
                self._mark(pieces)

    def _mark(self, pieces: list[list[int]]) -> None:
        conf = with_own_checksum(to_json(self._conf(pieces)))
        write_small(os.path.join(self.directory, CONF), conf)
        sync_directory(self.directory)
        write_small(os.path.join(self.directory, SUCCESS), b"")
        sync_directory(self.directory)

    def _conf(self, pieces: list[list[int]]) -> JsonObject:
        firsts = range(0, self.pixels, self.per_file)
        files = zip(self.names, firsts, self._counts(), strict=True)
        return {
            "format": SERIES_FORMAT,
            "version": SERIES_VERSION,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            "index": self.index.tolist(),
            "metadata": self.metadata,
            "files": [{"name": n, "first": first, "count": c} for n, first, c in files],
            "checksum": {
                "kind": "crc32",
                "piece": PIECE,
                "values": dict(zip(self.names, pieces, strict=True)),
            },
        }

    def close(self) -> None:
        """Let go of the file without finishing: after an error. Local."""
        self._files.close()


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
    if block.ndim != 2 or block.shape[1] != length:
        raise ValueError(f"a block of shape {block.shape}: it must be (k, {length})")
    if block.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"a block of dtype {block.dtype} for a Series of {dtype}")
    if not 0 <= first <= count - len(block):
        raise ValueError(f"a block of {len(block)} pixels at {first} of {count}")
