"""Baselines of time series, against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from mpimages import ThunderContext
from mpimages.engine.series_baselines import Normalize, gaussian

from ..support.data import DTYPES, recording, same_bits

DIMS = (3, 4)


def running(rows, window, q):
    half, length = window // 2, rows.shape[-1]
    return np.stack(
        [
            np.percentile(rows[..., max(0, t - half) : t + half + 1], q, axis=-1)
            for t in range(length)
        ],
        -1,
    )


def maximin(rows, window, sigma):
    filtered = ndimage.gaussian_filter1d(rows, sigma, axis=-1) if sigma else rows
    filtered = ndimage.minimum_filter1d(filtered, window, axis=-1)
    return ndimage.maximum_filter1d(filtered, window, axis=-1)


CASES = [
    ({}, lambda y: np.percentile(y, 20, axis=-1, keepdims=True)),
    ({"baseline": "mean"}, lambda y: y.mean(-1, keepdims=True)),
    ({"baseline": "window", "window": 5, "perc": 35}, lambda y: running(y, 5, 35)),
    ({"baseline": "window", "window": 400}, lambda y: running(y, 400, 20)),
    ({"baseline": "maximin", "window": 7}, lambda y: maximin(y, 7, 10)),
    ({"baseline": "maximin", "window": 4, "sigma": 1.5}, lambda y: maximin(y, 4, 1.5)),
    ({"baseline": "maximin", "window": 90, "sigma": 0}, lambda y: maximin(y, 90, 0)),
]


def positive(dtype, length):
    """Values whose baseline is not near 0."""
    array = recording(3, (4, length), dtype)
    if array.dtype.kind == "f":
        return np.abs(array) + array.dtype.type(50)
    return (array // 2 + np.iinfo(dtype).max // 2).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize(tsc, dtype):
    for length in (1, 30, 301):
        array = positive(dtype, length)
        wide = array.astype(np.float64)
        series = tsc.loadSeriesFromArray(array).toTimeSeries()
        for given, twin in CASES:
            b = twin(wide)
            expected = (wide - b) / (b + 0.25)
            whole = series.normalize(**given, offset=0.25)
            small = dtype in ("float16", "float32")
            for found in (whole, series.normalize(**given, offset=0.25, dtype="float32")):
                exact = found is whole and not small
                assert found.dtype == (np.float64 if exact else np.float32)
                np.testing.assert_allclose(
                    found.toArray(), expected,
                    rtol=1e-6, atol=1e-9 if exact else 1e-7,
                )  # fmt: skip
            wanted = series.normalize(**given, offset=0.25, dtype=np.float64).toArray()
            assert same_bits(wanted.astype(whole.dtype), whole.toArray())


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_a_series_does_not_depend_on_those_beside_it(dtype):
    rows = recording(1, (300, 150), dtype)[0]
    if rows.dtype.kind == "f":
        rows[5, 7], rows[6, 8], rows[7, :20] = np.nan, np.inf, np.nan
    for step in (
        Normalize("percentile", None, 20.0, 0.1, None, None),
        Normalize("mean", None, 20.0, 0.1, None, None),
        Normalize("window", 31, 20.0, 0.1, None, None),
        Normalize("maximin", 31, 20.0, 0.1, 3.0, np.dtype(np.float32)),
    ):
        with np.errstate(invalid="ignore"):
            whole = step.run(range(300), rows)
            for count in (1, 7):
                parts = [step.run(range(count), rows[i : i + count]) for i in range(0, 70, count)]
                assert same_bits(np.concatenate(parts), whole[:70].copy())


@pytest.mark.parametrize("sigma", [0.3, 1.0, 10.0, 77.7])
def test_the_gaussian_is_scipys_but_for_the_last_bits(sigma):
    point = np.zeros(2 * int(4 * sigma + 0.5) + 1)
    point[len(point) // 2] = 1
    found = gaussian(sigma)
    assert np.abs(found - ndimage.gaussian_filter1d(point, sigma, mode="constant")).max() < 1e-13
    assert found.sum() == pytest.approx(1, abs=1e-11)
    assert np.array_equal(found, found[::-1])


@pytest.mark.ranks
def test_small_budgets(tsc, comm):
    array = recording(60, (9, 11), "uint16")
    rows = np.ascontiguousarray(np.moveaxis(array, 0, -1))
    series = tsc.loadSeriesFromArray(rows).toTimeSeries()
    with ThunderContext(comm, memory="2MB") as small:
        for given, _ in CASES[2:5]:
            made = small.loadImagesFromArray(array).toTimeSeries().normalize(**given)
            assert same_bits(made.toArray(), series.normalize(**given).toArray())
            kept = made.filter(lambda key, y: key[0] == 4)
            assert np.array_equal(kept.values().collect(), made.toArray()[4])


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("window", {"baseline": "maximin"}),
        ("window", {"baseline": "mean", "window": 3}),
        ("sigma", {"sigma": 3}),
        ("sigma", {"baseline": "window", "window": 3, "sigma": 3}),
        ("sigma", {"baseline": "maximin", "window": 3, "sigma": -1}),
        ("sigma", {"baseline": "maximin", "window": 3, "sigma": np.inf}),
        ("dtype", {"dtype": "int16"}),
        ("dtype", {"dtype": "float16"}),
    ],
)
def test_what_is_wrong_is_told(tsc, message, given):
    series = tsc.loadSeriesFromArray(np.ones((2, 3))).toTimeSeries()
    with pytest.raises(ValueError, match=message):
        series.normalize(**given)
