"""Whatever some ranks do alone, no job hangs, and each says once what was wrong."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..support.effort import draws
from ..support.jobs import Job

pytestmark = pytest.mark.slow


def run(ranks, case, *arguments):
    with Job(ranks, "astray.py", case, *arguments) as job:
        began = time.monotonic()
        code = job.wait()
        return code, job.output, time.monotonic() - began


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("zero_alone_mean", ["rank 0 is in Images.mean", "rank 1 has ended"]),
        ("zero_alone_first", ["rank 0 is in Images.first", "rank 1 has ended"]),
        ("zero_alone_save", ["rank 0 is in Images.saveAsBinarySeries", "rank 1 has ended"]),
        ("zero_alone_then_all", ["rank 0 is in Images.mean", "rank 1 is in Images.max"]),
        ("last_exits_0", ["rank 0 is in Images.mean", "has ended"]),
        ("last_exits_3", ["rank 0 is in Images.mean", "has ended"]),
        ("last_returns", ["rank 0 is in Images.mean", "has ended"]),
        ("one_closes", ["rank 0 is in Images.mean", "is in ThunderContext.close"]),
        ("last_leaves_a_loop", ["rank 0 is in Images.__iter__", "is in Images.max"]),
    ],
)
def test_ranks_that_part(tmp_path, ranks, case, told):
    code, output, _ = run(ranks, case, tmp_path)
    assert code != 0
    for text in ["CollectiveMismatchError: the ranks called", *told]:
        assert output.count(text) == 1, output
    assert output.count("Traceback (most") == 1, output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    "case", ["last_raises", "last_raises_others_are_busy", "last_raises_others_wait_elsewhere"]
)
def test_a_rank_that_fails_ends_the_job(ranks, case):
    code, output, _ = run(ranks, case)
    assert code != 0
    assert output.count("LookupError: lost my way") == 1, output
    assert output.count("Traceback (most") == 1, output


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_failure_of_all_is_printed_once_by_the_rank_that_has_the_cause(ranks):
    code, output, _ = run(ranks, "function_raises")
    assert code == 1
    assert output.count("Traceback (most") == 2, output  # the cause, and what became of it
    assert output.count('raise LookupError("lost my way")') == 1
    assert output.count("Images.mean: lost my way") == 1


def test_a_failure_that_only_one_rank_does_not_catch_is_printed_by_it():
    code, output, _ = run(2, "caught_by_others")
    assert code != 0
    assert output.count("lost my way") == 1, output


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_function_that_exits(ranks):
    code, output, _ = run(ranks, "function_exits_3")
    assert code == 3
    assert "Traceback" not in output


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_what_is_no_mistake(ranks):
    cases = ["caught", "function_is_interrupted", "slow", "nothing"]
    code, output, _ = run(ranks, ",".join(cases))
    assert code == 0, output
    assert output.count("well") == ranks * len(cases)
    assert "Traceback" not in output
    assert output.count("waiting for 1 s") == ranks - 1, output
    if ranks == 2:
        assert "rank 0 is in Images.max; rank 1 not heard from since" in output


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_hook_is_put_back(ranks):
    code, output, _ = run(ranks, "hook_is_put_back")
    assert code == 0, output
    assert output.count("well") == ranks
    assert "Traceback" not in output
    assert "waiting" not in output


@pytest.mark.parametrize("ranks", [2, 3])
def test_after_a_mismatch_the_context_is_closed_and_the_program_may_go_on(ranks):
    code, output, _ = run(ranks, "told_again")
    assert code == 0, output
    assert output.count("well") == ranks


@pytest.mark.parametrize("case", ["other_arguments", "last_begins_a_loop_again"])
def test_other_arguments_are_told(case):
    code, output, _ = run(2, case)
    assert code != 0
    assert output.count("gave other arguments") == 1, output


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("case", ["refused_alone", "refused_alone_and_goes_on"])
def test_a_rank_that_left_an_action_by_an_error_of_its_own(ranks, case):
    code, output, _ = run(ranks, case)
    assert code != 0
    assert output.count("refused\n") == 1, output
    assert output.count(f"rank {ranks - 1} has left Images.__getitem__, in which rank 0") == 1, (
        output
    )
    assert output.count("Traceback (most") == 1, output


def test_an_end_is_told_although_a_third_is_busy():
    code, output, _ = run(3, "one_ends_one_is_busy")
    assert code != 0
    assert "rank 0 is in Images.mean; rank 1 has ended; rank 2 not heard from" in output, output


def test_two_that_differ_do_not_wait_for_a_third():
    code, output, seconds = run(3, "third_is_busy")
    assert code != 0
    assert "rank 0 is in Images.mean; rank 1 is in Images.max" in output, output
    assert "rank 2 not heard from" in output
    assert seconds < 22


def test_silence_has_a_limit_where_one_was_set():
    code, output, _ = run(2, "silent")
    assert code != 0
    assert output.count("CollectiveMismatchError: waited 1 s for the others") == 1, output
    assert output.count("Traceback (most") == 1, output


@pytest.mark.parametrize("ranks", [2, 4])
def test_who_comes_after_the_limit_is_told(ranks):
    code, output, _ = run(ranks, "late")
    assert code == 0, output
    assert output.count("told") == ranks - 1, output
    assert output.count("well") == ranks, output


@pytest.mark.parametrize("ranks", [2, 4])
def test_all_can_make_a_new_context_after_one_has_failed_alone(ranks):
    code, output, _ = run(ranks, "fails_alone_and_goes_on")
    assert code == 0, output
    assert output.count("well") == ranks, output


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_first_context_that_only_one_rank_makes(ranks):
    with Job(ranks, "unmet.py", 3) as job:
        assert job.wait() != 0
    told = "in ThunderContext for the other ranks of its communicator"
    assert 4 <= job.output.count(told) <= 8, job.output  # warnings, the print, the traceback
    assert job.output.count("Traceback (most") == 1, job.output
    assert "MPIMAGES_TIMEOUT is the limit" in job.output


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize(
    ("case", "told", "times"),
    [
        ("one", "LookupError: lost my way", 1),
        ("import", "\nKeyboardInterrupt\n", 1),
        ("all", "LookupError: lost my way", None),
        ("after", "LookupError: lost my way", 1),
    ],
)
def test_a_rank_that_fails_where_no_context_is(ranks, case, told, times):
    with Job(ranks, "early.py", case) as job:
        code = job.wait()
    assert job.output.count(told) == (times or ranks), job.output
    # Where all end by themselves nobody is ended by a signal.
    assert code == 1 if case in ("all", "after") else code not in (0, 1)


@pytest.mark.drawn
def test_what_was_printed_before_an_abort_arrives():
    def said(_):
        with Job(2, "aborting.py") as job:
            assert job.wait() != 0
        return job.output

    # A launcher that has no time drops it once in ten times, unless one waits for it.
    with ThreadPoolExecutor(4) as threads:
        for output in threads.map(said, range(draws(20, 40))):
            assert "the reason\n" in output


def of_contexts(ranks, cases, *arguments):
    """What each rank met in each case, once all had gone on."""
    cases = cases.split()
    with Job(ranks, "contexts.py", ",".join(cases), *arguments) as job:
        assert job.wait() == 0, job.output
    return json.loads(job.output.splitlines()[-1])


@pytest.mark.parametrize("shared", ["0", "1"])
def test_collections_of_two_contexts_are_told_apart(tmp_path, monkeypatch, shared):
    monkeypatch.setenv("MPIMAGES_SHARED_MEMORY", shared)
    found = of_contexts(
        2, "mean toArray series save load closes_in_another_order", tmp_path / "out"
    )
    assert found == [["CollectiveMismatchError"] * 2] * 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "said",
    [
        {
            "of_duplicates": "3.0",
            "within_a_function": "RuntimeError",
            "threads_of_one": "RuntimeError/RuntimeError/RuntimeError/RuntimeError/9.0",
            "threads_of_their_own": "1.0/2.0/3.0",
        },
        {"never_closed": "7.0"},
        {"never_closed_duplicates": "RuntimeError7.0"},
    ],
    ids=lambda said: next(iter(said)),
)
def test_many_contexts(said):
    assert of_contexts(2, " ".join(said)) == [[one] * 2 for one in said.values()]


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_exceptions_whose_own_code_fails(tmp_path, ranks):
    found = of_contexts(ranks, "exceptions", tmp_path / "out")[0]
    assert found == [found[0]] * ranks
    for name, said in found[0].items():
        kind, after = said.split()
        assert not kind[0].isdigit(), (name, said)  # it was raised
        assert after == "1.0", (name, said)  # and the ranks went on
    assert list(tmp_path.iterdir()) == []
