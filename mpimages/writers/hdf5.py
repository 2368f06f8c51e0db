"""HDF5 by the ordinary serial library, written by all ranks at once.

Rank 0 creates the file and the dataset, with all its storage allocated and none of it filled,
asks HDF5 where in the file that storage lies, and closes it. From then on every rank writes its
bytes there, past HDF5. The result is an ordinary file for every reader; its bytes depend
neither on the ranks nor on how the data were cut. A writer through HDF5's own ``mpio`` driver
can take `Hdf5Writer`'s place: it needs the same constructor, `write`, `write_images`, `finish`.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from ..collective import Together, broadcast_array
from ..dims import pixel_boxes
from ..kernels.transpose import transpose
from .binaryseries import check_block, check_series
from .boxes import write_box
from .chunks import chunk_shape
from .files import OutputFiles, naming_file
from .plain import plain_index, plain_metadata

__all__ = ["Hdf5Writer"]

VERSION = 1
LAYOUTS = ("series", "images")
# HDF5's oldest attributes, which every reader knows, end at 64 KiB.
SMALL_ATTRIBUTE = 60_000
# A block is turned frame-major in pieces: small beside the block, whole cache lines wide.
TURN_BYTES = 1 << 22
LINE_BYTES = 64


class Hdf5Writer:
    """Writes a Series or images as one HDF5 dataset. Collective constructor.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    path : str
        What `commit.staged` yields; must not exist.
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
    index : (T,) ints
        The Series' index; None: 0…T−1.
    metadata : mapping or None
        Plain values; stored as JSON, NaN and infinities as null.
    attributes : mapping or None
        Further attributes of the dataset: numbers and text.

    Raises
    ------
    ValueError
        For an empty dataset, an index of another length, a name that HDF5 cannot take, or
        chunks that do not fit.
    TypeError
        For a dtype that is not a number, or metadata that JSON cannot hold.
    FileExistsError
        When `path` exists.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        path: str,
        dataset: str,
        shape: Sequence[int],
        dtype: Any,
        layout: str = "series",
        chunks: Any = None,
        index: Iterable[Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.comm = comm
        self.path = path
        with Together(comm, "Hdf5Writer"):
            self.dims_and_times, self.dtype = check_series(shape, dtype)
            *dims, self.times = self.dims_and_times
            self.dims = tuple(dims)
            if layout not in LAYOUTS:
                raise ValueError(f"layout={layout!r} is unknown: one of {', '.join(LAYOUTS)}")
            self.layout = layout
            series = layout == "series"
            self.shape = (*self.dims, self.times) if series else (self.times, *self.dims)
            self.chunk = chunk_shape(chunks, self.shape, self.dtype.itemsize, layout)
            described = _attributes(layout, index, self.times, metadata, attributes)
            name = _dataset_name(dataset)
            places = np.empty(self._grid(), dtype=np.int64)
            if comm.rank == 0:
                _create(path, name, self.shape, self.dtype, self.chunk, described, places)
        self._places = broadcast_array(comm, places, 0)
        self._files = OutputFiles([path])

    def _grid(self) -> tuple[int, ...]:
        """How many chunks there are along each axis; a contiguous dataset is one."""
        cell = self.chunk or self.shape
        return tuple(-(-n // c) for n, c in zip(self.shape, cell, strict=True))

    def write(self, first_pixel: int, block: np.ndarray) -> None:
        """Write pixels [first_pixel, first_pixel + k) from a (k, T) block. Local.

        Raises
        ------
        ValueError
            When the block is of another shape or dtype, or leaves the dataset.
        OSError
            As the system reports it, naming the file.
        """
        check_block(block, first_pixel, math.prod(self.dims), self.times, self.dtype)
        done = 0
        for start, extent in pixel_boxes(self.dims, first_pixel, first_pixel + len(block)):
            count = math.prod(extent)
            part = block[done : done + count].reshape(*extent, self.times)
            if self.layout == "series":
                self._put((*start, 0), part)
            else:
                self._put_turned(start, part)
            done += count

    def _put_turned(self, start: tuple[int, ...], part: np.ndarray) -> None:
        """Write the box `part`, of pixels with all their times, frame by frame."""
        pixels = np.ascontiguousarray(part).reshape(-1, self.times)
        frame_bytes = len(pixels) * self.dtype.itemsize
        step = max(LINE_BYTES // self.dtype.itemsize, TURN_BYTES // frame_bytes)
        if self.chunk is not None:  # whole chunks along time, so that each is written once
            step = -(-step // self.chunk[0]) * self.chunk[0]
        for time in range(0, self.times, step):
            count = min(step, self.times - time)
            turned = np.empty((count, len(pixels)), dtype=pixels.dtype)
            transpose(pixels[:, time : time + count], turned)
            self._put((time, *start), turned.reshape(count, *part.shape[:-1]))

    def write_images(self, first_image: int, images: np.ndarray) -> None:
        """Write images [first_image, first_image + k) from (k,) + dims. Local.

        Raises
        ------
        ValueError
            When the layout is not ``'images'``, or the images are of another shape or dtype,
            or leave the dataset.
        OSError
            As the system reports it, naming the file.
        """
        if self.layout != "images":
            raise ValueError("images can be written whole only into layout='images'")
        if images.shape[1:] != self.dims or images.dtype.newbyteorder("=") != self.dtype:
            raise ValueError(
                f"images of shape {images.shape} and dtype {images.dtype} for a dataset of "
                f"images of {self.dims} and {self.dtype}"
            )
        if not 0 <= first_image <= self.times - len(images):
            raise ValueError(f"{len(images)} images at {first_image} of {self.times}")
        self._put((first_image,) + (0,) * len(self.dims), images)

    def _put(self, start: Sequence[int], array: np.ndarray) -> None:
        """Write a box of the dataset, given in its axes."""
        descriptor = self._files.descriptor(0)
        cell = self.chunk or self.shape
        touched = [
            range(a // c, -(-(a + n) // c))
            for a, n, c in zip(start, array.shape, cell, strict=True)
        ]
        with naming_file(self.path):
            for number in itertools.product(*touched):
                corner = [i * c for i, c in zip(number, cell, strict=True)]
                low = [max(a, o) for a, o in zip(start, corner, strict=True)]
                part = array[
                    tuple(
                        slice(lo - a, min(o + c - a, n))
                        for lo, a, o, c, n in zip(
                            low, start, corner, cell, array.shape, strict=True
                        )
                    )
                ]
                within = [lo - o for lo, o in zip(low, corner, strict=True)]
                write_box(descriptor, int(self._places[number]), cell, within, part)

    def finish(self) -> None:
        """Bring everything to the disk. Collective."""
        with Together(self.comm, "Hdf5Writer.finish"):
            self._files.sync()

    def close(self) -> None:
        """Let go of the file without finishing: after an error. Local."""
        self._files.close()


def _dataset_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"the dataset's name must be text, got {type(name).__name__}")
    parts = name.strip("/").split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{name!r} cannot be the name of an HDF5 dataset")
    return "/".join(parts)


def _attributes(
    layout: str,
    index: Iterable[Any] | None,
    times: int,
    metadata: Mapping[str, Any] | None,
    attributes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    described = {
        "mpimages_format": np.int64(VERSION),
        "layout": layout,
        "index": plain_index(np.arange(times) if index is None else index, times),
        "metadata": json.dumps(plain_metadata(dict(metadata or {})), sort_keys=True),
    }
    further = dict(sorted((attributes or {}).items()))
    taken = described.keys() & further.keys()
    if taken:
        raise ValueError(f"the attribute {min(taken)!r} is mpimages' own")
    return described | further


def _create(
    path: str,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    chunk: tuple[int, ...] | None,
    attributes: Mapping[str, Any],
    places: np.ndarray,
) -> None:
    """Create the file with its dataset allocated; fill `places` with its chunks' offsets."""
    import h5py

    # The oldest format that holds it, so that every reader can open the file.
    with h5py.File(path, "x", libver="earliest", locking=False) as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        properties.set_obj_track_times(False)
        if attributes["index"].nbytes > SMALL_ATTRIBUTE:
            # Only a header of HDF5 1.8 holds more, and this is what makes HDF5 write one.
            properties.set_attr_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
        if chunk is not None:
            properties.set_chunk(chunk)
        links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
        links.set_create_intermediate_group(True)
        links.set_char_encoding(h5py.h5t.CSET_UTF8)
        kind = h5py.h5t.py_create(dtype.newbyteorder("<"), logical=True)
        space = h5py.h5s.create_simple(shape)
        raw = h5py.h5d.create(file.id, name.encode(), kind, space, properties, links)
        for key, value in attributes.items():
            h5py.Dataset(raw).attrs[key] = value
        file.flush()
        _find_places(raw, chunk, places)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _find_places(raw: Any, chunk: tuple[int, ...] | None, places: np.ndarray) -> None:
    """The byte at which each chunk begins in the file, or the one contiguous dataset."""
    places.fill(-1)
    if chunk is None:
        offset = raw.get_offset()
        places.fill(-1 if offset is None else offset)
    elif hasattr(raw, "chunk_iter"):

        def note(info: Any) -> None:
            number = tuple(o // c for o, c in zip(info.chunk_offset, chunk, strict=True))
            places[number] = info.byte_offset

        raw.chunk_iter(note)
    else:  # HDF5 before 1.10.10: one search of the index for each chunk
        for number in np.ndindex(places.shape):
            corner = tuple(i * c for i, c in zip(number, chunk, strict=True))
            offset = raw.get_chunk_info_by_coord(corner).byte_offset
            places[number] = -1 if offset is None else offset
    if int(places.min()) < 0:
        raise RuntimeError("internal error: HDF5 did not allocate the dataset's storage")
