"""Images against plain NumPy: records, steps, reductions, for any number of ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.engine import image_steps

from ..support.data import DTYPES, FLOATS, INTEGERS, recording, same_bits, spread

pytestmark = pytest.mark.ranks

DIMS = [(7, 8), (1, 1), (1, 9), (7, 8, 9), (8, 1, 2), (9, 7, 1)]


@pytest.fixture(scope="module")
def data(tsc):
    return tsc.loadImagesFromArray(recording(10, (7, 8, 9), "int16"))


# -- what it is ----------------------------------------------------------------------------


def test_repr_fills_in_when_asked(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 5, 2), "uint8"))
    assert repr(images) == (
        "Images\nnrecords: 3\ndtype: None (inspect to compute)\ndims: None (inspect to compute)"
    )
    assert images.dims.count == (4, 5, 2)
    assert repr(images) == (
        "Images\nnrecords: 3\ndtype: uint8\ndims: min=(0, 0, 0), max=(3, 4, 1), count=(4, 5, 2)"
    )


def test_an_action_fills_in_the_repr(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    images.mean()
    assert "dtype: uint8" in repr(images)


def test_keys_dims_and_dtype_are_plain(data):
    assert type(data.keys().first()) is int
    assert all(type(n) is int for n in data.dims.max)
    assert isinstance(data.dtype, np.dtype)
    assert data.nrecords == data.count() == 10


@pytest.mark.parametrize("n", [0, 1, 4, 10, 99])
def test_views(data, n):
    array = recording(10, (7, 8, 9), "int16")
    assert data.keys().take(n) == list(range(10))[:n]
    taken = data.values().take(n)
    assert len(taken) == min(n, 10)
    assert all(same_bits(value, array[i]) for i, value in enumerate(taken))


def test_collect_and_first(data):
    array = recording(10, (7, 8, 9), "int16")
    assert data.keys().collect() == list(range(10))
    assert np.array_equal(np.array(data.values().collect()), array)
    key, value = data.first()
    assert key == 0
    assert same_bits(value, array[0])
    assert same_bits(data.toArray(), array)


def test_records_by_key(data):
    array = recording(10, (7, 8, 9), "int16")
    assert same_bits(data[3], array[3])
    assert same_bits(data[np.int64(9)], array[9])
    assert same_bits(data.get(0), array[0])
    assert data.get(10) is None
    assert data.get(-1) is None
    assert same_bits(data[2:5], array[2:5])
    assert same_bits(data[:], array)
    assert same_bits(data[1:9:3], array[1:9:3])
    assert same_bits(data[7:99], array[7:])


@pytest.mark.parametrize("key", [10, -11, slice(10, 12), slice(4, 4)])
def test_an_unknown_key_names_the_range(data, key):
    with pytest.raises(KeyError, match="0…9"):
        data[key]


@pytest.mark.parametrize("key", ["a", 1.0, True, None, (1, 2)])
def test_a_key_is_an_int(data, key):
    with pytest.raises(TypeError):
        data[key]


def test_what_the_user_gets_is_not_the_cache(tsc):
    array = recording(4, (3, 3), "uint8")
    images = tsc.loadImagesFromArray(array.copy()).cache()
    images[0][:] = 0
    images.toArray()[:] = 0
    for value in images.values().collect():
        value[:] = 0
    images.apply(lambda v: v.fill(0) or v).toArray()
    images.filter(lambda k, v: v.fill(0) or True).count()
    assert same_bits(images.toArray(), array)


def test_an_array_is_copied_unless_local(tsc):
    array = recording(4, (3, 3), "uint8")
    images = tsc.loadImagesFromArray(array)
    before = array.copy()
    array[:] = 0
    assert same_bits(images.toArray(), before)


# -- reductions ----------------------------------------------------------------------------


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics(tsc, dtype, dims):
    array = recording(9, dims, dtype)
    images = spread(tsc, array)
    wide = array.astype(object) if dtype in INTEGERS else array.astype(np.float64)
    assert same_bits(images.max(), array.max(axis=0))
    assert same_bits(images.min(), array.min(axis=0))
    mean = images.mean()
    assert mean.dtype == np.float64
    np.testing.assert_allclose(mean, (wide.sum(axis=0) / 9).astype(float), rtol=1e-13, atol=1e-12)
    exact = ((9 * (wide * wide).sum(axis=0) - wide.sum(axis=0) ** 2) / 81).astype(float)
    np.testing.assert_allclose(images.variance(), exact, rtol=1e-9)
    np.testing.assert_allclose(images.stdev(), np.sqrt(exact), rtol=1e-9)
    if dtype in FLOATS:
        np.testing.assert_allclose(images.sum(), wide.sum(axis=0), rtol=1e-13, atol=1e-10)


@pytest.mark.parametrize("dtype", INTEGERS[:6])
def test_integer_sums_are_exact(tsc, dtype):
    array = recording(9, (5, 4), dtype)
    total = spread(tsc, array).sum()
    assert total.dtype == (np.uint64 if dtype.startswith("u") else np.int64)
    assert np.array_equal(total.astype(object), array.astype(object).sum(axis=0))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_a_sum_that_does_not_fit_raises(tsc, value):
    array = np.full((3, 2, 2), value, dtype=np.int64)
    with pytest.raises(OverflowError, match="64 bits"):
        spread(tsc, array).sum()
    assert np.array_equal(spread(tsc, array).mean(), np.full((2, 2), float(value)))
    assert np.array_equal(spread(tsc, array).variance(), np.zeros((2, 2)))


def test_stats_is_all_of_them(tsc):
    images = spread(tsc, recording(9, (5, 4), "int16"))
    stats = images.stats()
    assert stats["count"] == 9
    for name in ("mean", "variance", "stdev", "sum", "max", "min"):
        assert same_bits(stats[name], getattr(images, name)())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_inf_as_in_numpy(tsc, dtype):
    array = recording(9, (2, 4), dtype)
    array[3, 0, 0] = np.nan
    array[8, 0, 1] = np.inf
    array[0, 0, 2] = -np.inf
    array[[1, 7], 0, 3] = [np.inf, -np.inf]
    with np.errstate(invalid="ignore"):
        images = spread(tsc, array)
        for name, twin in [
            ("mean", np.mean),
            ("sum", np.sum),
            ("max", np.max),
            ("min", np.min),
            ("stdev", np.std),
            ("variance", np.var),
        ]:
            expected = twin(array.astype(np.float64), axis=0)
            np.testing.assert_allclose(getattr(images, name)(), expected, rtol=1e-10, err_msg=name)


def test_a_large_offset_costs_no_accuracy(tsc):
    array = recording(64, (3, 3), "float64") / 100 + 1e9
    np.testing.assert_allclose(spread(tsc, array).stdev(), array.std(axis=0), rtol=1e-6)


@given(st.integers(1, 70), st.integers(0, 2**20))
def test_any_distribution_gives_the_same_bits(tsc, count, seed):
    for dtype in ("float32", "float64", "uint16", "int64"):
        array = recording(count, (2, 3), dtype, seed % 7)
        spreaded = spread(tsc, array, seed)
        alone = tsc.loadImagesFromArray(array)
        for name in ("mean", "variance", "max", "min"):
            assert same_bits(getattr(spreaded, name)(), getattr(alone, name)())


def test_more_ranks_than_images(tsc):
    array = recording(1, (3, 4), "uint16")
    images = tsc.loadImagesFromArray(array)
    assert np.array_equal(images.stdev(), np.zeros((3, 4)))
    assert same_bits(images.toArray(), array)
    assert same_bits(images.toSeries().toArray(), np.moveaxis(array, 0, -1))


def test_no_records_have_no_mean(data):
    nothing = data.filterOnKeys(lambda key: False)
    assert nothing.count() == 0
    for action in (nothing.mean, nothing.first, nothing.values().first, nothing.keys().first):
        with pytest.raises(ValueError, match="no records"):
            action()
    with pytest.raises(ValueError, match="no images"):
        nothing.toSeries().count()


# -- projections and other steps -----------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_projections(tsc, dtype, axis):
    array = recording(3, (7, 8, 9), dtype)
    images = spread(tsc, array)
    along = axis % 3 + 1
    assert same_bits(images.maxProjection(axis).toArray(), array.max(axis=along))
    assert same_bits(images.minProjection(axis).toArray(), array.min(axis=along))
    wide = array.astype(np.float64)
    mean = images.meanProjection(axis).toArray()
    assert mean.dtype == np.float64
    np.testing.assert_allclose(mean, wide.mean(axis=along), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(
        images.stdevProjection(axis).toArray(), wide.std(axis=along), rtol=1e-9
    )
    projection = images.maxminProjection(axis)
    if dtype not in ("int64", "uint64"):
        both = array.max(axis=along).astype(object) + array.min(axis=along).astype(object)
        result = projection.toArray()
        np.testing.assert_allclose(result.astype(float), both.astype(float), rtol=1e-6)
        assert projection.dtype == result.dtype
        total = images.sumProjection(axis).toArray()
        if dtype in INTEGERS:
            assert np.array_equal(total.astype(object), array.astype(object).sum(axis=along))
        else:
            np.testing.assert_allclose(total, wide.sum(axis=along), rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize("piece", [1, 1500, 4 << 20])
def test_projections_of_what_must_be_converted_first(tsc, monkeypatch, piece):
    monkeypatch.setattr(image_steps, "PIECE_BYTES", piece)
    volumes = recording(5, (7, 8, 9), "uint8")
    half = volumes.astype(np.float16)
    expected = volumes.max(axis=2)
    assert same_bits(spread(tsc, half).maxProjection(1).toArray(), expected.astype(np.float16))
    total = spread(tsc, half).sumProjection(1).toArray()
    assert same_bits(total, volumes.sum(axis=2, dtype=np.float64))
    images = spread(tsc, volumes).cache()
    part = images.crop((0, 1, 2), (7, 8, 8)).maxProjection(1)
    assert same_bits(part.toArray(), volumes[:, :, 1:, 2:8].max(axis=2))


def test_a_projection_of_what_a_function_returns(tsc):
    volumes = recording(5, (7, 8, 9), "uint8")
    images = spread(tsc, volumes).apply(lambda v: v.astype(np.int16) - 300).maxProjection(0)
    assert same_bits(images.toArray(), volumes.astype(np.int16).max(axis=1) - np.int16(300))


def test_projections_of_64_bits_that_do_not_fit(tsc):
    images = tsc.loadImagesFromArray(np.full((2, 2, 3, 4), 2**63, dtype=np.uint64))
    for name in ("sumProjection", "maxminProjection"):
        with pytest.raises(OverflowError):
            getattr(images, name)(2).toArray()


def test_a_projection_of_a_plane_is_a_profile(tsc):
    array = recording(3, (7, 8), "uint16")
    profile = tsc.loadImagesFromArray(array).maxProjection(1)
    assert profile.dims.count == (7,)
    assert same_bits(profile.toArray(), array.max(axis=2))
    assert same_bits(profile.toSeries().toArray(), array.max(axis=2).T.copy())


@pytest.mark.parametrize("axis", [3, -4, 99])
def test_an_axis_out_of_range_states_the_axes(data, axis):
    with pytest.raises(ValueError, match="3 axes"):
        data.maxProjection(axis)


def test_the_default_axis_needs_volumes(tsc):
    with pytest.raises(ValueError, match="2 axes"):
        tsc.loadImagesFromArray(np.zeros((2, 3, 4), np.uint8)).maxProjection()


def test_planes(data):
    array = recording(10, (7, 8, 9), "int16")
    assert same_bits(data.planes(2, 4).toArray(), array[..., 2:5])
    assert same_bits(data.planes(3, 3).toArray(), array[..., 3])
    assert same_bits(data.planes(3).toArray(), array[..., 3])
    assert same_bits(data.planes([8, 0]).toArray(), array[..., [8, 0]])
    assert same_bits(data.planes([5]).toArray(), array[..., 5])
    assert data.planes(0, 0).dims.count == (7, 8)


@pytest.mark.parametrize("bounds", [(4, 2), (-1, 2), (0, 9), ([],), ([9],)])
def test_planes_that_are_not_there(data, bounds):
    with pytest.raises(ValueError, match="planes"):
        data.planes(*bounds)


def test_planes_of_a_plane(tsc):
    with pytest.raises(ValueError, match="volumes"):
        tsc.loadImagesFromArray(np.zeros((2, 3, 4), np.uint8)).planes(0, 0)


@pytest.mark.parametrize("factor", [1, 2, 5, 100, [5, 5, 1], (1, 2, 3)])
def test_subsample(data, factor):
    array = recording(10, (7, 8, 9), "int16")
    f = [factor] * 3 if isinstance(factor, int) else factor
    sub = data.subsample(factor)
    assert same_bits(sub.toArray(), array[:, :: f[0], :: f[1], :: f[2]].copy())
    assert sub.dims.count == tuple(math.ceil(n / k) for n, k in zip((7, 8, 9), f, strict=True))


@pytest.mark.parametrize("factor", [0, -1, [1, 2], [1, 1, 0], []])
def test_bad_factors(data, factor):
    with pytest.raises(ValueError, match="subsample"):
        data.subsample(factor)


def test_crop(data):
    array = recording(10, (7, 8, 9), "int16")
    assert same_bits(data.crop((1, 0, 8), (7, 2, 9)).toArray(), array[:, 1:7, 0:2, 8:9].copy())


@pytest.mark.parametrize(
    "bounds",
    [((0, 0), (1, 1)), ((0, 0, 0), (8, 1, 1)), ((2, 0, 0), (2, 1, 1)), ((-1, 0, 0), (2, 1, 1))],
)
def test_bad_bounds(data, bounds):
    with pytest.raises(ValueError, match="crop"):
        data.crop(*bounds)


def test_steps_are_lazy_and_compose(tsc):
    calls = []
    images = tsc.loadImagesFromArray(recording(4, (6, 6, 3), "uint8"))
    chained = images.planes(1, 2).apply(lambda v: calls.append(1) or v + 1).maxProjection(2)
    assert calls == []
    expected = (recording(4, (6, 6, 3), "uint8")[..., 1:] + np.uint8(1)).max(axis=3)
    assert same_bits(chained.toArray(), expected)


def test_apply_learns_what_it_was_not_told(tsc):
    images = tsc.loadImagesFromArray(recording(5, (6, 7), "uint8"))
    halves = images.apply(lambda v: v[::2] / 2)
    assert halves.dims is None
    assert halves.dtype is None
    expected = recording(5, (6, 7), "uint8")[:, ::2] / 2
    assert same_bits(halves.toArray(), expected)
    assert halves.dims.count == (3, 7)
    assert halves.dtype == np.float64


def test_apply_calls_the_function_once_for_each_record(tsc):
    calls = []
    images = tsc.loadImagesFromArray(recording(5, (6, 7), "uint8"))
    for action in ("mean", "toArray"):
        calls.clear()
        getattr(images.apply(lambda v: calls.append(1) or v), action)()
        assert tsc.comm.allreduce(len(calls)) == 5
    calls.clear()
    images.apply(lambda v: calls.append(1) or v).toSeries().toArray()
    assert tsc.comm.allreduce(len(calls)) == 5


def test_apply_checks_what_it_was_told(tsc):
    images = tsc.loadImagesFromArray(recording(5, (6, 7), "uint8"))
    declared = images.apply(lambda v: v.sum(axis=0), dims=(7,), dtype="uint64")
    assert declared.dims.count == (7,)
    assert declared.toArray().shape == (5, 7)
    wrong = images.apply(lambda v: v, dims=(7,), dtype="uint8")
    with pytest.raises(ValueError, match=r"key 0 has shape \(6, 7\)"):
        wrong.toArray()


@pytest.mark.parametrize("odd", [0, 2, 4])
def test_a_record_unlike_the_first_is_named(tsc, odd):
    array = np.arange(5, dtype=np.uint8)[:, None, None] * np.ones((5, 2, 2), np.uint8)
    images = tsc.loadImagesFromArray(array).apply(lambda v: v[:1] if v[0, 0] == odd else v)
    named = 1 if odd == 0 else odd
    with pytest.raises(ValueError, match=f"key {named} "):
        images.mean()
    assert images.dims is None


def test_a_function_that_fails_fails_everywhere_and_the_next_action_works(tsc):
    array = recording(5, (2, 2), "uint8")
    images = tsc.loadImagesFromArray(array)

    def fail(value):
        raise ZeroDivisionError("of my own")

    with pytest.raises(ZeroDivisionError, match="of my own"):
        images.apply(fail).mean()
    assert same_bits(images.max(), array.max(axis=0))


# -- selection -----------------------------------------------------------------------------


def test_filter(tsc):
    array = recording(9, (3, 4), "int16")
    images = spread(tsc, array)
    kept = images.filter(lambda key, value: key % 2 == 0 and value[0, 0] > -10000)
    wanted = [i for i in range(0, 9, 2) if array[i, 0, 0] > -10000]
    assert kept.nrecords is None
    assert "nrecords: None (inspect to compute)" in repr(kept)
    assert kept.keys().collect() == wanted
    assert kept.nrecords == len(wanted)
    assert same_bits(kept.toArray(), array[wanted])
    np.testing.assert_allclose(kept.mean(), array[wanted].mean(axis=0), rtol=1e-12)
    assert kept.get(1) is None
    with pytest.raises(KeyError):
        kept[1]
    assert kept.renumber().keys().collect() == list(range(len(wanted)))
    assert same_bits(kept.renumber()[1], array[wanted[1]])
    series = kept.toSeries()
    assert np.array_equal(series.index, wanted)
    assert same_bits(series.toArray(), np.moveaxis(array[wanted], 0, -1).copy())


def test_selections_before_the_first_action(tsc):
    array = recording(12, (3, 4), "int16")
    images = tsc.loadImagesFromArray(array)
    late = images.filter(lambda k, v: k > 2).filterOnKeys(lambda k: k % 2).renumber()
    late = late.crop((0, 0), (2, 2)).filter(lambda k, v: k < 3)
    series = late.toTimeSeries()
    assert series.index is None
    assert same_bits(series.toArray(), np.moveaxis(array[[3, 5, 7], :2, :2], 0, -1).copy())
    assert np.array_equal(series.index, [0, 1, 2])
    assert late.keys().collect() == [0, 1, 2]


def test_filter_on_keys_reads_nothing(tsc):
    images = tsc.loadImagesFromArray(recording(9, (3, 4), "int16"))
    touched = images.apply(lambda v: 1 / 0)
    assert touched.filterOnKeys(lambda key: key > 4).keys().collect() == [5, 6, 7, 8]


# -- regions -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float16"])
def test_mean_by_regions(tsc, dtype):
    array = recording(9, (5, 6), dtype)
    images = spread(tsc, array)
    mask = np.random.RandomState(0).randint(0, 4, (5, 6))
    expected = np.stack([array[:, mask == n].astype(float).mean(axis=1) for n in (1, 2, 3)], axis=1)
    means = images.meanByRegions(mask)
    np.testing.assert_allclose(means, expected, rtol=1e-10, atol=1e-9)
    lists = [np.argwhere(mask == n).tolist() for n in (1, 2, 3)]
    assert same_bits(images.meanByRegions(lists), means)
    assert same_bits(images.meanByRegions(mask == 2), means[:, 1:2].copy())


@pytest.mark.parametrize(
    "mask",
    [np.zeros((5, 6), int), np.ones((6, 5), int), [[(5, 0)]], [[]], [[(0, 0, 0)]], [[(0.5, 0)]]],
)
def test_bad_regions(tsc, mask):
    images = tsc.loadImagesFromArray(recording(2, (5, 6), "uint8"))
    with pytest.raises(ValueError, match=r"mask|region"):
        images.meanByRegions(mask)


@pytest.mark.parametrize("mask", [None, 3, "mask", [], np.ones((5, 6))])
def test_things_that_are_no_regions(tsc, mask):
    images = tsc.loadImagesFromArray(recording(2, (5, 6), "uint8"))
    with pytest.raises(TypeError):
        images.meanByRegions(mask)


# -- cache ---------------------------------------------------------------------------------


def test_cache_keeps_and_uncache_computes_again(tsc):
    calls = []
    images = tsc.loadImagesFromArray(recording(5, (6, 7), "uint8"))
    counted = images.apply(lambda v: calls.append(1) or v)
    assert counted.cache() is counted
    derived = counted.crop((0, 0), (2, 2))
    calls.clear()
    counted.mean()
    derived.mean()
    assert calls == []
    counted.uncache()
    first = derived.toArray()
    assert tsc.comm.allreduce(len(calls)) == 5
    assert same_bits(first, recording(5, (6, 7), "uint8")[:, :2, :2].copy())


def test_what_does_not_fit_is_refused_before_it_is_taken(comm):
    from mpimages import ThunderContext

    with ThunderContext(comm, memory="1kB") as small:
        images = small.loadImagesFromArray(np.zeros((40, 40, 40), np.uint8))
        for action in (images.toArray, images.values().collect, images.cache):
            with pytest.raises(MemoryError, match=r"budget is 1 kB"):
                action()
        assert images.mean().shape == (40, 40)
