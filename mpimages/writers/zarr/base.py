"""What the writers of Zarr have in common: images and blocks, levels, documents."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import numpy as np
from mpi4py import MPI

from ...formats.zarr.nodes import ZarrGroup
from ...kernels.transpose import transpose
from ...spmd.agreement import Together
from ..calibration import Calibration
from ..output.array import READ_BYTES, ArrayWriter
from ..output.piece_sums import PieceSums, piece_bytes
from ..output.plain import plain_index, plain_metadata, sync_directory, write_small
from .documents import array_documents, mark, multiscales, root_documents
from .layout import Placed, ZarrForm
from .pyramid import shrink

__all__ = ["ZarrWriter", "file_numbers", "make_directory", "sync_directories"]

# Images are written in parts of about this size: what is made of them stays small beside a batch.
PART_BYTES = 1 << 23


class ZarrWriter(ArrayWriter):
    """Writes a Series or images as Zarr. Collective constructor. See `ArrayWriter`.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    directory : str
        What `staging.staged` yields.
    form : ZarrForm
    shape : sequence of int
        dims + (T,), whatever the layout.
    dtype : dtype
        Stored little-endian whatever its byte order.
    index : (T,) or (T, levels) ints
    metadata : mapping
        Plain values; stored as JSON, NaN and infinities as null.
    origin : mapping
        Plain values: the files and how they were read.
    resume : bool
        Take up what an earlier job with the same arguments has left.
    threads : int
        How many threads may compress.
    ahead : int
        How many compressed chunks may be under way.
    besides : callable
        Local work to do once this rank's part of the files is prepared. The agreement of the
        constructor holds for it as well.
    """

    def __init__(
        self,
        comm: MPI.Intracomm,
        directory: str,
        form: ZarrForm,
        shape: Sequence[int],
        dtype: np.dtype,
        index: Iterable[object],
        metadata: Mapping[str, object],
        origin: Mapping[str, object],
        *,
        resume: bool = False,
        threads: int = 1,
        ahead: int = 1,
        besides: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(comm, directory, resume, threads)
        self._form = form
        self._ahead = ahead
        together = Together(comm, self._action)
        with together.attempt():
            self._take_shape(shape, dtype, form.layout)
            self._chunk = form.arrays[0].array.chunk
            sizes = [placed.nbytes for placed in form.arrays]
            self._sums = PieceSums(sizes, piece_bytes(max(sizes)))
            self._index = plain_index(index, self.times)
            self._metadata = plain_metadata(dict(metadata))
            self._origin = plain_metadata(dict(origin))
            if self.resume and comm.rank == 0:
                self._remove_documents()
            self._prepare()
            besides()
        self._begin(together.agree(*self._found))

    # -- what each of the two does its own way ---------------------------------------------------

    # What `_prepare` finds on rank 0 and the others need.
    _found: tuple[int, ...] = ()

    def _prepare(self) -> None:
        """Local work on the way to files that can be written."""
        raise NotImplementedError

    def _begin(self, found: Sequence[int]) -> None:
        """What else the constructor does; `found` is that of rank 0. Local."""

    def _put_box(self, placed: Placed, start: Sequence[int], values: np.ndarray) -> None:
        """Write a box of an array. Local."""
        raise NotImplementedError

    def _complete_files(self) -> None:
        """Make the files of values whole. Collective."""
        raise NotImplementedError

    # -- the data's way --------------------------------------------------------------------------

    def _put(self, start: Sequence[int], array: np.ndarray) -> None:
        self._put_box(self._form.arrays[0], start, array)

    def _put_images(self, first_image: int, images: np.ndarray) -> None:
        for time, page, levels in self._levels(self._parts(images)):
            corner = (first_image + time, *(page,) * (len(self.dims) - 2), 0, 0)
            for number, values in enumerate(levels):
                self._put_box(self._form.arrays[number], corner, values)
                self._add_level(self._sums, number, first_image + time, page, values)

    def _parts(self, images: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """The images as stored, (times[, pages], rows, columns), in parts of whole chunks.

        Of each the number of its first image and of its first page.
        """
        chunk = self._chunk or ()
        if len(self.dims) == 2:
            # Nothing is made of the images themselves.
            alone = len(self._form.arrays) == 1
            step = len(images) if alone else self._step(chunk[0], math.prod(self.dims))
            for time in range(0, len(images), step):
                yield time, 0, images[time : time + step]
            return
        rows, columns, pages = self.dims
        step = self._step(chunk[0], pages * rows * columns)
        deep = min(pages, self._step(chunk[1], min(step, self.times) * rows * columns))
        for time in range(0, len(images), step):
            part = images[time : time + step]
            for page in range(0, pages, deep):
                count = min(deep, pages - page)
                turned = np.empty((len(part), count, rows, columns), images.dtype)
                for image, out in zip(part, turned, strict=True):
                    values = np.ascontiguousarray(image).reshape(-1, pages)
                    transpose(values[:, page : page + count], out.reshape(count, -1))
                yield time, page, turned

    def _step(self, grain: int, size: int) -> int:
        """How many of what has `size` values make a part: a multiple of `grain`."""
        return max(1, PART_BYTES // (grain * size * self.dtype.itemsize)) * grain

    def _levels(
        self, parts: Iterator[tuple[int, int, np.ndarray]]
    ) -> Iterator[tuple[int, int, list[np.ndarray]]]:
        """The parts, each with what it becomes in the other levels."""
        for time, page, part in parts:
            yield time, page, self._shrunk(part)

    def _shrunk(self, part: np.ndarray) -> list[np.ndarray]:
        native = part.astype(self.dtype, copy=False)  # its byte order may be another
        return [part, *shrink(native, len(self._form.arrays) - 1)]

    def _add_level(
        self, sums: PieceSums, number: int, time: int, page: int, values: np.ndarray
    ) -> None:
        """Add to `sums` a part of a level."""
        shape, size = self._form.arrays[number].array.shape, self.dtype.itemsize
        if values.shape[1:] == shape[1:]:  # whole images: one run
            sums.add(time * math.prod(shape[1:]) * size, values, number)
            return
        plane = math.prod(shape[-2:])
        for one, image in enumerate(values, time):
            sums.add((one * shape[1] + page) * plane * size, image, number)

    # -- what an earlier job wrote ---------------------------------------------------------------

    def _get(self, start: Sequence[int], array: np.ndarray) -> bool:
        return self._get_box(self._form.arrays[0], start, array)

    def _get_box(self, placed: Placed, start: Sequence[int], array: np.ndarray) -> bool:
        raise NotImplementedError

    def _read_images(self, first: int, stop: int, sums: PieceSums) -> bool:
        for number, placed in enumerate(self._form.arrays):
            shape = placed.array.shape
            planes = math.prod(shape[:-2]) // shape[0]
            step = max(1, READ_BYTES // (math.prod(shape[-2:]) * self.dtype.itemsize))
            for time in range(first, stop):
                for page in range(0, planes, step):
                    count = min(step, planes - page)
                    box = np.empty((1, *(count,) * (len(shape) - 3), *shape[-2:]), self._stored)
                    if not self._get_box(placed, (time, *(page,) * (len(shape) - 3), 0, 0), box):
                        return False
                    self._add_level(sums, number, time, page, box)
        return True

    # -- the end ---------------------------------------------------------------------------------

    def _complete(self, checksums: np.ndarray) -> None:
        self._complete_files()
        with Together(self.comm, f"{self._action}.finish"):
            if self.comm.rank == 0:
                self._write_documents(self._sums.by_file(checksums))

    def _write_documents(self, checksums: list[list[int]]) -> None:
        """Write the metadata: the arrays', then the group's, whose mark is the last."""
        form = self._form
        arrays = array_documents(form)
        ome = multiscales(form, Calibration.of(self._metadata)) if form.layout == "images" else {}
        said = mark(
            form, self._index, self._metadata, self._origin, checksums, self._sums.piece, arrays
        )
        for name, content in arrays.items():
            write_small(os.path.join(self.path, name), content)
        for placed in form.arrays:
            sync_directory(os.path.join(self.path, placed.name))
        for name, content in root_documents(form.version, ome, said).items():
            write_small(os.path.join(self.path, name), content)
        sync_directory(self.path)

    def _remove_documents(self) -> None:
        """Remove the metadata of a job that came as far as that: nobody is to open what follows."""
        root = ZarrGroup(self._form.version, {}).documents()
        for name in (*root, *array_documents(self._form)):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self.path, name))

    def _file(self, number: int) -> str:
        return os.path.join(self.path, self._form.path(number))


def file_numbers(placed: Placed) -> range:
    """The numbers of an array's files, counted over all arrays of the output."""
    return range(placed.first, placed.first + placed.count)


def make_directory(path: str, made: set[str]) -> None:
    """Make a directory, unless it is one of those that were made."""
    if path not in made:
        os.makedirs(path, exist_ok=True)
        made.add(path)


def sync_directories(paths: set[str], root: str) -> None:
    """Make the names in directories, and in those above, durable."""
    every: set[str] = set()
    for path in paths:
        while path not in every and len(path) >= len(root):
            every.add(path)
            path = os.path.dirname(path)
    for path in sorted(every):
        sync_directory(path)
