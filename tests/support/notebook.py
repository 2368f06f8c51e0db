"""The notebooks of the documentation: run them, and store what came out.

python -m tests.support.notebook stores the outputs in docs/*.ipynb: ``make tutorial``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from .tutorial import CELLS

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "docs").glob("*.ipynb"))
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
MOTION = ROOT / "docs" / "motion.ipynb"
SECONDS = 300
# What differs from the tutorial: where the names come from, and that there is no shell with a tsc.
SETUP = {
    2: CELLS[1].code.replace(
        "from thunder import Colorize",
        "from mpimages import ThunderContext, Colorize\ntsc = ThunderContext()",
    )
}


def stored(path: Path) -> Any:
    """A notebook as it is in the repository."""
    import nbformat

    return nbformat.read(path, as_version=4)


def executed(notebook: Any) -> Any:
    """The same, run from the first cell to the last in a kernel of its own."""
    import nbformat
    from nbclient import NotebookClient

    run = nbformat.from_dict(notebook)
    with tempfile.TemporaryDirectory() as directory, _environment(directory):
        client = NotebookClient(
            run,
            timeout=SECONDS,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": directory}},
        )
        client.execute()
    return run


@contextmanager
def _environment(directory: str) -> Iterator[None]:
    """This clone's package, figures that go into the notebook, and nothing in the home."""
    own = dict.fromkeys(
        ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR"), directory
    )
    quiet = {"MPIMAGES_PROGRESS": "0"}  # how far the work is depends on the time
    with mock.patch.dict(os.environ, {**own, **quiet, "PYTHONPATH": str(ROOT)}):
        os.environ.pop("MPLBACKEND", None)
        yield


def texts(notebook: Any) -> list[tuple[str, ...]]:
    """What each cell of code answers, in words."""
    return [
        tuple(
            output["data"]["text/plain"]
            for output in cell.outputs
            if output.output_type == "execute_result"
        )
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def pictures(notebook: Any) -> list[int]:
    """How many pictures each cell of code draws."""
    return [
        sum("image/png" in output.get("data", {}) for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def main() -> None:
    """Store the outputs."""
    import nbformat

    for path in PATHS:
        notebook = executed(stored(path))
        for cell in notebook.cells:
            cell.metadata.clear()
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
