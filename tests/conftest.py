"""What all tests share: a watchdog, reproducible examples, contexts, directories in common."""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
import threading
from pathlib import Path

import hypothesis
import pytest

from .support.tallies import tallies

# Seconds after which a test counts as hung, and after which no rank waits for the others.
LIMIT = int(os.environ.get("MPIMAGES_TEST_LIMIT", "120"))
GRACE = 10
SLOWER = 5

# All ranks must draw the same examples, and nothing is written outside temporary directories.
hypothesis.settings.register_profile(
    "ranks",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=25,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("ranks")


def _give_up(test: str, config: pytest.Config) -> None:
    from mpi4py import MPI

    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:  # or nobody would see what is printed now
        capture.suspend_global_capture()
    print(f"\nrank {MPI.COMM_WORLD.rank} hangs in {test}:", file=sys.__stderr__, flush=True)
    faulthandler.dump_traceback(file=sys.__stderr__)
    threading.Event().wait(GRACE)  # let the other ranks say where they are
    os._exit(1)


@pytest.fixture(autouse=True)
def watchdog(request):
    """A test that hangs prints each rank's stack and ends the job."""
    limit = LIMIT * (SLOWER if request.node.get_closest_marker("slow") else 1)
    timer = threading.Timer(limit, _give_up, [request.node.nodeid, request.config])
    timer.daemon = True
    timer.start()
    # Should the interpreter itself be stuck, the timer's thread never runs.
    faulthandler.dump_traceback_later(limit + 2 * GRACE, exit=True, file=sys.__stderr__)
    yield
    timer.cancel()
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="session")
def comm():
    from mpi4py import MPI

    return MPI.COMM_WORLD


@pytest.fixture(scope="session")
def tsc(comm):
    from mpimages import ThunderContext

    with ThunderContext(comm, memory="1GB") as context:
        yield context


@pytest.fixture
def shared_path(comm, tmp_path):
    """A directory that all ranks see, empty; rank 0's."""
    path = Path(comm.bcast(str(tmp_path), 0))
    yield path
    comm.Barrier()


@pytest.fixture
def quick_path(tmp_path):
    """An empty directory in memory, where there can be one: for tests that flush all the time."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="mpimages-", dir="/dev/shm") as path:
        yield Path(path)


@pytest.fixture
def fish():
    """The real recording beside the clone; skips where it is not."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "fish"
    if not path.is_dir():
        pytest.skip("the recording of a fish is not beside this clone")
    return path


def pytest_terminal_summary(terminalreporter):
    """Say how much was tried that must not work."""
    for kind, number in sorted(tallies.items()):
        terminalreporter.write_line(f"tried: {number} {kind}")


@pytest.fixture
def command(comm, shared_path, monkeypatch):
    """Runs a command on all ranks in a directory in common; what rank 0 printed."""
    from click.testing import CliRunner

    from mpimages.cli import cli

    monkeypatch.chdir(shared_path)

    def run(*arguments, code=0):
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        found = comm.allgather((result.exit_code, result.output, repr(result.exception)))
        assert [one[0] for one in found] == [code] * comm.size, found
        assert all(one[1] == "" for one in found[1:]), found
        return found[0][1]

    return run
