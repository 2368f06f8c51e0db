"""What metadata say of lengths and times, in the form in which outputs carry it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..core.json_types import JsonMapping

__all__ = ["Calibration"]

# Spellings of the micrometre; outputs have the one in ASCII.
MICROMETRES = ("µm", "μm", "um", "micron", "microns")


@dataclass(frozen=True)
class Calibration:
    """The size of a pixel and the time between two images, as far as they are known.

    Attributes
    ----------
    sizes : tuple of float or None
        The extent of a pixel along each axis of the images; empty where no axis has one.
    unit : str
        Of `sizes`; empty where it is unknown.
    interval : float or None
        In seconds.
    """

    sizes: tuple[float | None, ...]
    unit: str
    interval: float | None

    @classmethod
    def of(cls, metadata: JsonMapping) -> Self:
        """Take what is usable out of the metadata of a collection. Local."""
        sizes, unit = metadata.get("pixelSize"), metadata.get("unit")
        listed = sizes if isinstance(sizes, (list, tuple, np.ndarray)) else ()
        # What no file format can hold as text is left out.
        named = (
            unit.split("\0")[0].encode(errors="ignore").decode() if isinstance(unit, str) else ""
        )
        return cls(
            tuple(_positive(size) for size in listed),
            "um" if named in MICROMETRES else named,
            _positive(metadata.get("frameInterval")),
        )


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    # Of some numbers next to 0 the reciprocal, a rate, is infinite.
    return number if 0 < number < float("inf") and 1 / number < float("inf") else None
