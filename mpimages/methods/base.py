"""What methods of Images, and what methods of Series, may count on.

Each module of this package has a class of methods that belong together. `Images` and `Series`
inherit them; the classes know each other by these bases alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from ..collection import Collection
from ..core.arguments import check_index, check_ints
from ..core.json_types import JsonObject
from ..core.public import public
from ..dims import Dims
from ..engine.chain import Chain, Shape, Step
from ..engine.image_steps import PixelSize
from ..engine.runner import Action, Records
from ..engine.selection import Selection
from ..engine.session import Session

__all__ = ["ImageMethods", "PixelStep", "SeriesKind", "SeriesMethods", "labels_of"]

SeriesKind = TypeVar("SeriesKind", bound="SeriesMethods")


class PixelStep(Step, Protocol):
    """A step of images that says how large its results' pixels are."""

    def pixel_size(self, size: PixelSize) -> PixelSize:
        """Return the result's pixel size; `size` is that of the images along each axis."""


@public
class ImageMethods(Collection):
    """Methods of Images. Their records' keys are ints."""

    def _key(self, key: int) -> int:
        return int(key)

    @property
    def dims(self) -> Dims | None:
        """The images' extent, (row, column[, page]); None while only an action can tell. Local."""
        self.records.inspected = True
        dims = self.records.dims
        return None if dims is None else Dims(dims)

    def _then(self, step: PixelStep) -> Self:
        """One more step; a wrong one is refused now where the dims are known."""
        chain = self.records.chain.then(step)
        _ = chain.dims, chain.dtype
        derived = self._derived(chain)
        size = derived.metadata.get("pixelSize")
        if size is not None:
            derived.metadata["pixelSize"] = step.pixel_size(tuple(size))
        return derived


def labels_of(index: np.ndarray | None, images: Records | None, length: int) -> np.ndarray:
    """The label of each of so many values: an index, or the keys of the images. Local."""
    labels: Any = index
    if labels is None and images is not None:
        labels = images.keys
    if labels is None or len(labels) != length:  # a function made series of another length
        labels = range(length)
    return np.array(labels, dtype=np.int64)


@public
class SeriesMethods(Collection):
    """Methods of Series. Their records' keys are pixels, the values have labels, the index."""

    def __init__(
        self,
        session: Session,
        chain: Chain,
        metadata: JsonObject | None = None,
        inputs: JsonObject | None = None,
        *,
        images: Records | None = None,
        dims: Shape | None = None,
        index: np.ndarray | None = None,
    ) -> None:
        super().__init__(session, chain, metadata, inputs)
        self._images = images
        self._key_dims = dims
        self._index = index

    def _derived(self, chain: Chain, index: np.ndarray | None = None) -> Self:
        return self._as(type(self), chain, self._index if index is None else index)

    def _as(
        self,
        kind: type[SeriesKind],
        chain: Chain,
        index: np.ndarray | None,
        dims: Shape | None = None,
    ) -> SeriesKind:
        """A Series of some kind with all that this one knows but its chain and index. Local.

        `dims` are those of another key space for the same records.
        """
        return kind(
            self.session,
            chain,
            self.metadata,
            self.records.inputs,
            images=self._images,
            dims=self._key_dims if dims is None else dims,
            index=index,
        )

    def _shape(self) -> Shape | None:
        """Shape of the key space, or None while only an action can tell. Local."""
        if self._key_dims is not None or self._images is None:
            return self._key_dims
        return self._images.dims

    def _extent(self) -> Shape:
        """Shape of the key space of a Series that has been settled. Local."""
        shape = self._shape()
        if shape is None:
            raise RuntimeError("internal error: the dims of a Series are not known yet")
        return shape

    @property
    def dims(self) -> Dims | None:
        """Extent of the key space, (row, column[, page]); None while only an action can tell.

        Local.
        """
        self.records.inspected = True
        shape = self._shape()
        return None if shape is None else Dims(shape)

    @property
    def index(self) -> np.ndarray | None:
        """The label of each value in a series, (T,) int64: the images' keys unless set.

        (T, levels) where each value has several labels, such as a trial and a time in it: see
        `selectByIndex`. None while only an action can tell. Local; to be set to the same on all
        ranks.
        """
        length = self._length()
        return None if length is None else self._labels(length)

    @index.setter
    def index(self, values: Iterable[int] | Iterable[Sequence[int]]) -> None:
        index = check_index(values, levels=True)
        length = self._length()
        if length is not None and len(index) != length:
            raise ValueError(f"an index of {len(index)} labels for series of {length} values")
        self._index = index

    def _labels(self, length: int) -> np.ndarray:
        """The label of each of so many values. Local."""
        return labels_of(self._index, self._images, length)

    def _length(self) -> int | None:
        """How many values a series has after the steps. Local."""
        dims = self.records.dims
        return None if dims is None else dims[0]

    def _key(self, key: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unravel_index(int(key), self._extent()))

    def _number(self, key: object, from_end: bool) -> int:
        """The pixel's number in C order, or -1 where it lies outside. Local."""
        shape = self._extent()
        coordinates = key if isinstance(key, (tuple, list)) else (key,)
        coordinates = check_ints(coordinates, "the key of a series")
        if from_end and len(coordinates) == len(shape):
            coordinates = tuple(
                i + n if i < 0 else i for i, n in zip(coordinates, shape, strict=True)
            )
        if len(coordinates) != len(shape) or any(
            not 0 <= i < n for i, n in zip(coordinates, shape, strict=True)
        ):
            return -1
        return int(np.ravel_multi_index(coordinates, shape))

    def _whole(self, method: str, memory: int | None = None) -> tuple[Action, Selection]:
        """An action on a Series that has all its pixels. Collective."""
        begun, selection = self.records.begin(method, memory=memory)
        pixels = math.prod(self._extent())
        if selection.count != pixels:
            raise ValueError(
                f"{begun.name} needs a record for each of {pixels} pixels, "
                f"but a filter has left {selection.count}; use values().collect()"
            )
        return begun, selection

    def _then(self, step: Step, index: np.ndarray | None = None) -> Self:
        """One more step; a wrong one is refused now where the length is known."""
        chain = self.records.chain.then(step)
        _ = chain.dims, chain.dtype
        return self._derived(chain, index)

    def _known_index(self, method: str, levels: bool = False) -> np.ndarray:
        """The label of each value. Collective; an action where only that can tell.

        ValueError where each value has several labels, unless `levels` is True.
        """
        index = self.index
        if index is None:
            with self.session.action(f"{type(self).__name__}.{method}"):
                begun, series = self.records.begin(method)
                known = begun.known(series)
                self.records.replace(known.chain())
            index = self._labels(known.dims[0])
        if index.ndim > 1 and not levels:
            raise ValueError(
                f"{method}: the index has {index.shape[1]} levels; selectByIndex(val, level) takes "
                "values of each"
            )
        return index

    def _reduced(self, step: Step) -> Self:
        """One more step that leaves one value of each series. Local."""
        return self._then(step, np.zeros(1, dtype=np.int64))
