"""Regions of interest: their pixels and their means. Local."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..engine.chain import Shape
from ..kernels import projection

__all__ = ["region_means", "regions_of"]


def regions_of(mask: object, dims: Shape) -> list[np.ndarray]:
    """Return the flat indices of the pixels of each region, int64.

    Raises
    ------
    ValueError, TypeError
        If the mask has another shape than the images, or a region has no pixel or one outside of
        the images.
    """
    if isinstance(mask, np.ndarray):
        return _of_mask(mask, dims)
    if not isinstance(mask, Sequence) or isinstance(mask, (str, bytes)) or len(mask) == 0:
        raise TypeError(
            "meanByRegions needs a mask array, or a list of regions, each a list of "
            f"pixel coordinates; got {type(mask).__name__}"
        )
    return [_of_coordinates(region, number, dims) for number, region in enumerate(mask)]


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
    try:
        coordinates = np.asarray(region)
    except Exception:  # of any type: the code of the user's object runs here
        coordinates = np.empty(0)
    if (
        coordinates.ndim != 2
        or coordinates.shape[1] != len(dims)
        or coordinates.dtype.kind not in "iu"
        or len(coordinates) == 0
    ):
        raise ValueError(
            f"region {number} is not a list of pixels with {len(dims)} whole coordinates each"
        )
    if (coordinates < 0).any() or (coordinates >= np.asarray(dims)).any():
        raise ValueError(f"region {number} has pixels outside the images of dims {dims}")
    numbers: np.ndarray = np.ravel_multi_index(tuple(coordinates.T.astype(np.int64)), dims)
    return numbers.astype(np.int64)


def region_means(batch: np.ndarray, regions: list[np.ndarray]) -> np.ndarray:
    """Return the mean of each region of each image: (images, regions) float64.

    Each mean is computed separately, in an order fixed by the region's pixels, so that it does not
    depend on the other images in the batch.
    """
    flat = batch.reshape(len(batch), -1)
    if flat.dtype == np.float16:
        flat = flat.astype(np.float32)
    means = np.empty((len(flat), len(regions)))
    for i, pixels in enumerate(regions):
        values = np.ascontiguousarray(flat[:, pixels])
        column = np.empty((len(flat), 1))
        projection.project("mean", values.reshape(len(flat), len(pixels), 1), column)
        means[:, i] = column[:, 0]
    return means
