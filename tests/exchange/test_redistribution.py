"""Columns in any order, some of them to several ranks; and turns of a part of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core.partition import Partition
from mpimages.core.workspace import Workspace
from mpimages.exchange import redistribution
from mpimages.exchange.redistribution import Redistribution
from mpimages.spmd.shared_memory import Segments

from ..support.data import cut, recording, same_bits

pytestmark = pytest.mark.ranks


@pytest.fixture(params=["memory", "messages"])
def segments(tsc, monkeypatch, request):
    """The shared memory of the ranks, even where they share cores; or None."""
    monkeypatch.setenv("MPIMAGES_SHARED_MEMORY", "1")
    made = Segments(tsc.session._shared.nodes) if request.param == "memory" else None
    yield made
    if made is not None:
        made.trim()


@given(
    st.integers(0, 60),
    st.lists(st.integers(0, 8), max_size=30),
    st.sampled_from(["uint8", "float64"]),
    st.sampled_from([1, 700, 1 << 20]),
    st.sampled_from([16, 100, 1 << 20]),
    st.integers(0, 99),
)
def test_any_columns_of_any_rows(tsc, segments, rows, columns, dtype, limit, turn, seed):
    array = recording(rows, (9,), dtype, seed)
    owners = Partition.fromCounts(cut(rows, tsc.size, seed))
    wanted = Partition.fromCounts(cut(len(columns), tsc.size, seed + 1))
    right = []
    kept = redistribution.TURN_BYTES
    redistribution.TURN_BYTES = turn  # turns of few rows
    try:
        for tall in (True, False):
            plan = Redistribution(owners, wanted, array.dtype, limit, segments, tall)
            own = array[slice(*owners.bounds(tsc.rank))]
            numbers = np.array(columns, dtype=np.int64)
            moved = plan.execute(tsc.comm, own, numbers, Workspace(0, 1))
            found = [np.empty((0, rows), dtype), *(block.copy() for block in moved)]
            expected = array[:, numbers[slice(*wanted.bounds(tsc.rank))]].T.copy()
            right.append(same_bits(np.concatenate(found), expected))
            whole = np.empty((wanted.counts[tsc.rank], rows), dtype)
            for _ in plan.execute(tsc.comm, own, numbers, Workspace(0, 1), whole):
                pass
            right.append(same_bits(whole, expected))
    finally:
        redistribution.TURN_BYTES = kept
    assert tsc.comm.allgather(right) == [[True] * 4] * tsc.size
