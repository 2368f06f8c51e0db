"""Recordings that do not fit are converted in the memory that there is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from ..support.jobs import run

pytestmark = pytest.mark.slow

RANKS = 2
BUDGET = 16_000_000
DIMS = (512, 512)
BESIDE = 48_000_000
TIMES = 8  # as large as so many budgets of all ranks


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same recording uncompressed and compressed, eight times the budgets."""
    root = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 60000, DIMS).astype(np.uint16)
    for name in ("plain", "zlib"):
        (root / name).mkdir()
    for i in range(TIMES * RANKS * BUDGET // scene.nbytes + 1):
        image = np.roll(scene, i, axis=0) // 256 * 256 + i % 7
        for name in ("plain", "zlib"):
            tifffile.imwrite(
                root / name / f"{i:04d}.tif", image, compression=None if name == "plain" else "zlib"
            )
    return root


@pytest.mark.parametrize(("source", "way"), [("plain", "bands"), ("zlib", "frames")])
@pytest.mark.parametrize("output", ["series", "series.h5"])
def test_a_recording_of_eight_budgets(recordings, tmp_path, source, way, output):
    printed = run(RANKS, "limited.py", recordings / source, tmp_path / output, BUDGET)
    said = json.loads(printed.splitlines()[-1])
    assert said["way"] == way
    assert said["rounds"] >= TIMES
    assert max(said["peaks"]) <= said["allowed"]


def test_a_registered_recording_of_eight_budgets(recordings, tmp_path):
    # Beside the budget: libraries, and freed memory that the allocator of the process keeps.
    output = tmp_path / "series"
    printed = run(RANKS, "limited.py", recordings / "plain", output, BUDGET, "register=rigid")
    said = json.loads(printed.splitlines()[-1])
    assert said["way"] == "frames"
    assert max(said["peaks"]) <= said["before"] + BUDGET + BESIDE
