"""CaImAn's memory-mapped movies: float32 values alone; the name says what they are.

As its documentation has it, the file is a matrix of pixels by frames in the memory order that the
name gives, and the pixels of a frame run with the first axis the fastest.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace

import numpy as np

from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...errors import FormatError
from ..base import Header
from ..byte_ranges import open_file
from ..options import Options
from .array import FlatArray
from .array_reader import ArrayReader, fit_array
from .beside import movie_metadata

NAME = re.compile(r"_d1_(\d+)_d2_(\d+)_d3_(\d+)_order_([CF])_frames_(\d+)_?\.mmap", re.IGNORECASE)
STORED = np.dtype("<f4")


class MmapReader(ArrayReader):
    """The reader of CaImAn's files: a movie of images or volumes each."""

    name = "mmap"
    takes = frozenset({"dims", "dtype", "incomplete"})

    def inspect(self, path: str, options: Options) -> Header:
        header = super().inspect(path, options)
        return replace(header, metadata=movie_metadata(os.path.dirname(path), len(header.dims)))

    def describe(self, path: str, options: Options) -> tuple[FlatArray, JsonObject]:
        found = NAME.search(os.path.basename(path))
        if found is None:
            raise FormatError(
                f"{path}: its name does not say what it holds, as CaImAn's do: "
                "NAME_d1_512_d2_512_d3_1_order_F_frames_3000_.mmap; name it so again, or say it "
                "by inputFormat='stack' with dtype= and dims= or shape="
            )
        rows, columns, planes, frames = (int(found[i]) for i in (1, 2, 3, 5))
        if 0 in (rows, columns, planes, frames):
            raise FormatError(f"{path}: has no images, as its name says")
        pixels: tuple[int, ...] = (planes, columns, rows)
        letters = "ZXY"
        if planes == 1:
            pixels, letters = pixels[1:], letters[1:]
        frames_last = found[4].upper() == "C"
        shape = (*pixels, frames) if frames_last else (frames, *pixels)
        axes = letters + "T" if frames_last else "T" + letters
        fd, size = open_file(path)
        quietly(os.close, fd)
        array = FlatArray(0, shape, axes, STORED)
        need = math.prod(shape) * STORED.itemsize
        if size > need:
            raise FormatError(
                f"{path}: its name says {need} bytes of float32, but it has {size}: it was "
                "renamed, or is of another dtype"
            )
        told = {"T": frames} if planes == 1 else {"Z": planes, "T": frames}
        return fit_array(path, array, size, options), {"program": "CaImAn", "axes": told}
