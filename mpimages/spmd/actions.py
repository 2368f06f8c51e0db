"""Decorators of public methods that are actions: collective, and possibly stoppable."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["action", "stoppable"]

Method = TypeVar("Method", bound=Callable[..., object])


def action(method: Method) -> Method:
    """Make the ranks meet at the entry of a method of an object with a `session`.

    The method is then collective: it raises CollectiveMismatchError if other ranks are in another
    one. An action that is called by an action needs no further handshake.
    """

    @functools.wraps(method)
    def entered(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.session.action(f"{type(self).__name__}.{method.__name__}"):
            return method(self, *args, **kwargs)

    return entered  # type: ignore[return-value]


def stoppable(method: Method) -> Method:
    """Let a signal of a batch system end the action early, on all ranks alike. Below `action`."""

    @functools.wraps(method)
    def entered(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.session.stopping.on_signals():
            return method(self, *args, **kwargs)

    return entered  # type: ignore[return-value]
