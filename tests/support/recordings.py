"""Recordings on disk, in every format and with every fault, for the tests of the readers."""

from __future__ import annotations

import json
import struct
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mpimages.readers import Options, get


def read_all(name: str, paths: Any, **given: Any) -> np.ndarray:
    """The images of some files as the readers give them, (n,) + dims."""
    options = Options(**given)
    reader = get(name)
    paths = [str(path) for path in (paths if isinstance(paths, list) else [paths])]
    header = reader.inspect(paths[0], options)
    images = []
    for path in paths:
        many = reader.multiple(options, header)
        count = reader.count(path, options, header) if many else 1
        with reader.open(path, options, header) as handle:
            assert handle.count == count
            out = np.full((count, *header.dims), 77, dtype=header.dtype)
            handle.read_batch(0, count, out)
            for index in {0, count // 2, count - 1}:
                single = np.full(header.dims, 55, dtype=header.dtype)
                handle.read(index, single)
                np.testing.assert_array_equal(single, out[index])
        images.append(out)
    return np.concatenate(images)


def volumes(pages: np.ndarray, planes: int) -> np.ndarray:
    """What pages (P, row, column) are when cut into images of so many planes."""
    count = len(pages) // planes
    if planes == 1:
        return pages
    return np.moveaxis(pages.reshape(count, planes, *pages.shape[1:]), 1, -1)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


# ---- TIFF, byte by byte


def tif_bytes(
    pages: np.ndarray,
    order: str = "<",
    big: bool = False,
    description: str | bytes = "",
    directories: int | None = None,
    extra: dict[int, tuple[int, int]] | None = None,
    strips: int = 1,
) -> bytes:
    """A TIFF of plain pages: header, data of all pages, directories.

    Parameters
    ----------
    description : str or bytes
        Written as UTF-8, or as it is.
    directories : int, optional
        How many directories; ImageJ writes one above 4 GB.
    extra : dict
        tag -> (type, value): added to each directory, or instead of its own.
    strips : int
        How many strips a page has.
    """
    count = len(pages) if directories is None else directories
    pages = pages.astype(pages.dtype.newbyteorder(order))
    rows, columns = pages.shape[1:]
    itemsize = pages.dtype.itemsize
    kind = {"u": 1, "i": 2, "f": 3}[pages.dtype.kind]
    head = 16 if big else 8
    text = description.encode() if isinstance(description, str) else description
    text += b"\0" if text else b""
    body = pages.tobytes() + text
    body += b"\0" * (-(head + len(body)) % 8)
    text_at = head + pages.nbytes
    parts, offset = [], head + len(body)
    first = offset
    height = -(-rows // strips)
    for page in range(count):
        begin = head + page * rows * columns * itemsize
        starts = [begin + k * height * columns * itemsize for k in range(strips)]
        lengths = [min(height, rows - k * height) * columns * itemsize for k in range(strips)]
        tags: dict[int, tuple[int, Any]] = {
            256: (4, columns), 257: (4, rows), 258: (3, 8 * itemsize), 259: (3, 1),
            262: (3, 1), 273: (16 if big else 4, starts), 277: (3, 1), 278: (4, height),
            279: (16 if big else 4, lengths), 339: (3, kind),
        }  # fmt: skip
        if text and page == 0:
            tags[270] = (2, (len(text), text_at, text))
        tags.update(extra or {})
        directory, offset = _directory(tags, offset, order, big, last=page == count - 1)
        parts.append(directory)
    mark = b"II" if order == "<" else b"MM"
    if big:
        start = mark + struct.pack(order + "HHHQ", 43, 8, 0, first)
    else:
        start = mark + struct.pack(order + "HI", 42, first)
    return start + body + b"".join(parts)


def _directory(
    tags: dict[int, tuple[int, Any]], offset: int, order: str, big: bool, last: bool
) -> tuple[bytes, int]:
    """One directory and what it points to, and where the next begins."""
    letters = {1: "B", 3: "H", 4: "I", 5: "Q", 16: "Q"}
    pointer, entry_bytes = ("Q", 20) if big else ("I", 12)
    room = 8 if big else 4
    head = struct.pack(order + ("Q" if big else "H"), len(tags))
    after = offset + len(head) + entry_bytes * len(tags) + room
    entries, outside = b"", b""
    for tag in sorted(tags):
        kind, value = tags[tag]
        if kind == 2:
            count, place, text = value
            field = text if count <= room else struct.pack(order + pointer, place)
        else:
            values = value if isinstance(value, list) else [value]
            count = len(values)
            field = struct.pack(order + letters[kind] * count, *values)
            if len(field) > room:
                place = after + len(outside)
                outside += field
                field = struct.pack(order + pointer, place)
        entries += struct.pack(order + "HH" + pointer, tag, kind, count) + field.ljust(room, b"\0")
    outside += b"\0" * (-(after + len(outside)) % 8)
    follow = 0 if last else after + len(outside)
    return head + entries + struct.pack(order + pointer, follow) + outside, follow


def imagej_description(images: int, **fields: Any) -> str:
    """ImageJ's ImageDescription."""
    lines = ["ImageJ=1.53t", f"images={images}"] + [f"{k}={v}" for k, v in fields.items()]
    return "\n".join(lines) + "\n"


# ---- PNG, bit by bit


def png_bytes(
    image: np.ndarray, bits: int, colour: int = 0, chunks: bytes = b"", claim: Any = None
) -> bytes:
    """A PNG of a greyscale image of 1 to 16 bits; `claim` is another size in its header."""
    rows, columns = claim or image.shape[:2]
    lines = []
    for line in image:
        if bits == 16:
            raw = line.astype(">u2").tobytes()
        elif bits == 8:
            raw = line.astype("u1").tobytes()
        else:
            each = np.unpackbits(line.astype("u1")[:, np.newaxis], axis=1)[:, 8 - bits :]
            raw = np.packbits(each.reshape(-1)).tobytes()
        lines.append(b"\0" + raw)
    head = struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", head)
        + chunks
        + png_chunk(b"IDAT", zlib.compress(b"".join(lines)))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# ---- Series


def write_keyed_series(
    directory: Path,
    series: np.ndarray,
    file_count: int = 1,
    keys: str = "int16",
    base: int = 0,
    **conf: Any,
) -> None:
    """A Series of Thunder 0.x: dims + (T,), in so many files, its keys from `base` on."""
    dims, length = series.shape[:-1], series.shape[-1]
    record = np.dtype([("key", keys, (len(dims),)), ("value", series.dtype, (length,))])
    count = int(np.prod(dims))
    places = np.stack(np.unravel_index(np.arange(count), dims, order="F"), axis=1)
    records = np.zeros(count, dtype=record)
    records["key"] = places + base
    records["value"] = series[tuple(places.T)]
    cuts = [count * k // file_count for k in range(file_count + 1)]
    for first, last in pairwise(cuts):
        key = records["key"][first]
        name = "-".join(f"key{axis:02d}_{int(key[axis]):05d}" for axis in range(len(dims))[::-1])
        (directory / f"{name}.bin").write_bytes(records[first:last].tobytes())
    described = {
        "input": "recording",
        "nkeys": len(dims),
        "nvalues": length,
        "keytype": keys,
        "valuetype": series.dtype.name,
    }
    write_json(directory / "conf.json", described | conf)


def write_plain_series(
    directory: Path, series: np.ndarray, file_count: int = 1, **conf: Any
) -> None:
    """A Series of Thunder 1.x: values only."""
    flat = series.reshape(-1, series.shape[-1])
    cuts = [len(flat) * k // file_count for k in range(file_count + 1)]
    for k, (first, last) in enumerate(pairwise(cuts)):
        (directory / f"series-{k:05d}.bin").write_bytes(flat[first:last].tobytes())
    described = {"shape": list(series.shape), "dtype": series.dtype.name}
    write_json(directory / "conf.json", described | conf)


def write_own_series(directory: Path, series: np.ndarray, file_count: int = 1, **conf: Any) -> None:
    """A Series in the layout that mpimages writes, without checksums."""
    little = series.astype(series.dtype.newbyteorder("<"))
    pixels = int(np.prod(series.shape[:-1]))
    cuts = [pixels * k // file_count for k in range(file_count + 1)]
    listed = [
        {"name": f"series-{k:05d}.bin", "first": first, "count": last - first}
        for k, (first, last) in enumerate(pairwise(cuts))
    ]
    described = {
        "format": "mpimages-series",
        "version": 1,
        "index": list(range(series.shape[-1])),
        "metadata": {},
        "files": listed,
    }
    write_plain_series(
        directory, little, file_count, **(described | {"dtype": series.dtype.name} | conf)
    )
    (directory / "SUCCESS").touch()
