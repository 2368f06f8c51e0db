"""What rank 0 sees of the file system, every host must see: here each rank is a host."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from mpimages.engine.session import Session
from mpimages.errors import FormatError
from mpimages.formats.output_names import SEEN
from mpimages.spmd import shared_paths
from mpimages.writers.output import staging

pytestmark = pytest.mark.ranks


@pytest.fixture(autouse=True)
def hosts(comm, tsc, monkeypatch):
    """A host for each rank, and no patience."""
    each = tuple((rank,) for rank in range(comm.size))
    names = tuple(f"h{rank}" for rank in range(comm.size))
    nodes = replace(
        tsc.session.nodes, node=MPI.COMM_SELF, members=each, of=tuple(range(comm.size)), hosts=names
    )
    monkeypatch.setattr(Session, "nodes", nodes)
    monkeypatch.setattr(shared_paths, "PATIENCE", 0)
    monkeypatch.setattr(shared_paths, "PAUSE", 0)


@pytest.fixture
def recording(comm, shared_path):
    """Twenty images in twenty files; rank 0 writes them."""
    directory = shared_path / "in"
    if comm.rank == 0:
        directory.mkdir()
        (directory / "conf.json").write_text('{"shape": [3, 4], "dtype": "uint16"}')
        for i in range(20):
            np.full((3, 4), i, "<u2").tofile(directory / f"image-{i}.bin")
    comm.Barrier()
    return directory


def sees_otherwise(monkeypatch, comm, answer, times=10**6):
    """Let the last rank's host find what `answer` makes of a size, so many times."""
    size, left = shared_paths._size, [times]

    def asked(path):
        if comm.rank == comm.size - 1 and left[0]:
            left[0] -= 1
            return answer(path, size)
        return size(path)

    monkeypatch.setattr(shared_paths, "_size", asked)


def missing(path, size):
    raise FileNotFoundError(2, "No such file or directory", path)


def several(comm):
    if comm.size == 1:
        pytest.skip("there is no other host")
    return f"h{comm.size - 1}"


def test_an_input_that_a_host_does_not_see_is_named_with_the_host(
    comm, tsc, recording, monkeypatch
):
    host = several(comm)
    sees_otherwise(monkeypatch, comm, missing)
    with pytest.raises(FileNotFoundError, match=rf"image-0\.bin is seen on h0, but .* on {host};"):
        tsc.loadImages(recording)


def test_hosts_that_do_not_see_it_are_all_named(comm, tsc, recording, monkeypatch):
    several(comm)
    if comm.rank:
        monkeypatch.setattr(shared_paths, "_size", lambda path: missing(path, None))
    names = ", ".join(f"h{rank}" for rank in range(1, comm.size))
    with pytest.raises(FileNotFoundError, match=f"not seen on {names};"):
        tsc.loadImages(recording)


def test_a_host_that_may_not_look_says_why(comm, tsc, recording, monkeypatch):
    host = several(comm)

    def forbidden(path, size):
        raise PermissionError(13, "Permission denied", path)

    sees_otherwise(monkeypatch, comm, forbidden)
    with pytest.raises(FileNotFoundError, match=rf"not seen on {host} \(Permission denied\)"):
        tsc.loadImages(recording)


def test_a_host_that_sees_it_later_is_waited_for(comm, tsc, recording, monkeypatch):
    monkeypatch.setattr(shared_paths, "PATIENCE", 60)
    sees_otherwise(monkeypatch, comm, missing, times=3)
    assert tsc.loadImages(recording).count() == 20


@pytest.mark.parametrize("change", [-1, 1])
def test_an_input_of_another_size_on_a_host_is_refused(comm, tsc, recording, monkeypatch, change):
    host = several(comm)
    sees_otherwise(monkeypatch, comm, lambda path, size: size(path) + change)
    with pytest.raises(FormatError, match=f"has 24 bytes on h0, but {24 + change} bytes on {host}"):
        tsc.loadImages(recording)


def test_an_input_that_grows_meanwhile_is_none_of_another_size(comm, tsc, shared_path, monkeypatch):
    several(comm)
    path = shared_path / "movie.npy"
    if comm.rank == 0:
        np.save(path, np.zeros((5, 3, 4), np.uint8))
    comm.Barrier()
    size, asked = shared_paths._size, []

    def growing(path):
        asked.append(path)
        return size(path) + (100 if comm.rank or len(asked) > 1 else 0)

    monkeypatch.setattr(shared_paths, "_size", growing)
    assert tsc.loadImages(path).count() == 5


def test_a_series_that_a_host_does_not_see_is_named(comm, tsc, shared_path, monkeypatch):
    host = several(comm)
    tsc.loadExample("fish-images").saveAsBinarySeries(shared_path / "series")
    sees_otherwise(monkeypatch, comm, missing)
    with pytest.raises(FileNotFoundError, match=rf"series-00000\.bin .* not seen on {host};"):
        tsc.loadSeries(shared_path / "series")


SAVES = {
    "a binary series": lambda images, path: images.saveAsBinarySeries(path),
    "series in HDF5": lambda images, path: images.toSeries().saveAsHDF5(path),
    "images in HDF5": lambda images, path: images.saveAsHDF5(path, layout="images"),
    "series in Zarr": lambda images, path: images.saveAsZarr(path, layout="series"),
    "images in Zarr": lambda images, path: images.saveAsZarr(path, compression=None, levels=1),
    "a directory of TIFFs": lambda images, path: images.saveAsTifs(path),
    "one TIFF": lambda images, path: images.saveAsTif(path),
    "PNGs": lambda images, path: images.maxProjection(2).saveAsPngs(path),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_an_output_that_a_host_does_not_see_fails_before_any_work(
    comm, tsc, shared_path, monkeypatch, save
):
    host = several(comm)
    images = tsc.loadExample("fish-images")
    images.count()
    sees_otherwise(monkeypatch, comm, missing)
    monkeypatch.setattr(type(images.records.chain.source), "fill", None)  # no image is computed
    with pytest.raises(FileNotFoundError, match=f"rank 0 made for .*/out .* not seen on {host};"):
        save(images, shared_path / "out")
    assert os.listdir(shared_path) == []


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_nothing_is_left_of_the_look(comm, tsc, shared_path, save):
    save(tsc.loadExample("fish-images"), shared_path / "out")
    comm.Barrier()
    found = [path.name for path in shared_path.rglob("*")]
    assert "out" in found
    assert SEEN not in found


def test_another_directory_of_the_same_name_is_not_the_output(comm, tsc, shared_path, monkeypatch):
    host = several(comm)
    sees_otherwise(monkeypatch, comm, lambda path, size: size(path) + 1)
    with pytest.raises(FileNotFoundError, match=rf"not seen on {host} \(another directory"):
        tsc.loadExample("fish-images").saveAsBinarySeries(shared_path / "out")
    assert os.listdir(shared_path) == []


def test_what_is_to_be_resumed_is_kept_where_a_host_does_not_see_it(
    comm, tsc, shared_path, monkeypatch
):
    several(comm)
    images = tsc.loadExample("mouse-images")
    partial = shared_path / ".out.mpimages-partial"
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("mpimages.conversion.rounds.convert", lambda *given: 1 / 0)
        patch.setattr("mpimages.conversion.saving.convert", lambda *given: 1 / 0)
        images.saveAsBinarySeries(shared_path / "out", resume=True)
    if comm.rank == 0:
        Path(partial, SEEN).write_bytes(b"of a job that was killed")
    with monkeypatch.context() as patch, pytest.raises(FileNotFoundError, match="not seen"):
        sees_otherwise(patch, comm, missing)
        images.saveAsBinarySeries(shared_path / "out", resume=True)
    comm.Barrier()
    assert (partial / "job.json").exists()
    images.saveAsBinarySeries(shared_path / "out", resume=True)
    comm.Barrier()
    assert os.listdir(shared_path) == ["out"]
    assert not (shared_path / "out" / SEEN).exists()


def test_one_host_looks_at_nothing(comm, tsc, shared_path, monkeypatch):
    every = tuple(range(comm.size))
    one = replace(
        tsc.session.nodes, node=tsc.comm, members=(every,), of=(0,) * comm.size, hosts=("h0",)
    )
    monkeypatch.setattr(Session, "nodes", one)
    monkeypatch.setattr(shared_paths, "_size", None)
    monkeypatch.setattr(staging, "create_file", None)
    tsc.loadExample("fish-images").saveAsBinarySeries(shared_path / "out")
    comm.Barrier()
    tsc.loadSeries(shared_path / "out")
    comm.Barrier()


@pytest.mark.parametrize("kind", ["npy", "tif", "hdf5"])
def test_a_file_with_fewer_images_on_a_host_is_refused(comm, tsc, shared_path, monkeypatch, kind):
    """Too many files for each host to look at all: the one who reads it finds out."""
    several(comm)
    movie = np.arange(6 * 3 * 4, dtype=np.uint16).reshape(6, 3, 4)
    ends = {"npy": ".npy", "tif": ".tif", "hdf5": ".h5"}
    for name, content in (("whole", movie), ("fewer", movie[:4])):
        path = shared_path / f"{name}{ends[kind]}"
        if comm.rank == 0:
            if kind == "npy":
                np.save(path, content)
            elif kind == "tif":
                import tifffile

                tifffile.imwrite(path, content, imagej=True, metadata={"axes": "TYX"})
            else:
                import h5py

                with h5py.File(path, "w") as file:
                    file["data"] = content
        comm.Barrier()
    images = tsc.loadImages(shared_path / f"whole{ends[kind]}")
    if comm.rank == comm.size - 1:
        table = images.records.chain.source.paths
        monkeypatch.setattr(
            type(table), "__getitem__", lambda *_: str(shared_path / f"fewer{ends[kind]}")
        )
    with pytest.raises(FormatError, match="has 4 images here and now, but 6 when its"):
        images.toArray()


def test_a_movie_among_many_that_is_another_on_a_host_is_refused(
    comm, tsc, shared_path, monkeypatch
):
    several(comm)
    if comm.rank == 0:
        for i in range(40):
            np.save(shared_path / f"{i:02}.npy", np.full((3, 2, 2), i, np.uint8))
        np.save(shared_path / "other", np.zeros((4, 2, 2), np.uint8))
        os.rename(shared_path / "other.npy", shared_path / "other")
    comm.Barrier()
    images = tsc.loadImages(shared_path, ext="npy")
    if comm.rank == comm.size - 1:
        table = type(images.records.chain.source.paths)
        path = table.__getitem__

        def elsewhere(self, i):
            return str(shared_path / "other") if i == 38 else path(self, i)

        monkeypatch.setattr(table, "__getitem__", elsewhere)
    with pytest.raises(FormatError, match="has 144 bytes here and now, but 140 when its images"):
        images.toArray()
