"""Outputs are whole or absent, whenever a job is killed; and nothing foreign is removed."""

import builtins
import contextlib
import errno
import itertools
import json
import os
import re
import stat
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpimages.writers.binaryseries import BinarySeriesWriter
from mpimages.writers.hdf5.writer import Hdf5Writer
from mpimages.writers.output import ownership
from mpimages.writers.output.files import OutputFiles, create_file, write_all
from mpimages.writers.output.staging import resumable, staged
from mpimages.writers.pictures import PictureWriter
from mpimages.writers.png import ImshowMapping, write_png
from mpimages.writers.tif.images import write_tif

from ..support.zarrtrees import plain_zarr

KINDS = ("binaryseries", "hdf5", "png", "tif", "zarr")
SHAPE = (2, 3, 4)


class Alone:
    """One rank that needs no MPI: for processes that are killed, and for tests of rank 0."""

    rank, size = 0, 1

    def Iallreduce(self, *args, **options):
        return self

    def Test(self):
        return True

    def Barrier(self):
        pass

    def bcast(self, value, root=0):
        return value

    def allreduce(self, value):
        return value

    def gather(self, value, root=0):
        return [value]


def write_output(comm, path, kind, value, overwrite=False, fail=None):
    """An output of `kind` that holds `value` everywhere, each rank writing its share."""
    block = np.full((1, SHAPE[-1]), value, np.uint8)
    with staged(comm, path, kind, overwrite, action=f"test of {kind}") as where:
        if kind == "zarr":
            write_tree(comm, Path(where), plain_zarr(SHAPE, value))
            if fail is not None:
                fail(where)
            return
        if kind == "binaryseries":
            writer = BinarySeriesWriter(comm, where, SHAPE, "u1", range(4), {}, 8)
        elif kind == "hdf5":
            writer = Hdf5Writer(comm, where, "series", SHAPE, "u1")
        else:
            writer = PictureWriter(comm, where, kind, "export", 5)
        for number in range(comm.rank, 6, comm.size):
            if kind == "png":
                write_png(writer.path(number), block, ImshowMapping("u1", 0, 255))
            elif kind == "tif":
                write_tif(writer.path(number), block)
            else:
                writer.write(number, block)
        if fail is not None:
            fail(where)
        writer.finish()


def write_tree(comm, where, files):
    """A Zarr, each rank writing its share; the document of the root is the last."""
    for number, (name, content) in enumerate(files.items()):
        if name == "zarr.json":
            comm.Barrier()
        if number % comm.size == comm.rank:
            for above in list(Path(name).parents)[-2::-1]:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(where / above)
            descriptor = os.open(where / name, os.O_WRONLY | os.O_CREAT, 0o666)
            write_all(descriptor, content)
            os.close(descriptor)


def value_of(path):
    """What `write_output` put there; fails when any of it is missing or mixed."""
    path = Path(path)
    if path.is_file():
        with h5py.File(path, "r", locking=False) as file:
            values = set(file["series"][:].ravel().tolist())
    elif (path / "conf.json").exists():
        assert (path / "SUCCESS").read_bytes() == b""
        conf = json.loads((path / "conf.json").read_text())
        data = b"".join((path / f["name"]).read_bytes() for f in conf["files"])
        assert len(data) == np.prod(SHAPE)
        values = set(data)
    elif (path / "zarr.json").exists():
        chunks = [path / "0" / "c" / str(n) / "0" / "0" for n in range(SHAPE[0])]
        names = [p for p in path.rglob("*") if p.is_file()]
        assert sorted(names) == sorted([path / "zarr.json", path / "0" / "zarr.json", *chunks])
        data = b"".join(chunk.read_bytes() for chunk in chunks)
        assert len(data) == np.prod(SHAPE)
        values = set(data)
    else:
        import imagecodecs

        manifest = json.loads((path / ".mpimages.json").read_text())
        assert manifest["complete"] is True
        assert manifest["files"] == {"prefix": "export", "digits": 5, "keys": [[0, 6]]}
        names = [f"export-{key:05d}.{manifest['kind']}" for key in range(6)]
        assert sorted(os.listdir(path)) == [".mpimages.json", *names]
        images = [imagecodecs.imread(path / name) for name in names]
        values = set(np.concatenate(images).ravel().tolist())
    assert len(values) == 1
    return values.pop()


@pytest.mark.parametrize("kind", KINDS)
def test_an_output_appears_and_is_replaced(comm, shared_path, kind):
    path = shared_path / "out"
    write_output(comm, path, kind, 1)
    assert value_of(path) == 1
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_output(comm, path, kind, 2)
    assert value_of(path) == 1
    write_output(comm, path, kind, 3, overwrite=True)
    assert value_of(path) == 3
    assert os.listdir(shared_path) == ["out"]


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(KINDS, 2)))
def test_any_kind_replaces_any_other(tmp_path, first, second):
    write_output(Alone(), str(tmp_path / "out"), first, 1)
    write_output(Alone(), tmp_path / "out", second, 2, overwrite=True)
    assert value_of(tmp_path / "out") == 2
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_failure_on_one_rank_fails_all_and_leaves_nothing(comm, shared_path, kind, overwrite):
    if overwrite:
        write_output(comm, shared_path / "out", kind, 1)

    def fail(where):
        comm.Barrier()
        if comm.rank == comm.size - 1:
            raise KeyError("something")

    with pytest.raises(KeyError, match="something"):
        write_output(comm, shared_path / "out", kind, 2, overwrite, fail)
    assert os.listdir(shared_path) == (["out"] if overwrite else [])
    if overwrite:
        assert value_of(shared_path / "out") == 1
    comm.Barrier()
    write_output(comm, shared_path / "out", kind, 3, overwrite)
    assert value_of(shared_path / "out") == 3


@pytest.mark.parametrize("kind", ["binaryseries", "hdf5"])
def test_a_full_disk_on_one_rank(comm, shared_path, kind, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if comm.rank == min(comm.size, 6) - 1:  # the last that has one of the six pixels
        monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match=r"(?s)No space left.*out") as caught:
        write_output(comm, shared_path / "out", kind, 1)
    assert caught.value.errno == errno.ENOSPC
    comm.Barrier()
    assert os.listdir(shared_path) == []


def test_no_advice_that_is_refused_then(tsc, comm, shared_path):
    images = tsc.loadImagesFromArray(np.zeros((2, 3, 4), np.uint8))
    images.saveAsHDF5(shared_path / "ours.h5", layout="images")
    if comm.rank == 0:
        (shared_path / "foreign.h5").write_bytes(b"x")
        (shared_path / "d").mkdir()
        (shared_path / "d" / "foreign").touch()
    comm.Barrier()
    own = tsc.loadImages(shared_path / "ours.h5")
    for source, name, says in (
        (images, "ours.h5", "exists; overwrite=True replaces it"),
        (own, "ours.h5", "exists; this very job reads it"),
        (images, "foreign.h5", "exists; mpimages did not write it"),
        (images, "d", "exists; mpimages did not write it"),
    ):
        with pytest.raises(FileExistsError, match=says):
            source.saveAsHDF5(shared_path / name)


def test_a_disk_that_is_full_from_the_beginning_is_named(comm, shared_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match=r"(?s)No space left.*out") as caught:
            write_output(comm, shared_path / "out", "hdf5", 1)
    assert caught.value.errno == errno.ENOSPC
    comm.Barrier()
    assert os.listdir(shared_path) == []


def test_an_error_while_flushing_leaves_nothing(comm, shared_path, monkeypatch):
    def broken(fd):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fail(where):
        if comm.rank == min(comm.size, 6) - 1:  # the last that has one of the six pictures
            monkeypatch.setattr(os, "fsync", broken)

    with pytest.raises(OSError, match="Input/output error"):
        write_output(comm, shared_path / "out", "png", 1, fail=fail)
    assert os.listdir(shared_path) == []


def test_a_writer_that_did_not_finish_is_an_internal_error(tmp_path):
    for kind in KINDS:
        with (
            pytest.raises(RuntimeError, match="not finished"),
            staged(Alone(), str(tmp_path / "out"), kind),
        ):
            pass
    assert os.listdir(tmp_path) == []


# A job that is killed. The process is forked and ends without any cleaning up just before it
# would make its n-th change to the file system, for every n.

CHANGES = ("open", "mkdir", "rename", "replace", "unlink", "rmdir", "pwrite", "write", "ftruncate")


def run_until_change(limit, work):
    """Run `work` in a child process that dies before its change number `limit`; did it end?"""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        code = 1
        try:
            die_before(limit)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_before(limit):
    changes = itertools.count()

    def dying(function, changes_something):
        def call(*args, **options):
            if changes_something(*args, **options) and next(changes) >= limit:
                os._exit(9)
            return function(*args, **options)

        return call

    for name in CHANGES:
        always = name != "open"
        setattr(
            os,
            name,
            dying(
                getattr(os, name),
                lambda *a, always=always, **o: always or bool(len(a) > 1 and a[1] & os.O_CREAT),
            ),
        )
    builtins.open = dying(open, lambda path, mode="r", *a, **o: "w" in mode or "x" in mode)


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, "binaryseries"),
        (None, "hdf5"),
        (None, "png"),
        (None, "zarr"),
        ("binaryseries", "binaryseries"),
        ("hdf5", "hdf5"),
        ("png", "tif"),
        ("png", "hdf5"),
        ("hdf5", "binaryseries"),
        ("zarr", "zarr"),
        ("zarr", "binaryseries"),
        ("png", "zarr"),
    ],
)
def test_a_job_killed_at_any_point_is_taken_up(comm, quick_path, old, new, overwrite):
    """`overwrite`: of the run after the killed one."""
    if comm.rank:
        pytest.skip("about rank 0's part alone")
    for limit in itertools.count():
        home = quick_path / str(limit)
        home.mkdir()
        path = home / "out"
        if old is not None:
            write_output(Alone(), path, old, 1)
        code = run_until_change(limit, lambda p=path: write_output(Alone(), p, new, 2, True))
        assert code in (0, 9)
        if path.exists():
            assert value_of(path) == (2 if old is None else value_of(path))
        elif old is not None:  # in the one moment between the two renames
            assert value_of(home / ".out.mpimages-old") == 1
        after(path, new, overwrite, killed_over=old)
        if code == 0:
            break
    assert limit > 10


def after(path, kind, overwrite, killed_over):
    """The run after the killed one succeeds, or says that the output is there; and tidies."""
    try:
        write_output(Alone(), path, kind, 3, overwrite)
    except FileExistsError:
        assert not overwrite
        assert value_of(path) in ((2,) if killed_over is None else (1, 2))
        write_output(Alone(), path, kind, 3, True)
    assert value_of(path) == 3
    assert os.listdir(path.parent) == ["out"]


@pytest.mark.parametrize("mark", [b"", b'{"format": "mpim', bytes(22), b'{"form' + bytes(9), None])
def test_a_mark_that_a_machine_which_went_down_has_lost_is_ours(tmp_path, mark):
    partial = tmp_path / ".out.mpimages-partial"
    partial.mkdir()
    if mark is not None:
        (partial / ".mpimages-partial.json").write_bytes(mark)
    write_output(Alone(), tmp_path / "out", "hdf5", 1)
    assert os.listdir(tmp_path) == ["out"]


def test_a_broken_file_of_a_killed_job_is_ours(tmp_path):
    partial = tmp_path / ".out.mpimages-partial"
    partial.mkdir()
    (partial / ".mpimages-partial.json").write_bytes(
        b'{"format": "mpimages-partial", "version": 1}\n'
    )
    (partial / "out").write_bytes(b"\x89HDF\r\n\x1a\n and then nothing")
    (partial / "out-2714697729-1234.lock").touch()  # of Open MPI, for a file open on several hosts
    write_output(Alone(), tmp_path / "out", "hdf5", 1)
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["out.lock", "out-1-2.lock.txt", "other-1-2.lock", "out-1.lock"])
def test_another_lock_beside_a_file_is_not_ours(tmp_path, name):
    partial = tmp_path / ".out.mpimages-partial"
    partial.mkdir()
    (partial / ".mpimages-partial.json").write_bytes(
        b'{"format": "mpimages-partial", "version": 1}\n'
    )
    (partial / name).touch()
    with pytest.raises(FileExistsError, match=re.escape(name)):
        write_output(Alone(), tmp_path / "out", "hdf5", 1)
    assert (partial / name).exists()


def test_a_running_job_is_not_disturbed(tmp_path):
    with staged(Alone(), tmp_path / "out", "png") as where:
        (Path(where) / "export-00000.png").write_bytes(b"")
        with pytest.raises(FileExistsError, match="another running job"):
            write_output(Alone(), tmp_path / "out", "png", 2, overwrite=True)
        assert (Path(where) / "export-00000.png").exists()
        writer = PictureWriter(Alone(), where, "png", "export", 0)
        writer.path(0)
        writer.finish()
    assert sorted(os.listdir(tmp_path / "out")) == [".mpimages.json", "export-00000.png"]


def test_locks_that_do_not_work_are_done_without(tmp_path, monkeypatch):
    import fcntl

    def unavailable(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unavailable)
    write_output(Alone(), tmp_path / "out", "hdf5", 1)
    write_output(Alone(), tmp_path / "out", "hdf5", 2, overwrite=True)
    assert value_of(tmp_path / "out") == 2


# What is not ours.


def snapshot(directory):
    return {
        str(p.relative_to(directory)): p.read_bytes()
        if p.is_file()
        else os.readlink(p)
        if p.is_symlink()
        else None
        for p in sorted(Path(directory).rglob("*"))
    }


def refuses(tmp_path, match, kind="binaryseries"):
    before = snapshot(tmp_path)
    with pytest.raises(FileExistsError, match=match):
        write_output(Alone(), tmp_path / "out", kind, 9, overwrite=True)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("kind", ["binaryseries", "png", "tif", "zarr"])
@pytest.mark.parametrize(
    "name", ["notes.txt", "series-99999.bin", "export-00006.png", "export-0.png", "a/b.txt"]
)
def test_a_directory_with_a_foreign_file_is_kept(tmp_path, kind, name):
    write_output(Alone(), tmp_path / "out", kind, 1)
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("mine")
    refuses(tmp_path, f"{name.split('/')[0]}.*not of mpimages|refusing")


@pytest.mark.parametrize("kind", ["binaryseries", "png"])
def test_links_inside_are_foreign_and_not_followed(tmp_path, kind):
    write_output(Alone(), tmp_path / "out", kind, 1)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    name = "series-00000.bin" if kind == "binaryseries" else "export-00000.png"
    os.remove(tmp_path / "out" / name)
    os.symlink(precious, tmp_path / "out" / name)
    refuses(tmp_path, name)
    os.remove(tmp_path / "out" / name)
    (tmp_path / "out" / name).mkdir()
    refuses(tmp_path, name)


@pytest.mark.parametrize("target", ["elsewhere", "missing"])
@pytest.mark.parametrize("kind", ["binaryseries", "hdf5"])
def test_a_path_that_is_a_link_is_refused(tmp_path, target, kind):
    write_output(Alone(), tmp_path / "elsewhere", kind, 1)
    os.symlink(tmp_path / target, tmp_path / "out")
    refuses(tmp_path, "symbolic link", kind)


def test_a_home_directory_is_refused(tmp_path):
    (tmp_path / "out" / "thesis").mkdir(parents=True)
    (tmp_path / "out" / "thesis" / "chapter1.tex").write_text("mine")
    for kind in KINDS:
        refuses(tmp_path, "no mark of mpimages", kind)


@pytest.mark.parametrize(
    "conf",
    [
        '{"shape": [2, 3, 4], "dtype": "uint8"}',
        '{"format": "mpimages-series"}',
        '{"format": "mpimages-series", "files": [{"name": "../precious"}, {"name": "thesis"}]}',
        '{"format": "mpimages-series", "files": {"name": "thesis"}}',
        "[]",
        "{",
        "",
        "[" * 100_000,
    ],
)
def test_a_conf_json_does_not_make_files_ours(tmp_path, conf):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "conf.json").write_text(conf)
    (tmp_path / "out" / "thesis").write_text("mine")
    (tmp_path / "precious").write_text("mine")
    refuses(tmp_path, "refusing")


@pytest.mark.parametrize(
    "manifest",
    [
        '{"format": "mpimages-images"}',
        '{"format": "mpimages-images", "kind": "png", "files": {"prefix": "..", "digits": 1}}',
        '{"format": "mpimages-images", "kind": "/../thesis", "files": 3}',
        '{"format": "other", "kind": "png", "files": {"prefix": "a", "digits": 5, "keys": []}}',
    ],
)
def test_a_strange_manifest_makes_nothing_ours(tmp_path, manifest):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".mpimages.json").write_text(manifest)
    (tmp_path / "out" / "thesis").write_text("mine")
    refuses(tmp_path, "refusing", "png")


@pytest.mark.parametrize("side", ["partial", "old"])
def test_something_unknown_under_our_hidden_names_is_refused(tmp_path, side):
    hidden = tmp_path / f".out.mpimages-{side}"
    hidden.write_text("mine")
    refuses(tmp_path, "refusing")
    hidden.unlink()
    hidden.mkdir()
    (hidden / "thesis").write_text("mine")
    refuses(tmp_path, "thesis")
    os.rename(hidden, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", hidden)
    refuses(tmp_path, "symbolic link")


def test_an_empty_directory_is_taken_only_to_overwrite(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_output(Alone(), tmp_path / "out", "png", 1)
    write_output(Alone(), tmp_path / "out", "png", 1, overwrite=True)
    assert value_of(tmp_path / "out") == 1


@pytest.mark.parametrize("foreign", ["dataset", "group", "attribute", "link", "external", "root"])
def test_an_hdf5_file_with_something_foreign_is_kept(tmp_path, foreign):
    write_output(Alone(), tmp_path / "out", "hdf5", 1)
    with h5py.File(tmp_path / "out", "r+", locking=False) as file:
        if foreign == "dataset":
            file["more/mine"] = [1, 2]
        elif foreign == "group":
            file.create_group("mine")
        elif foreign == "attribute":
            file.attrs["mine"] = 1
        elif foreign == "link":
            file["mine"] = h5py.SoftLink("/series")
        elif foreign == "external":
            file["mine"] = h5py.ExternalLink("other.h5", "/series")
        else:
            file["mine"] = np.dtype("u1")
    refuses(tmp_path, "mine|attributes", "hdf5")


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n", None])
def test_other_files_are_kept(tmp_path, content):
    if content is None:
        with h5py.File(tmp_path / "out", "w"):
            pass
    else:
        (tmp_path / "out").write_bytes(content)
    refuses(tmp_path, "refusing", "hdf5")


def test_a_pipe_is_kept(tmp_path):
    os.mkfifo(tmp_path / "out")
    with pytest.raises(FileExistsError, match="neither"):
        write_output(Alone(), tmp_path / "out", "hdf5", 1, overwrite=True)


def test_a_foreign_file_that_appears_meanwhile_is_kept(tmp_path):
    write_output(Alone(), tmp_path / "out", "png", 1)

    def fail(where):
        (tmp_path / "out" / "notes.txt").write_text("mine")

    with pytest.raises(FileExistsError, match=r"notes\.txt"):
        write_output(Alone(), tmp_path / "out", "png", 2, overwrite=True, fail=fail)
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    assert os.listdir(tmp_path) == ["out"]


def test_an_output_that_appears_meanwhile_is_kept(tmp_path):
    with pytest.raises(FileExistsError, match="exists"):
        write_output(
            Alone(), tmp_path / "out", "hdf5", 2, fail=lambda w: (tmp_path / "out").write_text("x")
        )
    assert (tmp_path / "out").read_text() == "x"


def test_when_the_last_rename_fails_the_old_output_is_back(tmp_path, monkeypatch):
    write_output(Alone(), tmp_path / "out", "png", 1)
    rename = os.rename

    def failing(source, target):
        if target == str(tmp_path / "out") and source.endswith("-partial"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        write_output(Alone(), tmp_path / "out", "png", 2, overwrite=True)
    assert value_of(tmp_path / "out") == 1
    assert os.listdir(tmp_path) == ["out"]


# Names and modes.


@pytest.mark.parametrize(
    ("path", "kind", "error"),
    [
        ("missing/out", "png", FileNotFoundError),
        ("file/out", "png", NotADirectoryError),
        ("out", "jpeg", ValueError),
        ("", "png", ValueError),
        (".mpimages-complete", "hdf5", ValueError),
        ("x" * 250, "png", OSError),
        (b"out", "png", TypeError),
        (None, "png", TypeError),
        ("a\0b", "png", ValueError),
    ],
)
def test_paths_that_cannot_be_outputs(comm, shared_path, path, kind, error):
    if comm.rank == 0:
        (shared_path / "file").write_text("")
    comm.Barrier()
    if isinstance(path, str) and path:
        path = str(shared_path / path)
    with pytest.raises(error):
        write_output(comm, path, kind, 1)
    assert os.listdir(shared_path) == ["file"]


def test_relative_paths_and_trailing_slashes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_output(Alone(), "out/", "png", 1)
    write_output(Alone(), "./x/../out", "png", 2, overwrite=True)
    assert os.listdir(tmp_path) == ["out"]
    assert value_of("out") == 2


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
@pytest.mark.parametrize("kind", KINDS)
def test_modes_honour_the_umask(tmp_path, kind, mask):
    previous = os.umask(mask)
    try:
        write_output(Alone(), tmp_path / "out", kind, 1)
    finally:
        os.umask(previous)
    for path in (tmp_path / "out", *(tmp_path / "out").glob("*")):
        full = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == full & ~mask, path


def test_a_beginning_that_fails_leaves_nothing_and_can_be_tried_again(tmp_path, monkeypatch):
    from mpi4py import MPI

    write = os.write

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    def save():
        with staged(MPI.COMM_SELF, tmp_path / "out", "binaryseries") as where:
            writer = BinarySeriesWriter(MPI.COMM_SELF, where, (2, 3), "u1", range(3), None, 100)
            writer.write(0, np.zeros((2, 3), "u1"))
            writer.finish()

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        save()
    monkeypatch.setattr(os, "write", write)
    assert list(tmp_path.iterdir()) == []
    save()
    assert (tmp_path / "out" / "SUCCESS").exists()


# Two jobs with one output, and other users.


def outcome(work):
    try:
        work()
    except FileExistsError:
        return 3
    except BaseException:
        return 1
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_comes_at_any_point_of_another_leaves_one_winner(
    comm, quick_path, kind, overwrite, monkeypatch
):
    """The other is a process of its own: a lock is no hindrance to who holds it."""
    if comm.rank:
        pytest.skip("about rank 0's part alone")
    real = {name: getattr(os, name) for name in CHANGES}
    for limit in itertools.count():
        home = quick_path / str(limit)
        home.mkdir()
        path = home / "out"
        if overwrite:
            write_output(Alone(), path, kind, 1)
        other = []

        def come(path=path, other=other):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                child = os.fork()
            if child == 0:
                for name, function in real.items():
                    setattr(os, name, function)
                os._exit(outcome(lambda: write_output(Alone(), path, kind, 3, overwrite)))
            other.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        changes = itertools.count()
        for name, function in real.items():

            def call(*args, function=function, come=come, limit=limit, changes=changes, **options):
                if next(changes) == limit:
                    come()
                return function(*args, **options)

            monkeypatch.setattr(os, name, call)
        own = outcome(lambda p=path: write_output(Alone(), p, kind, 2, overwrite))
        monkeypatch.undo()
        if not other:
            break
        won = {value for value, code in ((2, own), (3, other[0])) if code == 0}
        assert {own, *other} <= {0, 3}, limit
        assert won == {2, 3} if own == other[0] == 0 else len(won) == 1, limit
        assert overwrite or len(won) == 1, limit
        assert value_of(path) in won
        assert os.listdir(home) == ["out"]
    assert limit > 10


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["partial", "old", "lock"])
def test_what_belongs_to_another_user_is_neither_taken_up_nor_removed(tmp_path, name, monkeypatch):
    hidden = tmp_path / f".out.mpimages-{name}"
    if name == "lock":
        hidden.write_bytes(b"")
    else:
        hidden.mkdir()
        (hidden / ".mpimages-partial.json").write_bytes(
            b'{"format": "mpimages-partial", "version": 1}\n'
        )
    os.chown(hidden if name != "partial" else hidden / ".mpimages-partial.json", 65534, 65534)
    before = snapshot(tmp_path)
    for options in ({}, {"overwrite": True}, {"resume": True}):
        overwrite, resume = options.get("overwrite", False), options.get("resume", False)
        with (
            pytest.raises(FileExistsError, match="belongs to another user"),
            resumable(Alone(), tmp_path / "out", "binaryseries", overwrite, resume, "test"),
        ):
            pass
        assert snapshot(tmp_path) == before
    # A file system that shows all files as another's does not keep a job from going on.
    monkeypatch.setattr(ownership, "_shown_owner", lambda path: 65534)
    write_output(Alone(), tmp_path / "out", "binaryseries", 1, overwrite=name == "old")
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("what", ["file", "directory", "link"])
def test_what_has_the_locks_name_and_is_none_is_kept(tmp_path, what):
    lock = tmp_path / ".out.mpimages-lock"
    if what == "file":
        lock.write_text("mine")
    elif what == "directory":
        lock.mkdir()
    else:
        os.symlink(tmp_path / "precious", lock)
    refuses(tmp_path, "mpimages-lock is not of mpimages")


@pytest.mark.parametrize("kind", KINDS)
def test_a_system_that_takes_little_at_a_time(tmp_path, kind, monkeypatch):
    def shortened(function):
        return lambda descriptor, data, *place: function(
            descriptor, memoryview(data).cast("B")[:3], *place
        )

    for name in ("write", "pwrite"):
        monkeypatch.setattr(os, name, shortened(getattr(os, name)))
    write_output(Alone(), tmp_path / "out", kind, 1)
    monkeypatch.undo()
    assert value_of(tmp_path / "out") == 1
    write_output(Alone(), tmp_path / "out", kind, 2, overwrite=True)
    assert os.listdir(tmp_path) == ["out"]


def test_resuming_what_is_complete_removes_what_is_left_beside_it(tmp_path):
    write_output(Alone(), tmp_path / "out", "binaryseries", 1)
    partial = tmp_path / ".out.mpimages-partial"
    partial.mkdir()
    (partial / ".mpimages-partial.json").write_bytes(
        b'{"format": "mpimages-partial", "version": 1}\n'
    )
    (partial / "series-00000.bin").write_bytes(b"left")
    (tmp_path / ".out.mpimages-lock").write_bytes(b"")
    with resumable(Alone(), tmp_path / "out", "binaryseries", False, True, "test") as stage:
        assert stage.complete
    assert os.listdir(tmp_path) == ["out"]
    assert value_of(tmp_path / "out") == 1


def test_a_file_is_flushed_through_what_wrote_it(tmp_path, monkeypatch):
    """Others are told nothing of what the disk has refused before they were opened."""
    paths = [str(tmp_path / str(number)) for number in range(40)]
    for path in paths:
        create_file(path, 8)
    opened, waiting = os.open, {}

    def open_file(path, *args, **options):
        descriptor = opened(path, *args, **options)
        assert descriptor not in waiting, "closed before it was flushed"
        return descriptor

    synced, written = os.fdatasync, os.pwrite

    def write(descriptor, *args):
        waiting[descriptor] = True
        return written(descriptor, *args)

    def sync(descriptor):
        synced(descriptor)
        waiting.pop(descriptor, None)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "fdatasync", sync)
    files = OutputFiles(paths)
    for number in [*range(40), *range(40)]:
        write_all(files.descriptor(number), b"12345678", 0)
    assert waiting
    files.sync()
    assert not waiting
