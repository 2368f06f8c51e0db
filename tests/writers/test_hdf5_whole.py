"""HDF5 files that are unfinished can be taken up; and their checksums."""

import errno
import itertools
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages import FormatError
from mpimages.writers.hdf5 import file_object
from mpimages.writers.hdf5.file_object import FileObject, open_file
from mpimages.writers.hdf5.writer import hdf5_writer
from mpimages.writers.output import piece_sums
from mpimages.writers.output.staging import staged

from ..support.hdf5files import assert_sound, cut, laid_out, load, save, values

SHAPE = (5, 7, 6)


def begin(comm, path, **changes):
    arguments = {"dataset": "series", "shape": SHAPE, "dtype": "u2"} | changes
    return hdf5_writer(comm, str(path), **arguments)


@pytest.mark.ranks
def test_a_rank_that_did_not_write_is_noticed(comm, shared_path):
    writer = begin(comm, shared_path / "o.h5")
    blocks = cut(writer, values(SHAPE), range(35))
    for first, block in blocks[comm.rank + 1 :: comm.size]:
        writer.write(first, block)
    with pytest.raises(RuntimeError, match="internal error"):
        writer.finish()
    writer.close()


@pytest.mark.parametrize("as_images", [False, True])
@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("chunks", [None, True, (2, 3, 4)])
@pytest.mark.ranks
def test_checksums_are_of_the_values_in_the_datasets_order(
    comm, shared_path, monkeypatch, chunks, layout, as_images
):
    if as_images and layout == "series":
        pytest.skip("images go into a dataset of images")
    monkeypatch.setattr(piece_sums, "LEAST_PIECE", 64)
    array = np.random.default_rng(1).integers(0, 9999, SHAPE).astype(">i4")
    for cuts in [(), range(35), (4, 5, 19)]:
        path = shared_path / f"{len(cuts)}.h5"
        save(comm, path, array, cuts, as_images, layout=layout, chunks=chunks)
        assert_sound(path)
        np.testing.assert_array_equal(load(path)[0], laid_out(array, layout))
        assert path.read_bytes() == (shared_path / "0.h5").read_bytes()


@given(st.data())
def test_two_jobs_give_the_file_of_one(tmp_path_factory, data):
    layout = data.draw(st.sampled_from(["series", "images"]))
    chunks = data.draw(st.sampled_from([None, True, (2, 3, 4), (1, 1, 1)]))
    cuts = data.draw(st.lists(st.integers(0, 35)))
    home = tmp_path_factory.mktemp("jobs")
    array = values(SHAPE, "f4")
    save(MPI.COMM_SELF, home / "one", array, [], layout=layout, chunks=chunks)
    options = {"dtype": "f4", "layout": layout, "chunks": chunks}
    first_job = begin(MPI.COMM_SELF, home / "two", **options)
    blocks = cut(first_job, array, cuts)
    kept = []
    for first, block in blocks[::2]:
        first_job.write(first, block)
        kept.append(first_job.take_fragments())
    for first, block in blocks[1:2]:  # was on its way when the job was killed
        first_job.write(first, block[: len(block) // 2])
    first_job.close()
    second_job = begin(MPI.COMM_SELF, home / "two", resume=True, **options)
    for rows in kept:
        second_job.add_fragments(rows)
    for first, block in blocks[1::2]:
        second_job.write(first, block)
    second_job.finish()
    second_job.close()
    assert (home / "two").read_bytes() == (home / "one").read_bytes()


@pytest.mark.ranks
def test_a_job_of_other_ranks_takes_it_up(comm, shared_path):
    array = values(SHAPE)
    path = shared_path / "o.h5"
    kept = None
    if comm.rank == 0:
        alone = begin(MPI.COMM_SELF, path, resume=True)  # there is nothing yet: it begins
        alone.write(0, array.reshape(-1, 6)[:11])
        kept = alone.take_fragments()
        alone.close()
    comm.Barrier()
    writer = begin(comm, path, resume=True)
    if kept is not None:
        writer.add_fragments(kept)
    blocks = cut(writer, array, range(11, 35))
    for first, block in blocks[1 + comm.rank :: comm.size]:
        writer.write(first, block)
    writer.finish()
    writer.close()
    np.testing.assert_array_equal(load(path)[0], array)
    assert_sound(path)


def test_a_job_killed_after_the_end_can_be_taken_up(tmp_path):
    path = tmp_path / "o.h5"
    writer = begin(MPI.COMM_SELF, path)
    writer.write(0, values(SHAPE).reshape(-1, 6))
    kept = writer.take_fragments()
    writer.finish()
    writer.close()
    before = path.read_bytes()
    again = begin(MPI.COMM_SELF, path, resume=True)
    again.add_fragments(kept)
    again.finish()
    again.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "other"}, "no dataset 'other'"),
        ({"shape": (5, 7, 8)}, "shape"),
        ({"dtype": "i2"}, "dtype"),
        ({"chunks": (2, 3, 4)}, "chunks"),
        ({"layout": "images"}, "shape"),
        ({"index": range(1, 7)}, "index"),
        ({"metadata": {"unit": "m"}}, "metadata"),
        ({"attributes": {"source": "b"}}, "attributes"),
    ],
)
@pytest.mark.ranks
def test_what_was_begun_otherwise_is_not_taken_up(comm, shared_path, changes, message):
    path = shared_path / "o.h5"
    begin(comm, path).close()
    comm.Barrier()
    before = path.read_bytes()
    comm.Barrier()
    with pytest.raises(ValueError, match=f"o.h5 cannot be taken up: .*{message}"):
        begin(comm, path, resume=True, **changes)
    assert path.read_bytes() == before


@pytest.mark.parametrize("size", [0, 100, 600])
@pytest.mark.ranks
def test_a_damaged_file_is_made_anew(comm, shared_path, size):
    path = shared_path / "o.h5"
    begin(comm, path, shape=(100, 100)).close()
    whole = path.read_bytes()
    comm.Barrier()
    if comm.rank == 0:
        os.truncate(path, size)
    comm.Barrier()
    begin(comm, path, shape=(100, 100), resume=True).close()
    assert path.read_bytes() == whole


def test_what_a_killed_beginning_left_is_replaced(tmp_path):
    with pytest.raises(KeyboardInterrupt), staged(MPI.COMM_SELF, tmp_path / "o", "hdf5") as where:
        # pretend that the job was killed while it created the file
        open(where + ".mpimages-tmp", "wb").close()
        begin(MPI.COMM_SELF, where, resume=True).close()
        assert os.listdir(os.path.dirname(where)).count("o.mpimages-tmp") == 0
        open(where + ".mpimages-tmp", "wb").close()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_the_files_name(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_object.os, "pwrite", full)
    with pytest.raises(OSError, match="No space left") as caught:
        begin(MPI.COMM_SELF, tmp_path / "o.h5")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename.startswith(str(tmp_path / "o.h5"))
    assert list(tmp_path.iterdir()) == []


def test_an_index_for_a_dataset_without_one(tmp_path):
    writer = begin(MPI.COMM_SELF, tmp_path / "o.h5")
    assert writer.take_index().shape == (0, 7)
    writer.add_index(writer.take_index())
    with pytest.raises(ValueError, match="needs none"):
        writer.add_index(np.zeros((1, 7), np.int64))
    writer.close()


def test_a_file_object_reads_what_was_written_anywhere(tmp_path):
    path = str(tmp_path / "h")
    raw = FileObject(path, create=True)
    content = bytes(range(28))
    for size in range(1, len(content)):
        raw.truncate(0)
        for start in range(0, len(content), size):
            raw.seek(start)
            part = content[start : start + size]
            assert raw.write(part) == len(part)
        with open(path, "rb") as file:
            assert file.read() == content
        for start, stop in itertools.combinations(range(len(content) + 1), 2):
            raw.seek(start)
            buffer = bytearray(stop - start)
            assert raw.readinto(buffer) == stop - start
            assert buffer == content[start:stop]
            assert raw.tell() == stop
    assert raw.seek(-1, os.SEEK_END) == len(content) - 1
    assert raw.seek(-1, os.SEEK_CUR) == len(content) - 2
    raw.close()
    raw.close()


def test_what_hdf5_cannot_open(tmp_path):
    (tmp_path / "h").write_bytes(bytes(1000))
    with (
        pytest.raises(FormatError, match="cannot open what was begun"),
        open_file(str(tmp_path / "h"), "r"),
    ):
        pass
