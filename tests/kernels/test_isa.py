"""The levels of the kernels, and the limits that the benchmarks measure."""

import numpy as np
import pytest

from mpimages.kernels import isa, limits


@pytest.fixture(autouse=True)
def best_level_again():
    yield
    isa.force()


def test_levels_are_the_psabis_in_order():
    names = isa.available()
    assert names == ["plain"] or names == ["x86-64", "x86-64-v3", "x86-64-v4"][: len(names)]


def test_the_best_level_is_the_default():
    assert isa.level() == isa.available()[-1]


def test_force_selects_and_none_restores():
    for name in isa.available():
        isa.force(name)
        assert isa.level() == name
    isa.force("plain" if "plain" in isa.available() else "x86-64")
    isa.force(None)
    assert isa.level() == isa.available()[-1]


def test_unknown_level_names_those_there_are():
    with pytest.raises(ValueError, match=isa.available()[0]):
        isa.force("sse9")


@pytest.mark.parametrize("size", [0, 1, 7, 127, 128, 129, 5000])
def test_limits_touch_every_byte(size):
    src = np.arange(size, dtype=np.uint8)
    before = limits.read_all(src)
    if size:
        src[-1] ^= 1
        assert limits.read_all(src) != before
    dst = np.zeros_like(src)
    limits.copy_all(src, dst)
    assert np.array_equal(src, dst)


def test_limits_reject_what_they_cannot_take():
    a = np.zeros((4, 4))
    with pytest.raises(ValueError, match="contiguous"):
        limits.read_all(a.T[:, :2])
    with pytest.raises(ValueError, match="bytes"):
        limits.copy_all(a, np.zeros(3))
    with pytest.raises(ValueError, match="overlap"):
        limits.copy_all(a, a)
