"""What pages are: which image (T), plane (Z) and channel (C) each is of, and which are read.

Headers, arguments and the names of files say it in different words; here all of them become one
table with a row (t, z, c) for each page, -1 where a page is of none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import FormatError
from .options import ALL_PLANES, Options

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
        images, where `order` is CZT.
    """

    order: str = "CZT"
    channels: int = 1
    planes: int = 0
    flyback: tuple[int, ...] = ()
    repeats: int = 1

    @property
    def cycle(self) -> int:
        """How many pages there are of one image, all channels and planes counted; 0: all."""
        return self.channels * self.planes * self.repeats

    def table(self, count: int) -> np.ndarray:
        """(count, 3): the time, plane and channel of each of `count` pages.

        Pages that are left over, as they make no whole turn, are there: their image is not whole.
        """
        planes = self.planes or max(1, count // (self.channels * self.repeats))
        sizes = {"C": self.channels, "Z": planes, "T": 0}
        cycle = self.channels * planes * self.repeats
        sizes["T"] = -(-count // cycle) if count else 0
        page = np.arange(count, dtype=np.int64)
        found = np.empty((count, 3), dtype=np.int64)
        if self.repeats > 1:
            page, found[:, C] = np.divmod(page, self.channels)
            page, repeat = np.divmod(page, self.repeats)
            page, found[:, Z] = np.divmod(page, planes)
            found[:, T] = page * self.repeats + repeat
            return found
        for letter in self.order:
            column = "TZC".index(letter)
            if letter == self.order[-1]:
                found[:, column] = page
            else:
                page, found[:, column] = np.divmod(page, sizes[letter])
        return found


def order_of(options: Options, planes: int = 0) -> PageOrder:
    """The order that the arguments say, for pages of which nothing else is known.

    Parameters
    ----------
    options : Options
    planes : int
        Of each volume where nplanes is not given; 0: all.
    """
    if isinstance(options.nplanes, int):
        planes = options.nplanes
    elif options.nplanes == ALL_PLANES:
        planes = 0
    return PageOrder(options.order or "CZT", options.nchannels or 1, planes)


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
        If flyback leaves no plane, or names one that is not there.
    """
    chosen = np.flatnonzero(table[:, C] == channel)
    depths = np.unique(table[chosen, Z])
    left_out = _left_out(path, depths, options)
    if left_out:
        chosen = chosen[~np.isin(table[chosen, Z], left_out)]
        depths = depths[~np.isin(depths, left_out)]
        whole -= len(left_out) if whole else 0
    if options.incomplete:
        times, number = np.unique(table[chosen, T], return_counts=True)
        whole = whole or int(number.max(initial=1))
        chosen = chosen[np.isin(table[chosen, T], times[number == whole])]
        if chosen.size == 0:
            return np.empty((0, whole), dtype=np.int64)
    times, time = np.unique(table[chosen, T], return_inverse=True)
    depths, depth = np.unique(table[chosen, Z], return_inverse=True)
    pages = np.full((times.size, depths.size), -1, dtype=np.int64)
    pages[time, depth] = chosen
    if chosen.size != pages.size or (pages < 0).any():
        raise FormatError(
            f"{path}: of channel {channel} it has {chosen.size} pages, which are not "
            f"{times.size} times of {depths.size} planes each; nplanes=1 reads single planes"
        )
    return pages


def _left_out(path: str, depths: np.ndarray, options: Options) -> list[int]:
    """The planes that flyback leaves out."""
    if options.flyback is None:
        return []
    planes: list[int] = depths.tolist()
    if isinstance(options.flyback, int):
        found = planes[max(0, len(planes) - options.flyback) :]
    else:
        found = [planes[i] for i in options.flyback if i < len(planes)]
    if len(found) != (
        options.flyback if isinstance(options.flyback, int) else len(options.flyback)
    ) or len(found) == len(planes):
        raise ValueError(
            f"{path}: flyback={options.flyback} leaves out planes of volumes of {len(planes)}: "
            f"it must leave one at least"
        )
    return found
