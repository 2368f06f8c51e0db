"""What a multi-page TIFF holds and where: its header, the pixels, the pages' tables. Local.

The file begins with the header, the mark of mpimages and the first page's table, then come the
pixels of all pages in one run, (image, page, row, column), then the other pages' tables. ImageJ
takes the run as a hyperstack by the first table alone; other readers follow the tables.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from ...core.arguments import check_record_dtype
from ...core.json_types import JsonObject
from ...formats import tif_tags
from ...formats.tif_checksums import pack_mark
from ..calibration import Calibration
from ..output.piece_sums import piece_bytes
from .tables import (
    ASCII,
    LONG,
    LONG8,
    RATIONAL,
    SHORT,
    Tag,
    first_table,
    number,
    page_tables,
    table_length,
)

# The dtypes that ImageJ opens (by their one-letter codes).
IMAGEJ_CODES = "BHhf"
# Beyond this the offsets of a classic TIFF may not reach; the rest of 4 GiB is for headers.
CLASSIC_BYTES = (1 << 32) - (1 << 25)
SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3}
TABLES_AT_ONCE = 1 << 14  # some MiB
# Of a BigTIFF's table, and of the first table's mark and description: at most.
TABLE_BYTES, HEAD_BYTES = 256, 1 << 20


@dataclass(frozen=True)
class StackLayout:
    """What a file holds and where: from the shape, the dtype and the metadata alone. Local.

    Parameters
    ----------
    shape : (images, pages, rows, columns)
    dtype : dtype
    metadata : mapping
        ``pixelSize`` (per axis, None where unknown), ``unit`` and ``frameInterval`` (s) are
        written for ImageJ.
    marked : bool
        Whether the file has the mark with checksums. It has none where its directory has them.

    Raises
    ------
    ValueError
        For an empty shape, or a page of 4 GiB or more.
    TypeError
        For a dtype that TIFF does not have.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype
    metadata: JsonObject
    marked: bool = True

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueError(f"shape must have no axis of length 0, got {self.shape}")
        check_record_dtype(self.dtype, "dtype")
        if self.page_bytes >= 1 << 32:
            raise ValueError(
                f"a page of {self.page_bytes} bytes is more than a TIFF can hold in "
                "one strip: crop or subsample the images"
            )

    @property
    def pages(self) -> int:
        """Of all images."""
        return self.shape[0] * self.shape[1]

    @property
    def page_bytes(self) -> int:
        return self.shape[2] * self.shape[3] * self.dtype.itemsize

    @property
    def pixel_bytes(self) -> int:
        return self.pages * self.page_bytes

    @property
    def big(self) -> bool:
        """Whether it is a BigTIFF: offsets of 32 bits would not reach."""
        return self.pixel_bytes + self.pages * TABLE_BYTES + HEAD_BYTES > CLASSIC_BYTES

    @property
    def opens_in_imagej(self) -> bool:
        """Whether ImageJ by itself opens it: its dtypes, and no BigTIFF."""
        return not self.big and self.dtype.char in IMAGEJ_CODES

    @cached_property
    def first(self) -> int:
        """Where the pixels begin."""
        return len(self.head([0] * self._pieces()))

    @property
    def tail(self) -> int:
        """Where the second page's table begins: at an even byte."""
        end = self.first + self.pixel_bytes
        return end + end % 2 if self.pages > 1 else end

    @property
    def file_bytes(self) -> int:
        return self.tail + (self.pages - 1) * table_length(self._page_tags(), self.big)

    def _pieces(self) -> int:
        return -(-self.pixel_bytes // piece_bytes(self.pixel_bytes))

    def head(self, crcs: Sequence[int], first: int = 0, structure: int = 0) -> bytes:
        """All that stands before the pixels, which begin at byte `first`."""
        known = first > 0
        mark = b""
        if self.marked:
            mark = pack_mark(
                self.file_bytes if known else 0,
                first,
                self.pixel_bytes,
                piece_bytes(self.pixel_bytes),
                structure,
                crcs,
            )
        tags = [
            *self._page_tags(first),
            *self._resolution_tags(),
            Tag(tif_tags.DESCRIPTION, ASCII, self._description().encode("ascii") + b"\0"),
        ]
        return first_table(tags, self.big, self.tail if known and self.pages > 1 else 0, mark)

    def tables(self) -> Iterator[bytes]:
        """What follows the pixels: the tables of all pages but the first, in pieces."""
        tags = self._page_tags()
        length = table_length(tags, self.big)
        yield b"\0" * (self.tail - self.first - self.pixel_bytes)
        for start in range(1, self.pages, TABLES_AT_ONCE):
            stop = min(start + TABLES_AT_ONCE, self.pages)
            pages = np.arange(start, stop, dtype=np.int64)
            yield page_tables(
                tags,
                self.big,
                self.first + pages * self.page_bytes,
                self.tail + (pages - 1) * length,
                stop == self.pages,
            )

    def _page_tags(self, first: int = 0) -> list[Tag]:
        rows, columns = self.shape[2:]
        place = LONG8 if self.big else LONG
        return [
            number(tif_tags.WIDTH, LONG, columns),
            number(tif_tags.LENGTH, LONG, rows),
            number(tif_tags.BITS, SHORT, self.dtype.itemsize * 8),
            number(tif_tags.COMPRESSION, SHORT, 1),
            number(tif_tags.PHOTOMETRIC, SHORT, 1),
            number(tif_tags.STRIP_OFFSETS, place, first),
            number(tif_tags.SAMPLES, SHORT, 1),
            number(tif_tags.ROWS_PER_STRIP, LONG, rows),
            number(tif_tags.STRIP_COUNTS, LONG, self.page_bytes),
            number(tif_tags.SAMPLE_FORMAT, SHORT, SAMPLE_FORMATS[self.dtype.kind]),
        ]

    def _resolution_tags(self) -> list[Tag]:
        """Pixels per unit along x and y, where the metadata say it."""
        _, resolution = imagej_metadata(self.metadata, volume=self.shape[1] > 1)
        parts = [Fraction(value).limit_denominator(1_000_000) for value in resolution or ()]
        if not parts or not all(0 < part.numerator < 1 << 32 for part in parts):
            return []
        x, y = (struct.pack("<II", part.numerator, part.denominator) for part in parts)
        return [
            Tag(tif_tags.X_RESOLUTION, RATIONAL, x),
            Tag(tif_tags.Y_RESOLUTION, RATIONAL, y),
            number(tif_tags.RESOLUTION_UNIT, SHORT, 1),
        ]

    def _description(self) -> str:
        """ImageJ's: which page is what. Other readers heed it, too, whatever the dtype."""
        images, planes = self.shape[:2]
        described, _ = imagej_metadata(self.metadata, volume=planes > 1)
        lines = ["ImageJ=1.11a", f"images={self.pages}"]
        lines += [f"slices={planes}"] if planes > 1 else []
        lines += [f"frames={images}"] if images > 1 else []
        lines += ["hyperstack=true"] if self.pages > 1 else []
        lines += ["mode=grayscale", *(f"{key}={value}" for key, value in described.items())]
        return "\n".join(lines) + "\n"


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
