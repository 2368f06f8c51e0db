"""`mpimages slurm`: what it prints, what it refuses, and the examples that it has printed."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from mpimages.cli import COMMANDS, cli
from mpimages.commands import slurm

from ..support.jobs import SECONDS

EXAMPLES = Path(__file__).parents[2] / "examples" / "slurm"
PRINTED = ("array.sh", "convert.sh", "resume.sh", "stats.sh")
ASKED = ("--ntasks", "4", "--mem", "4G", "--time", "60")
WITHOUT_MPI = """
import sys
from mpimages.cli import cli
try:
    cli.main(sys.argv[1:])
except SystemExit as ending:
    assert ending.code == 0, ending.code
assert "mpi4py.MPI" not in sys.modules
"""


@pytest.fixture
def say(tmp_path, monkeypatch):
    """Runs `mpimages slurm` in an empty directory, where `mpimages` is on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(slurm, "find_beside_python", {"mpimages": "mpimages"}.get)

    def run(*arguments, code=0):
        result = CliRunner().invoke(cli, ["slurm", *map(str, arguments)])
        assert result.exit_code == code, result.output
        assert "Traceback" not in result.output
        return result.stdout if code == 0 else result.output

    return run


def command_of(script):
    """The words of the command that a script starts."""
    (line,) = (line for line in script.splitlines() if line.startswith("srun "))
    return shlex.split(line)


def options_of(script):
    return [
        line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")
    ]


# -- the examples --------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_is_what_its_third_line_prints(say, name):
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    words = shlex.split(text.splitlines()[2].removeprefix("# "))
    assert words[:2] == ["mpimages", "slurm"]
    assert say(*words[2:]) == text


def test_every_example_is_on_the_page():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.sh"):
        assert f"]({path.name})" in page


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("how", ["pmix", "mpiexec"])
def test_shellcheck(say, tmp_path, how):
    say("-o", "job.sh", "to-series", "a b's", "s", "--mpi", how, "--setup", "module load gcc")
    say("-o", "jobs.sh", "--array", "to-series", "a b's", "c", "-o", "{}/s.h5", "--mpi", how)
    scripts = ["job.sh", "jobs.sh", *EXAMPLES.glob("*.sh")]
    subprocess.run(["shellcheck", *scripts], cwd=tmp_path, check=True, timeout=SECONDS)


# -- what is printed -----------------------------------------------------------------------


def test_options_are_the_scripts_or_the_jobs_wherever_they_stand(say, tmp_path):
    script = say(
        "--nodes",
        2,
        "to-series",
        "--time=1-12",
        "r",
        "--memory",
        "1GB",
        "--ntasks",
        "64",
        "-os.h5",
        "--mpi",
        "pmi2",
        "--dataset=--nodes",
        "--sbatch=--qos=long",
    )
    assert options_of(script)[1:6] == [
        "--nodes=2",
        "--ntasks=64",
        "--time=1-12",
        "--qos=long",
        "--signal=TERM@120",
    ]
    assert command_of(script) == [
        "srun",
        "--mpi=pmi2",
        "mpimages",
        "to-series",
        str(tmp_path / "r"),
        "-o",
        str(tmp_path / "s.h5"),
        "--memory",
        "1GB",
        "--dataset=--nodes",
        "--resume",
    ]


def test_options_that_both_have_are_the_jobs_behind_its_name(say, tmp_path):
    say("-o", "job.sh", "stats", "r", "-o", "out", "--overwrite")
    assert command_of((tmp_path / "job.sh").read_text())[-3:] == [
        "-o",
        str(tmp_path / "out"),
        "--overwrite",
    ]


@pytest.mark.parametrize(
    "path", ['it\'s $HOME `x` "y" *.tif', "a\nb", "-x", "ä", "~/r", "{launch} {margin}"]
)
def test_whatever_the_path_the_shell_gives_it_back(say, tmp_path, monkeypatch, path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    script = say("info", "--job-name", "x", "--", path)
    ran = subprocess.run(
        ["bash", "-c", f"srun() {{ printf '%s\\0' \"$@\"; }}\n{script}"],
        stdout=subprocess.PIPE,
        check=True,
        timeout=SECONDS,
    ).stdout
    wanted = tmp_path / path if path[0] != "~" else tmp_path / "home" / "r"
    assert ran.split(b"\0")[1:-1] == [b"mpimages", b"info", os.fsencode(wanted)]


def test_setup_comes_before_the_job_and_behind_what_sbatch_reads(say):
    lines = ("module load gcc", "source 'a b/activate'\nexport X=1")
    script = say("to-series", "r", "s", "--setup", lines[0], "--setup", lines[1])
    assert f':-1800}}"\n{lines[0]}\n{lines[1]}\n\n# Should' in script
    assert script.index(lines[0]) > script.rindex("#SBATCH")
    assert script.index(lines[1]) < script.index("srun --mpi")


def ran_as_task(script, number, place):
    """The words that task `number` of an array gives to srun."""
    done = subprocess.run(
        ["bash", "-c", f"srun() {{ printf '%s\\0' \"$@\"; }}\n{script}"],
        env={**os.environ, "SLURM_ARRAY_TASK_ID": str(number)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=SECONDS,
        cwd=place,
    )
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("more", [[], ["--mpi", "pmi2", "--no-requeue", "--memory", "1GB"]])
def test_each_task_of_an_array_has_its_recording_and_its_output(say, tmp_path, more):
    names = ["it's $HOME", "rec 2", "rec 10"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "rec 10.tif").touch()  # not what the pattern means
    (tmp_path / "movie.a.tif").touch()
    paths = [names[0], "rec*[0-9]", "movie.a.tif", "rec 2"]
    script = say("--array", "to-series", *paths, "-o", "out/{}/{}.h5", *more)
    assert "--array=0-3" in options_of(script)
    for task, name in enumerate([*names, "movie.a"]):
        words = ran_as_task(script, task, tmp_path)
        path = tmp_path / (name if name in names else "movie.a.tif")
        out = tmp_path / "out" / name / f"{name}.h5"
        assert words[1:6] == ["mpimages", "to-series", str(path), "-o", str(out)]
        assert out.parent.is_dir()  # srun does nothing here
        assert ("--resume" in words) == ("--no-requeue" not in more)
        assert ("1GB" in words) == ("--memory" in more)
    assert say(*shlex.split(script.splitlines()[2])[3:]) == script


@pytest.mark.parametrize(
    ("left", "says"),
    [
        ([], []),
        (ASKED[:2], ["--ntasks"]),
        (ASKED[2:4], ["--mem-per-cpu"]),
        (ASKED[4:], ["--time"]),
        (ASKED, ["--ntasks", "--mem-per-cpu", "--time"]),
    ],
    ids=lambda words: "-".join(words)[:10],
)
def test_what_is_left_to_the_cluster_is_said_beside_the_script(say, left, says):
    given = [word for word in ASKED if word not in left]
    said = CliRunner().invoke(cli, ["slurm", "stats", "r", "s", *given]).stderr.splitlines()
    assert [line.split()[1] for line in said] == says
    through = ["--sbatch=-n4", "--sbatch=--mem=0", "--sbatch=-t5"]
    assert CliRunner().invoke(cli, ["slurm", "stats", "r", "s", *through]).stderr == ""


def test_only_what_can_go_on_is_queued_again(say):
    for arguments in (
        ["stats", "r", "s"],
        ["convert", "r", "s.tif", "--overwrite"],
        ["to-series", "r", "s", "--no-requeue"],
    ):
        script = say(*arguments)
        assert "--signal" not in script
        assert "scontrol" not in script
    assert "--no-requeue" in options_of(script)
    assert "--resume" not in script
    assert command_of(say("to-series", "r", "s", "--resume")).count("--resume") == 1
    assert command_of(say("convert", "r", "s.h5"))[-1] == "--resume"
    words = command_of(say("convert", "r", "s.nwb", "--nwb", "a=b c", "--nwb-file", "f.json"))
    assert words[-5:] == ["--nwb", "a=b c", "--nwb-file", f"{os.getcwd()}/f.json", "--resume"]
    refused = say("convert", "r", "s.h5", "--overwrite", code=2)
    assert "convert --overwrite would begin anew" in refused


def test_mpiexec_gets_the_signal_from_the_script(say, monkeypatch):
    script = say("to-series", "r", "s", "--mpi", "mpiexec", "--margin", "60")
    assert "--signal=B:USR1@60" in options_of(script)
    assert 'mpiexec -n "${SLURM_NTASKS:-$SLURM_JOB_NUM_NODES}" mpimages to-series' in script
    monkeypatch.setattr(slurm, "find_beside_python", "/a venv/bin/{}".format)
    assert "\n'/a venv/bin/mpiexec' -n" in say("stats", "r", "s")


def test_the_program_is_the_one_that_prints():
    program = slurm.find_beside_python("mpimages")
    assert os.path.dirname(program) == os.path.dirname(sys.executable)
    done = subprocess.run(
        [program, "--version"], timeout=SECONDS, stdout=subprocess.PIPE, check=True, text=True
    )
    assert done.stdout.startswith("mpimages ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "job",
    [
        ["to-series", "r", "s.h5", "--memory", "4GB", "--compression", "gzip:3"],
        ["stats", "r", "s"],
        ["project", "r", "p"],
        ["verify", "s", "t"],
        ["doctor", "d"],
        ["example", "e"],
        ["plan", "r", "--memory", "1GB"],
        ["info", "r", "--dtype", "uint8"],
    ],
    ids=lambda job: job[0],
)
def test_it_starts_no_mpi_and_does_nothing(tmp_path, job):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MPI, "slurm", *job],
        cwd=tmp_path,
        timeout=SECONDS,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("#!/bin/bash\n")
    assert os.listdir(tmp_path) == []


def test_every_other_command_can_be_a_job(say):
    for name in COMMANDS:
        says = say(name, "--help", code=2 if name == "slurm" else 0)
        assert name == "slurm" or f"mpimages {name}" in says


def test_one_rank_of_several_prints(say, monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    monkeypatch.setenv("PMI_RANK", "1")
    assert say("-o", "job.sh", "stats", "r", "s") == ""
    assert os.listdir() == []


# -- into a file ---------------------------------------------------------------------------


def test_into_a_file(say, tmp_path):
    printed = say("stats", "r", "s")
    assert "sbatch job.sh" in say("-o", "job.sh", "stats", "r", "s")
    job = tmp_path / "job.sh"
    assert job.read_text() == printed
    assert job.stat().st_mode & stat.S_IXUSR
    assert "--overwrite" in say("-o", "job.sh", "stats", "r", "t", code=1)
    assert job.read_text() == printed
    say("-o", "job.sh", "--overwrite", "stats", "r", "t")
    assert job.read_text() == say("stats", "r", "t")


@pytest.mark.parametrize("kind", ["other", "directory"])
def test_only_its_own_scripts_are_replaced(say, tmp_path, kind):
    there = tmp_path / "there"
    if kind == "other":
        there.write_text("#!/bin/bash\n" + slurm.HEAD.decode())
    else:
        there.mkdir()
    assert "Error: " in say("-o", there, "--overwrite", "stats", "r", "s", code=1)
    assert there.exists()


def test_no_such_directory(say):
    assert "nowhere" in say("-o", "nowhere/job.sh", "stats", "r", "s", code=1)


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Missing argument 'JOB'"),
        (["--nodes", "2"], "Missing argument 'JOB'"),
        (["transform", "a", "b"], "'transform'"),
        (["slurm", "stats", "a", "b"], "'slurm'"),
        (["to-series", "a"], "'OUT'"),
        (["to-series", "a.tif", "b.tif", "s"], "quote the pattern"),
        (["to-series", "a", "s", "--resume", "--overwrite"], "give one"),
        (["to-series", "a", "s", "--overwrite"], "--no-requeue"),
        (["to-series", "a", "s", "--memory", "much"], "much"),
        (["stats", "a", "b.tif"], "directory of pictures"),
        (["stats", "a", "b", "--nods", "3"], "--nods"),
        (["stats", "a", "b", "--nodes"], "requires an argument"),
        (["stats", "a", "b", "--nodes", "0"], "nodes"),
        (["stats", "a", "b", "--time", "soon"], "soon"),
        (["stats", "a", "b", "--time", "1:2:3:4"], "1:2:3:4"),
        (["to-series", "a", "s", "--time", "0:03:00"], "--margin"),
        (["to-series", "a", "s", "--margin", "5"], "margin"),
        (["stats", "a", "b", "--mem", "4X"], "4X"),
        (["stats", "a", "b", "--mem", "4G", "--mem-per-cpu", "1G"], "exclude"),
        (["stats", "a", "b", "--partition", "a b"], "a b"),
        (["stats", "a", "b", "--account", "a\n#SBATCH --nodes=9"], "account"),
        (["stats", "a", "b", "--sbatch", "long"], "--qos=long"),
        (["stats", "a", "b", "--sbatch", "--qos=a\nrm"], "--qos=long"),
        (["stats", "a", "b", "--mpi", "$(x)"], "mpi"),
        (["stats", "a", "b", "--setup", "echo '"], "bash cannot read it"),
        (["stats", "a", "b", "--setup", "a\x1b"], "cannot be printed"),
        (["--array"], "Missing argument 'JOB'"),
        (["--array", "info", "a"], "--array is for"),
        (
            ["--array", "process", "a", "-o", "{}", "--register", "rigid", "--report", "r.html"],
            "the same --report",
        ),
        (["--array", "stats", "-o", "{}"], "Missing argument 'PATH'"),
        (["--array", "stats", "a", "b"], "'results/{}.h5'"),
        (["--array", "stats", "a", "b", "-o", "all"], "'results/{}.h5'"),
        (["--array", "stats", "a", "b/a", "-o", "{}-s"], "would have one output"),
        (["--array", "stats", "x*", "-o", "{}-s"], "no recording is called 'x*'"),
        (["--array", "stats", "a", "-o", "{}.tif"], "directory of pictures"),
        (["--array", "to-series", "a", "-o", "{}.h5", "--overwrite"], "--no-requeue"),
    ],
)
def test_wrong_usage(say, tmp_path, arguments, says):
    assert says in say(*arguments, code=2)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400),
        ("1:30", 90),
        ("4:00:00", 14400),
        ("1-12", 129600),
        ("1-0:30", 88200),
        ("2-1:02:03", 176523),
        ("0", 0),
        ("", None),
        ("1-", None),
        ("-1", None),
        ("1:2:3:4", None),
        ("1 h", None),
        ("1-2-3", None),
    ],
)
def test_times_as_slurm_reads_them(time, seconds):
    assert slurm.seconds_of(time) == seconds
