"""Axes, lines of many values, and what the page's script is given."""

from __future__ import annotations

import base64
import re

import numpy as np
import pytest

from mpimages.report.colours import TABLES, coloured
from mpimages.report.drawing import MOST_KEPT, NOTHING, Frames, Plot, Scale, ticks


@pytest.mark.parametrize(
    ("low", "high", "most", "whole", "wanted"),
    [
        (0, 10, 5, True, [0, 5, 10]),
        (0, 10, 6, True, [0, 2, 4, 6, 8, 10]),
        (-0.5, 1.5, 6, True, [0, 1]),
        (-0.5, 0.5, 6, True, [0]),
        (0, 1, 5, False, [0, 0.5, 1]),
        (0, 4999, 5, True, [0, 1000, 2000, 3000, 4000]),
        (97, 103, 3, True, [98, 100, 102]),
    ],
)
def test_ticks(low, high, most, whole, wanted):
    assert ticks(low, high, most, whole)[0].tolist() == wanted


@pytest.mark.parametrize("low", [0.0, -3.3, 1e9, -1e-9, 1e99])
@pytest.mark.parametrize("span", [1e-305, 1e-9, 0.37, 12.0, 1e6, 1e100])
def test_labels_are_short_and_differ(low, span):
    places, texts, _ = Scale.of(np.array([low, low + span])).labels(5)
    assert 1 <= len(places) <= 5
    assert len(set(texts)) == len(texts)
    assert max(map(len, texts)) <= 9


def test_labels_with_a_power_or_an_offset():
    assert Scale(0, 4e7).labels(5)[1:] == (["0", "10", "20", "30", "40"], " ×1e6")
    _, texts, about = Scale(1e9, 1e9 + 4).labels(5)
    assert (texts, about) == (["0", "1", "2", "3", "4"], " −1000000000")
    _, texts, about = Scale(123456789.1, 123456789.3).labels(5)
    assert (texts, about) == (["9.10", "9.15", "9.20", "9.25", "9.30"], " −123456780")
    assert Scale(-1, 1).labels(5)[1] == ["−1.0", "−0.5", "0", "0.5", "1.0"]


def test_what_is_not_finite_makes_no_scale():
    scale = Scale.of(np.array([np.nan, np.inf, 1e300]))
    assert np.isfinite([scale.low, scale.high]).all()
    assert Scale.of(np.array([np.nan])) == Scale.of(np.array([]))


def numbers(svg, name):
    found = re.search(f'{name}="([^"]*)"', svg)
    return None if found is None else np.frombuffer(base64.b64decode(found[1]), "<u2")


def curve_of(values, interval=None):
    frames = Frames(np.arange(len(values)), interval)
    plot = Plot(frames, Scale(0.0, 1.0), "y")
    plot.curve(values, "accent")
    return frames, plot.svg("a line")


def test_a_line_carries_its_values():
    values = np.linspace(0, 1, 400)
    values[7] = np.nan
    frames, svg = curve_of(values)
    carried = numbers(svg, "data-y")
    assert carried[7] == NOTHING
    assert np.nanmax(np.abs(np.delete(carried, 7) / 65534 - np.delete(values, 7))) < 1e-5
    assert frames.fields() == {
        "first": 0.0,
        "step": 1.0,
        "count": 400,
        "ends": (0.0, 399.0),
        "unit": "frame",
        "each": 1.0,
    }


@pytest.mark.parametrize("count", [2_000, MOST_KEPT, 50_000, 300_000])
def test_a_long_line_is_a_band_that_hides_no_extreme(count):
    values = np.full(count, 0.5)
    values[[count // 3, count // 2]] = 1.0, 0.0
    frames, svg = curve_of(values)
    assert 'class="curve band accent"' in svg
    box = [float(x) for x in re.search('data-box="([^"]*)"', svg)[1].split()]
    drawn = re.search('class="curve band accent".* d="([^"]*)"', svg)[1]
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", drawn)]
    assert (min(heights), max(heights)) == (box[2], box[3])
    low, high = numbers(svg, "data-y"), numbers(svg, "data-z")
    assert (low.min(), (low if high is None else high).max()) == (0, 65534)
    assert len(low) == len(frames.kept()) <= MOST_KEPT
    assert len(svg) < 120_000


def test_frames_that_are_not_evenly_numbered():
    keys = np.array([0, 1, 5, 9])
    assert Frames(keys, None).fields()["places"] == [0, 1, 5, 9]


@pytest.mark.parametrize(
    ("interval", "count", "unit"), [(None, 100, "frame"), (0.1, 100, "(s)"), (60, 100, "(min)")]
)
def test_the_axis_of_time(interval, count, unit):
    _, svg = curve_of(np.zeros(count), interval)
    assert unit in svg
    assert (">frame<" in svg) is True


def test_points_that_stand_alone_are_drawn():
    values = np.full(50, np.nan)
    values[[0, 20, 21, 49]] = 0.5
    _, svg = curve_of(values)
    drawn = re.search('class="curve line accent".* d="([^"]*)"', svg)[1]
    assert drawn.count("M") == 3
    assert drawn.count("h0") == 2


def test_colours_rise_in_lightness():
    for table in TABLES.values():
        light = table @ np.array([0.2126, 0.7152, 0.0722])
        assert (np.diff(light) > -0.5).all()
        assert light[-1] - light[0] > 150


def test_pictures_are_grey_or_of_colours_and_what_is_missing_is_transparent():
    picture = np.array([[0.0, 1.0], [2.0, 9.0]])
    assert coloured(picture, 0, 2, "grey").tolist() == [[0, 128], [255, 255]]
    assert coloured(picture, 0, 2, "viridis").shape == (2, 2, 3)
    picture[0, 0] = np.nan
    assert coloured(picture, 0, 2, "grey")[..., 3].tolist() == [[0, 255], [255, 255]]
