"""Outputs with directories inside: what is ours in them, and how they are removed."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from mpimages.formats.output_names import PARTIAL_MARK, PARTIAL_TEXT
from mpimages.writers.output import ownership
from mpimages.writers.output.ownership import check_ours, check_owner, has_all_marks, remove_ours

from ..support.zarrtrees import make_zarr, plain_zarr, root_of, write_root

SHAPE, CHUNK, SHARD = (3, 7, 8), (1, 4, 3), (2, 4, 6)


def zstd(version):
    import numcodecs
    from zarr.codecs import ZstdCodec

    return ZstdCodec() if version == 3 else numcodecs.Zstd()


def make(path, version=3, shards=None):
    values = np.arange(np.prod(SHAPE), dtype="u2").reshape(SHAPE)
    arrays = {"0": values, "1": values[:, ::2, ::2]}
    return make_zarr(path, arrays, CHUNK, shards, version, zstd(version))


@pytest.fixture(params=["v3", "shards", "v2"])
def made(request, tmp_path):
    version = 2 if request.param == "v2" else 3
    return make(tmp_path / "out", version, SHARD if request.param == "shards" else None)


def listing(directory):
    """Everything below a directory, links not followed."""
    return sorted(str(path.relative_to(directory)) for path in Path(directory).rglob("*"))


def opens(path):
    """Whether zarr-python finds a group or an array there."""
    import zarr

    try:
        zarr.open(str(path), mode="r")
    except (FileNotFoundError, ValueError):
        return False
    return True


def partial(path):
    """An unfinished output: no marks but that of the partial directory."""
    for name in (".zattrs", ".zgroup", "zarr.json"):
        (path / name).unlink(missing_ok=True)
    (path / PARTIAL_MARK).write_bytes(PARTIAL_TEXT)
    (path / "job.json").write_text("{}")
    (path / "chunks-00-00001").write_bytes(b"")
    (path / "0" / "zarr.json.mpimages-tmp").write_bytes(b"")
    hidden = path.parent / ".out.mpimages-partial"
    os.rename(path, hidden)
    return hidden


def test_a_zarr_is_ours_and_goes(made):
    assert has_all_marks(str(made))
    check_ours(str(made))
    check_owner(str(made))
    remove_ours(str(made))
    assert os.listdir(made.parent) == []


@pytest.mark.parametrize("unfinished", [False, True])
def test_what_mpimages_does_not_make_in_a_zarr_is_kept(made, unfinished):
    path = partial(made) if unfinished else made
    chunk = min(p for p in (path / "0").rglob("*") if p.name == "0" and p.is_file())
    below = "c/" if "c" in os.listdir(path / "0") else ""
    strange = ["notes.txt", "0/notes.txt", "0/c.txt", f"0/{below}00", f"0/{below}-1"]
    strange += [f"0/{below}0/mine.npy", "labels/zarr.json", "-1/zarr.json", "00/zarr.json"]
    strange += [f"0/{below}0/.hidden", "conf.json", "0/job.json", "0/.mpimages-partial.json"]
    if not unfinished:
        strange += ["2/zarr.json", f"0/{below}3/0/0", f"0/{below}0/0", f"0/{below}0/0/9"]
        strange += ["0/0/0/0" if below else "0/c/0/0/0", f"{chunk.relative_to(path)}/0"]
    for name in strange:
        copy = Path(shutil.copytree(path, path.parent / "copy"))
        foreign = copy / name
        if foreign.parent.is_file():
            foreign.parent.unlink()
        elif foreign.is_dir():
            shutil.rmtree(foreign)
        foreign.parent.mkdir(parents=True, exist_ok=True)
        foreign.write_text("mine")
        before = listing(copy)
        with pytest.raises(FileExistsError, match="not of mpimages' making"):
            remove_ours(str(copy))
        assert listing(copy) == before, name
        shutil.rmtree(copy)
    for name in ("mine", "0/mine", f"0/{below}mine"):
        (path / name).mkdir()
        with pytest.raises(FileExistsError, match=f"{name}/"):
            remove_ours(str(path))
        (path / name).rmdir()
    remove_ours(str(path))
    assert not path.exists()


@pytest.mark.parametrize("unfinished", [False, True])
def test_links_in_a_zarr_are_not_followed(made, unfinished):
    """Not even where what they lead to has the names that an output has."""
    path = partial(made) if unfinished else made
    chunks = next(p for p in (path / "0").iterdir() if p.is_dir())
    chunk = next(p for p in chunks.rglob("*") if p.is_file())
    for inside in (chunk, chunk.parent, chunks, path / "0"):
        elsewhere = path.parent / "elsewhere"
        os.rename(inside, elsewhere)
        os.symlink(elsewhere, inside)
        before = listing(path.parent)
        with pytest.raises(FileExistsError, match="not of mpimages' making"):
            remove_ours(str(path))
        assert listing(path.parent) == before
        inside.unlink()
        os.rename(elsewhere, inside)
    pipe = chunk.parent / "1"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="not of mpimages' making"):
        remove_ours(str(path))


def test_a_link_that_appears_during_a_removal_is_not_followed(made, monkeypatch):
    elsewhere = made.parent / "elsewhere"
    remove = os.unlink

    def unlink(name, *, dir_fd=None):
        """Somebody puts a link in the place of an array that is next."""
        remove(name, dir_fd=dir_fd)
        if not elsewhere.exists():
            os.rename(made / "1", elsewhere)
            os.symlink(elsewhere, made / "1")

    before = listing(made / "1")
    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.raises(OSError, match="1"):
        remove_ours(str(made))
    assert listing(elsewhere) == before


def test_a_removal_that_was_interrupted_is_taken_up(made, monkeypatch):
    """Whenever it was: nothing that lacks a chunk can be opened, and the next one goes on."""
    files = {p: p.read_bytes() for p in made.rglob("*") if p.is_file()}
    calls = {name: getattr(os, name) for name in ("rename", "unlink", "rmdir")}
    limit = 0
    while True:
        left = iter(range(limit))

        def stop(call, left=left):
            def function(*args, **options):
                if next(left, None) is None:
                    raise InterruptedError
                return call(*args, **options)

            return function

        for name, call in calls.items():
            monkeypatch.setattr(os, name, stop(call))
        try:
            remove_ours(str(made))
        except InterruptedError:
            pass
        else:
            break
        finally:
            monkeypatch.undo()
        for array in ("0", "1"):
            whole = all(path.exists() for path in files if path.is_relative_to(made / array))
            assert whole or not (opens(made) or opens(made / array) or has_all_marks(str(made)))
        check_ours(str(made))
        remove_ours(str(made))
        assert not made.exists()
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        limit += 1
    assert limit > len(files)


def test_other_zarrs_are_kept(tmp_path):
    import zarr

    path = tmp_path / "out"
    zarr.create_array(str(path), shape=(3, 4), chunks=(1, 4), dtype="u1")[:] = 1
    with pytest.raises(FileExistsError, match="no mark of mpimages"):
        remove_ours(str(path))
    assert not has_all_marks(str(path))


@pytest.mark.parametrize(
    "arrays",
    [None, 3, [], ["thesis"], {"thesis": {}}, {"../thesis": {}}, {"": {}}, {"0": {}}, {"..": {}}],
)
def test_a_mark_makes_nothing_of_others_ours(made, arrays):
    root = json.loads(root_of(made).read_bytes())
    mark = root.get("attributes", root)["mpimages"]
    del mark["crc32"]
    mark["arrays"] = arrays
    write_root(made, root)
    (made / "thesis").mkdir()
    (made / "thesis" / "0").write_text("mine")
    before = listing(made)
    with pytest.raises(FileExistsError, match="not of mpimages' making"):
        remove_ours(str(made))
    assert listing(made) == before


def test_an_array_that_claims_to_be_huge_costs_nothing(tmp_path):
    path = tmp_path / "out"
    for name, content in plain_zarr((3, 4), 1).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    described = json.loads((path / "0" / "zarr.json").read_bytes())
    described["shape"] = [1 << 60, 1 << 60]
    (path / "0" / "zarr.json").write_text(json.dumps(described))
    check_ours(str(path))
    described["shape"] = "all"
    (path / "0" / "zarr.json").write_text(json.dumps(described))
    with pytest.raises(FileExistsError, match="0/c/"):
        check_ours(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_chunk_of_another_user_keeps_all(made, monkeypatch):
    path = partial(made)
    chunk = max(p for p in path.rglob("*") if p.name.isdecimal() and p.is_file())
    os.chown(chunk, 65534, 65534)
    with pytest.raises(FileExistsError, match="belongs to another user, of number 65534"):
        check_owner(str(path))
    monkeypatch.setattr(ownership, "_shown_owner", lambda path: 65534)
    check_owner(str(path))
