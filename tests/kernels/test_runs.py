"""Byte ranges of many files: every way in which they can lie, and in which files can fail."""

import errno
import os

import numpy as np
import pytest

from mpimages.kernels.runs import (
    CHANGED,
    KEEP,
    OPEN,
    SYSTEM,
    TRUNCATED,
    Paths,
    begin_writeback,
    read_runs,
    swap_bytes,
)

SIZE = 4000


def content(number, size=SIZE):
    return np.random.default_rng(number).integers(0, 256, size, np.uint8)


@pytest.fixture
def files(tmp_path):
    """Seven files of arbitrary bytes."""
    made = [tmp_path / f"{'x' * i}{i}.bin" for i in range(7)]
    for i, path in enumerate(made):
        path.write_bytes(content(i).tobytes())
    return made


def numbers(values):
    return np.array(values, dtype=np.int64)


def table(files):
    """The paths as the kernel takes them."""
    common = os.fsencode(files[0].parent) + b"/"
    tails = [os.fsencode(path.name) for path in files]
    return Paths(common, b"".join(tails), np.cumsum([len(t) for t in tails], dtype=np.int64))


def read(files, path, first, stride, out, skip=0, swap=False, checked=True):
    status = [os.stat(files[i]) for i in path] if checked is True else checked
    size = numbers([s.st_size for s in status])
    modified = numbers([s.st_mtime_ns for s in status])
    given = numbers(path), numbers(first), numbers(stride)
    return read_runs(table(files), *given, size, modified, skip, swap, out)


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("stride", [0, 10, 100, 101, 500, -100, -333])
@pytest.mark.parametrize("skip", [0, 1, 77])
@pytest.mark.parametrize("length", [1, 10, 100])
@pytest.mark.parametrize("path", [[3], [0, 1, 2, 3, 4, 5, 6], [2, 2, 2], [6, 6, 0, 6, 5, 5]])
def test_every_run_comes_from_its_place(files, path, stride, skip, length):
    first = [1500 + 10 * i for i in range(len(path))]
    out = np.full((len(path), 4, length), 99, np.uint8)
    before = open_descriptors()
    assert read(files, path, first, [stride] * len(path), out, skip) is None
    assert open_descriptors() == before
    for i, file in enumerate(path):
        for run in range(4):
            start = first[i] + run * stride + skip
            np.testing.assert_array_equal(out[i, run], content(file)[start : start + length])


def test_records_that_follow_each_other_in_a_file_come_as_they_lie(files):
    out = np.zeros((9, 2, 20), np.uint8)
    assert read(files, [1] * 9, range(100, 460, 40), [20] * 9, out) is None
    np.testing.assert_array_equal(out.reshape(-1), content(1)[100:460])


@pytest.mark.parametrize("dtype", ["u2", "i4", "f8", "f2", "f4", "u8"])
def test_bytes_are_turned_around(files, dtype):
    out = np.zeros((3, 2, 50), dtype)
    assert read(files, [4, 5, 5], [7, 3, 3], [1000] * 3, out, 8, swap=True) is None
    for i, (file, first) in enumerate([(4, 7), (5, 3), (5, 3)]):
        for run in range(2):
            start = first + 1000 * run + 8
            raw = content(file)[start : start + out.itemsize * 50].tobytes()
            expected = np.frombuffer(raw, out.dtype.newbyteorder())
            np.testing.assert_array_equal(out[i, run], expected.astype(dtype))


@pytest.mark.parametrize("swap", [False, True])
def test_runs_longer_than_what_is_turned_around_at_once(tmp_path, swap):
    path = tmp_path / "long"
    values = np.arange(700_001, dtype=">u4" if swap else "<u4")
    path.write_bytes(b"head" + values.tobytes())
    out = np.zeros((1, 1, 700_000), np.uint32)
    assert read([path], [0], [4], [0], out, 4, swap=swap) is None
    np.testing.assert_array_equal(out[0, 0], np.arange(1, 700_001))


@pytest.mark.slow
def test_more_than_two_gibibytes_at_once(tmp_path):
    path, size = tmp_path / "sparse", (1 << 31) + 12345
    with open(path, "wb") as file:
        file.truncate(size)
        for place in (0, (1 << 30) - 1, 1 << 30, (1 << 31) - 4096, 1 << 31, size - 1):
            os.pwrite(file.fileno(), bytes([1 + place % 251]), place)
    out = np.full((1, 1, size), 7, np.uint8)
    assert read([path], [0], [0], [0], out) is None
    words = np.flatnonzero(out[0, 0, : size // 8 * 8].view(np.uint64))  # quicker than bytes
    near = np.unique(np.r_[(words[:, None] * 8 + np.arange(8)).ravel(), size // 8 * 8 : size])
    places = near[out[0, 0, near] != 0]
    assert places.tolist() == [0, (1 << 30) - 1, 1 << 30, (1 << 31) - 4096, 1 << 31, size - 1]
    assert (out[0, 0, places] == 1 + places % 251).all()


def shorten(path):
    os.truncate(path, SIZE - 1)


def lengthen(path):
    os.truncate(path, SIZE + 1)


def touch(path):
    status = os.stat(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_directory(path):
    path.unlink()
    path.mkdir()


def remove(path):
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "expected", "number"),
    [
        (shorten, TRUNCATED, 0),
        (lengthen, CHANGED, 0),
        (touch, CHANGED, 0),
        (make_pipe, CHANGED, 0),
        (remove, SYSTEM, errno.ENOENT),
    ],
)
@pytest.mark.parametrize(("path", "record"), [([0, 3, 4], 1), ([3, 3], 0), ([0, 0, 1, 3], 3)])
def test_a_file_that_is_not_as_before(files, damage, expected, number, path, record):
    status = [os.stat(files[i]) for i in path]
    damage(files[3])
    before = open_descriptors()
    out = np.zeros((len(path), 1, 10), np.uint8)
    found = read(files, path, [0] * len(path), [0] * len(path), out, checked=status)
    assert found == (expected, record, number)
    assert open_descriptors() == before


def test_a_directory_in_the_place_of_a_file(files):
    status = [os.stat(files[3])]
    make_directory(files[3])
    assert read(files, [3], [0], [0], np.zeros((1, 1, 9), np.uint8), checked=status)[0] == CHANGED


@pytest.mark.parametrize("record", [0, 1, 2])
def test_runs_beyond_the_end(files, record):
    first = [0, 0, 0]
    first[record] = SIZE - 9
    for path in ([0, 1, 2], [0, 0, 0]):
        found = read(files, path, first, [0] * 3, np.zeros((3, 1, 10), np.uint8))
        assert found is not None
        assert (found[0], path[found[1]]) == (TRUNCATED, path[record])


def test_a_place_before_the_file_is_the_systems_error(files):
    found = read(files, [0], [0], [-50], np.zeros((1, 2, 10), np.uint8))
    assert found == (SYSTEM, 0, errno.EINVAL)


def test_any_time_of_modification(files):
    touch(files[0])
    out = np.zeros((1, 1, 10), np.uint8)
    one, zero = numbers([SIZE]), numbers([0])
    assert read_runs(table(files), zero, zero, zero, one, None, 0, False, out) is None
    np.testing.assert_array_equal(out[0, 0], content(0)[:10])


@pytest.mark.parametrize("shape", [(0, 2, 3), (2, 0, 3), (2, 3, 0)])
def test_nothing_to_read_opens_nothing(files, shape):
    zeros = [0] * shape[0]
    assert read(files, zeros, zeros, zeros, np.zeros(shape, np.uint16)) is None


def test_no_paths_at_all():
    none = numbers([])
    assert len(Paths(b"", b"", none)) == 0
    out = np.zeros((0, 1, 5), np.uint8)
    assert read_runs(Paths(b"", b"", none), none, none, none, none, none, 0, False, out) is None


@pytest.mark.parametrize("dtype", ["u2", "f2", "i4", "f4", "u8", "f8"])
@pytest.mark.parametrize("n", [0, 1, 7, 16, 333])
def test_swapping_in_place(dtype, n):
    raw = content(n, 1 + 8 * n + 8)
    for start in (0, 1):  # aligned or not
        array = raw.copy()[start : start + 8 * n].view(dtype)
        expected = array.byteswap()
        swap_bytes(array)
        assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 0), (0, SIZE), (1, SIZE), (0, 1 << 62), (2**63 - 1, 2**63 - 1), (-1, 10), (0, -10)],
)
def test_a_hint_to_write_changes_nothing_and_never_fails(files, offset, size):
    with open(files[0], "r+b") as file:
        begin_writeback(file.fileno(), offset, size)
    begin_writeback(-1, offset, size)
    assert files[0].read_bytes() == content(0).tobytes()


def test_files_are_kept_open_where_that_is_asked(files):
    out = np.zeros((4, 1, 10), np.uint8)
    path, zero = numbers([0, 1, 1, 2]), numbers([0] * 4)
    status = [os.stat(files[i]) for i in path]
    size, modified = (numbers([getattr(s, n) for s in status]) for n in ("st_size", "st_mtime_ns"))
    kept = np.array([KEEP, KEEP, OPEN, OPEN], np.int32)
    before = open_descriptors()
    given = table(files), path, zero, zero, size, modified, 7, False, out, kept
    for _ in range(3):
        out[:] = 0
        assert read_runs(*given) is None
        assert open_descriptors() == before + 2
        assert (kept[:2] >= 0).all()
        assert kept[2:].tolist() == [OPEN, OPEN]
        for i, file in enumerate(path):
            assert out[i, 0].tobytes() == files[file].read_bytes()[7:17]
    with open(files[1], "ab") as file:  # a file that is open is compared as well
        file.write(b"x")
    assert read_runs(*given) == (CHANGED, 1, 0)
    assert open_descriptors() == before + 2
    for descriptor in kept[:2]:
        os.close(descriptor)
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("kept", "error"),
    [
        (np.zeros(3, np.int32), TypeError),
        (np.zeros(2, np.int64), TypeError),
        ([KEEP] * 2, TypeError),
        (np.zeros(4, np.int32)[::2], ValueError),
    ],
)
def test_bad_descriptors(files, kept, error):
    given = [numbers([0, 1])] * 5
    with pytest.raises(error, match="kept"):
        read_runs(table(files), *given, 0, False, np.zeros((2, 1, 1), np.uint8), kept)
