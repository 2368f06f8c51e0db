"""One thing that was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]

Status = Literal["ok", "note", "problem"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, what it is like, and what to do.

    Attributes
    ----------
    topic : str
    status : {'ok', 'note', 'problem'}
        A note may be meant so; a problem will keep something from working.
    text : str
    cure : str
        Empty where nothing is to be done.
    """

    topic: str
    status: Status
    text: str
    cure: str = ""

    def __str__(self) -> str:
        line = f"{self.status:8} {self.topic:12} {self.text}"
        return f"{line}\n{'':21} -> {self.cure}" if self.cure else line
