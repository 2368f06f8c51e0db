"""Exact sums of pixels, of sums over boxes around them, and of their products."""

from libc.stdint cimport uint64_t

import numpy as np

from . cimport isa
from .arrays cimport Rows, data_of, rows_of
from . import checks

cdef extern from "mpimages.h":
    struct mpim_box:
        size_t dims[3]
        size_t reach[3]
    int mpim_box_limbs(int dtype, const mpim_box *box, uint64_t count)
    int mpim_add_boxes(int isa, int dtype, const void *batch, size_t k, ptrdiff_t stride,
                       const mpim_box *box, size_t first_row, size_t rows, uint64_t *sums,
                       ptrdiff_t sums_stride, int wide) nogil
    int mpim_box_correlation(const uint64_t *sums, ptrdiff_t sums_stride, int wide, size_t m,
                             uint64_t count, double *correlation) nogil


cdef int _fill(mpim_box *box, dims, reach) except -1:
    """Take over the dims of images and the reach of a box, each of 2 or 3 axes."""
    if len(dims) not in (2, 3) or len(reach) != len(dims):
        raise ValueError(f"dims and reach must have 2 or 3 axes each, not {dims} and {reach}")
    if min(dims) < 1 or min(reach) < 0:
        raise ValueError(f"dims must be at least 1, reach at least 0, not {dims} and {reach}")
    box.dims[2], box.reach[2] = 1, 0
    for axis, (n, r) in enumerate(zip(dims, reach)):
        box.dims[axis], box.reach[axis] = n, min(r, 1 << 31)
    return 0


def limbs(dtype, dims, reach, count):
    """How many 64-bit limbs the sums of products take, or 0 where there are no such sums.

    Parameters
    ----------
    dtype : dtype
    dims, reach : tuple of 2 or 3 ints
        Of an image; and how many pixels a box goes beyond its centre along each axis.
    count : int
        Of images.

    Returns
    -------
    int
        1 or 2; 0 for dtypes of more than 16 bits, for boxes whose sums exceed 32 bits, and for more
        than 2**32 images.
    """
    cdef mpim_box box
    _fill(&box, dims, reach)
    if np.dtype(dtype) not in (np.uint8, np.int8, np.uint16, np.int16) or count > 1 << 32:
        return 0
    return mpim_box_limbs(checks.code_of("the batch", np.dtype(dtype)), &box, count)


def add(batch, dims, reach, first_row, sums):
    """Add images to the exact sums of the pixels of some rows.

    Parameters
    ----------
    batch : (k, m) ndarray
        One image a row, u/int8 or u/int16; rows contiguous, at any distance.
    dims, reach : tuple of 2 or 3 ints
        As for `limbs`; m is the product of dims. Beyond its borders an image is reflected, the pixel
        at the border included.
    first_row : int
        The row of an image with which `sums` begin.
    sums : (5 or 7, n) ndarray of uint64
        Added to in place: the sums of x, x x, b, x b, b b, where x is a value (of signed ones with
        half of the range added) and b the sum over its box; then, of 7, the upper limbs of x b and
        b b. n is a multiple of the pixels of a row.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above; outputs that overlap.
    """
    batch = checks.rows("batch", batch)
    cdef mpim_box box
    _fill(&box, dims, reach)
    if not limbs(batch.dtype, dims, reach, 1):
        checks.code_of("batch", batch.dtype)
        raise TypeError(f"no exact sums over boxes of reach {reach} of {batch.dtype}")
    cdef int dtype = checks.code_of("batch", batch.dtype), status
    cdef size_t row = box.dims[1] * box.dims[2]
    if batch.shape[1] != box.dims[0] * row:
        raise ValueError(f"batch has images of {batch.shape[1]} pixels, dims are {dims}")
    if not isinstance(sums, np.ndarray) or sums.ndim != 2 or sums.shape[0] not in (5, 7):
        raise ValueError(f"sums must be an array of shape (5 or 7, n), not {np.shape(sums)}")
    sums = checks.output("sums", sums, sums.shape, np.uint64)
    if sums.strides[0] % 8:
        raise ValueError("sums are not aligned to their items")
    if first_row < 0 or sums.shape[1] % row or first_row + sums.shape[1] // row > box.dims[0]:
        raise ValueError(f"sums of {sums.shape[1]} pixels from row {first_row} on are no rows of "
                         f"images of dims {dims}")
    checks.apart({"sums": sums}, {"batch": batch})
    cdef Rows rows = rows_of(batch)
    cdef size_t first = first_row, count = sums.shape[1] // row
    cdef uint64_t *to = <uint64_t *>data_of(sums)
    cdef ptrdiff_t stride = sums.strides[0] // 8
    cdef int wide = sums.shape[0] == 7
    with nogil:
        status = mpim_add_boxes(isa.current(), dtype, rows.data, rows.k, rows.stride, &box, first,
                                count, to, stride, wide)
    checks.raise_for(status, "sums over boxes")


def correlation(sums, count, out):
    """The correlation of each pixel with its box, over all images.

    Parameters
    ----------
    sums : (5 or 7, n) ndarray of uint64
        As `add` leaves them; rows contiguous.
    count : int
        The images that were added, 1 ... 2**32.
    out : (n,) ndarray of float64
        Where to put it: -1 ... 1, within 3 ulp; NaN where a pixel or its box never changes.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape, layout or count that is not as above; out overlaps sums.
    """
    checks.rows("sums", sums)
    if sums.dtype != np.uint64:
        raise TypeError(f"sums must have dtype uint64, not {sums.dtype}")
    if sums.shape[0] not in (5, 7):
        raise ValueError(f"sums must have 5 or 7 rows, not {sums.shape[0]}")
    if not sums.flags.aligned or sums.strides[0] % 8:
        raise ValueError("sums are not aligned to their items")
    if not 1 <= count <= 1 << 32:
        raise ValueError(f"count must be 1 ... 2**32, not {count}")
    out = checks.output("out", out, sums.shape[1:], np.float64)
    checks.apart({"out": out}, {"sums": sums})
    cdef const uint64_t *data = <const uint64_t *>data_of(sums)
    cdef ptrdiff_t stride = sums.strides[0] // 8
    cdef int wide = sums.shape[0] == 7, status
    cdef size_t m = sums.shape[1]
    cdef uint64_t n = count
    cdef double *to = <double *>data_of(out)
    with nogil:
        status = mpim_box_correlation(data, stride, wide, m, n, to)
    checks.raise_for(status, "correlation")
