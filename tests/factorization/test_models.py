"""Clusters, non-negative factors and regressions: as NumPy's, and the same on all ranks."""

import numpy as np
import pytest

from mpimages import NMF, KMeans, KMeansModel, LinearRegression, RegressionModel

from ..support import dumbvalues as d
from ..support.data import same_bits

pytestmark = pytest.mark.ranks

TIMES, DIMS, PIXELS = 24, (6, 11), 66


def clustered(dtype, k=3):
    rng = np.random.default_rng(2)
    labels = rng.integers(0, k, PIXELS)
    values = rng.uniform(0, 200, (k, TIMES))[labels] + rng.uniform(0, 20, (PIXELS, TIMES))
    return labels, values.astype(dtype)


def collections(tsc, rows):
    """The same series as images, made of images, and in memory."""
    images = np.ascontiguousarray(rows.T).reshape(-1, *DIMS)
    yield tsc.loadImagesFromArray(images)
    yield tsc.loadImagesFromArray(images).toSeries()
    yield tsc.loadSeriesFromArray(rows.reshape(*DIMS, -1))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float16"])
def test_clusters_are_found_and_have_the_bits_of_one_rank(tsc, alone, dtype):
    labels, rows = clustered(dtype)
    values = rows.astype(np.float64)
    centers = alone(lambda tsc: KMeans(3).fit(next(collections(tsc, rows))).centers)
    for data in collections(tsc, rows):
        model = KMeans(3).fit(data)
        assert same_bits(model.centers, centers)
        found = model.predict(data)
        assert found.dtype == np.int64
        nearest = found.toArray().reshape(-1)
        assert len(set(zip(nearest.tolist(), labels.tolist(), strict=True))) == 3
        distances = ((values[:, None] - model.centers) ** 2).sum(2)
        assert (nearest == distances.argmin(1)).all()
        means = [values[nearest == i].mean(0) for i in range(3)]
        np.testing.assert_allclose(model.centers, means, rtol=1e-9)
        similar = model.similarity(data).toArray().reshape(-1)
        wanted = [
            np.corrcoef(model.centers[i], row)[0, 1] for i, row in zip(nearest, values, strict=True)
        ]
        np.testing.assert_allclose(similar, wanted, atol=1e-9)
        assert (model.predict(rows) == nearest).all()
        assert model.predict(rows[0]).shape == ()
        assert model.iterations <= 5


@pytest.mark.few_ranks
def test_clusters_of_constant_series_and_of_one(tsc):
    rows = np.repeat(np.arange(PIXELS) % 2, TIMES).reshape(PIXELS, TIMES).astype(np.uint8)
    model = KMeans(2).fit(tsc.loadSeriesFromArray(rows.reshape(*DIMS, -1)))
    assert sorted(model.centers[:, 0]) == [0, 1]
    assert not model.similarity(rows).any()
    single = KMeans(1).fit(tsc.loadSeriesFromArray(rows.reshape(*DIMS, -1)))
    np.testing.assert_allclose(single.centers, rows.mean(0, keepdims=True))
    with pytest.raises(ValueError, match=r"k=3.*only 2 differ"):
        KMeans(3).fit(tsc.loadSeriesFromArray(rows.reshape(*DIMS, -1)))
    apart = KMeansModel(np.array([[0.0] * TIMES, [9.0] * TIMES]))
    assert apart.predict(rows).tolist() == [0] * PIXELS


@pytest.mark.parametrize("dtype", ["uint16", "float64"])
def test_factors_without_negative_values(tsc, alone, dtype):
    rng = np.random.default_rng(1)
    rows = (rng.random((PIXELS, 3)) ** 3 @ rng.random((3, TIMES)) ** 3 * 1000).astype(dtype)
    values = rows.astype(np.float64)
    h = alone(lambda tsc: NMF(3, maxIter=12).fit(next(collections(tsc, rows))).h)
    for data in collections(tsc, rows):
        model = NMF(3, maxIter=12).fit(data)
        assert same_bits(model.h, h)
        assert len(model.hConvergence) <= 12
        w = model.w.toArray().reshape(PIXELS, 3)
        assert (w >= 0).all()
        assert (model.h >= 0).all()
        np.testing.assert_allclose(np.linalg.norm(model.h, axis=1), 1)
        np.testing.assert_allclose(w, np.maximum(values @ np.linalg.pinv(model.h), 0), atol=1e-6)
        left = np.linalg.norm(values - w @ model.h) / np.linalg.norm(values)
        assert left < 0.1
    begun = NMF(3, h0=model.h, maxIter=1).fit(data)
    assert begun.hConvergence[0] < model.hConvergence[0]
    negative = rows.astype(np.int32)
    negative[3, 4] = -1
    for data in collections(tsc, negative):
        with pytest.raises(ValueError, match="negative"):
            NMF(2).fit(data)


def solved(design, values, c=0.0, penalty=None):
    """Coefficients with a constant that has no penalty."""
    full = np.column_stack([np.ones(len(design)), design])
    square = np.zeros((full.shape[1],) * 2)
    if c:
        square[1:, 1:] = c * penalty.T @ penalty
    return np.linalg.solve(full.T @ full + square, full.T @ values.T).T, full


def regressed(tsc, how, design, rows):
    model = how.fit(design, next(collections(tsc, rows)))
    return model.coeffs.toArray(), model.stats.toArray()


def test_regressions_are_those_of_numpy_and_have_the_bits_of_one_rank(tsc, alone):
    rng = np.random.default_rng(3)
    design = rng.standard_normal((TIMES, 2)) * [1, 30] + 5
    penalty = np.array([[1.0, 2.0], [0.5, 0.0], [0.0, 0.1]])
    models = [
        (LinearRegression(), 0.0, None),
        (LinearRegression("ridge", c=4), 4.0, np.eye(2)),
        (LinearRegression("tikhonov", c=2.5, R=penalty), 2.5, penalty),
    ]
    for dtype in ("uint8", "float32"):
        _, rows = clustered(dtype)
        rows[5] = 3  # a constant series
        values = rows.astype(np.float64)
        for how, c, matrix in models:
            wanted, full = solved(design, values, c, matrix)
            left = ((values - wanted @ full.T) ** 2).sum(1)
            every = ((values - values.mean(1, keepdims=True)) ** 2).sum(1)
            fitted = 1 - left / np.where(every, every, np.inf) * (every > 0)
            fitted[5] = 0
            one = alone(regressed, how, design, rows)
            for data in collections(tsc, rows):
                model = how.fit(design, data)
                coefficients = model.coeffs.toArray()
                np.testing.assert_allclose(coefficients.reshape(PIXELS, 3), wanted, atol=1e-8)
                stats = model.stats.toArray()
                np.testing.assert_allclose(stats.reshape(-1), fitted, atol=1e-9)
                assert all(map(same_bits, (coefficients, stats), one))
                assert model.betas is model.coeffs
                expected, scores = model.predictAndScore(design, data)
                np.testing.assert_allclose(
                    expected.toArray().reshape(PIXELS, TIMES), wanted @ full.T, atol=1e-6
                )
                assert same_bits(scores.toArray(), stats)


@pytest.mark.few_ranks
def test_regressions_without_a_constant_and_with_equal_scales(tsc):
    design = np.arange(TIMES) ** 2.0
    _, rows = clustered("uint16")
    values = rows.astype(np.float64)
    data = tsc.loadSeriesFromArray(rows.reshape(*DIMS, -1))
    slopes = values @ design / (design @ design)
    model = LinearRegression(intercept=False).fit(design, data)
    np.testing.assert_allclose(model.coeffs.toArray().reshape(-1), slopes)
    scaled = LinearRegression(zscore=True).fit(design, data)
    shape = (design - design.mean()) / design.std()
    wanted, _ = solved(shape[:, None], values)
    np.testing.assert_allclose(scaled.coeffs.toArray().reshape(PIXELS, 2), wanted)
    plain = LinearRegression().fit(design, data).predict(np.array([3.0, 4.0]))
    other = scaled.predict(np.array([3.0, 4.0]))
    np.testing.assert_allclose(plain.toArray(), other.toArray(), rtol=1e-8)
    later = tsc.loadSeriesFromArray(rows[:, :5].reshape(*DIMS, -1))
    scores = scaled.score(design[:5], later).toArray()
    guess = other_values(wanted, shape[:5])
    left = ((values[:, :5] - guess) ** 2).sum(1)
    every = ((values[:, :5] - values[:, :5].mean(1, keepdims=True)) ** 2).sum(1)
    np.testing.assert_allclose(scores.reshape(-1), 1 - left / every, rtol=1e-8)


def other_values(coefficients, shape):
    return coefficients[:, :1] + coefficients[:, 1:] * shape


@pytest.mark.few_ranks
def test_wrong_arguments_are_told(tsc):
    _, rows = clustered("uint8")
    data = tsc.loadSeriesFromArray(rows.reshape(*DIMS, -1))
    design = np.arange(TIMES, dtype=float)
    for make in (
        *(lambda v, n=n: KMeans(**{"k": 2, n: v}) for n in ("k", "maxIterations")),
        *(lambda v, n=n: NMF(**{"k": 2, n: v}) for n in ("k", "maxIter")),
    ):
        for value in d.COUNT:
            with pytest.raises((TypeError, ValueError), match=r"KMeans|NMF"):
                make(value)
    for make in (lambda v: KMeans(2, tol=v), lambda v: NMF(tol=v), lambda v: NMF(seed=v)):
        for value in (*d.NUMBER, True):
            with pytest.raises((TypeError, ValueError), match=r"KMeans|NMF"):
                make(value)
    for make, kind in (
        (lambda: NMF(method="mu"), ValueError),
        (lambda: NMF(2, h0=-np.ones((2, 3))), ValueError),
        (lambda: NMF(2, h0=[[1]]), TypeError),
        (lambda: NMF(2, h0=np.ones((3, 3))), ValueError),
        (lambda: NMF(2, h0=np.ones((2, 3))).fit(data), ValueError),
        (lambda: NMF(25).fit(data), ValueError),
        (lambda: KMeans(2).fit(rows), TypeError),
        (lambda: KMeansModel(np.zeros(3)), ValueError),
        (lambda: KMeansModel(np.full((1, 3), np.nan)), ValueError),
        (lambda: KMeansModel(np.zeros((2, 3))).predict(data), ValueError),
        (lambda: KMeansModel(np.zeros((2, 3))).predict(rows), ValueError),
        (lambda: KMeansModel(np.zeros((2, 3))).similarity([1, 2, 3]), TypeError),
        (lambda: LinearRegression("lasso"), ValueError),
        (lambda: LinearRegression("ridge"), ValueError),
        (lambda: LinearRegression(c=1), ValueError),
        (lambda: LinearRegression("ridge", c=-1), ValueError),
        (lambda: LinearRegression("ridge", c=1, R=np.eye(2)), ValueError),
        (lambda: LinearRegression("tikhonov", c=1), ValueError),
        (lambda: LinearRegression("tikhonov", c=1, R=np.eye(2)).fit(design, data), ValueError),
        (lambda: LinearRegression(intercept=1), TypeError),
        (lambda: LinearRegression().fit(design[:5], data), ValueError),
        (lambda: LinearRegression().fit(design * np.nan, data), ValueError),
        (lambda: LinearRegression().fit(list(design), data), TypeError),
        (lambda: LinearRegression().fit(design, rows), TypeError),
        (lambda: LinearRegression(zscore=True).fit(design * 0, data), ValueError),
        (lambda: LinearRegression().fit(design, data).predict(np.eye(3)), ValueError),
        (lambda: LinearRegression().fit(design, data).score(design[:4], data), ValueError),
        (lambda: RegressionModel(), TypeError),
    ):
        with pytest.raises(kind):
            make()
    fewer = data.filterOnKeys(lambda key: key[0])
    with pytest.raises(ValueError, match="pixels of the data"):
        LinearRegression().fit(design, data).score(design, fewer)


@pytest.mark.few_ranks
def test_nan_and_infinite_series_stay_by_themselves(tsc):
    _, rows = clustered("float64")
    rows[4, 3], rows[9, 0] = np.nan, np.inf
    data = tsc.loadSeriesFromArray(rows.reshape(*DIMS, -1))
    with pytest.raises(ValueError, match="NaN"):
        KMeans(2).fit(data)
    model = LinearRegression().fit(np.arange(TIMES, dtype=float), data)
    for found in (model.coeffs, model.stats):
        finite = np.isfinite(found.toArray()).reshape(PIXELS, -1).all(1)
        assert np.flatnonzero(~finite).tolist() == [4, 9]
