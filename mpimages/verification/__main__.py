"""``python -m mpimages.verification PATH …``: verify outputs, and say what is wrong.

Ends with 0 when all are sound, 1 when one is not, 2 when a path is no output of mpimages.
"""

from __future__ import annotations

import sys

from . import verify


def main(paths: list[str]) -> int:
    """Print a report of each path: the status to end with."""
    if not paths or paths[0].startswith("-"):
        print("usage: python -m mpimages.verification PATH ...", file=sys.stderr)
        return 2
    status = 0
    for path in paths:
        try:
            found = verify(path)
        except (OSError, ValueError) as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            status = 2
        else:
            print(found, flush=True)
            status = max(status, 0 if found.ok else 1)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
