"""Steps of series that a fitted model adds. Local; each series has the same bits in any batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.chain import Shape
from ..engine.series_steps import statistic_rows
from .products import DATA, Weights, in_order, times

__all__ = ["Determination", "Nearest", "Project", "determination"]

# Values that are computed at once.
PIECE = 1 << 17

Keys = Sequence[object] | np.ndarray


class Project:
    """Multiply each series by a matrix, and add a number to each product.

    Parameters
    ----------
    name : str
        Of the method, for messages.
    matrix : (T, k) ndarray
    added : (k,) ndarray
    positive : bool
        Whether negative results become 0.
    """

    def __init__(
        self, name: str, matrix: np.ndarray, added: np.ndarray | None = None, positive: bool = False
    ) -> None:
        self.name = name
        self.matrix = np.ascontiguousarray(matrix, dtype=np.float64)
        self.added = np.zeros(matrix.shape[1]) if added is None else added
        self.positive = positive
        self._weights = Weights.of(self.matrix, DATA)

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is not None and dims != (len(self.matrix),):
            raise ValueError(
                f"{self.name}: the model is of series of {len(self.matrix)} values, these have "
                f"{dims[0] if len(dims) == 1 else dims}"
            )
        return (self.matrix.shape[1],)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return np.dtype(np.float64)

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            found = times(batch, self._weights)
            found += self.added
        return np.maximum(found, 0, out=found) if self.positive else found


class Nearest:
    """The number of the center that is nearest to each series, or the correlation with it.

    Parameters
    ----------
    name : str
    centers : (k, T) ndarray
    similar : bool
        Whether it is the correlation.
    """

    def __init__(self, name: str, centers: np.ndarray, similar: bool) -> None:
        self.name = name
        self.centers = np.ascontiguousarray(centers, dtype=np.float64)
        self.similar = similar
        self._weights = Weights.of(self.centers.T, DATA)
        # Half of the squared length, as nearest is c² / 2 - x c. Sums of Python are in order.
        self._half = np.array([sum((row * row).tolist()) / 2 for row in self.centers])
        self._shapes = Weights.of(np.array([_standard(row) for row in self.centers]).T, DATA)

    def dims(self, dims: Shape | None) -> Shape | None:
        length = self.centers.shape[1]
        if dims is not None and dims != (length,):
            raise ValueError(
                f"{self.name}: the centers have {length} values, the series "
                f"{dims[0] if len(dims) == 1 else dims}"
            )
        return (1,)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return np.dtype(np.float64 if self.similar else np.int64)

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            nearest: np.ndarray = (self._half - times(batch, self._weights)).argmin(1)[:, None]
            if not self.similar:
                return nearest
            products = np.take_along_axis(times(batch, self._shapes), nearest, 1)[:, 0]
            lengths = statistic_rows("stdev", batch) * np.sqrt(batch.shape[1])
            found = np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), 0.0)
        clipped: np.ndarray = np.clip(found, -1, 1)
        return clipped[:, None]


def _standard(row: np.ndarray) -> np.ndarray:
    """A row without its mean, of length 1; zeros where it is constant."""
    values = row.tolist()
    centered = row - sum(values) / len(values)
    length = np.sqrt(sum((centered * centered).tolist()))
    shape: np.ndarray = centered / length if length > 0 else np.zeros_like(row)
    return shape


class Determination:
    """R² of each series, for a linear model: 1 - (squares of what is left) / (squares of all).

    Parameters
    ----------
    name : str
    inverse : (T, p) ndarray
        A series times it are its coefficients.
    design : (T, p) ndarray
    """

    def __init__(self, name: str, inverse: np.ndarray, design: np.ndarray) -> None:
        self.name = name
        self.design = design
        self._coefficients = Project(name, inverse)
        self.inverse = self._coefficients.matrix

    def dims(self, dims: Shape | None) -> Shape | None:
        self._coefficients.dims(dims)
        return (1,)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return np.dtype(np.float64)

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        return determination(batch, self._coefficients.run(keys, batch), self.design)


def determination(series: np.ndarray, coefficients: np.ndarray, design: np.ndarray) -> np.ndarray:
    """R² of each series, (n, 1); 0 of constant ones, as in Thunder."""
    found = np.empty((len(series), 1))
    step = max(1, PIECE // max(1, series.shape[1]))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for a in range(0, len(series), step):
            rows = series[a : a + step]
            left = rows - in_order(coefficients[a : a + step], design.T)
            squares = statistic_rows("sum", left * left)
            every = np.square(statistic_rows("stdev", rows)) * rows.shape[1]
            found[a : a + step, 0] = np.where(every == 0, 0.0, 1 - squares / every)
    return found
