"""What a reader says of images that can be read without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Places:
    """Where images lie in a file that stores them plainly.

    Each plane of an image is one run of values in C order, and its planes are evenly spaced.

    Parameters
    ----------
    first : (n,) int64 ndarray
        The byte at which plane 0 of each image begins.
    stride : (n,) int64 ndarray
        The bytes from one of its planes to the next, of any sign; 0 where there is one.
    planes : int
        A volume's pages, (row, column) each; or 1, and the run is the whole image in C order.
    stored : numpy.dtype
        As stored, byte order included: the header's dtype but for that.
    size, modified : int
        The file's size in bytes and its time of modification in ns, for those who come back.
    """

    first: np.ndarray
    stride: np.ndarray
    planes: int
    stored: np.dtype
    size: int
    modified: int
