"""Bins of successive images against NumPy: from files and memory, before and after every step."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import tifffile

from mpimages import ThunderContext
from mpimages.engine.bin_source import _rounds

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = pytest.mark.ranks


def binned(array, n, how="mean"):
    """Bins by a plain loop: integers exactly, floats one after the other in float64."""
    bins = len(array) // n
    kind = array.dtype
    small = kind.itemsize <= (4 if kind.kind == "f" else 2)
    result = ("f4" if small else "f8") if how == "mean" else f"{kind.kind}8"
    found = np.empty((bins, *array.shape[1:]), result)
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(bins):
            total = array[i * n].astype("f8" if kind.kind == "f" else object)
            for image in array[i * n + 1 : (i + 1) * n]:
                total = total + image
            if how == "sum":
                found[i] = total
            elif kind.kind == "f":
                found[i] = total / n
            else:
                found[i] = np.vectorize(lambda value: float(Fraction(int(value), n)))(total)
    return found


@pytest.fixture
def stored(comm, shared_path):
    """A recording of 23 images in one TIFF."""
    array = recording(23, (5, 6), "uint16")
    if comm.rank == 0:
        tifffile.imwrite(shared_path / "movie.tif", array, photometric="minisblack")
    comm.barrier()
    return array, str(shared_path / "movie.tif")


# -- what a bin is -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", ["mean", "sum"])
@pytest.mark.parametrize("n", [1, 2, 5, 24])
def test_bins(tsc, dtype, how, n):
    array = recording(24, (3, 4), dtype)
    if dtype in ("int64", "uint64") and how == "sum":
        array >>= 5  # so that 64 bits hold it
    found = spread(tsc, array).timeBin(n, how, remainder="drop")
    wanted = binned(array, n, how)
    assert found.nrecords == len(wanted)
    assert (found.dims.count, found.dtype) == ((3, 4), wanted.dtype)
    result = found.toArray()
    if np.dtype(dtype).kind == "f" or np.dtype(dtype).itemsize < 8 or how == "sum":
        assert same_bits(result, wanted)
    else:
        np.testing.assert_allclose(result, wanted, rtol=5e-16)
    assert found.keys().collect() == list(range(24 // n))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_means_of_integers_whose_sum_64_bits_cannot_hold(tsc, dtype):
    info = np.iinfo(dtype)
    array = np.array([[[info.max, info.min, info.max]], [[info.max, info.min, 1]]] * 3, dtype)
    images = spread(tsc, array)
    mean = images.timeBin(2)
    assert mean.dtype == np.float64
    assert mean.toArray()[0].tolist() == [
        [float(info.max), float(info.min), float(Fraction(info.max + 1, 2))]
    ]
    with pytest.raises(OverflowError, match="how='mean' can"):
        images.timeBin(2, "sum").toArray()


def test_not_a_number_and_infinities_are_as_in_numpy(tsc):
    array = recording(12, (3, 4), "float32")
    array[1, 0, 0], array[2, 0, 1], array[3, 0, 1] = np.nan, np.inf, -np.inf
    array[:, 2, 2] = -0.0
    found = spread(tsc, array).timeBin(4).toArray()
    assert np.isnan(found[0, 0, :2]).all()
    assert np.signbit(found[:, 2, 2]).all()
    assert same_bits(found, binned(array, 4))


# -- from where the images come ------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [2, 7, 11, 40])
def test_bins_over_ranks_that_hold_any_number_of_images(tsc, seed, n):
    array = recording(40, (3, 4), "float32", seed)
    images = spread(tsc, array, seed).timeBin(n, remainder="drop")
    wanted = binned(array, n)
    assert same_bits(images.toArray(), wanted)
    assert same_bits(images[len(wanted) - 1], wanted[-1])
    assert same_bits(images.filterOnKeys(lambda key: key % 2 == 1).toArray(), wanted[1::2])
    assert same_bits(images.max(), wanted.max(axis=0))


def test_bins_of_bins(tsc):
    array = recording(36, (3, 4), "int16")
    for images in (spread(tsc, array, 3), tsc.loadExample("fish-images")):
        given = images.toArray()
        many = len(given) // 10
        found = images.timeBin(2).subtract(1.0).timeBin(5, "sum", remainder="drop")
        wanted = binned(binned(given, 2) - np.float32(1), 5, "sum")
        assert found.nrecords == many
        assert same_bits(found.toArray(), wanted)
        assert same_bits(found[many - 1], wanted[-1])


def test_bins_of_files(tsc, stored):
    array, path = stored
    images = tsc.loadImages(path, nplanes=1)
    found = images.timeBin(4, remainder="drop")
    assert same_bits(found.toArray(), binned(array, 4))
    assert list(found.records.chain.source.inputs) == list(images.records.chain.source.inputs)
    np.testing.assert_allclose(found.mean(), binned(array, 4).mean(axis=0, dtype="f8"))
    assert same_bits(images.timeBin(23, "sum").toArray(), binned(array, 23, "sum"))


def test_bins_of_the_example_and_of_volumes(tsc):
    images = tsc.loadExample("fish-images")
    assert same_bits(images.timeBin(5).toArray(), binned(images.toArray(), 5))


@pytest.mark.filterwarnings("ignore:a loop over Images")
def test_a_loop_a_series_and_a_cache(tsc):
    array = recording(20, (3, 4), "uint16")
    found, wanted = spread(tsc, array, 4).timeBin(3, remainder="drop"), binned(array, 3)
    assert all(same_bits(a, b) for a, b in zip(found, wanted, strict=True))
    assert same_bits(found.toSeries().toArray(), np.moveaxis(wanted, 0, -1).copy())
    kept = found.cache()
    assert same_bits(kept.timeBin(2).toArray(), binned(wanted, 2))
    later = kept.timeBin(2)
    assert same_bits(later.toArray(), binned(wanted, 2))
    kept.uncache()
    assert same_bits(later.toArray(), binned(wanted, 2))
    assert same_bits(later.crop((0, 0), (2, 2)).toArray(), binned(wanted, 2)[:, :2, :2].copy())


def test_a_cache_that_is_dropped_between_two_actions(tsc, stored):
    array, path = stored
    images = tsc.loadImages(path, nplanes=1, stopIdx=20).cache()
    found = images.timeBin(3, remainder="drop")
    shifted = found.subtract(2.0)
    assert same_bits(found.toArray(), binned(array[:20], 3))
    images.uncache()
    assert same_bits(found.toArray(), binned(array[:20], 3))
    assert same_bits(shifted.toArray(), binned(array[:20], 3) - np.float32(2))


# -- after other steps ---------------------------------------------------------------------


@pytest.mark.parametrize("memory", [False, True])
def test_after_a_filter(tsc, stored, memory):
    array, path = stored
    images = spread(tsc, array) if memory else tsc.loadImages(path, nplanes=1)
    found = images.filter(lambda key, image: key % 3 != 1).timeBin(5)
    assert found.nrecords is None
    wanted = binned(array[np.arange(23) % 3 != 1], 5)
    assert same_bits(found.toArray(), wanted)
    assert found.nrecords == found.count() == 3
    wrong = images.filter(lambda key, image: key < 7).timeBin(5)
    with pytest.raises(ValueError, match=r"7 images fill 1 bins of 5, and 2 more.*='drop'"):
        wrong.mean()
    with pytest.raises(ValueError, match="no records"):
        images.filter(lambda key, image: False).timeBin(5).mean()


@pytest.mark.parametrize("memory", [False, True])
def test_after_a_function_whose_result_is_not_declared(tsc, stored, memory):
    array, path = stored
    images = spread(tsc, array) if memory else tsc.loadImages(path, nplanes=1)
    found = images.apply(lambda image: image[:3] / 2).timeBin(4, remainder="drop")
    assert (found.nrecords, found.dims, found.dtype) == (None, None, None)
    assert same_bits(found.toArray(), binned(array[:, :3] / 2, 4))
    assert (found.nrecords, found.dims.count) == (5, (3, 6))


@pytest.mark.parametrize("memory", [False, True])
def test_a_function_that_fails_for_one_image(tsc, stored, memory):
    array, path = stored
    images = spread(tsc, array) if memory else tsc.loadImages(path, nplanes=1)

    def fail(image):
        if np.array_equal(image, array[9]):
            raise ArithmeticError("image 9")
        return image

    found = images.apply(fail, (5, 6), "uint16").timeBin(10, remainder="drop")
    with pytest.raises(ArithmeticError, match="image 9"):
        found.mean()
    assert tsc.loadImagesFromArray(array).timeBin(23).count() == 1  # the ranks are in step


def test_images_of_other_shapes_are_refused_by_their_key(tsc):
    array = recording(12, (4, 5), "uint8")
    images = spread(tsc, array).apply(lambda v: v[:2] if np.array_equal(v, array[7]) else v)
    with pytest.raises(ValueError, match="key 7"):
        images.timeBin(4).toArray()


def test_the_interval_and_what_else_the_metadata_say(tsc):
    images = tsc.loadImagesFromArray(recording(12, (4, 5), "uint8"))
    images.metadata.update(frameInterval=0.25, pixelSize=[1, 2], unit="um")
    found = images.timeBin(4)
    assert found.metadata == {"frameInterval": 1.0, "pixelSize": [1, 2], "unit": "um"}
    assert images.metadata["frameInterval"] == 0.25


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ((0,), ValueError, "at least 1"),
        ((-1,), ValueError, "at least 1"),
        ((True,), TypeError, "integer"),
        ((2.0,), TypeError, "integer"),
        ((13,), ValueError, "bins of 13 need as many images, but there are 12"),
        ((13, "mean", "drop"), ValueError, "bins of 13 need as many images, but there are 12"),
        ((5,), ValueError, "2 bins of 5, and 2 more are left over; remainder='drop'"),
        ((3, "median"), ValueError, "how"),
        ((3, None), TypeError, "how"),
        ((3, "mean", "keep"), ValueError, "remainder"),
        ((3, "mean", True), TypeError, "remainder"),
    ],
)
def test_what_cannot_be_binned(tsc, given, error, words):
    images = tsc.loadImagesFromArray(recording(12, (4, 5), "uint8"))
    with pytest.raises(error, match=words):
        images.timeBin(*given)


@pytest.mark.parametrize("memory", [False, True])
def test_ranks_that_bin_differently(tsc, comm, stored, memory):
    from mpimages import CollectiveMismatchError

    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    array, path = stored
    images = spread(tsc, array) if memory else tsc.loadImages(path, nplanes=1)
    wrong = images.timeBin(2 + comm.rank % 2, remainder="drop")
    with pytest.raises(CollectiveMismatchError):
        wrong.mean()


# -- budgets -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_many_images_a_bin_within_a_small_budget(comm, shared_path, dtype):
    array = recording(60, (20, 20), dtype)
    if comm.rank == 0:
        np.save(shared_path / "movie.npy", array)
    comm.barrier()
    budget = 40 * 400 * np.dtype(dtype).itemsize  # two thirds of the images
    with ThunderContext(comm, memory=budget) as small:
        images = small.loadImages(str(shared_path / "movie.npy"))
        assert same_bits(images.timeBin(60).max(), binned(array, 60)[0])
        assert same_bits(images.timeBin(20)[2], binned(array, 20)[2])
    with ThunderContext(comm, memory=600 * np.dtype(dtype).itemsize) as tiny:
        images = tiny.loadImages(str(shared_path / "movie.npy"))
        with pytest.raises(MemoryError, match="one record of shape"):
            images.timeBin(20).max()


def test_who_hands_a_sum_to_whom():
    every = range(10)
    assert _rounds((0, 4, 8, 12), 4, every) == {}
    assert _rounds((0, 3, 8, 12), 4, every) == {0: 0}
    assert _rounds((0, 3, 3, 5, 6), 6, every) == {0: 0, 1: 1, 2: 2}
    assert _rounds((0, 3, 5, 7, 12), 4, every) == {0: 0, 1: 0, 2: 1}
    assert _rounds((0, 3, 8, 12), 4, np.array([1, 2])) == {}


def test_bins_of_records_of_one_value(tsc):
    for dtype in ("uint8", "int64", "float32"):
        array = recording(7, (3, 4), dtype)
        values = spread(tsc, array).apply(lambda value: value[1, 2])
        for how in ("mean", "sum"):
            found = values.timeBin(2, how, remainder="drop").toArray()
            assert same_bits(found, binned(array[:, 1, 2:3], 2, how)[:, 0])
