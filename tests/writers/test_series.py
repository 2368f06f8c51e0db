"""Binary series: the files against NumPy's bytes, for any ranks, cuts and orders."""

import itertools
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages.core import crc32
from mpimages.writers.binaryseries import BinarySeriesWriter
from mpimages.writers.output.staging import staged

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
SHAPES = [(1, 1), (7, 9), (8, 1, 7), (1, 9, 2, 8), (7, 9, 2, 5)]


def values(shape, dtype):
    rng = np.random.default_rng(len(shape))
    return rng.integers(0, 120, shape).astype(dtype)


def save(comm, path, array, cuts, block_bytes=100, order=None, **options):
    """Write `array` with its pixels cut at `cuts`, the blocks dealt out to the ranks."""
    flat = array.reshape(-1, array.shape[-1])
    bounds = sorted({0, len(flat), *(cut for cut in cuts if cut < len(flat))})
    blocks = list(itertools.pairwise(bounds))
    options = {"index": range(array.shape[-1]), "metadata": {}} | options
    with staged(comm, path, "binaryseries") as where:
        writer = BinarySeriesWriter(
            comm, where, array.shape, array.dtype, block_bytes=block_bytes, **options
        )
        for first, stop in (order or list)(blocks)[comm.rank :: comm.size]:
            writer.write(first, flat[first:stop])
        writer.finish()


def contents(path):
    return {p.name: p.read_bytes() for p in sorted(Path(path).iterdir())}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_files_are_the_array(comm, shared_path, shape, dtype):
    array = values(shape, dtype)
    save(comm, shared_path / "out", array, range(0, array.size, 3))
    found = contents(shared_path / "out")
    text = found.pop("conf.json")
    conf = json.loads(text)
    assert conf["crc32"] == zlib.crc32(text[: text.rindex(b'  "crc32"')])
    assert found.pop("SUCCESS") == b""
    stored = array.astype(array.dtype.newbyteorder("<"))
    assert b"".join(found.values()) == stored.tobytes()
    assert list(found) == [f["name"] for f in conf["files"]]
    pixel = array.itemsize * shape[-1]
    per_file = max(1, 100 // pixel)
    first = 0
    for file in conf["files"]:
        assert file["first"] == first
        assert len(found[file["name"]]) == file["count"] * pixel
        assert file["count"] == min(per_file, array.size // shape[-1] - first)
        first += file["count"]
    assert conf["checksum"] == {
        "kind": "crc32",
        "piece": 4 << 20,
        "values": {name: [zlib.crc32(data)] for name, data in found.items()},
    }
    assert conf["shape"] == list(shape)
    assert conf["dtype"] == array.dtype.name


def test_the_bytes_do_not_depend_on_the_ranks(comm, shared_path, tmp_path):
    array = values((7, 9, 2, 5), "i2")
    save(comm, shared_path / "all", array, range(0, 126, 4), 150, metadata={"unit": "µm"})
    save(MPI.COMM_SELF, tmp_path / "one", array, [], 150, metadata={"unit": "µm"})
    assert contents(shared_path / "all") == contents(tmp_path / "one")


@given(st.lists(st.integers(0, 126), max_size=8), st.randoms(use_true_random=False))
def test_the_bytes_do_not_depend_on_the_cuts(tmp_path_factory, cuts, random):
    array = values((7, 9, 2, 5), "u2")
    home = tmp_path_factory.mktemp("cuts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crc32, "PIECE", 64)
        save(MPI.COMM_SELF, home / "a", array, [], 200)
        save(
            MPI.COMM_SELF,
            home / "b",
            array,
            cuts,
            200,
            order=lambda blocks: random.sample(blocks, len(blocks)),
        )
    assert contents(home / "a") == contents(home / "b")


def test_blocks_of_any_memory_and_byte_order(tmp_path):
    array = values((7, 5), "u2")
    save(MPI.COMM_SELF, tmp_path / "plain", array, [])
    for name, other in {
        "turned": np.asfortranarray(array),
        "swapped": array.astype(">u2"),
        "strided": np.repeat(array, 2, axis=0)[::2],
    }.items():
        with staged(MPI.COMM_SELF, tmp_path / name, "binaryseries") as where:
            writer = BinarySeriesWriter(
                MPI.COMM_SELF, where, other.shape, other.dtype, range(5), None, 100
            )
            other.flags.writeable = False
            writer.write(0, other)
            writer.finish()
        assert contents(tmp_path / name) == contents(tmp_path / "plain")


def test_conf_json_is_plain_and_readable(tmp_path):
    """One field a line, Thunder's `shape` and `dtype` among them; the index as given."""
    save(
        MPI.COMM_SELF,
        tmp_path / "out",
        values((2, 3), "f4"),
        [],
        8,
        index=np.array([5, 7, 9]),
        metadata={
            "unit": "µm",
            "pixelSize": (0.5, np.float32(0.25), None),
            "frameInterval": float("nan"),
            "a": np.arange(2),
        },
    )
    text = (tmp_path / "out" / "conf.json").read_text(encoding="ascii")
    own = zlib.crc32(text[: text.rindex('  "crc32"')].encode())
    assert text == (
        "{\n"
        '  "format": "mpimages-series",\n'
        '  "version": 1,\n'
        '  "shape": [2, 3],\n'
        '  "dtype": "float32",\n'
        '  "index": [5, 7, 9],\n'
        '  "metadata": {"a": [0, 1], "frameInterval": null, "pixelSize": [0.5, 0.25, null], '
        '"unit": "\\u00b5m"},\n'
        '  "files": [{"count": 1, "first": 0, "name": "series-00000.bin"}, '
        '{"count": 1, "first": 1, "name": "series-00001.bin"}],\n'
        '  "checksum": {"kind": "crc32", "piece": 4194304, "values": '
        f"{json.dumps(crcs(tmp_path / 'out'))}}},\n"
        f'  "crc32": {own}\n'
        "}\n"
    )


def crcs(path):
    return {n: [zlib.crc32(d)] for n, d in contents(path).items() if n.endswith(".bin")}


@pytest.mark.parametrize("block_bytes", [-5, 0, 1, 9, 10, 11, 10**12])
def test_files_hold_whole_pixels(tmp_path, block_bytes):
    array = values((8, 5), "u2")
    save(MPI.COMM_SELF, tmp_path / "out", array, [3], block_bytes)
    sizes = [len(d) for n, d in contents(tmp_path / "out").items() if n.endswith(".bin")]
    assert sizes == ([80] if block_bytes > 80 else [10] * 8)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"shape": (0, 5)}, ValueError, "nothing to store"),
        ({"shape": (7, 0)}, ValueError, "nothing to store"),
        ({"shape": (5,)}, ValueError, "nothing to store"),
        ({"dtype": "c8"}, TypeError, "complex64"),
        ({"dtype": "U3"}, TypeError, "must be integers or floats"),
        ({"dtype": "O"}, TypeError, "must be integers or floats"),
        ({"dtype": "?"}, TypeError, "bool"),
        ({"dtype": "g"}, TypeError, "must be integers or floats"),
        ({"index": range(4)}, ValueError, "must have 5 values"),
        ({"index": [1, 2, 3, 4, float("nan")]}, ValueError, "finite"),
        ({"index": list("abcde")}, ValueError, "finite"),
        ({"index": np.array([0, 1, 2, 3, 2**63], "u8")}, ValueError, "64-bit"),
        ({"metadata": {"a": object()}}, TypeError, "object"),
        ({"metadata": {1: 2}}, TypeError, "keys must be text"),
        ({"shape": (400, 500, 5), "block_bytes": 1}, ValueError, "200000 files"),
    ],
)
def test_what_cannot_be_stored_is_refused(comm, shared_path, changes, error, message):
    arguments = {
        "shape": (7, 5),
        "dtype": "u1",
        "index": range(5),
        "metadata": None,
        "block_bytes": 100,
    } | changes
    with (
        pytest.raises(error, match=message),
        staged(comm, shared_path / "out", "binaryseries") as where,
    ):
        BinarySeriesWriter(comm, where, **arguments)
    assert list(shared_path.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "block", "message"),
    [
        (0, np.zeros((2, 4), "u1"), r"\(k, 5\)"),
        (0, np.zeros(5, "u1"), r"\(k, 5\)"),
        (0, np.zeros((2, 5), "u2"), "uint16"),
        (6, np.zeros((2, 5), "u1"), "at 6 of 7"),
        (-1, np.zeros((2, 5), "u1"), "at -1 of 7"),
    ],
)
def test_blocks_that_do_not_fit_are_refused(tmp_path, first, block, message):
    writer = BinarySeriesWriter(MPI.COMM_SELF, str(tmp_path), (7, 5), "u1", range(5), None, 100)
    with pytest.raises(ValueError, match=message):
        writer.write(first, block)
    writer.close()


@pytest.mark.parametrize(
    ("blocks", "count"), [([(0, 3)], 15), ([(2, 7)], 25), ([(0, 7), (3, 4)], 40)]
)
def test_pixels_that_nobody_or_two_wrote_are_found(tmp_path, blocks, count):
    with (
        pytest.raises(RuntimeError, match=f"{count} bytes instead of 35"),
        staged(MPI.COMM_SELF, tmp_path / "out", "binaryseries") as where,
    ):
        writer = BinarySeriesWriter(MPI.COMM_SELF, where, (7, 5), "u1", range(5), None, 100)
        for a, b in blocks:
            writer.write(a, np.zeros((b - a, 5), "u1"))
        writer.finish()
    assert list(tmp_path.iterdir()) == []


def test_more_than_four_gigabytes_in_one_sparse_file(tmp_path):
    """Only both ends are written: offsets beyond 32 bits, in a file of holes."""
    pixels = (5 << 30) // 8
    writer = BinarySeriesWriter(MPI.COMM_SELF, str(tmp_path), (pixels, 1), "i8", [0], None, 1 << 40)
    block = np.arange(9).reshape(9, 1)
    writer.write(pixels - 9, block)
    writer.close()
    with open(tmp_path / "series-00000.bin", "rb") as file:
        file.seek(5 * 2**30 - 72)
        assert file.read() == block.astype("<i8").tobytes()
