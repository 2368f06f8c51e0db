"""Images whose planes are strewn among pages: of channels in turn, or of volumes with planes that
are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..core.ranges import consecutive
from .base import Handle, Header, Scratch
from .byte_ranges import copy_axes
from .places import Places

# What is read at once, unless more images lie in the same chunks.
BATCH_BYTES = 1 << 24


class PageHandle(Handle):
    """Images that another handle reads page by page.

    Parameters
    ----------
    path, header, scratch
        As `Handle`.
    inner : Handle
        Reads the pages as 2-D images. It is closed with this one.
    pages : (images, planes) int64 ndarray
        The number of the page of each plane of each image.
    """

    def __init__(
        self,
        path: str,
        header: Header,
        inner: Handle,
        pages: np.ndarray,
        scratch: Scratch | None = None,
    ) -> None:
        super().__init__(path, header, len(pages), scratch)
        self._inner = inner
        self._pages = pages
        self._stack = Scratch()  # not that of the inner handle, which takes it meanwhile
        self._places: Places | None = None

    def close(self) -> None:
        self._inner.close()

    def unwritten(self, start: int, stop: int) -> dict[str, int]:
        self._check_range(start, stop)
        pages, total = np.unique(self._pages[start:stop]), Counter[str]()
        for a, b in consecutive(pages):
            total.update(self._inner.unwritten(int(pages[a]), int(pages[b - 1]) + 1))
        return dict(total)

    def _find_places(self, start: int, stop: int) -> Places | None:
        """As those of the pages, where the planes of each image are evenly spaced."""
        pages = self._pages[start:stop]
        found = self._places or self._inner.places(0, self._inner.count)
        if found is None or found.planes > 1:
            return None
        self._places = found
        first = found.first[pages]
        steps = np.diff(first, axis=1)
        if (steps != steps[:, :1]).any():
            return None
        planes = pages.shape[1]
        stride = steps[:, 0] if planes > 1 else np.zeros(len(first), dtype=np.int64)
        return replace(found, first=first[:, 0], stride=stride, planes=planes)

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        self.read_images(np.arange(start, stop), out)

    def read_images(self, images: np.ndarray, out: np.ndarray) -> None:
        if len(images) == 0:
            return
        self._check_range(int(images[0]), int(images[-1]) + 1)
        grain = self.header.grain
        step = max(1, BATCH_BYTES // self.header.image_bytes // grain) * grain
        cuts = np.flatnonzero(np.diff(images // step, prepend=-1)).tolist()
        for a, b in zip(cuts, [*cuts[1:], len(images)], strict=True):
            self._read_pages(self._pages[images[a:b]], out[a:b])

    def read_part(self, images: np.ndarray, low: Sequence[int], out: np.ndarray) -> bool:
        if out.ndim == 3 or out.shape[3] == self.header.dims[2]:
            return False
        # The pages alone that are asked for.
        some = slice(low[2], low[2] + out.shape[3])
        box = tuple(slice(a, a + n) for a, n in zip(low[:2], out.shape[1:3], strict=True))
        whole = np.empty((1, *self.header.dims[:2], out.shape[3]), out.dtype)
        for image, volume in zip(images.tolist(), out, strict=True):
            self._read_pages(self._pages[image : image + 1, some], whole)
            volume[...] = whole[0][box]
        return True

    def _read_pages(self, pages: np.ndarray, out: np.ndarray) -> None:
        """Read images, whose planes have these pages, each page once and in the file's order."""
        wanted = pages.reshape(-1)
        order = np.argsort(wanted)
        if out.ndim == 3 and np.array_equal(order, np.arange(len(order))):
            self._inner.read_images(wanted, out)
            return
        stack = self._stack.take((len(wanted), *out.shape[1:3]), out.dtype)
        self._inner.read_images(wanted[order], stack)
        planes = pages.shape[1]
        if np.array_equal(order, np.arange(len(order))):
            whole = stack.reshape(len(pages), planes, *out.shape[1:3])
            for image, volume in zip(whole, out, strict=True):
                copy_axes(image, (1, 2, 0), volume)
            return
        for place, page in zip(order.tolist(), stack, strict=True):
            image, plane = divmod(place, planes)
            (out[image] if out.ndim == 3 else out[image, ..., plane])[...] = page


def page_header(header: Header, count: int, grain: int) -> Header:
    """The header of the handle that reads the pages of `header`'s images, of which so many are
    stored together."""
    layout = {**header.layout, "grain": grain}
    return replace(header, dims=header.dims[:2], count=count, layout=layout)


def page_grain(pages: np.ndarray, grain: int) -> int:
    """How many images lie in the same chunks, where so many pages in turn lie in one.

    The smallest number, such that no chunk has pages of images before a multiple of it and of
    images after that.
    """
    count, planes = pages.shape
    if grain == 1 or count < 2:
        return 1
    image = np.repeat(np.arange(count), planes)
    chunk = np.unique(pages.reshape(-1) // grain, return_inverse=True)[1]
    first = np.full(int(chunk.max()) + 1, count)
    last = np.zeros_like(first)
    np.minimum.at(first, chunk, image)
    np.maximum.at(last, chunk, image)
    # How many chunks reach over the border before each image.
    reach = np.cumsum(
        np.bincount(first + 1, minlength=count + 2) - np.bincount(last + 1, minlength=count + 2)
    )[:count]
    for step in np.flatnonzero(reach[1:] == 0) + 1:
        if not reach[step::step].any():
            return int(step)
    return int(count)
