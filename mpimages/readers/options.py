"""What the user asked for, checked: the arguments of `loadImages` about the files' content."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.arguments import (
    check_choice,
    check_dims,
    check_dtype,
    check_int,
    check_ints,
    check_text,
)
from ..core.json_types import JsonObject
from ..core.text import quote
from ..formats.output_names import CONF

# As nplanes: each file is one image of all its planes.
ALL_PLANES = "all"
# The options that a reader takes, or refuses as they mean nothing for its format.
CONTENT = (
    "nplanes", "nchannels", "order", "flyback", "channel", "dataset", "axes", "follow",
    "incomplete",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What `loadImages` was given about the files' content; explicit ones win over conf.json.

    Parameters
    ----------
    dims, shape : tuple of int, optional
        The extent of one image, or of one flat binary file: (row, column[, page]). One of them:
        in flat binary files `dims` is column-major, the first axis fastest, `shape` row-major.
    dtype : numpy.dtype, optional
        The dtype of the values as stored, byte order included.
    nplanes : int or 'all', optional
        Cut each file into images of so many planes.
    nchannels : int, optional
        How many channels a file's pages are of.
    order : str, optional
        In which order the pages run, the fastest axis first; ``'CZT'`` by default: one page of
        each channel in turn, then the planes, then the images.
    flyback : int or tuple of int, optional
        Which planes of each volume are left out: the last so many, or those with these numbers.
    channel : int, optional
        The channel to read, from 0: of pages, of arrays with an axis C, of the values of a pixel.
    pattern : str, optional
        What the names of the files say: ``{t}``, ``{z}`` and ``{c}`` stand for numbers.
    incomplete : 'drop', optional
        Leave out what a file has at its end of an image that is not whole.
    dataset : str, optional
        The HDF5 dataset; with ``{t}``, one image after the other. Of Zarr the path of an array.
    follow : 'directory', optional
        Which other files an HDF5 file may lead to: those below its own directory.
    axes : str, optional
        The meaning of the axes of an HDF5 dataset, or of a Zarr or NPY array, slowest first: Y and
        X, and T, Z and C where it has them, in any order. Axes of length 1 may be left out.
    confFilename : str
        The name of the description beside flat binary files.
    single_pages : bool
        Each page of a TIFF is an image, as it lies there, whatever a header says: that of a set of
        files has said what they are. Never the user's.
    """

    dims: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    nplanes: int | str | None = None
    nchannels: int | None = None
    order: str | None = None
    flyback: int | tuple[int, ...] | None = None
    channel: int | None = None
    pattern: str | None = None
    incomplete: str | None = None
    dataset: str | None = None
    follow: str | None = None
    axes: str | None = None
    confFilename: str = CONF
    shape: tuple[int, ...] | None = None
    single_pages: bool = False

    def __post_init__(self) -> None:
        checks: JsonObject = {
            "dims": check_dims,
            "shape": lambda v: (check_dims if self.axes is None else check_array_shape)(v, "shape"),
            "dtype": lambda v: check_dtype(v, "dtype"),
            "nplanes": _check_nplanes,
            "nchannels": lambda v: check_int(v, "nchannels", 1),
            "order": _check_order,
            "flyback": _check_flyback,
            "channel": lambda v: check_int(v, "channel", 0),
            "pattern": lambda v: check_text(v, "pattern"),
            "incomplete": lambda v: check_choice(v, "incomplete", ("drop",)),
            "dataset": lambda v: check_text(v, "dataset"),
            "follow": lambda v: check_choice(v, "follow", ("directory",)),
            "axes": check_axes,
        }
        for name, check in checks.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(value))
        check_text(self.confFilename, "confFilename")
        if self.dims is not None and self.shape is not None:
            raise ValueError("dims= and shape= say the same in two orders: give one of them")

    def require_dims(self, path: str, found: tuple[int, ...]) -> None:
        """Raise ValueError where dims or shape was given and the images of `path` have another."""
        for name in ("dims", "shape"):
            if getattr(self, name) not in (None, found):
                raise ValueError(
                    f"{path}: {name}={getattr(self, name)} was given, but its images are {found}"
                )


def _check_nplanes(value: object) -> int | str:
    if isinstance(value, str):
        if value != ALL_PLANES:
            raise ValueError(
                f"nplanes must be an integer, or 'all' for one image, got {quote(value)}"
            )
        return value
    return check_int(value, "nplanes", 1)


def _check_order(value: object) -> str:
    order = check_text(value, "order").upper()
    if sorted(order) != ["C", "T", "Z"]:
        raise ValueError(
            "order must name C, Z and T once, the fastest first, as 'CZT' where one page of each "
            f"channel comes in turn; got {quote(value)}"
        )
    return order


def _check_flyback(value: object) -> int | tuple[int, ...]:
    if isinstance(value, (list, tuple)):
        planes = tuple(check_int(plane, "flyback", 0) for plane in value)
        if not planes or len(set(planes)) != len(planes):
            raise ValueError(f"flyback must name planes, each once; got {quote(value)}")
        return planes
    return check_int(value, "flyback", 1)


def check_array_shape(value: object, name: str) -> tuple[int, ...]:
    """The shape of an array whose axes are named."""
    shape = check_ints(value, name, 1)
    if not 2 <= len(shape) <= 5:
        raise ValueError(f"{name} must be of two to five axes, got {shape}")
    return shape


def check_axes(value: object) -> str:
    """The letters of axes, in upper case."""
    axes = check_text(value, "axes").upper()
    if len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) <= set("TZCYX"):
        raise ValueError(
            f"axes must name each axis once, slowest first: Y and X, and T, Z or C where there "
            f"are several images, pages or channels; got {quote(value)}"
        )
    return axes
