"""HDF5 through the mpio driver; most of it where h5py has MPI (make test-phdf5)."""

import threading

import h5py
import numpy as np
import pytest
from mpi4py import MPI

from mpimages.writers.hdf5 import mpio
from mpimages.writers.hdf5.chunks import CompressedWriter
from mpimages.writers.hdf5.mpio import MpioWriter
from mpimages.writers.hdf5.writer import Hdf5Writer, hdf5_writer

from ..support.hdf5files import assert_sound, cut, laid_out, load, save, values

HAS_MPI = h5py.get_config().mpi
only_with_mpi = pytest.mark.skipif(not HAS_MPI, reason="this h5py was built without MPI")
SHAPE = (5, 7, 6)


def begin(comm, path, **options):
    return hdf5_writer(comm, str(path), "series", SHAPE, "u2", **options)


@pytest.mark.ranks
def test_the_way_follows_h5py_and_the_environment(comm, shared_path, monkeypatch):
    for number, (given, kind) in enumerate(
        [(None, MpioWriter if HAS_MPI else Hdf5Writer), ("posix", Hdf5Writer)]
    ):
        if given is None:
            monkeypatch.delenv("MPIMAGES_HDF5", raising=False)
        else:
            monkeypatch.setenv("MPIMAGES_HDF5", given)
        writer = begin(comm, shared_path / str(number))
        assert type(writer) is kind
        assert writer.threaded in (True, False)
        writer.close()
        writer = begin(comm, shared_path / f"packed{number}", compression="gzip")
        assert type(writer) is CompressedWriter
        writer.close()


@pytest.mark.parametrize("given", ["MPIO", "", *([] if HAS_MPI else ["mpio"])])
@pytest.mark.ranks
def test_a_way_that_does_not_exist(comm, shared_path, monkeypatch, given):
    if comm.rank == 0:  # whose environment counts
        monkeypatch.setenv("MPIMAGES_HDF5", given)
    with pytest.raises(ValueError, match="MPIMAGES_HDF5"):
        begin(comm, shared_path / "o")
    assert list(shared_path.iterdir()) == []


@only_with_mpi
@pytest.mark.skipif(MPI.get_vendor()[0] != "Open MPI", reason="only Open MPI aborts there")
@pytest.mark.ranks
def test_a_path_that_is_too_long_for_open_mpi(comm, shared_path, monkeypatch):
    path = shared_path / ("a" * 200)
    monkeypatch.delenv("MPIMAGES_HDF5", raising=False)
    writer = begin(comm, path)
    assert type(writer) is Hdf5Writer
    writer.close()
    monkeypatch.setenv("MPIMAGES_HDF5", "mpio")
    with pytest.raises(ValueError, match="too long for Open MPI"):
        begin(comm, shared_path / ("b" * 200))


@only_with_mpi
@pytest.mark.parametrize("chunks", [None, True, (2, 3, 4)])
@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.ranks
def test_both_ways_give_the_same_file(comm, shared_path, monkeypatch, layout, chunks):
    array = values(SHAPE, ">f4")
    paths = [shared_path / way for way in ("mpio", "posix")]
    for path in paths:
        monkeypatch.setenv("MPIMAGES_HDF5", path.name)
        save(
            comm,
            path,
            array,
            range(0, 35, 4),
            layout=layout,
            chunks=chunks,
            metadata={"unit": "µm"},
            attributes={"source": "a.tif"},
        )
        assert_sound(path)
        np.testing.assert_array_equal(load(path)[0], laid_out(array, layout))
    assert paths[0].read_bytes() == paths[1].read_bytes()


@only_with_mpi
@pytest.mark.ranks
def test_pieces_of_a_large_block(comm, shared_path, monkeypatch):
    monkeypatch.setattr(mpio, "PIECE_BYTES", 30)
    array = values(SHAPE)
    save(comm, shared_path / "o", array, [17], layout="series")
    np.testing.assert_array_equal(load(shared_path / "o")[0], array)


def test_a_box_in_pieces(monkeypatch):
    monkeypatch.setattr(mpio, "PIECE_BYTES", 30)
    array = np.arange(3 * 4 * 7, dtype="u2").reshape(1, 3, 4, 7)
    found = np.zeros((2, 5, 6, 9), "u2")
    for corner, part in mpio._pieces((1, 2, 1, 2), array):
        assert part.nbytes <= 30
        assert part.flags.c_contiguous
        place = tuple(slice(a, a + n) for a, n in zip(corner, part.shape, strict=True))
        assert not found[place].any() or corner == (1, 2, 1, 2)
        found[place] = part
    np.testing.assert_array_equal(found[1:2, 2:5, 1:5, 2:9], array)
    assert np.count_nonzero(found) == np.count_nonzero(array)


@only_with_mpi
@pytest.mark.ranks
def test_written_by_a_thread(comm, shared_path):
    """Another thread writes while this one communicates, where the MPI allows it."""
    array = values(SHAPE)
    writer = begin(comm, shared_path / "o")
    assert writer.threaded == (MPI.Query_thread() == MPI.THREAD_MULTIPLE)
    blocks = cut(writer, array, range(35))[comm.rank :: comm.size]

    def work():
        for first, block in blocks:
            writer.write(first, block)

    thread = threading.Thread(target=work)
    if writer.threaded:
        thread.start()
    else:
        work()
    for _ in range(50):  # while the other thread writes
        assert comm.allreduce(1) == comm.size
    if writer.threaded:
        thread.join()
    writer.finish()
    writer.close()
    np.testing.assert_array_equal(load(shared_path / "o")[0], array)


@only_with_mpi
@pytest.mark.ranks
def test_ranks_without_data(comm, shared_path):
    writer = begin(comm, shared_path / "o")
    if comm.rank == comm.size - 1:
        writer.write(0, values(SHAPE).reshape(-1, 6))
    writer.finish()
    np.testing.assert_array_equal(load(shared_path / "o")[0], values(SHAPE))
    assert_sound(shared_path / "o")


def test_only_one_writer_compresses(tmp_path):
    for kind in (Hdf5Writer, MpioWriter):
        with pytest.raises(ValueError, match="hdf5_writer"):
            kind(MPI.COMM_SELF, str(tmp_path / "o"), "s", SHAPE, "u2", compression="gzip")
    with pytest.raises(ValueError, match="hdf5_writer"):
        CompressedWriter(MPI.COMM_SELF, str(tmp_path / "o"), "s", SHAPE, "u2")
    assert list(tmp_path.iterdir()) == []
