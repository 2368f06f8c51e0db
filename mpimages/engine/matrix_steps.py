"""The product of each series with a matrix. Local."""

from __future__ import annotations

import numpy as np

from .chain import Shape
from .series_steps import Keys

__all__ = ["Times"]

# Values that are computed at once: they stay in the cache.
PIECE = 1 << 13
# Bytes of series that are converted at once.
PIECE_BYTES = 1 << 20
# Sums of products below this are exact in float64, and below that in int64.
EXACT, WIDEST = 2.0**53, 2.0**63


class Times:
    """The product of each series of T values with a (T, m) matrix.

    Products of integers are exact. Those of floats are added one after the other, in the order of
    the values: a BLAS library would choose an order by the number of series in a batch.
    """

    name = "times"

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix
        # The greatest sum of a column's absolute values.
        self._sum = float(np.abs(matrix.astype(np.float64)).sum(axis=0).max())

    def dims(self, dims: Shape | None) -> Shape | None:
        if dims is not None and dims != self.matrix.shape[:1]:
            raise ValueError(
                f"times: the matrix has {len(self.matrix)} rows, but the series {dims[0]} values"
            )
        return self.matrix.shape[1:]

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        if self.matrix.dtype.kind == "f":
            return np.dtype(np.float64)
        if dtype is None or dtype.kind == "f":
            return dtype if dtype is None else np.dtype(np.float64)
        if self._bound(dtype) >= WIDEST:
            raise OverflowError(
                f"times: 64 bits cannot hold every sum of products with {dtype}; give the matrix "
                "as float64"
            )
        return np.dtype(np.int64)

    def _bound(self, dtype: np.dtype) -> float:
        limits = np.iinfo(dtype)
        return max(-float(limits.min), float(limits.max)) * self._sum

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        self.dims(batch.shape[1:])  # what a function returns is not known before
        length, many = self.matrix.shape
        out = np.empty((len(batch), many), self.dtype(batch.dtype))
        exact = out.dtype.kind == "i"
        step = max(1, PIECE_BYTES // (8 * length)) if exact else max(16, PIECE // many)
        for i in range(0, len(batch), step):
            rows = batch[i : i + step]
            if not exact:
                self._add_in_order(rows, out[i : i + step])
            elif self._bound(batch.dtype) < EXACT:
                out[i : i + step] = rows.astype(np.float64) @ self.matrix.astype(np.float64)
            else:
                out[i : i + step] = rows.astype(np.int64) @ self.matrix
        return out

    def _add_in_order(self, rows: np.ndarray, out: np.ndarray) -> None:
        values = np.ascontiguousarray(rows.T, dtype=np.float64)
        matrix = self.matrix.astype(np.float64, copy=False)[:, :, np.newaxis]
        with np.errstate(over="ignore", invalid="ignore"):
            total = matrix[0] * values[0]
            product = np.empty_like(total)
            for factors, column in zip(matrix[1:], values[1:], strict=True):
                np.multiply(factors, column, out=product)
                total += product
        out[...] = total.T
