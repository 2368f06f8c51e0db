"""Flat binary files that are pages one after the other, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ...core.cleanup import quietly
from ...errors import FormatError
from ..base import Handle, Header, Scratch, cut_planes
from ..byte_ranges import open_file
from ..options import ALL_PLANES, Options
from ..page_handle import PageHandle, page_header
from ..page_order import PageOrder, choose_channel, choose_pages
from .array import FlatArray, FlatHandle
from .description import Description

# What says of how the pages of a file take turns.
ORDERING = ("nplanes", "nchannels", "order", "flyback")


def open_pages(
    path: str,
    header: Header,
    described: Description,
    pages: np.ndarray,
    scratch: Scratch | None = None,
) -> Handle:
    """The images of a file of pages. See `Handle`."""
    count = count_pages(path, described)
    axes = "TXY" if described.column_major else "TYX"
    shape = (count, *(described.dims[::-1] if described.column_major else described.dims))
    array = FlatArray(described.offset, shape, axes, described.stored)
    inner = FlatHandle(path, page_header(header, count, 1), array, scratch)
    return PageHandle(path, header, inner, pages, scratch)


def is_paged(described: Description, options: Options) -> bool:
    """Whether a file is pages one after the other, as many as it has."""
    if len(described.dims) != 2 or described.axes is not None:
        return False
    return described.order is not None or any(
        getattr(options, name) is not None for name in ORDERING[:2]
    )


def page_order(described: Description, options: Options) -> PageOrder:
    """How the pages of a file take turns: the arguments win over what a program says."""
    said = described.order or PageOrder()
    planes, flyback = said.planes, said.flyback
    if options.nplanes is not None:
        planes, flyback = 0, ()
        if options.nplanes != ALL_PLANES:
            planes = int(options.nplanes)
    channels = said.channels if options.nchannels is None else options.nchannels
    return PageOrder(options.order or said.order, channels, planes, flyback)


def plan_pages(path: str, described: Description, options: Options) -> np.ndarray:
    """(images, planes): the numbers of the pages that each image has.

    Raises
    ------
    FormatError
        If the file ends within a page or an image, and that is not to be dropped, or has another
        number of pages than was said.
    ValueError
        If the arguments do not fit.
    """
    size = _size(path) - described.offset
    pages, left = divmod(max(0, size), described.page_bytes)
    if pages == 0 or (left and options.incomplete is None):
        raise FormatError(
            f"{path}: pages of shape {described.dims} and dtype {described.stored} take "
            f"{described.page_bytes} bytes each, and the file has {max(0, size)}: "
            f"{left} are left over; correct its description, or give shape= (or dims=) and dtype="
        )
    order = page_order(described, options)
    if options.order is not None and order.channels == 1 and order.planes == 1:
        raise ValueError(
            f"{path}: order={options.order!r} means nothing for pages of one channel and one plane"
        )
    channel = _choose(path, order.channels, described, options)
    _require_count(path, pages, described, options)
    return _plan(path, pages, channel, order, options)


def count_pages(path: str, described: Description) -> int:
    """How many whole pages a file has."""
    return max(0, _size(path) - described.offset) // described.page_bytes


def _size(path: str) -> int:
    fd, size = open_file(path)
    quietly(os.close, fd)
    return size


@lru_cache(maxsize=2)  # a long movie is opened for every batch
def _plan(path: str, pages: int, channel: int, order: PageOrder, options: Options) -> np.ndarray:
    if isinstance(options.nplanes, int):
        cut_planes(path, pages // order.channels, options, droppable=True)
    if options.flyback is None and order.flyback:
        options = replace(options, flyback=order.flyback)
    planned = choose_pages(path, order.table(pages), channel, options, order.planes)
    if pages % order.channels and options.incomplete is None:
        raise ValueError(
            f"{path}: its {pages} pages are not of {order.channels} channels each: "
            f"the last {pages % order.channels} are left over"
        )
    planned.flags.writeable = False
    return planned


def _choose(path: str, channels: int, described: Description, options: Options) -> int:
    if options.channel is not None and options.nchannels is None and described.order is None:
        raise ValueError(
            f"{path}: channel={options.channel} means nothing where nothing says of channels; "
            "nchannels= says how many the pages are of"
        )
    return choose_channel(path, channels, options.channel)


def _require_count(path: str, pages: int, described: Description, options: Options) -> None:
    """Compare the pages with those that a program meant to write, where it alone is asked."""
    if not described.frames or described.order is None:
        return
    if any(getattr(options, name) is not None for name in (*ORDERING, "dims", "shape", "dtype")):
        return
    order = described.order
    expected = {described.frames * order.channels, described.frames * order.cycle}
    stopped = described.stoppable or options.incomplete is not None
    if pages in expected or (pages < min(expected) and stopped):
        return
    planes = order.planes - len(order.flyback)
    raise FormatError(
        f"{path}: it has {pages} pages, but what {described.found['program']} wrote beside it "
        f"says {min(expected)}, of {order.channels} channels, {planes} planes and "
        f"{len(order.flyback)} more of flyback; nchannels= and nplanes= say how many there "
        "are, shape= and dtype= what a page is"
    )
