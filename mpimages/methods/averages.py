"""Methods of Images that average over time or over regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_choice, check_int, checksum_of
from ..core.public import public
from ..engine.bins import BinSource, check_local
from ..engine.chain import Chain
from ..engine.runner import Records
from ..engine.selection import Settled
from ..spmd.actions import action
from ..spmd.agreement import allgather_rows
from .base import ImageMethods

__all__ = ["Averages"]


@public
class Averages(ImageMethods):
    """Averages over time, or over regions."""

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
        check_local(before.chain.source)
        images = Records(self.session, before.kind, before.chain, before.inputs)
        source = BinSource(images, number, how, remainder is not None)
        if before.count is not None:
            source.check_count(before.count)
        derived = self._derived(Chain.whole(source))
        interval = derived.metadata.get("frameInterval")
        if isinstance(interval, int | float):
            derived.metadata["frameInterval"] = interval * number
        return derived

    @action
    def meanByRegions(self, mask: np.ndarray | Sequence[Sequence[Sequence[int]]]) -> np.ndarray:
        """Mean over each of several regions of each image: ROI traces. Collective; an action.

        Parameters
        ----------
        mask : ndarray of the images' dims, or sequence of regions
            A boolean mask is one region; an integer mask has a region for each value but 0,
            in ascending order. A region in a sequence is a list of pixel coordinates.

        Returns
        -------
        (n, regions) float64 ndarray
        """
        from ..statistics.regions import region_means, regions_of

        begun, images = self.records.begin("meanByRegions", least=1)
        start, stop = images.partition.bounds(begun.comm.rank)
        means: np.ndarray | None = None
        pixels = regions_of(mask, images.dims) if isinstance(images, Settled) else None

        def measure(first: int, batch: np.ndarray) -> None:
            nonlocal means, pixels
            if pixels is None:
                pixels = regions_of(mask, batch.shape[1:])
            if means is None:
                means = np.empty((stop - start, len(pixels)))
            means[first - start : first - start + len(batch)] = region_means(batch, pixels)

        known = begun.stream(images, measure, checksum_of(mask))
        own = np.empty((0, 0))
        with begun.together():
            own = np.empty((0, len(regions_of(mask, known.dims)))) if means is None else means
        return allgather_rows(begun.comm, own, known.partition)
