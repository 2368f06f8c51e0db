"""Collective calls that poll: values of any size, pairs of ranks, and no blocking call anywhere."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

import mpimages
from mpimages.spmd import collectives
from mpimages.spmd.collectives import Transfer, allgather, broadcast, gather, scatter
from mpimages.spmd.nodes import Nodes

# Of a communicator. What makes or frees one blocks: see `communicators`.
BLOCKING = {
    *("allgather", "allreduce", "alltoall", "barrier", "bcast", "exscan", "gather", "reduce"),
    *("recv", "scan", "scatter", "send", "sendrecv", "ssend", "probe", "wait", "waitall"),
    *("allgatherv", "alltoallv", "gatherv", "scatterv", "reduce_scatter", "waitany"),
}
# A message that has been matched, and a report that has been probed for.
ALLOWED = {("roll.py", "message.recv"), ("progress_messages.py", "self._comm.Recv")}


def test_nothing_blocks_in_mpi():
    found = set()
    for path in Path(mpimages.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                owner = called.rpartition(".")[0]
                of_mpi = any(word in owner.lower() for word in ("comm", "node", "request", "mpi"))
                if node.func.attr.lower() in BLOCKING and (of_mpi or owner == "message"):
                    found.add((path.name, called))
    assert found == ALLOWED


@pytest.mark.ranks
@pytest.mark.parametrize("size", [0, 100, 300, 5000])
def test_values_of_any_size(tsc, size):
    comm, ranks = tsc.comm, range(tsc.size)
    own = (tsc.rank, "x" * size * (tsc.rank + 1))
    every = [(rank, "x" * size * (rank + 1)) for rank in ranks]
    assert allgather(comm, own) == every
    assert broadcast(comm, own, tsc.size - 1) == every[-1]
    assert gather(comm, own) == (every if tsc.rank == 0 else None)
    assert scatter(comm, every if tsc.rank == 0 else None) == own


@pytest.mark.ranks
@pytest.mark.parametrize("piece", [8, 1 << 30])
def test_arrays_between_pairs(tsc, monkeypatch, piece):
    monkeypatch.setattr(collectives, "PIECE_BYTES", piece)
    others = [rank for rank in range(tsc.size) if rank != tsc.rank]
    sent = [(rank, np.arange(5) + 10 * tsc.rank + 100 * rank) for rank in others]
    received = [(rank, np.zeros(5, np.int64)) for rank in others]
    transfer = Transfer(tsc.comm, sent, received)
    transfer.Test()
    transfer.finish()
    for rank, array in received:
        assert array.tolist() == [
            *range(10 * rank + 100 * tsc.rank, 10 * rank + 100 * tsc.rank + 5)
        ]


@pytest.mark.ranks
def test_nodes_are_the_same_on_all_ranks(tsc):
    nodes: Nodes = tsc.session._shared.nodes
    told = (nodes.members, nodes.of, nodes.hosts)
    assert allgather(tsc.comm, told) == [told] * tsc.size
    assert tsc.rank in nodes.near
    assert nodes.near == nodes.members[nodes.of[tsc.rank]]
    assert sum(allgather(tsc.comm, nodes.leads)) == len(nodes.members) == len(nodes.hosts)
    assert nodes.node.size == len(nodes.near)
