"""A plan of a TIFF's pages, and what the headers that tell it have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from ...core.json_types import JsonObject
from ..options import Options

# What helps where a header is wrong.
REGARDLESS = "; nplanes=1, without channel=, takes all of its pages for images"


@dataclass(frozen=True)
class Plan:
    """Which pages make which image.

    Parameters
    ----------
    kind : str
        ``'imagej'``, ``'ome'`` or ``'plain'``.
    pages : (images, planes) int64 ndarray
        Page numbers.
    metadata : dict
        As `Header.metadata`, with the pixel size as (row, column, page).
    said : str
        What else a header says of the pages, in words.
    note : str
        What is likely not meant.
    """

    kind: str
    pages: np.ndarray
    metadata: JsonObject = field(default_factory=dict)
    said: str = ""
    note: str = ""


def choose_channel(path: str, channels: int, options: Options) -> int:
    """The channel to read."""
    if options.channel is None:
        if channels == 1:
            return 0
        raise ValueError(
            f"{path}: has {channels} channels; choose one by channel=0 to channel={channels - 1}"
        )
    if options.channel >= channels:
        raise ValueError(
            f"{path}: there is no channel {options.channel}: it has {channels} "
            f"channel{'s' if channels > 1 else ''}, counted from 0"
        )
    return options.channel


def mixed(channels: int) -> str:
    """A word on pages that are cut into images though a header says that they are of several
    channels; nothing where there is one."""
    if channels == 1:
        return ""
    return (
        f"its header says {channels} channels: nplanes= without channel= takes the pages of "
        f"all of them, as they lie in the file"
    )


def unit_name(text: str) -> str:
    """A unit as it is written here; ImageJ escapes what is not ASCII: ``\\u00B5m``."""
    text = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda match: chr(int(match[1], 16)), text)
    return {"micron": "µm", "microns": "µm", "um": "µm", "μm": "µm"}.get(text, text)


def number(text: str | None) -> float | None:
    """Parse a finite number; return None if the text is not one."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if np.isfinite(number) else None
