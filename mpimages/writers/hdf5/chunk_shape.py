"""How an HDF5 dataset is cut into chunks: the default, and what a user may ask for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...core.arguments import check_ints
from ...core.text import quote

TARGET_BYTES = 1 << 20
MAX_BYTES = (1 << 32) - 1  # HDF5 stores a chunk's size in 32 bits
MAX_CHUNKS = 1 << 24  # each costs a table entry on every rank, and HDF5 some microseconds


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
    try:
        wanted = check_ints(chunks, "chunks")
    except TypeError:
        raise TypeError(
            f"chunks must be True or 'auto', None, or one int per axis, got {quote(chunks)}"
        ) from None
    if len(wanted) != len(shape) or any(
        not 1 <= n <= whole for n, whole in zip(wanted, shape, strict=True)
    ):
        raise ValueError(
            f"chunks={wanted} does not fit a dataset of shape {tuple(shape)}: give for each of its "
            f"{len(shape)} axes a number from 1 to the axis' length"
        )
    if math.prod(wanted) * itemsize > MAX_BYTES:
        raise ValueError(f"chunks={wanted} of {itemsize}-byte values reach HDF5's limit of 4 GiB")
    count = math.prod(-(-whole // n) for n, whole in zip(wanted, shape, strict=True))
    if count > MAX_CHUNKS:
        raise ValueError(f"chunks={wanted} would make {count} chunks, more than {MAX_CHUNKS}")
    return wanted


def as_chunks(chunks: object) -> object:
    """`chunks`, with 'auto', the command's word and dask's, as True, h5py's."""
    return True if isinstance(chunks, str) and chunks == "auto" else chunks


def default_chunk(
    shape: tuple[int, ...], itemsize: int, layout: str, target: int = TARGET_BYTES
) -> tuple[int, ...]:
    """The chunk of about `target` bytes of an array; see `chunk_shape`."""
    # The axes are taken whole from the one that must not be cut, then the others from the last,
    # so that a chunk is one range of pixels: a block of pixels then covers whole chunks.
    axes = range(len(shape))
    order = [axes[-1], *axes[-2::-1]] if layout == "series" else [*axes[:0:-1], 0]
    kept = 1 if layout == "series" else len(shape) - 1
    chunk = [1] * len(shape)
    size = itemsize
    for place, axis in enumerate(order):
        limit = 256 * TARGET_BYTES if place < kept else target
        chunk[axis] = max(1, min(shape[axis], limit // size))
        size *= chunk[axis]
    return tuple(chunk)
