"""Boxes of images, where files can be read in part. Local."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ..core.cleanup import quietly
from .base import Handle, Scratch
from .byte_ranges import byteswap, open_status, read_into
from .flat.array import BAND_BYTES, RUN_BYTES
from .places import Places

# Of images that are stored together so much is read at once.
GROUP_BYTES = 1 << 27


def read_box(handle: Handle, images: np.ndarray, low: Sequence[int], out: np.ndarray) -> None:
    """Read the same box of several images.

    Parameters
    ----------
    handle : Handle
    images : ascending ints
        Numbers of images in the file.
    low : sequence of int
        Where in an image the box begins.
    out : (len(images),) + extent ndarray of the header's dtype
        C-contiguous; any memory.

    Notes
    -----
    Of images that are stored plainly the rows of the box are read, or the parts of them. A
    handle that can reads the chunks in which the box lies (`Handle.read_part`). Otherwise whole
    images are read, one or a stored group of them at a time.
    """
    dims = handle.header.dims
    if len(images) == 0 or out.size == 0:
        return
    if out.shape[1:] == dims:
        handle.read_images(images, out)
        return
    first, last = int(images[0]), int(images[-1])
    places = handle.places(first, last + 1)
    if places is not None and _read_placed(handle, places, images - first, low, out):
        return
    if handle.read_part(images, low, out):
        return
    box = tuple(slice(a, a + n) for a, n in zip(low, out.shape[1:], strict=True))
    grain, size = handle.header.grain, handle.header.image_bytes
    step = max(1, BAND_BYTES // size // grain) * grain
    step = min(step, max(1, GROUP_BYTES // size))
    cuts = np.flatnonzero(np.diff(images // step, prepend=-1)).tolist()
    whole = Scratch()
    for a, b in zip(cuts, [*cuts[1:], len(images)], strict=True):
        batch = whole.take((b - a, *dims), out.dtype)
        handle.read_images(images[a:b], batch)
        out[a:b] = batch[:, *box]


def _read_placed(
    handle: Handle, places: Places, numbers: np.ndarray, low: Sequence[int], out: np.ndarray
) -> bool:
    """Read boxes of images that are stored plainly; `numbers` are their places in `places`.

    Return False if they lie in another file than the handle's.
    """
    path, planes = handle.path, places.planes
    fd, status = open_status(path)
    try:
        if (status.st_size, status.st_mtime_ns) != (places.size, places.modified):
            return False
        reading = _Runs(fd, path, places.stored, handle.header.dims)
        begins, strides = places.first[numbers].tolist(), places.stride[numbers].tolist()
        for begin, stride, image in zip(begins, strides, out, strict=True):
            if planes == 1:
                reading.read(begin, low, image)
                continue
            for k in range(image.shape[2]):
                reading.read(begin + (low[2] + k) * stride, low[:2], image[..., k])
        return True
    finally:
        quietly(os.close, fd)


class _Runs:
    """A file in which images, or planes, are runs of values in C order."""

    def __init__(self, fd: int, path: str, stored: np.dtype, dims: tuple[int, ...]) -> None:
        self._fd = fd
        self._path = path
        self._stored = stored
        self._dims = dims
        self._scratch = Scratch()

    def read(self, begin: int, low: Sequence[int], out: np.ndarray) -> None:
        """Read a box, which begins at `low`, of the run at byte `begin`."""
        inner = self._dims[1 : out.ndim]
        row, item = int(np.prod(inner)), out.dtype.itemsize
        wanted = int(np.prod(out.shape[1:]))
        # Rows of which little is wanted are read one by one.
        step = 1 if (row - wanted) * item >= RUN_BYTES else max(1, BAND_BYTES // (row * item))
        before = int(np.ravel_multi_index(tuple(low[1:]), inner))
        last = [a + n - 1 for a, n in zip(low[1:], out.shape[1:], strict=True)]
        behind = int(np.ravel_multi_index(last, inner)) + 1
        box = tuple(slice(a, b + 1) for a, b in zip(low[1:], last, strict=True))
        for first in range(0, len(out), step):
            rows = out[first : first + step]
            stored = self._scratch.take((len(rows), *inner), out.dtype)
            run = stored.reshape(-1)[before : (len(rows) - 1) * row + behind]
            read_into(self._fd, begin + ((low[0] + first) * row + before) * item, run, self._path)
            byteswap(run, self._stored)
            rows[...] = stored[:, *box]
