"""Clocks of hosts may be hours apart: no time of one host is compared with that of another."""

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest

import mpimages
from mpimages.writers.binaryseries import BinarySeriesWriter

PACKAGE = Path(mpimages.__file__).parent
# What asks for the time of day, or for a time that a file was given.
ASKS = re.compile(
    r"\btime\.time(_ns)?\(|\bdatetime\b|\bst_[acm]time|\bget[acm]time\(|\b(gm|local)time\("
)
# The time of day, where it is only shown; times of one file, compared with those of the same; times
# that a header tells, or a user; and that of an output's mark, which tells when it was begun.
ALLOWED = {
    "progress/bar.py",
    "conversion/fingerprint.py",
    "conversion/nwb.py",
    "methods/nwb.py",
    "readers/flat/array.py",
    "readers/hdf5/families.py",
    "readers/hdf5/reader.py",
    "readers/tif/metamorph.py",
    "readers/tif/scanimage.py",
    "readers/tif/pages.py",
    "readers/zarr/shards.py",
    "readers/zarr/store.py",
    "stored_arrays.py",
    "writers/nwb/checks.py",
}
HOURS = 5 * 3600


def test_no_other_module_asks_for_a_time_of_day():
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if ASKS.search(path.read_text())
    }
    assert found == ALLOWED


def shift(directory, seconds):
    """Let all files below a directory be so much younger."""
    for path in directory.rglob("*"):
        then = path.stat().st_mtime + seconds
        os.utime(path, (then, then))


@pytest.mark.ranks
@pytest.mark.parametrize("hours", [-HOURS, HOURS])
def test_a_job_goes_on_whatever_the_clocks(comm, tsc, shared_path, monkeypatch, hours):
    """Each rank has another time of day; what the first job left is of yesterday or tomorrow."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + hours * comm.rank)
    source, out = shared_path / "in", shared_path / "out"
    if comm.rank == 0:
        source.mkdir()
        (source / "conf.json").write_text('{"shape": [30, 20], "dtype": "uint16"}')
        for i in range(12):
            np.full((30, 20), i, "<u2").tofile(source / f"{i:02}.bin")
        shift(source, hours)
    comm.Barrier()
    kept, restored = BinarySeriesWriter.restore, []

    def stop(self):
        raise ZeroDivisionError

    def restore(self, entry):
        restored.append(entry)
        return kept(self, entry)

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(BinarySeriesWriter, "finish", stop)
        tsc.loadImages(source).saveAsBinarySeries(out, resume=True)
    if comm.rank == 0:
        shift(shared_path / ".out.mpimages-partial", hours)
        (shared_path / ".out.mpimages-lock").touch()
        os.utime(shared_path / ".out.mpimages-lock", (now() + hours, now() + hours))
    comm.Barrier()
    monkeypatch.setattr(BinarySeriesWriter, "restore", restore)
    tsc.loadImages(source).saveAsBinarySeries(out, resume=True)
    assert sum(comm.allgather(len(restored)))
    assert np.array_equal(
        tsc.loadSeries(out).toArray(), np.broadcast_to(np.arange(12), (30, 20, 12))
    )
