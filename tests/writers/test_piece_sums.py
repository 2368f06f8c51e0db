"""Checksums added up run by run, against zlib over the whole."""

import itertools
import random
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages.writers.output import piece_sums
from mpimages.writers.output.piece_sums import PieceSums, piece_bytes


def runs_of(content, rng, count=6):
    cuts = sorted({0, len(content), *(rng.randint(0, len(content)) for _ in range(count))})
    runs = [(a, content[a:b]) for a, b in itertools.pairwise(cuts)]
    rng.shuffle(runs)
    return runs


@given(st.integers(1, 400), st.integers(1, 4), st.integers(0, 2**32), st.booleans())
def test_any_runs_among_any_ranks_and_jobs_give_the_pieces(size, ranks, seed, through_rows):
    rng = random.Random(seed)
    content = rng.randbytes(size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(piece_sums, "LEAST_PIECE", 16)
        patch.setattr(piece_sums, "MOST_PIECES", 7)
        patch.setattr(piece_sums, "MOST_PENDING", 5)
        sums = [PieceSums(size) for _ in range(ranks)]
        last = PieceSums(size)
        for offset, run in runs_of(content, rng):
            one = rng.choice(sums)
            one.add(offset, np.frombuffer(run, np.uint8))
            if through_rows and rng.random() < 0.5:
                last.give(one.take())
        for one in sums:
            last.give(one.take())
            assert len(one.take()) == 0
        found = last.total(MPI.COMM_SELF)
    piece = last.piece
    assert found.tolist() == [zlib.crc32(content[a : a + piece]) for a in range(0, size, piece)]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(1, 20), st.data())
def test_any_runs_of_several_files_give_the_pieces_of_each(sizes, piece, data):
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    contents = [rng.randbytes(size) for size in sizes]
    sums, earlier = PieceSums(sizes, piece), PieceSums(sizes, piece)
    runs = [(file, *run) for file, content in enumerate(contents) for run in runs_of(content, rng)]
    rng.shuffle(runs)
    for file, offset, run in runs:
        rng.choice([sums, earlier]).add(offset, np.frombuffer(run, np.uint8), file)
    sums.give(earlier.take().tolist())
    assert sums.by_file(sums.total(MPI.COMM_SELF)) == [
        [zlib.crc32(c[a : a + piece]) for a in range(0, len(c), piece)] for c in contents
    ]


@pytest.mark.parametrize("change", [None, "byte", "short"])
def test_what_is_on_the_disk_is_what_was_written(tmp_path, change):
    content = np.random.default_rng(1).integers(0, 256, 9 << 20, dtype=np.uint8)
    path = tmp_path / "file"
    path.write_bytes(b"head" + content.tobytes())
    first, length = 1000, 6 << 20
    sums = PieceSums(content.nbytes)
    sums.add(first, content[first : first + length])
    rows = sums.take().tolist()
    if change is not None:
        with open(path, "r+b") as file:
            if change == "short":
                file.truncate(first + length)
            else:
                file.seek(4 + first + length - 1)
                file.write(bytes([content[first + length - 1] ^ 1]))
    stored = PieceSums(content.nbytes)
    there = stored.add_stored(first, length, str(path), start=4)
    assert there == (change != "short")
    assert (there and stored.took(rows)) == (change is None)


@pytest.mark.ranks
def test_the_ranks_sums_are_put_together(comm):
    content = np.random.default_rng(3).integers(0, 256, 9 << 20, dtype=np.uint8)
    sums = PieceSums(content.nbytes)
    bounds = np.linspace(0, content.nbytes, 8 * comm.size + 1).astype(int)
    for first, stop in list(itertools.pairwise(bounds.tolist()))[comm.rank :: comm.size]:
        sums.add(first, content[first:stop])
    expected = [zlib.crc32(content[a : a + (4 << 20)]) for a in range(0, 9 << 20, 4 << 20)]
    assert sums.total(comm).tolist() == expected
    assert sums.total(comm).tolist() == expected  # asking changes nothing


@pytest.mark.parametrize("written", [[(0, 3)], [(0, 3), (2, 4)], [(0, 4), (0, 4), (4, 8)], []])
@pytest.mark.ranks
def test_bytes_written_twice_or_never_are_an_internal_error(comm, written):
    sums = PieceSums(8)
    if comm.rank == comm.size - 1:
        for first, stop in written:
            sums.add(first, np.zeros(stop - first, np.uint8))
    with pytest.raises(RuntimeError, match="internal error"):
        sums.total(comm)


def test_at_most_4096_pieces():
    assert piece_bytes(1) == 4 << 20
    assert piece_bytes(16 << 30) == 4 << 20
    assert piece_bytes((16 << 30) + 1) == 8 << 20
    assert piece_bytes(1 << 44) == 4 << 30


def test_rows_do_not_grow_with_the_runs():
    sums = PieceSums(1 << 20)
    for offset in range(0, 1 << 20, 1 << 6):
        sums.add(offset, np.zeros(1 << 5, np.uint16))
    rows = sums.take()
    assert rows.dtype == np.int64
    assert rows.shape == (1, 4)


@pytest.mark.parametrize("row", [[0, 1, 8, 77], [1, 0, 8, 77], [0, -1, 8, 77], [-1, 0, 8, 77]])
def test_rows_of_another_output_are_refused(row):
    with pytest.raises(ValueError, match="another size"):
        PieceSums(8).give(np.array([row]))


def test_values_are_summed_little_endian():
    sums = PieceSums(8)
    sums.add(0, np.arange(4, dtype=">u2"))
    assert sums.total(MPI.COMM_SELF).tolist() == [zlib.crc32(np.arange(4, dtype="<u2"))]
