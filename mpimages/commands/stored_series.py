"""Series on the disk as a command's PATH."""

from __future__ import annotations

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
    from ..readers.series.base import written_layout
    from ..spmd.agreement import from_rank

    return from_rank(context.comm, 0, "mpimages", written_layout, path) is not None


def load_series(context: ThunderContext, path: str, reading: JsonObject) -> Series:
    """The Series at PATH; refuses options of reading that mean nothing for it. Collective."""
    options = options_of(click.get_current_context().command)
    for name, value in reading.items():
        if name != "dataset" and value is not None and value is not False:
            raise click.UsageError(f"{options[name]} is of images, but {path} holds a series.")
    return context.loadSeries(path, dataset=reading["dataset"] or "series")
