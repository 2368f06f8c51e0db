"""Where the pages of a TIFF lie: one strict walk along its chain of directories (IFDs).

TIFF 6.0 (Adobe, 1992), sections 2 and 15, and BigTIFF. A movie may have 100,000 pages in
one file, so the walk does as little as it can for each: it cuts the directories out, and
NumPy compares them by the thousand. Directories that differ only in where their data are
share one `Geometry`, which is parsed once. Whatever leads outside the file or in a circle
is a FormatError.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Literal

import numpy as np

from ...errors import FormatError
from ...formats.tif_tags import (
    ARTIST,
    BITS,
    COLOUR_MAP,
    DESCRIPTION,
    FLUOVIEW,
    GEOMETRY_TAGS,
    LSM,
    PLACE_TAGS,
    SAMPLE_FORMAT,
    SOFTWARE,
    STK_PLANES,
    X_RESOLUTION,
    Y_RESOLUTION,
)
from .geometry import LARGEST_FIELD, Entries, Geometry, Layout
from .text import decode

WINDOW_BYTES = 4096
BATCH = 4096
MOST_ENTRIES = 4096

UNWRITTEN = -2
# What pages say in words of 2 bytes, which lie outside of the directory where there are many.
TABLES = (COLOUR_MAP, BITS, SAMPLE_FORMAT)
LONGEST_MAP = 6 << 16  # bytes: three words for each value of 16 bits

_OTHER, _GEOMETRY, _PLACE = 0, 1, 2
NEAR = 4096  # bytes that cost less than a call of the system
# A line of ScanImage's header: of version 3, of 4 and 5, and of the later ones.
SCANIMAGE = re.compile(r"(?:^|[\r\n])[ \t]*(?:(?:scanimage\.)?SI\d*|scanimage|state)\.\w+[\w.]* *=")
SCANIMAGE_MAGIC = 117637889
NDTIFF_MAGIC = 483729
SUMMARY_MAGIC = 2355492
OME_ROOT = re.compile(r"<([\w.-]+:)?OME(?=[\s>])[^>]*")


def _tag_table() -> np.ndarray:
    table = np.full(1 << 16, _OTHER, dtype=np.uint8)
    table[list(GEOMETRY_TAGS)] = _GEOMETRY
    table[list(PLACE_TAGS)] = _PLACE
    return table


@dataclass(frozen=True, eq=False)
class TifIndex:
    """The pages of one file, thumbnails and masks left out.

    Attributes
    ----------
    layout : Layout
        Byte order and field sizes.
    size : int
        The file's size.
    ifds : (pages,) int64 ndarray
        Where each page's directory begins.
    data : (pages,) int64 ndarray
        Where its pixels begin, if they are stored as one plain run; UNWRITTEN if its directory
        says that they never were stored; -1 otherwise.
    kinds : (pages,) int32 ndarray
        Which geometry it has.
    geometries : list of Geometry
    description, software, artist : str
        The first page's ImageDescription, Software and Artist. Where ScanImage wrote it, its
        header and its description of regions, which newer versions put behind the file's head.
    pixels_per_unit : (float, float)
        The first page's resolution along (row, column), 0 where there is none.
    masks : int
        How many of the pages that were left out are marked as masks but have as many bits as
        the others.
    marks : tuple of (int, bytes)
        Of a file with one directory: the places and bytes from which all this was read.
    private : dict
        The content of the first page's tags that microscopes' programs have for themselves.
    micromanager : str
        ``'ndtiff'`` where Micro-Manager wrote it as a file of an NDTiff data set, ``'stack'`` where
        it wrote an image stack; else empty.
    """

    layout: Layout
    size: int
    ifds: np.ndarray
    data: np.ndarray
    kinds: np.ndarray
    geometries: list[Geometry]
    description: str
    pixels_per_unit: tuple[float, float]
    masks: int = 0
    marks: tuple[tuple[int, bytes], ...] = ()
    software: str = ""
    artist: str = ""
    private: dict[int, bytes] = field(default_factory=dict)
    micromanager: str = ""
    second: str = ""

    @property
    def count(self) -> int:
        """The number of pages."""
        return len(self.ifds)

    @property
    def is_imagej(self) -> bool:
        """Whether the first page's description is ImageJ's."""
        return self.description.startswith("ImageJ=")

    @property
    def is_ome(self) -> bool:
        """Whether the first page's description is OME's XML."""
        begins = OME_ROOT.search(self.description[:4096]) is not None
        return begins and self.description.rstrip(" \t\r\n\0").endswith("OME>")

    @property
    def is_fluoview(self) -> bool:
        """Whether Olympus' FluoView wrote the file."""
        return FLUOVIEW in self.private

    def of_sample(self, sample: int) -> TifIndex:
        """The index by which one value of each pixel is read."""
        return replace(self, geometries=[g.of_sample(sample) for g in self.geometries])

    @property
    def is_scanimage(self) -> bool:
        """Whether ScanImage wrote its header into the file."""
        return bool(SCANIMAGE.search(self.software) or SCANIMAGE.search(self.description))

    def geometry(self, page: int) -> Geometry:
        """The geometry of one page."""
        return self.geometries[int(self.kinds[page])]

    def describes(self, fd: int, size: int) -> bool:
        """Whether another file, open and of `size` bytes, would have this same index.

        The files of a recording mostly differ in their pixels alone.
        """
        if not self.marks or size != self.size:
            return False
        for begin, end, marks in self._stretches:
            found = os.pread(fd, end - begin, begin)
            for place, part in marks:
                if not found.startswith(part, place - begin):
                    return False
        return True

    @cached_property
    def _stretches(self) -> list[tuple[int, int, list[tuple[int, bytes]]]]:
        """The marks that lie near each other, and where: one call of the system reads them."""
        found: list[tuple[int, int, list[tuple[int, bytes]]]] = []
        for place, part in sorted(self.marks):
            end = place + len(part)
            if found and place - found[-1][1] <= NEAR:
                begin, last, marks = found.pop()
                found.append((begin, max(last, end), [*marks, (place, part)]))
            else:
                found.append((place, end, [(place, part)]))
        return found

    def extend(self, path: str, count: int, begin: int) -> TifIndex:
        """The index of a file whose only directory stands for `count` pages, which follow
        each other from byte `begin` on."""
        geometry = self.geometry(0)
        nbytes = geometry.nbytes
        if begin + count * nbytes > self.size:
            raise FormatError(
                f"{path}: truncated: its header says {count} pages of {nbytes} bytes from byte "
                f"{begin} on, but the file has {self.size} bytes"
            )
        data = begin + nbytes * np.arange(count, dtype=np.int64)
        ifds = np.full(count, self.ifds[0])
        kinds = np.zeros(count, dtype=np.int32)
        return replace(self, ifds=ifds, data=data, kinds=kinds, geometries=[geometry], marks=())


def index_tif(
    path: str, fd: int, size: int, limit: int | None = None, texts: bool = True
) -> TifIndex:
    """Walk along the directories of an open file, the first `limit` of them where given.

    Without `texts` what a header says is not read: of a set of files each may have that of all.

    Raises
    ------
    FormatError
        If the file is no TIFF, truncated, or its chain of directories is damaged.
    ValueError
        If the values of a page are of a type that no image can have.
    """
    layout, first_offset = _read_head(path, fd, size)
    table = _tag_table()
    known: dict[bytes, int] = {}
    tables: dict[bytes, int] = {}
    geometries: list[Geometry] = []
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    first: Entries | None = None
    second: Entries | None = None
    walk = _walk(path, fd, size, layout, first_offset)
    for offsets, directories in _batches(islice(walk, limit)):
        if first is None:
            first, *more = (Entries(path, fd, size, layout, part) for part in directories[:2])
            second = more[0] if more else None
        kinds = np.empty(len(offsets), dtype=np.int32)
        data = np.full(len(offsets), -1, dtype=np.int64)
        for rows, entries in _same_length(directories, layout):
            for chosen, key in _alike(_number_tables(fd, size, layout, entries, tables), table):
                sample = directories[rows[chosen[0]]]
                if key not in known:
                    known[key] = len(geometries)
                    entry = Entries(path, fd, size, layout, sample)
                    geometries.append(Geometry.parse(path, entry, size))
                geometry = geometries[known[key]]
                kinds[rows[chosen]] = known[key]
                if geometry.one_place:
                    data[rows[chosen]] = _runs(path, entries[chosen], geometry, layout, size)
        parts.append((np.asarray(offsets, dtype=np.int64), data, kinds))
    if first is None:
        raise FormatError(f"{path}: a TIFF without a page")
    ifds, data, kinds = (np.concatenate(column) for column in zip(*parts, strict=True))
    # Read now: the index outlives the open file.
    resolution = first.rational(Y_RESOLUTION), first.rational(X_RESOLUTION)
    description = first.text(DESCRIPTION) if texts else ""
    software, artist = _program(fd, first) if texts else ("", "")
    of_scanimage = SCANIMAGE.search(software or description)
    index = TifIndex(
        layout,
        size,
        ifds,
        data,
        kinds,
        geometries,
        description,
        resolution,
        second=second.text(DESCRIPTION) if of_scanimage and second else "",
        software=software,
        artist=artist,
        private=_private(first),
        micromanager=_micromanager(fd, layout),
    )
    if len(ifds) == 1 and limit is None:
        index = replace(index, marks=_marks(fd, layout, first_offset, first, texts))
    return _images_alone(index)


def _program(fd: int, first: Entries) -> tuple[str, str]:
    """See `TifIndex.software` and `TifIndex.artist`: nothing that is read depends on them."""
    try:
        software, artist = first.text(SOFTWARE), first.text(ARTIST)
    except FormatError:
        return "", ""
    head = os.pread(fd, 16, 16) if first.layout.pointer_bytes == 8 else b""
    if len(head) == 16 and not SCANIMAGE.search(software):
        magic, _, header, regions = struct.unpack("<IIII", head)
        if magic == SCANIMAGE_MAGIC and header + regions <= LARGEST_FIELD:
            software = decode(os.pread(fd, header, 32))
            artist = decode(os.pread(fd, regions, 32 + header))
    return software, artist


def _micromanager(fd: int, layout: Layout) -> str:
    """See `TifIndex.micromanager`: marks behind the file's head say it."""
    head = os.pread(fd, 28, 8) if layout.pointer_bytes == 4 else b""
    for kind, place, magic in (("ndtiff", 0, NDTIFF_MAGIC), ("stack", 24, SUMMARY_MAGIC)):
        if head[place : place + 4] == struct.pack(layout.order + "I", magic):
            return kind
    return ""


def _private(first: Entries) -> dict[int, bytes]:
    """See `TifIndex.private`. Of MetaMorph's table each value has three times its type's bytes."""
    widths = {STK_PLANES: 24, FLUOVIEW: 1, LSM: 1}
    return {
        tag: first.content(tag, width * first.count(tag))
        for tag, width in widths.items()
        if tag in first
    }


def _marks(
    fd: int, layout: Layout, offset: int, first: Entries, texts: bool
) -> tuple[tuple[int, bytes], ...]:
    """See `TifIndex.marks`."""
    (count,) = layout.count.unpack(os.pread(fd, layout.head, offset))
    whole = layout.head + count * layout.entry.itemsize + layout.pointer_bytes
    places = [(0, 2 * layout.pointer_bytes), (offset, whole)]
    tags = (X_RESOLUTION, Y_RESOLUTION, COLOUR_MAP)
    said = (DESCRIPTION, SOFTWARE, ARTIST) if texts else ()
    places += [first.place(tag) for tag in said + tags]
    return tuple((place, os.pread(fd, length, place)) for place, length in places if length)


def _read_head(path: str, fd: int, size: int) -> tuple[Layout, int]:
    head = os.pread(fd, 16, 0)
    if len(head) < 8:
        raise FormatError(f"{path}: not a TIFF: it has {size} bytes")
    orders: dict[bytes, Literal["<", ">"]] = {b"II": "<", b"MM": ">"}
    order = orders.get(head[:2])
    magic = struct.unpack_from(f"{order}H", head, 2)[0] if order else 0
    if order and magic == 42:
        return Layout.classic(order), struct.unpack_from(f"{order}I", head, 4)[0]
    if order and magic == 43 and len(head) == 16:
        width, zero, offset = struct.unpack_from(f"{order}HHQ", head, 4)
        if (width, zero) == (8, 0):
            return Layout.big(order), offset
    raise FormatError(f"{path}: not a TIFF: it begins with {head[:4]!r}")


def _walk(
    path: str, fd: int, size: int, layout: Layout, offset: int
) -> Iterator[tuple[int, bytes]]:
    """Each directory's place and bytes, without the pointer to the next."""
    seen: set[int] = set()
    head, width, pointer = layout.head, layout.entry.itemsize, layout.pointer_bytes
    count_of, next_of = layout.count.unpack_from, layout.next.unpack_from
    window, base = b"", 0
    while offset:
        if offset in seen:
            raise FormatError(f"{path}: its chain of pages is a circle at byte {offset}")
        seen.add(offset)
        at = offset - base
        if offset + head > size:
            raise FormatError(
                f"{path}: truncated: page {len(seen) - 1} is said to be at byte {offset}, but "
                f"the file has {size} bytes"
            )
        if at < 0 or at + head > len(window):
            window, base, at = os.pread(fd, WINDOW_BYTES, offset), offset, 0
        entries = count_of(window, at)[0]
        if not 0 < entries <= MOST_ENTRIES:
            raise FormatError(f"{path}: page {len(seen) - 1} claims {entries} header entries")
        end = at + head + width * entries
        if end + pointer > len(window):
            need = head + width * entries + pointer
            window, base, at = os.pread(fd, max(WINDOW_BYTES, need), offset), offset, 0
            end = head + width * entries
            if need > len(window):
                raise FormatError(
                    f"{path}: truncated within the header of page {len(seen) - 1} at byte "
                    f"{offset}; the file has {size} bytes"
                )
        yield offset, window[at + head : end]
        offset = next_of(window, end)[0]


def _batches(walk: Iterator[tuple[int, bytes]]) -> Iterator[tuple[list[int], list[bytes]]]:
    offsets: list[int] = []
    directories: list[bytes] = []
    for offset, directory in walk:
        offsets.append(offset)
        directories.append(directory)
        if len(offsets) == BATCH:
            yield offsets, directories
            offsets, directories = [], []
    if offsets:
        yield offsets, directories


def _same_length(
    directories: list[bytes], layout: Layout
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, (rows, entries) structured array) for each length of directory."""
    lengths = np.fromiter(map(len, directories), dtype=np.int64, count=len(directories))
    for length in sorted(set(lengths.tolist())):  # np.unique imports np.ma
        rows = np.flatnonzero(lengths == length)
        joined = b"".join(directories[row] for row in rows)
        yield rows, np.frombuffer(joined, dtype=layout.entry).reshape(len(rows), -1)


def _number_tables(
    fd: int, size: int, layout: Layout, entries: np.ndarray, known: dict[bytes, int]
) -> np.ndarray:
    """The directories with a number of its content in place of where a table is: pages that have
    each their own copy of it are alike."""
    numbered = entries
    for tag in TABLES:
        found = (entries["tag"] == tag) & (entries["count"] > layout.pointer_bytes // 2)
        if not found.any():
            continue
        length = min(2 * int(entries["count"][found].max()), LONGEST_MAP)
        places, which = np.unique(entries["value"][found], return_inverse=True)
        contents = [os.pread(fd, length, min(place, size)) for place in places.tolist()]
        numbers = [known.setdefault(content, len(known)) for content in contents]
        numbered = entries.copy() if numbered is entries else numbered
        numbered["value"][found] = np.array(numbers)[which]
    return numbered


def _alike(entries: np.ndarray, table: np.ndarray) -> Iterator[tuple[np.ndarray, bytes]]:
    """The rows that have one geometry, and a key that tells it: the directory with all
    that does not matter to it blanked out."""
    signature = entries.copy()
    role = table[entries["tag"]]
    for name in ("type", "count"):
        signature[name][role == _OTHER] = 0
    signature["value"][role != _GEOMETRY] = 0
    flat = signature.view(np.uint8).reshape(len(entries), -1)
    if (flat == flat[0]).all():
        yield np.arange(len(entries)), flat[0].tobytes()
        return
    rows = flat.view(f"V{flat.shape[1]}").reshape(-1)
    found: dict[bytes, list[int]] = {}
    for row, key in enumerate(rows.tolist()):
        found.setdefault(key, []).append(row)
    for key, members in found.items():
        yield np.asarray(members), key


def _runs(
    path: str, entries: np.ndarray, geometry: Geometry, layout: Layout, size: int
) -> np.ndarray:
    """See `TifIndex.data`: of pages whose directories say where they lie."""
    tags = entries["tag"][0].tolist()
    begin = layout.inline(path, entries, tags.index(geometry.offsets_tag))
    nbytes = np.full(len(begin), geometry.nbytes, dtype=np.uint64)
    if geometry.counts_tag in tags:
        nbytes = layout.inline(path, entries, tags.index(geometry.counts_tag))
    unwritten = geometry.unwritten(begin, nbytes)
    if geometry.plain:
        # Some writers leave the count 0, which a plain run does not need.
        if ((nbytes != 0) & (nbytes < geometry.nbytes) & ~unwritten).any():
            raise FormatError(
                f"{path}: a page of {geometry.nbytes} bytes is said to be stored in "
                f"{int(nbytes[(nbytes != 0) & ~unwritten].min())}"
            )
        if (begin > np.uint64(size)).any():
            raise FormatError(f"{path}: truncated: a page's data lie beyond its {size} bytes")
    known = begin.astype(np.int64) if geometry.plain else np.int64(-1)
    return np.where(unwritten, UNWRITTEN, known)


def _images_alone(index: TifIndex) -> TifIndex:
    """The index without the pages that are masks or reduced copies of others.

    Some programs mark pages of full size as reduced (NewSubfileType 1): these are images; so are
    masks where there is nothing else.
    """
    masks = np.array([geometry.mask for geometry in index.geometries])
    masks &= not masks.all()
    images = [g for g, mask in zip(index.geometries, masks, strict=True) if not mask]
    full = max(geometry.rows * geometry.columns for geometry in images)
    reduced = np.array([g.reduced and g.rows * g.columns < full for g in index.geometries])
    if not (masks | reduced).any():
        return index
    kept = ~(masks | reduced)[index.kinds]
    bits = {geometry.bits for geometry in images}
    alike = masks & np.array([geometry.bits in bits for geometry in index.geometries])
    return replace(
        index,
        ifds=index.ifds[kept],
        data=index.data[kept],
        kinds=index.kinds[kept],
        masks=int(alike[index.kinds].sum()),
    )
