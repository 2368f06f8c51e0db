"""Levels of a pyramid: the means of squares, exact, at odd ends and of every dtype."""

from fractions import Fraction

import numpy as np
import pytest

from mpimages.writers.zarr import pyramid
from mpimages.writers.zarr.pyramid import level_shape, shrink

from ..support.data import DTYPES

SHAPES = [(3, 1, 1), (2, 7, 9), (2, 8, 8), (1, 5, 17), (2, 3, 16, 3)]


def mean_of_squares(planes, level):
    """The definition, in exact arithmetic; of floats by NumPy in float64."""
    side = 1 << level
    made = np.empty(level_shape(planes.shape, level), planes.dtype)
    for place in np.ndindex(made.shape):
        *outer, row, column = place
        square = planes[(*outer, slice(row * side, (row + 1) * side))]
        square = square[:, column * side : (column + 1) * side]
        if planes.dtype.kind == "f":
            made[place] = square.astype(np.float64).mean()
        else:
            made[place] = round(Fraction(sum(map(int, square.flat)), square.size))
    return made


@pytest.mark.parametrize("dtype", DTYPES)
def test_levels_are_means(dtype, monkeypatch):
    chance = np.random.default_rng(1)
    for number, shape in enumerate(SHAPES):
        kind = np.dtype(dtype)
        if kind.kind == "f":
            planes = chance.standard_normal(shape).astype(kind)
        else:  # the ends of the range, and many ties
            ends = np.iinfo(kind)
            planes = chance.integers(ends.min, ends.max, shape, kind, endpoint=True)
            planes[..., ::2] = chance.choice(
                np.array([ends.min, ends.max, 0, 1], kind), planes[..., ::2].shape
            )
            if number == 0:
                planes[...] = ends.max
        for band in (1, 1 << 19):
            monkeypatch.setattr(pyramid, "BAND_BYTES", band)
            for level, made in enumerate(shrink(planes, 3), 1):
                expected = mean_of_squares(planes, level)
                if kind.kind == "f":
                    np.testing.assert_allclose(
                        made.astype(float), expected.astype(float), rtol=1e-3, atol=1e-6
                    )
                else:
                    np.testing.assert_array_equal(made, expected)
                assert made.dtype == kind


def test_what_is_beside_changes_no_bit():
    planes = np.random.default_rng(2).standard_normal((5, 37, 41)).astype("f4")
    for level in range(2):
        together = shrink(planes, 2)[level]
        alone = np.concatenate([shrink(plane[None], 2)[level] for plane in planes])
        assert together.tobytes() == alone.tobytes()


def test_nan_and_infinity_are_kept():
    planes = np.ones((1, 4, 4), "f4")
    planes[0, 0, 0], planes[0, 3, 3] = np.nan, np.inf
    planes[0, 0, 2:] = np.inf, -np.inf  # warnings are errors here
    (made,) = shrink(planes, 1)
    np.testing.assert_array_equal(made[0], np.array([[np.nan, np.nan], [1, np.inf]], "f4"))
