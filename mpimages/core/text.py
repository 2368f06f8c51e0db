"""Values in messages: whatever they are, they can be shown, and not at length.

Names come from others. What would steer a terminal, or turn the order of letters, is escaped on
each way out: in messages of errors that ranks agree on, in what the command prints, in the log.
"""

from __future__ import annotations

import logging
import os
import re
import sys

from .cleanup import ask

LONGEST = 200
WHOLE = sys.maxsize

# Control characters but tab and newline, marks of direction, separators of lines, surrogates.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Where an object lies says nothing to anybody, and differs from rank to rank.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def quote(value: object, longest: int = LONGEST) -> str:
    """The repr of a value, cut at `longest` letters and without addresses; never raises.

    Local. An object whose repr fails, on one rank only perhaps, is shown as its type: a message
    about an argument must not itself be what breaks.
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
    """A text with what would steer a terminal escaped; its lines and tabs stay. Local."""
    return _STEERING.sub(lambda match: ascii(match[0])[1:-1], text)


def escape_message(error: BaseException) -> None:
    """Make the message of an error of ours, or of the system, printable. Local; raises nothing."""
    ask(_escape_parts, error)


def _escape_parts(error: BaseException) -> None:
    if any(isinstance(part, str) and _STEERING.search(part) for part in error.args):
        error.args = tuple(escape_controls(part) if isinstance(part, str) else part
                           for part in error.args)


def _escape_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = escape_controls(record.getMessage()), ()
    return True


logging.getLogger("mpimages").addFilter(_escape_record)


def expand_user(path: str) -> str:
    """A path with ~ expanded, as the shell does. Local.

    Raises
    ------
    ValueError
        Where whose home directory it is to be is not known: no output shall be named so.
    """
    found = os.path.expanduser(path)
    if found.startswith("~"):
        raise ValueError(f"{quote(path)}: no such home directory is known; of something that is "
                         f"named so say {quote(os.path.join('.', path))}")
    return found


def as_comparable(path: object) -> object:
    """Paths as what they say, so that ranks can compare them; never raises. Local."""
    return ask(_comparable, path, otherwise=None) or ask(_type, path, otherwise="<?>")


def _comparable(path: object) -> object:
    if isinstance(path, os.PathLike):
        return os.fspath(path)
    if isinstance(path, (list, tuple)):
        return [_comparable(part) for part in path]
    return path if isinstance(path, str) else type(path).__name__
