"""Recordings whose last image is not whole, and records that are larger than the budget."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

from mpimages import FormatError, ThunderContext
from mpimages.cli import cli

from ..support.data import recording, same_bits
from ..support.recordings import imagej_description, read_all, tif_bytes, volumes

PAGES = recording(23, (8, 9), "uint16")


def written(path, compression=None, big=False, contiguous=False, **given):
    with tifffile.TiffWriter(path, bigtiff=big) as file:
        for page in PAGES:
            file.write(page, contiguous=contiguous, metadata=None, compression=compression, **given)


def cut(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)


@pytest.mark.ranks
def test_the_rest_of_a_last_volume(tsc, shared_path, caplog):
    path = shared_path / "v.tif"
    if tsc.rank == 0:
        written(path)
    tsc.comm.Barrier()
    want = volumes(PAGES[:20], 5)
    for stop in (1, 4):
        assert same_bits(tsc.loadImages(path, nplanes=5, stopIdx=stop).toArray(), want[:stop])
    told = r"23 pages .* nplanes=5 .* last 3 .* stopIdx= of at most 4, or incomplete='drop',"
    for stop in (None, 5, -1, 99):
        with pytest.raises(ValueError, match=told):
            tsc.loadImages(path, nplanes=5, stopIdx=stop)
    with caplog.at_level("WARNING", logger="mpimages"):
        images = tsc.loadImages(path, nplanes=5, incomplete="drop")
    lines = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(lines) == (tsc.rank == 0)
    assert images.count() == 4
    assert same_bits(images.toArray(), want)
    series = tsc.loadImagesAsSeries(path, nplanes=5, incomplete="drop").toArray()
    assert same_bits(series, np.moveaxis(want, 0, -1))
    two = tsc.loadImages(path, nplanes=5, nchannels=2, channel=1, incomplete="drop")
    assert same_bits(two.toArray(), volumes(PAGES[1:20:2], 5))


@pytest.mark.ranks
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_the_rest_in_one_file_of_several(tsc, shared_path, bad):
    for k in range(3):
        if tsc.rank == 0:
            pages = PAGES[: 7 if k == bad else 6]
            tifffile.imwrite(
                shared_path / f"{k}.tif", pages, photometric="minisblack", metadata=None
            )
    tsc.comm.Barrier()
    want = np.concatenate([volumes(PAGES[:6], 3)] * 3)
    load = tsc.loadImages
    assert same_bits(load(shared_path, nplanes=3, incomplete="drop").toArray(), want)
    whole = 2 * (bad + 1)
    assert same_bits(load(shared_path, nplanes=3, stopIdx=whole).toArray(), want[:whole])
    with pytest.raises(ValueError, match=rf"{bad}\.tif.* 7 pages .*incomplete='drop'"):
        load(shared_path, nplanes=3)
    if bad < 2:
        with pytest.raises(ValueError, match=rf"{bad}\.tif.* stopIdx= of at most {whole}"):
            load(shared_path, nplanes=3, stopIdx=whole + 1)


@pytest.fixture
def tsc1(tmp_path):
    with ThunderContext(progress=False) as context:
        yield context


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("lost", [1, 60, 150, 700])
def test_a_movie_without_its_end(tmp_path, tsc1, compression, big, lost):
    path = tmp_path / "m.tif"
    written(path, compression, big)
    with tifffile.TiffFile(path) as file:
        ends = [
            max(page.dataoffsets[0] + page.databytecounts[0], page.offset + 8)
            for page in file.pages
        ]
    size = os.stat(path).st_size - lost
    cut(path, size)
    at_most = sum(end <= size for end in ends)
    found = tsc1.loadImages(path, nplanes=1, incomplete="drop").toArray()
    assert at_most - 1 <= len(found) <= at_most < 23
    assert same_bits(found, PAGES[: len(found)])
    part = tsc1.loadImages(path, nplanes=1, stopIdx=len(found)).toArray()
    assert same_bits(part, found)
    with pytest.raises(FormatError, match="incomplete='drop'"):
        tsc1.loadImages(path, nplanes=1).toArray()
    with pytest.raises(FormatError, match=r"no whole image|truncated|incomplete"):
        tsc1.loadImages(path, incomplete="drop")  # one volume, of which a part is missing


def test_a_page_whose_data_are_damaged(tmp_path, tsc1):
    path = tmp_path / "m.tif"
    written(path, "zlib")
    with tifffile.TiffFile(path) as file:
        place = file.pages[22].dataoffsets[0]
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 40)
    assert same_bits(tsc1.loadImages(path, nplanes=1, incomplete="drop").toArray(), PAGES[:22])
    with pytest.raises(FormatError, match=r"page 22 is damaged.*incomplete='drop'"):
        tsc1.loadImages(path, nplanes=1).toArray()


def test_a_chain_that_leads_nowhere(tmp_path, tsc1):
    path = tmp_path / "m.tif"
    for big, code in ((False, "<I"), (True, "<Q")):
        written(path, big=big)
        with tifffile.TiffFile(path) as file:
            page = file.pages[9]
            head, entry = (8, 20) if big else (2, 12)
            place = page.offset + head + entry * len(page.tags)
        for target in (10**6, 8, 3):
            with open(path, "r+b") as file:
                file.seek(place)
                file.write(np.array(target, code[0] + "u" + str(8 if big else 4)).tobytes())
            found = tsc1.loadImages(path, nplanes=1, incomplete="drop").toArray()
            assert same_bits(found, PAGES[:10])
            with pytest.raises(FormatError, match="incomplete='drop'"):
                tsc1.loadImages(path, nplanes=1)


@pytest.mark.parametrize("order", "<>")
def test_imagej_with_one_directory(tmp_path, tsc1, order):
    content = tif_bytes(
        PAGES[:12], order, directories=1, description=imagej_description(12, slices=3, frames=4)
    )
    # The directory before the data, as ImageJ has it: the data may then lack their end.
    nbytes, path = PAGES[:12].nbytes, tmp_path / "a.tif"
    head = bytearray(content[:8] + content[8 + nbytes :])
    kind = "little" if order == "<" else "big"
    first = int.from_bytes(head[4:8], kind) - nbytes
    head[4:8] = first.to_bytes(4, kind)
    for k in range(int.from_bytes(head[first : first + 2], kind)):
        at = first + 2 + 12 * k
        tag, place = (int.from_bytes(head[a:b], kind) for a, b in ((at, at + 2), (at + 8, at + 12)))
        moved = {270: place - nbytes, 273: len(head)}.get(tag)
        if moved is not None:
            head[at + 8 : at + 12] = moved.to_bytes(4, kind)
    path.write_bytes(head + content[8 : 8 + nbytes])
    assert same_bits(tsc1.loadImages(path).toArray(), volumes(PAGES[:12], 3))
    cut(path, os.stat(path).st_size - PAGES[0].nbytes - 1)
    assert same_bits(tsc1.loadImages(path, incomplete="drop").toArray(), volumes(PAGES[:9], 3))
    found = tsc1.loadImages(path, nplanes=1, incomplete="drop").toArray()
    assert same_bits(found, PAGES[:10])
    assert same_bits(tsc1.loadImages(path, stopIdx=3).toArray(), volumes(PAGES[:9], 3))
    for given in ({}, {"nplanes": 1}):
        with pytest.raises(FormatError, match=r"truncated.*incomplete='drop'"):
            tsc1.loadImages(path, **given)


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_a_header_of_what_was_planned(tmp_path, tsc1, kind):
    """Stopped in the third of five volumes."""
    path, pages = tmp_path / "a.tif", PAGES[:8]
    blocks = "".join(f'<TiffData FirstT="{k // 3}" FirstZ="{k % 3}" IFD="{k}"/>' for k in range(15))
    text = (
        imagej_description(15, slices=3, frames=5)
        if kind == "imagej"
        else (
            '<OME xmlns="x"><Image><Pixels DimensionOrder="XYZCT" SizeZ="3" SizeT="5" SizeC="1">'
            f"{blocks}</Pixels></Image></OME>"
        )
    )
    path.write_bytes(tif_bytes(pages, description=text))
    assert same_bits(tsc1.loadImages(path, incomplete="drop").toArray(), volumes(pages[:6], 3))
    assert same_bits(tsc1.loadImages(path, stopIdx=2).toArray(), volumes(pages[:6], 3))
    assert same_bits(tsc1.loadImages(path, nplanes=1).toArray(), pages)
    told = r"nplanes=1.*stopIdx= of at most 2, or incomplete='drop'"
    with pytest.raises(FormatError, match=told):
        tsc1.loadImages(path)
    path.write_bytes(tif_bytes(pages[:2], description=text))  # not even one
    with pytest.raises(ValueError, match="no whole image"):
        tsc1.loadImages(path, incomplete="drop")


def test_one_file_an_image_and_the_last_not_whole(tmp_path, tsc1):
    for k, page in enumerate(PAGES[:4]):
        tifffile.imwrite(tmp_path / f"{k}.tif", page)
    cut(tmp_path / "3.tif", os.stat(tmp_path / "3.tif").st_size - 1)
    (tmp_path / "4.tif").touch()
    assert same_bits(tsc1.loadImages(tmp_path, incomplete="drop").toArray(), PAGES[:3])
    assert same_bits(tsc1.loadImages(tmp_path, stopIdx=3).toArray(), PAGES[:3])
    with pytest.raises(FormatError, match="truncated"):
        tsc1.loadImages(tmp_path).toArray()
    tifffile.imwrite(tmp_path / "5.tif", PAGES[0, :4])  # whole, but of another recording
    with pytest.raises(FormatError, match=r"5\.tif: has images of shape"):
        tsc1.loadImages(tmp_path, incomplete="drop")


@pytest.mark.parametrize("fortran", [False, True])
def test_npy_and_flat_binary(tmp_path, tsc1, fortran):
    movie, path = PAGES[:6], tmp_path / "a.npy"
    stored = np.asfortranarray(np.moveaxis(movie, 0, -1)) if fortran else movie
    axes = "YXT" if fortran else "TYX"
    np.save(path, stored)
    cut(path, os.stat(path).st_size - movie[0].nbytes - 1)
    found = tsc1.loadImages(path, axes=axes, incomplete="drop")
    if not fortran:
        assert same_bits(found.toArray(), movie[:4])
        assert same_bits(tsc1.loadImages(path, stopIdx=4).toArray(), movie[:4])
    else:
        assert same_bits(found.toArray(), movie[:4])
    with pytest.raises(FormatError, match=r"truncated.*incomplete='drop'"):
        tsc1.loadImages(path, axes=axes)
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "conf.json").write_text(json.dumps({"shape": [8, 9], "dtype": "uint16"}))
    for k in range(3):
        movie[k].tofile(flat / f"{k}.bin")
    cut(flat / "2.bin", 30)
    assert same_bits(tsc1.loadImages(flat, incomplete="drop").toArray(), movie[:2])
    assert same_bits(tsc1.loadImages(flat, stopIdx=2).toArray(), movie[:2])
    with pytest.raises(FormatError, match=r"2\.bin"):
        tsc1.loadImages(flat).toArray()


def test_volumes_of_which_planes_are_no_run_of_the_file(tmp_path, tsc1):
    np.save(tmp_path / "a.npy", recording(1, (8, 9, 7), "uint8")[0])
    with pytest.raises(ValueError, match="7 pages cannot be cut"):
        tsc1.loadImages(tmp_path / "a.npy", axes="YXZ", nplanes=3, incomplete="drop")
    found = tsc1.loadImages(tmp_path / "a.npy", axes="ZYX", nplanes=3, incomplete="drop")
    want = volumes(np.load(tmp_path / "a.npy")[:6], 3)
    assert same_bits(found.toArray(), want)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"incomplete": "keep"}, ValueError),
        ({"incomplete": True}, TypeError),
        ({"nplanes": "one"}, ValueError),
        ({"nchannels": 0}, ValueError),
        ({"nchannels": 2.0}, TypeError),
    ],
)
def test_arguments_that_cannot_be(tmp_path, tsc1, given, error):
    tifffile.imwrite(tmp_path / "a.tif", PAGES[0])
    with pytest.raises(error, match=next(iter(given))):
        tsc1.loadImages(tmp_path / "a.tif", **given)


@pytest.mark.parametrize("name", ["nchannels", "channel", "incomplete"])
def test_arguments_without_effect(tmp_path, tsc1, name):
    import imagecodecs

    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(PAGES[0]))
    value = {"nchannels": 1, "channel": 0, "incomplete": "drop"}[name]
    with pytest.raises(ValueError, match=f"{name}=.* means nothing"):
        tsc1.loadImages(tmp_path / "a.png", **{name: value})


# ---- the advice of every message is taken


@pytest.mark.parametrize(
    "text",
    [
        imagej_description(40, channels=2, slices=4, frames=5),
        '<OME xmlns="x"><BinaryOnly MetadataFile="b"/></OME>',
        '<OME xmlns="x"><Image></OME>',
        '<OME xmlns="x"><Image><Pixels SizeT="90"><TiffData IFD="80"/></Pixels></Image></OME>',
        '<OME xmlns="x"><Image><Pixels SizeT="4" SizeZ="3"><TiffData IFD="0" PlaneCount="7"/>'
        "</Pixels></Image></OME>",
        '<OME xmlns="x"><Image><Pixels SizeT="2"/></Image><Image><Pixels SizeT="2"/></Image></OME>',
    ],
)
def test_advice_is_not_refused(tmp_path, tsc1, text):
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(PAGES[:8], description=text))
    with pytest.raises(ValueError, match=r"a\.tif") as caught:
        tsc1.loadImages(path)
    advised = set(re.findall(r"\b(nplanes=1|incomplete='drop')", str(caught.value)))
    assert advised
    if "nplanes=1" in advised:
        assert same_bits(tsc1.loadImages(path, nplanes=1).toArray(), PAGES[:8])
    if "incomplete='drop'" in advised:
        assert tsc1.loadImages(path, incomplete="drop").count() > 0


# ---- records beyond the budget


@pytest.fixture
def large(tmp_path):
    """A plain movie of 600 pages, taken for one volume of 4.8 MB."""
    path = tmp_path / "movie.tif"
    movie = np.arange(600 * 80 * 50).reshape(600, 80, 50).astype(np.uint16)
    tifffile.imwrite(path, movie, photometric="minisblack", metadata=None)
    return path


ACTIONS = {
    "mean": lambda images, out: images.mean(),
    "first": lambda images, out: images.first(),
    "toArray": lambda images, out: images.toArray(),
    "cache": lambda images, out: images.cache(),
    "map": lambda images, out: images.apply(lambda v: v[:2, :2].sum()[None, None]).toArray(),
    "saveAsTifs": lambda images, out: images.saveAsTifs(str(out)),
    "filter": lambda images, out: images.filter(lambda key, value: True).count(),
    "computed": lambda images, out: images.subsample(2).saveAsHDF5(f"{out}.h5"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_a_record_beyond_the_budget(large, tmp_path, action):
    out = tmp_path / "out"
    with ThunderContext(memory="4MB", progress=False) as tsc:
        images = tsc.loadImages(large)
        with pytest.raises(MemoryError, match=r"\(80, 50, 600\).* 4 MB; nplanes=1"):
            ACTIONS[action](images, out)
        assert os.listdir(tmp_path) == ["movie.tif"]
        ACTIONS[action](tsc.loadImages(large, nplanes=1, stopIdx=20), out)


def test_a_volume_beyond_the_budget_of_npy(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 64, 64, 70), np.uint16))
    with ThunderContext(memory="500kB", progress=False) as tsc:
        images = tsc.loadImages(tmp_path / "a.npy", axes="TYXZ")
        with pytest.raises(MemoryError, match="memory=") as caught:
            images.mean()
        assert "nplanes" not in str(caught.value)  # which would be refused


# ---- the command line


def mpimages(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.slow
def test_the_command_line_asks_what_many_pages_are(large, tmp_path):
    asked = mpimages("stats", large, tmp_path / "out", code=2)
    for option in ("--nplanes 1 ", "--nplanes all "):
        assert option in asked
    assert not (tmp_path / "out").exists()
    mpimages("plan", large, code=2)
    told = mpimages("info", large, code=2)  # it says what is there, and asks as the others do
    assert "dims           80 x 50 x 600" in told
    assert "--nplanes all " in told
    one = json.loads(mpimages("stats", large, tmp_path / "one", "--nplanes", "all", "--json"))
    many = json.loads(mpimages("stats", large, tmp_path / "many", "--nplanes", 1, "--json"))
    assert (one["images"], many["images"]) == (1, 600)
    assert "neither a number" in mpimages("info", large, "--nplanes", "some", code=2)


@pytest.mark.slow
def test_the_new_options_on_the_command_line(tmp_path):
    path = tmp_path / "v.tif"
    written(path)
    refused = mpimages("info", path, "--nplanes", 5, code=1)
    assert "incomplete='drop'" in refused
    assert "stopIdx= is --stop" in refused
    assert "incomplete= is --incomplete" in refused
    for given in (["--incomplete", "drop"], ["--stop", "4"]):
        for command in ("info", "plan"):
            found = mpimages(command, path, "--nplanes", 5, *given, "--json")
            fields = json.loads(found[: found.rindex("}") + 1])
            assert fields.get("images", 4) == 4
    assert fields["bytes_written"] == PAGES[:20].nbytes
    told = mpimages("info", path, "--nplanes", 1, "--nchannels", 23, "--channel", 4)
    assert re.search(r"images +1\n", told)


def test_info_and_plan_count_files_that_they_did_not_open(tmp_path):
    for k, pages in enumerate((1, 1, 3)):
        tifffile.imwrite(
            tmp_path / f"{k}.tif",
            PAGES[:pages],
            photometric="minisblack",
            metadata={"axes": "TYX"},
            imagej=True,
        )
    for command in ("info", "plan"):
        assert "2.tif: holds 3 images" in mpimages(command, tmp_path, code=1)
        mpimages(command, tmp_path, "--stop", 2)
    assert re.search(r"images +5\n", mpimages("info", tmp_path, "--nplanes", 1))


def test_info_names_scanimage(tmp_path):
    path = tmp_path / "s.tif"
    written(
        path,
        software="SI.VERSION_MAJOR = 2020\nSI.hChannels.channelSave = [1]\n"
        "SI.hStackManager.numSlices = 4\nSI.hStackManager.numVolumes = 5",
    )
    told = mpimages("info", path, "--nplanes", 1)
    assert re.search(r"program +ScanImage 2020\n", told)


def test_options_of_the_reader_alone(tmp_path):
    path = tmp_path / "v.tif"
    written(path, "zlib")
    found = read_all("tif", path, nplanes=5, incomplete="drop")
    np.testing.assert_array_equal(found, volumes(PAGES[:20], 5))
