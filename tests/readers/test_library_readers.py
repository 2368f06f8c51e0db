"""Formats that libraries read, by stand-ins with the libraries' documented interfaces.

nd2 0.12, czifile 2019.7.2 and liffile 2026.2 write none of their files. A LIF made by hand is
read by the library itself, where it is installed.
"""

import itertools
import struct
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from mpimages import FormatError, ThunderContext
from mpimages.readers.registry import extensions
from tests.support.data import recording, same_bits
from tests.support.recordings import read_all

SIZES = {"T": 3, "Z": 4, "C": 2}
SHAPE = (3, 4, 2, 6, 5)


def movie(scene=0):
    return recording(2, SHAPE, "uint16")[scene]


class Closing:
    def close(self):
        pass


class ND2File(Closing):
    def __init__(self, path):
        self.sizes = {"T": 3, "P": 2, "Z": 4, "C": 2, "Y": 6, "X": 5}
        self.dtype = np.dtype("uint16")
        times = range(3), range(2), range(4)
        self.loop_indices = tuple({"T": t, "P": p, "Z": z} for t, p, z in itertools.product(*times))
        period = SimpleNamespace(periodMs=250.0)
        self.experiment = [SimpleNamespace(type="TimeLoop", parameters=period)]
        names = [SimpleNamespace(channel=SimpleNamespace(name=name)) for name in ("GFP", "RFP")]
        self.metadata = SimpleNamespace(channels=names)

    def voxel_size(self):
        return SimpleNamespace(x=0.2, y=0.3, z=1.0)

    def read_frame(self, number):
        place = self.loop_indices[number]
        return movie(place["P"])[place["T"], place["Z"]]


class Entry:
    axes = "STCZYX0"
    dtype = "<u2"

    def __init__(self, scene, time, z, channel):
        self.start = (scene, 7 + time, channel, z, 0, 0, 0)
        self.shape = self.stored_shape = (1, 1, 1, 1, 6, 5, 1)
        self.block = movie(scene)[time, z, channel]

    def data_segment(self):
        return SimpleNamespace(data=lambda resize: self.block.reshape(self.shape))


class CziFile(Closing):
    def __init__(self, path):
        numbers = (range(2), range(3), range(4), range(2))
        self.filtered_subblock_directory = [Entry(*one) for one in itertools.product(*numbers)]

    def metadata(self, raw):
        return (
            "<a><Metadata><Information><Image><Dimensions><Channels><Channel Name='GFP'/>"
            "<Channel Name='RFP'/></Channels></Dimensions></Image></Information><Scaling><Items>"
            "<Distance Id='X'><Value>2e-7</Value></Distance><Distance Id='Y'><Value>3e-7</Value>"
            "</Distance></Items></Scaling></Metadata></a>"
        )


class LifFile(Closing):
    def __init__(self, path):
        self.images = [
            SimpleNamespace(
                path=f"Series{number}",
                sizes={"C": 2, "T": 3, "Z": 4, "Y": 6, "X": 5},
                dtype=np.dtype("uint16"),
                frame=lambda number=number, **at: movie(number)[at["T"], at["Z"], at["C"]],
            )
            for number in range(2)
        ]


LIBRARIES = {
    "nd2": ("nd2", ND2File, ["0", "1"]),
    "czi": ("czifile", CziFile, ["0", "1"]),
    "lif": ("liffile", LifFile, ["Series0", "Series1"]),
}
FORMATS = pytest.mark.parametrize("form", LIBRARIES)


@pytest.fixture
def library(form, monkeypatch):
    name, kind, _ = LIBRARIES[form]
    module = ModuleType(name)
    setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, name, module)
    return kind


@pytest.fixture
def path(form, comm, shared_path):
    found = shared_path / f"a{extensions(form)[0]}"
    if comm.rank == 0:
        found.write_bytes(b"stands for a recording")
    comm.barrier()
    return found


@pytest.mark.ranks
@pytest.mark.few_ranks
@FORMATS
def test_scenes_and_channels(form, library, path, comm, command):
    names = LIBRARIES[form][2]
    with ThunderContext(comm) as tsc:
        for scene, channel in itertools.product((0, 1), (0, 1)):
            images = tsc.loadImages(path, dataset=names[scene], channel=channel)
            expected = np.moveaxis(movie(scene)[:, :, channel], 1, -1)
            np.testing.assert_array_equal(images.toArray(), expected)
        series = images.toSeries().toArray()
        np.testing.assert_array_equal(series, np.moveaxis(expected, 0, -1))
        for given, told in (
            ({"channel": 0}, f"has 2 recordings; choose one by dataset=: '{names[0]}'"),
            ({"dataset": "x", "channel": 0}, "has no recordings 'x'"),
            ({"dataset": names[0]}, "has 2 channels; choose one by channel=0"),
            ({"dataset": names[0], "channel": 2}, "there is no channel 2"),
            ({"dataset": names[0], "channel": 0, "nplanes": 1}, "means nothing for inputFormat"),
        ):
            with pytest.raises(ValueError, match=told):
                tsc.loadImages(path, **given)
    found = command("info", path, "--dataset", names[1], "--channel", "1")
    assert "6 x 5 x 4" in found
    command("stats", path, "out", "--dataset", names[1], "--channel", "1")


@FORMATS
def test_metadata(form, library, path, tsc):
    images = tsc.loadImages(path, dataset=LIBRARIES[form][2][0], channel=0)
    pixel = {"nd2": (0.3, 0.2, 1.0), "czi": (0.3, 0.2, None)}.get(form)
    size = images.metadata.get("pixelSize")
    assert size == (None if pixel is None else pytest.approx(pixel))
    assert images.metadata.get("frameInterval") == (0.25 if form == "nd2" else None)


@FORMATS
def test_a_library_that_is_not_there(form, path, tsc, monkeypatch):
    monkeypatch.setitem(sys.modules, LIBRARIES[form][0], None)
    with pytest.raises(ImportError, match=rf"pip install 'mpimages\[{form}\]'"):
        tsc.loadImages(path)


@FORMATS
def test_whatever_a_library_raises_names_the_file(form, library, path, tsc, monkeypatch):
    def fail(self, path):
        raise KeyError("chunk")

    monkeypatch.setattr(library, "__init__", fail)
    with pytest.raises(FormatError, match=rf"{path}: {LIBRARIES[form][0]} cannot read it"):
        tsc.loadImages(path)


@pytest.mark.parametrize("form", ["nd2", "lif"])
def test_colour_is_refused(form, library, path, tsc, monkeypatch):
    made = library.__init__

    def colour(self, path):
        made(self, path)
        for one in getattr(self, "images", [self]):
            one.sizes["S"] = 3

    monkeypatch.setattr(library, "__init__", colour)
    with pytest.raises(ValueError, match="only T, Z, C, Y and X are read"):
        tsc.loadImages(path, dataset=LIBRARIES[form][2][0], channel=0)


@pytest.mark.parametrize("form", ["czi"])
def test_mosaics_and_what_is_incomplete(form, library, path, tsc, monkeypatch):
    made = library.__init__
    for change, told in (
        (lambda entries: entries + entries[:1], "is a mosaic"),
        (lambda entries: entries[1:], "is incomplete"),
    ):

        def changed(self, path, change=change):
            made(self, path)
            self.filtered_subblock_directory = change(self.filtered_subblock_directory)

        monkeypatch.setattr(library, "__init__", changed)
        with pytest.raises(FormatError, match=rf"a\.czi: .*{told}"):
            tsc.loadImages(path, dataset="0", channel=0)


def lif_bytes(arrays):
    """A LIF, version 2, as LAS X writes it: a header of XML, and a block of memory for each image.

    Each array is (T, Z, C, row, column), and lies so in its block.
    """
    elements = ""
    for number, array in enumerate(arrays):
        channels = "".join(
            '<ChannelDescription DataType="0" ChannelTag="0" NameOfMeasuredQuantity="" '
            f'Min="0" Max="1" Unit="" LUTName="Gray" IsLUTInverted="0" '
            f'Resolution="{8 * array.itemsize}" '
            f'BytesInc="{channel * array.strides[2]}" BitInc="0"/>'
            for channel in range(array.shape[2])
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{kind}" NumberOfElements="{array.shape[axis]}" '
            f'Origin="0" Length="1e-4" Unit="m" BitInc="0" BytesInc="{array.strides[axis]}"/>'
            for kind, axis in ((1, 4), (2, 3), (3, 1), (4, 0))
            if array.shape[axis] > 1
        )
        elements += (
            f'<Element Name="Series{number}"><Data><Image><ImageDescription><Channels>{channels}'
            f"</Channels><Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{array.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
        )
    header = (
        '<LMSDataContainerHeader Version="2"><Element Name="project"><Data><Experiment/></Data>'
        '<Memory Size="0" MemoryBlockID="MemBlock_none"/>'
        f"<Children>{elements}</Children></Element></LMSDataContainerHeader>"
    )
    text = header.encode("utf-16-le")
    content = struct.pack("<IIBI", 0x70, len(text) + 5, 0x2A, len(header)) + text
    for number, array in enumerate(arrays):
        name = f"MemBlock_{number}".encode("utf-16-le")
        head = (0x70, len(name) + 14, 0x2A, array.nbytes, 0x2A, len(name) // 2)
        content += struct.pack("<IIBQBI", *head) + name + array.tobytes()
    return content


def test_a_lif_by_its_library(tmp_path):
    pytest.importorskip("liffile")
    path = tmp_path / "a.lif"
    volumes, movies = movie().astype("<u2"), movie(1)[:, :1].astype("<u2")
    path.write_bytes(lif_bytes([volumes, movies]))
    with pytest.raises(ValueError, match=r"choose one by dataset=: 'Series0', 'Series1'"):
        read_all("lif", path)
    for channel in (0, 1):
        found = read_all("lif", path, dataset="Series0", channel=channel)
        assert same_bits(found, np.moveaxis(movie()[:, :, channel], 1, -1))
        found = read_all("lif", path, dataset="Series1", channel=channel)
        assert same_bits(found, movie(1)[:, 0, channel])
    content = path.read_bytes()
    for length in (0, 7, 40, len(content) - 9):
        path.write_bytes(content[:length])
        with pytest.raises(FormatError, match=r"a\.lif"):
            read_all("lif", path, dataset="Series1", channel=1)
