"""How well the exchange uses the network between hosts, beside packing with NumPy and Alltoall.

    mpiexec -hosts … python benchmarks/link.py --rate 1e9 [--scratch DIR] [--json FILE]

The rate is that of each host's link, in bits per second. A host must send the pixels of its own
images that belong to ranks of other hosts: these are the least bytes. The use of the link is the
time that they take at the rate over the time of the job. Headers of Ethernet and TCP take 4 to 5 %
of a link. The processor's share is the time that the ranks have computed, in cores a host: where it
is near to the number of cores, it is not the link that limits. Jobs take turns; the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.core.partition import Partition

IMAGE = (512, 512)
IMAGE_BYTES = 2 * IMAGE[0] * IMAGE[1]
TURNS = 3

Job = Callable[[], Any]


def least_bytes(tsc: ThunderContext, count: int) -> float:
    """The bytes that the busiest host must send: it keeps the pixels of its own ranks."""
    hosts = tsc.comm.allgather(os.uname().nodename)
    images, pixels = (Partition.balanced(n, tsc.size).counts for n in (count, IMAGE_BYTES // 2))
    sent = []
    for host in set(hosts):
        own = sum(n for n, other in zip(images, hosts, strict=True) if other == host)
        sent.append(own * sum(n for n, other in zip(pixels, hosts, strict=True) if other != host))
    return 2.0 * max(sent)


def numpy_and_alltoall(comm: MPI.Intracomm, images: np.ndarray, count: int) -> np.ndarray:
    """Return this rank's series as one would write it by hand: pack, Alltoallv, unpack."""
    flat = images.reshape(len(images), -1)
    shares, parts = (
        Partition.balanced(count, comm.size),
        Partition.balanced(flat.shape[1], comm.size),
    )
    start, stop = parts.bounds(comm.rank)
    sent = np.concatenate(
        [flat[:, slice(*parts.bounds(rank))].ravel() for rank in range(comm.size)]
    )
    received = np.empty(count * (stop - start), flat.dtype)
    comm.Alltoallv(
        [sent.view(np.uint8), [2 * len(flat) * n for n in parts.counts]],
        [received.view(np.uint8), [2 * n * (stop - start) for n in shares.counts]],
    )
    # The images of all ranks come in their order.
    return np.ascontiguousarray(received.reshape(count, stop - start).T)


def measure(comm: MPI.Intracomm, jobs: dict[str, Job]) -> dict[str, tuple[float, float]]:
    """Return the median seconds of each job, and the seconds of computing of all ranks."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for turn in range(TURNS + 1):
        for name, job in jobs.items():
            comm.Barrier()
            began, used = time.perf_counter(), time.process_time()
            job()
            used = comm.allreduce(time.process_time() - used)
            took = comm.allreduce(time.perf_counter() - began, op=MPI.MAX)
            if turn:  # memory is new in the first
                found[name].append((took, used))
    return {
        name: (statistics.median(took), statistics.median(used))
        for name, both in found.items()
        for took, used in [zip(*both, strict=True)]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, required=True, help="of a link, in bits per second")
    parser.add_argument("--images", type=int, default=256, help=f"of {IMAGE_BYTES >> 10} kB each")
    parser.add_argument("--memory", default="1GB", help="budget of a rank")
    parser.add_argument("--scratch", default="build/tmp/link", help="where all hosts write")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    options = parser.parse_args()
    with ThunderContext(memory=options.memory, progress=False) as tsc:
        comm, count = tsc.comm, options.images
        start, stop = Partition.balanced(count, comm.size).bounds(comm.rank)
        rng = np.random.default_rng(comm.rank)
        array = rng.integers(0, 4096, (stop - start, *IMAGE), np.uint16)
        directory = os.path.join(options.scratch, "tif")
        os.makedirs(directory, exist_ok=True)
        for number, image in enumerate(array, start):
            tifffile.imwrite(os.path.join(directory, f"{number:05d}.tif"), image)
        comm.Barrier()
        images, files = tsc.loadImagesFromArray(array, local=True), tsc.loadImages(directory)

        def save(source: Any, **given: Any) -> None:
            source.saveAsBinarySeries(
                os.path.join(options.scratch, "series"), overwrite=True, **given
            )

        band = count * IMAGE_BYTES // comm.size // 2
        found = measure(
            comm,
            {
                "NumPy and Alltoallv": lambda: numpy_and_alltoall(comm, array, count),
                "toSeries().cache()": lambda: images.toSeries().cache().uncache(),
                "saveAsBinarySeries, in memory": lambda: save(images),
                "saveAsBinarySeries, TIFFs in bands": lambda: save(files, memory=band),
            },
        )
        least = least_bytes(tsc, count)
        by_hand = found["NumPy and Alltoallv"][0]
        rows = [
            {
                "job": name,
                "ranks": comm.size,
                "least": least,
                "seconds": took,
                "use": 8 * least / options.rate / took,
                "cores": used / took,
                "numpy": by_hand / took,
            }
            for name, (took, used) in found.items()
        ]
        if tsc.rank == 0:
            print(
                f"{least / 1e6:.1f} MB a link, {options.rate / 1e6:.0f} Mbit/s, {comm.size} ranks"
            )
            print(f"{'':36}seconds  use of the link  cores  x NumPy")
            for row in rows:
                print(
                    f"{row['job']:36}{row['seconds']:7.2f}{row['use']:13.2f}"
                    f"{row['cores']:11.2f}{row['numpy']:8.2f}",
                    flush=True,
                )
            if options.json:
                with open(options.json, "w") as file:
                    json.dump(rows, file, indent=1)
            shutil.rmtree(options.scratch)


if __name__ == "__main__":
    main()
