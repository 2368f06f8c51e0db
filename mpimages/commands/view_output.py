"""What ``mpimages view`` shows: as text, as a PNG, as plain values. Local."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..writers.output.plain import plain_metadata
from .drawings import contrast, montage, png_of_image, png_of_series
from .terminal import Screen, draw_image, draw_series

__all__ = ["Curve", "Picture"]


@dataclass(frozen=True)
class Picture:
    """Image `number` of `count`; of a volume all planes, or one."""

    number: int
    count: int
    plane: int | None
    values: np.ndarray

    def _part(self) -> np.ndarray:
        return self.values if self.plane is None else self.values[..., self.plane]

    def _flat(self, wide: float = 1.0) -> np.ndarray:
        part = self._part()
        return part if part.ndim == 2 else montage(part, wide)

    def fields(self) -> dict[str, Any]:
        """Plain values, NaN and infinities as None."""
        values = self._part()
        black, white = self._ends()
        plane = {} if self.plane is None else {"plane": self.plane}
        return {"image": self.number, **plane, "images": self.count, "dims": list(values.shape),
                "dtype": str(values.dtype), "black": black, "white": white,
                "values": plain_metadata(values)}

    def told(self) -> str:
        """What is shown, in a line."""
        black, white = self._ends()
        shape = " x ".join(map(str, self.values.shape))
        part = "" if self.values.ndim == 2 else (
            f", plane {self.plane}" if self.plane is not None
            else f", planes 0 to {self.values.shape[2] - 1}")
        return (f"image {self.number} of {self.count:,} (0 to {self.count - 1}), {shape}, "
                f"{self.values.dtype}{part}; black {black:g}, white {white:g} "
                "(percentiles 1 and 99.5)")

    def _ends(self) -> tuple[float, float]:
        return contrast(self._part())

    def png(self) -> bytes:
        """The bytes of a PNG."""
        return png_of_image(self._flat(), *self._ends())

    def drawn(self, screen: Screen) -> str:
        """Lines of text."""
        low, high = self._ends()
        rows, columns = screen.pixels
        grey = (self._flat(columns / rows).astype(np.float64) - low) / ((high - low) or 1.0)
        return draw_image(np.clip(np.nan_to_num(grey, posinf=1.0, neginf=0.0), 0, 1), screen)


@dataclass(frozen=True)
class Curve:
    """The series of a pixel, and the labels of its values."""

    pixel: tuple[int, ...]
    index: np.ndarray
    values: np.ndarray

    def _numbers(self) -> dict[str, Any]:
        finite = self.values[np.isfinite(self.values)]
        if finite.size == 0:
            return {"min": None, "max": None, "mean": None}
        mean = float(finite.mean(dtype=np.float64))
        return {"min": finite.min().item(), "max": finite.max().item(),
                "mean": mean if math.isfinite(mean) else None}

    def fields(self) -> dict[str, Any]:
        """Plain values, NaN and infinities as None."""
        return {"pixel": list(self.pixel), "count": len(self.values),
                "dtype": str(self.values.dtype), **self._numbers(),
                "index": plain_metadata(self.index), "values": plain_metadata(self.values)}

    def told(self) -> str:
        """What is shown, in a line."""
        said = ", ".join(f"{name} {value:g}" if value is not None else f"no finite {name}"
                         for name, value in self._numbers().items())
        return (f"pixel {','.join(map(str, self.pixel))}: {len(self.values):,} values, "
                f"{self.values.dtype}, {said}")

    def png(self) -> bytes:
        """The bytes of a PNG."""
        return png_of_series(self.values, self.index, self.told())

    def drawn(self, screen: Screen) -> str:
        """Lines of text."""
        return draw_series(self.values, self.index, screen)
