"""What the axes of an array in a file mean: HDF5 and NPY do not say it themselves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ..core.json_types import JsonObject
from .base import cut_planes
from .options import Options
from .page_order import choose_channel, choose_pages, order_of

# Stands for an axis of length 1 that means nothing.
LEFT_OUT = "-"
# What is taken where nothing is said, and what to say of arrays of more axes.
DEFAULTS = {2: "YX", 3: "TYX", 4: "TZYX"}
EXAMPLES = {**DEFAULTS, 5: "TZCYX"}
# An image is hardly so narrow, if it is at least so many times as high.
NARROW, HIGH = 4, 2


def array_axes(path: str, shape: Sequence[int], axes: str | None, channel: int | None) -> str:
    """A letter for each axis of an array of `shape`, `LEFT_OUT` for one that means nothing.

    Parameters
    ----------
    path : str
        The file, for messages.
    shape : sequence of int
    axes : str, optional
        As in `Options`; None: the default order, unless the array hardly can have it.
    channel : int, optional
        Which of C; without it a C of several channels is refused.

    Raises
    ------
    ValueError
        If the axes are not the array's, or channel and axes contradict each other.
    """
    shape = tuple(int(n) for n in shape)
    found = _default(path, shape) if axes is None else _place_names(path, shape, axes)
    length = dict(zip(found, shape, strict=True)).get("C")
    if length is None and channel is not None:
        hint = f", as in axes={_with_channels(found)!r}" if "Z" in found or "T" in found else ""
        raise ValueError(
            f"{path}: channel={channel} means nothing where no axis is C: the axes are "
            f"{_plain(found)}; say which axis has the channels by axes={hint}"
        )
    if length is not None:
        choose_channel(path, length, channel)
    return found.replace("C", LEFT_OUT) if length == 1 else found


def _default(path: str, shape: tuple[int, ...]) -> str:
    """The default order; ValueError where the array hardly can have it."""
    axes = DEFAULTS.get(len(shape))
    if axes is None:
        raise ValueError(
            f"{path}: an array of shape {shape} has no usual order of axes; {_how_to_name(shape)}"
        )
    if len(shape) > 2 and shape[-1] <= NARROW and shape[-2] >= HIGH * shape[-1]:
        before = DEFAULTS[len(shape) - 1]
        if shape[-1] == 1:  # named, as others may be of length 1, too
            calls = f"axes={before + 'C'!r} leaves it out"
        else:
            pages = "TYXZ" if len(shape) == 4 else "YXT"
            calls = (
                f"axes={before + 'C'!r} with {_channel_choice(shape[-1])} reads one channel, "
                f"axes={pages!r} takes it for {'pages' if pages[-1] == 'Z' else 'times'}"
            )
        raise ValueError(
            f"{path}: has shape {shape}: its last axis, of length {shape[-1]}, is hardly the X of "
            f"{axes}, the order that is taken where none is said; {calls}, and axes={axes!r} "
            "reads it as it stands"
        )
    return axes


def _place_names(path: str, shape: tuple[int, ...], axes: str) -> str:
    """The axes that were named, with those left out that have length 1."""
    if not can_have(shape, axes):
        raise ValueError(
            f"{path}: an array of shape {shape} does not have the axes {axes!r}; "
            f"{_how_to_name(shape)}"
        )
    ones = [i for i, n in enumerate(shape) if n == 1]
    ways: dict[tuple[int, ...], tuple[int, ...]] = {}
    for left in combinations(ones, len(shape) - len(axes)):
        ways.setdefault(tuple(n for i, n in enumerate(shape) if i not in left), left)
        if len(ways) > 1:
            raise ValueError(
                f"{path}: axes={axes!r} leaves open which of the axes of length 1 of shape {shape} "
                f"is left out; name them all{_all_named(shape, axes, ways)}"
            )
    left = next(iter(ways.values()))
    letters = iter(axes)
    return "".join(LEFT_OUT if i in left else next(letters) for i in range(len(shape)))


def can_have(shape: Sequence[int], axes: str) -> bool:
    """Whether an array has the axes, once some of length 1 are left out."""
    return 0 <= len(shape) - len(axes) <= sum(n == 1 for n in shape)


def _all_named(
    shape: tuple[int, ...], axes: str, ways: dict[tuple[int, ...], tuple[int, ...]]
) -> str:
    """How to name what is left out, where one axis is, which C can stand for."""
    if len(shape) - len(axes) != 1 or "C" in axes:
        return ""
    calls = (f"axes={axes[: left[0]] + 'C' + axes[left[0] :]!r}" for left in ways.values())
    return f": {' or '.join(calls)}"


def _how_to_name(shape: tuple[int, ...]) -> str:
    if len(shape) < 2:
        return "an image has two axes at least"
    example = EXAMPLES.get(len(shape))
    if example is None:
        return "images have five axes at most, but for those of length 1: T, Z, C, Y and X"
    left = "; axes of length 1 may be left out" if 1 in shape else ""
    return f"say what its {len(shape)} axes are by axes=, as in axes={example!r}{left}"


def _with_channels(axes: str) -> str:
    return _plain(axes).replace("Z" if "Z" in axes else "T", "C")


def _plain(axes: str) -> str:
    return axes.replace(LEFT_OUT, "")


def _channel_choice(count: int) -> str:
    return f"channel=0 ({'or' if count == 2 else 'to'} {count - 1})"


def image_shape(shape: Sequence[int], axes: str) -> tuple[int, tuple[int, ...]]:
    """(images, dims) of an array with these axes; dims are (row, column[, page])."""
    extent = dict(zip(axes, (int(n) for n in shape), strict=True))
    dims = tuple(extent[axis] for axis in "YXZ" if axis in extent)
    return extent.get("T", 1), dims


def cut_array(
    path: str, shape: Sequence[int], axes: str, options: Options
) -> tuple[tuple[int, ...], str]:
    """The array's shape and axes when its volumes are cut into images of nplanes planes.

    Where its pages are of channels in turn, or some are left out, they become images of a page
    each: see `array_pages`.
    """
    shape = tuple(int(n) for n in shape)
    if takes_turns(options):
        _require_pages(path, axes, options)
        return shape, axes.replace("Z", "T")
    if options.nplanes is None or ("Z" not in axes and options.nplanes == 1):
        return shape, axes
    if "T" in axes or "Z" not in axes:
        raise ValueError(
            f"{path}: nplanes={options.nplanes} cuts volumes of pages, but its axes "
            f"are {_plain(axes)}; {_how_to_cut(axes)}"
        )
    depth = axes.index("Z")
    images, planes = cut_planes(path, shape[depth], options, droppable=depth == 0)
    cut = (images,) if planes == 1 else (images, planes)
    letters = "T" if planes == 1 else "TZ"
    return shape[:depth] + cut + shape[depth + 1 :], axes[:depth] + letters + axes[depth + 1 :]


def takes_turns(options: Options) -> bool:
    """Whether the pages of an array are to be taken by `array_pages`."""
    return any(value is not None for value in (options.nchannels, options.order, options.flyback))


def own_channel(options: Options) -> int | None:
    """Which of an axis C of the array is chosen; channel= is of the pages where nchannels is."""
    if options.nchannels is None:
        return options.channel
    return 0 if "C" in (options.axes or "") else None  # cut_array refuses what has both


def _require_pages(path: str, axes: str, options: Options) -> None:
    """Raise ValueError where the array has no pages in turn, or an argument has no effect."""
    given = [n for n in ("nchannels", "order", "flyback") if getattr(options, n) is not None]
    said = " and ".join(f"{name}={getattr(options, name)!r}" for name in given)
    if "Z" not in axes or "T" in axes:
        help_ = (
            "axes= with Z in place of T says that these are pages"
            if "T" in axes and "Z" not in axes
            else f"leave {' and '.join(f'{name}=' for name in given)} out"
        )
        raise ValueError(
            f"{path}: {said} is about pages that take turns along one axis, Z, but its axes are "
            f"{_plain(axes)}; {help_}"
        )
    if options.nchannels is not None and "C" in axes:
        raise ValueError(
            f"{path}: {said} was given, but its axes {_plain(axes)} have one of channels, C; "
            "leave nchannels= out"
        )
    if options.order is not None and options.nchannels is None:
        raise ValueError(
            f"{path}: order={options.order!r} says how the pages of several channels take turns; "
            "give nchannels= with it, or leave it out"
        )


def array_pages(path: str, count: int, options: Options) -> np.ndarray | None:
    """(images, planes): which of the `count` pages of an array are read; None: as they come.

    Raises
    ------
    ValueError
        If they make no whole images, or channel= must be given.
    """
    if not takes_turns(options):
        return None
    order = order_of(options)
    table = order.table(count)
    channel = choose_channel(path, order.channels, options.channel)
    if order.channels > count or (count % order.channels and not options.incomplete):
        raise ValueError(
            f"{path}: its {count} pages are not of nchannels={order.channels} channels in turn"
        )
    return choose_pages(path, table, channel, options, order.planes)


def taken_shape(
    shape: Sequence[int], axes: str, pages: np.ndarray | None
) -> tuple[int, tuple[int, ...]]:
    """As `image_shape`, of the images that `array_pages` has chosen."""
    count, dims = image_shape(shape, axes)
    if pages is None:
        return count, dims
    count, planes = pages.shape
    return count, dims if planes == 1 else (*dims, planes)


def page_sizes(shape: Sequence[int], axes: str, options: Options) -> JsonObject:
    """How long T, Z and C of an array are, the fastest first, for `Header.found`.

    `shape` and `axes` are those of `array_axes`.
    """
    sizes = dict(zip(axes, (int(n) for n in shape), strict=True))
    found = {letter: sizes[letter] for letter in reversed(axes) if letter in "TZC"}
    if takes_turns(options) and "Z" in sizes:
        order = order_of(options)
        table = order.table(sizes["Z"])
        extent = dict(zip("TZC", (int(n) + 1 for n in table.max(axis=0)), strict=True))
        found |= {letter: extent[letter] for letter in order.order if extent[letter] > 1}
    return found


def _how_to_cut(axes: str) -> str:
    """What helps where nplanes is given and the array is not one volume."""
    if "Z" in axes or "T" not in axes:
        return "leave nplanes= out"
    return "axes= with Z in place of T says that these are pages"


def require_kind(path: str, dims: tuple[int, ...], dtype: np.dtype, options: Options) -> None:
    """Raise ValueError where dims or dtype were given and the file says otherwise."""
    options.require_dims(path, dims)
    if options.dtype is not None and options.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{path}: dtype={options.dtype} was given, but it holds {dtype}")
