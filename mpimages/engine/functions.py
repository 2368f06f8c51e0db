"""Functions of users as steps: how they are called, and checks of what they return. Local.

If dims or dtype of a result are not declared, each rank takes them from the first result that it
sees, and `Action.stream` makes the ranks agree at the end of the action.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, Self

import numpy as np

from ..core.arguments import check_record_dtype
from ..spmd.watch import between_calls
from .chain import Keyed, Positions, Shape
from .selection import places_of

__all__ = ["Apply", "ApplyBatch", "ApplyWithKeys", "Function", "Unlike", "different"]

# Bytes of records that a function of batches gets at once. They stay in the cache, with what NumPy
# makes of them on the way; the size has no part in the results, nor has the budget.
PIECE_BYTES = 1 << 18

Keys = Sequence[Any] | np.ndarray


class Function:
    """A function of the user's, whose results are records.

    Parameters
    ----------
    func : callable
    dims, dtype : optional
        Those of a result, if they are declared.
    axes : int, optional
        The number of axes that a result must have: a Series' value is 1-D.
    label : callable
        label(key) is the key that users know, for the chain's.
    name : str, optional
        The method's, as messages have it.
    """

    name = "apply"

    def __init__(
        self,
        func: Callable[..., Any],
        dims: Shape | None,
        dtype: np.dtype | None,
        *,
        axes: int | None = None,
        label: Callable[[Any], Any] = int,
        name: str | None = None,
    ) -> None:
        self.func = func
        self.known_dims = dims
        self.known_dtype = dtype if dtype is None else dtype.newbyteorder("=")
        if dtype == np.bool_:
            self.known_dtype = np.dtype(np.uint8)
        self.axes = axes
        self.label = label
        if name is not None:
            self.name = name
        # (key, label, dims, dtype) of results that this rank saw during an action: those of the
        # first record, and of the first record that differs from it.
        self.observed: list[tuple[int, Any, Shape, np.dtype]] = []

    @property
    def known(self) -> bool:
        """True if dims and dtype are declared, or learned and agreed by all ranks."""
        return self.known_dims is not None and self.known_dtype is not None

    def dims(self, dims: Shape | None) -> Shape | None:
        return self.known_dims

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return self.known_dtype

    def check(self, key: int, value: object) -> np.ndarray:
        """Return what the function has returned for a record, compared with what is known."""
        array = self._array(value, f"key {self.label(key)}")
        self._observe(key, array.shape, array.dtype)
        return array

    def _nothing(self) -> np.ndarray:
        """Return the result of no records."""
        return np.empty((0, *(self.known_dims or ())), dtype=self.known_dtype)

    def _array(self, value: object, where: str) -> np.ndarray:
        """Return what the function has returned as an array that records can have."""
        array = np.asarray(value)
        if type(value) is not np.ndarray and np.ma.is_masked(value):
            raise TypeError(
                f"{self.name}: the function returned masked values for {where}; fill "
                "them first, with array.filled(value)"
            )
        if 0 in array.shape:
            raise ValueError(
                f"{self.name}: the function returned shape {array.shape} for {where}: "
                "a record has one value at least"
            )
        if array.dtype == np.bool_:
            array = array.astype(np.uint8)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        check_record_dtype(array.dtype, f"{self.name}: what the function returns for {where}")
        return array

    def _observe(self, key: int, dims: Shape, dtype: np.dtype) -> None:
        """Compare a record's dims and dtype with the declared ones, or the first record's."""
        if (self.known_dims is not None and dims != self.known_dims) or (
            self.known_dtype is not None and dtype != self.known_dtype
        ):
            declared = "any" if self.known_dims is None else self.known_dims
            kind = "any" if self.known_dtype is None else self.known_dtype
            raise ValueError(different(self.name, self.label(key), dims, dtype, declared, kind))
        if not self.observed:
            self.observed.append((key, self.label(key), dims, dtype))
        elif (dims, dtype) != self.observed[0][2:]:
            self.observed.append((key, self.label(key), dims, dtype))
            raise Unlike


class Apply(Function):
    """A function of each record's value."""

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        out = None
        for i, key in enumerate(keys):
            # The function gets a copy, which it may keep or change without damage to a cached
            # record or to a buffer that the next batch will use.
            between_calls()
            value = self._checked(self._call(int(key), batch[i].copy()), int(key))
            if out is None:
                out = np.empty((len(batch), *value.shape), dtype=value.dtype)
            out[i] = value
        return self._nothing() if out is None else out

    def _call(self, key: int, value: np.ndarray) -> object:
        return self.func(value)

    def _checked(self, value: object, key: int) -> np.ndarray:
        label = self.label(key)
        array = self._array(value, f"key {label}")
        if self.axes is not None and array.ndim == 0:
            array = array.reshape((1,) * self.axes)
        if self.axes is not None and array.ndim != self.axes:
            raise ValueError(
                f"{self.name}: the function returned shape {array.shape} for key {label}; "
                f"a value has {self.axes} axis"
            )
        self._observe(key, array.shape, array.dtype)
        return array


class ApplyWithKeys(Keyed, Apply):
    """A function of each record's key and value; the key is that at the time of the call.

    `now` and `then` are None until the records are renumbered: their keys now, ascending, and
    those that the function gets.
    """

    now: np.ndarray | None = None
    then: np.ndarray | None = None

    def renumbered(self, old: Positions, new: Positions) -> Self:
        """See `Keyed`."""
        step = copy(self)
        step.observed = []
        old = np.asarray(old, dtype=np.int64)
        step.now, step.then = np.asarray(new, dtype=np.int64), self._before(old)
        return step

    def _before(self, keys: np.ndarray) -> np.ndarray:
        if self.now is None or self.then is None:
            return keys
        before: np.ndarray = self.then[places_of(self.now, keys)]
        return before

    def _call(self, key: int, value: np.ndarray) -> object:
        given = key if self.now is None else int(self._before(np.array([key]))[0])
        return self.func(self.label(given), value)


class ApplyBatch(Function):
    """A function of the values of many records at once, (k,) + dims."""

    name = "applyBatch"

    def run(self, keys: Keys, batch: np.ndarray) -> np.ndarray:
        step = max(1, PIECE_BYTES * len(batch) // max(1, batch.nbytes))
        out = None
        for i in range(0, len(batch), step):
            between_calls()
            piece = batch[i : i + step].copy()  # see `Apply`
            values = self._checked(self.func(piece), int(keys[i]), len(batch[i : i + step]))
            if out is None:
                out = np.empty((len(batch), *values.shape[1:]), dtype=values.dtype)
            out[i : i + step] = values
        return self._nothing() if out is None else out

    def _checked(self, values: object, key: int, count: int) -> np.ndarray:
        where = f"the {count} records from key {self.label(key)} on"
        array = self._array(values, where)
        if self.axes is not None and array.ndim == 1:  # a number for each record
            array = array.reshape(-1, *(1,) * self.axes)
        if (self.axes is not None and array.ndim != 1 + self.axes) or array.shape[:1] != (count,):
            many = "(k,) + the dims of a result" if self.axes is None else "(k, T) or (k,)"
            raise ValueError(
                f"{self.name}: the function returned shape {array.shape} for {where}; of k "
                f"records it must return {many}"
            )
        self._observe(key, array.shape[1:], array.dtype)
        return array


class Unlike(Exception):
    """A record that differs in shape or dtype from the first that this rank saw.

    The ranks must find out together which record differs from the first of all.
    """


def different(
    name: str,
    key: object,
    dims: Shape,
    dtype: np.dtype,
    first: Shape | str,
    first_dtype: np.dtype | str,
) -> str:
    """Return the message for a record that differs from the first; `name` is the method's."""
    return (
        f"{name}: the record with key {key} has shape {dims} and dtype {dtype}, "
        f"but shape {first} and dtype {first_dtype} were declared or found in the first; "
        "all records of a collection are alike"
    )
