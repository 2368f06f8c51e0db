"""What pages are: which image (T), plane (Z) and channel (C) each is of, and which are read.

Headers, arguments and the names of files say it in different words; here all of them become one
table with a row (t, z, c) for each page, -1 where a page is of none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import FormatError
from .options import Options

T, Z, C = range(3)  # the columns of a table of pages


@dataclass(frozen=True)
class PageOrder:
    """How pages take turns.

    Attributes
    ----------
    order : str
        C, Z and T, the fastest first.
    channels : int
    planes : int
        Of each volume, those that are left out too; 0: all that there are.
    flyback : tuple of int
        The numbers of the planes that are left out.
    repeats : int
        How many images are taken of a plane before the next one. They follow each other as
        images, where `order` is CZT. Of the planes that are left out, which are the last then,
        there is one.
    """

    order: str = "CZT"
    channels: int = 1
    planes: int = 0
    flyback: tuple[int, ...] = ()
    repeats: int = 1

    @property
    def frames(self) -> int:
        """How many pages of one channel a volume takes: each plane `repeats` times, and once those
        that are left out; 0: all that there are."""
        left_out = len(self.flyback)
        return (self.planes - left_out) * self.repeats + left_out if self.planes else 0

    @property
    def cycle(self) -> int:
        """How many pages there are of one volume, all channels and planes counted; 0: all."""
        return self.channels * self.frames

    def whole(self, count: int) -> int:
        """How many of `count` pages make whole volumes."""
        return count // self.cycle * self.cycle if self.cycle else count

    def table(self, count: int) -> np.ndarray:
        """(count, 3): the time, plane and channel of each of `count` pages.

        Pages that are left over, as they make no whole turn, are there: their image is not whole.
        Those of planes that are left out are of none.
        """
        page = np.arange(count, dtype=np.int64)
        found = np.empty((count, 3), dtype=np.int64)
        if self.repeats > 1:
            frame, found[:, C] = np.divmod(page, self.channels)
            volume, frame = np.divmod(frame, self.frames)
            times = [1 if plane in self.flyback else self.repeats for plane in range(self.planes)]
            found[:, Z] = np.repeat(np.arange(self.planes), times)[frame]
            found[:, T] = volume * self.repeats + np.concatenate([range(n) for n in times])[frame]
            return self._without_flyback(found)
        planes = self.planes or max(1, count // self.channels)
        sizes = {"C": self.channels, "Z": planes, "T": -(-count // (self.channels * planes))}
        for letter in self.order[:-1]:
            page, found[:, "TZC".index(letter)] = np.divmod(page, max(1, sizes[letter]))
        found[:, "TZC".index(self.order[-1])] = page
        return self._without_flyback(found)

    def _without_flyback(self, table: np.ndarray) -> np.ndarray:
        for plane in self.flyback:
            table[table[:, Z] == plane] = -1
        return table


def order_of(options: Options) -> PageOrder:
    """The order that the arguments say, for pages of which nothing else is known."""
    planes = options.nplanes if isinstance(options.nplanes, int) else 0
    return PageOrder(options.order or "CZT", options.nchannels or 1, planes)


def pages_of_channel(path: str, table: np.ndarray, channel: int) -> np.ndarray:
    """The pages of one channel, by time and plane."""
    chosen = np.flatnonzero(table[:, C] == channel)
    if chosen.size == 0 and len(table):
        raise ValueError(
            f"{path}: none of its pages is of channel {channel}: it is one file of several; "
            f"choose the files of one channel by a pattern"
        )
    return chosen[np.lexsort((table[chosen, Z], table[chosen, T]))]


def choose_channel(path: str, channels: int, channel: int | None, names: Sequence[str] = ()) -> int:
    """The channel to read, of so many, which may have names.

    Raises
    ------
    ValueError
        If one must be chosen, or there is no such channel.
    """
    named = f" ({', '.join(f'{i} {name}' for i, name in enumerate(names))})" if names else ""
    if channel is None:
        if channels == 1:
            return 0
        raise ValueError(
            f"{path}: has {channels} channels{named}; choose one by channel=0 to "
            f"channel={channels - 1}"
        )
    if channel >= channels:
        raise ValueError(
            f"{path}: there is no channel {channel}: it has {channels} "
            f"channel{'s' if channels > 1 else ''}{named}, counted from 0"
        )
    return channel


def choose_pages(
    path: str, table: np.ndarray, channel: int, options: Options, whole: int = 0
) -> np.ndarray:
    """(images, planes): the numbers of the pages that are read, by time and plane.

    Parameters
    ----------
    path : str
        For messages.
    table : (pages, 3) int64 ndarray
    channel : int
        Which channel's.
    options : Options
        Its flyback and incomplete are heeded.
    whole : int
        How many planes a whole image has; 0: as many as the fullest.

    Raises
    ------
    FormatError
        If the pages make no images of equal planes, and these are not to be dropped.
    ValueError
        If there is no page of the channel, or flyback leaves no plane or names one that is not
        there.
    """
    chosen = pages_of_channel(path, table, channel)
    if options.flyback is not None:
        present = _numbered(table[chosen, Z])[0]
        depths = np.arange(whole) if whole > len(present) else present
        left_out = planes_left_out(path, depths, options)
        for plane in left_out:
            chosen = chosen[table[chosen, Z] != plane]
        whole = len(depths) - len(left_out)
    times, time = _numbered(table[chosen, T])
    if options.incomplete:
        number = np.bincount(time, minlength=1)
        whole = whole or int(number.max(initial=1))
        chosen = chosen[number[time] == whole]
        if chosen.size == 0:
            return np.empty((0, whole), dtype=np.int64)
        times, time = _numbered(table[chosen, T])
    depths, depth = _numbered(table[chosen, Z])
    pages = np.full((times.size, max(depths.size, whole)), -1, dtype=np.int64)
    pages[time, depth] = chosen
    if chosen.size != pages.size or (pages < 0).any():
        raise FormatError(
            f"{path}: of channel {channel} it has {chosen.size} pages, which are not "
            f"{times.size} times of {pages.shape[1]} planes each; nplanes=1 reads single planes"
        )
    return pages


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different values, ascending, and the place of each value among them. np.unique would
    import np.ma."""
    ordered = np.sort(values)
    different = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return different, np.searchsorted(different, values)


def planes_left_out(path: str, depths: np.ndarray, options: Options) -> list[int]:
    """Those of a volume's planes that flyback leaves out."""
    flyback, planes = options.flyback, depths.tolist()
    if flyback is None:
        return []
    places: Sequence[int] = (
        range(len(planes))[max(0, len(planes) - flyback) :] if isinstance(flyback, int) else flyback
    )
    if len(places) >= len(planes) or min(places) < 0 or max(places) >= len(planes):
        raise ValueError(
            f"{path}: flyback={flyback} leaves out planes of volumes of {len(planes)}: "
            f"it must name planes of these, and leave one at least"
        )
    return [planes[place] for place in places]
