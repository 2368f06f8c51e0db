"""A slow conversion that does not ask to be resumable, stopped by signals from outside.

stopped.py INPUT OUTPUT WAY [catch]

WAY is how it converts, and so where it looks for signals; with 'catch' it goes on after one.
With RESUME=1 in the environment it is fast, and goes on with what is there.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from mpimages import Interrupted, ThunderContext

RESUME = os.environ.get("RESUME") == "1"
PAUSE = 0.0 if RESUME else 0.05


def slowly(image: np.ndarray) -> np.ndarray:
    time.sleep(PAUSE)
    return image


def main() -> None:
    source, output, way = sys.argv[1:4]
    if way == "rounds" and not RESUME:
        write = os.pwrite

        def pwrite(*given: object) -> int:
            time.sleep(PAUSE)
            return write(*given)  # type: ignore[arg-type]

        os.pwrite = pwrite
    tsc = ThunderContext()
    images = tsc.loadImages(source)
    if way in ("images", "pictures", "frames"):
        images = images.apply(slowly, images.dims, images.dtype)
    elif way == "undeclared":

        def announcing(image: np.ndarray) -> np.ndarray:
            open(f"{output}.begun", "w").close()
            return slowly(image)

        images = images.apply(announcing)
    print("begun", flush=True)
    try:
        if way == "rounds":
            images.saveAsBinarySeries(output, memory=12000, resume=RESUME)
        elif way == "undeclared":
            images.saveAsBinarySeries(output, resume=RESUME)
        elif way == "frames":
            images.saveAsBinarySeries(output, memory=60000, resume=RESUME)
        elif way == "images":
            images.saveAsHDF5(output, layout="images", resume=RESUME)
        else:
            images.saveAsTifs(output)
    except (Interrupted, KeyboardInterrupt) as error:
        if "catch" not in sys.argv:
            raise
        print(f"{type(error).__name__}: {error}; {images.count()} {images.max().max()}", flush=True)


if __name__ == "__main__":
    main()
