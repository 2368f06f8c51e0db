"""A distributed collection of time series, one for each pixel."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .core.public import public
from .dims import Dims
from .engine.chain import Shape
from .methods.arithmetic import SeriesArithmetic
from .methods.base import SeriesMethods
from .methods.baselines import Baselines
from .methods.conversion import SeriesConversion
from .methods.indexing import Indexing
from .methods.lookup import SeriesLookup
from .methods.mapping import SeriesMapping
from .methods.matrices import Matrices
from .methods.nwb import SeriesToNWB
from .methods.regions import SeriesRegions
from .methods.sampling import SeriesSampling
from .methods.series_statistics import SeriesStatistics
from .methods.series_transforms import SeriesTransforms
from .methods.signal_processing import SignalProcessing
from .spmd.actions import action

if TYPE_CHECKING:
    pass

__all__ = ["Series", "TimeSeries"]


@public
class Series(
    SeriesMapping,
    SeriesSampling,
    SeriesLookup,
    SeriesArithmetic,
    SeriesStatistics,
    SeriesTransforms,
    Indexing,
    SeriesRegions,
    Matrices,
    SeriesToNWB,
    SeriesConversion,
    SeriesMethods,
):
    """Series of values, one a record: the key a pixel (row, column[, page]), the value 1-D.

    Made by `Images.toSeries` and the ``load*`` methods of `ThunderContext`. Properties are
    local; every other method is to be called by all ranks and gives all ranks the same.
    Methods that return a Series are lazy, unless they say "action".
    """

    # -- properties: local -----------------------------------------------------------------

    @property
    def shape(self) -> Shape | None:
        """dims + (T,), as `toArray` gives it; None while only an action can tell. Local.

        (n, T) where a filter has left n of the pixels.
        """
        dims, count, length = self.dims, self.records.count, self._length()
        if dims is None or count is None or length is None:
            return None
        return (*dims, length) if count == math.prod(dims) else (count, length)

    def __len__(self) -> int:
        """The first number of `shape`, as of an ndarray. Local; TypeError where it is None."""
        shape = self.shape
        if shape is None:
            raise TypeError(
                f"len() of this {type(self).__name__} is not known yet: an action finds it, such "
                "as first()"
            )
        return shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        """TypeError: pixels are too many for a loop of collective calls."""
        raise TypeError(
            f"a {type(self).__name__} has too many records for a loop: apply(func) calls a "
            "function for each, and toArray() gathers an ndarray"
        )

    def __repr__(self) -> str:
        unknown = "None (inspect to compute)"
        records, seen = self.records, self.records.inspected
        dims, dtype = (self._shape(), records.dtype) if seen else (None, None)
        index = self.index if seen else None
        return "\n".join(
            [
                type(self).__name__,
                f"nrecords: {unknown if records.count is None else records.count}",
                f"dtype: {unknown if dtype is None else dtype}",
                f"index: {unknown if index is None else index}",
                f"dims: {unknown if dims is None else Dims(dims)}",
            ]
        )

    # -- keys ------------------------------------------------------------------------------

    @action
    def __getitem__(self, key: tuple[int, ...]) -> np.ndarray:
        """The series of one pixel, 1-D. Collective; an action.

        Negative coordinates count from the end of their axis.

        Raises
        ------
        KeyError
            Where there is no such pixel; the message says what there is.
        """
        value = self._value(key, "__getitem__", from_end=True)
        if value is None:
            raise KeyError(
                f"no record with key {key}: dims are {Dims(self._shape() or ())}, "
                f"{self.records.count} records"
            )
        return value

    @action
    def get(self, key: tuple[int, ...]) -> np.ndarray | None:
        """The series of one pixel, or None where there is none. Collective; an action.

        The key is just (row, column[, page]).
        """
        return self._value(key, "get", from_end=False)

    def _value(self, key: object, method: str, from_end: bool) -> np.ndarray | None:
        self.records.begin(method)
        return self._find(self._number(key, from_end), method)

    # -- arrays ----------------------------------------------------------------------------

    @action
    def toArray(self) -> np.ndarray:
        """All series in one array, dims + (T,), on every rank. Collective; an action.

        Raises
        ------
        MemoryError
            Where that exceeds the budget.
        ValueError
            Where a filter has left out pixels.
        """
        begun, series = self._whole("toArray")
        rows = begun.gather(series)
        return rows.reshape(*self._extent(), rows.shape[1])

    @action
    def pack(self) -> np.ndarray:
        """All series in one array, (T,) + dims, axes of length 1 left out, on every rank.

        Collective; an action. Raises as `toArray`.
        """
        begun, series = self._whole("pack")
        rows = begun.gather(series)
        return np.ascontiguousarray(rows.T).reshape(rows.shape[1], *self._extent()).squeeze()


@public
class TimeSeries(SignalProcessing, Baselines, Series):
    """A Series whose values are samples over time."""

    def toTimeSeries(self) -> TimeSeries:
        """This. Local."""
        return self
