"""The formats that are read, and the reader of each."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import NamedTuple

from ..core.arguments import check_choice
from .base import Reader

__all__ = ["FORMATS", "Format", "get"]


class Format(NamedTuple):
    """What is known of a format without its reader.

    Attributes
    ----------
    extensions : tuple of str
        The endings of its files, in lower case.
    module, reader : str
        Where its reader is. A job imports the reader of its recording alone.
    """

    extensions: tuple[str, ...]
    module: str
    reader: str


# In the order in which they are named to the user. NWB, NeXus and Imaris files are HDF5 files.
FORMATS = {
    "tif": Format(
        (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".stk", ".lsm"), ".tif.reader", "TifReader"
    ),
    "png": Format((".png",), ".png", "PngReader"),
    "stack": Format((".bin", ".stack", ".raw", ".dat"), ".flat.binary", "StackReader"),
    "hdf5": Format((".h5", ".hdf5", ".hdf", ".nwb", ".nxs", ".ims"), ".hdf5.reader", "Hdf5Reader"),
    "npy": Format((".npy",), ".flat.npy", "NpyReader"),
}


def get(name: str) -> Reader:
    """The reader of a format; ValueError that lists the formats where there is none."""
    return _make(check_choice(name, "inputFormat", FORMATS))


@cache
def _make(name: str) -> Reader:
    form = FORMATS[name]
    reader: Reader = getattr(import_module(form.module, __package__), form.reader)()
    return reader
