"""What users give, checked and made plain. Local."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .text import shown

__all__ = [
    "as_axes", "as_dtype", "as_flag", "as_index", "as_int", "as_number", "as_percent", "as_seed",
    "checked_dims", "checked_dtype", "checked_text", "image_dtype", "image_key", "plain_int",
    "positive_int", "positive_ints",
]


def as_flag(value: Any, name: str) -> bool:
    """True or False; TypeError for anything else: 'no' and NaN would count as true."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is True or False, not {shown(value)}")
    return bool(value)


def as_number(value: Any, name: str) -> float:
    """A real number as a float; TypeError where it is none, ValueError beyond a float's range."""
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise TypeError(f"{name} is a number, not {shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is beyond the range of a float: {shown(value)}") from None


def as_axes(values: Any, name: str) -> tuple[int, ...]:
    """One int per axis; TypeError where they are none."""
    try:
        if isinstance(values, str | bytes | dict | set):
            raise TypeError
        items = tuple(values)
    except Exception:  # of any type: it is the argument that is asked for its items
        raise TypeError(
            f"{name} needs whole numbers, one per axis, not {shown(values)}"
        ) from None
    return tuple(as_int(value, name) for value in items)


def as_dtype(value: Any, name: str) -> np.dtype | None:
    """A dtype that records may have, None for None; TypeError or ValueError where it is none."""
    return None if value is None else checked_dtype(value, name)


def as_int(value: Any, name: str) -> int:
    """A plain int; TypeError where it is none (a bool is none)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} needs whole numbers, not {shown(value)}")
    return int(value)


def image_key(key: Any) -> int:
    """An image's key; TypeError where it cannot be one."""
    if isinstance(key, (bool, np.bool_)) or not isinstance(key, (int, np.integer)):
        raise TypeError(f"the keys of images are ints, not {shown(key)}")
    return int(key)


def as_index(values: Iterable[int]) -> np.ndarray:
    """Index labels as a 1-D int64 array of their own; ValueError where they are not whole."""
    try:
        if isinstance(values, str | bytes | dict | set):
            raise TypeError
        index = np.array(list(values) if not isinstance(values, np.ndarray) else values)
    except Exception:  # of any type: it is the values that are asked for themselves
        index = np.empty(0)
    whole = index.ndim == 1 and index.dtype.kind in "iuf"
    if whole and index.dtype.kind == "f":
        whole = bool(np.all((index == np.floor(index)) & (np.abs(index) < 2.0**63)))
    if not whole or index.size == 0 or (index.dtype == np.uint64 and (index >= 2**63).any()):
        raise ValueError(f"an index is a sequence of whole numbers, not {shown(values)}")
    return index.astype(np.int64)


def as_percent(q: float, name: str) -> float:
    """A percentage; TypeError or ValueError where it is none."""
    percent = as_number(q, f"{name}: a percentile")
    if not 0 <= percent <= 100:
        raise ValueError(f"{name}: a percentile lies in 0 … 100, got {shown(q)}")
    return percent


def as_seed(seed: int | None) -> int:
    """The seed as 64 bits; a fresh one where there is none."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed is an int, not {shown(seed)}")
    return int(seed) % 2**64


def image_dtype(stored: DTypeLike, path: str = "") -> np.dtype:
    """The dtype in which values stored as `stored` are handed out: native byte order.

    Parameters
    ----------
    stored : dtype_like
        Integers of 8 to 64 bits, floats of 16 to 64 bits; booleans become uint8.
    path : str
        The file, for the message.

    Raises
    ------
    ValueError
        For every other type (complex, objects, strings, structures).
    """
    dtype = np.dtype(stored)
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    if dtype.kind in "iu" or (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)):
        return dtype.newbyteorder("=")
    where = f"{path}: " if path else ""
    raise ValueError(f"{where}dtype {dtype} cannot be an image's; integers and floats can")


def positive_ints(value: Any, name: str) -> tuple[int, ...]:
    """`value` as a tuple of plain ints above zero; TypeError or ValueError otherwise."""
    try:
        if isinstance(value, (str, bytes, dict, set)):
            raise TypeError
        numbers = tuple(value)
    except Exception:  # of any type: it is the value that is asked for its items
        raise TypeError(f"{name} must be a sequence of integers, got {shown(value)}") from None
    return tuple(positive_int(n, name) for n in numbers)


def positive_int(value: Any, name: str) -> int:
    """`value` as a plain int above zero; TypeError or ValueError otherwise."""
    number = plain_int(value, name)
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


def plain_int(value: Any, name: str) -> int:
    """`value` as a plain int; TypeError where it is none (a bool is none)."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    try:
        return operator.index(value)
    except Exception:  # of any type: it is the value that is asked
        raise TypeError(f"{name} must be an integer, got {shown(value)}") from None


def checked_dtype(value: Any, name: str) -> np.dtype:
    """`value` as a dtype that images may be stored in; TypeError or ValueError otherwise."""
    if value is None:  # to NumPy, float64
        raise TypeError(f"{name} is missing")
    try:
        dtype: np.dtype = np.dtype(value)
    except Exception as error:  # of any type: NumPy asks the value for its attributes
        raise TypeError(f"{name} {shown(value)} is not a dtype: {error}") from None
    try:
        image_dtype(dtype)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return dtype


def checked_dims(value: Any, name: str = "dims") -> tuple[int, ...]:
    """`value` as (row, column) or (row, column, page); TypeError or ValueError otherwise."""
    dims = positive_ints(value, name)
    if len(dims) not in (2, 3):
        raise ValueError(f"{name} must be (row, column) or (row, column, page), got {dims}")
    return dims


def checked_text(value: Any, name: str) -> str:
    """`value` where it is a string that is not empty; TypeError or ValueError otherwise."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, got {shown(value)}")
    if not value or "\0" in value:
        raise ValueError(f"{name} must be a name, got {shown(value)}")
    return value
