"""Conversions in rounds: any budget, any way, interrupted or not, give the same bytes."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import re
import shutil

import h5py
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from mpimages import ThunderContext, verify
from mpimages.conversion.planning import lay_out
from mpimages.conversion.resume import Recorder
from mpimages.core.partition import Partition
from mpimages.core.ranges import Ranges
from mpimages.engine.sources import FileSource
from mpimages.exchange.bands import FileBands
from mpimages.formats.output_names import PARTIAL_MARK, journal_file
from mpimages.writers.output.journal import Journal, begin_job, read_job

from ..support.counting import counting_calls
from ..support.data import recording, same_bits, spread
from .test_saving import contents

COUNT, DIMS = 17, (9, 7, 2)
ranks = pytest.mark.ranks


# -- arithmetic ----------------------------------------------------------------------------


@given(
    st.sampled_from(["memory", "share", "bands", "frames"]),
    st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any),
    st.integers(1, 500),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 7),
    st.integers(1, 2_000_000),
)
def test_a_layout_keeps_within_the_budget(way, counts, places, itemsize, grain, memory):
    pixels, record = places * grain, sum(counts) * itemsize
    try:
        layout = lay_out(way, tuple(counts), pixels, itemsize, record, grain, memory, "test")
    except MemoryError:
        least = max(counts) * itemsize * grain * (way in ("bands", "frames"))
        held = max(counts) * pixels * itemsize * (way == "share")
        assert held + least + grain * record + memory // 4 + 2 > memory
        return
    assert layout.memory <= memory
    assert layout.width % grain == 0 or layout.width == pixels
    assert layout.rounds * layout.width >= pixels > (layout.rounds - 1) * layout.width


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8),
    st.integers(1, 50),
    st.integers(1, 5),
    st.integers(1, 4),
)
def test_ranges_are_sets(spans, count, times, grain):
    ranges = Ranges(spans)
    members = {i for a, b in spans for i in range(a, b)}
    assert {i for a, b in ranges for i in range(a, b)} == members
    assert ranges.count == len(members)
    inside = Ranges((min(a, count), min(b, count)) for a, b in spans)
    missing = inside.missing(count)
    assert {i for a, b in missing for i in range(a, b)} == set(range(count)) - members
    pieces = list(missing.pieces(times * grain, grain))
    assert [i for a, b in pieces for i in range(a, b)] == sorted(set(range(count)) - members)
    assert all(b - a <= times * grain for a, b in pieces)


# -- journals ------------------------------------------------------------------------------


def record(path, node, numbers):
    """Record some numbers in a journal of its own."""
    journal = Journal(str(path), 0, node)
    for i in numbers:
        journal.record({"done": [[i, i + 1]]})
    journal.close()


def test_ranks_of_a_node_share_a_journal(tmp_path):
    """Whatever of a line one of them has written when it was killed, the others' count."""
    begin_job(str(tmp_path), {"output": "test"})
    path = tmp_path / "journal-00-00001"
    ranks = [Journal(str(tmp_path), 0, 1, leads) for leads in (True, False, False)]
    with pytest.raises(FileExistsError):  # another job where locks do not work
        Journal(str(tmp_path), 0, 1)
    ranks[1].record({"done": [[0, 1]]})
    line = path.read_bytes()
    said = [0]
    for number, size in enumerate(range(len(line) + 1), 1):
        with open(path, "ab") as file:
            file.write(line[:size])
        ranks[number % 3].record({"done": [[number, number + 1]]})
        said += [0] * (size >= len(line) - 1) + [number]
    for journal in ranks:
        journal.close()
    assert sorted(os.listdir(tmp_path)) == ["job.json", path.name]
    assert [entry["done"][0][0] for entry in read_job(str(tmp_path))[1]] == said


def test_journals_of_each_rank_are_read_as_well(tmp_path):
    """As earlier versions have written them: one a rank, and no empty line between two."""
    begin_job(str(tmp_path), {"output": "test"})
    for rank in range(3):
        record(tmp_path, rank, range(10 * rank, 10 * rank + 2))
        path = tmp_path / f"journal-00-{rank:05d}"
        path.write_bytes(path.read_bytes().replace(b"\n\n", b"\n").removeprefix(b"\n"))
    _, entries, attempt = read_job(str(tmp_path))
    assert [entry["done"][0][0] for entry in entries] == [0, 1, 10, 11, 20, 21]
    assert attempt == 1


def test_a_journal_that_was_torn_tells_what_is_whole(tmp_path):
    begin_job(str(tmp_path), {"output": "test"})
    record(tmp_path, 3, range(4))
    text = (tmp_path / "journal-00-00003").read_bytes()
    ends = [i + 1 for i, byte in enumerate(text) if byte == ord("\n") and i and text[i - 1] != byte]
    for size in range(len(text) + 1):
        (tmp_path / "journal-00-00003").write_bytes(text[:size])
        described, entries, attempt = read_job(str(tmp_path))
        assert entries == [{"done": [[i, i + 1]]} for i in range(sum(size >= e for e in ends))]
        assert (described["output"], attempt) == ("test", 1)
    damaged = text.replace(b"[[1,2]]", b"[[1,9]]")
    (tmp_path / "journal-00-00003").write_bytes(damaged)
    assert [entry["done"][0][0] for entry in read_job(str(tmp_path))[1]] == [0, 2, 3]
    (tmp_path / "job.json").write_bytes(b"{")
    assert read_job(str(tmp_path)) is None


def test_nothing_is_recorded_after_an_error_of_the_system(tmp_path):
    def broken():
        raise OSError(errno.EIO, "the disk has refused it")

    def recorded():
        return [entry["done"] for entry in read_job(str(tmp_path))[1]]

    begin_job(str(tmp_path), {"output": "test"})
    journal = Journal(str(tmp_path), 0, 0)
    recorder = Recorder(journal, "done", dict)
    for start in (0, 5):
        with recorder.writing(start, start + 5):
            pass
    recorder.flush()
    assert recorded() == [[[0, 10]]]
    # What this rank wrote to the disk of another, which has failed.
    with recorder.writing(10, 15):
        pass
    try:
        broken()
    except OSError:
        recorder.salvage()
    assert recorded() == [[[0, 10]]]
    try:
        raise Stop
    except Stop:
        recorder.salvage()
    assert recorded() == [[[0, 10]], [[10, 15]]]
    # What it wrote itself, in part only.
    with recorder.writing(15, 20):
        pass
    with pytest.raises(OSError, match="refused"), recorder.writing(20, 25):
        broken()
    recorder.salvage()
    recorder.flush()
    # What a flush was told of is told once.
    failing = Recorder(journal, "done", broken)
    with failing.writing(30, 35):
        pass
    with pytest.raises(OSError, match="refused"):
        failing.flush()
    failing._flush = dict
    failing.salvage()
    assert recorded() == [[[0, 10]], [[10, 15]]]
    journal.close()


# -- every way, every budget ---------------------------------------------------------------


@pytest.fixture
def files(tsc, shared_path):
    """The same volumes in every kind of file, and as an array."""
    array = recording(COUNT, DIMS, "uint16")
    if tsc.rank == 0:
        for name in ("plain", "zlib"):
            (shared_path / name).mkdir()
            for i, volume in enumerate(array):
                tifffile.imwrite(
                    shared_path / name / f"v{i}.tif",
                    np.moveaxis(volume, 2, 0),
                    photometric="minisblack",
                    compression=None if name == "plain" else "zlib",
                )
        np.save(shared_path / "movie.npy", np.moveaxis(array, 3, 1))
    tsc.comm.Barrier()
    return shared_path, array


SOURCES = {
    "plain": lambda tsc, path, array: tsc.loadImages(str(path / "plain")),
    "zlib": lambda tsc, path, array: tsc.loadImages(str(path / "zlib")),
    "npy": lambda tsc, path, array: tsc.loadImages(str(path / "movie.npy")),
    "memory": lambda tsc, path, array: spread(tsc, array),
    "cached": lambda tsc, path, array: tsc.loadImages(str(path / "zlib")).cache(),
    "computed": lambda tsc, path, array: tsc.loadImages(str(path / "plain")).apply(
        lambda v: v + np.uint16(0), dims=DIMS, dtype="uint16"
    ),
    "undeclared": lambda tsc, path, array: tsc.loadImages(str(path / "plain")).apply(
        lambda v: v + np.uint16(0)
    ),
}


@pytest.mark.slow
@ranks
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("budget", [700, 2_000, 9_000, "1GB"])
def test_any_budget_gives_the_same_bytes(tsc, files, source, budget):
    path, array = files
    images = SOURCES[source](tsc, path, array)
    if budget == 700 and source in ("zlib", "computed", "undeclared"):
        budget = 3 * array[0].nbytes  # it is held whole on its way, and what is made of it
    images.saveAsBinarySeries(path / "out", blockSize=1000, memory=budget)
    images.saveAsHDF5(path / "out.h5", memory=budget)
    tsc.loadImagesFromArray(array).saveAsBinarySeries(path / "whole", blockSize=1000)
    assert contents(path / "out") == contents(path / "whole")
    for output in ("out", "out.h5"):
        assert same_bits(tsc.loadSeries(str(path / output)).toArray(), np.moveaxis(array, 0, -1))
    left = {"out", "out.h5", "whole", "plain", "zlib", "movie.npy"}
    assert {entry.name for entry in path.iterdir()} == left


@ranks
@pytest.mark.parametrize("source", ["plain", "zlib", "memory"])
def test_what_cannot_fit_is_refused_with_the_figures(tsc, files, source):
    path, array = files
    images = SOURCES[source](tsc, path, array)
    with pytest.raises(MemoryError, match=r"needs .* but the budget is 50 bytes.*memory="):
        images.saveAsBinarySeries(path / "out", memory=50)
    assert not list(path.glob("*out*"))
    with pytest.raises(ValueError, match="size"):
        images.saveAsBinarySeries(path / "out", memory="lots")
    assert not list(path.glob("*out*"))


@pytest.mark.slow
@ranks
@pytest.mark.parametrize("source", ["plain", "zlib", "memory", "cached"])
@pytest.mark.parametrize("chunks", [None, (2, 7, 2, 17), (1, 3, 1, 5), (4, 2, 2, 4)])
def test_compressed_chunks_are_whole_whoever_has_the_pixels(tsc, files, source, chunks):
    path, array = files
    images = SOURCES[source](tsc, path, array)
    options = {"chunks": chunks, "compression": ("gzip", 3)}
    images.saveAsHDF5(path / "a.h5", memory=9_000, **options)
    images.toSeries().cache().saveAsHDF5(path / "b.h5", **options)
    tsc.loadSeries(str(path / "a.h5")).saveAsHDF5(path / "c.h5", **options)
    images.saveAsHDF5(
        path / "d.h5",
        layout="images",
        compression="gzip",
        chunks=None if chunks is None else (chunks[3], *chunks[:3]),
    )
    expected = np.moveaxis(array, 0, -1)
    for name in "abcd":
        assert same_bits(tsc.loadSeries(str(path / f"{name}.h5")).toArray(), expected)
        with h5py.File(path / f"{name}.h5", "r", locking=False) as file:
            assert file["series"].compression == "gzip"
        assert verify(path / f"{name}.h5").ok
    assert contents(path / "a.h5")["a.h5"] == contents(path / "b.h5")["b.h5"]


@ranks
@pytest.mark.parametrize("budget", [3_000, "1GB"])
def test_steps_on_the_series_run_in_the_rounds(tsc, files, budget):
    path, array = files
    series = tsc.loadImages(str(path / "plain")).toTimeSeries()
    series.normalize(perc=30).saveAsBinarySeries(path / "out", memory=budget)
    values = np.moveaxis(array, 0, -1).astype(float)
    base = np.percentile(values, 30, axis=-1, keepdims=True)
    assert np.allclose(
        tsc.loadSeries(str(path / "out")).toArray(), (values - base) / (base + 0.1), rtol=1e-12
    )


@ranks
@pytest.mark.parametrize(("source", "way"), [("plain", "bands"), ("zlib", "frames")])
def test_a_huge_share_is_no_single_step(tsc, files, monkeypatch, source, way):
    path, array = files
    images = tsc.loadImages(str(path / source))
    assert images.plan(memory="1GB").way == "share"
    monkeypatch.setattr("mpimages.conversion.rounds.HELD_BYTES", 100)
    assert images.plan(memory="1GB").way == way
    images.saveAsBinarySeries(path / "out", memory="1GB")
    assert same_bits(tsc.loadSeries(str(path / "out")).toArray(), np.moveaxis(array, 0, -1))


# -- resuming ------------------------------------------------------------------------------


class Stop(Exception):
    """What interrupts a job."""


def counting(tsc, path, calls, fail_at=None):
    """The images by way of a function that counts its calls, and fails at one of the keys."""
    seen = iter(range(10**6))

    def count(volume):
        number = next(seen)
        if number == fail_at:
            raise Stop(f"at call {number}")
        calls.append(number)
        return volume

    return tsc.loadImages(str(path / "zlib")).apply(count, dims=DIMS, dtype="uint16")


@ranks
@pytest.mark.parametrize("output", ["s", "s.h5", "s.zarr"])
def test_a_failed_job_is_taken_up(tsc, files, output):
    path, _ = files

    def save(images, **options):
        zarr = {"layout": "series", "compression": None, "shards": 700}
        given = zarr if output == "s.zarr" else {}
        saver(images, output)(path / output, **given, **options)

    save(counting(tsc, path, []))
    whole = contents(path / output)
    tsc.comm.Barrier()
    if tsc.rank == 0:
        os.rename(path / output, path / "whole")
    tsc.comm.Barrier()
    first, second = [], []
    with pytest.raises(Stop):
        save(counting(tsc, path, first, fail_at=2), resume=True, memory=1_000)
    assert not (path / output).exists()
    assert (path / f".{output}.mpimages-partial" / "job.json").exists()
    save(counting(tsc, path, second), resume=True, memory=2_000)
    assert list(contents(path / output).values()) == list(whole.values())
    calls = tsc.comm.allreduce(len(first) + len(second))
    assert calls == COUNT, "an image was computed twice, or never"


@ranks
def test_what_is_complete_stays(tsc, files, caplog):
    path, _ = files
    images = tsc.loadImages(str(path / "plain"))
    images.saveAsBinarySeries(path / "s", resume=True)
    before = contents(path / "s")
    with caplog.at_level(logging.INFO, logger="mpimages"):
        images.saveAsBinarySeries(path / "s", resume=True)
    assert ("complete" in caplog.text) == (tsc.rank == 0)
    assert contents(path / "s") == before
    with pytest.raises(FileExistsError, match="complete, but holds"):
        images.planes(0, 0).saveAsBinarySeries(path / "s", resume=True)
    with pytest.raises(ValueError, match="resume=True"):
        images.saveAsBinarySeries(path / "s", resume=True, overwrite=True)
    with pytest.raises(FileExistsError):
        images.saveAsBinarySeries(path / "s")
    assert contents(path / "s") == before


@ranks
def test_what_is_complete_is_compared_with_what_is_asked_for(tsc, shared_path):
    values = np.random.default_rng(1).integers(0, 200, (7, 6, 5)).astype("u2")
    ours, theirs = (tsc.loadImagesFromArray(values + k) for k in (0, 1))
    floats = tsc.loadImagesFromArray(np.where(values > 99, np.nan, values).astype("f4"))
    undeclared = ours.apply(lambda image: image * 2)
    for number, (images, others) in enumerate(
        [(ours, theirs), (floats, floats.apply(np.nan_to_num)), (undeclared, ours)]
    ):
        binary, hdf5 = (shared_path / f"{number}{ending}" for ending in ("", ".h5"))
        for _ in range(2):
            images.saveAsBinarySeries(binary, resume=True)
            images.saveAsHDF5(hdf5, resume=True, layout="images")
        for act in (
            lambda others=others, path=binary: others.saveAsBinarySeries(path, resume=True),
            lambda others=others, path=hdf5: others.saveAsHDF5(path, resume=True, layout="images"),
        ):
            with pytest.raises(FileExistsError, match="complete, but has other values"):
                act()
    for options in ({"layout": "series"}, {"layout": "images", "compression": "gzip"}):
        with pytest.raises(FileExistsError, match="complete, but has the"):
            ours.saveAsHDF5(shared_path / "0.h5", resume=True, **options)
    later = ours.applyKeys(lambda key: key + 1)
    for act in (
        lambda: later.saveAsBinarySeries(shared_path / "0", resume=True),
        lambda: later.saveAsHDF5(shared_path / "0.h5", resume=True, layout="images"),
    ):
        with pytest.raises(FileExistsError, match="another index"):
            act()
    series = tsc.loadSeries(str(shared_path / "0"))
    series.saveAsHDF5(shared_path / "s.h5", resume=True)
    series.saveAsHDF5(shared_path / "s.h5", resume=True)
    with pytest.raises(FileExistsError, match="other values"):
        tsc.loadSeriesFromArray(series.toArray()[::-1].copy()).saveAsHDF5(
            shared_path / "s.h5", resume=True
        )


@ranks
def test_what_is_read_is_not_replaced(tsc, shared_path):
    example = tsc.loadExample("fish-images")
    example.saveAsTifs(shared_path / "tifs")
    example.saveAsTif(shared_path / "one.tif")
    example.saveAsBinarySeries(shared_path / "series")
    before = {name: contents(shared_path / name) for name in ("tifs", "series")}
    images = tsc.loadImages(str(shared_path / "tifs"))
    stack = tsc.loadImages(str(shared_path / "one.tif"), nplanes=2)
    series = tsc.loadSeries(str(shared_path / "series"))
    for act in (
        lambda: images.maxProjection().saveAsTifs(shared_path / "tifs", overwrite=True),
        lambda: images.saveAsHDF5(shared_path / "tifs", overwrite=True),
        lambda: images.report(shared_path / "tifs", overwrite=True),
        lambda: stack.saveAsTif(shared_path / "one.tif", overwrite=True),
        lambda: series.saveAsBinarySeries(shared_path / "series", overwrite=True),
    ):
        with pytest.raises(FileExistsError, match="is read by this very job"):
            act()
    assert {name: contents(shared_path / name) for name in before} == before
    images.saveAsTif(shared_path / "one.tif", overwrite=True)  # of another recording


CHANGES = {
    "a file's time": lambda path: os.utime(path / "zlib" / "v3.tif", (1, 1)),
    "a file's name": lambda path: os.rename(path / "zlib" / "v3.tif", path / "zlib" / "v03.tif"),
    "a file's size": lambda path: (path / "zlib" / "v3.tif").write_bytes(
        (path / "zlib" / "v3.tif").read_bytes() + b"more"
    ),
}


@ranks
@pytest.mark.parametrize("change", [*CHANGES, "an option", "a step"])
def test_what_has_changed_is_not_resumed(tsc, files, change):
    path, array = files
    calls = []
    with pytest.raises(Stop):
        counting(tsc, path, calls, 1).saveAsBinarySeries(path / "s", resume=True, memory=1_000)
    tsc.comm.Barrier()
    if tsc.rank == 0 and change in CHANGES:
        CHANGES[change](path)
    tsc.comm.Barrier()
    images = counting(tsc, path, calls)
    options = {"blockSize": 500} if change == "an option" else {}
    if change == "a step":
        images = images.apply(lambda v: v, dims=DIMS, dtype="uint16")
    with pytest.raises(FileExistsError, match=r"changed.*cannot be resumed"):
        images.saveAsBinarySeries(path / "s", resume=True, **options)
    assert (path / ".s.mpimages-partial").is_dir()
    images.saveAsBinarySeries(path / "s", **options)  # begins anew
    assert same_bits(tsc.loadSeries(str(path / "s")).toArray(), np.moveaxis(array, 0, -1))
    assert not (path / ".s.mpimages-partial").exists()


@ranks
def test_a_plan_tells_what_happens(tsc, files, capsys):
    path, _ = files
    images = tsc.loadImages(str(path / "zlib"))
    plan = images.plan(memory=4_000)
    printed = capsys.readouterr().out
    assert printed.strip() == (str(plan) if tsc.rank == 0 else "")
    assert plan.ranks == tsc.size
    assert plan.memory <= plan.budget == 4_000
    assert plan.bytesWritten == COUNT * 9 * 7 * 2 * 2
    assert plan.bytesRead == sum(f.stat().st_size for f in (path / "zlib").iterdir())
    if plan.way == "frames":
        assert plan.bytesScratch == plan.bytesWritten
    assert images.plan(ranks=40, memory=4_000).ranks == 40
    with pytest.raises(ValueError, match="declare"):
        images.apply(lambda v: v).plan()
    with pytest.raises(MemoryError):
        images.plan(memory=50)


def test_functions_that_differ_in_a_constant_differ(tsc):
    from mpimages.conversion.fingerprint import Fingerprint

    def described(func):
        images = tsc.loadExample("fish-images").apply(func, dims=(76, 87, 2), dtype="uint8")
        fingerprint = Fingerprint(*images.records.begin("test"))
        fingerprint.ask()
        return fingerprint.describe()

    assert described(lambda v: v + 1) != described(lambda v: v + 2)
    assert described(lambda v: v + 1) == described(lambda v: v + 1)


@pytest.mark.parametrize("way", ["memory", "share", "bands", "frames"])
@pytest.mark.parametrize("ranks", [1, 2, 7])
def test_more_ranks_are_advised_where_they_help(way, ranks):
    """Two ranks exchange what one has: they may need more, and a series is always held whole."""

    def attempt(ranks, memory):
        counts = Partition.balanced(100, ranks).counts
        return lay_out(way, counts, 5000, 2, 200, 10, memory, "saveAsHDF5")

    advised = set()
    for memory in range(1000, 60_000, 1000):
        try:
            attempt(ranks, memory)
        except MemoryError as error:
            found = re.search(r"use (\d+) ranks", str(error))
            advised.add(found is not None)
            if found:
                attempt(int(found[1]), memory)
            else:
                for more in (2, 4, 100, 5000):
                    with pytest.raises(MemoryError):
                        attempt(ranks * more, memory)
    assert False in advised


# -- calls between ranks -------------------------------------------------------------------


# The files that are read and the bytes of a share that is held, by the way that they lead to.
STARTS = {"share": ("plain", 1 << 30), "bands": ("plain", 0), "frames": ("zlib", 0)}
SAVES = {
    "series": ("saveAsBinarySeries", {}),
    "contiguous": ("saveAsHDF5", {}),
    "gzip": ("saveAsHDF5", {"chunks": (1, 7, 2, 9), "compression": "gzip"}),
    "images": ("saveAsHDF5", {"layout": "images"}),
    "zarr": ("saveAsZarr", {"layout": "series"}),
    "images of zarr": ("saveAsZarr", {"compression": None, "levels": 1}),
}
MOST_CALLS = 10


@ranks
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("way", STARTS)
@pytest.mark.parametrize("kind", SAVES)
def test_at_most_ten_calls_between_ranks_come_before_the_first_pixel(
    comm, files, kind, way, resume, monkeypatch
):
    path, _ = files
    source, held = STARTS[way]
    method, options = SAVES[kind]
    before = []

    def note(kind, name):
        call = getattr(kind, name)

        def read(*args):
            before.append(made["calls"] + made["near calls"])
            return call(*args)

        monkeypatch.setattr(kind, name, read)

    note(FileBands, "begin")
    note(FileSource, "batches")
    note(FileSource, "load")
    monkeypatch.setenv("MPIMAGES_HDF5", "posix")  # the calls of MPI-IO are not counted
    # A context's first conversion makes the shared memory, too.
    monkeypatch.setenv("MPIMAGES_SHARED_MEMORY", "1")
    monkeypatch.setattr("mpimages.conversion.rounds.HELD_BYTES", held)
    own = comm.Dup()
    with ThunderContext(own) as fresh, counting_calls(fresh) as made:
        images = fresh.loadImages(str(path / source))
        made.clear()
        getattr(images, method)(path / "counted", resume=resume, **options)
        assert 5 * (comm.size > 1) <= before[0] <= MOST_CALLS, before
    own.Free()


# -- a journal, and what it speaks of ------------------------------------------------------


NWB = {
    "identifier": "one",
    "sessionDescription": "a session",
    "sessionStartTime": "2026-03-01T14:30:00Z",
    "fileCreateDate": "2026-03-02T14:30:00Z",
    "series": "ImageSeries",
    "frameInterval": 0.1,
}
# Each: the name of the output, and what it is given.
OUTPUTS = {
    "series": ("s", {"blockSize": 1000}),
    "contiguous": ("s.h5", {}),
    "chunks": ("s.h5", {"chunks": (2, 5, 2, 6)}),
    "gzip": ("s.h5", {"chunks": (1, 7, 2, 9), "compression": "gzip"}),
    "images": ("s.h5", {"layout": "images"}),
    "images in chunks": ("s.h5", {"layout": "images", "chunks": (3, 5, 4, 2)}),
    "compressed images": (
        "s.h5",
        {"layout": "images", "chunks": (2, 9, 7, 2), "compression": "gzip"},
    ),
    "zarr": ("s.zarr", {"layout": "series", "compression": None, "shards": 300}),
    "zstd": ("s.zarr", {"layout": "series", "chunks": (1, 7, 2, 9), "shards": 900}),
    "images of zarr": (
        "s.zarr",
        {"layout": "images", "compression": None, "chunks": (2, 1, 4, 4), "levels": 1},
    ),
    "compressed images of zarr": (
        "s.zarr",
        {"layout": "images", "chunks": (2, 2, 4, 4), "shards": 600, "levels": 1},
    ),
    "zarr 2": ("s.zarr", {"layout": "images", "version": 2, "levels": 2}),
    "nwb": ("s.nwb", NWB),
}
BY_IMAGES = {
    kind for kind, (output, given) in OUTPUTS.items()
    if output == "s.nwb" or given.get("layout") == "images"
}  # fmt: skip
DAMAGES = {
    "gone": os.unlink,
    "empty": lambda file: os.truncate(file, 0),
    "cut": lambda file: os.truncate(file, os.path.getsize(file) // 2),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "other": lambda file: file.write_bytes(bytes(b ^ 85 for b in file.read_bytes())),
}


def save_until(tsc, path, kind, limit, **options):
    """Save as one of `OUTPUTS`, with a step that fails from its call number `limit` on."""
    output, given = OUTPUTS[kind]
    calls = iter(range(10**6))

    def step(record):
        if next(calls) >= limit:
            raise Stop
        return record

    images = tsc.loadImages(str(path / "zlib"))
    if kind in BY_IMAGES:
        what = images.apply(step, dims=DIMS, dtype="uint16")
    else:
        what = images.toSeries().apply(step, index=range(COUNT), dtype="uint16")
    saver(what, output)(path / output, **given, **options)


def saver(records, output):
    """The method that saves a collection under a name."""
    kinds = {
        ".h5": "saveAsHDF5",
        ".nwb": "saveAsNWB",
        ".zarr": "saveAsZarr",
        "": "saveAsBinarySeries",
    }
    return getattr(records, kinds[os.path.splitext(output)[1]])


@pytest.mark.slow
@ranks
@pytest.mark.parametrize("kind", OUTPUTS)
def test_what_a_journal_says_is_believed_only_where_it_is_on_the_disk(
    tsc, files, kind, monkeypatch
):
    path, _ = files
    output = path / OUTPUTS[kind][0]
    partial = path / f".{output.name}.mpimages-partial"
    by_images = kind in BY_IMAGES
    save_until(tsc, path, kind, 10**6)
    whole = contents(output)
    monkeypatch.setattr("mpimages.conversion.resume.FLUSH_LEAST", -1.0)
    monkeypatch.setattr("mpimages.engine.runner.BATCH_BYTES", 1)
    tsc.comm.Barrier()
    if tsc.rank == 0:
        shutil.rmtree(output) if output.is_dir() else output.unlink()
    tsc.comm.Barrier()
    budget = {"memory": 2_500 if tsc.size <= 2 else 5_000}
    with pytest.raises(Stop):
        save_until(tsc, path, kind, 4 if by_images else 20, resume=True, **budget)
    kept, names, said = path / "kept", [], set()
    if tsc.rank == 0:
        os.rename(partial, kept)
        names = sorted(contents(kept))
        said = {name for entry in read_job(str(kept))[1] for name in entry}
    names, said = tsc.comm.bcast((names, said), 0)
    # The shares of more ranks would fit into their memory.
    assert said >= ({"done"} if by_images or tsc.size > 2 else {"done", "frames"})
    for number, name in enumerate(name for name in names if name != PARTIAL_MARK):
        # All of them on one rank, one on many, which take longer.
        every = list(DAMAGES.values())
        for damage in every if tsc.size == 1 else every[number % len(every) :][:1]:
            if tsc.rank == 0:
                shutil.copytree(kept, partial)
                damage(partial / name)
            tsc.comm.Barrier()
            save_until(tsc, path, kind, 10**6, resume=True, **budget)
            assert list(contents(output).values()) == list(whole.values()), (name, damage)
            tsc.comm.Barrier()
            if tsc.rank == 0:
                shutil.rmtree(output) if output.is_dir() else output.unlink()
                assert not partial.exists()
            tsc.comm.Barrier()


@ranks
@pytest.mark.parametrize("ranks_of_node", [1, 2, 10])
def test_each_node_has_one_journal(tsc, files, ranks_of_node, monkeypatch):
    path, _ = files
    of = tuple(rank // ranks_of_node for rank in range(tsc.size))
    node = tsc.comm.Split(of[tsc.rank])
    nodes = dataclasses.replace(tsc.session.nodes, of=of, node=node)
    monkeypatch.setattr(type(tsc.session), "nodes", nodes)
    monkeypatch.setattr("mpimages.conversion.resume.FLUSH_LEAST", -1.0)
    monkeypatch.setattr("mpimages.conversion.rounds.HELD_BYTES", 0)
    output, budget = path / "s", {"memory": 2_500 if tsc.size <= 2 else 5_000, "resume": True}
    for attempt in range(2):
        with pytest.raises(Stop):
            save_until(tsc, path, "series", 8, **budget)
        found = sorted(file.name for file in path.glob(".s.*/journal-*"))
        wanted = [(i, j) for i in range(attempt + 1) for j in range(of[-1] + 1)]
        assert found == [journal_file(*pair) for pair in wanted]
        entries = read_job(str(next(path.glob(".s.*"))))[1]
        frames = [span for entry in entries for span in entry.get("frames", ())]
        assert Ranges(frames).count == sum(b - a for a, b in frames) == COUNT
        tsc.comm.Barrier()
    # Where the ranks share hosts in another way it goes on.
    monkeypatch.undo()
    save_until(tsc, path, "series", 10**6, **budget)
    resumed = contents(output)
    tsc.comm.Barrier()
    save_until(tsc, path, "series", 10**6, overwrite=True)
    assert contents(output) == resumed
    node.Free()


@pytest.mark.ranks
def test_a_function_on_series_calls_no_action(tsc, shared_path):
    """In a conversion, too: each rank calls it for its own pixels, one of them for none."""
    if tsc.size == 1:
        pytest.skip("one rank waits for nobody")
    images = tsc.loadImagesFromArray(np.arange(6, dtype="u2").reshape(6, 1, 1))
    series = images.toSeries().apply(lambda values: values + images.mean(), range(6), "f8")
    with pytest.raises(RuntimeError, match="called by all ranks together"):
        series.saveAsBinarySeries(shared_path / "out")
    assert not (shared_path / "out").exists()
