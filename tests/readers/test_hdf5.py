"""HDF5 files that are still being written, or that their writer has not closed."""

from __future__ import annotations

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mpimages import FormatError, verify
from mpimages.readers import Options, get
from mpimages.readers.series.base import SeriesOptions, inspect_series
from tests.support.data import recording
from tests.support.recordings import read_all

# Leaves the file as a program does that is killed; without an argument it lets others read.
WRITER = """if 1:
    import os, sys
    import h5py, numpy as np
    file = h5py.File('a.h5', 'w', libver='latest')
    images = np.load('images.npy')
    dataset = file.create_dataset('series', data=images[:2], chunks=(1, *images.shape[1:]),
                                  maxshape=(None, *images.shape[1:]))
    if len(sys.argv) == 1:
        file.swmr_mode = True
    dataset.resize(len(images), 0)
    dataset[2:] = images[2:]
    file.flush()
    os._exit(0)
"""


def write(tmp_path, *words):
    images = recording(5, (6, 7), "uint16")
    np.save(tmp_path / "images.npy", images)
    subprocess.run([sys.executable, "-c", WRITER, *words], cwd=tmp_path, check=True, timeout=60)
    return images


def test_a_file_that_a_swmr_writer_has_open_is_read(tmp_path):
    images = write(tmp_path)
    np.testing.assert_array_equal(read_all("hdf5", tmp_path / "a.h5"), images)
    assert inspect_series(tmp_path / "a.h5", SeriesOptions()).dims == (5, 6)


@pytest.mark.parametrize(
    "look",
    [
        lambda path: get("hdf5").inspect(str(path), Options()),
        lambda path: inspect_series(path, SeriesOptions()),
    ],
)
def test_a_file_that_was_not_closed_says_what_to_do(tmp_path, look):
    write(tmp_path, "without readers")
    with pytest.raises(FormatError, match=r"a\.h5: was not closed.*h5clear --status"):
        look(tmp_path / "a.h5")
    (problem,) = verify(tmp_path / "a.h5").problems
    assert "was not closed" in problem


def test_a_file_that_cannot_be_locked_names_the_variable(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", locking=True) as file:
        file["d"] = recording(3, (4, 5), "uint8")
        file.flush()
        code = "from mpimages.readers.hdf5.opening import open_hdf5_file; open_hdf5_file('a.h5')"
        for said, wanted in (("TRUE", "HDF5_USE_FILE_LOCKING=FALSE"), ("FALSE", "")):
            environment = {**os.environ, "HDF5_USE_FILE_LOCKING": said}
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert wanted in done.stderr
            assert (done.stderr == "") == (wanted == "")
