"""What Images and Series share: reductions, records by key, selection, cache."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np

from .core.arguments import check_callable, check_int
from .core.json_types import JsonObject
from .core.public import public
from .engine.chain import Chain, Filter, FilterKeys, Shape
from .engine.runner import Records
from .engine.selection import places_of
from .engine.session import Session
from .engine.sources import CacheSource, MemorySource, resolve_caches
from .spmd.actions import action
from .statistics.passes import statistics

__all__ = ["Collection", "View"]


@public
class View:
    """The keys, or the values, of a collection, in the order of its records.

    Every method is collective and gives all ranks the same.
    """

    def __init__(self, name: str, take: Callable[[int | None, str], list[Any]]) -> None:
        self._name = name
        self._take = take

    def first(self) -> Any:
        """The first one. ValueError where there are no records."""
        taken = self._take(1, f"{self._name}.first")
        if not taken:
            raise ValueError("the collection has no records")
        return taken[0]

    def take(self, n: int) -> list[Any]:
        """The first n, or fewer where there are not so many."""
        return self._take(check_int(n, "take: n", 0), f"{self._name}.take")

    def collect(self) -> list[Any]:
        """All of them. MemoryError where they would exceed the budget."""
        return self._take(None, f"{self._name}.collect")

    def __repr__(self) -> str:
        return f"<{self._name}>"


@public
class Collection:
    """A distributed set of (key, value) records. See `Images` and `Series`.

    Attributes
    ----------
    metadata : dict
        What the files say of their records.
    records : Records
        The chain behind the public methods, for the package's own modules.
    """

    _made_by = "a method of ThunderContext, such as loadImages"
    __signature__ = inspect.Signature()  # help() shows no arguments that are not for users

    # Python would walk through the records, one collective call after the other.
    __reversed__ = None

    def __contains__(self, _: object) -> bool:
        raise TypeError(
            f"'in' would compare each record of {type(self).__name__}: get(key) is None where no "
            "record has this key"
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        raise NotImplementedError

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} is distributed: toArray() gathers it")

    def __dir__(self) -> list[str]:
        # Other modules of the package use `records` and `session`, so that they cannot have
        # names with an underscore; what a class has is meant for users, or begins with one.
        return sorted({"metadata", *(name for name in dir(type(self)) if name[0] != "_")})

    def __init__(
        self,
        session: Session,
        chain: Chain,
        metadata: JsonObject | None = None,
        inputs: JsonObject | None = None,
    ) -> None:
        self.session = session
        self._cached: CacheSource | None = None
        self.metadata: JsonObject = dict(metadata or {})
        self.records = Records(session, type(self).__name__, chain, inputs)

    def _derived(self, chain: Chain) -> Self:
        """A collection of the same kind and context on a longer chain. Local."""
        return type(self)(self.session, chain, self.metadata, self.records.inputs)

    def _then(self, step: Any) -> Self:
        """A collection with one more step. Local."""
        raise NotImplementedError

    def _key(self, key: int) -> Any:
        """The key that users know, from the one that the chain knows. Local."""
        raise NotImplementedError

    # -- properties: local -----------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype | None:
        """dtype of the values; None while only an action can tell. Local."""
        self.records.inspected = True
        return self.records.dtype

    @property
    def nrecords(self) -> int | None:
        """The number of records; None while only an action can tell. Local."""
        return self.records.count

    @property
    def shape(self) -> Shape | None:
        """Shape of the ndarray that has all records; None while only an action can tell. Local."""
        raise NotImplementedError

    @property
    def ndim(self) -> int | None:
        """The number of axes of `shape`; None while only an action can tell. Local."""
        shape = self.shape
        return None if shape is None else len(shape)

    @property
    def size(self) -> int | None:
        """The number of values in all records; None while only an action can tell. Local."""
        shape = self.shape
        return None if shape is None else math.prod(shape)

    # -- reductions ------------------------------------------------------------------------

    def _statistic(self, name: str) -> np.ndarray:
        found = statistics(*self.records.begin(name, least=1), [name])
        return found.array(name)

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
    def stats(self) -> JsonObject:
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
        names = ("mean", "variance", "stdev", "sum", "min", "max")
        found = statistics(*self.records.begin("stats", least=1), names)
        return found.fields(names)

    # -- records ---------------------------------------------------------------------------

    def count(self) -> int:
        """The number of records. Collective; an action only after `filter`."""
        with self._entry("count"):
            return self.records.begin("count")[1].count

    def _entry(self, method: str) -> AbstractContextManager[None]:
        """An action, unless it is known already which records there are. Collective."""
        if self.records.count is not None:
            return nullcontext()
        return self.session.action(f"{type(self).__name__}.{method}")

    def keys(self) -> View:
        """The records' keys, as a view with first, take and collect. Local; the view's
        methods are collective."""

        def take(n: int | None, method: str) -> list[Any]:
            with self._entry(method):
                return [self._key(key) for key in self.records.begin(method)[1].keys[:n]]

        return View("keys", take)

    def values(self) -> View:
        """The records' values, as a view with first, take and collect. Local; the view's
        methods are collective."""

        def take(n: int | None, method: str) -> list[Any]:
            with self.session.action(f"{type(self).__name__}.{method}"):
                begun, selection = self.records.begin(method)
                if n == 0:
                    return []
                if n is not None and n < selection.count:
                    selection = selection.take(np.arange(n))
                return list(begun.gather(selection))

        return View("values", take)

    @action
    def first(self) -> tuple[Any, np.ndarray]:
        """The first record, (key, value). Collective; an action."""
        return self.keys().first(), self.values().first()

    def _find(self, key: int, method: str) -> np.ndarray | None:
        """The value of one record by the chain's key, or None. Collective."""
        begun, selection = self.records.begin(method)
        # Beyond int64 there are no keys.
        place = (
            places_of(selection.keys, np.array([min(key, 2**63 - 1)], dtype=np.int64))
            if key >= 0
            else np.array([-1])
        )
        begun.together(key).agree()
        return None if place[0] < 0 else begun.gather(selection.take(place))[0]

    # -- selection -------------------------------------------------------------------------

    def filter(self, func: Callable[[Any, np.ndarray], bool]) -> Self:
        """Keep the records for which func(key, value) is true. Collective; lazy.

        Which they are is found out by the first action, in a pass of its own.
        """
        check_callable(func, "filter: func")
        return self._derived(self.records.chain.then(Filter(func, self._key)))

    def filterOnKeys(self, func: Callable[[Any], bool]) -> Self:
        """Keep the records for which func(key) is true; no value is read. Collective; lazy."""
        check_callable(func, "filterOnKeys: func")
        derived = self._derived(self.records.chain.then(FilterKeys(func, self._key)))
        if self.records.count is not None:
            with self.session.action(f"{type(self).__name__}.filterOnKeys"):
                derived.records.begin("filterOnKeys")
            derived.records.inspected = False
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
        begun, selection = self.records.begin("cache")
        if selection.steps == () and isinstance(selection.source, CacheSource):
            return self
        begun.check_share(selection, copied=True)
        block, known = begun.load(selection)
        begun.check_share(known, copied=True)  # what was not known before
        with begun.together():
            if (
                isinstance(known.source, MemorySource)
                and block is known.source.block
                and not isinstance(known.source, CacheSource)
            ):
                block = block.copy()  # it is the user's, who may change it
        self._cached = CacheSource(block, known)
        self.records.replace(Chain(self._cached, range(known.count), known.keys))
        return self

    def uncache(self) -> Self:
        """Free what this collection's `cache` kept; its records are computed again when needed,
        those of collections derived from it too. Collective."""
        if self._cached is not None:
            self._cached.drop()
            self._cached = None
            self.records.replace(resolve_caches(self.records.chain))
        return self
