"""A fingerprint of a job's input, which tells if an interrupted job may be resumed."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from types import CodeType

import numpy as np
from mpi4py import MPI

from ..core.cleanup import ask
from ..core.crc32 import PIECE
from ..core.json_types import JsonObject
from ..core.partition import Partition
from ..engine.array_source import ArraySource
from ..engine.bin_source import beside, every_step, origin
from ..engine.chain import Source
from ..engine.runner import Action
from ..engine.selection import Selection
from ..engine.sources import FileSource, MemorySource, PathTable, SeriesSource
from ..exchange.to_blocks import BlockSource
from ..exchange.to_images import FrameSource
from ..exchange.to_series import ExchangeSource
from ..readers.listing import called
from ..readers.series.base import beside_series
from ..spmd.collectives import allreduce
from ..writers.output.piece_sums import PieceSums

__all__ = ["Fingerprint"]

PLAIN = (bool, int, float, complex, str, bytes)
# Bytes of records in memory that are checksummed at once.
PIECE_BYTES = 1 << 24


class Fingerprint:
    """Fingerprint of the files' names, sizes, times and header, and of the steps.

    Collective constructor. The ranks divide the files among them: each looks at its part (`ask`,
    local), and together they describe the whole (`describe`, collective).
    """

    def __init__(self, action: Action, records: Selection) -> None:
        self._comm = action.comm
        said = _digest(records.question(), _functions(records))
        self._steps = {"steps": said}
        source = origin(records).source
        made: list[str] = []  # of series, blocks, and images that were made of such
        while isinstance(source, ExchangeSource | BlockSource | FrameSource):
            made.append(said)
            records = source.settle()
            said = _digest(records.question(), _functions(records))
            source = origin(records).source
        if made:
            self._steps = {"steps": said, "series": made[0] if len(made) == 1 else _digest(*made)}
        self._source = origin(records).source
        self._beside = [Fingerprint(action, other) for other in beside(records)]
        # A sum, so that the distribution over ranks does not matter. Each term has its position.
        self._files = np.zeros(1, dtype=np.uint64)
        self._values: PieceSums | None = None

    def ask(self) -> None:
        """Look at this rank's part of the files, or of the records in memory. Local."""
        for other in self._beside:
            other.ask()
        source, comm = self._source, self._comm
        if isinstance(source, MemorySource):
            self._values = _sum_values(source, comm.rank)
            return
        if isinstance(source, ArraySource):
            samples = source.samples()
            for i in range(*Partition.balanced(len(samples), comm.size).bounds(comm.rank)):
                number = int(samples[i])
                self._files += np.uint64(int(_digest(number, source.checksum(number)), 16))
            return
        paths = _paths(source)
        for number in range(*Partition.balanced(len(paths), comm.size).bounds(comm.rank)):
            self._look_at(number, called(paths[number]), os.stat(paths[number]))
        for number, parts in _beside(source, len(paths), comm):
            # Of many files each rank has some, of few it has some of what each stands for.
            shared = len(paths) < comm.size
            part = Partition.balanced(len(parts), comm.size) if shared else None
            for place in range(*(part.bounds(comm.rank) if part else (0, len(parts)))):
                with suppress(FileNotFoundError):  # some need not be there
                    self._look_at(number, place, os.stat(parts[place]))

    def _look_at(self, number: int, name: object, status: os.stat_result) -> None:
        one = _digest(number, name, status.st_size, status.st_mtime_ns)
        self._files += np.uint64(int(one, 16))

    def describe(self) -> JsonObject:
        """Return plain values that depend on the input, but not on the number of ranks.

        Collective.
        """
        found = self._describe()
        if self._beside:
            found["beside"] = [other.describe() for other in self._beside]
        return found

    def _describe(self) -> JsonObject:
        source, comm = self._source, self._comm
        if self._values is not None:
            totals = [self._values.total(comm).tolist()]
            return {"values": _digest(totals, source.dims, source.dtype), **self._steps}
        if isinstance(source, FileSource):
            header = source.header
            said = _digest(
                source.reader.name,
                source.options,
                header.dims,
                header.dtype,
                source.count,
                sorted(header.metadata.items()),
                header.layout.get("followed"),
            )
        elif isinstance(source, SeriesSource):
            series = source.header
            said = _digest(series.kind, series.dims, series.length, series.dtype)
        elif isinstance(source, ArraySource):
            # What it has in other records than the samples is for the user to know.
            said = _digest(source.kind, source.shape, source.dtype)
        else:
            return {
                "header": _digest(type(source).__name__, source.count, source.dims, source.dtype),
                **self._steps,
            }
        files = f"{int(allreduce(comm, self._files, MPI.SUM)[0]):016x}"
        return {"files": files, "header": said, **self._steps}


def _paths(source: Source) -> PathTable | Sequence[str]:
    """Return the files of a source; empty if it has none."""
    if isinstance(source, FileSource):
        return source.paths
    return source.header.files() if isinstance(source, SeriesSource) else ()


def _beside(source: Source, count: int, comm: MPI.Intracomm) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield the files for which those of this rank stand, of each its number before. Local.

    Where there are fewer files than ranks, they are those of all.
    """
    own = Partition.balanced(count, comm.size).bounds(comm.rank)
    for number in range(*(own if count >= comm.size else (0, count))):
        if isinstance(source, FileSource):
            path = source.paths[number]
            yield number, source.reader.beside(path, source.options, source.header)
        elif isinstance(source, SeriesSource):
            yield number, beside_series(source.header) if number == 0 else ()


def _sum_values(source: MemorySource, rank: int) -> PieceSums:
    """Return this rank's part of the checksums of all records, taken as one array."""
    size, first = source.record_bytes(), source.partition.bounds(rank)[0]
    step = max(1, PIECE_BYTES // max(1, size))
    sums = PieceSums(source.count * size, PIECE)
    for place in range(0, len(source.block), step):
        sums.add((first + place) * size, source.block[place : place + step])
    return sums


def _functions(records: Selection) -> list[tuple[str, int]]:
    """Return the comparable parts of the users' functions: names, code and plain constants."""
    found = []
    for step in every_step(records):
        func = getattr(step, "func", None)
        if func is not None:
            code = ask(getattr, func, "__code__", None)
            said = b""
            if isinstance(code, CodeType):
                # Others, such as functions inside, show themselves by where they lie in memory.
                plain = [c for c in code.co_consts if isinstance(c, PLAIN)]
                said = code.co_code + repr(plain).encode("utf-8", "surrogateescape")
            name = ask(getattr, func, "__qualname__", None)
            found.append((name if isinstance(name, str) else type(func).__name__, zlib.crc32(said)))
    return found


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogateescape")).hexdigest()[:16]
