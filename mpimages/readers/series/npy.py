"""NPY series: an array dims + (T,), or a directory of such whose rows follow each other.

In C order the values of a pixel lie together. In Fortran order row after row of a frame does, so
that those of many rows are read together.
"""

from __future__ import annotations

import math
import os

import numpy as np

from ...core.arguments import image_dtype
from ...core.cleanup import quietly
from ...errors import FormatError
from ..base import Scratch
from ..byte_ranges import byteswap, open_file, read_into
from ..flat.array import RUN_BYTES
from ..flat.npy import NpyHead, read_head
from .files import FileSequence, data_files
from .header import SeriesHandle, SeriesHeader, SeriesOptions

# What is put in its places at a time; where each value belongs takes up to 17 times as much.
BAND_BYTES = 1 << 20


def inspect_npy(path: str, options: SeriesOptions) -> SeriesHeader:
    """What an NPY file, or a directory of them, is. See `inspect_series`."""
    if options.nkeys is not None or options.keyType is not None:
        raise ValueError(f"{path}: an NPY Series has no keys; omit nkeys and keyType")
    directory, names = os.path.dirname(path), [os.path.basename(path)]
    if os.path.isdir(path):
        directory, names = path, data_files(path, options.confFilename, ending=".npy")
    heads = [_head(os.path.join(directory, name)) for name in names]
    first = heads[0]
    for name, head in zip(names, heads, strict=True):
        if (head.shape[1:], head.stored) != (first.shape[1:], first.stored):
            raise FormatError(
                f"{os.path.join(directory, name)}: has shape {head.shape} and dtype {head.stored}, "
                f"but {names[0]} has {first.shape} and {first.stored}"
            )
        if head.fortran and len(names) > 1:
            raise ValueError(
                f"{os.path.join(directory, name)}: of several files each must be in C order, as "
                "np.save writes np.ascontiguousarray(array)"
            )
    dtype = image_dtype(first.stored, f"{path}: dtype")
    if options.nvalues not in (None, first.shape[-1]):
        raise ValueError(
            f"{path}: nvalues={options.nvalues} was given, but it has {first.shape[-1]}"
        )
    if options.valueType is not None and options.valueType.newbyteorder("=") != dtype:
        raise ValueError(f"{path}: valueType={options.valueType} was given, but it has {dtype}")
    dims = (sum(head.shape[0] for head in heads), *first.shape[1:-1])
    fibres = math.prod(dims[1:])
    rows = -(-RUN_BYTES // dtype.itemsize)
    layout = {
        "names": names,
        "directory": directory,
        "counts": [head.shape[0] * fibres for head in heads],
        "offsets": [head.offset for head in heads],
        "stored": first.stored.str,
        "fortran": first.fortran,
        "grain": min(rows, dims[0]) * fibres if first.fortran else 1,
    }
    return SeriesHeader(path, "npy", dims, first.shape[-1], dtype, None, {}, layout)


def _head(path: str) -> NpyHead:
    head = read_head(path)
    if not 2 <= len(head.shape) <= 4:
        raise ValueError(
            f"{path}: a Series is an array (row[, column[, page]], T), got shape {head.shape}"
        )
    need = math.prod(head.shape) * head.stored.itemsize
    if head.value_bytes < need:
        raise FormatError(
            f"{path}: truncated: its array takes {need} bytes, but it has {head.value_bytes}"
        )
    # Where both orders are the same one, values lie as in C order.
    one = sum(n > 1 for n in head.shape) <= 1
    return head._replace(fortran=head.fortran and not one)


def open_npy(header: SeriesHeader, scratch: Scratch | None) -> SeriesHandle:
    """Open a Series in NPY files."""
    if header.layout["fortran"]:
        return FortranHandle(header, scratch)
    return NpyHandle(header, scratch)


class NpyHandle(SeriesHandle):
    """A Series in arrays of C order."""

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        layout = header.layout
        self._files = FileSequence(
            layout["directory"], layout["names"], layout["counts"], layout["offsets"]
        )
        self._stored = np.dtype(layout["stored"])

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        self._files.read(first, out)
        byteswap(out, self._stored)

    def close(self) -> None:
        self._files.close()


class FortranHandle(SeriesHandle):
    """A Series in one array of Fortran order: axis 0 is the fastest, time the slowest.

    A *line* is what lies together of axis 0: a line for each time, page and column.
    """

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        self._stored = np.dtype(header.layout["stored"])
        self._path = header.files()[0]
        self._fd, _ = open_file(self._path)

    def close(self) -> None:
        descriptor, self._fd = self._fd, -1
        if descriptor >= 0:
            quietly(os.close, descriptor)

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        dims = self.header.dims
        fibres = math.prod(dims[1:])
        top, bottom = first // fibres, (stop - 1) // fibres + 1
        item = self._stored.itemsize
        # Lines are cut where their part is worth a read of its own.
        cut = (bottom - top) * item >= RUN_BYTES and bottom - top < dims[0]
        rows = bottom - top if cut else dims[0]
        step = 1 if cut else max(1, BAND_BYTES // (rows * item))
        # The number of each line's pixel of row 0, for the lines of a frame in the file's order.
        columns = np.arange(fibres).reshape(dims[1:]).ravel(order="F")
        lines = fibres * self.header.length
        for line in range(0, lines, step):
            count = min(step, lines - line)
            values = self.scratch.take((count, rows), out.dtype)
            begin = line * dims[0] + (top if cut else 0)
            read_into(self._fd, self.header.layout["offsets"][0] + begin * item, values, self._path)
            byteswap(values, self._stored)
            part = values if cut else values[:, top:bottom]
            time, place = np.divmod(np.arange(line, line + count), fibres)
            pixels = np.arange(top, bottom)[:, None] * fibres + columns[place] - first
            inside = (pixels >= 0) & (pixels < stop - first)
            times = np.broadcast_to(time, pixels.shape)
            out[pixels[inside], times[inside]] = part.T[inside]
