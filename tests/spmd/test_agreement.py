"""One failure becomes the same exception on all ranks, and leaves them in step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core.partition import Partition
from mpimages.errors import FormatError, RankError
from mpimages.spmd import collectives
from mpimages.spmd.agreement import Together, allgather_rows, from_rank
from mpimages.spmd.collectives import allreduce, broadcast_array

pytestmark = pytest.mark.ranks


class Unbuildable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail(error):
    raise error


FAILURES = [
    (ValueError("no such thing"), ValueError, "no such thing"),
    (FormatError("a.tif: torn"), FormatError, "a.tif: torn"),
    (KeyError("no image 7"), KeyError, "no image 7"),
    (FileNotFoundError(2, "No such file or directory", "b.tif"), FileNotFoundError, "b.tif"),
    (OSError(28, "No space left on device", "c.h5"), OSError, "c.h5"),
    (MemoryError("too much"), MemoryError, "too much"),
    (MemoryError("Images.mean: too much"), MemoryError, "Images.mean: too much"),
    (KeyboardInterrupt(), KeyboardInterrupt, ""),
    (Unbuildable(1, 2), RankError, "Unbuildable: 1 and 2"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), RankError, "UnicodeDecodeError"),
]


@pytest.mark.parametrize(("error", "kind", "text"), FAILURES)
def test_the_same_on_all_ranks(comm, error, kind, text):
    with pytest.raises(BaseException) as caught, Together(comm, "Images.mean"):  # noqa: PT011
        if comm.rank == comm.size - 1:
            raise error
    if comm.size == 1:
        assert caught.value is error
        assert "Images.mean" in error.__notes__[0]
        error.__notes__.clear()
        return
    assert type(caught.value) is kind
    message = str(caught.value)
    assert text in message
    assert f"rank {comm.size - 1} of {comm.size}" in message
    assert message.count("Images.mean") == 1
    assert set(comm.allgather(message)) == {message}
    assert caught.value.__cause__ is (error if comm.rank == comm.size - 1 else None)
    if isinstance(error, OSError):
        assert caught.value.errno == error.errno


@pytest.mark.mpi(min_size=3)
def test_the_lowest_is_raised_and_the_others_are_counted(comm):
    with (
        pytest.raises(ValueError, match=rf"rank 1 .*mine: 1 \({comm.size - 2} more"),
        Together(comm, "x"),
    ):
        if comm.rank:
            raise ValueError(f"mine: {comm.rank}")


def test_ranks_are_in_step_afterwards(comm):
    for turn in range(3):
        with pytest.raises(ZeroDivisionError), Together(comm, "x"):
            if comm.rank == turn % comm.size:
                raise ZeroDivisionError("x")
        assert comm.allreduce(1) == comm.size


def test_an_agreed_failure_passes_outer_agreements(comm):
    with (
        pytest.raises(ValueError, match="inner") as caught,
        Together(comm, "outer"),
        Together(comm, "middle"),
    ):
        if comm.rank == 0:
            pass  # ranks may differ in what they do, not in what they agree on
        with Together(comm, "inner"):
            raise ValueError("inner") if comm.rank == 0 else ZeroDivisionError("later")
    assert "middle" not in str(caught.value)


def test_attempts_hold_the_first_failure(comm):
    together = Together(comm, "x")
    for turn in range(3):
        comm.Barrier()
        with together.attempt():
            if comm.rank == 0:
                raise ValueError(f"turn {turn}")
    assert together.failed == (comm.rank == 0)
    with pytest.raises(ValueError, match="turn 0"):
        together.agree()


def test_from_rank(comm):
    last = comm.size - 1
    assert from_rank(comm, last, "x", lambda: comm.rank) == last
    with pytest.raises(FormatError, match="torn"):
        from_rank(comm, last, "x", fail, FormatError("torn"))


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.integers(8, 64),
    st.sampled_from(["uint8", "float16", "int64"]),
)
def test_rows_of_all_ranks(comm, shape, piece, dtype):
    counts = [(3 * rank) % 4 for rank in range(comm.size)]
    rows = np.full((counts[comm.rank], *shape), comm.rank, dtype=dtype)
    for limit in (piece, collectives.PIECE_BYTES):
        before, collectives.PIECE_BYTES = collectives.PIECE_BYTES, limit
        try:
            every = allgather_rows(comm, rows, Partition.fromCounts(counts))
        finally:
            collectives.PIECE_BYTES = before
        assert np.array_equal(
            every,
            np.repeat(np.arange(comm.size), counts).reshape((-1,) + (1,) * len(shape))
            * np.ones((1, *shape), dtype),
        )
        assert every.dtype == dtype


def test_large_arrays_go_in_pieces(comm, monkeypatch):
    monkeypatch.setattr(collectives, "PIECE_BYTES", 24)
    array = np.arange(11, dtype=np.int64)
    assert np.array_equal(allreduce(comm, array.copy()), array * comm.size)
    mine = array.reshape(11, 1) if comm.rank == 0 else np.zeros((11, 1), np.int64)
    assert np.array_equal(broadcast_array(comm, mine, 0)[:, 0], array)


class Unshowable(Exception):
    def __str__(self):
        return self.missing


def test_an_exception_that_cannot_be_shown(comm):
    last = comm.size - 1
    kind = Unshowable if comm.size == 1 else RankError
    with pytest.raises(kind), Together(comm, "x"):
        if comm.rank == last:
            raise Unshowable


class Kept(Exception):
    """It can neither be copied nor made of a message alone."""

    def __init__(self, text, number):
        super().__init__(text, number)
        self.number = number

    def __reduce__(self):
        raise TypeError("not to be copied")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Kept("red\x1b[31m \u202e", 5), RankError),
        (ValueError("red\x1b[31m \u202e"), ValueError),
        (KeyError("red\x1b[31m \u202e"), KeyError),
    ],
    ids=["kept", "value", "key"],
)
def test_an_exception_of_the_users_function_keeps_its_arguments(tsc, comm, error, kind):
    given = error.args

    def fail(image):
        if image[0, 0] == comm.size - 1:
            raise error
        return image

    values = np.arange(comm.size, dtype="uint8").repeat(6).reshape(-1, 2, 3)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        tsc.loadImagesFromArray(values).apply(fail, (2, 3), "uint8").mean()
    if comm.rank == comm.size - 1:
        assert (caught.value if comm.size == 1 else caught.value.__cause__) is error
    assert error.args == given
    if comm.size > 1:
        assert type(caught.value) is kind
        assert r"red\x1b[31m" in caught.value.args[0]
        assert "\x1b" not in str(caught.value)
    error.__traceback__ = None
    getattr(error, "__notes__", []).clear()


def test_an_old_exception_raised_again_on_one_rank_is_a_new_failure(comm):
    kept = []
    for _ in range(2):
        with pytest.raises(ValueError, match="first") as caught, Together(comm, "x"):
            if kept and comm.rank == 0:
                raise kept[0]
            if not kept:
                raise ValueError("first")
        kept.append(caught.value)
    assert comm.allreduce(1) == comm.size


def test_agreement_on_one_rank_is_none_on_all(comm):
    from mpi4py import MPI

    with pytest.raises(ValueError, match="alone"), Together(comm, "outer"):
        if comm.rank == comm.size - 1:
            with Together(MPI.COMM_SELF, "inner"):
                raise ValueError("alone")
    assert comm.allreduce(1) == comm.size


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int64", "float64"])
@pytest.mark.ranks
def test_extrema_over_ranks_of_values_with_the_highest_bit(comm, dtype):
    from mpi4py import MPI

    # Enough values for the vectorised loops of an MPI, whose tails may be other code.
    rows = np.random.RandomState(4).bytes(comm.size * 101 * 8)
    kind = np.dtype(dtype)
    rows = np.frombuffer(rows, "u8").astype(kind).reshape(comm.size, 101)
    for op, expected in [(MPI.MAX, rows.max(axis=0)), (MPI.MIN, rows.min(axis=0))]:
        np.testing.assert_array_equal(allreduce(comm, rows[comm.rank].copy(), op), expected)
