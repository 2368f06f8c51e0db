"""Methods that make Series of Images, Images of Series, and Blocks of either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ..core.arguments import check_callable, check_int
from ..core.public import public
from ..engine.chain import Chain, Positions
from .base import ImageMethods, SeriesMethods, labels_of

if TYPE_CHECKING:
    from ..blocks import Blocks
    from ..images import Images
    from ..series import Series, TimeSeries

__all__ = ["ImageConversion", "SeriesConversion"]

SeriesKind = TypeVar("SeriesKind", bound="Series")


@public
class ImageConversion(ImageMethods):
    """Images as Series or as Blocks. Lazy: an action on the result moves the pixels."""

    def toSeries(self) -> Series:
        """The same pixels as a Series: a record per pixel, its value over time. Collective; lazy.

        An action on the result reads the images and moves their pixels between the ranks;
        ``cache()`` keeps what it got.
        """
        from ..series import Series

        return self._as_series(Series)

    def toTimeSeries(self) -> TimeSeries:
        """`toSeries`, as a `TimeSeries`. Collective; lazy."""
        from ..series import TimeSeries

        return self._as_series(TimeSeries)

    def toBlocks(
        self,
        size: int | str | Sequence[int] = "150M",
        units: str = "pixels",
        padding: int | Sequence[int] = 0,
    ) -> Blocks:
        """Parts of the images with all times, with a halo around them. Collective; lazy.

        An action on the result moves the pixels between the ranks, so that each block is on one
        rank: a block, or a few small ones, on each rank at a time. Use at least a few blocks for
        each rank. Where the images exceed the budget, each round reads its pixels anew, alone if
        the files can be read in part.

        Parameters
        ----------
        size : int or str, or sequence of int
            About how many bytes a block has, with all times and without its halo: the first axis
            is split, then the next, into the most blocks that have as much on average. Or a number
            for each axis.
        units : {'pixels', 'splits'}
            Such numbers are pixels of a block, the last one being smaller; or into how many blocks
            to split each axis, the first ones being larger by a pixel where it does not come out
            even. The beginning of the word will do.
        padding : int, or one per axis
            Pixels of the halo on each side; it ends at the borders of the images.

        Returns
        -------
        Blocks

        Raises
        ------
        ValueError
            Where the numbers do not fit the images' axes.
        MemoryError
            By an action, where a block does not fit into the budget four times.

        Notes
        -----
        The blocks do not depend on the ranks or their memory. In Thunder the last axis was split
        first; here pixels lie in C order, and blocks of few long runs are read and moved faster.
        """
        from ..blocks import Blocks
        from ..core.grid import Cut
        from ..exchange.to_blocks import BlockSource

        source = BlockSource(self.records, Cut.checked(size, units, padding))
        chain = Chain.whole(source)
        return Blocks(self.session, chain, self.metadata, self.records.inputs, source=source)

    def mapAsSeries(
        self, func: Callable[[np.ndarray], Any], dtype: object = None, length: int | None = None
    ) -> Images:
        """Put each pixel's values over time through a function. Collective; lazy.

        The same as ``toSeries().apply(func).toImages()``.

        Parameters
        ----------
        func : callable
            Gets a 1-D array of its own, and returns a 1-D array or a number.
        dtype, length : optional
            Of what it returns; undeclared, they stay None until an action has run.

        Returns
        -------
        Images
            As many as func returns values. They keep their keys, or count from 0 where the number
            is another.
        """
        check_callable(func, "mapAsSeries: func")
        labels: Positions | None = None
        if length is not None:
            labels, keys = range(check_int(length, "length", 1)), self.records.keys
            labels = keys if keys is not None and len(keys) == len(labels) else labels
        return self.toSeries().apply(func, index=labels, dtype=dtype).toImages()

    def _as_series(self, kind: type[SeriesKind]) -> SeriesKind:
        from ..exchange.to_series import ExchangeSource

        chain = Chain.whole(ExchangeSource(self.records))
        return kind(self.session, chain, self.metadata, self.records.inputs, images=self.records)


@public
class SeriesConversion(SeriesMethods):
    """Series as Images, as Blocks, or as a TimeSeries. Lazy."""

    def toTimeSeries(self) -> TimeSeries:
        """The same records as a `TimeSeries`. Collective; lazy."""
        from ..series import TimeSeries

        return self._as(TimeSeries, self.records.chain, self._index)

    def toImages(self) -> Images:
        """The same values as Images: a record per time, with all pixels. Collective; lazy.

        The keys are the index where that ascends from 0 or more, else they count from 0. Of a
        Series that `Images.toSeries` has just made they are those images. Otherwise an action
        moves the values between the ranks. Where a rank's share exceeds a third of the budget, the
        series are read, and their steps are run, once for each of several windows of the times.

        Raises
        ------
        ValueError
            Where a filter has left out pixels; by the action, where only that can tell.
        MemoryError
            By the action, where one image does not fit into the budget three times.
        """
        from ..exchange.to_images import FrameSource, chain_of
        from ..exchange.to_series import ExchangeSource
        from ..images import Images

        chain, source = self.records.chain, self.records.chain.source
        if (
            isinstance(source, ExchangeSource)
            and self._index is None
            and not chain.steps
            and chain.count == source.count
            and self._shape() == source.records.dims
        ):
            made = source.records.chain
        else:
            index, images = self._index, self._images  # the index may be set to another later

            def labels(count: int) -> Positions:
                return _ascending(labels_of(index, images, count))

            made = chain_of(FrameSource(self.records, self._shape), labels)
        return Images(self.session, made, self.metadata, self.records.inputs)

    def toBlocks(
        self,
        size: int | str | Sequence[int] = "150M",
        units: str = "pixels",
        padding: int | Sequence[int] = 0,
    ) -> Blocks:
        """``toImages().toBlocks(...)``: parts of the images with all times. Collective; lazy."""
        return self.toImages().toBlocks(size, units, padding)


def _ascending(labels: np.ndarray) -> Positions:
    """Labels as keys of images: as they are if they ascend from 0 or more, else from 0. Local."""
    steps = np.diff(labels, axis=0)
    if labels.ndim > 1 or labels[0] < 0 or (steps <= 0).any():
        return range(len(labels))
    if (steps == 1).all():
        return range(int(labels[0]), int(labels[-1]) + 1)
    return labels
