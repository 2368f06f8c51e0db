"""The frames that findings speak of, one after the other. Local."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..core.json_types import JsonObject
from ..core.ranges import runs_of
from .description import Description
from .gathering import Recording
from .shifts import CLAIMED
from .words import number_text, percent_text

__all__ = ["Noted", "frame_fields", "noted_frames", "runs_noted"]


@dataclass(frozen=True)
class Noted:
    """Some frames and what is conspicuous about them.

    Attributes
    ----------
    first, last : int
        Their places, both included.
    topic, text : str
    earlier : int or None
        The place of the frame that is repeated.
    """

    first: int
    last: int
    topic: str
    text: str
    earlier: int | None = None


def noted_frames(
    recording: Recording,
    unlike: np.ndarray,
    standing: list[tuple[int, int]],
    again: list[tuple[int, int]],
) -> list[Noted]:
    """All of them in the order of the frames.

    Parameters
    ----------
    unlike : (n,) bool ndarray
        Whose mean is unlike that of the frames around.
    standing, again
        As `trends.repeats` has them.
    """
    found = [
        *runs_noted(recording.blank, "blank", "blank"),
        *(Noted(a, b - 1, "identical", "identical") for a, b in standing),
        *(
            Noted(image, image, "repeated", f"repeats frame {int(recording.keys[before])}", before)
            for image, before in again
        ),
        *runs_noted(unlike, "steps", "mean unlike the frames around"),
        *_not_finite(recording),
        *_moved(recording),
    ]
    return sorted(found, key=lambda noted: (noted.first, noted.last, noted.topic))


def runs_noted(marks: np.ndarray, topic: str, text: str) -> Iterator[Noted]:
    """Runs of frames that are marked, (n,) bool."""
    for a, b in runs_of(np.flatnonzero(marks)):
        yield Noted(a, b - 1, topic, text)


def _not_finite(recording: Recording) -> Iterator[Noted]:
    finite = recording.column("finite")
    for a, b in runs_of(np.flatnonzero(finite < 1)):
        part = 1 - float(finite[a:b].mean())
        yield Noted(a, b - 1, "finite", f"{percent_text(part)} NaN or infinite")


def _moved(recording: Recording) -> Iterator[Noted]:
    if recording.region is None or recording.blank.all():
        return
    down, right = recording.column("down"), recording.column("right")
    size = np.hypot(down, right)
    for a, b in runs_of(np.flatnonzero(size > CLAIMED)):
        at = a + int(np.argmax(size[a:b]))
        upto = "" if b - a == 1 else "up to "
        # Adding 0 makes of -0 a 0.
        by = f"{round(down[at], 1) + 0.0:+.1f} rows, {round(right[at], 1) + 0.0:+.1f} columns"
        text = f"shifted by {upto}{number_text(float(size[at]), 2)} pixels ({by})"
        yield Noted(a, b - 1, "shift", text.replace("-", "−"))


def frame_fields(noted: Noted, recording: Recording, description: Description) -> JsonObject:
    """The frames by key, their times and files, and what is conspicuous. Plain values."""
    first, last = (int(recording.keys[place]) for place in (noted.first, noted.last))
    found: JsonObject = {"topic": noted.topic, "text": noted.text, "first": first, "last": last}
    if description.interval is not None:
        found["seconds"] = first * description.interval
    found |= description.where(noted.first)
    if last > first and "file" in found:
        found |= {f"last_{name}": value for name, value in description.where(noted.last).items()}
    if noted.earlier is not None:
        found["earlier"] = int(recording.keys[noted.earlier])
        found |= {f"earlier_{name}": v for name, v in description.where(noted.earlier).items()}
    return found
