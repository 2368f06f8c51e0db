"""Images and volumes as TIFF: the values as they are, with ImageJ's header where it can."""

from __future__ import annotations

import numpy as np

from ...core.arguments import check_record_dtype
from ...core.json_types import JsonObject
from ..calibration import Calibration

# The dtypes that ImageJ opens (by their one-letter codes).
IMAGEJ_CODES = "BHhf"
# Beyond this the offsets of a classic TIFF may not reach; the rest of 4 GiB is for headers.
CLASSIC_BYTES = (1 << 32) - (1 << 25)


def write_tif(path: str, image: np.ndarray, metadata: JsonObject | None = None) -> None:
    """Write an image, (row, column), or a volume, (row, column, page), as a new TIFF. Local.

    Parameters
    ----------
    path : str
    image : ndarray
        Integers or floats; the dtype is kept. A page of the file is a page of the volume.
    metadata : mapping, optional
        ``pixelSize`` (per axis, None where unknown), ``unit`` and ``frameInterval`` (s) are
        written for ImageJ, where it knows the dtype and the file is below 4 GiB.

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
    import tifffile

    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"{path}: image must be 2-D or 3-D and not empty, got shape {image.shape}")
    check_record_dtype(image.dtype, f"{path}: image")
    pages = image[np.newaxis] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    # Not through `open`: tifffile itself would replace an existing file.
    with open(path, "xb") as file:
        tifffile.imwrite(file, **_arguments(pages, metadata or {}))


def _arguments(pages: np.ndarray, metadata: JsonObject) -> JsonObject:
    common: JsonObject = {"byteorder": "<", "photometric": "minisblack", "software": False}
    big = pages.nbytes > CLASSIC_BYTES
    native = pages.astype(pages.dtype.newbyteorder("="), copy=False)
    if big or native.dtype.char not in IMAGEJ_CODES:
        return common | {"data": native, "metadata": None, "bigtiff": big}
    # All six of ImageJ's axes are spelled out: nothing is left to be guessed from lengths of 1.
    data = native[np.newaxis, :, np.newaxis, :, :, np.newaxis]
    described, resolution = imagej_metadata(metadata, volume=len(pages) > 1)
    return common | {
        "data": data,
        "imagej": True,
        "metadata": {"axes": "TZCYXS", **described},
        "resolution": resolution,
        "resolutionunit": 1,
    }


def imagej_metadata(
    metadata: JsonObject, volume: bool
) -> tuple[JsonObject, tuple[float, float] | None]:
    """ImageJ's description, and pixels per unit along (x, y)."""
    described: JsonObject = {}
    known = Calibration.of(metadata)
    if known.interval is not None:
        described["finterval"] = known.interval
    sizes = known.sizes
    if not known.unit or len(sizes) < 2 or sizes[0] is None or sizes[1] is None:
        return described, None
    # ImageJ's header is ASCII; it has other letters as escapes.
    described["unit"] = known.unit.encode("ascii", "backslashreplace").decode().replace("\n", " ")
    if volume and len(sizes) > 2 and sizes[2] is not None:
        described["spacing"] = sizes[2]
    return described, (1 / sizes[1], 1 / sizes[0])
