"""What the C code takes of arrays that have been checked."""

cimport numpy as cnp


cdef struct Rows:
    # k rows of m items, `stride` bytes apart.
    void *data
    size_t k
    size_t m
    ptrdiff_t stride


cdef inline void *data_of(array):
    """The address of the first item; NULL of None."""
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray>array)


cdef inline Rows rows_of(array):
    cdef Rows rows
    rows.data = cnp.PyArray_DATA(<cnp.ndarray>array)
    rows.k, rows.m, rows.stride = array.shape[0], array.shape[1], array.strides[0]
    return rows
