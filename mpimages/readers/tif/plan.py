"""A plan of a TIFF's pages, and what the headers that tell it have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np

from ...core.json_types import JsonObject
from ..options import Options
from ..page_order import PageOrder, T, choose_channel, choose_pages, pages_of_channel

# What helps where a header is wrong.
REGARDLESS = "; nplanes=1, without channel=, takes all of its pages for images"


@dataclass(frozen=True)
class Plan:
    """Which pages make which image.

    Parameters
    ----------
    kind : str
        Whose header told it: ``'imagej'``, ``'ome'``, ``'scanimage'`` and so on; ``'plain'``
        where none did.
    pages : (images, planes) int64 ndarray
        Page numbers.
    metadata : dict
        As `Header.metadata`, with the pixel size as (row, column, page).
    said : str
        What else a header says of the pages, in words.
    note : str
        What is likely not meant.
    found : dict
        As `Header.found`.
    order : PageOrder, optional
        How the pages take turns, where they do so from one file to the next.
    """

    kind: str
    pages: np.ndarray = field(default_factory=lambda: np.empty((0, 1), dtype=np.int64))
    metadata: JsonObject = field(default_factory=dict)
    said: str = ""
    note: str = ""
    found: JsonObject = field(default_factory=dict)
    order: PageOrder | None = None


def plan_table(
    plan: Plan, path: str, count: int, table: np.ndarray, options: Options, whole: int = 0
) -> Plan:
    """The plan of a file of `count` pages whose header says what they are.

    Parameters
    ----------
    plan : Plan
        What else is known of it.
    path, count
    table : (pages, 3) int64 ndarray
        What each page is, of the pages that make whole images.
    options : Options
        Its channel, nplanes, flyback and incomplete are heeded.
    whole : int
        How many planes an image has; 0: as many as there are.
    """
    sizes = plan.found["axes"]
    channels = sizes.get("C", 1)
    if options.nplanes is not None and options.channel is None:
        everything = np.arange(count)[np.newaxis]
        metadata = pace(plan.metadata, table, everything, sizes, options)
        return replace(plan, pages=everything, metadata=metadata, note=mixed(channels))
    channel = choose_channel(path, channels, options.channel)
    if options.nplanes is not None:
        pages = pages_of_channel(path, table, channel)[np.newaxis]
    else:
        pages = choose_pages(path, table, channel, options, whole)
    return replace(plan, pages=pages, metadata=pace(plan.metadata, table, pages, sizes, options))


def pace(
    metadata: JsonObject,
    table: np.ndarray,
    pages: np.ndarray,
    sizes: dict[str, int],
    options: Options,
) -> JsonObject:
    """Metadata whose frameInterval, from one time of a header to the next, is made that of images.

    Where these are not evenly spaced, there is none.

    Parameters
    ----------
    metadata : dict
    table : (pages, 3) int64 ndarray
    pages : (images, planes) int64 ndarray
        Those that are read; where nplanes is to cut them, all in one row.
    sizes : dict
        How many Z and C the header says.
    options : Options
    """
    if "frameInterval" not in metadata:
        return metadata
    paced = dict(metadata)
    seconds, planes = paced.pop("frameInterval"), sizes.get("Z", 1)
    cut = options.nplanes is not None
    mixes = options.channel is None and sizes.get("C", 1) > 1
    if cut and (options.nplanes != planes or mixes):
        return paced
    firsts = pages.reshape(-1)[::planes] if cut else pages[:, 0]
    firsts = firsts[firsts < len(table)]  # the others are of no whole image
    steps = set(np.diff(table[firsts, T]).tolist()) or {1}
    return {**paced, "frameInterval": seconds * min(steps)} if len(steps) == 1 else paced


def sizes_found(order: str, sizes: dict[str, int]) -> dict[str, int]:
    """As the axes of `Header.found`: those of more than one, the fastest first."""
    return {axis: sizes[axis] for axis in order if sizes.get(axis, 1) > 1}


def refuse_channel(path: str, options: Options) -> None:
    """Raise ValueError where a channel is asked for, of pages of which nothing tells any."""
    if options.channel is not None:
        raise ValueError(
            f"{path}: channel={options.channel} was given, but nothing says that it has several; "
            f"where its pages are of several channels in turn, nchannels= says of how many"
        )


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
