"""Zarr and OME-Zarr, as zarr-python and tensorstore write them and as the specifications say."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpimages import FormatError, ThunderContext
from mpimages.engine import runner
from mpimages.readers import chunked_array, find_input
from mpimages.readers.options import Options
from mpimages.readers.zarr import shards as shard_files
from mpimages.readers.zarr import values
from mpimages.readers.zarr.reader import ZarrReader

from ..support.data import recording, same_bits

TIMES, DIMS = 19, (12, 10)
# Of (T, row, column), of chunks and of shards.
SHAPES = [
    ((19, 12, 10), None),
    ((8, 5, 3), None),
    ((1, 12, 10), (16, 12, 10)),
    ((4, 5, 10), (8, 10, 20)),
    ((5, 3, 4), (10, 12, 12)),
]
ORDERS = {"TYX": (0, 1, 2), "YXT": (1, 2, 0), "XTY": (2, 0, 1)}


def on_one(comm, make):
    if comm.rank == 0:
        make()
    comm.Barrier()


def write(path: Path, array: np.ndarray, **given: Any) -> Any:
    """An array, by zarr-python."""
    import zarr

    given.setdefault("chunks", array.shape)
    made = zarr.create_array(str(path), shape=array.shape, dtype=array.dtype, **given)
    made[...] = array
    return made


def group(path: Path, arrays: dict[str, np.ndarray], attributes: Any, version=3, **given) -> None:
    import zarr

    zarr.create_group(str(path), attributes=attributes, zarr_format=version)
    for name, array in arrays.items():
        write(path / name, array, zarr_format=version, **given)


@pytest.fixture
def decoded(monkeypatch):
    """How often each chunk was read on this rank, and each index of a shard."""
    found: Counter = Counter()
    decode, plain = values.ZarrValues._decode, values.ZarrValues._read_plain

    def counting(self, path, stored, chunk, low, part):
        found[path, chunk] += 1
        decode(self, path, stored, chunk, low, part)

    def counting_plain(self, fd, path, offset, chunk, low, part):
        first = next((i for i, n in enumerate(self.array.chunk) if n > 1), 0)
        for place in range(low[first], low[first] + part.shape[first]):
            found[path, chunk, place] += 1
        plain(self, fd, path, offset, chunk, low, part)

    monkeypatch.setattr(values.ZarrValues, "_decode", counting)
    monkeypatch.setattr(values.ZarrValues, "_read_plain", counting_plain)
    # A batch of three frames, so that it is far smaller than most chunks.
    monkeypatch.setattr(runner, "BATCH_BYTES", 3 * 2 * DIMS[0] * DIMS[1])
    monkeypatch.setattr(chunked_array, "BAND_BYTES", 1000)
    monkeypatch.setattr(values, "READ_BYTES", 500)
    return found


def once(comm, decoded, action):
    """What the action gives, if no rank has read a chunk twice."""
    decoded.clear()
    result = action()
    assert set(comm.allgather(max(decoded.values(), default=0))) - {0} == {1}
    return result


@pytest.mark.ranks
def test_each_chunk_is_read_once(tsc, comm, shared_path, decoded):
    """Of any order of axes, with and without shards and compression."""
    from zarr.codecs import ZstdCodec

    array = recording(TIMES, DIMS, "uint16")
    kinds = itertools.product(ORDERS, SHAPES)
    cases = [(axes, shapes, number % 2) for number, (axes, shapes) in enumerate(kinds)]

    def make():
        for number, (axes, (chunk, shard), packed) in enumerate(cases):
            order = ORDERS[axes]
            write(
                shared_path / f"{number}.zarr",
                array.transpose(order),
                chunks=[chunk[i] for i in order],
                shards=None if shard is None else [shard[i] for i in order],
                compressors=ZstdCodec() if packed else None,
                dimension_names=list(axes.lower()),
            )

    on_one(comm, make)
    for number in range(len(cases)):
        images = tsc.loadImages(shared_path / f"{number}.zarr")
        assert same_bits(once(comm, decoded, images.toArray), array)
        some = images.filterOnKeys(lambda key: key % 3 == 1)
        assert same_bits(once(comm, decoded, some.sum), array[1::3].sum(0, dtype="uint64"))


@pytest.mark.ranks
@pytest.mark.parametrize("memory", ["16KB", "40KB"])
def test_conversions(comm, shared_path, decoded, memory):
    array = recording(TIMES, DIMS, "uint16")
    on_one(
        comm, lambda: write(shared_path / "a.zarr", array, chunks=(4, 5, 10), shards=(8, 10, 20))
    )
    with ThunderContext(comm, memory=memory) as tsc:
        images = tsc.loadImages(shared_path / "a.zarr")
        once(comm, decoded, lambda: images.saveAsBinarySeries(shared_path / "out"))
        assert same_bits(tsc.loadSeries(shared_path / "out").toArray(), np.moveaxis(array, 0, -1))


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_what_zarr_python_writes(tsc, comm, shared_path):
    """Versions, codecs, orders, byte orders, dtypes, separators, several recordings in a row."""
    import numcodecs
    from zarr.codecs import (
        BloscCodec,
        BytesCodec,
        Crc32cCodec,
        GzipCodec,
        TransposeCodec,
        ZstdCodec,
    )

    three = [
        {"compressors": None},
        {"compressors": [ZstdCodec(level=1)], "serializer": BytesCodec(endian="big")},
        {"compressors": [BloscCodec(cname="lz4"), Crc32cCodec()], "shards": (10, 10, 10)},
        {"compressors": GzipCodec(), "filters": [TransposeCodec(order=(1, 2, 0))]},
        {"chunk_key_encoding": {"name": "v2", "separator": "."}},
        {"chunk_key_encoding": {"name": "default", "separator": "."}, "shards": (5, 10, 10)},
    ]
    two = [
        {"compressors": None, "order": "F"},
        {"compressors": numcodecs.Blosc("zstd", 3, 2), "order": "F"},
        {"compressors": numcodecs.Zlib(2)},
        {"compressors": numcodecs.LZ4(), "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    ]
    cases = [(3, given, dtype) for given in three for dtype in ("uint16", "float32")]
    cases += [(2, given, dtype) for given in two for dtype in ("<u2", ">i4", ">f8", "uint8")]
    cases += [(3, three[0], dtype) for dtype in ("bool", "int8", "uint64", "float16")]

    def make():
        for number, (version, given, dtype) in enumerate(cases):
            array = recording(7, DIMS, "uint16", number).astype(dtype)
            path = shared_path / f"{number}.zarr"
            write(path, array, zarr_format=version, chunks=(5, 10, 5), **given)

    on_one(comm, make)
    for number, (_, _, dtype) in enumerate(cases):
        array = recording(7, DIMS, "uint16", number).astype(dtype)
        images = tsc.loadImages(shared_path / f"{number}.zarr")
        kind = np.dtype("uint8" if dtype == "bool" else dtype).newbyteorder("=")
        assert same_bits(images.toArray(), array.astype(kind)), number
    several = [shared_path / f"{number}.zarr" for number in (0, 2, 4)]
    expected = [recording(7, DIMS, "uint16", number) for number in (0, 2, 4)]
    assert same_bits(tsc.loadImages(several).toArray(), np.concatenate(expected))
    assert tsc.loadImages(several, startIdx=8, stopIdx=9).toArray().tolist() == (
        expected[1][1:2].tolist()
    )


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_what_tensorstore_writes(tsc, comm, shared_path):
    def make():
        import tensorstore

        for driver, chunks in (("zarr", None), ("zarr3", None), ("zarr3", (2, 6, 10))):
            layout: dict[str, Any] = {"write_chunk": {"shape": [4, 12, 10]}}
            if chunks is not None:
                layout["read_chunk"] = {"shape": list(chunks)}
            path = shared_path / f"{driver}-{chunks is not None}.zarr"
            made = tensorstore.open(
                {"driver": driver, "kvstore": {"driver": "file", "path": str(path)}},
                create=True,
                dtype="uint16",
                shape=array.shape,
                chunk_layout=tensorstore.ChunkLayout(layout),
                dimension_units=["s", "um", "um"] if driver == "zarr3" else None,
            ).result()
            made.write(array).result()

    array = recording(7, DIMS, "uint16")
    on_one(comm, make)
    for path in sorted(shared_path.iterdir()):
        assert same_bits(tsc.loadImages(path).toArray(), array)


@pytest.mark.ranks
@pytest.mark.few_ranks
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_what_dask_and_xarray_write(tsc, comm, shared_path):
    """Both versions of Zarr; axes by their names, with coordinates, and values that are packed."""
    array = recording(5, (*DIMS, 3), "uint16")

    def make():
        import dask.array
        import xarray

        names = ("time", "row", "column", "page")
        times = np.datetime64("2026-01-01", "ms") + np.arange(5)
        chunked = dask.array.from_array(array, chunks=(2, 5, 10, 2))
        data = xarray.Dataset({"movie": (names, chunked)}, {"time": times, "row": range(12)})
        turned = data.isel(page=0).transpose("column", "row", "time").astype("float64")
        said = {
            "movie": {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": -1, "dtype": "int32"}
        }
        for version in (2, 3):
            given = {"zarr_format": version}
            chunked[..., 0].to_zarr(str(shared_path / f"dask{version}.zarr"), **given)
            data.to_zarr(shared_path / f"xarray{version}.zarr", **given)
            given |= {"consolidated": False, "encoding": said}
            turned.to_zarr(shared_path / f"packed{version}.zarr", **given)

    on_one(comm, make)
    plane = np.ascontiguousarray(array[..., 0])
    packed = plane.astype("int32") * 2 - 20
    for version in (2, 3):
        for name, expected in (("dask", plane), ("xarray", array), ("packed", packed)):
            found = tsc.loadImages(shared_path / f"{name}{version}.zarr")
            assert same_bits(found.toArray(), expected), (name, version)
        assert found.metadata == {"valueConversion": 0.5, "valueOffset": 10}


@pytest.mark.slow  # for its import
@pytest.mark.filterwarnings("ignore")
def test_what_ome_zarr_writes(tsc, tmp_path):
    """Levels, a channel, labels; plates, of which one image must be named."""
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_image, write_labels

    array = recording(5 * 2 * 3, DIMS, "uint16").reshape(5, 2, 3, *DIMS)
    for version, ome in ((2, FormatV04()), (3, FormatV05())):
        path = tmp_path / f"{version}.zarr"
        group = zarr.open_group(path, zarr_format=version)
        write_image(array, group, axes="tczyx", fmt=ome, scale_factors=(2, 4))
        write_labels(array[:, 0], group, "cells", axes="tzyx", fmt=ome, scale_factors=(2,))
        for given, channel in (({"channel": 1}, 1), ({"dataset": "labels/cells"}, 0)):
            expected = np.ascontiguousarray(np.moveaxis(array[:, channel], 1, -1))
            assert same_bits(tsc.loadImages(path, **given).toArray(), expected), (version, given)
        plate = zarr.open_group(tmp_path / f"plate{version}.zarr", zarr_format=version)
        for name in ("A/1/0", "A/2/0"):
            write_image(array[:, 0, 0], plate.require_group(name), axes="tyx", fmt=ome)
        with pytest.raises(ValueError, match="has 2 images: A/1/0, A/2/0; choose one by dataset="):
            tsc.loadImages(tmp_path / f"plate{version}.zarr")
        found = tsc.loadImages(tmp_path / f"plate{version}.zarr", dataset="A/2/0")
        assert same_bits(found.toArray(), np.ascontiguousarray(array[:, 0, 0]))


def image(version: str, levels=("0",), scale=(0.5, 1, 2.0, 0.25, 0.25), **more: Any) -> Any:
    """Attributes of OME-Zarr for axes T, C, Z, Y, X."""
    axes = [{"name": "t", "type": "time", "unit": "millisecond"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    datasets = [
        {
            "path": path,
            "coordinateTransformations": [
                {"type": "scale", "scale": [*scale[:3], *(s * 2**i for s in scale[3:])]}
            ],
        }
        for i, path in enumerate(levels)
    ]
    said: dict[str, Any] = {
        "multiscales": [{"version": version, "axes": axes, "datasets": datasets}]
    }
    said["omero"] = {"channels": [{"label": "GCaMP"}, {"label": "tdTomato"}]}
    said |= more
    if version == "0.4":
        return said
    del said["multiscales"][0]["version"]
    return {"ome": {"version": version, **said}}


@pytest.mark.ranks
@pytest.mark.few_ranks
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome(tsc, comm, shared_path, version):
    """Axes, channels, calibration, levels, and the layout of bioformats2raw."""
    array = recording(6 * 2 * 3, DIMS, "uint16").reshape(6, 2, 3, *DIMS)
    zarr_version = 2 if version == "0.4" else 3
    path, raw = shared_path / "a.ome.zarr", shared_path / "raw.zarr"

    def make():
        small = np.ascontiguousarray(array[..., ::2, ::2])
        arrays = {"0": array, "deep/1": small}
        given = {"chunks": (1, 1, 2, 12, 5), "version": zarr_version}
        group(path, arrays, image(version, ("0", "deep/1")), **given)
        layout = {"bioformats2raw.layout": 3}
        group(raw, {}, layout if version == "0.4" else {"ome": layout}, zarr_version)
        for name, times in (("0", 6), ("10", 2)):
            group(raw / name, {"0": array[:times]}, image(version), **given)
        os.mkdir(raw / "OME")

    on_one(comm, make)
    with pytest.raises(ValueError, match=r"2 channels.*channel="):
        tsc.loadImages(path)
    images = tsc.loadImages(path, channel=1)
    expected = np.moveaxis(array[:, 1], 1, -1)
    assert same_bits(images.toArray(), expected)
    assert images.metadata == {
        "frameInterval": 0.0005,
        "pixelSize": (0.25, 0.25, 2.0),
        "unit": "µm",
    }
    header = images.records.chain.source.header
    assert header.found == {"axes": {"Z": 3, "C": 2, "T": 6}, "channels": ["GCaMP", "tdTomato"]}
    second = tsc.loadImages(path, channel=1, dataset="deep/1")
    assert same_bits(second.toArray(), np.ascontiguousarray(expected[:, ::2, ::2]))
    assert second.metadata["pixelSize"] == (0.5, 0.5, 2.0)
    with pytest.raises(ValueError, match=r"has 2 images: 0, 10;.*dataset='0'"):
        tsc.loadImages(raw, channel=0)
    found = tsc.loadImages(raw, channel=0, dataset="10")
    assert same_bits(found.toArray(), np.moveaxis(array[:2, 0], 1, -1))
    assert found.metadata["frameInterval"] == 0.0005
    assert tsc.loadImages(raw, channel=0, dataset="0/0").metadata == images.metadata


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_axes(tsc, comm, shared_path):
    """Names of axes, arguments in their place, pages in turn; and what leaves them open."""
    array = recording(24, DIMS, "uint16")

    def make():
        write(shared_path / "plain.zarr", array, chunks=(5, 6, 10))
        volumes = array.reshape(4, 6, *DIMS)
        write(shared_path / "volumes.zarr", volumes, chunks=(2, 5, 12, 10))
        turned = np.ascontiguousarray(volumes.transpose(3, 0, 2, 1))
        names = ["X", "Time", "y", "channel"]
        write(shared_path / "named.zarr", turned, chunks=(3, 2, 12, 6), dimension_names=names)
        said = {"_ARRAY_DIMENSIONS": ["z", "y", "x"]}
        write(shared_path / "xarray.zarr", array, zarr_format=2, attributes=said)
        names = ["time", "position", "y", "x"]
        write(shared_path / "one.zarr", array[:, None], dimension_names=names)
        write(shared_path / "open.zarr", volumes, dimension_names=names)
        names = ["t", "z", "y", "x"]
        write(shared_path / "volume.zarr", array[None], dimension_names=names)
        write(shared_path / "flat.zarr", array[:, None], dimension_names=names)
        data = {"data": array, "t": np.arange(24.0), "y": np.arange(12.0)}
        group(shared_path / "cf.zarr", data, {})
        group(shared_path / "two.zarr", {"a": array, "inner/b": array[:2], "c": array[:1]}, {})
        group(shared_path / "none.zarr", {"t": np.arange(3)}, {})

    on_one(comm, make)

    def load(name, **given):
        return tsc.loadImages(shared_path / f"{name}.zarr", **given)

    volumes = array.reshape(4, 6, *DIMS)
    for name, given, expected in (
        ("plain", {}, array),
        ("plain", {"axes": "TXY"}, array.transpose(0, 2, 1)),
        ("plain", {"axes": "ZYX"}, np.moveaxis(array, 0, -1)[None]),
        ("plain", {"axes": "ZYX", "nplanes": 4}, np.moveaxis(array.reshape(6, 4, *DIMS), 1, -1)),
        (
            "plain",
            {"axes": "ZYX", "nplanes": 4, "nchannels": 2, "channel": 1, "flyback": 1},
            np.moveaxis(array.reshape(3, 4, 2, *DIMS)[:, :-1, 1], 1, -1),
        ),
        (
            "plain",
            {"axes": "ZYX", "nplanes": 7, "incomplete": "drop"},
            np.moveaxis(array[:21].reshape(3, 7, *DIMS), 1, -1),
        ),
        ("volume", {}, np.moveaxis(array, 0, -1)[None]),
        ("volume", {"nplanes": 1}, array),
        ("volumes", {}, np.moveaxis(volumes, 1, -1)),
        ("named", {"channel": 4}, volumes[:, 4]),
        ("xarray", {}, np.moveaxis(array, 0, -1)[None]),
        ("xarray", {"nplanes": 1}, array),
        ("one", {}, array),
        ("open", {"axes": "TCYX", "channel": 5}, volumes[:, 5]),
        ("flat", {}, array),
        ("cf", {}, array),
        ("two", {"dataset": "inner/b"}, array[:2]),
        ("two", {"dataset": "c/"}, array[:1]),
    ):
        found = load(name, **given)
        assert same_bits(found.toArray(), np.ascontiguousarray(expected)), (name, given)
        assert same_bits(found.max(), np.ascontiguousarray(expected.max(0))), (name, given)
    for name, given, said in (
        ("open", {}, r"axes, time, position, y, x, do not say.*axes="),
        ("two", {}, r"has 3 arrays: a \(24, 12, 10\) uint16, c .*dataset='a'"),
        ("two", {"dataset": "b"}, r"has no array 'b'; it has a, c, inner/b"),
        ("two", {"dataset": "a/x"}, r"has no array 'a/x'"),
        ("two", {"dataset": "../plain.zarr"}, "no path of an array"),
        ("two", {"dataset": str(shared_path / "plain.zarr")}, "no path of an array"),
        ("plain", {"dataset": "0"}, "is one array"),
        ("plain", {"axes": "ZYX", "nplanes": 7}, "3 are no whole image.*incomplete='drop'"),
        ("plain", {"channel": 1}, "channel=1 means nothing"),
        ("plain", {"follow": "directory"}, "follow='directory' means nothing"),
        ("plain", {"axes": "TZYX"}, "does not have the axes"),
        ("plain", {"dtype": "int8"}, "dtype=int8 was given, but it holds uint16"),
        ("none", {}, "has no array of images; it has t"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            load(name, **given)
        assert name in str(error.value)


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_what_is_a_recording(tsc, comm, shared_path):
    """Directories, patterns, lists, documents; and what is none."""
    array = recording(4, DIMS, "uint16")

    def make():
        for name in (
            "set/b10.zarr",
            "set/b9.zarr",
            "deep/in/c.zarr",
            "other/plain",
            "mixed/a.zarr",
        ):
            (shared_path / name).parent.mkdir(parents=True, exist_ok=True)
            write(shared_path / name, array[:2] if "9" in name else array[2:])
        np.save(shared_path / "mixed/a.npy", array)
        shutil.copytree(shared_path / "set/b9.zarr", shared_path / "set/broken.zarr")
        os.unlink(shared_path / "set/broken.zarr/zarr.json")
        (shared_path / "job").mkdir()
        shutil.copytree(shared_path / "set/b9.zarr", shared_path / "job/a.zarr")
        (shared_path / "job/.mpimages-partial.json").touch()

    on_one(comm, make)

    def load(path, **given):
        return tsc.loadImages(shared_path / path, **given).toArray()

    for path, given, expected in (
        ("set", {}, array),
        ("set/*.zarr", {}, array),
        ("set", {"inputFormat": "zarr"}, array),
        ("set", {"ext": "zarr"}, array),
        ("set/b9.zarr/zarr.json", {}, array[:2]),
        ("set/b9.zarr/", {}, array[:2]),
        ("deep", {"recursive": True}, array[2:]),
        ("other/plain", {}, array[2:]),
        ("other", {"inputFormat": "zarr"}, array[2:]),
        ("mixed", {"inputFormat": "npy"}, array),
        ("mixed", {"ext": "zarr"}, array[2:]),
    ):
        assert same_bits(load(path, **given), expected), (path, given)
    for path, given, kind, said in (
        ("mixed", {}, ValueError, r"npy \(a.npy\).*zarr|zarr \(a.zarr\), npy"),
        ("set/broken.zarr", {}, FileNotFoundError, "it is no Zarr, as it has none of zarr.json"),
        ("deep", {}, FileNotFoundError, "recursive=True"),
        ("set/b9.zarr", {"recursive": True}, ValueError, "recursive=True searches"),
        ("set/b9.zarr", {"ext": "zarr"}, ValueError, "ext='zarr' chooses"),
        ("set/b9.zarr", {"inputFormat": "tif"}, FileNotFoundError, "no files ending in .tif"),
        ("mixed/a.npy", {"inputFormat": "zarr"}, FormatError, "is no zarr.json"),
        ("job/a.zarr", {}, FormatError, "unfinished output"),
    ):
        with pytest.raises(kind, match=said):
            load(path, **given)
    names = tsc.loadImages(shared_path / "set").records.inputs["inputs"]
    assert names == {"count": 2, "names": ["b9.zarr", "b10.zarr"]}


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_chunks_that_were_never_written(tsc, comm, shared_path):
    """They are the fill value, and counted; also within shards, of channels, and of pages."""
    from mpimages.engine.unwritten_data import never_written

    array = np.full((20, *DIMS), 7, "float32")
    array[:7] = recording(7, DIMS, "float32")
    array[12:14, 6:] = 3

    def make():
        for name, shards in (("plain", None), ("shards", (8, 12, 10))):
            given = {"chunks": (2, 6, 10), "shards": shards, "fill_value": 7}
            write(shared_path / f"{name}.zarr", array, **given)
        nan = np.full((3, *DIMS), np.nan, "float32")
        write(shared_path / "nan.zarr", nan, chunks=(1, *DIMS), fill_value=np.nan)
        write(shared_path / "null.zarr", array[:1], chunks=(1, *DIMS), zarr_format=2)
        described = json.loads((shared_path / "null.zarr/.zarray").read_text())
        described.update(shape=[2, *DIMS], fill_value=None)
        (shared_path / "null.zarr/.zarray").write_text(json.dumps(described))

    on_one(comm, make)

    def missing(images):
        action, selection = images.records.begin("test")
        return never_written(action, selection)

    for name in ("plain", "shards"):
        images = tsc.loadImages(shared_path / f"{name}.zarr")
        assert same_bits(images.toArray(), array)
        # Of ten chunks along time and two in space: 4 and 1 have values.
        assert missing(images) == {"chunks": 20 - 2 * 4 - 1}
        assert missing(images.filterOnKeys(lambda key: key < 8)) == {}
        turns = {"axes": "ZYX", "nchannels": 2, "nplanes": 1, "channel": 0}
        pages = tsc.loadImages(shared_path / f"{name}.zarr", **turns)
        assert same_bits(pages.toArray(), array[::2])
        assert missing(pages) == {"chunks": 11}
    images = tsc.loadImages(shared_path / "nan.zarr")
    assert np.isnan(images.toArray()).all()
    assert missing(images) == {"chunks": 3}
    assert same_bits(
        tsc.loadImages(shared_path / "null.zarr").toArray(),
        np.stack([array[0], np.zeros(DIMS, "float32")]),
    )


def test_of_what_mpimages_wrote_no_chunk_is_filled_in(tsc, tmp_path):
    array = recording(4, DIMS, "uint16")
    images = tsc.loadImagesFromArray(array)
    for number, (name, given) in enumerate(
        [("0", {}), ("0", {"version": 2}), ("0", {"shards": False}), ("series", {})]
    ):
        path = tmp_path / f"{number}.zarr"
        images.saveAsZarr(path, layout="images" if name == "0" else name, **given)
        load = tsc.loadImages if name == "0" else tsc.loadSeries
        (lost,) = [file for file in (path / name).rglob("0") if file.is_file()]
        lost.unlink()
        with pytest.raises(FormatError, match=rf"{name}: .*0/0 is not there.*mpimages wrote all"):
            load(path).toArray()
        assert not load(path / name).toArray().any()


def _edit(path: Path, **given: Any) -> None:
    document = json.loads(path.read_text())
    document.update(given)
    path.write_text(json.dumps(document))


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_damage(tsc, comm, shared_path):
    """What is damaged, or claims too much, is an error that names the file; never a result."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    array = recording(8, DIMS, "uint16")

    def seeds():
        given = {"chunks": (2, 12, 10)}
        write(shared_path / "plain", array, compressors=None, **given)
        write(shared_path / "zstd", array, compressors=ZstdCodec(), **given)
        codecs = [ZstdCodec(), Crc32cCodec()]
        write(shared_path / "shard", array, compressors=codecs, shards=(4, 12, 10), **given)
        write(shared_path / "bare", array, compressors=None, shards=(4, 12, 10), **given)
        write(shared_path / "gzip", array, zarr_format=2, **given)

    def flip(path, place):
        content = bytearray(path.read_bytes())
        content[place] ^= 255
        path.write_bytes(content)

    def claim(root, **given):
        # With all files that it had.
        _edit(root / "zarr.json", **given)

    chunk = "c/1/0/0"
    huge = {"name": "regular", "configuration": {"chunk_shape": [2, 4096, 4096]}}
    cases = {
        "plain-short": (lambda root: os.truncate(root / chunk, 100), chunk),
        "plain-long": (lambda root: (root / chunk).write_bytes(bytes(9999)), chunk),
        "zstd-short": (lambda root: os.truncate(root / chunk, 50), chunk),
        "zstd-empty": (lambda root: os.truncate(root / chunk, 0), chunk),
        "zstd-other": (lambda root: (root / chunk).write_bytes(b"nonsense" * 9), chunk),
        "zstd-long": (lambda root: (root / chunk).write_bytes(bytes(99999)), chunk),
        "zstd-claim": (lambda root: claim(root, chunk_grid=huge), "c/0/0/0: claims a chunk"),
        "zstd-link": (
            lambda root: (os.unlink(root / chunk), os.symlink("nowhere", root / chunk)),
            chunk,
        ),
        "zstd-directory": (lambda root: (os.unlink(root / chunk), os.mkdir(root / chunk)), chunk),
        "shard-flip": (lambda root: flip(root / chunk, 20), rf"{chunk}: the chunk \(2, 0, 0\)"),
        "shard-index": (lambda root: flip(root / chunk, -10), f"{chunk}: its index"),
        "shard-short": (lambda root: os.truncate(root / chunk, 5), chunk),
        "shard-cut": (lambda root: os.truncate(root / chunk, 60), chunk),
        "bare-index": (lambda root: flip(root / chunk, -3), chunk),
        "gzip-short": (lambda root: os.truncate(root / "1.0.0", 60), "1.0.0"),
        "gzip-codec": (
            lambda root: _edit(root / ".zarray", compressor={"id": "zfpy"}),
            r"\.zarray: .*'zfpy'",
        ),
        "zstd-json": (lambda root: (root / "zarr.json").write_text("{"), "zarr.json: is no JSON"),
        "zstd-images": (
            lambda root: claim(root, shape=[1 << 40, 12, 10]),
            "claims 1099511627776 images",
        ),
        "zstd-image": (
            lambda root: claim(root, shape=[8, 1 << 30, 1 << 30]),
            "claims an image of 2305843009213693952 bytes",
        ),
        "zstd-dtype": (lambda root: claim(root, data_type="complex64"), "complex64"),
        "zstd-axes": (lambda root: claim(root, shape=[8, 12]), "zarr.json"),
    }

    def make():
        seeds()
        for name, (damage, _) in cases.items():
            root = shared_path / f"{name}.zarr"
            shutil.copytree(shared_path / name.partition("-")[0], root)
            damage(root)

    on_one(comm, make)
    for name, (_, said) in cases.items():
        with pytest.raises((ValueError, OSError), match=said) as error:
            tsc.loadImages(shared_path / f"{name}.zarr").toArray()
        assert f"{name}.zarr" in str(error.value), name
        if name != "zstd-directory":
            assert isinstance(error.value, FormatError) or "complex64" in said, name
    with ThunderContext(comm, memory="100KB") as small:  # of 240 bytes an image, but for a chunk
        on_one(
            comm,
            lambda: write(
                shared_path / "long.zarr", np.zeros((4096, 12, 10), "uint16"), fill_value=1
            ),
        )
        with pytest.raises(MemoryError, match="983040 bytes of a chunk"):
            small.loadImages(shared_path / "long.zarr").max()


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_links_that_lead_out(tsc, comm, shared_path):
    array = recording(3, DIMS, "uint16")

    def make():
        write(shared_path / "secret", array)
        group(shared_path / "a.zarr", {"own": array}, {})
        os.symlink(shared_path / "secret", shared_path / "a.zarr/out")
        os.symlink("own", shared_path / "a.zarr/in")
        said = image("0.5", ("../secret",))
        group(shared_path / "b.zarr", {}, said)
        os.symlink(shared_path / "a.zarr", shared_path / "c.zarr")

    on_one(comm, make)
    with pytest.raises(ValueError, match=r"a\.zarr/out: is a link to what lies outside"):
        tsc.loadImages(shared_path / "a.zarr", dataset="out")
    with pytest.raises(FormatError, match=r"multiscales name '../secret'"):
        tsc.loadImages(shared_path / "b.zarr")
    for name in ("in", "own", None):
        assert same_bits(tsc.loadImages(shared_path / "a.zarr", dataset=name).toArray(), array)
    # The recording itself may be a link, as any file.
    assert same_bits(tsc.loadImages(shared_path / "c.zarr").toArray(), array)


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_a_job_that_resumes_knows_its_chunks(tsc, comm, shared_path):
    from mpimages.conversion.fingerprint import Fingerprint

    array = recording(9, DIMS, "uint16")

    def make():
        for number in range(2):
            write(shared_path / f"set/{number}.zarr", array, chunks=(2, 12, 10))

    on_one(comm, make)

    def said(path):
        action, selection = tsc.loadImages(path).records.begin("test")
        fingerprint = Fingerprint(action, selection)
        with action.together():
            fingerprint.ask()
        return fingerprint.describe()

    for path, chunk in (("set/0.zarr", "set/0.zarr/c/1/0/0"), ("set", "set/1.zarr/c/4/0/0")):
        first = said(shared_path / path)
        assert said(shared_path / path) == first
        on_one(comm, lambda chunk=chunk: os.utime(shared_path / chunk, (1, 1)))
        second = said(shared_path / path)
        assert second != first
        on_one(comm, lambda chunk=chunk: os.unlink(shared_path / chunk))
        assert said(shared_path / path) not in (first, second)


def test_of_files_one_is_open_at_a_time_and_indexes_are_read_once(tmp_path, monkeypatch):
    from zarr.codecs import ZstdCodec

    array = recording(12, DIMS, "uint16")
    given = {"chunks": (1, 12, 10), "shards": (4, 12, 10), "compressors": ZstdCodec()}
    write(tmp_path / "a.zarr", array, **given)
    reads: list[tuple[int, int]] = []
    opened: list[int] = []
    read, status = values.read_into, shard_files.open_status

    def reading(fd, offset, out, path):
        reads.append((fd, out.nbytes))
        read(fd, offset, out, path)

    def opening(path):
        opened.append(len(os.listdir("/proc/self/fd")))
        return status(path)

    for module in (values, shard_files):
        monkeypatch.setattr(module, "read_into", reading)
    monkeypatch.setattr(shard_files, "open_status", opening)
    reader, options = ZarrReader(), Options()
    _, (path,) = find_input(tmp_path / "a.zarr")
    header = reader.inspect(path, options)
    out = np.empty_like(array)
    for _ in range(2):
        with reader.open(path, options, header) as handle:
            handle.read_batch(0, 12, out)
        assert same_bits(out, array)
    # Neighbours by one call: of each shard one read, and its index once.
    assert len(reads) == 3 + 2 * 3
    assert len(opened) == 6
    assert max(opened) == min(opened)


@pytest.mark.parametrize("shards", [None, (4, 12, 10)])
def test_an_array_that_disappears_is_no_fill_value(tmp_path, monkeypatch, shards):
    monkeypatch.chdir(tmp_path)
    write(Path("a.zarr"), recording(4, DIMS, "uint16"), chunks=(1, 12, 10), shards=shards)
    reader, options = ZarrReader(), Options()
    _, (path,) = find_input("a.zarr")
    header = reader.inspect(path, options)
    out = np.empty((4, *DIMS), "uint16")
    with reader.open(path, options, header) as handle:
        shutil.rmtree("a.zarr/c")
        handle.read_batch(0, 4, out)
        assert not out.any()
        shutil.rmtree("a.zarr")
        with pytest.raises(FileNotFoundError, match=r"a\.zarr"):
            handle.read_batch(0, 4, out)


def test_info(tmp_path):
    from click.testing import CliRunner

    from mpimages.cli import cli

    array = recording(6 * 2, DIMS, "uint16").reshape(6, 2, 1, *DIMS)
    group(tmp_path / "a.zarr", {"0": array}, image("0.5"), chunks=(1, 1, 1, *DIMS))
    os.unlink(tmp_path / "a.zarr/0/c/3/0/0/0/0")
    told = CliRunner().invoke(cli, ["info", "--json", "--channel", "0", str(tmp_path / "a.zarr")])
    said = json.loads(told.output)
    assert said["format"] == "zarr"
    assert said["images"] == 6
    assert said["names"] == ["a.zarr"]
    assert said["channels"] == ["GCaMP", "tdTomato"]
    assert said["never_written"] == {"chunks": 1}
    assert said["pixel_size"] == "0.25 x 0.25 µm"
    stored = sum(f.stat().st_size for f in (tmp_path / "a.zarr").rglob("*") if f.is_file())
    assert said["bytes_in_files"] == stored
