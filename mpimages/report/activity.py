"""The most active pixels: dF/F, noise, and whether they are more than chance. Local.

The noise of such a pixel is told by the median of the absolute differences between successive
frames, over sqrt(2) and as a standard deviation (F. R. Hampel, J. Am. Stat. Assoc. 69, 1974): that
a cell fires for some frames does not add to it, as it does to the mean square that the picture of
the noise shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.json_types import JsonObject
from .gathering import Recording
from .trends import MAD_TO_SD

__all__ = ["PERCENTILE", "Active", "active_of"]

# The baseline F0, as in `TimeSeries.normalize`.
PERCENTILE = 20
# A baseline of less noise than this is none to divide by.
CLEAR_BASELINE = 3.0
# Of all pixels so many may fluctuate with their neighbours by chance.
BY_CHANCE = 0.01
# Mean fourth power of a normal distribution over the square of its variance.
KURTOSIS = 3.0


@dataclass(frozen=True)
class Active:
    """One pixel.

    Attributes
    ----------
    number : int
        From 1.
    pixel : tuple of int
    values : (n,) float64 ndarray
        Its series; NaN where a frame is blank.
    stdev, noise, correlation : float
        The noise is by the median.
    baseline : float
        F0, the 20th percentile of its series.
    has_ratio : bool
        Whether the baseline is so far above 0 that one can divide by it.
    is_clear : bool
        Whether it fluctuates with its neighbours by more than chance.
    """

    number: int
    pixel: tuple[int, ...]
    values: np.ndarray
    stdev: float
    noise: float
    correlation: float
    baseline: float
    has_ratio: bool
    is_clear: bool

    @property
    def shown(self) -> np.ndarray:
        """DF/F, (F - F0) / F0; the values themselves where F0 is too near to 0."""
        if not self.has_ratio:
            return self.values
        ratio: np.ndarray = (self.values - self.baseline) / self.baseline
        return ratio

    @property
    def peak(self) -> float | None:
        """The greatest dF/F."""
        return float(np.nanmax(self.shown)) if self.has_ratio else None

    def fields(self) -> JsonObject:
        """Plain values."""
        return {
            "pixel": list(self.pixel),
            "stdev": self.stdev,
            "noise": self.noise,
            "correlation": self.correlation,
            "f0": self.baseline,
            "dff_peak": self.peak,
            "dff_noise": self.noise / self.baseline if self.has_ratio else None,
            "beyond_chance": self.is_clear,
        }


def active_of(recording: Recording) -> list[Active]:
    """The pixels whose series were kept, the most active first."""
    hidden = recording.blank & (not recording.blank.all())
    found = []
    for number, flat in enumerate(recording.active):
        values = np.where(hidden, np.nan, recording.series[:, number])
        values[~np.isfinite(values)] = np.nan
        if np.isnan(values).all():
            continue
        place = tuple(int(i) for i in np.unravel_index(flat, recording.dims))
        noise = _noise(values)
        baseline = float(np.nanpercentile(values, PERCENTILE))
        found.append(
            Active(
                number + 1,
                place,
                values,
                float(recording.pixels.stdev[place]),
                noise,
                float(recording.pixels.correlation[place]),
                baseline,
                baseline > 0 and baseline > CLEAR_BASELINE * noise,
                _is_clear(recording, place, values),
            )
        )
    return found


def _noise(values: np.ndarray) -> float:
    """Of one series, by the median of its differences; 0 where there are none."""
    differences = np.abs(np.diff(values))
    differences = differences[np.isfinite(differences)]
    if not len(differences):
        return 0.0
    return MAD_TO_SD * float(np.median(differences)) / 2**0.5


def _is_clear(recording: Recording, place: tuple[int, ...], values: np.ndarray) -> bool:
    """Whether so high a local correlation is no chance among so many pixels.

    Of two independent series atanh(r) scatters by 1 / sqrt(n - 3) (R. A. Fisher, Metron 1, 1921),
    and the mean over k neighbours by 1 / sqrt(k) of that. A series of few events has not n
    independent values, but three times the square of its sum of squares over its sum of fourth
    powers, which is n for a normal distribution: of one event it says nothing.
    """
    away = values[np.isfinite(values)]
    away = away - away.mean()
    size = float(np.abs(away).max(initial=0.0))
    correlation = float(recording.pixels.correlation[place])
    if not (np.isfinite(correlation) and 0 < size < np.inf):
        return False
    squares = (away / size) ** 2
    number = min(len(away), KURTOSIS * float(squares.sum() ** 2 / (squares**2).sum()))
    if number <= KURTOSIS:
        return False
    bound = np.arctanh(min(correlation, 1 - 1 / number))
    z = float(bound * np.sqrt((number - 3) * _neighbours(recording, place)))
    return z > 0 and recording.pixels.mean.size * float(np.exp(-(z**2) / 2)) < BY_CHANCE


def _neighbours(recording: Recording, place: tuple[int, ...]) -> int:
    """How many neighbours in the plane change at all."""
    stdev = recording.pixels.stdev
    row, column, *plane = place
    beside = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return sum(
        bool(stdev[(r, c, *plane)] > 0)
        for r, c in beside
        if 0 <= r < stdev.shape[0] and 0 <= c < stdev.shape[1]
    )
