"""Frames read at positions beside their pixels: motion is undone."""

import math

import numpy as np

from . cimport isa
from .arrays cimport data_of
from . import checks

cdef extern from "mpimages.h":
    struct mpim_frames:
        int dtype
        const void *data
        ptrdiff_t stride
        size_t k
        size_t dims[3]
    struct mpim_moved:
        int order
        const void *fill
        int dtype
        void *data
        ptrdiff_t stride
    struct mpim_blocks:
        const double *shifts
        const double *rows
        const double *columns
        size_t row_count
        size_t column_count
    int mpim_shift(int isa, mpim_frames frames, const double *shifts, mpim_moved moved) nogil
    int mpim_warp(int isa, mpim_frames frames, mpim_blocks blocks, mpim_moved moved) nogil


def _frames(name, array, axes):
    """An array whose frames are contiguous, at any distance."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a numpy array, not {type(array).__name__}")
    if array.ndim - 1 not in axes:
        allowed = " or ".join(str(n + 1) for n in axes)
        raise ValueError(f"{name} must have {allowed} axes, its shape is {array.shape}")
    if array.shape[0] and not array[0].flags.c_contiguous:
        raise ValueError(f"each of {name} must be C-contiguous: shape {array.shape}, "
                         f"strides {array.strides}")
    return array


def _out(out, frames):
    """Where the result goes, of one of the dtypes that these frames can become."""
    out = checks.output("out", _frames("out", out, (frames.ndim - 1,)), frames.shape, None)
    checks.code_of("out", out.dtype)
    allowed = [frames.dtype, np.dtype(np.float64)]
    if frames.dtype.itemsize <= 2:
        allowed.append(np.dtype(np.float32))
    if out.dtype not in allowed:
        names = " or ".join(sorted({str(dtype) for dtype in allowed}))
        raise TypeError(f"of frames of {frames.dtype} out must be {names}, not {out.dtype}")
    checks.apart({"out": out}, {"frames": frames})
    return out


def _reals(name, array, shape):
    """An array of finite float64, contiguous."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float64:
        raise TypeError(f"{name} must be an array of float64, not "
                        f"{getattr(array, 'dtype', type(array).__name__)}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return np.ascontiguousarray(array)


def _centers(name, array):
    """The positions of blocks along one axis."""
    if isinstance(array, np.ndarray) and (array.ndim != 1 or not array.size):
        raise ValueError(f"{name} must have one axis and an item, its shape is {array.shape}")
    array = _reals(name, array, np.shape(array))
    if not (array[1:] > array[:-1]).all():
        raise ValueError(f"{name} must ascend, got {array}")
    return array


def _item(fill, dtype):
    """The fill as one item of the dtype; None of None."""
    if fill is None:
        return None
    if not isinstance(fill, (int, float, np.integer, np.floating)) or isinstance(fill, bool):
        raise TypeError(f"fill must be a number or None, not {type(fill).__name__}")
    if checks.is_integer(dtype):
        whole = isinstance(fill, (int, np.integer)) or (math.isfinite(fill) and fill == int(fill))
        limits = np.iinfo(dtype)
        held = whole and limits.min <= fill <= limits.max
    else:
        top = float(np.finfo(dtype).max)
        held = -top <= fill <= top or fill != fill or fill in (math.inf, -math.inf)
    if not held:
        raise ValueError(f"{dtype} cannot hold the fill {fill}")
    return np.array([int(fill) if checks.is_integer(dtype) else fill], dtype)


cdef mpim_frames _source(frames) except *:
    cdef mpim_frames source
    source.dtype = checks.code_of("frames", frames.dtype)
    source.data = data_of(frames)
    source.k, source.stride = frames.shape[0], frames.strides[0]
    source.dims[0], source.dims[1] = frames.shape[1], frames.shape[2]
    source.dims[2] = frames.shape[3] if frames.ndim == 4 else 1
    return source


cdef mpim_moved _target(out, order, item) except *:
    cdef mpim_moved target
    if order not in (1, 3):
        raise ValueError(f"order must be 1 (linear) or 3 (cubic), not {order!r}")
    target.order, target.fill = order, data_of(item)
    target.dtype = checks.code_of("out", out.dtype)
    target.data, target.stride = data_of(out), out.strides[0]
    return target


def shift(frames, shifts, out, order, fill):
    """Read each frame beside its pixels, all of them by the same shift: undo a motion.

    Parameters
    ----------
    frames : (k, rows, columns) or (k, rows, columns, pages) ndarray
        u/int8 to u/int64, float32 or float64. Each frame is C-contiguous; frames lie at any
        distance.
    shifts : (k, 2) or (k, 3) ndarray of float64
        In pixels, along rows, columns and pages; finite, of any size. A shift that is less than
        2**-24 away from a whole number is taken as that.
    out : ndarray
        Of the frames' shape, laid out as they may be. ``out[i][p]`` becomes what ``frames[i]`` is
        at position ``p + shifts[i]``. The dtype is that of the frames, or float64, or, for integers
        of at most 16 bits, float32.
    order : {1, 3}
        1: linear interpolation. 3: cubic convolution (Keys 1981, a = -1/2). The pixels beyond the
        edge that it needs are those at the edge.
    fill : float or None
        None: a position outside the frame has the value of the nearest pixel at the edge. A number:
        it has this value; ``out`` must be able to hold it, and only one of floats holds NaN.

    Notes
    -----
    Rows are interpolated first, then columns, then pages: in float32 for integers of at most 16
    bits and for float32, else in float64. Integers are rounded to the nearest, ties to the even
    one, and kept within the range of their dtype, which the cubic may exceed.

    An axis with a whole shift is not interpolated: neighbours are not read there, be they NaN or
    not. A frame whose shifts all are whole is copied bit by bit, if ``out`` has its dtype. Other
    64-bit integers become float64 first: of more than 2**53 the last digits are lost.

    A NaN or an infinity spreads to all positions that are interpolated from it. Such a NaN is the
    positive quiet one without payload.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape, layout, order or fill that is not as above, or a shift that is not finite.
    """
    frames = _frames("frames", frames, (2, 3))
    cdef mpim_frames source = _source(frames)
    out = _out(out, frames)
    item = _item(fill, out.dtype)
    cdef mpim_moved target = _target(out, order, item)
    d = frames.ndim - 1
    given = _reals("shifts", shifts, (frames.shape[0], d))
    checks.apart({"out": out}, {"shifts": given})
    of_three = np.zeros((frames.shape[0], 3))
    of_three[:, :d] = given
    cdef const double *by = <const double *>data_of(of_three)
    cdef int status
    with nogil:
        status = mpim_shift(isa.current(), source, by, target)
    checks.raise_for(status, "shift")


def warp(frames, shifts, rows, columns, out, order, fill):
    """Read each image beside its pixels, by shifts that vary over the image: undo a motion.

    Parameters
    ----------
    frames : (k, rows, columns) ndarray
        As for `shift`; fewer than 2**30 rows and columns.
    shifts : (k, b0, b1, 2) ndarray of float64
        In pixels, along rows and columns, of each block; finite. One of more than 2**30 is taken as
        that.
    rows, columns : (b0,) and (b1,) ndarrays of float64
        The pixel positions of the blocks' centres, finite and ascending. Between them shifts are
        interpolated linearly along both axes; beyond the outermost they are constant.
    out, order, fill
        As for `shift`.

    Notes
    -----
    All is computed as by `shift`, each pixel with a shift of its own, in float32 or float64. A
    pixel that moves by whole numbers keeps its bits, as far as they are those of a number; NaN is
    as there.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape, layout, order or fill that is not as above, a shift or a centre that is not
        finite, or centres that do not ascend.
    """
    frames = _frames("frames", frames, (2,))
    if max(frames.shape[1:]) >= 2**30:
        raise ValueError(f"images have fewer than 2**30 rows and columns, got {frames.shape}")
    cdef mpim_frames source = _source(frames)
    out = _out(out, frames)
    item = _item(fill, out.dtype)
    cdef mpim_moved target = _target(out, order, item)
    rows, columns = _centers("rows", rows), _centers("columns", columns)
    by = _reals("shifts", shifts, (frames.shape[0], rows.size, columns.size, 2))
    checks.apart({"out": out}, {"shifts": by, "rows": rows, "columns": columns})
    cdef mpim_blocks blocks
    blocks.shifts = <const double *>data_of(by)
    blocks.rows, blocks.row_count = <const double *>data_of(rows), rows.size
    blocks.columns, blocks.column_count = <const double *>data_of(columns), columns.size
    cdef int status
    with nogil:
        status = mpim_warp(isa.current(), source, blocks, target)
    checks.raise_for(status, "warp")
