"""Images filtered in space, against SciPy, for any number of ranks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mpimages import ThunderContext
from mpimages.engine import filters

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = pytest.mark.ranks

DIMS = [(7, 9), (1, 5), (6, 5, 3)]


@pytest.fixture(scope="module")
def contexts(comm):
    """Contexts of a small budget and of a large one, in turn."""
    with ThunderContext(comm, memory="40kB") as small, ThunderContext(comm, memory="1GB") as large:
        yield itertools.cycle([small, large])


def cases(dtypes=DTYPES, dims=DIMS):
    for dtype, extent in itertools.product(dtypes, dims):
        yield recording(4, extent, dtype)


def real(dtype):
    return np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64


def each(array, function):
    """SciPy's filter of each image: in float32 or float64, and of float16 as float32."""
    wide = array.astype(np.float32) if array.dtype == np.float16 else array
    out = np.empty(array.shape, real(array.dtype))
    for image, result in zip(wide, out, strict=True):
        function(image, result)
    return out


def planes(value, number, none):
    return (value,) * 2 + (none,) * (number - 2)


def compare(images, expected, scale):
    """Equal but for the last bits of SciPy's weights, on the scale of what is added up."""
    assert images.dims.count == expected.shape[1:]
    assert images.dtype == expected.dtype
    found = images.toArray()
    assert found.dtype == expected.dtype
    limit = 4 * np.finfo(expected.dtype).eps * max(1.0, float(scale))
    assert np.abs(found - expected).max() <= limit


# -- Gaussian ------------------------------------------------------------------------------


def test_gaussian(contexts):
    from scipy.ndimage import gaussian_filter

    for array in cases():
        images, number = spread(next(contexts), array), array.ndim - 1
        scale = np.abs(array.astype(np.float64)).max()
        for sigma, order in ((2, 0), (0.7, 0), (1.5, 1), (1, 2), (2, 3), (9, 0)):
            sigmas, orders = planes(sigma, number, 0), planes(order, number, 0)
            expected = each(array, lambda a, out, s=sigmas, o=orders: gaussian_filter(a, s, o, out))
            compare(images.gaussianFilter(sigma, order), expected, scale)
        sigmas, orders = (0, 1.25, 2)[:number], (0, 1, 2)[:number]
        expected = each(array, lambda a, out, s=sigmas, o=orders: gaussian_filter(a, s, o, out))
        compare(images.gaussianFilter(sigmas, orders), expected, scale)


def test_weights_are_those_of_scipy():
    from scipy.ndimage import gaussian_filter1d

    impulse = np.zeros(101)
    impulse[50] = 1
    for sigma, order in itertools.product((0.1, 0.5, 1, 2.3, 10), range(4)):
        weights = filters.gaussian_weights(sigma, order)
        expected = gaussian_filter1d(impulse, sigma, order=order)[::-1]
        middle = len(weights) // 2
        scale = np.abs(expected).max()
        assert np.abs(weights - expected[50 - middle : 51 + middle]).max() <= 1e-14 * scale
        assert same_bits(weights, (-1) ** order * weights[::-1] + 0.0)


def test_default_arguments(tsc):
    array = recording(3, (8, 9), "uint16")
    images = spread(tsc, array)
    assert same_bits(images.gaussianFilter().toArray(), images.gaussianFilter(2, 0).toArray())
    assert same_bits(images.uniformFilter().toArray(), images.uniformFilter(2).toArray())
    assert same_bits(images.medianFilter().toArray(), images.medianFilter(2).toArray())
    assert images.gaussianFilter(0).dtype == np.float32
    assert np.array_equal(images.gaussianFilter(0).toArray(), array)
    assert np.array_equal(images.uniformFilter(1).toArray(), array)
    assert same_bits(images.medianFilter(1).toArray(), array)


# -- uniform -------------------------------------------------------------------------------


def test_uniform(contexts):
    from scipy.ndimage import uniform_filter

    for array in cases():
        images, number = spread(next(contexts), array), array.ndim - 1
        scale = np.abs(array.astype(np.float64)).max()
        for size in (1, 2, 3, 7, 70):
            sizes = planes(size, number, 1)
            expected = each(array, lambda a, out, s=sizes: uniform_filter(a, s, out))
            compare(images.uniformFilter(size), expected, scale)
            if array.dtype.kind != "f" and array.dtype.itemsize <= 2:  # sums are exact
                sizes = (1, size, 1)[:number]
                expected = each(array, lambda a, out, s=sizes: uniform_filter(a, s, out))
                assert same_bits(images.uniformFilter(sizes).toArray(), expected)
        sizes = (1, 3, 2)[:number]
        expected = each(array, lambda a, out, s=sizes: uniform_filter(a, s, out))
        compare(images.uniformFilter(sizes), expected, scale)


def test_what_is_not_finite_stays_in_its_windows(tsc):
    array = np.ones((3, 5, 100))
    array[0, 2, 40], array[1, 2, 40] = math.nan, math.inf
    images = spread(tsc, array)
    for made, reach in (
        (images.uniformFilter((1, 3)), 1),
        (images.uniformFilter((1, 71)), 35),
        (images.gaussianFilter((0, 1)), 4),
    ):
        found = made.toArray()
        wrong = ~np.isfinite(found)
        assert wrong[:2, 2, 40 - reach : 41 + reach].all()
        assert wrong.sum() == 2 * (2 * reach + 1)
        assert np.allclose(found[~wrong], 1)


# -- median --------------------------------------------------------------------------------


def test_median(contexts):
    from scipy.ndimage import median_filter

    for given in cases():
        array = given.astype(given.dtype.type) % 50 if given.dtype.itemsize == 8 else given
        images, number = spread(next(contexts), array), array.ndim - 1
        wide = array.astype(np.float32) if array.dtype == np.float16 else array
        for size in (1, 2, 3, 4, 7, 13):
            sizes = planes(size, number, 1)
            expected = np.stack([median_filter(image, sizes) for image in wide])
            found = images.medianFilter(size)
            assert found.dtype == array.dtype
            assert same_bits(found.toArray(), expected.astype(array.dtype))
        sizes = (3, 1, 2)[:number]
        expected = np.stack([median_filter(image, sizes) for image in wide])
        assert same_bits(images.medianFilter(sizes).toArray(), expected.astype(array.dtype))


def test_median_of_64_bits_is_exact(tsc):
    for dtype in ("int64", "uint64"):
        array = recording(2, (5, 6), dtype)
        for size in (2, 3, 7):
            border = (size // 2, size - 1 - size // 2)
            padded = np.pad(array, [(0, 0), border, border], "symmetric")
            windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), (1, 2))
            rows = np.sort(windows.reshape(2, 5, 6, -1), axis=-1)
            found = spread(tsc, array).medianFilter(size).toArray()
            assert same_bits(found, rows[..., size * size // 2].copy())


def test_median_of_nan_and_zeros(tsc):
    for dtype in ("float16", "float32", "float64"):
        for size in (3, 7):
            row = np.array([math.nan] * 9 + [-0.0] * 9 + [0.0] * 9 + [-math.inf] * 9, dtype)
            array = np.tile(row, (1, 5, 1))
            array[:, 0, 2] = -np.float64(math.nan)  # its sign has no meaning
            found = spread(tsc, array).medianFilter((1, size)).toArray()
            assert np.isnan(found[0, :, :9]).all()
            assert np.signbit(found[0, :, 9:18]).all()
            assert not np.signbit(found[0, :, 18:27]).any()
            assert (found[0, :, 27:] == -math.inf).all()


def test_select_is_a_sort():
    chance = np.random.default_rng(0)
    for number in range(1, 50):
        values = chance.integers(0, 20, (number, 50))
        given = values.copy()
        found = filters.select([*values], number // 2)
        assert np.array_equal(found, np.sort(values, axis=0)[number // 2])
        assert np.array_equal(values, given)


# -- the same bits -------------------------------------------------------------------------


CALLS = {
    "gaussian": lambda images: images.gaussianFilter((1.5, 0.5)),
    "uniform": lambda images: images.uniformFilter((3, 2)),
    "running": lambda images: images.uniformFilter(65),
    "median": lambda images: images.medianFilter(3),
    "partition": lambda images: images.medianFilter(7),
}


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_each_image_by_itself(tsc, monkeypatch, dtype):
    """Neither batches, nor strips, nor views of memory change a bit."""
    array = recording(6, (9, 40), dtype)
    together = {name: call(spread(tsc, array)).toArray() for name, call in CALLS.items()}
    for name, call in CALLS.items():
        alone = [call(tsc.loadImagesFromArray(image)).toArray()[0] for image in array]
        assert same_bits(np.stack(alone), together[name]), name
        turned = np.ascontiguousarray(array.transpose(0, 2, 1))
        again = call(spread(tsc, turned).transpose()).toArray()
        assert same_bits(again, together[name]), name
    monkeypatch.setattr("mpimages.engine.geometry.PIECE_BYTES", 100)
    monkeypatch.setattr(filters, "STRIP_BYTES", 100)
    monkeypatch.setattr(filters, "WINDOWS_BYTES", 1000)
    for name, call in CALLS.items():
        assert same_bits(call(spread(tsc, array)).toArray(), together[name]), name


def test_before_and_after_functions_and_bins_in_time(tsc):
    array = recording(9, (6, 8), "uint16")
    kept = array[::2]
    images = spread(tsc, array).filter(lambda key, value: key % 2 == 0).renumber()
    for name, call in CALLS.items():
        expected = call(tsc.loadImagesFromArray(kept)).toArray()
        assert same_bits(call(images).toArray(), expected), name
        undeclared = call(images.apply(np.copy))
        assert undeclared.dims is None, name
        assert same_bits(undeclared.toArray(), expected), name
        assert same_bits(call(images).apply(np.negative).toArray(), -expected), name
        cached = call(images).cache()
        assert same_bits(cached.max(), expected.max(axis=0)), name
        cached.uncache()
        series = call(images).toSeries().toArray()
        assert same_bits(series, np.moveaxis(expected, 0, -1).copy()), name
        mean = call(images).timeBin(5)
        assert same_bits(mean.toArray(), tsc.loadImagesFromArray(expected).timeBin(5).toArray())
        one = call(spread(tsc, array[:1])).toArray()
        assert same_bits(one, expected[:1]), name


def test_pixel_sizes_stay(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 6), "uint8"))
    images.metadata["pixelSize"] = (0.5, 0.25)
    assert images.gaussianFilter().medianFilter().uniformFilter().metadata["pixelSize"] == (
        0.5,
        0.25,
    )


def test_what_a_filter_is_not_for(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 6), "uint8"))
    for call in (
        lambda: images.gaussianFilter((1, 1, 1)),
        lambda: images.gaussianFilter(1, (0, 0, 0)),
        lambda: images.gaussianFilter((0, 1), (1, 0)),
        lambda: images.gaussianFilter(0, 1),
        lambda: images.gaussianFilter((0, 0), 2),
        lambda: images.gaussianFilter(1e-9),
        lambda: images.uniformFilter((3,)),
        lambda: images.medianFilter((3, 3, 3)),
        lambda: images.medianFilter(101),
    ):
        with pytest.raises(ValueError, match="Filter"):
            call()
    # What only an action can tell.
    unknown = images.apply(np.ravel)
    with pytest.raises(ValueError, match="medianFilter"):
        unknown.medianFilter((3, 3)).toArray()
    assert unknown.medianFilter(3).toArray().shape == (3, 24)
