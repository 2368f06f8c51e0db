"""Exact sums over boxes: every level and dtype, awkward sizes, beside integers of Python."""

import math
from fractions import Fraction

import numpy as np
import pytest

from mpimages.kernels import boxes, isa

from ..support.twins import box_sums

DTYPES = ("uint8", "int8", "uint16", "int16")
SHAPES = [
    ((5, 7), (1, 1)),
    ((40, 300), (2, 2)),
    ((33, 37), (4, 3)),
    ((3, 2), (5, 7)),
    ((20, 30, 5), (2, 2, 0)),
    ((9, 13, 5), (1, 2, 3)),
    ((50, 17), (0, 3)),
    ((9, 530), (3, 0)),
    ((2, 300, 3), (6, 5, 0)),
    ((1, 1), (2, 2)),
]


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def images(dtype, count, dims, seed=0):
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    found = rng.integers(limits.min, limits.max + 1, (count, *dims)).astype(dtype)
    found[0] = limits.max
    return found


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_are_those_of_integers(level, dtype):
    for number, (dims, reach) in enumerate(SHAPES):
        for count in (1, 9) if number else (1, 3, 8, 19):
            given = images(dtype, count, dims, number)
            wanted = box_sums(given, reach)
            sums = np.zeros((5, math.prod(dims)), np.uint64)
            boxes.add(given.reshape(count, -1), dims, reach, 0, sums)
            assert (sums == wanted).all(), (dims, reach, count)


def test_rows_of_a_band_and_rows_apart(level):
    given = images("uint16", 6, (11, 9), 1)
    wanted = box_sums(given[::-2], (2, 1))
    for first, rows in ((0, 3), (3, 8), (10, 1)):
        sums = np.zeros((5, rows * 9), np.uint64)
        boxes.add(given.reshape(6, -1)[::-2], (11, 9), (2, 1), first, sums)
        assert (sums == wanted[:, first * 9 : (first + rows) * 9]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_of_images_and_tiles_within_rows(level, dtype):
    # 8 images are a group, 512 pixels the width of a tile.
    for dims, reach in (((3, 520), (1, 2)), ((18, 37), (2, 1)), ((2, 171, 3), (1, 1, 1))):
        given = images(dtype, 17, dims, 5)
        for count in (1, 7, 8, 9, 16, 17):
            sums = np.zeros((5, math.prod(dims)), np.uint64)
            boxes.add(given[:count].reshape(count, -1), dims, reach, 0, sums)
            assert (sums == box_sums(given[:count], reach)).all(), (dims, reach, count)


def test_reflected_as_often_as_the_box_needs(level):
    for reach in range(10):
        given = images("int16", 2, (3, 2), reach)
        sums = np.zeros((5, 6), np.uint64)
        boxes.add(given.reshape(2, -1), (3, 2), (reach, reach), 0, sums)
        assert (sums == box_sums(given, (reach, reach))).all(), reach


def test_the_accumulators_hold_fewer_images_than_a_group(level):
    # Of boxes of 129 x 129 pixels 32 bits hold the sums of 3 images.
    given = images("uint16", 10, (6, 21), 9)
    given[:9] = 65535
    wanted = box_sums(given, (64, 64))
    sums = np.zeros((5, 6 * 21), np.uint64)
    boxes.add(given.reshape(10, -1), (6, 21), (64, 64), 0, sums)
    assert (sums == wanted).all()


def test_the_largest_sums_carry(level):
    # Box sums of 32 bits: one product nearly fills the lower limb.
    reach, dims, count = (126, 126), (4, 5), 7
    assert boxes.limbs("uint16", dims, reach, 1) == 1
    assert boxes.limbs("uint16", dims, reach, count) == 2
    given = np.full((count, 20), 65535, np.uint16)
    sums = np.zeros((7, 20), np.uint64)
    boxes.add(given[:3], dims, reach, 0, sums)
    boxes.add(given[3:], dims, reach, 0, sums)
    over = 65535 * 253**2
    for row, upper, each in ((3, 5, 65535 * over), (4, 6, over * over)):
        total = {
            int(low) + (int(high) << 64) for low, high in zip(sums[row], sums[upper], strict=True)
        }
        assert total == {count * each}


@pytest.mark.parametrize(
    ("dtype", "reach", "count", "limbs"),
    [
        ("uint16", (2, 2), 1 << 22, 1),
        ("uint16", (2, 2), 1 << 23, 2),
        ("uint8", (2, 2), 1 << 32, 1),
        ("uint8", (2, 2), (1 << 32) + 1, 0),
        ("int16", (127, 128), 1, 1),
        ("int16", (128, 128), 1, 0),
        ("uint32", (1, 1), 1, 0),
        ("float32", (1, 1), 1, 0),
        ("uint8", (1 << 40, 0), 1, 0),
    ],
)
def test_limbs(dtype, reach, count, limbs):
    assert boxes.limbs(dtype, (9, 9), reach, count) == limbs


@pytest.mark.parametrize("dtype", DTYPES)
def test_correlation_is_that_of_fractions(dtype):
    given = images(dtype, 23, (4, 5), 3)
    given[:, 0, 0] = 7
    sums = np.zeros((5, 20), np.uint64)
    boxes.add(given.reshape(23, -1), (4, 5), (1, 1), 0, sums)
    out = np.empty(20)
    boxes.correlation(sums, 23, out)
    for i, (x, xx, b, xb, bb) in enumerate(sums.T.tolist()):
        one, other = 23 * xx - x * x, 23 * bb - b * b
        if not one * other:
            assert np.isnan(out[i])
            continue
        both = 23 * xb - x * b
        wanted = math.copysign(math.sqrt(Fraction(both * both, one * other)), both)
        assert out[i] == pytest.approx(wanted, rel=4e-16)
    # The same from sums of two limbs.
    wide, same = np.zeros((7, 20), np.uint64), np.empty(20)
    wide[:5] = sums
    boxes.correlation(wide, 23, same)
    assert same.tobytes() == out.tobytes()


def test_nothing_to_add(level):
    sums = np.zeros((5, 20), np.uint64)
    boxes.add(np.zeros((0, 20), np.uint8), (4, 5), (1, 1), 0, sums)
    boxes.add(np.ones((3, 20), np.uint8), (4, 5), (1, 1), 2, sums[:, :0])
    assert not sums.any()
