"""Micro-Manager's image stacks without a whole OME header: its own index says what each page is.

The index is written when an acquisition ends. Without it the summary at the file's beginning
says what was to be recorded.
https://micro-manager.org/Micro-Manager_File_Formats
"""

from __future__ import annotations

import json
import os
import struct

import numpy as np

from ...core.json_types import JsonObject
from ..byte_ranges import open_file
from ..options import Options
from .geometry import LARGEST_FIELD
from .index import TifIndex
from .plan import Plan, plan_table, sizes_found
from .text import decode

INDEX_MAGIC, ENTRIES_MAGIC = 54773648, 3453623


def plan_micromanager(path: str, index: TifIndex, options: Options) -> Plan | None:
    """The plan of a file; None where nplanes is to cut its pages as they lie.

    Raises
    ------
    ValueError
        If the file does not say what its pages are, or a channel must be chosen.
    """
    order = index.layout.order
    fd, size = open_file(path)
    with os.fdopen(fd, "rb") as file:
        head = file.read(40)
        magic, place = struct.unpack_from(order + "II", head, 8)
        (length,) = struct.unpack_from(order + "I", head, 36)
        summary = _summary(file.read(min(length, LARGEST_FIELD)))
        file.seek(place if magic == INDEX_MAGIC else size)
        entries = _entries(file.read(8 + 20 * index.count), order)
    channels = summary.get("ChNames")
    names = [str(name) for name in channels] if isinstance(channels, list) else []
    found: JsonObject = {"program": f"Micro-Manager {summary.get('MicroManagerVersion', '')}"}
    if names:
        found["channels"] = names
    places = {ifd: numbers for *numbers, ifd in entries.tolist()}
    if not set(index.ifds.tolist()) <= set(places):
        return _by_summary(path, summary, options)
    table = np.array([places[ifd] for ifd in index.ifds.tolist()], dtype=np.int64)
    if len(set(table[:, 3].tolist())) > 1:
        raise ValueError(f"{path}: holds several positions; save them apart")
    table = table[:, [2, 1, 0]]
    sizes = {letter: len(np.unique(table[:, i])) for i, letter in enumerate("TZC")}
    found["axes"] = sizes_found("CZT", sizes)
    plan = Plan("micromanager", found=found)
    return plan_table(plan, path, index.count, table, options, sizes["Z"])


def _by_summary(path: str, summary: JsonObject, options: Options) -> Plan | None:
    """Raise ValueError that says what the summary knows, unless nplanes says what the pages are."""
    channels, slices = (
        value if isinstance(value := summary.get(key), int) and value > 0 else 1
        for key in ("Channels", "Slices")
    )
    if options.nplanes is not None and options.channel is None:
        return None
    order = "'ZCT'" if summary.get("SlicesFirst") is True else "'CZT'"
    raise ValueError(
        f"{path}: Micro-Manager has not ended this file, so that it does not say what its pages "
        f"are; {channels} channels and {slices} slices were to be recorded: "
        f"nchannels={channels}, channel=0, nplanes={slices} and order={order} read it so, and "
        f"incomplete='drop' leaves out a last volume that is not whole"
    )


def _summary(stored: bytes) -> JsonObject:
    try:
        summary = json.loads(decode(stored))
    except (ValueError, RecursionError):
        return {}
    return summary if isinstance(summary, dict) else {}


def _entries(stored: bytes, order: str) -> np.ndarray:
    """(pages, 5): channel, slice, frame, position, and where the page's directory begins."""
    if len(stored) < 8:
        return np.empty((0, 5), dtype=np.int64)
    magic, count = struct.unpack_from(order + "II", stored)
    values = np.frombuffer(stored[8 : 8 + (len(stored) - 8) // 20 * 20], dtype=order + "u4")
    entries = values.reshape(-1, 5).astype(np.int64)
    return entries[: count if magic == ENTRIES_MAGIC else 0]
