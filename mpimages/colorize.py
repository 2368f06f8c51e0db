"""Images on the screen, and images as colours: local helpers, as in the tutorial."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .core.arguments import as_array, check_flag, check_int, check_number
from .core.public import public
from .core.rgb import CHANNELS, coloured, from_hsv
from .core.text import quote

__all__ = ["Colorize"]

Limits = tuple[float, float] | None


# matplotlib makes an Axes for each cell of a grid, and a figure of at most 2**16 dots a side.
MOST_CELLS = 10_000
LONGEST_SIDE = 500

# What colours far apart are worth beside such that are right: a correlation alone has no scale.
APART = 0.5


@public
class Colorize:
    """Show images that are plain arrays in this process' memory, or make colours of them.

    All methods are local: they know nothing of ranks. In a program of several ranks, compute on
    all of them and draw on one::

        img = data.stdev()          # collective: every rank
        if tsc.rank == 0:
            Colorize.image(img[:, :, 0])

    `image`, `tile`, `blend` and `optimize` are static. An instance is a way to make colours of
    numbers, for `transform`.

    Parameters
    ----------
    cmap : str or matplotlib colormap
        ``'rgb'``, ``'hsv'``, ``'hv'`` (hue and value, at a saturation of 0.8), ``'polar'`` (the
        angle of two channels is the hue, their length the value), ``'angle'`` (of these the angle
        alone), ``'indexed'`` (a colour for each channel; a pixel is the greatest of its colours,
        each times its channel), or a map of matplotlib, whose ends are `vmin` and `vmax`.
    scale : float
        By which values are multiplied; with ``'hsv'``, ``'hv'`` and ``'polar'`` brightness alone.
    colors : sequence of colours
        For ``'indexed'``: names that matplotlib knows, or (red, green, blue) in 0…1.
    vmin, vmax : float, optional
        For maps of matplotlib, after scaling; by default the least and greatest finite value.

    Raises
    ------
    ValueError
        For unknown maps and colours, a scale that is not finite, and what has no effect.
    """

    def __init__(
        self,
        cmap: Any = "rainbow",
        scale: float = 1,
        colors: Sequence[Any] | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> None:
        if cmap is None:
            raise TypeError("cmap must be a colour map or the name of one, got None")
        own = isinstance(cmap, str) and (cmap in CHANNELS or cmap == "indexed")
        self.cmap = cmap if own else _colours(cmap)
        self.scale = check_number(scale, "scale")
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be finite, got {quote(scale)}")
        if (colors is None) == (own and cmap == "indexed"):
            raise ValueError(
                "colors: cmap='indexed' needs one for each channel"
                if colors is None
                else "colors has an effect with cmap='indexed' alone"
            )
        self.colors = None if colors is None else _rgb_of(colors)
        for end, name in ((vmin, "vmin"), (vmax, "vmax")):
            if end is not None and own:
                raise ValueError(f"{name} has no effect with cmap={quote(cmap)}; use scale")
            if end is not None and not math.isfinite(check_number(end, name)):
                raise ValueError(f"{name} must be finite, got {quote(end)}")
        self.vmin = None if vmin is None else float(vmin)
        self.vmax = None if vmax is None else float(vmax)
        if self.vmin is not None and self.vmax is not None and self.vmin > self.vmax:
            raise ValueError(f"vmin must be at most vmax, got {vmin:g} and {vmax:g}")

    def transform(
        self, img: Any, mask: Any = None, background: Any = None, mixing: float = 1.0
    ) -> np.ndarray:
        """Return the colours of an image or a volume. Local.

        Parameters
        ----------
        img : array_like
            (rows, columns[, pages]); for the maps of channels with an axis of these in front: 3
            for ``'rgb'`` and ``'hsv'``, 2 for ``'hv'``, ``'polar'`` and ``'angle'``, one for each
            colour for ``'indexed'``. NaN counts as 0.
        mask : array_like, optional
            (rows, columns[, pages]), not negative: colours are multiplied by mask / its maximum.
        background : array_like, optional
            The same, or with colours on a last axis: background / its maximum * mixing is added.
        mixing : float
            How much of the background; not negative.

        Returns
        -------
        (rows, columns[, pages], 3) float64 ndarray
            Red, green and blue in 0…1.

        Raises
        ------
        ValueError
            For other shapes, a mask or a background that is negative or not finite, and a `mixing`
            without a background.
        TypeError
            For values that are not real numbers.
        """
        mixing = check_number(mixing, "mixing")
        if not 0 <= mixing < math.inf:
            raise ValueError(f"mixing must be from 0 on and finite, got {mixing:g}")
        if background is None and mixing != 1:
            raise ValueError("mixing has no effect without a background")
        values = _real(img, "img")
        colours = self._of(np.where(np.isnan(values), 0, values))
        if mask is not None:
            colours = colours * _share(mask, "mask", colours.shape[:-1])[..., np.newaxis]
        if background is not None:
            ground = _real(background, "background")
            own = ground.ndim == colours.ndim
            added = _share(ground, "background", colours.shape if own else colours.shape[:-1])
            colours = colours + mixing * (added if own else added[..., np.newaxis])
        return _cut_off(colours)

    def _of(self, values: np.ndarray) -> np.ndarray:
        """Colours of finite or infinite numbers."""
        if isinstance(self.cmap, str) and self.cmap in CHANNELS:
            return coloured(
                self.cmap, _channels(values, self.cmap, CHANNELS[self.cmap]), self.scale
            )
        if self.colors is not None:
            channels = _channels(values, self.cmap, len(self.colors)) * self.scale
            parts = zip(_cut_off(channels), self.colors, strict=True)
            found = [channel[..., np.newaxis] * colour for channel, colour in parts]
            return np.asarray(np.max(found, axis=0))
        if values.ndim not in (2, 3) or not values.size:
            raise ValueError(f"img must be (rows, columns[, pages]), its shape is {values.shape}")
        from matplotlib import colormaps

        values = values * self.scale
        low, high = _span([values])
        low = low if self.vmin is None else self.vmin
        high = high if self.vmax is None else self.vmax
        place = np.clip(values, low, high) - low
        if high > low:
            place /= high - low
        drawn = colormaps[self.cmap] if isinstance(self.cmap, str) else self.cmap
        return np.asarray(drawn(place)[..., :3], dtype=np.float64)

    @staticmethod
    def blend(
        img: Any, mask: Any, op: Callable[[np.ndarray, np.ndarray], np.ndarray] = operator.add
    ) -> np.ndarray:
        """Return one image of two, both in colours. Local.

        Parameters
        ----------
        img : (rows, columns[, pages], 3) array_like
        mask : array_like of that shape
            Of volumes it may be (rows, columns, 3): the same for all pages.
        op : callable
            op(img, mask) for arrays of float64 of one shape.

        Returns
        -------
        float64 ndarray of img's shape
            Cut to 0…1.

        Raises
        ------
        ValueError
            For other shapes, also of what `op` returns.
        TypeError
            For values that are not real numbers, and an `op` that is no function.
        """
        base, other = _real(img, "img"), _real(mask, "mask")
        if base.ndim not in (3, 4) or base.shape[-1] != 3:
            raise ValueError(
                f"img must be (rows, columns[, pages], 3), red, green and blue; got {base.shape}"
            )
        if base.ndim == 4 and other.shape == (*base.shape[:2], 3):
            other = np.broadcast_to(other[:, :, np.newaxis], base.shape)
        if other.shape != base.shape:
            raise ValueError(f"mask has shape {other.shape}, and img {base.shape}")
        if not callable(op):
            raise TypeError(f"op must be a function of two arrays, got {quote(op)}")
        found = _real(op(base, other), "what op returns")
        if found.shape != base.shape:
            raise ValueError(f"op must return shape {base.shape}, it gave {found.shape}")
        return _cut_off(found)

    @staticmethod
    def optimize(mat: Any, asCmap: bool = False) -> Any:
        """Return a colour for each row of a matrix: alike where the rows are alike. Local.

        The cosine distances between colours are made to correlate with those between rows, by
        L-BFGS-B from a fixed start, and are kept large.

        Parameters
        ----------
        mat : (n, m) array_like
            At least 3 rows, finite, none of zeros alone.
        asCmap : bool
            Return a map of matplotlib.

        Returns
        -------
        (n, 3) float64 ndarray, or matplotlib.colors.ListedColormap
            Red, green and blue in 0…1.

        Raises
        ------
        ValueError
            For other matrices.
        TypeError
            For values that are not real numbers.
        """
        asCmap, rows = check_flag(asCmap, "asCmap"), _real(mat, "mat")
        if rows.ndim != 2 or len(rows) < 3 or not np.isfinite(rows).all():
            raise ValueError(f"mat must have 3 finite rows or more, its shape is {rows.shape}")
        if not rows.any(axis=1).all():
            raise ValueError("mat has a row of zeros, which is at no angle to the others")
        colours = _alike(rows)
        if not asCmap:
            return colours
        from matplotlib.colors import ListedColormap

        return ListedColormap(colours.tolist())

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
        clim: Sequence[Any] | None = None,
        grid: Sequence[int] | None = None,
        size: float = 9,
        axis: int = 0,
    ) -> None:
        """Show several images side by side in a new figure. Local.

        They are on one colour scale, unless `clim` or `cmap` says otherwise.

        Parameters
        ----------
        imgs : iterable of images, or 3-D ndarray
            Images as `image` takes them, which may differ in shape; a 3-D ndarray is cut
            along `axis`.
        cmap : str or matplotlib colormap, or a list of one for each image
        nans
            As for `image`.
        bar : bool
            Draw one colour bar, for all; not with lists.
        clim : (low, high), or a list of one for each image, optional
            By default the least and greatest finite value of all images together, so that
            equal values look equal. None in a list stands for those of its image.
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
        nans, bar = check_flag(nans, "nans"), check_flag(bar, "bar")
        arrays = [_checked(img, nans) for img in _cut(imgs, check_int(axis, "axis"))]
        count = len(arrays)
        if isinstance(cmap, list | tuple):
            maps = [_colours(one) for one in _one_each(cmap, count, "cmap", bar)]
        else:
            maps = [_colours(cmap)] * count
        if _is_list_of_pairs(clim):
            pairs = _one_each(clim, count, "clim", bar)
            limits = [_limits(one, [a], bar) for one, a in zip(pairs, arrays, strict=True)]
        else:
            limits = [_limits(clim, arrays, bar)] * count
        rows, columns = _grid(grid, len(arrays))
        tallest = max(array.shape[0] for array in arrays)
        widest = max(array.shape[1] for array in arrays)
        figure = _figure(_longer((rows * tallest, columns * widest), size))
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes:
            ax.axis("off")
        drawn = [
            _draw(ax, array, colours, ends)
            for ax, array, colours, ends in zip(axes, arrays, maps, limits, strict=False)
        ]
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


def _cut_off(values: np.ndarray) -> np.ndarray:
    """Values within 0…1."""
    return np.asarray(np.clip(values, 0, 1))


def _one_each(given: Any, count: int, name: str, bar: bool) -> list[Any]:
    """What a list has for each image."""
    if len(given) != count:
        raise ValueError(f"{name}: a list of {len(given)} for {count} images")
    if bar:
        raise ValueError(f"{name}: one colour bar cannot be for a list of them")
    return list(given)


def _is_list_of_pairs(clim: object) -> bool:
    """Whether it has one pair, or None, for each image, and is no pair of numbers."""
    return isinstance(clim, list | tuple) and any(
        one is None or isinstance(one, list | tuple | np.ndarray) for one in clim
    )


def _real(given: object, name: str) -> np.ndarray:
    """An array of real numbers as float64."""
    array = as_array(given, name)
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must have real numbers, got {quote(given)}")
    return array.astype(np.float64)


def _channels(values: np.ndarray, cmap: object, count: int) -> np.ndarray:
    if values.ndim not in (3, 4) or len(values) != count or not values.size:
        raise ValueError(
            f"img must be ({count}, rows, columns[, pages]) for cmap={quote(cmap)}, "
            f"its shape is {values.shape}"
        )
    return values


def _share(given: object, name: str, dims: tuple[int, ...]) -> np.ndarray:
    """Numbers of an image's shape, divided by their maximum."""
    values = _real(given, name)
    if values.shape != dims:
        raise ValueError(f"{name} has shape {values.shape}, and the image {dims}")
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(f"{name} must be finite and not negative")
    return values / (values.max() or 1)


def _rgb_of(colors: Any) -> np.ndarray:
    """Colours, given by names or values, as an (n, 3) array."""
    if isinstance(colors, str | bytes) or not isinstance(colors, Sequence | np.ndarray):
        raise TypeError(f"colors must be a list of colours, got {quote(colors)}")
    from matplotlib.colors import to_rgb

    try:
        found = [to_rgb(one) for one in colors]
    except Exception as error:  # of any type: it is the argument that is asked
        raise ValueError(
            f"colors must be names that matplotlib knows, or (red, green, blue) in 0…1: {error}"
        ) from None
    if not found:
        raise ValueError("colors must have one at least")
    return np.array(found, dtype=np.float64)


def _alike(rows: np.ndarray) -> np.ndarray:
    """Colours whose cosine distances correlate with those of rows."""
    from scipy.optimize import minimize
    from scipy.spatial.distance import pdist

    wanted = pdist(rows, "cosine")
    wanted = wanted - wanted.mean()
    n = len(rows)
    # All hues, and not too even: where rows are equally far apart there is nothing to improve.
    start = from_hsv(np.arange(n) / n, np.full(n, 0.8), np.linspace(1, 0.8, n))
    if np.abs(wanted).max() < 1e-12:
        return start

    def unlike(flat: np.ndarray) -> float:
        found = pdist(flat.reshape(n, 3), "cosine")
        apart = APART * found.mean()
        found = found - found.mean()
        size = np.linalg.norm(found) * np.linalg.norm(wanted)
        return -float(apart + (found @ wanted / size if size else 0))

    # Black is at no angle to other colours.
    found = minimize(unlike, start.ravel(), method="L-BFGS-B", bounds=[(0.01, 1)] * (3 * n))
    return _cut_off(found.x.reshape(n, 3))


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
