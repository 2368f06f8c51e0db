"""Metadata, chunks and shards of Zarr, beside zarr-python."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpimages.errors import FormatError
from mpimages.formats.zarr.array import ZarrArray
from mpimages.formats.zarr.codecs import Codec, Codecs, crc32c, parse_compression
from mpimages.formats.zarr.nodes import ZarrGroup, is_zarr, read_node
from mpimages.formats.zarr.shard import MISSING, ShardIndex

SHAPE, CHUNK, SHARD = (5, 9, 7), (2, 3, 7), (4, 6, 7)


def _values(dtype: str) -> np.ndarray:
    values = np.random.default_rng(3).integers(0, 120, SHAPE)
    return values.astype(dtype)


def _read(path: Path) -> np.ndarray:
    """All values of an array, file by file and chunk by chunk."""
    array = read_node(str(path))
    assert isinstance(array, ZarrArray)
    grid = [g * i * c for g, i, c in zip(array.grid, array.inner, array.chunk, strict=True)]
    out = np.full(grid, array.fill_value, array.dtype.newbyteorder("="))
    for number in np.ndindex(array.grid):
        file = path / array.file(number)
        if not file.exists():
            continue
        stored = file.read_bytes()
        places = [(0, len(stored))]
        if array.index is not None:
            nbytes = array.index.nbytes
            places = array.index.decode(
                stored[-nbytes:] if array.index.at_end else stored[:nbytes]
            ).tolist()
        corner = [n * s for n, s in zip(number, array.shard, strict=True)]
        for inner, (offset, length) in zip(np.ndindex(array.inner), places, strict=True):
            if offset == MISSING:
                continue
            low = [a + i * c for a, i, c in zip(corner, inner, array.chunk, strict=True)]
            box = tuple(slice(a, a + c) for a, c in zip(low, array.chunk, strict=True))
            out[box] = array.codecs.decode(stored[offset : offset + length])
    return out[tuple(slice(n) for n in array.shape)]


def test_what_zarr_python_writes_is_decoded(tmp_path: Path) -> None:
    """Versions, codecs, byte orders, shards, separators, and chunks that are not there."""
    import zarr
    from zarr.codecs import (
        BloscCodec,
        BytesCodec,
        Crc32cCodec,
        GzipCodec,
        ShardingCodec,
        TransposeCodec,
        ZstdCodec,
    )

    chains: list[list[Any]] = [
        [],
        [ZstdCodec(level=3, checksum=True)],
        [GzipCodec(level=4)],
        [BloscCodec(cname="lz4", clevel=4, shuffle="bitshuffle")],
        [Crc32cCodec()],
        [ZstdCodec(), Crc32cCodec()],
        [Crc32cCodec(), GzipCodec()],
        [GzipCodec(), ZstdCodec()],
    ]
    number = itertools.count()
    for chain, dtype, endian in itertools.product(chains, ("uint8", "uint16"), ("little", "big")):
        values = _values(dtype)
        order = (TransposeCodec(order=(2, 0, 1)),) if endian == "big" else ()
        codecs = [*order, BytesCodec(endian=endian), *chain]
        for location in (None, "start", "end"):
            path = tmp_path / str(next(number))
            outer: list[Any] = codecs
            if location is not None:
                outer = [ShardingCodec(chunk_shape=CHUNK, codecs=codecs, index_location=location)]
            made = zarr.create(
                SHAPE,
                store=str(path),
                chunks=SHARD if location else CHUNK,
                dtype=dtype,
                zarr_format=3,
                codecs=outer,
                fill_value=7,
                chunk_key_encoding=("v2", ".") if location == "end" else ("default", "/"),
            )
            made[:4] = values[:4]
            values[4:] = 7
            np.testing.assert_array_equal(_read(path), values)


def test_version_2_is_decoded(tmp_path: Path) -> None:
    import numcodecs
    import zarr

    compressors = [
        None,
        numcodecs.Blosc("zstd", 3, 2),
        numcodecs.Zstd(2),
        numcodecs.GZip(3),
        numcodecs.Zlib(3),
        numcodecs.LZ4(),
        numcodecs.BZ2(3),
        numcodecs.LZMA(),
    ]
    cases = itertools.product(compressors, ("<u2", ">i4", "|u1", "<f4"), "CF", "./")
    for number, (compressor, dtype, order, separator) in enumerate(cases):
        if (number * 7) % 3:  # a third of them, all pairs among them
            continue
        path, values = tmp_path / str(number), _values(dtype)
        made = zarr.create(
            SHAPE,
            store=str(path),
            chunks=CHUNK,
            dtype=dtype,
            zarr_format=2,
            compressor=compressor,
            order=order,
            dimension_separator=separator,
        )
        made[:] = values
        np.testing.assert_array_equal(_read(path), values)


def _write(path: Path, array: ZarrArray, values: np.ndarray) -> None:
    for number in np.ndindex(array.grid):
        file = path / array.file(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        chunks, places, end = [], [], 0
        for inner in np.ndindex(array.inner):
            low = [
                n * s + i * c
                for n, s, i, c in zip(number, array.shard, inner, array.chunk, strict=True)
            ]
            chunk = np.zeros(array.chunk, values.dtype)
            part = values[tuple(slice(a, a + c) for a, c in zip(low, array.chunk, strict=True))]
            if part.size == 0:
                places.append((MISSING, MISSING))
                continue
            chunk[tuple(slice(n) for n in part.shape)] = part
            chunks.append(bytes(array.codecs.encode(chunk)))
            places.append((end, len(chunks[-1])))
            end += len(chunks[-1])
        content = b"".join(chunks)
        if array.index is not None:
            content += array.index.encode(np.array(places, np.uint64))
        file.write_bytes(content)
    for name, document in array.documents().items():
        (path / name).write_text(json.dumps(document))


def test_what_is_encoded_opens_elsewhere(tmp_path: Path) -> None:
    import tensorstore
    import zarr

    number = itertools.count()
    for dtype, compression in itertools.product(
        ("<u2", "|u1", "<f4", ">i4"), (None, "zstd", "blosc", ("gzip", 2), ("blosc", 5))
    ):
        kind, values = np.dtype(dtype), _values(dtype)
        for version, shard in ((2, CHUNK), (3, CHUNK), (3, SHARD)):
            path = tmp_path / str(next(number))
            steps = parse_compression(compression, kind)
            if version == 3 and steps:
                steps = (*steps, Codec("crc32c", {}))
            count = int(np.prod([s // c for s, c in zip(shard, CHUNK, strict=True)]))
            array = ZarrArray(
                version,
                SHAPE,
                CHUNK,
                shard,
                Codecs(kind, CHUNK, steps=steps),
                ShardIndex(count) if shard != CHUNK else None,
                names=("t", "y", "x") if version == 3 else None,
                prefix="c" if version == 3 else "",
            )
            _write(path, array, values)
            np.testing.assert_array_equal(zarr.open_array(str(path))[...], values)
            driver = "zarr3" if version == 3 else "zarr"
            store = {"driver": driver, "kvstore": {"driver": "file", "path": f"{path}/"}}
            np.testing.assert_array_equal(
                tensorstore.open(store, open=True).result().read().result(), values
            )
            again = read_node(str(path))
            assert isinstance(again, ZarrArray)
            assert again.documents() == array.documents()
            np.testing.assert_array_equal(_read(path), values)


def test_damage_is_found() -> None:
    codecs = Codecs(np.dtype("<u2"), (4, 5))
    values = np.arange(20, dtype="<u2").reshape(4, 5)
    with pytest.raises(FormatError, match="holds 39 bytes where 40 are due"):
        codecs.decode(bytes(codecs.encode(values))[:-1])
    for name in ("zstd", "blosc", "gzip"):
        steps = (*parse_compression(name, codecs.dtype), Codec("crc32c", {}))
        codecs = Codecs(codecs.dtype, codecs.chunk, steps=steps)
        stored = bytearray(codecs.encode(values))
        np.testing.assert_array_equal(codecs.decode(bytes(stored)), values)
        for place in range(len(stored)):
            damaged = bytearray(stored)
            damaged[place] ^= 1
            with pytest.raises(FormatError, match="CRC-32C"):
                codecs.decode(bytes(damaged))
        for stop in (0, 3, len(stored) - 1):
            with pytest.raises(FormatError):
                codecs.decode(bytes(stored[:stop]))
        bare = Codecs(codecs.dtype, codecs.chunk, steps=steps[:1])
        for stop in (0, 3, len(stored) - 5):
            with pytest.raises(FormatError):
                bare.decode(bytes(stored[:stop]))
    index = ShardIndex(3)
    places = np.array([[0, 5], [5, 7], [MISSING, MISSING]], np.uint64)
    np.testing.assert_array_equal(index.decode(index.encode(places)), places)
    for place in range(index.nbytes):
        damaged = bytearray(index.encode(places))
        damaged[place] ^= 16
        with pytest.raises(FormatError, match="CRC-32C"):
            index.decode(bytes(damaged))
    with pytest.raises(FormatError, match="bytes"):
        index.decode(index.encode(places)[:-1])
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the specification


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Each field that is changed to something else is named, with the file."""
    good = ZarrArray(
        3, SHAPE, CHUNK, SHARD, Codecs(np.dtype("<u2"), CHUNK), ShardIndex(4)
    ).documents()["zarr.json"]
    sharding = good["codecs"][0]
    changes: list[tuple[dict[str, Any], str]] = [
        ({"zarr_format": 4}, "version 4"),
        ({"node_type": "tree"}, "type 'tree'"),
        ({"shape": [5, -1, 7]}, "shape"),
        ({"shape": [5, 9]}, "chunks"),
        ({"shape": [True, 9, 7]}, "shape"),
        ({"shape": None}, "shape"),
        ({"data_type": "r16"}, "r16"),
        ({"data_type": {"name": "x"}}, "type"),
        ({"chunk_grid": {"name": "rectilinear"}}, "rectilinear"),
        ({"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 1, 1]}}}, "chunk"),
        ({"chunk_key_encoding": {"name": "suffix"}}, "suffix"),
        ({"fill_value": 70_000}, "70000"),
        ({"fill_value": 1.5}, "1.5"),
        ({"fill_value": "red"}, "red"),
        ({"storage_transformers": [{"name": "x"}]}, "storage transformers"),
        ({"codecs": []}, "codecs"),
        ({"codecs": "x"}, "codecs"),
        ({"codecs": [{"name": "vlen-utf8"}]}, "vlen-utf8"),
        ({"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zfp"}]},
         "zfp"),
        ({"codecs": [sharding, {"name": "crc32c"}]}, "as a whole"),
        ({"codecs": [{"name": "transpose", "configuration": {"order": [0, 0, 1]}}]}, "transposes"),
        ({"codecs": [{**sharding, "configuration": {**sharding["configuration"],
         "index_codecs": 5}}]}, "index of its shards"),
    ]  # fmt: skip
    for change, said in changes:
        (tmp_path / "zarr.json").write_text(json.dumps({**good, **change}))
        with pytest.raises(FormatError, match=said) as caught:
            read_node(str(tmp_path))
        assert os.path.join(str(tmp_path), "zarr.json") in str(caught.value)
    for text in ("", "[]", "{", "[" * 100_000, "\0"):
        (tmp_path / "zarr.json").write_text(text)
        with pytest.raises(FormatError, match=r"zarr\.json: is no"):
            read_node(str(tmp_path))
    (tmp_path / "zarr.json").unlink()
    older = ZarrArray(2, SHAPE, CHUNK, CHUNK, Codecs(np.dtype("<u2"), CHUNK)).documents()
    (tmp_path / ".zarray").write_text(json.dumps({**older[".zarray"], "filters": 5}))
    with pytest.raises(FormatError, match="filters 5"):
        read_node(str(tmp_path))
    (tmp_path / ".zarray").unlink()
    assert not is_zarr(str(tmp_path))
    with pytest.raises(FormatError, match="no array or group"):
        read_node(str(tmp_path))
    for given, wrong in (("lz77", ValueError), (("zstd", 99), ValueError), (4, TypeError)):
        with pytest.raises(wrong):
            parse_compression(given, np.dtype("u2"))


def test_groups(tmp_path: Path) -> None:
    import zarr

    for version in (2, 3):
        group = ZarrGroup(version, {"ome": {"version": "0.5"}})
        path = tmp_path / str(version)
        path.mkdir()
        for name, document in group.documents().items():
            (path / name).write_text(json.dumps(document))
        assert read_node(str(path)) == group
        assert zarr.open_group(str(path), mode="r").attrs["ome"] == {"version": "0.5"}
