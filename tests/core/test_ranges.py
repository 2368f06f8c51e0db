"""Runs of ascending numbers."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core.ranges import runs_of


@given(st.sets(st.integers(0, 40)))
def test_runs_hold_the_numbers_and_do_not_touch(numbers):
    runs = runs_of(np.array(sorted(numbers), dtype=np.int64))
    assert [n for a, b in runs for n in range(a, b)] == sorted(numbers)
    assert all(b < c for (_, b), (c, _) in itertools.pairwise(runs))
