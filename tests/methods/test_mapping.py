"""Functions of users: with keys, in batches, along the tree; on any number of ranks."""

from __future__ import annotations

import numpy as np
import pytest

from mpimages import ThunderContext
from mpimages.engine import functions
from mpimages.statistics.tree import Tree, _size_of

from ..support.data import DTYPES, cut, recording, same_bits, spread

pytestmark = [pytest.mark.ranks]


# -- apply with keys -----------------------------------------------------------------------


def test_a_function_gets_the_key_of_an_image(tsc):
    array = recording(23, (3, 4), "int16")
    images = spread(tsc, array)
    keys = np.arange(23)
    marked = images.apply(lambda key, value: value.astype(int) + key, withKeys=True)
    assert same_bits(marked.toArray(), array.astype(int) + keys[:, None, None])
    odd = images.filter(lambda key, value: key % 2 == 1)
    for found in (
        odd.apply(lambda k, v: v[:1] * 0 + k, withKeys=True).renumber(),
        odd.apply(lambda k, v: v[:1] * 0 + k, withKeys=True).renumber().cache(),
        images.filterOnKeys(lambda key: key % 2).apply(
            lambda k, v: v[:1] * 0 + k, (1, 4), "int16", withKeys=True
        ).renumber(),
    ):  # fmt: skip
        assert found.toArray()[:, 0, 0].tolist() == keys[1::2].tolist()
        assert found.keys().collect() == list(range(11))
        late = found.filterOnKeys(lambda key: key > 3).renumber()
        assert late.toArray()[:, 0, 0].tolist() == keys[9::2].tolist()
    twice = images.range(4, 20).renumber().apply(lambda k, v: v * 0 + k, withKeys=True)
    assert twice.range(3, 9).renumber().toArray()[:, 0, 0].tolist() == [3, 4, 5, 6, 7, 8]
    binned = marked.timeBin(2, remainder="drop")
    total = array[:22].astype(int) + keys[:22, None, None]
    assert same_bits(binned.toArray(), total.reshape(11, 2, 3, 4).sum(1) / 2)


def test_cached_results_keep_the_keys_when_they_are_computed_again(tsc):
    images = spread(tsc, recording(9, (2, 3), "uint8"))
    kept = images.filterOnKeys(lambda key: key > 2)
    kept = kept.apply(lambda k, v: v * 0 + k, withKeys=True).cache()
    after = kept.renumber()
    before = after.toArray()
    kept.uncache()
    assert same_bits(after.toArray(), before)
    assert before[:, 0, 0].tolist() == [3, 4, 5, 6, 7, 8]


def test_a_function_gets_the_pixel_of_a_series(tsc):
    array = recording(5, (3, 4, 2), "int16")
    series = spread(tsc, array).toSeries()
    found = series.apply(lambda key, y: (*key, y[0]), dtype="int64", withKeys=True)
    rows, columns, pages, first = np.moveaxis(found.toArray(), -1, 0)
    assert (np.stack([rows, columns, pages]) == np.indices((3, 4, 2))).all()
    assert (first == array[0]).all()


# -- batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*DTYPES, ">i2", ">f4"])
def test_batches_are_records_one_by_one(tsc, monkeypatch, dtype):
    array = recording(37, (5, 3), dtype)
    images = spread(tsc, array)
    series = images.toSeries()

    def centred(values):
        values -= values.min(axis=-1, keepdims=True)  # it may write to them
        return values / 3

    wanted = centred(np.moveaxis(array, 0, -1).astype(array.dtype.newbyteorder("="), order="C"))
    sizes = (1, 64, functions.PIECE_BYTES)
    for size in sizes:
        monkeypatch.setattr(functions, "PIECE_BYTES", size)
        assert same_bits(series.applyBatch(centred).toArray(), wanted)
        found = images.applyBatch(lambda v: v[:, ::2] * v.dtype.type(1))
        assert same_bits(found.toArray(), array[:, ::2].astype(found.dtype))
        declared = series.applyBatch(centred, index=range(37), dtype=wanted.dtype)
        assert declared.dtype == wanted.dtype
        assert same_bits(declared.toArray(), wanted)
    one = series.applyBatch(lambda y: y.max(axis=-1))  # a number for each
    assert same_bits(one.toArray()[..., 0], array.max(axis=0).astype(one.dtype))
    assert images.toArray().tobytes() == array.astype(images.dtype).tobytes()  # none was written to


def test_batches_within_small_budgets_and_of_large_records(comm):
    array = recording(30, (64, 96), "uint16")
    for memory in ("2MB", "1GB"):
        with ThunderContext(comm, memory=memory) as tsc:
            images = spread(tsc, array)
            found = images.applyBatch(lambda v: v.mean(axis=(1, 2), keepdims=True)).cache()
            rows = np.array(found.values().collect())
            assert same_bits(rows, array.mean(axis=(1, 2), keepdims=True))


@pytest.mark.few_ranks
@pytest.mark.parametrize(
    ("func", "given", "error", "words"),
    [
        (lambda v: v[:-1] if len(v) > 1 else v[:, :1], {}, ValueError, "it must return|has shape"),
        (lambda v: v[0], {}, ValueError, "of k records it must return"),
        (lambda v: v[:, 0, None, None], {}, ValueError, "of k records it must return"),
        (lambda v: v.astype(complex), {}, TypeError, "at most 64 bits, got complex"),
        (lambda v: v[:, :0], {}, ValueError, "one value at least"),
        (lambda v: None, {}, TypeError, "got object"),
        (lambda v: np.ma.masked_greater(v, v.min()), {}, TypeError, "masked"),
        (lambda v: v[:, :2], {"index": [1, 2, 3]}, ValueError, "were declared"),
        (lambda v: v / 2, {"dtype": "uint8"}, ValueError, "dtype any|uint8 were declared"),
    ],
)
def test_what_a_batch_must_not_become(tsc, func, given, error, words):
    series = tsc.loadImagesFromArray(recording(5, (4, 6), "uint8")).toSeries()
    with pytest.raises(error, match=words):
        series.applyBatch(func, **given).max()
    assert series.max().shape == (5,)


def test_batches_of_several_shapes_name_a_record(tsc):
    array = recording(20, (4, 5), "uint8")
    array[:, 0, 0] = np.arange(20)
    images = tsc.loadImagesFromArray(array)
    late = images.applyBatch(lambda v: v[:, :2] if v[0, 0, 0] >= 10 else v)
    if tsc.size > 1:
        with pytest.raises(ValueError, match="applyBatch: the record with key"):
            late.toArray()


# -- the tree ------------------------------------------------------------------------------


def merge(a, b):
    """Not associative: each operand leaves its mark in the last bits."""
    return (a * np.float32(1.3) + b) / np.float32(2.1)


def along_the_tree(values, func):
    """The same by recursion over record numbers."""

    def node(level, index):
        if level == 0:
            return values[index]
        return func(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))

    start, nodes = 0, []
    for level in reversed(range(len(values).bit_length())):
        if len(values) >> level & 1:
            nodes.append(node(level, start >> level))
            start += 1 << level
    total = nodes.pop()
    while nodes:
        total = func(nodes.pop(), total)
    return total


def test_any_cut_of_the_records_has_one_tree():
    for count in range(1, 40):
        values = [str(i) for i in range(count)]
        wanted = along_the_tree(values, lambda a, b: f"({a} {b})")
        for seed in range(4):
            parts, start = [], 0
            for many in cut(count, 5, seed):
                parts.append(Tree(lambda a, b: f"({a} {b})", 10**6, ""))
                for i in range(start, start + many):
                    parts[-1].push(0, i, values[i])
                assert len(parts[-1].nodes) <= 2 * max(1, many).bit_length()
                start += many
            parts[2].extend(parts[3].nodes)
            parts[0].extend(parts[1].nodes)
            parts[2].extend(parts[4].nodes)
            parts[0].extend(parts[2].nodes)
            assert parts[0].complete() == wanted


@pytest.mark.parametrize("count", [1, 2, 7, 23])
def test_a_merge_that_is_not_associative_has_one_result(tsc, count):
    array = recording(count, (3, 4), "float32")
    wanted = along_the_tree(list(array), merge)
    for images in (spread(tsc, array), tsc.loadImagesFromArray(array)):
        assert same_bits(images.reduce(merge), wanted)
        assert same_bits(images.applyBatch(np.copy).reduce(merge), wanted)
        first, every = images.aggregate(
            lambda: ("", []),
            lambda state, key, value: (f"{key}", [*state[1], value]),
            lambda a, b: (f"({a[0]} {b[0]})", [merge(a[1][0], b[1][0])]),
        )
        assert same_bits(every[0], wanted)
        assert first == along_the_tree([str(i) for i in range(count)], lambda a, b: f"({a} {b})")
    series = spread(tsc, array).toSeries()
    rows = list(array.reshape(count, -1).T)
    assert same_bits(series.reduce(merge), along_the_tree(rows, merge))
    keys = series.aggregate(list, lambda s, key, _: [*s, key], list.__add__, tuple)
    assert keys == tuple(np.ndindex(3, 4))


def test_functions_may_write_to_what_they_get(tsc):
    array = recording(20, (3, 4), "int16")
    images = spread(tsc, array.astype(np.int64)).cache()
    for _ in range(2):
        assert same_bits(images.reduce(lambda a, b: np.add(a, b, out=a)), array.sum(axis=0))


def test_an_aggregate_of_what_a_filter_leaves(tsc):
    array = recording(40, (3, 4), "uint8")
    images = spread(tsc, array).filter(lambda key, value: key % 3 == 0)
    counts = images.aggregate(
        lambda: np.zeros(256, int),
        lambda state, key, image: state + np.bincount(image.ravel(), minlength=256),
        np.add,
    )
    assert same_bits(counts, np.bincount(array[::3].ravel(), minlength=256))
    mean = images.aggregate(
        lambda: (0, 0),
        lambda state, key, image: (state[0] + 1, state[1] + int(image.sum(dtype=int))),
        lambda a, b: (a[0] + b[0], a[1] + b[1]),
        lambda state: state[1] / state[0],
    )
    assert mean == array[::3].sum(axis=(1, 2), dtype=int).sum() / 14


def never(*_):
    raise AssertionError("not to be called")


@pytest.mark.parametrize(
    ("func", "error", "words"),
    [
        (lambda a, b: None, TypeError, "reduce: func returned None"),
        (lambda a, b: 1 // 0, ZeroDivisionError, "division"),
        (lambda a, b: (i for i in range(3)), TypeError, "pickle"),
        (lambda a, b: bytes(40 << 20), MemoryError, "what the function returns"),
    ],
)
def test_what_fails_on_one_rank_fails_on_all(comm, func, error, words):
    with ThunderContext(comm, memory="50MB") as tsc:
        images = tsc.loadImagesFromArray(recording(9, (3, 4), "uint8"))
        for _ in range(2):
            with pytest.raises(error, match=words):
                images.reduce(func)
        one = images.apply(lambda k, v: v * 0 + (k == 8), withKeys=True)
        with pytest.raises(error, match=words):
            one.reduce(lambda a, b: func(a, b) if np.max(b) else a | b)
        with pytest.raises(ValueError, match="no records"):
            images.range(50, 60).reduce(never)
        with pytest.raises(TypeError, match="aggregate: add returned None"):
            images.aggregate(list, lambda state, key, value: state.append(key), list.__add__)
        with pytest.raises(ZeroDivisionError):
            images.aggregate(int, lambda n, key, value: n + 1, int.__add__, lambda n: n / 0)
        assert images.reduce(np.maximum).shape == (3, 4)


def test_functions_cannot_call_collective_methods(tsc):
    images = spread(tsc, recording(9, (3, 4), "uint8"))
    for call in (
        lambda: images.reduce(lambda a, b: images.max()),
        lambda: images.aggregate(int, lambda n, k, v: n + 1, int.__add__, lambda n: images.max()),
        lambda: images.foreach(lambda key, value: images.max()),
        lambda: images.applyBatch(lambda v: images.max()).max(),
    ):
        if tsc.size > 1:
            with pytest.raises(Exception, match=r"function"):
                call()
    assert images.max().shape == (3, 4)


def test_the_size_of_states():
    array = np.zeros(1000)
    assert _size_of(array) == 8000
    assert 16000 < _size_of([array, {"a": (array,)}]) < 17000
    assert _size_of(np.ma.masked_equal(array, 0)) == 8000

    class Odd:
        @property
        def __dict__(self):
            raise SystemExit

    assert _size_of(Odd()) > 0


# -- side effects, samples, keys -----------------------------------------------------------


def test_foreach_calls_once_for_each_record_on_its_owner(tsc, comm):
    array = recording(17, (3, 4), "uint8")
    images, calls = spread(tsc, array), []
    assert images.foreach(lambda key, value: calls.append((key, value))) is None
    every = [call for rank in comm.allgather(calls) for call in rank]
    assert [key for key, _ in every] == list(range(17))
    assert same_bits(np.array([value for _, value in every]), array)
    pixels = []
    images.toSeries().foreach(lambda key, value: pixels.append(key))
    every = [pixel for rank in comm.allgather(pixels) for pixel in rank]
    assert every == list(np.ndindex(3, 4))
    images.range(50, 60).foreach(never)


def test_a_sample_is_that_of_subset(tsc):
    array = recording(30, (5, 6), "int16")
    images = spread(tsc, array)
    series = images.toSeries()
    drawn = series.sample(7, seed=3)
    assert drawn.nrecords == 7
    assert same_bits(np.array(drawn.values().collect()), series.subset(7, seed=3))
    assert drawn.keys().collect() == sorted(drawn.keys().collect())
    some = images.sample(4, seed=1)
    assert same_bits(some.toArray(), array[some.keys().collect()])
    assert images.sample(99, seed=1).keys().collect() == list(range(30))
    late = images.filter(lambda key, value: key > 9).sample(5, seed=2)
    assert late.nrecords == 5
    assert min(late.keys().collect()) > 9
    assert len(set(map(tuple, [images.sample(8).keys().collect() for _ in range(4)]))) > 1


def test_images_get_other_keys(tsc):
    array = recording(9, (3, 4), "uint8")
    images = spread(tsc, array).apply(lambda k, v: v * 0 + k, withKeys=True)
    moved = images.applyKeys(lambda key: 10 * key + 5)
    assert moved.keys().collect() == list(range(5, 95, 10))
    assert moved[25].max() == 2  # a function before keeps its keys
    assert moved.filter(lambda key, value: key > 40).applyKeys(lambda key: key - 45).count() == 5
    for func, error, words in (
        (lambda key: 5, ValueError, "keys 0 and 1 become 5 and 5"),
        (lambda key: -key, ValueError, "at least 0, got -1"),
        (lambda key: key / 2, TypeError, "must be an integer"),
        (lambda key: 2**63 + key, ValueError, "below 2"),
    ):
        with pytest.raises(error, match=words):
            images.applyKeys(func)
