"""Line noise and displaced rows: found where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from mpimages.report.lines import Profiles, displaced_rows, line_noise, sampled_images

ROWS, COLUMNS, IMAGES = 80, 96, 80
DOWN, ACROSS = np.mgrid[:ROWS, :COLUMNS]


def texture(rng, down=60.0, across=60.0):
    rows, columns = np.fft.fftfreq(ROWS)[:, None], np.fft.fftfreq(COLUMNS)[None]
    noise = np.fft.fft2(rng.standard_normal((ROWS, COLUMNS)))
    image = np.fft.ifft2(noise * np.exp(-down * rows**2 - across * columns**2)).real
    return image / image.std()


def moved(image, down, right):
    rows, columns = np.fft.fftfreq(ROWS)[:, None], np.fft.fftfreq(COLUMNS)[None]
    turns = np.exp(-2j * np.pi * (rows * down + columns * right))
    return np.fft.ifft2(np.fft.fft2(image) * turns).real


def innocent(kind, rng):
    """Images that have no line noise, and whose rows are where they belong."""
    if kind == "noise":
        return rng.normal(100, 10, (IMAGES, ROWS, COLUMNS))
    if kind == "few photons":
        return rng.poisson(0.05, (IMAGES, ROWS, COLUMNS))
    if kind == "fibres that move":
        fibres = 300 + 80 * texture(rng, 2, 3000)
        frames = [moved(fibres, *rng.normal(0, 0.2, 2)) for _ in range(IMAGES)]
        return rng.poisson(np.clip(frames, 0, None))
    if kind == "fibres that flicker":
        fibres = texture(rng, 2, 3000)
        return rng.poisson([(300 + 60 * x * fibres).clip(0) for x in rng.normal(0, 1, IMAGES)])
    if kind == "light that flickers":
        image = 200 + 30 * texture(rng) + DOWN
        return rng.poisson([image * x for x in rng.normal(1, 0.05, IMAGES)])
    if kind == "cells":
        places = rng.uniform(0, ROWS, (20, 2))
        cells = [np.exp(-((DOWN - r) ** 2 + (ACROSS - c) ** 2) / 20) for r, c in places]
        fire = 800 * (rng.random_sample((IMAGES, 20)) < 0.2)
        return rng.poisson(60 + np.tensordot(fire, np.stack(cells), 1))
    if kind == "a line on a slant":
        image = 50 + 200.0 * (np.abs(DOWN - ACROSS * rng.uniform(0.1, 0.4) - 20) < 1.5)
        return rng.poisson(np.repeat(image[None], IMAGES, 0))
    assert kind == "every other row is brighter"
    image = 100 + 40 * (DOWN % 2) + 20 * texture(rng)
    return rng.poisson(np.repeat(image.clip(0)[None], IMAGES, 0))


def found_in(images):
    profiles = Profiles(images.shape[1:])
    lines = np.array([profiles.of(images[i]) for i in sampled_images(len(images))])
    parts = profiles.parts(lines[1::2] - lines[0::2])
    return {name: line_noise(*two) for name, two in parts.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "noise",
        "few photons",
        "fibres that move",
        "fibres that flicker",
        "light that flickers",
        "cells",
        "a line on a slant",
        "every other row is brighter",
    ],
)
def test_innocent_images_have_neither(kind):
    for seed in range(20):
        images = innocent(kind, np.random.RandomState(seed))
        assert not any(one and one.is_clear for one in found_in(images).values()), seed
        mean = images.mean(axis=0)
        assert displaced_rows(mean) is None, seed
        assert displaced_rows(mean.T) is None, seed


@pytest.mark.parametrize("part", [0.3, 0.5, 2])
def test_line_noise_is_measured(part):
    rng = np.random.RandomState(1)
    images = rng.normal(500, 10, (IMAGES, ROWS, COLUMNS))
    rows = found_in(images + rng.normal(0, 10 * part, (IMAGES, ROWS, 1)))
    assert rows["rows"].is_clear
    assert rows["rows"].stdev == pytest.approx(10 * part, rel=0.15)
    assert not rows["columns"].is_clear
    columns = found_in(images + rng.normal(0, 10 * part, (IMAGES, 1, COLUMNS)))
    assert columns["columns"].is_clear
    assert not columns["rows"].is_clear


@pytest.mark.parametrize("shift", [-2.4, -1, 0.7, 3])
def test_displaced_rows_are_measured(shift):
    rng = np.random.RandomState(2)
    image = 200 + 40 * texture(rng)
    image[1::2] = moved(image, 0, shift)[1::2]
    seen = rng.poisson(np.repeat(image.clip(0)[None], 20, 0)).mean(axis=0)
    assert displaced_rows(seen) == pytest.approx(shift, abs=0.15)
    assert displaced_rows(seen[:-1]) == pytest.approx(shift, abs=0.15)
    assert displaced_rows(seen.T) is None


@pytest.mark.parametrize(
    ("count", "wanted"), [(1, []), (2, [0, 1]), (3, [0, 1]), (5, [0, 1, 2, 3])]
)
def test_which_images_are_looked_at(count, wanted):
    assert sampled_images(count).tolist() == wanted


@pytest.mark.parametrize("count", [127, 128, 129, 1000, 12345])
def test_the_sample_is_of_pairs_and_bounded(count):
    sampled = sampled_images(count)
    assert len(sampled) <= 128
    assert (np.diff(sampled) > 0).all()
    assert (sampled[1::2] - sampled[0::2] == 1).all()
    assert sampled[-1] < count


@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (90, 3), (40, 40)])
@pytest.mark.parametrize("value", [0.0, 1e308, 1e-320])
def test_even_and_small_images_have_neither(shape, value):
    assert displaced_rows(np.full(shape, value)) is None
    nothing = np.zeros((0, shape[0]))
    assert line_noise(nothing, nothing) is None
    few = np.full((50, shape[0]), value)
    assert line_noise(few, few) is None
