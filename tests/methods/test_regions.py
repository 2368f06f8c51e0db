"""Means over regions of images and of Series, and maxima over an axis of keys."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mpimages import ThunderContext

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

DIMS, TIMES = (7, 6, 3), 11
RANDOM = np.random.RandomState(2)
MASK = RANDOM.randint(0, 5, DIMS)
LISTS = [
    [tuple(int(i) for i in one) for one in np.stack([RANDOM.randint(0, n, k) for n in DIMS], 1)]
    for k in (1, 7, 30, 30)
]
WEIGHTS = [RANDOM.rand(len(one)) for one in LISTS]
CLEAN = [[pixel for pixel in one if sum(pixel in other for other in LISTS) == 1] for one in LISTS]


@pytest.fixture(scope="module")
def contexts(tsc, comm):
    with ThunderContext(comm, memory="150KB") as small:
        yield tsc, small


def rows_of(array, pixels):
    """The series of some pixels, in the order of the pixels, from dims + (T,)."""
    return array[tuple(np.array(sorted(pixels)).T)]


@pytest.fixture(scope="module")
def alone():
    """The mean of some rows, by one rank."""
    from mpi4py import MPI

    with ThunderContext(MPI.COMM_SELF, memory="100MB") as context:

        def mean_of(rows):
            return context.loadImagesFromArray(rows[:, :, None].copy(), local=True).mean()[:, 0]

        yield mean_of


def series_of(context, array):
    """From images, by an exchange, and in memory."""
    return (
        spread(context, array).toSeries(),
        context.loadSeriesFromArray(np.ascontiguousarray(np.moveaxis(array, 0, -1))),
    )


# -- images --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_regions_of_images(tsc, dtype):
    array = recording(TIMES, DIMS, dtype)
    images = spread(tsc, array)
    field = RANDOM.rand(*DIMS)
    wide = array.astype(np.float64)
    by_mask = images.meanByRegions(MASK, weights=field)
    by_list = images.meanByRegions(LISTS, weights=WEIGHTS)
    assert by_mask.shape == by_list.shape == (TIMES, 4)
    for number in range(4):
        chosen = number + 1 == MASK
        exact = (wide[:, chosen] * field[chosen]).sum(axis=1) / field[chosen].sum()
        np.testing.assert_allclose(by_mask[:, number], exact, rtol=1e-9, atol=1e-9)
        where = (slice(None), *np.array(LISTS[number]).T)
        exact = (wide[where] * WEIGHTS[number]).sum(axis=1) / WEIGHTS[number].sum()
        np.testing.assert_allclose(by_list[:, number], exact, rtol=1e-9, atol=1e-9)
    ones = images.meanByRegions(MASK, weights=np.ones(DIMS))
    np.testing.assert_allclose(ones, images.meanByRegions(MASK), rtol=1e-12, atol=1e-9)


def test_overlaps_are_left_out(tsc):
    array = recording(TIMES, DIMS, "uint16")
    images = spread(tsc, array)
    found = images.meanByRegions(LISTS, excludeOverlaps=True)
    assert same_bits(found, images.meanByRegions(CLEAN))
    twice = [[(0, 0, 0), (1, 0, 0)], [(1, 0, 0), (0, 0, 0)], [(2, 2, 2)]]
    found = images.meanByRegions(twice, weights=[[1, 2], [3, 4], [5]], excludeOverlaps=True)
    assert np.isnan(found[:, :2]).all()
    assert same_bits(found[:, 2].copy(), array[:, 2, 2, 2].astype(np.float64))
    with pytest.raises(ValueError, match="excludeOverlaps"):
        images.meanByRegions(MASK, excludeOverlaps=True)


@pytest.mark.parametrize(
    "weights",
    [
        [[1.0]] * 3,
        [[1.0]] * 4,
        np.ones(DIMS[:2]),
        [np.zeros(len(one)) for one in LISTS],
        [-one for one in WEIGHTS],
        [one * math.inf for one in WEIGHTS],
        [one * math.nan for one in WEIGHTS],
        3,
        "weights",
        [["a"] * len(one) for one in LISTS],
    ],
)
def test_wrong_weights(tsc, weights):
    array = recording(TIMES, DIMS, "uint8")
    for call in (
        tsc.loadImagesFromArray(array).meanByRegions,
        tsc.loadImagesFromArray(array).toSeries().meanByRegions,
    ):
        with pytest.raises(ValueError, match="weights"):
            call(LISTS, weights=weights)


def test_traces_beyond_the_budget_are_refused(comm):
    with ThunderContext(comm, memory="20KB") as small:
        images = small.loadImagesFromArray(recording(300, (4, 4), "uint8"))
        with pytest.raises(MemoryError, match="meanByRegions"):
            images.meanByRegions(np.arange(16).reshape(4, 4))


# -- series --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_regions_of_series(contexts, alone, dtype):
    array = recording(TIMES, DIMS, dtype)
    plain = np.moveaxis(array, 0, -1)
    exchanged, in_memory = series_of(contexts[0], array)
    for series in (exchanged, in_memory, spread(contexts[1], array).toSeries()):
        found = [
            *series.meanByRegions(MASK),
            *series.meanByRegions(LISTS),
            *series.meanByRegions(LISTS, weights=WEIGHTS),
        ]
        if series is exchanged:
            first = found
            clean = series.meanByRegions(LISTS, excludeOverlaps=True)[1]
            one = [*series.meanOfRegion(LISTS[1]), *series.meanOfRegion(MASK)]
        assert all(same_bits(a, b) for a, b in zip(first, found, strict=True))
    keys, values, list_keys, list_values, weighted_keys, weighted = first
    assert values.shape == (4, TIMES)
    for number in range(4):
        pixels = np.argwhere(number + 1 == MASK)
        np.testing.assert_allclose(keys[number], pixels.mean(axis=0))
        assert same_bits(values[number], alone(plain[number + 1 == MASK]))
        np.testing.assert_allclose(list_keys[number], np.mean(LISTS[number], axis=0))
        assert same_bits(list_values[number], alone(rows_of(plain, LISTS[number])))
        assert same_bits(clean[number], alone(rows_of(plain, CLEAN[number])))
        weights = WEIGHTS[number]
        mean = np.average(LISTS[number], axis=0, weights=weights)
        np.testing.assert_allclose(weighted_keys[number], mean)
        rows = plain[tuple(np.array(LISTS[number]).T)].astype(np.float64)
        mean = np.average(rows, axis=0, weights=weights)
        np.testing.assert_allclose(weighted[number], mean, rtol=1e-9, atol=1e-9)
    assert same_bits(one[0], list_keys[1])
    assert same_bits(one[1], list_values[1])
    np.testing.assert_allclose(one[2], np.argwhere(MASK).mean(axis=0))
    assert same_bits(one[3], alone(plain[MASK != 0]))


def test_keys_without_a_record(tsc):
    array = recording(TIMES, DIMS, "int32")
    series = spread(tsc, array).toSeries().filterOnKeys(lambda key: key[0] >= 3)
    there, gone, outside = (4, 1, 2), (0, 0, 0), (99, 0, -1)
    assert series.meanOfRegion([gone, outside]) == (None, None)
    key, value = series.meanOfRegion([gone, there, outside])
    assert key.tolist() == list(there)
    assert same_bits(value, array[:, 4, 1, 2].astype(np.float64))
    keys, values = series.meanByRegions([[gone], [there, gone]], weights=[[1], [2, 3]])
    assert np.isnan(keys[0]).all()
    assert np.isnan(values[0]).all()
    assert same_bits(values[1], value)
    for wrong in ([there, gone], [there, outside]):
        with pytest.raises(ValueError, match=r"filter has left out|outside"):
            series.meanOfRegion(wrong, validate=True)
    nothing = series.filter(lambda key, value: False)
    assert nothing.meanOfRegion([there]) == (None, None)


@pytest.mark.parametrize("wrong", [[], [[]], [(1, 2)], [(0.5, 1, 2)], "all", None, MASK * 0])
def test_what_is_no_region_of_a_series(tsc, wrong):
    series = tsc.loadImagesFromArray(recording(2, DIMS, "uint8")).toSeries()
    with pytest.raises((ValueError, TypeError), match=r"region|mask"):
        series.meanOfRegion(wrong)


def test_query(tsc, comm, shared_path):
    array = recording(TIMES, DIMS, "uint8")
    series = spread(tsc, array).toSeries()
    plain = np.moveaxis(array, 0, -1)
    groups = [[1, 2, 3, 100], [126]]
    for order in "FC":
        for base in (1, 0):
            numbers = [[n - 1 + base for n in group] for group in groups]
            keys, values = series.query(numbers, order=order, isOneBased=bool(base))
            for number, group in enumerate(groups):
                pixels = np.stack(np.unravel_index(np.array(group) - 1, DIMS, order), axis=1)
                np.testing.assert_allclose(keys[number], pixels.mean(axis=0))
                rows = plain[tuple(pixels.T)].astype(np.float64)
                np.testing.assert_allclose(values[number], rows.mean(axis=0))
    for wrong, word in [([[0]], "outside 1…126"), ([[127]], "outside"), ([[]], r"inds\[0\]")]:
        with pytest.raises(ValueError, match=word):
            series.query(wrong)
    with pytest.raises(ValueError, match="MAT file"):
        series.query(groups, var="cells")
    if comm.rank == 0:
        from scipy.io import savemat

        cells = np.empty((1, 2), object)
        cells[0, 0], cells[0, 1] = np.array([groups[0]], np.float64), np.array([groups[1]])
        savemat(shared_path / "groups.mat", {"cells": cells})
    comm.Barrier()
    same = series.query(groups)
    found = series.query(shared_path / "groups.mat", var="cells")
    assert all(same_bits(a, b) for a, b in zip(found, same, strict=True))
    with pytest.raises(KeyError, match="inds"):
        series.query(shared_path / "groups.mat")
    with pytest.raises(FileNotFoundError):
        series.query(shared_path / "missing.mat")


def test_many_regions_cost_one_pass(tsc):
    calls = []
    mask = np.arange(40 * 50).reshape(40, 50) // 2
    array = recording(6, (40, 50), "float32")
    images = tsc.loadImagesFromArray(array).apply(lambda v: calls.append(1) or v, (40, 50), "f4")
    _, values = images.toSeries().meanByRegions(mask)
    assert len(calls) <= 6
    assert values.shape == (999, 6)
    plain = np.moveaxis(array, 0, -1).reshape(1000, 2, 6)[1:].astype(np.float64)
    np.testing.assert_allclose(values, plain.mean(axis=1), rtol=1e-15)


# -- maxima over an axis -------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_project(contexts, dtype):
    array = recording(TIMES, DIMS, dtype)
    if array.dtype.kind == "f":
        array[2, 1, 2], array[3, 2], array[4, :2] = np.nan, -np.inf, -0.0
    plain = np.moveaxis(array, 0, -1)
    for axis in (0, 1, -1):
        for series in series_of(contexts[0], array)[axis == 0 :]:
            found = series.maxProject(axis)
            assert same_bits(
                found.toArray(), np.ascontiguousarray(plain.max(axis=axis - (axis < 0)))
            )
        assert found.dims.count == plain.max(axis=axis - (axis < 0)).shape[:-1]
    flat = series.maxProject().maxProject()
    assert flat.dims.count == (3,)
    with pytest.raises(ValueError, match="one axis"):
        flat.maxProject()


def test_what_max_project_keeps(tsc):
    images = tsc.loadImagesFromArray(recording(TIMES, DIMS, "uint8"))
    images.metadata["pixelSize"] = (0.5, 1.0, 2.0)
    series = images.toTimeSeries().select([2, 4])
    found = series.maxProject(1)
    assert type(found) is type(series)
    assert found.index.tolist() == [2, 4]
    assert found.metadata["pixelSize"] == (0.5, 2.0)
    assert same_bits(found.toArray(), images.maxProjection(1).toSeries().select([2, 4]).toArray())
    with pytest.raises(ValueError, match="axis 3"):
        series.maxProject(3)
    with pytest.raises(ValueError, match="filter has left"):
        series.filterOnKeys(lambda key: key[0] > 1).maxProject()
