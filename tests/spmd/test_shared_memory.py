"""Exchange through memory that ranks share, and without it where there is none."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mpimages.spmd.shared_memory
from mpimages import ThunderContext
from mpimages.core.partition import Partition
from mpimages.core.workspace import Workspace
from mpimages.exchange.redistribution import Redistribution
from mpimages.spmd.shared_memory import Segments

from ..support.data import cut, recording, same_bits

pytestmark = pytest.mark.ranks


@pytest.fixture
def segments(tsc, monkeypatch):
    """Even where ranks share cores."""
    monkeypatch.setenv("MPIMAGES_SHARED_MEMORY", "1")
    made = Segments(tsc.session._shared.nodes)
    yield made
    made.trim()


def exchanged(tsc, array, images, limit, segments):
    """This rank's series, and whether they are right."""
    pixels = int(np.prod(array.shape[1:]))
    plan = Redistribution(
        images, Partition.balanced(pixels, tsc.size), array.dtype, limit, segments
    )
    start, stop = images.bounds(tsc.rank)
    own = array[start:stop].reshape(-1, pixels)
    rounds = plan.execute(tsc.comm, own, range(pixels), Workspace(0, 1))
    blocks = [np.empty((0, len(array)), array.dtype), *(block.copy() for block in rounds)]
    low, high = plan.pixels.bounds(tsc.rank)
    return same_bits(np.concatenate(blocks), array.reshape(-1, pixels).T[low:high])


def everywhere(tsc, value):
    return tsc.comm.allgather(value) == [value] * tsc.size


@given(
    st.integers(1, 20),
    st.lists(st.integers(1, 12), min_size=2, max_size=3),
    st.sampled_from(["uint8", "uint16", "float32", "float64"]),
    st.integers(1, 3000),
    st.sampled_from([1, 100, 1 << 20]),
    st.sampled_from([8, 100, 1024]),
    st.integers(0, 99),
)
def test_any_turns_and_any_distribution(tsc, count, dims, dtype, limit, turn, run, seed):
    array = recording(count, tuple(dims), dtype, seed)
    images = Partition.fromCounts(cut(count, tsc.size, seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPIMAGES_SHARED_MEMORY", "1")
        patch.setattr("mpimages.exchange.redistribution.TURN_BYTES", turn)
        patch.setattr("mpimages.exchange.redistribution.RUN_BYTES", run)
        segments = Segments(tsc.session._shared.nodes)
        for _ in range(2):  # the second finds the segments in use already
            assert everywhere(tsc, exchanged(tsc, array, images, limit, segments))
        segments.trim()


def test_segments_are_used_where_a_node_has_several_ranks(tsc, segments):
    several = len(segments.nodes.members) < tsc.size
    assert segments.usable == several
    array = recording(9, (7, 8), "uint16")
    assert exchanged(tsc, array, Partition.balanced(9, tsc.size), 500, segments)
    assert segments.usable == several
    assert bool(segments._maps) == several


def test_a_grown_segment_holds_what_is_written(tsc, segments):
    if not segments.usable:
        pytest.skip("every rank is on a node of its own")
    for size in (100, 3 << 20, 200):
        assert segments.reserve(size)
        for turn in range(3):
            value = (tsc.rank * 3 + turn) % 251
            assert len(segments.half(tsc.rank)) >= size
            segments.half(tsc.rank)[:] = value
            segments.meet()
            for rank in segments.nodes.near:
                assert (segments.half(rank) == (rank * 3 + turn) % 251).all()
            segments.turn()


@pytest.mark.parametrize("around", [1 << 20, (1 << 21) - 32, 3 << 20])
def test_halves_have_what_was_asked_for(tsc, segments, around):
    if not segments.usable:
        pytest.skip("every rank is on a node of its own")
    for size in range(around - 70, around + 70, 7):
        assert segments.reserve(size)
        assert len(segments.half(tsc.rank)) >= size
        segments.trim()


def test_zero_asks_for_messages(tsc, monkeypatch):
    if tsc.rank == tsc.size - 1:
        monkeypatch.setenv("MPIMAGES_SHARED_MEMORY", "0")
    with ThunderContext(tsc.comm, memory="1GB") as asked:
        assert asked.session.segments is None
        array = recording(9, (7, 8), "uint16")
        assert exchanged(asked, array, Partition.balanced(9, tsc.size), 500, None)


def no_memory(*_):
    raise OSError(28, "No space left on device")


def no_such_call(*_):
    raise AttributeError("an interpreter for older systems has no memfd_create")


def another_file(process, descriptor, size, token, part):
    return opened(process, descriptor, size, b"x" * len(token), part)


opened = mpimages.spmd.shared_memory._opened


@pytest.mark.parametrize(
    ("name", "failing"),
    [
        ("_made", no_memory),
        ("_made", no_such_call),
        ("_opened", no_memory),
        ("_opened", another_file),
    ],
)
def test_without_shared_memory_ranks_send_messages(tsc, segments, monkeypatch, name, failing):
    before = set(os.listdir("/proc/self/fd"))
    if tsc.rank == 0:  # what fails on one rank alone is given up by all
        monkeypatch.setattr(mpimages.spmd.shared_memory, name, failing)
    array = recording(9, (7, 8), "uint16")
    for _ in range(2):
        assert exchanged(tsc, array, Partition.balanced(9, tsc.size), 500, segments)
        assert not segments.usable
    assert set(os.listdir("/proc/self/fd")) == before


def test_nothing_is_left_open(tsc, segments):
    before = len(os.listdir("/proc/self/fd"))
    array = recording(9, (7, 8), "uint16")
    assert exchanged(tsc, array, Partition.balanced(9, tsc.size), 500, segments)
    assert len(os.listdir("/proc/self/fd")) <= before + 1  # that of the mapping
    segments.trim()
    assert len(os.listdir("/proc/self/fd")) == before


class Many(Segments):
    """Segments of many ranks, of which the plan needs no memory."""

    def __init__(self, nodes):
        self.usable = True
        self.nodes = SimpleNamespace(of=nodes, members=(tuple(range(len(nodes))),))


@pytest.mark.parametrize(
    ("ranks", "each", "expected"),
    [(2, 500, True), (16, 100, True), (64, 1000, False), (64, 3, True)],
)
def test_many_ranks_with_many_images_send_messages(ranks, each, expected):
    images, pixels = Partition.balanced(each * ranks, ranks), Partition.balanced(1 << 22, ranks)
    plan = Redistribution(images, pixels, np.dtype(np.uint16), 1 << 25, Many((0,) * ranks))
    assert (plan._shared is not None) == expected
    assert plan._shared is None or 2 * ranks * plan._shared._bytes <= 128 << 20
