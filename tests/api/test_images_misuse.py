"""Images used wrongly, half declared, or differently on different ranks."""

from __future__ import annotations

import weakref
from contextlib import suppress

import numpy as np
import pytest

from ..support.data import recording, same_bits

pytestmark = pytest.mark.ranks


@pytest.fixture(scope="module")
def data(tsc):
    return tsc.loadImagesFromArray(recording(10, (7, 8, 9), "int16"))


# -- what was only half declared -----------------------------------------------------------


@pytest.mark.parametrize("declared", [{"dims": (5, 5)}, {"dtype": "float32"}])
@pytest.mark.parametrize("action", ["mean", "toArray", "max"])
def test_half_a_declaration_is_checked(tsc, declared, action):
    images = tsc.loadImagesFromArray(recording(6, (10, 10), "uint8"))
    wrong = images.apply(lambda v: v[:4, :4], **declared)
    with pytest.raises(ValueError, match="key 0"):
        getattr(wrong, action)()
    assert wrong.dims == (None if "dtype" in declared else wrong.dims)


def test_half_a_declaration_is_completed(tsc):
    array = recording(6, (4, 5), "uint8")
    images = tsc.loadImagesFromArray(array)
    assert same_bits(images.apply(lambda v: v / 2, dims=(4, 5)).toArray(), array / 2)
    halves = images.apply(lambda v: v[:2] / 2, dtype="float64")
    assert same_bits(halves.toArray(), array[:, :2] / 2)
    assert halves.dims.count == (2, 5)


def test_conditions_count_as_uint8(tsc):
    array = recording(6, (4, 5), "uint8")
    above = tsc.loadImagesFromArray(array).apply(lambda v: v > 100)
    assert same_bits(above.toArray(), (array > 100).astype(np.uint8))
    assert above.dtype == np.uint8
    np.testing.assert_allclose(above.mean(), (array > 100).mean(axis=0))
    assert same_bits(tsc.loadImagesFromArray(array > 100).toArray(), above.toArray())


@pytest.mark.parametrize("dtype", ["complex64", "longdouble", "U3", "O"])
def test_what_records_cannot_be(tsc, dtype):
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "uint8"))
    with pytest.raises(TypeError, match="key 0"):
        images.apply(lambda v: v.astype(dtype)).toArray()


def test_subsample_where_the_axes_are_not_known(tsc):
    array = recording(6, (4, 5, 3), "uint8")
    planes = tsc.loadImagesFromArray(array).apply(lambda v: v[:, :, 0]).subsample(2)
    assert same_bits(planes.toArray(), array[:, ::2, ::2, 0].copy())


def test_undeclared_results_are_weighed_too(comm):
    from mpimages import ThunderContext

    with ThunderContext(comm, memory="1kB") as small:
        images = small.loadImagesFromArray(np.zeros((40, 40, 40), np.uint8)).apply(np.copy)
        for action in (
            images.toArray,
            images.apply(np.copy).cache,
            images.apply(np.copy).toSeries().mean,
        ):
            with pytest.raises(MemoryError, match=r"budget is 1 kB"):
                action()


def test_uncache_of_a_derived_collection_leaves_its_parents_cache(tsc):
    calls = []
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "uint8"))
    kept = images.apply(lambda v: calls.append(1) or v).cache()
    calls.clear()
    kept.crop((0, 0), (2, 2)).uncache()
    kept.mean()
    assert calls == []


def test_a_filter_makes_shares_uneven_and_the_exchange_still_fits(tsc):
    array = recording(12, (5, 6), "uint16")
    images = tsc.loadImagesFromArray(array).cache().filterOnKeys(lambda key: key < 3)
    expected = np.moveaxis(array[:3], 0, -1).copy()
    assert same_bits(images.toSeries().toArray(), expected)


# -- ranks that do not mean the same -------------------------------------------------------


@pytest.mark.mpi(min_size=2)
def test_other_methods_or_arguments_on_some_ranks_are_told(tsc):
    from mpimages import CollectiveMismatchError

    images = tsc.loadImagesFromArray(recording(6, (4, 5, 2), "int16"))
    series = images.toSeries()
    odd = tsc.rank % 2
    for wrong in (
        lambda: images[odd],
        lambda: images[odd : odd + 2],
        lambda: images.values().take(1 + odd),
        lambda: images.maxProjection(odd).mean(),
        lambda: images.crop((odd, 0, 0), (4, 5, 2)).max(),
        lambda: images.meanByRegions(np.arange(40).reshape(4, 5, 2) % (2 + odd)),
        lambda: series[odd, 0, 0],
        lambda: series.seriesPercentile(20 + odd).toArray(),
        lambda: series.select([odd]).toArray(),
        lambda: series.subset(3 + odd, seed=1),
        lambda: tsc.loadImages("somewhere" if odd else "elsewhere"),
    ):
        with pytest.raises(CollectiveMismatchError, match="rank 1 is in"):
            wrong()
        assert tsc.comm.allreduce(1) == tsc.size


# -- what a hostile reader found -----------------------------------------------------------


def test_parts_that_are_not_there_where_the_axes_are_not_known(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 5, 2), "int16"))
    assert images.apply(np.copy).planes(0, 1).toArray().shape == (3, 4, 5, 2)
    for part in (
        lambda v: v.planes(0, 5),
        lambda v: v.planes(5, 9),
        lambda v: v.planes(7),
        lambda v: v.planes([0, 3]),
        lambda v: v.crop((0, 0, 0), (9, 9, 9)),
    ):
        with pytest.raises(ValueError, match="not there"):
            part(images.apply(np.copy)).mean()


def test_nothing_of_everything(tsc):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "int16"))
    nothing = images.filter(lambda k, v: False)
    unknown = images.filter(lambda k, v: False).apply(np.copy)
    for action in (
        unknown.cache,
        unknown.toArray,
        unknown.mean,
        lambda: unknown.meanByRegions(np.ones((4, 5), int)),
        lambda: nothing.meanByRegions(np.ones((4, 5), int)),
    ):
        with pytest.raises(ValueError, match="no records"):
            action()
    assert nothing.toArray().shape == (0, 4, 5)
    assert nothing.get(-1) is None
    with pytest.raises(KeyError, match="no records"):
        nothing[-1]
    with pytest.raises(KeyError):
        images[2**70]
    empty = images.toSeries().filter(lambda k, v: False)
    assert empty.get((9, 9)) is None


def test_results_of_the_other_byte_order(tsc):
    array = recording(3, (4, 5), "int16")
    for swapped in ({}, {"dims": (4, 5), "dtype": ">i2"}):
        images = tsc.loadImagesFromArray(array).apply(lambda v: v.astype(">i2"), **swapped)
        assert same_bits(images.toArray(), array)
        assert same_bits(images.max(), array.max(axis=0))


def test_a_cache_is_not_the_users_memory(comm):
    from mpi4py import MPI

    from mpimages import ThunderContext

    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        array = recording(3, (4, 5), "int16")
        images = alone.loadImagesFromArray(array, local=True).cache()
        before = array.copy()
        array[:] = 0
        assert same_bits(images.toArray(), before)


# -- what differs from rank to rank ---------------------------------------------------------


@pytest.mark.mpi(min_size=2)
def test_ranks_that_take_different_recordings(tsc, comm, shared_path):
    from mpimages import CollectiveMismatchError

    array = recording(6, (7, 8), "uint16")
    pair = [tsc.loadImagesFromArray(array + i) for i in range(2)]
    own = pair[comm.rank > 0]
    for act in (
        own.mean,
        own.toArray,
        own.toSeries().toArray,
        own.cache,
        own.apply(np.negative).max,
        lambda: own.saveAsBinarySeries(shared_path / "s"),
        lambda: own.saveAsTifs(shared_path / "t"),
    ):
        with pytest.raises(CollectiveMismatchError):
            act()
    assert list(shared_path.iterdir()) == []
    assert same_bits(pair[1].cache().toSeries().cache().toArray(), pair[1].toSeries().toArray())


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize(
    ("save", "options"),
    [
        ("saveAsTifs", {"filePrefix": ("a", "b")}),
        ("saveAsTifs", {"overwrite": (False, True)}),
        ("saveAsPngs", {"vmin": (0, 1), "vmax": (9, 9)}),
        ("saveAsPngs", {"cmap": ("gray", "jet")}),
        ("saveAsHDF5", {"chunks": ((1, 1, 1), (5, 7, 6))}),
        ("saveAsHDF5", {"dataset": ("a", "b")}),
        ("saveAsHDF5", {"compression": (None, "gzip")}),
        ("saveAsHDF5", {"resume": (False, True)}),
        ("saveAsBinarySeries", {"path": ("a", "b")}),
        ("saveAsTif", {"path": ("a.tif", "b.tif")}),
    ],
)
def test_ranks_that_save_differently(tsc, comm, shared_path, save, options):
    from mpimages import CollectiveMismatchError

    images = tsc.loadImagesFromArray(recording(6, (7, 8), "uint16"))
    own = {name: values[comm.rank > 0] for name, values in options.items()}
    path = shared_path / own.pop("path", "o")
    with pytest.raises(CollectiveMismatchError):
        getattr(images, save)(path, **own)
    comm.Barrier()
    assert list(shared_path.iterdir()) == []


# -- values that are none -------------------------------------------------------------------


def test_masked_values_are_refused(tsc):
    array = recording(6, (7, 8), "uint16")
    masked = np.ma.masked_greater(array, array.min())
    with pytest.raises(TypeError, match="filled"):
        tsc.loadImagesFromArray(masked)
    images = tsc.loadImagesFromArray(np.ma.array(array))  # nothing is masked
    with pytest.raises(TypeError, match="filled"):
        images.apply(lambda v: np.ma.masked_greater(v, v.min())).mean()


def test_a_function_that_returns_nothing(tsc):
    images = tsc.loadImagesFromArray(recording(6, (7, 8), "uint16"))
    for act in ("mean", "stdev", "sum", "toArray"):
        with pytest.raises(ValueError, match="one value at least"):
            getattr(images.apply(lambda v: v[:0]), act)()


def test_what_could_not_be_loaded_is_not_saved(tsc, shared_path):
    images = tsc.loadImagesFromArray(recording(3, (4, 6), "uint8"))
    folded = images.apply(lambda v: v.reshape(2, 2, 3, 2), dims=(2, 2, 3, 2), dtype="uint8")
    for save in (folded.saveAsBinarySeries, folded.saveAsHDF5):
        with pytest.raises(ValueError, match="loaded again"):
            save(shared_path / "o")
    assert list(shared_path.iterdir()) == []


def test_none_of_the_values_can_be_taken(tsc):
    images = tsc.loadImagesFromArray(recording(6, (7, 8), "uint16"))
    assert images.apply(lambda v: v[:3]).values().take(0) == []
    assert same_bits(images[:: 2**63], images[0][np.newaxis])
    empty = images.toSeries().filter(lambda key, value: False)
    with pytest.raises(ValueError, match="no records"):
        empty.subset(3)


# -- memory ---------------------------------------------------------------------------------


def test_what_was_not_declared_is_weighed_before_it_is_held(comm):
    from mpimages import ThunderContext

    with ThunderContext(comm, memory="300kB") as small:
        series = small.loadImagesFromArray(recording(40, (60, 50), "uint8")).toSeries()
        wide = series.apply(lambda v: np.repeat(v, 64 * comm.size).astype(np.float64))
        with pytest.raises(MemoryError, match=r"use [0-9]+ ranks"):
            wide.cache()


def test_an_error_that_was_caught_keeps_no_arrays(comm):
    import gc

    from mpi4py import MPI

    from mpimages import ThunderContext

    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        images = alone.loadImagesFromArray(recording(6, (7, 8), "uint16"))
        kept = []

        def fail(value):
            kept.append(weakref.ref(value))
            raise LookupError("lost my way")

        gc.disable()
        try:
            with suppress(LookupError):
                images.apply(fail).mean()
            assert kept
            assert [ref() for ref in kept] == [None] * len(kept)
        finally:
            gc.enable()


def test_a_forked_process_is_told_that_it_has_no_ranks(comm):
    from mpi4py import MPI

    from mpimages import ThunderContext

    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        images = alone.loadImagesFromArray(recording(6, (7, 8), "uint16"))
        images.mean()
        process = alone.session._process
        alone.session._process = -1  # a fork may hang by itself where MPI's threads run
        try:
            with pytest.raises(RuntimeError, match="forked"):
                images.mean()
        finally:
            alone.session._process = process
        assert same_bits(images.mean(), images.toArray().mean(axis=0))
