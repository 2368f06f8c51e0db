"""OME's header: XML that says which page is which time, depth and channel.

https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..base import cut_planes
from ..file_sets import FileSet
from ..options import Options
from ..page_order import choose_pages, pages_of_channel
from .geometry import LARGEST_FIELD
from .index import OME_ROOT
from .pages import TifPages
from .plan import Plan, choose_channel, mixed, number, unit_name
from .sets import AS_PAGES
from .text import decode

if TYPE_CHECKING:
    from xml.etree import ElementTree

_OWN_UUID = re.compile(r"""\sUUID\s*=\s*("[^"]*"|'[^']*')""")


def plan_ome(path: str, description: str, count: int, options: Options) -> Plan | None:
    """The plan of a file of `count` pages; None where nplanes is to cut them as they lie."""
    header, uuid = _read_header(description)
    if isinstance(header, str):
        raise FormatError(f"{path}: {header}")
    of_file = [(image, image.blocks_of(uuid, os.path.basename(path))) for image in header.images]
    images = [(image, blocks) for image, blocks in of_file if blocks]
    if len(images) != 1:
        raise ValueError(_not_one_image(path, header, len(images)))
    image, blocks = images[0]
    pixels, sizes = image.pixels, _sizes(path, image)
    planes = _page_planes(path, image, blocks, sizes, count, options)
    metadata = _ome_metadata(pixels)
    if options.nplanes is not None and options.channel is None:
        return _all_pages(planes, metadata)
    channel = _choose_channel(path, planes, sizes["C"], options)
    if options.nplanes is not None:
        return Plan("ome", pages_of_channel(path, planes, channel)[np.newaxis], metadata)
    parted = len(blocks) < image.count
    pages = choose_pages(path, planes, channel, options, 0 if parted else sizes["Z"])
    if pages.shape[1] < sizes["Z"] and parted and options.flyback is None:
        raise ValueError(_split_volumes(path, pages.shape[1], sizes["Z"]))
    return Plan("ome", pages, metadata)


def _sizes(path: str, image: _Image) -> dict[str, int]:
    """How many Z, C and T an image has; ValueError where it is colour."""
    samples = [_attribute(path, channel, "SamplesPerPixel", 1) for channel in image.channels]
    if any(n > 1 for n in samples):
        raise ValueError(f"{path}: colour images are not read; split the channels")
    return {axis: _attribute(path, image.pixels, "Size" + axis, 1) for axis in "ZCT"}


class _Image:
    """An Image element: its Pixels, and the TiffData blocks by the file that they speak of."""

    def __init__(self, element: ElementTree.Element) -> None:
        from xml.etree import ElementTree

        self.pixels = ElementTree.Element("Pixels", element.attrib)  # without what is in it
        self.channels = _children(element, "Channel")
        blocks = _children(element, "TiffData") or [ElementTree.Element("TiffData")]
        self.count = len(blocks)
        self._anywhere: list[tuple[int, ElementTree.Element]] = []
        # Blocks whose UUID element names an UUID; and all that have one, by the file's name.
        self._by_uuid: dict[str, list[tuple[int, ElementTree.Element]]] = defaultdict(list)
        self._by_name: dict[str, list[tuple[int, ElementTree.Element]]] = defaultdict(list)
        self._uuid_of: dict[str, str] = {}
        self._without_uuid: dict[str, list[tuple[int, ElementTree.Element]]] = defaultdict(list)
        for item in enumerate(blocks):
            of_file = _children(item[1], "UUID")
            if not of_file:
                self._anywhere.append(item)
                continue
            uuid, name = (of_file[0].text or "").strip().lower(), of_file[0].get("FileName", "")
            self._by_name[name].append(item)
            self._uuid_of.setdefault(name, uuid)
            if uuid:
                self._by_uuid[uuid].append(item)
            else:
                self._without_uuid[name].append(item)

    def files(self) -> list[tuple[str, str, list[ElementTree.Element]]]:
        """Each file's name, its UUID, lower case, and the blocks that speak of it."""
        return [
            (name, self._uuid_of[name], [block for _, block in items])
            for name, items in self._by_name.items()
        ]

    def blocks_of(self, uuid: str, name: str) -> list[ElementTree.Element]:
        """The blocks that speak of a file's pages and not another's."""
        if uuid:
            named, found = self._without_uuid, list(self._by_uuid.get(uuid, ()))
        else:
            named, found = self._by_name, []
        for key in {"", name}:
            found += named.get(key, ())
        return [block for _, block in sorted(self._anywhere + found, key=lambda item: item[0])]


@dataclass(frozen=True)
class OmeFiles(FileSet):
    """Files of which one OME header says which planes they have.

    Attributes
    ----------
    rows : (planes, 5) int64 ndarray
        Of each plane that the header speaks of: the file's number in `paths`, its page, and the
        plane's t, z and c.
    sizes : dict
        How many T, Z and C the image has.
    complete : bool
        Whether all the files that the header names are expected: a directory was given.
    absent : list of (str, int)
        Files that it names and that are not there, each with a channel that it has.
    """

    rows: np.ndarray = field(default_factory=lambda: np.empty((0, 5), dtype=np.int64))
    sizes: dict[str, int] = field(default_factory=dict)
    complete: bool = True
    absent: Sequence[tuple[str, int]] = ()

    def table(self, counts: np.ndarray, options: Options) -> np.ndarray:
        begins = np.cumsum(counts) - counts
        there = self.rows[:, 1] < counts[self.rows[:, 0]]
        if not there.all() and not options.incomplete:
            file, page = self.rows[~there][0, :2].tolist()
            raise FormatError(
                f"{self.paths[file]}: the OME header speaks of page {page}, but the file has "
                f"{counts[file]} pages; it is truncated or was edited; incomplete='drop' leaves "
                f"out the images that are not whole"
            )
        rows = self.rows[there]
        table = np.full((int(counts.sum()), 3), -1, dtype=np.int64)
        table[begins[rows[:, 0]] + rows[:, 1]] = rows[:, 2:]
        return table

    def choose_channel(self, table: np.ndarray, options: Options) -> int:
        channel = _choose_channel(self.paths[0], table, self.sizes["C"], options)
        absent = [name for name, c in self.absent if c == channel]
        if absent and self.complete and not options.incomplete:
            raise FormatError(
                f"{self.paths[0]}: its OME header speaks of {len(absent)} files that are not "
                f"there, the first is {absent[0]}; a pattern or list names the files that are "
                f"meant, and incomplete='drop' leaves out the images that are not whole"
            )
        return channel

    def whole(self) -> int:
        return self.sizes["Z"] if self.complete else 0

    def _arrange(self, counts: np.ndarray, options: Options) -> np.ndarray:
        pages = super()._arrange(counts, options)
        if options.nplanes is not None:
            images, planes = cut_planes(self.paths[0], pages.size, options, droppable=True)
            return pages.reshape(-1)[: images * planes].reshape(images, planes)
        if options.flyback is None and pages.shape[1] < self.sizes["Z"]:
            raise ValueError(_split_volumes(self.paths[0], pages.shape[1], self.sizes["Z"]))
        return pages


def ome_set(
    path: str, description: str, paths: Sequence[str], options: Options, complete: bool
) -> OmeFiles | None:
    """The set of files that the header of the first one describes; None where it does not.

    Parameters
    ----------
    path, description
        The first file, and the header in it.
    paths : sequence of str
        All of the files, the first too.
    options : Options
    complete : bool
        Whether they are all that there are, and not chosen by the user.
    """
    header, _ = _read_header(description)
    if isinstance(header, OmeHeader) and not header.images and header.elsewhere:
        described = _read_elsewhere(
            os.path.join(os.path.dirname(path), os.path.basename(header.elsewhere[0]))
        )
        header = _read_header(described)[0] if described else header
    if isinstance(header, str) or not header.images:
        return None
    numbers = {os.path.basename(p): number for number, p in enumerate(paths)}
    if len(numbers) < len(paths):
        return None  # of several directories: names tell no file
    uuids: dict[str, int] = {}
    files_in = [(image, image.files()) for image in header.images]
    named = {name for _, files in files_in for name, _, _ in files}
    if len(named) < 2:
        return None
    unknown = [number for name, number in numbers.items() if name not in named]
    if unknown:  # they were renamed, perhaps
        uuids = {_uuid_of(paths[number]): number for number in unknown}

    def number_of(name: str, uuid: str) -> int | None:
        return numbers.get(name, uuids.get(uuid) if uuid else None)

    images = [
        (image, files)
        for image, files in files_in
        if any(number_of(name, uuid) is not None for name, uuid, _ in files)
    ]
    if not images:
        return None
    if len(images) > 1:
        raise ValueError(
            f"{path}: its OME header describes {len(images)} images (positions), of which the "
            f"files are here; choose the files of one by a pattern"
        )
    image, files = images[0]
    found = [number_of(name, uuid) for name, uuid, _ in files]
    foreign = sorted(set(range(len(paths))) - {number for number in found if number is not None})
    if foreign:
        raise ValueError(
            f"{path}: its OME header does not speak of {len(foreign)} of the {len(paths)} files, "
            f"as of {os.path.basename(paths[foreign[0]])}; load one recording at a time, or choose "
            f"its files by a pattern"
        )
    sizes = _sizes(path, image)
    rows, absent = _rows(path, image, sizes, [*zip(found, files, strict=True)])
    return OmeFiles(
        list(paths),
        replace(options, **AS_PAGES),
        bool(rows[:, 1].any()) or len(rows) > len(paths),
        metadata=_ome_metadata(image.pixels),
        rows=rows,
        sizes=sizes,
        complete=complete,
        absent=absent,
    )


def _rows(
    path: str,
    image: _Image,
    sizes: dict[str, int],
    files: Sequence[tuple[int | None, tuple[str, str, list[ElementTree.Element]]]],
) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """See `OmeFiles`: its rows, and what is absent."""
    weight, stride = _weights(path, image, sizes)
    starts: list[tuple[int, int, int, int]] = []  # file, page, first plane, planes
    absent = []
    weights = [("First" + axis, weight[axis]) for axis in "ZCT"]
    for place, (name, _, blocks) in files:
        for block in blocks:
            first = sum([_attribute(path, block, key, 0) * step for key, step in weights])
            planes = _block_planes(path, block, stride, stride - first)
            if first + planes > stride:
                raise FormatError(f"{path}: the OME header speaks of plane {first} of {stride}")
            if place is None:
                absent.append((name, first // weight["C"] % sizes["C"]))
            else:
                starts.append((place, _attribute(path, block, "IFD", 0), first, planes))
    table = np.array(starts, dtype=np.int64).reshape(-1, 4)
    # Of a block of several planes, page and plane count up together.
    rows = np.repeat(table[:, :3], table[:, 3], axis=0)
    step = np.arange(len(rows)) - np.repeat(np.cumsum(table[:, 3]) - table[:, 3], table[:, 3])
    rows[:, 1:] += step[:, np.newaxis]
    return np.column_stack([rows[:, :2], _coordinates(rows[:, 2], weight, sizes)]), absent


def _read_elsewhere(path: str) -> str:
    """The header in another file beside the recording's, a TIFF or XML; empty without one."""
    try:
        with open(path, "rb") as file:
            if file.read(2) not in (b"II", b"MM"):
                file.seek(0)
                return decode(file.read(LARGEST_FIELD))
        return _description_of(path)
    except (OSError, ValueError):
        return ""


def _uuid_of(path: str) -> str:
    """A file's own UUID, lower case; empty where it has none."""
    try:
        return _read_header(_description_of(path))[1]
    except (OSError, ValueError):
        return ""


def _description_of(path: str) -> str:
    with TifPages(path) as pages:
        pages.find_index(1)
        return pages.index.description


class OmeHeader:
    """A header read, without what differs between the files of a set."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.images = [
            _Image(pixels)
            for image in _children(root, "Image")
            for pixels in _children(image, "Pixels")[:1]
        ]
        self.elsewhere = [b.get("MetadataFile", "") for b in _children(root, "BinaryOnly")]


@dataclass(frozen=True)
class _Read:
    """A header that was read, and its text before and after the file's own UUID."""

    before: str
    after: str
    header: OmeHeader | str

    def serves(self, text: str, begin: int, end: int) -> bool:
        return (
            (len(self.before), len(self.after)) == (begin, len(text) - end)
            and text.startswith(self.before)
            and text.endswith(self.after)
        )


# The files of a set may each have the header of all: but for the UUID that is the same text, to
# be read once, as it grows with their number. Replaced as a whole, by any thread.
_latest = _Read("", "", "")


def _read_header(text: str) -> tuple[OmeHeader | str, str]:
    """The header, or what is wrong with it; and the file's own UUID, lower case."""
    global _latest
    root = OME_ROOT.search(text)
    found = _OWN_UUID.search(root[0]) if root else None
    begin, end = (
        (len(text), len(text))
        if root is None or found is None
        else (root.start() + found.start(), root.start() + found.end())
    )
    uuid = "" if found is None else found[1][1:-1].strip().lower()
    latest = _latest
    if not latest.serves(text, begin, end):
        latest = _latest = _Read(text[:begin], text[end:], _parse(text))
    return latest.header, uuid


def _parse(text: str) -> OmeHeader | str:
    from xml.etree import ElementTree  # few files need it, and its import takes a while

    # Entities serve only attacks here.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return "the OME header defines entities"
    try:
        # As text: the encoding that it declares was that of its bytes.
        return OmeHeader(ElementTree.fromstring(text.strip(" \t\r\n\0")))
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        return f"the OME header is not valid XML: {error}"


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _attribute(path: str, element: ElementTree.Element, name: str, lowest: int) -> int:
    text = element.get(name)
    if text is None:
        return lowest
    if not (text.isascii() and text.isdigit() and len(text) <= 18) or int(text) < lowest:
        raise FormatError(f"{path}: the OME header says {name}={text[:40]!r}")
    return int(text)


def _not_one_image(path: str, header: OmeHeader, images: int) -> str:
    if images:
        return f"{path}: holds {images} OME images; save them apart"
    if header.elsewhere:
        return f"{path}: its OME header is in another file, {header.elsewhere[0]}"
    return f"{path}: the OME header lists no pages of this file"


def _split_volumes(path: str, found: int, planes: int) -> str:
    return (
        f"{path}: has {found} of the {planes} planes of each volume: its volumes lie in several "
        f"files; nplanes=1 reads single planes"
    )


def _page_planes(
    path: str,
    image: _Image,
    blocks: list[ElementTree.Element],
    sizes: dict[str, int],
    count: int,
    options: Options,
) -> np.ndarray:
    """(pages, 3): each page's (t, z, c), -1 where it is none of the image's."""
    weight, stride = _weights(path, image, sizes)
    # More pages than planes cannot be the image's; more planes may lie in other files.
    planes_of = np.full(count, -1, dtype=object if stride > 2**62 else np.int64)
    for block in blocks:
        page = _attribute(path, block, "IFD", 0)
        first = sum(_attribute(path, block, "First" + axis, 0) * weight[axis] for axis in "ZCT")
        planes = _block_planes(path, block, count - page, stride - first)
        if first + planes > stride or (page + planes > count and not options.incomplete):
            raise FormatError(
                f"{path}: the OME header speaks of page {page + planes - 1}, but the file has "
                f"{count} pages; it is truncated or was edited"
            )
        planes = max(0, min(planes, count - page))
        planes_of[page : page + planes] = range(first, first + planes)
    return _coordinates(planes_of.astype(np.int64), weight, sizes)


def _weights(path: str, image: _Image, sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """How many planes of the image lie from one T, Z or C to the next, and how many there are."""
    order = image.pixels.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT") or order[:2] != "XY":
        raise FormatError(f"{path}: the OME header says DimensionOrder={order[:40]!r}")
    stride, weight = 1, {}
    for axis in order[2:]:
        weight[axis] = stride
        stride *= sizes[axis]
    return weight, stride


def _coordinates(
    planes_of: np.ndarray, weight: dict[str, int], sizes: dict[str, int]
) -> np.ndarray:
    """(n, 3): the (t, z, c) of planes of the image by their number; -1 where that is negative."""
    found = np.full((len(planes_of), 3), -1, dtype=np.int64)
    for column, axis in enumerate("TZC"):
        found[:, column] = np.where(planes_of < 0, -1, planes_of // weight[axis] % sizes[axis])
    return found


def _block_planes(path: str, block: ElementTree.Element, pages_left: int, planes_left: int) -> int:
    """How many planes a TiffData element stands for."""
    if "PlaneCount" in block.attrib:
        return _attribute(path, block, "PlaneCount", 0)
    if "NumPlanes" in block.attrib:  # its name before the schema of 2009-09
        return _attribute(path, block, "NumPlanes", 0)
    if "IFD" in block.attrib:
        return 1
    return max(0, min(pages_left, planes_left))


def _all_pages(planes: np.ndarray, metadata: JsonObject) -> Plan | None:
    """All pages of a file by time and depth; None where the header does not tell these."""
    if len(planes) == 0 or (planes < 0).any() or len(np.unique(planes, axis=0)) < len(planes):
        return None
    channels = len(np.unique(planes[:, 2]))
    order = np.lexsort((planes[:, 1], planes[:, 0])) if channels == 1 else np.arange(len(planes))
    return Plan("ome", order[np.newaxis], metadata, note=mixed(channels))


def _choose_channel(path: str, planes: np.ndarray, channels: int, options: Options) -> int:
    """The channel to read, of those that the file has pages of."""
    here = np.unique(planes[planes[:, 2] >= 0, 2]).tolist()
    if options.channel is None and channels > 1 and len(here) == 1:
        raise ValueError(
            f"{path}: of {channels} channels it has pages of channel {here[0]} alone: choose the "
            f"files of one channel by a pattern, and say which it is by channel={here[0]}"
        )
    return choose_channel(path, channels, options)


def _ome_metadata(pixels: ElementTree.Element) -> JsonObject:
    metadata: JsonObject = {}
    size = tuple(number(pixels.get("PhysicalSize" + axis)) for axis in "YXZ")
    units = {pixels.get(f"PhysicalSize{axis}Unit", "µm") for axis in "YX"}
    if size[0] and size[1] and len(units) == 1:
        unit = units.pop()
        metadata["pixelSize"] = (*size[:2], _same_unit(size[2], pixels, unit))
        metadata["unit"] = unit_name(unit)
    interval = number(pixels.get("TimeIncrement"))
    scale = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "min": 60.0, "h": 3600.0}
    factor = scale.get(pixels.get("TimeIncrementUnit", "s"))
    if interval and interval > 0 and factor:
        metadata["frameInterval"] = interval * factor
    return metadata


def _same_unit(depth: float | None, pixels: ElementTree.Element, unit: str) -> float | None:
    return depth if pixels.get("PhysicalSizeZUnit", "µm") == unit else None
