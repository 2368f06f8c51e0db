"""Percentiles, running percentiles and normalisation of rows, against NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.kernels import isa, series

from ..support import twins

QS = [0, 1, 20, 50, 62.5, 99.9, 100]


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def percentiles(block, q):
    out = np.empty((len(block), np.size(q)))
    series.percentile_rows(block, q, out)
    return out


def running(block, window, q):
    out = np.empty(block.shape)
    series.running_percentile_rows(block, window, q, out)
    return out


def rows(dtype, k, t, kind="random"):
    rng = np.random.default_rng(t)
    if kind == "random":
        return twins.random_records(rng, dtype, k, t)
    few = np.array([3, 4, 100]).astype(dtype)
    if kind == "ties":
        return rng.choice(few, (k, t))
    ramp = (np.arange(t) % 120).astype(dtype)
    return np.stack([ramp if i % 2 else ramp[::-1] for i in range(k)])


@pytest.mark.parametrize("dtype", twins.INTEGERS + twins.FLOATS)
@pytest.mark.parametrize("t", [1, 2, 7, 8, 9, 33, 240, 1001])
@pytest.mark.parametrize("kind", ["random", "ties", "ramp"])
def test_percentiles_equal_the_twin(dtype, t, kind):
    block = rows(dtype, 3, t, kind)
    expected = np.array([[twins.percentile_row(row, q) for q in QS] for row in block])
    for name in isa.available():
        isa.force(name)
        assert twins.same_bits(percentiles(block, QS), expected)
    isa.force()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float64"])
def test_percentiles_equal_numpy(dtype):
    block = rows(dtype, 20, 101).astype(dtype)
    expected = np.percentile(block.astype(np.float64), QS, axis=1).T
    assert np.array_equal(percentiles(block, QS), expected)


def test_order_of_the_percentiles_does_not_matter(level):
    block = rows("int16", 5, 100)
    assert np.array_equal(percentiles(block, QS[::-1]), percentiles(block, QS)[:, ::-1])
    assert np.array_equal(percentiles(block, 20.0)[:, 0], percentiles(block, [50, 20])[:, 1])


def test_nan_infinity_and_zeros(level):
    inf, nan = np.inf, np.nan
    block = np.array([[1, nan, 2], [1, -nan, 2], [inf, inf, 1], [-inf, 1, inf], [-0.0, 0.0, 0.0]])
    got = percentiles(block, [0, 50, 100])
    assert np.isnan(got[:2]).all()
    assert np.array_equal(got[2:], [[1, inf, inf], [-inf, 1, inf], [0, 0, 0]])
    assert np.signbit(got[4]).tolist() == [True, False, False]
    assert np.array_equal(percentiles(block[2:3], 75), [[inf]])


def test_adversaries_of_quickselect_end(level):
    t = 20000
    organ = np.concatenate([np.arange(t // 2), np.arange(t // 2)[::-1]])
    killer = np.argsort(np.bitwise_xor(np.arange(t), 0x2AAA) % t, kind="stable")
    for dtype in ("uint16", "int32", "float64"):
        block = np.stack([organ, killer, np.zeros(t), np.arange(t) % 2]).astype(dtype)
        expected = np.percentile(block.astype(float), [10, 50], axis=1).T
        assert np.array_equal(percentiles(block, [10, 50]), expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float32", "float64"])
@pytest.mark.parametrize("window", [1, 2, 7, 8, 9, 30, 31, 60, 61, 10**9])
def test_running_percentile_equals_the_twin(dtype, window):
    block = rows(dtype, 2, 30)
    expected = np.stack([twins.running_percentile(row, window, 20) for row in block])
    for name in isa.available():
        isa.force(name)
        assert twins.same_bits(running(block, window, 20.0), expected)
    isa.force()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float32", "float64"])
def test_running_percentile_of_rows_in_parts(level, dtype):
    """Rows longer than what is ranked at once, windows short and long beside that, few levels."""
    rng = np.random.default_rng(5)
    for t, window in ((4095, 30), (4096, 3), (4097, 1), (9000, 31), (9000, 1026), (9001, 5000)):
        block = twins.random_records(rng, dtype, 2, t)
        block[1] = block[1] // 64 if dtype[0] in "iu" else np.round(block[1])
        got = running(block, window, 20.0)
        half = window // 2
        for at in (0, 1, half, 3793, 3794, t // 2, t - half - 1, t - 2, t - 1):
            around = block[:, max(0, at - half) : at + half + 1]
            assert np.array_equal(got[:, at], [twins.percentile_row(row, 20.0) for row in around])


@pytest.mark.parametrize("q", [0, 35, 50, 100])
def test_running_percentile_equals_numpy(level, q):
    block = np.random.default_rng(2).integers(1000, 3000, (3, 500)).astype(np.uint16)
    for window in (7, 31, 301):
        half = window // 2
        inside = np.lib.stride_tricks.sliding_window_view(block, 2 * half + 1, axis=1)
        expected = np.percentile(inside.astype(np.float64), q, axis=-1)
        assert np.array_equal(running(block, window, q)[:, half : 500 - half], expected)


def test_running_percentile_beside_nan(level):
    block = np.random.default_rng(2).normal(0, 1, (4, 200))
    block[0, 50:55], block[1, ::9], block[2] = np.nan, np.nan, np.nan
    block[3, ::2], block[3, 1::4] = -0.0, 0.0
    expected = np.stack([twins.running_percentile(row, 8, 20) for row in block])
    assert np.array_equal(running(block, 8, 20.0), expected, equal_nan=True)


@given(st.integers(1, 60), st.integers(1, 70), st.floats(0, 100), st.booleans())
def test_running_percentile_of_any_size(t, window, q, nasty):
    rng = np.random.default_rng(t)
    make = twins.nasty_floats if nasty else twins.random_records
    block = make(rng, "float64", 2, t)
    expected = np.stack([twins.running_percentile(row, window, q) for row in block])
    assert np.array_equal(running(block, window, q), expected, equal_nan=True)


@pytest.mark.parametrize("dtype", twins.INTEGERS + twins.FLOATS)
@pytest.mark.parametrize("out_dtype", twins.FLOATS)
@pytest.mark.parametrize("per_sample", [False, True])
def test_normalize(level, dtype, out_dtype, per_sample):
    block = rows(dtype, 5, 33)
    shape = block.shape if per_sample else block.shape[:1]
    baseline = np.random.default_rng(1).normal(100, 5, shape)
    out = np.empty(block.shape, out_dtype)
    series.normalize_rows(block, baseline, 0.1, out)
    b = baseline if per_sample else baseline[:, None]
    with np.errstate(over="ignore"):
        expected = ((block.astype(np.float64) - b) / (b + 0.1)).astype(out_dtype)
    assert twins.same_bits(out, expected)


def test_normalize_divides_by_zero_silently(level):
    block = np.array([[1.0, 0.0, -1.0]])
    out = np.empty((1, 3))
    series.normalize_rows(block, np.zeros(1), 0.0, out)
    assert np.array_equal(out, [[np.inf, np.nan, -np.inf]], equal_nan=True)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
def test_strided_blocks_and_outputs_and_cuts_of_rows(level, dtype):
    block = rows(dtype, 12, 50)
    wide = np.zeros((24, 80), dtype)
    wide[::2, 11:61] = block
    out = np.zeros((12, 100))
    series.running_percentile_rows(wide[::2, 11:61], 9, 20.0, out[:, 7:57])
    assert np.array_equal(out[:, 7:57], running(block, 9, 20.0))
    whole = percentiles(block, QS)
    for a, b in ((0, 1), (1, 8), (8, 12)):
        series.percentile_rows(wide[::2, 11:61][a:b], QS, out[a:b, : len(QS)])
    assert np.array_equal(out[:, : len(QS)], whole)


def test_no_rows():
    series.percentile_rows(np.zeros((0, 5)), [1, 2], np.zeros((0, 2)))
    series.running_percentile_rows(np.zeros((0, 5)), 3, 50, np.zeros((0, 5)))
    series.normalize_rows(np.zeros((0, 5)), np.zeros(0), 0.1, np.zeros((0, 5)))


def convolved(row, taps):
    """The values for which the two overlap wholly, one tap after the other."""
    length = len(row) - len(taps) + 1
    total = np.zeros(length)
    for i, tap in enumerate(taps):
        first = len(taps) - 1 - i
        total += tap * row[first : first + length]
    return total


@pytest.mark.parametrize("n", [1, 2, 7, 32])
@pytest.mark.parametrize("m", [1, 15, 16, 31, 33, 300])
def test_convolution(level, n, m):
    rng = np.random.default_rng(n)
    block, taps = twins.nasty_floats(rng, "float64", 3, m + n - 1), rng.normal(0, 1, n)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = np.stack([convolved(row, taps) for row in block])
    wide = np.zeros((6, m + n + 3))
    wide[::2, 2 : m + n + 1] = block
    out = np.zeros((3, m + 5))
    series.convolve_rows(wide[::2, 2 : m + n + 1], taps, out[:, 3 : m + 3])
    assert np.array_equal(out[:, 3 : m + 3], expected, equal_nan=True)
    assert not out[:, :3].any()
    assert not out[:, m + 3 :].any()


def test_convolution_equals_numpy(level):
    block = np.random.default_rng(0).integers(0, 4000, (4, 500)).astype(np.float64)
    taps = np.arange(21.0)  # whole numbers, so that no order matters
    out = np.zeros((4, 480))
    series.convolve_rows(block, taps, out)
    assert np.array_equal(out, [np.convolve(row, taps, "valid") for row in block])
