"""Methods of Images that tell how pixels go along with their neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.arguments import check_int, check_ints
from ..core.public import public
from ..core.text import quote
from ..spmd.actions import action
from .base import ImageMethods

__all__ = ["LocalCorrelation"]

# A box that goes so far beyond its centre has all pixels of any image.
MOST = 1 << 16


@public
class LocalCorrelation(ImageMethods):
    """Correlation over time of pixels with their neighbours."""

    @action
    def localCorr(
        self, neighborhood: int | Sequence[int] = 2, neighbors: int | None = None
    ) -> np.ndarray:
        """Correlation over time of each pixel with its neighbourhood. Collective; an action.

        The images are read once, unless the sums exceed half of the budget. They take 40 bytes a
        pixel of integers of at most 16 bits, and 72 bytes a pixel and level of the tree otherwise.

        Parameters
        ----------
        neighborhood : int or sequence of int
            n: each pixel is correlated with the mean of a box of 2 n + 1 by 2 n + 1 pixels, which
            contains it. The planes of volumes are taken one by one. A sequence has n for each axis
            of the images: of volumes the box then has pages, too. Beyond their borders images are
            reflected, as by ``scipy.ndimage.uniform_filter``.
        neighbors : {4, 8}, optional
            In place of a box: the mean of the correlations with each of the 4 or 8 neighbours in
            the plane (Smith and Häusser, Nature Neuroscience 13, 2010). A neighbour that is
            constant, not finite or outside of the image does not count.

        Returns
        -------
        ndarray of the images' dims
            float64, -1…1. NaN where a pixel or its neighbourhood is constant or not finite. For
            integers of at most 16 bits it is made of exact sums.

        Raises
        ------
        ValueError
            For a neighbourhood of no other pixel, one with another number of axes than the images
            have, both arguments, and for other `neighbors` than 4 or 8.
        MemoryError
            Where it would take more than 256 passes.

        Notes
        -----
        Thunder took 2 n + 1 for the box, too, and refused sequences.
        """
        from ..statistics.boxes import correlation_with_boxes
        from ..statistics.neighbours import correlation_with_neighbours

        several = not isinstance(neighborhood, int | np.integer)
        reach = (
            check_ints(neighborhood, "localCorr: neighborhood", 0)
            if several
            else (check_int(neighborhood, "localCorr: neighborhood", 0),)
        )
        if not any(reach):
            raise ValueError(
                "localCorr: neighborhood must be at least 1 along an axis, "
                f"got {quote(neighborhood)}"
            )
        if max(reach) > MOST:
            raise ValueError(
                f"localCorr: neighborhood must be at most {MOST}, got {quote(neighborhood)}"
            )
        count = None if neighbors is None else check_int(neighbors, "localCorr: neighbors")
        if count not in (None, 4, 8):
            raise ValueError(f"localCorr: neighbors must be 4 or 8, got {count}")
        if count is not None and reach != (2,):
            raise ValueError(
                f"localCorr: neighborhood={quote(neighborhood)} has no effect with "
                f"neighbors={count}; give one of the two"
            )
        begun, images = self.records.begin("localCorr", least=1)
        if count is not None:
            return correlation_with_neighbours(begun, images, count)
        return correlation_with_boxes(begun, images, reach, several)
