"""Blocks, and images of series, against NumPy: from files and memory, whole and in rounds."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from mpimages import FormatError, ThunderContext
from mpimages.core.grid import Cut

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = pytest.mark.ranks

# Several blocks of different shapes, one a rank or none; those of bytes; halos wider than blocks.
CUTS = [
    (("150M",), {}),
    (("400",), {"padding": 1}),
    ((3,), {"padding": 2}),  # bytes: a block for each pixel
    (((2, 3),), {"padding": (0, 4)}),
    (((3, 2),), {"units": "splits", "padding": 1}),
    (((5, 1),), {"units": "s"}),
]


def of_dims(arguments, options, dims):
    """The same cut for volumes: pages are not split."""
    size, *rest = arguments
    if isinstance(size, tuple) and len(dims) == 3:
        size = (*size, 1 if options.get("units", "p").startswith("s") else 9)
    if isinstance(options.get("padding"), tuple) and len(dims) == 3:
        options = {**options, "padding": (*options["padding"], 1)}
    return (size, *rest), options


def expected(array, arguments, options):
    """(start, block with halo) of each block, by slices."""
    cut = Cut.checked(*arguments, options.get("units", "pixels"), options.get("padding", 0))
    grid = cut.grid(array.shape[1:], len(array) * array.itemsize)
    for number in range(grid.count):
        low, extent = grid.outer(number)
        box = tuple(slice(a, a + n) for a, n in zip(low, extent, strict=True))
        yield grid.start(number), array[(slice(None), *box)].copy()


@pytest.fixture
def stored(comm, shared_path):
    """Recordings of 11 images: a TIFF that can be read in part, one that cannot, and volumes."""
    array, volumes = recording(11, (7, 9), "uint16"), recording(11, (5, 6, 3), "int16")
    if comm.rank == 0:
        tifffile.imwrite(shared_path / "plain.tif", array, photometric="minisblack")
        tifffile.imwrite(
            shared_path / "packed.tif", array, photometric="minisblack", compression="zlib"
        )
        np.save(shared_path / "volumes.npy", volumes.astype(">i2"))
    comm.barrier()
    return array, volumes, shared_path


def loaded(tsc, stored):
    """Each way to have images, with what they are."""
    array, volumes, path = stored
    yield tsc.loadImages(path / "plain.tif", nplanes=1), array
    yield tsc.loadImages(path / "packed.tif", nplanes=1), array
    yield tsc.loadImages(path / "volumes.npy", axes="TYXZ"), volumes
    yield spread(tsc, volumes), volumes
    images = tsc.loadImages(path / "plain.tif", nplanes=1)
    yield images.apply(lambda image: image // 3), array // 3
    yield images.crop((1, 0), (7, 9)).filter(lambda key, _: key % 3 == 1), array[1::3, 1:]


@pytest.mark.parametrize("memory", ["1GB", "25kB", "9kB"])
def test_blocks_are_parts_of_the_images(comm, stored, memory):
    """However the images are had, and whether they fit into the budget."""
    with ThunderContext(comm, memory=memory) as tsc:
        turn = ("1GB", "25kB", "9kB").index(memory)
        for number, (images, array) in enumerate(loaded(tsc, stored)):
            for arguments, options in CUTS[(number + turn) % 3 :: 3]:
                arguments, options = of_dims(arguments, options, array.shape[1:])
                blocks = images.toBlocks(*arguments, **options)
                wanted = list(expected(array, arguments, options))
                whole = max(block.nbytes for _, block in wanted)
                if 4 * whole > tsc.session.memory:
                    with pytest.raises(MemoryError, match="smaller size"):
                        blocks.first()
                    continue
                keys = blocks.keys().collect()
                assert [tuple(key) for key in keys] == [key for key, _ in wanted]
                for key, block in wanted[:: max(1, len(wanted) // 2)]:
                    assert same_bits(blocks[key], block)
                assert same_bits(blocks.first()[1], wanted[0][1])
                back = blocks.apply(lambda block: block, len(array), array.dtype).toImages()
                assert back.keys().collect() == images.keys().collect()
                if memory == "9kB":
                    assert same_bits(back[int(images.keys().first())], array[0])
                    continue
                assert same_bits(back.toArray(), array)
                if memory == "1GB":
                    for found, (_, block) in zip(blocks.values().collect(), wanted, strict=True):
                        assert same_bits(found, block)


@pytest.mark.few_ranks
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_back(tsc, dtype):
    array = recording(5, (4, 6), dtype)
    images = spread(tsc, array)
    assert same_bits(images.toBlocks((3, 2), padding=1).toArray(), array)
    back = images.toBlocks((3, 2), padding=1).apply(lambda block: block[::-1], 5, dtype).toImages()
    assert same_bits(back.toArray(), array[::-1])
    series = images.toSeries().cache()
    assert same_bits(series.toImages().toArray(), array)
    assert series.toImages().dtype == np.dtype(dtype)


def smooth(block):
    """What needs the pixels around: the sum of each pixel and its neighbours."""
    wide = np.pad(block.astype("i8"), ((0, 0), (1, 1), (1, 1)))
    rows, columns = block.shape[1:]
    return sum(wide[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3))


def test_a_halo_is_what_a_function_needs(tsc):
    """The result is that of the whole image, however it is cut; it may have other times."""
    array = recording(6, (9, 8), "int16")
    images = spread(tsc, array)
    for size in ((2, 2), (3, 3), (4, 1), 100, 3000):
        blocks = images.toBlocks(size, padding=1).apply(smooth)
        assert blocks.dtype is None
        assert same_bits(blocks.toArray(), smooth(array))
        assert blocks.dtype == np.dtype("i8")
        assert same_bits(blocks.toSeries().toArray(), np.moveaxis(smooth(array), 0, -1).copy())
        two = images.toBlocks(size).apply(lambda block: block[:2] / 2)
        assert same_bits(two.toImages().toArray(), array[:2] / 2)
        assert two.nimages == 2
    kept = images.toBlocks((3, 3), padding=1).apply(smooth).cache()
    assert same_bits(kept.toImages().toArray(), smooth(array))
    assert same_bits(kept.uncache().apply(lambda b: b + 1).toImages().toArray(), smooth(array) + 1)


def test_blocks_are_a_collection(tsc):
    array = recording(4, (6, 8), "int16")
    images = spread(tsc, array)
    blocks = images.toBlocks((2, 2), "splits")
    assert (blocks.nrecords, blocks.blockShape, blocks.nimages) == (4, (3, 4), 4)
    assert (blocks.dims.count, blocks.shape, blocks.dtype) == ((6, 8), (4, 6, 8), np.dtype("i2"))
    assert "blockShape: (3, 4)" in repr(blocks)
    key = blocks.keys().first()
    assert (key, key.shape, key.padding) == ((0, 0), (3, 4), ((0, 0), (0, 0)))
    assert key.neighbors() == [(0, 4), (3, 0), (3, 4)]
    cut = array.reshape(4, 2, 3, 2, 4).transpose(1, 3, 0, 2, 4).reshape(4, 4, 3, 4)
    assert same_bits(blocks.mean(), cut.mean(axis=0))
    assert same_bits(blocks.max(), cut.max(axis=0))
    assert same_bits(blocks.stats()["sum"], cut.sum(axis=0, dtype="i8"))
    assert blocks.get((1, 1)) is None
    assert blocks.get((9, 9)) is None
    assert blocks.get((0,)) is None
    with pytest.raises(KeyError, match="no block begins at"):
        blocks[1, 1]
    with pytest.raises(TypeError, match="apply"):
        iter(blocks)
    kept = blocks.filter(lambda key, block: key[0] == 3 and block.shape == (4, 3, 4))
    assert kept.keys().collect() == [(3, 0), (3, 4)]
    assert same_bits(kept[3, 4], cut[3])
    with pytest.raises(ValueError, match="a filter has left 2"):
        kept.toImages().first()
    with pytest.raises(ValueError, match="a filter has left 1"):
        blocks.filterOnKeys(lambda key: key == (0, 4)).toImages()
    with pytest.raises(ValueError, match="differ in shape"):
        images.toBlocks((4, 4)).mean()
    with pytest.raises(ValueError, match="only the number of times"):
        blocks.apply(lambda block: block[:, :2]).first()
    with pytest.raises(ValueError, match="alike"):
        blocks.apply(lambda block: block[: 1 + (block[0, 0, 0] == array[0, 0, 0])]).count()
        blocks.apply(lambda block: block[: 1 + (block[0, 0, 0] == array[0, 0, 0])]).cache()
    with pytest.raises(ValueError, match="no images"):
        images.filter(lambda *_: False).toBlocks().count()


@pytest.mark.parametrize("memory", ["1GB", "6kB"])
def test_images_of_series(comm, stored, memory):
    """Of series in memory, on disk, and after steps; in as many passes as the budget needs."""
    array, volumes, path = stored
    with ThunderContext(comm, memory="1GB") as tsc:
        images = tsc.loadImages(path / "plain.tif", nplanes=1)
        images.saveAsBinarySeries(path / "series")
        images.saveAsHDF5(path / "series.h5")
        tsc.loadImages(path / "volumes.npy", axes="TYXZ").saveAsHDF5(
            path / "frames.h5", layout="images"
        )
    with ThunderContext(comm, memory=memory) as tsc:
        for name, values in (("series", array), ("series.h5", array), ("frames.h5", volumes)):
            series = tsc.loadSeries(path / name)
            images = series.toImages()
            assert images.shape == values.shape
            for key in (0, 7):
                assert same_bits(images[key], values[key])
            twice = series.apply(lambda v: v * 2.5).toImages()
            assert same_bits(twice.max(), (values * 2.5).max(axis=0))
            assert same_bits(twice.mean(), (values * 2.5).mean(axis=0))
            means = series.seriesMean().toImages()
            assert same_bits(means[0], series.seriesMean().toArray()[..., 0])
            images.saveAsTif(path / f"{name}.tif")
            assert same_bits(
                tifffile.imread(path / f"{name}.tif").reshape(len(values), -1),
                np.ascontiguousarray(np.moveaxis(values, -1, 1) if name == "frames.h5" else values)
                .reshape(len(values), -1),
            )  # fmt: skip
            comm.barrier()
        series = tsc.loadSeries(path / "series")
        series.toImages().saveAsHDF5(path / f"back{memory}.h5", layout="images")
        back = tsc.loadImages(path / f"back{memory}.h5")
        assert same_bits(back.sum(), array.sum(axis=0, dtype="u8"))
        assert same_bits(series.toBlocks((4, 9), padding=1).first()[1], array[:, :5].copy())
        with pytest.raises(ValueError, match="a filter has left"):
            series.filter(lambda key, _: key[0] > 2).toImages().first()


@pytest.mark.few_ranks
def test_keys_of_images_are_the_index(tsc):
    array = recording(6, (3, 4), "float32")
    images = spread(tsc, array).filterOnKeys(lambda key: key % 2 == 0)
    for filtered in (images, spread(tsc, array).filter(lambda key, _: key % 2 == 0)):
        series = filtered.toSeries()
        assert series.toImages().keys().collect() == [0, 2, 4]
        assert series.apply(lambda v: -v).toImages().keys().collect() == [0, 2, 4]
        assert same_bits(series.apply(lambda v: -v).toImages()[4], -array[4])
        assert series.select([2, 4]).toImages().keys().collect() == [2, 4]
        assert series.apply(lambda v: v[:2]).toImages().keys().collect() == [0, 1]
    series = images.toSeries()
    series.index = [7, 8, 9]
    made = series.toImages()
    series.index = [3, 2, 1]
    assert made.keys().collect() == [7, 8, 9]
    assert same_bits(made[8], array[2])
    assert series.toImages().keys().collect() == [0, 1, 2]
    assert made.filterOnKeys(lambda key: key > 7).renumber().keys().collect() == [0, 1]
    one = images.toBlocks((2, 2)).apply(lambda block: block[:1]).toImages()
    assert one.keys().collect() == [0]


def test_map_as_series(tsc):
    array = recording(7, (4, 5), "int16")
    images = spread(tsc, array)
    for options in ({}, {"dtype": "f8"}, {"dtype": "f8", "length": 7}):
        found = images.mapAsSeries(lambda v: np.cumsum(v) / 2, **options)
        assert same_bits(found.toArray(), np.cumsum(array, axis=0) / 2)
    assert images.mapAsSeries(np.cumsum, "i8", 7).shape == (7, 4, 5)
    largest = images.mapAsSeries(max)
    assert same_bits(largest.toArray(), array.max(axis=0)[None])
    with pytest.raises(ValueError, match="alike"):
        images.mapAsSeries(lambda v: v[:3], "i2", 2).first()


@pytest.mark.filterwarnings("ignore::mpimages.GatherWarning")
def test_what_follows_images_of_series(tsc, shared_path):
    """All that images can do; bins need them in memory."""
    array = recording(12, (5, 6), "uint16")
    images = spread(tsc, array).toSeries().apply(lambda v: v // 2).toImages()
    half = array // 2
    assert [same_bits(a, b) for a, b in zip(images, half, strict=True)] == [True] * 12
    assert same_bits(images.crop((1, 1), (4, 4)).toArray(), half[:, 1:4, 1:4].copy())
    assert same_bits(images.toSeries().toArray(), np.moveaxis(half, 0, -1).copy())
    assert same_bits(images.filter(lambda _, v: v[0, 0] > 9000)[:], half[half[:, 0, 0] > 9000])
    images.saveAsBinarySeries(shared_path / "again")
    assert same_bits(tsc.loadSeries(shared_path / "again").toImages().toArray(), half)
    images.report(shared_path / "report.html")
    with pytest.raises(ValueError, match="cache"):
        images.timeBin(2)
    kept = images.cache()
    binned = kept.timeBin(3, "sum")
    assert same_bits(binned.toArray(), half.reshape(4, 3, 5, 6).sum(axis=1, dtype="u8"))
    kept.uncache()
    with pytest.raises(ValueError, match="cache"):
        binned.first()


def test_a_rank_that_fails_fails_on_all(tsc):
    array = recording(6, (8, 4), "int16")
    blocks = spread(tsc, array).toBlocks((1, 4))

    def fail(block):
        if np.array_equal(block[:, 0], array[:, 3]):
            raise FormatError("row 3")
        return block

    for act in (
        lambda: blocks.apply(fail).count() and blocks.apply(fail).cache(),
        lambda: blocks.apply(fail, 6, "i2").toImages().mean(),
        lambda: blocks.apply(fail).toImages().mean(),
        lambda: blocks.apply(fail, 6, "i2").toSeries().first(),
    ):
        with pytest.raises(FormatError, match="row 3"):
            act()
    assert same_bits(blocks.toArray(), array)


@pytest.mark.few_ranks
def test_ranks_that_cut_differently_are_told(comm, tsc):
    if comm.size == 1:
        pytest.skip("one rank agrees with itself")
    from mpimages import CollectiveMismatchError

    images = spread(tsc, recording(4, (6, 6), "uint8"))
    with pytest.raises(CollectiveMismatchError):
        images.toBlocks((2, 2 + (comm.rank == 1))).cache()
    assert images.toBlocks((2, 2)).count() == 9


@pytest.mark.few_ranks
def test_a_job_that_is_resumed_knows_its_blocks(tsc, shared_path):
    array = recording(5, (4, 6), "uint16")
    blocks = spread(tsc, array).toBlocks((2, 2), padding=1)
    path = shared_path / "frames.h5"
    blocks.apply(smooth, 5, "i8").toImages().saveAsHDF5(path, layout="images", resume=True)
    blocks.apply(smooth, 5, "i8").toImages().saveAsHDF5(path, layout="images", resume=True)
    with pytest.raises(FileExistsError):
        blocks.apply(lambda b: b + 1, 5, "u2").toImages().saveAsHDF5(
            path, layout="images", resume=True
        )


@pytest.mark.few_ranks
def test_passes_over_the_images_are_told(comm, stored, caplog):
    """Once, by rank 0; files that can be read in part need none."""
    _, _, path = stored
    found = []
    with ThunderContext(comm, memory=900) as tsc:
        for name in ("plain.tif", "packed.tif"):
            caplog.clear()
            blocks = tsc.loadImages(path / name, nplanes=1).toBlocks((1, 9))
            counts = [blocks.filter(lambda *_: True).count() for _ in range(2)]
            told = sum("exceed the budget" in line for line in caplog.messages)
            found.append((*counts, told))
    assert comm.allgather(found) == [
        [(7, 7, 0), (7, 7, int(rank == 0))] for rank in range(comm.size)
    ]
