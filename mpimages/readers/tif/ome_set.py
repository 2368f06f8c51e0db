"""Sets of OME-TIFFs: one header says which planes lie in which file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ...core.json_types import JsonObject
from ...errors import FormatError
from ..base import cut_planes
from ..file_sets import FileSet
from ..options import Options
from ..page_order import C, choose_pages, pages_of_channel, planes_left_out
from .geometry import LARGEST_FIELD
from .ome import (
    OmeHeader,
    OmeImage,
    attribute,
    block_planes,
    choose_ome_channel,
    coordinates,
    found_of,
    metadata_of,
    read_header,
    say_split,
    sizes_of,
    weights_of,
)
from .pages import TifPages
from .plan import pace
from .sets import AS_PAGES
from .text import decode

if TYPE_CHECKING:
    from xml.etree import ElementTree


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
        channel = choose_ome_channel(self.paths[0], table, self.sizes["C"], options)
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
        if options.nplanes is not None:
            table = self.table(counts, options)
            pages = pages_of_channel(self.paths[0], table, self.choose_channel(table, options))
            images, planes = cut_planes(self.paths[0], pages.size, options, droppable=True)
            left_out = planes_left_out(self.paths[0], np.arange(planes), options)
            kept = pages[: images * planes].reshape(images, planes)
            return np.delete(kept, left_out, axis=1)
        pages = super()._arrange(counts, options)
        if options.flyback is None and pages.shape[1] < self.sizes["Z"]:
            raise ValueError(say_split(self.paths[0], pages.shape[1], self.sizes["Z"]))
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
    header, _ = read_header(description)
    if isinstance(header, OmeHeader) and not header.images and header.elsewhere:
        described = _read_elsewhere(
            os.path.join(os.path.dirname(path), os.path.basename(header.elsewhere[0]))
        )
        header = read_header(described)[0] if described else header
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
    sizes = sizes_of(path, image)
    rows, absent = _rows(path, image, sizes, [*zip(found, files, strict=True)])
    return OmeFiles(
        list(paths),
        replace(options, **AS_PAGES),
        bool(rows[:, 1].any()) or len(rows) > len(paths),
        metadata=_metadata(path, image, rows[:, 2:], sizes, options, complete),
        found=found_of(header, image, sizes),
        rows=rows,
        sizes=sizes,
        complete=complete,
        absent=absent,
    )


def _metadata(
    path: str,
    image: OmeImage,
    table: np.ndarray,
    sizes: dict[str, int],
    options: Options,
    complete: bool,
) -> JsonObject:
    """The metadata of the images that planes make, of these times, depths and channels."""
    metadata = metadata_of(image.pixels)
    channel = options.channel or 0
    if "frameInterval" not in metadata or not (table[:, C] == channel).any():
        return metadata
    if options.nplanes is not None:
        pages = pages_of_channel(path, table, channel)[np.newaxis]
    else:
        lenient = replace(options, incomplete="drop", flyback=None)
        pages = choose_pages(path, table, channel, lenient, sizes["Z"] if complete else 0)
    return pace(metadata, table, pages, sizes, options)


def _rows(
    path: str,
    image: OmeImage,
    sizes: dict[str, int],
    files: Sequence[tuple[int | None, tuple[str, str, list[ElementTree.Element]]]],
) -> tuple[np.ndarray, list[tuple[str, int]]]:
    """See `OmeFiles`: its rows, and what is absent."""
    weight, stride = weights_of(path, image, sizes)
    starts: list[tuple[int, int, int, int]] = []  # file, page, first plane, planes
    absent = []
    weights = [("First" + axis, weight[axis]) for axis in "ZCT"]
    for place, (name, _, blocks) in files:
        for block in blocks:
            first = sum([attribute(path, block, key, 0) * step for key, step in weights])
            planes = block_planes(path, block, stride, stride - first)
            if first + planes > stride:
                raise FormatError(f"{path}: the OME header speaks of plane {first} of {stride}")
            if place is None:
                absent.append((name, first // weight["C"] % sizes["C"]))
            else:
                starts.append((place, attribute(path, block, "IFD", 0), first, planes))
    table = np.array(starts, dtype=np.int64).reshape(-1, 4)
    # Of a block of several planes, page and plane count up together.
    rows = np.repeat(table[:, :3], table[:, 3], axis=0)
    step = np.arange(len(rows)) - np.repeat(np.cumsum(table[:, 3]) - table[:, 3], table[:, 3])
    rows[:, 1:] += step[:, np.newaxis]
    return np.column_stack([rows[:, :2], coordinates(rows[:, 2], weight, sizes)]), absent


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
        return read_header(_description_of(path))[1]
    except (OSError, ValueError):
        return ""


def _description_of(path: str) -> str:
    with TifPages(path) as pages:
        pages.find_index(1)
        return pages.index.description
