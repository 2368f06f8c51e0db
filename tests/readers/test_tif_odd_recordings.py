"""Recordings of microscopes' programs that are unusual: each is right, or clearly refused."""

import json
import struct

import numpy as np
import pytest
import tifffile

from mpimages.errors import FormatError
from mpimages.readers import Options, get
from mpimages.readers.tif.pages import TifPages

from ..support.data import recording
from ..support.recordings import read_all, tif_bytes, volumes

TIF = get("tif")


def inspect(path, **given):
    return TIF.inspect(str(path), Options(**given))


def ndtiff(path, pages, axes):
    """A data set as ndtiff 3.1 (Python) writes it: its mark lies between two pages' values here,
    where a TIFF may have anything, and the index tells of each page."""
    name = "scan_NDTiffStack.tif"
    mark = np.zeros((1, *pages.shape[1:]), dtype="<u2")
    mark.reshape(-1)[:2] = np.frombuffer(struct.pack("<I", 483729), "<u2")
    stored = np.concatenate([mark, pages])
    content = bytearray(tif_bytes(stored))
    (first,) = struct.unpack_from("<I", content, 4)  # the mark is no page
    (count,) = struct.unpack_from("<H", content, first)
    content[4:8] = content[first + 2 + 12 * count :][:4]
    (path / name).write_bytes(content)
    entries = b""
    for k, where in enumerate(axes, 1):
        text = json.dumps(where).encode()
        entries += struct.pack("<I", len(text)) + text
        entries += struct.pack("<I", len(name)) + name.encode()
        rows, columns = pages.shape[1:]
        entries += struct.pack("<IiiiiIii", 8 + k * pages[0].nbytes, columns, rows, 1, 0, 0, 0, 0)
    (path / "NDTiff.index").write_bytes(entries)
    return path / name


def test_ndtiff_channels_that_are_numbers(tmp_path):
    """The channel of the smallest number is channel 0, whichever was recorded first."""
    places = [{"time": t, "channel": c} for t in range(3) for c in (7, 2)]
    pages = recording(6, (8, 9), "uint16")
    path = ndtiff(tmp_path, pages, places)
    assert inspect(path, channel=0).found["channels"] == ["2", "7"]
    np.testing.assert_array_equal(read_all("tif", path, channel=0), pages[1::2])
    np.testing.assert_array_equal(read_all("tif", path, channel=1), pages[0::2])
    ndtiff(tmp_path, pages, [{"time": t, "channel": c} for t in range(3) for c in (0, "GFP")])
    with pytest.raises(ValueError, match="numbers and names of channels; nplanes="):
        inspect(path, channel=0)


def test_ndtiff_channels_of_different_depth(tmp_path):
    places = [
        {"time": t, "z": z, "channel": channel}
        for t in range(2)
        for channel, planes in (("GFP", 3), ("DIC", 1))
        for z in range(planes)
    ]
    pages = recording(8, (8, 9), "uint16")
    path = ndtiff(tmp_path, pages, places)
    green = np.delete(pages, [3, 7], axis=0)
    np.testing.assert_array_equal(read_all("tif", path, channel=0), volumes(green, 3))
    np.testing.assert_array_equal(read_all("tif", path, channel=1), pages[3::4])
    with pytest.raises(ValueError, match="no channel 2"):
        inspect(path, channel=2)


@pytest.mark.parametrize("extra", [{259: (3, 8)}, {322: (4, 16), 323: (4, 16), 324: (4, 8)}])
def test_stk_that_is_no_plain_run_is_refused_with_every_argument(tmp_path, extra):
    """Its one page could be read, but it is one of several planes."""
    path = tmp_path / "a.stk"
    pages = recording(4, (8, 9), "uint16")
    content = tif_bytes(pages, directories=1, extra={33629: (4, [8] * 4), **extra})
    path.write_bytes(content)
    for given in ({}, {"nplanes": 1}, {"nplanes": 1, "incomplete": "drop"}, {"nchannels": 1}):
        with pytest.raises(ValueError, match=r"a\.stk: "):
            inspect(path, **given)


@pytest.mark.parametrize(
    "extra",
    [{262: (3, 8), 277: (3, 3)}, {258: (3, [5, 6, 5]), 262: (3, 2), 277: (3, 3)},
     {262: (3, 6), 277: (3, 3)}],
)  # fmt: skip
def test_colour_that_is_no_intensities(tmp_path, extra):
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(np.zeros((1, 8, 9), "u1"), extra=extra))
    with pytest.raises(ValueError, match="colour images are not read") as told:
        inspect(path, channel=0)
    assert "channel=" not in str(told.value)


def test_pages_of_several_values_share_one_geometry(tmp_path):
    """Each has its own copy of how many bits the values have."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for page in recording(40, (4, 5, 3), "uint8"):
            file.write(page, photometric="rgb", metadata=None, contiguous=False)
    with TifPages(str(path)) as pages:
        pages.find_index()
        assert len(pages.index.geometries) == 1


SI4 = """scanimage.SI4.channelsSave = 1
scanimage.SI4.stackNumSlices = 3
scanimage.SI4.fastZEnable = 1
scanimage.SI4.fastZNumVolumes = 4
scanimage.SI4.fastZDiscardFlybackFrames = 1
scanimage.SI4.fastZNumDiscardFrames = 1
scanimage.SI4.scanFrameRate = 10"""


@pytest.mark.parametrize("saved", [True, False])
def test_scanimage_flyback_takes_time_where_it_is_not_saved(tmp_path, saved):
    """ScanImage 4: the frames are in the file or not; a volume takes as long."""
    frames = 4 if saved else 3
    pages = recording(4 * frames, (4, 5), "int16")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=SI4))
    header = inspect(path)
    np.testing.assert_array_equal(
        read_all("tif", path), np.moveaxis(pages.reshape(4, frames, 4, 5)[:, :3], 1, -1)
    )
    assert header.metadata["frameInterval"] == pytest.approx(0.4)
    metadata = inspect(path, nplanes=1).metadata
    assert metadata == ({"frameInterval": pytest.approx(0.1)} if saved else {})


@pytest.mark.parametrize("left", [0, 1, 4])
def test_fluoview_stopped_early(tmp_path, left):
    """FluoView 5: 4 times of 3 planes of 2 channels were meant."""
    axes = [("X", 9), ("Y", 8), ("Z", 3), ("Ch", 2), ("T", 4)]
    block = bytearray(284)
    for name, size in axes:
        block += struct.pack("<16sidd64s", name.encode(), size, 0.0, 1.0, b"")
    block += bytes(284 + 1000 + 256 - len(block))
    pages = recording(12 + left, (8, 9), "uint16")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(
                page, photometric="minisblack", metadata=None, contiguous=False,
                extratags=[(34361, 1, len(block), bytes(block), True)],
            )  # fmt: skip
    with pytest.raises(FormatError, match=f"T 4, but it has {12 + left} pages"):
        inspect(path, channel=1)
    found = read_all("tif", path, channel=1, incomplete="drop")
    whole = pages[:12].reshape(2, 2, 3, 8, 9)
    np.testing.assert_array_equal(found, np.moveaxis(whole[:, 1], 1, -1))
    header = inspect(path, channel=1, incomplete="drop")
    assert header.found["axes"] == {"Z": 3, "C": 2, "T": 2}
