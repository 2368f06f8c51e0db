"""Images and curves as text, for all kinds of terminals."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

from mpimages.commands.drawings import contrast, montage
from mpimages.commands.terminal import Screen, draw_image, draw_series

SECONDS = 60
DEEP = 1 << 24


def greys(text):
    """The rows of greys that half blocks show, 24 bits."""
    rows = []
    for line in text.splitlines():
        upper, lower = [], []
        for match in re.finditer(r"\x1b\[38;2;(\d+);\d+;\d+;48;2;(\d+);\d+;\d+m|▀", line):
            if match[1] is not None:
                ends = int(match[1]), int(match[2])
            else:
                upper.append(ends[0])
                lower.append(ends[1])
        rows += [upper, lower]
    return np.array(rows)


def test_half_blocks_show_the_image():
    grey = np.linspace(0, 1, 12 * 10).reshape(12, 10)
    shown = greys(draw_image(grey, Screen(11, 10, DEEP)))
    assert (shown == np.rint(grey * 255)).all()


def test_a_large_image_is_averaged():
    grey = np.random.default_rng(0).random((1200, 1000))
    shown = greys(draw_image(grey, Screen(11, 10, DEEP)))
    means = grey.reshape(12, 100, 10, 100).mean(axis=(1, 3))
    np.testing.assert_allclose(shown, means * 255, atol=0.51)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 500), (500, 1), (7, 333), (64, 64)])
@pytest.mark.parametrize("screen", [Screen(), Screen(40, 12, 256), Screen(10, 6, DEEP),
                                    Screen(30, 8, 0, False)])
def test_it_fits_on_the_screen(shape, screen):
    lines = draw_image(np.full(shape, 0.5), screen).splitlines()
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert 1 <= len(lines) <= screen.lines - 4
    assert 1 <= max(map(len, plain)) < screen.columns
    assert ("\x1b" in lines[0]) == bool(screen.colours)
    assert screen.unicode or "".join(lines).isascii()


def test_greys_of_256_colours():
    text = draw_image(np.array([[0, 0.5, 1], [0, 0.5, 1]]), Screen(4, 5, 256))
    assert re.findall(r"38;5;(\d+)", text) == ["16", "243", "231"]


def test_a_curve_without_unicode():
    values = np.array([0, 1, 2, 3, 2, 1, 0])
    lines = draw_series(values, np.arange(7), Screen(11, 10, 0, False)).splitlines()
    assert lines[0].startswith("3 +")
    assert lines[3].startswith("0 +")
    assert [len(lines), lines[4], lines[5]] == [6, "  +-------", "   0     6"]
    cells = np.array([[c == "*" for c in line[3:].ljust(7)] for line in lines[:4]])
    assert cells[0, 3]
    assert cells[3, 0]
    assert cells[3, 6]
    assert cells.any(axis=0).all()


@pytest.mark.parametrize("values", [
    [1.0], [2, 2, 2], [np.nan] * 3, [np.inf, 1, -np.inf], np.arange(20_000) % 7,
    np.array([0, 255], np.uint8), [1e300, -1e300], np.array([-128, 127], np.int8),
])
@pytest.mark.parametrize("unicode", [True, False])
def test_any_curve_fits(values, unicode):
    values = np.asarray(values)
    screen = Screen(50, 12, 0, unicode)
    lines = draw_series(values, np.arange(len(values)), screen).splitlines()
    assert len(lines) == 8
    assert max(map(len, lines)) <= 50
    drawn = "".join(lines[:-2])
    assert any("⠀" < c <= "⣿" or c == "*" for c in drawn) == bool(np.isfinite(values).any())


def test_a_peak_among_many_values_is_seen():
    values = np.zeros(20_000)
    values[12_345] = 1
    lines = draw_series(values, np.arange(20_000), Screen(60, 20)).splitlines()
    assert lines[0].strip("1 ┤") != ""


def test_percentiles_and_montage():
    image = np.arange(1000.0).reshape(10, 100)
    image[0, 0] = np.inf
    low, high = contrast(image)
    assert (low, high) == tuple(np.percentile(np.arange(1.0, 1000), (1, 99.5)))
    volume = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    wide = montage(volume, 100.0)
    assert wide.shape == (2, 15)
    assert (wide[:, 3:6] == volume[..., 1]).all()
    assert montage(volume, 0.01).shape == (10, 3)
    assert montage(volume).shape == (6, 6)


@pytest.mark.slow
@pytest.mark.parametrize(("environment", "colours"), [
    ({"COLORTERM": "truecolor"}, DEEP), ({}, 256), ({"NO_COLOR": "1"}, 0), ({"TERM": "dumb"}, 0),
])
def test_what_a_terminal_is_found_to_have(environment, colours):
    code = ("from mpimages.commands.terminal import Screen; s = Screen.found(); "
            "print(s.colours, s.unicode, s.columns)")
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM", "LINES")}
    given = {**kept, "TERM": "xterm-256color", "COLUMNS": "77", "PYTHONUTF8": "1", **environment}
    primary, secondary = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", code], stdout=secondary, env=given, check=True,
                       timeout=SECONDS)
        assert os.read(primary, 1000).decode().split() == [str(colours), "True", "77"]
    finally:
        os.close(primary)
        os.close(secondary)
    piped = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, env=given,
                           check=True, timeout=SECONDS, text=True)
    assert piped.stdout.split() == ["0", "True", "77"]
