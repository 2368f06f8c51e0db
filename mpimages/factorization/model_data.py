"""What models take, and how they give results as Series."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..collection import Collection
from ..core.partition import Partition
from ..core.text import quote
from ..engine.chain import Chain, Positions, Step
from ..engine.runner import Action
from ..engine.selection import Settled
from ..engine.sources import MemorySource
from ..methods.base import ImageMethods, SeriesMethods

if TYPE_CHECKING:
    from ..images import Images
    from ..series import Series

__all__ = ["Data", "as_series", "begin", "check_data", "enter", "series_of", "then"]

Data: TypeAlias = "Images | Series"


def check_data(data: object, name: str) -> None:
    """Raise TypeError unless `data` are Images or a Series. Local."""
    if not isinstance(data, ImageMethods | SeriesMethods):
        raise TypeError(f"{name}: data must be Images or a Series, got {quote(data)}")


def enter(data: Collection, name: str) -> AbstractContextManager[None]:
    """An action of a model on a collection: the ranks meet. Collective."""
    return data.session.action(f"{name} of {type(data).__name__}")


def begin(data: Data, name: str) -> tuple[Action, Settled, bool]:
    """Settle a collection; tell whether its records are images. Collective."""
    action, selection = data.records.begin(name, least=1)
    return action, action.known(selection), isinstance(data, ImageMethods)


def as_series(data: Data) -> Series:
    """The collection itself, or the Series of its pixels. Local."""
    return data.toSeries() if isinstance(data, ImageMethods) else data


def then(series: Series, step: Step, width: int) -> Series:
    """A Series with one more step, whose values are counted from 0. Local; lazy."""
    return _on(series, series.records.chain.then(step), width)


def series_of(data: Data, records: Settled, rows: np.ndarray, action: Action) -> Series:
    """A Series of rows that are in memory, for the pixels of a collection. Local."""
    series = as_series(data)
    keys: Positions
    if isinstance(data, ImageMethods):
        count = int(np.prod(records.dims, dtype=np.int64))
        keys = range(count)
        partition = Partition.balanced(count, action.comm.size)
    else:
        keys = records.keys
        count, partition = records.count, records.partition
    source = MemorySource(rows, rows.shape[1:], rows.dtype, partition)
    source.number = records.source.number
    return _on(series, Chain(source, range(count), keys), rows.shape[1])


def _on(series: Series, chain: Chain, width: int) -> Series:
    """A Series of the same pixels on another chain. Local."""
    from ..series import Series as Plain

    _ = chain.dims  # a step that does not fit is refused now
    # What users see of a collection has no such method.
    return series._as(Plain, chain, np.arange(width))  # noqa: SLF001
