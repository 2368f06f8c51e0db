"""The command line on each rank, as an installed ``mpimages``.

With FAIL=RANK[:EXCEPTION] in the environment that rank (-1: every one) fails while it loads,
outside of what the ranks agree on.
"""

import builtins
import os

from mpimages.cli import main
from mpimages.commands import info

if "FAIL" in os.environ:
    rank, _, kind = os.environ["FAIL"].partition(":")
    right = info.load

    def wrong(context, *given):
        if int(rank) in (-1, context.rank):
            raise getattr(builtins, kind or "ValueError")("made to fail")
        return right(context, *given)

    info.load = wrong

main()
