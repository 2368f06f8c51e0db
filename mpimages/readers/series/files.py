"""The files of a binary Series, and reading them as if they were one."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np

from ...core.cleanup import quietly
from ...errors import FormatError
from ...formats.output_names import SUCCESS
from ..byte_ranges import open_file, read_into
from ..listing import natural_key


def data_files(path: str, conf_filename: str, prefix: str = "", ending: str = ".bin") -> list[str]:
    """The names of a directory's data files, in natural order.

    Those that have the `ending` and begin with `prefix`, or else have the ending, or else all.
    """
    with os.scandir(path) as entries:
        names = [
            entry.name
            for entry in entries
            if not entry.name.startswith((".", "_"))
            and entry.name not in (conf_filename, SUCCESS)
            and not entry.is_dir()
        ]
    usual = [name for name in names if name.lower().endswith(ending)]
    chosen = [name for name in usual if name.startswith(prefix)] or usual or names
    if not chosen:
        raise FileNotFoundError(f"{path}: has no {prefix}*{ending} or other data file")
    return sorted(chosen, key=natural_key)


class FileSequence:
    """Files that are read as if they were one; one is open at a time.

    Parameters
    ----------
    directory : str
    names : sequence of str
    counts : sequence of int
        How many records each holds.
    offsets : sequence of int, optional
        Where the records of each begin, in bytes; there may be something behind them.
    """

    def __init__(
        self,
        directory: str,
        names: Sequence[str],
        counts: Sequence[int],
        offsets: Sequence[int] | None = None,
    ) -> None:
        self._offsets = offsets
        self.directory = directory
        self.names = names
        self.ends = np.cumsum(np.asarray(counts, dtype=np.int64))
        self._fd = -1
        self._open = -1

    def read(self, first: int, out: np.ndarray) -> None:
        """Read consecutive records from number `first` on into out, (records, ...)."""
        record = math.prod(out.shape[1:]) * out.dtype.itemsize
        done, total = 0, len(out)
        while done < total:
            number = first + done
            file = int(np.searchsorted(self.ends, number, side="right"))
            begin = int(self.ends[file - 1]) if file else 0
            here = min(total - done, int(self.ends[file]) - number)
            path = self._select(file, record)
            place = (number - begin) * record
            place += self._offsets[file] if self._offsets is not None else 0
            read_into(self._fd, place, out[done : done + here], path)
            done += here

    def read_within(self, number: int, record: int, skip: int, out: np.ndarray) -> None:
        """Read a part of one record, of `record` bytes, from byte `skip` of it on."""
        file = int(np.searchsorted(self.ends, number, side="right"))
        begin = int(self.ends[file - 1]) if file else 0
        path = self._select(file, record)
        place = self._offsets[file] if self._offsets is not None else 0
        read_into(self._fd, place + (number - begin) * record + skip, out, path)

    def _select(self, file: int, record: int) -> str:
        path = os.path.join(self.directory, self.names[file])
        if file != self._open:
            self.close()
            self._fd, size = open_file(path)
            self._open = file
            begin = int(self.ends[file - 1]) if file else 0
            expected = (int(self.ends[file]) - begin) * record
            if self._offsets is None and size != expected:
                raise FormatError(
                    f"{path}: has {size} bytes, not {expected} as when it was "
                    "loaded; load the series again"
                )
        return path

    def close(self) -> None:
        """Close the file that is open."""
        descriptor, self._fd, self._open = self._fd, -1, -1
        if descriptor >= 0:
            quietly(os.close, descriptor)
