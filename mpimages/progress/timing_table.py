"""A table of the timings of a job over all ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mpi4py import MPI

from ..core.sizes import size_text
from ..core.timers import PHASES, Timings
from ..spmd.collectives import allgather

__all__ = ["Row", "Table", "over_ranks"]

NOTES = """\
Seconds of work, added up over a rank's threads: phases overlap, and need not add up to the total.
read: opening and reading files. decode: what is compressed; HDF5 and tifffile read within it.
write: with compression and flushing. wait (files): for reading and writing; (ranks): for slower
ranks. GB/s: of one thread while it does that, averaged over the ranks. total: in mpimages."""


@dataclass(frozen=True)
class Row:
    """One phase over all ranks.

    Attributes
    ----------
    phase : str
    slowest : float
        Seconds on the slowest rank.
    rank : int
        The slowest rank.
    mean : float
        Mean seconds over all ranks.
    bytes : int
        Total of all ranks; 0 if not counted.
    ranks : int
    """

    phase: str
    slowest: float
    rank: int
    mean: float
    bytes: int
    ranks: int

    @property
    def rate(self) -> float | None:
        """Gigabytes (10⁹) per second of one thread in the phase; None if not meaningful."""
        seconds = self.mean * self.ranks
        return self.bytes / seconds / 1e9 if self.bytes and seconds > 0 else None

    def __str__(self) -> str:
        size = size_text(self.bytes) if self.bytes else ""
        rate = "" if self.rate is None else f"{self.rate:.3g}"
        return (
            f"{self.phase:13} {self.slowest:9.3f} {self.rank:>6} {self.mean:9.3f} "
            f"{size:>12} {rate:>7}"
        ).rstrip()


@dataclass(frozen=True)
class Table:
    """The timings of a job: see `ThunderContext.timings`."""

    rows: tuple[Row, ...]

    def __getitem__(self, name: str) -> Row:
        """Return the row of a phase; raise KeyError if there is none."""
        return {row.phase: row for row in self.rows}[name]

    def __str__(self) -> str:
        head = f"{'phase':13} {'slowest s':>9} {'rank':>6} {'mean s':>9} {'bytes':>12} {'GB/s':>7}"
        return "\n".join([head, *map(str, self.rows), NOTES])


def over_ranks(comm: MPI.Intracomm, timings: Timings) -> Table:
    """Return the timings over all ranks, on every rank. Collective."""
    own = np.array([[timings.seconds[name], timings.bytes[name]] for name in PHASES])
    every = np.array(allgather(comm, own))
    rows = []
    for name, (seconds, sizes) in zip(PHASES, every.transpose(1, 2, 0), strict=True):
        slowest = int(seconds.argmax())
        rows.append(
            Row(
                name,
                float(seconds[slowest]),
                slowest,
                float(seconds.mean()),
                int(sizes.sum()),
                comm.size,
            )
        )
    return Table(tuple(rows))
