"""Series on the disk as a command's PATH."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from .running import OPTIONS

if TYPE_CHECKING:
    from ..context import ThunderContext
    from ..series import Series

__all__ = ["is_series", "load_series"]


def is_series(context: ThunderContext, path: str) -> bool:
    """Whether this is what a Series was written to. Collective."""
    from ..collective import from_rank

    return bool(from_rank(context.comm, 0, "mpimages", _looks_like_series, path))


def _looks_like_series(path: str) -> bool:
    from ..marks import CONF, SERIES_FILE

    if os.path.isdir(path):
        names = os.listdir(path)
        return CONF in names and any(SERIES_FILE.fullmatch(name) for name in names)
    if not os.path.isfile(path) or not path.lower().endswith((".h5", ".hdf5")):
        return False
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            attributes = file["series"].attrs if "series" in file else {}
            return "mpimages_format" in attributes
    except OSError:
        return False  # what is wrong with it the reader says


def load_series(context: ThunderContext, path: str, reading: dict[str, Any]) -> Series:
    """The Series at PATH; refuses options of reading that mean nothing for it. Collective."""
    for name, value in reading.items():
        if name != "dataset" and value not in (None, False):
            raise click.UsageError(f"{OPTIONS[name]} is of images, but {path} holds a series.")
    return context.loadSeries(path, dataset=reading["dataset"] or "series")
