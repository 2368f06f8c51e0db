"""Arrays in place: NumPy's basic indexing of recordings and outputs, without MPI."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading

import h5py
import hypothesis.strategies as st
import numpy as np
import pytest
import tifffile
from hypothesis import Phase, given, settings

import mpimages
from mpimages import FormatError
from mpimages.readers import parts
from mpimages.readers.hdf5.handle import Hdf5Array
from mpimages.readers.tif.pages import TifPages

MOVIE = np.random.default_rng(1).integers(0, 60_000, (11, 9, 7), dtype=np.uint16)
VOLUMES = np.random.default_rng(2).normal(0, 100, (5, 6, 4, 3)).astype(np.float32)


def write_hdf5(path, array, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=array, **options)


@pytest.fixture(scope="module")
def stored(tsc, tmp_path_factory):
    """All kinds of inputs and outputs: (path, arguments, the array that it is)."""
    import zarr

    root = tmp_path_factory.mktemp("stored")
    movie, volumes = MOVIE, VOLUMES
    tifffile.imwrite(root / "movie.tif", movie, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(root / "zip.tif", movie, compression="zlib")
    planes = np.moveaxis(volumes, -1, 1)
    tifffile.imwrite(root / "volumes.tif", planes, imagej=True, metadata={"axes": "TZYX"})
    pages = planes.reshape(-1, 6, 4)
    tifffile.imwrite(root / "zip4.tif", pages, compression="zlib", photometric="minisblack")
    write_hdf5(root / "pages.h5", pages, chunks=(1, 6, 4))
    (root / "set").mkdir()
    for t, volume in enumerate(planes):
        for z, plane in enumerate(volume):
            tifffile.imwrite(root / "set" / f"t{t}_z{z}.tif", plane)
    np.save(root / "movie.npy", movie.astype(">u2"))
    movie.tofile(root / "flat.bin")
    write_hdf5(root / "chunks.h5", movie, chunks=(4, 5, 3), compression="gzip")
    write_hdf5(root / "plain.h5", movie)
    write_hdf5(root / "turned.h5", movie.transpose(1, 2, 0), chunks=(4, 3, 5))
    np.save(root / "pages-last.npy", volumes)
    wide = np.repeat(movie[:4, :3], 3000, axis=2)
    np.save(root / "wide.npy", wide)
    write_hdf5(root / "planes.h5", planes, chunks=(2, 1, 3, 4))
    images = tsc.loadImagesFromArray(movie)
    several = tsc.loadImagesFromArray(volumes)
    series = np.moveaxis(movie, 0, -1)
    images.saveAsPngs(root / "pngs")
    images.saveAsTifs(root / "tifs")
    images.saveAsTif(root / "one.tif")
    images.saveAsBinaryImages(root / "bins")
    images.saveAsBinarySeries(root / "series", blockSize=500)
    images.saveAsHDF5(root / "series.h5", chunks=(4, 3, 5), compression="gzip")
    images.saveAsHDF5(root / "plain-series.h5")
    images.saveAsHDF5(root / "frames.h5", layout="images", chunks=(4, 3, 5))
    several.saveAsBinarySeries(root / "series4")
    several.saveAsTifs(root / "tifs4")
    images.saveAsZarr(root / "images.zarr", chunks=(4, 5, 3))
    images.saveAsZarr(root / "series.zarr", layout="series", chunks=(5, 3, 4))
    several.saveAsZarr(root / "volumes.ome.zarr")
    zarr.save_array(root / "plain.zarr", movie)
    flat = {"dims": (7, 9), "dtype": "uint16", "nplanes": 1, "inputFormat": "stack"}
    return {
        "movie": (root / "movie.tif", {}, movie),
        "part of a movie": (root / "movie.tif", {"startIdx": 2, "stopIdx": -1}, movie[2:-1]),
        "compressed": (root / "zip.tif", {"nplanes": 1}, movie),
        "volumes": (root / "volumes.tif", {}, volumes),
        "compressed volumes": (root / "zip4.tif", {"nplanes": 3}, volumes),
        "without their last page": (
            root / "zip4.tif",
            {"nplanes": 3, "flyback": 1},
            volumes[..., :2],
        ),
        "pages in chunks": (
            root / "pages.h5",
            {"axes": "ZYX", "nplanes": 3, "flyback": [0]},
            volumes[..., 1:],
        ),
        "set of files": (root / "set", {"pattern": "t{t}_z{z}.tif"}, volumes),
        "big-endian npy": (root / "movie.npy", {}, movie),
        "chunks": (root / "chunks.h5", {}, movie),
        "plain HDF5": (root / "plain.h5", {}, movie),
        "time fastest": (root / "turned.h5", {"axes": "YXT"}, movie),
        "planes": (root / "planes.h5", {}, volumes),
        "pages last": (root / "pages-last.npy", {"axes": "TYXZ"}, volumes),
        "wide": (root / "wide.npy", {}, wide),
        "pngs": (root / "pngs", {}, tsc.loadImages(root / "pngs").toArray()),
        "tifs": (root / "tifs", {}, movie),
        "multi-page": (root / "one.tif", {}, movie),
        "binary images": (root / "bins", {}, movie),
        "binary series": (root / "series", {}, series),
        "HDF5 series": (root / "series.h5", {}, series),
        "plain HDF5 series": (root / "plain-series.h5", {}, series),
        "HDF5 images": (root / "frames.h5", {}, movie),
        "HDF5 images as series": (root / "frames.h5", {"layout": "series"}, series),
        "series of volumes": (root / "series4", {}, np.moveaxis(volumes, 0, -1)),
        "tifs of volumes": (root / "tifs4", {}, volumes),
        "Zarr images": (root / "images.zarr", {}, movie),
        "Zarr series": (root / "series.zarr", {}, series),
        "Zarr images as series": (root / "images.zarr", {"layout": "series"}, series),
        "Zarr of volumes": (root / "volumes.ome.zarr", {}, volumes),
        "Zarr of others": (root / "plain.zarr", {}, movie),
        "flat": (root / "flat.bin", flat, movie.transpose(0, 2, 1)),
    }


def same(found, expected):
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype.newbyteorder("=")
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


BOUND = st.none() | st.integers(-12, 13)
SLICES = st.builds(slice, BOUND, BOUND, st.sampled_from([None, 1, 2, 3, -1, -2]))
# Four axes at most: a whole number stands for one of the axis, wherever it ends.
PARTS = st.tuples(*[st.integers(-(2**20), 2**20) | SLICES] * 4)


def index_of(parts, count, dots, new, shape):
    """A basic index of an array of this shape: of the first `count` axes, or of those around dots.

    With `dots` an ellipsis is in the place of axis number `dots`, with `new` a new axis before it.
    """
    pairs = list(zip(parts, shape, strict=False))
    index = [part if isinstance(part, slice) else part % (2 * n) - n for part, n in pairs]
    if dots is not None:
        index[dots : dots + 1] = [...]
    else:
        index = index[:count]
    if new is not None:
        index.insert(new, None)
    return tuple(index)


@settings(max_examples=20, phases=[Phase.generate])  # to make failures small takes minutes
@given(PARTS, st.integers(0, 4), st.none() | st.integers(0, 2), st.none() | st.integers(0, 3))
def test_indexing_is_numpys(stored, parts, count, dots, new):
    for path, options, array in stored.values():
        index = index_of(parts, count, dots, new, array.shape)
        with mpimages.open(path, **options) as lazy:
            same(lazy[index], array[index])


def test_it_looks_like_an_array(stored):
    for name, (path, options, array) in stored.items():
        lazy = mpimages.open(path, **options)
        assert (lazy.shape, lazy.dtype) == (array.shape, array.dtype.newbyteorder("=")), name
        assert (lazy.ndim, lazy.size, lazy.nbytes) == (array.ndim, array.size, array.nbytes)
        assert len(lazy) == len(array)
        assert len(lazy.chunks) == len(lazy.axes) == lazy.ndim
        assert all(1 <= c <= n for c, n in zip(lazy.chunks, lazy.shape, strict=True)), name
        assert lazy.axes[-1 if lazy.layout == "series" else 0] == "time"
        np.testing.assert_array_equal(np.asarray(lazy), array)
        same(np.asarray(lazy, dtype=np.float32), array.astype(np.float32))
        np.testing.assert_array_equal(np.mean(lazy, axis=0), array.mean(axis=0))
        same(np.stack(list(lazy)), array)
        assert "LocalArray: " + " x ".join(map(str, array.shape)) in repr(lazy)


def test_chunks_are_those_of_the_file(stored):
    assert mpimages.open(stored["chunks"][0]).chunks == (4, 5, 3)
    assert mpimages.open(stored["time fastest"][0], axes="YXT").chunks == (5, 4, 3)
    assert mpimages.open(stored["HDF5 series"][0]).chunks == (4, 3, 5)
    assert mpimages.open(stored["movie"][0]).chunks == (1, 9, 7)
    assert mpimages.open(stored["Zarr images"][0]).chunks == (4, 5, 3)
    assert mpimages.open(stored["Zarr series"][0]).chunks == (5, 3, 4)
    assert mpimages.open(stored["binary series"][0]).chunks == (9, 7, 11)


def test_a_copy_is_needed(stored):
    lazy = mpimages.open(stored["movie"][0])
    with pytest.raises(ValueError, match="copy=False"):
        np.asarray(lazy, copy=False)
    part = lazy[3]
    part[...] = 0
    same(lazy[3], MOVIE[3])


def test_it_is_pickled_and_used_by_threads(stored):
    for path, options, array in stored.values():
        with mpimages.open(path, **options) as lazy:
            lazy[0]
            same(pickle.loads(pickle.dumps(lazy))[...], array.astype(lazy.dtype))
            wrong = []

            def look(lazy=lazy, array=array, wrong=wrong):
                for i in range(-2, len(array) - 2):
                    if not np.array_equal(lazy[i], array[i]):
                        wrong.append(i)

            threads = [threading.Thread(target=look) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert wrong == []


def test_it_is_read_after_it_was_closed(stored):
    lazy = mpimages.open(stored["movie"][0])
    before = len(os.listdir("/proc/self/fd"))
    lazy[2]
    assert len(os.listdir("/proc/self/fd")) == before + 1
    lazy.close()
    lazy.close()
    assert len(os.listdir("/proc/self/fd")) == before
    same(lazy[2], MOVIE[2])
    lazy.close()


def test_its_files_are_closed_when_nobody_has_it_any_more(stored):
    before = len(os.listdir("/proc/self/fd"))
    for name in ("movie", "HDF5 series", "binary series", "Zarr images"):
        mpimages.open(stored[name][0])[2]
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


# -- what is read --------------------------------------------------------------------------


class Meter:
    """The bytes that are read."""

    def __init__(self, monkeypatch):
        self.bytes = 0
        for name in ("pread", "preadv"):
            monkeypatch.setattr(os, name, self._count(getattr(os, name), name))
        monkeypatch.setattr(parts, "read_runs", self._run(parts.read_runs))

    def _run(self, function):
        def counting(*given):
            self.bytes += given[-1].nbytes
            return function(*given)

        return counting

    def _count(self, function, name):
        def counting(fd, what, *more):
            got = function(fd, what, *more)
            self.bytes += got if name == "preadv" else len(got)
            return got

        return counting

    def of(self, read):
        self.bytes = 0
        read()
        return self.bytes


@pytest.mark.parametrize("name", ["movie", "plain HDF5", "big-endian npy", "multi-page"])
def test_of_plain_images_only_what_is_asked_for_is_read(stored, name, monkeypatch):
    path, options, array = stored[name]
    lazy = mpimages.open(path, **options)
    lazy[0]
    meter = Meter(monkeypatch)
    item = array.dtype.itemsize
    assert meter.of(lambda: lazy[9]) == array[0].nbytes
    assert meter.of(lambda: lazy[9, 4, 5]) == item
    assert meter.of(lambda: lazy[9, 4]) == array.shape[2] * item
    assert meter.of(lambda: lazy[9, 2:4]) == 2 * array.shape[2] * item
    assert meter.of(lambda: lazy[:, 4, 5]) == len(array) * item
    assert meter.of(lambda: lazy[::5]) == 3 * array[0].nbytes


def test_chunks_with_all_times_are_decoded_once(tmp_path, monkeypatch):
    """A frame lies in all chunks, and there are more of them than are in memory at a time."""
    array = np.arange(6_000 * 32 * 32, dtype=np.uint32).reshape(6_000, 32, 32)
    write_hdf5(tmp_path / "long.h5", array, chunks=(6_000, 8, 8))
    read = []
    plain = Hdf5Array.read
    monkeypatch.setattr(
        Hdf5Array, "read", lambda self, first, out: read.append(out.size) or plain(self, first, out)
    )
    for index, values in (
        (np.s_[:], array.size),
        (np.s_[1_000:5_000, :, 3:30], 4_000 * 32 * 27),
        (np.s_[::2_000], 4_001 * 32 * 32),
        (np.s_[::-5, 4:20], 5_996 * 16 * 32),
        (np.s_[:, ::3, 5], 6_000 * 31),
    ):
        read.clear()
        same(mpimages.open(tmp_path / "long.h5")[index], array[index])
        assert sum(read) == values, index


@pytest.mark.parametrize("layout", ["binary", "hdf5"])
def test_of_long_series_only_the_values_that_are_asked_for_are_read(
    tsc, tmp_path, layout, monkeypatch
):
    array = np.arange(3 * 4 * 30_000, dtype=np.int32).reshape(3, 4, 30_000)
    save = {"binary": "saveAsBinarySeries", "hdf5": "saveAsHDF5"}[layout]
    getattr(tsc.loadSeriesFromArray(array), save)(tmp_path / "long.h5")
    lazy = mpimages.open(tmp_path / "long.h5", layout="series")
    lazy[0, 0, 0]
    meter = Meter(monkeypatch)
    assert meter.of(lambda: same(lazy[..., 7], array[..., 7])) == 3 * 4 * 4
    assert meter.of(lambda: same(lazy[1:, 2, 9:99], array[1:, 2, 9:99])) == 2 * 90 * 4
    assert meter.of(lambda: same(lazy[1, ::2, 5::-1], array[1, ::2, 5::-1])) == 3 * 6 * 4


def test_of_a_compressed_volume_only_the_planes_that_are_asked_for_are_read(stored, monkeypatch):
    path, options, array = stored["compressed volumes"]
    lazy = mpimages.open(path, **options)
    read = []
    plain = TifPages.read
    monkeypatch.setattr(
        TifPages, "read", lambda self, pages, out: read.extend(pages) or plain(self, pages, out)
    )
    same(lazy[2, :, 1:3, 1], array[2, :, 1:3, 1])
    same(lazy[3:, ..., 2], array[3:, ..., 2])
    assert read == [7, 11, 14]


def test_of_a_set_the_files_of_other_planes_are_not_read(stored, monkeypatch):
    path, options, array = stored["set of files"]
    lazy = mpimages.open(path, **options)
    opened = []
    source = lazy._stored._source
    plain = source.open
    monkeypatch.setattr(
        source, "open", lambda file, *more: opened.append(file) or plain(file, *more)
    )
    same(lazy[1, :, :, 2], array[1, :, :, 2])
    assert opened == [5]


def test_of_a_long_array_no_more_is_in_memory_than_asked_for(tmp_path):
    """40 MB with a chunk for each pixel's series, of which a frame is asked for."""
    import tracemalloc

    path = tmp_path / "long.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (20_000, 32, 32), "u2", chunks=(20_000, 4, 4))
    with mpimages.open(path) as lazy:
        tracemalloc.start()
        lazy[5_000]
        lazy[::10_000, ::3, 4]
        lazy[:, 3, 3]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 36 << 20


# -- for dask, xarray and napari ------------------------------------------------------------


def test_dask_takes_it(stored):
    import dask.array

    for name in ("movie", "set of files", "chunks", "binary series", "HDF5 series", "Zarr images"):
        path, options, array = stored[name]
        lazy = mpimages.open(path, **options)
        whole = dask.array.from_array(lazy, chunks=lazy.chunks)
        assert whole.chunksize == lazy.chunks
        np.testing.assert_array_equal(whole.compute(scheduler="threads"), array)
        assert whole.name == dask.array.from_array(lazy, chunks=lazy.chunks).name
        np.testing.assert_array_equal(whole[1:4, ::2].compute(), array[1:4, ::2])
    automatic = dask.array.from_array(mpimages.open(stored["movie"][0]))
    np.testing.assert_allclose(automatic.mean(axis=0).compute(), MOVIE.mean(axis=0))


def test_dask_does_not_take_changed_files_for_the_same(tmp_path):
    import dask.array

    np.save(tmp_path / "a.npy", MOVIE)
    first = dask.array.from_array(mpimages.open(tmp_path / "a.npy")).name
    np.save(tmp_path / "a.npy", MOVIE[:, ::-1])
    os.utime(tmp_path / "a.npy", (1, 1))
    assert first != dask.array.from_array(mpimages.open(tmp_path / "a.npy")).name


def test_xarray_takes_it(stored):
    import dask.array
    import xarray

    lazy = mpimages.open(stored["binary series"][0])
    data = xarray.DataArray(dask.array.from_array(lazy), dims=lazy.axes)
    np.testing.assert_allclose(data.mean("time").values, MOVIE.mean(axis=0))
    np.testing.assert_array_equal(data.isel(time=3, row=2).values, MOVIE[3, 2])
    whole = xarray.DataArray(lazy, dims=lazy.axes)
    np.testing.assert_array_equal(whole.values, np.moveaxis(MOVIE, 0, -1))


def test_a_viewer_slices_it(stored):
    """napari asks for the shown plane, with as many indices as there are axes."""
    lazy = mpimages.open(stored["volumes"][0])
    shown = np.asarray(lazy[(np.int64(2), slice(None), slice(None), 1)])
    same(shown, VOLUMES[2, :, :, 1])


# -- what cannot be -------------------------------------------------------------------------


def test_wrong_indices_are_refused(stored):
    lazy = mpimages.open(stored["movie"][0])
    for index in (11, -12, (0, 9), (0, 0, 0, 0), (0, ..., 0, ...), (..., 7)):
        with pytest.raises(IndexError):
            MOVIE[index]
        with pytest.raises(IndexError):
            lazy[index]
    for index in ([1, 2], MOVIE[0] > 3, 1.5, "x", True, np.array([0, 1]), slice(0.5, 2)):
        with pytest.raises(TypeError, match="integers"):
            lazy[index]
    with pytest.raises(TypeError, match="0"):
        iter(lazy).__next__.__call__(0)
    with pytest.raises(ValueError, match="zero"):
        lazy[::0]


def test_wrong_paths_and_options_are_refused(stored, tmp_path):
    with pytest.raises(FileNotFoundError):
        mpimages.open(tmp_path / "none")
    with pytest.raises(ValueError, match="nplanes"):
        mpimages.open(stored["binary series"][0], nplanes=1)
    for name in ("startIdx", "channel"):
        with pytest.raises(ValueError, match=f"{name}=0 is of images"):
            mpimages.open(stored["binary series"][0], **{name: 0})
    with pytest.raises(ValueError, match="layout"):
        mpimages.open(stored["movie"][0], layout="frames")
    with pytest.raises(ValueError, match="selects none"):
        mpimages.open(stored["movie"][0], startIdx=20)
    with pytest.raises(TypeError, match=r"mpimages\.open"):
        mpimages.LocalArray()
    cut = tmp_path / "cut.tif"
    cut.write_bytes(stored["movie"][0].read_bytes()[:900])
    with pytest.raises(FormatError):
        mpimages.open(cut)[...]


def test_the_name_does_not_hide_pythons():
    from builtins import open as python

    names: dict[str, object] = {}
    exec("from mpimages import *", names)
    assert names.get("open", python) is python
    assert "open" in dir(mpimages)


WITHOUT = """
import sys
import numpy as np
import mpimages
for path in sys.argv[1:]:
    lazy = mpimages.open(path)
    np.asarray(lazy[0])
assert "mpi4py" not in sys.modules
heavy = {"dask", "xarray", "scipy", "matplotlib", "mpimages.context", "mpimages.engine.runner"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""


def test_no_mpi_is_started(stored):
    paths = [path for path, options, _ in stored.values() if not options]
    subprocess.run([sys.executable, "-c", WITHOUT, *paths], check=True, timeout=60)
