"""What writers of one array have in common: HDF5's and Zarr's.

Blocks of pixels and whole images become boxes of the array. Checksums are those of its values in
C order, and a journal keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from ...core.json_types import JsonObject
from ...core.text import quote
from ...dims import pixel_boxes
from ...kernels.transpose import transpose
from ...spmd.agreement import Together
from ..binaryseries import check_block, check_series
from .chunk_log import INDEX_COLUMNS
from .piece_sums import PieceSums

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["LAYOUTS", "ArrayWriter"]

LAYOUTS = ("series", "images")
# A block is turned frame-major in pieces: small beside the block, whole cache lines wide.
TURN_BYTES = 1 << 22
LINE_BYTES = 64
# What an earlier job wrote is read again in pieces.
READ_BYTES = 1 << 24


class ArrayWriter:
    """Writes a Series or images as one array. The base of writers; each makes itself ready.

    `write` and `write_images` are local, and may be called from one thread at a time.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    path : str
        What `staging.staged` yields.
    resume : bool
        Take up what an earlier job has left there.
    threads : int
        How many threads may compress.

    Attributes
    ----------
    grain, image_grain : int
        `write` takes pixels, and `write_images` images, from one multiple of it to another, or
        to the end.
    threaded : bool
        Whether `write` and `write_images` may run in another thread than MPI's calls.
    """

    threaded = True
    grain = 1
    image_grain = 1
    # The checksums of the values, and the shape of a chunk in the array's axes, if it has chunks:
    # known when the writer is ready.
    _sums: PieceSums
    _chunk: tuple[int, ...] | None = None

    def __init__(self, comm: MPI.Intracomm, path: str, resume: bool, threads: int = 1) -> None:
        self.comm = comm
        self.path = path
        self.resume = bool(resume)
        self.threads = threads
        self._of = "pixels"  # what records are: the pixels of `write`, the images of `write_images`
        self._action = type(self).__name__

    def _take_shape(self, shape: Sequence[int], dtype: DTypeLike, layout: str) -> None:
        """Check and keep what is to be stored: `shape` is dims + (T,), whatever the layout."""
        (*dims, self.times), self.dtype = check_series(shape, dtype)
        self.dims = tuple(dims)
        if not isinstance(layout, str) or layout not in LAYOUTS:
            raise ValueError(f"layout={quote(layout)} is unknown: one of {', '.join(LAYOUTS)}")
        self.layout = layout
        self.shape = (*dims, self.times) if layout == "series" else (self.times, *dims)

    # -- what each writer does its own way ---------------------------------------------------

    def _put(self, start: Sequence[int], array: np.ndarray) -> np.ndarray | None:
        """Write a box of the dataset, given in its axes. Local.

        Returns
        -------
        ndarray or None
            The values that will be read from there, where they may be others than `array`'s.
        """
        raise NotImplementedError

    def _get(self, start: Sequence[int], array: np.ndarray) -> bool:
        """Read a box of the dataset that is contiguous and little-endian; False: it is not there.

        Local.
        """
        raise NotImplementedError

    def _complete(self, checksums: np.ndarray) -> None:
        """Make the file whole; what the ranks wrote is on the disk. Collective."""
        raise NotImplementedError

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the file without finishing: after an error. Local."""
        raise NotImplementedError

    # -- the data's way ----------------------------------------------------------------------

    def write(self, first_pixel: int, block: np.ndarray) -> None:
        """Write pixels [first_pixel, first_pixel + k) from a (k, T) block. Local.

        Raises
        ------
        ValueError
            When the block is of another shape or dtype, or leaves the dataset, or would cut
            through compressed chunks.
        OSError
            As the system reports it, naming the file.
        """
        self._of = "pixels"
        pixels = math.prod(self.dims)
        check_block(block, first_pixel, pixels, self.times, self.dtype)
        _check_grain(first_pixel, len(block), self.grain, pixels)
        done = 0
        for start, extent in pixel_boxes(self.dims, first_pixel, first_pixel + len(block)):
            count = math.prod(extent)
            part = block[done : done + count].reshape(*extent, self.times)
            if self.layout == "series":
                stored = self._put((*start, 0), part)
                self._note((first_pixel + done) * self.times, part if stored is None else stored)
            else:
                self._put_turned(first_pixel + done, start, part)
            done += count

    def _put_turned(self, pixel: int, start: tuple[int, ...], part: np.ndarray) -> None:
        """Write the box `part`, of pixels with all their times, frame by frame."""
        pixels = np.ascontiguousarray(part).reshape(-1, self.times)
        frame_bytes = len(pixels) * self.dtype.itemsize
        step = max(LINE_BYTES // self.dtype.itemsize, TURN_BYTES // frame_bytes)
        if self._chunk is not None:  # whole chunks along time, so that each is written once
            step = -(-step // self._chunk[0]) * self._chunk[0]
        for time in range(0, self.times, step):
            count = min(step, self.times - time)
            turned = np.empty((count, len(pixels)), dtype=pixels.dtype)
            transpose(pixels[:, time : time + count], turned)
            frames = turned.reshape(count, *part.shape[:-1])
            stored = self._put((time, *start), frames)
            for i, frame in enumerate(frames if stored is None else stored):
                self._note((time + i) * math.prod(self.dims) + pixel, frame)

    def write_images(self, first_image: int, images: np.ndarray) -> None:
        """Write images [first_image, first_image + k) from (k,) + dims. Local.

        Raises
        ------
        ValueError
            When the layout is not ``'images'``, or the images are of another shape or dtype,
            or leave the dataset, or would cut through compressed chunks.
        OSError
            As the system reports it, naming the file.
        """
        if self.layout != "images":
            raise ValueError("images can be written whole only into layout='images'")
        self._of = "images"
        if images.shape[1:] != self.dims or images.dtype.newbyteorder("=") != self.dtype:
            raise ValueError(
                f"images of shape {images.shape} and dtype {images.dtype} for a dataset of "
                f"images of {self.dims} and {self.dtype}"
            )
        if not 0 <= first_image <= self.times - len(images):
            raise ValueError(f"{len(images)} images at {first_image} of {self.times}")
        _check_grain(first_image, len(images), self.image_grain, self.times)
        if len(images):
            self._put_images(first_image, images)

    def _put_images(self, first_image: int, images: np.ndarray) -> None:
        """Write whole images, and take note of their checksums."""
        stored = self._put((first_image,) + (0,) * len(self.dims), images)
        first = first_image * math.prod(self.dims)
        self._note(first, images if stored is None else stored)

    def _note(self, first: int, values: np.ndarray) -> None:
        """Take note of the checksum of values that are one run of the dataset's."""
        self._sums.add(first * self.dtype.itemsize, values)

    # -- what a journal keeps ----------------------------------------------------------------

    def _no_sums(self) -> PieceSums:
        """Checksums of the same array, to which nothing is added yet."""
        return PieceSums(self._sums.sizes.tolist(), self._sums.piece)

    def take_fragments(self) -> np.ndarray:
        """(n, 4) int64: the checksums of what this rank wrote since the last call. Local."""
        return self._sums.take()

    def add_fragments(self, rows: Sequence[Sequence[int]] | np.ndarray) -> None:
        """Add the checksums of what an earlier job wrote; each once, on any rank. Local."""
        self._sums.give(rows)

    def take_index(self) -> np.ndarray:
        """(n, 7) int64: where the chunks are that this rank wrote since the last call. Local.

        Empty where chunks have their places in the file from the beginning.
        """
        return np.empty((0, INDEX_COLUMNS), dtype=np.int64)

    def add_index(self, rows: np.ndarray) -> None:
        """Add what an earlier job took from `take_index`; each once, on any rank. Local."""
        if len(rows):
            raise ValueError(f"{self.path}: an index of chunks for a dataset that needs none")

    def flush(self) -> JsonObject:
        """Bring what was written since the last call to the disk; the journal's entry of it.

        Local; in the thread that writes.
        """
        self.sync()
        return {
            "fragments": self.take_fragments().tolist(),
            "index": self.take_index().tolist(),
            "of": self._of,
        }

    def holds(self, entry: JsonObject) -> bool:
        """Whether what an earlier job's journal says was written is on the disk. Local."""
        sums = self._no_sums()
        record = self.dims if entry["of"] == "images" else (self.times,)
        step = max(1, READ_BYTES // (math.prod(record) * self.dtype.itemsize))
        for first, stop in entry["done"]:
            for low in range(first, stop, step):
                high = min(low + step, stop)
                read = self._read_images if entry["of"] == "images" else self._read_pixels
                if not read(low, high, sums):
                    return False
        return sums.took(entry["fragments"])

    def _read_pixels(self, first: int, stop: int, sums: PieceSums) -> bool:
        """Add to `sums` the values of pixels that are in the file. Local."""
        for start, extent in pixel_boxes(self.dims, first, stop):
            series = self.layout == "series"
            corner = (*start, 0) if series else (0, *start)
            box = np.empty((*extent, self.times) if series else (self.times, *extent), self._stored)
            if not self._get(corner, box):
                return False
            if series:
                sums.add(first * self.times * self.dtype.itemsize, box)
            else:
                for time, frame in enumerate(box):
                    place = time * math.prod(self.dims) + first
                    sums.add(place * self.dtype.itemsize, frame)
            first += math.prod(extent)
        return True

    def _read_images(self, first: int, stop: int, sums: PieceSums) -> bool:
        """Add to `sums` the values of images that are in the file. Local."""
        box = np.empty((stop - first, *self.dims), self._stored)
        if not self._get((first,) + (0,) * len(self.dims), box):
            return False
        sums.add(first * math.prod(self.dims) * self.dtype.itemsize, box)
        return True

    @property
    def _stored(self) -> np.dtype:
        return self.dtype.newbyteorder("<")

    def restore(self, entry: JsonObject) -> None:
        """Take over what an earlier job's journal says was written. Local; on one rank."""
        self.add_fragments(entry["fragments"])
        self.add_index(np.array(entry["index"], dtype=np.int64).reshape(-1, INDEX_COLUMNS))

    def finish(self) -> None:
        """Bring everything to the disk, and make the file whole. Collective."""
        with Together(self.comm, f"{self._action}.finish"):
            self.sync()
        self._complete(self._sums.total(self.comm))


def _check_grain(first: int, count: int, grain: int, whole: int) -> None:
    stop = first + count
    if count and (first % grain or (stop % grain and stop != whole)):
        raise ValueError(
            f"[{first}, {stop}) of {whole} would cut through compressed chunks or stripes: it must "
            f"begin and end at multiples of {grain}"
        )
