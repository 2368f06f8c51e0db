"""Zarr without compression: values have their places in files from the beginning. See `writer`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

import numpy as np

from ...core.cleanup import quietly
from ...spmd.agreement import Together
from ..output.boxes import chunk_parts, read_box, write_box
from ..output.files import OutputFiles, naming_file, open_again, prepare_file, write_all
from .base import ZarrWriter, file_numbers, make_directory, sync_directories
from .layout import Placed

__all__ = ["PlainZarrWriter"]


class PlainZarrWriter(ZarrWriter):
    """Writes values as they are, each at its place. See `ZarrWriter`."""

    def _prepare(self) -> None:
        form, comm = self._form, self.comm
        made: set[str] = set()
        for placed, number in form.files(comm.rank, comm.size):
            path = self._file(number)
            make_directory(os.path.dirname(path), made)
            prepare_file(path, placed.plain_size(number))
            if self.resume:
                _clear_padding(path, placed, number)
        paths = [self._file(number) for placed in form.arrays for number in file_numbers(placed)]
        self._files = OutputFiles(paths)

    def _put_box(self, placed: Placed, start: Sequence[int], values: np.ndarray) -> None:
        for file, place, within, part in self._cells(placed, start, values):
            descriptor = self._files.descriptor(file)
            with naming_file(self._files.paths[file]):
                write_box(descriptor, place, placed.array.chunk, within, part)

    def _get_box(self, placed: Placed, start: Sequence[int], array: np.ndarray) -> bool:
        for file, place, within, part in self._cells(placed, start, array):
            values = np.empty(part.shape, part.dtype)
            descriptor = open_again(self._files.paths[file])
            try:
                if not read_box(descriptor, place, placed.array.chunk, within, values):
                    return False
            finally:
                quietly(os.close, descriptor)
            part[...] = values
        return True

    def _cells(
        self, placed: Placed, start: Sequence[int], array: np.ndarray
    ) -> Iterator[tuple[int, int, list[int], np.ndarray]]:
        """The parts of a box in each chunk: file, where it begins there, place in it, a view."""
        size = placed.array.codecs.nbytes
        for number, within, part in chunk_parts(start, array, placed.array.chunk):
            file, inner = placed.locate(number)
            yield file, inner * size, within, part

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        self._files.sync()

    def _complete_files(self) -> None:
        with Together(self.comm, f"{self._action}.finish"):
            made: set[str] = set()
            for placed, number in self._form.files(self.comm.rank, self.comm.size):
                count = math.prod(placed.present(number))
                size = placed.array.codecs.nbytes
                index = placed.index_bytes(number, np.full(count, size))
                if index:
                    descriptor = self._files.descriptor(number)
                    with naming_file(self._files.paths[number]):
                        write_all(descriptor, index, count * size)
                made.add(os.path.dirname(self._files.paths[number]))
            self._files.sync()
            sync_directories(made, self.path)

    def close(self) -> None:
        """Let go of the files without finishing: after an error. Local."""
        self._files.close()


def _clear_padding(path: str, placed: Placed, file: int) -> None:
    """Write zeros where the chunks of a file leave the array: no journal speaks of these places."""
    chunk, size = placed.array.chunk, placed.array.codecs.nbytes
    zero = np.zeros((), placed.array.dtype)
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        with naming_file(path):
            for inner, extent in enumerate(placed.extents(file)):
                for axis, (n, c) in enumerate(zip(extent, chunk, strict=True)):
                    if n < c:
                        outside = (*extent[:axis], c - n, *chunk[axis + 1 :])
                        start = [0] * axis + [n] + [0] * (len(chunk) - axis - 1)
                        values = np.broadcast_to(zero, outside)
                        write_box(descriptor, inner * size, chunk, start, values)
            os.fdatasync(descriptor)
    finally:
        quietly(os.close, descriptor)
