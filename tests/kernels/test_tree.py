"""The float tree: every cut of the records into ranks and batches gives the same bits."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpimages.kernels import isa, moments

from ..support import twins


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def canonical(array):
    return np.where(np.isnan(array), np.nan, array)


def push_range(records, first, stop, cuts, parts=3):
    """Push records first ... stop - 1 in batches; returns the slots."""
    shape = (int(stop).bit_length(), parts, records.shape[1])
    left, right = np.full(shape, 7.0), np.full(shape, 7.0)
    for a, b in zip([first, *cuts], [*cuts, stop], strict=True):
        moments.push_floats(records[a:b], a, first, left, right)
    return left, right


def nodes_of(first, stop, left, right):
    """{(level, index): node} from the slots that are in use."""
    in_left, in_right = moments.occupied(first, stop)
    nodes = {(lv, -(-first // 2**lv)): left[lv] for lv in in_left}
    nodes.update({(lv, stop // 2**lv - 1): right[lv] for lv in in_right})
    return nodes


@pytest.mark.parametrize("limit", [20])
def test_occupied_is_the_decomposition_of_the_range(limit):
    for first in range(limit):
        for stop in range(first, 2 * limit):
            left, right = moments.occupied(first, stop)
            assert left == sorted(left)
            assert right == sorted(right)
            nodes = [(lv, -(-first // 2**lv)) for lv in left]
            nodes += [(lv, stop // 2**lv - 1) for lv in reversed(right)]
            assert nodes == twins.decomposition(first, stop)
            assert all(index % 2 for _, index in nodes[: len(left)])
            assert not any(index % 2 for _, index in nodes[len(left) :])


@pytest.mark.parametrize("dtype", twins.FLOATS)
@pytest.mark.parametrize(
    "span", [(0, 1), (0, 8), (0, 37), (3, 40), (5, 6), (7, 17), (8, 32), (4, 4), (0, 64), (61, 200)]
)
@pytest.mark.parametrize("m", [1, 9, 1023, 1025])
def test_nodes_equal_the_recursion(level, dtype, span, m):
    first, stop = span
    records = twins.random_records(np.random.default_rng(6), dtype, stop, m)
    slots = push_range(records, first, stop, [])
    for (lv, index), got in nodes_of(first, stop, *slots).items():
        assert twins.same_bits(got, np.stack(twins.node(records, lv, index)))


@pytest.mark.parametrize("dtype", twins.FLOATS)
@pytest.mark.parametrize("shift", [1, 16])
def test_records_anywhere_in_memory_give_the_same_bits(level, dtype, shift):
    records = twins.random_records(np.random.default_rng(13), dtype, 100, 1100)
    memory = np.zeros((100, records.nbytes // 100 + 64 + shift), np.uint8)
    memory[:, shift : shift + records.nbytes // 100] = records.view(np.uint8)
    moved = memory[:, shift : shift + records.nbytes // 100].view(dtype)
    for parts in (2, 3):
        here = nodes_of(5, 100, *push_range(records, 5, 100, [40], parts))
        there = nodes_of(5, 100, *push_range(moved, 5, 100, [40], parts))
        assert all(twins.same_bits(there[key], node) for key, node in here.items())


@pytest.mark.parametrize("dtype", twins.FLOATS)
def test_nasty_values_give_the_same_bits_at_every_level(dtype):
    records = twins.nasty_floats(np.random.default_rng(7), dtype, 143, 600)
    seen = []
    for name in isa.available():
        isa.force(name)
        nodes = nodes_of(3, 143, *push_range(records, 3, 143, [5, 21, 70]))
        seen.append({key: node.tobytes() for key, node in nodes.items()})
        for (lv, index), got in nodes.items():
            assert twins.same_bits(got, canonical(np.stack(twins.node(records, lv, index))))
    isa.force()
    assert all(bits == seen[0] for bits in seen)


def join(pieces, exact):
    """Merge ranks' nodes with merge_nodes until no two siblings are left."""
    nodes = {key: node.copy() for piece in pieces for key, node in piece.items()}
    while True:
        pairs = [(lv, i) for lv, i in nodes if i % 2 == 0 and (lv, i + 1) in nodes]
        if not pairs:
            return nodes
        for lv, i in pairs:
            a, b = nodes.pop((lv, i)), nodes.pop((lv, i + 1))
            moments.merge_nodes(a, b, lv, a, exact)
            nodes[lv + 1, i // 2] = a


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_cut_into_ranks_and_batches_gives_the_same_bits(data):
    n = data.draw(st.integers(1, 150))
    parts = data.draw(st.sampled_from([2, 3]))
    dtype = data.draw(st.sampled_from(twins.FLOATS))
    cut = st.lists(st.integers(0, n), max_size=5)
    ranks = [0, *sorted(data.draw(cut)), n]
    batches = sorted(data.draw(cut))
    records = twins.random_records(np.random.default_rng(n), dtype, n, 5)
    whole = nodes_of(0, n, *push_range(records, 0, n, [], parts))
    pieces = []
    for first, stop in itertools.pairwise(ranks):
        cuts = [c for c in batches if first <= c <= stop]
        pieces.append(nodes_of(first, stop, *push_range(records, first, stop, cuts, parts)))
    joined = join(pieces, moments.exact_levels(dtype))
    assert joined.keys() == whole.keys()
    for key, node in whole.items():
        assert twins.same_bits(joined[key], node)


@pytest.mark.parametrize("dtype", twins.FLOATS)
def test_sums_alone_are_the_same_sums(level, dtype):
    records = twins.random_records(np.random.default_rng(8), dtype, 45, 600)
    both, alone = (nodes_of(2, 45, *push_range(records, 2, 45, [11], parts)) for parts in (3, 2))
    for key, node in both.items():
        assert twins.same_bits(alone[key], node[:2])


@pytest.mark.parametrize("dtype", twins.FLOATS)
def test_bands_of_pixels_give_the_same_bits(level, dtype):
    records = twins.random_records(np.random.default_rng(9), dtype, 21, 1100)
    _, right = push_range(records, 0, 21, [])
    bands = np.full_like(right, 7.0)
    for a, b in ((0, 1), (1, 700), (700, 1100)):
        slots = bands[:, :, a:b]
        moments.push_floats(records[:, a:b], 0, 0, np.zeros_like(slots), slots)
    for lv in moments.occupied(0, 21)[1]:
        assert twins.same_bits(bands[lv], right[lv])


@pytest.mark.parametrize("dtype", twins.FLOATS)
def test_extremes_ride_along(level, dtype):
    records = twins.nasty_floats(np.random.default_rng(10), dtype, 30, 600)
    left, right = np.zeros((5, 3, 600)), np.zeros((5, 3, 600))
    maxima, minima = np.full(600, -np.inf, dtype), np.full(600, np.inf, dtype)
    moments.push_floats(records, 0, 0, left, right, maxima, minima)
    assert twins.same_bits(maxima, twins.maxima(records))
    assert twins.same_bits(minima, twins.minima(records))


@pytest.mark.parametrize("dtype", twins.FLOATS)
@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9])
@pytest.mark.parametrize("parts", [2, 3])
def test_accuracy_against_exact_arithmetic(dtype, offset, parts):
    records = (np.random.default_rng(11).normal(size=(1000, 9)) * 100 + offset).astype(dtype)
    nodes = nodes_of(0, 1000, *push_range(records, 0, 1000, [333], parts))
    total, count = None, 0
    for (lv, _), node in sorted(nodes.items()):
        if total is None:
            total = node.copy()
        else:
            moments.fold(node, 2**lv, total, count, total)
        count += 2**lv
    found = moments.finish_floats(total, 1000)
    for pixel in range(9):
        values = [Fraction(float(x)) for x in records[:, pixel]]
        mean = sum(values) / 1000
        assert found[0][pixel] == float(sum(values))
        assert found[1][pixel] == float(mean)
        if parts == 3:
            variance = float(sum((x - mean) ** 2 for x in values) / 1000)
            assert found[2][pixel] == pytest.approx(variance, rel=1e-14)
    assert (found[2] is None) == (parts == 2)
    twin = twins.tree_moments(records)
    assert twins.same_bits(total, np.stack(twin[:parts]))
    for value, expected in zip(found[:parts], twins.finish(twin, 1000), strict=False):
        assert twins.same_bits(value, expected)


@pytest.mark.parametrize("name", ["total", "mean", "variance"])
def test_finish_puts_only_what_is_asked_where_it_is_told(name):
    node = np.random.default_rng(3).normal(size=(3, 13)) ** 2
    expected = dict(zip(["total", "mean", "variance"], moments.finish_floats(node, 8), strict=True))
    out = np.full(20, 77.0)
    found = moments.finish_floats(node[:, 2:11], 8, **{name: out[3:12]})
    assert [array is None for array in found] == [other != name for other in expected]
    assert twins.same_bits(out[3:12].copy(), expected[name][2:11].copy())
    assert set(np.delete(out, slice(3, 12))) == {77.0}


def test_finish_knows_what_is_not_finite():
    node = np.array([[np.inf, -np.inf, np.nan, 4.0], [np.nan] * 3 + [0.0], [np.nan] * 3 + [8.0]])
    total, mean, variance = moments.finish_floats(node, 2)
    assert np.array_equal(total, node[0], equal_nan=True)
    assert np.array_equal(mean, [np.inf, -np.inf, np.nan, 2.0], equal_nan=True)
    assert np.array_equal(variance, [np.nan, np.nan, np.nan, 4.0], equal_nan=True)


@pytest.mark.parametrize(
    "values",
    [
        [1e308] * 4,
        [1e308, 1e308, -1e308, -1e308] * 5,
        [1.7e308, -1.7e308] * 9,
        [1e308] * 37,
        [1e308, 1e308, -np.inf] + [1.0] * 30,
        [-1e308] * 30 + [np.nan],
        [np.inf] + [1e308] * 9,
    ],
)
@pytest.mark.parametrize("parts", [2, 3])
def test_sums_beyond_the_range_are_infinite_however_they_are_cut(level, values, parts):
    n, records = len(values), np.repeat(np.array(values)[:, None], 40, axis=1)
    whole = nodes_of(0, n, *push_range(records, 0, n, [], parts))
    single = nodes_of(0, n, *push_range(records, 0, n, list(range(1, n)), parts))
    assert all(twins.same_bits(single[key], node) for key, node in whole.items())
    total, mean, variance = twins.finish(twins.tree_moments(records), n)
    with np.errstate(all="ignore"):
        expected = np.mean(records, axis=0), np.var(records, axis=0)
    if np.isfinite(values).all():  # inf or right, and never NaN
        assert not np.isnan([total, mean, variance]).any()
        assert np.isinf(variance).all()
    else:
        assert np.isnan([variance, expected[1]]).all()
        assert np.isnan(mean).all() == np.isnan(values).any()


def test_merge_and_fold_write_over_either_operand(level):
    rng = np.random.default_rng(12)
    a, b = rng.normal(size=(2, 3, 600))
    for merge, twin in (
        (lambda x, y, out: moments.merge_nodes(x, y, 4, out), twins.merge(a, b, 4)),
        (lambda x, y, out: moments.fold(x, 32, y, 5, out), twins.fold(a, 32, b, 5)),
    ):
        for over in (0, 1, None):
            pair = [a.copy(), b.copy()]
            out = np.empty_like(a) if over is None else pair[over]
            merge(*pair, out)
            assert twins.same_bits(out, np.stack(twin))


def test_equal_halves_fold_as_they_merge_in_exact_arithmetic():
    a, b = np.array([[8.0], [0.0], [2.0]]), np.array([[24.0], [0.0], [6.0]])
    merged, folded = np.empty_like(a), np.empty_like(a)
    moments.merge_nodes(a, b, 3, merged)
    moments.fold(a, 8, b, 8, folded)
    assert np.array_equal(merged, folded)
    assert np.array_equal(merged, [[32.0], [0.0], [2 + 6 + 16**2 / 16]])
