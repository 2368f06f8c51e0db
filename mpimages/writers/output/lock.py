"""The lock of an output: one process at a time may prepare and replace it. Local."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress

from ...core.cleanup import quietly
from .ownership import check_owner


class Lock:
    """What one process at a time can hold: an empty file, which is there as long. Local."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Whether no other running job holds it; True as well where locks do not work.

        Raises
        ------
        FileExistsError
            Where something else has its name, or it belongs to another user.
        """
        while True:
            descriptor = self._open()
            try:
                if not _try_lock(descriptor):
                    return False
                # Its holder may have removed it between the two: then it is no lock any more.
                if _is_at(descriptor, self._path):
                    self._descriptor = descriptor
                    return True
            finally:
                if self._descriptor is None:
                    quietly(os.close, descriptor)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(self._path, flags, 0o666)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise self._is_foreign() from None
            if error.errno == errno.EACCES and os.path.lexists(self._path):
                check_owner(self._path)  # in a directory for all, Linux opens no file of others
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size:
                raise self._is_foreign()
            check_owner(self._path, status)
        except BaseException:
            quietly(os.close, descriptor)
            raise
        return descriptor

    def _is_foreign(self) -> FileExistsError:
        return FileExistsError(f"{self._path} is not of mpimages' making; remove it yourself")

    def release(self) -> None:
        """Let go of it; may be called twice."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            # Its name first: who takes the lock afterwards sees that it is none.
            with suppress(OSError):
                os.unlink(self._path)
            quietly(os.close, descriptor)


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _try_lock(descriptor: int) -> bool:
    """Whether no other running job holds the lock; True as well where locks do not work."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN)
    return True
