"""Directories of images, PNG, TIFF or flat binary: one file per key, and a hidden manifest.

The manifest has the checksum and the size of every file, in the order of the keys.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping

import numpy as np
from mpi4py import MPI

from ..core.cleanup import quietly
from ..core.crc32 import crc32
from ..core.json_types import JsonObject
from ..core.ranges import runs_of
from ..formats.output_names import MANIFEST, PICTURES_FORMAT, PICTURES_VERSION, with_own_checksum
from ..kernels.runs import begin_writeback
from ..spmd.agreement import Together, from_rank
from ..spmd.collectives import gather
from .output.files import naming_file
from .output.naming import Naming
from .output.plain import sync_directory, to_json, write_small

READ_BYTES = 1 << 20
# So many pictures are flushed together: each waits for what the system does for all.
MOST_WAITING = 64


class PictureWriter:
    """Keeps the account of a directory of pictures. Collective constructor.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    directory : str
        What `staging.staged` yields.
    kind : {'png', 'tif', 'bin'}
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
        # The descriptors of those that are not flushed yet: one that is opened later need not be
        # told of what the disk has refused.
        self._waiting: dict[str, int] = {}
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
            path = self._path(key)
            if len(self._waiting) >= MOST_WAITING:
                self._flush()
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
                self._flush()
                descriptor = os.open(path, os.O_RDONLY)
            self._waiting[path] = descriptor
            with naming_file(path):
                size, crc = _size_and_crc(descriptor)
            begin_writeback(descriptor, 0, size)
            self._written.append((key, size, crc))

    def _flush(self) -> None:
        """Bring the pictures that wait to the disk."""
        for path, descriptor in list(self._waiting.items()):
            with naming_file(path):
                os.fsync(descriptor)
            quietly(os.close, self._waiting.pop(path))

    def close(self) -> None:
        """Let go of the files without flushing: after an error. Local; may be called twice."""
        while self._waiting:
            quietly(os.close, self._waiting.popitem()[1])

    def finish(self, beside: Mapping[str, bytes] | None = None) -> None:
        """Flush the files and complete the manifest. Collective.

        `beside` is what rank 0 writes into files beside the pictures, by their names.
        """
        with Together(self.comm, "PictureWriter.finish"):
            self._complete_current()
            self._flush()
        rows = np.array(self._written, dtype=np.int64).reshape(-1, 3)
        gathered = gather(self.comm, rows)
        from_rank(self.comm, 0, "PictureWriter.finish", self._complete, gathered, beside or {})

    def _complete(self, gathered: list[np.ndarray], beside: Mapping[str, bytes]) -> None:
        rows = np.concatenate(gathered)
        for name, content in beside.items():
            write_small(os.path.join(self.directory, name), content)
        sync_directory(self.directory)
        self._write_manifest(rows[np.argsort(rows[:, 0])], complete=True, beside=beside)
        sync_directory(self.directory)

    def _write_manifest(
        self, rows: np.ndarray, complete: bool, beside: Mapping[str, bytes] | None = None
    ) -> None:
        # The incomplete one says, to who must clean up after a killed job, which names are ours.
        fields: JsonObject = {
            "format": PICTURES_FORMAT,
            "version": PICTURES_VERSION,
            "kind": self.kind,
            "files": {
                "prefix": self.naming.prefix,
                "digits": self.naming.digits,
                "keys": runs_of(rows[:, 0]),
            },
            "sizes": rows[:, 1].tolist(),
            "checksum": {"kind": "crc32", "values": rows[:, 2].tolist()},
            "complete": complete,
        }
        if beside:
            fields["beside"] = {
                name: [len(content), crc32(content)] for name, content in beside.items()
            }
        manifest = with_own_checksum(to_json(fields))
        write_small(os.path.join(self.directory, MANIFEST), manifest)


def _size_and_crc(descriptor: int) -> tuple[int, int]:
    """The length of a file, and the CRC-32 of its bytes."""
    size, crc = 0, 0
    buffer = memoryview(bytearray(READ_BYTES))
    while count := os.preadv(descriptor, [buffer], size):
        crc = crc32(buffer[:count], crc)
        size += count
    return size, crc
