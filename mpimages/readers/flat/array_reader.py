"""What the readers of files that are one array each have in common."""

from __future__ import annotations

import math
from abc import abstractmethod

from ...core.arguments import image_dtype
from ...core.json_types import JsonObject
from ...errors import FormatError
from ..array_axes import array_pages, cut_array, image_shape, require_kind, taken_shape
from ..base import Handle, Header, Reader, Scratch
from ..options import Options
from ..page_handle import PageHandle, page_grain, page_header
from .array import FlatArray, FlatHandle, image_grain, scratch_bytes, whole_images


class ArrayReader(Reader):
    """A reader of files that hold one array each, with time along any of its axes."""

    takes = frozenset(
        {
            "dims", "dtype", "nplanes", "nchannels", "order", "flyback", "channel", "axes",
            "incomplete",
        }
    )  # fmt: skip

    @abstractmethod
    def describe(self, path: str, options: Options) -> tuple[FlatArray, JsonObject]:
        """The array as it lies in the file, and what was `found`, as in `Header`."""

    def inspect(self, path: str, options: Options) -> Header:
        array, found = self.describe(path, options)
        pages = array_pages(path, image_shape(array.shape, array.axes)[0], options)
        count, dims = taken_shape(array.shape, array.axes, pages)
        dtype = image_dtype(array.stored)
        require_kind(path, dims, dtype, options)
        grain = image_grain(array.shape, array.axes, array.stored.itemsize)
        grain = grain if pages is None else page_grain(pages, grain)
        return Header(
            path, dims, dtype, count, layout={"axes": array.axes, "grain": grain}, found=found
        )

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        array, _ = self.describe(path, options)
        number, _ = image_shape(array.shape, array.axes)
        pages = array_pages(path, number, options)
        count, dims = taken_shape(array.shape, array.axes, pages)
        header.require(path, dims, image_dtype(array.stored))
        if not self.multiple(options, header):
            header.require_count(path, count)
        if pages is None:
            return FlatHandle(path, header, array, scratch)
        grain = image_grain(array.shape, array.axes, array.stored.itemsize)
        inner = FlatHandle(path, page_header(header, number, grain), array, scratch)
        return PageHandle(path, header, inner, pages, scratch)

    def scratch_bytes(self, header: Header) -> int:
        return scratch_bytes(header)


def fit_array(path: str, array: FlatArray, value_bytes: int, options: Options) -> FlatArray:
    """The array, cut into images as nplanes says, and without those that are not whole.

    Parameters
    ----------
    path : str
    array : FlatArray
    value_bytes : int
        How many bytes of values the file has.
    options : Options

    Raises
    ------
    FormatError
        If the file has fewer values, and images that are not whole are not to be dropped.
    ValueError
        If nplanes does not fit the axes, or records cannot have the dtype.
    """
    image_dtype(array.stored, f"{path}: dtype")
    shape, axes = cut_array(path, array.shape, array.axes, options)
    item = array.stored.itemsize
    need, values = math.prod(shape), value_bytes // item
    if values < need:
        if options.incomplete is None:
            raise FormatError(
                f"{path}: truncated: its array takes {need * item} bytes, but it has {value_bytes}"
            )
        shape, axes = whole_images(shape, axes, values)
    return array._replace(shape=shape, axes=axes)
