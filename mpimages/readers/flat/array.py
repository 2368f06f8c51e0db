"""An n-dimensional array that lies in a file as it is: flat binary, NPY, contiguous HDF5."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...core.cleanup import quietly
from ...errors import FormatError
from ..array_axes import LEFT_OUT, image_shape
from ..base import Handle, Header, Scratch, has_gaps
from ..byte_ranges import byteswap, copy_axes, open_file, read_into, transpose_matrix
from ..places import Places

# What is read at once where an image is strewn over the file.
BAND_BYTES = 1 << 24
# A run of so many bytes is worth a read of its own.
RUN_BYTES = 1 << 15


def image_grain(shape: Sequence[int], axes: str, itemsize: int) -> int:
    """How many images to read together, so that no byte is read again for the next ones.

    1 where each lies in one piece. Where they are strewn over the file, the values of so many
    that lie together are worth a read of their own; all, where these are too few.
    """
    count, _ = image_shape(shape, axes)
    run = itemsize * math.prod(shape[axes.find("T") + 1 :])
    strewn = axes[: max(0, axes.find("T"))].strip(LEFT_OUT + "C")
    return min(count, -(-RUN_BYTES // run)) if strewn else 1


class FlatArray(NamedTuple):
    """An array that lies in C order at one place of a file.

    Attributes
    ----------
    offset : int
        Where it begins, in bytes.
    shape : tuple of int
    axes : str
        The meaning of each axis, slowest first, as `array_axes` gives it.
    stored : numpy.dtype
        The dtype as stored, byte order included.
    channel : int, optional
        Which of C, where that is an axis.
    """

    offset: int
    shape: tuple[int, ...]
    axes: str
    stored: np.dtype
    channel: int | None = None


class FlatHandle(Handle):
    """The images of an array. See `Handle`."""

    def __init__(
        self, path: str, header: Header, array: FlatArray, scratch: Scratch | None = None
    ) -> None:
        offset, shape, axes, stored, channel = array
        super().__init__(path, header, image_shape(shape, axes)[0], scratch)
        self.offset = offset
        kept = [i for i, axis in enumerate(axes) if axis != LEFT_OUT]
        self.shape = tuple(shape[i] for i in kept)
        self.axes = "".join(axes[i] for i in kept)
        self.channel = channel or 0
        self.stored = stored
        self._fd: int | None = None
        self._fd, size = open_file(path)
        need = math.prod(self.shape) * stored.itemsize
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
        inner = "YXZ" if self.axes.endswith("YXZ") else "YX"
        if not self.axes.endswith(inner) or self._fd is None:
            return None
        item = self.stored.itemsize
        stride = {axis: item * math.prod(self.shape[i + 1 :]) for i, axis in enumerate(self.axes)}
        paged = inner == "YX" and "Z" in self.axes
        planes = self.shape[self.axes.index("Z")] if paged else 1
        status = os.fstat(self._fd)
        first = (
            self.offset
            + self.channel * stride.get("C", 0)
            + stride.get("T", 0) * np.arange(start, stop, dtype=np.int64)
        )
        between = np.full(stop - start, stride["Z"] if planes > 1 else 0, dtype=np.int64)
        stored = np.dtype(np.uint8) if self.stored.kind == "b" else self.stored
        return Places(first, between, planes, stored, status.st_size, status.st_mtime_ns)

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        order = [self.axes.index(axis) for axis in "TYXZ" if axis in self.axes]
        if self.axes.find("T") <= 0 and "C" not in self.axes:
            self._read_whole(start, stop, out, order)
        else:
            self._read_strewn(_Batch(self, range(start, stop), out))

    def read_images(self, images: np.ndarray, out: np.ndarray) -> None:
        if self.header.grain == 1 or not has_gaps(images):
            super().read_images(images, out)
        else:  # strewn over the file, which is not read again for each of them
            self._check_range(int(images[0]), int(images[-1]) + 1)
            self._read_strewn(_Batch(self, images, out))

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
        """Values of one image lie apart, or others between them: read bands of leading axes.

        `prefix` are the indices of the leading axes that are fixed so far.
        """
        axis = len(prefix)
        wanted = batch.wanted[axis]
        slab = math.prod(self.shape[axis + 1 :]) * self.stored.itemsize
        parted = batch.parted(axis)
        if parted is not None:  # of what lies here only a part is wanted
            run = batch.run(parted) * math.prod(self.shape[parted + 1 :]) * self.stored.itemsize
            if slab > BAND_BYTES or run >= RUN_BYTES:
                for index in wanted:
                    self._read_strewn(batch, (*prefix, int(index)))
                return
        step = max(1, BAND_BYTES // slab) if isinstance(wanted, range) else 1
        for place in range(0, len(wanted), step):
            part = wanted[place : place + step]
            self._read_band(batch, prefix, int(part[0]), int(part[-1]) + 1)

    def _read_band(self, batch: _Batch, prefix: tuple[int, ...], first: int, last: int) -> None:
        """Read [first, last) of the axis after `prefix`, and put it where it belongs."""
        axis = len(prefix)
        corner = (*prefix, first) + (0,) * (len(self.shape) - axis - 1)
        item = int(np.ravel_multi_index(corner, self.shape))
        target = batch.target(prefix, first, last)
        if batch.parted(axis) is None and target.flags.c_contiguous:
            self._read_raw(item, target)
            return
        stored = self.scratch.take((last - first, *self.shape[axis + 1 :]), batch.out.dtype)
        self._read_raw(item, stored)
        chosen = batch.chosen(axis + 1)
        if batch.matrix and chosen:
            times = chosen[-1]
            pixels = stored.reshape(-1, self.shape[-1])
            pixels = pixels[:, times] if isinstance(times, slice) else pixels.take(times, axis=1)
            begin = int(np.ravel_multi_index(corner[:-1], self.shape[:-1]))
            images = batch.out.reshape(len(batch.out), -1)
            transpose_matrix(pixels, images[:, begin : begin + len(pixels)])
            return
        target[...] = stored[:, *chosen]


class _Batch:
    """Where images go, when others or other channels lie among them."""

    def __init__(self, handle: FlatHandle, images: range | np.ndarray, out: np.ndarray) -> None:
        axes, channel = handle.axes, handle.channel
        parts: dict[str, range | np.ndarray] = {"T": images, "C": range(channel, channel + 1)}
        self.out = out
        self.wanted = [
            parts.get(axis, range(n)) for axis, n in zip(axes, handle.shape, strict=True)
        ]
        self._whole = [
            len(wanted) == n for wanted, n in zip(self.wanted, handle.shape, strict=True)
        ]
        # The same memory with its axes in the file's order.
        order = [axes.replace("C", "").index(axis) for axis in "TYXZ" if axis in axes]
        self.view = (out if "T" in axes else out[0]).transpose(np.argsort(order))
        if "C" in axes:
            self.view = np.expand_dims(self.view, axes.index("C"))
        # Time is fastest and the rest in order: a plain matrix transposition.
        self.matrix = axes in ("YXT", "YXZT")

    def parted(self, axis: int) -> int | None:
        """The first axis after `axis` of which only a part is wanted; None where there is none."""
        return next((i for i in range(axis + 1, len(self._whole)) if not self._whole[i]), None)

    def run(self, axis: int) -> int:
        """How many that are wanted lie together along an axis."""
        wanted = self.wanted[axis]
        return len(wanted) if isinstance(wanted, range) else 1

    def chosen(self, axis: int) -> tuple[slice | np.ndarray, ...]:
        """What is wanted of the axes from `axis` on."""
        return tuple(
            slice(wanted.start, wanted.stop) if isinstance(wanted, range) else wanted
            for wanted in self.wanted[axis:]
        )

    def target(self, prefix: tuple[int, ...], first: int, last: int) -> np.ndarray:
        """The memory for [first, last) of the axis after `prefix`."""
        place = [
            index - wanted.start
            if isinstance(wanted, range)
            else int(np.searchsorted(wanted, index))
            for wanted, index in zip(self.wanted, (*prefix, first), strict=False)
        ]
        found: np.ndarray = self.view[tuple(place[:-1])][place[-1] : place[-1] + last - first]
        return found


def whole_images(shape: Sequence[int], axes: str, values: int) -> tuple[tuple[int, ...], str]:
    """Shape and axes of the images that are whole where only so many `values` are there."""
    shape = tuple(int(n) for n in shape)
    if math.prod(shape) <= values:
        return shape, axes
    if "T" not in axes:
        return (0, *shape), "T" + axes
    time = axes.index("T")
    images = values // math.prod(shape[1:]) if time == 0 else 0
    return (*shape[:time], images, *shape[time + 1 :]), axes


def scratch_bytes(header: Header) -> int:
    """What a FlatHandle takes at most: a band, or an image in another order of axes."""
    return max(header.image_bytes, BAND_BYTES)
