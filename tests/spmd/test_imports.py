"""What an import loads: a thousand ranks do it at once."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from mpimages.cli import COMMANDS

from ..support.data import moved

LAZY = """
import atexit, signal, sys
before = atexit._ncallbacks(), sys.excepthook, signal.getsignal(signal.SIGALRM)
import mpimages
assert before == (atexit._ncallbacks(), sys.excepthook, signal.getsignal(signal.SIGALRM))
heavy = {"h5py", "matplotlib", "tifffile", "imagecodecs", "mpi4py", "numpy"} & set(sys.modules)
assert not heavy, heavy
from mpimages import ThunderContext
heavy = {"h5py", "matplotlib", "tifffile", "imagecodecs", "PIL"} & set(sys.modules)
assert not heavy, heavy
try:
    mpimages.nonsense
except AttributeError as error:
    assert "nonsense" in str(error)
assert "Images" in dir(mpimages)
"""


def test_nothing_heavy_is_imported_before_it_is_needed():
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=60)


USED = """
import sys
from mpimages.cli import cli
try:
    cli(sys.argv[2:])
except SystemExit as ending:
    assert not ending.code, ending.code
loaded = [name for name in sys.argv[1].split(",") if name in sys.modules]
assert not loaded, loaded
"""
NEVER = "matplotlib,h5py,tifffile,numpy.ma,PIL,seaborn,unittest,xml.etree,mpimages.report.page"
READERS = "mpimages.readers.hdf5.reader,mpimages.readers.png,mpimages.readers.tif.ome"
CONVERSION = "mpimages.conversion.saving,mpimages.exchange.to_series,mpimages.writers.hdf5.writer"


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    directory = tmp_path_factory.mktemp("recording") / "movie"
    directory.mkdir()
    for number in range(3):
        tifffile.imwrite(directory / f"{number}.tif", np.full((4, 5), number, np.uint16))
    return str(directory)


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (["info", "{movie}"], ["mpimages.conversion.saving", "imagecodecs"]),
        (["stats", "{movie}", "{out}"], [CONVERSION]),
        (["to-series", "{movie}", "{out}"], ["mpimages.writers.hdf5.writer", "imagecodecs"]),
        (["convert", "{movie}", "{out}"], ["mpimages.writers.hdf5.writer", "imagecodecs"]),
        (["plan", "{movie}"], ["scipy", "mpimages.registration.finders", "imagecodecs"]),
        (["view", "{movie}", "--image", "1"], [CONVERSION, "imagecodecs"]),
        (["view", "{movie}", "{out}.png", "--image", "1"], [CONVERSION]),
        (["view", "{movie}", "--pixel", "1,1"], ["mpimages.conversion.saving"]),
    ],
    ids=lambda value: value[0] if value[0] in COMMANDS else "",
)
def test_a_command_imports_what_it_uses(recording, tmp_path, command, more):
    given = [part.format(movie=recording, out=tmp_path / "out") for part in command]
    unused = ",".join([NEVER, READERS, *more])
    subprocess.run(
        [sys.executable, "-c", USED, unused, *given],
        check=True,
        timeout=60,
        env={**os.environ, "MPIMAGES_PROGRESS": "0"},
    )


@pytest.mark.parametrize("command", [["process", "--register", "rigid"], ["register"]])
def test_a_registration_imports_what_it_uses(tmp_path, command):
    """Only SciPy is large."""
    np.save(tmp_path / "movie.npy", moved(6, (48, 40))[0])
    unused = "matplotlib,h5py,tifffile,PIL,mpimages.writers.hdf5.writer"
    subprocess.run(
        [sys.executable, "-c", USED, unused, *command, tmp_path / "movie.npy", tmp_path / "out"],
        check=True,
        timeout=60,
        env={**os.environ, "MPIMAGES_PROGRESS": "0"},
    )


def test_the_help_needs_neither_numpy_nor_mpi():
    subprocess.run([sys.executable, "-c", USED, "numpy,mpi4py", "--help"], check=True, timeout=60)
