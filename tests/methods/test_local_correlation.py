"""The local correlation, beside NumPy and fractions; the same bits however it is computed."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import ndimage

from mpimages import ThunderContext

from ..support.data import recording, same_bits, spread

pytestmark = pytest.mark.ranks


def by_scipy(array, size):
    """Pearson's r with the filtered images, in float64."""
    x = array.astype(np.float64)
    y = np.stack([ndimage.uniform_filter(image, size, mode="reflect") for image in x])
    with np.errstate(invalid="ignore", divide="ignore"):
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        found = (x * y).mean(axis=0) / (x.std(axis=0) * y.std(axis=0))
    return np.where((x == 0).all(axis=0), np.nan, found)


def by_fractions(x, y):
    """Pearson's r of two series of integers, its three sums exact."""
    x, y, n = [int(i) for i in x], [int(i) for i in y], len(x)
    xx = n * sum(i * i for i in x) - sum(x) ** 2
    yy = n * sum(i * i for i in y) - sum(y) ** 2
    xy = n * sum(i * j for i, j in zip(x, y, strict=True)) - sum(x) * sum(y)
    if not xx * yy:
        return np.nan
    return float(np.sign(xy)) * float(Fraction(xy * xy, xx * yy)) ** 0.5


CASES = [
    ("uint8", (6, 5), 2, (5, 5)),
    ("uint16", (9, 8), 1, (3, 3)),
    ("int16", (4, 5, 3), 2, (5, 5, 1)),
    ("int8", (3, 4, 5), (1, 0, 2), (3, 1, 5)),
    ("uint16", (1, 7), 3, (7, 7)),
    ("int32", (6, 5), 2, (5, 5)),
    ("uint64", (5, 6), (0, 1), (1, 3)),
    ("float16", (6, 5), 1, (3, 3)),
    ("float32", (4, 5, 3), 3, (7, 7, 1)),
    ("float64", (5, 4, 3), (1, 1, 1), (3, 3, 3)),
]


def test_boxes_against_scipy(tsc):
    for dtype, dims, neighborhood, size in CASES:
        array = recording(21, dims, dtype, seed=3)
        array[:, 0, 0] = 3
        found = spread(tsc, array).localCorr(neighborhood)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, by_scipy(array, size), rtol=0, atol=1e-6, err_msg=dtype)


@pytest.mark.few_ranks
def test_integers_are_exact(tsc):
    # On an offset at which float32, and sums of squares in float64, see nothing.
    rng = np.random.default_rng(0)
    array = (65_000 + rng.integers(0, 2, (50, 4, 5))).astype(np.uint16)
    array[:, 1, 1] = 65_535
    found = spread(tsc, array).localCorr(1)
    padded = np.pad(array.astype(np.int64), [(0, 0), (1, 1), (1, 1)], mode="symmetric")
    for r, c in np.ndindex(4, 5):
        box = padded[:, r : r + 3, c : c + 3].sum(axis=(1, 2))
        np.testing.assert_allclose(found[r, c], by_fractions(array[:, r, c], box), rtol=1e-15)
    assert np.isnan(found[1, 1])


def test_neighbours_against_numpy(tsc):
    for dtype, dims in (
        ("uint16", (6, 5)),
        ("float32", (4, 5, 3)),
        ("int8", (1, 6)),
        ("u4", (6, 1)),
    ):
        array = recording(30, dims, dtype, seed=5)
        array[:, 0, 0] = 3
        with np.errstate(invalid="ignore", divide="ignore"):
            each = np.corrcoef(array.reshape(30, -1).astype(np.float64).T)
        numbers = np.arange(array[0].size).reshape(dims)
        for count in (4, 8):
            wanted = np.full(dims, np.nan)
            for place in np.ndindex(*dims):
                near = [
                    each[numbers[place], numbers[(place[0] + a, place[1] + b, *place[2:])]]
                    for a in (-1, 0, 1)
                    for b in (-1, 0, 1)
                    if (a, b) != (0, 0)
                    and (count == 8 or 0 in (a, b))
                    and 0 <= place[0] + a < dims[0]
                    and 0 <= place[1] + b < dims[1]
                ]
                near = [r for r in near if np.isfinite(r)]
                wanted[place] = np.mean(near) if near else np.nan
            found = spread(tsc, array).localCorr(neighbors=count)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-7)


def test_same_bits(tsc, comm):
    """However the images are read, and with a budget that takes several passes."""
    for dtype in ("uint16", "int8", "float32"):
        array = recording(19, (41, 50), dtype, seed=1)
        with ThunderContext(comm=comm.Split(comm.rank), memory="1GB") as alone:
            wanted = [
                alone.loadImagesFromArray(array).localCorr(2),
                alone.loadImagesFromArray(array).localCorr(neighbors=8),
            ]
        small = 120_000 if dtype != "float32" else 1_000_000
        with ThunderContext(comm=comm, memory=small) as little:
            for context in (tsc, little):
                images = context.loadImagesFromArray(array)
                for one in (images, images.apply(lambda image: image), images.filterOnKeys(bool)):
                    given = wanted if one.records.count == 19 else None
                    found = [one.localCorr(2), one.localCorr(neighbors=8)]
                    if given is not None:
                        assert all(same_bits(a, b) for a, b in zip(found, given, strict=True))


@pytest.mark.few_ranks
def test_few_images_and_what_is_not_finite(tsc):
    array = recording(5, (4, 6), "float32", seed=2)
    array[2, 1, 1] = np.nan
    found = spread(tsc, array).localCorr(1)
    assert np.isnan(found[:3, :3]).all()
    assert np.isfinite(found[:, 4:]).all()
    one = spread(tsc, recording(1, (4, 6), "uint16"))
    assert np.isnan(one.localCorr()).all()
    assert np.isnan(one.localCorr(neighbors=4)).all()
    # A pixel and its box that are the same: exactly 1.
    same = np.repeat(recording(9, (1, 1), "uint16"), 6, axis=2)
    assert (spread(tsc, same).localCorr(2) == 1).all()


@pytest.mark.few_ranks
def test_views_and_bins(tsc):
    array = recording(12, (8, 9), "uint16", seed=4)
    images = spread(tsc, array)
    cropped = images.crop((1, 2), (7, 8)).localCorr(1)
    assert same_bits(cropped, spread(tsc, array[:, 1:7, 2:8].copy()).localCorr(1))
    binned = images.timeBin(3, "sum").localCorr(1)
    np.testing.assert_allclose(
        binned, by_scipy(array.reshape(4, 3, 8, 9).sum(axis=1), 3), atol=1e-9
    )
    huge = spread(tsc, recording(6, (5, 5), "uint16")).localCorr(200)  # box sums beyond 32 bits
    assert np.isfinite(huge).all()


@pytest.mark.few_ranks
def test_ranks_that_want_other_neighbours_are_told(comm, tsc):
    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    from mpimages import CollectiveMismatchError

    images = spread(tsc, recording(4, (6, 6), "uint8"))
    last = comm.rank == comm.size - 1
    for given in (
        {"neighborhood": 1 + last},
        {"neighborhood": (1, 2) if last else (1, 1)},
        {"neighbors": 8 if last else 4},
    ):
        with pytest.raises(CollectiveMismatchError):
            images.localCorr(**given)
    assert images.localCorr(1).shape == (6, 6)


@pytest.mark.few_ranks
@pytest.mark.parametrize(
    ("given", "error", "word"),
    [
        ({"neighborhood": 0}, ValueError, "at least 1"),
        ({"neighborhood": (0, 0)}, ValueError, "at least 1"),
        ({"neighborhood": (1, 1, 1)}, ValueError, "3 values"),
        ({"neighborhood": 1.5}, TypeError, "neighborhood"),
        ({"neighborhood": True}, TypeError, "neighborhood"),
        ({"neighbors": 6}, ValueError, "4 or 8"),
        ({"neighborhood": 3, "neighbors": 4}, ValueError, "no effect"),
    ],
)
def test_wrong_arguments(tsc, given, error, word):
    with pytest.raises(error, match=word):
        spread(tsc, recording(4, (5, 6), "uint8")).localCorr(**given)
