"""Display of progress: a bar of tqdm, or lines of a log. Local.

tqdm draws in terminals, and in notebooks as a widget if ipywidgets is installed. The lines in logs
are our own, because tqdm would add a line to the output of a batch job at each update. So is the
counting over ranks (`meter`).

Nothing here raises: a closed standard error, possibly on one rank only, must not end a job.
"""

from __future__ import annotations

import sys
import threading
import time
import warnings
from contextlib import suppress
from typing import Any

from ..core.json_types import JsonObject
from ..core.sizes import size_text
from .terminal import width_of

__all__ = ["REDRAW", "Bar", "LogLines"]

# Seconds between two updates; work that ends sooner has no bar.
REDRAW = 0.2


class Bar:
    """A bar in a terminal or in a notebook cell.

    Parameters
    ----------
    interval : float, optional
        Seconds between two updates.
    """

    def __init__(self, interval: float = REDRAW) -> None:
        self._interval = interval
        self._bar: Any = None
        self._began = 0.0
        self._options: JsonObject = {}

    def begin(self, name: str, total: int, unit: str, now: float) -> None:
        """Begin a piece of work of `total` units; `unit` is 'bytes' or the name of the items."""
        self._close(leave=False)
        self._began = now
        units = {"unit": "B", "unit_scale": True} if unit == "bytes" else {"unit": f" {unit}"}
        self._options = {"desc": name, "total": total, **units}

    def show(self, done: int, now: float) -> None:
        """Update the bar to `done`, at most once per interval."""
        if now - self._began >= self._interval:
            with suppress(Exception):
                self._bar = self._bar or _tqdm(self._interval, now - self._began, self._options)
                self._bar.update(done - self._bar.n)

    def end(self, done: int, now: float, complete: bool) -> None:
        """End the work: a bar that was shown stays, full if it is `complete`."""
        if self._bar is not None:
            self._bar.n = done
        self._close(leave=True)

    def _close(self, leave: bool) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            with suppress(Exception):
                bar.leave = leave
                bar.close()


def _tqdm(interval: float, seconds: float, options: JsonObject) -> Any:
    """Return a tqdm bar for work that began `seconds` ago."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tqdm warns in a notebook without ipywidgets
        from tqdm.autonotebook import tqdm

    # No redrawing thread, and no lock that is shared with other processes.
    kind: Any = type("Bar", (tqdm,), {"monitor_interval": 0})
    kind.set_lock(threading.RLock())
    width = width_of(sys.stderr)
    # A full line would wrap in some terminals. Without a size tqdm would not draw a bar.
    bar = kind(
        **options,
        file=sys.stderr,
        ncols=width and width - 1,
        nrows=20,
        mininterval=interval,
        miniters=0,
        smoothing=0,
    )
    bar.start_t = time.time() - seconds
    return bar


class LogLines:
    """Progress as lines in a log.

    Parameters
    ----------
    interval : float
        Seconds until the first line, and between two lines.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._began = self._next = 0.0
        self._name, self._unit, self._total = "", "", 0
        self._shown = self._shown_whole = False

    def begin(self, name: str, total: int, unit: str, now: float) -> None:
        """See `Bar.begin`."""
        self._name, self._total, self._unit = name, total, unit
        self._began, self._next = now, now + self._interval
        self._shown = self._shown_whole = False

    def show(self, done: int, now: float) -> None:
        """See `Bar.show`."""
        if now >= self._next:
            self._next = now + self._interval
            self._write(done, now)

    def end(self, done: int, now: float, complete: bool) -> None:
        """See `Bar.end`."""
        if self._shown and complete and not self._shown_whole:
            self._write(done, now)

    def _write(self, done: int, now: float) -> None:
        self._shown, self._shown_whole = True, done >= self._total
        percent = 100 * done // self._total if self._total else 100
        parts = ", ".join(part for part in self._figures(done, now) if part)
        if sys.stderr is not None:
            with suppress(Exception):
                sys.stderr.write(f"mpimages: {self._name}: {percent} %, {parts}\n")
                sys.stderr.flush()

    def _figures(self, done: int, now: float) -> tuple[str, str, str]:
        """Return the done part of the total, the rate, and the remaining time."""
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


def _clock(seconds: float) -> str:
    """Return seconds as ``1:02:03``, or ``0:07``."""
    whole = int(seconds + 0.5)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
