"""The second pass: what is found for each image by itself and against the one before. Local."""

from __future__ import annotations

import numpy as np

from ..core.crc32 import crc32
from ..engine.series_steps import statistic_rows
from .counts import Counts
from .lines import Profiles
from .neighbours import absolute_difference
from .shifts import Region, ShiftFinder

__all__ = ["COLUMNS", "FrameMeasures", "mean_difference"]

COLUMNS = ("mean", "min", "max", "finite", "difference", "down", "right", "strength", "checksum")
# Images that are worked on at a time: they shall stay in the cache.
PIECE_BYTES = 1 << 20


class FrameMeasures:
    """One rank's images, one after the other.

    Parameters
    ----------
    count : int
        How many this rank has.
    region, finder : Region, ShiftFinder or None
        How shifts are found; None: not at all.
    counts : Counts
    pixels : int64 ndarray
        Flat indices of the pixels whose series are kept.
    profiles : Profiles
    sampled : (m,) int64 ndarray
        Which of this rank's images are looked at for line noise, ascending, from 0.

    Attributes
    ----------
    table : (count, len(COLUMNS)) float64 ndarray
        ``mean``, ``min``, ``max`` of the finite values and which part is ``finite``;
        ``difference``, the mean absolute difference to the image before (NaN for this rank's
        first); ``down``, ``right`` and ``strength`` as in `ShiftFinder.find`; the CRC-32.
    series : (count, len(pixels)) float64 ndarray
    lines : (len(sampled), profiles.width) float64 ndarray
        Of the sampled images.
    first, last : ndarray or None
        This rank's own, flat.
    """

    def __init__(
        self,
        count: int,
        region: Region,
        finder: ShiftFinder | None,
        counts: Counts,
        pixels: np.ndarray,
        profiles: Profiles,
        sampled: np.ndarray,
    ) -> None:
        self.table = np.full((count, len(COLUMNS)), np.nan)
        self.series = np.empty((count, len(pixels)))
        self.region = region
        self.finder = finder
        self.counts = counts
        self.pixels = pixels
        self.profiles = profiles
        self.sampled = sampled
        self.lines = np.empty((len(sampled), profiles.width))
        self.first: np.ndarray | None = None
        self.last: np.ndarray | None = None
        self._done = 0

    def column(self, name: str) -> np.ndarray:
        """A view of one column of the table."""
        return self.table[:, COLUMNS.index(name)]

    def add(self, batch: np.ndarray) -> None:
        """Take in the next images, (k,) + dims."""
        step = max(1, PIECE_BYTES * len(batch) // max(1, batch.nbytes))
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is left out later
            for i in range(0, len(batch), step):
                self._add(np.ascontiguousarray(batch[i : i + step]))

    def _add(self, piece: np.ndarray) -> None:
        flat = piece.reshape(len(piece), -1)
        here = slice(self._done, self._done + len(piece))
        self._values(flat, here)
        self.column("difference")[here] = self._differences(flat)
        self.column("checksum")[here] = [crc32(row.data.cast("B")) for row in flat]
        if self.finder is not None:
            at = COLUMNS.index("down")
            self.table[here, at : at + 3] = self.finder.find(self.region.reduce(piece))
        self.series[here] = flat[:, self.pixels]
        first, stop = np.searchsorted(self.sampled, (here.start, here.stop))
        for i in range(first, stop):
            self.lines[i] = self.profiles.of(piece[self.sampled[i] - here.start])
        self.counts.add(flat)
        if self.first is None:
            self.first = flat[0].copy()
        self.last = flat[-1].copy()
        self._done += len(piece)

    def _values(self, flat: np.ndarray, here: slice) -> None:
        for name in ("mean", "min", "max"):
            self.column(name)[here] = statistic_rows(name, flat)
        self.column("finite")[here] = 1.0
        if flat.dtype.kind != "f":
            return
        for i, row in enumerate(flat):
            finite = row[np.isfinite(row)]
            if len(finite) < len(row):
                self.table[here.start + i, :4] = (
                    (
                        finite.mean(dtype=np.float64),
                        finite.min(),
                        finite.max(),
                        len(finite) / len(row),
                    )
                    if len(finite)
                    else (np.nan, np.nan, np.nan, 0.0)
                )

    def _differences(self, flat: np.ndarray) -> np.ndarray:
        found = np.full(len(flat), np.nan)
        if self.last is not None:
            found[0] = mean_difference(self.last[None], flat[:1])[0]
        found[1:] = mean_difference(flat[:-1], flat[1:])
        return found


def mean_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean of abs(a - b) along the last axis of (k, width), over what is finite. Float64."""
    if len(a) == 0:
        return np.empty(0)
    if a.dtype.kind in "iu":
        whole = np.empty(a.shape, np.dtype(f"u{a.itemsize}"))
        absolute_difference(a, b, whole)
        return statistic_rows("mean", whole)
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(a.astype(np.float64) - b)
        found = statistic_rows("mean", difference)
        for i in np.flatnonzero(~np.isfinite(found)):
            finite = difference[i][np.isfinite(difference[i])]
            found[i] = finite.mean() if len(finite) else np.nan
    return found
