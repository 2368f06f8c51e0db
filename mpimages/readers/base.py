"""What every reader shares: what a file says, and how images are read.

Readers are plain local code: they know no collection and no communicator.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from ..core.json_types import JsonObject
from ..core.ranges import consecutive
from ..errors import FormatError
from ..formats.output_names import CONF
from .byte_ranges import open_file
from .options import ALL_PLANES, CONTENT, Options
from .places import Places

if TYPE_CHECKING:
    from .file_sets import FileSet

MINIMUM_CLAIM = 1 << 24
LARGEST_RATIO = 1 << 16


@dataclass(frozen=True)
class Header:
    """What a file says about its images: small and plain, for it is sent to every rank.

    Parameters
    ----------
    path : str
        The file that said it.
    dims : tuple of int
        The shape of one image: (row, column[, page]).
    dtype : numpy.dtype
        The dtype in which images are handed out, in native byte order.
    count : int
        The number of images in the file.
    metadata : dict
        Plain values: ``pixelSize`` (a tuple, one per axis of `dims`; None where unknown),
        ``unit``, ``frameInterval`` (s), where the header has them.
    layout : dict
        What the format's reader needs to know besides.
    found : dict
        What people ask about: ``program`` (which wrote the file, with its version), ``axes`` (a
        dict: the letters T, Z, C of the pages, the fastest first, and how many of each the file
        has, before a choice), ``channels`` (their names), ``startTime`` (text), and ``uncertain``
        (a list of sentences: what the file leaves open, each with the call that settles it).
        What is not known is left out.
    """

    path: str
    dims: tuple[int, ...]
    dtype: np.dtype
    count: int
    metadata: JsonObject = field(default_factory=dict)
    layout: JsonObject = field(default_factory=dict)
    found: JsonObject = field(default_factory=dict)

    @property
    def grain(self) -> int:
        """How many images of a file, counted from its first, are stored together, so that to read
        one is to read all of them; 1 where each can be read alone."""
        return int(self.layout.get("grain", 1))

    @property
    def decoded(self) -> int:
        """The bytes that must be decoded at once, where they may be more than an image has."""
        return int(self.layout.get("decoded", 0))

    @property
    def image_bytes(self) -> int:
        """The bytes of one image as it is handed out."""
        return math.prod(self.dims) * self.dtype.itemsize

    def require(self, path: str, dims: Sequence[int], dtype: np.dtype) -> None:
        """Raise FormatError unless images of `path` have this header's shape and dtype."""
        if tuple(dims) != self.dims or dtype != self.dtype:
            raise FormatError(
                f"{path}: has images of shape {tuple(dims)} and dtype {dtype}, but the "
                f"recording's first file, {self.path}, has shape {self.dims} and dtype "
                f"{self.dtype}; load files of one kind together"
            )

    def require_count(self, path: str, count: int) -> None:
        """Raise FormatError where a file with another number of images was not expected."""
        if count != self.count:
            raise FormatError(
                f"{path}: holds {count} images, but the recording's first file, {self.path}, "
                f"holds {self.count}; load them apart, or give nplanes"
            )


class Scratch:
    """Memory that is taken again and again: grows to the largest request, never shrinks.

    One serves all the handles of one thread, since none keeps its content between calls.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, dtype=np.uint8)
        self._more: list[Scratch] = []

    @property
    def nbytes(self) -> int:
        """How much is held."""
        return self._memory.nbytes + sum(more.nbytes for more in self._more)

    def two_more(self) -> list[Scratch]:
        """Two others, always the same ones, for what is needed beside this one's content."""
        if not self._more:
            self._more = [Scratch(), Scratch()]
        return self._more

    def take(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An array with arbitrary content; the one taken before is overwritten."""
        nbytes = dtype.itemsize
        for n in shape:
            nbytes *= int(n)
        if nbytes > self._memory.nbytes:
            self._memory = np.empty(0, dtype=np.uint8)  # let go before taking more
            self._memory = np.empty(nbytes, dtype=np.uint8)
        return self._memory[:nbytes].view(dtype).reshape(tuple(shape))


class Closing:
    """What is open until it is closed: a context manager."""

    def close(self) -> None:
        """Give back what is held; may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def has_gaps(numbers: np.ndarray) -> bool:
    """Whether some are left out between the first and the last of ascending numbers."""
    return len(numbers) > 0 and int(numbers[-1] - numbers[0]) != len(numbers) - 1


class Handle(Closing, ABC):
    """One open file. A context manager; at most one file descriptor is held.

    Parameters
    ----------
    path : str
    header : Header
    count : int
        The number of images in this file.
    scratch : Scratch, optional
        Where to take temporary memory from; its own by default.
    """

    def __init__(self, path: str, header: Header, count: int, scratch: Scratch | None) -> None:
        self.path = path
        self.header = header
        self.count = count
        self.scratch = Scratch() if scratch is None else scratch

    def read(self, index: int, out: np.ndarray) -> None:
        """Read one image.

        Parameters
        ----------
        index : int
            Which of the file's images.
        out : ndarray of the header's dims and dtype
            C-contiguous; any memory.
        """
        self.read_batch(index, index + 1, out[np.newaxis])

    def read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        """Read the images [start, stop) into out, (stop - start,) + dims, C-contiguous."""
        header = self.header
        self._check_range(start, stop)
        if out.shape != (stop - start, *header.dims) or out.dtype != header.dtype:
            raise ValueError(
                f"{self.path}: cannot read {stop - start} images of shape {header.dims} and "
                f"dtype {header.dtype} into an array of shape {out.shape} and dtype {out.dtype}"
            )
        if not (out.flags.c_contiguous and out.flags.writeable):
            raise ValueError("images are read into C-contiguous, writeable memory only")
        if stop > start:
            self._read_batch(start, stop, out)

    def read_images(self, images: np.ndarray, out: np.ndarray) -> None:
        """Read the images with these ascending numbers into out, (len(images),) + dims."""
        for a, b in consecutive(images):
            self.read_batch(int(images[a]), int(images[b - 1]) + 1, out[a:b])

    def read_part(self, images: np.ndarray, low: Sequence[int], out: np.ndarray) -> bool:
        """Read a box, which begins at `low`, of each of these images, if less is read by that.

        Returns
        -------
        bool
            Whether it was read: the format can read the chunks alone in which the box lies.
        """
        return False

    @abstractmethod
    def _read_batch(self, start: int, stop: int, out: np.ndarray) -> None:
        """As `read_batch`, which has checked the arguments."""

    def places(self, start: int, stop: int) -> Places | None:
        """Where the images [start, stop) lie; None where they are not stored plainly.

        Raises
        ------
        FormatError
            If the file ends before they do.
        """
        self._check_range(start, stop)
        return self._find_places(start, stop)

    def unwritten(self, start: int, stop: int) -> dict[str, int]:
        """Count the parts of the images [start, stop) that were never written.

        They are zeros, or whatever the file says.

        The keys are the format's names of the parts. Parts with a count of 0 are omitted.
        """
        self._check_range(start, stop)
        return {}

    def _find_places(self, start: int, stop: int) -> Places | None:
        """As `places`, which has checked the arguments."""
        return None

    def _check_range(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.count:
            raise IndexError(f"{self.path}: images [{start}, {stop}) of {self.count}")


class Reader(ABC):
    """One format.

    A reader is local code: it knows no communicator, may be called on any rank and thread, and
    gives the same answers on all of them. One object serves all files.

    Attributes
    ----------
    name : str
        As in ``inputFormat``.
    extensions : tuple of str
        Of a reader in another package: the endings of its files, lower case with the dot.
    signatures : tuple of bytes
        With one of them each file begins; empty where files have none.
    signature_places : tuple of int
        At which bytes it may stand.
    takes : frozenset of str
        The options that mean something for this format; `check` refuses the others.
    several : bool
        Whether a file may hold several images.
    single_planes : bool
        Whether its files may be one plane each, as programs write them that number their names.
    sparse : bool
        Whether its files may have parts that were never written: see `Handle.unwritten`.
    """

    name: str
    extensions: tuple[str, ...] = ()
    takes: frozenset[str] = frozenset()
    several: bool = True
    single_planes: bool = False
    sparse: bool = False
    signatures: tuple[bytes, ...] = ()
    signature_places: tuple[int, ...] = (0,)

    def __reduce__(self) -> tuple[Callable[[str], Reader], tuple[str]]:
        from .registry import get

        return get, (self.name,)  # what it remembers of files stays here

    def recognises(self, path: str) -> bool:
        """Whether a file has this format's signature, whatever its name."""
        try:
            fd, _ = open_file(path)
        except (OSError, ValueError):
            return False  # Ignore errors: the user did not name this format.
        with os.fdopen(fd, "rb") as file:
            return any(
                os.pread(file.fileno(), len(signature), place) == signature
                for place in self.signature_places
                for signature in self.signatures
            )

    @abstractmethod
    def inspect(self, path: str, options: Options) -> Header:
        """What the file says; no pixels are read.

        Raises
        ------
        FormatError
            If the file is damaged or not of this format.
        ValueError
            If the options contradict it, or leave open what it is.
        """

    def check(self, options: Options, header: Header) -> None:
        """Raise ValueError for options that mean nothing here, or contradict the file."""
        for name in CONTENT:
            if name not in self.takes and getattr(options, name) is not None:
                raise ValueError(
                    f"{name}={getattr(options, name)!r} means nothing for "
                    f"inputFormat={self.name!r} ({header.path})"
                )
        if "confFilename" not in self.takes and options.confFilename != CONF:
            raise ValueError(
                f"confFilename={options.confFilename!r} means nothing for "
                f"inputFormat={self.name!r} ({header.path}), whose files describe themselves"
            )
        if "dims" not in self.takes:  # a reader takes shape with it
            options.require_dims(header.path, header.dims)
        if (
            "dtype" not in self.takes
            and options.dtype is not None
            and options.dtype.newbyteorder("=") != header.dtype
        ):
            raise ValueError(
                f"{header.path}: dtype={options.dtype} was given, but it holds {header.dtype}"
            )

    @abstractmethod
    def open(
        self, path: str, options: Options, header: Header, scratch: Scratch | None = None
    ) -> Handle:
        """Open another file of the recording whose first file said `header`.

        Raises
        ------
        FormatError
            If its images are of another shape or dtype, or it is damaged.
        """

    def find_set(self, paths: Sequence[str], options: Options, complete: bool) -> FileSet | None:
        """The set of files whose header says how their planes make images; None without such.

        `complete` says whether the paths are all that there are, and not chosen by the user.
        """
        return None

    def by_name(self, path: str, options: Options) -> Options:
        """The options for files whose names say what they are, of which this is the first.

        A header may say otherwise, or that of one file may speak of all.
        """
        return options

    def multiple(self, options: Options, header: Header) -> bool:
        """Whether each file must be asked for its number of images; otherwise it is one.

        A first file of one image stands for all, so that 100,000 of them need not be opened;
        but not where it has an axis of time, which may be longer in another, or where some
        may have images that are not whole.
        """
        time = "T" in header.layout.get("axes", "")
        cut = options.nplanes not in (None, ALL_PLANES)
        return header.count != 1 or cut or time or options.incomplete is not None

    def count(self, path: str, options: Options, header: Header) -> int:
        """The number of images in another file of the recording."""
        with self.open(path, options, header) as handle:
            return handle.count

    def scratch_bytes(self, header: Header) -> int:
        """How much of a Scratch reading takes at most, for the memory budget."""
        return 0

    def stored_bytes(self, path: str) -> int:
        """The bytes on the disk of a file of the recording."""
        return os.stat(path).st_size

    def beside(self, path: str, options: Options, header: Header) -> Sequence[str]:
        """The further files that a file of the recording stands for, which need not be there."""
        return ()


def cut_planes(path: str, pages: int, options: Options, droppable: bool = False) -> tuple[int, int]:
    """(images, planes in each) for a file of `pages` pages.

    Parameters
    ----------
    path, pages, options
    droppable : bool
        Whether the pages lie one after the other, so that the last ones can be left out.

    Raises
    ------
    ValueError
        If nplanes does not divide the pages, unless what is left over can be and is to be
        dropped.
    """
    if options.nplanes is None or isinstance(options.nplanes, str):
        return 1, pages
    images, left = divmod(pages, options.nplanes)
    if left and not (droppable and options.incomplete):
        raise ValueError(
            f"{path}: its {pages} pages cannot be cut into images of nplanes="
            f"{options.nplanes} planes each: the last {left} are no whole image"
        )
    return images, options.nplanes


def check_claim(path: str, claimed: int, stored: int, what: str = "an image") -> None:
    """Refuse `what` if it claims far more bytes than its file could have compressed.

    The bound is loose (the best codecs reach some 30000:1 on constant images), but keeps a
    damaged header of a few bytes from asking for all the memory there is.
    """
    if claimed > max(MINIMUM_CLAIM, stored * LARGEST_RATIO):
        raise FormatError(
            f"{path}: claims {what} of {claimed} bytes, but the file has {stored}; "
            f"it is damaged or truncated"
        )
