"""The versions of the software on each rank: hosts may have other environments than rank 0's."""

from __future__ import annotations

import logging
import os
import platform
import zlib
from collections.abc import Sequence

import mpi4py
import numpy as np

from ..core.text import shortened
from ..errors import LaunchError
from .agreement import mark_agreed
from .collectives import allgather
from .nodes import Nodes

__all__ = ["Versions", "check_versions", "number", "versions"]

# Pairs of a name and a version.
Versions = tuple[tuple[str, str], ...]

# Of these, releases that differ in more than a bug fix may compute other bits, or write other
# files. Of mpimages, all do; of the rest, a difference is worth a warning.
MUST_FIT = ("NumPy", "h5py")

_log = logging.getLogger("mpimages")


def versions() -> Versions:
    """Return the versions of this rank. Local; nothing is imported for it."""
    from .. import __version__

    return (
        ("mpimages", __version__),
        ("NumPy", np.__version__),
        ("h5py", _beside_numpy("h5py")),
        ("mpi4py", mpi4py.__version__),
        ("Python", platform.python_version()),
    )


def _beside_numpy(name: str) -> str:
    """Return the version of a package in NumPy's directory; '' if it is not there. Local.

    The names of the directory tell it. Importing h5py, or asking importlib.metadata, takes longer
    than the rest of a context's start.
    """
    directory = os.path.dirname(os.path.dirname(np.__file__))
    try:
        names = os.listdir(directory)
    except OSError:
        return ""
    found = [one for one in names if one.startswith(f"{name}-") and one.endswith("-info")]
    return found[0].split("-")[1].removesuffix(".dist") if found else ""


def number(found: Versions) -> int:
    """Return a number that stands for versions, for an agreement. Local."""
    return zlib.crc32(repr(found).encode())


def check_versions(nodes: Nodes, own: Versions) -> None:
    """Raise an error that names the hosts of other versions. Collective.

    To be called where the ranks know that their versions differ.

    Raises
    ------
    LaunchError
        If mpimages differs, or NumPy or h5py by more than a bug-fix release.
    """
    found = allgather(nodes.comm, own)
    hosts = [nodes.host(rank) for rank in range(nodes.comm.size)]
    differing, fatal = compare(found, hosts)
    if fatal:
        error = LaunchError(
            f"the hosts have other versions of the same software: {differing}. Give all hosts one "
            "environment: the same python, modules and PYTHONPATH"
        )
        raise mark_agreed(error, nodes.comm)
    if nodes.comm.rank == 0 and differing:
        _log.warning("the hosts have other versions of the same software: %s", differing)


def compare(found: Sequence[Versions], hosts: Sequence[str]) -> tuple[str, bool]:
    """Return how versions differ, as a text, and whether that is an error. Local.

    Parameters
    ----------
    found : sequence of Versions
        Those of each rank.
    hosts : sequence of str
        The host of each rank.
    """
    texts, fatal = [], False
    for name in dict.fromkeys(name for one in found for name, _ in one):
        each = [dict(one).get(name, "") for one in found]
        if len(set(each)) > 1:
            where = ", ".join(_where(version, each, hosts) for version in dict.fromkeys(each))
            texts.append(f"{name} {where}")
            fatal |= name == "mpimages"
            fatal |= name in MUST_FIT and len({_release(v) for v in each if v}) > 1
    return "; ".join(texts), fatal


def _where(version: str, each: Sequence[str], hosts: Sequence[str]) -> str:
    on = dict.fromkeys(host for host, other in zip(hosts, each, strict=True) if other == version)
    return f"{version or 'is missing'} on {shortened(list(on))}"


def _release(version: str) -> tuple[str, ...]:
    """Return a version without its number of bug fixes. Local."""
    return tuple(version.split(".")[:2])
