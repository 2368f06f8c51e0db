"""The doctor: what it says of good and of bad installations, jobs and file systems."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from mpimages import FormatError
from mpimages.doctor import Finding, examine, job, software, storage

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
fs /home/big\\040disk lustre rw,flock 0 0
tmpfs /ho tmpfs rw 0 0
over / overlay rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/someone/data", ("nfs4", "/home")),
        ("/home", ("nfs4", "/home")),
        ("/homes", ("overlay", "/")),
        ("/home/big disk/x", ("lustre", "/home/big disk")),
        ("/ho/x", ("tmpfs", "/ho")),
    ],
)
def test_the_file_system_of_a_path(tmp_path, path, expected):
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    assert storage.file_system(path, str(table)) == expected


def test_a_system_that_does_not_say(tmp_path):
    assert storage.file_system("/home", str(tmp_path / "none")) == ("unknown", "")


def test_findings_as_text():
    assert str(Finding("MPI", "ok", "there")) == "ok       MPI          there"
    assert str(Finding("MPI", "problem", "gone", "install it")).endswith("-> install it")


def test_what_is_broken_does_not_hide_the_rest():
    def broken() -> Finding:
        raise ImportError("no libhdf5.so")

    found = software._tried("h5py", broken)
    assert found.status == "problem"
    assert "libhdf5" in found.text
    assert found.cure


def test_ranks_with_other_versions():
    one, other = Finding("NumPy", "ok", "2.0"), Finding("NumPy", "ok", "2.1")
    assert software._compared((one, one)) == one
    found = software._compared((one, one, other))
    assert found.status == "problem"
    assert "rank 2: 2.1" in found.text


PLACE = job._Place("a", 0, frozenset({0, 1}), 1, 10**10, job.NO_LIMIT, 10**10)


def test_more_ranks_than_cores():
    two = [PLACE, PLACE]
    assert job._cores(two).status == "ok"
    crowded = job._cores([*two, PLACE])
    assert crowded.status == "note"
    assert "3 ranks on a share 2 cores" in crowded.text
    # bound to the same core, though the node has others
    bound = replace(PLACE, cores=frozenset({0}))
    assert "share 1 core" in job._cores([bound, bound]).text
    elsewhere = replace(bound, node=1, host="b")
    assert job._cores([bound, elsewhere]).status == "ok"


def test_memory_and_shared_memory():
    assert job._memory([PLACE], 10**9).status == "ok"
    assert job._memory([replace(PLACE, limit=10**8)], 10**7).status == "note"
    small = replace(PLACE, shared=64 << 20)
    assert job._shared_memory([PLACE, small]).status == "note"
    assert job._shared_memory([small]).status == "ok"
    assert "missing" in job._shared_memory([replace(PLACE, shared=None)]).text


def test_nodes():
    assert job._ranks([PLACE]).text == "1 rank on 1 node (a)"
    places = [PLACE, PLACE, replace(PLACE, node=2)]
    assert "3 ranks on 2 nodes, 1 to 2 on each" in job._ranks(places).text


# -- on all ranks --------------------------------------------------------------------------


def by_topic(findings):
    return {finding.topic: finding for finding in findings}


@pytest.mark.ranks
def test_a_sound_job(comm, shared_path):
    found = examine(comm, str(shared_path))
    assert all(str(one) for one in found)
    assert {one.topic for one in found if one.status == "problem"} == set()
    assert comm.allgather(found) == [found] * comm.size
    assert os.listdir(shared_path) == []


@pytest.mark.ranks
@pytest.mark.mpi(min_size=2)
def test_a_directory_that_some_ranks_do_not_see(comm, shared_path, monkeypatch):
    if comm.rank == 1:
        monkeypatch.setattr(storage.os.path, "isdir", lambda path: False)
    found = by_topic(examine(comm, str(shared_path)))
    assert found["shared"].status == "problem"
    assert f"1 of {comm.size} ranks" in found["shared"].text
    assert "rank 1 on" in found["shared"].text
    assert "series" not in found
    comm.Barrier()
    assert os.listdir(shared_path) == []


@pytest.mark.ranks
def test_a_file_system_that_gives_back_other_bytes(comm, shared_path, monkeypatch):
    right = storage.verify

    def damaged(path):
        if path.endswith(".h5"):
            raise FormatError(f"{path}: damaged")
        found = right(path)
        return replace(found, problems=("byte 7 is wrong",))

    monkeypatch.setattr(storage, "verify", damaged)
    found = by_topic(examine(comm, str(shared_path)))
    assert found["series"].status == found["HDF5"].status == "problem"
    assert "byte 7" in found["series"].text
    assert "damaged" in found["HDF5"].text
    assert os.listdir(shared_path) == []


@pytest.mark.ranks
def test_a_disk_that_is_full(comm, shared_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if comm.rank == comm.size - 1:
        monkeypatch.setattr("mpimages.writers.binaryseries.BinarySeriesWriter.write", full)
    found = by_topic(examine(comm, str(shared_path)))
    assert found["series"].status == "problem"
    assert "No space left" in found["series"].text
    assert found["HDF5"].status == "ok"
    comm.Barrier()
    assert os.listdir(shared_path) == []


@pytest.mark.ranks
def test_places_where_nothing_can_be_written(comm, shared_path, monkeypatch):
    file = shared_path / "file"
    if comm.rank == 0:
        file.touch()
    comm.Barrier()
    assert by_topic(examine(comm, str(file)))["path"].status == "problem"
    monkeypatch.setattr(storage.tempfile, "mkdtemp", lambda **_: os.mkdir("/proc/none"))
    found = by_topic(examine(comm, str(shared_path)))["path"]
    assert found.status == "problem"
    assert "cannot be written" in found.text


def test_locks_that_are_unavailable_or_without_effect(tmp_path, monkeypatch):
    assert storage._locks(str(tmp_path)).status == "ok"

    def unavailable(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(storage.fcntl, "flock", unavailable)
    assert "No locks available" in storage._locks(str(tmp_path)).text
    monkeypatch.setattr(storage.fcntl, "flock", lambda *_: None)
    assert "no effect" in storage._locks(str(tmp_path)).text
