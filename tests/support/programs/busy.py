"""Actions one after the other, until a file named `enough` is there: busy.py DIRECTORY

Of the environment: SLOW names a host that takes its time with each image.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

import numpy as np

from mpimages import ThunderContext
from mpimages.spmd import watch
from mpimages.spmd.collectives import broadcast

logging.basicConfig(format="%(message)s")
watch.WARN = 3.0
directory = Path(sys.argv[1])


def slow(image: np.ndarray) -> np.ndarray:
    if os.environ.get("SLOW") == os.uname().nodename:
        time.sleep(0.5)
    return image


if __name__ == "__main__":
    tsc = ThunderContext(memory="500MB")
    values = np.random.default_rng(1).integers(0, 60000, (64, 128, 128)).astype("uint16")
    images = tsc.loadImagesFromArray(values)
    if "SLOW" in os.environ:
        images = images.apply(slow, dims=images.dims, dtype=images.dtype)
    done = 0
    while not broadcast(tsc.comm, (directory / "enough").exists()):
        images.mean()
        images.toSeries().cache()
        done += 1
        time.sleep(0.05)  # leaves the machine to other jobs
        if done == 1:
            (directory / f"began-{tsc.rank}").touch()
    if tsc.rank == 0:
        print(f"did all {done} times")
