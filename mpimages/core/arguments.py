"""Checks of users' arguments. Local.

Each returns the value in its plain type, or raises TypeError for another type and ValueError for a
value out of range, as "NAME must be ..., got VALUE". They accept any object: its own methods may
raise.
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from .text import quote

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


def check_callable(value: object, name: str) -> None:
    """Raise TypeError unless `value` can be called."""
    if not callable(value):
        raise TypeError(f"{name} must be a function, got {quote(value)}")


def check_flag(value: object, name: str) -> bool:
    """Return a bool; raise TypeError for other types: 'no' and NaN would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {quote(value)}")
    return bool(value)


def check_int(value: object, name: str, least: int | None = None) -> int:
    """Return an int >= `least`; raise TypeError for bool."""
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except Exception:
        raise TypeError(f"{name} must be an integer, got {quote(value)}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} must be at least {least}, got {quote(number)}")
    return number


def check_ints(values: object, name: str, least: int | None = None) -> tuple[int, ...]:
    """Return a tuple of any number of ints, each >= `least`."""
    try:
        if isinstance(values, str | bytes | dict | set):
            raise TypeError
        numbers = tuple(check_int(value, name) for value in values)  # type: ignore[attr-defined]
    except Exception:
        raise TypeError(f"{name} must be a sequence of integers, got {quote(values)}") from None
    for number in numbers:
        check_int(number, name, least)
    return numbers


def check_each(value: object, name: str, least: int | None = None) -> int | tuple[int, ...]:
    """Return an int >= `least`, or a tuple of such: one for each axis."""
    if not isinstance(value, list | tuple | np.ndarray):
        return check_int(value, name, least)
    numbers = check_ints(value, name, least)
    if not numbers:
        raise ValueError(f"{name} must be an integer, or one for each axis, got {quote(value)}")
    return numbers


def check_number(value: object, name: str) -> float:
    """Return a real number as a float; raise ValueError if it is too large."""
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise TypeError(f"{name} must be a number, got {quote(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(
            f"{name} must be within the range of a float, got {quote(value)}"
        ) from None


def check_positive(value: object, name: str) -> float:
    """Return a number as a float; raise ValueError unless it is greater than 0 and finite."""
    number = check_number(value, name)
    if not 0 < number < float("inf"):
        raise ValueError(f"{name} must be greater than 0 and finite, got {quote(value)}")
    return number


def check_percent(value: object, name: str) -> float:
    """Return a percentage, a float from 0 to 100."""
    percent = check_number(value, name)
    if not 0 <= percent <= 100:
        raise ValueError(f"{name} must be from 0 to 100, got {quote(value)}")
    return percent


def check_text(value: object, name: str) -> str:
    """Return a string that is not empty and has no NUL character."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {quote(value)}")
    if not value or "\0" in value:
        raise ValueError(f"{name} must be a name, got {quote(value)}")
    return value


def check_choice(value: object, name: str, choices: Collection[str]) -> str:
    """Return a string that is one of `choices`."""
    expected = f"{name} must be {'one of ' if len(choices) > 1 else ''}" + ", ".join(
        repr(choice) for choice in choices
    )
    if not isinstance(value, str):
        raise TypeError(f"{expected}, got {quote(value)}")
    if value not in choices:
        raise ValueError(f"{expected}, got {quote(value)}")
    return value


def check_dims(value: object, name: str = "dims") -> tuple[int, ...]:
    """Return the shape of an image: (row, column) or (row, column, page)."""
    dims = check_ints(value, name, 1)
    if len(dims) not in (2, 3):
        raise ValueError(f"{name} must be (row, column) or (row, column, page), got {dims}")
    return dims


def check_pattern(values: object, name: str) -> np.ndarray:
    """Return finite numbers for each pixel, or a boolean mask: a copy with 2 or 3 axes.

    Integers become int64 or uint64, floats float64.
    """
    return _check_array(values, name, (2, 3))


def check_operand(
    value: object, name: str, axes: tuple[int, ...], masks: bool = True
) -> tuple[np.ndarray, bool]:
    """Return a number as (1,), or an array as a copy, and whether it is one number.

    Integers become int64 or uint64, floats float64; masks integers, unless they are refused. A
    number may be NaN or infinite.

    Parameters
    ----------
    axes : tuple of int
        How many an array may have.
    """
    array = hasattr(type(value), "__array__") and not isinstance(value, np.generic)
    single = not array and not isinstance(value, list | tuple)
    if single:
        number = check_number(value, name)
        if isinstance(value, int | np.integer) and -(2**63) <= value < 2**64:
            number = int(value)
        return np.array([number]), True
    found = _check_array(value, name, axes)
    if found.dtype == np.bool_:
        if not masks:
            raise TypeError(f"{name} must be numbers, got a boolean mask")
        found = found.astype(np.int64)
    return found, False


def as_array(values: object, name: str) -> np.ndarray:
    """Return what NumPy makes of an argument; raise TypeError where it makes nothing."""
    try:
        return np.asarray(values)
    except MemoryError:
        raise
    except Exception as error:  # of any type: it is the argument that is asked for its items
        raise TypeError(f"{name} must be an array, got {quote(values)}: {error}") from None


def _check_array(values: object, name: str, axes: tuple[int, ...]) -> np.ndarray:
    given = as_array(values, name)
    if np.ma.is_masked(values):
        raise TypeError(f"{name} has masked values: fill them first, with array.filled(value)")
    if given.dtype.kind not in "iufb":
        raise TypeError(f"{name} must be an array of numbers, got {quote(values)}")
    if given.ndim not in axes or not given.size:
        records = "series'" if axes == (1,) else "images'"
        raise ValueError(f"{name} must have the {records} dims, got shape {given.shape}")
    if given.dtype.kind == "b":
        return given.copy()
    wide = np.uint64 if given.dtype == np.uint64 else np.int64
    return given.astype(np.float64 if given.dtype.kind == "f" else wide)


def check_signal(values: object, name: str) -> np.ndarray:
    """Return a signal of finite numbers as float64: (times,), or several of them, (n, times)."""
    try:
        if isinstance(values, str | bytes | dict | set):
            raise TypeError
        given = np.asarray(values)
        if given.dtype.kind not in "iufb" or np.ma.is_masked(values):
            raise TypeError
    except MemoryError:
        raise
    except Exception:  # of any type: it is the argument that is asked for its items
        raise TypeError(f"{name} must be an array of numbers, got {quote(values)}") from None
    if given.ndim not in (1, 2) or not given.size:
        raise ValueError(f"{name} must be 1-D or 2-D and not empty, got shape {given.shape}")
    signal: np.ndarray = given.astype(np.float64)
    if not np.isfinite(signal).all():
        raise ValueError(f"{name} must be finite, got {quote(values)}")
    return signal


def check_index(values: object, name: str = "index", levels: bool = False) -> np.ndarray:
    """Return the labels of an index, integers or floats without fractions, as int64.

    They are 1-D; with `levels` a list of as many labels, two at least, may stand for each label:
    the result is then 2-D.
    """
    try:
        if isinstance(values, str | bytes | dict | set):
            raise TypeError
        # Images and Series, which have this method, refuse it and are not listed.
        given = np.array(values if hasattr(values, "__array__") else list(values))  # type: ignore[call-overload]
        fits = given.ndim == 1 or (levels and given.ndim == 2 and given.shape[1] > 1)
        if not fits or not given.size or given.dtype.kind not in "iuf":
            raise TypeError
        if given.dtype.kind == "f" and not (np.abs(given) < 2.0**63).all():
            raise ValueError  # before the cast, which would warn
        index = given.astype(np.int64)
        if not (index == given).all():
            raise ValueError
    except Exception:
        several = ", or of lists of as many integers" if levels else ""
        raise ValueError(
            f"{name} must be a sequence of integers{several}, got {quote(values)}"
        ) from None
    return index


def check_seed(value: object) -> int:
    """Return a seed of 64 bits; a random one for None."""
    if value is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    return check_int(value, "seed") % 2**64


# -- dtypes --------------------------------------------------------------------------------


def is_record_dtype(dtype: np.dtype) -> bool:
    """Return True if records can have this dtype."""
    return dtype.kind in "iuf" and dtype.itemsize <= 8


def check_record_dtype(dtype: np.dtype, name: str) -> None:
    """Raise TypeError unless records can have this dtype."""
    if not is_record_dtype(dtype):
        raise TypeError(f"{name} must be integers or floats of at most 64 bits, got {dtype}")


def is_small_integer(dtype: np.dtype) -> bool:
    """Return True for integers of at most 16 bits, whose products float64 and int64 add exactly."""
    return dtype.kind in "iu" and dtype.itemsize <= 2


def image_dtype(stored: DTypeLike, name: str = "dtype") -> np.dtype:
    """Return the dtype of images for a stored dtype, in native byte order.

    Booleans become uint8. Raise ValueError if records cannot have the dtype.
    """
    dtype = np.dtype(stored)
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    try:
        check_record_dtype(dtype, name)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return dtype.newbyteorder("=")


def check_dtype(value: object, name: str) -> np.dtype:
    """Return a dtype that stored images may have."""
    try:
        if value is None:  # NumPy takes None as float64
            raise TypeError("there is none")
        dtype: np.dtype = np.dtype(value)  # type: ignore[call-overload]
    except Exception as error:
        raise TypeError(f"{name} must be a dtype, got {quote(value)}: {error}") from None
    image_dtype(dtype, name)
    return dtype


# -- comparing -----------------------------------------------------------------------------


def checksum_of(given: object) -> int:
    """Return a number by which ranks compare a mask, or lists of pixels."""
    import zlib

    if isinstance(given, np.ndarray):
        return zlib.crc32(np.ascontiguousarray(given).data)
    return zlib.crc32(repr(given).encode())
