"""The command line's usage: help, mistakes, what it loads; and whole jobs of several ranks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from mpimages.cli import COMMANDS, cli

from ..support.jobs import PROGRAMS, SECONDS, Job

LAZY = """
import sys
from importlib import import_module
from mpimages.cli import cli
for arguments in (["--help"], ["--version"], ["to-series", "--help"], ["stats", "a", "b", "c"], []):
    try:
        cli.main(arguments)
    except SystemExit:
        pass
heavy = {"mpi4py", "numpy", "h5py", "tifffile", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""

WRONG = {
    "nothing": ([], ""),
    "completion: shell": (["completion", "ksh"], "fish"),
    "a command that is none": (["transform", "a"], "transform"),
    "convert: no OUT": (["convert", "a"], "'OUT'"),
    "slurm: none": (["slurm"], "JOB"),
    "doctor: two": (["doctor", "a", "b"], "unexpected"),
    "verify: none": (["verify"], "OUT"),
    "info: none": (["info"], "PATH"),
    "info: several": (["info", "r/a.tif", "r/b.tif"], "quote the pattern: 'r/*.tif'"),
    "info: empty": (["info", ""], "PATH is empty"),
    "info: format": (["info", "a", "--format", "jpg"], "jpg"),
    "info: dims": (["info", "a", "--dims", "3,x,-4"], "76,87,2"),
    "info: dtype": (["info", "a", "--dtype", "colour"], "colour"),
    "info: nplanes": (["info", "a", "--nplanes", "0"], "nplanes"),
    "info: start": (["info", "a", "--start", "soon"], "soon"),
    "plan: ranks": (["plan", "a", "--ranks", "0"], "ranks"),
    "plan: memory": (["plan", "a", "--memory", "much"], "much"),
    "to-series: no OUT": (["to-series", "a"], "'OUT'"),
    "to-series: none": (["to-series", "-o", "s"], "'PATH'"),
    "to-series: several": (["to-series", "r/a.tif", "r/b.tif", "s"], "quote the pattern"),
    "to-series: several -o": (["to-series", "r/a.tif", "r/b.tif", "-o", "s"], "quote the pattern"),
    "to-series: both": (["to-series", "a", "s", "--resume", "--overwrite"], "give one"),
    "to-series: binary layout": (["to-series", "a", "s", "--layout", "images"], "HDF5"),
    "to-series: binary gzip": (["to-series", "a", "s", "--compression", "gzip"], "HDF5"),
    "to-series: block": (["to-series", "a", "s.h5", "--block-size", "1MB"], "binary series"),
    "to-series: filter": (["to-series", "a", "s.h5", "--compression", "zip"], "zip"),
    "to-series: level": (["to-series", "a", "s.h5", "--compression", "gzip:x"], "gzip:4"),
    "to-series: chunks": (["to-series", "a", "s.h5", "--chunks", "big"], "big"),
    "to-series: OME": (["to-series", "a", "s.ome.zarr"], "of images"),
    "stats: no OUT": (["stats", "a"], "'OUT'"),
    "stats: several": (["stats", "a.tif", "b.tif", "c.tif", "o"], "Got 4 paths"),
    "report: several": (["report", "a.tif", "b.tif", "c.tif"], "quote the pattern"),
    "report: nothing": (["report"], "'PATH'"),
    "report: interval": (["report", "a", "--interval", "0"], "--interval"),
    "report: memory": (["report", "a", "--memory", "much"], "much"),
    "plan: register": (["plan", "a", "--register", "wobbly"], "wobbly"),
    "process: no OUT": (["process", "a", "--register", "rigid"], "'OUT'"),
    "process: file size": (
        ["process", "a", "s.h5", "--register", "rigid", "--file-size", "1MB"],
        "--file-size is of a binary series",
    ),
    "process: interval": (
        ["process", "a", "s", "--register", "rigid", "--interval", "2"],
        "--interval is of --report FILE",
    ),
    "process: no method": (["process", "a", "s"], "--register METHOD"),
    "process: both": (
        ["process", "a", "s", "--register", "rigid", "--apply-model", "m"],
        "without",
    ),
    "process: a file": (["process", "a", "s.tif", "--register", "rigid"], "binary series"),
    "register: method": (["register", "a", "b", "--method", "wobbly"], "wobbly"),
    "register: a file": (["register", "a", "p.png"], "directory of pictures"),
    "register: shift": (["register", "a", "b", "--max-shift", "far"], "far"),
    "project: kind": (["project", "a", "p", "--kind", "mode"], "mode"),
    "project: axis": (["project", "a", "p", "--axis", "3"], "axis"),
    "project: a file": (["project", "a", "p.png"], "directory of pictures"),
    "project: PNGs in a TIFF": (["project", "a", "p.tif", "--png"], "give one or the other"),
    "stats: a file": (["stats", "a", "p.PNG"], "directory of pictures"),
    "example: a file": (["example", "p.tiff"], "directory of pictures"),
    "project: no OUT": (["project", "a"], "'OUT'"),
    "view: nothing": (["view", "a"], "one of the two"),
    "view: both": (["view", "a", "--image", "0", "--pixel", "1,1"], "one of the two"),
    "view: a plane of a pixel": (["view", "a", "--pixel", "1,1", "--plane", "0"], "R,C,P"),
    "view: pixel": (["view", "a", "--pixel", "1,2,3,4"], "R,C,P"),
    "view: no picture": (["view", "a", "b.tif", "--image", "0"], ".png"),
    "view: picture of JSON": (["view", "a", "b.png", "--image", "0", "--json"], "give one"),
    "view: several": (["view", "a.tif", "b.tif", "c.tif", "--image", "0"], "quote the pattern"),
    "view: none": (["view", "--image", "0"], "'PATH'"),
    "example: none": (["example"], "'OUT'"),
    "example: two": (["example", "a", "-o", "b"], "one OUT"),
    "example: name": (["example", "a", "--name", "cat"], "cat"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_is_answered_in_words(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, says = WRONG[case]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2, result.output
    assert "Usage: mpimages" in result.output
    assert says in result.output
    assert "Traceback" not in result.output
    assert os.listdir(tmp_path) == []


def test_every_command_has_a_wrong_usage_above():
    assert {case.split(":")[0] for case in WRONG} >= set(COMMANDS)


def test_two_files_of_a_pattern_are_no_path_and_out(tmp_path):
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(b"")
    result = CliRunner().invoke(cli, ["stats", str(tmp_path / "a.tif"), str(tmp_path / "b.tif")])
    assert result.exit_code == 2
    assert "quote the pattern" in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_with_an_example(command):
    result = CliRunner().invoke(cli, [command, "--help"])
    assert result.exit_code == 0
    assert re.search(rf"Examples?:\s.*mpimages {command} ", result.output, re.DOTALL)


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_help_has_each_command_with_its_whole_sentence(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    help_of_all = click.Context(cli, terminal_width=min(int(columns), 80) - 2).get_help()
    lines = help_of_all.partition("Commands:")[2].splitlines()
    assert max(map(len, lines)) <= int(columns)
    said = " ".join(" ".join(lines).split())
    for name, module in COMMANDS.items():
        command = import_module(f"mpimages.commands.{module}").command
        assert f"{name} {' '.join(command.help.split(chr(10) * 2)[0].split())}" in said


def test_help_of_all():
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for said in (*COMMANDS, "Exit codes", "75"):
        assert said in result.output


def test_it_starts_without_mpi_and_numpy():
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=SECONDS, capture_output=True)


# -- whole jobs ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 3])
def test_one_voice_and_one_exit_code(tmp_path, ranks):
    rec = tmp_path / "rec"
    for arguments, code, says in (
        (["example", rec], 0, "20 simulated images"),
        (["to-series", rec, tmp_path / "s"], 0, "13,224 series"),
        (["info", tmp_path / "none"], 1, "Error: "),
        (["info"], 2, "Missing argument 'PATH'"),
        (["stats", "--help"], 0, "Usage: mpimages stats"),
        (["stats", rec, rec], 2, "choose another OUT"),
    ):
        with Job(ranks, "command.py", *arguments) as job:
            assert job.wait() == code, job.output
        assert job.output.count(says) == 1, job.output
        assert "Traceback" not in job.output


@pytest.mark.slow
def test_a_rank_that_fails_alone_ends_the_job(tmp_path):
    with Job(3, "command.py", "info", tmp_path, FAIL="1") as job:
        assert job.wait() != 0
    assert "Error: rank 1" in job.output
    assert "made to fail" in job.output


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_interrupted_while_it_starts_ends_the_job(tmp_path, rank):
    with Job(2, "command.py", "info", tmp_path, INTERRUPT=f"{rank}") as job:
        assert job.wait() not in (0, 75)
    assert job.output.count("Error: interrupted") == (rank == 0)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code"), [("ValueError", 1), ("KeyboardInterrupt", 75)])
def test_all_ranks_fail_outside_of_an_agreement(tmp_path, kind, code):
    with Job(2, "command.py", "info", tmp_path, FAIL=f"-1:{kind}") as job:
        assert job.wait() == code, job.output
    assert job.output.count("Error: ") == 1
    assert "Traceback" not in job.output


def alone(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m mpimages``, one process."""
    return subprocess.run(
        [sys.executable, "-m", "mpimages", *map(str, arguments)],
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(PROGRAMS.parents[2]), **environment},
    )


@pytest.mark.slow
def test_singletons_write_nothing_and_the_first_says_why(tmp_path):
    for rank in "01":
        job = alone("example", tmp_path / "rec", PMI_SIZE="2", PMI_RANK=rank)
        assert job.returncode == 1
        assert ("PMI_SIZE=2" in job.stdout) == (rank == "0")
        assert "Traceback" not in job.stdout
    assert os.listdir(tmp_path) == []
    job = alone("doctor", tmp_path, "--json", PMI_SIZE="2", PMI_RANK="0")
    assert job.returncode == 1
    found = {one["topic"]: one["status"] for one in json.loads(job.stdout)["findings"]}
    assert found["launcher"] == "problem"
    assert "series" not in found
