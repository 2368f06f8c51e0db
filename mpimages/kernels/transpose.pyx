"""Transposition of matrices."""

cimport numpy as cnp

import numpy as np

from . cimport isa
from . import checks

cnp.import_array()

cdef extern from "mpimages.h":
    int mpim_transpose(int isa, size_t itemsize, const void *src, size_t n, size_t m,
                       ptrdiff_t src_stride, void *dst, ptrdiff_t dst_stride) nogil


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
    if src.itemsize not in (1, 2, 4, 8) or src.dtype.hasobject:
        raise TypeError(f"src has dtype {src.dtype}; transpose takes items of 1, 2, 4 or 8 bytes")
    cdef size_t n = src.shape[0], m = src.shape[1], itemsize = src.itemsize
    dst = checks.output("dst", dst, (m, n), src.dtype)
    checks.apart({"dst": dst}, {"src": src})
    cdef const void *source = cnp.PyArray_DATA(<cnp.ndarray>src)
    cdef void *to = cnp.PyArray_DATA(<cnp.ndarray>dst)
    cdef ptrdiff_t src_stride = src.strides[0], dst_stride = dst.strides[0]
    cdef int clone = isa.current(), status
    with nogil:
        status = mpim_transpose(clone, itemsize, source, n, m, src_stride, to, dst_stride)
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
    if src.itemsize not in (1, 2, 4, 8) or src.dtype.hasobject:
        raise TypeError(f"src has dtype {src.dtype}; transpose takes items of 1, 2, 4 or 8 bytes")
    cdef size_t k = src.shape[0], n = src.shape[1], m = src.shape[2], itemsize = src.itemsize
    dst = checks.output("dst", dst, (k, m, n), src.dtype)
    if dst.size and not dst[0].flags.c_contiguous:
        raise ValueError(f"the matrices of dst must be C-contiguous: strides {dst.strides}")
    checks.apart({"dst": dst}, {"src": src})
    cdef const char *source = <const char *>cnp.PyArray_DATA(<cnp.ndarray>src)
    cdef char *to = <char *>cnp.PyArray_DATA(<cnp.ndarray>dst)
    cdef ptrdiff_t step = dst.strides[0]
    cdef int clone = isa.current(), status = 0
    cdef size_t i
    with nogil:
        for i in range(k):
            status = mpim_transpose(clone, itemsize, source + i * n * m * itemsize, n, m,
                                    m * itemsize, to + <ptrdiff_t>i * step, n * itemsize)
            if status:
                break
    checks.raise_for(status, "transpose")
