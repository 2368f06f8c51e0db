"""How the files of an output are named, and how such names are recognised again."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...core.text import quote

MIN_DIGITS = 5


@dataclass(frozen=True)
class Naming:
    """The names ``PREFIX-00000.SUFFIX``, numbered by key.

    Parameters
    ----------
    prefix : str
        Not empty, no slash, not hidden.
    suffix : str
        Without its dot: ``"png"``.
    digits : int
        How wide the number is at least.
    """

    prefix: str
    suffix: str
    digits: int = MIN_DIGITS

    def __post_init__(self) -> None:
        p = self.prefix
        if not isinstance(p, str):
            raise TypeError(f"the file prefix must be text, got {type(p).__name__}")
        if not p or p.startswith(".") or "/" in p or "\0" in p:
            raise ValueError(
                f"{quote(p)} cannot begin a file name: no '/', no leading '.', not empty"
            )

    @classmethod
    def up_to(cls, prefix: str, suffix: str, largest: int) -> Naming:
        """Names whose numbers are all as wide as `largest` needs, five digits at least."""
        return cls(prefix, suffix, max(MIN_DIGITS, len(str(int(largest)))))

    def name(self, key: int) -> str:
        """The name of the file of one key."""
        if key < 0:
            raise ValueError(f"keys in file names must not be negative, got {key}")
        return f"{self.prefix}-{key:0{self.digits}d}.{self.suffix}"

    def key(self, name: str) -> int | None:
        """The key whose file has this name, or None."""
        pattern = rf"{re.escape(self.prefix)}-([0-9]+)\.{re.escape(self.suffix)}"
        match = re.fullmatch(pattern, name, flags=re.DOTALL)
        if match is None:
            return None
        key = int(match[1]) if len(match[1]) <= 19 else -1
        return key if key >= 0 and self.name(key) == name else None
