"""What programs write into HDF5 files: datasets in turn, several series, padding, other files."""

from __future__ import annotations

import json
import os

import h5py
import numpy as np
import pytest

from mpimages import FormatError
from mpimages.readers import Options, get
from tests.support.data import recording, same_bits
from tests.support.recordings import read_all

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

HDF5 = get("hdf5")
CHUNKS = [None, (2, 4, 5)]


@pytest.fixture
def write(comm, shared_path, monkeypatch):
    """Make a file on one rank, in the working directory."""
    monkeypatch.chdir(shared_path)

    def make(fill, path="a.h5"):
        error = None
        comm.Barrier()  # the others have read what it replaces
        if comm.rank == 0:
            try:
                os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                with h5py.File(path, "w") as file:
                    fill(file)
            except Exception as caught:
                error = repr(caught)
        assert comm.bcast(error) is None
        return path

    return make


def inspect(path, **given):
    return HDF5.inspect(str(path), Options(**given))


def as_volumes(array):
    """(T, Z, Y, X) as images."""
    return np.moveaxis(array, 1, -1)


# -- datasets in turn ----------------------------------------------------------------------


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("first", [0, 8])
def test_datasets_follow_each_other(tsc, write, command, chunks, first):
    array = recording(5, (3, 6, 7), "uint16")

    def fill(file):
        for number in reversed(range(5)):
            file.create_dataset(f"t{number + first}/raw", data=array[number], chunks=chunks)
            file[f"t{number + first}/other"] = np.zeros((3, 6, 7))

    path = write(fill)
    images = tsc.loadImages(path, dataset="t{t}/raw", axes="ZYX")
    assert same_bits(images.toArray(), as_volumes(array))
    assert same_bits(images.filterOnKeys(lambda k: k % 2 == 1).toArray(), as_volumes(array)[1::2])
    # A movie after the other, and volumes cut into their planes.
    movie = array.reshape(15, 6, 7)
    assert same_bits(tsc.loadImages(path, dataset="/t{t}/raw").toArray(), movie)
    planes = tsc.loadImages(path, dataset="t{t}/raw", axes="ZYX", nplanes=1)
    assert same_bits(planes.toArray(), movie)
    found = json.loads(command("info", path, "--dataset", "t{t}/raw", "--json"))
    assert (found["images"], found["dims"]) == (15, [6, 7])


def test_files_of_datasets_in_turn(tsc, write):
    array = recording(5, (6, 7), "float32")
    for number, own in enumerate([range(2), range(2, 5)]):
        write(
            lambda file, own=own: [file.create_dataset(f"im{i:03}", data=array[i]) for i in own],
            f"{number}.h5",
        )
    assert same_bits(tsc.loadImages(".", dataset="im{t}").toArray(), array)


def test_the_last_of_several_movies_may_be_shorter(write):
    array = recording(8, (6, 7), "uint8")

    def fill(file):
        for number, start in enumerate((0, 3, 6)):
            part = array[start : start + 3]
            file.create_dataset(f"d_{number}", data=part, chunks=(1, 6, 7))

    path = write(fill)
    np.testing.assert_array_equal(read_all("hdf5", path, dataset="d_{t}"), array)


@pytest.mark.parametrize(
    ("names", "given", "told"),
    [
        (["t1", "t2", "t4"], "t{t}", "number 3 is missing, between t2 and t4; put it back"),
        (["t1", "t4"], "t{t}", "load one dataset at a time, such as dataset='t1'"),
        (["t1", "t01"], "t{t}", "same number"),
        (["a1"], "t{t}", "no name fits t{t}"),
        (["t1"], "x/t{t}", "no group 'x'"),
        (["t1"], "t{t}{t}", "must have {t} once"),
        (["t0", "t1-odd"], "t{t}", None),
        (["t0/a", "t1/a", "t2/b"], "t{t}/a", "has no t2/a"),
        (["t0/a", "t1/b", "t2/a"], "t{t}/a", "has no dataset 't1/a'"),
    ],
)
def test_patterns_that_leave_something_out(write, names, given, told):
    path = write(lambda file: [file.create_dataset(n, (4, 5), "u1") for n in names])
    if told is None:
        assert inspect(path, dataset=given).count == 1
        return
    with pytest.raises(ValueError, match=r"a\.h5") as caught:
        inspect(path, dataset=given)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "odd", [((4, 6), "u1"), ((4, 5), "i1"), ((4, 5), ">u2"), ((1, 4, 5), "u1"), ((4,), "u1")]
)
@pytest.mark.parametrize("place", [1, 2])
def test_datasets_in_turn_are_alike(write, odd, place):
    kinds = [((4, 5), "u1")] * 3
    kinds[place] = odd
    path = write(lambda file: [file.create_dataset(f"t{i}", *kind) for i, kind in enumerate(kinds)])
    if odd[0] == (1, 4, 5):  # a movie of one image
        assert inspect(path, dataset="t{t}").count == 3
        return
    with pytest.raises(ValueError, match=rf"a\.h5.*t{place}"):
        inspect(path, dataset="t{t}")


def test_what_is_not_there_at_the_end_is_dropped(tsc, write):
    array = recording(3, (4, 5), "uint8")
    path = write(lambda file: [file.__setitem__(f"t{i}/a", array[i]) for i in range(3)])

    def cut(file):
        for i in range(2):
            file[f"t{i}/a"] = array[i]
        file.create_group("t2")

    path = write(cut)
    with pytest.raises(FormatError, match="incomplete='drop'"):
        tsc.loadImages(path, dataset="t{t}/a")
    images = tsc.loadImages(path, dataset="t{t}/a", incomplete="drop")
    assert same_bits(images.toArray(), array[:2])


# -- BigDataViewer -------------------------------------------------------------------------


def bdv(array, setups=2, dtype="int16"):
    """As BigDataViewer 10's writer: int16 cells, which stand for uint16; chunked, Z Y X."""

    def fill(file):
        for setup in range(setups):
            file[f"s{setup:02}/resolutions"] = np.ones((2, 3))
            file[f"s{setup:02}/subdivisions"] = np.full((2, 3), 4)
            for time, volume in enumerate(array):
                for level in range(2):
                    file.create_dataset(
                        f"t{time:05}/s{setup:02}/{level}/cells",
                        data=(volume[:, :: level + 1] + setup).astype("u2").view(dtype),
                        chunks=(2, 3, 4),
                        compression="gzip",
                    )

    return fill


def test_bigdataviewer(tsc, write, command):
    array = recording(4, (3, 6, 7), "uint16")
    path = write(bdv(array))
    with pytest.raises(ValueError, match=r"BigDataViewer.*s00, s01.*dataset='t\{t\}/s00/0/cells'"):
        tsc.loadImages(path)
    for setup in range(2):
        expected = as_volumes(array + np.uint16(setup))
        images = tsc.loadImages(path, dataset=f"t{{t}}/s0{setup}/0/cells")
        assert same_bits(images.toArray(), expected.view("int16"))
        found = tsc.loadImages(path, dataset=f"t{{t}}/s0{setup}/0/cells", dtype="uint16")
        assert same_bits(found.toArray(), expected)
    one = tsc.loadImages(path, dataset="t00002/s00/0/cells").toArray()
    assert same_bits(one.reshape(6, 7, 3), as_volumes(array)[2].view("int16"))
    coarse = tsc.loadImages(path, dataset="t{t}/s01/1/cells", dtype="uint16").toArray()
    assert same_bits(coarse, as_volumes(array[:, :, ::2] + np.uint16(1)))
    told = command("info", path, "--dataset", "t{t}/s00/0/cells", "--json")
    assert json.loads(told)["dims"] == [6, 7, 3]
    header = inspect(path, dataset="t{t}/s00/0/cells")
    assert header.found["program"] == "BigDataViewer"
    assert "dtype='uint16'" in header.found["uncertain"][0]
    with pytest.raises(ValueError, match="dtype=float32"):
        inspect(path, dataset="t{t}/s00/0/cells", dtype="float32")


# -- Imaris --------------------------------------------------------------------------------


def characters(value):
    """A text as Imaris stores it."""
    return np.array([*str(value)], dtype="S1")


def imaris(array, chunks=(2, 4, 4)):
    """As Imaris 5.5 to 10: (T, C, Z, Y, X), padded to whole chunks; level 1 has half of X and Y."""
    times, channels = array.shape[:2]

    def fill(file):
        file.attrs["ImarisDataSet"] = characters("ImarisDataSet")
        file.attrs["ImarisVersion"] = characters("5.5.0")
        image = file.create_group("DataSetInfo/Image")
        file["DataSetInfo"].create_group("Imaris").attrs["Version"] = characters("9.5")
        for number, size in enumerate(array.shape[:1:-1]):
            image.attrs[f"ExtMin{number}"] = characters(-1.5)
            image.attrs[f"ExtMax{number}"] = characters(-1.5 + size * (number + 1) / 4)
        image.attrs["Unit"] = characters("um")
        info = file.create_group("DataSetInfo/TimeInfo")
        for time in range(times):
            info.attrs[f"TimePoint{time + 1}"] = characters(f"2020-01-02 03:04:{time * 2:02}.500")
            for channel in range(channels):
                named = file.require_group(f"DataSetInfo/Channel {channel}")
                named.attrs["Name"] = characters(f"colour {channel}")
                for level in range(2):
                    data = array[time, channel, :, :: level + 1, :: level + 1]
                    group = file.create_group(
                        f"DataSet/ResolutionLevel {level}/TimePoint {time}/Channel {channel}"
                    )
                    for letter, n in zip("ZYX", data.shape, strict=True):
                        group.attrs[f"ImageSize{letter}"] = characters(n)
                    padding = [(0, -n % c) for n, c in zip(data.shape, chunks, strict=True)]
                    padded = np.pad(data, padding, constant_values=99)
                    group.create_dataset("Data", data=padded, chunks=chunks, compression="gzip")
                    group["Histogram"] = np.zeros(256, "u8")

    return fill


@pytest.mark.parametrize("planes", [1, 3])
def test_imaris(tsc, write, command, planes):
    array = recording(3, (2, planes, 6, 7), "uint8")
    path = write(imaris(array), "a.ims")
    with pytest.raises(ValueError, match=r"2 channels \(0 colour 0, 1 colour 1\).*channel=0"):
        tsc.loadImages(path)
    with pytest.raises(ValueError, match="no channel 2"):
        tsc.loadImages(path, channel=2)
    for channel in range(2):
        images = tsc.loadImages(path, channel=channel)
        expected = as_volumes(array[:, channel])
        assert same_bits(images.toArray(), expected if planes > 1 else expected[..., 0])
        assert images.metadata["pixelSize"] == (0.5, 0.25, 0.75)[: 3 if planes > 1 else 2]
        assert (images.metadata["unit"], images.metadata["frameInterval"]) == ("µm", 2.0)
        cut = tsc.loadImages(path, channel=channel, nplanes=1)
        assert same_bits(cut.toArray(), array[:, channel].reshape(-1, 6, 7))
        assert ("frameInterval" in cut.metadata) == (planes == 1)
    header = inspect(path, channel=1)
    assert header.found["channels"] == ["colour 0", "colour 1"]
    assert header.found["program"] == "Imaris 9.5"
    assert header.found["startTime"] == "2020-01-02 03:04:00.500"
    coarse = "DataSet/ResolutionLevel 1/TimePoint {t}/Channel 1/Data"
    found = tsc.loadImages(path, dataset=coarse).toArray()
    expected = as_volumes(array[:, 1, :, ::2, ::2])
    assert same_bits(found, expected if planes > 1 else expected[..., 0])
    with pytest.raises(ValueError, match="channel=1 means nothing"):
        tsc.loadImages(path, dataset=coarse, channel=1)
    told = json.loads(command("info", path, "--channel", "1", "--json"))
    assert (told["images"], told["format"]) == (3, "hdf5")


def test_imaris_that_claims_more_than_it_has(write):
    def fill(file):
        imaris(recording(1, (1, 3, 6, 7), "uint8"))(file)
        group = file["DataSet/ResolutionLevel 0/TimePoint 0/Channel 0"]
        group.attrs["ImageSizeX"] = characters(700)

    with pytest.raises(ValueError, match="ImageSizeZ"):
        inspect(write(fill, "a.ims"))


# -- NWB -----------------------------------------------------------------------------------


def nwb(**series):
    """As pynwb 2: series of images in the acquisition; what a file needs besides is left out."""

    def fill(file):
        file.attrs["nwb_version"] = "2.6.0"
        file["session_start_time"] = "2021-03-04T05:06:07+00:00"
        plane = file.create_group("general/optophysiology/plane")
        plane["grid_spacing"] = [2e-6, 3e-6]
        plane["grid_spacing"].attrs["unit"] = "meters"
        for name, said in series.items():
            group = file.create_group(f"acquisition/{name}")
            group.attrs["neurodata_type"] = said.get("type", "TwoPhotonSeries")
            data = group.create_dataset("data", data=said["data"], chunks=said.get("chunks"))
            data.attrs.update(unit="volts", conversion=0.5, offset=0.0)
            if said["data"].ndim == 3:
                group["imaging_plane"] = h5py.SoftLink("/general/optophysiology/plane")
            if "rate" in said:
                group["starting_time"] = 1.0
                group["starting_time"].attrs["rate"] = said["rate"]
            for key in ("timestamps", "dimension", "format", "external_file"):
                if key in said:
                    group[key] = said[key]

    return fill


@pytest.mark.parametrize("chunks", [None, (2, 4, 5)])
def test_nwb(tsc, write, command, chunks):
    array = recording(5, (6, 7), "int16")
    path = write(nwb(movie={"data": array.transpose(0, 2, 1), "rate": 4.0, "chunks": chunks}))
    images = tsc.loadImages(path)
    assert same_bits(images.toArray(), array)
    assert images.metadata == {
        "frameInterval": 0.25,
        "pixelSize": (3.0, 2.0),
        "unit": "µm",
        "valueConversion": 0.5,
        "valueUnit": "volts",
    }
    for name in ("acquisition/movie", "/acquisition/movie/data"):
        assert same_bits(tsc.loadImages(path, dataset=name).toArray(), array)
    rows = tsc.loadImages(path, axes="TYX")
    assert same_bits(rows.toArray(), array.transpose(0, 2, 1))
    assert rows.metadata["pixelSize"] == (3.0, 2.0)
    header = inspect(path)
    assert "axes='TYX'" in header.found["uncertain"][0]
    assert header.found["program"] == "NWB 2.6.0"
    assert header.found["startTime"] == "2021-03-04T05:06:07+00:00"
    assert "uncertain" not in inspect(path, axes="TYX").found
    assert json.loads(command("info", path, "--json"))["dims"] == [6, 7]


@pytest.mark.parametrize("rate", [0.0, -1.0, np.nan, 1e-320])
def test_nwb_of_a_rate_that_is_none(tsc, write, rate):
    """Converters to NWB write 0 or -1 where they know no rate."""
    array = recording(5, (6, 7), "uint8")
    path = write(nwb(movie={"data": array.transpose(0, 2, 1), "rate": rate}))
    images = tsc.loadImages(path)
    assert same_bits(images.toArray(), array)
    assert "frameInterval" not in images.metadata


def test_nwb_of_volumes_and_of_time_stamps(tsc, write):
    array = recording(4, (6, 7, 3), "uint8")
    times = [1.0, 1.5, 2.0, 2.5]
    path = write(nwb(movie={"data": array.transpose(0, 2, 1, 3), "timestamps": times}))
    images = tsc.loadImages(path)
    assert same_bits(images.toArray(), array)
    assert images.metadata["frameInterval"] == 0.5


def test_nwb_of_several_series(tsc, write):
    array = recording(4, (6, 7), "uint8")
    path = write(
        nwb(
            one={"data": array},
            two={"data": array + 1, "type": "OnePhotonSeries"},
            trace={"data": np.zeros((9, 8, 7)), "type": "ElectricalSeries"},
        )
    )
    with pytest.raises(ValueError, match=r"acquisition/one.*acquisition/two.*dataset=") as caught:
        tsc.loadImages(path)
    assert "trace" not in str(caught.value)
    found = tsc.loadImages(path, dataset="acquisition/two", axes="TYX").toArray()
    assert same_bits(found, array + 1)


def test_nwb_whose_images_are_elsewhere(write):
    path = write(
        nwb(
            film={
                "data": np.empty((0, 0, 0)),
                "format": "external",
                "external_file": ["a.tif", "b.tif"],
                "type": "ImageSeries",
            }
        )
    )
    with pytest.raises(ValueError, match=r"acquisition/film .*a\.tif, b\.tif; load these"):
        inspect(path)


def test_nwb_that_contradicts_the_standard(write):
    array = recording(4, (6, 7), "uint8")  # (time, y, x)
    path = write(nwb(movie={"data": array, "dimension": [7, 6]}))
    with pytest.raises(ValueError, match=r"axes='TYX' reads them with the rows first"):
        inspect(path)
    np.testing.assert_array_equal(read_all("hdf5", path, axes="TYX"), array)


def test_nwb_in_which_another_part_has_the_images(tsc, write):
    array = recording(4, (6, 7), "uint8")

    def fill(file):
        nwb()(file)
        group = file.create_group("processing/ophys/corrected")
        group.attrs["neurodata_type"] = "ImageSeries"
        group["data"] = array.transpose(0, 2, 1)

    assert same_bits(tsc.loadImages(write(fill)).toArray(), array)


# -- other files ---------------------------------------------------------------------------


def dectris(write, array, each=3, chunks=(1, 6, 7), place="run"):
    """As EIGER's file writer: a master, with a link to each file of images. Returns the master."""
    starts = range(0, len(array), each)
    for number, start in enumerate(starts, 1):
        write(
            lambda file, start=start: file.create_dataset(
                "entry/data/data", data=array[start : start + each], chunks=chunks
            ),
            f"{place}/run_data_{number:06}.h5",
        )

    def master(file):
        for number, _ in enumerate(starts, 1):
            link = h5py.ExternalLink(f"run_data_{number:06}.h5", "/entry/data/data")
            file[f"entry/data/data_{number:06}"] = link
        detector = file.create_group("entry/instrument/detector")
        detector["x_pixel_size"], detector["y_pixel_size"] = 75e-6, 50e-6
        detector["frame_time"] = 0.125
        detector["description"] = "Dectris EIGER"
        file["entry/instrument/detector/flatfield"] = np.ones((6, 7))

    return write(master, f"{place}/run_master.h5")


@pytest.mark.parametrize("chunks", [None, (1, 6, 7), (2, 3, 7)])
def test_dectris(tsc, write, command, chunks):
    array = recording(8, (6, 7), "uint32")
    path = dectris(write, array, chunks=chunks)
    with pytest.raises(ValueError, match=r"which is not followed.*follow='directory' reads it"):
        tsc.loadImages(path)
    for given in ({}, {"dataset": "entry/data/data_{t}"}):
        images = tsc.loadImages(path, follow="directory", **given)
        assert same_bits(images.toArray(), array)
        assert same_bits(images.filterOnKeys(lambda k: k in (1, 4, 7)).toArray(), array[[1, 4, 7]])
        assert images.metadata == {"frameInterval": 0.125, "pixelSize": (50.0, 75.0), "unit": "µm"}
    one = tsc.loadImages(path, follow="directory", dataset="entry/data/data_000002")
    assert same_bits(one.toArray(), array[3:6])
    told = json.loads(command("info", path, "--follow", "directory", "--json"))
    assert told["images"] == 8


def test_a_file_that_is_linked_and_not_there(comm, write):
    path = dectris(write, recording(8, (6, 7), "uint32"))
    comm.Barrier()
    if comm.rank == 0:
        os.unlink("run/run_data_000003.h5")
    comm.Barrier()
    with pytest.raises(FormatError, match=r"run_data_000003\.h5', which is not there"):
        inspect(path, follow="directory")
    with pytest.raises(ValueError, match="not followed") as caught:
        inspect(path)
    assert "follow=" not in str(caught.value)  # it would be refused
    assert inspect(path, follow="directory", incomplete="drop").count == 6


def virtual(file, sources, shape=(4, 6, 7), dtype="u1", name="data"):
    layout = h5py.VirtualLayout(shape, dtype)
    for number, (path, inner) in enumerate(sources):
        step = shape[0] // len(sources)
        part = slice(number * step, (number + 1) * step)
        layout[part] = h5py.VirtualSource(path, inner, shape=(step, *shape[1:]))
    file.create_virtual_dataset(name, layout, fillvalue=7)


def test_virtual_datasets_of_files_in_the_directory(tsc, comm, write):
    array = recording(4, (6, 7), "uint8")
    for number in range(2):
        part = array[2 * number : 2 * number + 2]
        write(lambda file, part=part: file.create_dataset("x", data=part), f"d/sub/{number}.h5")
    # Of virtual datasets of virtual ones, in another directory.
    write(lambda file: virtual(file, [("0.h5", "x"), ("1.h5", "x")]), "d/sub/all.h5")
    for sources in ([("sub/0.h5", "x"), ("sub/1.h5", "x")], [("sub/all.h5", "data")]):
        path = write(lambda file, sources=sources: virtual(file, sources), "d/a.h5")
        with pytest.raises(ValueError, match="follow='directory' reads it"):
            tsc.loadImages(path)
        assert same_bits(tsc.loadImages(path, follow="directory").toArray(), array)
    comm.Barrier()
    if comm.rank == 0:
        os.unlink("d/sub/1.h5")
    comm.Barrier()
    with pytest.raises(FormatError, match=r"1\.h5', which is not there"):
        tsc.loadImages(path, follow="directory")


def test_a_source_that_has_too_little(write):
    write(lambda file: file.create_dataset("x", data=np.ones((1, 6, 7), "u1")), "d/0.h5")
    write(lambda file: file.create_dataset("x", data=np.ones((2, 6, 7), "u1")), "d/1.h5")

    def beyond(file):
        layout = h5py.VirtualLayout((2, 6, 7), "u1")
        layout[...] = h5py.VirtualSource("1.h5", "x", (9, 6, 7))[1:3]
        file.create_virtual_dataset("data", layout, fillvalue=7)

    with pytest.raises(FormatError, match="more is wanted"):
        inspect(write(beyond, "d/a.h5"), follow="directory")
    for other, inner, told in (("0.h5", "x", "more is wanted"), ("1.h5", "y", "no such dataset")):
        sources = [(other, inner), ("1.h5", "x")]
        path = write(lambda file, sources=sources: virtual(file, sources), "d/a.h5")
        with pytest.raises(FormatError, match=told):
            inspect(path, follow="directory")


def test_a_source_that_grows_is_taken_as_far_as_it_goes(write):
    array = recording(3, (6, 7), "uint8")
    write(lambda file: file.create_dataset("x", data=array, maxshape=(None, 6, 7)), "d/x.h5")

    def fill(file):
        whole = slice(0, h5py.h5s.UNLIMITED)
        layout = h5py.VirtualLayout((4, 6, 7), "u1", maxshape=(None, 6, 7))
        layout[whole] = h5py.VirtualSource("x.h5", "x", (4, 6, 7), maxshape=(None, 6, 7))[whole]
        file.create_virtual_dataset("data", layout)

    path = write(fill, "d/a.h5")
    np.testing.assert_array_equal(read_all("hdf5", path, follow="directory"), array)


def test_what_leads_out_of_the_directory_is_refused(comm, write, shared_path):
    array = recording(4, (6, 7), "uint8")
    write(lambda file: file.create_dataset("x", data=array), "out/x.h5")
    write(lambda file: file.create_dataset("x", data=array), "d/x.h5")
    if comm.rank == 0:
        os.symlink("../out/x.h5", "d/link.h5")
        os.symlink("../out", "d/away")
        os.mkfifo("d/pipe.h5")
    comm.Barrier()
    outside = str(shared_path / "out" / "x.h5")
    for other in (outside, "../out/x.h5", "../d/../out/x.h5", "link.h5", "away/x.h5", "pipe.h5"):
        makers = [
            lambda file, other=other: file.__setitem__("data", h5py.ExternalLink(other, "x")),
            lambda file, other=other: virtual(file, [(other, "x")]),
            lambda file, other=other: (
                file.create_dataset("data", (4, 6, 7), "u1", external=[(other, 0, 168)])
                if other != "pipe.h5"
                else virtual(file, [(other, "x")])
            ),
        ]
        for fill in makers:
            path = write(fill, "d/a.h5")
            for given in ({}, {"follow": "directory"}):
                with pytest.raises(ValueError, match=r"d/a\.h5|pipe\.h5") as caught:
                    inspect(path, dataset="data", **given)
                assert "follow=" not in str(caught.value)
    # Within it, whichever way it is written.
    for other in ("x.h5", "../d/x.h5", str(shared_path / "d" / "x.h5")):
        path = write(lambda file, other=other: virtual(file, [(other, "x")]), "d/a.h5")
        np.testing.assert_array_equal(read_all("hdf5", path, follow="directory"), array)


def test_circles_through_other_files(write):
    write(lambda file: virtual(file, [("a.h5", "data")]), "d/b.h5")
    path = write(lambda file: virtual(file, [("b.h5", "data")]), "d/a.h5")
    with pytest.raises(ValueError, match="made of itself"):
        inspect(path, follow="directory")
    write(lambda file: file.__setitem__("x", h5py.ExternalLink("a.h5", "y")), "d/b.h5")
    path = write(lambda file: file.__setitem__("y", h5py.ExternalLink("b.h5", "x")), "d/a.h5")
    with pytest.raises(ValueError, match="too many links"):
        inspect(path, follow="directory", dataset="y")


def test_external_storage_lies_beside_the_file(comm, write, monkeypatch):
    array = recording(4, (6, 7), "uint16")
    path = write(
        lambda file: file.create_dataset("data", (4, 6, 7), "u2", external=[("raw", 10, 336)]),
        "d/a.h5",
    )
    if comm.rank == 0:
        with open("d/raw", "wb") as file:
            file.write(bytes(10) + array.tobytes())
    comm.Barrier()
    np.testing.assert_array_equal(read_all("hdf5", path, follow="directory"), array)
    monkeypatch.setenv("HDF5_EXT_PREFIX", "/")
    with pytest.raises(ValueError, match="HDF5_EXT_PREFIX is set"):
        inspect(path, follow="directory")


def test_other_formats_follow_nothing(tsc, comm, shared_path):
    if comm.rank == 0:
        np.save(shared_path / "a.npy", recording(2, (4, 5), "uint8"))
    comm.Barrier()
    with pytest.raises(ValueError, match="follow='directory' means nothing"):
        tsc.loadImages(shared_path / "a.npy", follow="directory")


@pytest.mark.parametrize("master", ["a_master.h5", "0_master.h5"])
def test_a_master_is_not_loaded_beside_what_it_leads_to(tsc, write, shared_path, master):
    array = recording(4, (6, 7), "uint16")

    def links(file):
        for i in (1, 2):
            other = h5py.ExternalLink(f"a_data_{i:06d}.h5", "/entry/data/data")
            file[f"entry/data/data_{i:06d}"] = other

    for i in (1, 2):
        part = array[2 * i - 2 : 2 * i]
        write(lambda file, part=part: file.create_dataset("entry/data/data", data=part),
              f"a_data_{i:06d}.h5")  # fmt: skip
    path = write(links, master)
    assert same_bits(tsc.loadImages(path, follow="directory").toArray(), array)
    with pytest.raises(ValueError, match=rf"{master}: leads to .*; load the one that"):
        tsc.loadImages(shared_path, follow="directory")


def test_colour_in_nwb_is_no_volume(tsc, write):
    film = recording(2, (6, 7, 3), "uint8")

    path = write(nwb(film={"data": film, "type": "ImageSeries"}))
    with pytest.raises(ValueError, match="axes='TYXC' with channel=0"):
        tsc.loadImages(path)
    assert same_bits(tsc.loadImages(path, axes="TYXC", channel=1).toArray(), film[..., 1])


def test_channels_in_turn_are_not_of_imaris(tsc, write):
    path = write(imaris(recording(2, (2, 3, 6, 7), "uint8")), "a.ims")
    for given in ({}, {"channel": 0}):
        with pytest.raises(ValueError, match="nchannels=2 means nothing for Imaris"):
            tsc.loadImages(path, nchannels=2, **given)


def test_links_into_other_files_are_told(tsc, write):
    def fill(file):
        file["one"] = np.arange(3)
        for i in range(7):
            file[f"deep/m{i}"] = h5py.ExternalLink("b.h5", "x")

    path = write(fill)
    with pytest.raises(ValueError, match=r"links into other files: deep/m0.* and 3 more; name"):
        tsc.loadImages(path)


def test_a_change_of_a_file_that_is_followed_is_seen(comm, write):
    path = dectris(write, recording(4, (6, 7), "uint32"))
    before = inspect(path, follow="directory").layout["followed"]
    comm.Barrier()
    if comm.rank == 0:
        os.utime("run/run_data_000002.h5", ns=(0, 0))
    comm.Barrier()
    assert inspect(path, follow="directory").layout["followed"] != before


def test_a_dectris_frame_time_below_zero_is_none(tsc, write):
    """As masters have it that were written before the detector was set up."""
    array = recording(3, (4, 5), "uint16")
    write(lambda file: file.create_dataset("entry/data/data", data=array), "m_data_000001.h5")

    def master(file):
        file["entry/instrument/detector/frame_time"] = -1.0
        link = h5py.ExternalLink("m_data_000001.h5", "/entry/data/data")
        file["entry/data/data_000001"] = link

    images = tsc.loadImages(write(master, "m_master.h5"), follow="directory")
    assert same_bits(images.toArray(), array)
    assert "frameInterval" not in images.metadata
