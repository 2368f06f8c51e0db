"""How arrays of HDF5 and Zarr are cut into chunks: the default, and what a user may ask for."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.arguments import check_ints
from ...core.text import quote

__all__ = ["TARGET_BYTES", "as_chunks", "check_chunk", "check_chunk_count", "default_chunk"]

TARGET_BYTES = 1 << 20
MAX_CHUNKS = 1 << 24  # each costs a table entry on every rank, and HDF5 some microseconds


def check_chunk(chunks: object, shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of a chunk that was asked for, if an array of `shape` can have it.

    Raises
    ------
    ValueError
        When it has another number of axes than the array, or is larger than it along one.
    TypeError
        When it is no sequence of int.
    """
    try:
        wanted = check_ints(chunks, "chunks")
    except TypeError:
        raise TypeError(
            f"chunks must be None, True, 'auto' or one int per axis, got {quote(chunks)}"
        ) from None
    if len(wanted) != len(shape) or any(
        not 1 <= n <= whole for n, whole in zip(wanted, shape, strict=True)
    ):
        raise ValueError(
            f"chunks={wanted} does not fit an array of shape {tuple(shape)}: give for each of its "
            f"{len(shape)} axes a number from 1 to the axis' length"
        )
    return wanted


def check_chunk_count(chunk: Sequence[int], count: int) -> None:
    """Raise ValueError if so many chunks are too many."""
    if count > MAX_CHUNKS:
        raise ValueError(f"chunks={tuple(chunk)} would make {count} chunks, more than {MAX_CHUNKS}")


def as_chunks(chunks: object) -> object:
    """`chunks`, with 'auto', the command's word and dask's, as True, h5py's."""
    return True if isinstance(chunks, str) and chunks == "auto" else chunks


def default_chunk(
    shape: tuple[int, ...], itemsize: int, layout: str, target: int = TARGET_BYTES
) -> tuple[int, ...]:
    """The chunk of about `target` bytes of an array.

    In a series layout the whole time axis of neighbouring pixels, in an images layout whole frames.
    """
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
