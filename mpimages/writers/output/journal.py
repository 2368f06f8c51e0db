"""What of an output is on the disk already: kept while it is written, read when it is resumed.

Beside the partial output stands ``job.json``, which says what is being made and of what, and
for each node and attempt a journal: lines of JSON, each behind its own CRC-32, only ever
appended to, by all ranks of the node. A line is written when what it speaks of has been flushed.
A rank may be killed at any moment: a torn line then counts for nothing, and its records are done
again.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping

from ...core.cleanup import quietly
from ...core.json_types import JsonObject
from ...formats.output_names import (
    JOB,
    JOB_FORMAT,
    JOB_VERSION,
    JOURNAL_FILE,
    is_job_file,
    journal_file,
)
from .files import naming_file, write_all
from .plain import sync_directory, to_json, write_small


def begin_job(directory: str, described: Mapping[str, object]) -> None:
    """Write down what is being made. From now on the partial output can be resumed."""
    fields = {"format": JOB_FORMAT, "version": JOB_VERSION, **described}
    write_small(os.path.join(directory, JOB), to_json(fields))
    sync_directory(directory)


def read_job(directory: str) -> tuple[JsonObject, list[JsonObject], int] | None:
    """What an earlier job wrote down, its entries in any order, and the number of the next try.

    None where there is no job that can be resumed.
    """
    try:
        with open(os.path.join(directory, JOB), "rb") as file:
            described = json.loads(file.read())
    except (OSError, ValueError):
        return None
    if (
        not isinstance(described, dict)
        or described.get("format") != JOB_FORMAT
        or described.get("version") != JOB_VERSION
    ):
        return None
    entries, attempt = [], 0
    for name in sorted(os.listdir(directory)):
        journal = JOURNAL_FILE.fullmatch(name)
        if journal:
            attempt = max(attempt, int(journal[1]) + 1)
            entries += list(_lines(os.path.join(directory, name)))
    return described, entries, attempt


def remove_job(directory: str) -> None:
    """Remove all that is only there for resuming. The output itself is whole by then."""
    for name in sorted(os.listdir(directory), reverse=True):
        if is_job_file(name):
            os.unlink(os.path.join(directory, name))


def _lines(path: str) -> Iterator[JsonObject]:
    """The entries of a journal whose lines are whole."""
    with open(path, "rb") as file:
        for line in file:
            mark, text = line[:8], line[9:-1]
            if len(line) > 10 and line.endswith(b"\n") and mark == b"%08x" % zlib.crc32(text):
                yield json.loads(text)


class Journal:
    """The journal of one node's ranks of one attempt, as one of them writes it. Local.

    Parameters
    ----------
    directory : str
        The partial output.
    attempt, node : int
    leads : bool
        On one rank of the node. It makes the file, before another rank records, and with each of
        its own lines it brings those of all to the disk. The others' may be lost with the machine
        until then: what they speak of is done again.

    Raises
    ------
    FileExistsError
        When another job has begun the same attempt.
    """

    def __init__(self, directory: str, attempt: int, node: int, leads: bool = True) -> None:
        self.path = os.path.join(directory, journal_file(attempt, node))
        self._leads = leads
        self._descriptor: int | None = None
        if leads:
            self._open(os.O_CREAT | os.O_EXCL)
            sync_directory(directory)  # its name must be on the disk before its lines are

    def _open(self, flags: int = 0) -> int:
        flags |= os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        self._descriptor = os.open(self.path, flags, 0o666)
        return self._descriptor

    def record(self, entry: Mapping[str, object]) -> None:
        """Append an entry.

        Raises
        ------
        OSError
            As the system reports it.
        """
        text = json.dumps(entry, separators=(",", ":")).encode("ascii")
        with naming_file(self.path):
            descriptor = self._open() if self._descriptor is None else self._descriptor
            # One write, at the end whoever else writes, on a line of its own: the one before may
            # be what a rank that was killed has left.
            write_all(descriptor, b"\n%08x %s\n" % (zlib.crc32(text), text))
            if self._leads:
                os.fdatasync(descriptor)

    def close(self) -> None:
        """Close it; may be called twice."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            quietly(os.close, descriptor)
