"""What saveAsZarr writes: all values for other libraries, the same bytes for any ranks."""

from __future__ import annotations

import itertools
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.spmd.agreement import Together
from mpimages.writers.zarr.layout import ZarrForm
from mpimages.writers.zarr.pyramid import shrink

from ..conversion.test_saving import contents
from ..support.data import recording, same_bits, spread

DTYPES = ["u1", "i2", "u2", "u4", "i4", "u8", "f2", "f4", "f8"]
COMPRESSIONS = [None, "zstd", "blosc", "gzip", ("zstd", 3)]
# The shapes of images, and chunks and shards of them: in (t, y, x), (t, z, y, x).
FLAT, DEEP = (7, 9, 11), (5, 9, 6, 3)
FORMS = [
    (FLAT, {}),
    (FLAT, {"chunks": (2, 4, 5), "shards": 200}),
    (FLAT, {"chunks": (2, 4, 5), "shards": False}),
    (FLAT, {"chunks": "auto", "shards": "1kB"}),
    (FLAT, {"chunks": (3, 9, 11), "levels": 2}),
    (FLAT, {"version": 2, "levels": 3}),
    (DEEP, {"levels": 1}),
    (DEEP, {"chunks": (2, 2, 4, 4), "shards": 600, "levels": 2}),
    (DEEP, {"version": 2, "chunks": (1, 3, 4, 6)}),
    ((1, 1, 1), {}),
    ((1, 8, 3), {"shards": False, "levels": 3}),
]


def stored(array: np.ndarray) -> np.ndarray:
    """Images as an OME-Zarr has them."""
    return array if array.ndim == 3 else array.transpose(0, 3, 1, 2)


def as_series(given: dict, dims: int) -> dict:
    """The same wish for series."""
    made = {key: value for key, value in given.items() if key != "levels"}
    if isinstance(given.get("chunks"), tuple):
        made["chunks"] = (3,) * dims + (2,)
    return made


def by_zarr(path: Path) -> dict[str, np.ndarray]:
    """All arrays, by zarr-python."""
    import zarr

    return {name: array[...] for name, array in zarr.open_group(str(path), mode="r").arrays()}


def by_tensorstore(path: Path, name: str) -> np.ndarray:
    import tensorstore

    driver = "zarr3" if (path / name / "zarr.json").exists() else "zarr"
    store = {"driver": "file", "path": str(path / name)}
    opened = tensorstore.open({"driver": driver, "kvstore": store}, open=True).result()
    return np.asarray(opened.read().result())


def on_rank_0(comm, check) -> None:
    """Other libraries look at it once; what fails is raised on all ranks."""
    comm.Barrier()
    with Together(comm, "check"):
        if comm.rank == 0:
            check()


def cases():
    """Each form with some compression and dtype, each of which some form has."""
    compressions, dtypes = itertools.cycle(COMPRESSIONS), itertools.cycle(DTYPES)
    for shape, given in FORMS:
        for _ in range(2):
            yield shape, {**given, "compression": next(compressions)}, next(dtypes)


@pytest.mark.ranks
def test_every_value_is_there_for_other_libraries(tsc, shared_path):
    wanted = {}
    for number, (shape, given, dtype) in enumerate(cases()):
        array = recording(shape[0], shape[1:], dtype)
        images = spread(tsc, array)
        images.saveAsZarr(shared_path / f"{number}.zarr", **given)
        levels = [stored(array), *shrink(stored(array), given.get("levels", 0))]
        wanted[number] = {str(level): values for level, values in enumerate(levels)}
        path = shared_path / f"{number}-series.zarr"
        images.saveAsZarr(path, layout="series", **as_series(given, len(shape) - 1))
        wanted[f"{number}-series"] = {"series": np.moveaxis(array, 0, -1)}

    def check():
        for name, expected in wanted.items():
            path = shared_path / f"{name}.zarr"
            found = by_zarr(path)
            assert found.keys() == expected.keys()
            for key, values in expected.items():
                assert same_bits(found[key], np.ascontiguousarray(values)), (name, key)
                assert same_bits(by_tensorstore(path, key), np.ascontiguousarray(values))

    on_rank_0(tsc.comm, check)


@pytest.mark.ranks
def test_the_bytes_do_not_depend_on_ranks_budgets_batches_or_threads(
    comm, shared_path, monkeypatch
):
    """Of the same images: on all ranks, on one, in small rounds and batches, with more threads."""

    def save_all(context, home, images_of, **budget):
        for number, (shape, given, dtype) in enumerate(cases()):
            images = images_of(context, recording(shape[0], shape[1:], dtype))
            images.saveAsZarr(home / f"{number}.zarr", **given, **budget)
            given = as_series(given, len(shape) - 1)
            images.saveAsZarr(home / f"{number}.s.zarr", layout="series", **given, **budget)

    for name in ("one", "all", "small"):
        if comm.rank == 0:
            (shared_path / name).mkdir()
    comm.Barrier()
    if comm.rank == 0:
        with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
            save_all(alone, shared_path / "one", lambda tsc, array: tsc.loadImagesFromArray(array))
    with ThunderContext(comm, memory="1GB") as tsc:
        save_all(tsc, shared_path / "all", spread)
    monkeypatch.setattr("mpimages.engine.runner.BATCH_BYTES", 1)
    monkeypatch.setattr("mpimages.writers.zarr.base.PART_BYTES", 1)
    with ThunderContext(comm, memory="1GB") as tsc:
        tsc.session.workspace.threads = 3
        save_all(
            tsc,
            shared_path / "small",
            lambda tsc, array: tsc.loadImagesFromArray(array).cache(),
            memory=20_000,
        )
    comm.Barrier()
    one = contents(shared_path / "one")
    for name in ("all", "small"):
        every = contents(shared_path / name)
        assert every.keys() == one.keys()
        assert [key for key in one if every[key] != one[key]] == []


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_collections_of_any_kind(tsc, shared_path):
    array = recording(8, (6, 5), "u2")
    images = spread(tsc, array)
    kept = images.filterOnKeys(lambda key: key % 3 != 1)
    flipped = images.apply(lambda image: image[::-1])  # not declared
    made = {
        "filtered": (kept, array[[0, 2, 3, 5, 6]], [0, 2, 3, 5, 6]),
        "renumbered": (kept.renumber(), array[[0, 2, 3, 5, 6]], range(5)),
        "undeclared": (flipped, array[:, ::-1], range(8)),
        "binned": (images.timeBin(2, how="sum"), None, None),
        "big": (tsc.loadImagesFromArray(array.astype(">u2")), array, range(8)),
    }
    expected = {}
    for name, (collection, values, keys) in made.items():
        collection.saveAsZarr(shared_path / f"{name}.zarr", levels=1)
        collection.toSeries().saveAsZarr(shared_path / f"{name}.s.zarr")
        if values is None:
            values, keys = collection.toArray(), collection.toSeries().index
        expected[name] = (values, list(keys))

    def check():
        for name, (values, keys) in expected.items():
            path = shared_path / f"{name}.zarr"
            root = json.loads((path / "zarr.json").read_bytes())["attributes"]["mpimages"]
            assert root["index"] == [int(key) for key in keys]
            assert same_bits(by_zarr(path)["0"], np.ascontiguousarray(values))
            series = by_zarr(shared_path / f"{name}.s.zarr")["series"]
            assert same_bits(series, np.ascontiguousarray(np.moveaxis(values, 0, -1)))

    on_rank_0(tsc.comm, check)


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_from_series_and_to_images(tsc, shared_path):
    array = recording(6, (4, 5, 2), "f4")
    series = spread(tsc, array).toSeries()
    series.saveAsZarr(shared_path / "a.zarr", layout="images")
    spread(tsc, array).saveAsZarr(shared_path / "b.zarr")
    series.apply(lambda values: values[:3]).saveAsZarr(shared_path / "c.zarr")
    a, b = contents(shared_path / "a.zarr"), contents(shared_path / "b.zarr")
    assert a == b
    on_rank_0(
        tsc.comm,
        lambda: np.testing.assert_array_equal(
            by_zarr(shared_path / "c.zarr")["series"], np.moveaxis(array, 0, -1)[..., :3]
        ),
    )


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_what_is_complete_is_compared_with_what_is_asked_for(tsc, shared_path):
    array = recording(5, (6, 7, 3), "u2")
    images, others = tsc.loadImagesFromArray(array), tsc.loadImagesFromArray(array + 1)
    later = images.applyKeys(lambda key: key + 1)
    for number, given in enumerate(({}, {"layout": "series"}, {"version": 2, "levels": 1})):
        path = shared_path / f"{number}.zarr"
        for _ in range(2):
            images.saveAsZarr(path, resume=True, **given)
        before = contents(path)
        for collection, match, changed in [
            (others, "other values", {}),
            (later, "another index", {}),
            (images.planes(0, 1), "holds", {}),
            (images, "compressor|codecs", {"compression": "gzip"}),
            (images, "chunk", {"chunks": (2, 2, 2, 2)}),
        ]:
            with pytest.raises(FileExistsError, match=f"is complete, but .*({match})"):
                collection.saveAsZarr(path, resume=True, **given, **changed)
        assert contents(path) == before
    with pytest.raises(FileExistsError, match="more levels"):
        images.saveAsZarr(path, resume=True, version=2)
    with pytest.raises(FileExistsError, match="has no array 1"):
        images.saveAsZarr(shared_path / "0.zarr", resume=True, levels=1)
    images.saveAsZarr(path, overwrite=True)
    on_rank_0(tsc.comm, lambda: np.testing.assert_array_equal(by_zarr(path)["0"], stored(array)))


class Stop(Exception):
    """What interrupts a job."""


ENDS = {
    "compressed series": {"layout": "series", "chunks": (2, 7, 5), "shards": 300},
    "compressed images": {"chunks": (1, 3, 7), "shards": 200, "levels": 1},
    "plain images": {"chunks": (2, 3, 4), "compression": None, "levels": 1},
    "version 2": {"version": 2, "chunks": (1, 6, 7)},
}


@pytest.mark.ranks
@pytest.mark.parametrize("kind", ENDS)
def test_a_job_that_ended_at_its_end_has_nothing_to_do_again(tsc, shared_path, kind, monkeypatch):
    """Files of chunks become files of the output: whatever has become of them is found."""
    array = recording(5, (6, 7), "u2")
    calls = []

    def step(image):
        calls.append(1)
        return image

    given = ENDS[kind]
    images = spread(tsc, array)
    images.saveAsZarr(shared_path / "whole.zarr", **given)
    whole = contents(shared_path / "whole.zarr")
    counted = images.apply(step, dims=(6, 7), dtype="u2")
    replace = os.replace
    # Of the files of chunks and of metadata so many get their names; and again later.
    for number, limits in enumerate([(0,), (1,), (2, 0), (3, 1), (4, 4, 4), (1000,)]):
        path = shared_path / f"{number}.zarr"
        for limit in limits:
            left = iter(range(limit))

            def failing(source, target, left=left):
                if next(left, None) is None and ".zarr.mpimages-partial/" in str(target):
                    raise Stop
                replace(source, target)

            monkeypatch.setattr(os, "replace", failing)
            try:
                counted.saveAsZarr(path, resume=True, **given)
            except Stop:
                assert limit < 1000
            monkeypatch.setattr(os, "replace", replace)
        counted.saveAsZarr(path, resume=True, **given)
        assert contents(path) == whole
    assert tsc.comm.allreduce(len(calls)) <= 6 * len(array) + 3 * 6


def documents(path: Path) -> dict[str, dict]:
    return {
        name: json.loads(content)
        for name, content in contents(path).items()
        if os.path.basename(name) in ("zarr.json", ".zattrs", ".zarray", ".zgroup")
    }


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr(tsc, tmp_path, version):
    import zarr

    if version == 3:
        from ome_zarr_models.v05.image import Image
    else:
        from ome_zarr_models.v04.image import Image

    for dims in ((12, 10), (12, 10, 3)):
        images = tsc.loadImagesFromArray(recording(4, dims, "u2"))
        known = {"pixelSize": (0.5, 0.25, 2.0)[: len(dims)], "unit": "µm", "frameInterval": 0.1}
        for number, metadata in enumerate(
            ({}, known, {"pixelSize": (0.5,) * 5, "unit": "furlong"})
        ):
            images.metadata.clear()
            images.metadata.update(metadata)
            path = tmp_path / f"{len(dims)}-{number}.ome.zarr"
            images.saveAsZarr(path, version=version, levels=2)
            model = Image.from_zarr(zarr.open_group(str(path), mode="r"))
            said = (
                model.attributes.model_dump() if version == 2 else model.ome_attributes.model_dump()
            )
            (scales,) = said["multiscales"]
            assert [axis["name"] for axis in scales["axes"]] == ["t", *"zyx"[3 - len(dims) :]]
            units = [axis.get("unit") for axis in scales["axes"]]
            first, _, last = (d["coordinateTransformations"] for d in scales["datasets"])
            if metadata is known:
                assert units == ["second", *["micrometer"] * len(dims)]
                assert first[0]["scale"] == [0.1, *[2.0] * (len(dims) - 2), 0.5, 0.25]
                assert last[0]["scale"] == [0.1, *[2.0] * (len(dims) - 2), 2.0, 1.0]
                assert last[1]["translation"] == [0, *[0] * (len(dims) - 2), 0.75, 0.375]
            else:
                assert units == [None] * (len(dims) + 1)
                assert first[0]["scale"] == [1.0] * (len(dims) + 1)
                assert len(first) == 1
            shapes = [array.shape for _, array in sorted(zarr.open_group(str(path)).arrays())]
            assert [shape[-2:] for shape in shapes] == [(12, 10), (6, 5), (3, 3)]


@pytest.mark.parametrize("version", [2, 3])
def test_xarray_opens_series(tsc, tmp_path, version):
    import xarray

    for dims, names in (((4, 5), "yxt"), ((4, 5, 2), "yxzt")):
        array = recording(6, dims, "u2")
        path = tmp_path / f"{len(dims)}.zarr"
        tsc.loadImagesFromArray(array).saveAsZarr(path, layout="series", version=version)
        found = xarray.open_zarr(str(path), consolidated=False, chunks=None)["series"]
        assert found.dims == tuple(names)
        assert same_bits(found.values, np.ascontiguousarray(np.moveaxis(array, 0, -1)))


@pytest.mark.parametrize("version", [2, 3])
def test_the_mark_has_checksums_of_all(tsc, tmp_path, version):
    array = recording(4, (6, 5), "u2")
    images = tsc.loadImagesFromArray(array)
    images.metadata["note"] = float("nan")
    images.saveAsZarr(tmp_path / "a.zarr", levels=1, version=version, compression=None)
    root = tmp_path / "a.zarr" / ("zarr.json" if version == 3 else ".zattrs")
    text = root.read_bytes()
    depth = 3 if version == 3 else 2
    end = text[-depth - len(b'"crc32": "00000000"') :]
    assert end == b'"crc32": "%08x"' % zlib.crc32(text[: -len(end)]) + b"}" * depth
    attributes = json.loads(text)
    mark = (attributes["attributes"] if version == 3 else attributes)["mpimages"]
    assert mark["metadata"] == {"note": None}
    for name, values in zip("01", (array, *shrink(array, 1)), strict=True):
        assert mark["arrays"][name]["checksum"] == [zlib.crc32(values.tobytes())]
    files = {n: c for n, c in contents(tmp_path / "a.zarr").items() if n in mark["documents"]}
    assert {name: zlib.crc32(content) for name, content in files.items()} == mark["documents"]
    others = documents(tmp_path / "a.zarr").keys() - files.keys()
    assert others == {root.name}


def test_few_large_files_and_sensible_chunks():
    def chunk_and_shard(shape, dtype="u2", layout="images", **given):
        (first, *_) = ZarrForm.of(shape, dtype, layout, **given).arrays
        return first.array.chunk, first.array.shard, first.count

    assert chunk_and_shard((512, 512, 10_000)) == ((2, 512, 512), (1906, 512, 512), 6)
    assert chunk_and_shard((100, 100, 10_000))[0] == (52, 100, 100)
    assert chunk_and_shard((2048, 2048, 100))[0] == (1, 2048, 2048)
    assert chunk_and_shard((8192, 2048, 10))[0] == (1, 4096, 2048)
    assert chunk_and_shard((1024, 1024, 30, 10)) == ((1, 1, 1024, 1024), (10, 30, 1024, 1024), 1)
    assert chunk_and_shard((64, 64, 30, 10))[0] == (1, 30, 64, 64)
    assert chunk_and_shard((512, 512, 10_000), layout="series") == (
        (1, 52, 10_000),
        (96, 520, 10_000),
        6,
    )
    # Where each chunk is a file there are no more than 100,000 of them.
    chunk, shard, count = chunk_and_shard((512, 512, 1_000_000), version=2)
    assert chunk == shard
    assert count <= 100_000
    assert chunk_and_shard((512, 512, 1_000_000), layout="series", shards=False)[2] <= 100_000


def test_wrong_arguments_are_refused_before_anything_is_written(tsc, tmp_path):
    images = tsc.loadImagesFromArray(recording(4, (6, 5), "u2"))
    path = tmp_path / "a.zarr"
    for error, match, given in [
        (ValueError, "layout", {"layout": "frames"}),
        (ValueError, "series have none", {"layout": "series", "levels": 1}),
        (ValueError, "has none", {"version": 2, "shards": "1MB"}),
        (ValueError, "does not fit", {"chunks": (1, 6)}),
        (ValueError, "does not fit", {"chunks": (1, 6, 6)}),
        (ValueError, "does not fit", {"chunks": (0, 6, 5)}),
        (TypeError, "chunks", {"chunks": "large"}),
        (ValueError, "at most 3", {"levels": 4}),
        (ValueError, "version", {"version": 1}),
        (TypeError, "shards", {"shards": True}),
        (ValueError, "compression", {"compression": "lzf"}),
    ]:
        with pytest.raises(error, match=match):
            images.saveAsZarr(path, **given)
    with pytest.raises(ValueError, match="no records"):
        images.filterOnKeys(lambda key: False).saveAsZarr(path)
    with pytest.raises(ValueError, match="neither 2-D nor 3-D"):
        images.apply(lambda image: image[0], dims=(5,), dtype="u2").saveAsZarr(path)
    with pytest.raises(ValueError, match=r"images of shape \(1, 2, 3, 5\) are neither"):
        images.apply(lambda image: np.zeros((1, 2, 3, 5)), dims=(1, 2, 3, 5)).saveAsZarr(path)
    for dtype in ("c16", "?", "S3"):
        with pytest.raises(TypeError, match="integers or floats"):
            ZarrForm.of((6, 5, 4), dtype, "images")
    with pytest.raises(MemoryError, match="share a chunk"):
        images.saveAsZarr(path, chunks=(4, 6, 5), memory=400)
    with pytest.raises(ValueError, match="larger chunks"):
        ZarrForm.of((400, 300, 1), "u1", "images", (1, 1, 1), False)
    with pytest.raises(ValueError, match="larger shards"):
        ZarrForm.of((400, 300, 1), "u1", "images", (1, 1, 1), 1)
    assert list(tmp_path.iterdir()) == []
