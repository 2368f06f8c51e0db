"""Which files are found, in which order, and which format they are taken for."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.readers import Options, detect, find_input, get, list_files, natural_key


def touch(directory, *names):
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(paths, directory):
    return [os.path.relpath(path, directory) for path in paths]


@pytest.mark.parametrize(
    ("given_order", "wanted"),
    [
        (["img10", "img2", "img1"], ["img1", "img2", "img10"]),
        (["a2b10", "a2b9", "a10b1"], ["a2b9", "a2b10", "a10b1"]),
        (["img2", "img02", "img1"], ["img1", "img02", "img2"]),
        (["b", "B", "a", "_"], ["B", "_", "a", "b"]),
        (["x9" + "9" * 5000, "x1"], ["x1", "x9" + "9" * 5000]),
        (["1", "a", ""], ["", "1", "a"]),
        (["t٣", "t2"], ["t2", "t٣"]),
    ],
)
def test_natural_order(given_order, wanted):
    assert sorted(given_order, key=natural_key) == wanted


def in_natural_order(paths):
    backward = paths[::-1]
    return sorted(backward, key=natural_key) == paths


@pytest.mark.parametrize("ending", [".tif", ".ome.tif", ".tar.gz", ".OME.TIF", ".1", ""])
@pytest.mark.parametrize("directory", ["", "d/", "/a.b/c-1/"])
@pytest.mark.parametrize("mark", [" ", "!", "-", "+", "_", " (", ".", ".x", "'", "a", "é"])
def test_a_stem_comes_before_those_that_it_begins(directory, mark, ending):
    wanted = [f"{directory}rec{mark}{n}{ending}" for n in (1, 2, 9, 10, 11)]
    wanted = [f"{directory}rec{ending}", *wanted]
    assert in_natural_order(wanted)
    inside = [path.removesuffix(ending) + "/x.tif" for path in wanted]
    assert in_natural_order(inside)


def test_directories_and_endings_do_not_mix_with_names():
    wanted = ["b.tif", "a/c.tif", "a/d/a.tif", "a-1/a.tif", "a1/a.tif"]
    assert in_natural_order(wanted)
    wanted = ["a.TIF", "a.png", "a.tif", "a-1.TIF", "a-2.tif", "a-3.TIF"]
    assert in_natural_order(wanted)
    wanted = ["a.raw.tif", "a-1.raw.tif", "a-2.raw.tif", "b.tif"]
    assert in_natural_order(wanted)
    many = [f"r{'1' * n}.{n}.tif" for n in (1, 45, 46, 47, 48)]  # as long as "." and "/" are high
    assert in_natural_order(many)


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_natural_order_is_that_of_the_numbers(numbers):
    found = sorted((f"f{n}.tif" for n in numbers), key=natural_key)
    assert found == [f"f{n}.tif" for n in sorted(numbers)]


@given(st.lists(st.text(st.sampled_from("0123ab._-é"), max_size=6), unique=True))
def test_natural_order_is_total(strings):
    backward = strings[::-1]
    assert sorted(backward, key=natural_key) == sorted(strings, key=natural_key)


def test_directory_ignores_hidden_and_other_files(tmp_path):
    touch(tmp_path, "b10.tif", "b9.TIF", "a.Tiff", ".hidden.tif", "notes.txt", "below/c.tif")
    found = list_files(tmp_path, (".tif", ".tiff"))
    assert names(found, tmp_path) == ["a.Tiff", "b9.TIF", "b10.tif"]


def test_recursive(tmp_path):
    touch(tmp_path, "a.tif", "d2/x.tif", "d10/x.tif", ".git/x.tif")
    found = list_files(tmp_path, (".tif",), recursive=True)
    assert names(found, tmp_path) == ["a.tif", "d2/x.tif", "d10/x.tif"]


def test_recursive_ends_where_links_form_a_circle(tmp_path):
    touch(tmp_path, "d/a.tif")
    (tmp_path / "d" / "up").symlink_to(tmp_path / "d", target_is_directory=True)
    found = list_files(tmp_path, (".tif",), recursive=True)
    assert len(found) in (1, 2)


def test_patterns(tmp_path):
    touch(tmp_path, "run1/a2.tif", "run1/a10.tif", "run1/b.tif", "run2/a1.tif", "run1/.a.tif")
    one = list_files(f"{tmp_path}/run1/a*.tif")
    assert names(one, tmp_path) == ["run1/a2.tif", "run1/a10.tif"]
    both = list_files(f"{tmp_path}/run?/a*")
    assert names(both, tmp_path) == ["run1/a2.tif", "run1/a10.tif", "run2/a1.tif"]
    deep = list_files(f"{tmp_path}/**/b.tif")
    assert names(deep, tmp_path) == ["run1/b.tif"]


def test_pattern_relative_to_here(tmp_path, monkeypatch):
    touch(tmp_path, "a2.tif", "a10.tif")
    monkeypatch.chdir(tmp_path)
    assert list_files("a*.tif") == ["a2.tif", "a10.tif"]
    assert list_files(".", (".tif",)) == ["./a2.tif", "./a10.tif"]


def test_name_that_looks_like_a_pattern(tmp_path):
    touch(tmp_path, "img[1].tif", "img1.tif")
    assert names(list_files(tmp_path / "img[1].tif"), tmp_path) == ["img[1].tif"]


def test_list_keeps_its_order(tmp_path):
    touch(tmp_path, "b.tif", "a.tif", "d/z10.tif", "d/z9.tif")
    found = list_files([tmp_path / "b.tif", tmp_path / "a.tif", tmp_path / "d"], (".tif",))
    assert names(found, tmp_path) == ["b.tif", "a.tif", "d/z9.tif", "d/z10.tif"]


def test_dangling_link_is_not_overlooked(tmp_path):
    touch(tmp_path, "a.tif")
    (tmp_path / "b.tif").symlink_to(tmp_path / "gone.tif")
    assert len(list_files(tmp_path, (".tif",))) == 2


def test_named_pipe_is_no_input(tmp_path):
    touch(tmp_path, "a.tif")
    os.mkfifo(tmp_path / "b.tif")
    assert names(list_files(tmp_path, (".tif",)), tmp_path) == ["a.tif"]
    with pytest.raises(ValueError, match="not a regular file"):
        get("tif").inspect(str(tmp_path / "b.tif"), Options())


@pytest.mark.parametrize("path", ["nothing", "nothing/*.tif", "*.tif", "."])
def test_nothing_found_says_what_was_looked_for(tmp_path, path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=path.replace("*", r"\*")):
        list_files(path, (".tif",))


def test_nothing_found_says_what_is_there(tmp_path):
    touch(tmp_path, "a.jpg", "below/b.tif")
    with pytest.raises(FileNotFoundError, match=r"\.tif, \.tiff.*recursive=True.*a\.jpg"):
        list_files(tmp_path, (".tif", ".tiff"))


def test_nothing_found_explains_brackets(tmp_path):
    touch(tmp_path, "day[1]/a.tif")
    with pytest.raises(FileNotFoundError, match=r"brackets are wildcards.*\[\[\]"):
        list_files(tmp_path / "day[1]" / "*.tif", (".tif",))
    assert len(list_files(tmp_path / "day[[]1]" / "*.tif", (".tif",))) == 1
    with pytest.raises(FileNotFoundError) as caught:
        list_files(tmp_path / "*.tif", (".tif",))
    assert "bracket" not in str(caught.value)


@pytest.mark.parametrize("path", [3, None, b"x", {"a": 1}, [1], [b"x"]])
def test_paths_of_another_type(path):
    with pytest.raises(TypeError, match=r"dataPath|text"):
        list_files(path)


@pytest.mark.parametrize("path", ["", "a\0b", []])
def test_paths_that_are_none(path):
    with pytest.raises(ValueError, match="dataPath"):
        list_files(path)


# ---- the format


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        (["a.tif", "b.TIFF"], "tif"),
        (["a.png"], "png"),
        (["a.bin", "b.bin", "conf.json"], "stack"),
        (["a.stack", "conf.json"], "stack"),
        (["noname", "conf.json"], "stack"),
        (["a.h5", "b.hdf5"], "hdf5"),
        (["a.npy", "notes.txt"], "npy"),
        (["a.tif", "conf.json", "SUCCESS"], "tif"),
    ],
)
def test_format_is_told_by_names(tmp_path, present, wanted):
    touch(tmp_path, *present)
    name, paths = find_input(tmp_path)
    assert name == wanted
    wanted_names = [n for n in present if n not in ("conf.json", "SUCCESS", "notes.txt")]
    assert sorted(names(paths, tmp_path)) == sorted(wanted_names)


def test_several_formats_are_named(tmp_path):
    touch(tmp_path, "a.tif", "b.png", "c.npy")
    with pytest.raises(ValueError, match=r"tif \(a.tif\), png \(b.png\), npy \(c.npy\)"):
        find_input(tmp_path)
    assert find_input(tmp_path, "png") == ("png", [str(tmp_path / "b.png")])
    assert find_input(tmp_path, ext=".NPY") == ("npy", [str(tmp_path / "c.npy")])


def test_unknown_format(tmp_path):
    touch(tmp_path, "a.xyz")
    with pytest.raises(ValueError, match="inputFormat="):
        find_input(tmp_path)
    assert find_input(tmp_path, "stack") == ("stack", [str(tmp_path / "a.xyz")])
    assert find_input(tmp_path, ext="xyz") == ("stack", [str(tmp_path / "a.xyz")])
    assert find_input(tmp_path / "a.xyz", "tif") == ("tif", [str(tmp_path / "a.xyz")])


def test_flat_files_and_their_description(tmp_path):
    touch(tmp_path, "f2.raw", "f10.raw", "my.json", ".f", "SUCCESS")
    name, paths = find_input(tmp_path, "stack", conf_filename="my.json")
    assert name == "stack"
    assert names(paths, tmp_path) == ["f2.raw", "f10.raw"]


@pytest.mark.parametrize(
    ("name", "error"), [("jpg", ValueError), (3, TypeError), ("TIF", ValueError)]
)
def test_no_such_format(name, error):
    with pytest.raises(error, match="inputFormat"):
        get(name)


def test_detect_of_nothing():
    assert detect([]) is None


@pytest.mark.parametrize(
    ("given_options", "error"),
    [
        ({"dims": 3}, TypeError),
        ({"dims": "12"}, TypeError),
        ({"dims": (3,)}, ValueError),
        ({"dims": (1, 2, 3, 4)}, ValueError),
        ({"dims": (0, 3)}, ValueError),
        ({"dims": (2.5, 3)}, TypeError),
        ({"dims": (True, 3)}, TypeError),
        ({"dtype": "nonsense"}, TypeError),
        ({"dtype": "O"}, ValueError),
        ({"dtype": "complex64"}, ValueError),
        ({"dtype": "i4,f8"}, ValueError),
        ({"nplanes": 0}, ValueError),
        ({"nplanes": 1.0}, TypeError),
        ({"nplanes": True}, TypeError),
        ({"channel": -1}, ValueError),
        ({"channel": "0"}, TypeError),
        ({"dataset": 3}, TypeError),
        ({"dataset": ""}, ValueError),
        ({"axes": "TYC"}, ValueError),
        ({"axes": "TYXS"}, ValueError),
        ({"shape": (2, 3), "dims": (2, 3)}, ValueError),
        ({"shape": 3}, TypeError),
        ({"axes": "TYXY"}, ValueError),
        ({"axes": "TX"}, ValueError),
        ({"axes": 3}, TypeError),
        ({"confFilename": 3}, TypeError),
    ],
)
def test_options_that_cannot_be(given_options, error):
    with pytest.raises(error, match=next(iter(given_options))):
        Options(**given_options)


def test_options_are_plain():
    import numpy as np

    options = Options(dims=np.array([3, 4]), dtype="float", nplanes=np.int32(2), axes="tyx")
    assert options == Options(dims=(3, 4), dtype=np.dtype("f8"), nplanes=2, axes="TYX")
    assert type(options.dims[0]) is int


@pytest.mark.slow
def test_many_files_are_listed_in_an_instant(tmp_path):
    import time

    for k in range(20_000):
        os.mknod(tmp_path / f"img{k}.tif")
    start = time.process_time()  # of this process: others may have the machine
    _, paths = find_input(tmp_path)
    assert time.process_time() - start < 2  # about 0.1 s
    assert paths[2].endswith("img2.tif")
    assert len(paths) == 20_000


# ---- endings that the format's files do not have usually


@pytest.mark.parametrize("path", ["", "*.nwb", "run*"])
def test_a_format_that_is_named_is_read_whatever_its_files_end_in(tmp_path, path):
    for name in ("run0", "run1"):
        (tmp_path / f"{name}.dat").write_bytes(b"\x93NUMPY\x01\x00")
        (tmp_path / f"{name}.nwb").write_bytes(bytes(512) + b"\x89HDF\r\n\x1a\n")
    touch(tmp_path, "runs.txt", "conf.json")
    (tmp_path / "runs.tmp").symlink_to(tmp_path / "gone")
    found = find_input(os.path.join(tmp_path, path), "hdf5")
    assert found == ("hdf5", [str(tmp_path / f"run{i}.nwb") for i in (0, 1)])
    if path != "*.nwb":
        found = find_input(os.path.join(tmp_path, path), "npy")[1]
        assert names(found, tmp_path) == ["run0.dat", "run1.dat"]
        with pytest.raises(FileNotFoundError, match=r"\.png.*it has run0\.dat"):
            find_input(os.path.join(tmp_path, path), "png")
    os.rename(tmp_path / "run1.nwb", tmp_path / "run1.nxs")
    assert find_input(tmp_path, "hdf5", ext="nwb")[1] == [str(tmp_path / "run0.nwb")]


def test_a_pattern_in_another_case_says_so(tmp_path):
    touch(tmp_path, "a1.TIF", "a2.TIF", "a3.TIF", "a4.TIF")
    with pytest.raises(FileNotFoundError, match=r"upper and lower case.*a1\.TIF.*and 1 more"):
        find_input(tmp_path / "*.tif")
    with pytest.raises(FileNotFoundError) as caught:
        find_input(tmp_path / "*.png")
    assert "upper" not in str(caught.value)


def test_a_tree_with_other_files_at_its_top_says_where_to_look(tmp_path):
    """As Windows leaves Thumbs.db, beside a directory for each time."""
    touch(tmp_path, "Thumbs.db", "t0/z0.tif", "t0/Thumbs.db", "t1/z0.tif")
    with pytest.raises(ValueError, match=r"Thumbs\.db.*recursive=True searches") as caught:
        find_input(tmp_path)
    assert str(caught.value).count("recursive") == 1
    found = find_input(tmp_path, recursive=True)[1]
    assert names(found, tmp_path) == ["t0/z0.tif", "t1/z0.tif"]
    with pytest.raises(ValueError, match="cannot be told") as caught:
        find_input(tmp_path / "Thumbs.db")
    assert "recursive" not in str(caught.value)
