"""Methods of TimeSeries that work within each series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_choice, check_index, check_int, check_signal
from ..core.public import public
from ..core.text import quote
from ..engine.series_transforms import Convolve, Correlate, Detrend, Fourier
from ..engine.series_windows import MeanOfWindows, Subsample, Windows
from .series_transforms import SeriesTransforms, with_norm

__all__ = ["SignalProcessing"]

# Order of detrend's polynomial by default.
ORDER = 5


@public
class SignalProcessing(SeriesTransforms):
    """Filtered, detrended and cut time series. Lazy."""

    def convolve(self, signal: np.ndarray | Sequence[float], mode: str = "full") -> Self:
        """Convolve each series with a signal, as ``numpy.convolve`` does. Collective; lazy.

        Parameters
        ----------
        signal : (n,) array
        mode : {'full', 'same', 'valid'}
            T + n - 1 values, max(T, n) of their middle, or those for which the two overlap wholly.

        Returns
        -------
        TimeSeries
            float32 where the records are integers of at most 16 bits, float16 or float32, else
            float64. The index counts from 0.

        Notes
        -----
        It is summed directly, n products a value.
        """
        taps = _one(check_signal(signal, "convolve: signal"), "convolve")
        step = Convolve(taps, check_choice(mode, "convolve: mode", ("full", "same", "valid")))
        length = step.length(len(self._known_index("convolve", levels=True)))
        return self._then(step, np.arange(length))

    def crossCorr(self, signal: np.ndarray | Sequence[float], lag: int = 0) -> Self:
        """Pearson's correlation with a signal that is shifted by -lag ... lag. Collective; lazy.

        Both have their mean subtracted and the norm 1 before the signal is shifted; what the shift
        leaves empty is 0. So a lag of 0 gives what `correlate` gives.

        Parameters
        ----------
        signal : (T,) array
        lag : int
            From 0 to T - 1.

        Returns
        -------
        TimeSeries
            2 lag + 1 values, float64, with the shifts as their index: at 3 the signal comes 3
            samples later. NaN for a constant series, for which Thunder has 0.

        Raises
        ------
        ValueError
            Where the lengths differ, or the signal is constant or not finite.
        """
        given = _one(check_signal(signal, "crossCorr: signal"), "crossCorr")
        most = check_int(lag, "crossCorr: lag", 0)
        if most >= len(given):
            raise ValueError(
                f"crossCorr: lag must be below the signal's {len(given)} values, got {quote(lag)}"
            )
        signals = with_norm(given[None], "crossCorr", most)
        return self._then(Correlate("crossCorr", signals), np.arange(-most, most + 1))

    def detrend(self, method: str = "linear", order: int = ORDER) -> Self:
        """Subtract a polynomial of least squares, but not its intercept. Collective; lazy.

        The first value stays what it is, as the polynomial less its value there is subtracted.

        Parameters
        ----------
        method : {'linear', 'nonlinear'}
            A straight line, or a polynomial of degree `order`.
        order : int
            From 1 on; for ``'nonlinear'`` alone.

        Returns
        -------
        TimeSeries
            float32 where the records are integers of at most 16 bits, float16 or float32, else
            float64.

        Raises
        ------
        ValueError
            Where the series have no more values than the degree.
        """
        check_choice(method, "detrend: method", ("linear", "nonlinear"))
        degree = check_int(order, "detrend: order", 1)
        if method == "linear" and degree != ORDER:
            raise ValueError(f"detrend: order {quote(order)} is for method='nonlinear'")
        return self._then(Detrend(1 if method == "linear" else degree))

    def fourier(self, freq: int) -> Self:
        """Coherence and phase at one frequency. Collective; lazy.

        Parameters
        ----------
        freq : int
            Periods in a series, from 1 to below half the number of values.

        Returns
        -------
        TimeSeries
            Two values, float64, with the index 0, 1. The coherence is the amplitude at `freq`
            divided by the root of the sum of squares of those below half the sampling frequency,
            0 ... 1. The phase is in radians, 0 ... 2 pi: that of a sine is 0, and grows as it
            comes later. NaN for a constant series.
        """
        frequency = check_int(freq, "fourier: freq", 1)
        return self._then(Fourier(frequency), np.arange(2))

    def subsample(self, sampleFactor: int = 2) -> Self:
        """Keep every `sampleFactor`-th value, from the first on, and its label. Collective; lazy.

        The dtype stays. `downsample` takes means.
        """
        factor = check_int(sampleFactor, "subsample: sampleFactor", 1)
        index = self._known_index("subsample", levels=True)
        return self._then(Subsample(factor), index[::factor])

    def meanByWindow(self, indices: Sequence[int], window: int) -> Self:
        """The mean over windows around some times: an event-triggered average. Collective; lazy.

        Parameters
        ----------
        indices : sequence of int
            Index values, the events.
        window : int
            How many values a window has: from ``window // 2`` before the event on.

        Returns
        -------
        TimeSeries
            `window` values with the index 0 ... window - 1. float32 where the records are integers
            of at most 16 bits, float16 or float32, else float64.

        Raises
        ------
        ValueError
            Where the index has no such value, or a window goes beyond the series.
        """
        starts, width = self._windows(indices, window, "meanByWindow")
        return self._then(MeanOfWindows("meanByWindow", starts, width), np.arange(width))

    def groupByWindow(self, indices: Sequence[int], window: int) -> Self:
        """A record for each of the windows around some times. Collective; lazy.

        Keys get one more number, that of the event in `indices`, and `dims` one more axis. So
        ``toArray()`` has the shape dims + (events, window).

        Parameters
        ----------
        indices, window
            As in `meanByWindow`.

        Returns
        -------
        TimeSeries
            `window` values with the index 0 ... window - 1. The dtype stays.

        Raises
        ------
        ValueError
            As `meanByWindow`.
        """
        starts, width = self._windows(indices, window, "groupByWindow")
        windows = Windows("groupByWindow", starts, width)
        return self._grouped("groupByWindow", len(starts), width, windows)

    def _windows(self, indices: Sequence[int], window: int, method: str) -> tuple[np.ndarray, int]:
        """Where the windows around index values begin, and how long they are. Collective."""
        events = check_index(indices, f"{method}: indices")
        width = check_int(window, f"{method}: window", 1)
        index = self._known_index(method)
        if width > len(index):
            raise ValueError(
                f"{method}: window must be at most {len(index)}, the number of values, got "
                f"{quote(width)}"
            )
        order = np.argsort(index, kind="stable")
        found = np.searchsorted(index, events, sorter=order)
        places = order[np.minimum(found, len(index) - 1)]
        missing = index[places] != events
        if missing.any():
            raise ValueError(
                f"{method}: indices: no index value is {events[missing][0]}; they lie in "
                f"{index.min()}…{index.max()}"
            )
        starts: np.ndarray = places - width // 2
        beyond = (starts < 0) | (starts + width > len(index))
        if beyond.any():
            raise ValueError(
                f"{method}: the window of {width} around {events[beyond][0]} goes beyond the "
                f"{len(index)} values of a series"
            )
        return starts, width


def _one(signal: np.ndarray, method: str) -> np.ndarray:
    if signal.ndim != 1:
        raise ValueError(f"{method}: signal must be 1-D, got shape {signal.shape}")
    return signal
