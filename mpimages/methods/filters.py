"""Methods of Images that filter each image in space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np

from ..core.arguments import check_each, check_number
from ..core.public import public
from ..core.text import quote
from ..engine.filters import MOST, MOST_AMONG, TRUNCATE, Gaussian, Median, Uniform
from .base import ImageMethods

__all__ = ["Filters"]

# The narrowest and the widest Gaussian, in pixels: of a narrower one the weight of neighbours is 0.
TINIEST, WIDEST = 1e-3, MOST / (2 * TRUNCATE)
# The highest derivative.
HIGHEST = 3


@public
class Filters(ImageMethods):
    """Filters of each image in space, by its own pixels alone. Lazy.

    One number is for rows and columns: volumes are filtered plane by plane. A sequence has a number
    for each axis, and filters volumes along all of them.

    Beyond its borders an image goes on as its mirror image, with the outermost pixels repeated:
    'reflect' in SciPy, 'symmetric' in NumPy.
    """

    def gaussianFilter(
        self, sigma: float | Sequence[float] = 2, order: int | Sequence[int] = 0
    ) -> Self:
        """Smooth each image by a Gaussian, or take derivatives of it. Collective; lazy.

        Parameters
        ----------
        sigma : number, or one per axis
            The standard deviation in pixels, for rows and columns or for each axis; 0 leaves an
            axis as it is. The Gaussian is cut off at four times as much.
        order : int, or one per axis
            0 smooths; 1, 2 or 3 is the derivative of the Gaussian, along each axis with a sigma.

        Returns
        -------
        Images
            float32 where the images are integers of at most 16 bits, float16 or float32, else
            float64. Each line is computed in float64, along one axis after the other.

        Raises
        ------
        ValueError
            For a sigma below 0, not finite or above 1250, another order, and sequences of another
            length than the images have axes.

        Notes
        -----
        As ``scipy.ndimage.gaussian_filter`` with these dtypes as output. Thunder gave integers,
        whose fractions it cut off.
        """
        given = _numbers(sigma, "gaussianFilter: sigma")
        sigmas = given if isinstance(given, tuple) else (given,)
        for number in sigmas:
            if number != 0 and not TINIEST <= number <= WIDEST:
                raise ValueError(
                    f"gaussianFilter: sigma must be 0, or {TINIEST:g} to {WIDEST:g} pixels, got "
                    f"{quote(sigma)}"
                )
        orders = check_each(order, "gaussianFilter: order", 0)
        if max(orders if isinstance(orders, tuple) else (orders,)) > HIGHEST:
            raise ValueError(f"gaussianFilter: order must be 0 to {HIGHEST}, got {quote(order)}")
        if orders and isinstance(orders, int) and not any(sigmas):
            raise ValueError(f"gaussianFilter: order {orders} has no effect where sigma is 0")
        return self._then(Gaussian(given, orders))

    def uniformFilter(self, size: int | Sequence[int] = 2) -> Self:
        """Mean over a window around each pixel. Collective; lazy.

        Parameters
        ----------
        size : int, or one per axis
            The window's length in pixels, for rows and columns or for each axis; 1 leaves an axis
            as it is. Of an even one, a pixel more lies before the centre than behind it.

        Returns
        -------
        Images
            float32 where the images are integers of at most 16 bits, float16 or float32, else
            float64. Each line is computed in float64, along one axis after the other.

        Raises
        ------
        ValueError
            For a size below 1 or above 10,000, and for a sequence of another length than the images
            have axes.

        Notes
        -----
        As ``scipy.ndimage.uniform_filter`` with these dtypes as output; but a NaN or an infinite
        value changes the windows that contain it, not all that follow. Thunder gave integers, whose
        fractions it cut off.
        """
        return self._then(Uniform(_size(size, "uniformFilter: size")))

    def medianFilter(self, size: int | Sequence[int] = 2) -> Self:
        """Median over a window around each pixel, in the images' dtype. Collective; lazy.

        Parameters
        ----------
        size : int, or one per axis
            As in `uniformFilter`. Of an even number of pixels the median is the upper one of the
            two in the middle, as in SciPy.

        Raises
        ------
        ValueError
            As in `uniformFilter`, and for windows of more than 10,000 pixels.

        Notes
        -----
        As ``scipy.ndimage.median_filter``. NaN counts as greater than all numbers, and -0.0 as less
        than 0.0.
        """
        sizes = _size(size, "medianFilter: size")
        among = math.prod(sizes) if isinstance(sizes, tuple) else sizes * sizes
        if among > MOST_AMONG:
            raise ValueError(
                f"medianFilter: size {quote(size)} is a window of {among} pixels; there may be "
                f"{MOST_AMONG}"
            )
        return self._then(Median(sizes))


def _size(value: object, name: str) -> int | tuple[int, ...]:
    """Return the length of a window, for rows and columns or for each axis. Local."""
    size = check_each(value, name, 1)
    if max(size if isinstance(size, tuple) else (size,)) > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {quote(value)}")
    return size


def _numbers(value: object, name: str) -> float | tuple[float, ...]:
    """Return a number, or a tuple of numbers for each axis. Local."""
    if not isinstance(value, list | tuple | np.ndarray):
        return check_number(value, name)
    numbers = tuple(check_number(one, name) for one in value)
    if not numbers:
        raise ValueError(f"{name} must be a number, or one for each axis, got {quote(value)}")
    return numbers
