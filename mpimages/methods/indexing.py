"""Methods of Series that select values by their labels, and group them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from ..core.arguments import (
    check_callable,
    check_choice,
    check_flag,
    check_index,
    check_int,
    check_ints,
    check_number,
)
from ..core.public import public
from ..core.text import quote
from ..engine.functions import Apply
from ..engine.index_steps import STATISTICS, StatisticByIndex, aggregate
from ..engine.series_steps import Select
from .base import SeriesMethods

__all__ = ["Indexing"]

Levels = int | Sequence[int]


@public
class Indexing(SeriesMethods):
    """Selection and statistics by the index, which may have several levels. Lazy.

    Where only an action can tell the index (after a `filter` of images, or a function whose
    result was not declared), these methods are actions.
    """

    def select(self, crit: object) -> Self:
        """Keep the times whose index value meets a criterion. Collective; lazy.

        Where only an action can tell how many values there are (after a `filter` of images, or a
        function whose result was not declared), this is one.

        Parameters
        ----------
        crit : int, list of int, or callable
            The value, the values, or a function of a value that says whether to keep it.

        Raises
        ------
        ValueError
            Where none is left.
        """
        return self._select("select", crit, quote(crit))

    def _select(self, method: str, crit: object, shown: str) -> Self:
        """Keep the times whose index value meets a criterion; messages show it so. Collective."""
        index = self._known_index(method)
        if callable(crit):
            kept = np.array([bool(crit(int(label))) for label in index], dtype=bool)
        else:
            wanted: object = [crit] if isinstance(crit, int | float | np.number) else crit
            try:
                kept = np.isin(index, check_index(wanted))
            except ValueError as error:
                raise ValueError(f"{method}: {error}") from None
        columns = np.flatnonzero(kept)
        if len(columns) == 0:
            raise ValueError(
                f"{method}: no index value meets {shown}; they lie in {index.min()}…{index.max()}"
            )
        return self._then(Select(columns), index[columns])

    def between(self, left: int, right: int) -> Self:
        """Keep the times whose index value lies in left … right, both included.

        Collective; lazy. ValueError where none is left.
        """
        if not check_number(left, "between: left") <= check_number(right, "between: right"):
            raise ValueError(f"between: left {quote(left)} is above right {quote(right)}")
        shown = f"{quote(left)}…{quote(right)}"
        return self._select("between", lambda label: left <= label <= right, shown)

    def selectByIndex(
        self,
        val: int | Sequence[int] | Sequence[Sequence[int]],
        level: Levels = 0,
        squeeze: bool = False,
        filter: bool = False,
        returnMask: bool = False,
    ) -> Self | tuple[Self, np.ndarray]:
        """Keep the values with certain labels. Collective; lazy.

        Parameters
        ----------
        val : int, list of int, or a list of these for several levels
            The labels to keep. With several levels a value is kept if its label at each of them
            is among those for that level.
        level : int, or list of int
            The levels of the index that `val` is for, counted from 0.
        squeeze : bool
            Leave out of the result's index the levels for which a single label was given. If none
            is left, the labels count from 0.
        filter : bool
            Keep all other values instead.
        returnMask : bool
            Return which values were kept, too.

        Returns
        -------
        Series
        mask : (T,) bool ndarray
            With `returnMask`.

        Raises
        ------
        ValueError
            Where no value is left, for a level that the index does not have, or for `squeeze` with
            `filter`.
        """
        method = "selectByIndex"
        leave_out = check_flag(squeeze, f"{method}: squeeze")
        inverted = check_flag(filter, f"{method}: filter")
        masked = check_flag(returnMask, f"{method}: returnMask")
        if leave_out and inverted:
            raise ValueError(f"{method}: squeeze has no effect with filter=True; omit one of them")
        levels = _levels(level, method)
        wanted = _wanted(val, level, len(levels), method)
        index = self._known_index(method, levels=True)
        columns = _columns(index, levels, method)
        kept = np.logical_and.reduce(
            [np.isin(labels, some) for labels, some in zip(columns.T, wanted, strict=True)]
        )
        if inverted:
            kept = ~kept
        if not kept.any():
            which = "other than" if inverted else "of"
            raise ValueError(f"{method}: there is no value with a label {which} {quote(val)}")
        labels = index[kept]
        if leave_out:
            single = [one for one, some in zip(levels, wanted, strict=True) if len(some) == 1]
            labels = np.delete(labels.reshape(len(labels), -1), single, axis=1)
            labels = labels if labels.shape[1] else np.arange(len(labels))[:, np.newaxis]
        selected = self._then(Select(np.flatnonzero(kept)), _flat(labels))
        return (selected, kept) if masked else selected

    def seriesAggregateByIndex(self, func: Callable[[np.ndarray], Any], level: Levels = 0) -> Self:
        """func(values) for the values of each label: a Series of one value a label.

        Collective; lazy. The result's index has the labels, ascending; with several levels their
        combinations that there are.

        Parameters
        ----------
        func : callable
            Gets a 1-D array of its own and returns a number.
        level : int, or list of int
            Which levels of the index make a label, counted from 0.

        Raises
        ------
        ValueError
            For a level that the index does not have. The action raises it where func does not
            return a number.

        Notes
        -----
        The function is called for each series and label: `seriesMeanByIndex` and its kin are
        far faster.
        """
        method = "seriesAggregateByIndex"
        check_callable(func, f"{method}: func")
        labels, columns, starts = self._groups(level, method)
        step = Apply(
            aggregate(func, columns, starts), (len(labels),), None, axes=1, label=self._key
        )
        return self._then(step, labels)

    def seriesStatByIndex(self, stat: str, level: Levels = 0) -> Self:
        """A statistic of the values of each label: a Series of one value a label.

        Collective; lazy. The result's index is as in `seriesAggregateByIndex`.

        Parameters
        ----------
        stat : {'sum', 'mean', 'median', 'stdev', 'max', 'min', 'count'}
            Their dtypes are those of `seriesSum`, `seriesMean` and so on; a count is int64. The
            standard deviation is that of the population.
        level : int, or list of int
            Which levels of the index make a label, counted from 0.

        Raises
        ------
        ValueError
            For a level that the index does not have.
        OverflowError
            By the action, where 64 bits cannot hold a sum.
        """
        kind = check_choice(stat, "seriesStatByIndex: stat", STATISTICS)
        return self._statistic_by_index(kind, level, "seriesStatByIndex")

    def seriesSumByIndex(self, level: Levels = 0) -> Self:
        """The sum of the values of each label. As `seriesStatByIndex`. Collective; lazy."""
        return self._statistic_by_index("sum", level, "seriesSumByIndex")

    def seriesMeanByIndex(self, level: Levels = 0) -> Self:
        """The mean of the values of each label. As `seriesStatByIndex`. Collective; lazy."""
        return self._statistic_by_index("mean", level, "seriesMeanByIndex")

    def seriesMedianByIndex(self, level: Levels = 0) -> Self:
        """The median of the values of each label. As `seriesStatByIndex`. Collective; lazy."""
        return self._statistic_by_index("median", level, "seriesMedianByIndex")

    def seriesStdevByIndex(self, level: Levels = 0) -> Self:
        """The population standard deviation of the values of each label. Collective; lazy.

        As `seriesStatByIndex`.
        """
        return self._statistic_by_index("stdev", level, "seriesStdevByIndex")

    def seriesMaxByIndex(self, level: Levels = 0) -> Self:
        """The maximum of the values of each label. As `seriesStatByIndex`. Collective; lazy."""
        return self._statistic_by_index("max", level, "seriesMaxByIndex")

    def seriesMinByIndex(self, level: Levels = 0) -> Self:
        """The minimum of the values of each label. As `seriesStatByIndex`. Collective; lazy."""
        return self._statistic_by_index("min", level, "seriesMinByIndex")

    def seriesCountByIndex(self, level: Levels = 0) -> Self:
        """How many values have each label. As `seriesStatByIndex`. Collective; lazy."""
        return self._statistic_by_index("count", level, "seriesCountByIndex")

    def _statistic_by_index(self, kind: str, level: Levels, method: str) -> Self:
        labels, columns, starts = self._groups(level, method)
        return self._then(StatisticByIndex(method, kind, columns, starts), labels)

    def _groups(self, level: Levels, method: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The labels, and the values of each as a step wants them. Collective as the methods."""
        columns = _columns(self._known_index(method, levels=True), _levels(level, method), method)
        labels, group, counts = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
        order = np.argsort(group.reshape(-1), kind="stable").astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        return _flat(labels), order, starts


def _levels(level: object, method: str) -> tuple[int, ...]:
    """Return the levels that are meant, each once; raise otherwise. Local."""
    if isinstance(level, list | tuple | np.ndarray):
        levels = check_ints(level, f"{method}: level", 0)
        if not levels or len(set(levels)) < len(levels):
            raise ValueError(f"{method}: level must name each level once, got {quote(level)}")
        return levels
    return (check_int(level, f"{method}: level", 0),)


def _columns(index: np.ndarray, levels: tuple[int, ...], method: str) -> np.ndarray:
    """Return some levels of an index, (T, levels); raise ValueError for others. Local."""
    if len(index) == 0:
        raise ValueError(f"{method}: the series have no values")
    there = index if index.ndim > 1 else index[:, np.newaxis]
    if max(levels) >= there.shape[1]:
        raise ValueError(
            f"{method}: level {max(levels)} is out of range: the index has {there.shape[1]} levels"
        )
    return there[:, list(levels)]


def _wanted(val: Any, level: object, count: int, method: str) -> list[np.ndarray]:
    """Return the labels that are meant at each level. Local."""
    name = f"{method}: val"
    each = val if _is_list(val) else [val]
    if not isinstance(level, list | tuple | np.ndarray):
        each = each if len(each) == 1 and _is_list(each[0]) else [each]
    elif count == 1 and not any(_is_list(one) for one in each):
        each = [each]
    if len(each) != count:
        raise ValueError(f"{name} has labels for {len(each)} levels, but level names {count}")
    return [check_index(one if _is_list(one) else [one], name) for one in each]


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple | range) or (
        isinstance(value, np.ndarray) and value.ndim > 0
    )


def _flat(labels: np.ndarray) -> np.ndarray:
    """Return labels of one level as 1-D. Local."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
