"""Every example in a command's help does what it says, and mistakes that new users make."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from mpimages.cli import COMMANDS, cli

# What NWB demands, but for the identifier.
FACTS = {
    "sessionDescription": "a simulated fish",
    "sessionStartTime": "2026-03-01T14:30:00+01:00",
    "series": "ImageSeries",
    "frameInterval": 0.25,
}
LAUNCHERS = re.compile(r"^(mpiexec -n \d+ |srun (-n \d+ |--mpi=\w+ )*)")


def invoke(*arguments, code=0):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stdout if code == 0 else result.output


def examples(command):
    """The lines of a command's help that begin with a call of it, without launcher or comment."""
    lines = invoke(*([] if command is None else [command]), "--help").splitlines()
    name = "mpimages" if command is None else f"mpimages {command}"
    found = [line.strip().removeprefix("Example: ").removeprefix("eval ") for line in lines]
    found = [LAUNCHERS.sub("", line) for line in found]
    return [line for line in found if line.startswith(f"{name} ")]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with what the examples name."""
    import tifffile

    monkeypatch.chdir(tmp_path)
    invoke("example", "recording/")
    (tmp_path / "movies").mkdir()
    for i in range(2):
        movie = np.arange(60, dtype="u2").reshape(5, 4, 3) + i
        tifffile.imwrite(f"movies/{i}.tif", movie, photometric="minisblack")
    return tmp_path


def test_the_examples_of_all_commands_together(place):
    found = examples(None)
    assert len(found) == 3
    for line in found:
        invoke(*shlex.split(line)[1:])


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_the_help(place, command):
    if command == "example":
        shutil.rmtree("recording")
    if command in ("verify", "view"):
        invoke("to-series", "recording", "series")
        invoke("to-series", "recording", "series.h5")
    if command == "convert":
        (place / "facts.json").write_text(json.dumps(FACTS))
    if command == "register":
        shutil.copytree("recording", "red")
    if command == "process":
        import tifffile

        tifffile.imwrite("dark.tif", np.zeros((2, 76, 87), "u1"), photometric="minisblack")
    if command == "report":
        invoke("process", "recording", "series.h5", "--register", "rigid")
    found = examples(command)
    assert found or command == "completion"
    for line in found:
        if "/scratch/" in line:
            line = line.replace("/scratch/results", str(place))
        words = shlex.split(line, comments=True)
        if ">" in words:
            words = words[: words.index(">")]
        invoke(*words[1:])
        if command in ("to-series", "stats", "project", "convert"):
            out = Path(_out_of(words))
            invoke("verify", out)
            shutil.rmtree(out) if out.is_dir() else out.unlink()  # each example for itself


def _out_of(words):
    """OUT of a call: after -o, or the second of its arguments."""
    if "-o" in words:
        return words[words.index("-o") + 1]
    return words[3]


# -- what a new user gets wrong ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["verfy"], "Did you mean 'verify'?"),
        (["to_series", "a", "b"], "Did you mean 'to-series'?"),
        (["info", "a", "--nplane", "1"], "--nplanes"),
        (["info", "a", "b"], "Got 2 paths (a b): give one, or quote the pattern"),
        (["to-series", "movie.tif", "s.h5", "-o", "t.h5"], "Got OUT twice, s.h5 and t.h5"),
        (["to-series", "movie.tif", "x.tif"], "a binary series, unless it ends in .h5"),
        (["stats", "movie.tif", "x.h5"], "a name without .h5"),
        (["project", "movie.tif", "x.tif/"], "a name without .tif"),
        (["verify", ""], "OUT is empty"),
        (["doctor", ""], "PATH is empty"),
    ],
)
def test_wrong_usage_says_what_is_meant(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in invoke(*arguments, code=2)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["info", "recording", "--start", "50"],
            "selects none of the 20 images (here startIdx= is --start)",
        ),
        (
            ["info", "recording", "--format", "stack"],
            "(here dims= is --dims; dtype= is --dtype; shape= is --shape)",
        ),
        (
            ["info", "recording", "--format", "stack", "--dims", "76,87,2"],
            "need dtype=, and recording/conf.json does not exist (here dtype= is --dtype)\n",
        ),
        (["to-series", "series", "s"], "a Series, not images: loadSeries loads it, and `mpimages"),
        (["project", "movies", "p", "--nplanes", "1", "--axis", "1"], "have no axis 2"),
    ],
)
def test_errors_in_the_words_of_the_command_line(place, arguments, says):
    invoke("to-series", "recording", "series")
    before = sorted(os.listdir(place))
    assert says in invoke(*arguments, code=1)
    assert sorted(os.listdir(place)) == before


def test_a_movie_that_is_taken_for_a_volume(place):
    hint = "Note: movies/0.tif is taken for one volume of 5 pages"
    result = CliRunner().invoke(cli, ["stats", "movies/0.tif", "st", "--json"])
    assert hint in result.stderr
    assert json.loads(result.stdout)["images"] == 1
    for options in (["movies/0.tif", "--nplanes", "1"], ["movies"]):
        assert "Note" not in CliRunner().invoke(cli, ["info", *options]).output
    assert "of 1 image," in invoke("stats", "movies/0.tif", "again")


def test_series_as_json(place):
    found = json.loads(invoke("to-series", "recording", "s.h5", "--json"))
    assert found.pop("seconds") > 0
    assert found == {
        "out": "s.h5",
        "format": "hdf5",
        "series": 76 * 87 * 2,
        "values": 20,
        "dims": [76, 87, 2],
        "dtype": "uint8",
        "bytes": 76 * 87 * 2 * 20,
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_directories_that_may_not_be_used(place):
    Path("locked").mkdir()
    Path("movies/0.tif").rename("locked/0.tif")
    Path("locked").chmod(0)
    Path("closed").mkdir(0o555)
    try:
        for command in (["info"], ["view", "--image", "0"], ["plan"]):
            for path in ("locked", "locked/0.tif"):
                assert f"Error: {path}: Permission denied" in invoke(*command, path, code=1)
        assert "locked/0.tif: cannot be verified: Permission denied" in invoke(
            "verify", "locked/0.tif", code=1
        )
        for command in ("to-series", "stats", "project"):
            assert "closed: cannot be written: Permission denied" in invoke(
                command, "recording", "closed/out", code=1
            )
    finally:
        Path("locked").chmod(0o755)


def test_a_path_behind_a_closed_door(monkeypatch):
    """As a user other than root finds it."""
    from mpimages.errors import not_found

    def closed(path):
        raise PermissionError(13, "Permission denied", path)

    assert isinstance(not_found("nowhere", "none"), FileNotFoundError)
    monkeypatch.setattr(os, "lstat", closed)
    assert isinstance(not_found("nowhere", "none"), PermissionError)
