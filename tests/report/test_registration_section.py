"""A report about a registration: its numbers against known motion, what it suspects, odd models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI

from mpimages import ThunderContext
from mpimages.registration.model import RegistrationModel
from mpimages.report.correction import EIGHTHS, likeness, sharpness

from ..support.data import spread
from .test_report import drawn_alone, moved, report, scene, texts

pytestmark = [pytest.mark.ranks, pytest.mark.usefixtures("drawn_alone")]

__all__ = ["drawn_alone"]

SIDE, COUNT = 64, 48


def shifts_of(count, size=3.0, seed=0):
    """Slow and fast motion, with a mean of 0."""
    rng = np.random.RandomState(seed)
    found = size * rng.uniform(-1, 1, (count, 2))
    return found - found.mean(axis=0)


def movie(shifts, deeper=None, bleaching=0.0, noise=3.0, dtype="uint16"):
    """A scene that moves; `deeper`, (n,), is the part of another scene that is seen."""
    rng = np.random.RandomState(1)
    first, second = scene(SIDE, SIDE), scene(SIDE, SIDE, seed=9)
    images = []
    for i, by in enumerate(shifts):
        part = 0.0 if deeper is None else deeper[i]
        light = (1 - part) * first + part * second
        light = moved(light, *by) * np.exp(-bleaching * i / len(shifts))
        images.append(200 + light + noise * rng.standard_normal(light.shape))
    return np.array(images).astype(dtype)


def model_of(shifts, **given):
    """A model made by hand; by default of the scene at rest."""
    shifts = np.asarray(shifts, float)
    made = {
        "shifts": shifts,
        "quality": np.full(len(shifts), 20.0),
        "keys": np.arange(len(shifts)),
        "dims": (SIDE, SIDE),
        "method": "rigid",
        "reference": scene(SIDE, SIDE),
        "rows": np.array([(SIDE - 1) / 2]),
        "columns": np.array([(SIDE - 1) / 2]),
    }
    return RegistrationModel(**{**made, **given})


def topics(found):
    return {finding["topic"] for finding in found["findings"]}


def test_what_a_good_registration_does(tsc, shared_path):
    shifts = shifts_of(COUNT)
    images = spread(tsc, movie(shifts))
    found, page = report(images, shared_path / "r.html", registration=model_of(shifts))
    figures = found["figures"]["registration"]
    assert (figures["placed"], figures["lost"], figures["method"]) == (COUNT, [], "rigid")
    size = np.hypot(*shifts.T)
    assert figures["shift"]["rms"] == pytest.approx(np.sqrt((size**2).mean()), abs=1e-3)
    assert figures["shift"]["frame"] == int(size.argmax())
    assert figures["residual"]["images"] == COUNT // 2
    assert figures["residual"]["rms"] < 0.1 < figures["shift"]["rms"]
    assert figures["sharpness"]["ratio"] > 1.1
    assert figures["correlation"]["after"] > 0.95 > figures["correlation"]["before"]
    assert figures["depth"]["near"] == pytest.approx(1, abs=0.05)
    low, high = np.ceil(-shifts.min(axis=0)), np.ceil(shifts.max(axis=0))
    assert list(figures["borders"].values()) == [low[0], high[0], low[1], high[1]]
    assert topics(found) <= {"shift"}
    assert {finding["level"] for finding in found["findings"]} <= {"note"}
    assert "Before the correction: shift of" in texts(found)
    for word in ("Motion correction", "Mean before", "Mean after", "Quality of the fit", "Depth"):
        assert word in page.decode()


def test_what_is_left_is_found(tsc, shared_path):
    shifts = shifts_of(COUNT)
    wrong = shifts + 1.5 * shifts_of(COUNT, 1.0, seed=5)
    images = spread(tsc, movie(shifts))
    found, _ = report(images, shared_path / "r.html", registration=model_of(wrong))
    left = found["figures"]["registration"]["residual"]
    size = np.hypot(*(shifts - wrong).T)
    assert left["rms"] == pytest.approx(np.sqrt((size**2).mean()), rel=0.25)
    assert "residual" in topics(found)
    assert "After the correction frames still lie" in texts(found)


def test_one_wrong_shift_among_many_is_named(tsc, shared_path):
    shifts = shifts_of(COUNT)
    wrong = shifts.copy()
    wrong[17] += 8
    found, page = report(
        spread(tsc, movie(shifts)), shared_path / "r.html", registration=model_of(wrong)
    )
    assert found["figures"]["registration"]["correlation"]["worse"] == [[17, 17]]
    assert "Frame 17 is less like the reference when moved back" in texts(found)
    assert [one["first"] for one in found["frames"] if one["topic"] == "worse"] == [17]
    assert b"less like the reference when moved back: correlation" in page


def test_lost_frames_are_named(tsc, shared_path):
    shifts = shifts_of(COUNT)
    given = shifts.copy()
    given[[3, 20, 21]] = np.nan
    array = movie(shifts)
    array[20] = np.random.RandomState(0).randint(0, 60000, (SIDE, SIDE))
    found, _ = report(spread(tsc, array), shared_path / "r.html", registration=model_of(given))
    figures = found["figures"]["registration"]
    # One that shows something else has no part in the means, nor in what is left of the motion.
    assert figures["sharpness"]["ratio"] > 1.1
    assert figures["residual"]["rms"] < 0.1
    assert found["figures"]["registration"]["lost"] == [[3, 3], [20, 21]]
    assert "Frames 3 and 20–21 could not be placed" in texts(found)
    listed = [(one["first"], one["last"]) for one in found["frames"] if one["topic"] == "lost"]
    assert listed == [(3, 3), (20, 21)]


def test_a_drift_to_another_depth_is_suspected_and_bleaching_is_not(tsc, shared_path):
    shifts = shifts_of(COUNT)
    model = model_of(shifts)
    part = np.linspace(0, 0.6, COUNT)
    fading = spread(tsc, movie(shifts, deeper=part))
    found, _ = report(fading, shared_path / "a.html", registration=model)
    assert found["figures"]["registration"]["depth"]["drifts"]
    assert "may drift to another depth" in texts(found)
    for number, noise in enumerate((3.0, 15.0)):
        bleaching = spread(tsc, movie(shifts, bleaching=1.2, noise=noise))
        found, _ = report(bleaching, shared_path / f"b{number}.html", registration=model)
        assert "depth" not in topics(found)
        assert "bleaching" in topics(found)
        assert not (found["figures"]["registration"]["depth"] or {}).get("drifts")


def test_a_sudden_change_of_depth_is_suspected(tsc, shared_path):
    shifts = shifts_of(COUNT)
    part = (np.arange(COUNT) >= 30).astype(float)
    images = spread(tsc, movie(shifts, deeper=part))
    found, _ = report(images, shared_path / "r.html", registration=model_of(shifts))
    assert "depth" in topics(found)


def test_eighths_of_noise_alone_tell_nothing():
    rng = np.random.RandomState(0)
    noise = rng.randint(-100, 100, (EIGHTHS, 2, 32, 32))
    assert np.isnan(likeness(noise, np.full(EIGHTHS, 20))).all()
    same = noise[:1, :1] * np.ones((EIGHTHS, 2, 1, 1), int)
    np.testing.assert_allclose(likeness(same, np.full(EIGHTHS, 20)), 1)
    assert np.isnan(likeness(same, np.array([*[20] * 7, 1]))).all()


def test_sharpness_is_that_of_its_definition():
    down = np.arange(30.0)[:, None] * np.ones((30, 20))
    assert sharpness(3 * down) == pytest.approx(3)
    assert sharpness(down + 2 * down.T[:20, :20].T[:1]) >= 1
    assert sharpness(np.full((5, 5), 7)) == 0


@pytest.mark.parametrize("method", ["piecewise", "planar"])
def test_other_methods(tsc, shared_path, method):
    shifts = shifts_of(24, 2.0)
    array = movie(shifts)
    if method == "planar":
        array = np.stack([array, array[:, ::-1]], axis=3)
    images = spread(tsc, array)
    reference = array.mean(axis=0)
    model = images.fitRegistration(reference, method)
    found, _ = report(images, shared_path / "r.html", registration=model)
    figures = found["figures"]["registration"]
    assert figures["method"] == method
    assert figures["shift"]["images"] == 24
    assert figures["residual"] is not None


def test_volumes_that_move_as_a_whole(tsc, shared_path):
    shifts = np.column_stack([shifts_of(24, 2.0), np.linspace(-1, 1, 24)])
    planes = [scene(32, 32, seed) for seed in range(4)]
    still = np.stack(planes * 2, axis=2)
    array = np.array([np.stack([moved(p, *by[:2]) for p in planes * 2], axis=2) for by in shifts])
    model = model_of(
        shifts, dims=(32, 32, 8), reference=still, rows=np.array([15.5]), columns=np.array([15.5])
    )
    found, page = report(spread(tsc, array), shared_path / "r.html", registration=model)
    shift = found["figures"]["registration"]["shift"]
    size = np.hypot(*shifts[:, :2].T)
    assert shift["rms"] == pytest.approx(np.sqrt((size**2).mean()), abs=1e-3)
    assert shift["planes"] == pytest.approx(np.sqrt((shifts[:, 2] ** 2).mean()), abs=1e-3)
    assert found["figures"]["registration"]["residual"]["planes"] is not None
    assert "along the planes" in page.decode()
    assert "overstated where there are few of them" in page.decode()


@pytest.mark.parametrize("case", ["all lost", "one image", "blank", "far away", "tiny", "nan"])
def test_odd_recordings(tsc, shared_path, case):
    shifts = shifts_of(24)
    array, model = movie(shifts, dtype="float32"), model_of(shifts)
    if case == "all lost":
        model = replace(model, shifts=np.full((24, 2), np.nan))
    elif case == "one image":
        array = array[:1]
    elif case == "blank":
        array[:] = 5
    elif case == "far away":
        model = replace(model, shifts=np.full((24, 2), 1000.0))
    elif case == "tiny":
        array = array[:, :5, :4]
        reference = np.array(model.reference[:5, :4])
        model = replace(model, dims=(5, 4), reference=reference)
    elif case == "nan":
        array[4:9, 3:6] = np.nan
        array[11] = np.nan
    images = tsc.loadImagesFromArray(array)
    found, page = report(images, shared_path / "r.html", registration=model)
    assert "registration" in found["figures"]
    assert b"Motion correction" in page
    if case == "all lost":
        assert "No frame could be placed" in texts(found)


def test_blank_frames_are_left_out(tsc, shared_path):
    shifts = shifts_of(COUNT)
    array = movie(shifts)
    array[5:8] = 100
    given = shifts.copy()
    given[5:8] = np.nan
    found, _ = report(spread(tsc, array), shared_path / "r.html", registration=model_of(given))
    figures = found["figures"]["registration"]
    assert figures["lost"] == [[5, 7]]
    assert figures["correlation"]["after"] > 0.95


def test_a_part_of_the_recording(tsc, shared_path):
    shifts = shifts_of(COUNT)
    images = spread(tsc, movie(shifts)).filterOnKeys(lambda key: 10 <= key < 40 and key % 2 == 0)
    found, _ = report(images, shared_path / "r.html", registration=model_of(shifts))
    figures = found["figures"]["registration"]
    assert figures["placed"] == 15
    assert figures["residual"]["rms"] < 0.1


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_the_same_page_for_every_number_of_ranks_and_budget(comm, shared_path, dtype):
    shifts = shifts_of(COUNT)
    array, model = movie(shifts, dtype=dtype), model_of(shifts)
    pages = []
    for number, memory in enumerate(("1GB", "1MB")):
        with ThunderContext(comm, memory=memory) as context:
            images = spread(context, array)
            found, page = report(images, shared_path / f"{number}.html", registration=model)
            pages.append((repr(found["figures"]), page))
    assert pages[0] == pages[1]
    if comm.rank == 0:
        with ThunderContext(MPI.COMM_SELF, memory="100MB") as alone:
            images = alone.loadImagesFromArray(array)
            images.report(shared_path / "alone.html", registration=model)
    comm.Barrier()
    assert (shared_path / "alone.html").read_bytes() == pages[0][1]


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ("a model", TypeError, "registration must be a RegistrationModel"),
        (model_of(shifts_of(9)), ValueError, "the model has no image with key 9"),
        (
            model_of(shifts_of(24), dims=(8, 8), reference=np.ones((8, 8))),
            ValueError,
            "is not one of images of dims",
        ),
    ],
    ids=["text", "fewer", "other dims"],
)
def test_wrong_models_are_refused(tsc, shared_path, wrong, error, said):
    images = tsc.loadImagesFromArray(movie(shifts_of(24)))
    with pytest.raises(error, match=said):
        images.report(shared_path / "r.html", registration=wrong)
    assert not (shared_path / "r.html").exists()
