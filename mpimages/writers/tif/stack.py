"""All images in one multi-page TIFF, written by all ranks at offsets that the shape decides."""

from __future__ import annotations

import os
import struct

import numpy as np
from mpi4py import MPI

from ...core.crc32 import crc32
from ...formats.tif_checksums import MARK_PLACE, STRUCTURE_PLACE
from ...spmd.agreement import Together, from_rank
from ..output.boxes import little_pieces, write_run
from ..output.files import OutputFiles, create_file, naming_file
from ..output.piece_sums import PieceSums
from .layout import StackLayout


class StackWriter:
    """Writes the file. Collective constructor; `write` is local, in any order.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    path : str
        What `staging.staged` yields; must not exist.
    layout : StackLayout
        The same on all ranks.
    """

    def __init__(self, comm: MPI.Intracomm, path: str, layout: StackLayout) -> None:
        self.comm = comm
        self.path = path
        self.layout = layout
        with Together(comm, "StackWriter"):
            self._sums = PieceSums(layout.pixel_bytes)
            self._files = OutputFiles([path])
            if comm.rank == 0:
                create_file(path, layout.file_bytes)

    def write(self, first: int, images: np.ndarray) -> None:
        """Write images, (n, row, column) or (n, row, column, page), as `first` and following."""
        pages = images[:, np.newaxis] if images.ndim == 3 else np.moveaxis(images, -1, 1)
        if pages.shape[1:] != self.layout.shape[1:] or images.dtype != self.layout.dtype:
            raise ValueError(
                f"images of {images.shape[1:]} {images.dtype} in a TIFF of "
                f"{self.layout.shape[1:]} {self.layout.dtype}"
            )
        offset = first * self.layout.shape[1] * self.layout.page_bytes
        with naming_file(self.path):
            descriptor = self._files.descriptor(0)
            for piece in little_pieces(pages):
                write_run(descriptor, self.layout.first + offset, piece)
                self._sums.add(offset, piece)
                offset += piece.nbytes

    def finish(self) -> None:
        """Flush, and complete the file with its tables. Collective."""
        with Together(self.comm, "StackWriter.finish"):
            self._files.sync()
        crcs = self._sums.total(self.comm)
        from_rank(self.comm, 0, "StackWriter.finish", self._complete, crcs.tolist())

    def close(self) -> None:
        """Close without flushing. Local."""
        self._files.close()

    def _complete(self, crcs: list[int]) -> None:
        """The tables; the header last, so that until then it is no TIFF."""
        layout = self.layout
        head = layout.head(crcs, layout.first)
        structure, place = crc32(head), layout.first + layout.pixel_bytes
        with open(self.path, "r+b", buffering=0) as file, naming_file(self.path):
            for piece in layout.tables():
                write_run(file.fileno(), place, np.frombuffer(piece, np.uint8))
                structure = crc32(piece, structure)
                place += len(piece)
            os.fsync(file.fileno())
            at = MARK_PLACE + STRUCTURE_PLACE
            whole = head[:at] + struct.pack("<I", structure) + head[at + 4 :]
            write_run(file.fileno(), 0, np.frombuffer(whole, np.uint8))
            os.fsync(file.fileno())
