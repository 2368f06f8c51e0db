"""ThunderContext: the communicator, the budget, loading from memory, what is imported when."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from mpi4py import MPI

from mpimages import ThunderContext, loading
from mpimages.core.partition import Partition
from mpimages.core.sizes import parse_size, size_text

from ..support.data import cut, recording, same_bits

pytestmark = pytest.mark.ranks


def test_the_communicator_is_duplicated_once(comm):
    with ThunderContext(comm, memory="1GB") as first:
        second = ThunderContext.start(comm, memory="2GB")
        assert first.comm == second.comm
        assert first.comm != comm
        assert (first.rank, first.size) == (comm.rank, comm.size)
        assert (first.memory, second.memory) == (10**9, 2 * 10**9)
        second.close()
        second.close()
        first.comm.Barrier()
        with pytest.raises(RuntimeError, match="closed"):
            _ = second.comm
        assert "closed" in repr(second)
    assert f"of {comm.size}" in repr(ThunderContext(comm))


@pytest.mark.mpi(min_size=2)
def test_a_budget_on_some_ranks_only(comm):
    with ThunderContext(comm, memory="1GB" if comm.rank == 0 else None) as context:
        assert set(comm.allgather(context.memory)) == {context.memory}


def test_a_communicator_that_its_user_frees_first(comm):
    own = comm.Dup()
    context = ThunderContext(own, memory="1GB")
    own.Free()
    context.close()


def test_a_closed_context_refuses_actions(comm):
    with ThunderContext(comm, memory="1GB") as context:
        images = context.loadImagesFromArray(np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(RuntimeError, match="closed"):
        images.mean()


def test_communicators_of_one_rank(comm):
    with ThunderContext(MPI.COMM_SELF, memory="1GB") as alone:
        array = recording(3, (4, 4), "uint8", seed=comm.rank)
        assert alone.size == 1
        assert same_bits(alone.loadImagesFromArray(array).max(), array.max(axis=0))


@pytest.mark.parametrize("wrong", [3, "world", MPI.COMM_NULL])
def test_what_is_no_communicator(wrong):
    with pytest.raises(TypeError, match="intracommunicator"):
        ThunderContext(wrong)


def test_the_budget_is_worked_out_and_agreed(comm):
    with ThunderContext(comm) as context:
        assert context.memory > 2**20
        assert set(comm.allgather(context.memory)) == {context.memory}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("150M", 150_000_000),
        ("150MB", 150_000_000),
        ("2 GiB", 2**31),
        ("1.5kB", 1500),
        (7, 7),
        ("12", 12),
        ("3MiB", 3 * 2**20),
        ("1tb", 10**12),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("wrong", ["9" * 30, 2**63, "", "GB", "-1GB", "1 XB", "1e9", 0, -5, "0"])
def test_what_is_no_size(wrong):
    with pytest.raises(ValueError, match="size"):
        parse_size(wrong)


@pytest.mark.parametrize("wrong", [None, 1.5, True, [1]])
def test_what_is_not_even_a_number(wrong):
    with pytest.raises(TypeError, match="size"):
        parse_size(wrong)


def test_sizes_as_text():
    assert size_text(1_300_000_000) == "1.3 GB"
    assert size_text(12) == "12 bytes"


def test_a_bad_budget(comm):
    with pytest.raises(ValueError, match="size"):
        ThunderContext(comm, memory="much")


# -- arrays --------------------------------------------------------------------------------


def test_one_image(tsc):
    array = recording(1, (5, 6), "float32")[0]
    images = tsc.loadImagesFromArray(array)
    assert images.count() == 1
    assert images.dims.count == (5, 6)


def test_byte_order_is_made_native(tsc):
    array = recording(4, (5, 6), "uint16")
    images = tsc.loadImagesFromArray(array.astype(">u2"))
    assert images.dtype == np.dtype("uint16")
    assert images.dtype.isnative
    assert same_bits(images.toArray(), array)


def test_each_rank_its_own(tsc):
    every = recording(11, (5, 6), "int32")
    counts = cut(11, tsc.size, 5)
    start = sum(counts[: tsc.rank])
    own = every[start : start + counts[tsc.rank]]
    images = tsc.loadImagesFromArray(own if len(own) else None, local=True)
    assert same_bits(images.toArray(), every)
    assert images.count() == 11


def test_local_images_are_not_copied(comm):
    with ThunderContext(MPI.COMM_SELF) as alone:
        array = recording(3, (5, 6), "int32")
        images = alone.loadImagesFromArray(array, local=True)
        array[1] = 7
        assert (images[1] == 7).all()


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("change", ["shape", "dtype", "value"])
def test_arrays_that_differ_between_ranks(tsc, change):
    array = recording(4, (5, 6), "uint16")
    if tsc.rank == tsc.size - 1:
        array = {
            "shape": array[:3],
            "dtype": array.astype(np.int16),
            "value": np.where(array == array[2, 3, 4], 0, array),
        }[change]
    with pytest.raises(ValueError, match=f"rank {tsc.size - 1}"):
        tsc.loadImagesFromArray(array)


@pytest.mark.mpi(min_size=2)
def test_what_is_compared_of_a_large_array(tsc, monkeypatch):
    """Each image that a rank keeps, with one more rank's; and every R-th with all ranks'."""
    monkeypatch.setattr(loading, "COMPARED_WHOLE", 0)
    array = recording(13, (5, 6), "uint16")
    cuts = Partition.balanced(13, tsc.size)
    for rank, image in itertools.product(range(tsc.size), range(13)):
        given = array.copy()
        if rank == tsc.rank:
            given[image, 4, 5] ^= 1
        near = [range(*cuts.bounds(r % tsc.size)) for r in (rank, rank + 1)]
        if image % tsc.size == 0 or any(image in part for part in near):
            with pytest.raises(ValueError, match=r"the array on rank \d .* has other values"):
                tsc.loadImagesFromArray(given)
        else:
            assert same_bits(tsc.loadImagesFromArray(given).toArray(), array)


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("order", ["C", "F"])
def test_equal_arrays_may_lie_in_memory_in_any_way(tsc, monkeypatch, order):
    monkeypatch.setattr(loading, "COMPARED_WHOLE", 100)
    array = recording(13, (5, 6), "uint16")
    given = np.asarray(array, order=order) if tsc.rank else array.astype(">u2")
    assert same_bits(tsc.loadImagesFromArray(given).toArray(), array)
    assert same_bits(tsc.loadSeriesFromArray(given).toArray(), array)


@pytest.mark.mpi(min_size=2)
def test_local_arrays_of_different_images(tsc):
    array = np.zeros((2, 5, 6) if tsc.rank else (2, 6, 5), np.uint8)
    with pytest.raises(ValueError, match="rank 1"):
        tsc.loadImagesFromArray(array, local=True)


@pytest.mark.parametrize(
    "wrong", [None, "text", np.zeros((2, 2, 2), complex), [["a"]], np.zeros((2, 2, 2), "M8[s]")]
)
def test_what_is_no_array_of_numbers(tsc, wrong):
    with pytest.raises(TypeError):
        tsc.loadImagesFromArray(wrong)


@pytest.mark.parametrize("shape", [(3,), (0, 4, 4), (2, 0, 4), (1, 2, 3, 4, 5), ()])
@pytest.mark.parametrize("local", [False, True])
def test_shapes_that_are_no_images(tsc, shape, local):
    with pytest.raises(ValueError, match=r"images|records"):
        tsc.loadImagesFromArray(np.zeros(shape), local=local)


def test_nobody_has_images(tsc):
    with pytest.raises(ValueError, match="no rank"):
        tsc.loadImagesFromArray(None, local=True)


# -- examples ------------------------------------------------------------------------------


def test_the_examples(tsc):
    assert tsc.loadExample()[:3] == ["fish-images", "mouse-images", "fish-series"]
    fish = tsc.loadExample("fish-images")
    assert (fish.count(), fish.dims.count, fish.dtype) == (20, (76, 87, 2), np.uint8)
    assert "imulated" in fish.metadata["description"]
    series = tsc.loadExample("fish-series")
    assert (series.dims.count, len(series.index)) == ((76, 87, 2), 240)
    assert same_bits(series[40, 50, 1][:20], fish.toSeries()[40, 50, 1])
    with pytest.raises(ValueError, match="fish-images"):
        tsc.loadExample("cat-images")
