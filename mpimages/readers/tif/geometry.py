"""How one page of a TIFF is stored: the fields of its directory, understood.

Values are handed out as stored: a photometric interpretation of
"white is zero" and an orientation are left to the one who looks at them.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ...errors import FormatError
from ...formats.tif_tags import (
    BITS,
    COLOUR_MAP,
    COMPRESSION,
    FILL_ORDER,
    IMAGE_DEPTH,
    LENGTH,
    LSM,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    PLANAR,
    PREDICTOR,
    ROWS_PER_STRIP,
    SAMPLE_FORMAT,
    SAMPLES,
    STK_PLANES,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TILE_COUNTS,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
)
from ..base import check_claim
from ..grey_palette import is_grey_ramp
from .text import decode

# The integer types of TIFF 6.0, section 2, and BigTIFF: BYTE, SHORT, LONG, IFD, LONG8, IFD8.
INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
# The bytes of a value of the types of texts, of tables and of resolutions.
SIZES = {1: 1, 2: 1, 3: 2, 5: 8, 7: 1}
RGB, PALETTE, MASK = 2, 3, 4  # photometric interpretations
COLOURS = {2: "RGB", 3: "palette colour", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 32803: "CFA raw"}
_PALETTE = f"1 values per pixel, {COLOURS[PALETTE]}"
NO_COMPRESSION = 1
# With others than LZW, Deflate, LZMA and Zstandard a predictor is without effect, as in libtiff.
PREDICTED = (5, 8, 32946, 34925, 34926, 50000, 50013)
LARGEST_FIELD = 1 << 26


@dataclass(frozen=True)
class Layout:
    """Byte order and field sizes: classic TIFF or BigTIFF."""

    order: Literal["<", ">"]
    head: int
    entry: np.dtype
    fields: struct.Struct
    pointer_bytes: int
    count: struct.Struct
    next: struct.Struct

    @classmethod
    def classic(cls, order: Literal["<", ">"]) -> Layout:
        """12 bytes an entry, 32-bit offsets."""
        entry = [("tag", order + "u2"), ("type", order + "u2"), ("count", order + "u4")]
        dtype = np.dtype([*entry, ("value", order + "u4")])
        fields = struct.Struct(order + "HHI4s")
        return cls(
            order, 2, dtype, fields, 4, struct.Struct(order + "H"), struct.Struct(order + "I")
        )

    @classmethod
    def big(cls, order: Literal["<", ">"]) -> Layout:
        """20 bytes an entry, 64-bit offsets."""
        entry = [("tag", order + "u2"), ("type", order + "u2"), ("count", order + "u8")]
        dtype = np.dtype([*entry, ("value", order + "u8")])
        fields = struct.Struct(order + "HHQ8s")
        return cls(
            order, 8, dtype, fields, 8, struct.Struct(order + "Q"), struct.Struct(order + "Q")
        )

    def inline(self, path: str, entries: np.ndarray, column: int) -> np.ndarray:
        """The single integers in one column of many directories, as uint64."""
        tag, code, count, _ = entries[0, column].tolist()
        kind = INTEGERS.get(code, "u8")
        if code not in INTEGERS or count != 1 or int(kind[1]) > self.pointer_bytes:
            raise FormatError(f"{path}: TIFF tag {tag} has {count} values of type {code}")
        width = int(kind[1])
        raw = np.ascontiguousarray(entries["value"][:, column]).view(np.uint8)
        raw = raw.reshape(len(entries), self.pointer_bytes)[:, :width]
        return np.ascontiguousarray(raw).view(self.order + kind).reshape(-1).astype(np.uint64)


class Entries:
    """One directory: its fields by tag, read when they are asked for."""

    def __init__(self, path: str, fd: int, size: int, layout: Layout, directory: bytes) -> None:
        self.path, self.fd, self.size, self.layout = path, fd, size, layout
        self._rows: dict[int, tuple[int, int, bytes]] = {}
        for tag, kind, count, value in layout.fields.iter_unpack(directory):
            self._rows.setdefault(tag, (kind, count, value))

    def __contains__(self, tag: int) -> bool:
        return tag in self._rows

    def count(self, tag: int) -> int:
        """How many values a field has; 0 where it is absent."""
        return self._rows[tag][1] if tag in self._rows else 0

    def integers(self, tag: int) -> np.ndarray:
        """The values of an integer field, as int64; empty where it is absent."""
        if tag not in self._rows:
            return np.empty(0, dtype=np.int64)
        kind, count, value = self._rows[tag]
        if kind not in INTEGERS:
            raise FormatError(f"{self.path}: TIFF tag {tag} has type {kind}, which is no integer")
        dtype = np.dtype(self.layout.order + INTEGERS[kind])
        if tag == BITS and (kind, count) == (3, 2) and LSM in self and value[:2] != value[2:4]:
            # Zeiss' older programs say where the two numbers are, which need no place.
            return np.frombuffer(self.content(tag, 4), dtype).astype(np.int64)
        values = np.frombuffer(self._bytes(tag, count * dtype.itemsize, value), dtype)
        if dtype.itemsize == 8 and values.size and int(values.max()) >= 1 << 63:
            raise FormatError(f"{self.path}: TIFF tag {tag} has a value of {int(values.max())}")
        return values.astype(np.int64)

    def integer(self, tag: int, default: int) -> int:
        """The first value of an integer field."""
        if self.count(tag) == 0:
            return default
        return int(self.integers(tag)[0])

    def text(self, tag: int) -> str:
        """The value of a text field; empty where it is absent."""
        if tag not in self._rows:
            return ""
        _, count, value = self._rows[tag]
        return decode(self._bytes(tag, count, value))

    def rational(self, tag: int) -> float:
        """The value of a RATIONAL field; 0 where it is absent or infinite."""
        if tag not in self._rows or self._rows[tag][0] != 5 or self._rows[tag][1] < 1:
            return 0.0
        above, below = struct.unpack(
            self.layout.order + "II", self._bytes(tag, 8, self._rows[tag][2])
        )
        return above / below if below else 0.0

    def content(self, tag: int, nbytes: int) -> bytes:
        """The first bytes of a field's content, where it lies outside the directory."""
        offset = self.layout.next.unpack(self._rows[tag][2])[0]
        if nbytes > LARGEST_FIELD or offset + nbytes > self.size:
            raise FormatError(
                f"{self.path}: truncated or damaged: TIFF tag {tag} has {nbytes} bytes at byte "
                f"{offset}; the file has {self.size} bytes"
            )
        return os.pread(self.fd, nbytes, offset)

    def place(self, tag: int) -> tuple[int, int]:
        """Where the value of a field of one of the types in SIZES lies outside the directory,
        and how many bytes it has; 0 bytes where it does not."""
        kind, count, value = self._rows.get(tag, (0, 0, b""))
        nbytes = count * SIZES.get(kind, 0)
        if nbytes <= self.layout.pointer_bytes:
            return 0, 0
        return self.layout.next.unpack(value)[0], nbytes

    def _bytes(self, tag: int, nbytes: int, value: bytes) -> bytes:
        if nbytes <= self.layout.pointer_bytes:
            return value[:nbytes]
        (offset,) = self.layout.next.unpack(value)
        if nbytes > LARGEST_FIELD or offset + nbytes > self.size:
            raise FormatError(
                f"{self.path}: truncated or damaged: TIFF tag {tag} claims {nbytes} bytes at "
                f"byte {offset}; the file has {self.size} bytes"
            )
        return os.pread(self.fd, nbytes, offset)


@dataclass(frozen=True)
class Geometry:
    """How a page is stored.

    Attributes
    ----------
    rows, columns : int
    dtype : numpy.dtype
        As handed out.
    stored : numpy.dtype
        As stored, where `bits` are whole bytes.
    bits : int
    compression, fill_order : int
        As in the directory.
    predictor : int
        As in the directory; 1, which is none, where the compression knows no predictor.
    segment : (int, int)
        Rows and columns of a strip or tile; a last strip may be lower.
    tiled : bool
    segments : int
        How many strips or tiles there are.
    offsets_tag, counts_tag : int
        The fields that say where the strips or tiles begin and how long they are. What they are
        is not told by the fields' names: some writers of tiles use those of strips.
    places : (int, int)
        How many values these fields have; there may be more than strips or tiles.
    reduced, mask : bool
        Whether it is marked as a smaller copy, or as the mask, of another page.
    colour : str
        What kind of colour it is, for messages; empty where it is grey.
    palette : bool
        Whether it is colour by a palette of 256: its values, the indices, can be read.
    samples : int
        How many values a pixel has, of which one is read; 0 where the colour is of a kind that
        is not understood further.
    planar : bool
        Whether all the pixels' first values are stored before the second ones.
    sample : int
        Which value of a pixel is read.
    planes : int
        How many planes lie one after the other where it says that one does: MetaMorph's STK.
    """

    rows: int
    columns: int
    dtype: np.dtype
    stored: np.dtype
    bits: int
    compression: int
    predictor: int
    fill_order: int
    segment: tuple[int, int]
    tiled: bool
    segments: int
    offsets_tag: int
    counts_tag: int
    places: tuple[int, int]
    reduced: bool
    mask: bool
    colour: str = ""
    palette: bool = False
    samples: int = 1
    planar: bool = False
    sample: int = 0
    planes: int = 1

    @property
    def nbytes(self) -> int:
        """The bytes of the page as it is handed out."""
        return self.rows * self.columns * self.dtype.itemsize

    @property
    def whole_bytes(self) -> bool:
        """Whether each value takes exactly the bytes of its dtype."""
        return self.bits == 8 * self.dtype.itemsize and self.fill_order == 1

    @property
    def plain(self) -> bool:
        """Whether the values are stored as they are, row after row in each strip."""
        alone = not self.tiled and not self.interleaved
        return self.compression == NO_COMPRESSION and self.whole_bytes and alone

    @property
    def interleaved(self) -> bool:
        """Whether a strip or tile has all the values of its pixels, one pixel after the other."""
        return self.samples > 1 and not self.planar

    def of_sample(self, sample: int) -> Geometry:
        """The geometry by which one value of each pixel is read."""
        return replace(self, sample=sample, colour="") if self.samples > 1 else self

    def longest(self, room: int) -> int:
        """The bytes of the only strip or tile where no length is told: those of its values, or
        all the `room` behind its place. What is decoded ends by itself."""
        if self.compression != NO_COMPRESSION:
            return max(1, room)
        height, width = self.segment
        each = self.samples if self.interleaved else 1
        return height * -(-width * each * self.bits // 8)

    @property
    def one_place(self) -> bool:
        """Whether its directory itself says where all of it lies."""
        return self.segments == 1 and self.places in ((1, 0), (1, 1))

    def unwritten(self, offsets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Which strips or tiles were never written, by their places: they are zeros.

        Of the only strip of a page the length may be unknown to its writer, as libtiff has it.
        """
        if self.segments == 1 and not self.tiled:
            return np.asarray(offsets == 0)
        return np.asarray((offsets == 0) | (lengths == 0))

    def _has_holes(self, entries: Entries) -> bool:
        """Whether strips or tiles of a page were never written."""
        offsets = entries.integers(self.offsets_tag)[: self.segments]
        lengths = entries.integers(self.counts_tag)[: self.segments]
        return bool(self.unwritten(offsets, lengths if lengths.size else np.ones(1)).any())

    @classmethod
    def parse(cls, path: str, entries: Entries, size: int) -> Geometry:
        """The geometry that a directory tells.

        Raises
        ------
        FormatError
            If it contradicts itself or the file's size.
        ValueError
            If its values are of a type that no image can have.
        """
        rows, columns = entries.integer(LENGTH, 0), entries.integer(WIDTH, 0)
        if rows < 1 or columns < 1:
            raise FormatError(f"{path}: a page claims {rows} rows and {columns} columns")
        bits = entries.integer(BITS, 1)
        kind, photometric = entries.integer(NEW_SUBFILE_TYPE, 0), entries.integer(PHOTOMETRIC, 1)
        reduced, mask = bool(kind & 1), bool(kind & 4) or photometric == MASK
        colour = _colour(entries, bits)
        palette = bits == 8 and colour == _PALETTE
        if colour and not palette:
            try:
                samples = _separable(entries)
                if samples:
                    return cls._understand(path, entries, size, (reduced, mask, colour), samples)
            except ValueError:
                pass  # it is refused, or left out, as the colour that it is
            byte, none = np.dtype("u1"), (0, 0)
            return cls(
                rows, columns, byte, byte, 8, 0, 1, 1, (rows, columns), False, 0, 0, 0, none,
                reduced, mask, colour, samples=0,
            )  # fmt: skip
        return cls._understand(path, entries, size, (reduced, mask, colour), 1, palette)

    @classmethod
    def _understand(
        cls,
        path: str,
        entries: Entries,
        size: int,
        marks: tuple[bool, bool, str],
        samples: int,
        palette: bool = False,
    ) -> Geometry:
        """The geometry of a page whose values can be read; `marks` are those of the result."""
        rows, columns = entries.integer(LENGTH, 0), entries.integer(WIDTH, 0)
        bits = entries.integer(BITS, 1)
        _refuse_several_planes(path, entries)
        dtype = _value_type(path, bits, entries.integer(SAMPLE_FORMAT, 1))
        tiled = entries.integer(TILE_WIDTH, 0) > 0 or entries.integer(TILE_LENGTH, 0) > 0
        segment, expected = _segments(path, entries, rows, columns, tiled)
        planar = samples > 1 and entries.integer(PLANAR, 1) == 2
        compression = entries.integer(COMPRESSION, NO_COMPRESSION)
        offsets_tag = TILE_OFFSETS if TILE_OFFSETS in entries else STRIP_OFFSETS
        counts_tag = TILE_COUNTS if TILE_COUNTS in entries else STRIP_COUNTS
        predictor = entries.integer(PREDICTOR, 1) if compression in PREDICTED else 1
        if predictor == 2 and bits not in (8, 16, 32, 64):
            raise ValueError(
                f"{path}: differences (predictor 2) of values of {bits} bits are not read; save it "
                f"without a predictor"
            )
        found = entries.count(offsets_tag), entries.count(counts_tag)
        needed = expected * (samples if planar else 1)
        if found[0] < needed or (found[1] < needed and (found[1] or needed > 1)):
            raise FormatError(
                f"{path}: a page of {rows} rows and {columns} columns has {needed} strips or "
                f"tiles, but places for {found[0]} and lengths for {found[1]}"
            )
        geometry = cls(
            rows,
            columns,
            dtype,
            dtype.newbyteorder(entries.layout.order),
            bits,
            compression,
            predictor,
            entries.integer(FILL_ORDER, 1),
            segment,
            tiled,
            expected,
            offsets_tag,
            counts_tag,
            found,
            *marks,
            palette,
            samples,
            planar,
            planes=max(1, entries.count(STK_PLANES)),
        )
        geometry._check_size(path, entries, size)
        return geometry

    def _check_size(self, path: str, entries: Entries, size: int) -> None:
        stored = -(-self.rows * self.columns * self.samples * self.bits // 8)
        plainly = self.compression == NO_COMPRESSION
        if plainly and stored > size and not self._has_holes(entries):
            raise FormatError(
                f"{path}: truncated or damaged: a page of {self.rows} rows and {self.columns} "
                f"columns of {self.dtype} takes {stored} bytes, but the file has {size}"
            )
        check_claim(path, self.nbytes, size)
        segment = self.segment[0] * self.segment[1] * (self.samples if self.interleaved else 1)
        check_claim(path, segment * self.dtype.itemsize, size)


def _colour(entries: Entries, bits: int) -> str:
    """See `Geometry.colour`."""
    samples = entries.integer(SAMPLES, 1)
    photometric = entries.integer(PHOTOMETRIC, 1)
    if samples == 1 and (photometric not in COLOURS or photometric == RGB):
        return ""
    if samples == 1 and photometric == PALETTE and _is_grey(entries, bits):
        return ""
    kind = COLOURS.get(photometric, "several values per pixel")
    return f"{samples} values per pixel, {kind}"


def _is_grey(entries: Entries, bits: int) -> bool:
    """Whether the palette shows each value as the intensity that it is."""
    if not 1 <= bits <= 16 or entries.count(COLOUR_MAP) != 3 << bits:
        return False
    return is_grey_ramp(entries.integers(COLOUR_MAP).reshape(3, -1), bits)


def _separable(entries: Entries) -> int:
    """How many values a pixel has, where each can be read for itself; else 0."""
    samples = entries.integer(SAMPLES, 1)
    if samples < 2 or entries.integer(PHOTOMETRIC, 1) not in (0, 1, RGB):
        return 0
    for tag in (BITS, SAMPLE_FORMAT):
        values = entries.integers(tag)
        if len(values) not in (0, 1, samples) or (values != values[:1]).any():
            return 0
    return samples


def _refuse_several_planes(path: str, entries: Entries) -> None:
    if entries.integer(IMAGE_DEPTH, 1) != 1:
        raise ValueError(
            f"{path}: several planes in one page (ImageDepth) are not read; save it by ImageJ as "
            f"TIFF"
        )


def _value_type(path: str, bits: int, sample_format: int) -> np.dtype:
    """The dtype of values of so many bits; SampleFormat 4 is "undefined"."""
    if sample_format == 3 and bits in (16, 24, 32, 64):
        return np.dtype(f"f{4 if bits == 24 else bits // 8}")
    if sample_format == 2 and bits in (8, 16, 32, 64):
        return np.dtype(f"i{bits // 8}")
    # Which byte of 24 bits comes first is told by no header; the codecs know none above 32.
    if sample_format in (1, 4) and ((1 <= bits <= 32 and bits != 24) or bits == 64):
        for width in (1, 2, 4, 8):
            if bits <= 8 * width:
                return np.dtype(f"u{width}")
    raise ValueError(
        f"{path}: values of {bits} bits and sample format {sample_format} are not read; "
        f"unsigned integers of 1 to 32 (but not 24) and of 64 bits, signed ones of 8, 16, 32 and "
        f"64, and floats of 16, 24, 32 and 64 are: save it as one of these"
    )


def _segments(
    path: str, entries: Entries, rows: int, columns: int, tiled: bool
) -> tuple[tuple[int, int], int]:
    """The shape of a strip or tile, and how many there must be."""
    if tiled:
        height, width = entries.integer(TILE_LENGTH, 0), entries.integer(TILE_WIDTH, 0)
        if height < 1 or width < 1:
            raise FormatError(f"{path}: a page claims tiles of {height} × {width}")
    else:
        height, width = min(rows, entries.integer(ROWS_PER_STRIP, rows)), columns
        if height < 1:
            raise FormatError(f"{path}: a page claims strips of {height} rows")
    return (height, width), -(-rows // height) * -(-columns // width)
