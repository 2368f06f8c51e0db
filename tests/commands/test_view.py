"""``mpimages view`` on all ranks: values, pictures, and what it says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mpimages.commands.view_output import PERCENTILES
from mpimages.simulated import example
from mpimages.writers.png import contrast, montage

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]


@pytest.fixture
def rec(command):
    command("example", "rec")
    return np.stack([example.load("fish-images").image(i) for i in range(20)])


def png(path):
    import imagecodecs

    return imagecodecs.png_decode(Path(path).read_bytes())


@pytest.mark.parametrize(("out", "options"), [("rec", []), ("s", []), ("s.h5", [])])
def test_values_of_recordings_and_of_series(command, rec, out, options):
    if out != "rec":
        command("to-series", "rec", out)
    found = json.loads(command("view", out, "--image", "-2", "--json"))
    assert (found["image"], found["images"], found["dtype"]) == (18, 20, "uint8")
    assert (np.array(found["values"]) == rec[18]).all()
    assert [found["black"], found["white"]] == np.percentile(rec[18], (1, 99.5)).tolist()
    plane = json.loads(command("view", out, "--image", "3", "--plane", "1", "--json"))
    assert (np.array(plane["values"]) == rec[3, ..., 1]).all()
    curve = json.loads(command("view", out, "--pixel", "30,40,1", "--json"))
    assert curve["values"] == rec[:, 30, 40, 1].tolist()
    assert curve["index"] == list(range(20))
    assert curve["mean"] == pytest.approx(rec[:, 30, 40, 1].mean())


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_pixel_of_a_movie_in_one_file(command, comm, compression):
    """Of plain files a few bytes are read, of compressed ones all."""
    import tifffile

    movie = (np.arange(9 * 31 * 17) % 999).astype("u2").reshape(9, 31, 17)
    if comm.rank == 0:
        tifffile.imwrite("movie.tif", movie, compression=compression, photometric="minisblack")
    comm.Barrier()
    for start in (0, 2, 8):  # fewer images than ranks, too
        curve = json.loads(
            command(
                "view",
                "movie.tif",
                "--nplanes",
                "1",
                "--pixel",
                "30,16",
                "--start",
                start,
                "--json",
            )
        )
        assert curve["values"] == movie[start:, 30, 16].tolist()
    image = json.loads(command("view", "movie.tif", "--nplanes", "1", "--image", "-1", "--json"))
    assert image["values"] == movie[-1].tolist()


def test_an_image_as_png(command, rec, comm):
    text = command("view", "rec", "--image", "3", "v.png")
    low, high = np.percentile(rec[3], (1, 99.5))
    assert (
        f"image 3 of 20 (0 to 19), 76 x 87 x 2, uint8, planes 0 to 1; black {low:g}, "
        f"white {high:g} (percentiles 1 and 99.5)\n" in text
    )
    shown = png("v.png")
    assert shown.shape == (2 * 76, 87)
    grey = np.clip((np.concatenate([rec[3, ..., 0], rec[3, ..., 1]]) - low) / (high - low), 0, 1)
    np.testing.assert_allclose(shown, grey * 255, atol=2)
    refused = command("view", "rec", "--image", "4", "-o", "v.png", code=1)
    assert "--overwrite" in refused
    command("view", "rec", "--image", "4", "--plane", "0", "-o", "v.png", "--overwrite")
    assert png("v.png").shape == (76, 87)
    comm.Barrier()
    if comm.rank == 0:
        import imagecodecs

        Path("mine.png").write_bytes(imagecodecs.png_encode(np.zeros((2, 2), "u1")))
    comm.Barrier()
    before = Path("mine.png").read_bytes()
    assert "refusing" in command("view", "rec", "--image", "4", "mine.png", "--overwrite", code=1)
    assert Path("mine.png").read_bytes() == before
    assert sorted(os.listdir(".")) == ["mine.png", "rec", "v.png"]
    assert "create it first" in command("view", "rec", "--image", "0", "no/v.png", code=1)


@pytest.mark.slow
def test_what_any_command_wrote_is_recognised_by_the_others(command, rec):
    command("report", "rec", "-o", "v.png")
    command("view", "rec", "--image", "4", "--plane", "0", "v.png", "--overwrite")
    said = command("verify", "v.png", code=1)
    assert "is a picture of `mpimages view`, which has no checksums" in said
    command("report", "rec", "-o", "v.png", "--overwrite")
    assert "sound" in command("verify", "v.png")
    Path("s.png").mkdir(exist_ok=True)
    assert "directory" in command("view", "rec", "--image", "4", "s.png", "--overwrite", code=1)


def test_a_curve_as_png(command, rec):
    assert "20 values, uint8, min 80, max 96" in command(
        "view", "rec", "--pixel", "30,40,1", "c.png"
    )
    shown = png("c.png")
    assert shown.shape[0] > 300
    assert (shown[..., :3].min(axis=2) < 200).mean() > 0.005  # there is something on it
    command("view", "rec", "--pixel", "30,40,0", "c.png", "--overwrite")


def test_numbers_where_no_picture_is_wanted(command, rec):
    first = rec[0, ..., 1]
    said = command("view", "rec", "--image", "0", "--plane", "1").splitlines()
    assert said[0].startswith("image 0 of 20 (0 to 19), 76 x 87 x 2, uint8, plane 1; black ")
    assert said[1] == f"min {first.min()}, max {first.max()}, mean {first.mean():g}"
    curve = command("view", "rec", "--pixel", "30,40,1").splitlines()
    assert "20 values, uint8, min 80, max 96" in curve[0]
    assert curve[1:] == [f"{i}\t{value}" for i, value in enumerate(rec[:, 30, 40, 1])]


def test_percentiles_and_montage():
    image = np.arange(1000.0).reshape(10, 100)
    image[0, 0] = np.inf
    assert contrast(image, PERCENTILES) == tuple(np.percentile(np.arange(1.0, 1000), (1, 99.5)))
    volume = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    flat = montage(volume)
    assert flat.shape == (6, 6)
    assert (flat[:2, 3:] == volume[..., 1]).all()
    assert (flat[4:, 3:] == volume.min()).all()


def test_what_is_not_finite(command, comm):
    images = np.ones((3, 4, 5), np.float32)
    images[1] = np.nan
    images[2, 0, 0] = np.inf
    if comm.rank == 0:
        np.save("movie.npy", images)
    comm.Barrier()
    found = json.loads(command("view", "movie.npy", "--axes", "TYX", "--image", "1", "--json"))
    assert found["values"] == [[None] * 5] * 4
    curve = json.loads(command("view", "movie.npy", "--axes", "TYX", "--pixel", "0,0", "--json"))
    assert (curve["values"], curve["max"]) == ([1.0, None, None], 1.0)
    for k in range(3):
        command("view", "movie.npy", "--axes", "TYX", "--image", k)
        command("view", "movie.npy", "--axes", "TYX", "--image", k, f"{k}.png")
    assert "no finite max" not in command("view", "movie.npy", "--axes", "TYX", "--pixel", "0,0")
    nothing = command(
        "view", "movie.npy", "--axes", "TYX", "--pixel", "1,1", "--start", "1", "--stop", "2"
    )
    assert "no finite max" in nothing
    command("view", "movie.npy", "--axes", "TYX", "--pixel", "0,0", "curve.png")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["rec", "--image", "20"], 1, "no image 20: there are 0 to 19"),
        (["rec", "--image", "-21"], 1, "no image -21"),
        (["rec", "--image", "0", "--plane", "2"], 1, "planes 0 to 1"),
        (["rec", "--nplanes", "1", "--image", "0", "--plane", "0"], 1, "no planes"),
        (["rec", "--pixel", "3,4"], 1, "the last pixel is 75,86,1"),
        (["rec", "--pixel", "76,0,0"], 1, "no pixel 76,0,0"),
        (["nowhere", "--image", "0"], 1, "nowhere"),
        (["rec", "--image", "0", "rec/image-00000.tif"], 2, ".png"),
        (["rec", "--image", "0", "rec.png", "other.png"], 2, "quote the pattern"),
    ],
)
def test_wrong_in_words(command, rec, arguments, code, says):
    refused = command("view", *arguments, code=code)
    assert says in refused
    assert "Traceback" not in refused
    assert os.listdir(".") == ["rec"]


def test_traces_are_no_images(command, tsc):
    traces = np.arange(12.0).reshape(3, 4)
    tsc.loadSeriesFromArray(traces).saveAsHDF5("traces.h5")
    found = json.loads(command("view", "traces.h5", "--pixel", "1", "--json"))
    assert found["values"] == [4, 5, 6, 7]
    command("view", "traces.h5", "--pixel", "1", "curve.png")
    for words, says in (
        (["--image", "2", "o.png"], "its 3 series are no pixels of images; --pixel K"),
        (["--pixel", "1,1"], "the last pixel is 2"),
        (["--pixel", "3"], "the last pixel is 2"),
    ):
        assert says in command("view", "traces.h5", *words, code=1)


def test_options_of_images_for_a_series(command, rec):
    command("to-series", "rec", "s")
    for name, value in (("--nplanes", "1"), ("--start", "2"), ("--recursive", None)):
        given = [name] if value is None else [name, value]
        assert f"{name} is of images" in command("view", "s", "--image", "0", *given, code=2)
        assert f"{name} is of images" in command("info", "s", *given, code=2)


def test_an_image_of_one_pixel(command, comm):
    import tifffile

    if comm.rank == 0:
        Path("dots").mkdir()
        for i in range(3):
            tifffile.imwrite(f"dots/{i}.tif", np.full((1, 1), i + 1.5, np.float32))
    comm.Barrier()
    command("view", "dots", "--image", "1", "-o", "dot.png")
    assert png("dot.png").shape == (1, 1)
