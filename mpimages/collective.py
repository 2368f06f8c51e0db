"""Agreement between ranks, and transfers whose counts may exceed 2**31.

The rule that keeps a job from hanging: between two collective calls nothing may raise on
some ranks only. `Together` is how the code keeps it. Local work runs inside it; what a rank
raises there is held until every rank has come to the end, and then raised on all of them.
"""

from __future__ import annotations

import itertools
import pickle
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import numpy as np
from mpi4py import MPI

from .errors import CollectiveMismatchError, RankError
from .partition import Partition
from .phases import phase
from .shown import WHOLE, escape_message, shown
from .waiting import complete

__all__ = [
    "Together",
    "allgather_in_place",
    "allgather_rows",
    "allreduce",
    "broadcast_array",
    "from_rank",
    "mark_agreed",
]

ErrorType = TypeVar("ErrorType", bound=BaseException)

# Counts of one MPI call stay below this, so that an MPI without large counts is enough.
PIECE_BYTES = 1 << 30

SIGN_BIT = np.uint64(1 << 63)


class Together:
    """Local work that ends in agreement: it fails on every rank or on none.

    As a context manager it agrees at the end of the block. Where collective calls stand
    between pieces of local work, each piece goes into `attempt` and `agree` comes last.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    action : str
        What is being done, for the message: ``"Images.mean"``.
    given : object
        With what it is being done: ranks whose `given` looks different (by its repr) are
        out of step.

    Notes
    -----
    The agreement is one Allreduce of three integers. The exception of the lowest failing rank
    is raised, on all ranks with the same type and message; on the failing rank it carries
    the original as its cause. Ranks that meet here in different actions, or in the same one
    with other arguments, get a CollectiveMismatchError that says who is where.
    """

    def __init__(self, comm: MPI.Intracomm, action: str, given: object = None) -> None:
        self.comm = comm
        self.action = action
        self.given = given
        self.failure: BaseException | None = None
        self._began = next(_moments)

    @property
    def failed(self) -> bool:
        """Whether this rank has failed already. Local."""
        return self.failure is not None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Hold what the block raises; the first failure is the one that counts. Local."""
        try:
            yield
        except BaseException as error:
            if self.failure is None:
                self.failure = error

    def agree(self) -> None:
        """Raise on every rank if any rank has failed. Collective."""
        comm = self.comm
        token = zlib.crc32(f"{self.action} {shown(self.given, WHOLE)}".encode(errors="replace"))
        lowest = np.array([comm.rank if self.failed else comm.size, token, -token])
        complete(comm, comm.Iallreduce(MPI.IN_PLACE, lowest, op=MPI.MIN), lowest)
        if lowest[1] != -lowest[2]:
            self._raise_mismatch()
        if lowest[0] < comm.size:
            self._raise_everywhere(int(lowest[0]))

    def _raise_mismatch(self) -> NoReturn:
        given = "" if self.given is None else f" with {shown(self.given)}"
        places = self.comm.allgather(f"{self.action}{given}"[:300])
        where = "; ".join(f"rank {rank} is in {place}" for rank, place in enumerate(places[:8]))
        message = f"the ranks called different methods, or gave other arguments: {where}"
        raise mark_agreed(CollectiveMismatchError(message), self.comm) from self.failure

    def _raise_everywhere(self, lowest: int) -> NoReturn:
        comm, own = self.comm, self.failure
        if own is not None:
            escape_message(own)
        failures = comm.allreduce(int(self.failed))
        if comm.size == 1:
            assert own is not None
            own.add_note(f"in {self.action}, rank 0 of 1 on {socket.gethostname()}")
            try:
                raise mark_agreed(own, comm)
            finally:
                # What knows the frames that know it would be kept, with all of their arrays,
                # until the garbage is collected.
                self.failure = own = None
        code = own.code if isinstance(own, SystemExit) else None
        place = f"rank {comm.rank} of {comm.size} on {socket.gethostname()}, {self.action}"
        described = None if own is None else (*_describe(own, place), code)
        pickled, number, message, code = comm.bcast(described, lowest)
        others = f" ({failures - 1} more ranks failed)" if failures > 1 else ""
        error = _rebuild(pickled, number, message + others)
        if isinstance(error, SystemExit):
            error.code = code  # what the program wanted to end with
        try:
            raise mark_agreed(error, comm, lowest) from own
        finally:
            self.failure = own = None
            del error

    def _is_agreed(self, error: BaseException) -> bool:
        """Whether an agreement of the same ranks, since this one began, has raised it."""
        comm, moment = getattr(error, "agreed", (None, -1))
        return comm is not None and comm == self.comm and moment > self._began

    def __enter__(self) -> Together:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            if self._is_agreed(error):
                return  # every rank is raising this one: an inner agreement did its work
            if self.failure is None:
                self.failure = error
        del error, trace  # see `_raise_everywhere`
        self.agree()


# Tells what came first on this rank: an error that was agreed on before counts as new.
_moments = itertools.count()


def mark_agreed(error: ErrorType, comm: MPI.Intracomm, teller: int = 0) -> ErrorType:
    """Mark an exception that all of comm's ranks raise now, so that outer agreements let it pass.

    Local. The mark says when, for a program may keep an exception and raise it again on one
    rank alone; and which rank is to print it where nobody catches it.
    """
    # One with slots cannot bear the mark; an outer agreement then repeats itself.
    with suppress(AttributeError):
        error.agreed = (comm, next(_moments))  # type: ignore[attr-defined]
        error.agreed_by = (comm, teller)  # type: ignore[attr-defined]
    return error


def _describe(error: BaseException, place: str) -> tuple[bytes, int | None, str]:
    """What the other ranks need to raise the same: pickled type, errno, message."""
    kind, text = type(error), _text(error)
    number = error.errno if isinstance(error, OSError) else None
    try:
        pickled = pickle.dumps(kind)
        _construct(kind, number, text)
    except Exception:
        pickled, number, text = pickle.dumps(RankError), None, f"{kind.__name__}: {text}"
    return pickled, number, f"{place}: {text}"


def _text(error: BaseException) -> str:
    """The message, whatever the exception's own way of showing it does."""
    try:
        if isinstance(error, KeyError) and error.args:
            return str(error.args[0])
        if isinstance(error, OSError) and error.strerror is not None:
            named = "" if error.filename is None else f": {error.filename!r}"
            return f"{error.strerror}{named}"
        return str(error)
    except Exception:
        return "(its message cannot be shown)"


def _construct(kind: type[BaseException], number: int | None, message: str) -> BaseException:
    error = kind(number, message) if number is not None else kind(message)
    if message not in str(error):
        raise TypeError(f"{kind.__name__} loses its message")
    return error


def _rebuild(pickled: bytes, number: int | None, message: str) -> BaseException:
    # Only a class travels: every rank runs the same program and has it too, or nearly.
    try:
        return _construct(pickle.loads(pickled), number, message)
    except Exception:
        return RankError(message)


def from_rank(
    comm: MPI.Intracomm, root: int, action: str, work: Any, *args: Any, given: object = None
) -> Any:
    """Run ``work(*args)`` on one rank and hand its result to all. Collective.

    `given` must look the same on all ranks, as in `Together`.
    """
    result = None
    with Together(comm, action, given):
        if comm.rank == root:
            result = work(*args)
    return comm.bcast(result, root)


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """A C-contiguous array as flat views of at most PIECE_BYTES each."""
    flat = array.reshape(-1)
    step = max(1, PIECE_BYTES // max(1, array.itemsize))
    for start in range(0, flat.size, step):
        yield flat[start : start + step]


def allreduce(comm: MPI.Intracomm, array: np.ndarray, op: MPI.Op = MPI.SUM) -> np.ndarray:
    """Reduce a C-contiguous array over the ranks, in place; returns it. Collective."""
    if comm.size == 1:
        return array
    # Open MPI 4.1 compares uint64 as if it were signed: let it be, in the same order.
    shifted = array.dtype == np.uint64 and op in (MPI.MAX, MPI.MIN)
    if shifted:
        array ^= SIGN_BIT
    with phase("exchange", array.nbytes):
        for piece in _pieces(array.view(np.int64) if shifted else array):
            comm.Allreduce(MPI.IN_PLACE, piece, op=op)
    if shifted:
        array ^= SIGN_BIT
    return array


def broadcast_array(comm: MPI.Intracomm, array: np.ndarray, root: int) -> np.ndarray:
    """Send root's C-contiguous array into every rank's, in place; returns it. Collective."""
    if comm.size > 1:
        with phase("exchange", array.nbytes):
            for piece in _pieces(array.view(np.uint8).reshape(-1) if array.size else array):
                comm.Bcast([piece, MPI.BYTE], root=root)
    return array


def allgather_rows(comm: MPI.Intracomm, rows: np.ndarray, partition: Partition) -> np.ndarray:
    """Every rank's rows, one after the other, on every rank. Collective.

    Parameters
    ----------
    rows : (n, ...) ndarray
        This rank's share: n is ``partition.counts[comm.rank]``.

    Returns
    -------
    (partition.count, ...) ndarray
        Its own memory.
    """
    with Together(comm, "gathering"):
        out = np.empty((partition.count, *rows.shape[1:]), dtype=rows.dtype)
        start, stop = partition.bounds(comm.rank)
        out[start:stop] = rows
    return allgather_in_place(comm, out, partition)


def allgather_in_place(
    comm: MPI.Intracomm, out: np.ndarray, partition: Partition
) -> np.ndarray:
    """Fill in the others' rows of a C-contiguous array; returns it. Collective.

    Parameters
    ----------
    out : (partition.count, ...) ndarray
        This rank's rows are in their place already.
    """
    if out.nbytes == 0 or comm.size == 1:
        return out
    width = out.nbytes // partition.count
    if out.nbytes <= PIECE_BYTES:
        counts = [n * width for n in partition.counts]
        offsets = [n * width for n in partition.offsets[:-1]]
        flat = out.reshape(-1).view(np.uint8)
        with phase("exchange", out.nbytes):
            comm.Allgatherv(MPI.IN_PLACE, [flat, counts, offsets, MPI.BYTE])
    else:
        for rank in range(comm.size):
            start, stop = partition.bounds(rank)
            broadcast_array(comm, out[start:stop], rank)
    return out
