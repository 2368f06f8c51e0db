"""HDF5 series: one dataset dims + (T,), or frame-major (T,) + dims."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ...core.arguments import image_dtype
from ...core.cleanup import quietly
from ...core.timers import phase
from ...dims import box_shape, boxes, pixel_boxes, pixel_grain
from ...errors import FormatError
from ...formats.output_names import HDF5_MARK, HDF5_VERSION
from ..base import Scratch, has_gaps
from ..byte_ranges import byteswap, open_file, read_into, transpose_matrix
from ..flat.array import BAND_BYTES
from ..hdf5.datasets import as_text, dataset_offset, find_dataset, read_metadata
from ..hdf5.families import NWB_VERSION, only_traces
from ..hdf5.handle import read_values
from ..hdf5.links import LinkedFiles
from ..hdf5.opening import as_format_error, open_hdf5, open_hdf5_file
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
            "grain": _grain(dataset, shape[:-1], images),
            "columns_first": NWB_VERSION in file.attrs and dataset.ndim > 2,
        }
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


def _grain(dataset: h5py.Dataset, dims: tuple[int, ...], images: bool) -> int:
    """Ranges of pixels that are cut at multiples of this hold whole chunks."""
    if dataset.chunks is None:
        return 1
    chunk = dataset.chunks[1:] if images else dataset.chunks[:-1]
    grain = pixel_grain(dims, [min(c, n) for c, n in zip(chunk, dims, strict=True)])
    return min(grain, math.prod(dims))


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

        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            quietly(os.close, descriptor)


class DatasetHandle(SeriesHandle):
    """A dataset that is read through the library: chunked, or frame-major."""

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        self._file = open_hdf5_file(header.path)
        try:
            with as_format_error(header.path):
                name = header.layout["dataset"]
                files = LinkedFiles(header.path, self._file)
                self._dataset = find_dataset(files, name, (2, 3, 4))
        except BaseException:
            quietly(self._file.close)
            raise

    def close(self) -> None:
        quietly(self._file.close)

    def read_pixels(self, pixels: np.ndarray, out: np.ndarray) -> None:
        if self.header.grain == 1 or not has_gaps(pixels):
            super().read_pixels(pixels, out)
        else:  # of chunks that several share, not one after the other
            self._read_boxes(*self._widen(int(pixels[0]), int(pixels[-1]) + 1), pixels, out)

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        regions = list(pixel_boxes(self.header.dims, first, stop))
        whole = self._widen(first, stop)
        if self.header.layout["images"] or (len(regions) > 1 and (first, stop) != whole):
            # Boxes of whole chunks, as several may have parts of the same ones.
            self._read_boxes(*whole, np.arange(first, stop), out)
            return
        done = 0
        for start, extent in regions:
            count = math.prod(extent)
            part = out[done : done + count].reshape(*extent, self.header.length)
            self._read_box((*start, 0), part)
            done += count

    def _widen(self, first: int, stop: int) -> tuple[int, int]:
        """The pixels of all chunks in which those of [first, stop) lie."""
        grain = self.header.grain
        return first // grain * grain, min(self.header.pixels, -(-stop // grain) * grain)

    def _read_boxes(self, first: int, stop: int, pixels: np.ndarray, out: np.ndarray) -> None:
        """Read those `pixels` that lie in [first, stop) through memory of about BAND_BYTES."""
        dims, length, images = self.header.dims, self.header.length, self.header.layout["images"]
        places = np.stack(np.unravel_index(pixels, dims), axis=1)
        for corner, extent in pixel_boxes(dims, first, stop):
            whole = (length, *extent) if images else (*extent, length)
            unit = self._dataset.chunks or (1,) * len(whole)
            step = box_shape(whole, unit, out.dtype.itemsize, BAND_BYTES)
            origin = (0, *corner) if images else (*corner, 0)
            for low, size in boxes(origin, whole, step):
                begin, number = (low[1:], size[1:]) if images else (low[:-1], size[:-1])
                inside = places - np.array(begin)
                rows = np.flatnonzero(((inside >= 0) & (inside < number)).all(axis=1))
                if len(rows) == 0:
                    continue
                values = self.scratch.take(size, out.dtype)
                self._read_box(low, values)
                time = (
                    slice(low[0], low[0] + size[0])
                    if images
                    else slice(low[-1], low[-1] + size[-1])
                )
                columns = np.ravel_multi_index(tuple(inside[rows].T), number)
                _put(values, images, columns, out, rows, time)

    def _read_box(self, low: tuple[int, ...], out: np.ndarray) -> None:
        """Read the part of the dataset that begins at `low` into out, of its shape."""
        part = tuple(slice(a, a + n) for a, n in zip(low, out.shape, strict=True))
        name = f"dataset {self.header.layout['dataset']}"
        with as_format_error(self.header.path, name), phase("decode", out.nbytes):
            read_values(self._dataset, out, part)


def _put(
    values: np.ndarray,
    images: bool,
    columns: np.ndarray,
    out: np.ndarray,
    rows: np.ndarray,
    time: slice,
) -> None:
    """Put the pixels number `columns` of a box where they belong: out[rows, time]."""
    if not images:
        out[rows, time] = values.reshape(-1, values.shape[-1])[columns]
        return
    frames = values.reshape(len(values), -1)
    if len(columns) == frames.shape[1] == rows[-1] - rows[0] + 1:
        transpose_matrix(frames, out[rows[0] : rows[-1] + 1, time])
    else:
        out[rows, time] = frames[:, columns].T
