"""A host from which nothing comes: whoever waits for it says so, and ends at the limit."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

import pytest

from ..support.clusters import until
from ..support.hosts import OPENMPI, HostsJob, cut, off, on_hosts, rate

pytestmark = on_hosts

# The ranks of h2, where a job has four hosts.
MISSED = "nothing was heard from rank 2, 3 on h2 for"
LIMIT = "12"
# Jobs of both MPIs share the wait.
MPIS = ["mpich", *(["openmpi"] if OPENMPI else [])]


def started(stack, directory, program="busy.py", **environment):
    """A job of each MPI over four hosts, once all of its ranks work."""
    jobs = {}
    for mpi in MPIS:
        there = directory / mpi
        there.mkdir()
        jobs[mpi] = stack.enter_context(HostsJob(mpi, 4, program, there, **environment))
    until(lambda: all(len(list((directory / mpi).glob("began-*"))) == 8 for mpi in jobs))
    return jobs


def let_end(directory):
    for mpi in MPIS:
        (directory / mpi / "enough").touch()


@pytest.mark.parametrize("fault", [cut, off])
def test_a_host_that_is_lost_ends_the_job_at_the_limit(tmp_path, fault):
    with ExitStack() as stack:
        jobs = started(stack, tmp_path, MPIMAGES_TIMEOUT=LIMIT)
        stack.enter_context(fault("h2"))
        began = time.monotonic()
        for host in ("h1", "h3", "h4"):  # whatever their launchers do
            until(lambda host=host: not any(job.ranks(host) for job in jobs.values()))
        assert time.monotonic() - began < 60
        for job in jobs.values():
            job.kill_all()
            job.wait()
            if fault is cut:  # a launcher may see at once that a host is off
                assert job.process.returncode != 0
                assert MISSED in job.output, job.output
                assert "MPIMAGES_TIMEOUT is the limit" in job.output


def test_a_cable_that_is_out_for_10_seconds_is_waited_for(tmp_path):
    with ExitStack() as stack:
        jobs = started(stack, tmp_path, MPIMAGES_TIMEOUT="60")
        with cut("h2"):
            time.sleep(10)  # as long as this takes
        let_end(tmp_path)
        for job in jobs.values():
            assert job.wait() == 0, job.output
            assert re.search("did all [0-9]+ times", job.output)
            assert "rank 2, 3 on h2 not heard from since" in job.output  # it was said meanwhile


def test_a_host_that_is_50_times_slower_gets_a_warning_and_no_end(tmp_path):
    with ExitStack() as stack, rate("20mbit", "h2"):
        jobs = started(stack, tmp_path, MPIMAGES_TIMEOUT=LIMIT, SLOW="h2")
        let_end(tmp_path)
        for job in jobs.values():
            assert job.wait() == 0, job.output
            assert re.search("waiting for .* rank 2, 3 on h2", job.output), job.output
