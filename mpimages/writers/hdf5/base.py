"""What the writers of HDF5 have in common: blocks and images become boxes of one dataset."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from ...core.json_types import JsonObject
from ...core.text import quote
from ...dims import pixel_boxes, pixel_grain
from ...errors import FormatError
from ...kernels.transpose import transpose
from ...spmd.agreement import Together
from ..binaryseries import check_block, check_series
from ..calibration import Calibration
from ..output.piece_sums import PieceSums
from ..output.plain import plain_index, plain_metadata
from ..output.stripes import stripe_grain
from .chunk_shape import chunk_shape
from .enclosure import Enclosure, seal
from .file import (
    DatasetPlan,
    check_same,
    create_dataset,
    dataset_attributes,
    dataset_name,
    fill_checksums,
)
from .file_object import new_file, open_file
from .filters import parse_compression
from .scales import Axis, describe_axes, plain_figures

if TYPE_CHECKING:
    import h5py
    from numpy.typing import DTypeLike

_log = logging.getLogger("mpimages")

LAYOUTS = ("series", "images")
# Of a row of the index: see `CompressedWriter`.
INDEX_COLUMNS = 7
# A block is turned frame-major in pieces: small beside the block, whole cache lines wide.
TURN_BYTES = 1 << 22
LINE_BYTES = 64
# What an earlier job wrote is read again in pieces.
READ_BYTES = 1 << 24


class DatasetWriter:
    """Writes a Series or images as one HDF5 dataset. Collective constructor.

    `write` and `write_images` are local, and may be called from one thread at a time.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    path : str
        What `staging.staged` yields; must not exist, unless `resume`.
    dataset : str
        The dataset's name; ``'a/b'`` is inside the group ``a``.
    shape : sequence of int
        dims + (T,), whatever the layout; no axis of length 0.
    dtype : dtype
        Stored little-endian whatever its byte order.
    layout : {'series', 'images'}
        The dataset is dims + (T,), or frame-major (T,) + dims.
    chunks : None, True or tuple of int
        None: contiguous. See `chunks.chunk_shape`.
    index : (T,) or (T, levels) ints
        The Series' index; None: 0…T−1.
    metadata : mapping or None
        Plain values; stored as JSON, NaN and infinities as null.
    attributes : mapping or None
        Further attributes of the dataset: numbers and text.
    resume : bool
        Take up the file of an earlier job where there is one that can be; else it is made anew.
        Its values stay, and `holds` tells whether they are what the job wrote; those that it has
        not written are undefined. To be told what it did: `restore`.
    compression
        See `filters.parse_compression`.
    threads : int
        How many threads may compress.
    stripe : int
        Bytes of a stripe of the file system, at one of which contiguous values begin; 0: none
        are known.
    enclosure : Enclosure, optional
        What else the file holds. It then says what the pixels and the times mean, and the dataset
        has neither scales nor the attributes of these.
    besides : callable
        Local work to do once this rank's part of the file is prepared. The agreement of the
        constructor holds for it as well.

    Attributes
    ----------
    grain, image_grain : int
        `write` takes pixels, and `write_images` images, from one multiple of it to another, or
        to the end.
    threaded : bool
        Whether `write` and `write_images` may run in another thread than MPI's calls.

    Raises
    ------
    ValueError
        For an empty dataset, an index of another length, a name that HDF5 cannot take, or
        chunks that do not fit; when what is taken up was begun with other arguments.
    TypeError
        For a dtype that is not a number, or metadata that JSON cannot hold.
    FileExistsError
        When `path` exists.
    FormatError
        When what is taken up is damaged.
    """

    threaded = True
    grain = 1
    image_grain = 1

    def __init__(
        self,
        comm: MPI.Intracomm,
        path: str,
        dataset: str,
        shape: Sequence[int],
        dtype: DTypeLike,
        layout: str = "series",
        chunks: object = None,
        index: Iterable[object] | None = None,
        metadata: Mapping[str, object] | None = None,
        attributes: Mapping[str, object] | None = None,
        *,
        resume: bool = False,
        compression: object = None,
        threads: int = 1,
        stripe: int = 0,
        enclosure: Enclosure | None = None,
        besides: Callable[[], None] = lambda: None,
    ) -> None:
        self.comm = comm
        self.path = path
        self.resume = bool(resume)
        self.threads = threads
        self._stripe = stripe
        self._of = "pixels"  # what records are: the pixels of `write`, the images of `write_images`
        self._action = type(self).__name__
        together = Together(comm, self._action)
        with together.attempt():
            filters = parse_compression(compression)
            (*dims, self.times), self.dtype = check_series(shape, dtype)
            self.dims = tuple(dims)
            if not isinstance(layout, str) or layout not in LAYOUTS:
                raise ValueError(f"layout={quote(layout)} is unknown: one of {', '.join(LAYOUTS)}")
            self.layout = layout
            self.shape = (*dims, self.times) if layout == "series" else (self.times, *dims)
            if filters is not None:
                chunks = compressed_chunks(chunks)
            chunk = chunk_shape(chunks, self.shape, self.dtype.itemsize, layout)
            if filters is not None and chunk is not None:
                series = layout == "series"
                self.grain = pixel_grain(self.dims, chunk[:-1] if series else chunk[1:])
                self.image_grain = 1 if series else chunk[0]
            elif chunk is None:
                pixels, size = math.prod(dims), self.dtype.itemsize
                if layout == "series":
                    self.grain = stripe_grain(stripe, self.times * size, pixels)
                else:
                    self.image_grain = stripe_grain(stripe, pixels * size, self.times)
            self._sums = PieceSums(math.prod(self.shape) * self.dtype.itemsize)
            labels = plain_index(np.arange(self.times) if index is None else index, self.times)
            said = plain_metadata(dict(metadata or {}))
            calibration = Calibration.of(said)
            figures = plain_figures(calibration, len(dims))
            axes = describe_axes(layout, self.dims, labels, calibration)
            if enclosure is not None:
                figures = {}
                axes = tuple(Axis(label, None, "") for label in enclosure.axes)
                attributes = {**(attributes or {}), **enclosure.attributes}
            described = dataset_attributes(
                layout, labels, said, figures, self._sums.attributes(), attributes
            )
            self._plan = DatasetPlan(
                dataset_name(dataset),
                self.shape,
                self.dtype,
                chunk,
                filters,
                described,
                axes,
                enclosure,
            )
            self._prepare()
            besides()
        self._begin(together.agree(*self._found))

    # -- what each writer does its own way ---------------------------------------------------

    # What `_prepare` finds on rank 0 and the others need: some numbers, as many on each rank.
    _found: tuple[int, ...] = ()

    def _prepare(self) -> None:
        """Local work on the way to a file that can be written: rank 0 creates it."""
        raise NotImplementedError

    def _begin(self, found: Sequence[int]) -> None:
        """What else the constructor does; `found` is that of rank 0. Collective."""

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
        if self._plan.chunk is not None:  # whole chunks along time, so that each is written once
            step = -(-step // self._plan.chunk[0]) * self._plan.chunk[0]
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
            stored = self._put((first_image,) + (0,) * len(self.dims), images)
            first = first_image * math.prod(self.dims)
            self._note(first, images if stored is None else stored)

    def _note(self, first: int, values: np.ndarray) -> None:
        """Take note of the checksum of values that are one run of the dataset's."""
        self._sums.add(first * self.dtype.itemsize, values)

    # -- what a journal keeps ----------------------------------------------------------------

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
        sums = PieceSums(self._plan.nbytes)
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

    def _create_or_take_up(self) -> None:
        """Leave at `path` a file with its dataset allocated. Local, on one rank."""
        if not (self.resume and self._take_up()):
            with new_file(self.path, self._stripe) as file:
                self._allocated(create_dataset(file, self._plan))

    def _fill_in(self, checksums: np.ndarray) -> None:
        """Write the checksums into the file on rank 0: it is whole then. Local."""
        if self.comm.rank != 0:
            return
        with open_file(self.path, "r+") as file:
            fill_checksums(file[self._plan.name].id, checksums)
        if self._plan.enclosure is not None:
            seal(self.path, self._plan.name)

    def _take_up(self) -> bool:
        """Whether an earlier job's file is there; one that is damaged is removed. Local."""
        if not os.path.lexists(self.path):
            return False
        try:
            with open_file(self.path, "r") as file:
                self._allocated(check_same(self.path, file, self._plan))
        except (FormatError, KeyError, RuntimeError) as error:
            _log.warning("%s is made anew: %s", self.path, error)
            os.unlink(self.path)
            return False
        return True

    def _allocated(self, raw: h5py.h5d.DatasetID) -> None:
        """Take note of what the dataset in the open file is like. Local, on one rank."""


def compressed_chunks(chunks: object) -> Any:
    """The chunks that are asked for where a dataset is compressed: it must have some. Local."""
    if chunks is False:
        raise ValueError("a dataset with chunks=False cannot be compressed: omit chunks")
    return True if chunks is None else chunks


def _check_grain(first: int, count: int, grain: int, whole: int) -> None:
    stop = first + count
    if count and (first % grain or (stop % grain and stop != whole)):
        raise ValueError(
            f"[{first}, {stop}) of {whole} would cut through compressed chunks or stripes: it must "
            f"begin and end at multiples of {grain}"
        )
