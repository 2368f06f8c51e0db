"""The examples on the pages of the documentation, as a reader would try them.

```python     statements in the order of the page, in one namespace. Where a line ends in
              "# → text", its value must print so.
```console    lines that begin with "$ " are commands for a shell, in one directory for the
              page; what follows is what they print, "..." standing for anything.

Blocks of any other kind are not run: what is wrong on purpose, and what needs a cluster.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .jobs import SECONDS, launcher

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]


class Command(NamedTuple):
    """A line for the shell, and what it prints; None where the page does not say."""

    line: str
    printed: str | None


def blocks(page: Path, kind: str) -> list[str]:
    """The page's blocks of one kind."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def scripts(page: Path) -> dict[str, str]:
    """The programs that the page tells its reader to save, by their names."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(
        r"^Save this as `(\w+\.py)`.*?^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL
    )
    return dict(found)


def write_labels(path: Path) -> None:
    """Regions 1 and 2 of the recordings of the pages, as another program saves them."""
    import numpy as np
    import tifffile

    labels = np.zeros((2, 76, 87), dtype=np.uint16)
    labels[0, 30:35, 20:26] = 1
    labels[1, 50:53, 40:44] = 2
    tifffile.imwrite(path, labels, photometric="minisblack")


def run_python(block: str, namespace: dict[str, Any]) -> int:
    """Execute a block; how many of its values were compared."""
    lines = block.splitlines()
    compared = 0
    for statement in ast.parse(block).body:
        promise = re.search(r"# → (.*)$", lines[(statement.end_lineno or 1) - 1])
        if promise is None:
            exec(compile(ast.Module([statement], []), "a page", "exec"), namespace)
            continue
        assert isinstance(statement, ast.Expr), ast.unparse(statement)
        value = eval(compile(ast.Expression(statement.value), "a page", "eval"), namespace)
        assert repr(value) == promise[1].strip(), ast.unparse(statement)
        compared += 1
    return compared


def commands(page: Path) -> list[Command]:
    """All of a page's commands."""
    found = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, printed = part.partition("\n")
            found.append(Command(line, printed or None))
    return found


def shell(directory: Path) -> dict[str, str]:
    """An environment in which this clone is what is installed."""
    directory.mkdir()
    mpiexec, *arguments = launcher()
    found = shutil.which(mpiexec)  # by its path, or the script below would call itself
    assert found is not None, mpiexec
    for name, command in {
        "python": [sys.executable],
        "mpimages": [sys.executable, "-m", "mpimages"],
        "mpiexec": [found, *arguments],
    }.items():
        script = directory / name
        script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        script.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{directory}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MPIMAGES_THREADS": "1",
        "MPLBACKEND": "Agg",
    }


def run_command(command: Command, directory: Path, environment: dict[str, str]) -> None:
    """Run a command, which must succeed and print what the page says."""
    job = subprocess.Popen(
        ["bash", "-c", command.line],
        cwd=directory,
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        printed, complaints = job.communicate(timeout=SECONDS)
    finally:
        with suppress(ProcessLookupError):  # nothing that it has started outlives it
            os.killpg(job.pid, signal.SIGKILL)
    assert job.returncode == 0, f"{command.line}\n{printed}{complaints}"
    if command.printed is not None:
        pattern = ".*?".join(map(re.escape, _trimmed(command.printed).split("...")))
        assert re.fullmatch(pattern, _trimmed(printed), re.DOTALL), (
            f"{command.line}\nprinted\n{printed}\nwhere the page has\n{command.printed}"
        )


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
