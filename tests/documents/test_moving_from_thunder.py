"""docs/moving-from-thunder.md names all of Thunder once, and what it says to be here is here."""

import re
from typing import NamedTuple

import pytest

import mpimages
from tests.support import pages

from .thunder_names import NAMES, all_names

PAGE = pages.ROOT / "docs" / "moving-from-thunder.md"
NOT_HERE = "not here"
# What may be not here without anything instead: it leans on Spark, or on a service that is gone.
REASONS = ("Spark: ", "S3: ", "OCP: ", "MATLAB: ", "Streaming: ")
CODE = re.compile(r"`([^`]+)`")


class Row(NamedTuple):
    """A row of one of the page's tables."""

    names: tuple[str, ...]
    here: str
    told: str

    def covers(self, name: str) -> bool:
        """Whether this row is about a name; `Class.*` stands for those of a class."""
        kind, _, member = name.partition(".")
        return name in self.names or (member != "" and f"{kind}.*" in self.names)


def rows():
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 2:
            cells.append("")  # nothing is different
        if line.startswith("| ") and cells[0] != "Thunder":
            assert len(cells) == 3, line
            found.append(Row(tuple(CODE.findall(cells[0])), cells[1], cells[2].rstrip(" |")))
    return found


ROWS = rows()


def label(row):
    return row.names[0]


def test_the_lists_have_each_name_once():
    for version, kinds in NAMES.items():
        for kind, names in kinds.items():
            listed = names.split()
            assert len(listed) == len(set(listed)), f"{version} {kind}"
    assert len(all_names()) > 250


@pytest.mark.parametrize("name", all_names())
def test_each_name_of_thunder_has_one_row(name):
    assert sum(row.covers(name) for row in ROWS) == 1


def test_the_rows_are_of_thunder():
    names = set(all_names())
    kinds = {name.split(".")[0] for name in names if "." in name}
    for row in ROWS:
        for name in row.names:
            kind, _, member = name.partition(".")
            assert name in names or (member == "*" and kind in kinds), name


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_what_is_said_to_be_here_is_here(row):
    if row.here == NOT_HERE:
        return
    named = CODE.findall(row.here)
    assert named, row
    assert re.fullmatch(r"`[\w.]+`(, `[\w.]+`)*", row.here), row.here
    for name in named:
        kind, _, member = name.partition(".")
        kind = "ThunderContext" if kind == "tsc" else kind
        assert kind in mpimages.__all__, f"{kind} is no public name"
        public = [entry for entry in dir(getattr(mpimages, kind)) if not entry.startswith("_")]
        assert not member or member in public, f"{name} is not there"


@pytest.mark.parametrize("row", [row for row in ROWS if row.here == NOT_HERE], ids=label)
def test_what_is_not_here_has_a_reason(row):
    assert row.told.startswith(REASONS) or re.search(r"\binstead\b", row.told), row.told


def test_code_in_the_rows_is_of_thunder_or_of_python():
    """A method that is praised as the way out is there, if it looks like a name of ours."""
    public = {name for kind in mpimages.__all__ for name in dir(getattr(mpimages, kind))}
    for row in ROWS:
        for call in re.findall(r"`(?:images|series|data|blocks|model)\.(\w+)\(", row.told):
            assert call in public, f"{call} in the row of {row.names[0]}"
