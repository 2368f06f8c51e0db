"""Shell completion: by the shell itself where it is there, and without loading MPI or NumPy."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from mpimages.cli import COMMANDS, cli

from ..support.jobs import PROGRAMS, SECONDS

LAZY = """
import sys
from mpimages.cli import cli
try:
    cli.main([])
except SystemExit:
    pass
heavy = {"mpi4py", "numpy", "h5py", "tifffile", "matplotlib", "imagecodecs"} & set(sys.modules)
assert not heavy, heavy
"""


def completing(words, **environment):
    """The environment of a completion of the last word."""
    return {
        **os.environ,
        "PYTHONPATH": str(PROGRAMS.parents[2]),
        "_MPIMAGES_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
        **environment,
    }


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["mpimages", "to-s"], ["plain,to-series"]),
        (["mpimages", ""], [f"plain,{name}" for name in COMMANDS]),
        (["mpimages", "project", "--kind", "st"], ["plain,stdev"]),
        (["mpimages", "info", "rec/im"], ["file,rec/im"]),
        (["mpimages", "view", "rec", "-o", "pi"], ["file,pi"]),
        (["mpimages", "verify", "a", "b"], ["file,b"]),
        (["mpimages", "stats", "rec", "--over"], ["plain,--overwrite"]),
    ],
)
def test_what_is_offered(words, answer):
    found = subprocess.run(
        [sys.executable, "-c", LAZY],
        env=completing(words),
        text=True,
        timeout=SECONDS,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert found.stdout.split() == answer


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell):
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_MPIMAGES_COMPLETE={shell}_complete" in result.output
    told = CliRunner().invoke(cli, ["completion"], env={"SHELL": f"/bin/{shell}"})
    assert told.output == result.output


def test_no_shell_is_known():
    for shell in ("", "/bin/ksh"):
        result = CliRunner().invoke(cli, ["completion"], env={"SHELL": shell})
        assert result.exit_code == 2
        assert "Name the shell: one of bash, zsh, fish" in result.output


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["mpimages", "to-s"], "to-series"),
        (["mpimages", "to-series", "rec", "--lay"], "--layout"),
        (["mpimages", "plan", "--format", "st"], "stack"),
    ],
)
def test_in_bash(tmp_path, words, answer):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    program = tmp_path / "mpimages"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mpimages "$@"\n')
    program.chmod(0o755)
    script = (
        f'eval "$(mpimages completion bash)"\nCOMP_WORDS=({shlex.join(words)})\n'
        f"COMP_CWORD={len(words) - 1}\n_mpimages_completion mpimages\n"
        'echo "${COMPREPLY[@]}"\ncomplete -p mpimages\n'
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROGRAMS.parents[2]),
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    }
    found = subprocess.run(
        [bash, "-c", script], env=environment, text=True, timeout=SECONDS, capture_output=True
    )
    assert found.stdout.splitlines()[0] == answer, found
    assert "-F _mpimages_completion mpimages" in found.stdout
    assert found.stderr == ""
