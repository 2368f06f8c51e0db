"""``mpimages register``: images without their motion, and the model that is stored."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from mpimages import FormatError, RegistrationModel
from mpimages.commands import registering
from mpimages.registration.finders import METHODS

from ..support.data import moved, same_bits, write_movie, write_tif

pytestmark = pytest.mark.ranks

DIMS = (48, 40)


@pytest.fixture
def movie(comm, shared_path):
    """A movie of 14 images that move, 100 grey levels above its dark image; and the shifts."""
    array, shifts = moved(14, DIMS)
    if comm.rank == 0:
        write_movie(shared_path / "r", array)
        write_tif(shared_path / "dark.tif", np.full(DIMS, 50, np.uint16))
        write_tif(shared_path / "reference.tif", array[3])
    comm.barrier()
    return array, shifts


def frames(path):
    with h5py.File(path) as file:
        return file["series"][:]


@pytest.mark.few_ranks
def test_the_images_are_those_of_the_methods(command, tsc, movie, shared_path):
    shifts = movie[1]
    told = json.loads(command("register", "r", "out.h5", "--json"))
    model = RegistrationModel.load("out.h5.registration.npz")
    images = tsc.loadImages(str(shared_path / "r"))
    fitted = images.fitRegistration()
    assert model == fitted
    found = model.shifts - model.shifts[0]
    assert np.abs(found - (shifts - shifts[0])).max() < 0.3
    assert same_bits(frames("out.h5"), images.applyRegistration(fitted).toArray())
    assert told["registration"] == {
        "model": "out.h5.registration.npz",
        "method": "rigid",
        "images": 14,
        "largest_shift": pytest.approx(np.hypot(*model.shifts.T).max()),
        "lost": [],
    }
    said = command("register", "r", "again.h5")
    assert "again.h5: 14 registered images of 48 x 40, uint16" in said
    assert "again.h5.registration.npz: rigid, largest shift" in said
    assert "0 images lost" in said
    assert Path("again.h5").read_bytes() == Path("out.h5").read_bytes()


def test_repairs_come_before_and_bins_after(command, tsc, movie, shared_path):
    options = ("--dark", "dark.tif", "--bin", "7", "--fill", "nan", "--interpolation", "cubic")
    command("register", "r", "t.tif", *options, "--model", "m.json")
    model = RegistrationModel.load("m.json")
    dark = np.full(DIMS, 50.0)
    repaired = tsc.loadImages(str(shared_path / "r")).correctDetector(dark)
    moved_back = repaired.applyRegistration(repaired.fitRegistration(), "nan", "cubic")
    assert model == repaired.fitRegistration()
    assert same_bits(tifffile.imread("t.tif"), moved_back.timeBin(7).toArray())


def test_a_fit_has_its_options(command, tsc, movie, shared_path):
    images = tsc.loadImages(str(shared_path / "r"))
    options = ("--method", "piecewise", "--max-shift", "6,5", "--block-size", "24,24")
    command("register", "r", "p", *options, "--smoothing", "2", "--reference", "reference.tif")
    wanted = images.fitRegistration(movie[0][3], "piecewise", (6.0, 5.0), (24, 24), 2.0)
    assert RegistrationModel.load("p.registration.npz") == wanted
    pictures = sorted(Path("p").glob("export-*.tif"))
    moved_back = images.applyRegistration(wanted).toArray()
    assert same_bits(np.stack([tifffile.imread(one) for one in pictures]), moved_back)
    command("register", "r", "q.h5", "--nimages", "6", "--seed", "2", "--method", "rigid")
    reference = images.referenceImage(6, 2)
    assert same_bits(RegistrationModel.load("q.h5.registration.npz").reference, reference)


@pytest.mark.few_ranks
def test_the_defaults_may_be_said(command, movie):
    """The reference, too, is made within --max-shift, and a job goes on whoever says them."""
    far = ("--max-shift", "2")
    command("register", "r", "a.h5", *far)
    command("register", "r", "b.h5", *far, "--nimages", "400", "--seed", "0")
    a, b = (Path(f"{name}.h5.registration.npz").read_bytes() for name in "ab")
    assert a == b
    command("register", "r", "c.h5")
    narrow, wide = (RegistrationModel.load(f"{name}.h5.registration.npz") for name in "ac")
    assert not same_bits(narrow.reference, wide.reference)


def test_methods_are_those_of_the_library():
    assert registering.METHODS == METHODS


def test_a_stored_model_moves_other_images(command, comm, tsc, movie, shared_path):
    double = np.repeat(np.repeat(movie[0], 2, axis=1), 2, axis=2)
    if comm.rank == 0:
        write_tif(shared_path / "double.tif", double)
    comm.barrier()
    command("register", "r", "a.h5", "--model", "m.npz")
    said = command(
        *("register", "double.tif", "b.tif", "--nplanes", "1", "--scale", "2"),
        *("--apply-model", "m.npz"),
    )
    assert "m.npz: rigid" in said
    images = tsc.loadImages(str(shared_path / "double.tif"), nplanes=1)
    wanted = images.applyRegistration(RegistrationModel.load("m.npz"), scale=2)
    assert same_bits(tifffile.imread("b.tif"), wanted.toArray())
    assert not Path("b.tif.registration.npz").exists()
    assert "dims" in command("register", "double.tif", "c.tif", "--apply-model", "m.npz", code=1)
    late = ("register", "r", "d.tif", "--apply-model", "m.npz", "--start", "3")
    assert "key 0 is image 3" in command(*late, code=1)
    command("register", "r", "d.tif", "--apply-model", "m.npz", "--stop", "5")
    part = images = tsc.loadImages(str(shared_path / "r"), stopIdx=5)
    wanted = part.applyRegistration(RegistrationModel.load("m.npz"))
    assert same_bits(tifffile.imread("d.tif"), wanted.toArray())


def test_lost_images_are_named(command, comm, shared_path):
    array, _ = moved(12, DIMS)
    array[4] = array[9] = 7
    if comm.rank == 0:
        np.save("movie.npy", array)
    comm.barrier()
    said = command("register", "movie.npy", "o.h5")
    assert "2 images lost (4, 9)" in said
    assert same_bits(frames("o.h5")[[4, 9]], array[[4, 9]])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--scale", "2"), 2, "--scale is of --apply-model"),
        (("--apply-model", "m.npz", "--max-shift", "3"), 2, "without --max-shift"),
        (("--apply-model", "m.npz", "--method", "rigid"), 2, "without --method"),
        (("--apply-model", "m.npz", "--model", "n.npz"), 2, "without --model"),
        (("--apply-model", "missing.npz"), 1, "missing.npz: no such file"),
        (("--apply-model", "dark.tif"), 1, "dark.tif: not a registration model"),
        (("--block-size", "24,24"), 2, "--method piecewise only"),
        (("--method", "piecewise", "--block-size", "24"), 2, "rows and columns"),
        (("--method", "planar"), 1, "for volumes"),
        (("--max-shift", "x"), 2, "not a number"),
        (("--max-shift", "400"), 1, "maxShift"),
        (("--fill", "inf"), 2, "edge, nan and a finite number"),
        (("--fill", "0.5"), 1, "no value 0.5"),
        (("--reference", "reference.tif", "--seed", "1"), 2, "--seed"),
        (("--reference", "wide.tif"), 2, "--reference wide.tif: its images are 6 x 7"),
        (("--model", "m.txt"), 2, ".npz or .json"),
        (("--model", "out.h5"), 2, ".npz or .json"),
        (("--model", "none/m.npz"), 1, "create it first"),
        (("--model", "mine.npz"), 1, "mine.npz exists"),
        (("--model", "mine.npz", "--overwrite"), 1, "refusing to remove"),
        (("--bin", "5"), 1, "remainder= is --remainder"),
    ],
)
def test_what_is_refused_is_refused_before_the_fit(
    command, comm, movie, shared_path, monkeypatch, options, code, words
):
    if comm.rank == 0:
        write_tif(shared_path / "wide.tif", np.zeros((6, 7), "u1"))
        np.savez(shared_path / "mine.npz", a=np.zeros(3))
    comm.barrier()
    before = sorted(os.listdir())
    monkeypatch.setattr("mpimages.registration.fitting.fit", None)
    assert words in command("register", "r", "out.h5", *options, code=code)
    comm.barrier()
    assert sorted(os.listdir()) == before


def test_what_is_there_is_not_replaced_unasked(command, comm, movie, shared_path):
    command("register", "r", "o.h5")
    kept = Path("o.h5").read_bytes(), Path("o.h5.registration.npz").read_bytes()
    assert "--overwrite" in command("register", "r", "o.h5", code=1)
    assert "inputs" in command("register", "r/*.tif", "r/00.tif", "--overwrite", code=2)
    comm.barrier()
    command("register", "r", "o.h5", "--overwrite")
    assert kept == (Path("o.h5").read_bytes(), Path("o.h5.registration.npz").read_bytes())


def test_a_full_disk_leaves_no_model(command, comm, movie, shared_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "m.npz")

    before = sorted(os.listdir())
    monkeypatch.setattr("mpimages.writers.output.plain.write_small", full)
    assert "No space left on device" in command("register", "r", "o.h5", code=1)
    comm.barrier()
    assert sorted(os.listdir()) == before


@pytest.mark.few_ranks
def test_a_model_is_written_whole_and_read_to_the_bit(comm, tsc, movie, shared_path):
    fitted = tsc.loadImages(str(shared_path / "r")).fitRegistration()
    if comm.rank == 0:
        for name in ("m.json", "m.npz"):
            fitted.save(shared_path / name)
            assert RegistrationModel.load(shared_path / name) == fitted
            whole = (shared_path / name).read_bytes()
            for size in (0, 1, 40, len(whole) // 2, len(whole) - 1):
                (shared_path / name).write_bytes(whole[:size])
                with pytest.raises(FormatError, match="not a registration model"):
                    RegistrationModel.load(shared_path / name)
    comm.barrier()
