"""PNG: greyscale integers of 1 to 16 bits, as they are stored; so are indices of grey ramps.

W3C Portable Network Graphics, third edition. The header is read here, since the decoder
hands out 1, 2 and 4 bits scaled to the full range of a byte.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

import numpy as np

from ..core.cleanup import quietly
from ..core.timers import count_phase, phase
from ..errors import FormatError
from ..formats.output_names import PNG_SIGNATURE
from .array_axes import require_kind
from .base import Handle, Header, Reader, Scratch, cut_planes
from .byte_ranges import open_file
from .grey_palette import is_grey_ramp
from .options import Options

GREY, PALETTE = 0, 3
KINDS = {2: "RGB", 3: "palette colour", 4: "greyscale with alpha", 6: "RGB with alpha"}
# Deflate turns a byte into 1032 at most, so that a claim beyond it is false.
LARGEST_RATIO = 1032
LARGEST_SIDE = (1 << 31) - 1


class PngReader(Reader):
    """The reader of PNG files: one image each."""

    name = "png"
    single_planes = True
    signatures = (PNG_SIGNATURE,)
    takes = frozenset()
    several = False

    def inspect(self, path: str, options: Options) -> Header:
        head = _read_head(path)
        cut_planes(path, 1, options)
        require_kind(path, head.dims, head.dtype, options)
        return Header(path, head.dims, head.dtype, 1)

    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        head = _read_head(path)
        header.require(path, head.dims, head.dtype)
        return PngHandle(path, header, head, scratch)

    def multiple(self, options: Options, header: Header) -> bool:
        return False


@dataclass(frozen=True, eq=False)
class _Head:
    """What the beginning of a file says; `levels` are a palette's, grey and of a byte each."""

    dims: tuple[int, int]
    bits: int
    levels: np.ndarray | None = None

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint16 if self.bits == 16 else np.uint8)


class PngHandle(Handle):
    """One PNG; it is opened when it is read."""

    def __init__(self, path: str, header: Header, head: _Head, scratch: Scratch | None) -> None:
        super().__init__(path, header, 1, scratch)
        self.head = head

    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        import imagecodecs

        fd, size = open_file(self.path)
        with os.fdopen(fd, "rb") as file:
            content = file.read(size)
        count_phase("read", len(content))
        try:
            with phase("decode", out.nbytes):
                image = imagecodecs.png_decode(content)
        except Exception as error:
            raise FormatError(f"{self.path}: the PNG is damaged: {error}") from None
        levels = self.head.levels
        shape = out.shape[1:] if levels is None else (*out.shape[1:], 3)
        if image.shape != shape or image.dtype != out.dtype:
            # The decoder turns a transparent grey level into an alpha channel.
            raise ValueError(
                f"{self.path}: decoded to shape {image.shape} and dtype {image.dtype}; images "
                f"with transparency are not read"
            )
        if levels is not None:  # the decoder hands out the colours
            indices = np.zeros(256, dtype=np.uint8)
            indices[levels] = np.arange(levels.size)
            out[0] = indices[image[..., 0]]
            return
        out[0] = image
        if self.head.bits < 8:
            out //= 255 // ((1 << self.head.bits) - 1)


def _read_head(path: str) -> _Head:
    """Of a PNG that is greyscale, or has a palette that is a ramp of grey levels."""
    fd, size = open_file(path)
    try:
        head = os.pread(fd, 33, 0)
        palette = _read_palette(fd, size) if head[25:26] == bytes([PALETTE]) else None
    finally:
        quietly(os.close, fd)
    if head[:8] != PNG_SIGNATURE or head[8:16] != b"\0\0\0\x0dIHDR" or len(head) < 33:
        raise FormatError(f"{path}: not a PNG: it begins with {head[:8]!r}")
    columns, rows, bits, kind = struct.unpack_from(">IIBB", head, 16)
    grey = palette is not None and bits in (1, 2, 4, 8) and is_grey_ramp(palette, bits)
    if kind != GREY and not grey:
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
    return _Head((rows, columns), bits, None if palette is None else palette[0])


def _read_palette(fd: int, size: int) -> np.ndarray | None:
    """A palette as (3, entries); None where there is none before the pixels."""
    place = 33
    while place + 8 <= size:
        length, kind = struct.unpack(">I4s", os.pread(fd, 8, place))
        if kind == b"PLTE" and 0 < length <= 768 and length % 3 == 0:
            stored = os.pread(fd, length, place + 8)
            return (
                np.frombuffer(stored, np.uint8).reshape(-1, 3).T if len(stored) == length else None
            )
        if kind == b"IDAT":
            return None
        place += 12 + length
    return None
