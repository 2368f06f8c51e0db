"""Communicators that count what an action sends, and one that stands for one rank of thousands.

What is counted, for each rank, by a model that does not ask which algorithms an MPI has:

calls      calls of MPI that all ranks of the communicator make
messages   ⌈log₂ R⌉ for a collective of R ranks, as in a tree; in an all-to-all one for each rank
           that something is sent to; one for each point-to-point message
bytes      what this rank has of the operation at its end, or gives if that is more

Collectives of the ranks of one host are counted apart ("near"): they need no link.
"""

from __future__ import annotations

import math
import pickle
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from mpi4py import MPI

from mpimages.spmd.nodes import Nodes

# Since `restart`: of this process.
tally: Counter[str] = Counter()


def restart() -> None:
    """Forget what was counted."""
    tally.clear()


def depth(size: int) -> int:
    """The messages of a rank in a collective of `size` ranks."""
    return math.ceil(math.log2(size))


def _array(buffer: Any) -> np.ndarray:
    return buffer[0] if isinstance(buffer, (list, tuple)) else buffer


def _bytes(buffer: Any) -> int:
    return 0 if buffer is MPI.IN_PLACE or buffer is None else int(_array(buffer).nbytes)


class Counted(MPI.Intracomm):
    """A communicator that counts. Duplicates of it count, too; a call that blocks is an error."""

    kind = ""

    def _note(self, messages: int, size: int, calls: int = 1) -> None:
        tally[f"{self.kind}calls"] += calls
        tally[f"{self.kind}messages"] += messages
        tally[f"{self.kind}bytes"] += size

    def _post(self, name: str, *args: Any) -> Any:
        return getattr(super(), name)(*args)

    def Ibarrier(self):
        self._note(depth(self.size), 0)
        return self._post("Ibarrier")

    def Ibcast(self, buffer, root=0):
        self._note(depth(self.size), _bytes(buffer))
        return self._post("Ibcast", buffer, root)

    def Iallreduce(self, sent, received, op=MPI.SUM):
        self._note(depth(self.size), _bytes(received))
        return self._post("Iallreduce", sent, received, op)

    def Ireduce(self, sent, received, op=MPI.SUM, root=0):
        self._note(depth(self.size), max(_bytes(sent), _bytes(received)))
        return self._post("Ireduce", sent, received, op, root)

    def Ireduce_scatter(self, sent, received, counts=None, op=MPI.SUM):
        self._note(depth(self.size), max(_bytes(sent), _bytes(received)))
        return self._post("Ireduce_scatter", sent, received, counts, op)

    def Iallgather(self, sent, received):
        self._note(depth(self.size), _bytes(received))
        return self._post("Iallgather", sent, received)

    def Iallgatherv(self, sent, received):
        self._note(depth(self.size), _bytes(received))
        return self._post("Iallgatherv", sent, received)

    def Igather(self, sent, received, root=0):
        self._note(depth(self.size), _bytes(received if self.rank == root else sent))
        return self._post("Igather", sent, received, root)

    def Igatherv(self, sent, received, root=0):
        self._note(depth(self.size), _bytes(received if self.rank == root else sent))
        return self._post("Igatherv", sent, received, root)

    def Iscatter(self, sent, received, root=0):
        self._note(depth(self.size), _bytes(sent if self.rank == root else received))
        return self._post("Iscatter", sent, received, root)

    def Iscatterv(self, sent, received, root=0):
        self._note(depth(self.size), _bytes(sent if self.rank == root else received))
        return self._post("Iscatterv", sent, received, root)

    def Ialltoall(self, sent, received):
        self._note(self.size - 1, _bytes(sent))
        tally[f"{self.kind}all-to-all"] += 1
        return self._post("Ialltoall", sent, received)

    def Ialltoallv(self, sent, received):
        counts = sent[1] if isinstance(sent[1], (list, tuple)) else sent[1][0]
        others = sum(1 for rank, count in enumerate(counts) if count and rank != self.rank)
        size = (sum(counts) - counts[self.rank]) * self._item(sent)
        self._note(others, size)
        return self._post("Ialltoallv", sent, received)

    def _item(self, buffer: Any) -> int:
        kind = buffer[-1]
        return kind.Get_size() if isinstance(kind, MPI.Datatype) else _array(buffer).itemsize

    def isend(self, value, dest, tag=0):
        self._note(1, len(pickle.dumps(value)), calls=0)
        return self._post("isend", value, dest, tag)

    def Isend(self, buffer, dest, tag=0):
        self._note(1, _bytes(buffer), calls=0)
        return self._post("Isend", buffer, dest, tag)

    def Issend(self, buffer, dest, tag=0):
        self._note(1, _bytes(buffer), calls=0)
        return self._post("Issend", buffer, dest, tag)

    def Irecv(self, buffer, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG):
        return self._post("Irecv", buffer, source, tag)  # counted where it is sent

    def Idup(self, *args):
        self._note(depth(self.size), 0)
        return self._post("Idup", *args)

    def Split_type(self, *args):
        self._note(depth(self.size), 0)
        return self._near(self._post("Split_type", *args))

    def _near(self, node):
        return Near(node)


class Near(Counted):
    """The ranks of one host."""

    kind = "near "


def _refuse(name: str) -> Any:
    def blocks(*args: Any, **options: Any) -> None:
        raise AssertionError(f"{name} blocks: nobody could say for whom it waits")

    return blocks


for _name in dir(MPI.Intracomm):
    # What has a form that does not block. A message that has been seen may be received.
    if hasattr(MPI.Intracomm, f"I{_name.lower()}") and _name not in ("Recv", "recv"):
        setattr(Counted, _name, _refuse(_name))


@contextmanager
def counting_calls(tsc: Any) -> Iterator[Counter[str]]:
    """Count what the ranks of a context do in the block; see `tally`.

    The entry of an action counts as well, and apart ("near") the ranks of a node.
    """
    shared = tsc.session._shared
    segments, kept = shared.segments, (shared.comm, shared.watch.comm, shared.nodes)
    shared.comm, shared.watch.comm = (Counted(comm) for comm in kept[:2])
    shared.nodes = replace(shared.nodes, comm=shared.comm, node=Near(kept[2].node))
    segments.nodes, segments._comm, segments._node = shared.nodes, shared.comm, shared.nodes.node
    restart()
    try:
        yield tally
    finally:
        shared.comm, shared.watch.comm, shared.nodes = kept
        segments.nodes, segments._comm, segments._node = kept[2], kept[0], kept[2].node


# -- one rank of thousands -------------------------------------------------------------------


class Alone(Counted):
    """Rank 0 of many of which there are no others: every call is complete at once.

    The others are taken to give what this rank gives, but nothing to a sum; in an exchange, zeros.
    """

    rank = 0

    def _post(self, name: str, *args: Any) -> Any:
        if name == "Idup":
            return type(self)(MPI.COMM_SELF.Dup()), MPI.REQUEST_NULL
        if name == "Split_type":
            return MPI.COMM_SELF.Dup()
        fill = getattr(self, f"_fill_{name}", None)
        if fill is not None:
            fill(*args)
        return MPI.Request()

    def _fill_Iallgather(self, sent, received, *_):
        out = _array(received).reshape(-1).view(np.uint8)
        if sent is MPI.IN_PLACE:
            own = out[: received[1][0]].copy()  # bytes, as `allgather_in_place` counts
        else:
            own = _array(sent).reshape(-1).view(np.uint8)
        out[:] = np.resize(own, out.size)

    _fill_Igather = _fill_Igatherv = _fill_Iallgatherv = _fill_Ialltoall = _fill_Iallgather

    def _fill_Ialltoallv(self, sent, received):
        _array(received).fill(0)

    def _fill_Irecv(self, buffer, *_):
        _array(buffer).fill(0)

    def _fill_Iscatter(self, sent, received, *_):
        own, out = (_array(one).reshape(-1).view(np.uint8) for one in (sent, received))
        out[:] = own[: out.size]

    _fill_Iscatterv = _fill_Iscatter

    def isend(self, value, dest, tag=0):
        super().isend(value, dest, tag)
        return MPI.Request()

    def improbe(self, *args, **options):
        return None

    def Iprobe(self, *args, **options):
        return False


def alone(size: int, hosts: int) -> Alone:
    """Rank 0 of `size` ranks, spread evenly over hosts."""
    near = type("AloneNear", (Alone,), {"size": size // hosts, "kind": "near "})
    world = type(
        "AloneOf", (Alone,), {"size": size, "hosts": hosts, "_near": lambda self, node: near(node)}
    )
    return world(MPI.COMM_SELF.Dup())


def spread(found: Nodes, hosts: int) -> Nodes:
    """What `Nodes.find` would find on so many hosts, each with the same number of ranks."""
    size = len(found.of)
    each = size // hosts
    return replace(
        found,
        members=tuple(tuple(range(n * each, (n + 1) * each)) for n in range(hosts)),
        of=tuple(rank // each for rank in range(size)),
        hosts=tuple(f"h{n}" for n in range(hosts)),
        crowded=False,
        sharing=1,
    )
