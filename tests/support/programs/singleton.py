"""Makes a context as a user's script does, and writes a file: started wrongly, it must not.

Usage: singleton.py OUT [world|self|sub|child]
"""

import os
import subprocess
import sys
from pathlib import Path

from mpi4py import MPI

from mpimages import LaunchError, ThunderContext

out, how = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "world"
comm = {"self": MPI.COMM_SELF, "sub": MPI.COMM_WORLD.Split(0)}.get(how)
if how == "child":  # a Python that a rank starts, without what its MPI would fail on
    environment = {k: v for k, v in os.environ.items() if k != "PMI_FD"}
    code = subprocess.run([sys.executable, __file__, str(out)], env=environment).returncode
    MPI.COMM_WORLD.Barrier()
    sys.exit(code)
try:
    context = ThunderContext(comm, memory="100MB")
except LaunchError as error:
    print(f"refused: {error}", flush=True)
    sys.exit(3)
(out / f"{os.getpid()}").write_text(str(context.size))
print(f"world of {context.size}", flush=True)
context.close()
