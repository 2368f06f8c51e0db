"""Clusters of series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.arguments import check_int, check_number
from ..core.public import public
from ..core.text import quote
from ..methods.base import SeriesMethods
from .model_data import Data, as_series, begin, check_data, enter, then

if TYPE_CHECKING:
    from ..engine.runner import Action
    from ..series import Series
    from .matrix import PixelMatrix

__all__ = ["KMeans", "KMeansModel"]

# Series that the first centers are chosen of: so many, and so many for each cluster.
SAMPLE, SAMPLE_EACH = 200, 20


@public
class KMeansModel:
    """Centers of clusters, made by `KMeans.fit`.

    Attributes
    ----------
    centers : (k, T) ndarray
    iterations : int
        How often they were moved.
    """

    def __init__(self, centers: np.ndarray, iterations: int = 0) -> None:
        given = np.asarray(centers)
        if given.ndim != 2 or given.dtype.kind not in "iuf" or not np.isfinite(given).all():
            raise ValueError(
                f"KMeansModel: centers must be (k, T), finite numbers, got {quote(centers)}"
            )
        self.centers = np.array(given, dtype=np.float64)
        self.iterations = check_int(iterations, "KMeansModel: iterations", 0)

    def predict(self, data: Data | np.ndarray) -> Series | np.ndarray:
        """The number of the nearest center of each series. Collective; lazy.

        Parameters
        ----------
        data : Images, Series, or (n, T) or (T,) ndarray

        Returns
        -------
        Series of one int64, or (n,) int64 ndarray; an array of no axes for one series
        """
        found: Series | np.ndarray = self._apply(data, "KMeansModel.predict", False)
        return found

    def similarity(self, data: Data | np.ndarray) -> Series | np.ndarray:
        """The correlation of each series with its nearest center. Collective; lazy.

        0 where a series or a center is constant.

        Returns
        -------
        Series of one float64, or (n,) ndarray
        """
        found: Series | np.ndarray = self._apply(data, "KMeansModel.similarity", True)
        return found

    def _apply(self, data: Any, name: str, similar: bool) -> Any:
        from .steps import Nearest

        step = Nearest(name, self.centers, similar)
        if isinstance(data, np.ndarray):
            if data.ndim not in (1, 2) or data.dtype.kind not in "iuf":
                raise ValueError(f"{name}: an array must be (n, T) or (T,), got {quote(data)}")
            rows = np.atleast_2d(data)
            step.dims(rows.shape[1:])
            return step.run((), rows)[:, 0].reshape(data.shape[:-1])
        check_data(data, name)
        return then(as_series(data), step, 1)


@public
class KMeans:
    """Clusters of similar series, from Images or a Series.

    Parameters
    ----------
    k : int
        How many clusters.
    maxIterations : int
        At most so many; each is a pass.
    tol : float
        They end where the centers move by no more than this part of their length.
    seed : int
        Of the first centers.

    Notes
    -----
    The iterations are those of S. P. Lloyd, IEEE Trans. Inf. Theory 28, 1982; the first centers are
    chosen among a sample of 200 + 20 k series by k-means++ (D. Arthur, S. Vassilvitskii, SODA
    2007). The center of a cluster that has lost all of its series stays. Sums are exact, of data
    as of `SVD`.
    """

    def __init__(self, k: int, maxIterations: int = 20, tol: float = 0.0001, seed: int = 0) -> None:
        self.k = check_int(k, "KMeans: k", 1)
        self.maxIterations = check_int(maxIterations, "KMeans: maxIterations", 1)
        self.tol = check_number(tol, "KMeans: tol")
        if not self.tol >= 0:
            raise ValueError(f"KMeans: tol must be at least 0, got {self.tol:g}")
        self.seed = check_int(seed, "KMeans: seed")

    def fit(self, data: Data) -> KMeansModel:
        """Find the centers. Collective; an action.

        Of images the records are their pixels.

        Raises
        ------
        ValueError
            For NaN and infinities, and where the sample has fewer than k different series.
        """
        from .matrix import PixelMatrix

        check_data(data, "KMeans.fit")
        series = as_series(data)
        with enter(series, "KMeans.fit"):
            action, records, _ = begin(series, "KMeans.fit")
            matrix = PixelMatrix(action, records, images=False)
            matrix.measure()
            centers = self._begin(action, series)
            number, done = 0, False
            while not done and number < self.maxIterations:
                centers, done = _move(action, matrix, centers, self.tol)
                number += 1
        return KMeansModel(centers, number)

    def _begin(self, action: Action, series: SeriesMethods) -> np.ndarray:
        """The first centers. Collective."""
        from ..spmd.agreement import from_rank

        size = SAMPLE + SAMPLE_EACH * self.k
        sample = series.subset(size, seed=self.seed)  # type: ignore[attr-defined]
        given = self.k, self.maxIterations, self.tol, self.seed
        return from_rank(
            action.comm, 0, action.name, _spread, sample, self.k, self.seed, given=given
        )


def _spread(sample: np.ndarray, k: int, seed: int) -> np.ndarray:
    """k of the rows, chosen by k-means++. Local."""
    rng = np.random.default_rng(seed % 2**64)
    rows = sample.astype(np.float64)
    chosen = [rows[rng.integers(len(rows))]]
    distance = np.full(len(rows), np.inf)
    while len(chosen) < k:
        distance = np.minimum(distance, ((rows - chosen[-1]) ** 2).sum(1))
        total = distance.sum()
        if not total > 0:
            raise ValueError(
                f"KMeans.fit: k={k}, but of {len(rows)} sampled series only {len(chosen)} differ"
            )
        chosen.append(rows[rng.choice(len(rows), p=distance / total)])
    return np.array(chosen)


def _move(
    action: Action, matrix: PixelMatrix, centers: np.ndarray, tol: float
) -> tuple[np.ndarray, bool]:
    """Move each center to the mean of the series that are nearest to it. Collective; a pass."""
    from ..spmd.agreement import from_rank
    from .products import ExactSum, data_bits, gram_into, split
    from .steps import Nearest

    k = len(centers)
    nearest = Nearest(action.name, centers, False)
    sums, counts = ExactSum(centers.shape), ExactSum((k,))

    def add(_: int, batch: np.ndarray) -> None:
        for rows in matrix.pieces(batch):
            members = nearest.run((), rows) == np.arange(k)
            counts.add(members.sum(0))
            gram_into(
                sums,
                [(members.astype(np.float64), 0)],
                split(rows, matrix.unit),
                1 + data_bits(rows.dtype),
            )

    action.stream(matrix.records, add, "KMeans")
    total = np.ldexp(sums.merge(action.comm).values(), matrix.unit)
    members = counts.merge(action.comm).values()

    def finish() -> tuple[np.ndarray, bool]:
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = np.where(members[:, None] > 0, total / members[:, None], centers)
        change = np.linalg.norm(moved - centers)
        return moved, bool(change <= tol * np.linalg.norm(moved))

    return from_rank(action.comm, 0, action.name, finish)
