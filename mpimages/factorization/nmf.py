"""Non-negative matrix factorization."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from ..core.arguments import check_choice, check_int, check_number
from ..core.public import public
from ..core.text import quote
from .model_data import Data, as_series, begin, check_data, enter, then

if TYPE_CHECKING:
    from ..engine.runner import Action
    from ..series import Series
    from .matrix import PixelMatrix

__all__ = ["NMF"]

# Norm of a row of h below which it counts as nothing.
LEAST_NORM = 0.001


@public
class NMF:
    """Pixels × times as a product of two matrices without negative values, w h.

    Parameters
    ----------
    k : int
        Rows of h.
    method : {'als'}
        Alternating least squares; what becomes negative is cut off, as in Thunder.
    maxIter : int
        At most so many iterations; each is a pass.
    tol : float
        They end where h changes by no more (Frobenius norm; the rows of h have norm 1).
    h0 : (k, T) ndarray, optional
        What h begins with; by default random numbers of `seed`.
    seed : int

    Attributes
    ----------
    w : Series
        k values for each pixel; lazy: an action reads the data again.
    h : (k, T) ndarray
    hConvergence : list of float
        By how much h has changed in each iteration.

    Notes
    -----
    M. W. Berry et al., "Algorithms and applications for approximate nonnegative matrix
    factorization", Comput. Stat. Data Anal. 52, 2007, section 3.3. Sums over pixels are exact, of
    data as of `SVD`.
    """

    def __init__(
        self,
        k: int = 5,
        method: str = "als",
        maxIter: int = 20,
        tol: float = 0.001,
        h0: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        self.k = check_int(k, "NMF: k", 1)
        self.method = check_choice(method, "NMF: method", ("als",))
        self.maxIter = check_int(maxIter, "NMF: maxIter", 1)
        self.tol = check_number(tol, "NMF: tol")
        if not self.tol >= 0:
            raise ValueError(f"NMF: tol must be at least 0, got {self.tol:g}")
        self.h0 = None if h0 is None else _check_start(h0, self.k)
        self.seed = check_int(seed, "NMF: seed")
        self.w: Series | None = None
        self.h: np.ndarray | None = None
        self.hConvergence: list[float] = []

    def fit(self, data: Data) -> Self:
        """Factorize Images or a Series, and return the NMF itself. Collective; an action.

        Of images the records are their pixels.

        Raises
        ------
        ValueError
            For negative values, NaN and infinities; where k exceeds the pixels or the times.
        """
        from .matrix import PixelMatrix
        from .steps import Project

        check_data(data, "NMF.fit")
        series = as_series(data)
        with enter(series, "NMF.fit"):
            action, records, _ = begin(series, "NMF.fit")
            matrix = PixelMatrix(action, records, images=False)
            h, inverse = self._begin(action, matrix)
            matrix.measure()
            changes: list[float] = []
            while not changes or (len(changes) < self.maxIter and changes[-1] > self.tol):
                h, inverse, change = _improve(action, matrix, h, inverse)
                changes.append(change)
            self.h, self.hConvergence = h, changes
        self.w = then(series, Project("NMF.fit", inverse, positive=True), self.k)
        return self

    def _begin(self, action: Action, matrix: PixelMatrix) -> tuple[np.ndarray, np.ndarray]:
        """What h begins with, and its pseudoinverse. Collective."""
        from ..spmd.agreement import from_rank

        length = matrix.shape[1]
        if self.k > min(matrix.shape):
            raise ValueError(
                f"NMF.fit: k={self.k}, but the data have {matrix.shape[0]} pixels and {length} "
                "times; k must not exceed either"
            )
        if self.h0 is not None and self.h0.shape[1] != length:
            raise ValueError(f"NMF.fit: h0 has {self.h0.shape[1]} columns, the data {length} times")

        def start() -> tuple[np.ndarray, np.ndarray]:
            h = self.h0
            if h is None:
                h = np.random.default_rng(self.seed % 2**64).random((self.k, length))
            return h, np.linalg.pinv(h)

        given = self.k, self.maxIter, self.tol, self.seed
        return from_rank(action.comm, 0, action.name, start, given=given)


def _check_start(h0: object, k: int) -> np.ndarray:
    if not isinstance(h0, np.ndarray) or h0.dtype.kind not in "iuf":
        raise TypeError(f"NMF: h0 must be an array of numbers, got {quote(h0)}")
    if h0.ndim != 2 or len(h0) != k:
        raise ValueError(f"NMF: h0 must have k={k} rows, got shape {h0.shape}")
    if not (np.isfinite(h0).all() and (h0 >= 0).all()):
        raise ValueError("NMF: h0 must be finite and not negative")
    return h0.astype(np.float64)


def _improve(
    action: Action, matrix: PixelMatrix, h: np.ndarray, inverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """One iteration, a pass: the next h, its pseudoinverse, and its change. Collective."""
    from ..spmd.agreement import from_rank
    from .products import DATA, LIMB, ExactSum, Weights, data_bits, gram_into, split, times

    factor = Weights.of(inverse, DATA)
    # No value of w exceeds the largest of the data times the sum of a column.
    bound = np.ldexp(np.abs(inverse).sum(0), matrix.largest_exponent)
    products, squares = ExactSum(h.shape), ExactSum((len(h), len(h)))
    bits = LIMB + data_bits(matrix.records.dtype)

    def add(_: int, batch: np.ndarray) -> None:
        for rows in matrix.pieces(batch):
            if rows.min(initial=0) < 0:
                raise ValueError(f"{action.name}: the data have negative values")
            w = Weights.of(np.maximum(times(rows, factor), 0), DATA, bound)
            gram_into(products, w.limbs(), split(rows, matrix.unit), bits)
            gram_into(squares, w.limbs(), w.limbs(), 2 * LIMB)

    action.stream(matrix.records, add, "NMF")
    scale = Weights.of(np.empty((0, len(h))), DATA, bound).scale
    found = np.ldexp(products.merge(action.comm).values(), scale[:, None] + matrix.unit)
    gram = np.ldexp(squares.merge(action.comm).values(), scale[:, None] + scale)
    return from_rank(action.comm, 0, action.name, _next, gram, found, h)


def _next(
    gram: np.ndarray, found: np.ndarray, before: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    h = np.maximum(np.linalg.pinv(gram, hermitian=True) @ found, 0)
    h /= np.maximum(np.linalg.norm(h, axis=1), LEAST_NORM)[:, None]
    return h, np.linalg.pinv(h), float(np.linalg.norm(h - before))
