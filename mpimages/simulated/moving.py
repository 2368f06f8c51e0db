"""The recording that moves: a mouse cortex at low light, which drifts and trembles.

The tissue is a function of the place, not a picture: each image evaluates it where its pixels
lie in the tissue, so that the displacements are exact and what enters at a border is tissue. As
in scenes.py, nothing is used but integer arithmetic and IEEE-exact operations on float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .scenes import BELL, UNIT, bell, chance, smooth, texture, transients

__all__ = ["MovingScene", "moving"]

SEED = 3
DIMS = (128, 128)
COUNT = 300
OFFSET, GAIN, READING = 100, 20, 6  # grey levels: the dark, a photon, rms of the noise of reading
NEUROPIL = 46  # grey levels above the dark where the tissue is neither bright nor dark
SPACING, REACH = 15.0, 9  # of the cells, and half the side of the square that one is drawn in
GREATEST = 4095  # grey level
STEP = 256  # displacements are multiples of this part of a pixel


@dataclass(frozen=True)
class Cell:
    """A ring around a darker nucleus."""

    row: float
    column: float
    radius: float
    resting: float  # grey levels


@dataclass(frozen=True)
class MovingScene:
    """Tissue, and where it is in each image."""

    shifts: np.ndarray  # (images, 2) float64: positive towards higher rows and columns
    cells: list[Cell]
    traces: np.ndarray  # (cells, images) int64, in UNITs

    def values(self, first: int, stop: int, times: np.ndarray) -> np.ndarray:
        """Grey levels of the pixels [first, stop) at some times, (pixels, times) int64."""
        images = np.empty((stop - first, len(times)), dtype=np.int64)
        for column, time in enumerate(times):
            images[:, column] = self._image(first, stop, int(time))
        return images

    def _image(self, first: int, stop: int, time: int) -> np.ndarray:
        rows = first // DIMS[1], -(-stop // DIMS[1])  # those that hold the pixels
        light = self._light(*rows, time).reshape(-1)
        light = light[first - rows[0] * DIMS[1] : stop - rows[0] * DIMS[1]]
        sigma = np.floor(np.sqrt(READING * READING + GAIN * light) * UNIT / BELL).astype(np.int64)
        noise = bell(SEED, np.arange(first, stop), np.array([time])) * sigma
        levels = np.floor((OFFSET + light) * UNIT).astype(np.int64)
        grey: np.ndarray = (levels + noise + UNIT // 2) // UNIT
        return np.clip(grey, 0, GREATEST, out=grey)

    def _light(self, first: int, stop: int, time: int) -> np.ndarray:
        """Grey levels above the dark in the rows [first, stop)."""
        shift = self.shifts[time]
        row, column = np.arange(first, stop)[:, None] - shift[0], np.arange(DIMS[1]) - shift[1]
        light = _tissue(row, column)
        for cell, trace in zip(self.cells, self.traces[:, time], strict=True):
            seen = _near(row[:, 0], cell.row), _near(column, cell.column)
            weights = _ring(row[seen[0]] - cell.row, column[seen[1]] - cell.column, cell.radius)
            light[seen] += weights * (cell.resting + trace / UNIT)
        return light


def moving() -> MovingScene:
    """Neuropil, vessels and ring-shaped cells, some of them beyond the borders."""
    cells = _cells()
    traces = transients(71, len(cells), COUNT, period=40, decay=240, peak=320, sharing=0.4)
    return MovingScene(_shifts(), cells, traces)


def _shifts() -> np.ndarray:
    """A slow drift, white and persistent jitter, and a few jumps: (COUNT, 2) float64."""
    time, axis = np.arange(COUNT)[:, None], np.arange(2)
    drift = 13 * (texture(61, time, 1000.0 * axis, 110.0) - 0.5)
    white = bell(62, axis, time) * (0.6 / BELL)
    strength = bell(63, axis, time) * STEP
    persistent = np.zeros((COUNT, 2), dtype=np.int64)
    for t in range(1, COUNT):
        persistent[t] = (persistent[t - 1] * 230 >> 8) + strength[t]
    trembling = persistent * (0.45 / BELL / STEP)
    jumps = np.where(chance(64, time) < 0.015, 12 * (chance(65, axis, time) - 0.5), 0.0)
    shifts: np.ndarray = np.floor((drift + white + trembling + jumps) * STEP) / STEP
    return shifts


# Tissue -----------------------------------------------------------------------------------


def _tissue(row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Grey levels above the dark, of all but the cells, at any place."""
    grain = 0.2 + 0.6 * texture(66, row, column, 5.0) + 0.4 * texture(67, row, column, 11.0)
    grain = grain + 0.6 * texture(68, row, column, 37.0)
    levels: np.ndarray = NEUROPIL * grain * (1 - 0.75 * _vessels(row, column))
    return levels


def _vessels(row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """1 on the blood vessels: parabolas of three widths."""
    centers = (
        (24 + 0.5 * column - 0.0021 * column * column - row, 4.0),
        (44 + 0.7 * (row - 30) - 0.0042 * row * row - column, 2.2),
        (112 - 0.35 * row + 0.0031 * row * row - column, 2.0),
    )
    dark = [smooth(1.8 - np.abs(distance) / width) for distance, width in centers]
    darkest: np.ndarray = np.maximum.reduce(dark)
    return darkest


def _cells() -> list[Cell]:
    """On a jittered grid that extends beyond the image; none on a vessel."""
    cells = []
    for number in range(11 * 11):
        shake = chance(69, np.array([number]), np.arange(5))
        row = (number // 11 - 1 + 0.2 + 0.6 * shake[0]) * SPACING
        column = (number % 11 - 1 + 0.2 + 0.6 * shake[1]) * SPACING
        if shake[2] < 0.2 or _vessels(np.array([row]), np.array([column]))[0] > 0.1:
            continue
        cells.append(Cell(row, column, 4.4 + 2.2 * shake[3], 14 + 40 * shake[4]))
    return cells


def _near(places: np.ndarray, center: float) -> slice:
    """Which of some ascending places a cell may reach."""
    return slice(*np.searchsorted(places, (center - REACH, center + REACH)))


def _ring(dy: np.ndarray, dx: np.ndarray, radius: float) -> np.ndarray:
    """How much of a cell is seen at some distances from its center, 0…1."""
    y, x = dy / radius, dx / radius
    square = y * y + x * x
    return smooth(1.6 - square) * (1 - 0.65 * smooth((0.75 - square) * 1.5))
