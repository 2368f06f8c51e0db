"""Images on the screen: thin, local helpers over matplotlib, as in the tutorial."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .core.arguments import check_flag, check_int, check_number
from .core.public import public
from .core.text import quote

__all__ = ["Colorize"]

Limits = tuple[float, float] | None


# matplotlib makes an Axes for each cell of a grid, and a figure of at most 2**16 dots a side.
MOST_CELLS = 10_000
LONGEST_SIDE = 500


@public
class Colorize:
    """Show images that are plain arrays in this process' memory.

    Both methods are static and local: they know nothing of ranks. In a program of several
    ranks, compute on all of them and draw on one::

        img = data.stdev()          # collective: every rank
        if tsc.rank == 0:
            Colorize.image(img[:, :, 0])
    """

    @staticmethod
    def image(
        img: Any,
        cmap: Any = "gray",
        bar: bool = False,
        nans: bool = True,
        clim: Sequence[float] | None = None,
        size: float = 7,
        ax: Any = None,
    ) -> None:
        """Show one image, one square a pixel, without axes. Local.

        Parameters
        ----------
        img : (rows, columns) or (rows, columns, 3) array_like
            Integers, booleans or floats; with three values a pixel, red, green and blue
            in 0…1. It is not changed.
        cmap : str or matplotlib colormap
            Colours for a 2-D image.
        bar : bool
            Draw a colour bar beside a 2-D image.
        nans : bool
            Show NaN as 0; otherwise such pixels stay empty.
        clim : (low, high), optional
            The values at the ends of the colours; by default the least and greatest finite
            value of the image.
        size : float
            The longer side in inches of the figure that is made. Not used with `ax`.
        ax : matplotlib Axes, optional
            Where to draw. By default a new figure is made, which then is pyplot's current
            one: ``plt.savefig`` and ``plt.close`` act on it. A notebook closes its figures
            by itself; a script that draws many passes `ax` or closes each.

        Raises
        ------
        ValueError
            For any other shape, an empty image, RGB values outside 0…1, a colour bar or
            limits for an RGB image, or limits that are not two ascending numbers.
        TypeError
            For values that are not real numbers.
        """
        array = _checked(img, check_flag(nans, "nans"))
        bar = check_flag(bar, "bar")
        cmap = _colours(cmap)
        limits = _limits(clim, [array], bar)
        if ax is not None and not hasattr(ax, "imshow"):
            raise TypeError(f"ax must be matplotlib's Axes, got {quote(ax)}")
        if ax is None:
            ax = _figure(_longer(array.shape[:2], size)).add_subplot()
        drawn = _draw(ax, array, cmap, limits)
        if bar:
            # In this proportion the bar is about as tall as the image.
            fraction = 0.046 * min(max(array.shape[0] / array.shape[1], 0.25), 4)
            ax.figure.colorbar(drawn, ax=ax, fraction=fraction, pad=0.04)

    @staticmethod
    def tile(
        imgs: object,
        cmap: object = "gray",
        bar: bool = False,
        nans: bool = True,
        clim: Sequence[float] | None = None,
        grid: Sequence[int] | None = None,
        size: float = 9,
        axis: int = 0,
    ) -> None:
        """Show several images side by side in a new figure, on one colour scale. Local.

        Parameters
        ----------
        imgs : iterable of images, or 3-D ndarray
            Images as `image` takes them, which may differ in shape; a 3-D ndarray is cut
            along `axis`.
        cmap, nans
            As for `image`.
        bar : bool
            Draw one colour bar, for all.
        clim : (low, high), optional
            By default the least and greatest finite value of all images together, so that
            equal values look equal.
        grid : (rows, columns), optional
            By default as near to a square as the images need. Filled row by row; what is
            left over stays empty.
        size : float
            The longer side of the figure in inches.
        axis : int
            Along which axis a 3-D ndarray is cut.

        Raises
        ------
        ValueError
            For no images, a grid that does not hold them, an array that is not 3-D or has
            no such axis, or anything that `image` refuses.
        TypeError
            For values that are not real numbers.
        """
        nans, bar, cmap = check_flag(nans, "nans"), check_flag(bar, "bar"), _colours(cmap)
        arrays = [_checked(img, nans) for img in _cut(imgs, check_int(axis, "axis"))]
        limits = _limits(clim, arrays, bar)
        rows, columns = _grid(grid, len(arrays))
        tallest = max(array.shape[0] for array in arrays)
        widest = max(array.shape[1] for array in arrays)
        figure = _figure(_longer((rows * tallest, columns * widest), size))
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        drawn = [_draw(ax, array, cmap, limits) for ax, array in zip(axes, arrays, strict=False)]
        if bar:
            figure.colorbar(drawn[0], ax=list(axes), fraction=0.046, pad=0.04)
        else:
            figure.subplots_adjust(0.01, 0.01, 0.99, 0.99, wspace=0.04, hspace=0.04)


def _colours(cmap: object) -> Any:
    """A colour map or the name of one. matplotlib takes 3, too, and forgets it."""
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    if cmap is None or isinstance(cmap, Colormap):
        return cmap
    if not isinstance(cmap, str):
        raise TypeError(f"cmap must be a colour map or the name of one, got {quote(cmap)}")
    if cmap not in colormaps:
        raise ValueError(f"cmap={quote(cmap)} is not the name of a colour map")
    return cmap


def _checked(img: object, nans: bool) -> np.ndarray:
    """The image as an array that imshow draws without a complaint."""
    try:
        array = np.asarray(img)
    except Exception as error:  # of any type: it is the argument that is asked for its items
        raise TypeError(f"no image can be made of {quote(img)}: {error}") from None
    if array.dtype.kind not in "buif":
        raise TypeError(f"an image has real numbers, this one has dtype {array.dtype}")
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] == 3):
        raise ValueError(
            f"an image is (rows, columns) or (rows, columns, 3), this array is {array.shape}; "
            "show one plane of a volume, img[:, :, 0], or all of them by Colorize.tile"
        )
    if array.size == 0:
        raise ValueError(f"an image of shape {array.shape} has no pixels")
    if array.dtype.kind == "b":
        array = array.astype(np.uint8)
    elif array.dtype == np.longdouble:  # matplotlib warns where it has to do this itself
        array = array.astype(np.float64)
    missing = np.isnan(array)
    if nans and missing.any():
        array = np.where(missing, array.dtype.type(0), array)
    return _with_alpha(array) if array.ndim == 3 else array


def _with_alpha(array: np.ndarray) -> np.ndarray:
    """RGB as float RGBA, transparent where a colour is NaN."""
    missing = np.isnan(array)
    colours = np.where(missing, 0, array).astype(np.float64)
    low, high = colours.min(), colours.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"an image's RGB values lie in 0 to 1, here they go from {low:g} to {high:g}"
        )
    return np.dstack([colours, ~missing.any(axis=2)])


def _limits(clim: Sequence[float] | None, arrays: list[np.ndarray], bar: bool) -> Limits:
    """The values at the two ends of the colours; None for RGB."""
    colour = any(array.ndim == 3 for array in arrays)
    if colour and (bar or clim is not None):
        raise ValueError("an RGB image shows its own colours: it has no colour bar and no clim")
    if clim is not None:
        low, high = _pair(clim, "clim is (low, high), two numbers")
        low, high = check_number(low, "clim: low"), check_number(high, "clim: high")
        if not (low <= high and math.isfinite(high - low)):
            raise ValueError(f"clim is (low, high), ascending and finite, got {quote(clim)}")
        return low, high
    grey = [array for array in arrays if array.ndim == 2]
    return _span(grey) if grey else None


def _span(arrays: list[np.ndarray]) -> tuple[float, float]:
    spans = [a[np.isfinite(a)] if a.dtype.kind == "f" else a for a in arrays]
    spans = [span for span in spans if span.size]
    if not spans:
        return 0.0, 1.0
    return float(min(s.min() for s in spans)), float(max(s.max() for s in spans))


def _pair(given: Any, meaning: str) -> tuple[Any, Any]:
    try:
        if isinstance(given, str | bytes):
            raise TypeError
        first, second = given
    except Exception:  # of any type: it is the argument that is asked for its items
        raise ValueError(f"{meaning}, got {quote(given)}") from None
    return first, second


def _cut(imgs: object, axis: int) -> list[Any]:
    """The single images."""
    if isinstance(imgs, np.ndarray):
        if imgs.ndim != 3:
            raise ValueError(
                f"an array of images is 3-D, this one is {imgs.shape}; "
                "pass a list for images of other kinds"
            )
        if not -3 <= axis < 3:
            raise ValueError(f"axis {axis} is out of range: the array has 3 axes, {imgs.shape}")
        images = list(np.moveaxis(imgs, axis, 0))
    elif isinstance(imgs, Iterable) and not isinstance(imgs, (str, bytes, dict)):
        try:
            # What is an array in other words says so itself; Images refuse: this is local.
            images = list(np.asarray(imgs) if hasattr(imgs, "__array__") else imgs)
        except Exception as error:  # of any type: it is the argument that is asked
            raise TypeError(f"imgs: {quote(imgs)} cannot be listed: {error}") from None
    else:
        raise TypeError(f"imgs must be a list of images or a 3-D array, got {quote(imgs)}")
    if not images:
        raise ValueError("there are no images to show")
    return images


def _grid(grid: Sequence[int] | None, count: int) -> tuple[int, int]:
    if grid is None:
        columns = math.isqrt(count - 1) + 1  # the square root, rounded up
        return -(-count // columns), columns
    rows, columns = _pair(grid, "grid is (rows, columns)")
    rows, columns = check_int(rows, "grid: rows"), check_int(columns, "grid: columns")
    if rows < 1 or columns < 1 or rows * columns < count:
        raise ValueError(f"a grid of {rows} x {columns} does not hold {count} images")
    if rows * columns > max(MOST_CELLS, count):
        raise ValueError(f"a grid of {rows} x {columns} is too large to be drawn")
    return rows, columns


def _longer(shape: Sequence[int], size: float) -> tuple[float, float]:
    """Width and height in inches: the image's own proportions, within 1 : 4."""
    if not 0 < check_number(size, "size") <= LONGEST_SIDE:
        raise ValueError(f"size is the figure's longer side in inches, got {quote(size)}")
    rows, columns = shape
    longer = max(rows, columns)
    return size * max(0.25, columns / longer), size * max(0.25, rows / longer)


def _figure(inches: tuple[float, float]) -> Any:
    import matplotlib.pyplot as plt

    return plt.figure(figsize=inches)


def _draw(ax: Any, array: np.ndarray, cmap: Any, limits: Limits) -> Any:
    low, high = limits if limits is not None else (None, None)
    drawn = ax.imshow(array, cmap=cmap, vmin=low, vmax=high, interpolation="none")
    ax.axis("off")
    return drawn
