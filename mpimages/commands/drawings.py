"""Single PNGs: an image, or the curve of a series. Local: one rank writes.

Their text says that mpimages made them, so that they are replaced and nothing else is.
"""

from __future__ import annotations

import io
import os
import tempfile
import zlib
from typing import Any

import numpy as np

from ..formats.output_names import PNG_SIGNATURE, VIEW_TEXT
from ..writers.output.ownership import check_ours

__all__ = ["check_png", "contrast", "is_there", "montage", "png_of_image",
           "png_of_series", "save_png"]

# The display range, in per cent: few extreme pixels shall not spoil the contrast.
PERCENTILES = (1.0, 99.5)


def contrast(image: np.ndarray) -> tuple[float, float]:
    """The values that are shown black and white: percentiles 1 and 99.5 of what is finite."""
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite.astype(np.float64), PERCENTILES)
    return float(low), float(high)


def montage(volume: np.ndarray, wide: float = 1.0) -> np.ndarray:
    """The pages of a volume in rows, so that they are largest in a frame `wide` times as wide as
    high; what is left over has the least value."""
    rows, columns, pages = volume.shape
    across = min(range(1, pages + 1),
                 key=lambda n: max(n * columns / wide, -(-pages // n) * rows))
    down = -(-pages // across)
    made = np.full((down * rows, across * columns), volume.min(), volume.dtype)
    for page in range(pages):
        r, c = divmod(page, across)
        made[r * rows : (r + 1) * rows, c * columns : (c + 1) * columns] = volume[..., page]
    return made


def png_of_image(image: np.ndarray, low: float, high: float) -> bytes:
    """A 2-D image in grey, one pixel for each of its."""
    from ..writers.png import ImshowMapping, encode_png

    return _marked(encode_png(ImshowMapping(image.dtype, low, high)(image)))


def png_of_series(values: np.ndarray, index: np.ndarray, title: str) -> bytes:
    """A series as a curve with axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    axes.plot(index, values, linewidth=1, marker="." if len(values) < 100 else None)
    axes.set(title=title, xlabel="image", ylabel="value")
    axes.margins(x=0.01)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    into = io.BytesIO()
    figure.savefig(into, format="png", metadata={"Software": None})
    return _marked(into.getvalue())


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
            raise FileExistsError(f"{out}: refusing to replace a directory by a picture; choose "
                                  "another path, or remove it yourself")
        check_ours(path)


def save_png(out: str, png: bytes, overwrite: bool) -> None:
    """Write it beside its name, then rename it."""
    from ..writers.output.files import naming_file

    parent, name = os.path.split(os.path.abspath(out))
    with naming_file(out), \
            tempfile.TemporaryDirectory(prefix=f".{name}.mpimages-", dir=parent) as hidden:
        made = os.path.join(hidden, name)
        with open(made, "xb") as file:
            file.write(png)
            file.flush()
            os.fsync(file.fileno())
        check_png(out, overwrite)
        os.rename(made, os.path.abspath(out))
