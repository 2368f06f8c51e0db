"""How an HDF5 dataset is cut into chunks. See `output.chunk_shape`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..output.chunk_shape import as_chunks, check_chunk, check_chunk_count, default_chunk

MAX_BYTES = (1 << 32) - 1  # HDF5 stores a chunk's size in 32 bits


def chunk_shape(
    chunks: object, shape: Sequence[int], itemsize: int, layout: str
) -> tuple[int, ...] | None:
    """The shape of a chunk in the dataset's axes, or None for a contiguous dataset.

    Parameters
    ----------
    chunks : None, False, True, 'auto' or sequence of int
        True and 'auto': about 1 MiB. In a series layout the whole time axis of neighbouring
        pixels, in an images layout whole frames.
    shape : sequence of int
        The dataset's.

    Raises
    ------
    ValueError
        When a chunk has another number of axes than the dataset, is larger than it along one,
        has 4 GiB or more, or is so small that there are too many.
    TypeError
        When `chunks` is none of the above.
    """
    if chunks is None or chunks is False:
        return None
    if as_chunks(chunks) is True:
        return default_chunk(tuple(shape), itemsize, layout)
    wanted = check_chunk(chunks, shape)
    if math.prod(wanted) * itemsize > MAX_BYTES:
        raise ValueError(f"chunks={wanted} of {itemsize}-byte values reach HDF5's limit of 4 GiB")
    count = math.prod(-(-whole // n) for n, whole in zip(wanted, shape, strict=True))
    check_chunk_count(wanted, count)
    return wanted
