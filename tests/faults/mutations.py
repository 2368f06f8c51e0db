"""Small valid files of every kind that is read, and ways of damaging them. Deterministic."""

from __future__ import annotations

import json
import math
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tifffile

from ..support.data import recording
from ..support.recordings import (
    imagej_description,
    png_bytes,
    tif_bytes,
    write_json,
    write_keyed_series,
    write_own_series,
    write_plain_series,
)

NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
WORDS = (
    "NaN",
    "-1",
    "0",
    "1e400",
    "2.5",
    "true",
    "null",
    "[]",
    "{}",
    '""',
    '"../x"',
    "-0.0",
    '"/etc/passwd"',
    '"O"',
    '"\\u0000"',
    "9" * 400,
    "9" * 5000,
    "1" + "0" * 18,
    "[" * 2000,
    '{"a":' * 500,
    "Infinity",
    '"int16"',
    '"float"',
    "[4, 5]",
    "\ufeff",
)


def seeds(kind: str, root: Path) -> list[Path]:
    """The kind's directories, each of which can be loaded."""
    made = []
    for name, make in SEEDS[kind].items():
        place = root / name
        place.mkdir(parents=True)
        make(place)
        made.append(place)
    return made


def _tif(**given: Any) -> Any:
    return lambda place: (place / "a.tif").write_bytes(
        tif_bytes(recording(3, (8, 9), "uint16"), **given)
    )


def _library(**given: Any) -> Any:
    pages = recording(3, (32, 48), "uint16")
    return lambda place: tifffile.imwrite(place / "a.tif", pages, photometric="minisblack", **given)


def _png(bits: int) -> Any:
    image = recording(1, (9, 7), "uint16")[0] >> (16 - bits)
    return lambda place: (place / "a.png").write_bytes(png_bytes(image, bits))


def _npy(**given: Any) -> Any:
    array = np.asarray(recording(3, (4, 5), "int16"), **given)
    return lambda place: np.save(place / "a.npy", array)


def _hdf5(name: str = "d", **given: Any) -> Any:
    def make(place: Path) -> None:
        with h5py.File(place / "a.h5", "w") as file:
            file.create_dataset(name, data=recording(3, (8, 9), "int16"), **given)

    return make


def _zarr(
    *names: str, shape: tuple[int, ...] = (3, 8, 9), attributes: Any = None, **given: Any
) -> Any:
    """A group with arrays of these names, or one array."""

    def make(place: Path) -> None:
        import zarr

        values = recording(math.prod(shape[:-2]), shape[-2:], "int16").reshape(shape)
        root, version = place / "a.zarr", given.get("zarr_format", 3)
        if names:
            zarr.create_group(str(root), attributes=attributes, zarr_format=version)
        for path in [root / name for name in names] or [root]:
            made = zarr.create_array(str(path), shape=shape, dtype=values.dtype, **given)
            made[...] = values

    return make


def _ome(*axes: str) -> Any:
    """Attributes of OME-Zarr."""
    said = [{"name": axis, "type": "time" if axis == "t" else "space"} for axis in axes]
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    return {"ome": {"version": "0.5", "multiscales": [{"axes": said, "datasets": datasets}]}}


def _stack(key: str) -> Any:
    def make(place: Path) -> None:
        (place / "a.bin").write_bytes(recording(1, (4, 5), "int16").tobytes())
        write_json(place / "conf.json", {key: [4, 5], "dtype": "int16"})

    return make


def _mmap(order: str) -> Any:
    def make(place: Path) -> None:
        movie = recording(3, (4, 5), "float32")
        name = f"a_d1_4_d2_5_d3_1_order_{order}_frames_3_.mmap"
        matrix = movie.reshape(3, -1, order="F").T
        (place / name).write_bytes(matrix.tobytes(order=order))  # type: ignore[arg-type]

    return make


def _text(place: Path) -> None:
    series = np.moveaxis(recording(4, (3, 5), "int16"), 0, -1) / 4
    lines = [" ".join(map(str, [*pixel, *series[pixel].tolist()])) for pixel in np.ndindex(3, 5)]
    (place / "a.txt").write_text("\n".join(lines) + "\n")


def _series(write: Any) -> Any:
    return lambda place: write(place, recording(4, (3, 5), "int16"), 2)


SEEDS: dict[str, dict[str, Any]] = {
    "tif": {
        "plain": _tif(),
        "motorola": _tif(order=">"),
        "big": _tif(big=True),
        "strips": _tif(strips=3),
        "imagej": _tif(description=imagej_description(3, slices=3)),
        "hyperstack": _library(imagej=True, metadata={"axes": "TYX"}),
        "ome": _library(ome=True, metadata={"axes": "TYX"}),
        "deflate": _library(compression="zlib", predictor=True),
        "lzw": _library(compression="lzw"),
        "tiles": _library(tile=(16, 16), compression="zstd"),
        "packbits": _library(compression="packbits"),
    },
    "png": {f"{bits}": _png(bits) for bits in (1, 2, 4, 8, 16)},
    "npy": {"c": _npy(), "fortran": _npy(order="F"), "swapped": _npy(dtype=">i2")},
    "hdf5": {
        "contiguous": _hdf5(),
        "chunks": _hdf5(chunks=(1, 4, 4)),
        "group": _hdf5("a/b/c"),
        "gzip": _hdf5(chunks=(1, 8, 9), compression="gzip", shuffle=True, fletcher32=True),
    },
    "zarr": {
        "plain": _zarr(chunks=(1, 8, 9), compressors=None),
        "shards": _zarr(chunks=(1, 4, 9), shards=(2, 8, 9)),
        "two": _zarr(chunks=(2, 8, 9), zarr_format=2, dimension_names=None),
        "ome": _zarr("0", shape=(2, 2, 8, 9), attributes=_ome(*"tzyx"), chunks=(1, 1, 8, 9)),
    },
    "mmap": {"frames": _mmap("F"), "pixels": _mmap("C")},
    "stack": {"thunder0": _stack("dims"), "thunder1": _stack("shape")},
    "series": {
        "thunder0": _series(write_keyed_series),
        "thunder1": _series(write_plain_series),
        "own": _series(write_own_series),
    },
    "series-text": {"keys": _text},
    "series-zarr": {
        "plain": _zarr("series", chunks=(1, 8, 9)),
        "shards": _zarr("series", chunks=(1, 4, 9), shards=(2, 8, 9)),
    },
    "series-npy": {"c": _npy(), "fortran": _npy(order="F")},
    "series-hdf5": {"plain": _hdf5("series"), "chunks": _hdf5("series", chunks=(1, 4, 4))},
}


def mutate(place: Path, out: Path, rng: random.Random) -> None:
    """Write a damaged copy of a directory's files."""
    names = sorted(str(entry.relative_to(place)) for entry in place.rglob("*") if entry.is_file())
    victim = rng.choice(names)
    for name in names:
        content = (place / name).read_bytes()
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        if name == victim:
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                content = _damaged(name, content, rng)
            if name.endswith(".png") and rng.random() < 0.8:
                content = _with_checksums(content)
            if rng.random() < 0.02:
                continue  # it is missing
        (out / name).write_bytes(content)


def _damaged(name: str, content: bytes, rng: random.Random) -> bytes:
    if name.endswith((".json", ".zarray", ".zgroup", ".zattrs")) and rng.random() < 0.8:
        return _other_json(content, rng)
    changed = bytearray(content or b"\0")
    # Most of what steers a reader stands near the beginning or the end.
    reach = rng.choice((64, 512, len(changed)))
    at = rng.randrange(min(reach, len(changed)))
    if rng.random() < 0.2:
        at = len(changed) - 1 - at
    way = rng.randrange(6)
    if way == 0:
        changed[at] ^= 1 << rng.randrange(8)
    elif way == 1:
        changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif way == 2:
        size = rng.choice("HIQ")
        number = rng.choice(NUMBERS) & ((1 << 8 * struct.calcsize(size)) - 1)
        packed = struct.pack(rng.choice("<>") + size, number)
        changed[at : at + len(packed)] = packed
    elif way == 3:
        del changed[at:]
    elif way == 4:
        del changed[at : at + rng.randrange(1, 40)]
    else:
        start = rng.randrange(len(changed))
        changed[at:at] = changed[start : start + rng.randrange(1, 40)]
    return bytes(changed)


def _other_json(content: bytes, rng: random.Random) -> bytes:
    try:
        conf = json.loads(content)
    except (ValueError, RecursionError):
        return content[: rng.randrange(len(content) + 1)]
    if not isinstance(conf, dict) or not conf:
        return b"{}"
    key = rng.choice(sorted(conf))
    way = rng.randrange(4)
    if way == 0:
        del conf[key]
        return json.dumps(conf).encode()
    word = rng.choice(WORDS)
    if way == 1:
        value = json.dumps(conf.pop(key))
        rest = json.dumps(conf)[:-1] + ("," if conf else "")
        return f'{rest}"{key}":{value},"{key}":{word}}}'.encode()
    text = json.dumps(conf)
    tokens = text.replace("[", "[ ").split(" ")
    place = rng.randrange(len(tokens))
    tail = "," if tokens[place].endswith(",") else ""
    tokens[place] = word + tail
    return " ".join(tokens).encode()


def _with_checksums(content: bytes) -> bytes:
    """A PNG whose chunks' checksums are right again, so that more than these is tried."""
    out, at = bytearray(content), 8
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        end = at + 8 + length
        if end + 4 > len(out):
            break
        struct.pack_into(">I", out, end, zlib.crc32(out[at + 4 : end]))
        at = end + 4
    return bytes(out)
