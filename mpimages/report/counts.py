"""How often each value occurs: exactly for small integers, in bins for others."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from ..core.arguments import is_small_integer
from ..spmd.collectives import allreduce

__all__ = ["Counts"]

BINS = 512
# Values that are counted at a time.
PIECE = 1 << 19


class Counts:
    """A histogram of the finite values. Local but for `merge`.

    Parameters
    ----------
    dtype : numpy.dtype
        Integers of 8 and 16 bits are counted one by one.
    low, high : float
        The range of others; what lies beyond counts for the first or last bin.

    Attributes
    ----------
    exact : bool
    counts : int64 ndarray
    """

    def __init__(self, dtype: np.dtype, low: float, high: float) -> None:
        self.dtype = dtype
        self.exact = is_small_integer(dtype)
        self.low = low
        self.high = high if high > low else low + 1.0
        self.counts = np.zeros(1 << 8 * dtype.itemsize if self.exact else BINS, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count the values of a C-contiguous array."""
        flat = values.reshape(-1)
        for i in range(0, len(flat), PIECE):  # NumPy counts in 64-bit copies
            piece = flat[i : i + PIECE]
            self.counts += self._exactly(piece) if self.exact else self._in_bins(piece)

    def _exactly(self, flat: np.ndarray) -> np.ndarray:
        bits = flat.view(f"u{flat.itemsize}")
        if flat.itemsize == 1 and len(flat) % 2 == 0:  # two at a time take half as long
            pairs = np.bincount(bits.view(np.uint16), minlength=1 << 16).reshape(256, 256)
            found = pairs.sum(axis=0) + pairs.sum(axis=1)
        else:
            found = np.bincount(bits, minlength=len(self.counts))
        return np.roll(found, len(found) // 2) if flat.dtype.kind == "i" else found

    def _in_bins(self, flat: np.ndarray) -> np.ndarray:
        finite = flat[np.isfinite(flat)] if flat.dtype.kind == "f" else flat
        place = (finite.astype(np.float64) - self.low) / (self.high - self.low) * BINS
        return np.bincount(np.clip(place, 0, BINS - 1).astype(np.int64), minlength=BINS)

    def merge(self, comm: MPI.Intracomm) -> None:
        """Add up the ranks' counts. Collective."""
        allreduce(comm, self.counts)

    @property
    def edges(self) -> np.ndarray:
        """Where the bins begin and end: one more than there are."""
        if not self.exact:
            return np.linspace(self.low, self.high, BINS + 1)
        least = np.iinfo(self.dtype).min
        return np.arange(least, least + len(self.counts) + 1, dtype=np.float64)
