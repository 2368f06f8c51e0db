"""``report --model`` and the report of ``process``: a recording before and after the correction."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from ..report.test_report import moved, scene

pytestmark = pytest.mark.ranks

PLANES = ("--nplanes", "1")
SHIFTS = 2.0 * np.random.RandomState(0).uniform(-1, 1, (24, 2))


@pytest.fixture
def movie(comm, shared_path):
    """A movie that moves, as one file."""
    if comm.rank == 0:
        still = scene(48, 48)
        images = np.array([moved(still, *by) for by in SHIFTS])
        tifffile.imwrite(shared_path / "r.tif", images.astype("uint16"), photometric="minisblack")
    comm.barrier()


def test_a_model_is_applied_to_the_recording(command, movie, shared_path):
    command("process", "r.tif", "s.h5", *PLANES, "--register", "rigid", "--report", "p.html")
    model = "s.h5.registration.npz"
    found = json.loads(
        command("report", "r.tif", *PLANES, "-o", "r.html", "--model", model, "--json")
    )
    figures = found["figures"]["registration"]
    assert figures["placed"] == 24
    assert figures["residual"]["rms"] < 0.1 < figures["shift"]["rms"]
    assert (shared_path / "p.html").read_bytes() == (shared_path / "r.html").read_bytes()
    assert "Motion correction" in (shared_path / "r.html").read_text()


def test_a_model_that_does_not_fit_is_refused(command, movie, shared_path):
    command("process", "r.tif", "s.h5", *PLANES, "--register", "rigid")
    model = "s.h5.registration.npz"
    said = command("report", "r.tif", *PLANES, "--model", model, "--bin", "2", code=2)
    assert "--model is of the images before --bin" in said
    assert "no such file" in command("report", "r.tif", *PLANES, "--model", "none.npz", code=1)
    said = command("report", "r.tif", *PLANES, "-o", model, "--model", model, "--overwrite", code=2)
    assert model in said
    assert not (shared_path / "report.html").exists()
