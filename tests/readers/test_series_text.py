"""Series in text and NPY files."""

import numpy as np
import pytest
from mpi4py import MPI

from mpimages import FormatError, ThunderContext
from mpimages.readers.series import npy, text, text_lines
from mpimages.readers.series.base import SeriesOptions, inspect_series, open_series
from tests.support.data import recording

DIMS = [(5, 7), (4, 3, 2), (9,), (1, 1), (8, 1, 3)]


def make(dims, length, dtype="float64"):
    return np.ascontiguousarray(np.moveaxis(recording(length, dims, dtype), 0, -1))


def lines_of(series, order="C", base=0, keys="%d"):
    """A line for each record."""
    places = np.stack(np.unravel_index(np.arange(series[..., 0].size), series.shape[:-1], order), 1)
    return [
        " ".join([*(keys % (k + base) for k in place), *map(repr, series[tuple(place)].tolist())])
        for place in places.tolist()
    ]


def load(path, ranks=1, budget=1 << 30, **given):
    """The header, as so many ranks find it."""
    header = inspect_series(path, SeriesOptions(**given))
    if header.needs_keys:
        total = sum(header.layout["sizes"])
        cuts = [total * rank // ranks for rank in range(ranks + 1)]
        rows = [text_lines.scan_lines(header, cuts[i], cuts[i + 1], budget) for i in range(ranks)]
        header = text_lines.place_lines(header, np.concatenate(rows))
    return header


def read(header, first=0, stop=None):
    stop = header.pixels if stop is None else stop
    out = np.full((stop - first, header.length), 77, dtype=header.dtype)
    with open_series(header) as handle:
        handle.read(first, stop, out)
    return out


def check(header, series):
    """The whole, and every kind of part."""
    assert (header.dims, header.length) == (series.shape[:-1], series.shape[-1])
    flat = series.reshape(-1, series.shape[-1])
    count, third = len(flat), len(flat) // 3
    for first, stop in {(0, count), (0, 1), (count - 1, count), (third, 2 * third), (0, 0)}:
        np.testing.assert_array_equal(read(header, first, stop), flat[first:stop])
    chosen = np.arange(0, count, 2)
    out = np.empty((len(chosen), header.length), dtype=header.dtype)
    with open_series(header) as handle:
        handle.read_pixels(chosen, out)
    np.testing.assert_array_equal(out, flat[chosen])


# -- text ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("ranks", [1, 2, 5, 40])
def test_text_in_any_order_and_cut_anywhere(tmp_path, dims, ranks):
    series = make(dims, 6)
    for order, base in (("C", 0), ("F", 1), ("mixed", -3)):
        lines = lines_of(series, "F" if order == "F" else "C", base)
        if order == "mixed":
            np.random.default_rng(1).shuffle(lines)
        (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
        check(load(tmp_path / "a.txt", ranks, nkeys=len(dims)), series)


def test_text_as_others_write_it(tmp_path):
    series = make((4, 3), 5)
    series[1, 1, 2], series[2, 0, 0], series[3, 2, 4] = np.nan, -np.inf, 1e300
    lines = lines_of(series)
    files = {
        "no newline at the end": "\n".join(lines),
        "windows": "\r\n".join(lines) + "\r\n",
        "empty lines": "\n\n" + "\n \n\n".join(lines) + "\n\n \t\n",
        "tabs": "\n".join("  " + line.replace(" ", "\t ") + "  " for line in lines) + "\n",
        "keys are floats": "\n".join(lines_of(series, keys="%.2e")) + "\n",
    }
    for told, content in files.items():
        path = tmp_path / f"{told}.dat"
        path.write_bytes(content.encode())
        for ranks in (1, 3, 17):
            check(load(path, ranks, nkeys=2, inputFormat="text"), series)


def test_text_directories(tmp_path, monkeypatch):
    series = make((6, 5), 4)
    lines = lines_of(series)
    for number in range(12):  # in natural order, one of them empty
        (tmp_path / f"part-{number}.txt").write_text("\n".join(lines[number * 3 : number * 3 + 3]))
    (tmp_path / "_SUCCESS").touch()
    for ranks in (1, 4):
        check(load(tmp_path, ranks, nkeys=2), series)
    monkeypatch.setattr(text, "BAND_BYTES", 64)
    monkeypatch.setattr(text_lines, "BAND_BYTES", 64)
    monkeypatch.setattr(text, "GAP_BYTES", 8)
    check(load(tmp_path, 3, nkeys=2), series)


def test_text_without_keys(tmp_path):
    series = make((11,), 3)
    (tmp_path / "a.txt").write_text("\n".join(line.split(" ", 1)[1] for line in lines_of(series)))
    check(load(tmp_path / "a.txt", 3, nkeys=0), series)


LINES = ["0 0 1 2", "0 1 3 4", "1 0 5 6", "1 1 7 8"]


@pytest.mark.parametrize(
    ("number", "line", "told"),
    [
        (2, "0 1 3", "line 2: has 1 values, but the first line has 2"),
        (3, "1 0 5 6 7", "line 3: has 3 values"),
        (4, "1 1 7 8x", "line 4: '8x' is no number"),
        (4, "1 1 7-1 8", "line 4: '7-1' is no number"),
        (3, "1 0 5, 6", "line 3: '5,' is no number"),
        (3, "1 0 5 0x6", "line 3: '0x6' is no number"),
        (3, "1 0 5 \x00", "line 3: .* is no number"),
        (3, "1.5 0 5 6", "line 3: its key '1.5' is no integer"),
        (2, "a 1 3 4", "line 2: its key 'a' is no integer"),
        (2, "nan 1 3 4", "line 2: its key 'nan' is no integer"),
        (2, "0 1e10 3 4", "line 2: its key '1e10' is no integer"),
        (4, "1 1", "line 4: it has no 2 keys and values"),
        (4, "# end", "line 4"),
        (4, "1 0 7 8", "line 4: the keys .1, 0. were there before"),
        (4, "1 2 7 8", "not all the pixels of a box"),
        (1, "0 0", "first line has 2 numbers"),
    ],
)
def test_text_that_is_damaged(tmp_path, number, line, told):
    lines = list(LINES)
    lines[number - 1] = line
    (tmp_path / "a.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(FormatError, match=told) as caught:
        read(load(tmp_path / "a.txt", nkeys=2))
    assert "a.txt" in str(caught.value)


def test_text_compensating_lines(tmp_path):
    """One value too many, then one too few: the total is right."""
    (tmp_path / "a.txt").write_text("0 1 2\n1 3 4 5\n2 6\n")
    with pytest.raises(FormatError, match="line 2: has 3 values"):
        read(load(tmp_path / "a.txt", nkeys=1))


def test_text_that_changes_after_loading(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("\n".join(LINES))
    header = load(path, nkeys=2)
    path.write_text("\n".join(LINES)[:-1])
    with pytest.raises(FormatError, match="load the series again"):
        read(header)
    path.write_text("\n".join(LINES[::-1]))
    with pytest.raises(FormatError, match="line 1: has changed since loading"):
        read(header)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({}, ValueError, "nkeys= must say"),
        ({"nkeys": 4}, ValueError, "up to three"),
        ({"nkeys": -1}, ValueError, "nkeys"),
        ({"nkeys": 2, "nvalues": 3}, ValueError, "nvalues=3"),
        ({"nkeys": 2, "keyType": "int16"}, ValueError, "astype"),
        ({"nkeys": 2, "valueType": "float32"}, ValueError, "astype"),
        ({"nkeys": 2, "inputFormat": "npy"}, ValueError, "has no keys"),
        ({"inputFormat": "npy"}, FormatError, "not an NPY file"),
        ({"inputFormat": "mat"}, ValueError, "'binary', 'hdf5', 'zarr', 'text', 'npy'"),
    ],
)
def test_arguments_that_cannot_be(tmp_path, given, error, told):
    (tmp_path / "a.txt").write_text("\n".join(LINES))
    with pytest.raises(error, match=told):
        load(tmp_path / "a.txt", **given)


def test_text_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "LONGEST_LINE", 1000)
    monkeypatch.setattr(text_lines, "PIECE_BYTES", 100)
    (tmp_path / "a.txt").write_text("1 " * 2000)
    with pytest.raises(FormatError, match="no text"):
        load(tmp_path / "a.txt", nkeys=1)
    (tmp_path / "a.txt").write_text("0 1\n" + "1 " * 2000)
    with pytest.raises(FormatError, match="no text"):
        load(tmp_path / "a.txt", 5, nkeys=1)
    (tmp_path / "b.txt").write_text(" \n\n")
    with pytest.raises(FormatError, match="has no lines"):
        load(tmp_path / "b.txt", nkeys=1)


def test_text_whose_places_exceed_the_budget(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(LINES))
    with pytest.raises(MemoryError, match="budget"):
        load(tmp_path / "a.txt", nkeys=2, budget=100)


# -- NPY -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("dtype", ["int16", ">u2", ">f8", "uint8", "float16"])
def test_npy(tmp_path, dims, dtype, monkeypatch):
    series = make(dims, 6, np.dtype(dtype).newbyteorder("=").name)
    for order in "CF":
        np.save(tmp_path / "a.npy", np.array(series, dtype=dtype, order=order))
        header = load(tmp_path / "a.npy")
        assert header.dtype == series.dtype
        check(header, series)
        for run in (1, 1 << 30):
            monkeypatch.setattr(npy, "RUN_BYTES", run)
            monkeypatch.setattr(npy, "BAND_BYTES", 20)
            check(load(tmp_path / "a.npy"), series)


def test_npy_directories(tmp_path):
    series = make((7, 4), 5, "uint16")
    for number, (a, b) in enumerate(((0, 3), (3, 4), (4, 7))):
        np.save(tmp_path / f"part{number * 5}.npy", series[a:b])
    check(load(tmp_path), series)
    np.save(tmp_path / "part7.npy", np.asfortranarray(series[3:5]))
    with pytest.raises(ValueError, match=r"part7.npy: of several .* C order"):
        load(tmp_path)
    np.save(tmp_path / "part7.npy", series[:2].astype("int32"))
    with pytest.raises(FormatError, match=r"part7.npy: has shape .* int32, but part0.npy"):
        load(tmp_path)


def test_npy_that_is_damaged(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, make((7, 4), 5))
    content = path.read_bytes()
    for damaged, told in (
        (content[:-1], "truncated"),
        (content[:50], "damaged"),
        (b"x" + content, "not an NPY"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=told):
            load(path)
    for array, told in ((np.zeros(5), "shape"), (np.zeros((3, 0)), "empty")):
        np.save(path, array)
        with pytest.raises(ValueError, match=told):
            load(path)
    np.save(path, np.zeros((3, 4), dtype=complex))
    with pytest.raises((TypeError, ValueError), match="complex"):
        load(path)
    np.save(path, np.zeros((3, 4)))
    for given in ({"nvalues": 5}, {"valueType": "int16"}, {"keyType": "int16"}):
        with pytest.raises(ValueError, match=r"a\.npy"):
            load(path, **given)


# -- by all ranks --------------------------------------------------------------------------


@pytest.mark.ranks
def test_on_any_number_of_ranks(shared_path):
    series = make((6, 5, 2), 7)
    lines = lines_of(series, "F", 1)
    if MPI.COMM_WORLD.rank == 0:
        (shared_path / "text").mkdir()
        (shared_path / "text" / "a1.txt").write_text("\n".join(lines[:17]))
        (shared_path / "text" / "a2.txt").write_text("\n".join(lines[17:]) + "\n")
        (shared_path / "bad.txt").write_text("\n".join([*lines[:-1], lines[-1] + "x"]))
        np.save(shared_path / "c.npy", series)
        np.save(shared_path / "f.npy", np.asfortranarray(series))
    MPI.COMM_WORLD.Barrier()
    with ThunderContext(memory="20MB") as tsc:
        for path, given in (("text", {"nkeys": 3}), ("c.npy", {}), ("f.npy", {})):
            loaded = tsc.loadSeries(shared_path / path, **given)
            assert (loaded.dims.count, loaded.nrecords) == ((6, 5, 2), 60)
            np.testing.assert_array_equal(loaded.toArray(), series)
            np.testing.assert_array_equal(loaded[2, 3, 1], series[2, 3, 1])
            np.testing.assert_array_equal(loaded.filterOnKeys(lambda k: k[0] == 3).count(), 10)
            np.testing.assert_array_equal(loaded.mean(), loaded.mean())
        bad = tsc.loadSeries(shared_path / "bad.txt", nkeys=3)
        with pytest.raises(FormatError, match=r"bad.txt, line 60"):
            bad.toArray()
        with pytest.raises(ValueError, match="nkeys"):
            tsc.loadSeries(shared_path / "text")
    with ThunderContext(memory="2KB") as tsc, pytest.raises(MemoryError, match="budget"):
        tsc.loadSeries(shared_path / "text", nkeys=3)
