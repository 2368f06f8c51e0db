"""What microscopes' programs write as TIFF: the pages of channels, planes and times in one file."""

import json
import struct
from itertools import product

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from mpimages.cli import cli
from mpimages.errors import FormatError
from mpimages.readers import Options, get

from ..support.data import recording, same_bits
from ..support.recordings import imagej_description, read_all, tif_bytes, volumes

TIF = get("tif")


def inspect(path, **given):
    return TIF.inspect(str(path), Options(**given))


def mpimages(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


def signed(*shape):
    """Values of both signs."""
    count = int(np.prod(shape))
    return (np.arange(count) * 37 % 3001 - 1500).astype("i2").reshape(shape)


def images_of(movie, channel):
    """(time, plane, channel, row, column) as images of one channel."""
    chosen = np.moveaxis(movie[:, :, channel], 1, -1)
    return chosen[..., 0] if chosen.shape[-1] == 1 else chosen


# ---- arguments: nplanes, nchannels, order, flyback


@pytest.mark.parametrize("order", ["CZT", "CTZ", "ZCT", "ZTC", "TCZ", "TZC"])
@pytest.mark.parametrize("text", ["", imagej_description(24, channels=24)])
def test_order(tmp_path, order, text):
    movie = recording(4, (3, 2, 5, 6), "uint16")  # time, plane, channel
    path = tmp_path / "a.tif"
    stored = movie.transpose(*("TZC".index(axis) for axis in order[::-1]), 3, 4)
    path.write_bytes(tif_bytes(stored.reshape(-1, 5, 6), description=text))
    given = {"nplanes": 3, "nchannels": 2, "order": order}
    for channel in (0, 1):
        found = read_all("tif", path, channel=channel, **given)
        np.testing.assert_array_equal(found, images_of(movie, channel))
        found = read_all("tif", path, channel=channel, flyback=1, **given)
        np.testing.assert_array_equal(found, images_of(movie[:, :2], channel))
        found = read_all("tif", path, channel=channel, flyback=(0, 2), **given)
        np.testing.assert_array_equal(found, images_of(movie[:, 1:2], channel))
    axes = inspect(path, channel=1, **given).found["axes"]
    assert axes == {"T": 4, "Z": 3, "C": 2}
    assert "".join(axes) == order


@pytest.mark.parametrize("text", ["", imagej_description(12, slices=3, frames=4)])
def test_flyback_of_volumes(tmp_path, text):
    pages = recording(12, (5, 6), "uint8")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=text))
    want = volumes(pages, 3)
    np.testing.assert_array_equal(read_all("tif", path, nplanes=3, flyback=1), want[..., :2])
    np.testing.assert_array_equal(read_all("tif", path, nplanes=3, flyback=(1,)), want[..., ::2])
    np.testing.assert_array_equal(read_all("tif", path, nplanes=3, flyback=2), want[..., 0])
    np.testing.assert_array_equal(read_all("tif", path, nplanes="all", flyback=11), pages[:1])
    if text:
        np.testing.assert_array_equal(read_all("tif", path, flyback=1), want[..., :2])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"order": "ZCT"}, "order='ZCT' has no effect"),
        ({"order": "CZT", "nplanes": 1}, "order='CZT' has no effect"),
        ({"order": "CZT", "nplanes": "all", "nchannels": 1}, "order='CZT' has no effect"),
        ({"order": "ZCT", "nplanes": 3, "channel": 0}, "nchannels="),
        ({"flyback": 1}, "flyback=1.*nplanes="),
        ({"flyback": 1, "nchannels": 2, "channel": 0}, "flyback=1.*nplanes="),
        ({"nplanes": 1, "flyback": 1}, "flyback=1"),
        ({"nplanes": 3, "flyback": 3}, "flyback=3"),
        ({"nplanes": 3, "flyback": (0, 3)}, "flyback="),
        ({"channel": 0, "nplanes": 3, "flyback": 1}, "channel=0.*nothing says"),
        ({"nplanes": 5, "order": "ZTC", "nchannels": 2, "channel": 0}, "nplanes="),
    ],
)
def test_arguments_without_effect(tmp_path, given, told):
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(recording(12, (5, 6), "uint8")))
    with pytest.raises(ValueError, match=rf"a\.tif.*{told}"):
        inspect(path, **given)


def test_what_is_left_over_in_other_orders(tmp_path):
    """Only of the slowest axis it is known that the last pages are missing."""
    path = tmp_path / "a.tif"
    pages = recording(11, (5, 6), "uint8")
    path.write_bytes(tif_bytes(pages))
    given = {"nchannels": 2, "channel": 1, "incomplete": "drop"}
    found = read_all("tif", path, nplanes=2, order="ZCT", **given)
    np.testing.assert_array_equal(found, np.moveaxis(pages[:8].reshape(2, 2, 2, 5, 6)[:, 1], 1, -1))
    with pytest.raises(ValueError, match="last 1"):
        inspect(path, nplanes=2, order="ZTC", **given)


# ---- ScanImage


def scanimage(path, pages, lines, where="software", frame="", artist=None, big=True):
    """A file as ScanImage writes it: its header in a tag, or behind the file's head."""
    header = "\n".join(lines)
    if where == "head":
        with tifffile.TiffWriter(path, bigtiff=True) as file:
            pass
        regions = (artist or "").encode() + b"\0"
        text = header.encode() + b"\0"
        block = struct.pack("<IIII", 117637889, 3, len(text), len(regions)) + text + regions
        block += bytes(-len(block) % 16)
        content = tif_bytes(pages, big=True, description=frame)
        path.write_bytes(shifted(content, block))
        return
    with tifffile.TiffWriter(path, bigtiff=big) as file:
        for page in pages:
            file.write(
                page, contiguous=False, metadata=None,
                software=header if where == "software" else None,
                description=frame if where == "software" else f"{frame}\n{header}",
                extratags=[(315, 2, 0, artist, True)] if artist else (),
            )  # fmt: skip


def shifted(content, block):
    """A BigTIFF of plain pages with a block behind its head."""
    (first,) = struct.unpack_from("<Q", content, 8)
    content = bytearray(content)
    at = first
    while at:
        (count,) = struct.unpack_from("<Q", content, at)
        for k in range(count):
            entry = at + 8 + 20 * k
            tag, kind, many = struct.unpack_from("<HHQ", content, entry)
            if tag == 273 or many * {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 16: 8}[kind] > 8:
                (place,) = struct.unpack_from("<Q", content, entry + 12)
                struct.pack_into("<Q", content, entry + 12, place + len(block))
        follow = at + 8 + 20 * count
        (at,) = struct.unpack_from("<Q", content, follow)
        if at:
            struct.pack_into("<Q", content, follow, at + len(block))
    struct.pack_into("<Q", content, 8, first + len(block))
    return bytes(content[:16] + block + content[16:])


V2023 = [  # ScanImage 2023.1: hStackManager tells all, hFastZ.discardFlybackFrames nothing
    "SI.VERSION_MAJOR = 2023",
    "SI.VERSION_MINOR = 1",
    "SI.hChannels.channelSave = [1;3]",
    "SI.hStackManager.enable = true",
    "SI.hStackManager.numSlices = 7",
    "SI.hStackManager.actualNumSlices = 2",
    "SI.hStackManager.framesPerSlice = 1",
    "SI.hStackManager.numVolumes = 4",
    "SI.hStackManager.actualNumVolumes = 4",
    "SI.hStackManager.numFramesPerVolume = 2",
    "SI.hStackManager.numFramesPerVolumeWithFlyback = 3",
    "SI.hFastZ.discardFlybackFrames = true",
    "SI.hFastZ.enable = true",
    "SI.hRoiManager.scanFrameRate = 30",
    "SI.hRoiManager.scanVolumeRate = 10",
    "SI.hScan2D.logAverageFactor = 1",
]
V2016 = [  # ScanImage 2016b: the frames of a volume are counted with its flyback
    "SI.VERSION_MAJOR = '2016b'",
    "SI.hChannels.channelSave = [1;3]",
    "SI.hStackManager.numSlices = 2",
    "SI.hStackManager.framesPerSlice = 1",
    "SI.hFastZ.enable = true",
    "SI.hFastZ.numFramesPerVolume = 3",
    "SI.hFastZ.numVolumes = 4",
    "SI.hFastZ.discardFlybackFrames = true",
    "SI.hFastZ.numDiscardFlybackFrames = 1",
    "SI.hRoiManager.scanFrameRate = 30",
]
V2015 = [line.replace("SI.", "scanimage.SI.", 1) for line in V2016[1:]]
V4 = [  # ScanImage 4.2
    "scanimage.SI4.channelsSave = [1;3]",
    "scanimage.SI4.stackNumSlices = 2",
    "scanimage.SI4.fastZEnable = true",
    "scanimage.SI4.fastZNumVolumes = 4",
    "scanimage.SI4.fastZDiscardFlybackFrames = true",
    "scanimage.SI4.fastZNumDiscardFrames = 1",
    "scanimage.SI4.scanFrameRate = 30",
    "scanimage.SI4.acqNumAveragedFrames = 1",
]
FAST = {
    "2023": (V2023, "software", "ScanImage 2023.1"),
    "2016b": (V2016, "software", "ScanImage 2016b"),
    "2016b behind the head": (V2016, "head", "ScanImage 2016b"),
    "2015": (V2015, "description", "ScanImage"),
    "4": (V4, "description", "ScanImage 4"),
}
EPOCH = "frameNumbers = 1\nframeTimestamps_sec = 1.5\nepoch = [2020  1 13 14 52 7.25]"


@pytest.mark.parametrize("version", FAST)
def test_scanimage_volumes(tmp_path, version):
    lines, where, program = FAST[version]
    movie = signed(4, 3, 2, 8, 9)
    path = tmp_path / "a.tif"
    scanimage(path, movie.reshape(-1, 8, 9), lines, where, EPOCH)
    for channel in (0, 1):
        found = read_all("tif", path, channel=channel)
        assert same_bits(found, images_of(movie[:, :2], channel))
    header = inspect(path, channel=1)
    assert header.layout["kind"] == "scanimage"
    assert header.found["program"] == program
    assert header.found["channels"] == ["Channel 1", "Channel 3"]
    assert header.found["axes"] == {"C": 2, "Z": 2, "T": 4}
    assert header.found["startTime"] == "2020-01-13T14:52:08.750"
    assert header.metadata["frameInterval"] == pytest.approx(0.1)
    assert header.layout["order"] == {
        "order": "CZT", "channels": 2, "planes": 3, "flyback": (2,), "repeats": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match="has 2 channels; choose one by channel=0 to channel=1"):
        inspect(path)
    # Arguments win.
    assert same_bits(read_all("tif", path, nplanes=1), movie.reshape(-1, 8, 9))
    assert same_bits(read_all("tif", path, channel=0, flyback=(0,)), images_of(movie[:, 1:], 0))
    given = {"channel": 0, "nchannels": 2, "nplanes": 3, "flyback": 1}
    assert same_bits(read_all("tif", path, **given), images_of(movie[:, :2], 0))
    assert "order" not in inspect(path, **given).layout
    single = inspect(path, nplanes=1, channel=0)
    assert single.metadata["frameInterval"] == pytest.approx(1 / 30)


def test_scanimage_flyback_of_one_slice(tmp_path):
    path = tmp_path / "a.tif"
    movie = signed(4, 2, 2, 8, 9)
    said = {"actualNumSlices": 1, "numFramesPerVolume": 1, "numFramesPerVolumeWithFlyback": 2}
    more = [f"SI.hStackManager.{name} = {value}" for name, value in said.items()]
    lines = [line for line in V2023 if line.split(" =")[0].rpartition(".")[2] not in said]
    lines = [line for line in lines if "scanVolumeRate" not in line]
    scanimage(path, movie.reshape(-1, 8, 9), [*lines, *more])
    assert same_bits(read_all("tif", path, channel=1), movie[:, 0, 1])
    assert inspect(path, channel=1).metadata["frameInterval"] == pytest.approx(2 / 30)


def test_scanimage_stopped_early(tmp_path):
    path = tmp_path / "a.tif"
    movie = signed(4, 3, 2, 8, 9)
    scanimage(path, movie.reshape(-1, 8, 9)[:15], V2023)
    with pytest.raises(FormatError, match=r"15 pages have 3 left over.*nplanes="):
        inspect(path, channel=0)
    found = read_all("tif", path, channel=0, incomplete="drop")
    assert same_bits(found, images_of(movie[:2, :2], 0))
    scanimage(path, movie.reshape(-1, 8, 9)[:12], V2023)
    assert same_bits(read_all("tif", path, channel=1), images_of(movie[:2, :2], 1))


MOVIES = {
    "2018, two channels": (
        ["SI.hChannels.channelSave = [1;2]", "SI.hFastZ.enable = false",
         "SI.hStackManager.numSlices = 1", "SI.hStackManager.framesPerSlice = Inf",
         "SI.hRoiManager.scanFrameRate = 25", "SI.hScan2D.logAverageFactor = 5"], 2, 1, 1, 0.2,
    ),
    "a stack of 3.8, frames not averaged": (
        ["state.software.version=3.8", "state.acq.savingChannel1=1", "state.acq.savingChannel2=0",
         "state.acq.savingChannel3=1", "state.acq.numberOfZSlices=3", "state.acq.numberOfFrames=4",
         "state.acq.averaging=0", "state.acq.frameRate=2"], 2, 3, 4, None,
    ),
    "a stack of 3.8, frames averaged": (
        ["state.software.version=3.8", "state.acq.numberOfChannelsSave=2",
         "state.acq.numberOfZSlices=3", "state.acq.numberOfFrames=4", "state.acq.averaging=1",
         "state.acq.numAvgFramesSave=4"], 2, 3, 1, None,
    ),
    "a stack of 2020, several frames of a slice": (
        ["SI.hChannels.channelSave = 2", "SI.hStackManager.enable = true",
         "SI.hStackManager.actualNumSlices = 3", "SI.hStackManager.framesPerSlice = 8",
         "SI.hStackManager.numFramesPerVolume = 24",
         "SI.hStackManager.numFramesPerVolumeWithFlyback = 24", "SI.hStackManager.numVolumes = 1",
         "SI.hScan2D.logAverageFactor = 2"], 1, 3, 4, None,
    ),
    "flyback once, several frames of a slice": (
        ["SI.hChannels.channelSave = [1;2]", "SI.hStackManager.enable = true",
         "SI.hStackManager.actualNumSlices = 3", "SI.hStackManager.framesPerSlice = 4",
         "SI.hStackManager.numFramesPerVolume = 12",
         "SI.hStackManager.numFramesPerVolumeWithFlyback = 13"], 2, 3, 4, None,
    ),
    "2020, what is said of slices is of an earlier recording": (
        ["SI.hChannels.channelSave = 1", "SI.hStackManager.enable = false",
         "SI.hStackManager.numSlices = 11", "SI.hFastZ.enable = false"], 1, 1, 1, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVIES)
def test_scanimage_movies_and_stacks(tmp_path, name):
    lines, channels, planes, repeats, interval = MOVIES[name]
    path = tmp_path / "a.tif"
    turns = 2 if planes == 1 or "1" not in lines[-2].partition("numVolumes")[2] else 1
    turns = 6 if planes == 1 else turns
    tail = 1 if "flyback" in name else 0
    stored = signed(turns, planes * repeats + tail, channels, 8, 9)
    scanimage(path, stored.reshape(-1, 8, 9), lines, "software" if "SI." in lines[0] else "text")
    own = stored[:, : planes * repeats].reshape(turns, planes, repeats, channels, 8, 9)
    movie = own.swapaxes(1, 2).reshape(turns * repeats, planes, channels, 8, 9)
    for channel in range(channels):
        assert same_bits(read_all("tif", path, channel=channel), images_of(movie, channel))
    metadata = inspect(path, channel=0).metadata
    assert metadata.get("frameInterval") == (None if interval is None else pytest.approx(interval))


def test_scanimage_carriage_returns(tmp_path):
    """ScanImage 3 parts its lines by them."""
    path = tmp_path / "a.tif"
    pages = signed(12, 8, 9)
    text = "state.configName='x'\rstate.acq.numberOfChannelsSave=2\rstate.acq.numberOfZSlices=3\r"
    path.write_bytes(tif_bytes(pages, description=text))
    assert same_bits(read_all("tif", path, channel=1), volumes(pages[1::2], 3))


WRONG = {
    "frames of a volume": [*V2023[:9], "SI.hStackManager.numFramesPerVolume = 5", *V2023[10:]],
    "more pages": [*V2023[:7], "SI.hStackManager.actualNumVolumes = 2", *V2023[9:]],
    "frames that cannot be averaged": [
        "SI.hChannels.channelSave = 1", "SI.hStackManager.enable = true",
        "SI.hStackManager.actualNumSlices = 3", "SI.hStackManager.framesPerSlice = 3",
        "SI.hScan2D.logAverageFactor = 2",
    ],
    "frames without end": [
        "SI.hChannels.channelSave = 1", "SI.hStackManager.enable = true",
        "SI.hStackManager.actualNumSlices = 3", "SI.hStackManager.framesPerSlice = Inf",
    ],
    "discarded or not": [*V4[:3], "scanimage.SI4.fastZNumVolumes = 7", *V4[4:]],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_scanimage_header_that_does_not_fit(tmp_path, name):
    path = tmp_path / "a.tif"
    pages = signed(24, 8, 9)
    where = "text" if "SI4" in WRONG[name][0] else "software"
    scanimage(path, pages, WRONG[name], where)
    with pytest.raises(ValueError, match=r"a\.tif: ScanImage: .*nchannels=.*nplanes=.*flyback="):
        inspect(path, channel=0)
    assert same_bits(read_all("tif", path, nplanes=1), pages)
    found = read_all("tif", path, nchannels=2, nplanes=3, flyback=1, channel=0)
    assert same_bits(found, volumes(pages[::2], 3)[..., :2])


@pytest.mark.parametrize("where", ["software", "head"])
@pytest.mark.parametrize("regions", [1, 2, None])
def test_scanimage_strips_of_regions(tmp_path, where, regions):
    path = tmp_path / "a.tif"
    pages = signed(4, 8, 9)
    rois = [{"scanfields": {"name": "x"}}] * (regions or 0)
    text = json.dumps({"RoiGroups": {"imagingRoiGroup": {"rois": rois}}}) if regions else "{"
    lines = ["SI.hChannels.channelSave = 1", "SI.hRoiManager.mroiEnable = true"]
    scanimage(path, pages, lines, where, artist=text)
    if regions == 1:
        assert same_bits(read_all("tif", path), pages)
        return
    with pytest.raises(ValueError, match=r"regions \(mROI\).*nplanes=1"):
        inspect(path)
    assert same_bits(read_all("tif", path, nplanes=1), pages)


@pytest.mark.ranks
def test_scanimage_on_ranks(tsc, shared_path):
    path = shared_path / "scan_00001.tif"
    movie = signed(4, 3, 2, 8, 9)
    if tsc.rank == 0:
        scanimage(path, movie.reshape(-1, 8, 9), V2023)
    tsc.comm.Barrier()
    images = tsc.loadImages(path, channel=1)
    assert same_bits(images.toArray(), images_of(movie[:, :2], 1))
    assert same_bits(images.toSeries().toArray(), np.moveaxis(images_of(movie[:, :2], 1), 0, -1))
    with pytest.raises(ValueError, match="2 channels"):
        tsc.loadImages(path)


# ---- MetaMorph STK


def stk_bytes(pages, steps, times, strips=1, extra=()):
    """An STK as MetaMorph 7 writes it: the UIC tags, and one page for all planes."""
    count = len(pages)
    rows = [(int(s), 1, 2_458_862, int(t), 0, 0) for s, t in zip(steps, times, strict=True)]
    table = b"".join(struct.pack("<6I", *row) for row in rows)
    content = tif_bytes(pages, directories=1, strips=strips)
    (first,) = struct.unpack_from("<I", content, 4)
    (number,) = struct.unpack_from("<H", content, first)
    entries = content[first + 2 : first + 2 + 12 * number]
    place = len(content)
    tags = [entries[k : k + 12] for k in range(0, len(entries), 12)]
    tags = [tag for tag in tags if struct.unpack_from("<H", tag)[0] not in dict(extra)]
    tags += [struct.pack("<HHII", 33628, 4, 0, 0), struct.pack("<HHII", 33629, 5, count, place)]
    tags += [struct.pack("<HHII", tag, 3, 1, value) for tag, value in dict(extra).items()]
    tags.sort(key=lambda tag: struct.unpack_from("<H", tag)[0])
    directory = struct.pack("<H", len(tags)) + b"".join(tags) + bytes(4)
    return content[:4] + struct.pack("<I", place + len(table)) + content[8:] + table + directory


@pytest.mark.parametrize("strips", [1, 4])
@pytest.mark.parametrize(
    ("steps", "times", "movie", "sure"),
    [
        ([0, 0, 0, 0], [0, 250, 500, 750], True, True),
        ([0, 3, 3, 3], [0, 250, 500, 750], False, True),
        ([0, 0, 0, 0], [0, 0, 0, 0], False, False),
        ([0, 3, 0, 3], [0, 250, 500, 750], False, False),
    ],
)
def test_stk(tmp_path, strips, steps, times, movie, sure):
    pages = recording(4, (8, 9), "uint16")
    path = tmp_path / "a.stk"
    path.write_bytes(stk_bytes(pages, steps, times, strips))
    np.testing.assert_array_equal(read_all("tif", path), pages if movie else volumes(pages, 4))
    for given, want in (
        ({"nplanes": 1}, pages),
        ({"nplanes": 2}, volumes(pages, 2)),
        ({"nplanes": "all"}, volumes(pages, 4)),
        ({"nchannels": 2, "channel": 1, "nplanes": 1}, pages[1::2]),
    ):
        np.testing.assert_array_equal(read_all("tif", path, **given), want)
    header = inspect(path)
    assert header.metadata == ({"frameInterval": 0.25} if movie else {})
    assert header.found["startTime"] == "2020-01-13T00:00:00.000"
    assert ("uncertain" not in header.found) is sure
    with pytest.raises(ValueError, match="nothing says"):
        inspect(path, channel=0)


def test_stk_that_is_not_read(tmp_path):
    pages = recording(4, (8, 9), "uint16")
    path = tmp_path / "a.stk"
    content = stk_bytes(pages, [0] * 4, [0] * 4)
    path.write_bytes(stk_bytes(pages, [0] * 4, [0] * 4, extra={259: 5}))
    with pytest.raises(FormatError, match="compressed"):
        inspect(path)
    cut = bytearray(content)
    at = content.index(struct.pack("<HHI", 33629, 5, 4)) + 4
    struct.pack_into("<I", cut, at, 40)
    path.write_bytes(cut)
    with pytest.raises(FormatError):
        inspect(path)


@pytest.mark.ranks
def test_stk_on_ranks(tsc, shared_path):
    path = shared_path / "a.stk"
    pages = recording(4, (8, 9), "uint16")
    if tsc.rank == 0:
        path.write_bytes(stk_bytes(pages, [0] * 4, [0, 1, 2, 3]))
    tsc.comm.Barrier()
    assert same_bits(tsc.loadImages(path).toArray(), pages)


# ---- Zeiss LSM, Olympus FluoView


def test_lsm_of_two_channels(tmp_path):
    """Zeiss' older programs put the bits of two values where four bytes would not need it."""
    movie = recording(4, (3, 2, 16, 18), "uint16")
    path = tmp_path / "a.lsm"
    lsm(path, movie)
    content = bytearray(path.read_bytes())
    want = images_of(movie, 1)
    np.testing.assert_array_equal(read_all("tif", path, channel=1), want)
    content += struct.pack("<HH", 16, 16)
    entry = struct.pack("<HHIHH", 258, 3, 2, 16, 16)
    moved = struct.pack("<HHII", 258, 3, 2, len(content) - 4)
    path.write_bytes(content.replace(entry, moved))
    np.testing.assert_array_equal(read_all("tif", path, channel=1), want)


def lsm(path, movie, scan=6, thumbnails=True, sizes=None, compression=None):
    """An LSM as the Zeiss LSM 510 writes it: movie is (time, plane, channel, row, column)."""
    times, planes, channels, rows, columns = sizes or movie.shape
    block = bytearray(512)
    struct.pack_into(
        "<II7i", block, 0, 0x0400494C, 512, columns, rows, planes, channels, times, 2, 4
    )
    struct.pack_into("<3d", block, 40, 5e-7, 2.5e-7, 1e-6)
    struct.pack_into("<H", block, 88, scan)
    struct.pack_into("<d", block, 112, 0.5)
    with tifffile.TiffWriter(path) as file:
        for k, page in enumerate(movie.reshape(-1, *movie.shape[2:])):
            tags = [(34412, 1, 512, bytes(block), True)] if k == 0 else []
            several = movie.shape[2] > 1
            file.write(
                page if several else page[0], photometric="minisblack", metadata=None,
                planarconfig="separate" if several else None, extratags=tags, contiguous=False,
                compression=compression,
            )  # fmt: skip
            if thumbnails:
                file.write(
                    np.zeros((4, 4, 3), "u1"), photometric="rgb", metadata=None, subfiletype=1,
                    contiguous=False,
                )  # fmt: skip


@pytest.mark.parametrize("compression", [None, "lzw"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lsm(tmp_path, channels, compression):
    movie = recording(4, (3, channels, 16, 18), "uint16")
    path = tmp_path / "a.lsm"
    lsm(path, movie, compression=compression)
    if channels == 1:
        np.testing.assert_array_equal(read_all("tif", path), images_of(movie, 0))
        with pytest.raises(ValueError, match="nothing says"):
            inspect(path, channel=0)
        return
    if compression is None:
        np.testing.assert_array_equal(np.squeeze(tifffile.imread(path)), movie)
    with pytest.raises(ValueError, match=r"3 values per pixel.*channel=0 to channel=2"):
        inspect(path)
    for channel in range(3):
        found = read_all("tif", path, channel=channel)
        np.testing.assert_array_equal(found, images_of(movie, channel))
        found = read_all("tif", path, channel=channel, nplanes=1)
        np.testing.assert_array_equal(found, movie[:, :, channel].reshape(-1, 16, 18))
    header = inspect(path, channel=1)
    assert header.metadata["pixelSize"] == pytest.approx((0.25, 0.5, 1.0))
    assert header.metadata["unit"] == "µm"
    assert header.metadata["frameInterval"] == 0.5
    assert header.found["axes"] == {"C": 3, "Z": 3, "T": 4}
    with pytest.raises(ValueError, match="no channel 3"):
        inspect(path, channel=3)


@pytest.mark.parametrize("given", [{"scan": 2}, {"sizes": (4, 2, 1, 16, 18)}])
def test_lsm_that_does_not_fit(tmp_path, given):
    movie = recording(4, (3, 1, 16, 18), "uint16")
    path = tmp_path / "a.lsm"
    lsm(path, movie, **given)
    with pytest.raises(ValueError, match=r"a\.lsm.*nplanes="):
        inspect(path)
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), movie.reshape(-1, 16, 18))


def fluoview(path, pages, axes, photometric="minisblack"):
    """A file of Olympus FluoView 5: axes are (name, size, step, unit), the fastest first."""
    block = bytearray(284) + b"".join(
        struct.pack("<16sidd64s", name.encode(), size, 0.0, step, unit.encode())
        for name, size, step, unit in axes
    )
    block += bytes(284 + 1000 + 256 - len(block))
    palette = {}
    if photometric == "palette":
        palette = {"colormap": np.random.default_rng(0).integers(0, 65536, (3, 256)).astype("u2")}
    with tifffile.TiffWriter(path) as file:
        for k, page in enumerate(pages):
            tags = [(34361, 1, len(block), bytes(block), True), (34362, 12, 8, (0.0,) * 8, True)]
            file.write(
                page, photometric=photometric, metadata=None, contiguous=False,
                extratags=tags if k == 0 else [], **palette,
            )  # fmt: skip


YX = [("X", 9, 0.5, "um"), ("Y", 8, 0.25, "um")]


@pytest.mark.parametrize("photometric", ["minisblack", "palette"])
@pytest.mark.parametrize("order", ["ZTC", "CZT", "TZC"])
def test_fluoview(tmp_path, order, photometric):
    movie = recording(4, (3, 2, 8, 9), "uint8")
    path = tmp_path / "a.tif"
    named = {"Z": ("Z", 3, 1.5, "um"), "T": ("Time", 4, 0.25, "s"), "C": ("Ch", 2, 1.0, "")}
    stored = movie.transpose(*("TZC".index(axis) for axis in order[::-1]), 3, 4)
    fluoview(path, stored.reshape(-1, 8, 9), YX + [named[axis] for axis in order], photometric)
    np.testing.assert_array_equal(tifffile.imread(path), stored)
    for channel in (0, 1):
        found = read_all("tif", path, channel=channel)
        np.testing.assert_array_equal(found, images_of(movie, channel))
    with pytest.raises(ValueError, match="2 channels"):
        inspect(path)
    header = inspect(path, channel=0)
    assert header.metadata == {"pixelSize": (0.25, 0.5, 1.5), "unit": "µm", "frameInterval": 0.25}
    assert list(header.found["axes"]) == list(order)


@pytest.mark.parametrize("axes", [[("Event", 6, 1.0, "")], [("Z", 5, 1.0, "um")]])
def test_fluoview_that_does_not_fit(tmp_path, axes):
    path = tmp_path / "a.tif"
    pages = recording(6, (8, 9), "uint8")
    fluoview(path, pages, YX + axes)
    with pytest.raises(ValueError, match=r"FluoView header.*nplanes="):
        inspect(path)
    np.testing.assert_array_equal(read_all("tif", path, nplanes=2), volumes(pages, 2))


# ---- NDTiff


def ndtiff(path, pages, axes, name="NDTiffStack.tif"):
    """A data set of NDTiff 3 (pycro-manager): the pages, and the index beside them."""
    content = bytearray(shifted_classic(tif_bytes(pages)))
    (path / name).write_bytes(content)
    entries = b""
    for k, where in enumerate(axes):
        text = json.dumps(where).encode()
        offset = 8 + 20 + k * pages[0].nbytes
        entries += struct.pack("<I", len(text)) + text
        entries += struct.pack("<I", len(name)) + name.encode()
        entries += struct.pack("<IiiiiIii", offset, 9, 8, 1, 0, 0, 0, 0)
    (path / "NDTiff.index").write_bytes(entries)
    return path / name


def shifted_classic(content):
    """A TIFF of plain pages with NDTiff's mark behind its head."""
    content = bytearray(content)
    block = struct.pack("<IIIII", 483729, 3, 0, 2355492, 0)
    (at,) = struct.unpack_from("<I", content, 4)
    struct.pack_into("<I", content, 4, at + len(block))
    while at:
        (count,) = struct.unpack_from("<H", content, at)
        for k in range(count):
            entry = at + 2 + 12 * k
            (tag,) = struct.unpack_from("<H", content, entry)
            if tag == 273:
                (place,) = struct.unpack_from("<I", content, entry + 8)
                struct.pack_into("<I", content, entry + 8, place + len(block))
        follow = at + 2 + 12 * count
        (at,) = struct.unpack_from("<I", content, follow)
        if at:
            struct.pack_into("<I", content, follow, at + len(block))
    return bytes(content[:8] + block + content[8:])


def test_ndtiff(tmp_path):
    movie = recording(4, (3, 2, 8, 9), "uint16")
    places = list(product(range(4), range(2), range(3)))  # time, channel, plane: the last fastest
    axes = [{"time": t, "channel": ["GFP", "RFP"][c], "z": z - 1} for t, c, z in places]
    path = ndtiff(tmp_path, np.array([movie[t, z, c] for t, c, z in places]), axes)
    for channel in (0, 1):
        found = read_all("tif", path, channel=channel)
        np.testing.assert_array_equal(found, images_of(movie, channel))
    header = inspect(path, channel=0)
    assert header.found["channels"] == ["GFP", "RFP"]
    assert header.found["axes"] == {"C": 2, "Z": 3, "T": 4}
    with pytest.raises(ValueError, match="2 channels"):
        inspect(path)
    index = tmp_path / "NDTiff.index"
    whole = index.read_bytes()
    for content in (whole[:-5], whole[: len(whole) // 24 * 20], whole.replace(b"NDT", b"ndt")):
        index.write_bytes(content)
        path.write_bytes(path.read_bytes())  # what a file said is kept as long as it is the same
        with pytest.raises(FormatError):
            inspect(path, channel=0)
    index.write_bytes(whole.replace(b'"z"', b'"p"'))
    path.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"axis 'p'.*nplanes="):
        inspect(path, channel=0)
    index.unlink()
    path.write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"NDTiff\.index is not beside it.*nplanes="):
        inspect(path, channel=0)
    assert len(read_all("tif", path, nplanes=1)) == 24


# ---- the values of a pixel as channels


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 5}, {"tile": (16, 16)}])
@pytest.mark.parametrize(
    ("dtype", "samples", "predictor"),
    [("u1", 3, None), ("u2", 3, 2), ("u2", 2, None), ("f4", 4, 3), (">u2", 2, 2)],
)
def test_values_of_a_pixel(tmp_path, compression, planar, layout, dtype, samples, predictor):
    if predictor and compression in (None, "packbits"):
        predictor = None
    movie = recording(3, (21, 18, samples), dtype)
    path = tmp_path / "a.tif"
    stored = movie if planar == "contig" else np.moveaxis(movie, -1, 1)
    with tifffile.TiffWriter(path, byteorder=">" if dtype[0] == ">" else "<") as file:
        for page in stored:
            file.write(
                page, photometric="rgb" if samples == 3 else "minisblack", planarconfig=planar,
                compression=compression, predictor=predictor, metadata=None, contiguous=False,
                **layout,
            )  # fmt: skip
    for channel in range(samples):
        found = read_all("tif", path, channel=channel, nplanes=1)
        np.testing.assert_array_equal(found, movie[..., channel])
    found = read_all("tif", path, channel=1)
    np.testing.assert_array_equal(found, volumes(movie[..., 1], 3))
    with pytest.raises(ValueError, match=rf"colour.*channel=0 to channel={samples - 1}"):
        inspect(path, nplanes=1)
    with pytest.raises(ValueError, match=f"no channel {samples}"):
        inspect(path, channel=samples)
    with pytest.raises(ValueError, match="channels in turn"):
        inspect(path, channel=0, nchannels=3)
    header = inspect(path, channel=1, nplanes=1)
    with TIF.open(str(path), Options(channel=1, nplanes=1), header) as handle:
        places = handle.places(0, 3)
    assert (places is not None) == (
        planar == "separate" and not compression and "tile" not in layout
    )


def test_values_of_a_pixel_and_channels_in_turn(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for _ in range(4):
            file.write(
                np.zeros((8, 9, 3), "u1"), photometric="rgb", metadata=None, contiguous=False,
                description=imagej_description(4, channels=2, frames=2),
            )  # fmt: skip
    with pytest.raises(ValueError, match=r"channels in turn.*3 values"):
        inspect(path, channel=0)


def test_values_of_a_pixel_with_a_header(tmp_path):
    movie = recording(4, (8, 9, 3), "uint8")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, movie, photometric="rgb", imagej=True, metadata={"axes": "TYXS"})
    np.testing.assert_array_equal(read_all("tif", path, channel=1), movie[..., 1])
    tifffile.imwrite(path, movie, photometric="rgb", ome=True, metadata={"axes": "TYXS"})
    with pytest.raises(ValueError, match="nplanes= beside channel="):
        inspect(path, channel=1)
    np.testing.assert_array_equal(read_all("tif", path, channel=1, nplanes=1), movie[..., 1])
    tifffile.imwrite(path, movie[0], photometric="ycbcr", compression="jpeg", metadata=None)
    with pytest.raises(ValueError, match=r"colour.*YCbCr"):
        inspect(path, channel=1)


def test_order_that_mixes_channels_is_told(tmp_path, caplog):
    path = tmp_path / "a.tif"
    pages = recording(12, (5, 6), "uint8")
    path.write_bytes(tif_bytes(pages, description=imagej_description(12, channels=2, frames=6)))
    with caplog.at_level("WARNING", logger="mpimages"):
        found = read_all("tif", path, nplanes=3, order="TZC")
    np.testing.assert_array_equal(found, np.moveaxis(pages.reshape(3, 4, 5, 6), 0, -1))
    assert "2 channels" in caplog.text


@pytest.mark.ranks
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_values_of_a_pixel_on_ranks(tsc, shared_path, planar):
    movie = recording(5, (8, 9, 3), "uint16")
    path = shared_path / "a.tif"
    if tsc.rank == 0:
        stored = movie if planar == "contig" else np.moveaxis(movie, -1, 1)
        with tifffile.TiffWriter(path) as file:
            for page in stored:
                file.write(page, photometric="rgb", planarconfig=planar, metadata=None,
                           contiguous=False)  # fmt: skip
    tsc.comm.Barrier()
    images = tsc.loadImages(path, nplanes=1, channel=2)
    assert same_bits(images.toArray(), movie[..., 2])
    assert same_bits(images.toSeries().toArray(), np.moveaxis(movie[..., 2], 0, -1))


# ---- by the command line


def test_command_line(tmp_path):
    movie = signed(4, 3, 2, 8, 9)
    files = {
        "scanimage.tif": ["--channel", 1], "metamorph.stk": [], "zeiss.lsm": ["--channel", 0],
        "fluoview.tif": ["--channel", 1], "colour.tif": ["--channel", 2, "--nplanes", 1],
    }  # fmt: skip
    scanimage(tmp_path / "scanimage.tif", movie.reshape(-1, 8, 9), V2023)
    pages = recording(4, (8, 9), "uint16")
    (tmp_path / "metamorph.stk").write_bytes(stk_bytes(pages, [0] * 4, range(4)))
    lsm(tmp_path / "zeiss.lsm", movie.astype("u2"))
    axes = [*YX, ("Ch", 2, 1.0, ""), ("Time", 2, 1.0, "s")]
    fluoview(tmp_path / "fluoview.tif", pages, axes)
    with tifffile.TiffWriter(tmp_path / "colour.tif") as file:
        for _ in range(2):
            file.write(np.zeros((8, 9, 3), "u1"), photometric="rgb", metadata=None)
    counts = {"scanimage.tif": 4, "metamorph.stk": 4, "zeiss.lsm": 4}
    for name, words in files.items():
        told = mpimages("info", tmp_path / name, *words)
        assert f"images           {counts.get(name, 2)}" in told or "images" in told
        if words:
            assert "channel" in mpimages("info", tmp_path / name, code=1)
    told = mpimages("info", tmp_path / "colour.tif", "--channel", 2, "--nplanes", 3, code=1)
    assert "nplanes" in told
