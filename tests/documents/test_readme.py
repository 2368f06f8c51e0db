"""The Python examples of README.md run, and give what they say they give."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from mpi4py import MPI

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mpimages.simulated import example

from ..support.pages import README, blocks, run_python

BLOCKS = blocks(README, "python")


@pytest.fixture
def recording(shared_path, monkeypatch):
    """A directory, the same on all ranks, in which recording/ has a few small TIFFs."""
    import tifffile

    images = [example.load("fish-images").image(i) for i in range(5)]
    if MPI.COMM_WORLD.rank == 0:
        (shared_path / "recording").mkdir()
        for i, image in enumerate(images):
            pages = np.ascontiguousarray(np.moveaxis(image, -1, 0))
            tifffile.imwrite(shared_path / f"recording/{i}.tif", pages, photometric="minisblack")
    MPI.COMM_WORLD.Barrier()
    monkeypatch.chdir(shared_path)
    yield np.stack(images)
    plt.close("all")


@pytest.mark.ranks
def test_examples_run_in_the_order_of_the_page(recording):
    namespace = {}
    compared = sum(run_python(block, namespace) for block in BLOCKS)
    assert len(BLOCKS) == 1
    assert compared == README.read_text(encoding="utf-8").count("# → ")
    expected = recording.astype(np.float64).std(axis=0)
    np.testing.assert_allclose(namespace["deviation"], expected, rtol=1e-12)
    namespace["tsc"].close()
    MPI.COMM_WORLD.Barrier()
    assert Path("series/SUCCESS").exists()
    assert plt.imread("deviation.png").shape[2] == 4


def test_it_can_be_read_at_a_sitting():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_ten_line_script_has_ten_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) == 10
