"""What the batch system and control groups allow a job, as the budget sees it."""

from __future__ import annotations

import pytest

from mpimages.spmd import memory_limit
from mpimages.spmd.memory_limit import NO_LIMIT, find_memory_limit

GB = 2**30
V1, V2 = "memory.limit_in_bytes", "memory.max"


@pytest.fixture
def limit(tmp_path, monkeypatch):
    """What is allowed, with these lines in /proc/self/cgroup, limits of groups, and variables."""

    def found(lines, groups, **variables):
        for name, text in groups.items():
            path = tmp_path / "mounted" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        (tmp_path / "table").write_text("".join(f"{line}\n" for line in lines))
        monkeypatch.setattr(memory_limit, "OWN_CGROUPS", str(tmp_path / "table"))
        monkeypatch.setattr(memory_limit, "CGROUPS", str(tmp_path / "mounted"))
        for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE"):
            monkeypatch.delenv(f"SLURM_{name}", raising=False)
            if name in variables:
                monkeypatch.setenv(f"SLURM_{name}", variables[name])
        return find_memory_limit()

    return found


@pytest.mark.parametrize(
    ("lines", "groups", "wanted"),
    [
        ([], {}, NO_LIMIT),
        (["0::/"], {V2: 3 * GB}, 3 * GB),
        (["0::/"], {V2: "max"}, NO_LIMIT),
        # A job of SLURM: the limit is that of a group above its own.
        (
            ["0::/slurm/job_7/step_0/task_0"],
            {
                f"slurm/job_7/{V2}": 2 * GB,
                f"slurm/job_7/step_0/task_0/{V2}": "max",
                f"slurm/{V2}": 9 * GB,
            },
            2 * GB,
        ),
        (["0::/slurm/job_7"], {f"slurm/job_8/{V2}": 5}, NO_LIMIT),
        (
            ["11:cpu,cpuacct:/slurm/job_7", "4:memory:/slurm/uid_1/job_7", "0::/"],
            {f"memory/{V1}": 2**63 - 4096, f"memory/slurm/uid_1/job_7/{V1}": GB},
            GB,
        ),
        # A container that is shown its path as the host sees it.
        (["4:memory:/docker/abc"], {f"memory/{V1}": 4 * GB}, 4 * GB),
        (["0::/../../abc"], {V2: 4 * GB}, 4 * GB),
        (["no line of such a table"], {V2: GB}, GB),
    ],
)
def test_control_groups(limit, lines, groups, wanted):
    assert limit(lines, groups) == wanted


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"MEM_PER_NODE": "2048"}, 2 * GB),
        ({"MEM_PER_NODE": "0"}, NO_LIMIT),  # --mem=0: all that there is
        ({"MEM_PER_CPU": "512", "CPUS_ON_NODE": "6"}, 3 * GB),
        ({"MEM_PER_CPU": "512"}, NO_LIMIT),
        ({"MEM_PER_NODE": "much", "MEM_PER_CPU": "", "CPUS_ON_NODE": "6"}, NO_LIMIT),
        ({"MEM_PER_NODE": "4096", "MEM_PER_CPU": "512", "CPUS_ON_NODE": "2"}, GB),
    ],
)
def test_what_slurm_says(limit, variables, wanted):
    assert limit([], {}, **variables) == wanted


def test_the_least_counts(limit):
    assert limit(["0::/job"], {f"job/{V2}": GB}, MEM_PER_NODE="2048") == GB
    assert limit(["0::/job"], {f"job/{V2}": 3 * GB}, MEM_PER_NODE="2048") == 2 * GB
