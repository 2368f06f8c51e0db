"""Hosts with other versions of the software than rank 0's."""

import logging
import subprocess
import sys
from dataclasses import replace
from importlib import metadata

import pytest
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.engine import session
from mpimages.errors import LaunchError
from mpimages.spmd import versions
from mpimages.spmd.versions import check_versions, compare, number

OWN = versions.versions()
HOSTS = ["h1", "h1", "h2", "h2"]


def with_other(name, version):
    return tuple((one, version if one == name else its) for one, its in OWN)


def test_they_are_those_of_the_packages():
    found = dict(OWN)
    for name, package in (("NumPy", "numpy"), ("mpi4py", "mpi4py"), ("h5py", "h5py")):
        assert found[name] == metadata.version(package)


def test_asking_imports_nothing():
    code = (
        "import sys; from mpimages.spmd.versions import versions; before = set(sys.modules); "
        "versions(); print(*set(sys.modules) - before, 'h5py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_package_that_is_not_there_has_no_version():
    assert versions._beside_numpy("nosuch") == ""


def test_equal_versions_have_one_number():
    assert number(OWN) == number(versions.versions())
    assert number(OWN) != number(with_other("NumPy", "1.0.0"))


def test_equal_versions_are_no_difference():
    assert compare([OWN] * 4, HOSTS) == ("", False)


@pytest.mark.parametrize(
    ("name", "version"), [("mpimages", "0.0.1"), ("NumPy", "1.26.4"), ("h5py", "2.10.0")]
)
def test_another_release_is_an_error_that_names_the_hosts(name, version):
    other = with_other(name, version)
    text, fatal = compare([OWN, OWN, other, other], HOSTS)
    assert text == f"{name} {dict(OWN)[name]} on h1, {version} on h2"
    assert fatal


@pytest.mark.parametrize("name", ["NumPy", "h5py"])
def test_another_bug_fix_release_is_a_difference_and_no_error(name):
    other = with_other(name, f"{dict(OWN)[name].rpartition('.')[0]}.99")
    text, fatal = compare([OWN, OWN, other, OWN], HOSTS)
    assert text.endswith(".99 on h2")
    assert not fatal


@pytest.mark.parametrize(("name", "version"), [("h5py", ""), ("mpi4py", "3"), ("Python", "3.99.1")])
def test_what_changes_no_bits_is_no_error(name, version):
    text, fatal = compare([OWN, with_other(name, version)], ["h1", "h2"])
    assert text.endswith(f"{version or 'is missing'} on h2")
    assert not fatal


def test_of_many_hosts_few_are_named():
    other = with_other("NumPy", "1.0")
    text, _ = compare([OWN] + [other] * 40, [f"h{i}" for i in range(41)])
    assert text.endswith("on h0, 1.0 on h1, h2, h3, h4 and 36 more")


@pytest.fixture
def nodes(comm, tsc):
    """A host for each rank."""
    each, names = tuple((r,) for r in range(comm.size)), tuple(f"h{r}" for r in range(comm.size))
    return replace(
        tsc.session.nodes, node=MPI.COMM_SELF, members=each, of=tuple(range(comm.size)), hosts=names
    )


@pytest.mark.ranks
def test_the_error_is_the_same_on_all_ranks(comm, nodes):
    if comm.size == 1:
        pytest.skip("there is no other host")
    last = comm.rank == comm.size - 1
    own = with_other("mpimages", "0.0.1") if last else OWN
    with pytest.raises(LaunchError) as raised:
        check_versions(nodes, own)
    assert f"0.0.1 on h{comm.size - 1}. Give all hosts one environment" in str(raised.value)
    assert len(set(comm.allgather(str(raised.value)))) == 1


@pytest.mark.ranks
def test_a_small_difference_is_a_warning_on_rank_0(comm, nodes, caplog):
    if comm.size == 1:
        pytest.skip("there is no other host")
    last = comm.rank == comm.size - 1
    with caplog.at_level(logging.WARNING, "mpimages"):
        check_versions(nodes, with_other("Python", "3.99.0") if last else OWN)
    assert [f"3.99.0 on h{comm.size - 1}" in text for text in caplog.messages] == (
        [True] if comm.rank == 0 else []
    )


@pytest.mark.ranks
def test_a_context_is_not_made_where_versions_differ(comm, monkeypatch):
    if comm.size == 1:
        pytest.skip("there is no other host")
    other = with_other("mpimages", "0.0.1") if comm.rank == comm.size - 1 else OWN
    monkeypatch.setattr(session, "versions", lambda: other)
    with pytest.raises(LaunchError, match=r"mpimages .* 0\.0\.1 on "):
        ThunderContext(comm, memory="1GB")
    monkeypatch.undo()
    with ThunderContext(comm, memory="1GB") as context:
        assert context.size == comm.size
