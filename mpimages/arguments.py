"""What users give, checked and made plain. Local."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .readers.options import checked_dtype
from .shown import shown

__all__ = [
    "as_axes", "as_dtype", "as_flag", "as_index", "as_int", "as_number", "as_percent", "as_seed",
    "image_key",
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
