"""Blocks of an image: each pixel in one, halos up to the borders, and the size asked for."""

from __future__ import annotations

import itertools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core.grid import BlockKey, BlockPixels, Cut, splits_of_size

DIMS = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)


@st.composite
def grids(draw):
    dims = draw(DIMS)
    units = draw(st.sampled_from(["pixels", "splits"]))
    most = [n + 2 if units == "pixels" else n for n in dims]
    numbers = tuple(draw(st.integers(1, n)) for n in most)
    padding = draw(st.one_of(st.integers(0, 3), st.tuples(*[st.integers(0, 3)] * len(dims))))
    return Cut.checked(numbers, units, padding).grid(dims, 8)


def box(grid, number, halo):
    """The pixels of a block, found without any of the grid's arithmetic but the cuts."""
    place = list(itertools.product(*map(range, grid.places)))[number]
    widen = grid.padding if halo else (0,) * len(grid.dims)
    parts = [
        slice(max(0, cuts[i] - w), min(n, cuts[i + 1] + w))
        for cuts, i, n, w in zip(grid.cuts, place, grid.dims, widen, strict=True)
    ]
    return np.arange(math.prod(grid.dims)).reshape(grid.dims)[tuple(parts)]


@given(grids())
def test_blocks_are_the_image_cut_and_widened(grid):
    every = np.concatenate([np.asarray(grid.pixels(i, halo=False)) for i in range(grid.count)])
    assert sorted(every) == list(range(math.prod(grid.dims)))
    assert (every.tolist() == sorted(every)) == grid.in_order or not grid.in_order
    sizes = set()
    for number in range(grid.count):
        inner, outer = box(grid, number, False), box(grid, number, True)
        assert np.array_equal(grid.pixels(number, halo=False), inner.reshape(-1))
        assert np.array_equal(grid.pixels(number), outer.reshape(-1))
        assert grid.outer(number)[1] == outer.shape
        assert grid.shape(number) == inner.shape
        assert np.array_equal(outer[grid.inside(number)], inner)
        assert grid.number(grid.start(number)) == number
        sizes.add(outer.shape)
    assert grid.largest == max(map(math.prod, sizes))
    assert grid.uniform == (next(iter(sizes)) if len(sizes) == 1 else None)
    if grid.in_order:
        assert every.tolist() == sorted(every)


@given(grids(), st.data())
def test_the_pixels_of_several_blocks_follow_each_other(grid, data):
    numbers = data.draw(st.lists(st.integers(0, grid.count - 1), max_size=4))
    pixels = BlockPixels(grid, numbers)
    every = [p for number in numbers for p in np.asarray(grid.pixels(number)).tolist()]
    assert len(pixels) == len(every)
    first = data.draw(st.integers(0, len(every)))
    last = data.draw(st.integers(0, len(every) + 3))
    assert list(pixels[first:last]) == every[first:last]


@given(grids())
def test_keys_know_their_block(grid):
    for number in range(grid.count):
        key = BlockKey(grid, number)
        assert key == grid.start(number)
        assert hash(key) == hash(tuple(key))
        low, extent = grid.outer(number)
        assert tuple(a - b for a, b in zip(key, key.padding[0], strict=True)) == low
        assert all(
            b + n + a == whole
            for b, n, a, whole in zip(
                key.padding[0], key.shape, key.padding[1], extent, strict=True
            )
        )
        again = pickle.loads(pickle.dumps(key))
        assert again == key
        assert again.shape == key.shape
        touched = box(grid, number, False)
        for other in range(grid.count):
            there = np.stack(np.unravel_index(box(grid, other, False).reshape(-1), grid.dims), 1)
            here = np.stack(np.unravel_index(touched.reshape(-1), grid.dims), 1)
            near = np.abs(there[:, None] - here[None]).max(axis=2).min() == 1
            assert (grid.start(other) in key.neighbors()) == (near and other != number)


@given(DIMS, st.integers(1, 5000), st.integers(1, 16))
def test_a_size_in_bytes_is_that_of_thunders_rule(dims, size, pixel):
    """At most one axis is split in part; the least average of at least the size is taken."""
    candidates = [(1,) * len(dims)]
    for axis, n in enumerate(dims):
        before = dims[:axis]
        candidates += [(*before, k, *(1,) * (len(dims) - axis - 1)) for k in range(2, n + 1)]
    whole = math.prod(dims) * pixel
    large = [c for c in candidates if whole / math.prod(c) >= size] or [candidates[0]]
    expected = min(large, key=lambda c: whole / math.prod(c))
    assert math.prod(splits_of_size(dims, size, pixel)) == math.prod(expected)
    grid = Cut.checked(size, "pixels", 0).grid(dims, pixel)
    assert grid.places == splits_of_size(dims, size, pixel)


def test_splits_and_pixels_are_as_thunder_cuts_them():
    splits = Cut.checked((3, 2), "s", 0).grid((7, 8), 1)
    assert splits.cuts == ((0, 3, 5, 7), (0, 4, 8))
    pixels = Cut.checked((3, 20), "pix", 1).grid((7, 8), 1)
    assert pixels.cuts == ((0, 3, 6, 7), (0, 8))
    assert pixels.block_shape == (3, 8)


@pytest.mark.parametrize(
    ("size", "units", "padding", "error"),
    [
        ((2, 2, 2), "pixels", 0, ValueError),
        ((9, 1), "splits", 0, ValueError),
        ((2, 2), "pixels", (1, 1, 1), ValueError),
        ((0, 2), "pixels", 0, ValueError),
        ((), "pixels", 0, ValueError),
        ((1.5, 2), "pixels", 0, TypeError),
        ("lots", "pixels", 0, ValueError),
        (None, "pixels", 0, TypeError),
        ("150M", "splits", 0, ValueError),
        ("150M", "", 0, ValueError),
        ("150M", "pixies", 0, ValueError),
        ("150M", 3, 0, TypeError),
        ("150M", "pixels", -1, ValueError),
        ("150M", "pixels", 1.5, TypeError),
        ("150M", "pixels", True, TypeError),
    ],
)
def test_what_cannot_be_cut_is_told(size, units, padding, error):
    with pytest.raises(error):
        Cut.checked(size, units, padding).grid((7, 8), 1)
