"""Headerless files of records, written by all ranks at places that the records' numbers decide."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from mpi4py import MPI

from ..core.crc32 import PIECE
from ..core.json_types import JsonObject
from ..formats.output_names import CONF, with_own_checksum
from ..spmd.agreement import Together
from .output.boxes import little_pieces, write_run
from .output.files import OutputFiles, create_file, naming_file, prepare_file
from .output.piece_sums import PieceSums
from .output.plain import sync_directory, to_json, write_small

__all__ = ["FlatLayout", "FlatWriter", "check_records"]


class Run(NamedTuple):
    """Values of a block of records that lie in a file in one run.

    Attributes
    ----------
    file : int
    position, nbytes : int
        Where they begin, and how long they are.
    index : slice, or tuple of slice, ellipsis and int
        Which they are of the block.
    """

    file: int
    position: int
    nbytes: int
    index: Any


@dataclass(frozen=True)
class FlatLayout:
    """Which file holds what of the records.

    Attributes
    ----------
    names : list of str
        Of the files: those of the first part of all records, of the second, and so on.
    count : int
        The number of records.
    record : tuple of int
        The shape of a record.
    dtype : numpy.dtype
        Of the values; they are stored little-endian.
    per_file : int
        The records of which a file has a part; the last file of a part may have fewer.
    parts : int
        1: records lie whole in a file; else the extent of their last axis, along which they are
        cut.
    """

    names: list[str]
    count: int
    record: tuple[int, ...]
    dtype: np.dtype
    per_file: int
    parts: int = 1

    @property
    def part_bytes(self) -> int:
        """The bytes of a part of a record."""
        return math.prod(self.record) // self.parts * self.dtype.itemsize

    def counts(self) -> list[int]:
        """The number of records of which each file has a part."""
        firsts = range(0, self.count, self.per_file)
        return [min(self.per_file, self.count - first) for first in firsts] * self.parts

    def sizes(self) -> list[int]:
        """The bytes of each file."""
        return [count * self.part_bytes for count in self.counts()]

    def runs(self, first: int, stop: int) -> Iterator[Run]:
        """Where the values of a block of the records [first, stop) lie."""
        each = -(-self.count // self.per_file)
        place = first
        while place < stop:
            number, within = divmod(place, self.per_file)
            end = min(stop, place + self.per_file - within)
            position, nbytes = within * self.part_bytes, (end - place) * self.part_bytes
            records = slice(place - first, end - first)
            for part in range(self.parts):
                index = records if self.parts == 1 else (records, ..., part)
                yield Run(part * each + number, position, nbytes, index)
            place = end


class FlatWriter(ABC):
    """Writes records into headerless files below an existing directory, and ``conf.json``.

    The constructor is local, but every rank makes one: rank 0's creates the files, so that the
    ranks have to agree (`Together`) before another is used.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
    directory : str
        What `staging.staged` yields; empty but for its mark.
    layout : FlatLayout
    resume : bool
        Files of an earlier job with the same arguments are taken up; `holds` tells what of it
        is in them.

    Attributes
    ----------
    grain : int
        Blocks may begin and end at multiples of it.
    threaded : bool
        Whether `write` may run in another thread than MPI's calls: it may.

    Notes
    -----
    The files and their bytes depend on the arguments alone: never on the ranks, nor on how
    the records were cut into blocks, nor on the blocks' order.
    """

    threaded = True
    grain = 1

    def __init__(
        self, comm: MPI.Intracomm, directory: str, layout: FlatLayout, resume: bool = False
    ) -> None:
        self.comm = comm
        self.directory = directory
        self.layout = layout
        paths = [os.path.join(directory, name) for name in layout.names]
        if comm.rank == 0:
            prepare = prepare_file if resume else create_file
            for inside in self._inside(paths):
                os.makedirs(inside, exist_ok=True)
            for path, size in zip(paths, layout.sizes(), strict=True):
                prepare(path, size)
        self._files = OutputFiles(paths, layout.parts)
        self._sums = PieceSums(layout.sizes(), PIECE)

    def _inside(self, paths: list[str]) -> set[str]:
        """The directories of files that are not the output's own."""
        return {os.path.dirname(path) for path in paths} - {self.directory}

    def write(self, first: int, block: np.ndarray) -> None:
        """Write the records [first, first + k) from a (k,) + record block. Local.

        Raises
        ------
        ValueError
            When the block is of another shape or dtype, or leaves the output.
        OSError
            As the system reports it, naming the file.
        """
        layout = self.layout
        check_records(block, first, layout.count, layout.record, layout.dtype)
        for run in layout.runs(first, first + len(block)):
            descriptor, position = self._files.descriptor(run.file), run.position
            with naming_file(self._files.paths[run.file]):
                for piece in little_pieces(block[run.index]):
                    write_run(descriptor, position, piece)
                    self._sums.add(position, piece, run.file)
                    position += piece.nbytes

    def flush(self) -> JsonObject:
        """Bring what was written since the last call to the disk; the journal's entry of it.

        Local; from any thread, while none writes.
        """
        self._files.sync()
        return {"fragments": self._sums.take().tolist()}

    def holds(self, entry: JsonObject) -> bool:
        """Whether what an earlier job's journal says was written is on the disk. Local."""
        layout = self.layout
        sums = PieceSums(layout.sizes(), PIECE)
        for first, stop in entry["done"]:
            for run in layout.runs(first, stop):
                path = self._files.paths[run.file]
                if not sums.add_stored(run.position, run.nbytes, path, run.file):
                    return False
        return sums.took(entry["fragments"])

    def restore(self, entry: JsonObject) -> None:
        """Take over what an earlier job's journal says was written. Local; on one rank."""
        self._sums.give(entry["fragments"])

    def finish(self) -> None:
        """Flush, gather the checksums, write the marks. Collective."""
        action = f"{type(self).__name__}.finish"
        with Together(self.comm, action):
            self._files.sync()
        pieces = self._sums.by_file(self._sums.total(self.comm))
        with Together(self.comm, action):
            if self.comm.rank == 0:
                self._mark(dict(zip(self.layout.names, pieces, strict=True)))

    def _mark(self, pieces: dict[str, list[int]]) -> None:
        """Write what says that the output is whole, given the checksums of each file."""
        conf = self._conf(pieces)
        checksum = {"kind": "crc32", "piece": PIECE, "values": pieces}
        content = with_own_checksum(to_json({**conf, "checksum": checksum}))
        for inside in self._inside(self._files.paths):
            sync_directory(inside)
        write_small(os.path.join(self.directory, CONF), content)
        sync_directory(self.directory)

    @abstractmethod
    def _conf(self, pieces: dict[str, list[int]]) -> JsonObject:
        """What ``conf.json`` says but for the checksums. May add those of further files."""

    def close(self) -> None:
        """Let go of the files without finishing: after an error. Local."""
        self._files.close()


def check_records(
    block: np.ndarray, first: int, count: int, record: tuple[int, ...], dtype: np.dtype
) -> None:
    """Refuse a block that is not (k,) + record of `dtype`, or leaves the `count` records."""
    if block.shape[1:] != record or block.ndim != 1 + len(record):
        shape = ", ".join(map(str, record))
        raise ValueError(f"a block of shape {block.shape}: it must be (k, {shape})")
    if block.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"a block of dtype {block.dtype} for records of {dtype}")
    if not 0 <= first <= count - len(block):
        raise ValueError(f"a block of {len(block)} records at {first} of {count}")
