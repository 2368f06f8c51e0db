"""OME's header: XML that says which page is which time, depth and channel.

https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

import os
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ..errors import FormatError
from .options import Options
from .tifplan import Plan, choose_channel, number, unit_name

__all__ = ["is_ome", "plan_ome"]


REGARDLESS = "nplanes=, without channel=, cuts all of its pages, those of all channels, into images"


def is_ome(description: str) -> bool:
    """Whether a first page's description is OME's XML."""
    begins = re.search(r"<([\w.-]+:)?OME[\s>]", description[:4096])
    return bool(begins) and description.rstrip(" \t\r\n\0").endswith("OME>")


def plan_ome(path: str, description: str, count: int, options: Options) -> Plan | None:
    root = _parse_xml(path, description)
    images = [image for image in _children(root, "Image") if _own(path, root, image)]
    if len(images) != 1:
        if options.nplanes is not None and options.channel is None:
            return None
        raise ValueError(_not_one_image(path, root, len(images)))
    pixels = _children(images[0], "Pixels")[0]
    sizes = {axis: _attribute(path, pixels, "Size" + axis, 1) for axis in "ZCT"}
    samples = [
        _attribute(path, channel, "SamplesPerPixel", 1) for channel in _children(pixels, "Channel")
    ]
    if any(n > 1 for n in samples):
        raise ValueError(f"{path}: colour images are not read; split the channels")
    channel = choose_channel(path, sizes["C"], options)
    planes = _page_planes(path, root, pixels, sizes, count)
    if options.nplanes is not None:
        pages = _in_order(path, planes, channel)[np.newaxis]
    else:
        pages = _grid(path, planes, channel)
        blocks = _children(pixels, "TiffData")
        if pages.shape[1] < sizes["Z"] and not all(_is_here(path, root, b) for b in blocks):
            raise ValueError(_split_volumes(path, pages.shape[1], sizes["Z"]))
    return Plan("ome", pages, _ome_metadata(pixels))


def _parse_xml(path: str, description: str) -> ElementTree.Element:
    # Entities serve only attacks here.
    if "<!DOCTYPE" in description or "<!ENTITY" in description:
        raise FormatError(f"{path}: the OME header defines entities")
    try:
        # As text: the encoding that it declares was that of its bytes.
        return ElementTree.fromstring(description.strip(" \t\r\n\0"))
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: the OME header is not valid XML: {error}") from None


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [child for child in element if child.tag.rpartition("}")[2] == name]


def _attribute(path: str, element: ElementTree.Element, name: str, lowest: int) -> int:
    text = element.get(name, str(lowest))
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < lowest:
        raise FormatError(f"{path}: the OME header says {name}={text[:40]!r}")
    return int(text)


def _own(path: str, root: ElementTree.Element, image: ElementTree.Element) -> bool:
    """Whether pages of this file belong to the image."""
    for pixels in _children(image, "Pixels"):
        blocks = _children(pixels, "TiffData")
        if not blocks or any(_is_here(path, root, block) for block in blocks):
            return True
    return False


def _is_here(path: str, root: ElementTree.Element, block: ElementTree.Element) -> bool:
    """Whether a TiffData element speaks of this file's pages and not another's."""
    for uuid in _children(block, "UUID"):
        own, named = root.get("UUID"), (uuid.text or "").strip()
        if own and named:
            return own.strip().lower() == named.lower()
        return uuid.get("FileName", "") in ("", os.path.basename(path))
    return True


def _not_one_image(path: str, root: ElementTree.Element, images: int) -> str:
    if images:
        return f"{path}: holds {images} OME images; save them apart; {REGARDLESS}"
    elsewhere = [block.get("MetadataFile") for block in _children(root, "BinaryOnly")]
    if elsewhere:
        return f"{path}: its OME header is in another file, {elsewhere[0]}; {REGARDLESS}"
    return f"{path}: the OME header lists no pages of this file; {REGARDLESS}"


def _split_volumes(path: str, found: int, planes: int) -> str:
    return (
        f"{path}: has {found} of the {planes} planes of each volume: its volumes lie in several "
        f"files; nplanes=1 reads single planes"
    )


def _page_planes(
    path: str,
    root: ElementTree.Element,
    pixels: ElementTree.Element,
    sizes: dict[str, int],
    count: int,
) -> np.ndarray:
    """(pages, 3): each page's (t, z, c), -1 where it is none of the image's."""
    order = pixels.get("DimensionOrder", "XYZCT")
    if sorted(order) != sorted("XYZCT") or order[:2] != "XY":
        raise FormatError(f"{path}: the OME header says DimensionOrder={order[:40]!r}")
    fastest_first = order[2:]
    stride, weight = 1, {}
    for axis in fastest_first:
        weight[axis] = stride
        stride *= sizes[axis]
    # More pages than planes cannot be the image's; more planes may lie in other files.
    planes_of = np.full(count, -1, dtype=object if stride > 2**62 else np.int64)
    for block in _children(pixels, "TiffData") or [ElementTree.Element("TiffData")]:
        if not _is_here(path, root, block):
            continue
        page = _attribute(path, block, "IFD", 0)
        first = sum(_attribute(path, block, "First" + axis, 0) * weight[axis] for axis in "ZCT")
        planes = _block_planes(path, block, count - page, stride - first)
        if page + planes > count or first + planes > stride or planes < 0:
            raise FormatError(
                f"{path}: the OME header speaks of page {page + planes - 1}, but the file has "
                f"{count} pages; it is truncated or was edited"
            )
        planes_of[page : page + planes] = range(first, first + planes)
    planes_of = planes_of.astype(np.int64)
    planes3 = np.full((count, 3), -1, dtype=np.int64)
    for column, axis in enumerate("TZC"):
        planes3[:, column] = np.where(planes_of < 0, -1, planes_of // weight[axis] % sizes[axis])
    return planes3


def _block_planes(path: str, block: ElementTree.Element, pages_left: int, planes_left: int) -> int:
    """How many planes a TiffData element stands for."""
    if "PlaneCount" in block.attrib:
        return _attribute(path, block, "PlaneCount", 0)
    if "NumPlanes" in block.attrib:  # its name before the schema of 2009-09
        return _attribute(path, block, "NumPlanes", 0)
    if "IFD" in block.attrib:
        return 1
    return max(0, min(pages_left, planes_left))


def _in_order(path: str, planes: np.ndarray, channel: int) -> np.ndarray:
    """The pages of one channel, by time and depth."""
    chosen = np.flatnonzero(planes[:, 2] == channel)
    if chosen.size == 0:
        raise ValueError(
            f"{path}: none of its pages is of channel {channel}: it is one file of several; "
            f"choose the files of one channel by a pattern"
        )
    return chosen[np.lexsort((planes[chosen, 1], planes[chosen, 0]))]


def _grid(path: str, planes: np.ndarray, channel: int) -> np.ndarray:
    """(images, planes): the pages of one channel, by time and depth."""
    chosen = _in_order(path, planes, channel)
    times, time = np.unique(planes[chosen, 0], return_inverse=True)
    depths, depth = np.unique(planes[chosen, 1], return_inverse=True)
    pages = np.full((times.size, depths.size), -1, dtype=np.int64)
    pages[time, depth] = chosen
    if chosen.size != pages.size or (pages < 0).any():
        raise FormatError(
            f"{path}: of channel {channel} it has {chosen.size} pages, which are not "
            f"{times.size} times of {depths.size} planes each; nplanes= cuts it regardless"
        )
    return pages


def _ome_metadata(pixels: ElementTree.Element) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
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
