"""What an import loads: a thousand ranks do it at once."""

import subprocess
import sys

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
