"""A Zarr of mpimages: its documents, which files there are, and the values of each array.

The mark in the root's document has the CRC-32 of the pieces of each array's values, in C order and
little-endian, however they are stored, and that of each other document; it ends with its own. What
is no value is looked at as well: a shard has its chunks one after the other and their index, and
nothing but zeros lies behind the end of an array.
"""

from __future__ import annotations

import math
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from ..core.json_types import JsonObject
from ..dims import covering_chunks, pixel_boxes
from ..errors import FormatError
from ..formats.output_names import (
    ZARR_ARRAY,
    ZARR_ATTRIBUTES,
    ZARR_DOCUMENTS,
    ZARR_NODE,
    ZARR_VERSION,
    zarr_mark,
)
from ..formats.zarr.array import ZarrArray
from ..formats.zarr.names import ARRAY_V2, GROUP_V2
from .boxes import find_damaged_boxes
from .findings import Findings, check_whole, read_description, read_json
from .pieces import WRONG, Feed, on_threads, thread_count
from .zarr_files import StoredArray

# How the root's document ends: the mark's last member is the CRC-32 of all bytes before it.
ZARR_END = re.compile(rb'"crc32": "([0-9a-f]{8})"\s*(?:\}\s*){2,3}\Z')
MOST = 1 << 62
MOST_NAMED = 8
# No codec makes more of its bytes: what claims to be larger is damage, not data.
SMALL_CLAIM, LARGEST_RATIO = 1 << 24, 1 << 16


def verify_zarr(directory: str, findings: Findings) -> None:
    """Add to `findings` what is wrong with a Zarr."""
    root = ZARR_NODE if os.path.lexists(os.path.join(directory, ZARR_NODE)) else ZARR_ATTRIBUTES
    findings.files += 1
    described = _own_document(directory, root, findings)
    if described is None:
        return
    try:
        arrays, documents = _parse(zarr_mark(described), root)
    except FormatError as error:
        findings.problem(f"{root}: {error}")
        return
    damaged = [name for name in documents if not _is_sound(directory, name, documents, findings)]
    stored = []
    for name, (piece, crcs) in arrays.items():
        if not {f"{name}/{ZARR_NODE}", f"{name}/{ARRAY_V2}"} & {*damaged}:
            try:
                stored.append(StoredArray.from_document(directory, name, piece, crcs))
            except (OSError, FormatError) as error:
                findings.problem(f"{name}: {error}")
    for relative in _foreign(directory, {root, *documents}, {*arrays}, stored):
        findings.problem(f"{relative}: is not part of this output")
    images = zarr_mark(described).get("layout") == "images"
    for array in stored:
        _verify_array(array, images, findings)


# -- documents -----------------------------------------------------------------------------------


def _own_document(directory: str, name: str, findings: Findings) -> JsonObject | None:
    """The root's document, checked against its own checksum; None where it is none."""
    found = read_json(directory, name, findings)
    if found is None:
        return None
    value, content = found
    end = ZARR_END.search(content)
    if end is None:
        findings.problem(f"{name}: has no checksum of its own, so that it cannot be verified")
    elif int(end[1], 16) != zlib.crc32(content[: end.start()]):
        findings.problem(
            f"{name}: bytes [0, {len(content)}) do not have their checksum: it was changed, and "
            "what it says of the data may be wrong"
        )
    return value


def _is_sound(directory: str, name: str, documents: dict[str, int], findings: Findings) -> bool:
    """Whether a document is there and has its checksum."""
    findings.files += 1
    path = os.path.join(directory, name)
    try:
        if not _is_regular(directory, name):
            findings.problem(f"{name}: is a link, a directory or a device, not a file")
            return False
        content = read_description(path)
    except FileNotFoundError:
        findings.problem(f"{name}: is missing")
        return False
    except OSError as error:
        findings.problem(f"{name}: cannot be read: {error.strerror}")
        return False
    findings.bytes += len(content)
    if zlib.crc32(content) == documents[name]:
        return True
    findings.problem(f"{name}: bytes [0, {len(content)}) {WRONG}")
    return False


def _is_regular(directory: str, name: str) -> bool:
    """Whether a relative path is that of a file, and no link is on the way."""
    above = os.path.dirname(name)
    if above and not stat.S_ISDIR(os.lstat(os.path.join(directory, above)).st_mode):
        return False
    return stat.S_ISREG(os.lstat(os.path.join(directory, name)).st_mode)


def _parse(mark: JsonObject, root: str) -> tuple[dict[str, tuple[int, np.ndarray]], dict[str, int]]:
    """The checksums of each array's values and of each document; FormatError without them."""
    if mark.get("version") != ZARR_VERSION:
        raise FormatError(
            f"is of version {mark.get('version')!r:.80}; this mpimages verifies version "
            f"{ZARR_VERSION}"
        )
    listed, documents = mark.get("arrays"), mark.get("documents")
    if not isinstance(listed, dict) or not listed or not isinstance(documents, dict):
        raise FormatError("has no checksums of arrays and documents, so that nothing is verified")
    arrays = {}
    for name, said in listed.items():
        if not ZARR_ARRAY.fullmatch(name) or not isinstance(said, dict):
            raise FormatError(f"names an array {name!r:.80}, which mpimages never does")
        piece = check_whole(said.get("piece"), f"the length of a piece of {name}", 1, MOST)
        crcs = said.get("checksum")
        if not isinstance(crcs, list):
            raise FormatError(f"has no checksums of the values of {name}")
        for crc in crcs:
            check_whole(crc, f"a checksum of {name}", 0, 0xFFFFFFFF)
        arrays[name] = (piece, np.array(crcs, np.int64))
    makes = ZARR_NODE if root == ZARR_NODE else ARRAY_V2
    due = {f"{name}/{makes}" for name in arrays} | ({GROUP_V2} if makes == ARRAY_V2 else set())
    for name, crc in documents.items():
        check_whole(crc, f"the checksum of {name}", 0, 0xFFFFFFFF)
        array, _, document = name.rpartition("/")
        if document not in ZARR_DOCUMENTS or (array and array not in arrays) or name == root:
            raise FormatError(f"names a document {name!r:.80}, which mpimages never does")
    if not due <= set(documents):
        raise FormatError(f"has no checksum of {min(due - set(documents))}")
    return arrays, documents


def _foreign(
    directory: str, documents: set[str], arrays: set[str], stored: Sequence[StoredArray]
) -> Iterator[str]:
    """What lies in a Zarr and does not belong there; a directory ends in a slash."""
    known = {array.name: array for array in stored}

    def look(above: str) -> Iterator[str]:
        with os.scandir(os.path.join(directory, above)) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = above + entry.name
            array, _, below = path.partition("/")
            if path in documents or (below and array in arrays and array not in known):
                continue
            if entry.is_dir(follow_symlinks=False):
                if array in arrays and (not below or known[array].array.has(below + "/")):
                    yield from look(path + "/")
                else:
                    yield path + "/"
            elif not below or not known[array].array.has(below):
                yield path

    return look("")


def _verify_array(stored: StoredArray, images: bool, findings: Findings) -> None:
    """Add to `findings` what is wrong with the files and the values of an array."""
    array = stored.array
    findings.files += math.prod(array.grid)
    sizes: list[int] = []

    def check(feed: Feed[tuple[int, ...]]) -> int:
        sizes.extend(stored.check_file(number) for number in feed)
        return 0

    on_threads(np.ndindex(*array.grid), check, thread_count(), findings)
    claimed = max(array.codecs.nbytes, math.prod(array.shape) * array.dtype.itemsize)
    found: list[tuple[int, int, str]] = []
    if claimed <= max(SMALL_CLAIM, sum(sizes) * LARGEST_RATIO):
        found = find_damaged_boxes(stored, stored.piece, stored.crcs, findings, thread_count())
    else:
        findings.problem(f"{stored.name}: claims to hold {claimed} bytes, which its files cannot")
    for (number, place), why in sorted(stored.damaged.items()):
        low, high = _corners(array, number, place)
        findings.problem(f"{stored.path(number)}: {why}: {_extent_text(low, high, images)}")
    for first, stop, why in found:
        if why != WRONG:
            continue  # that has been said
        size = array.dtype.itemsize
        begin, end = first // size, (stop - 1) // size
        low, high = (
            [int(n) for n in np.unravel_index(value, array.shape)] for value in (begin, end)
        )
        findings.problem(
            f"{_file_names(stored, begin, end + 1)}: bytes [{first}, {stop}) of the values of "
            f"{stored.name!r} {why}: {_extent_text(low, high, images)}"
        )


def _file_names(stored: StoredArray, first: int, stop: int) -> str:
    """The files that have values of a range, as far as they are few."""
    shard = stored.array.shard
    numbers: set[tuple[int, ...]] = set()
    for start, extent in pixel_boxes(stored.shape, first, stop):
        numbers.update(covering_chunks(start, extent, shard))
    names = [stored.path(number) for number in sorted(numbers)]
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]}, {len(names)} files"


def _corners(array: ZarrArray, number: Sequence[int], place: int) -> tuple[list[int], list[int]]:
    """The first and the last value of a chunk of a file, or of all of it, within the array."""
    low = [n * s for n, s in zip(number, array.shard, strict=True)]
    size: Sequence[int] = array.shard
    if place >= 0:
        inner = np.unravel_index(place, array.inner)
        low = [a + int(i) * c for a, i, c in zip(low, inner, array.chunk, strict=True)]
        size = array.chunk
    last = [n - 1 for n in array.shape]
    high = [min(a + n - 1, z) for a, n, z in zip(low, size, last, strict=True)]
    return [min(a, z) for a, z in zip(low, last, strict=True)], high


def _extent_text(low: Sequence[int], high: Sequence[int], images: bool) -> str:
    """What of a recording lies from one value to another."""
    if not images:
        return f"pixels {tuple(low[:-1])} to {tuple(high[:-1])}"
    return f"image {low[0]}" if low[0] == high[0] else f"images {low[0]} to {high[0]}"
