"""Series as a matrix, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from mpi4py import MPI

from mpimages import ThunderContext

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]


@pytest.fixture(scope="module")
def contexts(tsc, comm):
    """A large budget, and one that allows the sums of some rows at a time."""
    with ThunderContext(comm, memory="6MB") as small:
        yield tsc, small


def rows_of(array):
    """(pixels, T) of (T,) + dims."""
    return np.ascontiguousarray(np.moveaxis(array, 0, -1)).reshape(-1, len(array))


# -- products of columns -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_gramian_and_covariance(contexts, dtype):
    array = recording(140, (47, 53), dtype)
    rows = rows_of(array)
    found = []
    for context, seed in zip(contexts, (1, 5), strict=True):
        series = spread(context, array, seed).toSeries()
        found.append((series.gramian(), series.cov()))
    with ThunderContext(MPI.COMM_SELF, memory="100MB") as alone:
        series = alone.loadImagesFromArray(array).toSeries()
        found.append((series.gramian(), series.cov()))
    # Records in memory, of which the ranks have other shares.
    series = contexts[0].loadSeriesFromArray(rows.reshape(47, 53, 140))
    found.append((series.gramian(), series.cov()))
    for gramian, covariance in found[1:]:
        assert same_bits(gramian, found[0][0])
        assert same_bits(covariance, found[0][1])
    gramian, covariance = found[0]
    assert np.array_equal(gramian, gramian.T)
    if rows.dtype.kind in "iu" and rows.dtype.itemsize <= 2:
        assert gramian.dtype == np.int64
        assert np.array_equal(gramian, rows.T.astype(np.int64) @ rows.astype(np.int64))
    else:
        exact = rows.T.astype(np.float64) @ rows.astype(np.float64)
        np.testing.assert_allclose(gramian, exact, rtol=1e-9, atol=1e-10 * np.abs(exact).max())
    exact = np.cov(rows.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(covariance, exact, rtol=1e-9, atol=1e-10 * np.abs(exact).max())
    assert covariance.dtype == np.float64


@pytest.mark.parametrize(
    ("pixels", "times"), [((1, 1), 1), ((2, 1), 1), ((1, 3), 5), ((32, 33), 2)]
)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_small_matrices(tsc, dtype, pixels, times):
    array = recording(times, pixels, dtype)
    rows = rows_of(array).astype(np.float64)
    series = tsc.loadImagesFromArray(array).toSeries()
    np.testing.assert_allclose(series.gramian(), rows.T @ rows, rtol=1e-12)
    if len(rows) == 1:
        with pytest.raises(ValueError, match="two records"):
            series.cov()
    else:
        exact = np.cov(rows, rowvar=False).reshape(times, times)
        np.testing.assert_allclose(series.cov(), exact, rtol=1e-9, atol=1e-9 * np.abs(exact).max())


def test_a_filter_and_undeclared_functions(tsc):
    array = recording(6, (40, 50), "int16")
    rows = rows_of(array)[::3].astype(np.float64)
    series = (
        spread(tsc, array).toSeries().filter(lambda key, value: (key[0] * 50 + key[1]) % 3 == 0)
    )
    assert np.array_equal(series.gramian(), rows.T @ rows)
    halves = spread(tsc, array).apply(lambda value: value / 2).toSeries()
    exact = np.cov(rows_of(array) / 2, rowvar=False)
    np.testing.assert_allclose(halves.cov(), exact, rtol=1e-9, atol=1e-9 * np.abs(exact).max())
    nothing = series.filter(lambda key, value: False)
    with pytest.raises(ValueError, match="no records"):
        nothing.gramian()


def test_values_far_from_zero_and_not_finite(tsc):
    array = recording(4, (40, 50), "float64") + 1e9
    exact = np.cov(rows_of(array - 1e9), rowvar=False)
    found = tsc.loadImagesFromArray(array).toSeries().cov()
    np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)
    counts = recording(4, (40, 50), "uint16") // 4096 + np.uint16(61000)
    exact = np.cov(rows_of(counts).astype(np.float64) - 61000, rowvar=False)
    found = tsc.loadImagesFromArray(counts).toSeries().cov()
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-12)
    array[2, 3, 3] = np.nan
    found = tsc.loadImagesFromArray(array).toSeries().gramian()
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(np.delete(found, 2, 0), 2, 1)).all()


def test_a_matrix_beyond_the_budget(comm):
    with ThunderContext(comm, memory="200KB") as small:
        series = small.loadImagesFromArray(recording(200, (2, 2), "uint8")).toSeries()
        for call in (series.gramian, series.cov):
            with pytest.raises(MemoryError, match="result"):
                call()


# -- a product with a matrix ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_times(contexts, dtype):
    array = recording(70, (20, 30), dtype)
    rows = rows_of(array)
    random = np.random.RandomState(0)
    matrix = random.standard_normal((70, 3))
    found = [spread(one, array).toSeries().times(matrix).toArray() for one in contexts]
    assert same_bits(*found)
    expected = np.zeros((len(rows), 3))
    for column, factors in zip(rows.T.astype(np.float64), matrix, strict=True):
        expected += column[:, None] * factors
    assert np.array_equal(found[0].reshape(-1, 3), expected)
    one = spread(contexts[0], array).toSeries().times(matrix[:, 0])
    assert one.index.tolist() == [0]
    assert np.array_equal(one.toArray()[..., 0], found[0][..., 0])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint64"])
def test_times_of_integers_is_exact(tsc, dtype):
    array = recording(9, (6, 7), dtype) // np.dtype(dtype).type(8 if dtype == "uint64" else 1)
    series = spread(tsc, array).toSeries()
    matrix = np.array([[1, -2], *[[0, 0]] * 7, [0, 1]])
    if dtype == "uint64":
        with pytest.raises(OverflowError, match="float64"):
            series.times(matrix)
        assert series.times(matrix.astype(float)).dtype == np.float64
        return
    for factor in (1, 2**23):
        found = series.times(matrix * factor)
        assert found.dtype == np.int64
        exact = rows_of(array).astype(object) @ (matrix.astype(object) * factor)
        assert np.array_equal(found.toArray().reshape(-1, 2), exact.astype(np.int64))


def test_wrong_matrices(tsc):
    series = tsc.loadImagesFromArray(recording(5, (3, 4), "uint8")).toSeries()
    for wrong, kind, word in [
        (np.ones((4, 2)), ValueError, "4 rows, but the series 5 values"),
        (np.ones((5, 2, 2)), ValueError, "shape"),
        (np.empty((5, 0)), ValueError, "shape"),
        (np.full((5, 1), 2**63, np.uint64), ValueError, "float64"),
        ("matrix", TypeError, "numbers"),
        (np.ones((5, 2), complex), TypeError, "numbers"),
        (np.ma.masked_equal([1, 2, 3, 4, 5], 3), TypeError, "masked"),
    ]:
        with pytest.raises(kind, match=word):
            series.times(wrong)
    later = series.apply(lambda values: values[:4]).times(np.ones((5, 1)))
    with pytest.raises(ValueError, match="5 rows"):
        later.toArray()


# -- the key space -------------------------------------------------------------------------


def test_flatten_and_reshape(tsc, shared_path):
    array = recording(5, (4, 6, 2), "int16")
    plain = np.moveaxis(array, 0, -1)
    images = spread(tsc, array)
    images.metadata["pixelSize"] = (1.0, 1.0, 2.0)
    series = images.toTimeSeries()
    flat = series.flatten()
    assert type(flat) is type(series)
    assert flat.dims.count == (48,)
    assert same_bits(flat.toArray(), plain.reshape(48, 5))
    assert flat.keys().take(2) == [(0,), (1,)]
    assert "pixelSize" not in flat.metadata
    assert series.dims.count == (4, 6, 2)
    again = flat.reshape(8, -1)
    assert same_bits(again.toArray(), plain.reshape(8, 6, 5))
    assert same_bits(again.reshape((2, 2, 12))[1, 1, 3], plain.reshape(2, 2, 12, 5)[1, 1, 3])
    assert again.index.tolist() == [0, 1, 2, 3, 4]
    kept = again.filterOnKeys(lambda key: key[0] == 7).reshape(48)
    assert kept.keys().collect() == [(n,) for n in range(42, 48)]
    flat.saveAsBinarySeries(shared_path / "flat")
    assert same_bits(tsc.loadSeries(shared_path / "flat").toArray(), plain.reshape(48, 5))
    assert same_bits(flat.toImages().toArray(), array.reshape(5, 48))
    assert flat.toBlocks((5,)).blockShape == (5,)
    assert same_bits(again.toImages().toArray(), array.reshape(5, 8, 6))
    assert same_bits(again.reshape(4, 6, 2).toImages().toArray(), array)
    unknown = images.apply(lambda value: value[..., 0]).toSeries().flatten()
    assert unknown.dims.count == (24,)


@pytest.mark.parametrize("dims", [(5, 9), (7, -1), (-1, -1), (0, 48), (2, 2, 2, 6), (-2, -24), ()])
def test_dims_that_do_not_fit(tsc, dims):
    series = tsc.loadImagesFromArray(recording(2, (4, 12), "uint8")).toSeries()
    with pytest.raises(ValueError, match="dims"):
        series.reshape(*dims)
