"""NPY: one array in a file, in either memory order; nothing is ever unpickled.

The format is NumPy enhancement proposal 1 (numpy.lib.format).
"""

from __future__ import annotations

import os
import warnings
from typing import NamedTuple

import numpy as np

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...errors import FormatError
from ..array_axes import array_axes, own_channel, page_sizes
from ..byte_ranges import open_file
from ..options import Options
from .array import FlatArray
from .array_reader import ArrayReader, fit_array

MAGIC = b"\x93NUMPY"


class NpyReader(ArrayReader):
    """The reader of NPY files: a movie or an image each."""

    name = "npy"
    signatures = (MAGIC,)

    def describe(self, path: str, options: Options) -> tuple[FlatArray, JsonObject]:
        head = read_head(path)
        image_dtype(head.stored, f"{path}: dtype")
        axes = array_axes(path, head.shape, options.axes, own_channel(options))
        shape = head.shape
        if head.fortran:
            shape, axes = shape[::-1], axes[::-1]
        found: JsonObject = {"axes": page_sizes(shape, axes, options)}
        array = FlatArray(head.offset, shape, axes, head.stored, own_channel(options))
        return fit_array(path, array, head.value_bytes, options), found


class NpyHead(NamedTuple):
    """What the header says, and how many bytes of values there are."""

    offset: int
    shape: tuple[int, ...]
    fortran: bool
    stored: np.dtype
    value_bytes: int


def read_head(path: str) -> NpyHead:
    """Read the header of an NPY file.

    Raises
    ------
    FormatError
        If it is damaged, empty, or holds Python objects.
    """
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
        raise FormatError(f"{path}: is empty: its shape is {shape}")
    return NpyHead(offset, tuple(int(n) for n in shape), fortran, stored, max(0, size - offset))
