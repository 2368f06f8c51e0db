"""HDF5, written by all ranks at once: past the library, through its mpio driver, or compressed.

Past the library: rank 0 creates the file and the dataset, with all its storage allocated and
none of it filled, asks HDF5 where in the file that storage lies, and closes it. From then on
every rank writes its bytes there. The result is an ordinary file for every reader; its bytes
depend neither on the ranks nor on how the data were cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from mpi4py import MPI

from ...core.cleanup import quietly
from ...dims import pixel_grain
from ...spmd.agreement import MOST, Together, from_rank
from ...spmd.collectives import broadcast_array
from ..output.boxes import chunk_parts, read_box, write_box
from ..output.files import OutputFiles, naming_file, open_again
from .base import DatasetWriter, compressed_chunks
from .chunk_shape import chunk_shape
from .chunks import CompressedWriter
from .file import find_places
from .filters import Filters, parse_compression
from .mpio import MpioWriter

if TYPE_CHECKING:
    import h5py

WAYS = {"posix", "mpio"}
# Bytes of a path that Open MPI opens.
LONGEST = 200


class Hdf5Writer(DatasetWriter):
    """Writes a dataset's bytes at their places, past HDF5. See `DatasetWriter`."""

    _found = (MOST,)

    def _prepare(self) -> None:
        if self._plan.filters is not None:
            raise ValueError("Hdf5Writer does not compress: use hdf5_writer")
        self._places = np.empty(self._plan.grid, dtype=np.int64)
        if self.comm.rank == 0:
            self._create_or_take_up()
            self._found = (int(self._places.flat[0]),)
        self._files = OutputFiles([self.path])

    def _allocated(self, raw: h5py.h5d.DatasetID) -> None:
        self._places = find_places(raw, self._plan)

    def _begin(self, found: Sequence[int]) -> None:
        self._places.flat[0] = found[0]
        if self._places.size > 1:
            broadcast_array(self.comm, self._places, 0)

    def _put(self, start: Sequence[int], array: np.ndarray) -> None:
        descriptor = self._files.descriptor(0)
        with naming_file(self.path):
            for place, cell, within, part in self._parts(start, array):
                write_box(descriptor, place, cell, within, part)

    def _get(self, start: Sequence[int], array: np.ndarray) -> bool:
        descriptor = open_again(self.path)
        try:
            for place, cell, within, part in self._parts(start, array):
                values = np.empty(part.shape, part.dtype)
                if not read_box(descriptor, place, cell, within, values):
                    return False
                part[...] = values
        finally:
            quietly(os.close, descriptor)
        return True

    def _parts(
        self, start: Sequence[int], array: np.ndarray
    ) -> Iterator[tuple[int, Sequence[int], list[int], np.ndarray]]:
        """The parts of a box in each chunk: where it begins, its shape, the place in it, a view."""
        cell = self._plan.chunk or self.shape
        for number, within, part in chunk_parts(start, array, cell):
            yield int(self._places[number]), cell, within, part

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        self._files.sync()

    def _complete(self, checksums: np.ndarray) -> None:
        with Together(self.comm, "Hdf5Writer.finish"):
            self._fill_in(checksums)

    def close(self) -> None:
        """Let go of the file without finishing: after an error. Local."""
        self._files.close()


def hdf5_writer(
    comm: MPI.Intracomm, path: str, *args: Any, way: str | None = None, **options: Any
) -> DatasetWriter:
    """The writer for what is asked and for the h5py that is here. Collective.

    Parameters
    ----------
    comm, path, *args, **options
        As `DatasetWriter` takes them.
    way : str, optional
        What `choose_way` has said on rank 0, where the ranks know it already.
    """
    if way is None:
        asked = options.get("compression")
        way = from_rank(comm, 0, "hdf5_writer", choose_way, path, asked)
    kind = {"mpio": MpioWriter, "posix": Hdf5Writer}.get(way, CompressedWriter)
    return kind(comm, path, *args, **options)


def choose_way(path: str, compression: object) -> str:
    """The way to write a dataset: ``'compressed'``, or one of `WAYS`. Local: rank 0.

    Notes
    -----
    MPIMAGES_HDF5 in the environment, rank 0's, is ``'posix'`` or ``'mpio'``; without it, mpio
    where h5py was built with MPI. Compressed datasets have one way in both worlds. Open MPI aborts
    where the path of a file is long (4.1: sharedfp/lockedfile has 256 bytes for it and more).
    """
    return _way(path) if parse_compression(compression) is None else "compressed"


def hdf5_grain(shape: Sequence[int], dtype: np.dtype, chunks: object, compression: object) -> int:
    """The `grain` of the writer of a series-major dataset, dims + (T,). Local."""
    chunk, filters = stored_form(shape, dtype, "series", chunks, compression)
    return 1 if filters is None or chunk is None else pixel_grain(shape[:-1], chunk[:-1])


def stored_form(
    shape: Sequence[int], dtype: np.dtype, layout: str, chunks: object, compression: object
) -> tuple[tuple[int, ...] | None, Filters | None]:
    """The chunks and the filters of a dataset of series of this shape, dims + (T,). Local."""
    filters = parse_compression(compression)
    if filters is not None:
        chunks = compressed_chunks(chunks)
    axes = (shape[-1], *shape[:-1]) if layout == "images" else shape
    return chunk_shape(chunks, axes, dtype.itemsize, layout), filters


def _way(path: str) -> str:
    import h5py

    given = os.environ.get("MPIMAGES_HDF5")
    too_long = (
        len(os.fsencode(os.path.abspath(path))) > LONGEST and MPI.get_vendor()[0] == "Open MPI"
    )
    if given is None:
        return "mpio" if h5py.get_config().mpi and not too_long else "posix"
    if given not in WAYS:
        raise ValueError(f"MPIMAGES_HDF5={given!r}: give one of {', '.join(sorted(WAYS))}")
    if given == "mpio" and not h5py.get_config().mpi:
        raise ValueError("MPIMAGES_HDF5='mpio', but this h5py was built without MPI")
    if given == "mpio" and too_long:
        raise ValueError(f"MPIMAGES_HDF5='mpio', but the path {path} is too long for Open MPI")
    return given
