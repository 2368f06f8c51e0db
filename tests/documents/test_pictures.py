"""The pictures of README.md and docs/: small, used, and drawn by the script beside them."""

import runpy
import sys

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from ..support import pages

PICTURES = sorted((pages.ROOT / "docs" / "pictures").glob("*.png"))


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_each_is_small_and_used(picture):
    assert picture.stat().st_size < 150_000
    texts = [page.read_text(encoding="utf-8") for page in pages.PAGES]
    assert any(f"pictures/{picture.name})" in text for text in texts)


@pytest.mark.slow
def test_the_script_draws_them_all(tmp_path, monkeypatch):
    script = pages.ROOT / "docs" / "pictures" / "draw.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
    runpy.run_path(str(script), run_name="__main__")
    drawn = {picture.name: plt.imread(picture) for picture in tmp_path.iterdir()}
    assert drawn.keys() == {picture.name for picture in PICTURES}
    for name, pixels in drawn.items():
        there = plt.imread(pages.ROOT / "docs" / "pictures" / name)
        assert pixels.shape[:2] == there.shape[:2], name
        assert np.ptp(pixels[..., :3]) > 0.9, name
        assert (pixels[:2, :2, :3] > 0.98).all(), name  # white, to be read on a dark page
