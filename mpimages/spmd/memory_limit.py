"""The memory budget of each rank: given, or what its node allows."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..core.sizes import parse_size, size_text

__all__ = ["NO_LIMIT", "check_fits", "find_budget", "find_memory_limit", "free_memory"]

NO_LIMIT = 2**62
OWN_CGROUPS, CGROUPS = "/proc/self/cgroup", "/sys/fs/cgroup"
# Reserved for Python, MPI and the page cache if the budget is not given.
SHARE_OF_FREE = 0.6


def find_budget(ranks: int, memory: int | str | None) -> int:
    """Return the bytes that each of so many ranks of this node may take. Local.

    A given value is used unchanged. Otherwise the limit of the batch system, the container and the
    node is divided among the ranks. The smallest budget of a rank holds for all.
    """
    if memory is not None:
        return parse_size(memory)
    return max(1, int(min(free_memory(), find_memory_limit()) * SHARE_OF_FREE) // ranks)


def free_memory() -> int:
    """Return the free memory of this node in bytes. Local."""
    try:
        with open("/proc/meminfo", encoding="ascii") as table:
            for line in table:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def find_memory_limit() -> int:
    """Return the limit of the batch system or the container for this node's ranks. Local.

    Return NO_LIMIT if neither sets one.
    """
    limits = [NO_LIMIT]
    megabytes = os.environ.get("SLURM_MEM_PER_NODE", "")
    if megabytes.isdigit() and int(megabytes):
        limits.append(int(megabytes) << 20)
    per_cpu = os.environ.get("SLURM_MEM_PER_CPU", "")
    cpus = os.environ.get("SLURM_CPUS_ON_NODE", "")
    if per_cpu.isdigit() and cpus.isdigit() and int(per_cpu):
        limits.append((int(per_cpu) << 20) * int(cpus))
    return min(*limits, _cgroup_limit())


def _cgroup_limit() -> int:
    """Return the limit of this process' control group and its parents, or NO_LIMIT. Local.

    A container sees its own group as the root; the job of a batch system is in a group below the
    root. (Linux: admin-guide/cgroup-v2, section 5-2; cgroup-v1/memory.)
    """
    limit = NO_LIMIT
    for directory, name in _cgroups(OWN_CGROUPS, CGROUPS):
        try:
            with open(os.path.join(directory, name), encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():  # not "max"
            limit = min(limit, int(text))
    return limit


def _cgroups(table: str, mounted: str) -> Iterator[tuple[str, str]]:
    """Yield the directory of each group of this process, and the file with its limit."""
    kinds = {
        "": (mounted, "memory.max"),
        "memory": (os.path.join(mounted, "memory"), "memory.limit_in_bytes"),
    }
    paths = dict.fromkeys(kinds, "/")
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                paths.update((kind, path) for kind in controllers.split(",") if kind in kinds)
    except (OSError, ValueError):
        pass
    for kind, (root, name) in kinds.items():
        # The path of a container's group may be that of the host, which does not exist here.
        parts = [part for part in paths[kind].split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            yield os.path.join(root, *parts[:depth]), name


def check_fits(need: int, budget: int, what: str, instead: str) -> None:
    """Raise MemoryError with the figures if `need` bytes exceed the budget. Local."""
    if need > budget:
        raise MemoryError(
            f"{what} needs {size_text(need)} on each rank, but the budget is "
            f"{size_text(budget)}; {instead}"
        )
