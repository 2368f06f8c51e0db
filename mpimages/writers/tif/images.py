"""An image or a volume as a TIFF of its own: the values as they are. Local."""

from __future__ import annotations

import numpy as np

from ...core.json_types import JsonObject
from ..output.boxes import little_pieces
from .layout import StackLayout


def write_tif(path: str, image: np.ndarray, metadata: JsonObject | None = None) -> None:
    """Write an image, (row, column), or a volume, (row, column, page), as a new TIFF. Local.

    Parameters
    ----------
    path : str
    image : ndarray
        Integers or floats; the dtype is kept. A page of the file is a page of the volume.
    metadata : mapping, optional
        As in `StackLayout`.

    Raises
    ------
    FileExistsError
        When `path` exists.
    ValueError, TypeError
        When the image is not 2-D or 3-D, is empty, or is not of numbers.

    Notes
    -----
    The file is little-endian and uncompressed, without software or time. A volume of one page
    is stored as the image that TIFF takes it for.
    """
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"{path}: image must be 2-D or 3-D and not empty, got shape {image.shape}")
    pages = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    dtype = image.dtype.newbyteorder("=")
    layout = StackLayout((1, *pages.shape), dtype, metadata or {}, marked=False)
    with open(path, "xb") as file:
        file.write(layout.head([], layout.first))
        for piece in little_pieces(pages):
            file.write(piece.data)
        for table in layout.tables():
            file.write(table)
