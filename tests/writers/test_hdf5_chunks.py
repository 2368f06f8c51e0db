"""Compressed HDF5: every filter, layout and chunk, from any ranks, in one job or several."""

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages import FormatError
from mpimages.dims import pixel_grain
from mpimages.formats.hdf5_plugins import require_filters
from mpimages.writers.hdf5 import filters as hdf5_filters
from mpimages.writers.hdf5.chunks import CompressedWriter
from mpimages.writers.hdf5.filters import Filters, chunk_encoder, parse_compression
from mpimages.writers.hdf5.writer import hdf5_writer

from ..support.hdf5files import assert_sound, cut, laid_out, load, save, values

SHAPE = (5, 7, 6)
FILTERS = [
    "gzip",
    True,
    1,
    0,
    "lzf",
    ("gzip", 9),
    {"compression": "gzip", "compression_opts": 2, "shuffle": True},
    {"shuffle": True},
    {"fletcher32": True},
    {"compression": "lzf", "shuffle": True, "fletcher32": True},
    {"compression": 1, "compression_opts": (3,), "shuffle": False},
]
# Who writes which chunk does not depend on the filter: two show it on any number of ranks.
FILTERS_OF_RANKS = [
    pytest.param(filters, marks=() if at in (0, 9) else pytest.mark.few_ranks)
    for at, filters in enumerate(FILTERS)
]
CHUNKS = [None, True, (2, 3, 4), (1, 1, 1), (5, 7, 6), (1, 2, 5)]


def noise(shape=SHAPE, dtype="u2"):
    return np.random.default_rng(5).integers(0, 99, shape).astype(dtype)


def chunks_for(layout, chunks):
    return (chunks[-1], *chunks[:-1]) if layout == "images" and type(chunks) is tuple else chunks


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("compression", FILTERS_OF_RANKS, ids=str)
@pytest.mark.ranks
def test_every_filter_and_chunk_comes_back(comm, shared_path, tmp_path, compression, layout):
    array = noise()
    for number, chunks in enumerate(CHUNKS):
        options = {"layout": layout, "chunks": chunks_for(layout, chunks)}
        path, alone = shared_path / f"{number}.h5", tmp_path / f"alone{number}.h5"
        save(comm, path, array, range(0, 35, 3), compression=compression, **options)
        save(MPI.COMM_SELF, alone, array, [], compression=compression, threads=2, **options)
        assert path.read_bytes() == alone.read_bytes()
        np.testing.assert_array_equal(load(path)[0], laid_out(array, layout))
        assert_sound(path)
        if layout == "images":
            frames = tmp_path / f"frames{number}.h5"
            save(MPI.COMM_SELF, frames, array, range(6), True, compression=compression, **options)
            assert path.read_bytes() == frames.read_bytes()


@pytest.mark.parametrize("chunks", [True, (6, 5, 7), (4, 2, 3)])
@pytest.mark.ranks
def test_images_from_several_ranks(comm, shared_path, chunks):
    array = noise((5, 7, 13), "f4")
    for cuts in [(), range(13)]:
        path = shared_path / f"{len(cuts)}.h5"
        save(comm, path, array, cuts, True, layout="images", chunks=chunks, compression="gzip")
        np.testing.assert_array_equal(load(path)[0], np.moveaxis(array, -1, 0))
    assert (shared_path / "0.h5").read_bytes() == (shared_path / "13.h5").read_bytes()


@pytest.mark.parametrize("dtype", ["u1", "i2", "f2", ">f4", "u8"])
@pytest.mark.parametrize("compression", ["lzf", {"compression": 4, "shuffle": True}], ids=str)
def test_every_dtype(tmp_path, dtype, compression):
    array = noise(dtype=dtype)
    save(MPI.COMM_SELF, tmp_path / "o", array, [], compression=compression)
    found, _, _ = load(tmp_path / "o")
    assert found.dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(found, array)
    assert_sound(tmp_path / "o")


@given(st.data())
def test_the_bytes_do_not_depend_on_the_cuts(tmp_path_factory, data):
    shape = data.draw(st.lists(st.sampled_from([1, 2, 3, 7, 8]), min_size=2, max_size=4))
    layout = data.draw(st.sampled_from(["series", "images"]))
    array = values(shape)
    stored = laid_out(array, layout)
    chunks = data.draw(st.tuples(*(st.integers(1, n) for n in stored.shape)))
    as_images = layout == "images" and data.draw(st.booleans())
    cuts = data.draw(st.lists(st.integers(0, array.size)))
    options = {"layout": layout, "chunks": chunks, "compression": 1}
    home = tmp_path_factory.mktemp("cuts")
    save(MPI.COMM_SELF, home / "a", array, [], **options)
    save(MPI.COMM_SELF, home / "b", array, cuts, as_images, **options)
    assert (home / "a").read_bytes() == (home / "b").read_bytes()
    np.testing.assert_array_equal(load(home / "b")[0], stored)
    assert load(home / "b")[2] == chunks


@pytest.mark.parametrize("chunks", [True, (2, 3, 4)])
def test_it_differs_from_the_uncompressed_in_its_filters_alone(tmp_path, chunks):
    options = {
        "chunks": chunks,
        "metadata": {"unit": "µm"},
        "index": [1, 2, 4, 5, 6, 9],
        "attributes": {"source": "a.tif"},
        "dataset": "x/y",
    }
    for name, compression in [("plain", None), ("packed", ("gzip", 5))]:
        save(MPI.COMM_SELF, tmp_path / name, noise(), [], compression=compression, **options)
    with h5py.File(tmp_path / "plain") as plain, h5py.File(tmp_path / "packed") as packed:
        a, b = plain["x/y"], packed["x/y"]
        assert (a.shape, a.dtype, a.chunks, a.maxshape, a.fillvalue) == (
            b.shape,
            b.dtype,
            b.chunks,
            b.maxshape,
            b.fillvalue,
        )
        assert list(a.attrs) == list(b.attrs)
        for key in set(a.attrs) - {"DIMENSION_LIST"}:  # its references know their file
            np.testing.assert_array_equal(a.attrs[key], b.attrs[key])
        assert a.compression is None
        assert (b.compression, b.compression_opts, b.shuffle) == ("gzip", 5, False)
        versions = [file.id.get_create_plist().get_version() for file in (plain, packed)]
        assert versions[0] == versions[1]


@pytest.mark.parametrize("compression", FILTERS, ids=str)
def test_filters_are_those_of_h5py(tmp_path, compression):
    """The same property list as h5py's own create_dataset makes."""
    keywords = compression
    if type(compression) is tuple:
        keywords = dict(zip(["compression", "compression_opts"], compression, strict=True))
    elif not isinstance(compression, dict):
        keywords = {"compression": "gzip" if compression is True else compression}
    keywords = dict(keywords)
    if keywords.get("compression") == 1:  # a level to h5py, too
        keywords |= {
            "compression": "gzip",
            "compression_opts": dict(keywords).get("compression_opts", (1,))[0],
        }
    save(MPI.COMM_SELF, tmp_path / "o", noise(), [], chunks=(2, 3, 4), compression=compression)
    with (
        h5py.File(tmp_path / "o", "r") as ours,
        h5py.File("theirs", "w", driver="core", backing_store=False) as theirs,
    ):
        expected = theirs.create_dataset("series", SHAPE, "u2", chunks=(2, 3, 4), **keywords)
        assert described(ours["series"]) == described(expected)


def described(dataset):
    properties = dataset.id.get_create_plist()
    return [properties.get_filter(i) for i in range(properties.get_nfilters())]


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", ">i4", "u8"])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("level", [None, 0, 1, 6, 9])
def test_our_own_gzip_and_shuffle_are_hdf5s(tmp_path, level, shuffle, dtype):
    """What they make goes through HDF5's pipeline to the same values."""
    if level is None and not shuffle:
        pytest.skip("no filter")
    filters = Filters(
        shuffle=shuffle,
        number=None if level is None else 1,
        options=() if level is None else (level,),
    )
    array = noise((9, 31), dtype)
    encode, parallel = chunk_encoder(filters, (9, 31), np.dtype(dtype))
    assert parallel
    mask, content, _ = encode(array)
    general = hdf5_filters._Pipeline(filters, (9, 31), np.dtype(dtype))
    assert mask == general(array)[0] == 0
    if level is None:
        assert content == general(array)[1]
    general._dataset.write_direct_chunk((0, 0), content, mask)
    found = np.empty((9, 31), np.dtype(dtype).newbyteorder("="))
    general._dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, found)
    np.testing.assert_array_equal(found, array)


def test_a_chunk_that_lzf_cannot_shrink_is_stored_as_it_is(tmp_path):
    array = np.random.default_rng(0).integers(0, 2**16, (4, 1000)).astype("u2")
    array[2:] = 0
    save(MPI.COMM_SELF, tmp_path / "o", array, [], chunks=(1, 1000), compression="lzf")
    np.testing.assert_array_equal(load(tmp_path / "o")[0], array)
    with h5py.File(tmp_path / "o") as file:
        masks = [file["series"].id.read_direct_chunk((i, 0))[0] for i in range(4)]
    assert masks == [1, 1, 0, 0]


# -- the filters of hdf5plugin, where it is installed ------------------------------------------


PLUGINS = ["Bitshuffle", "Blosc", "Blosc2", "BZip2", "LZ4", "Zstd"]


@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("name", PLUGINS)
@pytest.mark.ranks
def test_plugins(comm, shared_path, tmp_path, name, layout):
    plugin = getattr(pytest.importorskip("hdf5plugin"), name)()
    array = noise((5, 7, 40), "f4")
    chunks = chunks_for(layout, (2, 3, 30))
    path, alone = shared_path / "o", tmp_path / "alone"
    save(comm, path, array, range(35), layout=layout, chunks=chunks, compression=plugin)
    save(MPI.COMM_SELF, alone, array, [], layout=layout, chunks=chunks, compression=dict(plugin))
    assert path.read_bytes() == alone.read_bytes()
    np.testing.assert_array_equal(load(path)[0], laid_out(array, layout))
    assert_sound(path)


READ = """if 1:
    import numpy as np
    from mpimages import ThunderContext, verify
    from mpimages.readers.hdf5.reader import Hdf5Reader
    with ThunderContext() as tsc:
        assert (tsc.loadSeries('o.h5').toArray() == np.load('o.npy')).all()
        images = tsc.loadImages('virtual.h5', dataset='virtual', axes='YXT').toArray()
        assert (images == np.moveaxis(np.load('o.npy'), -1, 0)).all()
    assert verify('o.h5').ok
"""


def alone(tmp_path, code):
    """What a new process says, in which nobody has imported hdf5plugin yet."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    return done.stderr


def test_what_a_plugin_has_written_is_read_in_a_new_process(tmp_path):
    plugin = pytest.importorskip("hdf5plugin").Bitshuffle()
    array = noise((5, 7, 40), "u2")
    save(MPI.COMM_SELF, tmp_path / "o.h5", array, [], chunks=(2, 3, 30), compression=plugin)
    np.save(tmp_path / "o.npy", array)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_dataset("source", data=array, chunks=(2, 3, 30), **plugin)
        layout = h5py.VirtualLayout(array.shape, array.dtype)
        layout[...] = h5py.VirtualSource(".", "source", array.shape)
        file.create_virtual_dataset("virtual", layout)
    assert alone(tmp_path, READ) == ""


def test_without_the_plugin_its_filter_and_the_package_are_named(tmp_path):
    plugin = pytest.importorskip("hdf5plugin").Bitshuffle()
    array = noise((5, 7, 40), "u2")
    save(MPI.COMM_SELF, tmp_path / "o.h5", array, [], chunks=(2, 3, 30), compression=plugin)
    code = """if 1:
        import sys
        sys.modules['hdf5plugin'] = None
        from mpimages import FormatError, ThunderContext, verify
        with ThunderContext() as tsc:
            for load in (tsc.loadSeries, tsc.loadImages):
                try:
                    load('o.h5')
                except FormatError as error:
                    assert 'o.h5' in str(error), error
                    assert 'filter 32008 (bitshuffle)' in str(error), error
                    assert 'the package hdf5plugin' in str(error), error
                else:
                    raise AssertionError
            try:
                tsc.loadExample('fish-images').saveAsHDF5('p.h5', compression=32008)
            except ValueError as error:
                assert 'the package hdf5plugin' in str(error), error
        (problem,) = verify('o.h5').problems
        assert 'bitshuffle' in problem, problem
    """
    assert alone(tmp_path, code) == ""


def test_a_filter_that_is_missing_but_was_left_out_is_not_needed(tmp_path, monkeypatch):
    array = noise((5, 7, 40), "u2")
    with h5py.File(tmp_path / "o.h5", "w") as file:
        dataset = file.create_dataset(
            "series", (5, 7, 40), "u2", chunks=(5, 7, 40), compression="lzf"
        )
        dataset.id.write_direct_chunk((0, 0, 0), array.tobytes(), filter_mask=1)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda number: False)
    with h5py.File(tmp_path / "o.h5") as file:
        require_filters("o.h5", file["series"])
        np.testing.assert_array_equal(file["series"], array)


@pytest.mark.parametrize("layout", ["series", "images"])
def test_checksums_of_a_lossy_filter_are_of_what_will_be_read(tmp_path, layout):
    hdf5plugin = pytest.importorskip("hdf5plugin")
    array = np.random.default_rng(5).standard_normal((5, 7, 40)).astype("f4")
    save(
        MPI.COMM_SELF,
        tmp_path / "o",
        array,
        range(35),
        layout=layout,
        chunks=chunks_for(layout, (2, 3, 30)),
        compression=hdf5plugin.Zfp(accuracy=0.1),
    )
    found = load(tmp_path / "o")[0]
    assert not np.array_equal(found, laid_out(array, layout))
    np.testing.assert_allclose(found, laid_out(array, layout), atol=0.1)
    assert_sound(tmp_path / "o")


# -- what cannot be done -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compression", "error", "message"),
    [
        ("zip", ValueError, "'gzip', 'lzf'"),
        (10, ValueError, "filter 10 is not available"),
        (-1, ValueError, "from 0 to 9"),
        (("gzip", 10), ValueError, "from 0 to 9"),
        (("gzip", "a"), TypeError, "level"),
        (("gzip",), ValueError, "options"),
        (("lzf", 1), ValueError, "no options"),
        (1.5, TypeError, "text, a number"),
        ({"compression": "gzip", "scaleoffset": 2}, ValueError, "scaleoffset"),
        ({"compression_opts": 2}, ValueError, "without compression"),
        ({"compression": 30000, "compression_opts": (1,)}, ValueError, "30000 is not available"),
        ({"compression": 1, "compression_opts": "a"}, TypeError, "level"),
        ({"compression": 32000, "compression_opts": "a"}, TypeError, "sequence of integers"),
    ],
    ids=str,
)
@pytest.mark.ranks
def test_what_is_no_compression_is_refused(comm, shared_path, compression, error, message):
    with pytest.raises(error, match=message):
        hdf5_writer(comm, str(shared_path / "o"), "s", SHAPE, "u2", compression=compression)
    assert list(shared_path.iterdir()) == []


@pytest.mark.parametrize("compression", [None, False, {"shuffle": False}], ids=str)
def test_what_asks_for_none(compression):
    assert parse_compression(compression) is None


def test_chunks_are_needed(tmp_path):
    with pytest.raises(ValueError, match="chunks=False"):
        hdf5_writer(
            MPI.COMM_SELF, str(tmp_path / "o"), "s", SHAPE, "u2", chunks=False, compression="gzip"
        )


def test_blocks_that_cut_through_chunks_are_refused(tmp_path):
    writer = hdf5_writer(
        MPI.COMM_SELF, str(tmp_path / "o"), "s", SHAPE, "u2", chunks=(2, 3, 4), compression="gzip"
    )
    rows = noise().reshape(-1, 6)
    assert writer.grain == 14
    for first, stop in [(0, 13), (7, 28), (28, 34)]:
        with pytest.raises(ValueError, match="multiples of 14"):
            writer.write(first, rows[first:stop])
    writer.write(3, rows[3:3])  # nothing cuts nothing
    writer.close()


@given(st.data())
def test_the_grain_never_cuts_a_chunk(data):
    dims = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    chunk = [data.draw(st.integers(1, n)) for n in dims]
    grain = pixel_grain(dims, chunk)
    owner = np.zeros([-(-n // c) for n, c in zip(dims, chunk, strict=True)], int) - 1
    for number, place in enumerate(np.ndindex(*dims)):
        cell = tuple(i // c for i, c in zip(place, chunk, strict=True))
        assert owner[cell] in (-1, number // grain)
        owner[cell] = number // grain


# -- several jobs ------------------------------------------------------------------------------


def begin(comm, path, **changes):
    options = {"chunks": (2, 3, 4), "compression": 1} | changes
    return hdf5_writer(comm, str(path), "series", SHAPE, "u2", **options)


@pytest.mark.ranks
def test_jobs_of_any_ranks_give_the_file_of_one(comm, shared_path):
    array = noise()
    home = shared_path / "home"
    if comm.rank == 0:
        home.mkdir()
        save(MPI.COMM_SELF, shared_path / "one", array, [], chunks=(2, 3, 4), compression=1)
        alone = begin(MPI.COMM_SELF, home / "o")
        blocks = cut(alone, array, [14, 28])
        alone.write(*blocks[0])
        alone.sync()
        journal = json.dumps([alone.take_fragments().tolist(), alone.take_index().tolist()])
        assert alone.take_index().shape == (0, 7)
        alone.write(*blocks[1])  # never came into the journal
        alone.close()
    else:
        journal = None
    journal = comm.bcast(journal, 0)
    assert os.listdir(home) == ["chunks-00-00000"]
    writer = begin(comm, home / "o", resume=True)
    if comm.rank == comm.size - 1:
        fragments, index = json.loads(journal)
        writer.add_fragments(np.array(fragments))
        writer.add_index(np.array(index))
    for first, block in cut(writer, array, [14, 28])[1 + comm.rank :: comm.size]:
        writer.write(first, block)
    writer.finish()
    assert os.listdir(home) == ["o"]
    assert (home / "o").read_bytes() == (shared_path / "one").read_bytes()
    comm.Barrier()
    before = (home / "o").read_bytes()
    again = begin(comm, home / "o", resume=True)  # a job that was killed after the end
    again.finish()
    assert (home / "o").read_bytes() == before
    with pytest.raises(FileExistsError):
        begin(comm, home / "o")
    with pytest.raises(ValueError, match="cannot be taken up"):
        begin(comm, home / "o", resume=True, chunks=(2, 3, 5))


@pytest.mark.ranks
def test_a_chunk_twice_or_never_is_an_internal_error(comm, shared_path):
    for number, blocks in enumerate([[(0, 14), (14, 28)], [(0, 35), (0, 14)]]):
        home = shared_path / str(number)
        if comm.rank == 0:
            home.mkdir()
        comm.Barrier()
        writer = begin(comm, home / "o")
        for first, stop in blocks if comm.rank == comm.size - 1 else []:
            writer.write(first, noise().reshape(-1, 6)[first:stop])
        with pytest.raises(RuntimeError, match="internal error"):
            writer.finish()
        writer.close()
        assert not (home / "o").exists()
        comm.Barrier()


def test_a_chunk_file_that_was_cut_short(tmp_path):
    writer = begin(MPI.COMM_SELF, tmp_path / "o")
    writer.write(0, noise().reshape(-1, 6))
    os.truncate(tmp_path / "chunks-00-00000", 10)
    with pytest.raises(FormatError, match=r"chunks-00-00000: .* it has been damaged"):
        writer.finish()
    writer.close()
    assert os.listdir(tmp_path) == ["chunks-00-00000"]


def test_a_failing_thread_is_heard(tmp_path, monkeypatch):
    def fail(*arguments):
        raise MemoryError("no room")

    writer = begin(MPI.COMM_SELF, tmp_path / "o", threads=2)
    assert isinstance(writer, CompressedWriter)
    monkeypatch.setattr(hdf5_filters.zlib, "compress", fail)
    with pytest.raises(MemoryError, match="no room"):
        writer.write(0, noise().reshape(-1, 6))
    writer.close()
    writer.close()
