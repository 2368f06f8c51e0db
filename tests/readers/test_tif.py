"""TIFF of every kind against the arrays that were written."""

import logging
import os

import numpy as np
import pytest
import tifffile

from mpimages.errors import FormatError
from mpimages.readers import Options, Scratch, find_input, get
from tests.support.data import DTYPES, recording
from tests.support.recordings import imagej_description, read_all, tif_bytes, volumes

TIF = get("tif")


def inspect(path, **given):
    return TIF.inspect(str(path), Options(**given))


def check(path, pages):
    """All the ways to cut pages into images."""
    count = len(pages)
    for planes in {1, count, 2 if count % 2 == 0 else count}:
        np.testing.assert_array_equal(read_all("tif", path, nplanes=planes), volumes(pages, planes))
    np.testing.assert_array_equal(read_all("tif", path), volumes(pages, count))


WAYS = {
    "classic": {},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "big-endian bigtiff": {"bigtiff": True, "byteorder": ">"},
    "strips": {"rowsperstrip": 2},
    "tiles": {"tile": (16, 16)},
    "big-endian tiles": {"tile": (16, 16), "byteorder": ">"},
    "lzw": {"compression": "lzw"},
    "packbits": {"compression": "packbits"},
    "deflate": {"compression": "zlib"},
    "zstd": {"compression": "zstd"},
    "deflate strips": {"compression": "zlib", "rowsperstrip": 3},
    "zstd tiles": {"compression": "zstd", "tile": (16, 16)},
    "lzma": {"compression": "lzma"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_way_and_dtype(tmp_path, way, dtype):
    pages = recording(4, (9, 7), dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack", **WAYS[way])
    assert inspect(path).dtype == np.dtype(dtype)
    check(path, pages)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 9), (2, 1, 8), (3, 8, 1), (8, 9, 7)])
@pytest.mark.parametrize("way", ["classic", "tiles", "deflate strips"])
def test_awkward_shapes(tmp_path, shape, way):
    pages = recording(shape[0], shape[1:], "uint16")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in pages:  # a last axis of 1 would else be taken for the values of a pixel
            writer.write(page, contiguous=False, metadata=None, **WAYS[way])
    expected = (*shape[1:], shape[0]) if shape[0] > 1 else shape[1:]
    assert inspect(path).dims == expected
    check(path, pages)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("codec", ["lzw", "zlib", "zstd"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_predictor(tmp_path, dtype, codec, order, tile):
    pages = recording(2, (18, 21), dtype)
    path = tmp_path / "a.tif"
    options = {"compression": codec, "predictor": True, "byteorder": order}
    if tile is not None:
        options["tile"] = tile
    tifffile.imwrite(path, pages, photometric="minisblack", **options)
    check(path, pages)


@pytest.mark.parametrize("codec", ["lerc", "jpegxl", "jpeg2000"])
def test_codecs_of_the_library(tmp_path, codec):
    pages = recording(2, (32, 24), "uint8")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack", compression=codec)
    check(path, pages)


def test_one_bit(tmp_path):
    pages = recording(3, (9, 11), "uint8") > 100
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack")
    assert inspect(path).dtype == np.uint8
    check(path, pages.astype(np.uint8))


def test_twelve_bits(tmp_path):
    pages = recording(2, (8, 8), "uint16") & 0xFFF
    bits = np.unpackbits(pages.astype(">u2").view(np.uint8).reshape(2, 8, 8, 2), axis=-1)
    packed = np.packbits(bits[..., 4:].reshape(2, 8, -1), axis=-1)
    content = tif_bytes(packed, extra={256: (4, 8), 258: (3, 12)})
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    check(path, pages)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("strips", [1, 3])
def test_own_bytes(tmp_path, order, big, strips):
    pages = recording(5, (9, 7), "int16")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, order, big, strips=strips))
    np.testing.assert_array_equal(tifffile.imread(path), pages)
    check(path, pages)


def test_directories_between_the_pages(tmp_path):
    pages = recording(30, (8, 9), "uint16")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for k, page in enumerate(pages):
            writer.write(page, contiguous=False, description="x" * k, metadata=None)
    check(path, pages)


def test_pages_stored_in_different_ways(tmp_path):
    pages = recording(6, (32, 17), "uint16")
    path = tmp_path / "a.tif"
    ways = [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"rowsperstrip": 5}]
    with tifffile.TiffWriter(path) as writer:
        for k, page in enumerate(pages):
            writer.write(page, contiguous=False, metadata=None, **ways[k % 4])
    check(path, pages)


def test_pages_of_different_shape(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((8, 8), "u1"), metadata=None)
        writer.write(np.zeros((8, 9), "u1"), metadata=None)
    with pytest.raises(FormatError, match=r"a\.tif: its pages differ: 8 × 8.*8 × 9"):
        inspect(path)


def test_thumbnails_are_left_out(tmp_path):
    pages = recording(4, (32, 32), "uint16")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, contiguous=False, metadata=None)
            writer.write(page[::2, ::2], contiguous=False, metadata=None, subfiletype=1)
    check(path, pages)


def test_pages_of_full_size_are_no_thumbnails(tmp_path):
    """Some programs mark every page, or every page but the first, by NewSubfileType 1."""
    pages = recording(6, (32, 32), "uint16")
    path = tmp_path / "a.tif"
    for marked in (range(6), range(1, 6)):
        with tifffile.TiffWriter(path) as writer:
            for k, page in enumerate(pages):
                kind = 1 if k in marked else 0
                writer.write(page, contiguous=False, metadata=None, subfiletype=kind)
            writer.write(pages[0][::2, ::2], contiguous=False, metadata=None, subfiletype=1)
        check(path, pages)


@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_thumbnails_in_colour(tmp_path, planarconfig):
    pages = recording(3, (32, 32), "uint16")
    path = tmp_path / "a.tif"
    shape = (8, 8, 3) if planarconfig == "contig" else (3, 8, 8)
    for kind in (1, 0):
        with tifffile.TiffWriter(path) as writer:
            for page in pages:
                writer.write(page, contiguous=False, metadata=None)
                writer.write(np.zeros(shape, "u1"), photometric="rgb", planarconfig=planarconfig,
                             contiguous=False, metadata=None, subfiletype=kind)  # fmt: skip
        if kind == 1:
            check(path, pages)
    with pytest.raises(ValueError, match="colour"):  # by no means a thumbnail
        inspect(path)
    with tifffile.TiffWriter(path) as writer:
        writer.write(pages[0], metadata=None)
        writer.write(np.zeros((32, 32, 3), "u1"), photometric="rgb", metadata=None, subfiletype=1)
    with pytest.raises(ValueError, match=r"colour.*3 values per pixel, RGB"):
        inspect(path)


PALETTES = {
    "imagej": imagej_description(3, frames=3),
    "ome": '<OME xmlns="x"><Image><Pixels DimensionOrder="XYZCT" SizeT="3"/></Image></OME>',
}


@pytest.mark.parametrize("kind", PALETTES)
def test_palette_of_grey_images(tmp_path, kind):
    """The palette says how to show the intensities."""
    pages = recording(3, (8, 9), "uint8")
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(pages, description=PALETTES[kind], extra={262: (3, 3)}))
    np.testing.assert_array_equal(read_all("tif", path), pages)
    four = {262: (3, 3), 258: (3, 4)}
    for text, extra in (("", {262: (3, 3)}), (PALETTES[kind], four)):
        path.write_bytes(tif_bytes(pages, description=text, extra=extra))
        with pytest.raises(ValueError, match=r"colour.*palette"):
            inspect(path)


def ramp(bits, kind):
    """A grey palette that shows each index as that intensity, as programs write it."""
    index = np.arange(1 << bits)
    levels = {
        "of 16 bits": index * 65535 // index[-1],
        "of 8 bits": index * 255 // index[-1],
        "shifted": index << (16 - bits),
        "the indices": index,
    }[kind]
    return np.stack([levels] * 3).astype("u2")


RAMPS = ["of 16 bits", "of 8 bits", "shifted", "the indices"]


def palette_tif(pages, bits, palette, order="<", big=False):
    """Pages that are packed in so many bits, with a palette."""
    each = np.unpackbits(pages.astype(">u2").view("u1").reshape(*pages.shape, 2), axis=-1)
    packed = np.packbits(each[..., 16 - bits :].reshape(*pages.shape[:2], -1), axis=-1)
    packed = packed.view(">u2") if bits == 16 else packed
    extra = {256: (4, pages.shape[2]), 258: (3, bits), 262: (3, 3),
             320: (3, palette.reshape(-1).tolist())}  # fmt: skip
    return tif_bytes(packed, order, big, extra=extra)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("kind", RAMPS)
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_grey_ramps_are_intensities(tmp_path, bits, kind, order, big):
    path = tmp_path / "a.tif"
    pages = recording(3, (8, 16), "uint16") >> (16 - bits)
    palette = ramp(bits, kind)
    path.write_bytes(palette_tif(pages, bits, palette, order, big))
    assert inspect(path).dtype == np.dtype("u2" if bits == 16 else "u1")
    check(path, pages)
    others = {"reversed": palette[:, ::-1], "a colour": palette * [[1], [1], [0]],
              "black": palette * 0}  # fmt: skip
    if bits > 2:
        others["not even"] = palette[:, np.sort(np.arange(1 << bits) ** 2 >> bits)]
        others["up and down"] = np.concatenate([palette[:, ::2], palette[:, ::-2]], axis=1)
    for name, other in others.items():
        path.write_bytes(palette_tif(pages, bits, other, order, big))
        with pytest.raises(ValueError, match=r"colour.*palette"):
            inspect(path)
            pytest.fail(name)


def test_each_page_and_file_has_its_own_palette(tmp_path):
    pages = recording(40, (4, 4), "uint8")
    path, other = tmp_path / "a.tif", tmp_path / "b.tif"
    maps = [ramp(8, RAMPS[k % 3]) for k in range(40)]
    for name, last in ((path, maps[-1]), (other, maps[-1][:, ::-1])):
        with tifffile.TiffWriter(name) as writer:
            for page, colours in zip(pages, [*maps[:-1], last], strict=True):
                writer.write(page, photometric="palette", colormap=colours, contiguous=False,
                             metadata=None)  # fmt: skip
    check(path, pages)
    with pytest.raises(ValueError, match=r"b\.tif: colour"):
        inspect(other)
    for name, colours in ((path, maps[0]), (other, maps[0][:, ::-1])):  # otherwise alike
        tifffile.imwrite(name, pages[0], photometric="palette", colormap=colours, metadata=None)
    with pytest.raises(ValueError, match=r"b\.tif: colour"):
        read_all("tif", [path, other])


@pytest.mark.parametrize("way", ["classic", "tiles", "lzw", "zstd tiles"])
def test_rgb_of_one_value_is_grey(tmp_path, way):
    pages = recording(3, (18, 21), "uint16")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack", metadata=None, **WAYS[way])
    _mark(path, slice(None), 262, 2)
    check(path, pages)


@pytest.mark.parametrize("bits", [4, 12, 16])
def test_rgb_of_one_value_that_the_library_decodes(tmp_path, bits):
    path = tmp_path / "a.tif"
    pages = recording(2, (6, 8), "uint16") % 16
    values = np.unpackbits(pages.astype(">u2").view("u1").reshape(2, 6, 8, 2), axis=-1)
    stored = np.packbits(values[..., 16 - bits :].reshape(2, 6, -1), axis=-1)
    reverse = bits == 16
    if reverse:  # the bits of each byte in the other order
        stored = np.packbits(np.unpackbits(stored, axis=-1, bitorder="little"), axis=-1)
    extra = {256: (4, 8), 258: (3, bits), 262: (3, 2), 266: (3, 1 + reverse)}
    path.write_bytes(tif_bytes(stored, order=">", extra=extra))
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)


def test_masks_are_left_out(tmp_path, caplog):
    pages = recording(4, (32, 32), "uint16")
    masks = pages > 1000
    path = tmp_path / "a.tif"
    for mask, word in ((masks, 0), (masks.astype("u1"), 0), (pages, 1)):
        for kind in (4, 5, 6):
            with tifffile.TiffWriter(path) as writer:
                for page, other in zip(pages, mask, strict=True):
                    writer.write(page, contiguous=False, metadata=None)
                    writer.write(other, contiguous=False, metadata=None, subfiletype=1,
                                 photometric="minisblack")  # fmt: skip
            _mark(path, slice(1, None, 2), 254, kind)
            caplog.clear()
            inspect(path)
            assert len(caplog.records) == word  # what may be meant as images is not passed over
            check(path, pages)
    path.write_bytes(tif_bytes(pages, extra={254: (4, 4)}))
    check(path, pages)  # nothing else is there


def _mark(path, chosen, tag, value):
    with tifffile.TiffFile(path, mode="r+b") as file:
        for page in file.pages[chosen]:
            page.tags[tag].overwrite(value)


@pytest.mark.parametrize("bits", [(8, 1), (8, 4), (16, 12), (1, 8)])
def test_pages_of_other_depth_are_no_planes(tmp_path, bits):
    path = tmp_path / "a.tif"
    page = np.zeros((8, 16), "u2" if bits[0] == 16 else "u1")
    tifffile.imwrite(path, np.stack([page, page]), photometric="minisblack", metadata=None)
    for k in (0, 1):
        _mark(path, slice(k, k + 1), 258, bits[k])
    with pytest.raises(FormatError, match=r"a\.tif: its pages differ: .* bits"):
        inspect(path)


# What libtiff writes of one image of 6 × 21 bits: compression, T4Options, bytes.
CCITT = [
    (2, 0, "350d8035aebac035dd3ee9f74e354e8743a743a1d3a1d0e03543a1d3a1d0e9d0e874e0354e9f74fba740"),
    (3, 0, "001350d80026b5d758009aee9f74fba7001354e8743a743a1d3a1d0e0026a8743a743a1d3a1d0e9c"
           "004d53a7dd3ee9d0"),
    (3, 1, "0019a86c0014d66b35800cd774fba7dd3800a92081524102a48250019aa1d0e9d0e874e8743a7001"
           "6d2b4ad280"),
    (3, 4, "0001350d800135aebac00135dd3ee9f74e0001354e8743a743a1d3a1d0e0013543a1d3a1d0e9d0e8"
           "74e001354e9f74fba740"),
    (4, 0, "26a1b26b359ae8114e8114e8105a4820549040a92097492d24b492ed2b4ad280080080"),
]  # fmt: skip


@pytest.mark.parametrize(("compression", "options", "stored"), CCITT)
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("big", [False, True])
def test_ccitt_as_libtiff_reads_it(tmp_path, compression, options, stored, photometric, reverse,
                                   big):  # fmt: skip
    rows, columns = np.mgrid[:6, :21]
    content = np.frombuffer(bytes.fromhex(stored), "u1")
    if reverse:  # FillOrder 2
        content = np.packbits(np.unpackbits(content).reshape(-1, 8)[:, ::-1])
    extra = {256: (4, 21), 257: (4, 6), 258: (3, 1), 259: (3, compression), 262: (3, photometric),
             266: (3, 1 + reverse), 278: (4, 6), 292: (4, options)}  # fmt: skip
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(content.reshape(1, 1, -1), big=big, extra=extra))
    np.testing.assert_array_equal(read_all("tif", path)[0], rows * columns % 7 < 3)


@pytest.mark.parametrize(("bits", "sample_format"), [(24, 1), (24, 4), (40, 1), (24, 2)])
@pytest.mark.parametrize("order", "<>")
def test_integers_that_are_refused(tmp_path, bits, sample_format, order):
    extra = {256: (4, 8), 258: (3, bits), 339: (3, sample_format)}
    path = tmp_path / "a.tif"
    path.write_bytes(tif_bytes(np.zeros((2, 8, bits), "u1"), order, extra=extra))
    told = rf"a\.tif: values of {bits} bits and sample format {sample_format} are not read"
    with pytest.raises(ValueError, match=told):
        inspect(path)


@pytest.mark.parametrize("ending", [".TIF", ".tiff", ".btf", ".tf2", ".tf8"])
def test_endings(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(tif_bytes(np.zeros((1, 4, 5), "u1"), big=ending in (".btf", ".tf8")))
    (tmp_path / "notes.txt").write_text("")
    assert find_input(str(tmp_path)) == ("tif", [str(path)])


# ---- many files


def test_directory_of_volumes(fish):
    paths = sorted(fish.iterdir())
    expected = np.stack([np.moveaxis(tifffile.imread(path), 0, -1) for path in paths])
    np.testing.assert_array_equal(read_all("tif", paths), expected)


def test_files_of_different_length_with_nplanes(tmp_path):
    parts = [recording(n, (7, 8), "uint16", n) for n in (2, 6, 4)]
    paths = [tmp_path / f"{k}.tif" for k in range(3)]
    for path, part in zip(paths, parts, strict=True):
        tifffile.imwrite(path, part, photometric="minisblack")
    expected = np.concatenate([volumes(part, 2) for part in parts])
    np.testing.assert_array_equal(read_all("tif", paths, nplanes=2), expected)


def test_nplanes_that_does_not_divide(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, recording(7, (4, 4), "u1"), photometric="minisblack")
    with pytest.raises(ValueError, match=r"a\.tif: its 7 pages.*nplanes=2"):
        inspect(path, nplanes=2)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (np.zeros((8, 9), "u2"), r"shape \(8, 9\)"),
        (np.zeros((8, 8), "i2"), "dtype int16"),
        (np.zeros((3, 8, 8), "u2"), r"shape \(8, 8, 3\)"),
    ],
)
def test_file_unlike_the_first(tmp_path, other, told):
    first, second = tmp_path / "a.tif", tmp_path / "b.tif"
    tifffile.imwrite(first, np.zeros((8, 8), "u2"))
    tifffile.imwrite(second, other, photometric="minisblack")
    header = inspect(first)
    with pytest.raises(FormatError, match=rf"b\.tif.*{told}.*a\.tif.*\(8, 8\).*uint16"):
        TIF.open(str(second), Options(), header)


def test_more_images_than_in_the_first(tmp_path):
    first, second = tmp_path / "a.tif", tmp_path / "b.tif"
    first.write_bytes(tif_bytes(np.zeros((1, 8, 8), "u2"), description=imagej_description(1)))
    text = imagej_description(3, frames=3)
    second.write_bytes(tif_bytes(np.zeros((3, 8, 8), "u2"), description=text))
    header = inspect(first)
    with pytest.raises(FormatError, match=r"b\.tif: holds 3 images"):
        TIF.open(str(second), Options(), header)


def test_given_dims_and_dtype_must_agree(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((8, 9), ">u2"), byteorder=">")
    assert inspect(path, dims=(8, 9), dtype=">u2").dtype.isnative
    with pytest.raises(ValueError, match=r"dims=\(9, 8\)"):
        inspect(path, dims=(9, 8))
    with pytest.raises(ValueError, match="dtype=float32"):
        inspect(path, dtype="f4")


def test_many_pages_without_header_are_logged(tmp_path, caplog):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((201, 2, 2), "u1"), photometric="minisblack")
    with caplog.at_level(logging.WARNING, logger="mpimages"):
        inspect(path)
        assert len(caplog.records) == 1
        assert "nplanes=1" in caplog.text
        inspect(path, nplanes=1)
        assert len(caplog.records) == 1


# ---- memory and handles


def test_reads_into_what_it_is_given(tmp_path):
    pages = recording(6, (5, 4), "uint16")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack")
    options = Options(nplanes=1)
    header = inspect(path, nplanes=1)
    batch = np.zeros((9, 5, 4), "u2")
    with TIF.open(str(path), options, header) as handle:
        handle.read_batch(1, 5, batch[2:6])
        np.testing.assert_array_equal(batch[2:6], pages[1:5])
        assert not batch[:2].any()
        assert not batch[6:].any()
        handle.read_batch(3, 3, batch[:0])
        for bad in (batch[:3], batch[:4, :, ::-1], batch[:4].astype("i2")):
            with pytest.raises(ValueError, match="read"):
                handle.read_batch(1, 5, bad)
        batch.flags.writeable = False
        with pytest.raises(ValueError, match="writeable"):
            handle.read(0, batch[0])
        with pytest.raises(IndexError, match=r"a\.tif"):
            handle.read_batch(4, 7, np.empty((3, 5, 4), "u2"))
        handle.close()
        with pytest.raises(ValueError, match="closed"):
            handle.read(0, np.empty((5, 4), "u2"))


def test_scratch_is_shared_and_counted(tmp_path):
    pages = recording(6, (5, 4), "uint16")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack")
    header = inspect(path)
    scratch = Scratch()
    for _ in range(3):
        with TIF.open(str(path), Options(), header, scratch) as handle:
            handle.read(0, np.empty(header.dims, header.dtype))
    assert 0 < scratch.nbytes <= TIF.scratch_bytes(header)


@pytest.mark.parametrize("codec", [None, "zlib", "lerc"])
def test_one_open_file_and_none_after(tmp_path, codec):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, recording(2, (8, 8), "u1"), photometric="minisblack", compression=codec)
    header = inspect(path)

    def opened():
        links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
        return sum(os.path.realpath(link) == os.path.realpath(path) for link in links)

    with TIF.open(str(path), Options(), header) as handle:
        handle.read(0, np.empty(header.dims, header.dtype))
        assert opened() in (1, 2)  # the library's own descriptor is of the same open file
    assert opened() == 0
    path.write_bytes(b"II*\0")
    with pytest.raises(FormatError):
        inspect(path)
    assert opened() == 0


def test_index_is_made_anew_when_the_file_changes(tmp_path):
    path = tmp_path / "a.tif"
    for seed, count in ((1, 150), (2, 150), (3, 120)):
        pages = recording(count, (3, 4), "uint16", seed)
        tifffile.imwrite(path, pages, photometric="minisblack", bigtiff=seed == 2)
        np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
        np.testing.assert_array_equal(read_all("tif", path, nplanes=2), volumes(pages, 2))


@pytest.mark.parametrize("codec", [None, "zlib"])
def test_files_that_look_alike_are_not_confused(tmp_path, codec):
    """Of files with the same header only one is parsed: all the ways in which they may differ."""
    pages = recording(8, (16, 16), "uint16")
    written = [
        tif_bytes(pages[:1], description="one"),
        tif_bytes(pages[1:2], description="two"),
        tif_bytes(pages[2:3], ">", description="two"),
        tif_bytes(pages[3:4].view("i2"), description="two"),
        tif_bytes(pages[4:5].reshape(1, 32, 8), description="two"),
        tif_bytes(pages[5:6], description="two", strips=4),
        tif_bytes(pages[6:8], description="two"),
    ]
    for k, content in enumerate(written):
        (tmp_path / f"{k}.tif").write_bytes(content)
    np.testing.assert_array_equal(
        read_all("tif", [tmp_path / f"{k}.tif" for k in (0, 1, 2, 5)]), pages[[0, 1, 2, 5]]
    )
    first = inspect(tmp_path / "1.tif")
    for k in (3, 4, 6):
        with TIF.open(str(tmp_path / "1.tif"), Options(), first), pytest.raises(FormatError):
            TIF.open(str(tmp_path / f"{k}.tif"), Options(), first)
    for k in range(8):
        tifffile.imwrite(tmp_path / f"c{k}.tif", pages[k], compression=codec, rowsperstrip=4)
    found = read_all("tif", [tmp_path / f"c{k}.tif" for k in range(8)])
    np.testing.assert_array_equal(found, pages)


def test_imagej_files_that_differ_in_their_description_alone(tmp_path):
    pages = recording(6, (4, 5), "uint8")
    for k, fields in enumerate(({"frames": 6}, {"slices": 6}, {"frames": 6})):
        text = imagej_description(6, **fields)
        (tmp_path / f"{k}.tif").write_bytes(tif_bytes(pages, description=text, directories=1))
        text = imagej_description(1, **fields | {"info": "x"}).replace("=6", "=1")
        (tmp_path / f"s{k}.tif").write_bytes(tif_bytes(pages[k : k + 1], description=text))
    header = inspect(tmp_path / "0.tif")
    with pytest.raises(FormatError, match="shape"):
        TIF.open(str(tmp_path / "1.tif"), Options(), header)
    TIF.open(str(tmp_path / "2.tif"), Options(), header).close()
    single = read_all("tif", [tmp_path / f"s{k}.tif" for k in range(3)])
    np.testing.assert_array_equal(single, pages[:3])


@pytest.mark.slow
def test_a_hundred_thousand_pages_open_in_a_second(tmp_path):
    import time

    path = tmp_path / "movie.tif"
    pages = np.zeros((100_000, 4, 4), "u2")
    pages[:] = np.arange(100_000, dtype="u4").astype("u2")[:, np.newaxis, np.newaxis]
    tifffile.imwrite(path, pages, photometric="minisblack")
    start = time.process_time()
    header = get("tif").inspect(str(path), Options(nplanes=1))
    assert time.process_time() - start < 3  # about 0.2 s
    assert header.count == 100_000
    np.testing.assert_array_equal(read_all("tif", path, nplanes=1), pages)
