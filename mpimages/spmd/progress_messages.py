"""Small messages to rank 0 about each rank's progress, for which no rank waits."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

__all__ = ["Reports"]

# The other messages of the watch have the tag 0.
TAG = 1
WORDS = 2


class Reports:
    """Progress messages of the ranks of a communicator to rank 0. Every method is local.

    A rank sends the next message after rank 0 has taken the last: a synchronous send is complete
    once it is matched. So at most one message of each rank is pending, however rarely rank 0 polls.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The communicator of the watch.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm
        self._words = np.zeros(WORDS, dtype=np.int64)
        self._sending: MPI.Request | None = None

    def send(self, number: int, done: int) -> bool:
        """Send the state `done` of piece of work `number`. Not for rank 0.

        Return False if rank 0 has not taken the last message yet.
        """
        if not self.delivered():
            return False
        self._words[:] = number, done
        self._sending = self._comm.Issend(self._words, 0, TAG)
        return True

    def delivered(self) -> bool:
        """Return True if rank 0 has taken the last message."""
        if self._sending is not None and self._sending.Test():
            self._sending = None
        return self._sending is None

    def take(self) -> list[tuple[int, int, int]]:
        """Return (rank, number, done) of each message that has arrived."""
        found: list[tuple[int, int, int]] = []
        if self._comm.rank > 0:
            return found
        status, words = MPI.Status(), np.empty(WORDS, dtype=np.int64)
        while self._comm.Iprobe(MPI.ANY_SOURCE, TAG, status):
            rank = status.Get_source()
            self._comm.Recv(words, rank, TAG)
            found.append((rank, int(words[0]), int(words[1])))
        return found
