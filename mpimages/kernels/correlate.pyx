"""Correlation of arrays with weights along one axis."""

import numpy as np

from . cimport isa
from .arrays cimport data_of
from . import checks

cdef extern from "mpimages.h":
    int mpim_correlate(int isa, int dtype, const void *array, size_t outer, size_t n, size_t inner,
                       const double *weights, size_t taps, double divisor, int out_dtype,
                       void *out) nogil


def correlate(array, weights, out, double divisor=1.0):
    """Correlate an array with weights along its middle axis.

    Parameters
    ----------
    array : (outer, n, inner) ndarray
        C-contiguous, u/int8 to u/int64, float32 or float64.
    weights : (taps,) float64 ndarray
        Contiguous, taps >= 1; the weight of an item itself is ``weights[taps // 2]``.
    out : (outer, n, inner) ndarray
        C-contiguous, float32 or float64; it may be `array` itself.
    divisor : float
        By which each sum is divided.

    Notes
    -----
    Beyond its ends the axis goes on as its mirror image, the outermost items repeated. Sums are
    those of `scipy.ndimage.correlate1d`: in float64, the item itself first, then pairs of
    neighbours from the furthest on; where the weights are not symmetric, the last item first, then
    the others in their order. Each NaN is the positive quiet one.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above.
    """
    cdef int status
    if not isinstance(array, np.ndarray):
        raise TypeError(f"array must be a numpy array, not {type(array).__name__}")
    cdef int dtype = checks.code_of("array", array.dtype)
    if array.ndim != 3:
        raise ValueError(f"array must be (outer, n, inner), its shape is {array.shape}")
    if not array.flags.c_contiguous:
        raise ValueError(f"array must be C-contiguous: shape {array.shape}, "
                         f"strides {array.strides}")
    checks.output("out", out, array.shape, None)
    cdef int out_dtype = checks.code_of("out", out.dtype)
    if out.dtype.kind != "f":
        raise TypeError(f"out must have dtype float32 or float64, not {out.dtype}")
    if not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous: strides {out.strides}")
    if not isinstance(weights, np.ndarray) or weights.dtype != np.float64:
        raise TypeError("weights must be an array of float64")
    if weights.ndim != 1 or not weights.flags.c_contiguous:
        raise ValueError(f"weights must be 1-D and contiguous: shape {weights.shape}, "
                         f"strides {weights.strides}")
    if not len(weights):
        raise ValueError("there are no weights")
    cdef const void *data = data_of(array)
    cdef void *to = data_of(out)
    itself = data == to and array.dtype == out.dtype
    checks.apart({"out": out}, {"array": None if itself else array, "weights": weights})
    cdef size_t outer = array.shape[0], n = array.shape[1], inner = array.shape[2]
    cdef const double *factors = <const double *>data_of(weights)
    cdef size_t taps = weights.shape[0]
    with nogil:
        status = mpim_correlate(isa.current(), dtype, data, outer, n, inner, factors, taps,
                                divisor, out_dtype, to)
    checks.raise_for(status, f"a correlation of {array.dtype}")
