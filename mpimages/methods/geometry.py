"""Methods of Images that choose pixels, reduce an axis, bin pixels or add a border."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_choice, check_each, check_int, check_ints, check_number
from ..core.public import public
from ..core.text import quote
from ..engine.geometry import PADDINGS, Bin, Pad
from ..engine.image_steps import Pixels, Projection
from .base import ImageMethods

__all__ = ["Geometry"]

# Pixels that a border may have at most on each side.
WIDEST = 1 << 20


@public
class Geometry(ImageMethods):
    """Methods that choose pixels, reduce an axis, bin pixels or add a border. Lazy."""

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

    def bin(
        self, factor: int | Sequence[int], how: str = "mean", remainder: str | None = None
    ) -> Self:
        """Make one pixel of each block of neighbouring ones. Collective; lazy.

        Parameters
        ----------
        factor : int, or one per axis
            How many pixels a block has along each axis: ``(2, 2, 1)`` leaves the planes of volumes
            as they are.
        how : {'mean', 'sum'}
            What the result is of a block's pixels.
        remainder : {'drop'}, optional
            Leave out pixels at the end of an axis that do not fill a block. By default they are an
            error.

        Returns
        -------
        Images
            With pixels as many times larger (``metadata['pixelSize']``). Sums of integers are
            exact, int64 or uint64; their means are correctly rounded. Floats are summed in float64,
            which is the dtype of their sums. A mean is float32 where the images are integers of at
            most 16 bits, float16 or float32, else float64.

        Raises
        ------
        ValueError
            Where an axis has fewer pixels than a block, or does not fill the last one.
        OverflowError
            By the action, where 64 bits cannot hold a sum.
        """
        factors = check_each(factor, "bin: factor", 1)
        check_choice(how, "bin: how", ("mean", "sum"))
        if remainder is not None:
            check_choice(remainder, "bin: remainder", ("drop",))
        return self._then(Bin(factors, how, remainder is not None))

    def pad(
        self,
        width: int | Sequence[int | tuple[int, int]],
        mode: str = "constant",
        value: float | None = None,
    ) -> Self:
        """Add a border to each image, in the images' dtype. Collective; lazy.

        Parameters
        ----------
        width : int, or one per axis
            How many pixels are added on either side of each axis. For an axis it may be a pair
            (before, after): ``[(0, 1), (2, 2)]``.
        mode : {'constant', 'edge', 'reflect', 'symmetric'}
            What the border has, as in NumPy's ``pad``: one value, the outermost pixel, or the
            image's mirror image, without the outermost pixel or with it.
        value : number, optional
            For mode 'constant'; by default 0.

        Raises
        ------
        ValueError
            Where the images' dtype cannot hold the value.
        TypeError
            For a value in another mode.
        """
        widths = _widths(width)
        check_choice(mode, "pad: mode", PADDINGS)
        if value is not None and mode != "constant":
            raise TypeError(f"pad: value is for mode 'constant', and has no effect in {mode!r}")
        number: float = 0
        if value is not None:
            number = check_number(value, "pad: value")
            if isinstance(value, int | np.integer):  # a float would round large ones
                number = int(value)
        return self._then(Pad(widths, mode, number))


def _widths(width: object) -> int | tuple[tuple[int, int], ...]:
    """Return the border's width: one for all sides, or a pair for each axis. Local."""
    name = "pad: width"
    if not isinstance(width, list | tuple | np.ndarray):
        width = check_int(width, name, 0)
    given = [check_each(part, name, 0) for part in ([width] if isinstance(width, int) else width)]
    pairs = [(part, part) if isinstance(part, int) else part for part in given]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"{name} must be an integer, or for each axis one or a pair (before, after), got "
            f"{quote(width)}"
        )
    if max(map(max, pairs)) > WIDEST:
        raise ValueError(f"{name} must be at most {WIDEST}, got {quote(width)}")
    return width if isinstance(width, int) else tuple((pair[0], pair[1]) for pair in pairs)
