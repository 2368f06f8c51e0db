"""Binary series: ``conf.json``, and its files piece by piece."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod

import numpy as np

from ..core.json_types import JsonObject
from ..errors import FormatError
from ..formats.output_names import CONF, SERIES_FORMAT, SERIES_VERSION, SUCCESS, series_file
from .findings import Findings, check_names, check_whole, own_json, size_of
from .pieces import Stored, find_damaged

DTYPES = {
    **{f"{sign}int{bits}": bits // 8 for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": bits // 8 for bits in (16, 32, 64)},
}
MOST = 1 << 62


@dataclass(frozen=True)
class _File:
    name: str
    first: int  # the number of its first pixel
    size: int
    crcs: list[int]


@dataclass(frozen=True)
class _Series:
    dims: tuple[int, ...]
    pixel_bytes: int
    piece: int
    files: list[_File]


def verify_series(directory: str, findings: Findings) -> None:
    """Add to `findings` what is wrong with a binary series."""
    _check_success(directory, findings)
    conf = own_json(directory, CONF, findings)
    findings.files += 1
    if conf is None:
        return
    try:
        series = _parse(conf)
    except FormatError as error:
        findings.problem(f"{CONF}: {error}")
        return
    check_names(directory, {CONF, SUCCESS, *(file.name for file in series.files)}, findings)
    runs = []
    for file in series.files:
        present = size_of(directory, file.name, file.size, findings)
        path = os.path.join(directory, file.name)
        runs.append(Stored(path, 0, file.size, series.piece, file.crcs, max(0, present)))
    for number, first, stop, why in find_damaged(runs, findings):
        file = series.files[number]
        low = file.first + first // series.pixel_bytes
        high = file.first + (stop - 1) // series.pixel_bytes
        findings.problem(
            f"{file.name}: bytes [{first}, {stop}) {why}: pixels "
            f"{_key(low, series.dims)} to {_key(high, series.dims)}"
        )


def _check_success(directory: str, findings: Findings) -> None:
    if not os.path.lexists(os.path.join(directory, SUCCESS)):
        findings.problem(f"{SUCCESS}: is missing: the series was not finished")
    else:
        size_of(directory, SUCCESS, 0, findings)


def _key(pixel: int, dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.unravel_index(pixel, dims))


def _parse(conf: JsonObject) -> _Series:
    """What conf.json says; FormatError where it cannot be."""
    if conf.get("format") != SERIES_FORMAT or conf.get("version") != SERIES_VERSION:
        raise FormatError(
            f"is of format {conf.get('format')!r:.80}, version {conf.get('version')!r:.80}; this "
            f"mpimages verifies {SERIES_FORMAT}, version {SERIES_VERSION}"
        )
    shape = conf.get("shape")
    if not isinstance(shape, list) or not 2 <= len(shape) <= 32:
        raise FormatError(f"its shape is {shape!r:.80}, not that of pixels and times")
    shape = [check_whole(n, "an axis of its shape", 1, MOST) for n in shape]
    dtype = conf.get("dtype")
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError(f"its dtype is {dtype!r:.80}, not one of {', '.join(DTYPES)}")
    pixel_bytes = shape[-1] * DTYPES[dtype]
    check_whole(prod(shape[:-1]) * pixel_bytes, "the number of its bytes", 1, MOST)
    index = conf.get("index")
    if not isinstance(index, list) or len(index) != shape[-1]:
        raise FormatError(f"its index does not label the {shape[-1]} values of a pixel")
    piece, values = find_checksums(conf.get("checksum"))
    files = _files(conf.get("files"), pixel_bytes, piece, values)
    pixels = sum(file.size for file in files) // pixel_bytes
    if pixels != prod(shape[:-1]):
        raise FormatError(f"its files hold {pixels} pixels, but its shape is {tuple(shape)}")
    return _Series(tuple(shape[:-1]), pixel_bytes, piece, files)


def find_checksums(field: object) -> tuple[int, JsonObject]:
    """The length of a piece, and the checksums of each file, by name; else FormatError."""
    if not isinstance(field, dict) or not isinstance(field.get("values"), dict):
        raise FormatError("has no checksums of the files, so that they cannot be verified")
    if field.get("kind") != "crc32":
        raise FormatError(f"its checksums are of the unknown kind {field.get('kind')!r:.80}")
    return check_whole(field.get("piece"), "the length of a piece", 1, MOST), field["values"]


def _files(listed: object, pixel_bytes: int, piece: int, values: JsonObject) -> list[_File]:
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise FormatError("lists no files")
    files: list[_File] = []
    pixel = 0
    for number, entry in enumerate(listed):
        name = entry.get("name")
        if name != series_file(number):
            raise FormatError(f"names {name!r:.80} where {series_file(number)} is due")
        check_whole(entry.get("first"), f"the first pixel of {name}", pixel, pixel)
        count = check_whole(entry.get("count"), f"the number of pixels of {name}", 1, MOST)
        size = count * pixel_bytes
        crcs = crcs_of(name, size, piece, values)
        files.append(_File(name, pixel, size, crcs))
        pixel += count
    return files


def crcs_of(name: str, size: int, piece: int, values: JsonObject) -> list[int]:
    """The checksums of a file's pieces; FormatError where there is not one for each."""
    crcs = values.get(name)
    if not isinstance(crcs, list) or len(crcs) != -(-size // piece):
        raise FormatError(f"has not one checksum for each piece of {name}")
    return [check_whole(crc, f"a checksum of {name}", 0, 0xFFFFFFFF) for crc in crcs]
