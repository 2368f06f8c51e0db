"""How fast recordings become series on disk, beside a copy of as many bytes and beside dask.

Started on one and on two ranks by `make bench`, on one file system throughout, its files in the
page cache. Every output is flushed, the copy's too. A job and its limit take turns, and the best
of each counts: a disk's speed changes within seconds.

    mpiexec -n 2 python benchmarks/conversion.py [--scratch DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.images import Images

IMAGE = (512, 512)
IMAGE_BYTES = 2 * IMAGE[0] * IMAGE[1]
COPY_BYTES = 8 << 20
CHUNK_BYTES = 1 << 20
GZIP_LEVEL = 4
TURNS = 4

Job = Callable[[], Any]


class Bench:
    """Recordings, timed jobs, and the rows of the table."""

    def __init__(self, tsc: ThunderContext, scratch: str) -> None:
        self.tsc = tsc
        self.scratch = scratch
        self.rows: list[dict] = []

    def path(self, name: str) -> str:
        """A place in the scratch directory."""
        return os.path.join(self.scratch, name)

    def recording(self, kind: str, count: int, **options: Any) -> Images:
        """A directory of noisy TIFFs of uint16, made once."""
        directory = self.path(kind)
        if self.tsc.rank == 0 and not os.path.isdir(directory):
            os.makedirs(directory)
            rng = np.random.default_rng(0)
            noise = [rng.poisson(200, IMAGE).astype(np.uint16) for _ in range(8)]
            for i in range(count):
                tifffile.imwrite(
                    self.path(f"{kind}/{i:05d}.tif"), np.roll(noise[i % 8], i, axis=0), **options
                )
        self.tsc.comm.Barrier()
        return self.tsc.loadImages(directory)

    def best(self, jobs: dict[str, Job], turns: int = TURNS) -> dict[str, float]:
        """The shortest seconds of each job, from when all ranks begin to when all are done."""
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(turns):
            for name, job in jobs.items():
                self._remove_outputs()
                self.tsc.comm.Barrier()
                start = time.perf_counter()
                job()
                self.tsc.comm.Barrier()
                times[name].append(time.perf_counter() - start)
        self._remove_outputs()
        return {name: self.tsc.comm.allreduce(min(t), op=MPI.MAX) for name, t in times.items()}

    def _remove_outputs(self) -> None:
        if self.tsc.rank == 0:
            shutil.rmtree(self.path("out"), ignore_errors=True)
            os.makedirs(self.path("out"))

    def report(
        self, job: str, size: int, seconds: float, limit: str, limit_seconds: float, **others: float
    ) -> None:
        """Keep what was found of a job that makes `size` bytes."""
        row = {
            "job": job,
            "ranks": self.tsc.size,
            "rate": size / seconds / 1e9,
            "limit": limit,
            "fraction": limit_seconds / seconds,
            "seconds": seconds,
            **others,
        }
        self.rows.append(row)
        if self.tsc.rank == 0:
            more = "".join(f"  {name}: x {value:.1f}" for name, value in others.items())
            print(
                f"{job:46} {self.tsc.size} {row['rate']:7.2f} {row['fraction']:6.2f} of "
                f"{limit}{more}",
                flush=True,
            )


def plain_jobs(bench: Bench, count: int) -> None:
    """Uncompressed TIFFs, larger than the budgets, to either format."""
    if bench.tsc.size == 1:  # no target is of one rank
        return
    images, size, out = bench.recording("plain", count), count * IMAGE_BYTES, bench.path("out/o")
    eighth = size // (8 * bench.tsc.size)
    best = bench.best(
        {
            "copy": lambda: copy_bytes(bench, size),
            "binary series, 8 budgets": lambda: images.saveAsBinarySeries(out, memory=eighth),
            "binary series, 64 budgets": lambda: images.saveAsBinarySeries(out, memory=eighth // 8),
            "HDF5, contiguous": lambda: images.saveAsHDF5(out, memory=eighth),
            "HDF5, chunked": lambda: images.saveAsHDF5(out, memory=eighth, chunks=True),
        }
    )
    dask = dask_rate(bench)
    for name, seconds in best.items():
        if name.startswith("binary"):
            bench.report(
                f"TIFFs to {name}", size, seconds, "copy", best["copy"], dask=size / seconds / dask
            )
        elif name.startswith("HDF5"):
            bench.report(
                f"TIFFs to {name}", size, seconds, "binary", best["binary series, 8 budgets"]
            )


def gzip_job(bench: Bench, count: int) -> None:
    """Compressed chunks: what a second rank adds, beside what it adds to compressing alone."""
    images, size = bench.recording("few", count), count * IMAGE_BYTES
    out = bench.path("out/o.h5")
    share = images.toSeries().cache().records.chain.source.block.tobytes()
    best = bench.best(
        {
            "deflate": lambda: deflate(share),
            "gzip": lambda: images.saveAsHDF5(out, compression="gzip"),
        },
        3,
    )
    bench.report("TIFFs to HDF5, gzip", size, best["gzip"], "deflate", best["deflate"])


def deflate(content: bytes) -> None:
    """Compress a rank's series in pieces of a chunk's size, and forget the result."""
    for start in range(0, len(content), CHUNK_BYTES):
        zlib.compress(content[start : start + CHUNK_BYTES], GZIP_LEVEL)


def mpio_jobs(bench: Bench, count: int) -> None:
    """HDF5 through the mpio driver, beside what h5py alone does with the finished array."""
    import h5py

    if bench.tsc.size == 1 or not h5py.get_config().mpi:
        return
    images, size, out = bench.recording("plain", count), count * IMAGE_BYTES, bench.path("out/o.h5")
    block = images.toSeries().cache().records.chain.source.block
    best = bench.best(
        {
            "h5py": lambda: write_collectively(bench, block, bench.path("out/plain.h5")),
            "mpio": lambda: images.saveAsHDF5(out, memory=size // (8 * bench.tsc.size)),
        }
    )
    bench.report("TIFFs to HDF5, mpio", size, best["mpio"], "h5py", best["h5py"])


def write_collectively(bench: Bench, block: np.ndarray, path: str) -> None:
    """This rank's series, all at once, as the manual of h5py has it."""
    import h5py

    comm = bench.tsc.comm
    first = comm.exscan(len(block)) or 0
    with h5py.File(path, "w", driver="mpio", comm=comm) as file:
        shape = comm.allreduce(len(block)), block.shape[1]
        dataset = file.create_dataset("series", shape, block.dtype)
        with dataset.collective:
            dataset[first : first + len(block)] = block
    if comm.rank == 0:
        descriptor = os.open(path, os.O_RDWR)
        os.fsync(descriptor)
        os.close(descriptor)


def coded_jobs(bench: Bench, count: int) -> None:
    """LZW TIFFs, held in memory and through the scratch file, beside decoding them."""
    if bench.tsc.size == 1:
        return
    images = bench.recording("lzw", count, compression="lzw", predictor=True)
    size, out = count * IMAGE_BYTES, bench.path("out/o")
    large, small = 3 * size, size // (8 * bench.tsc.size) * 2
    best = bench.best(
        {
            "decode": lambda: decode(bench, images, count),
            "that fit": lambda: images.saveAsBinarySeries(out, memory=large),
            "in 8 rounds": lambda: images.saveAsBinarySeries(out, memory=small),
        },
        2 * TURNS,
    )  # decoding, unlike copying, does not wait for the memory of a new file
    for name in ("that fit", "in 8 rounds"):
        bench.report(
            f"LZW TIFFs to binary series, {name}", size, best[name], "decode", best["decode"]
        )


def decode(bench: Bench, images: Images, count: int) -> None:
    """Each rank decodes its part, file by file, into the same memory."""
    source = images.records.chain.source
    own = range(
        bench.tsc.rank * count // bench.tsc.size, (bench.tsc.rank + 1) * count // bench.tsc.size
    )
    image = np.empty((1, *IMAGE), np.uint16)
    for position in own:
        source.fill(range(position, position + 1), image)


def copy_bytes(bench: Bench, size: int) -> None:
    """What a user would wait for: one process that copies as many bytes, and flushes them."""
    if bench.tsc.rank:
        return
    buffer = memoryview(bytearray(COPY_BYTES))
    with (
        open(bench.path("source"), "rb", buffering=0) as source,
        open(bench.path("out/copy"), "xb", buffering=0) as target,
    ):
        left = size
        while left:
            got = source.readinto(buffer[:left])
            target.write(buffer[:got])
            left -= got
        os.fsync(target.fileno())


def dask_rate(bench: Bench, count: int = 128) -> float:
    """Bytes per second of dask on threads, of a small recording, while the other ranks wait."""
    bench.recording("few", count)
    seconds = bench.best({"dask": lambda: dask_to_hdf5(bench, count)}, 1)["dask"]
    return count * IMAGE_BYTES / seconds


def dask_to_hdf5(bench: Bench, count: int) -> None:
    """Stack, transpose, store: with two threads."""
    if bench.tsc.rank:
        return
    import dask
    import dask.array as da

    blocks = [
        da.from_delayed(
            dask.delayed(tifffile.imread)(bench.path(f"few/{i:05d}.tif")), IMAGE, np.uint16
        )
        for i in range(count)
    ]
    series = da.moveaxis(da.stack(blocks), 0, -1).rechunk((64, IMAGE[1], count))
    with dask.config.set(scheduler="threads", num_workers=2):
        series.to_hdf5(bench.path("out/dask.h5"), "/series")


def run(description: str, jobs: dict[str, tuple[Callable[[Bench, int], None], int | None]]) -> None:
    """Do all jobs, or one of them, each with so many images; None: as many as is asked for."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--scratch", default="build/tmp/conversion", help="where all is written")
    parser.add_argument("--json", metavar="FILE", help="write the results there as well")
    parser.add_argument("--images", type=int, default=512, help="in the large recording")
    parser.add_argument("--only", choices=list(jobs), help="these jobs alone")
    options = parser.parse_args()
    with ThunderContext() as tsc:
        bench = Bench(tsc, options.scratch)
        if tsc.rank == 0:
            os.makedirs(options.scratch, exist_ok=True)
            with open(bench.path("source"), "wb") as file:
                for _ in range(options.images):
                    file.write(os.urandom(IMAGE_BYTES))
        for name, (job, count) in jobs.items():
            if options.only in (None, name):
                job(bench, options.images if count is None else count)
        if tsc.rank == 0:
            if options.json:
                with open(options.json, "w") as file:
                    json.dump(bench.rows, file, indent=1)
            if tsc.size > 1 and options.only is None:
                shutil.rmtree(options.scratch)


def main() -> None:
    run(
        __doc__,
        {
            "plain": (plain_jobs, None),
            "gzip": (gzip_job, 128),
            "coded": (coded_jobs, 192),
            "mpio": (mpio_jobs, None),
        },
    )


if __name__ == "__main__":
    main()
