"""What a notebook shows of an error that several ranks agreed on."""

import traceback

import pytest

from mpimages.core import notebooks

pytestmark = pytest.mark.ranks


def functions(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_the_frames_of_the_package_are_hidden_for_a_while(tsc):
    with pytest.raises(FileNotFoundError) as caught:
        tsc.loadImages("wrong/path")
    error = caught.value
    before = functions(error), error.__cause__, error.__context__, error.__suppress_context__
    assert len(before[0]) > 2
    with notebooks._without_package(error):
        assert functions(error) == ["test_the_frames_of_the_package_are_hidden_for_a_while"]
        assert error.__cause__ is None  # the same error, where it was first raised
    assert before == (
        functions(error),
        error.__cause__,
        error.__context__,
        error.__suppress_context__,
    )


def test_a_cause_that_has_a_frame_of_the_user_is_kept(tsc):
    def fails(image):
        raise LookupError("mine")

    images = tsc.loadExample("fish-images").apply(fails)
    with pytest.raises(LookupError) as caught:
        images.max()
    shown = []
    with notebooks._without_package(caught.value):
        shown += functions(caught.value)
        if caught.value.__cause__ is not None:  # of another rank's error one has no frames
            shown += functions(caught.value.__cause__)
    assert "fails" in shown or tsc.rank > 0
    assert shown.count("test_a_cause_that_has_a_frame_of_the_user_is_kept") == 1
    assert set(shown) <= {"fails", "test_a_cause_that_has_a_frame_of_the_user_is_kept"}


def test_a_circle_of_causes_ends():
    first, second = ValueError(1), ValueError(2)
    first.__cause__, second.__cause__ = second, first
    with notebooks._without_package(first):
        pass
    assert first.__cause__ is second
    assert second.__cause__ is first
