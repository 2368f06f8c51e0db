"""The tables of a TIFF's pages as bytes: classic, or BigTIFF. Little-endian."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...formats import tif_tags
from ...formats.tif_checksums import MARK_PLACE

ASCII, SHORT, LONG, RATIONAL, LONG8 = 2, 3, 4, 5, 16
SIZES = {SHORT: 2, LONG: 4, RATIONAL: 8, LONG8: 8}
# The pixels begin here or at a multiple of it, so that they can be mapped whatever their dtype.
ALIGNMENT = 16


@dataclass(frozen=True, order=True)
class Tag:
    """A tag's number, its type, and its value as bytes."""

    tag: int
    kind: int
    value: bytes

    @property
    def count(self) -> int:
        return len(self.value) // SIZES.get(self.kind, 1)


def number(tag: int, kind: int, value: int) -> Tag:
    """A tag of one number."""
    return Tag(tag, kind, value.to_bytes(SIZES[kind], "little"))


@dataclass(frozen=True)
class _Form:
    head: bytes  # of the file: the place of the first table follows
    count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct

    def length(self, tags: Sequence[Tag]) -> int:
        return self.count.size + len(tags) * self.entry.size + self.offset.size


CLASSIC = _Form(b"II*\0", struct.Struct("<H"), struct.Struct("<HHI4s"), struct.Struct("<I"))
BIG = _Form(b"II+\0\x08\0\0\0", struct.Struct("<Q"), struct.Struct("<HHQ8s"), struct.Struct("<Q"))


def first_table(tags: Sequence[Tag], big: bool, following: int, mark: bytes) -> bytes:
    """The file's header, a mark at byte MARK_PLACE, and the first table with the values that do
    not fit into it.

    `following` is where the next table is, 0 where there is none. The length does not depend
    on it, nor on the numbers in the tags.
    """
    form = BIG if big else CLASSIC
    start = MARK_PLACE + len(mark)
    start += -start % 8
    place = start + form.length(tags)
    place += -place % 8
    entries, values = b"", b""
    for tag in sorted(tags):
        inline = tag.value
        if len(inline) > form.offset.size:
            inline = form.offset.pack(place + len(values))
            values += tag.value + b"\0" * (-len(tag.value) % 8)
        entries += form.entry.pack(tag.tag, tag.kind, tag.count, inline)
        # Values begin at multiples of 8, as readers of BigTIFF may ask.
    head = (form.head + form.offset.pack(start)).ljust(MARK_PLACE, b"\0") + mark
    table = form.count.pack(len(tags)) + entries + form.offset.pack(following)
    whole = (head.ljust(start, b"\0") + table).ljust(place, b"\0") + values
    return whole + b"\0" * (-len(whole) % ALIGNMENT)


def page_tables(
    tags: Sequence[Tag], big: bool, strips: np.ndarray, places: np.ndarray, last: bool
) -> bytes:
    """The tables of pages that lie one after another, without the first page's.

    Parameters
    ----------
    tags : sequence of Tag
        All of one number; that of the strip is filled in.
    strips, places : (n,) int64 ndarray
        Where each page's pixels begin, and each table itself.
    last : bool
        Whether no table follows these.
    """
    form = BIG if big else CLASSIC
    ordered = sorted(tags)
    length = form.length(ordered)
    entries = b"".join(form.entry.pack(t.tag, t.kind, t.count, t.value) for t in ordered)
    template = form.count.pack(len(ordered)) + entries + form.offset.pack(0)
    made = np.tile(np.frombuffer(template, np.uint8), (len(strips), 1))
    following = places + length
    if last:
        following[-1] = 0
    which = [tag.tag for tag in ordered].index(tif_tags.STRIP_OFFSETS) + 1
    strip = form.count.size + which * form.entry.size - form.offset.size
    dtype = np.dtype("<u8" if big else "<u4")
    for at, offsets in ((strip, strips), (length - form.offset.size, following)):
        made[:, at : at + dtype.itemsize] = (
            offsets.astype(dtype).view(np.uint8).reshape(len(strips), -1)
        )
    return made.tobytes()


def table_length(tags: Sequence[Tag], big: bool) -> int:
    """How many bytes a table of `page_tables` has."""
    return (BIG if big else CLASSIC).length(tags)
