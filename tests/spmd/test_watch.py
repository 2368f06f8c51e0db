"""The handshake at the entry of actions, within a program whose ranks go on afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from mpimages import CollectiveMismatchError, ThunderContext
from mpimages.spmd.roll import Place

from ..support.data import recording, same_bits

pytestmark = pytest.mark.ranks


@pytest.fixture
def own(comm):
    """A communicator that no other test's contexts share."""
    return comm.Dup()


@pytest.mark.mpi(min_size=2)
def test_ranks_in_other_actions_are_told_and_the_context_is_closed(own):
    tsc = ThunderContext(own, memory="1GB")
    other = ThunderContext(own, memory="1GB")
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "int16"))
    with pytest.raises(
        CollectiveMismatchError,
        match=r"rank 0( on \S+)? is in Images\.max; rank 1( on \S+)? is in Images\.mean",
    ) as caught:
        (images.mean if own.rank % 2 else images.max)()
    assert set(own.allgather(str(caught.value))) == {str(caught.value)}
    with pytest.raises(RuntimeError, match="closed"):
        images.mean()
    assert "closed" in repr(tsc)
    assert "closed" in repr(other)  # it is of the same ranks
    tsc.close()
    with ThunderContext(own, memory="1GB") as again:
        array = recording(6, (4, 5), "int16")
        assert same_bits(again.loadImagesFromArray(array).max(), array.max(axis=0))


@pytest.mark.mpi(min_size=2)
def test_closing_is_an_action_too(own):
    tsc = ThunderContext(own, memory="1GB")
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "int16"))
    with pytest.raises(
        CollectiveMismatchError, match=r"rank 1( on \S+)? is in ThunderContext\.close"
    ):
        (tsc.close if own.rank else images.max)()
    assert own.allreduce(1) == own.size


def test_what_is_known_needs_no_other_rank(tsc):
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "int16"))
    if tsc.rank == 0:
        assert images.count() == 6
        assert images.keys().take(2) == [0, 1]
        assert images.planes is not None
        images.crop((0, 0), (2, 2))
    assert images.filter(lambda key, _: key > 1).count() == 4


def test_an_error_that_all_ranks_meet_leaves_them_in_step(tsc, monkeypatch):
    monkeypatch.setattr("mpimages.spmd.watch.ARRIVE", 0.0)
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "int16"))
    watch = tsc.session._shared.watch
    for _ in range(3):
        with pytest.raises(TypeError):
            images["a"]
        tsc.comm.Barrier()  # that the others have left, too, is on its way
        watch.look_about(0.0)
        watch.look_about(0.0)
    assert images.count() == 6
    assert tsc.session.is_open


def test_one_meeting_for_actions_within_actions(tsc):
    images = tsc.loadImagesFromArray(recording(6, (4, 5), "int16"))
    watch = tsc.session._shared.watch
    before = watch._sequence
    images.first()
    images.toSeries().filterOnKeys(lambda key: key[0] > 1).count()
    assert watch._sequence - before == (2 if tsc.size > 1 else 0)
    assert watch.depth == 0
    with pytest.raises(KeyError):
        images[7]
    assert watch.depth == 0


@pytest.mark.parametrize("wrong", [0, -1, "soon", np.nan, True, []])
def test_what_is_no_time_limit(own, wrong):
    with pytest.raises((TypeError, ValueError), match=r"timeout must be a (positive )?number"):
        ThunderContext(own, timeout=wrong)


def test_a_time_limit_of_the_environment(own, monkeypatch):
    monkeypatch.setenv("MPIMAGES_TIMEOUT", "0")
    with pytest.raises(ValueError, match="MPIMAGES_TIMEOUT must be a positive"):
        ThunderContext(own)
    monkeypatch.setenv("MPIMAGES_TIMEOUT", "100")
    with ThunderContext(own, memory="1GB") as tsc:
        assert tsc.session._limit == 100


@pytest.mark.mpi(min_size=3)
def test_a_rank_that_is_ahead_has_not_left_while_another_is_silent(own, monkeypatch):
    """The result of an agreement may be held up where a link is cut: it arrives with the link."""
    monkeypatch.setattr("mpimages.spmd.watch.ARRIVE", -1.0)
    tsc = ThunderContext(own, memory="1GB")
    watch = tsc.session._shared.watch
    ahead, *silent = [rank for rank in range(tsc.size) if rank != tsc.rank]
    monkeypatch.setattr(watch.roll, "listen", lambda place: False)
    own.Barrier()  # nobody hears of the others' errors below
    watch.roll._note(ahead, Place(watch._sequence + 1, 0, "in", "Images.max"))
    watch.look_about(0.0)
    assert not watch.broken
    for rank in silent:
        watch.roll._note(rank, Place(watch._sequence, 0, "waits", "Images.mean"))
    with pytest.raises(CollectiveMismatchError, match=f"rank {ahead} has left"):
        watch.look_about(1.0)
    assert watch.broken
