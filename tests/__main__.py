"""Run pytest on every rank, and let one rank speak: mpiexec -n 3 python -m tests [...]

The other ranks' reports are kept, and shown where one of them fails and rank 0 does not.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pkgutil
import shutil
import sys
import tempfile
import traceback

import pytest
from mpi4py import MPI

import mpimages
from mpimages.spmd import waiting


def load_all() -> None:
    """Load every module of the package.

    Hypothesis draws constants that it finds in the project's modules that are loaded: on all
    ranks the same ones have to be, also those that rank 0 alone would need.
    """
    for module in pkgutil.walk_packages(mpimages.__path__, "mpimages."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def main() -> int:
    comm = MPI.COMM_WORLD
    # The ranks of several jobs share few cores: who waits sleeps soon, and takes none from others.
    waiting.SPIN = waiting.YIELDING = 0.0
    load_all()
    # A directory of its own for each: pytest's common one is cleared by whoever ends first.
    scratch = tempfile.mkdtemp(prefix=f"mpimages-rank-{comm.rank}-")
    arguments = ["--with-mpi", "-p", "no:cacheprovider", f"--basetemp={scratch}/tests"]
    kept = io.StringIO()
    with contextlib.redirect_stdout(sys.stdout if comm.rank == 0 else kept):
        status = int(pytest.main([*arguments, *sys.argv[1:]]))
    comm.Barrier()  # the others may be using what is in it
    shutil.rmtree(scratch, ignore_errors=True)
    for rank, (failed, report) in enumerate(comm.allgather((status, kept.getvalue()))):
        if comm.rank == 0 and failed and rank:
            print(f"--- rank {rank} ---\n{report}", flush=True)
    return comm.allreduce(status, op=MPI.MAX)


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:
        # One rank that ends by itself would leave the others waiting for it.
        traceback.print_exc()
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)
    sys.exit(code)
