"""What one rank gives, to compare bits with."""

import pytest
from mpi4py import MPI

from mpimages import ThunderContext


@pytest.fixture(scope="module")
def alone(comm):
    """alone(work, ...): what work(context, ...) gives on one rank with little memory, on all."""
    if comm.rank:
        yield lambda *_: comm.bcast(None)
        return
    with ThunderContext(MPI.COMM_SELF, memory="2MB") as context:
        yield lambda work, *given: comm.bcast(work(context, *given))
