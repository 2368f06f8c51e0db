"""The notebooks of the documentation give what is stored in them; one of them is the tutorial."""

import base64
import io

import matplotlib.image
import numpy as np
import pytest

from ..support import notebook
from ..support.tutorial import CELLS, CONVERSION, EXPORT


@pytest.fixture(scope="module", params=notebook.PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def stored(path):
    return notebook.stored(path)


@pytest.fixture(scope="module")
def tutorial():
    return notebook.stored(notebook.TUTORIAL)


def test_the_cells_are_those_of_the_tutorial(tutorial):
    found = [cell.source for cell in tutorial.cells if cell.cell_type == "code"]
    expected = [notebook.SETUP.get(cell.number, cell.code).rstrip("\n") for cell in CELLS]
    assert found == expected


def test_the_prose_of_the_tutorial_has_the_fragments(tutorial):
    prose = "\n".join(cell.source for cell in tutorial.cells if cell.cell_type == "markdown")
    assert f"```python\n{EXPORT}\n```" in prose
    assert f"```python\n{CONVERSION.rstrip()}\n```" in prose


def test_the_stored_outputs_are_those_of_the_tutorial(tutorial):
    expected = [() if cell.output is None else (cell.output,) for cell in CELLS]
    assert notebook.texts(tutorial) == expected
    assert notebook.pictures(tutorial) == [int(cell.draws is not None) for cell in CELLS]


def test_the_stored_pictures_show_something(stored):
    for output in (output for cell in stored.cells for output in cell.get("outputs", [])):
        if "image/png" in output["data"]:
            picture = base64.b64decode(output["data"]["image/png"])
            pixels = matplotlib.image.imread(io.BytesIO(picture), format="png")
            assert min(pixels.shape[:2]) > 300
            assert np.ptp(pixels[..., :3]) > 0.5


def test_it_is_small_and_tells_nothing_of_a_machine(path, stored):
    assert path.stat().st_size < 2_000_000
    for cell in stored.cells:
        assert cell.metadata == {}
        assert all(
            output.output_type in ("execute_result", "display_data")
            for output in cell.get("outputs", [])
        )


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of the kernel's client are not ours
def test_executed_it_gives_what_is_stored(stored):
    executed = notebook.executed(stored)
    assert notebook.texts(executed) == notebook.texts(stored)
    assert notebook.pictures(executed) == notebook.pictures(stored)
