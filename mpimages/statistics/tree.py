"""States of any kind, merged along the fixed binary tree over the record's number.

A node (level L, index j) stands for the records [j 2^L, (j + 1) 2^L), and siblings merge, the
earlier one first. What is left of all records is merged from the right: the shape depends on the
number of records alone. So a merge that is not associative has one answer on any number of ranks.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np
from mpi4py import MPI

from ..core.cleanup import ask
from ..spmd.agreement import Together
from ..spmd.collectives import Transfer
from ..spmd.memory_limit import check_fits
from ..spmd.watch import calling

__all__ = ["Node", "Tree", "gather_tree"]

Node = tuple[int, int, Any]  # level, index, state
Merge = Callable[[Any, Any], Any]
# Of lists, dicts and objects in each other so many levels are counted. What an object takes itself.
DEPTH = 4
OBJECT = 56
PLAIN = (int, float, complex, bool, str, bytes, bytearray)


class Tree:
    """The nodes that remain of consecutive records. Local.

    Parameters
    ----------
    merge : callable
        merge(a, b) returns the state of both; a is of the earlier records.
    limit : int
        Maximum bytes of all states.
    name : str
        Name of the action, for messages.
    """

    def __init__(self, merge: Merge, limit: int, name: str) -> None:
        self.nodes: list[Node] = []
        self._merge = merge
        self._limit = limit
        self._name = name
        self._sizes: list[int] = []

    def push(self, level: int, index: int, state: Any) -> None:
        """Add a node that follows the last one, and merge siblings."""
        nodes, sizes = self.nodes, self._sizes
        sizes.append(_size_of(state))
        self._check()
        while index % 2 == 1 and nodes and nodes[-1][:2] == (level, index - 1):
            state = self._merge_last(nodes.pop()[2], state)
            level, index = level + 1, index // 2
        nodes.append((level, index, state))

    def extend(self, nodes: Iterable[Node]) -> None:
        """Add nodes that follow the last one."""
        for node in nodes:
            self.push(*node)

    def complete(self) -> Any:
        """Return the state of all records, from record 0 on: neighbours merge, the last first."""
        nodes = self.nodes
        _, _, total = nodes.pop()
        while nodes:
            total = self._merge_last(nodes.pop()[2], total)
        return total

    def _merge_last(self, before: Any, state: Any) -> Any:
        merged = self._merge(before, state)
        self._sizes[-2:] = [_size_of(merged)]
        self._check()
        return merged

    def _check(self) -> None:
        check_fits(
            sum(self._sizes),
            self._limit,
            f"{self._name}: what the function returns for parts of the records",
            "return less, or give the context more with memory=",
        )


def gather_tree(
    comm: MPI.Intracomm, tree: Tree, together: Together, limit: int, glance: Callable[[], None]
) -> None:
    """Join the nodes of all ranks' trees in rank 0's. Collective; agrees on nothing.

    In round i a rank whose number is an odd multiple of 2^i gives its nodes to the rank 2^i before.
    Ranks of one host follow each other in most jobs, so that little goes between hosts.

    Parameters
    ----------
    together : Together
        Holds what a rank raises; a rank that has failed gives nothing.
    limit : int
        Maximum bytes that a rank receives at once.
    glance : callable
        See `watch.calling`.
    """
    for other in _partners(comm.rank, comm.size):
        if other < comm.rank:
            packed = b""
            with together.attempt(), calling(glance):
                packed = pickle.dumps(tree.nodes, pickle.HIGHEST_PROTOCOL)
                tree.nodes.clear()
            _send(comm, other, b"" if together.failed else packed)
            return
        received: np.ndarray | None = None
        with together.attempt():
            received = _receive(comm, other, limit)
        with together.attempt(), calling(glance):
            if received is not None and not together.failed:
                tree.extend(pickle.loads(received.data))


def _partners(rank: int, size: int) -> Iterator[int]:
    """Yield the ranks that this one receives from, then the one that it gives to."""
    step = 1
    while step < size:
        if rank & step:
            yield rank - step
            return
        if rank + step < size:
            yield rank + step
        step *= 2


def _send(comm: MPI.Intracomm, other: int, packed: bytes) -> None:
    """Offer bytes to a rank, and send them if it has room."""
    length, room = np.array([len(packed)]), np.zeros(1, np.int64)
    Transfer(comm, [(other, length)], [(other, room)]).finish()
    if room[0]:
        Transfer(comm, [(other, np.frombuffer(packed, np.uint8))], []).finish()


def _receive(comm: MPI.Intracomm, other: int, limit: int) -> np.ndarray | None:
    """Return what a rank offers, or None where it offers nothing; raise MemoryError if too much."""
    length = np.zeros(1, np.int64)
    Transfer(comm, [], [(other, length)]).finish()
    out: np.ndarray | None = None
    try:
        check_fits(
            int(length[0]),
            limit,
            "what functions have returned for the records of other ranks",
            "return less, or give the context more with memory=",
        )
        out = np.empty(length[0], np.uint8) if length[0] else None
    finally:
        Transfer(comm, [(other, np.array([int(out is not None)]))], []).finish()
    if out is not None:
        Transfer(comm, [], [(other, out)]).finish()
    return out


def _size_of(state: object, depth: int = DEPTH) -> int:
    """Return about how many bytes a state takes. Local; never raises."""
    kind = type(state)
    if issubclass(kind, np.ndarray):
        return int(np.ndarray.nbytes.__get__(state))
    if kind in PLAIN:
        return sys.getsizeof(state)
    parts: Iterable[object] = ()
    if depth and kind in (list, tuple, set, frozenset):
        parts = cast(Iterable[object], state)
    elif depth:
        inside = state if kind is dict else ask(vars, state)
        parts = [part for pair in inside.items() for part in pair] if type(inside) is dict else ()
    return OBJECT + sum(_size_of(part, depth - 1) for part in parts)
