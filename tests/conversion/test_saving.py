"""What is saved reads back the same, and has the same bytes for any number of ranks."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from mpi4py import MPI

from mpimages import FormatError, ThunderContext

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = pytest.mark.ranks


def contents(path: Path) -> dict[str, bytes]:
    """Every file below a path with its bytes."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


SAVERS = {
    "binary": lambda images, path: images.saveAsBinarySeries(path, blockSize=500),
    "series.h5": lambda images, path: images.saveAsHDF5(path),
    "frames.h5": lambda images, path: images.saveAsHDF5(path, layout="images"),
    "chunks.h5": lambda images, path: images.saveAsHDF5(path, chunks=(2, 3, 4)),
    "frame-chunks.h5": lambda images, path: images.saveAsHDF5(
        path, layout="images", chunks=(4, 3, 5)
    ),
    "series-frames.h5": lambda images, path: images.toSeries().saveAsHDF5(path, layout="images"),
    "series.zarr": lambda images, path: images.saveAsZarr(path, layout="series", shards=600),
    "plain-series.zarr": lambda images, path: images.saveAsZarr(
        path, layout="series", compression=None, chunks=(3, 5, 4), shards=600
    ),
    "frames.zarr": lambda images, path: images.saveAsZarr(path, chunks=(2, 4, 4), levels=2),
    "plain-frames.zarr": lambda images, path: images.saveAsZarr(
        path, compression=None, chunks=(2, 4, 5), shards=300, levels=1
    ),
    "frames-2.zarr": lambda images, path: images.saveAsZarr(path, version=2, levels=1),
    "series-frames.zarr": lambda images, path: images.toSeries().saveAsZarr(path, layout="images"),
    "pngs": lambda images, path: images.saveAsPngs(path),
    "tifs": lambda images, path: images.saveAsTifs(path),
    "binary images": lambda images, path: images.saveAsBinaryImages(path),
}


@pytest.mark.parametrize("kind", SAVERS)
def test_the_bytes_do_not_depend_on_the_ranks(tsc, shared_path, kind):
    array = recording(9, (7, 8), "uint16")
    SAVERS[kind](spread(tsc, array), shared_path / f"all-{kind}")
    if tsc.rank == 0:
        with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
            SAVERS[kind](alone.loadImagesFromArray(array), shared_path / f"one-{kind}")
    tsc.comm.Barrier()
    one, every = (contents(shared_path / f"{who}-{kind}") for who in ("one", "all"))
    assert [n.replace("one-", "") for n in one] == [n.replace("all-", "") for n in every]
    assert list(one.values()) == list(every.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_series_read_back(tsc, shared_path, dtype):
    array = recording(9, (5, 4, 2), dtype)
    series = spread(tsc, array).toTimeSeries()
    expected = np.moveaxis(array, 0, -1).copy()
    series.saveAsBinarySeries(shared_path / "s", blockSize="100")
    series.saveAsHDF5(shared_path / "s.h5")
    series.saveAsHDF5(shared_path / "f.hdf5", dataset="a/b", layout="images", chunks="auto")
    # The same words, here and there: what was begun with one is accepted with the other.
    series.saveAsHDF5(
        shared_path / "f.hdf5", dataset="a/b", layout="images", chunks=True, resume=True
    )
    loaded = [
        tsc.loadSeries(shared_path / "s"),
        tsc.loadSeries(str(shared_path / "s.h5")),
        tsc.loadSeries(shared_path / "f.hdf5", dataset="a/b"),
    ]
    for again in loaded:
        assert again.dims.count == (5, 4, 2)
        assert again.dtype == np.dtype(dtype)
        assert np.array_equal(again.index, range(9))
        assert same_bits(again.toArray(), expected)
        assert same_bits(again[4, 3, 1], expected[4, 3, 1].copy())
    frames = tsc.loadImages(shared_path / "f.hdf5", dataset="a/b")
    assert same_bits(frames.toArray(), array)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
@pytest.mark.parametrize("dims", [(5, 4), (5, 4, 2)])
def test_tifs_read_back(tsc, shared_path, dtype, dims):
    array = recording(9, dims, dtype)
    spread(tsc, array).saveAsTifs(shared_path / "t", filePrefix="frame")
    names = sorted(p.name for p in (shared_path / "t").iterdir() if not p.name.startswith("."))
    assert names == [f"frame-{i:05d}.tif" for i in range(9)]
    assert same_bits(tsc.loadImages(shared_path / "t").toArray(), array)


def test_pngs_of_gray_values(tsc, shared_path):
    array = recording(4, (7, 8), "uint8")
    images = spread(tsc, array).filterOnKeys(lambda key: key != 1)
    images.saveAsPngs(shared_path / "p", vmin=0, vmax=255)
    names = sorted(p.name for p in (shared_path / "p").glob("*.png"))
    assert names == ["export-00000.png", "export-00002.png", "export-00003.png"]
    from matplotlib.cm import ScalarMappable

    mappable = ScalarMappable(cmap="gray")
    mappable.set_clim(0, 255)
    shown = mappable.to_rgba(array[[0, 2, 3]].reshape(-1, 8), bytes=True)[..., 0]
    assert same_bits(tsc.loadImages(shared_path / "p").toArray(), shown.reshape(3, 7, 8).copy())


def test_pngs_share_one_scale(tsc, shared_path):
    array = np.zeros((5, 2, 2), np.float32)
    array[:, 0, 0] = [0, 1, 2, 3, 4]
    array[2, 1, 1] = np.inf
    array[3, 1, 1] = np.nan
    spread(tsc, array).saveAsPngs(shared_path / "p")
    from matplotlib.image import imread

    corner = [imread(shared_path / "p" / f"export-{i:05d}.png")[0, 0] for i in range(5)]
    gray = [np.ravel(value)[0] for value in corner]
    np.testing.assert_allclose(gray, [0, 0.25, 0.5, 0.75, 1], atol=0.01)


def test_one_end_of_a_scale_may_be_the_norms(tsc, shared_path):
    from matplotlib.colors import PowerNorm

    images = spread(tsc, recording(4, (7, 8), "uint8"))
    low = int(images.toArray().min())
    images.saveAsPngs(shared_path / "found", norm=PowerNorm(0.5, vmax=400))
    images.saveAsPngs(shared_path / "given", norm=PowerNorm(0.5, vmin=low, vmax=400))
    pngs = [
        {name: data for name, data in contents(shared_path / each).items() if name.endswith(".png")}
        for each in ("found", "given")
    ]
    assert len(pngs[0]) == 4
    assert pngs[0] == pngs[1]


def test_pngs_need_planes_and_known_options(tsc, shared_path):
    volumes = tsc.loadImagesFromArray(recording(2, (3, 4, 5), "uint8"))
    with pytest.raises(ValueError, match="2-D"):
        volumes.saveAsPngs(shared_path / "p")
    undeclared = volumes.apply(lambda v: v)
    with pytest.raises(ValueError, match="2-D"):
        undeclared.saveAsPngs(shared_path / "p", vmin=0, vmax=1)
    planes = volumes.planes(0)
    with pytest.raises(TypeError, match="interpolation"):
        planes.saveAsPngs(shared_path / "p", interpolation="nearest")
    with pytest.raises(ValueError, match=r"cmap|colormap|known"):
        planes.saveAsPngs(shared_path / "p", cmap="no such map")
    assert list(shared_path.iterdir()) == []


def test_functions_without_declaration_are_saved(tsc, shared_path):
    array = recording(4, (3, 4), "uint8")
    halves = spread(tsc, array).apply(lambda v: v / 2)
    halves.saveAsBinarySeries(shared_path / "b")
    halves.apply(lambda v: v).saveAsHDF5(shared_path / "f.h5", layout="images")
    halves.apply(lambda v: v).saveAsTifs(shared_path / "t")
    means = halves.toSeries().apply(lambda y: y.mean())
    means.saveAsBinarySeries(shared_path / "m")
    series = tsc.loadSeries(shared_path / "b")
    assert same_bits(series.toArray(), np.moveaxis(array / 2, 0, -1).copy())
    assert same_bits(tsc.loadImages(shared_path / "t").toArray(), array / 2)
    assert tsc.loadSeries(shared_path / "m").toArray().shape == (3, 4, 1)


def test_what_the_files_say(tsc, shared_path):
    array = recording(9, (7, 8), "uint16")
    images = spread(tsc, array).filterOnKeys(lambda key: key > 3)
    images.metadata["unit"] = "um"
    images.saveAsBinarySeries(shared_path / "b", blockSize=50)
    conf = json.loads((shared_path / "b" / "conf.json").read_text())
    assert conf["shape"] == [7, 8, 5]
    assert conf["dtype"] == "uint16"
    assert conf["index"] == [4, 5, 6, 7, 8]
    assert conf["metadata"] == {"unit": "um"}
    assert (shared_path / "b" / "SUCCESS").read_bytes() == b""
    raw = b"".join((shared_path / "b" / f["name"]).read_bytes() for f in conf["files"])
    assert raw == np.moveaxis(array[4:], 0, -1).astype("<u2").tobytes()
    assert np.array_equal(tsc.loadSeries(shared_path / "b").index, [4, 5, 6, 7, 8])
    images.saveAsHDF5(shared_path / "s.h5")
    with h5py.File(shared_path / "s.h5", "r", locking=False) as file:
        assert file["series"].shape == (7, 8, 5)
        assert list(file["series"].attrs["index"]) == [4, 5, 6, 7, 8]
    tsc.comm.Barrier()
    assert tsc.loadSeries(shared_path / "s.h5").metadata["unit"] == "um"


def test_hdf5_names_its_inputs(tsc, shared_path):
    array = recording(3, (4, 5), "uint8")
    tsc.loadImagesFromArray(array).saveAsTifs(shared_path / "t")
    tsc.comm.Barrier()
    images = tsc.loadImages(shared_path / "t", startIdx=1, inputFormat="tif")
    images.toTimeSeries().normalize().saveAsHDF5(shared_path / "s.h5")
    with h5py.File(shared_path / "s.h5", "r", locking=False) as file:
        inputs = json.loads(file["series"].attrs["inputs"])
        options = json.loads(file["series"].attrs["options"])
    assert inputs == {"count": 3, "names": [f"export-{i:05d}.tif" for i in range(3)]}
    assert options["startIdx"] == 1
    assert options["inputFormat"] == "tif"


def test_a_series_can_be_mapped(tsc, shared_path):
    array = recording(9, (7, 8, 2), "int16")
    spread(tsc, array).saveAsBinarySeries(shared_path / "b")
    mapped = np.memmap(shared_path / "b" / "series-00000.bin", "<i2", "r", shape=(7, 8, 2, 9))
    assert np.array_equal(mapped, np.moveaxis(array, 0, -1))


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "series.h5", "pngs", "tifs"])
def test_nothing_is_replaced_unasked(tsc, shared_path, kind):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    SAVERS[kind](images, shared_path / kind)
    before = contents(shared_path / kind)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        SAVERS[kind](images, shared_path / kind)
    assert contents(shared_path / kind) == before


def test_overwrite_replaces_what_mpimages_wrote_and_nothing_else(tsc, shared_path):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    images.saveAsBinarySeries(shared_path / "b")
    tsc.comm.Barrier()
    doubled = images.apply(lambda v: v * 2.0)
    doubled.saveAsBinarySeries(shared_path / "b", overwrite=True)
    assert tsc.loadSeries(shared_path / "b").dtype == np.float64
    if tsc.rank == 0:
        (shared_path / "b" / "notes.txt").write_text("mine")
        (shared_path / "home").mkdir()
        (shared_path / "home" / "thesis.tex").write_text("mine")
    tsc.comm.Barrier()
    for path in ("b", "home"):
        with pytest.raises(FileExistsError, match=r"notes|thesis"):
            images.saveAsBinarySeries(shared_path / path, overwrite=True)
    assert (shared_path / "home" / "thesis.tex").read_text() == "mine"


def test_a_failure_leaves_nothing(tsc, shared_path):
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "uint8"))

    def fail(value):
        raise ZeroDivisionError("of my own")

    broken = images.apply(fail, (4, 5), "uint8")
    for kind in SAVERS:
        with pytest.raises(ZeroDivisionError):
            SAVERS[kind](broken, shared_path / kind)
    tsc.comm.Barrier()
    assert list(shared_path.iterdir()) == []


def test_a_missing_parent(tsc, shared_path):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    with pytest.raises(FileNotFoundError):
        images.saveAsBinarySeries(shared_path / "no" / "such")


def test_an_unfinished_series_is_not_loaded(tsc, shared_path):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "uint8"))
    images.saveAsBinarySeries(shared_path / "b")
    tsc.comm.Barrier()
    if tsc.rank == 0:
        os.remove(shared_path / "b" / "SUCCESS")
    tsc.comm.Barrier()
    with pytest.raises(FormatError, match="SUCCESS"):
        tsc.loadSeries(shared_path / "b")
