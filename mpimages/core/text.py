"""Text of values in messages: safe for any object, and short.

Names may come from untrusted files. Characters that control a terminal, or change the direction
of text, are escaped in each output: messages of agreed errors, output of the command, the log.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Sequence

from .cleanup import ask

LONGEST = 200
WHOLE = sys.maxsize

# Control characters except tab and newline, directional marks, line separators, surrogates.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
# Addresses of objects are useless to readers, and differ between ranks.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def quote(value: object, longest: int = LONGEST) -> str:
    """Return the repr of a value, cut at `longest` characters and without addresses. Never raises.

    Local. An object whose repr fails, possibly on one rank only, is shown as its type, so that
    the message about an argument does not fail itself.
    """
    text: str = ask(_repr, value, longest, otherwise=None) or ask(_type, value, otherwise="<?>")
    return text


def _repr(value: object, longest: int) -> str:
    text = str.__str__(repr(value))
    if not isinstance(value, str | bytes):
        text = _ADDRESS.sub("", text)
    return text if len(text) <= longest else text[: longest - 2] + " …"


def _type(value: object) -> str:
    return str.__str__(f"<{type(value).__name__}>")


def escape_controls(text: str) -> str:
    """Return a text with escaped control characters, except newlines and tabs. Local."""
    return _STEERING.sub(lambda match: ascii(match[0])[1:-1], text)


def escape_message(error: BaseException) -> None:
    """Escape the message of an error of this package or the system. Local; never raises."""
    ask(_escape_parts, error)


def _escape_parts(error: BaseException) -> None:
    if any(isinstance(part, str) and _STEERING.search(part) for part in error.args):
        error.args = tuple(
            escape_controls(part) if isinstance(part, str) else part for part in error.args
        )


def _escape_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = escape_controls(record.getMessage()), ()
    return True


logging.getLogger("mpimages").addFilter(_escape_record)


def shortened(names: Sequence[str]) -> str:
    """Return a list of names; of many the first ones."""
    more = f" and {len(names) - 4} more" if len(names) > 5 else ""
    return ", ".join(names[:4] if more else names) + more


def expand_user(path: str) -> str:
    """Return a path with ~ expanded, as in a shell. Local.

    Raises
    ------
    ValueError
        If the home directory is unknown: an output must not be named "~...".
    """
    found = os.path.expanduser(path)
    if found.startswith("~"):
        raise ValueError(
            f"{quote(path)}: no such home directory is known; of something that is "
            f"named so say {quote(os.path.join('.', path))}"
        )
    return found


def as_comparable(path: object) -> object:
    """Return the text of a path, so that ranks can compare it; never raises. Local."""
    return ask(_comparable, path, otherwise=None) or ask(_type, path, otherwise="<?>")


def _comparable(path: object) -> object:
    if isinstance(path, os.PathLike):
        return os.fspath(path)
    if isinstance(path, (list, tuple)):
        return [_comparable(part) for part in path]
    return path if isinstance(path, str) else type(path).__name__
