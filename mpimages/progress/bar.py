"""How far a piece of work is, as a line that is drawn again or as lines of a log. Local."""

from __future__ import annotations

import sys
from contextlib import suppress

from ..core.sizes import size_text
from .terminal import width_of

__all__ = ["Bar", "LogLines"]

# Seconds: what is over sooner has no bar; between two drawings.
DELAY = 0.5
REDRAW = 0.2
LONGEST_BAR = 30
SHORTEST_BAR = 5


class _Line:
    """What both have in common.

    Nothing here raises: that standard error was closed, on one rank only, must not end a job.
    """

    def __init__(self, delay: float, interval: float) -> None:
        self.interval = interval
        self._delay = delay
        self._began = self._next = 0.0
        self._name, self._unit, self._total = "", "", 0
        self._shown = False

    def begin(self, name: str, total: int, unit: str, now: float) -> None:
        """A piece of work of `total` units, 'bytes' or what is counted, has begun."""
        self._name, self._total, self._unit = name, total, unit
        self._began, self._next = now, now + self._delay
        self._shown = False

    def show(self, done: int, now: float) -> None:
        """So much is done; drawn where it is time for it."""
        if now >= self._next:
            self._next = now + self.interval
            self._shown = True
            self._draw(done, now)

    def end(self, done: int, now: float, complete: bool) -> None:
        """The work is over; what was shown of it says how it ended."""

    def _draw(self, done: int, now: float) -> None:
        raise NotImplementedError

    def _figures(self, done: int, now: float) -> tuple[str, str, str]:
        """How much of how much, at what rate, and the time that is left."""
        seconds = max(now - self._began, 1e-9)
        rate = done / seconds
        if self._unit == "bytes":
            of = f"{size_text(done)} of {size_text(self._total)}"
            speed = f"{size_text(int(rate))}/s"
        else:
            of = f"{done:,} of {self._total:,} {self._unit}"
            speed = f"{rate:,.{0 if rate >= 10 else 2}f}/s"
        if done >= self._total:
            return of, speed, f"took {_clock(seconds)}"
        return of, speed, f"{_clock((self._total - done) / rate)} left" if done else ""

    def _percent(self, done: int) -> int:
        return 100 * done // self._total if self._total else 100

    def _write(self, text: str) -> None:
        stream = sys.stderr
        if stream is not None:
            with suppress(Exception):
                stream.write(text)
                stream.flush()


class Bar(_Line):
    """One line at the foot of a terminal, or of a notebook's cell.

    The cursor stays at its end, so that what a program prints meanwhile overwrites nothing.

    Parameters
    ----------
    interval : float, optional
        Seconds between two drawings.
    """

    def __init__(self, interval: float = REDRAW) -> None:
        super().__init__(min(DELAY, interval), interval)
        self._length = 0

    def begin(self, name: str, total: int, unit: str, now: float) -> None:
        super().begin(name, total, unit, now)
        self._length = 0

    def end(self, done: int, now: float, complete: bool) -> None:
        if self._shown:
            if complete:
                self._draw(done, now)
            self._write("\n")

    def _draw(self, done: int, now: float) -> None:
        of, speed, rest = self._figures(done, now)
        head = f"{self._name} {self._percent(done):3d}% "
        tail = " · ".join(part for part in (of, speed, rest) if part)
        width = width_of(sys.stderr) - 1  # a full line would wrap in some terminals
        room = min(LONGEST_BAR, width - len(head) - len(tail) - 1)
        line = f"{head}{self._strip(done, room)} {tail}" if room >= SHORTEST_BAR else head + tail
        line = _encodable(line[:width])
        self._write("\r" + line + " " * (self._length - len(line)))
        self._length = len(line)

    def _strip(self, done: int, room: int) -> str:
        full = room * min(done, self._total) // self._total if self._total else room
        return "█" * full + "░" * (room - full)


class LogLines(_Line):
    """A line now and then, for a file.

    Parameters
    ----------
    interval : float
        Seconds between two lines, and until the first one.
    """

    def __init__(self, interval: float) -> None:
        super().__init__(interval, interval)
        self._told_all = False

    def end(self, done: int, now: float, complete: bool) -> None:
        if self._shown and complete and not self._told_all:
            self._draw(done, now)

    def _draw(self, done: int, now: float) -> None:
        self._told_all = done >= self._total
        parts = ", ".join(part for part in self._figures(done, now) if part)
        self._write(f"mpimages: {self._name}: {self._percent(done)} %, {parts}\n")


def _clock(seconds: float) -> str:
    """``1:02:03``, or ``0:07``."""
    whole = int(seconds + 0.5)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _encodable(line: str) -> str:
    """The line in letters that standard error has."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    try:
        line.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        line = line.replace("█", "#").replace("░", ".").replace("·", "-")
    return line
