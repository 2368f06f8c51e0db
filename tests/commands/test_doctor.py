"""The doctor: what it says of good and of bad installations, jobs and file systems."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from mpimages import FormatError
from mpimages.doctor import Finding, examine, job, mounts, software, storage
from mpimages.doctor.mounts import Mount, look_at_caches, look_at_locks

MOUNTS = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:5 / /proc rw - proc proc rw
torn
23 21 0:40 / /home rw,relatime shared:9 master:2 - nfs4 server:/home rw,vers=4.2,local_lock=none
24 23 0:41 / /home/big\\040disk rw - lustre 10.0.0.1@tcp:/fs rw,flock
25 21 0:42 / /ho rw - tmpfs tmpfs rw
26 21 0:43 / / rw - overlay over rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/someone/data", ("NFS v4.2", "/home", "server:/home")),
        ("/home", ("NFS v4.2", "/home", "server:/home")),
        ("/homes", ("overlay", "/", "over")),
        ("/home/big disk/x", ("lustre", "/home/big disk", "10.0.0.1@tcp:/fs")),
        ("/ho/x", ("tmpfs", "/ho", "tmpfs")),
    ],
)
def test_the_file_system_of_a_path(tmp_path, path, expected):
    table = tmp_path / "mounts"
    table.write_text(MOUNTS)
    found = mounts.find_mount(path, str(table))
    assert (found.name, found.where, found.source) == expected


def test_a_system_that_does_not_say(tmp_path):
    assert mounts.find_mount("/home", str(tmp_path / "none")) == Mount()
    assert mounts.find_mount(str(tmp_path)).kind != "unknown"


def mounted(kind, *options):
    return Mount(kind, "/data", "server:/data", ("rw", "relatime", *options))


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        (mounted("nfs", "vers=3", "nolock", "local_lock=all"), "nolock"),
        (mounted("nfs", "vers=3", "local_lock=flock"), "local_lock=flock"),
        (mounted("nfs", "vers=3", "local_lock=posix"), None),  # flock goes to the server
        (mounted("nfs", "vers=3", "local_lock=none"), None),
        (mounted("nfs4", "vers=4.2", "nolock"), None),  # which NFS v4 ignores
        (mounted("nfs", "vers=4.1", "local_lock=all"), None),
        (mounted("lustre", "flock"), None),
        (mounted("lustre", "localflock"), "localflock"),
        (mounted("lustre", "noflock"), "noflock"),
        (mounted("beegfs", "cfgFile=/none"), None),
        (mounted("ext4"), None),
    ],
)
def test_mounts_whose_locks_hold_on_one_host(mount, why):
    found = look_at_locks(mount, 2)
    if why is None:
        assert found is None
    else:
        assert found.status == "note"
        assert why in found.text


@pytest.mark.parametrize(("value", "local"), [("false", True), ("true", False), (None, True)])
def test_the_locks_of_beegfs_are_told_by_its_configuration(tmp_path, value, local):
    file = tmp_path / "client.conf"
    text = f"#tuneUseGlobalFileLocks = true\n{value and f'tuneUseGlobalFileLocks = {value}'}\n"
    file.write_text(text)
    assert (look_at_locks(mounted("beegfs", f"cfgFile={file}"), 1) is not None) == local


def test_what_caches_of_nfs_may_do():
    assert look_at_caches(mounted("ext4"), 2) is None
    assert look_at_caches(mounted("nfs", "vers=3", "noac"), 2) is None
    assert look_at_caches(mounted("nfs4", "acdirmax=0"), 2) is None
    assert look_at_caches(mounted("nfs4", "vers=4.2"), 1).status == "ok"
    found = look_at_caches(mounted("nfs4", "vers=4.2", "acdirmin=5", "acdirmax=600"), 2)
    assert found.status == "note"
    assert "600 s" in found.text
    assert "60 s" in look_at_caches(mounted("nfs4", "vers=4.2"), 2).text


LUSTRE = """\
/data
stripe_count:  1 stripe_size:   1048576 pattern:       raid0 stripe_offset: -1
"""
LUSTRE_IN_PARTS = """\
/data
  lcm_layout_gen:    0
    lcme_extent.e_end:   4194304
      stripe_count:  1       stripe_size:   1048576       pattern:       raid0
    lcme_extent.e_end:   EOF
      stripe_count:  -1       stripe_size:   4194304       pattern:       raid0
"""
BEEGFS = """\
Entry type: directory
Stripe pattern details:
+ Type: RAID0
+ Chunksize: 512K
+ Number of storage targets: desired: 4
"""


@pytest.mark.parametrize(
    ("kind", "command", "prints", "expected"),
    [
        ("lustre", "lfs", LUSTRE, "stripes: 1 × 1 MiB"),
        ("lustre", "lfs", LUSTRE_IN_PARTS, "stripes: 1 × 1 MiB, then all servers × 4 MiB"),
        ("beegfs", "beegfs-ctl", BEEGFS, "stripes: 4 × 512K"),
        ("lustre", "lfs", "no such thing", ""),
        ("ext4", "lfs", LUSTRE, ""),
        ("lustre", "another", LUSTRE, ""),
    ],
)
def test_stripes_are_what_the_file_system_tells(
    tmp_path, monkeypatch, kind, command, prints, expected
):
    answer = tmp_path / "answer"
    answer.write_text(prints)
    put_command(tmp_path, monkeypatch, command, f"exec /bin/cat '{answer}'")
    assert mounts.stripes(mounted(kind), "/data") == expected


@pytest.mark.parametrize("does", ["exit 1", "exec /usr/bin/tail -f /dev/null"])
def test_a_command_that_fails_or_hangs_tells_nothing(tmp_path, monkeypatch, does):
    put_command(tmp_path, monkeypatch, "lfs", does)
    monkeypatch.setattr(mounts, "COMMAND_SECONDS", 0.2)
    assert mounts.stripes(mounted("lustre"), "/data") == ""


def put_command(directory, monkeypatch, name, does):
    file = directory / name
    file.write_text(f"#!/bin/sh\n{does}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


def test_blocks_of_gpfs_are_those_of_the_system(tmp_path):
    assert mounts.stripes(mounted("gpfs"), str(tmp_path)).startswith("blocks of ")
    assert mounts.stripes(mounted("gpfs"), str(tmp_path / "none")) == ""


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


# -- hosts: each rank counts as one ----------------------------------------------------------


@pytest.fixture
def apart(monkeypatch):
    monkeypatch.setattr(storage, "_leads", lambda context: True)


several = pytest.mark.mpi(min_size=2)


@pytest.mark.ranks
@several
def test_a_lock_is_tried_from_the_other_hosts(comm, shared_path, monkeypatch, apart):
    found = by_topic(examine(comm, str(shared_path)))["locks"]
    assert (found.status, "holds on the other hosts" in found.text) == ("ok", True)
    if comm.rank == 1:
        monkeypatch.setattr(storage.fcntl, "flock", lambda *_: None)
    found = by_topic(examine(comm, str(shared_path)))["locks"]
    assert (found.status, "one host only" in found.text) == ("note", True)
    comm.Barrier()
    assert os.listdir(shared_path) == []


@pytest.mark.ranks
@several
@pytest.mark.parametrize(
    ("others", "status"),
    [
        (mounted("nfs4", "vers=4.2"), None),
        (mounted("nfs4", "vers=4.2", "noac"), "note"),
        (Mount("tmpfs", "/data", "tmpfs", ("rw",)), "problem"),
        (Mount("nfs4", "/data", "other:/data", ("rw", "vers=4.2")), "problem"),
        (Mount("nfs4", "/somewhere", "server:/data", ("ro", "vers=4.2")), "note"),
    ],
)
def test_hosts_that_have_mounted_something_else(
    comm, shared_path, monkeypatch, apart, others, status
):
    mount = mounted("nfs4", "vers=4.2") if comm.rank == 0 else others
    monkeypatch.setattr(storage, "find_mount", lambda path: mount)
    found = by_topic(examine(comm, str(shared_path)))
    assert (found["hosts"].status if "hosts" in found else None) == status
    assert found["caches"].status == "note"
    assert "NFS v4.2 of server:/data" in found["path"].text
    comm.Barrier()
