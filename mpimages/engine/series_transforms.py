"""Lazy transformations within each series: scaled, filtered, compared. Local; by batches.

Each works on a few series at a time, so that its temporaries stay in the cache. What a series
becomes does not depend on the others: sums run along its own values, in their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..kernels import series
from .chain import Shape, WritingStep
from .image_steps import Keys
from .repairs import real_dtype
from .series_steps import kernel_block, statistic_rows

__all__ = [
    "Convolve",
    "Correlate",
    "Detrend",
    "FiveStatistics",
    "Fourier",
    "RealStep",
    "Scale",
    "ScaleByTime",
    "Squelch",
    "pieces",
    "unit_signals",
]

# Bytes of float64 values that go through all parts of a step at once: they stay in the cache.
PIECE_BYTES = 1 << 19


def pieces(count: int, length: int) -> Iterator[slice]:
    """Yield slices of `count` series that have so many float64 values each."""
    step = max(1, PIECE_BYTES // (8 * max(1, length)))
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


class RealStep(WritingStep):
    """A step whose results are real numbers, computed in float64 from a few series at a time."""

    def length(self, values: int) -> int:
        """Return how many values the result has for series of so many."""
        return values

    def work(self, values: int) -> int:
        """Return how many values are handled at once for a series of so many."""
        return max(values, self.length(values))

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the results of series, (k, T) of a dtype that kernels have: (k, length)."""
        raise NotImplementedError

    def dims(self, dims: Shape | None) -> Shape | None:
        return None if dims is None else (self.length(dims[0]),)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return None if dtype is None else real_dtype(dtype)

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        with np.errstate(all="ignore"):  # NaN and inf speak for themselves
            for part in pieces(len(batch), self.work(batch.shape[1])):
                out[part] = self.of_rows(kernel_block(batch[part]))


class _Measure(RealStep):
    """A step that leaves some numbers of each series: float64 for all dtypes."""

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return np.dtype(np.float64)


def _sums(products: np.ndarray) -> np.ndarray:
    return statistic_rows("sum", products)


def _centered(rows: np.ndarray) -> np.ndarray:
    """Return rows less their means, float64. A constant one becomes 0 throughout."""
    centered = rows.astype(np.float64)
    centered -= statistic_rows("mean", rows)[:, None]
    return centered


# -- statistics, scaling -------------------------------------------------------------------------


class FiveStatistics(_Measure):
    """Count, mean, standard deviation, maximum and minimum of each series."""

    name = "seriesStats"

    def length(self, values: int) -> int:
        return 5

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), 5))
        found[:, 0] = rows.shape[1]
        for column, kind in enumerate(("mean", "stdev", "max", "min"), 1):
            found[:, column] = statistic_rows(kind, rows)
        return found


class Scale(RealStep):
    """Subtract the mean of each series, or divide by its standard deviation, or both."""

    def __init__(self, name: str, center: bool, scale: bool) -> None:
        self.name = name
        self.center = center
        self.scale = scale

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        values = _centered(rows) if self.center else rows.astype(np.float64)
        if self.scale:
            values /= statistic_rows("stdev", rows)[:, None]
        return values


class ScaleByTime(RealStep):
    """Subtract a number for each time from all series, or divide by one, or both."""

    def __init__(self, name: str, mean: np.ndarray | None, stdev: np.ndarray | None) -> None:
        self.name = name
        self.mean = mean
        self.stdev = stdev

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        values = rows.astype(np.float64)
        if self.mean is not None:
            values -= self.mean
        if self.stdev is not None:
            values /= self.stdev
        return values


class Squelch(WritingStep):
    """Set series to 0 whose maximum is below a threshold."""

    name = "squelch"

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def dims(self, dims: Shape | None) -> Shape | None:
        return dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        np.copyto(out, batch)
        for part in pieces(len(batch), batch.shape[1]):
            highest = statistic_rows("max", batch[part]).astype(np.float64)
            out[part][highest < self.threshold] = 0


# -- signals -------------------------------------------------------------------------------------


def unit_signals(signals: np.ndarray, lag: int = 0) -> np.ndarray:
    """Return signals with mean 0 and norm 1, float64; of one, its copies shifted by -lag ... lag.

    What a shift leaves empty is 0. A row of NaN where a signal is constant.
    """
    with np.errstate(invalid="ignore"):
        largest = np.abs(signals).max(axis=1, keepdims=True)
        unit = _centered(signals / np.where(largest > 0, largest, 1))
        unit /= np.sqrt(_sums(unit * unit))[:, None]
    if not lag:
        return unit
    length = unit.shape[1]
    shifted = np.zeros((2 * lag + 1, length))
    for row, shift in enumerate(range(-lag, lag + 1)):
        start, stop = max(0, shift), length + min(0, shift)
        shifted[row, start:stop] = unit[0, start - shift : stop - shift]
    return shifted


class Correlate(_Measure):
    """Correlate each series with signals of mean 0 and norm 1 before a shift: Pearson's r."""

    def __init__(self, name: str, signals: np.ndarray) -> None:
        self.name = name
        self.signals = signals

    def length(self, values: int) -> int:
        number, length = len(self.signals), self.signals.shape[1]
        if length != values:
            raise ValueError(
                f"{self.name}: the signal has {length} values, but the series have {values}"
            )
        return number

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        found = np.empty((len(rows), len(self.signals)))
        values = _centered(rows)
        norms = np.sqrt(_sums(values * values))
        for column, signal in enumerate(self.signals):
            found[:, column] = _sums(values * signal) / norms
        return np.clip(found, -1, 1, out=found)


class Convolve(RealStep):
    """Convolve each series with a signal, tap by tap."""

    name = "convolve"

    def __init__(self, signal: np.ndarray, mode: str) -> None:
        self.signal = signal
        self.mode = mode

    def length(self, values: int) -> int:
        taps = len(self.signal)
        if self.mode == "full":
            return values + taps - 1
        return max(values, taps) if self.mode == "same" else abs(values - taps) + 1

    def work(self, values: int) -> int:
        return values + 2 * len(self.signal)

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        length, taps = rows.shape[1], len(self.signal)
        padded = np.zeros((len(rows), length + 2 * (taps - 1)))
        padded[:, taps - 1 : taps - 1 + length] = rows
        beyond = min(length, taps) - 1  # values at each end that lack a part of the signal
        first = {"full": 0, "same": beyond // 2, "valid": beyond}[self.mode]
        out = np.empty((len(rows), self.length(length)))
        needed = padded[:, first : first + out.shape[1] + taps - 1]
        series.convolve_rows(needed, self.signal, out)
        return out


# -- trends, frequencies -------------------------------------------------------------------------


def polynomials(length: int, order: int) -> np.ndarray:
    """Return orthonormal polynomials of degree 0 ... order on 0 ... length - 1, a row each.

    They are the discrete Legendre (Gram) polynomials: the time times the last one, orthogonalised
    twice to all before it. Sums and square roots alone: the same bits on every machine.
    """
    times = (np.arange(length) - (length - 1) / 2) / max(1.0, (length - 1) / 2)
    rows = np.empty((order + 1, length))
    rows[0] = 1 / math.sqrt(length)
    for degree in range(1, order + 1):
        row = times * rows[degree - 1]
        for _ in range(2):
            for before in rows[:degree]:
                row -= _sums((row * before)[None])[0] * before
        rows[degree] = row / math.sqrt(_sums((row * row)[None])[0])
    return rows


class Detrend(RealStep):
    """Subtract the polynomial of least squares from each series, but for its value at time 0."""

    name = "detrend"

    def __init__(self, order: int) -> None:
        self.order = order
        self._bases: dict[int, np.ndarray] = {}  # by length: they follow from what ranks compare

    def length(self, values: int) -> int:
        if values <= self.order:
            raise ValueError(
                f"detrend: a polynomial of order {self.order} needs more than {self.order} values, "
                f"but the series have {values}"
            )
        return values

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        length = rows.shape[1]
        if length not in self._bases:
            self._bases[length] = polynomials(length, self.order)
        left = _centered(rows)
        trend = np.zeros_like(left)
        for basis in self._bases[length][1:]:
            part = _sums(left * basis)[:, None] * basis
            left -= part
            trend += part
        trend -= trend[:, :1].copy()
        detrended: np.ndarray = rows - trend
        return detrended


class Fourier(_Measure):
    """Coherence and phase of each series at one frequency."""

    name = "fourier"

    def __init__(self, freq: int) -> None:
        self.freq = freq

    def length(self, values: int) -> int:
        if self.freq >= values // 2:
            raise ValueError(
                f"fourier: freq must be below {values // 2}, half the number of values, "
                f"got {self.freq}"
            )
        return 2

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft(_centered(rows))[:, : rows.shape[1] // 2]
        spectrum[:, 0] = 0  # the mean, which has been subtracted
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        found = np.empty((len(rows), 2))
        found[:, 0] = np.sqrt(power[:, self.freq]) / np.sqrt(_sums(power))
        # Not by NumPy, whose last bits may differ between one number and many.
        for row, value in zip(found, spectrum[:, self.freq].tolist(), strict=True):
            phase = -math.pi / 2 - math.atan2(value.imag, value.real)
            row[1] = phase + 2 * math.pi if phase < 0 else phase
        found[np.isnan(found[:, 0]), 1] = np.nan
        return found
