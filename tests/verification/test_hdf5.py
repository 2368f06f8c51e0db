"""HDF5 files made by plain h5py, damaged: what `verify` says of them."""

import math
import os
import tracemalloc
import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages import FormatError, Verified, verify
from mpimages.dims import box_shape
from mpimages.verification import boxes

SHAPE = (4, 6, 5)


def values(shape, dtype):
    return np.random.default_rng(3).integers(0, 100, shape).astype(dtype)


def checksums(array, piece):
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return [zlib.crc32(data[a : a + piece]) for a in range(0, len(data), piece)]


def write(path, array, piece=16, name="series", mode="w", **options):
    with h5py.File(path, mode) as file:
        dataset = file.create_dataset(name, data=array, **options)
        dataset.attrs["mpimages_format"] = 1
        dataset.attrs["checksum"] = np.array(checksums(array, piece), dtype=np.uint32)
        dataset.attrs["checksum_piece"] = np.int64(piece)
    return path


def flip(path, position):
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x10]))


def places(path, name="series"):
    """(byte in the file, length) of each run in which a dataset is stored."""
    with h5py.File(path) as file:
        raw = file[name].id
        if file[name].chunks is None:
            return [(raw.get_offset(), file[name].nbytes)]
        infos = [raw.get_chunk_info(i) for i in range(raw.get_num_chunks())]
        return [(info.byte_offset, info.size) for info in infos]


@pytest.mark.parametrize("piece", [1, 7, 16, 240, 1000])
@pytest.mark.parametrize("dtype", ["i2", ">i2", "u1", ">f8", "<f4", "f2"])
@pytest.mark.parametrize("chunks", [None, (2, 4, 5), (1, 1, 2)])
def test_a_sound_file(tmp_path, piece, dtype, chunks):
    array = values(SHAPE, dtype)
    path = write(tmp_path / "a.h5", array, piece, chunks=chunks)
    assert verify(path) == Verified(str(path), "hdf5", 1, array.nbytes, ())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["i2", ">i2", ">f8"])
@pytest.mark.parametrize("piece", [7, 16])
def test_each_flipped_byte_is_named(tmp_path, dtype, piece):
    array = values(SHAPE, dtype)
    path = write(tmp_path / "a.h5", array, piece)
    ((offset, size),) = places(path)
    item = array.itemsize
    for position in range(size):
        flip(path, offset + position)
        within = position
        if dtype.startswith(">"):  # the checksums are of the little-endian bytes
            within = position // item * item + item - 1 - position % item
        first = within // piece * piece
        stop = min(first + piece, size)
        low, high = (
            tuple(int(n) for n in np.unravel_index(byte // item, SHAPE))
            for byte in (first, stop - 1)
        )
        assert verify(path).problems == (
            f"dataset '/series': bytes [{first}, {stop}) do not have their checksum: "
            f"values {low} to {high}",
        )
        flip(path, offset + position)
    assert verify(path).ok


def test_a_flipped_byte_in_each_chunk_is_named(tmp_path):
    array = values((4, 6), "i2")
    path = write(tmp_path / "a.h5", array, 12, chunks=(2, 6))
    for number, (offset, _) in enumerate(places(path)):
        flip(path, offset + 13)
        (problem,) = verify(path).problems
        row = 2 * number + 1
        assert problem == (
            f"dataset '/series': bytes [{12 * row}, {12 * row + 12}) do not have their "
            f"checksum: values ({row}, 0) to ({row}, 5)"
        )
        flip(path, offset + 13)


@pytest.mark.parametrize("fletcher32", [False, True])
def test_a_compressed_chunk_that_cannot_be_read(tmp_path, fletcher32):
    array = values((4, 6, 20), "i2")
    path = write(
        tmp_path / "a.h5", array, 240, chunks=(1, 6, 20), compression="gzip", fletcher32=fletcher32
    )
    stored = places(path)
    for number, (offset, size) in enumerate(stored):
        for position in {*range(0, size, 9), size - 1}:
            flip(path, offset + position)
            (problem,) = verify(path).problems
            assert f"bytes [{240 * number}, {240 * (number + 1)}) " in problem
            assert f"values ({number}, 0, 0) to ({number}, 5, 19)" in problem
            if fletcher32:
                assert "cannot be read" in problem
            flip(path, offset + position)
    for offset, _ in stored[1:3]:
        flip(path, offset)
    assert "bytes [240, 720) cannot be read" in verify(path).problems[0]


@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    piece=st.integers(1, 300),
    limit=st.integers(1, 500),
    damage=st.integers(0, 10**6),
    data=st.data(),
)
def test_any_chunks_boxes_and_pieces(tmp_path_factory, shape, piece, limit, damage, data):
    chunks = tuple(data.draw(st.integers(1, n)) for n in shape)
    dtype = data.draw(st.sampled_from(["u1", "i2", ">i4"]))
    array = values(shape, dtype)
    path = write(tmp_path_factory.mktemp("boxes") / "a.h5", array, piece, chunks=chunks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "BOX_BYTES", limit)
        assert verify(path) == Verified(str(path), "hdf5", 1, array.nbytes, ())
        place = np.unravel_index(damage % array.size, shape)
        with h5py.File(path, "r+") as file:
            file["series"][place] = array[place] + 1
        changed = array.copy()
        changed[place] += 1
        pairs = zip(checksums(array, piece), checksums(changed, piece), strict=True)
        wrong = [number for number, (a, b) in enumerate(pairs) if a != b]
        (problem,) = verify(path).problems
    assert f"bytes [{wrong[0] * piece}, {min((wrong[-1] + 1) * piece, array.nbytes)})" in problem


def test_a_box_is_of_whole_chunks_and_bounded(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        # 3 GB along the first axis of chunks: nothing is stored.
        dataset = file.create_dataset("a", (1000, 4096, 4096), "u2", chunks=(100, 64, 64))
        extent = box_shape(dataset.shape, dataset.chunks, 2, boxes.BOX_BYTES)
        assert math.prod(extent) * 2 <= boxes.BOX_BYTES
        assert extent == (100, 64, 4096)
        assert box_shape((9, 9), (2, 2), 2, boxes.BOX_BYTES) == (9, 9)


def test_memory_is_bounded(tmp_path):
    """Compressed zeros, in chunks that lie across the whole dataset."""
    array = np.zeros((64, 1024, 1024), "u1")
    path = write(tmp_path / "a.h5", array, 4 << 20, chunks=(64, 128, 128), compression="gzip")
    tracemalloc.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxes, "BOX_BYTES", 8 << 20)
        assert verify(path).ok
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_datasets_in_groups_and_those_of_others(tmp_path):
    path = write(tmp_path / "a.h5", values((3, 4), "u2"), name="a/b")
    write(path, values((5, 6), "u1"), name="c", mode="a")
    assert verify(path).bytes == 24 + 30
    with h5py.File(path, "a") as file:
        file["link"] = h5py.SoftLink("/nowhere")
        file["outside"] = h5py.ExternalLink("/dev/zero", "/x")
        file["foreign"] = np.zeros(3)
    assert verify(path).problems == ("dataset '/foreign' is not of mpimages, and was not verified",)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"checksum": None}, "no checksums"),
        ({"checksum_piece": None}, "no checksums"),
        ({"checksum_piece": np.int64(0)}, "not one number for each piece"),
        ({"checksum_piece": np.int64(-5)}, "not one number for each piece"),
        ({"checksum_piece": np.int64(2**62)}, "not one number for each piece"),
        ({"checksum_piece": "16"}, "is no number"),
        ({"checksum_piece": np.arange(3)}, "is no number"),
        ({"checksum": np.zeros((2, 2), "u4")}, "not one number for each piece"),
        ({"checksum": np.zeros(2, "f4")}, "not one number for each piece"),
        ({"mpimages_format": 2}, "version"),
        ({"mpimages_format": "one"}, "version"),
        ({"mpimages_format": np.arange(3)}, "version"),
    ],
)
def test_attributes_that_cannot_be(tmp_path, attributes, message):
    path = write(tmp_path / "a.h5", values((3, 8), "u1"), 16)
    with h5py.File(path, "a") as file:
        for name, value in attributes.items():
            del file["series"].attrs[name]
            if value is not None:
                file["series"].attrs[name] = value
    (problem,) = verify(path).problems
    assert problem.startswith("dataset '/series': ")
    assert message in problem


def add_marked(path, make):
    with h5py.File(path, "w") as file:
        dataset = make(file)
        dataset.attrs["mpimages_format"] = 1
        dataset.attrs["checksum"] = np.zeros(1, "u4")
        dataset.attrs["checksum_piece"] = np.int64(2**60)
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: file.create_dataset("a", (2**40, 2**9), "u1", chunks=(2**20, 1)), "claims"),
        (lambda file: file.create_dataset("a", (0, 3), "u1"), "claims"),
        (lambda file: file.create_dataset("a", (), "u1"), "mpimages writes none"),
        (lambda file: file.create_dataset("a", (2,), h5py.string_dtype()), "mpimages writes none"),
        (lambda file: file.create_dataset("a", (4,), "u1", external="/dev/zero"), "other files"),
        (lambda file: file.create_virtual_dataset("a", virtual()), "other files"),
    ],
)
def test_datasets_that_mpimages_would_not_write(tmp_path, make, message):
    path = add_marked(tmp_path / "a.h5", make)
    (problem,) = verify(path).problems
    assert problem.startswith("dataset '/a': ")
    assert message in problem


def virtual():
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
    return layout


def test_a_filter_that_is_not_available(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", values((4, 6), "i2"), chunks=(2, 6), compression="gzip")
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: False)
    (problem,) = verify(path).problems
    assert "filter 1" in problem
    assert "hdf5plugin" in problem


def test_a_file_that_cannot_be_opened(tmp_path):
    path = write(tmp_path / "a.h5", values(SHAPE, "i2"))
    content = path.read_bytes()
    for wrong in (content[:-1], content[:600], content[:9], content[:8] + b"\xff" * 600):
        path.write_bytes(wrong)
        (problem,) = verify(path).problems
        assert "cannot be opened as HDF5" in problem
    path.write_bytes(b"\x88" + content[1:])
    with pytest.raises(FormatError, match="first bytes are damaged"):
        verify(path)


def test_an_hdf5_file_of_another_program(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.zeros(3)
    with pytest.raises(FormatError, match="wrote no dataset"):
        verify(tmp_path / "a.h5")


def test_values_that_the_file_does_not_hold(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5", values(SHAPE, "i2"))
    ((offset, size),) = places(path)
    plain = os.path.getsize
    monkeypatch.setattr(os.path, "getsize", lambda p: offset + 40 if p == str(path) else plain(p))
    (problem,) = verify(path).problems
    assert problem == f"dataset '/series': only 40 of its {size} bytes are in the file"
