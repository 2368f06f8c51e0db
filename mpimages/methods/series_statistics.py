"""Methods of Series: statistics of each series."""

from __future__ import annotations

from typing import Self

import numpy as np

from ..core.arguments import check_choice, check_percent
from ..core.public import public
from ..engine.series_steps import Count, Percentile, SeriesStatistic
from ..engine.series_transforms import FiveStatistics
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
    """Statistics of each series. Lazy."""

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
        return self._then(FiveStatistics(), np.arange(5))
