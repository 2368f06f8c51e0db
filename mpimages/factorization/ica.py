"""Independent components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from ..core.arguments import check_int, check_number
from ..core.public import public
from .model_data import Data, begin, check_data, enter, then
from .svd import check_method, decomposed

if TYPE_CHECKING:
    from ..engine.runner import Action
    from ..series import Series

__all__ = ["ICA"]


@public
class ICA:
    """Independent components of the series of all pixels, from Images or a Series.

    The mean of all series is taken off, k principal components are kept and made white, and a
    rotation of them is found whose c components have the largest kurtosis, all at once.

    Parameters
    ----------
    c : int
        How many independent components.
    k : int, optional
        How many principal components; at least c, which is the default.
    svdMethod : {'auto', 'direct', 'randomized'}
    maxIter : int
        At most so many iterations; they read no data.
    tol : float
        They end where no component turns by more: 1 - abs(cosine).
    seed : int
        Of the first rotation, and of random projections.
    power : int
        As of `SVD`.

    Attributes
    ----------
    w : (c, T) ndarray
        What a series without the mean is multiplied by: the unmixing.
    a : (T, c) ndarray
        The mixing. The largest value of each column is positive.
    sigs : Series
        The c components of each pixel, of mean 0 and variance 1; lazy.
    iterations : int

    Notes
    -----
    FastICA with the nonlinearity u³ (A. Hyvärinen, IEEE Trans. Neural Networks 10, 1999), as in
    Thunder, which did not take the mean off, kept all principal components by default, and ended
    after 10 iterations. The principal components of all pixels are held in memory, float64.
    """

    def __init__(
        self,
        c: int,
        k: int | None = None,
        svdMethod: str = "auto",
        maxIter: int = 100,
        tol: float = 0.000001,
        seed: int = 0,
        power: int = 1,
    ) -> None:
        self.c = check_int(c, "ICA: c", 1)
        self.k = self.c if k is None else check_int(k, "ICA: k", 1)
        if self.k < self.c:
            raise ValueError(f"ICA: c={self.c} components cannot be made of k={self.k}")
        self.svdMethod = check_method(svdMethod, "ICA: svdMethod")
        self.maxIter = check_int(maxIter, "ICA: maxIter", 1)
        self.tol = check_number(tol, "ICA: tol")
        if not self.tol >= 0:
            raise ValueError(f"ICA: tol must be at least 0, got {self.tol:g}")
        self.seed = check_int(seed, "ICA: seed")
        self.power = check_int(power, "ICA: power", 0)
        self.w: np.ndarray | None = None
        self.a: np.ndarray | None = None
        self.sigs: Series | None = None
        self.iterations = 0

    def fit(self, data: Data) -> Self:
        """Find the components, and return the ICA itself. Collective; an action.

        Raises as `SVD.calc`.
        """
        from ..spmd.agreement import from_rank
        from .steps import Project

        check_data(data, "ICA.fit")
        with enter(data, "ICA.fit"):
            found, scores = decomposed(
                data, "ICA.fit", self.k, self.svdMethod, self.power, self.seed, True
            )
            action, records, _ = begin(scores, "ICA.fit")
            action.together((self.c, self.maxIter, self.tol)).agree()
            action.check_share(records, copied=True)
            rows, _ = action.load(records)
            rotation = self._rotate(action, rows, records.count)
            matrix, self.w, self.a = from_rank(
                action.comm, 0, action.name, _unmixing, rotation, found.s, found.v, records.count
            )
            self.sigs = then(scores, Project("ICA.fit", matrix), self.c)
        return self

    def _rotate(self, action: Action, rows: np.ndarray, count: int) -> np.ndarray:
        """The rotation of white rows / sqrt(count), which is orthonormal. Collective."""
        from ..spmd.agreement import from_rank
        from .linear_algebra import gram, in_pieces

        def first() -> np.ndarray:
            rng = np.random.default_rng(self.seed % 2**64)
            return _orthogonal(rng.standard_normal((self.k, self.c)))

        def turn(moved: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, bool]:
            after = _orthogonal(count * moved - 3 * before)
            cosines = np.abs((after * before).sum(0))
            return after, bool(1 - cosines.min() <= self.tol)

        rotation: np.ndarray = from_rank(action.comm, 0, action.name, first)
        cubes, done = np.empty((0, self.c)), False
        with action.together():
            cubes = np.empty((len(rows), self.c))
        self.iterations = 0
        while not done and self.iterations < self.maxIter:
            in_pieces(rows, rotation, cubes)
            cubes *= cubes * cubes
            moved = gram(action, rows, cubes)
            rotation, done = from_rank(action.comm, 0, action.name, turn, moved, rotation)
            self.iterations += 1
        return rotation


def _orthogonal(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix of orthonormal columns. Local."""
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    product: np.ndarray = left @ right
    return product


def _unmixing(
    rotation: np.ndarray, s: np.ndarray, v: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What makes components of left vectors, of series, and series of components. Local."""
    from .linear_algebra import orientation

    scale = s / np.sqrt(count)
    rotation = rotation * orientation((rotation.T * scale) @ v)
    mixing = np.ascontiguousarray(((rotation.T * scale) @ v).T)
    return rotation * np.sqrt(count), (rotation.T / scale) @ v, mixing
