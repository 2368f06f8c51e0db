"""What a registration does to a recording, measured in one pass more and on some images again.

Where images are lost that are not blank, the mean of the others takes one pass more.

While the images are moved back, each is compared with the reference, before and after, and added to
the mean of its eighth of the recording. Then the mean of what was moved back is known, and up to a
hundred of the images are registered once more: against the mean of all *others*, so that their own
noise does not hold them in place.

Whether the recording drifts to another depth is told by the means of its eighths. Each is made
twice, of every other image. With r(a, b) the correlation of two such means, the likeness of two
eighths is r(a, b) over the root of r(a, a') r(b, b'), where a' is the other half of a: the
correlation without what the noise takes from it (C. Spearman, Am. J. Psychol. 15, 1904). It is near
1 as long as the same is seen, however much of the light has gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np

from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Settled
from ..registration.finders import Options
from ..registration.fitting import Small, fit, held, shows_something, spread_over
from ..registration.model import is_lost
from ..registration.pictures import LEAST, Layout, window_of
from ..registration.steps import Registered
from ..spmd.agreement import allgather_rows
from ..spmd.collectives import allreduce
from ..statistics.passes import statistics

if TYPE_CHECKING:
    from ..registration.model import RegistrationModel

__all__ = ["EIGHTHS", "Correction", "correct", "likeness", "sharpness"]

# Images that are registered once more, at most.
AGAIN = 100
# Parts of the recording whose means are compared.
EIGHTHS = 8
# Images that each half of such a part has at least.
LEAST_OF_HALF = 2
# Halves of one eighth that correlate less are noise.
TELLING = 0.2
# Bins around each other whose mean is taken away: light and vignetting stay at any depth.
AROUND = 9
# In bins: what is left out at the edges of what is lit, and where the window rises.
MARGIN, RISE = 2.0, 4.0


@dataclass(frozen=True)
class Correction:
    """The same on all ranks.

    Attributes
    ----------
    method : str
    shifts : (n, blocks, axes) float64 ndarray
        Of the recording's images; NaN where one is lost.
    quality : (n,) float64 ndarray
    lost : (n,) bool ndarray
    borders : dict
        ``top``, ``bottom``, ``left``, ``right``: rows or columns that some image does not cover.
    before, after : (n,) float64 ndarray
        The correlation of each image with the reference; NaN of what is even, or was left out.
    pixels : int
        How many bins were correlated.
    raw, moved : ndarray of the images' dims
        The mean of the images that are placed, before and after; where none is, of those that are
        not blank.
    inner : tuple of slice
        The pixels that all images cover.
    again : (m,) int64 ndarray
        Places of the images that were registered once more.
    residual : (m, blocks, axes) float64 ndarray
        What they were found to be shifted by; NaN where they were lost.
    likeness : (8, 8) float64 ndarray
        Of the eighths of the recording; NaN where it cannot be told.
    """

    method: str
    shifts: np.ndarray
    quality: np.ndarray
    lost: np.ndarray
    borders: dict[str, int]
    before: np.ndarray
    after: np.ndarray
    pixels: int
    raw: np.ndarray
    moved: np.ndarray
    inner: tuple[slice, ...]
    again: np.ndarray
    residual: np.ndarray
    likeness: np.ndarray


def correct(
    action: Action, images: Settled, blank: np.ndarray, raw: np.ndarray, model: RegistrationModel
) -> Correction:
    """Move the images back, and measure. Collective.

    Parameters
    ----------
    blank : (n,) bool ndarray
        Which are left out, unless all are.
    raw : ndarray of the images' dims
        The mean of the others.
    """
    with action.together():
        step = Registered(model, "linear", None, None, (1.0,) * len(images.dims))
        places = step.places(images.keys)
        shifts = model.shifts[places].reshape(len(places), -1, model.shifts.shape[-1])
        lost = is_lost(shifts)
        looked_at = np.full(images.count, True) if blank.all() else ~blank
        placed = np.flatnonzero(looked_at & ~lost)
        borders = _borders(model, shifts[~lost])
        inner = _inner(images.dims, borders)
        part = np.full(len(model.keys), -1)
        part[places[placed]] = np.arange(len(placed)) * EIGHTHS // max(1, len(placed))
        watched = _Watched(model, inner, part)
        table = np.full((images.count, 2), np.nan)
        after = raw
    if len(placed):
        some = images.take(placed)
        moved = cast(Settled, some.then(watched))
        after = statistics(action, moved, ["mean"]).array("mean")
        table[placed] = _gathered(action, watched, places[placed], some)
    unmoved = np.flatnonzero(looked_at & lost)
    if len(unmoved):
        some = images.take(unmoved)
        action.stream(some, partial(watched.look_at_unmoved, places[unmoved]))
        table[unmoved] = _gathered(action, watched, places[unmoved], some)
    if len(unmoved) and len(placed):  # what cannot be placed may be of any brightness
        raw = statistics(action, images.take(placed), ["mean"]).array("mean")
    sums = allreduce(action.comm, watched.seen.sums)
    with action.together():
        counts = np.bincount(part[part >= 0], minlength=EIGHTHS)
        similar = likeness(sums, counts)
    again, residual = _residual(action, images, step, model, after, placed)
    return Correction(
        model.method,
        shifts,
        model.quality[places],
        lost,
        borders,
        table[:, 0],
        table[:, 1],
        watched.reference.size,
        raw,
        after,
        inner,
        again,
        residual,
        similar,
    )


def _gathered(action: Action, watched: _Watched, places: np.ndarray, images: Settled) -> np.ndarray:
    """The correlations of some images, of which each rank has its own, on all ranks. Collective."""
    own = places[slice(*images.partition.bounds(action.comm.rank))]
    return allgather_rows(action.comm, watched.seen.table[own], images.partition)


class _Seen:
    """What a rank has seen of its images.

    No array of the step itself: a step's arrays are its parameters, which all ranks have alike.

    Attributes
    ----------
    there : (n,) ndarray of bool
        Whether an image was seen.
    table : (n, 2) float64 ndarray
        Its correlation with the reference, before and after.
    sums : (EIGHTHS, 2) + dims int64 ndarray
        Sums of small images, of the halves of each eighth.
    """

    def __init__(self, count: int, dims: Shape) -> None:
        self.there = np.zeros(count, bool)
        self.table = np.full((count, 2), np.nan)
        self.sums = np.zeros((EIGHTHS, 2, *dims), np.int64)


class _Watched(Registered):
    """Moves images back, and keeps what each shows before and after.

    An image that comes a second time, as where memory is short, is not counted again.
    """

    def __init__(
        self, model: RegistrationModel, inner: tuple[slice, ...], part: np.ndarray
    ) -> None:
        super().__init__(model, "linear", None, None, (1.0,) * len(model.dims))
        self.inner = inner
        self.part = part
        reference = np.ascontiguousarray(model.reference[inner])
        self.layout = Layout.of(reference.shape)
        self.small = Small(self.layout)
        self.reference = self.layout.pictures(reference[None])[0].astype(np.float64)
        # By its place among all, every other image of a part belongs to the one or the other half.
        self.half = np.arange(len(model.keys)) % 2
        known = np.flatnonzero(part >= 0)
        self.half[known] = np.arange(len(known)) % 2
        self.seen = _Seen(len(model.keys), self.small.dims(None))

    def run_into(
        self, keys: Sequence[object] | np.ndarray, batch: np.ndarray, out: np.ndarray
    ) -> None:
        super().run_into(keys, batch, out)
        for i, place in enumerate(self.places(keys)):
            if not self.seen.there[place]:
                self.seen.there[place] = True
                self._look(int(place), batch[i], out[i])

    def look_at_unmoved(self, places: np.ndarray, first: int, batch: np.ndarray) -> None:
        """Keep what lost images show: the same before and after."""
        for i, image in enumerate(batch):
            self.seen.table[places[first + i]] = self._correlation(image[self.inner])

    def _look(self, place: int, raw: np.ndarray, moved: np.ndarray) -> None:
        for column, image in enumerate((raw, moved)):
            self.seen.table[place, column] = self._correlation(image[self.inner])
        if self.part[place] >= 0:
            few = self.small.run((), np.ascontiguousarray(moved[self.inner])[None])[0]
            self.seen.sums[self.part[place], self.half[place]] += few

    def _correlation(self, image: np.ndarray) -> float:
        """Of an image with the reference: both have mean 0 and standard deviation 1."""
        picture = self.layout.pictures(np.ascontiguousarray(image)[None])[0]
        if not picture.any():
            return np.nan
        return float((self.reference * picture).mean())


def _borders(model: RegistrationModel, shifts: np.ndarray) -> dict[str, int]:
    """How many rows and columns at each side some of these images do not cover. Local."""
    ends = dict.fromkeys(("top", "bottom", "left", "right"), 0)
    if len(shifts) == 0:
        return ends
    grid = shifts.reshape(len(shifts), -1, len(model.rows), len(model.columns), shifts.shape[-1])
    if model.method != "piecewise":
        grid = shifts[:, :, None, None]
    sides = {
        "top": -grid[:, :, 0, :, 0],
        "bottom": grid[:, :, -1, :, 0],
        "left": -grid[:, :, :, 0, 1],
        "right": grid[:, :, :, -1, 1],
    }
    for axis, (name, by) in enumerate(sides.items()):
        ends[name] = int(min(model.dims[axis // 2], max(0, np.ceil(by.max() - 1e-9))))
    return ends


def _inner(dims: Shape, borders: dict[str, int]) -> tuple[slice, ...]:
    """The pixels that all images cover; all pixels where too few are left. Local."""
    rows = slice(borders["top"], dims[0] - borders["bottom"])
    columns = slice(borders["left"], dims[1] - borders["right"])
    least = [min(LEAST, n) for n in dims[:2]]
    if rows.stop - rows.start < least[0] or columns.stop - columns.start < least[1]:
        rows, columns = slice(0, dims[0]), slice(0, dims[1])
    return (rows, columns)


def likeness(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """How much the eighths of a recording show the same. Local.

    Parameters
    ----------
    sums : (8, 2, rows, columns) int64 ndarray
        Of small pictures, every other one of each eighth.
    counts : (8,) int ndarray
        How many images each eighth has.

    Returns
    -------
    (8, 8) float64 ndarray
        NaN where an eighth has too few images, or shows no more than noise.
    """
    from scipy.ndimage import uniform_filter

    found = np.full((EIGHTHS, EIGHTHS), np.nan)
    # Of the light of all, which no eighth's noise decides.
    window = window_of(sums.sum(axis=(0, 1)).astype(np.float64), MARGIN, RISE)
    if counts.min() < 2 * LEAST_OF_HALF or not window.any():
        return found
    flat = []
    for one in sums.reshape(-1, *sums.shape[2:]).astype(np.float64):
        one = one - uniform_filter(one, AROUND, mode="nearest")
        one = (one - (one * window).sum() / window.sum()) * window
        size = np.sqrt((one**2).sum())
        flat.append(one / size if size > 0 else one)
    halves = np.array(flat).reshape(EIGHTHS, 2, *sums.shape[2:])
    own = np.array([float((a * b).sum()) for a, b in halves])
    if own.min() < TELLING:
        return found
    for i in range(EIGHTHS):
        for j in range(EIGHTHS):
            pair = (halves[i, 0] * halves[j, 1]).sum() + (halves[i, 1] * halves[j, 0]).sum()
            found[i, j] = float(pair) / 2 / np.sqrt(own[i] * own[j])
    return found


def _residual(
    action: Action,
    images: Settled,
    step: Registered,
    model: RegistrationModel,
    mean: np.ndarray,
    placed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What some images are still shifted by, against the mean of all others. Collective.

    Parameters
    ----------
    mean : ndarray of the images' dims
        Of all that are placed, moved back.
    placed : (k,) int64 ndarray
    """
    with action.together():
        again = placed[spread_over(len(placed), min(AGAIN, len(placed) // 2))]
        method = "piecewise" if len(images.dims) == 2 else model.method
        none = again[:0], np.empty((0, 1, model.shifts.shape[-1]))
    if len(again) == 0 or min(images.dims[:2]) < LEAST:
        return none
    some = held(action, cast(Settled, images.take(again).then(step)))
    own = statistics(action, some, ["mean"]).array("mean")
    with action.together():
        others = (mean * len(placed) - own * len(again)) / (len(placed) - len(again))
        tells = np.isfinite(others).all() and shows_something(images.dims, others)
        options = Options.checked(images.dims, method, None, None, None)
    if not tells:
        return none
    found = fit(action, some, others, options, None).shifts
    return again, found.reshape(len(again), -1, found.shape[-1])


def sharpness(mean: np.ndarray) -> float:
    """The crispness of a mean image: the Frobenius norm of its gradient. Local.

    E. A. Pnevmatikakis and A. Giovannucci, J. Neurosci. Methods 291, 2017. The gradient is that
    within planes, and the norm is over the root of the number of pixels.
    """
    along = np.gradient(np.asarray(mean, dtype=np.float64), axis=(0, 1))
    square = sum(np.nan_to_num(one, posinf=0.0, neginf=0.0) ** 2 for one in along)
    return float(np.sqrt(np.mean(square)))
