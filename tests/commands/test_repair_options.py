"""Repairs and bins as options of the commands that load images."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
import tifffile

from ..support.data import recording, same_bits, write_movie, write_tif

pytestmark = pytest.mark.ranks

DIMS = (6, 5)


@pytest.fixture
def movie(comm, shared_path):
    """A movie of 11 images, with a dark movie, a flat image and a mask beside it."""
    array = recording(11, DIMS, "uint16") // 2
    dark = recording(4, DIMS, "uint8")
    flat = 1000 + recording(1, DIMS, "uint8")[0].astype("f4")
    bad = np.zeros(DIMS, "u1")
    bad[2, 3] = 255
    if comm.rank == 0:
        write_movie(shared_path / "r", array)
        write_tif(shared_path / "dark.tif", dark)
        write_tif(shared_path / "flat.tif", flat)
        write_tif(shared_path / "bad.tif", bad)
    comm.barrier()
    return array, dark, flat, bad


CALIBRATED = ("--dark", "dark.tif", "--flat", "flat.tif", "--bad", "bad.tif")


def test_the_series_are_those_of_the_methods(command, tsc, movie, shared_path):
    _, dark, flat, bad = movie
    options = (*CALIBRATED, "--subtract", "1.5", "--bin", "5", "--remainder", "drop")
    told = json.loads(command("to-series", "r", "s.h5", *options, "--json"))
    assert told["values"] == 2
    assert told["dtype"] == "float32"
    assert told["repairs"] == {
        "dark": "dark.tif",
        "flat": "flat.tif",
        "bad": "bad.tif",
        "subtract": 1.5,
        "bin": 5,
        "remainder": "drop",
    }
    images = tsc.loadImages(str(shared_path / "r"))
    repaired = images.correctDetector(dark.mean(axis=0), flat, bad != 0).subtract(1.5)
    wanted = repaired.timeBin(5, remainder="drop").toArray()
    with h5py.File(shared_path / "s.h5") as file:
        assert same_bits(np.moveaxis(file["series"][:], -1, 0).copy(), wanted)


def test_every_command_takes_them(command, movie, shared_path):
    array = movie[0]
    command("stats", "r", "st", "--subtract", "100")
    assert same_bits(tifffile.imread(shared_path / "st/max.tif"), array.max(axis=0) - np.int32(100))
    plan = json.loads(command("plan", "r", "--bin", "11", "--dark", "dark.tif", "--json"))
    assert plan["bytes_written"] == 6 * 5 * 4
    assert plan["repairs"] == {"dark": "dark.tif", "bin": 11}
    assert "repairs" not in json.loads(command("plan", "r", "--json"))
    report = json.loads(command("report", "r", "page.html", "--bad", "bad.tif", "--json"))
    assert report["recording"]["steps"] == ["correctDetector"]
    options = ("--bin", "11", "--interval", "0.5", "--overwrite")
    binned = json.loads(command("report", "r", "page.html", *options, "--json"))
    assert binned["recording"]["metadata"]["frame_interval"] == 5.5


def test_volumes_take_an_image_of_one_plane_or_of_all(command, comm, shared_path):
    array = recording(3, (4, 5, 2), "uint8")
    if comm.rank == 0:
        (shared_path / "v").mkdir()
        for i, volume in enumerate(array):
            write_tif(shared_path / "v" / f"{i}.tif", np.moveaxis(volume, -1, 0))
        write_tif(shared_path / "one.tif", array[0, ..., 0])
        write_tif(shared_path / "all.tif", np.moveaxis(array[0], -1, 0))
    comm.barrier()
    for name, dark in (("one.tif", array[0, ..., :1]), ("all.tif", array[0])):
        command("project", "v", f"{name}-p.tif", "--dark", name)
        found = tifffile.imread(shared_path / f"{name}-p.tif")
        assert same_bits(found, (array.astype("f4") - dark).max(axis=-1))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--remainder", "drop"), 2, "--remainder is of --bin"),
        (("--bin", "0"), 2, "--bin"),
        (("--bin", "5"), 1, "remainder= is --remainder"),
        (("--bin", "12"), 1, "there are 11"),
        (("--subtract", "x"), 2, "not a number"),
        (("--subtract", "nan"), 1, "finite"),
        (("--line-phase", "x"), 2, "neither auto nor a number of pixels"),
        (("--line-phase", "inf"), 1, "finite"),
        (("--line-phase", "5"), 1, "leaves nothing of rows of 5"),
        (("--line-phase", "auto"), 1, "at least 8 rows and 64 columns"),
        (("--dark", "missing.tif"), 1, "missing.tif"),
        (("--dark", ""), 2, "--dark is empty"),
        (("--dark", "wide.tif"), 2, "wide.tif: its images are 6 x 7, those of the recording"),
        (("--bad", "all.tif"), 1, "no good pixel"),
        (("--flat", "zero.tif"), 1, "not above 0"),
        (("--dark", "flat.tif", "--flat", "flat.tif"), 1, "flat + dark"),
    ],
)
def test_what_is_refused(command, comm, movie, shared_path, options, code, words):
    if comm.rank == 0:
        write_tif(shared_path / "wide.tif", np.zeros((6, 7), "u1"))
        write_tif(shared_path / "all.tif", np.ones(DIMS, "u1"))
        write_tif(shared_path / "zero.tif", np.zeros(DIMS, "u1"))
    comm.barrier()
    assert words in command("to-series", "r", "s", *options, code=code)
    assert not (shared_path / "s").exists()


def test_a_calibration_is_not_overwritten(command, movie, shared_path):
    command("stats", "r", "cal")
    options = ("--dark", "cal/mean.tif", "--overwrite")
    assert "inputs" in command("stats", "r", "cal", *options, code=2)
    assert (shared_path / "cal/mean.tif").is_file()


def test_a_job_with_another_dark_is_not_resumed(command, movie, shared_path):
    command("to-series", "r", "s", "--dark", "dark.tif", "--resume")
    assert "complete" in command("to-series", "r", "s", "--resume", code=1)
    assert "other values" in command(
        "to-series", "r", "s", "--dark", "flat.tif", "--resume", code=1
    )


def test_the_line_phase_is_found_or_given(command, comm, tsc, shared_path):
    lines = np.repeat(recording(40, (4, 80), "uint8"), 3, axis=1)
    lines[:, 1::2] = np.roll(lines[:, 1::2], 3, axis=2)
    if comm.rank == 0:
        (shared_path / "l").mkdir()
        for i, image in enumerate(lines):
            write_tif(shared_path / "l" / f"{i}.tif", image)
        write_tif(shared_path / "dark.tif", np.zeros((12, 80), "u1"))
    comm.barrier()
    found = tsc.loadImages(str(shared_path / "l")).fitLinePhase()
    assert abs(found.shift - 3) < 0.1
    options = ("--dark", "dark.tif", "--bin", "4", "--json")
    said = command("to-series", "l", "a.h5", "--line-phase", "auto", *options)
    assert said.startswith(f"Note: {found}\n")
    told = json.loads(said[said.index("{") :])
    assert told["repairs"] == {"dark": "dark.tif", "line_phase": found.shift, "bin": 4}
    command("to-series", "l", "b.h5", "--line-phase", found.shift, *options)
    command("to-series", "l", "c.h5", "--line-phase", "-3", *options)
    written = [(shared_path / f"{name}.h5").read_bytes() for name in "abc"]
    assert written[0] == written[1] != written[2]
    wanted = tsc.loadImagesFromArray(lines.astype("f4")).correctLinePhase(found).timeBin(4)
    with h5py.File(shared_path / "a.h5") as file:
        assert same_bits(np.moveaxis(file["series"][:], -1, 0).copy(), wanted.toArray())
    said = command("plan", "l", "--line-phase", "auto", "--json")
    assert json.loads(said[said.index("{") :])["repairs"] == {"line_phase": found.shift}


def test_a_job_with_another_line_phase_is_not_resumed(command, movie, shared_path):
    command("to-series", "r", "s", "--line-phase", "1", "--resume")
    refused = command("to-series", "r", "s", "--line-phase", "1.5", "--resume", code=1)
    assert "other values" in refused or "other" in refused


def test_paths_in_a_batch_script_are_absolute(command, comm, shared_path, movie):
    script = command("slurm", "--ntasks=2", "to-series", "r", "s", "--dark", "dark.tif")
    assert f"--dark {shared_path / 'dark.tif'}" in script
