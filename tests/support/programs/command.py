"""The command line on each rank, as an installed ``mpimages``.

With FAIL=RANK[:EXCEPTION] in the environment that rank (-1: every one) fails while it loads,
outside of what the ranks agree on. With INTERRUPT=RANK it is interrupted while MPI starts.
"""

import builtins
import os
import sys

from mpimages.cli import main
from mpimages.commands import info
from mpimages.commands.running import Run

if "FAIL" in os.environ:
    rank, _, kind = os.environ["FAIL"].partition(":")
    right = info.load

    def wrong(context, *given, **named):
        if int(rank) in (-1, context.rank):
            raise getattr(builtins, kind or "ValueError")("made to fail")
        return right(context, *given, **named)

    info.load = wrong

if "INTERRUPT" in os.environ:
    world = Run.world

    def interrupted(self):
        from mpi4py import MPI

        if MPI.COMM_WORLD.rank == int(os.environ["INTERRUPT"]):
            del sys.modules["mpi4py.MPI"]
            raise KeyboardInterrupt
        return world(self)

    Run.world = interrupted

main()
