"""The same bits however the records are cut: ranks and batches are simulated here."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages import reduce
from mpimages.partition import Partition
from mpimages.reduce import Accumulator, Extrema, FloatTree, add_limbs, complete

from .data import DTYPES, recording, same_bits

WANTED = {"sum", "mean", "variance", "max", "min"}


def run(array: np.ndarray, counts: list[int], batch: int) -> list[Accumulator]:
    """Each simulated rank's accumulator after its records, taken in batches."""
    parts = []
    partition = Partition.fromCounts(counts)
    for rank in range(len(counts)):
        start, stop = partition.bounds(rank)
        part = Accumulator(array.shape[1], array.dtype, WANTED, start, stop)
        for first in range(start, stop, batch):
            part.add(first, array[first : min(first + batch, stop)])
        parts.append(part)
    return parts


def merged_tree(parts: list[Accumulator], counts: list[int]) -> np.ndarray:
    """What `FloatTree.merge` does with the nodes of all ranks, without the ranks."""
    partition = Partition.fromCounts(counts)
    order, nodes = [], []
    for rank, part in enumerate(parts):
        tree = part.sums
        assert isinstance(tree, FloatTree)
        for side, level, index in reduce._nodes(*partition.bounds(rank)):
            order.append((level, index))
            nodes.append((tree.left if side == "left" else tree.right)[level].copy())
    return complete(order, np.array(nodes), parts[0].sums.exact)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(sum), st.integers(1, 50),
       st.sampled_from(["float16", "float32", "float64"]), st.integers(1, 5))
def test_floats_have_the_same_bits_for_every_cut(counts, batch, dtype, width):
    array = recording(sum(counts), (width,), dtype, seed=batch)
    cut = merged_tree(run(array, counts, batch), counts)
    whole = merged_tree(run(array, [len(array)], len(array)), [len(array)])
    assert same_bits(cut, whole)
    total = array.astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(cut[0] + cut[1], total, rtol=1e-12, atol=1e-11 * len(array))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 31, 64, 100, 1000])
def test_floats_are_as_accurate_as_numpys_pairwise_sums(count):
    array = recording(count, (3,), "float64") + 1e9
    statistics = run(array, [count], 8)[0].merge(MPI.COMM_SELF, Partition.balanced(count, 1))
    for pixel in range(3):
        values = [Fraction(float(v)) for v in array[:, pixel]]
        mean = sum(values) / count
        variance = sum((v - mean) ** 2 for v in values) / count
        error = abs(Fraction(float(statistics.mean[pixel])) - mean)
        theirs = abs(Fraction(float(array[:, pixel].mean())) - mean)
        assert error <= min(theirs * Fraction(1.001) + Fraction(1e-18) * abs(mean),
                            Fraction(2.3e-16) * abs(mean))
        error = abs(Fraction(float(statistics.variance[pixel])) - variance)
        theirs = abs(Fraction(float(array[:, pixel].var())) - variance)
        assert error <= max(theirs, Fraction(1e-15) * variance)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=9).filter(sum), st.integers(1, 30),
       st.sampled_from(DTYPES[:8]))
def test_integers_are_exact_for_every_cut(counts, batch, dtype):
    array = recording(sum(counts), (4,), dtype, seed=batch)
    parts = run(array, counts, batch)
    limbs = sum(part.sums.sums.astype(object) for part in parts)
    squares = sum(part.sums.squares.astype(object) for part in parts)
    values = array.astype(object)
    bits = 64 * len(limbs)
    total = sum(limb << (64 * i) for i, limb in enumerate(limbs)) % (1 << bits)
    assert np.array_equal(total, values.sum(axis=0) % (1 << bits))
    total = sum(limb << (64 * i) for i, limb in enumerate(squares))
    assert np.array_equal(total % (1 << 64 * len(squares)), (values**2).sum(axis=0))


@pytest.mark.parametrize("dtype", DTYPES[:8])
def test_integer_mean_and_variance_against_exact_arithmetic(dtype):
    array = recording(37, (6,), dtype)
    statistics = run(array, [37], 5)[0].merge(MPI.COMM_SELF, Partition.balanced(37, 1))
    for pixel in range(6):
        values = [Fraction(int(v)) for v in array[:, pixel]]
        mean = sum(values) / 37
        variance = sum((v - mean) ** 2 for v in values) / 37
        assert statistics.mean[pixel] == float(mean)
        assert statistics.variance[pixel] == pytest.approx(float(variance), rel=1e-15)


@pytest.mark.ranks
@pytest.mark.parametrize("limbs", [1, 2, 3])
def test_wide_integers_add_up_over_ranks(comm, limbs):
    top = (1 << (64 * limbs)) - 1 - comm.rank
    words = np.array([[top >> (64 * i) & (2**64 - 1)] for i in range(limbs)], dtype=np.uint64)
    total = add_limbs(comm, words)
    expected = sum((1 << (64 * limbs)) - 1 - rank for rank in range(comm.size))
    value = sum(int(total[i, 0]) << (64 * i) for i in range(limbs))
    assert value == expected % (1 << (64 * limbs))


@pytest.mark.ranks
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extrema_over_ranks_know_nan_and_signed_zeros(comm, dtype):
    columns = np.array([[np.nan, 1], [-np.nan, 1], [0.0, -0.0], [-0.0, -0.0], [np.inf, -np.inf],
                        [5e-324, -5e-324], [-1, -2]]).astype(dtype)
    rows = columns.T.copy()[[comm.rank % 2]] if comm.size > 1 else columns.T.copy()
    extrema = Extrema(7, np.dtype(dtype), {"max", "min"})
    from mpimages.kernels import moments

    moments.accumulate_extrema(rows, **extrema.arrays)
    merged = extrema.merge(comm)
    assert np.isnan(merged["max"][:2]).all()
    assert np.isnan(merged["min"][:2]).all()
    assert not np.signbit(merged["max"][2])
    assert np.signbit(merged["min"][2:4]).all()
    assert np.signbit(merged["max"][3])
    assert merged["max"][4] == np.inf
    assert merged["min"][4] == -np.inf
    assert np.array_equal(merged["max"][5:], columns[5:].max(axis=1))
    assert np.array_equal(merged["min"][5:], columns[5:].min(axis=1))


@pytest.mark.ranks
def test_the_exchange_of_nodes_in_pieces(tsc, monkeypatch):
    array = recording(23, (4, 9), "float32")
    whole = tsc.loadImagesFromArray(array).stats()
    monkeypatch.setattr(reduce, "PIECE_BYTES", 200)
    pieces = tsc.loadImagesFromArray(array).stats()
    assert all(same_bits(np.asarray(whole[k]), np.asarray(pieces[k])) for k in whole)


@pytest.mark.parametrize("dtype", ["complex64", "M8[s]", "U3", "longdouble"])
def test_what_has_no_statistics(dtype):
    with pytest.raises(TypeError, match="statistics"):
        Accumulator(3, np.dtype(dtype), WANTED, 0, 1)
