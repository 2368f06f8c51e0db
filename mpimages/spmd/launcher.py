"""Check that there is an MPI, and that the launcher's processes form one job of it.

If mpi4py is bound to another MPI than the launcher's, each process is alone in COMM_WORLD. All of
them would then do the whole job and overwrite each other's output. They cannot communicate, so
each must detect it from the environment variables of the launcher.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import LaunchError

__all__ = ["OVERRIDE", "Launcher", "check_launch", "find_launcher", "launch_problem", "require_mpi"]

OVERRIDE = "MPIMAGES_ALLOW_SINGLETON"

# SLURM gives numbers from here on to its own steps (batch script, interactive salloc).
SPECIAL_STEPS = 0xFFFFFFF0


@dataclass(frozen=True)
class Launcher:
    """The description of the job in a launcher's environment variables.

    Attributes
    ----------
    name : str
        Name in messages.
    family : {'mpich', 'openmpi', 'pmi', 'pmix', 'slurm'}
        MPI implementation that the launcher serves. 'pmi', 'pmix' and 'slurm' serve any
        that uses that protocol.
    variable : str
        The variable with the number of ranks, or that shows that there are several.
    ranks : int
        The minimum number of ranks.
    rank : int
        The rank of this process; 0 if unknown.
    """

    name: str
    family: str
    variable: str
    ranks: int
    rank: int


# Name and family of each launcher, and its variables for the number of ranks and for the rank.
_MPI_LAUNCHERS = (
    ("Open MPI's mpiexec", "openmpi", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MVAPICH2's launcher", "mpich", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("a PMI launcher", "pmi", "PMI_SIZE", "PMI_RANK"),
    ("MPICH's mpiexec", "mpich", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"),
)


def require_mpi() -> None:
    """Raise ImportError with the remedy if mpi4py finds no MPI library. Local.

    The first import of mpi4py.MPI starts MPI. One rank needs a library, too: without one the
    communicator of one, with its requests and reductions, would be a second implementation of MPI.
    """
    try:
        from mpi4py import MPI  # noqa: F401
    except (ImportError, RuntimeError) as error:
        reason = "; ".join(str(error).splitlines())
        raise ImportError(
            f"no MPI library was found ({reason[:200]}): `pip install mpich` installs one; on a "
            "cluster load the site's, such as `module load openmpi`, and then install mpi4py"
        ) from error


def find_launcher(environment: Mapping[str, str] = os.environ) -> Launcher | None:
    """Find the launcher of this process' job in the environment. Local; needs no MPI.

    Returns
    -------
    Launcher or None
        None if the process was started without a launcher.

    Notes
    -----
    The launcher of an MPI takes precedence over the SLURM step in which it runs: that step may
    hold its helpers, one per node, or a single shell. Among several launchers the one with the most
    ranks is returned. PMIx gives the rank of a process, but not the number of ranks.
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
    """Return the name of the launcher that set PMI_SIZE: hydra, or srun --mpi=pmi2."""
    if name != "a PMI launcher":
        return name
    if "MPI_LOCALNRANKS" in environment:
        return "MPICH's mpiexec"
    return "srun" if _slurm_step(environment) else name


def _slurm_step(environment: Mapping[str, str]) -> Launcher | None:
    step = _number(environment, "SLURM_STEP_ID")
    if step is None or step >= SPECIAL_STEPS:
        return None  # a batch script or salloc, which also has the job's variables
    for variable in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"):
        ranks = _number(environment, variable)
        if ranks is not None:
            return Launcher(
                "srun", "slurm", variable, ranks, _number(environment, "SLURM_PROCID") or 0
            )
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
    """Raise LaunchError if the launcher's processes do not form one job. Local.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        The user's communicator. One other than COMM_WORLD was made on purpose, and is accepted.

    Raises
    ------
    LaunchError
        On each of the processes, with the likely cause and the remedy. (A PMIx launcher that sets
        no other variable is detected by all ranks except its rank 0.)

    Notes
    -----
    The environment is inherited. A Python process that a rank starts looks like a process of the
    launcher that is alone; most MPIs abort it before it comes here. Such a process must set
    MPIMAGES_ALLOW_SINGLETON=1, or remove the launcher's variables.
    """
    from mpi4py import MPI

    if comm is None or (isinstance(comm, MPI.Comm) and comm == MPI.COMM_WORLD):
        problem = launch_problem()
        if problem is not None:
            raise LaunchError(problem)


def launch_problem(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the problem of the launch and the remedy, or None if there is no problem. Local."""
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
    return (
        f"The likely cause: mpi4py is bound to {library}, which is not the launcher's MPI, or "
        "something in between has removed the launcher's variables."
    )


def _cure(launcher: Launcher, vendor: str) -> str:
    if launcher.name == "srun":
        protocol = "pmix" if vendor == "Open MPI" else "pmi2"
        return (
            f"Try `srun --mpi={protocol}` (`srun --mpi=list` names what there is), or the "
            "mpiexec of that MPI inside the allocation."
        )
    return (
        "Start with the mpiexec of that MPI (of a wheel: the one beside this python), or "
        "build mpi4py for the launcher's: with its mpicc on the path, "
        "`pip install --force-reinstall --no-binary=mpi4py mpi4py`."
    )
