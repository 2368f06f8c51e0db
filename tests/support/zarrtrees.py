"""Zarrs with the mark of mpimages, written by zarr-python."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mpimages.formats.zarr.array import ZarrArray
from mpimages.formats.zarr.codecs import Codecs
from mpimages.formats.zarr.nodes import read_node
from mpimages.formats.zarr.shard import MISSING


def make_zarr(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    chunks: Sequence[int],
    shards: Sequence[int] | None = None,
    version: int = 3,
    compressor: Any = None,
    piece: int = 100,
) -> Path:
    """A Zarr at `path`, of which each array has checksums of pieces of `piece` bytes.

    `compressor` is a codec of zarr-python, or a function that makes one.
    """
    import zarr
    from zarr.codecs import Crc32cCodec

    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    compressors = [compressor] if compressor is not None else []
    if version == 3 and compressors:
        compressors.append(Crc32cCodec())
    for name, values in arrays.items():
        made = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=tuple(chunks),
            shards=None if shards is None else tuple(shards),
            compressors=compressors or None,
            filters=None,
            config={"write_empty_chunks": True},
            **({} if version == 3 else {"chunk_key_encoding": {"name": "v2", "separator": "/"}}),
        )
        made[:] = values
        if shards is not None:
            sort_shards(path / name)
    mark_zarr(path, arrays, version, piece)
    return path


def sort_shards(path: Path) -> None:
    """Put the chunks of each shard into C order; zarr-python follows a curve."""
    array = read_node(str(path))
    assert isinstance(array, ZarrArray)
    assert array.index is not None
    for number in np.ndindex(*array.grid):
        file = path / array.file(number)
        content = file.read_bytes()
        places = array.index.decode(content[-array.index.nbytes :])
        body = b""
        for at in np.flatnonzero(places[:, 0] != MISSING):
            place = places[at]
            chunk = content[int(place[0]) : int(place.sum())]
            place[0] = len(body)
            body += chunk
        file.write_bytes(body + array.index.encode(places))


def mark_zarr(
    path: Path, arrays: Mapping[str, np.ndarray], version: int = 3, piece: int = 100
) -> None:
    """Put the mark into the root of a Zarr: what mpimages' own writer says there."""
    files = {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    write_root(path, _root(arrays, files, version, piece))


def _root(
    arrays: Mapping[str, np.ndarray], files: Mapping[str, bytes], version: int, piece: int
) -> dict[str, Any]:
    """The root's document with the mark, which has the checksums of the other documents."""
    root = "zarr.json" if version == 3 else ".zattrs"
    names = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}
    mark = {
        "format": "mpimages-zarr",
        "version": 1,
        "arrays": {
            name: {"checksum": checksums(values, piece), "piece": piece}
            for name, values in arrays.items()
        },
        "documents": {
            name: zlib.crc32(content)
            for name, content in files.items()
            if name != root and name.rpartition("/")[2] in names
        },
    }
    if version == 2:
        return {"mpimages": mark}
    return {"zarr_format": 3, "node_type": "group", "attributes": {"mpimages": mark}}


def plain_zarr(shape: tuple[int, ...], value: int) -> dict[str, bytes]:
    """The files of a Zarr of bytes `value`, a chunk for each index of the first axis."""
    chunk = (1, *shape[1:])
    array = ZarrArray(3, shape, chunk, chunk, Codecs(np.dtype("u1"), chunk))
    files = {
        f"0/{array.file((n, *(0,) * (len(shape) - 1)))}": bytes([value]) * math.prod(shape[1:])
        for n in range(shape[0])
    }
    files |= {f"0/{name}": json.dumps(one).encode() for name, one in array.documents().items()}
    values = np.full(shape, value, "u1")
    return {**files, "zarr.json": root_text(_root({"0": values}, files, 3, 100))}


def root_of(path: Path) -> Path:
    """The document of a Zarr's root that has the mark."""
    return path / ("zarr.json" if (path / "zarr.json").exists() else ".zattrs")


def write_root(path: Path, root: Mapping[str, Any]) -> None:
    """Write the document with the mark."""
    (path / ("zarr.json" if "zarr_format" in root else ".zattrs")).write_bytes(root_text(root))


def root_text(root: Mapping[str, Any]) -> bytes:
    """A root's document with its own checksum, the last member of the mark."""
    depth = 3 if "zarr_format" in root else 2
    head = json.dumps(root).encode()[:-depth] + b", "
    return head + b'"crc32": "%08x"' % zlib.crc32(head) + b"}" * depth


def checksums(values: np.ndarray, piece: int) -> list[int]:
    """The CRC-32 of each piece of the values, little-endian, in C order."""
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return [zlib.crc32(data[i : i + piece]) for i in range(0, len(data), piece)]
