"""The simulated recordings: the same bytes everywhere, and what is said of them."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI
from scipy import ndimage

from mpimages import Images, ThunderContext
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
    "mouse-series": ("series", (64, 64), np.int16, 500),
    "moving-images": ("images", (128, 128), np.uint16, 300),
}
CHECKSUMS["mouse-series"] = CHECKSUMS["mouse-images"]


@pytest.fixture(scope="module")
def recordings():
    loaded = {name: example.load(name) for name in STATED}
    return {
        name: np.stack([rec.image(i) for i in range(rec.count)]) for name, rec in loaded.items()
    }


def test_names_are_the_documented_ones():
    assert example.names() == (*STATED, "mouse-params", "iris")


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


# -- small sets ----------------------------------------------------------------------------

# SHA-256 of what makeExample(name, seed=3) makes; of 'iris' there is one.
MADE = {
    "factor": ("8c230148b557a22984157e6e0ff0da577b45cfe624b7f45bd11d4fe874f1374e", (50, 3)),
    "ica": ("3ccf42310dfe3ceba20cfcd6ce9c6e5f09b486d204517e504746eb63e62d850c", (100, 2)),
    "kmeans": ("84d597e101a9311b308a0b185e96e1137d87973709ca81e8c0d81f55f32c94a9", (100, 5)),
    "pca": ("cdc2d133135eb27819034d08f4eb03c2c62892b476b280719c31a1a5ec5e5cb3", (100, 10)),
    "rand": ("bb7271db5a875e009b6bf3e5d0865b565423493ae20244091565aee930c47302", (50, 50)),
    "sources": (
        "9650ba08dfcd6d9af70f6547ffb89fff7565fa85e49acf648c669257b448d281",
        (100, 100, 200),
    ),
    "iris": ("952afd79531096c75d9d2d2d2e80b85e1013db2912cfb938942bf3e92427b5ee", (150, 4)),
}


@pytest.mark.ranks
def test_small_sets_are_the_same_on_every_machine(tsc):
    assert tsc.makeExample() == sorted(set(MADE) - {"iris"})
    for name, (checksum, shape) in MADE.items():
        made = tsc.loadExample("iris") if name == "iris" else tsc.makeExample(name, seed=3)
        assert made.dtype == np.float64
        assert "Simulated" in made.metadata["description"]
        values = made.toArray()
        assert values.shape == shape
        found = hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()
        assert found == checksum, name


def test_iris_has_three_groups():
    values = example.load("iris").block(0, 150).reshape(3, 50, 4)
    centers, spread = values.mean(axis=1), values.std(axis=1)
    assert np.abs(centers[1] - centers[0])[2] > 5 * spread[:2, 2].max()
    assert np.abs(centers[2] - centers[1])[2] < 5 * spread[:, 2].max()
    assert values.min() > 0
    assert (np.diff(centers[:, 2:], axis=0) > 0).all()


def test_stimuli_are_followed_by_activity():
    stimuli = example.load("mouse-params")
    assert list(stimuli) == [f"stimulus{number}" for number in range(4)]
    images = example.load("mouse-images")
    series = images.block(0, images.npixels).astype(np.float64)
    rises = []
    for shown in stimuli.values():
        assert shown.shape == (500,)
        begins = np.flatnonzero(shown)
        assert len(begins) in (4, 5)
        begins = begins[begins < 495]
        after = np.stack([series[:, begins + lag] for lag in (1, 2, 3)]).mean(axis=(0, 2))
        before = np.stack([series[:, begins - lag] for lag in (1, 2, 3)]).mean(axis=(0, 2))
        rises.append((after - before).max())
    moved = np.roll(stimuli["stimulus0"], 12)
    begins = np.flatnonzero(moved)
    chance = (series[:, begins + 2] - series[:, begins - 2]).mean(axis=1).max()
    assert min(rises) > 1.5 * chance


def test_the_truth_is_what_they_were_made_of():
    with ThunderContext(MPI.COMM_SELF) as tsc:
        data, centers = tsc.makeExample("kmeans", seed=1, returnParams=True, k=3, noise=0.01)
        distance = np.abs(data.toArray()[:, None] - centers).max(axis=2)
        assert (distance.min(axis=1) <= 0.01).all()
        data, left, right = tsc.makeExample("pca", seed=1, returnParams=True, k=2, nrows=400)
        assert 0.9 < (data.toArray() - left @ right).std() < 1.1
        data, factors, loadings, noise = tsc.makeExample(
            "factor", seed=1, returnParams=True, q=2, sigmas=[1, 2, 0]
        )
        np.testing.assert_allclose(data.toArray(), factors @ loadings + noise)
        assert not noise[:, 2].any()
        data, waves, mixing = tsc.makeExample("ica", seed=1, returnParams=True, nrows=50)
        np.testing.assert_allclose(data.toArray(), waves @ mixing.T)
        images, places, traces = tsc.makeExample(
            "sources", seed=1, returnParams=True, dims=(40, 60), centers=[(10, 12), (30.5, 40)],
            t=7, sd=2, noise=0,
        )  # fmt: skip
        assert isinstance(images, Images)
        assert (images.dims.count, images.count()) == ((40, 60), 7)
        np.testing.assert_array_equal(places, [(10, 12), (30.5, 40)])
        np.testing.assert_allclose(images.toArray()[:, 10, 12], traces[0])
        one, other = tsc.makeExample("rand"), tsc.makeExample("rand")
        assert (one.toArray() != other.toArray()).any()
        drawn = tsc.makeExample("rand", seed=2**64 - 1, nrows=2000, ncols=20).toArray()
        assert abs(drawn.mean()) < 0.02
        assert abs(drawn.std() - 1) < 0.02


@pytest.mark.parametrize(
    ("name", "given", "error", "told"),
    [
        ("rand", {"k": 3}, TypeError, "'rand' has no parameter 'k'; it has nrows, ncols"),
        ("pca", {"npartitions": 3}, TypeError, "npartitions"),
        ("zebra", {}, ValueError, "'factor', 'ica'"),
        ("rand", {"nrows": 2**40}, ValueError, "nrows must be at most"),
        ("pca", {"k": 2**20, "ncols": 2**20}, ValueError, "k times ncols"),
        ("factor", {"sigmas": [1]}, ValueError, "sigmas"),
        ("kmeans", {"noise": np.nan}, ValueError, "noise"),
        ("sources", {"dims": (3, 4, 5)}, ValueError, "2-D"),
        ("sources", {"dims": (30, 40)}, ValueError, "margin=35"),
        ("sources", {"centers": [1, 2]}, ValueError, "centers"),
        ("sources", {"sd": 0}, ValueError, "sd"),
    ],
)
def test_sets_that_cannot_be_made(name, given, error, told):
    with pytest.raises(error, match=told):
        example.make(name, 1, given)
