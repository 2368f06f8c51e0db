"""The loaders refuse what a job has not finished."""

import json

import h5py
import numpy as np
import pytest

from mpimages import FormatError
from mpimages.formats.output_names import PARTIAL_MARK, PARTIAL_TEXT
from mpimages.readers import find_input, list_files
from mpimages.readers.series.base import SeriesOptions, inspect_series


@pytest.fixture
def partial(tmp_path):
    """What a killed job leaves: whole files that say nothing of what they lack."""
    directory = tmp_path / ".out.mpimages-partial"
    (directory / "inside").mkdir(parents=True)
    (directory / PARTIAL_MARK).write_bytes(PARTIAL_TEXT)
    for where in (directory, directory / "inside"):
        np.zeros(6, "u1").tofile(where / "series-00000.bin")
        (where / "conf.json").write_text(json.dumps({"shape": [2, 3], "dtype": "uint8"}))
        (where / "a.png").write_bytes(b"?")
        with h5py.File(where / "out.h5", "w") as file:
            file["series"] = np.zeros((2, 3))
    return directory


def refuses(function, *args):
    with pytest.raises(FormatError, match=r"partial: is the unfinished output.*resume=True"):
        function(*args)


def test_images_of_an_unfinished_output(partial, monkeypatch):
    inside = partial / "inside"
    for path in (
        partial,
        inside,
        partial / "a.png",
        inside / "a.png",
        partial / "*.png",
        partial.parent / ".*" / "*.png",
        [inside / "a.png"],
    ):
        refuses(find_input, str(path) if not isinstance(path, list) else path, "png")
    refuses(find_input, inside, "png", None, True)
    monkeypatch.chdir(partial)
    refuses(find_input, "a.png")
    refuses(find_input, ".")


def test_even_where_there_are_no_images(partial):
    for file in partial.glob("*.*"):
        file.unlink()
    (partial / PARTIAL_MARK).write_bytes(b"")  # killed while it wrote the mark
    refuses(find_input, partial, "png")


def test_series_of_an_unfinished_output(partial, monkeypatch):
    inside = partial / "inside"
    for path in (partial, inside, partial / "out.h5", inside / "out.h5"):
        refuses(inspect_series, path, SeriesOptions())
    refuses(inspect_series, partial, SeriesOptions(inputFormat="hdf5"))
    monkeypatch.chdir(partial)
    refuses(inspect_series, "out.h5", SeriesOptions())


def test_what_lies_beside_an_unfinished_output_is_loaded(partial):
    (partial.parent / "b.png").write_bytes(b"?")
    assert list_files(partial.parent, recursive=True) == [str(partial.parent / "b.png")]
    (partial / PARTIAL_MARK).unlink()
    header = inspect_series(partial, SeriesOptions(inputFormat="binary"))
    assert header.dims == (2,)


@pytest.mark.ranks
def test_all_ranks_are_told(tsc, shared_path):
    partial = shared_path / ".out.mpimages-partial"
    if tsc.rank == 0:
        partial.mkdir()
        (partial / PARTIAL_MARK).write_bytes(PARTIAL_TEXT)
    for load in (tsc.loadImages, tsc.loadSeries):
        refuses(load, str(partial))
