"""Palettes that show intensities as they are: grey, from black to white in even steps."""

from __future__ import annotations

import numpy as np

BYTE, WORD = 255, 65535


def is_grey_ramp(palette: np.ndarray, bits: int) -> bool:
    """Whether a palette shows each of its indices as the grey level of that number.

    Parameters
    ----------
    palette : (3, entries) ndarray of integers
        Red, green and blue, of 8 or 16 bits; it may have fewer entries than there are indices.
    bits : int
        Of an index.

    Notes
    -----
    White is the highest of 8 or 16 bits; or less than one step of the ramp below it, as where
    the index was shifted; some programs write the indices themselves.
    """
    levels = palette[0].astype(np.int64)
    least = 1 if bits <= 8 else 0  # several of 16 bits may have one level of 8
    if (palette != palette[0]).any() or (np.diff(levels) < least).any():
        return False
    last = (1 << bits) - 1
    whites = {last, BYTE, BYTE << 8, WORD, last << max(0, 8 - bits), last << (16 - bits)}
    indices = np.arange(levels.size)
    return any((abs(levels - indices * (white / last)) <= white / BYTE).all() for white in whites)
