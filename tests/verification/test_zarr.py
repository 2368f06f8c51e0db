"""Zarrs of mpimages, damaged in every way: what `verify` says of them."""

import itertools
import json
import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpimages import FormatError, verify
from mpimages.formats.output_names import PARTIAL_MARK, PARTIAL_TEXT
from mpimages.verification import boxes, zarr_files

from ..support.zarrtrees import make_zarr, root_of, write_root

SHAPE, CHUNK, SHARD, PIECE = (5, 7, 9), (1, 4, 5), (2, 4, 10), 100


def values(shape=SHAPE, dtype="u2"):
    return np.random.default_rng(1).integers(0, 99, shape).astype(dtype)


def codec(name, version):
    import numcodecs
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    if version == 2:
        return {"zstd": numcodecs.Zstd(), "gzip": numcodecs.GZip(), None: None}[name]
    known = {"zstd": ZstdCodec(), "gzip": GzipCodec(), "blosc": BloscCodec(typesize=2), None: None}
    return known[name]


def make(path, version=3, shards=None, compression=None, arrays=None, layout="images"):
    arrays = arrays or {"0": values(), "1": values((5, 4, 5))}
    made = make_zarr(path, arrays, CHUNK, shards, version, codec(compression, version), PIECE)
    remark(made, lambda mark: mark.update(layout=layout))
    return made


def remark(path, change):
    """Change what the mark says, with a checksum of its own that fits."""
    root = json.loads(root_of(path).read_bytes())
    mark = root.get("attributes", root)["mpimages"]
    mark.pop("crc32")
    change(mark)
    write_root(path, root)


def files_of(path):
    return sorted(p for p in Path(path).rglob("*") if p.is_file())


def chunks_of(path, array="0"):
    return [p for p in files_of(path / array) if p.name.isdecimal()]


def flip(path, position, mask=0x10):
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    path.write_bytes(content)


KINDS = [
    (3, None, None),
    (3, SHARD, None),
    (3, SHARD, "zstd"),
    (3, SHARD, "gzip"),
    (3, None, "blosc"),
    (2, None, "zstd"),
    (2, None, None),
]


@pytest.mark.parametrize(("version", "shards", "compression"), KINDS)
def test_a_sound_one_is_sound(tmp_path, version, shards, compression):
    for dtype, name in itertools.product(("u1", "u2", "i4", "f8"), ("images", "series")):
        path = tmp_path / f"{dtype}{name}"
        array = values(dtype=dtype)
        make(path, version, shards, compression, {"series": array}, layout=name)
        found = verify(path)
        assert found.ok, str(found)
        assert (found.kind, found.files) == ("zarr", len(files_of(path)))
        documents = sum(p.stat().st_size for p in files_of(path) if not p.name.isdecimal())
        assert found.bytes == array.nbytes + documents
        assert "Zarr, " in str(found)


@pytest.mark.parametrize(("version", "shards", "compression"), KINDS)
def test_each_flipped_byte_is_found_or_harmless(tmp_path, version, shards, compression):
    """Of documents, indices, chunks and what lies behind the end: zarr-python reads the same."""
    import zarr

    array = values((3, 5, 7))
    path = make(tmp_path / "out", version, shards, compression, {"0": array})
    chance = np.random.default_rng(2)
    harmless = 0
    for file in files_of(path):
        size = file.stat().st_size
        count = 8 if file.name.isdecimal() else 40
        places = sorted({*chance.integers(0, size, count).tolist(), size - 1})
        for place in places:
            mask = 1 << int(chance.integers(8))
            flip(file, place, mask)
            try:
                found = verify(path)
            except FormatError:  # its mark is gone
                assert file == root_of(path)
            else:
                if found.ok:
                    assert (zarr.open_array(str(path / "0"), mode="r")[:] == array).all()
                    assert file != root_of(path)
                    harmless += 1
                else:
                    told = file.relative_to(path).as_posix()
                    assert any(told in problem for problem in found.problems), found
            flip(file, place, mask)
    assert verify(path).ok
    assert harmless <= (40 if compression else 0)


@pytest.mark.parametrize(("version", "shards", "compression"), KINDS)
def test_files_that_are_cut_off_longer_missing_or_none(tmp_path, version, shards, compression):
    path = make(tmp_path / "out", version, shards, compression)
    documents = [p for p in files_of(path) if not p.name.isdecimal() and p != root_of(path)]
    for file in [*chunks_of(path)[::6], *chunks_of(path, "1")[:1], *documents]:
        told, content = file.relative_to(path).as_posix(), file.read_bytes()
        damages = [content[:-1], b"", content[: len(content) // 2], None, "link", "pipe", "dir"]
        # What zstd of version 2 ignores behind the end of a chunk is harmless.
        damages += [content + b"\0"] * (shards is not None or compression is None)
        for damage in damages:
            file.unlink()
            if isinstance(damage, bytes):
                file.write_bytes(damage)
            elif damage == "link":
                (tmp_path / "elsewhere").write_bytes(content)
                file.symlink_to(tmp_path / "elsewhere")
            elif damage == "pipe":
                os.mkfifo(file)
            elif damage == "dir":
                file.mkdir()
            found = verify(path)
            assert not found.ok
            assert any(problem.startswith(told) for problem in found.problems), (damage, found)
            shutil.rmtree(file) if damage == "dir" else file.unlink(missing_ok=True)
            file.write_bytes(content)
    assert verify(path).ok


def test_what_is_said(tmp_path):
    path = make(tmp_path / "out", 3, SHARD, "zstd")
    flip(path / "0/c/1/0/0", 20)
    (path / "0/c/0/1/0").unlink()
    flip(path / "1/c/2/0/0", -1)
    (path / "notes.txt").write_text("mine")
    (path / "labels/mine").mkdir(parents=True)
    (path / "0/c/3").mkdir()
    assert verify(path).problems == (
        "0/c/3/: is not part of this output",
        "labels/: is not part of this output",
        "notes.txt: is not part of this output",
        "0/c/0/1/0: is missing: images 0 to 1",
        "0/c/1/0/0: its chunk at bytes [0, 53) does not have its CRC-32C: image 2",
        "1/c/2/0/0: its index does not have its CRC-32C: image 4",
    )


def test_what_is_said_of_values(tmp_path):
    path = make(tmp_path / "out", 3, None, None)
    flip(path / "0/c/2/0/1", 0)  # the value (2, 0, 5), byte 262
    (problem,) = verify(path).problems
    files = [f"0/c/{t}/{y}/{x}" for t, y, x in itertools.product((1, 2), (0, 1), (0, 1))]
    # Of image 1 the rows from 5 on, of image 2 those to 3.
    files = [file for file in files if file not in (files[0], files[1], files[6], files[7])]
    assert problem == (
        f"{', '.join(files)}: bytes [200, 300) of the values of '0' do not have their checksum: "
        "images 1 to 2"
    )
    series = make(tmp_path / "series", 3, None, None, layout="series")
    flip(series / "0/c/2/0/1", 0)
    assert "pixels (1, 4) to (2, 2)" in verify(series).problems[0]


def test_values_behind_the_end_are_found(tmp_path):
    path = make(tmp_path / "out", 3, SHARD, None)
    flip(path / "0/c/0/1/0", 35)  # the fourth row of five values, where the image has three
    assert verify(path).problems == (
        "0/c/0/1/0: its chunk at bytes [0, 40) holds values behind the end of the array: image 0",
    )


def test_chunks_of_a_shard_in_another_order_are_found(tmp_path):
    """All values are right, but no job writes this: there would be bytes that nothing covers."""
    path = make(tmp_path / "out", 3, SHARD, "zstd")
    from mpimages.formats.zarr.nodes import read_node

    index = read_node(str(path / "0")).index
    file = path / "0/c/0/0/0"
    content = file.read_bytes()
    body, places = content[: -index.nbytes], index.decode(content[-index.nbytes :])
    places[:, 0] += 3
    file.write_bytes(b"abc" + body + index.encode(places))
    (problem,) = verify(path).problems
    assert "0/c/0/0/0: its index does not speak of chunks that lie one after the other" in problem


def test_two_swapped_chunks_are_found(tmp_path):
    for number, (version, shards, compression) in enumerate(KINDS):
        path = make(tmp_path / str(number), version, shards, compression)
        first, second = chunks_of(path)[:2]
        a, b = first.read_bytes(), second.read_bytes()
        first.write_bytes(b)
        second.write_bytes(a)
        assert not verify(path).ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mark: mark.update(version=2), "version"),
        (lambda mark: mark.pop("arrays"), "no checksums of arrays"),
        (lambda mark: mark.update(arrays=[]), "no checksums of arrays"),
        (lambda mark: mark.update(arrays={"../x": {}}), "names an array"),
        (lambda mark: mark["arrays"].update({"0": 3}), "names an array"),
        (lambda mark: mark["arrays"]["0"].pop("piece"), "length of a piece"),
        (lambda mark: mark["arrays"]["0"].update(piece=-1), "length of a piece"),
        (lambda mark: mark["arrays"]["0"].update(piece=1 << 61), "not one checksum for each"),
        (lambda mark: mark["arrays"]["0"].update(checksum=3), "no checksums of the values"),
        (lambda mark: mark["arrays"]["0"].update(checksum=["x"]), "a checksum of 0"),
        (lambda mark: mark["arrays"]["0"]["checksum"].pop(), "not one checksum for each"),
        (lambda mark: mark["arrays"].update({"2": mark["arrays"]["0"]}), "no checksum of 2/"),
        (lambda mark: mark.update(documents=3), "documents"),
        (lambda mark: mark["documents"].clear(), "no checksum of"),
        (lambda mark: mark["documents"].update({"../zarr.json": 1}), "names a document"),
        (lambda mark: mark["documents"].update({"0/c/0/0/0": 1}), "names a document"),
        (lambda mark: mark["documents"].update({"0/zarr.json": "x"}), "the checksum of 0"),
    ],
)
def test_a_mark_that_says_something_strange(tmp_path, change, message):
    path = make(tmp_path / "out", arrays={"0": values()})
    remark(path, change)
    assert any(message in problem for problem in verify(path).problems)


@pytest.mark.parametrize("field", ["shape", "chunk_grid", "chunks"])
def test_an_array_that_claims_to_be_huge_costs_no_memory(tmp_path, field):
    """Its document has the checksum that the mark says."""
    import zlib

    path = make(tmp_path / "out", 3, SHARD, "zstd", {"0": values()})
    described = json.loads((path / "0/zarr.json").read_bytes())
    if field == "shape":
        described["shape"] = [1 << 40, 1 << 20, 9]
    elif field == "chunk_grid":
        described["chunk_grid"]["configuration"]["chunk_shape"] = [1 << 30, 1 << 20, 10]
    else:
        described["chunk_grid"]["configuration"]["chunk_shape"] = [1 << 30, 4, 10]
        described["codecs"][0]["configuration"]["chunk_shape"] = [1 << 30, 4, 10]
    content = json.dumps(described).encode()
    (path / "0/zarr.json").write_bytes(content)
    remark(path, lambda mark: mark["documents"].update({"0/zarr.json": zlib.crc32(content)}))
    tracemalloc.start()
    assert not verify(path).ok
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 24


def test_a_file_that_is_huge_costs_no_memory(tmp_path):
    path = make(tmp_path / "out", 2, None, "zstd")
    os.truncate(path / "0/1/0/0", 1 << 40)
    assert verify(path).problems == (
        "0/1/0/0: has 1099511627776 bytes, which no chunk has: image 1",
    )


def test_others_and_unfinished_ones_are_refused(tmp_path):
    import zarr

    zarr.create_array(str(tmp_path / "other"), shape=(3, 4), chunks=(1, 4), dtype="u1")[:] = 1
    said = r"is not an output of mpimages: its zarr\.json is of another program, or damaged"
    with pytest.raises(FormatError, match=said):
        verify(tmp_path / "other")
    path = make(tmp_path / "out")
    (path / PARTIAL_MARK).write_bytes(PARTIAL_TEXT)
    with pytest.raises(FormatError, match="unfinished"):
        verify(path)
    (path / PARTIAL_MARK).unlink()
    with pytest.raises(FormatError, match="not an output"):
        verify(path / "0")
    (path / "zarr.json").unlink()
    with pytest.raises(FormatError, match="not an output"):
        verify(path)


def test_a_disk_that_cannot_read_a_chunk(tmp_path, monkeypatch):
    path = make(tmp_path / "out", 3, SHARD, "zstd")
    read = os.preadv

    def preadv(descriptor, buffers, offset):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("0/c/1/0/0") and not offset:
            raise OSError(5, "Input/output error")
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert [p for p in verify(path).problems if "0/c/1/0/0" in p] == [
        "0/c/1/0/0: its chunk at bytes [0, 53) cannot be read: Input/output error: image 2"
    ]


@settings(max_examples=20)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    piece=st.integers(1, 300),
    limit=st.integers(1, 500),
    damage=st.integers(0, 10**6),
    data=st.data(),
)
def test_any_shapes_chunks_shards_and_pieces(tmp_path_factory, shape, piece, limit, damage, data):
    import zarr

    chunk = tuple(data.draw(st.integers(1, n + 1)) for n in shape)
    shard = tuple(c * data.draw(st.integers(1, 3)) for c in chunk)
    version, shards, compression = data.draw(st.sampled_from(KINDS))
    array = values(shape, data.draw(st.sampled_from(["u1", "i2", "f4"])))
    made = make_zarr(
        tmp_path_factory.mktemp("zarr") / "out",
        {"series": array},
        chunk,
        None if shards is None else shard,
        version,
        codec(compression, version),
        piece,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "BOX_BYTES", limit)
        patch.setattr(zarr_files, "INDEX_BYTES", limit)
        assert verify(made).ok
        place = tuple(int(n) for n in np.unravel_index(damage % array.size, shape))
        opened = zarr.open_array(str(made / "series"), mode="r+")
        opened[place] = array[place] + 1
        (problem,) = verify(made).problems
    if shards is not None and "index" in problem:
        return  # zarr-python has put the shard into an order of its own
    first, stop = map(int, problem.partition("[")[2].partition(")")[0].split(","))
    begin = int(np.ravel_multi_index(place, shape)) * array.itemsize
    assert first < begin + array.itemsize
    assert stop > begin


def test_memory_is_bounded(tmp_path, monkeypatch):
    """Zeros, in chunks that lie across the whole array."""
    from zarr.codecs import ZstdCodec

    array = np.zeros((64, 128, 1024), "u1")
    path = make_zarr(tmp_path / "out", {"0": array}, (64, 64, 128), None, 3, ZstdCodec(), 4 << 20)
    monkeypatch.setattr(boxes, "BOX_BYTES", 2 << 20)
    tracemalloc.start()
    assert verify(path).ok
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 << 20


def test_the_command_counts_the_bytes_below(tmp_path):
    from mpimages.commands.verify import _stored

    path = make(tmp_path / "out", 3, SHARD, "zstd")
    told = []
    assert verify(path, told.append).ok
    assert _stored(str(path)) == sum(file.stat().st_size for file in files_of(path))
    assert 0 < sum(told) <= _stored(str(path))
