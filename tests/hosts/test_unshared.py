"""What hosts do not share: a directory that one of them does not see, or sees as another."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mpimages

from ..support.hosts import HostsJob, both, hidden, on_hosts

pytestmark = on_hosts


def outcome(*given, mpi="mpich", **environment):
    """What the ranks of two hosts have come to: `unshared.py` says it."""
    with HostsJob(mpi, 2, "unshared.py", *given, **environment) as job:
        assert job.wait() == 0, job.output
    found = [line for line in job.output.splitlines() if line.startswith("outcome ")]
    assert len(found) == 1, job.output
    return json.loads(found[0].removeprefix("outcome "))


@pytest.fixture
def recording(tmp_path):
    directory = tmp_path / "in"
    directory.mkdir()
    (directory / "conf.json").write_text('{"shape": [6, 7], "dtype": "uint16"}')
    for i in range(12):
        np.full((6, 7), i, "<u2").tofile(directory / f"image-{i:02}.bin")
    return directory


def test_an_input_that_a_host_does_not_see(recording):
    with hidden("h2", recording):
        error = outcome("mean", recording)
    assert error[0] == "FileNotFoundError"
    assert "image-00.bin is seen on h1, but is not seen on h2;" in error[1]


@both
def test_an_output_that_a_host_does_not_see(mpi, recording, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with hidden("h2", out):
        error = outcome("convert", recording, out / "series", mpi=mpi)
    assert error[0] == "FileNotFoundError"
    assert f"rank 0 made for {out}/series is seen on h1, but is not seen on h2;" in error[1]
    assert list(out.iterdir()) == []


def test_an_output_of_which_a_host_has_another_directory(recording, tmp_path):
    """A job of that host alone was killed there, on its own disk."""
    out, other = tmp_path / "out", tmp_path / "other"
    partial = other / ".series.mpimages-partial"
    out.mkdir()
    partial.mkdir(parents=True)
    (partial / ".mpimages-seen").write_bytes(b"")
    with hidden("h2", out, other):
        error = outcome("convert", recording, out / "series")
    assert "not seen on h2 (another directory has its name there)" in error[1]
    assert list(out.iterdir()) == []
    assert [path.name for path in partial.iterdir()] == [".mpimages-seen"]


def test_a_movie_that_is_another_on_a_host(tmp_path):
    movie, other = tmp_path / "movie.npy", tmp_path / "other.npy"
    values = np.arange(9 * 6 * 7, dtype=np.uint16).reshape(9, 6, 7)
    np.save(movie, values)
    np.save(other, np.concatenate([values[::-1], values]))
    with hidden("h2", movie, other):
        error = outcome("mean", movie)
    assert error[0] == "FormatError"
    assert f"{movie.stat().st_size} bytes on h1, but {other.stat().st_size} bytes on h2" in error[1]


def test_another_version_on_a_host_is_found_when_the_context_is_made(tmp_path):
    source, other = Path(mpimages.__file__), tmp_path / "__init__.py"
    version = mpimages.__version__
    other.write_text(source.read_text().replace(f'"{version}"', '"0.0.1"'))
    with hidden("h2", source, other):
        error = outcome("mean", tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert error[0] == "LaunchError"
    assert f"mpimages {version} on h1, 0.0.1 on h2. Give all hosts one environment" in error[1]
