"""No argument of loadImages about the content of files is without effect, whatever the format.

For each format and each argument there is a recording on which the argument changes what is read,
or is checked against the file; all other arguments are refused, and the error names them.
"""

import inspect
import io
import itertools
import json

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from mpimages import ThunderContext
from mpimages.readers import FORMATS as ALL
from mpimages.readers import Header, Options, get
from tests.support.data import recording

# What is not about the content of files, or is so for all formats.
OTHERS = {"self", "dataPath", "inputFormat", "startIdx", "stopIdx"}
ARGUMENTS = [n for n in inspect.signature(ThunderContext.loadImages).parameters if n not in OTHERS]
# A value of each, for the formats to which it means nothing.
GIVEN = {
    "nplanes": 1,
    "nchannels": 2,
    "order": "CZT",
    "flyback": 1,
    "channel": 0,
    "dataset": "a",
    "axes": "YX",
    "follow": "directory",
    "incomplete": "drop",
    "confFilename": "my.json",
}


def pages(number, seed=0):
    """Pages (number, row, column), all different."""
    return recording(number, (5, 4), "uint16", seed)


def write_hdf5(path, array):
    with h5py.File(path, "w") as file:
        file["a"] = array


def write_zarr(path, array):
    path.mkdir()
    zarr.create_array(path, data=array, chunks=array.shape)


WRITERS = {
    "tif": lambda path, array: tifffile.imwrite(
        path, array, photometric="minisblack", metadata=None
    ),
    "png": lambda path, array: Image.fromarray(array).save(path, format="png"),
    "stack": lambda path, array: path.write_bytes(array.astype("<u2").tobytes()),
    "hdf5": write_hdf5,
    "zarr": write_zarr,
    "npy": lambda path, array: path.write_bytes(npy_bytes(array)),
    "mmap": lambda path, array: path.write_bytes(array.swapaxes(-1, -2).astype("<f4").tobytes()),
}
# Those that a library reads are not written here: what they take is in test_library_readers.
FORMATS = {name: ALL[name] for name in ALL if name in WRITERS}
BY_LIBRARIES = [name for name in ALL if name not in WRITERS]
# What is needed to read one page that a writer has written.
NEEDED = {"stack": {"shape": (5, 4), "dtype": "<u2"}, "hdf5": {"dataset": "a"}}
VOLUME = {"dims": (4, 5, 6), "dtype": "<u2"}  # of flat binary files of pages, column-major


def named(name, stem, number=1):
    """The name of a file of so many pages."""
    if name == "mmap":  # as CaImAn 1.9 names it
        stem += f"_d1_5_d2_4_d3_1_order_F_frames_{number}_"
    return stem + FORMATS[name].extensions[0]


def npy_bytes(array):
    kept = io.BytesIO()
    np.save(kept, array)
    return kept.getvalue()


def one(name, number=6):
    """Writes one file of so many pages."""
    return lambda path: WRITERS[name](path / named(name, "a", number), pages(number))


def two_datasets(path):
    with h5py.File(path / "a.h5", "w") as file:
        file["a"], file["b"] = pages(3), pages(3, 2)


def two_arrays(path):
    group = zarr.create_group(path / "a.zarr")
    for name, seed in (("a", 0), ("b", 2)):
        group.create_array(name, data=pages(3, seed))


def linked(path):
    (path / "parts").mkdir()
    write_hdf5(path / "parts" / "b.h5", pages(3))
    with h5py.File(path / "a.h5", "w") as file:
        file["a"] = h5py.ExternalLink("parts/b.h5", "a")


def hyperarray(name):
    return lambda path: WRITERS[name](path / named(name, "a"), pages(6).reshape(3, 2, 5, 4))


def cut_off(path):
    whole = path / named("mmap", "a", 3)
    WRITERS["mmap"](whole, pages(3))
    whole.write_bytes(whole.read_bytes()[:-8])


def described(path):
    one("stack", 1)(path)
    (path / "my.json").write_text(json.dumps({"shape": [5, 4], "dtype": "uint16"}))


def of_pages(name, **needed):
    """The rows of what says how pages take turns."""
    return {
        "nchannels": (one(name), {**needed, "channel": 1}, 2),
        "order": (one(name, 12), {**needed, "nchannels": 2, "nplanes": 3, "channel": 1}, "ZCT"),
        "flyback": (one(name), {**needed, "nplanes": 3}, 1),
    }


# format -> argument -> what is written, what is given besides, and the value that has an effect.
# Rows of what no reader takes are left out.
EFFECTS = {
    "tif": {
        **of_pages("tif"),
        "nplanes": (one("tif"), {}, 2),
        "channel": (one("tif"), {"nchannels": 2}, 1),
        "incomplete": (one("tif", 5), {"nplanes": 2}, "drop"),
    },
    "png": {},
    "stack": {
        "nplanes": (one("stack"), VOLUME, 2),
        "incomplete": (one("stack", 5), {**VOLUME, "nplanes": 2}, "drop"),
        "dims": (one("stack", 1), {"dtype": "<u2"}, (4, 5)),
        "shape": (one("stack", 1), {"dtype": "<u2"}, (5, 4)),
        "dtype": (one("stack", 1), {"shape": (5, 4)}, "<u2"),
        "confFilename": (described, {}, "my.json"),
        **of_pages("stack", shape=(5, 4), dtype="<u2"),
        "channel": (one("stack"), {"shape": (5, 4), "dtype": "<u2", "nchannels": 2}, 1),
        "axes": (one("stack"), {"shape": (6, 5, 4), "dtype": "<u2"}, "TYX"),
    },
    "hdf5": {
        **of_pages("hdf5", axes="ZYX"),
        "nplanes": (one("hdf5"), {"axes": "ZYX"}, 2),
        "channel": (hyperarray("hdf5"), {"axes": "TCYX"}, 1),
        "dataset": (two_datasets, {}, "b"),
        "axes": (one("hdf5"), {}, "YXT"),
        "incomplete": (one("hdf5", 5), {"axes": "ZYX", "nplanes": 2}, "drop"),
        "follow": (linked, {"dataset": "a"}, "directory"),
    },
    "zarr": {
        **of_pages("zarr", axes="ZYX"),
        "nplanes": (one("zarr"), {"axes": "ZYX"}, 2),
        "channel": (hyperarray("zarr"), {"axes": "TCYX"}, 1),
        "dataset": (two_arrays, {}, "b"),
        "axes": (one("zarr"), {}, "YXT"),
        "incomplete": (one("zarr", 5), {"axes": "ZYX", "nplanes": 2}, "drop"),
    },
    "npy": {
        **of_pages("npy", axes="ZYX"),
        "nplanes": (one("npy"), {"axes": "ZYX"}, 2),
        "channel": (hyperarray("npy"), {"axes": "TCYX"}, 1),
        "axes": (one("npy"), {}, "YXT"),
        "incomplete": (one("npy", 5), {"axes": "ZYX", "nplanes": 2}, "drop"),
    },
    "mmap": {"incomplete": (cut_off, {}, "drop")},
}
# A right and a wrong value of what is checked against files that describe themselves.
CHECKED = {"dims": ((5, 4), (4, 5)), "shape": ((5, 4), (4, 5)), "dtype": (None, "int16")}
# These choose files of any format.
CHOOSE = ("ext", "recursive", "pattern")


@pytest.fixture
def load(tsc, tmp_path):
    """The images of the directory, or the error that says why there are none."""

    def load(name, given, path=tmp_path):
        try:
            return tsc.loadImages(path, inputFormat=name, **given).toArray()
        except (ValueError, TypeError, FileNotFoundError) as error:
            return error

    return load


def is_same(one, other):
    if isinstance(one, Exception) or isinstance(other, Exception):
        return isinstance(one, Exception) and isinstance(other, Exception)
    return one.shape == other.shape and bool((one == other).all())


def require_refused(found, argument):
    assert isinstance(found, (ValueError, TypeError, FileNotFoundError)), "it was accepted"
    assert argument in str(found)


def test_each_argument_has_a_row():
    assert set(ARGUMENTS) == {*GIVEN, *CHECKED, *CHOOSE}
    assert set(EFFECTS) == set(WRITERS)
    assert set(BY_LIBRARIES) == {"nd2", "czi", "lif"}
    for name in FORMATS:
        taken = {argument for argument in get(name).takes if argument not in CHECKED}
        assert taken <= set(EFFECTS[name]), name


@pytest.mark.parametrize("argument", [*GIVEN, *CHECKED])
@pytest.mark.parametrize("name", FORMATS)
def test_an_argument_has_an_effect_or_is_refused(load, tmp_path, name, argument):
    row = EFFECTS[name].get(argument)
    if row is not None and argument in get(name).takes:
        write, besides, value = row
        write(tmp_path)
        without, found = load(name, besides), load(name, {**besides, argument: value})
        assert not isinstance(found, Exception), found
        assert not is_same(found, without)
        return
    WRITERS[name](tmp_path / named(name, "a"), pages(1)[0])
    needed = NEEDED.get(name, {})
    without = load(name, needed)
    assert not isinstance(without, Exception), without
    if argument in CHECKED:
        right, wrong = CHECKED[argument]
        right = str(without.dtype) if argument == "dtype" else right
        assert is_same(load(name, {**needed, argument: right}), without)
        require_refused(load(name, {**needed, argument: wrong}), argument)
    else:
        require_refused(load(name, {**needed, argument: GIVEN[argument]}), f"{argument}=")


@pytest.mark.parametrize("name", BY_LIBRARIES)
def test_what_a_library_does_not_take_is_refused(name):
    reader = get(name)
    header = Header("a", (5, 4), np.dtype("uint16"), 1)
    for argument, value in GIVEN.items():
        if argument not in reader.takes:
            with pytest.raises(ValueError, match=f"{argument}="):
                reader.check(Options(**{argument: value}), header)
    for argument, (_, wrong) in CHECKED.items():
        with pytest.raises(ValueError, match=f"{argument}="):
            reader.check(
                Options(**{argument: np.dtype(wrong) if argument == "dtype" else wrong}), header
            )


@pytest.mark.parametrize("name", [name for name in FORMATS if "flyback" in get(name).takes])
def test_planes_to_leave_out_are_a_number_or_a_list(load, tmp_path, name):
    write, besides, _ = EFFECTS[name]["flyback"]
    write(tmp_path)
    kept = np.moveaxis(pages(6).reshape(2, 3, 5, 4), 1, -1)
    for value, left_out in ((1, [2]), ([0], [0]), ((2, 0), [0, 2]), (np.int64(2), [1, 2])):
        wanted = np.delete(kept, left_out, axis=-1)
        found = load(name, {**besides, "flyback": value})
        np.testing.assert_array_equal(found, wanted[..., 0] if wanted.shape[-1] == 1 else wanted)


# A pattern is of the names of files, and a Zarr is a directory.
CHOICES = [pair for pair in itertools.product(FORMATS, CHOOSE) if pair != ("zarr", "pattern")]


@pytest.mark.parametrize(("name", "argument"), CHOICES)
def test_what_chooses_files_does_so_for_all_formats(load, tmp_path, name, argument):
    ending, needed = named(name, ""), NEEDED.get(name, {})
    images = pages(4)
    (tmp_path / "below").mkdir()
    files = {
        "ext": [f"a{ending}", f"b{ending}.xyz"],
        "recursive": [f"a{ending}", f"below/b{ending}"],
        "pattern": [f"{t}-z{z}{ending}" for t in range(2) for z in range(2)],
    }[argument]
    for file, image in zip(files, images, strict=False):
        WRITERS[name](tmp_path / file, image)
    value = {"ext": "xyz", "recursive": True, "pattern": f"{{t}}-z{{z}}{ending}"}[argument]
    found = load(name, {**needed, argument: value})
    wanted = {
        "ext": images[1:2],
        "recursive": images[:2],
        "pattern": np.moveaxis(images.reshape(2, 2, 5, 4), 1, -1),
    }[argument]
    np.testing.assert_array_equal(found, wanted)
    assert not is_same(found, load(name, needed))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("a", {"recursive": True}),
        ("a*", {"recursive": True}),
        ("a", {"ext": "tif"}),
        ("a", {"pattern": "{t}.tif"}),
        ("", {"pattern": "{t}.*", "ext": "tif"}),
        ("", {"pattern": "{t}.*", "recursive": True}),
    ],
)
def test_what_chooses_files_is_refused_where_there_is_no_choice(load, tmp_path, name, path, given):
    file, needed = named(name, "a"), NEEDED.get(name, {})
    WRITERS[name](tmp_path / file, pages(1)[0])
    found = load(name, {**needed, **given}, tmp_path / (file if path == "a" else path))
    require_refused(found, f"{list(given)[-1]}=")


def test_a_list_with_a_directory_leaves_a_choice(tsc, tmp_path):
    (tmp_path / "b").mkdir()
    for name, page in zip(("a.tif", "b/a.tif", "b/c.png"), pages(3), strict=True):
        WRITERS[name[-3:]](tmp_path / name, page)
    paths = [tmp_path / "a.tif", tmp_path / "b"]
    for given in ({"ext": "tif"}, {"recursive": True, "inputFormat": "tif"}):
        assert (tsc.loadImages(paths, **given).toArray() == pages(3)[:2]).all()


# Arguments that a format takes, where the files leave them nothing to do.
NOTHING_TO_DO = [
    *(
        (name, one(name), besides, argument, value)
        for name in ("tif", "hdf5", "zarr", "npy")
        for besides in ({}, {"nplanes": 1})
        for argument, value in (("order", "CZT"), ("flyback", 1), ("channel", 0))
        # A TIFF without a header is a volume, which has planes to leave out.
        if (name, argument) != ("tif", "flyback") or besides
    ),
    ("tif", one("tif", 1), {}, "flyback", 1),
    ("stack", one("stack", 1), NEEDED["stack"], "confFilename", "my.json"),
    ("stack", one("stack", 1), NEEDED["stack"], "nplanes", 2),
    ("hdf5", hyperarray("hdf5"), {"axes": "TCYX", "channel": 1}, "nchannels", 2),
    ("npy", hyperarray("npy"), {"axes": "TCYX", "channel": 1}, "nchannels", 2),
    ("hdf5", one("hdf5"), {}, "nplanes", 2),
    ("npy", one("npy"), {}, "nplanes", 2),
]


@pytest.mark.parametrize(("name", "write", "besides", "argument", "value"), NOTHING_TO_DO)
def test_what_has_nothing_to_do_is_refused(load, tmp_path, name, write, besides, argument, value):
    write(tmp_path)
    assert not isinstance(load(name, besides), Exception)
    require_refused(load(name, {**besides, argument: value}), f"{argument}=")
