"""Boxes of images, where files can be read in part. Local."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence

import numpy as np

from ..core.timers import phase
from ..errors import FormatError
from ..kernels.runs import CHANGED, TRUNCATED, Paths, read_runs
from .base import Handle, Scratch
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
    runs = 1
    first, stride = places.first[numbers], places.stride[numbers]
    if places.planes > 1:
        runs, first = out.shape[3], first + low[2] * stride
    dims = handle.header.dims if places.planes == 1 else handle.header.dims[:2]
    # Of the rows either all columns are read, or those alone that are wanted, row by row.
    row, column = math.prod(dims[1:]), math.prod(dims[2:])
    item, wanted = out.dtype.itemsize, out.shape[2] * column
    alone = out.shape[1] == 1 or (row - wanted) * item >= RUN_BYTES
    begin, width = (low[1], out.shape[2]) if alone else (0, dims[1])
    rows = 1 if alone else min(out.shape[1], max(1, BAND_BYTES // (row * item)))
    # Where the box lies in what is read of a row.
    offsets = [low[1] - begin, *low[2 : len(dims)]]
    box = [slice(o, o + n) for o, n in zip(offsets, out.shape[2:], strict=False)]
    reading = _Plain(handle.path, places)
    most = max(1, BAND_BYTES // (runs * rows * width * column * item))
    scratch = Scratch()
    for a, top in itertools.product(range(0, len(out), most), range(0, out.shape[1], rows)):
        target = out[a : a + most, top : top + rows]
        shape = (len(target), runs, target.shape[1], width, *dims[2:])
        skip = ((low[0] + top) * row + begin * column) * item
        plain = target.shape == (shape[0], *shape[2:]) and target.flags.c_contiguous
        stored = target.reshape(shape) if plain else scratch.take(shape, out.dtype)
        images = slice(a, a + most)
        if not reading.read(first[images], stride[images], skip, stored):
            return False
        if places.planes > 1:
            target[...] = np.moveaxis(stored[:, :, :, *box], 1, -1)
        elif not plain:
            target[...] = stored[:, 0][:, :, *box]
    return True


class _Plain:
    """A file in which images, or planes, are runs of values in C order."""

    def __init__(self, path: str, places: Places) -> None:
        name = os.fsencode(path)
        self._path = path
        self._paths = Paths(b"", name, np.array([len(name)], dtype=np.int64))
        self._places = places

    def read(self, first: np.ndarray, stride: np.ndarray, skip: int, out: np.ndarray) -> bool:
        """Read the values from byte `skip` on of each run, which are so many as out has of one.

        Return False if the file is not that in which the places are.
        """
        places, count = self._places, len(out)
        none = np.zeros(count, dtype=np.int64)
        with phase("read", out.nbytes):
            failure = read_runs(
                self._paths, none, first, stride, none + places.size, none + places.modified,
                skip, not places.stored.isnative, out.reshape(count, out.shape[1], -1),
            )  # fmt: skip
        if failure is None:
            return True
        if failure[0] == CHANGED:
            return False
        raise_failure(self._path, failure[0], failure[2])
        return False


def raise_failure(path: str, status: int, number: int) -> None:
    """Raise the exception for runs of a file that could not be read."""
    if status == TRUNCATED:
        raise FormatError(
            f"{path}: truncated: it is shorter than when it was first looked at; restore it and "
            f"begin again"
        )
    if status == CHANGED:
        raise FormatError(
            f"{path}: changed since it was listed: its size or time of modification is another; "
            f"leave recordings alone while they are read, and begin again"
        )
    raise OSError(number, os.strerror(number), path)
