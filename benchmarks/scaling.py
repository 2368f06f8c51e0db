"""Whether twice the hosts do twice the work, where the processors are not the limit.

    for n in 1 2 4; do
      HOSTS=$(seq -s ' ' -f h%g $n) .ci/hosts mpich -n $((2 * n)) python benchmarks/scaling.py \
        --rate 1e8 --json build/scaling-$n.json
    done
    python benchmarks/scaling.py --table build/scaling-[124].json

Hosts on one machine share its cores. So what limits here is something that each host has for
itself: a wait for each image, as for a disk (the function that is applied sleeps), and the host's
link, whose rate has been limited before. *Strong*: the same recording on more hosts; *weak*: as
many images on each host. The efficiency of the statistic is its speed on H hosts over H times
that on one. That of the exchange, which needs a second host, is the use of the link over that on
two hosts: the least seconds in which the link can move what must leave a host, over the seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from mpi4py import MPI

from mpimages import Images, ThunderContext
from mpimages.core.partition import Partition

IMAGE = (256, 256)
WAIT = 0.02
TURNS = 3
# Images of the strong jobs, and on each host of the weak ones: of the statistic, of the exchange.
STRONG = (256, 512)
WEAK = (128, 256)


def wait(image: np.ndarray) -> np.ndarray:
    """Take as long as a disk would."""
    time.sleep(WAIT)
    return image


def recording(tsc: ThunderContext, count: int) -> Images:
    """Images in the memory of their ranks."""
    start, stop = Partition.balanced(count, tsc.size).bounds(tsc.rank)
    rng = np.random.default_rng(tsc.rank)
    values = rng.integers(0, 4096, (stop - start, *IMAGE), np.uint16)
    return tsc.loadImagesFromArray(values, local=True)


def seconds_of(comm: MPI.Intracomm, job: Callable[[], Any]) -> float:
    """The least time of a few turns after the first."""
    found = []
    for _ in range(TURNS + 1):
        comm.Barrier()
        began = time.perf_counter()
        job()
        found.append(comm.allreduce(time.perf_counter() - began, op=MPI.MAX))
    return min(found[1:])


def measure(rate: float) -> list[dict[str, Any]]:
    """The jobs on the hosts of this run."""
    rows = []
    with ThunderContext(memory="1GB", progress=False) as tsc:
        hosts = len(set(tsc.comm.allgather(os.uname().nodename)))
        for kind, counts in (("strong", STRONG), ("weak", tuple(n * hosts for n in WEAK))):
            slow = recording(tsc, counts[0]).apply(wait, dims=IMAGE, dtype=np.uint16)
            took = {"mean, 20 ms for each image": seconds_of(tsc.comm, slow.mean)}
            images = recording(tsc, counts[1])
            took["toSeries().cache()"] = seconds_of(
                tsc.comm, lambda images=images: images.toSeries().cache().uncache()
            )
            leaves = 2 * counts[1] * IMAGE[0] * IMAGE[1] / hosts * (1 - 1 / hosts)
            least = {"toSeries().cache()": 8 * leaves / rate}
            rows += [
                {
                    "job": job,
                    "kind": kind,
                    "hosts": hosts,
                    "ranks": tsc.size,
                    "seconds": seconds,
                    "least": least.get(job),
                }
                for job, seconds in took.items()
            ]
    return rows


def efficiency(row: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    """See the head; None where there is nothing to compare with."""
    alike = [one for one in rows if (one["job"], one["kind"]) == (row["job"], row["kind"])]
    first = min(alike, key=lambda one: (one["least"] == 0, one["hosts"]))
    if row["least"] is None:
        gain = first["seconds"] / row["seconds"]
        return gain if row["kind"] == "weak" else gain * first["hosts"] / row["hosts"]
    if row["least"] == 0:
        return None
    return row["least"] / row["seconds"] / (first["least"] / first["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, help="of a link, in bits per second")
    parser.add_argument("--json", metavar="FILE", help="write the results there")
    parser.add_argument("--table", metavar="FILE", nargs="+", help="show results of several runs")
    options = parser.parse_args()
    if options.table:
        rows = []
        for name in options.table:
            with open(name) as file:
                rows += json.load(file)
        print("| job | | hosts | ranks | seconds | use of the link | efficiency |")
        print("|---|---|---|---|---|---|---|")
        for row in sorted(rows, key=lambda row: (row["job"], row["kind"], row["hosts"])):
            found = efficiency(row, rows)
            use = f"{row['least'] / row['seconds']:.2f}" if row["least"] else ""
            print(
                f"| {row['job']} | {row['kind']} | {row['hosts']} | {row['ranks']} "
                f"| {row['seconds']:.2f} | {use} | {'' if found is None else f'{found:.2f}'} |"
            )
        return
    rows = measure(options.rate)
    if MPI.COMM_WORLD.rank == 0 and options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
