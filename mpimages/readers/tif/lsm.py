"""Zeiss' LSM: a page for each plane, channels as values of a pixel, a thumbnail behind each page.

Zeiss: LSM 5/7 file format, the tag CZ_LSMInfo. Lengths in it are metres.
"""

from __future__ import annotations

import struct

from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.tif_tags import LSM
from ..options import Options
from ..page_order import PageOrder
from .index import TifIndex
from .plan import Plan, plan_table, refuse_channel, sizes_found

_SETTLE = "; nplanes= says how many of its pages are an image"
_LARGEST = 1 << 32
_PLANES = {0: "a stack", 3: "a time series", 6: "a time series of stacks"}  # kinds of scans


def plan_lsm(path: str, index: TifIndex, options: Options) -> Plan:
    """The plan of an LSM: pages run plane, time, the first fastest.

    Raises
    ------
    FormatError
        If the header contradicts the pages.
    ValueError
        If it is a kind of scan that is not read.
    """
    block = index.private[LSM]
    if len(block) < 120:
        raise FormatError(f"{path}: the LSM header has {len(block)} bytes")
    if index.size >= _LARGEST:
        raise ValueError(f"{path}: an LSM of more than 4 GB says wrong places; save it as OME-TIFF")
    if index.geometry(0).samples == 1:
        refuse_channel(path, options)
    order = index.layout.order
    _, _, columns, rows, planes, channels, times = struct.unpack_from(f"{order}II5i", block)
    voxel = struct.unpack_from(f"{order}3d", block, 40)
    (scan,) = struct.unpack_from(f"{order}H", block, 88)
    (interval,) = struct.unpack_from(f"{order}d", block, 112)
    positions = struct.unpack_from(f"{order}2i", block, 264) if len(block) >= 272 else (0, 0)
    if scan not in _PLANES or max(positions) > 1:
        raise ValueError(
            f"{path}: an LSM of scan type {scan} at {max(1, *positions)} positions is not read as "
            f"volumes{_SETTLE}"
        )
    there = index.geometry(0)
    said = (rows, columns, max(1, channels), max(1, planes) * max(1, times))
    if options.incomplete and said[3] > index.count:
        times = index.count // max(1, planes)
    elif said != (there.rows, there.columns, there.samples, index.count):
        raise FormatError(
            f"{path}: the LSM header says {rows} rows, {columns} columns, {channels} channels, "
            f"{planes} planes and {times} times, but it has {index.count} pages of {there.rows} "
            f"rows, {there.columns} columns and {there.samples} channels{_SETTLE}"
        )
    planes, times = max(1, planes), max(0 if options.incomplete else 1, times)
    metadata: JsonObject = {}
    if all(0 < size < 1 for size in voxel):
        metadata["pixelSize"] = (voxel[1] * 1e6, voxel[0] * 1e6, voxel[2] * 1e6)
        metadata["unit"] = "µm"
    if interval > 0 and times > 1:
        metadata["frameInterval"] = interval
    found: JsonObject = {
        "program": "Zeiss LSM",
        "axes": sizes_found("ZT", {"Z": planes, "T": times}),
    }
    pages = PageOrder("CZT", 1, planes).table(planes * times)
    plan = Plan("lsm", metadata=metadata, found=found)
    return plan_table(plan, path, index.count, pages, options, planes)
