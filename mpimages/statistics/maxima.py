"""The maximum over an axis of the keys of a Series, on all ranks."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from ..core.partition import Partition
from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..spmd import memory_limit
from .accumulator import extremes, float_keys, from_keys, one_label
from .merge import Arrays, MergeInput, Results, finish_by_bands
from .passes import MERGE_SHARE

__all__ = ["project_keys"]

# Runs of fewer records than this are not worth a call each.
SHORT = 8


def project_keys(
    action: Action, series: Selection, shape: Shape, axis: int
) -> tuple[np.ndarray, Settled, Partition]:
    """Take the maximum over an axis of the keys, of dims `shape`. Collective.

    Returns
    -------
    (k, T) ndarray, Settled, Partition
        This rank's share of the result, the settled series, and the result's partition.
    """
    pixels = math.prod(shape) // shape[axis]
    maxima: _Maxima | None = None

    def begin(length: int, dtype: np.dtype) -> _Maxima:
        memory_limit.check_fits(
            3 * pixels * length * dtype.itemsize,
            action.memory,
            action.name,
            "use Images.maxProjection before toSeries, or give the context more with memory=",
        )
        return _Maxima(pixels, length, dtype)

    def add(first: int, batch: np.ndarray) -> None:
        nonlocal maxima
        if maxima is None:
            maxima = begin(batch.shape[1], batch.dtype)
        after = math.prod(shape[axis + 1 :])
        if after < SHORT:
            maxima.add(_projected(np.arange(first, first + len(batch)), shape, axis), batch)
            return
        start = 0
        while start < len(batch):  # as far as the coordinate along the axis is the same
            stop = min(len(batch), start + after - (first + start) % after)
            place = _projected(np.array([first + start]), shape, axis)[0]
            maxima.add_run(int(place), batch[start:stop])
            start = stop

    if isinstance(series, Settled):
        maxima = begin(series.dims[0], series.dtype)
    known = action.stream(series, add, axis)
    with action.together():
        if maxima is None:
            maxima = begin(known.dims[0], known.dtype)
    assert maxima is not None
    merged = finish_by_bands(
        action.session.nodes,
        [maxima.merge_input()],
        {"keys": maxima.keys.dtype},
        maxima.keys.size,
        _copy,
        action.session.workspace.empty,
        action.memory // MERGE_SHARE,
        action.session.segments,
    )["keys"]
    partition = Partition.balanced(pixels, action.comm.size)
    with action.together():
        start, stop = partition.bounds(action.comm.rank)
        block = maxima.values(merged.reshape(maxima.keys.shape)[start:stop])
    return block, known, partition


def _copy(joined: Arrays, out: Results) -> None:
    out["keys"][...] = joined[0][0][0]


def _projected(numbers: np.ndarray, shape: Shape, axis: int) -> np.ndarray:
    """Return the numbers of pixels in the space without an axis. Local."""
    after = math.prod(shape[axis + 1 :])
    projected: np.ndarray = numbers // (after * shape[axis]) * after + numbers % after
    return projected


class _Maxima:
    """Running maxima of series; of floats as integers of the same order. Local."""

    def __init__(self, pixels: int, length: int, dtype: np.dtype) -> None:
        self.dtype = dtype
        kind = np.dtype(f"i{dtype.itemsize}") if dtype.kind == "f" else dtype
        self.keys = np.full((pixels, length), np.iinfo(kind).min, kind)

    def add(self, places: np.ndarray, batch: np.ndarray) -> None:
        """Add series whose maxima are at some places."""
        order = np.argsort(places, kind="stable")
        step = max(1, (1 << 20) * len(batch) // max(1, batch.nbytes))
        for i in range(0, len(batch), step):
            some = order[i : i + step]
            rows = np.ascontiguousarray(batch[some])
            if self.dtype.kind == "f":
                rows = float_keys(rows, "max")
            there, starts = np.unique(places[some], return_index=True)
            self.keys[there] = np.maximum(self.keys[there], np.maximum.reduceat(rows, starts))

    def add_run(self, place: int, rows: np.ndarray) -> None:
        """Add series whose maxima lie one after the other, from a place on."""
        there = self.keys[place : place + len(rows)]
        if self.dtype.kind == "f":
            rows = float_keys(np.ascontiguousarray(rows), "max")
        np.maximum(there, rows, out=there)

    def merge_input(self) -> MergeInput:
        """Return the operand of this rank for the merge."""
        flat = self.keys.reshape(1, -1)
        return MergeInput(lambda: [flat], 1, flat.dtype, one_label, partial(extremes, np.maximum))

    def values(self, keys: np.ndarray) -> np.ndarray:
        """Return the maxima themselves."""
        return from_keys(keys, self.dtype, "max") if self.dtype.kind == "f" else keys.copy()
