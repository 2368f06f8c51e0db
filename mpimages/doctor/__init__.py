"""What an installation, a job and a file system are like: for people, and for error reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpi4py import MPI

from .findings import Finding

__all__ = ["Finding", "examine"]


def examine(comm: MPI.Intracomm, path: str | None = None) -> list[Finding]:
    """Look at everything that an action depends on. Collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        COMM_WORLD, usually.
    path : str, optional
        A directory for outputs: a small binary series and an HDF5 file are written into a
        hidden directory there, read back, compared, and removed.

    Returns
    -------
    list of Finding
        The same on all ranks; of ranks that a wrong launch keeps apart, each its own.
    """
    from mpi4py import MPI

    from ..context import ThunderContext
    from ..spmd.launcher import launch_problem
    from .job import examine_job, examine_launch
    from .software import examine_software
    from .storage import examine_storage

    found = [*examine_software(comm), *examine_launch()]
    apart = launch_problem() is not None
    # A context of COMM_WORLD would refuse to work; what is there can be looked at all the same.
    with ThunderContext(MPI.COMM_SELF if apart else comm) as context:
        found += examine_job(context)
        if path is not None and not apart:
            found += examine_storage(context, path)
    return found
