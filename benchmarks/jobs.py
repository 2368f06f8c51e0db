"""How fast the public API is, beside what the machine can do and what a user would do instead.

Started on one and on two ranks by `make bench`; each job's limit is measured in the same process,
just before and just after it. A rate counts the recording's bytes once.

    mpiexec -n 2 python benchmarks/jobs.py [--scratch DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable

import imagecodecs
import limits
import numpy as np
import tifffile
from mpi4py import MPI

from mpimages import ThunderContext

IMAGE = (512, 512)
# Whatever else the machine does makes a run longer, never shorter: so there are some, and of short
# ones as many as it takes for one to be left in peace.
REPEATS = 5
SECONDS = 0.5


class Bench:
    """Times jobs on all ranks together and keeps what rank 0 is to print."""

    def __init__(self, tsc: ThunderContext) -> None:
        self.tsc = tsc
        self.rows: list[dict] = []

    def seconds(self, job: Callable[[], object], repeats: int = REPEATS, least: float = 0) -> float:
        """The shortest of some runs, which take `least` seconds together, from when all ranks
        begin to when the last one ends."""
        comm, times = self.tsc.comm, []
        job()  # warms up
        while len(times) < repeats or comm.bcast(sum(times) < least):
            comm.Barrier()
            start = time.perf_counter()
            job()
            comm.Barrier()
            times.append(time.perf_counter() - start)
        return comm.allreduce(min(times), op=MPI.MAX)

    def report(
        self,
        name: str,
        job: Callable[[], object],
        size: int,
        limit: tuple[str, Callable[[], object]],
        others: dict[str, Callable[[], object]],
        repeats: int = REPEATS,
    ) -> None:
        """Time a job that takes in `size` bytes (of all ranks), its limit, and the others."""
        around = [self.seconds(limit[1], 3, SECONDS / 2)]
        taken = self.seconds(job, repeats, SECONDS)
        around.append(self.seconds(limit[1], 3, SECONDS / 2))
        row = {
            "job": name,
            "ranks": self.tsc.size,
            "rate": size / taken / 1e9,
            "limit": limit[0],
            "fraction": min(around) / taken,
            "seconds": taken,
        }
        for other, run in others.items():
            row[other] = self.seconds(run, 1) / taken
        self.rows.append(row)
        if self.tsc.rank == 0:
            ratios = "  ".join(f"{o}: x {row[o]:.1f}" for o in others)
            print(
                f"{name:46} {self.tsc.size} {row['rate']:7.2f} {row['fraction']:6.2f} of "
                f"{limit[0]:6} {ratios}",
                flush=True,
            )


def own_images(tsc: ThunderContext, count: int, dtype: str) -> np.ndarray:
    """This rank's part of `count` images."""
    rng = np.random.default_rng(tsc.rank)
    own = rng.integers(0, 250, (count // tsc.size, *IMAGE), dtype=np.uint8)
    return own.astype(dtype, copy=False)


def entry_jobs(bench: Bench) -> None:
    """The handshake at the entry of an action, beside the 50 µs that it may take."""
    tsc, turns, allowed = bench.tsc, 200, 50e-6
    if tsc.size == 1:
        return

    def enter() -> None:
        for _ in range(turns):
            with tsc.session.action("benchmark"):
                pass

    taken = bench.seconds(enter, 20) / turns
    bench.rows.append(
        {
            "job": "entry of an action",
            "ranks": tsc.size,
            "limit": "50 µs",
            "allowance": allowed / taken,
            "seconds": taken,
        }
    )
    if tsc.rank == 0:
        print(f"{'entry of an action':46} {tsc.size} {taken * 1e6:7.1f} µs", flush=True)


def memory_jobs(bench: Bench) -> None:
    """Statistics over images in memory."""
    tsc = bench.tsc
    # So many that a scaling tells of the records, not of what is done once for their sum: that is
    # of the size of two or three records, and on two ranks it is exchanged besides.
    for dtype, count in (("uint16", 512), ("uint8", 2048), ("float32", 512)):
        own = own_images(tsc, count, dtype)
        images = tsc.loadImagesFromArray(own, local=True)
        # NumPy takes 64 at a time: more would need much memory.
        others = {"numpy": lambda a=own: [a[i : i + 64].std(axis=0) for i in range(0, len(a), 64)]}
        bench.report(
            f"stdev (and the mean in it), {dtype}",
            images.stdev,
            own.nbytes * tsc.size,
            ("read", lambda a=own: limits.read_all(a)),
            others if tsc.size == 1 else {},
        )
    if tsc.size > 1:
        return
    for dtype in ("uint8", "int16", "uint16", "int32", "int64", "float32", "float64"):
        own = own_images(tsc, 1024 // np.dtype(dtype).itemsize, dtype)
        images = tsc.loadImagesFromArray(own, local=True)
        bench.report(
            f"max, {dtype}",
            images.max,
            own.nbytes,
            ("read", lambda a=own: limits.read_all(a)),
            {"numpy": lambda a=own: a.max(axis=0)},
        )


def projection_jobs(bench: Bench) -> None:
    """Maximum projections of cached volumes."""
    tsc = bench.tsc
    if tsc.size > 1:
        return
    for dtype in ("uint8", "uint16"):
        own = np.random.default_rng(0).integers(0, 250, (16, 512, 512, 32)).astype(dtype)
        images = tsc.loadImagesFromArray(own, local=True)
        for axis in range(3):
            bench.report(
                f"maxProjection({axis}), {dtype} (512, 512, 32)",
                lambda i=images, k=axis: i.maxProjection(k).cache(),
                own.nbytes,
                ("read", lambda a=own: limits.read_all(a)),
                {"numpy": lambda a=own, k=axis: a.max(axis=k + 1)},
            )


def series_jobs(bench: Bench) -> None:
    """The transposition through the exchange, and work on a cached Series."""
    tsc = bench.tsc
    own = own_images(tsc, 1024, "uint16")
    images = tsc.loadImagesFromArray(own, local=True)
    target = np.empty_like(own)
    bench.report(
        "toSeries().cache(), uint16",
        lambda: images.toSeries().cache(),
        own.nbytes * tsc.size,
        ("copy", lambda: limits.copy_all(own, target)),
        {"numpy": lambda: numpy_exchange(tsc.comm, own)},
    )
    rows = np.random.default_rng(tsc.rank).integers(0, 4000, (32768 // tsc.size, 500))
    rows = rows.astype(np.uint16)
    series = tsc.loadSeriesFromArray(rows, local=True).toTimeSeries()
    bench.report(
        "normalize() of a cached Series, uint16",
        lambda: series.normalize().max(),
        rows.nbytes * tsc.size,
        ("read", lambda: limits.read_all(rows)),
        {},
        3,
    )


def numpy_exchange(comm: MPI.Intracomm, own: np.ndarray) -> np.ndarray:
    """What a user writes: pack with NumPy, Alltoall, unpack with NumPy."""
    n, size = len(own), comm.size
    pixels = own.reshape(n, -1)
    width = pixels.shape[1] // size
    send = np.ascontiguousarray(
        pixels[:, : width * size].reshape(n, size, width).transpose(1, 2, 0)
    )
    receive = np.empty_like(send)
    comm.Alltoall([send, MPI.UINT16_T], [receive, MPI.UINT16_T])
    return np.ascontiguousarray(receive.transpose(1, 0, 2)).reshape(width, -1)


def file_jobs(bench: Bench, scratch: str) -> None:
    """Statistics over directories of TIFFs, warm."""
    tsc = bench.tsc
    for kind, compression, count in (("plain", None, 512), ("lzw", "lzw", 96)):
        directory = os.path.join(scratch, kind)
        if tsc.rank == 0 and not os.path.isdir(directory):
            write_tifs(directory, count, compression)
        tsc.comm.Barrier()
        images = tsc.loadImages(directory)
        names = sorted(os.listdir(directory))[tsc.rank :: tsc.size]
        paths = [os.path.join(directory, name) for name in names]
        others = {"dask": lambda d=directory: dask_stdev(tsc, d)}
        strips = [] if compression is None else strips_of(paths)
        limit = (
            ("decode", lambda s=strips: decode_all(s))
            if strips
            else ("files", lambda p=paths: read_files(p))
        )
        bench.report(
            f"stdev over {count} TIFFs, {kind}",
            images.stdev,
            count * IMAGE[0] * IMAGE[1] * 2,
            limit,
            others,
        )


def write_tifs(directory: str, count: int, compression: str | None) -> None:
    """A directory of noisy images of uint16."""
    os.makedirs(directory)
    rng = np.random.default_rng(0)
    for i in range(count):
        image = rng.poisson(200, IMAGE).astype(np.uint16)
        tifffile.imwrite(
            os.path.join(directory, f"image-{i:05d}.tif"),
            image,
            compression=compression,
            predictor=compression is not None,
        )


BUFFER = bytearray(1 << 22)


def read_files(paths: list[str]) -> None:
    """All bytes of the files, into one warm buffer."""
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(BUFFER):
                pass


def strips_of(paths: list[str]) -> list[bytes]:
    """What is compressed in the files, as it is."""
    strips = []
    for path in paths:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            for place, size in zip(page.dataoffsets, page.databytecounts, strict=True):
                file.filehandle.seek(place)
                strips.append(file.filehandle.read(size))
    return strips


def decode_all(strips: list[bytes]) -> None:
    """The codec library alone, from memory, into one warm buffer."""
    for strip in strips:
        imagecodecs.lzw_decode(strip, out=BUFFER)


def dask_stdev(tsc: ThunderContext, directory: str) -> None:
    """The same by dask on threads, on one process while the others leave it their cores."""
    if tsc.rank == 0:
        run_dask(directory)
    done = tsc.comm.Ibarrier()
    while not done.Test():
        time.sleep(0.001)


def run_dask(directory: str) -> None:
    import dask
    import dask.array as da

    names = sorted(os.listdir(directory))
    blocks = [
        da.from_delayed(
            dask.delayed(tifffile.imread)(os.path.join(directory, name)), IMAGE, np.uint16
        )
        for name in names
    ]
    da.stack(blocks).std(axis=0).compute(scheduler="threads", num_workers=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", default="build/bench", help="where the TIFFs are written")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    options = parser.parse_args()
    with ThunderContext(memory="6GB") as tsc:
        bench = Bench(tsc)
        if tsc.rank == 0:
            os.makedirs(options.scratch, exist_ok=True)
        for jobs in (entry_jobs, memory_jobs, projection_jobs, series_jobs):
            jobs(bench)
        file_jobs(bench, options.scratch)
        if tsc.rank == 0:
            if options.json:
                with open(options.json, "w") as file:
                    json.dump(bench.rows, file, indent=1)
            if tsc.size > 1:
                shutil.rmtree(options.scratch)


if __name__ == "__main__":
    main()
