"""Hosts with other processors: each rank uses another clone of the kernels, and no bit differs."""

import numpy as np
import pytest

from mpimages.kernels import isa

from ..conversion.test_saving import contents

pytestmark = pytest.mark.ranks

DTYPES = ("u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
COUNT, DIMS = 37, (11, 13)


def recording(dtype, dims=DIMS):
    """Values of the whole range of integers; of floats, of many magnitudes, on an offset."""
    random = np.random.default_rng(1)
    shape = (COUNT, *dims)
    if np.dtype(dtype).kind == "f":
        values = random.standard_normal(shape) * 10.0 ** random.integers(-3, 4, shape)
        return (values + 1000).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    if np.dtype(dtype).itemsize == 8:  # max + min must fit
        low, high = low // 4, high // 4
    return random.integers(low, high, shape, dtype, endpoint=True)


def total(images, kind):
    """The sum, where 64 bits hold it."""
    return images.sum() if np.dtype(kind).itemsize < 8 or np.dtype(kind).kind == "f" else ()


def moments(tsc, kind):
    images = tsc.loadImagesFromArray(recording(kind))
    found = [images.mean(), images.variance(), images.stdev(), images.max(), images.min()]
    regions = images.meanByRegions(np.arange(11 * 13).reshape(DIMS) % 5)
    return [*found, total(images, kind), regions]


def projections(tsc, kind):
    images = tsc.loadImagesFromArray(recording(kind, (5, 6, 7)))
    names = ("max", "min", "mean", "stdev", "maxmin")
    return [
        getattr(images, f"{name}Projection")(axis).toArray() for name in names for axis in range(3)
    ]


def series(tsc, kind):
    moved = tsc.loadImagesFromArray(recording(kind)).toSeries()
    found = [moved.toArray(), moved.mean(), moved.stdev(), moved.max(), moved.min()]
    each = [moved.seriesMean(), moved.seriesStdev(), moved.seriesMedian(), moved.seriesMax()]
    scaled = moved.toTimeSeries().normalize()
    return [*found, *(one.toArray() for one in (*each, scaled))]


@pytest.fixture
def forced():
    yield isa.force
    isa.force()


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("run", [moments, projections, series])
def test_another_level_on_each_rank_gives_the_same_bits(comm, tsc, forced, run, kind):
    levels = isa.available()
    ways = [[level] * comm.size for level in levels]  # the same everywhere; then mixed
    ways += [[levels[(rank + turn) % len(levels)] for rank in range(comm.size)] for turn in (0, 1)]
    found = []
    for way in ways:
        forced(way[comm.rank])
        found.append([np.asarray(one).tobytes() for one in run(tsc, kind)])
    assert all(other == found[0] for other in found)
    assert len({b"".join(found[0])} | set(comm.allgather(b"".join(found[0])))) == 1


@pytest.mark.parametrize("kind", ["u2", "f4"])
def test_another_level_on_each_rank_writes_the_same_files(comm, tsc, forced, shared_path, kind):
    levels = isa.available()
    if comm.rank == 0:
        for i, image in enumerate(recording(kind)):
            image.tofile(shared_path / f"{i:02}.bin")
        described = f'{{"shape": [{DIMS[0]}, {DIMS[1]}], "dtype": "{np.dtype(kind)}"}}'
        (shared_path / "conf.json").write_text(described)
    comm.Barrier()
    for name, shift in (("one", None), ("mixed", 0), ("other", 1)):
        level = levels[-1] if shift is None else levels[(comm.rank + shift) % len(levels)]
        forced(level)
        images = tsc.loadImages(shared_path, ext="bin")
        images.saveAsBinarySeries(shared_path / f"{name}.series", blockSize=1000)
        images.saveAsHDF5(shared_path / f"{name}.h5", chunks=(4, 4, 37), compression="gzip")
        images.saveAsZarr(shared_path / f"{name}.zarr", levels=1)
    comm.Barrier()
    for other in ("mixed", "other"):
        assert (shared_path / f"{other}.h5").read_bytes() == (shared_path / "one.h5").read_bytes()
        for ending in ("series", "zarr"):
            assert contents(shared_path / f"{other}.{ending}") == contents(
                shared_path / f"one.{ending}"
            )
