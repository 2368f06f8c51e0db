"""Zeiss's CZI, by the library czifile."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from .base import LibraryReader, Scene

# How the letters of the axes are called here; the library calls the samples of a pixel 0.
AXES = "TZC"


class CziReader(LibraryReader):
    """The reader of CZI files. Its scenes are recordings of their own, by their numbers."""

    name = "czi"
    library = "czifile"

    def open_library(self, library: Any, path: str) -> Any:
        return library.CziFile(path)

    def scene_names(self, file: Any) -> list[str]:
        return [str(number) for number in sorted({_start(one, "S") for one in _entries(file)})]

    def scene(self, file: Any, number: int) -> Scene:
        entries = _entries(file)
        scene = sorted({_start(one, "S") for one in entries})[number]
        entries = [one for one in entries if _start(one, "S") == scene]
        numbers = {axis: sorted({_start(one, axis) for one in entries}) for axis in AXES}
        blocks = {tuple(_start(one, axis) for axis in AXES): one for one in entries}
        sizes = {axis: len(found) for axis, found in numbers.items()}
        extents = {tuple(zip(one.axes, one.shape, strict=True)) for one in entries}
        if len(extents) > 1 or len(blocks) < len(entries):
            raise FormatError(
                f"it is a mosaic of {len(entries)} tiles in {len(blocks)} planes; export it as "
                "OME-TIFF"
            )
        if len(blocks) != sizes["T"] * sizes["Z"] * sizes["C"]:
            raise FormatError(
                f"it has {len(blocks)} planes, and not each of {sizes}: it is incomplete"
            )
        sizes |= {axis: n for axis, n in next(iter(extents)) if axis not in AXES + "S"}
        samples = entries[0].shape[-1]

        def read(time: int, z: int, channel: int) -> np.ndarray:
            key = tuple(numbers[axis][i] for axis, i in zip(AXES, (time, z, channel), strict=True))
            block: np.ndarray = blocks[key].data_segment().data(resize=False)
            return block.reshape(sizes["Y"], sizes["X"])

        dtype = np.dtype(np.dtype(entries[0].dtype).base)
        sizes = {**sizes, "0": samples}
        return Scene(sizes, dtype, read, *_described(file))


def _entries(file: Any) -> list[Any]:
    """The stored parts, but for reduced copies."""
    return [one for one in file.filtered_subblock_directory if one.stored_shape == one.shape]


def _start(entry: Any, axis: str) -> int:
    return int(entry.start[entry.axes.index(axis)]) if axis in entry.axes else 0


def _described(file: Any) -> tuple[JsonObject, JsonObject]:
    """What the file's XML says: `metadata` and `found`, as in `Header`."""
    found: JsonObject = {"program": "ZEN"}
    try:
        root = ElementTree.fromstring(file.metadata(raw=True) or "<none/>")
    except ElementTree.ParseError:
        return {}, found
    channels = root.findall(".//Information/Image/Dimensions/Channels/Channel")
    names = [one.get("Name", "") for one in channels]
    if all(names) and names:
        found["channels"] = names
    size = []
    for axis in "YXZ":
        text = root.findtext(f".//Scaling/Items/Distance[@Id='{axis}']/Value")
        size.append(float(text) * 1e6 if text else None)  # from metres
    return ({"pixelSize": tuple(size), "unit": "µm"} if size[0] else {}), found
