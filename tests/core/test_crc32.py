"""Checksums computed apart, against zlib over the whole."""

import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core import crc32
from mpimages.core.crc32 import combine, parts_of_pieces


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_combine_is_the_crc_of_both(a, b):
    assert combine(zlib.crc32(a), zlib.crc32(b), len(b)) == zlib.crc32(a + b)


def test_combine_over_lengths_that_nobody_writes_out():
    # Zeros can be appended in two steps as in one, however many: x^(8n) is multiplicative.
    crc = zlib.crc32(b"mpimages")
    zeros = {n: zlib.crc32(bytes(n)) for n in (1, 4 << 20)}
    assert combine(crc, zeros[4 << 20], 4 << 20) == zlib.crc32(b"mpimages" + bytes(4 << 20))
    large = 1 << 40
    a, b = combine(combine(crc, 0, large), 0, large + 7), combine(crc, 0, 2 * large + 7)
    assert a == b
    with pytest.raises(ValueError, match="length"):
        combine(crc, crc, -1)


@given(st.binary(max_size=3 << 13), st.integers(0, 3 << 13))
def test_crc32_is_the_one_of_zlib_from_any_value_on(data, cut):
    begun = zlib.crc32(data[:cut])
    assert crc32.crc32(memoryview(data)) == zlib.crc32(data)
    assert crc32.crc32(memoryview(data)[cut:], begun) == zlib.crc32(data)


@pytest.mark.parametrize("broken", ["missing", "not built"])
def test_without_the_codec_library_there_is_zlib(monkeypatch, broken):
    import imagecodecs

    def unavailable(*args):
        raise ImportError("not built")

    if broken == "missing":
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
    else:
        monkeypatch.setattr(imagecodecs, "zlibng_crc32", unavailable)
    crc32._fast_crc32.cache_clear()
    try:
        assert crc32._fast_crc32() is zlib.crc32
        data = bytes(range(256)) * 100
        assert crc32.crc32(data) == zlib.crc32(data)
    finally:
        crc32._fast_crc32.cache_clear()


def test_far_more_than_four_gigabytes_in_one_piece():
    # Nobody writes these out: the second run is taken to have the CRC 5.
    size, crc = 3 << 34, zlib.crc32(b"mpimages")
    parts = parts_of_pieces(np.array([crc, 5]), np.array([8, size]), np.full(2, size), size)
    assert np.bitwise_xor.reduce(parts) == combine(crc, 5, size - 8)


@pytest.mark.slow
def test_a_million_runs_are_combined_in_seconds():
    count = 1_000_000
    crcs = np.random.default_rng(0).integers(0, 2**32, count)
    ends = np.arange(1, count + 1) * 1000
    begun = time.process_time()
    parts = parts_of_pieces(crcs, ends, np.full(count, count * 1000), 4_000_000)
    assert time.process_time() - begun < 10  # half a second where nothing else runs
    expected = 0
    for crc in crcs[-4000:].tolist():
        expected = combine(expected, crc, 1000)
    assert np.bitwise_xor.reduce(parts[-4000:]) == expected
