"""Who waits tells rank 0 alone, and learns from it where all are."""

from __future__ import annotations

import re
import time

import pytest

from mpimages import ThunderContext
from mpimages.spmd import roll, waiting, watch
from mpimages.spmd.collectives import allgather, barrier

from ..support.data import recording

pytestmark = [pytest.mark.ranks, pytest.mark.mpi(min_size=2)]


@pytest.fixture
def hasty(comm, monkeypatch):
    """A context whose ranks lose patience soon, and (kind, rank) of the messages that they send."""
    monkeypatch.setattr(watch, "ASK", 0.02)
    monkeypatch.setattr(watch, "GLANCE", 0.0)
    monkeypatch.setattr(roll, "PERIOD", 0.05)
    sent = []
    before = roll.Roll._send

    def send(self, message, ranks):
        ranks = list(ranks)
        sent.extend((getattr(message, "kind", type(message).__name__), rank) for rank in ranks)
        before(self, message, ranks)

    monkeypatch.setattr(roll.Roll, "_send", send)
    with ThunderContext(comm.Dup(), memory="1GB", progress=False) as context:
        yield context, sent


def test_a_straggler_is_told_to_rank_0_and_by_it(hasty):
    tsc, sent = hasty
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "int16"))
    last = tsc.size - 1
    found = tsc.session._shared.watch.roll
    barrier(tsc.comm)
    sent.clear()
    if tsc.rank == last:
        time.sleep(1.0)  # in the user's program
    images.mean()
    places = dict(found.places)
    everywhere = allgather(tsc.comm, list(sent))
    for rank, messages in enumerate(everywhere):
        to = {other for _, other in messages}
        assert rank == 0 or to <= {0}, messages
        # Some four in a period of those that wait; nobody is asked again before it has answered.
        assert len(messages) < 4 * tsc.size * (1.0 / 0.05)
    # Asked once, and once more after it has answered at last.
    assert everywhere[0].count(("NoneType", last)) <= 3, everywhere[0]
    if tsc.size > 2:
        told = allgather(tsc.comm, {rank: place.kind for rank, place in places.items()})
        for rank in range(last):
            assert set(range(last)) - {rank} <= set(told[rank]), told[rank]


def test_a_rank_that_works_answers(hasty):
    tsc, _ = hasty
    array = recording(30 * tsc.size, (4, 5), "int16")
    last, texts = tsc.size - 1, []

    def slow(image):
        if tsc.rank == last:
            time.sleep(0.02)
        return image

    told = tsc.session._shared.watch
    images = tsc.loadImagesFromArray(array).apply(slow, dims=(4, 5), dtype="int16")
    look = told.look_about

    def looking(waited):
        look(waited)
        texts.append(told._told(1.0))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(waiting._lookouts, tsc.comm.handle, looking)
        images.mean()
    every = allgather(tsc.comm, texts)
    works = re.compile(rf"rank {last}( on \S+)? works in Images\.mean")
    assert any(map(works.search, every[0])), every[0][-3:]
