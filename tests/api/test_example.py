"""The simulated recordings: the same bytes everywhere, and what is said of them."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from mpimages.simulated import example
from mpimages.simulated.moving import moving

# SHA-256 of all images, one after the other, in C order. A change of these is a change of the
# recordings, which users' own tests may rest on: it belongs in the changelog.
CHECKSUMS = {
    "fish-images": "d4c20c0e9c6c6860c25b4bb3915f0ec5087b4ffb0c7a73650f0190f2350ac517",
    "mouse-images": "28c9994649d75dbff55424ab291826a25e0ba3225ccbc1e3fb4df83161ade29b",
    "fish-series": "e8a5bafca2b9d637987eec01f5936358ac5744a158ee17aca46377ea5f0bcb03",
    "moving-images": "918474ac3e47a139f3f29a4f113f0202091f166fe7d3c2f0d5be2244dc3e3474",
}
STATED = {
    "fish-images": ("images", (76, 87, 2), np.uint8, 20),
    "mouse-images": ("images", (64, 64), np.int16, 500),
    "fish-series": ("series", (76, 87, 2), np.uint8, 240),
    "moving-images": ("images", (128, 128), np.uint16, 300),
}


@pytest.fixture(scope="module")
def recordings():
    loaded = {name: example.load(name) for name in example.names()}
    return {
        name: np.stack([rec.image(i) for i in range(rec.count)]) for name, rec in loaded.items()
    }


def test_names_are_the_documented_ones():
    assert example.names() == tuple(STATED)


@pytest.mark.parametrize("name", STATED)
def test_attributes(name, recordings):
    recording = example.load(name)
    kind, dims, dtype, count = STATED[name]
    assert (recording.kind, recording.dims, recording.count) == (kind, dims, count)
    assert recording.dtype == dtype
    assert recordings[name].shape == (count, *dims)
    assert recordings[name].dtype == dtype
    assert "Simulated" in recording.description
    assert "scene" not in repr(recording)


@pytest.mark.parametrize("name", STATED)
def test_bytes_are_the_same_on_every_machine(name, recordings):
    little = recordings[name].astype(recordings[name].dtype.newbyteorder("<"))
    assert hashlib.sha256(little.tobytes()).hexdigest() == CHECKSUMS[name]


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("bounds", [(0, 0), (0, 1), (7, 16), (4000, 4096), (1, 4095)])
def test_a_block_of_pixels_alone_equals_its_part_of_the_images(name, bounds, recordings):
    first, stop = bounds
    count = STATED[name][3]
    expected = recordings[name].reshape(count, -1)[:, first:stop].T
    block = example.load(name).block(first, stop)
    assert block.dtype == expected.dtype
    np.testing.assert_array_equal(block, expected)


def test_fish_images_begin_the_fish_series(recordings):
    np.testing.assert_array_equal(recordings["fish-images"], recordings["fish-series"][:20])


@pytest.mark.parametrize("name", ["fish-images", "fish-series"])
def test_fish_grey_levels(name, recordings):
    values = recordings[name]
    assert values.min() == 25
    assert 120 < values.max() <= 185


def test_enough_pixels_are_active_for_the_tutorial(recordings):
    values = recordings["fish-images"].astype(np.float64)
    baseline = np.percentile(values, 20, axis=0)
    change = (values - baseline) / (baseline + 0.1)
    assert (change.std(axis=0) > 0.05).sum() >= 500


@pytest.mark.parametrize(
    ("name", "times"),
    # Few photons: more noise. And a cell that moves shares its activity with its neighbours.
    [("fish-images", 6), ("mouse-images", 6), ("fish-series", 6), ("moving-images", 2.5)],
)
def test_activity_stands_out_from_the_noise(name, times, recordings):
    deviation = recordings[name].std(axis=0)
    assert deviation.max() > times * np.median(deviation)
    assert (
        len(np.unique(recordings[name].reshape(len(recordings[name]), -1), axis=0))
        == STATED[name][3]
    )


def test_shifts_are_the_true_ones():
    """Of resting tissue without noise: no place a twentieth of a pixel away fits better."""
    scene = moving()
    resting = replace(scene, traces=np.zeros_like(scene.traces))
    tissue = replace(resting, shifts=np.zeros_like(scene.shifts))._light(0, 128, 0)
    shifts = example.load("moving-images").shifts
    for i in range(0, 300, 29):
        moved = resting._light(0, 128, i)

        def misfit(dy, dx, moved=moved, shift=shifts[i]):
            placed = ndimage.shift(tissue, (shift[0] + dy, shift[1] + dx), order=3)
            return (moved - placed)[12:-12, 12:-12].std() / tissue.std()

        assert misfit(0, 0) < 0.03
        for away in ((0.05, 0), (-0.05, 0), (0, 0.05), (0, -0.05)):
            assert misfit(*away) > 1.1 * misfit(0, 0)
    assert np.abs(shifts).max() > 6
    assert (np.floor(shifts * 256) == shifts * 256).all()


def test_the_mean_of_what_moves_is_sharp_once_it_is_undone(recordings):
    images, shifts = recordings["moving-images"], example.load("moving-images").shifts

    def sharpness(sign):
        undone = [
            ndimage.shift(image.astype(np.float64), sign * shift, order=1)[12:-12, 12:-12]
            for image, shift in zip(images[::5], shifts[::5], strict=True)
        ]
        return np.square(np.gradient(np.mean(undone, axis=0))).mean()

    assert sharpness(-1) > 2 * max(sharpness(0), sharpness(1))


def test_what_does_not_move_has_no_shifts():
    shifts = example.load("fish-images").shifts
    assert shifts.shape == (20, 2)
    assert not shifts.any()


def test_each_result_is_the_callers_own():
    recording = example.load("fish-images")
    first = recording.image(0)
    kept = first.copy()
    first[:] = 0
    recording.block(0, 9)[:] = 0
    example.load("moving-images").shifts[:] = 0
    assert example.load("moving-images").shifts.any()
    np.testing.assert_array_equal(recording.image(0), kept)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="fish-images, mouse-images, fish-series"):
        example.load("zebra")


@pytest.mark.parametrize("i", [-1, 20])
def test_image_out_of_range(i):
    with pytest.raises(IndexError, match="fish-images"):
        example.load("fish-images").image(i)


@pytest.mark.parametrize("bounds", [(-1, 4), (5, 4), (0, 4097)])
def test_block_out_of_range(bounds):
    with pytest.raises(IndexError, match="mouse-images"):
        example.load("mouse-images").block(*bounds)
