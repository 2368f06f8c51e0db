"""One pixel of all images of a recording, without reading the others where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..exchange.bands import survey
from ..spmd.agreement import allgather_rows

if TYPE_CHECKING:
    from ..images import Images

__all__ = ["pixel_of"]


def pixel_of(images: Images, pixel: tuple[int, ...]) -> np.ndarray:
    """The series of a pixel, (T,) in the images' dtype, on every rank. Collective.

    Of files that store their images plainly a few bytes each are read; of others all is.
    """
    begun, selection = images.records.begin("view")
    known = begun.require_settled(selection)
    bands = survey(begun, known)
    if bands is None:
        one = images.crop(pixel, [i + 1 for i in pixel])
        return one.toArray().reshape(-1)
    own = np.empty(bands.count, known.dtype)
    with begun.together():
        number = int(np.ravel_multi_index(pixel, known.dims))
        first = number // bands.grain * bands.grain
        read = np.empty((bands.count, bands.grain), bands.dtype)
        if bands.count:
            bands.begin(first, first + bands.grain, read).finish()
        own[:] = read[:, number - first]
    return allgather_rows(begun.comm, own, known.partition)
