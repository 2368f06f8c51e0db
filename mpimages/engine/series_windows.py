"""Lazy choices of times, and means over them, within each series. Local; by batches."""

from __future__ import annotations

import numpy as np

from ..kernels import projection
from .chain import Shape, WritingStep
from .image_steps import Keys
from .series_transforms import RealStep

__all__ = ["Downsample", "MeanOfWindows", "Subsample", "Windows"]

# Values of one series that are gathered from windows at once.
GATHERED = 1 << 16


class Subsample:
    """Keep every factor-th value."""

    name = "subsample"

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def dims(self, dims: Shape | None) -> Shape | None:
        return None if dims is None else (-(-dims[0] // self.factor),)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        return batch[:, :: self.factor]


class Downsample(RealStep):
    """The mean of each `factor` successive values."""

    name = "downsample"

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def length(self, values: int) -> int:
        if values % self.factor:
            raise ValueError(
                f"downsample: series of {values} values do not divide into parts of {self.factor}; "
                "between() or select() can leave out the last ones"
            )
        return values // self.factor

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        parts = rows.reshape(-1, self.factor, 1)
        means = np.empty((len(parts), 1))
        projection.project("mean", parts, means)
        return means.reshape(len(rows), -1)


class MeanOfWindows(RealStep):
    """The mean of windows of each series, which begin at `starts`."""

    def __init__(self, name: str, starts: np.ndarray, width: int) -> None:
        self.name = name
        self.starts = starts
        self.width = width

    def length(self, values: int) -> int:
        return self.width

    def work(self, values: int) -> int:
        return max(values, len(self.starts) * self._together())

    def _together(self) -> int:
        """Return how many values of all windows are gathered at once."""
        return max(1, min(self.width, GATHERED // len(self.starts)))

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        means = np.empty((len(rows), self.width))
        step = self._together()
        for first in range(0, self.width, step):
            last = min(first + step, self.width)
            columns = self.starts[:, None] + np.arange(first, last)
            some = np.empty((len(rows), last - first))
            projection.project("mean", np.ascontiguousarray(rows[:, columns]), some)
            means[:, first:last] = some
        return means


class Windows(WritingStep):
    """Windows of each series one after the other, which begin at `starts`."""

    def __init__(self, name: str, starts: np.ndarray, width: int) -> None:
        self.name = name
        self.starts = starts
        self.width = width

    def dims(self, dims: Shape | None) -> Shape | None:
        return (len(self.starts) * self.width,)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        for place, start in enumerate(self.starts.tolist()):
            first = place * self.width
            out[:, first : first + self.width] = batch[:, start : start + self.width]
