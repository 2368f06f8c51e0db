"""The rule of who owns what, by arithmetic alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core.partition import Partition


@given(st.integers(0, 10**12), st.integers(1, 40), st.integers(1, 1000))
def test_balanced_covers_all_and_differs_by_a_grain(count, parts, grain):
    partition = Partition.balanced(count, parts, grain)
    assert partition.count == count
    assert partition.parts == parts
    assert sum(partition.counts) == count
    assert all(cut % grain == 0 for cut in partition.offsets[:-1] if cut < count)
    assert max(partition.counts) - min(partition.counts) <= 2 * grain


def owner(partition, item):
    return next(
        r for r in range(partition.parts) if partition.bounds(r)[0] <= item < partition.bounds(r)[1]
    )


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(0, 2**30))
def test_a_selection_stays_with_its_owners(counts, bits):
    partition = Partition.fromCounts(counts)
    kept = np.array([i for i in range(partition.count) if bits >> (i % 30) & 1], dtype=np.int64)
    restricted = partition.restricted(kept)
    assert restricted.count == len(kept)
    assert [owner(restricted, i) for i in range(len(kept))] == [owner(partition, k) for k in kept]


@pytest.mark.parametrize("offsets", [(), (0,), (1, 2), (0, 3, 2)])
def test_tables_that_are_none(offsets):
    with pytest.raises(ValueError, match="offsets"):
        Partition(offsets)


@pytest.mark.parametrize("arguments", [(-1, 2), (3, 0), (3, 2, 0)])
def test_cuts_that_cannot_be(arguments):
    with pytest.raises(ValueError, match="cannot cut"):
        Partition.balanced(*arguments)


def test_parts_out_of_range():
    partition = Partition.balanced(3, 2)
    for wrong in (lambda: partition.bounds(2), lambda: partition.bounds(-1)):
        with pytest.raises(IndexError):
            wrong()


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9), st.data())
def test_a_range_is_restricted_like_the_array_of_its_numbers(counts, data):
    partition = Partition.fromCounts(counts)
    start, step = data.draw(st.integers(0, partition.count)), data.draw(st.integers(1, 4))
    kept = range(start, data.draw(st.integers(start, partition.count)), step)
    assert partition.restricted(kept) == partition.restricted(np.array(kept, dtype=np.int64))


def test_a_range_is_restricted_without_being_written_out():
    partition = Partition.balanced(1 << 62, 3)
    assert partition.restricted(range(1 << 62)) == partition
