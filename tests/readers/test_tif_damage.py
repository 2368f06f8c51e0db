"""Damaged, foreign and absurd TIFFs: each is an error that names the file."""

import re
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from mpimages.errors import FormatError
from mpimages.readers import Options, get
from tests.support.data import recording
from tests.support.recordings import read_all, tif_bytes

TIF = get("tif")
PAGES = recording(3, (8, 9), "uint16")


def attempt(path, **given):
    """Read all there is; the error, or None."""
    try:
        read_all("tif", path, **given)
    except (ValueError, OSError) as error:
        found = error
    else:
        return None
    assert str(path) in str(found)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("strips", [1, 3])
def test_truncated_anywhere(tmp_path, big, strips):
    content = tif_bytes(PAGES, big=big, strips=strips)
    path = tmp_path / "a.tif"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if content[length:].strip(b"\0"):
            assert isinstance(attempt(path), FormatError), length


@pytest.mark.parametrize("codec", ["zlib", "lzw", "packbits", "zstd", "lzma"])
def test_compressed_and_truncated(tmp_path, codec):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PAGES, photometric="minisblack", compression=codec, rowsperstrip=4)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as tif:
        begins = [offset for page in tif.pages for offset in page.dataoffsets]
    for begin in begins:
        damaged = bytearray(content)
        damaged[begin : begin + 12] = b"\xff" * 12
        path.write_bytes(damaged)
        error = attempt(path)
        if codec != "packbits":  # any bytes are valid PackBits, but not of any length
            assert isinstance(error, FormatError), begin
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert isinstance(attempt(path), FormatError), length


@pytest.mark.parametrize("content", [b"", b"I", b"II*\0", b"II*\0\0\0\0\0", b"MM\0*\0\0\0\x08",
                                     b"\x89PNG\r\n\x1a\n" + bytes(30), b"GIF89a" + bytes(30),
                                     b"II+\0\x04\0\0\0" + bytes(30), bytes(100)])  # fmt: skip
def test_no_tiff(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert isinstance(attempt(path), FormatError)


def test_chain_that_is_a_circle(tmp_path):
    content = bytearray(tif_bytes(PAGES))
    first = struct.unpack_from("<I", content, 4)[0]
    path = tmp_path / "a.tif"
    with tifffile.TiffFile(_written(path, content)) as tif:
        last = tif.pages[2]
        pointer = last.offset + 2 + 12 * len(last.tags)
        offsets = [page.offset for page in tif.pages]
    assert offsets[0] == first
    for target in offsets:
        content[pointer : pointer + 4] = struct.pack("<I", target)
        with pytest.raises(FormatError, match="circle"):
            TIF.inspect(str(_written(path, content)), Options())


def _written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({256: (4, 0)}, "0 columns"),
        ({256: (4, 2**32 - 1), 257: (4, 2**32 - 1), 278: (4, 2**32 - 1)}, "damaged"),
        ({256: (4, 10**6), 257: (4, 10**6), 259: (3, 8), 278: (4, 10**6)}, "claims"),
        ({278: (4, 3)}, "strips or tiles"),
        ({278: (4, 0)}, "strips of 0 rows"),
        ({273: (4, 10**9)}, "truncated"),
        ({279: (4, 5)}, "stored in 5"),
        ({258: (3, 65)}, "65 bits"),
        ({258: (3, 0)}, "0 bits"),
        ({339: (3, 5)}, "sample format 5"),
        ({339: (3, 6)}, "sample format 6"),
        ({256: (5, 4)}, "no integer"),
        ({322: (4, 16), 323: (4, 0), 324: (4, 8), 325: (4, 8)}, "tiles"),
        ({322: (4, 2**31), 323: (4, 2**31), 324: (4, 8), 325: (4, 8)}, "claims"),
        ({262: (3, 2), 277: (3, 3)}, "colour.*RGB"),
        ({262: (3, 3)}, "colour.*palette"),
        ({277: (3, 3)}, "colour.*3 values"),
        ({262: (3, 32803)}, "colour"),
        ({33629: (5, [1, 1, 1, 1])}, "MetaMorph"),
        ({32997: (4, 5)}, "several planes"),
        ({259: (3, 9999)}, "cannot be decoded"),
    ],
)
def test_fields_that_are_wrong(tmp_path, extra, told):
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(PAGES, extra=extra))
    error = attempt(path)
    assert error is not None
    assert re.search(told, str(error)), str(error)


@pytest.mark.parametrize("photometric", ["rgb", "palette"])
def test_colour_is_refused(tmp_path, photometric):
    path = tmp_path / "a.tif"
    if photometric == "rgb":
        tifffile.imwrite(path, np.zeros((8, 9, 3), "u1"), photometric="rgb")
    else:
        tifffile.imwrite(
            path, np.zeros((8, 9), "u1"), photometric="palette", colormap=np.zeros((3, 256), "u2")
        )
    with pytest.raises(ValueError, match=r"a\.tif: colour images are not read"):
        TIF.inspect(str(path), Options())


def test_last_strip_that_is_longer_than_the_page(tmp_path):
    page = recording(1, (9, 7), "uint16")[0]
    padded = np.zeros((12, 7), "u2")
    padded[:9] = page
    path = tmp_path / "a.tif"
    for codec in ("zlib", "lzw", "zstd"):
        tifffile.imwrite(path, padded, compression=codec, rowsperstrip=4, metadata=None)
        content = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as tif:
            tag = tif.pages[0].tags[257]
        content[tag.valueoffset : tag.valueoffset + 2] = struct.pack("<H", 9)
        path.write_bytes(content)
        np.testing.assert_array_equal(read_all("tif", path)[0], page)


def test_directory_and_missing_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        TIF.inspect(str(tmp_path), Options())
    with pytest.raises(FileNotFoundError):
        TIF.inspect(str(tmp_path / "gone.tif"), Options())


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_mutations_never_crash(data, tmp_path_factory):
    big = data.draw(st.booleans())
    content = bytearray(
        tif_bytes(PAGES, data.draw(st.sampled_from("<>")), big, "ImageJ=1\nimages=3\n")
    )
    begin = 8 + PAGES.nbytes
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.one_of(st.integers(0, 15), st.integers(begin, len(content) - 1)))
        content[place] = data.draw(st.sampled_from([0, 1, 2, 3, 4, 8, 127, 128, 255]))
    path = tmp_path_factory.getbasetemp() / "mutated.tif"
    path.write_bytes(content)
    attempt(path)
