"""Directories of pictures, PNG or TIFF: one file per key, and a hidden manifest."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mpi4py import MPI

from ..collective import Together, from_rank
from .files import naming_file
from .naming import Naming, ranges_of
from .ownership import MANIFEST, PICTURES_FORMAT
from .plain import sync_directory, to_json, write_small

__all__ = ["PictureWriter"]

VERSION = 1


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
        self._keys: list[int] = []
        with Together(comm, "PictureWriter"):
            self.naming = Naming.up_to(prefix, kind, largest_key)
            if comm.rank == 0:
                self._write_manifest([], complete=False)

    def path(self, key: int) -> str:
        """Where to write the picture of `key`; it then counts as written. Local."""
        path = os.path.join(self.directory, self.naming.name(key))
        self._keys.append(int(key))
        return path

    def finish(self) -> None:
        """Flush the files and complete the manifest. Collective."""
        with Together(self.comm, "PictureWriter.finish"):
            for key in self._keys:
                _sync_file(os.path.join(self.directory, self.naming.name(key)))
        keys = self.comm.gather(np.array(self._keys, dtype=np.int64), 0)
        from_rank(self.comm, 0, "PictureWriter.finish", self._complete, keys)

    def _complete(self, keys: list[np.ndarray]) -> None:
        self._write_manifest(ranges_of(np.concatenate(keys).tolist()), complete=True)
        sync_directory(self.directory)

    def _write_manifest(self, ranges: list[list[int]], complete: bool) -> None:
        # The incomplete one says, to who must clean up after a killed job, which names are ours.
        fields: dict[str, Any] = {
            "format": PICTURES_FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "files": {"prefix": self.naming.prefix, "digits": self.naming.digits, "keys": ranges},
            "complete": complete,
        }
        write_small(os.path.join(self.directory, MANIFEST), to_json(fields))


def _sync_file(path: str) -> None:
    # Only now, for all files together: their data are then mostly on the disk already.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming_file(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
