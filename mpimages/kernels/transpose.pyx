"""Transposition of matrices."""

import numpy as np

from . cimport isa
from .arrays cimport Rows, data_of, rows_of
from . import checks

cdef extern from "mpimages.h":
    int mpim_transpose(int isa, size_t itemsize, const void *src, size_t n, size_t m,
                       ptrdiff_t src_stride, void *dst, ptrdiff_t dst_stride) nogil


def _check_items(src):
    if src.itemsize not in (1, 2, 4, 8) or src.dtype.hasobject:
        raise TypeError(f"src has dtype {src.dtype}; transpose takes items of 1, 2, 4 or 8 bytes")


def transpose(src, dst):
    """Write the transpose of src into dst.

    Parameters
    ----------
    src : (n, m) ndarray
        Items of 1, 2, 4 or 8 bytes, of any dtype without objects and of either byte order; rows
        contiguous, at any distance.
    dst : (m, n) ndarray
        Of the same dtype; rows contiguous, at any distance that keeps them apart.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above; dst overlaps src.
    """
    src = checks.rows("src", src)
    _check_items(src)
    dst = checks.output("dst", dst, src.shape[::-1], src.dtype)
    checks.apart({"dst": dst}, {"src": src})
    cdef Rows rows = rows_of(src), to = rows_of(dst)
    cdef size_t itemsize = src.itemsize
    cdef int status
    with nogil:
        status = mpim_transpose(isa.current(), itemsize, rows.data, rows.k, rows.m, rows.stride,
                                to.data, to.stride)
    checks.raise_for(status, "transpose")


def transpose_each(src, dst):
    """Write the transpose of each matrix of src into dst, one after the other.

    Parameters
    ----------
    src : (k, n, m) ndarray
        C-contiguous; items of 1, 2, 4 or 8 bytes, of any dtype without objects.
    dst : (k, m, n) ndarray
        Of the same dtype; each matrix C-contiguous, at any distance that keeps them apart.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above; dst overlaps src.
    """
    if not isinstance(src, np.ndarray):
        raise TypeError(f"src must be a numpy array, not {type(src).__name__}")
    if src.ndim != 3 or not src.flags.c_contiguous:
        raise ValueError(f"src must be C-contiguous on 3 axes, its shape is {src.shape}")
    _check_items(src)
    cdef size_t k = src.shape[0], n = src.shape[1], m = src.shape[2], itemsize = src.itemsize
    dst = checks.output("dst", dst, (k, m, n), src.dtype)
    if dst.size and not dst[0].flags.c_contiguous:
        raise ValueError(f"the matrices of dst must be C-contiguous: strides {dst.strides}")
    checks.apart({"dst": dst}, {"src": src})
    cdef const char *source = <const char *>data_of(src)
    cdef char *to = <char *>data_of(dst)
    cdef ptrdiff_t step = dst.strides[0]
    cdef int status = 0
    cdef size_t i
    with nogil:
        for i in range(k):
            status = mpim_transpose(isa.current(), itemsize, source + i * n * m * itemsize, n, m,
                                    m * itemsize, to + <ptrdiff_t>i * step, n * itemsize)
            if status:
                break
    checks.raise_for(status, "transpose")
