"""The statistics of a recording as a directory of pictures. Local: one rank writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.crc32 import crc32
from ..core.json_types import JsonObject
from ..formats.output_names import STATS, STATS_FORMAT, STATS_PICTURES, with_own_checksum

NAMES = ("mean", "stdev", "max", "min")
# Of the values of a picture, in per cent: few extreme pixels shall not spoil the contrast.
CONTRAST = (0.5, 99.8)


@dataclass(frozen=True)
class Summary:
    """Mean and stdev as float32, max and min in the data's dtype.

    Attributes
    ----------
    count : int
        Of the images.
    pictures : dict of ndarray
        By name, (row, column) or (row, column, page).
    metadata : mapping
        Of the images.
    """

    count: int
    pictures: dict[str, np.ndarray]
    metadata: JsonObject

    @classmethod
    def of(cls, stats: JsonObject, metadata: JsonObject) -> Summary:
        """From what `Images.stats` gave."""
        pictures = {name: stats[name] for name in NAMES}
        for name in ("mean", "stdev"):
            with np.errstate(over="ignore"):  # beyond float32 is infinity
                pictures[name] = pictures[name].astype(np.float32)
        return cls(int(stats["count"]), pictures, metadata)

    @property
    def partly_nan(self) -> int:
        """How many pixels are not finite, or beyond the range of float32, in some image: the
        values are not of these."""
        return int(np.count_nonzero(~np.isfinite(self.pictures["mean"])))

    def fields(self) -> JsonObject:
        """What the images are, and over all pixels that are finite: the least and the greatest
        value, the mean, and the stdev of the median pixel. Plain values."""
        image = self.pictures["max"]
        return {
            "format": STATS_FORMAT,
            "images": self.count,
            "dims": list(image.shape),
            "dtype": str(image.dtype),
            "not_finite": self.partly_nan,
            "values": {
                "min": self._over("min", np.min),
                "max": self._over("max", np.max),
                "mean": self._over("mean", np.mean),
                "median_stdev": self._over("stdev", _median),
            },
        }

    def _over(self, name: str, function: Callable[[np.ndarray], Any]) -> int | float | None:
        picture = self.pictures[name]
        finite = picture[np.isfinite(picture)]
        if finite.size == 0:
            return None
        exact = finite if name in ("min", "max") else finite.astype(np.float64)
        value: int | float = function(exact).item()
        return value

    def save(self, directory: str) -> None:
        """Write all pictures into an empty directory, and last the description. Local."""
        from ..writers.output.plain import sync_directory, to_json, write_small
        from ..writers.tif.images import write_tif

        for name, picture in self.pictures.items():
            write_tif(os.path.join(directory, f"{name}.tif"), picture, self.metadata)
            _write_png(os.path.join(directory, f"{name}.png"), picture)
        sums = {
            name: _size_and_crc(os.path.join(directory, name)) for name in sorted(STATS_PICTURES)
        }
        text = with_own_checksum(to_json({**self.fields(), "files": sums}))
        write_small(os.path.join(directory, STATS), text)
        sync_directory(directory)


def _median(values: np.ndarray) -> np.float64:
    """As np.median, whose import of numpy.ma takes as long as a small recording."""
    middle = [(values.size - 1) // 2, values.size // 2]
    low, high = np.partition(values, middle)[middle]
    median: np.float64 = (low + high) / 2
    return median


def _size_and_crc(path: str) -> dict[str, int]:
    """Of a file that has just been written, and which is flushed now."""
    with open(path, "rb") as file:
        content = file.read()
        os.fsync(file.fileno())
    return {"size": len(content), "crc32": crc32(content)}


def _write_png(path: str, picture: np.ndarray) -> None:
    from ..writers.png import ImshowMapping, contrast, montage, write_png

    flat = picture if picture.ndim == 2 else montage(picture)
    write_png(path, flat, ImshowMapping(flat.dtype, *contrast(flat, CONTRAST)))
