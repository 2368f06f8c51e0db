"""Movies in headerless files: of suite2p, CaImAn and ThorImage, and those that arguments tell."""

import pickle

import numpy as np
import pytest

from mpimages import FormatError, ThunderContext
from mpimages.readers import Options, get
from mpimages.readers.flat.suite2p import KEYS, read_values
from tests.support.data import recording
from tests.support.recordings import read_all, volumes, write_json

DIMS = (6, 5)
ORDERS = ["CZT", "CTZ", "ZCT", "ZTC", "TCZ", "TZC"]


def inspect(path, **given):
    return get("stack").inspect(str(path), Options(**given))


def refused(path, told, kind=ValueError, name="stack", **given):
    with pytest.raises(kind, match=told) as caught:
        read_all(name, path, **given)
    assert str(path) in str(caught.value)


def pages_in(order, count=(3, 4, 2), dtype="uint16"):
    """Random pages as (T, Z, C, row, column), and as they lie in a file of this order."""
    array = recording(1, (*count, *DIMS), dtype)[0]
    axes = ["TZC".index(letter) for letter in reversed(order)]
    return array, np.ascontiguousarray(array.transpose(*axes, 3, 4))


def as_images(array):
    """(T, Z, row, column) as images (T, row, column[, Z])."""
    return array[:, 0] if array.shape[1] == 1 else np.moveaxis(array, 1, -1)


# ---- raw movies


@pytest.mark.parametrize("dtype", ["uint8", ">i2", "<u2", "<f4", "bool"])
@pytest.mark.parametrize("name", ["shape", "dims"])
@pytest.mark.parametrize("nplanes", [1, 2, "all"])
def test_movie_in_one_file(tmp_path, dtype, name, nplanes):
    stored = recording(8, DIMS, "uint8").astype(dtype)
    path = tmp_path / "a.raw"
    path.write_bytes((stored if name == "shape" else stored.transpose(0, 2, 1)).tobytes())
    found = read_all("stack", path, **{name: DIMS}, dtype=dtype, nplanes=nplanes)
    plain = stored.view("uint8") if dtype == "bool" else stored
    expected = plain if nplanes == 1 else volumes(plain, 8 if nplanes == "all" else 2)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.isnative


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("flyback", [None, 1, (0, 2)])
def test_channels_planes_and_flyback(tmp_path, order, flyback):
    array, stored = pages_in(order)
    path = tmp_path / "a.raw"
    path.write_bytes(stored.tobytes())
    kept = {None: [0, 1, 2, 3], 1: [0, 1, 2], (0, 2): [1, 3]}[flyback]
    given = {"shape": DIMS, "dtype": "uint16", "nplanes": 4, "nchannels": 2, "order": order}
    if order.endswith("T"):
        for channel in (0, 1):
            found = read_all("stack", path, **given, flyback=flyback, channel=channel)
            np.testing.assert_array_equal(found, as_images(array[:, kept, channel]))
        refused(path, "has 2 channels; choose one by channel=0", **given)


def test_offset_and_axes_of_conf(tmp_path):
    array = recording(1, (4, 3, 2, *DIMS), "int16")[0]
    path = tmp_path / "a.raw"
    path.write_bytes(b"x" * 7 + array.astype(">i2").tobytes())
    conf = {"axes": "TZCYX", "shape": array.shape, "dtype": ">i2", "offset": 7}
    write_json(tmp_path / "conf.json", conf)
    found = read_all("stack", path, channel=1)
    np.testing.assert_array_equal(found, as_images(array[:, :, 1]))
    refused(path, "has 2 channels; choose")
    refused(path, "nchannels=2 means nothing for an array with the axes", nchannels=2)
    write_json(tmp_path / "conf.json", {"shape": DIMS, "dtype": ">i2", "offset": 7})
    pages = array.reshape(-1, *DIMS)
    np.testing.assert_array_equal(read_all("stack", path, nplanes=1), pages)
    write_json(tmp_path / "conf.json", {"shape": DIMS, "dtype": ">i2", "offset": -1})
    with pytest.raises(FormatError, match=r"conf\.json: offset"):
        read_all("stack", path)
    write_json(tmp_path / "conf.json", {"shape": DIMS, "dtype": ">i2", "offset": 10**6})
    refused(path, "pages of shape", FormatError, nplanes=1)
    write_json(tmp_path / "conf.json", {"shape": array.shape, "dtype": ">i2"})
    with pytest.raises(FormatError, match=r"conf\.json: shape must be"):
        read_all("stack", path)
    write_json(tmp_path / "conf.json", {**conf, "axes": "TZCYY"})
    with pytest.raises(FormatError, match=r"conf\.json: axes must name"):
        read_all("stack", path)


def test_axes_as_an_argument(tmp_path):
    array = recording(5, DIMS, "uint8")
    path = tmp_path / "a.raw"
    path.write_bytes(np.ascontiguousarray(array.transpose(1, 2, 0)).tobytes())
    found = read_all("stack", path, shape=(*DIMS, 5), dtype="uint8", axes="YXT")
    np.testing.assert_array_equal(found, array)
    refused(path, "give shape=", dims=(*DIMS, 5), dtype="uint8", axes="YXT")


@pytest.mark.parametrize("given", [{"order": "ZCT"}, {"flyback": 1}, {"channel": 0}])
def test_arguments_without_effect(tmp_path, given):
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(30))
    refused(path, "means nothing", shape=DIMS, dtype="uint8", **given)
    if "flyback" not in given:
        path.write_bytes(bytes(30 * 3))
        refused(path, "means nothing", shape=(*DIMS, 3), dtype="uint8", **given)


def test_a_movie_that_is_cut_off(tmp_path):
    movie = recording(6, DIMS, "uint16")
    path = tmp_path / "a.raw"
    path.write_bytes(movie.tobytes()[:-3])
    given = {"shape": DIMS, "dtype": "uint16"}
    refused(path, "57 are left over", FormatError, **given, nplanes=1)
    found = read_all("stack", path, **given, nplanes=1, incomplete="drop")
    np.testing.assert_array_equal(found, movie[:5])
    found = read_all("stack", path, **given, nplanes=2, incomplete="drop")
    np.testing.assert_array_equal(found, volumes(movie[:4], 2))
    path.write_bytes(movie.tobytes())
    refused(path, "nplanes=1 if it is a movie", FormatError, **given)


# ---- suite2p


def write_suite2p(directory, movie, protocol=4, **more):
    """As suite2p 0.14 does: a registered movie and, pickled by NumPy, what it knows of it."""
    directory.mkdir(parents=True, exist_ok=True)
    movie.astype("<i2").tofile(directory / "data.bin")
    ops = {
        "suite2p_version": "0.14.4", "fs": 7.5, "filelist": ["Lx", "Ly"], "nested": {"a": "Ly"},
        "meanImg": np.ones(DIMS), "Ly": movie.shape[1], "yrange": [0, 2], "Lx": movie.shape[2],
        "nframes": len(movie), "diameter": np.array([3, 4]), **more,
    }  # fmt: skip
    array = np.empty((), object)
    array[()] = ops
    with open(directory / "ops.npy", "wb") as file:
        head = {"descr": "|O", "fortran_order": False, "shape": ()}
        np.lib.format.write_array_header_1_0(file, head)
        pickle.dump(array, file, protocol=protocol)
    np.save(directory / "F.npy", np.ones((3, len(movie))))
    return directory / "data.bin"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("rows", [6, 300, 70_000])
def test_values_are_read_without_unpickling(tmp_path, protocol, rows):
    write_suite2p(tmp_path, np.zeros((2, 1, 1), "i2"), protocol, Ly=rows, Lx=-5)
    found = read_values(str(tmp_path / "ops.npy"), KEYS)
    expected = {"Ly": rows, "Lx": -5, "nframes": 2, "fs": 7.5, "suite2p_version": "0.14.4"}
    assert found == expected


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "rate", [np.float64(7.25), np.float32(7.25), np.float16(7.25), np.int64(7)]
)
def test_numpy_scalars_of_ops(tmp_path, protocol, rate):
    both = np.int64(6)  # the same object twice, and other scalars and dtypes around it
    more = {"a": np.float64(3), "fs": rate, "Ly": both, "Lx": both, "b": np.int64(5)}
    write_suite2p(tmp_path, np.zeros((2, 1, 1), "i2"), protocol, **more, c=np.float32(2))
    found = read_values(str(tmp_path / "ops.npy"), KEYS)
    assert (found["Ly"], found["Lx"], found["fs"]) == (6, 6, rate)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_ops_are_no_numbers(tmp_path, protocol):
    more = {"Ly": np.array(64), "b": np.int64(5), "Lx": np.zeros(1, int), "fs": np.bool_(True)}
    write_suite2p(tmp_path, np.zeros((2, 1, 1), "i2"), protocol, **more, c=np.float64(2))
    found = read_values(str(tmp_path / "ops.npy"), KEYS)
    assert found == {"nframes": 2, "suite2p_version": "0.14.4"}


def test_nothing_is_executed(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    path = write_suite2p(tmp_path, recording(3, DIMS, "int16"), fs=Bomb())
    np.testing.assert_array_equal(read_all("stack", path), recording(3, DIMS, "int16"))
    assert not (tmp_path / "executed").exists()


def test_suite2p(tmp_path):
    movie = recording(7, DIMS, "int16")
    path = write_suite2p(tmp_path, movie)
    np.testing.assert_array_equal(read_all("stack", path), movie)
    header = inspect(path)
    assert header.found == {"program": "suite2p 0.14.4", "axes": {"T": 7}}
    assert header.metadata == {"frameInterval": pytest.approx(1 / 7.5)}
    with get("stack").open(str(path), Options(), header) as handle:
        assert handle.places(0, 7).planes == 1


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, 1e-320, np.float32(np.inf)])
def test_suite2p_of_a_rate_that_is_none(tmp_path, rate):
    header = inspect(write_suite2p(tmp_path, recording(3, DIMS, "int16"), fs=rate))
    assert "frameInterval" not in header.metadata


def test_suite2p_that_is_wrong(tmp_path):
    movie = recording(7, DIMS, "int16")
    path = write_suite2p(tmp_path, movie, nframes=6)
    refused(path, "it has 7 pages, but what suite2p", FormatError)
    assert len(read_all("stack", path, nplanes=1)) == 7
    path = write_suite2p(tmp_path, movie, Ly=7)
    refused(path, "it has 6 pages, but what suite2p", FormatError)  # and they fit, without a rest
    path = write_suite2p(tmp_path, movie, Ly="6")  # no number
    refused(path, r"does not say Ly and Lx.*give shape=", FormatError)
    np.testing.assert_array_equal(read_all("stack", path, shape=DIMS), movie)
    content = (tmp_path / "ops.npy").read_bytes()
    for cut in (0, 5, 60, 130, 200):
        (tmp_path / "ops.npy").write_bytes(content[:cut])
        with pytest.raises(FormatError, match=r"ops\.npy: (damaged|does not say)"):
            read_all("stack", path)


# ---- CaImAn


def write_mmap(directory, movie, order, ending="_.mmap"):
    """As CaImAn 1.9 does: (T, row, column[, page]) as a matrix of pixels by frames."""
    frames, *dims = movie.shape
    name = "a_" + "".join(f"d{k + 1}_{n}_" for k, n in enumerate((*dims, 1)[:3]))
    path = directory / f"{name}order_{order}_frames_{frames}{ending}"
    matrix = movie.reshape(frames, -1, order="F").T
    path.write_bytes(matrix.astype("<f4").tobytes(order=order))
    # What CaImAn's documentation says of such a file.
    yr = np.memmap(path, "<f4", "r", shape=matrix.shape, order=order)
    np.testing.assert_array_equal(np.reshape(yr.T, (frames, *dims), order="F"), movie)
    return path


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dims", [(6, 5), (6, 5, 3), (1, 4)])
@pytest.mark.parametrize("ending", ["_.mmap", ".mmap"])
def test_caiman(tmp_path, order, dims, ending):
    movie = recording(7, dims, "float32")
    path = write_mmap(tmp_path, movie, order, ending)
    np.testing.assert_array_equal(read_all("mmap", path), movie)
    refused(path, "dims", name="mmap", dims=(9, 9))
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    refused(path, "truncated", FormatError, name="mmap")
    if order == "F":
        found = read_all("mmap", path, incomplete="drop")
        np.testing.assert_array_equal(found, movie[:6])
    path.write_bytes(content + b"1234")
    refused(path, "it was renamed", FormatError, name="mmap")


def test_caiman_by_another_name(tmp_path):
    path = tmp_path / "movie.mmap"
    path.write_bytes(recording(7, DIMS, "float32").tobytes())
    refused(path, "its name does not say.*inputFormat='stack'", FormatError, name="mmap")
    found = read_all("stack", path, shape=DIMS, dtype="float32", nplanes=1)
    np.testing.assert_array_equal(found, recording(7, DIMS, "float32"))


# ---- ThorImage


def write_thorimage(directory, array, flyback=0, **more):
    """As ThorImageLS 4.1 does with streaming and fast Z: array is (T, Z, C, row, column)."""
    directory.mkdir(parents=True, exist_ok=True)
    times, planes, channels, rows, columns = array.shape
    array.astype("<u2").tofile(directory / "Image_0001_0001.raw")
    said = {
        "frames": times * planes, "fast": int(planes > 1), "flyback": flyback, "mode": 1,
        "mask": (1 << channels) - 1, "average": 0, "enable": 0, "timepoints": 1,
        "rate": 30, **more,
    }  # fmt: skip
    waves = "".join(f'<Wavelength name="Chan{"ABCD"[k]}"/>' for k in range(channels))
    (directory / "Experiment.xml").write_text(
        f"""<?xml version="1.0"?><ThorImageExperiment>
        <Software version="4.1.2020.9171"/><Date date="03/05/2021 14:01:02"/>
        <CaptureMode mode="{said["mode"]}"/><Wavelengths>{waves}</Wavelengths>
        <ZStage enable="{said["enable"]}" steps="{planes - flyback}" stepSizeUM="4"/>
        <Timelapse timepoints="{said["timepoints"]}"/>
        <LSM pixelX="{columns}" pixelY="{rows}" channel="{said["mask"]}" frameRate="{said["rate"]}"
         averageMode="{said["average"]}" averageNum="5" widthUM="10" heightUM="12"
         pixelSizeUM="2.93"/>
        <Streaming enable="1" frames="{said["frames"]}" zFastEnable="{said["fast"]}"
         flybackFrames="{flyback}"/></ThorImageExperiment>"""
    )
    (directory / "ChanA_Preview.tif").write_bytes(b"II*\0")
    return directory / "Image_0001_0001.raw"


@pytest.mark.parametrize("count", [(9, 1, 1), (5, 4, 1), (9, 1, 2), (5, 4, 2)])
@pytest.mark.parametrize("flyback", [0, 1])
def test_thorimage(tmp_path, count, flyback):
    array, _ = pages_in("CZT", count)
    path = write_thorimage(tmp_path, array, flyback if count[1] > 1 else 0)
    kept = array[:, : count[1] - flyback] if count[1] > 1 else array
    for channel in range(count[2]):
        found = read_all("stack", path, channel=channel)
        np.testing.assert_array_equal(found, as_images(kept[:, :, channel]))
    if count[2] > 1:
        refused(path, "has 2 channels; choose one")
    header = inspect(path, channel=0)
    assert header.metadata["frameInterval"] == pytest.approx(count[1] / 30)
    size = (2.0, 2.0, 4.0)[: len(header.dims)]
    assert header.metadata["pixelSize"] == size
    assert header.found["program"] == "ThorImage 4.1.2020.9171"
    assert header.found["channels"] == ["ChanA", "ChanB"][: count[2]]


def test_thorimage_with_arguments(tmp_path):
    array, _ = pages_in("CZT", (5, 4, 2))
    path = write_thorimage(tmp_path, array, flyback=1)
    found = read_all("stack", path, channel=1, nplanes=4)  # which counts those of the flyback
    np.testing.assert_array_equal(found, as_images(array[:, :, 1]))
    found = read_all("stack", path, channel=1, flyback=2)
    np.testing.assert_array_equal(found, as_images(array[:, :2, 1]))
    found = read_all("stack", path, nplanes=1, nchannels=1)
    np.testing.assert_array_equal(found, array.reshape(-1, *DIMS))


def test_thorimage_that_stopped_early(tmp_path):
    array, _ = pages_in("CZT", (5, 4, 2))
    path = write_thorimage(tmp_path, array, frames=400)
    np.testing.assert_array_equal(read_all("stack", path, channel=0), as_images(array[:, :, 0]))
    said = inspect(path, channel=0).found["uncertain"]
    assert "100 images were to be recorded" in said[0]
    path.write_bytes(path.read_bytes()[: -DIMS[0] * DIMS[1] * 2 * 3])
    refused(path, "not 5 times of 4 planes", FormatError, channel=0)
    found = read_all("stack", path, channel=0, incomplete="drop")
    np.testing.assert_array_equal(found, as_images(array[:4, :, 0]))


@pytest.mark.parametrize("rate", ["", "0", "-1", "nan", "1e-320"])
def test_thorimage_of_a_rate_that_is_none(tmp_path, rate):
    path = write_thorimage(tmp_path, pages_in("CZT", (5, 4, 1))[0], rate=rate)
    assert "frameInterval" not in inspect(path).metadata


def test_thorimage_with_more_than_was_said(tmp_path):
    """All four channels are in the file where two were enabled, for example."""
    array, _ = pages_in("CZT", (6, 1, 4))
    path = write_thorimage(tmp_path, array, mask=3, frames=6)
    refused(path, "has 24 pages, but what ThorImage", FormatError, channel=0)
    found = read_all("stack", path, channel=3, nchannels=4)
    np.testing.assert_array_equal(found, array[:, 0, 3])
    # What is said of the channels contradicts itself, and too few pages are there to tell.
    path = write_thorimage(tmp_path, array, mask=3, frames=100)
    refused(path, "has 24 pages", FormatError, channel=0)


def test_thorimage_stacks_without_streaming(tmp_path):
    array, _ = pages_in("CZT", (3, 4, 1))
    path = write_thorimage(tmp_path, array, mode=0, enable=1, timepoints=3, frames=1)
    np.testing.assert_array_equal(read_all("stack", path), as_images(array[:, :, 0]))
    assert "frameInterval" not in inspect(path).metadata


DAMAGED = ["", "<a", '<a><LSM pixelX="5"/></a>', "<!DOCTYPE a [<!ENTITY b '1'>]><a/>"]


@pytest.mark.parametrize("text", DAMAGED)
def test_thorimage_that_is_damaged(tmp_path, text):
    path = write_thorimage(tmp_path, pages_in("CZT", (3, 1, 1))[0])
    (tmp_path / "Experiment.xml").write_text(text)
    with pytest.raises(FormatError, match=r"Experiment\.xml.*give shape="):
        read_all("stack", path)


# ---- on any number of ranks


@pytest.mark.ranks
@pytest.mark.few_ranks
def test_directories_open_by_one_call(comm, shared_path):
    movie, planes = recording(7, DIMS, "int16"), pages_in("CZT", (5, 4, 2))[0]
    caiman = recording(7, (6, 5, 3), "float32")
    if comm.rank == 0:
        write_suite2p(shared_path / "plane0", movie)
        write_thorimage(shared_path / "thor", planes, 1)
        (shared_path / "caiman").mkdir()
        write_mmap(shared_path / "caiman", caiman, "C")
    comm.barrier()
    with ThunderContext(comm) as tsc:
        for name, given, expected in (
            ("plane0", {}, movie),
            ("thor", {"channel": 1}, as_images(planes[:, :3, 1])),
            ("caiman", {}, caiman),
        ):
            images = tsc.loadImages(shared_path / name, **given)
            np.testing.assert_array_equal(images.toArray(), expected)
            found = images.toSeries().toArray()
            np.testing.assert_array_equal(found, np.moveaxis(expected, 0, -1))
    comm.barrier()
    if comm.rank == 0:
        (shared_path / "plane0" / "data_chan2.bin").write_bytes(b"")
    comm.barrier()
    with ThunderContext(comm) as tsc:
        with pytest.raises(ValueError, match=r"several recordings.*data\.bin"):
            tsc.loadImages(shared_path / "plane0")
        assert tsc.loadImages(shared_path / "plane0" / "data.bin").count() == 7
