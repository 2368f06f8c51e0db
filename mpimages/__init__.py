"""Distributed collections of images and volumes for clusters, on MPI.

>>> from mpimages import ThunderContext
>>> tsc = ThunderContext()
>>> data = tsc.loadImages('recording/', inputFormat='tif')      # doctest: +SKIP

The public names are imported when they are first used: a thousand ranks import this package
at once. MPI starts with the first that needs it, and ``import mpimages`` by itself sets nothing up.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blocks import Blocks
    from .colorize import Colorize
    from .context import ThunderContext
    from .dims import Dims
    from .errors import (
        CollectiveMismatchError,
        FormatError,
        GatherWarning,
        Interrupted,
        LaunchError,
        RankError,
    )
    from .factorization.ica import ICA
    from .factorization.kmeans import KMeans, KMeansModel
    from .factorization.nmf import NMF
    from .factorization.pca import PCA
    from .factorization.regression import LinearRegression, RegressionModel
    from .factorization.svd import SVD
    from .images import Images
    from .local_array import LocalArray
    from .local_array import open as open
    from .registration.line_phase import LinePhase
    from .registration.model import RegistrationModel
    from .registration.thunder import Registration
    from .series import Series, TimeSeries
    from .verification import Verified, verify

# Not `open`: after ``from mpimages import *`` there is still Python's own.
__all__ = [
    "ICA",
    "NMF",
    "PCA",
    "SVD",
    "Blocks",
    "CollectiveMismatchError",
    "Colorize",
    "Dims",
    "FormatError",
    "GatherWarning",
    "Images",
    "Interrupted",
    "KMeans",
    "KMeansModel",
    "LaunchError",
    "LinePhase",
    "LinearRegression",
    "LocalArray",
    "RankError",
    "Registration",
    "RegistrationModel",
    "RegressionModel",
    "Series",
    "ThunderContext",
    "TimeSeries",
    "Verified",
    "__version__",
    "verify",
]

__version__ = "0.1.0"

_HOMES = {
    "Blocks": "blocks",
    "CollectiveMismatchError": "errors",
    "Colorize": "colorize",
    "Dims": "dims",
    "FormatError": "errors",
    "GatherWarning": "errors",
    "ICA": "factorization.ica",
    "Images": "images",
    "Interrupted": "errors",
    "KMeans": "factorization.kmeans",
    "KMeansModel": "factorization.kmeans",
    "LaunchError": "errors",
    "LinePhase": "registration.line_phase",
    "LinearRegression": "factorization.regression",
    "LocalArray": "local_array",
    "NMF": "factorization.nmf",
    "PCA": "factorization.pca",
    "RankError": "errors",
    "Registration": "registration.thunder",
    "RegistrationModel": "registration.model",
    "RegressionModel": "factorization.regression",
    "SVD": "factorization.svd",
    "Series": "series",
    "ThunderContext": "context",
    "TimeSeries": "series",
    "Verified": "verification",
    "open": "local_array",
    "verify": "verification",
}
# Whose modules need MPI.
_MPI_HOMES = {
    "blocks",
    "context",
    "factorization.ica",
    "factorization.kmeans",
    "factorization.nmf",
    "factorization.pca",
    "factorization.regression",
    "factorization.svd",
    "images",
    "series",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .spmd.exit import guard

    guard()  # the name's module may start MPI
    if _HOMES[name] in _MPI_HOMES:
        from .spmd.launcher import require_mpi

        require_mpi()
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "open"])
