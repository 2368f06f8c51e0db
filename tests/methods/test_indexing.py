"""Selection and statistics by the labels of values, against plain NumPy."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from mpimages.engine.series_steps import statistic_rows

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

DIMS, TIMES = (5, 6), 24
# A trial, a time in it, and a condition.
INDEX = np.stack(
    [np.arange(TIMES) // 6, np.arange(TIMES) % 6, [3, -1] * (TIMES // 2)], axis=1
).astype(np.int64)
STATISTICS = {
    "Sum": np.sum,
    "Mean": np.mean,
    "Median": np.median,
    "Stdev": np.std,
    "Max": np.max,
    "Min": np.min,
    "Count": lambda values, axis: values.shape[axis],
}
KERNELS = {"Sum": "sum", "Mean": "mean", "Stdev": "stdev", "Max": "max", "Min": "min"}
WIDE = {"Mean": np.float64, "Median": np.float64, "Stdev": np.float64, "Count": np.int64}


def series_dtype(name, dtype):
    """Of a sum, or an extreme."""
    if name != "Sum":
        return np.dtype(dtype)
    return np.dtype({"u": np.uint64, "i": np.int64, "f": np.float64}[np.dtype(dtype).kind])


def pixels(dtype):
    return np.ascontiguousarray(np.moveaxis(recording(TIMES, DIMS, dtype), 0, -1))


def labelled(tsc, dtype="int16", index=INDEX):
    series = tsc.loadSeriesFromArray(pixels(dtype))
    series.index = index
    return series


def groups(index, levels):
    """The labels, ascending, and the columns of each."""
    keys = [tuple(row) for row in index.reshape(len(index), -1)[:, list(levels)].tolist()]
    return [
        (label, [i for i, key in enumerate(keys) if key == label]) for label in sorted(set(keys))
    ]


# -- the index itself ----------------------------------------------------------------------


def test_an_index_of_several_levels_is_kept(tsc):
    series = labelled(tsc)
    assert np.array_equal(series.index, INDEX)
    assert series.dims.count == DIMS
    assert "[ 0  0  3]" in repr(series)
    assert np.array_equal(series.toTimeSeries().index, INDEX)
    assert np.array_equal(series.filterOnKeys(lambda key: key[0] > 2).index, INDEX)
    assert series.seriesMean().index.tolist() == [0]
    given = tsc.loadSeriesFromArray(pixels("int16"), index=INDEX.tolist())
    assert same_bits(given.index, INDEX)


@pytest.mark.parametrize("wrong", [INDEX[:5], INDEX[..., None], INDEX[:, :1], INDEX + 0.5])
def test_what_is_no_index(tsc, wrong):
    series = labelled(tsc)
    with pytest.raises(ValueError, match="index"):
        series.index = wrong


def test_one_level_is_needed_where_a_value_is_meant(tsc):
    for call in (lambda s: s.select(3), lambda s: s.between(0, 3)):
        with pytest.raises(ValueError, match="selectByIndex"):
            call(labelled(tsc))


@pytest.mark.parametrize("index", [INDEX, INDEX[:, 0]], ids=["levels", "one level"])
def test_files_keep_the_index(tsc, comm, shared_path, index):
    series = labelled(tsc, index=index)
    series.saveAsBinarySeries(shared_path / "flat")
    series.saveAsHDF5(shared_path / "series.h5", compression=1)
    series.saveAsHDF5(shared_path / "images.h5", layout="images")
    for name in ("flat", "series.h5", "images.h5"):
        read = tsc.loadSeries(shared_path / name)
        assert same_bits(read.index, index), name
        assert same_bits(read.toArray(), pixels("int16"))
    if comm.rank == 0:
        from mpimages import verify

        stored = json.loads((shared_path / "flat" / "conf.json").read_text())
        assert stored["index"] == index.tolist()
        assert all(verify(shared_path / name) for name in ("flat", "series.h5"))


@pytest.mark.parametrize("index", [[[1, 2]] * 23 + [[1]], [[]] * 24, [[1, 2]] * 23 + [3]])
def test_a_damaged_index_is_refused(tsc, comm, shared_path, index):
    from mpimages import FormatError

    labelled(tsc).saveAsBinarySeries(shared_path / "flat")
    if comm.rank == 0:
        path = shared_path / "flat" / "conf.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "index": index}))
    comm.Barrier()
    with pytest.raises(FormatError, match="index"):
        tsc.loadSeries(shared_path / "flat")


# -- selection -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("val", "level", "kept"),
    [
        (1, 0, INDEX[:, 0] == 1),
        ([1, 3, 99], 0, np.isin(INDEX[:, 0], [1, 3])),
        ([[1, 3]], 0, np.isin(INDEX[:, 0], [1, 3])),
        ([1, 3], [0], np.isin(INDEX[:, 0], [1, 3])),
        ([-1], 2, INDEX[:, 2] == -1),
        ([1, [2, 3]], [0, 1], (INDEX[:, 0] == 1) & np.isin(INDEX[:, 1], [2, 3])),
        ([[2, 3], 1], [1, 0], (INDEX[:, 0] == 1) & np.isin(INDEX[:, 1], [2, 3])),
        (np.array([0, 5]), 1, np.isin(INDEX[:, 1], [0, 5])),
    ],
)
def test_select_by_index(tsc, val, level, kept):
    series, array = labelled(tsc), pixels("int16")
    selected, mask = series.selectByIndex(val, level, returnMask=True)
    assert np.array_equal(mask, kept)
    assert mask.dtype == bool
    assert same_bits(selected.toArray(), np.ascontiguousarray(array[..., kept]))
    assert same_bits(selected.index, INDEX[kept])
    others = series.selectByIndex(val, level, filter=True)
    assert same_bits(others.toArray(), np.ascontiguousarray(array[..., ~kept]))
    assert same_bits(others.index, INDEX[~kept])


def test_levels_that_say_nothing_more_are_left_out(tsc):
    series = labelled(tsc)
    assert same_bits(
        series.selectByIndex([1, [2, 3]], [0, 1], squeeze=True).index, INDEX[8:10, 1:].copy()
    )
    assert same_bits(series.selectByIndex([1, 3], [0, 2], squeeze=True).index, np.array([0, 2, 4]))
    one = labelled(tsc, index=INDEX[:, 0])
    assert one.selectByIndex(2, squeeze=True).index.tolist() == list(range(6))
    assert one.selectByIndex([2, 3], squeeze=True).index.tolist() == [2] * 6 + [3] * 6
    every = series.selectByIndex([0, 0, 3], [0, 1, 2], squeeze=True)
    assert every.index.tolist() == [0]


def test_wrong_selections(tsc):
    series = labelled(tsc)
    for call, word in [
        (lambda: series.selectByIndex(77), "label of 77"),
        (lambda: series.selectByIndex([0, 1, 2, 3], filter=True), "other than"),
        (lambda: series.selectByIndex(1, 3), "level 3"),
        (lambda: series.selectByIndex([1, 2], [0, 0]), "once"),
        (lambda: series.selectByIndex([1, 2, 3], [0, 1]), "3 levels"),
        (lambda: series.selectByIndex([1], [0, 1]), "1 levels"),
        (lambda: series.selectByIndex(1, squeeze=True, filter=True), "squeeze"),
        (lambda: series.seriesMeanByIndex(level=3), "level 3"),
        (lambda: series.seriesStatByIndex("mode"), "stat"),
    ]:
        with pytest.raises(ValueError, match=word):
            call()


# -- statistics ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_statistics_by_index(tsc, dtype):
    array = pixels(dtype)
    if dtype.endswith("64"):
        array = array // 64  # sums of 24 fit
    series = tsc.loadSeriesFromArray(array)
    series.index = INDEX
    for level in (0, [2, 0]):
        levels = [level] if isinstance(level, int) else level
        labels = [label if len(levels) > 1 else label[0] for label, _ in groups(INDEX, levels)]
        for name, numpy_name in STATISTICS.items():
            one = getattr(series, f"series{name}ByIndex")(level)
            assert one.index.tolist() == [list(x) if len(levels) > 1 else x for x in labels]
            found = one.toArray()
            assert found.dtype == one.dtype == WIDE.get(name, series_dtype(name, dtype))
            for group, (_, columns) in enumerate(groups(INDEX, levels)):
                values = array[..., columns].reshape(-1, len(columns))
                if name in KERNELS:
                    twin = statistic_rows(KERNELS[name], values).astype(found.dtype)
                    assert same_bits(np.ascontiguousarray(found[..., group]).reshape(-1), twin)
                exact = numpy_name(values.astype(np.float64), axis=-1)
                exact = np.broadcast_to(exact, len(values)).reshape(DIMS)
                np.testing.assert_allclose(found[..., group], exact, rtol=1e-6, atol=1e-9)


def test_a_function_of_each_label(tsc):
    series, array = labelled(tsc, "float32"), pixels("float32")
    found = series.seriesAggregateByIndex(lambda values: values[-1] - values[0], level=[2, 0])
    expected = groups(INDEX, [2, 0])
    assert found.dtype is None
    assert found.index.tolist() == [list(label) for label, _ in expected]
    wanted = [array[..., columns[-1]] - array[..., columns[0]] for _, columns in expected]
    assert same_bits(found.toArray(), np.stack(wanted, axis=-1))
    assert found.dtype == np.float32
    assert found.seriesSumByIndex(1).index.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="one number"):
        series.seriesAggregateByIndex(np.copy).first()


def test_statistics_do_not_depend_on_the_batches(tsc, comm):
    from mpimages import ThunderContext

    array = recording(60, (40, 50), "float32")
    index = np.stack([np.arange(60) % 7, np.arange(60) % 2], axis=1)
    found = []
    for memory in ("1MB", "1GB"):
        with ThunderContext(comm, memory=memory) as context:
            series = spread(context, array).toSeries()
            series.index = index
            found.append(series.seriesStdevByIndex([0, 1]).mean())
    assert same_bits(*found)


def test_an_index_that_only_an_action_can_tell(tsc):
    array = recording(12, DIMS, "int16")
    images = spread(tsc, array).filter(lambda key, value: key % 3 > 0)
    series = images.toSeries()
    kept = [key for key in range(12) if key % 3]
    assert series.selectByIndex([1, 2, 7]).index.tolist() == [1, 2, 7]
    assert images.toSeries().seriesMaxByIndex().index.tolist() == kept
    made = tsc.loadImagesFromArray(array).toSeries().apply(lambda values: values[:5])
    assert made.seriesSumByIndex().toArray().shape == (*DIMS, 5)
    assert list(itertools.chain(made.index)) == [0, 1, 2, 3, 4]
    nothing = tsc.loadImagesFromArray(array).filterOnKeys(lambda key: False).toSeries()
    with pytest.raises(ValueError, match="no values"):
        nothing.seriesMeanByIndex()
