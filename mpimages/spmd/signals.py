"""Signals that stop a conversion early, so that the finished part can be kept.

Batch systems send SIGTERM, or another configured signal, some seconds before they kill a job.
While a conversion runs, the handler only notes the signal. The work checks the note between
batches and rounds.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..errors import Interrupted
from .watch import Watch

__all__ = ["Stopping"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)

_log = logging.getLogger("mpimages")


class Stopping:
    """State of a context that tells if its work must stop early. Local.

    Parameters
    ----------
    watch : Watch
        Notifies the ranks of signals that only some of them receive.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._caught: signal.Signals | None = None
        self._told = False
        self._active = False
        self._at_once = False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Note signals while the block runs; the block calls `check` regularly.

        Signals that the program itself handles or ignores are left to it. A signal that was not
        acted on when the block ends is raised again.
        """
        if threading.current_thread() is not threading.main_thread() or self._active:
            yield
            return
        before: dict[signal.Signals, Any] = {}
        self._active, self._caught, self._told = True, None, False
        answered = False
        try:
            for number in SIGNALS:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    before[number] = signal.signal(number, self._note)
            yield
        except BaseException:
            answered = True
            raise
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._active = False
            if self._caught is not None and not answered:
                os.kill(os.getpid(), self._caught)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._caught = signal.Signals(number)
        if self._at_once:
            self._at_once = False
            self.check()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal raise anywhere in the block, for example in a slow function of the user.

        Local. The block must not write anything, and the ranks must agree on its errors.
        """
        try:
            self._at_once = self._active
            yield
        finally:
            self._at_once = False

    def check(self, ask: bool = True) -> None:
        """Raise if this action must stop. Local: call it inside of an agreement (`Together`).

        Parameters
        ----------
        ask : bool
            True to notify the others and to look for their notices, which is needed if the next
            agreement is far away.

        Raises
        ------
        Interrupted, KeyboardInterrupt
        """
        if not self._active:
            return
        why = None if self._caught is None else self._caught.name
        if ask and why is None:
            why = self._watch.asked_to_stop()
        elif ask and why is not None and not self._told:
            self._told = True
            self._watch.ask_to_stop(why)
        if why is None:
            return
        if why == signal.SIGINT.name:
            raise KeyboardInterrupt(f"stopped by {why}")
        raise Interrupted(f"stopped by {why}")
