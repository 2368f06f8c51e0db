"""An HDF5 dataset that must be read through the library: chunked, or filtered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...core.timers import phase
from ..base import Closing
from ..byte_ranges import byteswap
from ..chunked_array import ChunkedArray
from .opening import as_format_error

if TYPE_CHECKING:
    import h5py


def read_values(dataset: h5py.Dataset, out: np.ndarray, selection: tuple[slice, ...]) -> None:
    """Read a part of a dataset through the library into `out`, of its dtype in native order.

    Local. Bytes are swapped here: where the library swaps them, it leaves padding bits in.
    """
    dataset.read_direct(out.view(dataset.dtype), selection)
    byteswap(out, dataset.dtype)


class Hdf5Array(ChunkedArray):
    """A dataset of an open file.

    Parameters
    ----------
    path : str
        The file, for messages.
    dataset : h5py.Dataset
    owner : Closing, optional
        What has the dataset's file open, and is closed with the array.
    """

    def __init__(self, path: str, dataset: h5py.Dataset, owner: Closing | None = None) -> None:
        self.shape, self.chunks = dataset.shape, dataset.chunks
        self._path = path
        self._dataset = dataset
        self._owner = owner

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()

    def read(self, first: Sequence[int], out: np.ndarray) -> None:
        part = tuple(slice(a, a + n) for a, n in zip(first, out.shape, strict=True))
        damage = as_format_error(self._path, f"dataset {self._dataset.name}")
        with damage, phase("decode", out.nbytes):
            read_values(self._dataset, out, part)
