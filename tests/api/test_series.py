"""Series against plain NumPy: the transposition, steps, reductions, samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..support.data import DTYPES, INTEGERS, recording, same_bits, spread

pytestmark = pytest.mark.ranks

DIMS = [(7, 8), (1, 1), (7, 8, 9), (8, 1, 2)]


def series_of(array):
    """(n,) + dims → dims + (n,)"""
    return np.ascontiguousarray(np.moveaxis(array, 0, -1))


@pytest.fixture(scope="module")
def series(tsc):
    return tsc.loadSeriesFromArray(recording(7, (8, 9, 11), "int16"))


# -- the transposition ---------------------------------------------------------------------


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_to_series(tsc, dtype, dims):
    array = recording(9, dims, dtype)
    series = spread(tsc, array).toSeries()
    assert series.dims.count == dims
    assert series.dtype == np.dtype(dtype)
    assert np.array_equal(series.index, np.arange(9))
    assert same_bits(series.toArray(), series_of(array))
    assert same_bits(series.cache().toArray(), series_of(array))
    assert same_bits(series.pack(), array.squeeze())


@pytest.mark.slow
@given(
    st.integers(1, 20),
    st.lists(st.integers(1, 12), min_size=2, max_size=3),
    st.integers(1, 3000),
    st.integers(0, 99),
)
def test_any_rounds_and_any_distribution(tsc, count, dims, limit, seed):
    from mpimages.core.partition import Partition
    from mpimages.core.workspace import Workspace
    from mpimages.exchange.redistribution import Redistribution

    from ..support.data import cut

    array = recording(count, tuple(dims), "uint16", seed)
    pixels = int(np.prod(dims))
    images = Partition.fromCounts(cut(count, tsc.size, seed))
    start, stop = images.bounds(tsc.rank)
    plan = Redistribution(images, Partition.balanced(pixels, tsc.size), array.dtype, limit)
    own = array[start:stop].reshape(-1, pixels)
    blocks = [block.copy() for block in plan.execute(tsc.comm, own, range(pixels), Workspace(0, 1))]
    low, high = plan.pixels.bounds(tsc.rank)
    expected = series_of(array).reshape(pixels, count)[low:high]
    assert same_bits(np.concatenate([np.empty((0, count), np.uint16), *blocks]), expected)


def test_the_conversion_is_lazy_and_follows_a_later_cache(tsc):
    calls = []
    array = recording(5, (6, 7), "uint8")
    images = tsc.loadImagesFromArray(array).apply(lambda v: calls.append(1) or v, (6, 7), "uint8")
    series = images.toTimeSeries()
    assert calls == []
    images.cache()
    calls.clear()
    assert same_bits(series.toArray(), series_of(array))
    assert calls == []


def test_more_ranks_than_pixels(tsc):
    array = recording(5, (1, 1), "float64")
    assert same_bits(tsc.loadImagesFromArray(array).toSeries().toArray(), series_of(array))


# -- what it is ----------------------------------------------------------------------------


def test_repr(tsc):
    series = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8")).toSeries()
    unknown = "None (inspect to compute)"
    assert repr(series) == (
        f"Series\nnrecords: 20\ndtype: {unknown}\nindex: {unknown}\ndims: {unknown}"
    )
    assert series.dims.max == (3, 4)
    assert repr(series) == (
        "Series\nnrecords: 20\ndtype: uint8\nindex: [0 1 2]\n"
        "dims: min=(0, 0), max=(3, 4), count=(4, 5)"
    )
    assert repr(series.toTimeSeries()).startswith("TimeSeries\n")


def test_records_by_key(series):
    array = recording(7, (8, 9, 11), "int16")
    assert series.nrecords == series.count() == 7 * 8 * 9
    assert series.keys().take(2) == [(0, 0, 0), (0, 0, 1)]
    assert all(type(i) is int for i in series.keys().first())
    assert same_bits(series[6, 7, 8], array[6, 7, 8])
    assert same_bits(series[(0, 3, 1)], array[0, 3, 1])
    assert series.get((7, 0, 0)) is None
    assert series.get((0, 0)) is None
    assert series.get((-1, 0, 0)) is None
    key, value = series.first()
    assert key == (0, 0, 0)
    assert same_bits(value, array[0, 0, 0])
    assert np.array_equal(series.values().take(3), array[0, 0, :3])
    assert len(series.values().collect()) == 504


def test_records_by_key_through_the_exchange(tsc):
    array = recording(9, (4, 5), "uint16")
    series = spread(tsc, array).toSeries()
    assert same_bits(series[3, 4], array[:, 3, 4].copy())
    assert np.array_equal(series.values().take(2), array[:, 0, :2].T)


@pytest.mark.parametrize("key", [(7, 0, 0), (0, 0), (0, 0, 0, 0), 5])
def test_an_unknown_key(series, key):
    with pytest.raises(KeyError, match="dims"):
        series[key]


@pytest.mark.parametrize("key", ["a", (0, 1.0, 0), (True, 0, 0), None])
def test_a_key_is_a_tuple_of_ints(series, key):
    with pytest.raises(TypeError):
        series[key]


def test_the_index_is_settable_and_a_copy(tsc):
    series = tsc.loadSeriesFromArray(recording(3, (4, 5), "uint8"))
    series.index = [3, 5, 7, 9, 11]
    series.index[0] = 99
    assert series.index.dtype == np.int64
    assert np.array_equal(series.index, [3, 5, 7, 9, 11])
    assert np.array_equal(series.between(5, 9).index, [5, 7, 9])
    for bad in ([1, 2], [1.5] * 5, "abcde"):
        with pytest.raises(ValueError, match="index"):
            series.index = bad


def test_index_given_to_the_loader(tsc):
    array = recording(3, (4, 5), "uint8")
    assert np.array_equal(tsc.loadSeriesFromArray(array, index=range(5, 10)).index, range(5, 10))
    with pytest.raises(ValueError, match="5 values"):
        tsc.loadSeriesFromArray(array, index=[1])


def test_series_of_each_ranks_own(tsc):
    array = recording(2, (3, 4, 5), "int32", seed=tsc.rank)
    every = np.concatenate(tsc.comm.allgather(array))
    assert same_bits(tsc.loadSeriesFromArray(array, local=True).toArray(), every)


# -- steps ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_of_each_series(tsc, dtype):
    array = recording(7, (8, 9), dtype)
    series = tsc.loadSeriesFromArray(array)
    wide = array.astype(np.float64)
    for name, twin in [("Max", array.max), ("Min", array.min)]:
        assert same_bits(getattr(series, "series" + name)().toArray(), twin(axis=-1)[..., None])
    for name, twin in [("Mean", np.mean), ("Stdev", np.std), ("Median", np.median)]:
        result = getattr(series, "series" + name)()
        np.testing.assert_allclose(
            result.toArray()[..., 0], twin(wide, axis=-1), rtol=1e-10, atol=1e-9
        )
        assert result.dtype == np.float64
        assert np.array_equal(result.index, [0])
    np.testing.assert_allclose(
        series.seriesPercentile(30).toArray()[..., 0], np.percentile(wide, 30, axis=-1), rtol=1e-10
    )
    if dtype in INTEGERS[:6]:
        total = series.seriesSum().toArray()
        assert np.array_equal(total[..., 0].astype(object), array.astype(object).sum(axis=-1))


@pytest.mark.parametrize("q", [-1, 101, float("nan"), [10, 20], True])
def test_bad_percentiles(series, q):
    with pytest.raises((TypeError, ValueError), match="q must be"):
        series.seriesPercentile(q)


def test_select(series):
    array = recording(7, (8, 9, 11), "int16")
    assert same_bits(series.select(3).toArray(), array[..., 3:4].copy())
    assert same_bits(series.select([1, 4, 99]).toArray(), array[..., [1, 4]])
    assert same_bits(series.select(lambda t: t > 8).toArray(), array[..., 9:].copy())
    assert np.array_equal(series.between(2, 5).index, [2, 3, 4, 5])
    assert same_bits(series.between(2, 5).toArray(), array[..., 2:6].copy())
    for nothing in (
        lambda: series.select(99),
        lambda: series.between(20, 30),
        lambda: series.between(3, 2),
    ):
        with pytest.raises(ValueError, match=r"select|between"):
            nothing()


def test_apply_and_filter(series):
    array = recording(7, (8, 9, 11), "int16")
    halves = series.apply(lambda y: y[::2] / 2)
    assert halves.dtype is None
    assert same_bits(halves.toArray(), array[..., ::2] / 2)
    assert np.array_equal(halves.index, range(6))
    assert same_bits(series.apply(np.ptp).toArray()[..., 0], np.ptp(array, axis=-1))
    kept = series.filter(lambda key, y: key[0] == 6 and y[0] > 0)
    wanted = [tuple(k) for k in np.argwhere(array[..., 0] > 0).tolist() if k[0] == 6]
    assert kept.keys().collect() == wanted
    assert np.array_equal(kept.values().collect(), [array[k] for k in wanted])
    assert kept.dims.count == (7, 8, 9)
    with pytest.raises(ValueError, match="filter"):
        kept.toArray()
    with pytest.raises(ValueError, match=r"key \(0, 0, 1\)"):
        series.apply(lambda y: y[:1] if y[0] == array[0, 0, 1, 0] else y).toArray()
    assert kept.filterOnKeys(lambda key: key[2] < 3).count() == sum(k[2] < 3 for k in wanted)


def test_filter_through_the_exchange(tsc):
    array = recording(6, (5, 4), "int16")
    series = spread(tsc, array).toSeries().filter(lambda key, y: key[1] % 2)
    expected = series_of(array)[:, 1::2].reshape(-1, 6)
    assert np.array_equal(series.values().collect(), expected)
    np.testing.assert_allclose(series.mean(), expected.mean(axis=0))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("baseline", "options"),
    [
        ("percentile", {}),
        ("percentile", {"perc": 55.5, "offset": 3}),
        ("mean", {}),
        ("window", {"window": 4}),
        ("window", {"window": 5, "perc": 80}),
        ("window", {"window": 99}),
    ],
)
def test_normalize(tsc, dtype, baseline, options):
    array = np.abs(recording(5, (4, 13), dtype).astype(np.float64)).astype(dtype)
    series = tsc.loadSeriesFromArray(array).toTimeSeries()
    wide, perc = array.astype(np.float64), options.get("perc", 20)
    if baseline == "mean":
        b = wide.mean(axis=-1, keepdims=True)
    elif baseline == "percentile":
        b = np.percentile(wide, perc, axis=-1, keepdims=True)
    else:
        w = options["window"]
        b = np.stack(
            [
                np.percentile(wide[..., max(0, t - w // 2) : t + w // 2 + 1], perc, axis=-1)
                for t in range(13)
            ],
            axis=-1,
        )
    result = series.normalize(baseline, **options)
    small = dtype in ("float16", "float32")
    assert result.dtype == (np.float32 if small else np.float64)
    np.testing.assert_allclose(
        result.toArray(),
        (wide - b) / (b + options.get("offset", 0.1)),
        rtol=1e-5 if small else 1e-10,
        atol=1e-6 if small else 1e-10,
    )
    assert type(result).__name__ == "TimeSeries"


@pytest.mark.parametrize(
    "options",
    [
        {"baseline": "median"},
        {"baseline": "window"},
        {"window": 3},
        {"perc": 101},
        {"baseline": "window", "window": 0},
        {"offset": float("nan")},
    ],
)
def test_bad_baselines(series, options):
    with pytest.raises(ValueError, match=r"baseline|window|perc|offset"):
        series.toTimeSeries().normalize(**options)


# -- across records ------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_across_records(tsc, dtype):
    array = recording(7, (8, 5), dtype)
    rows = array.reshape(-1, 5)
    series = tsc.loadSeriesFromArray(array)
    assert same_bits(series.max(), rows.max(axis=0))
    assert same_bits(series.min(), rows.min(axis=0))
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(series.mean(), wide.mean(axis=0), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(series.stdev(), wide.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(series.variance(), wide.var(axis=0), rtol=1e-9)


def test_statistics_do_not_depend_on_the_way(tsc):
    array = recording(9, (5, 6), "float32")
    through = spread(tsc, array).toSeries()
    direct = tsc.loadSeriesFromArray(series_of(array))
    for name in ("mean", "stdev", "sum"):
        assert same_bits(getattr(through, name)(), getattr(direct, name)())


# -- samples -------------------------------------------------------------------------------


@pytest.mark.parametrize("stat", ["mean", "std", "max", "min", "norm"])
def test_subset_passes_the_threshold(tsc, stat):
    array = recording(9, (11, 6), "float64")
    twin = {"std": np.std, "norm": np.linalg.norm}.get(stat) or getattr(np, stat)
    values = twin(array, axis=-1)
    thresh = float(np.sort(values, axis=None)[49:51].mean())
    rows = tsc.loadSeriesFromArray(array).subset(nsamples=1000, thresh=thresh, stat=stat)
    assert np.array_equal(rows, array[values > thresh])  # all that pass, in pixel order


def test_subset_is_a_sample_without_replacement(tsc):
    array = np.arange(200.0).reshape(20, 10, 1)
    series = tsc.loadSeriesFromArray(array)
    rows = series.subset(nsamples=50, seed=7)[:, 0]
    assert len(np.unique(rows)) == 50
    assert np.array_equal(rows, np.sort(rows))
    assert same_bits(rows, series.subset(nsamples=50, seed=7)[:, 0])
    assert not np.array_equal(rows, series.subset(nsamples=50, seed=8)[:, 0])
    fresh = series.subset(nsamples=50)
    assert all(same_bits(fresh, other) for other in tsc.comm.allgather(fresh))
    # The same on every number of ranks: these were drawn on one.
    from mpimages.statistics.sample import Sample

    alone = Sample(50, 7)
    alone.offer(np.arange(200), array.reshape(200, 1))
    assert np.array_equal(rows, alone.rows[:, 0])


def test_every_record_is_drawn_about_as_often():
    from mpimages.statistics.sample import Sample

    drawn = np.zeros(40)
    for seed in range(2000):
        sample = Sample(10, seed)
        sample.offer(np.arange(40), np.zeros((40, 1)))
        drawn[sample.numbers] += 1
    assert abs(drawn - 500).max() < 5 * np.sqrt(500 * 0.75)


def test_subset_says_the_highest_value_found(tsc):
    array = np.zeros((4, 5, 3))
    array[3, 4] = [0, 0, 6]
    array[0, 0] = np.nan
    series = tsc.loadSeriesFromArray(array)
    with pytest.raises(ValueError, match=r"std above 9; the highest is 2\.82843"):
        series.subset(thresh=9)
    assert series.subset(thresh=1).shape == (1, 3)


@pytest.mark.parametrize(
    "options", [{"nsamples": 0}, {"stat": "mode"}, {"thresh": "high"}, {"nsamples": 1.5}]
)
def test_bad_samples(series, options):
    with pytest.raises((TypeError, ValueError), match=r"nsamples|stat|thresh"):
        series.subset(**options)


# -- refusals ------------------------------------------------------------------------------


def test_a_value_has_one_axis(series):
    with pytest.raises(ValueError, match=r"key \(0, 0, 0\)"):
        series.apply(lambda y: y[None]).toArray()


def test_an_index_that_declares_a_length_is_checked(series):
    with pytest.raises(ValueError, match=r"key \(0, 0, 0\)"):
        series.apply(lambda y: y[:3], index=[0, 1]).mean()


@pytest.mark.parametrize("index", [[np.inf] * 11, [np.nan] * 11, [2.0**63] * 11, [2**63] * 11])
def test_labels_that_are_no_int64(tsc, index):
    series = tsc.loadSeriesFromArray(recording(7, (8, 9, 11), "int16"))
    with pytest.raises(ValueError, match="index"):
        series.index = index


def test_no_round_sends_much_more_than_it_may():
    from mpimages.core.partition import Partition
    from mpimages.core.workspace import Workspace
    from mpimages.exchange.redistribution import Redistribution

    uneven = Partition.fromCounts([1000] + [0] * 63)
    plan = Redistribution(uneven, Partition.balanced(2048**2, 64), np.dtype(np.uint16), 1 << 26)
    for rank in (0, 1):
        for buffer in plan.buffers(rank, max(plan.pixels.counts), Workspace(0, 1)):
            assert buffer.nbytes <= 1 << 26


def test_select_where_only_an_action_can_tell_the_length(tsc):
    array = recording(6, (4, 5), "int16")
    series = tsc.loadImagesFromArray(array).toSeries().apply(lambda y: y[::2])
    assert same_bits(series.select([1, 2]).toArray(), np.moveaxis(array[[2, 4]], 0, -1).copy())
    assert np.array_equal(series.between(1, 2).index, [1, 2])


def test_a_sample_is_weighed(comm):
    from mpimages import ThunderContext

    with ThunderContext(comm, memory="1kB") as small:
        series = small.loadSeriesFromArray(np.zeros((40, 40, 10)))
        with pytest.raises(MemoryError, match="subset"):
            series.subset(10**6)
        assert series.subset(2).shape == (2, 10)
