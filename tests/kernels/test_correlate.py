"""Correlations along an axis: every dtype, level and shape class, against the twin."""

import numpy as np
import pytest

from mpimages.kernels import isa
from mpimages.kernels.correlate import correlate

from ..support import twins

# (outer, n, inner): lines of all lengths about those of vectors; whole planes, and several tiles.
SHAPES = [
    (3, 1, 1), (2, 15, 1), (2, 17, 1), (1, 33, 1), (3, 70, 1), (2, 9, 3), (1, 2, 40), (2, 5, 33),
    (1, 700, 130), (0, 3, 4), (2, 3, 0), (2, 0, 3),
]  # fmt: skip
WEIGHTS = {
    "itself": np.ones(1),
    "smooth": np.array([0.1, 0.2, 0.4, 0.2, 0.1]),
    "slope": np.array([0.3, 0.1, 0.0, -0.1, -0.3]),
    "pair": np.array([0.5, 0.5]),
    "uneven": np.array([0.1, 0.7, 0.3, 0.2]),
    "odd": np.array([0.1, 0.7, 0.2]),
    "long": np.linspace(-1, 2, 41),
}


@pytest.fixture(params=isa.available())
def level(request):
    isa.force(request.param)
    yield request.param
    isa.force()


def correlated(array, weights, dtype, divisor=1):
    out = np.zeros(array.shape, dtype)
    correlate(array, weights, out, divisor)
    return out


@pytest.mark.parametrize("dtype", twins.INTEGERS + twins.FLOATS)
def test_all_levels_equal_the_twin(dtype, level):
    for shape in SHAPES:
        rng = np.random.default_rng(0)
        array = twins.random_records(rng, dtype, 1, int(np.prod(shape))).reshape(shape)
        for name, weights in WEIGHTS.items():
            for real in ("float32", "float64"):
                expected = twins.correlate(array, weights, real)
                assert twins.same_bits(correlated(array, weights, real), expected), (shape, name)


def test_values_that_are_not_finite(level):
    rng = np.random.default_rng(0)
    for dtype in twins.FLOATS:
        for shape in ((2, 40, 1), (2, 7, 50)):
            array = twins.nasty_floats(rng, dtype, 1, int(np.prod(shape))).reshape(shape)
            for weights in WEIGHTS.values():
                expected = twins.correlate(array, weights, dtype)
                assert twins.same_bits(correlated(array, weights, dtype), expected)


def test_quotients(level):
    for shape in SHAPES:
        array = np.random.default_rng(0).integers(0, 2**16, shape).astype(np.uint16)
        for real in ("float32", "float64"):
            expected = twins.correlate(array, np.ones(3), real, 3)
            assert twins.same_bits(correlated(array, np.ones(3), real, 3), expected)


def test_into_the_array_itself(level):
    for shape in SHAPES:
        array = np.random.default_rng(0).standard_normal(shape)
        expected = correlated(array, WEIGHTS["uneven"], np.float64)
        correlate(array, WEIGHTS["uneven"], array)
        assert twins.same_bits(array, expected)


def test_it_is_scipys():
    from scipy.ndimage import correlate1d

    array = np.random.default_rng(0).integers(0, 999, (3, 30, 20)).astype(np.uint16)
    for weights in WEIGHTS.values():
        expected = correlate1d(array, weights, 1, output=np.float64)
        assert np.allclose(correlated(array, weights, np.float64), expected, rtol=1e-14, atol=1e-11)
