"""The Images tutorial, cell by cell, on any number of ranks and on two recordings.

Every rank runs every cell, as a user's program would. What a cell prints must be the
tutorial's text to the letter; what it draws must be the image that plain NumPy computes.
"""

import ast
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from mpi4py import MPI

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mpimages.simulated import example

from ..support import notebook as notebooks
from ..support.tutorial import CELLS, CONVERSION, EXPORT

pytestmark = pytest.mark.ranks

FISH = Path(__file__).parents[3] / "shared" / "data" / "fish"
LOAD_FISH = "tsc.loadExample('fish-images')"
SUBSTITUTIONS = {
    "from thunder import Colorize": (
        "from mpimages import ThunderContext, Colorize\ntsc = ThunderContext()"
    )
}


class Notebook:
    """Runs cells in one namespace, as Jupyter does, and returns what a cell would print."""

    def __init__(self, substitutions):
        self.substitutions = substitutions
        self.namespace = {}

    def run(self, code):
        for old, new in self.substitutions.items():
            code = code.replace(old, new)
        lines = [line for line in code.splitlines() if not line.startswith("%")]
        body = ast.parse("\n".join(lines)).body
        silent = code.rstrip().endswith(";")
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "<cell>", "exec"), self.namespace)
        if last is None:
            return None
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), self.namespace)
        return None if silent or value is None else repr(value)


def simulated_fish():
    recording = example.load("fish-images")
    return np.stack([recording.image(i) for i in range(recording.count)])


def real_fish():
    import tifffile

    stacks = [tifffile.imread(path) for path in sorted(FISH.glob("*.tif"))]
    return np.stack([np.moveaxis(stack, 0, -1) for stack in stacks])


@pytest.fixture(params=["example", "files"])
def recording(request):
    """The fish as an array, and the substitutions that load it in the tutorial."""
    if request.param == "example":
        return simulated_fish(), SUBSTITUTIONS
    if not FISH.is_dir():
        pytest.skip("the recording of a real fish is not here")
    load = f"tsc.loadImages({str(FISH)!r}, inputFormat='tif')"
    return real_fish(), {**SUBSTITUTIONS, LOAD_FISH: load}


@pytest.fixture
def shared_directory(shared_path, monkeypatch):
    """A directory that is the same on all ranks, and the current one."""
    monkeypatch.chdir(shared_path)
    return shared_path


@pytest.fixture(autouse=True)
def _matplotlib_as_it_was():
    with plt.rc_context():
        yield
    plt.close("all")


def drawings(fish):
    """By cell, the image that must be seen."""
    mouse = example.load("mouse-images")
    highest = fish[0].max(axis=2)
    return {
        11: fish[0, :, :, 0],
        12: fish[0, :, :, 1],
        14: mouse.image(0),
        15: mouse.image(10),
        16: highest,
        17: highest,
        18: fish[0, ::5, ::5, 0],
        19: fish.astype(np.float64).std(axis=0)[:, :, 0],
    }


def check_image(number, expected):
    assert len(plt.get_fignums()) == 1, f"cell {number}"
    plt.gcf().canvas.draw()
    (drawn,) = plt.gcf().axes[0].get_images()
    np.testing.assert_allclose(drawn.get_array(), expected, rtol=1e-12, err_msg=f"cell {number}")


def check_lines(fish):
    """Fifty normalized series, each of a pixel that passes the threshold."""
    values = fish.reshape(len(fish), -1).astype(np.float64)
    baseline = np.percentile(values, 20, axis=0)
    change = ((values - baseline) / (baseline + 0.1)).T
    active = change[change.std(axis=1) > 0.05]
    lines = np.array([line.get_ydata() for line in plt.gca().get_lines()])
    assert lines.shape == (50, 20)
    distances = np.abs(lines[:, None, :] - active).max(axis=2).min(axis=1)
    assert distances.max() < 1e-12
    everywhere = MPI.COMM_WORLD.bcast(lines)
    np.testing.assert_array_equal(lines, everywhere)


def run_cells(notebook, fish):
    expected = drawings(fish)
    for cell in CELLS:
        assert notebook.run(cell.code) == cell.output, f"cell {cell.number}"
        if cell.draws == "image":
            check_image(cell.number, expected[cell.number])
        elif cell.draws == "lines":
            check_lines(fish)
        else:
            assert not plt.get_fignums(), f"cell {cell.number}"
        plt.close("all")  # as a notebook does with the figures that it has shown


def test_every_cell(recording):
    fish, substitutions = recording
    notebook = Notebook(substitutions)
    run_cells(notebook, fish)
    ts = notebook.namespace["ts"]
    np.testing.assert_array_equal(ts.toArray(), np.moveaxis(fish, 0, -1))
    sub = notebook.namespace["sub"]
    np.testing.assert_array_equal(sub, fish[0, :, :, 0])
    notebook.run("tsc.close()")


def test_export_as_pngs(recording, shared_directory):
    fish, substitutions = recording
    notebook = Notebook(substitutions)
    for cell in (2, 3):  # all that the fragment rests on: the import and the data
        notebook.run(CELLS[cell - 1].code)
    notebook.run(EXPORT)
    notebook.run("tsc.close()")
    pictures = sorted((shared_directory / "directory").glob("*.png"))
    assert [picture.name for picture in pictures] == [f"export-{i:05d}.png" for i in range(20)]
    scale = plt.Normalize(0, 200)
    for picture, image in zip(pictures, fish.max(axis=3), strict=True):
        found = np.round(255 * plt.imread(picture)).astype(np.uint8)
        expected = plt.get_cmap("gray")(scale(image), bytes=True)[:, :, 0]
        grey = found if found.ndim == 2 else found[:, :, 0]
        np.testing.assert_array_equal(grey, expected, err_msg=picture.name)


def write_images(directory, fish):
    """The recording as two-page TIFFs, and two images more, which stopIdx leaves out."""
    import tifffile

    directory.mkdir()
    for i, image in enumerate([*fish, fish[0], fish[1]]):
        pages = np.ascontiguousarray(np.moveaxis(image, -1, 0))
        tifffile.imwrite(directory / f"tp{i:03d}.tif", pages, photometric="minisblack")


def test_convert_save_and_load(recording, shared_directory):
    fish, substitutions = recording
    if MPI.COMM_WORLD.rank == 0:
        write_images(shared_directory / "my-image-directory", fish)
    MPI.COMM_WORLD.Barrier()
    notebook = Notebook(substitutions)
    notebook.run(CELLS[1].code)
    for _ in range(2):  # the second time over its own output
        notebook.run(CONVERSION)
    ts = notebook.namespace["ts"]
    assert ts.dims.count == (76, 87, 2)
    assert ts.index.tolist() == list(range(20))
    assert ts.dtype == np.uint8
    np.testing.assert_array_equal(ts.toArray(), np.moveaxis(fish, 0, -1))
    notebook.run("tsc.close()")


def test_the_notebook_of_motion(shared_directory):
    """On any number of ranks it answers what is stored: of shifts, too, to the last digit."""
    stored = notebooks.stored(notebooks.MOTION)
    cells = [cell.source for cell in stored.cells if cell.cell_type == "code"]
    notebook = Notebook({})
    for code, texts in zip(cells, notebooks.texts(stored), strict=True):
        assert notebook.run(code) == (texts[0] if texts else None), code
    notebook.run("tsc.close()")
