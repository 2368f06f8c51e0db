"""Arithmetic of colours: red, green and blue from 0 to 1 along the last axis. Local."""

from __future__ import annotations

import numpy as np

__all__ = ["CHANNELS", "coloured", "from_hsv"]

# How many channels an image has along its first axis, by the name of the map.
CHANNELS = {"rgb": 3, "hsv": 3, "hv": 2, "polar": 2, "angle": 2}
# The saturation of 'hv'.
SATURATION = 0.8


def coloured(kind: str, channels: np.ndarray, scale: float) -> np.ndarray:
    """Return the colours of an image of channels, not yet cut to 0…1.

    Parameters
    ----------
    kind : {'rgb', 'hsv', 'hv', 'polar', 'angle'}
    channels : (CHANNELS[kind],) + dims float64 ndarray
    scale : float
        By which brightness is multiplied.
    """
    if kind == "rgb":
        return np.moveaxis(channels, 0, -1) * scale
    if kind == "hsv":
        return from_hsv(channels[0], channels[1], channels[2] * scale)
    if kind == "hv":
        return from_hsv(channels[0], np.full_like(channels[0], SATURATION), channels[1] * scale)
    hue = np.arctan2(channels[1], channels[0]) / (2 * np.pi) % 1
    bright = np.hypot(*channels) * scale if kind == "polar" else np.ones_like(hue)
    return from_hsv(hue, np.ones_like(hue), bright)


def from_hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return red, green and blue of hue, saturation and value, each cut to 0…1.

    A hue of 0 is red, 1/3 green, 2/3 blue and 1 red again (A. R. Smith, "Color gamut transform
    pairs", SIGGRAPH 1978).
    """
    hue, saturation, value = (np.clip(part, 0, 1) for part in (hue, saturation, value))
    # Each colour falls and rises with the distance of the hue from its own, round the circle.
    place = (np.array([5.0, 3.0, 1.0]) + 6 * hue[..., np.newaxis]) % 6
    missing = np.clip(np.minimum(place, 4 - place), 0, 1)
    colours: np.ndarray = value[..., np.newaxis] * (1 - saturation[..., np.newaxis] * missing)
    return colours
