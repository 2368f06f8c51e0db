"""Regions of interest: their pixels, their weights, and their means. Local."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..core.text import quote
from ..engine.chain import Shape
from ..kernels import projection

__all__ = ["Regions", "check_coordinates", "present_regions", "region_means", "regions_of"]

# Bytes of pixels that are gathered at once: they stay in the cache.
PIECE_BYTES = 1 << 19


@dataclass(frozen=True)
class Regions:
    """Regions of images, or of the pixels of a Series.

    Attributes
    ----------
    pixels : list of (k,) int64 ndarray
        The flat indices of each region's pixels.
    weights : list of (k,) float64 ndarray, optional
        Of each pixel; None: all pixels count alike.
    """

    pixels: list[np.ndarray]
    weights: list[np.ndarray] | None = None

    @property
    def checksum(self) -> int:
        """A number by which ranks compare the regions."""
        sizes = np.array([len(pixels) for pixels in self.pixels])
        return zlib.crc32(np.concatenate([sizes, *self.pixels, *self._bits()]).astype("<i8").data)

    def _bits(self) -> list[np.ndarray]:
        return [one.astype(np.float64).view(np.int64) for one in self.weights or ()]

    @cached_property
    def alike(self) -> list[_Alike]:
        """The regions by their number of pixels, without those that have none."""
        sizes = np.array([len(pixels) for pixels in self.pixels])
        found = []
        for size in np.unique(sizes[sizes > 0]).tolist():
            numbers = np.flatnonzero(sizes == size)
            pixels = np.stack([self.pixels[number] for number in numbers])
            weights = None
            if self.weights is not None:
                weights = np.stack([self.weights[number] for number in numbers])
            found.append(_Alike(numbers, pixels, weights))
        return found

    def kept(self, which: list[np.ndarray]) -> Regions:
        """Return the regions with the pixels for which `which` is true."""
        pixels = [one[some] for one, some in zip(self.pixels, which, strict=True)]
        if self.weights is None:
            return Regions(pixels)
        weights = [one[some] for one, some in zip(self.weights, which, strict=True)]
        return Regions(pixels, weights)

    def without_overlaps(self) -> Regions:
        """Return the regions without the pixels that lie in more than one of them."""
        each = [np.unique(pixels) for pixels in self.pixels]
        there, counts = np.unique(np.concatenate(each), return_counts=True)
        shared = there[counts > 1]
        return self.kept([~np.isin(pixels, shared) for pixels in self.pixels])


def regions_of(
    mask: object,
    dims: Shape,
    weights: object = None,
    exclude_overlaps: bool = False,
    method: str = "meanByRegions",
) -> Regions:
    """Return the regions that a mask, or lists of pixels, describe.

    Parameters
    ----------
    mask : ndarray of shape dims, or a sequence of lists of pixels
    dims : tuple of int
    weights : ndarray of shape dims, or for lists of pixels a sequence of lists of numbers
    exclude_overlaps : bool
    method : str
        For messages.

    Raises
    ------
    ValueError, TypeError
        If the mask has another shape than the images, a region has no pixel or one outside of
        the images, or the weights do not fit.
    """
    if isinstance(mask, np.ndarray):
        if exclude_overlaps:
            raise ValueError(
                f"{method}: excludeOverlaps is for lists of pixels; the regions of a mask do not "
                "overlap"
            )
        regions = Regions(_of_mask(mask, dims))
    elif not isinstance(mask, Sequence) or isinstance(mask, (str, bytes)) or len(mask) == 0:
        raise TypeError(
            f"{method} needs a mask array, or a list of regions, each a list of "
            f"pixel coordinates; got {type(mask).__name__}"
        )
    else:
        pixels = [_of_coordinates(region, number, dims) for number, region in enumerate(mask)]
        regions = Regions(pixels)
    if weights is not None:
        regions = replace(regions, weights=_weights(weights, regions.pixels, dims))
    return regions.without_overlaps() if exclude_overlaps else regions


def present_regions(
    lists: object, dims: Shape, weights: object, exclude_overlaps: bool, method: str, validate: bool
) -> Regions:
    """Return the regions of lists of pixels, of which some may lie outside `dims`.

    Those are left out of their regions, or refused if `validate`. Otherwise as `regions_of`.
    """
    if validate or not isinstance(lists, Sequence) or isinstance(lists, (str, bytes)):
        return regions_of(lists, dims, weights, exclude_overlaps, method)
    # Weights are for all pixels: those outside are left out behind the check.
    each = [check_coordinates(one, f"region {i}", len(dims)) for i, one in enumerate(lists)]
    limits = np.asarray(dims)
    inside = [np.asarray(((one >= 0) & (one < limits)).all(axis=1)) for one in each]
    near = [np.clip(one, 0, limits - 1) for one in each]
    regions = regions_of(near, dims, weights, False, method).kept(inside)
    return regions.without_overlaps() if exclude_overlaps else regions


def _of_mask(mask: np.ndarray, dims: Shape) -> list[np.ndarray]:
    if mask.shape != dims:
        raise ValueError(f"the mask has shape {mask.shape}, the images {dims}")
    if mask.dtype.kind not in "biu":
        raise TypeError(f"a mask must be boolean or of integers, got {mask.dtype}")
    flat = mask.reshape(-1)
    # One sort instead of one search for each of possibly thousands of regions.
    order = np.argsort(flat, kind="stable").astype(np.int64)
    labels, starts = np.unique(flat[order], return_index=True)
    pieces = np.split(order, starts[1:])
    regions = [piece for label, piece in zip(labels, pieces, strict=True) if label != 0]
    if not regions:
        raise ValueError("the mask marks no pixel")
    return regions


def _of_coordinates(region: object, number: int, dims: Shape) -> np.ndarray:
    coordinates = check_coordinates(region, f"region {number}", len(dims))
    if ((coordinates < 0) | (coordinates >= np.asarray(dims))).any():
        raise ValueError(f"region {number} has pixels outside the images of dims {dims}")
    numbers: np.ndarray = np.ravel_multi_index(tuple(coordinates.T), dims)
    return numbers.astype(np.int64)


def check_coordinates(region: object, name: str, axes: int) -> np.ndarray:
    """Return a list of pixels as (k, axes) int64, k at least 1; raise ValueError otherwise."""
    try:
        coordinates = np.asarray(region)
    except Exception:  # of any type: the code of the user's object runs here
        coordinates = np.empty(0)
    if coordinates.ndim == 1 and axes == 1:  # keys of one axis may be plain numbers
        coordinates = coordinates[:, np.newaxis]
    if (
        coordinates.ndim != 2
        or coordinates.shape[1] != axes
        or coordinates.dtype.kind not in "iu"
        or len(coordinates) == 0
    ):
        raise ValueError(f"{name} is not a list of pixels with {axes} whole coordinates each")
    if coordinates.dtype.kind == "u":  # no pixel has such a number, whatever the cast makes of it
        coordinates = np.minimum(coordinates, np.iinfo(np.int64).max)
    return coordinates.astype(np.int64)


def _weights(weights: object, pixels: list[np.ndarray], dims: Shape) -> list[np.ndarray]:
    """Return the weights of each region's pixels; raise ValueError unless they fit."""
    if isinstance(weights, np.ndarray) and weights.shape == dims:
        flat = _plain(weights, "weights").reshape(-1)
        found = [flat[one] for one in pixels]
    else:
        try:
            given = list(weights)  # type: ignore[call-overload]
        except Exception:  # as above
            raise ValueError(
                f"weights must be an array of dims {dims}, or a list of numbers for each region, "
                f"got {quote(weights)}"
            ) from None
        if len(given) != len(pixels):
            raise ValueError(
                f"weights for {len(given)} regions were given, there are {len(pixels)}"
            )
        found = [_plain(one, f"the weights of region {i}") for i, one in enumerate(given)]
    for number, (some, there) in enumerate(zip(found, pixels, strict=True)):
        if some.shape != there.shape:
            raise ValueError(
                f"region {number} has {len(there)} pixels, but weights of shape {some.shape}"
            )
        if not (some >= 0).all() or not 0 < math.fsum(some.tolist()) < math.inf:
            raise ValueError(
                f"the weights of region {number} must be finite, none below 0, and one above"
            )
    return found


def _plain(weights: object, name: str) -> np.ndarray:
    try:
        given = np.asarray(weights)
        if given.dtype.kind not in "biuf":
            raise TypeError
        found: np.ndarray = given.astype(np.float64)
    except Exception:  # as above
        raise ValueError(f"{name} must be numbers, got {quote(weights)}") from None
    return found


def region_means(batch: np.ndarray, regions: Regions) -> np.ndarray:
    """Return the mean of each region of each image: (images, regions) float64.

    Each mean is computed separately, in an order fixed by the region's pixels, so that it does not
    depend on the other images in the batch. It is NaN for a region without pixels.
    """
    means = np.full((len(batch), len(regions.pixels)), np.nan)
    for together in regions.alike:
        step = max(1, PIECE_BYTES // (batch.itemsize * together.pixels.size))
        for i in range(0, len(batch), step):
            images = batch[i : i + step]
            means[i : i + step, together.numbers] = together.means(images.reshape(len(images), -1))
    return means


@dataclass(frozen=True)
class _Alike:
    """Regions of as many pixels, which are measured by one call.

    Attributes
    ----------
    numbers : (r,) int64 ndarray
        Which regions.
    pixels : (r, k) int64 ndarray
    weights : (r, k) float64 ndarray, optional
    """

    numbers: np.ndarray
    pixels: np.ndarray
    weights: np.ndarray | None

    @cached_property
    def divisors(self) -> np.ndarray:
        """The sum of each region's weights."""
        assert self.weights is not None
        return np.array([math.fsum(one.tolist()) for one in self.weights])

    def means(self, flat: np.ndarray) -> np.ndarray:
        """Return the means of each of some images, (images, r)."""
        values = np.take(flat, self.pixels, axis=1)
        if self.weights is not None:
            with np.errstate(invalid="ignore"):  # infinity times 0
                weighted: np.ndarray = _reduced("sum", values * self.weights) / self.divisors
            return weighted
        return _reduced("mean", values.astype(np.float32) if values.dtype == np.float16 else values)


def _reduced(kind: str, values: np.ndarray) -> np.ndarray:
    """Return a statistic over the last axis."""
    reduced = np.empty((values[..., 0].size, 1))
    projection.project(kind, values.reshape(-1, values.shape[-1], 1), reduced)
    return reduced.reshape(values.shape[:-1])
