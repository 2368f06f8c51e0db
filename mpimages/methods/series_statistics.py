"""Methods of Series: statistics of each series, and the choice of times."""

from __future__ import annotations

from typing import Self

import numpy as np

from ..core.arguments import check_choice, check_index, check_number, check_percent
from ..core.public import public
from ..core.text import quote
from ..engine.series_steps import Count, Percentile, Select, SeriesStatistic
from ..engine.series_toolbox import SeriesStatistics as StatisticsStep
from .base import SeriesMethods

__all__ = ["SeriesStatistics"]

STATISTICS = {
    "mean": "seriesMean",
    "stdev": "seriesStdev",
    "sum": "seriesSum",
    "max": "seriesMax",
    "min": "seriesMin",
    "median": "seriesMedian",
}


@public
class SeriesStatistics(SeriesMethods):
    """Statistics of each series, and the choice of times. Lazy."""

    def seriesMean(self) -> Self:
        """Each series' mean, float64: a Series of one value. Collective; lazy."""
        return self._reduced(SeriesStatistic("seriesMean", "mean"))

    def seriesStdev(self) -> Self:
        """Each series' population standard deviation, float64. Collective; lazy."""
        return self._reduced(SeriesStatistic("seriesStdev", "stdev"))

    def seriesSum(self) -> Self:
        """Each series' sum: int64 or uint64 for integers, float64 for floats. Collective; lazy.

        The action raises OverflowError where 64 bits cannot hold a sum.
        """
        return self._reduced(SeriesStatistic("seriesSum", "sum"))

    def seriesMax(self) -> Self:
        """Each series' maximum, in its dtype. Collective; lazy."""
        return self._reduced(SeriesStatistic("seriesMax", "max"))

    def seriesMin(self) -> Self:
        """Each series' minimum, in its dtype. Collective; lazy."""
        return self._reduced(SeriesStatistic("seriesMin", "min"))

    def seriesMedian(self) -> Self:
        """Each series' median, float64. Collective; lazy."""
        return self._reduced(Percentile("seriesMedian", 50.0))

    def seriesPercentile(self, q: float) -> Self:
        """Each series' q-th percentile by linear interpolation, float64. Collective; lazy.

        Parameters
        ----------
        q : float
            0 … 100.
        """
        percent = check_percent(q, "seriesPercentile: q")
        return self._reduced(Percentile("seriesPercentile", percent))

    def seriesStat(self, stat: str) -> Self:
        """One statistic of each series, by its name. Collective; lazy.

        Parameters
        ----------
        stat : {'mean', 'stdev', 'sum', 'max', 'min', 'median', 'count'}
            As `seriesMean`, `seriesStdev` and so on, with their dtypes; the count is the number
            of values, int64.
        """
        check_choice(stat, "seriesStat: stat", (*STATISTICS, "count"))
        if stat == "count":
            return self._reduced(Count())
        reduced: Self = getattr(self, STATISTICS[stat])()
        return reduced

    def seriesStats(self) -> Self:
        """Five numbers of each series, float64, with the index 0 ... 4. Collective; lazy.

        They are the number of values, the mean, the population standard deviation, the maximum
        and the minimum, in this order.
        """
        return self._then(StatisticsStep(), np.arange(5))

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
        return self._chosen("select", crit, quote(crit))

    def _chosen(self, method: str, crit: object, shown: str) -> Self:
        """The times whose index value meets a criterion, which messages show so. Collective."""
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
        return self._chosen("between", lambda label: left <= label <= right, shown)
