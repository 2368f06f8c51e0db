"""Simulated recordings, to try things on: a larval fish brain, a mouse cortex, and one that moves.

They are no measurements. Cells with calcium-like transients lie on a structured background,
and every pixel has noise that grows with its brightness. What is simulated:

brightness(pixel, t) = background(pixel) + Σ over cells weight(pixel) · trace(t) + noise(pixel, t)

A trace rises at once and decays by a fixed factor a frame; cells respond to one of four
stimuli that come in turn, or fire by themselves. In 'moving-images' background and cells are
displaced from image to image (moving.py), and `Example.shifts` says by how much.

Chance is a hash of (seed, pixel, time), so that a rank makes the images, or the pixels, that
it owns and no others. The bytes are the same on every machine (how: see scenes.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from ..core.text import quote
from .moving import MovingScene, moving
from .scenes import Scene, fish, mouse

__all__ = ["Example", "load", "names"]


def names() -> tuple[str, ...]:
    """The names that `load` knows. Local."""
    return tuple(RECORDINGS)


def load(name: str) -> Example:
    """A simulated recording by its name. Local; computes nothing yet.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """
    if not isinstance(name, str):
        raise TypeError(f"name is that of an example, {', '.join(names())}, not {quote(name)}")
    if name not in RECORDINGS:
        raise ValueError(f"there is no example {quote(name)}; there are {', '.join(names())}")
    return RECORDINGS[name]


@dataclass(frozen=True)
class Example:
    """One simulated recording, of which any image or any block of pixels can be made alone.

    Attributes
    ----------
    name, description : str
    kind : {'images', 'series'}
        As which collection it is offered; both methods work for either.
    dims : tuple of int
        Shape of one image: (row, column[, page]).
    dtype : numpy.dtype
    count : int
        How many images there are: the length T of every series.
    """

    name: str
    description: str
    kind: str
    dims: tuple[int, ...]
    dtype: np.dtype
    count: int
    scene: str = field(repr=False)

    @property
    def npixels(self) -> int:
        """The number of pixels of one image."""
        return int(np.prod(self.dims))

    def image(self, i: int) -> np.ndarray:
        """Image i, a dims-shaped array of its own. Local."""
        if not 0 <= i < self.count:
            raise IndexError(f"image {i} of {self.name}, which has {self.count}")
        values = _scene(self.scene).values(0, self.npixels, np.array([i]))
        return values.astype(self.dtype).reshape(self.dims)

    def block(self, first: int, stop: int) -> np.ndarray:
        """All times of the pixels [first, stop), in C order of an image: (k, T). Local."""
        if not 0 <= first <= stop <= self.npixels:
            raise IndexError(f"pixels {first}:{stop} of {self.name}, which has {self.npixels}")
        values = _scene(self.scene).values(first, stop, np.arange(self.count))
        return values.astype(self.dtype)

    @property
    def shifts(self) -> np.ndarray:
        """By how much the content of each image has moved: (count, 2) float64, in pixels.

        Positive towards higher rows and columns, of `dims`; 0 where nothing moves.
        """
        scene = _scene(self.scene)
        return scene.shifts.copy() if isinstance(scene, MovingScene) else np.zeros((self.count, 2))


SIMULATED = "Simulated, not measured: "
_FISH = SIMULATED + "larval zebrafish brain from above, two planes, calcium indicator"
_MOUSE = SIMULATED + "mouse cortex, one plane, calcium indicator"
_UINT8, _INT16 = np.dtype(np.uint8), np.dtype(np.int16)
RECORDINGS = {
    example.name: example
    for example in (
        Example(
            "fish-images",
            _FISH + "; the beginning of fish-series",
            "images",
            (76, 87, 2),
            _UINT8,
            20,
            "fish",
        ),
        Example("mouse-images", _MOUSE, "images", (64, 64), _INT16, 500, "mouse"),
        Example("fish-series", _FISH, "series", (76, 87, 2), _UINT8, 240, "fish"),
        Example(
            "moving-images",
            _MOUSE + ", at low light; it drifts and trembles",
            "images",
            (128, 128),
            np.dtype(np.uint16),
            300,
            "moving",
        ),
    )
}


@cache
def _scene(name: str) -> Scene | MovingScene:
    makers: dict[str, Callable[[], Scene | MovingScene]]
    makers = {"fish": fish, "mouse": mouse, "moving": moving}
    return makers[name]()
