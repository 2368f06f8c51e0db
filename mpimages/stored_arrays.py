"""What `local_array` reads from: images and series in files, as arrays. Local, without MPI."""

from __future__ import annotations

import math
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from . import readers
from .core.json_types import JsonObject
from .engine.recording import open_images
from .engine.sources import FileSource
from .readers.base import Closing, Scratch
from .readers.parts import read_box
from .readers.series.base import inspect_series, open_series, scan_keys, with_keys, written_layout
from .readers.series.header import SeriesHandle, SeriesHeader, SeriesOptions

__all__ = ["Stored", "find_stored"]

# What is read at once where it is not read in place.
PIECE_BYTES = 1 << 24
# At most so much is offered as a chunk where several images are stored together.
CHUNK_BYTES = 1 << 27
# Open files that are kept for the next call.
KEPT = 8


class Stored(ABC):
    """An array in files.

    Attributes
    ----------
    shape, dtype, axes, layout, chunks, metadata, index
        As in `LocalArray`.
    path : str
        For messages.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    axes: tuple[str, ...]
    layout: str
    chunks: tuple[int, ...]
    metadata: JsonObject
    index: np.ndarray | None = None
    path: str

    def __init__(self) -> None:
        self._idle = _Idle()

    @abstractmethod
    def read(self, box: Sequence[range], out: np.ndarray) -> None:
        """Read the values at `box`, ascending ranges of which none is empty, into out."""

    @abstractmethod
    def token(self) -> object:
        """Return what tells this array from others, and from itself once files have changed."""

    def close(self) -> None:
        """Close the files that are open."""
        self._idle.close()


class _Idle:
    """Handles that no thread uses at the moment; at most `KEPT` are kept open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._handles: list[tuple[int, Closing]] = []
        # Of an array that nobody has closed, when it is no longer there.
        weakref.finalize(self, _close_each, self._handles)

    def __reduce__(self) -> tuple[type[_Idle], tuple[()]]:
        return _Idle, ()  # other processes open their own

    @contextmanager
    def lend(self, number: int, make: Any) -> Iterator[Any]:
        """Lend the handle of a file, by its number, to this thread alone."""
        handle = self._take(number) or make()
        try:
            yield handle
        except BaseException:
            handle.close()
            raise
        with self._lock:
            self._handles.append((number, handle))
            old = [self._handles.pop(0)[1]] if len(self._handles) > KEPT else []
        for one in old:
            one.close()

    def _take(self, number: int) -> Closing | None:
        with self._lock:
            for place, (other, handle) in enumerate(self._handles):
                if other == number:
                    del self._handles[place]
                    return handle
        return None

    def close(self) -> None:
        """Close the handles that are not in use."""
        with self._lock:
            handles = self._handles.copy()
            self._handles.clear()
        _close_each(handles)


def _close_each(handles: list[tuple[int, Closing]]) -> None:
    for _, handle in handles:
        handle.close()


class StoredImages(Stored):
    """Images of one recording, (T, row, column[, page])."""

    layout = "images"

    def __init__(self, path: str, source: FileSource, chosen: range) -> None:
        super().__init__()
        self.path = path
        self._source = source
        self._chosen = chosen
        self.shape = (len(chosen), *source.dims)
        self.dtype = source.dtype
        self.axes = ("time", "row", "column", "page")[: len(self.shape)]
        grain = 1 if source.planes > 1 else min(source.header.grain, len(chosen))
        most = max(1, CHUNK_BYTES // source.header.image_bytes)
        chunk = source.header.layout.get("chunk")
        chunk = tuple(chunk) if chunk else (min(grain, most), *source.dims)
        self.chunks = tuple(map(min, chunk, self.shape))
        self.metadata = source.header.metadata

    def read(self, box: Sequence[range], out: np.ndarray) -> None:
        source, inner = self._source, list(box[1:])
        positions = self._chosen[box[0].start : box[0].stop : box[0].step]
        if source.planes > 1:  # other files, or pages, are not touched
            self._read_planes(positions, inner, out)
            return

        def read(part: Sequence[range], out: np.ndarray) -> None:
            some = positions[part[0].start : part[0].stop]
            self._read_boxes(source.visits(some), [r.start for r in part[1:]], out)

        # Images that are stored together are not parted, if rows can be.
        axes = [*range(len(self.shape))]
        order = [*axes[1:], 0] if source.header.grain > 1 else axes
        _in_pieces([range(len(positions)), *inner], out, order, read)

    def _read_planes(self, positions: range, inner: list[range], out: np.ndarray) -> None:
        """Read planes that are pages of their own, one after the other."""
        source = self._source
        low, extent, step = _bounding(inner[:2])
        page = np.empty((1, *extent), out.dtype)
        pages = source.pages_of(positions).reshape(len(positions), -1)[:, inner[2]]
        for place, row in enumerate(pages):
            for k, number in enumerate(row.tolist()):
                self._read_boxes(source.visits_to(np.array([number])), low, page)
                out[place, :, :, k] = page[0][step]

    def _read_boxes(
        self, visits: Iterator[tuple[int, np.ndarray, int]], low: Sequence[int], out: np.ndarray
    ) -> None:
        for file, pages, place in visits:

            def make(file: int = file) -> readers.Handle:
                return self._source.open(file, Scratch())

            with self._idle.lend(file, make) as handle:
                read_box(handle, pages, low, out[place : place + len(pages)])

    def token(self) -> object:
        source = self._source
        ends = [source.paths[0], source.paths[len(source.paths) - 1]]
        said = source.header, source.options, self._chosen, self.shape, len(source.paths)
        pages = None if source.pages is None else source.pages.tobytes()
        return repr(said), pages, _state_of(ends)


class StoredSeries(Stored):
    """A Series, dims + (T,)."""

    layout = "series"

    def __init__(self, header: SeriesHeader) -> None:
        super().__init__()
        self._header = header
        self.path = header.path
        self.shape = (*header.dims, header.length)
        self.dtype = header.dtype
        self.axes = (*("row", "column", "page")[: len(header.dims)], "time")
        self.metadata = header.metadata
        self.index = header.index
        self.chunks = header.layout.get("chunk") or self._some()

    def _some(self) -> tuple[int, ...]:
        """Return the shape of some 16 MB that lie together."""
        extent = [*self.shape]
        room = PIECE_BYTES // self.dtype.itemsize
        for axis in range(len(extent) - 1):
            inner = int(np.prod(self.shape[axis + 1 :]))
            extent[axis] = min(self.shape[axis], max(1, room // inner))
            if extent[axis] > 1 or inner <= room:
                break
        return tuple(extent)

    def read(self, box: Sequence[range], out: np.ndarray) -> None:
        def make() -> SeriesHandle:
            return open_series(self._header, Scratch())

        with self._idle.lend(0, make) as handle:

            def read(part: Sequence[range], out: np.ndarray) -> None:
                handle.read_box([r.start for r in part], out)

            _in_pieces(box, out, range(len(box)), read)

    def token(self) -> object:
        header = self._header
        files = header.files() if header.kind != "hdf5" else [header.path]
        said = header.path, header.kind, header.dims, header.length, header.dtype
        layout = {k: v for k, v in header.layout.items() if isinstance(v, (str, int, tuple))}
        return repr((said, layout)), _state_of([files[0], files[-1]])


def _in_pieces(
    box: Sequence[range],
    out: np.ndarray,
    order: Sequence[int],
    read: Callable[[Sequence[range], np.ndarray], None],
) -> None:
    """Read a box by boxes without steps, of which about PIECE_BYTES are in memory beside out.

    Parameters
    ----------
    box : sequence of range
    out : ndarray
    order : sequence of int
        Which axes are cut first.
    read : callable
        Reads a box without steps into C-contiguous memory.
    """
    low, extent, step = _bounding(box)
    if extent == out.shape and out.flags.c_contiguous:
        read(box, out)
        return
    size = math.prod(extent) * out.dtype.itemsize
    axis = next((axis for axis in order if len(box[axis]) > 1), None)
    if size <= PIECE_BYTES or axis is None:
        part = np.empty(extent, out.dtype)
        read([range(a, a + n) for a, n in zip(low, extent, strict=True)], part)
        out[...] = part[step]
        return
    count = max(1, len(box[axis]) * PIECE_BYTES // size)
    for first in range(0, len(box[axis]), count):
        some = [r[first : first + count] if i == axis else r for i, r in enumerate(box)]
        target = out[(*[slice(None)] * axis, slice(first, first + count))]
        _in_pieces(some, target, order, read)


def _bounding(box: Sequence[range]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[slice, ...]]:
    """Return the first number and the extent along each axis, and what of it is asked for."""
    low = tuple(r.start for r in box)
    extent = tuple(r[-1] + 1 - r.start for r in box)
    return low, extent, tuple(slice(None, None, r.step) for r in box)


def _state_of(paths: Sequence[str]) -> list[tuple[int, int]]:
    states = [os.stat(path) for path in paths]
    return [(state.st_size, state.st_mtime_ns) for state in states]


# -- finding -------------------------------------------------------------------------------


def find_stored(
    data_path: object, layout: str | None, asked: JsonObject, finding: JsonObject
) -> Stored:
    """Return what is stored at a path; see `local_array.open`."""
    options = readers.Options(**asked)
    paths = [os.path.abspath(path) for path in readers.path_list(data_path)]
    single = isinstance(data_path, (str, os.PathLike))
    where: object = paths[0] if single else paths
    if layout is None:
        written = written_layout(paths[0], options.dataset or "series") if single else None
        layout = written or "images"
    if layout == "images":
        source, chosen = open_images(
            where,
            options,
            finding["inputFormat"],
            finding["ext"],
            finding["recursive"],
            (finding["startIdx"], finding["stopIdx"]),
        )
        return StoredImages(paths[0], source, chosen)
    return StoredSeries(_find_series(where, asked, finding))


def _find_series(where: object, asked: JsonObject, finding: JsonObject) -> SeriesHeader:
    ours = ("dataset", "confFilename")
    given = {**asked, **{k: v for k, v in finding.items() if k != "inputFormat"}}
    for name, value in given.items():
        if name not in ours and value is not None and value is not False:
            raise ValueError(f"{name}={value!r} is of images, but {where} holds a series")
    options = SeriesOptions(
        inputFormat=finding["inputFormat"],
        dataset=asked["dataset"] or "series",
        confFilename=asked["confFilename"],
    )
    header = inspect_series(where, options)
    if header.needs_keys:
        if header.kind == "text":
            raise ValueError(f"{where}: text is read by ThunderContext.loadSeries alone")
        header = with_keys(header, scan_keys(header, 0, header.file_count))
    return header
