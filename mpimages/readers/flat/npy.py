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
from ...errors import FormatError
from ..array_axes import array_axes, cut_array, image_shape, require_kind
from ..base import Handle, Header, Reader, Scratch
from ..byte_ranges import open_file
from ..options import Options
from .array import FlatArray, FlatHandle, image_grain, scratch_bytes, whole_images

MAGIC = b"\x93NUMPY"


class NpyReader(Reader):
    """The reader of NPY files: a movie or an image each."""

    name = "npy"
    signatures = (MAGIC,)
    takes = frozenset({"dims", "dtype", "nplanes", "channel", "axes", "incomplete"})

    def inspect(self, path: str, options: Options) -> Header:
        _, shape, axes, stored, _ = _describe(path, options)
        count, dims = image_shape(shape, axes)
        require_kind(path, dims, image_dtype(stored), options)
        layout = {"axes": axes, "grain": image_grain(shape, axes, stored.itemsize)}
        return Header(path, dims, image_dtype(stored), count, layout=layout)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        array = _describe(path, options)
        count, dims = image_shape(array.shape, array.axes)
        header.require(path, dims, image_dtype(array.stored))
        if not self.multiple(options, header):
            header.require_count(path, count)
        return FlatHandle(path, header, array, scratch)

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def _describe(path: str, options: Options) -> FlatArray:
    """The array as it lies in the file."""
    head = _read_head(path)
    shape, stored = head.shape, head.stored
    image_dtype(stored, f"{path}: dtype")
    axes = array_axes(path, shape, options.axes, options.channel)
    if head.fortran:
        shape, axes = shape[::-1], axes[::-1]
    shape, axes = cut_array(path, shape, axes, options)
    need, values = math.prod(shape), head.value_bytes // stored.itemsize
    if values < need:
        if options.incomplete is None:
            raise FormatError(
                f"{path}: truncated: its array takes {need * stored.itemsize} bytes, but it has "
                f"{head.value_bytes}"
            )
        shape, axes = whole_images(shape, axes, values)
    return FlatArray(head.offset, shape, axes, stored, options.channel)


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
