"""What ``mpimages view`` shows: an image, or the series of a pixel, as plain values or a PNG.

Local: one rank writes. The text of a PNG says that mpimages made it: it may be replaced.
"""

from __future__ import annotations

import io
import os
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.json_types import JsonObject
from ..formats.output_names import PNG_SIGNATURE, VIEW_TEXT
from ..writers.output.ownership import check_ours
from ..writers.output.plain import plain_metadata, write_small
from ..writers.png import ImshowMapping, contrast, encode_png, montage

__all__ = ["Curve", "Picture", "check_png", "is_there", "save_png"]

# The display range, in per cent: few extreme pixels shall not spoil the contrast.
PERCENTILES = (1.0, 99.5)


@dataclass(frozen=True)
class Picture:
    """Image `number` of `count`; of a volume all planes, or one."""

    number: int
    count: int
    plane: int | None
    values: np.ndarray

    def _part(self) -> np.ndarray:
        return self.values if self.plane is None else self.values[..., self.plane]

    def fields(self) -> JsonObject:
        """Plain values, NaN and infinities as None."""
        values = self._part()
        black, white = contrast(values, PERCENTILES)
        plane = {} if self.plane is None else {"plane": self.plane}
        return {
            "image": self.number,
            **plane,
            "images": self.count,
            "dims": list(values.shape),
            "dtype": str(values.dtype),
            "black": black,
            "white": white,
            "values": plain_metadata(values),
        }

    def title(self) -> str:
        """What it is, in a line."""
        black, white = contrast(self._part(), PERCENTILES)
        shape = " x ".join(map(str, self.values.shape))
        part = (
            ""
            if self.values.ndim == 2
            else (
                f", plane {self.plane}"
                if self.plane is not None
                else f", planes 0 to {self.values.shape[2] - 1}"
            )
        )
        return (
            f"image {self.number} of {self.count:,} (0 to {self.count - 1}), {shape}, "
            f"{self.values.dtype}{part}; black {black:g}, white {white:g} "
            "(percentiles 1 and 99.5)"
        )

    def text(self) -> str:
        """What it is, and the range of its values."""
        return f"{self.title()}\n{_range_text(self._part())}"

    def png(self) -> bytes:
        """The bytes of a PNG, in grey, with one pixel for each of the image's."""
        part = self._part()
        flat = part if part.ndim == 2 else montage(part)
        mapping = ImshowMapping(flat.dtype, *contrast(part, PERCENTILES))
        return _marked(encode_png(mapping(flat)))


@dataclass(frozen=True)
class Curve:
    """The series of a pixel, and the labels of its values."""

    pixel: tuple[int, ...]
    index: np.ndarray
    values: np.ndarray

    def fields(self) -> JsonObject:
        """Plain values, NaN and infinities as None."""
        return {
            "pixel": list(self.pixel),
            "count": len(self.values),
            "dtype": str(self.values.dtype),
            **plain_metadata(find_range(self.values)),
            "index": plain_metadata(self.index),
            "values": plain_metadata(self.values),
        }

    def title(self) -> str:
        """What it is, in a line."""
        return (
            f"pixel {','.join(map(str, self.pixel))}: {len(self.values):,} values, "
            f"{self.values.dtype}, {_range_text(self.values)}"
        )

    def text(self) -> str:
        """What it is, and each value behind its label."""
        lines = zip(self.index.tolist(), self.values.tolist(), strict=True)
        return "\n".join([self.title(), *(f"{label}\t{value}" for label, value in lines)])

    def png(self) -> bytes:
        """The bytes of a PNG: a curve with axes."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.2), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes: Any = figure.subplots()
        axes.plot(
            self.index, self.values, linewidth=1, marker="." if len(self.values) < 100 else None
        )
        axes.set(title=self.title(), xlabel="image", ylabel="value")
        axes.margins(x=0.01)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        into = io.BytesIO()
        figure.savefig(into, format="png", metadata={"Software": None})
        return _marked(into.getvalue())


def find_range(values: np.ndarray) -> JsonObject:
    """The least and the greatest value, and the mean, of what is finite; None: nothing is."""
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return {"min": None, "max": None, "mean": None}
    return {
        "min": finite.min().item(),
        "max": finite.max().item(),
        "mean": float(finite.mean(dtype=np.float64)),
    }


def _range_text(values: np.ndarray) -> str:
    return ", ".join(
        f"no finite {name}" if value is None else f"{name} {value:g}"
        for name, value in find_range(values).items()
    )


def _marked(png: bytes) -> bytes:
    """With a chunk of text after the header, which is the first and has 25 bytes."""
    chunk = b"tEXt" + VIEW_TEXT
    made = len(VIEW_TEXT).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    at = len(PNG_SIGNATURE) + 25
    return png[:at] + made + png[at:]


def is_there(out: str, overwrite: bool) -> bool:
    """Whether there is something to be replaced at `out`; refuses where nothing can be written.

    Local.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        Where its parent is missing.
    FileExistsError
        Where it exists and is not to be replaced.
    """
    path = os.path.abspath(out)
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        missing = not os.path.lexists(parent)
        raise (FileNotFoundError if missing else NotADirectoryError)(
            f"{out}: its parent {parent} is not a directory; create it first"
        )
    if not os.path.lexists(path):
        return False
    if not overwrite:
        raise FileExistsError(f"{out} exists; --overwrite replaces it")
    return True


def check_png(out: str, overwrite: bool) -> None:
    """Make sure that `out` can be written.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        Where its parent is missing.
    FileExistsError
        Where it exists and is not to be replaced, or mpimages did not write it.
    """
    if is_there(out, overwrite):
        path = os.path.abspath(out)
        if os.path.isdir(path):
            raise FileExistsError(
                f"{out}: refusing to replace a directory by a picture; choose "
                "another path, or remove it yourself"
            )
        check_ours(path)


def save_png(out: str, png: bytes, overwrite: bool) -> None:
    """Write it, if it can be written; it is there whole or not at all."""
    check_png(out, overwrite)
    write_small(os.path.abspath(out), png)
