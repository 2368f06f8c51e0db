"""Convert a directory of images, slowly, so that the job can be killed on its way.

convert.py INPUT OUTPUT MEMORY [PAUSE [OPTION=JSON ...]]
"""

from __future__ import annotations

import json
import os
import sys
import time

from mpimages import ThunderContext
from mpimages.conversion import resume


def slow_down(name: str, pause: float) -> None:
    """Let a function of `os` take so many seconds more."""
    function = getattr(os, name)

    def slow(*given: object) -> int:
        time.sleep(pause)
        return function(*given)  # type: ignore[no-any-return]

    setattr(os, name, slow)


def main() -> None:
    source, output, memory = sys.argv[1:4]
    pause = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    options = dict(option.split("=", 1) for option in sys.argv[5:])
    if pause:
        slow_down("pwrite", pause)
        if output.endswith(".zarr"):  # compressed chunks are appended
            slow_down("write", pause)
        resume.FLUSH_LEAST = 0.0  # so small a job would have nothing to go on with
    tsc = ThunderContext()
    images = tsc.loadImages(source)
    if "bin" in options:
        images = images.timeBin(int(options.pop("bin")))
    kinds = {".h5": "saveAsHDF5", ".zarr": "saveAsZarr", "": "saveAsBinarySeries"}
    kind = options.pop("kind", None) or kinds[os.path.splitext(output)[1]]
    if kind == "saveAsSuite2p":
        images = images.minus(1 << 15)  # so that int16 holds all of uint16
    save = getattr(images, kind)
    given = {name: json.loads(value) for name, value in options.items()}
    save(output, memory=memory, resume=True, **given)


if __name__ == "__main__":
    main()
