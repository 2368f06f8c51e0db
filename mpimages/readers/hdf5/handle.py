"""Images in an HDF5 dataset that must be read through the library: chunked, or filtered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.ranges import consecutive
from ...core.timers import phase
from ...dims import box_shape, boxes
from ..array_axes import LEFT_OUT, image_shape
from ..base import Closing, Handle, Header, Scratch, has_gaps
from ..byte_ranges import byteswap, place_axes
from ..flat.array import BAND_BYTES
from .opening import as_format_error

if TYPE_CHECKING:
    import h5py


def read_values(dataset: h5py.Dataset, out: np.ndarray, selection: tuple[slice, ...]) -> None:
    """Read a part of a dataset through the library into `out`, of its dtype in native order.

    Local. Bytes are swapped here: where the library swaps them, it leaves padding bits in.
    """
    dataset.read_direct(out.view(dataset.dtype), selection)
    byteswap(out, dataset.dtype)


def chunk_grain(dataset: h5py.Dataset, shape: tuple[int, ...], axes: str) -> int:
    """How many images, counted from the first, lie in the same chunks.

    `shape` and `axes` may have nplanes cut out of the Z axis of the dataset.
    """
    if dataset.chunks is None or "T" not in axes:
        return 1
    planes = _planes(dataset, shape, axes)
    along = min(dataset.chunks[axes.index("T")], dataset.shape[axes.index("T")])
    return min(image_shape(shape, axes)[0], math.lcm(along, planes) // planes)


def _planes(dataset: h5py.Dataset, shape: tuple[int, ...], axes: str) -> int:
    """Where nplanes cuts the Z axis into images and planes, these are one axis of the file."""
    return shape[axes.index("Z")] if len(shape) > dataset.ndim else 1


class Hdf5Handle(Handle):
    """A dataset that must be read through the library.

    Parameters
    ----------
    path, header, scratch
        As `Handle`.
    dataset : h5py.Dataset
    shape : tuple of int
        How much of each axis is read, from its beginning on.
    axes : str
        As `array_axes` gives it, or with nplanes cut out of the Z axis.
    channel : int, optional
        Which of C, where that is an axis.
    owner : Closing, optional
        What has the dataset's file open, and is closed with the handle.
    """

    def __init__(
        self,
        path: str,
        header: Header,
        dataset: h5py.Dataset,
        shape: tuple[int, ...],
        axes: str,
        scratch: Scratch | None,
        channel: int | None = None,
        owner: Closing | None = None,
    ) -> None:
        count, _ = image_shape(shape, axes)
        super().__init__(path, header, count, scratch)
        self._dataset = dataset
        self._owner = owner
        self._planes = _planes(self._dataset, shape, axes)
        self._grain = chunk_grain(self._dataset, shape, axes)
        self._channel = channel or 0
        # Of the dataset's axes; and of what is read of it, in the same order.
        self._stored, self._extent = axes, list(shape)
        if len(shape) > dataset.ndim:
            self._stored, time = axes.replace("TZ", "T"), axes.index("T")
            self._extent[time : time + 2] = [shape[time] * shape[time + 1]]
        self._axes = "".join(axis for axis in axes if axis not in (LEFT_OUT, "C"))
        self._order = [self._axes.index(axis) for axis in "TYXZ" if axis in self._axes]

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()

    def read_part(self, images: np.ndarray, low: Sequence[int], out: np.ndarray) -> bool:
        shared = self._grain > 1 and has_gaps(images)  # chunks would be read again and again
        if self._planes > 1 or self._dataset.chunks is None or shared:
            return False
        inside = dict(zip("YXZ", low, strict=False))
        for a, b in consecutive(images):
            first, extent = self._region(int(images[a]), int(images[b - 1]) + 1)
            for axis, letter in enumerate(self._stored):
                if letter in inside:
                    first[axis] = inside[letter]
                    extent[axis] = out.shape[1 + "YXZ".index(letter)]
            values = self.scratch.take(extent, out.dtype)
            self._read(first, extent, values)
            axes = zip(extent, self._stored, strict=True)
            sizes = [n for n, letter in axes if letter in self._axes]
            target = out[a:b] if "T" in self._axes else out[a]
            place_axes(values.reshape(sizes), self._order, target)
        return True

    def _region(self, start: int, stop: int) -> tuple[list[int], list[int]]:
        """Where the images [start, stop) lie in the dataset: first and extent along each axis."""
        first, extent = [0] * len(self._extent), list(self._extent)
        for axis, letter in enumerate(self._stored):
            if letter == "T":
                first[axis], extent[axis] = start * self._planes, (stop - start) * self._planes
            elif letter == "C":
                first[axis], extent[axis] = self._channel, 1
        return first, extent

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        if self._order != sorted(self._order):
            self._read_boxes(np.arange(start, stop), out)
            return
        first, extent = self._region(start, stop)
        self._read(first, extent, out.reshape(extent))

    def read_images(self, images: np.ndarray, out: np.ndarray) -> None:
        if self._grain == 1 or not has_gaps(images):
            super().read_images(images, out)
        else:  # of a chunk that several share, not one after the other
            self._check_range(int(images[0]), int(images[-1]) + 1)
            self._read_boxes(images, out)

    def _read_boxes(self, images: np.ndarray, out: np.ndarray) -> None:
        """Read images through memory of about BAND_BYTES, each chunk once."""
        grain, planes, time = self._grain, self._planes, self._stored.find("T")
        begin = int(images[0]) // grain * grain
        first, extent = self._region(begin, min(self.count, -(-(images[-1] + 1) // grain) * grain))
        unit = list(self._dataset.chunks or [1] * len(extent))
        if time >= 0:
            unit[time] = grain * planes
        step = box_shape(extent, unit, out.dtype.itemsize, BAND_BYTES)
        for start, size in boxes(first, extent, step):
            low, number, rows = list(start), list(size), slice(0, 1)
            if time >= 0:
                a, b = low[time] // planes, (low[time] + number[time]) // planes
                rows = slice(*np.searchsorted(images, [a, b]).tolist())
                if rows.start == rows.stop:
                    continue
                a, b = int(images[rows.start]), int(images[rows.stop - 1]) + 1
                low[time], number[time] = a * planes, (b - a) * planes
            values = self.scratch.take(number, out.dtype)
            self._read(low, number, values)
            self._place(values, low, images[rows], out[rows])

    def _place(
        self, values: np.ndarray, low: list[int], images: np.ndarray, out: np.ndarray
    ) -> None:
        """Put a box, which begins at `low` of the dataset, where it belongs in its images."""
        extent: list[int] = []
        inside = {}
        for letter, start, number in zip(self._stored, low, values.shape, strict=True):
            if letter == "T" and self._planes > 1:
                extent += [number // self._planes, self._planes]
            elif letter in self._axes:
                extent.append(number)
                inside[letter] = slice(start, start + number)
        values = values.reshape(extent)
        axis = self._axes.find("T")
        if axis >= 0 and values.shape[axis] > len(images):
            values = values.take(images - images[0], axis)
        target = out[
            :, *(inside.get(letter, slice(None)) for letter in "YXZ" if letter in self._axes)
        ]
        place_axes(values, self._order, target if axis >= 0 else target[0])

    def _read(self, first: list[int], extent: list[int], out: np.ndarray) -> None:
        """Read a part of the dataset into out, of its shape."""
        part = tuple(slice(a, a + n) for a, n in zip(first, extent, strict=True))
        damage = as_format_error(self.path, f"dataset {self._dataset.name}")
        with damage, phase("decode", out.nbytes):
            read_values(self._dataset, out, part)
