"""An n-dimensional array that lies in a file as it is: flat binary, NPY, contiguous HDF5."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ..errors import FormatError
from ..quiet import quietly
from .base import Handle, Header, Places, Scratch, cut_planes
from .options import Options
from .rawio import byteswap, copy_axes, open_file, product, read_into, transpose_matrix

__all__ = [
    "FlatHandle",
    "check_axes",
    "cut_array",
    "image_shape",
    "require_given",
    "scratch_bytes",
    "whole_images",
]

# What is read at once where an image is strewn over the file.
BAND_BYTES = 1 << 24
# A run of so many bytes is worth a read of its own.
RUN_BYTES = 1 << 15


def check_axes(path: str, shape: Sequence[int], axes: str | None, default: str) -> str:
    """The axes string of an array of `shape`: what was given, or the default's end.

    Raises
    ------
    ValueError
        If it does not fit the array.
    """
    if axes is None:
        axes = {2: default[-2:], 3: "T" + default[-2:], 4: default}.get(len(shape), "")
    if len(axes) != len(shape) or not axes:
        raise ValueError(
            f"{path}: an array of shape {tuple(shape)} does not have the axes {axes or default!r}; "
            f"say what its {len(shape)} axes are by axes=, as in axes='TYX'"
        )
    return axes


def image_shape(shape: Sequence[int], axes: str) -> tuple[int, tuple[int, ...]]:
    """(images, dims) of an array with these axes; dims are (row, column[, page])."""
    extent = dict(zip(axes, (int(n) for n in shape), strict=True))
    dims = tuple(extent[axis] for axis in "YXZ" if axis in extent)
    return extent.get("T", 1), dims


class FlatHandle(Handle):
    """Images in an array that lies in C order at one place of a file.

    Parameters
    ----------
    path, header, scratch
        As `Handle`.
    offset : int
        Where the array begins, in bytes.
    shape : sequence of int
    axes : str
        The meaning of each axis, slowest first: Y and X, and T or Z or both.
    stored : numpy.dtype
        The dtype as stored, byte order included.
    """

    def __init__(
        self,
        path: str,
        header: Header,
        offset: int,
        shape: Sequence[int],
        axes: str,
        stored: np.dtype,
        scratch: Scratch | None = None,
    ) -> None:
        count, _ = image_shape(shape, axes)
        super().__init__(path, header, count, scratch)
        self.offset = offset
        self.shape = tuple(int(n) for n in shape)
        self.axes = axes
        self.stored = stored
        self._fd: int | None = None
        self._fd, size = open_file(path)
        need = product(self.shape) * stored.itemsize
        if size < offset + need:
            self.close()
            raise FormatError(
                f"{path}: truncated: shape {self.shape} and dtype {stored} take {need} bytes "
                f"from byte {offset} on, but the file has {size} in all"
            )

    def close(self) -> None:
        descriptor, self._fd = self._fd, None
        if descriptor is not None:
            quietly(os.close, descriptor)

    def _find_places(self, start: int, stop: int) -> Places | None:
        record = self.axes.removeprefix("T")
        if record not in ("YX", "YXZ", "ZYX") or self._fd is None:
            return None
        planes = self.shape[-3] if record == "ZYX" else 1
        plane = product(self.header.dims) // planes * self.stored.itemsize
        status = os.fstat(self._fd)
        first = self.offset + planes * plane * np.arange(start, stop, dtype=np.int64)
        stride = np.full(stop - start, plane if planes > 1 else 0, dtype=np.int64)
        stored = np.dtype(np.uint8) if self.stored.kind == "b" else self.stored
        return Places(first, stride, planes, stored, status.st_size, status.st_mtime_ns)

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        order = [self.axes.index(axis) for axis in "TYXZ" if axis in self.axes]
        if self.axes.find("T") <= 0:
            self._read_whole(start, stop, out, order)
        else:
            self._read_strewn(_Batch(self.axes, order, start, stop, out))

    def _read_raw(self, item: int, out: np.ndarray) -> None:
        """Read consecutive values from value number `item` on."""
        if self._fd is None:
            raise ValueError(f"{self.path}: the file is closed")
        read_into(self._fd, self.offset + item * self.stored.itemsize, out, self.path)
        byteswap(out, self.stored)

    def _read_whole(self, start: int, stop: int, out: np.ndarray, order: list[int]) -> None:
        """Each image is one run of the file."""
        size = out[0].size
        if order == sorted(order):
            self._read_raw(start * size, out)
            return
        if self.axes.startswith("T"):
            order = [axis - 1 for axis in order[1:]]
        shape = self.shape[-out[0].ndim :]
        for image in range(start, stop):
            stored = self.scratch.take(shape, out.dtype)
            self._read_raw(image * size, stored)
            copy_axes(stored, order, out[image - start])

    def _read_strewn(self, batch: _Batch, prefix: tuple[int, ...] = ()) -> None:
        """Values of one image lie apart: read the file in bands of its leading axes.

        `prefix` are the indices of the leading axes that are fixed so far.
        """
        axis = len(prefix)
        if axis == batch.time:
            self._read_times(batch, prefix)
            return
        slab = product(self.shape[axis + 1 :]) * self.stored.itemsize
        run = product(self.shape[batch.time + 1 :]) * self.stored.itemsize
        run *= batch.stop - batch.start
        part_only = run >= RUN_BYTES and batch.stop - batch.start < self.shape[batch.time]
        if slab > BAND_BYTES or part_only:
            for index in range(self.shape[axis]):
                self._read_strewn(batch, (*prefix, index))
            return
        step = max(1, BAND_BYTES // slab)
        for first in range(0, self.shape[axis], step):
            self._read_band(batch, prefix, first, min(first + step, self.shape[axis]))

    def _read_times(self, batch: _Batch, prefix: tuple[int, ...]) -> None:
        """Read the wanted times, and no others, of one place of the leading axes."""
        slab = product(self.shape[batch.time + 1 :]) * self.stored.itemsize
        step = max(1, BAND_BYTES // slab)
        for first in range(batch.start, batch.stop, step):
            self._read_band(batch, prefix, first, min(first + step, batch.stop))

    def _read_band(self, batch: _Batch, prefix: tuple[int, ...], first: int, last: int) -> None:
        """Read [first, last) of the axis after `prefix`, and put it where it belongs."""
        axis = len(prefix)
        stored = self.scratch.take((last - first, *self.shape[axis + 1 :]), batch.out.dtype)
        corner = (*prefix, first) + (0,) * (len(self.shape) - axis - 1)
        self._read_raw(int(np.ravel_multi_index(corner, self.shape)), stored)
        if axis == batch.time:
            batch.view[prefix][first - batch.start : last - batch.start] = stored
            return
        times = slice(batch.start, batch.stop)
        if batch.matrix:
            pixels = stored.reshape(-1, self.shape[-1])[:, times]
            begin = int(np.ravel_multi_index(corner[:-1], self.shape[:-1]))
            images = batch.out.reshape(len(batch.out), -1)
            transpose_matrix(pixels, images[:, begin : begin + len(pixels)])
            return
        chosen: tuple[slice, ...] = (slice(None),) * (batch.time - axis) + (times,)
        batch.view[prefix][first:last] = stored[chosen]


class _Batch:
    """Where the images [start, stop) go, when time is not the slowest axis."""

    def __init__(self, axes: str, order: list[int], start: int, stop: int, out: np.ndarray):
        self.start, self.stop, self.out = start, stop, out
        self.time = axes.index("T")
        # The same memory with its axes in the file's order.
        self.view = out.transpose(np.argsort(order))
        # Time is fastest and the rest in order: a plain matrix transposition.
        self.matrix = order == [len(order) - 1, *range(len(order) - 1)]


def cut_array(
    path: str, shape: Sequence[int], axes: str, options: Options
) -> tuple[tuple[int, ...], str]:
    """The array's shape and axes when its volumes are cut into images of nplanes planes."""
    shape = tuple(int(n) for n in shape)
    if options.nplanes is None or ("Z" not in axes and options.nplanes == 1):
        return shape, axes
    if "T" in axes or "Z" not in axes:
        raise ValueError(
            f"{path}: nplanes={options.nplanes} cuts volumes of pages, but its axes are {axes}; "
            f"say which axis is Z by axes="
        )
    depth = axes.index("Z")
    images, planes = cut_planes(path, shape[depth], options, droppable=depth == 0)
    cut = (images,) if planes == 1 else (images, planes)
    letters = "T" if planes == 1 else "TZ"
    return shape[:depth] + cut + shape[depth + 1 :], axes[:depth] + letters + axes[depth + 1 :]


def whole_images(shape: Sequence[int], axes: str, values: int) -> tuple[tuple[int, ...], str]:
    """Shape and axes of the images that are whole where only so many `values` are there."""
    shape = tuple(int(n) for n in shape)
    if product(shape) <= values:
        return shape, axes
    if "T" not in axes:
        return (0, *shape), "T" + axes
    time = axes.index("T")
    images = values // product(shape[1:]) if time == 0 else 0
    return (*shape[:time], images, *shape[time + 1 :]), axes


def require_given(path: str, dims: tuple[int, ...], dtype: np.dtype, options: Options) -> None:
    """Raise ValueError where dims or dtype were given and the file says otherwise."""
    if options.dims is not None and options.dims != dims:
        raise ValueError(f"{path}: dims={options.dims} was given, but its images are {dims}")
    if options.dtype is not None and options.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{path}: dtype={options.dtype} was given, but it holds {dtype}")
    if options.channel:
        raise ValueError(f"{path}: there is no channel {options.channel}: it has one channel")


def scratch_bytes(header: Header) -> int:
    """What a FlatHandle takes at most: a band, or an image in another order of axes."""
    return max(header.image_bytes, BAND_BYTES)
