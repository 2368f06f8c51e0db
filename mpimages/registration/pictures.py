"""The small pictures of images that are compared, and the part that is used. Local."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..engine.chain import Shape
from ..kernels import registration
from .correlation import fast_length

__all__ = ["LEAST", "Layout", "window_of"]

# Images of so many rows and columns or more are put into bins of 2 x 2 pixels.
BINNED = 256
# An image with fewer rows or columns shows too little.
LEAST = 16
# This part of the way from the darkest to the median counts as dark. Values are means over so many
# pixels, so that one bright pixel is no light.
DARK, SPOT = 0.25, 5
# Directions in which the edge of what is lit is looked for.
DIRECTIONS = 16
# A window's rise from 0 to 1, as part of the shorter side.
RISE = 0.125


@dataclass(frozen=True)
class Layout:
    """What is cut out of an image, and its bins.

    Attributes
    ----------
    start, size : (row, column)
        The first pixel, and the bins along each axis: a number with a fast transform.
    bin : int
        Rows and columns of a bin.
    pages : tuple of int
        (pages,) of a volume, else ().
    """

    start: tuple[int, int]
    size: tuple[int, int]
    bin: int
    pages: tuple[int, ...]

    @classmethod
    def of(cls, dims: Shape) -> Layout:
        """For images or volumes of these dims."""
        width = 2 if min(dims[:2]) >= BINNED else 1
        rows, columns = (fast_length(0, most=n // width) for n in dims[:2])
        start = ((dims[0] - rows * width) // 2, (dims[1] - columns * width) // 2)
        return cls(start, (rows, columns), width, tuple(dims[2:]))

    def pictures(self, batch: np.ndarray) -> np.ndarray:
        """Pictures of a batch, (k, row, column[, page]) float32, of mean 0 and variance 1."""
        out = np.empty((len(batch), *self.size, *self.pages), np.float32)
        native = batch.astype(np.float32) if batch.dtype == np.float16 else batch
        frames = np.ascontiguousarray(native)
        registration.reduce_frames(frames, self.start, (self.bin, self.bin), out)
        return out

    def reduced(self, mask: np.ndarray) -> np.ndarray:
        """The bins of which all pixels are True, of a mask of the image's rows and columns."""
        (r, c), (rows, columns), width = self.start, self.size, self.bin
        part = mask[r : r + rows * width, c : c + columns * width]
        whole: np.ndarray = np.all(part.reshape(rows, width, columns, width), axis=(1, 3))
        return whole


def window_of(
    picture: np.ndarray, margin: float, rise: float, mask: np.ndarray | None = None
) -> np.ndarray:
    """The part of a 2-D picture that is compared: 0 at the edges of what is lit, 1 within.

    What is lit lies in a convex outline: a rectangle, or the disc of a round field of view. An
    edge of light does not move with the tissue, and would hold the image in its place.

    Parameters
    ----------
    margin : float
        Pixels inside the outline that are left out: what may move out of the image.
    rise : float
        Pixels in which the window rises from 0 to 1.
    mask : (row, column) ndarray of bool, optional
        Where the picture may be used.

    Returns
    -------
    (row, column) float64 ndarray
    """
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(picture.astype(np.float64), SPOT, mode="nearest")
    dark, middle = np.percentile(smooth, [1, 50])
    lit = smooth >= dark + DARK * (middle - dark)
    if mask is not None:
        lit &= mask
    if not lit.any():
        return np.zeros(picture.shape)
    rows, columns = np.nonzero(lit)
    down, across = np.indices(picture.shape)
    depth = np.full(picture.shape, np.inf)
    for angle in np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS):
        y, x = np.sin(angle), np.cos(angle)
        edge = float((rows * y + columns * x).max()) + 0.5 * (abs(y) + abs(x))
        depth = np.minimum(depth, edge - (down * y + across * x))
    # At least half of what is lit stays.
    margin = max(0.0, min(margin, 0.5 * float(depth.max()) - rise))
    part = np.clip((depth - margin) / rise, 0.0, 1.0)
    window = 0.5 - 0.5 * np.cos(np.pi * part)
    if mask is not None:
        window *= uniform_filter(mask.astype(np.float64), SPOT, mode="nearest") * mask
    return window
