"""Where the strips and tiles of a TIFF lie, and what was never written, as libtiff has it."""

import numpy as np
import pytest
import tifffile

from mpimages.errors import FormatError
from mpimages.readers import Options, get
from tests.support.data import recording
from tests.support.recordings import imagej_description, read_all, tif_bytes

TIF = get("tif")
OFFSETS, LENGTHS = {False: 273, True: 324}, {False: 279, True: 325}
CODECS = [None, "zlib", "lzw", "zstd", "packbits", "lerc"]
LAYOUTS = [{}, {"rowsperstrip": 8}, {"tile": (16, 16)}, {"tile": (32, 32)}]


def write(path, pages, **ways):
    """Pages of which each has a directory and places of its own."""
    order = ways.pop("byteorder", "<") if ways.get("compression") != "lerc" else "<"
    ways.pop("byteorder", None)
    with tifffile.TiffWriter(path, bigtiff=ways.pop("bigtiff", False), byteorder=order) as file:
        for page in pages:
            file.write(page, photometric="minisblack", metadata=None, contiguous=False, **ways)


def change(path, page, tag, value):
    """Overwrite the values of a field of a page; `value` is made from the old ones."""
    with tifffile.TiffFile(path, mode="r+b") as file:
        field = file.pages[page].tags[tag]
        old = field.value if isinstance(field.value, tuple) else (field.value,)
        field.overwrite(value(list(old)))


def rename(path, names):
    """Give fields of all pages other numbers; those of a directory stay in ascending order."""
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        order = {"<": "little", ">": "big"}[file.byteorder]
        head, entry = file.tiff.tagnosize, file.tiff.tagsize
        for page in file.pages:
            start, stop = page.offset + head, page.offset + head + entry * len(page.tags)
            entries = [content[at : at + entry] for at in range(start, stop, entry)]
            for one in entries:
                tag = int.from_bytes(one[:2], order)
                one[:2] = names.get(tag, tag).to_bytes(2, order)
            entries.sort(key=lambda one: int.from_bytes(one[:2], order))
            content[start:stop] = b"".join(entries)
    path.write_bytes(content)


def unwritten(path, **given):
    """What the reader counts."""
    options = Options(**given)
    header = TIF.inspect(str(path), options)
    with TIF.open(str(path), options, header) as handle:
        return handle.unwritten(0, handle.count)


@pytest.mark.parametrize("codec", [None, "zlib", "lerc"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("side", [16, 48])
def test_tiles_are_told_by_their_width(tmp_path, codec, big, order, side):
    path = tmp_path / "a.tif"
    pages = recording(3, (30, 41), "uint16")
    write(path, pages, tile=(side, side), compression=codec, bigtiff=big, byteorder=order)
    rename(path, {324: 273, 325: 279})
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    for names in ({273: 324}, {279: 325}):  # one of both
        rename(path, names)
        np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


@pytest.mark.parametrize("codec", [None, "zlib", "lerc"])
@pytest.mark.parametrize("rows", [7, 30])
def test_strips_whose_places_stand_in_the_fields_of_tiles(tmp_path, codec, rows):
    path = tmp_path / "a.tif"
    pages = recording(3, (30, 41), "uint16")
    write(path, pages, rowsperstrip=rows, compression=codec)
    rename(path, {273: 324, 279: 325})
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("ways", LAYOUTS)
@pytest.mark.parametrize("big", [False, True])
def test_pages_that_were_never_written(tmp_path, codec, ways, big):
    path = tmp_path / "a.tif"
    pages = recording(4, (32, 32), "uint16")
    write(path, pages, compression=codec, bigtiff=big, byteorder="<>"[big], **ways)
    for field in (OFFSETS, LENGTHS):
        change(path, 1, field["tile" in ways], lambda old: [0] * len(old))
    pages[1] = 0
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    volume = read_all("tif", path, nplanes=2)
    np.testing.assert_array_equal(volume, np.moveaxis(pages.reshape(2, 2, 32, 32), 1, -1))
    assert unwritten(path, nplanes=1) == {"pages": 1}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("ways", LAYOUTS[1:3])
@pytest.mark.parametrize("which", [OFFSETS, LENGTHS, None])
def test_strips_and_tiles_that_were_never_written(tmp_path, codec, ways, which):
    path = tmp_path / "a.tif"
    pages = recording(3, (32, 32), "uint16")
    tiled = "tile" in ways
    if codec in ("zlib", "lzw", "zstd"):
        ways = ways | {"predictor": True}
    write(path, pages, compression=codec, **ways)
    for field in [OFFSETS, LENGTHS] if which is None else [which]:
        change(path, 2, field[tiled], lambda old: [old[0], 0, *old[2:]])
    pages[2, slice(0, 16) if tiled else slice(8, 16), 16 if tiled else 0 :] = 0
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    assert unwritten(path, nplanes=1) == {"tiles" if tiled else "strips": 1}


@pytest.mark.parametrize("ways", LAYOUTS[1:3])
@pytest.mark.parametrize("big", [False, True])
def test_holes_that_make_the_file_smaller_than_a_page(tmp_path, ways, big):
    """Plain values of which most were never written."""
    path = tmp_path / "a.tif"
    page = recording(1, (32, 32), "uint16")
    write(path, page, bigtiff=big, **ways)
    tiled = "tile" in ways
    for field in (OFFSETS, LENGTHS):
        change(path, 0, field[tiled], lambda old: [old[0], *[0] * (len(old) - 1)])
    page[0, 16 if tiled else 8 :] = 0
    page[0, :, 16 if tiled else 32 :] = 0
    with tifffile.TiffFile(path) as file:
        size = file.pages[0].dataoffsets[0] + (512 if tiled else 8 * 64)
    path.write_bytes(path.read_bytes()[:size])
    assert path.stat().st_size < page.nbytes
    np.testing.assert_array_equal(read_all("tif", path), page)
    assert unwritten(path) == {"tiles" if tiled else "strips": 3}


def test_holes_are_zeros_whatever_value_stands_for_no_data(tmp_path):
    path = tmp_path / "a.tif"
    pages = recording(1, (32, 32), "uint16")
    write(path, pages, tile=(16, 16), compression="lerc", extratags=[(42113, 2, 3, "99", True)])
    for tag in (324, 325):
        change(path, 0, tag, lambda old: [0, *old[1:]])
    pages[0, :16, :16] = 0
    np.testing.assert_array_equal(read_all("tif", path), pages)


def test_a_page_without_data_in_one_of_many_files(tmp_path):
    """Files like the first are not parsed again."""
    pages = recording(4, (32, 32), "uint16")
    for codec in (None, "zlib"):
        paths = [tmp_path / f"{k}.tif" for k in range(4)]
        for path, page in zip(paths, pages, strict=True):
            write(path, [page], compression=codec, rowsperstrip=8)
        for tag in (273, 279):
            change(paths[2], 0, tag, lambda old: [0] * len(old))
        expected = pages * (np.arange(4) != 2).astype("u2")[:, None, None]
        np.testing.assert_array_equal(read_all("tif", paths), expected)


@pytest.mark.parametrize("codec", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("dtype", ["uint16", "bool"])
def test_the_only_strip_may_be_of_unknown_length(tmp_path, codec, dtype):
    path = tmp_path / "a.tif"
    page = recording(1, (30, 41), "uint16")[0]
    page = page > 1000 if dtype == "bool" else page
    for missing in (False, True):
        write(path, [page], compression=codec)
        if missing:
            rename(path, {279: 60000})
        else:
            change(path, 0, 279, lambda _: [0])
        np.testing.assert_array_equal(read_all("tif", path)[0], page)
        assert unwritten(path) == {}


@pytest.mark.parametrize("codec", [None, "zlib", "lerc"])
@pytest.mark.parametrize("strips", [1, 4])
def test_tables_may_be_longer_than_they_need_to_be(tmp_path, codec, strips):
    path = tmp_path / "a.tif"
    pages = recording(2, (32, 31), "uint16")
    write(path, pages, compression=codec, rowsperstrip=32 // strips)
    for page in (0, 1):
        for tag in (273, 279):
            change(path, page, tag, lambda old: [*old, 65000, 0])
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
    assert unwritten(path, nplanes=1) == {}


def test_tables_that_are_too_short(tmp_path):
    path = tmp_path / "a.tif"
    for tag in (273, 279):
        write(path, recording(1, (32, 31), "uint16"), rowsperstrip=8)
        change(path, 0, tag, lambda old: old[:2])
        with pytest.raises(FormatError, match=r"a\.tif: a page .* has 4 strips or tiles, but"):
            read_all("tif", path)
    write(path, recording(1, (32, 31), "uint16"), rowsperstrip=8)
    rename(path, {279: 60000})
    with pytest.raises(FormatError, match="lengths for 0"):
        read_all("tif", path)


def test_hyperstack_of_one_directory_without_data(tmp_path):
    path = tmp_path / "a.tif"
    text = imagej_description(3, frames=3)
    content = tif_bytes(recording(3, (8, 9), "uint16"), description=text, directories=1,
                        extra={273: (4, 0), 279: (4, 0)})  # fmt: skip
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.tif: its header says 3 pages.*never written"):
        read_all("tif", path)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "uint64", "float32", "float64"])
@pytest.mark.parametrize("predictor", [2, 3])
@pytest.mark.parametrize("ways", [{}, {"rowsperstrip": 3}, {"tile": (16, 16)}])
@pytest.mark.parametrize("codec", [None, "packbits", "lerc"])
def test_predictor_without_effect(tmp_path, dtype, predictor, ways, codec):
    """As in libtiff, which knows it of LZW, Deflate, LZMA and Zstandard alone."""
    path = tmp_path / "a.tif"
    if codec == "lerc" and dtype == "uint64":
        pytest.skip("not written by the library")
    pages = recording(2, (8, 9), dtype)
    write(path, pages, compression=codec, extratags=[(60000, 3, 1, predictor, True)], **ways)
    rename(path, {60000: 317})
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


@pytest.mark.parametrize("bits", [1, 4, 12])
def test_predictor_of_parts_of_bytes(tmp_path, bits):
    """No other program reads differences of these."""
    path = tmp_path / "a.tif"
    content = np.zeros((1, 4, 2 * bits), "u1")
    for codec in (1, 5):
        extra = {256: (4, 16), 258: (3, bits), 259: (3, codec), 317: (3, 2)}
        path.write_bytes(tif_bytes(content, extra=extra))
        if codec == 1:
            np.testing.assert_array_equal(read_all("tif", path)[0], np.zeros((4, 16)))
            continue
        with pytest.raises(ValueError, match=rf"a\.tif: differences .* of {bits} bits"):
            read_all("tif", path)
