"""A directory for outputs: which file system it is on, and whether all ranks can write there."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..context import ThunderContext
from ..core.sizes import size_text
from ..spmd.agreement import Together, from_rank
from ..spmd.collectives import allgather
from ..verification import verify
from .findings import Finding
from .mounts import Mount, find_mount, look_at_caches, look_at_locks, stripes

__all__ = ["examine_storage"]

LITTLE_SPACE = 1 << 30
# What is written for a trial: a MB of values, of dims that no number of ranks divides.
TRIAL = (61, 83, 97)
LOCK = "lock"
ACTION = "mpimages doctor"


@dataclass(frozen=True)
class _View:
    """What one host knows of the directory; one of its ranks has asked."""

    host: str
    rank: int
    mount: Mount


def examine_storage(context: ThunderContext, path: str) -> list[Finding]:
    """See `doctor.examine`. Collective."""
    found, directory = from_rank(context.comm, 0, ACTION, _begin, path)
    if directory is None:
        return list(found)
    try:
        of_hosts = _examine_hosts(context, path, directory)
        told = {finding.topic for finding in of_hosts}
        found = [*(finding for finding in found if finding.topic not in told), *of_hosts]
        if found[-1].status == "ok":
            found += [_trial(context, directory, name) for name in ("series", "series.h5")]
    except BaseException:
        if context.rank == 0:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    from_rank(context.comm, 0, ACTION, shutil.rmtree, directory, True)
    return list(found)


def _examine_hosts(context: ThunderContext, path: str, directory: str) -> list[Finding]:
    """Compare what the hosts know of the directory. Collective.

    The last finding is whether all ranks see what rank 0 has made.
    """
    leads, view = _leads(context), None
    with Together(context.comm, ACTION):
        if leads:
            view = _View(socket.gethostname(), context.rank, find_mount(path))
    views = [view for view in allgather(context.comm, view) if view is not None]
    mount, seen = views[0].mount, _seen_by_all(context, directory)
    # Who does not see the directory has no lock to try.
    locks = look_at_locks(mount, len(views)) or (
        _locks_of_hosts(context, directory, leads, views) if seen.status == "ok" else None
    )
    others = [_differing(views), look_at_caches(mount, len(views)), locks]
    return [*(one for one in others if one is not None), seen]


def _leads(context: ThunderContext) -> bool:
    """Return True on one rank of each host. Local."""
    return context.session.nodes.leads


def _differing(views: list[_View]) -> Finding | None:
    """Return which host has something else there than rank 0's, if any has. Local."""
    first = views[0]
    for other in views[1:]:
        mine, theirs = ((v.mount.kind, v.mount.source) for v in (first, other))
        if mine != theirs and (first.mount.shared or other.mount.shared):
            return Finding(
                "hosts",
                "problem",
                f"{first.host} has {_told(first.mount)} there, and {other.host} "
                f"{_told(other.mount)}",
                "choose a file system that is the same on all hosts",
            )
        if first.mount.telling != other.mount.telling:
            return Finding(
                "hosts",
                "note",
                f"{first.host} has mounted it with {_listed(first.mount)}, and {other.host} with "
                f"{_listed(other.mount)}",
                "ask for the same options on all hosts: locks and caches depend on them",
            )
    return None


def _told(mount: Mount) -> str:
    return f"{mount.name} of {mount.source}" if mount.source else mount.name


def _listed(mount: Mount) -> str:
    return ",".join(mount.telling) or "none of the options for locks and caches"


def _locks_of_hosts(
    context: ThunderContext, directory: str, leads: bool, views: list[_View]
) -> Finding | None:
    """Try whether a lock of rank 0 is seen on the other hosts. Collective.

    None if there is one host: `_begin` has looked at that.
    """
    if len(views) == 1:
        return None
    name, own = os.path.join(directory, LOCK), ""
    with ExitStack() as held:
        with Together(context.comm, ACTION):
            if context.rank == 0:
                file = held.enter_context(open(name, "w"))
                own = _try_lock(file.fileno())
        with Together(context.comm, ACTION):
            if leads and context.rank:
                with open(name, "r+") as file:
                    own = _try_lock(file.fileno())
        tried = allgather(context.comm, own)
    if tried[0]:
        return None  # it cannot be locked at all, as `_begin` has said
    free = [view for view in views[1:] if tried[view.rank] == ""]
    if not free:
        return Finding("locks", "ok", f"a lock of {views[0].host} holds on the other hosts")
    return Finding(
        "locks",
        "note",
        f"{free[0].host} can lock what {views[0].host} has locked: locks hold for one host only",
        "take care yourself that no two jobs write one output, or ask for locks that hold "
        "everywhere",
    )


def _try_lock(descriptor: int) -> str:
    """Return '' if the file could be locked, else why it could not. Local."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.strerror or "refused"
    return ""


def _begin(path: str) -> tuple[list[Finding], str | None]:
    """Look at the file system, and make a hidden directory there. Local."""
    path = os.path.abspath(path)
    if not os.path.isdir(path):
        return [
            Finding(
                "path",
                "problem",
                f"{path} is no directory",
                "give one that exists, where outputs shall go",
            )
        ], None
    found = [_system(path)]
    try:
        directory = tempfile.mkdtemp(prefix=".mpimages-doctor-", dir=path)
    except OSError as error:
        return [
            *found,
            Finding(
                "path",
                "problem",
                f"{path} cannot be written: {error.strerror}",
                "choose another, or ask for the right to write there",
            ),
        ], None
    # mkdtemp lets nobody else in; the ranks are of one user, but some file systems map users.
    os.chmod(directory, 0o755)
    return [*found, _locks(directory)], directory


def _system(path: str) -> Finding:
    mount = find_mount(path)
    status = os.statvfs(path)
    free = status.f_frsize * status.f_bavail
    cut = stripes(mount, path)
    source = f" of {mount.source}" if mount.shared else ""
    text = (
        f"{path}: {mount.name}{source}, mounted at {mount.where or '?'}, {size_text(free)} free"
        f"{cut and ', '}{cut}"
    )
    if free < LITTLE_SPACE:
        return Finding("path", "note", text, "make room, or choose another file system")
    if mount.kind in ("tmpfs", "ramfs"):
        return Finding(
            "path", "note", text, "this is the memory of one node: good for trials, not for results"
        )
    return Finding("path", "ok", text)


def _locks(directory: str) -> Finding:
    """Whether of two that lock a file the second is refused."""
    name = os.path.join(directory, LOCK)
    try:
        # NFS gives an exclusive lock for writing only.
        with open(name, "w") as first, open(name, "r+") as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    return Finding("locks", "ok", "files can be locked")
                raise
    except OSError as error:
        return Finding("locks", "note", f"files cannot be locked: {error.strerror}", _LOCKS_CURE)
    return Finding("locks", "note", "file locks have no effect", _LOCKS_CURE)


_LOCKS_CURE = (
    "take care yourself that no two jobs write one output; for other programs that read "
    "HDF5 here: HDF5_USE_FILE_LOCKING=FALSE"
)


def _seen_by_all(context: ThunderContext, directory: str) -> Finding:
    own = None if os.path.isdir(directory) else socket.gethostname()
    blind = [(rank, host) for rank, host in enumerate(allgather(context.comm, own)) if host]
    if not blind:
        return Finding("shared", "ok", "all ranks see what rank 0 has made there")
    rank, host = blind[0]
    return Finding(
        "shared",
        "problem",
        f"{len(blind)} of {context.size} ranks do not see what rank 0 has made there, "
        f"the first is rank {rank} on {host}",
        "choose a file system that all nodes share",
    )


def _trial(context: ThunderContext, directory: str, name: str) -> Finding:
    """Write, read back, compare. Collective; what fails becomes a finding, on all ranks alike."""
    topic = "HDF5" if name.endswith(".h5") else "series"
    path = os.path.join(directory, name)
    values = np.arange(np.prod(TRIAL), dtype=np.uint32).astype(np.uint16).reshape(TRIAL)
    try:
        images = context.loadImagesFromArray(values)
        save: Callable[[Any], None] = (
            images.saveAsHDF5 if topic == "HDF5" else images.saveAsBinarySeries
        )
        save(path)
        read = context.loadSeries(path).toArray()
        verified = from_rank(context.comm, 0, ACTION, verify, path)
    except Exception as error:  # agreed on by all ranks
        return Finding(
            topic,
            "problem",
            f"the trial has failed: {error}",
            "outputs cannot be trusted to this directory; the message says why",
        )
    same = allgather(context.comm, np.array_equal(read, np.moveaxis(values, 0, -1)))
    if all(same) and verified.ok:
        return Finding(
            topic,
            "ok",
            f"{size_text(values.nbytes)} written by "
            f"{context.size} rank{'s' * (context.size > 1)}, read back, the same",
        )
    return Finding(
        topic,
        "problem",
        "what was read back is not what was written: "
        + ("; ".join(verified.problems[:3]) or "the ranks read other values"),
        "do not use this file system for outputs of several nodes",
    )
