"""Signals that stop a conversion early, so that what is done can be kept.

Batch systems send SIGTERM, or what they were asked to, some seconds before they kill a job. While
a conversion runs, the signal only leaves a note; the work looks at it between batches and rounds.
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
    """Whether the work of a context is to stop early. Local.

    Parameters
    ----------
    watch : Watch
        By which the ranks tell each other of signals that only some of them get.
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._caught: signal.Signals | None = None
        self._told = False
        self._active = False
        self._at_once = False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Note signals while the block runs, in which `check` is called now and then.

        Signals that the program handles or ignores itself are left to it. A signal that nothing
        has answered when the block ends is raised again.
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
        """Let a signal raise wherever the block is: in a slow function of the user's, say.

        Local. Nothing may be written in the block, and what fails in it must be agreed on.
        """
        try:
            self._at_once = self._active
            yield
        finally:
            self._at_once = False

    def check(self, ask: bool = True) -> None:
        """Raise where this action is to stop. Local: call it where all ranks agree on failures.

        Parameters
        ----------
        ask : bool
            Whether to tell the others and to look for what they tell, which is needed where the
            next agreement is far.

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
