"""Series on disk: as written here, by Thunder 1.x and 0.x, and in HDF5."""

import json

import h5py
import numpy as np
import pytest

from mpimages.errors import FormatError
from mpimages.readers.series import keyed
from mpimages.readers.series.base import (
    SeriesOptions,
    inspect_series,
    open_series,
    scan_keys,
    with_keys,
)
from tests.support.data import DTYPES, recording
from tests.support.recordings import (
    write_json,
    write_keyed_series,
    write_own_series,
    write_plain_series,
)

DIMS = [(5, 7), (4, 3, 2), (9,), (1, 1), (8, 1, 3)]
WRITERS = {
    "own": write_own_series,
    "thunder 1": write_plain_series,
    "thunder 0": write_keyed_series,
}


def make(dims, length, dtype="int16"):
    return np.ascontiguousarray(np.moveaxis(recording(length, dims, dtype), 0, -1))


def inspect(path, **given):
    header = inspect_series(path, SeriesOptions(**given))
    if header.needs_keys:
        half = header.file_count // 2  # as two ranks would share the work
        scans = [scan_keys(header, 0, half), scan_keys(header, half, header.file_count)]
        header = with_keys(header, np.concatenate(scans))
    return header


def read(header, first=0, stop=None):
    stop = header.pixels if stop is None else stop
    out = np.full((stop - first, header.length), 77, dtype=header.dtype)
    with open_series(header) as handle:
        handle.read(first, stop, out)
    return out


def check(path, series, **given):
    """The whole, and every kind of part."""
    header = inspect(path, **given)
    assert (header.dims, header.length) == (series.shape[:-1], series.shape[-1])
    assert header.dtype == series.dtype.newbyteorder("=")
    flat = series.reshape(-1, series.shape[-1])
    count = len(flat)
    third = count // 3
    parts = {(0, count), (0, 1), (count - 1, count), (third, 2 * third), (1, count - 1), (0, 0)}
    for first, stop in parts:
        if first <= stop:
            np.testing.assert_array_equal(read(header, first, stop), flat[first:stop])
    return header


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("files", [1, 3])
def test_binary(tmp_path, kind, dims, files):
    series = make(dims, 8)
    WRITERS[kind](tmp_path, series, min(files, int(np.prod(dims))))
    check(tmp_path, series)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_binary_dtypes(tmp_path, kind, dtype):
    series = make((3, 4), 5, dtype)
    WRITERS[kind](tmp_path, series, 2)
    check(tmp_path, series)


@pytest.mark.parametrize("length", [1, 7, 9])
def test_lengths(tmp_path, length):
    for kind, write in WRITERS.items():
        directory = tmp_path / kind
        directory.mkdir()
        series = make((3, 4), length)
        write(directory, series)
        check(directory, series)


# ---- as written here


def test_own_index_and_metadata(tmp_path):
    series = make((3, 4), 5)
    write_own_series(tmp_path, series, index=[3, 5, 8, 9, 12], metadata={"pixelSize": [1, 2]})
    header = check(tmp_path, series, nvalues=5, valueType="int16")
    assert header.index.tolist() == [3, 5, 8, 9, 12]
    assert header.index.dtype == np.int64
    assert header.metadata == {"pixelSize": (1, 2)}


def test_own_without_success_is_unfinished(tmp_path):
    write_own_series(tmp_path, make((3, 4), 5))
    (tmp_path / "SUCCESS").unlink()
    with pytest.raises(FormatError, match="unfinished"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "version 2"),
        ({"version": None}, "version"),
        ({"shape": [3, 4]}, "index"),
        ({"shape": [3]}, "not that of pixels"),
        ({"shape": [3, 4, 0]}, "at least 1"),
        ({"shape": [10**9, 10**9, 5]}, "pixels"),
        ({"shape": None}, "shape"),
        ({"dtype": "int32"}, "bytes"),
        ({"dtype": "O"}, "dtype"),
        ({"dtype": None}, "dtype"),
        ({"index": [1, 2]}, "index"),
        ({"index": [1, 2, 3, 4, "5"]}, "index"),
        ({"index": [1, 2, 3, 4, 10**30]}, "index"),
        ({"files": []}, "no files"),
        ({"files": [3]}, "damaged"),
        ({"files": [{"name": "series-00000.bin", "first": 0}]}, "damaged"),
        ({"files": [{"name": "series-00000.bin", "first": 1, "count": 12}]}, "begins at pixel 1"),
        ({"files": [{"name": "series-00000.bin", "first": 0, "count": -12}]}, "at least 1"),
        ({"files": [{"name": "series-00000.bin", "first": 0, "count": 11}]}, "hold 11"),
        ({"files": [{"name": "../series-00000.bin", "first": 0, "count": 12}]}, "outside"),
        ({"files": [{"name": "/etc/passwd", "first": 0, "count": 12}]}, "outside"),
        ({"files": [{"name": "..", "first": 0, "count": 12}]}, "outside"),
        ({"files": [{"name": "a/b", "first": 0, "count": 12}]}, "outside"),
        ({"files": [{"name": 7, "first": 0, "count": 12}]}, "damaged"),
    ],
)
def test_own_conf_that_is_wrong(tmp_path, change, told):
    write_own_series(tmp_path, make((3, 4), 5), **change)
    with pytest.raises(FormatError, match=told) as caught:
        inspect(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_own_link_out_of_the_directory(tmp_path):
    inside = tmp_path / "series"
    inside.mkdir()
    series = make((3, 4), 5)
    write_own_series(inside, series)
    (inside / "series-00000.bin").rename(tmp_path / "elsewhere.bin")
    (inside / "series-00000.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(FormatError, match="leads out"):
        inspect(inside)
    (inside / "series-00000.bin").unlink()
    (tmp_path / "elsewhere.bin").rename(inside / "other.bin")
    (inside / "series-00000.bin").symlink_to("other.bin")
    check(inside, series)


@pytest.mark.parametrize("kind", WRITERS)
def test_file_missing_or_of_another_size(tmp_path, kind):
    WRITERS[kind](tmp_path, make((3, 4), 5), 3)
    file = sorted(tmp_path.glob("*.bin"))[1]
    content = file.read_bytes()
    for wrong in (content[:-1], content[: len(content) // 4 * 1], content + b"\0"):
        file.write_bytes(wrong)
        with pytest.raises(FormatError, match=r"bytes|records|pixels"):
            inspect(tmp_path)
    file.unlink()
    if kind == "own":
        with pytest.raises(FormatError, match=rf"{file.name}: is missing.*lists it"):
            inspect(tmp_path)
    with pytest.raises((FormatError, FileNotFoundError)):
        inspect(tmp_path)


def test_file_that_shrinks_while_it_is_read(tmp_path):
    write_own_series(tmp_path, make((3, 4), 5))
    header = inspect(tmp_path)
    with open(tmp_path / "series-00000.bin", "r+b") as file:
        file.truncate(7)
    with pytest.raises(FormatError, match=r"series-00000\.bin: has 7 bytes, not 120"):
        read(header)


# ---- Thunder 1.x


def test_thunder1_files_in_natural_order_and_byte_order(tmp_path):
    series = make((12, 4), 5, "int16").astype(">i2")
    flat = series.reshape(12, -1)
    for row in range(12):  # named by their first key, as Thunder does
        (tmp_path / f"series-{row}-0.bin").write_bytes(flat[row].tobytes())
    write_json(tmp_path / "conf.json", {"shape": [12, 4, 5], "dtype": ">i2"})
    check(tmp_path, series)
    (tmp_path / "SUCCESS").touch()
    (tmp_path / "notes.txt").write_text("x")
    check(tmp_path, series)


def test_explicit_value_type_wins(tmp_path):
    series = make((3, 4), 5, "int16")
    write_plain_series(tmp_path, series, dtype="uint16")
    check(tmp_path, series, valueType="int16", nvalues=5)
    with pytest.raises(ValueError, match="nvalues=6"):
        inspect(tmp_path, nvalues=6)
    with pytest.raises(ValueError, match="nkeys"):
        inspect(tmp_path, nkeys=2)


# ---- Thunder 0.x


@pytest.mark.parametrize("base", [0, 1, -2])
@pytest.mark.parametrize("keys", ["int16", "int32", "float64", ">i2"])
def test_keyed_by_any_type_and_base(tmp_path, base, keys):
    series = make((5, 3, 2), 6, "float64")
    write_keyed_series(tmp_path, series, 4, keys=keys, base=base, valuetype="float")
    check(tmp_path, series)


def test_keyed_in_small_bands(tmp_path, monkeypatch):
    series = make((6, 5, 3), 4)
    write_keyed_series(tmp_path, series, 7)
    for band, run in ((1, 1), (50, 1), (50, 10**9), (10**9, 10**9), (10**9, 1)):
        monkeypatch.setattr(keyed, "BAND_BYTES", band)
        monkeypatch.setattr(keyed, "RUN_BYTES", run)
        check(tmp_path, series)


def test_keyed_explicit_wins_and_needs_no_conf(tmp_path):
    series = make((5, 3), 6, "uint8")
    write_keyed_series(tmp_path, series, 2, nkeys=3, nvalues=4, valuetype="int32")
    check(tmp_path, series, nkeys=2, nvalues=6, valueType="uint8")
    (tmp_path / "conf.json").unlink()
    check(tmp_path, series, nkeys=2, nvalues=6, keyType="int16", valueType="uint8")
    with pytest.raises(FileNotFoundError, match=r"conf\.json: does not exist.*nkeys"):
        inspect(tmp_path)


def test_keyed_defaults_are_int16(tmp_path):
    series = make((5, 3), 6)
    write_keyed_series(tmp_path, series)
    write_json(tmp_path / "conf.json", {"nkeys": 2, "nvalues": 6})
    check(tmp_path, series)


def test_keyed_whatever_the_names_and_with_empty_files(tmp_path):
    series = make((5, 3), 6)
    write_keyed_series(tmp_path, series, 3)
    for k, file in enumerate(sorted(tmp_path.glob("*.bin"), reverse=True)):
        file.rename(tmp_path / f"part-{k}.bin")
    (tmp_path / "empty.bin").touch()
    (tmp_path / "_SUCCESS").touch()
    check(tmp_path, series)


def test_keyed_with_a_record_missing_or_out_of_order(tmp_path):
    series = make((5, 3), 6)
    write_keyed_series(tmp_path, series)
    file = next(tmp_path.glob("*.bin"))
    records = np.frombuffer(file.read_bytes(), "u1").reshape(15, -1)
    file.write_bytes(np.delete(records, 7, axis=0).tobytes())
    with pytest.raises(FormatError, match=r"14 records.*not all the pixels"):
        inspect(tmp_path)
    swapped = records.copy()
    swapped[[6, 7]] = swapped[[7, 6]]
    file.write_bytes(swapped.tobytes())
    with pytest.raises(FormatError, match=r"record 6 has the keys \(2, 1\).*\(1, 1\)"):
        read(inspect(tmp_path))
    file.write_bytes(records[::-1].tobytes())
    with pytest.raises(FormatError, match="in order"):
        inspect(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"nvalues": 7}, "whole records|not all"),
        ({"nvalues": 0}, "nvalues"),
        ({"nkeys": 4}, "4 keys"),
        ({"nkeys": "2"}, "nkeys"),
        ({"keytype": "int99"}, "keytype"),
        ({"valuetype": "object"}, "valuetype|dtype"),
        ({"nvalues": 10**15}, "whole records"),
    ],
)
def test_keyed_conf_that_is_wrong(tmp_path, change, told):
    write_keyed_series(tmp_path, make((5, 3), 6), **change)
    with pytest.raises(FormatError, match=told):
        inspect(tmp_path)


def test_keyed_must_be_scanned_first(tmp_path):
    write_keyed_series(tmp_path, make((5, 3), 6), 3)
    header = inspect_series(tmp_path, SeriesOptions())
    with pytest.raises(ValueError, match="scanned"):
        open_series(header)
    with pytest.raises(ValueError, match="not a scan"):
        with_keys(header, scan_keys(header, 0, 2))


# ---- HDF5


@pytest.mark.parametrize("layout", [None, "series", "images"])
@pytest.mark.parametrize("dims", [(5, 7), (4, 3, 2), (9,)])
@pytest.mark.parametrize("chunks", [None, True])
def test_hdf5(tmp_path, layout, dims, chunks):
    series = make(dims, 8, "float32")
    path = tmp_path / "a.h5"
    data = np.moveaxis(series, -1, 0) if layout == "images" else series
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("series", data=data, chunks=chunks)
        if layout:
            dataset.attrs["mpimages_format"] = 1
            dataset.attrs["layout"] = layout
            dataset.attrs["index"] = np.arange(8) * 2
            dataset.attrs["metadata"] = json.dumps({"unit": "µm"})
    header = check(path, series)
    if layout:
        assert header.index.tolist() == list(range(0, 16, 2))
        assert header.metadata == {"unit": "µm"}
    else:
        assert header.index is None
    check(tmp_path, series)
    check(tmp_path, series, inputFormat="hdf5", nvalues=8)


@pytest.mark.parametrize("dtype", [*DTYPES, ">i4"])
def test_hdf5_dtypes_and_names(tmp_path, dtype):
    series = make((3, 4), 5, np.dtype(dtype).newbyteorder("=").name).astype(dtype)
    path = tmp_path / "a.anything"
    with h5py.File(path, "w") as file:
        file["g/s"] = series
    check(path, series, inputFormat="hdf5", dataset="g/s")
    with pytest.raises(ValueError, match="no dataset 'series'; it has g/s"):
        inspect(path, inputFormat="hdf5")
    with pytest.raises(ValueError, match="inputFormat='hdf5'"):
        inspect(path)


@pytest.mark.parametrize(
    ("attributes", "told"),
    [({"mpimages_format": 2}, "version 2"), ({"mpimages_format": 1, "index": [1, 2]}, "index")],
)
def test_hdf5_attributes_that_are_wrong(tmp_path, attributes, told):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["series"] = make((3, 4), 5)
        for name, value in attributes.items():
            file["series"].attrs[name] = value
    with pytest.raises(FormatError, match=told):
        inspect(path)


def test_several_hdf5_files(tmp_path):
    for name in "ab":
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["series"] = make((3, 4), 5)
    with pytest.raises(ValueError, match="2 HDF5 files"):
        inspect(tmp_path)


# ---- arguments and paths


@pytest.mark.parametrize(
    ("given_options", "error"),
    [
        ({"nkeys": -1}, ValueError),
        ({"nkeys": 1.5}, TypeError),
        ({"nvalues": "3"}, TypeError),
        ({"keyType": "nonsense"}, TypeError),
        ({"valueType": "c8"}, ValueError),
        ({"inputFormat": "tif"}, ValueError),
        ({"dataset": None}, TypeError),
        ({"confFilename": ""}, ValueError),
    ],
)
def test_options_that_cannot_be(given_options, error):
    with pytest.raises(error):
        SeriesOptions(**given_options)


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="gone"):
        inspect(tmp_path / "gone")
    with pytest.raises(TypeError, match="one path"):
        inspect([tmp_path])
    with pytest.raises(FileNotFoundError, match="HDF5"):
        inspect(tmp_path, inputFormat="hdf5")
    with pytest.raises(FileNotFoundError, match=r"conf\.json"):
        inspect(tmp_path)
    write_json(tmp_path / "conf.json", {"dims": [3, 4], "dtype": "int16"})
    with pytest.raises(ValueError, match="loadImages"):
        inspect(tmp_path)
    write_json(tmp_path / "conf.json", {"something": 1})
    with pytest.raises(FormatError, match="no shape"):
        inspect(tmp_path)
    write_json(tmp_path / "conf.json", {"shape": [3, 4], "dtype": "int16"})
    with pytest.raises(FileNotFoundError, match="data file"):
        inspect(tmp_path)
    with pytest.raises(ValueError, match="directory"):
        inspect(tmp_path / "conf.json", inputFormat="binary")


def test_reading_outside_and_into_the_wrong_memory(tmp_path):
    write_own_series(tmp_path, make((3, 4), 5))
    header = inspect(tmp_path)
    with open_series(header) as handle:
        with pytest.raises(IndexError, match="12"):
            handle.read(5, 13, np.empty((8, 5), "i2"))
        for bad in (np.empty((2, 6), "i2"), np.empty((2, 5), "u2"), np.empty((5, 2), "i2").T):
            with pytest.raises(ValueError, match="read"):
                handle.read(0, 2, bad)


def test_the_one_file_of_a_binary_series_stands_for_it(tmp_path):
    series = make((4, 3), 6)
    for name in ("series-00000.bin", "values.bin"):
        where = tmp_path / name.removesuffix(".bin")
        where.mkdir()
        (where / name).write_bytes(series.tobytes())
        with pytest.raises(FileNotFoundError, match=r'conf\.json.*"shape": \['):
            inspect(where / name)
        write_json(where / "conf.json", {"shape": [4, 3, 6], "dtype": "int16"})
        for path in (where, where / name):
            np.testing.assert_array_equal(read(inspect(path)), series.reshape(12, 6))
    (where / "more.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=f"not all of a binary Series.*2 data files; load {where}"):
        inspect(where / "values.bin")


def test_hdf5_series_of_any_ending_where_the_format_is_named(tmp_path):
    series = make((4, 3), 6)
    with h5py.File(tmp_path / "a.xyz", "w") as file:
        file["series"] = series
    (tmp_path / "notes.txt").write_text("none")
    for path in (tmp_path, tmp_path / "a.xyz"):
        header = inspect(path, inputFormat="hdf5")
        np.testing.assert_array_equal(read(header), series.reshape(12, 6))
