"""The files that a rank writes into: opened when needed, one at a time, flushed at the end."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..quiet import closing_written, quietly

__all__ = ["OutputFiles", "check_size", "create_file", "naming_file"]


@contextmanager
def naming_file(path: str) -> Iterator[None]:
    """Let a system error in the block name the file. Local."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = path
        raise


def create_file(path: str, size: int = 0) -> None:
    """Create a file of `size` zero bytes, which may be holes; it must not exist."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with naming_file(path), closing_written(descriptor):
        os.ftruncate(descriptor, size)


def check_size(path: str, size: int) -> None:
    """Make sure that a file of an earlier job is there as `create_file` made it."""
    found = os.stat(path, follow_symlinks=False).st_size
    if found != size:
        raise FileExistsError(
            f"{path}: has {found} bytes instead of {size}; it cannot be resumed: remove the "
            f"partial output {os.path.dirname(path)}"
        )


class OutputFiles:
    """Existing files, written by their number through `descriptor`. Local.

    Parameters
    ----------
    paths : list of str

    Notes
    -----
    One file is open at a time: blocks come in order, and a descriptor per file of a long
    recording would meet the system's limit.
    """

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        self._touched: set[int] = set()
        self._current: tuple[int, int] | None = None

    def descriptor(self, number: int) -> int:
        """A descriptor of file `number`, valid until the next call."""
        if self._current is None or self._current[0] != number:
            self._close_written()
            self._current = (number, os.open(self.paths[number], os.O_WRONLY))
            self._touched.add(number)
        return self._current[1]

    def flush(self, numbers: Iterable[int]) -> None:
        """Bring some files to the disk; from any thread."""
        for number in sorted(set(numbers)):
            with naming_file(self.paths[number]), \
                    closing_written(os.open(self.paths[number], os.O_WRONLY)) as descriptor:
                os.fdatasync(descriptor)

    def sync(self) -> None:
        """Bring what this rank wrote to the disk, and close."""
        # A node's pages of a file are flushed whichever descriptor they were written through.
        for number in sorted(self._touched):
            with naming_file(self.paths[number]):
                os.fsync(self.descriptor(number))
        self._close_written()
        self._touched.clear()

    def _close_written(self) -> None:
        """Close the file that is open, and tell what the system says of it."""
        if self._current is not None:
            (number, descriptor), self._current = self._current, None
            with naming_file(self.paths[number]):
                os.close(descriptor)

    def close(self) -> None:
        """Close without flushing, after an error. It never raises."""
        quietly(self._close_written)

    def __del__(self) -> None:
        self.close()
