"""Run pytest on every rank, and let one rank speak: mpiexec -n 3 python -m tests [...]

The other ranks' reports are kept, and shown where one of them fails and rank 0 does not.
"""

from __future__ import annotations

import contextlib
import io
import sys

import pytest
from mpi4py import MPI


def main() -> int:
    comm = MPI.COMM_WORLD
    arguments = ["--with-mpi", "-p", "no:cacheprovider", *sys.argv[1:]]
    kept = io.StringIO()
    with contextlib.redirect_stdout(sys.stdout if comm.rank == 0 else kept):
        status = int(pytest.main(arguments))
    for rank, (failed, report) in enumerate(comm.allgather((status, kept.getvalue()))):
        if comm.rank == 0 and failed and rank:
            print(f"--- rank {rank} ---\n{report}", flush=True)
    return comm.allreduce(status, op=MPI.MAX)


if __name__ == "__main__":
    sys.exit(main())
