"""A conversion that ends with its ranks, or with a host, goes on over other hosts."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import pytest

from ..support.clusters import OPENMPI, mpimages, until
from ..support.hosts import HostsJob, both, names, off, on_hosts

pytestmark = on_hosts


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "rec"
    mpimages("example", path)
    return path


def contents(path):
    """The bytes of a file, or of all files below a directory."""
    files = [path] if path.is_file() else sorted(path.iterdir())
    return [file.read_bytes() for file in files]


@both
@pytest.mark.parametrize(
    ("name", "how", "then"),
    [("s.h5", "killed", ["h2"]), ("s", "killed", ["h4", "h1"]), ("s", "off", ["h1", "h2", "h4"])],
)
def test_it_goes_on_over_other_hosts(rec, tmp_path, mpi, name, how, then):
    (tmp_path / "whole").mkdir()
    whole = tmp_path / "whole" / name
    mpimages("to-series", rec, whole, python=OPENMPI if mpi == "openmpi" else sys.executable)
    (tmp_path / "out").mkdir()
    convert = ("slow.py", "to-series", rec, tmp_path / "out" / name, "--resume")
    with HostsJob(mpi, 4, *convert, PAUSE="0.3") as job:
        until(lambda: begun(tmp_path / "out") or job.process.poll() is not None)
        with off("h3") if how == "off" else nullcontext():
            if how == "killed":
                job.kill(job.ranks("h2"))
            else:  # as a batch system does when a node has failed
                job.kill_all()
            assert job.wait() != 0, job.output
            assert begun(tmp_path / "out"), job.output
            with HostsJob(mpi, then, *convert) as again:
                assert again.wait() == 0, again.output
    assert contents(tmp_path / "out" / name) == contents(whole)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    assert len(names()) == 4


def begun(directory):
    """Whether a partial output there has something that a job can go on with."""
    return any(journal.stat().st_size for journal in directory.glob(".*/journal-*"))
