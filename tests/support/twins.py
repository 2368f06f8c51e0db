"""Plain twins of the kernels: slow, obvious, in NumPy and Python integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

INTEGERS = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float32", "float64"]


def random_records(rng, dtype, k, m):
    """Records of the dtype's whole range, its limits among them."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        batch = rng.normal(1000.0, 3.0, size=(k, m)) * 10.0 ** rng.integers(-3, 4, size=m)
        return batch.astype(dtype)
    limits = np.iinfo(dtype)
    batch = rng.integers(limits.min, limits.max, size=(k, m), dtype=dtype, endpoint=True)
    batch[rng.random((k, m)) < 0.1] = limits.min
    batch[rng.random((k, m)) < 0.1] = limits.max
    return batch


def nasty_floats(rng, dtype, k, m):
    """Records full of NaNs of both signs, infinities, both zeros and denormal numbers."""
    tiny = np.finfo(dtype).smallest_subnormal
    special = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, tiny, -tiny, 1.0, -1.0]
    weights = np.array([1, 1, 2, 2, 12, 12, 4, 4, 4, 4], dtype=float)
    batch = rng.choice(np.array(special, dtype=dtype), size=(k, m), p=weights / weights.sum())
    batch[:, : m // 3] = np.where(np.isfinite(batch[:, : m // 3]), batch[:, : m // 3], 0)
    return batch


def same_bits(a, b):
    """Whether two arrays agree in shape, dtype and every bit."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def integers_of(limbs, signed):
    """Limbs (n, m) as a list of Python ints."""
    values = []
    for column in limbs.T:
        value = sum(int(limb) << (64 * at) for at, limb in enumerate(column))
        if signed and value >> (64 * len(column) - 1):
            value -= 1 << (64 * len(column))
        values.append(value)
    return values


def limbs_of(values, n):
    """Python ints as limbs (n, m)."""
    return np.array(
        [[value >> (64 * at) & (2**64 - 1) for value in values] for at in range(n)], dtype=np.uint64
    )


def exact_sums(batch):
    """Sums and sums of squares over the records, as Python ints."""
    columns = [[int(x) for x in column] for column in batch.T]
    return [sum(c) for c in columns], [sum(x * x for x in c) for c in columns]


def exact_mean(total, count):
    """The correctly rounded quotient."""
    return float(Fraction(total, count))


def exact_variance(total, square, count):
    """The population variance as a fraction."""
    return Fraction(count * square - total * total, count * count)


def _extreme(batch, pick, sign_of_zero):
    best = pick(batch, axis=0)
    if batch.dtype.kind != "f":
        return best
    zeros = (batch == 0) & (np.signbit(batch) == sign_of_zero)
    preferred = batch.dtype.type(-0.0 if sign_of_zero else 0.0)
    best = np.where((best == 0) & zeros.any(axis=0), preferred, best)
    return np.where(np.isnan(batch).any(axis=0), batch.dtype.type(np.nan), best)


def maxima(batch):
    """Maxima over the records: NaN wins, +0 above -0."""
    return _extreme(batch, np.max, False)


def minima(batch):
    """Minima over the records: NaN wins, -0 below +0."""
    return _extreme(batch, np.min, True)


def lost(a, b):
    """What the sum of two loses, exactly (Knuth's TwoSum)."""
    total = a + b
    part = total - a
    return (a - (total - part)) + (b - part)


def summed(a, b):
    """a + b; the greatest double where finite ones would give more."""
    total, most = a + b, np.finfo(np.float64).max
    over = np.isinf(total) & np.isfinite(a) & np.isfinite(b)
    return np.where(over, np.copysign(most, total), total)


def merge(a, b, level, exact=0):
    """The parent of two sibling nodes (S, C, M2) of a level."""
    with np.errstate(all="ignore"):
        d = (b[0] - a[0]) + (b[1] - a[1])
        rest = a[1] if level < exact else (a[1] + b[1]) + lost(a[0], b[0])
        return summed(a[0], b[0]), rest, (a[2] + b[2]) + d * d / (2 * 2**level)


def node(records, level, index):
    """Node (level, index) of the tree over records, by recursion."""
    if level == 0:
        x = records[index].astype(np.float64)
        return x, np.zeros_like(x), np.zeros_like(x)
    below, exact = level - 1, 5 if records.dtype.itemsize == 4 else 0
    even, odd = (node(records, below, 2 * index + side) for side in (0, 1))
    return merge(even, odd, below, exact)


def _fma(x, y, z):
    """x y + z, rounded once."""

    def exact(x, y, z):
        if not np.isfinite([x, y, z, x * y]).all():
            return x * y + z
        return float(Fraction(x) * Fraction(y) + Fraction(z))

    return np.vectorize(exact, otypes=[np.float64])(x, y, z)


def fold(a, na, b, nb):
    """Neighbours of unequal counts, merged; na is a power of two."""
    with np.errstate(all="ignore"):
        q = a[0] / na
        p = nb * q
        d = ((b[0] - p) - _fma(float(nb), q, -p) + b[1]) / nb - a[1] / na
        rest = (a[1] + b[1]) + lost(a[0], b[0])
        return summed(a[0], b[0]), rest, (a[2] + b[2]) + d * d * (na * nb / (na + nb))


def finish(total, count):
    """Sum, mean and variance of a node."""
    s, c, m2 = total
    with np.errstate(all="ignore"):
        over = np.isfinite(s) & ~np.isfinite(c)
        whole = np.where(over, np.copysign(np.inf, s), np.where(np.isfinite(c), s + c, s))
        q = whole / count
        more = (_fma(-q, float(count), s) + c) / count
        mean = np.where(np.isfinite(more), q + more, q)
        variance = np.where(np.isfinite(s), np.where(over, np.inf, m2 / count), np.nan)
        return whole, mean, variance


def decomposition(first, stop):
    """The aligned nodes (level, index) that make up a range of records, in their order."""
    nodes = []
    while first < stop:
        level = 0
        while first % 2 ** (level + 1) == 0 and first + 2 ** (level + 1) <= stop:
            level += 1
        nodes.append((level, first >> level))
        first += 2**level
    return nodes


def tree_moments(records):
    """(S, C, M2) of all records: leftover nodes are folded from the last to the first."""
    total, count = None, 0
    for level, index in reversed(decomposition(0, len(records))):
        piece = node(records, level, index)
        total = piece if total is None else fold(piece, 2**level, total, count)
        count += 2**level
    return total


def project(kind, array):
    """Projection of (outer, n, inner) along n, one output pixel's records at a time."""
    outer, n, inner = array.shape
    records = array.transpose(1, 0, 2).reshape(n, outer * inner)
    if kind in ("max", "min"):
        result = maxima(records) if kind == "max" else minima(records)
    elif kind == "maxmin":
        result = _maxmin(records)
    elif array.dtype.kind == "f":
        result = _float_moments(kind, records)
    else:
        result = _integer_moments(kind, records)
    return result.reshape(outer, inner)


def _maxmin(records):
    high, low = maxima(records), minima(records)
    if records.dtype.kind == "f":
        with np.errstate(all="ignore"):
            total = high + low
        return np.where(np.isnan(total), records.dtype.type(np.nan), total)
    dtype = records.dtype
    wide = dtype if dtype.itemsize == 8 else np.dtype(f"{dtype.kind}{2 * dtype.itemsize}")
    return np.array([int(a) + int(b) for a, b in zip(high, low, strict=True)], dtype=wide)


def _float_moments(kind, records):
    total, mean, variance = finish(tree_moments(records), len(records))
    with np.errstate(all="ignore"):
        result = {"sum": total, "mean": mean, "stdev": np.sqrt(variance)}[kind]
    return np.where(np.isnan(result), np.nan, result)


def _integer_moments(kind, records):
    sums, squares = exact_sums(records)
    n = len(records)
    if kind == "sum":
        return np.array(sums, dtype=np.int64 if records.dtype.kind == "i" else np.uint64)
    if kind == "mean":
        return np.array([exact_mean(s, n) for s in sums], dtype=np.float64)
    pairs = zip(sums, squares, strict=True)
    return np.sqrt(np.array([float(exact_variance(s, q, n)) for s, q in pairs], dtype=np.float64))


def percentile_row(values, q):
    """One row's percentile by linear interpolation, in float64; NaN where there is one."""
    if values.dtype.kind == "f" and np.isnan(values).any():
        return np.nan
    ordered = np.sort(values)
    at = q / 100.0 * (len(ordered) - 1)
    below = int(np.floor(at))
    a, b = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
    t = at - below
    if a == b or t == 0:
        return a
    with np.errstate(all="ignore"):
        d = np.float64(b) - np.float64(a)
        return float(b - d * (1 - t)) if t >= 0.5 else float(a + d * t)


def running_percentile(values, window, q):
    """A row's percentile in the window around each time, cut at the ends."""
    half = window // 2
    return np.array(
        [percentile_row(values[max(0, t - half) : t + half + 1], q) for t in range(len(values))]
    )


def real_of(dtype):
    """The dtype that frames are interpolated in."""
    dtype = np.dtype(dtype)
    return np.dtype("f4" if dtype.itemsize <= 2 or dtype == np.float32 else "f8")


def weights(fraction, order):
    """The weights of the taps at a fraction, which is a NumPy number or an array."""
    f, g = fraction, 1 - fraction
    if order == 1:
        return [g, f]
    half, most = f.dtype.type(0.5), f.dtype.type(1.5)
    return [
        -half * f * g * g,
        g * (1 + f * (1 - most * f)),
        f * (1 + g * (1 - most * g)),
        -half * g * f * f,
    ]


def whole_and_fraction(at):
    """Positions as whole numbers and what is left, 0 within 2**-24 of a whole number."""
    whole = np.floor(at)
    fraction = at - whole
    up = fraction > 1 - 2.0**-24
    fraction = np.where(up | (fraction < 2.0**-24), 0, fraction).astype(at.dtype)
    return (whole + up).astype(np.int64), fraction


def as_stored(values, dtype):
    """Interpolated values as the dtype."""
    if dtype.kind == "f":
        return np.where(np.isnan(values), np.nan, values).astype(dtype)
    limits = np.iinfo(dtype)
    whole = np.rint(values)
    if dtype.itemsize < 8:
        return np.clip(whole, limits.min, limits.max).astype(dtype)
    return np.array([min(max(int(x), limits.min), limits.max) for x in whole.flat], dtype).reshape(
        values.shape
    )


def shifted(frame, shift, order, fill, dtype):
    """One frame at p + shift, axis by axis."""
    outside = np.zeros(frame.shape, bool)
    values, only_whole = frame, True
    for axis, (by, n) in enumerate(zip(shift, frame.shape, strict=True)):
        whole, fraction = whole_and_fraction(np.clip(np.float64(by), -n - 4, n + 4))
        at = np.arange(n) + whole
        missed = (at < 0) | (at > n - 1) | ((at == n - 1) & (fraction > 0))
        outside |= missed.reshape([-1 if a == axis else 1 for a in range(frame.ndim)])
        if fraction == 0:
            values = values.take(at.clip(0, n - 1), axis)
            continue
        only_whole, values = False, values.astype(real_of(frame.dtype))
        taps = range(2) if order == 1 else range(-1, 3)
        total = None
        for tap, weight in zip(taps, weights(values.dtype.type(fraction), order), strict=True):
            part = weight * values.take((at + tap).clip(0, n - 1), axis)
            total = part if total is None else total + part
        values = total
    if not only_whole or frame.dtype != dtype:
        values = as_stored(values.astype(real_of(frame.dtype)), np.dtype(dtype))
    return values if fill is None else np.where(outside, np.dtype(dtype).type(fill), values)


def _between(positions, p):
    """The blocks before and after each of the pixels p, and the part of the way."""
    last = len(positions) - 1
    before = np.searchsorted(positions, p, side="right") - 1
    part = np.zeros(len(p))
    within = (before >= 0) & (before < last)
    a, b = positions[before[within]], positions[before[within] + 1]
    part[within] = (p[within] / 2 - a / 2) / (b / 2 - a / 2)
    return before.clip(0, last), (before + 1).clip(0, last), part


def displacements(shifts, rows, columns, shape, real):
    """The shifts of all pixels of a frame: (rows, columns, 2)."""
    shifts = shifts.clip(-(2.0**30), 2.0**30)
    above, below, part = _between(rows, np.arange(float(shape[0])))
    of_rows = shifts[above] + part[:, None, None] * (shifts[below] - shifts[above])
    of_rows = of_rows.astype(real)
    left, right, part = _between(columns, np.arange(float(shape[1])))
    a, b = of_rows[:, left], of_rows[:, right]
    far = np.array(shape, real) + real.type(4)
    return (a + part.astype(real)[:, None] * (b - a)).clip(-far, far)


def _mixed(taps, fraction, order):
    """The sum of taps, or the pixel itself where the fraction is 0."""
    total = None
    for tap, weight in zip(taps, weights(fraction, order), strict=True):
        total = weight * tap if total is None else total + weight * tap
    return np.where(fraction == 0, taps[0 if order == 1 else 1], total)


def warped(frame, shifts, rows, columns, order, fill, dtype):
    """One frame at p + the shift of each pixel."""
    real, dtype = real_of(frame.dtype), np.dtype(dtype)
    n0, n1 = frame.shape
    field = displacements(shifts, rows, columns, frame.shape, real)
    (y, fy), (x, fx) = whole_and_fraction(field[..., 0]), whole_and_fraction(field[..., 1])
    y, x = y + np.arange(n0)[:, None], x + np.arange(n1)
    taps = range(2) if order == 1 else range(-1, 3)
    values = frame.astype(real)
    lines = [
        _mixed([values[(y + i).clip(0, n0 - 1), (x + j).clip(0, n1 - 1)] for i in taps], fy, order)
        for j in taps
    ]
    result = as_stored(_mixed(lines, fx, order), dtype)
    if dtype == frame.dtype and dtype.kind != "f":
        copied = frame[y.clip(0, n0 - 1), x.clip(0, n1 - 1)]
        result = np.where((fy == 0) & (fx == 0), copied, result)
    if fill is None:
        return result
    outside = (y < 0) | (y + (fy > 0) >= n0) | (x < 0) | (x + (fx > 0) >= n1)
    return np.where(outside, dtype.type(fill), result)


def picture(frame, start, bins, size):
    """A small picture as the kernel makes it: sums column by column, then along the columns."""
    (row, column), (high, wide), (rows, columns) = start, bins, size
    part = frame[row : row + rows * high, column : column + columns * wide].astype(np.float64)
    part = part.reshape(rows, high, columns, wide, -1)
    values = np.zeros((rows, columns, part.shape[-1]))
    for i in range(high):
        if wide == 2 and part.shape[-1] == 1:
            values += part[:, i, :, 0] + part[:, i, :, 1]
        else:
            for j in range(wide):
                values += part[:, i, :, j]
    values = values.reshape(rows, -1)

    def total(array):
        columns = np.zeros(array.shape[1])
        for line in array:
            columns += line
        return np.cumsum(np.append(0.0, columns))[-1]

    finite = np.isfinite(values)
    count = max(finite.sum(), 1)
    mean = total(np.where(finite, values, 0)) / count
    apart = np.where(finite, values - mean, 0)
    distance = total(np.abs(apart)) / count
    if not (distance > 1e-12 * abs(mean) and np.isfinite(distance)):
        return np.zeros((rows, columns, *frame.shape[2:]), np.float32)
    clipped = np.clip(apart, -6 * distance, 6 * distance) * (1 / distance)
    middle = total(clipped) / count
    variance = total(clipped * clipped) / count - middle * middle
    scale = 1 / np.sqrt(variance) if variance > 0 else 0.0
    out = ((clipped - middle) * scale).astype(np.float32)
    return out.reshape(rows, columns, *frame.shape[2:])


def correlate(array, weights, dtype, divisor=1):
    """(outer, n, inner) correlated along n, in the order of scipy.ndimage.correlate1d."""
    taps, n = len(weights), array.shape[1]
    before, after = taps // 2, taps - 1 - taps // 2
    at = [array[:, i].astype(np.float64) for i in range(n)]
    mirror = [*range(n), *range(n - 1, -1, -1)]
    symmetric = taps % 2 and np.array_equal(weights, weights[::-1])
    opposite = taps % 2 and np.array_equal(weights, -weights[::-1])
    out = np.empty(array.shape, dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for i in range(n):
            near = {j: at[mirror[(i + j) % (2 * n)]] for j in range(-before, after + 1)}
            if symmetric or opposite:
                total = near[0] * weights[before]
                for j in range(-before, 0):
                    pair = near[j] + near[-j] if symmetric else near[j] - near[-j]
                    total = total + pair * weights[before + j]
            else:
                total = near[after] * weights[-1]
                for j in range(-before, after):
                    total = total + near[j] * weights[before + j]
            out[:, i] = total / divisor
    out[np.isnan(out)] = np.nan
    return out


def box_sums(images: np.ndarray, reach: tuple[int, ...]) -> np.ndarray:
    """Sums of x, x x, b, x b and b b over images: x as unsigned, b over a box, reflected."""
    x = images.astype(np.int64)
    if images.dtype.kind == "i":
        x += 1 << (8 * images.itemsize - 1)
    b = np.pad(x, [(0, 0), *((r, r) for r in reach)], mode="symmetric")
    for axis, r in enumerate(reach, 1):
        n = images.shape[axis]
        b = sum(b.take(range(i, i + n), axis) for i in range(2 * r + 1))
    sums = [part.sum(axis=0).ravel() for part in (x, x * x, b, x * b, b * b)]
    return np.stack(sums).astype(np.uint64)
