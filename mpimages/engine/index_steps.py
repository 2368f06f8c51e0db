"""Statistics of the values of each series that have the same labels. Local."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..core.text import quote
from .chain import Shape
from .series_steps import Keys, SeriesStatistic, percentiles, statistic_rows

__all__ = ["STATISTICS", "StatisticByIndex", "aggregate"]

# What `StatisticByIndex` computes, and how the kernels name it.
STATISTICS = {
    "sum": "sum",
    "mean": "mean",
    "median": "median",
    "stdev": "stdev",
    "max": "max",
    "min": "min",
    "count": "count",
}


class StatisticByIndex:
    """Reduce each group of the values of a series to one value.

    Parameters
    ----------
    name : str
    kind : one of STATISTICS
    columns : (T,) int64 ndarray
        The values, group by group.
    starts : (groups + 1,) int64 ndarray
        Group g has the values columns[starts[g]:starts[g + 1]].
    """

    def __init__(self, name: str, kind: str, columns: np.ndarray, starts: np.ndarray) -> None:
        self.name = name
        self.kind = kind
        self.columns = columns
        self.starts = starts

    def dims(self, dims: Shape | None) -> Shape | None:
        return (len(self.starts) - 1,)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if self.kind == "count":
            return np.dtype(np.int64)
        if self.kind == "median":
            return np.dtype(np.float64)
        return SeriesStatistic(self.name, self.kind).dtype(dtype)

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        out = np.empty((len(batch), len(self.starts) - 1), self.dtype(batch.dtype))
        if self.kind == "count":
            out[...] = np.diff(self.starts)
            return out
        for group, (start, stop) in enumerate(pairwise(self.starts.tolist())):
            values = batch[:, self.columns[start:stop]]
            if self.kind == "median":
                out[:, group] = percentiles(values, 50.0)[:, 0]
            else:
                out[:, group] = statistic_rows(self.kind, values)
        return out


def aggregate(
    func: Callable[[np.ndarray], Any], columns: np.ndarray, starts: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function of a series that gives func(values) of each group, as one array.

    `columns` and `starts` are as `StatisticByIndex` has them.
    """

    def aggregated(series: np.ndarray) -> np.ndarray:
        values = [func(series[columns[a:b]]) for a, b in pairwise(starts.tolist())]
        found = [np.asarray(value) for value in values]
        for value in found:
            if value.size != 1 or np.ma.is_masked(value):
                raise ValueError(
                    "seriesAggregateByIndex: func must return one number for the values of a "
                    f"label, got {quote(value)}"
                )
        return np.array([value.reshape(()) for value in found])

    return aggregated
