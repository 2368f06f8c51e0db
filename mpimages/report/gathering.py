"""What a report is made of, found in two passes over the records by all ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..spmd.agreement import allgather_rows
from .counts import Counts
from .handing import handed
from .lines import Profiles, sampled_images
from .neighbours import PixelStatistics, pixel_statistics
from .per_image import COLUMNS, FrameMeasures, mean_difference
from .shifts import Reduced, Region, ShiftFinder

__all__ = ["Recording", "active_pixels", "gather"]

# The reference for shifts is the median of so many images from the middle, from so large a part of
# the recording: little has moved meanwhile, and neither a blank image nor a cell that fires for
# some of them matters.
REFERENCE_IMAGES = 15
REFERENCE_PART = 0.15
# How many pixels' series are shown, and how far apart they are: a part of the image's shorter side.
ACTIVE = 12
APART = 1 / 12


@dataclass
class Recording:
    """The same on all ranks.

    Attributes
    ----------
    dims, dtype
        Of an image.
    keys : (n,) int64 ndarray
    blank : (n,) bool ndarray
        Which images are blank; the statistics of the pixels are of the others, if there are any.
    pixels : PixelStatistics
    counts : Counts
    table : (n, len(frames.COLUMNS)) float64 ndarray
    region : Region or None
        Where shifts were looked for; None where the images are too small, or there is one.
    active : (m,) int64 ndarray
        Flat indices of the most active pixels, the most active first.
    series : (n, m) float64 ndarray
        Theirs.
    profiles : Profiles
    sampled : (k,) int64 ndarray
        Which images are looked at for line noise.
    lines : (k, profiles.width) float64 ndarray
        Their profiles.
    """

    dims: Shape
    dtype: np.dtype
    keys: np.ndarray
    blank: np.ndarray
    pixels: PixelStatistics
    counts: Counts
    table: np.ndarray
    region: Region | None
    active: np.ndarray
    series: np.ndarray
    profiles: Profiles
    sampled: np.ndarray
    lines: np.ndarray

    def column(self, name: str) -> np.ndarray:
        """One number for each image; see `per_image.FrameMeasures`."""
        return self.table[:, COLUMNS.index(name)]

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.keys)


def gather(action: Action, images: Selection) -> tuple[Recording, Settled]:
    """Two passes over the records; three where some are blank. Collective.

    Every number is computed from one image alone, or by sums that do not depend on the order: it
    is the same for every number of ranks.

    Returns
    -------
    Recording, Settled
        What was found; the images, as they are known then.

    Raises
    ------
    ValueError
        Where the records are neither images nor volumes.
    """
    comm = action.comm
    pixels, places, known = pixel_statistics(action, images)
    region = Region.of(known.dims, known.count)
    finder = _shift_finder(action, known, region)
    with action.together():
        low, high = _range(pixels)
        blank = np.zeros(known.count, dtype=bool)
        blank[places] = True
    if blank.any() and not blank.all():  # one would outweigh whatever the others do
        pixels, _, _ = pixel_statistics(action, known.take(np.flatnonzero(~blank)))
    with action.together():
        active = active_pixels(pixels, known.count)
        profiles, sampled = Profiles(known.dims), sampled_images(known.count)
        whose = known.partition.restricted(sampled)
        mine = sampled[slice(*whose.bounds(comm.rank))] - known.partition.bounds(comm.rank)[0]
        measures = FrameMeasures(
            known.partition.counts[comm.rank],
            region,
            finder,
            Counts(known.dtype, low, high),
            active,
            profiles,
            mine,
        )
    action.stream(known, lambda _, batch: measures.add(batch), "frames")
    before = handed(action, known.partition, measures.last, 1)
    with action.together():
        if before is not None and measures.first is not None:
            measures.column("difference")[0] = mean_difference(before[None], measures.first[None])[
                0
            ]
        keys = np.asarray(known.keys, dtype=np.int64)
    measures.counts.merge(comm)
    recording = Recording(
        known.dims,
        known.dtype,
        keys,
        blank,
        pixels,
        measures.counts,
        allgather_rows(comm, measures.table, known.partition),
        region if finder else None,
        active,
        allgather_rows(comm, measures.series, known.partition),
        profiles,
        sampled,
        allgather_rows(comm, measures.lines, whose),
    )
    return recording, known


def _range(pixels: PixelStatistics) -> tuple[float, float]:
    """The least and the greatest value of all images, as far as they are finite."""
    low, high = float(pixels.min.min()), float(pixels.max.max())
    return (low, high) if np.isfinite(high - low) else (low / 4, high / 4)


def _shift_finder(action: Action, images: Settled, region: Region) -> ShiftFinder | None:
    """With the middle of the recording as reference; None where nothing can move. Collective."""
    count = images.count
    if count < 2 or not region.is_enough:
        return None
    step = max(1, int(count * REFERENCE_PART) // REFERENCE_IMAGES)
    number = min(count, REFERENCE_IMAGES)
    places = (count - number * step) // 2 + step * np.arange(number)
    pictures = action.gather(images.then(Reduced(region)).take(places))
    with action.together():
        return ShiftFinder(np.median(pictures, axis=0), region.bins)


def active_pixels(pixels: PixelStatistics, count: int) -> np.ndarray:
    """The pixels that fluctuate most together with their neighbours. Local.

    Those of the highest product of stdev and local correlation, at least a twelfth of the
    image's shorter side (and three pixels) apart, so that not all lie in one cell.

    Returns
    -------
    (m,) int64 ndarray
        Flat indices, m <= 12; none for a single image, or where no pixel changes.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        score = pixels.stdev * np.nan_to_num(pixels.correlation)
    if not (score > 0).any():
        score = pixels.stdev.copy()
    score[~np.isfinite(score)] = 0
    apart = max(3, round(min(score.shape[:2]) * APART))
    found: list[int] = []
    while count > 1 and len(found) < ACTIVE:
        best = int(score.argmax())
        place = np.unravel_index(best, score.shape)
        if not score[place] > 0:
            break
        found.append(best)
        box = tuple(slice(max(0, i - apart + 1), i + apart) for i in place[:2])
        score[box] = 0
    return np.array(found, dtype=np.int64)
