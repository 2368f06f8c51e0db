"""docs/scaling.md: what each action costs as a function of ranks and hosts, held by counting.

One process stands for rank 0 of thousands (`counting.Alone`), on which the real code runs; and real
jobs of many ranks on few cores are counted.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from ..support.jobs import run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "scaling.md"
OPERATIONS = ("open", "stat", "list", "make", "remove", "sync")
# Of real jobs: 128 take minutes on two cores. R ⌈log₂ R⌉ grows less than R^1.3 from 20 to 40.
RANKS = tuple(map(int, os.environ.get("MPIMAGES_TEST_SCALES", "20,40").split(",")))
HOSTS = 4
# Totals grow less than this power of the ranks.
POWER = 1.3


def table(first: str) -> dict[str, dict[str, str]]:
    """The rows of the page's table whose first column has this title, by their first cell."""
    rows: list[list[str]] = []
    lines = iter(PAGE.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            titles = [cell.strip() for cell in line.strip("|").split("|")]
            next(lines)
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append([cell.strip() for cell in row.strip("|").split("|")])
    assert rows, f"no table of {first}"
    return {row[0].strip("`"): dict(zip(titles[1:], row[1:], strict=True)) for row in rows}


def value(expression: str, ranks: int, hosts: int) -> float:
    """What an expression such as ``22 L + H`` is for so many ranks and hosts, and one file each."""
    assert re.fullmatch(r"[0-9. RHLN+×*()kM-]+", expression), expression
    units = {"k": 10**3, "M": 10**6}
    names = {"R": ranks, "H": hosts, "L": math.ceil(math.log2(ranks)), "N": ranks, **units}
    product = re.sub(r"(?<=[0-9RHLN)kM]) ?(?=[RHLN(kM])", " * ", expression).replace("×", "*")
    return float(eval(product, {"__builtins__": {}}, names))


@pytest.fixture(scope="module")
def quick():
    """A directory in memory, if there can be one."""
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="mpimages-", dir=base) as path:
        yield Path(path)


@pytest.fixture(scope="module")
def library(quick):
    """The library that counts what is asked of the file system."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    target = quick / "metadata.so"
    source = ROOT / "tests" / "support" / "metadata.c"
    flags = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC"]
    subprocess.run(["gcc", *flags, "-o", target, source, "-ldl"], check=True)
    return target


def counted(quick, library, ranks, *figures, **environment):
    home = Path(tempfile.mkdtemp(dir=quick))
    printed = run(
        ranks,
        "counted.py",
        home,
        *figures,
        METADATA_ROOT=str(home),
        LD_PRELOAD=str(library),
        TMPDIR=str(quick),
        MPIMAGES_SHARED_MEMORY="1",
        **environment,
    )
    shutil.rmtree(home)
    return json.loads(printed.splitlines()[-1])


@pytest.fixture(scope="module", params=[(1024, 64), (4096, 64), (4096, 256)], ids=str)
def alone(request, quick, library):
    """Ranks, hosts, and what each action costs rank 0."""
    return (*request.param, counted(quick, library, 1, *request.param))


# The page may be a little above what is counted, so that it can be read.
NEAR = 0.5


def test_rank_0_sends_what_the_page_says(alone):
    ranks, hosts, costs = alone
    said = table("action")
    assert set(said) >= set(costs)
    wrong = []
    for action, cost in costs.items():
        for what, tolerance in (("calls", NEAR), ("messages", NEAR), ("bytes", NEAR / 2)):
            told = value(said[action][what], ranks, hosts)
            found = cost[what]["most"]
            if not tolerance * told <= found <= told:
                wrong.append(f"{action}: {found:.0f} {what}, the page: {said[action][what]}")
    assert not wrong, "\n".join(wrong)


def operations(cell: str, ranks: int, hosts: int) -> dict[str, float]:
    """What a cell such as ``5 open, 2 N stat`` says of each operation."""
    found = dict.fromkeys(OPERATIONS, 0.0)
    for part in filter(None, cell.replace("–", "").split(", ")):
        number, kind = part.rsplit(" ", 1)
        found[kind] += value(number, ranks, hosts)
    return found


def test_rank_0_asks_of_the_file_system_what_the_page_says(alone):
    ranks, hosts, costs = alone
    said = table("of the file system")
    assert set(said) >= set(costs)
    wrong = []
    for action, cost in costs.items():
        cells = [operations(cell, ranks, hosts) for cell in said[action].values()]
        # There are no files of the hosts that are not there.
        own = [operations(cell, ranks, 1) for cell in said[action].values()]
        for kind in OPERATIONS:
            told, found = sum(cell[kind] for cell in cells), cost[kind]["most"]
            if not NEAR * sum(cell[kind] for cell in own) <= found <= told:
                wrong.append(f"{action}: {found} {kind}, the page: {told:.0f}")
    assert not wrong, "\n".join(wrong)


def test_the_places_in_the_code_are_there():
    places = re.findall(r"`([a-z_/0-9]+\.py)(?:: ([A-Za-z_.]+))?`", PAGE.read_text())
    assert len(places) > 10
    for path, name in places:
        base = ROOT if path.startswith("tests") else ROOT / "mpimages"
        text = (base / path).read_text()
        assert not name or re.search(rf"\b(def|class) {name.split('.')[-1]}\b", text), (path, name)


@pytest.mark.slow
def test_totals_of_many_ranks_grow_less_than_their_power(quick, library):
    said, asked = table("action"), table("of the file system")
    found = {
        ranks: counted(quick, library, ranks, MPIR_CVAR_NUM_CLIQUES=str(HOSTS)) for ranks in RANKS
    }
    few, many = min(found), max(found)
    wrong = []
    for action, cost in found[many].items():
        for what in ("calls", "messages"):
            before = found[few][action][what]["total"]
            if cost[what]["total"] > before * (many / few) ** POWER:
                wrong.append(f"{action}: {before} {what}, then {cost[what]['total']}")
        for ranks in (few, many):
            cost = found[ranks][action]
            told = value(said[action]["messages"], ranks, HOSTS)
            if cost["messages"]["most"] > told:
                wrong.append(f"{action}: {cost['messages']['most']} messages of a rank, {told:.0f}")
            first, lead, every = (operations(c, ranks, HOSTS) for c in asked[action].values())
            for kind in OPERATIONS:
                most = first[kind] + HOSTS * lead[kind] + ranks * every[kind]
                if cost[kind]["total"] > most:
                    wrong.append(f"{action}: {cost[kind]['total']} {kind} in all, {most:.0f}")
    assert not wrong, "\n".join(wrong)
