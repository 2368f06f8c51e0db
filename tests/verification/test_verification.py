"""Directories of mpimages, damaged in every way: what `verify` says of them."""

import errno
import json
import os
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from mpi4py import MPI

import mpimages
from mpimages import FormatError, RegistrationModel, Verified, verify
from mpimages.core import crc32
from mpimages.formats.output_names import PARTIAL_MARK, PARTIAL_TEXT, with_own_checksum
from mpimages.verification import findings, pieces
from mpimages.writers import binaryseries, flat
from mpimages.writers.output.plain import to_json
from mpimages.writers.output.staging import staged
from mpimages.writers.pictures import PictureWriter
from mpimages.writers.png import ImshowMapping, write_png
from mpimages.writers.tif.images import write_tif

PIECE = 16
SHAPE = (3, 4, 5)  # 12 pixels of 10 bytes, 5 a file: files of 50, 50 and 20 bytes


@pytest.fixture
def series(tmp_path, monkeypatch):
    """A binary series of three files in pieces of 16 bytes."""
    monkeypatch.setattr(crc32, "PIECE", PIECE)
    monkeypatch.setattr(flat, "PIECE", PIECE)
    return write_series(tmp_path / "out", np.arange(60).reshape(SHAPE).astype("i2"))


def write_series(path, array, block_bytes=50):
    with staged(MPI.COMM_SELF, path, "binaryseries") as where:
        writer = binaryseries.BinarySeriesWriter(
            MPI.COMM_SELF,
            where,
            array.shape,
            array.dtype,
            range(array.shape[-1]),
            None,
            block_bytes,
        )
        writer.write(0, array.reshape(-1, array.shape[-1]))
        writer.finish()
    return path


def write_pictures(path, kind, keys=(3, 4, 7)):
    with staged(MPI.COMM_SELF, path, kind) as where:
        pictures = PictureWriter(MPI.COMM_SELF, where, kind, "roi", max(keys))
        for key in keys:
            image = np.full((3, 4), key, "u1")
            if kind == "png":
                write_png(pictures.path(key), image, ImshowMapping("u1", 0, 9))
            else:
                write_tif(pictures.path(key), image)
        pictures.finish()
    return path


def flip(path, position, mask=0x10):
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    path.write_bytes(content)


def rewrite(directory, name, change):
    """Change what a description says, and give it the checksum of its own that fits."""
    described = json.loads((directory / name).read_bytes())
    described.pop("crc32")
    changed = change(described)
    (directory / name).write_bytes(with_own_checksum(to_json(changed or described)))


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_each_flipped_byte_of_a_registration_is_found(tmp_path, ending):
    path = tmp_path / f"m{ending}"
    small_model().save(path)
    size = path.stat().st_size
    assert verify(path) == Verified(str(path), "registration", 1, size, ())
    assert str(verify(path)) == f"{path}: registration, 1 file, {size:,} bytes checked: sound"
    for position in range(size):
        for mask in (0x01, 0x20, 0x80):
            flip(path, position, mask)
            assert is_damaged(path), (position, mask)
            with pytest.raises(FormatError, match="not a registration model"):
                RegistrationModel.load(path)
            flip(path, position, mask)
    assert verify(path).ok


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_a_registration_that_is_cut_off_or_goes_on_is_found(tmp_path, ending):
    path = tmp_path / f"m{ending}"
    small_model().save(path)
    whole = path.read_bytes()
    for content in (*(whole[:size] for size in range(len(whole))), whole + b"\n", whole + whole):
        path.write_bytes(content)
        assert is_damaged(path), len(content)
        with pytest.raises(FormatError, match="not a registration model"):
            RegistrationModel.load(path)


def small_model():
    return RegistrationModel(
        shifts=np.array([[0.5, np.nan], [-1.25, 3.0]]),
        quality=np.array([12.0, 3.5]),
        keys=np.array([4, 7]),
        dims=(3, 2),
        method="rigid",
        reference=np.arange(6.0).reshape(3, 2),
        rows=np.array([1.0]),
        columns=np.array([0.5]),
    )


def is_damaged(path):
    """Whether `verify` names a problem, or does not know the file any more."""
    try:
        return not verify(path).ok
    except FormatError as error:
        return "its first bytes are damaged" in str(error)


@pytest.mark.parametrize("piece", [1, 10, 16, 50, 1000])
@pytest.mark.parametrize("dtype", ["i2", ">i2", "u1", ">f8", "f2"])
def test_a_sound_series(tmp_path, monkeypatch, piece, dtype):
    monkeypatch.setattr(crc32, "PIECE", piece)
    monkeypatch.setattr(flat, "PIECE", piece)
    out = write_series(tmp_path / "out", np.arange(60).reshape(SHAPE).astype(dtype))
    found = verify(out)
    sizes = [file.stat().st_size for file in out.iterdir()]
    expected = Verified(str(out), "binaryseries", len(sizes), sum(sizes), ())
    assert found == expected
    assert found.ok
    assert str(found) == (
        f"{out}: binary series, {len(sizes)} files, {sum(sizes):,} bytes checked: sound"
    )


def test_each_flipped_byte_of_a_series_is_named(series):
    for number, size in enumerate((50, 50, 20)):
        file = series / f"series-0000{number}.bin"
        for position in range(size):
            flip(file, position)
            first = position // PIECE * PIECE
            stop = min(first + PIECE, size)
            keys = [divmod(5 * number + byte // 10, 4) for byte in (first, stop - 1)]
            assert verify(series).problems == (
                f"{file.name}: bytes [{first}, {stop}) do not have their checksum: "
                f"pixels {keys[0]} to {keys[1]}",
            )
            flip(file, position)
    assert verify(series).ok


def test_each_flipped_byte_of_a_conf_is_found(series):
    conf = series / "conf.json"
    for position in range(conf.stat().st_size):
        flip(conf, position)
        found = verify(series)
        assert found.kind == "binaryseries"
        assert found.problems[0].startswith("conf.json: ")
        flip(conf, position)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_flipped_bytes_of_pictures_are_named(tmp_path, kind):
    out = write_pictures(tmp_path / "out", kind)
    sizes = {file.name: file.stat().st_size for file in out.iterdir()}
    assert verify(out) == Verified(str(out), kind, 4, sum(sizes.values()), ())
    for key in (3, 4, 7):
        name = f"roi-{key:05d}.{kind}"
        for position in {*range(0, sizes[name], 11), sizes[name] - 1}:
            flip(out / name, position)
            assert verify(out).problems == (
                f"{name}: bytes [0, {sizes[name]}) do not have their checksum: "
                f"the image of key {key}",
            )
            flip(out / name, position)
    for position in range(sizes[".mpimages.json"]):
        flip(out / ".mpimages.json", position)
        found = verify(out)
        assert found.kind == kind
        assert found.problems[0].startswith(".mpimages.json: ")
        flip(out / ".mpimages.json", position)
    assert verify(out).ok


def outputs(home):
    yield write_series(home / "series", np.zeros(SHAPE, "i2")), "series-00001.bin"
    yield write_pictures(home / "pictures", "tif"), "roi-00004.tif"


def test_truncated_removed_added_and_linked_files(tmp_path):
    for out, name in outputs(tmp_path):
        file = out / name
        content = file.read_bytes()
        size = len(content)
        file.write_bytes(content[:-1])
        assert verify(out).problems == (f"{name}: has {size - 1} bytes, not {size}",)
        file.write_bytes(content + b"\0")
        assert verify(out).problems == (f"{name}: has {size + 1} bytes, not {size}",)
        file.unlink()
        assert verify(out).problems == (f"{name}: is missing",)
        for make in (
            lambda file=file: file.symlink_to(tmp_path / "elsewhere"),
            lambda file=file: os.mkfifo(file),
            lambda file=file: file.mkdir(),
        ):
            (tmp_path / "elsewhere").write_bytes(content)
            make()
            (problem,) = verify(out).problems
            assert problem.startswith(f"{name}: is a link, a directory or a device")
            file.rmdir() if file.is_dir() else file.unlink()
        file.write_bytes(content)
        for added in ("notes.txt", ".hidden", "series-00009.bin"):
            (out / added).write_bytes(b"mine")
            assert verify(out).problems == (f"{added}: is not part of this output",)
            (out / added).unlink()
        assert verify(out).ok


def test_what_a_truncated_file_still_has_is_checked(series):
    file = series / "series-00001.bin"
    flip(file, 3)
    with open(file, "r+b") as opened:
        opened.truncate(40)
    assert verify(series).problems == (
        "series-00001.bin: has 40 bytes, not 50",
        "series-00001.bin: bytes [0, 16) do not have their checksum: pixels (1, 1) to (1, 2)",
    )


def test_neighbouring_pieces_are_one_problem(series):
    for position in (0, 17, 49):
        flip(series / "series-00000.bin", position)
    found = verify(series)
    assert [problem.split(" do ")[0] for problem in found.problems] == [
        "series-00000.bin: bytes [0, 32)",
        "series-00000.bin: bytes [48, 50)",
    ]
    assert str(found).splitlines()[0].endswith("2 problems")
    assert str(found).splitlines()[1:] == [f"  {problem}" for problem in found.problems]


def test_without_success_a_series_is_not_finished(series):
    (series / "SUCCESS").write_bytes(b"?")
    assert verify(series).problems == ("SUCCESS: has 1 bytes, not 0",)
    (series / "SUCCESS").unlink()
    (problem,) = verify(series).problems
    assert "not finished" in problem


def test_what_cannot_be_read_is_a_problem(series, monkeypatch):
    plain = os.preadv

    def broken(descriptor, buffers, offset):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("series-00001.bin") and offset > 20:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return plain(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", broken)
    assert verify(series).problems == (
        "series-00001.bin: bytes [32, 50) cannot be read: Input/output error: "
        "pixels (2, 0) to (2, 1)",
    )


def test_a_file_that_shrinks_meanwhile(series, monkeypatch):
    plain = os.preadv
    monkeypatch.setattr(os, "preadv", lambda d, b, offset: 0 if offset else plain(d, b, offset))
    assert any("the file ends before" in problem for problem in verify(series).problems)


def test_many_problems_are_counted(series, monkeypatch):
    for number in range(150):
        (series / f"note-{number:03d}").write_bytes(b"")
    found = verify(series).problems
    assert len(found) == findings.MOST_PROBLEMS + 1
    assert found[-1] == "and 50 further problems"


def test_memory_is_bounded(tmp_path):
    """Zeros that no disk holds, in one piece."""
    array = np.zeros((2, 8), "u1")
    out = write_series(tmp_path / "out", array)
    size = 1 << 27
    with open(out / "series-00000.bin", "r+b") as file:
        file.truncate(size)

    def large(conf):
        conf["shape"] = [size // 8, 8]
        conf["files"] = [{"name": "series-00000.bin", "first": 0, "count": size // 8}]
        values = {"series-00000.bin": [zlib.crc32(bytes(size))]}
        conf["checksum"] = {"kind": "crc32", "piece": 1 << 40, "values": values}

    rewrite(out, "conf.json", large)
    tracemalloc.start()
    found = verify(out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.ok
    assert peak < pieces.READ_BYTES * (pieces.MOST_THREADS + 4)


def change_file(**entry):
    def change(conf):
        conf["files"][1] |= entry

    return change


def change_checksum(**entry):
    def change(conf):
        conf["checksum"] |= entry

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda conf: conf.update(version=2),
        lambda conf: conf.update(shape=[3, 4, 2**62]),
        lambda conf: conf.update(shape=[3, 4, "5"]),
        lambda conf: conf.update(shape=[3, 4, -5]),
        lambda conf: conf.update(shape=[3, 4, True]),
        lambda conf: conf.update(shape=[10**30] * 3),
        lambda conf: conf.update(shape=[60]),
        lambda conf: conf.update(shape=None),
        lambda conf: conf.update(shape=[4, 4, 5]),
        lambda conf: conf.update(dtype="object"),
        lambda conf: conf.update(dtype=["int16"]),
        lambda conf: conf.update(dtype="int64"),
        lambda conf: conf.update(index=[0]),
        lambda conf: conf.update(files={}),
        lambda conf: conf.update(files=[1]),
        lambda conf: conf["files"].pop(),
        change_file(name="../elsewhere"),
        change_file(name="series-00002.bin"),
        change_file(name=None),
        change_file(first=4),
        change_file(count=2**70),
        change_file(count=0),
        lambda conf: {k: v for k, v in conf.items() if k != "checksum"},
        change_checksum(kind="md5"),
        change_checksum(piece=0),
        change_checksum(piece=2**70),
        change_checksum(piece=1),
        change_checksum(values=[]),
        lambda conf: conf["checksum"]["values"].pop("series-00001.bin"),
        lambda conf: conf["checksum"]["values"]["series-00001.bin"].append(1),
        lambda conf: conf["checksum"]["values"].update({"series-00001.bin": [2**32] * 4}),
        lambda conf: conf["checksum"]["values"].update({"series-00001.bin": [None] * 4}),
    ],
)
def test_a_conf_that_says_what_cannot_be(series, change):
    def changed(conf):
        result = change(conf)
        return result if isinstance(result, dict) and "format" in result else conf

    rewrite(series, "conf.json", changed)
    (problem,) = verify(series).problems
    assert problem.startswith("conf.json: ")
    assert "checksum: it was changed" not in problem


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"[" * 100_000, b"{", b"\xff", b'{"format": "mpimages-images"}', b"[1e999]"],
)
def test_descriptions_that_are_none(tmp_path, content):
    for out, name in zip(
        (write_series(tmp_path / "s", np.zeros((2, 3))), write_pictures(tmp_path / "p", "png")),
        ("conf.json", ".mpimages.json"),
        strict=True,
    ):
        mark = b'{"format": "mpimages-series"} ' if name == "conf.json" else b""
        (out / name).write_bytes(mark + content)
        assert verify(out).problems[0].startswith(f"{name}: ")


def test_an_absurdly_large_description_is_not_read(series, monkeypatch):
    monkeypatch.setattr(findings, "LARGEST_JSON", 100)
    (problem,) = verify(series).problems
    assert "more than 100 bytes" in problem


def change_keys(*ranges):
    return lambda manifest: manifest["files"].update(keys=list(ranges))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.update(version=3),
        lambda manifest: manifest.update(complete=False),
        lambda manifest: manifest.update(kind="gif"),
        lambda manifest: manifest.update(files=[]),
        lambda manifest: manifest["files"].update(prefix="../x"),
        lambda manifest: manifest["files"].update(prefix=3),
        lambda manifest: manifest["files"].update(digits=10**9),
        change_keys([0, 10**18]),
        change_keys([3, 5]),
        change_keys([3, 3], [3, 6]),
        change_keys([7, 8], [3, 5]),
        change_keys([3]),
        change_keys(3),
        change_keys([-1, 2]),
        change_keys([3.0, 6.0]),
        lambda manifest: manifest.pop("sizes"),
        lambda manifest: manifest.update(sizes=[1, 2]),
        lambda manifest: manifest.update(sizes=[-1, 2, 3]),
        lambda manifest: manifest.pop("checksum"),
        lambda manifest: manifest["checksum"].update(kind="md5"),
        lambda manifest: manifest["checksum"].update(values=["1", 2, 3]),
    ],
)
def test_a_manifest_that_says_what_cannot_be(tmp_path, change):
    out = write_pictures(tmp_path / "out", "png")

    def changed(manifest):
        change(manifest)

    rewrite(out, ".mpimages.json", changed)
    (problem,) = verify(out).problems
    assert problem.startswith(".mpimages.json: ")
    assert "it was changed" not in problem


def test_outputs_of_earlier_versions_cannot_be_verified(series, tmp_path):
    conf = json.loads((series / "conf.json").read_text())
    conf.pop("crc32")
    (series / "conf.json").write_bytes(to_json(conf))
    (problem,) = verify(series).problems
    assert "no checksum of its own" in problem
    out = write_pictures(tmp_path / "pictures", "png")
    manifest = json.loads((out / ".mpimages.json").read_text())
    for name in ("crc32", "sizes", "checksum"):
        manifest.pop(name)
    (out / ".mpimages.json").write_bytes(to_json(manifest))
    assert [("cannot be verified" in problem) for problem in verify(out).problems] == [True, True]


def test_what_is_no_output_of_mpimages(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        verify(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        verify("")
    with pytest.raises(TypeError):
        verify(3)
    (tmp_path / "empty").mkdir()
    (tmp_path / "thunder").mkdir()
    (tmp_path / "thunder" / "conf.json").write_text('{"shape": [2, 3], "dtype": "int16"}')
    (tmp_path / "text.bin").write_bytes(b"text")
    os.mkfifo(tmp_path / "fifo")
    for name, message in (
        ("empty", "not an output of mpimages"),
        ("thunder", "another program"),
        ("text.bin", "neither an HDF5 file"),
        ("fifo", "neither a file"),
    ):
        with pytest.raises(FormatError, match=message):
            verify(tmp_path / name)


def test_an_unfinished_output_is_refused(tmp_path):
    partial = tmp_path / ".out.mpimages-partial"
    partial.mkdir()
    with pytest.raises(FileNotFoundError, match="resume=True"):
        verify(tmp_path / "out")
    (partial / PARTIAL_MARK).write_bytes(PARTIAL_TEXT)
    (partial / "out.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    for path in (partial, partial / "out.h5"):
        with pytest.raises(FormatError, match="resume=True"):
            verify(path)


def test_a_path_with_a_link_or_the_home_directory(series, monkeypatch):
    (series.parent / "link").symlink_to("out")
    assert verify(series.parent / "link").ok
    monkeypatch.setenv("HOME", str(series.parent))
    assert verify("~/out").ok


@pytest.mark.slow
def test_the_command(series, tmp_path, capfd):
    from mpimages.verification.__main__ import main

    sound = write_pictures(tmp_path / "pictures", "png")
    assert main([str(sound)]) == 0
    assert capfd.readouterr().out == f"{verify(sound)}\n"
    flip(series / "series-00000.bin", 3)
    assert main([str(series), str(sound)]) == 1
    assert capfd.readouterr().out == f"{verify(series)}\n{verify(sound)}\n"
    assert main([str(tmp_path / "nothing"), str(series)]) == 2
    told = capfd.readouterr()
    assert "nothing" in told.err
    assert "series-00000.bin" in told.out
    assert main([]) == 2
    done = subprocess.run(
        [sys.executable, "-m", "mpimages.verification", series],
        timeout=60,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1


@pytest.mark.slow
def test_the_function_stays_the_function_and_the_write_path_stays_out(series):
    code = (
        "import sys, mpimages\n"
        "from mpimages import verify\n"
        "import mpimages.verification\n"
        f"assert verify({str(series)!r}).ok\n"
        "assert mpimages.verify is verify\n"
        "print([m for m in sys.modules if m.startswith('mpimages.writers') or m == 'mpi4py'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
    assert callable(mpimages.verify)
