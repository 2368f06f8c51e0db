"""The action that finds where images lie: a reference, the power of some, then all images."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np

from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Settled
from ..engine.sources import MemorySource
from ..spmd import memory_limit
from ..spmd.agreement import allgather_rows
from ..spmd.collectives import broadcast
from ..statistics.passes import statistics
from ..statistics.sample import priorities
from .finders import Finder, Options, Spectra, make_finder, numbers_of
from .model import RegistrationModel, is_lost
from .pictures import LEAST, Layout
from .steps import Registered

__all__ = [
    "SAMPLE",
    "SPREAD",
    "Small",
    "build_reference",
    "check_dims",
    "check_shifts_fit",
    "fit",
    "held",
    "images_read",
    "shifts_bytes",
    "shows_something",
    "spread_over",
]

# Images whose mean power weights the correlation, and at most how many begin a reference.
SAMPLE, BEGINNING = 64, 20
# Images of a reference that nobody has asked for.
SPREAD = 400
# Which half of the images of a reference is placed, one after the other. With hardly any light two
# more bring them closer by a tenth, and read all of them once more.
PLACINGS = (1, 0, 1)
# Side of the small pictures that are compared to begin a reference, and the levels of their values.
SIDE, LEVELS = 64, 100
# Part of the budget that the images of a reference may take.
PART = 4
# Bytes of a batch's pictures, and of its blocks', that are transformed at a time: at most so many,
# and this part of the budget.
PIECE_BYTES, PIECE_PART = 8 << 20, 16


def check_dims(name: str, dims: Shape) -> None:
    """Raise ValueError unless images of these dims can be compared. Local."""
    if len(dims) not in (2, 3) or min(dims[:2]) < LEAST:
        raise ValueError(
            f"{name} needs images or volumes of at least {LEAST} rows and {LEAST} columns, the "
            f"images have dims {dims}"
        )


def shifts_bytes(count: int, dims: Shape, options: Options) -> int:
    """The bytes of all shifts of a fit, which each rank holds. Local arithmetic."""
    return count * numbers_of(dims, options) * np.dtype(np.float64).itemsize


def check_shifts_fit(count: int, dims: Shape, options: Options, memory: int) -> None:
    """Raise MemoryError where all shifts do not fit into the budget. Local arithmetic.

    They are there twice while the model is made of them.
    """
    need = 2 * shifts_bytes(count, dims, options)
    memory_limit.check_fits(
        need,
        memory,
        f"fitRegistration: the model of the shifts of {count:,} images",
        "give the context more with memory=, bin the images by timeBin first"
        + (", or take larger blocks" if options.method == "piecewise" else ""),
    )


def spread_over(count: int, number: int, seed: int | None = None) -> np.ndarray:
    """So many places among `count`, ascending: one of each of as many equal parts. Local.

    The middle of each part, or, with a seed, one that a hash chooses, so that places do not
    keep time with what repeats in the recording.
    """
    number = min(count, number)
    edges = np.arange(number + 1, dtype=np.int64) * count // max(1, number)
    widths = np.diff(edges)
    if seed is None:
        middles: np.ndarray = edges[:-1] + (widths - 1) // 2
        return middles
    chance = priorities(seed, np.arange(number)) % np.maximum(widths, 1).astype(np.uint64)
    places: np.ndarray = edges[:-1] + chance.astype(np.int64)
    return places


def fit(
    action: Action,
    images: Settled,
    reference: np.ndarray,
    options: Options,
    mask: np.ndarray | None,
    power: np.ndarray | None = None,
) -> RegistrationModel:
    """Find by how much each image has moved against a reference. Collective.

    `power` is that of `_power`, where it is known.
    """
    if power is None:
        power = _power(action, images, options)
    finder = _finder(action, images.dims, reference, power, options, mask)
    shifts, quality = _find(action, images, finder)
    planes = images.dims[2] if len(images.dims) == 3 else 1
    middle = [np.array([(n - 1) / 2]) for n in images.dims[:2]]
    rows, columns = middle if finder.nodes is None else finder.nodes
    if options.method == "rigid" or (options.method == "planar" and planes == 1):
        shifts = shifts[:, 0]
    return RegistrationModel(
        shifts,
        quality,
        np.asarray(images.keys, dtype=np.int64),
        images.dims,
        options.method,
        reference,
        rows,
        columns,
    )


def _power(action: Action, images: Settled, options: Options) -> np.ndarray:
    """The mean power of some of the images. Collective."""
    some = images.take(spread_over(images.count, SAMPLE))
    spectra = Spectra(Layout.of(images.dims), options.method != "rigid")
    return statistics(action, some.then(spectra), ["mean"]).array("mean")


def _finder(
    action: Action,
    dims: Shape,
    reference: np.ndarray,
    power: np.ndarray,
    options: Options,
    mask: np.ndarray | None,
) -> Finder:
    """The finder of a reference. Collective.

    One rank makes it: on another processor the mathematical library may give other last bits.
    """
    layout = Layout.of(dims)
    if not shows_something(dims, reference):
        raise ValueError(
            f"{action.name}: the reference shows nothing that an image could be compared with: "
            "it is even, or not finite"
        )
    finder: Finder | None = None
    with action.together():
        if action.comm.rank == 0:
            part = None if mask is None else layout.reduced(mask)
            finder = make_finder(reference, power, layout, options, part)
    return cast(Finder, broadcast(action.comm, finder))


def shows_something(dims: Shape, reference: np.ndarray) -> bool:
    """Whether any two bins of a reference differ. Local; the same on all ranks."""
    return bool(Layout.of(dims).pictures(reference[None]).any())


def _find(action: Action, images: Settled, finder: Finder) -> tuple[np.ndarray, np.ndarray]:
    """The shifts and the quality of all images, on every rank. Collective."""
    start, stop = images.partition.bounds(action.comm.rank)
    shifts = np.empty((stop - start, finder.blocks, finder.axes))
    quality = np.empty((stop - start, 1))
    piece_bytes = min(PIECE_BYTES, action.memory // PIECE_PART)
    step = max(1, piece_bytes // (finder.blocks * images.record_bytes // 4 + 1))

    def find(first: int, batch: np.ndarray) -> None:
        for i in range(0, len(batch), step):
            piece, at = batch[i : i + step], first - start + i
            found = finder.find(piece)
            shifts[at : at + len(piece)], quality[at : at + len(piece), 0] = found

    action.stream(images, find)
    return (
        allgather_rows(action.comm, shifts, images.partition),
        allgather_rows(action.comm, quality, images.partition)[:, 0],
    )


def build_reference(
    action: Action, images: Settled, number: int, seed: int, options: Options
) -> np.ndarray:
    """A mean of evenly spaced images, aligned to each other. Collective.

    Where it shows fewer than half of them, as when the focus was elsewhere for a while, another is
    made of the rest, and the one is taken that shows more images.
    """
    some = held(action, images.take(spread_over(images.count, number, seed)))
    if some.count == 1:
        return statistics(action, some.then(_Filled()), ["mean"]).array("mean")
    simple = options.without_blocks(images.dims)
    reference, placed = _aligned(action, some, simple)
    rest = np.setdiff1d(np.arange(some.count), placed)
    if len(rest) > max(len(placed), 1):
        other, others = _aligned(action, some.take(rest), simple)
        if len(others) > len(placed):
            reference, placed = other, rest[others]
    if len(placed) == 0:
        raise ValueError(
            f"{action.name}: none of {some.count} images could be placed against the mean of "
            "others: there is too little light, or nothing to see; bin the images by timeBin "
            "first, or give a reference"
        )
    return reference


def _aligned(action: Action, images: Settled, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """A mean of images aligned to each other, and the places of those that are in it. Collective.

    The images are two halves, by chance. The few of the first half that are most alike give a
    first mean, against which the second half is placed; against its mean then the first half, and
    so on in turn. So no image is ever compared with a mean that contains it: its own noise would
    hold it in place. Images are always moved as they were read, so that no shift accumulates; for
    the means in between linear steps are good enough. The mean lies where the images' median shift
    is 0.
    """
    nothing = np.zeros(images.dims), np.empty(0, dtype=np.int64)
    order = np.argsort(priorities(0, np.arange(images.count)), kind="stable")
    halves = [np.sort(order[: images.count // 2]), np.sort(order[images.count // 2 :])]
    taken = [images.take(half) for half in halves]
    first = taken[0]
    if first.count == 0:
        return nothing
    alike = first.take(_most_alike(action, first)).then(_Filled())
    reference = statistics(action, alike, ["mean"]).array("mean")
    power = _power(action, images, options)
    models: dict[int, RegistrationModel] = {}
    for turn, number in enumerate(PLACINGS, 1):
        half = taken[number]
        if not shows_something(images.dims, reference):
            return nothing
        model = fit(action, half, reference, options, None, power)
        there = half.take(np.flatnonzero(~is_lost(model.shifts)))
        if there.count == 0:
            return nothing
        models[number] = model
        if turn < len(PLACINGS):
            reference = _mean_of(action, there, model, "linear")
    shifts = np.empty((images.count, *models[0].shifts.shape[1:]))
    for number, model in models.items():
        shifts[halves[number]] = model.shifts
    placed = np.flatnonzero(~is_lost(shifts))
    both = replace(
        models[0],
        shifts=shifts - np.median(shifts[placed], axis=0),
        quality=np.zeros(images.count),
        keys=np.asarray(images.keys, dtype=np.int64),
        numbers=np.asarray(images.keys, dtype=np.int64)[:, None],
    )
    return _mean_of(action, images.take(placed), both, "cubic"), placed


def _mean_of(action: Action, images: Settled, model: RegistrationModel, order: str) -> np.ndarray:
    """The mean of images that are moved back. Collective."""
    whole = (1.0,) * len(images.dims)
    step = Registered(model, order, None, np.dtype(np.float64), whole)
    filled = images.then(_Filled())
    assert isinstance(filled, Settled)
    return statistics(action, filled.then(step), ["mean"]).array("mean")


class _Filled:
    """As a step of a chain: the image's mean where a pixel is not finite.

    Else the mean of many images would have no value wherever one of them has none.
    """

    name = "filled"

    def dims(self, dims: Shape | None) -> Shape | None:
        return dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return dtype

    def run(self, keys: object, batch: np.ndarray) -> np.ndarray:
        if batch.dtype.kind != "f":
            return batch
        finite = np.isfinite(batch)
        if finite.all():
            return batch
        out = batch.copy()
        for image, good in zip(out, finite, strict=True):
            if not good.all():
                image[~good] = image[good].mean(dtype=np.float64) if good.any() else 0
        return out


def images_read(count: int, record_bytes: int, ranks: int, memory: int) -> int:
    """How many images a fit reads at least, if it makes its reference, too. Local arithmetic.

    An image that is read twice is counted twice; `memory` is each rank's. More are read where the
    sums of a mean take several passes, or a second reference is made of the rest.
    """
    if _are_held(-(-count // ranks) * record_bytes, memory):
        return count
    some, sample = min(SPREAD, count), min(SAMPLE, count)
    every = some + sample + count
    if _are_held(-(-some // ranks) * record_bytes, memory):
        return every
    half = some // 2
    placing = (2 * len(PLACINGS) - 1) * half  # the fits, and the means between them
    return every + half + min(BEGINNING, half) + min(SAMPLE, some) + placing


def _are_held(share: int, memory: int) -> bool:
    """Whether a rank's images take a small part of the budget."""
    return share <= memory // PART


def held(action: Action, images: Settled) -> Settled:
    """The images in memory where they take a small part of the budget. Collective."""
    if not _are_held(max(images.partition.counts) * images.record_bytes, action.memory):
        return images
    block, known = action.load(images)
    source = MemorySource(block, known.dims, known.dtype, known.partition)
    source.number = images.source.number
    return Settled(
        source, range(known.count), known.keys, (), known.partition, known.dims, known.dtype
    )


class Small:
    """As a step of a chain: an image in few bins, its values in few levels."""

    name = "small"

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def dims(self, dims: Shape | None) -> Shape:
        return tuple(min(SIDE, n) for n in self.layout.size)

    def dtype(self, dtype: np.dtype | None) -> np.dtype:
        return np.dtype(np.int8)

    def run(self, keys: object, batch: np.ndarray) -> np.ndarray:
        pictures = self.layout.pictures(batch)
        if pictures.ndim == 4:
            pictures = pictures.sum(axis=3)
        for axis, n in enumerate(self.layout.size, 1):
            side = min(SIDE, n)
            starts = np.arange(side) * n // side
            pictures = np.add.reduceat(pictures, starts, axis=axis)
        pictures -= pictures.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        size = np.sqrt((pictures.astype(np.float64) ** 2).mean(axis=(1, 2), keepdims=True))
        levels = np.rint(pictures * (LEVELS / 4 / np.maximum(size, 1e-30)))
        small: np.ndarray = np.clip(levels, -LEVELS, LEVELS).astype(np.int8)
        return small


def _most_alike(action: Action, images: Settled) -> np.ndarray:
    """The places of the images that correlate best with one of them, ascending. Collective."""
    small = images.then(Small(Layout.of(images.dims)))
    pictures = action.gather(small)
    with action.together():
        # Integers below 2^53 in float64: exact, whatever the order in which a library adds.
        flat = pictures.reshape(len(pictures), -1).astype(np.float64)
        like = flat @ flat.T
        number = min(max(1, len(like) // 4), BEGINNING)
        best = np.argsort(-like, axis=1, kind="stable")[:, :number]
        sums = np.take_along_axis(like, best, axis=1).sum(axis=1)
        return np.sort(best[int(np.argmax(sums))])
