"""The text of a batch script for SLURM. Knows neither the command line nor MPI."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["LONGEST_MARK", "MARK", "Script", "mpiexec_here", "program_here"]

MARK = "# Written by `mpimages slurm`"
LONGEST_MARK = 100  # letters of a script, within which it is
# A job that is stopped again and again gets nowhere.
RESTARTS = 50


def program_here() -> list[str]:
    """How to start ``mpimages`` as it was started now, from any directory. Local."""
    beside = os.path.join(os.path.dirname(sys.executable), "mpimages")
    return [beside] if os.access(beside, os.X_OK) else [sys.executable, "-m", "mpimages"]


def mpiexec_here() -> str | None:
    """The mpiexec that was installed together with this Python's MPI, if one was. Local."""
    beside = os.path.join(os.path.dirname(sys.executable), "mpiexec")
    return beside if os.access(beside, os.X_OK) else None


@dataclass(frozen=True)
class Script:
    """A batch script for one command.

    Attributes
    ----------
    name : str
        Of the job.
    made_by : sequence of str
        The command that prints this script.
    command : sequence of str
        The program and its arguments.
    options : sequence of str
        Of sbatch, each as ``--name=value``.
    mpi : str
        ``mpiexec``, or srun's ``--mpi``.
    margin : int or None
        Seconds before the time limit at which the command is stopped, and queued again; None:
        it cannot go on.
    mpiexec : str
        Where it is.
    """

    name: str
    made_by: Sequence[str]
    command: Sequence[str]
    options: Sequence[str]
    mpi: str
    margin: int | None
    mpiexec: str = "mpiexec"

    def __str__(self) -> str:
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "#!/bin/bash"
        yield f"{MARK}; submit it with `sbatch FILE`."
        made_by = shlex.join(self.made_by)
        if made_by.isprintable():
            yield f"# {made_by}"
        for option in (f"--job-name={self.name}", *self.options):
            yield f"#SBATCH {option}"
        if self.margin is not None:
            yield from self._stopping(self.margin)
        yield ""
        if self.mpi != "mpiexec":
            yield "# Should the ranks not find each other: `srun --mpi=list` names the other ways."
        if self.margin is None:
            yield self._launch()
            return
        yield from self._launch_in_background() if self.mpi == "mpiexec" else \
            (self._launch(), "code=$?")
        yield from REQUEUE

    def _launch(self) -> str:
        launcher = [self.mpiexec, "-n"] if self.mpi == "mpiexec" else ["srun", f"--mpi={self.mpi}"]
        ranks = '"${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES}" ' if self.mpi == "mpiexec" else ""
        return f"{shlex.join(launcher)} {ranks}{shlex.join(self.command)}"

    def _stopping(self, margin: int) -> Iterator[str]:
        before = f"# {margin} seconds before the time limit"
        if self.mpi == "mpiexec":
            yield f"{before} this script gets SIGUSR1, and passes it on to the ranks."
            signal = "B:USR1"
        else:
            yield f"{before} the ranks get SIGTERM."
            signal = "TERM"
        yield ("# They record what is done, and end with code 75; the job is queued again, and "
               "goes on.")
        yield f"#SBATCH --signal={signal}@{margin}"
        yield "#SBATCH --requeue"
        yield "#SBATCH --open-mode=append"

    def _launch_in_background(self) -> Iterator[str]:
        """bash acts on a signal only between commands, or while it waits."""
        yield "trap 'kill -USR1 \"$job\"' USR1"
        yield f"{self._launch()} &"
        yield "job=$!"
        yield 'wait "$job"'
        yield "code=$?"
        yield 'while kill -0 "$job" 2>/dev/null; do  # it was the signal that ended the wait'
        yield '  wait "$job"'
        yield "  code=$?"
        yield "done"


REQUEUE = (
    f'if [ $code -eq 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {RESTARTS} ]; then',
    '  scontrol requeue "$SLURM_JOB_ID"',
    "fi",
    "exit $code",
)
