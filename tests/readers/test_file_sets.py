"""Volumes and channels that lie in several files: by patterns, names of programs and OME's sets."""

import itertools
import json
import os
import re
import struct

import numpy as np
import pytest
import tifffile

from mpimages.errors import FormatError
from tests.support.data import recording

pytestmark = [pytest.mark.ranks, pytest.mark.few_ranks]

SHAPE = (5, 3, 2, 8, 9)  # time, plane, channel, row, column


def movie(shape=SHAPE, dtype="uint16"):
    return recording(1, shape, dtype)[0]


def volumes(array, channel=0):
    """(T, Z, C, Y, X) as images (T, Y, X[, Z])."""
    images = np.moveaxis(array[:, :, channel], 1, -1)
    return images[..., 0] if images.shape[-1] == 1 else images


@pytest.fixture
def write(tsc, shared_path):
    """Calls a function on rank 0 with a directory; all ranks wait for it, and get its path."""

    def run(make, *arguments):
        path = shared_path / "in"
        if tsc.rank == 0:
            path.mkdir(exist_ok=True)
            make(path, *arguments)
        tsc.comm.Barrier()
        return str(path)

    return run


def write_named(directory, array, name, first=0, **options):
    for t, z, c in np.ndindex(array.shape[:3]):
        path = directory / name.format(t=t + first, z=z + first, c=c + first)
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, array[t, z, c], metadata=None, **options)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("t{t:03}/z{z:03}_c{c}.tif", "t{t}/z{z}_c{c}.tif"),
        ("c{c}/TL{t}/p_{z:02}.tif", "c{c}/TL{t}/p_{z}.tif"),
        ("scan 1_z{z:04}_c{c}_t{t:04}.tif", "*_z{z}_c{c}_t{t}.tif"),
        ("{t:04}-{c}-{z}.tif", "{t}-{c}-{z}.tif"),
    ],
)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=["plain", "zlib"])
def test_patterns(tsc, write, name, pattern, options):
    array = movie()
    path = write(lambda d: write_named(d, array, name, **options))
    for channel in (0, 1):
        images = tsc.loadImages(path, pattern=pattern, channel=channel)
        want = volumes(array, channel)
        assert images.count() == 5
        np.testing.assert_array_equal(images.toArray(), want)
        np.testing.assert_array_equal(images[3], want[3])
        np.testing.assert_array_equal(images.mean(), want.mean(0))
        series = images.toSeries()
        np.testing.assert_array_equal(series.toArray(), np.moveaxis(want, 0, -1))
        assert images.dims.count == (8, 9, 3)
    with pytest.raises(ValueError, match=r"has 2 channels \(0 0, 1 1\); choose one by channel=0"):
        tsc.loadImages(path, pattern=pattern)
    with pytest.raises(ValueError, match="no channel 2: it has 2 channels"):
        tsc.loadImages(path, pattern=pattern, channel=2)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=["plain", "zlib"])
@pytest.mark.parametrize("memory", [None, "12kB"])
def test_series_on_the_disk_are_those_of_whole_volumes(tsc, write, options, memory):
    array = movie((11, 7, 1, 20, 21))
    path = write(lambda d: write_named(d, array, "t{t}/z{z}.tif", **options))
    images = tsc.loadImages(path, pattern="t{t}/z{z}.tif")
    out = os.path.join(os.path.dirname(path), "out")
    images.saveAsBinarySeries(out, memory=memory)
    np.testing.assert_array_equal(tsc.loadSeries(out).toArray(), np.moveaxis(volumes(array), 0, -1))
    images.saveAsHDF5(out + ".h5", memory=memory)
    found = tsc.loadSeries(out + ".h5", dataset="series").toArray()
    np.testing.assert_array_equal(found, np.moveaxis(volumes(array), 0, -1))


def test_pages_of_a_file_run_along_time(tsc, write):
    """One file a plane, a movie each, of two parts: times go on in the next part."""
    array = movie((10, 3, 1, 8, 9))

    def make(directory):
        for part in (0, 1):
            for z in range(3):
                path = directory / f"part{part}_plane{z}.tif"
                times = slice(0, 6) if part == 0 else slice(6, 10)
                tifffile.imwrite(path, array[times, z, 0], photometric="minisblack", metadata=None)

    path = write(make)
    images = tsc.loadImages(path, pattern="part{t}_plane{z}.tif", nplanes=1)
    np.testing.assert_array_equal(images.toArray(), volumes(array))
    np.testing.assert_array_equal(images.toSeries().toArray(), np.moveaxis(volumes(array), 0, -1))
    found = tsc.loadImages(path, pattern="part{t}_plane{z}.tif", nplanes=1, flyback=1)
    np.testing.assert_array_equal(found.toArray(), volumes(array)[..., :2])
    with pytest.raises(ValueError, match=r"says that each file is of one; nplanes=1"):
        tsc.loadImages(path, pattern="part{t}_plane{z}.tif")


def test_one_volume_a_file_and_channel(tsc, write):
    array = movie()

    def make(directory):
        for t, c in np.ndindex(5, 2):
            path = directory / f"{['DAPI', 'GFP'][c]}_{t}.tif"
            tifffile.imwrite(path, array[t, :, c], photometric="minisblack", metadata=None)

    path = write(make)
    images = tsc.loadImages(path, pattern="{c}_{t}.tif", channel=1)
    np.testing.assert_array_equal(images.toArray(), volumes(array, 1))
    with pytest.raises(ValueError, match=r"2 channels \(0 DAPI, 1 GFP\)"):
        tsc.loadImages(path, pattern="{c}_{t}.tif")


def test_pngs(tsc, write):
    from PIL import Image

    array = movie((4, 3, 1, 8, 9), "uint8")

    def make(directory):
        for t, z, _ in np.ndindex(4, 3, 1):
            Image.fromarray(array[t, z, 0]).save(directory / f"z{z}_t{t}.png")

    path = write(make)
    images = tsc.loadImages(path, pattern="z{z}_t{t}.png")
    np.testing.assert_array_equal(images.toArray(), volumes(array))


def test_names_that_speak_of_planes_are_not_taken_for_a_movie(tsc, write):
    array = movie()
    path = write(lambda d: write_named(d, array, "x_z{z:04}_c{c}_t{t:04}.tif", 1))
    with pytest.raises(ValueError, match="speak of 5 times, 3 planes, 2 channels") as caught:
        tsc.loadImages(path)
    pattern, each = re.findall(r"pattern='([^']*)'", str(caught.value))
    images = tsc.loadImages(path, pattern=pattern, channel=1)
    np.testing.assert_array_equal(images.toArray(), volumes(array, 1))
    assert tsc.loadImages(path, pattern=each).count() == 30
    assert tsc.loadImages(path, nplanes=1).count() == 30


def test_names_of_micromanager_are_certain(tsc, write):
    """As Micro-Manager 2.0 saves separate image files."""
    array = movie()
    name = "img_channel{c:03}_position000_time{t:09}_z{z:03}.tif"
    path = write(lambda d: write_named(d, array, name))
    np.testing.assert_array_equal(tsc.loadImages(path, channel=1).toArray(), volumes(array, 1))
    with pytest.raises(ValueError, match="has 2 channels"):
        tsc.loadImages(path)


def test_missing_files(tsc, write, shared_path):
    array = movie((6, 3, 1, 8, 9))
    path = write(lambda d: write_named(d, array, "t{t}_z{z}.tif"))
    given = {"pattern": "t{t}_z{z}.tif"}

    def remove(name):
        tsc.comm.Barrier()
        if tsc.rank == 0:
            os.remove(shared_path / "in" / name)
        tsc.comm.Barrier()

    remove("t5_z2.tif")
    with pytest.raises(FormatError, match="none of t 5, z 2; incomplete='drop' leaves out"):
        tsc.loadImages(path, **given)
    found = tsc.loadImages(path, incomplete="drop", **given).toArray()
    np.testing.assert_array_equal(found, volumes(array)[:5])
    found = tsc.loadImages(path, stopIdx=4, **given).toArray()
    np.testing.assert_array_equal(found, volumes(array)[:4])
    remove("t2_z0.tif")
    for more in ({}, {"incomplete": "drop"}, {"stopIdx": 2}):
        with pytest.raises(FormatError, match="none of t 2, z 0; t 5, z 2"):
            tsc.loadImages(path, **given, **more)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"recursive": True}, "recursive= means nothing beside pattern="),
        ({"ext": "tif"}, "ext= means nothing beside pattern="),
        ({"order": "ZCT"}, "order"),
        ({"dataset": "x"}, "dataset='x' means nothing"),
        ({"flyback": 3}, "flyback=3"),
        ({"channel": 0}, "channel=0"),
        ({"dims": (8, 9)}, r"dims=\(8, 9\) was given, but its images are \(8, 9, 3\)"),
        ({"dtype": "uint8"}, "dtype=uint8 was given"),
        ({"inputFormat": "png"}, "PNG"),
    ],
)
def test_arguments_beside_a_pattern(tsc, write, given, said):
    path = write(lambda d: write_named(d, movie((2, 3, 1, 8, 9)), "t{t}_z{z}.tif"))
    with pytest.raises(ValueError, match=said):
        tsc.loadImages(path, pattern="t{t}_z{z}.tif", **given)


# -- sets of OME ---------------------------------------------------------------------------

OME = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
    'UUID="urn:uuid:{uuid}">{content}</OME>'
)


def ome_image(shape, blocks, order="XYCZT", number=0):
    t, z, c, rows, columns = shape
    return (
        f'<Image ID="Image:{number}"><Pixels ID="Pixels:{number}" DimensionOrder="{order}" '
        f'Type="uint16" SizeX="{columns}" SizeY="{rows}" SizeZ="{z}" SizeC="{c}" SizeT="{t}" '
        f'TimeIncrement="0.5">{blocks}</Pixels></Image>'
    )


def ome_block(t, z, c, page, name, number, planes=1):
    return (
        f'<TiffData FirstT="{t}" FirstZ="{z}" FirstC="{c}" IFD="{page}" PlaneCount="{planes}">'
        f'<UUID FileName="{name}">urn:uuid:{number}</UUID></TiffData>'
    )


def write_tif(path, pages, description, **options):
    with tifffile.TiffWriter(path, ome=False) as file:
        for k, page in enumerate(pages):
            text = None if k else description
            file.write(page, contiguous=False, metadata=None, description=text, **options)


def write_mmstack(directory, array, cuts, named=False):
    """As Micro-Manager 2.0: the header in the first file; the others name it."""
    pages = array.reshape(-1, *array.shape[-2:])
    bounds = [0, *cuts, len(pages)]
    names = [f"a_MMStack{f'_{i}' if i else ''}.ome.tif" for i in range(len(bounds) - 1)]
    blocks = ""
    for k, place in enumerate(np.ndindex(array.shape[:3])):
        file = int(np.searchsorted(bounds, k, side="right")) - 1
        blocks += ome_block(*place, k - bounds[file], names[file], file)
    link = f'<BinaryOnly MetadataFile="{names[0]}" UUID="urn:uuid:0"/>'
    for i, name in enumerate(names):
        content = link if i else ome_image(array.shape, blocks)
        text = OME.format(uuid=i, content=content)
        path = directory / (f"renamed{i}.tif" if named else name)
        write_tif(path, pages[bounds[i] : bounds[i + 1]], text)


@pytest.mark.parametrize("named", [False, True])
def test_volumes_that_go_on_in_the_next_file(tsc, write, named):
    array = movie()
    path = write(lambda d: write_mmstack(d, array, [7, 17], named))
    for channel in (0, 1):
        images = tsc.loadImages(path, channel=channel)
        np.testing.assert_array_equal(images.toArray(), volumes(array, channel))
        series = images.toSeries().toArray()
        np.testing.assert_array_equal(series, np.moveaxis(volumes(array, channel), 0, -1))
        assert images.metadata["frameInterval"] == 0.5
    cut = tsc.loadImages(path, channel=1, nplanes=1).toArray()
    np.testing.assert_array_equal(cut, array[:, :, 1].reshape(-1, 8, 9))
    pages = tsc.loadImages(path, nplanes=1).toArray()
    np.testing.assert_array_equal(pages, array.reshape(-1, 8, 9))
    with pytest.raises(ValueError, match="has 2 channels; choose one by channel=0"):
        tsc.loadImages(path)
    found = tsc.loadImages(path, channel=0, flyback=1).toArray()
    np.testing.assert_array_equal(found, volumes(array, 0)[..., :2])


def write_bruker(directory, array, digits=6):
    """As PrairieView 5: a page a file, the header of all in the first, the others name it."""
    names = {}
    for t, z, c in np.ndindex(array.shape[:3]):
        names[t, z, c] = f"TSeries-1_Cycle{t + 1:05}_Ch{c + 1}_{z + 1:0{digits}}.ome.tif"
    blocks = "".join(ome_block(*place, 0, name, name) for place, name in names.items())
    first = names[0, 0, 0]
    link = f'<BinaryOnly MetadataFile="{first}" UUID="urn:uuid:{first}"/>'
    for (t, z, c), name in names.items():
        content = ome_image(array.shape, blocks) if name == first else link
        write_tif(directory / name, array[t, z, c][None], OME.format(uuid=name, content=content))


def test_one_page_a_file(tsc, write):
    array = movie()
    path = write(lambda d: write_bruker(d, array))
    for channel in (0, 1):
        images = tsc.loadImages(path, channel=channel)
        np.testing.assert_array_equal(images.toArray(), volumes(array, channel))
        series = images.toSeries().toArray()
        np.testing.assert_array_equal(series, np.moveaxis(volumes(array, channel), 0, -1))
    some = tsc.loadImages(os.path.join(path, "*_Ch2_*.tif"), channel=1)
    np.testing.assert_array_equal(some.toArray(), volumes(array, 1))
    with pytest.raises(ValueError, match="of 2 channels it has pages of channel 1 alone"):
        tsc.loadImages(os.path.join(path, "*_Ch2_*.tif"))
    with pytest.raises(ValueError, match="3 planes of each volume"):
        tsc.loadImages(os.path.join(path, "*_Ch2_000001.ome.tif"), channel=1)


def test_a_header_in_each_file(tsc, write):
    """As Bio-Formats' bfconvert, a file for each time: each has the header of all."""
    array = movie((4, 3, 2, 8, 9))

    def make(directory):
        names = [f"t{t}.ome.tif" for t in range(4)]
        blocks = "".join(
            ome_block(t, z, c, 2 * z + c, names[t], t) for t, z, c in np.ndindex(4, 3, 2)
        )
        for t, name in enumerate(names):
            text = OME.format(uuid=t, content=ome_image(array.shape, blocks))
            write_tif(directory / name, array[t].reshape(-1, 8, 9), text)

    path = write(make)
    np.testing.assert_array_equal(tsc.loadImages(path, channel=1).toArray(), volumes(array, 1))
    some = tsc.loadImages(os.path.join(path, "t[12].ome.tif"), channel=1)
    np.testing.assert_array_equal(some.toArray(), volumes(array, 1)[1:3])
    one = tsc.loadImages(os.path.join(path, "t3.ome.tif"), channel=0)
    np.testing.assert_array_equal(one.toArray(), volumes(array, 0)[3:])


def test_a_companion_has_the_header(tsc, write):
    array = movie((4, 3, 1, 8, 9))

    def make(directory):
        names = [f"f{t}.ome.tiff" for t in range(4)]
        blocks = "".join(ome_block(t, 0, 0, 0, names[t], t, 3) for t in range(4))
        text = OME.format(uuid="x", content=ome_image(array.shape, blocks))
        (directory / "f.companion.ome").write_text(text)
        link = '<BinaryOnly MetadataFile="f.companion.ome" UUID="urn:uuid:x"/>'
        for t, name in enumerate(names):
            write_tif(directory / name, array[t, :, 0], OME.format(uuid=t, content=link))

    path = write(make)
    images = tsc.loadImages(os.path.join(path, "*.tiff"))
    np.testing.assert_array_equal(images.toArray(), volumes(array))


def test_sets_that_are_not_whole(tsc, write, shared_path):
    array = movie((6, 3, 1, 8, 9))
    path = write(lambda d: write_mmstack(d, array, [7, 14]))
    tsc.comm.Barrier()
    if tsc.rank == 0:
        os.remove(shared_path / "in" / "a_MMStack_2.ome.tif")
    tsc.comm.Barrier()
    with pytest.raises(FormatError, match="files that are not there, the first is a_MMStack_2"):
        tsc.loadImages(path)
    found = tsc.loadImages(path, incomplete="drop").toArray()
    np.testing.assert_array_equal(found, volumes(array)[:4])
    found = tsc.loadImages(path, stopIdx=3).toArray()
    np.testing.assert_array_equal(found, volumes(array)[:3])


def test_the_first_file_of_a_set_alone(tsc, write, shared_path):
    """A copy that was stopped: the file ends with a whole volume."""
    array = movie((6, 3, 1, 8, 9))
    path = write(lambda d: write_mmstack(d, array, [6]))
    tsc.comm.Barrier()
    if tsc.rank == 0:
        os.remove(shared_path / "in" / "a_MMStack_1.ome.tif")
    tsc.comm.Barrier()
    with pytest.raises(FormatError, match="files that are not there, the first is a_MMStack_1"):
        tsc.loadImages(path)
    for given in ("*.tif", "a_MMStack.ome.tif"):
        found = tsc.loadImages(os.path.join(path, given)).toArray()
        np.testing.assert_array_equal(found, volumes(array)[:2])
    found = tsc.loadImages(path, incomplete="drop").toArray()
    np.testing.assert_array_equal(found, volumes(array)[:2])


def test_files_of_two_sets(tsc, write, shared_path):
    path = write(lambda d: write_mmstack(d, movie(), [7]))
    if tsc.rank == 0:
        tifffile.imwrite(shared_path / "in" / "b_MMStack.ome.tif", movie()[0, 0, 0], metadata=None)
    tsc.comm.Barrier()
    with pytest.raises(ValueError, match=r"does not speak of 1 of the 3 files, as of b_MMStack"):
        tsc.loadImages(path, channel=0)


def write_skipped(directory, array, skipped, cut=12):
    """As Micro-Manager 2.0 where a channel skips frames or slices: two files, or one."""
    places = [place for place in np.ndindex(array.shape[:3]) if place not in skipped]
    names = ["a_MMStack.ome.tif", "a_MMStack_1.ome.tif"]
    blocks = "".join(
        ome_block(*place, k - cut * (k >= cut), names[k >= cut], int(k >= cut))
        for k, place in enumerate(places)
    )
    header = ome_image(array.shape, blocks)
    link = f'<BinaryOnly MetadataFile="{names[0]}" UUID="urn:uuid:0"/>'
    for i, (some, content) in enumerate(((places[:cut], header), (places[cut:], link))):
        if some:
            pages = [array[place] for place in some]
            write_tif(directory / names[i], pages, OME.format(uuid=i, content=content))


@pytest.mark.parametrize("cut", [12, 99], ids=["two files", "one file"])
def test_a_channel_of_every_second_time(tsc, write, cut):
    array = movie((5, 3, 2, 8, 9))
    skipped = {(t, z, 1) for t in (1, 3) for z in range(3)}
    path = write(lambda d: write_skipped(d, array, skipped, cut))
    every = tsc.loadImages(path, channel=0)
    assert every.metadata["frameInterval"] == 0.5
    images = tsc.loadImages(path, channel=1)
    np.testing.assert_array_equal(images.toArray(), volumes(array, 1)[::2])
    assert images.metadata["frameInterval"] == 1.0
    assert tsc.loadImages(path, channel=1, nplanes=3).metadata["frameInterval"] == 1.0
    planes = tsc.loadImages(path, channel=1, nplanes=1)
    assert planes.count() == 9
    assert "frameInterval" not in planes.metadata


def test_planes_that_a_channel_lacks(tsc, write):
    array = movie((4, 3, 2, 8, 9))
    skipped = {(t, z, 1) for t in range(4) for z in (0, 2)}
    path = write(lambda d: write_skipped(d, array, skipped))
    with pytest.raises(FormatError, match="nplanes=1 reads single planes"):
        tsc.loadImages(path, channel=1)
    found = tsc.loadImages(path, channel=1, nplanes=1).toArray()
    np.testing.assert_array_equal(found, array[:, 1, 1])
    found = tsc.loadImages(path, channel=0, nplanes=3, flyback=1).toArray()
    np.testing.assert_array_equal(found, volumes(array, 0)[..., :2])


def test_times_that_are_left_out_are_told(tsc, write, caplog):
    array = movie((4, 3, 2, 8, 9))
    path = write(lambda d: write_skipped(d, array, {(1, 1, 0)}))
    images = tsc.loadImages(path, channel=0, incomplete="drop")
    np.testing.assert_array_equal(images.toArray(), volumes(array, 0)[[0, 2, 3]])
    assert "frameInterval" not in images.metadata
    assert ("left out, as it is incomplete" in caplog.text) == (tsc.rank == 0)


@pytest.mark.parametrize("digits", [6, 8])
def test_names_win_over_the_headers_of_single_pages(tsc, write, shared_path, digits):
    array = movie((4, 3, 2, 8, 9))
    path = write(lambda d: write_bruker(d, array, digits))
    pattern = "TSeries-1_Cycle{t}_Ch{c}_{z}.ome.tif"
    found = tsc.loadImages(path, pattern=pattern, channel=1).toArray()
    np.testing.assert_array_equal(found, volumes(array, 1))
    tsc.comm.Barrier()
    if tsc.rank == 0:  # the header of all is in the first one
        for name in (shared_path / "in").glob("*_Cycle00001_*"):
            name.unlink()
    tsc.comm.Barrier()
    with pytest.raises(ValueError, match="speak of 3 times, 3 planes, 2 channels") as caught:
        tsc.loadImages(path)
    assert re.findall(r"pattern='([^']*)'", str(caught.value))[0] == pattern
    found = tsc.loadImages(path, pattern=pattern, channel=0).toArray()
    np.testing.assert_array_equal(found, volumes(array, 0)[1:])


def test_positions(tsc, write):
    array = movie((4, 1, 1, 8, 9))

    def make(directory):
        text = ""
        for p in (0, 1):
            blocks = "".join(ome_block(t, 0, 0, t, f"p{p}.ome.tif", p) for t in range(4))
            text += ome_image(array.shape, blocks, number=p)
        for p in (0, 1):
            description = OME.format(uuid=p, content=text)
            write_tif(directory / f"p{p}.ome.tif", array[:, 0, 0] + p, description)

    path = write(make)
    with pytest.raises(ValueError, match=r"describes 2 images \(positions\)"):
        tsc.loadImages(path)
    one = tsc.loadImages(os.path.join(path, "p1*.tif"))
    np.testing.assert_array_equal(one.toArray(), array[:, 0, 0] + 1)


def test_by_the_command_line(tsc, command, write):
    array = movie()
    path = write(lambda d: write_named(d, array, "t{t}/z{z}_c{c}.tif"))
    command("stats", path, "out", "--pattern", "t{t}/z{z}_c{c}.tif", "--channel", 1)
    command("to-series", path, "series", "--pattern", "t{t}/z{z}_c{c}.tif", "--channel", 1)
    found = tsc.loadSeries("series").toArray()
    np.testing.assert_array_equal(found, np.moveaxis(volumes(array, 1), 0, -1))


# -- recordings of ScanImage in several files ----------------------------------------------

SCANIMAGE = """SI.VERSION_MAJOR = 2020
SI.hChannels.channelSave = [1;2]
SI.hStackManager.enable = true
SI.hStackManager.actualNumSlices = 3
SI.hStackManager.framesPerSlice = 1
SI.hStackManager.numVolumes = 100
SI.hFastZ.enable = true
SI.hFastZ.numFramesPerVolume = 4
SI.hScan2D.logAverageFactor = 1
SI.hRoiManager.scanFrameRate = 20
SI.hRoiManager.scanVolumeRate = 5"""


def write_scanimage(directory, array, cuts, recording=1, flyback=1):
    """As ScanImage 2020: two channels, a frame of flyback; a file goes on where the last ended."""
    t, z, c, rows, columns = array.shape
    whole = np.zeros((t, z + flyback, c, rows, columns), array.dtype)
    whole[:, :z] = array
    pages = whole.reshape(-1, rows, columns)
    bounds = [0, *cuts, len(pages)]
    for file, (a, b) in enumerate(itertools.pairwise(bounds)):
        path = directory / f"scan_{recording:05}_{file + 1:05}.tif"
        with tifffile.TiffWriter(path, bigtiff=True) as written:
            for k in range(a, b):
                text = f"frameNumbers = {k // c + 1}\nframeTimestamps_sec = {k // c * 0.05}\n"
                written.write(
                    pages[k], contiguous=False, metadata=None, software=SCANIMAGE, description=text
                )


def test_volumes_of_scanimage_go_on_in_the_next_file(tsc, write, shared_path):
    array = movie(dtype="int16")
    path = write(lambda d: write_scanimage(d, array, [10, 22]))
    for channel in (0, 1):
        images = tsc.loadImages(path, channel=channel)
        np.testing.assert_array_equal(images.toArray(), volumes(array, channel))
        assert images.metadata["frameInterval"] == 0.2
    with pytest.raises(ValueError, match=r"2 channels \(0 Channel 1, 1 Channel 2\)"):
        tsc.loadImages(path)
    write(lambda d: write_scanimage(d, array[:2] + 1, [8], 2))
    images = tsc.loadImages(path, channel=0)
    want = np.concatenate([volumes(array, 0), volumes(array[:2] + 1, 0)])
    np.testing.assert_array_equal(images.toArray(), want)
    tsc.comm.Barrier()
    if tsc.rank == 0:
        os.remove(shared_path / "in" / "scan_00001_00002.tif")
    tsc.comm.Barrier()
    with pytest.raises(FormatError, match="its first frame is number 12, but the files before"):
        tsc.loadImages(path, channel=0)


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("channelSave = [1;2]", "channelSave = 1"),
        ("actualNumSlices = 3", "actualNumSlices = 2"),
        ("hFastZ.numFramesPerVolume = 4", "hFastZ.numFramesPerVolume = 3"),
    ],
)
def test_another_recording_of_scanimage_beside_it(tsc, write, monkeypatch, said, instead):
    array = movie(dtype="int16")

    def make(directory):
        write_scanimage(directory, array, [10])
        monkeypatch.setattr("tests.readers.test_file_sets.SCANIMAGE", other)
        write_scanimage(directory, array[:3], [], 2)

    other = SCANIMAGE.replace(said, instead)
    path = write(make)
    for given in ({}, {"incomplete": "drop"}, {"stopIdx": 3}):
        with pytest.raises(FormatError, match=r"scan_00002_00001\.tif: is of another recording"):
            tsc.loadImages(path, channel=0, **given)
    one = tsc.loadImages(os.path.join(path, "scan_00001_*.tif"), channel=0)
    np.testing.assert_array_equal(one.toArray(), volumes(array, 0))


def test_a_channel_was_taken_out_of_a_file_of_scanimage(tsc, write):
    """By another program, which left the header of two channels: eight pages would fit it."""
    pages = movie((8, 8, 9), "int16")

    def make(directory):
        with tifffile.TiffWriter(directory / "scan_00001.tif", bigtiff=True) as file:
            for k, page in enumerate(pages):
                text = f"frameNumbers = {k + 1}\n"
                given = {"software": SCANIMAGE, "description": text, "metadata": None}
                file.write(page, contiguous=False, **given)

    path = write(make)
    with pytest.raises(ValueError, match=r"of the frames 1 and 2: another program has taken"):
        tsc.loadImages(path, channel=0)
    found = tsc.loadImages(path, nplanes=4, flyback=1).toArray()
    np.testing.assert_array_equal(found, np.moveaxis(pages.reshape(2, 4, 8, 9)[:, :3], 1, -1))


def test_a_file_of_scanimage_is_missing_between_whole_volumes(tsc, write, shared_path):
    array = movie(dtype="int16")
    path = write(lambda d: write_scanimage(d, array, [8, 24]))
    tsc.comm.Barrier()
    if tsc.rank == 0:
        os.remove(shared_path / "in" / "scan_00001_00002.tif")
    tsc.comm.Barrier()
    with pytest.raises(FormatError, match=r"number 13, but the files before it end before frame 5"):
        tsc.loadImages(path, channel=0)
    some = tsc.loadImages(os.path.join(path, "*.tif"), channel=0)
    np.testing.assert_array_equal(some.toArray(), volumes(array, 0)[[0, 3, 4]])


def test_a_recording_of_scanimage_that_was_stopped(tsc, write, shared_path):
    array = movie(dtype="int16")
    path = write(lambda d: write_scanimage(d, array, [10, 22]))
    tsc.comm.Barrier()
    if tsc.rank == 0:
        os.remove(shared_path / "in" / "scan_00001_00003.tif")
    tsc.comm.Barrier()
    with pytest.raises(FormatError, match="last volume is not whole: 6 of 8 pages are there"):
        tsc.loadImages(path, channel=0)
    for given in ({"incomplete": "drop"}, {"stopIdx": 2}):
        found = tsc.loadImages(path, channel=1, **given).toArray()
        np.testing.assert_array_equal(found, volumes(array, 1)[:2])


# -- image stacks of Micro-Manager whose OME header is lost --------------------------------


def write_unended(path, array, ended, order="CZT"):
    """As Micro-Manager 1.4 and 2.0: marks, places and the summary stand behind the file's head."""
    pages = np.moveaxis(array, [0, 1, 2], ["TZC".index(a) for a in order[::-1]])
    places = [*np.ndindex(pages.shape[:3])]
    summary = json.dumps(
        {
            "MicroManagerVersion": "2.0.0",
            "ChNames": ["DAPI", "GFP"],
            "Channels": array.shape[2],
            "Slices": array.shape[1],
            "SlicesFirst": order == "ZCT",
        }
    ).encode()
    rows, columns = array.shape[-2:]
    content = bytearray(40) + summary + bytes(len(summary) % 2)
    entries, pointer = [], 4
    for place in places:
        numbers = dict(zip(order[::-1], place, strict=True))
        data = pages[place].tobytes()
        begin = len(content)
        content += data
        struct.pack_into("<I", content, pointer, len(content))
        entries.append([numbers["C"], numbers["Z"], numbers["T"], 0, len(content)])
        tags = [(256, columns), (257, rows), (258, 16), (259, 1), (262, 1), (273, begin)]
        tags += [(277, 1), (278, rows), (279, len(data))]
        content += struct.pack("<H", len(tags))
        for tag, value in tags:
            content += struct.pack("<HHII", tag, 4, 1, value)
        pointer = len(content)
        content += bytes(4)
    struct.pack_into("<2sHI", content, 0, b"II", 42, struct.unpack_from("<I", content, 4)[0])
    struct.pack_into("<II", content, 32, 2355492, len(summary))
    if ended:
        struct.pack_into("<II", content, 8, 54773648, len(content))
        content += struct.pack("<II", 3453623, len(entries))
        content += np.array(entries, "<u4").tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize("order", ["CZT", "ZCT"])
def test_the_index_of_micromanager(tsc, write, order):
    array = movie()
    path = write(lambda d: write_unended(d / "a_MMStack.tif", array, True, order))
    for channel in (0, 1):
        images = tsc.loadImages(path, channel=channel)
        np.testing.assert_array_equal(images.toArray(), volumes(array, channel))
    with pytest.raises(ValueError, match="has 2 channels"):
        tsc.loadImages(path)


@pytest.mark.parametrize("order", ["CZT", "ZCT"])
def test_a_stack_that_micromanager_has_not_ended(tsc, write, order):
    array = movie()
    path = write(lambda d: write_unended(d / "a_MMStack.tif", array, False, order))
    with pytest.raises(ValueError, match="has not ended this file") as caught:
        tsc.loadImages(path)
    found = dict(re.findall(r"(nchannels|nplanes|order)='?(\w+)'?", str(caught.value)))
    given = {"nchannels": int(found["nchannels"]), "nplanes": int(found["nplanes"])}
    images = tsc.loadImages(path, channel=1, order=found["order"], **given)
    np.testing.assert_array_equal(images.toArray(), volumes(array, 1))
    pages = tsc.loadImages(path, nplanes=1)
    assert pages.count() == 30
