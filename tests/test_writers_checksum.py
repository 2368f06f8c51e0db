"""Checksums computed apart, against zlib over the whole."""

import itertools
import random
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpimages import checksum
from mpimages.checksum import Fragments, combine, merge_fragments


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
        patch.setattr(checksum, "PIECE", 16)
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
    monkeypatch.setattr(checksum, "PIECE", 16)
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
