"""Memory that is used again, and never while something refers to it."""

import gc

import numpy as np

from mpimages.core.memory_pool import GRAIN, Pool

BYTE = np.dtype(np.uint8)


def address(array):
    return array.__array_interface__["data"][0]


def test_memory_comes_back_when_nothing_refers_to_it():
    pool = Pool(100 * GRAIN)
    first = pool.empty((3, GRAIN), BYTE)
    where = address(first)
    view = first[1:, ::2].T
    del first
    gc.collect()
    assert pool.idle_bytes == 0  # the view still refers to it
    other = pool.empty((3, GRAIN), BYTE)
    assert address(other) != where
    del view
    assert pool.idle_bytes == 3 * GRAIN
    again = pool.empty((3, GRAIN // 4), np.dtype(np.int32))
    assert address(again) == where
    assert again.flags.c_contiguous
    assert again.flags.writeable


def test_memory_is_private_as_huge_pages_want_it():
    kept = Pool(GRAIN).empty((3 * GRAIN,), BYTE)
    where = address(kept)
    with open("/proc/self/maps", encoding="ascii") as maps:
        for line in maps:
            bounds, rights = line.split()[:2]
            first, last = (int(end, 16) for end in bounds.split("-"))
            if first <= where < last:
                assert rights == "rw-p"
                return
    raise AssertionError("not mapped")


def test_small_arrays_are_numpys_own():
    pool = Pool(100 * GRAIN)
    del_me = pool.empty((10,), BYTE)
    del del_me
    assert pool.idle_bytes == 0
    assert pool.empty((0, 5), BYTE).shape == (0, 5)


def test_a_region_is_not_taken_by_what_is_much_smaller():
    pool = Pool(1000 * GRAIN)
    large = pool.empty((40 * GRAIN,), BYTE)
    del large
    small = pool.empty((2 * GRAIN,), BYTE)
    assert pool.idle_bytes == 40 * GRAIN
    assert small.nbytes == 2 * GRAIN


def test_no_more_is_kept_than_allowed():
    pool = Pool(5 * GRAIN)
    arrays = [pool.empty((2 * GRAIN,), BYTE) for _ in range(4)]
    arrays.clear()
    assert pool.idle_bytes <= 5 * GRAIN
    kept = pool.empty((2 * GRAIN,), BYTE)
    pool.clear()
    assert pool.idle_bytes == 0
    kept[:] = 7
    assert (kept == 7).all()
    del kept
    assert pool.idle_bytes == 0
