"""Damaged files by the hundred in child processes: see `fuzz`; `make fuzz` reads more."""

from __future__ import annotations

import random
import shutil
import time

import pytest

from ..support.tallies import count
from . import fuzz
from .mutations import SEEDS, mutate, seeds

pytestmark = pytest.mark.slow

FILES = 60


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_files(tmp_path, kind):
    done, findings = fuzz.fuzz(kind, 7, FILES, time.monotonic() + 100, tmp_path)
    count("fuzz executions", done)
    assert not findings, "\n".join(findings)
    assert done == FILES


def test_the_files_follow_from_the_seed(tmp_path):
    for kind in SEEDS:
        place = seeds(kind, tmp_path / kind)[0]
        found = []
        for _ in range(2):
            out = tmp_path / "out"
            out.mkdir()
            mutate(place, out, random.Random("a"))
            files = [p for p in out.rglob("*") if p.is_file()]
            found.append({p.relative_to(out): p.read_bytes() for p in files})
            shutil.rmtree(out)
        assert found[0] == found[1]


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("import os; os.abort()", "signal 6"),
        ("raise KeyError('x')", "KeyError is not documented"),
        ("raise ValueError('x')", "the file is not named"),
        ("import time; time.sleep(9)", "hangs"),
        ("bytearray(1 << 40)", "memory"),
    ],
)
def test_what_goes_wrong_is_seen(tmp_path, monkeypatch, broken, told):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def broken(kind, place):\n"
        "    if 'seeds' not in str(place):\n"
        f"        {broken}\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        main = sys.modules.get('__main__')\n"
        "        if hasattr(main, 'read') and hasattr(main, 'trouble'):\n"
        "            main.read = broken\n"
        "            main.SECONDS = 2\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{fuzz.__file__.rsplit('/', 3)[0]}")
    work = tmp_path / "work"
    work.mkdir()
    _, findings = fuzz.run_child("npy", 1, 0, 2, work)
    assert findings
    assert told in findings[0]
