"""The job: how it was launched, its ranks, nodes, cores and memory."""

from __future__ import annotations

import os
import socket
from collections import Counter
from dataclasses import dataclass

from mpi4py import MPI

from ..context import ThunderContext
from ..core.sizes import size_text
from ..spmd.collectives import allgather
from ..spmd.launcher import OVERRIDE, find_launcher, launch_problem
from ..spmd.memory_limit import NO_LIMIT, find_memory_limit, free_memory
from .findings import Finding

__all__ = ["examine_job", "examine_launch"]

# MPI libraries pass messages within a node through files in /dev/shm; containers often have
# 64 MB of it.
SHARED_MEMORY = "/dev/shm"
LITTLE_SHARED = 64 << 20
LITTLE_MEMORY = 256 << 20


@dataclass(frozen=True)
class _Place:
    """Where a rank runs, and with what."""

    host: str
    node: int
    cores: frozenset[int]
    threads: int
    free: int
    limit: int
    shared: int | None


def examine_launch() -> list[Finding]:
    """Who has started the processes, and whether they have found each other. Local."""
    problem = launch_problem()
    if problem is not None:
        what, cure = problem.split(" The likely cause", 1)
        return [Finding("launcher", "problem", what, "The likely cause" + cure)]
    launcher, size = find_launcher(), MPI.COMM_WORLD.size
    if launcher is None:
        how = "none: a single process" if size == 1 else "one that leaves no trace"
        return [Finding("launcher", "ok", how)]
    if size == 1 and launcher.ranks > 1:
        return [
            Finding(
                "launcher",
                "note",
                f"{launcher.name}, {launcher.ranks} processes, each "
                f"alone in its MPI world, as {OVERRIDE}=1 allows",
            )
        ]
    return [Finding("launcher", "ok", launcher.name)]


def examine_job(context: ThunderContext) -> list[Finding]:
    """Nodes, cores, memory. Collective."""
    comm = context.comm
    own = _Place(
        socket.gethostname(),
        context.session.nodes.near[0],
        frozenset(os.sched_getaffinity(0)),
        context.session.workspace.threads,
        free_memory(),
        find_memory_limit(),
        _shared(),
    )
    places = allgather(comm, own)
    return [_ranks(places), _cores(places), _memory(places, context.memory), _shared_memory(places)]


def _shared() -> int | None:
    try:
        status = os.statvfs(SHARED_MEMORY)
    except OSError:
        return None
    return status.f_frsize * status.f_blocks


def _ranks(places: list[_Place]) -> Finding:
    counts = Counter(place.node for place in places)
    size, nodes = len(places), len(counts)
    text = f"{size} rank{'s' * (size > 1)} on {nodes} node{'s' * (nodes > 1)}"
    if nodes > 1:
        least, most = min(counts.values()), max(counts.values())
        text += f", {least} on each" if least == most else f", {least} to {most} on each"
    return Finding("ranks", "ok", f"{text} ({places[0].host}{' …' * (nodes > 1)})")


def _cores(places: list[_Place]) -> Finding:
    fewest = min(len(place.cores) for place in places)
    threads = {place.threads for place in places}
    text = (
        f"each rank may use {fewest}{' or more' * (len({*map(_n_cores, places)}) > 1)}, and "
        f"reads with {'/'.join(map(str, sorted(threads)))} thread{'s' * (max(threads) > 1)}"
    )
    for node in {place.node for place in places}:
        here = [place for place in places if place.node == node]
        cores = len(frozenset().union(*(place.cores for place in here)))
        if len(here) > cores:
            return Finding(
                "cores",
                "note",
                f"{text}; {len(here)} ranks on {here[0].host} share "
                f"{cores} core{'s' * (cores > 1)}",
                "use fewer ranks a node, or let the launcher bind each to a core of its "
                "own (--bind-to core; srun --cpus-per-task)",
            )
    return Finding("cores", "ok", text)


def _n_cores(place: _Place) -> int:
    return len(place.cores)


def _memory(places: list[_Place], budget: int) -> Finding:
    least = min(places, key=lambda place: min(place.free, place.limit))
    limit = "no limit" if least.limit == NO_LIMIT else f"limit {size_text(least.limit)}"
    text = (
        f"{size_text(least.free)} free on {least.host}, {limit}; budget of each rank "
        f"{size_text(budget)}"
    )
    if budget < LITTLE_MEMORY:
        return Finding(
            "memory", "note", text, "ask for more memory (sbatch --mem), or use fewer ranks a node"
        )
    return Finding("memory", "ok", text)


def _shared_memory(places: list[_Place]) -> Finding:
    known = [place.shared for place in places if place.shared is not None]
    if len(known) < len(places):
        return Finding(
            "/dev/shm",
            "note",
            "is missing on some node",
            "MPI may be slow or fail within a node: mount a tmpfs there",
        )
    if min(known) <= LITTLE_SHARED and len(places) > 1:
        return Finding(
            "/dev/shm",
            "note",
            size_text(min(known)),
            "MPI may fail with many ranks a node: start the container with --shm-size=1g or more",
        )
    return Finding("/dev/shm", "ok", size_text(min(known)))
