"""The cores of a node, shared among its ranks."""

from __future__ import annotations

import os

from mpi4py import MPI


def threads_per_rank(node: MPI.Comm) -> int:
    """Return the number of threads of this rank: its share of the cores it may use. Collective.

    MPIMAGES_THREADS in the environment overrides it; raise ValueError if that is not a number.
    """
    own = os.sched_getaffinity(0)
    sharing = sum(1 for other in node.allgather(own) if own & other)
    given = os.environ.get("MPIMAGES_THREADS")
    if given is None:
        return max(1, len(own) // sharing)
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"MPIMAGES_THREADS={given!r}: give a positive number of threads")
    return int(given)
