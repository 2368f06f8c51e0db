"""Long actions that show how far they are.

metered.py CASE [DIRECTORY]
"""

from __future__ import annotations

import sys
import time

import numpy as np

from mpimages import ThunderContext
from mpimages.engine import runner

tsc = ThunderContext()
COUNT = 40
images = tsc.loadImagesFromArray(np.arange(COUNT * 20, dtype="uint16").reshape(COUNT, 5, 4))
first, last = tsc.rank == 0, tsc.rank == tsc.size - 1


def slowly(image: np.ndarray) -> np.ndarray:
    time.sleep(0.01)
    return image


def failing(image: np.ndarray) -> np.ndarray:
    time.sleep(0.01)
    if last and image[0, 0] >= (COUNT - 1) * 20:
        raise LookupError("made to fail")
    return image


def printing(image: np.ndarray) -> np.ndarray:
    time.sleep(0.01)
    if image[0, 0] == 60:
        print("MEANWHILE", flush=True)
    return image


def mean() -> None:
    images.apply(slowly, (5, 4), "uint16").mean()


def fails() -> None:
    """A rank fails in the middle, and the next action works; nothing is left behind."""
    for _ in range(3):
        try:
            images.apply(failing, (5, 4), "uint16").mean()
            raise AssertionError("it should have failed")
        except LookupError:
            pass
        assert images.max()[4, 3] == COUNT * 20 - 1
    mean()


def fails_and_closes() -> None:
    fails()
    tsc.close()


def uncaught() -> None:
    images.apply(failing, (5, 4), "uint16").mean()


def prints() -> None:
    images.apply(printing, (5, 4), "uint16").mean()


def saves() -> None:
    images.apply(slowly, (5, 4), "uint16").toSeries().saveAsBinarySeries(sys.argv[2] + "/series")


def caches() -> None:
    images.apply(slowly, (5, 4), "uint16").cache()


if __name__ == "__main__":
    runner.STEP_BYTES, runner.STEP_RECORDS = 1, 1  # a batch for each image
    globals()[sys.argv[1]]()
    if first:
        print("well", flush=True)
