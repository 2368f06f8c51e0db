"""Reading Series: binary as written here and by Thunder 1.x and 0.x, and HDF5.

`inspect_series` says what there is, `open_series` opens it. Records of Thunder 0.x bear
their keys in the data, and the extent follows from them alone; `scan_keys` reads those of a
slice of the files, so that ranks can share that work, and `with_keys` completes the header.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from .base import Scratch
from .options import checked_dtype, checked_text, positive_int

__all__ = [
    "SeriesHandle",
    "SeriesHeader",
    "SeriesOptions",
    "inspect_series",
    "open_series",
    "scan_keys",
    "with_keys",
]

FORMATS = ("binary", "hdf5")
HDF5_EXTENSIONS = (".h5", ".hdf5", ".hdf")


@dataclass(frozen=True)
class SeriesOptions:
    """What `loadSeries` was given; explicit ones win over conf.json.

    Parameters
    ----------
    nkeys, nvalues : int, optional
        How many keys and values a record of Thunder 0.x has.
    inputFormat : {'binary', 'hdf5'}, optional
        None: told by the path.
    keyType, valueType : dtype_like, optional
        Of the keys and values of Thunder 0.x.
    dataset : str
        The HDF5 dataset.
    confFilename : str
    """

    nkeys: int | None = None
    nvalues: int | None = None
    inputFormat: str | None = None
    keyType: np.dtype | None = None
    valueType: np.dtype | None = None
    dataset: str = "series"
    confFilename: str = "conf.json"

    def __post_init__(self) -> None:
        for name in ("nkeys", "nvalues"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, positive_int(getattr(self, name), name))
        for name in ("keyType", "valueType"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, checked_dtype(getattr(self, name), name))
        if self.inputFormat is not None and self.inputFormat not in FORMATS:
            raise ValueError(f"inputFormat {self.inputFormat!r} is none of {', '.join(FORMATS)}")
        checked_text(self.dataset, "dataset")
        checked_text(self.confFilename, "confFilename")


@dataclass(frozen=True, eq=False)
class SeriesHeader:
    """What a Series on disk says: small and plain, for it is sent to every rank.

    Parameters
    ----------
    path : str
        The directory or file.
    kind : {'binary', 'keyed', 'hdf5'}
        'keyed' is Thunder 0.x.
    dims : tuple of int
        The extent of the pixels: (row[, column[, page]]); empty until `with_keys`.
    length : int
        The number of values in each series.
    dtype : numpy.dtype
        As handed out: native byte order.
    index : (length,) int64 ndarray, optional
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
    metadata: dict[str, Any] = field(default_factory=dict)
    layout: dict[str, Any] = field(default_factory=dict)

    @property
    def needs_keys(self) -> bool:
        """Whether `scan_keys` of all files and `with_keys` must come before reading."""
        return self.kind == "keyed" and not self.dims

    @property
    def file_count(self) -> int:
        """How many files there are to scan."""
        return len(self.layout["names"]) if self.kind == "keyed" else 1

    @property
    def pixels(self) -> int:
        """The number of records."""
        total = 1
        for n in self.dims:
            total *= n
        return total


class SeriesHandle(ABC):
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

    @abstractmethod
    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        """As `read`, which has checked the arguments."""

    @abstractmethod
    def close(self) -> None:
        """Close what is open; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def inspect_series(data_path: Any, options: SeriesOptions) -> SeriesHeader:
    """What a Series on disk is; no values are read.

    Parameters
    ----------
    data_path : path
        A directory of binary files, or an HDF5 file (or a directory with one).
    options : SeriesOptions

    Raises
    ------
    FileNotFoundError
        If there is no such file or directory, or no series in it.
    FormatError
        If it is damaged, unfinished or not a Series.
    ValueError
        If the options contradict it, or something must be given.
    """
    from .seriesbinary import inspect_binary
    from .serieshdf5 import inspect_hdf5

    path = _single_path(data_path)
    file = _hdf5_file(path, options.inputFormat)
    if file is not None:
        return inspect_hdf5(file, options)
    return inspect_binary(path, options)


def _single_path(data_path: Any) -> str:
    if not isinstance(data_path, (str, os.PathLike)):
        raise TypeError(f"a Series is loaded from one path, got {data_path!r}")
    path = os.path.expanduser(os.fspath(data_path))
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"{path!r} is no path")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: no such file or directory")
    return path


def _hdf5_file(path: str, input_format: str | None) -> str | None:
    """The HDF5 file that a path stands for; None where it is a directory of binary files."""
    if not os.path.isdir(path):
        if input_format == "binary":
            raise ValueError(f"{path}: a binary Series is a directory")
        if input_format is None and not path.lower().endswith(HDF5_EXTENSIONS):
            raise ValueError(
                f"{path}: a Series is a directory or an HDF5 file; give inputFormat='hdf5' if "
                f"it is one"
            )
        return path
    if input_format == "binary":
        return None
    with os.scandir(path) as entries:
        files = [
            entry.path
            for entry in entries
            if entry.name.lower().endswith(HDF5_EXTENSIONS) and not entry.name.startswith(".")
        ]
    if len(files) > 1:
        raise ValueError(f"{path}: has {len(files)} HDF5 files; name one of them")
    if not files and input_format == "hdf5":
        raise FileNotFoundError(f"{path}: no HDF5 file in this directory")
    return files[0] if files else None


def scan_keys(header: SeriesHeader, start: int, stop: int) -> np.ndarray:
    """Read the first and last keys of the files [start, stop) of a keyed Series.

    Returns
    -------
    (stop - start, 2 * nkeys + 1) int64 ndarray
        Of each file: its first record's keys, its last record's, its number of records.
    """
    from .serieskeyed import scan_files

    return scan_files(header, start, stop)


def with_keys(header: SeriesHeader, scans: np.ndarray) -> SeriesHeader:
    """The header of a keyed Series completed by the keys of all its files.

    Raises
    ------
    FormatError
        If the records are not all the pixels of a box, each once and in order.
    """
    from .serieskeyed import complete

    return complete(header, scans)


def open_series(header: SeriesHeader, scratch: Scratch | None = None) -> SeriesHandle:
    """Open the Series that a header describes."""
    if header.needs_keys:
        raise ValueError(f"{header.path}: its keys must be scanned before it can be read")
    if header.kind == "hdf5":
        from .serieshdf5 import open_hdf5_series

        return open_hdf5_series(header, scratch)
    if header.kind == "keyed":
        from .serieskeyed import KeyedHandle

        return KeyedHandle(header, scratch)
    from .seriesbinary import BinaryHandle

    return BinaryHandle(header, scratch)
