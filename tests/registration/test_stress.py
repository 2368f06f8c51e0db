"""Recordings that are hard to register, whose motion is known: right, or lost by name."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from .moving import COUNT, DIMS, errors, recorded, rms

# What makes it harder, and the rms error that is allowed.
HARD = (
    ({"photons": 0.5, "dims": (192, 160)}, 0.30),
    ({"photons": 2.0}, 0.15),
    ({"photons": 100.0}, 0.05),
    ({"photons": 2.0, "offset": 60000.0}, 0.15),
    ({"photons": 2.0, "border": 12}, 0.15),
    ({"photons": 100.0, "border": 12}, 0.05),
    ({"photons": 2.0, "circle": True}, 0.15),
    ({"photons": 100.0, "circle": True}, 0.05),
    ({"photons": 2.0, "extra": True}, 0.15),
    ({"photons": 5.0, "phase": 1.0}, 0.12),
)
FIVE = {"photons": 5.0}


@pytest.mark.parametrize(("changes", "allowed"), HARD, ids=lambda value: str(value))
def test_a_hard_recording_is_registered(tsc, changes, allowed):
    recording, images = recorded(**changes)
    model = tsc.loadImagesFromArray(images).fitRegistration()
    assert len(model.lost) <= (3 if changes["photons"] < 1 else 0)
    assert rms(errors(model, recording)) < allowed
    assert np.nanmax(np.abs(errors(model, recording))) < 1


@pytest.mark.parametrize("photons", [0.02, 0.1, 0.2])
@pytest.mark.parametrize("own", [True, False])
def test_in_the_dark_an_image_is_right_or_lost(tsc, photons, own):
    recording, images = recorded(photons=photons)
    images = tsc.loadImagesFromArray(images)
    try:
        model = images.fitRegistration(None if own else recording.scene.astype(np.float64))
    except ValueError as error:
        assert own
        assert "too little light" in str(error)  # noqa: PT017
        return
    if len(model.lost) < COUNT:
        # What is placed with hardly any light is imprecise; it lies on no other peak.
        wrong = np.abs(errors(model, recording)).max(axis=1) > 2
        assert not wrong.any(), (np.flatnonzero(wrong), model.quality[wrong])
        assert photons > 0.02


@pytest.mark.parametrize("around", [{}, {"border": 10}, {"circle": True}], ids=str)
@pytest.mark.parametrize(
    "frames",
    [{"blank": tuple(range(20, 30))}, {"saturated": tuple(range(20, 30))}, {"other": (48, 60)}],
    ids=str,
)
def test_frames_that_show_something_else_are_lost_by_name_and_stay_as_they_are(tsc, frames, around):
    recording, array = recorded(**FIVE, **frames, **around)
    images = tsc.loadImagesFromArray(array)
    model = images.fitRegistration()
    assert model.lost == sorted(recording.lost)
    assert rms(errors(model, recording)) < 0.15
    moved = images.applyRegistration(model).toArray()
    np.testing.assert_array_equal(moved[model.lost], array[model.lost])
    kept = sorted(set(range(COUNT)) - recording.lost)
    assert not (moved[kept] == array[kept]).all(axis=(1, 2)).any()


@pytest.mark.parametrize("around", [{}, {"border": 10}, {"circle": True}], ids=str)
@pytest.mark.parametrize("photons", [2.0, 100.0])
def test_where_nothing_is_seen_there_is_no_reference_and_all_are_lost_against_another(
    tsc, around, photons
):
    images = tsc.loadImagesFromArray(recorded(flat=True, photons=photons, **around)[1])
    for act in (images.referenceImage, images.fitRegistration):
        with pytest.raises(ValueError, match="nothing"):
            act()
    scene = recorded(**FIVE, **around)[0].scene.astype(np.float64)
    assert images.fitRegistration(scene).lost == list(range(COUNT))


def test_a_drift_beyond_what_is_allowed_is_lost_by_name(tsc):
    recording, images = recorded(**FIVE, drift=8.0)
    scene = recording.scene.astype(np.float64)
    images = tsc.loadImagesFromArray(images)
    model = images.fitRegistration(scene, maxShift=4)
    far = np.abs(recording.shifts).max(axis=1)
    assert set(np.flatnonzero(far > 4.3)) <= set(model.lost) <= set(np.flatnonzero(far > 3.7))
    assert 10 < len(model.lost) < 50
    assert np.nanmax(np.abs(model.shifts - recording.shifts)) < 0.5
    rows = images.fitRegistration(scene, maxShift=(4, 20)).lost
    assert set(rows) < set(model.lost)


def _with_nan(a):
    a = a.astype(np.float32)
    a[:, 40:44, 50:60] = np.nan
    a[3, ::7, ::5] = np.nan
    a[7, 30, 30] = np.inf
    return a


def _hot(a):
    a = a.copy()
    a[:, 30, 30] = a[:, 100, 41] = 65535
    return a


CHANGED = {
    "uint8": lambda a: np.clip((a.astype(int) - 60) // 4, 0, 255).astype(np.uint8),
    "int16, negative": lambda a: (a.astype(int) - 32000).clip(-32768, 32767).astype(np.int16),
    "inverted": lambda a: -a.astype(np.int32),
    "uint32": lambda a: a.astype(np.uint32) * 60000,
    "int64": lambda a: a.astype(np.int64) << 40,
    "float16": lambda a: a.astype(np.float16),
    "float32 + 1e6": lambda a: a.astype(np.float32) + np.float32(1e6),
    "float64 + 1e9": lambda a: a + 1e9,
    "float32 x 1e-30": lambda a: a * np.float32(1e-30),
    "float64 x 1e290": lambda a: a * 1e290,
    "float64 x 1e-290": lambda a: a * 1e-290,
    "brightness changes": lambda a: a * np.random.default_rng(0).lognormal(size=(len(a), 1, 1)),
    "a static glow": lambda a: a + 500.0 * ndimage.gaussian_filter(np.eye(a.shape[1]), 20),
    "a static slope": lambda a: a + np.linspace(0, 500, a.shape[2]),
    "lines of the detector": lambda a: a + 200 * (np.arange(a.shape[1]) % 2)[:, None],
    "NaN and inf": _with_nan,
    "hot pixels": _hot,
}


@pytest.mark.parametrize("name", CHANGED)
def test_values_of_any_kind_give_the_same_shifts(tsc, name):
    recording, images = recorded(**FIVE)
    images = CHANGED[name](images)
    model = tsc.loadImagesFromArray(images).fitRegistration()
    assert model.lost == []
    assert rms(errors(model, recording)) < (0.2 if name in ("uint8", "hot pixels") else 0.12)


def test_images_of_nan_are_lost_and_harm_no_others(tsc):
    recording, images = recorded(**FIVE)
    images = images.astype(np.float32)
    images[10:15] = np.nan
    model = tsc.loadImagesFromArray(images).fitRegistration()
    assert model.lost == [10, 11, 12, 13, 14]
    assert rms(errors(model, recording)) < 0.12


def test_images_with_borders_of_nan_are_registered_again_to_nothing(tsc):
    images = tsc.loadImagesFromArray(recorded(**FIVE)[1])
    once = images.register(fill="nan", order="cubic")
    again = once.fitRegistration()
    assert again.lost == []
    assert rms(again.shifts) < 0.05


@pytest.mark.parametrize("count", [2, 3, 4, 8, 20])
def test_a_few_images_are_registered_to_each_other(tsc, count):
    recording, images = recorded(photons=20.0, count=count, seed=count)
    model = tsc.loadImagesFromArray(images).fitRegistration()
    found = [i for i in range(count) if i not in model.lost]
    assert len(found) > count / 2
    apart = (model.shifts - recording.shifts)[found]
    assert np.abs(apart - apart[0]).max() < 0.35


def test_one_image(tsc):
    recording, images = recorded(**FIVE)
    one = tsc.loadImagesFromArray(images[:1])
    np.testing.assert_allclose(one.fitRegistration().shifts, np.zeros((1, 2)), atol=0.01)
    shifts = one.fitRegistration(recording.scene.astype(np.float64)).shifts
    np.testing.assert_allclose(shifts, recording.shifts[:1], atol=0.3)


@pytest.mark.parametrize("dims", [(16, 16), (17, 31), (16, 200), (61, 67), (255, 257)])
@pytest.mark.parametrize("method", ["rigid", "piecewise"])
def test_images_of_odd_dims(tsc, dims, method):
    chance = np.random.default_rng(3)
    scene = ndimage.gaussian_filter(chance.normal(size=(dims[0] + 8, dims[1] + 8)), 1)
    at = chance.integers(-1, 2, (12, 2))
    images = np.stack([scene[4 - y :, 4 - x :][: dims[0], : dims[1]] for y, x in at])
    images = tsc.loadImagesFromArray(images + chance.normal(0, 0.005, images.shape))
    model = images.fitRegistration(scene[4:-4, 4:-4].copy(), method)
    shifts = model.shifts if method == "rigid" else np.median(model.shifts, axis=1)
    lost = np.isnan(shifts).any(axis=1)
    np.testing.assert_allclose(shifts[~lost], at[~lost], atol=0.15)
    # So few pixels are no ground for a shift.
    assert not lost.any() or min(dims) < 20
    assert images.applyRegistration(model).toArray().shape == (12, *dims)


@pytest.mark.parametrize("dims", [(500, 3), (3, 500), (1, 100), (15, 16), (500, 3, 20)])
def test_images_that_are_too_narrow_are_refused(tsc, dims):
    images = tsc.loadImagesFromArray(np.random.default_rng(0).normal(size=(4, *dims)))
    for act in (images.fitRegistration, images.referenceImage):
        with pytest.raises(ValueError, match="at least 16 rows and 16 columns"):
            act()


def test_constant_images_are_refused(tsc):
    images = tsc.loadImagesFromArray(np.full((20, 64, 64), 7.0))
    with pytest.raises(ValueError, match="nothing"):
        images.fitRegistration()
    scene = np.random.default_rng(0).normal(size=(64, 64))
    assert images.fitRegistration(scene).lost == list(range(20))


def _likeness(mean, scene, at):
    """The correlation of a mean with a scene that has moved by `at`, without the borders."""
    moved = ndimage.shift(scene, at, order=3)
    inside = (slice(16, -16), slice(16, -16))
    return np.corrcoef(mean[inside].ravel(), moved[inside].ravel())[0, 1]


def _place(mean, scene, near):
    """Where a mean shows a scene: the best place of a grid around one, in quarters of a pixel."""
    steps = np.mgrid[-3:4, -3:4].reshape(2, -1).T / 4
    return near + max(steps, key=lambda step: _likeness(mean, scene, near + step))


@pytest.mark.parametrize("scale", [(2, 2), (3, 3), (2, 1)])
def test_a_model_of_fewer_pixels_moves_the_full_images_to_the_pixel(tsc, scale):
    recording, images = recorded(photons=5.0, dims=(192, 160))
    full = tsc.loadImagesFromArray(images)
    model = full.subsample(scale).fitRegistration(maxShift=8)
    assert model.lost == []
    apart = model.shifts * scale - recording.shifts
    place = -np.median(apart, axis=0)
    assert rms(apart + place) < 0.3
    corrected = full.applyRegistration(model, order="cubic", dtype="float64", scale=scale)
    mean = corrected.mean()
    assert _likeness(mean, recording.scene, place) > 0.98
    np.testing.assert_array_equal(_place(mean, recording.scene, place), place)


def test_another_channel_follows_the_first(tsc):
    recording, images = recorded(**FIVE)
    other, cells = recorded(**FIVE, channel=1)
    model = tsc.loadImagesFromArray(images).fitRegistration()
    place = -np.median(model.shifts - recording.shifts, axis=0)
    raw = tsc.loadImagesFromArray(cells)
    mean = raw.applyRegistration(model, order="cubic", dtype="float64").mean()
    best = _likeness(mean, other.scene, place)
    assert best > 0.98
    assert best > max(_likeness(raw.mean(), other.scene, at) for at in (place, (0, 0))) + 0.02


VOLUME = {"dims": (96, 96, 16), "count": 20, "photons": 5.0, "seed": 3}


@pytest.mark.parametrize("own", [True, False])
def test_volumes_as_a_whole(tsc, own):
    recording, volumes = recorded(**VOLUME)
    reference = None if own else recording.scene.astype(np.float64)
    model = tsc.loadImagesFromArray(volumes).fitRegistration(reference)
    assert model.lost == []
    apart = errors(model, recording)
    assert rms(apart[:, :2]) < 0.1
    assert rms(apart[:, 2]) < 0.15


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("seed", [1, 4])
@pytest.mark.parametrize(("dims", "count"), [((64, 64, 8), 12), ((64, 64), 16)])
def test_small_images_are_placed_where_they_have_enough_light(tsc, dims, count, seed, own):
    recording, images = recorded(photons=20.0, dims=dims, count=count, seed=seed)
    scene = recording.scene.astype(np.float64)
    reach = np.array([6.4, 6.4, 2.0][: len(dims)])
    model = tsc.loadImagesFromArray(images).fitRegistration(None if own else scene)
    within = np.abs(recording.shifts) < reach - 0.5
    assert set(model.lost) <= set(np.flatnonzero(~within.all(axis=1)))
    assert rms(errors(model, recording)[:, :2]) < 0.15
    assert np.nanmax(np.abs(errors(model, recording))) < 1


@pytest.mark.parametrize("dims", [(32, 32), (64, 64), (64, 64, 8), (128, 128)])
@pytest.mark.parametrize("photons", [1.0, 20.0])
def test_small_images_of_another_scene_are_lost(tsc, dims, photons):
    """Against the scene, turned and moved in all ways, and of noise alone."""
    here, images = recorded(photons=photons, dims=dims, count=8, seed=7)
    other = recorded(photons=photons, dims=dims, count=8, seed=8)[1]
    noise = np.random.default_rng(0).poisson(photons, images.shape)
    turned = [other, other[:, ::-1], other[:, :, ::-1], np.swapaxes(other, 1, 2), noise]
    for unlike in turned:
        for there in (unlike, np.roll(unlike, dims[0] // 2, axis=1)):
            both = tsc.loadImagesFromArray(np.concatenate([images, there]).astype(np.float32))
            model = both.fitRegistration(here.scene.astype(np.float64))
            assert set(range(8, 16)) <= set(model.lost)


@pytest.mark.parametrize("method", ["planar", "piecewise"])
def test_planes_of_volumes_that_move_in_their_plane(tsc, method):
    """All planes have the motion of a movie of images."""
    recording, images = recorded(photons=20.0)
    planes = [recorded(photons=20.0, channel=channel)[1] for channel in range(3)]
    volumes = tsc.loadImagesFromArray(np.stack(planes, axis=3))
    model = volumes.fitRegistration(method=method)
    assert model.lost == []
    each = model.shifts.reshape(COUNT, 3, -1, 2).mean(axis=2) - recording.shifts[:, None]
    assert rms(each - np.median(each, axis=0)) < 0.1
    corrected = volumes.applyRegistration(model, order="cubic", dtype="float64")
    one = tsc.loadImagesFromArray(images).register(method="rigid", order="cubic", dtype="float64")
    sharp = [np.diff(mean[10:-10], axis=0).std() for mean in (corrected.mean()[..., 0], one.mean())]
    assert sharp[0] > 0.95 * sharp[1]


def test_a_field_that_bends_is_followed(tsc):
    recording, images = recorded(
        photons=20.0, dims=(256, 256), count=40, seed=2, mode="piecewise", field=0.7
    )
    images = tsc.loadImagesFromArray(images)
    mean = {
        method: images.register(method=method, order="cubic", dtype="float64", **options).mean()
        for method, options in (("rigid", {}), ("piecewise", {"blockSize": (64, 64)}))
    }
    sharp = {method: np.diff(one[20:-20], axis=0).std() for method, one in mean.items()}
    assert sharp["piecewise"] > 1.05 * sharp["rigid"], sharp
    model = images.fitRegistration(method="piecewise", blockSize=(64, 64))
    at = np.ix_(*(np.rint(nodes).astype(int) for nodes in (model.rows, model.columns)))
    truth = np.stack([recording.field(i)[(slice(None), *at)] for i in range(40)])
    found = model.shifts.reshape(40, len(model.rows), len(model.columns), 2)
    apart = found.transpose(0, 3, 1, 2) - truth
    rigid = recording.shifts[:, :, None, None] - truth
    assert rms(apart - np.median(apart, axis=0)) < 0.5 * rms(rigid - np.median(rigid, axis=0))


def test_the_reference_must_have_something_to_see(tsc):
    images = tsc.loadImagesFromArray(recorded(**FIVE)[1])
    for useless in (np.ones(DIMS), np.full(DIMS, np.nan)):
        with pytest.raises(ValueError, match="reference"):
            images.fitRegistration(useless)


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize(("planes", "depth"), [(3, 1.0), (8, 1.5), (8, 2.0), (16, 3.0)])
def test_what_is_seen_may_reach_over_several_planes(tsc, planes, depth, own):
    """As under a microscope of little depth resolution: the ends of the volume cut it off."""
    chance = np.random.default_rng(3)
    scene = ndimage.gaussian_filter(chance.random((84, 84, planes + 12)), (1.5, 1.5, depth))
    scene = (scene - scene.min()) / np.ptp(scene) * 1000 + 100
    part = np.s_[10:74, 10:74, 6 : 6 + planes]
    moves = np.column_stack([chance.normal(0, 1.5, (12, 2)), chance.normal(0, 0.3, 12)])
    volumes = np.stack([ndimage.shift(scene, by, mode="nearest")[part] for by in moves])
    volumes += chance.normal(0, 10, volumes.shape)
    images = tsc.loadImagesFromArray(volumes.astype(np.float32))
    model = images.fitRegistration(None if own else scene[part])
    assert model.lost == []
    apart = model.shifts - moves
    apart -= np.median(apart, axis=0)
    assert rms(apart[:, :2]) < 0.05
    assert rms(apart[:, 2]) < 0.25


@pytest.mark.parametrize("method", ["planar", "piecewise"])
@pytest.mark.parametrize("light", [0.0, 2.0])
def test_a_plane_that_shows_nothing_goes_with_the_others(tsc, method, light):
    recording, images = recorded(photons=20.0)
    dark = 100 + np.random.default_rng(0).poisson(light, images.shape)
    volumes = tsc.loadImagesFromArray(np.stack([images, dark, images], axis=3).astype(np.float32))
    model = volumes.fitRegistration(method=method)
    assert model.lost == []
    each = model.shifts.reshape(COUNT, 3, -1, 2).mean(axis=2) - recording.shifts[:, None]
    assert rms(each - np.median(each, axis=0)) < 0.1


def test_huge_values_cost_their_own_image_alone(tsc):
    recording, images = recorded(**FIVE)
    images = images.astype(np.float64)
    images[3, 20:22, 30] = 1.7e308
    images[7] = np.finfo(np.float64).max
    model = tsc.loadImagesFromArray(images).fitRegistration(recording.scene.astype(np.float64))
    assert model.lost == [3, 7]
