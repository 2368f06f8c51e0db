"""PNG: greyscale integers of 1 to 16 bits, as they are stored.

W3C Portable Network Graphics, third edition. The header is read here, since the decoder
hands out 1, 2 and 4 bits scaled to the full range of a byte.
"""

from __future__ import annotations

import os
import struct

import numpy as np

from ..errors import FormatError
from ..phases import counted, phase
from .base import Handle, Header, Reader, Scratch, cut_planes
from .flatarray import require_given
from .options import Options
from .rawio import open_file

__all__ = ["PngReader"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KINDS = {2: "RGB", 3: "palette colour", 4: "greyscale with alpha", 6: "RGB with alpha"}
# Deflate turns a byte into 1032 at most, so that a claim beyond it is false.
LARGEST_RATIO = 1032
LARGEST_SIDE = (1 << 31) - 1


class PngReader(Reader):
    """The reader of PNG files: one image each."""

    name = "png"
    extensions = (".png",)
    signatures = (b"\x89PNG\r\n\x1a\n",)
    takes = frozenset()

    def inspect(self, path: str, options: Options) -> Header:
        dims, bits = _read_head(path)
        dtype = np.dtype(np.uint16 if bits == 16 else np.uint8)
        cut_planes(path, 1, options)
        require_given(path, dims, dtype, options)
        return Header(path, dims, dtype, 1)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        dims, bits = _read_head(path)
        header.require(path, dims, np.dtype(np.uint16 if bits == 16 else np.uint8))
        return PngHandle(path, header, bits, scratch)

    def multiple(self, options: Options, header: Header) -> bool:
        return False


class PngHandle(Handle):
    """One PNG; it is opened when it is read."""

    def __init__(self, path: str, header: Header, bits: int, scratch: Scratch | None) -> None:
        super().__init__(path, header, 1, scratch)
        self.bits = bits

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        import imagecodecs

        fd, size = open_file(self.path)
        with os.fdopen(fd, "rb") as file:
            content = file.read(size)
        counted("read", len(content))
        try:
            with phase("decode", out.nbytes):
                image = imagecodecs.png_decode(content)
        except Exception as error:
            raise FormatError(f"{self.path}: the PNG is damaged: {error}") from None
        if image.shape != out.shape[1:] or image.dtype != out.dtype:
            # The decoder turns a transparent grey level into an alpha channel.
            raise ValueError(
                f"{self.path}: decoded to shape {image.shape} and dtype {image.dtype}; images "
                f"with transparency are not read"
            )
        out[0] = image
        if self.bits < 8:
            out //= 255 // ((1 << self.bits) - 1)


def _read_head(path: str) -> tuple[tuple[int, int], int]:
    """((rows, columns), bits) of a greyscale PNG."""
    fd, size = open_file(path)
    head = os.pread(fd, 33, 0)
    os.close(fd)
    if head[:8] != SIGNATURE or head[8:16] != b"\0\0\0\x0dIHDR" or len(head) < 33:
        raise FormatError(f"{path}: not a PNG: it begins with {head[:8]!r}")
    columns, rows, bits, kind = struct.unpack_from(">IIBB", head, 16)
    if kind != 0:
        raise ValueError(
            f"{path}: {KINDS.get(kind, 'colour')} images are not read; convert it to greyscale"
        )
    if not (0 < rows <= LARGEST_SIDE and 0 < columns <= LARGEST_SIDE) or bits not in (
        1, 2, 4, 8, 16,
    ):  # fmt: skip
        raise FormatError(f"{path}: the PNG claims {rows} rows, {columns} columns, {bits} bits")
    if rows * (-(-columns * bits // 8)) > size * LARGEST_RATIO:
        raise FormatError(
            f"{path}: truncated or damaged: {rows} rows and {columns} columns cannot be stored "
            f"in its {size} bytes"
        )
    return (rows, columns), bits
