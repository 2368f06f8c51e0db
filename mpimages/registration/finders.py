"""Finders of shifts: one for the whole image, one for each plane, one for blocks. Local.

A finder is made of a reference and of the mean power of some images. `find` gives the shifts of a
batch, which depend on nothing but the image: not on the batch, the rank or the other images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.fft

from ..core.arguments import check_choice, check_ints, check_number
from ..core.text import quote
from ..engine.chain import Shape
from .correlation import SIGMA, Templates, fast_length, mean_power
from .field import Field
from .pictures import LEAST, RISE, Layout, window_of

__all__ = ["METHODS", "RELIABLE", "Finder", "Options", "Spectra", "make_finder", "numbers_of"]

METHODS = ("rigid", "planar", "piecewise")
# Standard deviations of a correlation surface by which its peak must exceed the mean. Of 1,000
# surfaces of unrelated images the highest peak has some 5; from 9 on none is off by 1.5 pixels.
RELIABLE = 9.0
# Pixels in which a window rises from 0 to 1 where a block meets an edge.
RISE_OF_BLOCKS = 4.0
# Part of the planes of a volume in which a window rises, on either side.
RISE_OF_PLANES = 0.4
# A block has fewer pixels: below this it says nothing, and is helped by its neighbours.
TELLING = 5.0


@dataclass(frozen=True)
class Options:
    """What a fit is asked for.

    Attributes
    ----------
    method : {'rigid', 'planar', 'piecewise'}
    reach : tuple of float
        The largest shift along each axis, in pixels.
    block : (int, int)
        Rows and columns of a block.
    smoothing : float
        How stiff the field of blocks is.
    """

    method: str
    reach: tuple[float, ...]
    block: tuple[int, int]
    smoothing: float

    @classmethod
    def checked(
        cls, dims: Shape, method: object, reach: object, block: object, smoothing: object
    ) -> Options:
        """Check what a user asks for images of these dims; None takes the default of a number."""
        chosen = check_choice(method, "method", METHODS)
        if chosen == "planar" and len(dims) != 3:
            raise ValueError(f"method 'planar' is for volumes, the images have dims {dims}")
        if chosen != "piecewise":
            for name, value in (("blockSize", block), ("smoothing", smoothing)):
                if value is not None:
                    raise ValueError(f"{name} has an effect with method='piecewise' only")
        blocks = (128, 128) if block is None else check_ints(block, "blockSize", LEAST)
        if len(blocks) != 2:
            raise ValueError(f"blockSize must be (rows, columns), got {quote(block)}")
        stiff = 1.0 if smoothing is None else check_number(smoothing, "smoothing")
        if not 0 < stiff < 1e6:
            raise ValueError(f"smoothing must be more than 0 and below 1e6, got {stiff:g}")
        return cls(chosen, _reach(dims, chosen, reach), (blocks[0], blocks[1]), stiff)

    def without_blocks(self, dims: Shape) -> Options:
        """The same with one shift for each image, or for each plane where planes move apart."""
        if self.method != "piecewise":
            return self
        return replace(self, method="planar" if len(dims) == 3 else "rigid")


def _reach(dims: Shape, method: str, given: object) -> tuple[float, ...]:
    """The largest shift along each axis that takes part."""
    axes = dims if method == "rigid" else dims[:2]
    if given is None:
        side = min(dims[:2]) / 10
        return tuple(side if axis < 2 else n / 4 for axis, n in enumerate(axes))
    several = isinstance(given, list | tuple | np.ndarray)
    # One number is for rows and columns: planes are no pixels.
    each: Any = given if several else [given, given, *_reach(dims, method, None)[2:]]
    values = tuple(check_number(far, "maxShift") for far in each)
    if len(values) != len(axes):
        raise ValueError(
            f"maxShift has {len(values)} numbers; method {method!r} on images of dims {dims} "
            f"takes one, or {len(axes)}"
        )
    for far, n in zip(values, axes, strict=True):
        if not 0 < far < n / 2 and n > 1:
            raise ValueError(
                f"maxShift must be more than 0 and less than half of the axis of {n}, got {far:g}"
            )
    return values


class Spectra:
    """As a step of a chain: the power of each image, of which the mean is `mean_power`'s."""

    name = "power"

    def __init__(self, layout: Layout, planar: bool) -> None:
        self.layout = layout
        self.planar = planar

    def dims(self, dims: object) -> tuple[int, ...]:
        shape = _arranged(np.empty((1, *self.layout.size, *self.layout.pages)), self.planar).shape
        return (*shape[1:4], shape[4] // 2 + 1)

    def dtype(self, dtype: object) -> np.dtype:
        return np.dtype(np.float64)

    def run(self, keys: object, batch: np.ndarray) -> np.ndarray:
        spectra = _transform(_arranged(self.layout.pictures(batch), self.planar))
        power: np.ndarray = spectra.real.astype(np.float64) ** 2
        power += spectra.imag.astype(np.float64) ** 2
        return power


def _arranged(pictures: np.ndarray, planar: bool) -> np.ndarray:
    """Pictures as (k, b, n0, n1, n2): images alone, volumes whole, or volumes as b planes."""
    if pictures.ndim == 3:
        return pictures[:, None, None]
    if planar:
        return np.moveaxis(pictures, 3, 1)[:, :, None]
    return pictures[:, None]


def _transform(pictures: np.ndarray) -> np.ndarray:
    spectra: np.ndarray = scipy.fft.rfftn(np.ascontiguousarray(pictures), axes=(2, 3, 4))
    return spectra


class Finder(ABC):
    """Finds by how much images have moved.

    Attributes
    ----------
    blocks : int
        The number of shifts of an image.
    axes : int
        The numbers of a shift: 2, or 3 of volumes as a whole.
    nodes : (rows, columns) float64 ndarrays, or None
        Where a field is given, in pixels of the image.
    """

    blocks: int
    axes: int
    nodes: tuple[np.ndarray, np.ndarray] | None = None

    @abstractmethod
    def find(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The shifts of a batch, (k, blocks, axes) float64, and their quality, (k,) float64.

        A shift is in pixels, positive where what is seen has moved to higher indices. It is NaN in
        an image that could not be placed. The quality says by how many standard deviations the
        peak of the correlation exceeds what is around: of a plane the least.
        """


class WholeFinder(Finder):
    """One shift for each image or volume, or one for each plane."""

    def __init__(
        self,
        reference: np.ndarray,
        power: np.ndarray,
        layout: Layout,
        options: Options,
        mask: np.ndarray | None,
    ) -> None:
        self.layout = layout
        self.planar = options.method != "rigid"
        picture = _arranged(layout.pictures(reference[None]), self.planar)[0]
        volume = picture.shape[1] > 1
        self.axes = 3 if volume else 2
        self.blocks = len(picture)
        self.scale = np.array([layout.bin, layout.bin, 1.0] if volume else [1.0] + [layout.bin] * 2)
        far = options.reach if volume else (0.0, *options.reach[:2])
        reach = tuple(r / s for r, s in zip(far, self.scale, strict=True))
        self.farthest = np.array(far)
        margin = max(options.reach[:2]) / layout.bin
        windows = np.stack([_window(one, margin, layout, mask) for one in picture])
        shape = picture.shape[1:]
        self.templates = Templates(picture, windows, mean_power(power, shape), reach)
        self.shown = np.ptp(picture, axis=(1, 2, 3)) > 0

    def find(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.find_in(self.layout.pictures(batch))

    def find_in(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `find`, of pictures."""
        spectra = _transform(_arranged(pictures, self.planar))
        found = self.templates.find(self.templates.correlate(spectra))
        shifts = found[..., :3] * self.scale
        quality = _quality(found)
        placed = (quality >= RELIABLE) & (np.abs(shifts) <= self.farthest + 1e-9).all(axis=2)
        placed &= self.shown
        is_lost = ~placed.any(axis=1)
        # A plane that shows nothing, as above the tissue, goes with the others of its volume.
        number = np.maximum(placed.sum(axis=1), 1)
        mean = np.where(placed[..., None], shifts, 0.0).sum(axis=1) / number[:, None]
        shifts = np.where(placed[..., None], shifts, mean[:, None])
        shifts[is_lost] = np.nan
        least = np.where(placed, quality, np.inf).min(axis=1)
        return shifts[..., 3 - self.axes :], np.where(is_lost, quality.max(axis=1), least)


def _window(
    picture: np.ndarray, margin: float, layout: Layout, mask: np.ndarray | None
) -> np.ndarray:
    """The window of one template, (n0, n1, n2); a volume's planes have one in common."""
    rise = max(2.0, RISE * min(layout.size))
    if picture.shape[0] == 1:
        return window_of(picture[0], margin, rise, mask)[None]
    window = window_of(picture.max(axis=2), margin, rise, mask)
    # The cut between the last and the first plane does not move.
    n = picture.shape[2]
    depth = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
    part = np.clip(depth / (RISE_OF_PLANES * n), 0.0, 1.0)
    along = 0.5 - 0.5 * np.cos(np.pi * part) if n > 2 else np.ones(n)
    weighted: np.ndarray = window[..., None] * along
    return weighted


def _quality(found: np.ndarray) -> np.ndarray:
    """By how many standard deviations peaks stand out; 0 where there is none."""
    above, deviation = found[..., 3] - found[..., 4], found[..., 5]
    quality = np.zeros(above.shape)
    np.divide(above, deviation, out=quality, where=deviation > 0)
    quality[np.isnan(found[..., :3]).any(axis=-1)] = 0.0
    return quality


class BlockFinder(Finder):
    """A field of shifts: that of the whole image or plane, and blocks that differ from it."""

    axes = 2

    def __init__(
        self,
        reference: np.ndarray,
        power: np.ndarray,
        layout: Layout,
        options: Options,
        mask: np.ndarray | None,
    ) -> None:
        self.layout = layout
        self.whole = WholeFinder(reference, power, layout, options, mask)
        self.grids = grids = _grids(layout, options)
        pictures = _arranged(layout.pictures(reference[None]), True)[0, :, 0]
        far = int(max(options.reach[:2]) / layout.bin) + 1
        distance = sum(options.block) / 2 / NODES
        self.planes = [
            _Plane(picture, one, grids, mask, far, (distance, options.smoothing))
            for picture, one in zip(pictures, power, strict=True)
        ]
        # In pixels of the image: a bin's centre lies between its pixels.
        rows, columns = (
            start + (grid.nodes + 0.5) * layout.bin - 0.5
            for start, grid in zip(layout.start, grids, strict=True)
        )
        self.nodes = rows, columns
        self.blocks = len(self.planes) * len(rows) * len(columns)

    def find(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pictures = self.layout.pictures(batch)
        shifts, quality = self.whole.find_in(pictures)
        planes = _arranged(pictures, True)[:, :, 0]
        fields = [
            plane.find(planes[:, p], shifts[:, p] / self.layout.bin) * self.layout.bin
            for p, plane in enumerate(self.planes)
        ]
        return np.concatenate(fields, axis=1), quality


# Blocks of an image at most: their field takes a matrix with so many columns.
MOST_BLOCKS = 1600
# In pixels of a picture: how far a block may move against the whole, and what is left around it.
APART = 4


# Nodes of the field for each width of a block.
NODES = 4


def _hill(n: int) -> np.ndarray:
    """A window that rises from 0 to 1 and falls again."""
    hill: np.ndarray = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)
    return hill


@dataclass(frozen=True)
class Blocks:
    """Overlapping blocks along an axis of a picture; the outer ones reach beyond its ends.

    Attributes
    ----------
    n, width : int
        Pixels of the axis, and of a block.
    starts : (b,) ndarray of int
    nodes : (g,) float64 ndarray
        Where the field is given: `NODES` of them for each block's width.
    windows : (b, n) float64 ndarray
        Each block's weight of the pixels.
    """

    n: int
    width: int
    starts: np.ndarray
    nodes: np.ndarray
    windows: np.ndarray

    @classmethod
    def along(cls, n: int, width: float) -> Blocks:
        wide = int(min(max(width, 2 * APART), n))
        beyond = round(0.35 * wide) if wide < n else 0
        number = max(1, round((n - wide + 2 * beyond) / (0.5 * wide)) + 1)
        starts = np.rint(np.linspace(-beyond, n - wide + beyond, number)).astype(np.intp)
        windows = np.zeros((number, n + 2 * wide))
        for window, start in zip(windows, starts, strict=True):
            window[wide + start : 2 * wide + start] = _hill(wide)
        count = round(NODES * n / wide) + 1 if number > 1 else 1
        nodes = np.linspace(0, n - 1, count) if number > 1 else np.array([(n - 1) / 2])
        return cls(n, wide, starts, nodes, windows[:, wide : wide + n])


def _grids(layout: Layout, options: Options) -> list[Blocks]:
    """The blocks along each axis of a picture."""
    grids = [
        Blocks.along(n, b / layout.bin) for n, b in zip(layout.size, options.block, strict=True)
    ]
    count = len(grids[0].starts) * len(grids[1].starts)
    if count > MOST_BLOCKS:
        raise ValueError(
            f"fitRegistration: blockSize {options.block} gives {count} blocks; there are "
            f"{MOST_BLOCKS} at most: take larger ones"
        )
    return grids


def numbers_of(dims: Shape, options: Options) -> int:
    """How many numbers the shifts of an image are; ValueError for too many blocks. Local."""
    if options.method == "rigid":
        return len(dims)
    planes = dims[2] if len(dims) == 3 else 1
    if options.method == "planar":
        return 2 * planes
    rows, columns = _grids(Layout.of(dims), options)
    return 2 * planes * len(rows.nodes) * len(columns.nodes)


class _Plane:
    """The blocks of one picture, and the field that follows from them."""

    def __init__(
        self,
        picture: np.ndarray,
        power: np.ndarray,
        grids: list[Blocks],
        mask: np.ndarray | None,
        far: int,
        stiffness: tuple[float, float],
    ) -> None:
        self.grids = grids
        self.sizes = [fast_length(grid.width + 2 * APART) for grid in grids]
        self.number = len(grids[0].starts) * len(grids[1].starts)
        # How far the pieces around blocks may reach beyond the picture.
        self.beyond = [size + far for size in self.sizes]
        # What surrounds a block would hide it: a piece fades out to its edges.
        self.fade = np.outer(*(_hill(size) for size in self.sizes)).astype(np.float32)
        window = window_of(picture, 0, RISE_OF_BLOCKS, mask)
        here = np.zeros((1, 2), np.intp)
        rows, columns = (self._own(axis) for axis in (0, 1))
        weights = np.einsum("ax,by->abxy", rows, columns).reshape(self.number, *self.sizes)
        weights = weights * self._cut(window[None].astype(np.float32), here)[0]
        shape = (1, *self.sizes)
        spectrum = _pooled(power, picture.shape, (self.sizes[0], self.sizes[1]))
        self.templates = Templates(
            self._cut(picture[None], here)[0][:, None],
            weights[:, None],
            mean_power(spectrum[None, None], shape),
            (0.0, float(APART), float(APART)),
        )
        self.field = Field(
            grids[0].windows,
            grids[1].windows,
            _detail(picture, power) * window,
            (grids[0].nodes, grids[1].nodes),
            *stiffness,
        )

    def _own(self, axis: int) -> np.ndarray:
        """The window of each block along an axis, in the piece that is cut for it."""
        grid, size = self.grids[axis], self.sizes[axis]
        wide = np.pad(grid.windows, ((0, 0), (grid.width + size,) * 2))
        first = grid.starts - (size - grid.width) // 2 + grid.width + size
        return np.stack([one[a : a + size] for one, a in zip(wide, first, strict=True)])

    def _cut(self, pictures: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """The piece around each block, moved by offsets (k, 2): (k, blocks, n0, n1); 0 outside."""
        down, across = self.beyond
        wide = np.pad(pictures, ((0, 0), (down, down), (across, across)))
        pieces = np.lib.stride_tricks.sliding_window_view(wide, self.sizes, axis=(1, 2))
        first = [
            grid.starts - (size - grid.width) // 2 + beyond
            for grid, size, beyond in zip(self.grids, self.sizes, self.beyond, strict=True)
        ]
        out = np.empty((len(pictures), self.number, *self.sizes), np.float32)
        for i, (y, x) in enumerate(offsets):
            rows, columns = np.ix_(first[0] + y, first[1] + x)
            out[i] = pieces[i, rows, columns].reshape(out.shape[1:])
        return out

    def find(self, pictures: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """The field at the nodes, (k, nodes, 2), given the shifts of the whole, (k, 2).

        NaN where that is.
        """
        lost = np.isnan(shifts).any(axis=1)
        offsets = np.rint(np.where(lost[:, None], 0.0, shifts)).astype(np.intp)
        pieces = self._cut(pictures, offsets)
        pieces *= self.fade
        spectra = self.templates.correlate(_transform(pieces[:, :, None]))
        found = self.templates.find(spectra)
        apart, quality = found[..., 1:3], _quality(found)
        for i in np.flatnonzero((quality < TELLING).any(axis=1)):
            self._help(spectra[i], apart[i], quality[i], shifts[i] - offsets[i])
        field = self.field.at_nodes(apart + offsets[:, None])
        field[lost] = np.nan
        return field

    def _help(
        self, spectra: np.ndarray, apart: np.ndarray, quality: np.ndarray, rest: np.ndarray
    ) -> None:
        """Let blocks that say nothing by themselves take what they and their neighbours say.

        Where these say nothing either, the block moves as the whole. In place.
        """
        rows, columns = (len(grid.starts) for grid in self.grids)
        wide = np.pad(
            spectra.reshape(rows, columns, *spectra.shape[1:]),
            ((1, 1), (1, 1), (0, 0), (0, 0), (0, 0)),
        )
        for block in np.flatnonzero(quality < TELLING):
            row, column = divmod(int(block), columns)
            near = wide[row : row + 3, column : column + 3].reshape(9, *spectra.shape[1:])
            found = self.templates.find(np.ascontiguousarray(near.sum(axis=0))[None])
            is_found = _quality(found)[0] >= TELLING
            apart[block] = found[0, 1:3] if is_found else rest


def _pooled(power: np.ndarray, shape: tuple[int, ...], to: tuple[int, int]) -> np.ndarray:
    """The power of pieces of `to` pixels, from that of whole pictures, (1, rows, half)."""
    from scipy.ndimage import uniform_filter1d

    rows, columns = shape
    smooth = uniform_filter1d(power[0], max(1, rows // to[0]), axis=0, mode="wrap")
    smooth = uniform_filter1d(smooth, max(1, columns // to[1]), axis=1, mode="nearest")
    at_rows = np.rint(np.fft.fftfreq(to[0]) * rows).astype(np.intp) % rows
    at_columns = np.rint(np.fft.rfftfreq(to[1]) * columns).astype(np.intp)
    at_columns = np.minimum(at_columns, smooth.shape[1] - 1)
    pieces: np.ndarray = smooth[np.ix_(at_rows, at_columns)] * (to[0] * to[1] / (rows * columns))
    return pieces


def _detail(picture: np.ndarray, power: np.ndarray) -> np.ndarray:
    """How much there is to see around each pixel: the squared slope of what is correlated."""
    from scipy.ndimage import gaussian_filter

    rows, columns = picture.shape
    white = scipy.fft.rfft2(picture.astype(np.float64))
    white /= np.sqrt(mean_power(power[None], (1, rows, columns))[0, 0])
    low = gaussian_filter(scipy.fft.irfft2(white, s=picture.shape), SIGMA, mode="nearest")
    slopes = np.gradient(low) if min(picture.shape) > 1 else [low]
    detail: np.ndarray = gaussian_filter(
        sum(slope**2 for slope in slopes), 2 * SIGMA, mode="nearest"
    )
    return detail


def make_finder(
    reference: np.ndarray,
    power: np.ndarray,
    layout: Layout,
    options: Options,
    mask: np.ndarray | None = None,
) -> Finder:
    """The finder of a method, from a reference of the images' dims and the power of some images."""
    kind = BlockFinder if options.method == "piecewise" else WholeFinder
    return kind(reference, power, layout, options, mask)
