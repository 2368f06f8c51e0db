"""What a job was given, in few bytes: to tell whether an interrupted one may be taken up."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from ..core.crc32 import PIECE
from ..core.partition import Partition
from ..engine.chain import Source
from ..engine.runner import Action
from ..engine.selection import Selection
from ..engine.sources import FileSource, MemorySource, PathTable, SeriesSource
from ..exchange.source import ExchangeSource
from ..spmd.agreement import allreduce
from ..writers.output.piece_sums import PieceSums

__all__ = ["describe_input"]

PLAIN = (bool, int, float, complex, str, bytes)


def describe_input(action: Action, records: Selection) -> dict[str, Any]:
    """Names, sizes and times of the files, their header, and the steps. Collective.

    Returns
    -------
    dict
        Plain values, the same on all ranks for the same input, whatever their number.
    """
    source, said = records.source, _digest(records.asked(), _functions(records))
    if isinstance(source, ExchangeSource):
        return {**describe_input(action, source.settle()), "series": said}
    return {**_of_source(action, source), "steps": said}


def _of_source(action: Action, source: Source) -> dict[str, Any]:
    if isinstance(source, FileSource):
        header = source.header
        said = _digest(source.reader.name, source.options, header.dims, header.dtype,
                       source.count, sorted(header.metadata.items()))
        return {"files": _files(action, source.paths), "header": said}
    if isinstance(source, SeriesSource):
        series = source.header
        said = _digest(series.kind, series.dims, series.length, series.dtype)
        return {"files": _files(action, series.files()), "header": said}
    if isinstance(source, MemorySource):
        return {"values": _values(action, source)}
    return {"header": _digest(type(source).__name__, source.count, source.dims, source.dtype)}


def _files(action: Action, paths: PathTable | Sequence[str]) -> str:
    """Of the names, sizes and times of all files, in order; the ranks share the asking."""
    comm, total = action.comm, np.zeros(1, dtype=np.uint64)
    with action.together():
        start, stop = Partition.balanced(len(paths), comm.size).bounds(comm.rank)
        for number in range(start, stop):
            path = paths[number]
            status = os.stat(path)
            one = _digest(number, os.path.basename(path), status.st_size, status.st_mtime_ns)
            # A sum: who asked for which file must not matter. Each term knows its place.
            total += np.uint64(int(one, 16))
    return f"{int(allreduce(comm, total, MPI.SUM)[0]):016x}"


def _values(action: Action, source: MemorySource) -> str:
    """Of all ranks' records, as if they were one array."""
    comm, size = action.comm, source.record_bytes()
    with action.together():
        first = source.partition.bounds(comm.rank)[0]
        step = max(1, (1 << 24) // max(1, size))
        sums = PieceSums(source.count * size, PIECE)
        for place in range(0, len(source.block), step):
            sums.add((first + place) * size, source.block[place : place + step])
    return _digest([sums.total(comm).tolist()], source.dims, source.dtype)


def _functions(records: Selection) -> list[tuple[str, int]]:
    """What can be compared of the users' functions: their names, code and plain constants."""
    found = []
    for step in records.steps:
        func = getattr(step, "func", None)
        if func is not None:
            code = getattr(func, "__code__", None)
            said = getattr(code, "co_code", b"")
            # Others, such as functions inside, show themselves by where they lie in memory.
            plain = [c for c in getattr(code, "co_consts", ()) if isinstance(c, PLAIN)]
            said += repr(plain).encode("utf-8", "surrogateescape")
            found.append((getattr(func, "__qualname__", type(func).__name__), zlib.crc32(said)))
    return found


def _digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode("utf-8", "surrogateescape")).hexdigest()[:16]
