"""Principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from ..core.arguments import check_int
from ..core.public import public
from .model_data import Data, begin, check_data, enter
from .svd import check_method, decomposed, projected

if TYPE_CHECKING:
    from ..series import Series

__all__ = ["PCA"]


@public
class PCA:
    """The principal components of the series of all pixels, from Images or a Series.

    Parameters
    ----------
    k : int
        How many.
    svdMethod : {'auto', 'direct', 'randomized'}
    power, seed
        As of `SVD`.

    Attributes
    ----------
    comps : (k, T) ndarray
        The components, orthonormal. The largest value of each is positive.
    latent : (k,) ndarray
        Singular values of what was decomposed, descending, as in Thunder. The variance along a
        component is latent² / pixels.
    scores : Series
        k values for each pixel, as ``SVD.u``.
    mean : (T,) ndarray
        The mean of all series, which is taken off, without a copy of the data.

    Notes
    -----
    Of images the records are their pixels: ``PCA(k).fit(images)`` is that of
    ``images.toSeries()``, and images that are larger than the memory are not kept.

    Examples
    --------
    >>> pca = PCA(k=3).fit(images)  # doctest: +SKIP
    >>> pca.scores.pack()  # doctest: +SKIP
    """

    def __init__(self, k: int = 3, svdMethod: str = "auto", power: int = 1, seed: int = 0) -> None:
        self.k = check_int(k, "PCA: k", 1)
        self.svdMethod = check_method(svdMethod, "PCA: svdMethod")
        self.power = check_int(power, "PCA: power", 0)
        self.seed = check_int(seed, "PCA: seed")
        self.comps: np.ndarray | None = None
        self.latent: np.ndarray | None = None
        self.scores: Series | None = None
        self.mean: np.ndarray | None = None

    def fit(self, data: Data) -> Self:
        """Find the components, and return the PCA itself. Collective; an action.

        Raises as `SVD.calc`.
        """
        check_data(data, "PCA.fit")
        found, self.scores = decomposed(
            data, "PCA.fit", self.k, self.svdMethod, self.power, self.seed, True
        )
        self.comps, self.latent, self.mean = found.v, found.s, found.mean
        return self

    def transform(self, data: Data) -> Series:
        """The scores of other data with as many times. Collective; an action.

        The mean of their own series is taken off, as in Thunder; the result is then lazy.

        Returns
        -------
        Series of k values

        Raises
        ------
        ValueError
            Before `fit`, or where there are other times.
        """
        from .matrix import mean_series

        check_data(data, "PCA.transform")
        if self.comps is None or self.latent is None:
            raise ValueError("PCA.transform: nothing was fitted yet; call fit(data) first")
        with enter(data, "PCA.transform"):
            action, records, images = begin(data, "PCA.transform")
            mean = mean_series(action, records, images)
            if len(mean) != self.comps.shape[1]:
                raise ValueError(
                    f"PCA.transform: the components have {self.comps.shape[1]} values, the data "
                    f"{len(mean)} times"
                )
        return projected(data, "PCA.transform", self.comps, self.latent, mean)
