"""On one rank of two each closing of a file, or end of threads, fails in turn, in every action.

unclosed.py DIRECTORY KIND: prints, for each failing call, what the ranks raised.

KIND is 'read', 'written' or 'joined'.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from typing import Any

import imagecodecs  # noqa: F401  (what is imported meanwhile would be met in its place)
import matplotlib.colors  # noqa: F401
import numpy as np
import tifffile
from mpi4py import MPI

from mpimages import ThunderContext

COMM = MPI.COMM_WORLD
DIRECTORY, KIND = sys.argv[1:]
OUT = os.path.join(DIRECTORY, "out")
MOST = {"report": 2}  # it takes long; of others every call

close, shutdown = os.close, concurrent.futures.ThreadPoolExecutor.shutdown


class Failing:
    """Lets the n-th of the calls that matter fail, once it has been made, on one rank."""

    def __init__(self) -> None:
        self.rank, self.number, self.calls, self.doubled = -1, -1, 0, 0

    def met(self) -> None:
        self.calls += 1
        if COMM.rank == self.rank and self.calls == self.number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def close(self, descriptor: int) -> None:
        written = self.written(descriptor)
        close(descriptor)
        if written == (KIND == "written") and KIND != "joined":
            self.met()

    def written(self, descriptor: int) -> bool:
        """Of a file of the output; a number that is closed twice is noted."""
        try:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            self.doubled += 1
            return False
        return path.startswith(os.path.join(DIRECTORY, ".out")) and os.path.isfile(path)

    def shutdown(self, executor: Any, *given: Any, **options: Any) -> None:
        shutdown(executor, *given, **options)
        if KIND == "joined":
            self.met()

    @contextlib.contextmanager
    def begun(self, rank: int, number: int) -> Iterator[None]:
        self.rank, self.number, self.calls, self.doubled = rank, number, 0, 0
        os.close = self.close
        concurrent.futures.ThreadPoolExecutor.shutdown = lambda executor, *given, **options: (
            self.shutdown(executor, *given, **options)
        )
        try:
            yield
        finally:
            os.close, concurrent.futures.ThreadPoolExecutor.shutdown = close, shutdown


ACTIONS = {
    "mean": lambda images: images.mean(),
    "toArray": lambda images: images.toArray(),
    "cache": lambda images: images.toSeries().cache(),
    "saveAsBinarySeries": lambda images: images.saveAsBinarySeries(
        OUT, blockSize=1000, memory=20000
    ),
    "saveAsHDF5": lambda images: images.saveAsHDF5(OUT),
    "compressed": lambda images: images.saveAsHDF5(OUT, compression="gzip", memory=40000),
    "saveAsZarr": lambda images: images.saveAsZarr(OUT, memory=40000, levels=1),
    "plain Zarr": lambda images: images.saveAsZarr(
        OUT, "series", compression=None, shards=4000, memory=20000
    ),
    "frames": lambda images: images.apply(
        lambda image: image + 1, (20, 15), "uint16"
    ).saveAsBinarySeries(OUT, memory=20000, resume=True),
    "saveAsPngs": lambda images: images.saveAsPngs(OUT),
    "saveAsTifs": lambda images: images.saveAsTifs(OUT),
    "saveAsTif": lambda images: images.saveAsTif(OUT),
    "report": lambda images: images.report(OUT),
}


def removed() -> None:
    COMM.Barrier()
    if COMM.rank == 0:
        for name in ("out", ".out.mpimages-partial"):
            path = os.path.join(DIRECTORY, name)
            (shutil.rmtree if os.path.isdir(path) else os.unlink)(path) if os.path.lexists(
                path
            ) else None
    COMM.Barrier()


def main() -> None:
    source = os.path.join(DIRECTORY, "source")
    if COMM.rank == 0:
        os.mkdir(source)
        for i in range(6):
            image = np.arange(i, i + 300, dtype=np.uint16).reshape(20, 15)
            tifffile.imwrite(os.path.join(source, f"{i}.tif"), image)
    COMM.Barrier()
    failing = Failing()
    tsc = ThunderContext(memory="100MB", timeout=20)
    images = tsc.loadImages(source)
    expected = images.mean()
    for name, act in ACTIONS.items():
        if KIND == "written" and name in ("mean", "toArray", "cache"):
            continue
        act(images)
        removed()
        for rank in range(COMM.size):
            for number in range(1, MOST.get(name, 60) + 1):
                said = None
                with failing.begun(rank, number):
                    try:
                        act(images)
                    except Exception as error:
                        said = f"{type(error).__name__}: {error}"
                there = os.path.lexists(OUT)
                found = COMM.allgather((said, failing.calls, failing.doubled))
                removed()
                assert np.array_equal(images.mean(), expected)
                if found[rank][1] < number:
                    break
                if COMM.rank == 0:
                    said = sorted({str(one[0]) for one in found})
                    print(
                        json.dumps([name, rank, number, said, sum(one[2] for one in found), there]),
                        flush=True,
                    )
    tsc.close()


if __name__ == "__main__":
    main()
