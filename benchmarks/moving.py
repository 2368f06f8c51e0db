"""Two-photon recordings whose motion is known, to measure motion correction with.

A scene is a canvas of samples that is larger than the image and periodic, and stands for the
trigonometric polynomial through these samples: it is band-limited by construction, and has one
value at each position between the samples. Rigid motion is a product with phases in the Fourier
domain, which is exact. Where each pixel has a displacement of its own, the polynomial is sampled
twice as densely, and a cubic spline goes through these samples. The canvas is so much larger than
the image that what enters at a border is scene, and nothing comes round.

Whatever does not move with the tissue (dark borders, an aperture, the detector) is applied after
the motion. Chance is seeded by the frame: each image can be computed alone, in any order.

    recording = Recording(Parameters(count=400, photons=2))
    recording.image(17), recording.shift(17)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import fft, ndimage, signal, sparse

__all__ = ["Parameters", "Recording", "write"]

MARGIN = (40, 40, 8)  # of the canvas around the image, in pixels and planes
REACH = 12  # half the side of the patch that a cell is drawn in
DEPTH = 6  # the same along the axis
ASPECT = 2.0  # planes are this many times as far apart as pixels are wide
PSF = (1.0, 1.0, 1.6)  # standard deviation of the blur, in pixels and planes
SATURATING = 1e6  # photons for one
# What is drawn from chance; each has a stream of its own.
MOTION, FIELD, SCENE, ACTIVITY, NOISE = range(5)


@dataclass(frozen=True)
class Parameters:
    """All that a recording follows from. Lengths are in pixels, along the axis in planes."""

    dims: tuple[int, ...] = (512, 512)  # rows, columns[, planes]
    count: int = 1000
    photons: float = 2.0  # a pixel, the mean over the image and over time
    seed: int = 0
    mode: str = "rigid"  # or "piecewise"
    field: float = 1.5  # rms of what is not rigid, in each direction
    drift: float = 4.0  # how far it gets from 0 in the course of the recording
    jitter: float = 1.5  # rms in each direction
    jumps: float = 0.002  # the fraction of frames at which one begins
    gain: float = 20.0  # grey levels a photon
    offset: float = 100.0  # grey levels
    noise: float = 8.0  # rms of reading, in grey levels
    ceiling: int = 65535  # the highest grey level
    # What makes it harder
    border: int = 0  # pixels that stay dark on each side
    circle: bool = False  # an aperture that does not move
    blank: tuple[int, ...] = ()  # frames without light
    saturated: tuple[int, ...] = ()  # frames with too much of it
    other: tuple[int, int] = (0, 0)  # first and stop of frames that show another depth
    flat: bool = False  # nothing to see
    extra: bool = False  # a second scene that moves with the first
    phase: float = 0.0  # by how much odd rows lie further to the right
    channel: int = 0  # other cells and another background, the same motion


class Recording:
    """A simulated recording: any image, and where its content is.

    A displacement is (rows, columns[, planes]), positive where the content has moved to higher
    rows, columns or planes. The motion depends on neither photons nor channel.
    """

    def __init__(self, parameters: Parameters) -> None:
        p = parameters
        if p.mode not in ("rigid", "piecewise"):
            raise ValueError(f"mode is 'rigid' or 'piecewise', not {p.mode!r}")
        if p.mode == "piecewise" and len(p.dims) != 2:
            raise ValueError("mode 'piecewise' takes dims of two lengths: rows and columns")
        self.parameters = p
        self.shifts = _shifts(p)
        self._field = _Field(p) if p.mode == "piecewise" else None
        self._first = _Scene(p, 0)
        far = np.abs(self.shifts).max(axis=0)
        far[:2] += self._field.greatest if self._field else 0
        if (far + 2 > MARGIN[: len(p.dims)]).any():
            raise ValueError(f"motion reaches {far}, and the canvas has a margin of {MARGIN}")

    def image(self, i: int) -> np.ndarray:
        """Frame i as it is recorded, dims-shaped, uint16."""
        p = self.parameters
        chance = _chance(p, NOISE, p.channel, self._index(i))
        values = chance.poisson(self.light(i)).astype(np.float32)
        values *= p.gain
        values += p.noise * chance.standard_normal(p.dims, dtype=np.float32)
        values += p.offset + 0.5
        return np.clip(values, 0, p.ceiling, out=values).astype(np.uint16)

    def shift(self, i: int) -> np.ndarray:
        """The rigid part of the displacement of frame i, float64."""
        return self.shifts[self._index(i)].copy()

    def field(self, i: int, step: int = 1) -> np.ndarray:
        """Displacement of what the reference shows at each pixel: (2, rows, columns) float64.

        image(x + field(x)) shows what scene(x) does; `shift` is a part of it. With a step, at
        every so many rows and columns, from the first on.
        """
        rows, columns = self.parameters.dims[:2]
        grid = np.mgrid[0:rows:step, 0:columns:step].astype(np.float64)
        rigid = self.shift(i)[:2, None, None]
        moved = np.zeros_like(grid) + rigid
        if self._field is not None:
            for _ in range(
                8
            ):  # each brings it closer by the slope of the field, three times at least
                moved = rigid + self._field.at(i, grid + moved)
        return moved

    @cached_property
    def scene(self) -> np.ndarray:
        """The mean over time of what there is to see at displacement 0, in photons, float32."""
        canvas = self._canvas(self._first, self._first.mean)
        return _crop(canvas, self.parameters.dims) * self._mask

    @cached_property
    def lost(self) -> frozenset[int]:
        """Frames in which there is no ground for a displacement."""
        p = self.parameters
        if p.flat:
            return frozenset(range(p.count))
        return frozenset(p.blank) | frozenset(p.saturated) | frozenset(range(*p.other))

    def light(self, i: int, moved: bool = True) -> np.ndarray:
        """Photons to be expected in each pixel of frame i, float32; optionally without motion."""
        p = self.parameters
        i = self._index(i)
        if i in p.blank:
            return np.zeros(p.dims, dtype=np.float32)
        shown = self._second if p.other[0] <= i < p.other[1] else self._first
        canvas = self._canvas(shown, shown.traces[i])
        if not moved:
            light = _crop(canvas, p.dims)
        elif self._field is None:
            light = _shifted(canvas, self.shifts[i], p.dims, p.phase)
        else:
            light = _warped(canvas, self.shifts[i, :, None, None] + self._field.on_image(i), p)
        light = np.maximum(light, 0) * self._mask
        if i in p.saturated:
            light *= SATURATING
        return light

    def _canvas(self, scene: _Scene, activity: np.ndarray) -> np.ndarray:
        p = self.parameters
        if p.flat:
            return np.full(_lengths(p.dims), p.photons, dtype=np.float32)
        canvas = scene.at(activity)
        if p.extra:
            canvas = (canvas + self._second.at(self._second.mean)) / 2
        canvas *= p.photons
        return canvas

    @cached_property
    def _second(self) -> _Scene:
        return _Scene(self.parameters, 1)

    @cached_property
    def _mask(self) -> np.ndarray:
        """1 where light arrives, 0 elsewhere, for all planes alike."""
        p = self.parameters
        row, column = np.indices(p.dims[:2])
        edge = np.minimum.reduce([row, column, p.dims[0] - 1 - row, p.dims[1] - 1 - column])
        mask = edge >= p.border
        if p.circle:
            middle = (p.dims[0] - 1) / 2, (p.dims[1] - 1) / 2
            radius = 0.48 * min(p.dims[:2])
            mask &= (row - middle[0]) ** 2 + (column - middle[1]) ** 2 < radius**2
        mask = mask.astype(np.float32)
        return mask if len(p.dims) == 2 else mask[:, :, None]

    def _index(self, i: int) -> int:
        if not 0 <= i < self.parameters.count:
            raise IndexError(f"frame {i} of {self.parameters.count}")
        return i


def write(path: str | Path, recording: Recording) -> None:
    """Write all images into one file: TIFF (a page for each plane) or HDF5, by its name."""
    p = recording.parameters
    suffix = Path(path).suffix.lower()
    if suffix in (".h5", ".hdf5"):
        import h5py

        with h5py.File(path, "w") as file:
            images = file.create_dataset("images", (p.count, *p.dims), dtype="u2")
            for i in range(p.count):
                images[i] = recording.image(i)
    elif suffix in (".tif", ".tiff"):
        import tifffile

        big = 2 * p.count * np.prod(p.dims) > 3.9e9
        with tifffile.TiffWriter(path, bigtiff=bool(big)) as file:
            for i in range(p.count):
                pages = recording.image(i).reshape(*p.dims[:2], -1)
                for page in range(pages.shape[2]):
                    file.write(pages[:, :, page], contiguous=True, metadata=None)
    else:
        raise ValueError(f"path ends in .tif, .tiff, .h5 or .hdf5, unlike {str(path)!r}")


# Chance and motion ------------------------------------------------------------------------


def _chance(p: Parameters, *stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([p.seed, *stream])))


def _shifts(p: Parameters) -> np.ndarray:
    """Drift, jitter and jumps: (count, ndim) float64. Less along the axis."""
    chance = _chance(p, MOTION)
    scale = np.array([1.0, 1.0, 0.25])[: len(p.dims)]
    size = (p.count, len(p.dims))
    time = np.linspace(0, 1, p.count)[:, None]
    angle = chance.uniform(0, 2 * np.pi, (2, size[1]))
    drift = 0.65 * np.sin(2 * np.pi * 0.6 * time + angle[0])
    drift += 0.35 * np.sin(2 * np.pi * 2.1 * time + angle[1])
    jitter = 0.5 * chance.standard_normal(size)
    jitter += np.sqrt(0.75) * _persistent(chance.standard_normal(size), 0.9)
    jump = np.zeros(size)
    for first in np.flatnonzero(chance.random(p.count) < p.jumps):
        frames = slice(first, first + chance.integers(1, 4))
        jump[frames] = chance.uniform(-8, 8, size[1])
    shifts: np.ndarray = scale * (p.drift * drift + p.jitter * jitter + jump)
    return shifts


def _persistent(white: np.ndarray, kept: float) -> np.ndarray:
    """AR(1) along the first axis, of variance 1 from the first frame on."""
    white = white * np.sqrt(1 - kept**2)
    white[0] /= np.sqrt(1 - kept**2)
    return signal.lfilter([1.0], [1.0, -kept], white, axis=0)


class _Field:
    """A smooth field of displacements, a cubic spline between control points, AR(1) in time.

    Its mean over the image is 0 in each frame, and its rms over all frames is as asked for.
    """

    def __init__(self, p: Parameters) -> None:
        self._spacing = np.array(p.dims) / 8
        chance = _chance(p, FIELD)
        white = chance.standard_normal((p.count, 2, 15, 15))  # three more on each side
        control = _persistent(ndimage.gaussian_filter(white, (0, 0, 0.75, 0.75), mode="wrap"), 0.9)
        self._rows = self._basis(0, np.arange(p.dims[0]))
        self._columns = self._basis(1, np.arange(p.dims[1]))
        self._odd = self._basis(1, np.arange(p.dims[1]) - p.phase)  # columns of odd rows
        mean = np.einsum(
            "a,tdab,b->td", self._rows.mean(axis=0), control, self._columns.mean(axis=0)
        )
        control -= mean[..., None, None]
        gram = [basis.T @ basis / len(basis) for basis in (self._rows, self._columns)]
        square = (control * (gram[0] @ control @ gram[1])).sum(axis=(2, 3)).mean()
        self._control = control * (p.field / np.sqrt(square))
        self.greatest = np.abs(self._control).max()  # a spline stays within its control points

    def _basis(self, axis: int, positions: np.ndarray) -> np.ndarray:
        return _spline_basis(positions / self._spacing[axis], 15)

    def on_image(self, i: int) -> np.ndarray:
        """At each pixel, (2, rows, columns): what the image shows there has come by this much."""
        field = np.empty((2, len(self._rows), len(self._columns)))
        for parity, columns in enumerate((self._columns, self._odd)):
            field[:, parity::2] = self._rows[parity::2] @ self._control[i] @ columns.T
        return field

    def at(self, i: int, positions: np.ndarray) -> np.ndarray:
        """The same at any (2, ...) positions."""
        where = positions / self._spacing[:, None, None] + 3
        return np.stack(
            [
                ndimage.map_coordinates(control, where, order=3, prefilter=False, mode="nearest")
                for control in self._control[i]
            ]
        )


def _spline_basis(positions: np.ndarray, knots: int) -> np.ndarray:
    """Weights of control points at -3, -2, ... at some positions: (positions, knots)."""
    distance = np.abs(positions[:, None] - (np.arange(knots) - 3))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far)


# Canvas -----------------------------------------------------------------------------------


def _lengths(dims: tuple[int, ...]) -> tuple[int, ...]:
    """Of the canvas: odd, so that no frequency lies at the limit, and fast to transform."""
    return tuple(_odd_length(n + 2 * margin) for n, margin in zip(dims, MARGIN, strict=False))


def _odd_length(least: int) -> int:
    length = fft.next_fast_len(least)
    while length % 2 == 0:
        length = fft.next_fast_len(length + 1)
    return length


def _crop(canvas: np.ndarray, dims: tuple[int, ...]) -> np.ndarray:
    return canvas[tuple(slice(margin, margin + n) for n, margin in zip(dims, MARGIN, strict=False))]


def _turn(length: int, shift: np.ndarray | float, real: bool = False) -> np.ndarray:
    """The phases that shift by so many samples to higher indices, complex64."""
    frequencies = fft.rfftfreq(length) if real else fft.fftfreq(length)
    return np.exp(-2j * np.pi * frequencies * shift).astype(np.complex64)


def _shifted(
    canvas: np.ndarray, shift: np.ndarray, dims: tuple[int, ...], phase: float
) -> np.ndarray:
    """The part of a canvas that an image shows once all has moved by `shift`."""
    axes = [axis for axis in range(canvas.ndim) if axis != 1]
    spectrum = fft.rfftn(canvas, axes=(*axes, 1))
    for axis in axes:
        turn = _turn(canvas.shape[axis], shift[axis])
        spectrum *= np.expand_dims(turn, [other for other in range(canvas.ndim) if other != axis])
        spectrum = fft.ifft(spectrum, axis=axis, overwrite_x=True)
        inside = slice(MARGIN[axis], MARGIN[axis] + dims[axis])
        spectrum = spectrum[(slice(None),) * axis + (inside,)]
    right = shift[1] + phase * (np.arange(dims[0]) % 2)
    distinct = right[:, None] if phase else right[:1, None]
    turn = _turn(canvas.shape[1], distinct, real=True)
    spectrum = spectrum * np.expand_dims(turn, tuple(range(2, canvas.ndim)))
    rows = fft.irfft(spectrum, canvas.shape[1], axis=1, overwrite_x=True)
    return rows[:, MARGIN[1] : MARGIN[1] + dims[1]]


def _warped(canvas: np.ndarray, field: np.ndarray, p: Parameters) -> np.ndarray:
    """What an image shows where pixel by pixel the content has come by `field`."""
    rows, columns = canvas.shape
    spectrum = fft.rfft2(canvas)
    # The coefficients of the cubic spline through samples half as far apart: sampling divides
    # the spectrum of a spline by (2 + cos) / 3.
    row, column = fft.fftfreq(rows), fft.rfftfreq(columns)
    for along in (row[:, None], column):
        spectrum *= (3 / (2 + np.cos(np.pi * along))).astype(np.float32)
    half = rows // 2 + 1
    dense = np.zeros((2 * rows, columns + 1), dtype=np.complex64)
    dense[:half, : spectrum.shape[1]] = spectrum[:half]
    dense[half - rows :, : spectrum.shape[1]] = spectrum[half:]
    coefficients = 4 * fft.irfft2(dense, (2 * rows, 2 * columns), overwrite_x=True)
    where = np.indices(p.dims) - field
    where[1, 1::2] -= p.phase
    where += np.array(MARGIN[:2])[:, None, None]
    return ndimage.map_coordinates(
        coefficients, 2 * where, order=3, prefilter=False, output=np.float32, mode="grid-wrap"
    )


# Scene ------------------------------------------------------------------------------------


class _Scene:
    """Neuropil, vessels and cells on a canvas, and how active the cells are over time.

    Its mean over the image and over time is 1.
    """

    def __init__(self, p: Parameters, number: int) -> None:
        chance = _chance(p, SCENE, p.channel, number)
        lengths = _lengths(p.dims)
        background = _blurred(_neuropil(chance, lengths) * (1 - 0.7 * _vessels(chance, lengths)))
        self._cells = _cells(chance, lengths)  # (pixels, cells)
        self.traces = _traces(
            _chance(p, ACTIVITY, p.channel, number), self._cells.shape[1], p.count
        )
        self.mean = self.traces.mean(axis=0)
        self._background = background
        mean = _crop(self.at(self.mean), p.dims).mean(dtype=np.float64)
        self._background = (background / mean).astype(np.float32)
        self._cells /= np.float32(mean)

    def at(self, activity: np.ndarray) -> np.ndarray:
        """The canvas when each cell is so bright, an array of its own, float32."""
        cells = (self._cells @ activity).reshape(self._background.shape)
        return self._background + cells


def _blurred(canvas: np.ndarray, width: float = 1.0) -> np.ndarray:
    """Blurred by so many times the point spread function, periodically: in the Fourier domain."""
    spectrum = fft.rfftn(canvas)
    for axis, (length, sigma) in enumerate(zip(canvas.shape, PSF, strict=False)):
        last = axis == canvas.ndim - 1
        frequency = fft.rfftfreq(length) if last else fft.fftfreq(length)
        gauss = np.exp(-2 * (np.pi * width * sigma * frequency) ** 2)
        spectrum *= np.expand_dims(gauss, [other for other in range(canvas.ndim) if other != axis])
    return fft.irfftn(spectrum, canvas.shape)


def _neuropil(chance: np.random.Generator, lengths: tuple[int, ...]) -> np.ndarray:
    """Texture of four scales, positive, about 1."""
    texture = np.zeros(lengths)
    for scale, weight in ((1.2, 0.2), (3.5, 0.17), (11.0, 0.14), (40.0, 0.17)):
        part = _blurred(chance.standard_normal(lengths), scale)
        texture += weight / part.std() * part
    return np.exp(texture)


def _vessels(chance: np.random.Generator, lengths: tuple[int, ...]) -> np.ndarray:
    """1 on blood vessels: where a smooth random field crosses 0, and a few that are wider.

    In a volume they go straight down.
    """
    vessels = np.zeros(lengths[:2])
    for scale, width in ((38.0, 1.6), (90.0, 4.5)):
        level = _blurred(chance.standard_normal(lengths[:2]), scale)
        slope = np.hypot(*np.gradient(level)) + 0.25 * np.abs(level).mean() / scale
        vessels = np.maximum(vessels, np.exp(-((level / slope / width) ** 4)))
    return vessels if len(lengths) == 2 else np.repeat(vessels[:, :, None], lengths[2], axis=2)


def _cells(chance: np.random.Generator, lengths: tuple[int, ...]) -> sparse.csr_array:
    """How bright each cell is in each pixel of the canvas when its activity is 1."""
    reach = np.array((REACH, REACH, DEPTH)[: len(lengths)])
    space = np.array(lengths) - 2 * reach - 1
    wanted = int(np.prod(lengths[:2]) * 150 / 512**2)
    if len(lengths) == 3:
        wanted = int(wanted * lengths[2] / 8)
    centers = np.empty((0, len(lengths)))
    for center in reach + chance.random((20 * wanted, len(lengths))) * space:
        apart = np.linalg.norm(_in_pixels(centers - center), axis=1)
        if len(centers) < wanted and not (apart < 14).any():
            centers = np.vstack([centers, center])
    patch = np.indices(tuple(2 * reach + 1)).reshape(len(lengths), -1)
    pixels, weights = [], []
    for center in centers:
        corner = np.floor(center).astype(int) - reach
        at = corner[:, None] + patch
        distance = np.linalg.norm(_in_pixels((at - center[:, None]).T), axis=1)
        weight = _profile(distance, chance.uniform(4, 7), ring=chance.random() < 0.7)
        seen = weight > 1e-5
        pixels.append(np.ravel_multi_index(tuple(at[:, seen]), lengths))
        weights.append(weight[seen] * chance.uniform(0.7, 1.3))
    column = np.repeat(np.arange(len(centers)), [len(part) for part in pixels])
    place = (np.concatenate(pixels), column)
    shape = (int(np.prod(lengths)), len(centers))
    values = np.concatenate(weights).astype(np.float32)
    return sparse.csr_array((values, place), shape=shape)


def _in_pixels(offset: np.ndarray) -> np.ndarray:
    """Offsets whose third length is in planes, as pixels."""
    return offset * np.array([1.0, 1.0, ASPECT])[: offset.shape[-1]]


def _profile(distance: np.ndarray, radius: float, ring: bool) -> np.ndarray:
    """A disc of this radius with a soft border, or a ring around a darker nucleus."""
    disc = _soft_step(radius - distance, 0.9)
    if ring:
        disc = disc * (1 - 0.65 * _soft_step(0.55 * radius - distance, 0.9))
    return disc


def _soft_step(inside: np.ndarray, sigma: float) -> np.ndarray:
    """The integral of a Gaussian but for 1e-3: from 0 outside to 1 inside."""
    x = inside / sigma
    return 1 / (1 + np.exp(-np.clip(1.5976 * x + 0.07056 * x**3, -60, 60)))


def _traces(chance: np.random.Generator, cells: int, count: int) -> np.ndarray:
    """A resting level and transients that rise within some frames and decay: (count, cells)."""
    before = 100  # a recording begins amid activity
    size = (count + before, cells)
    rate = chance.choice([0.001, 0.01, 0.03], size=cells, p=[0.4, 0.4, 0.2])
    events = (chance.random(size) < rate) * chance.lognormal(0.0, 0.5, size)
    rise, decay = np.exp(-1 / 2.0), np.exp(-1 / 15.0)
    traces = 1.5 * signal.lfilter(
        [0, decay - rise], [1, -decay - rise, decay * rise], events, axis=0
    )
    resting = chance.uniform(0.3, 0.9, cells)
    return (resting + traces[before:] / 0.65).astype(np.float32)
