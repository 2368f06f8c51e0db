"""NPY: one array in a file, in either memory order; nothing is ever unpickled.

The format is NumPy enhancement proposal 1 (numpy.lib.format).
"""

from __future__ import annotations

import math
import os
import warnings
from typing import NamedTuple

import numpy as np

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...errors import FormatError
from ..array_axes import (
    array_axes,
    array_pages,
    cut_array,
    image_shape,
    own_channel,
    page_sizes,
    require_kind,
    taken_shape,
)
from ..base import Handle, Header, Reader, Scratch
from ..byte_ranges import open_file
from ..options import Options
from ..page_handle import PageHandle, page_grain, page_header
from .array import FlatArray, FlatHandle, image_grain, scratch_bytes, whole_images

MAGIC = b"\x93NUMPY"


class NpyReader(Reader):
    """The reader of NPY files: a movie or an image each."""

    name = "npy"
    signatures = (MAGIC,)
    takes = frozenset(
        {"dims", "dtype", "nplanes", "nchannels", "order", "flyback", "channel", "axes",
         "incomplete"}
    )  # fmt: skip

    def inspect(self, path: str, options: Options) -> Header:
        array, found = _describe(path, options)
        _, shape, axes, stored, _ = array
        pages = array_pages(path, image_shape(shape, axes)[0], options)
        count, dims = taken_shape(shape, axes, pages)
        require_kind(path, dims, image_dtype(stored), options)
        grain = image_grain(shape, axes, stored.itemsize)
        layout = {"axes": axes, "grain": grain if pages is None else page_grain(pages, grain)}
        return Header(path, dims, image_dtype(stored), count, layout=layout, found=found)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        array, _ = _describe(path, options)
        pages = array_pages(path, image_shape(array.shape, array.axes)[0], options)
        count, dims = taken_shape(array.shape, array.axes, pages)
        header.require(path, dims, image_dtype(array.stored))
        if not self.multiple(options, header):
            header.require_count(path, count)
        if pages is None:
            return FlatHandle(path, header, array, scratch)
        number, _ = image_shape(array.shape, array.axes)
        grain = image_grain(array.shape, array.axes, array.stored.itemsize)
        inner = FlatHandle(path, page_header(header, number, grain), array, scratch)
        return PageHandle(path, header, inner, pages, scratch)

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def _describe(path: str, options: Options) -> tuple[FlatArray, JsonObject]:
    """The array as it lies in the file, and what is found of it (`Header.found`)."""
    head = _read_head(path)
    shape, stored = head.shape, head.stored
    image_dtype(stored, f"{path}: dtype")
    axes = array_axes(path, shape, options.axes, own_channel(options))
    if head.fortran:
        shape, axes = shape[::-1], axes[::-1]
    found: JsonObject = {"axes": page_sizes(shape, axes, options)}
    shape, axes = cut_array(path, shape, axes, options)
    need, values = math.prod(shape), head.value_bytes // stored.itemsize
    if values < need:
        if options.incomplete is None:
            raise FormatError(
                f"{path}: truncated: its array takes {need * stored.itemsize} bytes, but it has "
                f"{head.value_bytes}"
            )
        shape, axes = whole_images(shape, axes, values)
    return FlatArray(head.offset, shape, axes, stored, own_channel(options)), found


class _Head(NamedTuple):
    """What the header says, and how many bytes of values there are."""

    offset: int
    shape: tuple[int, ...]
    fortran: bool
    stored: np.dtype
    value_bytes: int


def _read_head(path: str) -> _Head:
    fd, size = open_file(path)
    with os.fdopen(fd, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            readers = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
                # As 2.0, but UTF-8: only the names of fields differ, and arrays of fields are
                # refused.
                (3, 0): np.lib.format.read_array_header_2_0,
            }
            if version not in readers:
                raise ValueError(f"version {version} is not known")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shape, fortran, stored = readers[version](file)
        except Exception as error:
            # The header is a Python literal: parsing a damaged one fails in many ways.
            raise FormatError(f"{path}: not an NPY file, or damaged: {error}") from None
        offset = file.tell()
    if stored.hasobject:
        raise FormatError(f"{path}: holds Python objects, which are never loaded")
    if any(n < 1 for n in shape):
        raise FormatError(f"{path}: has no images: its shape is {shape}")
    return _Head(offset, tuple(int(n) for n in shape), fortran, stored, max(0, size - offset))
