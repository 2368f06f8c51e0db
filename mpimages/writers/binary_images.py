"""Flat binary images as Thunder 0.x wrote them: values alone, and conf.json beside. Local."""

from __future__ import annotations

import numpy as np

from ..formats.output_names import CONF, SUCCESS
from .output.files import write_all
from .output.plain import to_json

__all__ = ["described", "write_binary"]

PIECE_BYTES = 4 << 20


def described(dims: tuple[int, ...], dtype: np.dtype) -> dict[str, bytes]:
    """Return the small files beside images, by name: what they are, and that they are whole.

    Raises
    ------
    ValueError
        Where the records are neither images nor volumes.
    """
    if len(dims) not in (2, 3):
        raise ValueError(
            f"saveAsBinaryImages: it writes images or volumes, not records of dims {dims}"
        )
    return {CONF: to_json({"dims": list(dims), "dtype": dtype.name}), SUCCESS: b""}


def write_binary(path: str, image: np.ndarray) -> None:
    """Write the values of an image as a new file, little-endian, the first axis fastest.

    Raises
    ------
    FileExistsError
        When `path` exists.
    ValueError
        When the image is neither 2-D nor 3-D.
    """
    described(image.shape, image.dtype)
    turned = image.T
    step = max(1, PIECE_BYTES * len(turned) // max(1, image.nbytes))
    with open(path, "xb", buffering=0) as file:
        for i in range(0, len(turned), step):
            piece = np.ascontiguousarray(turned[i : i + step], image.dtype.newbyteorder("<"))
            write_all(file.fileno(), piece.reshape(-1).view(np.uint8).data)
