"""Sizes as text: ``4GB``. Without MPI, so that the command line can check them."""

from __future__ import annotations

import re

import numpy as np

from .text import quote

UNITS = {
    "": 1,
    "b": 1,
    "k": 10**3,
    "kb": 10**3,
    "m": 10**6,
    "mb": 10**6,
    "g": 10**9,
    "gb": 10**9,
    "t": 10**12,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}


def parse_size(size: int | str) -> int:
    """Return bytes from a number or a text such as ``'150M'``, ``'4GB'`` or ``'2 GiB'``.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or not positive.
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer, str)):
        raise TypeError(f"a size must be an integer or a text such as '4GB', got {quote(size)}")
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", size)
        if match is None or match[2].lower() not in UNITS:
            raise ValueError(f"a size must be like '150MB' or '4GiB', got {quote(size)}")
        number = float(match[1]) * UNITS[match[2].lower()]
    else:
        number = int(size)
    if number >= 2**62:
        raise ValueError(f"a size must be below 4 EiB, got {quote(size)}")
    if number < 1:
        raise ValueError(f"a size must be at least 1 byte, got {quote(size)}")
    return int(number)


def size_text(size: int) -> str:
    """Return bytes as a text: ``'1.3 GB'``."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} bytes"
