"""Every command of the command line on the example recording, on all ranks."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from mpimages.simulated import example

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]


@pytest.fixture
def rec(command):
    """The example recording, written by the command for that."""
    assert "20 simulated images of 76 x 87 x 2" in command("example", "rec")
    return np.stack([example.load("fish-images").image(i) for i in range(20)])


def test_example(command, rec):
    import tifffile

    read = [tifffile.imread(f"rec/image-{i:05d}.tif") for i in range(20)]
    assert (np.moveaxis(read, 1, -1) == rec).all()
    refused = command("example", "-o", "rec", code=1)
    assert "--overwrite" in refused
    command("example", "-o", "rec", "--overwrite")


def test_info(command, rec):
    found = json.loads(command("info", "rec", "--json"))
    wanted = {
        "what": "images",
        "format": "tif",
        "images": 20,
        "dims": [76, 87, 2],
        "dtype": "uint8",
        "bytes": rec.nbytes,
        "files": 20,
        "first": "image-00000.tif",
        "last": "image-00019.tif",
    }
    assert {name: found[name] for name in wanted} == wanted
    text = command("info", "rec/*.tif", "--start", "5", "--stop", "8", "--nplanes", "1")
    assert re.search(r"images +3\n", text)
    assert re.search(r"dims +76 x 87\n", text)
    some = json.loads(command("info", "rec", "--start", "5", "--stop", "8", "--json"))
    assert [some[name] for name in ("images", "files", "first", "last")] == [
        3,
        3,
        "image-00005.tif",
        "image-00007.tif",
    ]
    assert some["bytes_in_files"] == sum(
        os.stat(f"rec/image-{i:05d}.tif").st_size for i in range(5, 8)
    )


def test_info_counts_what_was_never_written(command, comm, tsc):
    import tifffile

    movie = np.ones((3, 4, 5), "u1")
    if comm.rank == 0:
        for name in ("a", "b"):
            with tifffile.TiffWriter(f"{name}.tif") as file:
                for image in movie:
                    file.write(image, contiguous=False, photometric="minisblack", metadata=None)
        for name, page in (("a", 1), ("a", 2), ("b", 0)):
            with tifffile.TiffFile(f"{name}.tif", mode="r+b") as file:
                for tag in (273, 279):
                    file.pages[page].tags[tag].overwrite(0)
    comm.Barrier()
    found = json.loads(command("info", "?.tif", "--nplanes", "1", "--json"))
    assert found["never_written"] == {"pages": 3}
    assert re.search(r"never written +pages 3\n", command("info", "?.tif", "--nplanes", "1"))
    assert "never" not in command("info", "a.tif", "--nplanes", "1", "--stop", "1")


@pytest.mark.parametrize("out", ["s", "s.h5"])
def test_to_series_and_what_it_wrote(command, rec, tsc, out):
    assert f"{rec[0].size:,} series of 20 values" in command("to-series", "rec", out)
    assert (tsc.loadSeries(out).toArray() == np.moveaxis(rec, 0, -1)).all()
    found = json.loads(command("info", out, "--json"))
    assert (found["what"], found["values"], found["dims"]) == ("series", 20, [76, 87, 2])
    assert "sound" in command("verify", out)
    assert "--overwrite" in command("to-series", "rec", out, code=1)
    command("to-series", "rec", "-o", out, "--overwrite", "--memory", "50MB")
    command("to-series", "rec", "-o", out, "--resume")


def test_to_series_with_its_options(command, rec, comm):
    import h5py

    command("to-series", "rec", "c.h5", "--chunks", "10,20,1,20", "--compression", "gzip:2")
    command("to-series", "rec", "i.hdf5", "--layout", "images")
    command("to-series", "rec", "b", "--block-size", "100kB")
    if comm.rank == 0:
        with h5py.File("c.h5") as file:
            assert file["series"].chunks == (10, 20, 1, 20)
            assert file["series"].compression == "gzip"
            assert (file["series"][:] == np.moveaxis(rec, 0, -1)).all()
        with h5py.File("i.hdf5") as file:
            assert (file["series"][:] == rec).all()
        assert max(path.stat().st_size for path in Path("b").iterdir()) <= 100_000


def test_verify_says_what_is_damaged(command, rec, comm):
    command("to-series", "rec", "one")
    command("to-series", "rec", "two.h5")
    if comm.rank == 0:
        with open("one/series-00000.bin", "r+b") as file:
            byte = file.read(1)
            file.seek(0)
            file.write(bytes([byte[0] ^ 1]))
    comm.Barrier()
    found = json.loads(command("verify", "one", "two.h5", "rec", "none", "--json", code=1))
    assert [one["ok"] for one in found] == [False, True, True, False]
    assert "series-00000.bin" in found[0]["problems"][0]
    assert "no such file" in found[3]["problems"][0]
    assert command("verify", "one", "two.h5", code=1).count("sound") == 1


def test_plan(command, rec):
    found = json.loads(command("plan", "rec", "--ranks", "64", "--memory", "4GB", "--json"))
    assert (found["ranks"], found["budget"]) == (64, 4 * 10**9)
    assert found["bytes_written"] == rec.nbytes
    assert "1 round" in command("plan", "rec")
    assert "--memory" in command("plan", "rec", "--memory", "10", code=1)


def test_stats(command, rec, comm):
    import tifffile

    found = json.loads(command("stats", "rec", "st", "--json"))
    assert found["values"]["max"] == int(rec.max())
    assert found["values"]["mean"] == pytest.approx(rec.mean(), rel=1e-6)
    wanted = {
        "mean": rec.mean(0).astype(np.float32),
        "stdev": rec.std(0).astype(np.float32),
        "max": rec.max(0),
        "min": rec.min(0),
    }
    for name, value in wanted.items():
        picture = np.moveaxis(tifffile.imread(f"st/{name}.tif"), 0, -1)
        assert picture.dtype == value.dtype
        np.testing.assert_allclose(picture, value, rtol=1e-6, atol=0 if name != "stdev" else 1e-6)
    names = {"stats.json", *(f"{n}.{kind}" for n in wanted for kind in ("tif", "png"))}
    assert set(os.listdir("st")) == names
    assert "--overwrite" in command("stats", "rec", "st", code=1)
    command("stats", "rec", "st", "--overwrite", "--nplanes", "1")
    assert tifffile.imread("st/max.tif").shape == (76, 87)
    if comm.rank == 0:
        Path("st/notes.txt").touch()
    comm.Barrier()
    assert "notes.txt" in command("stats", "rec", "st", "--overwrite", code=1)
    assert "create it first" in command("stats", "rec", "none/st", code=1)
    comm.Barrier()
    assert sorted(os.listdir(".")) == ["rec", "st"]


def test_stats_beyond_float32(command, comm):
    if comm.rank == 0:
        np.save("a.npy", np.array([[[1.0, 1e300]], [[2.0, 1e300]]]))
    comm.Barrier()
    assert "1 pixels, which are NaN, infinite or beyond the range of float32" in command(
        "stats", "a.npy", "st"
    )


DAMAGE = {
    "a byte": (lambda: _flip("st/mean.png", 100), "mean.png: bytes [0,"),
    "what it says": (lambda: _flip("st/stats.json", 45), "stats.json: bytes [0,"),
    "missing": (lambda: os.unlink("st/max.tif"), "max.tif: is missing"),
    "added": (lambda: Path("st/mine").touch(), "mine: is not part"),
    "shorter": (lambda: os.truncate("st/min.tif", 999), "min.tif: has 999 bytes"),
    "of an earlier version": (lambda: _drop_checksums("st/stats.json"), "earlier version"),
    "another image": (lambda: _replace("st/stdev.tif"), "holds uint8 of shape (2, 3)"),
}


def _flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))


def _drop_checksums(path):
    fields = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({k: v for k, v in fields.items() if k != "files"}))


def _replace(path):
    import tifffile

    tifffile.imwrite(path, np.zeros((2, 3), np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("what", DAMAGE)
def test_verify_statistics(command, rec, comm, what):
    command("stats", "rec", "st")
    assert "st: statistics, 9 files" in command("verify", "st")
    comm.Barrier()
    damage, says = DAMAGE[what]
    if comm.rank == 0:
        damage()
    comm.Barrier()
    found = json.loads(command("verify", "st", "--json", code=1))[0]
    assert found["kind"] == "stats"
    assert any(says in problem for problem in found["problems"]), found
    command(
        "stats",
        "rec",
        "st",
        *(["--overwrite"] if what != "added" else []),
        code=1 if what == "added" else 0,
    )


@pytest.mark.slow
def test_report(command, rec, comm):
    found = json.loads(command("report", "rec", "--json"))
    assert found["recording"]["dims"] == [76, 87, 2]
    assert found["recording"]["first"] == "image-00000.tif"
    page = Path("report.html").read_bytes()
    assert b"image-00019.tif" in page
    assert all(finding["text"].encode() in page for finding in found["findings"])
    assert "--overwrite" in command("report", "rec", code=1)
    said = command("report", "rec", "report.html", "--overwrite", "--memory", "50MB")
    assert said.endswith("report.html: the report of 20 images\n")
    assert Path("report.html").read_bytes() == page
    command("report", "rec", "-o", "planes.html", "--nplanes", "1", "--stop", "3")
    assert "quote the pattern" in command("report", "a.tif", "b.tif", "c.tif", code=2)
    assert "create it first" in command("report", "rec", "none/r.html", code=1)
    comm.Barrier()
    assert sorted(os.listdir(".")) == ["planes.html", "rec", "report.html"]


@pytest.mark.parametrize("kind", ["max", "min", "mean", "sum", "stdev"])
def test_project(command, rec, kind):
    import tifffile

    command("project", "rec", "p", "--kind", kind)
    read = np.stack([tifffile.imread(f"p/export-{i:05d}.tif") for i in range(20)])
    numpy_name = {"stdev": "std"}.get(kind, kind)
    value = getattr(rec.astype(np.float64), numpy_name)(axis=3)
    np.testing.assert_allclose(read, value, rtol=1e-6)
    assert read.dtype == {"max": np.uint8, "min": np.uint8, "sum": np.uint64}.get(kind, np.float32)


def test_project_to_one_tiff(command, rec, comm):
    import tifffile

    assert "20 pages of 76 x 87, max of axis 2, uint8\n" in command("project", "rec", "p.tif")
    assert (tifffile.imread("p.tif") == rec.max(axis=3)).all()
    assert "multi-page TIFF" in command("verify", "p.tif")
    assert "--overwrite" in command("project", "rec", "p.tif", code=1)
    found = json.loads(
        command("project", "rec", "-o", "p.tif", "--overwrite", "--kind", "mean", "--json")
    )
    wanted = {
        "out": "p.tif",
        "what": "one TIFF",
        "images": 20,
        "dims": [76, 87],
        "dtype": "float32",
        "kind": "mean",
        "axis": 2,
    }
    assert found == wanted
    # What is of mpimages itself is no sign of a pattern that the shell has expanded.
    command("project", "rec/image-00001.tif", "p.tif", "--overwrite")
    command("project", "rec/*.tif", "p.tif", "--overwrite")
    assert "ImageJ opens TIFFs of uint64" in command("project", "rec", "s.TIFF", "--kind", "sum")
    comm.Barrier()
    if comm.rank == 0:
        with open("p.tif", "r+b") as file:
            file.seek(5000)
            file.write(b"!")
    comm.Barrier()
    assert "do not have their checksum" in command("verify", "p.tif", code=1)
    refused = command("verify", "rec/image-00000.tif", code=1)
    assert "without the mark" in refused
    assert refused.count("image-00000") == 1


def test_project_to_pictures_along_another_axis(command, rec):
    import imagecodecs

    command("project", "rec", "p", "--axis", "0", "--png")
    read = imagecodecs.png_decode(Path("p/export-00000.png").read_bytes())
    assert read.shape[:2] == (87, 2)
    assert len(list(Path("p").glob("*.png"))) == 20
    refused = command("project", "rec", "q", "--nplanes", "1", code=1)
    assert "no axis 2" in refused
    assert not os.path.exists("q")


def test_what_stats_wrote_is_replaced_and_what_it_did_not_is_kept(command, rec, comm):
    command("stats", "rec", "out")
    for words in (
        ["to-series", "rec", "out"],
        ["project", "rec", "out"],
        ["stats", "rec", "out"],
        ["example", "out"],
        ["stats", "rec", "out"],
    ):
        command(*words, "--overwrite")
        assert "sound" in command("verify", "out")
    if comm.rank == 0:
        Path("out/notes").touch()
    comm.Barrier()
    for words in (["to-series", "rec", "out"], ["stats", "rec", "out"]):
        assert "notes" in command(*words, "--overwrite", code=1)


@pytest.mark.slow
def test_a_report_is_verified(command, rec, comm):
    command("report", "rec", "r.html")
    assert "sound" in command("verify", "r.html")
    if comm.rank == 0:
        page = Path("r.html").read_bytes()
        Path("cut.html").write_bytes(page[:-1])
        Path("other.html").write_bytes(page.replace(b"Pictures", b"pictures"))
    comm.Barrier()
    assert "earlier version" in command("verify", "cut.html", code=1)
    assert "checksum at its end" in command("verify", "other.html", code=1)


@pytest.mark.slow
def test_tilde_is_the_home_directory_in_every_output(command, rec, tsc, comm, monkeypatch):
    home = Path.cwd() / "home"
    if comm.rank == 0:
        home.mkdir()
    comm.Barrier()
    monkeypatch.setenv("HOME", str(home))
    images = tsc.loadImages("rec")
    images.saveAsTifs("~/tifs")
    images.maxProjection().saveAsTif(Path("~/one.tif"))
    images.maxProjection().saveAsPngs("~/pngs")
    images.saveAsBinarySeries("~/series")
    images.toSeries().saveAsHDF5("~/series.h5")
    images.report("~/r.html")
    command("stats", "rec", "-o", "~/stats")
    command("slurm", "-o", "~/job.sh", "stats", "rec", "out")
    comm.Barrier()
    assert {path.name for path in home.iterdir()} == {
        "tifs",
        "one.tif",
        "pngs",
        "series",
        "series.h5",
        "r.html",
        "stats",
        "job.sh",
    }
    with pytest.raises(ValueError, match="no such home directory"):
        images.saveAsTifs("~nobody-of-that-name")
    command("example", "~nobody-of-that-name", code=2)
    assert not list(Path.cwd().glob("~*"))


def test_control_characters_of_names_are_shown_escaped(command, rec, tsc, comm, caplog):
    import tifffile

    name = "a\x1b[31m\x07\u202e\x9b"
    if comm.rank == 0:
        for directory in ("odd", "bad"):
            Path(directory).mkdir()
        tifffile.imwrite(f"odd/{name}.tif", np.zeros((20, 20), np.uint8))
        Path(f"bad/{name}.tif").write_bytes(b"II*\0 damaged")
        Path(f"bad/{name}.txt").touch()
    comm.Barrier()
    said = [
        command("info", "odd"),
        command("info", f"odd/{name}.tif", "--nplanes", "1"),
        command("info", "bad", code=1),
        command("verify", f"odd/{name}.tif", code=1),
        command("info", f"none/{name}", code=1),
        command("stats", f"{name}.h5", code=2),
        command("example", f"none/{name}", code=1),
        command("report", "odd", f"{name}.html"),
    ]
    for text in said:
        assert not re.search("[\x07\x1b\u202e\x9b]", text)
    assert "a\\x1b[31m\\x07\\u202e\\x9b.tif" in said[0]
    with pytest.raises(ValueError, match=r"\\x1b\[31m") as caught:
        tsc.loadImages("bad")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["to-series", "stats", "project", "report"])
def test_an_out_among_the_inputs(command, rec, comm, name):
    before = sorted(os.listdir("rec"))
    for path, out in (
        ("rec", "rec"),
        ("rec", "rec/image-00003.tif"),
        ("rec/*.tif", "rec"),
        ("rec/*.tif", "."),
    ):
        refused = command(name, path, out, "--overwrite", code=2)
        is_file = name not in ("project", "report") and out.endswith(".tif")
        assert ("becomes a directory" if is_file else "choose another OUT") in refused
    assert sorted(os.listdir("rec")) == before


def test_errors_are_one_line(command, comm):
    if comm.rank == 0:
        Path("bad").mkdir()
        Path("bad/a.tif").write_bytes(b"II*\0 not quite a TIFF")
    comm.Barrier()
    for arguments in (
        ["info", "nowhere"],
        ["plan", "nowhere"],
        ["stats", "nowhere", "o"],
        ["to-series", "nowhere", "o"],
        ["project", "nowhere", "o"],
        ["info", "bad"],
        ["example", "no/such/place"],
        ["stats", "bad", "o"],
        ["report", "nowhere"],
        ["report", "bad"],
    ):
        text = command(*arguments, code=1)
        assert text.startswith("Error: ")
        assert text.count("\n") == 1
        assert re.search(r"nowhere|a\.tif|no/such", text)
    assert sorted(os.listdir(".")) == ["bad"]
    assert "Traceback" in command("info", "nowhere", "--debug", code=1)


def test_doctor(command, comm):
    found = json.loads(command("doctor", ".", "--json"))
    topics = {one["topic"]: one for one in found["findings"]}
    assert found["ok"]
    assert set(topics) == {
        "mpimages",
        "Python",
        "MPI",
        "mpi4py",
        "NumPy",
        "h5py",
        "launcher",
        "ranks",
        "cores",
        "memory",
        "/dev/shm",
        "path",
        "locks",
        "shared",
        "series",
        "HDF5",
    }
    assert topics["ranks"]["text"].startswith(f"{comm.size} rank")
    assert topics["series"]["status"] == topics["HDF5"]["status"] == "ok"
    assert os.listdir(".") == []
    assert "ok       MPI" in command("doctor")
    assert "problem  path" in command("doctor", "nowhere", code=1)


def test_statistics_of_odd_images(command, comm):
    import tifffile

    arrays = {
        "dots": np.arange(9, dtype=np.uint16).reshape(9, 1, 1),
        "wide": np.full((8, 4, 5), 1 << 62, np.int64),  # whose sum is beyond 64 bits
        "holes": np.where(np.arange(90).reshape(3, 5, 6) % 30 == 7, np.nan, 1.0).astype("f4"),
    }
    for name, array in arrays.items():
        if comm.rank == 0:
            Path(name).mkdir()
            for i, image in enumerate(array):
                tifffile.imwrite(f"{name}/{i}.tif", image)
        comm.Barrier()
        said = command("stats", name, f"{name}-out")
        assert ("left out     1 pixels" in said) == (name == "holes")
        assert json.loads(command("verify", f"{name}-out", "--json"))[0]["ok"]
    found = json.loads(Path("wide-out/stats.json").read_bytes())
    assert found["values"]["mean"] == float(1 << 62)


def test_names_in_json_are_in_one_style(command, rec):
    """Of what is printed, and of what is kept beside pictures."""
    import tifffile

    tifffile.imwrite(
        "m.tif",
        np.zeros((2, 3, 4), "u2"),
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "TYX", "unit": "um", "finterval": 0.1},
    )
    said = {
        name: json.loads(command(*arguments, "--json"))
        for name, arguments in {
            "info": ["info", "m.tif"],
            "plan": ["plan", "m.tif"],
            "stats": ["stats", "m.tif", "st"],
            "to-series": ["to-series", "m.tif", "s"],
            "project": ["project", "rec", "p"],
            "verify": ["verify", "s", "st"],
            "doctor": ["doctor"],
            "view": ["view", "s", "--pixel", "0,0"],
            "report": ["report", "m.tif"],
        }.items()
    }
    kept = json.loads(Path("st/stats.json").read_text())
    assert kept.pop("files").keys() == {p.name for p in Path("st").iterdir()} - {"stats.json"}
    assert said["info"]["metadata"].keys() == {"pixel_size", "unit", "frame_interval"}
    for name in names_in([*said.values(), kept]):
        assert re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name), name


def names_in(fields):
    if isinstance(fields, dict):
        return [*fields, *names_in(list(fields.values()))]
    return [name for one in fields for name in names_in(one)] if isinstance(fields, list) else []
