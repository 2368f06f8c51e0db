"""The HDF5 file as such: one dataset, its storage, and the signature that comes last.

While a file is being written its first 8 bytes, HDF5's signature, are zeros on the disk, so
that no reader takes it for whole: a job that was killed may leave one whose values are not
there yet. HDF5 itself works on it through `HiddenFile`, which shows the signature.
"""

from __future__ import annotations

import errno
import io
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import FormatError
from .hdf5filters import Filters
from .plain import TEMPORARY, sync_directory

__all__ = [
    "DatasetPlan",
    "HiddenFile",
    "check_same",
    "create_dataset",
    "fill_checksums",
    "find_places",
    "has_signature",
    "hide",
    "new_file",
    "open_hidden",
    "reveal",
]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# HDF5's oldest attributes, which every reader knows, end at 64 KiB.
SMALL_ATTRIBUTE = 60_000


@dataclass(frozen=True)
class DatasetPlan:
    """What is to be created: everything in the file but the values.

    Parameters
    ----------
    name : str
        With slashes for groups, none at its ends.
    shape, chunk : tuple of int
        In the dataset's axes; a chunk of None: contiguous.
    dtype : numpy.dtype
        Stored little-endian whatever its byte order.
    filters : Filters or None
    attributes : mapping
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...] | None
    filters: Filters | None
    attributes: Mapping[str, Any]

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each axis; a contiguous dataset is one."""
        cell = self.chunk or self.shape
        return tuple(-(-n // c) for n, c in zip(self.shape, cell, strict=True))

    @property
    def nbytes(self) -> int:
        """The values' bytes, uncompressed."""
        return math.prod(self.shape) * self.dtype.itemsize


class HiddenFile:
    """A file for h5py's ``fileobj`` driver whose first 8 bytes read as the signature.

    On the disk they are zeros, whatever is written there. Only what h5py uses is here.
    """

    def __init__(self, path: str, create: bool = False) -> None:
        mode = os.O_RDWR | (os.O_CREAT | os.O_TRUNC if create else 0)
        self.path = path
        self.failure: OSError | None = None
        self._position = 0
        self._descriptor = os.open(path, mode, 0o666)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, which no other user of the file shares."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (
            os.fstat(self._descriptor).st_size if base is None else base
        )
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, count: int = -1) -> bytes:
        """Not used: h5py knows by this name that the object is a file."""
        raise io.UnsupportedOperation("read")

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position on, as far as the file goes."""
        view = memoryview(buffer).cast("B")
        with self._noting():
            count = os.preadv(self._descriptor, [view], self._position)
        shown = SIGNATURE[self._position : self._position + count]
        view[: len(shown)] = shown
        self._position += count
        return count

    def write(self, data: Any) -> int:
        """Write all of `data` at the position, zeros where the signature belongs."""
        view = memoryview(data).cast("B")
        count = len(view)
        if self._position < len(SIGNATURE):
            hidden = min(len(SIGNATURE) - self._position, count)
            view = memoryview(bytes(hidden) + bytes(view[hidden:]))
        with self._noting():
            while view:
                written = os.pwrite(self._descriptor, view, self._position)
                self._position += written
                view = view[written:]
        return count

    def truncate(self, size: int) -> int:
        """Let the file end at `size`."""
        with self._noting():
            os.ftruncate(self._descriptor, size)
        return size

    def flush(self) -> None:
        """Nothing: there is no buffer."""

    def sync(self) -> None:
        """Bring everything to the disk."""
        with self._noting():
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; may be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep the system's error: what HDF5 makes of it does not say what it was."""
        try:
            yield
        except OSError as error:
            error.filename = self.path
            self.failure = self.failure or error
            raise


@contextmanager
def open_hidden(path: str, mode: str) -> Iterator[Any]:
    """An ``h5py.File`` on a file without a signature, on the disk when the block has ended.

    `mode` is h5py's ``'r'``, ``'r+'`` or ``'w'``. ``'r+'`` alone changes some bytes.

    Raises
    ------
    FormatError
        When HDF5 cannot open it.
    OSError
        As the system reports it, naming the file.
    """
    import h5py

    raw = HiddenFile(path, create=mode == "w")
    try:
        try:
            # The oldest format that holds it, so that every reader can open the file.
            file = h5py.File(raw, mode, libver="earliest")
        except OSError as error:
            raise FormatError(f"{path}: HDF5 cannot open what was begun: {error}") from error
        with file:
            yield file
        if mode != "r":
            raw.sync()
    except Exception as error:
        if raw.failure is not None and error is not raw.failure:
            raise raw.failure from error
        raise
    finally:
        raw.close()


@contextmanager
def new_file(path: str, whole: bool = False) -> Iterator[Any]:
    """An ``h5py.File`` that appears as `path` when the block has ended well.

    With its signature if it is `whole` then, else hidden.

    Raises
    ------
    FileExistsError
        When `path` exists.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    temporary = path + TEMPORARY
    try:
        with open_hidden(temporary, "w") as file:
            yield file
        if whole:
            reveal(temporary)
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path) or ".")


def hide(path: str) -> None:
    """Take the signature away, on the disk too."""
    _write_signature(path, bytes(len(SIGNATURE)))


def has_signature(path: str) -> bool:
    """Whether the file is whole."""
    with open(path, "rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def reveal(path: str) -> None:
    """Put the signature in, on the disk too: the file is whole."""
    _write_signature(path, SIGNATURE)


def _write_signature(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)


def create_dataset(file: Any, plan: DatasetPlan) -> Any:
    """Create the planned dataset in a new file; a ``h5py.h5d.DatasetID``.

    Without filters its storage is allocated, and in either case none of it is filled.
    """
    import h5py

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    properties.set_obj_track_times(False)
    if plan.attributes["index"].nbytes > SMALL_ATTRIBUTE:
        # Only a header of HDF5 1.8 holds more, and this is what makes HDF5 write one.
        properties.set_attr_creation_order(h5py.h5p.CRT_ORDER_TRACKED)
    if plan.chunk is not None:
        properties.set_chunk(plan.chunk)
    if plan.filters is None:
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    else:
        plan.filters.add_to(properties)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    links.set_char_encoding(h5py.h5t.CSET_UTF8)
    kind = h5py.h5t.py_create(plan.dtype.newbyteorder("<"), logical=True)
    space = h5py.h5s.create_simple(plan.shape)
    raw = h5py.h5d.create(file.id, plan.name.encode(), kind, space, properties, links)
    for key, value in plan.attributes.items():
        h5py.Dataset(raw).attrs[key] = value
    file.flush()
    return raw


def fill_checksums(raw: Any, checksums: np.ndarray) -> None:
    """Put the checksums, uint32, into the attribute that was created for them."""
    import h5py

    # In place: to remove an attribute and create it anew would move others.
    h5py.h5a.open(raw, b"checksum").write(checksums)


def check_same(path: str, file: Any, plan: DatasetPlan) -> Any:
    """The dataset's ``DatasetID``, if the file is what `plan` would create, values aside.

    Raises
    ------
    ValueError
        When it is another; the message says in what.
    """
    if plan.name not in file:
        raise _other(path, f"has no dataset {plan.name!r}")
    dataset = file[plan.name]
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    wanted = plan.filters.numbers() if plan.filters is not None else []
    stored = plan.dtype.newbyteorder("<")
    for what, found, expected in [
        ("shape", dataset.shape, plan.shape), ("dtype", dataset.dtype, stored),
        ("chunks", dataset.chunks, plan.chunk), ("filters", filters, wanted),
        ("attributes", sorted(dataset.attrs), sorted(plan.attributes)),
    ]:
        if found != expected:
            raise _other(path, f"has the {what} {found} instead of {expected}")
    for key, value in plan.attributes.items():
        if key != "checksum" and not np.array_equal(dataset.attrs[key], value):
            raise _other(path, f"has another {key}")
    return dataset.id


def _other(path: str, why: str) -> ValueError:
    return ValueError(
        f"{path} cannot be taken up: it {why}. Resume with the arguments that it was begun with, "
        "or begin anew"
    )


def find_places(raw: Any, plan: DatasetPlan) -> np.ndarray:
    """The byte at which each chunk begins in the file, in the grid's shape: int64."""
    places = np.full(plan.grid, -1, dtype=np.int64)
    chunk = plan.chunk
    if chunk is None:
        offset = raw.get_offset()
        places.fill(-1 if offset is None else offset)
    elif hasattr(raw, "chunk_iter"):

        def note(info: Any) -> None:
            number = tuple(o // c for o, c in zip(info.chunk_offset, chunk, strict=True))
            places[number] = info.byte_offset

        raw.chunk_iter(note)
    else:  # HDF5 before 1.10.10: one search of the index for each chunk
        for number in np.ndindex(places.shape):
            corner = tuple(i * c for i, c in zip(number, chunk, strict=True))
            offset = raw.get_chunk_info_by_coord(corner).byte_offset
            places[number] = -1 if offset is None else offset
    if int(places.min()) < 0:
        raise RuntimeError("internal error: HDF5 did not allocate the dataset's storage")
    return places
