"""Records in an array-like that is read on demand: of dask, zarr, h5py, a memory map. Local."""

from __future__ import annotations

import itertools
import math
import threading
import zlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from ..core.arguments import check_ints, check_record_dtype, image_dtype
from ..core.cleanup import ask
from ..core.text import quote
from ..core.timers import phase
from ..dims import pixel_boxes, pixel_grain
from .chain import Positions, Shape
from .sources import LocalSource, runs

__all__ = ["ArraySource", "array_like", "load_array"]

# What is asked of an array at once, unless more records lie in a chunk of it.
PIECE_BYTES = 1 << 22
# Records that tell a resumed job whether the array is still the same.
SAMPLES = 16
MOST_VALUES = (1 << 63) - 1
# Whose arrays several threads may read from.
SAFE = ("dask", "h5py", "mpimages", "numpy", "tensorstore", "xarray", "zarr")


def array_like(given: object) -> tuple[Shape, np.dtype] | None:
    """Return shape and dtype of what is read on demand; None for what is in memory, or no array.

    An object is read on demand if it has a shape, a dtype of NumPy, and can be indexed, but is no
    ndarray. Memory maps are, too.

    Raises
    ------
    TypeError
        If its shape is not known, or records cannot have its dtype.
    ValueError
        If its shape cannot be true.
    """
    in_memory = isinstance(given, np.ndarray | np.generic | list | tuple)
    if (in_memory and not isinstance(given, np.memmap)) or not hasattr(type(given), "__getitem__"):
        return None
    shape, dtype = (ask(getattr, given, name, None) for name in ("shape", "dtype"))
    dtype = ask(getattr, dtype, "numpy_dtype", dtype)  # tensorstore's has NumPy's within
    if not isinstance(shape, tuple) or not isinstance(dtype, np.dtype):
        return None
    if dtype.kind != "b":
        check_record_dtype(dtype, "array")
    lengths = check_ints(shape, "array: its shape", 0)
    if math.prod(lengths) > MOST_VALUES:
        raise ValueError(f"array: its shape {lengths} has more values than can be counted")
    return lengths, image_dtype(dtype)


def load_array(array: Any, shape: Shape, dtype: np.dtype) -> np.ndarray:
    """Return all values of what is read on demand, of one axis at least."""
    values = np.empty(shape, dtype)
    if values.size:
        ArraySource(array, shape[:1], shape[1:], dtype).fill(range(shape[0]), values)
    return values


class ArraySource(LocalSource):
    """Records of an array, of which each rank reads its own when an action runs.

    Parameters
    ----------
    array : object
        It has a shape, a dtype and basic indexing. It is kept, and never written to.
    lead : tuple of int
        The extent of its first axes, along which the records lie in C order.
    dims, dtype
        Of a record: the other axes, and the dtype in native byte order.

    Notes
    -----
    Threads read from arrays of which it is known that they may; from others one at a time.
    Those of dask are computed by the thread that asks for them: its own scheduler would
    start as many threads as there are cores on every rank, or send the work to a cluster.
    """

    def __init__(self, array: Any, lead: Shape, dims: Shape, dtype: np.dtype) -> None:
        super().__init__(math.prod(lead), dims, dtype)
        self.array = array
        self.lead = lead
        self.kind = type(array).__qualname__
        chunks = _chunks(array, (*lead, *dims))
        self._grain = _grain(lead, chunks)
        chunk = dtype.itemsize * math.prod(max(sizes) for sizes in chunks)
        self._decoded = chunk if chunk > super().record_bytes() else 0
        module = str(ask(getattr, type(array), "__module__", "")).partition(".")[0]
        self._lock: AbstractContextManager[object] = (
            nullcontext() if module in SAFE else threading.Lock()
        )

    @property
    def shape(self) -> Shape:
        """The array's."""
        return (*self.lead, *self.dims)

    def record_bytes(self) -> int:
        """Return the bytes of a record, and those of what the array hands out."""
        return 2 * super().record_bytes()

    def decoded_bytes(self) -> int:
        return self._decoded

    def fill(self, positions: Positions, out: np.ndarray) -> None:
        size = max(1, super().record_bytes())
        step = max(1, PIECE_BYTES // size // self._grain) * self._grain
        for start, stop in runs(positions):
            first = int(positions[start])
            last = first + stop - start
            # Cut where chunks end, as far as that bounds what is read at once.
            edges = [first, *range((first // step + 1) * step, last, step), last]
            for a, b in itertools.pairwise(edges):
                self._read(a, b, out[start + a - first : start + b - first])

    def _read(self, first: int, last: int, out: np.ndarray) -> None:
        """Read the records [first, last)."""
        done = 0
        for corner, extent in pixel_boxes(self.lead, first, last):
            count = math.prod(extent)
            key = tuple(slice(a, a + n) for a, n in zip(corner, extent, strict=True))
            with phase("read", out[done : done + count].nbytes), self._lock:
                values = self._ask((*key, *(slice(0, n) for n in self.dims)))
            shape = (*extent, *self.dims)
            if values.shape != shape or values.dtype.newbyteorder("=") != self.dtype:
                raise ValueError(
                    f"array: {self.kind}[{_shown(key)}] has shape {values.shape} and dtype "
                    f"{values.dtype}, not {shape} and {self.dtype}, as its shape and dtype say"
                )
            out[done : done + count].reshape(shape)[...] = values
            done += count

    def _ask(self, key: tuple[slice, ...]) -> np.ndarray:
        part = self.array[key]
        if hasattr(part, "__dask_graph__") and hasattr(part, "compute"):
            part = part.compute(scheduler="synchronous")
        if np.ma.is_masked(part):
            raise TypeError(
                f"array: {self.kind}[{_shown(key)}] has masked values, which records cannot have"
            )
        values: np.ndarray = np.asarray(part)
        return values.view(np.uint8) if values.dtype == np.bool_ else values

    def _groups(self, own: Positions) -> np.ndarray | None:
        if self._grain == 1:
            return None
        number = np.asarray(own, dtype=np.int64) // self._grain
        return np.flatnonzero(np.diff(number, prepend=-1))

    def samples(self) -> np.ndarray:
        """Return the numbers of evenly spaced records, the first and the last among them."""
        return np.unique(np.linspace(0, self.count - 1, SAMPLES).astype(np.int64))

    def checksum(self, number: int) -> int:
        """Return the CRC-32 of a record."""
        record = np.empty((1, *self.dims), self.dtype)
        self._read(number, number + 1, record)
        return zlib.crc32(record.data)


def _chunks(array: object, shape: Shape) -> list[tuple[int, ...]]:
    """Return the sizes of an array's chunks along each axis; those of one number if all are alike.

    An array that does not say it has chunks of one value.
    """
    said = ask(getattr, array, "chunks", None)
    if not isinstance(said, tuple) or len(said) != len(shape):
        return [(1,)] * len(shape)
    chunks = [sizes if isinstance(sizes, tuple) else (sizes,) for sizes in said]  # dask lists all
    if not all(sizes and all(isinstance(n, int) and n > 0 for n in sizes) for sizes in chunks):
        return [(1,)] * len(shape)
    return [
        tuple(min(n, length) for n in sizes) for sizes, length in zip(chunks, shape, strict=True)
    ]


def _grain(lead: Shape, chunks: list[tuple[int, ...]]) -> int:
    """Return how many records, counted from the first, lie in the same chunks."""
    found = []
    for _, sizes in zip(lead, chunks, strict=False):
        if len(set(sizes[:-1])) > 1 or sizes[-1] > sizes[0]:
            return 1
        found.append(sizes[0])
    return pixel_grain(lead, found)


def _shown(key: Sequence[slice]) -> str:
    return quote(", ".join(f"{part.start}:{part.stop}" for part in key))[1:-1]
