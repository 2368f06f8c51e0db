"""Say where the ranks are, once they have met: where.py [DIRECTORY]

With a directory they wait until each has seen a file ``go`` in it.
"""

import socket
import sys
import time
from pathlib import Path

from mpi4py import MPI

comm = MPI.COMM_WORLD
node = comm.Split_type(MPI.COMM_TYPE_SHARED)
found = comm.gather((comm.rank, socket.gethostname(), node.size))
if comm.rank == 0:
    print("hosts:", *(host for _, host, _ in found), "| together:", *(n for _, _, n in found))
for directory in sys.argv[1:]:
    Path(directory, f"rank-{comm.rank}").touch()
    while not Path(directory, "go").exists():
        time.sleep(0.01)
comm.Barrier()
