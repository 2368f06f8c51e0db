"""Fits against known motion, models on the disk, and Thunder's spelling. Collective."""

import json
from dataclasses import replace

import numpy as np
import pytest

import mpimages
from mpimages import Registration, RegistrationModel
from mpimages.engine.runner import Action
from mpimages.formats.output_names import with_registration_end
from mpimages.registration.finders import Options
from mpimages.registration.fitting import shifts_bytes
from mpimages.registration.model import largest
from mpimages.simulated import example

pytestmark = pytest.mark.ranks

NAME = "moving-images"
TRUE = example.load(NAME).shifts


@pytest.fixture(scope="module")
def moving(tsc):
    images = tsc.loadExample(NAME)
    images.cache()
    images.count()
    return images


@pytest.fixture(scope="module")
def fitted(moving):
    return moving.fitRegistration()


def off(shifts, true):
    """The error of each shift, but for where the reference lies."""
    apart = shifts - true
    return apart - np.median(apart, axis=0)


def test_shifts_are_those_of_the_simulation(fitted):
    error = off(fitted.shifts, TRUE)
    assert fitted.lost == []
    assert np.sqrt((error**2).mean()) < 0.08
    assert np.abs(error).max() < 0.4


def test_the_model_says_what_it_found(fitted):
    said = repr(fitted)
    assert "method: rigid" in said
    assert "300 of dims (128, 128)" in said
    assert "lost: none" in said
    own = fitted.toArray()
    own[0] = 99
    assert not (fitted.shifts == 99).any()


def test_moved_back_the_images_are_alike(moving, fitted):
    still = moving.applyRegistration(fitted)
    assert still.dtype == moving.dtype
    assert still.mean().std() > 1.15 * moving.mean().std()
    # A second fit finds nothing more.
    again = still.fitRegistration(fitted.reference)
    inside = np.abs(fitted.shifts).max(axis=1) < 4
    assert np.sqrt((again.shifts[inside] ** 2).mean()) < 0.1


def test_blocks_of_a_rigid_motion_move_as_the_whole(moving, fitted):
    model = moving.fitRegistration(fitted.reference, method="piecewise", blockSize=(64, 64))
    assert model.shifts.shape == (300, len(model.rows) * len(model.columns), 2)
    apart = model.shifts - fitted.shifts[:, None]
    assert np.sqrt((apart**2).mean()) < 0.35
    assert moving.applyRegistration(model).mean().shape == (128, 128)


def test_what_cannot_be_placed_is_lost_and_stays(tsc, moving, fitted):
    some = moving[0:12]
    some[3] = 107  # even
    some[7] = np.random.default_rng(0).poisson(30, some[7].shape)  # nothing but noise
    images = tsc.loadImagesFromArray(some)
    model = images.fitRegistration(fitted.reference)
    assert model.lost == [3, 7]
    assert np.isnan(model.shifts[[3, 7]]).all()
    assert "lost: 2 (3, 7)" in repr(model)
    still = images.applyRegistration(model).toArray()
    assert np.array_equal(still[[3, 7]], some[[3, 7]])
    assert not np.array_equal(still[4], some[4])


def test_planes_of_a_volume(tsc, moving, fitted):
    one = moving[0:30]
    other = np.roll(one[:, ::-1], 3, axis=2)
    volumes = tsc.loadImagesFromArray(np.stack([one, other], axis=3))
    reference = np.stack([fitted.reference, np.roll(fitted.reference[::-1], 3, axis=1)], axis=2)
    model = volumes.fitRegistration(reference, method="planar")
    assert model.shifts.shape == (30, 2, 2)
    assert np.abs(model.shifts[:, 0] - fitted.shifts[:30]).max() < 0.05
    turned = model.shifts[:, 1] * [-1, 1]
    assert np.sqrt(((turned - fitted.shifts[:30]) ** 2).mean()) < 0.3
    back = volumes.applyRegistration(model).toArray()
    alone = tsc.loadImagesFromArray(one).applyRegistration(
        tsc.loadImagesFromArray(one).fitRegistration(fitted.reference)
    )
    assert np.abs(back[..., 0].astype(float) - alone.toArray()).mean() < 1


@pytest.mark.parametrize("scale", [2, (1, 1, 2)])
def test_planes_that_were_not_fitted_are_refused(tsc, scale):
    middle = np.array([7.5])
    model = RegistrationModel(
        np.zeros((1, 2, 2)),
        np.ones(1),
        [0],
        (16, 16, 2),
        "planar",
        np.zeros((16, 16, 2)),
        middle,
        middle,
    )
    factors = np.broadcast_to(scale, 3)
    images = tsc.loadImagesFromArray(np.zeros((1, *(factors * (16, 16, 2))), "u1"))
    with pytest.raises(ValueError, match="'planar' has shifts for each plane"):
        images.applyRegistration(model, scale=scale)
    with pytest.raises(ValueError, match="'planar' has shifts for each plane"):
        images.apply(np.copy).applyRegistration(model, scale=scale).mean()
    wide = tsc.loadImagesFromArray(np.zeros((1, 32, 32, 2), "u1"))
    assert wide.applyRegistration(model, scale=(2, 2, 1)).mean().shape == (32, 32, 2)


def test_the_largest_shift_is_within_the_plane():
    model = still_model([3, 4, 5])
    shifts = np.array([[3.0, 4.0], [-1.0, 0.0], [np.nan, np.nan]])
    assert largest(shifts) == 5
    assert "largest shift: 5.00 pixels" in repr(replace(model, shifts=shifts))
    assert replace(model, shifts=shifts).lost == [5]
    assert largest(np.full((3, 2), np.nan)) is None
    volumes = replace(
        model, shifts=np.array([[3.0, 4, 9]] * 3), dims=(16, 16, 2), reference=np.zeros((16, 16, 2))
    )
    assert largest(volumes.shifts) == 5
    planar = replace(volumes, method="planar", shifts=np.array([[[6.0, 8], [0, 0]]] * 3))
    assert largest(planar.shifts) == 5


def test_transform_takes_what_applying_does(moving, fitted):
    some = moving.filterOnKeys(lambda key: key < 2)
    given = {"fill": "nan", "order": "cubic", "dtype": "float64", "scale": 1.0}
    wanted = some.applyRegistration(fitted, **given).toArray()
    assert np.array_equal(fitted.transform(some, **given).toArray(), wanted, equal_nan=True)


def test_a_reference_is_made_within_its_reach(moving):
    some = moving.filterOnKeys(lambda key: key < 20)
    near = some.referenceImage(maxShift=2)
    assert np.array_equal(near, some.fitRegistration(maxShift=2).reference)
    assert not np.array_equal(near, some.referenceImage())
    with pytest.raises(ValueError, match="maxShift"):
        some.referenceImage(maxShift=1000)
    if moving.session.comm.size > 1:
        with pytest.raises(Exception, match="rank"):
            some.referenceImage(maxShift=2 + moving.session.comm.rank)


@pytest.mark.parametrize("method", ["rigid", "planar"])
def test_two_planes_move_along_rows_and_columns_alone(tsc, moving, method):
    """They tell nothing of a shift along the pages, and that must not lose the rest."""
    some = moving[0:30]
    one = tsc.loadImagesFromArray(some).fitRegistration()
    volumes = tsc.loadImagesFromArray(np.stack([some, some], axis=3))
    model = volumes.fitRegistration(method=method)
    assert model.lost == []
    shifts = model.shifts[:, 0] if method == "planar" else model.shifts
    assert np.abs(off(shifts[:, :2], one.shifts)).max() < 0.1
    assert not shifts[:, 2:].any()


def test_more_pixels_than_were_fitted(tsc, moving, fitted):
    some = moving[0:10]
    model = RegistrationModel(
        fitted.shifts[:10],
        fitted.quality[:10],
        fitted.keys[:10],
        fitted.dims,
        "rigid",
        fitted.reference,
        fitted.rows,
        fitted.columns,
    )
    large = tsc.loadImagesFromArray(some.repeat(2, axis=1).repeat(2, axis=2))
    back = large.applyRegistration(model, scale=2, dtype="float64").toArray()
    small = tsc.loadImagesFromArray(some).applyRegistration(model, dtype="float64").toArray()
    bins = back.reshape(10, 128, 2, 128, 2).mean(axis=(2, 4))
    inside = (slice(None), slice(16, -16), slice(16, -16))
    assert np.corrcoef(bins[inside].ravel(), small[inside].ravel())[0, 1] > 0.98
    with pytest.raises(ValueError, match="scale"):
        large.applyRegistration(model)


@pytest.mark.parametrize("fill", ["edge", "nan", 0])
def test_what_comes_in_at_the_borders(tsc, fill):
    images = tsc.loadImagesFromArray(np.arange(1, 1025, dtype=np.uint16).reshape(1, 32, 32))
    model = RegistrationModel(
        np.array([[2.0, 0.0]]),
        np.array([9.0]),
        np.array([0]),
        (32, 32),
        "rigid",
        np.zeros((32, 32)),
        np.array([15.5]),
        np.array([15.5]),
    )
    moved = images.applyRegistration(model, fill=fill)
    assert moved.dtype == (np.float32 if fill == "nan" else np.uint16)
    values = moved[0]
    assert np.array_equal(values[:30], images[0][2:])
    last = {"edge": images[0][31], "nan": np.full(32, np.nan), "0": np.zeros(32)}[str(fill)]
    assert np.array_equal(values[30:], np.stack([last, last]), equal_nan=True)


def test_images_that_the_model_has_not(moving, fitted, tsc):
    others = tsc.loadImagesFromArray(np.zeros((301, 128, 128), np.uint16))
    with pytest.raises(ValueError, match=r"no image with key 300"):
        others.applyRegistration(fitted)
    with pytest.raises(ValueError, match=r"no image with key 300"):
        others.filter(lambda key, image: True).applyRegistration(fitted).mean()
    placed = others.filter(lambda key, image: key < 300).applyRegistration(fitted)
    assert placed.count() == 300  # what the model has not was left out
    some = moving.filterOnKeys(lambda key: key % 2 == 1).applyRegistration(fitted)
    assert np.array_equal(some[5], moving.applyRegistration(fitted)[5])


def still_model(keys, numbers=None, dims=(16, 16)):
    """A model by which the image with key k moves by k rows."""
    keys = np.asarray(keys)
    shifts = np.stack([keys, 0 * keys], axis=1).astype(float)
    middle = [np.array([(n - 1) / 2]) for n in dims]
    return RegistrationModel(
        shifts, np.ones(len(keys)), keys, dims, "rigid", np.zeros(dims), *middle, numbers
    )


def row_of(images):
    """Which row of each image came to row 0."""
    return [int(image[0, 0]) for image in images.toArray()]


@pytest.fixture
def rows(tsc):
    """Eight images that have in each pixel the number of its row."""
    return tsc.loadImagesFromArray(np.tile(np.arange(16, dtype="u1")[None, :, None], (8, 1, 16)))


def test_keys_that_are_counted_anew_are_refused(rows, tsc, comm, shared_path):
    model = still_model(range(8))
    late = rows.filterOnKeys(lambda key: key >= 3)
    assert row_of(late.applyRegistration(model)) == [3, 4, 5, 6, 7]
    with pytest.raises(ValueError, match=r"key 0 is image 3 .* image 0 in the model.*filterOnKeys"):
        late.renumber().applyRegistration(model)
    with pytest.raises(ValueError, match=r"made of 2 .* fitted of 1"):
        rows.timeBin(2).applyRegistration(model)
    with pytest.raises(ValueError, match=r"made of 1 .* fitted of 1|key 0 is image 4"):
        rows.filterOnKeys(lambda key: key >= 4).timeBin(1).applyRegistration(model)
    with pytest.raises(ValueError, match=r"call count\(\)"):
        rows.filter(lambda key, image: True).renumber().applyRegistration(model)
    if comm.rank == 0:
        np.save(shared_path / "rows.npy", np.zeros((8, 16, 16), "u1"))
    comm.barrier()
    path = str(shared_path / "rows.npy")
    with pytest.raises(ValueError, match="key 0 is image 3"):
        tsc.loadImages(path, startIdx=3).applyRegistration(model)
    assert tsc.loadImages(path, stopIdx=3).applyRegistration(model).count() == 3
    part = tsc.loadImages(path, startIdx=3)
    fitted_part = still_model(range(5), np.arange(3, 8)[:, None])
    assert part.applyRegistration(fitted_part).count() == 5
    with pytest.raises(ValueError, match="key 0 is image 0"):
        tsc.loadImages(path, stopIdx=5).applyRegistration(fitted_part)
    # A file of its own with just these images: another channel, or what was exported.
    assert tsc.loadImagesFromArray(np.zeros((5, 16, 16))).applyRegistration(fitted_part)


def test_renumbered_images_can_be_fitted_and_moved(moving, fitted):
    late = moving.filterOnKeys(lambda key: key >= 290).renumber()
    model = late.fitRegistration(fitted.reference)
    assert model.keys.tolist() == list(range(10))
    assert model.numbers[:, 0].tolist() == list(range(290, 300))
    assert np.abs(model.shifts - fitted.shifts[290:]).max() < 0.05
    assert late.applyRegistration(model).count() == 10
    with pytest.raises(ValueError, match="key 0 is image 0"):
        moving.filterOnKeys(lambda key: key < 10).applyRegistration(model)


def test_images_move_by_the_shifts_of_their_bins(moving, rows):
    model = still_model(range(4), np.arange(8).reshape(4, 2))
    assert row_of(rows.applyRegistration(model)) == [0, 0, 1, 1, 2, 2, 3, 3]
    late = rows.filterOnKeys(lambda key: key >= 5).renumber()
    assert row_of(late.applyRegistration(model)) == [2, 3, 3]
    assert row_of(rows.timeBin(2).applyRegistration(model)) == [0, 1, 2, 3]
    unknown = rows.filter(lambda key, image: key >= 5).renumber()
    unknown.count()
    assert row_of(unknown.applyRegistration(model)) == [2, 3, 3]
    kept = rows.filterOnKeys(lambda key: key >= 4).renumber().cache().timeBin(2).cache()
    with pytest.raises(ValueError, match="key 0 is image 4"):
        kept.applyRegistration(model)
    assert row_of(kept.applyRegistration(still_model(range(2), [[4, 5], [6, 7]]))) == [0, 1]
    kept = rows.filter(lambda key, image: key < 8)
    assert row_of(kept.applyRegistration(still_model(range(8)))) == list(range(8))
    some = moving.filterOnKeys(lambda key: 20 <= key < 40)
    binned = some.timeBin(4).fitRegistration()
    assert binned.numbers.tolist() == np.arange(20, 40).reshape(5, 4).tolist()
    assert some.applyRegistration(binned).count() == 20
    with pytest.raises(ValueError, match="no image with key 0"):
        moving.applyRegistration(binned)
    with pytest.raises(ValueError, match="one of their bins"):
        some.report("report.html", registration=binned)


@pytest.mark.parametrize("how", ["known", "unknown", "cached"])
def test_keys_may_be_counted_anew_once_the_images_are_moved(rows, how):
    moved_back = rows.applyRegistration(still_model(range(8)))
    if how == "cached":
        moved_back.cache()
    if how == "unknown":
        late = moved_back.filter(lambda key, image: key >= 3).renumber()
    else:
        late = moved_back.filterOnKeys(lambda key: key >= 3).renumber()
    moved_back.uncache()
    assert late.keys().collect() == [0, 1, 2, 3, 4]
    assert row_of(late) == [3, 4, 5, 6, 7]
    assert row_of(late.filterOnKeys(lambda key: key > 1).renumber()) == [5, 6, 7]


@pytest.mark.parametrize("ending", [".json", ".npz"])
def test_a_model_comes_back_from_the_disk(fitted, comm, shared_path, monkeypatch, ending):
    monkeypatch.setenv("HOME", str(shared_path))
    path = shared_path / f"model{ending}"
    fitted.save(f"~/model{ending}")
    fitted.save(path)  # says the same already
    assert RegistrationModel.load(f"~/model{ending}") == fitted
    other = still_model(range(3))
    comm.barrier()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        other.save(path)
    comm.barrier()
    other.save(path, overwrite=True)
    assert RegistrationModel.load(path) == other
    comm.barrier()
    assert [p.name for p in shared_path.iterdir()] == [path.name]


def test_nothing_but_a_model_is_replaced(comm, shared_path, fitted):
    path = shared_path / "mine.json"
    if comm.rank == 0:
        path.write_text('{"mine": 1}')
    comm.barrier()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match=r"mine\.json"):
            fitted.save(path, overwrite)
    assert path.read_text() == '{"mine": 1}'
    with pytest.raises(TypeError, match="overwrite"):
        fitted.save(path, "no")
    with pytest.raises(TypeError, match="path"):
        fitted.save(None)


def test_what_is_no_model_is_refused(tmp_path, fitted):
    path = tmp_path / "model.json"
    fitted.save(path)
    said = json.loads(path.read_text())
    del said["crc32"]
    for name, value, why in (
        ("format", "other", "it is no mpimages registration"),
        ("version", 99, "it has version 99"),
        ("shifts", said["shifts"][:-1], "its shifts do not fit"),
        ("keys", said["keys"][::-1], "its keys do not fit"),
        ("dims", [128], "its dims do not fit"),
        ("method", "none", "method must be"),
        ("quality", "text", "text"),
        ("reference", None, "its reference do not fit"),
    ):
        head = json.dumps({**said, name: value})[:-1] + ", "
        path.write_bytes(with_registration_end(head.encode()))
        with pytest.raises(mpimages.FormatError, match=rf"model\.json.*{why}"):
            RegistrationModel.load(path)
    for text in ("", "[]", "{", "null", "{}"):
        path.write_bytes(with_registration_end(text.encode()))
        with pytest.raises(mpimages.FormatError):
            RegistrationModel.load(path)
        with pytest.raises(mpimages.FormatError):
            RegistrationModel.load(path)
    (tmp_path / "model.npz").write_bytes(with_registration_end(b"PK no archive"))
    with pytest.raises(mpimages.FormatError):
        RegistrationModel.load(tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError):
        RegistrationModel.load(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"\.json or \.npz"):
        fitted.save(tmp_path / "model.pkl")


def test_thunders_spelling(moving, fitted):
    registration = Registration("crosscorr").prepare(moving)
    assert np.array_equal(
        registration.reference, moving.filterOnKeys(lambda key: 140 <= key < 160).mean()
    )
    model = registration.fit(moving)
    assert np.sqrt((off(model.shifts, TRUE) ** 2).mean()) < 0.3
    assert np.array_equal(registration.run(moving).mean(), moving.applyRegistration(model).mean())
    assert np.array_equal(
        Registration("crosscorr").prepare(moving, 3, 5).reference, moving[3:5].mean(axis=0)
    )
    given = Registration("crosscorr").prepare(fitted.reference)
    assert given.fit(moving) == moving.fitRegistration(fitted.reference)
    with pytest.raises(ValueError, match="prepare"):
        Registration("crosscorr").fit(moving)
    with pytest.raises(ValueError, match="method"):
        Registration("none")
    with pytest.raises(TypeError, match="startIdx"):
        registration.prepare(moving, 3)
    with pytest.raises(TypeError, match="array"):
        registration.prepare(3)
    with pytest.raises(ValueError, match="no images"):
        registration.prepare(moving, 400, 410)


def test_arguments_without_effect_are_refused(moving, fitted):
    for given in ({"blockSize": (64, 64)}, {"smoothing": 2.0}, {"method": "planar"}):
        with pytest.raises(ValueError, match="|".join([*given, "volumes"])):
            moving.fitRegistration(fitted.reference, **given)


def test_shifts_that_do_not_fit_are_refused_before_anything_is_read(comm, shared_path, monkeypatch):
    """A field of 33 x 33 nodes for each of 300 images, which a rank holds twice."""
    need = 2 * 300 * 33 * 33 * 2 * 8
    with mpimages.ThunderContext(comm, memory=need - 1) as small:
        images = small.loadExample(NAME)
        monkeypatch.setattr(Action, "stream", None)
        with pytest.raises(MemoryError, match=r"shifts of 300 images.* take larger blocks"):
            images.fitRegistration(method="piecewise", blockSize=(16, 16))
        wide = small.loadImagesFromArray(np.zeros((1, 512, 512), "u1"))
        with pytest.raises(ValueError, match="take larger ones"):
            wide.fitRegistration(method="piecewise", blockSize=(16, 16))


@pytest.mark.parametrize(
    ("dims", "method", "block"),
    [
        ((40, 44), "rigid", None),
        ((40, 44), "piecewise", (16, 20)),
        ((40, 44, 3), "rigid", None),
        ((40, 44, 3), "planar", None),
        ((40, 44, 3), "piecewise", (20, 40)),
    ],
)
def test_the_bytes_of_shifts_are_known_before(tsc, dims, method, block):
    values = np.random.default_rng(0).integers(0, 99, (5, *dims)).astype("u2")
    images = tsc.loadImagesFromArray(values)
    model = images.fitRegistration(values[0], method, blockSize=block)
    options = Options.checked(dims, method, None, block, None)
    assert model.shifts.nbytes == shifts_bytes(5, dims, options)


@pytest.mark.parametrize("option", ["maxShift", "blockSize", "smoothing"])
def test_ranks_that_ask_for_different_fits_are_told(tsc, comm, moving, option):
    if comm.size == 1:
        return
    given = {"maxShift": 3.0, "blockSize": (64, 64), "smoothing": 1.0}
    if comm.rank == 1:
        given[option] = (32, 32) if option == "blockSize" else 5.0
    with pytest.raises(mpimages.CollectiveMismatchError):
        moving.fitRegistration(np.asarray(moving[0], dtype=float), method="piecewise", **given)


def test_one_number_is_the_reach_along_rows_and_columns(moving):
    assert Options.checked((64, 64, 6), "rigid", 5, None, None).reach == (5, 5, 1.5)
    assert Options.checked((64, 64), "rigid", 5, None, None).reach == (5, 5)
    assert Options.checked((64, 64, 6), "rigid", (5, 4, 2), None, None).reach == (5, 4, 2)
