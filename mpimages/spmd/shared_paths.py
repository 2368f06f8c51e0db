"""Whether all hosts see the files that rank 0 sees.

A directory may be missing on some hosts, or another one may have its name there: one on a local
disk. So one rank of each host looks before any work is done. A network file system remembers for
some seconds that a name was not there, and the size of a file: a host that does not see what
rank 0 sees asks again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from ..core.cleanup import quietly
from ..core.text import shortened
from ..errors import FormatError
from .agreement import Together, mark_agreed
from .collectives import allgather, broadcast
from .nodes import Nodes

__all__ = ["Seen", "agree_that_all_see", "see"]

# Maximum seconds until a host gives up to see a file, and between two looks.
PATIENCE = 5.0
PAUSE = 0.25


@dataclass(frozen=True)
class Seen:
    """What rank 0 sees.

    Attributes
    ----------
    path : str
    size : int
        The bytes of the file.
    called : str
        The subject of a message: ``"the input x.tif"``.
    made : bool
        True if rank 0 has made it to be looked for: with another size it is another file.
    """

    path: str
    size: int
    called: str
    made: bool = False


@dataclass(frozen=True)
class _Unlike:
    """What one host sees instead. `size` is None if it sees no such file."""

    seen: Seen
    why: str
    size: int | None


def see(paths: Iterable[str]) -> list[Seen]:
    """Look at input files; those that are missing here, too, are left out. Local: rank 0."""
    found = []
    for path in paths:
        with suppress(OSError):
            found.append(Seen(path, _size(path), f"the input {path}"))
    return found


def agree_that_all_see(together: Together, nodes: Nodes | None, what: Iterable[Seen]) -> None:
    """End a Together in which each host looks for what rank 0 sees. Collective.

    Parameters
    ----------
    together : Together
        Its block has ended: `attempt` has held what failed.
    nodes : Nodes or None
        None: nobody looks.
    what : iterable of Seen
        The same on all ranks.

    Raises
    ------
    FileNotFoundError
        If a host does not see one of them.
    FormatError
        If a file has another size there.
    """
    unlike = None
    if nodes is not None and nodes.several and nodes.leads and nodes.comm.rank:
        with together.attempt():
            unlike = _look(what)
    (alike,) = together.agree(int(unlike is None))
    if not alike and nodes is not None:
        _refuse(nodes, unlike)


def _look(what: Iterable[Seen]) -> _Unlike | None:
    """Return the first of `what` that this host sees otherwise, after asking again. Local."""
    until = time.monotonic() + PATIENCE
    for seen in what:
        while (unlike := _compare(seen)) is not None:
            if time.monotonic() > until:
                return unlike
            time.sleep(PAUSE)
            _forget(seen.path)
    return None


def _compare(seen: Seen) -> _Unlike | None:
    try:
        size = _size(seen.path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return _Unlike(seen, "" if missing else f" ({error.strerror})", None)
    if size == seen.size:
        return None
    if seen.made:
        return _Unlike(seen, " (another directory has its name there)", None)
    return _Unlike(seen, "", size)


def _size(path: str) -> int:
    return os.stat(path).st_size


def _forget(path: str) -> None:
    """Let the system ask the server again: it does when a file, or its directory, is opened."""
    with suppress(OSError):
        quietly(os.close, os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        return
    above = os.path.dirname(path)
    if above != path:
        _forget(above)


def _refuse(nodes: Nodes, own: _Unlike | None) -> None:
    """Raise the error that names the hosts; return if a file has only grown. Collective."""
    comm = nodes.comm
    found = [(nodes.host(rank), one) for rank, one in enumerate(allgather(comm, own)) if one]
    missing = [(host, one) for host, one in found if one.size is None]
    if missing:
        hosts = shortened([host for host, one in missing])
        first = missing[0][1]
        _raise(
            nodes,
            FileNotFoundError(
                f"{first.seen.called} is seen on {nodes.hosts[0]}, but is not seen on "
                f"{hosts}{first.why}; it must lie on a file system that all hosts share"
            ),
        )
    # A file that is being written has other sizes when it is asked for at other times.
    sizes = [_size_again(one.seen.path) if comm.rank == 0 else None for _, one in found]
    for (host, one), size in zip(found, broadcast(comm, sizes), strict=True):
        if size is None or one.size is None or not one.seen.size < one.size <= size:
            _raise(
                nodes,
                FormatError(
                    f"{one.seen.called} has {one.seen.size} bytes on {nodes.hosts[0]}, but "
                    f"{one.size} bytes on {host}: it is another file there, or its host has not "
                    "learned of a change yet; look with ls -l on both, and begin again"
                ),
            )


def _size_again(path: str) -> int | None:
    _forget(path)
    with suppress(OSError):
        return _size(path)
    return None


def _raise(nodes: Nodes, error: Exception) -> NoReturn:
    raise mark_agreed(error, nodes.comm)
