"""Recordings of extreme shapes: more than 2**31 elements, 100,000 images, lines and dots."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from mpimages import verify
from mpimages.core.partition import Partition
from mpimages.exchange.bands import FileBands
from mpimages.exchange.redistribution import Redistribution

from ..support.data import same_bits

pytestmark = [pytest.mark.slow, pytest.mark.ranks]

MANY = 100_001


def shifted(values, first, count, length):
    """(count, length): row i is values[first + i :], without taking memory for it."""
    return np.lib.stride_tricks.as_strided(values[first:], (count, length), (1, 1))


def test_more_than_two_to_the_31_elements_are_exchanged(tsc):
    comm, times, pixels = tsc.comm, 33_000, 66_000
    assert times * pixels > 1 << 31
    values = np.tile(np.arange(251, dtype=np.uint8), (times + pixels) // 251 + 1)
    images, parts = Partition.balanced(times, comm.size), Partition.balanced(pixels, comm.size)
    first, last = images.bounds(comm.rank)
    plan = Redistribution(images, parts, np.dtype(np.uint8), 32 << 20)
    seen, right = parts.bounds(comm.rank)[0], True
    own = shifted(values, first, last - first, pixels)
    for block in plan.execute(comm, own, range(pixels), tsc.session.workspace):
        right = right and np.array_equal(block, shifted(values, seen, len(block), times))
        seen += len(block)
    assert comm.allgather(right) == [True] * comm.size
    assert seen == parts.bounds(comm.rank)[1]


def saved(tsc, images, path, **options):
    """The series as they are read back from either format."""
    images.saveAsBinarySeries(path / "s", **options)
    images.saveAsHDF5(path / "s.h5", **options)
    for name in ("s", "s.h5"):
        if tsc.rank == 0:
            assert verify(path / name).ok
        yield tsc.loadSeries(str(path / name)).toArray()


@pytest.mark.parametrize("budget", ["4MB", "1GB"])
@pytest.mark.parametrize("kind", ["tif", "npy", "memory"])
def test_more_than_a_hundred_thousand_images(tsc, shared_path, kind, budget):
    array = (np.arange(MANY * 6).reshape(MANY, 2, 3) % 65_521).astype(np.uint16)
    if tsc.rank == 0 and kind == "npy":
        np.save(shared_path / "movie.npy", array)
    elif tsc.rank == 0 and kind == "tif":
        tifffile.imwrite(shared_path / "movie.tif", array, photometric="minisblack", metadata=None)
    tsc.comm.Barrier()
    images = (
        tsc.loadImagesFromArray(array)
        if kind == "memory"
        else tsc.loadImages(
            str(shared_path / f"movie.{kind}"), nplanes=1 if kind == "tif" else None
        )
    )
    assert images.nrecords == MANY
    assert same_bits(images.max(), array.max(axis=0))
    for found in saved(tsc, images, shared_path, memory=budget):
        assert same_bits(found, np.moveaxis(array, 0, -1))


@pytest.mark.parametrize("dims", [(1, 1), (1, 40_000), (40_000, 1), (1, 1, 1)])
@pytest.mark.parametrize("budget", ["70kB", "1GB"])
def test_dots_and_lines(tsc, shared_path, dims, budget):
    times = MANY if dims == (1, 1) else 5
    array = (np.arange(times * np.prod(dims)).reshape(times, *dims) % 65_521).astype(np.uint16)
    if dims == (1, 1):
        budget = {"70kB": "2MB"}.get(budget, budget)
    if tsc.rank == 0:
        np.save(shared_path / "movie.npy", array)
    tsc.comm.Barrier()
    axes = "TYX" if len(dims) == 2 else "TYXZ"
    images = tsc.loadImages(str(shared_path / "movie.npy"), axes=axes)
    assert images.dims.count == dims
    for found in saved(tsc, images, shared_path, memory=budget):
        assert same_bits(found, np.moveaxis(array, 0, -1))


def test_the_end_of_a_file_of_three_gigabytes(tsc, shared_path):
    side, path = 33_000, shared_path / "movie.npy"
    if tsc.rank == 0:  # holes: it takes next to nothing
        movie = np.lib.format.open_memmap(path, "w+", np.uint8, (3, side, side))
        movie[:, -1, -500:] = np.arange(1500).reshape(3, 500) % 251
        movie.flush()
    tsc.comm.Barrier()
    source = tsc.loadImages(str(path)).records.chain.source
    bands = FileBands.survey(source, range(3), tsc.session.workspace)
    found = np.empty((3, 1000), np.uint8)
    bands.begin(side * side - 1000, side * side, found).finish()
    assert not found[:, :500].any()
    assert same_bits(found[:, 500:], (np.arange(1500).reshape(3, 500) % 251).astype(np.uint8))
