"""Methods that call functions of users: for each record, for batches of them, along a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from ..collection import Collection
from ..core.arguments import (
    check_callable,
    check_dtype,
    check_flag,
    check_index,
    check_int,
    check_ints,
)
from ..core.public import public
from ..core.text import quote
from ..engine.chain import Chain, Shape, counted_anew
from ..engine.functions import Apply, ApplyBatch, ApplyWithKeys
from ..spmd.actions import action
from ..spmd.agreement import MOST, allgather_rows
from ..spmd.watch import between_calls, calling
from .base import ImageMethods, SeriesMethods

__all__ = ["ImageMapping", "Mapping", "SeriesMapping"]


@public
class Mapping(Collection):
    """Functions of users on all records of a collection."""

    @action
    def foreach(self, func: Callable[[Any, np.ndarray], object]) -> None:
        """Call func(key, value) for each record, on the rank that has it. Collective; an action.

        What it returns is thrown away: it is called for what it does, such as to write a file. On
        each rank the calls follow the order of the keys; the ranks work at the same time.

        Parameters
        ----------
        func : callable
            Gets the key and an array of its own.
        """
        check_callable(func, "foreach: func")
        begun, selection = self.records.begin("foreach")

        def call(first: int, batch: np.ndarray) -> None:
            keys = selection.keys[first : first + len(batch)]
            for key, value in zip(keys, batch, strict=True):
                between_calls()
                func(self._key(int(key)), value.copy())

        begun.stream(selection, call)

    @action
    def reduce(self, func: Callable[[Any, Any], Any]) -> Any:
        """Merge the values of all records to one by a function of two. Collective; an action.

        Values are merged along a binary tree whose shape follows from the number of records alone:
        the records 0 and 1, 2 and 3, ..., then these results in pairs, and so on. So even a
        function that is not associative, such as a sum of floats, has one result on any number of
        ranks.

        Parameters
        ----------
        func : callable
            func(a, b) returns what stands for both: `a` and `b` are values of records, or what it
            has returned for earlier and later ones. It may write to them. What it returns is
            pickled, to be sent to another rank.

        Returns
        -------
        What `func` returns for the last two; of a single record, its value. On every rank.

        Raises
        ------
        ValueError
            Where there are no records.
        TypeError
            Where `func` returns None.
        MemoryError
            Where what it has returned for parts of the records exceeds half of the budget.
        """
        check_callable(func, "reduce: func")
        return self._aggregated("reduce", lambda _, value: value, func, None)

    @action
    def aggregate(
        self,
        init: Callable[[], Any],
        add: Callable[[Any, Any, np.ndarray], Any],
        merge: Callable[[Any, Any], Any],
        finish: Callable[[Any], Any] | None = None,
    ) -> Any:
        """Merge all records to one state by functions of one's own. Collective; an action.

        ``add(init(), key, value)`` is the state of each record. These are merged along the tree of
        `reduce`: so the result is the same on any number of ranks, even if `merge` is not
        associative.

        Parameters
        ----------
        init : callable
            init() returns the state of no records, new each time.
        add : callable
            add(state, key, value) returns the state with one record more. The value is an array of
            its own.
        merge : callable
            merge(a, b) returns the state of the records of both; those of `a` come first. It may
            write to them. States are pickled, to be sent to another rank.
        finish : callable, optional
            finish(state) makes the result of the state of all records.

        Returns
        -------
        The state of all records, or what `finish` makes of it. On every rank.

        Raises
        ------
        ValueError
            Where there are no records.
        TypeError
            Where a function returns None in place of a state.
        MemoryError
            Where the states of parts of the records exceed half of the budget.

        Examples
        --------
        A histogram of all pixels:

        >>> histogram = data.aggregate(
        ...     lambda: np.zeros(256, int),
        ...     lambda counts, key, image: counts + np.bincount(image.ravel(), minlength=256),
        ...     np.add,
        ... )  # doctest: +SKIP
        """
        for name, func in (("init", init), ("add", add), ("merge", merge)):
            check_callable(func, f"aggregate: {name}")
        if finish is not None:
            check_callable(finish, "aggregate: finish")

        def leaf(key: int, value: np.ndarray) -> Any:
            return _state(add(init(), self._key(key), value), "aggregate: add")

        return self._aggregated("aggregate", leaf, merge, finish)

    def _aggregated(
        self,
        method: str,
        leaf: Callable[[int, np.ndarray], Any],
        merge: Callable[[Any, Any], Any],
        finish: Callable[[Any], Any] | None,
    ) -> Any:
        from ..statistics.aggregate import aggregate

        name = f"{method}: {'func' if method == 'reduce' else 'merge'}"
        begun, selection = self.records.begin(method, least=1)
        return aggregate(begun, selection, leaf, lambda a, b: _state(merge(a, b), name), finish)


@public
class ImageMapping(Mapping, ImageMethods):
    """Functions of users on images."""

    def apply(
        self,
        func: Callable[..., np.ndarray],
        dims: Sequence[int] | None = None,
        dtype: object = None,
        withKeys: bool = False,
    ) -> Self:
        """func(value) for each image. Collective; lazy.

        Parameters
        ----------
        func : callable
            Gets an array of its own and returns an array of integers or floats (bool counts as
            uint8).
        dims, dtype : optional
            Of what it returns. Undeclared, they stay None until an action has run, and a
            record that differs from the first is then a ValueError that names its key.
        withKeys : bool
            Call func(key, value), as `filter` does. A later `renumber` does not change the keys
            that it gets.
        """
        check_callable(func, "apply: func")
        kind = ApplyWithKeys if check_flag(withKeys, "apply: withKeys") else Apply
        return self._derived(self.records.chain.then(kind(func, *_declared(dims, dtype))))

    def applyBatch(
        self,
        func: Callable[[np.ndarray], np.ndarray],
        dims: Sequence[int] | None = None,
        dtype: object = None,
    ) -> Self:
        """func(values) for a batch of images at once. Collective; lazy.

        For small images it saves Python's price for each.

        Parameters
        ----------
        func : callable
            Gets an array of its own of k images, (k,) + dims, and returns (k,) + the dims of a
            result. What it makes of an image must not depend on the others in the batch, nor on
            k, which is any number from 1 on: which images meet in a batch depends on the ranks.
        dims, dtype : optional
            Of one result, as in `apply`.

        Raises
        ------
        ValueError
            By the action, where `func` does not return as many results as it has got images.
        """
        check_callable(func, "applyBatch: func")
        step = ApplyBatch(func, *_declared(dims, dtype))
        return self._derived(self.records.chain.then(step))

    @action
    def applyKeys(self, func: Callable[[int], int]) -> Self:
        """The same images with the keys func(key). Collective.

        No value is read, unless a `filter` has first to find out which images there are.

        Parameters
        ----------
        func : callable
            Gets an int and returns one, from 0 on. The images keep their order: so the new keys
            must ascend as the old ones do.

        Raises
        ------
        ValueError
            Where the new keys do not ascend, or one is negative; the message names them.
        """
        check_callable(func, "applyKeys: func")
        begun, selection = self.records.begin("applyKeys")
        start, stop = selection.partition.bounds(begun.comm.rank)
        own = np.zeros(stop - start, dtype=np.int64)
        with begun.together(), calling(self.session.glance):
            for i, key in enumerate(selection.keys[start:stop]):
                between_calls()
                name = f"applyKeys: what func returns for key {key}"
                new = check_int(func(int(key)), name, 0)
                if new > MOST:
                    raise ValueError(f"{name} must be below 2**63, got {quote(new)}")
                own[i] = new
        keys = allgather_rows(begun.comm, own, selection.partition)
        wrong = np.flatnonzero(np.diff(keys) <= 0)
        if len(wrong):
            first = int(wrong[0])
            old = [int(selection.keys[place]) for place in (first, first + 1)]
            raise ValueError(
                f"applyKeys: the new keys must ascend, but keys {old[0]} and {old[1]} become "
                f"{keys[first]} and {keys[first + 1]}"
            )
        steps = counted_anew(selection.steps, selection.keys, keys)
        return self._derived(Chain(selection.source, selection.positions, keys, steps))


@public
class SeriesMapping(Mapping, SeriesMethods):
    """Functions of users on series."""

    def apply(
        self,
        func: Callable[..., Any],
        index: Iterable[int] | None = None,
        dtype: object = None,
        withKeys: bool = False,
    ) -> Self:
        """func(value) for each series. Collective; lazy.

        `applyBatch` is many times as fast for functions of NumPy.

        Parameters
        ----------
        func : callable
            Gets a 1-D array of its own and returns a 1-D array, or a number.
        index : sequence of int, optional
            Labels of what it returns, which declares its length; otherwise the labels are
            kept where the length is, and count from 0 where it is not.
        dtype : optional
            Of what it returns; undeclared, it stays None until an action has run.
        withKeys : bool
            Call func(key, value), as `filter` does; the key is the pixel, (row, column[, page]).
        """
        check_callable(func, "apply: func")
        kind = ApplyWithKeys if check_flag(withKeys, "apply: withKeys") else Apply
        return self._mapped(kind, func, index, dtype)

    def applyBatch(
        self,
        func: Callable[[np.ndarray], np.ndarray],
        index: Iterable[int] | None = None,
        dtype: object = None,
    ) -> Self:
        """func(values) for a batch of series at once. Collective; lazy.

        Parameters
        ----------
        func : callable
            Gets an array of its own of k series, (k, T), and returns (k, length), or a number
            for each series, (k,). What it makes of a series must not depend on the others in the
            batch, nor on k, which is any number from 1 on: which series meet in a batch depends on
            the ranks. So statistics are to be taken along ``axis=-1``.
        index, dtype : optional
            Of one result, as in `apply`.

        Raises
        ------
        ValueError
            By the action, where `func` does not return as many results as it has got series.
        """
        check_callable(func, "applyBatch: func")
        return self._mapped(ApplyBatch, func, index, dtype)

    def _mapped(
        self,
        step: type[Apply | ApplyBatch],
        func: Callable[..., Any],
        index: Iterable[int] | None,
        dtype: object,
    ) -> Self:
        labels = None if index is None else check_index(index)
        dims = None if labels is None else (len(labels),)
        kind = None if dtype is None else check_dtype(dtype, "dtype")
        return self._then(step(func, dims, kind, axes=1, label=self._key), labels)


def _declared(dims: Sequence[int] | None, dtype: object) -> tuple[Shape | None, np.dtype | None]:
    declared: Shape | None = None if dims is None else check_ints(dims, "dims", 1)
    if declared is not None and not 1 <= len(declared) <= 4:
        raise ValueError(f"dims must have 1 to 4 axes, got {declared}")
    return declared, None if dtype is None else check_dtype(dtype, "dtype")


def _state(state: Any, name: str) -> Any:
    if state is None:
        raise TypeError(f"{name} returned None: it must return what stands for its records")
    return state
