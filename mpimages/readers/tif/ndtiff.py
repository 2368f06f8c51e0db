"""Micro-Manager's NDTiff: the file NDTiff.index beside a data set's files says what each page is.

https://github.com/micro-manager/NDTiffStorage
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Iterator

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..options import Options
from .index import TifIndex
from .plan import Plan, plan_table, sizes_found

INDEX = "NDTiff.index"
_KNOWN = ("time", "z", "channel")
_REST = struct.Struct("<IiiiiIii")  # where the pixels are, their kind, where the metadata are
_SETTLE = "; nplanes= and nchannels= say what its pages are"


def plan_ndtiff(path: str, index: TifIndex, options: Options) -> Plan:
    """The plan of one file of an NDTiff data set.

    Raises
    ------
    FormatError
        If the data set's index is damaged or speaks of other pages.
    ValueError
        If it is not there, or has axes that are not read, or a channel must be chosen.
    """
    beside = os.path.join(os.path.dirname(path), INDEX)
    try:
        with open(beside, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise ValueError(
            f"{path}: is of an NDTiff data set, but its {INDEX} is not beside it{_SETTLE}"
        ) from None
    places: dict[int, tuple[int, int, int | str]] = {}
    depths: dict[int | str, set[int]] = {}  # of each channel
    sizes: dict[str, set[object]] = {}
    for axes, name, offset in _entries(beside, content):
        for axis, value in axes.items():
            sizes.setdefault(axis, set()).add(value)
        time, depth = _number(path, axes, "time"), _number(path, axes, "z")
        channel = _channel(path, axes)
        depths.setdefault(channel, set()).add(depth)
        if name == os.path.basename(path):
            places[offset] = time, depth, channel
    others = [axis for axis, values in sizes.items() if axis not in _KNOWN and len(values) > 1]
    if others:
        raise ValueError(
            f"{path}: its data set has the axis {others[0]!r}, which is not read{_SETTLE}"
        )
    there = [places[begin] for begin in index.data.tolist() if begin in places]
    if not len(there) == len(places) == index.count:
        raise FormatError(
            f"{path}: has {index.count} pages, of which its {INDEX} tells {len(there)}{_SETTLE}"
        )
    names = _in_order(path, depths)
    table = np.array([(t, z, names.index(c)) for t, z, c in there], dtype=np.int64)
    counts = {
        letter: len(sizes.get(axis, ()))
        for letter, axis in zip("CZT", ("channel", "z", "time"), strict=True)
    }
    found: JsonObject = {"program": "Micro-Manager (NDTiff)", "axes": sizes_found("CZT", counts)}
    if "channel" in sizes:
        found["channels"] = [str(name) for name in names]
    plan = Plan("ndtiff", found=found)
    # Of one channel there may be fewer planes than of another.
    chosen = (options.channel or 0) if (options.channel or 0) < len(names) else 0
    return plan_table(plan, path, index.count, table, options, len(depths[names[chosen]]))


def _channel(path: str, axes: JsonObject) -> int | str:
    value = axes.get("channel", 0)
    return value if isinstance(value, str) else _number(path, axes, "channel")


def _in_order(path: str, channels: Iterable[int | str]) -> list[int | str]:
    """Channels with names in the order in which they were recorded, others by their numbers."""
    names = list(channels)
    numbers = [name for name in names if isinstance(name, int)]
    if numbers and len(numbers) < len(names):
        raise ValueError(f"{path}: its {INDEX} has numbers and names of channels{_SETTLE}")
    return [*sorted(numbers)] if numbers else names


def _number(path: str, axes: JsonObject, axis: str) -> int:
    value = axes.get(axis, 0)
    if not isinstance(value, int):
        raise ValueError(f"{path}: its {INDEX} has {value!r} for the axis {axis!r}{_SETTLE}")
    return value


def _entries(path: str, content: bytes) -> Iterator[tuple[JsonObject, str, int]]:
    """The axes of each page, the file that it is in, and where its pixels begin."""
    at = 0
    try:
        while at < len(content):
            texts = []
            for _ in range(2):
                (length,) = struct.unpack_from("<I", content, at)
                texts.append(content[at + 4 : at + 4 + length].decode())
                at += 4 + length
            axes = json.loads(texts[0])
            offset, *_ = _REST.unpack_from(content, at)
            at += _REST.size
            yield dict(axes), texts[1], offset
    except (struct.error, ValueError, TypeError, RecursionError) as error:
        raise FormatError(f"{path}: truncated or damaged at byte {at}: {error}") from None
