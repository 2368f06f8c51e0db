"""PNG, flat binary, NPY and HDF5 images against the arrays that were written."""

import itertools
import json
import re
import struct
import warnings

import h5py
import numpy as np
import pytest

from mpimages.errors import FormatError
from mpimages.readers import Options, chunked_array, get
from mpimages.readers.series.hdf5 import inspect_hdf5, open_hdf5_series
from mpimages.readers.series.header import SeriesOptions
from tests.support.data import DTYPES, recording
from tests.support.recordings import png_bytes, png_chunk, read_all, write_json


def attempt(name, path, **given):
    """The error of reading all there is."""
    with pytest.raises((ValueError, OSError)) as caught:
        read_all(name, path, **given)
    assert str(path) in str(caught.value)
    return caught.value


def as_images(array, axes):
    """An array with named axes as images (T, Y, X[, Z]); of channels the last."""
    if "C" in axes:
        array, axes = array.take(-1, axes.index("C")), axes.replace("C", "")
    if "T" not in axes:
        array, axes = array[np.newaxis], "T" + axes
    return array.transpose([axes.index(axis) for axis in "TYXZ" if axis in axes])


# ---- PNG


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (8, 8), (9, 1), (1, 17)])
def test_png_values_are_as_stored(tmp_path, bits, shape):
    image = recording(1, shape, "uint16")[0] & ((1 << bits) - 1)
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(image, bits))
    found = read_all("png", path)
    assert found.dtype == (np.uint16 if bits == 16 else np.uint8)
    np.testing.assert_array_equal(found[0], image)


@pytest.mark.parametrize(
    ("colour", "told"), [(2, "RGB"), (3, "palette"), (4, "alpha"), (6, "alpha")]
)
def test_png_colour_is_refused(tmp_path, colour, told):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(np.zeros((4, 4)), 8, colour=colour))
    assert told in str(attempt("png", path))


def palette_png(image, bits, levels, more=b"", before=b""):
    colours = (
        np.repeat(np.asarray(levels, "u1")[:, None], 3, axis=1)
        if np.ndim(levels) == 1
        else np.asarray(levels, "u1")
    )
    chunks = before + png_chunk(b"PLTE", colours.tobytes()) + more
    return png_bytes(image, bits, colour=3, chunks=chunks)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("full", [False, True])
def test_png_with_a_grey_ramp_is_intensities(tmp_path, bits, full):
    last = (1 << bits) - 1
    index = np.arange(last + 1)
    image = recording(1, (7, 9), "uint16")[0] & last
    path = tmp_path / "a.png"
    text = png_chunk(b"tEXt", b"Comment\0none")
    for levels in (index * 255 // last, index << (8 - bits), index):
        levels, shown = (levels, image) if full else (levels[: last // 2 + 1], image >> 1)
        path.write_bytes(palette_png(shown, bits, levels, before=text))
        np.testing.assert_array_equal(read_all("png", path)[0], shown)
    ramp = index * 255 // last
    refused = [ramp[::-1], np.stack([ramp, ramp, ramp * 0], 1)]
    refused += [] if bits == 1 else [np.sort(index * index * 255 // last**2), np.roll(ramp, 1)]
    for levels in refused:
        path.write_bytes(palette_png(image, bits, levels))
        assert "palette" in str(attempt("png", path))


def test_png_each_file_has_its_own_palette(tmp_path):
    image = recording(1, (7, 9), "uint8")[0]
    paths = [tmp_path / f"{k}.png" for k in range(3)]
    paths[0].write_bytes(png_bytes(image, 8))
    paths[1].write_bytes(palette_png(image, 8, np.arange(256)))
    np.testing.assert_array_equal(read_all("png", paths[:2]), [image, image])
    paths[2].write_bytes(palette_png(image, 8, np.arange(256)[::-1]))
    with pytest.raises(ValueError, match=r"2\.png: palette"):
        read_all("png", paths)


def test_png_transparency_is_refused(tmp_path):
    path = tmp_path / "a.png"
    chunk = png_chunk(b"tRNS", struct.pack(">H", 3))
    path.write_bytes(png_bytes(np.zeros((4, 4)), 8, chunks=chunk))
    assert "transparency" in str(attempt("png", path))
    chunk = png_chunk(b"tRNS", b"\x80")
    path.write_bytes(palette_png(np.zeros((4, 4)), 8, np.arange(256), chunk))
    assert "transparency" in str(attempt("png", path))


def test_png_truncated_and_absurd(tmp_path):
    content = png_bytes(recording(1, (9, 9), "uint16")[0], 16)
    path = tmp_path / "a.png"
    for length in range(0, len(content) - 12, 5):
        path.write_bytes(content[:length])
        assert isinstance(attempt("png", path), FormatError)
    path.write_bytes(png_bytes(np.zeros((4, 4)), 8, claim=(2**31 - 1, 2**31 - 1)))
    assert "cannot be stored" in str(attempt("png", path))
    path.write_bytes(png_bytes(np.zeros((4, 4)), 8, claim=(0, 4)))
    assert isinstance(attempt("png", path), FormatError)


def test_png_unlike_the_first(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    paths[0].write_bytes(png_bytes(np.zeros((4, 4)), 8))
    paths[1].write_bytes(png_bytes(np.zeros((4, 4)), 16))
    with pytest.raises(FormatError, match=r"b\.png.*uint16.*a\.png.*uint8"):
        read_all("png", paths)
    with pytest.raises(ValueError, match="nplanes=2"):
        read_all("png", paths[0], nplanes=2)


# ---- flat binary


@pytest.mark.parametrize("dtype", [*DTYPES, ">i2", ">f4", ">u8", "<f8"])
@pytest.mark.parametrize("dims", [(7, 9), (1, 8), (4, 5, 3), (2, 1, 7)])
@pytest.mark.parametrize("order", ["dims", "shape"])
def test_stack(tmp_path, dtype, dims, order):
    images = recording(3, dims, np.dtype(dtype).newbyteorder("=").name)
    paths = [tmp_path / f"{k}.bin" for k in range(3)]
    for path, image in zip(paths, images, strict=True):
        stored = image.astype(dtype)
        path.write_bytes(stored.tobytes(order="F" if order == "dims" else "C"))
    write_json(tmp_path / "conf.json", {order: list(dims), "dtype": dtype})
    found = read_all("stack", paths)
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, images)


@pytest.mark.parametrize("nplanes", [1, 2, 3, 6])
@pytest.mark.parametrize("order", ["dims", "shape"])
def test_stack_is_cut_along_its_last_axis(tmp_path, nplanes, order):
    volume = recording(1, (4, 5, 6), "uint16")[0]
    path = tmp_path / "a.bin"
    path.write_bytes(volume.tobytes(order="F" if order == "dims" else "C"))
    write_json(tmp_path / "conf.json", {order: [4, 5, 6], "dtype": "uint16"})
    expected = np.moveaxis(volume.reshape(4, 5, 6 // nplanes, nplanes), 2, 0)
    found = read_all("stack", path, nplanes=nplanes)
    np.testing.assert_array_equal(found, expected[..., 0] if nplanes == 1 else expected)


@pytest.mark.parametrize(
    ("axes", "helps"),
    [("YX", {"nplanes": None}), ("TYX", {"axes": "ZYX"}), ("TZYX", {"nplanes": None})],
)
@pytest.mark.parametrize("name", ["npy", "hdf5"])
def test_advice_for_arrays_that_are_no_volume_helps(tmp_path, name, axes, helps):
    shape = tuple({"T": 4, "Z": 2, "Y": 8, "X": 9}[axis] for axis in axes)
    path = write_array(tmp_path, name, recording(1, shape, "uint16")[0])
    given = {"axes": axes, "nplanes": 2}
    error = attempt(name, path, **given)
    said = "leave nplanes= out" if "nplanes" in helps else "axes= with Z in place of T"
    assert f"its axes are {axes}; {said}" in str(error)
    read_all(name, path, **given | helps)


@pytest.mark.parametrize("order", ["dims", "shape"])
@pytest.mark.parametrize("further", [{}, {"incomplete": "drop"}])
def test_an_image_without_pages_is_not_cut(tmp_path, order, further):
    """Nor is it left out for that, and read all the same."""
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(4 * 5 * 2))
    given = {order: (4, 5), "dtype": "uint16", "nplanes": 2}
    error = attempt("stack", path, **given, **further)
    assert re.search(r"its 1 pages cannot be cut into images of nplanes=2", str(error))


def test_stack_explicit_wins(tmp_path):
    image = recording(1, (6, 4), "int16")[0]
    path = tmp_path / "a.bin"
    path.write_bytes(image.tobytes())
    column_major = image.reshape(-1).reshape((6, 4), order="F")
    for conf in (None, {"shape": [8, 3], "dtype": "uint16"}, {"dims": [8, 3], "dtype": "uint16"}):
        given = {}
        if conf is not None:
            write_json(tmp_path / "my.json", conf)
            given["confFilename"] = "my.json"
        for name, expected in (("dims", column_major), ("shape", image)):
            found = read_all("stack", path, dtype="int16", **{name: (6, 4)}, **given)
            np.testing.assert_array_equal(found[0], expected)
            if conf is not None:
                found = read_all("stack", path, **{name: (6, 4)}, **given)
                np.testing.assert_array_equal(found[0], expected.view("u2"))


@pytest.mark.parametrize("name", ["dims", "shape"])
def test_dims_and_shape_are_checks_of_files_that_say_it_themselves(tmp_path, name):
    path, image = tmp_path / "a.npy", recording(1, (6, 4), "int16")[0]
    np.save(path, image)
    np.testing.assert_array_equal(read_all("npy", path, **{name: (6, 4)})[0], image)
    assert f"{name}=(4, 6)" in str(attempt("npy", path, **{name: (4, 6)}))
    (tmp_path / "a.png").write_bytes(png_bytes(np.zeros((6, 4)), 8))
    assert f"{name}=(4, 6)" in str(attempt("png", tmp_path / "a.png", **{name: (4, 6)}))


@pytest.mark.parametrize(
    ("conf", "given_options", "told"),
    [
        (None, {}, "need dims= and dtype=.*does not exist"),
        (None, {"dims": (4, 6)}, "need dtype"),
        ({"dims": [4, 6]}, {}, "need dtype.*does not say"),
        ({"dims": [4, 6], "dtype": "int32"}, {}, "take 96 bytes, but the file has 48"),
        ({"dims": [4, 6], "dtype": "int16"}, {"dims": (4, 7)}, "take 56 bytes"),
        ({"dims": [10**9, 10**9, 10**9], "dtype": "int16"}, {}, "but the file has 48"),
        ({"dims": [4, -6], "dtype": "int16"}, {}, "at least 1"),
        ({"dims": "46", "dtype": "int16"}, {}, "dims"),
        ({"dims": [4, 6], "dtype": "object"}, {}, "dtype"),
        ({"dims": [4, 6], "dtype": "__import__('os')"}, {}, "dtype"),
        ({"dims": [4, 6], "dtype": 7}, {}, "dtype"),
        ({"dims": [4, 6], "dtype": None}, {}, "dtype"),
        ({"nkeys": 3, "nvalues": 3}, {}, "loadSeries"),
        ({"format": "mpimages-series", "shape": [4, 6]}, {}, "loadSeries"),
        ([1, 2], {}, "JSON object"),
        ("{", {}, "JSON"),
        ("[" * 100_000, {}, "JSON"),
    ],
)
def test_stack_that_is_wrong(tmp_path, conf, given_options, told):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(48))
    if conf is not None:
        text = conf if isinstance(conf, str) else json.dumps(conf)
        (tmp_path / "conf.json").write_text(text)
    with pytest.raises(ValueError, match=told) as caught:
        read_all("stack", path, **given_options)
    assert str(tmp_path) in str(caught.value)


def test_stack_file_of_another_size(tmp_path):
    write_json(tmp_path / "conf.json", {"dims": [4, 6], "dtype": "int16"})
    paths = [tmp_path / "a.bin", tmp_path / "b.bin"]
    paths[0].write_bytes(bytes(48))
    paths[1].write_bytes(bytes(47))
    with pytest.raises(FormatError, match=r"b\.bin.*48 bytes.*47"):
        read_all("stack", paths)


# ---- NPY


PERMUTATIONS = [
    pytest.param("".join(axes), marks=[pytest.mark.slow] * (len(axes) == 5))
    for letters in ("YX", "TYX", "ZYX", "CYX", "TZYX", "TCYX", "TZCYX")
    for axes in itertools.permutations(letters)
]


def with_axes(axes):
    """An array with these axes, and how to read it."""
    sizes = {"T": 7, "Y": 5, "X": 9, "Z": 3, "C": 2}
    array = recording(1, tuple(sizes[axis] for axis in axes), "int16")[0]
    return array, {"axes": axes} | ({"channel": 1} if "C" in axes else {})


def read_some(name, path, **given):
    """Every third image."""
    options = Options(**given)
    header = get(name).inspect(str(path), options)
    images = np.arange(0, header.count, 3)
    out = np.full((len(images), *header.dims), 77, header.dtype)
    with get(name).open(str(path), options, header) as handle:
        handle.read_images(images, out)
    return out


@pytest.mark.parametrize("axes", PERMUTATIONS)
@pytest.mark.parametrize("memory", "CF")
def test_npy_axes(tmp_path, axes, memory, monkeypatch):
    array, given = with_axes(axes)
    path = tmp_path / "a.npy"
    np.save(path, np.asarray(array, order=memory))
    np.testing.assert_array_equal(read_all("npy", path, **given), as_images(array, axes))
    # As a file that is far larger than what is read at once.
    monkeypatch.setattr("mpimages.readers.flat.array.BAND_BYTES", 50)
    monkeypatch.setattr("mpimages.readers.flat.array.RUN_BYTES", 40)
    np.testing.assert_array_equal(read_all("npy", path, **given), as_images(array, axes))
    np.testing.assert_array_equal(read_some("npy", path, **given), as_images(array, axes)[::3])


@pytest.mark.parametrize("dtype", [*DTYPES, ">u2", ">f8", "bool"])
def test_npy_dtypes_and_default_axes(tmp_path, dtype):
    array = recording(4, (3, 5, 6), "uint8").astype(dtype)
    path = tmp_path / "a.npy"
    for part, axes in ((array, "TZYX"), (array[0], "TYX"), (array[0, 0], "YX")):
        np.save(path, part)
        found = read_all("npy", path)
        assert found.dtype == (np.uint8 if dtype == "bool" else np.dtype(dtype).newbyteorder("="))
        np.testing.assert_array_equal(found, as_images(part, axes))


def test_npy_files_of_different_length(tmp_path):
    parts = [recording(n, (5, 6), "uint8", n) for n in (3, 1, 4)]
    paths = [tmp_path / f"{k}.npy" for k in range(3)]
    for path, part in zip(paths, parts, strict=True):
        np.save(path, part)
    np.testing.assert_array_equal(read_all("npy", paths), np.concatenate(parts))
    np.save(paths[1], parts[1][0])  # one image without a time axis is one image
    np.testing.assert_array_equal(read_all("npy", paths), np.concatenate(parts))


@pytest.mark.parametrize("nplanes", [1, 2, 4])
@pytest.mark.parametrize("memory", "CF")
def test_npy_and_hdf5_volume_cut_into_planes(tmp_path, nplanes, memory):
    volume = recording(1, (4, 5, 6), "uint16")[0]  # Z, Y, X
    parts = volume.reshape(4 // nplanes, nplanes, 5, 6)
    expected = np.moveaxis(parts, 1, -1)
    expected = expected[..., 0] if nplanes == 1 else expected
    np.save(tmp_path / "a.npy", np.asarray(volume, order=memory))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", data=volume, chunks=(2, 5, 3))
    for name, path in (("npy", "a.npy"), ("hdf5", "a.h5")):
        found = read_all(name, tmp_path / path, nplanes=nplanes, axes="ZYX")
        np.testing.assert_array_equal(found, expected)


def test_npy_never_unpickles(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[{}, 1], [2, 3]], dtype=object), allow_pickle=True)
    assert "Python objects" in str(attempt("npy", path))


@pytest.mark.parametrize("dtype", ["c8", "U3", "S2", "i4,f8", "M8[s]"])
def test_npy_of_other_types(tmp_path, dtype):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3), dtype=dtype))
    assert "dtype" in str(attempt("npy", path))


@pytest.mark.parametrize("name", ["npy", "hdf5"])
def test_first_file_of_one_image_and_others_of_several(tmp_path, name):
    """An axis of time is asked for in every file; without one each file is an image."""
    movie = recording(4, (5, 6), "uint16")
    paths = [str(tmp_path / f"{k}.{name}") for k in range(2)]
    for path, part in zip(paths, (movie[:1], movie[1:]), strict=True):
        if name == "npy":
            np.save(path, part)
        else:
            with h5py.File(path, "w") as file:
                file["movie"] = part
    np.testing.assert_array_equal(read_all(name, paths), movie)
    reader, options = get(name), Options(axes="ZYX")
    assert not reader.multiple(options, reader.inspect(paths[1], options))
    reader, options = get(name), Options()
    header = reader.inspect(paths[0], options)
    assert header.count == 1
    assert reader.multiple(options, header)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_npy_versions(tmp_path, version):
    array = recording(3, (4, 5), "uint16")
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        np.lib.format.write_array(file, array, version=version)
    np.testing.assert_array_equal(read_all("npy", path), array)
    named = np.zeros(3, [("größe", "u2")])
    with open(path, "wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(file, named, version=(3, 0))
    assert "dtype" in str(attempt("npy", path))


def test_npy_damaged(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, recording(3, (4, 5), "uint16"))
    content = path.read_bytes()
    for length in [*range(0, 128, 3), len(content) - 1]:
        path.write_bytes(content[:length])
        assert isinstance(attempt("npy", path), FormatError)
    for shape in ("(1000000000, 1000000000, 10)", "(0, 3, 4)", "(-3, -4, -5)", "(3,)", "()"):
        header = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
        body = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.encode() + content[128:]
        path.write_bytes(body)
        attempt("npy", path)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((3, 4, 5), "YX"), ((3, 4, 5, 6), "TYX"), ((2, 3, 4, 5, 6), None), ((7,), None)],
)
def test_axes_that_do_not_fit(tmp_path, shape, axes):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(shape, "u1"))
    assert "axes" in str(attempt("npy", path, axes=axes))


# ---- axes that are left out, channels, and what hardly can be meant


def write_array(directory, name, array):
    path = directory / f"a.{name}"
    if name == "npy":
        np.save(path, array)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset("movie", data=array, chunks=array.shape)
            file["times"] = np.arange(9)
    return path


FORMATS = pytest.mark.parametrize("name", ["npy", "hdf5"])


@FORMATS
@pytest.mark.parametrize(
    ("shape", "axes", "found"),
    [
        ((4, 5, 6, 1), "TYX", (4, 5, 6)),
        ((4, 5, 6, 1), "TYXC", (4, 5, 6)),
        ((1, 4, 5, 6), "TYX", (4, 5, 6)),
        ((4, 1, 5, 6), "TCYX", (4, 5, 6)),
        ((4, 1, 5, 6), "TYX", (4, 5, 6)),
        ((1, 5, 6), "YX", (1, 5, 6)),
        ((4, 1, 5, 6, 1), "TYX", (4, 5, 6)),
        ((1, 1, 5, 6), "TYX", (1, 5, 6)),
        ((4, 1, 1, 3, 5, 6), "TZYX", (4, 5, 6, 3)),
    ],
)
def test_axes_of_length_1_may_be_left_out(tmp_path, name, shape, axes, found):
    array = recording(1, shape, "uint16")[0]
    got = read_all(name, write_array(tmp_path, name, array), axes=axes)
    expected = np.moveaxis(array.reshape(4, 3, 5, 6), 1, -1) if found[-1] == 3 else array
    np.testing.assert_array_equal(got, expected.reshape(found))
    if "C" in axes:  # its one channel may be named
        path = write_array(tmp_path, name, array)
        np.testing.assert_array_equal(read_all(name, path, axes=axes, channel=0), got)


CALL = re.compile(r"axes='(\w+)'(?: with channel=(\d+))?")


@FORMATS
@pytest.mark.parametrize(
    "shape",
    [
        (6, 8, 9, 2),
        (6, 8, 9, 1),
        (5, 6, 7, 3),
        (9, 8, 3),
        (9, 8, 1),
        (2, 3, 4, 5, 6),
        (1, 8, 9, 1),
        (6, 1, 9, 1),
        (1, 9, 1),
    ],
)
def test_a_shape_that_hardly_is_in_the_usual_order_is_asked_about(tmp_path, name, shape):
    array = recording(1, shape, "uint16")[0]
    path = write_array(tmp_path, name, array)
    error = attempt(name, path)
    calls = CALL.findall(str(error))
    assert len(calls) > (0 if len(shape) > 4 else 1), error
    for axes, channel in calls:
        given = {"axes": axes} | ({"channel": int(channel)} if channel else {})
        if "C" in axes and not channel:
            given["channel"] = 0
        found = read_all(name, path, **given)
        if len(axes) == len(shape):
            first = array.take(0, axes.index("C")) if "C" in axes else array
            np.testing.assert_array_equal(found, as_images(first, axes.replace("C", "")))
        else:
            np.testing.assert_array_equal(found, array.reshape(found.shape))


@FORMATS
@pytest.mark.parametrize("shape", [(6, 5, 4), (5, 9, 4, 3), (2, 6, 8, 9), (512, 9, 10)])
def test_a_shape_that_may_be_in_the_usual_order_is_read(tmp_path, name, shape):
    array = recording(1, shape, "uint16")[0]
    found = read_all(name, write_array(tmp_path, name, array))
    np.testing.assert_array_equal(found, as_images(array, {3: "TYX", 4: "TZYX"}[len(shape)]))


@FORMATS
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"axes": "TYXC"}, "2 channels; choose one by channel=0 to channel=1"),
        ({"axes": "TYXC", "channel": 2}, "no channel 2: it has 2 channels, counted from 0"),
        ({"axes": "TYXZ", "channel": 1}, "means nothing.*axes='TYXC'"),
        ({"axes": "TYXZ", "channel": 0}, "means nothing.*axes='TYXC'"),
        ({"axes": "TYX"}, "does not have the axes 'TYX'.*axes='TZYX'"),
    ],
)
def test_channels_that_are_not_there(tmp_path, name, given, told):
    path = write_array(tmp_path, name, recording(6, (8, 9, 2), "uint16"))
    assert re.search(told, str(attempt(name, path, **given)))


@FORMATS
def test_which_axis_is_left_out_must_be_told(tmp_path, name):
    array = recording(1, (1, 5, 6, 1), "uint16")[0]
    path = write_array(tmp_path, name, array)
    error = attempt(name, path, axes="TYX")
    assert "axes='CTYX' or axes='TYXC'" in str(error)
    assert read_all(name, path, axes="CTYX").shape == (5, 6, 1)
    assert read_all(name, path, axes="TYXC").shape == (1, 5, 6)


def test_hdf5_dataset_that_has_the_named_axes_is_taken(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["movie"] = recording(2, (3, 4, 5, 6), "uint8")
        file["mask"] = recording(1, (5, 6), "uint8")[0]
        file["volume"] = recording(4, (5, 6), "uint8")
    assert read_all("hdf5", path, axes="TCZYX", channel=2).shape == (2, 5, 6, 4)
    assert read_all("hdf5", path, axes="TYX").shape == (4, 5, 6)
    assert "several datasets, none of them 4-D" in str(attempt("hdf5", path, axes="TZYX"))


# ---- HDF5


HDF5_WAYS = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"chunks": True, "compression": "gzip", "shuffle": True},
}


@pytest.mark.parametrize("axes", PERMUTATIONS)
@pytest.mark.parametrize("way", [*HDF5_WAYS, "by threes"])
def test_hdf5_axes(tmp_path, axes, way, monkeypatch):
    array, given = with_axes(axes)
    path = tmp_path / "a.h5"
    monkeypatch.setattr(chunked_array, "BAND_BYTES", 200)
    with h5py.File(path, "w") as file:
        threes = {"chunks": tuple(min(3, n) for n in array.shape)}
        file.create_dataset("group/movie", data=array, **HDF5_WAYS.get(way, threes))
    found = read_all("hdf5", path, dataset="group/movie", **given)
    np.testing.assert_array_equal(found, as_images(array, axes))
    some = read_some("hdf5", path, dataset="group/movie", **given)
    np.testing.assert_array_equal(some, found[::3])


@pytest.mark.parametrize("dtype", [*DTYPES, ">u2", ">f4", "bool"])
@pytest.mark.parametrize("way", HDF5_WAYS)
def test_hdf5_dtypes(tmp_path, dtype, way):
    array = recording(4, (5, 6), "uint8").astype(dtype)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("movie", data=array, **HDF5_WAYS[way])
        file["times"] = np.arange(4.0)
        file["label"] = "text"
    np.testing.assert_array_equal(read_all("hdf5", path), array)


@pytest.mark.parametrize(("precision", "offset"), [(12, 0), (12, 4), (16, 0)])
@pytest.mark.parametrize("order", "<>")
def test_hdf5_integers_with_padding(tmp_path, precision, offset, order):
    """Values of fewer bits than their container: the other bits mean nothing."""
    values = recording(3, (4, 5), "uint16") & ((1 << precision) - 1)
    kind = h5py.h5t.py_create(np.dtype(order + "u2")).copy()
    kind.set_precision(precision)
    kind.set_offset(offset)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(values.shape)
        dataset = h5py.h5d.create(file.id, b"movie", kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
        place = dataset.get_offset()
    if precision < 16:
        with open(path, "r+b") as raw:  # what the padding holds
            raw.seek(place)
            stored = np.frombuffer(raw.read(values.nbytes), order + "u2")
            raw.seek(place)
            padding = ~(((1 << precision) - 1) << offset) & 0xFFFF
            raw.write((stored | padding).astype(order + "u2").tobytes())
    np.testing.assert_array_equal(read_all("hdf5", path), values)
    header = inspect_hdf5(str(path), SeriesOptions(dataset="movie"))
    assert (header.layout["offset"] is None) == (precision < 16)
    pixels = np.empty((12, 5), "u2")
    with open_hdf5_series(header, None) as handle:
        handle.read(0, 12, pixels)
    np.testing.assert_array_equal(pixels, values.reshape(12, 5))


def test_hdf5_datasets_are_listed(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros((2, 3, 4))
        file["g/b"] = np.zeros((2, 3, 4), "u2")
        file["c"] = np.zeros(3)
    assert isinstance(attempt("hdf5", path), ValueError)
    assert "several 3-D or 4-D datasets: a (2, 3, 4) float64, g/b" in str(attempt("hdf5", path))
    assert "no dataset 'x'; it has a (2, 3, 4)" in str(attempt("hdf5", path, dataset="x"))
    assert "no dataset 'g'" in str(attempt("hdf5", path, dataset="g"))
    assert read_all("hdf5", path, dataset="/g/b").shape == (2, 3, 4)
    with h5py.File(path, "w") as file:
        file["c"] = np.zeros(3)
    assert "has no 3-D or 4-D dataset; it has c (3,)" in str(attempt("hdf5", path))


@pytest.mark.parametrize("layout", ["series", "images"])
@pytest.mark.parametrize("dims", [(5, 6), (5, 6, 3)])
@pytest.mark.parametrize("chunks", [None, True])
def test_hdf5_as_written_here(tmp_path, layout, dims, chunks):
    images = recording(4, dims, "uint16")
    path = tmp_path / "a.h5"
    data = images if layout == "images" else np.moveaxis(images, 0, -1)
    with h5py.File(path, "w") as file:
        written = file.create_dataset("series", data=data, chunks=chunks)
        written.attrs["mpimages_format"] = 1
        written.attrs["layout"] = layout
        written.attrs["metadata"] = json.dumps({"frameInterval": 0.5, "pixelSize": [1.0, 2.0]})
    np.testing.assert_array_equal(read_all("hdf5", path), images)
    metadata = get("hdf5").inspect(str(path), Options()).metadata
    assert metadata["frameInterval"] == 0.5
    assert ("pixelSize" in metadata) == (len(dims) == 2)


@pytest.mark.parametrize("size", [0, 3])
def test_hdf5_with_a_chunk_shorter_than_its_checksum(tmp_path, size):
    path = tmp_path / "a.h5"
    array = np.arange(216, dtype=np.int16).reshape(3, 8, 9)
    with h5py.File(path, "w", libver="earliest") as file:
        dataset = file.create_dataset(
            "d", data=array, chunks=(1, 8, 9), compression="gzip", shuffle=True, fletcher32=True
        )
        stored = dataset.id.get_chunk_info(2).size
    np.testing.assert_array_equal(read_all("hdf5", path), array)
    content = path.read_bytes()
    entry = struct.pack("<IIQQQQ", stored, 0, 2, 0, 0, 0)  # of the B-tree of the chunks
    assert content.count(entry) == 1
    path.write_bytes(content.replace(entry, struct.pack("<I", size) + entry[4:]))
    failure = attempt("hdf5", path)
    assert isinstance(failure, FormatError)
    assert "shorter than its checksum" in str(failure)
    with pytest.raises(FormatError, match="shorter than its checksum"):
        inspect_hdf5(str(path), SeriesOptions(dataset="d"))


def test_hdf5_damaged_and_odd(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"no HDF5")
    assert isinstance(attempt("hdf5", path), FormatError)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=recording(40, (32, 32), "uint16"))
    content = path.read_bytes()
    for length in (0, 100, 512, 2048, len(content) // 2):
        path.write_bytes(content[:length])
        assert isinstance(attempt("hdf5", path), FormatError)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (3, 10**8, 10**8), "u2", chunks=(1, 100, 100))
    assert "claims an image" in str(attempt("hdf5", path))
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (0, 4, 4), "u2")
    assert "no images" in str(attempt("hdf5", path))
    with h5py.File(path, "w") as file:
        file.create_dataset("d", (3, 4, 4), "c8")
    assert "dtype" in str(attempt("hdf5", path, dataset="d"))


def test_hdf5_is_read_without_locks_and_read_only(tmp_path):
    path = tmp_path / "a.h5"
    images = recording(3, (4, 5), "uint8")
    with h5py.File(path, "w") as file:
        file["d"] = images
    path.chmod(0o444)
    with h5py.File(path, "r"):
        np.testing.assert_array_equal(read_all("hdf5", path), images)
