"""Each chunk of an HDF5 dataset is decoded once in an action: its parts are read together."""

from __future__ import annotations

import itertools
from collections import Counter

import h5py
import numpy as np
import pytest
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.engine import runner
from mpimages.readers import chunked_array
from mpimages.readers.flat import array as flat
from mpimages.readers.hdf5 import handle
from mpimages.readers.series import chunked

from ..support.data import recording, same_bits

pytestmark = pytest.mark.ranks

TIMES, DIMS = 37, (12, 10)
# Of (T, row, column): along time alone, in space too, longer than the movie, and frame by frame.
CHUNKS = [(37, 12, 10), (37, 4, 5), (8, 12, 10), (8, 5, 3), (1, 12, 10)]
ORDERS = {"TYX": (0, 1, 2), "YXT": (1, 2, 0), "TXY": (0, 2, 1), "XTY": (2, 0, 1)}


@pytest.fixture
def decoded(monkeypatch):
    """How often each chunk was decoded on this rank, by (file, dataset, chunk)."""
    found: Counter = Counter()
    read = handle.read_values

    def counting(dataset, out, selection):
        parts = (
            range((s.start or 0) // c, -(-(n if s.stop is None else s.stop) // c))
            for s, c, n in zip(selection, dataset.chunks, dataset.shape, strict=True)
        )
        where = dataset.file.filename, dataset.name
        found.update((*where, chunk) for chunk in itertools.product(*parts))
        read(dataset, out, selection)

    monkeypatch.setattr(handle, "read_values", counting)
    # A batch of three frames, so that it is far smaller than most chunks.
    monkeypatch.setattr(runner, "BATCH_BYTES", 3 * 2 * DIMS[0] * DIMS[1])
    for module in (chunked_array, chunked):
        monkeypatch.setattr(module, "BAND_BYTES", 1000)
    return found


def write(tsc, path, array, chunks, order=(0, 1, 2), **attributes):
    if tsc.rank == 0:
        chunks = [min(c, n) for c, n in zip(chunks, array.shape, strict=True)]
        with h5py.File(path, "w") as file:
            dataset = file.create_dataset(
                "series",
                data=array.transpose(order),
                chunks=tuple(chunks[i] for i in order),
                compression="gzip",
            )
            dataset.attrs.update(attributes)
    tsc.comm.Barrier()


def once(decoded, action):
    """What the action gives, if no rank has decoded a chunk twice."""
    decoded.clear()
    result = action()
    # All ranks fail or none: the others would wait for one that has failed.
    assert set(MPI.COMM_WORLD.allgather(max(decoded.values(), default=0))) - {0} == {1}
    return result


@pytest.mark.parametrize("axes", ORDERS)
@pytest.mark.parametrize("chunks", CHUNKS)
def test_images(tsc, shared_path, decoded, axes, chunks):
    array = recording(TIMES, DIMS, "uint16")
    write(tsc, shared_path / "a.h5", array, chunks, ORDERS[axes])
    images = tsc.loadImages(shared_path / "a.h5", axes=axes)
    assert same_bits(once(decoded, images.max), array.max(0))
    assert same_bits(once(decoded, images.apply(lambda v: v // 2).toArray), array // 2)
    # Of what is left out as little is decoded again.
    some = images.filterOnKeys(lambda key: key % 3 == 1)
    assert same_bits(once(decoded, some.toArray), array[1::3])
    assert same_bits(once(decoded, some.sum), array[1::3].sum(0, dtype="uint64"))


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("memory", [None, "16KB"])
def test_conversions(tsc, shared_path, decoded, chunks, memory):
    """Of 16 KB a quarter holds 17 frames; where a share does not fit, images pass through the
    scratch file."""
    if memory is not None and chunks[0] > 17:
        return
    array = recording(TIMES, DIMS, "uint16")
    write(tsc, shared_path / "a.h5", array, chunks)
    images = tsc.loadImages(shared_path / "a.h5")
    target = shared_path / "out"
    if memory is None:
        assert same_bits(once(decoded, images.toSeries().toArray), np.moveaxis(array, 0, -1))
    once(decoded, lambda: images.saveAsBinarySeries(target, memory=memory))
    assert same_bits(tsc.loadSeries(target).toArray(), np.moveaxis(array, 0, -1))


def test_files_of_different_length(tsc, shared_path, decoded):
    lengths = (11, 3, 23)
    array = recording(sum(lengths), DIMS, "uint16")
    parts = np.split(array, np.cumsum(lengths)[:-1])
    for number, part in enumerate(parts):
        write(tsc, shared_path / f"{number}.h5", part, (5, 12, 10))
    images = tsc.loadImages(shared_path)
    assert same_bits(once(decoded, images.min), array.min(0))
    assert same_bits(once(decoded, images.toArray), array)


@pytest.mark.parametrize("chunks", [(9, 12, 10), (3, 4, 5), (4, 12, 10), (1, 12, 10)])
def test_datasets_in_turn(tsc, shared_path, decoded, chunks):
    array = recording(TIMES, DIMS, "uint16")
    if tsc.rank == 0:
        with h5py.File(shared_path / "a.h5", "w") as file:
            for number, start in enumerate(range(0, TIMES, 9)):
                part = array[start : start + 9]
                some = (min(chunks[0], len(part)), *chunks[1:])
                file.create_dataset(f"d{number}", data=part, chunks=some)
    tsc.comm.Barrier()
    images = tsc.loadImages(shared_path / "a.h5", dataset="d{t}")
    assert same_bits(once(decoded, images.max), array.max(0))
    assert same_bits(once(decoded, images.toArray), array)
    some = images.filterOnKeys(lambda key: key % 3 == 1)
    assert same_bits(once(decoded, some.toArray), array[1::3])


@pytest.mark.parametrize("chunks", [(36, 12, 10), (5, 4, 5), (4, 12, 10), (1, 12, 10)])
@pytest.mark.parametrize("flyback", [None, 1])
def test_pages_in_turn(tsc, shared_path, decoded, chunks, flyback):
    array = recording(36, DIMS, "uint16")
    write(tsc, shared_path / "a.h5", array, chunks)
    given = {"axes": "ZYX", "nchannels": 2, "nplanes": 3, "channel": 1, "flyback": flyback}
    images = tsc.loadImages(shared_path / "a.h5", **given)
    planes = slice(None) if flyback is None else slice(-1)
    expected = np.moveaxis(array.reshape(6, 3, 2, *DIMS)[:, planes, 1], 1, -1)
    assert same_bits(once(decoded, images.toArray), expected)
    assert same_bits(once(decoded, images.max), expected.max(0))


@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_series(tsc, shared_path, decoded, layout, chunks):
    array = recording(TIMES, DIMS, "uint16")
    order = (0, 1, 2) if layout == "images" else (1, 2, 0)
    write(tsc, shared_path / "a.h5", array, chunks, order, layout=layout)
    series = tsc.loadSeries(shared_path / "a.h5")
    expected = np.moveaxis(array, 0, -1)
    assert same_bits(once(decoded, series.toArray), expected)
    assert same_bits(once(decoded, series.max), expected.max((0, 1)))
    some = series.filterOnKeys(lambda key: (key[0] + key[1]) % 3 == 0)
    chosen = np.add.outer(np.arange(12), np.arange(10)) % 3 == 0
    assert same_bits(once(decoded, some.sum), expected[chosen].sum(0, dtype="uint64"))
    assert same_bits(np.array(once(decoded, some.values().collect)), expected[chosen])


@pytest.mark.parametrize("kind", ["images", "series"])
def test_chunks_beyond_the_memory_are_decoded_a_few_times(comm, shared_path, decoded, kind):
    array = recording(TIMES, DIMS, "uint16")
    with ThunderContext(comm, memory="24KB") as tsc:  # a quarter of it holds 25 of 37 frames
        write(tsc, shared_path / "a.h5", array, (37, 12, 10))
        load = tsc.loadImages if kind == "images" else tsc.loadSeries
        found = load(shared_path / "a.h5").max()
        # As a Series the last axis is time.
        assert same_bits(found, array.max(0 if kind == "images" else (0, 1)))
        assert max(decoded.values()) <= 2


@pytest.mark.parametrize("step", [1, 3])
def test_flat_files_with_time_last_are_read_once(tsc, shared_path, monkeypatch, step):
    array = recording(TIMES, DIMS, "uint16")
    if tsc.rank == 0:
        np.save(shared_path / "a.npy", np.asfortranarray(array))
    tsc.comm.Barrier()
    monkeypatch.setattr(runner, "BATCH_BYTES", 3 * 2 * DIMS[0] * DIMS[1])
    taken = []
    read = flat.read_into
    monkeypatch.setattr(
        flat,
        "read_into",
        lambda fd, offset, out, path: (taken.append(out.nbytes), read(fd, offset, out, path)),
    )
    images = tsc.loadImages(shared_path / "a.npy").filterOnKeys(lambda key: key % step == 0)
    assert same_bits(images.max(), array[::step].max(0))
    assert sum(taken) <= array.nbytes
