"""Binned and repaired recordings in every output: within budgets, planned, resumed, reported."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from mpimages import ThunderContext

from ..support.data import recording, same_bits, spread

pytestmark = pytest.mark.ranks

COUNT, DIMS = 48, (12, 10)


@pytest.fixture
def movie(comm, shared_path):
    """A movie of 48 images, and its path."""
    array = recording(COUNT, DIMS, "uint16")
    path = shared_path / "movie.tif"
    if comm.rank == 0:
        tifffile.imwrite(path, array, photometric="minisblack", metadata={"axes": "TYX"})
    comm.barrier()
    return array, path


def means(array, n):
    """Exact means, rounded once."""
    return array.reshape(-1, n, *array.shape[1:]).mean(axis=1, dtype="f8").astype("f4")


@pytest.mark.parametrize(("memory", "way"), [("1GB", "share"), ("9kB", "frames")])
@pytest.mark.parametrize("name", ["s", "s.h5", "c.h5", "f.h5"])
def test_every_way_to_series(comm, movie, shared_path, memory, way, name):
    array, path = movie
    with ThunderContext(comm, memory=memory) as tsc:
        images = tsc.loadImages(str(path), nplanes=1).timeBin(3)
        if comm.size == 1:
            assert images.plan().way == way
        out = str(shared_path / name)
        if name == "s":
            images.saveAsBinarySeries(out)
        else:
            images.saveAsHDF5(
                out,
                layout="images" if name[0] == "f" else "series",
                chunks=(3, 4, 5) if name[0] == "c" else None,
            )
    with ThunderContext(comm, memory="1GB") as tsc:
        assert same_bits(tsc.loadSeries(out).pack(), means(array, 3))


def test_the_plan_tells_what_is_read(tsc, movie):
    _, path = movie
    images = tsc.loadImages(str(path), nplanes=1)
    plan = images.timeBin(3).plan()
    assert plan.bytesRead == images.plan().bytesRead == path.stat().st_size
    assert plan.bytesWritten == 16 * 12 * 10 * 4


@pytest.mark.parametrize("kind", ["Tif", "Tifs", "Pngs"])
def test_pictures(tsc, comm, movie, shared_path, kind):
    array, path = movie
    out = shared_path / ("bins.tif" if kind == "Tif" else "bins")
    getattr(tsc.loadImages(str(path), nplanes=1).timeBin(12), f"saveAs{kind}")(str(out))
    if kind == "Tif":
        assert same_bits(tifffile.imread(out), means(array, 12))
    else:
        assert len(list(out.glob("export-*"))) == 4
        if kind == "Tifs":
            assert same_bits(tifffile.imread(out / "export-00003.tif"), means(array, 12)[3])


def test_a_report_names_the_first_image_of_a_bin(tsc, movie, shared_path):
    _, path = movie
    images = tsc.loadImages(str(path), nplanes=1).subtract(100).timeBin(4)
    found = images.report(str(shared_path / "report.html"))
    assert found["recording"]["steps"] == ["subtract", "timeBin"]
    assert found["recording"]["images"] == 12
    from mpimages.report.description import describe

    known = images.records.begin("report")[1]
    assert describe(known, {}).where(5)["page"] == 20


def fingerprint(images):
    """What tells a job from others, of a Series of these images."""
    from mpimages.conversion.fingerprint import Fingerprint

    found = Fingerprint(*images.toSeries().records.begin("test"))
    found.ask()
    return found.describe()


def test_jobs_with_other_repairs_are_told_apart(tsc, movie):
    _, path = movie
    images, dark = tsc.loadImages(str(path), nplanes=1), np.ones(DIMS)
    other = dark.copy()
    other[3, 3] = 1.5
    bad = dark == 0
    worse = other != 1
    made = [
        images,
        images.subtract(1),
        images.subtract(1.0),
        images.subtract(2),
        images.subtract(dark),
        images.subtract(other),
        images.correctDetector(dark),
        images.correctDetector(other),
        images.correctDetector(flat=other),
        images.correctDetector(bad=bad),
        images.correctDetector(bad=worse),
        images.correctDetector(dark, bad=bad),
        images.correctDetector(dark, bad=worse),
        images.timeBin(2),
        images.timeBin(3),
        images.timeBin(2, "sum"),
        images.timeBin(2).timeBin(2),
        images.timeBin(4),
        images.subtract(1).timeBin(2),
        images.timeBin(2).subtract(1),
        images.filterOnKeys(lambda key: key > 1).timeBin(2),
        images.apply(np.square, DIMS, "uint16").timeBin(2),
        images.apply(np.sqrt, DIMS, "uint16").timeBin(2),
    ]
    found = [str(fingerprint(one)) for one in made]
    assert len(set(found)) == len(made)
    assert all("files" in fingerprint(one) for one in made[-3:])


def test_records_in_memory_are_told_apart_by_their_values(tsc):
    array = recording(12, (4, 5), "uint16")
    first = fingerprint(spread(tsc, array, 1).timeBin(3))
    assert first == fingerprint(spread(tsc, array, 2).timeBin(3))
    array[5, 2, 2] += 1
    assert first != fingerprint(spread(tsc, array, 1).timeBin(3))


def test_another_dark_is_not_resumed(tsc, comm, movie, shared_path, monkeypatch):
    from mpimages.writers.binaryseries import BinarySeriesWriter

    _, path = movie
    images, out = tsc.loadImages(str(path), nplanes=1), str(shared_path / "series")
    dark = np.ones(DIMS)

    def fail(self):
        raise RuntimeError("the power is off")

    with monkeypatch.context() as patched:
        patched.setattr(BinarySeriesWriter, "finish", fail)
        with pytest.raises(RuntimeError, match="power"):
            images.correctDetector(dark).timeBin(2).saveAsBinarySeries(out, resume=True)
    with pytest.raises(FileExistsError, match=r"changed.*cannot be resumed"):
        images.correctDetector(dark + 1).timeBin(2).saveAsBinarySeries(out, resume=True)
    images.correctDetector(dark).timeBin(2).saveAsBinarySeries(out, resume=True)
    with pytest.raises(FileExistsError, match="other values"):
        images.correctDetector(dark + 1).timeBin(2).saveAsBinarySeries(out, resume=True)
