"""A job may be killed at any moment: nobody takes what it left for an output, and it goes on."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

from mpimages import ThunderContext
from mpimages.formats.zarr.nodes import is_zarr

from ..support.data import moved, recording
from ..support.effort import draws
from ..support.jobs import Job, run
from .test_saving import contents

pytestmark = [pytest.mark.slow, pytest.mark.drawn]

COUNT, DIMS = 48, (40, 30)
# Some twenty rounds: a round holds a band and a block of all images.
MEMORY = COUNT * 60 * 2
MOMENTS = draws(3, 6)
KINDS = {
    "bands": ("plain", "s", 0.02, {}),
    "frames": ("zlib", "s", 0.01, {}),
    "hdf5": ("plain", "s.h5", 0.0003, {"chunks": "[7, 6, 10]"}),
    "bins": ("plain", "s", 0.03, {"bin": "3"}),
    "suite2p": ("plain", "s", 0.02, {"kind": "saveAsSuite2p", "fs": "30"}),
    "mmap": ("plain", "s", 0.02, {"kind": "saveAsMmap"}),
    "matlab": ("plain", "s.mat", 0.02, {"kind": "saveAsMatlab"}),
    "gzip": ("zlib", "s.h5", 0.01, {"chunks": "[1, 5, 16]", "compression": '"gzip"'}),
    "zarr": ("plain", "s.zarr", 0.005, {"layout": '"series"', "compression": "null"}),
    "zstd": ("zlib", "s.zarr", 0.01, {"layout": '"series"', "chunks": "[1, 5, 16]"}),
    "levels": ("zlib", "s.zarr", 0.01, {"chunks": "[1, 20, 30]", "levels": "1"}),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same images uncompressed and compressed, and what they must become."""
    root = tmp_path_factory.mktemp("recordings")
    images = recording(COUNT, DIMS, "uint16")
    for name in ("plain", "zlib"):
        (root / name).mkdir()
        for i, image in enumerate(images):
            tifffile.imwrite(
                root / name / f"{i:03d}.tif", image, compression=None if name == "plain" else "zlib"
            )
    return root, np.moveaxis(images, 0, -1)


def nothing_loads(directory: Path) -> None:
    """No loader takes anything below a directory for an output, whatever it is called."""
    from mpi4py import MPI

    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        for path in [directory, *directory.rglob("*")]:
            with pytest.raises((OSError, ValueError)):
                alone.loadSeries(str(path)).toArray()
            with pytest.raises((OSError, ValueError)):
                alone.loadImages(str(path)).toArray()


def only_whole_ones_open(partial: Path, whole: Path) -> None:
    """What any reader of Zarr opens in a partial output, as it may before the end, has all values.

    Between its last document and its name an output is whole.
    """
    for path in [partial, *partial.rglob("*")]:
        if is_zarr(str(path)):
            assert contents(whole / path.relative_to(partial)).items() <= contents(path).items()


def until_it_writes(job: Job, directory: Path) -> None:
    """Wait for the partial output: what comes before takes longer, and leaves nothing."""
    while job.process.poll() is None and not any(directory.glob(".*-partial")):
        time.sleep(0.005)


def kill_later(job: Job, seconds: float, all_ranks: bool) -> None:
    """Kill the ranks of a job after a while, or one of them, and wait for its end."""
    time.sleep(seconds)
    if all_ranks:
        job.kill_all()
    else:
        job.kill(job.ranks()[:1])
    job.wait()


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_killed_at_any_moment_goes_on(recordings, quick_path, kind):
    root, expected = recordings
    source, name, pause, options = KINDS[kind]
    if "bin" in options:
        each = expected.reshape(*DIMS, -1, int(options["bin"]))
        expected = each.mean(axis=-1).astype(np.float32)
    memory = 4 * MEMORY if kind == "bins" else MEMORY  # an image, its sum and its mean
    given = [f"{option}={value}" for option, value in options.items()]
    whole = quick_path / "whole" / name
    whole.parent.mkdir()
    with Job(2, "convert.py", root / source, whole, memory, pause, *given) as job:
        until_it_writes(job, whole.parent)
        began = time.monotonic()
        assert job.wait() == 0, job.output
    duration = time.monotonic() - began
    moments = random.Random(kind)
    resumed = number = 0
    # The moments must fall into the work itself. How long that takes depends on what else runs,
    # so that some may miss it.
    while number < MOMENTS or resumed < MOMENTS // 2:
        assert number < 5 * MOMENTS, resumed
        place = quick_path / f"{number}"
        place.mkdir()
        ranks = moments.choice((1, 2, 3))
        slow = ("convert.py", root / source, place / name, memory, pause)
        with Job(ranks, *slow, *given) as job:
            until_it_writes(job, place)
            kill_later(job, moments.uniform(0.0, 1.0) * duration, all_ranks=number % 2 == 1)
        if (place / name).exists():
            duration *= 0.8  # less runs beside it now
        else:
            nothing_loads(place)
            only_whole_ones_open(place / f".{name}.mpimages-partial", whole)
            has_recorded = any(place.rglob("journal-*"))
            resumed += has_recorded
            duration *= 1.0 if has_recorded else 1.1
        again = moments.choice((1, 2, 3))
        run(again, "convert.py", root / source, place / name, 3 * memory, 0, *given)
        assert list(contents(place / name).values()) == list(contents(whole).values())
        assert [p.name for p in place.iterdir()] == [name]
        number += 1
    from mpi4py import MPI

    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        if "kind" in options:
            found = np.moveaxis(alone.loadImages(str(whole)).toArray(), 0, -1)
            expected = expected - (32768.0 if kind == "suite2p" else 0.0)
        else:
            found = alone.loadSeries(str(whole)).toArray()
        assert np.array_equal(found, expected)


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A recording that moves."""
    path = tmp_path_factory.mktemp("moving") / "movie.npy"
    np.save(path, moved(COUNT, DIMS)[0])
    return path


def test_a_process_killed_at_any_moment_goes_on(moving, quick_path):
    """In the fit, between the outputs and within each of them."""
    name = "s"
    options = ("--register", "rigid", "--max-shift", "6", "--bin", "2", "--report")
    memory = ("--memory", "300kB")
    (quick_path / "whole").mkdir()
    whole = quick_path / "whole"
    with Job(2, "process.py", moving, whole / name, *memory, *options, whole / "r.html") as job:
        until_it_writes(job, whole)
        began = time.monotonic()
        assert job.wait() == 0, job.output
    duration = time.monotonic() - began
    wanted = outputs(whole)
    assert set(wanted) == {*contents(whole / name), f"{name}.registration.npz", "r.html"}
    moments = random.Random(name)
    stopped: set[str] = set()
    number = 0
    while number < MOMENTS or len(stopped) < 2:
        assert number < 5 * MOMENTS, stopped
        place = quick_path / f"{number}"
        place.mkdir()
        slow = ("process.py", moving, place / name, *memory, *options, place / "r.html")
        with Job(moments.choice((1, 2, 3)), *slow) as job:
            until_it_writes(job, place)
            kill_later(job, moments.uniform(0.0, 1.0) * duration, all_ranks=number % 2 == 1)
        stopped.add(" ".join(sorted(p.name for p in place.glob("[!.]*"))))
        output = run(moments.choice((1, 2, 3)), *slow, "--resume", SLOW="0")
        assert outputs(place) == wanted, output
        assert sorted(p.name for p in place.iterdir()) == sorted(p.name for p in whole.iterdir())
        number += 1


def test_a_signal_ends_a_fit_and_leaves_nothing(moving, quick_path):
    options = ("--register", "rigid", "--max-shift", "6", "--resume")
    # The fit lasts until the signal comes, however late that is.
    with Job(2, "process.py", moving, quick_path / "s", *options, SLOW="1") as job:
        until_it_writes(job, quick_path)
        for rank in job.ranks():
            with suppress(ProcessLookupError):  # the launcher may have been quicker
                os.kill(rank, signal.SIGTERM)
        assert job.wait() == 75, job.output
    assert list(quick_path.iterdir()) == []


def outputs(directory: Path) -> dict[str, bytes]:
    """The bytes of all that a process has written, by name."""
    found = {}
    for path in directory.iterdir():
        found |= contents(path)
    return found
