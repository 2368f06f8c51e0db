"""Methods of Images that average over time, around events, or over regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from ..core.arguments import check_choice, check_flag, check_index, check_int, checksum_of
from ..core.public import public
from ..engine.bin_source import BinSource
from ..engine.chain import Chain, Shape
from ..engine.derived_source import check_local
from ..engine.selection import Settled, places_of
from ..spmd import memory_limit
from ..spmd.actions import action
from ..spmd.agreement import allgather_rows
from .base import ImageMethods

if TYPE_CHECKING:
    from ..statistics.regions import Regions

__all__ = ["Averages"]


@public
class Averages(ImageMethods):
    """Averages over time, around events, or over regions."""

    def timeBin(self, n: int, how: str = "mean", remainder: str | None = None) -> Self:
        """Make one image of n successive ones. Collective; lazy.

        The results' keys count from 0, and ``metadata['frameInterval']`` is n times as long. The
        images of a bin are summed in their order, integers exactly.

        Parameters
        ----------
        n : int
            From 1 on.
        how : {'mean', 'sum'}
            What the result is of the n images, pixel by pixel.
        remainder : {'drop'}, optional
            Leave out images at the end that do not fill a bin. By default they are an error.

        Returns
        -------
        Images
            A mean is float32 where the images are integers of at most 16 bits, float16 or float32,
            else float64. A sum is int64 or uint64 for integers, float64 for floats.

        Raises
        ------
        ValueError
            Where the images are fewer than n, or do not fill the last bin. After a `filter`, or an
            `apply` whose result is not declared, an action raises it: the number of bins is then
            not known before. Where the images are made of series or blocks and are not cached.
        OverflowError
            By the action, where 64 bits cannot hold a sum.

        Notes
        -----
        Of images in files or in an example each rank has whole bins. Of images in memory (`cache`,
        ``loadImagesFromArray``) a bin may begin on another rank than it ends: one image, the sum so
        far, is then handed on in each pass.
        """
        number = check_int(n, "timeBin: n", 1)
        check_choice(how, "timeBin: how", ("mean", "sum"))
        if remainder is not None:
            check_choice(remainder, "timeBin: remainder", ("drop",))
        before = self.records
        check_local(before.chain.source, "timeBin")
        images = before.on(before.chain)
        source = BinSource(images, number, how, remainder is not None)
        if before.count is not None:
            source.check_count(before.count)
        derived = self._derived(Chain.whole(source))
        interval = derived.metadata.get("frameInterval")
        if isinstance(interval, int | float):
            derived.metadata["frameInterval"] = interval * number
        return derived

    @action
    def meanByRegions(
        self,
        mask: np.ndarray | Sequence[Sequence[Sequence[int]]],
        weights: np.ndarray | Sequence[Sequence[float]] | None = None,
        excludeOverlaps: bool = False,
    ) -> np.ndarray:
        """Mean over each of several regions of each image: ROI traces. Collective; an action.

        Parameters
        ----------
        mask : ndarray of the images' dims, or sequence of regions
            A boolean mask is one region; an integer mask has a region for each value but 0,
            in ascending order. A region in a sequence is a list of pixel coordinates; a pixel that
            is listed twice counts twice.
        weights : ndarray of the images' dims, or sequence with a list of numbers for each region
            Of each pixel: the mean is then that of the weighted pixels. None below 0. Of regions
            that are pairs of coordinates and weights: ``mask, weights = zip(*regions)``.
        excludeOverlaps : bool
            Leave out the pixels that lie in more than one region. What has no pixel left is NaN.

        Returns
        -------
        (n, regions) float64 ndarray

        Raises
        ------
        ValueError, TypeError
            Where the regions or weights are not as above, or lie outside the images.
        MemoryError
            Where the result exceeds the budget.

        Notes
        -----
        A mean of integers of at most 32 bits is that of their exact sum. Each image is measured by
        itself, in the order of the region's pixels.
        """
        from ..statistics.regions import region_means, regions_of

        exclude = check_flag(excludeOverlaps, "meanByRegions: excludeOverlaps")
        begun, images = self.records.begin("meanByRegions", least=1)
        start, stop = images.partition.bounds(begun.comm.rank)
        means: np.ndarray | None = None
        regions: Regions | None = None

        def find(dims: Shape) -> Regions:
            found = regions_of(mask, dims, weights, exclude)
            memory_limit.check_fits(
                8 * images.count * len(found.pixels) * (1 if begun.comm.size == 1 else 2),
                begun.memory,
                begun.name,
                "take fewer images or regions, or give the context more with memory=",
            )
            return found

        def measure(first: int, batch: np.ndarray) -> None:
            nonlocal means, regions
            if regions is None:
                regions = find(batch.shape[1:])
            if means is None:
                means = np.empty((stop - start, len(regions.pixels)))
            means[first - start : first - start + len(batch)] = region_means(batch, regions)

        if isinstance(images, Settled):
            regions = find(images.dims)
        if regions is None:
            given: object = (checksum_of(mask), checksum_of(weights), exclude)
        else:
            given = regions.checksum
        known = begun.stream(images, measure, given)
        own = np.empty((0, 0))
        with begun.together():
            own = np.empty((0, len(find(known.dims).pixels))) if means is None else means
        return allgather_rows(begun.comm, own, known.partition)

    @action
    def meanByWindow(self, indices: Sequence[int], window: int) -> np.ndarray:
        """Mean around several events: an event-triggered average. Collective; an action.

        Image i of the result is the mean of the images with the keys
        ``c - window // 2 + i``, over all events c. It is that of `TimeSeries.meanByWindow` for each
        pixel, without the exchange that makes a Series.

        Parameters
        ----------
        indices : sequence of int
            The key of the image at each event. Events may be close to each other: an image then
            belongs to several windows. One that is given twice counts twice.
        window : int
            How many images: those with keys from ``c - window // 2`` to
            ``c + window // 2 + window % 2``, the last one not included.

        Returns
        -------
        (window,) + dims float64 ndarray
            Of integers, the mean of the exact sum; of floats, the same bits as the `mean` of these
            images alone.

        Raises
        ------
        ValueError
            Where a window reaches beyond the images, or a filter has left out some of its images.
        MemoryError
            Where the result exceeds the budget.

        Notes
        -----
        The images are read once. Where the sums of all lags exceed half of the budget, they are
        read several times, each time for a band of pixels.
        """
        from ..statistics.groups import Groups, group_means

        events = check_index(indices, "meanByWindow: indices")
        length = check_int(window, "meanByWindow: window", 1)
        begun, images = self.records.begin("meanByWindow", least=1)
        memory_limit.check_fits(
            8 * len(events) * length,
            begun.memory,
            begun.name,
            "take fewer events or a smaller window",
        )
        low, high = int(images.keys[0]), int(images.keys[-1])
        for event in (int(events.min()), int(events.max())):  # before numbers of 64 bits overflow
            if event - length // 2 < low or event + (length - 1) // 2 > high:
                raise ValueError(
                    f"meanByWindow: the window of {length} images around the event {event} reaches "
                    f"beyond the images with keys {low}…{high}"
                )
        wanted = events - length // 2 + np.arange(length)[:, np.newaxis]
        places = places_of(images.keys, wanted)
        if (places < 0).any():
            missing = int(wanted[places < 0].min())
            raise ValueError(
                f"meanByWindow: a window needs the image with key {missing}, which a filter has "
                "left out"
            )
        begun.together((events.tolist(), length)).agree()
        return group_means(begun, images, Groups.of(list(places)))

    @action
    def meanByLabel(self, labels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the images of each label, such as a stimulus. Collective; an action, in one pass.

        Parameters
        ----------
        labels : sequence of int
            One for each image, in the order of the keys.

        Returns
        -------
        labels : (k,) int64 ndarray
            Those that there are, ascending.
        means : (k,) + dims float64 ndarray
            As `meanByWindow` has them.

        Raises
        ------
        ValueError
            Where the labels are not as many as the images.
        MemoryError
            Where the result exceeds the budget.
        """
        from ..statistics.groups import Groups, group_means

        given = check_index(labels, "meanByLabel: labels")
        begun, images = self.records.begin("meanByLabel", least=1)
        if len(given) != images.count:
            raise ValueError(f"meanByLabel: {len(given)} labels for {images.count} images")
        found, group = np.unique(given, return_inverse=True)
        order = np.argsort(group, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(group))[:-1])
        begun.together(checksum_of(given)).agree()
        return found, group_means(begun, images, Groups.of(members))
