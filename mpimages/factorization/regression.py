"""Linear regression of each series on a design."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..core.arguments import check_choice, check_flag, check_number, checksum_of
from ..core.public import public
from ..core.text import quote
from .model_data import Data, as_series, begin, check_data, enter, series_of, then

if TYPE_CHECKING:
    from ..series import Series

__all__ = ["LinearRegression", "RegressionModel"]

ALGORITHMS = ("ordinary", "ridge", "tikhonov")


@dataclass
class _Prepared:
    """What a fit knows without the data: the design, and what a series is multiplied by."""

    intercept: bool
    center: np.ndarray
    scale: np.ndarray
    design: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    inverse: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))

    def of(self, design: np.ndarray) -> np.ndarray:
        """The columns that the coefficients belong to. Local."""
        columns: np.ndarray = (design - self.center) / self.scale
        if not self.intercept:
            return columns
        found: np.ndarray = np.column_stack([np.ones(len(columns)), columns])
        return found


@public
class LinearRegression:
    """Linear regression of the series of each pixel on the columns of a design.

    Parameters
    ----------
    algorithm : {'ordinary', 'ridge', 'tikhonov'}
        Least squares (of the smallest coefficients, where the columns depend on each other); with
        a penalty c b·b on the coefficients b; or with c (R b)·(R b).
    intercept : bool
        Whether there is a constant, too. It has no penalty.
    zscore : bool
        Whether the columns are first given mean 0 and variance 1; `predict` and `score` then do
        the same with the numbers of the fit.
    c : float, optional
        Of a penalty, at least 0.
    R : (l, p) ndarray, optional
        Of 'tikhonov'.
    """

    def __init__(
        self,
        algorithm: str = "ordinary",
        intercept: bool = True,
        zscore: bool = False,
        c: float | None = None,
        R: np.ndarray | None = None,
    ) -> None:
        self.algorithm = check_choice(algorithm, "LinearRegression: algorithm", ALGORITHMS)
        self.intercept = check_flag(intercept, "LinearRegression: intercept")
        self.zscore = check_flag(zscore, "LinearRegression: zscore")
        self.c = None if c is None else check_number(c, "LinearRegression: c")
        self.R = None if R is None else _check_matrix(R, "LinearRegression: R")
        if (self.c is None) == (algorithm != "ordinary"):
            raise ValueError(
                f"LinearRegression: algorithm {algorithm!r} "
                + ("has no c" if algorithm == "ordinary" else "needs c")
            )
        if self.c is not None and not 0 <= self.c < np.inf:
            raise ValueError(f"LinearRegression: c must be at least 0, got {self.c:g}")
        if (self.R is None) == (algorithm == "tikhonov"):
            raise ValueError(
                f"LinearRegression: algorithm {algorithm!r} "
                + ("needs R" if algorithm == "tikhonov" else "has no R")
            )

    def fit(self, X: np.ndarray, y: Data) -> RegressionModel:
        """Fit all series. Collective; nothing is read, as the results are lazy.

        Parameters
        ----------
        X : (T, p) or (T,) ndarray
            The design, without a column of ones.
        y : Images or Series
            Of T times.

        Returns
        -------
        RegressionModel

        Raises
        ------
        ValueError
            Where X has no T rows, is not finite, or with `zscore` a column is constant.
        """
        from ..spmd.agreement import from_rank

        check_data(y, "LinearRegression.fit")
        design = _check_matrix(X, "LinearRegression.fit: X")
        if self.R is not None and self.R.shape[1] != design.shape[1]:
            raise ValueError(
                f"LinearRegression.fit: R has {self.R.shape[1]} columns, X {design.shape[1]}"
            )
        series = as_series(y)
        given = self.algorithm, self.intercept, self.zscore, self.c, checksum_of(design)
        with enter(series, "LinearRegression.fit"):
            prepared: _Prepared = from_rank(
                series.session.comm, 0, "LinearRegression.fit", self._prepare, design, given=given
            )
        return RegressionModel(series, self.algorithm, prepared)

    def _prepare(self, design: np.ndarray) -> _Prepared:
        """All that needs no data, on one rank: on another processor last bits may differ. Local."""
        center, scale = np.zeros(design.shape[1]), np.ones(design.shape[1])
        if self.zscore:
            center, scale = design.mean(0), design.std(0)
            if not scale.all():
                raise ValueError("LinearRegression.fit: zscore=True, but a column of X is constant")
        prepared = _Prepared(self.intercept, center, scale)
        prepared.design = prepared.of(design)
        prepared.inverse = self._inverse(prepared.design)
        return prepared

    def _inverse(self, design: np.ndarray) -> np.ndarray:
        """What a series is multiplied by to have its coefficients, (T, p). Local."""
        if self.c is None:
            return np.linalg.pinv(design).T
        columns = design[:, 1:] if self.intercept else design
        means = columns.mean(0) if self.intercept else np.zeros(columns.shape[1])
        centered = columns - means
        penalty = np.eye(columns.shape[1]) if self.R is None else self.R
        square = centered.T @ centered + self.c * (penalty.T @ penalty)
        slopes = np.linalg.pinv(square, hermitian=True) @ centered.T
        if not self.intercept:
            return np.ascontiguousarray(slopes.T)
        constant = 1 / len(design) - means @ slopes
        return np.ascontiguousarray(np.vstack([constant, slopes]).T)


@public
class RegressionModel:
    """Regressions of all series on one design, made by `LinearRegression.fit`.

    Attributes
    ----------
    coeffs : Series
        p coefficients for each pixel, the constant first; lazy.
    stats : Series
        R² of each pixel, 0 of constant series; lazy.
    algorithm : str
    """

    _made_by = "LinearRegression.fit"

    __signature__ = inspect.Signature()  # help() shows no arguments that are not for users

    def __init__(self, series: Series, algorithm: str, prepared: _Prepared) -> None:
        from .steps import Determination, Project

        self.algorithm = algorithm
        self._prepared = prepared
        name, inverse = "LinearRegression.fit", prepared.inverse
        self.coeffs = then(series, Project(name, inverse), inverse.shape[1])
        self.stats = then(series, Determination(name, inverse, prepared.design), 1)

    @property
    def betas(self) -> Series:
        """`coeffs`. Local."""
        return self.coeffs

    def predict(self, X: np.ndarray) -> Series:
        """What the model expects of each pixel with another design. Collective; lazy.

        Parameters
        ----------
        X : (n, p) or (n,) ndarray
            As that of the fit: without a column of ones.

        Returns
        -------
        Series of n values
        """
        from .steps import Project

        design = self._design(X, "RegressionModel.predict")
        return then(self.coeffs, Project("RegressionModel.predict", design.T), len(design))

    def score(self, X: np.ndarray, y: Data) -> Series:
        """R² of what the model expects of other data. Collective; an action.

        Parameters
        ----------
        X : (n, p) or (n,) ndarray
        y : Images or Series
            Of n times and the same pixels.

        Returns
        -------
        Series of one value, in memory

        Raises
        ------
        ValueError
            Where the pixels or the times are others, or other ranks have them: `cache` one kind
            of the data, and not the other, may be why.
        """
        from .steps import determination

        check_data(y, "RegressionModel.score")
        design = self._design(X, "RegressionModel.score")
        series = as_series(y)
        with enter(series, "RegressionModel.score"):
            action, records, _ = begin(series, "RegressionModel.score")
            fitted, model, _ = begin(self.coeffs, "RegressionModel.score")
            if records.dims != (len(design),):
                raise ValueError(
                    f"RegressionModel.score: X has {len(design)} rows, the series of y "
                    f"{records.dims[0]} values"
                )
            if not np.array_equal(records.keys, model.keys) or (
                records.partition != model.partition
            ):
                raise ValueError(
                    "RegressionModel.score: y must have the pixels of the data that were fitted, "
                    "on the same ranks"
                )
            fitted.check_share(model, copied=True)
            coefficients, _ = fitted.load(model)
            start, stop = records.partition.bounds(action.comm.rank)
            found = np.empty((stop - start, 1))

            def measure(first: int, batch: np.ndarray) -> None:
                at = slice(first - start, first - start + len(batch))
                found[at] = determination(batch, coefficients[at], design)

            action.stream(records, measure)
        return series_of(series, records, found, action)

    def predictAndScore(self, X: np.ndarray, y: Data) -> tuple[Series, Series]:
        """`predict` and `score`. Collective; an action."""
        return self.predict(X), self.score(X, y)

    def _design(self, X: object, name: str) -> np.ndarray:
        design = _check_matrix(X, f"{name}: X")
        columns = len(self._prepared.center)
        if design.shape[1] != columns:
            raise ValueError(f"{name}: X has {design.shape[1]} columns, the fit had {columns}")
        return self._prepared.of(design)


def _check_matrix(values: object, name: str) -> np.ndarray:
    """Return a float64 matrix; a vector is one column. Local."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be an array of numbers, got {quote(values)}")
    matrix = values[:, None] if values.ndim == 1 else values
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"{name} must have one axis or two, got shape {values.shape}")
    found = matrix.astype(np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} has NaN or infinite values")
    return found
