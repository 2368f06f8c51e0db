"""Flat binary images: headerless files, and beside them what says what they hold.

Thunder 0.x wrote ``{"dims": [...], "dtype": ...}`` and files in column-major order (axis 0
fastest), Thunder 1.x ``{"shape": [...], "dtype": ...}`` and row-major files. The name tells
which, in the conf.json and of the arguments, which win over it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.arguments import image_dtype
from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...errors import FormatError
from ..array_axes import array_axes, image_shape
from ..base import Handle, Header, Reader, Scratch, cut_planes
from ..byte_ranges import open_file
from ..options import Options
from ..page_order import PageOrder
from .array import FlatArray, FlatHandle, image_grain, scratch_bytes, whole_images
from .array_reader import fit_array
from .beside import PLANES, movie_metadata, plane_files
from .description import Description, describe
from .raw_pages import count_pages, is_paged, open_pages, page_order, plan_pages

if TYPE_CHECKING:
    from ..file_sets import FileSet


class StackReader(Reader):
    """The reader of flat binary images."""

    name = "stack"
    takes = frozenset(
        {
            "dims", "shape", "dtype", "nplanes", "nchannels", "order", "flyback", "channel", "axes",
            "incomplete", "confFilename",
        }
    )  # fmt: skip

    def inspect(self, path: str, options: Options) -> Header:
        described = describe(path, options)
        dtype = image_dtype(described.stored, f"{path}: dtype")
        if is_paged(described, options):
            return _inspect_pages(path, described, dtype, options)
        array = _array(path, described, options)
        count, dims = image_shape(array.shape, array.axes)
        layout: JsonObject = {"described": described}
        if described.axes is not None:
            grain = image_grain(array.shape, array.axes, array.stored.itemsize)
            layout |= {"axes": array.axes, "grain": grain}
        return Header(path, dims, dtype, count, layout=layout)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        described: Description = header.layout["described"]
        if described.order is not None and os.path.dirname(path) != os.path.dirname(header.path):
            described = describe(path, options)  # as it has a description of its own
        if is_paged(described, options):
            pages = plan_pages(path, described, options)
            header.require(path, _page_dims(described, pages), image_dtype(described.stored))
            return open_pages(path, header, described, pages, scratch)
        return FlatHandle(path, header, _array(path, described, options), scratch)

    def multiple(self, options: Options, header: Header) -> bool:
        described: Description = header.layout["described"]
        paged = is_paged(described, options) or described.axes is not None
        return paged or header.count != 1 or options.incomplete is not None

    def find_set(self, paths: Sequence[str], options: Options, complete: bool) -> FileSet | None:
        directory, name = os.path.split(paths[0])
        above = os.path.dirname(directory)
        if not complete or len(paths) < 2 or name != os.path.basename(PLANES):
            return None
        if list(paths) != plane_files(above):
            return None
        from ..file_sets import named_set
        from ..names import list_pattern

        named = list_pattern(above or ".", PLANES)
        found = named_set(self, named, replace(options, pattern=PLANES))
        told = movie_metadata(above, 3)
        told.pop("frameInterval", None)  # The rate is that of ops.npy.
        return replace(found, metadata=found.metadata | told)

    def count(self, path: str, options: Options, header: Header) -> int:
        described: Description = header.layout["described"]
        if is_paged(described, options) or options.incomplete is not None:
            return super().count(path, options, header)
        return header.count  # the dims, and so the planes, are those of every file

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def _inspect_pages(path: str, described: Description, dtype: np.dtype, options: Options) -> Header:
    """The header of a file that is pages one after the other."""
    pages = plan_pages(path, described, options)
    order = page_order(described, options)
    if len(pages) == 0:  # of whatever is dropped, an image must be left to say what they are
        cut_planes(path, count_pages(path, described) // order.channels, options)
    dims = _page_dims(described, pages)
    metadata = dict(described.metadata)
    if "pixelSize" in metadata:
        metadata["pixelSize"] = metadata["pixelSize"][: len(dims)]
    if described.planeInterval and order.planes and order.order == "CZT":
        metadata["frameInterval"] = described.planeInterval * order.planes
    sizes = {"C": order.channels, "Z": order.planes or pages.shape[1], "T": len(pages)}
    axes = {letter: sizes[letter] for letter in order.order if sizes[letter] > 1}
    layout = {"described": described}
    found = {**described.found, "axes": axes}
    fewer = _say_fewer(described, pages, order)
    if fewer:
        found["uncertain"] = [fewer]
    return Header(path, dims, dtype, len(pages), metadata, layout, found)


def _say_fewer(described: Description, pages: np.ndarray, order: PageOrder) -> str:
    """What the file leaves open where it has fewer images than a program meant to write."""
    meant = described.frames // order.planes if order.planes else 0
    if described.order is None or meant <= len(pages):
        return ""
    return (
        f"{meant} images were to be recorded, and {len(pages)} are there: it was stopped early, or "
        f"several were averaged; nchannels={order.channels} says that the pages are of so many "
        "channels"
    )


def _page_dims(described: Description, pages: np.ndarray) -> tuple[int, ...]:
    return described.dims + ((pages.shape[1],) if pages.shape[1] > 1 else ())


def _array(path: str, described: Description, options: Options) -> FlatArray:
    """The array in a file whose extent is known."""
    for name in ("nchannels", "order", "flyback", *(() if described.axes else ("channel",))):
        if getattr(options, name) is not None:
            raise ValueError(f"{path}: {name}={getattr(options, name)!r} {_no_pages(described)}")
    values = _count_values(path, described, options)
    if described.axes is not None:
        axes = array_axes(path, described.dims, described.axes, options.channel)
        array = FlatArray(described.offset, described.dims, axes, described.stored, options.channel)
        return fit_array(path, array, values * described.stored.itemsize, options)
    dims = described.dims
    pages = dims[2] if len(dims) == 3 else 1
    droppable = described.column_major and len(dims) == 3
    count, planes = cut_planes(path, pages, options, droppable)
    shape, axes = _layout(dims, count, planes, described.column_major, options.nplanes is not None)
    shape, axes = whole_images(shape, axes, values)
    return FlatArray(described.offset, shape, axes, described.stored)


def _no_pages(described: Description) -> str:
    if described.axes is not None:
        return f"means nothing for an array with the axes {described.axes}"
    if len(described.dims) == 3:
        return (
            "means nothing where shape= or dims= says all the pages of a file: give rows and "
            "columns alone, and nplanes="
        )
    return "means nothing where each file is one image: nplanes= says of how many pages images are"


def _count_values(path: str, described: Description, options: Options) -> int:
    """How many values a file has; FormatError where they are not those that were described."""
    fd, size = open_file(path)
    quietly(os.close, fd)
    need, size = described.page_bytes, size - described.offset
    if size > need or (size < need and options.incomplete is None):
        movie = len(described.dims) == 2 and described.axes is None and size % need == 0
        raise FormatError(
            f"{path}: dims {described.dims} and dtype {described.stored} take {need} bytes, but "
            f"the file has {max(0, size)}; correct conf.json, or give dims and dtype"
            f"{', or nplanes=1 if it is a movie' if movie and size > 0 else ''}"
        )
    return max(0, size) // described.stored.itemsize


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
