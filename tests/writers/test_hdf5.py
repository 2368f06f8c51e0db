"""HDF5 files written past HDF5: ordinary for HDF5, and the same for any ranks and cuts."""

import json
import os

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages.writers.hdf5 import writer
from mpimages.writers.hdf5.chunk_shape import chunk_shape
from mpimages.writers.hdf5.writer import Hdf5Writer
from mpimages.writers.output import array as array_writer
from mpimages.writers.output.staging import staged

from ..support.hdf5files import laid_out, load, save, values

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]
SHAPES = [(1, 1), (7, 9), (1, 8, 1), (8, 1, 7), (3, 5, 2, 7)]  # dims + (T,)


@pytest.mark.parametrize("chunks", [None, True])
@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.ranks
def test_every_dtype_comes_back(comm, shared_path, dtype, layout, chunks):
    array = values((3, 5, 2, 7), dtype)
    save(comm, shared_path / "out.h5", array, range(0, 30, 4), layout=layout, chunks=chunks)
    found, attributes, _ = load(shared_path / "out.h5")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, laid_out(array, layout))
    assert attributes["layout"] == layout
    assert attributes["mpimages_format"] == 1


@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.ranks
def test_awkward_shapes_chunks_and_ranks(comm, shared_path, tmp_path, shape, layout):
    array = values(shape)
    stored = laid_out(array, layout)
    for number, chunks in enumerate(
        [None, True, (1,) * len(shape), stored.shape, tuple(-(-n // 2) for n in stored.shape)]
    ):
        path = shared_path / f"{number}.h5"
        save(comm, path, array, range(0, array.size, 2), layout=layout, chunks=chunks)
        found, _, cut = load(path)
        np.testing.assert_array_equal(found, stored)
        assert cut == (chunks if chunks is not True else cut)
        alone = tmp_path / f"alone{number}.h5"
        save(MPI.COMM_SELF, alone, array, [], layout=layout, chunks=chunks)
        assert alone.read_bytes() == path.read_bytes()


@given(st.data())
def test_the_bytes_do_not_depend_on_the_cuts(tmp_path_factory, data):
    shape = data.draw(st.lists(st.sampled_from([1, 2, 7, 8, 9]), min_size=2, max_size=4))
    layout = data.draw(st.sampled_from(["series", "images"]))
    array = values(shape)
    stored = laid_out(array, layout)
    chunks = data.draw(
        st.one_of(
            st.sampled_from([None, True]), st.tuples(*(st.integers(1, n) for n in stored.shape))
        )
    )
    as_images = layout == "images" and data.draw(st.booleans())
    cuts = data.draw(st.lists(st.integers(0, array.size)))
    home = tmp_path_factory.mktemp("cuts")
    save(MPI.COMM_SELF, home / "a", array, [], layout=layout, chunks=chunks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(array_writer, "TURN_BYTES", 16)
        patch.setattr(array_writer, "LINE_BYTES", 4)
        save(MPI.COMM_SELF, home / "b", array, cuts, as_images, layout=layout, chunks=chunks)
    assert (home / "a").read_bytes() == (home / "b").read_bytes()
    np.testing.assert_array_equal(load(home / "b")[0], stored)


def test_writing_it_again_later_gives_the_same_bytes(tmp_path, monkeypatch):
    """HDF5 keeps times in seconds unless told not to."""
    import time

    save(MPI.COMM_SELF, tmp_path / "a", values((7, 9)), [], dataset="x/y/z", chunks=True)
    time.sleep(1.1)
    save(MPI.COMM_SELF, tmp_path / "b", values((7, 9)), [], dataset="x/y/z", chunks=True)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("chunks", [None, True])
def test_any_hdf5_library_can_open_it(tmp_path, chunks):
    """The first version of the format throughout, unfiltered: the dataset and its scales."""
    save(MPI.COMM_SELF, tmp_path / "out", values((7, 9)), [], chunks=chunks)
    with h5py.File(tmp_path / "out", "r") as file:
        dataset = file["series"]
        assert file.id.get_create_plist().get_version()[0] == 0  # the superblock's
        assert dataset._filters == {}
        assert list(file) == ["row", "series", "time"]
        assert sorted(dataset.attrs) == [
            "DIMENSION_LABELS",
            "DIMENSION_LIST",
            "checksum",
            "checksum_piece",
            "index",
            "layout",
            "metadata",
            "mpimages_format",
        ]


def test_attributes_and_nested_names(tmp_path):
    array = values((2, 3))
    save(
        MPI.COMM_SELF,
        tmp_path / "out",
        array,
        [],
        dataset="/mouse 1/größe",
        index=[5, 7, 9],
        metadata={"unit": "µm", "frameInterval": float("inf")},
        attributes={"source": "a.tif", "startIdx": 3},
    )
    found, attributes, _ = load(tmp_path / "out", "mouse 1/größe")
    np.testing.assert_array_equal(found, array)
    assert attributes["index"].tolist() == [5, 7, 9]
    assert attributes["index"].dtype == np.int64
    assert json.loads(attributes["metadata"]) == {"unit": "µm", "frameInterval": None}
    assert attributes["source"] == "a.tif"
    assert attributes["startIdx"] == 3


def test_an_index_and_metadata_beyond_64_kilobytes(tmp_path):
    array = np.zeros((1, 100_000), "u1")
    save(MPI.COMM_SELF, tmp_path / "out", array, [], metadata={"note": "x" * 100_000})
    _, attributes, _ = load(tmp_path / "out")
    np.testing.assert_array_equal(attributes["index"], np.arange(100_000))
    assert len(json.loads(attributes["metadata"])["note"]) == 100_000


@pytest.mark.parametrize("shape", [(3 << 29, 2), (3 << 10, 1 << 20)])
@pytest.mark.parametrize("chunks", [None, True])
def test_more_than_2_gigabytes(tmp_path, shape, chunks):
    """A sparse file of which only the end is written: offsets beyond 31 and 32 bits."""
    path = str(tmp_path / "out")
    writer = Hdf5Writer(MPI.COMM_SELF, path, "series", shape, "u2", chunks=chunks)
    block = values((1, shape[-1]))
    writer.write(shape[0] - 1, block)
    writer.close()
    assert os.path.getsize(path) > 2**32
    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["series"][-1:], block)
        assert not file["series"][0].any()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"shape": (0, 5)}, ValueError, "nothing to store"),
        ({"shape": (5,)}, ValueError, "nothing to store"),
        ({"dtype": "c8"}, TypeError, "complex64"),
        ({"dtype": "?"}, TypeError, "bool"),
        ({"layout": "frames"}, ValueError, "series, images"),
        ({"dataset": ""}, ValueError, "name"),
        ({"dataset": "a//b"}, ValueError, "name"),
        ({"dataset": "../a"}, ValueError, "name"),
        ({"dataset": "a\0b"}, ValueError, "name"),
        ({"dataset": b"a"}, TypeError, "text"),
        ({"index": [1]}, ValueError, "must have 5 values"),
        ({"metadata": {"a": {1, 2}}}, TypeError, "set"),
        ({"attributes": {"index": 1}}, ValueError, "own"),
        ({"chunks": (7,)}, ValueError, "2 axes"),
        ({"chunks": (8, 5)}, ValueError, "does not fit"),
        ({"chunks": (0, 5)}, ValueError, "does not fit"),
        ({"chunks": (1.5, 5)}, TypeError, "one int per axis"),
        ({"chunks": 7}, TypeError, "one int per axis"),
        ({"chunks": "ab"}, TypeError, "one int per axis"),
    ],
)
@pytest.mark.ranks
def test_what_cannot_be_stored_is_refused(comm, shared_path, changes, error, message):
    arguments = {"dataset": "series", "shape": (7, 5), "dtype": "u1"} | changes
    with pytest.raises(error, match=message), staged(comm, shared_path / "o", "hdf5") as where:
        Hdf5Writer(comm, where, **arguments)
    assert list(shared_path.iterdir()) == []


@pytest.mark.parametrize("layout", ["series", "images"])
def test_blocks_that_do_not_fit_are_refused(tmp_path, layout):
    writer = Hdf5Writer(MPI.COMM_SELF, str(tmp_path / "o"), "s", (7, 5), "u1", layout)
    for first, block in [
        (0, np.zeros((2, 4), "u1")),
        (0, np.zeros((2, 5), "u2")),
        (6, np.zeros((2, 5), "u1")),
        (-1, np.zeros((1, 5), "u1")),
    ]:
        with pytest.raises(ValueError, match="block"):
            writer.write(first, block)
    for first, images in [
        (0, np.zeros((2, 8), "u1")),
        (4, np.zeros((2, 7), "u1")),
        (0, np.zeros((2, 7), "i1")),
        (-1, np.zeros((1, 7), "u1")),
    ]:
        with pytest.raises(ValueError, match="image"):
            writer.write_images(first, images)
    writer.write(7, np.zeros((0, 5), "u1"))  # nothing is not too much
    writer.close()


def test_an_existing_file_is_not_touched(tmp_path):
    (tmp_path / "o").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        Hdf5Writer(MPI.COMM_SELF, str(tmp_path / "o"), "s", (7, 5), "u1")
    assert (tmp_path / "o").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("shape", "itemsize", "layout", "chunk"),
    [
        ((512, 512, 1000), 2, "series", (1, 512, 1000)),
        ((76, 87, 2, 240), 1, "series", (25, 87, 2, 240)),
        ((512, 512, 1 << 21), 2, "series", (1, 1, 1 << 21)),
        ((7, 9), 8, "series", (7, 9)),
        ((2, 1 << 40), 2, "series", (1, 1 << 27)),
        ((1000, 512, 512), 2, "images", (2, 512, 512)),
        ((1000, 64, 64), 2, "images", (128, 64, 64)),
        ((10, 4096, 4096), 2, "images", (1, 4096, 4096)),
        ((10, 1 << 16, 1 << 16), 2, "images", (1, 2048, 1 << 16)),
    ],
)
def test_the_default_chunks(shape, itemsize, layout, chunk):
    assert chunk_shape(True, shape, itemsize, layout) == chunk


def test_chunks_that_hdf5_cannot_take():
    assert chunk_shape(False, (7, 9), 2, "series") is None
    assert chunk_shape([np.int64(7), 9], (7, 9), 2, "series") == (7, 9)
    with pytest.raises(ValueError, match="4 GiB"):
        chunk_shape((1 << 16, 1 << 16), (1 << 16, 1 << 17), 1, "series")
    with pytest.raises(ValueError, match="chunks, more than"):
        chunk_shape((1, 1), (1 << 16, 1 << 17), 1, "series")


def test_without_chunk_iter(tmp_path, monkeypatch):
    """HDF5 before 1.10.10 finds chunks one by one."""

    class Older:
        def __init__(self, raw):
            self.get_chunk_info_by_coord = raw.get_chunk_info_by_coord

    save(MPI.COMM_SELF, tmp_path / "a", values((7, 9)), [], chunks=(2, 4))
    find = writer.find_places
    monkeypatch.setattr(writer, "find_places", lambda raw, *rest: find(Older(raw), *rest))
    save(MPI.COMM_SELF, tmp_path / "b", values((7, 9)), [], chunks=(2, 4))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_storage_that_hdf5_did_not_allocate_is_an_internal_error(tmp_path, monkeypatch):
    class Late:
        def get_offset(self):
            return None

    find = writer.find_places
    monkeypatch.setattr(writer, "find_places", lambda raw, *rest: find(Late(), *rest))
    with pytest.raises(RuntimeError, match="did not allocate"):
        save(MPI.COMM_SELF, tmp_path / "a", values((7, 9)), [])
    assert list(tmp_path.iterdir()) == []
