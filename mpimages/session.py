"""What the collections of one context share: communicator, memory budget, workspace."""

from __future__ import annotations

from mpi4py import MPI

from . import communicators
from .budget import agreed_budget
from .collective import Together
from .workspace import Workspace, threads_per_rank

__all__ = ["Session"]


class Session:
    """A private communicator, and what each rank may take. Collective constructor.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The user's; a duplicate of it is used, and freed by `close`.
    memory : int, str or None
        The budget per rank; None: worked out.
    """

    def __init__(self, comm: MPI.Intracomm, memory: int | str | None) -> None:
        self.workspace = Workspace(0, 1)
        self._shared: communicators.Shared | None = communicators.acquire(comm)
        try:
            self.memory = agreed_budget(self.comm, memory)
            with Together(self.comm, "ThunderContext"):
                threads = threads_per_rank(self.comm)
        except BaseException:
            self.close()
            raise
        # Half: what is idle must leave room for arrays of other sizes.
        self.workspace = Workspace(self.memory // 2, threads)

    @property
    def is_open(self) -> bool:
        """Whether `close` has not been called. Local."""
        return self._shared is not None

    @property
    def comm(self) -> MPI.Intracomm:
        """The communicator. Local; RuntimeError after `close`."""
        if self._shared is None:
            raise RuntimeError("the ThunderContext is closed; make a new one")
        return self._shared.comm

    def close(self) -> None:
        """Give back communicator, memory and threads. Collective; may be called twice."""
        if self._shared is not None:
            self.workspace.close()
            shared, self._shared = self._shared, None
            communicators.release(shared)
