"""Nikon's ND2, by the library nd2."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.json_types import JsonObject
from .base import LibraryReader, Scene


class Nd2Reader(LibraryReader):
    """The reader of ND2 files. Its positions are recordings of their own, by their numbers."""

    name = "nd2"
    library = "nd2"

    def open_library(self, library: Any, path: str) -> Any:
        return library.ND2File(path)

    def scene_names(self, file: Any) -> list[str]:
        return [str(number) for number in range(file.sizes.get("P", 1))]

    def scene(self, file: Any, number: int) -> Scene:
        sizes = {axis: n for axis, n in file.sizes.items() if axis != "P"}
        loops = file.loop_indices
        places = {
            (one.get("T", 0), one.get("Z", 0)): frame
            for frame, one in enumerate(loops)
            if one.get("P", 0) == number
        }
        shape = (sizes.get("C", 1), sizes.get("Y", 1), sizes.get("X", 1))

        def read(time: int, z: int, channel: int) -> np.ndarray:
            frame = places[time, z] if loops else 0
            planes: np.ndarray = np.asarray(file.read_frame(frame)).reshape(shape)
            plane: np.ndarray = planes[channel]
            return plane

        return Scene(sizes, np.dtype(file.dtype), read, _metadata(file), _found(file))


def _metadata(file: Any) -> JsonObject:
    size = file.voxel_size()
    metadata: JsonObject = {}
    if size is not None and size.x > 0 and size.y > 0:
        metadata = {"pixelSize": (size.y, size.x, size.z if size.z > 0 else None), "unit": "µm"}
    for loop in file.experiment:
        period = getattr(getattr(loop, "parameters", None), "periodMs", None)
        if loop.type == "TimeLoop" and period:
            metadata["frameInterval"] = period / 1000
    return metadata


def _found(file: Any) -> JsonObject:
    channels = getattr(file.metadata, "channels", None) or []
    names = [one.channel.name for one in channels]
    return {"program": "NIS-Elements", **({"channels": names} if names else {})}
