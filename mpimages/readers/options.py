"""What the user asked for, checked: the arguments of `loadImages` about the files' content."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..shown import shown

__all__ = [
    "ALL_PLANES",
    "Options",
    "checked_dims",
    "checked_dtype",
    "checked_text",
    "image_dtype",
    "plain_int",
    "positive_int",
    "positive_ints",
]


# As nplanes: each file is one image of all its planes.
ALL_PLANES = "all"


def image_dtype(stored: DTypeLike, path: str = "") -> np.dtype:
    """The dtype in which values stored as `stored` are handed out: native byte order.

    Parameters
    ----------
    stored : dtype_like
        Integers of 8 to 64 bits, floats of 16 to 64 bits; booleans become uint8.
    path : str
        The file, for the message.

    Raises
    ------
    ValueError
        For every other type (complex, objects, strings, structures).
    """
    dtype = np.dtype(stored)
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    if dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)):
        return dtype.newbyteorder("=")
    where = f"{path}: " if path else ""
    raise ValueError(f"{where}dtype {dtype} cannot be an image's; integers and floats can")


def positive_ints(value: Any, name: str) -> tuple[int, ...]:
    """`value` as a tuple of plain ints above zero; TypeError or ValueError otherwise."""
    try:
        if isinstance(value, (str, bytes, dict, set)):
            raise TypeError
        numbers = tuple(value)
    except Exception:  # of any type: it is the value that is asked for its items
        raise TypeError(f"{name} must be a sequence of integers, got {shown(value)}") from None
    return tuple(positive_int(n, name) for n in numbers)


def positive_int(value: Any, name: str) -> int:
    """`value` as a plain int above zero; TypeError or ValueError otherwise."""
    number = plain_int(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def plain_int(value: Any, name: str) -> int:
    """`value` as a plain int; TypeError where it is none (a bool is none)."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    try:
        return operator.index(value)
    except Exception:  # of any type: it is the value that is asked
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None


def checked_dtype(value: Any, name: str) -> np.dtype:
    """`value` as a dtype that images may be stored in; TypeError or ValueError otherwise."""
    if value is None:  # to NumPy, float64
        raise TypeError(f"{name} is missing")
    try:
        dtype = np.dtype(value)
    except Exception as error:  # of any type: NumPy asks the value for its attributes
        raise TypeError(f"{name} {shown(value)} is not a dtype: {error}") from None
    try:
        image_dtype(dtype)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return dtype


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
        How many channels a file's pages are of: one page of each channel in turn.
    channel : int, optional
        The channel to read, from 0: of TIFF files, and of arrays with an axis C.
    incomplete : 'drop', optional
        Leave out what a file has at its end of an image that is not whole.
    dataset : str, optional
        The HDF5 dataset.
    axes : str, optional
        The meaning of the axes of an HDF5 dataset or NPY array, slowest first: Y and X, and T,
        Z and C where it has them, in any order. Axes of length 1 may be left out.
    confFilename : str
        The name of the description beside flat binary files.
    """

    dims: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    nplanes: int | str | None = None
    nchannels: int | None = None
    channel: int | None = None
    incomplete: str | None = None
    dataset: str | None = None
    axes: str | None = None
    confFilename: str = "conf.json"
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        checks: dict[str, Any] = {
            "dims": lambda v: checked_dims(v),
            "shape": lambda v: checked_dims(v, "shape"),
            "dtype": lambda v: checked_dtype(v, "dtype"),
            "nplanes": lambda v: _checked_nplanes(v),
            "nchannels": lambda v: positive_int(v, "nchannels"),
            "channel": lambda v: _checked_channel(v),
            "incomplete": lambda v: _checked_incomplete(v),
            "dataset": lambda v: checked_text(v, "dataset"),
            "axes": lambda v: _checked_axes(v),
        }
        for name, check in checks.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(value))
        checked_text(self.confFilename, "confFilename")
        if self.dims is not None and self.shape is not None:
            raise ValueError("dims= and shape= say the same in two orders: give one of them")

    def require_dims(self, path: str, found: tuple[int, ...]) -> None:
        """Raise ValueError where dims or shape was given and the images of `path` have another."""
        for name in ("dims", "shape"):
            if getattr(self, name) not in (None, found):
                raise ValueError(f"{path}: {name}={getattr(self, name)} was given, but its images "
                                 f"are {found}")


def checked_dims(value: Any, name: str = "dims") -> tuple[int, ...]:
    """`value` as (row, column) or (row, column, page); TypeError or ValueError otherwise."""
    dims = positive_ints(value, name)
    if len(dims) not in (2, 3):
        raise ValueError(f"{name} must be (row, column) or (row, column, page), got {dims}")
    return dims


def _checked_nplanes(value: Any) -> int | str:
    if isinstance(value, str):
        if value != ALL_PLANES:
            raise ValueError(f"nplanes is a number, or 'all' for one image, got {shown(value)}")
        return value
    return positive_int(value, "nplanes")


def _checked_incomplete(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"incomplete must be a string, got {shown(value)}")
    if value != "drop":
        raise ValueError(f"incomplete can be 'drop' alone, got {shown(value)}")
    return value


def _checked_channel(value: Any) -> int:
    channel = plain_int(value, "channel")
    if channel < 0:
        raise ValueError(f"channel counts from 0, got {channel}")
    return channel


def checked_text(value: Any, name: str) -> str:
    """`value` where it is a string that is not empty; TypeError or ValueError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {shown(value)}")
    if not value or "\0" in value:
        raise ValueError(f"{name} must be a name, got {shown(value)}")
    return value


def _checked_axes(value: Any) -> str:
    axes = checked_text(value, "axes").upper()
    if len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) <= set("TZCYX"):
        raise ValueError(
            f"axes names each axis once, slowest first: Y and X, and T, Z or C where there "
            f"are several images, pages or channels; got {shown(value)}"
        )
    return axes
