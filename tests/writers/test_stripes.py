"""MPIMAGES_STRIPE: the boundaries between ranks fall on stripes, and the values stay the same."""

from __future__ import annotations

import logging
import math
import os

import h5py
import numpy as np
import pytest

from mpimages import CollectiveMismatchError, ThunderContext, verify
from mpimages.conversion import planning
from mpimages.writers.output.stripes import STRIPE, stripe_bytes, stripe_grain

from ..support.data import same_bits

ranks = pytest.mark.ranks


@pytest.mark.parametrize(
    ("stripe", "record", "grain"),
    [(0, 3600, 1), (4096, 4096, 1), (4096, 8192, 1), (4096, 16, 256), (4096, 40, 512), (7, 3, 7)],
)
def test_the_least_number_of_records_that_are_whole_stripes(stripe, record, grain):
    assert stripe_grain(stripe, record, 1000) == grain
    assert stripe_grain(stripe, record, 100) == min(grain, 100)
    if stripe:
        whole = [n for n in range(1, grain + 1) if n * record % stripe == 0]
        assert whole == [grain]


@pytest.mark.parametrize(
    ("per_file", "grain"),
    [(1024, 256), (256, 256), (255, 255), (300, 300), (1, 1), (2000, 256), (100_000, 256)],
)
def test_files_that_are_no_whole_stripes_have_one_writer(per_file, grain):
    assert stripe_grain(4096, 16, 2000, per_file) == grain


def test_what_the_environment_gives(monkeypatch):
    monkeypatch.delenv(STRIPE, raising=False)
    assert stripe_bytes() == 0
    monkeypatch.setenv(STRIPE, "4MiB")
    assert stripe_bytes() == 4 << 20
    for bad in ("", "0", "yes", "-1", "4 stripes", "1e9"):
        monkeypatch.setenv(STRIPE, bad)
        with pytest.raises(ValueError, match=f"{STRIPE}='{bad}'"):
            stripe_bytes()


class Writes:
    """The byte ranges that this rank writes into the files of an output: by the file's name."""

    def __init__(self, monkeypatch):
        self.ranges: dict[str, list[tuple[int, int]]] = {}
        right = os.pwrite

        def noting(descriptor, data, position):
            name = os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))
            count = right(descriptor, data, position)
            self.ranges.setdefault(name, []).append((position, position + count))
            return count

        monkeypatch.setattr(os, "pwrite", noting)

    def stripes(self, comm, stripe, name, begin=0):
        """The stripes of the values of a file that each rank has written."""
        own = {
            number
            for first, stop in self.ranges.get(name, [])
            if stop > begin
            for number in range(max(first, begin) // stripe, -(-stop // stripe))
        }
        return comm.allgather(own)


def assert_apart(stripes):
    """No stripe was written by two ranks, and all ranks have written."""
    assert all(stripes)
    assert len(set().union(*stripes)) == sum(map(len, stripes))


def images_of(tsc, shape):
    values = (np.arange(math.prod(shape)) % 60_000).astype(np.uint16).reshape(shape)
    return tsc.loadImagesFromArray(values), np.moveaxis(values, 0, -1)


@ranks
@pytest.mark.parametrize("times", [16, 20, 64])
def test_a_file_of_a_binary_series_has_one_writer_a_stripe(
    tsc, comm, shared_path, monkeypatch, times
):
    images, expected = images_of(tsc, (times, 64, 48))
    images.saveAsBinarySeries(shared_path / "plain")
    monkeypatch.setenv(STRIPE, "4KiB")
    monkeypatch.setattr(planning, "BLOCK_BYTES", 1)  # as many rounds as can be
    writes = Writes(monkeypatch)
    images.saveAsBinarySeries(shared_path / "striped")
    (name,) = [n for n in os.listdir(shared_path / "striped") if n.endswith(".bin")]
    assert_apart(writes.stripes(comm, 4096, name))
    same_bits(tsc.loadSeries(shared_path / "striped").toArray(), expected)
    for one in os.listdir(shared_path / "plain"):
        plain, striped = ((shared_path / out / one).read_bytes() for out in ("plain", "striped"))
        assert plain == striped
    assert verify(str(shared_path / "striped")).ok


@ranks
def test_files_that_are_no_whole_stripes_have_one_writer_each(tsc, comm, shared_path, monkeypatch):
    images, expected = images_of(tsc, (20, 64, 48))
    monkeypatch.setenv(STRIPE, "4KiB")
    writes = Writes(monkeypatch)
    images.saveAsBinarySeries(shared_path / "out", blockSize=5000)
    names = sorted(n for n in os.listdir(shared_path / "out") if n.endswith(".bin"))
    assert len(names) == 25
    everywhere = comm.allgather({name for name in writes.ranges if name in names})
    assert_apart(everywhere)
    same_bits(tsc.loadSeries(shared_path / "out").toArray(), expected)


@ranks
@pytest.mark.parametrize("as_frames", [False, True], ids=["series", "frames"])
def test_contiguous_hdf5_begins_at_a_stripe_and_has_one_writer_a_stripe(
    tsc, comm, shared_path, monkeypatch, as_frames
):
    monkeypatch.setenv("MPIMAGES_HDF5", "posix")
    images, expected = images_of(tsc, (20, 64, 48))
    monkeypatch.setenv(STRIPE, "2KiB")
    monkeypatch.setattr(planning, "BLOCK_BYTES", 1)
    writes = Writes(monkeypatch)
    path = shared_path / "out.h5"
    (images if as_frames else images.toSeries()).saveAsHDF5(path)
    with h5py.File(path) as file:
        (dataset,) = (file[n] for n in ("series", "images") if n in file)
        begin = dataset.id.get_offset()
        same_bits(dataset[()], np.moveaxis(expected, -1, 0) if as_frames else expected)
    assert begin % 2048 == 0
    assert_apart(writes.stripes(comm, 2048, "out.h5", begin))
    assert verify(str(path)).ok
    comm.Barrier()


@ranks
def test_series_of_files_keep_to_stripes_too(tsc, comm, shared_path, monkeypatch):
    images, expected = images_of(tsc, (20, 64, 48))
    images.saveAsBinarySeries(shared_path / "in", blockSize=5000)
    monkeypatch.setenv(STRIPE, "4KiB")
    writes = Writes(monkeypatch)
    tsc.loadSeries(shared_path / "in").saveAsBinarySeries(shared_path / "out")
    (name,) = [n for n in os.listdir(shared_path / "out") if n.endswith(".bin")]
    assert_apart(writes.stripes(comm, 4096, name))
    same_bits(tsc.loadSeries(shared_path / "out").toArray(), expected)


@ranks
def test_what_stripes_cannot_do_is_said(tsc, comm, shared_path, monkeypatch, caplog):
    images, _ = images_of(tsc, (20, 64, 48))
    monkeypatch.setenv(STRIPE, "4KiB")
    with caplog.at_level(logging.WARNING, "mpimages"):
        images.saveAsHDF5(shared_path / "a.h5", chunks=True)
        images.saveAsHDF5(shared_path / "b.h5", compression="gzip")
        images.toSeries().saveAsHDF5(shared_path / "c.h5", layout="images")
    said = [record.getMessage() for record in caplog.records]
    assert [text.count("has no effect") for text in said] == [1, 1, 1] * (comm.rank == 0)
    caplog.clear()
    monkeypatch.setenv(STRIPE, "1GiB")
    images.saveAsHDF5(shared_path / "d.h5")
    said = [record.getMessage() for record in caplog.records]
    if comm.rank == 0 and comm.size > 1:
        assert f"{comm.size - 1} of the {comm.size} ranks write nothing" in said[0]
    else:
        assert said == []


@ranks
def test_stripes_that_do_not_fit_the_budget_are_refused(comm, shared_path, monkeypatch):
    monkeypatch.setenv(STRIPE, "64MiB")
    with ThunderContext(comm, memory="200kB") as tsc:
        images, _ = images_of(tsc, (20, 64, 48))
        with pytest.raises(MemoryError, match=f"unset {STRIPE}"):
            images.saveAsBinarySeries(shared_path / "out")
    comm.Barrier()
    assert os.listdir(shared_path) == []


@ranks
def test_a_job_with_other_stripes_is_not_resumed(tsc, comm, shared_path, monkeypatch):
    images, _ = images_of(tsc, (20, 64, 48))
    monkeypatch.setenv(STRIPE, "4KiB")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("mpimages.writers.binaryseries.BinarySeriesWriter.finish", full)
        with pytest.raises(OSError, match="No space"):
            images.saveAsBinarySeries(shared_path / "out", resume=True)
    monkeypatch.delenv(STRIPE)
    with pytest.raises(FileExistsError, match="its options has changed"):
        images.saveAsBinarySeries(shared_path / "out", resume=True)
    monkeypatch.setenv(STRIPE, "4096")  # the same in other words
    images.saveAsBinarySeries(shared_path / "out", resume=True)
    assert verify(str(shared_path / "out")).ok


@ranks
@pytest.mark.mpi(min_size=2)
def test_ranks_with_other_stripes_are_told(comm, shared_path, monkeypatch):
    monkeypatch.setenv(STRIPE, "4KiB" if comm.rank else "8KiB")
    with ThunderContext(comm) as tsc:
        images, _ = images_of(tsc, (20, 64, 48))
        with pytest.raises(CollectiveMismatchError, match="stripe"):
            images.saveAsBinarySeries(shared_path / "out")
    comm.Barrier()
    assert os.listdir(shared_path) == []
