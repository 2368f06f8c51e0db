"""Records looked up by lists and ranges of keys, against plain dictionaries."""

from __future__ import annotations

import numpy as np
import pytest

from mpimages import ThunderContext

from ..support.data import recording, same_bits, spread

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]


@pytest.fixture(scope="module")
def array():
    return recording(23, (4, 5, 2), "uint16")


@pytest.fixture
def collections(tsc, array):
    """Images, and some of them, with the dictionary of what they have."""
    images = spread(tsc, array)
    every = dict(enumerate(array))
    odd = {key: value for key, value in every.items() if key % 2}
    kept = images.filterOnKeys(lambda key: key % 2)
    return [
        (images, every),
        (kept, odd),
        (images.filter(lambda key, value: key % 2), odd),
        (kept.apply(np.copy), odd),
        (kept.cache(), odd),
    ]


def same(found, wanted):
    return all(
        one is None if two is None else one is not None and same_bits(one, two)
        for one, two in zip(found, wanted, strict=True)
    )


def test_many_images(collections):
    for images, there in collections:
        for keys in ([], [3], [22, 0, 3, 3, 1], [99, -1, 2**70, -(2**70)], np.array([5, 4])):
            assert same(images.getMany(keys), [there.get(int(key)) for key in keys])
        a, b = images.getMany([3, 3])
        a[:] = 0
        assert same_bits(b, there[3])


def test_ranges_of_images(collections):
    for images, there in collections:
        for start, stop in ((None, None), (3, 9), (None, 4), (20, None), (5, 5), (9, 3), (-4, 2)):
            wanted = [
                (key, value)
                for key, value in there.items()
                if (start is None or key >= start) and (stop is None or key < stop)
            ]
            found = images.getRange(slice(start, stop))
            assert [key for key, _ in found] == [key for key, _ in wanted]
            assert same([value for _, value in found], [value for _, value in wanted])
            values = images.getRange([slice(start, stop)], keys=False)
            assert same(values, [value for _, value in wanted])
            if start is not None and stop is not None and start < stop:
                part = images.range(start, stop)
                assert part.keys().collect() == [key for key, _ in wanted]
                assert part.count() == len(wanted)
                if wanted:
                    assert same_bits(part.toArray(), np.array([value for _, value in wanted]))
                    again = part.filterOnKeys(lambda key: key != 3).renumber()
                    assert again.keys().collect() == list(range(again.count()))


def test_a_range_reads_nothing(tsc):
    images = tsc.loadImagesFromArray(np.zeros((9, 2, 3))).apply(lambda value: 1 / 0)
    part = images.range(2, 2**70)
    assert part.nrecords == 7
    assert part.keys().collect() == list(range(2, 9))
    assert images.range(-5, 1).nrecords == 1
    assert images.range(20, 30).nrecords == 0


def test_boxes_of_pixels(tsc, array):
    images = spread(tsc, array)
    whole = np.moveaxis(array, 0, -1)
    for series in (images.toSeries(), images.filter(lambda key, value: True).toSeries()):
        part = series.range((1, 2, 0), (3, 9, 1))
        pixels = [(1, 2, 0), (1, 3, 0), (1, 4, 0), (2, 2, 0), (2, 3, 0), (2, 4, 0)]
        assert part.keys().collect() == pixels
        wanted = [whole[pixel] for pixel in pixels]
        assert same(part.values().collect(), wanted)
        box = [slice(1, 3), slice(2, None), slice(None, 1)]
        assert [key for key, _ in series.getRange(box)] == pixels
        assert same(series.getRange(box, keys=False), wanted)
        assert part.getRange([slice(2, 3), slice(None), slice(None)])[0][0] == (2, 2, 0)
        found = series.getMany([(3, 4, 1), (0, 0, 9), (0, 0), (3, 4, 1), (-1, 0, 0)])
        assert same(found, [whole[3, 4, 1], None, None, whole[3, 4, 1], None])
        assert part.filter(lambda key, value: key[0] == 2).range((0, 0, 0), (3, 4, 1)).count() == 2


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda images, series: images.getMany([1.5]), TypeError, "keys must be"),
        (lambda images, series: series.getMany([1]), TypeError, "sequence of pixels"),
        (lambda images, series: images.getRange(slice(0, 4, 1)), ValueError, "no step, got 1"),
        (lambda images, series: images.getRange([slice(0, 4)] * 2), ValueError, "have 1 axes"),
        (lambda images, series: series.getRange(slice(0, 4)), ValueError, "have 3 axes, but 1"),
        (lambda images, series: images.range(4, 4), ValueError, "start 4 must be below stop 4"),
        (lambda images, series: series.range((0, 0), (1, 1)), ValueError, "have 3 axes, but 2"),
        (lambda images, series: series.range((0, 3, 0), (1, 3, 1)), ValueError, "start 3"),
    ],
)
def test_wrong_keys_are_told(tsc, array, call, error, words):
    images = tsc.loadImagesFromArray(array)
    with pytest.raises(error, match=words):
        call(images, images.toSeries())


def test_more_than_the_budget_is_refused(comm):
    with ThunderContext(comm, memory="1MB") as tsc:
        images = tsc.loadImagesFromArray(np.zeros((60, 100, 200), np.uint8)).apply(np.copy)
        images.first()
        for call in (lambda: images.getMany(range(60)), lambda: images.getRange(slice(None))):
            with pytest.raises(MemoryError, match="fewer records"):
                call()
        assert len(images.getMany([3, 4])) == 2
