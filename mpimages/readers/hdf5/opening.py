"""Opening HDF5 files: without locks, and while they are being written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...core.cleanup import quietly
from ...errors import FormatError
from ...formats.hdf5_plugins import filters_of, stored_chunks
from ..byte_ranges import open_file

if TYPE_CHECKING:
    import h5py

# At the end of a chunk that has passed the filter fletcher32.
CHECKSUM_BYTES = 4


@contextmanager
def open_hdf5(path: str) -> Iterator[h5py.File]:
    """An HDF5 file opened for reading, and closed at the end.

    What h5py raises in between, of whatever type, becomes a FormatError that names the file.
    """
    file = open_hdf5_file(path)
    try:
        with as_format_error(path):
            yield file
    finally:
        quietly(file.close)


@contextmanager
def as_format_error(path: str, what: str = "damaged") -> Iterator[None]:
    """Turn whatever h5py raises on a damaged file into a FormatError that names it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, (ValueError, TypeError)) and path in str(error):
            raise  # our own
        raise FormatError(f"{path}: {what}: {error}") from None


def open_hdf5_file(path: str, locking: bool | None = False) -> h5py.File:
    """An HDF5 file opened for reading, without file locks, which many clusters lack.

    With `locking` None as the library itself opens the sources of a virtual dataset. All files of
    one must be open alike: else HDF5 1.10 gives fill values without a word, and 2.0 an error.

    Raises
    ------
    FormatError
        If it is damaged, no HDF5 file, or one that its writer has not closed and that cannot be
        read before.
    """
    import h5py

    fd, _ = open_file(path)  # raises what says more than the library does
    quietly(os.close, fd)
    try:
        try:
            return h5py.File(path, "r", locking=locking)
        except OSError as error:
            if "locking flag" in str(error):
                # This process has the file open with locks already: then they work here.
                return h5py.File(path, "r")
            if "already open for write" in str(error):
                # A writer that lets others read meanwhile (SWMR) has it open, or has left it so.
                return h5py.File(path, "r", swmr=True, locking=False)
            raise
    except OSError as error:
        raise FormatError(f"{path}: {_why_not_opened(str(error))}") from None


def _why_not_opened(said: str) -> str:
    if "unable to lock" in said:
        return (
            f"cannot be locked, because another program writes it or the file system has no "
            f"locks: set HDF5_USE_FILE_LOCKING=FALSE in the environment of all ranks ({said})"
        )
    if "SWMR" in said or "already open for write" in said:
        return (
            f"was not closed by the program that writes it: wait until it is; where that program "
            f"has ended without, run h5clear --status on a copy of the file ({said})"
        )
    return f"not an HDF5 file, or damaged: {said}"


def refuse_short_chunks(path: str, dataset: h5py.Dataset) -> None:
    """Refuse chunks that are shorter than the checksum at their end: the library would crash.

    Local.
    """
    import h5py

    if h5py.h5z.FILTER_FLETCHER32 not in (number for number, _ in filters_of(dataset)):
        return
    with as_format_error(path, f"dataset {dataset.name}"):
        least = min((chunk.size for chunk in stored_chunks(dataset)), default=CHECKSUM_BYTES)
    if least < CHECKSUM_BYTES:
        raise FormatError(
            f"{path}: dataset {dataset.name}: a chunk is shorter than its checksum: "
            "the file is damaged; restore it"
        )
