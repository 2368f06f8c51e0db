"""Pictures against what imshow shows and what tifffile reads; names, manifests, options."""

import json
import os
import subprocess
import sys
import zlib

import imagecodecs
import matplotlib as mpl
import numpy as np
import pytest
import tifffile
from matplotlib import colors

from mpimages.core.ranges import runs_of
from mpimages.writers.output.naming import Naming
from mpimages.writers.output.staging import staged
from mpimages.writers.pictures import PictureWriter
from mpimages.writers.png import ImshowMapping, check_imshow_options, write_png
from mpimages.writers.tif import layout
from mpimages.writers.tif.images import write_tif

mpl.use("Agg")
NUMBERS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def image_of(dtype, shape=(7, 9)):
    image = (np.arange(np.prod(shape)) * 3 % 101).astype(dtype)
    if image.dtype.kind == "f":
        image[:3] = np.resize([np.nan, np.inf, -np.inf], len(image[:3]))
    return image.reshape(shape)


def as_shown(image, **options):
    """The RGBA bytes that imshow itself makes of the image."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    shown = axes.imshow(image, **options)
    return shown.to_rgba(shown.get_array(), alpha=options.get("alpha"), bytes=True)


def png(path, image, **options):
    write_png(path, image, ImshowMapping(image.dtype, **options))
    return imagecodecs.png_decode(path.read_bytes())


@pytest.mark.parametrize("cmap", ["gray", "gray_r", "hot", colors.ListedColormap(["r", "#0f08"])])
@pytest.mark.parametrize("alpha", [None, 0.5])
@pytest.mark.parametrize("dtype", [*NUMBERS, "?"])
def test_a_png_has_the_colours_of_imshow(tmp_path, dtype, cmap, alpha):
    image = image_of(dtype)
    found = png(tmp_path / "a.png", image, vmin=5, vmax=70, cmap=cmap, alpha=alpha)
    shown = image.astype("f4") if dtype == "f2" else image.astype("u1") if dtype == "?" else image
    expected = as_shown(shown, vmin=5, vmax=70, cmap=cmap, alpha=alpha)
    if found.ndim == 2:
        assert cmap in ("gray", "gray_r")
        assert (expected[..., :3] == expected[..., :1]).all()
        expected = expected[..., 0]
    transparent = alpha is not None or not isinstance(cmap, str)
    assert found.ndim == 2 or found.shape[-1] == (4 if transparent else 3)
    np.testing.assert_array_equal(
        found, expected[..., : found.shape[-1]] if found.ndim == 3 else expected
    )


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4"])
@pytest.mark.parametrize("norm", ["log", colors.PowerNorm(0.5), colors.Normalize(3, 50)])
def test_norms(tmp_path, dtype, norm):
    image = image_of(dtype)
    ends = {} if getattr(norm, "vmin", None) is not None else {"vmin": 2, "vmax": 80}
    found = png(
        tmp_path / "a.png",
        image,
        norm=norm,
        cmap="viridis",
        vmin=ends.get("vmin"),
        vmax=ends.get("vmax"),
    )
    if isinstance(norm, colors.PowerNorm):
        assert norm.vmin is None  # the caller's own is not changed
        expected = as_shown(image, norm=colors.PowerNorm(0.5, 2, 80), cmap="viridis")
    else:
        expected = as_shown(image, norm=norm, cmap="viridis", **ends)
    np.testing.assert_array_equal(found, expected[..., :3])


def test_one_pixel_per_pixel_and_origin(tmp_path):
    for number, shape in enumerate([(1, 1), (1, 9), (7, 1), (8, 9)]):
        image = image_of("u1", shape)
        upper = png(tmp_path / f"u{number}.png", image, vmin=0, vmax=255)
        lower = png(tmp_path / f"l{number}.png", image, vmin=0, vmax=255, origin="lower")
        expected = as_shown(image, vmin=0, vmax=255, cmap="gray")[..., 0]
        np.testing.assert_array_equal(upper, expected)
        np.testing.assert_array_equal(lower, expected[::-1])


def test_any_byte_order_and_memory_order(tmp_path):
    image = image_of("u2")
    mapping = ImshowMapping(">u2", 0, 100)
    expected = ImshowMapping("u2", 0, 100)(image)
    for other in (image, image.astype(">u2"), np.asfortranarray(image)):
        other.flags.writeable = False
        np.testing.assert_array_equal(mapping(other), expected)
    single = image_of("f8")
    expected = ImshowMapping("f8", 0, 100)(single)
    np.testing.assert_array_equal(ImshowMapping(">f8", 0, 100)(single.astype(">f8")), expected)


def test_a_png_holds_the_picture_alone(tmp_path):
    """IHDR, IDAT, IEND: no software, no time, no text."""
    png(tmp_path / "a.png", image_of("u1"), vmin=0, vmax=9)
    data, kinds, at = (tmp_path / "a.png").read_bytes(), [], 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kinds.append(data[at + 4 : at + 8])
        crc = zlib.crc32(data[at + 4 : at + 8 + length]).to_bytes(4, "big")
        assert data[at + 8 + length : at + 12 + length] == crc
        at += 12 + length
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


def test_a_scale_of_one_value_is_black(tmp_path):
    assert not png(tmp_path / "a.png", np.full((2, 2), 7.0), vmin=7, vmax=7).any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"cmap": "no such"}, ValueError, "no such"),
        ({"cmap": 3}, (TypeError, ValueError), "cmap|Colormap"),
        ({"cmap": "BiPeak"}, (TypeError, ValueError), "cmap|colour map"),
        ({"vmin": None}, ValueError, "vmin and vmax"),
        ({"vmax": float("nan")}, ValueError, "finite"),
        ({"vmin": 10}, ValueError, "vmin must be at most vmax"),
        ({"alpha": 2}, ValueError, "alpha"),
        ({"origin": "left"}, ValueError, "origin"),
        ({"norm": "no such"}, ValueError, "norm|such"),
        ({"dtype": "c8"}, TypeError, "complex64"),
        ({"dtype": "U1"}, TypeError, "dtype must be"),
        ({"norm": "log"}, ValueError, "vmin|positive|Invalid"),
    ],
)
def test_options_that_make_no_sense(options, error, message):
    with pytest.raises(error, match=message):
        mapping = ImshowMapping(**({"dtype": "u1", "vmin": 0, "vmax": 9} | options))
        mapping(image_of("u1"))


def test_images_that_are_not_pictures(tmp_path):
    mapping = ImshowMapping("u1", 0, 9)
    for image in (np.zeros((2, 2, 2), "u1"), np.zeros((2, 2), "u2"), np.zeros((0, 3), "u1")):
        with pytest.raises(ValueError, match="image"):
            write_png(tmp_path / "a.png", image, mapping)
    assert list(tmp_path.iterdir()) == []


def test_imshow_options():
    check_imshow_options(["cmap", "vmin", "vmax", "norm", "alpha", "origin"])
    with pytest.raises(TypeError, match=r"saveAsPngs\(\) does not take imshow's 'extent'.*axes"):
        check_imshow_options(["cmap", "extent"])
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        check_imshow_options(["colour"])


SHAPES = [
    (1, 1),
    (7, 1),
    (1, 7),
    (7, 9),
    (7, 9, 2),
    (7, 9, 3),
    (7, 9, 4),
    (1, 7, 2),
    (7, 1, 3),
    (1, 1, 2),
    (3, 4, 8),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_a_tif_reads_back(tmp_path, dtype, shape):
    image = image_of(dtype, shape)
    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    write_tif(paths[0], image)
    write_tif(paths[1], image.astype(image.dtype.newbyteorder(">")))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with tifffile.TiffFile(paths[0]) as file:
        found = file.asarray()
        names = {tag.name for page in file.pages for tag in page.tags}
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.MINISBLACK
        assert len(file.pages) == (shape[2] if len(shape) == 3 else 1)
        assert all(page.shape == shape[:2] for page in file.pages)
        assert file.is_imagej  # so that readers know which page is what, whatever the dtype
        assert not file.is_bigtiff
    assert not names & {"Software", "DateTime", "HostComputer", "Artist"}
    assert found.dtype == image.dtype
    pages = image if len(shape) == 2 else np.moveaxis(image, -1, 0)
    np.testing.assert_array_equal(found.reshape(pages.shape), pages)


def test_a_volume_of_one_page_is_an_image(tmp_path):
    write_tif(tmp_path / "a.tif", image_of("u2", (7, 9, 1)))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), image_of("u2"))


def test_pixel_sizes_for_imagej(tmp_path):
    metadata = {"pixelSize": (0.5, 0.25, 2.0), "unit": "µm", "frameInterval": 0.125}
    write_tif(tmp_path / "a.tif", image_of("u2", (7, 9, 3)), metadata)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        tags = file.pages[0].tags
        assert tags["XResolution"].value == (4, 1)
        assert tags["YResolution"].value == (2, 1)
        described = file.imagej_metadata
    assert described["unit"] == "um"
    assert described["spacing"] == 2.0
    assert described["finterval"] == 0.125
    assert described["slices"] == 3


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"unit": "µm"},
        {"pixelSize": (1, 2)},
        {"pixelSize": (None, 1), "unit": "nm"},
        {"pixelSize": (0, -1), "unit": "nm"},
        {"pixelSize": None, "frameInterval": float("nan")},
        {"pixelSize": (1, 1), "unit": "Ω\nm"},
        {"frameInterval": "soon"},
    ],
)
def test_odd_metadata_is_survived(tmp_path, metadata):
    write_tif(tmp_path / "a.tif", image_of("u1"), metadata)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), image_of("u1"))


def test_more_than_four_gigabytes_is_bigtiff(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "CLASSIC_BYTES", 100)
    write_tif(tmp_path / "a.tif", image_of("u2", (7, 9, 3)))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.asarray(), np.moveaxis(image_of("u2", (7, 9, 3)), -1, 0))


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (np.zeros(3), ValueError),
        (np.zeros((0, 3)), ValueError),
        (np.zeros((1, 2, 3, 4)), ValueError),
        (np.zeros((2, 2), "c8"), TypeError),
        (np.zeros((2, 2), "U1"), TypeError),
        (np.zeros((2, 2), "?"), TypeError),
    ],
)
def test_what_a_tif_cannot_hold(tmp_path, image, error):
    with pytest.raises(error):
        write_tif(tmp_path / "a.tif", image)
    assert list(tmp_path.iterdir()) == []


def test_existing_files_are_kept(tmp_path):
    for name in ("a.tif", "a.png"):
        (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        write_tif(tmp_path / "a.tif", image_of("u1"))
    with pytest.raises(FileExistsError):
        png(tmp_path / "a.png", image_of("u1"), vmin=0, vmax=1)
    assert {p.read_bytes() for p in tmp_path.iterdir()} == {b"mine"}


def test_names():
    assert Naming.up_to("export", "png", 19).name(7) == "export-00007.png"
    wide = Naming.up_to("a[0]-1", "tif", 1_234_567)
    assert wide.name(7) == "a[0]-1-0000007.tif"
    assert wide.key("a[0]-1-0000007.tif") == 7
    for name in (
        "a[0]-1-00007.tif",
        "a0-1-0000007.tif",
        "a[0]-1-0000007.tiff",
        "x/a[0]-1-0000007.tif",
        "a[0]-1-" + "9" * 30 + ".tif",
        "a[0]-1-٠٠٠٠٠٠٧.tif",
    ):
        assert wide.key(name) is None
    for prefix in ("", ".a", "a/b", "../a", "a\0"):
        with pytest.raises(ValueError, match="file name"):
            Naming(prefix, "png")
    with pytest.raises(TypeError):
        Naming(3, "png")
    with pytest.raises(ValueError, match="negative"):
        wide.name(-1)


@pytest.mark.parametrize("keys", [[], [0], [3, 4, 5, 100_000, 7]])
def test_a_directory_of_pictures_knows_its_files(comm, shared_path, keys):
    with staged(comm, shared_path / "out", "tif") as where:
        pictures = PictureWriter(comm, where, "tif", "roi", 100_000)
        for key in keys[comm.rank :: comm.size]:
            write_tif(pictures.path(key), image_of("u1") + np.uint8(key % 50))
        pictures.finish()
    text = (shared_path / "out" / ".mpimages.json").read_bytes()
    manifest = json.loads(text)
    assert manifest.pop("crc32") == zlib.crc32(text[: text.rindex(b'  "crc32"')])
    names = [f"roi-{key:06d}.tif" for key in sorted(keys)]
    written = [(shared_path / "out" / name).read_bytes() for name in names]
    assert manifest == {
        "format": "mpimages-images",
        "version": 1,
        "kind": "tif",
        "complete": True,
        "files": {
            "prefix": "roi",
            "digits": 6,
            "keys": [list(run) for run in runs_of(np.sort(keys))],
        },
        "sizes": [len(data) for data in written],
        "checksum": {"kind": "crc32", "values": [zlib.crc32(data) for data in written]},
    }
    assert sorted(os.listdir(shared_path / "out")) == sorted(
        [".mpimages.json", *(f"roi-{key:06d}.tif" for key in keys)]
    )


def test_a_key_written_twice_is_an_error(comm, shared_path):
    with pytest.raises(FileExistsError), staged(comm, shared_path / "out", "tif") as where:
        pictures = PictureWriter(comm, where, "tif", "roi", 5)
        for _ in range(2):
            write_tif(pictures.path(comm.rank), image_of("u1"))
        pictures.finish()
    assert os.listdir(shared_path) == []


def test_a_picture_that_was_not_written_is_an_error(comm, shared_path):
    with (
        pytest.raises(FileNotFoundError, match="roi-0000"),
        staged(comm, shared_path / "out", "tif") as where,
    ):
        pictures = PictureWriter(comm, where, "tif", "roi", 5)
        pictures.path(comm.rank)
        pictures.finish()
    assert os.listdir(shared_path) == []


def test_importing_the_writers_loads_nothing_heavy():
    code = (
        "import sys, mpimages.writers.pictures, mpimages.writers.hdf5.writer\n"
        "import mpimages.writers.output.staging\n"
        "import mpimages.writers.binaryseries\n"
        "print([m for m in ('h5py', 'matplotlib', 'tifffile', 'PIL', 'imagecodecs') "
        "if m in sys.modules])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PMI", "HYDI"))}
    done = subprocess.run(
        [sys.executable, "-c", "import mpi4py; mpi4py.rc.initialize = False\n" + code],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert done.stdout.strip() == "[]"
