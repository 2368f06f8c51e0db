"""What the simulated recordings show: anatomy, cells and activity, made by arithmetic alone.

The bytes that follow from here are the same on every machine. Nothing is used but integer
arithmetic and the IEEE-exact operations + − × ÷ √ and floor on float64, element by element:
no library function whose last bit may differ, and no sum whose order may differ. All constants
are taste; whoever changes one changes the recordings, and the tests' checksums with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Scene", "bell", "chance", "fish", "mouse", "smooth", "texture", "transients"]

UNIT = 256  # brightness is kept in integers, 256 to one grey level
WARM_UP = 32  # frames before the first, so that a recording begins amid activity
BELL = 209  # standard deviation of `bell`
Length = float | np.ndarray  # the same everywhere, or pixel by pixel


@dataclass(frozen=True)
class Scene:
    """All that the values follow from. Pixels are numbered in C order."""

    seed: int
    background: np.ndarray  # (pixels,) int64, in UNITs
    sigma: np.ndarray  # (pixels,) int64: standard deviation of the noise, in UNITs
    cells: list[tuple[np.ndarray, np.ndarray]]  # ascending pixels, weights 0…256
    traces: np.ndarray  # (cells, frames) int64, in UNITs
    limits: tuple[int, int]  # least and greatest grey level

    def values(self, first: int, stop: int, times: np.ndarray) -> np.ndarray:
        """Grey levels of the pixels [first, stop) at some times, (pixels, times) int64."""
        signal = np.zeros((stop - first, len(times)), dtype=np.int64)
        traces = self.traces[:, times]
        for (pixels, weights), trace in zip(self.cells, traces, strict=True):
            if first > 0 or stop < len(self.background):
                inside = slice(*np.searchsorted(pixels, (first, stop)))
                pixels, weights = pixels[inside], weights[inside]
            if len(pixels):
                signal[pixels - first] += weights[:, None] * trace
        noise = bell(self.seed, np.arange(first, stop)[:, None], times)
        noise *= self.sigma[first:stop, None]
        signal += noise
        signal >>= 8
        signal += self.background[first:stop, None]
        signal >>= 8
        return np.clip(signal, *self.limits, out=signal)


# Chance -----------------------------------------------------------------------------------


def _hash(seed: int, *numbers: np.ndarray) -> np.ndarray:
    """64 well mixed bits for each combination of numbers below 2**32, as uint64.

    The mixing is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    """
    x = np.full(1, seed, dtype=np.uint64)
    for number in numbers:
        x = (x << np.uint64(32)) ^ np.asarray(number, dtype=np.uint64)
        x = (x + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x ^= x >> np.uint64(30)
        x *= np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(27)
        x *= np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return x


def bell(seed: int, pixels: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Nearly normal integers of mean 0 and standard deviation 209, int64."""
    bits = _hash(seed, pixels, times)
    # The sum of the eight bytes of each hash: four pairs, then their sum in the top lane.
    lanes = np.uint64(0x00FF00FF00FF00FF)
    pairs = (bits & lanes) + ((bits >> np.uint64(8)) & lanes)
    total = (pairs * np.uint64(0x0001000100010001)) >> np.uint64(48)
    return total.astype(np.int64) - 1020


def chance(seed: int, *numbers: np.ndarray) -> np.ndarray:
    """Uniform float64 in [0, 1), each an exact multiple of 2**-32."""
    return (_hash(seed, *numbers) >> np.uint64(32)).astype(np.float64) / 2.0**32


def texture(seed: int, rows: np.ndarray, columns: np.ndarray, scale: float) -> np.ndarray:
    """Smooth random values in [0, 1) with features of about `scale` pixels."""
    y, x = (rows + 64) / scale, (columns + 64) / scale
    y0, x0 = np.floor(y), np.floor(x)
    v, u = smooth(y - y0), smooth(x - x0)
    corner = [[chance(seed, y0 + i, x0 + j) for j in (0, 1)] for i in (0, 1)]
    above = corner[0][0] * (1 - u) + corner[0][1] * u
    below = corner[1][0] * (1 - u) + corner[1][1] * u
    between: np.ndarray = above * (1 - v) + below * v
    return between


# Shapes -----------------------------------------------------------------------------------


def smooth(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth rise between."""
    x = np.clip(x, 0.0, 1.0)
    rise: np.ndarray = x * x * (3 - 2 * x)
    return rise


def _ellipse(
    y: np.ndarray,
    x: np.ndarray,
    center: tuple[Length, Length],
    radii: tuple[Length, Length],
    edge: float = 0.35,
    slope: float = 0.0,
) -> np.ndarray:
    """1 inside an ellipse, 0 outside; `edge` is the width of the border, `slope` leans it."""
    dx = (x - center[1]) / radii[1]
    dy = (y - center[0] - slope * (x - center[1])) / radii[0]
    return smooth((1 - (dy * dy + dx * dx)) / edge)


def transients(
    seed: int, cells: int, frames: int, *, period: int, decay: int, peak: float, sharing: float
) -> np.ndarray:
    """How bright each cell is at each time: (cells, frames) int64, in UNITs.

    Parameters
    ----------
    period : int
        Frames between stimuli.
    decay : int
        What is left after a frame, in 1/256.
    peak : float
        Grey levels of a strong event.
    sharing : float
        The fraction of cells that respond to stimuli; the others fire by themselves.
    """
    cell = np.arange(cells)[:, None]
    time = np.arange(frames + WARM_UP)
    preferred = np.floor(chance(seed, cell) * 4)
    stimulus = np.where(time % period == cell % 2, (time // period) % 4, -1)
    responds = (chance(seed + 1, cell) < sharing) & (stimulus == preferred)
    responds &= chance(seed + 2, cell, time) < 0.8
    alone = chance(seed + 3, cell, time) < 0.35 / period
    strength = chance(seed + 4, cell)
    strength = 0.15 + 0.85 * strength * strength
    event = (responds | alone) * strength * (0.6 + 0.4 * chance(seed + 5, cell, time))
    event = np.floor(event * (peak * UNIT)).astype(np.int64)
    traces: np.ndarray = np.zeros_like(event)
    level = np.zeros(cells, dtype=np.int64)
    for t in range(len(time)):
        level = (level * decay >> 8) + event[:, t]
        traces[:, t] = level
    return traces[:, WARM_UP:]


def _in_units(levels: np.ndarray) -> np.ndarray:
    units: np.ndarray = np.floor(levels * UNIT).astype(np.int64)
    return units.reshape(-1)


# The fish ---------------------------------------------------------------------------------


def fish() -> Scene:
    """Head to the left, two planes: the second lies deeper and is seen less sharply."""
    dims = (76, 87, 2)
    row, column, page = np.meshgrid(*(np.arange(float(n)) for n in dims), indexing="ij")
    brain, levels = _fish_anatomy(row, column, page)
    cells, footprint = _fish_cells(dims, brain)
    background = 25.6 + levels + 9 * footprint
    sigma = np.sqrt(0.09 + 0.010 * (background - 25))
    traces = transients(11, len(cells), 240, period=9, decay=196, peak=58, sharing=0.6)
    return Scene(1, _in_units(background), _in_units(sigma * 256 / BELL), cells, traces, (25, 185))


def _fish_anatomy(
    row: np.ndarray, column: np.ndarray, page: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where cells lie (0…1), and the grey levels of the tissue above the dark."""
    side, x = np.abs(row - 37.5), column
    deeper = page  # 0 or 1
    fore = _ellipse(side, x, (4.6, 13.0), (6.0 - deeper, 10.0))
    tectum = _ellipse(
        side, x, (11.0, 36.5 + deeper), (12.5 - 1.5 * deeper, 16.5 - 2 * deeper), slope=0.12
    )
    neuropil = _ellipse(side, x, (15.0 - 2 * deeper, 35.0), (6.0, 9.0), edge=0.7, slope=0.12)
    cerebellum = _ellipse(side, x, (6.5, 55.5), (11.0 - 2 * deeper, 4.5))
    hindbrain = _ellipse(side, x, (3.5, 72.0), (9.5 - deeper, 22.0))
    brain = np.maximum.reduce([fore, tectum, cerebellum, hindbrain])
    eye = _ellipse(side, x, (27.0, 22.0), (8.5 + deeper, 12.5 + deeper), edge=0.25)
    lens = _ellipse(side, x, (27.5, 22.0), (6.3 + deeper, 9.5 + deeper), edge=0.4)
    tissue = 58 * fore + 52 * tectum + 74 * cerebellum + 55 * hindbrain
    tissue = tissue + (32 - 44 * deeper) * neuropil * tectum
    overlap = np.maximum(fore + tectum + cerebellum + hindbrain, 1.0)
    groove = 1 - 0.55 * smooth(1 - side / 2.2)
    ventricle = 1 - 0.6 * _ellipse(side, x, (0.0, 47.0), (3.5, 6.5), edge=0.8)
    grain = 0.68 + 0.34 * texture(21, row + 200 * page, column, 3.1)
    grain = grain + 0.22 * texture(22, row + 200 * page, column, 9.0)
    levels = tissue / overlap * groove * ventricle * grain
    levels = levels + (30 + 8 * deeper) * np.maximum(eye - 0.8 * lens, 0.0) * grain
    skin = _ellipse(side, x, (0.0, 44.0), (37.0, 52.0), edge=1.0)
    return brain * groove, levels * (1 - 0.12 * deeper) + 5 * skin


def _fish_cells(
    dims: tuple[int, ...], brain: np.ndarray
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Cells on a jittered grid wherever there is brain, and the sum of their weights (0…1)."""
    cells, footprint = [], np.zeros(dims)
    flat = footprint.reshape(-1)
    spacing = 3.4
    for number in range(26 * 23 * 2):
        page, place = number % 2, number // 2
        shake = chance(31, np.array([number]), np.arange(3))
        y = (place // 26 + 0.2 + 0.6 * shake[0]) * spacing
        x = (place % 26 + 0.2 + 0.6 * shake[1]) * spacing
        if y > 75 or x > 86 or brain[int(y), int(x), page] < 0.6:
            continue
        pixels, weights = _blob(dims, (y, x, float(page)), 1.7 + 0.7 * shake[2])
        cells.append((pixels, np.floor(256 * weights).astype(np.int64)))
        flat[pixels] = np.maximum(flat[pixels], weights)
    return cells, footprint


def _blob(
    dims: tuple[int, ...], center: tuple[float, float, float], radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of one cell and their weights in 0…1; a third of it shows in the other plane."""
    low = [max(0, int(c - radius)) for c in center[:2]]
    high = [min(n, int(c + radius) + 2) for n, c in zip(dims, center[:2], strict=False)]
    row, column, page = np.meshgrid(
        np.arange(low[0], high[0]), np.arange(low[1], high[1]), np.arange(2), indexing="ij"
    )
    dy, dx = (row - center[0]) / radius, (column - center[1]) / radius
    weights = smooth(1 - (dy * dy + dx * dx)) * np.where(page == center[2], 1.0, 0.3)
    pixels = (row * dims[1] + column) * dims[2] + page
    inside = weights > 1 / 64
    return pixels[inside], weights[inside]


# The mouse --------------------------------------------------------------------------------


def mouse() -> Scene:
    """Neuropil crossed by dark vessels, and cells whose nuclei stay dark."""
    dims = (64, 64)
    row, column = np.meshgrid(*(np.arange(float(n)) for n in dims), indexing="ij")
    dy, dx = (row - 31.5) / 32, (column - 31.5) / 32
    neuropil = 0.5 + 0.45 * texture(41, row, column, 2.3) + 0.5 * texture(42, row, column, 13.0)
    levels = 420 * neuropil * (1 - 0.22 * (dy * dy + dx * dx)) * (1 - 0.72 * _vessels(row, column))
    cells, footprint = _mouse_cells(row, column)
    background = 90 + levels + 210 * footprint
    sigma = np.sqrt(60 + 2.6 * background)
    traces = transients(51, len(cells), 500, period=25, decay=236, peak=1500, sharing=0.5)
    return Scene(2, _in_units(background), _in_units(sigma * 256 / BELL), cells, traces, (0, 4095))


def _vessels(row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """1 on the blood vessels: parabolas of three widths."""
    centers = (
        (9 + 0.55 * column - 0.0042 * column * column - row, 2.6),
        (20 + 0.62 * (row - 10) - 0.006 * row * row - column, 1.5),
        (58 - 0.25 * row + 0.005 * row * row - column, 1.2),
    )
    dark = [smooth(1.6 - np.abs(distance) / width) for distance, width in centers]
    darkest: np.ndarray = np.maximum.reduce(dark)
    return darkest


def _mouse_cells(
    row: np.ndarray, column: np.ndarray
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray]:
    """Ring-shaped cells on a jittered grid, none on a vessel, and the sum of their weights."""
    cells, footprint = [], np.zeros(row.shape)
    vessels = _vessels(row, column)
    for number in range(64):
        shake = chance(43, np.array([number]), np.arange(4))
        y = (number // 8 + 0.2 + 0.6 * shake[0]) * 8
        x = (number % 8 + 0.2 + 0.6 * shake[1]) * 8
        if vessels[int(y), int(x)] > 0.2 or shake[2] < 0.15:
            continue
        radius = 3.1 + 1.1 * shake[3]
        dy, dx = (row - y) / radius, (column - x) / radius
        square = dy * dy + dx * dx
        weights = smooth((1 - square) * 2.2) * (1 - 0.6 * smooth(1 - 2.6 * square))
        pixels = np.flatnonzero(weights > 1 / 64)
        cells.append((pixels, np.floor(256 * weights.reshape(-1)[pixels]).astype(np.int64)))
        footprint = np.maximum(footprint, weights)
    return cells, footprint
