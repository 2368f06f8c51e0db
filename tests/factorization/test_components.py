"""Singular values, principal and independent components: as NumPy's, and the same on all ranks."""

import tracemalloc

import numpy as np
import pytest

from mpimages import ICA, PCA, SVD, CollectiveMismatchError, KMeans, ThunderContext

from ..support.data import same_bits, spread

pytestmark = pytest.mark.ranks

TIMES, DIMS, PIXELS = 40, (7, 9), 63


def recorded(dtype, times=TIMES, dims=DIMS, decay=0.6, seed=0):
    """A recording whose singular values decay, (times,) + dims."""
    rng = np.random.default_rng(seed)
    pixels, rank = int(np.prod(dims)), min(times, int(np.prod(dims)), 30)
    left = np.linalg.qr(rng.standard_normal((pixels, rank)))[0]
    right = np.linalg.qr(rng.standard_normal((times, rank)))[0]
    values = 100 + (right * (300 * decay ** np.arange(rank))) @ left.T
    if np.dtype(dtype).kind in "iu":
        values = np.rint(values if np.dtype(dtype).itemsize == 1 else values * 50)
    return values.astype(dtype).reshape(times, *dims)


def table(array):
    return array.reshape(len(array), -1).T.astype(np.float64)


def angle(a, b):
    """The largest angle between what the rows of two matrices span."""
    a, b = np.linalg.qr(a.T)[0], np.linalg.qr(b.T)[0]
    return np.linalg.norm(a - b @ (b.T @ a), 2)


def collections(tsc, array):
    yield "images", tsc.loadImagesFromArray(array)
    yield "series", tsc.loadImagesFromArray(array).toSeries()


def results(model, data):
    """Singular values, right and left vectors of fitted data."""
    if isinstance(model, SVD):
        model.calc(data)
        return model.s, model.v, model.u.toArray()
    model.fit(data)
    return model.latent, model.comps, model.scores.toArray()


def decomposed(tsc, array, kind, model):
    return results(model, dict(collections(tsc, array))[kind])


def unmixed(tsc, array, kind):
    model = ICA(3).fit(dict(collections(tsc, array))[kind])
    return model.iterations, model.w, model.a, model.sigs.toArray()


@pytest.mark.parametrize("dtype", ["uint8", ">i2", "uint64", "float16", "float32"])
def test_components_are_those_of_numpy_and_their_bits_those_of_one_rank(tsc, alone, dtype):
    array = recorded(dtype)
    for kind, data in collections(tsc, array):
        for method, power in (("direct", 1), ("randomized", 1), ("randomized", 0)):
            for make in (SVD, PCA) if power else (PCA,):
                model = make(3, method, power)
                found = s, v, left = results(model, data)
                matrix = table(array) - (table(array).mean(0) if make is PCA else 0)
                _, wanted, right = np.linalg.svd(matrix, full_matrices=False)
                near = 1e-9 if method == "direct" or power else 0.02
                np.testing.assert_allclose(s, wanted[:3], rtol=near)
                assert angle(v, right[:3]) < (
                    1e-6 if method == "direct" else 1e-3 if power else 0.1
                )
                np.testing.assert_allclose(v @ v.T, np.eye(3), atol=1e-10)
                assert (v[range(3), np.abs(v).argmax(1)] > 0).all()
                assert left.shape == (*DIMS, 3)
                np.testing.assert_allclose(left.reshape(-1, 3), matrix @ v.T / s, atol=1e-9)
                one = alone(decomposed, array, kind, make(3, method, power))
                assert all(map(same_bits, found, one))
                if make is PCA:
                    np.testing.assert_allclose(model.transform(data).toArray(), left, atol=1e-9)
                    np.testing.assert_allclose(model.mean, table(array).mean(0), rtol=1e-12)


@pytest.mark.few_ranks
def test_what_decays_slowly_lies_within_a_thousandth_at_power_1(tsc):
    array = recorded("uint16", 120, (30, 40), decay=0.75)
    matrix = table(array)
    wanted = np.linalg.svd(matrix - matrix.mean(0), full_matrices=False)[2]
    for _, data in collections(tsc, array):
        for seed in (0, 1):
            assert angle(PCA(5, "randomized", seed=seed).fit(data).comps, wanted[:5]) <= 1e-3


def test_collections_of_all_kinds_give_the_bits_of_plain_ones(tsc):
    array = recorded("int16", dims=(4, 5, 3))
    kept = array[::2]
    images = tsc.loadImagesFromArray(array)
    wanted = PCA(2).fit(tsc.loadImagesFromArray(kept))
    for data in (
        spread(tsc, kept),
        images.filterOnKeys(lambda key: key % 2 == 0),
        images.filter(lambda key, _: key % 2 == 0).renumber(),
        tsc.loadImagesFromArray(kept).apply(lambda image: image),
        tsc.loadImagesFromArray(kept).cache(),
    ):
        model = PCA(2).fit(data)
        assert same_bits(model.comps, wanted.comps)
        assert same_bits(model.scores.toArray(), wanted.scores.toArray())
    bins = PCA(2).fit(images.timeBin(2, "sum"))
    summed = array[::2].astype(np.int64) + array[1::2]
    np.testing.assert_allclose(
        bins.latent, np.linalg.svd(table(summed) - table(summed).mean(0))[1][:2], rtol=1e-9
    )
    series = tsc.loadImagesFromArray(kept).toSeries().filterOnKeys(lambda key: key[0] != 1)
    some = table(kept).reshape(4, 15, 20)[[0, 2, 3]].reshape(45, 20)
    for method in ("direct", "randomized"):
        model = SVD(2, method).calc(series)
        np.testing.assert_allclose(model.s, np.linalg.svd(some)[1][:2], rtol=1e-9)
        assert model.u.count() == 45
        assert model.u.keys().collect() == series.keys().collect()


@pytest.mark.few_ranks
def test_few_pixels_or_times(tsc):
    for dims, times in (((1, 1), 5), ((2, 1), 7), ((3, 4), 1), ((1, 3), 2)):
        array = recorded("float32", times, dims)
        for _, data in collections(tsc, array):
            for method in ("direct", "randomized"):
                model = SVD(1, method).calc(data)
                np.testing.assert_allclose(model.s, np.linalg.svd(table(array))[1][:1], rtol=1e-6)
                assert model.u.toArray().shape == (*dims, 1)


def test_two_passes_and_two_more_for_each_power(tsc, comm):
    calls = [0]

    def counted(value):
        calls[0] += 1
        return value

    def passes(fit, data, count):
        calls[0] = 0
        fit(data)
        return comm.allreduce(calls[0]) / count

    for dtype in ("uint16", "float32"):
        array = recorded(dtype)
        images = tsc.loadImagesFromArray(array).apply(counted, dims=DIMS, dtype=dtype)
        whole = np.ascontiguousarray(np.moveaxis(array, 0, -1))
        series = tsc.loadSeriesFromArray(whole).apply(counted, index=range(TIMES), dtype=dtype)
        for data, count in ((images, TIMES), (series, PIXELS)):
            for power in (0, 1):
                fit = PCA(3, "randomized", power).fit
                assert passes(fit, data, count) == 2 + 2 * power
        assert passes(PCA(3).fit, series, PIXELS) == (1 if dtype == "uint16" else 2)
        assert passes(KMeans(2, maxIterations=1).fit, series, PIXELS) == (
            2 if dtype == "uint16" else 3
        )


@pytest.mark.few_ranks
def test_memory_is_bounded_over_all_ranks(tsc, comm):
    k, dims = 6, (300, 400)
    rng = np.random.default_rng(0)
    base = rng.integers(0, 200, (2, *dims))
    for dtype in ("uint16", "float32"):
        array = np.stack([(base[0] * i + base[1] * (i * i % 7)) % 4001 for i in range(24)])
        images = tsc.loadImagesFromArray(array.astype(dtype)).cache()
        tracemalloc.start()
        PCA(k, power=1).fit(images)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rounds = 5 << 20  # what each rank computes with, whatever the number of pixels
        pixels = int(np.prod(dims))
        assert comm.allreduce(peak) <= 2 * pixels * (k + 10) * 8 + comm.size * rounds


def test_what_cannot_be_is_told(tsc):
    array = recorded("float64")
    broken = array.copy()
    broken[-1, 2, 3] = np.nan
    for _, data in collections(tsc, array):
        for fit in (SVD(41).calc, PCA(41, "randomized").fit):
            with pytest.raises(ValueError, match=r"k=41.*63 pixels and 40 times"):
                fit(data)
    for _, data in collections(tsc, broken):
        for method in ("direct", "randomized"):
            with pytest.raises(ValueError, match="NaN"):
                SVD(2, method).calc(data)
    flat = np.full((5, 3, 4), 7.5)
    for _, data in collections(tsc, flat):
        for method in ("direct", "randomized"):
            with pytest.raises(ValueError, match="constant"):
                PCA(1, method).fit(data)
            with pytest.raises(ValueError, match=r"k=2.*take k=1"):
                SVD(2, method).calc(data)
    for wrong, kind in ((array, TypeError), (None, TypeError)):
        for model in (SVD().calc, PCA().fit, ICA(2).fit, PCA().transform):
            with pytest.raises(kind, match="Images or a Series"):
                model(wrong)
    with pytest.raises(ValueError, match="call fit"):
        PCA().transform(tsc.loadImagesFromArray(array))
    with pytest.raises(ValueError, match="em"):
        SVD(method="em")
    with pytest.raises(TypeError, match="SVD"):
        SVD(maxIter=3)
    with pytest.raises(ValueError, match="c=3"):
        ICA(3, k=2)
    fitted = PCA(2).fit(tsc.loadImagesFromArray(array))
    with pytest.raises(ValueError, match="40 values"):
        fitted.transform(tsc.loadImagesFromArray(array[:9])).toArray()


@pytest.mark.few_ranks
def test_bases_beyond_the_budget_are_refused(comm):
    with ThunderContext(comm, memory="1MB") as small:
        images = small.loadImagesFromArray(recorded("uint8", 6, (300, 300)))
        with pytest.raises(MemoryError, match=r"PCA.fit.*columns"):
            PCA(5).fit(images)
        long = small.loadImagesFromArray(recorded("uint8", 800, (3, 2))).toSeries()
        with pytest.raises(MemoryError, match="randomized"):
            SVD(2, "direct").calc(long)


def test_independent_components_are_found_and_have_the_bits_of_one_rank(tsc, alone):
    rng = np.random.default_rng(5)
    sources = rng.laplace(size=(600, 3))
    mixed = 9000 + 300 * sources @ rng.standard_normal((3, 25))
    for dtype in ("uint16", "float32"):
        array = mixed.T.reshape(25, 20, 30).astype(dtype)
        for kind, data in collections(tsc, array):
            model = ICA(3).fit(data)
            found = model.sigs.toArray()
            flat = found.reshape(-1, 3)
            matched = np.abs(np.corrcoef(flat.T, sources.T)[:3, 3:])
            assert (matched.max(1) > 0.98).all()
            assert len(set(matched.argmax(1))) == 3
            values = table(array)
            np.testing.assert_allclose((values - values.mean(0)) @ model.w.T, flat, atol=1e-8)
            np.testing.assert_allclose(np.cov(flat.T, bias=True), np.eye(3), atol=1e-6)
            np.testing.assert_allclose(model.w @ model.a, np.eye(3), atol=1e-8)
            iterations, *one = alone(unmixed, array, kind)
            assert model.iterations == iterations < 30
            assert all(map(same_bits, (model.w, model.a, found), one))
    assert ICA(2, k=3, maxIter=1).fit(tsc.loadImagesFromArray(array)).iterations == 1


def test_ranks_that_mean_something_else_are_told(tsc, comm):
    if comm.size == 1:
        pytest.skip("one rank is never out of step")
    images = tsc.loadImagesFromArray(recorded("uint8"))
    other = comm.rank == comm.size - 1
    for fit in (
        PCA(3 if other else 2).fit,
        SVD(2, seed=int(other)).calc,
        KMeans(2, seed=int(other)).fit,
    ):
        with pytest.raises(CollectiveMismatchError):
            fit(images)
    assert PCA(2).fit(images).comps.shape == (2, TIMES)
