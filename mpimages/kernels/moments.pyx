"""Sums, sums of squares and extremes over records: exact for integers, a fixed tree for floats."""

from libc.stdint cimport uint64_t

import numpy as np

from . cimport isa
from .arrays cimport Rows, data_of, rows_of
from . import checks

cdef extern from "mpimages.h":
    struct mpim_limbs:
        uint64_t *data
        ptrdiff_t stride
    struct mpim_nodes:
        double *data
        ptrdiff_t level
        ptrdiff_t part
    int mpim_integer_limbs(int dtype, int *sums, int *squares)
    int mpim_accumulate(int isa, int dtype, const void *batch, size_t k, size_t m,
                        ptrdiff_t stride, mpim_limbs sums, mpim_limbs squares,
                        void *maxima, void *minima) nogil
    int mpim_extrema(int isa, int dtype, const void *batch, size_t k, size_t m,
                     ptrdiff_t stride, void *maxima, void *minima) nogil
    int mpim_finish_integers(int isa, mpim_limbs sums, int nsum, mpim_limbs squares,
                             int nsquare, int is_signed, size_t m, uint64_t count,
                             double *mean, double *variance) nogil
    int mpim_push_floats(int isa, int dtype, const void *batch, size_t k, size_t m,
                         ptrdiff_t stride, uint64_t start, uint64_t first, int parts,
                         mpim_nodes left, mpim_nodes right, void *maxima,
                         void *minima) nogil
    int mpim_merge_nodes(int isa, mpim_nodes a, mpim_nodes b, int parts, size_t m,
                         unsigned level, unsigned exact, mpim_nodes out) nogil
    int mpim_fold_nodes(int isa, mpim_nodes a, double na, mpim_nodes b, double nb, int parts,
                        size_t m, mpim_nodes out) nogil
    int mpim_finish_floats(int isa, mpim_nodes node, int parts, size_t m, uint64_t count,
                           double *sum, double *mean, double *variance) nogil


# Record numbers stay below 2**62, so that no index or count overflows in between.
MAX_RECORDS = 1 << 62


cdef mpim_limbs _limbs(array):
    cdef mpim_limbs limbs
    limbs.data = <uint64_t *>data_of(array)
    limbs.stride = 0 if array is None else array.strides[0] // 8
    return limbs


cdef mpim_nodes _slots(array):
    cdef mpim_nodes nodes
    nodes.data = <double *>data_of(array)
    nodes.level = array.strides[0] // 8
    nodes.part = array.strides[1] // 8
    return nodes


cdef mpim_nodes _node(array):
    cdef mpim_nodes nodes
    nodes.data = <double *>data_of(array)
    nodes.level = 0
    nodes.part = array.strides[0] // 8
    return nodes


def integer_limbs(dtype):
    """How many 64-bit limbs an integer dtype's exact sums take.

    Parameters
    ----------
    dtype : dtype
        u/int8 to u/int64.

    Returns
    -------
    nsum, nsquare : int
        For the sum and for the sum of squares: 8 and 16 bit (1, 1), 32 bit (1, 2), 64 bit (2, 3).

    Notes
    -----
    Limbs are uint64, little-endian, two's complement where the dtype is signed. They hold the sums
    of at least 2**47 records of 8, 2**32 of 16, 2**31 of 32 and 2**62 of 64 bit.
    """
    cdef int nsum = 0, nsquare = 0
    dtype = np.dtype(dtype)
    checks.raise_for(mpim_integer_limbs(checks.code_of("the batch", dtype), &nsum, &nsquare),
                     f"exact sums of {dtype}")
    return nsum, nsquare


def accumulate(batch, sums=None, squares=None, maxima=None, minima=None):
    """Add a batch of integer records to exact sums, and update extremes, all in one pass.

    Parameters
    ----------
    batch : (k, m) ndarray of integers
        One record a row; rows contiguous, at any distance.
    sums : (nsum, m) ndarray of uint64, optional
        Limbs as `integer_limbs` says; added to in place.
    squares : (nsquare, m) ndarray of uint64, optional
        Likewise, of the squares.
    maxima, minima : (m,) ndarray of batch's dtype, optional
        Updated in place.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above; outputs that overlap.
    """
    batch = checks.rows("batch", batch)
    if not checks.is_integer(batch.dtype):
        raise TypeError(f"accumulate takes integers, not {batch.dtype}")
    cdef int dtype = checks.code_of("batch", batch.dtype), status
    nsum, nsquare = integer_limbs(batch.dtype)
    m = batch.shape[1]
    sums = checks.optional_output("sums", sums, (nsum, m), np.uint64)
    squares = checks.optional_output("squares", squares, (nsquare, m), np.uint64)
    maxima = checks.optional_output("maxima", maxima, (m,), batch.dtype)
    minima = checks.optional_output("minima", minima, (m,), batch.dtype)
    checks.apart({"sums": sums, "squares": squares, "maxima": maxima, "minima": minima},
                 {"batch": batch})
    cdef Rows rows = rows_of(batch)
    cdef mpim_limbs s = _limbs(sums), q = _limbs(squares)
    cdef void *highest = data_of(maxima)
    cdef void *lowest = data_of(minima)
    with nogil:
        status = mpim_accumulate(isa.current(), dtype, rows.data, rows.k, rows.m, rows.stride, s,
                                 q, highest, lowest)
    checks.raise_for(status, "accumulate")


def accumulate_extrema(batch, maxima=None, minima=None):
    """Update maxima and minima with a batch of integer or float records.

    Parameters
    ----------
    batch : (k, m) ndarray
        One record a row; rows contiguous, at any distance.
    maxima, minima : (m,) ndarray of batch's dtype, optional
        Updated in place; -inf and +inf, or the dtype's limits, to begin with.

    Notes
    -----
    A NaN wins and is stored as the positive quiet NaN; +0.0 is above -0.0. So the bits do not depend
    on the order of the records.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or layout that is not as above; outputs that overlap.
    """
    batch = checks.rows("batch", batch)
    cdef int dtype = checks.code_of("batch", batch.dtype), status
    maxima = checks.optional_output("maxima", maxima, batch.shape[1:], batch.dtype)
    minima = checks.optional_output("minima", minima, batch.shape[1:], batch.dtype)
    checks.apart({"maxima": maxima, "minima": minima}, {"batch": batch})
    cdef Rows rows = rows_of(batch)
    cdef void *highest = data_of(maxima)
    cdef void *lowest = data_of(minima)
    with nogil:
        status = mpim_extrema(isa.current(), dtype, rows.data, rows.k, rows.m, rows.stride,
                              highest, lowest)
    checks.raise_for(status, "accumulate_extrema")


def _sums(name, array, allowed, m):
    checks.rows(name, array)
    if array.dtype != np.uint64:
        raise TypeError(f"{name} must have dtype uint64, not {array.dtype}")
    if array.shape[0] not in allowed or (m is not None and array.shape[1] != m):
        raise ValueError(f"{name} must have {allowed} limbs of equally many pixels, "
                         f"its shape is {array.shape}")
    if not array.flags.aligned or array.strides[0] % 8:
        raise ValueError(f"{name} is not aligned to its items")
    return array


def _finished(name, array, m, wanted):
    if array is None and wanted:
        return np.empty(m)
    return checks.optional_output(name, array, (m,), np.float64)


def finish_integers(sums, squares, count, is_signed, mean=None, variance=None):
    """Mean and population variance from exact sums.

    Parameters
    ----------
    sums : (1 or 2, m) ndarray of uint64
    squares : (1, 2 or 3, m) ndarray of uint64, or None
    count : int
        The records that were added, 1 ... 2**62.
    is_signed : bool
        Whether their dtype is signed.
    mean, variance : (m,) ndarray of float64, optional
        Where to put them. Where neither is given, new ones are made; otherwise what is not given
        is not computed.

    Returns
    -------
    mean : (m,) ndarray of float64, or None
        The correctly rounded sum / count.
    variance : (m,) ndarray of float64, or None
        (count Q - S S) / count**2 within 2 ulp; None where squares is None.

    Raises
    ------
    TypeError, ValueError
        Limbs or a count that are not as above.
    """
    sums = _sums("sums", sums, (1, 2), None)
    cdef size_t m = sums.shape[1]
    if squares is not None:
        squares = _sums("squares", squares, (1, 2, 3), m)
        if sums.shape[0] == 2 and squares.shape[0] != 3:
            raise ValueError("squares must have 3 limbs where sums have 2, "
                             f"its shape is {squares.shape}")
    if not 1 <= count <= MAX_RECORDS:
        raise ValueError(f"count must be 1 ... 2**62, not {count}")
    if squares is None and variance is not None:
        raise ValueError("a variance needs squares")
    new = mean is None and variance is None
    mean = _finished("mean", mean, m, new)
    variance = _finished("variance", variance, m, new and squares is not None)
    checks.apart({"mean": mean, "variance": variance}, {"sums": sums, "squares": squares})
    cdef mpim_limbs s = _limbs(sums), q = _limbs(squares)
    cdef int nsum = sums.shape[0], nsquare = 0 if squares is None else squares.shape[0]
    cdef int with_sign = bool(is_signed), status
    cdef uint64_t n = count
    cdef double *to_mean = <double *>data_of(mean)
    cdef double *to_variance = <double *>data_of(variance)
    with nogil:
        status = mpim_finish_integers(isa.current(), s, nsum, q, nsquare, with_sign, m, n, to_mean,
                                      to_variance)
    checks.raise_for(status, "finish_integers")
    return mean, variance


def exact_levels(dtype):
    """Below which level the sums of records of a float dtype are taken as exact."""
    return 5 if np.dtype(dtype).itemsize == 4 else 0


def occupied(first, stop):
    """Which slots of `push_floats` hold a node after records first ... stop - 1 were pushed.

    Parameters
    ----------
    first, stop : int
        The range of records, 0 <= first <= stop.

    Returns
    -------
    left, right : list of int
        Levels, ascending. The node of left level L is number ceil(first / 2**L) (odd), that of right
        level L is number stop // 2**L - 1 (even). In the order of the records they are: left levels
        ascending, then right levels descending.

    Examples
    --------
    >>> occupied(3, 13)
    ([0, 2], [0, 2])
    """
    if not 0 <= first <= stop:
        raise ValueError(f"not a range of records: {first} ... {stop}")
    left, right = [], []
    level = 0
    while first < stop:
        if first & 1:
            left.append(level)
            first += 1
        if stop & 1 and first < stop:
            right.append(level)
            stop -= 1
        first >>= 1
        stop >>= 1
        level += 1
    return left, right


def _node_slots(name, array, levels, m):
    if isinstance(array, np.ndarray) and array.ndim == 3:
        if array.shape[1] not in (2, 3):
            raise ValueError(f"{name} must have shape (levels, 2 or 3, {m}), not {array.shape}")
        if array.shape[0] < levels:
            raise ValueError(f"{name} needs {levels} levels, its shape is {array.shape}")
        return checks.output(name, array, (array.shape[0], array.shape[1], m), np.float64)
    return checks.output(name, array, (levels, 2, m), np.float64)


def push_floats(batch, start, first, left, right, maxima=None, minima=None):
    """Push a batch of float records onto the fixed reduction tree.

    Node (L, j) of the tree is the records [j 2**L, (j + 1) 2**L): S their sum, C what rounding has
    taken from it, M2 the sum of squared deviations from their mean, all float64. A leaf is (x, 0, 0).
    Siblings a and b of n = 2**L records merge into S = Sa + Sb, C = (Ca + Cb) + what that sum loses,
    M2 = (M2a + M2b) + d**2 / (2 n) with d = (Sb - Sa) + (Cb - Ca); below level
    `exact_levels(batch.dtype)` C stays 0. Nodes merge as soon as both are
    there. ``right[L]`` keeps an even node that waits for its sibling, ``left[L]`` an odd one whose
    sibling begins before `first`; `occupied` says which slots are in use.

    Parameters
    ----------
    batch : (k, m) ndarray of float32 or float64
        Records start ... start + k - 1, one a row; rows contiguous, at any distance.
    start : int
        The first record of the batch. The records first ... start - 1 were pushed before.
    first : int
        The first record of the range.
    left, right : (levels, parts, m) ndarray of float64, parts 2 or 3
        Slots, [L, 0] = S, [L, 1] = C, and with three parts [L, 2] = M2. At least
        ``(start + k).bit_length()`` levels. Their contents before the first push do not matter.
    maxima, minima : (m,) ndarray of batch's dtype, optional
        Updated as by `accumulate_extrema`.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape, layout or range that is not as above; outputs that overlap.
    """
    batch = checks.rows("batch", batch)
    if batch.dtype.kind != "f":
        raise TypeError(f"push_floats takes floats, not {batch.dtype}")
    cdef int dtype = checks.code_of("batch", batch.dtype), status
    k, m = batch.shape
    if not 0 <= first <= start or start + k > MAX_RECORDS:
        raise ValueError(f"records [{start}, {start + k}) are no part of a range that begins "
                         f"at {first} and ends before 2**62")
    levels = (start + k).bit_length()
    left = _node_slots("left", left, levels, m)
    right = _node_slots("right", right, levels, m)
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"left has {left.shape[1]} parts, right {right.shape[1]}")
    maxima = checks.optional_output("maxima", maxima, (m,), batch.dtype)
    minima = checks.optional_output("minima", minima, (m,), batch.dtype)
    checks.apart({"left": left, "right": right, "maxima": maxima, "minima": minima},
                 {"batch": batch})
    cdef Rows rows = rows_of(batch)
    cdef mpim_nodes to_left = _slots(left), to_right = _slots(right)
    cdef int parts = left.shape[1]
    cdef uint64_t begin = start, origin = first
    cdef void *highest = data_of(maxima)
    cdef void *lowest = data_of(minima)
    with nogil:
        status = mpim_push_floats(isa.current(), dtype, rows.data, rows.k, rows.m, rows.stride,
                                  begin, origin, parts, to_left, to_right, highest, lowest)
    checks.raise_for(status, "push_floats")


def _same_node(name, node, out):
    checks.rows(name, node)
    if node.dtype != np.float64:
        raise TypeError(f"{name} must have dtype float64, not {node.dtype}")
    if node.shape != out.shape:
        raise ValueError(f"{name} must have shape {out.shape} like out, not {node.shape}")
    if not node.flags.aligned:
        raise ValueError(f"{name} is not aligned to its items")
    same = node.ctypes.data == out.ctypes.data and node.strides == out.strides
    if not same:
        checks.apart({"out": out}, {name: node})
    return node


def _out_node(out):
    if not isinstance(out, np.ndarray) or out.ndim != 2 or out.shape[0] not in (2, 3):
        shape = getattr(out, "shape", type(out).__name__)
        raise ValueError(f"out must be an array of shape (2 or 3, m), not {shape}")
    return checks.output("out", out, out.shape, np.float64)


def merge_nodes(a, b, level, out, exact=0):
    """Merge siblings of the tree of `push_floats` into their parent.

    Parameters
    ----------
    a, b : (2 or 3, m) ndarray of float64
        The even and the odd sibling.
    level : int
        Their level, 0 ... 62.
    out : ndarray like a
        Their parent; may be a or b.
    exact : int
        Below this level sums are taken as exact: `exact_levels` of the records' dtype.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or level that is not as above; out overlaps a or b in part.
    """
    out = _out_node(out)
    a, b = _same_node("a", a, out), _same_node("b", b, out)
    if not 0 <= level <= 62:
        raise ValueError(f"level must be 0 ... 62, not {level}")
    cdef mpim_nodes even = _node(a), odd = _node(b), parent = _node(out)
    cdef int parts = out.shape[0], status
    cdef size_t m = out.shape[1]
    cdef unsigned at = level, plain = exact
    with nogil:
        status = mpim_merge_nodes(isa.current(), even, odd, parts, m, at, plain, parent)
    checks.raise_for(status, "merge_nodes")


def fold(a, na, b, nb, out):
    """Merge neighbours of na and nb records.

    S = Sa + Sb, M2 = (M2a + M2b) + d**2 (na nb / (na + nb)), d the difference of their means.

    Parameters
    ----------
    a, b : (2 or 3, m) ndarray of float64
        The earlier and the later one.
    na, nb : int
        Their records, 1 ... 2**62; na a power of two, as it is in a tree, for d to be accurate.
    out : ndarray like a
        May be a or b.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or count that is not as above; out overlaps a or b in part.
    """
    out = _out_node(out)
    a, b = _same_node("a", a, out), _same_node("b", b, out)
    if not (1 <= na <= MAX_RECORDS and 1 <= nb <= MAX_RECORDS):
        raise ValueError(f"counts must be 1 ... 2**62, not {na} and {nb}")
    cdef mpim_nodes earlier = _node(a), later = _node(b), to = _node(out)
    cdef int parts = out.shape[0], status
    cdef size_t m = out.shape[1]
    cdef double before = na, after = nb
    with nogil:
        status = mpim_fold_nodes(isa.current(), earlier, before, later, after, parts, m, to)
    checks.raise_for(status, "fold")


def finish_floats(node, count, total=None, mean=None, variance=None):
    """Sum, mean and population variance of the records of a node.

    The sum is S + C, the mean its quotient made good for the rounding of the division: both are
    nearly always the correctly rounded ones. NaN and inf come as in NumPy.

    Parameters
    ----------
    node : (2 or 3, m) ndarray of float64
        S, C and perhaps M2, as `push_floats` and `fold` leave them.
    count : int
        The number of records, 1 ... 2**62.
    total, mean, variance : (m,) ndarray of float64, optional
        Where to put them. Where none is given, new ones are made; otherwise what is not given
        is not computed.

    Returns
    -------
    total, mean : (m,) ndarray of float64, or None
    variance : (m,) ndarray of float64 or None
        None without M2.

    Raises
    ------
    TypeError, ValueError
        A dtype, shape or count that is not as above.
    """
    node = _out_node(node)
    if not 1 <= count <= MAX_RECORDS:
        raise ValueError(f"count must be 1 ... 2**62, not {count}")
    cdef size_t m = node.shape[1]
    if node.shape[0] == 2 and variance is not None:
        raise ValueError("a variance needs a node with M2")
    new = total is None and mean is None and variance is None
    total = _finished("total", total, m, new)
    mean = _finished("mean", mean, m, new)
    variance = _finished("variance", variance, m, new and node.shape[0] == 3)
    checks.apart({"total": total, "mean": mean, "variance": variance}, {"node": node})
    cdef mpim_nodes from_node = _node(node)
    cdef int parts = node.shape[0], status
    cdef uint64_t n = count
    cdef double *to_sum = <double *>data_of(total)
    cdef double *to_mean = <double *>data_of(mean)
    cdef double *to_variance = <double *>data_of(variance)
    with nogil:
        status = mpim_finish_floats(isa.current(), from_node, parts, m, n, to_sum, to_mean,
                                    to_variance)
    checks.raise_for(status, "finish_floats")
    return total, mean, variance
