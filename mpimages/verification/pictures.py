"""Directories of PNGs, TIFFs or flat binary images, by their hidden manifest."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass

from ..core.json_types import JsonObject
from ..errors import FormatError
from ..formats.output_names import CONF, MANIFEST, PICTURES_FORMAT, PICTURES_VERSION, SUCCESS
from .findings import (
    LARGEST_JSON,
    Findings,
    check_names,
    check_whole,
    own_json,
    read_description,
    size_of,
)
from .pieces import Stored, find_damaged

MOST = 1 << 62
KINDS = ("tif", "bin", "png")


@dataclass(frozen=True, slots=True)
class _Picture:
    key: int
    name: str
    size: int
    crc: int


def verify_pictures(directory: str, findings: Findings) -> str:
    """Add to `findings` what is wrong with a directory of pictures: its kind."""
    manifest = own_json(directory, MANIFEST, findings)
    findings.files += 1
    kind = manifest.get("kind") if manifest is not None else None
    if kind not in KINDS:
        endings = {name.rpartition(".")[2] for name in os.listdir(directory)}
        kind = next((one for one in KINDS if one in endings), "png")
    if manifest is None:
        return kind
    try:
        pictures = _parse(manifest)
    except FormatError as error:
        findings.problem(f"{MANIFEST}: {error}")
        return kind
    beside = manifest.get("beside", {})
    check_names(directory, {MANIFEST, *beside, *(one.name for one in pictures)}, findings)
    runs = []
    for picture in pictures:
        present = size_of(directory, picture.name, picture.size, findings)
        path = os.path.join(directory, picture.name)
        runs.append(Stored(path, 0, picture.size, picture.size, [picture.crc], max(0, present)))
    for name, (size, crc) in beside.items():
        _check_small(directory, name, size, crc, findings)
    for number, first, stop, why in find_damaged(runs, findings):
        picture = pictures[number]
        findings.problem(
            f"{picture.name}: bytes [{first}, {stop}) {why}: the image of key {picture.key}"
        )
    return kind


def _check_small(directory: str, name: str, size: int, crc: int, findings: Findings) -> None:
    """Find what is wrong with a small file beside the images."""
    if size_of(directory, name, size, findings) != size:
        return
    try:
        content = read_description(os.path.join(directory, name))
    except OSError as error:
        findings.problem(f"{name}: cannot be read: {error.strerror}")
        return
    findings.bytes += len(content)
    if zlib.crc32(content) != crc:
        findings.problem(f"{name}: bytes [0, {size}) do not have their checksum")


def _parse(manifest: JsonObject) -> list[_Picture]:
    """What the manifest says; FormatError where it cannot be."""
    if manifest.get("format") != PICTURES_FORMAT or manifest.get("version") != PICTURES_VERSION:
        raise FormatError(
            f"is of format {manifest.get('format')!r:.80}, version "
            f"{manifest.get('version')!r:.80}; this mpimages verifies {PICTURES_FORMAT}, "
            f"version {PICTURES_VERSION}"
        )
    if manifest.get("complete") is not True:
        raise FormatError("says that the pictures were not finished")
    if manifest.get("kind") not in KINDS:
        raise FormatError(f"is of the unknown kind {manifest.get('kind')!r:.80}")
    _check_beside(manifest)
    sizes, crcs = _numbers(manifest)
    files = manifest.get("files")
    if not isinstance(files, dict):
        raise FormatError("does not say how the files are named")
    prefix, digits = files.get("prefix"), check_whole(files.get("digits"), "the digits", 1, 19)
    if not isinstance(prefix, str) or not prefix or "/" in prefix or "\0" in prefix:
        raise FormatError(f"its prefix is {prefix!r:.80}, which begins no file name")
    keys = _keys(files.get("keys"), len(sizes))
    names = [f"{prefix}-{key:0{digits}d}.{manifest['kind']}" for key in keys]
    return [_Picture(*row) for row in zip(keys, names, sizes, crcs, strict=True)]


def _check_beside(manifest: JsonObject) -> None:
    """FormatError unless there are a size and a checksum of each file beside the images."""
    beside = manifest.get("beside", {})
    names = {CONF, SUCCESS} if manifest["kind"] == "bin" else set()
    if not isinstance(beside, dict) or set(beside) != names:
        raise FormatError("does not say which files lie beside the images")
    for name, said in beside.items():
        if not isinstance(said, list) or len(said) != 2:
            raise FormatError(f"has no size and checksum of {name}")
        check_whole(said[0], f"the size of {name}", 0, LARGEST_JSON)
        check_whole(said[1], f"the checksum of {name}", 0, 0xFFFFFFFF)


def _numbers(manifest: JsonObject) -> tuple[list[int], list[int]]:
    """The size and the checksum of each file, in the order of their keys."""
    sizes, checksum = manifest.get("sizes"), manifest.get("checksum")
    if not isinstance(sizes, list) or not isinstance(checksum, dict):
        raise FormatError("has no checksums of the files, so that they cannot be verified")
    crcs = checksum.get("values")
    if checksum.get("kind") != "crc32" or not isinstance(crcs, list) or len(crcs) != len(sizes):
        raise FormatError("has not one checksum of the kind crc32 for each file")
    for size, crc in zip(sizes, crcs, strict=True):
        check_whole(size, "the size of a file", 1, MOST)
        check_whole(crc, "a checksum", 0, 0xFFFFFFFF)
    return sizes, crcs


def _keys(ranges: object, count: int) -> list[int]:
    """The keys that half-open ranges stand for; there must be `count`."""
    if not isinstance(ranges, list) or not all(
        isinstance(pair, list) and len(pair) == 2 for pair in ranges
    ):
        raise FormatError("does not say which keys there are")
    keys: list[int] = []
    end = 0
    for first, stop in ranges:
        check_whole(first, "the first key of a range", end, MOST)
        end = check_whole(stop, "the end of a range of keys", first + 1, first + count - len(keys))
        keys += range(first, end)
    if len(keys) != count:
        raise FormatError(f"has {len(keys)} keys, but the sizes of {count} files")
    return keys
