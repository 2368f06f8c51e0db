"""Methods of TimeSeries that relate values to a baseline."""

from __future__ import annotations

from typing import Self

import numpy as np

from ..core.arguments import check_choice, check_dtype, check_int, check_number, check_percent
from ..core.public import public
from ..core.text import quote
from ..engine.series_baselines import Normalize
from .base import SeriesMethods

__all__ = ["Baselines"]

# Baselines that look at a window around each time.
WINDOWED = ("window", "maximin")
# Values of which the Gaussian before 'maximin' has its standard deviation, unless given.
SIGMA = 10.0


@public
class Baselines(SeriesMethods):
    """Values in relation to a baseline. Lazy."""

    def normalize(
        self,
        baseline: str = "percentile",
        window: int | None = None,
        perc: float = 20,
        offset: float = 0.1,
        sigma: float | None = None,
        dtype: object = None,
    ) -> Self:
        """(y - b) / (b + offset), b a baseline of each series. Collective; lazy.

        Parameters
        ----------
        baseline : {'percentile', 'mean', 'window', 'maximin'}
            The percentile `perc` of the series, its mean, or at each time the percentile of
            the samples from ``t - window // 2`` to ``t + window // 2``, both included, cut at
            the ends. ``'maximin'`` follows the floor of a series: a Gaussian filter, then the
            minimum and of that the maximum over `window` samples, each as in ``scipy.ndimage``
            with mode ``'reflect'``.
        window : int
            For ``'window'`` and ``'maximin'`` alone, which need it. As in Thunder an even one
            takes one sample more for ``'window'``: 4 is t - 2 … t + 2.
        perc : float
            0 … 100; linear interpolation.
        offset : float
            Added to the baseline, so that a dark one is not divided by.
        sigma : float, optional
            For ``'maximin'`` alone: the Gaussian's standard deviation in samples, 10 by default;
            0 for none.
        dtype : {'float32', 'float64'}, optional
            Of the result; everything is computed in float64.

        Returns
        -------
        TimeSeries
            Unless `dtype` says otherwise float64, and float32 for float16 and float32 records.
        """
        check_choice(baseline, "baseline", ("percentile", "mean", *WINDOWED))
        if (baseline in WINDOWED) != (window is not None):
            raise ValueError(
                "baseline='window' and 'maximin' need a window, and no other baseline takes one"
            )
        if window is not None:
            window = check_int(window, "window", 1)
        percent = check_percent(perc, "normalize: perc")
        if not np.isfinite(check_number(offset, "offset")):
            raise ValueError(f"offset must be finite, got {quote(offset)}")
        step = Normalize(
            baseline,
            window,
            percent,
            float(offset),
            _checked_sigma(sigma, baseline),
            None if dtype is None else _checked_dtype(dtype),
        )
        return self._then(step)


def _checked_sigma(sigma: float | None, baseline: str) -> float | None:
    if baseline != "maximin":
        if sigma is not None:
            raise ValueError(f"sigma is for baseline='maximin', not for {baseline!r}")
        return None
    if sigma is None:
        return SIGMA
    if not 0 <= check_number(sigma, "sigma") < np.inf:
        raise ValueError(f"sigma must be finite and at least 0, got {quote(sigma)}")
    return float(sigma)


def _checked_dtype(dtype: object) -> np.dtype:
    kind = check_dtype(dtype, "dtype")
    if kind not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {kind}")
    return kind
