"""Recordings of which the planes or channels lie in several files. Local: rank 0 asks.

A set says which files are read, how each of them is read as *pages*, and which image, plane and
channel each page is of. `arrange` makes of that, and of the user's choice, the table by which
`engine.sources.FileSource` puts images together.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..core.json_types import JsonObject
from ..errors import FormatError
from .base import Header, Reader
from .names import Named, Proposal, find_missing, list_pattern, propose
from .options import Options
from .page_order import C, T, Z, choose_channel, choose_pages

logger = logging.getLogger("mpimages")


@dataclass(frozen=True)
class FileSet(ABC):
    """Files that make up images together.

    Attributes
    ----------
    paths : list of str
    options : Options
        By which each file is read as pages.
    counted : bool
        Whether each file must be asked for its number of pages; otherwise it is one.
    channels : list of str
        The names of the channels; empty where none are told.
    metadata, found : dict
        As in `Header`.
    """

    paths: list[str]
    options: Options
    counted: bool
    channels: Sequence[str] = ()
    metadata: JsonObject = field(default_factory=dict)
    found: JsonObject = field(default_factory=dict)

    @abstractmethod
    def table(self, counts: np.ndarray, options: Options) -> np.ndarray:
        """The time, plane and channel of each page, (pages, 3), of files of so many pages.

        Raises
        ------
        FormatError
            If the files have not what the set says, and that is not to be dropped.
        """

    @abstractmethod
    def choose_channel(self, table: np.ndarray, options: Options) -> int:
        """The channel to read; ValueError where one must be chosen, or is not there."""

    def whole(self) -> int:
        """How many planes a whole image has; 0 where nothing says it."""
        return 0

    def describe(self, header: Header) -> Header:
        """The header of a page, with what is known of the recording."""
        return replace(
            header,
            metadata={**header.metadata, **self.metadata},
            found={**header.found, **self.found},
        )

    def arrange(self, counts: np.ndarray, options: Options, stop: int | None) -> np.ndarray:
        """(images, planes): which pages, counted over all files, make each image.

        Parameters
        ----------
        counts : (files,) int64 ndarray
            The number of pages of each file.
        options : Options
            What the user has asked for.
        stop : int, optional
            The image before which to stop: what is not whole behind it is no error.

        Raises
        ------
        FormatError, ValueError
            If they make no images, of the channel that is chosen.
        """
        try:
            pages = self._arrange(counts, options)
        except FormatError:
            if options.incomplete is not None or stop is None or stop < 0:
                raise
            whole = self._arrange(counts, replace(options, incomplete="drop"))
            if stop > len(whole):
                raise
            return whole
        if options.incomplete is not None:
            try:
                self._arrange(counts, replace(options, incomplete=None))
            except FormatError as error:
                logger.warning("left out, as it is incomplete: %s", error)
        return pages

    def _arrange(self, counts: np.ndarray, options: Options) -> np.ndarray:
        table = self.table(counts, options)
        channel = self.choose_channel(table, options)
        pages = choose_pages(self.paths[0], table, channel, options, self.whole())
        if pages.size == 0:
            raise FormatError(f"{self.paths[0]}: there is no whole image")
        return pages


def used_files(pages: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the files that are read, and the pages counted over these alone."""
    ends = np.cumsum(counts)
    files = np.searchsorted(ends, pages, side="right")
    used = np.flatnonzero(np.bincount(files.reshape(-1), minlength=len(counts)))
    skipped = np.cumsum(counts)[used] - np.cumsum(counts[used])
    moved = np.zeros(len(counts), dtype=np.int64)
    moved[used] = skipped
    return used, pages - moved[files]


@dataclass(frozen=True)
class NamedFiles(FileSet):
    """Files whose names say what they are: a pattern has been matched.

    Attributes
    ----------
    numbers : (files, 3) int64 ndarray
        As `Named.table`.
    """

    numbers: np.ndarray = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))

    def table(self, counts: np.ndarray, options: Options) -> np.ndarray:
        most = int(counts.max())
        table = np.repeat(np.where(self.numbers < 0, 0, self.numbers), counts, axis=0)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        table[:, T] = table[:, T] * most + np.arange(len(table)) - first
        return table

    def choose_channel(self, table: np.ndarray, options: Options) -> int:
        # Where the names say none, each file is asked for one of its own.
        chosen = (
            choose_channel(self.paths[0], len(self.channels), options.channel, self.channels)
            if self.channels
            else 0
        )
        rows = self.numbers[self.numbers[:, C] == chosen] if self.channels else self.numbers
        missing = find_missing(rows, self.channels)
        if missing.number and not (options.incomplete and missing.at_end):
            more = f" and {missing.number - len(missing.first)} more"
            advice = "; incomplete='drop' leaves out the last images" if missing.at_end else ""
            raise FormatError(
                f"{self.paths[0]}: of the files beside it there is none of "
                f"{'; '.join(missing.first)}{more if missing.number > len(missing.first) else ''}"
                f"{advice}"
            )
        return chosen


def named_set(reader: Reader, listed: Named, options: Options) -> NamedFiles:
    """The set of files that a pattern has found.

    Raises
    ------
    ValueError
        If arguments mean nothing for it.
    """
    has = listed.table.max(axis=0) >= 0
    own = replace(
        options,
        pattern=None,
        channel=None if has[C] else options.channel,
        flyback=None if has[Z] else options.flyback,
    )
    if "dims" not in reader.takes:
        own = replace(own, dims=None, shape=None)  # of the whole image, not of a plane
    plain = reader.by_name(listed.paths[0], own)
    first = reader.inspect(listed.paths[0], plain)
    if plain != own:  # the header still tells the size of a pixel
        try:
            told = reader.inspect(listed.paths[0], replace(own, nplanes=1))
            first = replace(first, metadata=told.metadata, found=told.found)
        except (FormatError, ValueError):
            pass
    own = plain
    if has[Z] and len(first.dims) > 2:
        raise ValueError(
            f"{listed.paths[0]}: has {first.dims[2]} planes, but {{z}} in pattern="
            f"{options.pattern!r} says that each file is of one; nplanes=1 takes the pages of a "
            f"file for images one after the other"
        )
    reader.check(own, first)
    sizes = {
        letter: len(set(listed.table[:, column].tolist()))
        for letter, column in (("C", C), ("Z", Z), ("T", T))
        if has[column]
    }
    channels = tuple(listed.channels) if has[C] else ()
    found: JsonObject = {"axes": {**first.found.get("axes", {}), **sizes}}
    if channels:
        found["channels"] = list(channels)
    return NamedFiles(
        listed.paths,
        own,
        reader.multiple(own, first),
        channels,
        metadata=first.metadata,
        found=found,
        numbers=listed.table,
    )


def find_set(
    reader: Reader, paths: Sequence[str], options: Options, complete: bool
) -> FileSet | None:
    """The set that the headers or the names of files tell; None where each stands for itself.

    Parameters
    ----------
    reader, paths, options
    complete : bool
        Whether the paths are all that there are in a directory, and not chosen by the user.

    Raises
    ------
    ValueError
        If the names say planes or channels, and this is not certain; it names the calls that
        settle it.
    """
    told = options.nchannels is not None or (
        options.nplanes is not None and options.channel is None
    )
    found = None if told else reader.find_set(paths, options, complete)
    if found is not None or told or len(paths) < 2 or not reader.single_planes:
        return found
    proposal = propose(paths)
    if proposal is None:
        return None
    if proposal.certain and not proposal.left_out:
        named = list_pattern(proposal.directory or ".", proposal.pattern)
        if len(named.paths) == len(paths):  # no others, which were not given, match it
            return named_set(reader, named, replace(options, pattern=proposal.pattern))
    raise ValueError(say_proposal(proposal, paths))


def say_proposal(proposal: Proposal, paths: Sequence[str]) -> str:
    """What names may mean, and the calls that settle it."""
    words = {"t": "times", "z": "planes", "c": "channels"}
    sizes = ", ".join(f"{n} {words[letter]}" for letter, n in proposal.extents.items())
    where = proposal.directory or "."
    movie = (
        f"pattern={proposal.alternative!r} each file"
        if proposal.alternative
        else "nplanes=1 each page"
    )
    rest = (
        f"; {proposal.left_out} files of other positions, or with other names, are left out"
        if proposal.left_out
        else ""
    )
    return (
        f"{where}: the names of its {len(paths)} files speak of {sizes}: with this directory as "
        f"dataPath pattern={proposal.pattern!r} reads them so, and {movie} as an image of a "
        f"movie{rest}"
    )
