"""What a Series on disk says of itself, and the handle by which it is read."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...core.arguments import check_choice, check_dtype, check_int, check_text
from ...core.json_types import JsonObject
from ...core.ranges import consecutive
from ...formats.output_names import CONF
from ..base import Closing, Scratch

FORMATS = ("binary", "hdf5", "zarr", "text", "npy")
# So many bytes that are not wanted between two reads are not read either.
RUN_BYTES = 1 << 15
# What is read at once of series of which only a part is wanted.
BAND_BYTES = 1 << 24

# The dataset of a Series, unless another is named.
SERIES_NAME = "series"


@dataclass(frozen=True)
class SeriesOptions:
    """What `loadSeries` was given; explicit ones win over conf.json.

    Parameters
    ----------
    nkeys, nvalues : int, optional
        How many keys and values a record of Thunder 0.x, or a line of a text file, has.
    inputFormat : {'binary', 'hdf5', 'zarr', 'text', 'npy'}, optional
        None: told by the path.
    keyType, valueType : dtype_like, optional
        Of the keys and values of Thunder 0.x.
    dataset : str
        The HDF5 dataset, or the array of a Zarr group.
    confFilename : str
    """

    nkeys: int | None = None
    nvalues: int | None = None
    inputFormat: str | None = None
    keyType: np.dtype | None = None
    valueType: np.dtype | None = None
    dataset: str = SERIES_NAME
    confFilename: str = CONF

    def __post_init__(self) -> None:
        for name, least in (("nkeys", 0), ("nvalues", 1)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_int(getattr(self, name), name, least))
        for name in ("keyType", "valueType"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_dtype(getattr(self, name), name))
        if self.inputFormat is not None:
            check_choice(self.inputFormat, "inputFormat", FORMATS)
        check_text(self.dataset, "dataset")
        check_text(self.confFilename, "confFilename")


@dataclass(frozen=True, eq=False)
class SeriesHeader:
    """What a Series on disk says: small and plain, for it is sent to every rank.

    Parameters
    ----------
    path : str
        The directory or file.
    kind : {'binary', 'keyed', 'hdf5', 'zarr', 'text', 'npy'}
        'keyed' is Thunder 0.x.
    dims : tuple of int
        The extent of the pixels: (row[, column[, page]]); empty until `with_keys`, or until
        `text_lines.place_lines`.
    length : int
        The number of values in each series.
    dtype : numpy.dtype
        As handed out: native byte order.
    index : (length,) or (length, levels) int64 ndarray, optional
        The label of each value; None: 0 … length - 1.
    metadata : dict
    layout : dict
        What reading needs to know besides.
    """

    path: str
    kind: str
    dims: tuple[int, ...]
    length: int
    dtype: np.dtype
    index: np.ndarray | None = None
    metadata: JsonObject = field(default_factory=dict)
    layout: JsonObject = field(default_factory=dict)

    @property
    def grain(self) -> int:
        """How many pixels, counted from the first, are stored together, so that to read one is to
        read all of them; 1 where each can be read alone."""
        return int(self.layout.get("grain", 1))

    @property
    def decoded(self) -> int:
        """As of `readers.base.Header`."""
        return int(self.layout.get("decoded", 0))

    @property
    def needs_keys(self) -> bool:
        """Whether `scan_keys` of all files and `with_keys` must come before reading."""
        return self.kind in ("keyed", "text") and not self.dims

    @property
    def file_count(self) -> int:
        """How many files there are to scan."""
        return len(self.layout["names"]) if self.kind == "keyed" else 1

    def files(self) -> list[str]:
        """The paths of all its data files."""
        if self.kind in ("hdf5", "zarr"):
            return [self.path]
        directory = self.layout.get("directory", self.path)
        return [os.path.join(directory, name) for name in self.layout["names"]]

    @property
    def pixels(self) -> int:
        """The number of records."""
        return math.prod(self.dims)


class SeriesHandle(Closing, ABC):
    """An open Series. A context manager; at most one file is open at a time."""

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        self.header = header
        self.scratch = Scratch() if scratch is None else scratch

    def read(self, first: int, stop: int, out: np.ndarray) -> None:
        """Read the series of the pixels [first, stop).

        Parameters
        ----------
        first, stop : int
            Pixels are numbered in C order of the header's dims.
        out : (stop - first, length) ndarray of the header's dtype
            C-contiguous; any memory.
        """
        header = self.header
        if not 0 <= first <= stop <= header.pixels:
            raise IndexError(f"{header.path}: pixels [{first}, {stop}) of {header.pixels}")
        if out.shape != (stop - first, header.length) or out.dtype != header.dtype:
            raise ValueError(
                f"{header.path}: cannot read {stop - first} series of {header.length} "
                f"{header.dtype} values into an array of shape {out.shape} and dtype {out.dtype}"
            )
        if not (out.flags.c_contiguous and out.flags.writeable):
            raise ValueError("series are read into C-contiguous, writeable memory only")
        if stop > first:
            self._read(first, stop, out)

    def read_pixels(self, pixels: np.ndarray, out: np.ndarray) -> None:
        """Read the series of these ascending pixels into out, (len(pixels), length)."""
        for a, b in consecutive(pixels):
            self.read(int(pixels[a]), int(pixels[b - 1]) + 1, out[a:b])

    def read_box(self, low: Sequence[int], out: np.ndarray) -> None:
        """Read some values of the series of a box of pixels.

        Parameters
        ----------
        low : sequence of int
            The first pixel, and the first value, of the box: one number for each of dims + (T,).
        out : ndarray of the header's dtype
            Its shape is the box's: extent + (values,). C-contiguous; any memory.
        """
        if out.size == 0:
            return
        extent, length = out.shape[:-1], out.shape[-1]
        rows, whole = out.reshape(-1, length), Scratch()
        step = max(1, BAND_BYTES // (self.header.length * out.dtype.itemsize))
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            places = np.unravel_index(np.arange(first, first + len(part)), extent)
            moved = tuple(at + a for at, a in zip(places, low, strict=False))
            pixels = np.ravel_multi_index(moved, self.header.dims)
            if length == self.header.length:
                self.read_pixels(pixels, part)
                continue
            if (self.header.length - length) * out.dtype.itemsize >= RUN_BYTES and all(
                self._read_values(pixel, low[-1], values)
                for pixel, values in zip(pixels.tolist(), part, strict=True)
            ):
                continue
            values = whole.take((len(part), self.header.length), out.dtype)
            self.read_pixels(pixels, values)
            part[...] = values[:, low[-1] : low[-1] + length]

    def _read_values(self, pixel: int, first: int, out: np.ndarray) -> bool:
        """Read some values of one series, from number `first` on; False: it is read whole."""
        return False

    @abstractmethod
    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        """As `read`, which has checked the arguments."""
