"""Jobs on a real SLURM, which `make test-slurm` starts for them."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from mpimages.core.sizes import size_text

from ..support.clusters import OPENMPI, ROOT, Submitted, call, mpimages

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif("MPIMAGES_TEST_SLURM" not in os.environ, reason="make test-slurm"),
]
openmpi = pytest.mark.skipif(not OPENMPI, reason="MPIMAGES_TEST_OPENMPI names no Python")

EXAMPLES = ROOT / "examples" / "slurm"
# In place of what the examples ask for.
SMALL = ("--nodes=2", "--ntasks-per-node=1", "--mem-per-cpu=300M")

ON_TWO = ("--nodes", 2, "--ntasks-per-node", 1, "--mem-per-cpu", "300M")


@pytest.fixture(scope="module")
def rec(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "rec"
    mpimages("example", path)
    return path


@pytest.fixture(scope="module")
def whole(rec):
    """The bytes of the series, as a single process writes them, by the kind of output."""

    def made(python, name):
        out = rec.parent / f"{Path(python).parents[1].name}-{name}"
        if not out.exists():
            mpimages("to-series", rec, out, python=python)
        return contents(out)

    return made


def contents(path):
    """The bytes of a file, or of all files below a directory."""
    if path.is_file():
        return path.read_bytes()
    return {p.name: p.read_bytes() for p in sorted(path.iterdir())}


def printed(directory, *arguments, program="mpimages"):
    """A script that `mpimages slurm` has printed, with that program."""
    script = directory / "job.sh"
    mpimages("slurm", "-o", script, *arguments)
    start = re.compile(r"(\S+/mpimages|\S+/python -m mpimages) (?=to-series|stats)")
    text, found = start.subn(f"{program} ", script.read_text())
    assert found == 1
    script.write_text(text)
    return script


def example(directory, name, rec):
    """One of the examples, with paths that are here."""
    text = (EXAMPLES / name).read_text()
    for there, here in (
        ("recording", rec),
        ("series.h5", directory / "series.h5"),
        ("statistics", directory / "statistics"),
    ):
        text = text.replace(f"/scratch/lab/{there}", str(here))
    (directory / name).write_text(text)
    return directory / name


# -- who finds whom ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "python"),
    [
        pytest.param("pmi2", sys.executable, id="pmi2"),
        pytest.param("pmix", OPENMPI, id="pmix", marks=openmpi),
    ],
)
def test_srun_makes_one_world_that_writes_together(tmp_path, how, python):
    over = ("-N4", "--ntasks-per-node=1")
    done = call("srun", f"--mpi={how}", *over, python, "-m", "mpimages", "doctor", tmp_path)
    assert done.returncode == 0, done.stdout
    assert re.search(r"ok +launcher +srun\n", done.stdout)
    assert done.stdout.count("4 ranks on 4 nodes") == 1
    assert done.stdout.count("written by 4 ranks, read back, the same") == 2


def test_the_wrong_protocol_is_refused_once_and_nothing_is_written(rec, tmp_path):
    work = ("-n3", sys.executable, "-m", "mpimages")
    done = call("srun", "--mpi=none", *work, "to-series", rec, tmp_path / "s")
    assert done.returncode == 1, done.stdout
    assert done.stdout.count("Error: srun has started 3 processes") == 1
    assert "srun --mpi=pmi2" in done.stdout
    assert "Traceback" not in done.stdout
    assert os.listdir(tmp_path) == []
    done = call("srun", "--mpi=none", *work, "doctor", tmp_path)
    assert done.returncode == 1
    assert len(re.findall(r"problem +launcher", done.stdout)) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("how", "python"),
    [
        pytest.param("pmix", sys.executable, id="mpich-by-pmix"),
        pytest.param("pmi2", OPENMPI, id="openmpi-by-pmi2", marks=openmpi),
    ],
)
def test_of_what_an_mpi_refuses_itself_nothing_is_written(rec, tmp_path, how, python):
    done = call(
        "srun", f"--mpi={how}", "-n2", python, "-m", "mpimages", "to-series", rec, tmp_path / "s"
    )
    assert done.returncode != 0, done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "python",
    [pytest.param(sys.executable, id="mpich"), pytest.param(OPENMPI, id="openmpi", marks=openmpi)],
)
def test_a_single_process_in_an_allocation_is_no_mistake(rec, python):
    done = call("salloc", "--ntasks=2", python, "-m", "mpimages", "info", rec)
    assert done.returncode == 0, done.stdout
    assert re.search(r"images +20\n", done.stdout)


@openmpi
def test_open_mpis_own_mpiexec_in_an_allocation():
    done = call(
        "salloc",
        "--ntasks=2",
        "mpiexec.openmpi",
        OPENMPI,
        "-m",
        "mpimages",
        "doctor",
        OMPI_ALLOW_RUN_AS_ROOT="1",
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("2 ranks on 1 node") == 1


def test_the_budget_is_what_the_job_was_granted(tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(
        "#!/bin/bash\nmpimages doctor >alone\nsrun --mpi=pmi2 mpimages doctor >together\n"
    )
    with Submitted(script, options=["--ntasks=2", "--mem-per-cpu=300M"]) as job:
        assert job.wait() == "COMPLETED", job
    granted = 2 * 300 * 2**20
    for name, ranks in (("alone", 1), ("together", 2)):
        budget = size_text(int(granted * 0.6) // ranks)
        said = (tmp_path / name).read_text()
        assert f"limit {size_text(granted)}; budget of each rank {budget}" in said


# -- what mpimages slurm prints ------------------------------------------------------------


@pytest.mark.parametrize("how", ["pmi2", "mpiexec"])
def test_a_printed_script(rec, whole, tmp_path, how):
    out = tmp_path / "it's mine.h5"
    script = printed(
        tmp_path,
        "to-series",
        rec,
        out,
        "--mpi",
        how,
        "--nodes",
        4,
        "--ntasks-per-node",
        1,
        "--mem-per-cpu",
        "300M",
    )
    with Submitted(script) as job:
        assert job.wait() == "COMPLETED", job
    assert job.output.count("series of 20 values") == 1, job.output
    assert contents(out) == whole(sys.executable, "series.h5")


# How each is told that its time is nearly over.
TOLD = {"pmi2": ("--signal=TERM",), "mpiexec": ("--batch", "--signal=USR1")}


@pytest.mark.parametrize(("how", "name"), [("pmi2", "series.h5"), ("mpiexec", "series")])
def test_a_stopped_job_queues_itself_again_and_goes_on(rec, whole, tmp_path, how, name):
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / name
    script = printed(tmp_path, "to-series", rec, out, "--mpi", how, *ON_TWO)
    with Submitted(script, program="slow.py", PAUSE="0.3") as job:
        job.wait_for_progress(out.parent)
        call("scancel", *TOLD[how], job.number)
        assert job.wait() == "COMPLETED", job
        assert job.show()["Restarts"] == "1", job
    assert job.output.count("stopped by SIG") == 1, job.output
    assert job.output.count("series of 20 values") == 1, job.output
    assert contents(out) == whole(sys.executable, name)
    assert os.listdir(out.parent) == [name]


@pytest.mark.parametrize("how", TOLD)
def test_a_cancelled_job_stays_cancelled_and_another_goes_on(rec, whole, tmp_path, how):
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "series"
    script = printed(tmp_path, "to-series", rec, out, "--mpi", how, *ON_TWO)
    with Submitted(script, program="slow.py", PAUSE="0.3") as cancelled:
        cancelled.wait_for_progress(out.parent)
        call("scancel", cancelled.number)
        assert cancelled.wait() == "CANCELLED", cancelled
    assert not out.exists()
    with Submitted(script) as job:
        assert job.wait() == "COMPLETED", job
    assert cancelled.show()["JobState"] == "CANCELLED", cancelled
    assert cancelled.show()["Restarts"] == "0", cancelled
    assert contents(out) == whole(sys.executable, "series")
    assert os.listdir(out.parent) == ["series"]


@pytest.mark.parametrize("how", TOLD)
def test_a_job_that_was_killed_and_queued_again_goes_on(rec, whole, tmp_path, how):
    (tmp_path / "out").mkdir()
    out = tmp_path / "out" / "series"
    script = printed(tmp_path, "to-series", rec, out, "--mpi", how, *ON_TWO)
    with Submitted(script, program="slow.py", PAUSE="0.3") as job:
        job.wait_for_progress(out.parent)
        call("scontrol", "requeue", job.number)
        assert job.wait() == "COMPLETED", job
        assert job.show()["Restarts"] == "1", job
    assert contents(out) == whole(sys.executable, "series")
    assert os.listdir(out.parent) == ["series"]


# -- the examples --------------------------------------------------------------------------


@openmpi
def test_convert(rec, whole, tmp_path):
    options = [*SMALL, "--nodes=4"]
    with Submitted(example(tmp_path, "convert.sh", rec), options=options, python=OPENMPI) as job:
        assert job.wait() == "COMPLETED", job
    assert (tmp_path / "series.h5").read_bytes() == whole(OPENMPI, "series.h5")


@openmpi
def test_stats(rec, tmp_path):
    with Submitted(
        example(tmp_path, "stats.sh", rec), options=[*SMALL, "--ntasks=2"], python=OPENMPI
    ) as job:
        assert job.wait() == "COMPLETED", job
    assert json.loads((tmp_path / "statistics" / "stats.json").read_text())["images"] == 20


@openmpi
def test_resume_at_the_time_limit(rec, whole, tmp_path):
    script = example(tmp_path, "resume.sh", rec)
    # SLURM looks at the time every half minute: it will send the signal after 20 to 50 seconds.
    with Submitted(
        script,
        options=[*SMALL, "--time=1", "--signal=TERM@10"],
        python=OPENMPI,
        program="slow.py",
        PAUSE="3",
    ) as job:
        assert job.wait() == "COMPLETED", job
        assert job.show()["Restarts"] == "1", job
    assert job.output.count("stopped by SIG") == 1, job.output
    assert (tmp_path / "series.h5").read_bytes() == whole(OPENMPI, "series.h5")


@openmpi
def test_an_array_of_recordings(rec, whole, tmp_path):
    names = ["monday", "it's tuesday"]
    for name in names:
        (tmp_path / name).symlink_to(rec)
    text = example(tmp_path, "array.sh", rec).read_text()
    for there, here in zip(("monday", "tuesday"), names, strict=True):
        text = text.replace(f"/scratch/lab/{there}", shlex.quote(str(tmp_path / here)))
        out = tmp_path / "results" / f"{here}.h5"
        text = text.replace(f"/scratch/lab/results/{there}.h5", shlex.quote(str(out)))
    (tmp_path / "array.sh").write_text(text)
    with Submitted(tmp_path / "array.sh", options=[*SMALL, "--ntasks=2"], python=OPENMPI) as job:
        for task in (0, 1):
            assert job.wait(task=task) == "COMPLETED", job
    wanted = whole(OPENMPI, "series.h5")
    for name in names:
        assert (tmp_path / "results" / f"{name}.h5").read_bytes() == wanted
