"""Methods of Series that work within each series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_int, check_number, check_signal
from ..core.public import public
from ..engine.chain import Chain, Positions
from ..engine.group_source import group_source
from ..engine.series_transforms import Correlate, Scale, ScaleByTime, Squelch, unit_signals
from ..engine.series_windows import Downsample, MeanOfWindows, Windows
from .base import SeriesMethods

__all__ = ["SeriesTransforms", "with_norm"]


@public
class SeriesTransforms(SeriesMethods):
    """Scaled, correlated and averaged series. Lazy.

    Results are float32 where the records are integers of at most 16 bits, float16 or float32,
    else float64, unless a method says otherwise. All are computed in float64.
    """

    def center(self, axis: int = 0) -> Self:
        """Subtract the mean. Collective; lazy with axis 0, an action with axis 1.

        Parameters
        ----------
        axis : {0, 1}
            0: the mean of each series. 1: at each time the mean over the records, which is found
            now, in one pass.

        Returns
        -------
        Series
            float32 where the records are integers of at most 16 bits, float16 or float32, else
            float64.
        """
        return self._scaled("center", axis, center=True, scale=False)

    def standardize(self, axis: int = 0) -> Self:
        """Divide by the population standard deviation. As `center`.

        Where it is 0 the results are infinite or NaN, as in NumPy.
        """
        return self._scaled("standardize", axis, center=False, scale=True)

    def zscore(self, axis: int = 0) -> Self:
        """Subtract the mean and divide by the population standard deviation. As `center`.

        A constant series becomes NaN.
        """
        return self._scaled("zscore", axis, center=True, scale=True)

    def _scaled(self, method: str, axis: int, center: bool, scale: bool) -> Self:
        where = check_int(axis, f"{method}: axis")
        if where not in (0, 1):
            raise ValueError(
                f"{method}: axis must be 0, within each series, or 1, over the records, got {where}"
            )
        if where == 0:
            return self._then(Scale(method, center, scale))
        from ..statistics.passes import statistics

        names = ["mean"] * center + ["stdev"] * scale
        with self.session.action(f"{type(self).__name__}.{method}"):
            found = statistics(*self.records.begin(method, least=1), names)
            mean = found.array("mean") if center else None
            stdev = found.array("stdev") if scale else None
        return self._then(ScaleByTime(method, mean, stdev))

    def squelch(self, threshold: float) -> Self:
        """Set all values of a series to 0 whose maximum is below a threshold. Collective; lazy.

        The dtype stays. A series with NaN is kept.
        """
        limit = check_number(threshold, "squelch: threshold")
        if np.isnan(limit):
            raise ValueError("squelch: threshold must be a number, got nan")
        return self._then(Squelch(limit))

    def correlate(self, signal: np.ndarray | Sequence[float]) -> Self:
        """Pearson's correlation of each series with one signal or several. Collective; lazy.

        Parameters
        ----------
        signal : (T,) or (n, T) array
            As long as the series.

        Returns
        -------
        Series
            n values in -1 ... 1, float64, with the index 0 ... n - 1. NaN for a constant series.

        Raises
        ------
        ValueError
            Where the lengths differ, or a signal is constant or not finite.
        """
        signals = np.atleast_2d(check_signal(signal, "correlate: signal"))
        step = Correlate("correlate", with_norm(signals, "correlate"))
        return self._then(step, np.arange(len(signals)))

    def downsample(self, sampleFactor: int = 2) -> Self:
        """The mean of each `sampleFactor` successive values. Collective; lazy.

        The label of a mean is that of its first value. ValueError where the values do not divide
        into such parts. `subsample` of a TimeSeries leaves values out.
        """
        factor = check_int(sampleFactor, "downsample: sampleFactor", 1)
        index = self._known_index("downsample", levels=True)
        return self._then(Downsample(factor), index[::factor])

    def meanByFixedLength(self, n: int) -> Self:
        """The mean over successive parts of n values: periods, or trials. Collective; lazy.

        Returns
        -------
        Series
            n values: the first is the mean of values 0, n, 2 n and so on. float32 where the
            records are integers of at most 16 bits, float16 or float32, else float64.

        Raises
        ------
        ValueError
            Where the values do not divide into such parts.
        """
        starts, width = self._parts(n, "meanByFixedLength")
        return self._then(MeanOfWindows("meanByFixedLength", starts, width), np.arange(width))

    def groupByFixedLength(self, n: int) -> Self:
        """A record for each of the successive parts of n values. Collective; lazy.

        Keys get one more number, that of the part, and `dims` one more axis. So ``toArray()``
        has the shape dims + (parts, n).

        Returns
        -------
        Series
            n values with the index 0 ... n - 1. The dtype stays.

        Raises
        ------
        ValueError
            Where the values do not divide into such parts.
        """
        starts, width = self._parts(n, "groupByFixedLength")
        return self._grouped("groupByFixedLength", len(starts), width)

    def _grouped(
        self, method: str, groups: int, width: int, windows: Windows | None = None
    ) -> Self:
        """A record for each of the groups that `windows` makes of a series; they are there already
        where it is None. Collective; an action after a filter.
        """
        if None in (self.records.count, self.records.dims, self.records.dtype, self._shape()):
            with self.session.action(f"{type(self).__name__}.{method}"):
                begun, selection = self.records.begin(method)
                self.records.replace(begun.known(selection).chain())
        before = self.records
        chain = before.chain if windows is None else before.chain.then(windows)
        series = before.on(chain)
        source = group_source(series, groups, method)
        keys: Positions = range(source.count)
        if not (isinstance(before.keys, range) and before.keys == range(len(before.keys))):
            # A filter has left out series.
            firsts = np.asarray(before.keys, dtype=np.int64) * groups
            keys = (firsts[:, None] + np.arange(groups)).reshape(-1)
        metadata = {name: told for name, told in self.metadata.items() if name != "pixelSize"}
        return type(self)(
            self.session,
            Chain(source, range(source.count), keys),
            metadata,
            before.inputs,
            dims=(*self._extent(), groups),
            index=np.arange(width),
        )

    def _parts(self, n: int, method: str) -> tuple[np.ndarray, int]:
        """Where the parts of n values begin, and n. Collective."""
        width = check_int(n, f"{method}: n", 1)
        length = len(self._known_index(method, levels=True))
        if length % width:
            raise ValueError(
                f"{method}: series of {length} values do not divide into parts of {width}; "
                "between() or select() can leave out some"
            )
        return np.arange(0, length, width), width


def with_norm(signals: np.ndarray, method: str, lag: int = 0) -> np.ndarray:
    """Signals with mean 0 and norm 1, shifted by -lag ... lag. ValueError for constant ones."""
    unit = unit_signals(signals, lag)
    if not np.isfinite(unit).all():
        raise ValueError(f"{method}: signal is constant: no correlation with it is defined")
    return unit
