"""Images as PNG: one pixel of the picture for one of the image, coloured as imshow does."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..core.arguments import check_choice, check_number
from ..core.text import quote

# Of imshow, what means something where a pixel stays a pixel.
OPTIONS = ("cmap", "vmin", "vmax", "norm", "alpha", "origin")
_OTHER_IMSHOW_OPTIONS = {
    "aspect": "a picture has one pixel per image pixel",
    "interpolation": "pixels are written as they are",
    "interpolation_stage": "pixels are written as they are",
    "filternorm": "pixels are written as they are",
    "filterrad": "pixels are written as they are",
    "resample": "pixels are written as they are",
    "extent": "a picture has no axes",
    "transform": "a picture has no axes",
    "url": "a picture has no axes",
    "colorizer": "give cmap, norm, vmin and vmax instead",
    "data": "the collection is the data",
}


def check_imshow_options(names: Iterable[str], function: str = "saveAsPngs") -> None:
    """Refuse names of options beyond those of `OPTIONS`. Local.

    Raises
    ------
    TypeError
        It says for an option of imshow why it has no meaning here.
    """
    for name in names:
        if name in OPTIONS:
            continue
        known = f"of imshow's options {function}() takes {', '.join(OPTIONS)}"
        if name in _OTHER_IMSHOW_OPTIONS:
            raise TypeError(
                f"{function}() does not take imshow's {name!r}: {_OTHER_IMSHOW_OPTIONS[name]}; "
                f"{known}"
            )
        raise TypeError(f"{function}() got an unexpected keyword argument {quote(name)}; {known}")


class ImshowMapping:
    """From values to the colours that imshow shows them in. Local; built once, used for all.

    Parameters
    ----------
    dtype : dtype
        Of the images.
    vmin, vmax : float
        The values at the colour map's two ends. They may be None where `norm` has them.
    cmap : str or matplotlib.colors.Colormap
    norm : str or matplotlib.colors.Normalize, optional
        ``'log'``, for example. It is copied, not changed.
    alpha : float, optional
        Opacity, 0…1.
    origin : {'upper', 'lower'}
        Whether the first row is the picture's first or last.

    Raises
    ------
    ValueError, TypeError
        For an unknown colour map, norm or origin, ends that are not finite or in the wrong
        order, and a dtype that cannot be shown.

    Notes
    -----
    All pictures of one mapping have the same format: 8-bit grey where the colour map is grey
    and opaque, RGBA where `alpha` is given or the colour map has transparent colours, else RGB.
    Bad values (NaN, infinities) are shown as the colour map has them: black if it does not say.
    """

    def __init__(
        self,
        dtype: Any,
        vmin: float | None,
        vmax: float | None,
        cmap: Any = "gray",
        norm: Any = None,
        alpha: float | None = None,
        origin: str = "upper",
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype.kind not in "biuf":
            raise TypeError(f"dtype must be of real numbers, got {self.dtype}")
        check_choice(origin, "origin", ("upper", "lower"))
        for name, end in (("vmin", vmin), ("vmax", vmax), ("alpha", alpha)):
            if end is not None:
                check_number(end, name)
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be from 0 to 1, got {quote(alpha)}")
        self.origin = origin
        is_default = isinstance(cmap, str) and cmap == "gray" and norm is None and alpha is None
        self._colours: Callable[[np.ndarray], np.ndarray] = (
            _Grey(*_check_ends(vmin, vmax))
            if is_default
            else _Colours(vmin, vmax, cmap, norm, None if alpha is None else float(alpha))
        )
        self._table = self._tabulate()

    def _tabulate(self) -> np.ndarray | None:
        """The colour of every value that a small integer dtype has."""
        if self.dtype.kind not in "iu" or self.dtype.itemsize > 2:
            return None
        info = np.iinfo(self.dtype)
        return self._colours(np.arange(info.min, info.max + 1).astype(self.dtype))

    def _coloured(self, values: np.ndarray) -> np.ndarray:
        if values.dtype in (np.bool_, np.float16):
            values = values.astype(np.uint8 if values.dtype == np.bool_ else np.float32)
        return self._colours(values)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """(rows, columns) values as uint8 (rows, columns) or (rows, columns, 3 or 4)."""
        if image.ndim != 2:
            raise ValueError(f"image must be 2-D, got shape {image.shape}")
        if image.dtype.newbyteorder("=") != self.dtype.newbyteorder("="):
            raise ValueError(f"image must be of dtype {self.dtype}, got {image.dtype}")
        if self.origin == "lower":
            image = image[::-1]
        if self._table is None:
            return np.ascontiguousarray(self._coloured(image))
        info = np.iinfo(self.dtype)
        return np.take(self._table, image.astype(np.intp) - int(info.min), axis=0)


class _Grey:
    """What `_Colours` gives for the options that are not given, without matplotlib.

    The import of matplotlib takes longer than the statistics of a small recording. The arithmetic
    is that of its Normalize and Colormap, so that the bytes are the same.
    """

    LEVELS = (np.linspace(0.0, 1.0, 256) * 255).astype(np.uint8)

    def __init__(self, low: float, high: float) -> None:
        self._low, self._width = np.float64(low), np.float64(high) - np.float64(low)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        kind = values.dtype
        scaled = values.astype(np.promote_types(kind, np.float32) if kind.kind in "iu" else kind)
        with np.errstate(invalid="ignore", over="ignore"):
            if self._width == 0:
                scaled[...] = 0
            else:
                scaled -= self._low
                scaled /= self._width
            scaled *= len(self.LEVELS)
            levels = np.clip(scaled, 0, len(self.LEVELS) - 1)
        if kind.kind == "f":
            levels[~np.isfinite(values)] = 0  # black
        grey: np.ndarray = self.LEVELS[levels.astype(np.intp)]
        return grey


class _Colours:
    """The colours of matplotlib's norm and colour map, as uint8 grey, RGB or RGBA."""

    def __init__(
        self, vmin: float | None, vmax: float | None, cmap: Any, norm: Any, alpha: float | None
    ) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Colormap, Normalize

        self._alpha = alpha
        if not isinstance(cmap, str | Colormap) and cmap is not None:
            raise TypeError(f"cmap must be a colour map or the name of one, got {quote(cmap)}")
        if not isinstance(norm, str | Normalize) and norm is not None:
            raise TypeError(f"norm must be a matplotlib norm or the name of one, got {quote(norm)}")
        try:
            own: Any = copy.deepcopy(norm)
            mappable = ScalarMappable(norm=own, cmap=cmap)
        except (ValueError, TypeError) as error:
            raise type(error)(f"cmap={quote(cmap)}, norm={quote(norm)}: {error}") from None
        self._cmap: Any = mappable.get_cmap()
        if not isinstance(self._cmap, Colormap):
            raise TypeError(f"cmap must be a colour map of one variable, got {quote(cmap)}")
        self._norm: Any = mappable.norm
        low: Any = self._norm.vmin if vmin is None else vmin
        high: Any = self._norm.vmax if vmax is None else vmax
        mappable.set_clim(*_check_ends(low, high))
        self._channels = self._choose_channels()

    def _choose_channels(self) -> int:
        cmap = self._cmap
        colours = cmap(np.arange(cmap.N), bytes=True)
        outside = np.array([cmap.get_under(), cmap.get_over(), cmap.get_bad()])
        if self._alpha is not None or (colours[:, 3] < 255).any() or (outside[:2, 3] < 1).any():
            return 4
        grey = (colours[:, :1] == colours[:, :3]).all() and (outside[:, :1] == outside[:, :3]).all()
        return 1 if grey else 3

    def __call__(self, values: np.ndarray) -> np.ndarray:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            values = np.ma.masked_invalid(values)
        rgba: Any = self._cmap(self._norm(values), alpha=self._alpha, bytes=True)
        colours: np.ndarray = rgba[..., 0] if self._channels == 1 else rgba[..., : self._channels]
        return colours


def _check_ends(low: float | None, high: float | None) -> tuple[float, float]:
    """The two ends of the scale."""
    if low is None or high is None:
        raise ValueError("vmin and vmax must be given: the norm has none")
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"vmin and vmax must be finite, got {quote(low)} and {quote(high)}")
    if low > high:
        raise ValueError(f"vmin must be at most vmax, got {quote(low)} and {quote(high)}")
    return low, high


def contrast(image: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the values to show black and white: percentiles of what is finite. Local.

    They are those of `numpy.percentile`, whose import of numpy.ma takes as long as the rest.
    """
    finite = image[np.isfinite(image)].astype(np.float64)
    if finite.size == 0:
        return 0.0, 1.0
    places = (finite.size - 1) * (np.array(percentiles) / 100)
    below = np.floor(places).astype(np.intp)
    above = np.minimum(below + 1, finite.size - 1)
    finite.partition(np.concatenate([below, above]))
    part, step = places - below, finite[above] - finite[below]
    low, high = np.where(
        part < 0.5, finite[below] + step * part, finite[above] - step * (1 - part)
    ).tolist()
    return low, high


def montage(volume: np.ndarray) -> np.ndarray:
    """Return the pages of a volume in rows, so that they are largest in a square. Local.

    What is left over has the least value.
    """
    rows, columns, pages = volume.shape
    across = min(range(1, pages + 1), key=lambda n: max(n * columns, -(-pages // n) * rows))
    down = -(-pages // across)
    made = np.full((down * rows, across * columns), volume.min(), volume.dtype)
    for page in range(pages):
        r, c = divmod(page, across)
        made[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns] = volume[..., page]
    return made


def encode_png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG of what an `ImshowMapping` gave. Local."""
    import imagecodecs

    # A copy has the strides that the encoder wants, also where an axis has length 1.
    return bytes(imagecodecs.png_encode(pixels.copy(order="C")))


def write_png(path: str, image: np.ndarray, mapping: ImshowMapping) -> None:
    """Write a 2-D image as a new PNG file. Local.

    The file holds nothing but the picture: no software, no time. Its bytes depend on the
    picture and on the version of the codec library.

    Raises
    ------
    FileExistsError
        When `path` exists.
    ValueError
        When the image is not 2-D, is empty, or is of another dtype than the mapping.
    """
    pixels = mapping(image)
    if pixels.size == 0:
        raise ValueError(f"{path}: an image of shape {image.shape} has no pixels")
    data = encode_png(pixels)
    with open(path, "xb") as file:
        file.write(data)
