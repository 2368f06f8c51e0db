"""What Images and Series share: reductions, records by key, selection, cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np

from .core.arguments import check_int
from .core.text import shown
from .engine.chain import Chain, Filter, FilterKeys, Positions
from .engine.sources import CacheSource, MemorySource, uncached
from .spmd.actions import action
from .spmd.agreement import Together
from .statistics.passes import Summarized

__all__ = ["Collection", "View"]



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
        return self._take(check_int(n, "take: n", 0), f"{self._name}.take")

    def collect(self) -> list:
        """All of them. MemoryError where they would exceed the budget."""
        return self._take(None, f"{self._name}.collect")

    def __repr__(self) -> str:
        return f"<{self._name}>"


class Collection(Summarized):
    """A distributed set of (key, value) records. See `Images` and `Series`."""

    # Without these, Python would walk through the records one collective call at a time.
    __iter__ = None
    __contains__ = None

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} is distributed: toArray() gathers it")

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

    # -- reductions ------------------------------------------------------------------------

    def _statistic(self, name: str) -> np.ndarray:
        statistics, dims = self._statistics(name, [name])
        return _checked(getattr(statistics, name)).reshape(dims)

    @action
    def mean(self) -> np.ndarray:
        """Mean over the records, float64, of a record's shape. Collective; an action."""
        return self._statistic("mean")

    @action
    def variance(self) -> np.ndarray:
        """Population variance over the records, float64. Collective; an action."""
        return self._statistic("variance")

    @action
    def stdev(self) -> np.ndarray:
        """Population standard deviation over the records, float64. Collective; an action."""
        return self._statistic("stdev")

    @action
    def sum(self) -> np.ndarray:
        """Sum over the records: exact int64 or uint64 for integers, float64 for floats.

        Collective; an action.

        Raises
        ------
        OverflowError
            Where 64 bits cannot hold a sum.
        """
        return self._statistic("sum")

    @action
    def max(self) -> np.ndarray:
        """Maximum over the records, in their dtype; NaN wins. Collective; an action."""
        return self._statistic("max")

    @action
    def min(self) -> np.ndarray:
        """Minimum over the records, in their dtype; NaN wins. Collective; an action."""
        return self._statistic("min")

    @action
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
        return self._several(("mean", "variance", "stdev", "sum", "min", "max"))

    def _several(self, names: Sequence[str]) -> dict[str, Any]:
        """Some of `stats`. Collective, within an action."""
        statistics, dims = self._statistics("stats", names)
        found: dict[str, Any] = {"count": statistics.count}
        for name in names:
            found[name] = _checked(getattr(statistics, name)).reshape(dims)
        return found

    # -- records ---------------------------------------------------------------------------

    def count(self) -> int:
        """The number of records. Collective; an action only after `filter`."""
        with self._together(self._name("count")):
            settled = self._settle("count").count
        assert settled is not None
        return settled

    def _together(self, name: str) -> AbstractContextManager[None]:
        """An action, unless it is known already which records there are. Collective."""
        return nullcontext() if self._chain.settled else self._session.action(name)

    def keys(self) -> View:
        """The records' keys, as a view with first, take and collect. Local; the view's
        methods are collective."""

        def take(n: int | None, name: str) -> list:
            with self._together(self._name(name)):
                keys = self._settle(name).keys
            assert keys is not None
            return [self._key(key) for key in keys[:n]]

        return View("keys", take)

    def values(self) -> View:
        """The records' values, as a view with first, take and collect. Local; the view's
        methods are collective."""

        def take(n: int | None, name: str) -> list:
            with self._session.action(self._name(name)):
                chain = self._settle(name)
                assert chain.count is not None
                if n == 0:
                    return []
                if n is not None and n < chain.count:
                    chain = chain.select(np.arange(n))
                return list(self._gather(chain, name))

        return View("values", take)

    @action
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
            with self._session.action(self._name("filterOnKeys")):
                derived._settle("filterOnKeys")
            derived._inspected = False
        return derived

    # -- cache -----------------------------------------------------------------------------

    @action
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
        raise TypeError(f"{name}: func must be a function, got {shown(func)}")

