"""Small recordings whose motion is known, and what is found of them."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import numpy as np

from benchmarks.moving import Parameters, Recording
from mpimages import Images, RegistrationModel

DIMS, COUNT = (128, 128), 60
# What is registered, and how, where the bits are compared; some images are lost.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rigid": ({"photons": 2.0, "blank": (5, 30)}, {}),
    "few": ({"photons": 20.0, "count": 5}, {}),
    "piecewise": (
        {"photons": 20.0, "mode": "piecewise", "field": 0.5, "count": 30},
        {"method": "piecewise", "blockSize": (48, 48)},
    ),
    "volume": ({"photons": 20.0, "dims": (96, 96, 8), "count": 12}, {}),
    "planar": ({"photons": 20.0, "dims": (96, 96, 8), "count": 12}, {"method": "planar"}),
}


@cache
def recorded(**changes) -> tuple[Recording, np.ndarray]:
    """A recording and its images, read-only."""
    recording = Recording(Parameters(**{"dims": DIMS, "count": COUNT, "seed": 1, **changes}))
    images = np.stack([recording.image(i) for i in range(recording.parameters.count)])
    images.flags.writeable = False
    return recording, images


def errors(model: RegistrationModel, recording: Recording) -> np.ndarray:
    """Found less true shifts but for the place of the reference, (n, d); NaN where lost.

    Of planes and fields the median over them.
    """
    shifts = model.shifts if model.shifts.ndim == 2 else np.median(model.shifts, axis=1)
    apart = shifts - recording.shifts[:, : shifts.shape[1]]
    return apart - np.nanmedian(apart, axis=0)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(values**2)))


def digest(images: Images, **options) -> str:
    """All that a registration gives, as a digest: it has every bit. Collective."""
    model = images.fitRegistration(**options)
    corrected = images.applyRegistration(model, order="cubic").toArray()
    found = hashlib.sha256()
    for array in (model.reference, model.shifts, model.quality, model.rows, corrected):
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()
