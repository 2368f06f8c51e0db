"""Ranks that fail where no context is: before the first one, or after the last one.

early.py CASE
"""

from __future__ import annotations

import sys

from mpimages import ThunderContext

case = sys.argv[1]
if case == "import":  # as an interrupt leaves it while MPI starts
    from mpi4py import MPI

    last = MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1
    if last:
        del sys.modules["mpi4py.MPI"]
        raise KeyboardInterrupt
    ThunderContext()
elif case == "after":
    with ThunderContext() as tsc:
        first = tsc.rank == 0
    if first:
        raise LookupError("lost my way")
else:
    from mpi4py import MPI

    last = MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1
    if last or case == "all":
        raise LookupError("lost my way")
    ThunderContext()
