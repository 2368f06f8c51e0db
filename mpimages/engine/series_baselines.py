"""Normalization of series by a baseline of their own. Local; by batches."""

from __future__ import annotations

import math

import numpy as np

from ..kernels import series
from .chain import Shape, WritingStep
from .image_steps import Keys
from .series_steps import kernel_block, percentiles, statistic_rows
from .series_transforms import pieces

__all__ = ["Normalize"]

# The weights of a Gaussian end at so many standard deviations.
TRUNCATE = 4.0
# They are multiples of this: the last bits of the exponential function differ between machines.
GRAIN = 2.0**-45


class Normalize(WritingStep):
    """Normalization (y - b) / (b + offset), with a baseline b of the series itself."""

    name = "normalize"

    def __init__(
        self,
        baseline: str,
        window: int | None,
        perc: float,
        offset: float,
        sigma: float | None,
        result: np.dtype | None,
    ) -> None:
        self.baseline = baseline
        self.window = window
        self.perc = perc
        self.offset = offset
        self.sigma = sigma
        self.result = result

    def dims(self, dims: Shape | None) -> Shape | None:
        return dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if self.result is not None or dtype is None:
            return self.result
        small = dtype.kind == "f" and dtype.itemsize <= 4
        return np.dtype(np.float32 if small else np.float64)

    def run_into(self, keys: Keys, batch: np.ndarray, out: np.ndarray) -> None:
        for part in pieces(len(batch), batch.shape[1]):
            block = kernel_block(batch[part])
            series.normalize_rows(block, self._baseline(block), self.offset, out[part])

    def _baseline(self, block: np.ndarray) -> np.ndarray:
        """Return the baseline of each series, (k,), or of each value, (k, T)."""
        if self.baseline == "mean":
            return statistic_rows("mean", block)
        if self.baseline == "percentile":
            return percentiles(block, self.perc)[:, 0]
        if self.baseline == "maximin":
            return self._maximin(block)
        running = np.empty(block.shape)
        series.running_percentile_rows(block, self.window or 1, self.perc, running)
        return running

    def _maximin(self, block: np.ndarray) -> np.ndarray:
        from scipy import ndimage

        values = block.astype(np.float64)
        if self.sigma:
            values = ndimage.correlate1d(values, gaussian(self.sigma), axis=1, mode="reflect")
        values = ndimage.minimum_filter1d(values, self.window or 1, axis=1, mode="reflect")
        baseline: np.ndarray = ndimage.maximum_filter1d(
            values, self.window or 1, axis=1, mode="reflect"
        )
        return baseline


def gaussian(sigma: float) -> np.ndarray:
    """Return the weights of a Gaussian, as SciPy's gaussian_filter1d has them but for 1e-13."""
    radius = int(TRUNCATE * sigma + 0.5)
    half = [math.exp(-0.5 * (x / sigma) ** 2) for x in range(radius + 1)]
    total = math.fsum([*half, *half[1:]])
    weights = np.array([*half[:0:-1], *half]) / total
    return np.rint(weights / GRAIN) * GRAIN
