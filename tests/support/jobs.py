"""Whole jobs, started from outside as a user or a batch system would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
# A limit against hanging alone: a busy machine may take long, and no test measures it.
SECONDS = 300


def launcher() -> list[str]:
    """The mpiexec that goes with this Python's mpi4py."""
    given = os.environ.get("MPIMAGES_MPIEXEC")
    beside = Path(sys.executable).parent / "mpiexec"
    return given.split() if given else [str(beside) if beside.exists() else "mpiexec"]


class Job:
    """N ranks of one of the `programs`. Whatever happens, it has ended when the block ends."""

    python = sys.executable

    def __init__(self, ranks: int, program: str, *arguments: object, **environment: str) -> None:
        self.program = str(PROGRAMS / program)
        command = [*self.start(), "-n", str(ranks), self.python, self.program]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONPATH": str(PROGRAMS.parents[2]),
                "MPIMAGES_THREADS": "1",
                **environment,
            },
        )
        self.output = ""

    def start(self) -> list[str]:
        """The launcher."""
        return launcher()

    def wait(self, seconds: float = SECONDS) -> int:
        """The exit code, once it has ended; subprocess.TimeoutExpired where it does not."""
        self.output, _ = self.process.communicate(timeout=seconds)
        return self.process.returncode

    def ranks(self) -> list[int]:
        """The processes that run the program."""
        found = []
        for process in descendants(self.process.pid):
            with suppress(OSError):
                command = Path("/proc", str(process), "cmdline").read_bytes().split(b"\0")
                if command[1:2] == [os.fsencode(self.program)]:
                    found.append(process)
        return sorted(found)

    def kill(self, processes: list[int]) -> None:
        """SIGKILL some of them."""
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def kill_all(self) -> None:
        """SIGKILL the ranks, their launcher and all that it has started."""
        self.kill([self.process.pid, *descendants(self.process.pid)])

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill_all()
        with suppress(ValueError):
            self.process.communicate(timeout=SECONDS)


def descendants(process: int) -> list[int]:
    """All processes that a process has started, and those that these have started."""
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        with suppress(OSError):
            status = Path("/proc", entry, "stat").read_text()
            children.setdefault(int(status.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    found, front = [], [process]
    while front:
        front = [child for parent in front for child in children.get(parent, [])]
        found += front
    return found


def run(ranks: int, program: str, *arguments: object, **environment: str) -> str:
    """Run a job to its end; what it printed. A failing one is an AssertionError that shows it."""
    with Job(ranks, program, *arguments, **environment) as job:
        code = job.wait()
    assert code == 0, job.output
    return job.output
