"""Ranks that fail where no context is: before the first one, or after the last one.

early.py CASE
"""

from __future__ import annotations

import sys

import mpimages

case = sys.argv[1]
if case == "import":  # as an interrupt leaves it while MPI starts
    from mpi4py import MPI

    last = MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1
    if last:
        del sys.modules["mpi4py.MPI"]
        raise KeyboardInterrupt
    mpimages.ThunderContext()
elif case == "after":
    with mpimages.ThunderContext() as tsc:
        first = tsc.rank == 0
    if first:
        raise LookupError("lost my way")
else:
    from mpi4py import MPI

    last = MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1
    if last or case == "all":
        raise LookupError("lost my way")
    mpimages.ThunderContext()
