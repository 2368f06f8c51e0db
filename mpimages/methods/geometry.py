"""Methods of Images that choose pixels, or reduce an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_int, check_ints
from ..core.public import public
from ..core.text import quote
from ..engine.image_steps import Pixels, Projection
from .base import ImageMethods

__all__ = ["Geometry"]


@public
class Geometry(ImageMethods):
    """Methods that choose pixels of each image, or reduce an axis. Lazy."""

    def maxProjection(self, axis: int = 2) -> Self:
        """Maximum along an axis, in the images' dtype. Collective; lazy.

        Parameters
        ----------
        axis : int
            0 (rows), 1 (columns) or 2 (pages); negative ones count from the last.

        Raises
        ------
        ValueError
            Where the images have no such axis.
        """
        return self._project("max", axis)

    def minProjection(self, axis: int = 2) -> Self:
        """Minimum along an axis, in the images' dtype. As `maxProjection`."""
        return self._project("min", axis)

    def meanProjection(self, axis: int = 2) -> Self:
        """Mean along an axis, float64. As `maxProjection`."""
        return self._project("mean", axis)

    def sumProjection(self, axis: int = 2) -> Self:
        """Sum along an axis: int64 or uint64 for integers, float64 for floats.

        As `maxProjection`; the action raises OverflowError where 64 bits cannot hold a sum.
        """
        return self._project("sum", axis)

    def stdevProjection(self, axis: int = 2) -> Self:
        """Population standard deviation along an axis, float64. As `maxProjection`."""
        return self._project("stdev", axis)

    def maxminProjection(self, axis: int = 2) -> Self:
        """Maximum plus minimum along an axis, in a dtype in which it cannot wrap.

        Integers of 8 to 32 bits are widened to the next size; the action raises OverflowError
        where 64 bits cannot hold the sum. As `maxProjection`.
        """
        return self._project("maxmin", axis)

    def _project(self, kind: str, axis: int) -> Self:
        return self._then(Projection(kind, check_int(axis, "axis")))

    def planes(self, bottom: int | Sequence[int], top: int | None = None) -> Self:
        """Some planes of each volume; a single plane gives 2-D images. Collective; lazy.

        Parameters
        ----------
        bottom, top : int
            The first and the last plane, both included.
        bottom : sequence of int
            Alone: the planes themselves, in this order.

        Raises
        ------
        ValueError
            For 2-D images, ``bottom > top``, or planes that are not there.
        """
        index: slice | list[int] | int
        if top is None and isinstance(bottom, (list, tuple, range, np.ndarray)):
            wanted = list(check_ints(bottom, "planes"))
            index = wanted[0] if len(wanted) == 1 else wanted
        else:
            first = check_int(bottom, "planes")
            last = first if top is None else check_int(top, "planes")
            if first > last:
                raise ValueError(f"planes: bottom {first} is above top {last}")
            wanted = [first, last]
            index = first if first == last else slice(first, last + 1)
        dims = self.records.dims
        if dims is not None and len(dims) != 3:
            raise ValueError(f"planes needs volumes, but the images have dims {dims}")
        if not wanted or min(wanted) < 0 or (dims is not None and max(wanted) >= dims[2]):
            there = "" if dims is None else f": there are planes 0…{dims[2] - 1}"
            raise ValueError(f"planes: cannot take {quote(bottom)} to {quote(top)}{there}")
        return self._then(
            Pixels("planes", (slice(None), slice(None), index), (1, 1, max(wanted) + 1))
        )

    def subsample(self, factor: int | Sequence[int]) -> Self:
        """Every factor-th pixel along each axis, from 0. Collective; lazy.

        Parameters
        ----------
        factor : int, or one per axis
            An axis of n pixels keeps ceil(n / factor).
        """
        dims = self.records.dims
        each = isinstance(factor, (list, tuple, np.ndarray))
        factors = check_ints(factor if each else (factor,), "subsample: factor", 1)
        if each and dims is not None and len(factors) != len(dims):
            raise ValueError(f"subsample: {len(factors)} factors for images of dims {dims}")
        steps = tuple(slice(None, None, f) for f in factors)
        return self._then(Pixels("subsample", steps if each else steps[0]))

    def crop(self, minbound: Sequence[int], maxbound: Sequence[int]) -> Self:
        """The pixels of a box, minbound <= pixel < maxbound on each axis. Collective; lazy."""
        low = check_ints(minbound, "crop: minbound")
        high = check_ints(maxbound, "crop: maxbound")
        dims = self.records.dims
        if len(low) != len(high) or (dims is not None and len(low) != len(dims)):
            raise ValueError(f"crop: bounds {low} and {high} for images of dims {dims}")
        for axis, (a, b) in enumerate(zip(low, high, strict=True)):
            if not 0 <= a < b or (dims is not None and b > dims[axis]):
                raise ValueError(f"crop: [{a}, {b}) does not lie in axis {axis} of dims {dims}")
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return self._then(Pixels("crop", box, tuple(high)))
