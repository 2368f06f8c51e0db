"""The levels of the kernels."""

import pytest

from mpimages.kernels import isa


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
