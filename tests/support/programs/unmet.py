"""Rank 0 alone makes the first context.

unmet.py TIMEOUT
"""

from __future__ import annotations

import logging
import sys

from mpi4py import MPI

from mpimages import CollectiveMismatchError, ThunderContext
from mpimages.spmd import communicators

logging.basicConfig(format="%(message)s")
communicators.WARN = 0.5
if MPI.COMM_WORLD.rank == 0:
    try:
        ThunderContext(timeout=float(sys.argv[1]))
    except CollectiveMismatchError as error:
        print(error, flush=True)
        raise
