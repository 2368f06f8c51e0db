"""Checksums computed apart, against zlib over the whole."""

import itertools
import random
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages.core import crc32
from mpimages.core.crc32 import Fragments, combine, merge_fragments


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


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(1, 4), st.data())
def test_any_cut_among_any_ranks_gives_the_pieces(sizes, ranks, data):
    seed = data.draw(st.integers(0, 2**32))
    rng = random.Random(seed)
    contents = [rng.randbytes(size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crc32, "PIECE", 16)
        parts = [Fragments() for _ in range(ranks)]
        runs = []
        for file, content in enumerate(contents):
            cuts = sorted({0, len(content), *(rng.randint(0, len(content)) for _ in range(5))})
            runs += [(file, a, content[a:b]) for a, b in itertools.pairwise(cuts)]
        rng.shuffle(runs)
        for file, offset, content in runs:
            rng.choice(parts).add(file, offset, memoryview(content))
        found = merge_fragments([part.rows() for part in parts], sizes)
    assert found == [
        [zlib.crc32(c[a : a + 16]) for a in range(0, len(c), 16)] for c in contents
    ]


def test_runs_that_follow_each_other_are_one_fragment(monkeypatch):
    monkeypatch.setattr(crc32, "PIECE", 16)
    fragments = Fragments()
    for offset in range(0, 40, 5):
        fragments.add(0, offset, memoryview(b"abcde"))
    assert fragments.rows()[:, 1].tolist() == [0, 16, 32]
    assert Fragments().rows().shape == (0, 4)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([(0, b"abc"), (4, b"de")], "never"),
        ([(0, b"abc"), (2, b"cdef")], "twice"),
        ([(0, b"abc"), (0, b"abc"), (3, b"def")], "twice"),
        ([(0, b"abc")], "3 of the 6 bytes"),
        ([], "0 of the 6 bytes"),
    ],
)
def test_gaps_and_overlaps_are_found(runs, message):
    parts = []
    for offset, content in runs:
        fragments = Fragments()
        fragments.add(0, offset, memoryview(content))
        parts.append(fragments.rows())
    with pytest.raises(RuntimeError, match=message):
        merge_fragments(parts, [6])


def test_rows_are_small():
    fragments = Fragments()
    fragments.add(3, 0, memoryview(np.zeros(9 << 20, np.uint8)))
    assert fragments.rows().dtype == np.int64
    assert len(fragments.rows()) == 3


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


def test_taken_fragments_are_forgotten_and_the_next_begin_anew():
    fragments = Fragments(piece=16)
    fragments.add(0, 0, memoryview(b"abcde"))
    first = fragments.take()
    assert fragments.take().shape == (0, 4)
    fragments.add(0, 5, memoryview(b"fgh"))
    assert fragments.rows()[:, 1:3].tolist() == [[5, 3]]
    second = fragments.take()
    assert fragments.rows().shape == (0, 4)
    merged = merge_fragments([second, first], [8], piece=16)
    assert merged == [[zlib.crc32(b"abcdefgh")]]


@given(st.integers(0, 2**32), st.sampled_from([1, 7, 100, 5000, 1 << 22]), st.integers(1, 9000))
def test_pieces_of_any_length(seed, piece, size):
    rng = random.Random(seed)
    content = rng.randbytes(size)
    fragments = Fragments(piece)
    cuts = sorted({0, size, *(rng.randrange(size) for _ in range(40))})
    for a, b in rng.sample(list(itertools.pairwise(cuts)), len(cuts) - 1):
        fragments.add(0, a, memoryview(content[a:b]))
    expected = [zlib.crc32(content[a : a + piece]) for a in range(0, size, piece)]
    assert merge_fragments([fragments.take()], [size], piece) == [expected]


def test_far_more_than_four_gigabytes_in_one_piece():
    # Nobody writes these out: the second fragment is taken to have the CRC 5.
    size, crc = 3 << 34, zlib.crc32(b"mpimages")
    rows = np.array([[0, 0, 8, crc], [0, 8, size - 8, 5]])
    assert merge_fragments([rows], [size], piece=size) == [[combine(crc, 5, size - 8)]]


@pytest.mark.parametrize(
    ("row", "message"),
    [([0, 0, 12, 1], "border"), ([1, 0, 6, 1], "no output file"), ([0, 0, 0, 1], "no bytes")],
)
def test_fragments_that_cannot_be(row, message):
    with pytest.raises(RuntimeError, match=message):
        merge_fragments([np.array([row])], [12], piece=8)


@pytest.mark.slow
def test_a_million_fragments_are_merged_in_seconds():
    count = 1_000_000
    rows = np.zeros((count, 4), dtype=np.int64)
    rows[:, 1] = np.arange(count) * 1000
    rows[:, 2] = 1000
    rows[:, 3] = np.random.default_rng(0).integers(0, 2**32, count)
    begun = time.process_time()
    merged = merge_fragments([rows[::-1]], [count * 1000], piece=4_000_000)
    assert time.process_time() - begun < 10  # half a second where nothing else runs
    expected = 0
    for crc in rows[-4000:, 3].tolist():
        expected = combine(expected, crc, 1000)
    assert merged[0][-1] == expected
