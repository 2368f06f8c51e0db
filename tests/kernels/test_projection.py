"""Projections of every kind, dtype and shape class, against the twins."""

import numpy as np
import pytest

from mpimages.kernels import isa, moments, projection

from ..support import twins

KINDS = ["max", "min", "sum", "mean", "stdev", "maxmin"]
# (outer, n, inner): long rows, rows that are folded, rows that are gathered; odd sizes of each.
# Last axes: of a lane's 16 bytes and a few more or less, of four and more lanes, and more rows than
# are folded at a time.
SHAPES = [
    (257, 16, 1), (70, 17, 1), (65, 15, 1), (31, 32, 1), (9, 64, 1), (300, 47, 1), (5, 133, 1),
    (515, 3, 1), (2, 6, 4097), (3, 5, 512), (4, 10, 6), (2, 67, 12),
    (1, 9, 70), (2, 7, 513), (2, 8, 64), (1, 300, 20), (2, 4097, 1), (1, 1400, 3), (3, 130, 63),
    (600, 7, 1), (9, 33, 1), (33, 8, 2), (5, 70, 7), (1, 1, 1), (40, 1, 9), (0, 3, 4), (3, 4, 0),
]  # fmt: skip
LONG = (1, 3, 33000)


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def project(kind, array):
    outer, _, inner = array.shape
    out = np.zeros((outer, inner), projection.result_dtype(kind, array.dtype))
    projection.project(kind, array, out)
    return out


def agree(kind, got, expected):
    if kind == "stdev" and got.dtype == np.float64:
        # The twin rounds once more (variance, then root), the kernel up to two ulp.
        return np.allclose(got, expected, rtol=8e-16, atol=0, equal_nan=True)
    return twins.same_bits(got, expected)


def small(dtype, shape, seed=0):
    """Random values whose 64-bit sums and max + min fit."""
    array = twins.random_records(np.random.default_rng(seed), dtype, 1, int(np.prod(shape)))
    if np.dtype(dtype).itemsize == 8 and np.dtype(dtype).kind != "f":
        array //= 2**14
    return array.reshape(shape)


@pytest.mark.parametrize("dtype", twins.INTEGERS + twins.FLOATS)
@pytest.mark.parametrize("shape", [*SHAPES, pytest.param(LONG, marks=pytest.mark.slow)])
def test_best_level_equals_the_twin(dtype, shape):
    array = small(dtype, shape)
    for kind in KINDS:
        assert agree(kind, project(kind, array), twins.project(kind, array)), kind


@pytest.mark.parametrize("dtype", twins.INTEGERS + twins.FLOATS)
def test_all_levels_give_the_same_bits(dtype):
    for shape in [*SHAPES, LONG]:
        array = small(dtype, shape, seed=1)
        for kind in KINDS:
            bits = []
            for name in isa.available():
                isa.force(name)
                bits.append(project(kind, array).tobytes())
            isa.force()
            assert len(set(bits)) == 1, (kind, shape)


@pytest.mark.parametrize("dtype", twins.FLOATS)
@pytest.mark.parametrize(
    "shape",
    [(2, 9, 70), (50, 9, 3), (200, 17, 1), (1, 70, 9), (300, 32, 1), (40, 43, 1), (2, 9, 1100)],
)
def test_nasty_floats(level, dtype, shape):
    outer, n, inner = shape
    flat = twins.nasty_floats(np.random.default_rng(2), dtype, n, outer * inner)
    array = np.ascontiguousarray(flat.reshape(n, outer, inner).transpose(1, 0, 2))
    for kind in KINDS:
        assert twins.same_bits(project(kind, array), twins.project(kind, array)), kind


@pytest.mark.parametrize("dtype", twins.INTEGERS + twins.FLOATS)
@pytest.mark.parametrize("n", [1, 3, 16, 32, 37])
@pytest.mark.parametrize("inner", [1, 3, 1100])
def test_an_extreme_is_found_wherever_it_is(level, dtype, n, inner):
    best = dict.fromkeys(("max", "min"), np.nan)
    if np.dtype(dtype).kind != "f":
        best = {"max": np.iinfo(dtype).max, "min": np.iinfo(dtype).min}
    for kind, value in best.items():
        for sign in (1, -1) if np.isnan(value) else (1,):
            array = np.ones((n, n, inner), dtype)
            array[np.arange(n), np.arange(n)] = np.copysign(value, sign) if sign < 0 else value
            expected = np.full((n, inner), value, dtype)
            assert twins.same_bits(project(kind, array), expected)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(70, 37, 1), (5, 37, 3), (2, 9, 5000)])
def test_values_need_not_be_aligned(level, dtype, shape):
    array = small(dtype, shape, seed=4)
    memory = np.frombuffer(b"-" + array.tobytes() + b"-", np.uint8)
    unaligned = memory[1:-1].view(dtype).reshape(shape)
    assert not unaligned.flags.aligned
    for kind in KINDS:
        assert twins.same_bits(project(kind, unaligned), project(kind, array)), kind


@pytest.mark.parametrize("dtype", twins.INTEGERS)
def test_limits_of_the_dtype(level, dtype):
    for value in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        array = np.full((2, 5, 9), value, dtype)
        assert (project("max", array) == value).all()
        assert (project("min", array) == value).all()
        assert (project("mean", array) == float(value)).all()
        assert not project("stdev", array).any()
        if array.itemsize < 8:
            assert (project("maxmin", array) == 2 * int(value)).all()
            assert (project("sum", array) == 5 * int(value)).all()


@pytest.mark.parametrize("kind", ["sum", "maxmin"])
@pytest.mark.parametrize("shape", [(2, 5, 90), (2, 5, 9), (1, 4500, 9), (3, 4500, 1)])
def test_overflow_is_told(level, kind, shape):
    fits = np.zeros(shape, np.int64)
    fits[:, :2] = 2**62 - 1
    assert project(kind, fits).max() == {"sum": 2**63 - 2, "maxmin": 2**62 - 1}[kind]
    for dtype, value in (("int64", 2**62), ("int64", -(2**62) - 1), ("uint64", 2**63)):
        array = np.full(shape, value, dtype)
        with pytest.raises(OverflowError, match="64 bits"):
            project(kind, array)


def test_result_dtypes():
    assert projection.result_dtype("maxmin", "int8") == np.int16
    assert projection.result_dtype("maxmin", "uint32") == np.uint64
    assert projection.result_dtype("maxmin", "uint64") == np.uint64
    assert projection.result_dtype("maxmin", "float32") == np.float32
    assert projection.result_dtype("sum", "int8") == np.int64
    assert projection.result_dtype("sum", "uint8") == np.uint64
    assert projection.result_dtype("sum", "float32") == np.float64
    assert projection.result_dtype("mean", "uint8") == np.float64
    assert projection.result_dtype("stdev", "float32") == np.float64
    assert projection.result_dtype("max", "float32") == np.float32
    with pytest.raises(ValueError, match="median"):
        projection.result_dtype("median", "int8")
    with pytest.raises(TypeError, match="complex"):
        projection.result_dtype("max", "complex64")


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_rows_agree_with_records(level, dtype):
    """One pixel's series has the same statistics as a row and through the record kernels."""
    rows = small(dtype, (37, 100, 1), seed=3)
    records = np.ascontiguousarray(rows[:, :, 0].T)
    mean, stdev = project("mean", rows)[:, 0], project("stdev", rows)[:, 0]
    if dtype == "uint16":
        sums, squares = np.zeros((1, 37), np.uint64), np.zeros((1, 37), np.uint64)
        moments.accumulate(records, sums, squares)
        expected, variance = moments.finish_integers(sums, squares, 100, False)
    else:
        _, expected, variance = twins.finish(twins.tree_moments(records), 100)
    assert twins.same_bits(mean, expected)
    assert twins.same_bits(stdev, np.sqrt(variance))
