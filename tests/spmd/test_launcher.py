"""A launcher whose processes do not find each other: refused by each of them, nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpimages.spmd.launcher import find_launcher, launch_problem

from ..support.jobs import PROGRAMS, SECONDS, launcher

PROGRAM = str(PROGRAMS / "singleton.py")
# What launchers set: none of it may come from the one that runs the tests.
PREFIXES = ("PMI", "PMIX", "OMPI_COMM", "OMPI_MCA", "MPI_", "SLURM", "MV2", "HYDI", "PRTE")
STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "2"}
BATCH = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_NPROCS": "4", "SLURM_PROCID": "0"}


def started(
    out: Path, *command: str, how: str = "world", python: str = sys.executable, **environment: str
):
    """A job of singleton.py without any launcher's variables but the given ones."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(PREFIXES)}
    return subprocess.run(
        [*command, python, PROGRAM, str(out), how],
        text=True,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**clean, "PYTHONPATH": str(PROGRAMS.parents[2]), **environment},
    )


# -- what the variables say: units ---------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HOME": "/", "PMI_SIZE": "many", "SLURM_NTASKS": "8"}, None),
        ({"PMI_SIZE": "4", "PMI_RANK": "3", "MPI_LOCALNRANKS": "2"}, ("MPICH's mpiexec", 4, 3)),
        ({"MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"}, ("MPICH's mpiexec", 2, 1)),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, ("a PMI launcher", 4, 3)),
        ({"PMI_SIZE": "3", **STEP, "SLURM_STEP_NUM_TASKS": "3"}, ("srun", 3, 0)),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "1"}, ("Open MPI's mpiexec", 4, 1)),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "6", "SLURM_NTASKS": "9"}, ("srun", 6, 2)),
        ({**STEP, "SLURM_NTASKS": "9"}, ("srun", 9, 2)),
        (BATCH, None),
        ({**BATCH, "SLURM_STEP_ID": str(0xFFFFFFFB)}, None),  # the batch step's number
        ({**BATCH, "SLURM_STEP_ID": str(0xFFFFFFFE)}, None),  # as older versions numbered it
        ({"PMIX_RANK": "2"}, ("a PMIx launcher", 3, 2)),
        # mpiexec in an allocation of two nodes: the step is of its helpers
        (
            {"PMI_SIZE": "1", "MPI_LOCALNRANKS": "1", **STEP, "SLURM_STEP_NUM_TASKS": "2"},
            ("MPICH's mpiexec", 1, 0),
        ),
        # mpiexec in a shell that srun --pty has started
        (
            {"OMPI_COMM_WORLD_SIZE": "4", "PMI_SIZE": "1", **STEP, "SLURM_STEP_NUM_TASKS": "1"},
            ("Open MPI's mpiexec", 4, 0),
        ),
    ],
)
def test_what_launchers_tell(environment, expected):
    found = find_launcher(environment)
    assert (found and (found.name, found.ranks, found.rank)) == expected


# -- whole processes -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, "PMI_SIZE=2"),
        ({"PMI_SIZE": "2", "PMI_RANK": "0", "MPI_LOCALNRANKS": "2"}, "mpiexec"),
        ({**STEP, "SLURM_STEP_NUM_TASKS": "4"}, "srun --mpi="),
        ({"MV2_COMM_WORLD_SIZE": "8"}, "MV2_COMM_WORLD_SIZE=8"),
    ],
)
def test_a_process_that_should_have_company(tmp_path, environment, says):
    job = started(tmp_path, **environment)
    assert job.returncode == 3, job.stdout
    assert says in job.stdout
    assert "MPIMAGES_ALLOW_SINGLETON=1" in job.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {},
        BATCH,
        {**BATCH, "SLURM_STEP_ID": str(0xFFFFFFFB)},
        {"SLURM_STEP_NUM_TASKS": "4"},
        {**STEP, "SLURM_STEP_NUM_TASKS": "1"},
        {"PMI_SIZE": "2", "MPIMAGES_ALLOW_SINGLETON": "1"},
    ],
)
def test_a_process_that_is_rightly_alone(tmp_path, environment):
    job = started(tmp_path, **environment)
    assert job.returncode == 0, job.stdout
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.slow
def test_the_override_is_the_number_1(tmp_path):
    assert started(tmp_path, PMI_SIZE="2", MPIMAGES_ALLOW_SINGLETON="0").returncode == 3


@pytest.mark.slow
@pytest.mark.parametrize("how", ["self", "sub"])
def test_a_communicator_made_on_purpose(tmp_path, how):
    job = started(tmp_path, how=how, PMI_SIZE="2")
    assert job.returncode == 0, job.stdout


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_job_as_it_should_be(tmp_path, ranks):
    job = started(tmp_path, *launcher(), "-n", str(ranks))
    assert job.returncode == 0, job.stdout
    assert job.stdout.count(f"world of {ranks}") == ranks


@pytest.mark.slow
def test_ranks_that_work_each_for_itself(tmp_path):
    job = started(tmp_path, *launcher(), "-n", "2", how="self")
    assert job.returncode == 0, job.stdout
    assert job.stdout.count("world of 1") == 2


def mpich() -> bool:
    from mpi4py import MPI

    return MPI.get_vendor()[0] == "MPICH"


@pytest.mark.slow
@pytest.mark.skipif(not mpich(), reason="hydra's variables")
def test_true_singletons(tmp_path):
    """Their MPI cannot reach the launcher: each finds itself alone, and each refuses."""
    job = started(tmp_path, *launcher(), "-n", "2", "env", "-u", "PMI_FD")
    assert job.returncode != 0
    assert job.stdout.count("refused:") == 2, job.stdout
    assert os.listdir(tmp_path) == []


# Set up by `make test-phdf5`: the same Python with Open MPI.
OTHER = Path(sys.prefix).parent / ".venv-phdf5" / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(not mpich() or not OTHER.exists(), reason="needs a second MPI")
def test_the_launcher_of_another_mpi(tmp_path):
    job = started(tmp_path, *launcher(), "-n", "2", python=str(OTHER))
    assert job.returncode != 0
    assert job.stdout.count("refused: MPICH's mpiexec has started 2 processes") == 2, job.stdout
    assert job.stdout.count("bound to Open MPI") == 2
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
@pytest.mark.skipif(not mpich(), reason="hydra's variables")
def test_a_python_that_a_rank_starts_inherits_the_environment(tmp_path):
    refused = started(tmp_path, *launcher(), "-n", "2", how="child")
    assert refused.stdout.count("refused:") == 2, refused.stdout
    assert os.listdir(tmp_path) == []
    allowed = started(tmp_path, *launcher(), "-n", "2", how="child", MPIMAGES_ALLOW_SINGLETON="1")
    assert allowed.returncode == 0, allowed.stdout
    assert len(os.listdir(tmp_path)) == 2


def test_a_world_of_several_has_no_problem(monkeypatch):
    from mpi4py import MPI

    class World:
        size = 2

    monkeypatch.setattr(MPI, "COMM_WORLD", World())
    assert launch_problem({"PMI_SIZE": "4"}) is None


WITHOUT_MPI = """
import sys
sys.modules["mpi4py.MPI"] = None
import mpimages
from mpimages.cli import cli

movie, out = sys.argv[1:]
for command in (
    ["doctor"], ["example", out], ["info", movie], ["plan", movie], ["stats", movie, out],
    ["project", movie, out, "--kind", "max"], ["report", movie, out], ["to-series", movie, out],
    ["verify", movie], ["view", movie, "--image", "0"],
):
    try:
        cli(command)
    except SystemExit as ending:
        print(command[0], ending.code, file=sys.stderr)
for name in mpimages.__all__:
    try:
        getattr(mpimages, name)
    except ImportError as error:
        needs = {"Images", "Series", "ThunderContext", "TimeSeries", "RegressionModel"}
        needs |= {"Blocks", "ICA", "KMeans", "KMeansModel", "LinearRegression", "NMF", "PCA", "SVD"}
        assert name in needs, name
        assert "pip install mpich" in str(error)
"""


def test_without_an_mpi_library_each_command_says_what_to_install(tmp_path):
    (tmp_path / "movie").mkdir()
    (tmp_path / "movie" / "0.tif").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MPI, tmp_path / "movie", tmp_path / "out"],
        capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert len(lines) == 2 * 10, done.stderr
    assert all("no MPI library was found" in line for line in lines[::2]), done.stderr
    assert all(line.endswith(" 1") for line in lines[1::2]), done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["movie"]
