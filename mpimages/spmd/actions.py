"""Decorators of public methods that are actions: collective, and possibly stoppable."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from ..core.public import entry

__all__ = ["action", "stoppable"]

Method = TypeVar("Method", bound=Callable[..., object])


def action(method: Method) -> Method:
    """Make the ranks meet at the entry of a method of an object with a `session`.

    The method is then collective: it raises CollectiveMismatchError if other ranks are in another
    one. An action that is called by an action needs no further handshake. Arguments that do not
    fit the signature are refused before: they do so alike on all ranks.
    """

    def meeting(owner: Any) -> AbstractContextManager[None]:
        met: AbstractContextManager[None] = owner.session.action(
            f"{type(owner).__name__}.{method.__name__}"
        )
        return met

    return entry(method, meeting)


def stoppable(method: Method) -> Method:
    """Let a signal of a batch system end the action early, on all ranks alike. Below `action`."""

    @functools.wraps(method)
    def entered(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self.session.stopping.on_signals():
            return method(self, *args, **kwargs)

    return entered  # type: ignore[return-value]
