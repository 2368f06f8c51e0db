"""Progress of all ranks in long work, displayed on one of them.

Each rank counts its own progress, and regularly sends it to rank 0. Rank 0 adds the counts and
draws, between its own batches and while it waits for the others. No rank waits for a report. If an
action fails, its pending reports are harmless: they have the number of their piece of work, and
are received later. No library counts over the ranks of MPI in this way; tqdm draws (`bar`).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mpi4py import MPI

from ..core.arguments import check_number
from ..core.text import quote
from ..spmd.watch import Watch
from .bar import REDRAW, Bar, LogLines
from .terminal import is_live

__all__ = ["Meter", "Tick", "choose_progress"]

Tick = Callable[[int], None]

# Seconds between two lines in a log; minimum seconds between two reports of a rank; seconds per
# rank that limit the reports to rank 0 to a thousand a second.
LOG_INTERVAL = 30.0
REPORT = 0.2
FOR_EACH = 1e-3

OFF = ("0", "no", "off", "false")
ON = ("1", "yes", "on", "true")


def choose_progress(progress: bool | float | None) -> tuple[bool, float | None]:
    """Return whether to show progress, and how often. Local; rank 0's result holds for all.

    Parameters
    ----------
    progress : bool, float or None
        A number: seconds between two lines. None: MPIMAGES_PROGRESS in the environment; if it is
        not set, rank 0 of COMM_WORLD shows progress.

    Raises
    ------
    TypeError, ValueError
        If it is none of these, or the environment variable is invalid.
    """
    if progress is None:
        given = os.environ.get("MPIMAGES_PROGRESS", "").strip().lower()
        if not given:
            return sys.stderr is not None and MPI.COMM_WORLD.rank == 0, None
        if given in OFF or given in ON:
            return given in ON, None
        name = "MPIMAGES_PROGRESS"
        try:
            seconds = float(given)
        except ValueError:
            raise ValueError(f"{name}={given!r}: give 0, 1, or a number of seconds") from None
    elif isinstance(progress, bool):
        return progress, None
    else:
        name, seconds = "progress", check_number(progress, "progress")
    if not 0 < seconds < float("inf"):
        raise ValueError(
            f"{name} must be 0, 1 or a positive number of seconds, got {quote(seconds)}"
        )
    return True, seconds


class Meter:
    """Progress counter of the ranks of a session. Local, except for `piece`.

    Parameters
    ----------
    watch : Watch
        Sends the reports, and lets a waiting rank draw.
    on : bool
        True to show progress; the same on all ranks.
    interval : float
        Seconds between two lines; 0: 0.2 on a terminal, 30 in a log.
    """

    def __init__(self, watch: Watch, on: bool, interval: float) -> None:
        self._watch = watch
        self._on = on
        comm = watch.comm
        self._line: Bar | LogLines | None = None
        if on and comm.rank == 0:
            live = is_live(sys.stderr)
            self._line = Bar(interval or REDRAW) if live else LogLines(interval or LOG_INTERVAL)
        self._period = max(min(REPORT, interval or REPORT), FOR_EACH * comm.size)
        self._open: list[_Piece] = []

    @contextmanager
    def piece(self, name: str, total: int, unit: str) -> Iterator[Tick]:
        """Begin a piece of work of all ranks. All ranks must enter it; no rank waits.

        Parameters
        ----------
        name : str
        total : int
            The number of units, over all ranks.
        unit : str
            'bytes', or the name of the items.

        Yields
        ------
        callable
            tick(more) adds to this rank's count.

        Notes
        -----
        A nested piece is not shown, unless the outer one has not begun to count: then the outer
        one waits for it.
        """
        # Counted on all ranks, shown or not: reports identify pieces by their number.
        number = self._watch.next_piece()
        if not self._on or (self._open and self._open[-1].done):
            yield self._ignored
            return
        piece = _Piece(self._watch, self._line, self._period, (name, total, unit), number)
        self._open.append(piece)
        complete = False
        try:
            piece.begin()
            yield piece.tick
            complete = True
        finally:
            self._open.pop()
            piece.end(complete)
            if self._open:
                self._open[-1].begin()

    def _ignored(self, _: int) -> None:
        self._watch.glance()


class _Piece:
    """The state of one piece of work on one rank."""

    def __init__(
        self,
        watch: Watch,
        line: Bar | LogLines | None,
        period: float,
        described: tuple[str, int, str],
        number: int,
    ) -> None:
        self.done = 0
        self._total = described[1]
        self._described = described
        self._reports = watch.reports
        self._watch = watch
        self._line = line
        self._period = period
        self._told = 0
        self._others: dict[int, int] = {}
        self._number = number
        self._next = 0.0

    def begin(self) -> None:
        """Begin the work, or continue it after a nested piece."""
        now = time.monotonic()
        self._next = now + self._period
        self._watch.meanwhile = self.look
        if self._line is not None:
            self._line.begin(*self._described, now)

    def tick(self, more: int) -> None:
        """Add to this rank's count."""
        self.done += more
        self._watch.glance()
        self.look()

    def look(self) -> None:
        """Send a report (rank > 0), or receive reports and redraw (rank 0), once per interval."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._period
        if self._line is not None:
            self._listen()
            self._line.show(self.done + sum(self._others.values()), now)
        elif self.done > self._told and self._reports.send(self._number, self.done):
            self._told = self.done

    def _listen(self) -> None:
        for rank, number, done in self._reports.take():
            if number == self._number:
                self._others[rank] = done

    def end(self, complete: bool) -> None:
        """End the piece: all ranks have agreed that it is complete, or a rank has failed."""
        self._watch.meanwhile = None
        if self._line is not None:
            self._listen()
            done = self._total if complete else self.done + sum(self._others.values())
            self._line.end(done, time.monotonic(), complete)
