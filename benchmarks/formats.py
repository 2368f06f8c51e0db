"""How fast recordings become other formats, and are read from them, beside what the codecs allow.

As benchmarks/conversion.py, started on one and on two ranks by `make bench`.

    mpiexec -n 2 python benchmarks/formats.py [--scratch DIR] [--json FILE]
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from conversion import IMAGE, IMAGE_BYTES, Bench, copy_bytes, run

import mpimages
from mpimages.formats.zarr.codecs import CRC32C, Codec, Codecs, parse_compression
from mpimages.images import Images

# What NWB demands and a recording does not tell.
FACTS = {
    "identifier": "benchmark",
    "sessionDescription": "noise",
    "sessionStartTime": "2026-03-01T00:00:00+00:00",
    "series": "ImageSeries",
    "frameInterval": 1 / 30,
}


def plain_jobs(bench: Bench, count: int) -> None:
    """The same images to each format, uncompressed, beside series and a copy."""
    images, size, out = bench.recording("plain", count), count * IMAGE_BYTES, bench.path("out/o")
    best = bench.best(
        {
            "copy": lambda: copy_bytes(bench, size),
            "binary": lambda: images.saveAsBinarySeries(out),
            "hdf5": lambda: images.saveAsHDF5(out, layout="images"),
            "zarr": lambda: images.saveAsZarr(out, compression=None),
            "nwb": lambda: images.saveAsNWB(out, **FACTS),
        }
    )
    for name, words, beside in (("zarr", "Zarr, plain", "binary"), ("nwb", "NWB, plain", "hdf5")):
        others = {other: best[other] / best[name] for other in ("hdf5", "copy") if other != beside}
        bench.report(f"TIFFs to {words}", size, best[name], beside, best[beside], **others)


def zstd_jobs(bench: Bench, count: int) -> None:
    """Zstandard: written beside encoding alone, read beside decoding alone."""
    images, size, out = bench.recording("half", count), count * IMAGE_BYTES, bench.path("out/o")
    stored = bench.path("stored.zarr")
    images.saveAsZarr(stored, overwrite=True)
    again = bench.tsc.loadImages(stored)
    codecs = codecs_of_images()
    frames = own_frames(bench, images)
    encoded = [codecs.encode(frame) for frame in frames]
    best = bench.best(
        {
            "encode": lambda: each(codecs.encode, frames),
            "write": lambda: images.saveAsZarr(out),
            "decode": lambda: each(codecs.decode, encoded),
            "read": lambda: again.max(),
        }
    )
    bench.report("TIFFs to Zarr, zstd", size, best["write"], "encode", best["encode"])
    bench.report("max over Zarr, zstd", size, best["read"], "decode", best["decode"])


def each(function: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Call a function with each item, and forget the results."""
    for item in items:
        function(item)


def codecs_of_images() -> Codecs:
    """What a chunk of one image goes through in a shard."""
    dtype = np.dtype("<u2")
    return Codecs(
        dtype, (1, 1, *IMAGE), None, (*parse_compression("zstd", dtype), Codec(CRC32C, {}))
    )


def own_frames(bench: Bench, images: Images) -> np.ndarray:
    """This rank's share of the images, as chunks."""
    count, source = images.nrecords or 0, images.records.chain.source
    rank, size = bench.tsc.rank, bench.tsc.size
    own = range(rank * count // size, (rank + 1) * count // size)
    frames = np.empty((len(own), *IMAGE), np.uint16)
    source.fill(own, frames)
    return frames.reshape(-1, 1, 1, *IMAGE)


def open_jobs(bench: Bench, count: int) -> None:
    """Images of an output one by one in any order, by an array that is no collection."""
    images, turns = bench.recording("few", count), 4
    order = np.random.default_rng(bench.tsc.rank).permutation(count)
    size = count * IMAGE_BYTES * bench.tsc.size
    hdf5, zarr = bench.path("stored.h5"), bench.path("few.zarr")
    images.saveAsHDF5(hdf5, layout="images", overwrite=True)
    images.saveAsZarr(zarr, overwrite=True)
    with h5py_images(hdf5) as theirs:
        for name, path, other in (("h5py", hdf5, theirs), ("zarr-python", zarr, zarr_images(zarr))):
            ours = mpimages.open(path)
            best = bench.best(
                {"open": lambda a=ours: take(a, order), name: lambda a=other: take(a, order)}, turns
            )
            bench.report(
                f"open({os.path.splitext(path)[1]!r})[k], in any order",
                size, best["open"], name, best[name],
            )  # fmt: skip


def take(array: Any, order: np.ndarray) -> None:
    """Read images one by one."""
    for k in order:
        np.asarray(array[k])


class h5py_images:
    """The dataset of an HDF5 file, as h5py alone gives it."""

    def __init__(self, path: str) -> None:
        import h5py

        self.file = h5py.File(path)

    def __enter__(self) -> Any:
        return self.file["series"]

    def __exit__(self, *_: object) -> None:
        self.file.close()


def zarr_images(path: str) -> Any:
    """The array of the images, as zarr-python gives it."""
    import zarr

    return zarr.open(path, mode="r")["0"]


def main() -> None:
    run(__doc__, {"plain": (plain_jobs, None), "zstd": (zstd_jobs, 256), "open": (open_jobs, 128)})


if __name__ == "__main__":
    main()
