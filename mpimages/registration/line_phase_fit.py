"""The line phase of a recording, from how odd rows correlate with the rows above and below.

An odd row is compared with the mean of its two neighbours. The two lie to either side, so that
neither a slope of the structures nor a motion along the rows during the frame moves the peak. From
the cross-spectra of all such pairs of rows, summed over the images, follow the coherence at each
frequency, and the phase. For the place of the peak, frequencies are weighted by the square of their
coherence, which for faint images is the weight of maximum likelihood (E. J. Hannan and P. J.
Thomson, "Estimating group delay", Biometrika 60, 1973). Whether there is a peak at all is told by
the coherence itself: then all frequencies take part that show something in common, and a few that
are strong, such as those of a gradient or of stripes, do not suffice.

What all rows have in common takes no part: stripes of the electronics do not move with the rows.
Only the odd rows are cut out by a window, and have no mean there, so that dark borders and what
lies beyond the ends of the rows take no part.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from ..engine.chain import Shape
from ..engine.runner import Action
from ..engine.selection import Selection, Settled
from ..kernels import registration
from ..statistics.passes import statistics
from .correlation import LEAST_POWER, SIGMA
from .line_phase import LinePhase
from .pictures import DARK, RISE, SPOT, Layout

__all__ = ["fit_line_phase"]

# Images of fewer rows or columns show too little.
LEAST = (8, 64)
# The largest phase that is looked for, in pixels: a quarter of so few columns.
REACH = 16
# By so many standard deviations a peak must exceed the rest of the correlation. In 7,500 recordings
# of noise the highest peak has 6.5 where there are 64 columns, and 4.3 where there are more.
RELIABLE = 7.0
# The peaks of both weights must lie within so many pixels.
ALIKE = 1.5
# Rows that are transformed at once.
BAND = 256
# Digits after the point that are kept: of what depends on the processor none is among them.
DIGITS = 4


class RowSpectra:
    """As a step of a chain: sums over pairs of rows of each image, (4, columns // 2 + 1) float64.

    They are the real and the imaginary part of the cross-spectrum, and the power of the odd rows
    and of their neighbours. `window` is 0 to 1, where odd rows are compared, (row, column).
    """

    name = "rowSpectra"

    def __init__(self, window: np.ndarray) -> None:
        pairs = (len(window) - 1) // 2
        self.window = window[1 : 2 * pairs : 2].astype(np.float32)

    def dims(self, dims: Shape | None) -> Shape | None:
        return None if dims is None else (4, dims[1] // 2 + 1)

    def dtype(self, dtype: np.dtype | None) -> np.dtype | None:
        return None if dtype is None else np.dtype(np.float64)

    def run(self, keys: object, batch: np.ndarray) -> np.ndarray:
        dims = batch.shape[1:]
        layout = Layout((0, 0), dims[:2], 1, dims[2:])
        out = np.zeros((len(batch), 4, dims[1] // 2 + 1))
        for i, sums in enumerate(out):  # one by one: pictures are larger than images
            picture = layout.pictures(batch[i : i + 1])[0]
            for page in np.moveaxis(picture, 2, 0) if picture.ndim == 3 else [picture]:
                self._add(_without_profiles(page), sums)
        return out

    def _add(self, picture: np.ndarray, sums: np.ndarray) -> None:
        for first in range(0, len(self.window), BAND):
            window = self.window[first : first + BAND]
            rows = picture[2 * first : 2 * (first + len(window)) + 1]
            odd = _without_mean(rows[1::2], window)
            beside = (rows[:-1:2] + rows[2::2]) * np.float32(0.5)
            a, b = scipy.fft.rfft(odd, axis=1), scipy.fft.rfft(beside, axis=1)
            # By real numbers: products of complex ones have other last bits on other processors.
            a_real, a_imag, b_real, b_imag = (
                part.astype(np.float64) for part in (a.real, a.imag, b.real, b.imag)
            )
            sums[0] += (a_real * b_real + a_imag * b_imag).sum(axis=0)
            sums[1] += (a_imag * b_real - a_real * b_imag).sum(axis=0)
            sums[2] += (a_real * a_real + a_imag * a_imag).sum(axis=0)
            sums[3] += (b_real * b_real + b_imag * b_imag).sum(axis=0)


def _without_profiles(picture: np.ndarray) -> np.ndarray:
    """A copy without what all odd rows, or all even ones, have in common: fixed stripes, slopes."""
    out = picture.copy()
    for first in (0, 1):
        rows = out[first::2]
        rows -= rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return out


def _without_mean(rows: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Rows times their windows, each less so much of the window that its sum is 0."""
    total = np.maximum(window.sum(axis=1, keepdims=True), 1e-30)
    windowed: np.ndarray = rows * window
    windowed -= window * (windowed.sum(axis=1, keepdims=True) / total)
    return windowed


def fit_line_phase(action: Action, images: Selection, nimages: int) -> LinePhase:
    """Find the line phase of up to so many evenly spaced images. Collective."""
    number = min(nimages, images.count)
    sample = images.take((2 * np.arange(number, dtype=np.int64) + 1) * images.count // (2 * number))
    if isinstance(sample, Settled):
        _check_dims(sample.dims)
    mean = statistics(action, sample, ["mean"]).array("mean")
    known = action.require_settled(sample)
    with action.together():
        _check_dims(known.dims)
        step = RowSpectra(window_of_rows(_picture(mean), REACH))
    sums = statistics(action, known.then(step), ["mean"]).array("mean")
    with action.together():
        shift, quality = find_shift(sums, known.dims[1])
    if quality < RELIABLE:
        raise ValueError(
            f"{action.name}: no line phase was found within {REACH} pixels: odd rows of {number} "
            "images tell too little of where they lie against their neighbours (quality "
            f"{quality:.3g}, at least {RELIABLE:g} is needed). Take more images, or images with "
            "more light, or give the phase as a number of pixels"
        )
    return LinePhase(round(shift, DIGITS) + 0.0, round(quality, 2), number)


def _check_dims(dims: Shape) -> None:
    rows, columns = LEAST
    if len(dims) not in (2, 3) or dims[0] < rows or dims[1] < columns:
        raise ValueError(
            f"fitLinePhase needs images or volumes of at least {rows} rows and {columns} columns, "
            f"these have dims {dims}; correctLinePhase takes a number of pixels, too"
        )


def _picture(mean: np.ndarray) -> np.ndarray:
    """One plane of what is lit, without values that are no numbers."""
    plane = mean.max(axis=2) if mean.ndim == 3 else mean
    finite = np.isfinite(plane)
    return np.where(finite, plane, np.median(plane[finite]) if finite.any() else 0.0)


def window_of_rows(picture: np.ndarray, margin: float) -> np.ndarray:
    """The part of each row that is compared: 0 at the ends of what is lit in it, 1 within.

    Parameters
    ----------
    margin : float
        Pixels inside these ends that are left out.

    Returns
    -------
    (row, column) float64 ndarray
    """
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(picture, SPOT, mode="nearest")
    dark, middle = np.percentile(smooth, [1, 50])
    lit = smooth >= dark + DARK * (middle - dark)
    columns = picture.shape[1]
    first = lit.argmax(axis=1)[:, None]
    last = columns - 1 - lit[:, ::-1].argmax(axis=1)[:, None]
    at = np.arange(columns)
    depth = np.minimum(at - first, last - at) + 0.5
    part = np.clip((depth - margin) / (RISE * columns), 0.0, 1.0)
    window: np.ndarray = (0.5 - 0.5 * np.cos(np.pi * part)) * lit.any(axis=1)[:, None]
    return window


def find_shift(sums: np.ndarray, columns: int) -> tuple[float, float]:
    """The shift in pixels and its quality, of `RowSpectra`'s sums; a quality of 0 where none is."""
    real, imag, odd, beside = sums
    power = np.sqrt(odd) * np.sqrt(beside)
    told = power > LEAST_POWER * power.mean()
    told[0] = False
    told[(columns + 1) // 2 :] = False
    real, imag = (
        np.divide(part, power, out=np.zeros(len(power)), where=told) for part in (real, imag)
    )
    smoothing = np.exp(-2 * (np.pi * SIGMA * np.fft.rfftfreq(columns)) ** 2)
    spectra = np.empty((2, 1, 1, len(power)), np.complex64)
    for spectrum, weights in zip(spectra, (np.sqrt(real**2 + imag**2), 1.0), strict=True):
        spectrum.real, spectrum.imag = real * smoothing * weights, imag * smoothing * weights
    surfaces = scipy.fft.irfft(spectra, columns, axis=3)
    place, proof = registration.find_peaks(surfaces, spectra, (0, 0, REACH))[:, 2:]
    height, around, deviation = proof[1:]
    if not abs(place[0] - proof[0]) <= ALIKE or not deviation > 0:
        return 0.0, 0.0
    return float(place[0]), float((height - around) / deviation)
