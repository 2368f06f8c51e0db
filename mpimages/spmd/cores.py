"""The cores of a node, shared among its ranks."""

from __future__ import annotations

import os


def threads_per_rank(sharing: int) -> int:
    """Return the number of threads of this rank: its share of the cores it may use. Local.

    `sharing` is the number of ranks that share them, this one included. MPIMAGES_THREADS in the
    environment overrides it; raise ValueError if that is not a number.
    """
    given = os.environ.get("MPIMAGES_THREADS")
    if given is None:
        return max(1, len(os.sched_getaffinity(0)) // sharing)
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"MPIMAGES_THREADS={given!r}: give a positive number of threads")
    return int(given)
