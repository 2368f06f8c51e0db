"""The machine fails: all ranks say the same, nothing half done is taken, and it goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
import tifffile

from ..support.data import recording
from ..support.jobs import run
from ..support.tallies import count
from .__main__ import SHARED_BYTES, build

pytestmark = pytest.mark.slow

COUNT, DIMS = 24, (40, 30)
SAVES = ("saveAsBinarySeries", "saveAsHDF5", "saveAsZarr", "saveAsTifs", "saveAsPngs")
RESUMED = SAVES[:3]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("recording")
    for i, image in enumerate(recording(COUNT, DIMS, "uint16")):
        tifffile.imwrite(root / f"{i:03d}.tif", image)
    return root


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of 256 kB: as root."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def suffer(ranks, fault, method, source, place):
    """Run the job; what it printed, of which this much is always true."""
    output = place / ("out.h5" if method == "saveAsHDF5" else "out")
    place.mkdir(exist_ok=True)
    printed = run(ranks, "faulty.py", fault, method, source, output)
    found = json.loads(printed.splitlines()[-1])
    count("faults injected")
    kinds = {(said or [None])[0] for said in found["said"]}
    assert len(kinds) == 1, found
    if found["said"][0] is not None:
        assert len({json.dumps(said[1]) for said in found["said"]}) == 1, found
        assert not found["taken"], found
    assert found["good"]
    assert found["left"] == ([] if method in ("mean", "toArray") else [output.name])
    return found["said"][0]


def told(said, kind, *errnos):
    assert said is not None, "the fault was not met"
    assert said[0] == kind
    assert not errnos or said[1] in [getattr(errno, name) for name in errnos], said


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("method", RESUMED)
def test_a_full_disk(source, disk, method, ranks):
    told(suffer(ranks, "full", method, source, disk), "OSError", "ENOSPC")


@pytest.mark.parametrize("method", SAVES)
def test_a_read_only_disk(source, disk, method):
    told(suffer(2, "readonly", method, source, disk), "OSError", "EROFS")


@pytest.mark.parametrize("ranks", [1, 3])
@pytest.mark.parametrize("method", RESUMED)
def test_files_that_may_not_grow(source, tmp_path, method, ranks):
    told(suffer(ranks, "filesize", method, source, tmp_path / "out"), "OSError", "EFBIG")


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("method", ["mean", "toArray"])
def test_no_more_memory(tmp_path, method, ranks):
    (tmp_path / "large").mkdir()
    for i, image in enumerate(recording(12, (600, 700), "float32")):
        tifffile.imwrite(tmp_path / "large" / f"{i}.tif", image)
    told(suffer(ranks, "memory", method, tmp_path / "large", tmp_path / "out"), "MemoryError")


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("method", RESUMED)
def test_a_directory_that_vanishes(source, tmp_path, method, ranks):
    told(suffer(ranks, "vanish", method, source, tmp_path / "out"), "FileNotFoundError")


@pytest.mark.parametrize("method", RESUMED)
def test_a_slow_rank_is_waited_for(source, tmp_path, method):
    assert suffer(3, "slow", method, source, tmp_path / "out") is None


@pytest.mark.parametrize("method", [*SAVES, "mean", "toArray"])
def test_no_more_descriptors(source, tmp_path, method):
    told(suffer(2, "descriptors", method, source, tmp_path / "out"), "OSError", "EMFILE")


@pytest.mark.parametrize("method", ["saveAsHDF5", "mean"])
def test_twenty_descriptors_may_do(source, tmp_path, method):
    said = suffer(2, "twenty", method, source, tmp_path / "out")
    if said is not None:  # the MPI library has most of them
        told(said, "OSError", "EMFILE")


@pytest.mark.parametrize(
    ("fault", "method"),
    [("nolock", "saveAsBinarySeries"), ("nosys", "saveAsHDF5"), ("nosys", "saveAsTifs")],
)
def test_locks_that_are_not_available(source, tmp_path, method, fault):
    assert suffer(2, fault, method, source, tmp_path / "out") is None


@pytest.mark.parametrize(("kind", "least"), [("read", 80), ("written", 45), ("joined", 6)])
def test_closing_fails(tmp_path, kind, least):
    lines = run(2, "unclosed.py", tmp_path, kind, MPIMAGES_PROGRESS="0").splitlines()
    for _, _, _, said, doubled, there in map(json.loads, lines):
        count("faults injected")
        assert len(said) == 1, said  # on both ranks the same
        assert (said == ["None"]) == there or not there
        assert doubled == 0  # no number is closed twice: it may be another file's by then
        assert said == ["None"] or (kind == "written" and said[0].startswith("OSError"))
    assert len(lines) >= least


@pytest.mark.skipif(shutil.which("gcc") is None, reason="its library needs a compiler")
def test_only_its_own_flush_tells_a_rank_that_its_bytes_are_on_the_disk(tmp_path):
    """One rank cannot flush for the others: its flush may succeed after their bytes were lost."""
    (tmp_path / "shared").write_bytes(bytes(SHARED_BYTES))
    environment = {
        "FAULTS_ROOT": str(tmp_path),
        "FAULTS_SHARED": str(tmp_path / "shared"),
        "LD_PRELOAD": str(build()),
    }
    said = run(1, "shared_flush.py", tmp_path / "file", **environment).split()
    count("faults injected")
    assert said == ["EIO", "done", "EIO", "False"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="its library needs a compiler")
def test_some_faults_of_each_call_leave_right_outputs():
    """What `make faults` does with more of them."""
    number = 50
    command = [sys.executable, "-m", "tests.faults", "--count", f"{number}", "--least", f"{number}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    count("faults injected", number)
