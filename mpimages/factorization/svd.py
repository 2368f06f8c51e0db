"""Singular value decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..core.arguments import check_choice, check_int, check_seed
from ..core.public import public
from .model_data import Data, as_series, begin, check_data, enter, series_of, then

if TYPE_CHECKING:
    from ..series import Series
    from .decomposition import Decomposition

__all__ = ["SVD", "check_method", "decomposed", "projected"]

METHODS = ("auto", "direct", "randomized")


def check_method(value: object, name: str) -> str:
    """Return the name of a method. Local."""
    if isinstance(value, str) and value == "em":
        raise ValueError(
            f"{name}='em' of Thunder is not here: 'randomized' finds the same in fewer passes"
        )
    return check_choice(value, name, METHODS)


@public
class SVD:
    """The first singular values and vectors of pixels × times.

    Parameters
    ----------
    k : int
        How many.
    method : {'auto', 'direct', 'randomized'}
        By the exact Gramian of all times, in one pass (two where the data are no integers of at
        most 16 bits); or by random projections, in 2 + 2 `power` passes. 'auto' is 'direct' for
        series of fewer than 750 values, and else 'randomized'.
    power : int
        Of random projections: how often they are refined. With 1, what decays slowly is found,
        too.
    seed : int
        Of random projections.

    Attributes
    ----------
    u : Series
        Left singular vectors: k values for each pixel. Of a Series it is lazy, and an action reads
        that again; of images it is in memory where they were projected, float64, and else lazy.
    s : (k,) ndarray
        Singular values, descending.
    v : (k, T) ndarray
        Right singular vectors, one a row. The largest component of each is positive.

    Notes
    -----
    Random projections are those of Halko, Martinsson and Tropp, SIAM Rev. 53, 2011, with k + 10
    columns. All ranks together hold at most 2 · pixels · (k + 10) float64; nothing of the data is
    copied. Sums are exact: of integers of at most 16 bits, and of other data rounded to 2⁻⁴⁴ of
    the largest value. So the results have the same bits for any number of ranks and any budget.
    Small decompositions are those of LAPACK on rank 0.

    Examples
    --------
    >>> svd = SVD(k=2).calc(images)  # doctest: +SKIP
    """

    def __init__(self, k: int = 3, method: str = "auto", power: int = 1, seed: int = 0) -> None:
        self.k = check_int(k, "SVD: k", 1)
        self.method = check_method(method, "SVD: method")
        self.power = check_int(power, "SVD: power", 0)
        self.seed = check_int(seed, "SVD: seed")
        self.u: Series | None = None
        self.s: np.ndarray | None = None
        self.v: np.ndarray | None = None

    def calc(self, data: Data) -> Self:
        """Decompose Images or a Series, and return the SVD itself. Collective; an action.

        Raises
        ------
        TypeError
            Where `data` are neither.
        ValueError
            Where k exceeds the pixels, the times, or the singular values above 1e-6 of the
            largest; for NaN and infinities.
        MemoryError
            Where the bases do not fit into the budget.
        """
        check_data(data, "SVD.calc")
        found, self.u = decomposed(
            data, "SVD.calc", self.k, self.method, self.power, self.seed, False
        )
        self.s, self.v = found.s, found.v
        return self


def decomposed(
    data: Data, name: str, k: int, method: str, power: int, seed: int, center: bool
) -> tuple[Decomposition, Series]:
    """Decompose a collection; return the left vectors as a Series. Collective."""
    from .decomposition import decompose

    if method == "direct":
        data = as_series(data)
    with enter(data, name):
        action, records, images = begin(data, name)
        found = decompose(action, records, images, k, method, power, check_seed(seed), center)
        if found.u is not None:
            return found, series_of(data, records, found.u, action)
        return found, projected(data, name, found.v, found.s, found.mean)


def projected(data: Any, name: str, v: np.ndarray, s: np.ndarray, mean: np.ndarray) -> Series:
    """(A - mean) vᵀ / s, a lazy Series. Local."""
    from .products import DATA, Weights, times
    from .steps import Project

    matrix = v.T / s
    added = -times(mean[None], Weights.of(matrix, DATA))[0]
    return then(as_series(data), Project(name, matrix, added), len(s))
