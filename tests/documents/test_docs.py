"""The pages of docs/: their examples run, links lead somewhere, nothing public is left out."""

import inspect
import re

import matplotlib
import numpy as np
import pytest
from mpi4py import MPI

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import mpimages
from mpimages import ThunderContext

from ..support import notebook, pages

NAMES = sorted(set(mpimages.__all__) - {"__version__"})
DOCS = [page for page in pages.PAGES if page != pages.README]
API = pages.ROOT / "docs" / "api"


@pytest.fixture
def reader(shared_path, monkeypatch):
    """What the pages' examples take for granted: the names, recording/ and labels.tif."""
    monkeypatch.chdir(shared_path)
    if MPI.COMM_WORLD.rank == 0:
        pages.write_labels(shared_path / "labels.tif")
    with ThunderContext(memory="1GB") as tsc:
        tsc.loadExample("fish-images").saveAsTifs("recording")
        yield {
            "ThunderContext": ThunderContext,
            "mpimages": mpimages,
            "np": np,
            "MPI": MPI,
            "plt": plt,
            "tsc": tsc,
            "data": tsc.loadImages("recording"),
        }
        MPI.COMM_WORLD.Barrier()
    plt.close("all")


@pytest.mark.ranks
@pytest.mark.parametrize(
    "page", [page for page in DOCS if pages.blocks(page, "python")], ids=lambda page: page.stem
)
def test_python(page, reader):
    compared = sum(pages.run_python(block, reader) for block in pages.blocks(page, "python"))
    assert compared == page.read_text(encoding="utf-8").count("# → ")
    reader["tsc"].close()  # which may be one that the page has made


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in pages.PAGES if pages.commands(page)], ids=lambda page: page.stem
)
def test_commands(page, tmp_path):
    environment = pages.shell(tmp_path / "bin")
    directory = tmp_path / "home"
    directory.mkdir()
    for name, script in pages.scripts(page).items():  # and what is "beside" it
        (directory / name).write_text(script, encoding="utf-8")
        pages.write_labels(directory / "labels.tif")
        pages.run_command(pages.Command("mpimages example recording", None), directory, environment)
    for command in pages.commands(page):
        pages.run_command(command, directory, environment)


def test_a_wrong_promise_is_found(tmp_path):
    environment = pages.shell(tmp_path / "bin")
    pages.run_command(pages.Command("echo a b; echo c", "a ...\nc\n"), tmp_path, environment)
    with pytest.raises(AssertionError, match="where the page has"):
        pages.run_command(pages.Command("echo a b", "a ... c"), tmp_path, environment)
    with pytest.raises(AssertionError, match="no_such_command"):
        pages.run_command(pages.Command("no_such_command", None), tmp_path, environment)
    with pytest.raises(AssertionError, match="1 \\+ 1"):
        pages.run_python("1 + 1  # → 3", {})


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link


def test_every_page_is_in_the_contents():
    index = (pages.ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w/-]+)$", index, flags=re.MULTILINE))
    names = {page.relative_to(pages.ROOT / "docs").with_suffix("").as_posix() for page in DOCS}
    notebooks = {path.stem for path in notebook.PATHS}
    there = names - {"index"} | notebooks | {"api/index"}
    assert there == listed


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_its_place_in_the_reference(name):
    texts = [page.read_text(encoding="utf-8") for page in API.glob("*.rst")]
    places = [re.search(rf"^\.\. auto\w+:: {name}$", text, flags=re.MULTILINE) for text in texts]
    assert sum(place is not None for place in places) == 1


@pytest.mark.parametrize("name", NAMES)
def test_every_public_member_has_a_docstring(name):
    """Without one it would be left out of the reference."""
    value = getattr(mpimages, name)
    assert value.__doc__
    if inspect.isclass(value) and not issubclass(value, BaseException):
        for member in dir(value):
            if not member.startswith("_"):
                found = inspect.getattr_static(value, member)
                plain = not callable(found) and not isinstance(found, (property, staticmethod))
                assert plain or inspect.getdoc(getattr(value, member)), member


def test_the_reference_lists_what_a_time_series_adds_to_a_series():
    listed = re.findall(r"automethod:: TimeSeries\.(\w+)", (API / "series.rst").read_text())
    added = set(dir(mpimages.TimeSeries)) - set(dir(mpimages.Series))
    assert sorted(listed) == sorted(name for name in added if name[0] != "_")


def test_citation_has_what_its_format_needs():
    citation = dict(
        re.findall(
            r"^([\w-]+): *(.*)$", (pages.ROOT / "CITATION.cff").read_text(), flags=re.MULTILINE
        )
    )
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
