"""A distributed collection of images or volumes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Self

import numpy as np

from .core.arguments import check_int
from .core.public import entry, public
from .dims import Dims
from .engine.chain import Positions, Renumber, Shape, counted_anew
from .errors import GatherWarning
from .methods.arithmetic import ImageArithmetic
from .methods.averages import Averages
from .methods.axes import Axes
from .methods.base import ImageMethods
from .methods.conversion import ImageConversion
from .methods.filters import Filters
from .methods.geometry import Geometry
from .methods.image_saving import ImageSaving
from .methods.local_correlation import LocalCorrelation
from .methods.lookup import ImageLookup
from .methods.mapping import ImageMapping
from .methods.movie_saving import MovieSaving
from .methods.nwb import ImagesToNWB
from .methods.quality_report import QualityReport
from .methods.registration import Registration
from .methods.repairs import Repairs
from .methods.sampling import Sampling
from .spmd.actions import action

__all__ = ["Images"]

LOOP_WARNING = (
    "a loop over Images brings each image to every rank; apply, meanByRegions and the statistics "
    "leave the images where they are"
)


@public
class Images(
    ImageMapping,
    Sampling,
    ImageLookup,
    ImageArithmetic,
    Averages,
    Geometry,
    Axes,
    Filters,
    LocalCorrelation,
    Repairs,
    Registration,
    QualityReport,
    ImageSaving,
    ImagesToNWB,
    MovieSaving,
    ImageConversion,
    ImageMethods,
):
    """Images or volumes, one a record: the key an int, the value an ndarray of `dims`.

    Made by the ``load*`` methods of `ThunderContext`. Properties are local; every other
    method is to be called by all ranks and gives all ranks the same. Methods that return
    Images or Series are lazy, unless they say "action".

    Attributes
    ----------
    metadata : dict
        Pixel size and unit, frame interval, where the files say so.

    Examples
    --------
    >>> from mpimages import ThunderContext
    >>> tsc = ThunderContext()
    >>> data = tsc.loadExample('fish-images')
    >>> data.maxProjection(axis=2).dims.count
    (76, 87)
    """

    # -- properties: local -----------------------------------------------------------------

    @property
    def shape(self) -> Shape | None:
        """(n, row, column[, page]), as `toArray` gives it; None while only an action can tell.

        Local.
        """
        dims, count = self.dims, self.records.count
        return None if dims is None or count is None else (count, *dims)

    def __len__(self) -> int:
        """The number of images. Local; TypeError while only an action can tell."""
        if self.records.count is None:
            raise TypeError("len() of Images after a filter is not known yet: count() finds it")
        return self.records.count

    def __repr__(self) -> str:
        unknown = "None (inspect to compute)"
        records = self.records
        dims, dtype = (records.dims, records.dtype) if records.inspected else (None, None)
        return "\n".join(
            [
                type(self).__name__,
                f"nrecords: {unknown if records.count is None else records.count}",
                f"dtype: {unknown if dtype is None else dtype}",
                f"dims: {unknown if dims is None else Dims(dims)}",
            ]
        )

    # -- records ---------------------------------------------------------------------------

    @action
    def __getitem__(self, key: int | slice) -> np.ndarray:
        """The image with this key, or a stack of those with keys in a half-open slice.

        Collective; an action. Where the keys are 0…n-1, negative ones count from the end.

        Raises
        ------
        KeyError
            Where there is no such key; the message names the range of keys.
        """
        if isinstance(key, slice):
            return self._slice(key)
        number = check_int(key, "the key of an image")
        keys = self.records.begin("__getitem__")[1].keys
        value = self._find(_from_end(number, keys), "__getitem__")
        if value is None:
            raise KeyError(self._no_such(key))
        return value

    @action
    def get(self, key: int) -> np.ndarray | None:
        """The image with just this key, or None where there is none. Collective; an action."""
        return self._find(check_int(key, "the key of an image"), "get")

    def __iter__(self) -> Iterator[np.ndarray]:
        """Every image in the order of the keys, each an array of its own. Collective; lazy.

        All ranks run the loop, and each gets every image. The ranks read some images at a time,
        within the budget, when the loop comes to them. Methods such as `apply`, `meanByRegions` and
        the statistics leave the images where they are: on several ranks a loop warns of this
        once with a `GatherWarning`.
        """
        place = 0
        while len(batch := self._some(place)):
            place += len(batch)
            for image in batch:
                yield image.copy()

    @entry
    def _some(self, place: int) -> np.ndarray:
        """Some images from a place on, on every rank; none at the end. Collective."""
        if self.session.in_action:  # in its arguments, or in a function for records
            raise TypeError("a loop over Images is for all ranks, and not within another method")
        with self.session.action(f"{type(self).__name__}.__iter__"):
            begun, images = self.records.begin("__iter__")
            with begun.together(place):
                if place == begun.comm.rank == 0 and begun.comm.size > 1:
                    warnings.warn(LOOP_WARNING, GatherWarning, stacklevel=4)
            return begun.gather_some(images, place) if place < images.count else np.empty(0)

    def _slice(self, wanted: slice) -> np.ndarray:
        begun, selection = self.records.begin("__getitem__")
        for bound in (wanted.start, wanted.stop, wanted.step):
            if bound is not None:
                check_int(bound, "the key of an image")
        low, high = (
            None if bound is None else max(0, _from_end(bound, selection.keys))
            for bound in (wanted.start, wanted.stop)
        )
        if wanted.step is not None and wanted.step < 1:
            raise ValueError(f"a slice of keys runs upward, got step {wanted.step}")
        keys = np.asarray(selection.keys, dtype=np.int64)
        start = low if low is not None else (keys[0] if len(keys) else 0)
        inside = keys >= start
        if high is not None:
            inside &= keys < high
        if wanted.step is not None:
            inside &= (keys - start) % min(wanted.step, np.iinfo(np.int64).max) == 0
        kept = np.flatnonzero(inside)
        if len(kept) == 0:
            raise KeyError(self._no_such(f"{wanted.start}:{wanted.stop}"))
        return begun.gather(selection.take(kept))

    def _no_such(self, key: object) -> str:
        keys = self.records.keys
        if keys is None or len(keys) == 0:
            return f"no image with key {key}: the collection has no records"
        return (
            f"no image with key {key}: the {len(keys)} keys lie in {int(keys[0])}…{int(keys[-1])}"
        )

    @action
    def toArray(self) -> np.ndarray:
        """All images in one array, (n,) + dims, on every rank. Collective; an action.

        Raises
        ------
        MemoryError
            Where that exceeds the budget.
        """
        begun, selection = self.records.begin("toArray")
        return begun.gather(selection)

    def renumber(self) -> Self:
        """Count the keys from 0 again, after a filter. Collective; lazy."""
        chain = self.records.chain
        if chain.count is not None:
            keys = range(chain.count)
            old = keys if chain.keys is None else chain.keys
            steps = counted_anew(chain.steps, old, keys)
            return self._derived(replace(chain, keys=keys, steps=steps))
        return self._derived(chain.then(Renumber()))


def _from_end(key: int, keys: Positions) -> int:
    """A key, where a negative one counts from the end; KeyError where keys are no places. Local."""
    if key >= 0:
        return key
    if len(keys) and (keys[0], keys[-1]) != (0, len(keys) - 1):
        raise KeyError(
            f"no image with key {key}: it would count from the end only where the keys are 0…n-1, "
            f"and these lie in {int(keys[0])}…{int(keys[-1])}; call renumber() first, or give a key"
        )
    return key + len(keys)
