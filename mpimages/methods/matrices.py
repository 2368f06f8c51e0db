"""Methods of Series as a matrix with a row for each record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from ..core.arguments import as_array, check_ints
from ..core.public import public
from ..core.text import quote
from ..engine.chain import Shape
from ..engine.matrix_steps import Times
from ..spmd.actions import action
from .base import SeriesMethods

__all__ = ["Matrices"]


@public
class Matrices(SeriesMethods):
    """The Series as a matrix X: a row for each record, a column for each of T values."""

    @action
    def gramian(self) -> np.ndarray:
        """The products of each two columns, X.T @ X. Collective; an action, in one pass.

        Returns
        -------
        (T, T) ndarray
            Exact int64 for integers of at most 16 bits, else float64 of the values as float64.
            Symmetric.

        Raises
        ------
        MemoryError
            Where the result exceeds the budget.
        OverflowError
            For 2**31 records of integers, or more.

        Notes
        -----
        Products of floats are added by matrix products of 1024 records, and these along a fixed
        tree. The bits do not depend on the ranks, but on the BLAS library that NumPy uses.
        """
        from ..statistics.gramian import gramian

        return gramian(*self.records.begin("gramian", least=1))[0]

    @action
    def cov(self) -> np.ndarray:
        """Sample covariance of each two columns over the records. Collective; an action.

        It is ``numpy.cov(X, rowvar=False)``: the sum of products is divided by n - 1. Two passes:
        the mean first, which is subtracted before products are added.

        Returns
        -------
        (T, T) float64 ndarray
            Symmetric. For integers of at most 16 bits the sums are exact.

        Raises
        ------
        ValueError
            Where there are fewer than two records.
        MemoryError, OverflowError
            As `gramian`.
        """
        from ..statistics.gramian import covariance

        begun, series = self.records.begin("cov", least=1)
        if series.count < 2:
            raise ValueError("cov: the covariance needs two records at least, and there is one")
        return covariance(begun, series)

    def times(self, other: np.ndarray | Sequence[Sequence[float]]) -> Self:
        """Each series times a matrix, X @ other: a Series of m values. Collective; lazy.

        Parameters
        ----------
        other : (T, m) or (T,) array
            The same on all ranks. One with a single axis gives series of one value.

        Returns
        -------
        Series
            Exact int64 where both are integers, else float64: the products of a series are added
            in the order of its values. The index counts from 0.

        Raises
        ------
        ValueError
            Where the matrix does not have T rows. After a function whose result was not declared
            an action raises it.
        OverflowError
            Where 64 bits might not hold a sum of products of integers.
        """
        matrix = _matrix(other)
        chain = self.records.chain.then(Times(matrix))
        _ = chain.dims, chain.dtype  # a wrong one is refused now where they are known
        return self._derived(chain, np.arange(matrix.shape[1]))

    def flatten(self) -> Self:
        """The same records with keys of one axis: their numbers in C order. Collective; lazy.

        Where only an action can tell the dims, this is one.
        """
        return self._with_extent((math.prod(self._known_extent("flatten")),))

    def reshape(self, *dims: int) -> Self:
        """The same records in a key space of other dims, in C order. Collective; lazy.

        Where only an action can tell the dims, this is one.

        Parameters
        ----------
        dims : ints, or a tuple of them
            One to three; one of them may be -1, which the others determine.

        Raises
        ------
        ValueError
            Where they have another number of pixels.
        """
        given: Any = dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims
        if isinstance(given, int | np.integer):
            given = (given,)
        shape = check_ints(given, "reshape: dims", -1)
        if not 1 <= len(shape) <= 3 or 0 in shape or shape.count(-1) > 1:
            raise ValueError(f"reshape: dims must be 1 to 3 numbers above 0, got {quote(shape)}")
        before = self._known_extent("reshape")
        pixels, known = math.prod(before), -math.prod(shape) if -1 in shape else math.prod(shape)
        if (pixels % known if -1 in shape else pixels != known) != 0:
            raise ValueError(f"reshape: dims {quote(shape)} do not fit the {pixels} of {before}")
        return self._with_extent(tuple(pixels // known if n == -1 else n for n in shape))

    def _known_extent(self, method: str) -> Shape:
        """Shape of the key space, which an action may have to tell. Collective."""
        if self._shape() is None:
            with self.session.action(f"{type(self).__name__}.{method}"):
                self.records.begin(method)
        return self._extent()

    def _with_extent(self, dims: Shape) -> Self:
        """The same records in another key space. Local."""
        derived = self._as(type(self), self.records.chain, self._index, dims)
        derived.metadata.pop("pixelSize", None)
        return derived


def _matrix(other: object) -> np.ndarray:
    """Return a matrix as int64 or float64, (T, m); raise TypeError or ValueError. Local."""
    given = as_array(other, "times: other")
    if np.ma.is_masked(other):
        raise TypeError("times: other has masked values: fill them first, with array.filled(value)")
    if given.dtype.kind not in "iuf" or given.dtype.itemsize > 8:
        raise TypeError(f"times: other must be an array of numbers, got {quote(other)}")
    if given.ndim not in (1, 2) or not given.size:
        raise ValueError(f"times: other must have shape (T, m) or (T,), got {given.shape}")
    if given.dtype == np.uint64 and int(given.max()) > np.iinfo(np.int64).max:
        raise ValueError("times: other has integers above 2**63 - 1; give it as float64")
    kind = np.float64 if given.dtype.kind == "f" else np.int64
    return given.astype(kind).reshape(len(given), -1)
