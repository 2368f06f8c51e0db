"""Counts what each action costs: counted.py DIRECTORY [RANKS HOSTS].

With RANKS and HOSTS the one process stands for rank 0 of so many. Rank 0 prints JSON: for each
action the sum over the ranks, the most and the least of a rank of all that `counting` and
``metadata.c`` count.
"""

from __future__ import annotations

import ctypes
import json
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from mpi4py import MPI

from mpimages import SVD, ThunderContext
from mpimages.spmd.nodes import Nodes
from mpimages.writers.output.piece_sums import PieceSums
from tests.support import counting

DIMS = (64, 64)
IMAGES_OF_A_RANK = 1
METADATA = ("open", "stat", "list", "make", "remove", "sync")


def operations() -> dict[str, int]:
    """What the preloaded library has counted of the file system; nothing without it."""
    try:
        counts = (ctypes.c_long * len(METADATA)).in_dll(ctypes.CDLL(None), "metadata_counts")
    except ValueError:
        return {}
    return dict(zip(METADATA, counts, strict=True))


class Measured:
    """The cost of each action of this rank."""

    def __init__(self) -> None:
        self.costs: dict[str, dict[str, float]] = {}

    def __call__(self, name, action):
        MPI.COMM_WORLD.Barrier()
        before, began = operations(), time.perf_counter()
        counting.restart()
        result = action()
        took = time.perf_counter() - began
        after = operations()
        self.costs[name] = {
            **counting.tally,
            **{kind: after[kind] - before[kind] for kind in after},
            "seconds": took,
        }
        return result


def main() -> None:
    home, figures = Path(sys.argv[1]), list(map(int, sys.argv[2:]))
    world = MPI.COMM_WORLD
    if figures:
        size, hosts = figures
        comm = counting.alone(size, hosts)
        find = Nodes.find
        Nodes.find = classmethod(lambda cls, comm: counting.spread(find(comm), hosts))
        take_as_written()
    else:
        size, comm = world.size, counting.Counted(world)
    logging.disable(logging.WARNING)
    count = IMAGES_OF_A_RANK * size
    if world.rank == 0:
        (home / "in").mkdir()
        for number in range(count):
            values = np.full(DIMS, number % 251, np.uint16)
            values[number % DIMS[0]] = np.arange(DIMS[1])
            values.tofile(home / "in" / f"image-{number:05d}.bin")
    measured = Measured()
    run(measured, comm, home)
    gathered = world.gather(measured.costs)
    if gathered is not None:
        names = sorted({kind for cost in gathered for one in cost.values() for kind in one})
        print(
            json.dumps(
                {
                    action: {
                        kind: {
                            "total": sum(cost[action].get(kind, 0) for cost in gathered),
                            "most": max(cost[action].get(kind, 0) for cost in gathered),
                            "least": min(cost[action].get(kind, 0) for cost in gathered),
                        }
                        for kind in names
                    }
                    for action in measured.costs
                }
            )
        )


def take_as_written() -> None:
    """Let checksums be as if the ranks that are not there had written their parts."""
    total = PieceSums.total

    def filled(self, comm):
        ends = np.concatenate([np.append(np.arange(0, n, self.piece), n) for n in self.sizes])
        lengths = np.diff(ends)
        self._fold()
        self._bytes[:] = lengths[lengths > 0]
        return total(self, comm)

    PieceSums.total = filled


def run(measured: Measured, comm: MPI.Intracomm, home: Path) -> None:
    tsc = measured("start", lambda: ThunderContext(comm, memory="500MB", progress=False))
    images = measured(
        "loadImages",
        lambda: tsc.loadImages(str(home / "in"), shape=DIMS, dtype="uint16", ext="bin"),
    )
    measured("mean", images.mean)
    measured("stdev", images.stdev)
    series = measured("toSeries().cache()", lambda: images.toSeries().cache())
    measured("Series.mean", series.mean)
    measured("toBlocks().cache()", lambda: images.toBlocks((4, 4), padding=1).cache().uncache())
    measured("Series.toImages().cache()", lambda: series.toImages().cache().uncache())
    measured("saveAsBinarySeries", lambda: images.saveAsBinarySeries(home / "series"))
    measured("saveAsHDF5", lambda: images.saveAsHDF5(home / "plain.h5"))
    measured("saveAsZarr", lambda: images.saveAsZarr(home / "plain.zarr", compression=None))
    if not isinstance(comm, counting.Alone):  # who would be missed: rank 0 asks for all chunks
        measured(
            "saveAsHDF5 compressed", lambda: images.saveAsHDF5(home / "g.h5", compression="gzip")
        )
        measured("saveAsZarr compressed", lambda: images.saveAsZarr(home / "zstd.zarr"))
    measured("saveAsTif", lambda: images.saveAsTif(home / "tif"))
    measured("saveAsPngs", lambda: images.saveAsPngs(home / "png", vmin=0, vmax=255))
    interrupt(images, home)
    measured("resume", lambda: images.saveAsBinarySeries(home / "again", resume=True))
    measured("toArray", images.toArray)
    measured("reduce", lambda: images.reduce(np.maximum))
    measured("report", lambda: images.report(home / "report.html"))
    texture = np.random.default_rng(0).normal(size=DIMS)
    model = measured("fitRegistration", lambda: images.fitRegistration(texture))
    still = replace(model, shifts=np.zeros_like(model.shifts))
    measured("report of a model", lambda: images.report(home / "m.html", registration=still))
    lit = images.apply(lambda image: image + np.uint16(1), dims=DIMS, dtype="uint16")
    measured("SVD.calc", lambda: SVD(1, power=0).calc(lit))
    some = series.select(range(16)).apply(
        lambda values: values + np.uint16(1), index=range(16), dtype="uint16"
    )
    measured("SVD.calc direct", lambda: SVD(1, "direct").calc(some))
    measured("close", tsc.close)


def interrupt(images, home: Path) -> None:
    """Leave a conversion as a job that was killed before its end."""
    from mpimages.writers.binaryseries import BinarySeriesWriter

    right = BinarySeriesWriter.finish

    def fail(self):
        raise OSError("interrupted")

    BinarySeriesWriter.finish = fail
    try:
        images.saveAsBinarySeries(home / "again", resume=True)
    except OSError:
        pass
    finally:
        BinarySeriesWriter.finish = right


if __name__ == "__main__":
    main()
