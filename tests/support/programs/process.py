"""``mpimages process`` as an installed command, slowly, so that it can be killed on its way.

process.py PATH OUT [OPTION ...]; SLOW in the environment is the pause in seconds, 0 for full speed.
"""

from __future__ import annotations

import os
import sys
import time

from mpimages.cli import cli
from mpimages.conversion import resume
from mpimages.engine.runner import Action

PAUSE = float(os.environ.get("SLOW", "0.01"))


def main() -> None:
    if PAUSE:
        write, run = os.pwrite, Action._run

        def pwrite(*given: object) -> int:
            time.sleep(PAUSE)
            return write(*given)  # type: ignore[arg-type]

        def slow_run(*given: object, **options: object) -> None:
            time.sleep(PAUSE)
            run(*given, **options)  # type: ignore[arg-type]

        os.pwrite, Action._run = pwrite, slow_run  # type: ignore[method-assign]
        resume.FLUSH_LEAST = 0.0  # so small a job would have nothing to go on with
    cli(["process", *sys.argv[1:]])


if __name__ == "__main__":
    main()
