"""Colours of numbers: Thunder's maps, beside colorsys and matplotlib."""

import colorsys

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from mpimages import Colorize

RNG = np.random.default_rng(0)


def hsv(hue, saturation, value):
    parts = np.broadcast_arrays(hue, saturation, value)
    flat = [
        colorsys.hsv_to_rgb(*map(float, one)) for one in zip(*map(np.ravel, parts), strict=True)
    ]
    return np.reshape(flat, (*parts[0].shape, 3))


@pytest.mark.parametrize("dims", [(4, 5), (3, 4, 2)])
def test_channels(dims):
    a, b, c = RNG.random((3, *dims))
    for cmap, img, wanted in (
        ("rgb", [a, b, c], np.stack([a, b, c], -1) * 0.5),
        ("hsv", [a, b, c], hsv(a, b, c * 0.5)),
        ("hv", [a, b], hsv(a, 0.8, b * 0.5)),
        ("polar", [a - 0.5, b - 0.5], hsv(np.arctan2(b - 0.5, a - 0.5) / (2 * np.pi) % 1, 1,
                                          0.5 * np.hypot(a - 0.5, b - 0.5))),
        ("angle", [a - 0.5, b - 0.5], hsv(np.arctan2(b - 0.5, a - 0.5) / (2 * np.pi) % 1, 1, 1)),
    ):  # fmt: skip
        found = Colorize(cmap, scale=0.5).transform(img)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, wanted, atol=1e-12, err_msg=cmap)


def test_indexed():
    img = RNG.random((2, 3, 4)) * 2
    found = Colorize("indexed", colors=["red", (0.5, 1, 0)]).transform(img)
    one, other = np.clip(img, 0, 1)
    np.testing.assert_allclose(found[..., 0], np.maximum(one, 0.5 * other))
    np.testing.assert_allclose(found[..., 1], other)
    assert not found[..., 2].any()


def test_maps_of_matplotlib():
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    img = RNG.normal(size=(4, 5, 2))
    found = Colorize("viridis", scale=2, vmin=-1).transform(img)
    wanted = colormaps["viridis"](Normalize(-1, 2 * img.max(), clip=True)(2 * img))[..., :3]
    np.testing.assert_allclose(found, wanted, atol=0.01)
    same = Colorize(colormaps["viridis"]).transform(np.full((2, 3), 7))
    np.testing.assert_allclose(same, np.broadcast_to(colormaps["viridis"](0)[:3], (2, 3, 3)))
    with_nan = Colorize().transform([[0, np.nan], [1, np.inf]])
    assert np.isfinite(with_nan).all()
    assert (with_nan[0, 0] == with_nan[0, 1]).all()


def test_mask_and_background():
    img, mask, ground = RNG.random((3, 4, 5)), RNG.random((4, 5)), RNG.random((4, 5))
    maker = Colorize("rgb")
    plain = np.stack(list(img), -1)
    np.testing.assert_allclose(
        maker.transform(img, mask), plain * (mask / mask.max())[..., np.newaxis]
    )
    added = plain + 0.5 * (ground / ground.max())[..., np.newaxis]
    np.testing.assert_allclose(maker.transform(img, None, ground, 0.5), np.clip(added, 0, 1))
    coloured = maker.transform(img, background=plain * 4)
    np.testing.assert_allclose(coloured, np.clip(plain + plain / plain.max(), 0, 1))
    assert not maker.transform(img, np.zeros((4, 5))).any()


def test_blend():
    img, mask = RNG.random((4, 5, 2, 3)), RNG.random((4, 5, 3))
    np.testing.assert_allclose(
        Colorize.blend(img, mask), np.clip(img + mask[:, :, np.newaxis], 0, 1)
    )
    np.testing.assert_allclose(Colorize.blend(img, img, np.maximum), img)
    with pytest.raises(ValueError, match="op must return"):
        Colorize.blend(img, img, lambda a, b: a[0])


def test_optimize():
    mat = RNG.random((6, 20))
    colours = Colorize.optimize(mat)
    assert colours.shape == (6, 3)
    assert colours.min() >= 0
    assert colours.max() <= 1
    assert np.corrcoef(pdist(mat, "cosine"), pdist(colours, "cosine"))[0, 1] > 0.6
    assert pdist(colours).mean() > 0.3
    assert len(set(map(tuple, Colorize.optimize(np.eye(4)).tolist()))) == 4
    assert Colorize.optimize(mat, asCmap=True).N == 6


def test_tiles_of_their_own_colours():
    import matplotlib.pyplot as plt

    imgs = RNG.random((2, 3, 4))
    Colorize.tile(imgs, cmap=["gray", "viridis"], clim=[(0, 2), None])
    drawn = [ax.images[0] for ax in plt.gcf().axes if ax.images]
    assert [one.get_cmap().name for one in drawn] == ["gray", "viridis"]
    assert drawn[0].get_clim() == (0, 2)
    assert drawn[1].get_clim() == (imgs[1].min(), imgs[1].max())
    plt.close("all")
    for given in ({"cmap": ["gray"]}, {"clim": [(0, 1)] * 3}, {"cmap": ["gray"] * 2, "bar": True}):
        with pytest.raises(ValueError, match="list of"):
            Colorize.tile(imgs, **given)


@pytest.mark.parametrize(
    ("given", "error", "word"),
    [
        ({"cmap": "no such"}, ValueError, "no such"),
        ({"cmap": None}, TypeError, "cmap"),
        ({"cmap": 3}, TypeError, "cmap"),
        ({"cmap": "indexed"}, ValueError, "colors"),
        ({"cmap": "indexed", "colors": ["no such"]}, ValueError, "colors"),
        ({"cmap": "indexed", "colors": "red"}, TypeError, "colors"),
        ({"cmap": "indexed", "colors": []}, ValueError, "colors"),
        ({"colors": ["red"]}, ValueError, "colors"),
        ({"scale": np.inf}, ValueError, "scale"),
        ({"scale": "x"}, TypeError, "scale"),
        ({"cmap": "rgb", "vmin": 0}, ValueError, "vmin has no effect"),
        ({"vmin": 2, "vmax": 1}, ValueError, "vmin"),
        ({"vmax": np.nan}, ValueError, "vmax"),
    ],
)
def test_wrong_ways_to_make_colours(given, error, word):
    with pytest.raises(error, match=word):
        Colorize(**given)


@pytest.mark.parametrize(
    ("cmap", "given", "word"),
    [
        ("rgb", {"img": np.ones((2, 3, 4))}, r"\(3, rows"),
        ("hv", {"img": np.ones((2, 3))}, r"\(2, rows"),
        ("gray", {"img": np.ones(3)}, "img"),
        ("gray", {"img": np.ones((2, 3)), "mask": np.ones((3, 2))}, "mask"),
        ("gray", {"img": np.ones((2, 3)), "mask": -np.ones((2, 3))}, "negative"),
        ("gray", {"img": np.ones((2, 3)), "background": np.ones((3, 2, 3))}, "background"),
        ("gray", {"img": np.ones((2, 3)), "mixing": 0.5}, "no effect"),
        ("gray", {"img": np.ones((2, 3)), "background": np.ones((2, 3)), "mixing": -1}, "mixing"),
    ],
)
def test_wrong_images(cmap, given, word):
    with pytest.raises(ValueError, match=word):
        Colorize(cmap).transform(**given)
