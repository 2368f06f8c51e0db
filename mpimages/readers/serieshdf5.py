"""HDF5 series: one dataset dims + (T,), or frame-major (T,) + dims."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dims import pixel_boxes
from ..errors import FormatError
from ..phases import phase
from .base import Scratch
from .hdf5 import (
    as_text,
    dataset_offset,
    find_dataset,
    read_metadata,
    read_values,
)
from .hdf5open import open_hdf5, open_hdf5_file, told_as_damage
from .options import image_dtype
from .rawio import byteswap, open_file, product, read_into, transpose_matrix
from .seriesheader import SeriesHandle, SeriesHeader, SeriesOptions

__all__ = ["inspect_hdf5", "open_hdf5_series"]

VERSION = 1


def inspect_hdf5(path: str, options: SeriesOptions) -> SeriesHeader:
    """What a Series in an HDF5 file is. See `inspect_series`."""
    with open_hdf5(path) as file:
        dataset = find_dataset(path, file, options.dataset, (2, 3, 4))
        dtype = image_dtype(dataset.dtype, f"{path}, dataset {dataset.name}")
        shape, images = _shape(path, dataset)
        version = dataset.attrs.get("mpimages_format")
        if version is not None and version != VERSION:
            raise FormatError(
                f"{path}: format version {version}, but this mpimages reads version {VERSION}"
            )
        index = _index(path, dataset, shape[-1])
        offset = dataset_offset(dataset)
        layout = {
            "dataset": dataset.name,
            "images": images,
            "offset": None if images else offset,
            "stored": dataset.dtype.str,
        }
        metadata = read_metadata(dataset)
    if options.nvalues not in (None, shape[-1]):
        raise ValueError(f"{path}: nvalues={options.nvalues} was given, but it has {shape[-1]}")
    if options.valueType is not None and options.valueType.newbyteorder("=") != dtype:
        raise ValueError(f"{path}: valueType={options.valueType} was given, but it has {dtype}")
    if options.nkeys is not None or options.keyType is not None:
        raise ValueError(f"{path}: an HDF5 Series has no keys; omit nkeys and keyType")
    return SeriesHeader(path, "hdf5", shape[:-1], shape[-1], dtype, index, metadata, layout)


def _shape(path: str, dataset: Any) -> tuple[tuple[int, ...], bool]:
    """dims + (T,), and whether the dataset is frame-major."""
    shape = dataset.shape
    if shape is None or not 2 <= len(shape) <= 4 or any(n < 1 for n in shape):
        raise ValueError(f"{path}: dataset {dataset.name} has shape {shape}: it is no Series")
    images = as_text(dataset.attrs.get("layout")) == "images"
    shape = tuple(int(n) for n in shape)
    return (shape[1:] + shape[:1] if images else shape), images


def _index(path: str, dataset: Any, length: int) -> np.ndarray | None:
    if "index" not in dataset.attrs:
        return None
    index = np.asarray(dataset.attrs["index"])
    if index.shape != (length,) or index.dtype.kind not in "iu":
        if "mpimages_format" not in dataset.attrs:
            return None  # an attribute of another program that happens to have this name
        raise FormatError(f"{path}: dataset {dataset.name}: its index is not {length} integers")
    return index.astype(np.int64)


def open_hdf5_series(header: SeriesHeader, scratch: Scratch | None) -> SeriesHandle:
    """Open a Series in an HDF5 file."""
    if header.layout["offset"] is not None:
        return ContiguousHandle(header, scratch)
    return DatasetHandle(header, scratch)


class ContiguousHandle(SeriesHandle):
    """A series-major dataset that lies in the file as it is: read past the HDF5 library."""

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        self._stored = np.dtype(header.layout["stored"])
        self._fd, _ = open_file(header.path)

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        record = self.header.length * out.dtype.itemsize
        offset = self.header.layout["offset"] + first * record
        read_into(self._fd, offset, out, self.header.path)
        byteswap(out, self._stored)

    def close(self) -> None:
        import os

        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class DatasetHandle(SeriesHandle):
    """A dataset that is read through the library: chunked, or frame-major."""

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        self._file = open_hdf5_file(header.path)
        try:
            with told_as_damage(header.path):
                name = header.layout["dataset"]
                self._dataset = find_dataset(header.path, self._file, name, (2, 3, 4))
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        self._file.close()

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        done = 0
        for start, extent in pixel_boxes(self.header.dims, first, stop):
            count = product(extent)
            part = out[done : done + count]
            box = tuple(slice(a, a + n) for a, n in zip(start, extent, strict=True))
            name = f"dataset {self.header.layout['dataset']}"
            with told_as_damage(self.header.path, name), phase("decode", part.nbytes):
                self._read_box(box, extent, part)
            done += count

    def _read_box(self, box: tuple[slice, ...], extent: tuple[int, ...], part: np.ndarray) -> None:
        length = self.header.length
        if not self.header.layout["images"]:
            read_values(self._dataset, part.reshape(*extent, length), (*box, slice(None)))
            return
        frames = self.scratch.take((length, *extent), part.dtype)
        read_values(self._dataset, frames, (slice(None), *box))
        transpose_matrix(frames.reshape(length, -1), part)
