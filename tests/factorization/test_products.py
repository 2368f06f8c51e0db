"""Products of whole numbers: exact, whatever their order."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from mpimages.factorization.products import (
    DATA,
    ExactSum,
    Weights,
    gram_into,
    in_order,
    signs,
    split,
    times,
    unit_of,
)
from mpimages.factorization.steps import Project

from ..support.data import DTYPES, recording, same_bits


def exactly(a, b):
    rows = [[Fraction(float(x)) for x in row] for row in a]
    columns = [[Fraction(float(x)) for x in column] for column in b.T]
    return np.array(
        [[float(sum(x * y for x, y in zip(r, c, strict=True))) for c in columns] for r in rows]
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_is_that_of_fractions_and_the_same_in_any_batch(dtype):
    block = recording(7, (90,), dtype)
    matrix = np.random.default_rng(1).standard_normal((90, 3)) * [1, 1e-6, 1e9]
    weights = Weights.of(matrix, DATA)
    found = times(block, weights)
    large = np.abs(block.astype(float)).max(1)[:, None] * np.abs(matrix).max(0) * 90
    assert (np.abs(found - exactly(block, matrix)) <= 2.0**-42 * large).all()
    for start in (0, 1, 4):
        assert same_bits(times(block[start : start + 3], weights), found[start : start + 3])
    strided = np.repeat(block, 2, 0)[::2]
    assert same_bits(times(strided, weights), found)


def test_rows_of_very_large_small_and_no_values():
    block = np.array([[1e300, -1e300], [1e-280, 2e-280], [0, 0], [np.nan, 1], [np.inf, 1]])
    found = Project("m", np.array([[1.0], [0.5]])).run((), block)[:, 0]
    np.testing.assert_allclose(found[:3], [5e299, 2e-280, 0], rtol=1e-12)
    assert not np.isfinite(found[3:]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gramian_is_exact_to_the_last_bit_of_what_it_rounds_to(dtype):
    block = recording(1300, (4,), dtype)
    unit = 0 if np.dtype(dtype).itemsize <= 2 and dtype[0] != "f" else None
    unit = unit_of(np.abs(block.astype(float)).max()) if unit is None else unit
    total, reverse = ExactSum((4, 4)), ExactSum((4, 4))
    for target, rows in ((total, block), (reverse, block[::-1])):
        for part in np.array_split(rows, 5):
            limbs = split(part, unit)
            gram_into(target, limbs, limbs, 44)
    rounded = [[int(x) for x in row] for row in sum(a * 2.0**s for a, s in split(block, unit))]
    wanted = [sum(row[0] * row[i] for row in rounded) for i in range(4)]
    assert total.integers(0) == reverse.integers(0) == wanted
    assert same_bits(total.values(), reverse.values())
    np.testing.assert_allclose(total.values()[0], [float(value) for value in wanted], rtol=1e-15)


def test_sums_carry_over_words_and_signs():
    total = ExactSum((2,))
    for sign in (1, -1, -1):
        for shift in (0, 22, 44):
            total.add(np.array([sign * (2**53 - 1), sign], np.int64), shift)
    factor = -(1 + 2**22 + 2**44)
    assert total.integers(0)[:1] == [factor * (2**53 - 1)]
    np.testing.assert_allclose(total.values(), [factor * (2.0**53 - 1), factor], rtol=1e-15)


def test_signs_are_plus_and_minus_one_of_each_row_alone():
    found = signs(3, 0, 4000, 70)
    assert set(np.unique(found)) == {-1.0, 1.0}
    assert same_bits(signs(3, 1000, 1010, 70), found[1000:1010])
    assert not same_bits(signs(4, 0, 4000, 70), found)
    assert np.abs(found.T @ found / 4000 - np.eye(70)).max() < 0.1


def test_sums_in_order_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    rows, matrix = rng.standard_normal((5, 4)), rng.standard_normal((4, 3))
    wanted = np.zeros((5, 3))
    for i in range(4):
        wanted += rows[:, i : i + 1] * matrix[i]
    assert same_bits(in_order(rows, matrix), wanted)


USED = """
import sys
import numpy as np
import mpimages
from mpimages import ICA, NMF, PCA, KMeans, LinearRegression, ThunderContext
images = ThunderContext().loadImagesFromArray(np.random.default_rng(0).random((6, 4, 5)))
PCA(2).fit(images).scores.toArray()
ICA(2).fit(images)
NMF(2).fit(images)
KMeans(2).fit(images).predict(images).toArray()
LinearRegression().fit(np.arange(6.0), images).stats.toArray()
loaded = {"scipy", "sklearn", "matplotlib", "h5py", "tifffile"} & set(sys.modules)
assert not loaded, loaded
"""


def test_no_other_library_is_loaded():
    subprocess.run([sys.executable, "-c", USED], check=True, timeout=60)
