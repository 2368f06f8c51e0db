"""The same bits however the records are cut: ranks and batches are simulated here."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpi4py import MPI

from mpimages.core.partition import Partition
from mpimages.kernels import moments
from mpimages.spmd.agreement import Together
from mpimages.spmd.nodes import Nodes
from mpimages.spmd.shared_memory import Segments
from mpimages.statistics import accumulator, merge
from mpimages.statistics.accumulator import Accumulator, FloatTree, add_limbs, complete, join_nodes

from ..support.data import DTYPES, recording, same_bits

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


def placed(comm: MPI.Intracomm, of: list[int]) -> Nodes:
    """Ranks on nodes that are only told: `of` has the node of each rank. Collective."""
    members = tuple(
        tuple(rank for rank, place in enumerate(of) if place == number)
        for number in range(max(of) + 1)
    )
    node = comm.Split(of[comm.rank], comm.rank) if comm.size > 1 else comm
    return Nodes(comm, node, members, tuple(of), ("host",) * len(members), False, 1)


def merged_tree(parts: list[Accumulator], counts: list[int]) -> np.ndarray:
    """What `FloatTree.merge` does with the nodes of all ranks, without the ranks."""
    partition = Partition.fromCounts(counts)
    order, nodes = [], []
    for rank, part in enumerate(parts):
        tree = part.sums
        assert isinstance(tree, FloatTree)
        for side, level, index in accumulator.nodes_of(*partition.bounds(rank)):
            order.append((level, index))
            nodes.append((tree.left if side == "left" else tree.right)[level].copy())
    left = join_nodes(parts[0].sums.exact, order, nodes)
    return complete([level for _, level, _ in accumulator.nodes_of(0, partition.count)], left)


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=9).filter(sum),
    st.integers(1, 50),
    st.sampled_from(["float16", "float32", "float64"]),
    st.integers(1, 5),
)
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
    statistics = run(array, [count], 8)[0].merge(
        placed(MPI.COMM_SELF, [0]), Partition.balanced(count, 1)
    )
    for pixel in range(3):
        values = [Fraction(float(v)) for v in array[:, pixel]]
        mean = sum(values) / count
        variance = sum((v - mean) ** 2 for v in values) / count
        error = abs(Fraction(float(statistics.mean[pixel])) - mean)
        theirs = abs(Fraction(float(array[:, pixel].mean())) - mean)
        assert error <= min(
            theirs * Fraction(1.001) + Fraction(1e-18) * abs(mean), Fraction(2.3e-16) * abs(mean)
        )
        error = abs(Fraction(float(statistics.variance[pixel])) - variance)
        theirs = abs(Fraction(float(array[:, pixel].var())) - variance)
        assert error <= max(theirs, Fraction(1e-15) * variance)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=9).filter(sum),
    st.integers(1, 30),
    st.sampled_from(DTYPES[:8]),
)
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
    statistics = run(array, [37], 5)[0].merge(placed(MPI.COMM_SELF, [0]), Partition.balanced(37, 1))
    for pixel in range(6):
        values = [Fraction(int(v)) for v in array[:, pixel]]
        mean = sum(values) / 37
        variance = sum((v - mean) ** 2 for v in values) / 37
        assert statistics.mean[pixel] == float(mean)
        assert statistics.variance[pixel] == pytest.approx(float(variance), rel=1e-15)


@given(st.integers(1, 3), st.lists(st.integers(0, 2**192 - 1), min_size=1, max_size=5))
def test_wide_integers_add_up(limbs, numbers):
    numbers = [*numbers, (1 << 64 * limbs) - 1, 1]  # a carry through all limbs
    terms = [
        np.array([[number >> (64 * i) & (2**64 - 1)] for i in range(limbs)], dtype=np.uint64)
        for number in numbers
    ]
    total = add_limbs(terms)
    value = sum(int(total[i, 0]) << (64 * i) for i in range(limbs))
    assert value == sum(numbers) % (1 << (64 * limbs))


@pytest.mark.parametrize(
    ("dtype", "numbers"),
    [("uint32", [2**32 - 1, 2**32 - 1, 7]), ("int32", [-(2**31), -(2**31), 5, -1])],
)
def test_narrow_sums_add_up_without_wrapping(dtype, numbers):
    own = np.array([[2**64 - 3]], dtype=np.uint64)
    terms = [np.array([[number]], dtype=dtype) for number in numbers]
    total = add_limbs([terms[0], own, *terms[1:]])
    assert total.dtype == np.uint64
    assert int(total[0, 0]) == (sum(numbers) - 3) % 2**64


@pytest.mark.ranks
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extrema_over_ranks_know_nan_and_signed_zeros(comm, dtype):
    columns = np.array(
        [
            [np.nan, 1],
            [-np.nan, 1],
            [0.0, -0.0],
            [-0.0, -0.0],
            [np.inf, -np.inf],
            [5e-324, -5e-324],
            [-1, -2],
        ]
    ).astype(dtype)
    rows = columns.T.copy()[[comm.rank % 2]] if comm.size > 1 else columns.T.copy()
    partition = Partition.fromCounts([len(rows)] * comm.size)
    part = Accumulator(7, np.dtype(dtype), {"max", "min"}, *partition.bounds(comm.rank))
    part.add(partition.bounds(comm.rank)[0], rows)
    merged = part.merge(placed(comm, [0] * comm.size), partition)
    assert np.isnan(merged.max[:2]).all()
    assert np.isnan(merged.min[:2]).all()
    assert not np.signbit(merged.max[2])
    assert np.signbit(merged.min[2:4]).all()
    assert np.signbit(merged.max[3])
    assert merged.max[4] == np.inf
    assert merged.min[4] == -np.inf
    assert np.array_equal(merged.max[5:], columns[5:].max(axis=1))
    assert np.array_equal(merged.min[5:], columns[5:].min(axis=1))


# The node of each of up to four ranks.
PLACEMENTS = {
    "one node": [0, 0, 0, 0],
    "two nodes": [0, 0, 1, 1],
    "cyclic": [0, 1, 0, 1],
    "unequal": [0, 1, 1, 1],
    "unequal, apart": [0, 1, 1, 0],
    "the last alone": [0, 0, 0, 1],
    "each alone": [0, 1, 2, 3],
}


@pytest.mark.ranks
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("piece", [1 << 30, 3000])
def test_the_placement_of_ranks_on_nodes_changes_no_bit(comm, placement, shared, piece):
    nodes = placed(comm, [PLACEMENTS[placement][rank % 4] for rank in range(comm.size)])
    segments = Segments(nodes) if shared else None
    for dtype in ("uint8", "int64", "float16", "float64"):
        for counts in ([9, 0, 5, 7], [0, 13, 0, 16]):
            counts = [*counts[: comm.size - 1], sum(counts[comm.size - 1 :])]
            partition = Partition.fromCounts(counts)
            array = recording(partition.count, (33,), dtype)
            start, stop = partition.bounds(comm.rank)
            part = Accumulator(33, array.dtype, WANTED, start, stop, limit=piece)
            part.add(start, array[start:stop])
            found = part.merge(nodes, partition, segments)
            (whole,) = run(array, [len(array)], len(array))
            alone = placed(MPI.COMM_SELF, [0])
            expected = whole.merge(alone, Partition.balanced(len(array), 1))
            for name in WANTED - {"sum"}:
                assert same_bits(getattr(found, name), getattr(expected, name)), (dtype, name)
            assert isinstance(found.sum, OverflowError) or same_bits(found.sum, expected.sum)
    if nodes.node != comm:
        nodes.node.Free()


@pytest.mark.ranks
@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("name", "dtype", "each"),
    [
        ("mean", "uint16", 4 + 8),
        ("stdev", "uint16", 4 + 8 + 8),
        ("mean", "int64", 16 + 8),
        ("mean", "float32", 16 + 8),
        ("stdev", "float64", 24 + 8),
        ("max", "float64", 8 + 8),
        ("min", "int16", 2 + 2),
    ],
)
def test_the_bytes_between_nodes_do_not_depend_on_their_ranks(
    comm, monkeypatch, shared, name, dtype, each
):
    """Two nodes of 32 records each: half of the sums and half of the results go each way."""
    width = 4 * merge.LINE * comm.size
    of = [rank * 2 // comm.size for rank in range(comm.size)]
    nodes = placed(comm, of)
    counts = [count for near in nodes.members for count in Partition.balanced(32, len(near)).counts]
    partition = Partition.fromCounts(counts)
    start, stop = partition.bounds(comm.rank)
    passed: list[int] = []

    class Counted(merge.Transfer):
        def __init__(self, comm, sent, received):
            sent = list(sent)
            passed.extend(array.nbytes for rank, array in sent if of[rank] != of[comm.rank])
            super().__init__(comm, sent, received)

    monkeypatch.setattr(merge, "Transfer", Counted)
    array = recording(64, (width,), dtype)
    part = Accumulator(width, array.dtype, {name}, start, stop)
    part.add(start, array[start:stop])
    part.merge(nodes, partition, Segments(nodes) if shared else None)
    assert comm.allreduce(sum(passed)) == each * width
    lanes = min(map(len, nodes.members))
    assert comm.allreduce(len(passed)) == 2 * lanes * 2
    if nodes.node != comm:
        nodes.node.Free()


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=12).filter(
        lambda ranks: sum(count for count, _ in ranks)
    ),
    st.sampled_from(["float32", "float64"]),
)
def test_nodes_join_what_their_ranks_leave(ranks, dtype):
    counts = [count for count, _ in ranks]
    array = recording(sum(counts), (2,), dtype)
    partition = Partition.fromCounts(counts)
    (operands,) = zip(*(p.sums.merge_input(partition) for p in run(array, counts, 50)), strict=True)
    labels, arrays = [], []
    for number in range(4):
        near = tuple(rank for rank, (_, node) in enumerate(ranks) if node == number)
        theirs = [label for rank in near for label in operands[rank].labels((rank,))]
        given = [own.copy() for rank in near for own in operands[rank].own()]
        joined = operands[0].join(theirs, given)
        assert len(joined) == len(operands[0].labels(near))
        labels += operands[0].labels(near)
        arrays += joined
    total = operands[0].join(labels, arrays)
    assert len(total) == len(operands[0].labels(tuple(range(len(ranks)))))
    levels = [level for _, level, _ in accumulator.nodes_of(0, len(array))]
    whole = merged_tree(run(array, [len(array)], len(array)), [len(array)])
    assert same_bits(complete(levels, total), whole)


@pytest.mark.ranks
def test_the_exchange_of_nodes_in_pieces(tsc, monkeypatch):
    array = recording(23, (4, 9), "float32")
    whole = tsc.loadImagesFromArray(array).stats()
    monkeypatch.setattr(merge, "PIECE_BYTES", 200)
    pieces = tsc.loadImagesFromArray(array).stats()
    assert all(same_bits(np.asarray(whole[k]), np.asarray(pieces[k])) for k in whole)


@pytest.mark.ranks
@pytest.mark.parametrize("piece", [1 << 30, 200])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_band_that_one_rank_cannot_finish_fails_on_all(tsc, monkeypatch, piece, rank):
    array = recording(23, (4, 9), "uint16")
    images = tsc.loadImagesFromArray(array)
    expected = images.stdev()
    failing = rank % tsc.size
    monkeypatch.setattr(merge, "PIECE_BYTES", piece)
    with monkeypatch.context() as patch:
        if tsc.rank == failing:
            patch.setattr(accumulator, "add_limbs", no_memory)
        place = f"rank {failing} of.*" if tsc.size > 1 else ""
        with pytest.raises(MemoryError, match=f"{place}nothing left"):
            images.stdev()
    assert same_bits(images.stdev(), expected)


@pytest.mark.ranks
def test_extrema_that_one_rank_cannot_prepare_fail_on_all(tsc, monkeypatch):
    images = tsc.loadImagesFromArray(recording(23, (4, 9), "float32"))
    expected = images.max()
    with monkeypatch.context() as patch:
        if tsc.rank == tsc.size - 1:
            patch.setattr(accumulator, "float_keys", lambda array, name: no_memory(array))
        with pytest.raises(MemoryError, match="nothing left"):
            images.max()
    assert same_bits(images.max(), expected)


def no_memory(terms):
    raise MemoryError("nothing left")


@pytest.mark.ranks
def test_statistics_of_few_records_agree_three_times(tsc, monkeypatch):
    images = tsc.loadImagesFromArray(recording(9, (5, 7), "uint16"))
    moments = []
    agree = Together.agree

    def counted(self):
        moments.append(self.action)
        agree(self)

    monkeypatch.setattr(Together, "agree", counted)
    images.stdev()
    assert moments == ["Images.stdev", "merging sums", "merging sums"]


@pytest.mark.ranks
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dims", [(1, 1), (5, 7)])
def test_statistics_over_ranks_are_those_of_one(tsc, dtype, dims):
    from mpimages import ThunderContext

    array = recording(9, dims, dtype)
    if dtype in ("int64", "uint64"):
        array //= 16  # whose sum fits
    together = tsc.loadImagesFromArray(array).stats()
    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        expected = alone.loadImagesFromArray(array).stats()
    for name in expected:
        assert same_bits(np.asarray(together[name]), np.asarray(expected[name])), name
    assert same_bits(together["stdev"], np.sqrt(together["variance"]))


@pytest.mark.ranks
def test_finite_floats_whose_sum_overflows_have_no_nan(tsc):
    signs = np.array([[1] * 13, [1, 1, -1, -1] * 3 + [1], [1, -1] * 6 + [1]], float).T
    array = np.ascontiguousarray(1e308 * signs[..., None])
    found = tsc.loadImagesFromArray(array).stats()
    assert np.isinf([found["variance"], found["stdev"]]).all()
    assert not np.isnan([found["sum"], found["mean"]]).any()
    assert np.isinf(found["mean"][0, 0])
    assert found["sum"][2, 0] == 1e308  # every second one takes the other back
    array[7] = np.inf
    assert np.isnan(tsc.loadImagesFromArray(array).variance()).all()


@pytest.mark.ranks
@pytest.mark.parametrize(("dtype", "place"), [("uint64", 0), ("int64", 8)])
def test_a_sum_that_fits_on_no_rank_is_refused_on_all(tsc, dtype, place):
    array = np.zeros((4, 3, 3), dtype=dtype)
    array[:, place // 3, place % 3] = np.iinfo(dtype).max  # in the band of one rank alone
    images = tsc.loadImagesFromArray(array)
    with pytest.raises(OverflowError, match="64 bits"):
        images.sum()
    assert images.mean()[place // 3, place % 3] == float(np.iinfo(dtype).max)


@pytest.mark.ranks
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64"])
def test_passes_by_bands_of_pixels_give_the_same_bits(tsc, comm, dtype):
    from mpimages import ThunderContext

    array = recording(23, (5, 7), dtype)
    if dtype == "int64":
        array //= 32
    calls: list[int] = []

    def copied(value):
        calls.append(1)
        return value.copy()

    expected = tsc.loadImagesFromArray(array).stats()
    with ThunderContext(comm, memory="1kB") as small:
        images = small.loadImagesFromArray(array)
        found = images.stats()
        undeclared = images.apply(copied)
        applied = undeclared.variance()
    for name in expected:
        assert same_bits(np.asarray(found[name]), np.asarray(expected[name])), name
    assert same_bits(applied, expected["variance"])
    passes, rest = divmod(comm.allreduce(len(calls)), 23)
    assert (passes > 1, rest) == (True, 0)


@pytest.mark.ranks
def test_too_many_passes_are_refused_on_all_ranks(comm):
    from mpimages import ThunderContext

    with ThunderContext(comm, memory="1kB") as small:
        images = small.loadImagesFromArray(np.zeros((8, 100, 100), np.float64))
        with pytest.raises(MemoryError, match=r"\(100, 100\).* passes only"):
            images.variance()
        assert images.crop((0, 0), (2, 2)).variance().shape == (2, 2)


def test_what_the_sums_of_a_rank_hold_is_known_beforehand():
    array = recording(23, (7,), "float32")
    partition = Partition.fromCounts([3, 9, 0, 11])
    for rank in range(4):
        start, stop = partition.bounds(rank)
        part = Accumulator(7, array.dtype, WANTED, start, stop)
        for slots in (part.sums.left, part.sums.right):
            slots[:] = -1e300
        part.add(start, array[start:stop])
        touched = sum(
            slots.nbytes // len(slots) * int((slots[:, 0] != -1e300).any(axis=1).sum())
            for slots in (part.sums.left, part.sums.right)
        )
        assert touched + 8 * 7 <= 7 * accumulator.need_per_pixel(array.dtype, WANTED, partition)


@pytest.mark.parametrize(
    ("dtype", "wanted", "held"),
    [
        ("uint8", WANTED, 48),
        ("int8", WANTED, 48),
        ("uint16", WANTED, 32),
        ("int16", WANTED, 32),
        ("uint16", {"sum"}, 48),
        ("uint32", WANTED, 32),
        ("int32", {"mean"}, 32),
    ],
)
def test_more_records_than_exact_sums_hold_are_refused(dtype, wanted, held):
    dtype = np.dtype(dtype)
    largest, lowest = int(np.iinfo(dtype).max), int(np.iinfo(dtype).min)
    nsum, nsquare = moments.integer_limbs(dtype)
    assert largest << held < 1 << (64 * nsum - (lowest < 0))
    assert lowest << held >= -(1 << (64 * nsum - 1))
    assert "variance" not in wanted or max(largest, -lowest) ** 2 << held < 1 << (64 * nsquare)
    accumulator.need_per_pixel(dtype, wanted, Partition.balanced(2**held, 3))
    with pytest.raises(OverflowError, match=rf"{dtype} hold 2\*\*{held} records"):
        accumulator.need_per_pixel(dtype, wanted, Partition.balanced(2**held + 1, 3))


@pytest.mark.parametrize("dtype", ["complex64", "M8[s]", "U3", "longdouble"])
def test_what_has_no_statistics(dtype):
    with pytest.raises(TypeError, match="records must be integers or floats"):
        Accumulator(3, np.dtype(dtype), WANTED, 0, 1)
