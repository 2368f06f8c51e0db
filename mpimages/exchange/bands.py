"""Bands of pixels of many images, read from their files or viewed in memory. Local.

A conversion runs in rounds, and a round takes a range of the pixels of all images: a band. If files
store their images uncompressed, each round reads only its band, so that every stored byte is read
once.
"""

from __future__ import annotations

import math
import os
import resource
import weakref
from collections.abc import Iterator
from typing import ClassVar, Protocol

import numpy as np

from ..core.cleanup import quietly
from ..core.partition import Partition
from ..core.ranges import consecutive
from ..core.timers import phase
from ..core.workspace import Work, Workspace
from ..engine.chain import Positions
from ..engine.runner import Action
from ..engine.selection import Selection
from ..engine.sources import FileSource, PerThread
from ..errors import FormatError
from ..kernels.runs import KEEP, OPEN, read_runs
from ..kernels.transpose import transpose_each
from ..readers.base import Handle
from ..readers.parts import raise_failure

__all__ = ["Bands", "FileBands", "MemoryBands", "survey"]

# Bytes of volumes that are read and interleaved at once: they stay in the L2 cache.
PIECE_BYTES = 1 << 20
# Minimum bytes of one plane in a single read: below it system calls dominate.
RUN_BYTES = 1 << 15
# Fraction of the free file descriptors that stay open between rounds. The rest is for the output,
# the libraries and the user.
KEPT_PART = 0.25
KEPT_MOST = 16384


class Bands(Protocol):
    """This rank's images, with access to ranges of their pixels.

    Pixels are counted in C order: (row, column[, page]).

    Attributes
    ----------
    in_memory : bool
        True if `view` returns the pixels without a copy; otherwise `begin` reads them.
    count : int
        The number of images of this rank; may be 0.
    pixels : int
        The number of pixels of an image.
    grain : int
        Bands begin and end at multiples of it; it divides `pixels`. It may differ between ranks
        if their files differ; the greatest is valid for all of them.
    dtype : numpy.dtype
        dtype of the pixels, in native byte order.
    """

    @property
    def in_memory(self) -> bool: ...
    @property
    def count(self) -> int: ...
    @property
    def pixels(self) -> int: ...
    @property
    def grain(self) -> int: ...
    @property
    def dtype(self) -> np.dtype: ...

    def view(self, first: int, last: int) -> np.ndarray | None:
        """Return a view of the pixels [first, last), (count, last - first); None if in files."""

    def begin(self, first: int, last: int, out: np.ndarray) -> Work:
        """Begin to write the pixels [first, last) into out, on the workspace's threads.

        Parameters
        ----------
        first, last : int
            Multiples of the grain.
        out : (count, last - first) ndarray of `dtype`
            C-contiguous. Must not be used until the work has finished.

        Returns
        -------
        Work
            Its `finish` raises the error of reading.

        Raises
        ------
        ValueError
            If the band or out is not as above.
        """

    def close(self) -> None:
        """Close the open files. May be called twice."""


class _Shared:
    """Common base of both kinds of bands."""

    def __init__(
        self, count: int, pixels: int, grain: int, dtype: np.dtype, workspace: Workspace
    ) -> None:
        self.count = count
        self.pixels = pixels
        self.grain = grain
        self.dtype = dtype
        self._workspace = workspace

    def _check_band(self, first: int, last: int) -> None:
        if not 0 <= first <= last <= self.pixels or first % self.grain or last % self.grain:
            raise ValueError(
                f"no band [{first}, {last}) of {self.pixels} pixels: it must begin and end at "
                f"multiples of {self.grain}"
            )

    def begin(self, first: int, last: int, out: np.ndarray) -> Work:
        """See `Bands`."""
        self._check_band(first, last)
        shape = (self.count, last - first)
        if out.shape != shape or out.dtype != self.dtype or not out.flags.c_contiguous:
            raise ValueError(
                f"a band needs C-contiguous memory of shape {shape} and dtype {self.dtype}, not "
                f"of shape {out.shape}, dtype {out.dtype} and strides {out.strides}"
            )
        parts = _parts(self.count if out.size else 0, self._workspace)
        return self._workspace.submit((self._fill, (first, a, b, out[a:b])) for a, b in parts)

    def close(self) -> None:
        """Close the open files. May be called twice."""

    def _fill(self, first: int, start: int, stop: int, out: np.ndarray) -> None:
        """Write a band of the images [start, stop) into out. Runs on any thread."""
        raise NotImplementedError


def _parts(count: int, workspace: Workspace) -> list[tuple[int, int]]:
    """Return a part of `count` images for each thread; no part is empty."""
    cuts = Partition.balanced(count, max(1, min(count, workspace.threads)))
    return [cuts.bounds(part) for part in range(cuts.parts)] if count else []


class MemoryBands(_Shared):
    """Bands of images in memory.

    Parameters
    ----------
    images : (n, pixels) ndarray
        The images of this rank; kept, not copied.
    workspace : Workspace
    """

    in_memory: ClassVar[bool] = True

    def __init__(self, images: np.ndarray, workspace: Workspace) -> None:
        super().__init__(len(images), images.shape[1], 1, images.dtype, workspace)
        self._images = images

    def view(self, first: int, last: int) -> np.ndarray:
        """Return a read-only view of the pixels [first, last), (count, last - first)."""
        self._check_band(first, last)
        return self._images[:, first:last]

    def _fill(self, first: int, start: int, stop: int, out: np.ndarray) -> None:
        out[...] = self._images[start:stop, first : first + out.shape[1]]


class FileBands(_Shared):
    """Bands of images that are stored uncompressed in files; made by `survey`.

    Each image takes 32 bytes (its place, and its file's size and time of modification), and 8 more
    for its position if the positions are not a range. A quarter of the free file descriptors stay
    open; other files are opened and closed for each band. A file that has changed since the survey
    is refused.
    """

    in_memory: ClassVar[bool] = False

    def __init__(self, found: _Survey, workspace: Workspace) -> None:
        source = found.source
        planes, stored = next(iter(found.kinds), (1, source.dtype.str))
        planes *= source.planes  # each plane has its own place there, else the first has
        pixels = math.prod(source.dims)
        super().__init__(len(found.positions), pixels, planes, source.dtype, workspace)
        self._found = found
        self._swap = not np.dtype(stored).isnative
        self._paths = source.paths.for_kernel()
        self._scratch = PerThread()
        self._kept = _to_keep(found)
        self._closing = weakref.finalize(self, _close_all, self._kept)

    @classmethod
    def survey(
        cls, source: FileSource, positions: Positions, workspace: Workspace
    ) -> FileBands | None:
        """Locate images in their files. Local.

        Each file is opened once, on the workspace's threads.

        Parameters
        ----------
        source : FileSource
        positions : ascending ints
            The positions of this rank's images.
        workspace : Workspace

        Returns
        -------
        FileBands or None
            None if an image cannot be read in part, or is stored differently from the others.

        Raises
        ------
        FormatError
            If a file is damaged, truncated, or of another shape or dtype than the first.
        OSError
            If a file cannot be opened.
        """
        found = _Survey(source, positions)
        parts = _parts(len(positions), workspace)
        work = workspace.submit((found.look_at, part) for part in parts)
        try:
            work.finish()
        finally:
            work.give_up()
        return None if found.failed else cls(found, workspace)

    @classmethod
    def inside(cls, source: FileSource, positions: Positions, workspace: Workspace) -> FileBands:
        """Survey files that this job has written, whatever their time of modification. Local."""
        bands = cls.survey(source, positions, workspace)
        if bands is None:
            raise FormatError(f"{source.paths[0]}: another file than this job has written")
        bands.trust()
        return bands

    def trust(self) -> None:
        """Accept the files whatever their time of modification.

        On network file systems a time of modification may change late.
        """
        self._found.modified = None

    @property
    def scratch_bytes(self) -> int:
        """The maximum bytes of temporary memory of each thread for a band."""
        if self.grain == 1:
            return 0
        return max(PIECE_BYTES, min(RUN_BYTES * self.grain, self.pixels * self.dtype.itemsize))

    def close(self) -> None:
        """Close the files that are open. May be called twice."""
        self._closing()

    def view(self, first: int, last: int) -> None:
        """Return None: a band must be read."""

    def _fill(self, first: int, start: int, stop: int, out: np.ndarray) -> None:
        if self.grain == 1:
            self._read(start, first, out[:, np.newaxis])
            return
        values = out.reshape(len(out), -1, self.grain)
        for images, places in self._pieces(*values.shape[:2]):
            target = values[images, places]
            count, width, planes = target.shape
            stored = self._scratch.scratch.take((count, planes, width), self.dtype)
            self._read(start + images.start, first // self.grain + places.start, stored)
            with phase("read"):
                transpose_each(stored, target)

    def _pieces(self, count: int, width: int) -> Iterator[tuple[slice, slice]]:
        """Yield the images, and the places in each plane, that are read and interleaved at once.

        They are several whole bands of images, or a part of one.
        """
        item = self.grain * self.dtype.itemsize
        most = max(1, PIECE_BYTES // item, RUN_BYTES // self.dtype.itemsize)
        wide, many = min(width, most), max(1, PIECE_BYTES // (width * item))
        for image in range(0, count, many):
            for place in range(0, width, wide):
                images = slice(image, min(image + many, count))
                yield images, slice(place, min(place + wide, width))

    def _read(self, start: int, place: int, out: np.ndarray) -> None:
        """Read values of each plane, from number `place` on, into out, (images, planes, values).

        The images begin at number `start`.
        """
        found, each = self._found, self._found.source.planes
        files = found.source.files_of(found.positions[start : start + len(out)])
        out = out.reshape(len(out) * each, -1, out.shape[2])
        images = slice(start * each, start * each + len(out))
        modified = None if found.modified is None else found.modified[images]
        with phase("read", out.nbytes):
            failure = read_runs(
                self._paths, files, found.first[images], found.stride[images],
                found.size[images], modified, place * self.dtype.itemsize, self._swap, out,
                self._kept[images],
            )  # fmt: skip
        if failure is not None:
            status, image, number = failure
            raise_failure(found.source.paths[int(files[image])], status, number)


def survey(action: Action, images: Selection) -> FileBands | None:
    """Locate this rank's images in their files. Collective.

    Returns
    -------
    FileBands or None
        None on all ranks if some images cannot be read in part.
    """
    comm, found = action.comm, None
    together = action.together()
    with together.attempt():
        if isinstance(images.source, FileSource) and images.steps == ():
            own = images.own(comm.rank)
            found = FileBands.survey(images.source, own, action.session.workspace)
    return found if together.agree(found is not None)[0] else None


def _to_keep(found: _Survey) -> np.ndarray:
    """Return KEEP at the first image of each file that stays open, else OPEN."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    free = limit - len(os.listdir("/proc/self/fd"))
    most = KEPT_MOST if limit == resource.RLIM_INFINITY else min(KEPT_MOST, int(KEPT_PART * free))
    files = found.source.files_of(found.positions)
    begins = np.flatnonzero(np.diff(files, prepend=-1))[: max(0, most)]
    kept = np.full(len(files), OPEN, dtype=np.int32)
    kept[begins] = KEEP
    return kept


def _close_all(kept: np.ndarray) -> None:
    descriptors = kept[kept >= 0].tolist()
    kept[:] = OPEN
    for descriptor in descriptors:
        quietly(os.close, descriptor)


class _Survey:
    """The places of images in files, found in parts on several threads."""

    def __init__(self, source: FileSource, positions: Positions) -> None:
        self.source = source
        self.positions = positions
        pages = len(positions) * source.planes
        self.first, self.stride, self.size = np.empty((3, pages), dtype=np.int64)
        self.modified: np.ndarray | None = np.empty(pages, dtype=np.int64)
        self.kinds: set[tuple[int, str]] = set()
        self.unfit = False

    @property
    def failed(self) -> bool:
        """True if an image is unfit, or two are stored differently."""
        return self.unfit or len(self.kinds) > 1

    def look_at(self, start: int, stop: int) -> None:
        """Look at the images [start, stop), unless the survey has failed already."""
        for file, pages, place in self.source.visits(self.positions[start:stop]):
            if self.failed:
                return
            begin = start * self.source.planes + place
            with phase("list"), self.source.open(file) as handle:
                for a, b in consecutive(pages):
                    self._look(handle, pages[a:b], slice(begin + a, begin + b))

    def _look(self, handle: Handle, pages: np.ndarray, where: slice) -> None:
        """Look at pages of a file that follow each other."""
        places = None if self.unfit else handle.places(int(pages[0]), int(pages[-1]) + 1)
        if places is None:
            self.unfit = True
            return
        self.kinds.add((places.planes, places.stored.str))
        self.first[where], self.stride[where] = places.first, places.stride
        self.size[where] = places.size
        if self.modified is not None:
            self.modified[where] = places.modified
