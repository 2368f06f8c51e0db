"""Sources of records that need no communication: memory, files, a simulated recording."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core.partition import Partition
from ..core.ranges import consecutive
from ..core.timers import phase
from ..core.workspace import Work, Workspace
from ..errors import FormatError
from ..kernels.runs import Paths
from ..readers.base import Handle, Header, Reader, Scratch
from ..readers.byte_ranges import copy_axes
from ..readers.options import Options
from .chain import Chain, Positions, Shape, counted_anew
from .selection import Settled, pick

if TYPE_CHECKING:
    from ..readers.series.header import SeriesHeader

__all__ = [
    "CacheSource",
    "ExampleSeriesSource",
    "ExampleSource",
    "FileSource",
    "LocalSource",
    "MemorySource",
    "PathTable",
    "PerThread",
    "SeriesSource",
    "resolve_caches",
    "runs",
]


class LocalSource:
    """A source whose records any rank can produce by itself, into given memory."""

    collective: ClassVar[bool] = False
    parameters: tuple[object, ...] = ()

    def __init__(self, count: int, dims: Shape, dtype: np.dtype) -> None:
        self.count = count
        self.dims = dims
        self.dtype = dtype
        self.partition: Partition | None = None
        self.number = 0

    @property
    def inputs(self) -> Sequence[str]:
        """The files that are read: none."""
        return ()

    def prepare(self) -> None:
        """Nothing: all is known."""

    def fill(self, positions: Positions, out: np.ndarray) -> None:
        """Write the records at `positions` into out, (len(positions),) + dims.

        Runs on several threads at once.
        """
        raise NotImplementedError

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        start, stop = partition.bounds(rank)
        own = positions[start:stop]
        if len(own) == 0:
            return
        size = max(1, math.prod(self.dims) * self.dtype.itemsize)
        step = max(1, min(len(own), limit // size))
        cuts = self.cuts(own, step, max(step, room // size))
        longest = max(b - a for a, b in cuts)
        # Nothing is read ahead if a record, or a group stored together, would not fit twice.
        ahead = (longest <= step and size <= limit) or 2 * longest * size <= room
        with closing(self._pieces(own, cuts, ahead, workspace)) as pieces:
            for piece in pieces:
                for first in range(0, len(piece), step):
                    yield piece[first : first + step]

    def _pieces(
        self, own: Positions, cuts: list[tuple[int, int]], ahead: bool, workspace: Workspace
    ) -> Generator[np.ndarray]:
        """Yield the records own[a:b] for each (a, b) of `cuts`."""
        longest = max(b - a for a, b in cuts)
        # Two buffers in turn: the threads fill one while the other is computed on.
        buffers = [
            workspace.empty((longest, *self.dims), self.dtype) for _ in cuts[: 2 if ahead else 1]
        ]
        pieces = [buffers[i % len(buffers)][: b - a] for i, (a, b) in enumerate(cuts)]

        def begin(number: int) -> Work:
            a, b = cuts[number]
            parts = self._parts(own[a:b], workspace.threads)
            return workspace.submit(
                (self.fill, (own[a + c : a + d], pieces[number][c:d])) for c, d in parts
            )

        work = begin(0)
        try:
            for number, piece in enumerate(pieces):
                work.finish()
                more = number + 1 < len(pieces)
                if more and ahead:
                    work = begin(number + 1)
                yield piece
                if more and not ahead:
                    work = begin(number + 1)
        finally:
            work.give_up()  # no thread may write into a buffer that is reused

    def record_bytes(self) -> int:
        """Return the bytes that one record takes, and those that reading it takes."""
        return math.prod(self.dims) * self.dtype.itemsize

    def decoded_bytes(self) -> int:
        """Return the bytes of what must be decoded whole to read a record, beside that."""
        return 0

    def advice(self) -> str:
        """Return the advice for a record that does not fit."""
        return "give the context more with memory="

    def _groups(self, own: Positions) -> np.ndarray | None:
        """Return the places in `own` at which groups that are stored together begin.

        None: each record is a group.
        """
        return None

    def cuts(self, own: Positions, step: int, most: int) -> list[tuple[int, int]]:
        """Cut `own` into pieces of about `step` records that split no group of `most` or fewer."""
        groups = self._groups(own)
        if groups is None:
            return [(a, min(a + step, len(own))) for a in range(0, len(own), step)]
        cuts: list[tuple[int, int]] = []
        begin = last = 0
        for end in [*groups[1:].tolist(), len(own)]:
            if end - begin > step and last > begin:
                cuts.append((begin, last))
                begin = last
            while end - begin > most:
                cuts.append((begin, begin + most))
                begin += most
            last = end
        return [*cuts, (begin, len(own))]

    def _parts(self, own: Positions, most: int) -> list[tuple[int, int]]:
        """Cut `own` into at most `most` parts that split no group."""
        groups = self._groups(own)
        groups = np.arange(len(own) + 1) if groups is None else np.append(groups, len(own))
        parts = Partition.balanced(len(groups) - 1, min(len(groups) - 1, most))
        return [(int(groups[a]), int(groups[b])) for a, b in map(parts.bounds, range(parts.parts))]

    def load(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        out: np.ndarray,
        limit: int,
        workspace: Workspace,
        tick: Callable[[int], None],
    ) -> None:
        start, stop = partition.bounds(rank)
        if stop == start:
            return
        own = positions[start:stop]
        cuts = self._parts(own, max(workspace.threads, -(-out.nbytes // max(1, limit))))
        work = workspace.submit((self.fill, (own[a:b], out[a:b])) for a, b in cuts)
        try:
            for number in work.in_turn():
                tick(cuts[number][1] - cuts[number][0])
        finally:
            work.give_up()


class PerThread(threading.local):
    """Temporary memory of each thread."""

    def __init__(self) -> None:
        self.scratch = Scratch()

    def __reduce__(self) -> tuple[type[PerThread], tuple[()]]:
        return PerThread, ()  # sources go to other processes, memory does not


class ExampleSource(LocalSource):
    """A simulated recording: each rank computes the records that it owns."""

    def __init__(self, example: Any) -> None:
        super().__init__(example.count, example.dims, example.dtype)
        self.example = example

    def fill(self, positions: Positions, out: np.ndarray) -> None:
        for i, position in enumerate(positions):
            with phase("compute", out[i].nbytes):
                out[i] = self.example.image(int(position))


class ExampleSeriesSource(LocalSource):
    """A simulated Series: each rank computes the pixels that it owns."""

    def __init__(self, example: Any, length: int) -> None:
        pixels = math.prod(example.dims)
        super().__init__(pixels, (length,), example.dtype)
        self.example = example

    def fill(self, positions: Positions, out: np.ndarray) -> None:
        for start, stop in runs(positions):
            first = int(positions[start])
            with phase("compute", out[start:stop].nbytes):
                out[start:stop] = self.example.block(first, first + stop - start)


class PathTable:
    """Many paths in little memory: one byte string and the offset of each path.

    A hundred thousand ``str`` would take ten times the memory on every rank.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        encoded = [os.fsencode(path) for path in paths]
        self._common = _common_start(encoded)
        tails = [path[len(self._common) :] for path in encoded]
        self._bytes = b"".join(tails)
        self._ends = np.cumsum([len(tail) for tail in tails], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, i: int) -> str:
        start = self._ends[i - 1] if i else 0
        return os.fsdecode(self._common + self._bytes[start : self._ends[i]])

    def for_kernel(self) -> Paths:
        """Return the same bytes for the kernel that opens files."""
        return Paths(self._common, self._bytes, self._ends)


def _common_start(paths: Sequence[bytes]) -> bytes:
    """Return the common prefix of all paths: that of the least and the greatest."""
    least, greatest = min(paths), max(paths)
    pairs = enumerate(zip(least, greatest, strict=False))
    return least[: next((i for i, (a, b) in pairs if a != b), len(least))]


class FileSource(LocalSource):
    """Images in files, read by a reader; record i is one image of one file.

    Or it is made of several: where the planes of a volume lie in files of their own, what the
    reader reads are *pages*, which are counted over all files, and a table says which pages are
    the planes of each record.

    Parameters
    ----------
    reader, options, header
        The format's reader, the user's options, and the header of the first file, which every
        other file must match.
    paths : PathTable
    ends : (files,) int64 ndarray or None
        The number of images up to the end of each file; None if each file has one.
    sizes : (files,) int64 ndarray, optional
        The bytes of each file as the rank saw it that has counted its images. By default no file
        is compared: all ranks see the same.
    pages : (records, planes) int64 ndarray, optional
        The pages that each record is made of. Where they are several, each is 2-D. `ends` counts
        pages then. By default record i is page i.
    """

    def __init__(
        self,
        reader: Reader,
        options: Options,
        header: Header,
        paths: PathTable,
        ends: np.ndarray | None,
        sizes: np.ndarray | None = None,
        pages: np.ndarray | None = None,
    ) -> None:
        count = len(paths) if ends is None else int(ends[-1])
        self.planes = 1
        dims = header.dims
        if pages is not None:
            count, self.planes = pages.shape
            dims = (*dims, self.planes) if self.planes > 1 else dims
        super().__init__(count, dims, header.dtype)
        self.reader = reader
        self.options = options
        self.header = header
        self.paths = paths
        self.ends = ends
        self.sizes = sizes
        self.pages = pages
        self._scratch = PerThread()
        self._planes = PerThread()

    @property
    def inputs(self) -> Sequence[str]:
        """The files that are read."""
        return self.paths  # type: ignore[return-value]

    def record_bytes(self) -> int:
        record = super().record_bytes()
        if self.planes > 1:  # its planes, before they are put into one
            return 2 * record + int(self.reader.scratch_bytes(self.header))
        return record + min(record, int(self.reader.scratch_bytes(self.header)))

    def decoded_bytes(self) -> int:
        return self.header.decoded

    def advice(self) -> str:
        more = super().advice()
        planes = len(self.header.dims) == 3 and not isinstance(self.options.nplanes, int)
        cut = "nplanes" in self.reader.takes and "T" not in self.header.layout.get("axes", "")
        return (
            f"nplanes=1 reads its planes as the images of a movie; for volumes, {more}"
            if planes and cut
            else more
        )

    def check_count(self, file: int) -> None:
        """Refuse a file with several images if each file is expected to have one.

        A file that is as large as the first is not opened.
        """
        if os.stat(self.paths[file]).st_size != os.stat(self.paths[0]).st_size:
            self.open(file).close()

    def reads_parts(self) -> bool:
        """Return True if parts of the first image can be read. Local."""
        file, image = self.locate(0)
        with self.reader.open(self.paths[file], self.options, self.header) as handle:
            return handle.places(image, image + 1) is not None

    def stored_bytes(self, first: int = 0, last: int | None = None) -> int:
        """Return the bytes on disk of the files from number `first` to `last`. Local."""
        stop = len(self.paths) if last is None else last + 1
        return sum(self.reader.stored_bytes(self.paths[i]) for i in range(first, stop))

    def pages_of(self, positions: Positions) -> np.ndarray:
        """Return the numbers of the pages of the records at `positions`, one after the other."""
        if isinstance(positions, range):  # np.asarray is slow for ranges
            positions = np.arange(positions.start, positions.stop, positions.step)
        wanted = np.ascontiguousarray(positions, dtype=np.int64)
        return wanted if self.pages is None else self.pages[wanted].reshape(-1)

    def locate(self, position: int) -> tuple[int, int]:
        """Return the file that holds the first page of the record, and its number in the file."""
        files, pages = self._located(self.pages_of(range(position, position + 1)))
        return int(files[0]), int(pages[0])

    def files_of(self, positions: Positions) -> np.ndarray:
        """Return the number of the file that holds each page of the records, as int64."""
        return self._located(self.pages_of(positions))[0]

    def visits(self, positions: Positions) -> Iterator[tuple[int, np.ndarray, int]]:
        """Yield (file, pages, place) for each time that a file must be opened.

        The pages of the file are those at pages_of(positions)[place] and after; they ascend.
        """
        return self.visits_to(self.pages_of(positions))

    def visits_to(self, wanted: np.ndarray) -> Iterator[tuple[int, np.ndarray, int]]:
        """Yield, as `visits`, the visits to these pages, which are counted over all files."""
        files, pages = self._located(wanted)
        parted = (np.diff(files) != 0) | (np.diff(pages) <= 0)
        breaks = [0, *(np.flatnonzero(parted) + 1).tolist(), len(files)]
        for a, b in itertools.pairwise(breaks if len(files) else []):
            yield int(files[a]), pages[a:b], a

    def open(self, file: int, scratch: Scratch | None = None) -> Handle:
        """Open a file for this thread, or for any if it gets temporary memory of its own.

        Raises
        ------
        FormatError
            If it is another file than the one whose images were counted, on any host.
        """
        path = self.paths[file]
        scratch = self._scratch.scratch if scratch is None else scratch
        handle = self.reader.open(path, self.options, self.header, scratch)
        try:
            self._compare(file, path, handle.count)
        except BaseException:
            handle.close()
            raise
        return handle

    def _compare(self, file: int, path: str, count: int) -> None:
        """Compare an open file with what was counted. One that is still written is the last."""
        if self.ends is None:
            return
        counted = int(self.ends[file]) - (int(self.ends[file - 1]) if file else 0)
        compared = [("images", count, counted)]
        if self.sizes is not None and file < len(self.sizes) - 1:
            compared.append(("bytes", os.stat(path).st_size, int(self.sizes[file])))
        for what, now, before in compared:
            if now < before or (what == "bytes" and now > before):
                raise FormatError(
                    f"{path}: has {now} {what} here and now, but {before} when its images were "
                    "counted: it has changed, or another file is in its place on this host"
                )

    def fill(self, positions: Positions, out: np.ndarray) -> None:
        if self.planes == 1:
            self._read(positions, out)
            return
        for place, position in enumerate(positions):
            stored = self._planes.scratch.take((self.planes, *self.header.dims), out.dtype)
            self._read(range(position, position + 1), stored)
            copy_axes(stored, (1, 2, 0), out[place])

    def _read(self, positions: Positions, out: np.ndarray) -> None:
        """Read the pages of records into out, (pages,) + dims of a page."""
        for file, pages, place in self.visits(positions):
            with phase("read"), self.open(file) as handle:
                handle.read_images(pages, out[place : place + len(pages)])

    def _located(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the file that holds each of these pages, and the page's number in it."""
        if self.ends is None:
            return wanted, np.zeros_like(wanted)
        files = np.searchsorted(self.ends, wanted, side="right").astype(np.int64, copy=False)
        return files, wanted - np.append(np.zeros(1, np.int64), self.ends)[files]

    def _groups(self, own: Positions) -> np.ndarray | None:
        if self.header.grain == 1 or self.planes > 1:
            return None
        files, images = self._located(self.pages_of(own))
        number = images // self.header.grain
        return np.flatnonzero(np.diff(files, prepend=-1) | np.diff(number, prepend=-1))


class SeriesSource(LocalSource):
    """Series in files; record i is the time series of pixel i in C order."""

    def __init__(self, header: SeriesHeader) -> None:
        super().__init__(header.pixels, (header.length,), header.dtype)
        self.header = header
        self._scratch = PerThread()

    @property
    def inputs(self) -> Sequence[str]:
        """The file or directory that is read."""
        return (self.header.path,)

    def decoded_bytes(self) -> int:
        return self.header.decoded

    def fill(self, positions: Positions, out: np.ndarray) -> None:
        from ..readers.series.base import open_series

        with phase("read"), open_series(self.header, self._scratch.scratch) as handle:
            handle.read_pixels(np.asarray(positions, dtype=np.int64), out)

    def _groups(self, own: Positions) -> np.ndarray | None:
        if self.header.grain == 1:
            return None
        number = np.asarray(own, dtype=np.int64) // self.header.grain
        return np.flatnonzero(np.diff(number, prepend=-1))


def runs(positions: Positions) -> Iterator[tuple[int, int]]:
    """Yield the places [start, stop) of consecutive numbers in ascending positions."""
    if len(positions) == 0:
        return
    if isinstance(positions, range) and positions.step == 1:
        yield 0, len(positions)
        return
    yield from consecutive(np.asarray(positions))


class MemorySource:
    """Records in memory: each rank holds a block of them.

    Parameters
    ----------
    block : (n,) + dims ndarray
        This rank's records. It is kept, not copied, and never written to.
    partition : Partition
        The records that each rank holds.
    """

    collective: ClassVar[bool] = False
    parameters: tuple[object, ...] = ()

    def __init__(
        self, block: np.ndarray, dims: Shape, dtype: np.dtype, partition: Partition
    ) -> None:
        self.block = block
        self.dims = dims
        self.dtype = dtype
        self.partition = partition
        self.count = partition.count
        self.number = 0

    @property
    def inputs(self) -> Sequence[str]:
        """The files that are read: none."""
        return ()

    def prepare(self) -> None:
        """Nothing: all is known."""

    def record_bytes(self) -> int:
        """Return the bytes of one record."""
        return math.prod(self.dims) * self.dtype.itemsize

    def batches(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        limit: int,
        workspace: Workspace,
        room: int = 0,
    ) -> Generator[np.ndarray]:
        start, stop = partition.bounds(rank)
        own = positions[start:stop]
        first, last = self.partition.bounds(rank)
        block = self.block.view()
        block.flags.writeable = False
        size = max(1, block.nbytes // max(1, last - first))
        step = max(1, limit // size)
        for a, b in runs(own):
            begin = int(own[a]) - first
            for i in range(0, b - a, step):
                yield block[begin + i : begin + min(i + step, b - a)]

    def load(
        self,
        positions: Positions,
        partition: Partition,
        rank: int,
        out: np.ndarray,
        limit: int,
        workspace: Workspace,
        tick: Callable[[int], None],
    ) -> None:
        copy_batches(self.batches(positions, partition, rank, limit, workspace), out, tick)


class CacheSource(MemorySource):
    """The records that `cache` has kept of a collection, and the chain that computes them.

    After `drop` the records are computed again.
    """

    def __init__(self, block: np.ndarray, origin: Settled) -> None:
        super().__init__(block, origin.dims, origin.dtype, origin.partition)
        self.number = origin.source.number
        self.origin = origin
        self.kept = True

    def drop(self) -> None:
        """Free the memory. Local; must be called on all ranks."""
        self.block = self.block[:0].copy()
        self.kept = False


def copy_batches(
    batches: Iterable[np.ndarray], out: np.ndarray, tick: Callable[[int], None]
) -> None:
    """Write batches one behind the other into out; call tick(number) after each."""
    filled = 0
    for batch in batches:
        out[filled : filled + len(batch)] = batch
        filled += len(batch)
        tick(len(batch))


def resolve_caches(chain: Chain) -> Chain:
    """Return the chain without the caches that were dropped since it was made."""
    while isinstance(chain.source, CacheSource) and not chain.source.kept:
        origin, kept = chain.source.origin, chain.positions
        positions = (
            None if kept is None else pick(origin.positions, np.asarray(kept, dtype=np.int64))
        )
        steps = origin.steps
        if kept is not None and chain.keys is not None:
            old = pick(origin.keys, np.asarray(kept, dtype=np.int64))
            steps = counted_anew(steps, old, chain.keys)
        chain = Chain(origin.source, positions, chain.keys, (*steps, *chain.steps))
    return chain
