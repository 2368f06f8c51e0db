"""A directory for outputs: which file system it is on, and whether all ranks can write there."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from ..context import ThunderContext
from ..core.sizes import size_text
from ..spmd.agreement import from_rank
from ..spmd.collectives import allgather
from ..verification import verify
from .findings import Finding

__all__ = ["examine_storage", "file_system"]

MOUNTS = "/proc/mounts"
LITTLE_SPACE = 1 << 30
# What is written for a trial: a MB of values, of dims that no number of ranks divides.
TRIAL = (61, 83, 97)
ACTION = "mpimages doctor"


def examine_storage(context: ThunderContext, path: str) -> list[Finding]:
    """See `doctor.examine`. Collective."""
    found, directory = from_rank(context.comm, 0, ACTION, _begin, path)
    if directory is None:
        return list(found)
    try:
        seen = _seen_by_all(context, directory)
        found += [seen]
        if seen.status == "ok":
            found += [_trial(context, directory, name) for name in ("series", "series.h5")]
    except BaseException:
        if context.rank == 0:
            shutil.rmtree(directory, ignore_errors=True)
        raise
    from_rank(context.comm, 0, ACTION, shutil.rmtree, directory, True)
    return list(found)


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


def file_system(path: str, mounts: str = MOUNTS) -> tuple[str, str]:
    """The type of the file system that holds `path`, and where it is mounted. Local.

    ``('unknown', '')`` where the system does not say.
    """
    real = os.path.realpath(path)
    best = ("unknown", "")
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as table:
            for line in table:
                fields = line.split()
                if len(fields) < 3:
                    continue
                where = _unescaped(fields[1])
                inside = real == where or real.startswith(where.rstrip("/") + "/")
                if inside and len(where) >= len(best[1]):  # of two at one place the later is seen
                    best = (fields[2], where)
    except OSError:
        pass
    return best


def _unescaped(text: str) -> str:
    """Blanks are written in octal there: ``\\040``."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _system(path: str) -> Finding:
    kind, where = file_system(path)
    status = os.statvfs(path)
    free = status.f_frsize * status.f_bavail
    text = f"{path}: {kind}, mounted at {where or '?'}, {size_text(free)} free"
    if free < LITTLE_SPACE:
        return Finding("path", "note", text, "make room, or choose another file system")
    if kind in ("tmpfs", "ramfs"):
        return Finding(
            "path", "note", text, "this is the memory of one node: good for trials, not for results"
        )
    return Finding("path", "ok", text)


def _locks(directory: str) -> Finding:
    """Whether of two that lock a file the second is refused."""
    name = os.path.join(directory, "lock")
    try:
        with open(name, "w") as first, open(name) as second:
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
