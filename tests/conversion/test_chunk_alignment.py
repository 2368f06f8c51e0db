"""Records in whole slabs, whoever had their parts; on all ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages.conversion.chunk_alignment import Slabs
from mpimages.core.partition import Partition

from ..support import counting


def record(number):
    return np.array([number, -number, number * number])


@pytest.mark.ranks
@given(st.data())
def test_slabs_are_whole_and_each_record_is_emitted_once(data):
    comm = MPI.COMM_WORLD
    grain, count = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 40))
    numbers = range(-(-count // grain))
    kept = data.draw(st.one_of(st.none(), st.sets(st.sampled_from(numbers), min_size=1)))
    places = range(count)
    if kept is not None:
        places = np.array([place for place in places if place // grain in kept])
    cuts = data.draw(st.lists(st.integers(0, len(places)), min_size=comm.size - 1))
    offsets = (0, *sorted(cuts[: comm.size - 1]), len(places))
    step = data.draw(st.integers(1, 9))
    emitted = {}

    def emit(first, records):
        assert first % grain == 0
        assert len(records) % grain == 0 or first + len(records) == count
        for i, one in enumerate(records):
            assert first + i not in emitted
            emitted[first + i] = one

    slabs = Slabs(grain, count, places, Partition(offsets), emit)
    start, stop = offsets[comm.rank : comm.rank + 2]
    for begin in range(start, stop, step):
        for place in places[begin : min(stop, begin + step)]:
            slabs.add(int(place), record(place)[np.newaxis])
    counted = counting.Counted(comm)
    counting.restart()
    slabs.finish(counted, "test")
    # Two agreements, and what this rank has of a slab that began before its own records.
    most = 2 * counting.depth(comm.size) + 1
    assert counting.tally["messages"] <= most
    everywhere = comm.allgather(emitted)
    merged = {place: one for rank in everywhere for place, one in rank.items()}
    assert sum(map(len, everywhere)) == len(merged) == len(places)
    assert all((merged[int(place)] == record(place)).all() for place in places)
