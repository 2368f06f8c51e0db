"""The files that a rank writes into, and how what it wrote is known to be on the disk.

A system tells of a page that it could not bring to the disk once to each descriptor that was
open then; one that is opened later is told nothing. So a file is flushed through the descriptor
that it was written through. And who takes up what an earlier job left reads it again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ...core.cleanup import quietly

# Linux writes 2 GiB at most in one call.
PIECE_BYTES = 1 << 30
# Descriptors that wait to be flushed: a long recording may have a hundred thousand files.
MOST_OPEN = 16


@contextmanager
def naming_file(path: str) -> Iterator[None]:
    """Let a system error in the block name the file. Local."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = path
        raise


def write_all(descriptor: int, data: bytes | memoryview, position: int | None = None) -> None:
    """Write all of `data`, bytes, however little the system takes at a time.

    At byte `position`; None: where the descriptor is.
    """
    left = memoryview(data)
    while left:
        if position is None:
            written = os.write(descriptor, left[:PIECE_BYTES])
        else:
            written = os.pwrite(descriptor, left[:PIECE_BYTES], position)
            position += written
        if written <= 0:
            raise OSError(errno.EIO, "the system wrote nothing")
        left = left[written:]


def read_run(descriptor: int, data: memoryview, position: int) -> bool:
    """Fill `data` from byte `position` on; whether the file reaches as far as that."""
    while data:
        count = os.preadv(descriptor, [data[:PIECE_BYTES]], position)
        if not count:
            return False
        position += count
        data = data[count:]
    return True


def create_file(path: str, size: int = 0) -> None:
    """Create a file of `size` zero bytes, which may be holes; it must not exist."""
    _set_size(path, os.O_CREAT | os.O_EXCL, size)


def prepare_file(path: str, size: int) -> None:
    """Let a file of `size` bytes be there, whatever an earlier job has left of it."""
    _set_size(path, os.O_CREAT, size)


def _set_size(path: str, flags: int, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | flags, 0o666)
    try:
        with naming_file(path):
            if os.fstat(descriptor).st_size != size:
                os.ftruncate(descriptor, size)
    finally:
        quietly(os.close, descriptor)


class OutputFiles:
    """Existing files, written by their number through `descriptor`. Local.

    Parameters
    ----------
    paths : list of str
    most : int
        How many may be open at a time: those between which writing goes to and fro.

    Notes
    -----
    Few files are open at a time: blocks come in order. One is closed only when what was written
    to it is on the disk.
    """

    def __init__(self, paths: list[str], most: int = MOST_OPEN) -> None:
        self.paths = paths
        self._most = max(most, MOST_OPEN)
        self._open: dict[int, int] = {}

    def descriptor(self, number: int) -> int:
        """A descriptor of file `number`, valid until the next call."""
        if number not in self._open:
            if len(self._open) >= self._most:
                self.sync()
            try:
                self._open[number] = os.open(self.paths[number], os.O_WRONLY)
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._open:
                    raise
                self.sync()
                self._open[number] = os.open(self.paths[number], os.O_WRONLY)
        return self._open[number]

    def sync(self) -> None:
        """Bring what this rank wrote to the disk, and close. From any thread, while none writes."""
        for number, descriptor in list(self._open.items()):
            with naming_file(self.paths[number]):
                os.fdatasync(descriptor)
            del self._open[number]
            quietly(os.close, descriptor)

    def close(self) -> None:
        """Close without flushing; may be called twice."""
        while self._open:
            quietly(os.close, self._open.popitem()[1])

    def __del__(self) -> None:
        self.close()


# -- what an earlier job left ------------------------------------------------------------------


def open_again(path: str) -> int:
    """A descriptor for reading what is on the disk. Local.

    What the system could not bring to the disk it may still have in memory: it is asked to forget.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with suppress(OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return descriptor
