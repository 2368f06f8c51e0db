"""Where a rank alone may not raise: cleaning up, and asking objects that are not ours. Local.

Between two collective calls nothing may raise on some ranks only. What tidies up after an error,
or after what was only read, therefore goes through `quietly`; what exceptions and arguments of the
user's program say of themselves is asked for with `asked`, as it may be code that fails.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["asked", "closing_written", "quietly"]

_log = logging.getLogger("mpimages")


def quietly(close: Callable[..., object], *given: Any) -> None:
    """Call close(*given); what it raises is only logged: what counts has happened before."""
    try:
        close(*given)
    except Exception as error:
        with suppress(Exception):
            _log.debug("cleaning up failed: %s", error, exc_info=True)


def asked(question: Callable[..., Any], *given: Any, otherwise: Any = None) -> Any:
    """The answer of code that is not ours; `otherwise` where it raises, whatever it raises."""
    try:
        return question(*given)
    except BaseException:  # a property may well end the program
        return otherwise


@contextmanager
def closing_written(descriptor: int) -> Iterator[int]:
    """A descriptor that is written through in the block, and closed at its end, once.

    That a file which was written cannot be closed is an error of its own, as the system may not
    have told before that it lost what was written; unless something has failed already.
    """
    try:
        yield descriptor
    except BaseException:
        quietly(os.close, descriptor)
        raise
    os.close(descriptor)
