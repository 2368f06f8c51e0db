"""Values in messages: whatever they are, they can be shown, and not at length."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from .quiet import asked

__all__ = ["WHOLE", "comparable", "shown"]

LONGEST = 200
WHOLE = sys.maxsize

# Where an object lies says nothing to anybody, and differs from rank to rank.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def shown(value: Any, longest: int = LONGEST) -> str:
    """The repr of a value, cut at `longest` letters and without addresses; never raises.

    Local. An object whose repr fails, on one rank only perhaps, is shown as its type: a message
    about an argument must not itself be what breaks.
    """
    return asked(_repr, value, longest, otherwise=None) or asked(_type, value, otherwise="<?>")


def _repr(value: Any, longest: int) -> str:
    text = str.__str__(repr(value))
    if not isinstance(value, str | bytes):
        text = _ADDRESS.sub("", text)
    return text if len(text) <= longest else text[: longest - 2] + " …"


def _type(value: Any) -> str:
    return str.__str__(f"<{type(value).__name__}>")


def comparable(path: Any) -> object:
    """Paths as what they say, so that ranks can compare them; never raises. Local."""
    return asked(_comparable, path, otherwise=None) or asked(_type, path, otherwise="<?>")


def _comparable(path: Any) -> object:
    if isinstance(path, os.PathLike):
        return os.fspath(path)
    if isinstance(path, (list, tuple)):
        return [_comparable(part) for part in path]
    return path if isinstance(path, str) else type(path).__name__
