"""Finders of shifts: one for the whole image, one for each plane, one for blocks. Local.

A finder is made of a reference and of the mean power of some images. `find` gives the shifts of a
batch, which depend on nothing but the image: not on the batch, the rank or the other images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.fft

from .correlation import Templates, mean_power
from .field import Field
from .pictures import Layout, window_of

__all__ = ["METHODS", "Finder", "Options", "Spectra", "make_finder"]

METHODS = ("rigid", "planar", "piecewise")
# Standard deviations of a correlation surface by which its peak must exceed the mean. Of 1,000
# surfaces of unrelated images the highest peak has some 5.
RELIABLE = 8.0
# Within a block, which has fewer pixels: below this it says nothing; it is helped by its neighbours.
TELLING = 5.0


@dataclass(frozen=True)
class Options:
    """What a fit was asked for. `reach` is the largest shift along each axis, in pixels."""

    method: str
    reach: tuple[float, ...]
    block: tuple[int, int]
    smoothing: float


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
        return spectra.real.astype(np.float64) ** 2 + spectra.imag.astype(np.float64) ** 2


def _arranged(pictures: np.ndarray, planar: bool) -> np.ndarray:
    """Pictures as (k, b, n0, n1, n2): images alone, volumes whole, or volumes as b planes."""
    if pictures.ndim == 3:
        return pictures[:, None, None]
    if planar:
        return np.moveaxis(pictures, 3, 1)[:, :, None]
    return pictures[:, None]


def _transform(pictures: np.ndarray) -> np.ndarray:
    return scipy.fft.rfftn(np.ascontiguousarray(pictures), axes=(2, 3, 4))


class Finder(ABC):
    """Finds by how much images have moved.

    Attributes
    ----------
    blocks : int
        The number of shifts of an image.
    axes : int
        The numbers of a shift: 2, or 3 of volumes as a whole.
    """

    blocks: int
    axes: int

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

    def find(self, batch: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.find_in(self.layout.pictures(batch))

    def find_in(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `find`, of pictures."""
        spectra = _transform(_arranged(pictures, self.planar))
        found = self.templates.find(self.templates.correlate(spectra))
        shifts = found[..., :3] * self.scale
        quality = _quality(found)
        wrong = ~(quality >= RELIABLE) | (np.abs(shifts) > self.farthest + 1e-9).any(axis=2)
        shifts[wrong] = np.nan
        return shifts[..., 3 - self.axes :], quality.min(axis=1)


def _window(
    picture: np.ndarray, margin: float, layout: Layout, mask: np.ndarray | None
) -> np.ndarray:
    """The window of one template, (n0, n1, n2); a volume's planes have one in common."""
    if picture.shape[0] == 1:
        return window_of(picture[0], margin, mask)[None]
    window = window_of(picture.max(axis=2), margin, mask)
    return np.repeat(window[..., None], picture.shape[2], axis=2)


def _quality(found: np.ndarray) -> np.ndarray:
    """By how many standard deviations peaks stand out; 0 where there is none."""
    above, deviation = found[..., 3] - found[..., 4], found[..., 5]
    quality = np.divide(above, deviation, out=np.zeros(above.shape), where=deviation > 0)
    quality[np.isnan(found[..., :3]).any(axis=-1)] = 0.0
    return quality
