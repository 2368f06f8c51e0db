"""Jobs of a real SLURM: submitted, signalled, and waited for, never for ever."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from .jobs import PROGRAMS

ROOT = Path(__file__).parents[2]
SECONDS = 300
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE"}
# The Python of a site's Open MPI; the wheel's MPICH is that of the tests.
OPENMPI = os.environ.get("MPIMAGES_TEST_OPENMPI", "")
# Of /tmp each host has its own, and Open MPI makes sockets there, whose names must be short.
_LOCAL = {"HYDRA_IFACE": "eth0", "TMPDIR": "/tmp"}


def call(
    *command: object, python: str = sys.executable, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with what a user's shell would have; its output and errors in one."""
    foreign = ("SLURM_", "PMI", "SBATCH_")
    names = [name for name in os.environ if name == "SLURM_CONF" or not name.startswith(foreign)]
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(part) for part in command],
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={name: os.environ[name] for name in names}
        | {"PYTHONPATH": str(ROOT), "PATH": path, "MPIMAGES_THREADS": "1"}
        | _LOCAL
        | environment,
    )


def mpimages(*arguments: object, python: str = sys.executable) -> str:
    """Run ``mpimages`` alone; what it printed."""
    done = call(python, "-m", "mpimages", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def until(true: Callable[[], bool], what: Callable[[], str] = str) -> None:
    """Wait until something is true; AssertionError with what is the case where it does not."""
    end = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < end, what()
        time.sleep(0.2)


class Submitted:
    """A batch job; it is cancelled when the block ends.

    Parameters
    ----------
    script : Path
    *arguments
        Of the script.
    options : iterable of str
        Of sbatch; they count more than those in the script.
    program : str
        One of the `programs`, which is what ``mpimages`` is on the nodes.
    """

    def __init__(
        self,
        script: Path,
        *arguments: object,
        options: Iterable[str] = (),
        program: str = "",
        python: str = sys.executable,
        **environment: str,
    ) -> None:
        self.directory = script.parent
        self.log = self.directory / f"{script.name}.log"
        search = _as_mpimages(self.directory, python, program)
        done = call(
            "sbatch",
            "--parsable",
            f"--chdir={self.directory}",
            f"--output={self.log}",
            *options,
            script,
            *arguments,
            python=f"{search}/python",
            **environment,
        )
        assert done.returncode == 0, done.stdout
        self.number = done.stdout.strip()

    def __enter__(self) -> Submitted:
        return self

    def __exit__(self, *_: object) -> None:
        call("scancel", self.number)

    def show(self, task: int | None = None) -> dict[str, str]:
        """What SLURM says of it, or of one task of an array: JobState, Restarts, ExitCode …"""
        number = self.number if task is None else f"{self.number}_{task}"
        done = call("scontrol", "--oneliner", "show", "job", number)
        return dict(re.findall(r"(\S+?)=(\S*)", done.stdout))

    @property
    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait(self, task: int | None = None) -> str:
        """The state in which it, or one task of an array, has ended."""
        until(lambda: self.show(task).get("JobState") in ENDED, self.__str__)
        return self.show(task)["JobState"]

    def wait_for_progress(self, place: Path) -> None:
        """Until a conversion in that directory has recorded that something is done."""
        until(
            lambda: any(journal.stat().st_size for journal in place.glob(".*/journal-*")),
            self.__str__,
        )

    def __str__(self) -> str:
        return f"{self.show()}\n{self.output}"


def _as_mpimages(directory: Path, python: str, program: str) -> Path:
    """A directory for PATH in which ``mpimages`` is the program."""
    place = directory / "bin"
    place.mkdir(exist_ok=True)
    what = f"'{PROGRAMS / program}'" if program else "-m mpimages"
    (place / "mpimages").write_text(f"#!/bin/sh\nexec '{python}' {what} \"$@\"\n")
    (place / "mpimages").chmod(0o755)
    return place
