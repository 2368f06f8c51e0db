"""``mpimages`` in many small and slow rounds, so that it can be stopped in one of them.

PAUSE in the environment is how slow, in seconds a round. Without it, and when SLURM has queued
the job again, it is as fast as ever.
"""

import os
import sys
import time

from mpimages.cli import main
from mpimages.spmd.signals import Stopping

if "PAUSE" in os.environ and "SLURM_RESTART_COUNT" not in os.environ:
    look = Stopping.check

    def look_slowly(self: Stopping, ask: bool = True) -> None:
        time.sleep(float(os.environ["PAUSE"]))
        look(self, ask)

    Stopping.check = look_slowly  # type: ignore[method-assign]
    sys.argv += ["--memory", "20kB"]

main()
