"""Colorize draws what it is given, refuses what it cannot draw, and changes nothing."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mpimages.colorize import Colorize

DTYPES = ["?", "u1", "i1", ">u2", "<i2", "u4", "i8", "u8", "f2", ">f4", "f8", "g"]
SHAPES = [(1, 1), (1, 9), (7, 1), (8, 9)]


@pytest.fixture(autouse=True)
def _no_figures_left():
    plt.close("all")
    yield
    plt.close("all")


def drawn(ax=None):
    """The one AxesImage of the axes, after a real drawing."""
    ax = plt.gcf().axes[0] if ax is None else ax
    ax.figure.canvas.draw()
    (image,) = ax.get_images()
    return image


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_image_shows_the_values_in_an_own_figure(shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    assert Colorize.image(array) is None
    assert len(plt.get_fignums()) == 1
    image = drawn()
    np.testing.assert_array_equal(np.asarray(image.get_array(), dtype="f8"), array.astype("f8"))
    assert image.get_interpolation() == "none"
    assert image.get_clim() == (array.min(), array.max())
    assert not plt.gcf().axes[0].axison


def test_image_takes_lists_and_read_only_arrays():
    Colorize.image([[1, 2], [3, 4]])
    np.testing.assert_array_equal(drawn().get_array(), [[1, 2], [3, 4]])
    array = np.array([[np.nan, 1.0]])
    array.setflags(write=False)
    Colorize.image(array)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nan_is_zero_or_empty_and_the_input_stays(dtype):
    array = np.array([[np.nan, 1, 2], [3, 4, 5]], dtype=dtype)
    kept = array.copy()
    Colorize.image(array)
    assert drawn().get_array()[0, 0] == 0
    assert drawn().get_clim() == (0, 5)
    np.testing.assert_array_equal(array, kept)
    plt.close("all")
    Colorize.image(array, nans=False)
    assert np.ma.getmaskarray(drawn().get_array())[0, 0]
    assert drawn().get_clim() == (1, 5)


@pytest.mark.parametrize("bar", [False, True])
@pytest.mark.parametrize(
    "array", [np.full((3, 3), np.nan), np.array([[np.inf, 1], [-np.inf, 2]]), np.zeros((3, 3))]
)
def test_unusual_values_draw_without_warnings(array, bar):
    Colorize.image(array, nans=False, bar=bar)
    drawn()


def test_limits_and_colours():
    Colorize.image([[1, 2], [3, 4]], cmap="viridis", clim=(0, 8), bar=True)
    assert drawn().get_clim() == (0, 8)
    assert drawn().get_cmap().name == "viridis"
    assert len(plt.gcf().axes) == 2


def test_no_bar_unless_asked_for():
    Colorize.image([[1, 2], [3, 4]])
    assert len(plt.gcf().axes) == 1


@pytest.mark.parametrize(
    ("shape", "inches"),
    [((8, 8), (6, 6)), ((4, 8), (6, 3)), ((8, 4), (3, 6)), ((1, 800), (6, 1.5))],
)
def test_size_is_the_longer_side(shape, inches):
    Colorize.image(np.zeros(shape), size=6)
    np.testing.assert_allclose(plt.gcf().get_size_inches(), inches)


def test_ax_is_drawn_into_and_no_figure_is_made():
    figure, axes = plt.subplots(1, 2)
    plt.figure()
    Colorize.image([[1, 2], [3, 4]], ax=axes[1], bar=True)
    assert len(plt.get_fignums()) == 2
    assert not axes[0].get_images()
    np.testing.assert_array_equal(drawn(axes[1]).get_array(), [[1, 2], [3, 4]])
    assert len(figure.axes) == 3  # the colour bar stands beside its image


def test_rgb_and_its_missing_values():
    array = np.linspace(0, 1, 7 * 9 * 3).reshape(7, 9, 3)
    Colorize.image(array)
    np.testing.assert_array_equal(drawn().get_array()[..., :3], array)
    plt.close("all")
    array[2, 3, 1] = np.nan
    Colorize.image(array, nans=True)
    assert drawn().get_array()[2, 3, 1] == 0
    assert drawn().get_array()[2, 3, 3] == 1
    plt.close("all")
    Colorize.image(array, nans=False)
    assert drawn().get_array()[2, 3, 3] == 0


@pytest.mark.parametrize(
    "array",
    [
        5,
        [1, 2],
        np.zeros((4, 4, 1)),
        np.zeros((4, 4, 2)),
        np.zeros((4, 4, 4)),
        np.zeros((2, 4, 4, 3)),
        np.zeros((0, 4)),
        np.zeros((4, 0, 3)),
        np.full((2, 2, 3), 1.5),
        np.full((2, 2, 3), -0.1),
        np.full((2, 2, 3), np.inf),
        np.full((2, 2, 3), 200, dtype=np.uint8),
    ],
    ids=lambda array: f"{np.shape(array)}",
)
def test_wrong_shapes_and_colours_make_no_figure(array):
    with pytest.raises(ValueError, match=r"an image (is|of shape)|RGB values lie in 0 to 1"):
        Colorize.image(array)
    assert not plt.get_fignums()


@pytest.mark.parametrize("array", [None, "image", [["a"]], [[1j]], np.zeros((2, 2), "M8[s]")])
def test_what_is_no_number(array):
    with pytest.raises((TypeError, ValueError)):
        Colorize.image(array)


@pytest.mark.parametrize(
    "arguments",
    [
        {"clim": 3},
        {"clim": (2, 1)},
        {"clim": (1, 2, 3)},
        {"clim": (np.nan, 1)},
        {"clim": "ab"},
        {"size": 0},
        {"size": -1},
        {"size": np.inf},
        {"size": np.nan},
    ],
)
def test_wrong_arguments(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"{name} is"):
        Colorize.image([[1, 2], [3, 4]], **arguments)
    assert not plt.get_fignums()


@pytest.mark.parametrize("arguments", [{"bar": True}, {"clim": (0, 1)}])
def test_rgb_has_no_scale(arguments):
    with pytest.raises(ValueError, match="RGB"):
        Colorize.image(np.zeros((2, 2, 3)), **arguments)


def shown():
    """The arrays of the tiles in order, and the number of places in the grid."""
    plt.gcf().canvas.draw()
    axes = plt.gcf().axes
    return [ax.get_images()[0].get_array() for ax in axes if ax.get_images()], len(axes)


@pytest.mark.parametrize(
    ("count", "places"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 6), (7, 9), (9, 9), (10, 12)]
)
def test_tile_fills_a_grid_near_square_row_by_row(count, places):
    images = np.arange(count * 7 * 8).reshape(count, 7, 8)
    assert Colorize.tile(images) is None
    tiles, cells = shown()
    np.testing.assert_array_equal(tiles, images)
    assert cells == places
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_tile_cuts_along_the_axis(axis):
    volume = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    Colorize.tile(volume, axis=axis)
    np.testing.assert_array_equal(shown()[0], np.moveaxis(volume, axis, 0))


def test_tiles_share_one_scale_and_one_bar():
    Colorize.tile([np.zeros((3, 4)), np.full((2, 2), 7.0), [[np.nan, -5]]], bar=True, grid=(1, 3))
    axes = [ax for ax in plt.gcf().axes if ax.get_images()]
    assert {ax.get_images()[0].get_clim() for ax in axes} == {(-5, 7)}
    assert len(plt.gcf().axes) == 4
    plt.close("all")
    Colorize.tile([np.zeros((3, 4)), np.ones((3, 4))], clim=(0, 9), cmap="magma")
    assert plt.gcf().axes[0].get_images()[0].get_clim() == (0, 9)


def test_tile_takes_any_iterable_and_rgb():
    Colorize.tile(image for image in np.random.default_rng(1).random((3, 4, 5, 3)))
    assert len(shown()[0]) == 3


@pytest.mark.parametrize(
    ("imgs", "arguments"),
    [
        ([], {}),
        (np.zeros((0, 3, 4)), {}),
        (np.zeros((3, 4)), {}),
        (np.zeros((1, 2, 3, 4)), {}),
        ([np.zeros(3)], {}),
        (np.zeros((5, 3, 4)), {"grid": (2, 2)}),
        (np.zeros((5, 3, 4)), {"grid": (0, 9)}),
        (np.zeros((5, 3, 4)), {"grid": 5}),
        (np.zeros((5, 3, 4)), {"axis": 3}),
        (np.zeros((5, 3, 4)), {"clim": (1, 0)}),
    ],
)
def test_tile_refuses(imgs, arguments):
    with pytest.raises(ValueError, match=r"no images|is 3-D|an image is|grid|axis 3|clim is"):
        Colorize.tile(imgs, **arguments)
    assert not plt.get_fignums()


@pytest.mark.parametrize("imgs", [5, None, "abc"])
def test_tile_of_no_images(imgs):
    with pytest.raises(TypeError):
        Colorize.tile(imgs)


def test_importing_it_does_not_load_matplotlib():
    code = "import sys, mpimages.colorize; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
