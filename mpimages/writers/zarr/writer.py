"""Zarr, written by all ranks at once.

Values that are not compressed have their places from the beginning: every rank writes them there.
Compressed chunks wait in files of the rank that made them, one for each file of the output. At the
end each file is put together by one rank: what lies at the beginning of such a file in the right
order stays where it is, the rest is appended. The bytes follow from the values and the arguments
alone. The metadata come last, so that nobody opens an output that is not whole.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import numpy as np
from mpi4py import MPI

from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...dims import pixel_grain
from ...formats.zarr.array import ZarrGroup
from ...kernels.transpose import transpose
from ...spmd.agreement import MOST, Together
from ...spmd.collectives import gather, scatter
from ..calibration import Calibration
from ..output.array import READ_BYTES, ArrayWriter
from ..output.boxes import read_box, write_box
from ..output.chunk_log import ChunkCutter, ChunkLog, as_index, next_generation
from ..output.files import OutputFiles, naming_file, open_again, prepare_file, write_all
from ..output.piece_sums import PieceSums, piece_bytes
from ..output.plain import plain_index, plain_metadata, sync_directory, write_small
from .documents import array_documents, mark, multiscales, root_documents
from .layout import Placed, ZarrForm
from .pyramid import shrink

__all__ = ["CompressedZarrWriter", "PlainZarrWriter", "ZarrWriter", "zarr_writer"]

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
    dtype : dtype
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


class PlainZarrWriter(ZarrWriter):
    """Writes values as they are, each at its place. See `ZarrWriter`."""

    def _prepare(self) -> None:
        form, comm = self._form, self.comm
        made: set[str] = set()
        for placed, number in form.files(comm.rank, comm.size):
            path = self._file(number)
            _make_directory(os.path.dirname(path), made)
            prepare_file(path, placed.plain_size(number))
            if self.resume:
                _clear_padding(path, placed, number)
        paths = [self._file(number) for placed in form.arrays for number in _numbers(placed)]
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
        chunk, size = placed.array.chunk, placed.array.codecs.nbytes
        touched = [
            range(a // c, -(-(a + n) // c))
            for a, n, c in zip(start, array.shape, chunk, strict=True)
        ]
        for number in itertools.product(*touched):
            file, inner = placed.locate(number)
            corner = [i * c for i, c in zip(number, chunk, strict=True)]
            low = [max(a, o) for a, o in zip(start, corner, strict=True)]
            part = array[
                tuple(
                    slice(lo - a, min(o + c - a, n))
                    for lo, a, o, c, n in zip(low, start, corner, chunk, array.shape, strict=True)
                )
            ]
            yield file, inner * size, [lo - o for lo, o in zip(low, corner, strict=True)], part

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
            _sync_directories(made, self.path)

    def close(self) -> None:
        """Let go of the files without finishing: after an error. Local."""
        self._files.close()


class CompressedZarrWriter(ZarrWriter):
    """Writes encoded chunks, each made by one rank. See `ZarrWriter`.

    Notes
    -----
    A chunk's number is that among the chunks of its file that are there; its note is the file's.
    """

    _found = (MOST,)

    def _prepare(self) -> None:
        form, chunk = self._form, self._form.arrays[0].array.chunk
        if self.layout == "series":
            self.grain = pixel_grain(self.dims, chunk[:-1])
        else:
            self.image_grain = chunk[0]
        self._executor: ThreadPoolExecutor | None = None
        if self.threads > 1 and self._ahead > 1:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="mpimages")
        self._cutters = {
            placed.name: ChunkCutter(
                placed.array.shape,
                placed.array.chunk,
                placed.array.codecs.encode,
                self._executor,
                self._ahead,
            )
            for placed in form.arrays
        }
        if self.comm.rank == 0:
            self._found = (next_generation(self.path),)

    def _begin(self, found: Sequence[int]) -> None:
        self._generation = found[0]
        self._log = ChunkLog(self.path, self.comm.rank, found[0], by_note=True)

    def _put_box(self, placed: Placed, start: Sequence[int], values: np.ndarray) -> None:
        for number, _, content in self._cutters[placed.name].encoded(start, values):
            file, inner = placed.locate(number)
            self._log.append(inner, np.frombuffer(content, np.uint8).data, file)

    def _levels(
        self, parts: Iterator[tuple[int, int, np.ndarray]]
    ) -> Iterator[tuple[int, int, list[np.ndarray]]]:
        if self._executor is None or len(self._form.arrays) == 1:
            yield from super()._levels(parts)
            return
        # The next part is shrunk while this one is encoded.
        waiting: deque[tuple[int, int, Future[list[np.ndarray]]]] = deque()
        for time, page, part in parts:
            waiting.append((time, page, self._executor.submit(self._shrunk, part)))
            if len(waiting) > 1:
                first, where, future = waiting.popleft()
                yield first, where, future.result()
        for first, where, future in waiting:
            yield first, where, future.result()

    def take_index(self) -> np.ndarray:
        """(n, 7) int64: where the chunks are that this rank wrote since the last call. Local."""
        return self._log.take()

    def add_index(self, rows: np.ndarray) -> None:
        """Add what an earlier job took from `take_index`; each once, on any rank. Local."""
        self._log.give(rows)

    def holds(self, entry: JsonObject) -> bool:
        """Whether what an earlier job's journal says was written is on the disk. Local."""
        return self._log.holds(entry["index"], self._file)

    def sync(self) -> None:
        """Bring what this rank has written to the disk. Local."""
        self._log.sync()

    def finish(self) -> None:
        """Bring everything to the disk, and make the output whole. Collective."""
        super().finish()
        with Together(self.comm, f"{self._action}.finish"):
            if self.comm.rank == 0:  # not before: a job that resumes reads them again
                self._log.remove()
        self.close()

    def _complete_files(self) -> None:
        parts = gather(self.comm, self._log.index())
        shares: list[np.ndarray] | None = None
        with Together(self.comm, f"{self._action}.finish"):
            if parts is not None:
                shares = self._share(np.concatenate(parts))
        rows = scatter(self.comm, shares)
        with Together(self.comm, f"{self._action}.finish"):
            made: set[str] = set()
            for placed, file, own in self._files_of(rows):
                self._assemble(placed, file, own, made)
            _sync_directories(made, self.path)

    def _share(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows of the files of each rank, in order: each chunk once. Local."""
        rows = rows[np.lexsort((rows[:, 0], rows[:, 5]))]
        form, size, first = self._form, self.comm.size, 0
        shares: list[list[np.ndarray]] = [[] for _ in range(size)]
        bounds = np.searchsorted(rows[:, 5], np.arange(sum(p.count for p in form.arrays) + 1))
        for placed in form.arrays:
            for file in _numbers(placed):
                first, stop = int(bounds[file]), int(bounds[file + 1])
                count = math.prod(placed.present(file))
                if not np.array_equal(rows[first:stop, 0], np.arange(count)):
                    raise RuntimeError(
                        f"internal error: {stop - first} chunks of {self._file(file)} were "
                        f"written instead of each of {count} once"
                    )
                shares[form.owner(placed, file, size)].append(rows[first:stop])
        return [np.concatenate([as_index([]), *share]) for share in shares]

    def _files_of(self, rows: np.ndarray) -> Iterator[tuple[Placed, int, np.ndarray]]:
        """Each of this rank's files, with the rows of its chunks."""
        for placed, file in self._form.files(self.comm.rank, self.comm.size):
            first, stop = np.searchsorted(rows[:, 5], (file, file + 1))
            yield placed, file, rows[first:stop]

    def _assemble(self, placed: Placed, file: int, rows: np.ndarray, made: set[str]) -> None:
        """Put a file together, and give it its name. Local."""
        path = self._file(file)
        lengths = rows[:, 4]
        ends = np.cumsum(lengths)
        # The chunks that lie where they belong, at the beginning of one of the files of chunks.
        right = (rows[:, 1:3] == rows[0, 1:3]).all(axis=1) & (rows[:, 3] == ends - lengths)
        kept = len(rows) if right.all() else int(np.argmin(right))
        if (rows[kept:, 1:3] == rows[0, 1:3]).all(axis=1).any():
            kept = 0  # others of that file would be overwritten before they are read
        if kept:
            base = self._log.path(int(rows[0, 1]), int(rows[0, 2]), file)
            if not os.path.lexists(base):  # an earlier job has come as far as this
                base = path
            new = 0
        else:
            base = self._log.path(self._generation, self.comm.size, file)
            new = os.O_CREAT | os.O_EXCL
        _make_directory(os.path.dirname(path), made)
        descriptor = os.open(base, os.O_WRONLY | os.O_NOFOLLOW | new, 0o666)
        try:
            with naming_file(base):
                end = int(ends[kept - 1]) if kept else 0
                for content in self._log.contents(rows[kept:], self._file):
                    write_all(descriptor, content, end)
                    end += len(content)
                index = placed.index_bytes(file, lengths)
                write_all(descriptor, index, end)
                os.ftruncate(descriptor, end + len(index))
                os.fsync(descriptor)
        finally:
            quietly(os.close, descriptor)
        if base != path:
            os.replace(base, path)

    def close(self) -> None:
        """Let go of the files without finishing: after an error. Local; may be called twice."""
        self._log.close()
        if self._executor is not None:
            quietly(self._executor.shutdown)


def zarr_writer(
    comm: MPI.Intracomm, directory: str, form: ZarrForm, *args: object, **options: object
) -> ZarrWriter:
    """The writer of a form. Collective. See `ZarrWriter`."""
    kind = CompressedZarrWriter if form.compressed else PlainZarrWriter
    return kind(comm, directory, form, *args, **options)  # type: ignore[arg-type]


def _numbers(placed: Placed) -> range:
    return range(placed.first, placed.first + placed.count)


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


def _make_directory(path: str, made: set[str]) -> None:
    """Make a directory, unless it is one of those that were made."""
    if path not in made:
        os.makedirs(path, exist_ok=True)
        made.add(path)


def _sync_directories(paths: set[str], root: str) -> None:
    """Make the names in directories, and in those above, durable."""
    every: set[str] = set()
    for path in paths:
        while path not in every and len(path) >= len(root):
            every.add(path)
            path = os.path.dirname(path)
    for path in sorted(every):
        sync_directory(path)
