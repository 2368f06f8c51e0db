"""Frames read beside their pixels, against the twin and SciPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from mpimages.kernels import isa, warp

from ..support import twins

DTYPES = twins.INTEGERS + twins.FLOATS
SHIFTS = [0, 1, -2, 0.5, -0.25, 2**-24, -(2**-25), 1e-30, -1e-30, 3.7, -19.9, 1e9, -1e300]


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def random_frames(dtype, shape):
    rng = np.random.default_rng(shape[-1])
    flat = twins.random_records(rng, dtype, shape[0], int(np.prod(shape[1:])))
    return flat.reshape(shape)


def outputs(dtype):
    """The dtypes that frames of this one can become."""
    single = ["float32"] if twins.real_of(dtype) == np.float32 else []
    return list(dict.fromkeys([dtype, *single, "float64"]))


def at_all_levels(kernel, *arguments):
    """What a kernel writes, which is the same at all levels."""
    frames, *others, dtype = arguments
    results = []
    for name in isa.available():
        isa.force(name)
        out = np.full(frames.shape, 77, dtype)
        kernel(frames, *others[:-2], out, *others[-2:])
        results.append(out)
    isa.force()
    for other in results[1:]:
        assert twins.same_bits(results[0], other)
    return results[0]


def check_warp(frames, shifts, rows, columns, order, fill, dtype):
    with np.errstate(all="ignore"):
        expected = np.array(
            [
                twins.warped(frame, by, rows, columns, order, fill, dtype)
                for frame, by in zip(frames, shifts, strict=True)
            ]
        ).reshape(frames.shape)
    got = at_all_levels(warp.warp, frames, shifts, rows, columns, order, fill, dtype)
    assert twins.same_bits(got, expected)


def check_shift(frames, shifts, order, fill, dtype):
    shifts = np.asarray(shifts, float)
    with np.errstate(all="ignore"):
        expected = np.array(
            [
                twins.shifted(frame, by, order, fill, dtype)
                for frame, by in zip(frames, shifts, strict=True)
            ]
        ).reshape(frames.shape)
    assert twins.same_bits(at_all_levels(warp.shift, frames, shifts, order, fill, dtype), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("fill", [None, 7])
def test_shift_equals_the_twin(dtype, order, fill):
    pairs = [(a, b) for a in SHIFTS for b in SHIFTS]
    frames = random_frames(dtype, (len(pairs), 9, 21))
    for out_dtype in outputs(dtype):
        check_shift(frames, pairs, order, fill, out_dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64"])
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("fill", [None, 7])
def test_shift_of_volumes_equals_the_twin(dtype, order, fill):
    some = [0, 2, -0.25, 3.5, -1e9]
    triples = [(a, b, c) for a in some for b in some for c in some]
    for shape in ((4, 5, 3), (3, 2, 17), (1, 6, 1)):
        frames = random_frames(dtype, (len(triples), *shape))
        for out_dtype in outputs(dtype):
            check_shift(frames, triples, order, fill, out_dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("order", [1, 3])
def test_shift_of_every_width(dtype, order):
    for n in (*range(1, 21), 33, 67):
        for shape in ((2, 3, n), (2, n, 1)):
            check_shift(random_frames(dtype, shape), [(0.3, -1.6), (-0.3, 0)], order, 1, dtype)


@given(
    st.sampled_from(DTYPES),
    st.lists(st.integers(1, 12), min_size=2, max_size=3),
    st.data(),
    st.sampled_from([1, 3]),
    st.sampled_from([None, 0]),
)
def test_any_shift(dtype, dims, data, order, fill):
    by = [data.draw(st.floats(allow_nan=False, allow_infinity=False)) for _ in dims]
    check_shift(random_frames(dtype, (1, *dims)), [by], order, fill, dtype)


@pytest.mark.parametrize("dtype", twins.FLOATS)
@pytest.mark.parametrize("order", [1, 3])
def test_nan_and_infinity_of_shifted_frames(dtype, order):
    rng = np.random.default_rng(3)
    frames = twins.nasty_floats(rng, dtype, 6, 143).reshape(6, 11, 13)
    shifts = [(0.5, 0), (0, 0.5), (1, -2), (0.25, -1.75), (0, 0), (1e9, 0.5)]
    for fill in (None, np.nan, np.inf, -0.0):
        check_shift(frames, shifts, order, fill, dtype)


@pytest.mark.parametrize("order", [1, 3])
def test_a_nan_spreads_to_what_is_computed_from_it_and_no_further(level, order):
    frame = np.ones((1, 9, 9), np.float32)
    frame[0, 4, 4] = np.nan
    for by, rows, columns in (
        ((0, 0.5), 1, order + 1),
        ((0.5, 2), order + 1, 1),
        ((0.5, 0.5), order + 1, order + 1),
    ):
        out = np.empty_like(frame)
        warp.shift(frame, np.array([by], float), out, order, None)
        lost = np.isnan(out[0])
        assert lost.sum() == rows * columns
        assert lost.any(axis=0).sum() == columns


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 3])
def test_whole_shifts_copy_every_bit(level, dtype, order):
    rng = np.random.default_rng(5)
    raw = rng.integers(0, 256, (1, 8, 10 * np.dtype(dtype).itemsize), np.uint8)
    frames = raw.view(dtype)
    out = np.zeros_like(frames)
    warp.shift(frames, np.array([[2.0, -3.0]]), out, order, 0)
    assert out[0, :6, 3:].tobytes() == frames[0, 2:, :7].tobytes()
    assert not out[0, 6:].any()
    assert not out[0, :, :3].any()


def test_whole_shifts_keep_large_integers(level):
    frames = np.full((1, 2, 3), 2**63 + 1, np.uint64)
    out = np.empty_like(frames)
    warp.shift(frames, np.array([[1.0, 1.0]]), out, 1, 2**64 - 1)
    assert out[0].tolist() == [[2**63 + 1, 2**63 + 1, 2**64 - 1], [2**64 - 1] * 3]


@pytest.mark.parametrize("sign", [1, -1])
def test_large_integers_are_rounded_to_even(level, sign):
    frames = sign * (2 ** np.arange(40, 54)[:, None, None] + np.array([[0, 1, 2, 3]]))
    out = np.empty_like(frames)
    warp.shift(frames, np.full((14, 2), [0, 0.5]), out, 1, None)
    assert (out[:-1, 0] - frames[:-1, 0]).tolist() == [[0, sign, 0, 0]] * 13


def test_integers_are_rounded_to_even_and_kept_in_range(level):
    frames = np.array([[[0, 1, 2, 3, 4, 255, 255, 0, 0]]], np.uint8)
    out = np.empty_like(frames)
    warp.shift(frames, np.array([[0, 0.5]]), out, 1, None)
    assert out[0, 0].tolist() == [0, 2, 2, 4, 130, 255, 128, 0, 0]
    warp.shift(frames, np.array([[0, 0.5]]), out, 3, None)
    assert out[0, 0, [5, 7]].tolist() == [255, 0]
    for dtype in ("int64", "uint64", "int32"):
        limits = np.iinfo(dtype)
        edge = np.array([[[limits.min] * 3 + [limits.max] * 3]], dtype)
        out = np.empty_like(edge)
        warp.shift(edge, np.array([[0, 0.5]]), out, 3, None)
        assert out[0, 0, [1, 3]].tolist() == [limits.min, limits.max]


@pytest.mark.parametrize("fill", [None, 0.0])
def test_shift_equals_scipy(level, fill):
    rng = np.random.default_rng(4)
    for shape in ((13, 17), (7, 8, 5)):
        frame = rng.normal(100, 10, shape)
        for by in ((0.3, -1.7, 0.6), (-2.25, 3, -1), (30.0, -0.5, 0.1)):
            out = np.empty((1, *shape))
            warp.shift(frame[None], np.array([by[: len(shape)]]), out, 1, fill)
            grid = np.indices(shape).astype(float)
            grid += np.reshape(by[: len(shape)], (-1,) + (1,) * len(shape))
            mode = "nearest" if fill is None else "constant"
            expected = ndimage.map_coordinates(frame, grid, order=1, mode=mode)
            np.testing.assert_allclose(out[0], expected, rtol=1e-12)


def test_the_cubic_keeps_polynomials_of_second_degree(level):
    """Keys: third-order convergence, so a parabola is reproduced."""
    x = np.arange(20.0)
    frame = np.ascontiguousarray(np.broadcast_to(3 * x * x - 7 * x + 1, (1, 5, 20)))
    out = np.empty_like(frame)
    warp.shift(frame, np.array([[0.0, 0.3]]), out, 3, None)
    at = x + 0.3
    np.testing.assert_allclose(out[0, :, 1:17], np.tile(3 * at**2 - 7 * at + 1, (5, 1))[:, 1:17])


def test_no_frames_and_no_pixels():
    for shape in ((0, 4, 5), (2, 0, 5), (2, 4, 0), (2, 4, 5, 0)):
        frames = np.zeros(shape)
        warp.shift(frames, np.ones((shape[0], len(shape) - 1)), np.zeros(shape), 1, 0)


def test_frames_at_any_distance(level):
    frames = random_frames("uint16", (6, 5, 7))
    out = np.zeros((9, 5, 7), np.uint16)
    shifts = np.full((6, 4), 0.5)[::2, ::2]
    warp.shift(frames[::-2], shifts, out[::3], 1, None)
    for i in range(3):
        expected = twins.shifted(frames[5 - 2 * i], (0.5, 0.5), 1, None, "uint16")
        assert np.array_equal(out[3 * i], expected)
        assert not out[3 * i + 1 : 3 * i + 3].any()


def smooth(k, b0, b1, scale=1.5):
    rng = np.random.default_rng(b1)
    return rng.normal(0, scale, (k, b0, b1, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("fill", [None, 7])
def test_warp_equals_the_twin(dtype, order, fill):
    frames = random_frames(dtype, (4, 37, 61))
    rows, columns = np.array([-3.5, 8, 20.25, 50]), np.array([5.0, 17.5, 40])
    shifts = smooth(4, 4, 3) * np.array([0, 1, 5, 40])[:, None, None, None]
    shifts[1, :2, :2] = [2, -3]
    for out_dtype in outputs(dtype):
        check_warp(frames, shifts, rows, columns, order, fill, out_dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("order", [1, 3])
def test_warp_of_every_width(dtype, order):
    for n in (*range(1, 21), 33, 67):
        for shape in ((3, n), (n, 1)):
            centers = [np.linspace(0.5, 0.8 * m, min(m, 3)) for m in shape]
            shifts = smooth(1, *(len(c) for c in centers))
            check_warp(random_frames(dtype, (1, *shape)), shifts, *centers, order, 1, dtype)


@given(
    st.sampled_from(DTYPES),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from([0.0, 0.5, 1.0, 3.0, 1e3, 1e9, 1e300]),
    st.sampled_from([1, 3]),
    st.sampled_from([None, 0]),
)
def test_any_warp(dtype, shape, blocks, scale, order, fill):
    rng = np.random.default_rng(shape)
    centers = [np.sort(rng.uniform(-10, 50, b)) for b in blocks]
    shifts = np.round(rng.normal(0, 1, (1, *blocks, 2)) * 4) / 4 * scale
    check_warp(random_frames(dtype, (1, *shape)), shifts, *centers, order, fill, dtype)


@pytest.mark.parametrize("dtype", twins.FLOATS)
@pytest.mark.parametrize("order", [1, 3])
def test_nan_and_infinity_of_warped_frames(dtype, order):
    rng = np.random.default_rng(3)
    frames = twins.nasty_floats(rng, dtype, 6, 451).reshape(6, 11, 41)
    rows, columns = np.array([0.0, 10]), np.array([0.0, 20, 40])
    shifts = smooth(6, 2, 3)
    shifts[0] = [1, -2]
    for fill in (None, np.nan, np.inf, -0.0):
        check_warp(frames, shifts, rows, columns, order, fill, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("fill", [None, 3])
def test_a_warp_by_one_block_is_a_shift(level, dtype, order, fill):
    """Also bit by bit, where the shift is a number of float32."""
    frames = random_frames(dtype, (6, 13, 45))
    if np.dtype(dtype).kind == "f":
        frames = np.abs(frames) + 1
    shifts = np.array([[0, 0], [1, -2], [0.25, 0.5], [-3.75, 2], [100.5, 0], [-1e300, 1e9]])
    one, shifted = np.zeros(1), np.empty_like(frames)
    warped = np.empty_like(frames)
    warp.shift(frames, shifts, shifted, order, fill)
    warp.warp(frames, shifts[:, None, None], one, one, warped, order, fill)
    assert np.array_equal(warped, shifted)


def test_warp_equals_scipy(level):
    rng = np.random.default_rng(4)
    frame, shifts = rng.normal(100, 10, (40, 50)), smooth(1, 3, 4)
    rows, columns = np.array([5.0, 20, 35]), np.array([5.0, 15, 30, 45])
    grid = np.indices(frame.shape).astype(float)
    at = [
        np.interp(np.arange(n), c, np.arange(len(c)))
        for n, c in zip(frame.shape, (rows, columns), strict=True)
    ]
    for axis in range(2):
        grid[axis] += ndimage.map_coordinates(
            shifts[0, :, :, axis], np.meshgrid(*at, indexing="ij"), order=1
        )
    for fill, mode in ((None, "nearest"), (0, "constant")):
        expected = ndimage.map_coordinates(frame, grid, order=1, mode=mode)
        for dtype, tolerance in (("float64", 1e-11), ("float32", 1e-5)):
            out = np.empty((1, 40, 50), dtype)
            warp.warp(frame[None].astype(dtype), shifts, rows, columns, out, 1, fill)
            np.testing.assert_allclose(out[0], expected, rtol=tolerance)


def test_a_pixel_that_moves_by_whole_numbers_keeps_large_integers(level):
    frames = np.full((1, 4, 9), 2**63 + 1, np.uint64)
    frames[0, 2, 3] += 10
    out = np.empty_like(frames)
    warp.warp(frames, np.ones((1, 1, 1, 2)), np.zeros(1), np.zeros(1), out, 3, None)
    assert np.argwhere(out[0] == 2**63 + 11).tolist() == [[1, 2]]
    assert (out == 2**63 + 1).sum() == 35


def test_warp_of_no_frames_and_no_pixels():
    one = np.zeros(1)
    for shape in ((0, 4, 5), (2, 0, 5), (2, 4, 0)):
        frames, by = np.zeros(shape), np.zeros((shape[0], 1, 1, 2))
        warp.warp(frames, by, one, one, np.zeros(shape), 1, 0)
