"""What ImageJ's and OME's headers say the pages are."""

import os
import re

import numpy as np
import pytest
import tifffile

from mpimages.errors import FormatError
from mpimages.readers import Options, get
from tests.support.data import recording
from tests.support.recordings import imagej_description, read_all, tif_bytes, volumes

TIF = get("tif")


def inspect(path, **given):
    return TIF.inspect(str(path), Options(**given))


def expected(array, axes, channel=0):
    """An array of some of the axes TZCYX as images (T, Y, X[, Z])."""
    for axis, place in zip("TZC", range(3), strict=True):
        if axis not in axes:
            array = np.expand_dims(array, place)
    array = np.moveaxis(array[:, :, channel], 1, -1)
    return array[..., 0] if array.shape[-1] == 1 else array


SHAPES = {
    "YX": (9, 7),
    "TYX": (5, 9, 7),
    "ZYX": (3, 9, 7),
    "CYX": (2, 9, 7),
    "TZYX": (4, 3, 9, 7),
    "TCYX": (4, 2, 9, 7),
    "ZCYX": (3, 2, 9, 7),
    "TZCYX": (3, 4, 2, 9, 7),
}


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("axes", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_hyperstacks(tmp_path, kind, axes, dtype):
    array = recording(1, SHAPES[axes], dtype)[0]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack", **{kind: True}, metadata={"axes": axes})
    if "C" in axes:
        with pytest.raises(ValueError, match=r"a\.tif: has 2 channels; choose one by channel=0"):
            inspect(path)
        for channel in (0, 1):
            found = read_all("tif", path, channel=channel)
            np.testing.assert_array_equal(found, expected(array, axes, channel))
        with pytest.raises(ValueError, match="no channel 2: it has 2 channels"):
            inspect(path, channel=2)
    else:
        np.testing.assert_array_equal(read_all("tif", path), expected(array, axes))
        np.testing.assert_array_equal(read_all("tif", path, channel=0), expected(array, axes))
        with pytest.raises(ValueError, match="no channel 1"):
            inspect(path, channel=1)
    header = inspect(path, channel=0)
    assert header.layout["kind"] == kind


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_nplanes_cuts_one_channel_or_all_pages(tmp_path, kind, caplog):
    array = recording(3, (4, 2, 9, 7), "uint8")
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, array, photometric="minisblack", **{kind: True}, metadata={"axes": "TZCYX"}
    )
    found = read_all("tif", path, channel=1, nplanes=1)
    np.testing.assert_array_equal(found, array[:, :, 1].reshape(12, 9, 7))
    pages = array.reshape(-1, 9, 7)
    with caplog.at_level("WARNING", logger="mpimages"):
        np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    assert "2 channels: nplanes= without channel=" in caplog.text


@pytest.mark.parametrize("kind", ["imagej", "ome elsewhere", "ome images"])
def test_no_channel_of_pages_that_the_header_does_not_fit(tmp_path, kind):
    """nplanes= gives the pages of all channels then, nchannels= tells them apart."""
    two = imagej_description(8, channels=2, frames=4)
    text = {
        "imagej": two,
        "ome elsewhere": '<OME xmlns="x"><BinaryOnly MetadataFile="b"/></OME>',
        "ome images": ome(sizes(t=3), "", f"<Image><Pixels {sizes(t=3)}/></Image>"),
    }[kind]
    path = tmp_path / "a.tif"
    pages = recording(6, (4, 5), "uint8")
    path.write_bytes(tif_bytes(pages, description=text))
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    for channel in (0, 1):
        with pytest.raises(ValueError, match=r"nchannels= beside\s+channel="):
            inspect(path, nplanes=1, channel=channel)
        found = read_all("tif", path, nplanes=1, channel=channel, nchannels=2)
        np.testing.assert_array_equal(found, pages[channel::2])


@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_that_nothing_tells(tmp_path, channel):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((2, 3, 4), "u1"), photometric="minisblack", metadata=None)
    for given in ({}, {"nplanes": 1}, {"nplanes": "all"}):
        with pytest.raises(ValueError, match=f"channel={channel} .*nchannels="):
            inspect(path, channel=channel, **given)
    assert inspect(path, channel=channel, nchannels=channel + 1, nplanes=1).dims == (3, 4)


BROKEN = {
    "fine": "ImageJ=1.5\nimages=24\nchannels=2\nslices=3\nframes=4\n",
    "contradicts": "ImageJ=1.5\nimages=40\nchannels=5\nslices=8\n",
    "nonsense": "ImageJ=1.5\nchannels=-1\nimages=x\n",
    "claims more": '<OME xmlns="x"><Image><Pixels SizeT="90" SizeC="1" SizeZ="1">'
    '<TiffData IFD="80"/></Pixels></Image></OME>',
    "claims fewer": '<OME xmlns="x"><Image><Pixels SizeT="5" SizeC="1" SizeZ="1">'
    '<TiffData PlaneCount="5"/></Pixels></Image></OME>',
    "malformed": '<OME xmlns="x"><Image></OME>',
    "entities": '<!DOCTYPE x><OME xmlns="x"></OME>',
    "elsewhere": '<OME xmlns="x"><BinaryOnly MetadataFile="b"/></OME>',
    "of others": '<OME xmlns="x" UUID="a"><Image><Pixels SizeT="24"><TiffData><UUID '
    'FileName="b.tif">b</UUID></TiffData></Pixels></Image></OME>',
    "none": "",
}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_arguments_win_over_every_header(tmp_path, text, big):
    pages = recording(24, (4, 5), "uint16")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, ">" if big else "<", big=big, description=text))
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    np.testing.assert_array_equal(read_all("tif", path, nplanes=4), volumes(pages, 4))
    np.testing.assert_array_equal(read_all("tif", path, nplanes="all"), volumes(pages, 24))
    for channel in range(3):
        given = {"nchannels": 3, "channel": channel}
        own = pages[channel::3]
        np.testing.assert_array_equal(read_all("tif", path, nplanes=2, **given), volumes(own, 2))
        np.testing.assert_array_equal(read_all("tif", path, **given), volumes(own, 8))
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1, nchannels=1), pages)
    with pytest.raises(ValueError, match="no channel 3: it has 3 channels"):
        inspect(path, nplanes=1, nchannels=3, channel=3)
    with pytest.raises(ValueError, match="3 channels; choose one by channel=0 to channel=2"):
        inspect(path, nplanes=1, nchannels=3)
    with pytest.raises(ValueError, match="24 pages are not of nchannels=5 channels"):
        inspect(path, nplanes=1, nchannels=5, channel=0)


SCANIMAGE = {
    "2020": (
        "SI.VERSION_MAJOR = 2020\nSI.hChannels.channelSave = [1;2]\n"
        "SI.hStackManager.actualNumSlices = 3\nSI.hStackManager.numVolumes = 4",
        "",
    ),
    "5": (
        "",
        "scanimage.SI5.channelsSave = [1 3]\nscanimage.SI5.stackNumSlices = 3\n"
        "scanimage.SI5.fastZNumVolumes = 4",
    ),
    "3": ("", "state.acq.numberOfChannelsSave=2\rstate.acq.numberOfZSlices=3\r"),
}


@pytest.mark.parametrize("version", SCANIMAGE)
def test_scanimage_channels_are_named(tmp_path, version, caplog):
    told = {"2020": "4 volumes", "5": "4 volumes", "3": "1 volume"}
    software, description = SCANIMAGE[version]
    path = tmp_path / "a.tif"
    pages = recording(24, (4, 5), "int16")
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for page in pages:
            file.write(
                page,
                contiguous=False,
                metadata=None,
                software=software or None,
                description=description or None,
            )
    with pytest.raises(ValueError, match="has 2 channels; choose one by channel=0 to channel=1"):
        inspect(path)
    for channel in (0, 1):
        found = read_all("tif", path, channel=channel)
        np.testing.assert_array_equal(found, volumes(pages[channel::2], 3))
        found = read_all("tif", path, channel=channel, nplanes=1)
        np.testing.assert_array_equal(found, pages[channel::2])
    header = inspect(path, channel=1)
    assert header.found["axes"] == {"C": 2, "Z": 3, "T": 4}
    assert header.found["channels"] == ["Channel 1", "Channel 3" if version == "5" else "Channel 2"]
    found = read_all("tif", path, nchannels=2, channel=1, nplanes=3)
    np.testing.assert_array_equal(found, volumes(pages[1::2], 3))
    assert header.layout["said"] == f"ScanImage: 2 channels saved, 3 slices, {told[version]}"
    with caplog.at_level("WARNING", logger="mpimages"):
        np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    assert "2 channels" in caplog.text


def test_pages_without_directory(tmp_path):
    path = tmp_path / "a.tif"
    pages = recording(5, (4, 6), "uint8")
    for name, metadata in (("a", {}), ("b", {"axes": "TYX"})):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, pages, photometric="minisblack", truncate=True, metadata=metadata)
        told = rf"{name}\.tif: .*\(5, 4, 6\).* only 1 of .*truncate"
        with pytest.raises(FormatError, match=told):
            inspect(path)
        with pytest.raises(FormatError, match="truncate"):
            inspect(path, nplanes=1)
    tifffile.imwrite(path, pages[0], photometric="minisblack", truncate=True)
    np.testing.assert_array_equal(read_all("tif", path)[0], pages[0])
    for text in ("{", '{"truncated": true}', '{"shape": 3, "truncated": true}', "[1]", "{1: 2}"):
        path.write_bytes(tif_bytes(pages[:1], description=text))
        np.testing.assert_array_equal(read_all("tif", path), pages[:1])


# ---- ImageJ


def test_imagej_metadata(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, np.zeros((4, 3, 5, 6), "u2"), imagej=True, resolution=(1 / 0.5, 1 / 0.25),
        metadata={"axes": "TZYX", "unit": "um", "spacing": 2.5, "finterval": 0.125},
    )  # fmt: skip
    metadata = inspect(path).metadata
    assert metadata["unit"] == "µm"
    assert metadata["frameInterval"] == 0.125
    assert metadata["pixelSize"] == pytest.approx((0.25, 0.5, 2.5), rel=1e-6)
    assert len(inspect(path, nplanes=1).metadata["pixelSize"]) == 2


@pytest.mark.parametrize(
    "fields", [{"unit": "pixel"}, {}, {"finterval": "nan"}, {"fps": "0"}, {"unit": "um"}]
)
def test_imagej_metadata_that_says_nothing(tmp_path, fields):
    path = tmp_path / "a.tif"
    path.write_bytes(
        tif_bytes(np.zeros((1, 4, 4), "u1"), description=imagej_description(1, **fields))
    )
    assert inspect(path).metadata == {}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("strips", [1, 4])
def test_imagej_with_one_directory_for_all_pages(tmp_path, order, strips):
    pages = recording(12, (8, 9), "uint16")
    path = tmp_path / "a.tif"
    text = imagej_description(12, slices=3, frames=4)
    path.write_bytes(tif_bytes(pages, order, description=text, directories=1, strips=strips))
    found = read_all("tif", path)
    np.testing.assert_array_equal(found, np.moveaxis(pages.reshape(4, 3, 8, 9), 1, -1))
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


def test_imagej_above_four_gigabytes(tmp_path):
    """One directory, data past every 32-bit offset: a sparse file, its ends filled."""
    rows, columns, count = 1024, 1024, 2100  # 4.4 GB of uint16
    path = tmp_path / "a.tif"
    page = np.zeros((1, rows, columns), "u2")
    text = imagej_description(count, frames=count)
    content = tif_bytes(page, ">", description=text, directories=1, extra={273: (4, 4096)})
    # The directory must come before the data: put it and its text at the front.
    head = content[:8] + content[8 + page.nbytes :]
    shift = page.nbytes
    head = bytearray(head)
    first = int.from_bytes(content[4:8], "big") - shift
    head[4:8] = first.to_bytes(4, "big")
    for k in range(int.from_bytes(head[first : first + 2], "big")):
        entry = first + 2 + 12 * k
        if int.from_bytes(head[entry : entry + 2], "big") == 270:
            place = int.from_bytes(head[entry + 8 : entry + 12], "big") - shift
            head[entry + 8 : entry + 12] = place.to_bytes(4, "big")
    assert len(head) < 4096
    nbytes = rows * columns * 2
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(4096 + count * nbytes)
        for index in (0, 1, count - 1):
            file.seek(4096 + index * nbytes)
            file.write(np.full(nbytes // 2, index + 1, ">u2").tobytes())
    header = inspect(path)
    assert (header.count, header.dims) == (count, (rows, columns))
    out = np.empty((rows, columns), "u2")
    with TIF.open(str(path), Options(), header) as handle:
        for index, value in ((0, 1), (1, 2), (2, 0), (count - 1, count)):
            handle.read(index, out)
            assert (out == value).all()
    with open(path, "r+b") as file:
        file.truncate(4096 + count * nbytes - 1)
    with pytest.raises(FormatError, match=r"a\.tif: truncated"):
        inspect(path)


def test_imagej_one_directory_compressed(tmp_path):
    path = tmp_path / "a.tif"
    extra = {259: (3, 8)}
    text = imagej_description(3, frames=3)
    path.write_bytes(
        tif_bytes(np.zeros((3, 4, 4), "u1"), description=text, directories=1, extra=extra)
    )
    with pytest.raises(FormatError, match="compressed"):
        inspect(path)


def test_imagej_header_that_contradicts_the_pages(tmp_path):
    pages = recording(6, (4, 5), "uint8")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=imagej_description(8, slices=2, frames=4)))
    with pytest.raises(FormatError, match=r"2 slices and 4 frames.*6 pages.*nplanes="):
        inspect(path)
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


@pytest.mark.parametrize(
    "field", ["frames=0", "frames=-3", "slices=1e3", "channels=" + "9" * 30, "images=x"]
)
def test_imagej_header_that_is_nonsense(tmp_path, field):
    path = tmp_path / "a.tif"
    text = "ImageJ=1.5\n" + field + "\n"
    path.write_bytes(tif_bytes(np.zeros((1, 4, 4), "u1"), description=text))
    with pytest.raises(FormatError, match=r"a\.tif"):
        inspect(path)


# ---- OME


def ome(pixels, blocks="", more="", uuid=""):
    return (
        f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{uuid}>'
        f'<Image ID="Image:0"><Pixels {pixels}>{blocks}</Pixels></Image>{more}</OME>'
    )


def sizes(order="XYZCT", t=1, z=1, c=1, more=""):
    return (
        f'DimensionOrder="{order}" SizeX="5" SizeY="4" SizeZ="{z}" SizeC="{c}" SizeT="{t}" {more}'
    )


@pytest.mark.parametrize("order", ["XYZCT", "XYZTC", "XYCZT", "XYCTZ", "XYTZC", "XYTCZ"])
def test_ome_dimension_order(tmp_path, order):
    extent = {"T": 3, "Z": 4, "C": 2}
    array = recording(3, (4, 2, 4, 5), "uint16")  # T, Z, C, Y, X
    slowest_first = order[:1:-1]
    pages = array.transpose(*("TZC".index(axis) for axis in slowest_first), 3, 4).reshape(-1, 4, 5)
    path = tmp_path / "a.ome.tif"
    text = ome(sizes(order, extent["T"], extent["Z"], extent["C"]), "<TiffData/>")
    path.write_bytes(tif_bytes(pages, description=text))
    for channel in (0, 1):
        found = read_all("tif", path, channel=channel)
        np.testing.assert_array_equal(found, expected(array, "TZCYX", channel))


def test_ome_pages_in_any_order(tmp_path):
    array = recording(4, (4, 5), "uint16")
    place = [2, 0, 3, 1]  # of time t
    pages = np.empty_like(array)
    pages[place] = array
    blocks = "".join(f'<TiffData IFD="{ifd}" FirstT="{t}"/>' for t, ifd in enumerate(place))
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=ome(sizes(t=4), blocks)))
    np.testing.assert_array_equal(read_all("tif", path), array)


@pytest.mark.parametrize("prefix", ["ns0", "ome"])
def test_ome_with_a_namespace_prefix(tmp_path, prefix):
    text = re.sub(r"<(/?)(?=[A-Z])", rf"<\1{prefix}:", ome(sizes(t=3, z=2), "<TiffData/>"))
    text = text.replace("xmlns=", f"xmlns:{prefix}=")
    pages = recording(6, (4, 5), "uint8")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=text))
    np.testing.assert_array_equal(
        read_all("tif", path), pages.reshape(3, 2, 4, 5).transpose(0, 2, 3, 1)
    )


def test_ome_before_2009(tmp_path):
    """PlaneCount was called NumPlanes."""
    text = ome(sizes(t=3), '<TiffData IFD="1" NumPlanes="3"/>')
    pages = recording(4, (4, 5), "uint8")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=text))
    np.testing.assert_array_equal(read_all("tif", path), pages[1:])


@pytest.mark.parametrize("by", ["uuid", "name"])
def test_ome_set_of_several_files(tmp_path, by):
    array = recording(6, (4, 5), "uint16")
    paths = [tmp_path / f"part{k}.ome.tif" for k in range(2)]
    ids = [f"urn:uuid:0000-{k}" for k in range(2)]
    blocks = "".join(
        f'<TiffData IFD="{t % 3}" FirstT="{t}" PlaneCount="1"><UUID FileName="'
        f'{paths[t // 3].name if by == "name" else "renamed"}">{ids[t // 3]}</UUID></TiffData>'
        for t in range(6)
    )
    for k, path in enumerate(paths):
        uuid = f' UUID="{ids[k]}"' if by == "uuid" else ""
        text = ome(sizes(t=6), blocks, uuid=uuid)
        path.write_bytes(tif_bytes(array[3 * k : 3 * k + 3], description=text))
    np.testing.assert_array_equal(read_all("tif", paths[1]), array[3:])
    np.testing.assert_array_equal(read_all("tif", paths), array)


@pytest.mark.parametrize("planes", [1, 2])
def test_ome_volumes_in_several_files(tmp_path, planes):
    """Two times of four planes: the file has one or two planes of each volume."""
    path = tmp_path / "a.ome.tif"
    blocks = "".join(
        f'<TiffData IFD="{t * planes + z % planes}" FirstT="{t}" FirstZ="{z}" PlaneCount="1"><UUID '
        f'FileName="{"a" if z < planes else "b"}.ome.tif">urn:uuid:{z // planes}</UUID></TiffData>'
        for t in range(2) for z in range(4)
    )  # fmt: skip
    pages = recording(2 * planes, (4, 5), "uint8")
    path.write_bytes(tif_bytes(pages, description=ome(sizes(t=2, z=4), blocks)))
    told = rf"has {planes} of the 4 planes of each volume: .* several files; nplanes=1 reads"
    with pytest.raises(ValueError, match=told):
        inspect(path)
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


def test_ome_volumes_of_which_planes_are_missing(tmp_path):
    text = ome(sizes(t=2, z=2), '<TiffData IFD="0" PlaneCount="3"/>')
    path = tmp_path / "a.tif"
    pages = recording(3, (4, 5), "uint8")
    path.write_bytes(tif_bytes(pages, description=text))
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


def test_ome_files_of_one_channel_each(tmp_path):
    blocks = '<TiffData IFD="0" FirstC="1" PlaneCount="3"/>'
    path = tmp_path / "a.tif"
    pages = recording(3, (4, 5), "uint8")
    path.write_bytes(tif_bytes(pages, description=ome(sizes("XYTZC", t=3, c=2), blocks)))
    np.testing.assert_array_equal(read_all("tif", path, channel=1), pages)
    with pytest.raises(ValueError, match="2 channels"):
        inspect(path)
    with pytest.raises(ValueError, match="none of its pages is of channel 0"):
        inspect(path, channel=0)


def test_the_header_of_a_set_is_read_once(tmp_path, monkeypatch):
    """Each file of a set has the header of all, but for its own UUID."""
    from mpimages.readers.tif import ome as reader

    array = recording(20, (4, 5), "uint16")
    data = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="1"><UUID FileName="{t}.ome.tif">'
        f"urn:uuid:{t:03d}</UUID></TiffData>"
        for t in range(20)
    )
    for t in range(20):
        text = ome(sizes(t=20), data, uuid=f' UUID="urn:uuid:{t:03d}"')
        (tmp_path / f"{t}.ome.tif").write_bytes(tif_bytes(array[t : t + 1], description=text))
    read, asked = [], []
    parse, children = reader._parse, reader._children
    monkeypatch.setattr(reader, "_parse", lambda text: read.append(text) or parse(text))
    found = read_all("tif", [tmp_path / f"{t}.ome.tif" for t in range(20)])
    np.testing.assert_array_equal(found, array)
    assert len(read) == 1
    monkeypatch.setattr(reader, "_children", lambda *a: asked.append(a) or children(*a))
    inspect(tmp_path / "3.ome.tif")
    assert not asked  # of a header that was read, no element is gone through again


def test_ome_header_in_another_file(tmp_path):
    path = tmp_path / "a.tif"
    text = '<OME xmlns="x"><BinaryOnly MetadataFile="first.ome.tif" UUID="u"/></OME>'
    pages = recording(3, (4, 5), "uint8")
    path.write_bytes(tif_bytes(pages, description=text))
    with pytest.raises(ValueError, match=r"first\.ome\.tif"):
        inspect(path)
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


def test_ome_metadata(tmp_path):
    more = (
        'PhysicalSizeX="0.5" PhysicalSizeY="0.25" PhysicalSizeZ="2" '
        'TimeIncrement="50" TimeIncrementUnit="ms"'
    )
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(np.zeros((2, 4, 5), "u1"), description=ome(sizes(z=2, more=more))))
    assert inspect(path).metadata == {
        "pixelSize": (0.25, 0.5, 2.0), "unit": "µm", "frameInterval": pytest.approx(0.05),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ome(sizes(t=4), '<TiffData IFD="0" PlaneCount="4"/>'), "page 3.*3 pages"),
        (ome(sizes(t=4), '<TiffData IFD="9"/>'), "page 9"),
        (ome(sizes(t=3), '<TiffData IFD="0" FirstT="5"/>'), "OME header"),
        (ome(sizes(t=3), '<TiffData IFD="-1"/>'), "IFD"),
        (ome(sizes(t="x")), "SizeT"),
        (ome(sizes("XYCZ")), "DimensionOrder"),
        (ome(sizes(t=2, z=2), '<TiffData IFD="0" PlaneCount="3"/>'), "2 times of 2 planes"),
        ("<OME><Image></OME>", "not valid XML"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><OME>&a;</OME>', "entities"),
        ("<OME></OME>", "no pages"),
        (ome(sizes(t=3), '<Channel SamplesPerPixel="3"/>'), "colour"),
        (ome(sizes(t=3), "", f"<Image><Pixels {sizes(t=3)}/></Image>"), "2 OME images"),
        (ome(sizes(t=10**17, z=10**17, c=1), "<TiffData IFD='3'/>"), "page 3"),
    ],
)
def test_ome_header_that_is_wrong(tmp_path, text, told):
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(np.zeros((3, 4, 5), "u1"), description=text))
    with pytest.raises(ValueError, match=rf"a\.tif: .*{told}"):
        inspect(path)


LATIN = "<!-- \u00b5 \u00e9 -->"


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [
        ("UTF-8", "utf-8"), ("UTF-8", "utf-8-sig"), ("UTF-16", "utf-16"), ("UTF-16", "utf-16-le"),
        ("UTF-16", "utf-16-be"), ("utf-16", "utf-8"), ("ISO-8859-1", "latin-1"),
        ("windows-1252", "cp1252"), ("no-such", "latin-1"), ("UTF-8", "latin-1"), ("", "latin-1"),
        ("", "utf-8"), ("", "utf-16"),
    ],
)  # fmt: skip
def test_ome_in_any_encoding(tmp_path, declared, encoding):
    more = (
        'PhysicalSizeX="0.5" PhysicalSizeY="0.25" PhysicalSizeXUnit="\u00b5m" '
        'PhysicalSizeYUnit="\u00b5m"'
    )
    declaration = f" encoding='{declared}'" if declared else ""
    text = ome(sizes(t=3, more=more), more=LATIN).replace("?>", f"{declaration}?>", 1)
    pages = recording(3, (8, 9), "uint16")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=text.encode(encoding)))
    np.testing.assert_array_equal(read_all("tif", path), pages)
    assert inspect(path).metadata["unit"] == "\u00b5m"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_imagej_in_any_encoding(tmp_path, encoding):
    text = imagej_description(3, frames=3, unit="\u00b5m", info="\u00e9")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(recording(3, (8, 9), "uint16"), description=text.encode(encoding),
                               extra={282: (5, 2 | 1 << 32), 283: (5, 4 | 1 << 32)}))  # fmt: skip
    assert inspect(path).metadata["unit"] == "\u00b5m"


def test_long_headers_do_not_slow_opening(tmp_path):
    """One TiffData element for each of many pages, as most programs write them."""
    count = 3000
    blocks = "".join(f'<TiffData IFD="{k}" FirstT="{k}" PlaneCount="1"/>' for k in range(count))
    pages = recording(count, (2, 2), "uint8")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=ome(sizes(t=count), blocks)))
    np.testing.assert_array_equal(read_all("tif", path), pages)
    assert os.path.getsize(path) > 100_000
