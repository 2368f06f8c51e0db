"""Lazy transformations of time series. Local; each works on a block of series at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..kernels import projection, series
from .chain import Shape

__all__ = [
    "Count",
    "Percentile",
    "Select",
    "SeriesStatistic",
    "kernel_block",
    "percentiles",
    "statistic_rows",
]

Keys = Sequence[object] | np.ndarray


def kernel_block(block: np.ndarray) -> np.ndarray:
    """Return the block as the kernels need it: C-contiguous, float16 as float32."""
    if block.dtype == np.float16:
        block = block.astype(np.float32)
    return np.ascontiguousarray(block)


def statistic_rows(kind: str, block: np.ndarray) -> np.ndarray:
    """Return one statistic of each row of (k, T): (k,) in the statistic's dtype.

    `kind` is one of `kernels.projection`, or ``'norm'``, the Euclidean norm.
    """
    rows = kernel_block(block)
    if kind == "norm":
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.square(rows.astype(np.float64))
        norm: np.ndarray = np.sqrt(statistic_rows("sum", squares))
        return norm
    out = np.empty((len(rows), 1), dtype=projection.result_dtype(kind, rows.dtype))
    projection.project(kind, rows.reshape(*rows.shape, 1), out)
    return out[:, 0]


class SeriesStatistic:
    """Reduce each series to one value."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind

    def dims(self, dims: Shape | None) -> Shape | None:
        return (1,)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if dtype is None:
            return None
        if self.kind in ("max", "min"):
            return dtype
        wide = np.dtype(np.float32) if dtype == np.float16 else dtype
        return projection.result_dtype(self.kind, wide)

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        values = statistic_rows(self.kind, batch)
        return values.astype(self.dtype(batch.dtype), copy=False)[:, None]


class Count:
    """Reduce each series to its number of values."""

    name = "seriesCount"

    def dims(self, dims: Shape | None) -> Shape | None:
        return (1,)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return np.dtype(np.int64)

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        return np.full((len(batch), 1), batch.shape[1], dtype=np.int64)


class Percentile:
    """A percentile of each series, linearly interpolated."""

    def __init__(self, name: str, q: float) -> None:
        self.name = name
        self.q = q

    def dims(self, dims: Shape | None) -> Shape | None:
        return (1,)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return np.dtype(np.float64)

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        return percentiles(batch, self.q)


def percentiles(block: np.ndarray, q: float) -> np.ndarray:
    """Return the percentile of each row, (k, 1) float64."""
    out = np.empty((len(block), 1))
    series.percentile_rows(kernel_block(block), q, out)
    return out


class Select:
    """Keep some of the times."""

    name = "select"

    def __init__(self, columns: np.ndarray) -> None:
        self.columns = columns

    def dims(self, dims: Shape | None) -> Shape | None:
        return (len(self.columns),)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        return batch[:, self.columns]
