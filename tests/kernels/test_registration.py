"""Small pictures of frames against the twin, and peaks of correlations against known shifts."""

import numpy as np
import pytest
import scipy.fft

from mpimages.kernels import isa, registration

from ..support import twins

DTYPES = twins.INTEGERS + twins.FLOATS
# Frames, the first pixel, the bins, the pictures.
PARTS = [
    ((3, 7, 9), (0, 0), (1, 1), (7, 9)),
    ((2, 9, 14), (1, 2), (2, 2), (4, 6)),
    ((2, 9, 600), (0, 1), (2, 2), (3, 299)),
    ((2, 13, 11), (1, 0), (3, 2), (4, 5)),
    ((2, 6, 8, 3), (1, 1), (2, 2), (2, 3)),
    ((1, 5, 4, 6), (0, 0), (1, 1), (5, 4)),
]


def at_all_levels(kernel, *arguments):
    """What a kernel returns, which is the same at all levels."""
    results = []
    for name in isa.available():
        isa.force(name)
        results.append(kernel(*arguments))
    isa.force()
    for other in results[1:]:
        assert twins.same_bits(results[0], other)
    return results[0]


def reduced(frames, start, bins, size):
    out = np.full((len(frames), *size, *frames.shape[3:]), 77, np.float32)
    registration.reduce_frames(frames, start, bins, out)
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "start", "bins", "size"), PARTS)
def test_pictures_equal_the_twin(dtype, shape, start, bins, size):
    rng = np.random.default_rng(shape[-1])
    frames = twins.random_records(rng, dtype, shape[0], int(np.prod(shape[1:]))).reshape(shape)
    with np.errstate(all="ignore"):
        expected = np.array([twins.picture(frame, start, bins, size) for frame in frames])
    assert twins.same_bits(at_all_levels(reduced, frames, start, bins, size), expected)


@pytest.mark.parametrize("scale", [1, 1e-300, 1e300])
def test_a_picture_is_standardised(scale):
    frames = np.random.default_rng(1).standard_normal((2, 40, 60)) * scale + 3 * scale
    got = reduced(frames, (0, 0), (2, 2), (20, 30))
    assert np.allclose(got.mean(axis=(1, 2)), 0, atol=1e-6)
    assert np.allclose(got.std(axis=(1, 2)), 1, atol=1e-6)


def test_what_shows_nothing_is_zero():
    frames = np.zeros((5, 8, 8))
    frames[1] = 1e9 + 1 / 3
    frames[2] = np.nan
    frames[3] = np.inf
    frames[4, 0, 0] = 1.7e308
    frames[4, 0, 1] = -1.7e308
    got = reduced(frames, (0, 0), (1, 1), (8, 8))
    assert not got[:4].any()
    assert np.isfinite(got).all()


def test_a_bright_pixel_does_not_hide_the_rest():
    frames = np.random.default_rng(2).normal(200, 20, (1, 64, 64))
    calm = reduced(frames, (0, 0), (1, 1), (64, 64))
    frames[0, 5, 5] = 65535
    got = reduced(frames, (0, 0), (1, 1), (64, 64))
    assert np.corrcoef(calm.ravel(), got.ravel())[0, 1] > 0.9


def correlation(shape, shifts, seed=0, noise=0.0):
    """A surface with a smooth peak at a shift, and its spectrum."""
    frequencies = np.meshgrid(
        *[np.fft.fftfreq(n) for n in shape[:-1]], np.fft.rfftfreq(shape[-1]), indexing="ij"
    )
    phase = sum(f * s for f, s in zip(frequencies, shifts, strict=True))
    radius = sum(f**2 for f in frequencies)
    spectrum = np.exp(-2j * np.pi * phase - 2 * (np.pi * 1.2) ** 2 * radius)
    rng = np.random.default_rng(seed)
    spectrum += noise * (rng.normal(size=spectrum.shape) + 1j * rng.normal(size=spectrum.shape))
    for axis, n in enumerate(shape):
        if n % 2 == 0:
            spectrum[(slice(None),) * axis + (n // 2,)] = 0
    spectrum = spectrum.astype(np.complex64)[None]
    surface = scipy.fft.irfftn(spectrum, s=shape, axes=(1, 2, 3))
    return surface, spectrum


@pytest.mark.parametrize("shape", [(1, 30, 32), (1, 27, 45), (12, 20, 16), (1, 1, 64)])
@pytest.mark.parametrize("seed", range(4))
def test_a_peak_is_found_between_grid_points(shape, seed):
    rng = np.random.default_rng(seed)
    shifts = [0.0 if n == 1 else rng.uniform(-n / 4, n / 4) for n in shape]
    surface, spectrum = correlation(shape, shifts, seed, noise=1e-4)
    reach = [0 if n == 1 else (n - 1) // 2 for n in shape]
    found = at_all_levels(registration.find_peaks, surface, spectrum, reach)[0]
    assert np.allclose(found[:3], shifts, atol=5e-3)
    assert found[3] >= surface.max() - 1e-6
    assert (found[3] - found[4]) / found[5] > 50


def test_only_what_is_within_reach_is_looked_at():
    surface, spectrum = correlation((1, 32, 32), (0, 9.3, 0.2))
    found = registration.find_peaks(surface, spectrum, (0, 4, 4))[0]
    assert np.isnan(found[:3]).all()


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan])
def test_a_surface_without_a_peak_gives_no_shift(value):
    surface = np.full((2, 1, 16, 16), value, np.float32)
    spectrum = np.zeros((2, 1, 16, 9), np.complex64)
    spectrum[:, 0, 0, 0] = value * 256
    found = at_all_levels(registration.find_peaks, surface, spectrum, (0, 7, 7))
    assert np.isnan(found[:, :3]).all()
