"""`mpimages convert`: each format from images and from series, its options, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mpimages.commands.formats import CONVERSIONS

from ..support.data import recording, write_movie

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

SHAPE = (9, 7, 5)


@pytest.fixture
def movie(comm, shared_path):
    """A directory of 2-D images, `movie`."""
    images = recording(SHAPE[0], SHAPE[1:], "uint16") % 4096  # as of a camera; int16 holds it
    if comm.rank == 0:
        write_movie(shared_path / "movie", images)
    comm.Barrier()
    return images


def read_hdf5(path: str) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        values = file["series"][()]
        layout = file["series"].attrs["layout"]
    return values if layout == "images" else np.moveaxis(values, -1, 0)


def read_zarr(path: str) -> np.ndarray:
    import zarr

    group = zarr.open_group(path, mode="r")
    if "series" in group:
        return np.moveaxis(group["series"][...], -1, 0)
    assert "ome" in group.attrs or "multiscales" in group.attrs
    return group["0"][...]


def read_suite2p(path: str) -> np.ndarray:
    ops = np.load(Path(path, "plane0/ops.npy"), allow_pickle=True).item()
    assert ops["fs"] == 4
    return np.fromfile(Path(path, "plane0/data.bin"), np.int16).reshape(-1, ops["Ly"], ops["Lx"])


def read_mmap(path: str) -> np.ndarray:
    (file,) = Path(path).glob("images_d1_7_d2_5_d3_1_order_*_frames_9.mmap")
    order = file.name.split("_")[8]
    pixels = np.fromfile(file, np.float32).reshape((35, 9), order=order)
    return pixels.reshape((7, 5, 9), order="F").transpose(2, 0, 1)


def read_nwb(path: str) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        return file["acquisition/ImageSeries/data"][()].transpose(0, 2, 1)


def read_mat(path: str) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        return file["images"][()].transpose(0, 2, 1)


def read_tif(path: str) -> np.ndarray:
    import tifffile

    return tifffile.imread(path)


def read_binary(path: str) -> np.ndarray:
    conf = json.loads(Path(path, "conf.json").read_text())
    parts = [np.fromfile(part, conf["dtype"]) for part in sorted(Path(path).glob("*.bin"))]
    return np.moveaxis(np.concatenate(parts).reshape(conf["shape"]), -1, 0)


# Of each format: OUT, further words, whether it can be resumed, and what reads it as (T, row, ...).
Case = tuple[str, list[str], bool, Callable[[str], np.ndarray]]
FACTS = [
    "series=ImageSeries", "identifier=one", "sessionDescription=noise", "frameInterval=0.5",
    "sessionStartTime=2026-03-01T14:30:00+01:00", "fileCreateDate=2026-03-02T14:30:00+01:00",
    "subject.subject_id=m1",
]  # fmt: skip
NWB = [word for fact in FACTS for word in ("--nwb", fact)]
OUTPUTS: dict[str, list[Case]] = {
    "ome-zarr": [("o.ome.zarr", ["--levels", "1"], True, read_zarr)],
    "zarr": [
        ("o.zarr", ["--layout", "series", "--compression", "none"], True, read_zarr),
        ("p.zarr", ["--layout", "images", "--zarr-version", "2", "--shards=none"], True, read_zarr),
    ],
    "suite2p": [("o", ["--to", "suite2p", "--fs", "4"], True, read_suite2p)],
    "mmap": [
        ("o", ["--to", "mmap"], True, read_mmap),
        ("o", ["--to", "mmap", "--layout", "images"], True, read_mmap),
    ],
    "hdf5": [("o.h5", [], True, read_hdf5), ("O.HDF5", ["--chunks", "auto"], True, read_hdf5)],
    "nwb": [("o.nwb", NWB, True, read_nwb)],
    "matlab": [("o.mat", [], True, read_mat), ("O.MAT", ["--compression=gzip"], True, read_mat)],
    "tif": [("o.tif", [], False, read_tif), ("O.TIFF", [], False, read_tif)],
    "binary": [("o", [], True, read_binary), ("p", ["--to=binary"], True, read_binary)],
}
CASES = [(name, *case) for name, cases in OUTPUTS.items() for case in cases]


def test_every_format_is_tried():
    assert OUTPUTS.keys() == {one.name for one in CONVERSIONS}


def written(command, comm, path, stored, case):
    """Convert to a case, compare what was written on rank 0, and return the layout."""
    name, out, more, _, read = case
    form = next(one for one in CONVERSIONS if one.name == name)
    usual = form.usual or (stored if stored in form.layouts else next(iter(form.layouts)))
    layout = more[more.index("--layout") + 1] if "--layout" in more else usual
    found = json.loads(command("convert", path, out, *more, "--json"))
    assert (found["layout"], found["dtype"]) == (layout, form.dtype or "uint16")
    assert (found["values"], found["dims"]) == (9, [7, 5])
    return layout, found["dtype"], read(out) if comm.rank == 0 else None


def remove(comm, out):
    comm.Barrier()
    if comm.rank == 0:
        shutil.rmtree(out) if os.path.isdir(out) else os.remove(out)
    comm.Barrier()


def test_images_to_every_format(command, comm, movie):
    for case in CASES:
        _, out, more, resumes, _ = case
        layout, dtype, values = written(command, comm, "movie", "images", case)
        assert comm.rank or (values == movie).all()
        assert "sound" in command("verify", out)
        assert "--overwrite" in command("convert", "movie", out, *more, code=1)
        if resumes:
            command("convert", "movie", out, *more, "--resume")
        told = command("convert", "movie", out, *more, "--overwrite", "--memory", "20MB")
        what = "9 images of 7 x 5" if layout == "images" else "35 series of 9 values"
        assert told.startswith(f"{out}: {what}, {dtype}, ")
        remove(comm, out)


@pytest.mark.parametrize("path", ["series.h5", "series.zarr"])
def test_series_to_every_format(command, comm, movie, path):
    command("to-series", "movie", path)
    for case in CASES:
        *_, values = written(command, comm, path, "series", case)
        assert comm.rank or (values == movie).all()
        remove(comm, case[1])


def test_the_layout_is_changed(command, movie):
    command("convert", "movie", "series.h5", "--layout", "series")
    command("convert", "series.h5", "images.h5", "--layout", "images")
    command("convert", "movie", "same.h5")
    command("to-series", "movie", "same-series.h5")
    for path in ("series.h5", "images.h5", "same.h5", "same-series.h5"):
        assert (read_hdf5(path) == movie).all()
    assert Path("series.h5").read_bytes() == Path("same-series.h5").read_bytes()


def test_reading_and_repairs_as_elsewhere(command, movie):
    command("convert", "movie", "o.h5", "--start", "2", "--stop", "8", "--bin", "2")
    wanted = movie[2:8].reshape(3, 2, 7, 5).mean(axis=1)
    assert (read_hdf5("o.h5") == wanted).all()
    command("to-series", "movie", "s")
    refused = command("convert", "s", "o", "--bin", "2", code=2)
    assert "--bin is of images, but s holds a series" in refused
    for words in (["--start", "2"], ["--start", "0"], ["--channel", "0"]):
        assert f"{words[0]} is of images" in command("convert", "s", "o", *words, code=2)


def test_numbers_of_0_are_given_and_refused(command, movie):
    for words, says in (
        (["--fs", "0"], "fs must be"),
        (["--fs", "1", "--tau", "0"], "tau must be"),
    ):
        assert says in command("convert", "movie", "o", "--to", "suite2p", *words, code=1)


def test_what_nwb_demands(command, comm, movie):
    refused = command("convert", "movie", "o.nwb", "--nwb", "series=ImageSeries", code=1)
    for name in ("identifier", "sessionDescription", "sessionStartTime", "frameInterval"):
        assert f"{name}=" in refused
    assert "are --nwb NAME=VALUE" in refused
    if comm.rank == 0:
        facts: dict[str, object] = {}
        for fact in FACTS[:-1]:
            name, _, value = fact.partition("=")
            facts[name] = float(value) if name == "frameInterval" else value
        facts |= {"identifier": "two", "subject": {"species": "Danio rerio"}}
        Path("facts.json").write_text(json.dumps(facts))
        Path("list.json").write_text("[]")
        Path("no.json").write_text("{")
        Path("deep.json").write_text("[" * 100_000)
    comm.Barrier()
    command("convert", "movie", "o.nwb", "--nwb-file", "facts.json", "--nwb", FACTS[-1])
    import h5py

    with h5py.File("o.nwb") as file:
        assert file["identifier"].asstr()[()] == "two"
        subject = file["general/subject"]
        found = {name: value.asstr()[()] for name, value in subject.items()}
        assert found == {"species": "Danio rerio", "subject_id": "m1"}
    for words, says in (
        (["--nwb", "indicater=x"], "'indicater'; there are identifier, "),
        (["--nwb", "frameInterval=fast"], "must be a number"),
        (["--nwb", "identifier.x=1", "--nwb-file", "facts.json"], "identifier has no parts"),
        (["--nwb-file", "list.json"], "list.json: is no object"),
        (["--nwb-file", "no.json"], "no.json: is not JSON"),
        (["--nwb-file", "deep.json"], "deep.json: is not JSON"),
        (["--nwb-file", "none.json"], "none.json"),
    ):
        assert says in command("convert", "movie", "p.nwb", *words, code=1)
    assert "NAME=VALUE" in command("convert", "movie", "p.nwb", "--nwb", "identifier", code=2)


def test_an_out_among_the_inputs(command, movie):
    command("to-series", "movie", "s.h5")
    command("to-series", "movie", "s")
    command("convert", "movie", "m.ome.zarr")
    for path, out in (
        ("movie", "movie"),
        ("s.h5", "s.h5"),
        ("s", "s/o.h5"),
        ("m.ome.zarr", "m.ome.zarr/o.h5"),
    ):
        assert "choose another OUT" in command("convert", path, out, "--overwrite", code=2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["o.h5", "--to", "binary"], "OUT ends in .h5, which is HDF5, but --to says binary"),
        (["o.h5", "--file-size", "1MB"], "--file-size is of a binary series, but OUT is HDF5"),
        (["o.tif", "--resume"], "but OUT is one TIFF"),
        (["o", "--layout", "images"], "but OUT is a binary series"),
        (["o.png"], "binary series, unless it ends in .ome.zarr, .zarr, .h5, .nwb, .mat or .tif"),
        (["o.h5", "--compression", "zip"], "zip"),
        (["o.zarr", "--compression", "lzf"], "lzf"),
        (["o.ome.zarr", "--layout", "series"], "but OUT is OME-Zarr"),
        (["o.h5", "--levels", "2"], "--levels is of OME-Zarr and Zarr, but OUT is HDF5"),
        (["o.h5", "--levels", "0"], "--levels is of OME-Zarr and Zarr, but OUT is HDF5"),
        (["o.h5", "--fs", "0"], "--fs is of suite2p's folder"),
        (["o.h5", "--zarr-version", "2"], "--zarr-version is of OME-Zarr and Zarr"),
        (["o.zarr", "--nwb", "identifier=1"], "--nwb is of NWB, but OUT is Zarr"),
        (["o.mat", "--chunks", "1,5,7"], "--chunks is of OME-Zarr and "),
        (["o.zarr", "--fs", "1"], "--fs is of suite2p's folder"),
        (["o.mmap", "--to", "mmap"], "with CaImAn's memory map: give it a name without .mmap"),
        (["o.h5", "--resume", "--overwrite"], "give one"),
    ],
)
def test_what_has_no_effect_is_refused_before_anything_is_read(command, words, says):
    assert says in command("convert", "nowhere", *words, code=2)
    assert os.listdir() == []
