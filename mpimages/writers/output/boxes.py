"""Writing an n-dimensional box into an array that lies in a file in C order.

The one primitive below all writers: binary series, contiguous HDF5, the cells of chunked
HDF5, series-major and frame-major.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ...dims import covering_chunks
from ...kernels.runs import begin_writeback
from .files import PIECE_BYTES, read_run, write_all

# What must be converted is converted in pieces.
CONVERSION_BYTES = 1 << 24
# Runs of this length are on their way to the disk while the next is computed; of shorter ones the
# system makes longer ones first.
WRITEBACK_BYTES = 1 << 18


def write_box(
    descriptor: int, offset: int, shape: Sequence[int], start: Sequence[int], array: np.ndarray
) -> None:
    """Write `array` at `start` of the C-order array of `shape` that begins at byte `offset`.

    Parameters
    ----------
    descriptor : int
        Of a file that is open for writing; its position is neither used nor moved.
    offset : int
        Where the whole array begins in the file.
    shape, start : sequence of int
        Of the whole array, and the box's first element in it, along each axis.
    array : ndarray
        The box: any memory order and byte order; stored little-endian.

    Raises
    ------
    ValueError
        When the box does not lie in the array.
    OSError
        As the system reports it.

    Notes
    -----
    Axes that the box covers wholly merge with the one before: one write per contiguous run.
    """
    for place, run in _runs(offset, shape, start, array):
        write_run(descriptor, place, run)


def read_box(
    descriptor: int, offset: int, shape: Sequence[int], start: Sequence[int], array: np.ndarray
) -> bool:
    """Fill `array`, C-contiguous and little-endian, with what `write_box` wrote from one like it.

    Returns
    -------
    bool
        False where the file ends before.
    """
    return all(
        read_run(descriptor, run.reshape(-1).view(np.uint8).data, place)
        for place, run in _runs(offset, shape, start, array)
    )


def _runs(
    offset: int, shape: Sequence[int], start: Sequence[int], array: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """The parts of a box that are one run of the file each: where it begins, and its values."""
    if not len(shape) == len(start) == array.ndim:
        raise ValueError(f"a box of {array.ndim} axes at {start} of an array of {shape}")
    if any(a < 0 or a + n > whole for a, n, whole in zip(start, array.shape, shape, strict=True)):
        raise ValueError(f"a box of {array.shape} at {tuple(start)} leaves the array of {shape}")
    outer = array.ndim
    while outer > 0 and array.shape[outer - 1] == shape[outer - 1]:
        outer -= 1
    outer = max(0, outer - 1)  # the last axis that is covered in part still is one run
    strides = [array.itemsize * math.prod(shape[axis + 1 :]) for axis in range(array.ndim)]
    first = offset + sum(a * stride for a, stride in zip(start, strides, strict=True))
    for position in np.ndindex(array.shape[:outer]):
        run = first + sum(i * stride for i, stride in zip(position, strides, strict=False))
        yield run, array[position]


def chunk_parts(
    start: Sequence[int], array: np.ndarray, chunk: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], list[int], np.ndarray]]:
    """Cut a box of an array in chunks where the chunks end.

    Yields
    ------
    number : tuple of int
        Of a chunk along the axes.
    within : list of int
        Where the part begins in the chunk.
    part : ndarray
        A view of `array`, which is the box at `start`.
    """
    for number in covering_chunks(start, array.shape, chunk):
        corner = [i * c for i, c in zip(number, chunk, strict=True)]
        within = [max(a - o, 0) for a, o in zip(start, corner, strict=True)]
        # From where the box begins: the chunk may begin before it, and slices end with the array.
        place = [o - a for a, o in zip(start, corner, strict=True)]
        part = array[tuple(slice(max(p, 0), p + c) for p, c in zip(place, chunk, strict=True))]
        yield number, within, part


def write_run(descriptor: int, position: int, values: np.ndarray) -> None:
    """Write all of `values`, in C order and little-endian, at byte `position`."""
    for piece in little_pieces(values):
        data = piece.view(np.uint8).data
        write_all(descriptor, data, position)
        if len(data) >= WRITEBACK_BYTES:
            begin_writeback(descriptor, position, len(data))
        position += len(data)


def little_pieces(values: np.ndarray) -> Iterator[np.ndarray]:
    """`values` as flat little-endian arrays of bounded size; copies only what it must."""
    stored = values.dtype.newbyteorder("<")
    if values.flags.c_contiguous and values.dtype == stored:
        flat = values.reshape(-1)
        step = max(1, PIECE_BYTES // values.itemsize)
        for start in range(0, flat.size, step):
            yield flat[start : start + step]
    elif values.nbytes <= CONVERSION_BYTES or values.ndim == 0:
        yield np.ascontiguousarray(values, dtype=stored).reshape(-1)
    else:
        per_item = values.nbytes // len(values)
        if per_item > CONVERSION_BYTES:
            for item in values:
                yield from little_pieces(item)
            return
        step = CONVERSION_BYTES // per_item
        for start in range(0, len(values), step):
            yield from little_pieces(values[start : start + step])
