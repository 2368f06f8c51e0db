"""What users give, checked and made plain. Local."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["as_index", "as_int", "as_percent", "as_seed", "image_key"]


def as_int(value: Any, name: str) -> int:
    """A plain int; TypeError where it is none (a bool is none)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} needs whole numbers, not {value!r}")
    return int(value)


def image_key(key: Any) -> int:
    """An image's key; TypeError where it cannot be one."""
    if isinstance(key, (bool, np.bool_)) or not isinstance(key, (int, np.integer)):
        raise TypeError(f"the keys of images are ints, not {key!r}")
    return int(key)


def as_index(values: Iterable[int]) -> np.ndarray:
    """Index labels as a 1-D int64 array of their own; ValueError where they are not whole."""
    index = np.array(list(values) if not isinstance(values, np.ndarray) else values)
    whole = index.ndim == 1 and index.dtype.kind in "iuf"
    if whole and index.dtype.kind == "f":
        whole = bool(np.all((index == np.floor(index)) & (np.abs(index) < 2.0**63)))
    if not whole or (index.dtype == np.uint64 and (index >= 2**63).any()):
        raise ValueError(f"an index is a sequence of whole numbers, not {values!r}")
    return index.astype(np.int64)


def as_percent(q: float, name: str) -> float:
    """A percentage; ValueError where it is none."""
    if isinstance(q, bool) or np.ndim(q) != 0 or not 0 <= q <= 100:
        raise ValueError(f"{name}: a percentile lies in 0 … 100, got {q!r}")
    return float(q)


def as_seed(seed: int | None) -> int:
    """The seed as 64 bits; a fresh one where there is none."""
    if seed is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed is an int, not {seed!r}")
    return int(seed) % 2**64
