"""The simulator of moving recordings: what it says of the motion is so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from benchmarks.moving import Parameters, Recording, write

SMALL = Parameters(dims=(160, 140), count=40, seed=3, jumps=0.1)
VOLUME = Parameters(dims=(64, 60, 16), count=6, seed=4)
INSIDE = slice(16, -16)


def displaced(still, moved, start):
    """Where `moved` shows what `still` does: Gauss-Newton steps on splines of the fifth order.

    It shares nothing with the simulator, which works in the Fourier domain.
    """
    shape = moved.shape
    inside = tuple(slice(16, n - 16) if n > 40 else slice(5, n - 5) for n in shape)
    grid = np.indices(shape, dtype=np.float64)[(slice(None), *inside)]
    target = still[inside].astype(np.float64)
    spline = ndimage.spline_filter(moved.astype(np.float64), order=5)
    where = np.array(start)

    def at(shift):
        lengths = shift.reshape(-1, *([1] * len(shape)))
        return ndimage.map_coordinates(spline, grid + lengths, order=5, prefilter=False)

    for _ in range(3):
        steps = 0.05 * np.eye(len(shape))
        slopes = np.stack([(at(where + s) - at(where - s)).ravel() / 0.1 for s in steps], axis=1)
        where = where + np.linalg.lstsq(slopes, (target - at(where)).ravel(), rcond=None)[0]
    return where


@pytest.mark.parametrize("changes", [{}, {"extra": True}, {"channel": 1}, {"other": (0, 40)}])
def test_shift_is_the_true_one(changes):
    recording = Recording(replace(SMALL, **changes))
    assert np.abs(recording.shifts).max() > 5
    for i in range(0, SMALL.count, 4):
        truth = recording.shift(i)
        found = displaced(recording.light(i, moved=False), recording.light(i), truth + 0.2)
        np.testing.assert_allclose(found, truth, atol=0.002)


def test_shift_of_a_volume_is_the_true_one():
    recording = Recording(VOLUME)
    for i in range(VOLUME.count):
        truth = recording.shift(i)
        found = displaced(recording.light(i, moved=False), recording.light(i), truth + 0.1)
        np.testing.assert_allclose(found, truth, atol=0.005)


def test_odd_rows_lie_further_to_the_right_by_the_phase():
    still, recording = Recording(SMALL), Recording(replace(SMALL, phase=0.6))
    shifted = ndimage.shift(still.light(7).astype(np.float64), (0, 0.6), order=5)
    light = recording.light(7)
    np.testing.assert_array_equal(light[::2], still.light(7)[::2])
    np.testing.assert_allclose(light[1::2, INSIDE], shifted[1::2, INSIDE], atol=0.02)


@pytest.mark.parametrize("phase", [0.0, 0.6])
def test_field_undoes_a_piecewise_motion(phase):
    parameters = replace(SMALL, mode="piecewise", phase=phase)
    recording = Recording(parameters)
    for i in (0, 11, 39):
        grid = np.indices(parameters.dims) + recording.field(i)
        light = recording.light(i).astype(np.float64)
        if phase:  # back to where they would lie
            light[1::2] = ndimage.shift(light, (0, -phase), order=5, mode="mirror")[1::2]
        undone = ndimage.map_coordinates(light, grid, order=5)[INSIDE, INSIDE]
        still = recording.light(i, moved=False)[INSIDE, INSIDE]
        assert np.abs(undone - still).max() < 0.03 * still.std()


def test_field_is_as_strong_and_smooth_as_asked_for():
    recording = Recording(replace(SMALL, mode="piecewise", count=200, jumps=0))
    fields = np.stack([recording.field(i, step=4) for i in range(200)])
    fields -= recording.shifts[:, :, None, None]
    assert np.sqrt((fields**2).mean()) == pytest.approx(1.5, abs=0.1)
    slopes = np.diff(fields, axis=2) / 4
    assert np.sqrt((slopes**2).mean()) < 1.5 / (160 / 3 / np.pi)
    np.testing.assert_array_equal(recording.field(3)[:, ::4, ::4], recording.field(3, step=4))
    one, next_one = fields[:-1].ravel(), fields[1:].ravel()
    assert np.corrcoef(one, next_one)[0, 1] == pytest.approx(0.9, abs=0.05)


def test_a_uniform_field_and_a_shift_are_the_same():
    """The two ways to move a scene agree far better than any estimate is good."""
    parameters = replace(SMALL, mode="piecewise", field=0.0, phase=0.3)
    piecewise, rigid = Recording(parameters), Recording(replace(parameters, mode="rigid"))
    for i in (2, 17):
        difference = piecewise.light(i) - rigid.light(i)
        assert np.abs(difference).max() < 0.01 * rigid.light(i).std()


@pytest.mark.parametrize("photons", [0.5, 10])
def test_light_and_noise_are_as_asked_for(photons):
    parameters = replace(SMALL, photons=photons, noise=5.0, count=60)
    recording = Recording(parameters)
    images = np.stack([recording.image(i) for i in range(60)]).astype(np.float64)
    light = np.stack([recording.light(i) for i in range(60)])
    assert light.mean() == pytest.approx(photons, rel=0.05)
    assert recording.scene.mean() == pytest.approx(photons, rel=1e-5)
    rest = images - 100 - 20 * light
    assert rest.mean() == pytest.approx(0, abs=0.3)
    assert rest.var() == pytest.approx(400 * light.mean() + 25, rel=0.02)


def test_each_image_is_computed_alone():
    forth, back = Recording(SMALL), Recording(SMALL)
    images = [forth.image(i) for i in range(5)]
    for i in reversed(range(5)):
        np.testing.assert_array_equal(back.image(i), images[i])
        assert images[i].dtype == np.uint16
    assert not np.array_equal(Recording(replace(SMALL, seed=9)).image(0), images[0])


def test_another_channel_shows_other_cells_that_move_alike():
    first, second = Recording(SMALL), Recording(replace(SMALL, channel=1, photons=5.0))
    np.testing.assert_array_equal(first.shifts, second.shifts)
    assert abs(np.corrcoef(first.scene.ravel(), second.scene.ravel())[0, 1]) < 0.3


def test_borders_and_aperture_do_not_move():
    recording = Recording(replace(SMALL, border=9, circle=True, noise=0.0))
    dark = [recording.image(i) == 100 for i in range(3)]
    for each in dark:
        assert each[:9].all()
        assert each[:, -9:].all()
        assert each[20, 20]
        assert not each[80, 30:-30].all()
    assert (recording.scene[20, 20], recording.scene[80, 70]) > (0, 0)
    assert recording.scene[20, 20] == 0


def test_frames_without_ground_are_told():
    parameters = replace(SMALL, blank=(3,), saturated=(5, 6), other=(10, 13), noise=0.0)
    recording, plain = Recording(parameters), Recording(replace(SMALL, noise=0.0))
    assert recording.lost == {3, 5, 6, 10, 11, 12}
    assert (recording.image(3) == 100).all()
    assert (recording.image(5) == 65535).all()
    np.testing.assert_array_equal(recording.image(9), plain.image(9))
    assert np.corrcoef(recording.light(11).ravel(), plain.light(11).ravel())[0, 1] < 0.3
    flat = Recording(replace(SMALL, flat=True))
    assert np.ptp(flat.light(4)) < 1e-4
    assert flat.lost == set(range(SMALL.count))


@pytest.mark.parametrize("parameters", [replace(SMALL, count=3), replace(VOLUME, count=2)])
@pytest.mark.parametrize("suffix", [".tif", ".h5"])
def test_write(tmp_path, parameters, suffix):
    recording = Recording(parameters)
    images = np.stack([recording.image(i) for i in range(parameters.count)])
    path = tmp_path / f"moving{suffix}"
    write(path, recording)
    if suffix == ".h5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(path) as file:
            written = file["images"][:]
    else:
        written = pytest.importorskip("tifffile").imread(path)
        if images.ndim == 4:
            written = np.moveaxis(written.reshape(2, 16, 64, 60), 1, -1)
    np.testing.assert_array_equal(written, images)


@pytest.mark.parametrize(
    "changes", [{"mode": "elastic"}, {"mode": "piecewise", "dims": (64, 64, 8)}, {"drift": 50.0}]
)
def test_what_cannot_be_simulated_is_refused(changes):
    with pytest.raises(ValueError, match=r"^m"):
        Recording(replace(SMALL, **changes))
