"""OME's header: XML that says which page is which time, depth and channel.

https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..options import Options
from ..page_order import choose_channel, choose_pages, pages_of_channel
from .index import OME_ROOT
from .plan import Plan, mixed, number, pace, sizes_found, unit_name

if TYPE_CHECKING:
    from xml.etree import ElementTree

_OWN_UUID = re.compile(r"""\sUUID\s*=\s*("[^"]*"|'[^']*')""")


def plan_ome(path: str, description: str, count: int, options: Options) -> Plan | None:
    """The plan of a file of `count` pages; None where nplanes is to cut them as they lie."""
    header, uuid = read_header(description)
    if isinstance(header, str):
        raise FormatError(f"{path}: {header}")
    of_file = [(image, image.blocks_of(uuid, os.path.basename(path))) for image in header.images]
    images = [(image, blocks) for image, blocks in of_file if blocks]
    if len(images) != 1:
        raise ValueError(_not_one_image(path, header, len(images)))
    image, blocks = images[0]
    pixels, sizes = image.pixels, sizes_of(path, image)
    planes = _page_planes(path, image, blocks, sizes, count, options)
    plan = Plan("ome", metadata=metadata_of(pixels), found=found_of(header, image, sizes))
    if options.nplanes is not None and options.channel is None:
        return _all_pages(planes, plan, sizes, options)
    channel = choose_ome_channel(path, planes, sizes["C"], options)
    if options.nplanes is not None:
        pages = pages_of_channel(path, planes, channel)[np.newaxis]
        return replace(
            plan, pages=pages, metadata=pace(plan.metadata, planes, pages, sizes, options)
        )
    parted = len(blocks) < image.count
    pages = choose_pages(path, planes, channel, options, 0 if parted else sizes["Z"])
    if pages.shape[1] < sizes["Z"] and parted and options.flyback is None:
        raise ValueError(say_split(path, pages.shape[1], sizes["Z"]))
    return replace(plan, pages=pages, metadata=pace(plan.metadata, planes, pages, sizes, options))


def sizes_of(path: str, image: OmeImage) -> dict[str, int]:
    """How many Z, C and T an image has; ValueError where it is colour."""
    samples = [attribute(path, channel, "SamplesPerPixel", 1) for channel in image.channels]
    if any(n > 1 for n in samples):
        raise ValueError(f"{path}: colour images are not read; split the channels")
    return {axis: attribute(path, image.pixels, "Size" + axis, 1) for axis in "ZCT"}


def found_of(header: OmeHeader, image: OmeImage, sizes: dict[str, int]) -> JsonObject:
    """`Header.found` of an image."""
    order = image.pixels.get("DimensionOrder", "XYZCT")
    found: JsonObject = {"program": header.program, "axes": sizes_found(order[2:], sizes)}
    names = [channel.get("Name", "") for channel in image.channels]
    if any(names):
        found["channels"] = names
    return found


class OmeImage:
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


class OmeHeader:
    """A header read, without what differs between the files of a set."""

    def __init__(self, root: ElementTree.Element) -> None:
        self.images = [
            OmeImage(pixels)
            for image in _children(root, "Image")
            for pixels in _children(image, "Pixels")[:1]
        ]
        self.program = root.get("Creator", "OME")
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


def read_header(text: str) -> tuple[OmeHeader | str, str]:
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


def attribute(path: str, element: ElementTree.Element, name: str, lowest: int) -> int:
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


def say_split(path: str, found: int, planes: int) -> str:
    return (
        f"{path}: has {found} of the {planes} planes of each volume: its volumes lie in several "
        f"files; nplanes=1 reads single planes"
    )


def _page_planes(
    path: str,
    image: OmeImage,
    blocks: list[ElementTree.Element],
    sizes: dict[str, int],
    count: int,
    options: Options,
) -> np.ndarray:
    """(pages, 3): each page's (t, z, c), -1 where it is none of the image's."""
    weight, stride = weights_of(path, image, sizes)
    # More pages than planes cannot be the image's; more planes may lie in other files.
    planes_of = np.full(count, -1, dtype=object if stride > 2**62 else np.int64)
    for block in blocks:
        page = attribute(path, block, "IFD", 0)
        first = sum(attribute(path, block, "First" + axis, 0) * weight[axis] for axis in "ZCT")
        planes = block_planes(path, block, count - page, stride - first)
        if first + planes > stride or (page + planes > count and not options.incomplete):
            raise FormatError(
                f"{path}: the OME header speaks of page {page + planes - 1}, but the file has "
                f"{count} pages; it is truncated or was edited"
            )
        planes = max(0, min(planes, count - page))
        planes_of[page : page + planes] = range(first, first + planes)
    return coordinates(planes_of.astype(np.int64), weight, sizes)


def weights_of(path: str, image: OmeImage, sizes: dict[str, int]) -> tuple[dict[str, int], int]:
    """How many planes of the image lie from one T, Z or C to the next, and how many there are."""
    order = image.pixels.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT") or order[:2] != "XY":
        raise FormatError(f"{path}: the OME header says DimensionOrder={order[:40]!r}")
    stride, weight = 1, {}
    for axis in order[2:]:
        weight[axis] = stride
        stride *= sizes[axis]
    return weight, stride


def coordinates(planes_of: np.ndarray, weight: dict[str, int], sizes: dict[str, int]) -> np.ndarray:
    """(n, 3): the (t, z, c) of planes of the image by their number; -1 where that is negative."""
    found = np.full((len(planes_of), 3), -1, dtype=np.int64)
    for column, axis in enumerate("TZC"):
        found[:, column] = np.where(planes_of < 0, -1, planes_of // weight[axis] % sizes[axis])
    return found


def block_planes(path: str, block: ElementTree.Element, pages_left: int, planes_left: int) -> int:
    """How many planes a TiffData element stands for."""
    if "PlaneCount" in block.attrib:
        return attribute(path, block, "PlaneCount", 0)
    if "NumPlanes" in block.attrib:  # its name before the schema of 2009-09
        return attribute(path, block, "NumPlanes", 0)
    if "IFD" in block.attrib:
        return 1
    return max(0, min(pages_left, planes_left))


def _all_pages(
    planes: np.ndarray, plan: Plan, sizes: dict[str, int], options: Options
) -> Plan | None:
    """All pages of a file by time and depth; None where the header does not tell these."""
    if len(planes) == 0 or (planes < 0).any() or len(np.unique(planes, axis=0)) < len(planes):
        return None
    channels = len(np.unique(planes[:, 2]))
    order = np.lexsort((planes[:, 1], planes[:, 0])) if channels == 1 else np.arange(len(planes))
    pages, one = order[np.newaxis], {**sizes, "C": channels}
    metadata = pace(plan.metadata, planes, pages, one, options)
    return replace(plan, pages=pages, metadata=metadata, note=mixed(channels))


def choose_ome_channel(path: str, planes: np.ndarray, channels: int, options: Options) -> int:
    """The channel to read, of those that the file has pages of."""
    here = np.unique(planes[planes[:, 2] >= 0, 2]).tolist()
    if options.channel is None and channels > 1 and len(here) == 1:
        raise ValueError(
            f"{path}: of {channels} channels it has pages of channel {here[0]} alone: choose the "
            f"files of one channel by a pattern, and say which it is by channel={here[0]}"
        )
    return choose_channel(path, channels, options.channel)


def metadata_of(pixels: ElementTree.Element) -> JsonObject:
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
