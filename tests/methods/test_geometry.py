"""Images turned, reshaped, padded and binned, against NumPy, for any number of ranks."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from mpimages import ThunderContext
from mpimages.engine import geometry

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = pytest.mark.ranks

DIMS = [(6, 8), (1, 9), (6, 4, 3), (1, 8, 1)]


@pytest.fixture(scope="module")
def contexts(comm):
    """Contexts of a small budget and of a large one, in turn."""
    with ThunderContext(comm, memory="300kB") as small, ThunderContext(comm, memory="1GB") as large:
        yield itertools.cycle([small, large])


def cases(dtypes, dims=DIMS):
    for dtype, extent in itertools.product(dtypes, dims):
        yield recording(5, extent, dtype)


def compare(images, expected):
    """The dims and dtype are told before, and are those that come."""
    assert images.dims.count == expected.shape[1:]
    assert images.dtype == expected.dtype
    assert same_bits(images.toArray(), np.ascontiguousarray(expected))


# -- axes ----------------------------------------------------------------------------------


def test_images_are_turned(tsc):
    for array in cases(["uint8", "float64"]):
        images, number = spread(tsc, array), array.ndim - 1
        for axis in range(number):
            compare(images.flip(axis), np.flip(array, axis + 1))
            compare(images.flip(axis - number), np.flip(array, axis + 1))
        compare(images.flip((0, -1)), np.flip(array, (1, -1)))
        for times in (-1, 0, 1, 2, 3, 5):
            compare(images.rotate(times), np.rot90(array, times, (1, 2)))
        compare(images.transpose(), array.transpose(0, *range(number, 0, -1)))
        for order in itertools.permutations(range(number)):
            expected = array.transpose(0, *(axis + 1 for axis in order))
            compare(images.transpose(*order), expected)
        compare(images.transpose((-1, *range(number - 1))), np.moveaxis(array, -1, 1))


def test_images_get_other_dims(tsc):
    for array in cases(["uint16", "float16"]):
        images = spread(tsc, array)
        compare(images.reshape(-1), array.reshape(5, -1))
        compare(images.reshape(1, -1, 1, 1), array.reshape(5, 1, -1, 1, 1))
        compare(images.reshape(array.shape[:0:-1]), array.reshape(5, *array.shape[:0:-1]))
        compare(images.squeeze(), array.reshape(5, *(n for n in array.shape[1:] if n > 1)))
        turned = array.transpose(0, *range(array.ndim - 1, 0, -1))
        compare(images.transpose().reshape(-1), turned.reshape(5, -1))


def test_views_are_not_copied(tsc):
    images = tsc.loadImagesFromArray(recording(4, (6, 8), "uint16"))
    for step in [*images.rotate().records.chain.steps, *images.squeeze().records.chain.steps]:
        batch = np.zeros((2, 6, 8))
        assert np.shares_memory(step.run([0, 1], batch), batch)


def test_what_comes_behind_takes_views(tsc, shared_path):
    array = recording(7, (6, 4, 3), "int16")
    turned = spread(tsc, array).rotate().flip(0).transpose(1, 0, 2)
    expected = np.rot90(array, 1, (1, 2))[:, ::-1].transpose(0, 2, 1, 3)
    assert same_bits(turned.max(), expected.max(axis=0))
    assert same_bits(turned.mean(), expected.mean(axis=0))
    assert same_bits(turned.maxProjection(1).toArray(), expected.max(axis=2))
    assert same_bits(turned.toSeries().toArray(), np.moveaxis(expected, 0, -1).copy())
    turned.saveAsBinarySeries(shared_path / "series")
    again = tsc.loadSeries(shared_path / "series").toArray()
    assert same_bits(again, np.moveaxis(expected, 0, -1).copy())


def test_axes_that_are_not_there(tsc):
    flat = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    for call in (
        lambda: flat.flip(2),
        lambda: flat.flip((0, -2)),
        lambda: flat.transpose(0),
        lambda: flat.transpose(0, 1, 2),
        lambda: flat.transpose(0, 0),
        lambda: flat.transpose(0, 2),
        lambda: flat.reshape(3, 7),
        lambda: flat.reshape(3, -1),
        lambda: flat.crop((0, 0), (1, 1)).squeeze(),
        lambda: flat.apply(np.ravel, dims=(20,), dtype="uint8").rotate(),
    ):
        with pytest.raises(ValueError, match=r"flip|transpose|reshape|squeeze|rotate"):
            call()


# -- borders and bins ----------------------------------------------------------------------


def test_borders(contexts):
    for array in cases(["uint8", "int64", "float16", "float64"]):
        images, number = spread(next(contexts), array), array.ndim - 1
        uneven = [(1, 2), (0, 5), (3, 3)][:number]
        for mode in geometry.PADDINGS:
            for width in (0, 5):
                expected = np.pad(array, [(0, 0)] + [(width, width)] * number, mode)
                compare(images.pad(width, mode), expected)
            expected = np.pad(array, [(0, 0), *uneven], mode)
            compare(images.pad([*uneven[:2], 3][:number], mode), expected)
        expected = np.pad(array, [(0, 0), *uneven], constant_values=7)
        compare(images.pad(uneven, value=7), expected)


def test_values_that_a_border_cannot_have(tsc):
    small = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    for value in (-1, 256, 0.5, math.nan, math.inf):
        with pytest.raises(ValueError, match="pad"):
            small.pad(1, value=value)
    half = tsc.loadImagesFromArray(recording(3, (4, 5), "float16"))
    with pytest.raises(ValueError, match="pad"):
        half.pad(1, value=1e6)
    assert np.isnan(half.pad(1, value=math.nan).min()[0]).all()
    with pytest.raises(TypeError, match="value"):
        small.pad(1, "edge", value=0)


def binned(array, factors, how):
    """The bins by Python's own numbers."""
    number = [n // f for n, f in zip(array.shape[1:], factors, strict=True)]
    whole = array[(slice(None), *map(slice, np.multiply(number, factors)))]
    split = [5, *itertools.chain(*zip(number, factors, strict=True))]
    axes = tuple(range(2, len(split), 2))
    kind = array.dtype
    if kind.kind == "f":
        total = whole.astype(np.float64).reshape(split)
        for axis in axes:  # one after the other, in their order
            total = np.add.accumulate(total, axis=axis).take([-1], axis=axis)
        total = total.reshape(5, *number)
        real = np.float64 if kind == np.float64 else np.float32
        return total if how == "sum" else (total / math.prod(factors)).astype(real)
    total = whole.astype(object).reshape(split).sum(axis=axes)
    if how == "sum":
        return total.astype(f"{kind.kind}8")
    mean = np.vectorize(lambda n: float(Fraction(int(n), math.prod(factors))))(total)
    return mean.astype(np.float32 if kind.itemsize <= 2 else np.float64)


def test_bins(contexts):
    for given in cases(DTYPES, DIMS[:3]):
        array = given if given.dtype.kind == "f" else given >> 4  # whose sums fit
        images, number = spread(next(contexts), array), array.ndim - 1
        for factors in [(1,) * number, (1, 3, 3)[:number], (1, 4, 1)[:number], (1, 2, 2)[:number]]:
            for how in ("mean", "sum"):
                compare(images.bin(factors, how, "drop"), binned(array, factors, how))
    even = recording(5, (6, 4, 2), "uint16")
    compare(spread(next(contexts), even).bin(2), binned(even, (2, 2, 2), "mean"))


def test_bins_of_large_integers(tsc):
    for dtype in ("uint64", "int64"):
        array = recording(5, (6, 4), dtype)
        images = spread(tsc, array)
        compare(images.bin((3, 2)), binned(array, (3, 2), "mean"))
        top = np.full((5, 2, 2), np.iinfo(dtype).max)
        with pytest.raises(OverflowError, match=r"bin.*mean"):
            spread(tsc, top).bin(2, "sum").max()


def test_means_of_many_pixels_are_rounded_once(tsc, monkeypatch):
    array = recording(5, (300, 30), "uint16")
    expected = binned(array, (300, 30), "mean")
    compare(spread(tsc, array).bin((300, 30)), expected)
    wide = recording(5, (300, 30), "uint32")
    expected = binned(wide, (300, 30), "mean")
    compare(spread(tsc, wide).bin((300, 30)), expected)
    monkeypatch.setattr(geometry, "MANY", 100)
    compare(spread(tsc, wide).bin((300, 30)), expected)


def test_bins_that_are_not_full(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    for factor in (2, 5, (1, 2), (2, 1, 1), (2,), (5, 1)):
        with pytest.raises(ValueError, match="bin"):
            images.bin(factor)
    with pytest.raises(ValueError, match="bin"):
        images.bin(5, remainder="drop")


# -- among other methods -------------------------------------------------------------------


def test_before_and_after_functions_and_bins_in_time(tsc):
    array = recording(9, (6, 8), "uint16")
    images = spread(tsc, array).filter(lambda key, value: key % 2 == 0).renumber()
    kept = array[::2]
    for name, made, expected in (
        ("flip", lambda x: x.flip(0), kept[:, ::-1]),
        ("rotate", lambda x: x.rotate(), np.rot90(kept, 1, (1, 2))),
        ("transpose", lambda x: x.transpose(), kept.transpose(0, 2, 1)),
        ("squeeze", lambda x: x.squeeze(), kept),
        ("reshape", lambda x: x.reshape(12, -1), kept.reshape(5, 12, 4)),
        ("pad", lambda x: x.pad(2, "edge"), np.pad(kept, [(0, 0), (2, 2), (2, 2)], "edge")),
        ("bin", lambda x: x.bin(2, "sum"), binned(kept, (2, 2), "sum")),
    ):
        expected = np.ascontiguousarray(expected)
        assert same_bits(made(images).toArray(), expected), name
        undeclared = made(images.apply(np.copy))
        assert undeclared.dims is None, name
        assert same_bits(undeclared.toArray(), expected), name
        after = made(images).apply(lambda value: value + 1).toArray()
        assert same_bits(after, expected + 1), name
        cached = made(images).cache()
        assert same_bits(cached.max(), expected.max(axis=0)), name
        cached.uncache()
        last = made(images).timeBin(5, "sum").toArray()
        assert np.array_equal(last[0], expected.sum(axis=0, dtype="u8")), name
    one = made(spread(tsc, array[:1])).toArray()
    assert same_bits(one, binned(np.repeat(array[:1], 5, 0), (2, 2), "sum")[:1])


def test_pixel_sizes_follow(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 6, 1), "uint8"))
    images.metadata["pixelSize"] = (0.5, 0.25, 3.0)
    for made, expected in (
        (images.flip(1), (0.5, 0.25, 3.0)),
        (images.rotate(), (0.25, 0.5, 3.0)),
        (images.rotate(2), (0.5, 0.25, 3.0)),
        (images.transpose(2, 0, 1), (3.0, 0.5, 0.25)),
        (images.squeeze(), (0.5, 0.25)),
        (images.reshape(-1), (None,)),
        (images.pad(1), (0.5, 0.25, 3.0)),
        (images.bin((2, 3, 1)), (1.0, 0.75, 3.0)),
        (images.crop((0, 0, 0), (1, 1, 1)).bin(1), (0.5, 0.25, 3.0)),
    ):
        assert made.metadata["pixelSize"] == expected


def test_ranks_that_do_not_mean_the_same_are_told(tsc, comm):
    from mpimages.errors import CollectiveMismatchError

    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    images = tsc.loadImagesFromArray(recording(4, (6, 8), "uint16"))
    mine = 1 + (comm.rank == 0)
    for made in (
        images.rotate(2 * mine),
        images.flip(mine - 1),
        images.pad(1, value=mine),
        images.bin(mine, remainder="drop"),
        images.reshape(*((12, 4), (4, 12))[mine - 1]),
    ):
        with pytest.raises(CollectiveMismatchError):
            made.max()
