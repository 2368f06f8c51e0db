"""The Python examples of README.md run, and give what they say they give."""

import ast
import re
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from mpi4py import MPI

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mpimages import example

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


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


def run(block, namespace):
    """Execute a block; wherever a line ends in "# → text", its value must print so."""
    lines = block.splitlines()
    compared = 0
    for statement in ast.parse(block).body:
        promise = re.search(r"# → (.*)$", lines[statement.end_lineno - 1])
        if promise is None:
            exec(compile(ast.Module([statement], []), "README.md", "exec"), namespace)
            continue
        value = eval(compile(ast.Expression(statement.value), "README.md", "eval"), namespace)
        assert repr(value) == promise[1].strip(), ast.unparse(statement)
        compared += 1
    return compared


@pytest.mark.ranks
def test_examples_run_in_the_order_of_the_page(recording):
    namespace = {}
    compared = sum(run(block, namespace) for block in BLOCKS)
    assert len(BLOCKS) == 5
    assert compared == README.count("# → ")
    expected = recording.astype(np.float64).std(axis=0)
    np.testing.assert_allclose(namespace["deviation"], expected, rtol=1e-12)
    namespace["tsc"].close()
    MPI.COMM_WORLD.Barrier()
    assert Path("series/SUCCESS").exists()
    assert plt.imread("deviation.png").shape[2] == 4


def test_ten_line_script_has_ten_lines():
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) == 10


def test_links_lead_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_of_the_other_pages(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
