"""Calls that must not raise on one rank only: cleanup, and foreign objects' code. Local.

Between two collective calls nothing may raise on some ranks only. `quietly` is for cleanup after an
error, after reading, or after a flush. `ask` is for properties and methods of the user's exceptions
and arguments, whose code may fail.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_log = logging.getLogger("mpimages")

# Access to an exception's `__dict__` that bypasses its class' own code.
attributes_of: Any = BaseException.__dict__["__dict__"].__get__


def quietly(close: Callable[..., object], *given: object) -> None:
    """Call close(*given), and only log its exception: the result does not depend on it."""
    try:
        close(*given)
    except Exception as error:
        with suppress(Exception):
            _log.debug("cleaning up failed: %s", error, exc_info=True)


def ask(question: Callable[..., Any], *given: Any, otherwise: object = None) -> Any:
    """Return question(*given), or `otherwise` if it raises anything. Local."""
    try:
        return question(*given)
    except BaseException:  # a user's property may raise SystemExit
        return otherwise
