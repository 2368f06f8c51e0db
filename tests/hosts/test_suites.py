"""The collective tests, on ranks that share no host, or that share it with one other."""

from __future__ import annotations

import re

import pytest

from ..support.effort import THOROUGH
from ..support.hosts import ROOT, HostsJob, both, on_hosts

pytestmark = on_hosts

# Where ranks meet: all that depends on which of them share a host.
MEETING = (
    "spmd",
    "statistics",
    "api/test_context.py",
    "commands/test_doctor.py",
    "writers/test_hdf5_mpio.py",
)
# Of ranks that are each alone on a host, what knows of it.
ALONE = ("spmd", "statistics")


def collective(*places):
    """The files below these places of `tests` that have collective tests."""
    files = [file for place in places for file in sorted((ROOT / "tests").glob(place))]
    files = [each for file in files for each in (sorted(file.rglob("*.py")) or [file])]
    return [
        file.relative_to(ROOT)
        for file in files
        if file.name.startswith("test_") and "mark.ranks" in file.read_text()
    ]


def passes(mpi, hosts, slots, *files):
    """Run them over hosts."""
    chosen = ("-m", "ranks and not few_ranks and not slow", "--color=no", *files)
    with HostsJob(mpi, hosts, "suite.py", *chosen, slots=slots, MPIMAGES_TEST_THOROUGH="") as job:
        assert job.wait(600) == 0, job.output
    assert " passed" in job.output
    # Open MPI's launcher, too, says of something that it has failed.
    assert not re.search(r"\d failed", job.output)


@both
@pytest.mark.parametrize(("hosts", "slots"), [(2, 2), (4, 1)])
def test_what_ranks_do_together(mpi, hosts, slots):
    places = ("*/",) if THOROUGH else MEETING if slots > 1 else ALONE
    passes(mpi, hosts, slots, *collective(*places))


@both
def test_the_tutorial(mpi):
    passes(mpi, 4, 2, "tests/documents/test_tutorial.py")
