"""How much was tried: bad inputs, faults, mutated files. `conftest` prints it at the end."""

from __future__ import annotations

from collections import Counter
from typing import Any

tallies: Counter[str] = Counter()


def count(kind: str, number: int = 1, comm: Any = None) -> None:
    """Add to what was tried. With a communicator every rank counts, but it was tried once."""
    if comm is None or comm.rank == 0:
        tallies[kind] += number
