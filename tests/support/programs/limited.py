"""Convert under a hard limit of memory, and say how much was resident at most.

limited.py INPUT OUTPUT BUDGET [register=METHOD] [OPTION=JSON ...]
"""

from __future__ import annotations

import json
import resource
import sys

import h5py  # noqa: F401  (what is imported before the limit is not counted)
import imagecodecs  # noqa: F401
import numpy as np
import scipy.fft
import scipy.ndimage  # noqa: F401
import tifffile  # noqa: F401
from mpi4py import MPI

from mpimages import ThunderContext

SPARE = 200_000_000


def status(name: str) -> int:
    """One of the kernel's figures about this process, in bytes."""
    with open("/proc/self/status", encoding="ascii") as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise LookupError(name)


def main() -> None:
    source, output, budget = sys.argv[1], sys.argv[2], int(sys.argv[3])
    options = dict(option.split("=", 1) for option in sys.argv[4:])
    method = options.pop("register", None)
    comm = MPI.COMM_WORLD
    comm.Barrier()
    comm.alltoall([None] * comm.size)  # MPI sets up its own memory
    before = status("VmRSS")
    limit = status("VmPeak") + budget + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with ThunderContext(memory=budget) as tsc:
        recording = tsc.loadImages(source)
        if method is not None:
            recording = recording.register(method=method)
        plan = recording.plan()
        save = recording.saveAsHDF5 if output.endswith(".h5") else recording.saveAsBinarySeries
        save(output, **{name: json.loads(value) for name, value in options.items()})
        mean = tsc.loadSeries(output).mean()
        expected = np.array([image.mean() for image in recording.values().take(3)])
        assert np.allclose(mean[:3], expected, rtol=1e-12)
        peaks = comm.gather(status("VmHWM"))
        if comm.rank == 0:
            print(
                json.dumps(
                    {
                        "rounds": plan.rounds,
                        "way": plan.way,
                        "peaks": peaks,
                        "before": before,
                        "allowed": budget + SPARE,
                    }
                )
            )


if __name__ == "__main__":
    main()
