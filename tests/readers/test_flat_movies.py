"""Movies in headerless files: of suite2p, CaImAn, ThorImage, and those that only arguments tell."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest

from mpimages import FormatError
from mpimages.readers import Options, get
from tests.support.data import recording, same_bits
from tests.support.recordings import read_all, write_json

ROWS, COLUMNS = 6, 5


def attempt(name, path, **given):
    with pytest.raises(ValueError, match=re.escape(str(path.parent))) as caught:
        read_all(name, path, **given)
    return caught.value


def as_volumes(pages):
    """(T, Z, row, column) as images (T, row, column, Z)."""
    return np.moveaxis(pages, 1, -1)


# ---- pages that the arguments tell


@pytest.mark.parametrize("dtype", ["uint8", "<i2", ">i2", "float32"])
@pytest.mark.parametrize("name", ["shape", "dims"])
def test_movie(tmp_path, dtype, name):
    movie = recording(7, (ROWS, COLUMNS), np.dtype(dtype).newbyteorder("=").name)
    stored = movie if name == "shape" else movie.transpose(0, 2, 1)
    path = tmp_path / "a.raw"
    path.write_bytes(stored.astype(dtype).tobytes())
    given = {name: (ROWS, COLUMNS), "dtype": dtype}
    assert same_bits(read_all("stack", path, **given, nplanes=1), movie)
    assert same_bits(read_all("stack", path, **given, nplanes="all"), as_volumes(movie[None]))
    error = attempt("stack", path, **given)
    assert "nplanes=1 if it is a movie" in str(error)
    assert "cut into images of nplanes=2" in str(attempt("stack", path, **given, nplanes=2))
    found = read_all("stack", path, **given, nplanes=2, incomplete="drop")
    assert same_bits(found, as_volumes(movie[:6].reshape(3, 2, ROWS, COLUMNS)))


@pytest.mark.parametrize("order", ["CZT", "ZCT", "TCZ", "CTZ", "ZTC", "TZC"])
@pytest.mark.parametrize("flyback", [None, 1, (0, 2)])
def test_order_and_flyback(tmp_path, order, flyback):
    sizes = {"T": 3, "Z": 4, "C": 2}
    array = recording(1, (3, 4, 2, ROWS, COLUMNS), "int16")[0]  # T, Z, C
    stored = array.transpose(*["TZC".index(axis) for axis in order[::-1]], 3, 4)
    path = tmp_path / "a.raw"
    path.write_bytes(stored.tobytes())
    kept = {None: [0, 1, 2, 3], 1: [0, 1, 2], (0, 2): [1, 3]}[flyback]
    given = {"shape": (ROWS, COLUMNS), "dtype": "int16", "nplanes": sizes["Z"], "nchannels": 2}
    found = read_all("stack", path, **given, order=order, flyback=flyback, channel=1)
    assert same_bits(found, as_volumes(array[:, kept, 1]))
    assert "choose one by channel=0" in str(attempt("stack", path, **given, order=order))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"order": "CZT"}, "means nothing where each file is one image: nplanes="),
        ({"flyback": 1}, "means nothing where each file is one image: nplanes="),
        ({"channel": 0}, "means nothing where each file is one image: nplanes="),
        ({"channel": 0, "nplanes": 1}, "nchannels= says how many"),
        ({"order": "ZCT", "nplanes": 1}, "means nothing for pages of one channel"),
        ({"flyback": 1, "nplanes": 1}, "flyback=1"),
        ({"nchannels": 2, "channel": 2, "nplanes": 1}, "no channel 2"),
        ({"nchannels": 5, "channel": 0, "nplanes": 1}, "the last 3 are left over"),
    ],
)
def test_arguments_without_effect(tmp_path, given, told):
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(8 * ROWS * COLUMNS))
    options = Options(shape=(ROWS, COLUMNS), dtype="uint8", **given)
    with pytest.raises(ValueError, match=told):
        get("stack").check(options, get("stack").inspect(str(path), options))
    volume = Options(shape=(ROWS, COLUMNS, 8), dtype="uint8", **given | {"nplanes": None})
    with pytest.raises(ValueError, match="means nothing where shape= or dims= says all the pages"):
        get("stack").check(volume, get("stack").inspect(str(path), volume))


def test_pages_that_are_not_whole(tmp_path):
    movie = recording(4, (ROWS, COLUMNS), "int16")
    path = tmp_path / "a.bin"
    path.write_bytes(movie.tobytes()[:-1])
    given = {"shape": (ROWS, COLUMNS), "dtype": "int16", "nplanes": 1}
    assert isinstance(attempt("stack", path, **given), FormatError)
    assert same_bits(read_all("stack", path, **given, incomplete="drop"), movie[:3])
    path.write_bytes(b"")
    assert isinstance(attempt("stack", path, **given), FormatError)


# ---- conf.json with axes and an offset


@pytest.mark.parametrize("axes", ["TYX", "YXT", "TZYX", "TYXC", "CZYXT"])
@pytest.mark.parametrize("offset", [0, 7])
def test_described_by_axes(tmp_path, axes, offset):
    sizes = {"T": 3, "Z": 4, "C": 2, "Y": ROWS, "X": COLUMNS}
    shape = [sizes[axis] for axis in axes]
    array = recording(1, tuple(shape), "uint16")[0]
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(offset) + array.astype(">u2").tobytes())
    conf = {"axes": axes, "shape": shape, "dtype": ">u2", "offset": offset}
    write_json(tmp_path / "conf.json", conf)
    given = {"channel": 1} if "C" in axes else {}
    if "C" in axes:
        array = np.take(array, 1, axes.index("C"))
    order = [axes.replace("C", "").index(axis) for axis in "TYXZ" if axis in axes]
    assert same_bits(read_all("stack", path, **given), array.transpose(order))
    content = path.read_bytes()
    path.write_bytes(content + b"0")
    assert isinstance(attempt("stack", path, **given), FormatError)
    path.write_bytes(content[:-1])
    assert isinstance(attempt("stack", path, **given), FormatError)
    if axes.startswith("T"):
        found = read_all("stack", path, **given, incomplete="drop")
        assert same_bits(found, array.transpose(order)[:2])
    assert "nchannels" in str(attempt("stack", path, **given, nchannels=2))


def test_offset_of_pages_and_what_wins(tmp_path):
    movie = recording(3, (ROWS, COLUMNS), "uint16")
    path = tmp_path / "a.raw"
    path.write_bytes(b"head" + movie.tobytes())
    conf = {"shape": [ROWS, COLUMNS], "dtype": "uint16", "offset": 4}
    write_json(tmp_path / "conf.json", conf)
    assert same_bits(read_all("stack", path, nplanes=1), movie)
    write_json(tmp_path / "conf.json", conf | {"shape": [9, 9, 9], "axes": "TYX"})
    assert same_bits(read_all("stack", path, shape=(ROWS, COLUMNS), nplanes=1), movie)


@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({"axes": "TYX", "dims": [3, 4, 5]}, "give shape="),
        ({"axes": "TYQ", "shape": [3, 4, 5]}, "axes must name"),
        ({"axes": 7, "shape": [3, 4, 5]}, "axes"),
        ({"axes": "TYX", "shape": [3, 4, 5, 1, 2]}, "axes|bytes"),
        ({"axes": "TYX", "shape": "345"}, "shape"),
        ({"shape": [4, 5], "offset": -1}, "offset"),
        ({"shape": [4, 5], "offset": "4"}, "offset"),
        ({"shape": [4, 5], "offset": 10**9}, "has 0"),
    ],
)
def test_descriptions_that_are_wrong(tmp_path, conf, told):
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(60))
    write_json(tmp_path / "conf.json", {"dtype": "uint8", **conf})
    with pytest.raises(ValueError, match=told):
        read_all("stack", path)


# ---- suite2p


def write_suite2p(directory, movie, **ops):
    """As suite2p 0.14 does, with other numbers where `ops` says so."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "data.bin").write_bytes(movie.astype("<i2").tobytes())
    content = {
        "fs": 10.0,
        "tau": 1.0,
        "frames_include": -1,
        "meanImg": np.ones((3, 4)),
        "Lxy": ["Ly", "Lx"],
        "Ly": movie.shape[1],
        "Lx": movie.shape[2],
        "nframes": len(movie),
        "filelist": [f"file_{i:05d}.tif" for i in range(300)],
        "yrange": [np.int64(7), 12],
        **ops,
    }
    np.save(directory / "ops.npy", content)
    np.save(directory / "F.npy", np.ones((3, 4)))
    return directory


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint16])
def test_numbers_of_a_pickle_that_is_not_executed(tmp_path, protocol, kind):
    array = np.empty((), dtype=object)
    array[()] = {
        "x": kind(3), "keys": ["Ly", "nframes"], "Ly": kind(512), "Lx": kind(700),
        "flag": True, "nframes": kind(31), "y": kind(3), "fs": 7.5,
    }  # fmt: skip
    path = tmp_path / "ops.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        pickle.dump(array, file, protocol=protocol)
    movie = tmp_path / "data.bin"
    with open(movie, "wb") as file:
        file.truncate(512 * 700 * 31 * 2)
    header = get("stack").inspect(str(movie), Options())
    assert (header.count, header.dims) == (31, (512, 700))
    assert header.metadata == {"frameInterval": 1 / 7.5}


class Bomb:
    """What a pickle may do that is executed."""

    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


@pytest.mark.parametrize(
    ("ops", "told"),
    [
        ({"Ly": Bomb()}, "does not say Ly"),
        ({"Ly": "512", "Lx": None}, "does not say Ly and Lx"),
        ({"Ly": 6.5}, "does not say Ly"),
        ({"x": {"Ly": 99}}, "does not say Ly"),
        ({"nframes": 8}, "says 8,"),
        ({"nframes": 6}, "says 6,"),
        ({"Lx": 4}, "pages"),
    ],
)
def test_suite2p_that_is_wrong(tmp_path, ops, told):
    movie = recording(7, (ROWS, COLUMNS), "int16")
    path = write_suite2p(tmp_path, movie, **ops) / "data.bin"
    assert told in str(attempt("stack", path))
    given = {"shape": (ROWS, COLUMNS), "dtype": "int16", "nplanes": 1}
    assert same_bits(read_all("stack", path, **given), movie)


def test_suite2p_damaged(tmp_path):
    path = write_suite2p(tmp_path, recording(7, (ROWS, COLUMNS), "int16")) / "data.bin"
    ops = tmp_path / "ops.npy"
    content = ops.read_bytes()
    for length in range(0, len(content), 97):
        ops.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"ops\.npy"):
            read_all("stack", path)
    np.save(ops, np.ones(3))
    assert isinstance(attempt("stack", path), FormatError)


def test_suite2p_header(tmp_path):
    movie = recording(6, (ROWS, COLUMNS), "int16")
    path = write_suite2p(tmp_path, movie, fs=np.float64(8), nframes=np.int64(6)) / "data.bin"
    header = get("stack").inspect(str(path), Options())
    assert header.found == {"program": "suite2p", "axes": {"T": 6}}
    write_suite2p(tmp_path, movie)
    header = get("stack").inspect(str(path), Options())
    assert header.metadata == {"frameInterval": 0.1}
    volumes = read_all("stack", path, nplanes=3)
    assert same_bits(volumes, as_volumes(movie.reshape(2, 3, ROWS, COLUMNS)))


# ---- CaImAn


def write_caiman(directory, images, order, end="_"):
    """As CaImAn 1.9 documents its memory maps: (pixel, frame), d1 the fastest of the pixels."""
    count, rows, columns, *planes = images.shape
    pixels = images.reshape(count, -1, order="F").T
    name = f"m_d1_{rows}_d2_{columns}_d3_{planes[0] if planes else 1}_order_{order}_frames_{count}"
    path = directory / f"{name}{end}.mmap"
    made = np.memmap(path, dtype=np.float32, mode="w+", shape=pixels.shape, order=order)
    made[:] = pixels
    made.flush()
    return path


@pytest.mark.parametrize("dims", [(ROWS, COLUMNS), (ROWS, COLUMNS, 3)])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("end", ["_", ""])
def test_caiman(tmp_path, dims, order, end):
    images = recording(7, dims, "float32")
    path = write_caiman(tmp_path, images, order, end)
    again = np.memmap(path, np.float32, "r", shape=(images[0].size, 7), order=order)
    assert same_bits(np.reshape(again.T, (7, *dims), order="F"), images)  # as documented
    assert same_bits(read_all("mmap", path), images)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(size - 4)
    assert isinstance(attempt("mmap", path), FormatError)
    if order == "F":
        assert same_bits(read_all("mmap", path, incomplete="drop"), images[:6])
    else:
        assert get("mmap").inspect(str(path), Options(incomplete="drop")).count == 0
    path.write_bytes(bytes(size + 4))
    assert isinstance(attempt("mmap", path), FormatError)


@pytest.mark.parametrize("name", ["a.mmap", "a_d1_4_d2_5_d3_1_order_F_frames_0_.mmap"])
def test_caiman_names(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(80))
    assert isinstance(attempt("mmap", tmp_path / name), FormatError)


# ---- ThorImage


def experiment(frames, channels, steps=1, flyback=0, **more):
    """An Experiment.xml as ThorImage LS 4.0 writes it, of what is read here."""
    said = {
        "stream": 1, "fast": int(steps > 1), "average": 0, "number": 1, "timepoints": 1,
        "rows": ROWS, "columns": COLUMNS, "z": int(steps > 1), **more,
    }  # fmt: skip
    names = "".join(f'<Wavelength name="{name}"/>' for name in ("ChanA", "ChanB")[:channels])
    return f"""<?xml version="1.0"?>
<ThorImageExperiment>
  <Software version="4.0.2019.8191"/><Date date="10/19/2020 13:39:50" uTime="1603107590"/>
  <Timelapse timepoints="{said["timepoints"]}"/>
  <Wavelengths nyquistExWavelengthNM="920">{names}<ChannelEnable Set="{channels}"/></Wavelengths>
  <ZStage enable="{said["z"]}" steps="{steps}" stepSizeUM="-5"/>
  <LSM pixelX="{said["columns"]}" pixelY="{said["rows"]}" pixelSizeUM="0.5" frameRate="20"
   averageMode="{said["average"]}" averageNum="{said["number"]}" channel="{2**channels - 1}"/>
  <Streaming enable="{said["stream"]}" frames="{frames}" zFastEnable="{said["fast"]}"
   flybackFrames="{flyback}" rawData="0"/>
</ThorImageExperiment>"""


def write_thorimage(directory, array, frames=None, flyback=0, **more):
    """`array` is (T, Z, C, row, column), all planes counted."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Image_0001_0001.raw").write_bytes(array.astype("<u2").tobytes())
    times, planes, channels = array.shape[:3]
    text = experiment(frames or times * planes, channels, planes - flyback, flyback, **more)
    (directory / "Experiment.xml").write_text(text)
    return directory / "Image_0001_0001.raw"


@pytest.mark.parametrize(("planes", "flyback"), [(1, 0), (3, 0), (4, 1)])
@pytest.mark.parametrize("channels", [1, 2])
def test_thorimage(tmp_path, planes, flyback, channels):
    array = recording(1, (5, planes, channels, ROWS, COLUMNS), "uint16")[0]
    path = write_thorimage(tmp_path, array, flyback=flyback)
    expected = as_volumes(array[:, : planes - flyback, channels - 1])
    expected = expected if planes > 1 else expected[..., 0]
    assert same_bits(read_all("stack", path, channel=channels - 1), expected)
    header = get("stack").inspect(str(path), Options(channel=0))
    sizes = {"C": channels, "Z": planes, "T": 5}
    assert header.found == {
        "program": "ThorImage 4.0.2019.8191",
        "channels": ["ChanA", "ChanB"][:channels],
        "startTime": "10/19/2020 13:39:50",
        "axes": {axis: n for axis, n in sizes.items() if n > 1},
    }
    assert header.metadata["frameInterval"] == pytest.approx(planes / 20)
    if channels > 1:
        assert "choose one by channel=0" in str(attempt("stack", path))
        # The arguments win over the header.
        found = read_all("stack", path, nchannels=1, nplanes=1)
        assert same_bits(found, array.reshape(-1, ROWS, COLUMNS))


def test_thorimage_averages_and_stops_early(tmp_path):
    array = recording(1, (6, 1, 2, ROWS, COLUMNS), "uint16")[0]
    path = write_thorimage(tmp_path, array, frames=24, average=1, number=4)
    header = get("stack").inspect(str(path), Options(channel=0))
    assert header.metadata["frameInterval"] == pytest.approx(4 / 20)
    assert "or several were averaged" in header.found["uncertain"][0]
    path = write_thorimage(tmp_path, array, frames=9)
    header = get("stack").inspect(str(path), Options(channel=0))
    assert "9 images were to be recorded, and 6 are there" in header.found["uncertain"][0]
    path = write_thorimage(tmp_path, array, frames=4)  # there may be three channels
    assert "nchannels=" in str(attempt("stack", path, channel=0))
    found = read_all("stack", path, channel=0, nchannels=2)
    assert same_bits(found, array[:, 0, 0])


def test_thorimage_without_streaming(tmp_path):
    array = recording(1, (4, 3, 1, ROWS, COLUMNS), "uint16")[0]
    path = write_thorimage(tmp_path, array, stream=0, timepoints=4)
    assert same_bits(read_all("stack", path), as_volumes(array[:, :, 0]))
    assert "frameInterval" not in get("stack").inspect(str(path), Options()).metadata


@pytest.mark.parametrize(
    "text",
    [
        "", "<a", "<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "<a/>",
        experiment(6, 1, rows=0), experiment(6, 1, columns=4),
        experiment(6, 1, rows=ROWS + 1),
    ],
)  # fmt: skip
def test_thorimage_that_is_wrong(tmp_path, text):
    path = write_thorimage(tmp_path, recording(1, (6, 1, 1, ROWS, COLUMNS), "uint16")[0])
    (tmp_path / "Experiment.xml").write_text(text)
    with pytest.raises(ValueError, match=str(tmp_path)):
        read_all("stack", path)
    read_all("stack", path, shape=(ROWS, COLUMNS), dtype="uint16", nplanes=1)


# ---- the directory as a whole, on all ranks and by the command line


@pytest.fixture
def directories(comm, shared_path):
    """A directory of each program, and its images."""
    movie = recording(9, (ROWS, COLUMNS), "int16")
    array = recording(1, (9, 4, 2, ROWS, COLUMNS), "uint16")[0]
    volumes = recording(9, (ROWS, COLUMNS, 3), "float32")
    if comm.rank == 0:
        write_suite2p(shared_path / "s2p" / "plane0", movie)
        write_thorimage(shared_path / "thor", array, flyback=1)
        (shared_path / "thor" / "ChanA_Preview.tif").write_bytes(b"II*\0")
        for order in "CF":
            (shared_path / order).mkdir()
            write_caiman(shared_path / order, volumes, order)
        (shared_path / "raw").mkdir()
        (shared_path / "raw" / "a.raw").write_bytes(b"head" + movie.tobytes())
        conf = {"axes": "TYX", "shape": movie.shape, "dtype": "int16", "offset": 4}
        write_json(shared_path / "raw" / "conf.json", conf)
    comm.Barrier()
    return {
        "s2p/plane0": ({}, movie),
        "thor": ({"channel": 1}, as_volumes(array[:, :3, 1])),
        "C": ({}, volumes),
        "F": ({}, volumes),
        "raw": ({}, movie),
    }


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_by_one_call(tsc, shared_path, directories, command):
    for name, (given, images) in directories.items():
        loaded = tsc.loadImages(shared_path / name, **given)
        assert same_bits(loaded.toArray(), images), name
        assert same_bits(loaded.toSeries().toArray(), np.moveaxis(images, 0, -1))
        loaded.saveAsBinarySeries(str(shared_path / f"{name}-out"))
        found = tsc.loadSeries(shared_path / f"{name}-out").toArray()
        assert same_bits(found, np.moveaxis(images, 0, -1)), name
        arguments = [word for key, value in given.items() for word in (f"--{key}", value)]
        said = json.loads(command("info", name, "--json", *arguments))
        assert (said["images"], said["dims"]) == (9, list(images.shape[1:]))
        command("stats", name, f"{name}-stats", *arguments)


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_several_movies_do_not_follow_each_other(tsc, comm, shared_path, directories):
    if comm.rank == 0:
        write_suite2p(shared_path / "s2p" / "plane1", recording(9, (ROWS, COLUMNS), "int16"))
        (shared_path / "thor" / "Image_0001_0002.raw").write_bytes(bytes(9))
    comm.Barrier()
    with pytest.raises(
        ValueError, match=r"plane0/data.bin and .*plane1/data.bin: are recordings of their own"
    ):
        tsc.loadImages(shared_path / "s2p", recursive=True)
    with pytest.raises(ValueError, match="has several recordings, such as Image_0001_0001"):
        tsc.loadImages(shared_path / "thor", channel=0)
    assert tsc.loadImages(shared_path / "thor" / "Image_0001_0001.raw", channel=0).count() == 9


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_raw_movies_are_read_in_bands(tsc, comm, shared_path, directories):
    source = tsc.loadImages(shared_path / "thor", channel=1).records.chain.source
    assert source.reads_parts()
    if comm.rank == 0:
        movie = directories["raw"][1]
        for k in range(2):
            (shared_path / f"{k}.raw").write_bytes(movie[5 * k : 5 * k + 5].tobytes())
    comm.Barrier()
    given = {"shape": (ROWS, COLUMNS), "dtype": "int16", "nplanes": 1}
    loaded = tsc.loadImages(shared_path / "*.raw", **given)
    assert same_bits(loaded.toArray(), directories["raw"][1])
