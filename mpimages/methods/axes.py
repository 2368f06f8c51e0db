"""Methods of Images that turn them, or arrange their pixels in other dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_each, check_int, check_ints
from ..core.public import public
from ..core.text import quote
from ..engine.geometry import Rearrange, Reshape
from ..engine.image_steps import Pixels
from .base import ImageMethods

__all__ = ["Axes"]

# Axes that images may have.
MOST_AXES = 4


@public
class Axes(ImageMethods):
    """Methods that turn each image, or arrange its pixels in other dims. Lazy; no value changes.

    Nothing is copied where a view is enough. ``metadata['pixelSize']`` follows its axes.
    """

    def flip(self, axis: int | Sequence[int]) -> Self:
        """Each image with one axis reversed, or several. Collective; lazy.

        Parameters
        ----------
        axis : int, or sequence of int
            0 (rows), 1 (columns) or 2 (pages); negative ones count from the last.

        Raises
        ------
        ValueError
            Where the images have no such axis, or one is named twice.
        """
        axes = check_each(axis, "flip: axis")
        return self._then(Rearrange("flip", flipped=(axes,) if isinstance(axes, int) else axes))

    def rotate(self, times: int = 1) -> Self:
        """Each image turned by quarter turns in its plane, counterclockwise. Collective; lazy.

        Parameters
        ----------
        times : int
            How many quarter turns; negative ones are clockwise. As in NumPy's ``rot90``.

        Notes
        -----
        Rows are drawn from the top down, as is usual. Other angles would need new values between
        pixels: ``apply`` with ``scipy.ndimage.rotate`` finds them.
        """
        turns = check_int(times, "rotate: times") % 4
        axes = (1, 0) if turns % 2 else (0, 1)
        flipped: tuple[int, ...] = ((), (0,), (0, 1), (1,))[turns]
        return self._then(Rearrange("rotate", axes, flipped))

    def transpose(self, *axes: int) -> Self:
        """Each image with its axes in another order. Collective; lazy.

        Parameters
        ----------
        *axes : int
            The images' axes in the order in which the results have them, each once; also as one
            sequence. By default in reverse order.

        Raises
        ------
        ValueError
            Where these are not the axes of the images.
        """
        if not axes:
            return self._then(Rearrange("transpose", None))
        order = check_ints(_spread(axes), "transpose: axes")
        if not 1 <= len(order) <= MOST_AXES:
            raise ValueError(f"transpose: axes must be those of the images, got {quote(axes)}")
        return self._then(Rearrange("transpose", order))

    def squeeze(self) -> Self:
        """Each image without its axes of length 1. Collective; lazy.

        Raises
        ------
        ValueError
            Where all axes have length 1: an image keeps one.
        """
        dims = self.records.dims
        if dims is None or all(n == 1 for n in dims):
            return self._then(Reshape("squeeze", None))
        return self._then(Pixels("squeeze", tuple(0 if n == 1 else slice(None) for n in dims)))

    def reshape(self, *dims: int) -> Self:
        """The pixels of each image in other dims, in C order. Collective; lazy.

        The number of images stays: their own axis is not among `dims`. The results'
        ``metadata['pixelSize']`` is unknown.

        Parameters
        ----------
        *dims : int
            1 to 4 of them, also as one sequence. One may be -1: as many as there are pixels for.

        Raises
        ------
        ValueError
            Where the images have another number of pixels.
        """
        shape = check_ints(_spread(dims), "reshape: dims", -1)
        if not 1 <= len(shape) <= MOST_AXES or 0 in shape or shape.count(-1) > 1:
            raise ValueError(
                f"reshape: dims must be 1 to {MOST_AXES} lengths, at most one of them -1, got "
                f"{quote(shape)}"
            )
        return self._then(Reshape("reshape", shape))


def _spread(given: tuple[object, ...]) -> object:
    """Return what was given as one sequence, or as arguments of their own. Local."""
    if len(given) == 1 and isinstance(given[0], list | tuple | np.ndarray):
        return given[0]
    return given
