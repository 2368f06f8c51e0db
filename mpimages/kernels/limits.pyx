"""The memory's own speed, for the benchmarks: reading and copying, and nothing else."""

cimport numpy as cnp
from libc.stdint cimport uint64_t

import numpy as np

from . cimport isa
from . import checks

cnp.import_array()

cdef extern from "mpimages.h":
    uint64_t mpim_read_all(int isa, const void *data, size_t bytes) nogil
    void mpim_copy_all(int isa, const void *src, void *dst, size_t bytes) nogil


def read_all(array):
    """Read every byte of a C-contiguous array once; returns a number that depends on all."""
    if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
        raise ValueError("read_all takes a C-contiguous array")
    cdef const void *data = cnp.PyArray_DATA(<cnp.ndarray>array)
    cdef size_t size = array.nbytes
    cdef int clone = isa.current()
    cdef uint64_t result
    with nogil:
        result = mpim_read_all(clone, data, size)
    return result


def copy_all(src, dst):
    """Copy a C-contiguous array into another of the same size."""
    if not (isinstance(src, np.ndarray) and isinstance(dst, np.ndarray)
            and src.flags.c_contiguous and dst.flags.c_contiguous and dst.flags.writeable):
        raise ValueError("copy_all takes C-contiguous arrays, dst writeable")
    if src.nbytes != dst.nbytes:
        raise ValueError(f"src has {src.nbytes} bytes, dst {dst.nbytes}")
    checks.apart({"dst": dst}, {"src": src})
    cdef const void *data = cnp.PyArray_DATA(<cnp.ndarray>src)
    cdef void *to = cnp.PyArray_DATA(<cnp.ndarray>dst)
    cdef size_t size = src.nbytes
    cdef int clone = isa.current()
    with nogil:
        mpim_copy_all(clone, data, to, size)
