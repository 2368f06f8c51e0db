"""Pairs of records: a source whose record i is made of the records i of two collections.

Nothing is moved: each rank reads both records of its own pairs. Where one collection is in memory
and the other one is not, the ranks that have the former's records read the latter's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.partition import Partition
from ..core.timers import phase
from ..core.workspace import Workspace
from ..spmd.agreement import from_rank
from ..spmd.watch import between_calls, calling
from .arithmetic import combine, combine_words, holding_dtype
from .chain import Chain, Positions, Shape
from .derived_source import (
    DerivedSource,
    check_local,
    known_records,
    part_of,
    record_need,
    run_part,
)
from .functions import Function
from .repairs import PIECE_BYTES, real_dtype
from .selection import Selection, Settled

if TYPE_CHECKING:
    from .runner import Records

__all__ = ["ArithmeticOfTwo", "Combination", "FunctionOfTwo", "PairSource"]

# Divisor of a batch's bytes: each side has two buffers, and its steps may make values wider.
SIDE_PART = 4


class Combination(Protocol):
    """What becomes of two records of the same dims: one of these dims."""

    name: str

    def dtype(self, first: np.dtype, second: np.dtype) -> np.dtype | None:
        """Return the result's dtype, or None while only an action can tell."""

    def run_into(
        self, keys: Sequence[int] | np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray
    ) -> None:
        """Write what becomes of the records a[i] and b[i], whose key is keys[i], to out[i]."""


class ArithmeticOfTwo:
    """Sum, difference, product or quotient, value by value; see `arithmetic.holding_dtype`."""

    def __init__(self, op: str) -> None:
        self.name = op

    def dtype(self, first: np.dtype, second: np.dtype) -> np.dtype | None:
        if self.name != "dotdivide" and first.kind != "f" and second.kind != "f":
            itemsize = max(first.itemsize, second.itemsize)
            return holding_dtype(self.name, first, itemsize, second.kind == "i")
        return np.promote_types(real_dtype(first), real_dtype(second))

    def run_into(
        self, keys: Sequence[int] | np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray
    ) -> None:
        step = max(1, PIECE_BYTES * len(out) // max(1, out.nbytes))
        for i in range(0, len(out), step):
            some = slice(i, i + step)
            if out.dtype.kind in "iu" and max(a.itemsize, b.itemsize) == 8:
                combine_words(self.name, a[some], b[some], out[some], self.name, "one of them")
            else:
                combine(self.name, a[some], b[some], out[some])


class FunctionOfTwo:
    """A function of the user's of two records."""

    name = "elementWise"

    def __init__(
        self, op: Callable[..., Any], dtype: np.dtype | None, label: Callable[[int], object]
    ) -> None:
        self.op = op
        self.label = label
        # The same checks as of a function of one record.
        self._known = Function(op, None, dtype, label=label, name=self.name).known_dtype

    def dtype(self, first: np.dtype, second: np.dtype) -> np.dtype | None:
        return self._known

    def learn(self, dtype: np.dtype) -> None:
        """Take the dtype of the first result, on which the ranks have agreed. Local."""
        self._known = dtype

    def call(self, key: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the result for two records of a key, of their dims. Local."""
        between_calls()
        found = Function(self.op, a.shape, self._known, label=self.label, name=self.name)
        return found.check(key, self.op(a.copy(), b.copy()))

    def run_into(
        self, keys: Sequence[int] | np.ndarray, a: np.ndarray, b: np.ndarray, out: np.ndarray
    ) -> None:
        for i, key in enumerate(keys):
            out[i] = self.call(int(key), a[i], b[i])


class PairSource(DerivedSource):
    """Pairs of the records of two collections with the same keys and dims.

    Parameters
    ----------
    first, second : Records
        Of this source alone: the records as they were when the pairs were made.
    made : Combination
    """

    def __init__(self, first: Records, second: Records, made: Combination) -> None:
        self.first, self.second = first, second
        self.made = made
        self.name = made.name
        # Of both recordings: ranks that pair another one are out of step.
        self.number = first.chain.source.number + (second.chain.source.number << 32)

    @property
    def func(self) -> object:
        """The function of the user's, by which jobs that resume know it; else None."""
        return getattr(self.made, "op", None)

    @property
    def inputs(self) -> Sequence[str]:
        """The files of both."""
        first, second = self.first.chain.source.inputs, self.second.chain.source.inputs
        return [*first, *second] if len(second) else first

    @property
    def count(self) -> int | None:
        """The number of pairs, or None while only an action can tell."""
        known = self.dims is not None and self.dtype is not None and self.second.dims is not None
        return self.first.count if known and self.second.count is not None else None

    @property
    def keys(self) -> Positions | None:
        """Those of the first collection, which are the second's, too."""
        return self.first.keys

    @property
    def dims(self) -> Shape | None:
        """Those of both, or None while only an action can tell."""
        return self.first.dims

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of a result, or None while only an action can tell."""
        first, second = self.first.dtype, self.second.dtype
        return None if first is None or second is None else self.made.dtype(first, second)

    @property
    def partition(self) -> Partition | None:
        """The owners of the one that is in memory; None where neither is."""
        owners = _owners(self.inner_selections())
        return owners[0] if owners else None

    @property
    def parameters(self) -> tuple[object, ...]:
        """What tells these pairs from others of the recording."""
        first, second = self.inner_selections()
        return (self.name, first.question(), second.question())

    def prepare(self) -> None:
        """Find out which records there are, their dims and dtypes. Collective.

        A function whose result was not declared is called for the first record, once more.
        """
        for records in (self.first, self.second):
            action = records.make_action(self.name)
            selection = records.settle(action)
            if not isinstance(selection, Settled):
                action.stream(selection.take(np.arange(min(1, selection.count))), lambda *_: None)
                records.settle(action)
        self.check()
        if self.dtype is None:
            self._learn()

    def check(self) -> None:
        """Raise ValueError unless records of both lie beside each other. Local."""
        both = self.inner_selections()
        first, second = both
        if first.dims != second.dims:
            raise ValueError(
                f"{self.name}: other must have the same dims, but records have {first.dims} and "
                f"its {second.dims}"
            )
        if first.count != second.count or not _equal(first.keys, second.keys):
            raise ValueError(
                f"{self.name}: other must have records with the same keys, but {first.count} have "
                f"the keys {_span(first.keys)} and its {second.count} {_span(second.keys)}; "
                "renumber() counts keys from 0"
            )
        owners = _owners(both)
        if len(owners) == 2 and owners[0] != owners[1]:
            raise ValueError(
                f"{self.name}: other's records must be on the same ranks as these; of two that are "
                "in memory none is moved. Load both alike and filter them before cache(), or "
                "uncache() one of them"
            )

    def _learn(self) -> None:
        """Call the function for the first record. Collective."""
        made = self.made
        both = self.inner_selections()
        if not isinstance(made, FunctionOfTwo) or not both[0].count:
            raise ValueError(f"{self.name}: the collection has no records")
        values = [
            records.make_action(self.name).gather(part_of(inner, range(1)))
            for records, inner in zip((self.first, self.second), both, strict=True)
        ]
        session, key = self.first.session, int(both[0].keys[0])

        def call() -> np.dtype:
            with calling(session.glance):
                return made.call(key, values[0][0], values[1][0]).dtype

        made.learn(from_rank(session.comm, 0, self.name, call))

    def resolved(self, resolve: Callable[[Chain], Chain]) -> PairSource:
        """See `DerivedSource`."""
        both = (self.first, self.second)
        chains = [resolve(records.chain) for records in both]
        if all(chain is records.chain for chain, records in zip(chains, both, strict=True)):
            return self
        return PairSource(self.first.on(chains[0]), self.second.on(chains[1]), self.made)

    def inner_selections(self) -> tuple[Settled, ...]:
        """All records of the first and of the second collection. Local."""
        return tuple(known_records(records, self.name) for records in (self.first, self.second))

    def members(self, positions: Positions) -> Selection:
        """Return the records of the first collection. Local."""
        return part_of(self.inner_selections()[0], positions)

    def others(self, positions: Positions) -> Selection:
        """Return the records of the second collection. Local."""
        return part_of(self.inner_selections()[1], positions)

    def record_bytes(self) -> int:
        """Return the bytes that one result takes, and those of both records."""
        both = self.inner_selections()
        result = math.prod(both[0].dims) * (self.dtype or both[0].dtype).itemsize
        return result + sum(map(record_need, both))

    def make_ready(self, records: Selection, limit: int) -> None:
        """Let both sources exchange what they need. Collective."""
        for inner in (self.members(records.positions), self.others(records.positions)):
            check_local(inner.source, self.name)
            if isinstance(inner.source, DerivedSource):
                inner.source.make_ready(inner, limit)

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        """See `Source`. `make_ready` comes first."""
        start, stop = partition.bounds(rank)
        own = positions[start:stop]
        if len(own) == 0:
            return
        members, others = self.members(own), self.others(own)
        side, space = max(1, limit // SIDE_PART), room // SIDE_PART
        dims, dtype = self.dims or (), self.dtype or np.dtype(np.float64)
        size = max(1, math.prod(dims) * dtype.itemsize)
        out = workspace.empty((max(1, min(len(own), limit // size)), *dims), dtype)
        a = b = np.empty(0)
        first = filled = 0
        with (
            closing(run_part(self.first, members, rank, side, workspace, space)) as left,
            closing(run_part(self.second, others, rank, side, workspace, space)) as right,
        ):
            while first < len(own):
                # A batch is valid until the next one of its side is asked for.
                a = a if len(a) else next(left)
                b = b if len(b) else next(right)
                number = min(len(a), len(b), len(out) - filled)
                keys = members.keys[first : first + number]
                with calling(self.first.session.glance), phase("compute", 2 * number * size):
                    self.made.run_into(keys, a[:number], b[:number], out[filled : filled + number])
                a, b = a[number:], b[number:]
                first, filled = first + number, filled + number
                if filled == len(out) or first == len(own):
                    yield out[:filled]
                    filled = 0


def _owners(both: tuple[Settled, ...]) -> list[Partition]:
    return [inner.partition for inner in both if inner.source.partition is not None]


def _equal(first: Positions, second: Positions) -> bool:
    if isinstance(first, range) and isinstance(second, range):
        return first == second
    return np.array_equal(first, second)


def _span(keys: Positions) -> str:
    if len(keys) == 0:
        return "(none)"
    shown = [str(int(key)) for key in itertools.islice(keys, 4)]
    return ", ".join(shown) + (f", ... {int(keys[-1])}" if len(keys) > 4 else "")
