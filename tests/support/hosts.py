"""Jobs over several hosts, and what happens to hosts, in what `.ci/hosts run N` starts.

Everything that is done to a host is undone when the block ends: ``with cut("h2"): …``
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from .clusters import OPENMPI
from .jobs import PROGRAMS, SECONDS, Job, launcher

ROOT = PROGRAMS.parents[2]
SCRIPT = ROOT / ".ci" / "hosts"
STATE = Path(os.environ.get("MPIMAGES_TEST_HOSTS", ""))

# Of every module with such tests: pytestmark = on_hosts
on_hosts = [
    pytest.mark.hosts,
    pytest.mark.slow,
    pytest.mark.skipif("MPIMAGES_TEST_HOSTS" not in os.environ, reason="make test-hosts"),
]
# Of a test of either MPI, which takes its name: @both
both = pytest.mark.parametrize(
    "mpi",
    [
        "mpich",
        pytest.param(
            "openmpi",
            marks=pytest.mark.skipif(not OPENMPI, reason="MPIMAGES_TEST_OPENMPI names no Python"),
        ),
    ],
)


def call(*command: object) -> str:
    """Let `.ci/hosts` do something; what it printed."""
    done = subprocess.run(
        [str(part) for part in (SCRIPT, *command)],
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def names() -> list[str]:
    """Those that are on: h1, h2 …"""
    return sorted((path.stem for path in STATE.glob("h*.pid")), key=lambda name: int(name[1:]))


# -- jobs ----------------------------------------------------------------------------------


class HostsJob(Job):
    """N ranks of one of the `programs`, in order over hosts, some on each.

    Parameters
    ----------
    mpi : {'mpich', 'openmpi'}
    hosts : sequence of str or int
        Those to use, or how many of them. An int: the first ones.
    program : str or Path
        One of the `programs`, or another file.
    slots : int
        The ranks on each host.
    **environment
        What the ranks find in their environments beside what the test has.
    """

    def __init__(
        self,
        mpi: str,
        hosts: list[str] | int,
        program: str | Path,
        *arguments: object,
        slots: int = 2,
        **environment: str,
    ) -> None:
        self.mpi = mpi
        self.hosts = names()[:hosts] if isinstance(hosts, int) else hosts
        self.python = OPENMPI if mpi == "openmpi" else sys.executable
        ours = {"HOSTS": " ".join(self.hosts), "HOSTS_SLOTS": str(slots)}
        if mpi == "mpich":
            ours["MPIEXEC"] = " ".join(launcher())
        super().__init__(slots * len(self.hosts), str(program), *arguments, **(ours | environment))

    def start(self) -> list[str]:
        return [str(SCRIPT), self.mpi]

    def ranks(self, host: str = "") -> list[int]:
        """The processes that run the program, of all hosts or of one; in no order."""
        return [
            process
            for process in processes(host)
            if command_of(process)[1:2] == [os.fsencode(self.program)]
        ]

    def kill_all(self) -> None:
        """SIGKILL the launcher and all that runs on hosts."""
        self.kill([self.process.pid, *processes()])

    def __exit__(self, *exception: object) -> None:
        self.kill(processes())  # a launcher that has ended may have left something
        super().__exit__(*exception)


def processes(host: str = "") -> list[int]:
    """What runs on one host, or on all of them, without the first process of each."""
    first = {path.stem: int(path.read_text()) for path in STATE.glob("h*.pid")}
    homes = {_home(first[name]) for name in ([host] if host else first)}
    found = map(int, filter(str.isdecimal, os.listdir("/proc")))
    return [
        process
        for process in found
        if _home(process) in homes - {""} and process not in first.values()
    ]


def _home(process: int) -> str:
    """What is the same for the processes of one host."""
    with suppress(OSError):
        return os.readlink(f"/proc/{process}/ns/pid")
    return ""


def command_of(process: int) -> list[bytes]:
    with suppress(OSError):
        return Path("/proc", str(process), "cmdline").read_bytes().split(b"\0")
    return []


# -- what happens to hosts -----------------------------------------------------------------


@contextmanager
def undone(done: tuple[object, ...], undo: tuple[object, ...]) -> Iterator[None]:
    """Do something to a host, and undo it when the block ends."""
    call(*done)
    try:
        yield
    finally:
        call(*undo)


def cut(host: str) -> AbstractContextManager[None]:
    """Without its cable."""
    return undone(("cut", host), ("mend", host))


def off(host: str) -> AbstractContextManager[None]:
    """Without power: it ends without a word. It is started anew."""
    return undone(("off", host), ("on", host))


@contextmanager
def rate(speed: str, *hosts: str) -> Iterator[None]:
    """With cables of that speed, as '200mbit': of these hosts, or of all."""
    given = hosts or tuple(names())
    try:
        for host in given:
            call("rate", host, speed)
        yield
    finally:
        for host in given:
            call("rate", host)


def hidden(host: str, directory: Path, other: Path | str = "") -> AbstractContextManager[None]:
    """On that host an empty directory, or the other one, is where this one was."""
    return undone(("hide", host, directory, *([other] if other else [])), ("show", host, directory))


class Traffic(NamedTuple):
    """Bytes on a host's cable, with the headers of all layers."""

    received: int
    sent: int


def traffic() -> dict[str, Traffic]:
    """What each host has received and sent since it was started."""
    lines = map(str.split, call("bytes").splitlines())
    return {host: Traffic(int(received), int(sent)) for host, received, sent in lines}
