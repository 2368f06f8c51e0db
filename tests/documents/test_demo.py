"""The demo does what it says, on volumes, images and one movie file, and again over its output."""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mpimages.simulated import example

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
PICTURES = {"projection.png", "stdev.png", "timeseries.png", "montage.png"}


@pytest.fixture
def demo(shared_path, comm, monkeypatch, capsys):
    """Runs the demo on all ranks in a directory in common, and returns what rank 0 printed."""
    monkeypatch.chdir(shared_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(DEMO), *arguments])
        runpy.run_path(str(DEMO), run_name="__main__")
        finished = comm.Ibarrier()
        while not finished.Test():  # rank 0 is drawing: leave it the processor
            time.sleep(0.01)
        return comm.bcast(capsys.readouterr().out)

    yield run
    plt.close("all")


def check(printed, values, directory):
    verified = f"{values:,} values read back: 0 differ from the Series in memory, 0 from the images"
    assert printed.count(verified) == 2
    assert {path.name for path in Path(directory).glob("*.png")} == PICTURES
    for name in PICTURES:
        assert os.path.join(directory, name) in printed
        assert np.ptp(plt.imread(os.path.join(directory, name))) > 0.5


@pytest.mark.slow
def test_on_the_example_and_again(demo):
    for _ in range(2):
        printed = demo()
        assert "20 images of 76 x 87 x 2 pixels, uint8" in printed
        check(printed, 20 * 76 * 87 * 2, "demo-output")


@pytest.mark.slow
def test_on_a_movie_in_one_file(demo, comm):
    import tifffile

    recording = example.load("mouse-images")
    if comm.rank == 0:
        movie = np.stack([recording.image(i)[:32, :40] for i in range(9)]).astype(np.float32)
        movie[:, 3, 4] = np.nan
        tifffile.imwrite("movie.tif", movie, photometric="minisblack")
    comm.Barrier()
    printed = demo("movie.tif", "--nplanes", "1", "--out", "results")
    assert "9 images of 32 x 40 pixels, float32" in printed
    check(printed, 9 * 32 * 40, "results")


def test_what_is_not_there_is_said_in_one_line(demo, comm):
    for arguments in (
        ["nowhere"],
        ["fish-images", "--out", __file__],
        ["x.tif", "--nplanes", "many"],
    ):
        with pytest.raises(SystemExit) as ending:
            demo(*arguments)
        if comm.rank == 0:
            assert arguments[-1] in str(ending.value)
            assert "\n" not in str(ending.value)
        assert ending.value.code not in (0, None)


@pytest.mark.slow
def test_a_movie_taken_for_a_volume_is_said_and_no_earlier_picture_stays(demo, comm):
    import tifffile

    if comm.rank == 0:
        movie = np.arange(9 * 8 * 7, dtype=np.uint16).reshape(9, 8, 7)
        tifffile.imwrite("a movie.tif", movie, photometric="minisblack")
        os.mkdir("demo-output")
        for name in ("timeseries.png", "mine.png"):
            Path("demo-output", name).touch()
    comm.Barrier()
    printed = demo("a movie.tif")
    assert "1 image of 8 x 7 x 9 pixels" in printed
    assert "a volume of 9 pages" in printed
    assert "NPLANES=1" in printed
    kept = {path.name for path in Path("demo-output").glob("*.png")}
    assert kept == PICTURES - {"timeseries.png"} | {"mine.png"}
    assert "NPLANES" not in demo("a movie.tif", "--nplanes", "all")
