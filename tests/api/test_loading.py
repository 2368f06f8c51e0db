"""Loading files by all ranks: order, slices, movies, and what is wrong with them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from mpimages import FormatError

from ..support.data import recording, same_bits

pytestmark = pytest.mark.ranks


@pytest.fixture
def on_rank_0(tsc):
    """Run a function that makes files on rank 0; the others wait."""

    def run(function):
        if tsc.rank == 0:
            function()
        tsc.comm.Barrier()

    return run


def write_tifs(path, array, names=None):
    for i, image in enumerate(array):
        name = names[i] if names else f"img{i}.tif"
        pages = np.moveaxis(image, -1, 0) if image.ndim == 3 else image
        tifffile.imwrite(path / name, pages, photometric="minisblack")


def test_a_directory_in_natural_order(tsc, shared_path, on_rank_0):
    array = recording(12, (7, 8), "uint16")
    on_rank_0(lambda: write_tifs(shared_path, array))
    images = tsc.loadImages(shared_path, inputFormat="tif")
    assert images.nrecords == 12
    assert images.dims.count == (7, 8)
    assert same_bits(images.toArray(), array)
    assert same_bits(tsc.loadImages(str(shared_path / "img1*.tif")).toArray(), array[[1, 10, 11]])
    listed = [shared_path / "img7.tif", shared_path / "img2.tif"]
    assert same_bits(tsc.loadImages(listed).toArray(), array[[7, 2]])


@pytest.mark.parametrize("bounds", [(0, 5), (3, None), (None, 4), (-3, None), (2, 99)])
def test_slices(tsc, shared_path, on_rank_0, bounds):
    array = recording(7, (3, 4), "uint8")
    on_rank_0(lambda: write_tifs(shared_path, array))
    images = tsc.loadImages(shared_path, startIdx=bounds[0], stopIdx=bounds[1])
    expected = array[slice(*bounds)]
    assert images.keys().collect() == list(range(len(expected)))
    assert same_bits(images.toArray(), expected)


@pytest.mark.parametrize("bounds", [(5, 5), (7, None), (None, 0), (4, 2)])
def test_slices_of_nothing(tsc, shared_path, on_rank_0, bounds):
    on_rank_0(lambda: write_tifs(shared_path, recording(7, (3, 4), "uint8")))
    with pytest.raises(ValueError, match="none of the 7"):
        tsc.loadImages(shared_path, startIdx=bounds[0], stopIdx=bounds[1])


def test_a_movie_in_files_of_unequal_length(tsc, shared_path, on_rank_0):
    array = recording(17, (3, 4), "int16")

    def write():
        for i, (a, b) in enumerate([(0, 1), (1, 9), (9, 11), (11, 17)]):
            tifffile.imwrite(shared_path / f"{i}.tif", array[a:b], photometric="minisblack")

    on_rank_0(write)
    images = tsc.loadImages(shared_path, nplanes=1)
    assert images.count() == 17
    assert same_bits(images.toArray(), array)
    np.testing.assert_allclose(images.mean(), array.mean(axis=0))
    assert same_bits(
        tsc.loadImages(shared_path, nplanes=1, startIdx=5, stopIdx=12).toArray(), array[5:12]
    )
    with pytest.raises(ValueError, match=r"0\.tif.*1 page"):
        tsc.loadImages(shared_path, nplanes=2)


def test_a_later_file_of_another_shape_is_named(tsc, shared_path, on_rank_0):
    def write():
        write_tifs(shared_path, recording(6, (3, 4), "uint8"))
        tifffile.imwrite(shared_path / "img4.tif", np.zeros((4, 3), np.uint8))

    on_rank_0(write)
    images = tsc.loadImages(shared_path)
    with pytest.raises(FormatError, match=r"img4\.tif") as caught:
        images.mean()
    assert len(set(tsc.comm.allgather(str(caught.value)))) == 1


def test_a_torn_file_is_named(tsc, shared_path, on_rank_0):
    def write():
        write_tifs(shared_path, recording(6, (30, 40), "uint8"))
        whole = (shared_path / "img3.tif").read_bytes()
        (shared_path / "img3.tif").write_bytes(whole[: len(whole) // 2])

    on_rank_0(write)
    with pytest.raises(FormatError, match=r"img3\.tif"):
        tsc.loadImages(shared_path).toSeries().cache()


def test_a_file_that_vanishes_after_listing(tsc, shared_path, on_rank_0):
    on_rank_0(lambda: write_tifs(shared_path, recording(6, (3, 4), "uint8")))
    images = tsc.loadImages(shared_path)
    on_rank_0(lambda: (shared_path / "img5.tif").unlink())
    with pytest.raises(FileNotFoundError, match=r"img5\.tif"):
        images.max()


def test_nothing_to_load(tsc, shared_path):
    for path in (shared_path, shared_path / "none", shared_path / "*.tif"):
        with pytest.raises(FileNotFoundError):
            tsc.loadImages(path)
    with pytest.raises(FileNotFoundError):
        tsc.loadSeries(shared_path / "none")


def test_flat_binary_of_both_thunders(tsc, shared_path, on_rank_0):
    array = recording(5, (4, 6, 2), "int16")

    def write():
        for name, key, order in (("old", "dims", "F"), ("new", "shape", "C")):
            (shared_path / name).mkdir()
            conf = {key: [4, 6, 2], "dtype": "int16"}
            (shared_path / name / "conf.json").write_text(json.dumps(conf))
            for i, image in enumerate(array):
                (shared_path / name / f"image-{i:05d}.bin").write_bytes(image.tobytes(order))

    on_rank_0(write)
    for name in ("old", "new"):
        assert same_bits(tsc.loadImages(shared_path / name, inputFormat="stack").toArray(), array)


@pytest.mark.parametrize("kind", ["npy", "h5"])
def test_a_movie_in_one_array(tsc, shared_path, on_rank_0, kind):
    array = recording(9, (4, 6), "float32")

    def write():
        if kind == "npy":
            np.save(shared_path / "m.npy", array)
            return
        import h5py

        with h5py.File(shared_path / "m.h5", "w") as file:
            file["movie"] = array

    on_rank_0(write)
    images = tsc.loadImages(shared_path / f"m.{kind}")
    assert same_bits(images.toArray(), array)
    assert same_bits(
        tsc.loadImagesAsSeries(shared_path / f"m.{kind}", startIdx=2).toArray(),
        np.moveaxis(array[2:], 0, -1).copy(),
    )


def test_series_of_thunder_0(tsc, shared_path, on_rank_0):
    array = recording(7, (4, 3, 2), "int16")  # images; the series have 7 values

    def write():
        conf = {"input": "x", "nkeys": 3, "nvalues": 7, "valuetype": "int16", "keytype": "int16"}
        (shared_path / "conf.json").write_text(json.dumps(conf))
        for page in range(2):
            name = f"key02_{page:05d}-key01_00000-key00_00000.bin"
            with open(shared_path / name, "wb") as file:
                for column in range(3):
                    for row in range(4):
                        key = np.array([row, column, page], np.int16)
                        file.write(key.tobytes() + array[:, row, column, page].tobytes())

    on_rank_0(write)
    series = tsc.loadSeries(shared_path)
    assert series.dims.count == (4, 3, 2)
    assert same_bits(series.toArray(), np.moveaxis(array, 0, -1).copy())


def test_series_of_thunder_1(tsc, shared_path, on_rank_0):
    array = recording(4, (3, 5), "float64")

    def write():
        (shared_path / "conf.json").write_text(json.dumps({"shape": [4, 3, 5], "dtype": "float64"}))
        array[:2].tofile(shared_path / "series-00000.bin")
        array[2:].tofile(shared_path / "series-00001.bin")

    on_rank_0(write)
    assert same_bits(tsc.loadSeries(shared_path).toArray(), array)


def test_the_real_fish(tsc, fish):
    images = tsc.loadImages(fish, inputFormat="tif")
    volumes = [tifffile.imread(file) for file in sorted(fish.glob("*.tif"))]
    expected = np.moveaxis(np.stack(volumes), 1, -1).copy()
    assert (images.count(), images.dims.count, images.dtype) == (20, (76, 87, 2), np.uint8)
    assert same_bits(images.toArray(), expected)
    np.testing.assert_allclose(images.stdev(), expected.std(axis=0), atol=1e-12)
    assert len(tsc.loadImages(fish).toTimeSeries().normalize().subset(50, 0.05, seed=1)) == 50


@pytest.mark.parametrize(
    "options",
    [{"dataset": "x"}, {"axes": "TYX"}, {"dims": (9, 9)}, {"dtype": "float32"}, {"channel": 1}],
)
def test_options_that_mean_nothing_or_contradict(tsc, shared_path, on_rank_0, options):
    on_rank_0(lambda: write_tifs(shared_path, recording(2, (3, 4), "uint8")))
    with pytest.raises(ValueError, match=next(iter(options))):
        tsc.loadImages(shared_path, **options)
    assert tsc.loadImages(shared_path, dims=(3, 4), dtype="uint8").count() == 2


def test_a_series_that_was_replaced_is_not_misread(tsc, shared_path):
    images = tsc.loadImagesFromArray(recording(3, (4, 5), "int16"))
    images.saveAsBinarySeries(shared_path / "b")
    tsc.comm.Barrier()
    old = tsc.loadSeries(shared_path / "b")
    images.apply(lambda v: v * 2.5).saveAsBinarySeries(shared_path / "b", overwrite=True)
    with pytest.raises(FormatError, match="load the series again"):
        old.toArray()


def test_pixel_sizes_follow_what_is_done(tsc, shared_path, on_rank_0):
    volume = np.zeros((3, 6, 8), np.uint16)

    def write():
        tifffile.imwrite(
            shared_path / "v.tif",
            volume,
            imagej=True,
            resolution=(4.0, 2.0),
            metadata={"unit": "um", "spacing": 3.0, "axes": "ZYX"},
        )

    on_rank_0(write)
    images = tsc.loadImages(shared_path / "v.tif")
    assert images.metadata["unit"] == "µm"
    assert images.metadata["pixelSize"] == pytest.approx((0.5, 0.25, 3.0))
    assert images.maxProjection(2).metadata["pixelSize"] == pytest.approx((0.5, 0.25))
    assert images.maxProjection(-3).metadata["pixelSize"] == pytest.approx((0.25, 3.0))
    assert images.planes(1).metadata["pixelSize"] == pytest.approx((0.5, 0.25))
    assert images.planes([2, 0]).metadata["pixelSize"] == pytest.approx((0.5, 0.25, None))
    assert images.subsample((2, 4, 1)).metadata["pixelSize"] == pytest.approx((1.0, 1.0, 3.0))
    assert images.subsample(3).metadata["pixelSize"] == pytest.approx((1.5, 0.75, 9.0))
    assert images.crop((1, 1, 0), (3, 3, 2)).metadata == images.metadata
    images.planes(0).subsample(2).saveAsTifs(shared_path / "t")
    again = tsc.loadImages(shared_path / "t")
    assert again.metadata["pixelSize"] == pytest.approx((1.0, 0.5))
    assert images.toSeries().metadata == images.metadata
