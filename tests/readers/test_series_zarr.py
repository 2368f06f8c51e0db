"""Series in Zarr: what saveAsZarr writes, and arrays of others."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from mpimages import FormatError, ThunderContext
from mpimages.engine import runner
from mpimages.readers.series import chunked
from mpimages.readers.zarr import values

from ..support.data import recording, same_bits
from .test_zarr import group, image, on_one, once, write

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

TIMES, DIMS = 17, (12, 10)


@pytest.fixture
def decoded(monkeypatch):
    """How often each chunk was decoded on this rank, in small batches."""
    found: Counter = Counter()
    decode = values.ZarrValues._decode

    def counting(self, path, stored, chunk, low, part):
        found[path, chunk] += 1
        decode(self, path, stored, chunk, low, part)

    monkeypatch.setattr(values.ZarrValues, "_decode", counting)
    monkeypatch.setattr(runner, "BATCH_BYTES", 10 * 2 * TIMES)
    monkeypatch.setattr(chunked, "BAND_BYTES", 1000)
    return found


def test_what_is_written_is_read(tsc, comm, shared_path):
    """Of both layouts and versions, of planes and volumes, as Images and as Series."""
    number = 0
    plane = ({}, {"compression": None}, {"version": 2}, {"shards": False})
    for dims, kinds in ((DIMS, plane), ((9, 7, 3), plane[:1])):
        array = recording(TIMES, dims, "uint16")
        images = tsc.loadImagesFromArray(array)
        for given in kinds:
            for layout in ("images", "series"):
                path = shared_path / f"{number}.zarr"
                images.saveAsZarr(path, layout=layout, **given)
                series = tsc.loadSeries(path)
                assert same_bits(series.toArray(), np.moveaxis(array, 0, -1))
                assert same_bits(tsc.loadImages(path).toArray(), array)
                number += 1


def test_index_and_metadata(tsc, comm, shared_path):
    def make():
        said = {"format": "mpimages-zarr", "version": 1, "layout": "series", "index": [3, 5, 9]}
        said["metadata"] = {"pixelSize": [0.5, 0.25], "unit": "µm", "frameInterval": 0.1}
        names = ["y", "x", "t"]
        arrays = {"series": np.moveaxis(array, 0, -1)}
        group(shared_path / "a.zarr", arrays, {"mpimages": said}, dimension_names=names)
        group(shared_path / "b.zarr", arrays, {"mpimages": {**said, "version": 2}})
        group(shared_path / "c.zarr", arrays, {"mpimages": {**said, "index": [1, 2]}})

    array = recording(3, DIMS, "uint16")
    on_one(comm, make)
    expected = {"pixelSize": (0.5, 0.25), "unit": "µm", "frameInterval": 0.1}
    series = tsc.loadSeries(shared_path / "a.zarr")
    assert series.index.tolist() == [3, 5, 9]
    assert series.metadata == expected
    assert tsc.loadImages(shared_path / "a.zarr").metadata == expected
    with pytest.raises(FormatError, match="format version 2"):
        tsc.loadSeries(shared_path / "b.zarr")
    with pytest.raises(FormatError, match="its index is not 3 integers"):
        tsc.loadSeries(shared_path / "c.zarr")


CHUNKS = [
    ((12, 10, 17), None),
    ((5, 3, 8), None),
    ((4, 10, 17), (8, 10, 17)),
    ((2, 4, 9), (4, 8, 18)),
]


def test_each_chunk_is_read_once(tsc, comm, shared_path, decoded):
    """Series first and images first, with and without shards."""
    array = np.moveaxis(recording(TIMES, DIMS, "uint16"), 0, -1)
    cases = [(chunk, shard, first) for chunk, shard in CHUNKS for first in (False, True)]

    def make():
        for number, (chunk, shard, first) in enumerate(cases):
            order = (2, 0, 1) if first else (0, 1, 2)
            write(
                shared_path / f"{number}.zarr",
                array.transpose(order),
                chunks=[chunk[i] for i in order],
                shards=None if shard is None else [shard[i] for i in order],
                dimension_names=["yxt"[i] for i in order],
            )

    on_one(comm, make)
    for number in range(len(cases)):
        series = tsc.loadSeries(shared_path / f"{number}.zarr")
        assert same_bits(once(comm, decoded, series.toArray), array)
        assert same_bits(once(comm, decoded, series.max), array.max((0, 1)))
        some = series.filterOnKeys(lambda key: (key[0] + key[1]) % 3 == 0)
        chosen = np.add.outer(np.arange(12), np.arange(10)) % 3 == 0
        assert same_bits(once(comm, decoded, some.sum), array[chosen].sum(0, dtype="uint64"))
    with ThunderContext(comm, memory="24KB") as small:
        found = small.loadSeries(shared_path / "6.zarr").max()
        assert same_bits(found, array.max((0, 1)))


def test_arrays_of_others(tsc, comm, shared_path):
    array = recording(5, (4, 6, 3), "int16")

    def make():
        write(shared_path / "plain", np.moveaxis(array, 0, -1), chunks=(2, 6, 2, 5))
        write(shared_path / "swapped", np.moveaxis(array[..., 0], 0, -1).astype(">f4"))
        names = ["time", "z", "y", "x"]
        turned = np.ascontiguousarray(np.moveaxis(array, -1, 1))
        write(shared_path / "named", turned, dimension_names=names, chunks=(2, 2, 3, 4))
        names = ["y", "time", "x"]
        write(shared_path / "between", np.moveaxis(array[..., 0], 0, 1), dimension_names=names)
        group(shared_path / "set.zarr", {"series": array[0], "other": array[0, 0]}, {})
        for name, shape in (("many", [1 << 40, 1 << 40, 3, 5]), ("long", [4, 6, 3, 1 << 60])):
            write(shared_path / name, array)
            document = json.loads((shared_path / name / "zarr.json").read_text())
            (shared_path / name / "zarr.json").write_text(json.dumps({**document, "shape": shape}))
        (shared_path / "above").mkdir()
        write(shared_path / "above/one.zarr", array[0])

    on_one(comm, make)
    for name, given, expected in (
        ("plain", {}, np.moveaxis(array, 0, -1)),
        ("plain", {"inputFormat": "zarr", "nvalues": 5}, np.moveaxis(array, 0, -1)),
        ("plain/zarr.json", {}, np.moveaxis(array, 0, -1)),
        ("swapped", {}, np.moveaxis(array[..., 0], 0, -1).astype("f4")),
        ("named", {}, np.moveaxis(array, 0, -1)),
        ("set.zarr", {}, array[0]),
        ("set.zarr", {"dataset": "other"}, array[0, 0]),
        ("above", {}, array[0]),
    ):
        series = tsc.loadSeries(shared_path / name, **given)
        assert same_bits(series.toArray(), np.ascontiguousarray(expected)), name
    for name, given, kind, said in (
        ("between", {}, ValueError, "T first or last"),
        ("set.zarr", {"dataset": "none"}, ValueError, "has no array 'none'; it has other, series"),
        ("set.zarr", {"dataset": "../plain"}, ValueError, "no path of an array"),
        ("plain", {"nvalues": 4}, ValueError, "nvalues=4 was given, but it has 5"),
        ("plain", {"nkeys": 4}, ValueError, "a Zarr has no keys"),
        ("plain", {"valueType": "int8"}, ValueError, "valueType=int8 was given"),
        ("many", {}, FormatError, "many: claims an image of 7253.* bytes: it is damaged"),
        ("long", {}, FormatError, "long: claims a series of 2305.* bytes: it is damaged"),
        ("", {"inputFormat": "zarr"}, ValueError, "has 7 directories of Zarr"),
    ):
        with pytest.raises(kind, match=said):
            tsc.loadSeries(shared_path / name, **given)


def test_info(tsc, comm, shared_path):
    from click.testing import CliRunner

    from mpimages.cli import cli

    array = recording(5, DIMS, "uint16")
    for layout in ("images", "series"):
        path = shared_path / f"{layout}.zarr"
        tsc.loadImagesFromArray(array).saveAsZarr(path, layout=layout)
        if comm.size == 1:
            said = json.loads(CliRunner().invoke(cli, ["info", "--json", str(path)]).output)
            assert (said["what"], said["format"]) == (layout, "zarr")


def test_what_is_known_of_pixels_goes_out_and_comes_back(tsc, comm, shared_path):
    """Also of the levels of a pyramid, whose pixels are larger."""
    array = recording(6 * 2 * 3, DIMS, "uint16").reshape(6, 2, 3, *DIMS)
    on_one(comm, lambda: group(shared_path / "a.zarr", {"0": array}, image("0.5")))
    images = tsc.loadImages(shared_path / "a.zarr", channel=0)
    known = {"frameInterval": 0.0005, "pixelSize": (0.25, 0.25, 2.0), "unit": "µm"}
    assert images.metadata == known
    for version in (2, 3):
        path = shared_path / f"{version}.zarr"
        images.saveAsZarr(path, version=version, levels=1)
        found = tsc.loadImages(path)
        assert same_bits(found.toArray(), np.ascontiguousarray(np.moveaxis(array[:, 0], 1, -1)))
        assert found.metadata == tsc.loadSeries(path).metadata == known
        second = tsc.loadImages(path, dataset="1")
        assert second.metadata == {**known, "pixelSize": (0.5, 0.5, 2.0)}
        assert second.dims.count == (6, 5, 3)
