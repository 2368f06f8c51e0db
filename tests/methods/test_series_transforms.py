"""Transforms of Series, and signal processing of TimeSeries, against NumPy and SciPy.

What happens within a series knows nothing of ranks: those tests are serial.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as scipy_signal

from mpimages import ThunderContext
from mpimages.engine import series_transforms, series_windows
from mpimages.engine.series_transforms import polynomials

from ..support.data import DTYPES, recording, same_bits, spread

DIMS = (3, 5)
LENGTHS = (1, 12, 40)


def real(dtype):
    exact = np.dtype(dtype).itemsize <= (4 if np.dtype(dtype).kind == "f" else 2)
    return np.float32 if exact else np.float64


def times(tsc, array):
    return tsc.loadSeriesFromArray(array).toTimeSeries()


def close(found, expected, dtype=np.float64, scale=1.0):
    """Equal but for the rounding of the dtype, relative to the largest value that entered."""
    assert found.dtype == dtype
    assert found.shape == expected.shape
    eps = np.finfo(dtype).eps
    atol = 8 * eps * scale
    with np.errstate(over="ignore"):
        expected = expected.astype(dtype)
    np.testing.assert_allclose(found, expected, rtol=16 * max(eps, 1e-13), atol=atol)


def rows_of(dtype, length):
    """Series of which one is constant."""
    array = recording(3, (5, length), dtype)
    array[1, 2] = 7
    return array


def fitted(y, order):
    """What is left by NumPy's fit, its intercept kept."""
    x = np.arange(len(y), dtype=np.float64)
    fit = np.polynomial.Polynomial.fit(x, y, order)
    return y - (fit(x) - fit(0.0))


def coherence(y, freq):
    power = np.abs(np.fft.fft(y - y.mean())[: len(y) // 2])
    angle = -np.pi / 2 - np.angle(np.fft.fft(y - y.mean())[freq])
    with np.errstate(invalid="ignore"):
        found = power[freq] / np.sqrt((power**2).sum())
    return [found, angle + 2 * np.pi if angle < 0 else angle]


# -- every method against its twin -----------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_within_each_series(tsc, dtype):
    for length in LENGTHS:
        array = rows_of(dtype, length)
        wide, series = array.astype(np.float64), times(tsc, array)
        scale = np.abs(wide).max()
        mean, std = wide.mean(-1, keepdims=True), wide.std(-1, keepdims=True)
        with np.errstate(all="ignore"):
            close(series.center().toArray(), wide - mean, real(dtype), scale)
            if length > 1:  # a deviation of 0 is exact here
                varied = np.delete(np.arange(15), 7)  # all but the constant one
                for name, twin in (("standardize", wide / std), ("zscore", (wide - mean) / std)):
                    found = getattr(series, name)().toArray()
                    close(
                        found.reshape(15, -1)[varied], twin.reshape(15, -1)[varied], real(dtype), 9
                    )
                assert np.isnan(series.zscore().toArray()[1, 2]).all()
        five = np.stack(
            [np.full(DIMS, length), *(f(wide, -1) for f in (np.mean, np.std, np.max, np.min))], -1
        )
        close(series.seriesStats().toArray(), five, scale=scale)
        threshold = float(np.median(wide.max(-1)))
        kept = np.where(wide.max(-1, keepdims=True) < threshold, 0, array).astype(dtype)
        assert same_bits(series.squelch(threshold).toArray(), kept)
        for stat in ("mean", "stdev", "sum", "max", "min", "median"):
            if stat != "sum" or array.dtype.itemsize < 8:
                named = getattr(series, f"series{stat.capitalize()}")().toArray()
                assert same_bits(series.seriesStat(stat).toArray(), named)
        assert same_bits(series.seriesStat("count").toArray(), np.full((*DIMS, 1), length))


@pytest.mark.parametrize("dtype", DTYPES)
def test_signals(tsc, dtype):
    length = 40
    array = rows_of(dtype, length)
    wide, series = array.astype(np.float64), times(tsc, array)
    signals = np.random.default_rng(3).normal(5, 2, (3, length))
    expected = np.empty((*DIMS, 3))
    with np.errstate(invalid="ignore"):
        for row in np.ndindex(*DIMS):
            expected[row] = np.corrcoef(wide[row], signals)[0, 1:]
    expected[1, 2] = np.nan  # the constant one
    found = series.correlate(signals)
    close(found.toArray(), expected, scale=10)
    assert found.index.tolist() == [0, 1, 2]
    one = series.correlate(signals[1].tolist()).toArray()
    assert same_bits(one, found.toArray()[..., 1:2])
    crossed = series.crossCorr(signals[1], lag=3)
    assert crossed.index.tolist() == list(range(-3, 4))
    assert same_bits(crossed.toArray()[..., 3:4], one)
    unit = signals[1] - signals[1].mean()
    unit /= np.linalg.norm(unit)
    less = wide - wide.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore"):
        less /= np.linalg.norm(less, axis=-1, keepdims=True)
    later = np.concatenate([np.zeros(2), unit[:-2]])
    close(crossed.toArray()[..., 5], less @ later, scale=10)
    for taps in (signals[0, :1], signals[0, :6], np.arange(55.0)):
        for mode in ("full", "same", "valid"):
            twin = np.stack([np.convolve(y, taps, mode) for y in wide.reshape(15, -1)])
            found = series.convolve(taps, mode)
            scale = np.abs(taps).sum() * np.abs(wide).max()
            close(found.toArray(), twin.reshape(*DIMS, -1), real(dtype), scale)
            assert found.index.tolist() == list(range(twin.shape[1]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_trends_and_frequencies(tsc, dtype):
    for length in (12, 41):
        array = rows_of(dtype, length)
        wide, series = array.astype(np.float64), times(tsc, array)
        scale = np.abs(wide).max()
        for found, order in (
            (series.detrend(), 1),
            (series.detrend("nonlinear"), 5),
            (series.detrend(method="nonlinear", order=9), 9),
        ):
            twin = np.stack([fitted(y, order) for y in wide.reshape(15, -1)]).reshape(wide.shape)
            close(found.toArray(), twin, real(dtype), 1e4 * scale)
            assert np.array_equal(found.toArray()[1, 2], wide[1, 2])
            assert np.array_equal(found.toArray()[..., 0], wide[..., 0].astype(real(dtype)))
        for freq in (1, length // 2 - 1):
            found = series.fourier(freq)
            twin = np.array([coherence(y, freq) for y in wide.reshape(15, -1)]).reshape(*DIMS, 2)
            twin[1, 2] = np.nan
            close(found.toArray(), twin, scale=1e3)
            assert found.index.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_windows_and_parts(tsc, dtype):
    length = 24
    array = rows_of(dtype, length)
    wide, series = array.astype(np.float64), times(tsc, array)
    scale = np.abs(wide).max()
    series.index = range(100, 124)
    thin = series.subsample(5)
    assert same_bits(thin.toArray(), array[..., ::5].copy())
    assert thin.index.tolist() == [100, 105, 110, 115, 120]
    down = series.downsample(4)
    assert down.index.tolist() == list(range(100, 124, 4))
    close(down.toArray(), wide.reshape(*DIMS, 6, 4).mean(-1), real(dtype), scale)
    for events, window in (([102, 110, 121], 5), ([110], 4), ([110, 110, 111], 1)):
        places = [e - 100 - window // 2 for e in events]
        cut = np.stack([array[..., a : a + window] for a in places], -2)
        mean = series.meanByWindow(events, window)
        close(mean.toArray(), cut.astype(np.float64).mean(-2), real(dtype), scale)
        assert mean.index.tolist() == list(range(window))
        groups = series.groupByWindow(events, window)
        assert same_bits(groups.toArray(), cut)
        assert groups.dims.count == (*DIMS, len(events))
    for n in (1, 8, 24):
        parts = array.reshape(*DIMS, -1, n)
        close(
            series.meanByFixedLength(n).toArray(),
            parts.astype(np.float64).mean(-2), real(dtype), scale,
        )  # fmt: skip
        assert same_bits(series.groupByFixedLength(n).toArray(), parts)


@pytest.mark.ranks
def test_across_the_records(tsc):
    for dtype in ("uint8", "uint64", "float16", "float64"):
        array = recording(4, (5, 6), dtype)
        wide, series = array.astype(np.float64), tsc.loadSeriesFromArray(array)
        flat = wide.reshape(20, 6)
        mean, std, scale = flat.mean(0), flat.std(0), np.abs(wide).max()
        close(series.center(1).toArray(), wide - mean, real(dtype), scale)
        close(series.standardize(axis=1).toArray(), wide / std, real(dtype), 10)
        close(series.zscore(axis=1).toArray(), (wide - mean) / std, real(dtype), 10)


# -- the same bits ---------------------------------------------------------------------------------


EVENTS = np.random.default_rng(1).integers(40, 250, 20)


def every_step():
    """A step of each kind, for series of 300 values."""
    draw = np.random.default_rng(0)
    signals = series_transforms.unit_signals(draw.normal(0, 1, (3, 300)))
    return [
        series_transforms.FiveStatistics(),
        series_transforms.Scale("zscore", True, True),
        series_transforms.ScaleByTime("zscore", draw.normal(0, 1, 300), draw.normal(5, 1, 300)),
        series_transforms.Squelch(50.0),
        series_transforms.Correlate("correlate", signals),
        series_transforms.Convolve(draw.normal(0, 1, 7), "same"),
        series_transforms.Detrend(5),
        series_transforms.Fourier(7),
        series_windows.Subsample(7),
        series_windows.Downsample(3),
        series_windows.Downsample(100),
        series_windows.MeanOfWindows("meanByWindow", EVENTS - 1, 1),
        series_windows.MeanOfWindows("meanByWindow", EVENTS - 20, 40),
        series_windows.Windows("groupByWindow", EVENTS - 20, 40),
    ]


@pytest.mark.parametrize("dtype", ["uint16", "float16", "float32", "float64", "int64"])
def test_a_series_does_not_depend_on_those_beside_it(dtype):
    rows = recording(1, (1000, 300), dtype)[0]
    rows[3] = 5
    if rows.dtype.kind == "f":
        rows[5, 7], rows[6, 8] = np.nan, np.inf
    for step in every_step():
        whole = step.run(range(1000), rows)
        assert whole.shape[1:] == step.dims((300,))
        assert whole.dtype == step.dtype(rows.dtype)
        for count in (1, 7):
            parts = [step.run(range(count), rows[i : i + count]) for i in range(0, 70, count)]
            assert same_bits(np.concatenate(parts), np.ascontiguousarray(whole[:70])), step.name
        backwards = step.run(range(9), rows[8::-1])  # rows with gaps between them
        assert same_bits(np.ascontiguousarray(backwards), np.ascontiguousarray(whole[8::-1]))


def test_many_long_windows_are_averaged_a_part_at_a_time(monkeypatch):
    rows = recording(1, (9, 300), "float32")[0]
    step = series_windows.MeanOfWindows("meanByWindow", EVENTS - 20, 40)
    whole = step.run(range(9), rows)
    monkeypatch.setattr(series_windows, "GATHERED", 150)
    assert same_bits(step.run(range(9), rows), whole)


@pytest.mark.ranks
def test_small_budgets_and_the_exchange(tsc, comm):
    """Images that are made series, filtered, made by a function that was not declared."""
    array = recording(40, (6, 7), "uint16")
    rows = np.ascontiguousarray(np.moveaxis(array, 0, -1))
    signal = np.arange(40) ** 2
    expected = times(tsc, rows)
    with ThunderContext(comm, memory="3MB") as small:
        for series in (
            spread(small, array).toTimeSeries(),
            spread(small, array).apply(lambda v: v).toTimeSeries(),
            spread(small, array).filter(lambda k, v: True).toTimeSeries(),
            times(small, rows).cache(),
        ):
            for call in (
                lambda s: s.correlate(signal),
                lambda s: s.detrend(),
                lambda s: s.zscore(1),
                lambda s: s.subsample(3).convolve([1, 2]),
                lambda s: s.apply(lambda y: y[:20] * 2.0).center(),
                lambda s: s.groupByWindow([7, 20], 9).fourier(2),
                lambda s: s.groupByFixedLength(8).groupByFixedLength(4).meanByFixedLength(2),
            ):
                assert same_bits(call(series).toArray(), call(expected).toArray())
            odd = series.filter(lambda key, y: key[1] % 2)
            parts = odd.groupByFixedLength(10)
            keys = [(i, j, part) for i in range(6) for j in (1, 3, 5) for part in range(4)]
            assert parts.keys().collect() == keys
            every = rows[:, 1::2].reshape(-1, 10)
            assert np.array_equal(parts.values().collect(), every)
            kept = parts.filter(lambda key, y: key[2] in (1, 2) and key[0] != 3)
            wanted = [i for i, key in enumerate(keys) if key[2] in (1, 2) and key[0] != 3]
            assert np.array_equal(kept.values().collect(), every[wanted])
            np.testing.assert_allclose(kept.mean(), every[wanted].mean(axis=0))
            assert np.array_equal(kept.get((0, 1, 1)), rows[0, 1, 10:20])
            assert kept.get((0, 1, 0)) is None
            assert same_bits(parts.cache().uncache().mean(), parts.mean())


@pytest.mark.ranks
def test_nothing_is_left(tsc):
    series = times(tsc, recording(2, (3, 12), "int16")).filter(lambda key, y: False)
    for empty in (
        series.correlate(range(12)), series.groupByFixedLength(4), series.zscore().detrend(),
        series.groupByWindow([5], 3).seriesStats(), series.normalize("maximin", 3),
    ):  # fmt: skip
        assert empty.values().collect() == []
        assert empty.count() == 0
    with pytest.raises(ValueError, match="no records"):
        series.center(axis=1)


@pytest.mark.ranks
def test_groups_follow_a_cache_and_are_stored(tsc, shared_path):
    array = recording(24, (4, 5), "int16")
    tsc.loadImagesFromArray(array).saveAsTifs(shared_path / "tifs")
    series = tsc.loadImages(shared_path / "tifs").toSeries()
    expected = np.moveaxis(array, 0, -1).reshape(4, 5, 3, 8)
    series.cache()
    groups = series.groupByFixedLength(8)
    assert np.array_equal(groups[3, 4, 2], expected[3, 4, 2])
    series.uncache()
    groups.saveAsBinarySeries(shared_path / "groups")
    groups.saveAsBinarySeries(shared_path / "groups", resume=True)
    groups.saveAsHDF5(shared_path / "groups.h5")
    for name in ("groups", "groups.h5"):
        loaded = tsc.loadSeries(shared_path / name)
        assert same_bits(loaded.toArray(), np.ascontiguousarray(expected))
    with pytest.raises(ZeroDivisionError):
        groups.apply(lambda y: 1 / 0 if tsc.rank == tsc.size - 1 else y).cache()
    with pytest.raises(ZeroDivisionError):
        series.apply(lambda y: y if y[0] != array[0, 3, 4] else 1 / 0, range(24), "int16")\
            .groupByFixedLength(8).mean()  # fmt: skip
    assert np.array_equal(groups.seriesMax().toArray(), expected.max(-1, keepdims=True))


# -- by themselves ---------------------------------------------------------------------------------


def test_what_is_wrong_is_told_where_the_length_is_known(tsc):
    series = times(tsc, recording(2, (3, 12), "int16"))
    for message, call in (
        ("12", lambda: series.correlate(np.arange(5))),
        ("constant", lambda: series.correlate(np.ones(12))),
        ("constant", lambda: series.correlate(np.full((2, 12), 0.1))),
        ("constant", lambda: series.crossCorr(np.zeros(12))),
        ("lag", lambda: series.crossCorr(np.arange(12), lag=12)),
        ("1-D", lambda: series.crossCorr(np.zeros((2, 12)))),
        ("1-D", lambda: series.convolve(np.zeros((2, 12)))),
        ("12 values", lambda: series.detrend("nonlinear", 12)),
        ("nonlinear", lambda: series.detrend("linear", 3)),
        ("below 6", lambda: series.fourier(6)),
        ("divide", lambda: series.downsample(5)),
        ("divide", lambda: series.meanByFixedLength(5)),
        ("divide", lambda: series.groupByFixedLength(24)),
        ("goes beyond", lambda: series.meanByWindow([1], 4)),
        ("goes beyond", lambda: series.groupByWindow([5, 11], 4)),
        ("no index value is 99", lambda: series.meanByWindow([5, 99], 4)),
        ("axis", lambda: series.center(2)),
        ("axis", lambda: series.zscore(-1)),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    unknown = series.apply(lambda y: y[:5])
    with pytest.raises(ValueError, match="12 values, but the series have 5"):
        unknown.correlate(np.arange(12)).toArray()


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_nan_is_as_in_numpy(tsc):
    rows = np.random.default_rng(0).normal(0, 1, (4, 10))
    rows[1, 3], rows[2, 4] = np.nan, np.inf
    series = times(tsc, rows)
    for found in (
        series.center(), series.zscore(), series.correlate(np.arange(10)), series.detrend(),
        series.fourier(2),
    ):  # fmt: skip
        assert not np.isfinite(found.toArray()[1:3]).any()
        assert np.isfinite(found.toArray()[[0, 3]]).all()
    kept = series.squelch(1e9).toArray()
    assert np.isnan(kept[1, 3])
    assert np.isinf(kept[2, 4])
    assert not kept[[0, 3]].any()
    taps = [1.0, 2.0]
    assert np.array_equal(
        series.convolve(taps).toArray(), [np.convolve(y, taps) for y in rows], equal_nan=True
    )


def test_polynomials_are_orthonormal():
    for length, order in ((6, 5), (20, 19), (1000, 5), (10_000, 12)):
        basis = polynomials(length, order)
        assert np.abs(basis @ basis.T - np.eye(order + 1)).max() < 1e-12
        x = np.linspace(-1, 1, length)
        powers = np.stack([x**n for n in range(min(order, 5) + 1)])
        assert np.abs(powers - powers @ basis.T @ basis).max() < 1e-9


def test_detrend_equals_scipy_but_for_the_intercept(tsc):
    rows = np.random.default_rng(0).normal(1e6, 10, (5, 1000)) + np.arange(1000) * 3
    found = times(tsc, rows).detrend().toArray()
    flat = scipy_signal.detrend(rows)
    offset = found - flat
    assert np.abs(offset - offset[:, :1]).max() < 1e-6
