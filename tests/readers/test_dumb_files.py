"""Files that are not what they should be, as the public loaders meet them, at any ranks."""

from __future__ import annotations

import json
import os
import shutil

import h5py
import numpy as np
import pytest
import tifffile

from ..faults.mutations import SEEDS, seeds
from ..support.data import recording, same_bits
from ..support.recordings import write_json, write_own_series
from ..support.tallies import count

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

KINDS = ("tif", "png", "npy", "hdf5", "stack")
ENDINGS = {"tif": "tif", "png": "png", "npy": "npy", "hdf5": "h5", "stack": "bin"}


def on_one(comm, work):
    """Rank 0 makes the files; the others wait."""
    if comm.rank == 0:
        work()
    comm.Barrier()


def refused(tsc, load, named, told="", kinds=(ValueError, OSError, MemoryError)):
    """All ranks get the same documented exception, which names the file; they are in step."""
    count("bad files", 1, tsc.comm)
    before = tsc.comm.bcast(listing(named) if tsc.rank == 0 else None)
    with pytest.raises(kinds) as caught:
        load().toArray()
    said = " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert os.path.basename(named) in said
    assert told in said
    types = tsc.comm.allgather(type(caught.value).__name__)
    assert set(types) == {types[0]}
    assert before == tsc.comm.bcast(listing(named) if tsc.rank == 0 else None)


def listing(path):
    return sorted(os.listdir(os.path.dirname(path)))


def several(root, kind, number=4):
    """A directory of `number` files of one kind, and the third's path: the last rank's of two."""
    source = seeds(kind, root / "seed")[0]
    (root / "files").mkdir()
    (name,) = (n for n in os.listdir(source) if n != "conf.json")
    for i in range(number):
        shutil.copy(source / name, root / "files" / f"{i}.{ENDINGS[kind]}")
    if (source / "conf.json").exists():
        shutil.copy(source / "conf.json", root / "files")
    return root / "files" / f"2.{ENDINGS[kind]}"


def nothing(path):
    path.write_bytes(b"")


def half(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def text(path):
    path.write_bytes(b"This is no image at all.\n" * 9)


def other(path):
    for kind, ending in ENDINGS.items():
        if kind != "stack" and not path.name.endswith(ending):
            source = seeds(kind, path.parent.parent / "others")[0]
            shutil.copy(source / f"a.{ending}", path)
            return


def dangling(path):
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def loop(path):
    path.unlink()
    path.symlink_to(path)


def gone(path):
    path.unlink()


BAD = (nothing, half, text, other, dangling, pipe, loop)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", BAD)
def test_one_bad_file_among_good_ones(tsc, comm, shared_path, kind, bad):
    path = shared_path / "files" / f"2.{ENDINGS[kind]}"
    on_one(comm, lambda: bad(several(shared_path, kind)))
    names = [str(path.with_name(f"{i}.{ENDINGS[kind]}")) for i in range(4)]
    refused(tsc, lambda: tsc.loadImages(names, inputFormat=kind), str(path))
    # What is good can still be loaded by the same context.
    assert tsc.loadImages(names[:2], inputFormat=kind).toArray().dtype == np.dtype(
        {"tif": "u2", "png": "u1"}.get(kind, "i2")
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_vanishes_after_it_was_listed(tsc, comm, shared_path, kind):
    path = shared_path / "files" / f"2.{ENDINGS[kind]}"
    on_one(comm, lambda: several(shared_path, kind))
    try:
        images = tsc.loadImages(path.parent, inputFormat=kind)
    finally:
        comm.Barrier()
        on_one(comm, lambda: gone(path))
    refused(tsc, lambda: images, str(path), kinds=(FileNotFoundError,))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shape": (8, 10)}, "shape"),
        ({"dtype": "uint8"}, "dtype"),
        ({"dtype": ">i4"}, "dtype"),
        ({"shape": (8, 9, 2)}, "shape"),
    ],
)
def test_neighbours_of_another_shape_or_dtype(tsc, comm, shared_path, change, told):
    path = shared_path / "2.npy"

    def make():
        for i in range(4):
            shape, dtype = (8, 9), "int16"
            if i == 2:
                shape, dtype = change.get("shape", shape), change.get("dtype", dtype)
            np.save(shared_path / f"{i}.npy", np.zeros(shape, dtype))

    on_one(comm, make)
    refused(tsc, lambda: tsc.loadImages(shared_path), str(path), told)


# -- nothing is executed, nothing outside is read ------------------------------------------


class Trap:
    """Would make a directory when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_pickles_are_never_loaded(tsc, comm, shared_path, monkeypatch):
    monkeypatch.chdir(shared_path)
    path = shared_path / "a.npy"
    on_one(comm, lambda: np.save(path, np.array([[Trap()]], object), allow_pickle=True))
    refused(tsc, lambda: tsc.loadImages(path), str(path), "object")
    assert not (shared_path / "trapped").exists()


def outside_external(file, secret):
    file["series"] = h5py.ExternalLink(str(secret), "series")


def outside_group(file, secret):
    file["a"] = h5py.ExternalLink(str(secret), "/")
    file["series"] = h5py.SoftLink("/a/series")


def outside_circle(file, secret):
    file["series"] = h5py.SoftLink("/b")
    file["b"] = h5py.SoftLink("/series")


def outside_storage(file, secret):
    file.create_dataset("series", (4, 5, 6), "u1", external=[(str(secret), 0, 120)])


def outside_virtual(file, secret):
    layout = h5py.VirtualLayout((4, 5, 6), "u1")
    layout[...] = h5py.VirtualSource(str(secret), "series", (4, 5, 6))
    file.create_virtual_dataset("series", layout)


def virtual(file, name, *sources, printed="{}"):
    """A virtual dataset of others of the same file, whatever these are."""
    layout = h5py.VirtualLayout((4, 5, 6), "u1")
    for i, source in enumerate(sources):
        layout[i :: len(sources)] = h5py.VirtualSource(".", printed.format(source), (4, 5, 6))[
            i :: len(sources)
        ]
    file.create_virtual_dataset(name, layout)


def outside_behind(outside):
    """What leads out of the file only behind two virtual datasets, and beside a harmless one."""

    def make(file, secret):
        outside(file, secret)
        file.move("series", "100%")
        file["plain"] = recording(4, (5, 6), "uint8")
        file["100%%"] = file["plain"]  # in the name of a source, %% stands for %
        file["soft"] = h5py.SoftLink("/100%")
        virtual(file, "first", "100%%" if outside is outside_storage else "soft")
        virtual(file, "series", "plain", "first")

    make.__name__ = f"behind_{outside.__name__}"
    return make


def circle_of_one(file, secret):
    virtual(file, "series", "series")


def circle_of_two(file, secret):
    virtual(file, "series", "other")
    virtual(file, "other", "series")


OUTSIDE = [outside_external, outside_group, outside_circle, outside_storage, outside_virtual]


@pytest.mark.parametrize(
    "outside", [*OUTSIDE, *map(outside_behind, OUTSIDE), circle_of_one, circle_of_two]
)
@pytest.mark.parametrize("chosen", [True, False])
def test_hdf5_leads_to_no_other_file(tsc, comm, shared_path, outside, chosen):
    path = shared_path / "a.h5"

    def make():
        with h5py.File(shared_path / "secret", "w") as file:
            file["series"] = recording(4, (5, 6), "uint8")
        with h5py.File(path, "w") as file:
            outside(file, shared_path / "secret")

    on_one(comm, make)
    refused(tsc, lambda: tsc.loadSeries(path), str(path))
    given = {"dataset": "series"} if chosen else {}
    refused(tsc, lambda: tsc.loadImages(path, **given), str(path))


def test_hdf5_links_within_the_file_are_followed(tsc, comm, shared_path):
    path, array = shared_path / "a.h5", recording(4, (5, 6), "uint8")

    def make():
        with h5py.File(path, "w") as file:
            file["deep/er/data"] = array
            file["deep/link"] = h5py.SoftLink("er/data")
            file["hard"] = file["deep/er/data"]
            layout = h5py.VirtualLayout((4, 5, 6), "u1")
            layout[...] = h5py.VirtualSource(".", "hard", (4, 5, 6))
            file.create_virtual_dataset("own", layout)

    on_one(comm, make)
    for name in ("deep/link", "hard", "/deep/er/data", "own"):
        assert same_bits(tsc.loadImages(path, dataset=name).toArray(), array)


# -- claims ------------------------------------------------------------------------------


def claim_npy(path):
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u2", "fortran_order": False, "shape": (3, 1 << 30, 1 << 30)}
        )


def claim_wrapping_npy(path):
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<u8", "fortran_order": False, "shape": (1 << 32, 1 << 32, 1 << 3)}
        )


def claim_hdf5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (3, 1 << 30, 1 << 30), "u2", chunks=(1, 64, 64))


def claim_tif(path):
    pages = recording(1, (8, 9), "uint16")
    tifffile.imwrite(path, pages, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as tif:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            tif.pages[0].tags[tag].overwrite(1 << 30 if tag == "ImageWidth" else 60000)


@pytest.mark.parametrize(
    ("claim", "ending"),
    [(claim_npy, "npy"), (claim_wrapping_npy, "npy"), (claim_hdf5, "h5"), (claim_tif, "tif")],
)
def test_absurd_sizes_are_refused_before_anything_is_allocated(
    tsc, comm, shared_path, claim, ending
):
    path = shared_path / f"a.{ending}"
    on_one(comm, lambda: claim(path))
    refused(tsc, lambda: tsc.loadImages(path), str(path), kinds=(ValueError,))


# -- conf.json -----------------------------------------------------------------------------

CONF = {
    "missing": (None, "conf.json"),
    "empty": (b"", "JSON"),
    "binary": (b"\x93NUMPY\0\1", "JSON"),
    "list": (b"[]", "object"),
    "number": (b"7", "object"),
    "cut": (b'{"dims": [4,', "JSON"),
    "deep": (b'{"dims":' + b"[" * 100_000, "JSON"),
    "huge number": (b'{"dims":[' + b"9" * 9999 + b"]}", "JSON"),
    "only not a number": (b'{"dims": NaN, "dtype": "int16"}', "dims"),
    "not a number": (b'{"dims": [NaN, 5], "dtype": "int16"}', "dims"),
    "infinite": (b'{"dims": [1e999, 5], "dtype": "int16"}', "dims"),
    "fraction": (b'{"dims": [4.0, 5], "dtype": "int16"}', "dims"),
    "negative": (b'{"dims": [-4, -5], "dtype": "int16"}', "dims"),
    "absurd": (b'{"dims": [4294967296, 4294967296], "dtype": "int16"}', "bytes"),
    "text": (b'{"dims": "45", "dtype": "int16"}', "dims"),
    "object": (b'{"dims": [4, 5], "dtype": "O"}', "dtype"),
    "code": (b'{"dims": [4, 5], "dtype": "__import__(\'os\').mkdir(\'trapped\')"}', "dtype"),
    "null": (b'{"dims": null, "dtype": null}', ""),
    "two shapes": (b'{"dims": [4, 5], "shape": [5, 4], "dtype": "int16"}', "contradict"),
    "another size": (b'{"dims": [4, 6], "dtype": "int16"}', "bytes"),
    "latin": (b'{"dims": [4, 5], "dtype": "int16\xff"}', "JSON"),
}


@pytest.mark.parametrize("name", CONF)
def test_descriptions_of_flat_files(tsc, comm, shared_path, name, monkeypatch):
    monkeypatch.chdir(shared_path)
    content, told = CONF[name]

    def make():
        (shared_path / "a.bin").write_bytes(bytes(40))
        if content is not None:
            (shared_path / "conf.json").write_bytes(content)

    on_one(comm, make)
    refused(
        tsc,
        lambda: tsc.loadImages(shared_path, inputFormat="stack"),
        str(shared_path / "conf.json"),
        told,
    )
    assert not (shared_path / "trapped").exists()


@pytest.mark.parametrize("name", [n for n in CONF if n not in ("another size", "null")])
def test_descriptions_of_series(tsc, comm, shared_path, name):
    content, _ = CONF[name]

    def make():
        write_own_series(shared_path, recording(4, (3, 5), "int16"))
        (shared_path / "conf.json").unlink()
        if content is not None:
            (shared_path / "conf.json").write_bytes(content.replace(b"dims", b"shape"))

    on_one(comm, make)
    refused(tsc, lambda: tsc.loadSeries(shared_path), str(shared_path / "conf.json"))


@pytest.mark.parametrize("links", [False, True])
def test_a_series_names_no_file_outside_its_directory(tsc, comm, shared_path, links):
    inside = shared_path / "in"

    def make():
        inside.mkdir()
        write_own_series(inside, recording(4, (3, 5), "int16"))
        name = "series-00000.bin"
        os.rename(inside / name, shared_path / name)
        if links:
            (inside / name).symlink_to(shared_path / name)
        else:
            conf = json.loads((inside / "conf.json").read_text())
            conf["files"][0]["name"] = f"../{name}"
            write_json(inside / "conf.json", conf)

    on_one(comm, make)
    refused(tsc, lambda: tsc.loadSeries(inside), str(inside / "series-00000.bin"), "directory")


@pytest.mark.parametrize("kind", ["series", "series-hdf5", "series-npy", "series-zarr"])
def test_series_cut_anywhere(tsc, comm, shared_path, kind):
    """At each structural boundary and next to it; what is read nevertheless is what was there."""

    def make():
        for place in seeds(kind, shared_path / "seeds"):
            for path in sorted(p for p in place.rglob("*") if p.is_file()):
                size = path.stat().st_size
                step = max(1, size // 12)
                name = path.relative_to(place)
                for length in range(0, size, step):
                    out = shared_path / f"{place.name}-{'-'.join(name.parts)}-{length}"
                    shutil.copytree(place, out)
                    os.truncate(out / name, length)

    on_one(comm, make)
    cut = sorted(p for p in shared_path.iterdir() if p.name != "seeds")
    comm.Barrier()
    assert len(cut) > 12
    for place in cut:
        count("bad files", 1, comm)
        found = None
        try:
            found = tsc.loadSeries(place).toArray()
        except (ValueError, OSError) as error:
            said = str(error)
        if found is None:
            assert place.name in said
        else:
            # Thunder 0.x writes no extent: files that end with a column are a smaller recording.
            assert place.name.startswith("thunder0")
            whole = recording(4, (3, 5), "int16")
            assert found.shape[1] < 3
            assert same_bits(found, whole[:, : found.shape[1]].copy())


def test_every_kind_of_file_is_among_the_seeds():
    from mpimages.readers import FORMATS

    # What libraries read they do not write.
    own = {name for name, form in FORMATS.items() if not form.module.startswith(".library")}
    kinds = {"series", "series-hdf5", "series-npy", "series-text", "series-zarr"}
    assert {*own, *kinds} == set(SEEDS)
