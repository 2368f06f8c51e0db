"""HDF5 series: one dataset dims + (T,), or frame-major (T,) + dims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.arguments import image_dtype
from ...core.cleanup import quietly
from ...errors import FormatError
from ...formats.matlab import CLASS
from ...formats.output_names import HDF5_MARK, HDF5_VERSION
from ..base import Scratch
from ..byte_ranges import byteswap, open_file, read_into
from ..hdf5.datasets import as_text, dataset_offset, find_dataset, read_metadata
from ..hdf5.families import NWB_VERSION, only_traces
from ..hdf5.handle import Hdf5Array
from ..hdf5.links import LinkedFiles
from ..hdf5.opening import as_format_error, open_hdf5
from .chunked import ChunkedSeriesHandle, chunked_grain
from .header import SERIES_NAME, SeriesHandle, SeriesHeader, SeriesOptions

if TYPE_CHECKING:
    import h5py


def inspect_hdf5(path: str, options: SeriesOptions) -> SeriesHeader:
    """What a Series in an HDF5 file is. See `inspect_series`."""
    with open_hdf5(path) as file:
        files = LinkedFiles(path, file)
        name = options.dataset
        if NWB_VERSION in file.attrs and name == SERIES_NAME and name not in file:
            name = only_traces(files)
        dataset = find_dataset(files, name, (2, 3, 4))
        dtype = image_dtype(dataset.dtype, f"{path}, dataset {dataset.name}: dtype")
        shape, images = _shape(path, dataset)
        version = dataset.attrs.get(HDF5_MARK)
        if version is not None and version != HDF5_VERSION:
            raise FormatError(
                f"{path}: format version {version}, but this mpimages reads version {HDF5_VERSION}"
            )
        index = _index(path, dataset, shape[-1])
        offset = dataset_offset(dataset)
        layout = {
            "dataset": dataset.name,
            "images": images,
            "offset": None if images else offset,
            "stored": dataset.dtype.str,
            "grain": chunked_grain(dataset.chunks, shape[:-1], images),
            "columns_first": _columns_first(dataset),
        }
        if dataset.chunks is not None:
            chunk = tuple(map(min, dataset.chunks, dataset.shape))
            layout["chunk"] = chunk[1:] + chunk[:1] if images else chunk
        metadata = read_metadata(dataset)
    if options.nvalues not in (None, shape[-1]):
        raise ValueError(f"{path}: nvalues={options.nvalues} was given, but it has {shape[-1]}")
    if options.valueType is not None and options.valueType.newbyteorder("=") != dtype:
        raise ValueError(f"{path}: valueType={options.valueType} was given, but it has {dtype}")
    if options.nkeys is not None or options.keyType is not None:
        raise ValueError(f"{path}: an HDF5 Series has no keys; omit nkeys and keyType")
    return SeriesHeader(path, "hdf5", shape[:-1], shape[-1], dtype, index, metadata, layout)


def _shape(path: str, dataset: h5py.Dataset) -> tuple[tuple[int, ...], bool]:
    """dims + (T,), and whether the dataset is frame-major, as all of NWB is."""
    shape = dataset.shape
    if shape is None or not 2 <= len(shape) <= 4 or any(n < 1 for n in shape):
        raise ValueError(f"{path}: dataset {dataset.name} has shape {shape}: it is no Series")
    nwb = NWB_VERSION in dataset.file.attrs
    images = nwb or as_text(dataset.attrs.get("layout")) == "images"
    shape = tuple(int(n) for n in shape)
    return (shape[1:] + shape[:1] if images else shape), images


def _columns_first(dataset: h5py.Dataset) -> str | None:
    """Whose images a dataset has, if their columns come first."""
    if NWB_VERSION in dataset.file.attrs and dataset.ndim > 2:
        return "NWB"
    return "MATLAB" if HDF5_MARK in dataset.attrs and CLASS in dataset.attrs else None


def _index(path: str, dataset: h5py.Dataset, length: int) -> np.ndarray | None:
    if "index" not in dataset.attrs:
        return None
    index = np.asarray(dataset.attrs["index"])
    fits = index.shape[:1] == (length,) and (index.ndim == 1 or (index.ndim == 2 and index.size))
    if not fits or index.dtype.kind not in "iu":
        if HDF5_MARK not in dataset.attrs:
            return None  # an attribute of another program that happens to have this name
        raise FormatError(f"{path}: dataset {dataset.name}: its index is not {length} integers")
    return index.astype(np.int64)


def open_hdf5_series(header: SeriesHeader, scratch: Scratch | None) -> SeriesHandle:
    """Open a Series in an HDF5 file."""
    if header.layout["offset"] is not None:
        return ContiguousHandle(header, scratch)
    files = LinkedFiles(header.path)
    try:
        with as_format_error(header.path):
            dataset = find_dataset(files, header.layout["dataset"], (2, 3, 4))
    except BaseException:
        files.close()
        raise
    array = Hdf5Array(header.path, dataset, files)
    return ChunkedSeriesHandle(header, array, header.layout["images"], scratch)


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

    def _read_values(self, pixel: int, first: int, out: np.ndarray) -> bool:
        place = (pixel * self.header.length + first) * out.dtype.itemsize
        read_into(self._fd, self.header.layout["offset"] + place, out, self.header.path)
        byteswap(out, self._stored)
        return True

    def close(self) -> None:
        import os

        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            quietly(os.close, descriptor)
