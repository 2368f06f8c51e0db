"""Reductions of one array along one axis."""

import numpy as np

from . cimport isa
from .arrays cimport data_of
from . import checks

cdef extern from "mpimages.h":
    enum:
        MPIM_MAX, MPIM_MIN, MPIM_SUM, MPIM_MEAN, MPIM_STDEV, MPIM_MAXMIN
    int mpim_project(int isa, int kind, int dtype, const void *array, size_t outer, size_t n,
                     size_t inner, void *out) nogil


_KINDS = {
    "max": MPIM_MAX,
    "min": MPIM_MIN,
    "sum": MPIM_SUM,
    "mean": MPIM_MEAN,
    "stdev": MPIM_STDEV,
    "maxmin": MPIM_MAXMIN,
}


def _kind_number(kind):
    if kind not in _KINDS:
        raise ValueError(f"unknown kind of projection {kind!r}; there are {', '.join(_KINDS)}")
    return _KINDS[kind]


def result_dtype(kind, dtype):
    """The dtype of `project`'s result.

    Parameters
    ----------
    kind : {'max', 'min', 'sum', 'mean', 'stdev', 'maxmin'}
    dtype : dtype
        u/int8 to u/int64, float32 or float64.

    Returns
    -------
    numpy.dtype
        max, min: dtype itself. sum: int64, uint64 or float64. mean, stdev: float64. maxmin, which is
        max + min: the integer twice as wide; 64 bits and floats stay.
    """
    _kind_number(kind)
    dtype = np.dtype(dtype)
    checks.code_of("the array", dtype)
    if kind in ("max", "min"):
        return dtype
    if kind in ("mean", "stdev"):
        return np.dtype(np.float64)
    if kind == "sum":
        return np.dtype({"i": np.int64, "u": np.uint64, "f": np.float64}[dtype.kind])
    if dtype.kind == "f" or dtype.itemsize == 8:
        return dtype
    return np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")


def project(kind, array, out):
    """Reduce an array along its middle axis.

    Parameters
    ----------
    kind : {'max', 'min', 'sum', 'mean', 'stdev', 'maxmin'}
    array : (outer, n, inner) ndarray
        C-contiguous, u/int8 to u/int64, float32 or float64; n >= 1.
    out : (outer, inner) ndarray
        C-contiguous, of `result_dtype`.

    Notes
    -----
    Integers: sum exact, mean correctly rounded, population standard deviation from exact sums.
    Floats: sum, mean, stdev by the tree of `moments.push_floats` along n; nodes left over are folded
    (`moments.fold`) from the last and smallest to the first. A NaN makes the result NaN; where the
    sum is not finite, stdev is NaN.

    Raises
    ------
    TypeError, ValueError
        A kind, dtype, shape or layout that is not as above.
    OverflowError
        A sum, or a max + min, that does not fit in 64 bits. Then `out` is written in part.
    """
    cdef int number = _kind_number(kind), status
    if not isinstance(array, np.ndarray):
        raise TypeError(f"array must be a numpy array, not {type(array).__name__}")
    cdef int dtype = checks.code_of("array", array.dtype)
    if array.ndim != 3:
        raise ValueError(f"array must be (outer, n, inner), its shape is {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"array must be C-contiguous: shape {array.shape}, "
                         f"strides {array.strides}")
    cdef size_t outer = array.shape[0], n = array.shape[1], inner = array.shape[2]
    if n < 1:
        raise ValueError(f"nothing to reduce: the shape is {array.shape}")
    checks.output("out", out, (outer, inner), result_dtype(kind, array.dtype))
    if not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous: strides {out.strides}")
    checks.apart({"out": out}, {"array": array})
    cdef const void *data = data_of(array)
    cdef void *to = data_of(out)
    with nogil:
        status = mpim_project(isa.current(), number, dtype, data, outer, n, inner, to)
    checks.raise_for(status, f"{kind} of {array.dtype}")
