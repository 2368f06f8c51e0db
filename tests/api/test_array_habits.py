"""What people who know NumPy try first: shape, len, loops, negative keys, axis=, TAB and help."""

import inspect
import pydoc
import warnings

import numpy as np
import pytest

import mpimages
from mpimages import Colorize, GatherWarning, Images, Series, ThunderContext, TimeSeries, verify
from mpimages.collection import View
from mpimages.engine import runner

from ..support.data import recording

pytestmark = pytest.mark.ranks
ARRAY = recording(6, (4, 5, 3), "int16")


@pytest.fixture
def images(tsc):
    return tsc.loadImagesFromArray(ARRAY)


@pytest.fixture
def series(images):
    return images.toSeries()


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GatherWarning)
        yield


# -- shape, ndim, size, len ----------------------------------------------------------------


def test_images_have_the_shape_of_their_array(images):
    assert images.shape == ARRAY.shape
    assert (images.ndim, images.size, len(images)) == (4, ARRAY.size, 6)
    assert images.maxProjection().shape == (6, 4, 5)
    assert np.shape(images) == ARRAY.shape
    assert {type(n) for n in images.shape} == {int}
    assert bool(images)
    empty = images.filterOnKeys(lambda key: False)
    assert (empty.shape, len(empty), bool(empty)) == ((0, 4, 5, 3), 0, False)


def test_series_have_the_shape_of_their_array(series):
    assert series.shape == series.toArray().shape == (4, 5, 3, 6)
    assert (series.ndim, series.size, len(series)) == (4, ARRAY.size, 4)
    assert series.seriesMean().shape == (4, 5, 3, 1)
    assert series.between(2, 3).shape == (4, 5, 3, 2)
    assert bool(series)


def test_what_only_an_action_can_tell_is_none(images, series):
    for few in (images.filter(lambda key, _: key > 1), series.filter(lambda key, _: key[0] == 1)):
        assert (few.shape, few.ndim, few.size) == (None, None, None)
        for question in (len, bool):
            with pytest.raises(TypeError, match=r"not known yet: .*(count|first)\(\)"):
                question(few)
        few.first()
        assert few.shape == np.stack(few.values().collect()).shape
        assert len(few) == len(few.values().collect())
    undeclared = images.apply(lambda image: image[:2])
    assert (undeclared.dims, undeclared.shape, undeclared.size) == (None, None, None)
    assert len(undeclared) == 6
    assert undeclared.toSeries().shape is None
    with pytest.raises(TypeError, match="first"):
        len(undeclared.toSeries())
    undeclared.max()
    assert undeclared.shape == (6, 2, 5, 3)


def test_a_filter_that_keeps_every_pixel_keeps_the_shape(series):
    kept = series.filter(lambda key, _: True)
    kept.count()
    assert kept.shape == (4, 5, 3, 6)


# -- loops ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, ARRAY[0].nbytes * 2, 1 << 20])
def test_a_loop_brings_every_image_to_every_rank(images, quiet, monkeypatch, batch):
    monkeypatch.setattr(runner, "BATCH_BYTES", batch)
    np.testing.assert_array_equal(list(images), ARRAY)
    np.testing.assert_array_equal(list(images.maxProjection()), ARRAY.max(axis=3))
    np.testing.assert_array_equal(list(images.filter(lambda key, _: key % 2)), ARRAY[1::2])
    np.testing.assert_array_equal(list(images.apply(lambda image: image[0])), ARRAY[:, 0])
    assert list(images.filterOnKeys(lambda key: False)) == []
    for image in images:
        image += 1  # is the caller's own
    np.testing.assert_array_equal(images.toArray(), ARRAY)


def test_a_loop_may_be_left_and_have_other_actions_within(images, quiet):
    for number, image in enumerate(images):
        np.testing.assert_array_equal(images[number], image)
        if number == 3:
            break
    with pytest.raises(ZeroDivisionError):
        list(images.apply(lambda image: 1 / 0))
    np.testing.assert_array_equal(next(iter(images)), ARRAY[0])


def test_a_loop_reads_a_batch_at_a_time(images, quiet, monkeypatch):
    monkeypatch.setattr(runner, "BATCH_BYTES", ARRAY[0].nbytes * 2)
    gathered = []
    gather = runner.Action.gather
    monkeypatch.setattr(
        runner.Action, "gather", lambda self, s: gathered.append(s.count) or gather(self, s)
    )
    loop = iter(images)
    assert gathered == []
    next(loop)
    assert gathered == [2]
    assert len(list(loop)) == 5
    assert gathered == [2, 2, 2]


def test_a_loop_on_several_ranks_warns_once(images, tsc):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            list(images)
    told = [str(each.message) for each in caught if each.category is GatherWarning]
    assert len(told) == (tsc.size > 1 and tsc.rank == 0)
    assert all(each.filename == __file__ for each in caught)
    if tsc.size > 1:  # a warning that is an error is one on all ranks
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(GatherWarning, match="every rank"):
                list(images)
    assert images.max().shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda images: 3 in images, "get"),
        (lambda images: 3 in images.toSeries(), "get"),
        (reversed, "not reversible"),
        (lambda images: iter(images.toSeries()), "apply"),
        (lambda images: np.asarray(images), "toArray"),
        (lambda images: np.stack([images, images]), "toArray"),
        (lambda images: np.asarray(images.toSeries()), "toArray"),
        (lambda images: Colorize.tile(images), "toArray"),
        (lambda images: Colorize.image(images.maxProjection()), "toArray"),
        (np.std, "toArray"),
        (np.mean, r"Images.mean\(\) got .*axis.*toArray"),
        (lambda images: np.max(images.toTimeSeries()), r"TimeSeries.max\(\) got .*axis.*toArray"),
        (lambda images: images.sum(0), r"Images.sum\(\) got .*toArray"),
    ],
)
def test_what_is_refused_says_what_to_do(images, ask, told):
    with pytest.raises(TypeError, match=told):
        ask(images)


@pytest.mark.parametrize(
    "call",
    [
        lambda images, tsc: tsc.loadImages(images),
        lambda images, tsc: tsc.loadImagesFromArray(images),
        lambda images, tsc: tsc.loadSeriesFromArray(np.ones((2, 6)), index=images),
        lambda images, tsc: images.meanByRegions(images),
        lambda images, tsc: images.toSeries().select(images),
        lambda images, tsc: images.planes(images),
        lambda images, tsc: images.subsample(images),
        lambda images, tsc: images.plan(chunks=images),
        lambda images, tsc: images[images],
        lambda images, tsc: images.apply(lambda _: next(iter(images))).max(),
        lambda images, tsc: images.filter(lambda *_: list(images)).count(),
    ],
)
def test_images_as_an_argument_are_not_listed_in_secret(images, tsc, call):
    with pytest.raises((TypeError, ValueError)):
        call(images, tsc)
    assert images.max().shape == (4, 5, 3)  # and the ranks are in step


# -- keys from the end ---------------------------------------------------------------------


def test_negative_keys_count_from_the_end(images):
    for key in (-1, -6, np.int64(-2)):
        np.testing.assert_array_equal(images[key], ARRAY[key])
    for wanted in (np.s_[-2:], np.s_[:-4], np.s_[-100:2], np.s_[1:-1:2], np.s_[-3:-1]):
        np.testing.assert_array_equal(images[wanted], ARRAY[wanted])
    for wanted in (-7, np.s_[3:-4], np.s_[:-6]):
        with pytest.raises(KeyError, match="0…5"):
            images[wanted]
    assert images.get(-1) is None  # by key alone


def test_negative_keys_where_keys_are_no_places(images):
    late = images.filter(lambda key, _: key > 2)
    for wanted in (-1, np.s_[-2:], np.s_[:-1]):
        with pytest.raises(KeyError, match=r"lie in 3…5; call renumber\(\)"):
            late[wanted]
    np.testing.assert_array_equal(late.renumber()[-1], ARRAY[-1])
    with pytest.raises(KeyError, match="no records"):
        images.filterOnKeys(lambda key: False)[-1]


def test_negative_coordinates_of_a_pixel(series):
    np.testing.assert_array_equal(series[-1, 0, -2], ARRAY[:, -1, 0, -2])
    for key in ((-5, 0, 0), (0, -6, 0), (0, 0, 3)):
        with pytest.raises(KeyError, match="dims are"):
            series[key]
    assert series.get((-1, 0, 0)) is None


# -- calls that do not fit -----------------------------------------------------------------

KINDS = [ThunderContext, Images, Series, TimeSeries, View, Colorize]


def methods():
    for kind in KINDS:
        for name in dir(kind):
            member = inspect.getattr_static(kind, name)
            if not name.startswith("_") and not isinstance(member, property):
                yield pytest.param(kind, name, id=f"{kind.__name__}.{name}")


@pytest.mark.parametrize(("kind", "name"), list(methods()))
def test_a_call_that_does_not_fit_names_the_method_that_was_called(tsc, images, kind, name):
    owners = {
        ThunderContext: tsc,
        Images: images,
        Series: images.toSeries(),
        TimeSeries: images.toTimeSeries(),
        View: images.keys(),
        Colorize: Colorize(),
    }
    method = getattr(owners.get(kind, kind), name)
    takes = inspect.signature(method).parameters.values()
    if not any(one.kind is one.VAR_KEYWORD for one in takes):
        with pytest.raises(TypeError) as caught:
            method(nonsense=1)
        assert str(caught.value).startswith(f"{kind.__name__}.{name}() "), caught.value
    with pytest.raises(TypeError) as caught:
        method(*[None] * 30)
    starred = any(one.kind is one.VAR_POSITIONAL for one in takes)  # it takes any number
    told = f"{name}: " if starred else f"{kind.__name__}.{name}() got"
    assert str(caught.value).startswith(told), caught.value
    if any(one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD for one in takes):
        with pytest.raises(TypeError, match="missing a required argument") as caught:
            method()
        assert str(caught.value).startswith(f"{kind.__name__}.{name}() "), caught.value


def test_functions_and_the_class_itself():
    for call, told in [
        (lambda: verify(), r"^verify\(\) missing"),
        (lambda: verify("x", nonsense=1), r"^verify\(\) got"),
        (lambda: Images(), "^Images cannot be made by itself: use .*loadImages"),
        (lambda: Series("recording"), "^Series cannot be made by itself"),
        (lambda: ThunderContext(nonsense=1), r"^ThunderContext\(\) got .*comm=None"),
    ]:
        with pytest.raises(TypeError, match=told):
            call()


def test_an_error_of_a_function_of_the_user_is_not_taken_for_a_wrong_call(images):
    with pytest.raises(TypeError, match="takes 0 positional arguments"):
        images.apply(lambda: 0).max()


# -- what TAB and help show ----------------------------------------------------------------


def test_only_public_names_are_listed(images, tsc):
    assert set(dir(mpimages)) == {*mpimages.__all__, "open"}
    for thing in (images, images.toSeries(), images.toTimeSeries(), tsc):
        names = dir(thing)
        assert {name for name in names if name.startswith("_")} == set()
        assert {"records", "session"}.isdisjoint(names)
        assert all(hasattr(thing, name) for name in names)
    assert {"mean", "metadata", "shape", "toSeries"} <= set(dir(images))


def test_help_is_of_what_users_call():
    shown = pydoc.plain(pydoc.render_doc(Images.planes))
    assert "planes(self, bottom: 'int | Sequence[int]', top: 'int | None' = None)" in shown
    assert "comm: 'MPI.Intracomm | None' = None" in pydoc.render_doc(ThunderContext)
    shown = pydoc.plain(pydoc.render_doc(Images))
    assert "entered" not in shown
    assert "Images(session" not in shown
    for internal in ("records", "session"):
        assert f" |  {internal}\n" not in shown
    taken = inspect.signature(ThunderContext.loadImagesAsSeries)
    assert list(taken.parameters) == list(inspect.signature(ThunderContext.loadImages).parameters)


def test_a_keyword_that_is_nearly_right_is_named(tsc):
    for given, meant in (("nPlanes", "nplanes"), ("input_format", "inputFormat")):
        with pytest.raises(TypeError, match=rf"did you mean {meant}\?"):
            tsc.loadImages("x", **{given: 1})
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'colour'; it is"):
        tsc.loadImages("x", colour=1)
