"""Run chains over the ranks: who has which records, batch by batch, agreed at the end.

An `Action` is one public method while it runs: its name for messages, and its budget. The
`Records` of a collection keep what actions have found out about them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any

import numpy as np

from ..core.json_types import JsonObject
from ..core.timers import phase
from ..progress.meter import Tick
from ..spmd import memory_limit
from ..spmd.agreement import Together, allgather_rows, mark_agreed
from ..spmd.collectives import allgather
from ..spmd.watch import between_calls, calling
from .bin_source import resolve
from .chain import (
    Chain,
    FilterKeys,
    Positions,
    Relabel,
    Renumber,
    Selector,
    Shape,
    WritingStep,
    counted_anew,
)
from .derived_source import DerivedSource
from .functions import Function, Unlike, different
from .selection import Selection, Settled, select
from .session import Session
from .sources import LocalSource, MemorySource

__all__ = ["Action", "Records"]

# Target size in bytes of a batch that is read or computed. A batch of float images should
# hold several groups of eight, so that the tree of sums stays in the cache.
BATCH_BYTES = 32 << 20
# Divisor of the budget for one batch: two batches and the steps' result of one must fit.
BATCH_PART = 8
# Divisor of the budget for the steps' result of one batch.
RESULT_PART = BATCH_PART // 2
# Divisor of the budget for one record: a larger record is not read ahead.
RECORD_PART = 4
# Divisor of the budget for reading records that are stored together in one batch.
ROOM_PART = BATCH_PART // 2
# Target size in bytes of a batch of records in memory that go through steps: the results stay in
# the cache and in reused memory. A batch of large records still has several groups of eight.
STEP_BYTES = 1 << 20
STEP_RECORDS = 64
# Records in memory without steps are one batch: a view, which the kernels cut to fit the cache.
VIEW_BYTES = 1 << 40
# Target size in bytes of what a rank receives in one step of an exchange.
ROUND_BYTES = 64 << 20


class Records:
    """The records of a collection: their chain, and what is known about them.

    Parameters
    ----------
    session : Session
    kind : str
        The collection's type, as messages name it: ``"Images"``.
    chain : Chain
    inputs : dict, optional
        Names and read options of the input files, stored in outputs.

    Attributes
    ----------
    chain : Chain
        The chain, settled as far as actions have settled it.
    inspected : bool
        True once the shape and dtype of the records were asked for.
    """

    def __init__(
        self, session: Session, kind: str, chain: Chain, inputs: JsonObject | None = None
    ) -> None:
        self.session = session
        self.kind = kind
        self.inputs = {} if inputs is None else inputs
        self.inspected = False
        self._chain = chain
        self._selection: Selection | None = None

    @property
    def chain(self) -> Chain:
        """The chain. Local."""
        return self._chain

    def replace(self, chain: Chain) -> None:
        """Replace the chain by another of the same records. Local; must be called on all ranks."""
        self._chain, self._selection = chain, None

    def on(self, chain: Chain) -> Records:
        """Return records of the same kind and inputs on a chain, apart from these. Local."""
        return Records(self.session, self.kind, chain, self.inputs)

    def make_action(self, method: str, memory: int | None = None) -> Action:
        """Return the Action of a method. Local; raise RuntimeError if the context is closed."""
        return Action(self.session, self.kind, method, memory)

    def begin(
        self, method: str, least: int = 0, memory: int | None = None
    ) -> tuple[Action, Selection]:
        """Begin a method of the collection, and settle its records. Collective.

        Parameters
        ----------
        method : str
        least : int
            How many records the method needs.
        memory : int, optional
            Bytes that each rank may take; by default the context's budget.

        Raises
        ------
        ValueError
            If there are fewer than `least` records.
        RuntimeError
            If the context is closed.
        """
        action = self.make_action(method, memory)
        selection = self.settle(action)
        if selection.count < least:
            raise ValueError(f"{action.name}: the collection has no records")
        return action, selection

    def settle(self, action: Action) -> Selection:
        """Find out which records there are, and remember them. Collective."""
        self.inspected = True
        chain = resolve(self._chain)
        if self._selection is None or chain is not self._chain:
            self._selection = action.settle(chain)
            self._chain = self._selection.chain()
        elif not isinstance(self._selection, Settled):
            self._selection = self._selection.describe()  # an action may have learned it
        return self._selection

    @property
    def count(self) -> int | None:
        """The number of records, or None while only an action can tell. Local."""
        return self._chain.count

    @property
    def keys(self) -> Positions | None:
        """The chain's keys, or None while only an action can tell. Local."""
        return self._chain.keys

    @property
    def dims(self) -> Shape | None:
        """Shape of a record, or None while only an action can tell. Local."""
        return self._chain.dims

    @property
    def dtype(self) -> np.dtype | None:
        """dtype of the records, or None while only an action can tell. Local."""
        return self._chain.dtype


class Action:
    """One public method while it runs, on all ranks.

    Parameters
    ----------
    session : Session
    kind, method : str
        Such as ``"Images"`` and ``"mean"``.
    memory : int, optional
        Bytes that each rank may take; by default the context's budget.
    """

    def __init__(self, session: Session, kind: str, method: str, memory: int | None = None) -> None:
        self.session = session
        self.comm = session.comm
        self.kind = kind
        self.method = method
        self.name = f"{kind}.{method}"
        self.memory = session.memory if memory is None else memory

    def together(self, given: object = None) -> Together:
        """Return a context for local work that fails on all ranks or on none; see `Together`."""
        return Together(self.comm, self.name, given)

    # -- which records there are -------------------------------------------------------------

    def settle(self, chain: Chain) -> Selection:
        """Find out which records a chain has. Collective."""
        source, positions, keys = chain.source, chain.positions, chain.keys
        if positions is None or keys is None:
            source.prepare()
            positions = keys = range(source.count or 0)
            if isinstance(source, DerivedSource) and source.keys is not None:
                keys = source.keys
        steps: list[Any] = []
        for step in chain.steps:
            if isinstance(step, Selector):
                before = select(source, positions, keys, tuple(steps), self.comm.size)
                positions, keys = self._keep(before, step)
                if isinstance(step, Renumber):
                    steps = [*counted_anew(steps, before.keys, keys)]
            else:
                steps.append(step)
        return select(source, positions, keys, tuple(steps), self.comm.size)

    def _keep(self, before: Selection, selector: Selector) -> tuple[Positions, Positions]:
        """Return the positions and keys of the records that a selector keeps. Collective."""
        if isinstance(selector, Renumber):
            return before.positions, range(before.count)
        if isinstance(selector, Relabel):
            return before.positions, selector.keys(before.count)
        start, stop = before.partition.bounds(self.comm.rank)
        kept = np.zeros(stop - start, dtype=np.uint8)
        if isinstance(selector, FilterKeys):
            with self.together(), calling(self.session.glance):
                for i, key in enumerate(before.keys[start:stop]):
                    between_calls()
                    kept[i] = bool(selector.func(selector.label(key)))
        else:
            func, label = selector.func, selector.label

            def keep(first: int, batch: np.ndarray) -> None:
                for i, value in enumerate(batch):
                    key = label(before.keys[first + i])
                    between_calls()
                    kept[first + i - start] = bool(func(key, value.copy()))

            self._run(before, keep)
        left = before.take(np.flatnonzero(allgather_rows(self.comm, kept, before.partition)))
        return left.positions, left.keys

    # -- batch by batch ------------------------------------------------------------------------

    def stream(
        self,
        selection: Selection,
        consume: Callable[[int, np.ndarray], None],
        given: object = None,
        into: Callable[[int, int], np.ndarray | None] | None = None,
    ) -> Settled:
        """Run the steps over this rank's records; call consume(first, batch) for each batch.

        Collective: an exception of consume on any rank is raised on all.

        Parameters
        ----------
        selection : Selection
        consume : callable
            `first` is the place of batch[0] among all selected records. The batch is valid
            only during the call.
        given : object
            Further values that must be the same on all ranks.
        into : callable, optional
            into(first, number) may return the destination of the results of `number` records.
            A batch that was written there is not consumed.

        Returns
        -------
        Settled
            The selection; shape and dtype of undeclared functions' results are known now.

        Raises
        ------
        ValueError
            If an undeclared function was never called, so that its result is not known.
        """
        self._run(selection, consume, given, into)
        return self.require_settled(selection)

    def require_settled(self, selection: Selection) -> Settled:
        """Return a selection whose records an action has seen. Local.

        Raise ValueError if there was no record to see.
        """
        known = selection if isinstance(selection, Settled) else selection.describe()
        if not isinstance(known, Settled):  # a function that was never called
            raise ValueError(f"{self.name}: the collection has no records")
        return known

    def _run(
        self,
        selection: Selection,
        consume: Callable[[int, np.ndarray], None],
        given: object = None,
        into: Callable[[int, int], np.ndarray | None] | None = None,
    ) -> None:
        comm, session, source = self.comm, self.session, selection.source
        place = selection.partition.bounds(comm.rank)[0]
        writes = (
            into is not None
            and isinstance(source, MemorySource)
            and len(selection.steps) == 1
            and isinstance(selection.steps[0], WritingStep)
        )
        limit = VIEW_BYTES if writes else self._batch_bytes(selection)
        if isinstance(source, DerivedSource):
            source.make_ready(selection, limit)
        together = self.together((selection.signature(), given))
        if source.collective:
            together.agree()  # the ranks must mean the same before they exchange anything
        for step in selection.steps:
            if isinstance(step, Function):
                step.observed = []  # a failed action may have left entries
        batches = source.batches(
            selection.positions,
            selection.partition,
            comm.rank,
            limit,
            session.workspace,
            self.memory // ROOM_PART,
        )

        def work(batch: np.ndarray) -> None:
            nonlocal place
            session.stopping.check()
            first, place = place, place + len(batch)
            if len(batch):
                wanted = into(first, len(batch)) if into is not None else None
                with calling(session.glance), phase("compute", batch.nbytes):
                    with session.stopping.at_once():
                        result = selection.run(first, batch, wanted)
                    if result is not wanted:
                        consume(first, result)

        with self._count(selection) as tick:
            if source.collective:
                for batch in batches:  # a rank that has failed still takes part in the rounds
                    with together.attempt():
                        if not together.failed:
                            work(batch)
                            tick(len(batch))
            else:
                # Closed here and not by the garbage collector: closing waits for threads to release
                # its buffers, and the collector may run where these threads need what it holds.
                with together.attempt(), closing(batches):
                    self.check_record(selection)
                    for batch in batches:
                        work(batch)
                        tick(len(batch))
            if type(together.failure) is Unlike:
                together.failure = None  # `_learn` finds out which record it is
            together.agree()
        self._learn(selection)

    def _count(self, selection: Selection) -> AbstractContextManager[Tick]:
        """Return a progress counter for records that are processed one after the other. Local."""
        return self.session.meter.piece(self.name, selection.count, self.kind.lower())

    def _learn(self, selection: Selection) -> None:
        """Make the ranks agree on what undeclared functions returned. Collective."""
        for step in selection.steps:
            if not isinstance(step, Function) or step.known:
                continue
            found = [seen for rank in allgather(self.comm, step.observed) for seen in rank]
            if not found:
                continue
            found.sort(key=lambda seen: seen[0])
            _, _, dims, dtype = found[0]
            for _, label, other_dims, other_dtype in found:
                if (other_dims, other_dtype) != (dims, dtype):
                    error = ValueError(
                        different(step.name, label, other_dims, other_dtype, dims, dtype)
                    )
                    raise mark_agreed(error, self.comm)
            step.known_dims, step.known_dtype = dims, dtype

    def _batch_bytes(self, selection: Selection) -> int:
        """Return the target size in bytes of a batch of the source. Local."""
        source = selection.source
        limit = min(BATCH_BYTES, max(1, self.memory // BATCH_PART))
        if isinstance(source, DerivedSource) and (whole := source.cut_from()) is not None:
            # The limit is for the records that are read.
            inner = self._batch_bytes(whole)
            few = max(STEP_BYTES, STEP_RECORDS * source.record_bytes())
            return min(inner, few, limit) if selection.steps else inner
        # Two records, unless they are too large.
        if isinstance(source, LocalSource | DerivedSource):
            if selection.steps and isinstance(selection, Settled):  # 16-bit integers to float64
                growth = selection.record_bytes / max(1, source.record_bytes())
                limit = min(limit, int(self.memory / RESULT_PART / max(growth, 1.0)))
            return max(limit, min(source.record_bytes(), self.memory // RECORD_PART))
        if not isinstance(source, MemorySource):
            return ROUND_BYTES
        if not selection.steps:
            return VIEW_BYTES
        return min(limit, max(STEP_BYTES, STEP_RECORDS * source.record_bytes()))

    # -- all at once ---------------------------------------------------------------------------

    def load(self, selection: Selection) -> tuple[np.ndarray, Settled]:
        """Return this rank's records in one array, (n,) + dims, and their selection. Collective.

        The array may be the source's own memory and must not be written to.
        """
        source = selection.source
        if not selection.steps and isinstance(selection, Settled):
            if isinstance(source, MemorySource) and selection.partition == source.partition:
                self.together(selection.signature()).agree()
                return source.block, selection
            return self._fill(selection), selection
        start, stop = selection.partition.bounds(self.comm.rank)
        empty = self.session.workspace.empty
        block: np.ndarray | None = None

        def into(first: int, number: int) -> np.ndarray | None:
            nonlocal block
            if block is None:
                if not isinstance(selection, Settled):
                    return None
                block = empty((stop - start, *selection.dims), selection.dtype)
            return block[first - start : first - start + number]

        def keep(first: int, batch: np.ndarray) -> None:
            nonlocal block
            if block is None:
                record = batch[:1].nbytes
                memory_limit.check_fits(
                    max(selection.partition.counts) * record,
                    self.memory,
                    self.name,
                    self._instead(selection, record),
                )
                block = empty((stop - start, *batch.shape[1:]), batch.dtype)
            block[first - start : first - start + len(batch)] = batch

        known = self.stream(selection, keep, into=into)
        return np.empty((0, *known.dims), known.dtype) if block is None else block, known

    def _fill(self, records: Settled) -> np.ndarray:
        """Return this rank's records of a source without steps. Collective."""
        source, own = records.source, records.partition.counts[self.comm.rank]
        block, limit = np.empty(0), ROUND_BYTES
        if isinstance(source, DerivedSource):
            limit = self._batch_bytes(records)
            source.make_ready(records, limit)

        def fill() -> None:
            source.load(
                records.positions,
                records.partition,
                self.comm.rank,
                block,
                limit,
                self.session.workspace,
                tick,
            )

        with self._count(records) as tick:
            with self.together(records.signature()):
                block = self.session.workspace.empty((own, *records.dims), records.dtype)
                if not source.collective:
                    fill()
            if source.collective:
                fill()
        return block

    def known(self, selection: Selection) -> Settled:
        """Return the selection with known dims and dtype, before anything is written. Collective.

        If only running the steps can tell (a function whose result was not declared), this
        rank's share is computed and kept, so that the function is not called twice for a record.
        """
        if isinstance(selection, Settled):
            return selection
        block, known = self.load(selection)
        source = MemorySource(block, known.dims, known.dtype, known.partition)
        source.number = known.source.number
        return Settled(
            source, range(known.count), known.keys, (), known.partition, known.dims, known.dtype
        )

    def gather(self, selection: Selection) -> np.ndarray:
        """Return all records on every rank, (n,) + dims. Collective."""
        self._check_gather(selection)
        block, known = self.load(selection)
        self._check_gather(known)  # shape and dtype may not have been known before
        owned = not isinstance(known.source, MemorySource) or known.steps != ()
        if self.comm.size == 1 and owned:
            return block  # it is a new array
        with self.together():
            rows = np.ascontiguousarray(block)
        return allgather_rows(self.comm, rows, known.partition)

    def gather_some(self, selection: Selection, place: int) -> np.ndarray:
        """Return records from `place` on, as many as make a batch, on every rank. Collective."""
        number = 1
        if isinstance(selection, Settled):
            limit = min(BATCH_BYTES, self.memory // BATCH_PART)
            number = max(1, limit // max(1, selection.record_bytes))
        stop = min(selection.count, place + number)
        return self.gather(selection.take(np.arange(place, stop)))

    # -- what fits -----------------------------------------------------------------------------

    def _check_gather(self, selection: Selection) -> None:
        """Raise MemoryError unless a rank can hold all records beside its own share. Local."""
        self.check_record(selection)
        if not isinstance(selection, Settled):
            return
        own = 0 if self.comm.size == 1 else _share_bytes(selection)
        memory_limit.check_fits(
            selection.record_bytes * selection.count + own,
            self.memory,
            self.name,
            "take fewer records, or give the context more with memory=",
        )

    def check_share(self, selection: Selection, copied: bool = False) -> None:
        """Raise MemoryError if the largest share does not fit; the same on all ranks. Local."""
        self.check_record(selection)
        if isinstance(selection, Settled):
            memory_limit.check_fits(
                _share_bytes(selection, copied),
                self.memory,
                self.name,
                self._instead(selection, selection.record_bytes),
            )

    def check_record(self, selection: Selection) -> None:
        """Raise MemoryError if not even one record and its result fit. Local."""
        source = selection.source
        if isinstance(source, LocalSource | DerivedSource):
            made = (
                selection.record_bytes if selection.steps and isinstance(selection, Settled) else 0
            )
            decoded = source.decoded_bytes() if isinstance(source, LocalSource) else 0
            beside = f", beside the {decoded} bytes of a chunk, which is decoded whole"
            memory_limit.check_fits(
                source.record_bytes() + made + decoded,
                self.memory,
                f"{self.name}: one record of shape {source.dims} and dtype {source.dtype}"
                f"{beside if decoded else ''}",
                source.advice(),
            )

    def _instead(self, selection: Selection, record: int) -> str:
        """Return the advice for a share that is too large, given the bytes of a record. Local."""
        words = "give the context more with memory=, or take fewer or smaller records"
        saves = self.method.startswith("save")
        if saves:  # such a method does not hold a share
            words = f"declare dims and dtype of what apply's function returns, {words}"
        there = self.memory // max(1, record)
        # More ranks do not help: each holds all gathered records, and records in memory do not
        # move.
        if (
            not there
            or selection.source.partition is not None
            or not (saves or self.method in ("cache", "toSeries"))
        ):
            return words
        return f"{words}, or use {-(-selection.count // there)} ranks that each have as much"


def _share_bytes(records: Settled, copied: bool = False) -> int:
    """Return the bytes of the largest share of the records, 0 if it is in memory. Local."""
    if isinstance(records.source, MemorySource) and not records.steps and not copied:
        return 0
    return max(records.partition.counts) * records.record_bytes
