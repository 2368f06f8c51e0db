"""Binary series: consecutive blocks of the C-order array dims + (T,), values only.

Thunder 1.x writes ``series-*.bin`` and a conf.json with ``shape`` and ``dtype``. Here the
conf.json lists the files besides, and an empty ``SUCCESS`` says that all were written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import Literal

import numpy as np

from ...core.arguments import check_dtype, check_int, check_ints, check_text, image_dtype
from ...core.json_types import JsonObject
from ...errors import FormatError
from ...formats.output_names import SERIES_FORMAT, SERIES_PREFIX, SERIES_VERSION, SUCCESS
from ..base import Scratch
from ..byte_ranges import byteswap, read_conf
from ..hdf5.datasets import plain_metadata
from ..registry import FORMATS
from .files import FileSequence, data_files
from .header import SeriesHandle, SeriesHeader, SeriesOptions


def inspect_binary(path: str, options: SeriesOptions) -> SeriesHeader:
    """What a directory of binary files is. See `inspect_series`."""
    from .keyed import inspect_keyed

    conf_path = os.path.join(path, options.confFilename)
    conf = read_conf(conf_path)
    if conf is None:
        if options.nkeys is None or options.nvalues is None:
            _refuse_images(path)
            raise FileNotFoundError(
                f"{conf_path}: does not exist; a binary Series needs it to say what the values "
                f'are, as {{"shape": [rows, columns, values], "dtype": "int16"}}, or nkeys and '
                f"nvalues if it is one of Thunder 0.x"
            )
        return inspect_keyed(path, {}, options)
    if conf.get("format") == SERIES_FORMAT:
        return _inspect_ours(path, conf_path, conf, options)
    if "shape" in conf:
        return _inspect_thunder(path, conf_path, conf, options)
    if {"nkeys", "nvalues"} & conf.keys() or (options.nkeys and options.nvalues):
        return inspect_keyed(path, conf, options)
    if "dims" in conf:
        raise ValueError(f"{conf_path}: describes images; load them by loadImages")
    raise FormatError(f"{conf_path}: does not describe a Series: it has no shape")


def _refuse_images(path: str) -> None:
    """Raise ValueError where a directory holds images, which are no Series yet."""
    endings = (*FORMATS["tif"].extensions, *FORMATS["png"].extensions)
    with suppress(OSError):
        if any(name.lower().endswith(endings) for name in os.listdir(path)):
            raise ValueError(f"{path}: holds images, and no Series: loadImages(…).toSeries()")


def _inspect_ours(
    path: str, conf_path: str, conf: JsonObject, options: SeriesOptions
) -> SeriesHeader:
    if conf.get("version") != SERIES_VERSION:
        raise FormatError(
            f"{conf_path}: format version {conf.get('version')!r}, but this mpimages reads "
            f"version {SERIES_VERSION}"
        )
    if not os.path.isfile(os.path.join(path, SUCCESS)):
        raise FormatError(f"{path}: unfinished: it has no {SUCCESS}; write it again")
    header = _parse_conf(path, conf_path, conf, options, "<")
    names, counts = _listed_files(conf_path, conf.get("files"))
    for name in names:
        _refuse_outside(path, conf_path, name)
    return _with_files(header, conf_path, names, counts)


def _inspect_thunder(
    path: str, conf_path: str, conf: JsonObject, options: SeriesOptions
) -> SeriesHeader:
    header = _parse_conf(path, conf_path, conf, options, "=")
    names = data_files(path, options.confFilename, SERIES_PREFIX)
    counts = []
    record = header.length * header.dtype.itemsize
    for name in names:
        size = os.path.getsize(os.path.join(path, name))
        if size % record:
            raise FormatError(
                f"{os.path.join(path, name)}: has {size} bytes, which are no whole series of "
                f"{record} bytes each, as {conf_path} says"
            )
        counts.append(size // record)
    return _with_files(header, conf_path, names, counts)


def _parse_conf(
    path: str, conf_path: str, conf: JsonObject, options: SeriesOptions, order: Literal["<", "="]
) -> SeriesHeader:
    """The header that a conf.json with a shape tells, without the files."""
    if options.nkeys is not None or options.keyType is not None:
        raise ValueError(f"{conf_path}: describes a Series without keys; omit nkeys and keyType")
    try:
        shape = check_ints(conf.get("shape"), "shape", 1)
        stored = check_dtype(conf.get("dtype", options.valueType), "dtype")
        if not 2 <= len(shape) <= 4:
            raise ValueError(f"shape {shape} is not that of pixels and times")
        index = _index(conf.get("index"), shape[-1])
    except (TypeError, ValueError) as error:
        raise FormatError(f"{conf_path}: {error}") from None
    if stored.byteorder == "=":
        stored = stored.newbyteorder(order)
    if options.nvalues not in (None, shape[-1]):
        raise ValueError(
            f"{conf_path}: nvalues={options.nvalues} was given, but its series have {shape[-1]}"
        )
    if options.valueType is not None and conf.get("format") != SERIES_FORMAT:
        stored = options.valueType
    elif options.valueType is not None and options.valueType != stored:
        raise ValueError(f"{conf_path}: valueType={options.valueType} was given, not {stored}")
    layout = {"stored": stored.str}
    metadata = plain_metadata(conf.get("metadata"))
    dtype = image_dtype(stored)
    return SeriesHeader(path, "binary", shape[:-1], shape[-1], dtype, index, metadata, layout)


def _index(values: object, length: int) -> np.ndarray | None:
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != length:
        raise ValueError(f"index must list {length} integers")
    try:
        if not isinstance(values[0], list):
            return np.array([check_int(value, "index") for value in values], dtype=np.int64)
        levels = [check_ints(value, "index") for value in values]
        if len({len(value) for value in levels}) > 1 or not levels[0]:
            raise ValueError("index must have as many levels for each value")
        return np.array(levels, dtype=np.int64)
    except OverflowError:
        raise ValueError("index must list integers of 64 bits") from None


def _listed_files(conf_path: str, listed: object) -> tuple[list[str], list[int]]:
    """The names and pixel counts that a conf.json lists; they must follow each other."""
    if not isinstance(listed, list) or not listed:
        raise FormatError(f"{conf_path}: lists no files")
    names: list[str] = []
    counts: list[int] = []
    pixels = 0
    for item in listed:
        try:
            name, first = check_text(item["name"], "name"), check_int(item["first"], "first")
            count = check_int(item["count"], "count", 1)
        except (TypeError, KeyError, ValueError) as error:
            raise FormatError(f"{conf_path}: its list of files is damaged: {error}") from None
        if first != pixels:
            raise FormatError(
                f"{conf_path}: file {name!r} begins at pixel {first}, but the one before ends "
                f"at {pixels}"
            )
        names.append(name)
        counts.append(count)
        pixels += count
    return names, counts


def _refuse_outside(path: str, conf_path: str, name: str) -> None:
    """Raise unless `name` is a file right in the directory, and no link out of it."""
    if not name or name in (".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise FormatError(f"{conf_path}: names a file outside its directory: {name!r}")
    whole = os.path.join(path, name)
    if os.path.islink(whole):
        home = os.path.realpath(path)
        if os.path.dirname(os.path.realpath(whole)) != home:
            raise FormatError(f"{whole}: is a link that leads out of its directory")


def _with_files(
    header: SeriesHeader, conf_path: str, names: list[str], counts: list[int]
) -> SeriesHeader:
    """The header with its files, whose sizes must be those of their pixels."""
    if sum(counts) != header.pixels:
        raise FormatError(
            f"{conf_path}: says {header.pixels} pixels, but the files hold {sum(counts)}"
        )
    record = header.length * header.dtype.itemsize
    for name, count in zip(names, counts, strict=True):
        try:
            size = os.path.getsize(os.path.join(header.path, name))
        except FileNotFoundError:
            raise FormatError(
                f"{os.path.join(header.path, name)}: is missing, but {conf_path} lists it; the "
                "series was not copied whole"
            ) from None
        if size != count * record:
            raise FormatError(
                f"{os.path.join(header.path, name)}: has {size} bytes, but {conf_path} says "
                f"{count * record}: {count} series of {header.length} {header.dtype} values"
            )
    layout = header.layout | {"names": names, "counts": counts}
    return replace(header, layout=layout)


class BinaryHandle(SeriesHandle):
    """A Series in files of values only."""

    def __init__(self, header: SeriesHeader, scratch: Scratch | None) -> None:
        super().__init__(header, scratch)
        layout = header.layout
        self._files = FileSequence(header.path, layout["names"], layout["counts"])
        self._stored = np.dtype(layout["stored"])

    def _read(self, first: int, stop: int, out: np.ndarray) -> None:
        self._files.read(first, out)
        byteswap(out, self._stored)

    def _read_values(self, pixel: int, first: int, out: np.ndarray) -> bool:
        item = out.dtype.itemsize
        self._files.read_within(pixel, self.header.length * item, first * item, out)
        byteswap(out, self._stored)
        return True

    def close(self) -> None:
        self._files.close()
