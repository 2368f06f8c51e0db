"""What Images and Series share: running a chain of steps, reductions, records by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

import numpy as np

from . import budget
from .chain import Chain, Filter, FilterKeys, Positions, Renumber, Shape
from .collective import Together, allgather_rows, mark_agreed
from .partition import Partition
from .reduce import Accumulator, Statistics
from .session import Session
from .sources import CacheSource, MemorySource, uncached
from .steps import Apply, Unlike, different

__all__ = ["Collection", "View"]

# About what a batch of records takes that must be read or computed: a batch of float images
# should hold several groups of eight, so that the tree of sums is walked in the cache.
BATCH_BYTES = 32 << 20
# Of records in memory a batch is a view: the kernels cut it as their caches want it.
VIEW_BYTES = 1 << 40
# About what a rank receives in one round of an exchange.
ROUND_BYTES = 64 << 20

ALL = ("sum", "mean", "variance", "max", "min")


class View:
    """The keys, or the values, of a collection, in the order of its records.

    Every method is collective and gives all ranks the same.
    """

    def __init__(self, name: str, take: Callable[[int | None, str], list]) -> None:
        self._name = name
        self._take = take

    def first(self) -> Any:
        """The first one. ValueError where there are no records."""
        taken = self._take(1, f"{self._name}.first")
        if not taken:
            raise ValueError("the collection has no records")
        return taken[0]

    def take(self, n: int) -> list:
        """The first n, or fewer where there are not so many."""
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
            raise ValueError(f"take needs a number of records, not {n!r}")
        return self._take(int(n), f"{self._name}.take")

    def collect(self) -> list:
        """All of them. MemoryError where they would exceed the budget."""
        return self._take(None, f"{self._name}.collect")

    def __repr__(self) -> str:
        return f"<{self._name}>"


class Collection:
    """A distributed set of (key, value) records. See `Images` and `Series`."""

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

    # Without these, Python would walk through the records one collective call at a time.
    __iter__ = None
    __contains__ = None

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} is distributed: toArray() gathers it")

    # -- what subclasses say of their keys -------------------------------------------------

    def _key(self, key: Any) -> Any:
        """The key that users know, from the int that the chain knows. Local."""
        raise NotImplementedError

    def _derived(self, chain: Chain) -> Self:
        """A collection of the same kind and context on a longer chain. Local."""
        derived = type(self)(self._session, chain, self.metadata)
        derived._inputs = self._inputs
        return derived

    # -- properties: local -----------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype | None:
        """dtype of the values; None while only an action can tell. Local."""
        self._inspected = True
        return self._chain.dtype

    @property
    def nrecords(self) -> int | None:
        """The number of records; None while only an action can tell. Local."""
        return self._chain.count

    # -- running the chain -----------------------------------------------------------------

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
            with Together(comm, self._name(action)):
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
        given: object = None,
    ) -> None:
        """Run the chain over this rank's records: consume(first, batch) for each batch.

        Collective: what consume raises on any rank is raised on all. `first` is the place of
        batch[0] among all selected records; the batch is valid during the call alone. `given`
        is what else must be the same on all ranks.
        """
        comm = self._session.comm
        partition = chain.partition(comm.size)
        place = partition.bounds(comm.rank)[0]
        source = chain.source
        assert chain.positions is not None
        viewed = isinstance(source, MemorySource) and not chain.steps
        limit = VIEW_BYTES if viewed else ROUND_BYTES if source.collective else BATCH_BYTES
        together = Together(comm, self._name(action), (chain.signature(), given))
        if source.collective:
            together.agree()  # before the ranks exchange anything, that they mean the same
        for step in chain.steps:
            if isinstance(step, Apply):
                step.seen = []  # an action that failed may have left something here
        batches = source.batches(
            chain.positions, partition, comm.rank, limit, self._session.workspace
        )

        def work(batch: np.ndarray) -> None:
            nonlocal place
            first, place = place, place + len(batch)
            if len(batch):
                consume(first, chain.run(first, batch))

        if source.collective:
            for batch in batches:  # a rank that has failed goes on taking part in the rounds
                with together.attempt():
                    if not together.failed:
                        work(batch)
        else:
            with together.attempt():
                for batch in batches:
                    work(batch)
        if isinstance(together.failure, Unlike):
            together.failure = None  # `_learn` finds out which record it is
        together.agree()
        self._learn(chain)

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
            with Together(comm, self._name(action), chain.signature()):
                assert chain.dims is not None
                assert chain.dtype is not None
                block = empty((stop - start, *chain.dims), chain.dtype)
                if not chain.source.collective:
                    self._fill(chain, partition, block)
            if chain.source.collective:
                self._fill(chain, partition, block)
            return block, partition

        def keep(first: int, batch: np.ndarray) -> None:
            nonlocal block
            if block is None:
                block = empty((stop - start, *batch.shape[1:]), batch.dtype)
            block[first - start : first - start + len(batch)] = batch

        self._stream(chain, action, keep)
        if block is None:
            if chain.dims is None:  # a function that was never called
                raise ValueError(f"{self._name(action)}: the collection has no records")
            block = np.empty((0, *chain.dims), dtype=chain.dtype)
        return block, partition

    def _fill(self, chain: Chain, partition: Partition, block: np.ndarray) -> None:
        assert chain.positions is not None
        chain.source.load(
            chain.positions, partition, self._session.comm.rank, block, ROUND_BYTES,
            self._session.workspace,
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
        own = 0 if self._session.comm.size == 1 else self._share_bytes(chain)
        budget.check_fits(
            self._record_bytes(chain) * (chain.count or 0) + own, self._session.memory,
            self._name(action), "take fewer records, or give the context more with memory=",
        )

    def _check_share(self, chain: Chain, action: str, copied: bool = False) -> None:
        """Refuse a share that does not fit, the same on all ranks. Local."""
        budget.check_fits(
            self._share_bytes(chain, copied), self._session.memory, self._name(action),
            "use more ranks or nodes, or give the context more with memory=",
        )

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

    # -- reductions ------------------------------------------------------------------------

    def _statistics(self, action: str, wanted: Iterable[str]) -> tuple[Statistics, Shape]:
        """Statistics over the records, and the shape of one. Collective."""
        comm = self._session.comm
        chain = self._settle(action)
        if chain.count == 0:
            raise ValueError(f"{self._name(action)}: the collection has no records")
        partition = chain.partition(comm.size)
        start, stop = partition.bounds(comm.rank)
        accumulator: Accumulator | None = None
        names = set(wanted)
        empty = self._session.workspace.empty

        def add(first: int, batch: np.ndarray) -> None:
            nonlocal accumulator
            if accumulator is None:
                width = int(np.prod(batch.shape[1:], dtype=np.int64))
                accumulator = Accumulator(width, batch.dtype, names, start, stop, empty)
            accumulator.add(first, batch)

        self._stream(chain, action, add)
        assert chain.dims is not None
        assert chain.dtype is not None
        with Together(comm, self._name(action)):
            if accumulator is None:
                width = int(np.prod(chain.dims, dtype=np.int64))
                accumulator = Accumulator(width, chain.dtype, names, start, start, empty)
        return accumulator.merge(comm, partition), chain.dims

    def _statistic(self, name: str) -> np.ndarray:
        wanted = "variance" if name == "stdev" else name
        statistics, dims = self._statistics(name, [wanted])
        return _checked(getattr(statistics, name)).reshape(dims)

    def mean(self) -> np.ndarray:
        """Mean over the records, float64, of a record's shape. Collective; an action."""
        return self._statistic("mean")

    def variance(self) -> np.ndarray:
        """Population variance over the records, float64. Collective; an action."""
        return self._statistic("variance")

    def stdev(self) -> np.ndarray:
        """Population standard deviation over the records, float64. Collective; an action."""
        return self._statistic("stdev")

    def sum(self) -> np.ndarray:
        """Sum over the records: exact int64 or uint64 for integers, float64 for floats.

        Collective; an action.

        Raises
        ------
        OverflowError
            Where 64 bits cannot hold a sum.
        """
        return self._statistic("sum")

    def max(self) -> np.ndarray:
        """Maximum over the records, in their dtype; NaN wins. Collective; an action."""
        return self._statistic("max")

    def min(self) -> np.ndarray:
        """Minimum over the records, in their dtype; NaN wins. Collective; an action."""
        return self._statistic("min")

    def stats(self) -> dict[str, Any]:
        """All of count, mean, variance, stdev, sum, min and max, in one pass.

        Collective; an action.

        Returns
        -------
        dict
            ``count`` an int, the others arrays as their own methods give them.

        Raises
        ------
        OverflowError
            Where 64 bits cannot hold a sum.
        """
        statistics, dims = self._statistics("stats", ALL)
        found: dict[str, Any] = {"count": statistics.count}
        for name in ("mean", "variance", "stdev", "sum", "min", "max"):
            found[name] = _checked(getattr(statistics, name)).reshape(dims)
        return found

    # -- records ---------------------------------------------------------------------------

    def count(self) -> int:
        """The number of records. Collective; an action only after `filter`."""
        settled = self._settle("count").count
        assert settled is not None
        return settled

    def keys(self) -> View:
        """The records' keys, as a view with first, take and collect. Local; the view's
        methods are collective."""

        def take(n: int | None, action: str) -> list:
            keys = self._settle(action).keys
            assert keys is not None
            return [self._key(key) for key in keys[:n]]

        return View("keys", take)

    def values(self) -> View:
        """The records' values, as a view with first, take and collect. Local; the view's
        methods are collective."""

        def take(n: int | None, action: str) -> list:
            chain = self._settle(action)
            assert chain.count is not None
            if n is not None and n < chain.count:
                chain = chain.select(np.arange(n))
            return list(self._gather(chain, action))

        return View("values", take)

    def first(self) -> tuple[Any, np.ndarray]:
        """The first record, (key, value). Collective; an action."""
        return self.keys().first(), self.values().first()

    def _places(self, keys: Positions, wanted: np.ndarray) -> np.ndarray:
        """Where in the ascending `keys` the wanted ones stand; -1 for those that do not."""
        if isinstance(keys, range):
            places = wanted - keys.start
            return np.where((places >= 0) & (places < len(keys)), places, -1)
        places = np.searchsorted(keys, wanted)
        inside = places < len(keys)
        found = np.append(keys, 0)[places]
        return np.where(inside & (found == wanted), places, -1)

    def _find(self, key: int, action: str) -> np.ndarray | None:
        """The value of one record by the chain's key, or None. Collective."""
        chain = self._settle(action)
        assert chain.keys is not None
        # Beyond int64 there are no keys.
        place = self._places(chain.keys, np.array([min(key, 2**63 - 1)], dtype=np.int64)) \
            if key >= 0 else np.array([-1])
        Together(self._session.comm, self._name(action), key).agree()
        return None if place[0] < 0 else self._gather(chain.select(place), action)[0]

    # -- selection -------------------------------------------------------------------------

    def filter(self, func: Callable[[Any, np.ndarray], bool]) -> Self:
        """Keep the records for which func(key, value) is true. Collective; lazy.

        Which they are is found out by the first action, in a pass of its own.
        """
        _check_callable(func, "filter")
        return self._derived(self._chain.then(Filter(func)))

    def filterOnKeys(self, func: Callable[[Any], bool]) -> Self:
        """Keep the records for which func(key) is true; no value is read. Collective; lazy."""
        _check_callable(func, "filterOnKeys")
        chain = self._chain.then(FilterKeys(func))
        derived = self._derived(chain)
        if self._chain.settled:
            derived._settle("filterOnKeys")
            derived._inspected = False
        return derived

    # -- cache -----------------------------------------------------------------------------

    def cache(self) -> Self:
        """Compute the records now and keep them: each rank its share. Collective; an action.

        Returns
        -------
        the collection itself

        Raises
        ------
        MemoryError
            Where a rank's share exceeds the budget: nothing is allocated then.
        """
        chain = self._settle("cache")
        if chain.steps == () and isinstance(chain.source, CacheSource):
            return self
        self._check_share(chain, "cache", copied=True)
        block, partition = self._load(chain, "cache")
        self._check_share(chain, "cache", copied=True)  # what was not known before
        with Together(self._session.comm, self._name("cache")):
            if isinstance(chain.source, MemorySource) and block is chain.source.block \
                    and not isinstance(chain.source, CacheSource):
                block = block.copy()  # it is the user's, who may change it
        dims, dtype = chain.dims, chain.dtype
        assert dims is not None
        assert dtype is not None
        source = self._cached = CacheSource(block, dims, dtype, partition, chain)
        assert chain.keys is not None
        self._chain = Chain(source, range(partition.count), chain.keys)
        return self

    def uncache(self) -> Self:
        """Free what this collection's `cache` kept; its records are computed again when needed,
        those of collections derived from it too. Collective."""
        if self._cached is not None:
            self._cached.drop()
            self._cached = None
            self._chain = uncached(self._chain)
        return self


def _checked(result: Any) -> np.ndarray:
    if isinstance(result, OverflowError):
        raise result
    return result


def _check_callable(func: Any, name: str) -> None:
    if not callable(func):
        raise TypeError(f"{name} needs a function, not {type(func).__name__}")

