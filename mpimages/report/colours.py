"""Colour maps as tables. Local.

Their lightness rises evenly, so that they tell values apart in grey and for eyes that see fewer
colours: viridis and magma (S. van der Walt and N. Smith, 2015, in the public domain), by 17 of
their colours, between which is interpolated.
"""

from __future__ import annotations

import numpy as np

__all__ = ["TABLES", "coloured"]

_COLOURS = {
    "grey": "000000 ffffff",
    "viridis": "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26828e 21918c 1fa088 28ae80 "
    "3fbc73 5ec962 84d44b addc30 d8e219 fde725",
    "magma": "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 "
    "f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf",
}


def _table(text: str) -> np.ndarray:
    colours = np.array([list(bytes.fromhex(word)) for word in text.split()])
    along = np.linspace(0, len(colours) - 1, 256)
    channels = [np.interp(along, np.arange(len(colours)), channel) for channel in colours.T]
    table: np.ndarray = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    return table


TABLES = {name: _table(text) for name, text in _COLOURS.items()}


def coloured(picture: np.ndarray, low: float, high: float, colours: str) -> np.ndarray:
    """(rows, columns) floats as uint8: grey, RGB, or RGBA where NaN is to be transparent."""
    there = ~np.isnan(picture)
    part = np.clip((np.where(there, picture, low) - low) / (high - low), 0, 1)
    found: np.ndarray = TABLES[colours][np.minimum((part * 256).astype(np.int64), 255)]
    if not there.all():
        opaque = np.where(there, 255, 0).astype(np.uint8)
        return np.concatenate([found, opaque[..., None]], axis=-1)
    return found[..., 0] if colours == "grey" else found
