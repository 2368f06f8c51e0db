"""One pixel of all images of a recording, without reading the others where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from ..bands import FileBands
from ..collective import Together, allgather_rows, allreduce
from ..sources import FileSource

if TYPE_CHECKING:
    from ..images import Images

__all__ = ["pixel_of"]

ACTION = "mpimages view"


def pixel_of(images: Images, pixel: tuple[int, ...]) -> np.ndarray:
    """The series of a pixel, (T,) in the images' dtype, on every rank. Collective.

    Of files that store their images plainly a few bytes each are read; of others all is.
    """
    assert images.dims is not None
    chain = images._settle(ACTION)
    comm, workspace = images._session.comm, images._session.workspace
    partition = chain.partition(comm.size)
    start, stop = partition.bounds(comm.rank)
    bands: FileBands | None = None
    with Together(comm, ACTION):
        assert isinstance(chain.source, FileSource)
        assert chain.positions is not None
        bands = FileBands.survey(chain.source, chain.positions[start:stop], workspace)
    found = np.array([bands is not None], dtype=np.int64)
    if not allreduce(comm, found, MPI.MIN)[0]:
        one = images.crop(pixel, [i + 1 for i in pixel])
        return one.toArray().reshape(-1)
    own = np.empty(stop - start, chain.dtype)
    with Together(comm, ACTION):
        assert bands is not None
        number = int(np.ravel_multi_index(pixel, images.dims.count))
        first = number // bands.grain * bands.grain
        read = np.empty((stop - start, bands.grain), bands.dtype)
        if stop > start:
            bands.begin(first, first + bands.grain, read).finish()
        own[:] = read[:, number - first]
    return allgather_rows(comm, own, partition)
