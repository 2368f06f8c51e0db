"""Sources: paths in little memory, reading ahead on threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core.partition import Partition
from mpimages.core.workspace import Workspace
from mpimages.engine.sources import LocalSource, PathTable, runs


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
        min_size=1,
        max_size=9,
    )
)
def test_paths_come_back(paths):
    table = PathTable(paths)
    assert len(table) == len(paths)
    assert [table[i] for i in range(len(paths))] == paths


def test_relative_and_absolute_paths_mix():
    paths = ["/data/a.tif", "b.tif", "/data/c.tif"]
    assert [PathTable(paths)[i] for i in range(3)] == paths


def test_a_hundred_thousand_paths_take_few_bytes():
    table = PathTable([f"/recordings/of/somebody/img_{i:06d}.tif" for i in range(100_000)])
    assert len(table._bytes) + table._ends.nbytes < 100 * 100_000
    assert table[99_999].endswith("img_099999.tif")


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_runs_cover_positions(positions):
    found = [list(positions[a:b]) for a, b in runs(np.array(positions, dtype=np.int64))]
    assert [p for run in found for p in run] == positions
    assert all(run == list(range(run[0], run[-1] + 1)) for run in found)
    assert all(b[0] > a[-1] + 1 for a, b in itertools.pairwise(found))


class Numbers(LocalSource):
    """Record i is full of i; one of them may fail."""

    def __init__(self, count, bad=None):
        super().__init__(count, (3, 4), np.dtype(np.int32))
        self.bad = bad
        self.filled = []

    def fill(self, positions, out):
        for i, position in enumerate(positions):
            if position == self.bad:
                raise OSError(5, "unreadable", f"file {position}")
            self.filled.append(int(position))
            out[i] = position


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("limit", [1, 48, 100, 10**6])
def test_batches_come_whole_and_in_order(threads, count, limit):
    workspace = Workspace(0, threads)
    source = Numbers(count)
    batches = source.batches(range(count), Partition.balanced(count, 1), 0, limit, workspace)
    seen = [batch.copy() for batch in batches]
    values = [int(v) for batch in seen for v in batch[:, 0, 0]]
    assert values == list(range(count))
    assert all((batch == batch[:, :1, :1]).all() for batch in seen)
    assert sorted(source.filled) == list(range(count))  # each record is read once
    assert all(batch.nbytes <= max(48, limit) for batch in seen)
    workspace.close()


def test_a_failure_reaches_the_reader_and_nothing_writes_afterwards():
    workspace = Workspace(0, 2)
    source = Numbers(20, bad=7)
    seen = []

    def read():
        for batch in source.batches(range(20), Partition.balanced(20, 1), 0, 96, workspace):
            seen.extend(batch[:, 0, 0].tolist())

    with pytest.raises(OSError, match="unreadable"):
        read()
    assert seen == list(range(6))
    workspace.close()


def test_who_stops_early_leaves_no_work_behind():
    workspace = Workspace(0, 2)
    source = Numbers(100)
    batches = source.batches(range(100), Partition.balanced(100, 1), 0, 48, workspace)
    next(batches)
    batches.close()
    filled = len(source.filled)
    assert filled <= 2
    workspace.close()
    assert len(source.filled) == filled


def test_threads_are_settable(monkeypatch):
    from mpimages.spmd.cores import threads_per_rank

    monkeypatch.delenv("MPIMAGES_THREADS", raising=False)
    assert threads_per_rank(1) >= 1
    monkeypatch.setenv("MPIMAGES_THREADS", "3")
    assert threads_per_rank(1) == 3
    for wrong in ("0", "-1", "many", ""):
        monkeypatch.setenv("MPIMAGES_THREADS", wrong)
        with pytest.raises(ValueError, match="MPIMAGES_THREADS"):
            threads_per_rank(1)
