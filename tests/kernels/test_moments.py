"""Exact integer moments and extremes, against Python integers and fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpimages.kernels import isa, moments

from ..support import twins

SIZES = [(1, 1), (7, 9), (8, 64), (9, 1), (17, 33), (40, 70), (0, 5), (5, 0)]


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def fresh(dtype, m):
    """Sums, squares, maxima and minima before the first record."""
    nsum, nsquare = moments.integer_limbs(dtype)
    limits = np.iinfo(dtype)
    return (
        np.zeros((nsum, m), np.uint64),
        np.zeros((nsquare, m), np.uint64),
        np.full(m, limits.min, dtype),
        np.full(m, limits.max, dtype),
    )


def check_against_twins(batch, sums, squares, maxima, minima):
    signed = batch.dtype.kind == "i"
    exact = twins.exact_sums(batch)
    assert twins.integers_of(sums, signed) == exact[0]
    assert twins.integers_of(squares, False) == exact[1]
    if len(batch):
        assert twins.same_bits(maxima, twins.maxima(batch))
        assert twins.same_bits(minima, twins.minima(batch))


@pytest.mark.parametrize("dtype", twins.INTEGERS)
@pytest.mark.parametrize("size", SIZES)
def test_accumulate_is_exact(level, dtype, size):
    batch = twins.random_records(np.random.default_rng(0), dtype, *size)
    out = fresh(dtype, size[1])
    moments.accumulate(batch, *out)
    check_against_twins(batch, *out)


@pytest.mark.parametrize("dtype", twins.INTEGERS)
@pytest.mark.parametrize("value", ["min", "max"])
def test_accumulate_at_the_limits_of_the_dtype(level, dtype, value):
    batch = np.full((100, 5), getattr(np.iinfo(dtype), value), dtype)
    out = fresh(dtype, 5)
    for _ in range(3):
        moments.accumulate(batch, *out)
    check_against_twins(np.concatenate([batch] * 3), *out)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("value", ["min", "max"])
def test_narrow_partial_sums_are_spilled_in_time(level, dtype, value):
    extreme = getattr(np.iinfo(dtype), value)
    batch = np.broadcast_to(np.full(3, extreme, dtype), (70000, 3))
    sums, squares, _, _ = fresh(dtype, 3)
    moments.accumulate(batch, sums, squares)
    assert twins.integers_of(sums, dtype.startswith("i")) == [70000 * int(extreme)] * 3
    assert twins.integers_of(squares, False) == [70000 * int(extreme) ** 2] * 3


@pytest.mark.parametrize("dtype", twins.INTEGERS)
@pytest.mark.parametrize("m", [4031, 4096, 4099, 8200])
def test_accumulate_across_tiles(level, dtype, m):
    batch = twins.random_records(np.random.default_rng(m), dtype, 17, m)
    sums, squares, maxima, minima = fresh(dtype, m)
    moments.accumulate(batch, sums, squares, maxima, minima)
    wide = batch.astype(object)
    assert twins.integers_of(sums, dtype.startswith("i")) == list(wide.sum(axis=0))
    assert twins.integers_of(squares, False) == list((wide * wide).sum(axis=0))
    assert np.array_equal(maxima, batch.max(axis=0))
    assert np.array_equal(minima, batch.min(axis=0))


@pytest.mark.parametrize("dtype", twins.INTEGERS)
def test_any_subset_of_outputs_gives_the_same(level, dtype):
    batch = twins.random_records(np.random.default_rng(1), dtype, 19, 37)
    whole = fresh(dtype, 37)
    moments.accumulate(batch, *whole)
    for subset in range(16):
        out = [a if subset >> i & 1 else None for i, a in enumerate(fresh(dtype, 37))]
        moments.accumulate(batch, *out)
        for got, expected in zip(out, whole, strict=True):
            assert got is None or twins.same_bits(got, expected)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64"])
def test_strided_reversed_unaligned_and_read_only_batches(level, dtype):
    rng = np.random.default_rng(2)
    batch = twins.random_records(rng, dtype, 10, 21)
    wide = np.zeros((20, 50), dtype)
    wide[::2, 7:28] = batch
    shifted = np.zeros(batch.nbytes + 1, np.uint8)
    shifted[1:] = batch.reshape(-1).view(np.uint8)
    unaligned = shifted[1:].view(dtype).reshape(batch.shape)
    frozen = batch.copy()
    frozen.flags.writeable = False
    for same in (wide[::2, 7:28], unaligned, frozen):
        maxima, minima = batch[0].copy(), batch[0].copy()
        moments.accumulate_extrema(same, maxima, minima)
        assert twins.same_bits(maxima, twins.maxima(batch))
        assert twins.same_bits(minima, twins.minima(batch))
        if dtype not in twins.FLOATS:
            out, reverse = fresh(dtype, 21), fresh(dtype, 21)
            moments.accumulate(same, *out)
            moments.accumulate(same[::-1], *reverse)
            check_against_twins(batch, *out)
            assert all(map(twins.same_bits, out, reverse))


@pytest.mark.parametrize("dtype", ["uint16", "int64"])
def test_outputs_may_be_bands_of_wider_arrays(level, dtype):
    batch = twins.random_records(np.random.default_rng(3), dtype, 10, 20)
    nsum, nsquare = moments.integer_limbs(dtype)
    sums, squares = np.zeros((nsum, 50), np.uint64), np.zeros((nsquare, 50), np.uint64)
    moments.accumulate(batch, sums[:, 10:30], squares[:, 10:30])
    exact = twins.exact_sums(batch)
    assert twins.integers_of(sums[:, 10:30], dtype == "int64") == exact[0]
    assert twins.integers_of(squares[:, 10:30], False) == exact[1]
    for array in (sums, squares):
        assert not array[:, :10].any()
        assert not array[:, 30:].any()


@pytest.mark.parametrize("dtype", twins.FLOATS)
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 200), (9, 2050), (25, 64)])
def test_float_extremes_of_nasty_values(level, dtype, size):
    rng = np.random.default_rng(4)
    batch = twins.nasty_floats(rng, dtype, *size)
    for order in (slice(None), slice(None, None, -1)):
        maxima = np.full(size[1], -np.inf, dtype)
        minima = np.full(size[1], np.inf, dtype)
        for record in batch[order]:
            moments.accumulate_extrema(record[None], maxima, minima)
        assert twins.same_bits(maxima, twins.maxima(batch))
        assert twins.same_bits(minima, twins.minima(batch))
    once = np.full(size[1], -np.inf, dtype), np.full(size[1], np.inf, dtype)
    moments.accumulate_extrema(batch, *once)
    assert twins.same_bits(once[0], maxima)
    assert twins.same_bits(once[1], minima)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_any_cut_of_the_records_gives_the_same_bits(data):
    dtype = data.draw(st.sampled_from(twins.INTEGERS))
    k, m = data.draw(st.integers(0, 40)), data.draw(st.integers(0, 40))
    cuts = sorted(data.draw(st.lists(st.integers(0, k), max_size=4)))
    batch = twins.random_records(np.random.default_rng(k * 41 + m), dtype, k, m)
    pieces, whole = fresh(dtype, m), fresh(dtype, m)
    moments.accumulate(batch, *whole)
    for a, b in zip([0, *cuts], [*cuts, k], strict=True):
        moments.accumulate(batch[a:b], *pieces)
    assert all(map(twins.same_bits, pieces, whole))
    check_against_twins(batch, *whole)


def check_finish(totals, squares, count, nsum, nsquare, signed):
    mean, variance = moments.finish_integers(
        twins.limbs_of(totals, nsum), twins.limbs_of(squares, nsquare), count, signed
    )
    assert list(mean) == [twins.exact_mean(s, count) for s in totals]
    for got, s, q in zip(variance, totals, squares, strict=True):
        exact = twins.exact_variance(s, q, count)
        assert abs(Fraction(float(got)) - exact) <= 2 * Fraction(float(np.spacing(float(exact))))


@pytest.mark.parametrize("dtype", twins.INTEGERS)
@pytest.mark.parametrize("size", [(1, 9), (7, 9), (40, 30)])
def test_finish_is_correctly_rounded(dtype, size):
    batch = twins.random_records(np.random.default_rng(5), dtype, *size)
    nsum, nsquare = moments.integer_limbs(dtype)
    check_finish(*twins.exact_sums(batch), size[0], nsum, nsquare, dtype.startswith("i"))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_finish_of_huge_counts(data):
    """Two values only, each of them many times: the sums are known without adding them up."""
    dtype = np.dtype(data.draw(st.sampled_from(twins.INTEGERS)))
    limits = np.iinfo(dtype)
    bits = {1: 40, 2: 31, 4: 31, 8: 62}[dtype.itemsize]
    value = st.integers(int(limits.min), int(limits.max))
    x, y = data.draw(value), data.draw(value)
    count = data.draw(st.integers(1, 2**bits))
    n = data.draw(st.integers(0, count))
    nsum, nsquare = moments.integer_limbs(dtype)
    total, square = n * x + (count - n) * y, n * x * x + (count - n) * y * y
    check_finish([total], [square], count, nsum, nsquare, dtype.kind == "i")


def test_finish_rounds_a_tie_to_even_and_a_near_tie_up():
    tie = 2**54 + 2  # / 4 lies half-way between two doubles
    totals = [4 * (2**53 + 1), 4 * (2**53 + 3), 4 * (2**53 + 1) + 1, tie]
    mean, variance = moments.finish_integers(twins.limbs_of(totals, 2), None, 4, False)
    assert variance is None
    assert list(mean) == [float(Fraction(t, 4)) for t in totals]


@pytest.mark.parametrize("names", [["mean"], ["variance"], ["mean", "variance"]])
def test_finish_puts_only_what_is_asked_where_it_is_told(names):
    batch = np.arange(60, dtype=np.uint8).reshape(4, 15)
    sums, squares, _, _ = fresh("uint8", 15)
    moments.accumulate(batch, sums, squares)
    expected = dict(
        zip(["mean", "variance"], moments.finish_integers(sums, squares, 4, False), strict=True)
    )
    out = {name: np.full(19, 77.0) for name in names}
    band = slice(3, 14)
    found = moments.finish_integers(
        sums[:, band],
        squares[:, band],
        4,
        False,
        **{name: array[5:16] for name, array in out.items()},
    )
    assert [array is None for array in found] == [name not in names for name in expected]
    for name, array in out.items():
        assert twins.same_bits(array[5:16].copy(), expected[name][band].copy())
        assert set(np.delete(array, slice(5, 16))) == {77.0}


def test_constant_pixels_have_no_variance():
    batch = np.full((1000, 3), 2**63 - 1, np.int64)
    sums, squares, _, _ = fresh("int64", 3)
    moments.accumulate(batch, sums, squares)
    mean, variance = moments.finish_integers(sums, squares, 1000, True)
    assert list(mean) == [float(2**63)] * 3
    assert not variance.any()
