"""Whether the launcher's processes have found each other: N worlds of one rank are no job.

Where mpi4py is bound to another MPI than the launcher's, each process finds itself alone. All
of them would then do the whole job, and overwrite each other's output. They cannot talk, so
each must see it by itself: in what the launcher has put into its environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import LaunchError

__all__ = ["OVERRIDE", "Launcher", "check_launch", "find_launcher", "launch_problem"]

OVERRIDE = "MPIMAGES_ALLOW_SINGLETON"

# SLURM numbers its own steps (of the batch script, of an interactive salloc) from here on.
SPECIAL_STEPS = 0xFFFFFFF0


@dataclass(frozen=True)
class Launcher:
    """What a launcher says of the job, in the environment.

    Attributes
    ----------
    name : str
        For messages.
    family : {'mpich', 'openmpi', 'pmi', 'pmix', 'slurm'}
        MPI implementation that the launcher serves. 'pmi', 'pmix' and 'slurm' serve any
        that uses that protocol.
    variable : str
        Which says how many ranks there are, or that there are several.
    ranks : int
        At least so many.
    rank : int
        Which of them this process is; 0 where that is not said.
    """

    name: str
    family: str
    variable: str
    ranks: int
    rank: int


# Of a launcher: its name, its family, where it says how many ranks there are, and which this is.
_MPI_LAUNCHERS = (
    ("Open MPI's mpiexec", "openmpi", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MVAPICH2's launcher", "mpich", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("a PMI launcher", "pmi", "PMI_SIZE", "PMI_RANK"),
    ("MPICH's mpiexec", "mpich", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"),
)


def find_launcher(environment: Mapping[str, str] = os.environ) -> Launcher | None:
    """What the launcher says of this process' job. Local; needs no MPI.

    Returns
    -------
    Launcher or None
        None: started without a launcher.

    Notes
    -----
    An MPI's own launcher counts more than the SLURM step in which it runs: that may be of its
    helpers, one a node, or of a single shell. Of several the one that tells of most ranks
    counts. PMIx by itself says who a process is, but not how many there are.
    """
    found = [
        Launcher(_hydra(name, environment), family, size, ranks, _number(environment, rank) or 0)
        for name, family, size, rank in _MPI_LAUNCHERS
        if (ranks := _number(environment, size)) is not None
    ]
    if found:
        return max(found, key=lambda launcher: launcher.ranks)
    return _slurm_step(environment) or _pmix(environment)


def _hydra(name: str, environment: Mapping[str, str]) -> str:
    """PMI_SIZE is set by hydra, and by srun --mpi=pmi2."""
    if name != "a PMI launcher":
        return name
    if "MPI_LOCALNRANKS" in environment:
        return "MPICH's mpiexec"
    return "srun" if _slurm_step(environment) else name


def _slurm_step(environment: Mapping[str, str]) -> Launcher | None:
    step = _number(environment, "SLURM_STEP_ID")
    if step is None or step >= SPECIAL_STEPS:
        return None  # a batch script or salloc, which has the variables of the job
    for variable in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        ranks = _number(environment, variable)
        if ranks is not None:
            return Launcher("srun", "slurm", variable, ranks,
                            _number(environment, "SLURM_PROCID") or 0)
    return None


def _pmix(environment: Mapping[str, str]) -> Launcher | None:
    rank = _number(environment, "PMIX_RANK")
    if rank is None:
        return None
    return Launcher("a PMIx launcher", "pmix", "PMIX_RANK", rank + 1, rank)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def check_launch(comm: object = None) -> None:
    """Refuse to work where the launcher's processes have not found each other. Local.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        What the user handed in. A communicator other than COMM_WORLD was made on purpose, and
        passes.

    Raises
    ------
    LaunchError
        On each of the processes alike; it says the likely cause and the cure. (A PMIx launcher
        that leaves no other trace is seen by all but its rank 0.)

    Notes
    -----
    The environment is inherited. A Python that a rank starts for itself looks like a process of
    the launcher that is alone, if it comes so far: most MPIs abort there by themselves. It has
    to set MPIMAGES_ALLOW_SINGLETON=1, or to remove the launcher's variables.
    """
    from mpi4py import MPI

    if comm is None or (isinstance(comm, MPI.Comm) and comm == MPI.COMM_WORLD):
        problem = launch_problem()
        if problem is not None:
            raise LaunchError(problem)


def launch_problem(environment: Mapping[str, str] = os.environ) -> str | None:
    """What is wrong with how the processes were started, and what to do; None: nothing. Local."""
    from mpi4py import MPI

    if MPI.COMM_WORLD.size > 1 or environment.get(OVERRIDE) == "1":
        return None
    launcher = find_launcher(environment)
    if launcher is None or launcher.ranks < 2 or _was_spawned():
        return None
    vendor, version = MPI.get_vendor()
    library = f"{vendor} {'.'.join(map(str, version))}"
    return (
        f"{launcher.name} has started {_count(launcher)}, but each is alone in its MPI "
        "world: all would do the whole job and overwrite each other's output. "
        f"{_cause(launcher, library)} {_cure(launcher, vendor)} `mpimages doctor` shows what is "
        f"there. Processes that are meant to be alone set {OVERRIDE}=1."
    )


def _was_spawned() -> bool:
    from mpi4py import MPI

    parent = MPI.Comm.Get_parent()
    return bool(parent != MPI.COMM_NULL)


def _count(launcher: Launcher) -> str:
    if launcher.variable == "PMIX_RANK":
        return f"{launcher.ranks} or more processes (PMIX_RANK={launcher.rank})"
    return f"{launcher.ranks} processes ({launcher.variable}={launcher.ranks})"


def _cause(launcher: Launcher, library: str) -> str:
    if launcher.name == "srun":
        return f"The likely cause: srun and mpi4py's {library} do not speak the same protocol."
    return (f"The likely cause: mpi4py is bound to {library}, which is not the launcher's MPI, or "
            "something in between has removed the launcher's variables.")


def _cure(launcher: Launcher, vendor: str) -> str:
    if launcher.name == "srun":
        protocol = "pmix" if vendor == "Open MPI" else "pmi2"
        return (f"Try `srun --mpi={protocol}` (`srun --mpi=list` names what there is), or the "
                "mpiexec of that MPI inside the allocation.")
    return ("Start with the mpiexec of that MPI (of a wheel: the one beside this python), or "
            "build mpi4py for the launcher's: with its mpicc on the path, "
            "`pip install --force-reinstall --no-binary=mpi4py mpi4py`.")
