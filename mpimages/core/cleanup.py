"""Where a rank alone may not raise: cleaning up, and asking objects that are not ours. Local.

Between two collective calls nothing may raise on some ranks only. What tidies up after an error,
after what was only read, or after what has been flushed goes through `quietly`. What exceptions
and arguments of the user's program say of themselves is asked for with `ask`: it may be code that
fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_log = logging.getLogger("mpimages")


def quietly(close: Callable[..., object], *given: Any) -> None:
    """Call close(*given); what it raises is only logged: what counts has happened before."""
    try:
        close(*given)
    except Exception as error:
        with suppress(Exception):
            _log.debug("cleaning up failed: %s", error, exc_info=True)


def ask(question: Callable[..., Any], *given: Any, otherwise: object = None) -> Any:
    """The answer of code that is not ours; `otherwise` where it raises, whatever it raises."""
    try:
        return question(*given)
    except BaseException:  # a property may well end the program
        return otherwise
