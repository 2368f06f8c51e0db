"""Arithmetic of each record with a number, an array or a record; bounds, and other dtypes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np

from ..collection import Collection
from ..core.arguments import check_callable, check_choice, check_dtype, check_number, check_operand
from ..core.public import public
from ..core.text import quote
from ..engine.arithmetic import Arithmetic as Step
from ..engine.arithmetic import Cast, Clip, ElementWise
from ..engine.chain import Chain
from ..engine.derived_source import check_local
from ..engine.pair_source import ArithmeticOfTwo, Combination, FunctionOfTwo, PairSource
from .base import ImageMethods, SeriesMethods

__all__ = ["Arithmetic", "ImageArithmetic", "SeriesArithmetic"]

Operand = float | np.ndarray | Collection
CASTINGS = ("safe", "same_kind", "unsafe", "no", "equiv")


@public
class Arithmetic(Collection):
    """Arithmetic of each record with `other`, value by value. Lazy.

    `other` is a number, an array of a record's dims, or a collection with as many records.
    """

    _kind: ClassVar[type[Collection]]
    _records: ClassVar[str]
    _axes: ClassVar[tuple[int, ...]]

    def plus(self, other: Operand) -> Self:
        """Add `other` to each record; no sum wraps around. Collective; lazy.

        Parameters
        ----------
        other : number, ndarray, or Images or Series
            One number, or an array of a record's dims: (T,) for a Series. For volumes it may be
            2-D: the same for all planes. A boolean mask counts as 0 and 1. Or a collection of the
            same kind, context, keys and dims, of which each record is added to the one with its
            key.

        Returns
        -------
        Images or Series
            Integers and integers are integers of twice as many bits as the records', at most 64:
            unsigned if the records are and `other` has no negative number, else signed. All others
            are float32 where the records are integers of at most 16 bits, float16 or float32, else
            float64; NaN and infinity as in NumPy. Of two collections the wider dtype counts, and
            `other` may have negative numbers if its dtype is signed.

        Raises
        ------
        ValueError
            Where `other` has other dims or keys, or is so large that the result's dtype would not
            hold each result. Where it is a collection in memory whose records are on other ranks
            than these; and where one of the two is a Series of `toSeries` that was not cached.
        OverflowError
            By the action, where 64 bits cannot hold a result of integers of 64 bits.

        Notes
        -----
        Of two collections each rank reads both records of its pairs; none is moved. Where only one
        is in memory, the other's are read by the ranks that have its records.
        """
        return self._arithmetic("plus", other)

    def minus(self, other: Operand) -> Self:
        """Subtract `other` from each record; no difference wraps around. Collective; lazy.

        As `plus`, but integers minus integers are always signed.
        """
        return self._arithmetic("minus", other)

    def dottimes(self, other: Operand) -> Self:
        """Multiply each record by `other`, value by value; nothing wraps. Collective; lazy.

        As `plus`. A boolean mask keeps the pixels that it marks, and makes all others 0.
        """
        return self._arithmetic("dottimes", other)

    def dotdivide(self, other: Operand) -> Self:
        """Divide each record by `other`, value by value. Collective; lazy.

        Parameters
        ----------
        other : number, ndarray, or Images or Series
            As in `plus`.

        Returns
        -------
        Images or Series
            float32 where the records are integers of at most 16 bits, float16 or float32, else
            float64. What is divided by 0 is infinite, or NaN, as in NumPy.

        Raises
        ------
        ValueError
            Where `other` has other dims; see `plus`.
        """
        return self._arithmetic("dotdivide", other)

    def elementWise(
        self, other: Operand, op: Callable[[np.ndarray, Any], np.ndarray], dtype: object = None
    ) -> Self:
        """op(value, other) for each record. Collective; lazy.

        Parameters
        ----------
        other : number, ndarray, or Images or Series
            As in `plus`; `op` gets a float64, int64 or uint64, or a read-only array of these. Of
            two collections it gets two values of the same key.
        op : callable
            Such as ``np.hypot``. It returns an array of the record's dims.
        dtype : optional
            Of what it returns; undeclared, it stays None until an action has run. Of two
            collections `op` is then called once more for the first pair.

        Raises
        ------
        ValueError
            Where `other` has other dims, or `op` returns other dims; see `plus`.
        """
        check_callable(op, "elementWise: op")
        kind = None if dtype is None else check_dtype(dtype, "dtype")
        if isinstance(other, Collection):
            return self._paired(other, FunctionOfTwo(op, kind, self._key))
        val, single = check_operand(other, "elementWise: other", self._axes)
        step = ElementWise(op, val, single, self.records.dims, kind, self._key, self._records)
        return self._checked(step)

    def clip(self, min: float | None = None, max: float | None = None) -> Self:
        """Bound each value from below, from above, or both. Collective; lazy.

        Parameters
        ----------
        min, max : number, optional
            One at least. Infinity leaves a side open.

        Returns
        -------
        Images or Series
            In the records' dtype. Of integers those are left that lie between `min` and `max`:
            bounds with fractions are not rounded beyond, and one outside of the dtype's range has
            no effect. NaN stays NaN.

        Raises
        ------
        ValueError
            Where `min` is above `max`, or the dtype has no value between them.
        """
        if min is None and max is None:
            raise ValueError("clip: give min, max or both")
        low, high = _bound(min, "clip: min"), _bound(max, "clip: max")
        if low is not None and high is not None and low > high:
            raise ValueError(f"clip: min {quote(min)} is above max {quote(max)}")
        return self._checked(Clip(low, high))

    def astype(self, dtype: object, casting: str = "safe") -> Self:
        """Convert each value to another dtype. Collective; lazy.

        Parameters
        ----------
        dtype : numpy.dtype or text
            Or ``'smallfloat'``: the smallest float that holds each value: float16 for integers of 8
            bits, float32 for those of 16, else float64; floats stay what they are.
        casting : {'safe', 'same_kind', 'unsafe', 'no', 'equiv'}
            What is allowed, as in NumPy. By default only a dtype that holds all values of the
            records'.

        Returns
        -------
        Images or Series
            Floats that become integers are cut towards 0, floats that become smaller are rounded.

        Raises
        ------
        TypeError
            Where `casting` does not allow it; where dtypes are not known yet, by the action.
        OverflowError
            By the action, where an integer dtype cannot hold a value: NumPy would wrap around.
        """
        kind: np.dtype | str = "smallfloat"
        if not isinstance(dtype, str) or dtype != kind:
            kind = check_dtype(dtype, "astype: dtype").newbyteorder("=")
            if kind == np.bool_:
                raise ValueError(
                    "astype: dtype must be of integers or floats, got bool; "
                    "apply(lambda value: value != 0) makes masks"
                )
        return self._checked(Cast(kind, check_choice(casting, "astype: casting", CASTINGS)))

    def _arithmetic(self, op: str, other: object) -> Self:
        if isinstance(other, Collection):
            return self._paired(other, ArithmeticOfTwo(op))
        val, single = check_operand(other, f"{op}: other", self._axes)
        return self._checked(Step(op, val, single, op, records=self._records))

    def _paired(self, other: Collection, made: Combination) -> Self:
        """The records of two collections as one. Local."""
        name = made.name
        if not isinstance(other, self._kind):
            raise TypeError(
                f"{name}: other must be of the same kind, got {type(other).__name__} for "
                f"{type(self).__name__}"
            )
        if other.session is not self.session:
            raise ValueError(f"{name}: other must be of the same ThunderContext")
        both = []
        for each in (self, other):
            check_local(each.records.chain.source, name)
            both.append(each.records.on(each.records.chain))
        source = PairSource(both[0], both[1], made)
        chain = Chain.whole(source)
        if chain.positions is not None:
            source.check()
            chain = replace(chain, keys=source.keys)
        return self._derived(chain)

    def _checked(self, step: Any) -> Self:
        """One more step; a wrong one is refused now where dims and dtype are known. Local."""
        derived = self._then(step)
        _ = derived.records.chain.dims, derived.records.chain.dtype
        return derived


@public
class ImageArithmetic(Arithmetic, ImageMethods):
    """Arithmetic of images."""

    _kind = ImageMethods
    _records = "images"
    _axes = (1, 2, 3, 4)

    def subtract(self, val: float | np.ndarray) -> Self:
        """Subtract `val` from each image; no difference wraps around. Collective; lazy.

        Parameters
        ----------
        val : number or ndarray
            A finite number, or an array of the images' dims: one number for each pixel. For
            volumes it may be 2-D: the same for all planes.

        Returns
        -------
        Images
            Integers minus integers are signed integers of twice as many bits, at most 64. All
            others are float32 where the images are integers of at most 16 bits, float16 or
            float32, else float64.

        Raises
        ------
        ValueError
            Where `val` is not finite, has other dims, or is so large that the result's dtype
            would not hold each difference.
        OverflowError
            By the action, where int64 cannot hold a difference of integers of 64 bits.
        """
        found, single = check_operand(val, "subtract: val", (2, 3), masks=False)
        wrong = np.count_nonzero(~np.isfinite(found))
        if wrong:
            raise ValueError(f"subtract: val must be finite, got {wrong} values that are not")
        return self._then(Step("minus", found, single, "subtract", "val"))


@public
class SeriesArithmetic(Arithmetic, SeriesMethods):
    """Arithmetic of series."""

    _kind = SeriesMethods
    _records = "series"
    _axes = (1,)


def _bound(value: object, name: str) -> float | int | None:
    if value is None:
        return None
    number = check_number(value, name)
    if number != number:
        raise ValueError(f"{name} must be a number, got nan")
    return int(value) if isinstance(value, int | np.integer) else number  # exact beyond 2**53
