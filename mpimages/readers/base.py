"""What every reader shares: what was asked for, what a file says, and how images are read.

Readers are plain local code: they know no collection and no communicator.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from ..errors import FormatError

__all__ = ["Handle", "Header", "Options", "Reader", "Scratch", "image_dtype"]

MINIMUM_CLAIM = 1 << 24
LARGEST_RATIO = 1 << 16


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
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{name} must be a sequence of integers, got {value!r}")
    return tuple(positive_int(n, name) for n in value)


def positive_int(value: Any, name: str) -> int:
    """`value` as a plain int above zero; TypeError or ValueError otherwise."""
    number = plain_int(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def plain_int(value: Any, name: str) -> int:
    """`value` as a plain int; TypeError where it is none (a bool is none)."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def checked_dtype(value: Any, name: str) -> np.dtype:
    """`value` as a dtype that images may be stored in; TypeError or ValueError otherwise."""
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError, SyntaxError) as error:
        raise TypeError(f"{name} {value!r} is not a dtype: {error}") from None
    image_dtype(dtype)
    return dtype


@dataclass(frozen=True)
class Options:
    """What `loadImages` was given about the files' content; explicit ones win over conf.json.

    Parameters
    ----------
    dims : tuple of int, optional
        The shape of one image, or of one flat binary file: (row, column[, page]).
    dtype : numpy.dtype, optional
        The dtype of the values as stored, byte order included.
    nplanes : int, optional
        Cut each file into images of so many planes.
    channel : int, optional
        The channel to read, from 0.
    dataset : str, optional
        The HDF5 dataset.
    axes : str, optional
        The meaning of the axes of an HDF5 dataset or NPY array, slowest first: a
        permutation of ``'YX'``, ``'TYX'``, ``'ZYX'`` or ``'TZYX'``.
    confFilename : str
        The name of the description beside flat binary files.
    """

    dims: tuple[int, ...] | None = None
    dtype: np.dtype | None = None
    nplanes: int | None = None
    channel: int | None = None
    dataset: str | None = None
    axes: str | None = None
    confFilename: str = "conf.json"

    def __post_init__(self) -> None:
        checks: dict[str, Any] = {
            "dims": lambda v: checked_dims(v),
            "dtype": lambda v: checked_dtype(v, "dtype"),
            "nplanes": lambda v: positive_int(v, "nplanes"),
            "channel": lambda v: _checked_channel(v),
            "dataset": lambda v: checked_text(v, "dataset"),
            "axes": lambda v: _checked_axes(v),
        }
        for name, check in checks.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, check(value))
        checked_text(self.confFilename, "confFilename")


def checked_dims(value: Any) -> tuple[int, ...]:
    """`value` as (row, column) or (row, column, page); TypeError or ValueError otherwise."""
    dims = positive_ints(value, "dims")
    if len(dims) not in (2, 3):
        raise ValueError(f"dims must be (row, column) or (row, column, page), got {dims}")
    return dims


def _checked_channel(value: Any) -> int:
    channel = plain_int(value, "channel")
    if channel < 0:
        raise ValueError(f"channel counts from 0, got {channel}")
    return channel


def checked_text(value: Any, name: str) -> str:
    """`value` where it is a string that is not empty; TypeError or ValueError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {value!r}")
    if not value or "\0" in value:
        raise ValueError(f"{name} must be a name, got {value!r}")
    return value


def _checked_axes(value: Any) -> str:
    axes = checked_text(value, "axes").upper()
    if len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes) <= set("TZYX"):
        raise ValueError(
            f"axes names each axis once, slowest first: Y and X, and T or Z where there "
            f"are several images or pages; got {value!r}"
        )
    return axes


@dataclass(frozen=True)
class Header:
    """What a file says about its images: small and plain, for it is sent to every rank.

    Parameters
    ----------
    path : str
        The file that said it.
    dims : tuple of int
        The shape of one image: (row, column[, page]).
    dtype : numpy.dtype
        The dtype in which images are handed out, in native byte order.
    count : int
        The number of images in the file.
    metadata : dict
        Plain values: ``pixelSize`` (a tuple, one per axis of `dims`; None where unknown),
        ``unit``, ``frameInterval`` (s), where the header has them.
    layout : dict
        What the format's reader needs to know besides.
    """

    path: str
    dims: tuple[int, ...]
    dtype: np.dtype
    count: int
    metadata: dict[str, Any] = field(default_factory=dict)
    layout: dict[str, Any] = field(default_factory=dict)

    @property
    def image_bytes(self) -> int:
        """The bytes of one image as it is handed out."""
        total = self.dtype.itemsize
        for n in self.dims:
            total *= n
        return total

    def require(self, path: str, dims: Sequence[int], dtype: np.dtype) -> None:
        """Raise FormatError unless images of `path` have this header's shape and dtype."""
        if tuple(dims) != self.dims or dtype != self.dtype:
            raise FormatError(
                f"{path}: has images of shape {tuple(dims)} and dtype {dtype}, but the "
                f"recording's first file, {self.path}, has shape {self.dims} and dtype "
                f"{self.dtype}; load files of one kind together"
            )

    def require_count(self, path: str, count: int) -> None:
        """Raise FormatError where a file with another number of images was not expected."""
        if count != self.count:
            raise FormatError(
                f"{path}: holds {count} images, but the recording's first file, {self.path}, "
                f"holds {self.count}; load them apart, or give nplanes"
            )


class Scratch:
    """Memory that is taken again and again: grows to the largest request, never shrinks.

    One serves all the handles of one thread, since none keeps its content between calls.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, dtype=np.uint8)

    @property
    def nbytes(self) -> int:
        """How much is held."""
        return self._memory.nbytes

    def take(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An array with arbitrary content; the one taken before is overwritten."""
        nbytes = dtype.itemsize
        for n in shape:
            nbytes *= int(n)
        if nbytes > self._memory.nbytes:
            self._memory = np.empty(0, dtype=np.uint8)  # let go before taking more
            self._memory = np.empty(nbytes, dtype=np.uint8)
        return self._memory[:nbytes].view(dtype).reshape(tuple(shape))


class Handle(ABC):
    """One open file. A context manager; at most one file descriptor is held.

    Parameters
    ----------
    path : str
    header : Header
    count : int
        The number of images in this file.
    scratch : Scratch, optional
        Where to take temporary memory from; its own by default.
    """

    def __init__(self, path: str, header: Header, count: int, scratch: Scratch | None) -> None:
        self.path = path
        self.header = header
        self.count = count
        self.scratch = Scratch() if scratch is None else scratch

    def read(self, index: int, out: np.ndarray) -> None:
        """Read one image.

        Parameters
        ----------
        index : int
            Which of the file's images.
        out : ndarray of the header's dims and dtype
            C-contiguous; any memory.
        """
        self.read_batch(index, index + 1, out[np.newaxis])

    def read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        """Read the images [start, stop) into out, (stop - start,) + dims, C-contiguous."""
        header = self.header
        if not 0 <= start <= stop <= self.count:
            raise IndexError(f"{self.path}: images [{start}, {stop}) of {self.count}")
        if out.shape != (stop - start, *header.dims) or out.dtype != header.dtype:
            raise ValueError(
                f"{self.path}: cannot read {stop - start} images of shape {header.dims} and "
                f"dtype {header.dtype} into an array of shape {out.shape} and dtype {out.dtype}"
            )
        if not (out.flags.c_contiguous and out.flags.writeable):
            raise ValueError("images are read into C-contiguous, writeable memory only")
        if stop > start:
            self._read_batch(start, stop, out)

    @abstractmethod
    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        """As `read_batch`, which has checked the arguments."""

    def close(self) -> None:  # noqa: B027 - a handle may hold nothing
        """Give back what the handle holds; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Reader(ABC):
    """One format.

    Attributes
    ----------
    name : str
        As in ``inputFormat``.
    extensions : tuple of str
        Lower case, with the dot, most usual first.
    """

    name: str
    extensions: tuple[str, ...]

    @abstractmethod
    def inspect(self, path: str, options: Options) -> Header:
        """What the file says; no pixels are read.

        Raises
        ------
        FormatError
            If the file is damaged or not of this format.
        ValueError
            If the options contradict it, or leave open what it is.
        """

    @abstractmethod
    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        """Open another file of the recording whose first file said `header`.

        Raises
        ------
        FormatError
            If its images are of another shape or dtype, or it is damaged.
        """

    def multiple(self, options: Options, header: Header) -> bool:
        """Whether each file must be asked for its number of images; otherwise it is one."""
        return header.count > 1 or options.nplanes is not None

    def count(self, path: str, options: Options, header: Header) -> int:
        """The number of images in another file of the recording."""
        with self.open(path, options, header) as handle:
            return handle.count

    def scratch_bytes(self, header: Header) -> int:
        """How much of a Scratch reading takes at most, for the memory budget."""
        return 0


def cut_planes(path: str, pages: int, options: Options) -> tuple[int, int]:
    """(images, planes in each) for a file of `pages` pages.

    Raises
    ------
    ValueError
        If nplanes does not divide the pages.
    """
    if options.nplanes is None:
        return 1, pages
    if pages % options.nplanes:
        raise ValueError(
            f"{path}: its {pages} pages cannot be cut into images of nplanes="
            f"{options.nplanes} planes each"
        )
    return pages // options.nplanes, options.nplanes


def check_claim(path: str, claimed: int, stored: int) -> None:
    """Refuse an image that claims far more bytes than its file could have compressed.

    The bound is loose (the best codecs reach some 30000:1 on constant images), but keeps a
    damaged header of a few bytes from asking for all the memory there is.
    """
    if claimed > max(MINIMUM_CLAIM, stored * LARGEST_RATIO):
        raise FormatError(
            f"{path}: claims an image of {claimed} bytes, but the file has {stored}; "
            f"it is damaged or truncated"
        )
