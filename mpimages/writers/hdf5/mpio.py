"""HDF5 through its own ``mpio`` driver, where h5py was built with MPI."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from mpi4py import MPI

from ...core.cleanup import quietly
from ...kernels.runs import begin_writeback
from ...spmd.agreement import Together
from ..output.boxes import WRITEBACK_BYTES
from ..output.files import OutputFiles, naming_file
from .base import DatasetWriter

if TYPE_CHECKING:
    import h5py

# MPI-IO counts bytes in an int.
PIECE_BYTES = 1 << 30
# The driver does not tell where in the file it writes: what is on its way to the disk already
# is not sent again.
EVERYTHING = 1 << 62


class MpioWriter(DatasetWriter):
    """Writes a dataset with independent transfers of the mpio driver. See `DatasetWriter`.

    The file is created as `Hdf5Writer` creates it. A rank without data takes part in the
    constructor, `finish` and `close` alone.

    Notes
    -----
    The driver opens no file without a signature, and writes it again when it closes one: it is
    there for the moment of opening, and for that of closing.
    """

    def _prepare(self) -> None:
        if self._plan.filters is not None:
            raise ValueError("MpioWriter does not compress: use hdf5_writer")
        # The driver's calls are MPI's: another thread may make them only where all may.
        self.threaded = MPI.Query_thread() == MPI.THREAD_MULTIPLE
        self._file: h5py.File | None = None
        self._files = OutputFiles([self.path])
        if self.comm.rank == 0:
            self._create_or_take_up()

    def _begin(self, found: Sequence[int]) -> None:
        import h5py

        with Together(self.comm, "MpioWriter"):
            # Open before anything is written: it is told of all that the disk does not take.
            self._descriptor = self._files.descriptor(0)
            self._file = h5py.File(
                self.path, "r+", driver="mpio", comm=self.comm, libver="earliest"
            )
            self._dataset = self._file[self._plan.name].id

    def _put(self, start: Sequence[int], array: np.ndarray) -> None:
        from h5py import h5s

        for corner, part in _pieces(tuple(start), np.ascontiguousarray(array)):
            target = self._dataset.get_space()
            target.select_hyperslab(corner, part.shape)
            self._dataset.write(h5s.create_simple(part.shape), target, part)
            if part.nbytes >= WRITEBACK_BYTES:
                begin_writeback(self._descriptor, 0, EVERYTHING)

    def _get(self, start: Sequence[int], array: np.ndarray) -> bool:
        from h5py import h5s

        for corner, part in _pieces(tuple(start), array):
            target = self._dataset.get_space()
            target.select_hyperslab(corner, part.shape)
            self._dataset.read(h5s.create_simple(part.shape), target, part)
        return True

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        with naming_file(self.path):
            os.fdatasync(self._descriptor)

    def _complete(self, checksums: np.ndarray) -> None:
        with Together(self.comm, "MpioWriter.finish"):
            self._close_file()
            self.sync()
        with Together(self.comm, "MpioWriter.finish"):
            self._fill_in(checksums)

    def close(self) -> None:
        """Let go of the file. Collective, as closing is in MPI-IO; may be called twice."""
        self._files.close()
        quietly(self._close_file)

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        file.close()


def _pieces(
    start: tuple[int, ...], array: np.ndarray
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """A box as boxes of at most PIECE_BYTES each, which are contiguous in memory."""
    if array.nbytes <= PIECE_BYTES:
        yield start, array
        return
    axis = next(i for i, n in enumerate(array.shape) if n > 1)
    half = array.shape[axis] // 2
    before = (slice(None),) * axis
    yield from _pieces(start, array[(*before, slice(half))])
    moved = (*start[:axis], start[axis] + half, *start[axis + 1 :])
    yield from _pieces(moved, array[(*before, slice(half, None))])
