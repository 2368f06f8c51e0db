"""Arithmetic of records against NumPy and, of integers, against Python's, which never wrap."""

from __future__ import annotations

import operator

import numpy as np
import pytest
import tifffile

from mpimages import ThunderContext
from mpimages.engine import arithmetic

from ..support.data import DTYPES, FLOATS, INTEGERS, recording, same_bits, spread

pytestmark = pytest.mark.ranks

OPERATORS = {"plus": operator.add, "minus": operator.sub, "dottimes": operator.mul}


def real(dtype):
    """The dtype of what is no integer, as the methods say."""
    small = np.dtype(dtype).itemsize <= (4 if np.dtype(dtype).kind == "f" else 2)
    return np.dtype(np.float32 if small else np.float64)


def wide(op, dtype, negative):
    """The dtype of integers with integers, as the methods say."""
    dtype = np.dtype(dtype)
    sign = "i" if negative or dtype.kind == "i" or op == "minus" else "u"
    return np.dtype(f"{sign}{min(8, 2 * dtype.itemsize)}")


def holds(dtype, exact):
    info = np.iinfo(dtype)
    return all(info.min <= value <= info.max for value in exact.reshape(-1).tolist())


def extremes(dtype):
    info = np.iinfo(dtype)
    return np.array([[[info.min, 0, info.max, 1]], [[info.max, 3, info.min, 5]]] * 3, dtype)


# -- numbers and arrays --------------------------------------------------------------------


@pytest.mark.few_ranks
@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("op", OPERATORS)
def test_integers_never_wrap(tsc, op, dtype):
    array = extremes(dtype)
    exact = array.astype(object)
    series = tsc.loadSeriesFromArray(array.reshape(6, 1, 4))
    images = tsc.loadImagesFromArray(array)
    for other in (0, 1, -1, 3, -7, 100, np.array([[3, 0, 7, 100]], "u1"), np.array([[True] * 4])):
        given = np.asarray(other).astype(object)
        given = given + 0  # masks are 0 and 1
        wanted = OPERATORS[op](exact, given)
        result = wide(op, dtype, bool(np.any(given < 0)))
        for records, value in ((images, other), (series, other)):
            if records is series:
                value = other.reshape(4) if isinstance(other, np.ndarray) else other
            if holds(result, wanted):
                found = getattr(records, op)(value)
                assert found.dtype == result
                assert (found.toArray().reshape(array.shape).astype(object) == wanted).all()
            else:
                with pytest.raises((ValueError, OverflowError), match=f"{op}: .*other"):
                    getattr(records, op)(value).toArray()


@pytest.mark.parametrize("dtype", DTYPES)
def test_floats_are_as_in_numpy(tsc, dtype):
    array = recording(7, (5, 6), dtype)
    images = spread(tsc, array)
    kind = real(dtype)
    plane = np.arange(30).reshape(5, 6) / 4
    plane[0, :3] = 0, np.nan, np.inf
    ufuncs = {"plus": np.add, "minus": np.subtract, "dottimes": np.multiply}
    ufuncs["dotdivide"] = np.divide
    with np.errstate(all="ignore"):
        for op, ufunc in ufuncs.items():
            for other in (0.5, np.float32(3), plane):
                found = getattr(images, op)(other).toArray()
                wanted = ufunc(array.astype(kind), np.asarray(other).astype(kind))
                assert same_bits(found, wanted), (op, other)
        whole = images.dotdivide(np.arange(30).reshape(5, 6)).toArray()
        assert same_bits(whole, array.astype(kind) / np.arange(30).reshape(5, 6).astype(kind))
        series = images.toSeries().dottimes(np.arange(7) / 2).toArray()
        times = array.astype(kind).transpose(1, 2, 0) * (np.arange(7) / 2).astype(kind)
        assert same_bits(series, times)


def test_volumes_take_a_plane_for_all(tsc):
    array = recording(5, (4, 5, 3), "uint8")
    plane = np.arange(20).reshape(4, 5)
    images = spread(tsc, array)
    assert (images.plus(plane).toArray() == array.astype(int) + plane[..., None]).all()
    largest = images.elementWise(plane, np.maximum)
    assert largest.dtype is None
    assert (largest.toArray() == np.maximum(array, plane[..., None])).all()
    images.metadata["pixelSize"] = [0.5, 0.5, 2.0]
    for same in (
        images.plus(plane),
        images.elementWise(plane, np.maximum),
        images.clip(min=3),
        images.astype(float),
        images.minus(images),
    ):
        assert list(same.metadata["pixelSize"]) == [0.5, 0.5, 2.0]


@pytest.mark.few_ranks
def test_results_do_not_depend_on_pieces_and_budgets(comm, monkeypatch):
    array = recording(21, (40, 30), "uint64") >> np.uint64(6)
    other = recording(1, (40, 30), "uint16")[0].astype(np.int64)
    wanted = array.astype(object) + other
    for memory, piece in (("2MB", 1 << 20), ("1GB", 1)):
        monkeypatch.setattr(arithmetic, "PIECE_BYTES", piece)
        with ThunderContext(comm, memory=memory) as tsc:
            images = spread(tsc, array)
            assert (images.plus(other).first()[1].astype(object) == wanted[0]).all()
            total = images.plus(other).sum()
            assert (total.astype(object) == wanted.sum(axis=0)).all()
            pair = images.minus(spread(tsc, array[::-1]))
            exact = array.astype(object) - array[::-1]
            assert (pair.sum() == exact.sum(axis=0)).all()
            assert (pair.toSeries().first()[1].astype(object) == exact[:, 0, 0]).all()
            assert pair.plan() is not None


@pytest.mark.few_ranks
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda images, series: images.plus(np.zeros((3, 3))), ValueError, "images' dims"),
        (lambda images, series: series.plus(np.zeros(3)), ValueError, r"series' dims \(5,\)"),
        (lambda images, series: series.plus(np.zeros((2, 3))), ValueError, "series' dims"),
        (lambda images, series: images.dottimes(2**40), ValueError, "floats gives floats"),
        (lambda images, series: images.plus("x"), TypeError, "plus: other"),
        (lambda images, series: images.plus(series), TypeError, "same kind, got Series"),
        (lambda images, series: images.plus(images.toSeries()), TypeError, "same kind"),
        (lambda images, series: series.plus(series), ValueError, "cache"),
        (lambda images, series: images.plus(images.range(0, 4)), ValueError, "same keys"),
        (lambda images, series: images.plus(images.crop((0, 0), (2, 2))), ValueError, "same dims"),
        (lambda images, series: images.elementWise(1, max), ValueError, "ambiguous"),
        (lambda images, series: images.elementWise(1, lambda a, b: a[0]), ValueError, "shape"),
        (
            lambda images, series: images.elementWise(images, lambda a, b: a[:1]),
            ValueError,
            "elementWise: the record with key 0",
        ),
        (lambda images, _: images.elementWise(images, lambda a, b: 1 / 0), ZeroDivisionError, "d"),
        (lambda images, series: images.elementWise(np.zeros((3, 3)), max), ValueError, "dims"),
        (lambda images, series: images.clip(-5, -1), ValueError, "uint8 has no value"),
        (lambda images, series: images.clip(0.25, 0.75), ValueError, "uint8 has no value"),
        (lambda images, series: images.astype("int8"), TypeError, "'safe' does not allow"),
        (lambda images, series: images.apply(np.copy).astype("i1"), TypeError, "does not allow"),
    ],
)  # fmt: skip
def test_what_is_refused(tsc, call, error, words):
    images = tsc.loadImagesFromArray(recording(5, (4, 6), "uint8"))
    with pytest.raises(error, match=words):
        call(images, images.toSeries()).toArray()
    assert images.max().shape == (4, 6)


# -- two collections -----------------------------------------------------------------------


@pytest.fixture
def stored(comm, shared_path):
    """Two recordings of 23 images in files."""
    arrays = [recording(23, (5, 6), "uint16", seed) for seed in (0, 1)]
    for name, array in zip("ab", arrays, strict=True):
        if comm.rank == 0:
            tifffile.imwrite(shared_path / f"{name}.tif", array, photometric="minisblack")
    comm.barrier()
    return arrays, shared_path


def test_two_collections_in_files_or_in_memory(tsc, stored):
    (a, b), path = stored
    exact = a.astype(int), b.astype(int)
    first, second = (tsc.loadImages(path / f"{name}.tif", nplanes=1) for name in "ab")
    for left in (first, spread(tsc, a)):
        for right in (second, spread(tsc, b)):
            for op, of in OPERATORS.items():
                found = getattr(left, op)(right)
                assert found.nrecords == 23
                assert found.dtype == ("i4" if op == "minus" else "u4")
                assert (found.toArray() == of(*exact)).all()
            quotient = left.dotdivide(right)
            assert same_bits(quotient.toArray(), a.astype("f4") / b.astype("f4"))
            difference = left.minus(right)
            assert (difference.sum() == np.subtract(*exact).sum(axis=0)).all()
            series = difference.toSeries()
            assert (series.toArray() == np.subtract(*exact).transpose(1, 2, 0)).all()
            bins = difference.timeBin(4, "sum", "drop")
            wanted = np.subtract(*exact)[:20].reshape(5, 4, 5, 6).sum(axis=1)
            assert (bins.toArray() == wanted).all()
            bins = left.timeBin(4, "sum", "drop").minus(right.timeBin(4, "sum", "drop"))
            assert (bins.toArray() == wanted).all()
            odd = left.filterOnKeys(lambda key: key % 2).plus(
                right.filterOnKeys(lambda key: key % 2)
            )
            assert odd.keys().collect() == list(range(1, 23, 2))
            assert (odd.toArray() == np.add(*exact)[1::2]).all()
            assert (odd.renumber().range(2, 5).toArray() == np.add(*exact)[5:11:2]).all()
            late = left.filter(lambda key, value: key > 4).minus(
                right.apply(np.copy).filter(lambda key, value: key > 4)
            )
            assert late.nrecords is None
            assert late.keys().collect() == list(range(5, 23))
            assert (late.toArray() == np.subtract(*exact)[5:]).all()
            both = left.elementWise(right, np.maximum)
            assert both.dtype is None
            assert same_bits(both.toArray(), np.maximum(a, b))
            marked = left.elementWise(right, np.hypot, dtype="float32")
            assert same_bits(marked.cache().toArray(), np.hypot(a, b))


def test_cached_sides_and_series(tsc, stored):
    (a, b), path = stored
    left, right = (tsc.loadImages(path / f"{name}.tif", nplanes=1) for name in "ab")
    kept = left.range(3, 20).cache()
    pair = kept.minus(right.range(3, 20))
    wanted = (a.astype(int) - b)[3:20]
    assert (pair.toArray() == wanted).all()
    kept.uncache()
    assert (pair.toArray() == wanted).all()
    one, two = left.toSeries().cache(), right.toTimeSeries().cache()
    both = one.plus(two)
    assert type(both) is type(one)
    assert (both.toArray() == (a.astype(int) + b).transpose(1, 2, 0)).all()
    assert type(two.minus(one)) is type(two)
    assert (two.minus(one).normalize("mean").index == np.arange(23)).all()


def test_two_in_memory_on_other_ranks_are_refused(tsc):
    array = recording(23, (3, 4), "uint8")
    left, right = spread(tsc, array, seed=1), tsc.loadImagesFromArray(array)
    if tsc.size > 1:
        with pytest.raises(ValueError, match="must be on the same ranks"):
            left.plus(right)
    with ThunderContext(tsc.comm) as other, pytest.raises(ValueError, match="same ThunderContext"):
        left.plus(other.loadImagesFromArray(array))


@pytest.mark.few_ranks
@pytest.mark.parametrize("first", [*INTEGERS, "float16", "float64"])
def test_dtypes_of_two_collections(tsc, first):
    for second in ("uint8", "int16", "uint32", "int64", "uint64", "float32"):
        a, b = recording(3, (2, 3), first), recording(3, (2, 3), second, 1)
        left, right = tsc.loadImagesFromArray(a), tsc.loadImagesFromArray(b)
        for op, of in OPERATORS.items():
            found = getattr(left, op)(right)
            if "f" in a.dtype.kind + b.dtype.kind:
                kind = np.promote_types(real(first), real(second))
                with np.errstate(all="ignore"):
                    assert same_bits(found.toArray(), of(a.astype(kind), b.astype(kind)))
                continue
            exact = of(a.astype(object), b.astype(object))
            if holds(found.dtype, exact):
                assert (found.toArray().astype(object) == exact).all()
            else:
                assert found.dtype.itemsize == 8
                with pytest.raises(OverflowError, match=f"{op}: .* cannot hold"):
                    found.toArray()


def test_what_two_collections_make_is_saved(tsc, comm, stored):
    (a, b), path = stored
    left, right = (tsc.loadImages(path / f"{name}.tif", nplanes=1) for name in "ab")
    pair, out = left.minus(right), path / "series"
    wanted = (a.astype(int) - b).transpose(1, 2, 0)
    pair.saveAsBinarySeries(out)
    assert (tsc.loadSeries(out).toArray() == wanted).all()
    pair.saveAsTif(path / "out.tif")
    assert (tsc.loadImages(path / "out.tif", nplanes=1).toArray() == a.astype(int) - b).all()
    pair.saveAsBinarySeries(out, resume=True)
    if comm.rank == 0:  # the second recording is another one now
        tifffile.imwrite(path / "b.tif", b[::-1], photometric="minisblack")
    comm.barrier()
    changed = left.minus(tsc.loadImages(path / "b.tif", nplanes=1))
    with pytest.raises(FileExistsError, match=r"changed|choose another"):
        changed.saveAsBinarySeries(out, resume=True)


# -- bounds and dtypes ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip(tsc, dtype):
    array = recording(7, (5, 6), dtype)
    if array.dtype.kind == "f":
        array[0, 0, :3] = np.nan, np.inf, -np.inf
    images = spread(tsc, array)
    for low, high in ((3, 90), (None, 50), (20, None), (-np.inf, 50), (2.5, 77.5), (-(2**80), 99)):
        if array.dtype.kind == "f":
            least, most = (None if x is None else np.float64(x) for x in (low, high))
            with np.errstate(over="ignore"):
                wanted = np.clip(
                    array, *(None if x is None else x.astype(dtype) for x in (least, most))
                )
        else:
            exact = array.astype(object)
            wanted = (
                exact
                if low in (None, -np.inf)
                else np.maximum(exact, int(np.ceil(low)) if abs(low) < 2**60 else low)
            )
            wanted = (wanted if high is None else np.minimum(wanted, int(np.floor(high)))).astype(
                dtype
            )
        found = images.clip(low, high)
        assert same_bits(found.toArray(), wanted)
        assert same_bits(images.toSeries().clip(low, high).toArray(), wanted.transpose(1, 2, 0))


@pytest.mark.few_ranks
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("casting", ["safe", "same_kind", "unsafe"])
def test_astype(tsc, dtype, casting):
    array = (recording(5, (4, 5), "float64") / 8).astype(dtype)
    if np.dtype(dtype).kind == "u":
        array = np.abs(recording(5, (4, 5), "float64") / 8).astype(dtype)
    images = spread(tsc, array)
    for target in (*DTYPES, ">i4"):
        if not np.can_cast(dtype, target, casting):
            with pytest.raises(TypeError, match="does not allow"):
                images.astype(target, casting)
            continue
        found = images.astype(target, casting)
        assert found.dtype == np.dtype(target).newbyteorder("=")
        if np.dtype(target).kind == "u" and (np.trunc(array) < 0).any():
            with pytest.raises(OverflowError, match="cannot hold -"):
                found.toArray()
        else:
            assert same_bits(found.toArray(), array.astype(found.dtype))
    small = images.astype("smallfloat")
    exact = small.toArray()
    assert small.dtype.kind == "f"
    assert (exact == array).all()
    assert small.dtype.itemsize == (
        array.itemsize if dtype in FLOATS else min(8, 2 * array.itemsize)
    )


@pytest.mark.few_ranks
def test_what_a_dtype_cannot_hold_is_an_error(tsc):
    for dtype, target, values in (
        ("float64", "int64", [2.0**63, -(2.0**63) - 2048, np.nan, np.inf]),
        ("float32", "int32", [2.0**31, -np.inf]),
        ("float16", "uint8", [256, -1]),
        ("float16", "int16", [32768.0]),
        ("uint64", "int64", [2**63]),
        ("int64", "uint64", [-1]),
        ("int16", "uint8", [256, -1]),
    ):
        for value in values:
            array = np.zeros((3, 2, 2), dtype)
            array[2, 1, 1] = value
            with pytest.raises(OverflowError, match=f"astype: {target} cannot hold"):
                tsc.loadImagesFromArray(array).astype(target, "unsafe").max()
    edges = np.array([[[-(2.0**63), 2.0**63 - 1024, -0.9, 0.9]]])
    found = tsc.loadImagesFromArray(edges).astype("int64", "unsafe").toArray()
    assert found.tolist() == [[[-(2**63), 2**63 - 1024, 0, 0]]]
    edges = np.array([[[-0.9, 255.9, 65504, 0.5]]], "f2")
    assert tsc.loadImagesFromArray(edges).astype("u2", "unsafe").toArray().tolist() == [
        [[0, 255, 65504, 0]]
    ]
