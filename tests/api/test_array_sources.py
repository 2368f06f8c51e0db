"""Arrays of others that are read on demand: each rank asks for its own records, and no more."""

from __future__ import annotations

import math
import threading

import h5py
import numpy as np
import pytest

import mpimages
from mpimages import Series, ThunderContext
from mpimages.conversion.fingerprint import Fingerprint

pytestmark = [pytest.mark.ranks]

MOVIE = np.random.default_rng(3).integers(0, 60_000, (23, 9, 7), dtype=np.uint16)
VOLUMES = np.random.default_rng(4).normal(0, 9, (7, 6, 5, 4)).astype(np.float32)


class Counting:
    """An array that notes what it is asked for; not to be used by two threads at once."""

    def __init__(self, array, chunks=None, gives=None):
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.chunks = chunks
        self.asked = []
        self.gives = gives
        self._busy = threading.Lock()

    def __getitem__(self, key):
        assert self._busy.acquire(blocking=False), "two threads at once"
        try:
            self.asked.append(tuple((part.start, part.stop) for part in key))
            values = self.array[key]
            return values if self.gives is None else self.gives(values)
        finally:
            self._busy.release()

    def __array__(self, *_, **__):
        raise AssertionError("all of it was asked for")

    def records(self):
        """The numbers along the first axis that were asked for, in order."""
        return [i for (a, b), *_ in self.asked for i in range(a, b)]


def test_each_rank_reads_its_own_records_when_an_action_runs(tsc):
    array = Counting(MOVIE)
    images = tsc.loadImagesFromArray(array)
    assert (images.shape, images.dtype) == (MOVIE.shape, MOVIE.dtype)
    assert array.asked == []
    np.testing.assert_array_equal(images.mean(), MOVIE.mean(axis=0))
    cuts = [len(MOVIE) * part // tsc.size for part in range(tsc.size + 1)]
    assert sorted(array.records()) == list(range(cuts[tsc.rank], cuts[tsc.rank + 1]))
    array.asked.clear()
    np.testing.assert_array_equal(images[5], MOVIE[5])
    assert set(array.records()) <= {5}
    array.asked.clear()
    assert images.filterOnKeys(lambda key: key % 4 == 1).sum().tolist() == (
        MOVIE[1::4].sum(axis=0).tolist()
    )
    assert {i % 4 for i in array.records()} <= {1}


@pytest.mark.parametrize("array", [MOVIE, VOLUMES, MOVIE > 30_000, MOVIE.astype(">u8")])
def test_its_values_are_the_arrays_in_any_budget(comm, array):
    plain = array.view(np.uint8) if array.dtype == bool else array
    for memory in ("1GB", "70kB"):
        with ThunderContext(comm, memory=memory) as tsc:
            images = tsc.loadImagesFromArray(Counting(array, chunks=(3, *array.shape[1:])))
            expected = tsc.loadImagesFromArray(np.array(plain))
            np.testing.assert_array_equal(images.toArray(), plain)
            assert images.dtype == expected.dtype
            for method in ("mean", "variance", "max", "sum"):
                one, other = (getattr(data, method)() for data in (images, expected))
                assert one.tobytes() == other.tobytes()
            if memory == "1GB":
                series = images.toSeries().toArray()
                np.testing.assert_array_equal(series, np.moveaxis(plain, 0, -1))
                cached = images.apply(lambda image: image * 2).cache()
                np.testing.assert_array_equal(cached.toArray(), plain * 2)


def test_records_of_a_chunk_are_read_together(tsc):
    array = Counting(MOVIE, chunks=(5, 9, 7))
    tsc.loadImagesFromArray(array).mean()
    first, last = (len(MOVIE) * part // tsc.size for part in (tsc.rank, tsc.rank + 1))
    edges = {first, last} | {i for i in range(0, 24, 5) if first < i < last}
    assert {i for (a, b), *_ in array.asked for i in (a, b)} <= edges


def test_series_are_read_by_boxes_of_pixels(tsc):
    for values in (MOVIE, VOLUMES):
        array = Counting(np.moveaxis(values, 0, -1))
        series = tsc.loadSeriesFromArray(array)
        assert isinstance(series, Series)
        assert (series.shape, series.dtype) == (array.shape, array.dtype)
        assert array.asked == []
        np.testing.assert_array_equal(series.toArray(), array.array)
        asked = sum(np.prod([b - a for a, b in key]) for key in array.asked)
        assert tsc.comm.allreduce(int(asked)) == values.size
        means = series.seriesMean().toArray()[..., 0]
        np.testing.assert_allclose(means, values.mean(axis=0, dtype=float), rtol=1e-9)
        np.testing.assert_array_equal(
            series[2, 3, *[1] * (values.ndim - 3)],
            values[:, 2, 3, ...][(slice(None), *[1] * (values.ndim - 3))],
        )


def kinds(path, alone):
    """The same movie as each kind of array that others have."""
    import zarr

    file = h5py.File(path / "m.h5")
    found = {
        "h5py": file["x"],
        "memmap": np.load(path / "m.npy", mmap_mode="r"),
        "zarr": zarr.open_array(path / "m.zarr", mode="r"),
        "ours": mpimages.open(path / "m.h5", dataset="x"),
    }
    return found | kinds_slow_to_import(path) if alone else found


def kinds_slow_to_import(path):
    import dask.array
    import tensorstore
    import xarray

    whole = dask.array.from_array(MOVIE, chunks=(4, 9, 3))
    return {
        "dask": whole,
        "irregular dask": whole.rechunk(((1, 9, 2, 11), (9,), (7,))),
        "of files": dask.array.from_array(mpimages.open(path / "m.npy")),
        "xarray": xarray.DataArray(whole, dims=("t", "y", "x")),
        "tensorstore": tensorstore.open(
            {"driver": "zarr3", "kvstore": f"file://{path}/m.zarr"}, read=True
        ).result(),
    }


@pytest.fixture
def written(comm, shared_path):
    import zarr

    if comm.rank == 0:
        with h5py.File(shared_path / "m.h5", "w") as file:
            file.create_dataset("x", data=MOVIE, chunks=(4, 5, 7))
            file.create_dataset("turned", data=np.moveaxis(MOVIE, 0, -1), chunks=(2, 3, 23))
        np.save(shared_path / "m.npy", MOVIE)
        zarr.save_array(shared_path / "m.zarr", MOVIE)
    comm.Barrier()
    return shared_path


@pytest.mark.few_ranks
def test_the_arrays_of_others_are_taken(tsc, written):
    for name, array in kinds(written, tsc.size == 1).items():
        images = tsc.loadImagesFromArray(array)
        source = images.records.chain.source
        assert type(source).__name__ == "ArraySource", name
        assert images.shape == MOVIE.shape
        np.testing.assert_array_equal(images.toArray(), MOVIE, err_msg=name)
        np.testing.assert_array_equal(images.mean(), MOVIE.mean(axis=0), err_msg=name)
    turned = np.moveaxis(MOVIE, 0, -1)
    series = tsc.loadSeriesFromArray(h5py.File(written / "m.h5")["turned"], index=range(23))
    np.testing.assert_array_equal(series.between(3, 9).toArray(), turned[..., 3:10])


def test_grains_are_the_arrays_chunks(tsc):
    for chunks, grain in (
        ((5, 9, 7), 5),
        (((4, 4, 4, 4, 4, 3), (9,), (7,)), 4),  # as dask has them
        (((1, 9, 2, 11), (9,), (7,)), 1),
        (((23,), (9,), (7,)), 23),
        ((99, 9, 7), 23),
        (None, 1),
        ("auto", 1),
        ((5, 9), 1),
        ((0, 9, 7), 1),
    ):
        source = tsc.loadImagesFromArray(Counting(MOVIE, chunks)).records.chain.source
        assert source._grain == grain, chunks
    series = tsc.loadSeriesFromArray(Counting(MOVIE, (2, 3, 7)))
    assert series.records.chain.source._grain == 2 * 9


def test_what_is_in_memory_stays_there(tsc):
    for array in (MOVIE, MOVIE.tolist(), MOVIE[0], Counting2D(MOVIE[0])):
        images = tsc.loadImagesFromArray(array)
        assert type(images.records.chain.source).__name__ == "MemorySource"
    own = tsc.loadImagesFromArray(Whole(MOVIE), local=True)
    assert own.count() == len(MOVIE) * tsc.size


class Whole(Counting):
    def __array__(self, *_, **__):
        return self.array


Counting2D = Whole


def test_what_is_taken_into_memory_is_indexed_as_well(tsc):
    image = tsc.loadImagesFromArray(Counting(MOVIE[0]))
    assert np.array_equal(image.toArray().reshape(MOVIE[0].shape), MOVIE[0])
    mine = tsc.loadImagesFromArray(Counting(MOVIE), local=True)
    assert np.array_equal(mine.toArray(), np.concatenate([MOVIE] * tsc.size))
    with pytest.raises(TypeError, match=r"Counting\[.*float64, not"):
        tsc.loadImagesFromArray(Counting(MOVIE, gives=lambda part: part * 1.0), local=True)


def test_metadata_of_a_local_array_goes_with_it(tsc, comm, shared_path):
    images = tsc.loadImagesFromArray(MOVIE)
    images.metadata["pixelSize"] = (0.5, 0.25)
    images.saveAsHDF5(shared_path / "a.h5", layout="images")
    again = tsc.loadImagesFromArray(mpimages.open(shared_path / "a.h5"))
    assert again.metadata["pixelSize"] == (0.5, 0.25)
    series = images.toSeries()
    series.index = range(100, 123)
    series.saveAsBinarySeries(shared_path / "series")
    lazy = mpimages.open(shared_path / "series")
    again = tsc.loadSeriesFromArray(lazy)
    assert again.index.tolist() == list(range(100, 123))
    np.testing.assert_array_equal(again.select(105).toArray().reshape(9, 7), MOVIE[5])
    with pytest.raises(ValueError, match="loadSeriesFromArray"):
        tsc.loadImagesFromArray(lazy)
    with pytest.raises(ValueError, match="loadImagesFromArray"):
        tsc.loadSeriesFromArray(mpimages.open(shared_path / "a.h5"))


# -- what is written -----------------------------------------------------------------------


def test_outputs_have_the_same_bytes(tsc, shared_path):
    array = Counting(MOVIE)
    images = tsc.loadImagesFromArray(array)
    images.saveAsBinarySeries(shared_path / "lazy")
    tsc.loadImagesFromArray(MOVIE).saveAsBinarySeries(shared_path / "memory")
    one, other = (shared_path / name / "series-00000.bin" for name in ("lazy", "memory"))
    assert one.read_bytes() == other.read_bytes()


def test_a_job_that_resumes_knows_the_array_by_samples(tsc):
    def said(array, load=tsc.loadImagesFromArray):
        fingerprint = Fingerprint(*load(array).records.begin("mean"))
        fingerprint.ask()
        return fingerprint.describe()

    array = Counting(MOVIE)
    first = said(array)
    assert tsc.comm.allreduce(len(array.records())) == 16
    assert said(Counting(MOVIE.copy(), chunks=(5, 9, 7))) == first
    for place in ((0, 0, 0), (22, 8, 6)):
        changed = MOVIE.copy()
        changed[place] += 1
        assert said(Counting(changed)) != first
    assert said(Counting(MOVIE[:-1])) != first
    assert said(Whole(MOVIE)) != first
    series = np.moveaxis(MOVIE, 0, -1)
    assert said(Counting(series), tsc.loadSeriesFromArray) != first


# -- what cannot be ------------------------------------------------------------------------


def test_a_result_of_another_shape_or_dtype_is_an_error_that_names_it(tsc):
    for gives, said in (
        (lambda values: values[:, :-1], r"Counting\[.*\] has shape"),
        (lambda values: values.astype(np.float64), "float64"),
        (lambda values: np.ma.masked_equal(values, MOVIE[4, 0, 0]), "masked"),
    ):
        images = tsc.loadImagesFromArray(Counting(MOVIE, gives=gives))
        with pytest.raises((ValueError, TypeError), match=said):
            images.mean()


def test_an_array_that_fails_on_one_rank_fails_on_all(tsc):
    def gives(values):
        if tsc.rank == tsc.size - 1:
            raise OSError("the cable is out")
        return values

    images = tsc.loadImagesFromArray(Counting(MOVIE, gives=gives))
    with pytest.raises(OSError, match="the cable is out"):
        images.mean()
    with pytest.raises(OSError, match="the cable is out"):
        images.toArray()


def test_ranks_must_have_the_same_array(tsc):
    if tsc.size == 1:
        return
    last = tsc.rank == tsc.size - 1
    for mine in (MOVIE[:-1], MOVIE.astype(np.int32)):
        with pytest.raises(ValueError, match="rank"):
            tsc.loadImagesFromArray(Counting(mine if last else MOVIE))
    with pytest.raises(ValueError, match="rank"):
        tsc.loadImagesFromArray(MOVIE if last else Counting(MOVIE))


def test_what_cannot_be_images_is_refused_before_anything_is_read(tsc):
    with pytest.raises(TypeError, match="complex"):
        tsc.loadImagesFromArray(Counting(MOVIE.astype(complex)))
    for shape in ((2, 2, 2, 2, 2), (4,), (3, 0, 2), (0, 3, 2)):
        with pytest.raises(ValueError, match="shape"):
            tsc.loadImagesFromArray(Whole(np.zeros(shape)))
    for shape in ((1 << 63, 4, 5), (1 << 62, 1 << 62, 5)):
        endless = Counting(MOVIE)
        endless.shape = shape
        for load in (tsc.loadImagesFromArray, tsc.loadSeriesFromArray):
            with pytest.raises(ValueError, match="more values than can be counted"):
                load(endless)
    unknown = Counting(MOVIE)
    unknown.shape = (math.nan, 9, 7)  # as dask has it after a selection by values
    with pytest.raises(TypeError, match="shape"):
        tsc.loadImagesFromArray(unknown)
    with pytest.raises(TypeError):
        tsc.loadImagesFromArray(tsc.loadImagesFromArray(MOVIE))
    with ThunderContext(tsc.comm, memory="10kB") as small:
        images = small.loadImagesFromArray(Counting(np.zeros((3, 200, 200))))
        with pytest.raises(MemoryError):
            images.mean()
        images = small.loadImagesFromArray(Counting(np.zeros((60, 9, 7)), chunks=(60, 9, 7)))
        with pytest.raises(MemoryError, match="of a chunk"):
            images.mean()
