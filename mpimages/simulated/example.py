"""Simulated recordings, to try things on: a larval fish brain, a mouse cortex, and one that moves.

What has no pixels, or is made as asked, is in tables.py.

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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from inspect import signature
from typing import Any

import numpy as np

from ..core.arguments import check_choice
from ..core.text import quote
from .datasets import MAKERS, Made, iris, mouse_stimuli
from .moving import MovingScene, moving
from .scenes import Scene, fish, mouse

__all__ = ["Example", "load", "make", "names"]


def names() -> tuple[str, ...]:
    """The names that `load` knows. Local."""
    return tuple(_LOADERS)


def load(name: str) -> Example | Made | dict[str, np.ndarray]:
    """A simulated set by its name. Local; computes nothing yet of a recording.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.
    """
    if not isinstance(name, str):
        raise TypeError(f"name is that of an example, {', '.join(names())}, not {quote(name)}")
    if name not in _LOADERS:
        raise ValueError(f"there is no example {quote(name)}; there are {', '.join(names())}")
    loaded: Example | Made | dict[str, np.ndarray] = _LOADERS[name]()
    return loaded


def make(name: str, seed: int, given: Mapping[str, object]) -> Made:
    """One of the sets that are made as asked. Local; computes no records yet.

    Raises
    ------
    TypeError
        For parameters that the set does not have; the message lists those that it has.
    ValueError
        For an unknown name, or values that cannot be.
    """
    check_choice(name, "dataset", MAKERS)
    maker = MAKERS[name]
    known = [parameter for parameter in signature(maker).parameters if parameter != "seed"]
    for parameter in given:
        if parameter not in known:
            raise TypeError(
                f"{name!r} has no parameter {quote(parameter)}; it has {', '.join(known)}, seed "
                "and returnParams"
            )
    return maker(seed % 2**62, **given)  # they count on from it


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
            "mouse-series", _MOUSE + "; of mouse-images", "series", (64, 64), _INT16, 500, "mouse"
        ),
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
# In the order in which they are named to the user.
_LOADERS: dict[str, Callable[[], Any]] = {
    **{name: partial(RECORDINGS.__getitem__, name) for name in RECORDINGS},
    "mouse-params": mouse_stimuli,
    "iris": iris,
}


@cache
def _scene(name: str) -> Scene | MovingScene:
    makers: dict[str, Callable[[], Scene | MovingScene]]
    makers = {"fish": fish, "mouse": mouse, "moving": moving}
    return makers[name]()
