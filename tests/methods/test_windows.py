"""Means of images around events, and by label, against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from mpimages import ThunderContext

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

EVENTS = [5, 6, 15, 4, 15]
LABELS = np.array([3, -1, 3, 7, 7, 3, -1, 3, 3, 7, -1, 3, 3, 3, 7, 3, -1, 3, 3, 7, 7])


@pytest.fixture(scope="module")
def contexts(tsc, comm):
    """A large budget, and one that allows the sums of a few pixels at a time."""
    with ThunderContext(comm, memory="120KB") as small:
        yield tsc, small


def members(window, number):
    return np.sort(np.array(EVENTS) - window // 2 + number)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", [(5, 7), (4, 3, 2)])
def test_mean_by_window(contexts, dtype, dims):
    array = recording(21, dims, dtype)
    for window in (1, 4, 5):
        found = [spread(context, array).meanByWindow(EVENTS, window) for context in contexts]
        assert found[0].shape == (window, *dims)
        assert found[0].dtype == np.float64
        assert same_bits(*found)
        for number in range(window):
            exact = array[members(window, number)].astype(np.float64).mean(axis=0)
            np.testing.assert_allclose(found[0][number], exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
def test_each_mean_is_that_of_its_images_alone(tsc, dtype):
    array = recording(21, (6, 8), dtype)
    images = spread(tsc, array, seed=4)
    found = images.meanByWindow(EVENTS, 5)
    for number in (0, 3):
        alone = tsc.loadImagesFromArray(array[members(5, number)])
        assert same_bits(found[number], alone.mean())
    labels, means = images.meanByLabel(LABELS)
    assert labels.tolist() == [-1, 3, 7]
    assert labels.dtype == np.int64
    for label, mean in zip(labels, means, strict=True):
        assert same_bits(mean, tsc.loadImagesFromArray(array[label == LABELS]).mean())


def test_bands_of_pixels_give_the_same(comm, tsc):
    array = recording(30, (50, 60), "float32")
    rounds = []
    with ThunderContext(comm, memory="1MB") as small:
        images = small.loadImagesFromArray(array).apply(lambda v: rounds.append(1) or v)
        found = images.meanByWindow(range(8, 20), 12)
        with pytest.raises(MemoryError, match="meanByWindow"):
            images.meanByWindow(range(15, 16), 29)
    assert same_bits(found, tsc.loadImagesFromArray(array).meanByWindow(range(8, 20), 12))
    assert comm.allreduce(len(rounds)) > 30


def test_nan_and_infinity_are_as_in_numpy(tsc):
    array = recording(21, (5, 7), "float64")
    array[4, 1], array[5, 2], array[14, 2] = np.nan, np.inf, -np.inf
    found = spread(tsc, array).meanByWindow(EVENTS, 3)
    with np.errstate(invalid="ignore"):
        exact = np.stack([array[members(3, number)].mean(axis=0) for number in range(3)])
    np.testing.assert_allclose(found, exact, rtol=1e-12)


def test_events_are_keys(tsc):
    array = recording(21, (5, 7), "uint16")
    images = spread(tsc, array)
    late = images.filterOnKeys(lambda key: key >= 4)
    assert same_bits(late.meanByWindow([6], 3), images.meanByWindow([6], 3))
    assert same_bits(late.renumber().meanByWindow([2], 3), images.meanByWindow([6], 3))
    odd = images.filter(lambda key, value: key % 2 == 1)
    assert same_bits(odd.meanByWindow([5], 1)[0], array[5].astype(np.float64))
    with pytest.raises(ValueError, match="key 4, which a filter"):
        odd.meanByWindow([5], 3)
    bins = images.timeBin(3, how="sum")
    sums = array.reshape(7, 3, 5, 7).sum(axis=1)
    np.testing.assert_array_equal(bins.meanByWindow([2, 4], 1)[0], (sums[2] + sums[4]) / 2)
    raised = images.apply(lambda value: value + 1.0).meanByWindow([5, 9], 1)
    np.testing.assert_allclose(raised[0], (array[5] + 1.0 + array[9] + 1.0) / 2)
    cached = images.cache()
    assert same_bits(cached.meanByWindow([6], 3), late.meanByWindow([6], 3))


@pytest.mark.parametrize(
    ("events", "window"), [([1], 4), ([19], 4), ([18], 7), ([-1], 1), ([2**62], 1), ([3], 2**40)]
)
def test_a_window_beyond_the_images(tsc, events, window):
    images = tsc.loadImagesFromArray(recording(20, (3, 4), "uint8"))
    with pytest.raises((ValueError, MemoryError), match=r"beyond|window"):
        images.meanByWindow(events, window)


def test_windows_at_the_ends(tsc):
    array = recording(20, (3, 4), "uint8")
    images = tsc.loadImagesFromArray(array)
    np.testing.assert_array_equal(
        images.meanByWindow([2, 18], 4), (array[0:4] + 0.0 + array[16:20]) / 2
    )
    with pytest.raises(ValueError, match="19 labels for 20 images"):
        images.meanByLabel(np.zeros(19, int))
