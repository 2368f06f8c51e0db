"""The marks of a public method that is an action: all ranks must come to it, and may stop it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["action", "stoppable"]

Method = TypeVar("Method", bound=Callable[..., Any])


def action(method: Method) -> Method:
    """Make the ranks meet at the entry of a method of an object with a `session`.

    The method is collective then: it raises CollectiveMismatchError where other ranks are
    elsewhere. An action that an action calls needs no further meeting.
    """

    @functools.wraps(method)
    def entered(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.session.action(f"{type(self).__name__}.{method.__name__}"):
            return method(self, *args, **kwargs)

    return entered  # type: ignore[return-value]


def stoppable(method: Method) -> Method:
    """Let a signal that a batch system sends end the action early, in step. Below `action`."""

    @functools.wraps(method)
    def entered(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.session.stopping.on_signals():
            return method(self, *args, **kwargs)

    return entered  # type: ignore[return-value]
