"""Where images lie against each other: small pictures of frames, and the peak of a correlation."""

import numpy as np

from . cimport isa
from .arrays cimport data_of
from . import checks

cdef extern from "mpimages.h":
    cdef struct mpim_region:
        size_t width, inner, first_row, first_column, rows, columns, bin_rows, bin_columns
    int mpim_reduce_frames(int isa, int dtype, const void *frames, size_t k, ptrdiff_t stride,
                           const mpim_region *region, float *out) nogil
    int mpim_find_peaks(int isa, const float *surfaces, const float *spectra, size_t k,
                        const size_t *n, const size_t *reach, double *found) nogil


def reduce_frames(frames, start, bins, out):
    """Write the small picture of each frame: sums over bins, standardised.

    Parameters
    ----------
    frames : (k, rows, columns) or (k, rows, columns, pages) ndarray
        C-contiguous, of any dtype of the kernels.
    start : (int, int)
        The first row and column of the part of a frame that is used.
    bins : (int, int)
        Rows and columns of a bin.
    out : (k, r, c) or (k, r, c, pages) float32 ndarray
        C-contiguous. Each picture gets mean 0 and standard deviation 1. A bin that is not finite
        becomes 0, and so does all of an even frame.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above; a part that exceeds the frames.
    """
    if not isinstance(frames, np.ndarray):
        raise TypeError(f"frames must be a numpy array, not {type(frames).__name__}")
    cdef int dtype = checks.code_of("frames", frames.dtype)
    if frames.ndim not in (3, 4) or not frames.flags.c_contiguous:
        raise ValueError(f"frames must be C-contiguous on 3 or 4 axes, their shape is "
                         f"{frames.shape}")
    if not isinstance(out, np.ndarray) or out.ndim != frames.ndim:
        raise ValueError("out must be an array with as many axes as frames")
    checks.output("out", out, (len(frames), *out.shape[1:3], *frames.shape[3:]), np.float32)
    if not out.flags.c_contiguous:
        raise ValueError(f"out must be C-contiguous: strides {out.strides}")
    (row, column), (height, width) = start, bins
    if min(row, column) < 0 or min(height, width) < 1:
        raise ValueError(f"start {start} must be 0 or more, bins {bins} 1 or more")
    if row + out.shape[1] * height > frames.shape[1] or \
            column + out.shape[2] * width > frames.shape[2]:
        raise ValueError(f"{out.shape[1:3]} bins of {bins} from {start} exceed frames of "
                         f"{frames.shape[1:3]}")
    checks.apart({"out": out}, {"frames": frames})
    cdef mpim_region region
    region.width, region.inner = frames.shape[2], frames[0, 0, 0].size if frames.size else 0
    region.first_row, region.first_column = row, column
    region.rows, region.columns = out.shape[1], out.shape[2]
    region.bin_rows, region.bin_columns = height, width
    cdef size_t k = frames.shape[0] if out.size else 0
    cdef ptrdiff_t stride = frames.strides[0]
    cdef const void *data = data_of(frames)
    cdef float *to = <float *>data_of(out)
    cdef int status = 0
    if k:
        with nogil:
            status = mpim_reduce_frames(isa.current(), dtype, data, k, stride, &region, to)
    checks.raise_for(status, "reduce_frames")


def find_peaks(surfaces, spectra, reach):
    """Return the peak of each correlation: its place, its height, and what lies elsewhere.

    Parameters
    ----------
    surfaces : (k, n0, n1, n2) float32 ndarray
        C-contiguous: correlations on a grid, with no shift at index 0 of each axis.
    spectra : (k, n0, n1, n2 // 2 + 1) complex64 ndarray
        C-contiguous: ``surfaces = irfftn(spectra, axes=(1, 2, 3))``, and 0 at the frequency n / 2
        of each axis of an even length n > 1.
    reach : (int, int, int)
        How many grid points a shift may have along each axis, fewer than half of the axis.

    Returns
    -------
    (k, 6) float64 ndarray
        The shift along each axis in grid points, between them by Newton's method on the
        trigonometric polynomial; NaN where there is no maximum beside the highest grid point.
        Then the height, and mean and standard deviation of the rest of the surface.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape, layout or reach that is not as above.
    """
    for name, array, kind in (("surfaces", surfaces, np.float32), ("spectra", spectra, np.complex64)):
        if not isinstance(array, np.ndarray) or array.dtype != kind:
            raise TypeError(f"{name} must be an array of {np.dtype(kind)}")
        if array.ndim != 4 or not array.flags.c_contiguous:
            raise ValueError(f"{name} must be C-contiguous on 4 axes, the shape is {array.shape}")
    shape = surfaces.shape
    if spectra.shape != (*shape[:3], shape[3] // 2 + 1):
        raise ValueError(f"spectra of shape {spectra.shape} are not those of surfaces {shape}")
    reach = tuple(reach)
    if len(reach) != 3 or any(r < 0 or 2 * r >= n for r, n in zip(reach, shape[1:])):
        raise ValueError(f"a reach of {reach} is not below half of the grid {shape[1:]}")
    found = np.empty((shape[0], 6))
    cdef size_t k = shape[0]
    cdef size_t[3] n
    cdef size_t[3] far
    for axis in range(3):
        n[axis], far[axis] = shape[axis + 1], reach[axis]
    cdef const float *surface = <const float *>data_of(surfaces)
    cdef const float *spectrum = <const float *>data_of(spectra)
    cdef double *to = <double *>data_of(found)
    cdef int status
    with nogil:
        status = mpim_find_peaks(isa.current(), surface, spectrum, k, n, far, to)
    checks.raise_for(status, "find_peaks")
    return found
