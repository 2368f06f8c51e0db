"""``mpimages process``: from a raw recording to corrected series, in one job that resumes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from mpimages import Images, RegistrationModel

from ..support.data import moved, same_bits, write_movie, write_tif

pytestmark = pytest.mark.ranks

DIMS = (48, 40)


@pytest.fixture
def movie(comm, shared_path):
    """A movie of 14 images that move, and its dark image."""
    array, _ = moved(14, DIMS)
    if comm.rank == 0:
        write_movie(shared_path / "r", array)
        write_tif(shared_path / "dark.tif", np.full(DIMS, 50, np.uint16))
    comm.barrier()
    return array


def series_of(tsc, path):
    return np.moveaxis(tsc.loadSeries(path).toArray(), -1, 0).copy()


@pytest.fixture
def no_fit(monkeypatch):
    """Nothing can be fitted."""

    def refuse():
        monkeypatch.setattr(Images, "fitRegistration", None)

    return refuse


@pytest.mark.few_ranks
@pytest.mark.parametrize("out", ["s", "s.h5"])
def test_it_is_all_steps_in_one(command, tsc, movie, shared_path, out):
    options = ("--register", "rigid", "--dark", "dark.tif", "--bin", "2", "--report", "r.html")
    options += ("--interval", "0.2", *(("--file-size", "20kB") if out == "s" else ()))
    told = json.loads(command("process", "r", out, *options, "--json"))
    images = tsc.loadImages(str(shared_path / "r")).correctDetector(np.full(DIMS, 50.0))
    model = RegistrationModel.load(f"{out}.registration.npz")
    assert model == images.fitRegistration()
    wanted = images.applyRegistration(model).timeBin(2).toArray()
    assert same_bits(series_of(tsc, out), wanted)
    assert (told["values"], told["dtype"], told["report"]) == (7, "float32", "r.html")
    assert told["registration"]["lost"] == []
    assert told["repairs"] == {"dark": "dark.tif", "bin": 2}
    page = Path("r.html").read_text()
    assert "applyRegistration" in page
    assert "2.8 s" in page
    if out == "s":
        sizes = [path.stat().st_size for path in Path(out).glob("*.bin")]
        assert sum(sizes) == images.count() // 2 * DIMS[0] * DIMS[1] * 4
        assert max(sizes) <= 20_000
    said = command("process", "r", out, *options, "--overwrite")
    assert f"{out}: 1,920 series of 7 values" in said
    assert "r.html: the report of 14 images and their registration" in said
    assert sorted(os.listdir()) == sorted(
        ["r", "dark.tif", "r.html", out, f"{out}.registration.npz"]
    )


@pytest.mark.few_ranks
@pytest.mark.parametrize("method", ["rigid", "piecewise"])
def test_the_budget_does_not_matter(command, movie, method):
    """At the least one, images go through a scratch file, and the reference is not held."""
    options = ("--register", method, "--max-shift", "6")
    options += ("--block-size", "24,24") if method == "piecewise" else ()
    for name, memory in (("a.h5", "1GB"), ("b.h5", "60kB")):
        command("process", "r", name, *options, "--memory", memory)
    assert Path("a.h5").read_bytes() == Path("b.h5").read_bytes()
    models = [Path(f"{name}.registration.npz").read_bytes() for name in ("a.h5", "b.h5")]
    assert models[0] == models[1]


def test_volumes_by_planes(command, comm, tsc, shared_path):
    volumes = np.stack([moved(8, DIMS)[0]] * 2, axis=-1)
    if comm.rank == 0:
        np.save("v.npy", volumes)
        write_tif("reference.tif", np.moveaxis(volumes[3], -1, 0))
    comm.barrier()
    options = ("--register", "planar", "--reference", "reference.tif", "--axes", "TYXZ")
    command("process", "v.npy", "s.h5", *options)
    images = tsc.loadImages(str(shared_path / "v.npy"), axes="TYXZ")
    model = images.fitRegistration(volumes[3], "planar")
    assert model.lost == []
    wanted = images.applyRegistration(model)
    assert same_bits(series_of(tsc, "s.h5"), wanted.toArray())


def test_a_job_that_resumes_does_not_fit_again(command, comm, movie, no_fit):
    options = ("--register", "rigid", "--report", "r.html")
    command("process", "r", "s.h5", *options, "--resume")
    wanted = {name: Path(name).read_bytes() for name in ("s.h5", "r.html")}
    comm.barrier()
    if comm.rank == 0:
        for name in wanted:
            os.unlink(name)
    comm.barrier()
    no_fit()
    said = command("process", "r", "s.h5", *options, "--resume")
    assert "s.h5.registration.npz: rigid" in said
    assert {name: Path(name).read_bytes() for name in wanted} == wanted
    assert {name: Path(name).read_bytes() for name in wanted} == wanted


OTHERWISE = {
    "options": (("--max-shift", "3"), "other options"),
    "method": (("--register", "piecewise"), "other options"),
    "reference": (("--seed", "3"), "another reference"),
    "a file": (("--reference", "dark.tif"), "another reference"),
    "input": (("--stop", "12"), "another input"),
    "repairs": (("--subtract", "1"), "another input"),
    "two": (("--subtract", "1", "--seed", "2"), "another input and another reference"),
}


@pytest.mark.parametrize("what", OTHERWISE)
def test_a_model_of_another_job_is_refused(command, comm, movie, no_fit, what):
    command("process", "r", "s.h5", "--register", "rigid")
    comm.barrier()
    before = sorted(os.listdir())
    no_fit()
    changed, words = OTHERWISE[what]
    found = command("process", "r", "s.h5", "--register", "rigid", *changed, "--resume", code=1)
    assert f"earlier job with {words}:" in found
    comm.barrier()
    assert sorted(os.listdir()) == before


def test_a_changed_file_is_another_input(command, comm, movie):
    command("process", "r", "s.h5", "--register", "rigid")
    comm.barrier()
    if comm.rank == 0:
        os.utime("r/03.tif", ns=(1, 1))
        os.unlink("s.h5")
    comm.barrier()
    assert "another input" in command(
        "process", "r", "s.h5", "--register", "rigid", "--resume", code=1
    )


def test_other_ways_to_move_are_refused_by_the_series(command, movie):
    command("process", "r", "s.h5", "--register", "rigid")
    options = ("--register", "rigid", "--interpolation", "cubic", "--resume")
    assert "other values" in command("process", "r", "s.h5", *options, code=1)


def test_a_report_of_something_else_is_not_replaced(command, comm, movie):
    command("report", "r", "r.html")
    kept = Path("r.html").read_bytes()
    comm.barrier()
    options = ("--register", "rigid", "--report", "r.html")
    for more in ((), ("--resume",)):
        assert "r.html exists" in command("process", "r", "s.h5", *options, *more, code=1)
        assert Path("r.html").read_bytes() == kept
    assert not Path("s.h5.registration.npz").exists()
    comm.barrier()
    command("process", "r", "s.h5", *options, "--overwrite")
    assert Path("r.html").read_bytes() != kept


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "Give --register METHOD, or --apply-model FILE"),
        (("--register", "rigid", "--resume", "--overwrite"), 2, "give one"),
        (("--register", "rigid", "--report", "s.h5"), 2, "OUT and --report are both s.h5"),
        (("--register", "rigid", "--report", "none/r.html"), 1, "create it first"),
        (("--register", "rigid", "--report", ""), 2, "--report is empty"),
        (("--register", "rigid", "--bin", "5"), 1, "remainder= is --remainder"),
        (("--register", "rigid", "--report", "r/00.tif"), 2, "one of the inputs"),
        (("--register", "planar"), 1, "for volumes"),
        (("--register", "rigid", "--chunks", "big"), 2, "big"),
    ],
)
def test_what_is_refused_is_refused_before_the_fit(
    command, comm, movie, no_fit, options, code, words
):
    before = sorted(os.listdir())
    no_fit()
    assert words in command("process", "r", "s.h5", *options, code=code)
    comm.barrier()
    assert sorted(os.listdir()) == before


def test_the_plan_tells_what_a_fit_reads(command, movie):
    given = ("plan", "r", "--bin", "2", "--memory", "50MB", "--json")
    alone = json.loads(command(*given))
    assert (alone["passes"], alone["bytes_fit"]) == (1, 0)
    plan = json.loads(command(*given, "--register", "rigid"))
    assert plan["passes"] == 2
    # All are held: for the reference, for their power, and for the fit.
    assert plan["bytes_fit"] == alone["bytes_read"]
    shifts = 14 * 2 * 8
    assert plan["memory"] == alone["memory"] + shifts
    assert {**plan, "passes": 1, "bytes_fit": 0, "memory": alone["memory"]} == alone
    less = ("--register", "rigid", "--memory", "200kB", "--ranks", "1")
    assert json.loads(command("plan", "r", *less, "--json"))["bytes_fit"] > plan["bytes_fit"]
    assert "all images are read 2 times" in command("plan", "r", "--register", "rigid")
    assert "for volumes" in command("plan", "r", "--register", "planar", code=1)


def test_paths_in_a_batch_script_are_absolute(command, shared_path, movie):
    options = ("--register", "rigid", "--model", "m.npz", "--report", "r.html")
    script = command("slurm", "--ntasks=2", "process", "r", "s.h5", *options)
    for name in ("m.npz", "r.html", "s.h5"):
        assert f" {shared_path / name}" in script
    assert "--resume" in script
