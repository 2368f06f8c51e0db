"""Series on the disk as a command's PATH."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from ..core.json_types import JsonObject
from .running import options_of

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..series import Series

__all__ = ["is_series", "load_series"]


def is_series(context: ThunderContext, path: str) -> bool:
    """Whether this is what a Series was written to. Collective."""
    from ..spmd.agreement import from_rank

    return bool(from_rank(context.comm, 0, "mpimages", _looks_like_series, path))


def _looks_like_series(path: str) -> bool:
    from ..formats.output_names import CONF, HDF5_MARK, SERIES_FILE
    from ..readers.hdf5.families import has_traces_alone
    from ..readers.hdf5.links import LinkedFiles
    from ..readers.hdf5.opening import open_hdf5
    from ..readers.registry import FORMATS

    if os.path.isdir(path):
        names = os.listdir(path)
        return CONF in names and any(SERIES_FILE.fullmatch(name) for name in names)
    if not os.path.isfile(path) or not path.lower().endswith(FORMATS["hdf5"].extensions):
        return False
    try:
        with open_hdf5(path) as file:
            files = LinkedFiles(path, file)
            item = files.item("series")
            return (item is not None and HDF5_MARK in item.attrs) or has_traces_alone(files)
    except (OSError, ValueError):
        return False  # what is wrong with it the reader says


def load_series(context: ThunderContext, path: str, reading: JsonObject) -> Series:
    """The Series at PATH; refuses options of reading that mean nothing for it. Collective."""
    options = options_of(click.get_current_context().command)
    for name, value in reading.items():
        if name != "dataset" and value not in (None, False):
            raise click.UsageError(f"{options[name]} is of images, but {path} holds a series.")
    return context.loadSeries(path, dataset=reading["dataset"] or "series")
