"""Agreement between ranks.

A job does not hang if it keeps this rule: between two collective calls nothing may raise on
some ranks only. `Together` keeps the rule. Local work runs inside it; an exception of a rank is
held until every rank has reached the end, and is then raised on all of them.
"""

from __future__ import annotations

import itertools
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
from mpi4py import MPI

from ..core.cleanup import ask, attributes_of
from ..core.partition import Partition
from ..core.text import WHOLE, escape_controls, escape_message, quote
from ..errors import CollectiveMismatchError, RankError
from .collectives import allgather, allgather_in_place, allreduce, broadcast
from .waiting import complete

__all__ = [
    "MOST",
    "Together",
    "allgather_rows",
    "from_rank",
    "is_agreed",
    "mark_agreed",
    "mark_of_user",
    "moment",
    "teller_of",
]

# No number that the ranks agree on is larger: that of a rank that has nothing to say.
MOST = 2**63 - 1

Result = TypeVar("Result")
ErrorType = TypeVar("ErrorType", bound=BaseException)


class Together:
    """Local work that ends with an agreement: it fails on every rank or on none.

    A context manager that agrees at the end of the block. If there are collective calls between
    pieces of local work, put each piece into `attempt`, and call `agree` at the end.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    action : str
        Name of the work, for messages: ``"Images.mean"``.
    given : object
        Arguments of the work. Ranks whose `given` has another repr are out of step.

    Notes
    -----
    The agreement is one Allreduce of a few integers. The exception of the lowest failing rank is
    raised on all ranks, with the same type and message; on the failing rank the original is its
    cause. Ranks that are in different actions, or in the same one with other arguments, raise a
    CollectiveMismatchError that names the action of each rank.
    """

    def __init__(self, comm: MPI.Intracomm, action: str, given: object = None) -> None:
        self.comm = comm
        self.action = action
        self.given = given
        self.failure: BaseException | None = None
        self._began = moment()

    @property
    def failed(self) -> bool:
        """True if this rank has failed already. Local."""
        return self.failure is not None

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Hold an exception of the block; only the first one is kept. Local."""
        try:
            yield
        except BaseException as error:
            if self.failure is None:
                self.failure = error

    def agree(self, *numbers: int) -> list[int]:
        """Raise on every rank if any rank has failed. Collective.

        Returns
        -------
        list of int
            The least of each of `numbers` over the ranks: what the ranks have to agree on besides
            needs no further call.
        """
        comm = self.comm
        token = zlib.crc32(f"{self.action} {quote(self.given, WHOLE)}".encode(errors="replace"))
        lowest = np.array([comm.rank if self.failed else comm.size, token, -token, *numbers])
        complete(comm, comm.Iallreduce(MPI.IN_PLACE, lowest, op=MPI.MIN), lowest)
        if lowest[1] != -lowest[2]:
            self._raise_mismatch()
        if lowest[0] < comm.size:
            self._raise_everywhere(int(lowest[0]))
        least: list[int] = lowest[3:].tolist()
        return least

    def _raise_mismatch(self) -> NoReturn:
        given = "" if self.given is None else f" with {quote(self.given)}"
        places = allgather(self.comm, f"{self.action}{given}"[:300])
        where = "; ".join(f"rank {rank} is in {place}" for rank, place in enumerate(places[:8]))
        message = f"the ranks called different methods, or gave other arguments: {where}"
        raise mark_agreed(CollectiveMismatchError(message), self.comm) from self.failure

    def _raise_everywhere(self, lowest: int) -> NoReturn:
        comm, own = self.comm, self.failure
        if own is not None and not attributes_of(own).get("of_user"):
            escape_message(own)
        failures = int(allreduce(comm, np.array([self.failed], dtype=np.int64))[0])
        place = f"rank {comm.rank} of {comm.size} on {os.uname().nodename}, {self.action}"
        if comm.size == 1:
            assert own is not None
            ask(BaseException.add_note, own, f"in {place}")
            error = own if _passes(own) else _rebuild(_describe(own, place, self.action))
        else:
            described = None if own is None else _describe(own, place, self.action)
            found = cast(_Described, broadcast(comm, described, lowest))
            error = _rebuild(found, f" ({failures - 1} more ranks failed)" if failures > 1 else "")
        try:
            if error is own:
                raise mark_agreed(error, comm)
            raise mark_agreed(error, comm, lowest) from own
        finally:
            # An exception refers to its frames. If they refer to it, the cycle keeps all of their
            # arrays alive until the next garbage collection.
            self.failure = own = None
            del error

    def __enter__(self) -> Together:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            if is_agreed(error, self.comm, self._began):
                return  # every rank raises this one: an inner agreement has failed
            if self.failure is None:
                self.failure = error
        del error, trace  # see `_raise_everywhere`
        self.agree()


# Order of events on this rank: an error that was agreed on before a block counts as new in it.
_moments = itertools.count()


def moment() -> int:
    """Return the present moment, to compare with that of an agreement. Local."""
    return next(_moments)


def mark_agreed(error: ErrorType, comm: MPI.Intracomm, teller: int = 0) -> ErrorType:
    """Mark an exception that all ranks of comm raise now, so that outer agreements let it pass.

    Local. The mark has the moment, because a program may keep an exception and raise it again on
    one rank only. It also has the rank that prints the exception if it is not caught.
    """
    attributes_of(error).update(agreed=(comm, moment()), agreed_by=(comm, teller))
    return error


def mark_of_user(error: BaseException) -> None:
    """Mark an exception of a user's function, so that it passes unchanged. Local."""
    attributes_of(error).update(of_user=True)


def is_agreed(error: BaseException, comm: MPI.Intracomm | None = None, since: int = -1) -> bool:
    """Return True if an agreement of comm (None: any) raised the error after `since`. Local."""
    agreed, when = attributes_of(error).get("agreed", (None, -1))
    return agreed is not None and when > since and (comm is None or agreed == comm)


def teller_of(error: BaseException) -> tuple[MPI.Intracomm | None, int]:
    """Return the communicator of an agreed exception, and the rank that prints it. Local."""
    told: tuple[MPI.Intracomm | None, int] = attributes_of(error).get("agreed_by", (None, 0))
    return told


@dataclass(frozen=True)
class _Described:
    """Plain values from which all ranks rebuild the exception of one.

    Attributes
    ----------
    pickled : bytes
        The type of the exception.
    number : int or None
        The errno of an OSError.
    message : str
    code : int, str or None
        The code of a SystemExit.
    """

    pickled: bytes
    number: int | None
    message: str
    code: int | str | None


def _describe(error: BaseException, place: str, action: str) -> _Described:
    """Describe an exception. Never raises, whatever the exception's own code does."""
    kind = type(error)
    text = ask(_text, error, otherwise="(its message cannot be shown)")
    number = ask(_number, error)
    try:
        pickled = pickle.dumps(kind)
        _construct(kind, number, text)
    except BaseException:
        name = ask(lambda: str.__str__(kind.__name__), otherwise="an exception")
        pickled, number, text = pickle.dumps(RankError), None, f"{name}: {text}"
    message = f"{place}: {escape_controls(text).removeprefix(f'{action}: ')}"
    return _Described(pickled, number, message, ask(_code, error, otherwise=1))


def _text(error: Any) -> str:
    kind = type(error)
    text = str(error)
    if issubclass(kind, KeyError) and error.args:
        text = str(error.args[0])
    elif issubclass(kind, OSError) and error.strerror is not None:
        named = error.filename
        text = f"{error.strerror}{'' if named is None else f': {named!r}'}"
    return str.__str__(text)  # a subclass of str may run any code when it is used


def _number(error: Any) -> int | None:
    number = error.errno if issubclass(type(error), OSError) else None
    return number if type(number) is int else None


def _code(error: Any) -> int | str | None:
    code = error.code if issubclass(type(error), SystemExit) else None
    return code if code is None or type(code) is int else str.__str__(str(code))


def _construct(kind: Any, number: int | None, message: str) -> BaseException:
    error: BaseException = kind(number, message) if number is not None else kind(message)
    if not _passes(error) or message not in _text(error):
        raise TypeError("an exception that cannot be had again")
    return error


def _passes(error: BaseException) -> bool:
    """Return True if the exception can be raised through any code.

    Context managers set the traceback of exceptions that pass them. If a class forbids that,
    another exception would be raised instead, on which the ranks have not agreed.
    """

    def set_as_they_do() -> bool:
        error.__traceback__ = error.__traceback__
        return issubclass(type(error), BaseException)

    return bool(ask(set_as_they_do))


def _rebuild(described: _Described, others: str = "") -> BaseException:
    # Only the class is pickled: every rank runs the same program and usually has it too.
    message = described.message + others
    try:
        error = _construct(pickle.loads(described.pickled), described.number, message)
    except BaseException:
        return RankError(message)
    if issubclass(type(error), SystemExit):
        ask(setattr, error, "code", described.code)
    return error


def from_rank(
    comm: MPI.Intracomm,
    root: int,
    action: str,
    work: Callable[..., Result],
    *args: object,
    given: object = None,
) -> Result:
    """Run ``work(*args)`` on one rank and return its result on all. Collective.

    `given` must have the same repr on all ranks, as in `Together`.
    """
    result: Any = None
    packed = b""
    with Together(comm, action, given):
        if comm.rank == root:
            result = work(*args)
            packed = pickle.dumps(result, pickle.HIGHEST_PROTOCOL) if comm.size > 1 else b""
    if comm.size == 1:
        return cast(Result, result)
    packed = broadcast(comm, packed, root)
    with Together(comm, action):  # unpickling may run code of the objects
        if comm.rank != root:
            result = pickle.loads(packed)
    return cast(Result, result)


def allgather_rows(comm: MPI.Intracomm, rows: np.ndarray, partition: Partition) -> np.ndarray:
    """Return the rows of all ranks, concatenated in rank order, on every rank. Collective.

    Parameters
    ----------
    rows : (n, ...) ndarray
        This rank's share: n is ``partition.counts[comm.rank]``.

    Returns
    -------
    (partition.count, ...) ndarray
        A new array.
    """
    with Together(comm, "gathering"):
        out = np.empty((partition.count, *rows.shape[1:]), dtype=rows.dtype)
        start, stop = partition.bounds(comm.rank)
        out[start:stop] = rows
    return allgather_in_place(comm, out, partition)
