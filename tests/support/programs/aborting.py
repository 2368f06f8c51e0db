"""The last rank prints as much as a pipe holds, and why it ends the job; the others wait for it."""

import sys

from mpi4py import MPI

from mpimages.spmd.exit import abort

comm = MPI.COMM_WORLD
if comm.rank == comm.size - 1:
    sys.stderr.write(("." * 79 + "\n") * 700)
    sys.stderr.write("the reason\n")
    abort(comm, 3)
comm.Barrier()
