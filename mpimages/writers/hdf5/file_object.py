"""HDF5 files through a Python file object: new ones appear whole, and errors are the system's.

h5py's driver for file objects is used for two reasons: what the HDF5 library makes of an error
of the system does not say what it was, and the driver decides where HDF5 puts its metadata, so
that all writers have to use the same one to give the same bytes.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...core.cleanup import quietly
from ...errors import FormatError
from ...formats.output_names import TEMPORARY
from ..output.files import write_all
from ..output.plain import sync_directory

if TYPE_CHECKING:
    import h5py


class FileObject:
    """A file for h5py's ``fileobj`` driver. Only what h5py uses is here."""

    def __init__(self, path: str, create: bool = False) -> None:
        mode = os.O_RDWR | (os.O_CREAT | os.O_TRUNC if create else 0)
        self.path = path
        self.failure: OSError | None = None
        self._position = 0
        self._descriptor = os.open(path, mode, 0o666)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position, which no other user of the file shares."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        self._position = offset + (os.fstat(self._descriptor).st_size if base is None else base)
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
        count = 0
        with self._noting():
            while got := os.preadv(self._descriptor, [view[count:]], self._position + count):
                count += got
        self._position += count
        return count

    def write(self, data: Any) -> int:
        """Write all of `data` at the position."""
        view = memoryview(data).cast("B")
        with self._noting():
            write_all(self._descriptor, view, self._position)
        self._position += len(view)
        return len(view)

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
            quietly(os.close, descriptor)

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
def open_file(path: str, mode: str, stripe: int = 0, block: bytes = b"") -> Iterator[h5py.File]:
    """An ``h5py.File`` that is on the disk when the block has ended.

    `mode` is h5py's ``'r'``, ``'r+'`` or ``'w'``. ``'r+'`` alone changes some bytes. What is
    allocated of `stripe` bytes or more begins at a multiple of them. A new file begins with
    `block`, which HDF5 leaves alone; it then aligns nothing.

    Raises
    ------
    FormatError
        When HDF5 cannot open it.
    OSError
        As the system reports it, naming the file.
    """
    import h5py

    raw = FileObject(path, create=mode == "w")
    try:
        try:
            # The oldest format that holds it, so that every reader can open the file.
            file = h5py.File(
                raw,
                mode,
                libver="earliest",
                alignment_threshold=max(1, stripe),
                alignment_interval=max(1, stripe),
                **({"userblock_size": len(block)} if block else {}),
            )
        except OSError as error:
            raise FormatError(f"{path}: HDF5 cannot open what was begun: {error}") from error
        with file:
            if block:
                raw.seek(0)
                raw.write(block)
            yield file
        if mode != "r":
            raw.sync()
            raw.close()  # what was written counts as written when that succeeds
    except Exception as error:
        if raw.failure is not None and error is not raw.failure:
            raise raw.failure from error
        raise
    finally:
        quietly(raw.close)


@contextmanager
def new_file(path: str, stripe: int = 0, block: bytes = b"") -> Iterator[h5py.File]:
    """An ``h5py.File`` that appears as `path` when the block has ended well. See `open_file`.

    Raises
    ------
    FileExistsError
        When `path` exists.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    temporary = path + TEMPORARY
    try:
        with open_file(temporary, "w", stripe, block) as file:
            yield file
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path) or ".")
