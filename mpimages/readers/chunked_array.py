"""Arrays that are stored in chunks, each of which is decoded whole: HDF5's and Zarr's."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..core.arguments import image_dtype
from ..core.json_types import JsonObject
from ..core.ranges import consecutive
from ..dims import chunk_boxes
from .array_axes import (
    LEFT_OUT,
    array_pages,
    cut_array,
    image_shape,
    own_channel,
    page_sizes,
    taken_shape,
)
from .base import Closing, Handle, Header, Scratch, has_gaps
from .byte_ranges import place_axes
from .flat.array import BAND_BYTES
from .options import Options
from .page_handle import PageHandle, page_header


class ChunkedArray(Closing, ABC):
    """An open array, of which parts can be read.

    Attributes
    ----------
    shape : tuple of int
    chunks : tuple of int, optional
        The shape of a chunk; None: any part can be read without more of it.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...] | None

    @abstractmethod
    def read(self, first: Sequence[int], out: np.ndarray) -> None:
        """Read the part that begins at `first` into `out`, of the part's shape.

        `out` has the array's dtype in native byte order, and is C-contiguous.
        """


@dataclass(frozen=True)
class ArrayPlan:
    """How an array is read: its axes, and which of its pages make images.

    Attributes
    ----------
    shape, axes
        In the order in which it is stored, as `cut_array` gives them.
    pages : (images, planes) ndarray, optional
        As `array_pages` gives them.
    stored : numpy.dtype
        As it is read, byte order included.
    channel : int, optional
        Which of C, where that is an axis.
    axis_sizes : dict
        As ``axes`` of `Header.found`.
    """

    shape: tuple[int, ...]
    axes: str
    pages: np.ndarray | None
    stored: np.dtype
    channel: int | None
    axis_sizes: JsonObject

    @property
    def dtype(self) -> np.dtype:
        return image_dtype(self.stored)

    @property
    def count(self) -> int:
        return taken_shape(self.shape, self.axes, self.pages)[0]

    @property
    def dims(self) -> tuple[int, ...]:
        return taken_shape(self.shape, self.axes, self.pages)[1]

    def image_chunk(self, chunks: Sequence[int] | None) -> tuple[int, ...] | None:
        """The shape of a chunk as (images,) + dims; None where images are cut otherwise."""
        if chunks is None or self.pages is not None or len(self.axes) != len(chunks):
            return None
        lengths = zip(self.axes, chunks, self.shape, strict=True)
        extent = {letter: min(chunk, length) for letter, chunk, length in lengths}
        return tuple(extent.get(letter, 1) for letter in "TYXZ"[: 1 + len(self.dims)])


def plan_array(
    path: str, shape: Sequence[int], axes: str, stored: np.dtype, options: Options
) -> ArrayPlan:
    """How an array of this shape is read, of which `array_axes` has given the axes."""
    sizes = page_sizes(shape, axes, options)
    cut, axes = cut_array(path, shape, axes, options)
    pages = array_pages(path, image_shape(cut, axes)[0], options)
    return ArrayPlan(cut, axes, pages, stored, own_channel(options), sizes)


def open_images(
    path: str,
    plan: ArrayPlan,
    header: Header,
    scratch: Scratch | None,
    grain: int,
    open_inner: Callable[[Header], Handle],
) -> Handle:
    """The handle of the images that `plan` makes of an array.

    `open_inner` opens the array by a header of the images that it has, or of the pages; so many
    of these, `grain`, are stored together.
    """
    if plan.pages is None:
        return open_inner(header)
    pages = page_header(header, image_shape(plan.shape, plan.axes)[0], grain)
    return PageHandle(path, header, open_inner(pages), plan.pages, scratch)


def chunk_grain(
    stored: Sequence[int], chunks: Sequence[int] | None, shape: Sequence[int], axes: str
) -> int:
    """How many images, counted from the first, lie in the same chunks.

    Parameters
    ----------
    stored, chunks : sequence of int
        The shape of the array, and of a chunk.
    shape, axes
        They may have nplanes cut out of the Z axis of the array.
    """
    if chunks is None or "T" not in axes:
        return 1
    planes = _planes(stored, shape, axes)
    along = min(chunks[axes.index("T")], stored[axes.index("T")])
    return min(image_shape(shape, axes)[0], math.lcm(along, planes) // planes)


def _planes(stored: Sequence[int], shape: Sequence[int], axes: str) -> int:
    """Where nplanes cuts the Z axis into images and planes, these are one axis of the file."""
    return shape[axes.index("Z")] if len(shape) > len(stored) else 1


class ChunkedHandle(Handle):
    """The images of an array in chunks.

    Parameters
    ----------
    path, header, scratch
        As `Handle`.
    array : ChunkedArray
        It is closed with the handle.
    shape : tuple of int
        How much of each axis is read, from its beginning on.
    axes : str
        As `array_axes` gives it, or with nplanes cut out of the Z axis.
    channel : int, optional
        Which of C, where that is an axis.
    """

    def __init__(
        self,
        path: str,
        header: Header,
        array: ChunkedArray,
        shape: tuple[int, ...],
        axes: str,
        scratch: Scratch | None,
        channel: int | None = None,
    ) -> None:
        count, _ = image_shape(shape, axes)
        super().__init__(path, header, count, scratch)
        self.array = array
        self._planes = _planes(array.shape, shape, axes)
        self._grain = chunk_grain(array.shape, array.chunks, shape, axes)
        self._channel = channel or 0
        # Of the array's axes; and of what is read of it, in the same order.
        self._stored, self._extent = axes, list(shape)
        if len(shape) > len(array.shape):
            self._stored, time = axes.replace("TZ", "T"), axes.index("T")
            self._extent[time : time + 2] = [shape[time] * shape[time + 1]]
        self._axes = "".join(axis for axis in axes if axis not in (LEFT_OUT, "C"))
        self._order = [self._axes.index(axis) for axis in "TYXZ" if axis in self._axes]

    def close(self) -> None:
        self.array.close()

    def region(self, start: int, stop: int) -> tuple[list[int], list[int]]:
        """Where the images [start, stop) lie in the array: first and extent along each axis."""
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
        first, extent = self.region(start, stop)
        self.array.read(first, out.reshape(extent))

    def read_images(self, images: np.ndarray, out: np.ndarray) -> None:
        if self._grain == 1 or not has_gaps(images):
            super().read_images(images, out)
        else:  # of a chunk that several share, not one after the other
            self._check_range(int(images[0]), int(images[-1]) + 1)
            self._read_boxes(images, out)

    def read_part(self, images: np.ndarray, low: Sequence[int], out: np.ndarray) -> bool:
        if self._planes > 1:
            return False
        if self._grain > 1:
            self._read_boxes(images, out, low)
            return True
        for a, b in consecutive(images):
            self._read_boxes(images[a:b], out[a:b], low)
        return True

    def _read_boxes(
        self, images: np.ndarray, out: np.ndarray, corner: Sequence[int] = (0, 0, 0)
    ) -> None:
        """Read images through memory of about BAND_BYTES, each chunk once.

        Of each of them the box is read that begins at `corner` and has the shape of out's.
        """
        grain, planes, time = self._grain, self._planes, self._stored.find("T")
        begin = int(images[0]) // grain * grain
        first, extent = self.region(begin, min(self.count, -(-(images[-1] + 1) // grain) * grain))
        unit = list(self.array.chunks or [1] * len(extent))
        if time >= 0:
            unit[time] = grain * planes
        if planes == 1:
            for axis, letter in enumerate(self._stored):
                if letter in "YXZ":
                    first[axis] += corner["YXZ".index(letter)]
                    extent[axis] = out.shape[1 + "YXZ".index(letter)]
        for start, size in chunk_boxes(first, extent, unit, out.dtype.itemsize, BAND_BYTES):
            low, number, rows = list(start), list(size), slice(0, 1)
            if time >= 0:
                a, b = low[time] // planes, (low[time] + number[time]) // planes
                rows = slice(*np.searchsorted(images, [a, b]).tolist())
                if rows.start == rows.stop:
                    continue
                a, b = int(images[rows.start]), int(images[rows.stop - 1]) + 1
                low[time], number[time] = a * planes, (b - a) * planes
            values = self.scratch.take(number, out.dtype)
            self.array.read(low, values)
            for axis, letter in enumerate(self._stored):
                if letter in "YXZ":
                    low[axis] -= corner["YXZ".index(letter)]
            self._place(values, low, images[rows], out[rows])

    def _place(
        self, values: np.ndarray, low: list[int], images: np.ndarray, out: np.ndarray
    ) -> None:
        """Put a box, which begins at `low` of the array, where it belongs in its images."""
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
