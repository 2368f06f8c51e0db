"""Where pictures lie against templates: correlation weighted by what the frames have in common.

At a frequency f, the Fourier transform F of a frame of a scene R that moved by d is
R exp(-2 pi i f d) plus what changes: photon noise, cells that fire, lines of a detector. Where
that has the power N(f), the logarithm of the likelihood of d is the sum over all f of
conj(R) F exp(2 pi i f d) / N: the correlation with a template that is divided by the power of the
noise (generalised correlation, C. Knapp and G. Carter, IEEE Trans. ASSP 24, 1976). N is taken as
the mean power of the frames. Of faint frames that is noise alone. Of bright ones it approaches R's
own power, and the correlation becomes the phase correlation (C. Kuglin and D. Hines, Proc. IEEE
Conf. on Cybernetics and Society, 1975).

Only the template is cut out by a window, and it has no mean, so that neither the brightness of a
frame nor what enters at its borders takes part, and nothing wraps within the window's margin. The
peak lies between grid points where the gradient of the correlation, a trigonometric polynomial, is
zero (Newton's method; M. Guizar-Sicairos et al., Opt. Lett. 33, 2008, sample it more finely).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from ..engine.chain import Shape
from ..kernels import registration

__all__ = ["Templates", "fast_length", "mean_power"]

# Standard deviation, in pixels of a picture, of the Gaussian that smooths a correlation, and the
# frequency in cycles a pixel above which it has no terms; of planes, which lie far apart, less.
SIGMA, CUT = 1.0, 0.35
SIGMA_OF_PLANES, CUT_OF_PLANES = 0.5, 0.5
# Power that exceeds the mean at its frequency by this factor belongs to lines, not to the scene.
LINES = 4.0
# Power counts as this part of the mean at least.
LEAST_POWER = 1e-6


def fast_length(n: int, most: int | None = None) -> int:
    """The next length with a fast transform: at least n, or at most n where `most` is given."""
    if most is None:
        return int(scipy.fft.next_fast_len(n, real=True))
    while scipy.fft.next_fast_len(most, real=True) != most:
        most -= 1
    return most


def mean_power(power: np.ndarray, shape: Shape) -> np.ndarray:
    """The power by which templates are divided, from the mean power of frames.

    Parameters
    ----------
    power : (..., n0, n1, n2 // 2 + 1) float64 ndarray
        The mean of the squared modulus of frames of this shape, one or several.

    Returns
    -------
    ndarray of that shape
        Its mean at each frequency, whatever the direction; more where single terms exceed that. Of
        volumes the mean over the planes: between the last and the first of them is a jump, which
        would fill the frequencies along so few planes with what does not move.
    """
    frequencies, within = _frequencies(shape), power
    if shape[0] > 1:
        frequencies, within = frequencies[:2], _within_planes(power, shape[2])
    rings = np.rint(np.sqrt(sum(f**2 for f in frequencies)) * max(shape)).astype(np.intp)
    number = np.maximum(np.bincount(rings.ravel()), 1)
    flat = within.reshape(-1, rings.size)
    out = np.empty_like(flat)
    for one, result in zip(flat, out, strict=True):
        ring = np.bincount(rings.ravel(), one) / number
        smooth = np.convolve(np.pad(ring, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
        result[:] = np.maximum(smooth[rings.ravel()], one / LINES)
        mean = float(result.mean())
        # Images without anything in them have no power at all.
        result[:] = np.maximum(result, LEAST_POWER * mean if mean > 0 else 1.0)
    found: np.ndarray = np.broadcast_to(out.reshape(within.shape), power.shape)
    return found


def _within_planes(power: np.ndarray, planes: int) -> np.ndarray:
    """The mean power of the planes of volumes, (..., n0, n1, 1), from their half spectra's."""
    twice = np.full(power.shape[-1], 2.0)
    twice[0] = 1.0
    if planes % 2 == 0:
        twice[-1] = 1.0
    within: np.ndarray = (power * twice).sum(axis=-1, keepdims=True) / planes
    return within


def _frequencies(shape: Shape) -> tuple[np.ndarray, ...]:
    """Cycles a pixel along each axis of a half spectrum, for broadcasting."""
    each = [np.fft.fftfreq(n) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1])]
    return tuple(np.reshape(f, (-1, *(1,) * (len(shape) - 1 - i))) for i, f in enumerate(each))


@dataclass(frozen=True)
class Axis:
    """What is kept of the frequencies of an axis of n pixels: -kept ... kept, on a grid."""

    n: int
    kept: int
    grid: int

    @classmethod
    def of(cls, n: int, cut: float) -> Axis:
        kept = min(int(cut * n), (n - 1) // 2)
        return cls(n, kept, fast_length(2 * kept + 2) if kept else 1)


class Templates:
    """Templates of one shape, and where pictures lie against them. Local.

    Parameters
    ----------
    pictures : (b, n0, n1, n2) float32 ndarray
        The scene of each template, in a frame of 0.
    windows : (b, n0, n1, n2) ndarray
        0 to 1: the part of each scene that is compared.
    power : (b or 1, n0, n1, n2 // 2 + 1) float64 ndarray
        Of `mean_power`.
    reach : (float, float, float)
        How far a shift may be along each axis, in pixels of a picture.
    """

    def __init__(
        self,
        pictures: np.ndarray,
        windows: np.ndarray,
        power: np.ndarray,
        reach: tuple[float, float, float],
    ) -> None:
        self.shape = pictures.shape[1:]
        planes = self.shape[0] > 1
        cuts = (CUT, CUT, CUT_OF_PLANES if planes else CUT)
        self.axes = [Axis.of(n, cut) for n, cut in zip(self.shape, cuts, strict=True)]
        self.reach = [
            0 if axis.n == 1 else min((axis.grid - 1) // 2, int(far * axis.grid / axis.n) + 1)
            for axis, far in zip(self.axes, reach, strict=True)
        ]
        sigmas = (SIGMA, SIGMA, SIGMA_OF_PLANES if planes else SIGMA)
        weights = np.exp(
            -2
            * sum(
                (np.pi * s * f) ** 2 for s, f in zip(sigmas, _frequencies(self.shape), strict=True)
            )
        )
        spectra = np.conj(scipy.fft.rfftn(_without_mean(pictures, windows), axes=(1, 2, 3)))
        self.templates = self._kept((spectra * (weights / power)).astype(np.complex64))

    def _kept(self, spectra: np.ndarray) -> np.ndarray:
        """The low frequencies of half spectra, on the grid; the others are 0."""
        first, second, last = self.axes
        out = np.zeros(
            (*spectra.shape[:-3], first.grid, second.grid, last.grid // 2 + 1), spectra.dtype
        )
        for a in _parts(first.kept):
            for b in _parts(second.kept):
                out[..., a, b, : last.kept + 1] = spectra[..., a, b, : last.kept + 1]
        return out

    def correlate(self, spectra: np.ndarray) -> np.ndarray:
        """The spectra of correlations: (k, b) + grid complex64, of (k, b, n0, n1, half) ones."""
        out = self._kept(spectra)
        out *= self.templates
        return out

    def find(self, spectra: np.ndarray) -> np.ndarray:
        """The peaks of (..., grid) spectra of correlations: (..., 6) float64, shifts in pixels."""
        flat = spectra.reshape(-1, *spectra.shape[-3:])
        grid = tuple(axis.grid for axis in self.axes)
        surfaces = scipy.fft.irfftn(flat, s=grid, axes=(1, 2, 3))
        found = registration.find_peaks(surfaces, flat, self.reach)
        found[:, :3] *= [axis.n / axis.grid for axis in self.axes]
        return found.reshape(*spectra.shape[:-3], 6)


def _parts(kept: int) -> tuple[slice, ...]:
    return (slice(0, kept + 1), slice(-kept, None)) if kept else (slice(0, 1),)


def _without_mean(pictures: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Pictures times windows, less so much of the window that the sum is 0. float32."""
    axes = (1, 2, 3)
    total = np.maximum(windows.sum(axis=axes, keepdims=True), 1e-30)
    means = (pictures * windows).sum(axis=axes, keepdims=True) / total
    values: np.ndarray = ((pictures - means) * windows).astype(np.float32)
    return values
