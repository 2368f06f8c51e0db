"""Do one thing with a recording, and print as JSON the type and the text of its error.

unshared.py mean|convert INPUT [OUTPUT]
"""

from __future__ import annotations

import json
import sys

from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.spmd import shared_paths


def main() -> None:
    what, source, *output = sys.argv[1:]
    shared_paths.PATIENCE = 0.5
    try:
        tsc = ThunderContext()
        images = tsc.loadImages(source)
        if what == "mean":
            images.mean()
        else:
            images.saveAsBinarySeries(*output)
        outcome = ("done", "")
    except Exception as error:
        outcome = (type(error).__name__, str(error))
    if MPI.COMM_WORLD.rank == 0:
        print("outcome", json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
