"""Zarr series: one array dims + (T,), or images, as OME-Zarr has them: (T,[ Z,] Y, X)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...errors import FormatError, not_found
from ...formats.output_names import ZARR_VERSION, zarr_mark
from ...formats.zarr.array import ZarrArray
from ...formats.zarr.names import NODES
from ...formats.zarr.nodes import ZarrGroup
from ..base import Scratch
from ..chunked_array import ChunkedArray
from ..hdf5.datasets import plain_metadata
from ..listing import is_zarr_document, zarr_document
from ..zarr.reader import axis_letters, check_size
from ..zarr.store import Found, find_array, node_at
from ..zarr.values import ArrayFiles, ZarrValues, read_together
from .chunked import ChunkedSeriesHandle, chunked_grain
from .header import SeriesHandle, SeriesHeader, SeriesOptions

DEFAULT = SeriesOptions().dataset


def inspect_zarr(path: str, options: SeriesOptions) -> SeriesHeader:
    """What a Series in a directory of Zarr is. See `inspect_series`."""
    document = _document(path)
    root = os.path.dirname(document) or "."
    node = node_at(root)
    mark = _mark(root, node)
    found = find_array(root, _dataset(node, mark, options))
    array, where = found.array, found.called
    dtype = image_dtype(array.dtype, f"{where}: dtype")
    order = _order(found)
    *dims, length = (array.shape[axis] for axis in order)
    check_size(where, "an image", math.prod(dims) * dtype.itemsize)
    check_size(where, "a series", length * dtype.itemsize)
    # Frame-major, if time comes first.
    images = order[-1] == 0
    chunks = [read_together(array)[axis] for axis in order]
    layout = {
        "array": found.name,
        "order": order,
        "images": images,
        "chunk": tuple(map(min, chunks, (*dims, length))),
        "grain": chunked_grain([chunks[-1], *chunks[:-1]] if images else chunks, dims, images),
        "decoded": 0 if array.codecs.plain else array.codecs.nbytes,
    }
    if options.nvalues not in (None, length):
        raise ValueError(f"{where}: nvalues={options.nvalues} was given, but it has {length}")
    if options.valueType is not None and options.valueType.newbyteorder("=") != dtype:
        raise ValueError(f"{where}: valueType={options.valueType} was given, but it has {dtype}")
    if options.nkeys is not None or options.keyType is not None:
        raise ValueError(f"{where}: a Zarr has no keys; omit nkeys and keyType")
    index = _index(root, mark, length)
    metadata = plain_metadata(mark.get("metadata"))
    return SeriesHeader(document, "zarr", tuple(dims), length, dtype, index, metadata, layout)


def _document(path: str) -> str:
    """The document of a Zarr, or of the only one in a directory."""
    if not os.path.isdir(path):
        if is_zarr_document(path):
            return path
        raise ValueError(f"{path}: is no Zarr, which is a directory")
    own = zarr_document(path)
    if own is not None:
        return own
    with os.scandir(path) as entries:
        inside = [zarr_document(entry.path) for entry in entries if entry.is_dir()]
    found = sorted(document for document in inside if document is not None)
    if len(found) > 1:
        raise ValueError(f"{path}: has {len(found)} directories of Zarr; name one of them")
    if not found:
        raise not_found(path, f"{path}: is no Zarr: it has none of {', '.join(NODES)}")
    return found[0]


def holds_series(path: str) -> bool:
    """Whether a directory is a Zarr of a Series that mpimages wrote."""
    try:
        return _mark(path, node_at(path)).get("layout") == "series"
    except (OSError, ValueError):
        return False  # what is wrong with it the reader says


def array_files(header: SeriesHeader) -> Sequence[str]:
    """The files of the array, which need not be there."""
    found = _found(header)
    return ArrayFiles(found.directory, found.array)


def open_zarr_series(header: SeriesHeader, scratch: Scratch | None) -> SeriesHandle:
    """Open a Series in a directory of Zarr."""
    scratch = Scratch() if scratch is None else scratch
    found, layout = _found(header), header.layout
    images, order = layout["images"], layout["order"]
    stored = tuple(found.array.shape[axis] for axis in order)
    if stored != (*header.dims, header.length):
        raise FormatError(f"{found.called}: has changed since it was loaded; load it again")
    values = ZarrValues(found.directory, found.array, scratch, found.whole)
    array = Turned(values, [order[-1], *order[:-1]] if images else order)
    return ChunkedSeriesHandle(header, array, images, scratch)


class Turned(ChunkedArray):
    """An array of Zarr with its axes in another order."""

    def __init__(self, array: ZarrValues, order: Sequence[int]) -> None:
        self._array = array
        self._order = list(order)
        self._back = np.argsort(order).tolist()
        self.shape = tuple(array.shape[axis] for axis in order)
        self.chunks = tuple((array.chunks or array.shape)[axis] for axis in order)

    def close(self) -> None:
        self._array.close()

    def read(self, first: Sequence[int], out: np.ndarray) -> None:
        self._array.read([first[axis] for axis in self._back], out.transpose(self._back))


def _found(header: SeriesHeader) -> Found:
    return find_array(os.path.dirname(header.path) or ".", header.layout["array"] or None)


def _mark(root: str, node: ZarrArray | ZarrGroup) -> JsonObject:
    """What mpimages says of a group that it wrote."""
    mark = zarr_mark({"attributes": node.attributes})
    if mark and mark.get("version") != ZARR_VERSION:
        raise FormatError(
            f"{root}: format version {mark.get('version')}, but this mpimages reads version "
            f"{ZARR_VERSION}"
        )
    return mark


def _dataset(node: ZarrArray | ZarrGroup, mark: JsonObject, options: SeriesOptions) -> str | None:
    """The array that is meant."""
    if options.dataset != DEFAULT:
        return options.dataset
    if isinstance(node, ZarrArray):
        return None
    return "0" if mark.get("layout") == "images" else DEFAULT


def _order(found: Found) -> list[int]:
    """The axes of an array in the order row[, column[, page]], time."""
    shape, where = found.array.shape, found.called
    if not 2 <= len(shape) <= 5 or any(n < 1 for n in shape):
        raise ValueError(f"{where}: has shape {shape}: it is no Series")
    letters = axis_letters(found, "Y")
    if letters is None:
        if len(shape) > 4:
            raise ValueError(f"{where}: has shape {shape}, and no axis a name: it is no Series")
        return list(range(len(shape)))
    axes = "".join(letter for letter in "YXZT" if letter in letters)
    if "T" not in axes or len(axes) != len(shape):
        raise ValueError(
            f"{where}: its axes {letters} of lengths {shape} are not those of a Series, T and "
            "Y, X or Z"
        )
    order = [letters.index(letter) for letter in axes]
    if order[-1] not in (0, len(shape) - 1):
        raise ValueError(
            f"{where}: its axes are {letters}: a Series has T first or last; loadImages reads it"
        )
    return order


def _index(root: str, mark: JsonObject, length: int) -> np.ndarray | None:
    given = mark.get("index")
    if given is None:
        return None
    try:
        index = np.asarray(given)
    except ValueError:
        index = np.empty(0)
    fits = index.shape[:1] == (length,) and (index.ndim == 1 or (index.ndim == 2 and index.size))
    if not fits or index.dtype.kind not in "iu":
        raise FormatError(f"{root}: its index is not {length} integers")
    return index.astype(np.int64)
