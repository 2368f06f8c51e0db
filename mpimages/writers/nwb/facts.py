"""What NWB is to say of a recording, as plain values. Local."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Facts", "Optics", "Timing"]


@dataclass(frozen=True)
class Timing:
    """When images were taken, in seconds after the start of the session.

    Attributes
    ----------
    start : float
        Of the first image.
    interval : float or None
        Between two images; None: see `stamps`.
    stamps : (T,) float64 ndarray or None
        Where the images are not evenly spaced.
    """

    start: float
    interval: float | None
    stamps: np.ndarray | None = None


@dataclass(frozen=True)
class Optics:
    """An imaging plane and its channel. Attributes are as the arguments of `Images.saveAsNWB`."""

    indicator: str
    location: str
    excitation: float
    emission: float
    channel: str


@dataclass(frozen=True)
class Facts:
    """All that NWB is to say beside the values, and when the images were taken.

    Attributes
    ----------
    kind : str
        The type of the series; of traces the type of what holds them.
    name, description, unit : str
        Of the series; an empty description: none.
    identifier, session, started : str
        `started` is an ISO 8601 text with a time zone.
    created : str or None
        When the file was created; None: when the output was begun.
    device : mapping or None
    optics : Optics or None
    spacing : tuple of float
        The distance of pixels along x, y and z; empty where it or its unit is unknown.
    spacing_unit : str
    interval : float or None
        Between images whose keys differ by one.
    stamps : (T,) float64 ndarray or None
        Given instead.
    offset : float
        The time of key 0, in seconds after the start of the session.
    subject, general : mapping
    """

    kind: str
    name: str
    description: str
    unit: str
    identifier: str
    session: str
    started: str
    created: str | None
    device: Mapping[str, str] | None
    optics: Optics | None
    spacing: tuple[float, ...]
    spacing_unit: str
    interval: float | None
    stamps: np.ndarray | None
    offset: float
    subject: Mapping[str, str]
    general: Mapping[str, str | list[str]]

    def timing(self, keys: np.ndarray, method: str) -> Timing:
        """When images with these keys were taken.

        Raises
        ------
        ValueError
            Where there are not as many time stamps as images, or the keys are no times.
        """
        if self.stamps is not None:
            if len(self.stamps) != len(keys):
                raise ValueError(
                    f"{method}: timestamps has {len(self.stamps)} values for {len(keys)} images"
                )
            return Timing(float(self.stamps[0]), None, self.stamps)
        if self.interval is None:
            raise RuntimeError("internal error: NWB without any times")
        steps = np.diff(keys) if keys.ndim == 1 else np.zeros(1)
        if (steps <= 0).any():
            raise ValueError(
                f"{method}: the index of the values does not increase, and so tells no times; give "
                "timestamps="
            )
        start, end = (self.offset + float(keys[i]) * self.interval for i in (0, -1))
        if not np.isfinite([start, end]).all():
            raise ValueError(
                f"{method}: with a frameInterval of {self.interval} s and a startingTime of "
                f"{self.offset} s the times are beyond the range of float64"
            )
        if len(set(steps.tolist())) > 1:
            return Timing(start, None, self.offset + keys * self.interval)
        step = int(steps[0]) if len(steps) else 1
        return Timing(start, step * self.interval)
