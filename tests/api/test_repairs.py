"""Repairs of images, as lazy steps, against plain NumPy: for any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from ..support.data import DTYPES, recording, same_bits

pytestmark = pytest.mark.ranks

INTEGERS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"]
WIDE = {"u1": "i2", "i1": "i2", "u2": "i4", "i2": "i4", "u4": "i8", "i4": "i8"}


def real(dtype):
    """The dtype of what is no integer, as the methods say."""
    return np.float32 if np.dtype(dtype).name in (
        "int8", "uint8", "int16", "uint16", "float16", "float32",
    ) else np.float64  # fmt: skip


def exactly(array):
    """The same integers as Python has them, which never wrap."""
    return array.astype(object)


# -- subtract ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_minus_integers_never_wrap(tsc, dtype):
    info = np.iinfo(dtype)
    array = np.array([[[info.min, 0, info.max, 1]]] * 5, dtype)
    for val in (0, 7, -7, np.uint8(200), np.array([[3, 100, 0, 5]], "u1")):
        wrong = dtype == "u8" and np.any((exactly(array) - val).astype(object) >= 2**63)
        wrong |= dtype == "i8" and np.any(np.array(val) != 0)
        difference = tsc.loadImagesFromArray(array).subtract(val)
        assert difference.dtype == np.dtype(WIDE.get(dtype, "i8"))
        if wrong and not _fits(array, val):
            with pytest.raises(OverflowError, match="int64 cannot hold"):
                difference.toArray()
        else:
            assert (exactly(difference.toArray()) == exactly(array) - np.array(val)).all()


def _fits(array, val):
    found = exactly(array) - exactly(np.array(val))
    return bool(((found >= -(2**63)) & (found < 2**63)).all())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("val", [0.5, np.float32(3), "array"])
def test_floats_are_subtracted_in_floats(tsc, dtype, val):
    array = recording(7, (5, 6), dtype)
    given = np.arange(30).reshape(5, 6) / 4 if isinstance(val, str) else val
    found = tsc.loadImagesFromArray(array).subtract(given).toArray()
    kind = real(dtype)
    assert found.dtype == kind
    assert same_bits(found, array.astype(kind) - np.asarray(given).astype(kind))


def test_a_val_for_each_voxel_or_for_all_planes(tsc):
    array = recording(5, (4, 5, 3), "uint8")
    images = tsc.loadImagesFromArray(array)
    plane, volume = np.arange(20).reshape(4, 5), np.arange(60).reshape(4, 5, 3)
    assert (images.subtract(plane).toArray() == array.astype(int) - plane[..., None]).all()
    assert (images.subtract(volume).toArray() == array.astype(int) - volume).all()


@pytest.mark.parametrize(("dtype", "least", "most"), [("u1", -32512, 32767), ("i2", None, None)])
def test_a_val_too_large_for_the_result_is_refused_with_what_helps(tsc, dtype, least, most):
    array = np.array([[[0, 100]]], dtype)
    images = tsc.loadImagesFromArray(array)
    if least is not None:
        assert images.subtract(most).toArray()[0, 0, 0] == -most
        assert images.subtract(least).toArray()[0, 0, 1] == 100 - least
    with pytest.raises(ValueError, match="a val of floats gives floats"):
        images.subtract(2**40)
    assert images.subtract(float(2**40)).toArray()[0, 0, 0] == -(2**40)


@pytest.mark.parametrize(
    ("val", "error", "words"),
    [
        (np.nan, ValueError, "finite"),
        (np.array([[0, np.inf], [1, 2]]), ValueError, "got 1 values that are not"),
        (np.zeros((3, 2)), ValueError, "images' dims"),
        (np.zeros(2), ValueError, "images' dims"),
        (np.ones((2, 2), bool), TypeError, "mask"),
        (True, TypeError, "val"),
        ("x", TypeError, "val"),
        (np.ma.masked_equal(np.eye(2), 0), TypeError, "masked"),
        (10**400, ValueError, "val"),
    ],
)
def test_what_cannot_be_subtracted(tsc, val, error, words):
    with pytest.raises(error, match=words):
        tsc.loadImagesFromArray(np.zeros((3, 2, 2), "u1")).subtract(val)


def test_a_val_beyond_float32_is_refused(tsc):
    images = tsc.loadImagesFromArray(np.zeros((3, 2, 2), "f4"))
    with pytest.raises(ValueError, match="beyond the range of float32"):
        images.subtract(1e300)


def test_the_val_is_a_copy_and_dims_may_be_learned_late(tsc):
    array, val = recording(6, (4, 5), "int16"), np.ones((4, 5), int)
    late = tsc.loadImagesFromArray(array).apply(lambda v: v + np.int16(1)).subtract(val)
    val[:] = 99
    assert late.dtype is None
    assert (late.toArray() == array.astype(int)).all()
    wrong = tsc.loadImagesFromArray(array).apply(lambda v: v[:2]).subtract(val)
    with pytest.raises(ValueError, match="images' dims"):
        wrong.mean()


# -- correctDetector -----------------------------------------------------------------------


def corrected(array, dark, flat, bad):
    """One pixel after the other, in float64."""
    dims = array.shape[1:]

    def spread(part, usual):
        if part is None:
            return np.full(dims, usual)
        return np.broadcast_to(part if part.ndim == len(dims) else part[..., None], dims)

    good, offset = ~spread(bad, False), spread(dark, 0.0)
    light = spread(flat, 1.0) - (offset if flat is not None else 0)
    values = (array.astype(float) - offset) / (light / light[good].mean())
    while not good.all():
        filled = good.copy()
        for place in np.argwhere(~good):
            row, column, plane = place[0], place[1], tuple(place[2:])
            around = [
                (r, c, *plane)
                for r in range(max(0, row - 1), min(dims[0], row + 2))
                for c in range(max(0, column - 1), min(dims[1], column + 2))
                if good[(r, c, *plane)]
            ]
            if around:
                values[(slice(None), *place)] = np.mean(
                    [values[(slice(None), *one)] for one in around], axis=0
                )
                filled[tuple(place)] = True
        good = filled
    return values


def parts(dims, seed=1):
    rng = np.random.default_rng(seed)
    bad = rng.random(dims) < 0.3
    bad[0, 0] = False
    return rng.uniform(1, 3, dims), rng.uniform(50, 90, dims), bad


@pytest.mark.parametrize("dims", [(7, 8), (1, 9), (6, 5, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("given", ["dark", "flat", "bad", "dark flat", "dark bad", "dark flat bad"])
def test_the_formula(tsc, dims, dtype, given):
    array = recording(6, dims, dtype)
    all_parts = dict(zip(("dark", "flat", "bad"), parts(dims), strict=True))
    taken = {name: all_parts[name] if name in given else None for name in all_parts}
    found = tsc.loadImagesFromArray(array).correctDetector(**taken)
    wanted = corrected(array, **taken)
    result = found.toArray()
    assert result.dtype == found.dtype == (dtype if given == "bad" else real(dtype))
    tolerance = 0.5 + 1e-9 if np.dtype(dtype).kind in "iu" and given == "bad" else 0
    if given == "bad" and tolerance:
        inner = ~taken["bad"]
        assert (result[:, inner] == array[:, inner]).all()
        tolerance *= 3  # of pixels that were filled in from rounded ones
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=max(tolerance, 1e-4))


def test_one_plane_for_all_planes_of_volumes(tsc):
    array = recording(6, (6, 5, 3), "uint16")
    images = tsc.loadImagesFromArray(array)
    dark, flat, bad = parts((6, 5))
    wide = [np.repeat(part[..., None], 3, axis=2) for part in (dark, flat, bad)]
    for narrow in ((dark, flat, bad), (wide[0], flat, bad), (dark, wide[1], bad),
                   (dark, flat, wide[2])):  # fmt: skip
        found = images.correctDetector(*narrow).toArray()
        np.testing.assert_allclose(found, images.correctDetector(*wide).toArray(), rtol=1e-6)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_bad_integers_become_the_nearest_integer_and_never_wrap(tsc, dtype):
    info = np.iinfo(dtype)
    for values in ([info.max] * 8, [info.min] * 8, [info.min, info.max] * 4, [1] * 4 + [2] * 4):
        array = np.zeros((3, 3, 3), dtype)
        array[:, np.arange(9).reshape(3, 3) != 4] = values
        array[:, 1, 1] = 77
        bad = np.zeros((3, 3), bool)
        bad[1, 1] = True
        found = tsc.loadImagesFromArray(array).correctDetector(bad=bad).toArray()
        assert found.dtype == dtype
        assert int(found[0, 1, 1]) == (2 * sum(values) + 8) // 16


def test_a_region_of_bad_pixels_is_filled_from_outside_inwards(tsc):
    array = np.zeros((2, 9, 9), "f4")
    array[:, :, 0] = 5
    bad = np.ones((9, 9), bool)
    bad[:, 0] = False
    assert (tsc.loadImagesFromArray(array).correctDetector(bad=bad).toArray() == 5).all()


def test_bad_pixels_of_dark_and_flat_mean_nothing(tsc):
    array = recording(4, (5, 6), "uint16")
    dark, flat, bad = parts((5, 6))
    images = tsc.loadImagesFromArray(array)
    usual = images.correctDetector(dark, flat, bad).toArray()
    dark[bad], flat[bad] = np.nan, -np.inf
    assert same_bits(images.correctDetector(dark, flat, bad).toArray(), usual)


def test_not_a_number_stays_where_it_is_and_in_the_pixels_filled_from_it(tsc):
    array = np.ones((3, 5, 5), "f4")
    array[1, 0, 0] = np.nan
    bad = np.zeros((5, 5), bool)
    bad[1, 1] = bad[3, 3] = True
    found = tsc.loadImagesFromArray(array).correctDetector(bad=bad).toArray()
    assert np.argwhere(np.isnan(found)).tolist() == [[1, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({}, TypeError, "give dark, flat or bad"),
        ({"dark": np.zeros((4, 4))}, ValueError, "images' dims"),
        ({"dark": np.zeros((4, 5)), "bad": np.zeros((5, 4), bool)}, ValueError, "images' dims"),
        ({"dark": np.full((4, 5), np.nan)}, ValueError, r"20 pixels, the first \(0, 0\)"),
        ({"flat": np.zeros((4, 5))}, ValueError, "not above 0.*in bad"),
        ({"flat": np.ones((4, 5)), "dark": np.ones((4, 5))}, ValueError, r"give flat \+ dark"),
        ({"flat": np.ones((4, 5), bool)}, TypeError, "numbers"),
        ({"bad": np.ones((4, 5), bool)}, ValueError, "no good pixel"),
        ({"bad": np.ones((4, 5), "u1")}, TypeError, "values != 0"),
        ({"dark": "x"}, TypeError, "dark"),
        ({"dark": np.float64(3)}, ValueError, "dark"),
    ],
)
def test_what_cannot_be_corrected(tsc, given, error, words):
    images = tsc.loadImagesFromArray(np.zeros((3, 4, 5), "u1"))
    with pytest.raises(error, match=words):
        images.correctDetector(**given)


def test_a_plane_without_a_good_pixel_is_named(tsc):
    bad = np.zeros((4, 5, 3), bool)
    bad[..., 2] = True
    with pytest.raises(ValueError, match="in plane 2"):
        tsc.loadImagesFromArray(np.zeros((3, 4, 5, 3), "u1")).correctDetector(bad=bad)


def test_the_same_bits_one_by_one_and_all_at_once(tsc):
    array = recording(9, (30, 31), "uint16")
    images = tsc.loadImagesFromArray(array).correctDetector(*parts((30, 31)))
    whole = images.toArray()
    assert all(same_bits(images[i], whole[i]) for i in range(9))


def test_other_ranks_other_darks(tsc, comm):
    from mpimages import CollectiveMismatchError

    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    images = tsc.loadImagesFromArray(recording(9, (4, 5), "uint16"))
    wrong = images.correctDetector(np.full((4, 5), float(comm.rank)))
    with pytest.raises(CollectiveMismatchError):
        wrong.mean()


def test_pixel_sizes_stay(tsc):
    images = tsc.loadImagesFromArray(recording(4, (4, 5), "uint16"))
    images.metadata["pixelSize"] = [2.0, 3.0]
    assert images.subtract(1).metadata["pixelSize"] == (2.0, 3.0)
