"""Transposition, for every item size, awkward sizes and strides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.kernels import isa
from mpimages.kernels.transpose import transpose, transpose_each

from ..support import twins

DTYPES = ["uint8", "bool", "int16", "float16", ">u2", "uint32", "float32", "int64", "complex64"]
SIZES = [
    (1, 1), (7, 9), (8, 8), (9, 7), (64, 64), (65, 63), (1, 200), (200, 1), (130, 257), (64, 129),
]  # fmt: skip


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def filled(dtype, n, m):
    """Items that all differ where their size allows."""
    dtype = np.dtype(dtype)
    raw = np.random.default_rng(n * 1000 + m).integers(0, 256, n * m * dtype.itemsize, np.uint8)
    return (raw & 1 if dtype.kind == "b" else raw).view(dtype).reshape(n, m)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_transpose_moves_the_bits(level, dtype, size):
    src = filled(dtype, *size)
    dst = np.empty(size[::-1], src.dtype)
    transpose(src, dst)
    assert twins.same_bits(dst, np.ascontiguousarray(src.T))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_nothing_to_transpose(level, size):
    transpose(np.zeros(size, np.uint16), np.zeros(size[::-1], np.uint16))


@given(
    itemsize=st.sampled_from([1, 2, 4, 8]),
    n=st.integers(1, 150),
    m=st.integers(1, 150),
    pads=st.tuples(st.integers(0, 70), st.integers(0, 70)),
    shift=st.integers(0, 70),
    name=st.sampled_from(isa.available()),
)
def test_any_size_and_stride_stays_inside(itemsize, n, m, pads, shift, name):
    dtype = np.dtype(f"u{itemsize}")
    src = filled(dtype, n + 1, m + pads[0] + shift)[:n, shift : shift + m]
    whole = filled(dtype, m + 2, n + pads[1] + shift)
    expected = whole.copy()
    expected[1 : m + 1, shift : shift + n] = src.T
    isa.force(name)
    transpose(src, whole[1 : m + 1, shift : shift + n])
    isa.force()
    assert np.array_equal(whole, expected)


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
def test_tiles_of_an_array_larger_than_the_cache_lines(level, itemsize):
    """Rows at power-of-two distances, and cuts along both axes."""
    src = filled(f"u{itemsize}", 300, 1024)
    dst = np.zeros((1024, 512), src.dtype)[:, :300]
    for i in range(0, 300, 111):
        for j in range(0, 1024, 333):
            transpose(src[i : i + 111, j : j + 333], dst[j : j + 333, i : i + 111])
    assert np.array_equal(dst, src.T)


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize(("n", "pad"), [(300, 0), (320, 0), (301, 19), (9, 0)])
def test_a_large_output_past_the_cache(level, itemsize, n, pad):
    """Large enough for whatever way of storing is kept for large outputs."""
    m = (5 << 20) // (n * itemsize) + 1
    src = filled(f"u{itemsize}", n, m)
    whole = np.zeros((m, n + pad), src.dtype)
    transpose(src, whole[:, :n])
    assert np.array_equal(whole[:, :n], src.T)
    assert not whole[:, n:].any()


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("n", [1, 7, 63, 65, 71, 127, 128, 129])
@pytest.mark.parametrize("shift", [0, 2, 5])
def test_several_panels_from_any_place_in_a_line(level, itemsize, n, shift):
    """Pixels that end just before, at and just after a panel's border, in rows of dst that are
    contiguous, and in some that are not; no byte beside them is touched."""
    for m in (1024 // itemsize - 1, 1024 // itemsize + 1, 2600 // itemsize):
        src = filled(f"u{itemsize}", n, m + shift)[:, shift:]
        for pad in (0, 3):
            raw = np.full(m * (n + pad) + shift + 64, 85, src.dtype)
            whole = raw[shift : shift + m * (n + pad)].reshape(m, n + pad)
            transpose(src, whole[:, :n])
            assert np.array_equal(whole[:, :n], src.T)
            assert (whole[:, n:] == 85).all()
            assert (raw[:shift] == 85).all()
            assert (raw[shift + whole.size :] == 85).all()


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("n", [4096, 4097, 9000])
def test_more_rows_than_a_panel_takes(level, itemsize, n):
    src = filled(f"u{itemsize}", n, 301)
    dst = np.empty((301, n), src.dtype)
    transpose(src, dst)
    assert np.array_equal(dst, src.T)


def test_unaligned_and_read_only_sources(level):
    src = filled("u4", 37, 53)
    raw = np.zeros(src.nbytes + 3, np.uint8)
    raw[3:] = src.reshape(-1).view(np.uint8)
    raw.flags.writeable = False
    dst = np.empty((53, 37), np.uint32)
    transpose(raw[3:].view(np.uint32).reshape(src.shape), dst)
    assert np.array_equal(dst, src.T)


def test_reversed_rows(level):
    src = filled("u2", 37, 53)
    dst = np.empty((53, 37), np.uint16)
    transpose(src[::-1], dst[::-1])
    assert np.array_equal(dst[::-1], src[::-1].T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 7, 9), (5, 3, 40), (3, 64, 65), (4, 1, 9), (2, 130, 2)])
def test_each_matrix_of_a_stack(level, dtype, shape):
    count, n, m = shape
    src = filled(dtype, count * n, m).reshape(shape)
    dst = np.empty((count, m, n), src.dtype)
    transpose_each(src, dst)
    assert twins.same_bits(dst, np.ascontiguousarray(src.transpose(0, 2, 1)))


@pytest.mark.parametrize("order", [1, -1])
def test_matrices_of_a_stack_at_a_distance(level, order):
    src = filled("u2", 3 * 8, 5).reshape(3, 8, 5)
    whole = np.full((3, 11, 8), 7, np.uint16)
    transpose_each(src, whole[::order, 2:7])
    assert np.array_equal(whole[::order, 2:7], src.transpose(0, 2, 1))
    assert (whole[:, :2] == 7).all()
    assert (whole[:, 7:] == 7).all()


@pytest.mark.parametrize("shape", [(0, 3, 5), (3, 0, 5), (3, 5, 0)])
def test_stacks_of_nothing(level, shape):
    transpose_each(np.zeros(shape, np.uint16), np.zeros((shape[0], shape[2], shape[1]), np.uint16))
