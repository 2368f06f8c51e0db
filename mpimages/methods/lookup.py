"""Methods that look up records by their keys."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from ..collection import Collection
from ..core.arguments import check_flag, check_int, check_ints
from ..core.public import public
from ..core.text import quote
from ..engine.chain import FilterKeys, Positions, Selector
from ..engine.runner import Action
from ..engine.selection import Selection, pick, places_of
from ..spmd.actions import action
from .base import ImageMethods, SeriesMethods

__all__ = ["ImageLookup", "Lookup", "SeriesLookup"]

# The largest key that there may be.
MOST = 2**63 - 1

Bounds = tuple[int | None, int | None]  # half-open


@public
class Lookup(Collection):
    """Several records by their keys."""

    @action
    def getMany(self, keys: Iterable[Any]) -> list[np.ndarray | None]:
        """The values of several records by their keys, on every rank. Collective; an action.

        Parameters
        ----------
        keys : sequence
            Of ints for Images, of (row, column[, page]) for Series. A key may come twice.

        Returns
        -------
        list of ndarray or None
            In the order of `keys`; None where there is no record with this key, as `get` has it.

        Raises
        ------
        MemoryError
            Where the values exceed the budget.
        """
        wanted = self._checked_keys(keys)
        begun, selection = self.records.begin("getMany")
        places = places_of(selection.keys, np.array(self._numbers(wanted), dtype=np.int64))
        begun.together(places.tolist()).agree()
        kept = np.unique(places[places >= 0])
        if len(kept) == 0:
            return [None] * len(places)
        rows = begun.gather(selection.take(kept))
        given: set[int] = set()
        found: list[np.ndarray | None] = []
        for place in places.tolist():
            row = None if place < 0 else rows[np.searchsorted(kept, place)]
            # A record that is asked for twice is two arrays, of which one may be changed.
            found.append(row.copy() if row is not None and place in given else row)
            given.add(place)
        return found

    @action
    def getRange(self, slices: object, keys: bool = True) -> list[Any]:
        """The records whose keys lie in a range, on every rank. Collective; an action.

        Parameters
        ----------
        slices : slice, or sequence of slices
            The first key and the end, which is excluded; None leaves a side open. A Series takes a
            slice for each axis of its keys: a box of pixels.
        keys : bool
            Return pairs (key, value), otherwise values.

        Returns
        -------
        list
            In the order of the keys; empty where there are none.

        Raises
        ------
        ValueError
            For a slice with a step, and for another number of slices than keys have axes.
        MemoryError
            Where the values exceed the budget.
        """
        wanted = [slices] if isinstance(slices, slice) else slices
        if not isinstance(wanted, list | tuple) or not all(isinstance(s, slice) for s in wanted):
            raise TypeError(
                f"getRange: slices must be a slice or a sequence of slices, got {quote(slices)}"
            )
        bounds = [_bounds(part) for part in wanted]
        check_flag(keys, "getRange: keys")
        begun, selection = self.records.begin("getRange")
        kept = self._inside(selection.keys, bounds, "getRange")
        begun.together((bounds, keys)).agree()
        rows = self._gathered(begun, selection, kept)
        if not keys:
            return rows
        return [
            (self._key(int(key)), row)
            for key, row in zip(pick(selection.keys, kept), rows, strict=True)
        ]

    def _gathered(self, begun: Action, selection: Selection, kept: np.ndarray) -> list[Any]:
        return list(begun.gather(selection.take(kept))) if len(kept) else []

    def _part(self, start: tuple[int, ...], stop: tuple[int, ...]) -> Self:
        """The records with start <= key < stop along each axis of the keys. Local."""
        for first, end in zip(start, stop, strict=True):
            if first >= end:
                raise ValueError(f"range: start {first} must be below stop {end}")
        bounds: list[Bounds] = list(zip(start, stop, strict=True))
        chain = self.records.chain
        known = not any(isinstance(step, Selector) for step in chain.steps)
        if chain.keys is None or chain.positions is None or not known:

            def inside(key: Any) -> bool:
                own = key if isinstance(key, tuple) else (key,)
                if len(own) != len(start):
                    raise ValueError(_other_axes("range", len(start), len(own)))
                return all(a <= k < b for a, k, b in zip(start, own, stop, strict=True))

            return self._derived(chain.then(FilterKeys(inside, self._key)))
        kept = self._inside(chain.keys, bounds, "range")
        return self._derived(
            replace(chain, positions=_picked(chain.positions, kept), keys=_picked(chain.keys, kept))
        )

    def _checked_keys(self, keys: object) -> list[Any]:
        """Keys as users give them. Local."""
        raise NotImplementedError

    def _numbers(self, keys: list[Any]) -> list[int]:
        """The chain's keys, -1 where there can be none; once it is settled. Local."""
        raise NotImplementedError

    def _inside(self, keys: Positions, bounds: list[Bounds], method: str) -> np.ndarray:
        """The places of the chain's keys that lie within bounds for each axis. Local."""
        raise NotImplementedError


@public
class ImageLookup(Lookup, ImageMethods):
    """Several images by their keys."""

    def range(self, start: int, stop: int) -> Self:
        """The images with start <= key < stop. Collective; lazy.

        Keys stay what they are. No value is read.

        Raises
        ------
        ValueError
            Where `start` is not below `stop`.
        """
        return self._part((check_int(start, "range: start"),), (check_int(stop, "range: stop"),))

    def _checked_keys(self, keys: object) -> list[int]:
        return list(check_ints(keys, "getMany: keys"))

    def _numbers(self, keys: list[int]) -> list[int]:
        return [min(key, MOST) if key >= 0 else -1 for key in keys]

    def _inside(self, keys: Positions, bounds: list[Bounds], method: str) -> np.ndarray:
        if len(bounds) != 1:
            raise ValueError(_other_axes(method, len(bounds), 1))
        ((start, stop),) = bounds
        first = 0 if start is None else bisect_left(keys, start)
        end = len(keys) if stop is None else bisect_left(keys, stop)
        return np.arange(first, max(first, end))


@public
class SeriesLookup(Lookup, SeriesMethods):
    """Several series by their pixels."""

    def range(self, start: Sequence[int], stop: Sequence[int]) -> Self:
        """The series of a box of pixels: start <= key < stop along each axis. Collective; lazy.

        Keys stay what they are. No value is read.

        Parameters
        ----------
        start, stop : (row, column[, page])

        Raises
        ------
        ValueError
            Where `start` is not below `stop` along an axis, or they have other axes than the keys.
        """
        first, end = check_ints(start, "range: start"), check_ints(stop, "range: stop")
        shape = self._shape()
        axes = len(first) if shape is None else len(shape)
        for bound in (first, end):
            if len(bound) != axes:
                raise ValueError(_other_axes("range", len(bound), axes))
        return self._part(first, end)

    def _checked_keys(self, keys: object) -> list[tuple[int, ...]]:
        try:
            if isinstance(keys, str | bytes | dict | set):
                raise TypeError
            given: list[Any] = list(keys)  # type: ignore[call-overload]
            return [check_ints(key, "getMany: keys") for key in given]
        except Exception:
            raise TypeError(
                f"getMany: keys must be a sequence of pixels, got {quote(keys)}"
            ) from None

    def _numbers(self, keys: list[tuple[int, ...]]) -> list[int]:
        return [self._number(key, from_end=False) for key in keys]

    def _inside(self, keys: Positions, bounds: list[Bounds], method: str) -> np.ndarray:
        shape = self._extent()
        if len(bounds) != len(shape):
            raise ValueError(_other_axes(method, len(bounds), len(shape)))
        axes = [
            np.arange(size)[max(0, start or 0) : size if stop is None else max(0, stop)]
            for (start, stop), size in zip(bounds, shape, strict=True)
        ]
        numbers = np.ravel_multi_index(np.ix_(*axes), shape).reshape(-1)
        places = places_of(keys, numbers.astype(np.int64))
        kept: np.ndarray = places[places >= 0]
        return kept


def _bounds(part: slice) -> Bounds:
    if part.step is not None:
        raise ValueError(f"getRange: a slice of keys has no step, got {quote(part.step)}")
    start, stop = (
        None if bound is None else check_int(bound, "getRange: slices")
        for bound in (part.start, part.stop)
    )
    return start, stop


def _other_axes(method: str, given: int, axes: int) -> str:
    return f"{method}: the keys have {axes} axes, but {given} were given"


def _picked(positions: Positions, kept: np.ndarray) -> Positions:
    """The positions at ascending places; as a range where it is one, which takes no memory."""
    if len(kept) and len(kept) == kept[-1] - kept[0] + 1:
        return positions[int(kept[0]) : int(kept[-1]) + 1]
    return pick(positions, kept)
