"""What memory each rank may take: given, or worked out, and agreed by all ranks."""

from __future__ import annotations

import os

import numpy as np
from mpi4py import MPI

from .collective import Together, allreduce
from .sizes import parse_size, size_text

__all__ = ["agreed_budget", "check_fits", "free_memory", "memory_limit"]

# Left to Python, MPI and the page cache when the budget is worked out and not given.
SHARE_OF_FREE = 0.6


def agreed_budget(comm: MPI.Intracomm, memory: int | str | None) -> int:
    """The bytes that each rank may take, the same on all ranks. Collective.

    What is given counts as it is; otherwise what the batch system, the container and the node
    allow is shared among the ranks on the node, and the smallest share holds for all.
    """
    own = 0
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)  # by all, whatever they were given
    with Together(comm, "ThunderContext"):
        if memory is not None:
            own = parse_size(memory)
        else:
            own = int(min(free_memory(), memory_limit()) * SHARE_OF_FREE) // node.size
    node.Free()
    return int(allreduce(comm, np.array([max(1, own)], dtype=np.int64), MPI.MIN)[0])


def free_memory() -> int:
    """What this node has left, in bytes. Local."""
    try:
        with open("/proc/meminfo", encoding="ascii") as table:
            for line in table:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def memory_limit() -> int:
    """What the batch system or the container allows this node's part of the job. Local.

    2**62 bytes where neither says anything.
    """
    limits = [2**62]
    megabytes = os.environ.get("SLURM_MEM_PER_NODE", "")
    if megabytes.isdigit() and int(megabytes):
        limits.append(int(megabytes) << 20)
    per_cpu = os.environ.get("SLURM_MEM_PER_CPU", "")
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "")
    if per_cpu.isdigit() and cpus.isdigit() and int(per_cpu):
        limits.append((int(per_cpu) << 20) * int(cpus))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def check_fits(need: int, budget: int, what: str, instead: str) -> None:
    """MemoryError with the figures where `need` bytes exceed the budget. Local."""
    if need > budget:
        raise MemoryError(
            f"{what} needs {size_text(need)} on each rank, but the budget is "
            f"{size_text(budget)}; {instead}"
        )
