"""Reading Series: binary as written here and by Thunder 1.x and 0.x, HDF5, Zarr, text and NPY.

`inspect_series` says what there is, `open_series` opens it. Records of Thunder 0.x bear
their keys in the data, and the extent follows from them alone; `scan_keys` reads those of a
slice of the files, so that ranks can share that work, and `with_keys` completes the header.
So do `text_lines.scan_lines` and `text_lines.place_lines` for the lines of text.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ...core.text import quote
from ...errors import not_found
from ...formats.output_names import CONF, HDF5_MARK, SERIES_FILE, SERIES_PREFIX, refuse_unfinished
from ..base import Scratch
from ..listing import ZARR, is_zarr_document, zarr_document
from ..registry import FORMATS
from .header import SeriesHandle, SeriesHeader, SeriesOptions


def inspect_series(data_path: object, options: SeriesOptions) -> SeriesHeader:
    """What a Series on disk is; no values are read.

    Parameters
    ----------
    data_path : path
        A directory of binary files, or of Zarr, or an HDF5 file (or a directory with one); the one
        ``.bin`` file of a directory stands for it. Or a text or NPY file, or a directory of such.
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
    from .binary import inspect_binary
    from .hdf5 import inspect_hdf5

    path = _single_path(data_path)
    kind = options.inputFormat or _kind_by_names(path, options)
    if kind == "text":
        from .text import inspect_text

        return inspect_text(path, options)
    if kind == "npy":
        from .npy import inspect_npy

        return inspect_npy(path, options)
    if kind == "zarr":
        from .zarr import inspect_zarr

        return inspect_zarr(path, options)
    path = _whole(path, options)
    file = _hdf5_file(path, options.inputFormat)
    if file is not None:
        return inspect_hdf5(file, options)
    return inspect_binary(path, options)


def _single_path(data_path: object) -> str:
    if not isinstance(data_path, (str, os.PathLike)):
        raise TypeError(f"dataPath must be one path, got {quote(data_path)}")
    path = os.path.expanduser(os.fspath(data_path))
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"dataPath must be a path, got {quote(path)}")
    if not os.path.exists(path):
        raise not_found(path, f"{path}: no such file or directory")
    refuse_unfinished([path if os.path.isdir(path) else os.path.dirname(path)])
    return path


def _kind_by_names(path: str, options: SeriesOptions) -> str | None:
    """The format of Zarr, text and NPY, and of directories of nothing else; else None."""
    if is_zarr_document(path) or (os.path.isdir(path) and zarr_document(path) is not None):
        return "zarr"
    names = [path]
    if os.path.isdir(path):
        if os.path.exists(os.path.join(path, options.confFilename)):
            return None
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith((".", "_"))]
    endings = {os.path.splitext(name)[1].lower() for name in names}
    kinds = {".txt": "text", ".npy": "npy", ZARR: "zarr"}
    return kinds.get(endings.pop()) if len(endings) == 1 else None


def _whole(path: str, options: SeriesOptions) -> str:
    """The directory of a binary Series of which `path` is the only file; else `path`."""
    directory, name = os.path.split(path)
    if os.path.isdir(path) or options.inputFormat == "hdf5" or not name.lower().endswith(".bin"):
        return path
    from .files import data_files

    whole = directory or "."
    names = data_files(whole, options.confFilename, SERIES_PREFIX)
    if names != [name]:
        raise ValueError(
            f"{path}: is not all of a binary Series, which is the directory with all "
            f"of its {len(names)} data files; load {whole}"
        )
    return whole


def _hdf5_file(path: str, input_format: str | None) -> str | None:
    """The HDF5 file that a path stands for; None where it is a directory of binary files."""
    if not os.path.isdir(path):
        if input_format == "binary":
            raise ValueError(f"{path}: a binary Series is a directory")
        if input_format is None and not path.lower().endswith(FORMATS["hdf5"].extensions):
            raise ValueError(
                f"{path}: a Series is a directory, or an HDF5, text or NPY file; give "
                "inputFormat='hdf5', 'text' or 'npy' if it is one of another ending"
            )
        return path
    if input_format == "binary":
        return None
    with os.scandir(path) as entries:
        visible = [entry.path for entry in entries if not entry.name.startswith(".")]
    files = [name for name in visible if name.lower().endswith(FORMATS["hdf5"].extensions)]
    if not files and input_format == "hdf5":
        from .. import get

        files = [name for name in visible if get("hdf5").recognises(name)]
    if len(files) > 1:
        raise ValueError(f"{path}: has {len(files)} HDF5 files; name one of them")
    if not files and input_format == "hdf5":
        raise FileNotFoundError(f"{path}: no HDF5 file in this directory")
    return files[0] if files else None


def written_layout(path: str, dataset: str = "series") -> str | None:
    """The layout, 'series' or 'images', of what mpimages wrote of a Series; None of all else."""
    if os.path.isdir(path):
        if zarr_document(path) is not None:
            from .zarr import holds_series

            return "series" if holds_series(path) else None
        names = os.listdir(path)
        ours = CONF in names and any(SERIES_FILE.fullmatch(name) for name in names)
        return "series" if ours else None
    if not os.path.isfile(path) or not path.lower().endswith(FORMATS["hdf5"].extensions):
        return None
    from ..hdf5.datasets import as_text
    from ..hdf5.families import has_traces_alone
    from ..hdf5.links import LinkedFiles
    from ..hdf5.opening import open_hdf5

    try:
        with open_hdf5(path) as file:
            files = LinkedFiles(path, file)
            item = files.item(dataset)
            if item is None or HDF5_MARK not in item.attrs:
                return "series" if has_traces_alone(files) else None
            return "images" if as_text(item.attrs.get("layout")) == "images" else "series"
    except (OSError, ValueError):
        return None  # what is wrong with it the reader says


def beside_series(header: SeriesHeader) -> Sequence[str]:
    """The further files for which that of a Series stands, which need not be there."""
    if header.kind != "zarr":
        return ()
    from .zarr import array_files

    return array_files(header)


def scan_keys(header: SeriesHeader, start: int, stop: int) -> np.ndarray:
    """Read the first and last keys of the files [start, stop) of a keyed Series.

    Returns
    -------
    (stop - start, 2 * nkeys + 1) int64 ndarray
        Of each file: its first record's keys, its last record's, its number of records.
    """
    from .keyed import scan_files

    return scan_files(header, start, stop)


def with_keys(header: SeriesHeader, scans: np.ndarray) -> SeriesHeader:
    """The header of a keyed Series completed by the keys of all its files.

    Raises
    ------
    FormatError
        If the records are not all the pixels of a box, each once and in order.
    """
    from .keyed import complete

    return complete(header, scans)


def open_series(header: SeriesHeader, scratch: Scratch | None = None) -> SeriesHandle:
    """Open the Series that a header describes."""
    if header.needs_keys:
        raise ValueError(f"{header.path}: its keys must be scanned before it can be read")
    if header.kind == "hdf5":
        from .hdf5 import open_hdf5_series

        return open_hdf5_series(header, scratch)
    if header.kind == "zarr":
        from .zarr import open_zarr_series

        return open_zarr_series(header, scratch)
    if header.kind == "keyed":
        from .keyed import KeyedHandle

        return KeyedHandle(header, scratch)
    if header.kind == "text":
        from .text import TextHandle

        return TextHandle(header, scratch)
    if header.kind == "npy":
        from .npy import open_npy

        return open_npy(header, scratch)
    from .binary import BinaryHandle

    return BinaryHandle(header, scratch)
