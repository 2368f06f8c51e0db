"""The line phase of bidirectional scans: found where there is one, and undone."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from mpi4py import MPI

from benchmarks.moving import Parameters, Recording
from mpimages import FormatError, LinePhase, ThunderContext

from ..support.data import DTYPES, recording, same_bits, spread

pytestmark = pytest.mark.ranks

SIZE = Parameters(dims=(256, 256), count=12)
# The largest error of 15 recordings, and half as much.
WITHIN = {0.5: 0.3, 2: 0.09, 10: 0.03}


def movie(parameters):
    """A simulated recording, moving by several pixels: (count,) + dims."""
    simulated = Recording(parameters)
    return np.stack([simulated.image(i) for i in range(parameters.count)])


@pytest.fixture(scope="module")
def faint():
    """A recording with 2 photons a pixel and a phase of -1.3 pixels."""
    return movie(replace(SIZE, phase=-1.3))


def refused(images, words="no line phase was found within 16 pixels", **given):
    with pytest.raises(ValueError, match=words):
        images.fitLinePhase(**given)


# -- found ---------------------------------------------------------------------------------


@pytest.mark.few_ranks
@pytest.mark.parametrize("photons", WITHIN)
@pytest.mark.parametrize("phase", [0, 0.4, -1.3, 3, 7])
def test_the_phase_is_found_in_moving_recordings(tsc, photons, phase):
    array = movie(replace(SIZE, photons=photons, phase=phase))
    found = tsc.loadImagesFromArray(array).fitLinePhase()
    assert abs(found.shift - phase) < WITHIN[photons]
    assert found.quality > 9
    assert found.nimages == 12


@pytest.mark.few_ranks
@pytest.mark.parametrize(
    "harder",
    [
        {"border": 20},
        {"circle": True},
        {"mode": "piecewise", "field": 1.0},
        {"jitter": 3.0},
        {"blank": (0, 3), "saturated": (5,)},
        {"ceiling": 400},
        {"offset": 30000.0},
        {"dims": (151, 257)},
    ],
    ids=lambda harder: next(iter(harder)),
)
def test_what_does_not_move_with_the_tissue_does_not_disturb(tsc, harder):
    array = movie(replace(SIZE, photons=5, phase=3.4, **harder))
    assert abs(tsc.loadImagesFromArray(array).fitLinePhase().shift - 3.4) < 0.12


def test_planes_of_volumes_have_one_phase(tsc, faint):
    volumes = np.stack([faint[:6], faint[6:]], axis=-1)
    found = tsc.loadImagesFromArray(volumes).fitLinePhase()
    assert abs(found.shift + 1.3) < WITHIN[2]


def test_values_that_are_no_numbers_do_not_disturb(tsc, faint):
    array = faint.astype("f4")
    array[3] = np.nan
    array[:, 100, 120] = np.inf
    array[:, 33::40, 20::50] = np.nan
    array[5, 7] = -np.inf
    assert abs(tsc.loadImagesFromArray(array).fitLinePhase().shift + 1.3) < WITHIN[2]
    refused(tsc.loadImagesFromArray(np.full((3, 64, 64), np.nan)))


def test_stripes_of_the_electronics_do_not_disturb(tsc, faint):
    stripes = np.random.RandomState(2).randint(0, 80, 256).astype("u2")
    assert abs(tsc.loadImagesFromArray(faint + stripes).fitLinePhase().shift + 1.3) < WITHIN[2]


@pytest.mark.few_ranks
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float16", "float64"])
def test_every_dtype(tsc, faint, dtype):
    array = (faint // 8).clip(0, 127).astype(dtype)
    assert abs(tsc.loadImagesFromArray(array).fitLinePhase().shift + 1.3) < 2 * WITHIN[2]


def test_a_step_before_is_taken_and_so_many_images(tsc, faint):
    images = tsc.loadImagesFromArray(faint)
    late = images.apply(lambda image: image * 2.0).filter(lambda key, image: key != 2)
    assert abs(late.fitLinePhase().shift + 1.3) < WITHIN[2]
    some = images.fitLinePhase(nimages=3)
    assert some.nimages == 3
    # In the middle of each third.
    assert some == images.filterOnKeys(lambda key: key in (2, 6, 10)).fitLinePhase()
    # What moves within a bin blurs it.
    assert abs(images.timeBin(2).fitLinePhase().shift + 1.3) < 2 * WITHIN[2]


def test_the_bits_depend_on_neither_ranks_nor_budgets(comm, tsc, faint):
    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        wanted = alone.loadImagesFromArray(faint).fitLinePhase()
    assert tsc.loadImagesFromArray(faint).fitLinePhase() == wanted
    assert spread(tsc, faint).fitLinePhase() == wanted
    with ThunderContext(comm, memory="600kB") as small:
        assert small.loadImagesFromArray(faint).fitLinePhase() == wanted


# -- not found -----------------------------------------------------------------------------


@pytest.mark.few_ranks
def test_where_there_is_no_ground_there_is_no_phase(tsc):
    x = np.arange(256)
    light = {
        "blank": np.zeros((1, 256)),
        "flat": np.full((1, 256), 5.0),
        "a gradient": x[None] / 20.0,
        "stripes": 5 + 5 * np.sin(x[None] / 1.7),
        "a spot of light": 20 * np.exp(-(((x - 128) / 120.0) ** 2))[None],
    }
    for seed, what in enumerate(light.values()):
        chance = np.random.RandomState(seed)
        array = chance.poisson(np.broadcast_to(what, (10, 256, 256))) * 20 + 100
        noise = chance.normal(0, 8, array.shape)
        refused(tsc.loadImagesFromArray((array + noise).astype("u2")))
    for value in (0, 65535):
        refused(tsc.loadImagesFromArray(np.full((3, 128, 128), value, "u2")))


def test_a_phase_out_of_reach_is_not_taken_for_another(tsc):
    refused(tsc.loadImagesFromArray(movie(replace(SIZE, photons=5, phase=25))))


@pytest.mark.parametrize(
    "dims", [(1, 512), (2, 512), (7, 512), (512, 63), (512, 1), (100,), (64, 64, 2, 2)]
)
def test_images_too_small_are_refused(tsc, dims):
    words = "at least 8 rows and 64 columns"
    if len(dims) in (2, 3):
        refused(tsc.loadImagesFromArray(np.zeros((2, *dims), "u1")), words)
    empty = tsc.loadImagesFromArray(np.zeros((2, 4, 4), "u1"))
    refused(empty.apply(lambda image: np.zeros(dims)), words)
    with pytest.raises(ValueError, match="no records"):
        empty.filter(lambda key, image: False).fitLinePhase()


# -- undone --------------------------------------------------------------------------------


def moved(array, pixels):
    """Odd rows of (n, row, column[, page]) read so many whole pixels further on; edges repeat."""
    out = array.copy()
    where = (np.arange(array.shape[2]) + pixels).clip(0, array.shape[2] - 1)
    out[:, 1::2] = array[:, 1::2][:, :, where]
    return out


@pytest.mark.few_ranks
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", [(6, 9), (5, 8), (2, 7), (3, 9, 2)])
def test_whole_pixels_are_copied(tsc, dtype, dims):
    array = recording(7, dims, dtype)
    if np.dtype(dtype).kind == "f":
        array[0, :, 2], array[1, :, 3], array[2, 1, 4] = np.nan, np.inf, -0.0
    for pixels in (0, 3, -6):
        for order in ("cubic", "linear"):
            found = spread(tsc, array).correctLinePhase(pixels, order).toArray()
            if dtype in ("int64", "uint64"):  # the kernel's range of exact integers
                assert np.array_equal(found, moved(array, pixels))
            else:
                assert same_bits(found, moved(array, pixels))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float32", "float64"])
def test_parts_of_pixels_are_interpolated(tsc, dtype):
    array = recording(5, (7, 20), dtype) if dtype != "float16" else recording(5, (7, 20), "int8")
    array = array.astype(dtype)
    images = tsc.loadImagesFromArray(array)
    real = array.astype("f8")
    for phase in (0.25, -3.5):
        whole, part = math.floor(phase), phase - math.floor(phase)
        at = [moved(real, whole + i) for i in (-1, 0, 1, 2)]
        keys = {
            "linear": (0, 1 - part, part, 0),
            # R. Keys, 1981, with a = -1/2.
            "cubic": tuple(_keys(abs(part - i)) for i in (-1, 0, 1, 2)),
        }
        for order, weights in keys.items():
            wanted = sum(weight * one for weight, one in zip(weights, at, strict=True))
            found = images.correctLinePhase(phase, order).toArray()
            assert found.dtype == dtype
            assert same_bits(found[:, ::2], array[:, ::2])
            info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
            if info is None:
                near = {"float16": 0.1, "float32": 1e-4, "float64": 1e-10}[dtype]
                assert np.abs(found - wanted).max() <= near
            else:
                assert np.abs(found - np.clip(wanted, info.min, info.max)).max() <= 0.51


def _keys(x):
    return 1.5 * x**3 - 2.5 * x**2 + 1 if x < 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2


def test_by_default_the_interpolation_is_cubic(tsc):
    images = tsc.loadImagesFromArray(recording(3, (6, 20), "float32"))
    default = images.correctLinePhase(0.5).toArray()
    assert same_bits(default, images.correctLinePhase(0.5, order="cubic").toArray())
    assert not same_bits(default, images.correctLinePhase(0.5, order="linear").toArray())


def test_what_is_undone_is_gone(tsc, faint):
    images = tsc.loadImagesFromArray(faint)
    phase = images.fitLinePhase()
    corrected = images.correctLinePhase(phase)
    assert abs(corrected.fitLinePhase().shift) < WITHIN[2]
    assert same_bits(corrected.toArray(), images.correctLinePhase(phase.shift).toArray())
    # As the recording would have been without: cubic interpolation is off by less than a hundredth.
    bright = replace(SIZE, photons=100, count=2)
    there, wanted = Recording(replace(bright, phase=0.4)), Recording(bright)
    light = np.stack([there.light(i) for i in range(2)])
    back = tsc.loadImagesFromArray(light).correctLinePhase(0.4).toArray()
    truth = np.stack([wanted.light(i) for i in range(2)])
    error = (back - truth)[:, :, 4:-4].std() / truth.std()
    assert error < 0.01 < (light - truth).std() / truth.std()


def test_columns_of_one_pixel_stay(tsc):
    array = recording(3, (6, 1), "uint16")
    found = tsc.loadImagesFromArray(array).correctLinePhase(0.5).toArray()
    assert same_bits(found, array)


def test_parts_of_images_and_metadata(tsc):
    array = recording(4, (8, 10, 3), "uint16")
    images = tsc.loadImagesFromArray(array)
    images.metadata["pixelSize"] = [2.0, 3.0, 5.0]
    part = images.planes(1).crop((1, 2), (7, 9)).correctLinePhase(2)
    assert part.metadata["pixelSize"] == [2.0, 3.0] or part.metadata["pixelSize"] == (2.0, 3.0)
    assert same_bits(part.toArray(), moved(array[:, 1:7, 2:9, 1], 2))


@pytest.mark.parametrize(
    ("phase", "order", "error", "words"),
    [
        ("1", "cubic", TypeError, "phase must be a LinePhase or a number"),
        (True, "cubic", TypeError, "phase"),
        (math.nan, "cubic", ValueError, "phase must be a finite"),
        (10**400, "cubic", ValueError, "phase"),
        (20, "cubic", ValueError, "leaves nothing of rows of 20"),
        (LinePhase(-20.5, 9, 3), "linear", ValueError, "leaves nothing"),
        (1, "nearest", ValueError, "order"),
        (1, 3, TypeError, "order"),
    ],
)
def test_what_cannot_be_undone(tsc, phase, order, error, words):
    images = tsc.loadImagesFromArray(recording(3, (6, 20), "uint16"))
    with pytest.raises(error, match=words):
        images.correctLinePhase(phase, order)


def test_images_of_one_row_are_refused_at_once_or_by_the_action(tsc):
    images = tsc.loadImagesFromArray(recording(3, (1, 20), "uint16"))
    with pytest.raises(ValueError, match="two rows or more"):
        images.correctLinePhase(1)
    late = images.apply(lambda image: image[0]).correctLinePhase(1)
    with pytest.raises(ValueError, match="two rows or more"):
        late.mean()


def test_ranks_that_mean_another_phase_are_told(comm, tsc):
    if comm.size == 1:
        pytest.skip("needs two ranks")
    images = tsc.loadImagesFromArray(recording(3, (6, 20), "uint16"))
    with pytest.raises(Exception, match="rank"):
        images.correctLinePhase(comm.rank).mean()


# -- kept ----------------------------------------------------------------------------------

FOUND = LinePhase(-1.3037, 29.85, 40)


def test_what_it_says():
    assert repr(FOUND) == (
        "LinePhase: odd rows lie 1.3037 pixels to the left (quality 29.85, found from 40 images)"
    )
    assert "3 pixels to the right (quality 9, found from 1 image)" in repr(LinePhase(3, 9, 1))
    assert LinePhase(-1.3037, 29.85, 40) == FOUND != LinePhase(1.3037, 29.85, 40)
    assert hash(FOUND) == hash(LinePhase(-1.3037, 29.85, 40))


@pytest.mark.parametrize(
    "given", [("1", 9, 3), (math.nan, 9, 3), (1, math.inf, 3), (1, 9, 0), (1, 9, 2.5), (1, 9)]
)
def test_what_is_none(given):
    with pytest.raises((TypeError, ValueError), match=r"must be|missing"):
        LinePhase(*given)


def test_it_is_saved_by_all_ranks_and_read_again(comm, shared_path):
    path = shared_path / "phase.json"
    FOUND.save(path)
    assert LinePhase.load(path) == FOUND
    FOUND.save(str(path))  # says the same already
    comm.Barrier()
    other = LinePhase(2, 9, 3)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        other.save(path)
    comm.Barrier()
    other.save(path, overwrite=True)
    assert LinePhase.load(path) == other
    comm.Barrier()
    assert [one.name for one in shared_path.iterdir()] == ["phase.json"]


def test_nothing_but_a_line_phase_is_replaced(comm, shared_path):
    path = shared_path / "thesis.txt"
    if comm.rank == 0:
        path.write_text("{}")
    comm.Barrier()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"thesis\.txt"):
            FOUND.save(path, overwrite)
    assert path.read_text() == "{}"
    with pytest.raises(TypeError, match="overwrite"):
        FOUND.save(path, "no")
    for wrong, kind in (
        (None, TypeError),
        (b"x", TypeError),
        ("", ValueError),
        ("a\0", ValueError),
    ):
        with pytest.raises(kind, match="path"):
            FOUND.save(wrong)
        with pytest.raises(kind, match="path"):
            LinePhase.load(wrong)
    with pytest.raises(FileNotFoundError, match="no/such"):
        FOUND.save(shared_path / "no" / "such")
    with pytest.raises(FileNotFoundError):
        LinePhase.load(shared_path / "missing")


def test_damaged_files_are_no_line_phase(comm, shared_path):
    path = shared_path / "phase.json"
    good = {"format": "mpimages-line-phase", "version": 1, "shift": 1, "quality": 9, "nimages": 3}
    texts = [b"", b"\xff", b"[]", b"[" * 100_000, b'{"format": 1}', json.dumps(good).encode()[:-9]]
    for change in (
        {"shift": "1"},
        {"shift": math.nan},
        {"shift": None},
        {"version": 2},
        {"more": 1},
        {"nimages": True},
        {"quality": 1e400},
    ):
        texts.append(json.dumps({**good, **change}).encode())
    texts.append(json.dumps({k: v for k, v in good.items() if k != "shift"}).encode())
    for text in texts:
        if comm.rank == 0:
            path.write_bytes(text)
        comm.Barrier()
        with pytest.raises(FormatError, match=r"phase\.json: is no line phase"):
            LinePhase.load(path)
        comm.Barrier()
