"""Statistics of time series, one a row."""

import numpy as np

from . cimport isa
from .arrays cimport Rows, data_of, rows_of
from . import checks

cdef extern from "mpimages.h":
    int mpim_percentile_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                             ptrdiff_t stride, const double *q, size_t nq, double *out,
                             ptrdiff_t out_stride) nogil
    int mpim_running_percentile_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                                     ptrdiff_t stride, size_t window, double q, double *out,
                                     ptrdiff_t out_stride) nogil
    int mpim_normalize_rows(int isa, int dtype, const void *block, size_t k, size_t t,
                            ptrdiff_t stride, const double *baseline, ptrdiff_t baseline_row,
                            ptrdiff_t baseline_item, double offset, int out_dtype, void *out,
                            ptrdiff_t out_stride) nogil
    int mpim_convolve_rows(int isa, const double *block, size_t k, size_t m, ptrdiff_t stride,
                           const double *taps, size_t n, double *out, ptrdiff_t out_stride) nogil


def _block(block):
    block = checks.rows("block", block)
    if block.shape[1] < 1:
        raise ValueError(f"the rows of block are empty: its shape is {block.shape}")
    return block


def _percentiles(q):
    values = np.atleast_1d(np.ascontiguousarray(q, dtype=np.float64))
    if values.ndim != 1:
        raise ValueError(f"q must be a number or a sequence, its shape is {values.shape}")
    if not ((values >= 0) & (values <= 100)).all():
        raise ValueError(f"percentiles must be in 0 ... 100, got {q}")
    return values


def percentile_rows(block, q, out):
    """Percentiles of each row, by linear interpolation as in ``numpy.percentile``.

    Parameters
    ----------
    block : (k, T) ndarray
        u/int8 to u/int64, float32 or float64; T >= 1; rows contiguous, at any distance.
    q : float or sequence of nq floats
        In 0 ... 100.
    out : (k, nq) ndarray of float64
        NaN for a row that has a NaN.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape, layout or percentile that is not as above.
    """
    block = _block(block)
    cdef int dtype = checks.code_of("block", block.dtype), status
    percentiles = _percentiles(q)
    out = checks.output("out", out, (block.shape[0], percentiles.size), np.float64)
    checks.apart({"out": out}, {"block": block, "q": percentiles})
    cdef Rows rows = rows_of(block), to = rows_of(out)
    cdef const double *at = <const double *>data_of(percentiles)
    with nogil:
        status = mpim_percentile_rows(isa.current(), dtype, rows.data, rows.k, rows.m, rows.stride,
                                      at, to.m, <double *>to.data, to.stride)
    checks.raise_for(status, "percentile_rows")


def running_percentile_rows(block, window, q, out):
    """The percentile of each row's samples around each time.

    Parameters
    ----------
    block : (k, T) ndarray
        As for `percentile_rows`.
    window : int
        >= 1: the samples from t - window // 2 to t + window // 2, both included (one more than
        an even window says), cut at the row's ends.
    q : float
        In 0 ... 100.
    out : (k, T) ndarray of float64
        NaN for a window that has a NaN.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape, layout, window or percentile that is not as above.
    """
    block = _block(block)
    cdef int dtype = checks.code_of("block", block.dtype), status
    if window < 1:
        raise ValueError(f"window must be at least 1, not {window}")
    percentiles = _percentiles(q)
    if percentiles.size != 1:
        raise ValueError(f"q must be one number, got {q}")
    out = checks.output("out", out, block.shape, np.float64)
    checks.apart({"out": out}, {"block": block})
    cdef Rows rows = rows_of(block), to = rows_of(out)
    # A window of twice the row's length and more sees the whole row at any time.
    cdef size_t samples = min(int(window), 2 * block.shape[1] + 2)
    cdef double at = percentiles[0]
    with nogil:
        status = mpim_running_percentile_rows(isa.current(), dtype, rows.data, rows.k, rows.m,
                                              rows.stride, samples, at, <double *>to.data,
                                              to.stride)
    checks.raise_for(status, "running_percentile_rows")


def normalize_rows(block, baseline, offset, out):
    """out = (y - b) / (b + offset), in float64, stored as out's dtype.

    Parameters
    ----------
    block : (k, T) ndarray
        As for `percentile_rows`.
    baseline : (k,) or (k, T) ndarray of float64
        b, one a row or one a sample.
    offset : float
    out : (k, T) ndarray of float64 or float32
        Division by zero gives inf or NaN silently.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above.
    """
    block = _block(block)
    cdef int dtype = checks.code_of("block", block.dtype), status
    k, t = block.shape
    if not isinstance(baseline, np.ndarray) or baseline.dtype != np.float64:
        raise TypeError("baseline must be an array of float64, not "
                        f"{getattr(baseline, 'dtype', type(baseline).__name__)}")
    if baseline.shape not in ((k,), (k, t)):
        raise ValueError(f"baseline must have shape {(k,)} or {(k, t)}, not {baseline.shape}")
    if not baseline.flags.aligned:
        raise ValueError("baseline is not aligned to its items")
    if baseline.ndim == 2:
        baseline = checks.rows("baseline", baseline)
    out = checks.output("out", out, (k, t), None)
    if out.dtype not in (np.float32, np.float64):
        raise TypeError(f"out must be float32 or float64, not {out.dtype}")
    checks.apart({"out": out}, {"block": block, "baseline": baseline})
    cdef Rows rows = rows_of(block), to = rows_of(out)
    cdef const double *base = <const double *>data_of(baseline)
    cdef ptrdiff_t base_row = baseline.strides[0], base_item = 8 if baseline.ndim == 2 else 0
    cdef double shift = offset
    cdef int out_dtype = checks.code_of("out", out.dtype)
    with nogil:
        status = mpim_normalize_rows(isa.current(), dtype, rows.data, rows.k, rows.m, rows.stride,
                                     base, base_row, base_item, shift, out_dtype, to.data,
                                     to.stride)
    checks.raise_for(status, "normalize_rows")


def convolve_rows(block, taps, out):
    """The values of a convolution for which rows and taps overlap wholly, summed tap by tap.

    Parameters
    ----------
    block : (k, m + n - 1) ndarray of float64
        Rows contiguous and aligned, at any distance.
    taps : (n,) ndarray of float64
        n >= 1.
    out : (k, m) ndarray of float64
        m >= 1: ``numpy.convolve(row, taps, "valid")`` for each row that is as long as the taps
        at least.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above.
    """
    block = _block(block)
    if block.dtype != np.float64 or not block.flags.aligned:
        raise TypeError(f"block must be aligned float64, not {block.dtype}")
    if not isinstance(taps, np.ndarray) or taps.dtype != np.float64:
        raise TypeError("taps must be an array of float64, not "
                        f"{getattr(taps, 'dtype', type(taps).__name__)}")
    if taps.ndim != 1 or not 1 <= taps.size <= block.shape[1]:
        raise ValueError(f"taps must be 1-D, of 1 to {block.shape[1]} values, not {taps.shape}")
    taps = np.ascontiguousarray(taps)
    out = checks.output("out", out, (block.shape[0], block.shape[1] - taps.size + 1), np.float64)
    checks.apart({"out": out}, {"block": block, "taps": taps})
    cdef Rows rows = rows_of(block), to = rows_of(out)
    cdef const double *weights = <const double *>data_of(taps)
    cdef size_t n = taps.size
    cdef int status
    with nogil:
        status = mpim_convolve_rows(isa.current(), <const double *>rows.data, rows.k, to.m,
                                    rows.stride, weights, n, <double *>to.data, to.stride)
    checks.raise_for(status, "convolve_rows")
