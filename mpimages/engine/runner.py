"""Running a chain over the ranks: who has which records, batch by batch, agreed at the end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any

import numpy as np

from ..core.partition import Partition
from ..core.timers import phase
from ..progress.meter import Tick
from ..spmd import memory_limit
from ..spmd.agreement import Together, allgather_rows, mark_agreed
from ..spmd.watch import calling
from .chain import Chain, Filter, FilterKeys, Renumber, WritingStep
from .image_steps import Apply, Unlike, different
from .session import Session
from .sources import CacheSource, LocalSource, MemorySource, uncached

__all__ = ["Streamed"]

# About what a batch of records takes that must be read or computed: a batch of float images
# should hold several groups of eight, so that the tree of sums is walked in the cache.
BATCH_BYTES = 32 << 20
# There are two batches, and what the steps make of one: together so small a part of the budget.
BATCH_PART = 8
# A record that takes more of the budget is not read ahead of what is done with another.
RECORD_PART = 4
# Records that are stored together are read together, if the two batches then take no larger part.
ROOM_PART = BATCH_PART // 2
# Of records in memory that go through steps: so few that what the steps make of them stays in
# the cache and in memory that was used before; but of large records several groups of eight.
STEP_BYTES = 1 << 20
STEP_RECORDS = 64
# Of records in memory a batch is a view: the kernels cut it as their caches want it.
VIEW_BYTES = 1 << 40
# About what a rank receives in one round of an exchange.
ROUND_BYTES = 64 << 20


class Streamed:
    """A chain of a session, and all that is needed to run it. The public methods are elsewhere.

    Every method but `_name` and those that say so is collective.
    """

    def __init__(
        self, session: Session, chain: Chain, metadata: dict[str, Any] | None = None
    ) -> None:
        self._session = session
        self._chain = chain
        self._inspected = False
        self._cached: CacheSource | None = None
        self.metadata: dict[str, Any] = dict(metadata or {})
        # Of which files, and how read: for what is written to say so. Plain values.
        self._inputs: dict[str, Any] = {}

    def _key(self, key: Any) -> Any:
        """The key that users know, from the int that the chain knows. Local."""
        raise NotImplementedError

    def _name(self, action: str) -> str:
        return f"{type(self).__name__}.{action}"

    def _settle(self, action: str) -> Chain:
        """Find out which records there are, and go on with that. Collective."""
        _ = self._session.comm  # refuses where the context is closed
        self._inspected = True
        chain = uncached(self._chain)
        if chain.positions is None:
            chain.source.prepare()  # type: ignore[attr-defined]
            assert chain.source.count is not None
            every = range(chain.source.count)
            chain = Chain(chain.source, every, every, chain.steps)
        while (place := chain.selector) is not None:
            head, rest = chain.steps[:place], chain.steps[place + 1 :]
            before = Chain(chain.source, chain.positions, chain.keys, head)
            selected = self._selected(before, chain.steps[place], action)
            chain = Chain(chain.source, selected.positions, selected.keys, (*head, *rest))
        self._chain = chain
        return chain

    def _records(self, action: str) -> Chain:
        """The settled chain, where there is one record at least. Collective."""
        chain = self._settle(action)
        if chain.count == 0:
            raise ValueError(f"{self._name(action)}: the collection has no records")
        return chain

    def _selected(self, chain: Chain, selector: Any, action: str) -> Chain:
        """The chain with only the records that a selector keeps. Collective."""
        assert chain.keys is not None
        if isinstance(selector, Renumber):
            return Chain(chain.source, chain.positions, range(len(chain.keys)), chain.steps)
        comm = self._session.comm
        partition = chain.partition(comm.size)
        start, stop = partition.bounds(comm.rank)
        kept = np.zeros(stop - start, dtype=np.uint8)
        if isinstance(selector, FilterKeys):
            with Together(comm, self._name(action)), calling():
                for i, key in enumerate(chain.keys[start:stop]):
                    kept[i] = bool(selector.func(self._key(key)))
        else:
            assert isinstance(selector, Filter)

            def keep(first: int, batch: np.ndarray) -> None:
                assert chain.keys is not None
                for i, value in enumerate(batch):
                    key = self._key(chain.keys[first + i])
                    kept[first + i - start] = bool(selector.func(key, value.copy()))

            self._stream(chain, action, keep)
        return chain.select(np.flatnonzero(allgather_rows(comm, kept, partition)))

    def _stream(
        self, chain: Chain, action: str, consume: Callable[[int, np.ndarray], None],
        given: object = None, memory: int | None = None,
        into: Callable[[int, int], np.ndarray | None] | None = None,
    ) -> None:
        """Run the chain over this rank's records: consume(first, batch) for each batch.

        Collective: what consume raises on any rank is raised on all. `first` is the place of
        batch[0] among all selected records; the batch is valid during the call alone. `given`
        is what else must be the same on all ranks; `memory` is the budget of this action, where it
        is not the context's. into(first, number) may tell where the results of so
        many records are wanted: a batch that was written there is not consumed.
        """
        comm = self._session.comm
        partition = chain.partition(comm.size)
        place = partition.bounds(comm.rank)[0]
        source = chain.source
        assert chain.positions is not None
        allowed = self._session.memory if memory is None else memory
        writes = into is not None and isinstance(source, MemorySource) and \
            len(chain.steps) == 1 and isinstance(chain.steps[0], WritingStep)
        limit = VIEW_BYTES if writes else _batch_bytes(chain, allowed)
        together = Together(comm, self._name(action), (chain.signature(), given))
        if source.collective:
            together.agree()  # before the ranks exchange anything, that they mean the same
        for step in chain.steps:
            if isinstance(step, Apply):
                step.seen = []  # an action that failed may have left something here
        batches = source.batches(
            chain.positions, partition, comm.rank, limit, self._session.workspace,
            allowed // ROOM_PART,
        )

        def work(batch: np.ndarray) -> None:
            nonlocal place
            self._session.stopping.check()
            first, place = place, place + len(batch)
            if len(batch):
                wanted = into(first, len(batch)) if into is not None else None
                with calling(), phase("compute", batch.nbytes):
                    with self._session.stopping.at_once():
                        result = chain.run(first, batch, wanted)
                    if result is not wanted:
                        consume(first, result)

        with self._piece(chain, action) as tick:
            if source.collective:
                for batch in batches:  # a rank that has failed goes on taking part in the rounds
                    with together.attempt():
                        if not together.failed:
                            work(batch)
                            tick(len(batch))
            else:
                # Closed here and not by whoever collects garbage: it waits for threads to let go
                # of its buffers, and a collector may run where these threads need what it holds.
                with together.attempt(), closing(batches):
                    self._check_record(chain, action, allowed)
                    for batch in batches:
                        work(batch)
                        tick(len(batch))
            if type(together.failure) is Unlike:
                together.failure = None  # `_learn` finds out which record it is
            together.agree()
        self._learn(chain)

    def _piece(self, chain: Chain, action: str) -> AbstractContextManager[Tick]:
        """Records that are taken one after the other, to be shown. Local."""
        unit = type(self).__name__.lower()
        return self._session.meter.piece(self._name(action), chain.count or 0, unit)

    def _learn(self, chain: Chain) -> None:
        """Make the ranks agree on what undeclared functions returned. Collective."""
        for step in chain.steps:
            if not isinstance(step, Apply) or step.known:
                continue
            found = [seen for rank in self._session.comm.allgather(step.seen) for seen in rank]
            if not found:
                continue
            found.sort(key=lambda seen: seen[0])
            _, _, dims, dtype = found[0]
            for _, label, other_dims, other_dtype in found:
                if (other_dims, other_dtype) != (dims, dtype):
                    error = ValueError(different(label, other_dims, other_dtype, dims, dtype))
                    raise mark_agreed(error, self._session.comm)
            step.known_dims, step.known_dtype = dims, dtype

    def _load(self, chain: Chain, action: str) -> tuple[np.ndarray, Partition]:
        """This rank's records in one array, (n,) + dims, and who has which. Collective.

        The array may be the source's own memory: it is not to be written to.
        """
        comm = self._session.comm
        partition = chain.partition(comm.size)
        start, stop = partition.bounds(comm.rank)
        if chain.steps == () and isinstance(chain.source, MemorySource) \
                and partition == chain.source.partition:
            Together(comm, self._name(action), chain.signature()).agree()
            return chain.source.block, partition
        block: np.ndarray | None = None
        empty = self._session.workspace.empty
        if chain.steps == ():
            with self._piece(chain, action) as tick:
                with Together(comm, self._name(action), chain.signature()):
                    assert chain.dims is not None
                    assert chain.dtype is not None
                    block = empty((stop - start, *chain.dims), chain.dtype)
                    if not chain.source.collective:
                        self._fill(chain, partition, block, tick)
                if chain.source.collective:
                    self._fill(chain, partition, block, tick)
            return block, partition

        def into(first: int, number: int) -> np.ndarray | None:
            nonlocal block
            if block is None:
                if chain.dims is None or chain.dtype is None:
                    return None
                block = empty((stop - start, *chain.dims), chain.dtype)
            return block[first - start : first - start + number]

        def keep(first: int, batch: np.ndarray) -> None:
            nonlocal block
            if block is None:
                memory_limit.check_fits(
                    max(partition.counts) * batch[:1].nbytes, self._session.memory,
                    self._name(action), self._instead(chain, action, batch[:1].nbytes),
                )
                block = empty((stop - start, *batch.shape[1:]), batch.dtype)
            block[first - start : first - start + len(batch)] = batch

        self._stream(chain, action, keep, into=into)
        if block is None:
            if chain.dims is None:  # a function that was never called
                raise ValueError(f"{self._name(action)}: the collection has no records")
            block = np.empty((0, *chain.dims), dtype=chain.dtype)
        return block, partition

    def _fill(
        self, chain: Chain, partition: Partition, block: np.ndarray, tick: Tick
    ) -> None:
        assert chain.positions is not None
        chain.source.load(
            chain.positions, partition, self._session.comm.rank, block, ROUND_BYTES,
            self._session.workspace, tick,
        )

    def _known(self, chain: Chain, action: str) -> Chain:
        """The chain, with dims and dtype known before anything is written. Collective.

        Where only running it can tell (a function whose result was not declared), this rank's
        share is computed and kept, so that the function is not called twice for a record.
        """
        if chain.dims is not None and chain.dtype is not None:
            return chain
        block, partition = self._load(chain, action)
        assert chain.dims is not None
        assert chain.dtype is not None
        assert chain.keys is not None
        source = MemorySource(block, chain.dims, chain.dtype, partition)
        source.number = chain.source.number
        return Chain(source, range(partition.count), chain.keys)

    def _gather(self, chain: Chain, action: str) -> np.ndarray:
        """All records of a settled chain on every rank, (n,) + dims. Collective."""
        comm = self._session.comm
        self._check_gather(chain, action)
        block, partition = self._load(chain, action)
        self._check_gather(chain, action)  # what was not known before
        owned = not isinstance(chain.source, MemorySource) or chain.steps != ()
        if comm.size == 1 and owned:
            return block  # it was made for this
        with Together(comm, self._name(action)):
            rows = np.ascontiguousarray(block)
        return allgather_rows(comm, rows, partition)

    def _check_gather(self, chain: Chain, action: str) -> None:
        """Refuse what every rank cannot hold: all records, and meanwhile its own. Local."""
        self._check_record(chain, action)
        own = 0 if self._session.comm.size == 1 else self._share_bytes(chain)
        memory_limit.check_fits(
            self._record_bytes(chain) * (chain.count or 0) + own, self._session.memory,
            self._name(action), "take fewer records, or give the context more with memory=",
        )

    def _check_share(self, chain: Chain, action: str, copied: bool = False) -> None:
        """Refuse a share that does not fit, the same on all ranks. Local."""
        self._check_record(chain, action)
        memory_limit.check_fits(
            self._share_bytes(chain, copied), self._session.memory, self._name(action),
            self._instead(chain, action, self._record_bytes(chain)),
        )

    def _check_record(self, chain: Chain, action: str, memory: int | None = None) -> None:
        """Refuse records of which not even one fits: one that is read, and its result. Local."""
        source = chain.source
        if isinstance(source, LocalSource):
            memory_limit.check_fits(
                source.record_bytes() + (self._record_bytes(chain) if chain.steps else 0),
                self._session.memory if memory is None else memory,
                f"{self._name(action)}: one record of shape {source.dims} and dtype "
                f"{source.dtype}", source.advice(),
            )

    def _instead(self, chain: Chain, action: str, record: int) -> str:
        """What to do where a share of records of so many bytes is too large. Local."""
        words = "give the context more with memory=, or take fewer or smaller records"
        if action.startswith("save"):  # which then holds no share
            words = f"declare dims and dtype of what apply's function returns, {words}"
        there = self._session.memory // max(1, record)
        # What is gathered no number of ranks makes smaller, and memory is where its rank is.
        if not there or chain.source.partition is not None or \
                not (action.startswith("save") or action in ("cache", "toSeries")):
            return words
        return f"{words}, or use {-(-(chain.count or 0) // there)} ranks that each have as much"

    def _record_bytes(self, chain: Chain) -> int:
        """What a record takes; 0 while only an action can tell. Local."""
        if chain.dims is None or chain.dtype is None:
            return 0
        return int(np.prod(chain.dims, dtype=np.int64)) * chain.dtype.itemsize

    def _share_bytes(self, chain: Chain, copied: bool = False) -> int:
        """What the largest share of the records takes, 0 where it is there already. Local."""
        if isinstance(chain.source, MemorySource) and chain.steps == () and not copied:
            return 0
        return max(chain.partition(self._session.comm.size).counts) * self._record_bytes(chain)


def _batch_bytes(chain: Chain, memory: int) -> int:
    """About what a batch of the chain's source is to take. Local."""
    source = chain.source
    limit = min(BATCH_BYTES, max(1, memory // BATCH_PART))
    if isinstance(source, LocalSource):  # two of its records, unless they are too large for that
        return max(limit, min(source.record_bytes(), memory // RECORD_PART))
    if not isinstance(source, MemorySource):
        return ROUND_BYTES
    if not chain.steps:
        return VIEW_BYTES
    assert source.dims is not None
    assert source.dtype is not None
    record = int(np.prod(source.dims, dtype=np.int64)) * source.dtype.itemsize
    return min(limit, max(STEP_BYTES, STEP_RECORDS * record))
