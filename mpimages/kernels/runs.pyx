"""The same byte range of many files, read without the interpreter; byte swapping;
write-back of runs to the disk."""

from libc.stdint cimport int32_t, int64_t

import numpy as np

from .arrays cimport data_of

from . import checks

cdef extern from "mpimages.h":
    enum:
        MPIM_OK
        MPIM_TRUNCATED
        MPIM_CHANGED
        MPIM_SYSTEM
        MPIM_KEEP
        MPIM_OPEN

    struct mpim_paths:
        const char *common
        size_t common_bytes
        const char *tails
        const int64_t *ends
        size_t longest

    struct mpim_places:
        const int64_t *path
        const int64_t *first
        const int64_t *stride
        const int64_t *size
        const int64_t *modified
        int32_t *kept

    struct mpim_failure:
        size_t record
        int error

    int mpim_read_runs(const mpim_paths *paths, const mpim_places *places, size_t n, size_t runs,
                       size_t skip, size_t length, size_t swap, void *out,
                       mpim_failure *failure) nogil
    void mpim_begin_writeback(int fd, int64_t offset, int64_t size) nogil
    void mpim_swap(size_t itemsize, void *items, size_t n) nogil

TRUNCATED, CHANGED, SYSTEM = MPIM_TRUNCATED, MPIM_CHANGED, MPIM_SYSTEM
KEEP, OPEN = MPIM_KEEP, MPIM_OPEN


cdef class Paths:
    """Many paths, as bytes.

    Parameters
    ----------
    common : bytes
        What all begin with.
    tails : bytes
        The rest of each, one after the other.
    ends : (n,) int64 ndarray
        Where each rest ends in `tails`.

    Raises
    ------
    TypeError, ValueError
        Something that is not as above.
    """

    cdef mpim_paths _paths
    cdef Py_ssize_t _count
    cdef object _kept

    def __init__(self, bytes common not None, bytes tails not None, ends):
        cdef const int64_t[::1] places = _numbers("ends", ends, None)
        lengths = np.diff(ends, prepend=0)
        if len(ends) and ((lengths < 0).any() or ends[-1] != len(tails)):
            raise ValueError(f"ends must ascend to {len(tails)}, the length of tails")
        if b"\0" in common or b"\0" in tails:
            raise ValueError("a path has a zero byte")
        self._kept = common, tails, ends
        self._count = len(ends)
        self._paths.common, self._paths.common_bytes = common, len(common)
        self._paths.tails = tails
        self._paths.ends = &places[0] if self._count else NULL
        self._paths.longest = lengths.max(initial=0)

    def __len__(self):
        return self._count


def _numbers(str name, values, count):
    """`values` if they are int64, contiguous, and `count` of them (None: any number)."""
    if not isinstance(values, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, not {type(values).__name__}")
    if values.dtype != np.int64 or values.ndim != 1 or not values.flags.c_contiguous:
        raise TypeError(f"{name} must be contiguous int64 values on one axis, not "
                        f"{values.dtype} of shape {values.shape}")
    if count is not None and len(values) != count:
        raise ValueError(f"{name} has {len(values)} values instead of {count}")
    return values


def read_runs(
    Paths paths not None, path, first, stride, size, modified, skip, swap, out, kept=None
):
    """Read a band of many records; the interpreter's lock is released meanwhile.

    Parameters
    ----------
    paths : Paths
    path : (n,) int64 ndarray
        Which path record i is read from; the file is opened once for records that follow each
        other.
    first, stride : (n,) int64 ndarray
        Its run r begins at byte first + r * stride.
    size, modified : (n,) int64 ndarray
        The file's size and time of modification (ns); `modified` None: any time.
    skip : int
        The byte of each run at which the band begins.
    swap : bool
        Whether the bytes of each item are swapped.
    out : (n, runs, m) ndarray
        C-contiguous; takes m items of each run.
    kept : (n,) int32 ndarray, optional
        C-contiguous. KEEP: leave the file open that is opened for this record, and put its
        descriptor here; OPEN: close it again. A descriptor, of an earlier call, is used. Whoever
        made it closes them.

    Returns
    -------
    (int, int, int) or None
        None when all was read; else what happened (TRUNCATED, CHANGED or SYSTEM), the record,
        and the system's error number. Then the content of out is arbitrary.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above.
    """
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a numpy array, not {type(out).__name__}")
    if out.ndim != 3 or not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous on 3 axes, its shape is {out.shape}")
    out = checks.output("out", out, out.shape, None)
    if out.dtype.hasobject or (swap and out.itemsize not in (2, 4, 8)):
        raise TypeError(f"out has dtype {out.dtype}, whose bytes cannot be read or swapped")
    cdef Py_ssize_t count = len(out)
    if skip < 0:
        raise ValueError(f"skip must not be negative, got {skip}")
    cdef const int64_t[::1] of_path = _numbers("path", path, count)
    cdef const int64_t[::1] of_first = _numbers("first", first, count)
    cdef const int64_t[::1] of_stride = _numbers("stride", stride, count)
    cdef const int64_t[::1] of_size = _numbers("size", size, count)
    cdef const int64_t[::1] of_time = _numbers("modified", size if modified is None else modified,
                                               count)
    cdef int32_t[::1] descriptors = None
    if kept is not None:
        if not isinstance(kept, np.ndarray) or kept.dtype != np.int32 or kept.shape != (count,):
            raise TypeError(f"kept must be an int32 array of {count} descriptors")
        if not (kept.flags.c_contiguous and kept.flags.writeable):
            raise ValueError("kept must be C-contiguous and writeable")
        descriptors = kept
    if out.size == 0:
        return None
    if path.min() < 0 or path.max() >= len(paths):
        raise ValueError(f"there are {len(paths)} paths, numbered from 0")
    cdef mpim_places places
    places.path, places.first, places.stride = &of_path[0], &of_first[0], &of_stride[0]
    places.size = &of_size[0]
    places.modified = &of_time[0]
    if modified is None:
        places.modified = NULL
    places.kept = NULL if descriptors is None else &descriptors[0]
    cdef size_t runs = out.shape[1], length = out.shape[2] * out.itemsize, begin = skip
    cdef size_t swapped = out.itemsize if swap else 0
    cdef void *to = data_of(out)
    cdef mpim_failure failure
    cdef int status
    with nogil:
        status = mpim_read_runs(&paths._paths, &places, count, runs, begin, length, swapped, to,
                                &failure)
    if status in (MPIM_TRUNCATED, MPIM_CHANGED, MPIM_SYSTEM):
        return status, failure.record, failure.error
    checks.raise_for(status, "reading")
    return None


def begin_writeback(int descriptor, int64_t offset, int64_t size):
    """Let the system begin to write a run of a file to the disk; does not wait for it.

    A hint, to whole pages, that a later ``os.fsync`` has less to wait for. Never raises: where
    there is something wrong, ``fsync`` will say so.

    Parameters
    ----------
    descriptor : int
    offset, size : int
        The run, in bytes.
    """
    with nogil:
        mpim_begin_writeback(descriptor, offset, size)


def swap_bytes(array):
    """Swap the bytes of each item, in place.

    Parameters
    ----------
    array : ndarray
        Of any shape, C-contiguous; items of 2, 4 or 8 bytes.

    Raises
    ------
    TypeError, ValueError
        A dtype or layout that is not as above.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"array must be a numpy array, not {type(array).__name__}")
    if array.itemsize not in (2, 4, 8) or array.dtype.hasobject:
        raise TypeError(f"array has dtype {array.dtype}, whose bytes cannot be swapped")
    if not (array.flags.c_contiguous and array.flags.writeable):
        raise ValueError("array must be C-contiguous and writeable")
    cdef size_t itemsize = array.itemsize, n = array.size
    cdef void *items = data_of(array)
    with nogil:
        mpim_swap(itemsize, items, n)
