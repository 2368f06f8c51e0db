"""Leica's LIF, by the library liffile."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import LibraryReader, Scene


class LifReader(LibraryReader):
    """The reader of LIF files. Its images are recordings of their own, by their paths."""

    name = "lif"
    library = "liffile"

    def open_library(self, library: Any, path: str) -> Any:
        return library.LifFile(path)

    def scene_names(self, file: Any) -> list[str]:
        return [image.path for image in file.images]

    def scene(self, file: Any, number: int) -> Scene:
        image = file.images[number]
        sizes = dict(image.sizes)

        def read(time: int, z: int, channel: int) -> np.ndarray:
            given = {"T": time, "Z": z, "C": channel}
            plane: np.ndarray = image.frame(
                **{axis: given[axis] for axis in given if axis in sizes}
            )
            return plane

        return Scene(sizes, np.dtype(image.dtype), read, {}, {"program": "LAS X"})
