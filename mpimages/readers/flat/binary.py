"""Flat binary images: a directory of headerless files, one image each, and conf.json.

Thunder 0.x wrote ``{"dims": [...], "dtype": ...}`` and files in column-major order (axis 0
fastest), Thunder 1.x ``{"shape": [...], "dtype": ...}`` and row-major files. The name tells
which, in the conf.json and of the arguments, which win over it.
"""

from __future__ import annotations

import math
import os

import numpy as np

from ...core.arguments import check_dims, check_dtype, image_dtype
from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...errors import FormatError, not_found
from ...formats.output_names import CONF
from ..array_axes import image_shape
from ..base import Handle, Header, Reader, Scratch, cut_planes
from ..byte_ranges import open_file, read_conf
from ..options import Options
from .array import FlatArray, FlatHandle, scratch_bytes, whole_images


class StackReader(Reader):
    """The reader of flat binary images."""

    name = "stack"
    takes = frozenset({"dims", "shape", "dtype", "nplanes", "incomplete", "confFilename"})
    several = False  # but those that the dims of all files are cut into

    def inspect(self, path: str, options: Options) -> Header:
        conf_path = os.path.join(os.path.dirname(path), options.confFilename)
        conf = read_conf(conf_path)
        if conf is None and options.confFilename != CONF:
            raise not_found(conf_path, f"{conf_path}: confFilename= names it, and it is not there")
        dims, stored, column_major = _describe(path, conf_path, conf, options)
        values = _count_values(path, dims, stored, options)
        pages = dims[2] if len(dims) == 3 else 1
        droppable = column_major and len(dims) == 3
        count, planes = cut_planes(path, pages, options, droppable)
        shape, axes = _layout(dims, count, planes, column_major, options.nplanes is not None)
        extent = dict(zip(axes, shape, strict=True))
        image = tuple(extent[axis] for axis in "YXZ" if axis in extent)
        layout = {"shape": shape, "axes": axes, "stored": stored.str, "dims": dims}
        count, _ = image_shape(*whole_images(shape, axes, values))
        return Header(path, image, image_dtype(stored), count, {}, layout)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        stored = np.dtype(header.layout["stored"])
        values = _count_values(path, header.layout["dims"], stored, options)
        shape, axes = whole_images(header.layout["shape"], header.layout["axes"], values)
        return FlatHandle(path, header, FlatArray(0, shape, axes, stored), scratch)

    def multiple(self, options: Options, header: Header) -> bool:
        return header.count != 1 or options.incomplete is not None

    def count(self, path: str, options: Options, header: Header) -> int:
        if options.incomplete is not None:
            return super().count(path, options, header)
        return header.count  # the dims, and so the planes, are those of every file

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def _describe(
    path: str, conf_path: str, conf: JsonObject | None, options: Options
) -> tuple[tuple[int, ...], np.dtype, bool]:
    """(dims, stored dtype, whether column-major) of a file."""
    found = {} if conf is None else conf
    if "nkeys" in found or found.get("format") == "mpimages-series":
        raise ValueError(
            f"{conf_path}: describes a Series, not images: loadSeries loads it, and "
            "`mpimages info`, `view` and `verify` take its directory"
        )
    key = "dims" if "dims" in found else "shape"
    given = options.dims or options.shape
    if "dims" in found and "shape" in found and found["shape"] != found["dims"]:
        raise FormatError(
            f"{conf_path}: its dims {found['dims']} and shape {found['shape']} "
            "contradict each other"
        )
    try:
        dims = given or (check_dims(found[key], key) if key in found else None)
        dtype = options.dtype or (
            check_dtype(found["dtype"], "dtype") if "dtype" in found else None
        )
    except (TypeError, ValueError) as error:
        raise FormatError(f"{conf_path}: {error}") from None
    if dims is None or dtype is None:
        missing = " and ".join(
            f"{name}=" for name, value in (("dims", dims), ("dtype", dtype)) if value is None
        )
        where = f"{conf_path} does not exist" if conf is None else f"{conf_path} does not say"
        raise ValueError(
            f"{path}: flat binary files need {missing}, and {where}"
            f"{'' if dims else ': give dims= where the first axis is the fastest, else shape='}"
        )
    return dims, dtype, options.dims is not None if given else key == "dims"


def _count_values(path: str, dims: tuple[int, ...], stored: np.dtype, options: Options) -> int:
    """How many values a file has; FormatError where they are not those of `dims`."""
    fd, size = open_file(path)
    quietly(os.close, fd)
    need = math.prod(dims) * stored.itemsize
    if size > need or (size < need and options.incomplete is None):
        raise FormatError(
            f"{path}: dims {tuple(dims)} and dtype {stored} take {need} bytes, but the file has "
            f"{size}; correct conf.json, or give dims and dtype"
        )
    return size // stored.itemsize


def _layout(
    dims: tuple[int, ...], count: int, planes: int, column_major: bool, cut: bool
) -> tuple[tuple[int, ...], str]:
    """The shape and axes of the array in the file, slowest first."""
    if len(dims) == 2:
        pages: tuple[int, ...] = ()
        page_axes = ""
    elif not cut:
        pages, page_axes = (dims[2],), "Z"
    elif planes == 1:
        pages, page_axes = (count,), "T"
    else:
        pages, page_axes = (count, planes), "TZ"
    if column_major:
        return (*pages, dims[1], dims[0]), page_axes + "XY"
    return (*dims[:2], *pages), "YX" + page_axes
