"""Directories of pictures, PNG or TIFF: one file per key, and a hidden manifest.

The manifest has the checksum and the size of every file, in the order of the keys.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mpi4py import MPI

from ..checksum import crc32
from ..collective import Together, from_rank
from ..marks import MANIFEST, PICTURES_FORMAT, with_own_checksum
from ..quiet import closing_written
from .files import naming_file
from .naming import Naming, ranges_of
from .plain import sync_directory, to_json, write_small

__all__ = ["PictureWriter"]

VERSION = 1
READ_BYTES = 1 << 20


class PictureWriter:
    """Keeps the account of a directory of pictures. Collective constructor.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    directory : str
        What `commit.staged` yields.
    kind : {'png', 'tif'}
    prefix : str
        The names are ``PREFIX-00000.KIND``, numbered by key.
    largest_key : int
        The largest key that may come: it decides how wide the numbers are.

    Examples
    --------
    >>> with staged(comm, path, "png") as directory:
    ...     pictures = PictureWriter(comm, directory, "png", "export", count - 1)
    ...     for key, image in records:
    ...         write_png(pictures.path(key), image, mapping)
    ...     pictures.finish()
    """

    def __init__(
        self, comm: MPI.Intracomm, directory: str, kind: str, prefix: str, largest_key: int
    ) -> None:
        self.comm = comm
        self.directory = directory
        self.kind = kind
        # Key, size and CRC of each picture that is written, and the key of the one that is not.
        self._written: list[tuple[int, int, int]] = []
        self._current: int | None = None
        with Together(comm, "PictureWriter"):
            self.naming = Naming.up_to(prefix, kind, largest_key)
            if comm.rank == 0:
                self._write_manifest(np.empty((0, 3), np.int64), complete=False)

    def path(self, key: int) -> str:
        """Where to write the picture of `key`; the one before is written by now. Local.

        Raises
        ------
        OSError
            When the picture before is not there, or cannot be read for its checksum.
        """
        self._complete_current()
        self._current = int(key)
        return self._path(self._current)

    def _path(self, key: int) -> str:
        return os.path.join(self.directory, self.naming.name(key))

    def _complete_current(self) -> None:
        # Read back at once, from the page cache: who writes TIFF goes back to its header, so
        # that the final bytes never pass by in order.
        if self._current is not None:
            key, self._current = self._current, None
            self._written.append((key, *_size_and_crc(self._path(key))))

    def finish(self) -> None:
        """Flush the files and complete the manifest. Collective."""
        with Together(self.comm, "PictureWriter.finish"):
            self._complete_current()
            for key, _, _ in self._written:
                _sync_file(self._path(key))
        rows = np.array(self._written, dtype=np.int64).reshape(-1, 3)
        gathered = self.comm.gather(rows, 0)
        from_rank(self.comm, 0, "PictureWriter.finish", self._complete, gathered)

    def _complete(self, gathered: list[np.ndarray]) -> None:
        rows = np.concatenate(gathered)
        self._write_manifest(rows[np.argsort(rows[:, 0])], complete=True)
        sync_directory(self.directory)

    def _write_manifest(self, rows: np.ndarray, complete: bool) -> None:
        # The incomplete one says, to who must clean up after a killed job, which names are ours.
        fields: dict[str, Any] = {
            "format": PICTURES_FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "files": {
                "prefix": self.naming.prefix,
                "digits": self.naming.digits,
                "keys": ranges_of(rows[:, 0].tolist()),
            },
            "sizes": rows[:, 1].tolist(),
            "checksum": {"kind": "crc32", "values": rows[:, 2].tolist()},
            "complete": complete,
        }
        manifest = with_own_checksum(to_json(fields))
        write_small(os.path.join(self.directory, MANIFEST), manifest)


def _size_and_crc(path: str) -> tuple[int, int]:
    """The length of a file, and the CRC-32 of its bytes."""
    size, crc = 0, 0
    buffer = memoryview(bytearray(READ_BYTES))
    with open(path, "rb", buffering=0) as file, naming_file(path):
        while count := file.readinto(buffer):
            crc = crc32(buffer[:count], crc)
            size += count
    return size, crc


def _sync_file(path: str) -> None:
    # Only now, for all files together: their data are then mostly on the disk already.
    descriptor = os.open(path, os.O_RDONLY)
    with naming_file(path), closing_written(descriptor):
        os.fsync(descriptor)
