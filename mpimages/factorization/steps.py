"""Steps of series that a fitted model adds. Local; each series has the same bits in any batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.chain import Shape
from .products import DATA, Weights, times

__all__ = ["Times"]

Keys = Sequence[object] | np.ndarray


class Times:
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
